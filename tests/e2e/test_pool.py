# SPDX-License-Identifier: Apache-2.0
"""Upstream connections: kept, found stale, limited, queued for, and shared out over endpoints (semantics, section 5)."""
import threading
import time

from harness import (HOST, Gateway, Upstream, answering, echo, eventually, expect, expect_between, expect_in, free_port, full_listener, get, note,
                     ok, post, request, serve, silent)


def test_connect_failure():
    """Nobody listens: 503 connect_failure at once."""
    with Gateway() as g:
        answer = g.ask(get())
        expect((answer.status, answer.get("content-type")), (503, "application/problem+json"))
        line = g.logged()
        expect((line["ending"], line["by"]), ("connect_failure", "upstream"))
        assert line["duration_ms"] < 1000, line


def test_connect_failure_of_one_endpoint_is_retried_on_the_other():
    """T39: a refused connection was never asked: where the policy retries connect_failure, the other endpoint gets the request."""
    policy = {"retry": {"retries": 1, "when": ["connect_failure"], "budget": "100%"}}
    with Upstream(answering(b"alive")) as up, Gateway([f"{HOST}:{free_port()}", up], policy=policy) as g:
        for _ in range(6):
            expect(g.ask(post("/", b"not idempotent")).body, b"alive")


def test_connect_timeout():
    """An endpoint that takes no connection: 503 connect_timeout after connect_timeout."""
    with full_listener() as address, Gateway(address, upstream={"connect_timeout": "200ms"}, policy={"retry": {"retries": 0}}) as g:
        begun = time.monotonic()
        expect(g.ask(get()).status, 503)
        expect_between((time.monotonic() - begun) * 1000, 190, 700, "ms")
        expect(g.logged()["ending"], "connect_timeout")


def test_upstream_closes_without_an_answer():
    """The upstream takes the request and closes a fresh connection: 502 upstream_closed, and it is not sent twice."""
    with Upstream(serve(lambda wire, message: False)) as up, Gateway(up) as g:
        answer = g.ask(get())
        expect((answer.status, answer.json()["status"]), (502, 502))
        expect(g.logged()["ending"], "upstream_closed")
        time.sleep(0.1)
        expect(len(up.requests), 1, "times it was asked")


def test_upstream_resets():
    """The same by RST."""
    def resetting(wire, message):
        del message
        wire.reset()
        return False

    with Upstream(serve(resetting)) as up, Gateway(up) as g:
        expect(g.ask(get()).status, 502)
        expect_in(g.logged()["ending"], ("upstream_closed", "upstream_reset"))


def test_upstream_cuts_its_body():
    """A body that is cut short upstream is cut for the client, too, by length and in chunks: never a clean end."""
    for head in (b"Content-Length: 100\r\n\r\nsome", b"Transfer-Encoding: chunked\r\n\r\n4\r\nsome\r\n"):
        def cutting(wire, message, head=head):
            del message
            wire.send(b"HTTP/1.1 200 OK\r\n" + head)
            return False

        with Upstream(serve(cutting)) as up, Gateway(up) as g:
            answer = g.ask(get())
            expect(answer.status, 200)
            expect_in(answer.cut, ("fin", "rst"), "how it was cut")
            expect(g.logged()["ending"], "upstream_closed")


def stale_once(how):
    """Answers the first request of the first connection, then ends that connection as the second one arrives; later ones are served."""
    def script(wire):
        first = wire.upstream.wires[0] is wire
        n = 0
        while (message := wire.request()) is not None:
            wire.upstream.record(message)
            n += 1
            if first and n == 2:
                if how == "rst":
                    wire.reset()
                return
            wire.send(ok(message.target.encode() + message.body))
    return script


def test_stale_connection_is_tried_again():
    """A reused connection that ends before a byte of its answer: an idempotent request is sent once more on a fresh one; the client sees nothing."""
    for how in ("fin", "rst"):
        with Upstream(stale_once(how)) as up, Gateway(up) as g:
            c = g.connect()
            c.send(get("/1"))
            expect(c.answer().body, b"/1")
            c.send(request("PUT", "/2", "Content-Length: 4", body=b"body"))
            expect(c.answer().body, b"/2body")
            expect([r.target for r in up.requests], ["/1", "/2", "/2"])
            expect([l["ending"] for l in g.log(2)], ["completed"] * 2)
            expect(g.metric("curfew_stale_retries_total"), 1.0)


