# SPDX-License-Identifier: Apache-2.0
"""A further attempt beside one that is slow: the first answer wins, and whoever lost is told at once (semantics, section 1)."""
import threading
import time

import h2
from harness import Gateway, Upstream, eventually, expect, expect_between, get, note, ok, post, request, serve, silent

HEDGE = {"retry": {"hedge": {"after": "100ms"}, "budget": "100%"}}
CALL = "content-type: application/grpc"


def ended_within(up, begun, i=0):
    """How connection i ended, and that it did soon."""
    how, when = up.wait_end(i)
    expect_between((when - begun) * 1000, 0, 300, "ms until the loser heard of it")
    note(f"the loser heard of it {(when - begun) * 1000:.1f} ms after the winner spoke")
    return how


def test_the_other_endpoint_answers():
    """HTTP/1: an endpoint that is silent is not waited for: another answers after 100 ms, and the silent one's connection is reset at once."""
    spoke = []

    def quick(wire, message):
        spoke.append(time.monotonic())
        wire.send(ok(message.get("x-request-timeout").encode()))

    with Upstream(serve(silent)) as slow, Upstream(serve(quick)) as fast:
        with Gateway([slow, fast], policy={**HEDGE, "deadline": {"read": ["x-request-timeout"]}}) as g:
            begun = time.monotonic()
            answer = g.ask(get("/", "X-Request-Timeout: 2s"))
            expect_between((time.monotonic() - begun) * 1000, 99, 500, "ms")
            expect(answer.status, 200)
            expect_between(int(answer.body[:-2]), 1500, 1895, "ms told to the hedge")
            expect(ended_within(slow, spoke[0]), "rst")
            line = g.logged()
            expect((line["ending"], line["attempts"], line["hedges"], line["winner"], line["endpoint"]), ("completed", 2, 1, 2, fast.address))
            expect("cancel_level" in line, False)
            expect((g.metric("curfew_hedges_total"), g.metric("curfew_hedges_won_total")), (1.0, 1.0))
            expect(g.metric('curfew_cancels_total{ending="completed",level="close"}'), 1.0)


def test_the_first_one_answers_after_all():
    """The hedge loses: its connection is reset, and the client got the first one's answer."""
    def slow(wire, message):
        del message
        time.sleep(0.25)
        wire.send(ok(b"slow"))

    with Upstream(serve(slow)) as first, Upstream(serve(silent)) as second:
        with Gateway([first, second], policy=HEDGE) as g:
            expect(g.ask(get()).body, b"slow")
            expect(second.wait_end()[0], "rst")
            line = g.logged()
            expect((line["hedges"], line["winner"]), (1, 1))


def test_a_client_that_leaves_ends_both():
    """Both upstreams see the client's leaving, and it is one ending."""
    with Upstream(serve(silent)) as first, Upstream(serve(silent)) as second, Gateway([first, second], policy=HEDGE) as g:
        c = g.connect()
        c.send(get())
        first.wait_requests(1), second.wait_requests(1)
        begun = time.monotonic()
        c.close()
        for up in (first, second):
            ended_within(up, begun)
        line = g.logged()
        expect((line["ending"], line["cancel_level"], line["hedges"]), ("client_closed", "close", 1))


def test_both_fail():
    """The last outcome is the request's: 502, once."""
    def failing(wire, message):
        del wire, message
        time.sleep(0.2)
        return False

    with Upstream(serve(failing)) as first, Upstream(serve(failing)) as second, Gateway([first, second], policy=HEDGE) as g:
        expect(g.ask(get()).status, 502)
        line = g.logged()
        expect((line["ending"], line["attempts"], "winner" in line), ("upstream_closed", 2, False))


def test_a_post_is_not_hedged():
    """What bears no repeating is asked once, however slow."""
    def slow(wire, message):
        time.sleep(0.3)
        wire.send(ok(message.body))

    with Upstream(serve(slow)) as up, Gateway(up, policy=HEDGE) as g:
        expect(g.ask(post("/", b"pay")).body, b"pay")
        expect((len(up.requests), g.logged().get("hedges")), (1, None))


def test_a_body_that_still_comes_is_read_by_both():
    """A PUT that is sent in pieces before and after the hedge began: both upstreams get the whole of it."""
    answer = threading.Event()

    def handler(wire, message):
        answer.wait(5)
        wire.send(ok(message.body))

    with Upstream(serve(handler)) as first, Upstream(serve(handler)) as second, Gateway([first, second], policy=HEDGE) as g:
        c = g.connect()
        c.send(request("PUT", "/", "Content-Length: 9", body=b"abc"))
        eventually(lambda: first.wires and second.wires, what="the hedge")
        c.send(b"def")
        c.send(b"ghi")
        first.wait_requests(1), second.wait_requests(1)
        expect((first.requests[0].body, second.requests[0].body), (b"abcdefghi", b"abcdefghi"))
        answer.set()
        expect(c.answer().body, b"abcdefghi")
        expect(g.logged()["request_bytes"], 9)


def test_a_call_is_hedged():
    """gRPC: the second attempt says that it is one; the loser gets RST_STREAM(CANCEL), and its connection and other streams go on."""
    def handler(s):
        if s.get("grpc-previous-rpc-attempts"):
            s.answer(200, CALL, body=s.body, trailers=["grpc-status: 0"])

    with Upstream(h2.serve(handler)) as up, Gateway(up, upstream={"protocol": "http2", "max_connections": 1}, policy=HEDGE) as g:
        c = h2.Client(g)
        begun = time.monotonic()
        s = c.rpc(body=b"hello").whole()
        expect((s.trailer("grpc-status"), s.body), ("0", h2.message(b"hello")))
        expect_between((time.monotonic() - begun) * 1000, 99, 600, "ms")
        first, second = up.requests
        expect((first.reset_code(), first.get("grpc-previous-rpc-attempts")), ("CANCEL", None))
        expect((second.get("grpc-previous-rpc-attempts"), second.body, second.code), ("1", h2.message(b"hello"), None))
        expect(c.rpc(body=b"more").whole().trailer("grpc-status"), "0")
        expect(len(up.wires), 1, "connections")
        expect([(line["hedges"], line["winner"]) for line in g.log(2)], [(1, 2)] * 2)
        expect(g.metric('curfew_cancels_total{ending="completed",level="native"}'), 2.0)


def test_the_loser_is_told_by_no_call():
    """T44: the call that cancels a task would cancel the winner's, too; the loser's answer is read and thrown away."""
    def handler(wire, message):
        if len(wire.upstream.requests) == 1:
            time.sleep(0.4)
        wire.send(ok(b"done"))
        assert message.method == "GET", message.method

    policy = {**HEDGE, "cancel": {"http1": ["call", "drain"], "call": {"method": "DELETE", "path": "/task"}}}
    with Upstream(serve(handler)) as up, Gateway(up, policy=policy) as g:
        expect(g.ask(get()).body, b"done")
        time.sleep(0.5)
        expect([r.method for r in up.requests], ["GET", "GET"])
        expect(g.metric("curfew_cancel_calls_total"), 0.0)
