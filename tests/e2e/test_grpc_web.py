# SPDX-License-Identifier: Apache-2.0
"""gRPC-Web clients, binary and text: translated to a gRPC upstream, and passed on as they are (semantics 3 and 4; PROTOCOL-WEB)."""
import time

import h2
from harness import Gateway, Upstream, expect, expect_between, get, ok, post, request, serve, silent
from rpc import PATH, Translating, echoes, frame, frames, only, plain, says, text

WEB, TEXT = "Content-Type: application/grpc-web+proto", "Content-Type: application/grpc-web-text+proto"


def trailers(flags_and_bytes):
    flags, data = flags_and_bytes
    expect(flags, 0x80, "flags of the last frame")
    assert data.endswith(b"\r\n"), data
    return [tuple(line.split(": ", 1)) for line in data.decode().split("\r\n")[:-1]]


def test_a_call():
    """The same messages; the upstream's trailers are the last frame of the body, and its fields are gRPC's."""
    with Translating(says(b"one", b"two", head=["x-lead: 1"], trailers=["grpc-status: 0", "grpc-message: ", "x-trail: 2"])) as (up, g):
        answer = g.ask(post(PATH, frame(b"question"), WEB, "X-Grpc-Web: 1", "X-User-Agent: grpc-web-javascript/0.1", "Grpc-Timeout: 5S", "Accept: */*",
                            "Accept-Encoding: gzip, br"))
        expect((answer.status, answer.get("content-type"), answer.get("x-lead")), (200, "application/grpc-web+proto", "1"))
        got = frames(answer.body)
        expect(got[:2], [(0, b"one"), (0, b"two")])
        expect(trailers(got[2]), [("grpc-status", "0"), ("x-trail", "2")])
        s = up.requests[0]
        expect((s.method, s.target, s.body), ("POST", PATH, frame(b"question")))
        expect((s.get("content-type"), s.get("te"), s.get("x-grpc-web"), s.get("accept"), s.get("accept-encoding"), s.get("content-length")),
               ("application/grpc+proto", "trailers", None, None, None, None))
        assert s.get("grpc-timeout"), s.fields
        line = g.logged()
        expect((line["rpc"], line["grpc_status"], line["ending"], line["deadline_source"]), ("grpc-web", 0, "completed", "grpc-timeout"))


def test_text():
    """Base64 both ways, in runs that are padded anywhere; the answer's form is what Accept says, else the request's."""
    with Translating(echoes) as (up, g):
        for body in (text(frame(b"question")), text(frame(b"question")[:4]) + text(frame(b"question")[4:])):
            answer = g.ask(post(PATH, body, TEXT))
            expect(answer.get("content-type"), "application/grpc-web-text+proto")
            got = frames(plain(answer.body))
            expect(got[0], (0, b"question"))
            expect(trailers(got[1])[0], ("grpc-status", "0"))
        answer = g.ask(post(PATH, body, TEXT, "Accept: application/grpc-web"))
        expect((answer.get("content-type"), frames(answer.body)[0]), ("application/grpc-web+proto", (0, b"question")))
        answer = g.ask(post(PATH, frame(b"question"), WEB, "Accept: application/grpc-web-text"))
        expect((answer.get("content-type"), frames(plain(answer.body))[0]), ("application/grpc-web-text+proto", (0, b"question")))
        expect({bytes(s.body) for s in up.requests}, {frame(b"question")})


def test_text_byte_by_byte():
    """A request in base64 that comes in single bytes."""
    with Translating(echoes) as (_, g):
        c = g.connect()
        body = text(frame(b"a")) + text(frame(b"bcd"))
        c.send(request("POST", PATH, TEXT, f"Content-Length: {len(body)}"))
        c.dribble(body)
        expect([d for _, d in frames(plain(c.answer().body))[:2]], [b"a", b"bcd"])


def test_big_bodies():
    """Megabytes in text and binary, over HTTP/1 and HTTP/2: every window is opened again, though the bytes of both sides are not as many."""
    data = frame(bytes(range(256)) * 8192)
    with Translating(echoes) as (_, g):
        expect(frames(g.ask(post(PATH, data, WEB)).body)[0][1], data[5:])
        expect(frames(plain(g.ask(post(PATH, text(data), TEXT)).body))[0][1], data[5:])
        c = h2.Client(g)
        for kind, body in (("", data), ("-text", text(data))):
            s = c.post(PATH, f"content-type: application/grpc-web{kind}")
            s.send(body, end=True)
            whole = s.whole().body
            expect(frames(plain(whole) if kind else whole)[0][1], data[5:])


def test_messages_are_not_held_back():
    """A server stream in text: each message can be decoded before the next is sent."""
    def handler(s):
        s.send_head([(":status", "200"), ("content-type", "application/grpc+proto")])
        for i in range(4):
            s.send(frame(b"%d" % i))
            time.sleep(0.05)
        s.send_trailers("grpc-status: 0")
    with Translating(handler, threaded=True) as (_, g):
        s = h2.Client(g).ask("POST", PATH, "content-type: application/grpc-web-text", body=text(frame(b"")))
        for i in range(4):
            s.data(8 * (i + 1))
            expect(frames(plain(s.body))[i], (0, b"%d" % i))
        expect_between(len(s.whole().pieces), 4, 9)


