# SPDX-License-Identifier: Apache-2.0
"""Every ending that HTTP/2 can bring, translated: who reset whom, with which code, and what the other side saw (semantics, sections 3 to 5)."""
import struct
import threading
import time

import h2
from harness import (Gateway, Upstream, eventually, expect, expect_between, expect_in, get, note, post, serve, silent)

SHARED = {"protocol": "http2", "max_connections": 1}
ONCE = {"retry": {"retries": 0}}
SOON = 1.0
ALL_CODES = [*range(14), 0x42]


def h2_upstream(handler, **more):
    return Upstream(h2.serve(handler, **more))


# ---- the client leaves ---------------------------------------------------------------------------------------------------------------


def test_every_reset_of_a_client_is_a_cancel_upstream():
    """RST_STREAM of any code from a client, before the answer: RST_STREAM(CANCEL) to an HTTP/2 upstream, always that code; the log says client_reset,
    level native; nothing is answered, and the neighbours go on."""
    with h2_upstream(lambda s: s.target == "/" and s.answer(200, body=b"here")) as up, Gateway(up, upstream=SHARED) as g:
        c = h2.Client(g)
        slowest = 0
        for n, code in enumerate(ALL_CODES, 1):
            s = c.get(f"/{code}")
            up.wait_requests(n)
            begun = time.monotonic()
            s.reset(code)
            expect(up.requests[-1].reset_code(SOON), "CANCEL", h2.name_of(code))
            slowest = max(slowest, up.requests[-1].code_at - begun)
        note(f"slowest of {len(ALL_CODES)}: {slowest * 1000:.2f} ms")
        expect(c.get("/").whole().body, b"here")
        expect((len(up.wires), c.resets), (1, []))  # T11: a reset is not answered with a reset
        lines = g.log(len(ALL_CODES))[: len(ALL_CODES)]
        expect({(l["ending"], l["by"], l["status"], l["cancel_level"]) for l in lines}, {("client_reset", "client", 499, "native")})
        expect(sorted(l.get("wire", 0) for l in lines), sorted(ALL_CODES))
        expect([r.resets for r in up.requests[: len(ALL_CODES)]], [1] * len(ALL_CODES))


def test_a_clients_reset_closes_an_http1_upstream():
    """RST_STREAM from a client while an HTTP/1 upstream works: its connection is closed; level close."""
    with Upstream(serve(silent)) as up, Gateway(up) as g:
        s = h2.Client(g).get()
        up.wait_requests(1)
        begun = time.monotonic()
        s.reset()
        how, at = up.wait_end(0, SOON)
        note(f"{how} seen upstream after {(at - begun) * 1000:.2f} ms")
        line = g.logged()
        expect((line["ending"], line["cancel_level"]), ("client_reset", "close"))


def test_a_clients_reset_in_the_middle_of_both_bodies():
    """RST_STREAM while both bodies are under way: the upstream's stream is reset at once, ahead of what is still queued for it."""
    def flood(s):
        s.send_head([(":status", "200")])
        while s.code is None and not s.session.ended:
            s.send(b"x" * 1000, wait=False)
            time.sleep(0.001)

    with h2_upstream(flood, at="head", threaded=True, credit="connection") as up, Gateway(up, upstream=SHARED) as g:
        c = h2.Client(g)
        s = c.post("/")
        s.data(5000)
        s.send(b"y" * 120_000, wait=False)  # more than the upstream takes: the rest is queued
        eventually(lambda: len(up.requests[0].body) == h2.WINDOW, what="a full window")
        begun = time.monotonic()
        s.reset()
        expect(up.requests[0].reset_code(SOON), "CANCEL")
        note(f"seen upstream after {(up.requests[0].code_at - begun) * 1000:.2f} ms")
        expect(len(up.requests[0].body), h2.WINDOW)


def test_a_client_connection_takes_all_its_streams_with_it():
    """T14: a client's connection that is lost, by FIN or RST, cancels each of its fifty streams upstream, with CANCEL; the upstream's connection stays, and
    other clients' streams on it go on."""
    for how in ("close", "reset_connection"):
        release = threading.Event()

        def handler(s, release=release):
            if s.target == "/neighbour":
                release.wait(10)
                s.answer(200, body=b"still here")

        with h2_upstream(handler, threaded=True) as up, Gateway(up, upstream=SHARED) as g:
            neighbour = h2.Client(g).get("/neighbour")
            up.wait_requests(1)
            c = h2.Client(g)
            for i in range(50):
                c.get(f"/{i}")
            up.wait_requests(51)
            c.round_trip()
            begun = time.monotonic()
            getattr(c, how)()
            lost = [r for r in up.requests if r.target != "/neighbour"]
            expect([r.reset_code(SOON) for r in lost], ["CANCEL"] * 50)
            note(f"{how}: 50 resets seen within {(max(r.code_at for r in lost) - begun) * 1000:.1f} ms")
            release.set()
            expect(neighbour.whole().body, b"still here")
            expect(len(up.wires), 1)
            endings = {l["ending"] for l in g.log(51) if l["path"] != "/neighbour"}
            expect(endings, {"client_closed" if how == "close" else "client_reset"})


