# SPDX-License-Identifier: Apache-2.0
"""HTTP/2 over cleartext: the four pairings of HTTP/1 and HTTP/2, flow control, tunnels, what a downgrade must refuse, draining."""
import collections
import contextlib
import os
import threading
import time

import h2
from harness import (Gateway, Upstream, answering, chunked, echo, eventually, expect, expect_between, expect_in, get, note, ok, request,
                     serve, settled, threads)

PAIRS = [(down, up) for down in ("http1", "http2") for up in ("http1", "http2")]
SHARED = {"protocol": "http2", "max_connections": 1}  # one connection for all
Reply = collections.namedtuple("Reply", "status fields body trailers interims", defaults=(200, (), b"", None, ()))


def replying(protocol, reply):
    """A script that gives every request this reply."""
    def http1(wire, message):
        for status, *fields in reply.interims:
            wire.send("".join(f"{l}\r\n" for l in (f"HTTP/1.1 {status} Interim", *fields, "")).encode())
        bodiless = message.method == "HEAD" or reply.status in (204, 304)
        if reply.trailers is not None:
            head = "".join(f"{l}\r\n" for l in (f"HTTP/1.1 {reply.status} X", "Transfer-Encoding: chunked", *reply.fields, ""))
            wire.send(head.encode() + chunked(reply.body, trailers=reply.trailers))
        elif bodiless:
            length = [] if reply.status == 204 else [f"Content-Length: {len(reply.body)}"]
            wire.send("".join(f"{l}\r\n" for l in (f"HTTP/1.1 {reply.status} X", *length, *reply.fields, "")).encode())
        else:
            wire.send(ok(reply.body, *reply.fields, status=f"{reply.status} X"))

    def http2(stream):
        for status, *fields in reply.interims:
            stream.send_head([(":status", str(status)), *h2.fields_of(fields)])
        bodiless = stream.method == "HEAD" or reply.status in (204, 304)
        length = [f"content-length: {len(reply.body)}"] if stream.method == "HEAD" else []
        stream.answer(reply.status, *map(lower, reply.fields), *length, body=b"" if bodiless else reply.body, trailers=reply.trailers)

    return serve(http1) if protocol == "http1" else h2.serve(http2)


def lower(field):
    name, value = field.split(":", 1)
    return f"{name.lower()}:{value}"


class Pair:
    def __init__(self, g, up, down):
        self.g, self.up, self.down = g, up, down

    def ask(self, method="GET", path="/", *fields, body=b"", trailers=None):
        """The answer, read to its end."""
        if self.down == "http2":
            c = h2.Client(self.g)
            s = c.ask(method, path, *map(lower, fields), body=body, trailers=trailers).whole(30)
            c.close()
            return s
        c = self.g.connect()
        if trailers is not None:
            c.send(request(method, path, "Transfer-Encoding: chunked", *fields) + chunked(body, trailers=trailers))
        else:
            length = [f"Content-Length: {len(body)}"] if body else []
            threading.Thread(target=lambda: c.send(request(method, path, *length, *fields) + body), daemon=True).start()
        answer = c.answer(method)
        expect(answer.cut, None, "how the answer was cut")
        c.close()
        return answer

    def asked(self, n=1):
        """Request n as the upstream saw it, once it is there."""
        return self.up.wait_requests(n)[n - 1]


@contextlib.contextmanager
def pair(down, up, script, **more):
    if isinstance(script, Reply):
        script = replying(up, script)
    with Upstream(script) as u, Gateway(u, upstream={"protocol": up, **more.pop("upstream", {})}, **more) as g:
        try:
            yield Pair(g, u, down)
        except BaseException:
            print(f"---- {down} in front of {up}")
            raise


def fields_without(message, *names):
    return {n for n, _ in message.fields} & set(names)


# ---- the four pairings ------------------------------------------------------------------------------------------------------------------


def test_bodies_pass_between_all_protocols():
    """A request and an answer with bodies, in each of the four pairings: both ends see every byte, and no field of the other's framing."""
    sent, answered = os.urandom(100_000), os.urandom(150_000)
    for down, up in PAIRS:
        with pair(down, up, Reply(201, ("X-Answer: yes",), answered)) as p:
            a = p.ask("POST", "/a/b?c=d", "X-Asked: also", body=sent)
            expect((a.status, a.get("x-answer"), a.body == answered), (201, "yes", True))
            seen = p.asked()
            expect((seen.method, seen.target, seen.get("x-asked"), seen.body == sent), ("POST", "/a/b?c=d", "also", True))
            expect(seen.get("host" if up == "http1" else ":authority"), "example.test")
            if up == "http2":
                expect(fields_without(seen, "host", "connection", "transfer-encoding", "keep-alive", "upgrade"), set())
                expect(seen.get(":scheme"), "http")
            if down == "http2":
                expect(fields_without(a, "connection", "transfer-encoding", "keep-alive", "upgrade"), set())
            line = p.g.logged()
            expect((line["protocol"], line["status"], line["ending"], line["request_bytes"], line["response_bytes"]),
                   ("HTTP/2" if down == "http2" else "HTTP/1.1", 201, "completed", 100_000, 150_000))


def test_trailers_pass_both_ways():
    """Trailers of the request reach the upstream, those of the answer the client, in each pairing."""
    for down, up in PAIRS:
        with pair(down, up, Reply(200, (), b"body", ["x-sum: 42", "x-more: yes"])) as p:
            a = p.ask("POST", "/", "TE: trailers", body=b"asked", trailers=["x-checked: 7"])
            expect((a.body, sorted(a.trailers)), (b"body", [("x-more", "yes"), ("x-sum", "42")]))
            seen = p.asked()
            expect((seen.body, seen.trailers), (b"asked", [("x-checked", "7")]))


