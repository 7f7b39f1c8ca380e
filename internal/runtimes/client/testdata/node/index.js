'use strict';
// One handler for whatever a test asks for.
class Refusal extends Error {
  constructor(message) { super(message); this.name = 'Refusal'; this.detail = 7; }
}
const circular = {};
circular.self = circular;
const does = {
  echo: async (e) => e.value,
  nothing: async () => {},
  throws: async () => { throw new Refusal('not me'); },
  string: async () => { throw 'just text'; },
  circular: async () => circular,
  bigint: async () => 1n,
  exit: async (e) => process.exit(e.status),
  rejection: (e, c) => { Promise.reject(new Refusal('nobody listens')); setTimeout(() => c.succeed('late'), 1000); },
  uncaught: (e, c) => { setTimeout(() => { throw new Refusal('from a timer'); }, 1); },
  hostile: async () => { throw Object.defineProperty(new Error('x'), 'message', { get() { throw 1; } }); },
  context: async (e, c) => ({
    context: c, left: c.getRemainingTimeInMillis(), trace: process.env._X_AMZN_TRACE_ID,
    cwd: process.cwd(), node_path: process.env.NODE_PATH,
  }),
  log: async () => {
    console.log('a %s', 'message', { deep: [1] });
    console.debug('two\nlines');
    console.info({ an: 'object' });
    console.warn(new Refusal('careful'));
    console.error('it failed:', new Refusal('twice'));
    console.trace('a trace');
    console.log('{"level":"fatal","message":"own words"}');
    console.log();
  },
  big: async (e) => 'ü€'.repeat(e.n),
  size: async (e) => e.text.length,
  clock: async () => [new Date(0).getHours(), process.env.TZ, process.env.GUST_BOOT, Object.keys(process.env).sort()],
  require: async (e) => require(e.name).what,
};
exports.handler = (event, context, callback) => does[event.do](event, context, callback);
exports.nested = { deep: { handler: async () => 'nested' } };
exports.text = 'no function';

// Callbacks.
exports.calls = (event, context, callback) => {
  switch (event.do) {
    case 'callback': callback(null, { ok: true }); break;
    case 'fails': callback(new Refusal('called back')); break;
    case 'waits': setTimeout(() => console.log('after'), 20); callback(null, 'waited'); break;
    case 'open': context.callbackWaitsForEmptyEventLoop = false; setTimeout(() => {}, 60000); callback(null, 'open'); break;
    case 'never': break;
    case 'succeed': context.succeed('succeeded'); break;
    case 'fail': context.fail(new Refusal('failed')); break;
    case 'done': context.done(null, 'done'); break;
    case 'twice': callback(null, 1); callback(null, 2); break;
    case 'circular': callback(null, circular); break;
  }
};
exports.pending = () => new Promise(() => {});
