// SPDX-License-Identifier: Apache-2.0
// What the Node programs of tests/polyglot share: lines of JSON, payloads, and the sum of those that came.
'use strict';

const EVERY = Buffer.from([...Array(256).keys()]);

const now = () => Number(process.hrtime.bigint()) / 1e6;
const say = (event) => process.stdout.write(`${JSON.stringify({ at: now(), ...event })}\n`);
const payload = (n) => Buffer.alloc(n, EVERY);

class Sum {
  constructor() {
    Object.assign(this, { received: 0, bytes: 0, a: 1, b: 0 });
  }

  add(data) {
    this.received += 1;
    this.bytes += data.length;
    for (let i = 0; i < data.length;) { // so many additions cannot pass 2^53
      for (const end = Math.min(data.length, i + 5552); i < end; i += 1) {
        this.a += data[i];
        this.b += this.a;
      }
      this.a %= 65521;
      this.b %= 65521;
    }
  }

  fields() {
    return { received: this.received, bytes: this.bytes, adler: this.b * 65536 + this.a };
  }
}

// The message of a stream of questions, or the only one, as the command says.
function question(c, i) {
  const ask = i === 0 && c.ask ? { ...c.ask, details: Buffer.from(c.ask.details || '', 'base64') } : {};
  return { ...ask, payload: payload(c.size || 0) };
}

module.exports = { now, say, payload, Sum, question };
