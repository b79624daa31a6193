# SPDX-License-Identifier: Apache-2.0
"""What is refused and never repaired: whatever two readers of one request could read differently (RFC 9112, T25)."""
from harness import Gateway, Upstream, echo, expect, expect_between, expect_in, get, post, serve

HEAD = b"POST / HTTP/1.1\r\nHost: a\r\nUser-Agent: t\r\n"
LONG = b"a" * 70000

# Each is refused with 400 and a closed connection. In all of them, "GET /smuggled" is what a laxer reader might take for a second request.
TAIL = b"GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n"
REFUSED = {
    "content-length and transfer-encoding": HEAD + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + TAIL,
    "the same the other way round": HEAD + b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n" + TAIL,
    "two content-lengths that differ": HEAD + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello" + TAIL,
    "two content-lengths that agree": HEAD + b"Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello" + TAIL,
    "a list of content-lengths": HEAD + b"Content-Length: 5, 5\r\n\r\nhello" + TAIL,
    "a signed content-length": HEAD + b"Content-Length: +5\r\n\r\nhello" + TAIL,
    "a negative content-length": HEAD + b"Content-Length: -1\r\n\r\n" + TAIL,
    "a hexadecimal content-length": HEAD + b"Content-Length: 0x5\r\n\r\nhello" + TAIL,
    "a content-length with a blank inside": HEAD + b"Content-Length: 1 5\r\n\r\nhello" + TAIL,
    "an empty content-length": HEAD + b"Content-Length:\r\n\r\n" + TAIL,
    "a content-length past 64 bits": HEAD + b"Content-Length: 18446744073709551621\r\n\r\nhello" + TAIL,
    "chunked that is not the last coding": HEAD + b"Transfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n" + TAIL,
    "two transfer-encoding fields": HEAD + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n" + TAIL,
    "transfer-encoding: identity": HEAD + b"Transfer-Encoding: identity\r\n\r\n" + TAIL,
    "transfer-encoding: xchunked": HEAD + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n" + TAIL,
    "transfer-encoding with a vertical tab": HEAD + b"Transfer-Encoding:\x0bchunked\r\n\r\n0\r\n\r\n" + TAIL,
    "transfer-encoding in HTTP/1.0": b"POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + TAIL,
    "a blank before the colon": HEAD + b"Content-Length : 5\r\n\r\nhello" + TAIL,
    "a blank before the first field": b"GET / HTTP/1.1\r\n Host: a\r\n\r\n" + TAIL,
    "a folded field (obs-fold)": HEAD + b"X-A: 1\r\n 2\r\nContent-Length: 0\r\n\r\n" + TAIL,
    "a folded transfer-encoding": HEAD + b"Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n" + TAIL,
    "a field without a colon": HEAD + b"X-A\r\nContent-Length: 0\r\n\r\n" + TAIL,
    "a field without a name": HEAD + b": x\r\nContent-Length: 0\r\n\r\n" + TAIL,
    "NUL in a value": HEAD + b"X-A: 1\x002\r\nContent-Length: 0\r\n\r\n" + TAIL,
    "a control byte in a value": HEAD + b"X-A: 1\x012\r\nContent-Length: 0\r\n\r\n" + TAIL,
    "DEL in a value": HEAD + b"X-A: 1\x7f2\r\nContent-Length: 0\r\n\r\n" + TAIL,
    "a bare CR in a value": HEAD + b"X-A: 1\rX-B: 2\r\nContent-Length: 0\r\n\r\n" + TAIL,
    "a bare LF after a field": HEAD + b"X-A: 1\nX-B: 2\r\nContent-Length: 0\r\n\r\n" + TAIL,
    "a bare LF after the request line": b"GET / HTTP/1.1\nHost: a\r\n\r\n" + TAIL,
    "a head that ends with bare LFs": b"GET / HTTP/1.1\r\nHost: a\n\n" + TAIL,
    "CR CR LF": HEAD + b"X-A: 1\r\r\nContent-Length: 0\r\n\r\n" + TAIL,
    "a name with a blank inside": HEAD + b"X A: 1\r\nContent-Length: 0\r\n\r\n" + TAIL,
    "a name with a byte past ASCII": HEAD + b"X\xc3\xa4: 1\r\nContent-Length: 0\r\n\r\n" + TAIL,
    "no Host": b"GET / HTTP/1.1\r\nUser-Agent: t\r\n\r\n" + TAIL,
    "two Hosts": b"GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n" + TAIL,
    "a Host with a blank": b"GET / HTTP/1.1\r\nHost: a b\r\n\r\n" + TAIL,
    "a Host with a user": b"GET / HTTP/1.1\r\nHost: u@a\r\n\r\n" + TAIL,
    "a Host with a path": b"GET / HTTP/1.1\r\nHost: a/b\r\n\r\n" + TAIL,
    "a Connection that lists Host": b"GET / HTTP/1.1\r\nHost: a\r\nConnection: Host\r\n\r\n" + TAIL,
    "a Connection that lists Content-Length": HEAD + b"Content-Length: 5\r\nConnection: content-length\r\n\r\nhello" + TAIL,
    "a Connection that lists a deadline": b"GET / HTTP/1.1\r\nHost: a\r\nX-Request-Timeout: 1s\r\nConnection: x-request-timeout\r\n\r\n" + TAIL,
    "two blanks in the request line": b"GET  / HTTP/1.1\r\nHost: a\r\n\r\n" + TAIL,
    "a blank in the target": b"GET /a b HTTP/1.1\r\nHost: a\r\n\r\n" + TAIL,
    "a control byte in the target": b"GET /a\x01b HTTP/1.1\r\nHost: a\r\n\r\n" + TAIL,
    "a byte past ASCII in the target": b"GET /\xc3\xa4 HTTP/1.1\r\nHost: a\r\n\r\n" + TAIL,
    "a target without a slash": b"GET index HTTP/1.1\r\nHost: a\r\n\r\n" + TAIL,
    "a method that is no token": b"G@T / HTTP/1.1\r\nHost: a\r\n\r\n" + TAIL,
    "no version": b"GET /\r\nHost: a\r\n\r\n" + TAIL,
    "a lower-case version": b"GET / http/1.1\r\nHost: a\r\n\r\n" + TAIL,
    "a version with two digits": b"GET / HTTP/1.10\r\nHost: a\r\n\r\n" + TAIL,
    "asterisk-form of a GET": b"GET * HTTP/1.1\r\nHost: a\r\n\r\n" + TAIL,
    "a chunk size that is no number": HEAD + b"Transfer-Encoding: chunked\r\n\r\nxyz\r\n" + TAIL,
    "a chunk size with a sign": HEAD + b"Transfer-Encoding: chunked\r\n\r\n+5\r\nhello\r\n0\r\n\r\n" + TAIL,
    "a chunk size with 0x": HEAD + b"Transfer-Encoding: chunked\r\n\r\n0x5\r\nhello\r\n0\r\n\r\n" + TAIL,
    "a chunk size past 64 bits": HEAD + b"Transfer-Encoding: chunked\r\n\r\n10000000000000005\r\nhello\r\n0\r\n\r\n" + TAIL,
    "an empty chunk size": HEAD + b"Transfer-Encoding: chunked\r\n\r\n\r\nhello\r\n0\r\n\r\n" + TAIL,
    "a chunk size that ends with a bare LF": HEAD + b"Transfer-Encoding: chunked\r\n\r\n5\nhello\r\n0\r\n\r\n" + TAIL,
    "a chunk longer than its size": HEAD + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello!\r\n0\r\n\r\n" + TAIL,
    "a bare LF in a chunk extension": HEAD + b"Transfer-Encoding: chunked\r\n\r\n5;a\nhello\r\n0\r\n\r\n" + TAIL,
    "a chunk that ends with a bare LF": HEAD + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\n0\r\n\r\n" + TAIL,
    "a trailer with a blank before its colon": HEAD + b"Transfer-Encoding: chunked\r\n\r\n0\r\nX : 1\r\n\r\n" + TAIL,
}


