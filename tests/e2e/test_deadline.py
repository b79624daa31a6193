# SPDX-License-Identifier: Apache-2.0
"""What a client says of its deadline, what the upstream is told of it, and what happens when it passes (semantics, sections 2 to 4)."""
import re
import threading
import time

from harness import (Gateway, Upstream, answering, chunked, echo, expect, expect_between, expect_in, get, note, ok, post, request, serve,
                     silent)

EVERYTHING = {
    "read": ["grpc-timeout", "connect-timeout-ms", "x-request-timeout", "x-timeout-ms", "x-context-deadline", "x-envoy-expected-rq-timeout-ms",
             "l5d-request-timeout", "expect-within", "x-server-timeout", "x-stainless-timeout", "request-timeout", "context-ttl-ms",
             "x-request-deadline"],
    "write": {"http": ["x-request-timeout"]},
    "default": "20s",
    "max": "60s",
}


def told(answer, name="x-request-timeout"):
    """What the echoing upstream was told, in ms; None: nothing."""
    values = [v for n, v in answer.json()["fields"] if n == name]
    assert len(values) <= 1, f"{name} stands {len(values)} times: {values}"
    if not values:
        return None
    number = re.fullmatch(r"(\d+)ms", values[0])
    assert number, f"{name}: {values[0]!r}"
    return int(number.group(1))


def problem(answer, status, ending):
    """The answer is the JSON problem of that ending."""
    expect(answer.status, status)
    expect(answer.get("content-type"), "application/problem+json")
    body = answer.json()
    expect(body["status"], status)
    assert ending in (body.get("ending"), body.get("type"), body.get("title")) or ending in str(body), body
    return body


def test_the_upstream_is_told_what_is_left():
    """The upstream is told less than the client said: what is left, less reserve, rounded down."""
    with Upstream(serve(echo)) as up, Gateway(up, policy={"deadline": {**EVERYTHING, "reserve": "5ms"}}) as g:
        answer = g.ask(get("/", "X-Request-Timeout: 1500ms"))
        expect_between(told(answer), 1200, 1495)
        line = g.logged()
        expect((line["deadline_source"], line["deadline_in_ms"]), ("x-request-timeout", 1500))
        expect_between(line["deadline_out_ms"], 1200, 1495)
        expect_between(line["left_ms"], 1, 1500)
        expect(line["ending"], "completed")


def test_every_header_dialect_is_read():
    """Each dialect's own unit and grammar, turned into the one that the policy writes; the one that came is gone."""
    dialects = {
        "grpc-timeout: 900m": 900, "grpc-timeout: 2S": 2000, "connect-timeout-ms: 700": 700, "x-timeout-ms: 800": 800,
        "x-request-timeout: 1.5": 1500, "x-request-timeout: 2": 2000, "x-request-timeout: 750ms": 750, "x-request-timeout: 1s": 1000,
        "x-envoy-expected-rq-timeout-ms: 600": 600, "l5d-request-timeout: 500ms": 500, "expect-within: 0.85": 850, "x-server-timeout: 3": 3000,
        "x-stainless-timeout: 4": 4000, "request-timeout: 650ms": 650, "context-ttl-ms: 450": 450,
    }
    wrong = []
    with Upstream(serve(echo)) as up, Gateway(up, policy={"deadline": EVERYTHING}) as g:
        for field, ms in dialects.items():
            answer = g.ask(get("/", field))
            name = field.split(":")[0]
            if answer.status != 200:
                wrong.append(f"{field}: {answer.status}")
                continue
            out = told(answer)
            if out is None or not ms - 300 <= out < ms:
                wrong.append(f"{field}: the upstream was told {out}")
            if name != "x-request-timeout" and name in [n for n, _ in answer.json()["fields"]]:
                wrong.append(f"{field}: it passed as well")
    assert not wrong, "\n".join(wrong)


