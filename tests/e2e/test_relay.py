# SPDX-License-Identifier: Apache-2.0
"""HTTP/1.1 passes through as it should: framing, connections, what is hop by hop and what is not (RFC 9112, RFC 9110)."""
import hashlib
import os
import threading

from harness import (Gateway, Upstream, answering, chunked, echo, eventually, expect, expect_between, expect_in, get, note, ok, post, request,
                     serve, settled)


def test_keep_alive():
    """Requests of one client connection share one upstream connection."""
    with Upstream(serve(echo)) as up, Gateway(up) as g:
        c = g.connect()
        for i in range(5):
            c.send(get(f"/{i}"))
            expect(c.answer().json()["target"], f"/{i}")
        expect(len(up.wires), 1, "upstream connections")
        lines = g.log(5)
        expect([l["ending"] for l in lines], ["completed"] * 5)
        expect([l["status"] for l in lines], [200] * 5)


def test_pipelined_requests_are_answered_in_order():
    """Three requests in one segment are answered in the order they were asked."""
    with Upstream(serve(echo)) as up, Gateway(up) as g:
        c = g.connect()
        c.send(get("/a") + post("/b", b"xyz") + get("/c"))
        answers = [c.answer().json() for _ in range(3)]
        expect([(a["target"], a["body"]) for a in answers], [("/a", ""), ("/b", "xyz"), ("/c", "")])


def test_byte_by_byte():
    """A request whose every byte is a segment of its own, body and all, arrives whole."""
    with Upstream(serve(echo)) as up, Gateway(up) as g:
        c = g.connect()
        c.dribble(request("POST", "/slow", "Transfer-Encoding: chunked", body=chunked(b"hello", b" world")), 0.0005)
        seen = c.answer().json()
        expect((seen["target"], seen["body"]), ("/slow", "hello world"))


def test_chunked_both_ways_with_trailers():
    """Chunked bodies and their trailers pass both ways, without the chunk extensions."""
    with Upstream(serve(answer_chunked)) as up, Gateway(up) as g:
        c = g.connect()
        c.send(request("POST", "/", "Connection: TE", "TE: trailers", "Transfer-Encoding: chunked", "Trailer: x-sum",
                       body=b'5;name="v;w"\r\nhello\r\n6;x\r\n world\r\n0\r\nX-Sum: 11\r\n\r\n'))
        answer = c.answer()
        asked = up.wait_requests(1)[0]
        expect(asked.body, b"hello world")
        expect(asked.trailers, [("x-sum", "11")])
        assert b"name=" not in asked.raw, asked.raw
        expect(answer.body, b"one two three")
        expect(answer.trailers, [("x-count", "3")])
        c.send(get("/again"))
        expect(c.answer().status, 200)


def answer_chunked(wire, message):
    del message
    wire.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: x-count\r\n\r\n")
    wire.send(b"4\r\none \r\n")
    wire.send(b"9;ext\r\ntwo three\r\n0\r\nX-Count: 3\r\n\r\n")


def test_chunks_pass_as_they_come():
    """A chunk reaches the client before the upstream has sent the next one."""
    gate = threading.Event()

    def halting(wire, message):
        del message
        wire.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n")
        assert gate.wait(10), "the client never saw the first chunk"
        wire.send(b"6\r\nsecond\r\n0\r\n\r\n")

    with Upstream(serve(halting)) as up, Gateway(up) as g:
        c = g.connect()
        c.send(get())
        c.until(b"first\r\n")
        gate.set()
        c.until(b"second\r\n0\r\n\r\n")


def test_head_request():
    """HEAD gets the head that GET would get, no body, and the connection goes on."""
    def handler(wire, message):
        wire.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n" if message.method == "HEAD" else ok(b"body"))

    with Upstream(serve(handler)) as up, Gateway(up) as g:
        c = g.connect()
        c.send(request("HEAD", "/"))
        answer = c.answer("HEAD")
        expect((answer.status, answer.get("content-length")), (200, "1000"))
        c.send(get())
        expect(c.answer().body, b"body")
        expect(len(up.wires), 1, "upstream connections")


def test_204_and_304_have_no_body():
    """204 and 304 end with their head, whatever Content-Length a 304 names, and the connection goes on."""
    def handler(wire, message):
        if message.target == "/204":
            wire.send(b"HTTP/1.1 204 No Content\r\nX-A: 1\r\n\r\n")
        elif message.target == "/304":
            wire.send(b"HTTP/1.1 304 Not Modified\r\nContent-Length: 77\r\nETag: \"a\"\r\n\r\n")
        else:
            wire.send(ok(b"after"))

    with Upstream(serve(handler)) as up, Gateway(up) as g:
        c = g.connect()
        c.send(get("/204"))
        answer = c.answer()
        expect(answer.status, 204)
        expect((answer.get("content-length"), answer.get("transfer-encoding")), (None, None), "framing of a 204")
        c.send(get("/304"))
        answer = c.answer()
        expect((answer.status, answer.get("etag")), (304, '"a"'))
        c.send(get("/"))
        expect(c.answer().body, b"after")


