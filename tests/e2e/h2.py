# SPDX-License-Identifier: Apache-2.0
"""HTTP/2 as raw frames, from either side: for tests that must misbehave, count, or look at what is on the wire.

    def handler(stream):
        stream.answer(200, "content-type: text/plain", body=b"hello")

    with Upstream(h2.serve(handler)) as up, Gateway(up, upstream={"protocol": "http2"}) as g:
        c = h2.Client(g)
        s = c.get("/")
        expect(s.whole().status, 200)

A client is read by the thread that waits for something of it: one that waits for nothing reads nothing. An upstream's session is read by its
connection's thread, which also calls the handlers. HPACK is Debian's python3-hpack, plain Python, which any interpreter can load from there.
"""
import contextlib
import json
import select
import ssl
import struct
import sys
import threading
import time

try:
    import hpack
except ImportError:
    sys.path.append("/usr/lib/python3/dist-packages")
    import hpack

from harness import PATIENCE, Wire, eventually, expect

DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = range(10)
END_STREAM = ACK = 0x1
END_HEADERS = 0x4
PADDED = 0x8
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
CODES = ("NO_ERROR", "PROTOCOL_ERROR", "INTERNAL_ERROR", "FLOW_CONTROL_ERROR", "SETTINGS_TIMEOUT", "STREAM_CLOSED", "FRAME_SIZE_ERROR", "REFUSED_STREAM",
         "CANCEL", "COMPRESSION_ERROR", "CONNECT_ERROR", "ENHANCE_YOUR_CALM", "INADEQUATE_SECURITY", "HTTP_1_1_REQUIRED")
(NO_ERROR, PROTOCOL_ERROR, INTERNAL_ERROR, FLOW_CONTROL_ERROR, SETTINGS_TIMEOUT, STREAM_CLOSED, FRAME_SIZE_ERROR, REFUSED, CANCEL, COMPRESSION_ERROR,
 CONNECT_ERROR, CALM, INADEQUATE_SECURITY, HTTP_1_1_REQUIRED) = range(14)
TABLE_SIZE, ENABLE_PUSH, MAX_STREAMS, INITIAL_WINDOW, MAX_FRAME, MAX_LIST = range(1, 7)
ENABLE_CONNECT = 8
WINDOW = 65535  # RFC 9113 6.9.2: what every window begins with


def name_of(code):
    return CODES[code] if code is not None and code < len(CODES) else code


def fields_of(items):
    """"name: value" or (name, value) each."""
    return [tuple(i) if not isinstance(i, str) else (i[: i.index(":", 1)], i[i.index(":", 1) + 1 :].strip()) for i in items]


def head_of(method, path, *fields, scheme="http", authority="example.test", protocol=None):
    head = [(":method", method), (":scheme", scheme), (":path", path)]
    head += [(":authority", authority)] if authority is not None else []
    head += [(":protocol", protocol)] if protocol else []
    return head + fields_of(fields)


def frame(kind, flags=0, stream=0, payload=b""):
    return struct.pack(">I", len(payload))[1:] + bytes((kind, flags)) + struct.pack(">I", stream) + payload