def test_the_earliest_of_two_wins():
    """Two dialects at once: the earlier one counts, whichever stands first."""
    with Upstream(serve(echo)) as up, Gateway(up, policy={"deadline": EVERYTHING}) as g:
        for fields in (("X-Timeout-Ms: 5000", "Grpc-Timeout: 1S"), ("Grpc-Timeout: 1S", "X-Timeout-Ms: 5000")):
            expect_between(told(g.ask(get("/", *fields))), 700, 999)
        expect([l["deadline_source"] for l in g.log(2)], ["grpc-timeout"] * 2)


def test_absolute_deadline():
    """x-context-deadline, epoch nanoseconds: turned to what is left once, at the door."""
    with Upstream(serve(echo)) as up, Gateway(up, policy={"deadline": EVERYTHING}) as g:
        answer = g.ask(get("/", f"X-Context-Deadline: {time.time_ns() + 2_000_000_000}"))
        expect_between(told(answer), 1500, 1999)
        expect(g.ask(get("/", f"X-Context-Deadline: {time.time_ns() - 60_000_000_000}")).status, 504)
        expect(len(up.requests), 1, "requests at the upstream")


def test_clocks_that_differ():
    """T27: with x-context-sent beside it, the difference of the two counts, not the distance between two clocks."""
    with Upstream(serve(echo)) as up, Gateway(up, policy={"deadline": EVERYTHING}) as g:
        sent = time.time_ns() - 3600 * 1_000_000_000  # an hour behind us
        answer = g.ask(get("/", f"X-Context-Sent: {sent}", f"X-Context-Deadline: {sent + 1_000_000_000}"))
        expect(answer.status, 200)
        expect_between(told(answer), 600, 999)


def test_absolute_deadline_is_written_too():
    """A policy that writes both forms tells the upstream both, and they agree."""
    policy = {"deadline": {**EVERYTHING, "write": {"http": ["x-request-timeout", "x-context-deadline"]}}}
    with Upstream(serve(echo)) as up, Gateway(up, policy=policy) as g:
        before = time.time_ns()
        answer = g.ask(get("/", "X-Request-Timeout: 2s"))
        at = int(dict(map(tuple, answer.json()["fields"]))["x-context-deadline"])
        expect_between((at - before) / 1e6, 1500, 2500, "ms until the absolute deadline")


def test_no_deadline_gets_the_default():
    """Where the client says nothing, the default counts and is told."""
    with Upstream(serve(echo)) as up, Gateway(up, policy={"deadline": {**EVERYTHING, "default": "3s"}}) as g:
        expect_between(told(g.ask(get())), 2500, 2999)
        expect(g.logged()["deadline_source"], "default")


def test_max_clamps():
    """What a client may ask is clamped to max."""
    with Upstream(serve(echo)) as up, Gateway(up, policy={"deadline": {**EVERYTHING, "max": "2s"}}) as g:
        expect_between(told(g.ask(get("/", "X-Request-Timeout: 3600s"))), 1500, 1999)
        expect_between(told(g.ask(get("/", "Grpc-Timeout: 99999999H"))), 1500, 1999)


def test_a_missed_deadline_is_504_on_time():
    """The upstream is silent: at the deadline, not before and hardly after, the client gets 504 with the JSON problem, the upstream a close."""
    with Upstream(serve(silent)) as up, Gateway(up, policy={"deadline": EVERYTHING}) as g:
        c = g.connect()
        begun = time.monotonic()
        c.send(get("/", "X-Request-Timeout: 300ms"))
        answer = c.answer()
        took = (time.monotonic() - begun) * 1000
        problem(answer, 504, "deadline")
        expect_between(took, 300, 400, "ms until the 504")
        how, at = up.wait_end()
        expect_between((at - begun) * 1000, 300, 450, "ms until the upstream's connection ended")
        line = g.logged()
        expect((line["ending"], line["by"], line["status"]), ("deadline", "gateway", 504))
        expect(line["cancel_level"], "close")
        expect_between(line["lateness_ms"], 0, 50)
        expect_between(line["left_ms"], -50, 0.001)
        note(f"504 after {took:.2f} ms of 300, lateness {line['lateness_ms']} ms, upstream saw {how}")
        c.send(get("/again", "X-Request-Timeout: 100ms"))  # T21: on another connection, whatever comes of the first
        expect(c.answer().status, 504)
        expect(len(up.wires), 2, "upstream connections")


