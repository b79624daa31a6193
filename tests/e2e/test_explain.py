# SPDX-License-Identifier: Apache-2.0
"""curfew explain: what a configuration means, seen before a request is sent; checked against what the gateway then does."""
import json

from harness import Gateway, Upstream, curfew, echo, expect, get, serve, silent, yaml

CONFIG = {
    "version": 1,
    "listeners": {"plain": {"address": "127.0.0.1:18080", "trust": "all"}},
    "upstreams": {"orders": {"protocol": "http2", "endpoints": ["127.0.0.1:9001"]}, "reports": {"protocol": "http1", "endpoints": ["127.0.0.1:9002"]}},
    "policies": {
        "default": {"deadline": {"read": ["grpc-timeout", "x-request-timeout"], "default": "15s", "max": "60s", "write": {"http": ["x-request-timeout"]}}},
        "batch": {"extends": "default", "cancel": {"http1": ["call", "drain"], "call": {"path": "/cancel/{request.path.id}"}}},
    },
    "routes": [
        {"name": "reports", "match": {"path": "/reports/{id}/*"}, "upstream": "reports", "policy": "batch"},
        {"match": {"path": "/*"}, "upstreams": {"orders": 90, "reports": 10}},
    ],
}


def explain(*arguments, config=None):
    code, out, err = curfew("explain", *arguments, "-c", "@", text=yaml(config or CONFIG))
    return code, out, err


def routes(**more):
    code, out, err = explain("--json", **more)
    expect((code, err), (0, ""))
    return {r["route"]: r for r in json.loads(out)["routes"]}


def row(table, **keys):
    found = [r for r in table if all(r.get(k.replace("_", " ")) == v for k, v in keys.items())]
    expect(len(found), 1, f"rows with {keys}")
    return found[0]


def test_each_pairing_says_how_a_deadline_is_carried():
    """A row for each client protocol and upstream protocol: what is read, what the upstream is told, what is lost."""
    table = routes()["routes[1]"]["deadline"]
    expect(row(table, client_speaks="grpc", upstream_speaks="http2")["upstream is told"], "grpc-timeout")
    expect(row(table, client_speaks="http", upstream_speaks="http1")["upstream is told"], "x-request-timeout")
    assert "refused (no_route)" in row(table, client_speaks="grpc", upstream_speaks="http1")["lost"]


def test_each_ending_says_what_either_side_hears():
    """The level by which each upstream protocol is told, and the answer in the client's own words."""
    reports, rest = routes()["reports"]["endings"], routes()["routes[1]"]["endings"]
    expect(row(reports, ending="client_closed")["http1 upstream is told by"], "side_channel, and drain")
    expect(row(rest, ending="client_closed")["http2 upstream is told by"], "native")
    expect(row(rest, ending="client_closed")["HTTP client hears"], "— (log 499)")
    expect(row(rest, ending="deadline")["gRPC client hears"], "DEADLINE_EXCEEDED")
    expect(row(rest, ending="shed_expired")["http1 upstream is told by"], "never asked")
    expect(row(rest, ending="no_route")["HTTP client hears"], "404, 501, 505")
    expect(row(rest, ending="client_error")["gRPC client hears"], "INTERNAL, over a limit RESOURCE_EXHAUSTED")
    expect(row(rest, ending="upstream_reset")["gRPC client hears"], "INTERNAL, or by the code")
    expect(row(rest, ending="upstream_closed")["gRPC client hears"], "UNAVAILABLE, after the head INTERNAL")


def test_work_that_a_leaving_client_leaves_alone():
    """client_gone: ignore: explain says that it goes on, and not by which rung it is cancelled."""
    config = json.loads(json.dumps(CONFIG))
    config["policies"]["default"]["cancel"] = {"client_gone": "ignore"}
    rest = routes(config=config)["routes[1]"]["endings"]
    expect(row(rest, ending="client_closed")["http1 upstream is told by"], "it goes on")
    expect(row(rest, ending="deadline")["http1 upstream is told by"], "close")


