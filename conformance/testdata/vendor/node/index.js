'use strict';
// The same module under the vendor's client and under Gust's own.
class Refusal extends Error {
  constructor(message) { super(message); this.name = 'Refusal'; }
}
const circular = {};
circular.self = circular;
const does = {
  echo: async (event) => event.value,
  nothing: async () => {},
  hello: async () => ({ statusCode: 200, body: 'hello' }),
  throws: async () => { throw new Refusal('not me'); },
  text: async () => { throw 'just text'; },
  circular: async () => circular,
  bigint: async () => 1n,
  exit: async (event) => process.exit(event.n),
  rejection: (event, context) => { Promise.reject(new Refusal('nobody listens')); setTimeout(() => context.succeed('late'), 1000); },
  uncaught: () => { setTimeout(() => { throw new Refusal('from a timer'); }, 1); },
  callback: (event, context, callback) => callback(null, { called: 'back' }),
  fails: (event, context, callback) => callback(new Refusal('called back')),
  fail: (event, context) => context.fail(new Refusal('failed')),
  reason: (event, context) => context.fail(),
  waits: (event, context, callback) => { setTimeout(() => {}, 10); callback(null, 'waited'); },
  never: () => {},
  pending: () => new Promise(() => {}),
  context: async (event, context) => ({
    names: Object.keys(context).filter((name) => context[name] !== undefined).sort(),
    name: context.functionName, memory: context.memoryLimitInMB, group: context.logGroupName,
    waits: context.callbackWaitsForEmptyEventLoop, left: context.getRemainingTimeInMillis() > 0,
    id: context.awsRequestId.length, trace: process.env._X_AMZN_TRACE_ID.split(';').length, cwd: process.cwd(),
    client: context.clientContext, global: typeof awslambda.streamifyResponse, arn: context.invokedFunctionArn.split(':').slice(0, 6),
  }),
};
exports.handler = (event, context, callback) => does[event.do ?? 'hello'](event, context, callback);
