# SPDX-License-Identifier: Apache-2.0
"""Which route a request takes, what it makes of the request, and which of its fields go on."""
import json

import h2
from harness import Gateway, Upstream, answering, echo, expect, expect_in, get, request, serve


def test_no_route():
    """Nothing matches: 404 no_route with the JSON problem; the connection goes on."""
    routes = [{"match": {"path": "/here/*"}, "upstream": "be"}]
    with Upstream(serve(echo)) as up, Gateway(up, routes=routes) as g:
        c = g.connect()
        c.send(get("/there"))
        answer = c.answer()
        expect((answer.status, answer.get("content-type"), answer.json()["status"]), (404, "application/problem+json", 404))
        c.send(get("/here/x"))
        expect(c.answer().status, 200)
        expect([l["ending"] for l in g.log(2)], ["no_route", "completed"])


def test_first_match_wins():
    """Host, path, method and header, in the order of the file."""
    def say(text, **match):
        return {"match": match, "respond": {"status": 200, "body": text}}

    routes = [
        say("host", host="api.test", path="/*"),
        say("wild", host="*.wild.test", path="/*"),
        say("post", path="/m/*", method=["POST", "PUT"]),
        say("header", path="/h", header={"x-version": {"at_least": "2026-07-28"}}),
        say("exact", path="/a/b"),
        say("capture", path="/u/{id}/x"),
        say("prefix", path="/a/*"),
    ]
    cases = [
        (get("/x", host="api.test"), "host"), (get("/x", host="API.TEST:8080"), "host"), (get("/", host="a.wild.test"), "wild"),
        (get("/", host="wild.test"), None), (request("POST", "/m/1", "Content-Length: 0"), "post"), (get("/m/1"), None),
        (get("/h", "X-Version: 2026-08-01"), "header"), (get("/h", "X-Version: 2025-01-01"), None), (get("/h"), None),
        (get("/a/b"), "exact"), (get("/a/b?q"), "exact"), (get("/a/b/c"), "prefix"), (get("/ab"), None), (get("/u/7/x"), "capture"),
        (get("/u/7/8/x"), None), (get("/A/b"), None),
    ]
    with Gateway(routes=routes) as g:
        c = g.connect()
        for data, wanted in cases:
            c.send(data)
            answer = c.answer()
            expect((answer.status, answer.body.decode() if answer.status == 200 else None), (200 if wanted else 404, wanted),
                   data.split(b"\r\n")[0].decode())


def test_no_way_round_a_route():
    """Paths are normalised before they are matched: %2e%2e, doubled dots and escaped letters go round no route, and the upstream gets what was matched."""
    routes = [{"match": {"path": "/admin/*"}, "respond": {"status": 403}}, {"match": {"path": "/*"}, "upstream": "be"}]
    with Upstream(serve(echo)) as up, Gateway(up, routes=routes) as g:
        for target in ("/admin/x", "/public/../admin/x", "/public/%2e%2e/admin/x", "/public/%2E%2e/admin/x", "/%61dmin/x", "/./admin/x",
                       "/public/.%2e/admin/x", "/admin/%2e/x"):
            expect(g.ask(get(target)).status, 403, target)
        expect(g.ask(get("/a/%2e%2e/b")).json()["target"], "/b")
        for target in ("/../etc/passwd", "/a/%zz", "/a%00b", "/%2e%2e/x", "/a%2"):
            answer = g.ask(get(target))
            expect_in(answer.status, (400, 404), target)
        expect([r.target for r in up.requests], ["/b"])


def test_rewrite_and_header_edits():
    """Prefix rewrite keeps the rest and the query; fields are set, added and removed on the way up and on the way down."""
    routes = [{"match": {"path": "/v1/orders/*"}, "upstream": "be", "rewrite": {"prefix": "/orders"},
               "headers": {"request": {"set": {"x-edge": "1"}, "add": {"x-more": "b"}, "remove": ["x-debug"]},
                           "response": {"set": {"x-served-by": "edge"}, "remove": ["content-type"]}}}]
    with Upstream(serve(echo)) as up, Gateway(up, routes=routes) as g:
        answer = g.ask(get("/v1/orders/7?a=1", "X-Edge: spoofed", "X-More: a", "X-Debug: 1"))
        expect((answer.get("x-served-by"), answer.get("content-type")), ("edge", None))
        seen = answer.json()
        expect(seen["target"], "/orders/7?a=1")
        values = [(n, v) for n, v in seen["fields"] if n in ("x-edge", "x-more", "x-debug")]
        expect(sorted(map(tuple, values)), [("x-edge", "1"), ("x-more", "a"), ("x-more", "b")])


