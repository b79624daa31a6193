# SPDX-License-Identifier: Apache-2.0
"""Connect clients, unary, GET and streams: translated to a gRPC upstream, and passed on as they are (semantics 3 and 4; the Connect protocol)."""
import base64
import gzip
import json
import time

import h2
from harness import Gateway, Upstream, eventually, expect, expect_between, expect_in, get, ok, post, request, serve, silent
from rpc import PATH, Translating, echoes, end_stream, frame, frames, only, says

VERSION = "Connect-Protocol-Version: 1"
JSON, PROTO, STREAM = "Content-Type: application/json", "Content-Type: application/proto", "Content-Type: application/connect+proto"


def call(body=b"question", *fields, kind=PROTO):
    return post(PATH, body, kind, VERSION, *fields)


def error(answer, status, code):
    """The answer is a Connect error."""
    expect(answer.status, status)
    expect(answer.get("content-type"), "application/json")
    expect(answer.json()["code"], code)
    return answer.json()


def test_a_unary_call_is_a_grpc_call():
    """The message gets its length before it and loses the answer's; heads, trailers and deadline are gRPC's on one side and Connect's on the other."""
    with Translating(says(b"answer", head=["x-lead: 1"], trailers=["grpc-status: 0", "x-trail: 2", "x-trail: 3"])) as (up, g):
        answer = g.ask(call(b"question", "Connect-Timeout-Ms: 5000", "X-Custom: yes"))
        expect((answer.status, answer.body), (200, b"answer"))
        expect((answer.get("content-type"), answer.get("content-length"), answer.get("x-lead")), ("application/proto", "6", "1"))
        expect(answer.all("trailer-x-trail"), ["2", "3"])
        expect([n for n, _ in answer.fields if n.lower().startswith("grpc-")], [])
        s = up.requests[0]
        expect((s.method, s.target, s.body), ("POST", PATH, frame(b"question")))
        expect((s.get("content-type"), s.get("te"), s.get("x-custom")), ("application/grpc+proto", "trailers", "yes"))
        expect((s.get("connect-protocol-version"), s.get("connect-timeout-ms"), s.get("content-length")), (None, None, None))
        expect(s.get("grpc-timeout")[-1] in "mun" and len(s.get("grpc-timeout")) > 3, True, s.get("grpc-timeout"))
        line = g.logged()
        expect((line["rpc"], line["status"], line["grpc_status"], line["ending"], line["deadline_source"]), ("connect", 200, 0, "completed", "connect-timeout-ms"))
        expect((line["request_bytes"], line["response_bytes"]), (8, 6))


def test_a_body_without_a_length():
    """A chunked request is held until its length is known; so are several of them on one connection."""
    with Translating(echoes) as (up, g):
        c = g.connect()
        for body in (b"", b"abc", b"x" * 100000):
            c.send(request("POST", PATH, JSON, VERSION, "Transfer-Encoding: chunked"))
            for i in range(0, len(body), 50000):
                c.send(b"%x\r\n%s\r\n" % (len(body[i : i + 50000]), body[i : i + 50000]))
            c.send(b"0\r\n\r\n")
            expect(c.answer().body, body)
        expect([s.body for s in up.requests], [frame(b) for b in (b"", b"abc", b"x" * 100000)])
        expect(up.requests[0].get("content-type"), "application/grpc+json")


def test_big_messages():
    """Three megabytes either way, over HTTP/1 and over HTTP/2, with and without a length: every window is opened again."""
    body = bytes(range(256)) * 12288
    with Translating(echoes) as (_, g):
        expect(g.ask(call(body)).body, body)
        c = h2.Client(g)
        for length in ([f"content-length: {len(body)}"], []):
            s = c.post(PATH, "content-type: application/proto", "connect-protocol-version: 1", *length)
            s.send(body, end=True)
            expect(s.whole().body, body)


def test_too_big_to_hold():
    """A request without a length beyond what is held is resource_exhausted, an answer as well; the upstream is told to stop."""
    with Translating(echoes) as (_, g):
        c = h2.Client(g)
        s = c.post(PATH, "content-type: application/proto", "connect-protocol-version: 1")
        s.send(b"x" * (5 << 20), end=True)
        s.end()
        expect((s.status, json.loads(s.body)["code"]), (429, "resource_exhausted"))
        expect((g.logged()["ending"], g.logged()["grpc_status"]), ("client_error", 8))
    with Translating(lambda s: s.send_head([(":status", "200"), ("content-type", "application/grpc")]).send(frame(b"x" * (5 << 20))[:100000])) as (up, g):
        error(g.ask(call()), 429, "resource_exhausted")
        up.requests[0].reset_code()