def test_an_http1_client_that_leaves_is_a_reset_upstream():
    """FIN and RST of an HTTP/1 client: RST_STREAM(CANCEL) upstream, and only that stream."""
    with h2_upstream(lambda s: s.target == "/" and s.answer(200, body=b"here")) as up, Gateway(up, upstream=SHARED) as g:
        for n, (how, ending) in enumerate((("close", "client_closed"), ("reset", "client_reset")), 1):
            c = g.connect()
            c.send(get("/leaves"))
            up.wait_requests(n)
            begun = time.monotonic()
            getattr(c, how)()
            expect(up.requests[n - 1].reset_code(SOON), "CANCEL")
            note(f"{how}: {(up.requests[n - 1].code_at - begun) * 1000:.2f} ms")
            line = g.log(n)[n - 1]
            expect((line["ending"], line["cancel_level"]), (ending, "native"))
        expect(g.ask(get("/")).body, b"here")
        expect(len(up.wires), 1)


def test_what_was_not_sent_is_withdrawn():
    """A request that waits for a place, or for a connection, is withdrawn when its client leaves: the upstream never hears of it."""
    with h2_upstream(h2.silent, settings={h2.MAX_STREAMS: 1}) as up, Gateway(up, upstream=SHARED) as g:
        c = h2.Client(g)
        c.get("/first")
        up.wait_requests(1)
        waits = c.get("/second")
        c.round_trip()
        waits.reset()
        plain = g.connect()
        plain.send(get("/third"))
        g.wait_metric("curfew_queued", 1)
        plain.close()
        lines = g.log(2)
        expect({(l["path"], l["ending"], l["cancel_level"]) for l in lines},
               {("/second", "client_reset", "withdrawn"), ("/third", "client_closed", "withdrawn")})
        time.sleep(0.1)
        expect([r.target for r in up.requests], ["/first"])
        expect(up.wires[0].session.resets, [])


def test_a_clients_no_error_behind_its_answer_is_a_normal_end():
    """T10: RST_STREAM(NO_ERROR) from a client that has its whole answer but not sent all of its request: completed, no cancel counted."""
    def handler(s):
        s.answer(200, body=b"early", trailers=["grpc-status: 0"])

    with h2_upstream(handler, at="head") as up, Gateway(up, upstream=SHARED) as g:
        c = h2.Client(g)
        s = c.post("/")
        s.whole()
        if s.code is None:
            s.reset(h2.NO_ERROR)
        expect(g.logged()["ending"], "completed")
        expect(c.get("/").whole().body, b"early")
        del up


def test_the_clients_own_deadline_is_named_so():
    """T35: a client that resets as its own deadline passes is client_deadline, or our timer was first; upstream it is CANCEL either way."""
    policy = {"deadline": {"read": ["grpc-timeout"], "grace": "50ms"}}
    with h2_upstream(h2.silent) as up, Gateway(up, upstream=SHARED, policy=policy) as g:
        c = h2.Client(g)
        s = c.rpc("/a.B/C", "grpc-timeout: 200m", body=b"x")
        time.sleep(0.17)
        s.reset()
        expect(up.requests[0].reset_code(SOON), "CANCEL")
        expect_in(g.logged()["ending"], ("client_deadline", "deadline"))


# ---- the upstream resets, before its head --------------------------------------------------------------------------------------------


GRPC_OF_CODE = {h2.REFUSED: 14, h2.CANCEL: 1, h2.CALM: 8, h2.INADEQUATE_SECURITY: 7, 0x42: 2}  # all others: INTERNAL (13)


def test_every_reset_of_an_upstream_before_its_head():
    """RST_STREAM of every code before the head: 502 (503 for REFUSED_STREAM) to HTTP/1 and HTTP/2, trailers-only to gRPC with the status of the table;
    the client's stream ends in order, the upstream's is not answered with a reset (T11), and the connection to it goes on."""
    def handler(s):
        s.reset(int(s.target.rsplit("/", 1)[1]))

    wrong = []
    with h2_upstream(handler) as up, Gateway(up, upstream=SHARED, policy=ONCE) as g:
        c = h2.Client(g)
        for code in ALL_CODES:
            name = h2.name_of(code)
            status, ending = (503, "refused_stream") if code == h2.REFUSED else (502, "upstream_reset")
            a = g.ask(get(f"/x/{code}"))
            if (a.status, a.json()["ending"]) != (status, ending):
                wrong.append(f"{name} to HTTP/1: {a.status} {a.body}")
            s = c.get(f"/x/{code}").whole()
            if s.status != status:
                wrong.append(f"{name} to HTTP/2: {s.status}")
            s = c.rpc(f"/x/{code}", body=b"x").whole()
            told = (s.status, s.trailers, s.trailer("grpc-status"))
            if told != (200, None, str(GRPC_OF_CODE.get(code, 13))):
                wrong.append(f"{name} to gRPC: {told}, expected grpc-status {GRPC_OF_CODE.get(code, 13)}")
        lines = g.log(3 * len(ALL_CODES))
        for line in lines:
            if line["ending"] != ("refused_stream" if line["path"].endswith("/7") else "upstream_reset") or line.get("wire", 0) != int(line["path"][3:]):
                wrong.append(f"logged: {line['path']} {line['ending']} wire {line.get('wire')}")
        expect(len(up.wires), 1)
        expect(up.wires[0].session.resets, [])
        expect(c.resets, [])
    assert not wrong, "\n".join(wrong)


