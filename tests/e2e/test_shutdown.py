# SPDX-License-Identifier: Apache-2.0
"""How it stops: what is under way is finished, idle connections close, a second signal cuts."""
import contextlib
import signal
import socket
import threading
import time

from harness import HOST, Gateway, Upstream, Wire, answering, eventually, expect, expect_between, expect_in, get, note, ok, serve, silent


def late(seconds):
    def handler(wire, message):
        time.sleep(seconds)
        wire.send(ok(message.target.encode()))
    return handler


class SlowToAccept:
    """A socket whose backlog is full: a connection to it comes about a second after somebody accepts."""

    def __init__(self):
        self.listener = socket.socket()
        self.listener.bind((HOST, 0))
        self.listener.listen(0)
        self.address = f"{HOST}:{self.listener.getsockname()[1]}"
        self.fillers = [socket.socket() for _ in range(2)]
        for filler in self.fillers:
            filler.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                filler.connect(self.listener.getsockname())

    def accept(self, script):
        def loop():
            with contextlib.suppress(OSError):
                while True:
                    wire = Wire(self.listener.accept()[0])
                    wire.upstream = self
                    threading.Thread(target=script, args=(wire,), daemon=True).start()
        threading.Thread(target=loop, daemon=True).start()

    def record(self, message):
        """For `serve`."""


def test_sigterm_idle():
    """SIGTERM with nothing under way: idle connections of both sides close, exit 0 at once."""
    with Upstream(answering(b"x")) as up, Gateway(up) as g:
        c = g.connect()
        c.send(get())
        expect(c.answer().status, 200)
        expect_between(g.stop(), 0, 3.0, "s until it ended")
        c.expect_end("fin")
        up.wait_end()


def test_sigterm_drains():
    """SIGTERM while a request is under way: it is answered, with Connection: close; no new connection is taken; then exit 0."""
    with Upstream(serve(late(0.5))) as up, Gateway(up) as g:
        c = g.connect()
        c.send(get("/under-way"))
        up.wait_requests(1)
        g.signal()
        time.sleep(0.2)  # the drain has begun, and the request is not over
        try:
            other = g.connect()
            other.send(get("/new"))
            other.expect_end(within=2)
        except (ConnectionRefusedError, ConnectionResetError, BrokenPipeError):
            pass
        answer = c.answer()
        expect((answer.status, answer.body, answer.get("connection")), (200, b"/under-way", "close"))
        c.expect_end(within=2)
        g.wait_exit(0)
        expect([(l["path"], l["ending"]) for l in g.log(1)], [("/under-way", "completed")])


def test_drain_time_over():
    """What is not done within shutdown.drain ends: 503 shutdown, the upstream is told, exit 0."""
    with Upstream(serve(silent)) as up, Gateway(up, more={"shutdown": {"drain": "400ms"}}) as g:
        c = g.connect()
        c.send(get())
        up.wait_requests(1)
        begun = time.monotonic()
        g.signal()
        answer = c.answer()
        expect(answer.status, 503)
        expect_between(time.monotonic() - begun, 0.35, 1.5, "s until the 503")
        up.wait_end()
        g.wait_exit(0)
        expect(g.logged()["ending"], "shutdown")


def test_second_sigterm():
    """A second SIGTERM does not wait: what is under way is cut, and it stops at once."""
    with Upstream(serve(silent)) as up, Gateway(up, more={"shutdown": {"drain": "30s"}}) as g:
        c = g.connect()
        c.send(get())
        up.wait_requests(1)
        g.signal()
        time.sleep(0.3)
        expect(g.process.poll(), None, "exit code after one SIGTERM")
        begun = time.monotonic()
        g.signal()
        c.to_end()
        g.wait_exit(g.process.wait(5))
        expect_between(time.monotonic() - begun, 0, 1.5, "s until it stopped")
        expect_in(g.exit_code, (0, 1))
        note(f"exit {g.exit_code}")
        up.wait_end()


def test_sigint_is_the_same():
    """Ctrl-C drains, too."""
    with Upstream(serve(late(0.3))) as up, Gateway(up) as g:
        c = g.connect()
        c.send(get("/x"))
        up.wait_requests(1)
        g.signal(signal.SIGINT)
        expect(c.answer().body, b"/x")
        g.wait_exit(0)


def test_sigterm_with_several_workers():
    """Four workers drain side by side."""
    with Upstream(serve(late(0.4))) as up, Gateway(up, workers=4) as g:
        clients = [g.connect() for _ in range(20)]
        for c in clients:
            c.send(get("/x"))
        up.wait_requests(20)
        g.signal()
        for c in clients:
            expect(c.answer().body, b"/x")
        g.wait_exit(0)
        expect(len(g.log(20)), 20)


def test_admin():
    """/healthz and /readyz say 200, /metrics speaks Prometheus; while it drains /readyz says 503."""
    with Upstream(serve(late(0.6))) as up, Gateway(up) as g:
        expect(g.admin("/healthz").status, 200)
        expect(g.admin("/readyz").status, 200)
        metrics = g.admin("/metrics")
        assert metrics.get("content-type").startswith("text/plain; version=0.0.4"), metrics.raw
        assert b"# TYPE curfew_exchanges gauge" in metrics.body, metrics.body[:300]
        expect(g.admin("/nothing").status, 404)
        c = g.connect()
        c.send(get("/x"))
        up.wait_requests(1)
        admin = g.connect("admin")
        g.signal()
        eventually(lambda: (admin.send(get("/readyz")), admin.answer().status)[1] == 503, what="the word that it drains")
        expect(c.answer().body, b"/x")
        g.wait_exit(0)


def test_sigterm_connecting():
    """A request whose connection to the upstream is under way at SIGTERM waits for it, and is answered on the first try."""
    up = SlowToAccept()
    with Gateway(up.address, upstream={"connect_timeout": "8s"}, policy={"retry": {"retries": 0}}) as g:
        c = g.connect()
        c.send(get("/late"))
        g.wait_metric("curfew_queued", 1)
        g.signal()
        time.sleep(0.2)  # in which a drain that does not wait would end it
        up.accept(answering(b"late"))
        expect((c.answer().status, g.wait_exit(0) > 0), (200, True))


def test_sigterm_fresh_connections():
    """A request that is in the socket of a connection which nobody has read from yet is answered, though SIGTERM came first."""
    with Upstream(answering(b"x")) as up, Gateway(up) as g:
        g.signal(signal.SIGSTOP)
        clients = [g.connect() for _ in range(20)]
        for c in clients:
            c.send(get())
        g.signal()
        g.signal(signal.SIGCONT)
        for c in clients:
            answer = c.answer()
            expect((answer.status, answer.get("connection")), (200, "close"))
        g.wait_exit(0)
