'use strict';

// Errors in Lambda's shape: what callers get, and what logs show.

const { isNativeError } = require('node:util').types;

/** Runtime is an error that is the runtime's word for what the function did. */
class Runtime extends Error {
  constructor(type, message) {
    super(message);
    this.name = `Runtime.${type}`;
    // The stack was written before the name was known.
    this.stack = `${this.name}: ${this.message}${frames(this.stack)}`;
  }
}

/** rejected is the error of a promise that nobody handled, with the stack of its reason. */
function rejected(reason) {
  const err = new Runtime('UnhandledPromiseRejection', String(reason));
  err.stack = `${err.name}: ${err.message}${frames(reason?.stack) || frames(err.stack)}`;
  err.reason = reason;
  return err;
}

/** frames is what a stack has below its message, with the line end before it. */
function frames(stack) {
  const at = typeof stack === 'string' ? stack.search(/\n\s+at /) : -1;
  return at < 0 ? '' : stack.slice(at);
}

/** unserialisable is the error of an answer that is no JSON; Lambda's words, and the reason below. */
function unserialisable(cause) {
  const err = new Error('Unable to stringify response body', { cause });
  err.stack += `\n[cause]: ${cause}`;
  return err;
}

const named = (err) =>
  isNativeError(err) || (err && typeof err.name === 'string' && typeof err.message === 'string' && typeof err.stack === 'string');

/**
 * toDocument is what callers get. What is no error, but was thrown, has its
 * typeof as type. It never throws: an error may have getters that do.
 */
function toDocument(err) {
  try {
    if (named(err)) {
      return { errorType: String(err.name), errorMessage: String(err.message), trace: String(err.stack).split('\n') };
    }
    return { errorType: typeof err, errorMessage: String(err), trace: [] };
  } catch {
    return {
      errorType: 'handled',
      errorMessage: 'callback called with Error argument, but there was a problem while retrieving one or more of its message, name, and stack',
    };
  }
}

/** toError wraps what was thrown and is no error. */
const toError = (err) => (err instanceof Error ? err : new Error(err));

/** toText is an error in a text log: Lambda's JSON after a tab. */
function toText(err) {
  try {
    return `\t${JSON.stringify(err, (_, v) =>
      v instanceof Error
        ? { errorType: v.name, errorMessage: v.message, code: v.code, ...v, stack: typeof v.stack === 'string' ? v.stack.split('\n') : undefined }
        : v)}`;
  } catch {
    return `\t${JSON.stringify(toDocument(err))}`;
  }
}

module.exports = { Runtime, rejected, unserialisable, toDocument, toError, toText };
