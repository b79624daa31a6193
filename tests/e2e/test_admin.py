# SPDX-License-Identifier: Apache-2.0
"""The admin address: what is under way can be seen, and ended."""
from harness import Gateway, Upstream, curfew, eventually, expect, expect_in, get, request, serve, silent


def listed(g):
    answer = g.admin("/contexts")
    expect((answer.status, answer.get("content-type")), (200, "application/json"))
    return answer.json()


def test_contexts_are_listed():
    """GET /contexts shows what is under way in all workers: route, client, path, upstream, what is left; and nothing once it is over."""
    with Upstream(serve(silent)) as up, Gateway(up, workers=3, policy={"deadline": {"default": "20s"}}) as g:
        expect(listed(g), {"contexts": [], "live": 0, "silent_workers": 0})
        clients = [g.connect() for _ in range(6)]
        for i, c in enumerate(clients):
            c.send(get(f'/"{i}"?a=b', "x-request-timeout: 10s"))
        up.wait_requests(6)
        found = listed(g)
        expect((found["live"], found["silent_workers"]), (6, 0))
        expect(sorted(x["path"] for x in found["contexts"]), [f'/"{i}"?a=b' for i in range(6)])
        for x in found["contexts"]:
            expect((x["method"], x["client"][:4], x["attempts"], x["answered"], x["rpc"]), ("GET", "127.", 1, "no", "http"))
            assert 0 < x["left_ms"] < 10000 and x["age_ms"] >= 0 and x["endpoint"].startswith("127."), x
        for c in clients:
            c.close()
        for line in g.log(6):
            expect(line["ending"], "client_closed")
        expect(listed(g)["live"], 0)


def test_an_operator_cancels():
    """DELETE /contexts/ID ends that request and no other: the client hears 503, the upstream's connection is closed, the log says who it was."""
    with Upstream(serve(silent)) as up, Gateway(up, workers=2) as g:
        one, two = g.connect(), g.connect()
        one.send(get("/one"))
        two.send(get("/two"))
        up.wait_requests(2)
        ids = {x["path"]: x["id"] for x in listed(g)["contexts"]}
        expect(g.admin("/contexts/" + ids["/one"], "DELETE").status, 200)
        answer = one.answer()
        expect((answer.status, answer.json()["ending"]), (503, "operator_cancelled"))
        line = g.log(1)[0]
        expect((line["id"], line["path"], line["ending"], line["cancel_level"]), (ids["/one"], "/one", "operator_cancelled", "close"))
        expect([x["path"] for x in listed(g)["contexts"]], ["/two"])
        expect(g.admin("/contexts/" + ids["/one"], "DELETE").status, 404)
        two.close()
        g.log(2)


def test_ids_that_are_none():
    """An id that is over, of no worker or malformed is a 404, and harms nothing."""
    with Upstream(serve(lambda wire, message: wire.send(b"HTTP/1.1 204 No Content\r\n\r\n"))) as up, Gateway(up) as g:
        expect(g.ask(get("/x")).status, 204)
        for bad in (g.log(1)[0]["id"], "", "0", "0-0", "0-0-0-0", "-0-0", "7-0-1", "ffffffff-0-1", "0-ffffffff-ffffffff", "0-0-x", "0-0-100000000", "../x"):
            expect_in(g.admin("/contexts/" + bad, "DELETE").status, (404, 405))
        expect(g.admin("/contexts", "PUT").status, 405)
        expect(g.ask(get("/x")).status, 204)


def test_a_broken_body_is_answered():
    """A body that is malformed while its call still waits for the workers is a 400, and the list asked for goes nowhere."""
    with Upstream(serve(silent)) as up, Gateway(up, workers=4) as g:
        for _ in range(20):
            wire = g.connect("admin")
            wire.send(get("/contexts", "Transfer-Encoding: chunked", body=b"zzz\r\n"))
            expect(wire.answer().status, 400)
            wire.close()
        expect(listed(g)["live"], 0)


def test_who_asks_may_leave():
    """A hundred who ask for the list and close at once leave nothing behind."""
    with Upstream(serve(silent)) as up, Gateway(up, workers=4) as g:
        for i in range(100):
            wire = g.connect("admin")
            wire.send(request("GET", "/contexts"))
            (wire.reset if i % 2 else wire.close)()
        expect(listed(g)["live"], 0)


def config(g):
    answer = g.admin("/config")
    expect((answer.status, answer.get("content-type")), (200, "application/yaml"))
    return answer.body.decode()


def test_the_configuration_in_use_is_told():
    """GET /config is what `check --effective` prints of the file; after a reload that was refused still that of the file before, and then the next one."""
    policy = {"cancel": {"http1": ["call", "close"], "call": {"path": "/stop", "headers": {"authorization": "Bearer hidden"}}}}
    with Upstream(serve(silent)) as up, Gateway(up, policy=policy) as g:
        with open(g.config_path, encoding="utf-8") as f:
            _, printed, _ = curfew("check", "--effective", "-c", "@", text=f.read())
        expect_in('"Bearer hidden"', printed)
        first = config(g)
        expect(first, printed.replace('"Bearer hidden"', '"***"'))
        g.reload("listeners: { a: { address: nowhere } }", result="refused")
        expect(config(g), first)
        g.reload(policies={"default": {"deadline": {"default": "17s"}}})
        eventually(lambda: "default: 17s" in config(g), what="the new one")
        expect(g.admin("/config", "HEAD").status, 200)
        for method in ("POST", "DELETE"):
            expect_in(g.admin("/config", method).status, (404, 405))
