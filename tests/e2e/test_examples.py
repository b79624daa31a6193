# SPDX-License-Identifier: Apache-2.0
"""The examples under conf/examples, run as they stand but for their addresses: each does what its comments say."""
import contextlib
import os
import re
import time

import h2
from harness import (HOST, ROOT, Gateway, Upstream, echo, eventually, expect, expect_between, expect_in, free_port, get, note, ok, post, request, serve,
                     silent)

SHOWN = ("cancel-translation", "edge", "llm", "mcp", "polyglot", "strangler")  # those that have a test here
CHECKED = ("reference",)  # shows the language, and is accepted (test_program, config_test)


@contextlib.contextmanager
def example(name, **servers):
    """The gateway with conf/examples/NAME.yaml; each 127.0.0.1:PORT becomes a free address, or that of the server given as p9001=."""
    with open(os.path.join(ROOT, "conf", "examples", f"{name}.yaml"), encoding="utf-8") as f:
        text = f.read()
    g = Gateway(text=text)
    code = "\n".join(line.split(" #")[0] for line in text.split("\n") if not line.startswith("#"))
    places = {port: servers[f"p{port}"].address if f"p{port}" in servers else f"{HOST}:{free_port()}" for port in re.findall(r"127\.0\.0\.1:(\d+)", code)}
    code = re.sub(r"127\.0\.0\.1:(\d+)", lambda m: places[m.group(1)], code)
    assert "access: stdout" in code, f"{name} logs elsewhere"
    code = code.replace("access: stdout", f"access: {g.log_path}")
    assert "workers:" not in code and "shutdown:" not in code, f"{name} says so itself"
    code += "\nworkers: 1\nshutdown: { drain: 5s }\n"  # one worker, so that upstreams' connections can be counted
    with open(g.config_path, "w", encoding="utf-8") as f:
        f.write(code)
    g.addresses = {"plain": places["8080"], **({"admin": places["9901"]} if "9901" in places else {})}
    with g:
        yield g


def told(message, name="x-request-timeout"):
    """What the upstream was told, in ms."""
    return int(re.fullmatch(r"(\d+)ms", message.get(name)).group(1))


def stopped(up, i=0, within=1.0):
    """How the gateway ended connection i of the upstream, and within what time of now."""
    begun = time.monotonic()
    how, at = up.wait_end(i, within)
    note(f"{how} seen upstream after {max(0.0, at - begun) * 1000:.1f} ms")
    return how


def sleeps(pause):
    """For `serve`: an answer after so many seconds; the connection's end in between is recorded by the wire."""
    def handler(wire, message):
        time.sleep(pause)
        wire.send(ok(message.target.encode()))
    return handler


def test_every_example_is_shown():
    """Each file of conf/examples has a test here that runs it, and a section in docs/examples.md."""
    names = sorted(n[:-5] for n in os.listdir(os.path.join(ROOT, "conf", "examples")))
    expect(names, sorted(SHOWN + CHECKED))
    with open(os.path.join(ROOT, "docs", "examples.md"), encoding="utf-8") as f:
        text = f.read()
    for name in names:
        assert f"(../conf/examples/{name}.yaml)" in text, f"docs/examples.md does not link {name}.yaml"


# ---- edge -----------------------------------------------------------------------------------------------------------------------------


def test_edge_gives_everything_a_deadline():
    """edge: a hanging application is answered for at the route's default, and its connection closed; a stranger may ask for less, not for more."""
    with Upstream(serve(silent)) as up, example("edge", p9001=up) as g:
        expect(g.ask(get("/healthz")).status, 204)
        begun = time.monotonic()
        answer = g.ask(get("/api/slow", "X-Request-Timeout: 10m"))
        expect_between(time.monotonic() - begun, 1.9, 2.6, "s until the answer")
        expect((answer.status, answer.get("retry-after")), (503, "1"))
        stopped(up)
        expect(up.requests[0].target, "/slow")
        expect_between(told(up.requests[0]), 1800, 1995)
        answer = g.ask(get("/page", "X-Request-Timeout: 300ms"))
        expect(answer.status, 504)
        expect(answer.json()["ending"], "deadline")
        expect_between(told(up.wait_requests(2)[1]), 200, 295)
        lines = g.log(3)
        expect([(l["ending"], l["deadline_source"], l.get("cancel_level")) for l in lines[1:]],
               [("deadline", "default", "close"), ("deadline", "x-request-timeout", "close")])


