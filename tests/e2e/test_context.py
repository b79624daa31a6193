# SPDX-License-Identifier: Apache-2.0
"""The context of a request over HTTP/1, HTTP/2, gRPC and Connect: fields, what is required, traces and baggage, the schema's version, and what an
operator may drop (semantics 7)."""
import json
import os
import re
import tempfile

import h2
from harness import ROOT, Gateway, Upstream, answering, curfew, echo, expect, expect_in, get, request, serve, yaml
from rpc import PATH, Translating, echoes

ID, PARENT = "12345678901234567890123456789012", "1234567890123456"
TRACEPARENT = f"00-{ID}-{PARENT}-01"
GRPC = {"protocol": "http2"}


def seen(answer):
    """What the upstream `echo` saw, by name."""
    expect(answer.status, 200)
    return dict(map(tuple, answer.json()["fields"]))


def kept(fields, *prefixes):
    """Of a list of (name, value), those under the prefixes, but for our own deadline's."""
    return [(n, v) for n, v in fields if n.startswith(prefixes) and n not in ("x-context-deadline", "x-context-sent")]


def set_optional(g, drop, method="POST"):
    wire = g.connect("admin")
    wire.send(request(method, f"/context/optional?drop={drop}", "Connection: close"))
    answer = wire.answer()
    wire.close()
    return answer


# ---- fields ------------------------------------------------------------------------------------------------------------------------------------

ROWS = {"x-ctx-user": {"type": "uuid", "names": {"grpc": "user-id"}}, "x-ctx-tenant": {"pattern": "[a-z]{2,8}", "malformed": "reject"},
        "x-ctx-n": {"type": "integer", "optional": True}}
USER = "f81d4fae-7dec-11d0-a765-00a0c91e6bf6"


def test_values_are_of_their_type_over_http1_and_http2():
    """A well-formed value passes, a malformed one is dropped or refused, whichever HTTP the client speaks; the counter says why."""
    with Upstream(serve(echo)) as up, Gateway(up, policy={"context": {"prefixes": ["x-ctx-"], "fields": ROWS}}) as g:
        c = h2.Client(g)
        good = (f"x-ctx-user: {USER}", "x-ctx-tenant: acme", "x-ctx-n: -12")
        expect(len(kept(seen(g.ask(get("/", *good))).items(), "x-ctx-")), 3)
        s = c.get("/", *good).whole()
        expect(len(kept(json.loads(s.body)["fields"], "x-ctx-")), 3)
        bad = ("x-ctx-user: root", "x-ctx-n: 012", "x-ctx-other: 1")
        expect(kept(seen(g.ask(get("/", *bad))).items(), "x-ctx-"), [])
        s = c.get("/", *bad).whole()
        expect(kept(json.loads(s.body)["fields"], "x-ctx-"), [])
        answer = g.ask(get("/", "x-ctx-tenant: ACME"))
        expect((answer.status, answer.json()["ending"]), (400, "client_context"))
        expect(answer.json()["detail"], "the field x-ctx-tenant is malformed: it does not match its pattern")
        s = c.get("/", "x-ctx-tenant: ACME").whole()
        expect((s.status, json.loads(s.body)["ending"]), (400, "client_context"))
        expect(g.metric('curfew_context_fields_removed_total{why="malformed"}'), 4)
        expect(g.metric('curfew_context_fields_removed_total{why="unlisted"}'), 2)
        expect(len(up.requests), 4)


FORGED = ("x_request_timeout: 99h", "x-request_timeout: 98h", "transfer_encoding: chunked", "content_length: 0", "x_forwarded_for: 10.0.0.1", "x_real_ip: 10.0.0.1",
          "x_ctx_user: 1",
          "x_role: root")


def test_a_backend_that_reads_underscores_as_dashes_is_told_nothing_by_them():
    """A stranger's x_request_timeout, transfer_encoding, x_forwarded_for, or a name that the policy or the route decides about, is removed over HTTP/1 and
    HTTP/2 to either; other names with underscores pass."""
    policy = {"context": {"prefixes": ["x-ctx-"], "fields": ROWS}}
    routes = [{"match": {}, "upstream": "be", "headers": {"request": {"set": {"x-role": "guest"}}}}]
    sent = (*FORGED, "order_id: 7", "x_tenant: a")
    for upstream, serving in (({}, answering()), (GRPC, h2.answering())):
        with Upstream(serving) as up, Gateway(up, policy=policy, routes=routes, upstream=upstream, listener={"trust": "none"}) as g:
            expect(g.ask(get("/", *sent)).status, 200)
            expect(h2.Client(g).get("/", *sent).whole().status, 200)
            expect(len(up.requests), 2)
            for message in up.requests:
                fields = dict(message.fields)
                expect({n: v for n, v in fields.items() if "_" in n}, {"order_id": "7", "x_tenant": "a"})
                expect((fields["x-role"], fields["x-forwarded-for"] == "10.0.0.1"), ("guest", False))
            expect(g.metric('curfew_context_fields_removed_total{why="lookalike"}'), 2 * len(FORGED))


