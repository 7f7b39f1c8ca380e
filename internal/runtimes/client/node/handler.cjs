'use strict';

// From "folder/file.object.function" to the function, as Lambda's runtime finds
// it: the file as it is named, .js by the nearest package.json's type, .mjs,
// .cjs, and then whatever require finds.

const fs = require('node:fs');
const path = require('node:path');
const { pathToFileURL } = require('node:url');
const { Runtime } = require('./errors.cjs');
const { HttpResponseStream } = require('./stream.cjs');

const STREAMING = Symbol.for('aws.lambda.runtime.handler.streaming');
const HIGH_WATER_MARK = Symbol.for('aws.lambda.runtime.handler.streaming.highWaterMark');

/** load finds the handler below root. What it throws is in Lambda's words. */
async function load(root, name) {
  if (name.includes('..')) {
    throw new Runtime('MalformedHandlerName', `'${name}' is not a valid handler name. Use absolute paths when specifying root directories in handler names.`);
  }
  const base = path.basename(name);
  const folder = name.slice(0, name.indexOf(base));
  const dot = base.indexOf('.');
  if (dot < 0) throw new Runtime('MalformedHandlerName', 'Bad handler');
  share();
  const module = await loadModule(root, folder, base.slice(0, dot));
  const handler = base.slice(dot + 1).split('.').reduce((object, key) => object && object[key], module);
  if (!handler) throw new Runtime('HandlerNotFound', `${name} is undefined or not exported`);
  if (typeof handler !== 'function') throw new Runtime('HandlerNotFound', `${name} is not a function`);
  return handler;
}

/** share gives functions the global that makes streaming handlers. */
function share() {
  if (/^(1|true)$/.test(process.env.AWS_LAMBDA_NODEJS_NO_GLOBAL_AWSLAMBDA)) return;
  globalThis.awslambda = {
    streamifyResponse(handler, options) {
      handler[STREAMING] = 'response';
      if (typeof options?.highWaterMark === 'number') handler[HIGH_WATER_MARK] = Math.trunc(options.highWaterMark);
      return handler;
    },
    HttpResponseStream,
  };
}

async function loadModule(root, folder, module) {
  try {
    return await find(root, folder, module);
  } catch (err) {
    if (err instanceof SyntaxError) throw wrapped('UserCodeSyntaxError', err);
    if (err?.code === 'MODULE_NOT_FOUND') throw wrapped('ImportModuleError', err);
    throw err;
  }
}

/** wrapped says what an error was for the runtime, with the stack of the error. */
function wrapped(type, err) {
  const out = new Runtime(type, String(err));
  if (typeof err.stack === 'string') out.stack = `${out.name}: ${err.stack}`;
  return out;
}

function find(root, folder, module) {
  const file = path.resolve(root, folder, module);
  if (fs.existsSync(file)) return required(file);
  if (fs.existsSync(`${file}.js`)) return isModule(path.dirname(file)) ? imported(`${file}.js`) : required(`${file}.js`);
  if (fs.existsSync(`${file}.mjs`)) return imported(`${file}.mjs`);
  if (fs.existsSync(`${file}.cjs`)) return required(`${file}.cjs`);
  return require(require.resolve(module, { paths: [root, folder] }));
}

function required(file) {
  useSourceMap(file);
  return require(file);
}

function imported(file) {
  useSourceMap(file);
  return import(pathToFileURL(file).href);
}

/** Stacks are of the sources where the build has kept a map to them. */
function useSourceMap(file) {
  if (fs.existsSync(`${file}.map`)) process.setSourceMapsEnabled(true);
}

/** isModule looks for the type of the nearest package.json, up to the root or a node_modules. */
function isModule(folder) {
  if (folder.endsWith('/node_modules')) return false;
  const file = path.join(folder, 'package.json');
  if (fs.existsSync(file)) {
    try {
      return JSON.parse(fs.readFileSync(file, 'utf8'))?.type === 'module';
    } catch (err) {
      console.warn(`${file} cannot be read, it will be ignored for ES module detection purposes.`, err);
      return false;
    }
  }
  return folder !== '/' && isModule(path.dirname(folder));
}

/** streaming says whether a handler streams its answer, and with which high-water mark. */
function streaming(handler) {
  const mode = handler[STREAMING] ?? false;
  if (mode === false) return false;
  if (mode !== 'response') throw new Runtime('MalformedStreamingHandler', 'Only response streaming is supported.');
  const mark = parseInt(handler[HIGH_WATER_MARK], 10);
  return { highWaterMark: Number.isNaN(mark) ? undefined : mark };
}

module.exports = { load, streaming };