def test_edge_spends_no_work_on_who_left_or_has_no_time():
    """edge: a client that leaves ends the work; one with no time left never starts it."""
    with Upstream(serve(silent)) as up, example("edge", p9001=up) as g:
        expect(g.ask(get("/page", "X-Request-Timeout: 14ms")).status, 504)
        c = g.connect()
        c.send(get("/page"))
        up.wait_requests(1)
        c.close()
        stopped(up)
        expect([l["ending"] for l in g.log(2)], ["shed_expired", "client_closed"])
        expect(len(up.requests), 1, "requests that the application saw")


# ---- polyglot -------------------------------------------------------------------------------------------------------------------------


def test_polyglot_tells_each_service_in_its_own_words():
    """polyglot: grpc-timeout goes to the gRPC service as such and to the REST service as x-request-timeout; only listed fields travel."""
    def order(stream):
        stream.answer(200, "content-type: application/grpc", body=h2.message(b"ok"), trailers=("grpc-status: 0",))

    with Upstream(h2.serve(order)) as orders, Upstream(serve(echo)) as prices, example("polyglot", p9001=orders, p9002=prices) as g:
        c = h2.Client(g)
        s = c.rpc("/shop.Orders/Place", "grpc-timeout: 2S", "x-shop-tenant: acme", "x-shop-debug: 1", body=b"order").whole()
        expect((s.status, s.trailer("grpc-status")), (200, "0"))
        seen = orders.requests[0]
        number, unit = re.fullmatch(r"(\d+)([mun])", seen.get("grpc-timeout")).groups()
        expect_between(int(number) / {"m": 1, "u": 1e3, "n": 1e6}[unit], 1500, 1995, "ms that the gRPC service was told")
        expect((seen.get("x-shop-tenant"), seen.get("x-shop-debug")), ("acme", None))
        c.close()
        fields = dict(map(tuple, g.ask(get("/v1/prices/7", "Grpc-Timeout: 2S")).json()["fields"]))
        expect_between(int(re.fullmatch(r"(\d+)ms", fields["x-request-timeout"]).group(1)), 1500, 1995, "ms that the REST service was told")
        expect("grpc-timeout" in fields, False, "the other dialect stands there, too")


def test_polyglot_answers_each_caller_in_its_own_words():
    """polyglot: a deadline that passes is grpc-status 4 and RST_STREAM(CANCEL) in gRPC, 504 and a close in HTTP/1.1."""
    with Upstream(h2.serve(h2.silent)) as orders, Upstream(serve(silent)) as prices, example("polyglot", p9001=orders, p9002=prices) as g:
        c = h2.Client(g)
        s = c.rpc("/shop.Orders/Place", "grpc-timeout: 250m", body=b"order").whole()
        expect((s.status, s.trailer("grpc-status")), (200, "4"))
        expect(orders.requests[0].reset_code(), "CANCEL")
        c.close()
        expect(g.ask(get("/v1/prices/7", "X-Request-Timeout: 250ms")).status, 504)
        stopped(prices)
        expect([(l["ending"], l["cancel_level"]) for l in g.log(2)], [("deadline", "native"), ("deadline", "close")])


def test_polyglot_takes_browsers_to_grpc():
    """polyglot: a Connect call is translated, with its deadline; a tab that is closed cancels the gRPC call."""
    connect = ("Content-Type: application/proto", "Connect-Protocol-Version: 1")
    with Upstream(h2.serve(h2.silent)) as orders, example("polyglot", p9001=orders) as g:
        answer = g.ask(post("/shop.Orders/Place", b"order", *connect, "Connect-Timeout-Ms: 250"))
        expect((answer.status, answer.json()["code"]), (504, "deadline_exceeded"))
        expect((orders.requests[0].get("content-type"), orders.requests[0].reset_code()), ("application/grpc+proto", "CANCEL"))
        c = g.connect()
        c.send(post("/shop.Orders/Place", b"order", *connect))
        eventually(lambda: len(orders.requests) == 2, what="the second call at the upstream")
        c.close()
        expect(orders.requests[1].reset_code(), "CANCEL")
        expect([(l["rpc"], l["ending"], l["cancel_level"]) for l in g.log(2)], [("connect", "deadline", "native"), ("connect", "client_closed", "native")])


