# SPDX-License-Identifier: Apache-2.0
"""Plays the walk: a gateway with a route for each policy and upstream, scripted ends on both sides, and what each of them saw in the words of
walk_table.py. A combination is one thread that moves both ends in turn: it asks, waits until the upstream has what the moment wants, lets
the cause happen, and looks. Nothing sleeps where there is something to wait for.
"""
import base64
import collections
import contextlib
import json
import queue
import re
import select
import socket
import ssl
import struct
import threading
import time

import h2
import walk_table as table
from harness import HOST, PATIENCE, Gateway, Gone, Message, Upstream, Wire, curfew, eventually, expect, free_port, yaml
from rpc import end_stream, frame, frames

LIMITS = (0.4, 1.2, 4.0)  # seconds of every limit that is to pass; the next one where the machine was too busy to bring both ends to their moment in time
QUIET = 0.03   # and of every look at what must not happen
LANES = 32

# ---- wires ---------------------------------------------------------------------------------------------------------------------------


class SecureWire(Wire):
    """TLS that one thread reads while another writes."""

    def __init__(self, sock, patience=PATIENCE):
        super().__init__(sock, patience)
        self.turn = threading.Lock()
        sock.settimeout(0)

    def send(self, data):
        view = memoryview(data)
        while view:
            try:
                with self.turn:
                    view = view[self.sock.send(view) :]
            except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
                select.select([], [self.sock], [], 1)

    def fill(self, timeout=None):
        until = time.monotonic() + (self.patience if timeout is None else timeout)
        while not self.ended:
            try:
                with self.turn:
                    data = self.sock.recv(65536)
            except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
                left = until - time.monotonic()
                assert left > 0, f"nothing came; unread: {self.unread[-300:]!r}"
                select.select([self.sock], [], [], left)
                continue
            except (ssl.SSLError, ConnectionResetError):
                data, self.ended = b"", "rst"
            self.unread += data
            if data:
                return True
            self.ended = self.ended or "fin"
            self.ended_at = time.monotonic()
        return False

    def half_close(self):
        with contextlib.suppress(OSError, ValueError), self.turn:  # close_notify goes; the peer's is not waited for
            self.sock.unwrap()
        with contextlib.suppress(OSError):
            socket.socket.shutdown(self.sock, socket.SHUT_WR)

    def close(self):
        self.half_close()
        self.sock.close()


# ---- the upstream's side ----------------------------------------------------------------------------------------------------------------


class Asked:
    """A request as an upstream has it. Its own thread reads; the combination's thread answers, and waits for what was read."""

    def __init__(self, target, length):
        self.target, self.length = target, length
        self.changed = threading.Condition()
        self.body_bytes, self.whole, self.gone, self.opened = 0, False, None, False
        self.over = threading.Event()  # nothing more is said

    def note(self, **what):
        with self.changed:
            self.__dict__.update(what)
            self.changed.notify_all()

    def wait(self, predicate, what, seconds=PATIENCE):
        with self.changed:
            assert self.changed.wait_for(predicate, seconds), f"the upstream waited {seconds} s for {what}"