def test_cancel_from_an_upstream_whose_deadline_passed():
    """CANCEL from an upstream as the deadline passes is DEADLINE_EXCEEDED to gRPC: a server that keeps the deadline itself must not look as if the
    client had cancelled."""
    policy = {"deadline": {"read": ["grpc-timeout"], "answer_margin": "0ms"}, **ONCE}
    with h2_upstream(lambda s: (time.sleep(0.101), s.reset(h2.CANCEL)), threaded=True) as up, Gateway(up, upstream=SHARED, policy=policy) as g:
        s = h2.Client(g).rpc("/a.B/C", "grpc-timeout: 100m", body=b"x").whole()
        expect((s.status, s.trailer("grpc-status")), (200, "4"))
        del up


def test_a_refused_stream_is_tried_again():
    """REFUSED_STREAM before anything was processed: tried again where the policy says so, and nobody notices; a CANCEL is not."""
    refused = []

    def handler(s):
        if s.target == "/refused" and not refused:
            refused.append(s)
            s.reset(h2.REFUSED)
        elif s.target == "/cancelled":
            s.reset(h2.CANCEL)
        else:
            s.answer(200, body=b"second")

    policy = {"retry": {"retries": 1, "when": ["refused_stream"]}}
    with h2_upstream(handler) as up, Gateway(up, upstream=SHARED, policy=policy) as g:
        c = h2.Client(g)
        expect(c.ask("POST", "/refused", body=b"z" * 1000).whole().body, b"second")
        expect([r.body for r in up.requests], [b"z" * 1000] * 2)
        expect(c.get("/cancelled").whole().status, 502)
        expect(len(up.requests), 3)


# ---- the upstream resets, after its head ---------------------------------------------------------------------------------------------


def answer_then_reset(s):
    """At the head: an answer that is cut by the code in the path, when the first piece was taken."""
    s.send_head([(":status", "200")])
    s.send(b"first")
    time.sleep(0.02)  # until the gateway has passed it on, which nobody can see here
    s.reset(int(s.target.rsplit("/", 1)[1]))


def test_every_reset_of_an_upstream_after_its_head():
    """RST_STREAM of every code in the middle of the body: HTTP/1 sees truncation (no last chunk), HTTP/2 what came and then RST_STREAM: CANCEL,
    INTERNAL_ERROR and ENHANCE_YOUR_CALM as they are, INTERNAL_ERROR for all others (T9: NO_ERROR there is truncation as well)."""
    wrong = []
    with h2_upstream(answer_then_reset, threaded=True) as up, Gateway(up, upstream=SHARED) as g:
        c = h2.Client(g)
        for code in ALL_CODES:
            name = h2.name_of(code)
            wire = g.connect()
            wire.send(get(f"/x/{code}"))
            a = wire.answer()
            if (a.status, a.body, bool(a.cut)) != (200, b"first", True):
                wrong.append(f"{name} to HTTP/1: {a.status} {a.body} cut {a.cut}")
            s = c.get(f"/x/{code}")
            told = s.reset_code()
            due = name if code in (h2.CANCEL, h2.INTERNAL_ERROR, h2.CALM) else "INTERNAL_ERROR"
            if (told, s.body, s.ended) != (due, b"first", False):
                wrong.append(f"{name} to HTTP/2: {told} {s.body} ended {s.ended}, expected {due}")
        for line in g.log(2 * len(ALL_CODES)):
            if line["ending"] != "upstream_reset":
                wrong.append(f"logged: {line['path']} {line['ending']}")
        expect((len(up.wires), up.wires[0].session.resets), (1, []))
    assert not wrong, "\n".join(wrong)


def test_every_reset_of_an_upstream_after_a_grpc_message():
    """gRPC, after the head, where a message ended: trailers with the status of the table, so that the client knows why; in the middle of a message:
    RST_STREAM(INTERNAL_ERROR)."""
    def handler(s):
        _, where, code = s.target.rsplit("/", 2)
        s.send_head([(":status", "200"), ("content-type", "application/grpc")])
        whole = h2.message(b"one")
        s.send(whole if where == "between" else whole + whole[:6])
        time.sleep(0.02)
        s.reset(int(code))

    wrong = []
    with h2_upstream(handler, threaded=True) as up, Gateway(up, upstream=SHARED) as g:
        c = h2.Client(g)
        for code in ALL_CODES:
            s = c.rpc(f"/between/{code}", body=b"x").end()
            due = str(GRPC_OF_CODE.get(code, 13))
            if (s.ended, s.code, s.trailer("grpc-status")) != (True, None, due) or s.body != h2.message(b"one"):
                wrong.append(f"{h2.name_of(code)} between messages: ended {s.ended} code {s.code} {s.trailers}, expected {due}")
            s = c.rpc(f"/inside/{code}", body=b"x").end()
            if (s.ended, h2.name_of(s.code)) != (False, "INTERNAL_ERROR"):
                wrong.append(f"{h2.name_of(code)} inside a message: ended {s.ended} code {h2.name_of(s.code)} {s.trailers}")
        del up
    assert not wrong, "\n".join(wrong)


