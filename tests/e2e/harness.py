# SPDX-License-Identifier: Apache-2.0
"""The real binary between raw sockets: a client that writes bytes, an upstream that plays a script, and a gateway that must leave nothing behind.

    with Upstream(answering(b"hello")) as up, Gateway(up, policy={"deadline": {"default": "2s"}}) as g:
        c = g.connect()
        c.send(get("/"))
        expect(c.answer().status, 200)

Leaving the block of a Gateway sends it SIGTERM, and fails the test unless it exits 0, without a sanitizer's report, with no exchange and no
timer left. Every test process has a loopback address of its own, so that tests in parallel share no port. Nothing here but the
standard library.
"""
import contextlib
import json
import os
import re
import select
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
CURFEW = os.path.join(ROOT, os.environ.get("CURFEW", "build/san/curfew"))
PLAIN_CURFEW = os.path.join(ROOT, "build/release/curfew")  # for memory and times, which sanitizers distort
PATIENCE = 10.0  # seconds until something that must happen is taken for missing
KTLS = "CURFEW_TEST_KTLS" in os.environ  # the kernel encrypts what the gateway sends: set by tests/ktls
SANITIZER = re.compile(r"ERROR: \w+Sanitizer|WARNING: ThreadSanitizer|runtime error:|Assertion .* failed|SUMMARY: ")
# 127/8 is all loopback: an address a process
HOST = f"127.{64 + os.getpid() // 254 // 254 % 128}.{os.getpid() // 254 % 254 + 1}.{os.getpid() % 254 + 1}"


class Skip(Exception):
    """This machine lacks what the test is about."""


def note(text):
    """A figure worth keeping; the runner prints it beside the test's line."""
    print(f"note: {text}", flush=True)


def expect(value, wanted, what=""):
    if value != wanted:
        raise AssertionError(f"{what + ': ' if what else ''}{value!r}, expected {wanted!r}")


def expect_in(value, wanted, what=""):
    if value not in wanted:
        raise AssertionError(f"{what + ': ' if what else ''}{value!r}, expected one of {wanted!r}")


def expect_between(value, low, high, what=""):
    if not low <= value <= high:
        raise AssertionError(f"{what + ': ' if what else ''}{value!r}, expected {low!r} to {high!r}")


def eventually(predicate, seconds=PATIENCE, what="what was waited for"):
    """The first true value of predicate()."""
    until = time.monotonic() + seconds
    while True:
        value = predicate()
        if value:
            return value
        if time.monotonic() > until:
            raise AssertionError(f"{what} did not come within {seconds} s")
        time.sleep(0.005)


def settled(value, seconds=0.4):
    """value() once it has not changed for so long: what flowed stands still."""
    last, since = value(), time.monotonic()
    while time.monotonic() - since < seconds:
        time.sleep(0.02)
        if value() != last:
            last, since = value(), time.monotonic()
    return last


@contextlib.contextmanager
def full_listener():
    """An address whose backlog is full, so that the kernel leaves a further connection without an answer."""
    with contextlib.ExitStack() as open_ones:
        listener = open_ones.enter_context(socket.socket())
        listener.bind((HOST, 0))
        listener.listen(0)
        for _ in range(16):
            filler = open_ones.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(listener.getsockname())
            if not select.select([], [filler], [], 0.1)[1]:
                yield f"{HOST}:{listener.getsockname()[1]}"
                return
        raise AssertionError("this backlog takes everybody")


def free_port(host=HOST):
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as s:
        s.bind((host, 0))
        return s.getsockname()[1]


# ---- messages as they are on the wire ---------------------------------------------------------------------------------------------


def request(method, target, *fields, body=b"", version="HTTP/1.1", agent=True, host="example.test"):
    """A request. `agent`: with a User-Agent, which makes a FIN mean that the client left."""
    lines = [f"{method} {target} {version}"]
    lines += [f"Host: {host}"] if host else []
    lines += ["User-Agent: tests"] if agent else []
    lines += fields
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body


def get(target="/", *fields, **more):
    return request("GET", target, *fields, **more)


def post(target, body, *fields, **more):
    return request("POST", target, f"Content-Length: {len(body)}", *fields, body=body, **more)