# ---- cancels --------------------------------------------------------------------------------------------------------------------------


def test_cancels_are_translated():
    """cancel-translation: a close in HTTP/1.1 is a reset of one stream in HTTP/2, a reset there a close here."""
    with Upstream(h2.serve(h2.silent)) as streams, Upstream(serve(silent)) as classic, example("cancel-translation", p9001=streams, p9002=classic) as g:
        c = g.connect()
        c.send(get("/streams/1"))
        eventually(lambda: len(streams.requests) == 1, what="the request at the upstream")
        c.close()
        expect(streams.requests[0].reset_code(), "CANCEL")
        c = h2.Client(g)
        s = c.get("/classic")
        classic.wait_requests(1)
        s.reset(h2.CANCEL)
        stopped(classic)
        c.round_trip()
        s = c.get("/streams/2")
        eventually(lambda: len(streams.requests) == 2, what="the second request at the upstream")
        s.reset(h2.CANCEL)
        expect(streams.requests[1].reset_code(), "CANCEL")
        expect(len(streams.wires), 1, "connections to the upstream of HTTP/2")
        c.close()
        expect([(l["ending"], l["cancel_level"]) for l in g.log(3)],
               [("client_closed", "native"), ("client_reset", "close"), ("client_reset", "native")])


def test_a_deaf_upstream_is_called():
    """cancel-translation: what never looks at its socket is told by a request of its own; what must not be broken off is read to its end."""
    def task(wire, message):
        if message.method == "DELETE":
            return wire.send(ok(b"", status="202 Accepted"))
        return silent(wire, message)

    answered = []

    def pays(wire, message):
        sleeps(0.3)(wire, message)
        answered.append(message)

    with Upstream(serve(task)) as tasks, Upstream(serve(pays)) as classic, example("cancel-translation", p9003=tasks, p9002=classic) as g:
        c = g.connect()
        c.send(get("/tasks/42/run"))
        tasks.wait_requests(1)
        c.close()
        told_by = tasks.wait_requests(2)[1]
        expect((told_by.method, told_by.target, told_by.get("x-reason")), ("DELETE", "/tasks/42", "client_closed"))
        c = g.connect()
        c.send(post("/orders/7", b"pay"))
        classic.wait_requests(1)
        c.close()
        expect([(l["ending"], l["cancel_level"]) for l in g.log(2)], [("client_closed", "side_channel"), ("client_closed", "drain")])
        eventually(lambda: answered, what="the answer that is drained")
        expect(g.ask(get("/other")).status, 200)
        expect(len(classic.wires), 1, "connections: the one whose answer was read to its end is used again")


# ---- language models ------------------------------------------------------------------------------------------------------------------


def tokens(n=1000, pause=0.02):
    """For `serve`: an event stream, a token at a time."""
    def handler(wire, message):
        del message
        wire.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
        for i in range(n):
            event = b"data: {\"token\": %d}\n\n" % i
            wire.send(b"%x\r\n%s\r\n" % (len(event), event))
            time.sleep(pause)
        wire.send(b"0\r\n\r\n")
    return handler


def test_generation_stops_when_the_client_leaves():
    """llm: a client that leaves in the middle of an event stream ends the generation behind it."""
    with Upstream(serve(tokens())) as up, example("llm", p9001=up, p9002=up) as g:
        c = g.connect()
        c.send(post("/v1/chat/completions", b'{"stream": true}', "Content-Type: application/json"))
        c.until(b'"token": 3')
        c.close()
        up.wait_end(0, 1.0)
        line = g.logged()
        expect((line["ending"], line["by"], line["cancel_level"], line["status"]), ("client_closed", "client", "close", 200))


def test_generation_stops_at_the_sdks_own_timeout():
    """llm: the timeout that OpenAI's SDK states by itself ends the stream upstream, too, whoever of the two is first."""
    with Upstream(serve(tokens())) as up, example("llm", p9001=up, p9002=up) as g:
        c = g.connect()
        begun = time.monotonic()
        c.send(post("/v1/chat/completions", b'{"stream": true}', "X-Stainless-Timeout: 1"))
        answer = c.answer("POST")
        expect_between(time.monotonic() - begun, 0.9, 1.5, "s until the stream was cut")
        expect_in(answer.cut, ("fin", "rst"))
        up.wait_end(0, 1.0)
        line = g.logged()
        expect((line["ending"], line["deadline_source"]), ("deadline", "x-stainless-timeout"))


