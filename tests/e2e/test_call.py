# SPDX-License-Identifier: Apache-2.0
"""The side-channel call: an upstream that never notices a closed connection is told on a second one."""
import time

import h2
from harness import Gateway, Upstream, answering, eventually, expect, expect_between, get, ok, serve, silent

CALL = {"method": "DELETE", "path": "/tasks/{request.path.id}", "headers": {"x-why": "{ending}", "x-who": "{request.header.x-user}"}, "timeout": "1s"}
ROUTES = [{"match": {"path": "/reports/{id}/*"}, "upstream": "be"}]


def policy(http1=("call", "close"), **call):
    return {"cancel": {"http1": list(http1), "call": {**CALL, **call}}}


def leave(g, target="/reports/a%20b/run", *fields):
    """A client that asks, and closes once the upstream has the request."""
    c = g.connect()
    c.send(get(target, "X-User: 7", *fields))
    return c


def slow_or_told(wire, message):
    """GETs hang; what cancels them is answered."""
    if message.method == "GET":
        return silent(wire, message)
    wire.send(ok(b"", status="202 Accepted"))
    return True


def test_a_client_that_closes_is_told_on_a_second_connection():
    """The call names the task, goes out within the turn, and the connection is closed as the next rung says; the log has side_channel."""
    with Upstream(serve(slow_or_told)) as up, Gateway(up, policy=policy(), routes=ROUTES) as g:
        c = leave(g)
        up.wait_requests(1)
        begun = time.monotonic()
        c.close()
        call = up.wait_requests(2)[1]
        expect((call.method, call.target), ("DELETE", "/tasks/a%20b"))
        expect((call.get("x-why"), call.get("x-who")), ("client_closed", "7"))
        _, ended = up.wait_end(0)
        assert ended - begun < 1, ended - begun
        line = g.logged()
        expect((line["ending"], line["cancel_level"]), ("client_closed", "side_channel"))
        expect(g.metric('curfew_cancel_calls_total'), 1.0)


def test_a_deadline_makes_the_call_too():
    """Every ending that cancels goes down the ladder."""
    with Upstream(serve(slow_or_told)) as up, Gateway(up, policy=policy(), routes=ROUTES) as g:
        expect(g.ask(get("/reports/9/x", "X-User: 7", "x-request-timeout: 100ms")).status, 504)
        expect(up.wait_requests(2)[1].get("x-why"), "deadline")
        expect(g.logged()["cancel_level"], "side_channel")


def test_another_upstream_is_called_with_a_body():
    """`upstream` and `body`: the one that cancels need not be the one that works; names are filled in, and do not
    leave the string of JSON that they stand in."""
    call = {"upstream": "control", "method": "POST", "path": "/cancel", "body": '{{"id":"{response.x-task-id}"}}', "headers": {"content-type": "application/json"}}

    def begins(wire, message):
        wire.send(b"HTTP/1.1 200 OK\r\nX-Task-Id: t-17\",\"all\":\"1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n")
        return silent(wire, message)

    with Upstream(serve(begins)) as up, Upstream(answering(b"")) as control:
        with Gateway({"be": up, "control": control}, policy=policy(**call), routes=ROUTES) as g:
            c = leave(g)
            c.until(b"abc")
            c.close()
            told = control.wait_requests(1)[0]
            expect((told.method, told.target, told.body), ("POST", "/cancel", b'{"id":"t-17\\",\\"all\\":\\"1"}'))
            expect(g.logged()["cancel_level"], "side_channel")
            expect(len(up.requests), 1, "requests at the upstream that works")


def test_a_task_that_is_over_counts_as_told():
    """404 says that there is nothing left to cancel."""
    def gone(wire, message):
        return silent(wire, message) if message.method == "GET" else wire.send(ok(b"", status="404 Not Found"))

    with Upstream(serve(gone)) as up, Gateway(up, policy=policy(), routes=ROUTES) as g:
        c = leave(g)
        up.wait_requests(1)
        c.close()
        expect(g.logged()["cancel_level"], "side_channel")


