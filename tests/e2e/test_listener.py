# SPDX-License-Identifier: Apache-2.0
"""Listeners: their addresses and their time limits."""
import contextlib
import os
import re
import resource
import socket
import tempfile
import time

from harness import Gateway, Skip, Upstream, answering, echo, eventually, expect, expect_between, expect_in, free_port, get, note, request, serve


def processor_seconds(g):
    with open(f"/proc/{g.process.pid}/stat", encoding="ascii") as f:
        fields = f.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def test_slow_header():
    """A head that is not complete within timeouts.header: 408, client_timeout, however steadily it drips."""
    with Upstream(serve(echo)) as up, Gateway(up, listener={"timeouts": {"header": "300ms"}}) as g:
        c = g.connect()
        begun = time.monotonic()
        c.send(b"GET / HTTP/1.1\r\nHost: a\r\n")
        for i in range(4):
            time.sleep(0.06)
            c.send(f"X-{i}: 1\r\n".encode())
        expect(c.answer().status, 408)
        expect_between((time.monotonic() - begun) * 1000, 280, 600, "ms until the 408")
        c.expect_end(within=3)
        expect(g.logged()["ending"], "client_timeout")
        expect(len(up.requests), 0, "requests at the upstream")


def test_slow_body():
    """A body that stalls for timeouts.body: 408, client_timeout; the upstream's connection is dropped."""
    def handler(wire):
        wire.head()
        wire.to_end()

    with Upstream(handler) as up, Gateway(up, listener={"timeouts": {"body": "300ms"}}) as g:
        c = g.connect()
        c.send(request("POST", "/", "Content-Length: 100") + b"some")
        begun = time.monotonic()
        expect(c.answer().status, 408)
        expect_between((time.monotonic() - begun) * 1000, 250, 700, "ms until the 408")
        up.wait_end(0, 2)
        expect(g.logged()["ending"], "client_timeout")


def test_idle_closes_silently():
    """An idle connection is closed after timeouts.idle without a byte, before its first request and between two; no line in the log."""
    with Upstream(serve(echo)) as up, Gateway(up, listener={"timeouts": {"idle": "250ms"}}) as g:
        fresh, used = g.connect(), g.connect()
        used.send(get())
        expect(used.answer().status, 200)
        begun = time.monotonic()
        for c in (fresh, used):
            c.expect_end("fin", within=3)
        expect_between((time.monotonic() - begun) * 1000, 150, 700, "ms until both were closed")
        time.sleep(0.1)
        expect(len(g.log(1)), 1, "lines in the log")


def test_client_that_takes_nothing():
    """A client that takes no byte for timeouts.write is reset: client_stalled."""
    def flooding(wire, message):
        del message
        wire.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100000000\r\n\r\n")
        for _ in range(1600):
            wire.send(b"x" * 65536)

    with Upstream(serve(flooding)) as up, Gateway(up, listener={"timeouts": {"write": "400ms"}}) as g:
        c = g.connect()
        c.send(get())
        begun = time.monotonic()
        line = g.logged()
        note(f"after {(time.monotonic() - begun) * 1000:.0f} ms")
        expect(line["ending"], "client_stalled")
        c.to_end()
        expect(c.ended, "rst")


def test_client_that_drips_its_body():
    """timeouts.min_rate: a body that drips is a timeout, though no gap is as long as timeouts.body; one at ten times the rate is not."""
    with Upstream(serve(echo)) as up, Gateway(up, listener={"timeouts": {"body": "600ms", "min_rate": "1000/s"}}) as g:
        slow, well = g.connect(), g.connect()
        for c in (slow, well):
            c.send(b"POST / HTTP/1.1\r\nHost: a\r\nUser-Agent: t\r\nContent-Length: 20000\r\n\r\n")
        for _ in range(20):
            time.sleep(0.1)
            well.send(b"x" * 1000)
            with contextlib.suppress(OSError):
                slow.send(b"x")
        expect(well.answer().status, 200)
        expect(slow.answer().status, 408)
        expect(sorted(l["ending"] for l in g.log(2)), ["client_timeout", "completed"])


def test_max_connections():
    """Beyond max_connections a client is closed at once; when one leaves there is room again."""
    with Upstream(serve(echo)) as up, Gateway(up, listener={"max_connections": 2}) as g:
        expect(g.ask(get()).status, 200)  # so the harness's own knock, which came before, was accepted, and can be seen to be gone
        g.wait_metric("curfew_connections", 0)
        a, b = g.connect(), g.connect()
        for c in (a, b):
            c.send(get())
            expect(c.answer().status, 200)
        c = g.connect()
        c.expect_end(within=2)
        a.close()
        g.wait_metric("curfew_connections", 1)
        expect(g.ask(get()).status, 200)


def test_unix_socket():
    """unix:PATH listens there, and the file is gone when the gateway is."""
    with tempfile.TemporaryDirectory(prefix="curfew-e2e-") as folder:
        path = os.path.join(folder, "s")
        with Upstream(serve(echo)) as up, Gateway(up, listeners={"local": {"address": f"unix:{path}"}}) as g:
            c = g.connect("local")
            for i in range(2):
                c.send(get(f"/{i}"))
                expect(c.answer().json()["target"], f"/{i}")
            c.close()
            expect(g.log(1)[0]["listener"], "local")
        expect(os.path.exists(path), False, "the socket's file after the end")