def test_over_grpc_fields_are_metadata_under_their_own_names():
    """names: read by the client's protocol; under HTTP's name a gRPC client says nothing; a malformed one is INVALID_ARGUMENT."""
    def unary(s):
        s.answer(200, "content-type: application/grpc", body=s.body, trailers=["grpc-status: 0"])

    policy = {"context": {"prefixes": ["x-ctx-"], "fields": ROWS}}
    with Upstream(h2.serve(unary)) as up, Gateway(up, policy=policy, upstream=GRPC) as g:
        c = h2.Client(g)
        s = c.rpc(PATH, f"user-id: {USER}", "x-ctx-user: forged", "x-ctx-tenant: acme", body=b"x").whole()
        expect(s.trailer("grpc-status"), "0")
        expect(kept(up.requests[0].fields, "x-ctx-", "user-id"), [("user-id", USER), ("x-ctx-tenant", "acme")])
        s = c.rpc(PATH, "x-ctx-tenant: A", body=b"x").whole()
        expect((s.status, s.get("grpc-status")), (200, "3"))
        expect_in("x-ctx-tenant", [w for w in re.split(r"[ %]", s.get("grpc-message"))])
        expect(len(up.requests), 1)


def test_a_translated_call_has_its_fields_renamed():
    """From a Connect client under its name to a gRPC upstream under that one's; what came under gRPC's name is removed."""
    policy = {"context": {"prefixes": ["x-ctx-"], "fields": ROWS}}
    with Translating(echoes, policy=policy) as (up, g):
        answer = g.ask(request("POST", PATH, "Content-Type: application/proto", "Connect-Protocol-Version: 1", "Content-Length: 1", f"x-ctx-user: {USER}",
                               "user-id: forged", body=b"x"))
        expect(answer.status, 200)
        expect(kept(up.requests[0].fields, "x-ctx-", "user-id"), [("user-id", USER)])


# ---- what is required ---------------------------------------------------------------------------------------------------------------------------


def test_what_a_request_must_bring():
    """require: reject names what is missing, for HTTP and gRPC clients, and asks nobody; warn lets it pass and says it in the log."""
    policy = {"context": {"fields": {"x-user": {"required": "warn"}}, "require": {"deadline": "reject", "trace": "warn"}}}
    with Upstream(h2.serve(lambda s: s.answer(200, "content-type: application/grpc", trailers=["grpc-status: 0"]))) as up, \
            Gateway(up, policy=policy, upstream=GRPC) as g:
        c = h2.Client(g)
        s = c.rpc(PATH, body=b"x").whole()
        expect((s.get("grpc-status"), s.get("grpc-message")), ("3", "the request has no deadline, and one is required"))
        expect(len(up.requests), 0)
        s = c.rpc(PATH, "grpc-timeout: 5S", body=b"x").whole()
        expect(s.trailer("grpc-status"), "0")
        lines = g.log(2)
        expect((lines[0]["ending"], lines[0]["detail"]), ("client_context", "the request has no deadline, and one is required"))
        expect(lines[1]["missing"], "trace x-user")
        expect(g.metric("curfew_context_missing_total"), 4)


# ---- traces and baggage -------------------------------------------------------------------------------------------------------------------------


def test_traces_pass_unread_by_default():
    """A proxy that takes no part passes traceparent, tracestate and baggage as they are."""
    with Upstream(serve(echo)) as up, Gateway(up) as g:
        sees = seen(g.ask(get("/", "traceparent: anything", "tracestate: FOO", "baggage: a = 1 ;p, b")))
        expect((sees["traceparent"], sees["tracestate"], sees["baggage"]), ("anything", "FOO", "a = 1 ;p, b"))