def test_a_reset_behind_a_whole_answer_is_its_end():
    """T8: RST_STREAM, NO_ERROR or any other code, in the same write as the end of the answer while the upload still runs: the answer is delivered
    whole, to either client; the upload stops, and nothing is counted as a failure."""
    body = b"b" * 100_000
    for code in (h2.NO_ERROR, h2.CANCEL, h2.INTERNAL_ERROR, h2.REFUSED):
        def handler(s, code=code):
            s.send_head([(":status", "413")])
            s.send(body)
            block = s.session.encoder.encode([("x-trailer", "yes")])
            s.session.send_raw(h2.frame(h2.HEADERS, h2.END_STREAM | h2.END_HEADERS, s.id, block) +
                               h2.frame(h2.RST_STREAM, 0, s.id, struct.pack(">I", code)))

        with h2_upstream(handler, at="head", threaded=True) as up, Gateway(up, upstream=SHARED) as g:
            c = h2.Client(g)
            s = c.post("/", "content-length: 1000000")
            s.send(b"x" * 10000)
            s.whole()
            expect((s.status, s.body == body, s.trailers), (413, True, [("x-trailer", "yes")]))
            expect(s.reset_code(), "NO_ERROR")  # what is left of the upload is not wanted
            wire = g.connect()
            wire.send(post("/", b"x" * 1_000_000)[:20_000])
            a = wire.answer()
            expect((a.status, a.body == body, a.cut), (413, True, None))
            expect([l["ending"] for l in g.log(2)], ["completed"] * 2)
            expect(len(up.wires), 1)


def test_an_answer_before_the_end_of_the_upload():
    """An upstream that answers before it read the upload, and goes on reading: the answer is delivered, and the upload broken off both ways."""
    with h2_upstream(lambda s: s.answer(401, body=b"no"), at="head") as up, Gateway(up, upstream=SHARED) as g:
        c = h2.Client(g)
        s = c.post("/", "content-length: 1000000")
        s.send(b"x" * 10000)
        s.whole()
        expect((s.status, s.body), (401, b"no"))
        expect(s.reset_code(), "NO_ERROR")
        expect(up.requests[0].reset_code(), "CANCEL")
        expect(g.logged()["ending"], "completed")


# ---- the upstream's connection -------------------------------------------------------------------------------------------------------------


def test_an_upstream_connection_that_is_lost():
    """FIN or RST of the upstream's connection under three streams: 502 (UNAVAILABLE to gRPC) where the head was not out, truncation where it was."""
    for how in ("close", "reset"):
        def handler(s, how=how):
            if s.target == "/begun":
                s.send_head([(":status", "200")])
                s.send(b"some")
            if s.target == "/last":
                time.sleep(0.05)
                if how == "close":
                    s.session.wire.half_close()
                else:
                    s.session.wire.reset()

        with h2_upstream(handler, threaded=True) as up, Gateway(up, upstream=SHARED, policy=ONCE) as g:
            c = h2.Client(g)
            begun = c.get("/begun").data(4)
            rpc = c.rpc("/a.B/C", body=b"x")
            up.wait_requests(2)
            last = c.ask("POST", "/last", body=b"not idempotent")
            expect((begun.reset_code(), begun.body), ("INTERNAL_ERROR", b"some"))
            rpc.whole()
            expect((rpc.status, rpc.trailer("grpc-status")), (200, "14"))
            expect(last.whole().status, 502)
            expect({l["ending"] for l in g.log(3)}, {"upstream_closed"})


def test_goaway_of_an_upstream():
    """T15: after GOAWAY, streams up to its last id finish; those above were not processed and are sent again on another connection, also a POST with
    its body; new requests go there as well, and the old connection is closed when it is done."""
    release = threading.Event()

    def handler(s):
        if s.session is not up.wires[0].session:
            s.answer(200, body=b"on the second " + s.body)
        elif s.target == "/old":
            release.wait(10)
            s.answer(200, body=b"on the first")
        elif s.target == "/above":
            s.session.goaway(s.id - 2)

    upstream = {"protocol": "http2", "max_connections": 2}
    with h2_upstream(handler, threaded=True) as up, Gateway(up, upstream=upstream) as g:
        c = h2.Client(g)
        old = c.get("/old")
        up.wait_requests(1)
        above = c.ask("POST", "/above", body=b"body")
        expect(above.whole().body, b"on the second body")
        expect(c.get("/new").whole().body, b"on the second ")
        release.set()
        expect(old.whole().body, b"on the first")
        expect(up.wait_end(0, 2)[0], "fin")
        expect([s.target for s in up.wires[0].session.streams.values()], ["/old", "/above"])
        expect({l["ending"] for l in g.log(3)}, {"completed"})


def test_goaway_under_many_streams():
    """T15: GOAWAY below 63 of 64 streams, as from a server that restarts: all of them are answered on the next connection, however small the retry
    budget, which is for what failed."""
    with h2_upstream(lambda s: None) as up, Gateway(up, upstream={"protocol": "http2"}) as g:
        c = h2.Client(g)
        asked = [c.ask("POST", "/", body=b"body") for _ in range(64)]
        up.wait_requests(64)
        up.script = h2.serve(lambda s: s.answer(200, body=b"second " + s.body))
        first = up.requests[0]
        first.session.goaway(first.id)
        first.answer(200, body=b"first")
        expect([s.whole().status for s in asked], [200] * 64)
        expect([bytes(s.body) for s in asked].count(b"second body"), 63)
        expect({(l["ending"], l.get("no_retry")) for l in g.log(64)}, {("completed", None)})