def test_trailers_only():
    """A trailers-only answer stays one: the status in the head, no body."""
    with Translating(only("grpc-status: 7", "grpc-message: not%20you", "grpc-status-details-bin: CAc", "x-more: 1")) as (_, g):
        answer = g.ask(post(PATH, frame(b""), WEB))
        expect((answer.status, answer.get("grpc-status"), answer.get("grpc-message"), answer.get("grpc-status-details-bin"), answer.get("x-more"), answer.body),
               (200, "7", "not you", "CAc", "1", b""))
        expect(answer.get("content-type"), "application/grpc-web+proto")
        expect(g.logged()["grpc_status"], 7)


def test_errors_after_messages():
    """A status in trailers, with its message and details as they came."""
    with Translating(says(b"a", trailers=["grpc-status: 13", "grpc-message: 100%25%0A", "grpc-status-details-bin: CA0="])) as (_, g):
        got = frames(g.ask(post(PATH, frame(b""), WEB)).body)
        expect(trailers(got[1]), [("grpc-status", "13"), ("grpc-message", "100%25%0A"), ("grpc-status-details-bin", "CA0=")])


def test_answers_that_are_not_grpc():
    """A page of some proxy becomes the status that its HTTP status stands for; an answer without a status is INTERNAL."""
    rows = [(lambda s: s.answer(503, "content-type: text/html", body=b"<p>"), "14"), (lambda s: s.answer(404), "12"), (says(b"a", trailers=["x: 1"]), "13")]
    for handler, status in rows:
        with Translating(handler) as (_, g):
            answer = g.ask(post(PATH, frame(b""), WEB))
            expect(answer.status, 200)
            expect(answer.get("grpc-status") or dict(trailers(frames(answer.body)[-1]))["grpc-status"], status)


def test_a_deadline_before_the_head():
    """DEADLINE_EXCEEDED as trailers-only in the client's own type, on time; RST_STREAM(CANCEL) to the upstream."""
    with Translating(h2.silent) as (up, g):
        for kind in (WEB, TEXT):
            begun = time.monotonic()
            answer = g.ask(post(PATH, frame(b"") if kind is WEB else text(frame(b"")), kind, "Grpc-Timeout: 300m"))
            expect_between((time.monotonic() - begun) * 1000, 300, 420)
            expect((answer.status, answer.get("grpc-status"), answer.body), (200, "4", b""))
            expect("Content-Type: " + answer.get("content-type"), kind)
        expect([s.reset_code() for s in up.requests], ["CANCEL"] * 2)


def test_a_deadline_after_the_head():
    """Between two messages a frame of trailers, in either form, and a good end; in the middle of one the body is cut."""
    def stops(after):
        def handler(s):
            s.send_head([(":status", "200"), ("content-type", "application/grpc+proto")]).send(after)
        return handler
    with Translating(stops(frame(b"whole"))) as (up, g):
        got = frames(g.ask(post(PATH, frame(b""), WEB, "Grpc-Timeout: 300m")).body)
        expect((got[0], dict(trailers(got[1]))["grpc-status"]), ((0, b"whole"), "4"))
        got = frames(plain(g.ask(post(PATH, text(frame(b"")), TEXT, "Grpc-Timeout: 300m")).body))
        expect((got[0], dict(trailers(got[1]))["grpc-status"]), ((0, b"whole"), "4"))
        expect([s.reset_code() for s in up.requests], ["CANCEL"] * 2)
        expect([(l["ending"], l["grpc_status"]) for l in g.log(2)], [("deadline", 4)] * 2)
    with Translating(stops(frame(b"whole") + frame(b"cut")[:6])) as (up, g):
        c = g.connect()
        c.send(post(PATH, frame(b""), WEB, "Grpc-Timeout: 300m"))
        seen = c.to_end()
        assert b"whole" in seen and b"grpc-status" not in seen and not seen.endswith(b"0\r\n\r\n"), seen
        s = h2.Client(g).ask("POST", PATH, "content-type: application/grpc-web", "grpc-timeout: 300m", body=frame(b""))
        expect((s.reset_code(), s.body), ("CANCEL", frame(b"whole") + frame(b"cut")[:6]))


def test_an_upstream_that_resets():
    """RST_STREAM between two messages is a frame of trailers with the status that its code stands for."""
    def handler(s):
        s.send_head([(":status", "200"), ("content-type", "application/grpc")]).send(frame(b"whole"))
        s.reset(h2.CALM)
    with Translating(handler) as (_, g):
        got = frames(g.ask(post(PATH, frame(b""), WEB)).body)
        expect((got[0], dict(trailers(got[1]))["grpc-status"]), ((0, b"whole"), "8"))


