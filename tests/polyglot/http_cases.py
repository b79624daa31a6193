# SPDX-License-Identifier: Apache-2.0
"""HTTP clients of other makers in front of the sample upstream, reached by HTTP/1 and HTTP/2; what each end saw is asserted."""
import contextlib
import json
import os
import subprocess
import tempfile
import urllib.error
import urllib.request

import peers
from peers import HERE, PATIENCE, ROOT, Call, Gateway, Peer, TooLate, eventually, expect, expect_between, expect_in, free_port, in_time

LIMITS = [400, 1600, 6400]  # ms: what a client gives
OWN_LIMITS = [1, 4, 16]     # s: what curl gives itself
SOON = 5000   # ms in which an abort must be seen, however busy the machine
UNIMPLEMENTED = 12
HOSTS = {"http1": "one.test", "http2": "two.test"}  # by what the upstream speaks
ENDS = {"http1": ["FIN", "client_reset"], "http2": ["RST_STREAM"]}


class Run:
    """A client as a process: its status line, its body as it comes, and how it ended."""

    def __init__(self, client, command):
        self.client = client
        self.log = tempfile.TemporaryFile()
        self.process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.log)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        for f in (self.process.stdin, self.process.stdout, self.log):
            with contextlib.suppress(OSError):
                f.close()

    def first(self):
        """One byte of the body."""
        if self.client.says_status and not self.client.status_last:
            self.process.stdout.readline()
        expect(len(self.process.stdout.read(1)), 1, "bytes of the body that came")

    def leave(self):
        if self.client.by_signal:
            self.process.terminate()
        else:
            with contextlib.suppress(BrokenPipeError):  # it was done
                self.process.stdin.write(b"leave\n")
                self.process.stdin.flush()
        self.process.wait(PATIENCE)

    def whole(self):
        """Status (None where the client has no way to say) and body."""
        out = self.process.stdout.read()
        code = self.process.wait(PATIENCE)
        self.log.seek(0)
        expect(code, 0, f"exit code of {self.client.name} ({self.log.read().decode()[-600:]})")
        if not self.client.says_status:
            return None, out
        if self.client.status_last:
            body, _, status = out.rpartition(b"\n")
        else:
            status, _, body = out.partition(b"\n")
        return int(status), body


class Client:
    """by_signal: left by ending the process; its request is then ended by the kernel, or as it does on SIGTERM."""

    def __init__(self, name, command, scheme="http", by_signal=False, says_status=True, status_last=False, upload=True, versions=("1.1", "2")):
        self.name, self.command, self.scheme, self.by_signal, self.says_status = name, command, scheme, by_signal, says_status
        self.status_last, self.upload, self.versions = status_last, upload, versions

    def run(self, address, path, headers, upload=None):
        return Run(self, self.command(f"{self.scheme}://{address}{path}", headers, upload))


def curl(*options):
    def command(url, headers, upload):
        given = [w for k, v in headers.items() for w in ("-H", f"{k}: {v}")]
        body = ["--data-binary", f"@{upload}"] if upload else []
        return ["curl", "-sS", "-N", "--cacert", peers.CERTIFICATE, "-w", "\n%{http_code}", *options, *given, *body, url]
    return command


def nghttp(url, headers, upload):
    given = [w for k, v in headers.items() for w in ("-H", f"{':authority' if k == 'host' else k}: {v}")]
    return ["nghttp", *given, *(["-d", upload] if upload else []), url]


def python(url, headers, upload):
    return ["/usr/bin/python3", HERE + "/python/http_client.py", url, peers.CERTIFICATE, json.dumps(headers), *([upload] if upload else [])]


def node(kind):
    def command(url, headers, upload):
        files = [upload] if upload else []
        return ["node", "build/polyglot/node/http_client.js", kind, url, peers.CERTIFICATE, json.dumps(headers), *files]
    return command


CLIENTS = [
    Client("curl --http1.1", curl("--http1.1"), by_signal=True, status_last=True),
    Client("curl --http2-prior-knowledge", curl("--http2-prior-knowledge"), by_signal=True, status_last=True),
    Client("curl --http2 (TLS)", curl("--http2"), "https", by_signal=True, status_last=True),
    Client("curl --http1.1 (TLS)", curl("--http1.1"), "https", by_signal=True, status_last=True),
    Client("nghttp", nghttp, by_signal=True, says_status=False),
    Client("nghttp (TLS)", nghttp, "https", by_signal=True, says_status=False),
    Client("http.client", python),
    Client("http.client (TLS)", python, "https"),
    Client("undici", node("undici")),
    Client("undici (TLS, HTTP/2)", node("undici"), "https"),
    Client("node http2", node("http2")),
    Client("node http2 (TLS)", node("http2"), "https"),
]


