// SPDX-License-Identifier: Apache-2.0
// Google's own client of gRPC-Web, in text or binary. It is made for browsers, and all that it needs of one is XMLHttpRequest.
import { createRequire } from 'module';
import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import { Answer, Ask, headersOf } from './messages.mjs';

const require = createRequire(import.meta.url);
const { now, say, Sum, question } = require('./common.js');
const CANCELLED = 1;
const DETAILS = 'grpc-status-details-bin';

const padded = (base64) => Buffer.from(base64, 'base64').toString('base64');
const pairs = (fields) => Object.entries(fields || {}).map(([key, value]) => (key.endsWith('-bin') ? { key, bin: padded(value) } : { key, value }));

export function calling(format) {
  global.XMLHttpRequest = require(format === 'text' ? 'xmlhttprequest' : 'xhr2').XMLHttpRequest;
  const { GrpcWebClientBase, MethodDescriptor, MethodType } = require('grpc-web');
  const client = new GrpcWebClientBase({ format });
  const method = (name, type) => new MethodDescriptor(`/polyglot.Echo/${name}`, type, Object, Object,
    (ask) => toBinary(Ask, create(Ask, ask)), (bytes) => fromBinary(Answer, bytes));
  const methods = { unary: method('Unary', MethodType.UNARY), server: method('ServerStream', MethodType.SERVER_STREAMING) };

  // Returns what cancels it.
  return (c) => {
    const got = new Sum();
    const end = { code: 0, message: '' };
    let over = false;
    const onEnd = (more) => {
      if (!over) say({ id: c.id, event: 'end', at: now(), ...Object.assign(end, more), ...got.fields() });
      over = true;
    };
    const metadata = Object.fromEntries(headersOf(c));
    if (c.deadline) metadata.deadline = String(Date.now() + c.deadline);
    const url = `${c.tls ? 'https' : 'http'}://${c.target}${methods[c.method].getName()}`;
    const message = (answer) => {
      got.add(answer.payload);
      say({ id: c.id, event: 'message', ...got.fields() });
    };
    const failed = (error) => onEnd({ code: error.code, message: error.message, details: padded((error.metadata || {})[DETAILS] || '') });
    const ask = [url, question(c, 0), metadata, methods[c.method]];
    const answered = (error, answer) => (error ? failed(error) : message(answer)); // a unary call has no other word of either
    const call = c.method === 'unary' ? client.rpcCall(...ask, answered) : client.serverStreaming(...ask);
    call.on('metadata', (fields) => { end.metadata = pairs(fields); });
    call.on('status', (status) => { end.trailers = pairs(status.metadata); });
    call.on('data', message);
    call.on('error', failed);
    call.on('end', () => onEnd({}));
    return () => { // after which the library says no more
      call.cancel();
      onEnd({ code: CANCELLED });
    };
  };
}