class Stream:
    """One exchange, as its session's owner sees it: what the peer sent is in fields, body, trailers, ended, code."""

    def __init__(self, session, number):
        self.session = session
        self.id = number
        self.fields = None     # of the request, or of the final answer
        self.interims = []     # fields of each 1xx
        self.trailers = None
        self.body = bytearray()
        self.pieces = []       # DATA as it came
        self.ended = False     # END_STREAM came
        self.ended_at = None
        self.code = None       # of the peer's RST_STREAM
        self.code_at = None
        self.resets = 0        # RST_STREAM frames that came for it
        self.head_at = None
        self.sent_end = self.sent_reset = False
        self.send_window = session.peer.get(INITIAL_WINDOW, WINDOW)
        self.receive_window = session.settings.get(INITIAL_WINDOW, WINDOW)
        self.owed = 0          # received and not credited

    # -- what came
    def all(self, name):
        return [v for n, v in self.fields if n == name]

    def get(self, name):
        values = self.all(name)
        assert len(values) <= 1, f"{name} stands {len(values)} times: {values}"
        return values[0] if values else None

    @property
    def status(self):
        return int(self.get(":status"))

    @property
    def method(self):
        return self.get(":method")

    @property
    def target(self):
        return self.get(":path")

    def trailer(self, name):
        """From the trailers, or from the head of a trailers-only answer."""
        values = [v for n, v in (self.trailers if self.trailers is not None else self.fields) if n == name]
        return values[0] if len(values) == 1 else None

    def over(self):
        return self.ended or self.code is not None or self.session.ended

    def wait(self, predicate, what, seconds=PATIENCE):
        self.session.until(predicate, f"{what} of stream {self.id}", seconds)
        return self

    def head(self, seconds=PATIENCE):
        return self.wait(lambda: self.fields is not None or self.over(), "the head", seconds)

    def data(self, n):
        self.wait(lambda: len(self.body) >= n or self.over(), f"{n} bytes", PATIENCE)
        assert len(self.body) >= n, f"stream {self.id} ended ({self.code}, {self.session.ended}) after {self.body[-100:]!r}"
        return self

    def end(self, seconds=PATIENCE):
        return self.wait(self.over, "the end", seconds)

    def whole(self, seconds=PATIENCE):
        """It ended by END_STREAM, and by nothing else so far."""
        self.end(seconds)
        assert self.ended, f"stream {self.id} was cut: {name_of(self.code)}, {self.session.ended}, goaway {self.session.goaways}"
        return self

    def reset_code(self, seconds=PATIENCE):
        """The name of the code that the peer reset it with, which must come."""
        self.wait(lambda: self.code is not None or self.session.ended, "RST_STREAM", seconds)
        assert self.code is not None, f"no RST_STREAM on stream {self.id}: connection {self.session.ended}, ended {self.ended}"
        return name_of(self.code)

    # -- what is said
    def send_head(self, fields, end=False):
        self.session.send_headers(self.id, fields, end)
        self.sent_end |= end
        return self

    def send(self, data=b"", end=False, wait=True):
        """As DATA, as far as both windows go; waits for more, or returns what was sent."""
        sent = 0
        while True:
            piece = data[sent : sent + min(self.session.peer.get(MAX_FRAME, 16384), self.send_window, self.session.send_window)]
            if sent + len(piece) == len(data):
                self.session.send_data(self, piece, end)
                self.sent_end |= end
                return len(data)
            if piece:
                self.session.send_data(self, piece, False)
                sent += len(piece)
            elif not wait:
                return sent
            else:
                gone = lambda: self.code is not None or self.session.ended
                self.wait(lambda: gone() or min(self.send_window, self.session.send_window) > 0, "room", 30)
                if gone():
                    return sent

    def send_trailers(self, *fields):
        self.sent_end = True
        self.session.send_headers(self.id, fields_of(fields), True)
        return self

    def answer(self, status=200, *fields, body=b"", trailers=None):
        self.send_head([(":status", str(status)), *fields_of(fields)], end=not body and trailers is None)
        if body:
            self.send(body, end=trailers is None)
        if trailers is not None:
            self.send_trailers(*trailers)
        return self

    def reset(self, code=CANCEL):
        self.sent_reset = True
        self.session.send_frame(RST_STREAM, 0, self.id, struct.pack(">I", code))

    def credit(self, n=None):
        """Gives the peer n bytes of this stream's window (all that it used), and of the connection's where that is not given at once."""
        n = self.owed if n is None else n
        self.owed -= n
        if n:
            self.receive_window += n
            self.session.send_frame(WINDOW_UPDATE, 0, self.id, struct.pack(">I", n))


