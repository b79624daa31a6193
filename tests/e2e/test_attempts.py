# SPDX-License-Identifier: Apache-2.0
"""Further attempts over real sockets, where the answers that are held back, the uploads and the clients are unkind; and that the counters add up."""
import contextlib
import random
import threading
import time

import h2
from harness import Gateway, Upstream, chunked, eventually, expect, expect_between, get, ok, post, request, serve, threads

AGAIN = {"retry": {"retries": 2, "when": [503, "UNAVAILABLE", "upstream_closed", "upstream_reset"], "methods": ["GET", "HEAD", "PUT", "POST"],
                   "backoff": {"base": "5ms"}, "budget": "100%"}}
DRAIN = {"cancel": {"drain_limit": {"time": "300ms", "bytes": "64KiB"}}}


def first_then_ok(first, body=b"at last"):
    """For `serve`: the bytes of `first` for the first request, then `body`."""
    lock, left = threading.Lock(), [first]

    def handler(wire, message):
        with lock:
            said = left.pop() if left else ok(b"" if message.method == "HEAD" else body)
        wire.send(said)
    return handler


def sum_of(g, name):
    """Of all lines of a metric, whatever their labels."""
    return sum(float(line.rsplit(" ", 1)[1]) for line in g.admin("/metrics").body.decode().split("\n")
               if line.startswith((name + "{", name + " ")))


def test_what_is_held_back_ends_as_any_answer_does():
    """Whether the connection of a 503 that is tried again is used again is up to how that 503 ends: by its trailers, without a body for HEAD, by
    Connection: close, or not at all."""
    lasting = "HTTP/1.1 503 Busy\r\ntransfer-encoding: chunked\r\n\r\n".encode() + chunked(b"x" * 5000, trailers=("x-sum: 1",))
    closing = ok(b"busy", "Connection: close", status="503 Busy")
    bare = b"HTTP/1.1 503 Busy\r\ncontent-length: 1000\r\n\r\n"
    open_end = b"HTTP/1.1 503 Busy\r\n\r\nbusy"
    for method, first, connections in (("GET", lasting, 1), ("GET", closing, 2), ("HEAD", bare, 1), ("GET", bare, 2), ("GET", open_end, 2)):
        with Upstream(serve(first_then_ok(first))) as up, Gateway(up, policy={**AGAIN, **DRAIN}) as g:
            expect(g.ask(request(method, "/")).status, 200)
            time.sleep(0.1)  # what was held back is over by then, in one way or the other
            expect(g.ask(request(method, "/")).status, 200)
            expect(len(up.wires), connections, f"connections after {method}: {first[:60]}")
            expect([line["ending"] for line in g.log(2)], ["completed"] * 2)


def test_an_answer_without_end_is_held_back_no_longer_than_its_limit():
    """A 503 whose body goes on for ever costs the client nothing, and ends with drain_limit: its connection is reset."""
    def handler(wire, message):
        if len(wire.upstream.requests) > 1:
            wire.send(ok(b"at last"))
            return
        wire.send(b"HTTP/1.1 503 Busy\r\ntransfer-encoding: chunked\r\n\r\n")
        with contextlib.suppress(OSError):
            while True:
                wire.send(b"400\r\n" + b"x" * 1024 + b"\r\n")
                time.sleep(0.001)

    with Upstream(serve(handler)) as up, Gateway(up, policy={**AGAIN, **DRAIN}) as g:
        begun = time.monotonic()
        expect(g.ask(get()).body, b"at last")
        expect_between(time.monotonic() - begun, 0, 0.3, "s")
        eventually(lambda: g.metric("curfew_upstream_connections") == 1.0, what="the end of what has none")
        expect(g.logged()["attempts"], 2)


