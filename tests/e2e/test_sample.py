# SPDX-License-Identifier: Apache-2.0
"""The sample upstream, and the gateway in front of it: two of our programs that tell the same story from both sides."""
import contextlib
import json
import os
import signal
import subprocess
import time

import h2
from harness import CURFEW, HOST, SANITIZER, Gateway, Wire, chunked, eventually, expect, expect_between, expect_in, free_port, get, post, request
import socket
import tempfile


@contextlib.contextmanager
def sample():
    """Runs `curfew upstream`; yields its address. It must end well."""
    address = f"{HOST}:{free_port()}"
    with tempfile.TemporaryFile() as err:
        process = subprocess.Popen([CURFEW, "upstream", "-l", address], stdin=subprocess.DEVNULL, stdout=err, stderr=err)
        try:
            eventually(lambda: connects(address), 20, "the sample upstream")
            yield address
            process.send_signal(signal.SIGTERM)
            expect(process.wait(10), 0, "exit code of the sample upstream")
        finally:
            process.kill()
            process.wait()
            err.seek(0)
            text = err.read().decode()
            print("---- sample upstream\n" + text)
        assert not SANITIZER.search(text), text


def connects(address):
    try:
        reach(address).close()
        return True
    except OSError:
        return False


def reach(address):
    host, port = address.rsplit(":", 1)
    return Wire(socket.create_connection((host, int(port)), timeout=10))


def ask(address, data):
    wire = reach(address)
    wire.send(data)
    answer = wire.answer()
    wire.close()
    return answer


def seen(address, name):
    """What it remembers of a request, once that is over; None: it never came."""
    answer = ask(address, get(f"/seen/{name}"))
    return None if answer.status == 404 else answer.json()


def test_its_paths():
    """Each path does what the usage says."""
    with sample() as at:
        answer = ask(at, get("/any?x=1", "X-A: \"q\\"))
        expect((answer.status, answer.json()["target"], answer.json()["fields"]["x-a"]), (200, "/any?x=1", '"q\\'))
        begun = time.monotonic()
        expect(ask(at, get("/sleep/200ms")).status, 200)
        expect_between(time.monotonic() - begun, 0.2, 0.6, "s asleep")
        expect(ask(at, get("/status/418")).status, 418)
        answer = ask(at, get("/stream/3/1000/20ms"))
        expect((len(answer.body), answer.trailers), (3000, [("x-sample-trailer", "whole")]))
        expect(ask(at, post("/echo", b"hello")).body, b"hello")
        expect(ask(at, request("POST", "/echo", "Transfer-Encoding: chunked", body=chunked(b"ab", b"c"))).body, b"abc")
        expect(len(ask(at, get("/bytes/100000")).body), 100000)
        expect(ask(at, get("/fail/truncate")).cut is not None, True)
        assert b"/stream/" in ask(at, get("/help")).body
        wire = reach(at)
        wire.send(get("/fail/close"))
        wire.expect_end()
        wire = reach(at)
        wire.send(get("/ws", "Connection: Upgrade", "Upgrade: websocket") + b"ping")
        expect(wire.answer().status, 101)
        expect(wire.exactly(4), b"ping")
        wire.close()


def test_it_remembers_how_a_cancel_came():
    """A request with x-sample-id is remembered: what it was told of its deadline, and how and when it ended."""
    with sample() as at, Gateway(at, policy={"deadline": {"read": ["x-request-timeout"], "write": {"http": ["x-request-timeout"]}}}) as g:
        expect(g.ask(get("/sleep/10ms", "X-Request-Timeout: 2s", "X-Sample-Id: met")).status, 200)
        met = seen(at, "met")
        expect((met["answered"], met["how"], met["times"]), (True, "answered", 1))
        expect_between(int(met["told"]["x-request-timeout"][:-2]), 1500, 1995)
        expect(g.ask(get("/hang", "X-Request-Timeout: 200ms", "X-Sample-Id: missed")).status, 504)
        missed = eventually(lambda: (m := seen(at, "missed")) and m["how"] != "open" and m, what="the end of the missed one")
        expect(missed["answered"], False)
        expect_between(missed["after_ms"], 180, 300)
        expect(seen(at, "never"), None)
        expect(g.ask(get("/hang", "X-Request-Timeout: 8ms", "X-Sample-Id: shed")).status, 504)
        expect(seen(at, "shed"), None)


def test_it_makes_a_connection_stale():
    """/fail/next: the next request on that connection finds it stale, and is sent again on another; the client sees nothing of it."""
    with sample() as at, Gateway(at) as g:
        expect(g.ask(get("/fail/next")).status, 200)
        expect(g.ask(get("/", "X-Sample-Id: twice")).status, 200)
        expect(seen(at, "twice")["times"], 2)
        expect(g.metric("curfew_stale_retries_total"), 1.0)