def test_an_abort_reaches_the_upstream():
    """fetch's abort() while a stream runs: RST_STREAM(CANCEL) at the gRPC upstream within milliseconds."""
    def handler(s):
        s.send_head([(":status", "200"), ("content-type", "application/grpc")]).send(frame(b"first"))
    with Translating(handler) as (up, g):
        c = g.connect()
        c.send(post(PATH, frame(b""), WEB))
        c.until(b"first")
        begun = time.monotonic()
        c.close()
        expect(up.requests[0].reset_code(), "CANCEL")
        expect_between((up.requests[0].code_at - begun) * 1000, 0, 100)
        expect(g.logged()["cancel_level"], "native")


def test_bad_requests():
    """What is no base64, ends in a message or a quantum, has flags that gRPC has not, or is compressed as a whole: the client's error."""
    with Translating(h2.silent) as (_, g):
        rows = [(b"!!!!", TEXT), (text(frame(b"abc")[:6]), TEXT), (text(frame(b"abc"))[:-1], TEXT), (frame(b"a", 0x80), WEB), (frame(b"abc")[:7], WEB)]
        for body, kind in rows:
            expect(g.ask(post(PATH, body, kind)).get("grpc-status"), "13")
        expect([l["ending"] for l in g.log(5)], ["client_error"] * 5)
        expect(g.ask(post(PATH, b"zip", WEB, "Content-Encoding: gzip")).get("grpc-status"), "12")


def test_passed_on_untranslated():
    """To an upstream that speaks gRPC-Web itself: the bytes are not touched, the frame of trailers is read for the log, our endings are gRPC-Web's."""
    body = frame(b"a") + frame(b"grpc-status:5\r\n", 0x80)
    with Upstream(serve(lambda wire, message: wire.send(ok(body, WEB)))) as up, Gateway(up) as g:
        expect(g.ask(post(PATH, frame(b""), WEB, "Grpc-Timeout: 2S")).body, body)
        expect((g.logged()["rpc"], g.logged()["grpc_status"]), ("grpc-web", 5))
        assert up.requests[0].get("grpc-timeout"), up.requests[0].fields

    def stalls(wire, message):
        wire.send(b"HTTP/1.1 200 OK\r\nContent-Type: application/grpc-web-text\r\nTransfer-Encoding: chunked\r\n\r\n8\r\n" + text(frame(b"a")) + b"\r\n")
    with Upstream(serve(stalls)) as up, Gateway(up) as g:
        answer = g.ask(post(PATH, text(frame(b"")), TEXT, "Grpc-Timeout: 200m"))
        expect(dict(trailers(frames(plain(answer.body))[1]))["grpc-status"], "4")
    with Upstream(serve(silent)) as up, Gateway(up) as g:
        expect(g.ask(post(PATH, text(frame(b"")), TEXT, "Grpc-Timeout: 200m")).get("grpc-status"), "4")
        expect(g.ask(get("/", "Grpc-Timeout: 200m")).status, 504)


def test_an_answer_that_lacks_only_its_end():
    """An upstream that speaks gRPC-Web itself has said how it ended, and the deadline passes before the wire's own end comes: what it said is whole,
    stays what was said, and ends well; but not where the last frame is cut."""
    last = frame(b"grpc-status: 9\r\n", 0x80)

    def stalls(body):
        return h2.serve(lambda s: s.send_head([(":status", "200"), ("content-type", "application/grpc-web")]).send(body))
    with Upstream(stalls(frame(b"a") + last)) as up, Gateway(up, upstream={"protocol": "http2"}) as g:
        answer = g.ask(post(PATH, frame(b""), WEB, "Grpc-Timeout: 200m"))
        expect((answer.cut, answer.body), (None, frame(b"a") + last))
        s = h2.Client(g).ask("POST", PATH, "content-type: application/grpc-web", "grpc-timeout: 200m", body=frame(b""))
        expect((s.whole().status, bytes(s.body)), (200, frame(b"a") + last))
        expect([(l["ending"], l["grpc_status"], l["cancel_level"]) for l in g.log(2)], [("deadline", 9, "native")] * 2)
    with Upstream(stalls(frame(b"a") + last[:-1])) as up, Gateway(up, upstream={"protocol": "http2"}) as g:
        expect(g.ask(post(PATH, frame(b""), WEB, "Grpc-Timeout: 200m")).cut in ("fin", "rst"), True, "the answer is cut")


def test_translation_needs_http2():
    """A route that translates to an upstream that cannot speak HTTP/2 is refused before it starts."""
    from harness import curfew
    text_of = "version: 1\nlisteners: {{ a: {{ address: 127.0.0.1:1 }} }}\nupstreams: {{ u: {{ {} endpoints: [ 127.0.0.1:2 ] }} }}\n" \
              "routes: [ {{ match: {{}}, upstream: u, translate: {} }} ]\n"
    for protocol, to, wanted in (("", "grpc", "does not speak HTTP/2"), ("protocol: http1,", "grpc", "does not speak HTTP/2"), ("protocol: http2,", "grpc", None),
                                 ("", "none", None), ("protocol: http2,", "grpcc", "did you mean")):
        code, out, err = curfew("check", "-c", "@", text=text_of.format(protocol, to))
        expect(code, 1 if wanted else 0, err)
        assert not wanted or wanted in out + err, out + err