def test_what_is_tried_again_is_said_with_its_waits():
    """After which outcomes, of what, how often, and how long each waits at most; the hedge and the budget."""
    config = json.loads(json.dumps(CONFIG))
    config["policies"]["default"]["retry"] = {"retries": 2, "when": ["connect_failure", "try_timeout", 503, "UNAVAILABLE"], "methods": ["GET"],
                                              "backoff": {"base": "100ms", "max": "250ms"}, "budget": "12.5%", "hedge": {"after": "300ms", "max": 2}}
    table = routes(config=config)["routes[1]"]["retries"]
    expect(row(table, after="connect_failure"), {"after": "connect_failure", "of": "whatever method", "at most": "2", "wait, one after the other": "none, < 250ms"})
    expect(row(table, after="try_timeout"), {"after": "try_timeout", "of": "GET", "at most": "2", "wait, one after the other": "< 100ms, < 250ms"})
    expect(row(table, after="503")["of"], "GET in plain HTTP")
    expect(row(table, after="UNAVAILABLE")["of"], "every RPC")
    expect(row(table, after="300ms without an answer (hedge)")["at most"], "2")
    expect(row(table, after="within the budget")["of"], "12.5% of the upstream's attempts, or 3")
    config["policies"]["default"]["retry"] = {"retries": 0}
    expect(routes(config=config)["routes[1]"]["retries"], [])


def test_a_retry_that_does_not_fit_is_warned_of():
    """Tries that take longer together than a request may, a back-off as long as the deadline, a hedge that comes too late."""
    def warnings(deadline, retry):
        config = json.loads(json.dumps(CONFIG))
        config["policies"]["default"]["deadline"].update(deadline)
        config["policies"]["default"]["retry"] = retry
        return [w["warning"] for w in routes(config=config)["routes[1]"]["warnings"]]

    expect(warnings({"per_try": "10s"}, {"retries": 2, "when": ["try_timeout"]}), [])
    expect(warnings({"per_try": "20s"}, {"retries": 3, "when": ["try_timeout"]}), ["of 3 retries after try_timeout only 2 fit into deadline.max"])
    assert "nothing of deadline.max" in warnings({}, {"backoff": {"base": "2m", "max": "2m"}})[0]
    assert "there is never a hedge" in warnings({"min": "1s"}, {"hedge": {"after": "59s500ms"}})[0]


def test_what_a_policy_cannot_do_is_warned_of():
    """A min below the reserve, a retry that never fits, a call that no ladder makes, an upstream that need not notice."""
    config = json.loads(json.dumps(CONFIG))
    config["policies"]["default"]["deadline"].update({"min": "1ms", "reserve": "5ms", "per_try": "60s"})
    config["policies"]["default"]["cancel"] = {"http1": ["none"]}
    config["policies"]["batch"]["cancel"]["http1"] = ["close"]
    said = routes(config=config)
    warnings = [w["warning"] for w in said["routes[1]"]["warnings"]]
    assert any("below deadline.reserve" in w for w in warnings), warnings
    assert any("can never fit" in w for w in warnings), warnings
    assert any("cancel.http1 ends without a rung" in w for w in warnings), warnings
    assert any("never made" in w["warning"] for w in said["reports"]["warnings"]), said["reports"]["warnings"]


def test_one_route_by_name():
    """--route shows that one; a name that is none is said so."""
    code, out, _ = explain("--route", "reports")
    expect(code, 0)
    assert out.startswith("reports: policy batch") and "routes[1]" not in out, out
    code, _, err = explain("--route", "nothing")
    expect(code, 1)
    assert '"nothing"' in err, err


def test_one_request_gets_what_is_explained():
    """explain request: route, candidates, the deadline that counts, and what the upstream will see; the gateway then does just that."""
    code, out, _ = explain("request", "GET /reports/7/x HTTP/1.1", "-H", "Grpc-Timeout: 3S", "-H", "x-request-timeout: 5s", "--json")
    expect(code, 0)
    said = json.loads(out)
    expect(row(said["request"], what="route")["is"], "reports")
    expect(row(said["request"], what="deadline")["is"], "3s")
    expect(row(said["request"], what="by")["is"], "grpc-timeout")
    expect({c["dialect"]: c["says"] for c in said["candidates"]}, {"grpc-timeout": "3s", "x-request-timeout": "5s"})
    sees = {r["field"]: r["value"] for r in said["upstream sees"]}
    expect(sees["x-request-timeout"], "2995ms")
    assert "grpc-timeout" not in sees, sees
    with Upstream(serve(echo)) as up, Gateway(up, policy=CONFIG["policies"]["default"]) as g:
        fields = dict(map(tuple, g.ask(get("/x", "Grpc-Timeout: 3S", "x-request-timeout: 5s")).json()["fields"]))
        assert 2900 <= int(fields["x-request-timeout"][:-2]) <= 2995, fields
        assert "grpc-timeout" not in fields, fields