def test_trailers_of_a_stranger_claim_nothing():
    """Neither a deadline nor the way a request came is taken from a stranger's trailers, for upstreams that add them to the headers; the rest passes."""
    claims = ("x-request-timeout: 99h", "grpc-timeout: 1S", "x-forwarded-for: 10.0.0.1", "x_forwarded_for: 10.0.0.2", "forwarded: for=10.0.0.3",
              "x_request_timeout: 99h", "transfer_encoding: chunked", "x-real-ip: 10.0.0.1")
    with Upstream(serve(echo)) as up, Gateway(up, listener={"trust": "none"}) as g:
        c = g.connect()
        c.send(request("POST", "/", "Transfer-Encoding: chunked", body=chunked(b"asked", trailers=(*claims, "x-checked: 7"))))
        expect(c.answer().json()["trailers"], [["x-checked", "7"]])
        s = h2.Client(g).ask("POST", "/", body=b"asked", trailers=[*claims, "x-checked: 7"])
        expect(h2.json_of(s.whole())["trailers"], [["x-checked", "7"]])
        del up


def test_interim_answers_pass():
    """T19: two 103 before the answer reach the client before it, in each pairing, and are no answer themselves."""
    reply = Reply(200, (), b"final", None, ((103, "link: </a.css>"), (103, "link: </b.css>")))
    for down, up in PAIRS:
        with pair(down, up, reply) as p:
            a = p.ask()
            expect((a.status, a.body), (200, b"final"))
            links = [dict(i.fields if down == "http1" else i)["link"] for i in a.interims]
            expect(links, ["</a.css>", "</b.css>"])


def test_continue_passes():
    """T19: a client that expects a 100 gets the upstream's, before it sends a byte of its body; both over HTTP/2."""
    def handler(s):
        s.send_head([(":status", "100")])
        s.wait(lambda: s.ended, "the body")
        s.answer(200, body=b"got " + s.body)

    with Upstream(h2.serve(handler, at="head", threaded=True)) as up, Gateway(up, upstream=SHARED) as g:
        s = h2.Client(g).post("/", "expect: 100-continue", "content-length: 4")
        s.wait(lambda: s.interims, "the 100")
        expect(dict(s.interims[0])[":status"], "100")
        s.send(b"body", end=True)
        expect(s.whole().body, b"got body")
        expect(up.requests[0].get("expect"), "100-continue")


def test_answers_without_a_body():
    """HEAD keeps its Content-Length and has no body; so 304; 204 has neither; in each pairing, and the connection goes on."""
    for down, up in PAIRS:
        for method, status in (("HEAD", 200), ("GET", 204), ("GET", 304)):
            with pair(down, up, Reply(status, ("X-Here: yes",), b"" if status != 200 else b"x" * 1234)) as p:
                for _ in range(2):
                    a = p.ask(method)
                    expect((a.status, a.body, a.get("x-here")), (status, b"", "yes"))
                    if method == "HEAD":
                        expect(a.get("content-length"), "1234")
                expect(len(p.up.wires), 1, "connections to the upstream")


def test_big_bodies_pass():
    """12 MiB each way, many windows long, in each pairing with HTTP/2: every byte arrives."""
    sent = os.urandom(1 << 20) * 12
    for down, up in PAIRS[1:]:
        with pair(down, up, Reply(200, (), sent)) as p:
            begun = time.monotonic()
            a = p.ask("POST", "/", body=sent)
            assert a.body == sent, f"the answer differs ({len(a.body)} bytes)"
            assert p.asked().body == sent, "the request differs"
            note(f"{down} to {up}: 12 MiB each way in {time.monotonic() - begun:.2f} s")


def test_cookies_are_joined():
    """RFC 9113 8.2.3: crumbs of a cookie become one field before they reach HTTP/1; whatever their order, nothing of them is lost."""
    with Upstream(serve(lambda wire, m: wire.send(ok()))) as up, Gateway(up) as g:
        h2.Client(g).get("/", "cookie: a=1", "x: y", "cookie: b=2", "cookie: c=3").whole()
        expect(up.requests[0].all("cookie"), ["a=1; b=2; c=3"])


def test_a_head_over_the_limit_is_431():
    """A head past max_head is answered 431 over HTTP/2, and costs the other streams nothing."""
    with Upstream(h2.answering()) as up, Gateway(up, upstream=SHARED) as g:
        c = h2.Client(g)
        s = c.get("/", ("x-big", "x" * 40_000), ("x-bigger", "y" * 40_000))
        expect(s.whole().status, 431)
        expect(c.get("/").whole().body, b"hello")
        expect([r.get("x-big") for r in up.requests], [None])


def test_preface_byte_by_byte():
    """Prior knowledge on the port of HTTP/1: the preface and a request in segments of one byte; HTTP/1 on the same port, likewise."""
    with Upstream(answering(b"hello")) as up, Gateway(up) as g:
        wire = g.connect()
        c = h2.Session(wire, True, begin=False)
        quick = h2.hpack.Encoder().encode(h2.head_of("GET", "/slowly"))
        data = h2.PREFACE + h2.frame(h2.SETTINGS) + h2.frame(h2.HEADERS, h2.END_HEADERS | h2.END_STREAM, 1, quick)
        for i in range(len(data)):
            c.send_raw(data[i : i + 1])
            time.sleep(0.001)
        expect(c.stream(1).whole().body, b"hello")
        wire = g.connect()
        wire.dribble(get("/slowly"))
        expect(wire.answer().body, b"hello")
        wire = g.connect()
        wire.dribble(b"PRINT / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")  # begins as the preface does
        expect(wire.answer().status, 200)
        expect([r.method for r in up.requests], ["GET", "GET", "PRINT"])


def test_a_preface_that_stops_is_closed():
    """A client that sends half a preface and no more is sent away when timeouts.header is over, and occupies nothing."""
    with Upstream(answering()) as up, Gateway(up, listener={"timeouts": {"header": "300ms", "idle": "300ms"}}) as g:
        c = g.connect()
        c.send(h2.PREFACE[:10])
        begun = time.monotonic()
        c.to_end()
        expect_between(time.monotonic() - begun, 0.2, 2, "seconds until it was closed")
        expect(len(up.wires), 0)


# ---- flow control ---------------------------------------------------------------------------------------------------------------------------