def test_a_status_that_cuts_an_upload_short():
    """A 503 for the head of an upload that still comes, by length and in chunks, with and without Expect: what came is sent again, and the rest follows it."""
    def handler(wire):
        message = wire.head()
        wire.upstream.record(message)
        if len(wire.upstream.requests) == 1:
            wire.send(ok(b"busy", status="503 Busy"))
            with contextlib.suppress(OSError):
                wire.to_end()
            return
        if message.get("expect"):
            wire.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        message = wire.body(message, False)
        wire.send(ok(message.body))

    for length in ("Content-Length: 9", "Transfer-Encoding: chunked"):
        for expectant in (False, True):
            parts = [b"abc", b"def", b"ghi"]
            if length.startswith("T"):
                parts = [b"3\r\n%s\r\n" % p for p in parts[:2]] + [b"3\r\nghi\r\n0\r\n\r\n"]
            with Upstream(handler) as up, Gateway(up, policy=AGAIN) as g:
                c = g.connect()
                c.send(request("PUT", "/", length, *(["Expect: 100-continue"] if expectant else [])))
                if expectant:
                    expect(c.head().status, 100)
                for part in parts:
                    c.send(part)
                    time.sleep(0.03)
                expect(c.answer("PUT").body, b"abcdefghi")
                expect(len(up.requests), 2)
                expect(g.logged()["ending"], "completed")


def test_a_translated_answer_that_breaks_off_leaves_nothing_of_it():
    """A unary Connect call whose first answer is cut in its middle is asked again, and the client gets the second answer alone."""
    left = [True]

    def handler(s):
        if left and left.pop():
            s.send_head([(":status", "200"), ("content-type", "application/grpc+proto"), ("x-from", "first")])
            s.send(h2.message(b"half")[:7])
            s.reset(h2.INTERNAL_ERROR)
        else:
            s.answer(200, "content-type: application/grpc+proto", body=h2.message(b"whole"), trailers=["grpc-status: 0"])

    unary = post("/test.Service/Method", b"hello", "Content-Type: application/proto", "Connect-Protocol-Version: 1")
    routes = [{"match": {"path": "/*"}, "upstream": "be", "translate": "grpc"}]
    with Upstream(h2.serve(handler)) as up, Gateway(up, upstream={"protocol": "http2"}, policy=AGAIN, routes=routes) as g:
        answer = g.ask(unary)
        expect((answer.status, answer.body, answer.get("x-from")), (200, b"whole", None))
        expect([r.body for r in up.requests], [h2.message(b"hello")] * 2)
        line = g.logged()
        expect((line["ending"], line["attempts"], line["grpc_status"]), ("completed", 2, 0))


def test_what_retry_after_cannot_mean():
    """A date that is past asks for no wait, nonsense says nothing; what is too long for the deadline passes on, however long it is."""
    for said, retried in (("Tue, 01 Jan 2019 00:00:00 GMT", True), ("soon", True), ("-1", True), ("", True),
                          ("99999999999999999999999", False), ("9223372036854775807", False), ("18446744073709551615", False), ("Tue, 01 Jan 2199 00:00:00 GMT", False)):
        with Upstream(serve(first_then_ok(ok(b"busy", f"Retry-After: {said}", status="503 Busy")))) as up, Gateway(up, policy=AGAIN) as g:
            begun = time.monotonic()
            expect(g.ask(get()).status, 200 if retried else 503, f"Retry-After: {said}")
            expect_between(time.monotonic() - begun, 0, 0.5, "s")


def test_a_gateway_that_drains_in_a_back_off():
    """SIGTERM while a retry waits: it is made where the drain lasts so long, else the client gets its 503, and nothing is left."""
    for drain, status, ending in (("5s", 200, "completed"), ("300ms", 503, "shutdown")):
        with Upstream(serve(first_then_ok(ok(b"busy", "Retry-After: 1", status="503 Busy")))) as up:
            with Gateway(up, policy=AGAIN, more={"shutdown": {"drain": drain}}) as g:
                c = g.connect()
                c.send(get())
                eventually(lambda: g.metric("curfew_retries_waiting") == 1.0, what="the back-off")
                g.signal()
                expect(c.answer().status, status)
                g.wait_exit()
                expect(g.logged()["ending"], ending)


