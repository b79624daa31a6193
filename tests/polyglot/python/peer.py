# SPDX-License-Identifier: Apache-2.0
"""The Python program of tests/polyglot: `peer.py serve CERT KEY` is a server, `peer.py call CA` a client. echo.proto says what they read and
print."""
import queue
import sys
import threading
import time
import zlib
from concurrent import futures

import echo_pb2 as pb
import echo_pb2_grpc as rpc
import grpc
import interop_cases
from google.protobuf import json_format

MOST = [("grpc.max_receive_message_length", 64 << 20), ("grpc.max_send_message_length", 64 << 20)]
NAMED = MOST + [("grpc.ssl_target_name_override", "localhost")]
DETAILS = "grpc-status-details-bin"
printing = threading.Lock()


def now():
    return time.monotonic_ns() / 1e6


def say(**fields):
    event = pb.Event(**fields)
    event.at = event.at or now()
    line = json_format.MessageToJson(event, indent=None)
    with printing:
        sys.stdout.write(line + "\n")
        sys.stdout.flush()


def pairs(metadata):
    return [pb.Pair(key=k, bin=v) if k.endswith("-bin") else pb.Pair(key=k, value=v) for k, v in metadata or ()]


def payload(n):
    return (bytes(range(256)) * (n // 256 + 1))[:n]


class Sum:
    def __init__(self):
        self.messages = self.bytes = 0
        self.adler = 1

    def add(self, data):
        self.messages += 1
        self.bytes += len(data)
        self.adler = zlib.adler32(data, self.adler)

    def fields(self):
        return {"received": self.messages, "bytes": self.bytes, "adler": self.adler}


# ---- the server


class Cancelled(Exception):
    pass


class Call:
    """A call at the server, from the moment that its handler begins."""

    def __init__(self, context):
        self.context = context
        self.got = Sum()
        self.over = threading.Event()
        self.lock = threading.Lock()
        self.cancelled = self.failed = self.ended = False
        metadata = context.invocation_metadata()
        self.id = dict(metadata).get("x-call", "")
        left = context.time_remaining()
        say(id=self.id, event="begun", metadata=pairs(metadata), left=-1 if left is None or left > 1e9 else left * 1e3)
        if not context.add_callback(self.on_over):
            self.on_over()

    def echo(self):
        metadata = self.context.invocation_metadata()
        self.context.send_initial_metadata([(k, v) for k, v in metadata if k.startswith("x-echo-")])
        self.trailers = [(k, v) for k, v in metadata if k.startswith("x-trail-")]
        self.context.set_trailing_metadata(self.trailers)
        return self

    def on_over(self):
        with self.lock:
            if not self.ended and not self.cancelled:
                self.cancelled = True
                say(id=self.id, event="cancelled")
        self.over.set()

    def __enter__(self):
        return self

    def __exit__(self, kind, value, trace):
        if kind and not self.failed:  # reading or writing failed, which it does once the call is cancelled
            self.over.wait()
        with self.lock:
            self.ended = True
            why = "cancelled" if self.cancelled else "failed" if kind else "done"
            say(id=self.id, event="ended", why=why, **self.got.fields())
        return kind is not None and not self.failed

    def fail(self, code, message):
        self.failed = True
        self.context.abort(next(c for c in grpc.StatusCode if c.value[0] == code), message)  # raises

    def finish(self, ask):
        if ask.hold:
            self.over.wait()
            raise Cancelled
        if ask.details:
            self.context.set_trailing_metadata(self.trailers + [(DETAILS, ask.details)])
        if ask.code:
            self.fail(ask.code, ask.message)


class Echo(rpc.EchoServicer):
    def Unary(self, request, context):
        with Call(context) as c:
            if not request.hold:
                c.echo()
            c.got.add(request.payload)
            c.finish(request)
            return pb.Answer(payload=payload(request.size))
        return pb.Answer()

    def ClientStream(self, request_iterator, context):
        with Call(context) as c:
            c.echo()
            first = None
            for ask in request_iterator:
                first = first or ask
                c.got.add(ask.payload)
            c.finish(first)
            return pb.Answer(payload=payload(first.size))
        return pb.Answer()

    def ServerStream(self, request, context):
        with Call(context) as c:
            c.echo()
            c.got.add(request.payload)
            for _ in range(request.answers):
                yield pb.Answer(payload=payload(request.size))
            c.finish(request)

    def BiDi(self, request_iterator, context):
        with Call(context) as c:
            c.echo()
            first = None
            for ask in request_iterator:
                c.got.add(ask.payload)
                first = first or ask
                for _ in range(first.answers):
                    yield pb.Answer(payload=payload(first.size))
            c.finish(first)


def serve(credentials=None):
    server = grpc.server(futures.ThreadPoolExecutor(max_workers=64), options=MOST)
    rpc.add_EchoServicer_to_server(Echo(), server)
    interop_cases.add_to(server, Call)
    port = server.add_secure_port("127.0.0.1:0", credentials) if credentials else server.add_insecure_port("127.0.0.1:0")
    server.start()
    return server, port


# ---- the client


class Asking:
    """A call at the client."""

    def __init__(self, command):
        self.command = command
        self.got = Sum()
        self.call = None
        self.metadata = [("x-call", command.id)] + [(p.key, p.bin if p.key.endswith("-bin") else p.value) for p in command.metadata]
        self.answered = queue.Queue()
        self.over = threading.Event()

    def question(self, i):
        ask = pb.Ask()
        if i == 0:
            ask.CopyFrom(self.command.ask)
        ask.payload = payload(self.command.size)
        return ask

    def message(self, answer):
        self.got.add(answer.payload)
        say(id=self.command.id, event="message", **self.got.fields())

    def questions(self):
        for i in range(self.command.sends):
            yield self.question(i)
            if self.command.method == "bidi":
                for _ in range(self.command.ask.answers):
                    if self.answered.get() is None:
                        return
        if self.command.open:
            self.over.wait()

    def start(self, stub):
        more = {"metadata": self.metadata, "timeout": self.command.deadline / 1e3 or None}
        method = self.command.method
        say(id=self.command.id, event="started")
        if method == "unary":
            self.call = stub.Unary.future(self.question(0), **more)
        elif method == "client":
            self.call = stub.ClientStream.future(self.questions(), **more)
        elif method == "server":
            self.call = stub.ServerStream(self.question(0), **more)
        else:
            self.call = stub.BiDi(self.questions(), **more)
        threading.Thread(target=self.read, daemon=True).start()

    def read(self):
        try:
            if self.command.method in ("unary", "client"):
                self.message(self.call.result())
            else:
                for answer in self.call:
                    self.message(answer)
                    self.answered.put(True)
        except (grpc.RpcError, grpc.FutureCancelledError):
            pass
        at = now()
        self.over.set()
        self.answered.put(None)
        trailers = self.call.trailing_metadata() or ()
        say(id=self.command.id, event="end", at=at, code=self.call.code().value[0], message=self.call.details() or "",
            metadata=pairs(self.call.initial_metadata()), trailers=pairs(trailers), details=dict(trailers).get(DETAILS), **self.got.fields())


class Client:
    def __init__(self, ca):
        with open(ca, "rb") as f:
            self.credentials = grpc.ssl_channel_credentials(f.read())
        self.channels, self.calls = {}, {}

    def channel(self, c):
        key = c.target, c.tls
        if key not in self.channels:
            self.channels[key] = grpc.secure_channel(c.target, self.credentials, NAMED) if c.tls else grpc.insecure_channel(c.target, MOST)
        return self.channels[key]

    def interop(self, c):
        message = ""
        try:
            interop_cases.CASES[c.interop](self.channel(c), [("x-call", c.id)] + [(p.key, p.value) for p in c.metadata])
        except Exception as e:  # pylint: disable=broad-except
            message = repr(e)
        say(id=c.id, event="passed", message=message)

    def command(self, line):
        c = json_format.Parse(line, pb.Command())
        if c.method == "cancel":
            say(id=c.id, event="cancelling")
            self.calls[c.id].call.cancel()
        elif c.method == "interop":
            threading.Thread(target=self.interop, args=(c,), daemon=True).start()
        else:
            self.calls[c.id] = Asking(c)
            self.calls[c.id].start(rpc.EchoStub(self.channel(c)))


def main():
    if sys.argv[1] == "serve":
        with open(sys.argv[2], "rb") as certificate, open(sys.argv[3], "rb") as key:
            credentials = grpc.ssl_server_credentials([(key.read(), certificate.read())])
        plain, secure = serve(), serve(credentials)
        say(event="ready", plain=plain[1], tls=secure[1])
        sys.stdin.read()
    else:
        client = Client(sys.argv[2])
        say(event="ready")
        for line in sys.stdin:
            client.command(line)


if __name__ == "__main__":
    main()