def flooding(total, sent):
    """A handler: /slow gets a body without end, as far as it is taken; its progress is in sent[0]. Others get b"quick"."""
    def handler(s):
        if s.target != "/slow":
            s.answer(200, body=b"quick")
            return
        s.send_head([(":status", "200")])
        while sent[0] < total and s.code is None and not s.session.ended:
            sent[0] += s.send(b"x" * 16384, wait=False)
            time.sleep(0.001)
    return handler


def test_a_slow_reader_slows_its_own_stream_alone():
    """A client that takes nothing of one stream stops that stream at the upstream, within what windows and buffers hold; fifty others on the same two
    connections pass at once; when it takes again, the rest comes."""
    sent = [0]
    total = 4 << 20
    with Upstream(h2.serve(flooding(total, sent), threaded=True)) as up, Gateway(up, upstream=SHARED) as g:
        c = h2.Client(g, credit="connection")
        slow = c.get("/slow").head()
        slow.data(60000)
        stopped = settled(lambda: sent[0])
        note(f"the upstream's stream stopped at {stopped} bytes")
        expect_between(stopped, 65535, 700_000)
        begun = time.monotonic()
        quick = [c.get(f"/{i}") for i in range(50)]
        for s in quick:
            expect(s.whole().body, b"quick")
        note(f"50 neighbours in {(time.monotonic() - begun) * 1000:.0f} ms")
        expect(len(slow.body), 65535, "bytes of the stream that is not read")
        c.credit = "all"
        slow.credit()
        c.until(lambda: len(slow.body) >= total, "the rest", 30)
        expect(len(up.wires), 1)
        slow.reset()


def test_a_client_of_http1_that_reads_nothing_slows_its_stream_alone():
    """An HTTP/1 client that reads nothing stops its stream of the shared connection to the upstream; the others pass."""
    sent = [0]
    with Upstream(h2.serve(flooding(64 << 20, sent), threaded=True)) as up, Gateway(up, upstream=SHARED) as g:
        c = g.connect()
        c.sock.setsockopt(1, 8, 4096)  # SO_RCVBUF
        c.send(get("/slow"))
        c.until(b"\r\n\r\n")
        stopped = settled(lambda: sent[0])
        note(f"the upstream's stream stopped at {stopped} bytes")
        expect_between(stopped, 65535, 8 << 20)  # the kernel's own buffers are in it
        for _ in range(20):
            expect(g.ask(get("/")).body, b"quick")
        expect(len(up.wires), 1)
        c.reset()


def test_an_upload_that_is_not_taken_stops_its_own_stream_alone():
    """An upstream that takes nothing of one upload: the client's stream stops, within what windows and buffers hold; its neighbours pass."""
    def handler(s):
        if s.target != "/slow":
            s.answer(200, body=b"quick")

    with Upstream(h2.serve(handler, at="head", credit="connection")) as up, Gateway(up, upstream=SHARED) as g:
        c = h2.Client(g)
        slow = c.post("/slow")
        up.wait_requests(1)
        sent = 0
        until = time.monotonic() + 1
        while time.monotonic() < until:
            sent += slow.send(b"x" * (1 << 20), wait=False)
            c.quiet(0.02)
        note(f"the client's stream stopped at {sent} bytes")
        expect_between(sent, 65535, 700_000)
        expect(len(up.requests[0].body), 65535)
        for _ in range(20):
            expect(c.get("/").whole().body, b"quick")
        expect(c.ask("POST", "/", body=b"y" * 60000).whole().body, b"quick")
        slow.reset()


def test_a_slow_http1_upstream_stops_the_upload():
    """Over HTTP/1 to the upstream it is the same: the client's window is what it is, its neighbours have connections of their own."""
    release = threading.Event()

    def script(wire):
        message = wire.head()
        if message.target == "/slow":
            release.wait(30)
            wire.body(message, False)
            wire.send(ok(str(len(message.body)).encode()))
        else:
            wire.send(ok(b"quick"))

    with Upstream(script) as up, Gateway(up) as g:
        c = h2.Client(g)
        slow = c.post("/slow", "content-length: 16777216")
        sent = 0
        until = time.monotonic() + 1
        while time.monotonic() < until:
            sent += slow.send(b"x" * ((16 << 20) - sent), wait=False)
            c.quiet(0.02)
        note(f"the client's stream stopped at {sent} bytes")
        expect_between(sent, 65535, 12 << 20)
        for _ in range(5):
            expect(c.get("/").whole().body, b"quick")
        release.set()
        slow.send(b"x" * ((16 << 20) - sent), end=True)
        expect(slow.whole(30).body, b"16777216")
        del up


def test_windows_of_a_client_that_offers_little():
    """A client whose streams have windows of 10 bytes gets its answers in pieces of 10; its neighbour on a connection of its own gets all."""
    with Upstream(h2.answering(b"0123456789" * 10)) as up, Gateway(up, upstream=SHARED) as g:
        c = h2.Client(g, settings={h2.INITIAL_WINDOW: 10})
        s = c.get("/").whole()
        expect(s.body, b"0123456789" * 10)
        expect(max(len(p) for p in s.pieces), 10)
        del up


# ---- the upstream's limits --------------------------------------------------------------------------------------------------------------------


def test_streams_are_spread_over_connections_by_the_peers_limit():
    """An upstream that allows two streams at a time never has three; nine requests at once use five connections and none is refused."""
    release = threading.Event()

    def handler(s):
        live = [t for t in s.session.streams.values() if not t.sent_end]
        most.append(len(live))
        release.wait(20)
        s.answer(200, body=b"done")

    most = []
    settings = {h2.MAX_STREAMS: 2}
    with Upstream(h2.serve(handler, threaded=True, settings=settings)) as up, Gateway(up, upstream={"protocol": "http2", "max_connections": 8}) as g:
        c = h2.Client(g)
        first = c.get("/")  # nothing is known of the peer yet: its SETTINGS come with the first connection
        up.wait_requests(1)
        streams = [first] + [c.get(f"/{i}") for i in range(8)]
        up.wait_requests(9)
        release.set()
        for s in streams:
            expect(s.whole().body, b"done")
        expect(max(most), 2, "streams of one connection at a time")
        expect_between(len(up.wires), 5, 8, "connections")