def test_unix_socket_left_by_a_crash():
    """A socket file that nobody listens on is replaced; a file that is no socket is not touched, and an error."""
    with tempfile.TemporaryDirectory(prefix="curfew-e2e-") as folder:
        path = os.path.join(folder, "s")
        with socket.socket(socket.AF_UNIX) as s:
            s.bind(path)
        with Upstream(serve(echo)) as up, Gateway(up, listeners={"local": {"address": f"unix:{path}"}}) as g:
            c = g.connect("local")
            c.send(get())
            expect(c.answer().status, 200)
            c.close()


def test_unix_upstream():
    """An upstream on a unix socket is asked like any other."""
    with tempfile.TemporaryDirectory(prefix="curfew-e2e-") as folder:
        path = os.path.join(folder, "up")
        with Upstream(answering(b"local")) as up:
            local = socket.socket(socket.AF_UNIX)
            local.bind(path)
            local.listen(8)
            up.listener.close()
            up.listener = local
            # The thread that accepts was started on the closed one: a second one for this.
            import threading
            threading.Thread(target=up._accept, daemon=True).start()
            with Gateway(f"unix:{path}") as g:
                expect(g.ask(get()).body, b"local")


def test_ipv6():
    """[::1] listens and is asked."""
    try:
        port = free_port("::1")
    except OSError as e:
        raise Skip(f"no IPv6: {e}") from None
    with Upstream(serve(echo), host="::1") as up, Gateway(up, listeners={"six": {"address": f"[::1]:{port}"}}) as g:
        c = g.connect("six")
        c.send(get("/six"))
        expect(c.answer().json()["target"], "/six")
        c.close()
        line = g.log(1)[0]
        assert "::1" in line["client"], line


def test_name_of_an_endpoint():
    """An endpoint by name is resolved: localhost."""
    with Upstream(answering(b"by name"), host="127.0.0.1") as up, Gateway(f"localhost:{up.port}") as g:
        expect(g.ask(get()).body, b"by name")


def test_name_that_does_not_resolve():
    """A name that nobody knows: the gateway starts, and answers 503 connect_failure."""
    policy = {"deadline": {"default": "8s"}, "retry": {"retries": 0}}
    with Gateway("no-such-host.invalid:80", policy=policy) as g:
        answer = g.ask(get())
        expect_in(answer.status, (503, 504))
        expect_in(g.logged()["ending"], ("connect_failure", "connect_timeout"))


def test_address_in_use():
    """A second gateway on an address that another program holds says so and exits 1."""
    from harness import HOST, curfew
    with socket.socket() as s:
        s.bind((HOST, 0))
        s.listen(1)
        text = f"version: 1\nlisteners: {{ a: {{ address: '{HOST}:{s.getsockname()[1]}' }} }}\nroutes: []\n"
        code, _, err = curfew("run", "-c", "@", text=text)
        expect(code, 1)
        assert "in use" in err.lower(), err


def test_idle_clients_leave_descriptors_to_upstreams():
    """Clients get what the limit of descriptors leaves beside upstreams, whatever max_connections is; the first of 200 that idle still gets its answer."""
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, 256))
    with Upstream(serve(echo)) as up, Gateway(up, listener={"max_connections": "none"}) as g:
        said = re.search(r"256 descriptors: room for (\d+) clients and 64 connections to upstreams", g.messages())
        room = int(said.group(1))
        expect_between(room, 100, 180)
        clients = [g.connect() for _ in range(room + 20)]
        eventually(lambda: g.descriptors() >= room, what="the clients")
        for c in clients[:3]:
            c.send(get("/x"))
            expect(c.answer().status, 200)
        clients[-1].expect_end(within=2)
        for c in clients:
            c.close()
        eventually(lambda: g.ask(get()).status == 200, what="room again")
        assert g.metric("curfew_connections_refused_total") >= 20


def test_checks_of_health_have_descriptors():
    """Each endpoint that is checked has one descriptor more, beside its upstream's max_connections."""
    resource.setrlimit(resource.RLIMIT_NOFILE, (512, 512))
    with Upstream(answering()) as up, Gateway([up, up], upstream={"max_connections": 10, "health": {"type": "tcp"}}) as g:
        expect_in("and 12 connections to upstreams", g.messages())


def test_out_of_descriptors():
    """With no descriptor left, accepting rests: no processor time and hardly a line of the log; who waited is served once there are some again."""
    with Upstream(answering(b"x")) as up, Gateway(up) as g:
        resource.prlimit(g.process.pid, resource.RLIMIT_NOFILE, (64, 64))
        clients = [g.connect() for _ in range(100)]
        eventually(lambda: "cannot accept" in g.messages(), what="the complaint")
        busy = processor_seconds(g)
        time.sleep(1.0)
        expect_between(processor_seconds(g) - busy, 0, 0.2, "s of processor time in a second")
        expect_between(g.messages().count("cannot accept"), 1, 4, "complaints")
        for c in clients[:90]:
            c.close()
        clients[99].send(get())
        expect(clients[99].answer().status, 200)