def test_get():
    """A GET becomes the POST that it stands for: the message out of its query, plain or base64, and nothing of the query left."""
    with Translating(echoes) as (up, g):
        answer = g.ask(get(PATH + "?connect=v1&encoding=json&message=%7B%22name%22%3A+%22Buf%22%7D"))
        expect((answer.status, answer.body, answer.get("content-type")), (200, b'{"name": "Buf"}', "application/json"))
        binary = bytes(range(256))
        for encoded in (base64.urlsafe_b64encode(binary), base64.urlsafe_b64encode(binary).rstrip(b"=")):
            target = f"{PATH}?message={encoded.decode().replace('=', '%3D')}&base64=1&encoding=proto&connect=v1&more=1"
            expect(g.ask(get(target)).body, binary)
        expect(g.ask(get(PATH + "?encoding=proto&message=")).body, b"")
        expect({(s.method, s.target) for s in up.requests}, {("POST", PATH)})
        expect(up.requests[1].get("content-type"), "application/grpc+proto")


def test_a_get_that_lacks_its_message():
    """connect=v1 without message or encoding, or with a message that is no base64: refused, and the upstream hears nothing."""
    with Translating(echoes) as (up, g):
        for query in ("connect=v1", "connect=v1&encoding=json", "connect=v1&message=x", "connect=v1&encoding=proto&base64=1&message=%21",
                      "connect=v1&encoding=a%0Ab&message=x"):
            expect(g.ask(get(f"{PATH}?{query}")).json()["code"], "internal")
        expect([l["ending"] for l in g.log(5)], ["client_error"] * 5)
        expect(up.requests, [])


def test_a_deadline_is_a_connect_error():
    """The upstream is silent: 504 with deadline_exceeded on time, and RST_STREAM(CANCEL) to the upstream."""
    with Translating(h2.silent) as (up, g):
        begun = time.monotonic()
        said = error(g.ask(call(b"q", "Connect-Timeout-Ms: 300")), 504, "deadline_exceeded")
        expect_between((time.monotonic() - begun) * 1000, 300, 420)
        expect(said["message"], "the deadline passed")
        expect(up.requests[0].reset_code(), "CANCEL")
        line = g.logged()
        expect((line["ending"], line["status"], line["grpc_status"], line["cancel_level"]), ("deadline", 504, 4, "native"))


def test_a_deadline_behind_the_upstreams_head():
    """Half of the gRPC answer came: nothing of it was sent to the client, who gets the whole error."""
    def half(s):
        s.send_head([(":status", "200"), ("content-type", "application/grpc")]).send(frame(b"half of it")[:9])
    with Translating(half) as (up, g):
        error(g.ask(call(b"q", "Connect-Timeout-Ms: 300")), 504, "deadline_exceeded")
        expect(up.requests[0].reset_code(), "CANCEL")


def test_a_client_that_leaves():
    """A browser's abort, FIN on HTTP/1 or RST_STREAM on HTTP/2, reaches the gRPC upstream as RST_STREAM(CANCEL) at once."""
    with Translating(h2.silent) as (up, g):
        c = g.connect()
        c.send(call())
        up.wait_requests(1)
        begun = time.monotonic()
        c.close()
        expect(up.requests[0].reset_code(), "CANCEL")
        expect_between((up.requests[0].code_at - begun) * 1000, 0, 100)
        d = h2.Client(g)
        s = d.ask("POST", PATH, "content-type: application/connect+proto", body=frame(b"a"))
        eventually(lambda: len(up.requests) == 2)
        s.reset(h2.CANCEL)
        expect(up.requests[1].reset_code(), "CANCEL")
        expect([l["ending"] for l in g.log(2)], ["client_closed", "client_reset"])