def test_more_than_max_concurrent_streams_wait():
    """Where no further connection may be opened, requests above the peer's limit wait for a place and are all served."""
    with Upstream(h2.serve(lambda s: (time.sleep(0.01), s.answer(200, body=b"done")), threaded=True, settings={h2.MAX_STREAMS: 3})) as up, \
            Gateway(up, upstream=SHARED) as g:
        c = h2.Client(g)
        c.get("/").whole()
        for s in [c.get(f"/{i}") for i in range(60)]:
            expect(s.whole().body, b"done")
        expect(len(up.wires), 1)


def test_a_client_past_its_own_limit_is_refused():
    """Streams above our MAX_CONCURRENT_STREAMS: refused one by one (REFUSED_STREAM) while the client may not know the limit yet; the end of the
    connection (PROTOCOL_ERROR) for one that acknowledged it. No upstream sees them, and the others are cancelled there."""
    with Upstream(h2.serve(h2.silent)) as up, \
            Gateway(up, listener={"http2": {"max_concurrent_streams": 4}}, upstream={"protocol": "http2"}) as g:
        c = h2.Client(g)
        streams = [c.get(f"/{i}") for i in range(6)]
        expect([s.reset_code() for s in streams[4:]], ["REFUSED_STREAM"] * 2)
        up.wait_requests(4)
        expect(c.settled().peer[h2.MAX_STREAMS], 4)
        c.round_trip()
        c.get("/one-too-many")
        c.expect_end()
        expect([h2.name_of(code) for _, code in c.goaways], ["PROTOCOL_ERROR"])
        expect(sorted(s.target for s in up.requests), ["/0", "/1", "/2", "/3"])
        expect([s.reset_code() for s in up.requests], ["CANCEL"] * 4)


def test_idle_upstreams_are_pinged():
    """ping_interval: an idle connection to the upstream is asked; one that answers lives, one that does not is dropped, and the next request is
    served on another."""
    deaf = []

    def begin(session):
        take = session.take

        def deafened(kind, flags, number, payload):
            if kind == h2.PING and deaf:
                session.frames_unanswered = True
                return
            take(kind, flags, number, payload)
        session.take = deafened

    upstream = {**SHARED, "http2": {"ping_interval": "100ms", "ping_timeout": "200ms"}}
    with Upstream(h2.answering(begin=begin)) as up, Gateway(up, upstream=upstream) as g:
        expect(h2.Client(g).get("/").whole().status, 200)
        time.sleep(0.7)
        pings = [f for f in up.wires[0].session.frames if f[0] == h2.PING]
        expect_between(len(pings), 2, 8, "PINGs in 0.7 s")
        expect(up.wires[0].session.ended, None)
        deaf.append(True)
        begun = time.monotonic()
        _, at = up.wait_end(0, 3)
        expect_between((at - begun) * 1000, 150, 700, "ms until it was given up")
        deaf.clear()
        expect(h2.Client(g).get("/").whole().status, 200)
        expect(len(up.wires), 2)


# ---- downgrade --------------------------------------------------------------------------------------------------------------------------------


SMUGGLES = {
    "a line feed in a value": [("x-a", "b\nGET /smuggled HTTP/1.1")],
    "CR LF in a value": [("x-a", "b\r\nx-smuggled: yes")],
    "a carriage return alone": [("x-a", "b\rc")],
    "NUL in a value": [("x-a", "b\0c")],
    "a line feed in a name": [("x-a: b\r\nx-smuggled", "yes")],
    "a colon in a name": [("x:a", "b")],
    "a blank in a name": [("x a", "b")],
    "an upper case name": [("X-A", "b")],
    "an empty name": [("", "b")],
    "connection": [("connection", "x-a"), ("x-a", "b")],
    "connection: close": [("connection", "close")],
    "keep-alive": [("keep-alive", "timeout=5")],
    "proxy-connection": [("proxy-connection", "keep-alive")],
    "transfer-encoding": [("transfer-encoding", "chunked")],
    "upgrade": [("upgrade", "websocket")],
    "te other than trailers": [("te", "gzip")],
    "te: trailers, gzip": [("te", "trailers, gzip")],
    "a Host that differs": [("host", "evil.test")],
    "two content-lengths": [("content-length", "0"), ("content-length", "5")],
    "a content-length that is no number": [("content-length", "+0")],
    "a content-length and no body": [("content-length", "5")],
    "a pseudo-field behind a field": [("x-a", "b"), (":method", "POST")],
    "an unknown pseudo-field": [(":evil", "b")],
    ":status in a request": [(":status", "200")],
    ":protocol without CONNECT": [(":protocol", "websocket")],
}
PSEUDO = {
    "a blank in :path": {":path": "/a HTTP/1.1"},
    "a line feed in :path": {":path": "/a\nx: y"},
    "CR LF in :path": {":path": "/a HTTP/1.1\r\nHost: evil"},
    "a tab in :path": {":path": "/a\tb"},
    "NUL in :path": {":path": "/a\0b"},
    "an empty :path": {":path": ""},
    "a :path without a slash": {":path": "a"},
    "a :path that is a URL": {":path": "http://evil/"},
    "a fragment in :path": {":path": "/a#b"},
    "a blank in :method": {":method": "GET /x"},
    "CR LF in :method": {":method": "GET / HTTP/1.1\r\nx:"},
    "an empty :method": {":method": ""},
    "CR LF in :authority": {":authority": "a\r\nx: y"},
    "a blank in :authority": {":authority": "a b"},
    "user information in :authority": {":authority": "user@example.test"},
    "a slash in :authority": {":authority": "example.test/x"},
    "another :scheme": {":scheme": "ftp"},
    "a line feed in :scheme": {":scheme": "http\n"},
}


def refused(c, head, end=True):
    """What the client is told: a status, or the name of a code; the connection lives."""
    s = c.open_stream(head, end)
    s.end()
    assert s.fields is not None or s.code is not None, f"the connection ended: {c.goaways}"
    return s.status if s.fields is not None else h2.name_of(s.code)


