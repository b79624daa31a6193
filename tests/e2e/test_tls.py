# SPDX-License-Identifier: Apache-2.0
"""TLS on both sides: certificates by name, ALPN, versions, client certificates, verification, and that closing means what it means in cleartext."""
import os
import shutil
import signal
import socket
import ssl
import subprocess
import tempfile
import threading
import time

import h2
from harness import (HOST, PATIENCE, Gateway, Upstream, Wire, answering, echo, eventually, expect, expect_between, expect_in, get, note, ok, post, serve,
                     silent)

SOON = 1.0


# ---- certificates, and who speaks TLS in these tests ----------------------------------------------------------------------------------------


class Authority:
    """A folder with a CA and what it signed; its files are name.pem and name.key."""

    def __init__(self):
        self.folder = tempfile.mkdtemp(prefix="curfew-tls-")
        self._openssl("req", "-x509", *self._new_key("ca"), "-subj", "/CN=tests CA", "-days", "2", "-out", self.path("ca.pem"))
        self.ca = self.path("ca.pem")

    def __enter__(self):
        return self

    def __exit__(self, *what):
        shutil.rmtree(self.folder)

    def path(self, name):
        return os.path.join(self.folder, name)

    def _openssl(self, *arguments, given=None):
        done = subprocess.run(["openssl", *arguments], capture_output=True, check=False, input=given, timeout=30)
        assert done.returncode == 0, done.stderr.decode()

    def _new_key(self, name):
        return ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", self.path(name + ".key")]

    def sign(self, name, *alternatives, file=None):
        """A certificate for CN=name and these subjectAltNames (DNS:… or IP:…); the pair of files."""
        file = file or name.replace("*", "any")
        self._openssl("req", *self._new_key(file), "-subj", f"/CN={name}", "-out", self.path(file + ".csr"))
        with open(self.path(file + ".ext"), "w", encoding="ascii") as f:
            f.write("basicConstraints=CA:FALSE\n" + (f"subjectAltName={','.join(alternatives)}\n" if alternatives else ""))
        self._openssl("x509", "-req", "-in", self.path(file + ".csr"), "-CA", self.path("ca.pem"), "-CAkey", self.path("ca.key"), "-CAcreateserial",
                      "-days", "2", "-extfile", self.path(file + ".ext"), "-out", self.path(file + ".pem"))
        return self.pair(file)

    def pair(self, file):
        return {"certificate": self.path(file + ".pem"), "key": self.path(file + ".key")}

    def client(self, *alpn, verify=True, pair=None, low=None, high=None):
        """The context of a client that trusts this CA."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_REQUIRED if verify else ssl.CERT_NONE
        context.load_verify_locations(self.ca)
        if alpn:
            context.set_alpn_protocols(list(alpn))
        if pair:
            context.load_cert_chain(pair["certificate"], pair["key"])
        if low:
            context.minimum_version = low
        if high:
            context.maximum_version = high
        return context

    def server(self, pair, *alpn, client_ca=None):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(pair["certificate"], pair["key"])
        if alpn:
            context.set_alpn_protocols(list(alpn))
        if client_ca:
            context.verify_mode = ssl.CERT_REQUIRED
            context.load_verify_locations(client_ca)
        return context


def secured(context, script):
    """A script for Upstream behind TLS; wire.failed is what the handshake failed with, wire.peer the client's certificate."""
    def wrapped(wire):
        wire.failed = wire.peer = wire.alpn = None
        try:
            wire.sock.settimeout(PATIENCE)
            wire.sock = context.wrap_socket(wire.sock, server_side=True)
        except (ssl.SSLError, OSError) as e:
            wire.failed = e
            return
        wire.peer, wire.alpn = wire.sock.getpeercert(), wire.sock.selected_alpn_protocol()
        script(wire)
    return wrapped


class SecureWire(Wire):
    """A client's connection whose TLS can be closed while its TCP is not, and the other way round."""

    def __init__(self, sock, context, server_name=None):
        super().__init__(sock)
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(self.incoming, self.outgoing, server_hostname=server_name)
        self.notified = False  # the peer's close_notify came

    def flush(self, dribble=False):
        data = self.outgoing.read()
        for piece in [data[i : i + 1] for i in range(len(data))] if dribble else [data] if data else []:
            super().send(piece)

    def handshake(self, dribble=False):
        while True:
            try:
                self.tls.do_handshake()
                self.flush(dribble)
                return self
            except ssl.SSLWantReadError:
                self.flush(dribble)
                self.receive()

    def receive(self):
        self.sock.settimeout(PATIENCE)
        data = self.sock.recv(65536)
        if data:
            self.incoming.write(data)
        else:
            self.incoming.write_eof()
        return data

    def send(self, data):
        self.tls.write(data)
        self.flush()

    def close_notify(self):
        try:
            self.tls.unwrap()
        except ssl.SSLWantReadError:
            pass
        self.flush()

    def fill(self, timeout=None):
        del timeout
        if self.ended:
            return False
        while True:
            try:
                data = self.tls.read(65536)
            except ssl.SSLWantReadError:
                try:
                    if not self.receive():
                        self.ended = "cut"  # FIN without close_notify
                        return False
                except ConnectionResetError:
                    self.ended = "rst"
                    return False
                continue
            except ssl.SSLZeroReturnError:
                data = b""
            except ssl.SSLEOFError:
                self.ended = "cut"
                return False
            if not data:
                self.notified, self.ended = True, "fin"
                return False
            self.unread += data
            return True