def test_a_request_that_would_be_refused():
    """Too little left, a malformed path, no route: the ending that it would get; a line that is no request exits 2."""
    _, out, _ = explain("request", "GET /x HTTP/1.1", "-H", "x-request-timeout: 5ms")
    assert "shed_expired" in out, out
    _, out, _ = explain("request", "GET /%zz HTTP/1.1")
    assert "malformed" in out, out
    code, _, err = explain("request", "nonsense")
    expect(code, 2)
    assert "GET /path HTTP/1.1" in err, err


def test_a_request_that_is_observed_and_would_be_refused():
    """deadline.mode observe: it goes up as it came, and what enforce would have answered is said."""
    observed = {**CONFIG, "policies": {**CONFIG["policies"], "default": {"deadline": {"mode": "observe"}}}}
    _, out, _ = explain("request", "GET /x HTTP/1.1", "-H", "x-request-timeout: 5ms", "--json", config=observed)
    said = json.loads(out)
    expect(row(said["request"], what="enforce")["is"], "would refuse it: shed_expired")
    expect(row(said["upstream sees"], field="x-request-timeout")["value"], "5ms")
    _, out, _ = explain("request", "GET /x HTTP/1.1", "-H", "x-request-timeout: 5s", "--json", config=observed)
    assert "would refuse" not in out, out


def test_a_stranger_gets_less():
    """--untrusted: as a listener that does not trust the peer would have it."""
    _, out, _ = explain("request", "GET /x HTTP/1.1", "-H", "x-request-timeout: 50s", "--untrusted", "--json")
    said = json.loads(out)["request"]
    expect(row(said, what="to the head")["is"], "15s")


def test_lookalikes_and_the_last_hop_are_said():
    """A name that looks like one that is decided about is named as removed, other names with underscores are seen upstream; a TRACE is refused; OPTIONS
    with Max-Forwards: 0 is answered here, and 3 goes on as 2."""
    _, out, _ = explain("request", "GET /x HTTP/1.1", "-H", "x_request_timeout: 5s", "-H", "order_id: 7", "--json")
    said = json.loads(out)
    assert "decided about here" in row(said["context"], field="x_request_timeout")["what becomes of it"], out
    expect([r["field"] for r in said["upstream sees"] if "_" in r["field"]], ["order_id"])
    _, out, _ = explain("request", "TRACE /x HTTP/1.1", "--json")
    said = json.loads(out)
    expect((row(said["request"], what="refused")["is"], said.get("upstream sees", [])),
           ("no_route: TRACE goes where the methods of a route name it (405)", []))
    _, out, _ = explain("request", "OPTIONS /x HTTP/1.1", "-H", "max-forwards: 0", "--json")
    expect(row(json.loads(out)["request"], what="answered")["is"], "200, here: Max-Forwards is 0")
    _, out, _ = explain("request", "OPTIONS /x HTTP/1.1", "-H", "max-forwards: 3", "--json")
    expect(row(json.loads(out)["upstream sees"], field="max-forwards")["value"], "2")


def test_levels_are_those_of_the_log():
    """What explain says of client_closed on HTTP/1 is what the log says when it happens."""
    with Upstream(serve(silent)) as up, Gateway(up, policy={"cancel": {"http1": ["close"]}}) as g:
        c = g.connect()
        c.send(get("/"))
        up.wait_requests(1)
        c.close()
        level = g.logged()["cancel_level"]
    expect(row(routes()["routes[1]"]["endings"], ending="client_closed")["http1 upstream is told by"], level)
