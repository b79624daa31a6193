# SPDX-License-Identifier: Apache-2.0
"""Several workers at once: what they share (counters, the log's file, signals, the configuration) under load; ThreadSanitizer watches these."""
import os
import random
import signal
import time

from harness import Gateway, Upstream, eventually, expect, expect_between, get, note, ok, post, serve, threads

POLICY = {"deadline": {"read": ["x-request-timeout"], "default": "5s", "min": "1ms", "reserve": "1ms"}}


def mixed(wire, message):
    """For `serve`: /slow takes 30 ms, everything else none."""
    if message.target.startswith("/slow"):
        time.sleep(0.03)
    wire.send(ok(message.target.encode() * 20))


def client(g, seed, seconds, counts):
    """Requests, deadlines met and missed, and leaving of both kinds, by chance."""
    chance = random.Random(seed)
    until = time.monotonic() + seconds
    wire = g.connect()
    while time.monotonic() < until:
        what = chance.choice(("get", "get", "post", "late", "close", "reset", "pipeline"))
        if what in ("close", "reset"):
            wire.send(get("/slow/left"))
            time.sleep(chance.random() * 0.04)
            (wire.close if what == "close" else wire.reset)()
            wire = g.connect()
            counts["left"] += 1
        elif what == "late":
            wire.send(get("/slow", f"X-Request-Timeout: {chance.choice((5, 28, 30, 32))}ms"))
            expect(wire.answer().status in (200, 504), True)
            counts["answered"] += 1
        elif what == "pipeline":
            wire.send(get("/1") + get("/2") + post("/3", b"x" * 5000))
            expect([wire.answer().body for _ in range(3)], [b"/1" * 20, b"/2" * 20, b"/3" * 20])
            counts["answered"] += 3
        else:
            wire.send(get("/quick") if what == "get" else post("/quick", os.urandom(20000)))
            expect(wire.answer().body, b"/quick" * 20)
            counts["answered"] += 1
    wire.close()


def test_all_at_once():
    """Four workers, six clients that ask, miss and leave for two seconds, while the metrics are read and the log is moved away."""
    counts = {"answered": 0, "left": 0}
    with Upstream(serve(mixed)) as up, Gateway(up, workers=4, policy=POLICY) as g:
        old = g.log_path + ".1"

        def operator():
            for i in range(8):
                time.sleep(0.2)
                assert b"curfew_exchanges" in g.admin("/metrics").body
                if i == 4:
                    os.rename(g.log_path, old)
                    g.signal(signal.SIGUSR1)

        threads(operator, *[lambda n=n: client(g, n, 2.0, counts) for n in range(6)])
        eventually(lambda: g.metric("curfew_exchanges") == 0, what="an end of all exchanges")
        eventually(lambda: os.path.exists(g.log_path), what="a log under the old name")
        note(f"{counts['answered']} answered, {counts['left']} left")

        def lines():
            with open(old, encoding="utf-8") as f:
                return f.read().count("\n") + len(g.lines())

        # Whoever left before its request was read has no line; nobody has two.
        eventually(lambda: lines() >= counts["answered"], what="the log's lines")
        time.sleep(0.2)
        expect_between(lines(), counts["answered"], counts["answered"] + counts["left"], "lines in both logs")


def test_workers_stop_under_load():
    """SIGTERM, and at once a second one, in the middle of that: no worker leaves anything, and it ends."""
    for signals in (1, 2):
        counts = {"answered": 0, "left": 0}
        with Upstream(serve(mixed)) as up, Gateway(up, workers=4, policy=POLICY) as g:
            def stopping():
                time.sleep(0.5)
                for _ in range(signals):
                    g.signal()
                    time.sleep(0.02)

            def one(n):
                try:
                    client(g, n, 1.5, counts)
                except Exception:  # whatever a client sees of it  pylint: disable=broad-except
                    pass

            threads(stopping, *[lambda n=n: one(n) for n in range(6)])
            g.wait_exit(g.process.wait(10))
            expect(g.exit_code in ((0,) if signals == 1 else (0, 1)), True, "exit code")
