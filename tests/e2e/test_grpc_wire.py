# SPDX-License-Identifier: Apache-2.0
"""gRPC as bytes on the wire: its deadline in and out, its endings, its metadata (semantics, sections 2 to 4). Real implementations of it are in
tests/polyglot."""
import re
import threading
import time

import h2
from harness import Gateway, Upstream, answering, echo, eventually, expect, expect_between, expect_in, get, note, post, serve

SHARED = {"protocol": "http2", "max_connections": 1}
READ = {"read": ["grpc-timeout", "x-request-timeout"], "write": {"http": ["x-request-timeout"], "grpc": ["grpc-timeout"]}}
UNITS = {"H": 3600e3, "M": 60e3, "S": 1e3, "m": 1, "u": 1e-3, "n": 1e-6}
GRPC = "content-type: application/grpc"


def grpc_ms(value):
    """A grpc-timeout in ms; its grammar is checked."""
    assert re.fullmatch(r"\d{1,8}[HMSmun]", value or ""), f"grpc-timeout: {value!r}"
    return int(value[:-1]) * UNITS[value[-1]]


def unary(s):
    """A handler: the message comes back, OK in the trailers."""
    s.answer(200, GRPC, body=s.body, trailers=["grpc-status: 0", "grpc-message: "])


def trailers_only(s, status, **more):
    """The call ended before any message, by END_STREAM alone, with HTTP 200."""
    s.whole()
    expect((s.status, s.get("content-type"), s.body, s.trailers), (200, "application/grpc", b"", None))
    expect(s.get("grpc-status"), str(status), **more)
    return s


# ---- what passes ------------------------------------------------------------------------------------------------------------------------------


def test_a_unary_call_passes():
    """Metadata both ways (also -bin and repeated), the message, te, trailers with status and message; the outcome is read from the trailers."""
    def handler(s):
        s.answer(200, GRPC, "x-initial: a", "x-initial: b", body=h2.message(b"answer"),
                 trailers=["grpc-status: 5", "grpc-message: not%20here", "x-trailing-bin: AAEC"])

    with Upstream(h2.serve(handler)) as up, Gateway(up, upstream=SHARED) as g:
        s = h2.Client(g).rpc("/shop.Orders/Get", "x-meta: 1", "x-meta: 2", "x-key-bin: AAEC/w==", body=b"question").whole()
        expect((s.status, s.all("x-initial"), s.body), (200, ["a", "b"], h2.message(b"answer")))
        expect([s.trailer(n) for n in ("grpc-status", "grpc-message", "x-trailing-bin")], ["5", "not%20here", "AAEC"])
        asked = up.requests[0]
        expect((asked.method, asked.target, asked.get("te"), asked.get("content-type")), ("POST", "/shop.Orders/Get", "trailers", "application/grpc"))
        expect((asked.all("x-meta"), asked.get("x-key-bin"), asked.body), (["1", "2"], "AAEC/w==", h2.message(b"question")))
        line = g.logged()
        expect((line["rpc"], line["status"], line["grpc_status"], line["ending"]), ("grpc", 200, 5, "completed"))


def test_streams_pass_message_by_message():
    """A bidirectional stream: each message passes when it is sent, in both directions, before either side has ended."""
    def handler(s):
        s.send_head([(":status", "200"), ("content-type", "application/grpc")])
        for i in range(1, 6):
            s.wait(lambda n=i: len(s.body) >= 8 * n, "a message")
            s.send(s.body[8 * (i - 1) : 8 * i])
        s.wait(lambda: s.ended, "the end of the request")
        s.send_trailers("grpc-status: 0")

    with Upstream(h2.serve(handler, at="head", threaded=True)) as up, Gateway(up, upstream=SHARED) as g:
        s = h2.Client(g).rpc()
        for i in range(1, 6):
            s.send(h2.message(b"%03d" % i))
            expect(s.data(8 * i).body[-8:], h2.message(b"%03d" % i))
        s.send(b"", end=True)
        expect(s.whole().trailer("grpc-status"), "0")
        expect(g.logged()["grpc_status"], 0)
        del up


def test_a_trailers_only_answer_passes_as_it_is():
    """An upstream's own trailers-only answer reaches the client as one HEADERS frame; its status is the outcome."""
    with Upstream(h2.serve(lambda s: s.answer(200, GRPC, "grpc-status: 12", "grpc-message: unknown method"))) as up, Gateway(up, upstream=SHARED) as g:
        s = trailers_only(h2.Client(g).rpc(body=b"x"), 12)
        expect(s.get("grpc-message"), "unknown method")
        expect(g.logged()["grpc_status"], 12)
        del up