class Session:
    """One connection. `settings` are what we say of ourselves. credit: bodies are taken at once ("all"), the connection's window is given back but
    the streams' is not ("connection"), or neither is ("none")."""

    def __init__(self, wire, client, settings=None, credit="all", window=None, begin=True):
        self.wire = wire
        self.client = client
        self.settings = dict(settings or {})
        self.credit = credit
        self.window = window            # of the connection; None: what it begins with
        self.peer = {}                  # the peer's settings
        self.settings_seen = self.settings_acked = False
        self.streams = {}               # also those that are over
        self.goaways = []               # (last id, code)
        self.pings = 0                  # acknowledgements that came
        self.resets = []                # (stream, code, time) that came
        self.frames = []                # (kind, flags, stream, length) that came
        self.keep_frames = True
        self.send_window = WINDOW
        self.receive_window = WINDOW
        self.next_id = 1
        self.since = time.monotonic()
        self.on_head = self.on_end = None
        self.encoder, self.decoder = hpack.Encoder(), hpack.Decoder()
        self.decoder.max_header_list_size = 1 << 24
        self.buffer = bytearray(wire.unread)
        wire.unread = b""
        self.block = None               # (stream, flags, bytes) of a header block under way
        self.owner = threading.get_ident()
        self.writing, self.tls = threading.RLock(), threading.Lock()
        self.ended = None
        self.paused = False             # an upstream's: nothing is read
        wire.sock.settimeout(0)
        if begin:
            self.begin()

    def begin(self):
        payload = b"".join(struct.pack(">HI", k, v) for k, v in self.settings.items())
        self.send_raw((PREFACE if self.client else b"") + frame(SETTINGS, 0, 0, payload))
        if self.window and self.window > self.receive_window:
            self.send_frame(WINDOW_UPDATE, 0, 0, struct.pack(">I", self.window - self.receive_window))
            self.receive_window = self.window

    # -- bytes
    def send_raw(self, data):
        view = memoryview(data)
        with self.writing:
            while view:
                try:
                    with self.tls if isinstance(self.wire.sock, ssl.SSLSocket) else contextlib.nullcontext():
                        view = view[self.wire.sock.send(view) :]
                except (BlockingIOError, ssl.SSLWantWriteError, ssl.SSLWantReadError):
                    _, writable, _ = select.select([], [self.wire.sock], [], 30)
                    assert writable, "the peer takes no bytes for 30 s"
                except (ConnectionResetError, BrokenPipeError, ssl.SSLEOFError):
                    if not self.ended:
                        self._end("rst")
                    return

    def _end(self, how):
        self.ended = self.wire.ended = how
        self.wire.ended_at = time.monotonic()

    def _receive(self, timeout):
        """False: nothing came."""
        sock = self.wire.sock
        secure = isinstance(sock, ssl.SSLSocket)
        try:
            if not (secure and sock.pending()) and not select.select([sock], [], [], timeout)[0]:
                return False
            with self.tls if secure else contextlib.nullcontext():
                data = sock.recv(262144)
        except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
            return True
        except (ConnectionResetError, ssl.SSLError):
            data, how = b"", "rst"
        except (OSError, ValueError):  # closed by us
            data, how = b"", "closed"
        else:
            how = "fin"
        if not data:
            self._end(how)
        self.buffer += data
        return True

    def pump(self, timeout=0.0):
        """Reads once, and takes what frames are there."""
        if self.ended or not self._receive(timeout):
            return
        while not self.paused and self.take_one():
            pass

    def take_one(self):
        if not self.client and not self.settings_seen and not self.frames:
            if len(self.buffer) < len(PREFACE):
                return False
            if self.buffer.startswith(PREFACE):
                del self.buffer[: len(PREFACE)]
        if len(self.buffer) < 9:
            return False
        size = int.from_bytes(self.buffer[:3], "big")
        if len(self.buffer) < 9 + size:
            return False
        kind, flags, stream = self.buffer[3], self.buffer[4], int.from_bytes(self.buffer[5:9], "big") & 0x7FFFFFFF
        payload = bytes(self.buffer[9 : 9 + size])
        del self.buffer[: 9 + size]
        if self.keep_frames or not self.frames:
            self.frames.append((kind, flags, stream, size))
        self.take(kind, flags, stream, payload)
        return True

    def until(self, predicate, what="what was waited for", seconds=PATIENCE):
        if threading.get_ident() != self.owner:
            eventually(predicate, seconds, what)
            return
        limit = time.monotonic() + seconds
        while not predicate():
            left = limit - time.monotonic()
            assert left > 0, f"{what} did not come within {seconds} s; ended {self.ended}, goaway {self.goaways}, frames {self.frames[-8:]}"
            assert not self.ended or predicate(), f"{what} did not come: the connection ended ({self.ended}), goaway {self.goaways}"
            self.pump(min(left, 0.5))

    def run(self):
        """An upstream's life."""
        while not self.ended:
            if self.paused:
                time.sleep(0.005)
            else:
                while self.take_one():
                    pass
                self.pump(0.2)

    def quiet(self, seconds):
        """Reads for so long, whatever comes."""
        limit = time.monotonic() + seconds
        while not self.ended and time.monotonic() < limit:
            self.pump(max(limit - time.monotonic(), 0))

    def expect_end(self, seconds=PATIENCE):
        self.until(lambda: self.ended, "the end of the connection", seconds)
        return self.ended

    def settled(self):
        """The SETTINGS of both sides are known to both."""
        self.until(lambda: self.settings_seen and self.settings_acked, "SETTINGS and their acknowledgement")
        return self

    def round_trip(self):
        """All that was sent before was read by the peer."""
        n = self.pings + 1
        self.send_frame(PING, 0, 0, b"roundtrp")
        self.until(lambda: self.pings >= n, "the answer to a PING")
        return self

    def close(self):
        self.wire.close()

    def reset_connection(self):
        self.wire.reset()

    # -- frames that come
    def stream(self, number):
        if number not in self.streams:
            self.streams[number] = Stream(self, number)
        return self.streams[number]

    def take(self, kind, flags, number, payload):
        if kind == DATA:
            self.take_data(flags, self.stream(number), payload)
        elif kind == HEADERS:
            cut = payload[0] if flags & PADDED else 0
            body = payload[(1 if flags & PADDED else 0) + (5 if flags & 0x20 else 0) : len(payload) - cut]
            self.block = (number, flags, body)
        elif kind == CONTINUATION:
            self.block = (number, self.block[1] | flags, self.block[2] + payload)
        elif kind == RST_STREAM:
            s = self.stream(number)
            s.resets += 1
            s.code, s.code_at = int.from_bytes(payload, "big"), time.monotonic()
            self.resets.append((number, s.code, s.code_at))
        elif kind == SETTINGS:
            self.take_settings(flags, payload)
        elif kind == PING and flags & ACK:
            self.pings += 1
        elif kind == PING:
            self.send_frame(PING, ACK, 0, payload)
        elif kind == GOAWAY:
            self.goaways.append((int.from_bytes(payload[:4], "big"), int.from_bytes(payload[4:8], "big")))
        elif kind == WINDOW_UPDATE:
            n = int.from_bytes(payload, "big")
            if number:
                self.stream(number).send_window += n
            else:
                self.send_window += n
        if kind in (HEADERS, CONTINUATION) and self.block[1] & END_HEADERS:
            number, flags, block = self.block
            self.block = None
            self.take_head(self.stream(number), self.decoder.decode(block), flags & END_STREAM)

    def take_settings(self, flags, payload):
        if flags & ACK:
            self.settings_acked = True
            return
        for i in range(0, len(payload), 6):
            k, v = struct.unpack(">HI", payload[i : i + 6])
            if k == INITIAL_WINDOW:
                for s in self.streams.values():
                    s.send_window += v - self.peer.get(INITIAL_WINDOW, WINDOW)
            if k == TABLE_SIZE:
                self.encoder.header_table_size = min(v, 4096)
            self.peer[k] = v
        self.settings_seen = True
        self.send_frame(SETTINGS, ACK)

    def take_head(self, s, fields, end):
        if fields[0][0] == ":status" and fields[0][1].startswith("1"):
            s.interims.append(fields)
            return
        if s.fields is None:
            s.fields, s.head_at = fields, time.monotonic()
            if self.on_head:
                self.on_head(s)
        else:
            s.trailers = fields
        if end:
            self.take_end(s)

    def take_data(self, flags, s, payload):
        n = len(payload)
        if flags & PADDED:
            payload = payload[1 : n - payload[0]]
        self.receive_window -= n
        s.receive_window -= n
        # RFC 9113 6.9.2: what it sent before it knew our SETTINGS may take a stream's window below zero
        past = self.receive_window < 0 or (s.receive_window < 0 and self.settings_acked)
        assert not past, f"the peer went past a window: {self.receive_window}, {s.receive_window}"
        s.body += payload
        s.pieces.append(payload)
        s.owed += n
        if n and self.credit != "none":
            self.receive_window += n
            self.send_frame(WINDOW_UPDATE, 0, 0, struct.pack(">I", n))
        if self.credit == "all" and not flags & END_STREAM:
            s.credit()
        if flags & END_STREAM:
            self.take_end(s)

    def take_end(self, s):
        s.ended, s.ended_at = True, time.monotonic()
        if self.on_end:
            self.on_end(s)

    # -- frames that go
    def send_frame(self, kind, flags=0, stream=0, payload=b""):
        self.send_raw(frame(kind, flags, stream, payload))

    def send_headers(self, stream, fields, end=False):
        with self.writing:  # HPACK's state is in the order of what was sent
            block = self.encoder.encode(fields)
            pieces = [block[i : i + 16384] for i in range(0, len(block), 16384)] or [b""]
            flags = (END_STREAM if end else 0) | (END_HEADERS if len(pieces) == 1 else 0)
            self.send_frame(HEADERS, flags, stream, pieces[0])
            for i, piece in enumerate(pieces[1:], 2):
                self.send_frame(CONTINUATION, END_HEADERS if i == len(pieces) else 0, stream, piece)

    def send_data(self, s, data, end=False):
        s.send_window -= len(data)
        self.send_window -= len(data)
        self.send_frame(DATA, END_STREAM if end else 0, s.id, data)

    def goaway(self, last, code=NO_ERROR):
        self.send_frame(GOAWAY, 0, 0, struct.pack(">II", last, code))