def test_a_billed_answer_is_read_to_its_end():
    """llm: where usage stands in the last event, the rest is read and thrown away."""
    with Upstream(serve(tokens(n=25))) as up, example("llm", p9001=up, p9002=up) as g:
        c = g.connect()
        c.send(post("/v1/chat/completions", b'{"stream": true}', "X-Billing: by-usage"))
        c.until(b'"token": 3')
        c.close()
        line = g.logged()
        expect((line["ending"], line["cancel_level"]), ("client_closed", "drain"))
        expect(up.wires[0].ended, None, "the upstream's connection")


def test_what_is_watched_is_only_watched():
    """llm, observe first: the deadline passes and nothing happens, but that the log says what would have."""
    with Upstream(serve(sleeps(1.3))) as up, example("llm", p9001=up, p9002=up) as g:
        expect(g.ask(post("/v1/embeddings", b"{}", "X-Stainless-Timeout: 1")).status, 200)
        expect(up.requests[0].get("x-stainless-timeout"), "1")
        line = g.logged()
        expect((line["ending"], line["would_have"], line["mode"]), ("completed", "deadline", "observe"))


# ---- strangler ------------------------------------------------------------------------------------------------------------------------


def test_the_old_service_is_observed_and_the_new_one_enforced():
    """strangler: one deadline, two services: the old one answers late and is counted, the new one's caller gets 504 in time."""
    with Upstream(serve(sleeps(0.4))) as legacy, Upstream(serve(sleeps(0.4))) as modern, example("strangler", p9001=legacy, p9002=modern) as g:
        expect(g.ask(get("/anything", "X-Request-Timeout: 200ms")).status, 200)
        expect(legacy.requests[0].get("x-request-timeout"), "200ms")  # as the caller wrote it
        expect(g.ask(get("/orders/7", "X-Request-Timeout: 200ms")).status, 504)
        expect_between(told(modern.requests[0]), 100, 195)
        stopped(modern)
        lines = g.log(2)
        expect([(l["route"], l["ending"], l.get("would_have")) for l in lines], [("rest", "completed", "deadline"), ("orders", "deadline", None)])
        expect(g.metric('curfew_observed_endings_total{route="rest",ending="deadline"}'), 1.0)


def test_a_route_moves_by_weight():
    """strangler: of a route that is on its way, a fifth goes to the new service."""
    with Upstream(serve(sleeps(0))) as legacy, Upstream(serve(sleeps(0))) as modern, example("strangler", p9001=legacy, p9002=modern) as g:
        c = g.connect()
        for _ in range(300):
            c.send(get("/search"))
            expect(c.answer().status, 200)
        c.close()
        expect_between(len(modern.requests), 25, 110, "of 300 requests to the new service")
        expect(len(legacy.requests) + len(modern.requests), 300)


# ---- MCP ------------------------------------------------------------------------------------------------------------------------------


def test_a_disconnect_is_a_cancel_by_version():
    """mcp: a disconnect ends the work from version 2026-07-28 on, and not before; the header decides, in YAML alone."""
    for version, cancels in (("2026-07-28", True), ("2027-01-01", True), ("2025-11-25", False), ("2025-03-26", False), (None, False), ("draft", False)):
        finished = []

        def tool(wire, message, finished=finished):
            del message
            if wire.sock.fileno() >= 0 and not ended_within(wire, 0.4):
                wire.send(ok(b'{"result": {}}'))
                finished.append(True)
            return not wire.ended

        with Upstream(serve(tool)) as up, example("mcp", p9001=up) as g:
            c = g.connect()
            c.send(request("POST", "/mcp", "Content-Type: application/json", "Content-Length: 2", *([f"MCP-Protocol-Version: {version}"] if version else []),
                           body=b"{}"))
            up.wait_requests(1)
            c.close()
            line = g.logged()
            expect(line["ending"], "client_closed", version)
            expect(bool(up.wires[0].ended), cancels, f"{version}: the upstream's connection was closed")
            expect(bool(finished), not cancels, f"{version}: the work was finished")
            expect(line.get("cancel_level"), "close" if cancels else None, version)


def ended_within(wire, seconds):
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        try:
            if not wire.fill(0.02):
                return True
        except AssertionError:
            pass
    return False