def test_stale_connection_and_a_request_that_may_have_run():
    """A POST whose bytes were taken is not sent again: 502 upstream_closed."""
    with Upstream(stale_once("fin")) as up, Gateway(up) as g:
        c = g.connect()
        c.send(get("/1"))
        expect(c.answer().body, b"/1")
        c.send(post("/2", b"pay"))
        expect(c.answer().status, 502)
        expect([r.target for r in up.requests], ["/1", "/2"])
        expect(g.log(2)[1]["ending"], "upstream_closed")


def test_idle_connection_that_the_upstream_closed():
    """A kept connection that the upstream closes while idle is found out at once: the next request, even a POST, goes on a fresh one."""
    def once(wire, message):
        wire.send(ok(message.target.encode()))
        return False

    with Upstream(serve(once)) as up, Gateway(up) as g:
        c = g.connect()
        for i in range(3):
            c.send(post(f"/{i}", b"x"))
            expect(c.answer().body, f"/{i}".encode())
            g.wait_metric("curfew_upstream_connections", 0)
        expect(len(up.wires), 3, "upstream connections")


def test_idle_timeout():
    """A kept connection is closed after idle_timeout, silently."""
    with Upstream(answering(b"x")) as up, Gateway(up, upstream={"idle_timeout": "200ms"}) as g:
        expect(g.ask(get()).status, 200)
        begun = time.monotonic()
        how, at = up.wait_end(0, 3)
        expect(how, "fin")
        expect_between(at - begun, 0.15, 1.0, "s until the idle connection was closed")
        expect(g.ask(get()).status, 200)


def test_keep_alive_timeout_of_the_upstream():
    """Keep-Alive: timeout=1 of the upstream: the connection is not used once that is over."""
    with Upstream(answering(b"x", "Keep-Alive: timeout=1")) as up, Gateway(up) as g:
        expect(g.ask(get()).status, 200)
        how, _ = up.wait_end(0, 3)
        expect(how, "fin")


def test_round_robin():
    """Two endpoints take turns."""
    with Upstream(serve(echo)) as a, Upstream(serve(echo)) as b, Gateway([a, b], upstream={"balance": "round_robin"}) as g:
        ports = [g.ask(get()).json()["port"] for _ in range(10)]
        expect((ports.count(a.port), ports.count(b.port)), (5, 5))


def test_least_requests():
    """The endpoint that is busy gets no more while the other one is free."""
    with Upstream(serve(silent)) as busy, Upstream(serve(echo)) as free:
        with Gateway([busy, free], upstream={"balance": "least_requests"}) as g:
            held = [g.connect()]
            held[0].send(get("/hold"))
            eventually(lambda: busy.requests or free.requests, what="the first request")
            if free.requests:  # it went to the one that answers: the next one goes to the other
                held.append(g.connect())
                held[-1].send(get("/hold"))
                busy.wait_requests(1)
            for _ in range(8):
                expect(g.ask(get("/next")).json()["port"], free.port)
            for c in held:
                c.close()


def test_weights():
    """upstreams: { a: 90, b: 10 } shares requests out by weight."""
    with Upstream(serve(echo)) as a, Upstream(serve(echo)) as b:
        routes = [{"match": {"path": "/*"}, "upstreams": {"a": 90, "b": 10}}]
        with Gateway({"a": a, "b": b}, routes=routes) as g:
            c = g.connect()
            for _ in range(200):
                c.send(get())
                c.answer()
            note(f"{len(a.requests)} and {len(b.requests)} of 200")
            expect_between(len(b.requests), 5, 45, "requests to the one of weight 10")


class Gate:
    """An upstream that answers no request before its turn is given."""

    def __init__(self):
        self.turns = threading.Semaphore(0)

    def __call__(self, wire, message):
        expect(self.turns.acquire(timeout=20), True)  # pylint: disable=consider-using-with
        wire.send(ok(message.target.encode()))

    def let(self, n=1):
        self.turns.release(n)


ONE = {"max_connections": 1, "max_requests": 1}


def test_queued_requests_wait_their_turn():
    """max_requests 1: the second request waits, and goes when the first is done; its time in the queue is in the log."""
    gate = Gate()
    with Upstream(serve(gate)) as up, Gateway(up, upstream={**ONE, "max_pending": 10}) as g:
        a, b = g.connect(), g.connect()
        a.send(get("/a"))
        up.wait_requests(1)
        b.send(get("/b"))
        time.sleep(0.3)  # which the log tells as its wait
        expect(len(up.requests), 1, "requests at the upstream")
        gate.let(2)
        expect((a.answer().body, b.answer().body), (b"/a", b"/b"))
        expect(len(up.wires), 1, "upstream connections")
        line = next(l for l in g.log(2) if l["path"] == "/b")
        expect_between(line["queued_ms"], 200, 2000)