def play(g, data):
    """All that a connection says to these bytes, and how it ends."""
    c = g.connect()
    c.send(data)
    try:
        answer = c.answer()
    except Exception as e:
        raise AssertionError(f"no answer: {e}") from None
    rest = c.to_end()
    return answer, rest


def test_smuggling_is_refused():
    """Every ambiguous request gets one 400 and a closed connection, and nothing of it, nor of what stands behind it, goes further."""
    wrong = []
    with Upstream(serve(echo)) as up, Gateway(up) as g:
        for name, data in REFUSED.items():
            before = len(up.requests)
            try:
                answer, rest = play(g, data)
            except AssertionError as e:
                wrong.append(f"{name}: {e}")
                continue
            if answer.status != 400:
                wrong.append(f"{name}: {answer.status}")
            if rest:
                wrong.append(f"{name}: after the answer came {rest[:80]!r}")
            whole = [r.target for r in up.requests[before:]]
            if "/smuggled" in whole or whole and answer.status == 400 and "chunk" not in name and "trailer" not in name:
                wrong.append(f"{name}: the upstream was asked for {whole}")
        assert not wrong, f"{len(wrong)} of {len(REFUSED)}:\n" + "\n".join(wrong)


def test_refused_is_logged_as_client_error():
    """A malformed request is one line of the log, client_error, with 400, a sentence, and the bytes of the answer, whoever gave that."""
    with Upstream(serve(echo)) as up, Gateway(up) as g:
        for i, data in enumerate((REFUSED["two content-lengths that differ"], REFUSED["no version"], b"\x16\x03\x01\x02\r\n\r\n")):
            answer, _ = play(g, data)
            line = g.log(i + 1)[i]
            expect((line["ending"], line["by"], line["status"]), ("client_error", "client", answer.status))
            expect(line["response_bytes"], len(answer.body))
            assert line["detail"] and answer.body, line


