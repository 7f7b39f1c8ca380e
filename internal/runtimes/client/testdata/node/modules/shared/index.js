exports.what = 'by NODE_PATH';