def test_a_downgrade_refuses_what_would_smuggle():
    """T25: heads that HTTP/1 would frame or route otherwise are refused with 400 or PROTOCOL_ERROR, each on its own stream; nothing of them
    reaches an upstream of either protocol, and the connection goes on. Each is a line of the log, with the status that was sent, if any was."""
    for protocol, script in (("http1", answering(b"hello")), ("http2", h2.answering(b"hello"))):
        with Upstream(script) as up, Gateway(up, upstream={"protocol": protocol}) as g:
            c = h2.Client(g)
            wrong, told = [], []
            bad = {what: h2.head_of("GET", "/bad") + fields for what, fields in SMUGGLES.items()}
            bad |= {what: [(n, v if n not in change else change[n]) for n, v in h2.head_of("GET", "/bad")] for what, change in PSEUDO.items()}
            bad["no :path"] = [f for f in h2.head_of("GET", "/bad") if f[0] != ":path"]
            bad["no :method"] = [f for f in h2.head_of("GET", "/bad") if f[0] != ":method"]
            bad["two :paths"] = h2.head_of("GET", "/bad")[:3] + [(":path", "/bad2")]
            for what, head in bad.items():
                got = refused(c, head)
                told.append(("client_error", 400 if got == 400 else None, 1, 0))
                if got not in (400, "PROTOCOL_ERROR"):
                    wrong.append(f"{what}: {got}")
            expect(c.get("/good").whole().body, b"hello")
            time.sleep(0.05)
            reached = [r.target for r in up.requests]
            lines = g.log(len(bad) + 1)
            expect([(e["ending"], e.get("status"), e["wire"], e["response_bytes"]) for e in lines[:-1]], told)
            expect((lines[0]["method"], lines[0]["path"], lines[0]["host"]), ("GET", "/bad", "example.test"))
            expect(lines[-1]["path"], "/good")
            assert all(e["detail"] for e in lines[:-1]), lines
            note(f"{len(bad)} heads refused before {protocol}")
            assert not wrong and reached == ["/good"], "\n".join([*wrong, f"reached the upstream: {reached}"])


def test_a_content_length_that_does_not_hold():
    """T25: DATA shorter or longer than content-length ends the stream with PROTOCOL_ERROR; what stood in it never becomes a request of HTTP/1, and
    the upstream's connection is not used again."""
    smuggled = b"GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n"

    def script(wire):
        if wire.fill():
            heads.append(wire.head().start)
            rest.append(wire.to_end())

    for length, body in ((5, smuggled), (0, smuggled), (500, smuggled)):
        heads, rest = [], []
        with Upstream(script) as up, Gateway(up) as g:
            c = h2.Client(g)
            s = c.post("/bad", f"content-length: {length}")
            if length:
                eventually(lambda: heads, what="the head at the upstream")
            s.send(body, end=True)
            expect_in(s.reset_code(), ("PROTOCOL_ERROR",))
            if heads:
                up.wait_end(0)
                eventually(lambda: rest, what="the end at the upstream")
                assert len(rest[0]) <= length and heads == ["POST /bad HTTP/1.1"], (heads, rest)
            expect(g.log(1)[0]["ending"], "client_error")


def test_a_longer_body_than_the_upstreams_content_length():
    """T25, the other way: an upstream's DATA that does not hold its content-length is an upstream_error, and truncation for the client."""
    def handler(s):
        s.send_head([(":status", "200"), ("content-length", "5")])
        s.send(b"123456789", end=True)

    with Upstream(h2.serve(handler)) as up, Gateway(up, upstream=SHARED) as g:
        c = g.connect()
        c.send(get("/"))
        a = c.answer()
        assert a.cut or a.status == 502, (a.status, a.body, a.cut)
        assert len(a.body) <= 5 or a.status == 502
        expect(g.logged()["ending"], "upstream_error")
        del up


def test_answers_with_fields_of_a_connection_are_malformed():
    """An HTTP/2 upstream that sends connection-specific or malformed fields is answered 502: they must not frame an HTTP/1 answer."""
    for field in (("transfer-encoding", "chunked"), ("connection", "close"), ("x-a", "b\r\nset-cookie: evil=1"), ("X-Upper", "case")):
        with Upstream(h2.serve(lambda s, f=field: s.send_head([(":status", "200"), f], True))) as up, Gateway(up, upstream=SHARED) as g:
            expect(g.ask(get("/")).status, 502)
            expect(g.logged()["ending"], "upstream_error")
            s = up.requests[0]
            expect(s.reset_code(), "PROTOCOL_ERROR")


def test_answers_with_a_status_that_is_none():
    """An HTTP/2 upstream's :status below 100 or above 599 is answered 502, in either protocol; 000 passes nghttp2, and was taken for an interim answer, whose
    exchange then outlived its deadline."""
    for status in ("000", "099", "600", "999", "20", "abc"):
        with Upstream(h2.serve(lambda s, v=status: s.send_head([(":status", v)], True))) as up, Gateway(up, upstream=SHARED) as g:
            expect(g.ask(get("/")).status, 502, status)
            expect(h2.Client(g).get("/").whole().status, 502, status)
            expect([line["ending"] for line in g.log(2)], ["upstream_error"] * 2, status)
            del up


