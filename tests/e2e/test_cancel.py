# SPDX-License-Identifier: Apache-2.0
"""A client that leaves: how it is seen, and how the upstream is told (semantics, sections 5 and 6)."""
import contextlib
import threading
import time

from harness import (Gateway, Upstream, answering, eventually, expect, expect_between, expect_in, full_listener, get, note, ok, post, request,
                     serve, settled, silent, threads)

SOON = 1.0  # seconds within which a client's leaving must be seen upstream


def leave(g, up, data, how, asked=1):
    """Sends data, waits until the upstream was asked, leaves; returns how the upstream's connection ended, and after how many ms."""
    c = g.connect()
    c.send(data)
    up.wait_requests(asked)
    time.sleep(0.02)  # so that nothing else is under way as it leaves
    begun = time.monotonic()
    how(c)
    ended, at = up.wait_end(len(up.wires) - 1, SOON)
    return ended, (at - begun) * 1000


def test_client_closes():
    """A client's FIN while the upstream works: the upstream's connection is closed at once; the log says client_closed, level close."""
    with Upstream(serve(silent)) as up, Gateway(up) as g:
        ended, ms = leave(g, up, get("/"), lambda c: c.close())
        note(f"{ended} seen upstream after {ms:.2f} ms")
        line = g.logged()
        expect((line["ending"], line["by"], line["status"], line["cancel_level"]), ("client_closed", "client", 499, "close"))


def test_client_resets():
    """A client's RST counts at once as well: client_reset."""
    with Upstream(serve(silent)) as up, Gateway(up) as g:
        ended, ms = leave(g, up, get("/"), lambda c: c.reset())
        note(f"{ended} seen upstream after {ms:.2f} ms")
        line = g.logged()
        expect((line["ending"], line["status"], line["cancel_level"]), ("client_reset", 499, "close"))


def test_client_closes_behind_a_pipelined_byte():
    """T2: one byte of a next request before the FIN hides it from nobody."""
    with Upstream(serve(silent)) as up, Gateway(up) as g:
        _, ms = leave(g, up, get("/") + b"G", lambda c: c.close())
        note(f"seen upstream after {ms:.2f} ms")
        expect_in(g.log(1)[0]["ending"], ("client_closed", "client_reset"))


def test_client_closes_behind_a_whole_pipelined_request():
    """T2: neither does a whole pipelined request; it is never asked of an upstream."""
    with Upstream(serve(silent)) as up, Gateway(up) as g:
        leave(g, up, get("/one") + get("/two"), lambda c: c.close())
        time.sleep(0.1)
        expect([r.target for r in up.requests], ["/one"])


def test_client_resets_behind_pipelined_bytes():
    """T2: nor from a reset: 100 KiB of pipelined bytes, then RST."""
    with Upstream(serve(silent)) as up, Gateway(up) as g:
        leave(g, up, get("/") + b"GET /" + b"a" * 4000, lambda c: c.reset())
        expect(g.log(1)[0]["ending"], "client_reset")


def test_half_close_of_a_probe_is_tolerated():
    """T1: FIN from HTTP/1.0, or without a User-Agent, still gets its answer."""
    def late(wire, message):
        time.sleep(0.2)
        wire.send(ok(message.target.encode()))

    with Upstream(serve(late)) as up, Gateway(up) as g:
        for data in (get("/old", version="HTTP/1.0"), get("/probe", agent=False)):
            c = g.connect()
            c.send(data)
            c.half_close()
            expect(c.answer().status, 200)
            c.expect_end("fin")
        expect([l["ending"] for l in g.log(2)], ["completed"] * 2)


def test_who_asks_to_keep_the_connection_is_no_probe():
    """T1: a FIN without a User-Agent but behind Connection: keep-alive, as undici's request() sends it, is a leaving."""
    with Upstream(serve(silent)) as up, Gateway(up) as g:
        leave(g, up, get("/", "Connection: keep-alive", agent=False), lambda c: c.close())
        expect(g.log(1)[0]["ending"], "client_closed")


def test_half_close_by_policy():
    """T1: half_close: tolerate answers everyone, abort nobody."""
    def late(wire, message):
        del message
        time.sleep(0.2)
        wire.send(ok(b"late"))

    with Upstream(serve(late)) as up, Gateway(up, policy={"cancel": {"half_close": "tolerate"}}) as g:
        c = g.connect()
        c.send(get())
        c.half_close()
        expect(c.answer().body, b"late")
    with Upstream(serve(silent)) as up, Gateway(up, policy={"cancel": {"half_close": "abort"}}) as g:
        _, _ = leave(g, up, get("/", agent=False, version="HTTP/1.0"), lambda c: c.half_close())
        expect(g.logged()["ending"], "client_closed")