def test_a_message_of_4_mib_passes():
    """4 MiB each way in one message."""
    with Upstream(h2.serve(unary)) as up, Gateway(up, upstream=SHARED) as g:
        data = bytes(range(256)) * 16384
        s = h2.Client(g).rpc(body=data).whole(30)
        assert s.body == h2.message(data), len(s.body)
        expect(s.trailer("grpc-status"), "0")
        del up


# ---- the deadline --------------------------------------------------------------------------------------------------------------------------------


def test_grpc_timeout_is_rewritten_with_what_is_left():
    """grpc-timeout upstream is less than the client's, by no more than a reserve and what passed, in a unit that fits eight digits; in every unit."""
    with Upstream(h2.serve(unary)) as up, Gateway(up, upstream=SHARED, policy={"deadline": {**READ, "max": "2h", "reserve": "5ms"}}) as g:
        c = h2.Client(g)
        for said, ms in (("1H", 3600e3), ("2M", 120e3), ("3S", 3000), ("1500m", 1500), ("900000u", 900), ("99999999n", 99.999999), ("99999999H", 7200e3)):
            c.rpc("/a.B/C", f"grpc-timeout: {said}", body=b"x").whole()
            told = grpc_ms(up.requests[-1].get("grpc-timeout"))
            expect_between(told, ms - 60 - ms / 1e3, ms - 4.999, f"told for {said}, in ms")
        expect(len(up.requests), 7)


def test_a_malformed_grpc_timeout():
    """Values that are no grpc-timeout are no deadline of the client's: the default counts, or the call is rejected as INVALID_ARGUMENT; they are never half
    understood, and never passed on."""
    with Upstream(h2.serve(unary)) as up, Gateway(up, upstream=SHARED, policy={"deadline": {**READ, "default": "33s"}}) as g:
        c = h2.Client(g)
        for bad in ("1", "m", "-1S", "+1S", "1.5S", "123456789m", "1s", "1 S", "0x1S", "S1", ""):
            seen = len(up.requests)
            status = c.rpc("/a.B/C", f"grpc-timeout: {bad}", body=b"x").whole().trailer("grpc-status")
            expect_in((status, len(up.requests) - seen), (("0", 1), ("3", 0)), bad)
            if status == "0":
                expect_between(grpc_ms(up.requests[-1].get("grpc-timeout")), 32_000, 33_000, bad)


def test_a_deadline_before_the_head_is_trailers_only_4():
    """The deadline passes before the upstream said anything: HTTP 200, grpc-status 4 (never a bare 504: clients read it as UNAVAILABLE and retry), on
    time; the upstream gets RST_STREAM(CANCEL)."""
    with Upstream(h2.serve(h2.silent)) as up, Gateway(up, upstream=SHARED, policy={"deadline": READ}) as g:
        c = h2.Client(g)
        begun = time.monotonic()
        s = trailers_only(c.rpc("/a.B/C", "grpc-timeout: 200m", body=b"x"), 4)
        expect_between((s.ended_at - begun) * 1000, 190, 330, "ms")
        assert s.get("grpc-message"), "no grpc-message"
        expect(up.requests[0].reset_code(1), "CANCEL")
        note(f"answered after {(s.ended_at - begun) * 1000:.1f} ms")
        line = g.logged()
        expect((line["ending"], line["status"], line["grpc_status"], line["cancel_level"]), ("deadline", 200, 4, "native"))
        expect(c.rpc("/a.B/C", "grpc-timeout: 100m", body=b"x").whole().get("grpc-status"), "4")


def test_a_deadline_in_the_middle_of_a_stream():
    """T20: after the head the client's deadline ends the call by trailers with status 4 where a message ended, and by RST_STREAM(CANCEL) inside one; the
    upstream gets CANCEL either way."""
    def handler(s):
        s.send_head([(":status", "200"), ("content-type", "application/grpc")])
        s.send(h2.message(b"one") + (h2.message(b"two")[:6] if s.target == "/inside/M" else b""))

    with Upstream(h2.serve(handler)) as up, Gateway(up, upstream=SHARED, policy={"deadline": READ}) as g:
        c = h2.Client(g)
        s = c.rpc("/between/M", "grpc-timeout: 150m", body=b"x").whole()
        expect((s.status, s.body, s.trailer("grpc-status"), s.code), (200, h2.message(b"one"), "4", None))
        s = c.rpc("/inside/M", "grpc-timeout: 150m", body=b"x")
        expect((s.reset_code(), s.ended), ("CANCEL", False))
        expect([r.reset_code(1) for r in up.requests], ["CANCEL"] * 2)
        expect([l["ending"] for l in g.log(2)], ["deadline"] * 2)