def test_a_task_is_ended_by_its_name():
    """DELETE /tasks/NAME ends the request of that name, before its head with 503 and amid its answer by a cut; it is remembered as cancelled. A task
    that is over, or never was, is 404, and GET is no way to end one."""
    with sample() as at:
        hangs, streams = reach(at), reach(at)
        hangs.send(get("/hang", "X-Sample-Id: a"))
        streams.send(get("/stream/50/10/100ms", "X-Sample-Id: b"))
        expect(streams.head().status, 200)
        eventually(lambda: seen(at, "a"), what="the request")
        expect(ask(at, get("/tasks/a")).status, 200)
        expect(seen(at, "a")["how"], "open")
        expect([ask(at, request("DELETE", f"/tasks/{name}")).status for name in ("a", "b", "a", "nobody")], [202, 202, 404, 404])
        expect(hangs.answer().status, 503)
        expect(hangs.ended, None)
        streams.to_end()
        expect([seen(at, name)["how"] for name in ("a", "b")], ["cancelled", "cancelled"])


def test_it_fails_once():
    """/fail/once: closes after that time, and answers when the same name comes again; without a name it always closes."""
    with sample() as at:
        for fields, second in ((["X-Sample-Id: once"], 200), ([], None)):
            wire = reach(at)
            begun = time.monotonic()
            wire.send(get("/fail/once/100ms", *fields))
            wire.expect_end()
            expect_between(time.monotonic() - begun, 0.1, 1.0, "s until it closes")
            wire = reach(at)
            wire.send(get("/fail/once/100ms", *fields))
            if second:
                expect(wire.answer().status, second)
            else:
                wire.expect_end()


def test_it_is_busy_or_slow_once():
    """/busy/once and /slow/once: 503 with Retry-After, or an answer after that time; another one when the same name comes again; each is remembered."""
    with sample() as at:
        answers = [ask(at, get("/busy/once/7", "X-Sample-Id: b")) for _ in range(2)]
        expect([(a.status, a.get("retry-after")) for a in answers], [(503, "7"), (200, None)])
        begun = time.monotonic()
        expect([ask(at, get("/slow/once/200ms", "X-Sample-Id: s")).status for _ in range(2)], [200, 200])
        expect_between(time.monotonic() - begun, 0.2, 0.39, "s of both")
        expect([seen(at, name)["times"] for name in ("s", "s/1", "s/2")], [2, 1, 2])
        expect(seen(at, "s/3"), None)


def test_it_answers_grpc():
    """A call of gRPC gets a message and the status OK in trailers; it is JSON of what came."""
    with sample() as at, Gateway(at, upstream={"protocol": "http2"}) as g:
        s = h2.Client(g).rpc("/a.B/C", body=b"hello").whole()
        expect((s.status, s.get("content-type"), s.trailer("grpc-status")), (200, "application/grpc", "0"))
        expect(s.body[:1] + s.body[5:6], b"\0{")
        expect(int.from_bytes(s.body[1:5], "big"), len(s.body) - 5)
        expect(json.loads(s.body[5:])["target"], "/a.B/C")


def test_failures_behind_the_gateway():
    """Its failures become the gateway's endings."""
    with sample() as at, Gateway(at) as g:
        expect(g.ask(get("/fail/close")).status, 502)
        expect_in(g.ask(get("/fail/truncate")).cut, ("fin", "rst"))
        expect([l["ending"] for l in g.log(2)], ["upstream_closed"] * 2)


def test_address_in_use():
    """On an address that is taken it says so and exits 1."""
    with socket.socket() as s:
        s.bind((HOST, 0))
        s.listen(1)
        done = subprocess.run([CURFEW, "upstream", "-l", f"{HOST}:{s.getsockname()[1]}"], capture_output=True, text=True, timeout=20, check=False)
        expect(done.returncode, 1)
        assert "in use" in done.stderr.lower(), done.stderr


def test_healthcheck():
    """healthcheck exits 0 where /readyz says 200, and 1 where nobody answers."""
    with Gateway() as g:
        code = subprocess.run([CURFEW, "healthcheck", "-l", g.addresses["admin"]], timeout=20, check=False, env=os.environ).returncode
        expect(code, 0)
        code = subprocess.run([CURFEW, "healthcheck", "-l", f"{HOST}:{free_port()}"], timeout=20, check=False, capture_output=True).returncode
        expect(code, 1)


def test_large_bodies():
    """A body of many chunks is whole, again and again: the last of it is still to be written when its request is over, and was once freed by then."""
    with sample() as address:
        for _ in range(3):
            expect(len(ask(address, get("/bytes/12000000")).body), 12000000, "bytes")