class Client(Session):
    """A client of the gateway. tls: an SSLContext, and server_name."""

    def __init__(self, g, listener="plain", tls=None, server_name=None, **options):
        sock = g.open(listener)
        if tls:
            sock = tls.wrap_socket(sock, server_hostname=server_name)
            expect(sock.selected_alpn_protocol(), "h2", "what ALPN agreed on")
        super().__init__(Wire(sock), True, **options)
        self.scheme = "https" if tls else "http"
        g.clients.append(self)

    def open_stream(self, head, end=True):
        s = self.stream(self.next_id)
        self.next_id += 2
        return s.send_head(head, end)

    def ask(self, method, path, *fields, body=b"", trailers=None, **more):
        s = self.open_stream(head_of(method, path, *fields, scheme=self.scheme, **more), end=not body and trailers is None)
        if body:
            s.send(body, end=trailers is None)
        if trailers is not None:
            s.send_trailers(*trailers)
        return s

    def get(self, path="/", *fields, **more):
        return self.ask("GET", path, *fields, **more)

    def post(self, path, *fields, **more):
        """The head alone: the body follows."""
        return self.open_stream(head_of("POST", path, *fields, scheme=self.scheme, **more), end=False)

    def rpc(self, path="/test.Service/Method", *fields, body=None, **more):
        """A gRPC call; body: one message, after which the client has no more. None: the head alone."""
        s = self.open_stream(head_of("POST", path, "content-type: application/grpc", "te: trailers", *fields, scheme=self.scheme, **more), end=False)
        if body is not None:
            s.send(message(body), end=True)
        return s