def test_fin_before_the_request_is_complete():
    """T3: a FIN in the middle of a body is a cut request, however many of its bytes are still in flight."""
    def handler(wire):
        wire.head()
        expect(len(wire.to_end()) < 1000, True)

    with Upstream(handler) as up, Gateway(up) as g:
        c = g.connect()
        c.send(request("POST", "/", "Content-Length: 1000") + b"x" * 500)
        eventually(lambda: up.wires and b"xxx" in up.wires[0].unread, what="half of the body at the upstream")
        c.close()
        up.wait_end(0, SOON)
        expect_in(g.logged()["ending"], ("client_closed", "client_error"))


def test_fin_right_behind_a_whole_body():
    """T3: all of a body and the FIN in one segment: the request is whole, and half_close decides."""
    with Upstream(answering(b"ok")) as up, Gateway(up) as g:
        c = g.connect()
        c.send(post("/", b"x" * 100000, agent=False))
        c.half_close()
        expect(c.answer().body, b"ok")
        expect(len(up.wait_requests(1)[0].body), 100000)


def test_client_leaves_while_the_answer_stalls():
    """The head is out, the body stalls, the client goes: the upstream's connection is closed."""
    def stalling(wire, message):
        del message
        wire.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nsome")
        wire.expect_end(within=30)
        return False

    for how in ("close", "reset"):
        with Upstream(serve(stalling)) as up, Gateway(up) as g:
            c = g.connect()
            c.send(get())
            c.until(b"some")
            begun = time.monotonic()
            getattr(c, how)()
            _, at = up.wait_end(0, SOON)
            note(f"{how} seen upstream after {(at - begun) * 1000:.2f} ms")
            expect_in(g.logged()["ending"], ("client_closed", "client_reset"))


def test_client_leaves_while_it_is_not_read():
    """T4: the client does not read, so the upstream is not read either; its reset is seen all the same."""
    def flooding(wire, message):
        del message
        wire.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        while True:
            wire.send(b"10000\r\n" + b"x" * 65536 + b"\r\n")
            sent[0] += 65536

    sent = [0]
    with Upstream(serve(flooding)) as up, Gateway(up) as g:
        c = g.connect()
        c.send(get())
        c.until(b"\r\n\r\n")
        settled(lambda: sent[0])  # all buffers are full
        begun = time.monotonic()
        c.reset()
        _, at = up.wait_end(0, SOON)
        note(f"seen upstream after {(at - begun) * 1000:.2f} ms")
        expect(g.logged()["ending"], "client_reset")


def test_client_leaves_while_its_upload_is_not_taken():
    """T4: the upstream does not read, so the client is not read; its reset is seen all the same."""
    def deaf(wire):
        wire.sock.setsockopt(1, 8, 4096)  # SO_RCVBUF
        wire.head()
        eventually(lambda: released.is_set(), 20, "the end of the test")
        while wire.fill():
            wire.unread = b""

    released = threading.Event()
    with Upstream(deaf) as up, Gateway(up) as g:
        c = g.connect()
        c.send(request("POST", "/", "Content-Length: 100000000"))
        c.sock.setblocking(False)
        sent = [0]

        def push():
            with contextlib.suppress(BlockingIOError):
                while sent[0] < 90_000_000:
                    sent[0] += c.sock.send(b"x" * 65536)
            return sent[0]

        expect_between(settled(push), 1, 89_999_999, "bytes that were taken")
        begun = time.monotonic()
        c.reset()
        line = g.logged()
        note(f"logged after {(time.monotonic() - begun) * 1000:.1f} ms")
        expect((line["ending"], line["cancel_level"]), ("client_reset", "close"))
        expect_between(time.monotonic() - begun, 0, SOON)
        released.set()
        up.wait_end()


def test_client_deadline_is_named_so():
    """T35: a client that leaves as its own deadline passes is client_deadline, or our timer was first; never client_closed."""
    with Upstream(serve(silent)) as up, Gateway(up, policy={"deadline": {"read": ["x-request-timeout"], "grace": "50ms"}}) as g:
        c = g.connect()
        c.send(get("/", "X-Request-Timeout: 200ms"))
        time.sleep(0.17)
        c.close()
        expect_in(g.logged()["ending"], ("client_deadline", "deadline"))


