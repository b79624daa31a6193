# SPDX-License-Identifier: Apache-2.0
"""gRPC's interoperability cases and their server, after grpc/doc/interop-test-descriptions.md. CASES: name to function(channel, metadata)."""
import queue

import grpc
import interop_pb2 as it
import interop_pb2_grpc as rpc

ECHO_HEAD, ECHO_TRAILER = "x-grpc-test-echo-initial", "x-grpc-test-echo-trailing-bin"
WHITESPACE = "\t\ntest with whitespace\r\nand Unicode BMP \u263a and non-BMP \U0001f608\t\n"
QUESTIONS, ANSWERS = (27182, 8, 1828, 45904), (31415, 9, 2653, 58979)
PATIENCE = 10


def of(n):
    return it.Payload(body=bytes(n))


# ---- the server


class TestService(rpc.TestServiceServicer):
    def __init__(self, call):
        self.call = call

    @staticmethod
    def echo(context):
        metadata = dict(context.invocation_metadata())
        context.send_initial_metadata([(ECHO_HEAD, metadata[ECHO_HEAD])] if ECHO_HEAD in metadata else [])
        context.set_trailing_metadata([(ECHO_TRAILER, metadata[ECHO_TRAILER])] if ECHO_TRAILER in metadata else [])

    def EmptyCall(self, request, context):
        with self.call(context):
            return it.Empty()

    def UnaryCall(self, request, context):
        with self.call(context) as c:
            self.echo(context)
            c.got.add(request.payload.body)
            if request.response_status.code:
                c.fail(request.response_status.code, request.response_status.message)
            return it.SimpleResponse(payload=of(request.response_size))
        return it.SimpleResponse()

    def StreamingOutputCall(self, request, context):
        with self.call(context):
            for p in request.response_parameters:
                yield it.StreamingOutputCallResponse(payload=of(p.size))

    def StreamingInputCall(self, request_iterator, context):
        with self.call(context) as c:
            for request in request_iterator:
                c.got.add(request.payload.body)
            return it.StreamingInputCallResponse(aggregated_payload_size=c.got.bytes)
        return it.StreamingInputCallResponse()

    def FullDuplexCall(self, request_iterator, context):
        with self.call(context) as c:
            self.echo(context)
            for request in request_iterator:
                c.got.add(request.payload.body)
                if request.response_status.code:
                    c.fail(request.response_status.code, request.response_status.message)
                for p in request.response_parameters:
                    yield it.StreamingOutputCallResponse(payload=of(p.size))


def add_to(server, call):
    rpc.add_TestServiceServicer_to_server(TestService(call), server)


# ---- the cases


def expect(value, wanted):
    if value != wanted:
        raise AssertionError(f"{value!r}, expected {wanted!r}")


def fails(function, code, message=None):
    """Calls it, and expects that it ends with this status."""
    try:
        function()
    except (grpc.RpcError, grpc.FutureCancelledError) as e:
        if isinstance(e, grpc.RpcError):
            expect(e.code(), code)
        else:
            expect(grpc.StatusCode.CANCELLED, code)
        if message is not None:
            expect(e.details(), message)
    else:
        raise AssertionError(f"it did not fail with {code}")


def output(size, *sizes):
    return it.StreamingOutputCallRequest(payload=of(size), response_parameters=[it.ResponseParameters(size=n) for n in sizes])


class Questions:
    """The client's side of a stream, question by question."""

    def __init__(self):
        self.waiting = queue.Queue()

    def __iter__(self):
        return self

    def __next__(self):
        question = self.waiting.get()
        if question is None:
            raise StopIteration
        return question

    def put(self, question):
        self.waiting.put(question)

    def close(self):
        self.waiting.put(None)


def empty_unary(stub, more):
    stub.EmptyCall(it.Empty(), **more)


def large_unary(stub, more):
    answer = stub.UnaryCall(it.SimpleRequest(response_size=314159, payload=of(271828)), **more)
    expect(len(answer.payload.body), 314159)