def test_full_queue_sheds():
    """Beyond max_pending a request is answered 503 with Retry-After at once: shed_load."""
    gate = Gate()
    with Upstream(serve(gate)) as up, Gateway(up, upstream={**ONE, "max_pending": 1}) as g:
        a, b = g.connect(), g.connect()
        a.send(get("/a"))
        up.wait_requests(1)
        b.send(get("/b"))
        g.wait_metric("curfew_queued", 1)
        begun = time.monotonic()
        answer = g.ask(get("/c"))
        expect(answer.status, 503)
        assert int(answer.get("retry-after")) >= 1, answer.raw
        expect_between(time.monotonic() - begun, 0, 0.5, "s until it was told")
        line = g.logged()
        expect((line["ending"], line["path"]), ("shed_load", "/c"))
        gate.let(2)
        expect((a.answer().body, b.answer().body), (b"/a", b"/b"))


def test_queued_request_is_withdrawn():
    """T40: a client that leaves the queue is never heard of upstream: level withdrawn; the next in line gets the connection."""
    gate = Gate()
    with Upstream(serve(gate)) as up, Gateway(up, upstream={**ONE, "max_pending": 10}) as g:
        a, b, c = g.connect(), g.connect(), g.connect()
        a.send(get("/a"))
        up.wait_requests(1)
        b.send(get("/b"))
        g.wait_metric("curfew_queued", 1)
        c.send(get("/c"))
        g.wait_metric("curfew_queued", 2)
        b.close()
        line = g.logged()
        expect((line["path"], line["ending"], line["cancel_level"]), ("/b", "client_closed", "withdrawn"))
        gate.let(2)
        expect((a.answer().body, c.answer().body), (b"/a", b"/c"))
        expect([r.target for r in up.requests], ["/a", "/c"])


def test_deadline_in_the_queue():
    """A deadline that passes in the queue is answered there, and the upstream never hears of it."""
    gate = Gate()
    policy = {"deadline": {"read": ["x-request-timeout"], "default": "20s"}}
    with Upstream(serve(gate)) as up, Gateway(up, upstream={**ONE, "max_pending": 10}, policy=policy) as g:
        a, b = g.connect(), g.connect()
        a.send(get("/a"))
        up.wait_requests(1)
        begun = time.monotonic()
        b.send(get("/b", "X-Request-Timeout: 250ms"))
        expect(b.answer().status, 504)
        expect_between((time.monotonic() - begun) * 1000, 200, 400, "ms until the 504")
        expect_in(g.logged()["ending"], ("deadline", "shed_expired", "shed_load"))
        gate.let()
        expect(a.answer().body, b"/a")
        time.sleep(0.1)
        expect([r.target for r in up.requests], ["/a"])


def test_queue_by_deadline():
    """The queue is ordered by deadline: who has less time left goes first."""
    gate = Gate()
    policy = {"deadline": {"read": ["x-request-timeout"], "default": "30s", "max": "60s"}}
    with Upstream(serve(gate)) as up, Gateway(up, upstream={**ONE, "max_pending": 10}, policy=policy) as g:
        a = g.connect()
        a.send(get("/a"))
        up.wait_requests(1)
        late, soon = g.connect(), g.connect()
        late.send(get("/late", "X-Request-Timeout: 20s"))
        g.wait_metric("curfew_queued", 1)
        soon.send(get("/soon", "X-Request-Timeout: 5s"))
        g.wait_metric("curfew_queued", 2)
        gate.let(3)
        for c in (a, late, soon):
            expect(c.answer().status, 200)
        expect([r.target for r in up.requests], ["/a", "/soon", "/late"])


def test_the_pool_grows_to_its_limit():
    """max_connections 3: five requests at once use three connections, and all are answered."""
    with Upstream(serve(lambda wire, message: (time.sleep(0.1), wire.send(ok(b"x")))[1])) as up:
        with Gateway(up, upstream={"max_connections": 3, "max_requests": 100}) as g:
            clients = [g.connect() for _ in range(5)]
            for c in clients:
                c.send(get())
            for c in clients:
                expect(c.answer().status, 200)
            expect(len(up.wires), 3, "upstream connections")
