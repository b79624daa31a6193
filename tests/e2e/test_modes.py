# SPDX-License-Identifier: Apache-2.0
"""Modes and max_reject in the real binary: what is left undone, and what is said of it, by route."""
import json
import time

import h2
from harness import Gateway, Upstream, curfew, echo, expect, expect_between, get, serve

WAIT = 0.3


def slow(wire, message):
    """Answers after a while, and would notice a connection that was closed."""
    time.sleep(WAIT)
    echo(wire, message)


def test_cancel_mode_observe_over_http1():
    """cancel.mode observe: a client that resets costs its upstream nothing; the log and the route's metrics say what it would have."""
    with Upstream(serve(slow)) as up, Gateway(up, policy={"cancel": {"mode": "observe"}}, routes=[{"name": "shop", "match": {}, "upstream": "be"}]) as g:
        c = g.connect()
        c.send(get("/"))
        up.wait_requests(1)
        c.reset()
        line = g.logged()
        expect([line.get(k) for k in ("ending", "cancel_mode", "would_have", "would_cancel", "cancel_level")],
               ["client_reset", "observe", "client_reset", "close", None])
        expect_between(line["duration_ms"], WAIT * 900, 5000)
        expect(g.metric('curfew_observed_endings_total{route="shop",ending="client_reset"}'), 1.0)
        expect(g.metric('curfew_observed_cancels_total{route="shop",ending="client_reset",level="close"}'), 1.0)
        expect(g.metric('curfew_route_requests_total{route="shop",ending="client_reset"}'), 1.0)
        expect(g.ask(get("/")).status, 200)
        expect(len(up.wires), 1)  # on the same connection: nobody closed it


def test_cancel_mode_over_http2():
    """A client's RST_STREAM reaches the upstream in mode enforce alone; in the others its stream goes on to its end."""
    for mode, told in (("disabled", None), ("observe", None), ("enforce", "CANCEL")):
        with Upstream(h2.serve(h2.silent)) as up, Gateway(up, upstream={"protocol": "http2"}, policy={"cancel": {"mode": mode}}) as g:
            s = h2.Client(g).get("/")
            up.wait_requests(1)
            s.reset(8)
            if told:
                expect(up.requests[0].reset_code(1.0), told)
            else:
                time.sleep(WAIT)
                expect(up.requests[0].code, None, mode)
                up.requests[0].answer(200, body=b"for nobody")
            expect(g.logged()["ending"], "client_reset", mode)


def test_a_clock_that_is_wrong_does_not_stop_the_service():
    """max_reject: clients whose deadlines are an hour old are refused up to the ratio, then let through, and told the default; a route without it refuses all."""
    deadline = {"read": ["x-request-deadline"], "default": "5s", "max_reject": {"ratio": "50%", "window": "1m", "at_least": 10}}
    more = {"dialects": {"x-request-deadline": {"in": "header", "unit": "ms", "kind": "epoch"}}}
    old = f"x-request-deadline: {int((time.time() - 3600) * 1000)}"
    with Upstream(serve(echo)) as up, Gateway(up, policy={"deadline": deadline}, more=more) as g:
        statuses = [g.ask(get("/", old)).status for _ in range(40)]
        expect((statuses.count(504), statuses.count(200), statuses[:9]), (20, 20, [504] * 9))
        fields = dict(map(tuple, up.requests[0].fields))
        expect_between(int(fields["x-request-timeout"][:-2]), 4000, 4995)
        assert "x-request-deadline" not in fields, fields
        lines = g.log(40)
        expect({l.get("let_through") for l in lines if l["ending"] == "completed"}, {"shed_expired"})
        expect(g.metric('curfew_let_through_total{route="routes[0]",ending="shed_expired"}'), 20.0)
        expect(g.metric('curfew_shed_total{reason="expired"}'), 20.0)
    del deadline["max_reject"]
    with Upstream(serve(echo)) as up, Gateway(up, policy={"deadline": deadline}, more=more) as g:
        expect({g.ask(get("/", old)).status for _ in range(40)}, {504})
        expect(len(up.requests), 0)


def test_needs_is_measured():
    """needs: p50: once twenty answers took 50 ms, a request that has less left is shed; one that has more is asked."""
    def fifty(wire, message):
        time.sleep(0.05)
        return echo(wire, message)

    with Upstream(serve(fifty)) as up, Gateway(up, policy={"deadline": {"needs": "p50", "max": "10s"}}) as g:
        c = g.connect()
        for _ in range(21):
            c.send(get("/"))
            expect(c.answer().status, 200)
        time.sleep(0.11)  # what was measured is looked at every 100 ms
        expect(g.ask(get("/", "x-request-timeout: 30ms")).json()["ending"], "shed_latency")
        expect(g.ask(get("/", "x-request-timeout: 5s")).status, 200)
        expect(len(up.requests), 22)


def test_what_explain_says_of_modes():
    """explain: the modes and the guard of each route, and what is done upstream and what enforcing would do."""
    config = """
listeners: { edge: { address: 127.0.0.1:8080 } }
upstreams: { app: { endpoints: 127.0.0.1:9001, protocol: http1 }, two: { endpoints: 127.0.0.1:9002, protocol: http2 } }
policies:
  default: { deadline: { needs: 50ms, max_reject: { ratio: 12.5% } }, cancel: { mode: observe } }
  told: { cancel: { mode: forward, http1: [ call, close ], call: { path: /x } } }
routes: [ { match: { path: /a }, upstream: two }, { match: { path: /b }, upstream: app, policy: told } ]
"""
    code, out, err = curfew("explain", "--json", "-c", "curfew.yaml", text=config)
    expect((code, err), (0, ""))
    first, second = json.loads(out)["routes"]
    expect([first[k] for k in ("mode", "cancel_mode", "max_reject")], ["enforce", "observe", "12.50% of 10s"])
    expect([second[k] for k in ("mode", "cancel_mode", "max_reject")], ["enforce", "forward", "none"])
    expect({d["shed below"] for d in first["deadline"]}, {"55ms"})
    told = {e["ending"]: e["http2 upstream is told by"] for e in first["endings"]}
    expect((told["client_reset"], told["no_route"]), ("ttl; enforce: native", "never asked"))
    told = {e["ending"]: e["http1 upstream is told by"] for e in second["endings"]}
    expect(told["deadline"], "side_channel, and ttl; enforce: side_channel")
