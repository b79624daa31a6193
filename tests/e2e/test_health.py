# SPDX-License-Identifier: Apache-2.0
"""Active health checks: the real binary asks real servers how they are, and its requests go where they are well."""
import contextlib
import os
import socket
import tempfile
import time

import h2
from harness import HOST, Gateway, Upstream, Wire, eventually, expect, expect_between, expect_in, free_port, get, ok, serve
from test_tls import Authority, secured

FAST = {"interval": "250ms", "timeout": "250ms", "unhealthy_after": 3, "healthy_after": 2}
HTTP = {"health": {"type": "http", "path": "/healthz", **FAST}}
GRPC = {"protocol": "http2", "health": {"type": "grpc", **FAST}}
TCP = {"health": {"type": "tcp", **FAST}}
CHECK = "/grpc.health.v1.Health/Check"
SERVING, NOT_SERVING = b"\x08\x01", b"\x08\x02"


class Patient(Upstream):
    """A server of HTTP/1 that is well, or not."""

    def __init__(self, **more):
        super().__init__(serve(self.answer), **more)
        self.well = True
        self.checks = []

    def answer(self, wire, message):
        if message.target == "/healthz":
            self.checks.append((time.monotonic(), message))
            wire.send(ok(b"", status="200 OK" if self.well else "503 Service Unavailable"))
        else:
            wire.send(ok(str(self.port).encode()))


def health(g, upstream):
    """1 or 0, by the metrics."""
    return g.metric(f'curfew_endpoint_healthy{{upstream="be",endpoint="{upstream.address}"}}')


def until(g, upstream, value):
    eventually(lambda: health(g, upstream) == value, what=f"health {value}")


def begin(g, *upstreams):
    """Each was found well; before its first check it only has not been found ill."""
    eventually(lambda: g.metric("curfew_health_checks_total") >= len(upstreams), what="the first checks")
    for u in upstreams:
        until(g, u, 1)


def log_says(g, words):
    """The gateway's own log has these words, soon."""
    eventually(lambda: words in g.messages(), what=f"the log's word {words!r}")


def served_by(g, n=10):
    """Who answers n requests."""
    return {int(g.ask(get("/")).body) for _ in range(n)}


def test_requests_go_to_the_endpoint_that_is_well():
    """One of two says 503 to its checks: it is out, the log says why, requests go to the other; it is well again, and back."""
    with Patient() as a, Patient() as b, Gateway([a, b], upstream={**HTTP, "balance": "round_robin"}) as g:
        begin(g, a, b)
        expect(served_by(g), {a.port, b.port})
        a.well = False
        until(g, a, 0)
        expect(health(g, b), 1)
        expect(served_by(g), {b.port})
        log_says(g, f"be: {a.address} is unhealthy: status 503 (1 of 2 endpoints are healthy)")
        a.well = True
        until(g, a, 1)
        expect(served_by(g), {a.port, b.port})
        log_says(g, f"be: {a.address} is healthy again (2 of 2 endpoints are)")


def test_checks_are_asked_as_requests_are():
    """The Host is the endpoint's, the path as configured; they are in no access log, and count as no requests."""
    with Patient() as a, Gateway(a, upstream=HTTP) as g:
        eventually(lambda: len(a.checks) >= 5, what="checks")
        _, first = a.checks[0]
        expect((first.method, first.target, first.get("host")), ("GET", "/healthz", a.address))
        assert first.get("user-agent").startswith("curfew/"), first.get("user-agent")
        expect(g.lines(), [])
        expect(g.metric('curfew_requests_total{ending="completed"}'), 0.0)
        expect(g.metric("curfew_attempts_total"), 0.0)
        expect(g.metric("curfew_upstream_connects_total"), 0.0)
        assert g.metric("curfew_health_checks_total") >= 4