def test_interim_answers_pass_and_change_nothing():
    """T19: any number of 1xx heads pass before the final one."""
    def handler(wire, message):
        del message
        wire.send(b"HTTP/1.1 103 Early Hints\r\nLink: </a>; rel=preload\r\n\r\n")
        wire.send(b"HTTP/1.1 103 Early Hints\r\nLink: </b>; rel=preload\r\n\r\n")
        wire.send(ok(b"final"))

    with Upstream(serve(handler)) as up, Gateway(up) as g:
        answer = g.ask(get())
        expect([m.status for m in answer.interims], [103, 103])
        expect([m.get("link") for m in answer.interims], ["</a>; rel=preload", "</b>; rel=preload"])
        expect((answer.status, answer.body), (200, b"final"))
        expect(g.logged()["status"], 200)


def test_expect_100_continue_is_answered_by_the_upstream():
    """T19: the client's body waits for the upstream's 100, which passes through."""
    def handler(wire):
        head = wire.head()
        expect(head.get("expect"), "100-continue")
        wire.expect_silence(0.1)  # the client has not been told to go on yet
        wire.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        expect(wire.exactly(5), b"hello")
        wire.send(ok(b"took it"))
        wire.expect_end()

    with Upstream(handler) as up, Gateway(up) as g:
        c = g.connect()
        c.send(request("PUT", "/", "Expect: 100-continue", "Content-Length: 5"))
        expect(c.head().status, 100)
        c.send(b"hello")
        expect(c.answer().body, b"took it")


def test_expect_100_continue_refused():
    """T24: an upstream that answers 417 instead of 100 is believed, and the body is not waited for."""
    def handler(wire):
        wire.head()
        wire.send(ok(b"no", "Connection: close", status="417 Expectation Failed"))
        wire.to_end()

    with Upstream(handler) as up, Gateway(up) as g:
        c = g.connect()
        c.send(request("PUT", "/", "Expect: 100-continue", "Content-Length: 5000000"))
        answer = c.answer()
        expect((answer.status, answer.body), (417, b"no"))


def test_early_answer_to_an_upload():
    """T24: an upstream that answers 413 in the middle of an upload: the answer arrives, the upload stops, the connection closes."""
    def handler(wire):
        wire.head()
        wire.exactly(1000)
        wire.send(ok(b"too much", "Connection: close", status="413 Content Too Large"))
        wire.to_end()

    with Upstream(handler) as up, Gateway(up) as g:
        c = g.connect()
        c.send(request("POST", "/", "Content-Length: 100000000"))
        c.send(b"x" * 20000)
        answer = c.answer()
        expect((answer.status, answer.body), (413, b"too much"))
        c.expect_end(within=5)


def test_absolute_form():
    """RFC 9112 3.2.2: the authority of an absolute-form target stands above Host; the upstream gets origin-form."""
    with Upstream(serve(echo)) as up, Gateway(up) as g:
        seen = g.ask(get("http://other.test:81/path?q=1", host="ignored.test")).json()
        expect(seen["target"], "/path?q=1")
        expect([v for n, v in seen["fields"] if n == "host"], ["other.test:81"])


def test_asterisk_form():
    """OPTIONS * stays OPTIONS *."""
    with Upstream(serve(echo)) as up, Gateway(up) as g:
        seen = g.ask(request("OPTIONS", "*")).json()
        expect((seen["method"], seen["target"]), ("OPTIONS", "*"))


def test_target_passes_as_sent():
    """A target that needs no normalising reaches the upstream byte by byte."""
    with Upstream(serve(echo)) as up, Gateway(up) as g:
        for target in ("/a%2Fb?x=%20&y=a+b", "/;p=1,2/@:$&'()*!", "/?", "//double", "/%E2%82%AC", "/a?b?c/../d"):
            expect(g.ask(get(target)).json()["target"], target)


def test_client_connection_close():
    """Connection: close of the client: answered with the same, then the connection ends, the upstream's stays for others."""
    with Upstream(serve(echo)) as up, Gateway(up) as g:
        for _ in range(2):
            c = g.connect()
            c.send(get("/", "Connection: close"))
            answer = c.answer()
            expect(answer.get("connection"), "close")
            assert ["connection", "close"] not in answer.json()["fields"], "the client's Connection is hop by hop"
            c.expect_end("fin", within=2)
        expect(len(up.wires), 1, "upstream connections")


