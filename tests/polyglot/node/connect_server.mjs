// SPDX-License-Identifier: Apache-2.0
// Connect's own server for Node: `connect_server.mjs serve CERT KEY`. It speaks Connect, gRPC and gRPC-Web over HTTP/2, by prior knowledge and over TLS,
// and over HTTP/1.1; echo.proto says what it prints.
import { createRequire } from 'module';
import http from 'http';
import http2 from 'http2';
import { readFileSync } from 'fs';
import { ConnectError } from '@connectrpc/connect';
import { connectNodeAdapter } from '@connectrpc/connect-node';
import { Echo, detailsOf, pairs } from './messages.mjs';

const { say, payload, Sum } = createRequire(import.meta.url)('./common.js');

// A call, from the moment that its handler begins.
class Call {
  constructor(context) {
    Object.assign(this, { context, got: new Sum(), first: null, over: false });
    this.id = context.requestHeader.get('x-call') || '';
    say({ id: this.id, event: 'begun', left: context.timeoutMs() ?? -1, metadata: pairs(context.requestHeader) });
    this.gone = new Promise((resolve) => {
      context.signal.addEventListener('abort', () => { this.onGone(); resolve(); });
    });
  }

  // What the client asked to have back.
  echo() {
    for (const [key, value] of this.context.requestHeader) {
      if (key.startsWith('x-echo-')) this.context.responseHeader.append(key, value);
      if (key.startsWith('x-trail-')) this.context.responseTrailer.append(key, value);
    }
    return this;
  }

  onGone() {
    if (this.over) return;
    say({ id: this.id, event: 'cancelled' });
    this.end('cancelled');
  }

  end(why) {
    if (this.over) return;
    this.over = true;
    say({ id: this.id, event: 'ended', why, ...this.got.fields() });
  }

  take(ask) {
    this.first = this.first || ask;
    this.got.add(ask.payload);
  }

  async finish() {
    if (this.first.hold) {
      await this.gone;
      this.context.signal.throwIfAborted();
    }
    if (this.first.code) {
      this.end('failed');
      const error = new ConnectError(this.first.message, this.first.code);
      error.details = detailsOf(this.first.details);
      throw error;
    }
    this.end('done');
  }

  async* answers() {
    for (let i = 0; i < this.first.answers && !this.over; i += 1) yield { payload: payload(this.first.size) };
  }
}

const echo = {
  async unary(ask, context) {
    const call = new Call(context);
    if (!ask.hold) call.echo();
    call.take(ask);
    await call.finish();
    return { payload: payload(ask.size) };
  },
  async clientStream(asks, context) {
    const call = new Call(context).echo();
    for await (const ask of asks) call.take(ask);
    await call.finish();
    return { payload: payload(call.first.size) };
  },
  async* serverStream(ask, context) {
    const call = new Call(context).echo();
    call.take(ask);
    yield* call.answers();
    await call.finish();
  },
  async* biDi(asks, context) {
    const call = new Call(context).echo();
    for await (const ask of asks) {
      call.take(ask);
      yield* call.answers();
    }
    await call.finish();
  },
};

const handler = connectNodeAdapter({ routes: (router) => router.service(Echo, echo), readMaxBytes: 64 << 20 });

const listening = (server) => new Promise((resolve) => { server.listen(0, '127.0.0.1', () => resolve(server.address().port)); });

const [cert, key] = process.argv.slice(-2).map((file) => readFileSync(file));
const plain = await listening(http2.createServer(handler));
const tls = await listening(http2.createSecureServer({ cert, key }, handler));
say({ event: 'ready', plain, tls, http1: await listening(http.createServer(handler)) });
process.stdin.on('end', () => process.exit(0)).resume();