def test_all_are_out():
    """The only server is killed in the midst: 503 and connect_failure at once, while the gateway itself stays ready; it comes back on its port, and is asked."""
    port = free_port()
    with Gateway(f"{HOST}:{port}", upstream=HTTP) as g:
        log_says(g, "is unhealthy: connection refused")
        with Patient(port=port) as a:
            until(g, a, 1)
            expect(served_by(g), {port})
            a.stop_listening()
            for wire in list(a.wires):
                with contextlib.suppress(OSError):
                    wire.reset()
            until(g, a, 0)
        begun = time.monotonic()
        answer = g.ask(get("/"))
        assert time.monotonic() - begun < 0.5
        expect((answer.status, answer.json()["ending"]), (503, "connect_failure"))
        assert "no healthy endpoint" in answer.json()["detail"], answer.json()
        expect(g.log(11)[-1]["detail"], "the upstream has no healthy endpoint")
        expect(g.admin("/readyz").status, 200)
        with Patient(port=port) as a:
            until(g, a, 1)
            expect(served_by(g), {port})


def test_a_server_that_is_not_there_yet():
    """It starts after the gateway: its first good check brings it in, healthy_after or not."""
    port = free_port()
    slow = {"health": {**HTTP["health"], "healthy_after": 1000}}
    with Gateway(f"{HOST}:{port}", upstream=slow) as g:
        log_says(g, "is unhealthy: connection refused")
        expect(g.ask(get("/")).status, 503)
        with Patient(port=port) as a:
            until(g, a, 1)
            expect(served_by(g), {port})


def test_an_answer_that_does_not_come():
    """Checks that hang, and answers without an end, are failures; SIGTERM does not wait for one."""
    def hangs(wire, message):
        if message.target == "/healthz":
            with contextlib.suppress(OSError):
                wire.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
                while not wire.sock.send(b"1\r\na\r\n") == 0:
                    time.sleep(0.01)
            return False
        return wire.send(ok(b"here"))

    slow = {"health": {"type": "http", "path": "/healthz", "interval": "60s", "timeout": "60s"}}
    with Upstream(serve(hangs)) as a:
        with Gateway(a, upstream=HTTP) as g:
            until(g, a, 0)
            log_says(g, "no complete answer in time")
        with Gateway(a, upstream=slow) as g:
            seen = len(a.requests)
            expect(g.ask(get("/")).body, b"here")
            eventually(lambda: len(a.requests) > seen, what="the check that hangs")
            assert g.stop(within=5) < 3


def test_over_http2():
    """The upstream speaks HTTP/2: so do its checks."""
    well = [True]

    def answer(s):
        if s.target == "/healthz":
            expect((s.method, s.get(":authority")), ("GET", a.address))
            s.answer(204 if well[0] else 500)
        else:
            s.answer(200, body=b"here")

    with Upstream(h2.serve(answer)) as a, Gateway(a, upstream={"protocol": "http2", **HTTP}) as g:
        begin(g, a)
        expect(g.ask(get("/")).body, b"here")
        well[0] = False
        until(g, a, 0)
        expect(g.ask(get("/")).status, 503)
        well[0] = True
        until(g, a, 1)
        expect(g.ask(get("/")).body, b"here")


def grpc_server(says):
    """For h2.serve: answers checks with says[0], a message or a status; and everything else with trailers alone."""
    def answer(s):
        if s.target != CHECK:
            s.answer(200, "content-type: application/grpc", trailers=("grpc-status: 0",))
            return
        expect((s.method, s.get("content-type"), s.get("te"), s.body), ("POST", "application/grpc", "trailers", h2.message(b"")))
        assert s.get("grpc-timeout"), "a check without a deadline"
        if isinstance(says[0], int):
            s.answer(200, "content-type: application/grpc", f"grpc-status: {says[0]}")
        else:
            s.answer(200, "content-type: application/grpc", body=h2.message(says[0]), trailers=("grpc-status: 0",))
    return h2.serve(answer)


def call_status(g):
    """The grpc-status that a client of the gateway gets."""
    client = h2.Client(g)
    s = client.rpc(body=b"x").whole()
    status = s.trailer("grpc-status") if s.trailers else s.get("grpc-status")
    client.close()
    return status


def test_by_grpc():
    """SERVING is healthy, NOT_SERVING is not: then calls end as UNAVAILABLE."""
    says = [SERVING]
    with Upstream(grpc_server(says)) as a, Gateway(a, upstream=GRPC) as g:
        begin(g, a)
        expect(call_status(g), "0")
        says[0] = NOT_SERVING
        until(g, a, 0)
        expect(call_status(g), "14")
        log_says(g, "is unhealthy: NOT_SERVING")
        says[0] = SERVING
        until(g, a, 1)
        expect(call_status(g), "0")