def test_trailers_behind_a_length_that_was_told():
    """A status may stand behind a content-length, also one of 0: the upstream's reaches the client (it was lost behind a 0), and so does ours, where the
    deadline passes, or the upstream resets, once all of that length is there; before, the call is cut."""
    def handler(s):
        bodies = {"all": h2.message(b"1234"), "part": h2.message(b"1234")[:8], "more": h2.message(b"1") + h2.message(b"2")}
        what, then = s.target.split("/")[1:]
        body = bodies.get(what, b"")
        length = len(body) + (what in ("part", "more"))
        s.send_head([(":status", "200"), ("content-type", "application/grpc"), ("content-length", str(length))])
        s.send(body) if body else None
        if then == "Ends":
            s.session.round_trip()
            s.send_trailers("grpc-status: 5")
        elif then == "Resets":
            s.reset(h2.CALM)

    with Upstream(h2.serve(handler, threaded=True)) as up, Gateway(up, upstream=SHARED, policy={"deadline": READ}) as g:
        c = h2.Client(g)
        for path, status in (("/none/Ends", "5"), ("/all/Ends", "5"), ("/none/Waits", "4"), ("/all/Waits", "4"), ("/none/Resets", "8"), ("/all/Resets", "8")):
            s = c.rpc(path, "grpc-timeout: 300m", body=b"x").whole()
            expect((s.trailers is not None, s.trailer("grpc-status")), (True, status), path)
        for path in ("/part/Waits", "/more/Waits"):
            s = c.rpc(path, "grpc-timeout: 300m", body=b"x")
            expect((s.reset_code(), s.ended), ("CANCEL", False), path)
        s = c.ask("POST", "/none/Ends", "content-type: text/plain", "content-length: 0", trailers=["x-sum: 1"]).whole()
        expect(up.requests[-1].trailers, [("x-sum", "1")])


def test_a_deadline_while_the_request_still_streams():
    """The deadline passes while the client still sends: trailers-only 4, then RST_STREAM(NO_ERROR) for the rest of its request."""
    with Upstream(h2.serve(h2.silent)) as up, Gateway(up, upstream=SHARED, policy={"deadline": READ}) as g:
        s = h2.Client(g).rpc("/a.B/C", "grpc-timeout: 150m")
        s.send(h2.message(b"one"))
        trailers_only(s, 4)
        expect(s.reset_code(), "NO_ERROR")
        expect(up.requests[0].reset_code(1), "CANCEL")


def test_the_default_deadline_spares_calls_without_one():
    """T36: a call without grpc-timeout may stream: the default deadline does not end it; streaming: never says that it does."""
    def late(s):
        time.sleep(0.4)
        unary(s)

    for streaming, status in (({}, "0"), ({"streaming": {"detect": "never"}}, "4")):
        with Upstream(h2.serve(late, threaded=True)) as up, Gateway(up, upstream=SHARED, policy={"deadline": {**READ, "default": "150ms", **streaming}}) as g:
            s = h2.Client(g).rpc(body=b"x").whole()
            expect(s.trailer("grpc-status"), status)
            del up


def test_too_little_left_is_answered_at_once():
    """Less than min + reserve: DEADLINE_EXCEEDED at once, and the upstream is never asked."""
    with Upstream(h2.serve(unary)) as up, Gateway(up, upstream=SHARED, policy={"deadline": {**READ, "min": "50ms"}}) as g:
        trailers_only(h2.Client(g).rpc("/a.B/C", "grpc-timeout: 20m", body=b"x"), 4)
        line = g.logged()
        expect_between(line["duration_ms"], 0, 5)
        expect((line["ending"], len(up.requests)), ("shed_expired", 0))


