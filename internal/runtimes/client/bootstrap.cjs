'use strict';

// Gust's runtime client for Node.js: it finds a function's handler and runs it on
// the events of the Runtime API. ../DESIGN.md says how it is started; what
// functions see is Lambda's, as docs/NODE.md tells.

const { readSync, writeSync, closeSync } = require('node:fs');
const Module = require('node:module');
const { AsyncLocalStorage } = require('node:async_hooks');
const { Connection } = require('./node/connection.cjs');
const { load, streaming } = require('./node/handler.cjs');
const { Worker } = require('./node/worker.cjs');
const { rejected, toDocument } = require('./node/errors.cjs');
const log = require('./node/log.cjs');

const boot = process.env.GUST_BOOT;
const address = process.env.AWS_LAMBDA_RUNTIME_API;
if (boot === undefined) {
  start(new Connection(address));
} else {
  warm().then(() => {
    const connection = new Connection(address, () => {
      bind(Number(boot));
      start(connection);
    });
  });
}

/** warm loads and compiles ahead what every function needs. */
async function warm() {
  await import('node:url'); // the loader of ES modules
  log.warm();
}

/** bind waits until it is known for which function this process is, and becomes that function's. */
function bind(fd) {
  writeSync(fd, '1');
  const parts = [];
  for (;;) {
    const part = Buffer.allocUnsafe(64 << 10);
    const n = readSync(fd, part);
    if (n === 0) break;
    parts.push(part.subarray(0, n));
  }
  closeSync(fd);
  if (parts.length === 0) process.exit(0); // nobody wants it
  const { env } = JSON.parse(Buffer.concat(parts));
  for (const name of Object.keys(process.env)) {
    if (!Object.hasOwn(env, name)) delete process.env[name];
  }
  for (const name of Object.keys(env)) {
    if (process.env[name] !== env[name]) process.env[name] = env[name];
  }
  process.env.AWS_LAMBDA_RUNTIME_API ??= address;
  process.chdir(process.env.LAMBDA_TASK_ROOT);
  Module._initPaths(); // NODE_PATH is another one now
}

/** start loads the handler and lets it work. */
async function start(connection) {
  const { env } = process;
  const many = Number(env.AWS_LAMBDA_MAX_CONCURRENCY) || 1;
  const storage = many > 1 ? new AsyncLocalStorage() : undefined;
  log.patch(storage && (() => storage.getStore()?.id));

  let workers = null; // until the handler is there
  let ending = false;
  const end = (what, err, status) => {
    log.logError(what, err);
    if (ending) return;
    ending = true;
    if (!workers) {
      connection.failInit(toDocument(err), () => process.exit(status));
      return;
    }
    const running = storage?.getStore();
    const hit = running ? workers.filter((w) => w.current === running) : workers;
    let left = hit.length;
    const done = () => --left <= 0 && process.exit(status);
    if (left === 0) done();
    for (const w of hit) w.abandon(err, done);
  };
  process.on('uncaughtException', (err) => end('Uncaught Exception', err, 129));
  process.on('unhandledRejection', (reason) => end('Unhandled Promise Rejection', rejected(reason), 128));
  process.on('beforeExit', () => {
    for (const w of workers ?? []) w.current?.whenEmpty();
  });

  let handler, stream;
  try {
    handler = await load(env.LAMBDA_TASK_ROOT, env._HANDLER);
    stream = streaming(handler);
    await new Promise(setImmediate); // a promise that was rejected meanwhile belongs to init
  } catch (err) {
    end('Uncaught Exception', err, 129);
    return;
  }
  if (ending) return;
  workers = Array.from({ length: many }, (_, i) => new Worker(i ? new Connection(address) : connection, handler, stream, storage));
  for (const w of workers) w.run();
}
