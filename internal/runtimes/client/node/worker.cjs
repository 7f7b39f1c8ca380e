'use strict';

// A worker takes one invocation after the other from its connection. A function
// has one, or as many as it may run invocations at once.

const { setRequest, logError } = require('./log.cjs');
const { toDocument, unserialisable } = require('./errors.cjs');
const { ResponseStream } = require('./stream.cjs');

class Worker {
  /** storage, where there are many workers, holds which invocation runs. */
  constructor(connection, handler, stream, storage) {
    this.connection = connection;
    this.handler = handler;
    this.stream = stream;
    this.storage = storage;
    this.current = null; // the invocation that runs
    const { env } = process;
    this.constant = {
      functionVersion: env.AWS_LAMBDA_FUNCTION_VERSION,
      functionName: env.AWS_LAMBDA_FUNCTION_NAME,
      memoryLimitInMB: env.AWS_LAMBDA_FUNCTION_MEMORY_SIZE,
      logGroupName: env.AWS_LAMBDA_LOG_GROUP_NAME,
      logStreamName: env.AWS_LAMBDA_LOG_STREAM_NAME,
    };
    this.took = this.took.bind(this);
  }

  run() {
    this.connection.poll(this.took);
  }

  took(event, text) {
    // What the handler waits for keeps the process alive, the connection does
    // not: so an empty event loop is seen.
    this.connection.socket.unref();
    const id = event['lambda-runtime-aws-request-id'];
    const invocation = { id, event, over: false, waits: true };
    this.current = invocation;
    if (this.storage) {
      this.storage.run(invocation, () => this.invoke(invocation, text));
      return;
    }
    setRequest(id);
    const trace = event['lambda-runtime-trace-id'];
    if (trace) process.env._X_AMZN_TRACE_ID = trace;
    else delete process.env._X_AMZN_TRACE_ID;
    this.invoke(invocation, text);
  }

  invoke(invocation, text) {
    if (this.stream) this.invokeStreaming(invocation, text);
    else this.invokeBuffered(invocation, text);
  }

  invokeBuffered(invocation, text) {
    // Nobody has called back when nothing is left to do: the answer is null.
    invocation.whenEmpty = () => this.succeed(invocation, null);
    const succeed = (result) => this.succeed(invocation, result);
    const fail = (err) => this.fail(invocation, err ?? 'handled');
    const done = (err, result) => (err === undefined || err === null ? succeed(result) : fail(err));
    const callback = (err, result) => {
      if (invocation.over || invocation.called) return;
      invocation.called = true;
      if (err !== undefined && err !== null) fail(err);
      else if (!invocation.waits || this.storage) succeed(result);
      else invocation.whenEmpty = () => succeed(result);
    };
    let context;
    let result;
    try {
      context = this.context(invocation, { succeed, fail, done });
      result = (0, this.handler)(JSON.parse(text), context, callback);
    } catch (err) {
      fail(err);
      return;
    }
    if (isPromise(result)) result.then(context.succeed, context.fail);
  }

  async invokeStreaming(invocation, text) {
    const stream = new ResponseStream(this.connection, invocation.event, this.stream.highWaterMark, () => this.settled(invocation));
    invocation.stream = stream;
    invocation.whenEmpty = () => this.fail(invocation, 'Response stream is not finished.');
    stream.on('error', () => {}); // the handler sees it where it writes, or is told by pipeline
    try {
      const result = (0, this.handler)(JSON.parse(text), stream, this.context(invocation));
      if (!isPromise(result)) throw 'Streaming does not support non-async handlers.';
      if ((await result) !== undefined) console.warn('Streaming handlers ignore return values.');
      invocation.returned = true;
      if (stream.destroyed && !stream.writableFinished) throw stream.errored ?? 'Response stream is not finished.';
      this.streamed(invocation);
    } catch (err) {
      this.fail(invocation, err);
    }
  }

  /** settled: the server has the whole streamed answer, or its error. */
  settled(invocation) {
    invocation.sent = true;
    this.streamed(invocation);
  }

  /** streamed asks for the next event when the answer is out and the handler has returned. */
  streamed(invocation) {
    if (!invocation.sent || !invocation.returned || invocation.over) return;
    const next = () => {
      this.over(invocation);
      this.run();
    };
    if (invocation.waits && !this.storage && !invocation.failed) {
      invocation.whenEmpty = next;
      this.connection.socket.unref();
    } else {
      next();
    }
  }

  context(invocation, callbacks) {
    const { event } = invocation;
    const deadline = Number(event['lambda-runtime-deadline-ms']);
    return {
      get callbackWaitsForEmptyEventLoop() {
        return invocation.waits;
      },
      set callbackWaitsForEmptyEventLoop(value) {
        invocation.waits = value;
      },
      ...callbacks,
      ...this.constant,
      clientContext: parse(event['lambda-runtime-client-context'], 'ClientContext'),
      identity: parse(event['lambda-runtime-cognito-identity'], 'CognitoIdentity'),
      invokedFunctionArn: event['lambda-runtime-invoked-function-arn'],
      awsRequestId: invocation.id,
      getRemainingTimeInMillis: () => deadline - Date.now(),
    };
  }

  succeed(invocation, result) {
    if (invocation.over) return;
    let body;
    try {
      body = JSON.stringify(result === undefined ? null : result) ?? 'null';
    } catch (err) {
      this.fail(invocation, unserialisable(err));
      return;
    }
    this.over(invocation);
    this.connection.answer(invocation.event, body, this.took);
  }

  /** fail answers with an error, of whatever kind was thrown. */
  fail(invocation, err) {
    if (invocation.over) return;
    logError('Invoke Error', err);
    invocation.failed = invocation.returned = true;
    if (invocation.stream) {
      if (!invocation.stream.fail(toDocument(err))) this.streamed(invocation);
      return;
    }
    this.over(invocation);
    this.connection.fail(invocation.event, toDocument(err));
    this.run();
  }

  over(invocation) {
    invocation.over = true;
    this.current = null;
  }

  /** abandon answers with what ends the process, and then says so. */
  abandon(err, done) {
    const { current } = this;
    if (!current) {
      done();
    } else if (current.stream) {
      current.failed = current.returned = true;
      this.settled = done;
      if (!current.stream.fail(toDocument(err))) done();
    } else {
      this.over(current);
      this.connection.fail(current.event, toDocument(err), done);
    }
  }
}

const isPromise = (value) => value && typeof value.then === 'function';

function parse(text, name) {
  if (text === undefined) return undefined;
  try {
    return JSON.parse(text);
  } catch (err) {
    throw new Error(`Cannot parse ${name} as json: ${err}`);
  }
}

module.exports = { Worker };