def listener(*pairs, **more):
    """For `listeners`: one named tls."""
    return {"tls": {"tls": {"certificates": list(pairs), **more.pop("tls", {})}, **more}}


def shake(g, context, server_name=None, name="tls"):
    """A socket after its handshake."""
    sock = g.open(name)
    try:
        return context.wrap_socket(sock, server_hostname=server_name)
    except BaseException:
        sock.close()
        raise


def refused(g, context, server_name=None):
    """Whether the handshake, or the first read behind it (where TLS 1.3 says so), fails; the error."""
    try:
        with shake(g, context, server_name) as s:
            s.sendall(get("/"))
            s.settimeout(PATIENCE)
            s.recv(1)
    except (ssl.SSLError, ConnectionResetError, BrokenPipeError) as e:
        return str(e) or repr(e)
    return None


def common_name(certificate):
    return next(v for rdn in certificate["subject"] for k, v in rdn if k == "commonName")


# ---- towards clients ----------------------------------------------------------------------------------------------------------------------------


def test_certificates_by_name():
    """SNI picks the certificate: the exact name, a wildcard for one label, whatever their case; the first one where nothing fits, or no name is said."""
    with Authority() as a:
        pairs = [a.sign("default.test", "DNS:default.test"), a.sign("exact", "DNS:a.test", "DNS:b.test"), a.sign("wild", "DNS:*.w.test"),
                 a.sign("inside", "DNS:in.w.test")]
        with Upstream(answering()) as up, Gateway(up, listeners=listener(*pairs)) as g:
            names = {"a.test": "exact", "B.TEST": "exact", "x.w.test": "wild", "X.W.test": "wild", "in.w.test": "inside", "w.test": "default.test",
                     "x.y.w.test": "default.test", "other.test": "default.test", "default.test": "default.test", None: "default.test"}
            for name, due in names.items():
                with shake(g, a.client(), name) as s:
                    expect(common_name(s.getpeercert()), due, f"the certificate for {name}")


def test_alpn():
    """ALPN decides the protocol: h2 first where both are offered, http/1.1, none: HTTP/1.1; a client that offers only others is refused."""
    with Authority() as a, Upstream(serve(echo)) as up, Gateway(up, listeners=listener(a.sign("a.test", "DNS:a.test"))) as g:
        expect(h2.json_of(h2.Client(g, "tls", tls=a.client("h2", "http/1.1")).get("/two").whole())["target"], "/two")
        for alpn in (["http/1.1"], [], ["http/1.1", "h2"]):
            s = shake(g, a.client(*alpn), "a.test")
            due = "h2" if "h2" in alpn else alpn[0] if alpn else None
            expect(s.selected_alpn_protocol(), due)
            if due != "h2":
                wire = Wire(s)
                wire.send(get("/one"))
                expect(wire.answer().json()["target"], "/one")
            s.close()
        said = refused(g, a.client("spdy/3", "h3"))
        assert said and "ALERT" in said.upper(), said
        expect([r.target for r in up.requests], ["/two", "/one", "/one"])


def test_versions():
    """TLS 1.2 and 1.3 are spoken, 1.1 is not; min_version 1.3 refuses 1.2 as well."""
    v = ssl.TLSVersion
    with Authority() as a, Upstream(answering()) as up:
        pair = a.sign("a.test", "DNS:a.test")
        listeners = {**listener(pair), "modern": {"tls": {"certificates": [pair], "min_version": "1.3"}}}
        with Gateway(up, listeners=listeners) as g:
            for version, name in ((v.TLSv1_2, "TLSv1.2"), (v.TLSv1_3, "TLSv1.3")):
                with shake(g, a.client(low=version, high=version)) as s:
                    expect(s.version(), name)
                    note(f"{name}: {s.cipher()[0]}")
            old = a.client(verify=False)
            old.set_ciphers("ALL:@SECLEVEL=0")
            old.minimum_version, old.maximum_version = v.TLSv1, v.TLSv1_1
            assert refused(g, old), "TLS 1.1 was spoken"
            try:
                shake(g, a.client(high=v.TLSv1_2), name="modern")
            except ssl.SSLError as e:
                note(str(e).split("(")[0])
            else:
                raise AssertionError("TLS 1.2 was spoken where 1.3 is the least")
            eventually(lambda: g.metric("curfew_tls_handshake_failures_total") >= 2, what="the counter")
            assert "handshake failed" not in g.messages(), "scanners would flood the log"