def test_fixed_answers_and_redirects():
    """respond and redirect answer without an upstream; a HEAD of them has no body."""
    routes = [{"match": {"path": "/robots.txt"}, "respond": {"status": 200, "body": "Disallow: /", "content_type": "text/plain"}},
              {"match": {"path": "/old/*"}, "redirect": {"status": 308, "prefix": "/new"}}]
    with Gateway(routes=routes) as g:
        answer = g.ask(get("/robots.txt"))
        expect((answer.status, answer.get("content-type"), answer.body), (200, "text/plain", b"Disallow: /"))
        c = g.connect()
        c.send(request("HEAD", "/robots.txt") + get("/old/a%20b?c=d"))
        expect(c.answer("HEAD").get("content-length"), "11")
        answer = c.answer()
        expect(answer.status, 308)
        assert answer.get("location").endswith("/new/a%20b?c=d"), answer.raw
        expect([l["ending"] for l in g.log(3)], ["completed"] * 3)


def test_a_redirect_is_not_split():
    """An escaped line end in a path stays escaped in Location."""
    routes = [{"match": {"path": "/old/*"}, "redirect": {"status": 302, "prefix": "/new"}}]
    with Gateway(routes=routes) as g:
        answer = g.ask(get("/old/%0d%0aSet-Cookie:%20a=1"))
        expect(answer.get("set-cookie"), None)
        if answer.status == 302:
            assert "%0" in answer.get("location"), answer.raw


def test_host_of_the_upstream():
    """host: preserve sends the client's Host, host: upstream the endpoint's own."""
    routes = [{"match": {"path": "/keep"}, "upstream": "be"}, {"match": {"path": "/own"}, "upstream": "be", "host": "upstream"}]
    with Upstream(serve(echo)) as up, Gateway(up, routes=routes) as g:
        expect(dict(map(tuple, g.ask(get("/keep")).json()["fields"]))["host"], "example.test")
        expect(dict(map(tuple, g.ask(get("/own")).json()["fields"]))["host"], up.address)


def test_policies_by_route():
    """A route's policy extends another one; the log names the route."""
    policies = {"default": {"deadline": {"read": ["x-request-timeout"], "default": "20s"}},
                "batch": {"extends": "default", "deadline": {"default": "90s", "max": "120s"}}}
    routes = [{"name": "slow", "match": {"path": "/batch/*"}, "upstream": "be", "policy": "batch"}, {"match": {"path": "/*"}, "upstream": "be"}]
    with Upstream(serve(echo)) as up, Gateway(up, routes=routes, more={"policies": policies}) as g:
        for target, low, high in (("/batch/1", 85000, 90000), ("/1", 15000, 20000)):
            value = dict(map(tuple, g.ask(get(target)).json()["fields"]))["x-request-timeout"]
            assert low <= int(value[:-2]) < high, (target, value)
        lines = g.log(2)
        expect([l["route"] for l in lines], ["slow", "routes[1]"])
        expect([l["upstream"] for l in lines], ["be", "be"])


def test_context_fields():
    """T46, T47: of the names under a prefix only the listed ones pass; too long ones and those of strangers do not; other fields always do."""
    policy = {"context": {"prefixes": ["x-context-"], "fields": {"x-context-trace-id": {"max": 16}, "x-context-user-id": {"max": 64, "from": ["mesh"]}}}}
    with Upstream(serve(echo)) as up, Gateway(up, policy=policy, listeners={"mesh": {}}) as g:
        def passed(listener, *fields):
            c = g.connect(listener)
            c.send(get("/", *fields))
            names = [n for n, _ in c.answer().json()["fields"]]
            c.close()
            return sorted(n for n in names if n.startswith("x-context-") and n not in ("x-context-deadline", "x-context-sent") or n == "x-other")

        fields = ("X-Context-Trace-Id: abc", "X-Context-User-Id: 7", "X-Context-Secret: s", "X-Other: 1")
        expect(passed("plain", *fields), ["x-context-trace-id", "x-other"])
        expect(passed("mesh", *fields), ["x-context-trace-id", "x-context-user-id", "x-other"])
        expect(passed("mesh", "X-Context-Trace-Id: " + "a" * 17), [])


def both(g, method, target, *fields):
    """The same request over HTTP/1 and HTTP/2: (status, body, answer) of each."""
    first = g.ask(request(method, target, *fields))
    second = h2.Client(g).ask(method, target, *fields).whole()
    return [(first.status, first.body, first), (second.status, second.body, second)]


