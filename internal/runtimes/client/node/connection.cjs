'use strict';

// One connection to the Runtime API: a strict HTTP/1.1 client for the five
// requests that there are, of which several may be under way, answered in order.
// An answer and the question for the next event leave in one write.

const net = require('node:net');

const HEAD_END = Buffer.from('\r\n\r\n');
// One buffer for all connections: what was read is used up before it returns.
const READ_SIZE = 64 << 10;
const MAX_HEAD = 256 << 10;
const input = Buffer.allocUnsafeSlow(READ_SIZE);

class Connection {
  /** address is AWS_LAMBDA_RUNTIME_API; opened is called once it is connected. */
  constructor(address, opened) {
    this.address = address;
    this.next = `GET /2018-06-01/runtime/invocation/next HTTP/1.1\r\nHost: ${address}\r\n\r\n`;
    this.waiting = []; // for each reply that is to come, who takes it
    this.open(opened);
  }

  open(opened) {
    this.parts = []; // of a head that is not whole
    this.event = null; // the reply whose body is being read
    this.body = null;
    this.filled = 0;
    const colon = this.address.lastIndexOf(':');
    this.socket = net.connect({
      host: this.address.slice(0, colon),
      port: Number(this.address.slice(colon + 1)),
      noDelay: true,
      onread: { buffer: input, callback: (n) => this.take(input.subarray(0, n)) },
    });
    if (opened) this.socket.once('connect', opened);
    this.socket.on('error', () => {}); // close follows
    this.socket.on('close', () => this.lost());
  }

  /** lost opens the connection again if the server had said that it ends; else nobody is there to work for. */
  lost() {
    if (!this.closing) process.exit(1);
    const waiting = this.waiting;
    this.closing = false;
    this.waiting = [];
    this.open();
    for (const { event, take } of waiting) {
      if (event) this.poll(take);
      else if (take) take();
    }
  }

  /** poll asks for an event: took gets its headers, names in lower case, and its text. */
  poll(took) {
    this.waiting.push({ event: true, take: took });
    this.write(this.next);
  }

  /** answer sends an event's answer, a string of JSON, and asks for the next. */
  answer(event, body, took) {
    this.waiting.push({}, { event: true, take: took });
    this.write(`${this.post(event, 'response')}Content-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}${this.next}`);
  }

  /** fail sends the error that an event ended with; done is called when the server has it. */
  fail(event, doc, done) {
    this.failure(this.post(event, 'error'), doc, done);
  }

  /** failInit sends why the function did not come up. */
  failInit(doc, done) {
    this.failure(`POST /2018-06-01/runtime/init/error HTTP/1.1\r\nHost: ${this.address}\r\nContent-Type: application/json\r\n`, doc, done);
  }

  failure(head, doc, done) {
    const body = JSON.stringify(doc);
    this.waiting.push({ take: done });
    this.write(`${head}Lambda-Runtime-Function-Error-Type: ${headerValue(doc.errorType)}\r\nContent-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`);
  }

  /** begin is the head of a streamed answer, which the stream writes; done is called when the server has all of it. */
  begin(event, contentType, done) {
    this.waiting.push({ take: done });
    return `${this.post(event, 'response', headerValue(contentType))}Lambda-Runtime-Function-Response-Mode: streaming\r\n` +
      'Trailer: Lambda-Runtime-Function-Error-Type, Lambda-Runtime-Function-Error-Body\r\nTransfer-Encoding: chunked\r\n\r\n';
  }

  post(event, what, contentType = 'application/json') {
    const id = event['lambda-runtime-invocation-id'];
    return `POST /2018-06-01/runtime/invocation/${event['lambda-runtime-aws-request-id']}/${what} HTTP/1.1\r\nHost: ${this.address}\r\n` +
      `Content-Type: ${contentType}\r\n${id ? `Lambda-Runtime-Invocation-Id: ${id}\r\n` : ''}`;
  }

  write(text) {
    this.socket.ref();
    this.socket.write(text);
  }

  /** take uses what was read; false would stop the reading. */
  take(data) {
    while (data.length > 0) {
      data = this.event ? this.takeBody(data) : this.takeHead(data);
    }
    return true;
  }

  takeHead(data) {
    if (this.parts.length > 0) {
      data = Buffer.concat([...this.parts, data]);
      this.parts.length = 0;
    }
    const end = data.indexOf(HEAD_END);
    if (end < 0) {
      if (data.length > MAX_HEAD) broken('a head of more than 256 KB');
      this.parts.push(Buffer.from(data));
      return data.subarray(data.length);
    }
    const [status, ...lines] = data.toString('utf8', 0, end).split('\r\n');
    const headers = { status: status.slice(9, 12) };
    for (const line of lines) {
      const colon = line.indexOf(':');
      headers[line.slice(0, colon).toLowerCase()] = line.slice(colon + 1).trim();
    }
    const length = Number(headers['content-length']);
    if (!status.startsWith('HTTP/1.1 ') || !Number.isSafeInteger(length) || this.waiting.length === 0) broken(status);
    if (headers.connection === 'close') this.closing = true;
    const from = end + HEAD_END.length;
    if (data.length >= from + length) {
      this.finish(headers, data.toString('utf8', from, from + length));
      return data.subarray(from + length);
    }
    this.event = headers;
    this.body = Buffer.allocUnsafe(length);
    this.filled = 0;
    return data.subarray(from);
  }

  takeBody(data) {
    const n = data.copy(this.body, this.filled);
    this.filled += n;
    if (this.filled === this.body.length) {
      const { event, body } = this;
      this.event = this.body = null;
      this.finish(event, body.toString());
    }
    return data.subarray(n);
  }

  /**
   * finish hands a reply on. A refused answer is the node's to report, and the
   * next event comes all the same; without a next event there is nothing to do.
   */
  finish(headers, text) {
    const { event, take } = this.waiting.shift();
    if (event && headers.status !== '200') broken(text);
    if (take) take(headers, text);
  }
}

/** headerValue keeps a value from ending its header, or from being too long for one. */
const headerValue = (text) => String(text).slice(0, 255).replace(/[^\t\x20-\x7e]/g, '?');

function broken(what) {
  process.stderr.write(`the Runtime API answered what it should not: ${what}\n`);
  process.exit(1);
}

module.exports = { Connection, headerValue };