def test_ciphers_of_tls_1_2():
    """Without `ciphers` a suite of TLS 1.2 has forward secrecy and AEAD or is not spoken, neither with a client nor with an upstream that would not be
    verified; `ciphers` names others."""
    old = "ECDHE-ECDSA-AES128-SHA"  # CBC
    with Authority() as a:
        pair = a.sign("a.test", "DNS:a.test")
        server = a.server(pair, "http/1.1")
        server.maximum_version = ssl.TLSVersion.TLSv1_2
        server.set_ciphers(f"{old}:@SECLEVEL=0")
        listeners = {**listener(pair), "old": {"tls": {"certificates": [pair], "ciphers": old}}}
        with Upstream(secured(server, answering())) as up, Gateway(up, listeners=listeners, upstream={"tls": {"verify": False}}) as g:
            for suites, name, spoken in ((old, "tls", None), ("ECDHE-ECDSA-AES128-SHA256", "tls", None), ("aNULL:eNULL", "tls", None), (old, "old", old),
                                         ("ALL", "tls", "GCM")):
                c = a.client(verify=False, high=ssl.TLSVersion.TLSv1_2)
                c.set_ciphers(f"{suites}:@SECLEVEL=0")
                if spoken:
                    with shake(g, c, name=name) as s:
                        assert spoken in s.cipher()[0], s.cipher()
                else:
                    try:
                        shake(g, c, name=name).close()
                        raise AssertionError(f"{suites} was spoken")
                    except ssl.SSLError as e:
                        assert "ALERT_HANDSHAKE_FAILURE" in str(e), e
            expect(g.ask(get("/")).status, 503)
            expect(g.logged()["ending"], "connect_failure")
            expect(up.requests, [])


def test_all_pairings_over_tls():
    """HTTP/1 and HTTP/2 over TLS in front of both over TLS: bodies both ways, :scheme and x-forwarded-proto are https."""
    sent, answered = os.urandom(300_000), os.urandom(400_000)
    with Authority() as a:
        front, back = a.sign("front.test", "DNS:front.test"), a.sign("up.test", "DNS:up.test")
        for down in ("http/1.1", "h2"):
            for protocol in ("http1", "http2"):
                script = h2.serve(lambda s: s.answer(200, body=answered, trailers=["x-t: u"])) if protocol == "http2" else \
                    serve(lambda wire, m: wire.send(ok(answered)))
                alpn = "h2" if protocol == "http2" else "http/1.1"
                upstream = {"protocol": protocol, "tls": {"ca": a.ca, "server_name": "up.test"}}
                with Upstream(secured(a.server(back, alpn), script)) as up, Gateway(up, listeners=listener(front), upstream=upstream) as g:
                    if down == "h2":
                        s = h2.Client(g, "tls", tls=a.client("h2"), server_name="front.test").ask("POST", "/x", body=sent).whole()
                        expect(s.trailers, [("x-t", "u")] if protocol == "http2" else None)
                    else:
                        wire = Wire(shake(g, a.client("http/1.1"), "front.test"))
                        threading.Thread(target=wire.send, args=(post("/x", sent),), daemon=True).start()
                        s = wire.answer()
                        wire.close()
                    assert (s.status, s.body) == (200, answered), f"{down} to {protocol}: {s.status} {len(s.body)}"
                    seen = up.wait_requests(1)[0]
                    assert seen.body == sent, f"{down} to {protocol}: {len(seen.body)} bytes came"
                    expect(seen.get("x-forwarded-proto"), "https")
                    if protocol == "http2":
                        expect(seen.get(":scheme"), "https")
                    expect(up.wires[0].alpn, alpn)


def test_client_certificates():
    """client_auth: optional asks and takes none for an answer, required does not; a certificate of somebody else's authority is refused by both."""
    with Authority() as a, Authority() as other, Upstream(answering()) as up:
        pair, good = a.sign("a.test", "DNS:a.test"), a.sign("alice")
        bad = other.sign("mallory")
        for wanted, cases in (("none", (True, True, True)), ("optional", (True, True, False)), ("required", (False, True, False))):
            tls = {"client_auth": wanted, **({"client_ca": a.ca} if wanted != "none" else {})}
            with Gateway(up, listeners=listener(pair, tls=tls)) as g:
                for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
                    for shown, due in zip((None, good, bad), cases):
                        said = refused(g, a.client(pair=shown, low=version, high=version))
                        expect(said is None, due, f"{wanted}, {shown and shown['key']}, {version.name}: {said}")


