// SPDX-License-Identifier: Apache-2.0
// Clients that speak what browsers speak: `web_client.mjs KIND call CA`, KIND a row of TRANSPORTS (Connect's own libraries, for Node and for fetch) or
// google-text, google-binary (grpc-web). They read and print what echo.proto says.
import { createRequire } from 'module';
import { once, EventEmitter } from 'events';
import { readFileSync } from 'fs';
import { createInterface } from 'readline';
import { setImmediate } from 'timers/promises';
import { ConnectError, createClient } from '@connectrpc/connect';
import * as node from '@connectrpc/connect-node';
import * as web from '@connectrpc/connect-web';
import { Echo, headersOf, pairs, statusOf } from './messages.mjs';

const { now, say, Sum, question } = createRequire(import.meta.url)('./common.js');
const [kind, , caFile] = process.argv.slice(2);

const onNode = (create, httpVersion, more) => (baseUrl, ca) => create({ baseUrl, httpVersion, nodeOptions: { ca }, ...more });
// Connect asks for redirect: 'error', with which Node's fetch, but no browser's, forgets its signal once garbage was collected (nodejs/undici#4627).
const fetchNow = (input, init) => fetch(input, { ...init, redirect: 'follow' });
// fetch takes no authorities: NODE_EXTRA_CA_CERTS has them. Connect's default over fetch is JSON, which few gRPC servers have.
const onFetch = (create, more) => (baseUrl) => create({ baseUrl, useBinaryFormat: true, fetch: fetchNow, ...more });
const TRANSPORTS = {
  'connect-node-1': onNode(node.createConnectTransport, '1.1'),
  'connect-node-2': onNode(node.createConnectTransport, '2'),
  'connect-node-gzip': onNode(node.createConnectTransport, '2', { sendCompression: node.compressionGzip, compressMinBytes: 1 }),
  'grpcweb-node-1': onNode(node.createGrpcWebTransport, '1.1'),
  'grpcweb-node-2': onNode(node.createGrpcWebTransport, '2'),
  'connect-web': onFetch(web.createConnectTransport),
  'connect-web-get': onFetch(web.createConnectTransport, { useHttpGet: true }),
  'connect-web-json': onFetch(web.createConnectTransport, { useBinaryFormat: false }),
  'grpcweb-web': onFetch(web.createGrpcWebTransport),
};

const clients = new Map();

function clientFor(c) {
  const url = `${c.tls ? 'https' : 'http'}://${c.target}`;
  if (!clients.has(url)) clients.set(url, createClient(Echo, TRANSPORTS[kind](url, readFileSync(caFile))));
  return clients.get(url);
}

// ---- a call

async function* questions(c, got, came, signal) {
  for (let i = 0; i < (c.sends || 0); i += 1) {
    yield question(c, i);
    while (c.method === 'bidi' && got.received < (i + 1) * c.ask.answers) await once(came, 'message', { signal });
  }
  if (c.open) await once(signal, 'abort');
}

async function play(c, options, got, message, came) {
  const client = clientFor(c);
  const all = async (answers) => {
    for await (const answer of answers) {
      message(answer);
      await setImmediate(); // what is there already would be read without a look at anything else, a command to cancel included
    }
  };
  const asks = () => questions(c, got, came, options.signal);
  if (c.method === 'unary') message(await client.unary(question(c, 0), options));
  if (c.method === 'client') message(await client.clientStream(asks(), options));
  if (c.method === 'server') await all(client.serverStream(question(c, 0), options));
  if (c.method === 'bidi') await all(client.biDi(asks(), options));
}

// Returns what cancels it.
function byConnect(c) {
  const got = new Sum();
  const came = new EventEmitter();
  const abort = new AbortController();
  const end = { code: 0, message: '' };
  const options = { headers: headersOf(c), timeoutMs: c.deadline || undefined, signal: abort.signal };
  options.onHeader = (h) => { end.metadata = pairs(h); };
  options.onTrailer = (t) => { end.trailers = pairs(t); };
  const message = (answer) => {
    got.add(answer.payload);
    say({ id: c.id, event: 'message', ...got.fields() });
    came.emit('message');
  };
  play(c, options, got, message, came).catch((thrown) => {
    const error = ConnectError.from(thrown);
    Object.assign(end, { code: error.code, message: error.rawMessage, details: error.details.length ? statusOf(error) : '' });
  }).then(() => say({ id: c.id, event: 'end', at: now(), ...end, ...got.fields() }));
  return () => abort.abort();
}

const calls = new Map();
const google = kind.startsWith('google-') && (await import('./grpc_web.mjs')).calling(kind.slice('google-'.length));

function command(line) {
  const c = JSON.parse(line);
  if (c.method === 'cancel') {
    say({ id: c.id, event: 'cancelling' });
    calls.get(c.id)();
  } else {
    say({ id: c.id, event: 'started' });
    calls.set(c.id, (google || byConnect)(c));
  }
}

const input = createInterface({ input: process.stdin });
input.on('close', () => process.exit(0));
input.on('line', command);
say({ event: 'ready' });
