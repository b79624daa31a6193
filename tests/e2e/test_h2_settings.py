# SPDX-License-Identifier: Apache-2.0
"""SETTINGS that change in the middle of a connection, from either side: windows that fall below zero, HPACK's table, the limit of streams; and
values that RFC 9113 forbids."""
import struct
import time

import h2
from harness import Gateway, Upstream, answering, eventually, expect, expect_between, settled

SHARED = {"protocol": "http2", "max_connections": 1}
MIB = 1 << 20


def say(session, **values):
    """SETTINGS of a session that is under way, which also holds its peer to them."""
    ids = {"table": h2.TABLE_SIZE, "push": h2.ENABLE_PUSH, "streams": h2.MAX_STREAMS, "window": h2.INITIAL_WINDOW, "frame": h2.MAX_FRAME}
    if "window" in values:
        for s in session.streams.values():
            s.receive_window += values["window"] - session.settings.get(h2.INITIAL_WINDOW, h2.WINDOW)
    if "table" in values:  # what was encoded before they were acknowledged may still use the old one
        session.decoder.max_allowed_table_size = max(values["table"], 4096)
    session.settings.update({ids[name]: v for name, v in values.items()})
    session.send_frame(h2.SETTINGS, 0, 0, b"".join(struct.pack(">HI", ids[name], v) for name, v in values.items()))


def test_a_client_takes_window_back():
    """RFC 9113 6.9.2: a client's SETTINGS make a stream's window negative: nothing comes until it is above zero again, then no byte more than it allows; a
    new stream begins with the new window, and a larger one sets both free."""
    with Upstream(answering(b"y" * 300_000)) as up, Gateway(up) as g:
        c = h2.Client(g, credit="connection")
        s = c.get("/").data(h2.WINDOW)
        say(c, window=5)
        expect(s.receive_window, 5 - h2.WINDOW)
        s.credit(65_000)
        c.round_trip().quiet(0.1)
        expect((len(s.body), s.receive_window), (h2.WINDOW, -530))
        other = c.get("/").data(5)
        s.credit(540)
        s.data(h2.WINDOW + 10)
        c.round_trip().quiet(0.1)
        expect((len(s.body), len(other.body)), (h2.WINDOW + 10, 5))
        say(c, window=MIB)
        expect((len(s.whole().body), len(other.whole().body)), (300_000, 300_000))
        del up


def test_an_upstream_takes_window_back():
    """The same of an upload to an upstream: what it has not room for waits here, and not a byte of it is lost."""
    with Upstream(h2.serve(lambda s: s.answer(200, body=b"%d" % len(s.body)), credit="connection")) as up, Gateway(up, upstream=SHARED) as g:
        s = h2.Client(g).post("/")
        s.send(b"x" * 60_000)
        eventually(lambda: up.requests and len(up.requests[0].body) == 60_000, what="what was sent before")
        asked = up.requests[0]
        say(asked.session, window=10)
        asked.session.round_trip()
        s.send(b"x" * 60_000)
        expect(settled(lambda: len(asked.body)), 60_000)
        expect(asked.receive_window, 10 - 60_000)
        asked.credit(60_000)
        expect(settled(lambda: len(asked.body)), 60_010)
        say(asked.session, window=MIB)
        s.send(b"x" * 80_000, end=True)
        expect(s.whole().body, b"200000")


def test_hpacks_table_changes_its_size():
    """SETTINGS_HEADER_TABLE_SIZE from either side, to nothing and up again, between requests whose fields stand in the table: each head is read as it was
    written, and our encoders keep to it."""
    with Upstream(h2.serve(lambda s: s.answer(200, "x-same: " + "v" * 50, body=s.get("x-asked").encode()))) as up, Gateway(up, upstream=SHARED) as g:
        c = h2.Client(g)
        c.get("/", "x-asked: first").whole()
        sessions = (c, up.requests[0].session)
        for size in (0, 4096, 100, 65536, 0, 10, 4096):
            for session in sessions:
                session.settings_acked = False
                say(session, table=size)
                session.until(lambda s=session: s.settings_acked)
            for i in range(4):
                s = c.get("/", f"x-asked: {size}.{i}" + "z" * 40, "x-same: 12").whole()
                expect((bytes(s.body), s.get("x-same")), (f"{size}.{i}".encode() + b"z" * 40, "v" * 50))
            for session in sessions:
                expect_between(session.decoder.header_table_size, 0, size, "what our encoder keeps")
        expect(len(up.wires), 1)


def test_an_upstream_takes_all_streams_back():
    """MAX_CONCURRENT_STREAMS 0 from an upstream that had allowed some: the stream under way goes on, requests wait and none is refused; with two allowed
    again there are never three."""
    most = []

    def handler(s):
        if s.target == "/":
            most.append(len([x for x in up.requests if x.target == "/" and not x.sent_end]))
            time.sleep(0.01)
            s.answer(200, body=b"waited")

    with Upstream(h2.serve(handler, threaded=True)) as up, Gateway(up, upstream=SHARED) as g:
        c = h2.Client(g)
        running = c.get("/running")
        up.wait_requests(1)
        session = up.requests[0].session
        say(session, streams=0)
        session.round_trip()
        waiting = [c.get("/") for _ in range(8)]
        c.round_trip().quiet(0.1)
        expect((len(up.requests), [s.fields for s in waiting]), (1, [None] * 8))
        up.requests[0].answer(200, body=b"ran")
        expect(running.whole().body, b"ran")
        say(session, streams=2)
        expect([bytes(s.whole().body) for s in waiting], [b"waited"] * 8)
        expect_between(max(most), 1, 2, "streams at a time")
        expect(len(up.wires), 1)


def test_settings_that_cannot_be():
    """Values that RFC 9113 6.5.2 forbids end the connection with its code, a client's and an upstream's; the next request is served on another."""
    with Upstream(h2.answering()) as up, Gateway(up, upstream=SHARED) as g:
        for values, code in (({"frame": 100}, h2.PROTOCOL_ERROR), ({"frame": 1 << 24}, h2.PROTOCOL_ERROR), ({"window": 1 << 31}, h2.FLOW_CONTROL_ERROR),
                             ({"push": 2}, h2.PROTOCOL_ERROR)):
            c = h2.Client(g)
            expect(c.get("/").whole().body, b"hello")
            say(c, **values)
            c.expect_end()
            expect([why for _, why in c.goaways], [code], values)
            wire = up.wires[-1]
            say(wire.session, **values)
            eventually(lambda w=wire: w.session.ended, what="the end of the upstream's connection")
            expect([why for _, why in wire.session.goaways], [code], values)
        c = h2.Client(g)
        say(c, frame=(1 << 24) - 1)  # the largest that may be
        expect(c.get("/").whole().body, b"hello")
        expect(len(up.wires), 5)