def test_errors_with_details():
    """grpc-status, grpc-message and grpc-status-details-bin become the JSON error with its code's status, details and trailing metadata."""
    detail = b"\x0a\x28type.googleapis.com/google.rpc.RetryInfo\x12\x04\x0a\x02\x08\x3c"
    status = b"\x08\x0e\x12\x04full\x1a" + bytes([len(detail)]) + detail
    fields = ("grpc-status: 14", "grpc-message: full%3A 100%25", "grpc-status-details-bin: " + base64.b64encode(status).decode().rstrip("="), "x-trail: 1")
    for handler in (only(*fields), says(trailers=fields)):
        with Translating(handler) as (_, g):
            answer = g.ask(call())
            said = error(answer, 503, "unavailable")
            expect(said["message"], "full: 100%")
            expect(said["details"], [{"type": "google.rpc.RetryInfo", "value": "CgIIPA"}])
            expect([n for n, _ in answer.fields if "grpc" in n.lower()], [])
            expect(g.logged()["grpc_status"], 14)


def test_every_code_has_its_status():
    """All sixteen codes, as the Connect specification has them."""
    codes = [("canceled", 499), ("unknown", 500), ("invalid_argument", 400), ("deadline_exceeded", 504), ("not_found", 404), ("already_exists", 409),
             ("permission_denied", 403), ("resource_exhausted", 429), ("failed_precondition", 400), ("aborted", 409), ("out_of_range", 400),
             ("unimplemented", 501), ("internal", 500), ("unavailable", 503), ("data_loss", 500), ("unauthenticated", 401)]
    with Translating(lambda s: only("grpc-status: " + s.get("x-code"))(s)) as (_, g):
        for number, (code, status) in enumerate(codes, 1):
            error(g.ask(call(b"", f"X-Code: {number}")), status, code)
        error(g.ask(call(b"", "X-Code: 77")), 500, "unknown")


def test_answers_that_are_not_what_they_should_be():
    """No status, no message, two messages, a page of some proxy, a message that ends too early: an error each, never half an answer."""
    def page(status):
        return lambda s: s.answer(status, "content-type: text/html", body=b"<p>no</p>")
    rows = [(says(b"a", trailers=["x: 1"]), 500, "internal"), (says(), 500, "internal"), (says(b"a", b"b"), 500, "internal"), (page(503), 503, "unavailable"),
            (page(404), 501, "unimplemented"), (page(200), 500, "unknown"), (page(415), 415, "unknown"), (only("grpc-status: 0"), 500, "internal"),
            (lambda s: s.answer(200, "content-type: application/grpc", body=frame(b"abc")[:6], trailers=["grpc-status: 0"]), 500, "internal"),
            (lambda s: s.answer(200, "content-type: application/grpc", body=frame(b"abc", 0x80), trailers=["grpc-status: 0"]), 500, "internal"),
            (lambda s: s.reset(h2.INTERNAL_ERROR), 500, "internal")]
    for handler, status, code in rows:
        with Translating(handler) as (_, g):
            error(g.ask(call()), status, code)


def test_compression():
    """A compressed request is a compressed message; what the client accepts is said in gRPC's words, and a compressed answer in HTTP's."""
    zipped = gzip.compress(b"question")
    with Translating(says(gzip.compress(b"answer"), head=["grpc-encoding: gzip", "grpc-accept-encoding: gzip,identity"], zipped=True)) as (up, g):
        answer = g.ask(call(zipped, "Content-Encoding: gzip", "Accept-Encoding: gzip;q=0.9, br, zstd;q=0, *"))
        expect((answer.status, answer.get("content-encoding"), gzip.decompress(answer.body)), (200, "gzip", b"answer"))
        expect(answer.get("accept-encoding"), "gzip,identity")
        s = up.requests[0]
        expect((s.body, s.get("grpc-encoding"), s.get("grpc-accept-encoding")), (frame(zipped, 1), "gzip", "gzip,br"))
        expect((s.get("content-encoding"), s.get("accept-encoding")), (None, None))
        query = f"{PATH}?connect=v1&encoding=proto&base64=1&compression=gzip&message={base64.urlsafe_b64encode(zipped).decode().rstrip('=')}"
        expect(g.ask(get(query)).status, 200)
        expect((up.requests[1].body, up.requests[1].get("grpc-encoding"), up.requests[1].get("grpc-accept-encoding")), (frame(zipped, 1), "gzip", "gzip"))
        expect(g.ask(call(zipped, "Content-Encoding: gzip, br")).json()["code"], "unimplemented")


