# SPDX-License-Identifier: Apache-2.0
"""SIGHUP with another configuration: nobody is refused, nobody is dropped, and a file that is wrong changes nothing."""
import os
import signal
import socket
import threading
import time

import h2
from harness import HOST, Gateway, Upstream, Wire, answering, eventually, expect, expect_in, free_port, get, note, ok, serve, silent, threads, yaml
from test_tls import Authority


def refused(address):
    """Nobody listens there any more."""
    host, port = address.rsplit(":", 1)
    try:
        socket.create_connection((host, int(port)), timeout=2).close()
        return False
    except ConnectionRefusedError:
        return True


def held(release):
    """For `serve`: /slow waits until it is released."""
    def handler(wire, message):
        if message.target.startswith("/slow"):
            release.wait(20)
        wire.send(ok(message.target.encode()))
    return handler


# ---- nobody notices ----------------------------------------------------------------------------------------------------------------------------------


def test_fifty_reloads_under_traffic():
    """Fifty reloads, each of something else (a policy, an upstream, a second listener), under traffic of HTTP/1 on kept and on new connections and
    of HTTP/2: each request is answered, no connection is refused, none that is kept is closed, and nothing of the old ones is left."""
    over = threading.Event()
    count = {"kept": 0, "fresh": 0, "h2": 0}

    def handler(wire, message):
        if message.target.endswith("7"):
            time.sleep(0.01)
        wire.send(ok(message.target.encode() * 50))

    def kept():
        wire = g.connect()
        while not over.is_set():
            path = f"/kept/{count['kept']}"
            wire.send(get(path))
            expect(wire.answer().body, path.encode() * 50)
            count["kept"] += 1
        wire.close()

    def fresh():
        while not over.is_set():
            expect(g.ask(get("/fresh")).status, 200)
            count["fresh"] += 1

    def multiplexed():
        client = h2.Client(g)
        while not over.is_set():
            streams = [client.get(f"/h2/{i}") for i in range(8)]
            expect([s.whole().body for s in streams], [f"/h2/{i}".encode() * 50 for i in range(8)])
            count["h2"] += 8
        client.close()

    def operator():
        second = f"{HOST}:{free_port()}"
        try:
            for i in range(50):
                g.reload(policies={"default": {"deadline": {"default": f"{5 + i % 3}s"}}},
                         listeners={**g.keys["listeners"], **({"second": {"address": second}} if i % 4 == 1 else {})},
                         upstreams={"be": {**g.keys["upstreams"]["be"], "max_pending": 1000 + i // 5}})
        finally:
            over.set()

    with Upstream(serve(handler)) as up, Gateway(up, workers=2) as g:
        threads(kept, fresh, multiplexed, operator)
        endings = {line["ending"] for line in g.log(sum(count.values()))}
        expect(endings, {"completed"})
        expect(g.metric('curfew_route_requests_total{route="routes[0]",ending="completed"}'), float(sum(count.values())), "the route's counter goes on")
        assert min(count.values()) >= 20, count
        note(", ".join(f"{n} {kind}" for kind, n in count.items()))


def test_the_next_request_on_a_kept_connection_has_the_new_deadline():
    """A route's deadline changes: the request that is under way has its own, the next ones on the same connections, of HTTP/1 and HTTP/2, the new one."""
    with Upstream(serve(silent)) as up, Gateway(up, policy={"deadline": {"default": "20s"}}, upstream={"max_connections": 100}) as g:
        c, under_way, two = g.connect(), g.connect(), h2.Client(g)
        under_way.send(get("/long"))
        up.wait_requests(1)
        g.reload(policies={"default": {"deadline": {"default": "200ms"}}})
        eventually(lambda: g.ask(get("/probe")).status == 504, what="a deadline of 200 ms")
        for _ in range(2):
            c.send(get("/short"))
            expect(c.answer().status, 504)
            expect(two.get("/short").whole().status, 504)
        under_way.expect_silence(0.3)
        under_way.close()


def test_an_upstream_that_stays_keeps_its_connections_and_one_that_changes_is_left():
    """An upstream that is the same goes on by its connections; one with another endpoint is asked there at once, and its old connections close: idle ones now, busy
    ones when they are done."""
    release = threading.Event()
    with Upstream(serve(held(release))) as same, Upstream(serve(held(release))) as old, Upstream(answering(b"new")) as new:
        routes = [{"match": {"path": "/same"}, "upstream": "same"}, {"match": {"path": "/*"}, "upstream": "moved"}]
        with Gateway({"same": same, "moved": old}, routes=routes) as g:
            a, b, busy = g.connect(), g.connect(), g.connect()
            for wire, path in ((a, "/same"), (b, "/x")):
                wire.send(get(path))
                expect(wire.answer().body, path.encode())
            busy.send(get("/slow"))
            old.wait_requests(2)
            g.reload(upstreams={**g.keys["upstreams"], "moved": {"protocol": "http1", "endpoints": [new.address]}})
            eventually(lambda: g.ask(get("/x")).body == b"new", what="the new endpoint")
            a.send(get("/same"))
            expect(a.answer().body, b"/same")
            expect(len(same.wires), 1, "connections to the one that stays")
            b.send(get("/x"))
            expect(b.answer().body, b"new")
            release.set()
            expect(busy.answer().body, b"/slow")
            for i in range(len(old.wires)):
                old.wait_end(i, 2)


def test_an_endpoint_with_a_name_comes():
    """The first endpoint that is a name, in a gateway that had none: it is looked up, and asked."""
    with Upstream(answering(b"one")) as one, Upstream(answering(b"two"), host="127.0.0.1") as two, Gateway(one, workers=2) as g:
        expect(g.ask(get("/")).body, b"one")
        port = two.address.rsplit(":", 1)[1]
        g.reload(upstreams={"be": {"protocol": "http1", "endpoints": [f"localhost:{port}"]}})
        eventually(lambda: g.ask(get("/")).body == b"two", what="the name's answer")


# ---- listeners ----------------------------------------------------------------------------------------------------------------------------------------


def test_a_listener_that_goes():
    """A listener is taken away: nobody can connect there any more, its idle connections close, a request under way is answered with Connection: close, and its
    HTTP/2 connection gets a GOAWAY and ends with its stream; the other listener notices nothing."""
    release = threading.Event()
    with Upstream(serve(held(release))) as up, Gateway(up, listeners={"second": {}}, workers=2) as g:
        idle, busy, kept, two = g.connect("second"), g.connect("second"), g.connect(), h2.Client(g, "second")
        kept.send(get("/kept"))
        expect(kept.answer().status, 200)
        busy.send(get("/slow"))
        stream = two.get("/slow/h2")
        up.wait_requests(3)
        g.reload(listeners={"plain": g.keys["listeners"]["plain"]})
        idle.expect_end("fin", within=3)
        eventually(lambda: refused(g.addresses["second"]), what="the closed address")
        release.set()
        answer = busy.answer()
        expect((answer.status, answer.body, answer.get("connection")), (200, b"/slow", "close"))
        busy.expect_end(within=3)
        expect(stream.whole().body, b"/slow/h2")
        two.expect_end(3)
        kept.send(get("/kept"))
        expect(kept.answer().body, b"/kept")


def test_what_a_reload_took_away_has_limited_time():
    """shutdown.drain_removed: what is under way on a listener that is gone, and at an upstream that is gone, ends as shutdown when that is over, the first with its
    connection; what the new configuration has goes on."""
    release = threading.Event()
    with Upstream(serve(held(release))) as stays, Upstream(serve(silent)) as goes:
        routes = [{"match": {"path": "/slow/stays"}, "upstream": "stays"}, {"match": {"path": "/*"}, "upstream": "goes"}]
        with Gateway({"stays": stays, "goes": goes}, listeners={"second": {}}, routes=routes, workers=2) as g:
            gone, on, asks = g.connect("second"), g.connect(), g.connect()
            for wire, path in ((gone, "/slow/stays"), (on, "/slow/stays"), (asks, "/slow/goes")):
                wire.send(get(path))
            stays.wait_requests(2)
            goes.wait_requests(1)
            g.reload(listeners={"plain": g.keys["listeners"]["plain"]}, upstreams={"stays": g.keys["upstreams"]["stays"]}, routes=routes[:1],
                     shutdown={"drain_removed": "300ms"})
            for wire, what in ((gone, "listener"), (asks, "upstream")):
                answer = wire.answer()
                expect((answer.status, answer.json()["ending"]), (503, "shutdown"))
                expect_in(f"its {what}, and drain_removed is over", answer.json()["detail"])
            gone.expect_end(within=3)
            goes.wait_end()
            expect_in("listener second, which a reload removed or changed: drain_removed is over, 1 exchanges are ended", g.messages())
            expect_in("upstream goes, which a reload removed: drain_removed is over, 1 exchanges are ended", g.messages())
            release.set()
            expect(on.answer().status, 200)
            asks.send(get("/slow/stays"))
            expect(asks.answer().status, 200)


def test_a_listener_that_comes():
    """New listeners are there when the reload is, on TCP and on a unix socket; the socket's file goes with its listener."""
    with Upstream(answering(b"x")) as up, Gateway(up, workers=2) as g:
        path = os.path.join(g.folder, "s")
        listeners = {**g.keys["listeners"], "second": {"address": f"{HOST}:{free_port()}"}, "local": {"address": f"unix:{path}"}}
        g.addresses.update({name: listeners[name]["address"] for name in ("second", "local")})
        g.reload(listeners=listeners)
        for name in ("second", "local"):
            wire = g.connect(name)
            wire.send(get("/"))
            expect(wire.answer().status, 200)
            wire.close()
        g.reload()
        eventually(lambda: refused(g.addresses["second"]), what="the closed address")
        expect(os.path.exists(path), False, "the socket's file")
        expect_in("listeners +2 -0", g.messages())
        expect_in("listeners +0 -2", g.messages())


def test_other_tls_on_a_listener():
    """What a listener wants of TLS changes: its connections, which were made under something else, go as in a drain; the address stays."""
    with Authority() as a:
        pair = a.sign("a.test", "DNS:a.test")
        with Upstream(answering(b"x")) as up, Gateway(up, listeners={"tls": {"tls": {"certificates": [pair]}}}) as g:
            def ask(context):
                with context.wrap_socket(g.open("tls"), server_hostname="a.test") as s:
                    wire = Wire(s)
                    wire.send(get("/"))
                    return wire.answer().status

            old = Wire(a.client().wrap_socket(g.open("tls"), server_hostname="a.test"))
            old.send(get("/"))
            expect(old.answer().status, 200)
            g.reload(policies={"default": {"deadline": {"default": "5s"}}})
            old.send(get("/"))
            expect(old.answer().status, 200)
            g.reload(listeners={**g.keys["listeners"], "tls": {**g.keys["listeners"]["tls"], "tls": {"certificates": [pair], "min_version": "1.3"}}})
            old.expect_end(within=3)
            expect(ask(a.client()), 200)


# ---- what is wrong ------------------------------------------------------------------------------------------------------------------------------------


def test_a_file_that_is_wrong_changes_nothing():
    """Faults in the file, an address that is taken and the admin address as a listener's: each is said with its place, the metric says so, and the old
    configuration goes on; the next good file is taken."""
    with Upstream(answering(b"x")) as up, Gateway(up) as g, socket.socket() as taken:
        kept = g.connect()
        taken.bind((HOST, 0))
        taken.listen()
        busy = f"{HOST}:{taken.getsockname()[1]}"
        new = f"{HOST}:{free_port()}"
        for keys, said in (({"routes": [{"match": {"path": "/*"}, "upstream": "nobody"}], "nonsense": 1}, "there is no upstream nobody"),
                           ({"listeners": {**g.keys["listeners"], "first": {"address": new}, "second": {"address": busy}}}, f"cannot listen on {busy}"),
                           ({"listeners": {**g.keys["listeners"], "second": {"address": g.addresses["admin"]}}, "admin": {"address": new}},
                            "it is the admin address until a restart"),
                           ({"log": {"access": os.path.join(g.folder, "no", "such", "folder")}}, "No such file")):
            g.reload(result="refused", **keys)
            expect_in(said, g.messages())
            expect(g.metric("curfew_config_last_reload_successful"), 0.0)
            kept.send(get("/"))
            expect(kept.answer().status, 200)
            expect(refused(new), True, "what was opened is closed again")
        expect_in("curfew.yaml:", g.messages())
        expect_in("unknown key nonsense", g.messages())
        g.reload("", result="refused")
        expect_in("without listeners nobody could connect", g.messages())
        before = g.metric("curfew_config_timestamp_seconds")
        g.reload(routes=[{"match": {"path": "/*"}, "respond": {"status": 203}}])
        eventually(lambda: g.ask(get("/")).status == 203, what="the new route")
        expect(g.metric("curfew_config_last_reload_successful"), 1.0)
        assert before < g.metric("curfew_config_timestamp_seconds") <= time.time()
        expect(g.metric('curfew_config_reloads_total{result="refused"}'), 5.0)


def test_what_is_no_file_is_not_read_again():
    """A pipe or a folder where the file was: the reload is refused at once, though nobody writes to the pipe, and signals are heard; the next file is taken."""
    with Upstream(answering(b"x")) as up, Gateway(up) as g:
        path = os.path.join(g.folder, "curfew.yaml")
        for make, remove in ((os.mkfifo, os.unlink), (os.mkdir, os.rmdir)):
            os.rename(path, path + ".was")
            make(path)
            refused_before = g.metric('curfew_config_reloads_total{result="refused"}')
            g.signal(signal.SIGHUP)
            eventually(lambda: g.metric('curfew_config_reloads_total{result="refused"}') == refused_before + 1, what="the refusal")
            expect_in("curfew.yaml: not a regular file", g.messages())
            expect(g.ask(get("/")).status, 200)
            remove(path)
            os.rename(path + ".was", path)
        g.reload(routes=[{"match": {"path": "/*"}, "respond": {"status": 203}}])
        eventually(lambda: g.ask(get("/")).status == 203, what="the new route")


def test_a_refused_reload_leaves_no_socket_file():
    """A new unix listener beside an address that is taken: with the refusal its socket goes, and its file; that of a listener in use stays."""
    with Upstream(answering(b"x")) as up, socket.socket() as taken:
        taken.bind((HOST, 0))
        taken.listen()
        with Gateway(up, workers=2) as g:
            old, new = (os.path.join(g.folder, name) for name in ("old", "new"))
            listeners = {**g.keys["listeners"], "old": {"address": f"unix:{old}"}}
            g.reload(listeners=listeners)
            g.reload(result="refused", listeners={**listeners, "new": {"address": f"unix:{new}"},
                                                  "taken": {"address": f"{HOST}:{taken.getsockname()[1]}"}})
            expect((os.path.exists(old), os.path.exists(new)), (True, False), "files of sockets")


def test_the_count_of_lost_lines_goes_on_with_another_log():
    """Lines that one log lost are counted still when there is another: a counter does not fall."""
    with Upstream(answering(b"x")) as up, Gateway(up) as g:
        other = {**g.keys["log"], "access": "/dev/full"}
        g.reload(log=other)
        for _ in range(3):
            expect(g.ask(get("/")).status, 200)
        eventually(lambda: g.metric("curfew_access_log_dropped_total") == 3.0, what="the lost lines")
        g.reload()
        expect(g.ask(get("/")).status, 200)
        g.log(1)
        time.sleep(0.3)
        expect(g.metric("curfew_access_log_dropped_total"), 3.0)


def test_what_needs_a_restart_is_said_and_the_rest_counts():
    """`workers` and the admin address stay, and a warning names each; log.level, log.access and the routes of the same file count."""
    with Upstream(answering(b"x")) as up, Gateway(up) as g:
        expect(g.ask(get("/")).status, 200)
        g.log(1)
        other = os.path.join(g.folder, "other.log")
        g.reload(workers=3, admin={"address": f"{HOST}:{free_port()}"}, log={"access": other, "level": "warn"},
                 routes=[{"match": {"path": "/*"}, "respond": {"status": 203}}])
        eventually(lambda: g.ask(get("/")).status == 203, what="the new route")
        eventually(lambda: os.path.exists(other) and os.path.getsize(other) > 0, what="the other log")
        expect(len(g.lines()), 1, "lines in the first log")
        expect_in("workers: 3 needs a restart, it stays 1", g.messages())
        expect_in("admin.address: ", g.messages())
        expect(g.metric("curfew_workers"), 1.0)
        g.reload()


# ---- odd times ------------------------------------------------------------------------------------------------------------------------------------------


def test_two_in_quick_succession_and_one_in_a_drain():
    """Signals that come faster than they are served leave the last file in use; one that comes while it drains is ignored, and the drain is as ever."""
    release = threading.Event()
    with Upstream(serve(held(release))) as up, Gateway(up, workers=4) as g:
        for i in range(20):
            g.write(yaml({**g.keys, "routes": [{"match": {"path": "/slow"}, "upstream": "be"}, {"match": {"path": "/*"}, "respond": {"status": 200 + i}}]}))
            g.signal(signal.SIGHUP)
        eventually(lambda: all(g.ask(get("/")).status == 219 for _ in range(8)), what="the last of twenty")
        c = g.connect()
        c.send(get("/slow"))
        up.wait_requests(1)
        g.signal()
        eventually(lambda: "draining" in g.messages())
        g.write("this: is no configuration\n")
        g.signal(signal.SIGHUP)
        eventually(lambda: "draining: the configuration is not read again" in g.messages())
        release.set()
        answer = c.answer()
        expect((answer.status, answer.get("connection")), (200, "close"))
        g.wait_exit(0)


def test_a_reload_in_every_request():
    """A long body both ways and a retry's back-off live through reloads that take their route, their upstream and their listener away."""
    def handler(wire, message):
        if message.target == "/echo":
            wire.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(message.body))
            for i in range(0, len(message.body), 1 << 16):
                wire.send(message.body[i:i + (1 << 16)])
                time.sleep(0.005)
        elif message.target == "/flaky":
            tries.append(time.monotonic())
            wire.send(ok(b"done") if len(tries) > 2 else ok(b"busy", status="503 Busy"))

    tries = []
    body = os.urandom(1 << 20)
    policy = {"retry": {"retries": 3, "when": [503], "backoff": {"base": "400ms"}, "budget": {"ratio": "100%", "floor": 10}}}
    with Upstream(serve(handler)) as up, Gateway(up, policy=policy, workers=2) as g:
        def upload():
            wire = g.connect()
            wire.send(b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % len(body))
            for i in range(0, len(body), 1 << 16):
                wire.send(body[i:i + (1 << 16)])
                time.sleep(0.02)
            expect(wire.answer().body, body)
            wire.close()

        def flaky():
            expect(g.ask(get("/flaky")).body, b"done")

        def operator():
            eventually(lambda: tries, what="the first try")
            for _ in range(10):
                g.reload(upstreams={"none": {"endpoints": [f"{HOST}:{free_port()}"]}}, routes=[{"match": {"path": "/x"}, "upstream": "none"}], policies={},
                         listeners={"moved": {"address": f"{HOST}:{free_port()}"}})
                g.reload()

        threads(upload, flaky, operator)
        expect({line["ending"] for line in g.log(2)}, {"completed"})