def test_a_server_without_the_health_service():
    """UNIMPLEMENTED is a failure, as it is to Envoy, and the log says what is missing."""
    with Upstream(grpc_server([12])) as a, Gateway(a, upstream=GRPC) as g:
        until(g, a, 0)
        log_says(g, "is unhealthy: grpc-status 12 (UNIMPLEMENTED): it has no grpc.health.v1.Health")


def test_over_tls():
    """gRPC's check over TLS by ALPN; a tcp check makes the handshake, and fails where the certificate is not good."""
    with Authority() as ca:
        pair = ca.sign("a.test", f"IP:{HOST}")
        says = [SERVING]
        with Upstream(secured(ca.server(pair, "h2"), grpc_server(says))) as a:
            with Gateway(a, upstream={**GRPC, "protocol": "auto", "tls": {"ca": ca.ca}}) as g:
                begin(g, a)
                expect(call_status(g), "0")
                says[0] = NOT_SERVING
                until(g, a, 0)
            says[0] = SERVING
            with Gateway(a, upstream={**TCP, "protocol": "http2", "tls": {"ca": ca.ca}}) as g:
                eventually(lambda: g.metric("curfew_health_checks_total") >= 3, what="checks")
                until(g, a, 1)
            with Authority() as other, Gateway(a, upstream={**TCP, "protocol": "http2", "tls": {"ca": other.ca}}) as g:
                until(g, a, 0)
                log_says(g, "is unhealthy: the TLS handshake failed")
        with Upstream(secured(ca.server(pair, "http/1.1"), serve(lambda w, m: w.send(ok(b""))))) as a:
            with Gateway(a, upstream={**GRPC, "protocol": "auto", "tls": {"ca": ca.ca}}) as g:
                until(g, a, 0)
                log_says(g, "is unhealthy: the upstream speaks a protocol that cannot carry it")


def test_tcp():
    """A connection that is accepted is all; nothing is said on it."""
    with Upstream(serve(lambda w, m: w.send(ok(b"here")))) as a, Gateway(a, upstream=TCP) as g:
        eventually(lambda: g.metric("curfew_health_checks_total") >= 5, what="checks")
        until(g, a, 1)
        expect(a.requests, [])
        expect(g.ask(get("/")).body, b"here")
        a.stop_listening()
        until(g, a, 0)


def test_a_unix_socket():
    """An endpoint that is a unix socket is checked, by a Host that is one."""
    with tempfile.TemporaryDirectory(prefix="curfew-e2e-") as folder, socket.socket(socket.AF_UNIX) as listener:
        path = os.path.join(folder, "s")
        listener.bind(path)
        listener.listen(8)
        with Gateway("unix:" + path, upstream=HTTP) as g:
            line = f'curfew_endpoint_healthy{{upstream="be",endpoint="unix:{path}"}}'
            for status in ("200 OK", *3 * ("503 Service Unavailable",)):
                wire = Wire(listener.accept()[0])
                asked = wire.request()
                expect((asked.target, asked.get("host")), ("/healthz", "localhost"))
                wire.send(ok(b"", status=status))
                wire.expect_end()
            eventually(lambda: f"{line} 0\n" in g.admin("/metrics").body.decode(), what="health 0")


def test_one_worker_asks_for_all():
    """Four workers: the checks are not four times as many, and all workers know who is out."""
    with Patient() as a, Patient() as b, Gateway({"be": a, "two": b}, upstream=HTTP, workers=4,
                                                 routes=[{"match": {"path": "/b"}, "upstream": "two"}, {"match": {"path": "/*"}, "upstream": "be"}]) as g:
        eventually(lambda: len(a.checks) >= 2 and len(b.checks) >= 2, what="checks")
        begun, before = time.monotonic(), len(a.checks)
        time.sleep(2)
        per_second = (len(a.checks) - before) / (time.monotonic() - begun)
        expect_between(per_second, 2, 5.5, "checks a second, one every 250 ms")
        a.well = False
        until(g, a, 0)
        eventually(lambda: {g.ask(get("/")).status for _ in range(40)} == {503}, what="the verdict in all workers")
        expect({g.ask(get("/b")).status for _ in range(10)}, {200})
        a.well = True
        until(g, a, 1)
        eventually(lambda: {g.ask(get("/")).status for _ in range(40)} == {200}, what="the verdict in all workers")