def test_options_and_trace_go_as_far_as_max_forwards_says():
    """RFC 9110 7.6.2: 0 is answered here, others are less one at the upstream, what is no number is refused; other methods pass it as it is."""
    routes = [{"match": {"path": "/traced/*", "method": ["OPTIONS", "TRACE", "GET"]}, "upstream": "be"}, {"match": {"path": "/*"}, "upstream": "be"}]
    for upstream, serving in (({}, answering()), ({"protocol": "http2"}, h2.answering())):
        with Upstream(serving) as up, Gateway(up, routes=routes, upstream=upstream) as g:
            for target in ("/x", "*"):
                for status, body, answer in both(g, "OPTIONS", target, "max-forwards: 0"):
                    expect((status, body, answer.get("content-length"), answer.get("allow")), (200, b"", "0", None))
            for bad in (["max-forwards: -1"], ["max-forwards: 1.0"], ["max-forwards: "], ["max-forwards: 1, 2"], ["max-forwards: 3", "max-forwards: 3"]):
                for status, body, _ in both(g, "OPTIONS", "/x", *bad):
                    expect((status, json.loads(body)["ending"]), (400, "client_error"))
            expect(len(up.requests), 0)
            for sent, told in (("1", "0"), ("00010", "9"), ("99999999999999999999999", "18446744073709551614"), (None, None)):
                fields = [f"max-forwards: {sent}"] if sent else []
                for method, target in (("OPTIONS", "/x"), ("TRACE", "/traced/x")):
                    expect([s for s, _, _ in both(g, method, target, *fields)], [200, 200])
                    expect([m.get("max-forwards") for m in up.requests[-2:]], [told, told])
            expect([s for s, _, _ in both(g, "GET", "/x", "max-forwards: 0")], [200, 200])
            expect([m.get("max-forwards") for m in up.requests[-2:]], ["0", "0"])


def test_a_trace_goes_where_a_route_names_it():
    """Its answer is the request, credentials and all: 405 unless the route's methods name it; and nothing is reflected here."""
    routes = [{"match": {"path": "/traced/*", "method": ["TRACE"]}, "upstream": "be"}, {"match": {"path": "/said"}, "respond": {"status": 200}},
              {"match": {"path": "/*"}, "upstream": "be"}]
    with Upstream(serve(echo)) as up, Gateway(up, routes=routes) as g:
        for target, fields in (("/x", ()), ("/said", ()), ("/traced/x", ("max-forwards: 0",))):
            for status, body, _ in both(g, "TRACE", target, "cookie: secret=1", *fields):
                expect((status, json.loads(body)["ending"], b"secret" in body), (405, "no_route", False))
        expect(len(up.requests), 0)
        expect([s for s, _, _ in both(g, "TRACE", "/traced/x")], [200, 200])
        expect([m.method for m in up.requests], ["TRACE", "TRACE"])
        expect([l["status"] for l in g.log(8)], [405] * 6 + [200] * 2)


def test_forwarded_of_a_stranger():
    """An untrusted client's X-Forwarded-For is replaced, a trusted one's is added to."""
    for trust, wanted in (("none", 1), ("all", 2)):
        with Upstream(serve(echo)) as up, Gateway(up, listener={"trust": trust}) as g:
            fields = dict(map(tuple, g.ask(get("/", "X-Forwarded-For: 192.0.2.1", "X-Forwarded-Proto: https")).json()["fields"]))
            expect(len(fields["x-forwarded-for"].split(",")), wanted, f"addresses, trust: {trust}")
            expect("192.0.2.1" in fields["x-forwarded-for"], trust == "all")


def test_where_a_stranger_is_nobody_else_says():
    """A stranger's X-Real-IP is removed, or replaced by its address where real_ip says so, over HTTP/1 and HTTP/2; a trusted peer's stands."""
    for trust, real_ip, wanted in (("none", False, None), ("none", True, "peer"), ("all", False, "theirs"), ("all", True, "theirs")):
        with Upstream(answering()) as up, Gateway(up, listener={"trust": trust}, policy={"forward": {"real_ip": real_ip}}) as g:
            g.ask(get("/", "X-Real-IP: 192.0.2.1"))
            h2.Client(g).get("/", "x-real-ip: 192.0.2.1").whole()
            for message in up.requests:
                fields = dict(message.fields)
                peer = fields["x-forwarded-for"].split(", ")[-1]
                expect(fields.get("x-real-ip"), {None: None, "peer": peer, "theirs": "192.0.2.1"}[wanted], f"trust: {trust}, real_ip: {real_ip}")
            expect(len(up.requests), 2)
