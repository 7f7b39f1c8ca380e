'use strict';

// What awslambda.streamifyResponse gives a handler: a writable stream that is
// the invocation's answer while it is made.

const { Writable } = require('node:stream');
const { Runtime } = require('./errors.cjs');
const { headerValue } = require('./connection.cjs');

const PRELUDE_TYPE = 'application/vnd.awslambda.http-integration-response';

// What an error's trailer may have, well below what the server takes.
const MAX_TRAILER = 128 << 10;

class ResponseStream extends Writable {
  #connection;
  #event;
  #settled;
  #contentType = 'application/octet-stream';
  #begun = false;
  #failure;

  /** settled is called once the server has the whole answer. */
  constructor(connection, event, highWaterMark, settled) {
    super({ highWaterMark, decodeStrings: true });
    this.#connection = connection;
    this.#event = event;
    this.#settled = settled;
  }

  setContentType(contentType) {
    if (this.#begun) throw new Runtime('InvalidStreamingOperation', 'Cannot set content-type, too late.');
    this.#contentType = contentType;
  }

  write(chunk, ...rest) {
    this.#first();
    if (typeof chunk !== 'string' && !(chunk instanceof Uint8Array)) chunk = JSON.stringify(chunk);
    return super.write(chunk, ...rest);
  }

  end(chunk, encoding, callback) {
    if (typeof chunk === 'function') [chunk, callback] = [undefined, chunk];
    if (typeof encoding === 'function') [encoding, callback] = [undefined, encoding];
    this.#first();
    if (chunk !== undefined && chunk !== null) this.write(chunk, encoding);
    return super.end(callback);
  }

  /** What goes before everything, as HttpResponseStream.from wants it. */
  #first() {
    const before = this._onBeforeFirstWrite;
    if (typeof before !== 'function') return;
    this._onBeforeFirstWrite = undefined;
    before((chunk) => super.write(chunk));
  }

  _write(chunk, _, callback) {
    const { socket } = this.#connection;
    socket.cork();
    const head = this.#head();
    if (chunk.length > 0) {
      socket.write(`${head}${chunk.length.toString(16)}\r\n`);
      socket.write(chunk);
      socket.write('\r\n', callback);
    } else {
      socket.write(head, callback);
    }
    socket.uncork();
  }

  _final(callback) {
    this.#close(callback);
  }

  #head() {
    if (this.#begun) return '';
    this.#begun = true;
    return this.#connection.begin(this.#event, this.#contentType, this.#settled);
  }

  #close(callback) {
    this.#connection.socket.ref(); // until the server has it
    this.#connection.socket.write(`${this.#head()}0\r\n${this.#failure ?? ''}\r\n`, callback);
  }

  /**
   * fail ends the answer with an error: in its trailers if it has begun. It is
   * false if the answer is whole already.
   */
  fail(doc) {
    if (this.writableEnded && !this.destroyed) return false;
    if (this.writableFinished) return false;
    if (!this.#begun && this.writableLength === 0) {
      this.#connection.fail(this.#event, doc, this.#settled);
      this.destroy();
      return true;
    }
    let body = JSON.stringify(doc);
    if (body.length > MAX_TRAILER) body = JSON.stringify({ ...doc, errorMessage: doc.errorMessage.slice(0, MAX_TRAILER / 8), trace: [] });
    this.#failure =
      `Lambda-Runtime-Function-Error-Type: ${headerValue(doc.errorType)}\r\n` +
      `Lambda-Runtime-Function-Error-Body: ${Buffer.from(body).toString('base64')}\r\n`;
    if (this.destroyed) this.#close();
    else super.end();
    return true;
  }
}

/** HttpResponseStream sends the status and headers of an HTTP answer before its body. */
class HttpResponseStream {
  static from(stream, prelude) {
    stream.setContentType(PRELUDE_TYPE);
    stream._onBeforeFirstWrite = (write) => {
      write(JSON.stringify(prelude));
      write(new Uint8Array(8)); // where the prelude ends
    };
    return stream;
  }
}

module.exports = { ResponseStream, HttpResponseStream };
