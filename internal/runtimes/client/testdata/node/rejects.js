exports.handler = async () => 1;
Promise.reject(new TypeError('in the dark'));