def test_a_stream():
    """Messages both ways before the request is over, and an EndStream message with the trailers in place of these."""
    def talk(s):
        s.send_head([(":status", "200"), ("content-type", "application/grpc+json"), ("grpc-encoding", "gzip"), ("x-lead", "1")])
        s.send(frame(b"one"))
        s.data(len(frame(b"two")))
        s.send(frame(b"three", 1))
        s.send_trailers("grpc-status: 0", "x-trail: a", "y: b", "x-trail: c")
    with Translating(talk, at="head", threaded=True) as (up, g):
        c = h2.Client(g)
        s = c.post(PATH, "content-type: application/connect+json", "connect-content-encoding: gzip", "connect-accept-encoding: gzip, br", "connect-timeout-ms: 9000")
        s.data(len(frame(b"one")))
        expect((s.status, s.get("content-type"), s.get("connect-content-encoding"), s.get("x-lead")), (200, "application/connect+json", "gzip", "1"))
        s.send(frame(b"two", 1), end=True)
        s.whole()
        expect(s.trailers, None)
        one, two, last = frames(s.body)
        expect((one, two), ((0, b"one"), (1, b"three")))
        expect(end_stream(last), {"metadata": {"x-trail": ["a", "c"], "y": ["b"]}})
        u = up.requests[0]
        expect((u.get("content-type"), u.get("grpc-encoding"), u.get("grpc-accept-encoding")), ("application/grpc+json", "gzip", "gzip, br"))
        expect(u.body, frame(b"two", 1))
        expect(g.logged()["grpc_status"], 0)


def test_how_a_stream_ends():
    """An error of the upstream, in trailers or alone, is HTTP 200 and an EndStream message; so is our deadline, between two messages."""
    for handler, messages in ((only("grpc-status: 5", "grpc-message: none"), 0), (says(b"a", trailers=["grpc-status: 5", "grpc-message: none"]), 1)):
        with Translating(handler) as (_, g):
            answer = g.ask(post(PATH, frame(b"q"), STREAM))
            expect((answer.status, answer.get("content-type")), (200, "application/connect+proto"))
            got = frames(answer.body)
            expect(len(got), messages + 1)
            expect(end_stream(got[-1]), {"error": {"code": "not_found", "message": "none"}})


def test_a_deadline_in_a_stream():
    """Between two messages a deadline is an EndStream message and a good end; in the middle of one the body is cut, on HTTP/1 and HTTP/2 alike."""
    def half(extra):
        def handler(s):
            s.send_head([(":status", "200"), ("content-type", "application/grpc+proto")])
            s.send(frame(b"whole") + extra)
        return handler
    with Translating(half(b"")) as (up, g):
        c = g.connect()
        c.send(post(PATH, frame(b"q"), STREAM, "Connect-Timeout-Ms: 300"))
        got = frames(c.answer().body)
        expect(got[0], (0, b"whole"))
        expect(end_stream(got[1])["error"]["code"], "deadline_exceeded")
        expect(up.requests[0].reset_code(), "CANCEL")
        c.send(post(PATH, frame(b"q"), STREAM, "Connect-Timeout-Ms: 1"))  # the connection is good for more: the answer was whole
        expect(end_stream(frames(c.answer().body)[0])["error"]["code"], "deadline_exceeded")
        expect([(l["ending"], l["grpc_status"]) for l in g.log(2)], [("deadline", 4), ("shed_expired", 4)])
    with Translating(half(frame(b"not whole")[:7])) as (up, g):
        c = g.connect()
        c.send(post(PATH, frame(b"q"), STREAM, "Connect-Timeout-Ms: 300"))
        seen = c.to_end()
        assert not seen.endswith(b"0\r\n\r\n"), seen
        assert b"deadline_exceeded" not in seen, seen
        s = h2.Client(g).ask("POST", PATH, "content-type: application/connect+proto", "connect-timeout-ms: 300", body=frame(b"q"))
        expect(s.reset_code(), "CANCEL")
        expect(s.body, frame(b"whole") + frame(b"not whole")[:7])
        expect([r.reset_code() for r in up.requests], ["CANCEL"] * 2)


def test_a_bad_stream():
    """Flags that only answers have, and an end in the middle of a message: the client's error, told in its own words."""
    with Translating(h2.silent) as (_, g):
        for body in (frame(b"a", 2), frame(b"a", 0x80), frame(b"abc")[:6], b"\0"):
            answer = g.ask(post(PATH, body, STREAM))
            expect((answer.status, end_stream(frames(answer.body)[0])["error"]["code"]), (200, "internal"))
        expect([l["ending"] for l in g.log(4)], ["client_error"] * 4)


