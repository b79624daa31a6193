// SPDX-License-Identifier: Apache-2.0
// The Node program of tests/polyglot: `peer.js serve CERT KEY` is a server, `peer.js call CA` a client. echo.proto says what they read and print.
'use strict';
const fs = require('fs');
const path = require('path');
const readline = require('readline');
const grpc = require('@grpc/grpc-js');
const loader = require('@grpc/proto-loader');
const { now, say, payload, Sum, question } = require('./common');

const load = (file) => grpc.loadPackageDefinition(loader.loadSync(path.join(__dirname, '..', file), { keepCase: true, longs: Number, defaults: true }));
const { Echo } = load('echo.proto').polyglot;
const MOST = { 'grpc.max_receive_message_length': 64 << 20, 'grpc.max_send_message_length': 64 << 20 };
const NAMED = { ...MOST, 'grpc.ssl_target_name_override': 'localhost', 'grpc.default_authority': 'localhost' };
const DETAILS = 'grpc-status-details-bin';

function pairs(metadata) {
  return Object.entries(metadata ? metadata.toJSON() : {}).flatMap(([key, values]) => values.map((v) =>
    (key.endsWith('-bin') ? { key, bin: v.toString('base64') } : { key, value: v })));
}

// ---- the server

// A call at the server. respond(error, answer, trailers) ends it in the way that its kind of method has.
class Handler {
  constructor(call, respond) {
    Object.assign(this, { call, respond, got: new Sum(), first: null, trailers: new grpc.Metadata(), over: false, cancelled: false });
    this.id = String(call.metadata.get('x-call')[0] || '');
    const until = call.getDeadline();
    const left = until === Infinity ? -1 : Number(until) - Date.now();
    say({ id: this.id, event: 'begun', left, metadata: pairs(call.metadata) });
    this.gone = new Promise((resolve) => {
      call.on('cancelled', () => { this.onCancelled(); resolve(); });
    });
  }

  // What the client asked to have back.
  echo() {
    const head = new grpc.Metadata();
    for (const [key, values] of Object.entries(this.call.metadata.toJSON())) {
      if (key.startsWith('x-echo-')) values.forEach((v) => head.add(key, v));
      if (key.startsWith('x-trail-')) values.forEach((v) => this.trailers.add(key, v));
    }
    this.call.sendMetadata(head);
  }

  onCancelled() {
    if (this.over) return;
    this.cancelled = true;
    say({ id: this.id, event: 'cancelled' });
    this.end('cancelled');
  }

  end(why) {
    if (this.over) return false;
    this.over = true;
    say({ id: this.id, event: 'ended', why, ...this.got.fields() });
    return true;
  }

  take(ask) {
    this.first = this.first || ask;
    this.got.add(ask.payload);
  }

  async send(n, size) {
    for (let i = 0; i < n && !this.over; i += 1) {
      if (!this.call.write({ payload: payload(size) })) {
        await Promise.race([this.gone, new Promise((resolve) => { this.call.once('drain', resolve); })]);
      }
    }
  }

  fail(code, details) {
    if (this.end('failed')) this.respond({ code, details, metadata: this.trailers });
  }

  finish(answer) {
    if (this.over || this.first.hold) return;
    if (this.first.code) {
      if (this.first.details.length) this.trailers.set(DETAILS, this.first.details);
      this.fail(this.first.code, this.first.message);
    } else if (this.end('done')) {
      this.respond(null, answer, this.trailers);
    }
  }
}

const onStream = (call) => (error, answer, trailers) => (error ? call.emit('error', error) : call.end(trailers));

const echo = {
  Unary(call, callback) {
    const h = new Handler(call, callback);
    h.take(call.request);
    if (!h.first.hold) h.echo();
    h.finish({ payload: payload(h.first.size) });
  },
  ClientStream(call, callback) {
    const h = new Handler(call, callback);
    h.echo();
    call.on('data', (ask) => h.take(ask));
    call.on('error', () => {});
    // A call that is cancelled ends its questions, too.
    call.on('end', () => setImmediate(() => h.over || h.finish({ payload: payload(h.first.size) })));
  },
  async ServerStream(call) {
    const h = new Handler(call, onStream(call));
    h.echo();
    h.take(call.request);
    await h.send(h.first.answers, h.first.size);
    h.finish();
  },
  BiDi(call) {
    const h = new Handler(call, onStream(call));
    let turn = Promise.resolve();
    h.echo();
    call.on('error', () => {});
    call.on('data', (ask) => {
      h.take(ask);
      turn = turn.then(() => h.send(h.first.answers, h.first.size));
    });
    call.on('end', () => setImmediate(() => turn.then(() => h.over || h.finish())));
  },
};