def test_limits():
    """A target past its limit gets 414, fields past theirs 431; the upstream hears of neither."""
    with Upstream(serve(echo)) as up, Gateway(up) as g:
        answer, _ = play(g, get("/" + LONG.decode()))
        expect(answer.status, 414)
        answer, _ = play(g, get("/", "X-Long: " + LONG.decode()))
        expect(answer.status, 431)
        answer, _ = play(g, get("/", *[f"X-{i}: 1" for i in range(2000)]))
        expect(answer.status, 431)
        expect(len(up.requests), 0, "requests at the upstream")


def test_version_of_another_major():
    """HTTP/2.0 in a request line of text is answered 505."""
    with Upstream(serve(echo)) as up, Gateway(up) as g:
        answer, _ = play(g, b"GET / HTTP/3.0\r\nHost: a\r\n\r\n")
        expect_in(answer.status, (400, 505))


def test_transfer_coding_that_is_unknown():
    """RFC 9112 6.1, 7: gzip, chunked and chunked, chunked end where they say, but nobody here takes off the first: 501 or 400, never passed on."""
    with Upstream(serve(echo)) as up, Gateway(up) as g:
        for codings in (b"gzip, chunked", b"chunked, chunked"):
            answer, rest = play(g, HEAD + b"Transfer-Encoding: " + codings + b"\r\n\r\n0\r\n\r\n" + TAIL)
            expect_in(answer.status, (400, 501), codings.decode())
            expect(rest, b"", codings.decode())
        expect(len(up.requests), 0, "requests at the upstream")


def test_tls_hello_on_a_cleartext_port():
    """Bytes of another protocol end the connection at once, and break nothing."""
    with Upstream(serve(echo)) as up, Gateway(up) as g:
        for junk in (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(200), b"\x00" * 64, b"SSH-2.0-x\r\n", b"\r\n" * 2000):
            c = g.connect()
            c.send(junk)
            c.half_close()
            c.to_end()
        expect(g.ask(get("/after")).json()["target"], "/after")


def test_empty_lines_before_a_request():
    """RFC 9112 2.2: a CRLF before the request line, as old clients send after a body, is passed over."""
    with Upstream(serve(echo)) as up, Gateway(up) as g:
        c = g.connect()
        c.send(b"\r\n" + post("/a", b"x") + b"\r\n" + get("/b"))
        expect([c.answer().json()["target"] for _ in range(2)], ["/a", "/b"])


def test_first_good_then_bad():
    """A good request pipelined before a bad one is answered first, then comes the 400."""
    with Upstream(serve(echo)) as up, Gateway(up) as g:
        c = g.connect()
        c.send(get("/good") + REFUSED["two Hosts"])
        expect(c.answer().json()["target"], "/good")
        expect(c.answer().status, 400)
        expect(c.to_end(), b"")


ANSWERS = {
    "two content-lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
    "content-length and chunked": b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "a bare LF": b"HTTP/1.1 200 OK\nContent-Length: 0\r\n\r\n",
    "a folded field": b"HTTP/1.1 200 OK\r\nX-A: 1\r\n 2\r\nContent-Length: 0\r\n\r\n",
    "a blank before the colon": b"HTTP/1.1 200 OK\r\nContent-Length : 0\r\n\r\n",
    "NUL in a value": b"HTTP/1.1 200 OK\r\nX-A: \x00\r\nContent-Length: 0\r\n\r\n",
    "no status": b"HTTP/1.1\r\n\r\n",
    "a status of two digits": b"HTTP/1.1 20 OK\r\nContent-Length: 0\r\n\r\n",
    "no HTTP at all": b"220 mail.example ESMTP\r\n\r\n",
    "101 that nobody asked for": b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
}


def test_malformed_answers_become_502():
    """An upstream's malformed answer is not passed on: 502 upstream_error, and its connection is not used again; the client and the log say what was wrong."""
    wrong = []
    for name, data in ANSWERS.items():
        with Upstream(serve(lambda wire, message, d=data: wire.send(d))) as up, Gateway(up) as g:
            answer = g.ask(get())
            ending = g.logged()["ending"]
            if (answer.status, ending) != (502, "upstream_error"):
                wrong.append(f"{name}: {answer.status} {ending}")
            elif (answer.json()["status"], answer.get("content-type")) != (502, "application/problem+json"):
                wrong.append(f"{name}: {answer.raw} {answer.body}")
            elif g.logged()["detail"] != answer.json()["detail"]:
                wrong.append(f"{name}: the client was told {answer.json()['detail']!r}, the log {g.logged()['detail']!r}")
            up.wait_end()
    assert not wrong, "\n".join(wrong)


def test_bytes_behind_an_answer():
    """T21: what an upstream sends behind a complete answer is nobody's answer: the next request goes on another connection."""
    def handler(wire, message):
        wire.send(ok_with(message.target) + b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nstolen")

    with Upstream(serve(handler)) as up, Gateway(up) as g:
        c = g.connect()
        for target in ("/1", "/2", "/3"):
            c.send(get(target))
            expect(c.answer().body, target.encode())
        expect_between(len(up.wires), 2, 3, "upstream connections")


def ok_with(text):
    return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(text), text.encode())