def test_one_dialect_becomes_the_other():
    """x-request-timeout of an HTTP/1 client becomes x-request-timeout over HTTP/2; grpc-timeout on a request that is no gRPC becomes
    x-request-timeout over HTTP/1 and HTTP/2; x-request-timeout on gRPC becomes grpc-timeout. What came is not passed beside it."""
    policy = {"deadline": READ}
    with Upstream(h2.serve(unary)) as up, Gateway(up, upstream=SHARED, policy=policy) as g:
        g.ask(get("/", "X-Request-Timeout: 2s"))
        h2.Client(g).rpc("/a.B/C", "x-request-timeout: 2s", body=b"x").whole()
        h2.Client(g).get("/", "grpc-timeout: 2S").whole()
        told = [(r.get("x-request-timeout"), r.get("grpc-timeout")) for r in up.requests]
        expect([(bool(x), bool(t)) for x, t in told], [(True, False), (False, True), (True, False)])
        expect_between(int(told[0][0][:-2]), 1800, 1999)
        expect_between(grpc_ms(told[1][1]), 1800, 1999)
        expect_between(int(told[2][0][:-2]), 1800, 1999)
    with Upstream(serve(echo)) as up, Gateway(up, policy=policy) as g:
        seen = dict(h2.json_of(h2.Client(g).get("/", "grpc-timeout: 2S").whole())["fields"])
        expect_between(int(seen["x-request-timeout"][:-2]), 1800, 1999)
        expect("grpc-timeout" in seen, False)


def test_each_attempt_is_told_anew():
    """T33: a second attempt is told what is left then, not what was left at the first."""
    def handler(s):
        if len(up.requests) == 1:
            time.sleep(0.2)
            s.reset(h2.REFUSED)
        else:
            unary(s)

    policy = {"deadline": READ, "retry": {"retries": 1, "when": ["refused_stream"]}}
    with Upstream(h2.serve(handler)) as up, Gateway(up, upstream=SHARED, policy=policy) as g:
        expect(h2.Client(g).rpc("/a.B/C", "grpc-timeout: 2S", body=b"x").whole().trailer("grpc-status"), "0")
        first, second = (grpc_ms(r.get("grpc-timeout")) for r in up.requests)
        expect_between(first - second, 195, 400, "ms between what the two attempts were told")


# ---- what cannot be carried, or fails -------------------------------------------------------------------------------------------------------------


def test_grpc_over_http1_is_refused():
    """gRPC that arrives over HTTP/1, and gRPC to an upstream that speaks only HTTP/1: UNIMPLEMENTED, no_route, a message that says why; no upstream is asked."""
    with Upstream(h2.serve(unary)) as up, Gateway(up, upstream=SHARED) as g:
        a = g.ask(post("/a.B/C", h2.message(b"x"), "Content-Type: application/grpc", "TE: trailers"))
        line = g.logged()
        expect((line["ending"], len(up.requests)), ("no_route", 0))
        expect((a.status, a.get("grpc-status"), a.get("grpc-message")), (200, "12", "this RPC protocol needs HTTP/2"))
        expect(line["detail"], a.get("grpc-message"))
    with Upstream(answering()) as up, Gateway(up) as g:
        s = trailers_only(h2.Client(g).rpc(body=b"x"), 12)
        line = g.logged()
        expect((line["ending"], len(up.requests)), ("no_route", 0))
        expect(s.get("grpc-message"), "the upstream speaks a protocol that cannot carry this RPC")
        expect(line["detail"], s.get("grpc-message"))


def test_no_route_is_unimplemented():
    """No route matches: UNIMPLEMENTED in gRPC's words, not a 404."""
    routes = [{"match": {"path": "/only/*"}, "upstream": "be"}]
    with Upstream(h2.serve(unary)) as up, Gateway(up, upstream=SHARED, routes=routes) as g:
        trailers_only(h2.Client(g).rpc("/a.B/C", body=b"x"), 12)
        expect(len(up.requests), 0)


def test_an_upstream_that_is_not_there_is_unavailable():
    """Connection refused: UNAVAILABLE (14), trailers-only, soon."""
    with Gateway(None, upstream=SHARED) as g:
        trailers_only(h2.Client(g).rpc(body=b"x"), 14)
        line = g.logged()
        expect((line["ending"], line["grpc_status"]), ("connect_failure", 14))


def test_shed_load_is_unavailable_with_pushback():
    """No room: UNAVAILABLE, and the client is told when to come again (grpc-retry-pushback-ms)."""
    upstream = {**SHARED, "max_requests": 1, "max_pending": 0}
    with Upstream(h2.serve(h2.silent)) as up, Gateway(up, upstream=upstream) as g:
        c = h2.Client(g)
        c.rpc(body=b"x")
        up.wait_requests(1)
        s = trailers_only(c.rpc(body=b"x"), 14)
        assert int(s.get("grpc-retry-pushback-ms") or 0) > 0, s.fields
        expect(g.log(1)[0]["ending"], "shed_load")