def test_upstream_connection_close():
    """Connection: close of the upstream: not passed on, the client's connection goes on, the upstream's is not used again."""
    def handler(wire, message):
        wire.send(ok(message.target.encode(), "Connection: close"))
        return False

    with Upstream(serve(handler)) as up, Gateway(up) as g:
        c = g.connect()
        for target in ("/1", "/2", "/3"):
            c.send(get(target))
            answer = c.answer()
            expect(answer.body, target.encode())
            assert answer.get("connection") != "close", answer.raw
        expect(len(up.wires), 3, "upstream connections")
        expect([l["ending"] for l in g.log(3)], ["completed"] * 3)


def test_http10_client():
    """An HTTP/1.0 client gets no chunks: a body of unknown length is delimited by the close."""
    with Upstream(serve(answer_chunked)) as up, Gateway(up) as g:
        c = g.connect()
        c.send(get("/", version="HTTP/1.0"))
        answer = c.answer()
        expect(answer.get("transfer-encoding"), None)
        expect(answer.body, b"one two three")
        expect(c.ended, "fin")
        expect(up.wait_requests(1)[0].version, "HTTP/1.1", "what the upstream is asked in")


def test_http10_keep_alive():
    """An HTTP/1.0 client that says keep-alive keeps its connection where the answer has a length, and is told so."""
    with Upstream(answering(b"hello")) as up, Gateway(up) as g:
        c = g.connect()
        for _ in range(2):
            c.send(get("/", "Connection: keep-alive", version="HTTP/1.0"))
            answer = c.answer()
            expect(answer.body, b"hello")
            expect((answer.get("connection") or "").lower(), "keep-alive")


def test_http10_upstream():
    """An HTTP/1.0 upstream's close-delimited answer reaches an HTTP/1.1 client in chunks, and ends well."""
    def handler(wire, message):
        del message
        wire.send(b"HTTP/1.0 200 OK\r\n\r\nuntil the close")
        return False

    with Upstream(serve(handler)) as up, Gateway(up) as g:
        c = g.connect()
        for _ in range(2):
            c.send(get())
            answer = c.answer()
            expect((answer.body, answer.cut), (b"until the close", None))
            expect(answer.get("transfer-encoding"), "chunked")


def test_empty_bodies():
    """Content-Length: 0 and an empty chunked body are bodies that are empty, on a connection that goes on."""
    with Upstream(serve(echo)) as up, Gateway(up) as g:
        c = g.connect()
        c.send(post("/a", b""))
        expect(c.answer().json()["body"], "")
        c.send(request("POST", "/b", "Transfer-Encoding: chunked", body=chunked()))
        expect(c.answer().json()["body"], "")
        expect([r.get("content-length") for r in up.requests[:1]], ["0"])


def test_hop_by_hop_fields_stay_on_their_hop():
    """RFC 9110 7.6.1: what Connection names, and Connection, Keep-Alive, Proxy-Connection and TE themselves, go no further; all else does."""
    def handler(wire, message):
        expect(message.get("x-kept"), "yes")
        for name in ("x-hop", "keep-alive", "proxy-connection", "connection", "upgrade"):
            expect(message.get(name), None, name)
        expect_in(message.get("te"), (None, "trailers"), "te")
        wire.send(ok(b"", "Connection: x-answer-hop", "X-Answer-Hop: 1", "X-Answer-Kept: 2", "Keep-Alive: timeout=5"))

    with Upstream(serve(handler)) as up, Gateway(up) as g:
        answer = g.ask(get("/", "X-Kept: yes", "X-Hop: no", "Connection: x-hop, keep-alive", "Keep-Alive: timeout=3",
                           "Proxy-Connection: keep-alive", "TE: gzip;q=0.5"))
        expect((answer.get("x-answer-hop"), answer.get("keep-alive"), answer.get("x-answer-kept")), (None, None, "2"))


def test_fields_pass_in_order_and_repeated():
    """Fields of one name stay apart and in order, both ways; Set-Cookie above all."""
    def handler(wire, message):
        expect(message.all("x-many"), ["1", "2", "3, 4", ""])
        wire.send(ok(b"", "Set-Cookie: a=1", "Set-Cookie: b=2", "X-Empty:"))

    with Upstream(serve(handler)) as up, Gateway(up) as g:
        answer = g.ask(get("/", "X-Many: 1", "X-Many:2", "X-Many: \t3, 4 \t", "X-Many:"))
        expect(answer.all("set-cookie"), ["a=1", "b=2"])
        expect(answer.all("x-empty"), [""])