class Stage:
    """The gateway between the clients and the sample upstream."""

    def __init__(self, gateway, sample):
        self.gateway, self.sample = gateway, sample
        self.count = 0

    def open(self, client, upstream, path, upload=None, **headers):
        """A request that the upstream remembers; returns the client's run and the name that it has there."""
        self.count += 1
        name = f"call-{self.count}"
        fields = {"host": HOSTS[upstream], "x-sample-id": name, **{k.replace("_", "-"): v for k, v in headers.items()}}
        # By itself http.client sends nothing by which its FIN could be told from a probe's (half_close: auto). undici names no agent either, and is
        # known by its Connection: keep-alive.
        if not client.name.startswith("undici"):
            fields["user-agent"] = client.name
        address = self.gateway.addresses["tls" if client.scheme == "https" else "plain"]
        return client.run(address, path, fields, upload), name

    def seen(self, name):
        """What the upstream remembers of a request; None: it never came."""
        try:
            with urllib.request.urlopen(f"http://{self.sample}/seen/{name}", timeout=10) as answer:
                return json.load(answer)
        except urllib.error.HTTPError:
            return None

    def begun(self, name):
        return eventually(lambda: self.seen(name), PATIENCE, "the request at the upstream")

    def begun_by_now(self, name):
        """Of a request that is over for its client: whether its time was enough to get to the upstream."""
        try:
            return eventually(lambda: self.seen(name), 1, "the request at the upstream")
        except AssertionError as e:
            raise TooLate(f"{name} did not reach the upstream") from e

    def ended(self, name):
        return eventually(lambda: (s := self.seen(name)) and s["how"] != "open" and s, PATIENCE, "the end of the request at the upstream")


def told(seen):
    value = seen["told"].get("x-request-timeout", "")
    expect(value[-2:], "ms", f"x-request-timeout at the upstream, {value!r},")
    return int(value[:-2])


def answer(stage, client, upstream):
    """Asked and answered; the upstream is told what is left."""
    run, name = stage.open(client, upstream, "/", x_request_timeout="20s")
    with run:
        status, body = run.whole()
    expect_in(status, (200, None), "status")
    expect(json.loads(body)["fields"]["x-sample-id"], name, "what the upstream says it got")
    seen = stage.ended(name)
    expect(seen["how"], "answered", "how it ended at the upstream")
    expect_between(told(seen), 10000, 19995, "ms that the upstream was told")


def upload(stage, client, upstream):
    """300 kB there and back."""
    data = os.urandom(300_000)
    with tempfile.NamedTemporaryFile() as f:
        f.write(data)
        f.flush()
        run, name = stage.open(client, upstream, "/echo", f.name, content_type="application/octet-stream")
        with run:
            status, body = run.whole()
    expect_in(status, (200, None), "status")
    expect(body == data, True, "the same bytes")
    expect(stage.ended(name)["received"], len(data), "bytes at the upstream")


def stream(stage, client, upstream):
    run, _ = stage.open(client, upstream, "/stream/10/5000/10ms")
    with run:
        status, body = run.whole()
    expect_in(status, (200, None), "status")
    expect(len(body), 50000, "bytes")


def deadline(stage, client, upstream):
    """The client is told 504; the upstream, which was told the time, is told the end as well."""
    def case(limit):
        run, name = stage.open(client, upstream, "/hang", x_request_timeout=f"{limit}ms")
        with run:
            status, body = run.whole()
        expect_in(status, (504, None), "status")
        expect(json.loads(body)["status"], 504, "what the body says")
        stage.begun_by_now(name)
        seen = stage.ended(name)
        expect_in(seen["how"], ENDS[upstream], "how it ended at the upstream")
        expect_between(told(seen), 1, limit - 5, "ms that the upstream was told")
        expect_between(seen["after_ms"], 0, limit + SOON, "ms after which it ended")
    in_time(case, *LIMITS)


def abort(stage, client, upstream):
    """The client leaves before there is an answer."""
    run, name = stage.open(client, upstream, "/hang", x_request_timeout="60s")
    with run:
        stage.begun(name)
        run.leave()
    expect_in(stage.ended(name)["how"], ENDS[upstream], "how it ended at the upstream")


def abort_mid_stream(stage, client, upstream):
    run, name = stage.open(client, upstream, "/stream/3000/1000/10ms", x_request_timeout="60s")
    with run:
        if client.name.startswith("nghttp"):  # it buffers what it prints
            stage.begun(name)
        else:
            run.first()
        run.leave()
    expect_in(stage.ended(name)["how"], ENDS[upstream], "how it ended at the upstream")