def test_a_handshake_has_its_time():
    """timeouts.tls_handshake: who says nothing, or half a ClientHello, is closed when it is over; a slow one within it is served, byte by byte."""
    with Authority() as a, Upstream(answering()) as up, \
            Gateway(up, listeners=listener(a.sign("a.test", "DNS:a.test"), timeouts={"tls_handshake": "400ms"})) as g:
        for first in (b"", b"\x16\x03\x01\x02\x00\x01"):
            c = g.connect("tls")
            c.send(first)
            begun = time.monotonic()
            c.to_end()
            expect_between((time.monotonic() - begun) * 1000, 350, 1000, "ms until it was closed")
        begun = time.monotonic()
        c = SecureWire(g.open("tls"), a.client(high=ssl.TLSVersion.TLSv1_2)).handshake()
        c.send(get("/"))
        expect(c.answer().body, b"hello")
    with Authority() as a, Upstream(answering()) as up, Gateway(up, listeners=listener(a.sign("a.test", "DNS:a.test"))) as g:
        c = SecureWire(g.open("tls"), a.client()).handshake(dribble=True)
        c.send(get("/"))
        expect(c.answer().body, b"hello")


def test_cleartext_and_noise_on_a_tls_port():
    """HTTP in cleartext, an HTTP/2 preface and noise on a TLS port: each connection ends, and the gateway goes on."""
    with Authority() as a, Upstream(answering()) as up, Gateway(up, listeners=listener(a.sign("a.test", "DNS:a.test"))) as g:
        for data in (get("/"), h2.PREFACE, os.urandom(500), b"\x16\x03\x01\xff\xff" + b"\0" * 200, b"\x15\x03\x03\0\x02\x02\x28"):
            c = g.connect("tls")
            c.send(data)
            try:
                c.half_close()
            except OSError:
                pass
            c.to_end()
        expect(len(up.requests), 0)
        with shake(g, a.client()) as s:
            wire = Wire(s)
            wire.send(get("/"))
            expect(wire.answer().body, b"hello")


def test_close_notify_is_a_fin():
    """T5: close_notify, its TCP connection still open, while the answer is owed: the client left, and the upstream is told at once; half_close: tolerate lets
    it have its answer, and our close_notify follows."""
    with Authority() as a:
        pair = a.sign("a.test", "DNS:a.test")
        with Upstream(serve(silent)) as up, Gateway(up, listeners=listener(pair)) as g:
            c = SecureWire(g.open("tls"), a.client()).handshake()
            c.send(get("/"))
            up.wait_requests(1)
            begun = time.monotonic()
            c.close_notify()
            _, at = up.wait_end(0, SOON)
            note(f"seen upstream after {(at - begun) * 1000:.2f} ms")
            line = g.logged()
            expect((line["ending"], line["cancel_level"]), ("client_closed", "close"))

        def late(wire, message):
            del message
            time.sleep(0.2)
            wire.send(ok(b"late"))

        with Upstream(serve(late)) as up, Gateway(up, listeners=listener(pair), policy={"cancel": {"half_close": "tolerate"}}) as g:
            c = SecureWire(g.open("tls"), a.client()).handshake()
            c.send(get("/"))
            c.close_notify()
            expect(c.answer().body, b"late")
            c.to_end()
            expect(c.ended, "fin")
            expect(g.logged()["ending"], "completed")
            del up


def test_a_reset_behind_a_tolerated_end():
    """half_close: tolerate lets a client end its half and wait; RST behind its FIN, or behind its close_notify, says that it waits no more."""
    with Authority() as a:
        for port, end in (("h1", "half_close"), ("tls", "close_notify")):
            listeners = listener(a.sign("a.test", "DNS:a.test"))
            with Upstream(serve(silent)) as up, Gateway(up, listeners=listeners, policy={"cancel": {"half_close": "tolerate"}}) as g:
                c = SecureWire(g.open("tls"), a.client()).handshake() if port == "tls" else Wire(g.open())
                c.send(get("/"))
                up.wait_requests(1)
                getattr(c, end)()
                time.sleep(0.1)  # until it has come: nothing tells when
                c.reset()
                up.wait_end(0, SOON)
                expect(g.logged()["ending"], "client_reset", f"{end}, then RST")