def message(data):
    """A gRPC message: not compressed, its length, its bytes."""
    return b"\0" + struct.pack(">I", len(data)) + data


def serve(handler, at="end", threaded=False, keep_frames=True, begin=None, **options):
    """A script for harness.Upstream: handler(stream) is called when a request's head came (at="head") or all of it, in a thread of its own where
    threaded. begin(session): before the first frame is read. The session is wire.session; each stream is in upstream.requests as well."""
    def script(wire):
        session = Session(wire, False, **options)
        wire.session = session
        session.keep_frames = keep_frames

        def guarded(stream):
            try:
                handler(stream)
            except Exception as e:  # pylint: disable=broad-except
                if not wire.upstream.closing and not session.ended:
                    wire.upstream.errors.append(e)

        def call(stream):
            if threaded:
                threading.Thread(target=guarded, args=(stream,), daemon=True).start()
            else:
                handler(stream)

        def on_head(stream):
            wire.upstream.record(stream)
            if at == "head":
                call(stream)

        def on_end(stream):
            if at == "end":
                call(stream)

        session.on_head, session.on_end = on_head, on_end
        if begin:
            begin(session)
        session.run()

    return script


def silent(stream):
    """For `serve`: never answers."""
    del stream


def json_of(stream):
    return json.loads(stream.body)


def answering(body=b"hello", *fields, **more):
    return serve(lambda s: s.answer(200, *fields, body=b"" if s.method == "HEAD" else body), **more)


