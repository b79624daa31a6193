# SPDX-License-Identifier: Apache-2.0
"""Upgrade: after 101 both directions are a tunnel, each with an end of its own (RFC 9110 7.8)."""
import time

from harness import Gateway, Upstream, expect, expect_between, expect_in, get, note, ok, serve

UPGRADE = ("Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==")
SWITCH = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: x\r\n\r\n"


def switching(talk):
    """A script: takes the upgrade, then talk(wire)."""
    def script(wire):
        head = wire.head()
        wire.upstream.record(head)
        wire.send(SWITCH)
        talk(wire)
    return script


def echoing(wire):
    while wire.unread or wire.fill():
        wire.send(wire.unread)
        wire.unread = b""


def upgrade(g, *fields):
    c = g.connect()
    c.send(get("/ws", *UPGRADE, *fields))
    answer = c.answer()
    expect(answer.status, 101)
    return c, answer


def test_websocket_passes():
    """The upgrade and its fields pass, then bytes both ways, as they come."""
    with Upstream(switching(echoing)) as up, Gateway(up) as g:
        c, answer = upgrade(g)
        expect((answer.get("upgrade"), answer.get("connection").lower(), answer.get("sec-websocket-accept")), ("websocket", "upgrade", "x"))
        asked = up.requests[0]
        expect((asked.get("upgrade"), asked.get("connection").lower()), ("websocket", "upgrade"))
        for piece in (b"\x81\x05hello", bytes(range(256)) * 100, b"x"):
            c.send(piece)
            expect(c.exactly(len(piece)), piece)
        c.half_close()
        c.expect_end("fin")
        line = g.logged()
        expect((line["status"], line["ending"]), (101, "completed"))


def test_bytes_behind_the_upgrade():
    """Bytes that either side sends right behind its head are the tunnel's."""
    def talk(wire):
        expect(wire.exactly(5), b"early")
        wire.send(b"tunnel")
        wire.expect_end()

    def script(wire):
        wire.head()
        wire.send(SWITCH + b"first")
        talk(wire)

    with Upstream(script) as up, Gateway(up) as g:
        c = g.connect()
        c.send(get("/ws", *UPGRADE) + b"early")
        expect(c.answer().status, 101)
        expect(c.exactly(11), b"firsttunnel")
        c.close()


def test_half_close_in_a_tunnel():
    """A FIN ends one direction of a tunnel; the other one goes on."""
    def talk(wire):
        expect(wire.to_end(), b"all I have")
        time.sleep(0.2)  # in which nothing may end the other direction
        wire.send(b"and my answer")

    with Upstream(switching(talk)) as up, Gateway(up) as g:
        c, _ = upgrade(g)
        c.send(b"all I have")
        c.half_close()
        expect(c.to_end(), b"and my answer")
        expect(c.ended, "fin")
        expect(g.logged()["ending"], "completed")


def test_reset_in_a_tunnel():
    """A RST of one side reaches the other as the end of the tunnel, soon."""
    with Upstream(switching(lambda wire: wire.expect_end(within=20))) as up, Gateway(up) as g:
        c, _ = upgrade(g)
        begun = time.monotonic()
        c.reset()
        how, at = up.wait_end(0, 1)
        note(f"{how} seen upstream after {(at - begun) * 1000:.2f} ms")
        expect(how, "rst")
        expect(g.logged()["ending"], "client_reset")
    with Upstream(switching(lambda wire: (wire.exactly(1), wire.reset()))) as up, Gateway(up) as g:
        c, _ = upgrade(g)
        c.send(b"x")
        expect(c.expect_end(within=2), "rst")
        expect_in(g.logged()["ending"], ("upstream_reset", "upstream_closed"))


def test_default_does_not_end_a_tunnel():
    """T36: a default deadline ends no tunnel, though it is silent for longer; the client's own deadline does, by reset."""
    policy = {"deadline": {"read": ["x-request-timeout"], "default": "200ms"}}
    with Upstream(switching(echoing)) as up, Gateway(up, policy=policy) as g:
        c, _ = upgrade(g)
        c.expect_silence(0.5)
        c.send(b"still here")
        expect(c.exactly(10), b"still here")
        c.close()
    with Upstream(switching(echoing)) as up, Gateway(up, policy=policy) as g:
        begun = time.monotonic()
        c, _ = upgrade(g, "X-Request-Timeout: 400ms")
        expect(c.expect_end(), "rst")
        expect_between((time.monotonic() - begun) * 1000, 380, 600, "ms")
        expect(g.logged()["ending"], "deadline")


def test_idle_tunnel():
    """A tunnel without a byte either way ends after streaming.idle; one that talks does not."""
    policy = {"deadline": {"streaming": {"idle": "300ms"}}}
    with Upstream(switching(echoing)) as up, Gateway(up, policy=policy) as g:
        c, _ = upgrade(g)
        for _ in range(5):
            time.sleep(0.12)
            c.send(b"tick")
            expect(c.exactly(4), b"tick")
        begun = time.monotonic()
        c.expect_end()
        expect_between((time.monotonic() - begun) * 1000, 280, 600, "ms until the idle tunnel ended")
        expect(g.logged()["ending"], "upstream_idle")


def test_upgrade_refused():
    """An upstream that answers 200 instead of 101 made no tunnel: the answer passes and the connection goes on."""
    with Upstream(serve(lambda wire, message: wire.send(ok(b"plain")))) as up, Gateway(up) as g:
        c = g.connect()
        c.send(get("/ws", *UPGRADE))
        expect(c.answer().body, b"plain")
        c.send(get("/"))
        expect(c.answer().body, b"plain")


def test_connect_is_no_forward_proxy():
    """CONNECT to a reverse proxy is answered, not obeyed."""
    with Upstream(switching(echoing)) as up, Gateway(up) as g:
        c = g.connect()
        c.send(b"CONNECT example.com:443 HTTP/1.1\r\nHost: example.com:443\r\nUser-Agent: t\r\n\r\n")
        expect_in(c.answer().status, (400, 404, 405, 501))
        expect(len(up.requests), 0, "requests at the upstream")