def test_rung_drain():
    """Ladder [ drain ]: the answer is read to its end and thrown away, and the connection serves the next request."""
    def late(wire, message):
        time.sleep(0.15)
        wire.send(ok(message.target.encode() * 100))

    with Upstream(serve(late)) as up, Gateway(up, policy={"cancel": {"http1": ["drain"]}}) as g:
        c = g.connect()
        c.send(get("/left"))
        up.wait_requests(1)
        c.close()
        eventually(lambda: g.metric("curfew_upstream_received_bytes_total") > len(b"/left" * 100), what="the answer that nobody wants")
        expect(g.ask(get("/next")).body, b"/next" * 100)
        expect(len(up.wires), 1, "upstream connections")
        line = next(l for l in g.log(2) if l["path"] == "/left")
        expect((line["ending"], line["cancel_level"]), ("client_closed", "drain"))


def test_rung_drain_has_a_limit_of_time():
    """T21: an answer that is not drained within drain_limit.time costs its connection."""
    policy = {"cancel": {"http1": ["drain"], "drain_limit": {"time": "200ms", "bytes": "1MiB"}}}
    with Upstream(serve(silent)) as up, Gateway(up, policy=policy) as g:
        c = g.connect()
        c.send(get())
        up.wait_requests(1)
        begun = time.monotonic()
        c.close()
        _, at = up.wait_end(0, 2)
        expect_between((at - begun) * 1000, 150, 600, "ms until the connection was given up")


def test_rung_drain_has_a_limit_of_bytes():
    """T21: so does one longer than drain_limit.bytes."""
    def flooding(wire, message):
        del message
        time.sleep(0.1)
        wire.send(b"HTTP/1.1 200 OK\r\nContent-Length: 200000000\r\n\r\n")
        for _ in range(3000):
            wire.send(b"x" * 65536)

    policy = {"cancel": {"http1": ["drain"], "drain_limit": {"time": "20s", "bytes": "64KiB"}}}
    with Upstream(serve(flooding)) as up, Gateway(up, policy=policy) as g:
        c = g.connect()
        c.send(get())
        up.wait_requests(1)
        c.close()
        up.wait_end(0, 3)


def test_rung_none():
    """Ladder [ none ]: nothing is told; where a deadline had been, the level is ttl."""
    def late(wire, message):
        time.sleep(0.3)
        wire.send(ok(b"late"))
        expect(message.target, "/left")

    for fields, level in ((["X-Request-Timeout: 5s"], "ttl"), ([], "none")):
        policy = {"cancel": {"http1": ["none"]}, "deadline": {"read": ["x-request-timeout"], "default": "none"}}
        if not fields:
            policy["deadline"]["write"] = {"http": []}
        with Upstream(serve(late)) as up, Gateway(up, policy=policy) as g:
            c = g.connect()
            c.send(get("/left", *fields))
            up.wait_requests(1)
            c.close()
            line = g.logged()
            expect((line["ending"], line["cancel_level"]), ("client_closed", level))


def test_client_gone_drain_and_ignore():
    """client_gone: drain and ignore let the upstream finish; neither closes its connection."""
    def late(wire, message):
        time.sleep(0.3)
        wire.send(ok(b"done"))
        finished.append(message.target)

    for word in ("drain", "ignore"):
        finished = []
        with Upstream(serve(late)) as up, Gateway(up, policy={"cancel": {"client_gone": word}}) as g:
            c = g.connect()
            c.send(get("/left"))
            up.wait_requests(1)
            c.close()
            eventually(lambda: finished, what=f"the upstream's answer, client_gone: {word}")
            expect(g.ask(get("/next")).body, b"done")
            expect(len(up.wires), 1, f"upstream connections, client_gone: {word}")


def test_cancelled_connection_is_never_reused():
    """T21: after a cancel the next request goes on a fresh connection, and never gets the old answer."""
    def handler(wire, message):
        if message.target == "/old":
            time.sleep(0.3)
        wire.send(ok(message.target.encode()))

    with Upstream(serve(handler)) as up, Gateway(up) as g:
        c = g.connect()
        c.send(get("/old"))
        up.wait_requests(1)
        c.close()
        for i in range(5):
            expect(g.ask(get(f"/new{i}")).body, f"/new{i}".encode())


def test_a_request_that_connects_is_withdrawn():
    """A client that leaves while the upstream's connection is being made: level withdrawn, and no upstream hears of it."""
    with full_listener() as address, Gateway(address, upstream={"connect_timeout": "5s"}) as g:
        c = g.connect()
        c.send(get())
        time.sleep(0.2)  # its duration, which the log tells
        c.close()
        line = g.logged()
        expect((line["ending"], line["cancel_level"]), ("client_closed", "withdrawn"))
        expect_between(line["duration_ms"], 100, 2000)


