exports.handler = async () => 'a folder';
