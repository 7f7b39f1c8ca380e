import { pipeline } from 'node:stream/promises';
import { Readable } from 'node:stream';

const does = {
  async text(event, out) {
    out.setContentType('text/plain');
    out.write('one ');
    out.write('two ');
    out.end('three');
  },
  async empty(event, out) { out.end(); },
  async http(event, out) {
    out = awslambda.HttpResponseStream.from(out, { statusCode: 201, headers: { 'X-A': 'b' } });
    out.write('body');
    out.end();
  },
  async bare(event, out) {
    awslambda.HttpResponseStream.from(out, { statusCode: 204 }).end();
  },
  async object(event, out) { out.write({ a: 1 }); out.end(); },
  async pipe(event, out) {
    await pipeline(Readable.from((function* () { for (let i = 0; i < event.n; i++) yield Buffer.alloc(65536, i); })()), out);
  },
  async pressure(event, out) {
    let waits = 0;
    for (let i = 0; i < event.n; i++) {
      if (!out.write(Buffer.alloc(65536, i))) { waits++; await new Promise((r) => out.once('drain', r)); }
    }
    console.log(`waited ${waits > 0}`);
    out.end();
  },
  async early() { throw new TypeError('before a word'); },
  async late(event, out) { out.write('half of it'); throw new TypeError('in the middle'); },
  async broken(event, out) {
    await pipeline(Readable.from((function* () { yield 'half'; throw new TypeError('the source broke'); })()), out);
  },
  async open(event, out) { out.write('no end'); },
  async after(event, out) { out.end('all'); out.setContentType('too/late'); },
  async uncaught(event, out) { out.write('half'); setTimeout(() => { throw new TypeError('from a timer'); }, 1); await new Promise(() => {}); },
  async returns(event, out) { out.end('x'); return 1; },
};
export const handler = awslambda.streamifyResponse((event, out, context) => does[event.do](event, out, context), { highWaterMark: 65536 });
export const plain = awslambda.streamifyResponse((event, out) => { out.end('x'); });