def client_streaming(stub, more):
    answer = stub.StreamingInputCall(iter([it.StreamingInputCallRequest(payload=of(n)) for n in QUESTIONS]), **more)
    expect(answer.aggregated_payload_size, 74922)


def server_streaming(stub, more):
    expect([len(a.payload.body) for a in stub.StreamingOutputCall(output(0, *ANSWERS), **more)], list(ANSWERS))


def ping_pong(stub, more):
    questions = Questions()
    call = stub.FullDuplexCall(questions, **more)
    for question, answer in zip(QUESTIONS, ANSWERS):
        questions.put(output(question, answer))
        expect(len(next(call).payload.body), answer)
    questions.close()
    expect(list(call), [])


def empty_stream(stub, more):
    expect(list(stub.FullDuplexCall(iter([]), **more)), [])


def custom_metadata(stub, more):
    sent = [(ECHO_HEAD, "test_initial_metadata_value"), (ECHO_TRAILER, b"\xab\xab\xab")]
    more = {**more, "metadata": more["metadata"] + sent}
    _, unary = stub.UnaryCall.with_call(it.SimpleRequest(response_size=314159, payload=of(271828)), **more)
    duplex = stub.FullDuplexCall(iter([output(271828, 314159)]), **more)
    expect([len(a.payload.body) for a in duplex], [314159])
    for call in (unary, duplex):
        expect(dict(call.initial_metadata())[ECHO_HEAD], sent[0][1])
        expect(dict(call.trailing_metadata())[ECHO_TRAILER], sent[1][1])


def status_code_and_message(stub, more):
    wanted = it.EchoStatus(code=2, message="test status message")
    fails(lambda: stub.UnaryCall(it.SimpleRequest(response_status=wanted), **more), grpc.StatusCode.UNKNOWN, wanted.message)
    duplex = stub.FullDuplexCall(iter([it.StreamingOutputCallRequest(response_status=wanted)]), **more)
    fails(lambda: list(duplex), grpc.StatusCode.UNKNOWN, wanted.message)


def special_status_message(stub, more):
    wanted = it.EchoStatus(code=2, message=WHITESPACE)
    fails(lambda: stub.UnaryCall(it.SimpleRequest(response_status=wanted), **more), grpc.StatusCode.UNKNOWN, WHITESPACE)


def unimplemented_method(stub, more):
    fails(lambda: stub.UnimplementedCall(it.Empty(), **more), grpc.StatusCode.UNIMPLEMENTED)


def unimplemented_service(stub, more):
    fails(lambda: stub.UnimplementedCall(it.Empty(), **more), grpc.StatusCode.UNIMPLEMENTED)


def cancel_after_begin(stub, more):
    call = stub.StreamingInputCall.future(Questions(), **more)
    call.cancel()
    expect(call.code(), grpc.StatusCode.CANCELLED)


def cancel_after_first_response(stub, more):
    questions = Questions()
    call = stub.FullDuplexCall(questions, **more)
    questions.put(output(27182, 31415))
    next(call)
    call.cancel()
    fails(lambda: next(call), grpc.StatusCode.CANCELLED)


def timeout_on_sleeping_server(stub, more):
    questions = Questions()
    questions.put(output(27182))
    call = stub.FullDuplexCall(questions, **{**more, "timeout": 0.001})
    fails(lambda: next(call), grpc.StatusCode.DEADLINE_EXCEEDED)


def _case(function):
    stub = rpc.UnimplementedServiceStub if function is unimplemented_service else rpc.TestServiceStub
    return lambda channel, metadata: function(stub(channel), {"metadata": metadata, "timeout": PATIENCE})


CASES = {f.__name__: _case(f) for f in (
    empty_unary, large_unary, client_streaming, server_streaming, ping_pong, empty_stream, custom_metadata, status_code_and_message,
    special_status_message, unimplemented_method, unimplemented_service, cancel_after_begin, cancel_after_first_response,
    timeout_on_sleeping_server)}