def test_an_http_answer_to_a_call_passes():
    """An upstream (or a balancer before it) that answers a call with plain HTTP: 503 and its body pass as they are; the client maps it."""
    with Upstream(h2.serve(lambda s: s.answer(503, "content-type: text/plain", body=b"down"))) as up, Gateway(up, upstream=SHARED) as g:
        s = h2.Client(g).rpc(body=b"x").whole()
        expect((s.status, s.body), (503, b"down"))
        del up


def test_an_upstream_lost_in_the_middle_of_a_call():
    """The upstream's connection ends after a message, without trailers: INTERNAL in trailers where the message was whole, RST_STREAM inside one."""
    def handler(s):
        s.send_head([(":status", "200"), ("content-type", "application/grpc")])
        s.send(h2.message(b"one") + (h2.message(b"two")[:6] if s.target == "/inside/M" else b""))
        time.sleep(0.05)  # a TCP reset takes back what was not read
        s.session.wire.reset()

    for path in ("/between/M", "/inside/M"):
        with Upstream(h2.serve(handler, threaded=True)) as up, Gateway(up, upstream=SHARED) as g:
            s = h2.Client(g).rpc(path, body=b"x").end()
            if path == "/between/M":
                expect((s.ended, s.trailer("grpc-status"), s.body), (True, "13", h2.message(b"one")))
            else:
                expect((s.ended, h2.name_of(s.code)), (False, "INTERNAL_ERROR"))
            expect(g.logged()["ending"], "upstream_closed")
            del up


def test_an_early_answer_to_a_streaming_call():
    """Early Server Closure: the upstream answers and resets with NO_ERROR while the client still streams: the status reaches it, then NO_ERROR; no failure is
    counted (T8)."""
    def handler(s):
        s.answer(200, GRPC, "grpc-status: 16", "grpc-message: who are you")
        s.reset(h2.NO_ERROR)

    with Upstream(h2.serve(handler, at="head")) as up, Gateway(up, upstream=SHARED) as g:
        s = h2.Client(g).rpc()
        s.whole()
        expect((s.status, s.get("grpc-status")), (200, "16"))
        expect(s.reset_code(), "NO_ERROR")
        line = g.logged()
        expect((line["ending"], line["grpc_status"]), ("completed", 16))
        del up


def test_a_cancel_of_a_streaming_call():
    """A client cancels in the middle of a bidirectional stream: the upstream's handler hears of it at once, by CANCEL."""
    heard = []

    def handler(s):
        s.send_head([(":status", "200"), ("content-type", "application/grpc")])
        while s.code is None and not s.session.ended:
            s.send(h2.message(b"tick"))
            time.sleep(0.005)
        heard.append(s.code)

    with Upstream(h2.serve(handler, at="head", threaded=True)) as up, Gateway(up, upstream=SHARED) as g:
        s = h2.Client(g).rpc()
        s.send(h2.message(b"go"))
        s.data(45)
        begun = time.monotonic()
        s.reset()
        eventually(lambda: heard, 1, "the end of the handler")
        note(f"{(up.requests[0].code_at - begun) * 1000:.2f} ms")
        expect(heard, [h2.CANCEL])
        expect(g.logged()["ending"], "client_reset")


def test_the_drain_answers_unavailable():
    """shutdown.drain over under a call: UNAVAILABLE, so that the client goes to another gateway."""
    with Upstream(h2.serve(h2.silent)) as up, Gateway(up, upstream=SHARED, more={"shutdown": {"drain": "300ms"}}) as g:
        s = h2.Client(g).rpc(body=b"x")
        up.wait_requests(1)
        g.signal()
        trailers_only(s, 14)
        g.wait_exit(0)
        expect(g.logged()["ending"], "shutdown")


def test_http1_and_grpc_share_an_upstream_connection():
    """A gRPC stream that ticks and HTTP/1 requests on the same connection to the upstream do not disturb each other."""
    done = threading.Event()

    def handler(s):
        if s.get("content-type") != "application/grpc":
            s.answer(200, body=b"plain")
            return
        s.send_head([(":status", "200"), ("content-type", "application/grpc")])
        while not done.wait(0.01):
            s.send(h2.message(b"tick"))
        s.send_trailers("grpc-status: 0")

    with Upstream(h2.serve(handler, threaded=True)) as up, Gateway(up, upstream=SHARED) as g:
        s = h2.Client(g).rpc(body=b"x").data(9)
        for _ in range(50):
            expect(g.ask(get("/")).body, b"plain")
        done.set()
        s.whole()
        expect((s.trailer("grpc-status"), len(s.body) % 9, len(up.wires)), ("0", 0, 1))
