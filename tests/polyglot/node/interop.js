// SPDX-License-Identifier: Apache-2.0
// gRPC's interoperability cases and their server, after grpc/doc/interop-test-descriptions.md.
'use strict';
const assert = require('assert');
const grpc = require('@grpc/grpc-js');

const HEAD = 'x-grpc-test-echo-initial';
const TRAILER = 'x-grpc-test-echo-trailing-bin';
const WHITESPACE = '\t\ntest with whitespace\r\nand Unicode BMP \u263a and non-BMP \u{1f608}\t\n';
const QUESTIONS = [27182, 8, 1828, 45904];
const ANSWERS = [31415, 9, 2653, 58979];
const { status } = grpc;

const services = (load) => load('interop.proto').grpc.testing;
const of = (n) => ({ body: Buffer.alloc(n) });
const output = (size, ...sizes) => ({ payload: of(size), response_parameters: sizes.map((n) => ({ size: n })) });

// ---- the server

function addTo(server, load, Handler) {
  const begin = (call, respond) => {
    const h = new Handler(call, respond);
    const head = new grpc.Metadata();
    call.metadata.get(HEAD).forEach((v) => head.add(HEAD, v));
    call.metadata.get(TRAILER).forEach((v) => h.trailers.add(TRAILER, v));
    call.sendMetadata(head);
    h.first = { hold: false, code: 0 };
    return h;
  };
  const onStream = (call) => (error, answer, trailers) => (error ? call.emit('error', error) : call.end(trailers));
  server.addService(services(load).TestService.service, {
    EmptyCall(call, callback) {
      begin(call, callback).finish({});
    },
    UnaryCall(call, callback) {
      const h = begin(call, callback);
      const { payload, response_status: wanted, response_size: size } = call.request;
      h.got.add(payload ? payload.body : Buffer.alloc(0));
      if (wanted && wanted.code) h.fail(wanted.code, wanted.message);
      else h.finish({ payload: of(size) });
    },
    async StreamingOutputCall(call) {
      const h = begin(call, onStream(call));
      call.request.response_parameters.forEach((p) => call.write({ payload: of(p.size) }));
      h.finish();
    },
    StreamingInputCall(call, callback) {
      const h = begin(call, callback);
      call.on('data', (m) => h.got.add(m.payload.body));
      call.on('error', () => {});
      call.on('end', () => setImmediate(() => h.over || h.finish({ aggregated_payload_size: h.got.bytes })));
    },
    FullDuplexCall(call) {
      const h = begin(call, onStream(call));
      call.on('error', () => {});
      call.on('data', (m) => {
        h.got.add(m.payload ? m.payload.body : Buffer.alloc(0));
        const wanted = m.response_status;
        if (wanted && wanted.code) h.fail(wanted.code, wanted.message);
        else m.response_parameters.forEach((p) => call.write({ payload: of(p.size) }));
      });
      call.on('end', () => setImmediate(() => h.over || h.finish()));
    },
  });
}

// ---- the cases

// A call with one answer, to its end: {error, answer, head, trailers}.
function one(start) {
  return new Promise((resolve) => {
    const seen = {};
    const call = start((error, answer) => { Object.assign(seen, { error, answer }); });
    call.on('metadata', (m) => { seen.head = m; });
    call.on('status', (s) => setImmediate(() => resolve({ ...seen, code: s.code, details: s.details, trailers: s.metadata })));
  });
}

// A stream, to its end; onData may write more. The same, with the lengths of all answers.
function all(call, onData = () => {}) {
  return new Promise((resolve) => {
    const seen = { sizes: [] };
    call.on('metadata', (m) => { seen.head = m; });
    call.on('error', () => {});
    call.on('data', (m) => { seen.sizes.push(m.payload.body.length); onData(seen.sizes.length); });
    call.on('status', (s) => setImmediate(() => resolve({ ...seen, code: s.code, details: s.details, trailers: s.metadata })));
  });
}

function ended(seen, code, details) {
  assert.strictEqual(seen.code, code, `status ${seen.code} (${seen.details}), expected ${code}`);
  if (details !== undefined) assert.strictEqual(seen.details, details);
}

