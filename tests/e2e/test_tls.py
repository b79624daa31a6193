# SPDX-License-Identifier: Apache-2.0
"""TLS on both sides, with HTTP/1.1 in it: the same laws for leaving as without (T5)."""
import os
import shutil
import socket
import ssl
import subprocess
import tempfile
import time

from harness import PATIENCE, Gateway, Skip, Upstream, Wire, answering, echo, eventually, expect, expect_in, get, note, serve, silent


class Keys:
    """A certificate for "edge.test", signed by itself, in a folder that goes with the block."""

    def __enter__(self):
        if not shutil.which("openssl"):
            raise Skip("no openssl to make a certificate with")
        self.folder = tempfile.mkdtemp(prefix="curfew-e2e-")
        self.certificate, self.key = os.path.join(self.folder, "c.pem"), os.path.join(self.folder, "k.pem")
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", self.key, "-out",
                        self.certificate, "-days", "2", "-subj", "/CN=edge.test", "-addext", "subjectAltName=DNS:edge.test"], check=True,
                       capture_output=True)
        return self

    def __exit__(self, *trouble):
        shutil.rmtree(self.folder)

    def listener(self):
        return {"tls": {"certificates": [{"certificate": self.certificate, "key": self.key}]}}


def connect(g, keys, alpn=("http/1.1",), maximum=None):
    context = ssl.create_default_context(cafile=keys.certificate)
    context.set_alpn_protocols(list(alpn))
    if maximum:
        context.maximum_version = maximum
    return Wire(context.wrap_socket(g.open("tls"), server_hostname="edge.test"))


def test_tls_listener():
    """HTTP/1.1 over TLS 1.2 and 1.3, with a certificate that verifies, by ALPN; the upstream is told that it was https."""
    with Keys() as keys, Upstream(serve(echo)) as up, Gateway(up, listeners={"tls": keys.listener()}) as g:
        for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
            c = connect(g, keys, maximum=version)
            expect(c.sock.selected_alpn_protocol(), "http/1.1")
            for i in range(3):
                c.send(get(f"/{i}"))
                seen = c.answer().json()
                expect(seen["target"], f"/{i}")
                expect(dict(map(tuple, seen["fields"])).get("x-forwarded-proto"), "https")
            c.close()


def test_big_answer_over_tls():
    """Eight MiB arrive whole through TLS."""
    body = os.urandom(8 << 20)
    with Keys() as keys, Upstream(answering(body)) as up, Gateway(up, listeners={"tls": keys.listener()}) as g:
        c = connect(g, keys)
        c.send(get())
        expect(c.answer().body == body, True)
        c.close()


def test_leaving_over_tls():
    """T5: a TLS client that goes by close_notify, by FIN or by RST ends the work upstream at once."""
    def notify(c):
        c.sock.settimeout(0.2)
        try:
            c.sock.unwrap().close()
        except (OSError, ssl.SSLError):
            pass

    def fin(c):
        socket.socket.shutdown(c.sock, socket.SHUT_RDWR)

    for name, how in (("close_notify", notify), ("FIN", fin), ("RST", lambda c: c.reset())):
        with Keys() as keys, Upstream(serve(silent)) as up, Gateway(up, listeners={"tls": keys.listener()}) as g:
            c = connect(g, keys)
            c.send(get())
            up.wait_requests(1)
            time.sleep(0.02)
            begun = time.monotonic()
            how(c)
            _, at = up.wait_end(0, 1)
            note(f"{name} seen upstream after {(at - begun) * 1000:.2f} ms")
            expect_in(g.logged()["ending"], ("client_closed", "client_reset"))


def test_bytes_that_are_no_tls():
    """Cleartext on a TLS port, and a handshake that never ends, cost one connection each and nobody else's."""
    with Keys() as keys, Upstream(serve(echo)) as up:
        with Gateway(up, listeners={"tls": {**keys.listener(), "timeouts": {"tls_handshake": "300ms"}}}) as g:
            plain, stuck = Wire(g.open("tls")), Wire(g.open("tls"))
            plain.send(get())
            plain.to_end()
            stuck.send(b"\x16\x03\x01\x02\x00")
            stuck.expect_end(within=3)
            c = connect(g, keys)
            c.send(get())
            expect(c.answer().status, 200)
            c.close()
            eventually(lambda: g.metric("curfew_tls_handshake_failures_total") >= 2, PATIENCE, "two failures counted")


def test_tls_upstream():
    """An upstream over TLS is verified by name and authority: the right name is asked, the wrong one gets 503 and never a request."""
    with Keys() as keys:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(keys.certificate, keys.key)

        def script(wire):
            try:
                wire.sock = context.wrap_socket(wire.sock, server_side=True)
            except (ssl.SSLError, OSError):
                return
            serve(echo)(wire)

        for name, status in (("edge.test", 200), ("other.test", 503)):
            with Upstream(script) as up, Gateway(up, upstream={"tls": {"ca": keys.certificate, "server_name": name}}) as g:
                c = g.connect()
                for _ in range(2):
                    c.send(get("/x"))
                    expect(c.answer().status, status, name)
                expect([l["ending"] for l in g.log(2)], ["completed" if status == 200 else "connect_failure"] * 2)
                expect(len(up.requests), 2 if status == 200 else 0, "requests at the upstream")