def test_curfew_joins_a_trace():
    """join: the trace goes on with a parent-id of ours, our member is leftmost; an invalid one is begun anew where the policy injects."""
    policy = {"context": {"trace": {"mode": "join", "member": "gate"}, "require": {"trace": "inject"}}}
    with Upstream(serve(echo)) as up, Gateway(up, policy=policy) as g:
        sees = seen(g.ask(get("/", f"traceparent: {TRACEPARENT}", "tracestate: foo=1", "tracestate: bar=2")))
        version, trace, parent, flags = sees["traceparent"].split("-")
        expect((version, trace, flags), ("00", ID, "01"))
        assert re.fullmatch("[0-9a-f]{16}", parent) and parent != PARENT, parent
        expect(sees["tracestate"], f"gate={parent},foo=1,bar=2")
        traces = set()
        for bad in ("", f"traceparent: 00-{ID.replace('1', 'A')}-{PARENT}-01", f"traceparent: ff-{ID}-{PARENT}-01"):
            sees = seen(g.ask(get("/", *([bad, "tracestate: foo=1"] if bad else []))))
            version, trace, parent, flags = sees["traceparent"].split("-")
            expect((version, flags, sees["tracestate"]), ("00", "03", f"gate={parent}"))
            traces.add(trace)
        expect(len(traces | {ID}), 4)
        expect(g.metric("curfew_traces_begun_total"), 3)
        expect(g.metric("curfew_traces_removed_total"), 2)


def test_strangers_bring_no_trace_and_no_baggage():
    """from: on another listener both are removed."""
    policy = {"context": {"trace": {"from": ["mesh"]}, "baggage": {"from": ["mesh"], "allow": ["tenant"]}}}
    with Upstream(serve(echo)) as up, Gateway(up, policy=policy, listeners={"mesh": {}}) as g:
        for listener, wanted in (("mesh", [("traceparent", TRACEPARENT), ("tracestate", "foo=1"), ("baggage", "tenant=a;p")]), ("plain", [])):
            c = g.connect(listener)
            c.send(get("/", f"traceparent: {TRACEPARENT}", "tracestate: foo=1", "baggage: user=1, tenant=a;p"))
            fields = list(map(tuple, c.answer().json()["fields"]))
            c.close()
            expect(kept(fields, "trace", "baggage"), wanted, listener)
        expect(g.metric("curfew_baggage_members_removed_total"), 3)


# ---- load ---------------------------------------------------------------------------------------------------------------------------------------


def test_an_operator_drops_optional_fields():
    """POST /context/optional?drop=on|off|auto holds for all workers with the next request; its state is a metric; no other method or word changes it."""
    policy = {"context": {"fields": {"x-region": {"optional": True}, "x-user": {}}}}
    with Upstream(serve(echo)) as up, Gateway(up, policy=policy, workers=2) as g:
        def regions():
            return {"x-region" in seen(g.ask(get("/", "x-region: eu", "x-user: u"))) for _ in range(8)}

        expect(regions(), {True})
        answer = set_optional(g, "on")
        expect((answer.status, answer.json()), (200, {"drop": "on", "loaded_workers": 0, "workers": 2}))
        expect(regions(), {False})
        expect(g.metric('curfew_optional_fields_switch{state="on"}'), 1)
        expect(g.metric('curfew_optional_fields_switch{state="auto"}'), 0)
        expect(set_optional(g, "maybe").status, 400)
        refused = set_optional(g, "off", method="PUT")
        expect((refused.status, refused.get("allow")), (405, "GET, HEAD, POST"))
        expect(g.admin("/context/optional").json()["drop"], "on")
        expect(set_optional(g, "auto").status, 200)
        expect(regions(), {True})
        assert "optional context fields: drop on" in g.messages()
        wire = g.connect("admin")
        wire.send(request("POST", "/metrics", "Connection: close"))
        expect((wire.answer().status, g.metric('curfew_context_fields_removed_total{why="load"}')), (405, 8))
        wire.close()


def test_under_load_optional_fields_are_dropped():
    """load.inflight: while more is under way, optional fields do not pass; the others do."""
    held = []

    def hold(wire, message):
        if message.target == "/held":
            held.append(wire)
            return
        echo(wire, message)

    policy = {"context": {"fields": {"x-region": {"optional": True}, "x-user": {}}}}
    with Upstream(serve(hold)) as up, Gateway(up, policy=policy, more={"load": {"inflight": 2}}) as g:
        sees = seen(g.ask(get("/", "x-region: eu", "x-user: u")))
        expect((sees.get("x-region"), sees.get("x-user")), ("eu", "u"))
        clients = [g.connect() for _ in range(2)]
        for n, c in enumerate(clients):
            c.send(get("/held"))
            up.wait_requests(2 + n)
        sees = seen(g.ask(get("/", "x-region: eu", "x-user: u")))
        expect((sees.get("x-region"), sees.get("x-user")), (None, "u"))
        expect(g.metric("curfew_loaded_workers"), 1)
        for c in clients:
            c.close()