const cases = {
  async empty_unary(test, md, options) {
    ended(await one((done) => test.EmptyCall({}, md(), options, done)), status.OK);
  },
  async large_unary(test, md, options) {
    const seen = await one((done) => test.UnaryCall({ response_size: 314159, payload: of(271828) }, md(), options, done));
    ended(seen, status.OK);
    assert.strictEqual(seen.answer.payload.body.length, 314159);
  },
  async client_streaming(test, md, options) {
    const seen = await one((done) => {
      const call = test.StreamingInputCall(md(), options, done);
      QUESTIONS.forEach((n) => call.write({ payload: of(n) }));
      call.end();
      return call;
    });
    ended(seen, status.OK);
    assert.strictEqual(seen.answer.aggregated_payload_size, 74922);
  },
  async server_streaming(test, md, options) {
    const seen = await all(test.StreamingOutputCall(output(0, ...ANSWERS), md(), options));
    ended(seen, status.OK);
    assert.deepStrictEqual(seen.sizes, ANSWERS);
  },
  async ping_pong(test, md, options) {
    const call = test.FullDuplexCall(md(), options);
    const ask = (i) => (i < QUESTIONS.length ? call.write(output(QUESTIONS[i], ANSWERS[i])) : call.end());
    ask(0);
    const seen = await all(call, ask);
    ended(seen, status.OK);
    assert.deepStrictEqual(seen.sizes, ANSWERS);
  },
  async empty_stream(test, md, options) {
    const call = test.FullDuplexCall(md(), options);
    call.end();
    const seen = await all(call);
    ended(seen, status.OK);
    assert.deepStrictEqual(seen.sizes, []);
  },
  async custom_metadata(test, md, options) {
    const binary = Buffer.from([0xab, 0xab, 0xab]);
    const sent = () => {
      const metadata = md();
      metadata.add(HEAD, 'test_initial_metadata_value');
      metadata.add(TRAILER, binary);
      return metadata;
    };
    const unary = await one((done) => test.UnaryCall({ response_size: 314159, payload: of(271828) }, sent(), options, done));
    const call = test.FullDuplexCall(sent(), options);
    call.write(output(271828, 314159));
    call.end();
    const duplex = await all(call);
    [unary, duplex].forEach((seen) => {
      ended(seen, status.OK);
      assert.deepStrictEqual(seen.head.get(HEAD), ['test_initial_metadata_value']);
      assert.deepStrictEqual(seen.trailers.get(TRAILER), [binary]);
    });
  },
  async status_code_and_message(test, md, options) {
    const wanted = { code: 2, message: 'test status message' };
    ended(await one((done) => test.UnaryCall({ response_status: wanted }, md(), options, done)), 2, wanted.message);
    const call = test.FullDuplexCall(md(), options);
    call.write({ response_status: wanted });
    call.end();
    ended(await all(call), 2, wanted.message);
  },
  async special_status_message(test, md, options) {
    const wanted = { code: 2, message: WHITESPACE };
    ended(await one((done) => test.UnaryCall({ response_status: wanted }, md(), options, done)), 2, WHITESPACE);
  },
  async unimplemented_method(test, md, options) {
    ended(await one((done) => test.UnimplementedCall({}, md(), options, done)), status.UNIMPLEMENTED);
  },
  async unimplemented_service(test, md, options, other) {
    ended(await one((done) => other.UnimplementedCall({}, md(), options, done)), status.UNIMPLEMENTED);
  },
  async cancel_after_begin(test, md, options) {
    ended(await one((done) => {
      const call = test.StreamingInputCall(md(), options, done);
      setImmediate(() => call.cancel());
      return call;
    }), status.CANCELLED);
  },
  async cancel_after_first_response(test, md, options) {
    const call = test.FullDuplexCall(md(), options);
    call.write(output(27182, 31415));
    const seen = await all(call, () => call.cancel());
    ended(seen, status.CANCELLED);
    assert.deepStrictEqual(seen.sizes, [31415]);
  },
  async timeout_on_sleeping_server(test, md) {
    const call = test.FullDuplexCall(md(), { deadline: Date.now() + 1 });
    call.write(output(27182));
    ended(await all(call), status.DEADLINE_EXCEEDED);
  },
};

function run(name, load, stub, metadata) {
  const { TestService, UnimplementedService } = services(load);
  return cases[name](stub(TestService), metadata, { deadline: Date.now() + 10000 }, stub(UnimplementedService));
}

module.exports = { addTo, run };