def test_a_deadline_in_the_middle_of_an_answer_cuts_it():
    """T22: a chunked answer that the deadline cuts is closed without its last chunk."""
    def handler(wire, message):
        del message
        wire.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n")
        wire.expect_end(within=30)
        return False

    with Upstream(serve(handler)) as up, Gateway(up, policy={"deadline": EVERYTHING}) as g:
        c = g.connect()
        c.send(get("/", "X-Request-Timeout: 300ms"))
        answer = c.answer()
        expect(answer.status, 200)
        expect(answer.body, b"first")
        expect_in(answer.cut, ("fin", "rst"), "how it was cut")
        expect(g.logged()["ending"], "deadline")
        up.wait_end()


def test_a_close_delimited_answer_is_cut_by_reset():
    """T22: to an HTTP/1.0 client only a reset shows that a close-delimited body is not whole."""
    def handler(wire, message):
        del message
        wire.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n")
        wire.expect_end(within=30)
        return False

    with Upstream(serve(handler)) as up, Gateway(up, policy={"deadline": EVERYTHING}) as g:
        c = g.connect()
        c.send(get("/", "X-Request-Timeout: 300ms", version="HTTP/1.0"))
        answer = c.answer()
        expect((answer.status, answer.cut), (200, "rst"))
        expect(g.logged()["ending"], "deadline")