def chunked(*chunks, trailers=()):
    body = b"".join(b"%x\r\n%s\r\n" % (len(c), c) for c in chunks)
    return body + b"0\r\n" + b"".join(t.encode() + b"\r\n" for t in trailers) + b"\r\n"


def ok(body=b"", *fields, status="200 OK", version="HTTP/1.1"):
    """An answer with a Content-Length."""
    lines = [f"{version} {status}", f"Content-Length: {len(body)}", *fields]
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body


class Message:
    """A request or an answer as it was read."""

    def __init__(self, raw):
        self.raw = raw
        lines = raw.decode("latin-1").rstrip("\r\n").split("\r\n")
        self.start = lines[0]
        self.fields = [(n.lower(), v.strip()) for n, v in (line.split(":", 1) for line in lines[1:])]
        self.body = b""
        self.chunks = []    # of a chunked body
        self.trailers = []
        self.interims = []  # Messages
        self.cut = None     # the body ended early: "fin" or "rst"
        words = self.start.split(" ", 2)
        if self.start.startswith("HTTP/"):
            self.version, self.status = words[0], int(words[1])
            self.reason = words[2] if len(words) > 2 else ""
        else:
            self.method, self.target, self.version = words

    def all(self, name):
        return [v for n, v in self.fields if n == name.lower()]

    def get(self, name):
        """The value of a field that stands once, or None."""
        values = self.all(name)
        assert len(values) <= 1, f"{name} stands {len(values)} times: {values}"
        return values[0] if values else None

    def json(self):
        return json.loads(self.body)


class Gone(Exception):
    """The peer ended the connection while more was expected; how: "fin" or "rst"."""

    def __init__(self, how, seen):
        super().__init__(f"the peer sent {how.upper()} after {seen[-200:]!r}")
        self.how = how


class Wire:
    """One TCP connection, from either side."""

    def __init__(self, sock, patience=PATIENCE):
        self.sock = sock
        self.unread = b""
        self.patience = patience
        self.ended = None     # "fin" or "rst", once seen
        self.ended_at = None  # monotonic
        if sock.family != socket.AF_UNIX:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    # -- out
    def send(self, data):
        self.sock.settimeout(self.patience)
        self.sock.sendall(data)

    def dribble(self, data, pause=0.002):
        """A byte at a time, each in a segment of its own."""
        for i in range(len(data)):
            self.send(data[i : i + 1])
            time.sleep(pause)

    def half_close(self):
        self.sock.shutdown(socket.SHUT_WR)

    def close(self):
        self.sock.close()

    def reset(self):
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()

    # -- in
    def fill(self, timeout=None):
        """Reads what is there. False: the connection ended (see `ended`). A timeout is an AssertionError."""
        if self.ended:
            return False
        self.sock.settimeout(self.patience if timeout is None else max(timeout, 0.001))
        try:
            data = self.sock.recv(262144)
        except ConnectionResetError:
            data, how = b"", "rst"
        except socket.timeout:
            raise AssertionError(f"nothing came for {self.sock.gettimeout():.3f} s; unread: {self.unread[-300:]!r}") from None
        else:
            how = "fin"
        if not data:
            self.ended, self.ended_at = how, time.monotonic()
            return False
        self.unread += data
        return True

    def until(self, mark):
        while mark not in self.unread:
            if not self.fill():
                raise Gone(self.ended, self.unread)
        i = self.unread.index(mark) + len(mark)
        taken, self.unread = self.unread[:i], self.unread[i:]
        return taken

    def exactly(self, n):
        pieces, have = [self.unread], len(self.unread)
        while have < n:
            self.unread = b""
            if not self.fill():
                raise Gone(self.ended, b"".join(pieces))
            pieces.append(self.unread)
            have += len(self.unread)
        whole = b"".join(pieces)
        self.unread = whole[n:]
        return whole[:n]

    def to_end(self):
        """All bytes until the peer ends the connection."""
        while self.fill():
            pass
        taken, self.unread = self.unread, b""
        return taken

    def expect_silence(self, seconds):
        """Neither a byte nor an end comes for that time."""
        assert not self.unread, f"there was already {self.unread[-300:]!r}"
        readable, _, _ = select.select([self.sock], [], [], seconds)
        if readable:
            self.fill()
            raise AssertionError(f"expected silence, got {self.ended or self.unread[:300]!r}")

    def expect_end(self, how=None, within=PATIENCE):
        """The peer ends the connection without another byte; returns how ("fin" or "rst")."""
        until = time.monotonic() + within
        if self.unread or self.fill(until - time.monotonic()):
            raise AssertionError(f"expected the end, got {self.unread[:300]!r}")
        if how:
            expect(self.ended, how, "how the connection ended")
        return self.ended

    # -- messages
    def head(self):
        return Message(self.until(b"\r\n\r\n"))

    def chunks(self, message):
        while True:
            size = int(self.until(b"\r\n").split(b";")[0], 16)
            if size == 0:
                break
            message.chunks.append(self.exactly(size))
            expect(self.exactly(2), b"\r\n", "after a chunk")
            message.body += message.chunks[-1]
        while (line := self.until(b"\r\n")) != b"\r\n":
            name, value = line.decode("latin-1").split(":", 1)
            message.trailers.append((name.lower(), value.strip()))

    def body(self, message, close_delimits):
        try:
            if (message.get("transfer-encoding") or "").lower().endswith("chunked"):
                self.chunks(message)
            elif message.get("content-length") is not None:
                message.body = self.exactly(int(message.get("content-length")))
            elif close_delimits:
                message.body = self.to_end()
                message.cut = "rst" if self.ended == "rst" else None
        except Gone as gone:
            message.cut = gone.how
        return message

    def request(self):
        """The next request with its body; None: the peer left in between."""
        if not self.unread and not self.fill():
            return None
        return self.body(self.head(), False)

    def answer(self, method="GET"):
        """The next final answer with its body; interim ones are in .interims."""
        interims = []
        while True:
            message = self.head()
            if not 100 <= message.status < 200 or message.status == 101:
                break
            interims.append(message)
        message.interims = interims
        if method == "HEAD" or message.status in (101, 204, 304):
            return message
        return self.body(message, True)