def test_a_name_with_two_addresses():
    """Each address of a name is an endpoint of its own: the one where nobody listens is out in all workers, whenever each of them resolves it."""
    with Patient(host="127.0.0.1") as a, Gateway(f"a.localhost:{a.port}", upstream={**HTTP, "balance": "round_robin"}, workers=4,
                                                 policy={"retry": {"retries": 0}}) as g:
        line = 'curfew_endpoint_healthy{{upstream="be",endpoint="{}:{}"}} {}\n'.format
        eventually(lambda: line("[::1]", a.port, 0) in g.admin("/metrics").body.decode(), what="health 0 of [::1]")
        eventually(lambda: line("127.0.0.1", a.port, 1) in g.admin("/metrics").body.decode(), what="health 1 of 127.0.0.1")
        eventually(lambda: {g.ask(get("/")).status for _ in range(40)} == {200}, what="both verdicts in all workers")
        expect(a.checks[0][1].get("host"), f"a.localhost:{a.port}")


def test_a_hundred_endpoints():
    """Half of a hundred endpoints are not well: each is found out, and no request goes there; none is asked in step with all others."""
    with contextlib.ExitStack() as stack:
        all_of_them = [stack.enter_context(Patient(backlog=16)) for _ in range(100)]
        sick = set(all_of_them[::2])
        for a in sick:
            a.well = False
        well = {a.port for a in all_of_them} - {a.port for a in sick}
        patient = {"health": {**HTTP["health"], "interval": "500ms", "timeout": "500ms"}, "balance": "round_robin", "max_connections": 200}
        with Gateway(all_of_them, upstream=patient, workers=2) as g:
            values = lambda: [line.rsplit(" ", 1)[1] for line in g.admin("/metrics").body.decode().split("\n") if line.startswith("curfew_endpoint_healthy{")]
            eventually(lambda: sorted(values()) == ["0"] * 50 + ["1"] * 50, what="the verdict on all")
            eventually(lambda: served_by(g, 100) <= well, what="the verdict in both workers")
            eventually(lambda: all(len(a.checks) > 3 for a in all_of_them), what="checks")
            at = sorted(a.checks[3][0] for a in all_of_them)
            assert at[-1] - at[0] > 0.2, at[-1] - at[0]


def test_wells_and_ills_by_turns():
    """Endpoints go out and come back under requests: each is answered by one that was well a moment ago, and nothing is left of it."""
    with Patient() as a, Patient() as b, Gateway([a, b], upstream={**HTTP, "health": {**HTTP["health"], "interval": "20ms", "timeout": "20ms",
                                                                                     "unhealthy_after": 1, "healthy_after": 1}}, workers=2) as g:
        until(g, a, 1)
        wire = g.connect()
        for i in range(200):
            if i % 10 == 0:
                a.well, b.well = i // 10 % 3 != 1, i // 10 % 3 != 2
            wire.send(get("/"))
            expect_in(wire.answer().status, (200, 503))
            time.sleep(0.005)
        wire.close()
        a.well = b.well = True
        until(g, a, 1)
        until(g, b, 1)
        expect(g.ask(get("/")).status, 200)


def test_a_reload_leaves_health_alone():
    """Reloads, with four workers: an endpoint that is out stays out through them in every worker, and comes back when it is well, whatever the upstream's place in the
    file; an upstream that changes is found ill anew, and every worker hears of it."""
    with Patient() as a, Patient() as b, Gateway([a, b], upstream={**HTTP, "balance": "round_robin"}, workers=4) as g:
        begin(g, a, b)
        a.well = False
        until(g, a, 0)
        upstreams = g.keys["upstreams"]
        for i in range(4):
            g.reload(upstreams={**{f"other{k}": {"endpoints": [f"{HOST}:1"]} for k in range(i)}, **upstreams})
            expect(served_by(g, 20), {b.port})
        a.well = True
        until(g, a, 1)
        eventually(lambda: served_by(g, 40) == {a.port, b.port}, what="the other's return to all workers")
        a.well = False
        g.reload(upstreams={"be": {**upstreams["be"], "max_pending": 77}})
        until(g, a, 0)
        eventually(lambda: served_by(g, 40) == {b.port}, what="what all workers hear")
