# SPDX-License-Identifier: Apache-2.0
"""Kernel TLS (`ktls: true`): the kernel encrypts, every byte that it took arrives, also where the connection ends behind it, and a peer that wants other
keys, which it cannot change, loses nothing. Without it OpenSSL encrypts. `make test-ktls` brings a kernel that has it."""
import os
import socket
import ssl
import subprocess
import threading
import time

import h2
from harness import PATIENCE, Gateway, Skip, Upstream, answering, echo, eventually, expect, get, note, ok, post, serve
from test_tls import Authority, SecureWire, listener, secured, shake

VERSIONS = (ssl.TLSVersion.TLSv1_3, ssl.TLSVersion.TLSv1_2)


def has_tls():
    return os.path.exists("/proc/self/net/tls_stat")


def needs_tls():
    if not has_tls():
        raise Skip("this system's kernel has no TLS")


def kernel_count(name):
    with open("/proc/net/tls_stat", encoding="ascii") as f:
        return int(dict(line.split() for line in f)[name])


def ktls(pair):
    return listener(pair, tls={"ktls": True})


def test_the_kernel_encrypts_both_ways():
    """What goes to clients and to upstreams is encrypted by the kernel, in TLS 1.3 and 1.2, HTTP/1 and HTTP/2, and arrives as it was; what comes is read by OpenSSL."""
    needs_tls()
    body = bytes(range(256)) * 1000
    with Authority() as a:
        front, back = a.sign("front.test", "DNS:front.test"), a.sign("up.test", "DNS:up.test")
        for version in VERSIONS:
            context = a.server(back)
            context.maximum_version = version
            upstream = {"protocol": "http1", "tls": {"ca": a.ca, "server_name": "up.test", "ktls": True}}
            before, read = kernel_count("TlsTxSw"), kernel_count("TlsRxSw")
            with Upstream(secured(context, answering(body))) as up, Gateway(up, listeners=ktls(front), upstream=upstream) as g:
                wire = SecureWire(g.open("tls"), a.client("http/1.1", high=version)).handshake()
                for n in range(3):
                    wire.send(post("/", body[n:]))
                    expect(wire.answer().body, body)
                    expect(up.requests[-1].body, body[n:])
                expect(h2.Client(g, "tls", tls=a.client("h2", high=version)).get("/").whole().body, body)
                assert kernel_count("TlsTxSw") >= before + 3, "two clients and an upstream"
                expect(kernel_count("TlsRxSw"), read)


def taken(g, before):
    """What the kernel took since, once it takes no more: nothing tells when."""
    n = 0
    while n != (n := int(g.metric("curfew_client_sent_bytes_total")) - before) or not n:
        time.sleep(0.2)
    return n


def unread(g, a, version, size):
    """A client that asks for an answer of that size, the last of its connection, and reads nothing."""
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192)
    host, port = g.addresses["tls"].rsplit(":", 1)
    sock.connect((host, int(port)))
    wire = SecureWire(sock, a.client("http/1.1", high=version)).handshake()
    wire.send(get(f"/{size}", "Connection: close"))
    return wire


def test_nothing_is_lost_where_the_connection_ends():
    """A client that reads late has the whole of an answer that filled the socket to the last record, and close_notify: the kernel drops the record that it
    holds back where FIN comes too soon."""
    needs_tls()

    def handler(wire, message):
        size = int(message.target[1:])
        wire.send(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + bytes(size))
        return False

    with Authority() as a, Upstream(serve(handler)) as up, Gateway(up, listeners=ktls(a.sign("a.test", "DNS:a.test"))) as g:
        for version in VERSIONS:
            total = lambda: int(g.metric("curfew_client_sent_bytes_total"))
            before = total()
            full = unread(g, a, version, 16 << 20)  # more than any socket takes
            room = taken(g, before)
            full.close()
            held = 0
            for less in range(0, 40000, 4000):  # it takes a record more or less each time
                size, before = room - less, total()
                wire = unread(g, a, version, size)
                held += taken(g, before) >= size  # all of it, and maybe the last record is held back
                expect(len(wire.answer().body), size, f"{version.name}, {less} less than the socket took before")
                wire.to_end()
                assert wire.notified, f"{wire.ended} and no close_notify"
            assert held, "no answer was with the kernel before it was read"
        note(f"a socket took {room} bytes")
        del up


def test_one_who_leaves_before_the_end_has_settled():
    """A client that says close_notify while the last of its answer is with TCP, and then resets, is not waited for: the reset is seen although TLS reads no more."""
    needs_tls()
    size = 200000

    def handler(wire, message):
        wire.send(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + bytes(size))
        return False

    with Authority() as a, Upstream(serve(handler)) as up, Gateway(up, listeners=ktls(a.sign("a.test", "DNS:a.test"))) as g:
        for version in VERSIONS:
            before = int(g.metric("curfew_client_sent_bytes_total"))
            wire = unread(g, a, version, size)
            assert taken(g, before) >= size
            wire.close_notify()
            time.sleep(0.1)  # until it has come: nothing tells when
            expect(g.metric("curfew_connections"), 1)
            wire.reset()
            eventually(lambda: g.metric("curfew_connections") == 0, what="its connection's end")
        del up


def test_a_key_update_is_asked_for():
    """RFC 8446 4.6.3: who asks for other keys has its answer with the old ones, which the kernel cannot change; then the connection ends in order."""
    needs_tls()
    asked = threading.Event()

    def handler(wire, message):
        del message
        asked.wait(PATIENCE)
        wire.send(ok(b"with the old keys"))

    with Authority() as a, Upstream(serve(handler)) as up, Gateway(up, listeners=ktls(a.sign("a.test", "DNS:a.test"))) as g:
        command = ["openssl", "s_client", "-connect", g.addresses["tls"], "-CAfile", a.ca, "-alpn", "http/1.1", "-tls1_3", "-msg", "-no_ign_eof"]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as client:
            client.stdin.write(get("/"))
            client.stdin.flush()
            up.wait_requests(1)
            client.stdin.write(b"K\n")
            client.stdin.flush()
            time.sleep(0.3)  # until it has come: nothing tells when
            asked.set()
            said = client.stdout.read()
        assert b">>> TLS 1.3, Handshake [length 0005], KeyUpdate" in said and b"<<< TLS 1.3, Handshake [length 0005], KeyUpdate" not in said, said
        assert b"with the old keys" in said and b"<<< TLS 1.3, Alert [length 0002], warning close_notify" in said, said


def test_a_kernel_that_has_none():
    """Where the kernel has no TLS, `ktls: true` is warned of at its place, and OpenSSL encrypts."""
    if has_tls():
        raise Skip("this system's kernel has TLS")
    with Authority() as a, Upstream(serve(echo)) as up, Gateway(up, listeners=ktls(a.sign("a.test", "DNS:a.test"))) as g:
        eventually(lambda: "ktls: this system's kernel has no TLS" in g.messages(), what="the warning")
        with shake(g, a.client("http/1.1")) as s:
            s.sendall(get("/", "Connection: close"))
            assert s.recv(20).startswith(b"HTTP/1.1 200")
        del up