# ---- the upstream -------------------------------------------------------------------------------------------------------------------


class Upstream:
    """A server of raw bytes. On each connection, in a thread of its own, script(wire) plays; what it raises fails the test, but for a write that
    finds the gateway gone: that is recorded as the end."""

    def __init__(self, script, host=HOST, port=0, backlog=128):
        self.script = script
        self.listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
        self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.listener.bind((host, port))
        self.listener.listen(backlog)
        self.port = self.listener.getsockname()[1]
        self.address = f"[{host}]:{self.port}" if ":" in host else f"{host}:{self.port}"
        self.wires = []     # in order of accept
        self.requests = []  # as scripts that use `serve` read them
        self.errors = []
        self.closing = False
        self.lock = threading.Lock()

    def __enter__(self):
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, kind, value, trace):
        self.closing = True
        with contextlib.suppress(OSError):
            self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        if kind is None and self.errors:
            raise self.errors[0]
        if self.errors:
            print(f"upstream: {self.errors[0]!r}")

    def _accept(self):
        while not self.closing:
            try:
                sock, _ = self.listener.accept()
            except OSError:
                return
            wire = Wire(sock, patience=30)
            wire.upstream = self
            self.wires.append(wire)
            threading.Thread(target=self._play, args=(wire,), daemon=True).start()

    def _play(self, wire):
        try:
            self.script(wire)
        except (ConnectionResetError, BrokenPipeError):  # the gateway left while the script was writing
            if not wire.ended:
                wire.ended, wire.ended_at = "rst", time.monotonic()
        except Exception as e:  # pylint: disable=broad-except
            if not self.closing:
                self.errors.append(e)
        finally:
            with contextlib.suppress(OSError):
                wire.close()

    def stop_listening(self):
        """New connections are refused; those that are there stay."""
        self.closing = True
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()

    def record(self, message):
        with self.lock:
            self.requests.append(message)

    def wait_requests(self, n):
        eventually(lambda: len(self.requests) >= n, what=f"request {n} at the upstream")
        return self.requests

    def wait_end(self, i=0, seconds=PATIENCE):
        """How ("fin" or "rst") and when (monotonic) connection i was ended by the gateway."""
        eventually(lambda: len(self.wires) > i and self.wires[i].ended, seconds, f"the end of connection {i} at the upstream")
        return self.wires[i].ended, self.wires[i].ended_at