def test_a_call_that_fails_leaves_the_next_rung():
    """500: the level is what the next rung achieved, the failure is counted and is a line of the log."""
    def broken(wire, message):
        return silent(wire, message) if message.method == "GET" else wire.send(ok(b"", status="500 Internal Server Error"))

    with Upstream(serve(broken)) as up, Gateway(up, policy=policy(), routes=ROUTES) as g:
        c = leave(g)
        up.wait_requests(1)
        c.close()
        expect(g.logged()["cancel_level"], "close")
        expect(g.metric("curfew_cancel_call_failures_total"), 1.0)
        assert "DELETE /tasks/a%20b to be after client_closed" in g.messages(), g.messages()


def test_a_call_without_its_value_is_not_made():
    """A template whose name has no value fails the call: half a path would cancel something else."""
    with Upstream(serve(slow_or_told)) as up, Gateway(up, policy=policy(path="/tasks/{request.header.x-task}"), routes=ROUTES) as g:
        c = leave(g)
        up.wait_requests(1)
        c.close()
        expect(g.logged()["cancel_level"], "close")
        expect(len(up.requests), 1, "requests at the upstream")
        assert "x-task} has no value" in g.messages(), g.messages()


def by_http1(g, target, *fields):
    return leave(g, target, *fields).close


def by_http2(g, target, *fields):
    return h2.Client(g).get(target, "x-user: 7", *fields).reset


def test_no_join_of_values_climbs_out_of_the_calls_path():
    """Where {a}{b} would be .., plain, escaped or before a parameter, no call is made, and the log says why; for clients of HTTP/1 and HTTP/2."""
    joined = policy(path="/tasks/{request.header.x-a}{request.path.id}")
    for asks in (by_http1, by_http2):
        with Upstream(serve(slow_or_told)) as up, Gateway(up, policy=joined, routes=ROUTES) as g:
            gets = 0
            for a, part, told in ((".", ".;x", None), ("..", "%2Fusers", None), ("%2e.", "b", "/tasks/%252e.b")):
                leaves = asks(g, f"/reports/{part}/run", f"x-a: {a}")
                gets += 1
                eventually(lambda n=gets: len([m for m in up.requests if m.method == "GET"]) == n, what="the request")
                leaves()
                expect(g.log(gets)[-1]["cancel_level"], "side_channel" if told else "close")
                expect([m.target for m in up.requests if m.method == "DELETE"], [told] if told else [])
            assert "its path would have a segment . or .." in g.messages(), g.messages()
            expect(g.metric("curfew_cancel_call_failures_total"), 2.0)


def test_a_calls_body_is_escaped_by_its_content_type():
    """A client's value names no second field of a form, and no second element of XML."""
    forged = 'x-task: 1&all=yes</id><all k="1"/>'
    bodies = (("application/x-www-form-urlencoded", "id={request.header.x-task}", b"id=1%26all%3Dyes%3C%2Fid%3E%3Call%20k%3D%221%22%2F%3E"),
              ("text/xml; charset=utf-8", "<id>{request.header.x-task}</id>", b"<id>1&amp;all=yes&lt;/id&gt;&lt;all k=&quot;1&quot;/&gt;</id>"))
    for kind, body, wanted in bodies:
        for asks in (by_http1, by_http2):
            call = policy(method="POST", path="/cancel", body=body, headers={"content-type": kind})
            with Upstream(serve(slow_or_told)) as up, Gateway(up, policy=call, routes=ROUTES) as g:
                leaves = asks(g, "/reports/a/run", forged)
                up.wait_requests(1)
                leaves()
                told = up.wait_requests(2)[1]
                expect((told.method, told.get("content-type"), told.body), ("POST", kind, wanted))


def test_calls_that_are_not_made_are_said_once_a_second():
    """A client that provokes calls without their value, as fast as it can, gets one line of the log a second; each of them counts."""
    with Upstream(serve(slow_or_told)) as up, Gateway(up, policy=policy(path="/tasks/{request.header.x-task}"), routes=ROUTES) as g:
        for n in range(1, 31):
            c = leave(g)
            up.wait_requests(n)
            c.close()
        eventually(lambda: g.metric("curfew_cancel_call_failures_total") == 30, what="30 calls that were not made")
        expect_between(g.messages().count("x-task} has no value"), 1, 8, "lines")