def test_goaway_in_two_phases():
    """A first GOAWAY with the highest id (nghttp2, Envoy, Go): what is under way goes on, nothing new comes; the second one ends it."""
    told, served = threading.Event(), threading.Event()

    def handler(s):
        if s.target == "/old" and s.session is up.wires[0].session:
            s.session.goaway(2**31 - 1)
            s.session.round_trip()
            told.set()
            served.wait(20)
            s.answer(200, body=b"old")
            s.session.goaway(s.id)
        else:
            s.answer(200, body=b"new")

    with h2_upstream(handler, threaded=True) as up, Gateway(up, upstream={"protocol": "http2", "max_connections": 2}) as g:
        c = h2.Client(g)
        old = c.get("/old")
        assert told.wait(20)
        expect(c.get("/new").whole().body, b"new")
        served.set()
        expect(old.whole().body, b"old")
        expect(len(up.wires), 2)
        up.wait_end(0, 2)


def test_goaway_that_takes_back_more_and_more():
    """RFC 9113 6.8: a second and a third GOAWAY, with lower ids and an error at last: what each of them passes over goes elsewhere, what is below all of them
    ends where it is; and one that gives ids back ends the connection (PROTOCOL_ERROR)."""
    with h2_upstream(h2.silent) as up, Gateway(up, upstream={"protocol": "http2"}) as g:
        c = h2.Client(g)
        asked = [c.get(f"/{i}") for i in range(6)]
        up.wait_requests(6)
        ids = {r.target: r.id for r in up.requests}
        first = up.requests[0].session
        up.script = h2.answering(b"elsewhere")
        first.goaway(2**31 - 1)
        for last, moved in (("/3", ("/4", "/5")), ("/1", ("/2", "/3"))):
            first.goaway(ids[last], h2.NO_ERROR if last == "/3" else h2.INTERNAL_ERROR)
            expect({bytes(asked[int(m[1:])].whole().body) for m in moved}, {b"elsewhere"}, last)
        up.requests[0].answer(200, body=b"stayed")
        expect(asked[0].whole().body, b"stayed")
        expect(asked[1].fields, None)
        first.goaway(ids["/5"])
        expect(asked[1].end().status, 502)
        eventually(lambda: first.ended, what="the end of the connection")
        expect([code for _, code in first.goaways], [h2.PROTOCOL_ERROR])


def test_a_reset_and_goaway_in_one_read():
    """T15: RST_STREAM of one stream and GOAWAY below another in one segment: the first gets its 502, the second goes to another connection, and the
    gateway goes on."""
    def handler(s):
        session = s.session
        if session is not up.wires[0].session:
            s.answer(200, body=b"elsewhere")
        elif s.target == "/second":
            session.send_raw(h2.frame(h2.RST_STREAM, 0, 1, struct.pack(">I", h2.INTERNAL_ERROR)) +
                             h2.frame(h2.GOAWAY, 0, 0, struct.pack(">II", 1, h2.NO_ERROR)))

    with h2_upstream(handler) as up, Gateway(up, upstream={"protocol": "http2", "max_connections": 2}) as g:
        c = h2.Client(g)
        first = c.ask("POST", "/first", body=b"1")
        up.wait_requests(1)
        second = c.ask("POST", "/second", body=b"2")
        expect(first.whole().status, 502)
        expect(second.whole().body, b"elsewhere")
        expect(up.wait_end(0, 2)[0], "fin")
        expect(c.get("/more").whole().body, b"elsewhere")


def test_goaway_with_an_error_ends_its_streams_in_truth():
    """GOAWAY(INTERNAL_ERROR) and the end of the connection, as a server does that had enough: streams up to the last id are upstream_closed."""
    def handler(s):
        s.session.goaway(s.id, h2.INTERNAL_ERROR)
        s.session.wire.half_close()

    with h2_upstream(handler) as up, Gateway(up, upstream=SHARED, policy=ONCE) as g:
        expect(h2.Client(g).ask("POST", "/", body=b"x").whole().status, 502)
        expect(g.logged()["ending"], "upstream_closed")
        del up


def test_a_broken_upstream_is_told_so():
    """An upstream that breaks the protocol gets GOAWAY with RFC 9113's code; its requests are upstream_error: 502."""
    def handler(s):
        s.session.send_raw(h2.frame(h2.DATA, 0, 0, b"x"))

    with h2_upstream(handler) as up, Gateway(up, upstream=SHARED, policy=ONCE) as g:
        expect(h2.Client(g).get().whole().status, 502)
        expect(g.logged()["ending"], "upstream_error")
        eventually(lambda: up.wires[0].session.ended, what="the end of the connection")
        expect([h2.name_of(code) for _, code in up.wires[0].session.goaways], ["PROTOCOL_ERROR"])