CASES = [answer, upload, stream, deadline, abort, abort_mid_stream]


def own_deadline_of_curl(stage, upstream):
    """curl --max-time: the client's own timer, of which nobody was told."""
    for option in ("--http1.1", "--http2-prior-knowledge"):
        def case(limit):
            client = Client("curl", curl(option, "--max-time", str(limit)), status_last=True)  # pylint: disable=cell-var-from-loop
            run, name = stage.open(client, upstream, "/hang")
            with run:
                expect(run.process.wait(PATIENCE), 28, "exit code: it timed out")
            stage.begun_by_now(name)
            expect_in(stage.ended(name)["how"], ENDS[upstream], "how it ended at the upstream")
        in_time(case, *OWN_LIMITS)


def websocket(stage, upstream):
    """RFC 8441 in front; behind, an Upgrade of HTTP/1.1 or the same again. Bytes go both ways, and an end is an end."""
    for scheme in ("http", "https"):
        client = Client("websocket", node("websocket"), scheme)
        run, name = stage.open(client, upstream, "/")
        with run:
            expect(run.process.stdout.readline(), b"200\n", "status")
            for data in (b"hello", b"\x81\x85 a frame", bytes(range(256)) * 100):
                run.process.stdin.write(data)
                run.process.stdin.flush()
                expect(run.process.stdout.read(len(data)), data, "what came back")
            run.process.stdin.close()
            expect(run.process.stdout.read(), b"", "after the end")
            expect(run.process.wait(PATIENCE), 0, "exit code")
        stage.ended(name)


def grpc_over_http1_is_refused(stage, upstream):
    del upstream
    client = Client("curl", curl("--http1.1", "-i"), status_last=True)
    run, name = stage.open(client, "http2", "/polyglot.Echo/Unary", "/dev/null", content_type="application/grpc", te="trailers")
    with run:
        status, head = run.whole()
    expect(status, 200, "status: that of gRPC is in a field")
    for line in (b"grpc-status: 12\r\n", b"grpc-message: this RPC protocol needs HTTP/2\r\n"):
        expect(line in head, True, f"{line!r} in {head!r}")
    expect(stage.seen(name), None, "what the upstream saw")


def grpc_to_http1_is_refused(stage, upstream):
    """An upstream that has no trailers in band cannot have it; UNIMPLEMENTED is not retried."""
    del upstream
    client, server = Peer("go", "call"), Named("sample")
    try:
        call = Call(client, server, stage.gateway.addresses["plain"], False, "unary", more=[("x-server", "sample")], deadline=20000)
        end = call.end()
        expect(end["code"], UNIMPLEMENTED, f"status ({end.get('message')})")
    finally:
        client.stop()


class Named:
    def __init__(self, language):
        self.language = language


def gateway(sample):
    tls = {"tls": {"tls": {"certificates": [{"certificate": peers.CERTIFICATE, "key": peers.KEY}]}}}
    upstreams = {name: {"protocol": name, "endpoints": [sample], "connect_timeout": "20s"} for name in HOSTS}
    routes = [{"match": {"header": {"x-server": "sample"}}, "upstream": "http1"}]
    routes += [{"match": {"host": host}, "upstream": name} for name, host in HOSTS.items()]
    return Gateway({}, routes=routes, listeners=tls, more={"upstreams": upstreams})


def run_all(report, match):
    sample = f"127.0.0.1:{free_port('127.0.0.1')}"
    process = subprocess.Popen([os.path.join(ROOT, os.environ["CURFEW"]), "upstream", "-l", sample], stderr=subprocess.DEVNULL)
    try:
        eventually(lambda: accepts(sample), what="the sample upstream")
        with gateway(sample) as g:
            stage = Stage(g, sample)
            for upstream in HOSTS:
                for client in CLIENTS:
                    for case in CASES:
                        name = f"{client.name} -> {upstream} {case.__name__}"
                        if match in name:
                            report.run(name, case, stage, client, upstream)
                for case in (own_deadline_of_curl, websocket, grpc_over_http1_is_refused, grpc_to_http1_is_refused):
                    name = f"{case.__name__} -> {upstream}"
                    if match in name:
                        report.run(name, case, stage, upstream)
            report.run_again()
    finally:
        process.terminate()
        process.wait()
    print(f"http: {len(CLIENTS)} clients x {len(HOSTS)} upstream protocols x {len(CASES)} cases, and more", flush=True)


def accepts(address):
    try:
        urllib.request.urlopen(f"http://{address}/", timeout=2).close()
        return True
    except OSError:
        return False
