'use strict';

// The console: one record a line, with time, request, level and message, as
// JSON or in Lambda's text format. The node takes level, time and request out of
// JSON, which is why it is what functions have by default.

const { format } = require('node:util');
const { writeSync } = require('node:fs');
const { toDocument, toError, toText } = require('./errors.cjs');

const levels = ['TRACE', 'DEBUG', 'INFO', 'WARN', 'ERROR', 'FATAL'];
const methods = { trace: 'TRACE', debug: 'DEBUG', info: 'INFO', log: 'INFO', warn: 'WARN', error: 'ERROR', fatal: 'FATAL' };

// Where the vendor's client keeps it, for libraries that look.
const REQUEST_ID = Symbol.for('aws.lambda.runtime.requestId');

let requestOf = () => global[REQUEST_ID];
let asJSON = false;

/** setRequest says which invocation runs, where one runs at a time. */
const setRequest = (id) => (global[REQUEST_ID] = id);

/**
 * patch makes the console structured, as the environment's variables say: it is
 * called when they are the function's. current, if there is one, finds the
 * invocation that runs, where several may.
 */
function patch(current) {
  if (current) requestOf = current;
  asJSON = process.env.AWS_LAMBDA_LOG_FORMAT?.toUpperCase() === 'JSON';
  const least = levels.indexOf(process.env.AWS_LAMBDA_LOG_LEVEL?.toUpperCase());
  const line = asJSON ? toJSON : toLine;
  for (const [method, level] of Object.entries(methods)) {
    console[method] = levels.indexOf(level) < least && level !== 'FATAL' ? () => {} : (...args) => write(line(level, args));
  }
}

/** warm runs what a first record would have to compile. */
function warm() {
  toJSON('INFO', ['warm %d', 1]);
  toJSON('ERROR', [new Error('warm')]);
  toLine('INFO', ['warm', {}]);
}

function toLine(level, args) {
  return `${new Date().toISOString()}\t${requestOf()}\t${level}\t${format(...args)}`.replaceAll('\n', '\r');
}

function toJSON(level, args) {
  const record = { timestamp: new Date().toISOString(), level, requestId: requestOf() };
  if (args.length === 1) {
    const only = args[0];
    if (typeof only === 'string' && isRecord(only)) return only.replaceAll('\n', ' ');
    record.message = only;
    try {
      return JSON.stringify(record, errorsToo);
    } catch {
      record.message = format(only);
      return JSON.stringify(record);
    }
  }
  record.message = format(...args);
  const err = args.find((a) => a instanceof Error);
  if (err) Object.assign(record, describe(err));
  return JSON.stringify(record);
}

/** isRecord finds what a logger has made already: a JSON object with a level. */
function isRecord(text) {
  if (text[0] !== '{' || !text.includes('"level"')) return false;
  try {
    return 'level' in JSON.parse(text);
  } catch {
    return false;
  }
}

const describe = (err) => ({
  errorType: err.constructor?.name ?? 'UnknownError',
  errorMessage: err.message,
  stackTrace: typeof err.stack === 'string' ? err.stack.split('\n') : [],
});

const errorsToo = (_, value) => (value instanceof Error ? { ...describe(value), ...value } : value);

/** logError tells of an error that ended an invocation, or the process. It never throws, whatever the error is like. */
function logError(what, err) {
  try {
    if (asJSON) console.error(toError(err));
    else console.error(what, toText(toError(err)));
  } catch {
    console.error(what, toDocument(err));
  }
}

const pause = new Int32Array(new SharedArrayBuffer(4));

/**
 * write hands the line over before it returns: a process that ends at once has
 * logged it. The pipe does not block where process.stdout has been used.
 */
function write(line) {
  let left = Buffer.from(line + '\n');
  while (left.length > 0) {
    try {
      left = left.subarray(writeSync(1, left));
    } catch (err) {
      if (err.code !== 'EAGAIN') return; // nobody reads any more
      Atomics.wait(pause, 0, 0, 1);
    }
  }
}

module.exports = { patch, warm, setRequest, logError };
