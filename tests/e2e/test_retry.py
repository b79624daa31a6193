# SPDX-License-Identifier: Apache-2.0
"""A further attempt: only where the upstream cannot have run the request, or the policy says that it does no harm (semantics, sections 1 and 5)."""
import time

import h2
from harness import HOST, Gateway, Upstream, eventually, expect, expect_between, free_port, get, ok, post, request, serve, silent

ALL = {"retries": 2, "when": ["connect_failure", "connect_timeout", "refused_stream", "upstream_closed", "try_timeout"], "budget": "100%"}


def failing(times):
    """For `serve`: closes without an answer so many times, then echoes the body."""
    left = [times]

    def handler(wire, message):
        if left[0]:
            left[0] -= 1
            return False
        wire.send(ok(message.body or b"empty"))
        return None
    return handler


def test_a_lost_answer_is_asked_again_where_the_policy_says_so():
    """upstream_closed is in `when`: an idempotent request, with the body it had, is sent again; the log counts its attempts."""
    with Upstream(serve(failing(2))) as up, Gateway(up, policy={"retry": ALL}) as g:
        expect(g.ask(request("PUT", "/", "Content-Length: 5", body=b"again")).body, b"again")
        expect([r.body for r in up.requests], [b"again"] * 3)
        line = g.logged()
        expect((line["ending"], line["attempts"]), ("completed", 3))


def test_retries_have_an_end():
    """After `retries` further attempts the outcome of the last one is the ending."""
    with Upstream(serve(failing(99))) as up, Gateway(up, policy={"retry": ALL}) as g:
        expect(g.ask(get()).status, 502)
        expect(len(up.requests), 3, "attempts")
        expect(g.logged()["ending"], "upstream_closed")


def test_what_may_have_run_is_not_repeated():
    """T39: a POST that was taken and lost is not sent again, though its ending is in `when`; with methods: [ POST ] it is."""
    for methods, attempts in ((None, 1), (["POST"], 2)):
        retry = {**ALL, **({"methods": methods} if methods else {})}
        with Upstream(serve(failing(1))) as up, Gateway(up, policy={"retry": retry}) as g:
            expect(g.ask(post("/", b"pay")).status, 200 if methods else 502)
            expect(len(up.requests), attempts, f"attempts, methods: {methods}")


def test_a_body_past_the_buffer_is_sent_once():
    """A body longer than retry.buffer is not repeatable."""
    with Upstream(serve(failing(1))) as up, Gateway(up, policy={"retry": {**ALL, "buffer": "4KiB"}}) as g:
        expect(g.ask(request("PUT", "/", "Content-Length: 100000", body=b"x" * 100000)).status, 502)
        expect(len(up.requests), 1, "attempts")


def test_per_try():
    """per_try bounds an attempt, not the request: the second endpoint is asked in time, and told no more than per_try."""
    policy = {"deadline": {"read": ["x-request-timeout"], "per_try": "200ms", "write": {"http": ["x-request-timeout"]}}, "retry": ALL}
    slow = [1]

    def handler(wire, message):
        if slow[0]:
            slow[0] -= 1
            return silent(wire, message)
        wire.send(ok(message.get("x-request-timeout").encode()))
        return None

    with Upstream(serve(handler)) as up, Gateway(up, policy=policy) as g:
        begun = time.monotonic()
        answer = g.ask(get("/", "X-Request-Timeout: 3s"))
        expect(answer.status, 200)
        expect_between((time.monotonic() - begun) * 1000, 195, 600, "ms")
        for told in (up.requests[0].get("x-request-timeout"), answer.body.decode()):
            expect_between(int(told[:-2]), 100, 200, "ms told")


def test_per_try_without_a_retry():
    """Without a further attempt a try that takes too long is 504 try_timeout."""
    policy = {"deadline": {"per_try": "200ms"}, "retry": {"retries": 0}}
    with Upstream(serve(silent)) as up, Gateway(up, policy=policy) as g:
        expect(g.ask(get()).status, 504)
        line = g.logged()
        expect((line["ending"], line["cancel_level"]), ("try_timeout", "close"))


def test_no_retry_for_a_client_that_left():
    """T38: who left gets no further attempt."""
    def handler(wire, message):
        time.sleep(0.3)
        return False

    with Upstream(serve(handler)) as up, Gateway(up, policy={"retry": ALL, "cancel": {"http1": ["none"]}}) as g:
        c = g.connect()
        c.send(get())
        up.wait_requests(1)
        c.close()
        time.sleep(0.8)
        expect(len(up.requests), 1, "attempts")
        expect(g.logged()["ending"], "client_closed")