def serve(handler):
    """A script: handler(wire, request) answers each request that comes; until the gateway leaves, or handler returns False."""

    def script(wire):
        while (message := wire.request()) is not None:
            wire.upstream.record(message)
            if handler(wire, message) is False:
                return

    return script


def answering(body=b"hello", *fields, status="200 OK"):
    return serve(lambda wire, message: wire.send(ok(b"" if message.method == "HEAD" else body, *fields, status=status)))


def echo(wire, message):
    """For `serve`: the request as JSON."""
    seen = {"method": message.method, "target": message.target, "fields": message.fields, "body": message.body.decode("latin-1"),
            "trailers": message.trailers, "port": wire.upstream.port}
    wire.send(ok(json.dumps(seen).encode(), "Content-Type: application/json"))


def silent(wire, message):
    """For `serve`: never answers; waits until the gateway ends the connection."""
    del message
    wire.expect_end(within=30)
    return False


# ---- the gateway ----------------------------------------------------------------------------------------------------------------------


def yaml(value, indent=0):
    """A configuration as a person would write it: maps in blocks, lists in flow."""
    pad = "  " * indent
    if isinstance(value, dict):
        lines = []
        for k, v in value.items():
            if isinstance(v, dict) and v or isinstance(v, list) and any(isinstance(x, dict) for x in v):
                lines.append(f"{pad}{_scalar(k)}:\n{yaml(v, indent + 1)}")
            else:
                lines.append(f"{pad}{_scalar(k)}: {_scalar(v)}\n")
        return "".join(lines)
    return "".join(pad + "- " + yaml(v, indent + 1).lstrip(" ") for v in value)


def _scalar(v):
    if v is None:
        return "null"
    if isinstance(v, bool):
        return "true" if v else "false"
    if isinstance(v, list):
        return "[ " + ", ".join(_scalar(x) for x in v) + " ]"
    if isinstance(v, dict):
        return "{ }"
    if isinstance(v, int) or re.fullmatch(r"[A-Za-z_/][\w./-]*\*?|\d+(ms|s|m|h|KiB|MiB)", v):
        return str(v)
    return json.dumps(v)