def test_big_bodies_arrive_whole():
    """16 MiB up and 16 MiB down at once, by chunks and by length, byte for byte."""
    blob = os.urandom(1 << 20)

    def handler(wire, message):
        expect(hashlib.sha256(message.body).hexdigest(), hashlib.sha256(blob * 16).hexdigest(), "what was uploaded")
        wire.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (16 << 20))
        for _ in range(16):
            wire.send(blob)

    with Upstream(serve(handler)) as up, Gateway(up) as g:
        for fields, body in (([f"Content-Length: {16 << 20}"], blob * 16), (["Transfer-Encoding: chunked"], chunked(*[blob] * 16))):
            c = g.connect()
            c.send(request("POST", "/", *fields, body=body))
            expect(hashlib.sha256(c.answer().body).hexdigest(), hashlib.sha256(blob * 16).hexdigest(), "what came down")
            c.close()
        line = g.log(1)[0]
        expect((line["request_bytes"], line["response_bytes"]), (16 << 20, 16 << 20))


def test_slow_reader_bounds_memory():
    """64 MiB for a reader that does not read: the gateway stops reading the upstream, and holds kilobytes."""
    total = 64 << 20
    sent = [0]

    def handler(wire, message):
        del message
        wire.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % total)
        piece = b"x" * 65536
        for _ in range(total // len(piece)):
            wire.send(piece)
            sent[0] += len(piece)

    # Write timeouts off the way: the reader sleeps longer than a usual client.
    with Upstream(serve(handler)) as up, Gateway(up, plain=True, listener={"timeouts": {"write": "60s"}}) as g:
        before = g.memory()
        c = g.connect()
        c.send(get())
        eventually(lambda: sent[0], what="the first piece of the answer")
        last = settled(lambda: sent[0])
        assert last < total, "the gateway took it all"
        grown = g.memory() - before
        note(f"grown by {grown >> 10} KiB while {last >> 20} MiB were under way")
        expect_between(grown, -1 << 20, 2 << 20, "bytes that the gateway grew by")
        expect(len(c.answer().body), total)


def test_slow_upstream_bounds_memory():
    """64 MiB to an upstream that does not read: the client is not read either."""
    total = 64 << 20
    gate = threading.Event()

    def handler(wire):
        wire.head()
        gate.wait(30)
        wire.exactly(total)
        wire.send(ok(b"all"))
        wire.to_end()

    with Upstream(handler) as up, Gateway(up, plain=True, policy={"deadline": {"default": "60s", "idle": "60s"}}) as g:
        before = g.memory()
        c = g.connect()
        sent = [0]

        def upload():
            c.send(request("POST", "/", f"Content-Length: {total}"))
            piece = b"x" * 65536
            for _ in range(total // len(piece)):
                c.send(piece)
                sent[0] += len(piece)

        thread = threading.Thread(target=upload, daemon=True)
        thread.start()
        eventually(lambda: sent[0], what="the first piece of the upload")
        last = settled(lambda: sent[0])
        assert last < total, "the gateway took it all"
        grown = g.memory() - before
        note(f"grown by {grown >> 10} KiB while {last >> 20} MiB were under way")
        expect_between(grown, -1 << 20, 2 << 20, "bytes that the gateway grew by")
        gate.set()
        expect(c.answer().body, b"all")
        thread.join()


def test_via_and_forwarded():
    """The upstream is told of the hop by Via, and by X-Forwarded-* or Forwarded where the policy says so; the client sees Via as well."""
    with Upstream(serve(echo)) as up, Gateway(up, policy={"forward": {"headers": "both", "via": True}}) as g:
        answer = g.ask(get())
        fields = dict(map(tuple, answer.json()["fields"]))
        assert fields["via"].startswith("1.1 "), fields
        assert answer.get("via").startswith("1.1 "), answer.raw
        expect(fields["x-forwarded-proto"], "http")
        expect(fields["x-forwarded-host"], "example.test")
        assert fields["x-forwarded-for"].startswith("127."), fields
        assert "for=" in fields["forwarded"] and "proto=http" in fields["forwarded"], fields


def test_workers_share_the_port():
    """Four workers on one port: each connection is served, and the log has every request once."""
    with Upstream(serve(echo)) as up, Gateway(up, workers=4) as g:
        wires = [g.connect() for _ in range(40)]
        for i, c in enumerate(wires):
            c.send(get(f"/{i}"))
        for i, c in enumerate(wires):
            expect(c.answer().json()["target"], f"/{i}")
            c.close()
        expect(sorted(l["path"] for l in g.log(40)), sorted(f"/{i}" for i in range(40)))


def test_a_thousand_requests_leave_nothing():
    """A thousand requests over changing connections: no descriptor is left behind once they are gone."""
    with Upstream(serve(echo)) as up, Gateway(up) as g:
        g.ask(get("/warm"))
        before = g.descriptors()
        for i in range(100):
            c = g.connect()
            c.send(b"".join(get(f"/{i}/{j}") for j in range(10)))
            for j in range(10):
                expect(c.answer().json()["target"], f"/{i}/{j}")
            c.close()
        eventually(lambda: g.descriptors() <= before, what="the descriptors of before")
        expect(g.metric("curfew_exchanges"), 0.0, "live exchanges")