def test_many_leave_at_once():
    """T14: two hundred clients reset at once: every upstream connection is closed, and nothing is left."""
    with Upstream(serve(silent), backlog=512) as up, Gateway(up, upstream={"max_connections": 256}, workers=2) as g:
        clients = [g.connect() for _ in range(200)]
        for c in clients:
            c.send(get())
        up.wait_requests(200)
        begun = time.monotonic()
        for c in clients:
            c.reset()
        eventually(lambda: all(w.ended for w in up.wires), 5, "the end of all upstream connections")
        note(f"200 upstream connections closed within {(max(w.ended_at for w in up.wires) - begun) * 1000:.0f} ms")
        expect([l["ending"] for l in g.log(200)], ["client_reset"] * 200)
        expect(g.metric("curfew_exchanges"), 0.0)


def test_leaving_races_the_answer():
    """T34: a client that leaves as the answer comes ends its request once, whichever was first."""
    def handler(wire, message):
        del message
        time.sleep(0.01)
        wire.send(ok(b"x"))

    with Upstream(serve(handler)) as up, Gateway(up) as g:
        def one(i):
            for j in range(40):
                c = g.connect()
                c.send(get(f"/{i}/{j}"))
                time.sleep(0.008 + 0.0005 * (j % 10))
                (c.close if j % 2 else c.reset)()

        threads(*[lambda i=i: one(i) for i in range(3)])
        endings = [l["ending"] for l in g.log(100)]
        expect(set(endings) - {"completed", "client_closed", "client_reset"}, set())
        eventually(lambda: g.metric("curfew_exchanges") == 0, what="an end of all exchanges")


def test_an_idle_client_that_leaves_is_no_cancel():
    """A client that closes between requests leaves no line in the log, and its upstream's connection stays."""
    with Upstream(answering(b"x")) as up, Gateway(up) as g:
        c = g.connect()
        c.send(get())
        expect(c.answer().status, 200)
        c.close()
        g.connect().close()
        time.sleep(0.2)
        expect(len(g.log(1)), 1, "lines in the log")
        expect(up.wires[0].ended, None, "the upstream's connection")


def test_admin_counts_cancels_by_level():
    """/metrics tells how many cancels were told by which level."""
    with Upstream(serve(silent)) as up, Gateway(up) as g:
        for i in range(3):
            leave(g, up, get(), lambda c: c.close(), i + 1)
        g.log(3)
        text = g.admin("/metrics").body.decode()
        lines = [l for l in text.split("\n") if "cancel" in l and 'level="close"' in l and 'client_closed' in l and not l.startswith("#")]
        expect([l.rsplit(" ", 1)[1] for l in lines], ["3"], "cancels by level close")


def test_ignored_leaving_ends_with_idle():
    """client_gone: ignore, and the upstream stalls in its answer: `idle` ends the work, though nobody hears the answer any more."""
    def stalls(wire, message):
        time.sleep(0.2)
        wire.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nabc")
        return silent(wire, message)
    policy = {"deadline": {"default": "5s", "idle": "400ms"}, "cancel": {"client_gone": "ignore"}}
    with Upstream(serve(stalls)) as up, Gateway(up, policy=policy) as g:
        c = g.connect()
        c.send(get())
        up.wait_requests(1)
        c.close()
        up.wait_end(seconds=3)
        expect(g.logged()["ending"], "upstream_idle")


def test_ignored_leaving_from_a_stream_ends_with_max():
    """client_gone: ignore, and the upstream streams on for ever: `max` ends the work that nobody hears, and no sooner that of who still listens."""
    def stream(wire, message):
        wire.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n")
        with contextlib.suppress(OSError):
            while True:
                wire.send(b"data: %s\n\n" % message.target.encode())
                time.sleep(0.02)

    policy = {"deadline": {"max": "600ms"}, "cancel": {"client_gone": "ignore"}}
    with Upstream(serve(stream)) as up, Gateway(up, policy=policy) as g:
        listens, leaves = g.connect(), g.connect()
        for c, path in ((listens, "/listens"), (leaves, "/leaves")):
            c.send(get(path, "Accept: text/event-stream"))
            c.until(b"data: ")
        begun = time.monotonic()
        leaves.reset()
        line = g.logged()
        expect((line["path"], line["ending"], line["cancel_level"]), ("/leaves", "deadline", "close"))
        expect_between(time.monotonic() - begun, 0.55, 20, "seconds after the leaving")
        listens.unread = b""
        listens.until(b"data: ")
        listens.reset()
        expect({l["path"]: l["ending"] for l in g.log(2)}["/listens"], "deadline")  # it left, too