class Gateway:
    """The binary with a configuration: one listener `plain` that trusts all, one upstream `be`, one route; parts can be overridden.

    upstreams: an Upstream, several (endpoints of `be`), or a dict name → Upstream. listener, upstream, policy: merged over the defaults.
    routes: instead of the one. more: further top-level keys. text: a whole configuration instead.
    """

    def __init__(self, upstreams=None, listener=None, upstream=None, policy=None, routes=None, more=None, workers=1, text=None, plain=False,
                 listeners=None, environment=None):
        self.folder = tempfile.mkdtemp(prefix="curfew-e2e-")
        self.log_path = os.path.join(self.folder, "access.log")
        self.config_path = os.path.join(self.folder, "curfew.yaml")
        self.addresses = {name: f"{HOST}:{free_port()}" for name in ("plain", "admin")}
        self.environment = environment or {}
        self.binary = PLAIN_CURFEW if plain and os.path.exists(PLAIN_CURFEW) else CURFEW
        self.process = None
        self.exit_code = None
        self.clients = []  # that are to be closed at the end of the block, since they would not answer a gateway that drains
        self.keys = None if text else self._config(upstreams, listener, upstream, policy, routes, more or {}, workers, listeners)
        self.write(text or yaml(self.keys))

    def write(self, text):
        with open(self.config_path + ".new", "w", encoding="utf-8") as f:
            f.write(text)
        os.replace(self.config_path + ".new", self.config_path)  # who reads it just now has the old one or the new one

    def reload(self, text=None, result="applied", **keys):
        """SIGHUP with another file: that text, or the keys that it has with others of the top level instead. Waits until that came of it."""
        line = f'curfew_config_reloads_total{{result="{result}"}}'
        before = self.metric(line)
        self.write(yaml({**self.keys, **keys}) if text is None else text)
        self.signal(signal.SIGHUP)
        eventually(lambda: self.metric(line) == before + 1, what=f"a reload that is {result}")

    def _config(self, upstreams, listener, upstream, policy, routes, more, workers, listeners):
        config = {"version": 1, "workers": workers}
        config["listeners"] = {"plain": {"address": self.addresses["plain"], "trust": "all", **(listener or {})}}
        for name, keys in (listeners or {}).items():
            self.addresses[name] = keys.get("address") or f"{HOST}:{free_port()}"
            config["listeners"][name] = {"trust": "all", **keys, "address": self.addresses[name]}
        if upstreams is not None and not isinstance(upstreams, dict):
            upstreams = {"be": upstreams}
        config["upstreams"] = {}
        for name, ups in (upstreams or {"be": f"{HOST}:{free_port()}"}).items():  # none: a port where nobody listens
            ups = ups if isinstance(ups, (list, tuple)) else [ups]
            config["upstreams"][name] = {"protocol": "http1", "endpoints": [getattr(u, "address", u) for u in ups], **(upstream or {})}
        if policy is not None:
            config["policies"] = {"default": policy}
        config["routes"] = routes or [{"match": {"path": "/*"}, "upstream": next(iter(config["upstreams"]))}]
        config["admin"] = {"address": self.addresses["admin"]}
        config["log"] = {"access": self.log_path, "level": "info"}
        config["shutdown"] = {"drain": "5s"}
        for part in [*config["listeners"].values(), *config["upstreams"].values()] if KTLS else []:
            if part.get("tls") is not None:
                part["tls"] = {"ktls": True, **part["tls"]}
        return {**config, **more}

    # -- life
    def __enter__(self):
        self.stderr = open(os.path.join(self.folder, "stderr"), "w+b")
        self.process = subprocess.Popen([self.binary, "run", "-c", self.config_path], stdin=subprocess.DEVNULL, stdout=self.stderr,
                                        stderr=self.stderr, cwd=self.folder, env={**os.environ, **self.environment})
        try:
            for name in self.addresses:
                eventually(lambda n=name: self._accepts(n), 20, f"listener {name}")
        except AssertionError as e:
            self._show()
            self.process.kill()
            raise AssertionError(f"{e}; exit {self.process.poll()}") from None
        return self

    def _accepts(self, name):
        if self.process.poll() is not None:
            raise AssertionError("the gateway did not start")
        try:
            self.open(name).close()
            return True
        except OSError:
            return False

    def __exit__(self, kind, value, trace):
        try:
            if kind is None:
                for client in self.clients:
                    client.close()
                if self.exit_code is None:
                    self.stop()
                self._check_nothing_left()
            elif self.process.poll() is None:
                self.process.terminate()
                with contextlib.suppress(subprocess.TimeoutExpired):
                    self.process.wait(3)
        except AssertionError:
            kind = AssertionError
            raise
        finally:
            if self.process.poll() is None:
                self.process.kill()
                self.process.wait()
            if kind is not None:
                self._show()
            self.stderr.close()
            for name in os.listdir(self.folder):
                os.unlink(os.path.join(self.folder, name))
            os.rmdir(self.folder)

    def _show(self):
        """For a test that failed: all that is known of the gateway."""
        with open(self.config_path, encoding="utf-8") as f:
            print("---- configuration\n" + f.read().rstrip())
        print("---- stderr\n" + "\n".join(self.messages().rstrip().split("\n")[-120:]))
        with contextlib.suppress(OSError), open(self.log_path, encoding="utf-8") as f:
            print("---- access log\n" + f.read().rstrip())

    def _check_nothing_left(self):
        text = self.messages()
        report = SANITIZER.search(text)
        assert not report, f"a sanitizer reported: {report.group(0)}"
        closing = re.findall(r"worker \d+ stopped: live exchanges (\d+) timers (\d+) connections (\d+) arena bytes (\d+) chunks (\d+)", text)
        assert closing, "no worker's closing line 'live exchanges N timers N ...' on stderr"
        expect(set(closing), {("0",) * 5}, "live exchanges, timers, connections, arena bytes and chunks at exit")

    def signal(self, number=signal.SIGTERM):
        self.process.send_signal(number)

    def stop(self, code=0, within=12):
        """SIGTERM, and the exit code that must follow. Returns the seconds it took."""
        begun = time.monotonic()
        self.signal()
        return self.wait_exit(code, within) - begun

    def wait_exit(self, code=0, within=12):
        try:
            self.exit_code = self.process.wait(within)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"it still runs {within} s after SIGTERM") from None
        expect(self.exit_code, code, "exit code")
        return time.monotonic()

    # -- talking to it
    def open(self, name="plain"):
        address = self.addresses[name]
        if address.startswith("unix:"):
            sock = socket.socket(socket.AF_UNIX)
            sock.connect(address[len("unix:"):])
            return sock
        host, port = address.rsplit(":", 1)
        return socket.create_connection((host.strip("[]"), int(port)), timeout=PATIENCE)

    def connect(self, name="plain"):
        return Wire(self.open(name))

    def ask(self, data, method=None):
        """One request on a connection of its own; the answer."""
        wire = self.connect()
        wire.send(data)
        answer = wire.answer(method or data.split(b" ", 1)[0].decode("latin-1"))
        wire.close()
        return answer

    def admin(self, target, method="GET"):
        wire = self.connect("admin")
        wire.send(request(method, target, "Connection: close"))
        answer = wire.answer()
        wire.close()
        return answer

    def metric(self, line):
        """The value of one line of /metrics, by its name with labels; 0 where it is not there."""
        for text in self.admin("/metrics").body.decode().split("\n"):
            if text.startswith(line + " "):
                return float(text.rsplit(" ", 1)[1])
        return 0.0

    def wait_metric(self, line, wanted):
        eventually(lambda: self.metric(line) == wanted, what=f"{line} {wanted}")

    # -- what it says
    def messages(self):
        with open(os.path.join(self.folder, "stderr"), encoding="utf-8", errors="replace") as f:
            return f.read()

    def lines(self):
        try:
            with open(self.log_path, encoding="utf-8") as f:
                return [json.loads(line) for line in f.read().split("\n")[:-1]]
        except FileNotFoundError:
            return []

    def log(self, n=1):
        """The first n lines of the access log, once they are there."""
        eventually(lambda: len(self.lines()) >= n, what=f"line {n} of the access log")
        return self.lines()

    def logged(self):
        """The one line that the access log has."""
        lines = self.log(1)
        expect(len(lines), 1, "lines in the access log")
        return lines[0]

    def memory(self):
        """Resident bytes."""
        with open(f"/proc/{self.process.pid}/smaps_rollup", encoding="ascii") as f:
            return next(int(line.split()[1]) * 1024 for line in f if line.startswith("Rss:"))

    def descriptors(self):
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))


