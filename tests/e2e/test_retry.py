# SPDX-License-Identifier: Apache-2.0
"""A further attempt: only where the upstream cannot have run the request, or the policy says that it does no harm (semantics, sections 1 and 5)."""
import time

from harness import HOST, Gateway, Upstream, expect, expect_between, free_port, get, ok, post, request, serve, silent

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