def test_the_default_runs_to_the_head_only():
    """T36: a default deadline does not end a body that keeps moving."""
    def handler(wire, message):
        del message
        wire.send(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n")
        for _ in range(5):
            time.sleep(0.1)
            wire.send(b"x")

    with Upstream(serve(handler)) as up, Gateway(up, policy={"deadline": {"default": "250ms"}}) as g:
        expect(g.ask(get()).body, b"xxxxx")


def test_the_default_ends_a_wait_for_the_head():
    """The default deadline is enforced like any other until the head comes."""
    with Upstream(serve(silent)) as up, Gateway(up, policy={"deadline": {"default": "200ms"}}) as g:
        problem(g.ask(get()), 504, "deadline")
        expect(g.logged()["deadline_source"], "default")


def test_the_default_waits_for_a_slow_upload():
    """T32: the default does not run while the request's body still arrives."""
    with Upstream(serve(echo)) as up, Gateway(up, policy={"deadline": {"default": "250ms"}}) as g:
        c = g.connect()
        c.send(request("POST", "/", "Content-Length: 5"))
        for _ in range(5):
            time.sleep(0.1)
            c.send(b"x")
        expect(c.answer().json()["body"], "xxxxx")


def test_an_interim_answer_stops_no_timer():
    """T19: a 100 from the upstream is no answer yet; the deadline still ends the request."""
    def handler(wire):
        wire.head()
        wire.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        wire.exactly(5)
        wire.expect_end(within=30)

    with Upstream(handler) as up, Gateway(up, policy={"deadline": {**EVERYTHING, "default": "300ms"}}) as g:
        c = g.connect()
        c.send(request("PUT", "/", "Expect: 100-continue", "Content-Length: 5"))
        expect(c.head().status, 100)
        c.send(b"hello")
        problem(c.answer(), 504, "deadline")


def test_idle_ends_a_stalled_body():
    """A body that stalls in its middle for `idle` ends with upstream_idle; a client that set a longer deadline sees the cut."""
    def handler(wire, message):
        del message
        wire.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nsome")
        wire.expect_end(within=30)
        return False

    with Upstream(serve(handler)) as up, Gateway(up, policy={"deadline": {"idle": "200ms", "default": "10s"}}) as g:
        begun = time.monotonic()
        answer = g.ask(get())
        expect((answer.status, answer.body[:4]), (200, b""), "a cut body")
        expect_in(answer.cut, ("fin", "rst"))
        expect_between(time.monotonic() - begun, 0.2, 1.0)
        expect(g.logged()["ending"], "upstream_idle")


def test_too_little_left_never_reaches_the_upstream():
    """Less than min + reserve left: 504 at once, shed_expired, and no upstream sees it."""
    with Upstream(serve(echo)) as up, Gateway(up, policy={"deadline": {**EVERYTHING, "min": "50ms", "reserve": "10ms"}}) as g:
        begun = time.monotonic()
        problem(g.ask(get("/", "X-Request-Timeout: 40ms")), 504, "shed_expired")
        expect_between((time.monotonic() - begun) * 1000, 0, 39, "ms until it was told")
        problem(g.ask(get("/", "Grpc-Timeout: 1n")), 504, "shed_expired")
        problem(g.ask(get("/", "Grpc-Timeout: 0m")), 504, "shed_expired")
        expect([l["ending"] for l in g.log(3)], ["shed_expired"] * 3)
        expect((len(up.wires), len(up.requests)), (0, 0), "the upstream's connections and requests")


def test_malformed_deadlines_are_ignored_or_refused():
    """T29: what is malformed is ignored or refused as the dialect's row says; it is never taken for a number."""
    dialects = {"x-strict": {"in": "header", "unit": "ms", "kind": "relative", "malformed": "reject"},
                "x-lax": {"in": "header", "unit": "ms", "kind": "relative", "malformed": "ignore"}}
    policy = {"deadline": {**EVERYTHING, "read": EVERYTHING["read"] + ["x-strict", "x-lax"]}}
    with Upstream(serve(echo)) as up, Gateway(up, policy=policy, more={"dialects": dialects}) as g:
        for value in ("", "-5", "+5", "5 ms", "0x5", "5.5", "five", "5x"):
            expect(g.ask(get("/", f"X-Strict: {value}")).status, 400, f"x-strict: {value!r}")
            answer = g.ask(get("/", f"X-Lax: {value}"))
            expect(answer.status, 200, f"x-lax: {value!r}")
            expect_between(told(answer), 19000, 20000, "the default, told")
        for value in ("5", "123456789m", "1s", "-1S", "1 S", "1.5S"):
            answer = g.ask(get("/", f"Grpc-Timeout: {value}"))
            expect_in(answer.status, (200, 400), f"grpc-timeout: {value!r}")
            if answer.status == 200:
                expect_between(told(answer), 19000, 20000, f"grpc-timeout: {value!r}")
        expect({l["ending"] for l in g.log(20) if l["status"] == 400}, {"client_context"})


def test_repeated_deadlines_count_by_their_row():
    """T26: two values of one dialect: the smaller one where its row says min, refused where it says reject; only one goes on."""
    dialects = {"x-min": {"in": "header", "unit": "ms", "kind": "relative", "duplicates": "min"},
                "x-once": {"in": "header", "unit": "ms", "kind": "relative", "duplicates": "reject"}}
    policy = {"deadline": {**EVERYTHING, "read": ["x-min", "x-once"]}}
    with Upstream(serve(echo)) as up, Gateway(up, policy=policy, more={"dialects": dialects}) as g:
        expect_between(told(g.ask(get("/", "X-Min: 9000", "X-Min: 2000"))), 1500, 1999)
        expect_between(told(g.ask(get("/", "X-Min: 2000, 9000"))), 1500, 1999)
        expect(g.ask(get("/", "X-Once: 2000", "X-Once: 2000")).status, 400)


def test_query_dialects():
    """?timeout= is read where the policy says so, and the target is never changed by that."""
    dialects = {"timeout": {"in": "query", "unit": "duration", "kind": "relative", "malformed": "reject"}}
    policy = {"deadline": {**EVERYTHING, "read": ["timeout"]}}
    with Upstream(serve(echo)) as up, Gateway(up, policy=policy, more={"dialects": dialects}) as g:
        answer = g.ask(get("/pods?watch=0&timeout=2s"))
        expect(answer.json()["target"], "/pods?watch=0&timeout=2s")
        expect_between(told(answer), 1500, 1999)
        expect(g.ask(get("/pods?timeout=soon")).status, 400)


def test_prefer_wait_is_advice():
    """Prefer: wait bounds the default and passes without its wait member; alone it never causes a refusal."""
    policy = {"deadline": {**EVERYTHING, "read": ["prefer-wait"], "default": "20s"}}
    with Upstream(serve(echo)) as up, Gateway(up, policy=policy) as g:
        answer = g.ask(get("/", "Prefer: respond-async, wait=3"))
        fields = dict(map(tuple, answer.json()["fields"]))
        expect(fields.get("prefer"), "respond-async")
        expect_between(told(answer), 2500, 3000)
        expect(g.ask(get("/", "Prefer: wait=0")).status, 200)


def test_known_dialects_are_stripped_unless_passed():
    """Every header dialect that we know is taken off, read or not, but for those in `pass`."""
    policy = {"deadline": {"read": ["x-request-timeout"], "write": {"http": ["x-request-timeout"]}, "pass": ["x-stainless-timeout"]}}
    with Upstream(serve(echo)) as up, Gateway(up, policy=policy) as g:
        answer = g.ask(get("/", "X-Request-Timeout: 2s", "Grpc-Timeout: 9S", "X-Envoy-Upstream-Rq-Timeout-Ms: 900", "L5d-Request-Timeout: 9s",
                           "X-Stainless-Timeout: 600", "X-Context-Deadline: 99", "X-Context-Sent: 1", "X-Other-Timeout: 7"))
        names = {n: v for n, v in answer.json()["fields"] if n not in ("host", "user-agent", "via")}
        expect(sorted(n for n in names if not n.startswith("x-forwarded")), ["x-other-timeout", "x-request-timeout", "x-stainless-timeout"])
        expect(names["x-stainless-timeout"], "600")


def test_an_untrusted_listener_cannot_extend():
    """T37: from a peer that is not trusted, a deadline may only shorten the default; x-envoy-* and l5d-* do not count at all."""
    policy = {"deadline": {**EVERYTHING, "default": "2s"}}
    with Upstream(serve(echo)) as up, Gateway(up, policy=policy, listener={"trust": "none"}) as g:
        expect_between(told(g.ask(get("/", "X-Request-Timeout: 30s"))), 1500, 1999)
        expect_between(told(g.ask(get("/", "X-Request-Timeout: 1s"))), 600, 999)
        expect_between(told(g.ask(get("/", "X-Envoy-Expected-Rq-Timeout-Ms: 700"))), 1500, 1999)
    with Upstream(serve(echo)) as up, Gateway(up, policy=policy, listener={"trust": "all"}) as g:
        expect_between(told(g.ask(get("/", "X-Request-Timeout: 30s"))), 25000, 29999)
        expect_between(told(g.ask(get("/", "X-Envoy-Expected-Rq-Timeout-Ms: 700"))), 400, 699)


def test_trust_by_address():
    """A listener that trusts a list of networks trusts those peers only."""
    policy = {"deadline": {**EVERYTHING, "default": "2s"}}
    for networks, longest in ((["127.0.0.0/8"], 29999), (["10.0.0.0/8", "::1/128"], 1999)):
        with Upstream(serve(echo)) as up, Gateway(up, policy=policy, listener={"trust": networks}) as g:
            expect_between(told(g.ask(get("/", "X-Request-Timeout: 30s"))), longest - 500, longest, f"trust {networks}")


def test_mode_disabled_changes_nothing():
    """mode: disabled reads nothing, strips nothing, ends nothing."""
    with Upstream(serve(slow_echo)) as up, Gateway(up, policy={"deadline": {**EVERYTHING, "mode": "disabled"}}) as g:
        answer = g.ask(get("/", "X-Request-Timeout: 100ms", "Grpc-Timeout: 0m"))
        fields = dict(map(tuple, answer.json()["fields"]))
        expect((fields.get("x-request-timeout"), fields.get("grpc-timeout")), ("100ms", "0m"))


def slow_echo(wire, message):
    time.sleep(0.25)
    echo(wire, message)


def test_mode_observe_measures_what_is_ours_too():
    """mode: observe counts what default, idle and per_try would have ended, and ends nothing."""
    def slow(wire, message):
        time.sleep(0.25)
        wire.send(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nab")
        time.sleep(0.25)
        wire.send(b"cd")

    for limits, ending in (({"default": "100ms"}, "deadline"), ({"idle": "100ms"}, "upstream_idle"), ({"per_try": "100ms"}, "try_timeout")):
        with Upstream(serve(slow)) as up, Gateway(up, policy={"deadline": {"mode": "observe", **limits}}) as g:
            expect(g.ask(get("/")).body, b"abcd", str(limits))
            expect((g.logged()["ending"], g.logged()["would_have"]), ("completed", ending), str(limits))
            expect(g.metric(f'curfew_observed_endings_total{{route="routes[0]",ending="{ending}"}}'), 1.0, str(limits))


def test_mode_observe_only_tells():
    """mode: observe changes nothing on the wire, and logs what would have been."""
    with Upstream(serve(slow_echo)) as up, Gateway(up, policy={"deadline": {**EVERYTHING, "mode": "observe"}}) as g:
        answer = g.ask(get("/", "X-Request-Timeout: 100ms"))
        expect(dict(map(tuple, answer.json()["fields"]))["x-request-timeout"], "100ms")
        line = g.logged()
        expect((line["ending"], line["mode"], line["would_have"]), ("completed", "observe", "deadline"))
        g.ask(get("/", "X-Request-Timeout: 1ms"))
        expect(g.log(2)[1]["would_have"], "shed_expired")


def test_mode_forward_tells_and_does_not_enforce():
    """mode: forward tells the upstream what is left, and lets it be late."""
    with Upstream(serve(slow_echo)) as up, Gateway(up, policy={"deadline": {**EVERYTHING, "mode": "forward"}}) as g:
        answer = g.ask(get("/", "X-Timeout-Ms: 100"))
        expect(answer.status, 200)
        expect_between(told(answer), 50, 99)
        expect(g.logged()["ending"], "completed")


def test_a_fresh_value_for_each_attempt():
    """T33: a request that is sent again is told what is left then, not what was left the first time."""
    seen = []

    def handler(wire, message):
        seen.append(message.get("x-request-timeout"))
        if len(seen) == 1:
            wire.send(ok(b"first"))
            return None
        if len(seen) == 2:  # the stale one: takes the request, and closes without a byte
            time.sleep(0.2)
            return False
        wire.send(ok(b"again"))
        return None

    with Upstream(serve(handler)) as up, Gateway(up, policy={"deadline": EVERYTHING}) as g:
        c = g.connect()
        c.send(get("/1"))
        expect(c.answer().body, b"first")
        c.send(get("/2", "X-Request-Timeout: 5s"))
        expect(c.answer().body, b"again")
        first, second = int(seen[1][:-2]), int(seen[2][:-2])
        expect_between(first - second, 190, 4999, "ms less the second time")


def test_time_in_the_queue_counts():
    """T32: the clock starts when the head is complete; what the queue took is told as gone."""
    hold = threading.Event()

    def handler(wire, message):
        if message.target == "/hold":
            hold.wait(10)
        echo(wire, message)

    with Upstream(serve(handler)) as up, Gateway(up, policy={"deadline": EVERYTHING}, upstream={"max_connections": 1}) as g:
        a, b = g.connect(), g.connect()
        a.send(get("/hold"))
        up.wait_requests(1)
        b.send(get("/queued", "X-Request-Timeout: 3s"))
        time.sleep(0.4)  # of its three seconds
        hold.set()
        expect(a.answer().status, 200)
        expect_between(told(b.answer()), 2000, 2599)
        line = next(l for l in g.log(2) if l["path"] == "/queued")
        expect_between(line["queued_ms"], 350, 1500)


def test_answer_policy():
    """A policy may name another status for an ending."""
    with Upstream(serve(silent)) as up, Gateway(up, policy={"deadline": EVERYTHING, "answer": {"deadline": {"http": 503}}}) as g:
        expect(g.ask(get("/", "X-Request-Timeout: 150ms")).status, 503)
        line = g.logged()
        expect((line["ending"], line["status"]), ("deadline", 503))


def test_head_request_that_misses_its_deadline():
    """A HEAD is answered with the head of the 504 and no body, and the connection goes on in order."""
    with Upstream(serve(silent)) as up, Gateway(up, policy={"deadline": EVERYTHING}) as g:
        c = g.connect()
        c.send(request("HEAD", "/", "X-Request-Timeout: 150ms") + get("/next", "X-Request-Timeout: 150ms"))
        expect(c.answer("HEAD").status, 504)
        expect(c.answer().status, 504)


def test_deadline_while_the_upload_is_under_way():
    """T17: a deadline fires though the upstream never reads; the answer survives the bytes that the client is still sending."""
    def handler(wire):
        wire.head()
        wire.sock.settimeout(30)
        time.sleep(1.5)  # reads nothing

    with Upstream(handler) as up, Gateway(up, policy={"deadline": EVERYTHING}) as g:
        c = g.connect()
        c.send(request("POST", "/", "Content-Length: 100000000", "X-Request-Timeout: 400ms"))

        def upload():
            try:
                while True:
                    c.send(b"x" * 65536)
            except OSError:
                pass

        threading.Thread(target=upload, daemon=True).start()
        problem(c.answer(), 504, "deadline")
        expect(g.logged()["ending"], "deadline")


def test_zero_length_timers_race_answers():
    """T34: answers that come at the very deadline end one way or the other, once each, and leave nothing."""
    def handler(wire, message):
        time.sleep(0.02)
        wire.send(ok(b"x"))

    with Upstream(serve(handler)) as up, Gateway(up, policy={"deadline": {**EVERYTHING, "min": "1ms", "reserve": "0ms"}}) as g:
        statuses = [g.ask(get("/", f"X-Request-Timeout: {18 + i % 6}ms")).status for i in range(120)]
        expect(set(statuses) - {200, 504}, set())
        endings = [l["ending"] for l in g.log(120)]
        expect(set(endings) - {"completed", "deadline"}, set())
        expect(len(endings), 120)
        note(f"{statuses.count(200)} answered, {statuses.count(504)} at the deadline")


def test_chunked_upload_and_a_met_deadline():
    """A deadline that is met leaves the connections of both sides in use."""
    with Upstream(answering(b"fine")) as up, Gateway(up, policy={"deadline": EVERYTHING}) as g:
        c = g.connect()
        for _ in range(3):
            c.send(request("POST", "/", "Transfer-Encoding: chunked", "X-Request-Timeout: 5s", body=chunked(b"abc", b"def")))
            expect(c.answer().body, b"fine")
        c.send(post("/", b"x", "X-Request-Timeout: 5s"))
        expect(c.answer().body, b"fine")
        expect(len(up.wires), 1, "upstream connections")