def test_calls_are_bounded_by_their_rate():
    """Past `rate` the next rung is taken alone."""
    with Upstream(serve(slow_or_told)) as up, Gateway(up, policy=policy(rate="1/h"), routes=ROUTES) as g:
        for n in (1, 2):
            c = leave(g)
            eventually(lambda n=n: len([m for m in up.requests if m.method == "GET"]) == n, what="the request")
            c.close()
            g.log(n)
        expect([line["cancel_level"] for line in g.lines()], ["side_channel", "close"])
        expect(len([m for m in up.requests if m.method == "DELETE"]), 1, "calls")


def test_a_call_is_made_past_the_limits():
    """It frees a connection: max_connections and max_requests do not hold it back."""
    with Upstream(serve(slow_or_told)) as up:
        with Gateway(up, policy=policy(), routes=ROUTES, upstream={"max_connections": 1, "max_requests": 1}) as g:
            c = leave(g)
            up.wait_requests(1)
            c.close()
            expect(g.logged()["cancel_level"], "side_channel")


def test_only_the_named_endings_call():
    """`endings`: after the others the next rung is taken alone."""
    with Upstream(serve(slow_or_told)) as up, Gateway(up, policy=policy(endings=["deadline"]), routes=ROUTES) as g:
        c = leave(g)
        up.wait_requests(1)
        c.close()
        expect(g.logged()["cancel_level"], "close")
        expect(len(up.requests), 1, "requests at the upstream")


def test_a_call_that_hangs_ends_by_its_timeout():
    """An upstream that does not answer the call costs its timeout, and nothing is left."""
    with Upstream(serve(silent)) as up, Gateway(up, policy=policy(timeout="200ms"), routes=ROUTES) as g:
        c = leave(g)
        up.wait_requests(1)
        c.close()
        expect(g.logged()["cancel_level"], "close")
        expect(g.metric("curfew_cancel_call_failures_total"), 1.0)


def test_a_retry_is_not_held_up_by_a_call_that_hangs():
    """T44: a retry waits for the call that ends the try before, but not for one that hangs: after half of what is left of the deadline it is called off, and the retry is
    answered."""
    def handler(wire, message):
        if message.method == "GET" and len([r for r in up.requests if r.method == "GET"]) > 1:
            wire.send(ok(b"second"))
            return True
        return silent(wire, message)
    keys = {**policy(timeout="30s"), "deadline": {"default": "4s", "per_try": "200ms"}, "retry": {"when": ["try_timeout"], "backoff": {"base": "0s"}}}
    with Upstream(serve(handler)) as up, Gateway(up, policy=keys, routes=ROUTES) as g:
        begun = time.monotonic()
        expect(g.ask(get("/reports/9/x", "X-User: 7")).body, b"second")
        expect_between(time.monotonic() - begun, 2.0, 3.9, "seconds: 200 ms, and half of the 3.8 s that were left")
        expect([r.method for r in up.requests], ["GET", "DELETE", "GET"])
        up.wait_end(1)
        expect((g.logged()["attempts"], g.metric("curfew_cancel_call_failures_total")), (2, 1.0))


def test_a_request_that_was_never_sent_needs_no_call():
    """Withdrawn from the queue: the upstream never heard of it."""
    with Upstream(serve(slow_or_told)) as up:
        with Gateway(up, policy=policy(), routes=ROUTES, upstream={"max_requests": 1}) as g:
            first = leave(g)
            up.wait_requests(1)
            second = leave(g)
            eventually(lambda: g.metric("curfew_queued") == 1, what="the second request in the queue")
            second.close()
            expect(g.logged()["cancel_level"], "withdrawn")
            expect(len(up.requests), 1, "requests at the upstream")
            first.close()
            g.log(2)