def test_a_client_that_is_cut_off():
    """TCP FIN without close_notify, and TCP RST, while the answer is owed: both count as the client's leaving, over HTTP/1 and HTTP/2, for all its streams."""
    with Authority() as a:
        pair = a.sign("a.test", "DNS:a.test")
        for how in ("half_close", "reset"):
            with Upstream(serve(silent)) as up, Gateway(up, listeners=listener(pair)) as g:
                c = SecureWire(g.open("tls"), a.client()).handshake()
                c.send(get("/"))
                up.wait_requests(1)
                getattr(c, how)()
                up.wait_end(0, SOON)
                expect_in(g.logged()["ending"], ("client_closed", "client_reset"))
            with Upstream(h2.serve(h2.silent)) as up, Gateway(up, listeners=listener(pair), upstream={"protocol": "http2"}) as g:
                c = h2.Client(g, "tls", tls=a.client("h2"))
                for i in range(5):
                    c.get(f"/{i}")
                up.wait_requests(5)
                c.round_trip()
                if how == "reset":
                    c.reset_connection()
                else:
                    socket.socket.shutdown(c.wire.sock, socket.SHUT_WR)
                expect([s.reset_code(SOON) for s in up.requests], ["CANCEL"] * 5)
                expect({l["ending"] for l in g.log(5)} <= {"client_closed", "client_reset"}, True)


def test_our_end_is_a_close_notify():
    """A connection that the gateway ends in order (idle, Connection: close) ends by close_notify and FIN; an answer that is cut ends without."""
    def cut(wire, message):
        del message
        wire.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n")
        time.sleep(0.05)
        return False

    with Authority() as a:
        pair = a.sign("a.test", "DNS:a.test")
        with Upstream(answering()) as up, Gateway(up, listeners=listener(pair, timeouts={"idle": "200ms"})) as g:
            for fields in ((), ("Connection: close",)):
                c = SecureWire(g.open("tls"), a.client()).handshake()
                c.send(get("/", *fields))
                expect(c.answer().body, b"hello")
                c.to_end()
                expect((c.ended, c.notified), ("fin", True))
            del up
        with Upstream(serve(cut)) as up, Gateway(up, listeners=listener(pair), policy={"retry": {"retries": 0}}) as g:
            c = SecureWire(g.open("tls"), a.client()).handshake()
            c.send(get("/"))
            expect((c.answer().cut in ("cut", "rst", "fin"), g.logged()["ending"]), (True, "upstream_closed"))
            del up


def test_sessions_are_resumed():
    """A session ticket spares the second handshake, in TLS 1.2 and 1.3, whichever worker takes the connection; session_tickets: false gives none."""
    with Authority() as a, Upstream(answering()) as up:
        pair = a.sign("a.test", "DNS:a.test")
        listeners = {**listener(pair), "without": {"tls": {"certificates": [pair], "session_tickets": False}}}
        with Gateway(up, listeners=listeners, workers=2) as g:
            for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
                for name, due in (("tls", True), ("without", False)):
                    context = a.client(low=version, high=version)
                    session, reused = None, []
                    for _ in range(6):
                        s = context.wrap_socket(g.open(name), session=session, server_hostname="a.test")
                        wire = Wire(s)
                        wire.send(get("/"))
                        expect(wire.answer().status, 200)
                        reused.append(s.session_reused)
                        session = s.session if due else None
                        has_ticket = s.session is not None and s.session.has_ticket
                        s.close()
                    expect(reused[1:], [due] * 5, f"{version.name}, {name}")
                    expect(has_ticket, due)


def test_sessions_are_resumed_across_a_reload():
    """SIGHUP costs no client a full handshake: tickets from before it are good behind it, whichever certificate was chosen, in TLS 1.2 and 1.3. Not where
    clients show certificates, which the files of the reload may not trust any more; and not where the listener's `tls` is another."""
    with Authority() as a, Upstream(answering()) as up:
        pairs = [a.sign("a.test", "DNS:a.test"), a.sign("b.test", "DNS:b.test")]
        mutual = {"certificates": pairs, "client_ca": a.ca, "client_auth": "required"}
        with Gateway(up, listeners={"tls": {"tls": {"certificates": pairs}}, "mutual": {"tls": mutual}}, workers=2) as g:
            def ask(listener_name, context, host, session=None):
                s = context.wrap_socket(g.open(listener_name), session=session, server_hostname=host)
                wire = Wire(s)
                wire.send(get("/"))
                expect(wire.answer().status, 200)
                session, reused = s.session, s.session_reused
                s.close()
                return session, reused

            clients = []
            for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
                for name, host, due in (("tls", "a.test", True), ("tls", "b.test", True), ("mutual", "a.test", False)):
                    context = a.client(low=version, high=version, pair=pairs[0])
                    session, _ = ask(name, context, host)
                    expect(ask(name, context, host, session)[1], True, f"{version.name}, {name}, before")
                    clients.append((name, context, host, session, due))
            for _ in range(2):
                g.reload(policies={"default": {"deadline": {"default": "5s"}}})
                for name, context, host, session, due in clients:
                    expect(ask(name, context, host, session)[1], due, f"{name}, {host}, behind a reload")
            g.reload(listeners={**g.keys["listeners"], "tls": {**g.keys["listeners"]["tls"], "tls": {"certificates": pairs[::-1]}}})
            for name, context, host, session, _ in clients:
                expect(ask(name, context, host, session)[1], False, f"{name}, {host}, behind another tls")