async function serve(credentials) {
  const server = new grpc.Server(MOST);
  server.addService(Echo.service, echo);
  require('./interop').addTo(server, load, Handler);
  return new Promise((resolve, reject) => {
    server.bindAsync('127.0.0.1:0', credentials, (error, port) => (error ? reject(error) : resolve(port)));
  });
}

// ---- the client

const channels = new Map();
const calls = new Map();
let ca;

function stub(Service, c) {
  const key = `${Service.serviceName} ${c.target} ${c.tls}`;
  if (!channels.has(key)) {
    const credentials = c.tls ? grpc.credentials.createSsl(ca) : grpc.credentials.createInsecure();
    channels.set(key, new Service(c.target, credentials, c.tls ? NAMED : MOST));
  }
  return channels.get(key);
}

function metadataOf(c) {
  const metadata = new grpc.Metadata();
  metadata.add('x-call', c.id);
  (c.metadata || []).forEach((p) => metadata.add(p.key, p.key.endsWith('-bin') ? Buffer.from(p.bin, 'base64') : p.value));
  return metadata;
}

function ask(c) {
  const got = new Sum();
  let head;
  let sent = 0;
  let call;
  const send = () => {
    if (sent < (c.sends || 0)) {
      call.write(question(c, sent));
      sent += 1;
      return true;
    }
    if (!c.open) call.end();
    return false;
  };
  const message = (answer) => {
    got.add(answer.payload);
    say({ id: c.id, event: 'message', ...got.fields() });
    if (c.method === 'bidi' && got.received === sent * c.ask.answers) send();
  };
  const answered = (error, answer) => { if (!error) message(answer); };
  const echoStub = stub(Echo, c);
  say({ id: c.id, event: 'started' });
  const options = c.deadline ? { deadline: Date.now() + c.deadline } : {};
  if (c.method === 'unary') call = echoStub.Unary(question(c, 0), metadataOf(c), options, answered);
  if (c.method === 'client') call = echoStub.ClientStream(metadataOf(c), options, answered);
  if (c.method === 'server') call = echoStub.ServerStream(question(c, 0), metadataOf(c), options);
  if (c.method === 'bidi') call = echoStub.BiDi(metadataOf(c), options);
  calls.set(c.id, call);
  call.on('metadata', (m) => { head = m; });
  call.on('error', () => {});
  if (c.method === 'server' || c.method === 'bidi') call.on('data', message);
  call.on('status', (s) => {
    // The status comes before the callback of a call with one answer.
    const at = now();
    setImmediate(() => {
      const [details] = s.metadata ? s.metadata.get(DETAILS) : [];
      say({ id: c.id, event: 'end', at, code: s.code, message: s.details, metadata: pairs(head), trailers: pairs(s.metadata),
        details: details ? details.toString('base64') : '', ...got.fields() });
    });
  });
  if (c.method === 'client') while (send());
  if (c.method === 'bidi') send();
}

async function interop(c) {
  let message = '';
  try {
    await require('./interop').run(c.interop, load, (Service) => stub(Service, c), () => metadataOf(c));
  } catch (error) {
    message = error.stack;
  }
  say({ id: c.id, event: 'passed', message });
}

function command(line) {
  const c = JSON.parse(line);
  if (c.method === 'cancel') {
    say({ id: c.id, event: 'cancelling' });
    calls.get(c.id).cancel();
  } else if (c.method === 'interop') {
    interop(c);
  } else {
    ask(c);
  }
}

async function main([role, ...files]) {
  const [first, second] = files.map((f) => fs.readFileSync(f));
  const input = readline.createInterface({ input: process.stdin });
  input.on('close', () => process.exit(0));
  if (role === 'serve') {
    const secure = grpc.ServerCredentials.createSsl(null, [{ cert_chain: first, private_key: second }]);
    const plain = await serve(grpc.ServerCredentials.createInsecure());
    say({ event: 'ready', plain, tls: await serve(secure) });
  } else {
    ca = first;
    input.on('line', command);
    say({ event: 'ready' });
  }
}

main(process.argv.slice(2));