def test_no_retry_with_too_little_left():
    """T38: nor a request with less than min + reserve left."""
    policy = {"deadline": {"read": ["x-request-timeout"], "min": "500ms"}, "retry": ALL}

    def handler(wire, message):
        time.sleep(0.3)
        return False

    with Upstream(serve(handler)) as up, Gateway(up, policy=policy) as g:
        answer = g.ask(get("/", "X-Request-Timeout: 700ms"))
        expect(answer.status in (502, 504), True)
        expect(len(up.requests), 1, "attempts")


def test_refused_connections_are_asked_elsewhere():
    """T39: of three endpoints two refuse; every request, a POST too, comes to the third."""
    with Upstream(serve(failing(0))) as up:
        with Gateway([f"{HOST}:{free_port()}", f"{HOST}:{free_port()}", up], policy={"retry": ALL}) as g:
            for i in range(9):
                expect(g.ask(post("/", b"%d" % i)).body, b"%d" % i)


# ---- by what the answer says ----------------------------------------------------------------------------------------------------------------

BUSY = {"retries": 2, "when": [503, "UNAVAILABLE", "connect_failure"]}


def in_turn(*answers):
    """For `serve`: these, one a request, and the last one again."""
    left = list(answers)

    def handler(wire, message):
        del message
        wire.send(left.pop(0) if len(left) > 1 else left[0])
    return handler


def test_a_status_is_asked_again_and_its_body_reaches_nobody():
    """HTTP/1: two 503 and then 200, on one connection, since what is held back is read to its end; each attempt waits, and the body comes each time."""
    busy = ok(b"x" * 5000, status="503 Busy")
    with Upstream(serve(in_turn(busy, busy, ok(b"at last")))) as up, Gateway(up, policy={"retry": BUSY}) as g:
        answer = g.ask(request("PUT", "/", "Content-Length: 5", body=b"again"))
        expect((answer.status, answer.body), (200, b"at last"))
        expect(([r.body for r in up.requests], len(up.wires)), ([b"again"] * 3, 1))
        expect((g.logged()["attempts"], g.metric('curfew_retries_total{outcome="status"}')), (3, 2.0))


def test_a_status_over_http2_is_asked_again():
    """HTTP/2 to HTTP/2: the client sees one head, of the last attempt, and the connections stay."""
    left = [503, 200]
    with Upstream(h2.serve(lambda s: s.answer(left.pop(0), body=b"body"))) as up:
        with Gateway(up, upstream={"protocol": "http2"}, policy={"retry": BUSY}) as g:
            s = h2.Client(g).get("/").whole()
            expect((s.status, s.body), (200, b"body"))
            expect((len(up.requests), len(up.wires)), (2, 1))


def test_retry_after_is_waited_for_where_it_fits():
    """Retry-After: 1 within a deadline of 5 s is a wait of a second; within 800 ms the 503 comes back at once, as it was."""
    busy = ok(b"busy", "Retry-After: 1", status="503 Busy")
    with Upstream(serve(in_turn(busy, ok(b"later"), busy))) as up:
        with Gateway(up, policy={"retry": BUSY, "deadline": {"read": ["x-request-timeout"]}}) as g:
            begun = time.monotonic()
            expect(g.ask(get("/", "X-Request-Timeout: 5s")).body, b"later")
            expect_between(time.monotonic() - begun, 0.99, 1.6, "s")
            begun = time.monotonic()
            answer = g.ask(get("/", "X-Request-Timeout: 800ms"))
            expect((answer.status, answer.get("retry-after"), answer.body), (503, "1", b"busy"))
            expect_between(time.monotonic() - begun, 0, 0.5, "s")
            expect([line.get("no_retry") for line in g.log(2)], [None, "no_time"])


def test_a_client_that_leaves_in_a_back_off():
    """The retry that waits is withdrawn in the turn in which the client leaves: the upstream hears of it no more."""
    with Upstream(serve(in_turn(ok(b"", "Retry-After: 2", status="503 Busy")))) as up:
        with Gateway(up, policy={"retry": BUSY}) as g:
            c = g.connect()
            c.send(get())
            up.wait_requests(1)
            eventually(lambda: g.metric("curfew_retries_waiting") == 1.0, what="the back-off")
            c.close()
            line = g.logged()
            expect((line["ending"], line["cancel_level"], line["attempts"]), ("client_closed", "withdrawn", 1))
            expect_between(line["duration_ms"], 0, 1000, "ms")
            expect(g.metric("curfew_retries_waiting"), 0.0)
            expect(len(up.requests), 1)