# ---- the schema ---------------------------------------------------------------------------------------------------------------------------------

SCHEMA = """version: 3
prefixes: [ x-ctx- ]
fields:
  x-ctx-user: { type: uuid }
  x-ctx-tenant: { required: reject, since: 3 }
"""


def test_a_schema_is_in_force():
    """Its fields lie under the policy's own; upstreams are told its version; who says an older one need not have what came later, and a newer one is
    handled by rule."""
    g = Gateway({"be": (up := Upstream(serve(echo)))}, policy={"context": {"schema": "schema.yaml", "newer": "reject", "fields": {"x-ctx-user": {"max": 36}}}})
    with open(os.path.join(g.folder, "schema.yaml"), "w", encoding="utf-8") as f:
        f.write(SCHEMA)
    with up, g:
        sees = seen(g.ask(get("/", f"x-ctx-user: {USER}", "x-ctx-tenant: t", "x-ctx-other: 1")))
        expect(kept(sees.items(), "x-ctx-", "x-context-"), [("x-ctx-user", USER), ("x-ctx-tenant", "t"), ("x-context-schema", "3")])
        sees = seen(g.ask(get("/", "x-context-schema: 2")))
        expect(sees["x-context-schema"], "3")
        answer = g.ask(get("/", "x-context-schema: 3"))
        expect(answer.json()["detail"], "the request has no field x-ctx-tenant, which is required")
        answer = g.ask(get("/", "x-context-schema: 4", "x-ctx-tenant: t"))
        expect(answer.json()["detail"], "the request's x-context-schema, 4, is newer than 3, which is known here")
        answer = g.ask(get("/", "x-context-schema: 4.0", "x-ctx-tenant: t"))
        expect(answer.status, 200)
        expect((g.metric("curfew_context_schema_newer_total"), g.metric("curfew_context_schema_malformed_total")), (1, 1))


def test_a_peer_cannot_name_a_field_of_ours_in_connection():
    """T25: a request whose Connection would have a listed field dropped on its way is refused; whichever policy lists it, under whichever name."""
    policies = {"default": {}, "other": {"context": {"fields": {"x-user": {"names": {"grpc": "user-id"}}}}}}
    with Upstream(serve(echo)) as up, Gateway(up, more={"policies": policies}) as g:
        for name, status in (("x-user", 400), ("user-id", 400), ("x-else", 200)):
            expect(g.ask(get("/", f"Connection: {name}", f"{name}: u")).status, status, name)


def test_the_documentation_s_example_is_accepted():
    """The configuration and the schema that docs/context.md shows are good, together."""
    with open(os.path.join(ROOT, "docs/context.md"), encoding="utf-8") as f:
        config, schema = re.findall(r"^```yaml\n(.*?)^```$", f.read(), re.M | re.S)
    with tempfile.TemporaryDirectory(prefix="curfew-e2e-") as tmp:
        with open(os.path.join(tmp, "context-schema.yaml"), "w", encoding="utf-8") as f:
            f.write(schema)
        with open(os.path.join(tmp, "curfew.yaml"), "w", encoding="utf-8") as f:
            f.write("listeners: { mesh: { address: 127.0.0.1:18080, trust: all } }\n" + config)
        code, out, err = curfew("check", "-c", os.path.join(tmp, "curfew.yaml"))
        expect((code, err), (0, ""), out)
        code, out, _ = curfew("check", "--effective", "-c", os.path.join(tmp, "curfew.yaml"))
        expect(code, 0)
        with open(os.path.join(tmp, "again.yaml"), "w", encoding="utf-8") as f:
            f.write(out)
        expect(curfew("check", "--effective", "-c", os.path.join(tmp, "again.yaml"))[:2], (0, out))


def compare(tmp, was, now, *options):
    for name, text in (("old.yaml", was), ("new.yaml", now)):
        with open(os.path.join(tmp, name), "w", encoding="utf-8") as f:
            f.write(text)
    return curfew("context-schema", "check", os.path.join(tmp, "old.yaml"), os.path.join(tmp, "new.yaml"), *options)