def curfew(*arguments, text=None, environment=None, name="curfew.yaml"):
    """Runs the program to its end; text goes into a file `name`, for which '@' stands in the arguments. Returns code, stdout, stderr."""
    with tempfile.TemporaryDirectory(prefix="curfew-e2e-") as folder:
        if text is not None:
            with open(os.path.join(folder, name), "w", encoding="utf-8") as f:
                f.write(text)
        done = subprocess.run([CURFEW, *(name if a == "@" else a for a in arguments)], cwd=folder, stdin=subprocess.DEVNULL, check=False,
                              capture_output=True, text=True, timeout=30, env={**os.environ, **(environment or {})})
    report = SANITIZER.search(done.stderr)
    assert not report, f"a sanitizer reported:\n{done.stderr}"
    return done.returncode, done.stdout, done.stderr


def threads(*functions):
    """Runs them at once; raises what the first one that failed raised."""
    errors = []

    def guarded(f):
        try:
            f()
        except BaseException as e:  # pylint: disable=broad-except
            errors.append(e)

    running = [threading.Thread(target=guarded, args=(f,), daemon=True) for f in functions]
    for t in running:
        t.start()
    for t in running:
        t.join(60)
    if errors:
        raise errors[0]


if __name__ == "__main__":
    sys.exit("harness.py is a module; tests/e2e/run runs the tests")