def test_a_slow_stream_is_not_held_back():
    """Each message arrives before the next is sent, though nothing was asked for in between."""
    def handler(s):
        s.send_head([(":status", "200"), ("content-type", "application/grpc+proto")])
        for i in range(5):
            s.send(frame(b"%d" % i))
            time.sleep(0.05)
        s.send_trailers("grpc-status: 0")
    with Translating(handler, threaded=True) as (_, g):
        s = h2.Client(g).ask("POST", PATH, "content-type: application/connect+proto", body=b"")
        times = []
        for i in range(5):
            s.data(6 * (i + 1))
            times.append(time.monotonic())
        expect_between(times[4] - times[0], 0.12, 1.0)
        s.whole()


def test_expect_continue():
    """Who waits for 100 (Continue) hears it, though no gRPC server says so."""
    with Translating(echoes) as (up, g):
        c = g.connect()
        c.send(request("POST", PATH, PROTO, VERSION, "Expect: 100-continue", "Content-Length: 3"))
        c.until(b"100 Continue\r\n\r\n")
        c.send(b"abc")
        expect(c.answer().body, b"abc")
        expect(up.requests[0].get("expect"), None)


def test_a_retry_sends_the_message_again():
    """The first stream is refused: the next has the same head and the same bytes, of a POST that was held and of a GET."""
    seen = []

    def handler(s):
        seen.append((s.target, bytes(s.body)))
        if len(seen) % 2:
            s.reset(h2.REFUSED)
        else:
            says(b"ok")(s)
    policy = {"retry": {"when": ["refused_stream"], "retries": 1, "buffer": "64KiB"}}
    with Translating(handler, policy=policy) as (_, g):
        for ask in (call(b"abc"), get(PATH + "?connect=v1&encoding=json&message=abc")):
            expect(g.ask(ask).body, b"ok")
        expect(seen, [(PATH, frame(b"abc"))] * 4)


def test_what_is_not_connect_stays_as_it_is():
    """On a route that translates, JSON without the version header is plain HTTP, as is a GET of another version, and gRPC is gRPC."""
    with Upstream(h2.serve(echoes)) as up, Gateway(up, upstream={"protocol": "http2"}, routes=[{"match": {"path": "/*"}, "upstream": "be", "translate": "grpc"}]) as g:
        answer = g.ask(post(PATH, b"{}", JSON))
        expect((answer.status, answer.body, answer.get("content-type")), (200, b"{}", "application/json"))
        expect(up.requests[0].body, b"{}")
        target = PATH + "?encoding=json&message=abc&connect=v2"
        expect(g.ask(get(target, "Content-Type: text/plain")).status, 200)
        expect((up.requests[1].method, up.requests[1].target, up.requests[1].body), ("GET", target, b""))
        s = h2.Client(g).rpc(PATH, body=b"abc")
        expect((s.whole().trailer("grpc-status"), s.body), ("0", frame(b"abc")))
        expect([l["rpc"] for l in g.log(3)], ["http", "http", "grpc"])


def test_passed_on_untranslated():
    """Connect to an upstream that speaks it, over HTTP/1: connect-timeout-ms is told, and our endings are Connect's; the log has the code."""
    policy = {"deadline": {"default": "5s"}}

    def answer(wire, message):
        wire.send(ok(b'{"code":"not_found"}', "Content-Type: application/json", status="404 Not Found"))
    with Upstream(serve(answer)) as up, Gateway(up, policy=policy, routes=[{"match": {"grpc": "test.Service/*"}, "upstream": "be"}]) as g:
        expect(g.ask(call(b"{}", "Connect-Timeout-Ms: 2000", kind=JSON)).status, 404)
        expect_between(int(up.requests[0].get("connect-timeout-ms")), 1500, 1999)
        expect((g.logged()["rpc"], g.logged()["grpc_status"]), ("connect", 5))
        expect(g.ask(post("/test.Service/Method", b"{}", JSON)).status, 404)  # plain HTTP: no route
    with Upstream(serve(silent)) as up, Gateway(up, policy=policy) as g:
        error(g.ask(call(b"{}", "Connect-Timeout-Ms: 200", kind=JSON)), 504, "deadline_exceeded")
        answer = g.ask(post(PATH, frame(b""), STREAM, "Connect-Timeout-Ms: 200"))
        expect(end_stream(frames(answer.body)[0])["error"]["code"], "deadline_exceeded")
        answer = g.ask(call(b"{}", "Connect-Timeout-Ms: 99999999999", kind=JSON))  # more digits than there are: the dialect's row says reject
        expect_in(answer.json()["code"], ("invalid_argument",))