def test_interim_answers_that_cannot_be():
    """RFC 9113 8.1, 8.6: an HTTP/2 upstream's 101, an interim answer that ends the stream, has a length, or a body behind it, and a second answer behind the
    first: 502 to either client before the head, a cut behind it; never a 101 to an HTTP/1 client, for whom it would be another protocol."""
    heads = {"a 101": [101], "a 101 that ends": [-101], "a 103 that ends": [-103], "a 103 with a length": [(103, 5)], "a body behind a 103": [103, b"abc"],
             "a body before all": [b"abc"], "a 103 behind the head": [200, b"abc", 103], "a second answer": [200, b"abc", 200]}
    for what, said in heads.items():
        def handler(s, said=said):
            for part in said:
                if isinstance(part, bytes):
                    s.send(part)
                else:
                    status, length = part if isinstance(part, tuple) else (part, None)
                    s.send_head([(":status", str(abs(status)))] + ([("content-length", str(length))] if length else []), status < 0)
            s.send(b"", end=True)

        with Upstream(h2.serve(handler)) as up, Gateway(up, upstream=SHARED) as g:
            one = g.ask(get("/"))
            two = h2.Client(g).get("/").end()
            if 200 in said:
                expect((one.status, one.body, one.cut, two.status, two.body), (200, b"abc", "fin", 200, b"abc"), what)
                expect(two.reset_code(), "INTERNAL_ERROR", what)
            else:
                expect((one.status, two.status), (502, 502), what)
            expect([line["ending"] for line in g.log(2)], ["upstream_error"] * 2, what)
            del up


# ---- tunnels ------------------------------------------------------------------------------------------------------------------------------------


WS = ("sec-websocket-version: 13", "origin: http://a.test")
SWITCH = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: %s\r\n\r\n"


def open_websocket(c, *fields):
    return c.open_stream(h2.head_of("CONNECT", "/chat", *WS, *fields, protocol="websocket"), end=False)


def http1_echo(wire):
    """An HTTP/1 server of WebSocket's handshake, which then echoes bytes."""
    head = wire.head()
    wire.upstream.record(head)
    wire.send(SWITCH % b"x")
    while wire.unread or wire.fill():
        wire.send(wire.unread)
        wire.unread = b""


def http2_echo(s):
    """At the head: the same over RFC 8441."""
    s.send_head([(":status", "200")])
    done = 0
    while True:
        s.wait(lambda: len(s.body) > done or s.over(), "bytes", 30)
        if len(s.body) > done:
            piece = s.body[done:]
            done += len(piece)
            s.send(piece)
        elif s.ended:
            s.send(b"", end=True)
            return
        else:
            return


def talk(s):
    for piece in (b"\x81\x05hello", bytes(range(256)) * 200, b"x"):
        before = len(s.body)
        s.send(piece)
        expect(s.data(before + len(piece)).body[before:], piece)


def test_websocket_over_http2_to_http1():
    """RFC 8441 in front, an HTTP/1 upgrade behind: 200 to the client, a key and 101 upstream, bytes both ways, and END_STREAM is FIN."""
    with Upstream(http1_echo) as up, Gateway(up) as g:
        c = h2.Client(g).settled()
        expect(c.peer.get(h2.ENABLE_CONNECT), 1)
        s = open_websocket(c).head()
        expect(s.status, 200)
        expect(fields_without(s, "sec-websocket-accept", "upgrade", "connection"), set())
        asked = up.requests[0]
        expect((asked.method, asked.target, asked.get("upgrade"), asked.get("connection").lower()), ("GET", "/chat", "websocket", "upgrade"))
        expect(len(asked.get("sec-websocket-key")), 24)
        expect(asked.get("origin"), "http://a.test")
        talk(s)
        s.send(b"", end=True)
        expect(s.whole().code, None)
        expect(g.logged()["ending"], "completed")


def test_websocket_over_http2_to_http2():
    """RFC 8441 on both sides: an extended CONNECT upstream, no key, bytes both ways, END_STREAM each way."""
    with Upstream(h2.serve(http2_echo, at="head", threaded=True, settings={h2.ENABLE_CONNECT: 1})) as up, Gateway(up, upstream=SHARED) as g:
        c = h2.Client(g).settled()
        s = open_websocket(c).head()
        expect(s.status, 200)
        asked = up.requests[0]
        expect((asked.method, asked.get(":protocol"), asked.target, asked.get("sec-websocket-key")), ("CONNECT", "websocket", "/chat", None))
        talk(s)
        s.send(b"", end=True)
        s.whole()
        eventually(lambda: asked.ended, what="END_STREAM at the upstream")
        expect(g.logged()["ending"], "completed")