def test_context_schema_check():
    """context-schema check OLD NEW: 0 where nothing breaks, 1 with each change and both its places, 2 where a file is wrong; --json for machines."""
    with tempfile.TemporaryDirectory(prefix="curfew-e2e-") as tmp:
        code, out, err = compare(tmp, SCHEMA, SCHEMA.replace("version: 3", "version: 4") + "  x-ctx-new: { optional: true }\n")
        expect((code, err), (0, ""))
        assert out.endswith("new.yaml: version 4 breaks nothing of version 3\n") and "note: x-ctx-new: it is new" in out, out
        code, out, err = compare(tmp, SCHEMA, SCHEMA.replace("version: 3", "version: 4").replace("uuid", "token"))
        expect((code, err), (1, ""))
        assert "new.yaml:4:17: breaking: x-ctx-user: type is token, was uuid (" in out and "old.yaml:4:17)" in out, out
        code, out, err = compare(tmp, SCHEMA, "version: 4\n", "--json")
        expect((code, err), (1, ""))
        said = json.loads(out)
        expect((said["breaking"], [c["field"] for c in said["changes"] if c["breaking"]]), (True, ["x-ctx-user", "x-ctx-tenant"]))
        code, out, err = compare(tmp, SCHEMA, "versoin: 4\n")
        expect((code, out), (2, ""))
        assert 'did you mean "version"?' in err, err
    code, _, err = curfew("context-schema", "check", "/nowhere/a", "/nowhere/b")
    expect(code, 2)
    assert "/nowhere/a: error: cannot open" in err and "/nowhere/b: error: cannot open" in err, err
    for words in ((), ("check",), ("check", "a"), ("diff", "a", "b")):
        code, _, err = curfew("context-schema", *words)
        expect((code, err.startswith("usage: curfew context-schema check OLD NEW")), (2, True))


def test_a_request_is_explained_field_by_field():
    """explain request says what becomes of each context field on a listener, and why; the upstream's view is what is left."""
    config = """listeners: { edge: { address: 127.0.0.1:18080 }, mesh: { address: 127.0.0.1:18081, trust: all } }
upstreams: { app: { endpoints: 127.0.0.1:9001 } }
policies:
  default:
    context:
      prefixes: [ x-ctx- ]
      fields: { x-ctx-user: { type: uuid, from: [ mesh ] }, x-ctx-n: { type: integer }, x-ctx-trace: { required: warn } }
      trace: { mode: check }
routes: [ { match: {}, upstream: app } ]
"""
    ask = ("explain", "request", "GET / HTTP/1.1", "-c", "@", "--json", "-H", f"x-ctx-user: {USER}", "-H", "x-ctx-n: n", "-H", "x-ctx-z: 1", "-H", "traceparent: bad")
    for listener, user in (("mesh", "passes"), ("edge", "removed: not believed on this listener")):
        code, out, err = curfew(*ask, "--listener", listener, text=config)
        expect((code, err), (0, ""))
        said = json.loads(out)
        expect({r["field"]: r["what becomes of it"] for r in said["context"]},
               {"x-ctx-user": user, "x-ctx-n": "removed: not of its type or pattern", "x-ctx-z": "removed: under a prefix, and not listed"})
        facts = {r["what"]: r["is"] for r in said["request"]}
        expect((facts["listener"], facts["missing"], facts["trace"]), (listener, "x-ctx-trace", "removed: invalid, or not believed on this listener"))
        expect("x-ctx-user" in {r["field"] for r in said["upstream sees"]}, listener == "mesh")
    code, _, err = curfew(*ask, "--listener", "mash", text=config)
    expect(code, 1)
    assert 'no listener is called "mash"' in err, err


def test_explain_warns_of_optional_fields_that_no_load_drops():
    """Optional fields without a threshold of load are warned of; with one they are not."""
    config = {"upstreams": {"app": {"endpoints": "127.0.0.1:9001"}}, "policies": {"default": {"context": {"fields": {"x-region": {"optional": True}}}}},
              "routes": [{"match": {"path": "/*"}, "upstream": "app"}]}
    for load, warned in ((None, True), ({"loop_lag": "50ms"}, False)):
        code, out, _ = curfew("explain", "-c", "@", "--json", text=yaml({**config, **({"load": load} if load else {})}))
        expect(code, 0)
        warnings = [w["warning"] for w in json.loads(out)["routes"][0]["warnings"]]
        expect(any("load no threshold" in w for w in warnings), warned)