class Asked1(Asked):
    """Over HTTP/1."""

    def __init__(self, wire, message):
        super().__init__(message.target, int(message.get("content-length") or 0))
        self.wire, self.message = wire, message
        self.told = None

    def write(self, data):
        with contextlib.suppress(OSError):
            self.wire.send(data)

    def head(self, status=200, *fields):
        if status == 101:
            self.write(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: x\r\n\r\n")
        else:
            self.write("\r\n".join((f"HTTP/1.1 {status} OK", "Transfer-Encoding: chunked", *fields, "", "")).encode())

    def piece(self, data):
        self.write(data if self.opened == "tunnel" else b"%x\r\n%s\r\n" % (len(data), data))

    def finish(self, trailers=()):
        self.write(b"0\r\n" + b"".join(t.encode() + b"\r\n" for t in trailers) + b"\r\n")

    def close(self):
        with contextlib.suppress(OSError):
            self.wire.half_close()
        self.over.set()

    def end_direction(self):
        self.close()

    def reset_connection(self):
        socket.socket.setsockopt(self.wire.sock, socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.wire.resets = True
        self.over.set()
        with contextlib.suppress(OSError):  # its reader, which this wakes, closes it
            socket.socket.shutdown(self.wire.sock, socket.SHUT_RD)

    def nonsense(self, late):
        self.write(b"zz\r\nnonsense\r\n" if late else b"HTTP/1.1 2x0 nonsense\r\n\r\n")

    def sees(self):
        return "closed" if self.gone else None

    def names(self):
        return {n for n, _ in self.message.fields}

    def answered_back(self):
        """What the gateway said to what this end did."""
        return self.sees()


class Asked2(Asked):
    """Over HTTP/2."""

    def __init__(self, stream):
        super().__init__(stream.target, int(stream.get("content-length") or 0))
        self.stream, self.session = stream, stream.session

    def head(self, status=200, *fields):
        self.stream.send_head([(":status", str(200 if status == 101 else status)), *h2.fields_of(fields)])

    def piece(self, data):
        with self.session.writing:
            return self.stream.send(data, wait=False)

    def finish(self, trailers=()):
        if trailers:
            self.stream.send_trailers(*trailers)
        else:
            self.stream.send(b"", end=True)

    def end_direction(self):
        self.stream.send(b"", end=True)

    def close(self):
        with contextlib.suppress(OSError):
            socket.socket.shutdown(self.session.wire.sock, socket.SHUT_WR)

    def reset_connection(self):
        self.session.wire.resets = True
        socket.socket.setsockopt(self.session.wire.sock, socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        with contextlib.suppress(OSError):
            socket.socket.shutdown(self.session.wire.sock, socket.SHUT_RD)

    def reset(self, code):
        self.stream.reset(code)

    def nonsense(self, late):
        fields = [("x-a", "no"), (":status", "200")] if late else [("content-type", "no"), (":status", "2x0")]
        self.stream.send_head(fields, end=late)

    def sees(self):
        if self.stream.code is not None:
            return f"reset {h2.name_of(self.stream.code)}"
        return "closed" if self.gone or self.session.ended else None

    def names(self):
        return {n for n, _ in self.stream.fields}

    def answered_back(self):
        return None if self.stream.code is None else self.sees()  # the connection is free, and may end with another one's request


class Watched(h2.Session):
    """An upstream's connection that tells each of its requests what came."""

    def take(self, kind, flags, number, payload):
        with self.writing:  # windows are moved by two threads
            super().take(kind, flags, number, payload)
        asked = getattr(self.streams.get(number), "asked", None)
        if asked:
            asked.note(body_bytes=len(asked.stream.body), whole=asked.stream.ended)
        elif number == 0:
            for s in list(self.streams.values()):
                if getattr(s, "asked", None):
                    s.asked.note()

    def until(self, predicate, what="what was waited for", seconds=PATIENCE):
        eventually(predicate, seconds, what)


class Board:
    """What one thread puts under a name and another waits for."""

    def __init__(self):
        self.values, self.events, self.lock = collections.defaultdict(list), {}, threading.Lock()

    def put(self, name, value):
        with self.lock:
            self.values[name].append(value)
            event = self.events.get(name)
        if event:
            event.set()

    def all(self, name):
        with self.lock:
            return list(self.values.get(name, ()))

    def get(self, name, seconds, what):
        """The last one."""
        with self.lock:
            event = self.events.setdefault(name, threading.Event())
            if name in self.values:
                return self.values[name][-1]
        assert event.wait(seconds), f"{what} within {seconds} s"
        return self.all(name)[-1]


def shaken(wire, context):
    """After the handshake; False: the gateway left in its middle."""
    try:
        wire.sock.settimeout(PATIENCE)
        wire.sock = context.wrap_socket(wire.sock, server_side=True)
        return True
    except ssl.SSLError:
        return False


class Ends:
    """The upstreams of a walk, and who was asked what: targets to Asked."""

    def __init__(self):
        self.asked = Board()
        self.doomed = {}  # targets to what happens when they are asked for again: semantics 5, the stale connection
        self.calls = Board()

    def take(self, asked):
        self.asked.put(asked.target, asked)
        if asked.target in self.doomed:
            self.doomed[asked.target](asked)

    def of(self, target, seconds=PATIENCE):
        return self.asked.get(target, seconds, "the upstream was not asked")

    def http1(self, context=None):
        def script(wire):
            if context:
                if not shaken(wire, context):
                    return
                secure = SecureWire(wire.sock, 60)
                secure.upstream = wire.upstream
                wire = secure
            wire.resets = False
            while not wire.ended:
                self.one(wire)
            if wire.resets:
                wire.reset()
        return script

    def one(self, wire):
        """A request of a connection, from its head to what follows it."""
        while b"\r\n\r\n" not in wire.unread:
            if not wire.fill(120):
                return
        asked = Asked1(wire, Message(wire.until(b"\r\n\r\n")))
        chunks = "chunked" in (asked.message.get("transfer-encoding") or "")
        begun, tunnel = b"", asked.message.get("upgrade")
        asked.note(whole=not chunks and not asked.length)
        self.take(asked)
        while True:
            data, wire.unread = wire.unread, b""
            begun += data
            over = begun.endswith(b"0\r\n\r\n") if chunks else len(begun) >= asked.length
            asked.note(body_bytes=len(begun), whole=over)
            if over and not tunnel:
                asked.note()
                if wire.fill(120):
                    return
                asked.note(gone=wire.ended)
                return
            if not wire.fill(120):
                asked.note(gone=wire.ended)
                if tunnel and wire.ended == "fin":
                    asked.over.wait(PATIENCE)  # the other direction goes on
                return

    def http2(self, context=None):
        def script(wire):
            if context:
                if not shaken(wire, context):
                    return
            wire.resets = False
            session = Watched(wire, False, settings={h2.MAX_STREAMS: 1, h2.ENABLE_CONNECT: 0 if wire.upstream.no_tunnels else 1})
            session.keep_frames = False

            def on_head(stream):
                stream.asked = Asked2(stream)
                self.take(stream.asked)
            session.on_head = on_head
            session.run()
            for s in list(session.streams.values()):
                s.asked.note(gone=session.ended)
            if wire.resets:
                wire.reset()
        return script

    def control(self, wire):
        """Takes the calls of the ladder."""
        while (message := wire.request()) is not None:
            self.calls.put(message.target.rsplit("/", 1)[1], message)
            wire.send(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")


# ---- what is said ------------------------------------------------------------------------------------------------------------------------


class Voice:
    """How an RPC protocol, or plain HTTP, is written: requests, answers, and what an answer says."""

    TYPES = {"grpc": "application/grpc+proto", "web": "application/grpc-web+proto", "text": "application/grpc-web-text+proto", "unary": "application/proto",
             "stream": "application/connect+proto"}

    def __init__(self, rpc):
        self.rpc = rpc

    def encoded(self, data):
        return base64.b64encode(data) if self.rpc == "text" else data

    def body(self):
        if self.rpc == "tunnel":
            return b""
        return self.encoded(b"a question" * 3 if self.rpc in ("http", "unary") else frame(b"a question" * 3))

    def fields(self):
        out = ["content-type: " + self.TYPES.get(self.rpc, "text/plain")]
        if self.rpc == "grpc":
            out.append("te: trailers")
        if self.rpc in ("unary", "stream"):
            out.append("connect-protocol-version: 1")
        return out

    def deadline(self, seconds):
        ms = int(seconds * 1000)
        return {"grpc": f"grpc-timeout: {ms}m", "web": f"grpc-timeout: {ms}m", "text": f"grpc-timeout: {ms}m", "unary": f"connect-timeout-ms: {ms}",
                "stream": f"connect-timeout-ms: {ms}"}.get(self.rpc, f"x-request-timeout: {ms}ms")

    def answer(self, asked):
        """The head of an answer."""
        if self.rpc == "tunnel":
            asked.head(101)
        else:
            asked.head(200, f"content-type: {self.TYPES.get(self.rpc, 'text/plain')}")
        asked.note(opened="tunnel" if self.rpc == "tunnel" else "answer")

    def first(self, inside):
        whole = b"first" if self.rpc in ("http", "tunnel", "unary") else frame(b"first")
        return self.encoded(whole + (whole[:7] if inside else b""))

    def rest(self, asked, inside=False):
        """What makes an answer whole that has begun."""
        tail = frame(b"first")[7:] if inside else b""
        if self.rpc == "grpc":
            if tail:
                asked.piece(tail)
            asked.finish(["grpc-status: 0"])
            return
        if self.rpc in ("web", "text"):
            asked.piece(self.encoded(tail + frame(b"grpc-status: 0\r\n", 0x80)))
        elif self.rpc == "stream":
            asked.piece(tail + frame(b"{}", 2))
        elif tail:
            asked.piece(tail)
        if self.rpc == "tunnel":
            asked.end_direction()
        else:
            asked.finish()

    # -- what a client heard; status, fields, body, trailers, and how it ended: None in good order
    def heard(self, status, get, body, trailers, ended):
        if ended:
            return ended
        if status != 200 and get("content-type") == "application/problem+json":
            said = json.loads(body)
            expect(said["status"], status)
            return f"problem {status} {said['ending']}"
        if status != 200 and self.rpc == "unary" and body:
            expect(get("content-type"), "application/json")
            return f"error {status} {json.loads(body)['code']}"
        if status != 200:
            return f"status {status} of HTTP"
        return getattr(self, "heard_" + self.rpc, lambda *_: "whole")(get, body, trailers)

    def heard_grpc(self, get, body, trailers):
        if trailers is None:
            assert not body, f"trailers-only with a body: {body!r}"
            return f"status {get('grpc-status')}"
        status = trailers.get("grpc-status")
        return "whole" if status == "0" else f"trailers {status}"

    def heard_web(self, get, body, trailers):
        del trailers
        if get("grpc-status") is not None:
            assert not body, f"trailers-only with a body: {body!r}"
            return f"status {get('grpc-status')}"
        flags, last = frames(body)[-1]
        expect(flags, 0x80, "flags of the last frame")
        status = re.search(rb"(?mi)^grpc-status:\s*(\d+)", last).group(1).decode()
        return "whole" if status == "0" else f"frame {status}"

    def heard_text(self, get, body, trailers):
        return self.heard_web(get, b"".join(base64.b64decode(body[i : i + 4], validate=True) for i in range(0, len(body), 4)), trailers)

    def heard_stream(self, get, body, trailers):
        del get, trailers
        said = end_stream(frames(body)[-1])
        return f"end {said['error']['code']}" if "error" in said else "whole"


# ---- the client's side --------------------------------------------------------------------------------------------------------------------


class Down1:
    """A client of HTTP/1: a connection a request."""

    def __init__(self, lane, k, listener):
        self.k, self.voice = k, Voice(k.client.rpc)
        sock = lane.walk.g.open(listener) if k.cause.name != "client takes nothing" else lane.walk.small(listener)
        self.wire = SecureWire(lane.walk.trust.wrap_socket(sock)) if k.client.tls else Wire(sock)
        self.message = None

    def ask(self, target, fields, moment):
        k = self.k
        body, upload = self.voice.body(), moment in table.UNREAD
        broken = k.cause.name == "client breaks its body"
        if k.client.rpc == "tunnel":
            method, framing = "GET", ["Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="]
        else:
            method, framing = "POST", [*self.voice.fields(), "Transfer-Encoding: chunked" if broken else f"Content-Length: {len(body)}"]
        version = "HTTP/1.0" if k.client.wire == 10 else "HTTP/1.1"
        head = "\r\n".join((f"{method} {target} {version}", "Host: a.test", "User-Agent: walk", *framing, *fields, "", "")).encode()
        part = body[: len(body) // 2] if upload else body
        self.wire.send(head + (b"%x\r\n%s\r\n" % (len(part), part) if broken else part))

    def break_body(self):
        self.wire.send(b"zz\r\nno chunk\r\n")

    def begun(self):
        """The answer's head and a piece of its body are here."""
        self.message = self.wire.head()
        while not self.wire.unread:
            if not self.wire.fill():
                raise Gone(self.wire.ended, self.wire.unread)

    def begun_tunnel(self):
        if not self.message:
            self.begun()

    def reset_connection(self):
        self.wire.reset()

    def close(self):
        if self.k.rung == "gone-ignore":
            self.end_direction()
        else:
            self.wire.close()

    def seen_off(self):
        """The gateway has seen the end, and closed as well."""
        self.wire.to_end()

    def end_direction(self):
        with contextlib.suppress(OSError):
            self.wire.half_close()

    def sees(self):
        m = self.message or self.wire.answer()
        if not self.message:
            ended = m.cut
        elif m.status == 101:
            self.wire.to_end()
            ended = self.wire.ended if self.wire.ended == "rst" else None
        else:
            ended = self.wire.body(m, True).cut
        if ended:
            ended = "cut by RST" if ended == "rst" and (self.k.client.wire == 10 or m.status == 101) else "cut"
        status = 200 if m.status == 101 else m.status
        return self.voice.heard(status, m.get, m.body, dict(m.trailers) if m.trailers else None, ended)

    def let_go(self):
        """What it has is all that it wants."""
        with contextlib.suppress(OSError):
            self.wire.close()

    done = let_go


class Down2:
    """A client of HTTP/2: streams of a connection that its lane keeps, while it lasts."""

    def __init__(self, lane, k, listener):
        self.k, self.voice, self.lane = k, Voice(k.client.rpc), lane
        self.alone = k.cause.name in ("client takes nothing",)
        self.key = (listener, k.client.tls)
        self.session = None if self.alone else lane.sessions.get(self.key)
        if self.session:
            self.session.pump()
        if not self.session or self.session.ended or self.session.goaways:
            options = {"settings": {h2.INITIAL_WINDOW: 2}, "credit": "none"} if self.alone else {}
            self.session = h2.Client(lane.walk.g, listener, tls=lane.walk.trust2 if k.client.tls else None, **options)
            self.session.keep_frames = False
            self.session.settled()  # who waits for nothing of it reads nothing: it would be taken for a peer that does not acknowledge
            if not self.alone:
                lane.sessions[self.key] = self.session
        self.stream, self.left = None, False

    def ask(self, target, fields, moment):
        k = self.k
        if k.client.rpc == "tunnel":
            head = h2.head_of("CONNECT", target, "sec-websocket-version: 13", "user-agent: walk", *fields, protocol="websocket", scheme=self.session.scheme)
            self.stream = self.session.open_stream(head, end=False)
            return
        body, upload = self.voice.body(), moment in table.UNREAD
        length = [f"content-length: {len(body)}"] if k.client.rpc in ("http", "unary") or k.cause.name == "client breaks its body" else []
        self.stream = self.session.post(target, *self.voice.fields(), "user-agent: walk", *length, *fields)
        self.stream.send(body[: len(body) // 2] if upload else body, end=not upload)

    def break_body(self):
        self.stream.send(b"x" * 100, end=True)  # more than its Content-Length

    def begun(self):
        self.stream.head().wait(lambda: self.stream.body or self.stream.over(), "the first piece")
        assert self.stream.body, f"no piece of the answer: {h2.name_of(self.stream.code)} {self.stream.fields}"

    begun_tunnel = begun

    def reset(self):
        self.stream.reset(h2.CANCEL)

    def reset_connection(self):
        self.left = True
        self.session.reset_connection()
        self.lane.sessions.pop(self.key, None)

    def close(self):
        self.left = True
        with contextlib.suppress(OSError, ValueError):  # a close with bytes unread would be a reset
            if self.key[1]:
                self.session.wire.sock.unwrap()
            socket.socket.shutdown(self.session.wire.sock, socket.SHUT_WR)
        self.lane.sessions.pop(self.key, None)

    def seen_off(self):
        sock = self.session.wire.sock
        sock.settimeout(PATIENCE)
        with contextlib.suppress(ConnectionResetError):
            while sock.recv(65536):  # frames are not answered any more
                pass

    def end_direction(self):
        self.stream.send(b"", end=True)

    def sees(self):
        s = self.stream.end()
        if s.code is not None and not s.ended:
            return f"reset {h2.name_of(s.code)}"
        if not s.ended:
            return f"connection {self.session.ended}"
        if self.k.moment in table.UNREAD and self.k.ending != "shutdown":
            expect(s.reset_code(), "NO_ERROR", "what ends the upload")
        return self.voice.heard(s.status, s.get, bytes(s.body), dict(s.trailers) if s.trailers else None, None)

    def let_go(self):
        if not self.left and not self.alone and self.stream and not self.stream.over():
            self.stream.reset(h2.CANCEL)

    def done(self):
        self.let_go()
        if self.left or self.alone:
            self.session.close()
            self.lane.walk.g.clients.remove(self.session)


# ---- the walk --------------------------------------------------------------------------------------------------------------------------------


def policy_of(k, again=0):
    return f"{k.cause.policy}{again or '' if k.cause.policy in ('default', 'try', 'idle') else ''}-{k.rung}"


def upstream_of(k):
    name = k.cause.to + ("2" if k.up.wire == 20 else "1") if k.cause.to else "http2" if k.up.translate else k.up.name
    return "http2-no-tunnels" if k.cause.name == "cannot be carried" and k.client.rpc == "tunnel" else name


def route_of(k, again=0):
    return f"{upstream_of(k)}{'-to-grpc' if k.up.translate else ''}.{policy_of(k, again)}"


def listener_of(k, again):
    return "tls" * k.client.tls + (f"-{k.cause.listener}{again}" if k.cause.listener else "") or "plain"


def target_of(k, again=0):
    name = f"c{k.number}" + ("x" * again)
    if k.cause.name == "client asks for a broken path":
        return f"/%zz/{name}"
    return f"/nowhere/{name}" if k.cause.name == "no route" else f"/{route_of(k, again)}/{name}"


def policies(names):
    out = {}
    for name in sorted(names):
        kind, rung = name.split("-", 1)
        d = {"read": ["grpc-timeout", "connect-timeout-ms", "x-request-timeout", "x-strict"], "default": "90s", "idle": "90s", "max": "90s", "grace": "10ms",
             "streaming": {"idle": "90s"}}
        ms = f"{int(LIMITS[int(kind[-1]) if kind[-1].isdigit() else 0] * 1000)}ms"
        d.update({"plain": {}, "grace": {"grace": "60s"},
                  "untold": {"write": {"http": [], "grpc": [], "connect": []}},
                  "default": {"default": ms, "streaming": {"detect": "never"}}, "try": {"per_try": ms},
                  "needs": {"needs": "20s"},
                  "idle": {"idle": ms, "streaming": {"idle": ms}}}[kind.rstrip("12")])
        rungs = table.RUNGS.get(rung, table.RUNGS["own"])
        cancel = {"http1": rungs[0].split(), "http2": rungs[1].split(), "drain_limit": {"time": "20s", "bytes": "64MiB"},
                  "client_gone": {"gone-drain": "drain", "gone-ignore": "ignore"}.get(rung, "cancel")}
        if "call" in rung:
            cancel["call"] = {"upstream": "control", "path": "/cancel/{request.path.id}", "rate": "100000/s", "timeout": "5s"}
        out[name] = {"deadline": d, "cancel": cancel, "retry": {"retries": 0}}
    return out


class Full:
    """An upstream's place that is taken: a request that is not answered until the walk is over."""

    def __init__(self, walk, name):
        self.wire = walk.g.connect()
        self.wire.send(f"POST /{name}.plain-own/occupies HTTP/1.1\r\nHost: a.test\r\nUser-Agent: walk\r\nContent-Length: 0\r\n\r\n".encode())
        self.asked = walk.ends.of(f"/{name}.plain-own/occupies")


class Lane(threading.Thread):
    def __init__(self, walk, work):
        super().__init__(daemon=True)
        self.walk, self.work, self.sessions = walk, work, {}

    def run(self):
        with contextlib.suppress(queue.Empty):
            while True:
                self.walk.play(self, self.work.get_nowait())


class Walk:
    """with Walk(combinations, authority) as walk: walk.go()"""

    def __init__(self, combinations, authority):
        self.todo = list(combinations)
        self.ends = Ends()
        self.wrong, self.played, self.saw = {}, [], {}  # by number: what was wrong; the numbers; what the client saw and the log said
        self.lines, self.late = Board(), {}
        self.trust, self.trust2 = authority.client("http/1.1"), authority.client("h2")
        pair = authority.sign("walk.test", "DNS:walk.test")
        one, two = authority.server(pair, "http/1.1"), authority.server(pair, "h2")
        self.authority, self.pair = authority, pair
        self.stack = contextlib.ExitStack()
        self.ups = {"http1": self.ends.http1(), "http1s": self.ends.http1(one), "http2": self.ends.http2(), "http2s": self.ends.http2(two),
                    "http2-no-tunnels": self.ends.http2(), "full1": self.ends.http1(), "full2": self.ends.http2(), "control": self.ends.control}

    def __enter__(self):
        for name, script in self.ups.items():
            up = Upstream(script, backlog=1024)
            up.no_tunnels = name == "http2-no-tunnels"
            self.ups[name] = self.stack.enter_context(up)
        mute = self.stack.enter_context(contextlib.closing(socket.socket()))  # whose queue is full: the kernel leaves further connections without an answer
        mute.bind((HOST, 0))
        mute.listen(0)
        for _ in range(4):
            filler = self.stack.enter_context(contextlib.closing(socket.socket()))
            filler.setblocking(False)
            filler.connect_ex(mute.getsockname())
        self.mute = f"{HOST}:{mute.getsockname()[1]}"
        self.g = Gateway(text=self.configuration())
        self.g.addresses = self.addresses
        self.stack.enter_context(self.g)
        return self

    def __exit__(self, *why):
        return self.stack.__exit__(*why)

    def configuration(self):
        listeners = {"plain": {}, "tls": {}}
        for i, seconds in enumerate(LIMITS):
            ms = f"{int(seconds * 1000)}ms"
            listeners[f"-slow{i}"] = listeners[f"tls-slow{i}"] = {"timeouts": {"body": ms, "write": ms}}
        self.addresses = {n: f"{HOST}:{free_port()}" for n in (*listeners, "admin")}
        tls = {"tls": {"certificates": [self.pair]}}
        listeners = {n: {"address": self.addresses[n], "trust": "all", "backlog": 4096, "http1": {"max_head": "8KiB"}, "http2": {"max_head": "8KiB"},
                         **more, **(tls if n.startswith("tls") else {})}
                     for n, more in listeners.items()}
        dead = f"{HOST}:{free_port()}"
        big = {"max_connections": 4096, "max_requests": 100000, "reset_budget": {"burst": 0}, "idle_timeout": "60s",
               "connect_timeout": "20s"}
        upstreams = {"control": {"protocol": "http1", "endpoints": [self.ups["control"].address], "max_connections": 64}}
        for n, protocol in (("1", "http1"), ("2", "http2")):
            upstreams["http" + n] = {"protocol": protocol, "endpoints": [self.ups["http" + n].address], **big}
            upstreams[f"http{n}s"] = {"protocol": protocol, "endpoints": [self.ups[f"http{n}s"].address], **big,
                                      "tls": {"ca": self.authority.ca, "server_name": "walk.test"}}
            upstreams["full" + n] = {"protocol": protocol, "endpoints": [self.ups["full" + n].address], "max_requests": 1, "max_pending": 0}
            upstreams["queue" + n] = {"protocol": protocol, "endpoints": [self.ups["full" + n].address], "max_requests": 1, "max_pending": 10000}
            upstreams["dead" + n] = {"protocol": protocol, "endpoints": [dead], **big}
            upstreams["mute" + n] = {"protocol": protocol, "endpoints": [self.mute], **big, "connect_timeout": "400ms"}
            upstreams["wait" + n] = {"protocol": protocol, "endpoints": [self.mute], **big, "connect_timeout": "60s"}
        upstreams["http2-no-tunnels"] = {"protocol": "http2", "endpoints": [self.ups["http2-no-tunnels"].address], **big}
        routes = {}
        for k in self.todo:
            if k.cause.name in ("no route", "client asks for a broken path"):
                continue
            for again in range(len(LIMITS)):
                name = route_of(k, again)
                routes[name] = {"name": name, "match": {"path": f"/{name}/{{id}}"}, "upstream": upstream_of(k), "policy": policy_of(k, again),
                                **({"translate": "grpc"} if k.up.translate else {})}
        for upstream in ("full1", "full2", "queue1", "queue2", "http2", "http2s"):
            name = upstream + ".plain-own"
            routes.setdefault(name, {"name": name, "match": {"path": f"/{name}/{{id}}"}, "upstream": upstream, "policy": "plain-own"})
        names = {r["policy"] for r in routes.values()} | {"plain-own"}
        config = {"version": 1, "workers": 1, "listeners": listeners, "upstreams": upstreams,
                  "dialects": {"x-strict": {"in": "header", "unit": "ms", "malformed": "reject"}}, "policies": policies(names),
                  "routes": list(routes.values()), "admin": {"address": self.addresses["admin"]}, "log": {"access": "access.log", "level": "info"},
                  "shutdown": {"drain": "400ms"}}
        return yaml(config)

    # -- helpers
    def small(self, listener):
        """A connection that takes little at a time."""
        host, port = self.addresses[listener].rsplit(":", 1)
        sock = socket.socket()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sock.connect((host, int(port)))
        return sock

    def tail(self):
        """The access log as it grows."""
        at = 0
        while not self.over:
            try:
                with open(self.g.log_path, "rb") as f:
                    f.seek(at)
                    data = f.read()
            except FileNotFoundError:
                data = b""
            whole = data[: data.rfind(b"\n") + 1]
            at += len(whole)
            if whole:
                for text in whole.split(b"\n")[:-1]:
                    line = json.loads(text)
                    self.lines.put(line.get("path"), line)
            else:
                time.sleep(0.004)

    def line(self, target, seconds=PATIENCE):
        return self.lines.get(target, seconds, "no line in the access log")

    # -- playing
    def go(self):
        self.over = False
        threading.Thread(target=self.tail, daemon=True).start()
        self.full = [Full(self, name) for name in ("full1", "full2", "queue1", "queue2")]
        self.warm()
        last = [k for k in self.todo if k.ending == "shutdown"]
        work = queue.Queue()
        for k in sorted((k for k in self.todo if k.ending != "shutdown"), key=lambda k: k.number * 7919 % 10007):
            work.put(k)
        lanes = [Lane(self, work) for _ in range(LANES)]
        for lane in lanes:
            lane.start()
        for lane in lanes:
            lane.join()
        for f in self.full:
            f.asked.head(200)
            f.asked.finish()
            f.wire.answer()
            f.wire.close()
        self.shut_down(last)
        self.over = True

    def warm(self):
        """HTTP/2 upstreams take one stream a connection, which their first answer tells: from then on no combination shares one."""
        for name in ("http2", "http2s"):
            wire = self.g.connect()
            wire.send(f"POST /{name}.plain-own/warm HTTP/1.1\r\nHost: a.test\r\nContent-Length: 0\r\n\r\n".encode())
            asked = self.ends.of(f"/{name}.plain-own/warm")
            asked.head(200)
            asked.finish()
            wire.answer()
            wire.close()

    def shut_down(self, last):
        """All that are to stand until the drain's time is over stand when it begins."""
        self.standing, self.signalled = threading.Semaphore(0), threading.Event()
        lanes = []
        for k in last:
            work = queue.Queue()
            work.put(k)
            lanes.append(Lane(self, work))
            lanes[-1].start()
        for _ in last:
            self.standing.acquire()
        self.g.signal()
        self.signalled.set()
        for lane in lanes:
            lane.join()
        self.g.wait_exit(0)

    def explain(self):
        """Where explain and what happened differ: a sentence for each combination."""
        with open(self.g.config_path, encoding="utf-8") as f:
            code, out, err = curfew("explain", "--json", "-c", "@", text=f.read())
        expect((code, err), (0, ""))
        routes = {r["route"]: r for r in json.loads(out)["routes"]}
        compared = [k for k in self.todo if k.number in self.saw and route_of(k) in routes]
        for k in compared:
            wrong = explained(k, *self.saw[k.number][:2], routes[route_of(k)], self.saw[k.number][2])
            if wrong:
                before = self.wrong.get(k.number, f"{name_of(k)}:")
                self.wrong[k.number] = f"{before} {'; '.join(wrong)}"
        return len(compared)

    def play(self, lane, k):
        for again in range(len(LIMITS)):
            try:
                complaint = self.once(lane, k, again)
            except (AssertionError, Gone, OSError, ValueError, KeyError, AttributeError, TypeError, IndexError) as e:
                complaint = f"{type(e).__name__}: {e}"
                lane.sessions.clear()
            if complaint != "too late":
                break
        self.played.append(k.number)
        if complaint:
            self.wrong[k.number] = f"{name_of(k)}: {complaint} {self.late.get(k.number, '')}"

    def once(self, lane, k, again):
        """None, what was wrong, or "too late": a limit passed before everything stood as the moment wants it."""
        target = target_of(k, again)
        limit = LIMITS[again]
        begun = time.monotonic()
        down = asked = None
        late = False
        try:
            try:
                down = (Down2 if k.client.wire == 20 else Down1)(lane, k, listener_of(k, again))
                asked = self.stand(down, k, target, limit)
            finally:
                late = k.ending in table.TIMED and k.moment not in ("head", "waiting") and time.monotonic() - begun > 0.8 * limit
                if k.ending == "shutdown":
                    self.standing.release()
            if late:
                return "too late"
            return self.end(down, k, target, asked)
        except (AssertionError, Gone) as e:
            if late:
                self.late[k.number] = f"after {time.monotonic() - begun:.1f} s: {e} {self.lines.all(target)}"
                return "too late"
            raise
        finally:
            if down:
                down.done()

    def stand(self, down, k, target, limit):
        """Brings both ends to the moment; what the upstream has."""
        seconds = {"deadline of the client": limit, "deadline while connecting": limit, "deadline in the queue": limit, "deadline all but passed": 0.004,
                   "less than the route needs": 5}.get(k.cause.name, 50)
        fields = [] if k.cause.policy == "default" else [down.voice.deadline(seconds)]
        if k.cause.name == table.TOO_LONG:
            fields.append("x-long: " + "a" * 9000)
        if k.cause.name == "client sends a broken deadline":
            fields.append("x-strict: soon")
        down.ask(target, fields, k.moment)
        if k.moment == "head":
            return None
        if k.moment == "waiting":
            if k.client.wire == 20:
                down.session.round_trip()
            else:
                time.sleep(QUIET)
            return None
        asked = self.ends.of(target)
        if k.moment in table.UNREAD:
            asked.wait(lambda: asked.body_bytes > 0, "half of the body")
        elif k.client.rpc != "tunnel":
            asked.wait(lambda: asked.whole, "the whole request")
        if k.moment in table.LATE:
            self.answer(k, asked)
            if not (k.client.rpc == "unary" and k.up.translate):
                down.begun()
        return asked

    @staticmethod
    def voice(k):
        return Voice("grpc" if k.up.translate else k.client.rpc)

    def answer(self, k, asked):
        voice = self.voice(k)
        voice.answer(asked)
        asked.piece(voice.first(k.moment == "inside"))

    def end(self, down, k, target, asked):
        """Lets it happen; what was wrong with what was seen."""
        name, late = k.cause.name, k.moment in table.LATE
        saw = self.happen(down, k, target, asked)
        if k.rung == "gone-ignore":
            if k.client.wire == 20 and name == "client resets its stream" or name == "client resets at its deadline":
                down.session.round_trip()
            elif "closes" in name:
                down.seen_off()
            else:
                time.sleep(4 * QUIET)  # a TCP reset shows nobody that it was seen
            self.finish(k, asked)
        wrong = []

        def check(what, got, wanted):
            if got != wanted:
                wrong.append(f"{what} {got!r}, expected {wanted!r}")
        wanted = table.client_sees(k)
        if saw not in wanted.split(" or "):
            wrong.append(f"the client saw {saw!r}, expected {wanted!r}")
        down.let_go()
        line = self.line(target)
        check("logged", line["ending"], k.ending)
        check("cancel_level", line.get("cancel_level"), table.level_of(k))
        if wanted == "gone" and not late:
            check("status", line["status"], 499)
        times = len(self.ends.asked.all(target))
        again = k.ending == "upstream_closed" and k.client.rpc == "tunnel" and k.moment == "before"  # a GET, which may be sent again
        check("asked", times, 0 if asked is None else times if again and times == 2 else 1)
        if k.cause.name != "client asks for a broken path" and k.cause.name != "no route":
            check("calls", len(self.ends.calls.all(target.rsplit("/", 1)[1])), int(table.is_called(k)))
        if asked is not None:
            self.look(k, asked, check)
        self.saw[k.number] = (saw, line, asked)
        return "; ".join(wrong) or None

    def cancel(self, target):
        """As an operator does: looks it up in what is under way, and ends it."""
        found = [x["id"] for x in self.g.admin("/contexts").json()["contexts"] if x.get("path") == target and "ending" not in x]
        expect(len(found), 1)
        expect(self.g.admin("/contexts/" + found[0], "DELETE").status, 200)

    def happen(self, down, k, target, asked):
        name = k.cause.name
        if name == "completes":
            self.finish(k, asked)
            if k.client.rpc == "tunnel":
                down.begun_tunnel()
                down.end_direction()
        elif name == "an operator cancels":
            self.cancel(target)
        elif name == "gateway shuts down":
            self.signalled.wait()
        elif name == "client resets its stream" or name == "client resets at its deadline":
            down.reset()
        elif name in ("client resets its connection", "client resets while connecting", "client resets in the queue",
                      "client resets, and the upstream knows no deadline"):
            down.reset_connection()
        elif k.ending == "completed" and name == "client closes its connection":
            down.end_direction()
            if k.client.rpc == "tunnel":
                asked.wait(lambda: asked.gone == "fin" or k.up.wire == 20 and asked.stream.ended, "the client's FIN")
            else:
                time.sleep(QUIET)
            self.finish(k, asked)
        elif name in ("client closes its connection", "client closes at its deadline", "client leaves while connecting",
                      "client leaves the queue"):
            down.close()
        elif name == "client takes nothing":
            threading.Thread(target=self.flood, args=(k, asked), daemon=True).start()
            self.line(target, 3 * PATIENCE)
        elif name == "client breaks its body":
            down.break_body()
        elif name == "upstream closes its connection":
            self.ends.doomed[target] = lambda again: again.close()
            asked.close()
            if k.ending == "completed":
                down.end_direction()
        elif name == "upstream resets its connection":
            self.ends.doomed[target] = lambda again: again.reset_connection()
            asked.reset_connection()
        elif name == "upstream answers nonsense":
            asked.nonsense(k.moment in table.LATE)
        elif name == "upstream goes away":
            asked.session.goaway(max(asked.stream.id - 2, 0))
        elif name.startswith("upstream resets: "):
            code = table.code_of(k)
            asked.reset(0x42 if code == "0x42" else table.CODES.index(code))
        return "gone" if table.client_sees(k) == "gone" else down.sees()

    @staticmethod
    def flood(k, asked):
        """More than the kernel's buffers take, until the gateway says that it is enough."""
        whole = b"x" * 16000 if k.client.rpc == "http" else frame(b"x" * 16000)
        left, until = whole, time.monotonic() + 2 * PATIENCE
        with contextlib.suppress(OSError, AssertionError):
            while not asked.sees() and time.monotonic() < until:
                sent = asked.piece(left)
                left = left[len(left) if sent is None else sent :] or whole
                if sent is not None and left is not whole:  # no room
                    time.sleep(0.005)

    def finish(self, k, asked):
        """The whole answer, or what it lacks."""
        if not asked.opened:
            self.answer(k, asked)
        self.voice(k).rest(asked, k.moment == "inside")

    def look(self, k, asked, check):
        """What the upstream has seen."""
        wanted = table.upstream_sees(k)
        if wanted == "whole":
            return
        if wanted == "nothing":
            if k.up.wire == 20 and k.cause.name not in ("upstream closes its connection", "upstream resets its connection", "upstream goes away"):
                check("the upstream saw", asked.answered_back(), None)
            return
        if wanted == "read":
            check("the upstream saw", asked.answered_back() if k.rung == "gone-ignore" else asked.sees(), None)
            if k.cause.name != "client takes nothing" and k.rung != "gone-ignore":
                self.finish(k, asked)
            if k.moment in table.UNREAD or k.client.rpc == "tunnel" or k.cause.name == "client takes nothing":
                return
            if k.up.wire == 20:
                with contextlib.suppress(OSError, AssertionError):  # it is free, and may have ended with another one's request
                    asked.session.round_trip()
            else:
                time.sleep(QUIET)
            check("after its whole answer the upstream saw", asked.answered_back(), None)
            return
        with contextlib.suppress(AssertionError):
            asked.wait(asked.sees, wanted, 2)
        saw = asked.sees()
        if wanted == "protocol error" and saw in ("closed", "reset PROTOCOL_ERROR"):
            return
        check("the upstream saw", saw, wanted)


# ---- what explain says ---------------------------------------------------------------------------------------------------------------------

GRPC = ("OK", "CANCELLED", "UNKNOWN", "INVALID_ARGUMENT", "DEADLINE_EXCEEDED", "NOT_FOUND", "ALREADY_EXISTS", "PERMISSION_DENIED", "RESOURCE_EXHAUSTED",
        "FAILED_PRECONDITION", "ABORTED", "OUT_OF_RANGE", "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE")
NAMES = {"grpc": "grpc", "web": "grpc-web", "text": "grpc-web", "unary": "connect", "stream": "connect"}


def said_in_grpc(saw):
    """A gRPC status as the client saw it, by its name; None: it saw none."""
    word, *more = saw.split()
    if word in ("status", "trailers", "frame"):
        return GRPC[int(more[0])]
    if word in ("error", "end"):
        return {"canceled": "CANCELLED"}.get(more[-1], more[-1].upper())
    return None


def explained(k, saw, line, route, asked):
    """What `curfew explain` says otherwise of this combination than it happened."""
    row = next((r for r in route["endings"] if r["ending"] == line["ending"]), None)
    codec = "http2" if k.up.wire == 20 else "http1"
    wrong = []

    def check(what, said, happened):
        if happened is not None and said != happened:
            wrong.append(f"explain says of {what} {said!r}, and it was {happened!r}")
    if row:
        compare_ending(k, saw, line, row, check)
    rpc = NAMES.get(k.client.rpc, "http")
    speaks = f"{rpc} \u2192 grpc" if k.up.translate else rpc
    carried = next(r for r in route["deadline"] if (r["client speaks"], r["upstream speaks"]) == (speaks, codec))
    check("whether it can be carried", "no_route" in carried["lost"], not table.carried(k.client, k.up))
    if asked:
        said = carried["upstream is told"]
        seen = [n for n in ("x-request-timeout", "x-context-deadline", "grpc-timeout", "connect-timeout-ms") if n in asked.names()]
        check("the deadline", said, ", ".join(seen) or "nothing")
    return wrong


def compare_ending(k, saw, line, row, check):
    if saw.startswith("problem"):
        said = row["HTTP client hears"]
        check("HTTP", said, said if saw.split()[1] in said.replace(",", "").split() else saw)
    elif saw == "gone":
        check("HTTP", row["HTTP client hears"], "\u2014 (log 499)")
    elif table.ENDINGS[k.ending].http == table.CUT:
        check("HTTP", row["HTTP client hears"], "reset")
    said, heard = row["gRPC client hears"], said_in_grpc(saw)
    first, _, more = said.partition(", ")
    if more == "or by the code":
        wanted = GRPC[table.GRPC_OF_CODE.get(table.code_of(k), table.INTERNAL)]
    elif more.startswith("after the head") and k.moment in table.LATE and not table.is_held(k):
        wanted = more.split()[-1]
    elif more.startswith("over a limit") and k.cause.name == table.TOO_LONG:
        wanted = more.split()[-1]
    else:
        wanted = first
    check("gRPC", wanted, heard)
    told = row["http2 upstream is told by" if k.up.wire == 20 else "http1 upstream is told by"]
    if k.moment == "head":
        if table.ENDINGS[k.ending].upstream == "never asked":
            check("the upstream", told, "never asked")
    elif line.get("cancel_level") == "side_channel":
        check("the upstream", told, "side_channel, and " + table.rung_level(k))
    elif line.get("cancel_level") != "withdrawn":
        check("the upstream", told, line.get("cancel_level", told if told in ("\u2014", "protocol error", "it goes on") else "nothing"))


def name_of(k):
    return f"{k.number}: {k.client.name} → {k.up.name}, {k.cause.name}, {k.moment}, {k.rung}"