def test_upgrade_to_an_http2_upstream():
    """An HTTP/1 upgrade in front, RFC 8441 behind: 101 with the accept that the key asks for, bytes both ways, FIN is END_STREAM."""
    with Upstream(h2.serve(http2_echo, at="head", threaded=True, settings={h2.ENABLE_CONNECT: 1})) as up, Gateway(up, upstream=SHARED) as g:
        c = g.connect()
        c.send(get("/chat", "Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="))
        a = c.answer()
        expect((a.status, a.get("upgrade"), a.get("sec-websocket-accept")), (101, "websocket", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="))
        expect((up.requests[0].method, up.requests[0].get(":protocol")), ("CONNECT", "websocket"))
        for piece in (b"\x81\x05hello", bytes(range(256)) * 200):
            c.send(piece)
            expect(c.exactly(len(piece)), piece)
        c.half_close()
        c.expect_end("fin")
        expect(up.requests[0].ended, True)


def test_early_bytes_of_a_tunnel_wait_for_its_101():
    """T25: what an HTTP/2 client sends into a tunnel before its answer reaches an HTTP/1 upstream behind the 101, and else never: to a server that refused the
    upgrade, and kept the connection, it would be its next request."""
    early = b"GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n"
    seen = []

    def script(wire):
        wire.upstream.record(wire.head())
        seen.append(release.wait(10) and wire.unread)
        wire.send(b"HTTP/1.1 103 Early\r\n\r\n" + (SWITCH % b"x" if status == 101 else ok(b"refused", status=f"{status} X")))
        if status == 101:
            seen.append(wire.exactly(len(early)))
        wire.to_end()
        seen.append(wire.unread)

    for status in (101, 200, 403):
        release = threading.Event()
        seen.clear()
        with Upstream(script) as up, Gateway(up) as g:
            c = h2.Client(g).settled()
            s = open_websocket(c)
            s.send(early)
            up.wait_requests(1)
            c.round_trip()
            release.set()
            expect(s.head().status, {101: 200, 200: 502, 403: 403}[status])
            expect(len(s.interims), 1)
            if status == 101:
                eventually(lambda: len(seen) == 2, what="the early bytes, behind the 101")
                s.reset()
            else:
                expect(s.whole().body, b"refused")
            up.wait_end(0)
            eventually(lambda: len(seen) == (3 if status == 101 else 2), what="the end of the script")
            expect(seen, [b"", early, b""] if status == 101 else [b"", b""], status)


def test_no_tunnel_leads_past_the_routes():
    """T25: what would be HTTP again past all routes (h2c, HTTP/2.0, TLS/1.0) is asked of no upstream, nor a :protocol that is a list, or no token, once it
    stands in an Upgrade: refused over HTTP/2, where the request is a tunnel or nothing, and over HTTP/1 a request without an Upgrade."""
    settings = "http2-settings: AAMAAABkAAQAAP__"
    with Upstream(answering(b"plain")) as up, Gateway(up) as g:
        c = h2.Client(g).settled()
        for to in ("h2c", "H2C", "HTTP/2.0", "TLS/1.0", "websocket, h2c", "web socket", "websocket/13/1"):
            expect_in(refused(c, h2.head_of("CONNECT", "/past", settings, protocol=to), end=False), (400, "PROTOCOL_ERROR"), to)
        for to in ("h2c", "HTTP/2.0", "TLS/1.0"):
            expect(g.ask(get("/plain", f"Upgrade: {to}", "HTTP2-Settings: AAMAAABkAAQAAP__", "Connection: Upgrade, HTTP2-Settings")).body, b"plain", to)
        expect([(r.target, fields_without(r, "upgrade", "connection", "http2-settings")) for r in up.requests], [("/plain", set())] * 3)


def test_an_upstream_without_extended_connect():
    """An HTTP/2 upstream that does not offer RFC 8441 is never asked for a tunnel: 501, no_route, for either client."""
    with Upstream(h2.answering()) as up, Gateway(up, upstream=SHARED) as g:
        s = open_websocket(h2.Client(g).settled()).head()
        expect(s.status, 501)
        a = g.ask(get("/chat", "Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="))
        expect(a.status, 501)
        expect([l["ending"] for l in g.log(2)], ["no_route"] * 2)
        expect(len(up.requests), 0)


def test_a_tunnel_that_the_upstream_refuses():
    """A status other than 101 (or 2xx) from the upstream is the answer: no tunnel is made."""
    with Upstream(serve(lambda wire, m: wire.send(ok(b"no", status="403 Forbidden")))) as up, Gateway(up) as g:
        s = open_websocket(h2.Client(g).settled())
        s.end()
        expect((s.status, s.body), (403, b"no"))
        del up
    with Upstream(serve(lambda wire, m: wire.send(ok(b"plain")))) as up, Gateway(up) as g:
        s = open_websocket(h2.Client(g).settled())
        s.end()
        expect(s.status, 502)  # a 200 would look as if the tunnel stood
        del up


def test_resets_pass_through_tunnels():
    """RST_STREAM(CANCEL) and TCP RST are equal: each side's reset reaches the other soon, whatever it speaks."""
    with Upstream(http1_echo) as up, Gateway(up) as g:
        s = open_websocket(h2.Client(g).settled()).head()
        talk(s)
        begun = time.monotonic()
        s.reset()
        how, at = up.wait_end(0, 2)
        note(f"RST_STREAM, {how} seen upstream after {(at - begun) * 1000:.2f} ms")
        expect(how, "rst")
        expect(g.logged()["ending"], "client_reset")
    with Upstream(h2.serve(http2_echo, at="head", threaded=True, settings={h2.ENABLE_CONNECT: 1})) as up, Gateway(up, upstream=SHARED) as g:
        c = g.connect()
        c.send(get("/chat", "Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="))
        expect(c.answer().status, 101)
        c.reset()
        expect(up.requests[0].reset_code(2), "CANCEL")
        expect(g.logged()["ending"], "client_reset")
    with Upstream(lambda wire: (wire.head(), wire.send(SWITCH % b"x" + b"last words"), time.sleep(0.1), wire.reset())) as up, Gateway(up) as g:
        s = open_websocket(h2.Client(g).settled()).head()
        expect(s.data(10).body, b"last words")  # pending bytes are delivered first
        expect_in(s.reset_code(2), ("CANCEL", "INTERNAL_ERROR"))
        del up


# ---- draining -----------------------------------------------------------------------------------------------------------------------------------


def test_draining_says_goaway_in_two_phases():
    """SIGTERM: GOAWAY with the highest id first, so that what is on its way is still served; then one with the last id; streams end in their time, and
    the exit is 0."""
    release = threading.Event()

    def handler(s):
        if s.target == "/slow":
            release.wait(20)
        s.answer(200, body=s.target.encode())

    with Upstream(h2.serve(handler, threaded=True)) as up, Gateway(up, upstream=SHARED) as g:
        c = h2.Client(g).settled()
        slow = c.get("/slow")
        up.wait_requests(1)
        g.signal()
        time.sleep(0.2)  # the client reads nothing, so that nothing tells it when
        late = c.get("/late")  # on its way before the client has read of it
        c.until(lambda: c.goaways, "a first GOAWAY")
        expect(c.goaways[0], (2**31 - 1, h2.NO_ERROR))
        expect(late.whole().body, b"/late")
        c.quiet(0.1)
        release.set()
        expect(slow.whole().body, b"/slow")
        c.expect_end()
        expect(c.goaways[-1], (late.id, h2.NO_ERROR))
        expect(len(c.goaways), 2)
        g.wait_exit(0)
        del up


def test_draining_ends_what_is_left_when_its_time_is_over():
    """shutdown.drain over: a stream that still waits is answered 503 (shutdown), the upstream gets RST_STREAM(CANCEL), the exit is 0."""
    with Upstream(h2.serve(h2.silent)) as up, Gateway(up, upstream=SHARED, more={"shutdown": {"drain": "400ms"}}) as g:
        c = h2.Client(g).settled()
        s = c.get("/slow")
        up.wait_requests(1)
        g.signal()
        s.end()
        expect(s.status if s.fields else h2.name_of(s.code), 503)
        expect(up.requests[0].reset_code(), "CANCEL")
        g.wait_exit(0)
        expect(g.logged()["ending"], "shutdown")


def test_draining_closes_idle_connections():
    """SIGTERM with idle connections on both sides: GOAWAY to both, and the exit at once."""
    with Upstream(h2.answering()) as up, Gateway(up, upstream=SHARED) as g:
        c = h2.Client(g).settled()
        c.get("/").whole()
        expect_between(g.stop(), 0, 2, "seconds until it was gone")
        c.expect_end()
        expect(c.goaways[-1][1], h2.NO_ERROR)
        expect(up.wires[0].session.goaways[-1:] and up.wires[0].session.goaways[-1][1], h2.NO_ERROR)


# ---- limits of a connection ----------------------------------------------------------------------------------------------------------------------


def test_an_upstream_that_is_dead_under_its_streams():
    """ping_interval counts under way as well: three requests on a connection whose peer says nothing more hear of it ping_interval + ping_timeout later, long
    before any deadline, each in its own words; the next one is served on another."""
    upstream = {**SHARED, "http2": {"ping_interval": "200ms", "ping_timeout": "2s"}}
    with Upstream(h2.serve(h2.silent, at="head")) as up, Gateway(up, upstream=upstream, policy={"deadline": {"default": "60s"}}) as g:
        c = h2.Client(g)
        plain, call, upload = c.get("/"), c.rpc(body=b"x"), c.post("/")
        upload.send(b"begun")
        up.wait_requests(3)
        time.sleep(0.5)  # it answers PINGs, so it lives
        c.pump()
        expect([s.fields for s in (plain, call, upload)], [None] * 3)
        dead = up.requests[0].session
        begun, dead.paused = time.monotonic(), True
        expect((plain.whole().status, call.whole().trailer("grpc-status"), upload.end().status), (502, "14", 502))
        expect_between(time.monotonic() - begun, 1.5, 10, "seconds until it was found")
        expect({(l["ending"], l["detail"]) for l in g.log(3)}, {("upstream_closed", "a PING was not answered in time")})
        up.script = h2.answering(b"alive")
        expect(c.get("/").whole().body, b"alive")
        dead.paused = False


def test_an_idle_connection_is_closed_with_goaway():
    """timeouts.idle: an HTTP/2 connection without streams is told GOAWAY(NO_ERROR), then closed; one with a stream is not idle."""
    with Upstream(h2.serve(lambda s: (time.sleep(0.5), s.answer(200)), threaded=True)) as up, \
            Gateway(up, upstream=SHARED, listener={"timeouts": {"idle": "200ms"}}) as g:
        c = h2.Client(g).settled()
        expect(c.get("/").whole().status, 200)
        begun = time.monotonic()
        c.expect_end()
        expect_between((time.monotonic() - begun) * 1000, 150, 600, "ms until it was closed")
        expect([code for _, code in c.goaways], [h2.NO_ERROR])
        del up


def test_a_broken_connection_is_told_so():
    """Frames that break the protocol end the connection with GOAWAY and RFC 9113's code; its streams are cancelled upstream."""
    breaks = {
        "DATA on stream 0": (h2.frame(h2.DATA, 0, 0, b"x"), ("PROTOCOL_ERROR",)),
        "HEADERS on an even stream": (h2.frame(h2.HEADERS, 5, 2, b"\x82\x84\x86"), ("PROTOCOL_ERROR",)),
        "a frame that is too long": (h2.frame(h2.PING, 0, 0, b"123456789"), ("FRAME_SIZE_ERROR",)),
        "WINDOW_UPDATE past 2^31-1": (h2.frame(h2.WINDOW_UPDATE, 0, 0, b"\x7f\xff\xff\xff"), ("FLOW_CONTROL_ERROR",)),
        "a broken header block": (h2.frame(h2.HEADERS, 5, 3, b"\xff\xff\xff\xff\xff\xff\xff\xff"), ("COMPRESSION_ERROR",)),
        "CONTINUATION out of place": (h2.frame(h2.CONTINUATION, 4, 1, b""), ("PROTOCOL_ERROR",)),
        "PUSH_PROMISE from a client": (h2.frame(h2.PUSH_PROMISE, 4, 1, b"\0\0\0\2\x82"), ("PROTOCOL_ERROR",)),
        "a reset of an idle stream": (h2.frame(h2.RST_STREAM, 0, 99, b"\0\0\0\x08"), ("PROTOCOL_ERROR",)),
    }
    for what, (bad, codes) in breaks.items():
        with Upstream(h2.serve(h2.silent)) as up, Gateway(up, upstream=SHARED) as g:
            c = h2.Client(g).settled()
            c.get("/")
            up.wait_requests(1)
            c.send_raw(bad)
            c.expect_end()
            assert c.goaways and h2.name_of(c.goaways[-1][1]) in codes, f"{what}: {[h2.name_of(k) for _, k in c.goaways]}"
            expect(up.requests[0].reset_code(2), "CANCEL")
            expect(g.logged()["ending"], "client_error", what)


def test_many_clients_share_one_upstream_connection():
    """Twenty clients of both protocols at once over one connection to the upstream: everybody gets their own answer."""
    with Upstream(h2.serve(lambda s: s.answer(200, body=s.target.encode() * 50, trailers=["x-t: " + s.target]), threaded=True)) as up, \
            Gateway(up, upstream=SHARED, workers=1) as g:
        def http2(k):
            c = h2.Client(g)
            for n in range(10):
                streams = {f"/{k}-{n}-{i}": c.get(f"/{k}-{n}-{i}") for i in range(5)}
                for path, s in streams.items():
                    expect((s.whole().body, s.trailers), (path.encode() * 50, [("x-t", path)]))

        def http1(k):
            c = g.connect()
            for n in range(20):
                c.send(get(f"/{k}-{n}"))
                expect(c.answer().body, f"/{k}-{n}".encode() * 50)

        threads(*(lambda k=k: http2(k) for k in range(10)), *(lambda k=k: http1(k) for k in range(10, 20)))
        expect(len(up.wires), 1)