def test_the_budget():
    """budget: { ratio: 0%, floor: 1 }: while one request waits to be asked again, another gets its 503 as it came."""
    with Upstream(serve(in_turn(ok(b"busy", "Retry-After: 1", status="503 Busy"), ok(b"busy", status="503 Busy"), ok(b"first")))) as up:
        with Gateway(up, policy={"retry": {**BUSY, "budget": {"ratio": "0%", "floor": 1}}}) as g:
            c = g.connect()
            c.send(get())
            eventually(lambda: g.metric("curfew_retries_waiting") == 1.0, what="the back-off")
            expect(g.ask(get()).status, 503)
            expect(c.answer().body, b"first")
            expect([line.get("no_retry") for line in g.log(2)], ["budget", None])
            expect(g.metric('curfew_retries_refused_total{reason="budget"}'), 1.0)


# ---- gRPC -----------------------------------------------------------------------------------------------------------------------------------

CALL = "content-type: application/grpc"


def refusing(times, *fields):
    """For h2.serve: UNAVAILABLE, trailers-only, so many times; then the message comes back."""
    left = [times]

    def handler(s):
        if left[0]:
            left[0] -= 1
            s.answer(200, CALL, "grpc-status: 14", "grpc-message: busy", *fields)
        else:
            s.answer(200, CALL, body=s.body, trailers=["grpc-status: 0"])
    return handler


def test_a_call_is_asked_again_and_tells_how_often():
    """gRFC A6: trailers-only UNAVAILABLE is tried again though it is a POST, and grpc-previous-rpc-attempts counts."""
    with Upstream(h2.serve(refusing(2))) as up, Gateway(up, upstream={"protocol": "http2"}, policy={"retry": BUSY}) as g:
        s = h2.Client(g).rpc(body=b"hello").whole()
        expect((s.trailer("grpc-status"), s.body), ("0", h2.message(b"hello")))
        expect([r.get("grpc-previous-rpc-attempts") for r in up.requests], [None, "1", "2"])
        line = g.logged()
        expect((line["attempts"], line["grpc_status"]), (3, 0))


def test_a_call_hears_a_pushback():
    """A pushback of 300 ms is waited for exactly; a negative one ends it, as does one past the deadline."""
    with Upstream(h2.serve(refusing(1, "grpc-retry-pushback-ms: 300"))) as up, Gateway(up, upstream={"protocol": "http2"}, policy={"retry": BUSY}) as g:
        begun = time.monotonic()
        expect(h2.Client(g).rpc(body=b"x").whole().trailer("grpc-status"), "0")
        expect_between(time.monotonic() - begun, 0.3, 0.9, "s")
    for fields, why in (("grpc-retry-pushback-ms: -1", "pushback"), ("grpc-retry-pushback-ms: 5000", "no_time")):
        with Upstream(h2.serve(refusing(1, fields))) as up, Gateway(up, upstream={"protocol": "http2"}, policy={"retry": BUSY}) as g:
            s = h2.Client(g).rpc("/a/b", "grpc-timeout: 2S", body=b"x").whole()
            expect((s.get("grpc-status"), s.get("grpc-retry-pushback-ms")), ("14", fields.split(": ")[1]))
            expect((len(up.requests), g.logged()["no_retry"]), (1, why))


def test_a_translated_call_is_asked_again():
    """gRPC-Web to gRPC: the status of the upstream's own protocol counts, and the client sees the last answer alone."""
    web = post("/test.Service/Method", h2.message(b"hello"), "Content-Type: application/grpc-web", "X-Grpc-Web: 1")
    with Upstream(h2.serve(refusing(1))) as up:
        with Gateway(up, upstream={"protocol": "http2"}, policy={"retry": BUSY}, routes=[{"match": {"path": "/*"}, "upstream": "be", "translate": "grpc"}]) as g:
            answer = g.ask(web)
            assert answer.body.startswith(h2.message(b"hello")) and b"grpc-status:0" in answer.body.replace(b" ", b""), answer.body
            expect((len(up.requests), up.requests[1].body), (2, h2.message(b"hello")))