def test_renegotiation_is_refused():
    """A TLS 1.2 client that asks for a new handshake gets none: the connection ends or goes on, but without it."""
    with Authority() as a, Upstream(answering()) as up, Gateway(up, listeners=listener(a.sign("a.test", "DNS:a.test"))) as g:
        with subprocess.Popen(["openssl", "s_client", "-connect", g.addresses["tls"], "-tls1_2", "-CAfile", a.ca], stdin=subprocess.PIPE,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as p:
            told = b""
            while b"Verify return code" not in told and (piece := os.read(p.stdout.fileno(), 65536)):
                told += piece
            p.stdin.write(b"R\n")
            p.stdin.flush()
            time.sleep(0.5)  # it says nothing where the answer is silence
            p.terminate()
            said = (told + p.stdout.read()).decode()
        assert "RENEGOTIATING" in said, said[-500:]
        assert "no renegotiation" in said or "closed" in said or "error" in said, said[-500:]
        expect(len(up.requests), 0)


def test_a_slow_reader_over_tls():
    """An HTTP/2 client over TLS that reads nothing for a while: what OpenSSL had refused is sent later, every byte as it was."""
    body = os.urandom(1 << 20) * 6
    with Authority() as a:
        front, back = a.sign("front.test", "DNS:front.test"), a.sign("up.test", "DNS:up.test")
        upstream = {"protocol": "http2", "tls": {"ca": a.ca, "server_name": "up.test"}}
        with Upstream(secured(a.server(back, "h2"), h2.serve(lambda s: s.answer(200, body=body), threaded=True))) as up, \
                Gateway(up, listeners=listener(front), upstream=upstream) as g:
            c = h2.Client(g, "tls", tls=a.client("h2"), settings={h2.INITIAL_WINDOW: 8 << 20}, window=16 << 20)
            s, t = c.get("/1"), c.get("/2")
            time.sleep(0.7)  # the client reads nothing, so that both bodies pile up before it
            assert s.whole(30).body == body and t.whole(30).body == body, (len(s.body), len(t.body))
            del up


def test_resets_pass_over_tls():
    """RST_STREAM to RST_STREAM with TLS on both sides."""
    with Authority() as a:
        front, back = a.sign("front.test", "DNS:front.test"), a.sign("up.test", "DNS:up.test")
        upstream = {"protocol": "http2", "tls": {"ca": a.ca, "server_name": "up.test"}}
        with Upstream(secured(a.server(back, "h2"), h2.serve(h2.silent))) as up, Gateway(up, listeners=listener(front), upstream=upstream) as g:
            c = h2.Client(g, "tls", tls=a.client("h2"))
            for n in range(1, 11):
                s = c.get("/")
                up.wait_requests(n)
                begun = time.monotonic()
                s.reset()
                expect(up.requests[-1].reset_code(SOON), "CANCEL")
            note(f"the last of ten after {(up.requests[-1].code_at - begun) * 1000:.2f} ms")
            s = c.get("/", "x-request-timeout: 100ms").whole()
            expect(s.status, 504)


# ---- towards upstreams -------------------------------------------------------------------------------------------------------------------------------


def test_upstreams_are_verified():
    """The upstream's certificate must be of a known authority, for the name, and valid; else 503, connect_failure, a line in the log that says what was wrong,
    and not a byte of the request. verify: false asks for nothing."""
    with Authority() as a, Authority() as other:
        good, wrong = a.sign("up.test", "DNS:up.test"), a.sign("else.test", "DNS:else.test")
        numbered = a.sign("numbered", f"IP:{HOST}")
        foreign = other.sign("up.test", "DNS:up.test")
        cases = {
            "the right name": (good, {"ca": a.ca, "server_name": "up.test"}, None),
            "another name": (wrong, {"ca": a.ca, "server_name": "up.test"}, "mismatch"),
            "an unknown authority": (foreign, {"ca": a.ca, "server_name": "up.test"}, "certificate"),
            "the system's authorities": (good, {"server_name": "up.test"}, "certificate"),
            "an address that it has": (numbered, {"ca": a.ca}, None),
            "an address that it has not": (good, {"ca": a.ca}, "mismatch"),
            "no verification, another name": (wrong, {"verify": False, "server_name": "up.test"}, None),
            "no verification, an unknown authority": (foreign, {"verify": False}, None),
        }
        for what, (pair, tls, said) in cases.items():
            with Upstream(secured(a.server(pair), answering())) as up, \
                    Gateway(up, upstream={"protocol": "http1", "tls": tls}, policy={"retry": {"retries": 0}}) as g:
                answer = g.ask(get("/"))
                line = g.logged()
                if said is None:
                    expect((answer.status, answer.body), (200, b"hello"), what)
                else:
                    expect((answer.status, line["ending"], len(up.requests)), (503, "connect_failure", 0), what)
                    problems = [m for m in g.messages().split("\n") if "certificate" in m or "mismatch" in m]
                    assert problems and any(said in m for m in problems), f"{what}: {g.messages()}"
                    note(f"{what}: {problems[-1].split('] ', 1)[-1]}")


def test_the_name_that_is_asked_for():
    """SNI towards the upstream is server_name; never an address."""
    asked = []
    with Authority() as a:
        context = a.server(a.sign("up.test", "DNS:up.test", f"IP:{HOST}"))
        context.sni_callback = lambda sock, name, ctx: asked.append(name)
        for tls in ({"ca": a.ca, "server_name": "up.test"}, {"ca": a.ca}):
            with Upstream(secured(context, answering())) as up, Gateway(up, upstream={"protocol": "http1", "tls": tls}) as g:
                expect(g.ask(get("/")).status, 200)
                del up
    expect(asked, ["up.test", None])


def test_our_own_certificate():
    """An upstream that wants a certificate is shown ours; without one it refuses, which is connect_failure."""
    with Authority() as a:
        context = a.server(a.sign("up.test", "DNS:up.test"), "h2", client_ca=a.ca)
        context.maximum_version = ssl.TLSVersion.TLSv1_2  # where a refusal is part of the handshake
        ours = a.sign("the gateway")
        for own in (ours, None):
            upstream = {"protocol": "http2", "tls": {"ca": a.ca, "server_name": "up.test", **(own or {})}}
            with Upstream(secured(context, h2.answering())) as up, Gateway(up, upstream=upstream, policy={"retry": {"retries": 0}}) as g:
                status = g.ask(get("/")).status
                if own:
                    expect((status, common_name(up.wires[0].peer)), (200, "the gateway"))
                else:
                    expect((status, g.logged()["ending"]), (503, "connect_failure"))


def test_protocol_auto_follows_alpn():
    """protocol: auto speaks what the upstream chooses: h2, http/1.1, and HTTP/1.1 where it chooses nothing."""
    with Authority() as a:
        pair = a.sign("up.test", "DNS:up.test")
        for alpn, due in (("h2", "http2"), ("http/1.1", "http1"), (None, "http1")):
            script = h2.answering(b"http2") if due == "http2" else answering(b"http1")
            upstream = {"protocol": "auto", "tls": {"ca": a.ca, "server_name": "up.test"}}
            with Upstream(secured(a.server(pair, *([alpn] if alpn else [])), script)) as up, Gateway(up, upstream=upstream) as g:
                for _ in range(3):
                    expect(g.ask(get("/")).body.decode(), due)
                    expect(h2.Client(g).get("/").whole().body.decode(), due)
                expect(up.wires[0].alpn, alpn)
                note(f"{alpn}: {len(up.wires)} connections for 6 requests")


def test_protocol_http2_needs_alpn():
    """RFC 9113 3.2: protocol: http2 to an upstream over TLS that does not agree on h2 fails, and no HTTP/1 server is fed frames as a request."""
    with Authority() as a:
        pair = a.sign("up.test", "DNS:up.test")
        upstream = {"protocol": "http2", "tls": {"ca": a.ca, "server_name": "up.test"}}
        for alpn in ((), ("http/1.1",)):
            with Upstream(secured(a.server(pair, *alpn), lambda wire: wire.to_end())) as up, \
                    Gateway(up, upstream=upstream, policy={"retry": {"retries": 0}, "deadline": {"default": "2s"}}) as g:
                expect(g.ask(get("/")).status, 503)
                expect(g.logged()["ending"], "connect_failure")
                del up


def test_an_upstream_that_never_shakes_hands():
    """connect_timeout counts the handshake in: an upstream that accepts and says nothing is connect_timeout, in its time."""
    upstream = {"protocol": "http2", "connect_timeout": "300ms", "tls": {"verify": False}}
    with Upstream(lambda wire: wire.to_end()) as up, Gateway(up, upstream=upstream, policy={"retry": {"retries": 0}}) as g:
        begun = time.monotonic()
        expect(g.ask(get("/")).status, 503)
        expect_between((time.monotonic() - begun) * 1000, 290, 600, "ms")
        expect(g.logged()["ending"], "connect_timeout")
        del up


def test_an_upstream_that_speaks_no_tls():
    """An upstream in cleartext behind `tls`: 503, connect_failure; it was sent no request."""
    with Upstream(lambda wire: (wire.fill(), wire.send(b"HTTP/1.1 400 Bad Request\r\n\r\n"))) as up, \
            Gateway(up, upstream={"protocol": "http1", "tls": {"verify": False}}, policy={"retry": {"retries": 0}}) as g:
        expect((g.ask(get("/")).status, g.logged()["ending"]), (503, "connect_failure"))
        assert b"HTTP" not in up.wires[0].unread and b"GET" not in up.wires[0].unread


# ---- certificates change -------------------------------------------------------------------------------------------------------------------------------


def test_certificates_are_reloaded_without_dropping():
    """SIGHUP: a new connection sees the new certificate, an old one goes on, also with a stream in flight; a broken file changes nothing, and the log says so."""
    release = threading.Event()

    def handler(s):
        if s.target == "/slow":
            release.wait(20)
        s.answer(200, body=s.target.encode())

    def serial():
        with shake(g, a.client(), "a.test") as s:
            return s.getpeercert()["serialNumber"]

    with Authority() as a:
        pair = a.sign("a.test", "DNS:a.test")
        with Upstream(h2.serve(handler, threaded=True)) as up, Gateway(up, listeners=listener(pair), upstream={"protocol": "http2"}, workers=2) as g:
            old = h2.Client(g, "tls", tls=a.client("h2"))
            slow = old.get("/slow")
            up.wait_requests(1)
            before = serial()
            expect(serial(), before)
            a.sign("a.test", "DNS:a.test")
            g.signal(signal.SIGHUP)
            eventually(lambda: serial() != before, 5, "the new certificate")
            after = serial()
            with open(pair["certificate"], "w", encoding="ascii") as f:
                f.write("this is no certificate\n")
            g.signal(signal.SIGHUP)
            eventually(lambda: "of no use" in g.messages() or "cannot be read" in g.messages(), what="the complaint of the broken file")
            expect(serial(), after, "the certificate after a broken file")
            release.set()
            expect(slow.whole().body, b"/slow")
            expect(old.get("/more").whole().body, b"/more")


def test_the_files_of_an_upstream_are_reloaded():
    """SIGHUP with the same configuration: the CA file that upstreams are checked against and the certificate that we show are read anew; new connections have
    them, and one that was open goes on."""
    serials = []

    def script(wire):
        serials.append(wire.peer["serialNumber"])
        serve(lambda w, m: w.send(ok(b"yes", "Connection: close" if m.target == "/last" else "X-Kept: yes")))(wire)

    with Authority() as a, Authority() as other:
        back, own = a.sign("up.test", "DNS:up.test"), a.sign("gateway.test")
        ca = a.path("trusted.pem")
        shutil.copy(other.ca, ca)
        upstream = {"protocol": "http1", "tls": {"ca": ca, "server_name": "up.test", **own}}
        with Upstream(secured(a.server(back, "http/1.1", client_ca=a.ca), script)) as up, Gateway(up, upstream=upstream) as g:
            expect(g.ask(get("/")).status, 503)
            shutil.copy(a.ca, ca)
            g.reload()
            expect(g.ask(get("/")).status, 200)
            a.sign("gateway.test")
            shutil.copy(other.ca, ca)
            g.reload()
            expect(g.ask(get("/last")).status, 200)  # on the connection that was open
            expect(g.ask(get("/")).status, 503)
            shutil.copy(a.ca, ca)
            g.reload()
            expect(g.ask(get("/")).status, 200)
            expect((len(serials), len(set(serials))), (2, 2))
            del up


def test_broken_certificates_are_said_at_the_start():
    """A missing file, a key that does not fit and noise are reported with file and line, and the gateway does not start."""
    from harness import CURFEW  # pylint: disable=import-outside-toplevel
    with Authority() as a:
        one, two = a.sign("one.test", "DNS:one.test"), a.sign("two.test", "DNS:two.test")
        with open(a.path("noise"), "wb") as f:
            f.write(os.urandom(100))
        for pair, said in (({"certificate": a.path("none.pem"), "key": one["key"]}, "cannot be read"),
                           ({"certificate": one["certificate"], "key": two["key"]}, "does not belong"),
                           ({"certificate": a.path("noise"), "key": one["key"]}, "of no use")):
            text = (f"version: 1\nlisteners:\n  edge:\n    address: {HOST}:1\n    tls:\n      certificates:\n        - certificate: {pair['certificate']}\n"
                    f"          key: {pair['key']}\nupstreams: {{ be: {{ protocol: http1, endpoints: [ '{HOST}:2' ] }} }}\n"
                    "routes: [ { match: { path: /* }, upstream: be } ]\n")
            with open(a.path("curfew.yaml"), "w", encoding="ascii") as f:
                f.write(text)
            done = subprocess.run([CURFEW, "run", "-c", a.path("curfew.yaml")], capture_output=True, text=True, timeout=20, check=False)
            expect(done.returncode, 1)
            assert said in done.stderr and "curfew.yaml:" in done.stderr, done.stderr