def test_a_websocket_is_neither_tried_again_nor_hedged():
    """What asks for a tunnel gets the one answer that it got, however slow that is."""
    def handler(wire, message):
        time.sleep(0.3)
        wire.send(ok(b"busy", status="503 Busy"))

    policy = {"retry": {**AGAIN["retry"], "hedge": {"after": "100ms"}}}
    ask = get("/", "Connection: upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==")
    with Upstream(serve(handler)) as up, Gateway(up, policy=policy) as g:
        expect(g.ask(ask).body, b"busy")
        expect((len(up.requests), g.logged()["attempts"]), (1, 1))


def storm(g, seed, count=25):
    """Requests of every kind, of which some leave."""
    chance = random.Random(seed)

    def play():
        for _ in range(count):
            body = b"x" * chance.choice([0, 10, 3000, 70000])
            method = chance.choice(["GET", "PUT", "POST"])
            c = g.connect()
            with contextlib.suppress(OSError):
                c.send(request(method, "/", *([f"Content-Length: {len(body)}"] if method != "GET" else []), body=body if method != "GET" else b""))
                if chance.random() < 0.2:
                    time.sleep(chance.random() * 0.05)
                    chance.choice([c.reset, c.close])()
                    continue
                answer = c.answer(method)
                assert answer.status in (200, 502, 503, 504), answer.status
                if answer.status == 200:
                    expect(answer.body, b"x" * (len(body) if method != "GET" else 0))
            c.close()
    return play


def test_the_counters_add_up():
    """Whatever upstreams and clients do at once: as many attempts as requests, retries and hedges, in the metrics and in the log; the budget and the
    descriptors come back."""
    chance = random.Random(7)

    def handler(wire, message):
        what = chance.random()
        if what < 0.1:
            return False
        if what < 0.3:
            wire.send(ok(b"busy" * chance.choice([1, 5000]), status="503 Busy"))
            return None
        time.sleep(0.06 if what < 0.5 else 0.001)
        wire.send(ok(message.body))
        return None

    policy = {"retry": {**AGAIN["retry"], "hedge": {"after": "20ms", "max": 2}}, "deadline": {"per_try": "500ms"}, **DRAIN}
    with Upstream(serve(handler)) as a, Upstream(serve(handler)) as b, Gateway([a, b], policy=policy, upstream={"max_connections": 6}) as g:
        g.ask(get("/"))
        before = g.descriptors() - g.metric("curfew_upstream_connections")
        threads(*[storm(g, seed) for seed in range(6)])
        eventually(lambda: sum_of(g, "curfew_exchanges") == 0, what="the end of the last exchange")
        lines = g.log(151)
        retries, hedges = sum_of(g, "curfew_retries_total"), sum_of(g, "curfew_hedges_total")
        expect(retries > 0 and hedges > 0, True, "something to count")
        expect(sum_of(g, "curfew_requests_total"), 151.0)
        expect(sum_of(g, "curfew_attempts_total"), float(sum(line.get("attempts", 0) for line in lines)), "attempts, and those of the log")
        begun = sum(1 for line in lines if line.get("attempts", 0) > 0)
        withdrawn = begun + retries + hedges - sum_of(g, "curfew_attempts_total")  # retries that waited when their client left
        expect_between(withdrawn, 0, sum(1 for line in lines if line.get("cancel_level") == "withdrawn"), "retries that never began")
        expect(sum(line.get("hedges", 0) for line in lines), int(hedges), "hedges, and those of the log")
        won = sum(1 for line in lines if line.get("hedges") and line.get("winner", 0) > 1)
        expect(sum_of(g, "curfew_hedges_won_total") <= won, True, "hedges that won")
        expect(g.metric("curfew_retries_waiting"), 0.0)
        eventually(lambda: g.descriptors() - g.metric("curfew_upstream_connections") <= before, what="the descriptors of before")