def test_a_server_of_http1_behind_protocol_http2():
    """An upstream that answers the preface in HTTP/1: its requests fail with 502, and the log says what was wrong."""
    def script(wire):
        wire.until(b"SM\r\n\r\n")
        wire.send(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        wire.to_end()

    with Upstream(script) as up, Gateway(up, upstream=SHARED, policy=ONCE) as g:
        expect(g.ask(get("/")).status, 502)
        expect_in(g.logged()["ending"], ("upstream_error", "upstream_closed"))
        del up


# ---- windows ------------------------------------------------------------------------------------------------------------------------------------


def test_ten_thousand_cancels_leave_the_upstreams_window_where_it_was():
    """T12: 10,000 answers cancelled with up to 64 KiB in flight each: what still arrives is given back, so that in the end the upstream may send as
    much on that one connection as in the beginning."""
    def handler(s):
        s.send_head([(":status", "200")])
        if s.target == "/whole":
            s.send(b"z" * 3_000_000, end=True)
        else:
            s.send(b"x" * min(65536, s.send_window, s.session.send_window), wait=False)

    upstream = {**SHARED, "reset_budget": {"burst": 1000000, "rate": "1000000/s"}}
    with h2_upstream(handler, keep_frames=False) as up, Gateway(up, upstream=upstream, plain=True) as g:
        c = h2.Client(g)
        c.get("/whole").whole(30)
        c.credit = "connection"
        session = up.wires[0].session
        begun = time.monotonic()
        for done in range(0, 10_000, 50):
            batch = [c.get(f"/{done + i}") for i in range(50)]
            c.until(lambda b=batch: all(s.fields for s in b), "the heads", 30)
            for s in batch:
                s.reset()
            for s in batch:
                c.streams.pop(s.id)
        took = time.monotonic() - begun
        up.wait_requests(10_001)
        eventually(lambda: len(session.resets) == 10_000, 20, "10,000 resets at the upstream")
        c.credit = "all"
        expect(len(c.get("/whole").whole(30).body), 3_000_000)
        lowest = session.send_window
        note(f"10,000 cancels in {took:.1f} s; the upstream's window of the connection is {lowest}")
        expect_between(lowest, (1 << 20) // 2, (1 << 20) + h2.WINDOW, "the connection's window")
        expect(len(up.wires), 1)
        expect({code for _, code, _ in session.resets}, {h2.CANCEL})


def test_ten_thousand_cancelled_uploads_leave_the_clients_window_where_it_was():
    """T12, the other side: 10,000 uploads that their client resets with 64 KiB in flight, which no upstream took: the client's window of the connection
    is what it was."""
    upstream = {**SHARED, "reset_budget": {"burst": 1000000, "rate": "1000000/s"}}
    with h2_upstream(lambda s: s.target == "/end" and s.answer(200, body=b"%d" % len(s.body)), keep_frames=False) as up, \
            Gateway(up, upstream=upstream, plain=True) as g:
        c = h2.Client(g, settings={})
        c.settled()
        c.round_trip()
        before = c.send_window
        begun = time.monotonic()
        for n in range(10_000):
            s = c.post(f"/{n}")
            while not s.send(b"x" * 65536, wait=False):
                c.pump(1)  # the connection's window is used up: some is given back
            s.reset()
            c.streams.pop(s.id)
            if n % 100 == 99:
                c.round_trip()
        took = time.monotonic() - begun
        c.round_trip()
        note(f"10,000 cancelled uploads in {took:.1f} s; the window was {before}, is {c.send_window}")
        expect_between(c.send_window, before // 2, before + h2.WINDOW)
        expect(c.ask("POST", "/end", body=b"y" * 2_000_000).whole(30).body, b"2000000")
        expect(len(up.wires), 1)


def test_a_zero_window_and_the_deadline():
    """T17: an upstream that gives no window for the upload: the deadline fires all the same, answers 504, and RST_STREAM(CANCEL) goes out."""
    policy = {"deadline": {"read": ["x-request-timeout"], "default": "20s"}}
    with h2_upstream(h2.silent, settings={h2.INITIAL_WINDOW: 0}) as up, Gateway(up, upstream=SHARED, policy=policy) as g:
        c = h2.Client(g)
        begun = time.monotonic()
        s = c.ask("POST", "/", "x-request-timeout: 300ms", body=b"x" * 200_000)
        expect(s.whole().status, 504)
        expect_between((s.ended_at - begun) * 1000, 295, 450, "ms")
        expect(up.requests[0].reset_code(SOON), "CANCEL")
        # RFC 9113 6.9.2: until our SETTINGS came, the window was 65,535
        expect_between(len(up.requests[0].body), 0, 65535, "bytes of the upload")
        line = g.logged()
        expect((line["ending"], line["cancel_level"]), ("deadline", "native"))


# ---- budgets --------------------------------------------------------------------------------------------------------------------------------------


def most_resets(session, rate, burst):
    """The largest excess over burst + rate × time since the session began."""
    return max((n - burst - rate * (at - session.since) for n, (_, _, at) in enumerate(session.resets, 1)), default=-burst)


def flood_of_resets(batch, patience):
    """A trusted client opens and resets 10,000 streams, `batch` at a time; each batch is on its way upstream before it is reset. On the upstream's first
    connection a neighbour's stream ticks all the while; others make requests, each of which is served within `patience`."""
    done = threading.Event()

    def tick(s):
        s.send_head([(":status", "200")])
        while not done.wait(0.05) and not s.session.ended:
            s.send(b"tick")
        s.send(b"", end=True)

    def handler(s):
        if s.target == "/neighbour":
            threading.Thread(target=tick, args=(s,), daemon=True).start()
        elif s.target == "/quick":
            s.answer(200, body=b"quick")

    burst, rate = 20, 10
    upstream = {"protocol": "http2", "reset_budget": {"burst": burst, "rate": f"{rate}/s"}}
    with h2_upstream(handler, keep_frames=False) as up, Gateway(up, upstream=upstream, plain=True) as g:
        n, others, c = h2.Client(g), h2.Client(g), h2.Client(g)
        neighbour = n.get("/neighbour").data(8)
        begun, longest = time.monotonic(), 0
        for i in range(0, 10_000, batch):
            streams = [c.get(f"/{i + k}") for k in range(batch)]
            if batch > 1:
                c.round_trip()
            for s in streams:
                s.reset()
                c.streams.pop(s.id)
            if i % 500 == 0:
                c.round_trip()
                asked, before = time.monotonic(), len(neighbour.body)
                expect(others.get("/quick").whole(patience).body, b"quick")
                longest = max(longest, time.monotonic() - asked)
                n.until(lambda b=before: len(neighbour.body) > b or neighbour.over(), "a tick of the neighbour", 2)
        took = time.monotonic() - begun
        expect(up.wires[0].session.ended, None)  # it may retire when the neighbour is done
        done.set()
        neighbour.whole()
        assert neighbour.body == b"tick" * (len(neighbour.body) // 4), "the neighbour's stream is broken"
        sessions = [w.session for w in up.wires if hasattr(w, "session")]
        excess = max(most_resets(s, rate, burst) for s in sessions)
        note(f"{took:.1f} s, {len(sessions)} connections, {sum(len(s.resets) for s in sessions)} resets and {len(up.requests)} requests seen upstream, "
             f"slowest of the others {longest * 1000:.0f} ms")
        expect_between(excess, -burst, 3, "resets above the budget, with 0.3 s for those who look at the clock late")
        expect({code for s in sessions for _, code, _ in s.resets}, {h2.CANCEL})


def test_a_client_that_resets_ten_thousand_streams_costs_its_neighbours_nothing():
    """The reset budget: no connection of the upstream ever sees more than burst + rate × time RST_STREAM; a neighbour's stream on the same connection goes on
    undisturbed; requests past the budget use other connections. Fifty streams are reset at a time, all of them seen upstream."""
    flood_of_resets(50, 5)


def test_a_client_that_resets_each_stream_at_once_costs_its_neighbours_nothing():
    """The same where each HEADERS has its RST_STREAM right behind it: what was not sent yet is withdrawn, which needs no budget."""
    flood_of_resets(1, 2)


def test_cancels_past_the_budget_wait_for_their_token():
    """Past the budget a cancelled stream is not forgotten: it waits for a token, gets no more window meanwhile, and is reset, oldest first."""
    def handler(s):
        s.send_head([(":status", "200")])
        while s.code is None and not s.session.ended:
            s.send(b"x" * 4096, wait=False)
            time.sleep(0.002)

    upstream = {"protocol": "http2", "max_connections": 4, "reset_budget": {"burst": 2, "rate": "5/s"}, "http2": {"retire_after": "10s"}}
    with h2_upstream(handler, threaded=True) as up, Gateway(up, upstream=upstream) as g:
        c = h2.Client(g)
        streams = [c.get(f"/{i}").data(4096) for i in range(6)]
        expect(len(up.wires), 1)
        begun = time.monotonic()
        for s in streams:
            s.reset()
        session = up.wires[0].session
        eventually(lambda: len(session.resets) == 6, 5, "six resets")
        at = [t - begun for _, _, t in session.resets]
        expect([n for n, _, _ in session.resets], [1, 3, 5, 7, 9, 11])
        expect_between(at[1], 0, 0.15)
        expect_between(at[5], 0.6, 1.3, "seconds until the last of four that waited, at 5/s")
        late = c.get("/late")
        late.data(100)
        late.reset()
        expect({l["cancel_level"] for l in g.log(6)[:6]}, {"native"})


def test_a_connection_that_is_past_its_budget_retires():
    """Where a cancelled stream has waited drain_limit.time for its token, the connection retires when its other streams are done; new requests use
    another at once."""
    release = threading.Event()

    def handler(s):
        if s.target == "/neighbour":
            release.wait(20)
            s.answer(200, body=b"done")
        elif s.target == "/other":
            s.answer(200, body=b"other")

    upstream = {"protocol": "http2", "max_connections": 4, "reset_budget": {"burst": 1, "rate": "1/h"}, "http2": {"retire_after": "300ms"}}
    with h2_upstream(handler, threaded=True) as up, Gateway(up, upstream=upstream) as g:
        c = h2.Client(g)
        neighbour = c.get("/neighbour")
        streams = [c.get(f"/{i}") for i in range(3)]
        up.wait_requests(4)
        for s in streams:
            s.reset()
        c.round_trip()
        expect(c.get("/other").whole().body, b"other")
        expect(len(up.wires), 2, "connections")
        time.sleep(0.5)
        expect(up.wires[0].session.ended, None)  # the neighbour is still on it
        release.set()
        expect(neighbour.whole().body, b"done")
        up.wait_end(0, 2)
        expect(len(up.wires[0].session.resets), 1)


def test_rapid_reset_by_an_untrusted_client():
    """Rapid reset (CVE-2023-44487): past the listener's http2.resets an untrusted client gets GOAWAY(ENHANCE_YOUR_CALM) and is gone; the upstream saw no more
    than that many of its requests."""
    listener = {"trust": "none", "http2": {"resets": {"burst": 50, "rate": "10/s"}}}
    upstream = {**SHARED, "reset_budget": {"burst": 1000, "rate": "1000/s"}}
    with h2_upstream(h2.silent) as up, Gateway(up, listener=listener, upstream=upstream) as g:
        c = h2.Client(g)
        sent = 0
        while not c.ended and sent < 5000:
            c.get(f"/{sent}").reset()
            sent += 1
            c.pump()
        c.expect_end()
        expect([h2.name_of(code) for _, code in c.goaways], ["ENHANCE_YOUR_CALM"])
        time.sleep(0.1)
        note(f"{sent} sent, {len(up.requests)} seen upstream")
        expect_between(len(up.requests), 0, 70)
        expect(h2.Client(g).round_trip().ended, None)


def test_rapid_reset_by_a_trusted_client():
    """The same from a trusted balancer, which carries many users' cancels, is no attack: 1,000 resets at once, and the connection goes on."""
    listener = {"http2": {"resets": {"burst": 50, "rate": "10/s"}}}
    upstream = {"protocol": "http2", "reset_budget": {"burst": 2000, "rate": "1000/s"}}
    with h2_upstream(lambda s: s.target == "/end" and s.answer(200, body=b"here")) as up, Gateway(up, listener=listener, upstream=upstream) as g:
        c = h2.Client(g)
        for i in range(1000):
            c.get(f"/{i}").reset()
        expect(c.get("/end").whole().body, b"here")
        expect(c.goaways, [])
        del up


PROVOKED = {  # how a client makes us reset its stream → the fields of its head, and what follows it
    "a window past 2^31-1": ((), lambda c, s: c.send_frame(h2.WINDOW_UPDATE, 0, s.id, b"\x7f\xff\xff\xff")),
    "more than content-length": (("content-length: 5",), lambda c, s: c.send_frame(h2.DATA, 0, s.id, b"x" * 10)),
    "less than content-length": (("content-length: 5",), lambda c, s: c.send_frame(h2.DATA, h2.END_STREAM, s.id, b"x")),
    "nothing of content-length": (("content-length: 5",), lambda c, s: c.send_frame(h2.DATA, h2.END_STREAM, s.id)),
    "trailers without END_STREAM": ((), lambda c, s: c.send_headers(s.id, [("x", "x")])),
    "a trailer of the connection": ((), lambda c, s: c.send_headers(s.id, [("connection", "x")], end=True)),
    "a trailer that routes": ((), lambda c, s: c.send_headers(s.id, [("host", "x")], end=True)),
}


def test_provoked_resets_count_as_well():
    """MadeYouReset (CVE-2025-8671): a client whose broken frames make us reset its streams is bounded like one that resets them itself, by whichever of the
    rules it breaks."""
    listener = {"trust": "none", "http2": {"resets": {"burst": 50, "rate": "10/s"}}}
    for what, (fields, provoke) in PROVOKED.items():
        with h2_upstream(h2.silent) as up, Gateway(up, listener=listener, upstream=SHARED) as g:
            c = h2.Client(g)
            sent = 0
            while not c.ended and sent < 1000:
                provoke(c, c.post(f"/{sent}", *fields))
                sent += 1
                c.pump()
                if sent % 50 == 0:
                    c.send_frame(h2.PING, 0, 0, b"roundtrp")
                    c.until(lambda: c.ended or c.pings * 50 >= sent, "what was sent is read")  # pylint: disable=cell-var-from-loop
            c.expect_end()
            expect([h2.name_of(code) for _, code in c.goaways], ["ENHANCE_YOUR_CALM"], what)
            expect_between(len(up.requests), 0, 200, what)  # the burst, and what one read holds: up to max_concurrent_streams


def test_a_head_is_delivered_though_its_answer_failed_in_the_same_read():
    """An upstream's head with the end of its answer right behind it reaches the client before the cut does (semantics 4), as the log says: a connection of HTTP/1
    that ends without a byte is taken for a stale one, and its request sent again."""
    begun = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"

    def http1(end):
        def script(wire):
            wire.head()
            wire.send(begun + end)
        return script

    def reset(s):
        s.session.send_raw(h2.frame(h2.HEADERS, h2.END_HEADERS, s.id, b"\x88") + h2.frame(h2.RST_STREAM, 0, s.id, h2.INTERNAL_ERROR.to_bytes(4, "big")))

    for script, protocol in ((http1(b"no chunk\r\n"), "http1"), (http1(b""), "http1"), (h2.serve(reset), "http2")):
        with Upstream(script) as up, Gateway(up, upstream={"protocol": protocol}) as g:
            c = g.connect()
            c.send(get("/"))
            a = c.answer()
            expect((a.status, a.body, a.cut), (200, b"", "fin"))
            s = h2.Client(g).get("/").head()
            expect((s.status, s.reset_code()), (200, "INTERNAL_ERROR"))
            expect([line["status"] for line in g.log(2)], [200, 200])
            del up


def test_answers_that_came_meanwhile_are_delivered_first():
    """What the upstream sent before its reset reaches a slow HTTP/2 client before the reset does (semantics 4)."""
    def handler(s):
        s.send_head([(":status", "200")])
        s.send(b"x" * 100_000)
        s.reset(h2.INTERNAL_ERROR)
        s.session.round_trip()
        told.set()

    told = threading.Event()
    with h2_upstream(handler, threaded=True) as up, Gateway(up, upstream=SHARED) as g:
        c = h2.Client(g, credit="connection")
        s = c.get("/").data(h2.WINDOW)
        assert told.wait(20)
        c.credit = "all"
        s.credit()
        expect(s.reset_code(), "INTERNAL_ERROR")
        expect(len(s.body), 100_000)
        del up
