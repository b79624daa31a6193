# SPDX-License-Identifier: Apache-2.0
"""The programs of the languages as processes, and calls between two of them. echo.proto has the lines that they read and print."""
import base64
import collections
import json
import os
import subprocess
import sys
import threading
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "tests", "e2e"))
os.environ.setdefault("CURFEW", "build/release/curfew")
from harness import (  # noqa: E402,F401  pylint: disable=unused-import,wrong-import-position
    HOST, SANITIZER, Gateway, eventually, expect, expect_between, expect_in, free_port)

PATIENCE = 30.0  # seconds until something that must happen is taken for missing: other people's libraries take their time on a busy machine

OUT = os.path.join(ROOT, "build", "polyglot")
HERE = os.path.join("tests", "polyglot")
CERTIFICATE, KEY = os.path.join(OUT, "cert.pem"), os.path.join(OUT, "key.pem")
COMMANDS = {
    "go": ["build/polyglot/go/peer"],
    "python": ["/usr/bin/python3", HERE + "/python/peer.py"],
    "node": ["node", "build/polyglot/node/peer.js"],
    "cpp": ["build/polyglot/cpp/peer"],
    "java": ["java", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xmx512m", "@build/polyglot/java/arguments", "Peer"],
}
ENVIRONMENT = {"PYTHONPATH": os.path.join(OUT, "python"), "PYTHONDONTWRITEBYTECODE": "1", "GRPC_VERBOSITY": "NONE", "NODE_EXTRA_CA_CERTS": CERTIFICATE}


def make_certificate():
    """Its own authority, for the names that the tests use and this process's loopback address."""
    names = ",".join(f"DNS:{n}" for n in ("localhost", "one.test", "two.test")) + f",IP:127.0.0.1,IP:{HOST}"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2", "-subj",
                    "/CN=localhost", "-addext", f"subjectAltName={names}", "-keyout", KEY, "-out", CERTIFICATE], check=True, capture_output=True)


class TooLate(AssertionError):
    """What must hold however long anybody stands still did hold; what the case is about had not come about before its span of time was gone."""


tries_too_late = []  # what each such try lacked


def in_time(case, *spans):
    """case(ms), where something must come about within that time, or some steps; with the next span where the machine was too slow for this one."""
    for span in spans:
        try:
            return case(span)
        except TooLate as e:
            tries_too_late.append(f"{e} ({span})")
            last = e
    raise AssertionError(f"{last}, neither within {' nor within '.join(map(str, spans))}")


def adler(*payloads):
    import zlib
    value = 1
    for p in payloads:
        value = zlib.adler32(p, value)
    return value


def payload(n):
    return (bytes(range(256)) * (n // 256 + 1))[:n]


class Peer:
    """A client or a server in some language; what it prints is kept by the call that it is about."""

    def __init__(self, language, role):
        self.language, self.role = language, role
        self.events = collections.defaultdict(list)  # of a call
        self.changed = threading.Condition()
        arguments = [CERTIFICATE, KEY] if role == "serve" else [CERTIFICATE]
        self.log = os.path.join(OUT, f"{language}-{role}.log")
        with open(self.log, "w", encoding="utf-8") as log:
            self.process = subprocess.Popen(COMMANDS[language] + [role] + arguments, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                            stderr=log, text=True, env={**os.environ, **ENVIRONMENT})
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self):
        for line in self.process.stdout:
            event = json.loads(line)
            with self.changed:
                self.events[event.get("id", "")].append(event)
                self.changed.notify_all()
        with self.changed:
            self.changed.notify_all()

    def wait(self, call, name, n=1, seconds=PATIENCE):
        """The nth event of that name of a call."""
        until = time.monotonic() + seconds
        with self.changed:
            while True:
                found = [e for e in self.events[call] if e["event"] == name]
                if len(found) >= n:
                    return found[n - 1]
                left = until - time.monotonic()
                if self.process.poll() is not None:
                    raise AssertionError(f"{self.language} {self.role} exited with {self.process.poll()}: see {self.log}")
                if left <= 0:
                    seen = [{k: v for k, v in e.items() if k not in ("metadata", "id")} for e in self.events[call]]
                    raise AssertionError(f"{self.language} {self.role}: no '{name}' ({n}); there was {seen}")
                self.changed.wait(min(left, 1))

    def has(self, call, name):
        with self.changed:
            return any(e["event"] == name for e in self.events[call])

    def tell(self, command):
        self.process.stdin.write(json.dumps(command) + "\n")
        self.process.stdin.flush()

    def stop(self):
        self.process.stdin.close()
        try:
            self.process.wait(3)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def fields(pairs):
    """Metadata by name: lists of values, of bytes where the name ends in -bin."""
    found = collections.defaultdict(list)
    for p in pairs or ():
        key = p["key"]
        found[key].append(base64.b64decode(p.get("bin", "")) if key.endswith("-bin") else p.get("value", ""))
    return found


def metadata(*pairs):
    return [{"key": k, "bin": base64.b64encode(v).decode()} if k.endswith("-bin") else {"key": k, "value": v} for k, v in pairs]


class Call:
    """A call from a client in one language to a server in another, by the gateway."""
    count = 0
    lock = threading.Lock()

    def __init__(self, client, server, target, tls, method, more=(), **command):
        with Call.lock:
            Call.count += 1
            self.id = f"{client.language}-{server.language}-{Call.count}"
        self.client, self.server = client, server
        self.command = {"id": self.id, "method": method, "target": target, "tls": tls, "metadata": metadata(*more), **command}
        client.tell(self.command)

    def cancel(self):
        self.client.tell({"id": self.id, "method": "cancel"})

    def begun(self):
        return self.server.wait(self.id, "begun")

    def cancelled(self):
        return self.server.wait(self.id, "cancelled")

    def ended(self):
        return self.server.wait(self.id, "ended")

    def started(self):
        return self.client.wait(self.id, "started")

    def message(self, n):
        return self.client.wait(self.id, "message", n)

    def end(self):
        return self.client.wait(self.id, "end")

    def passed(self):
        return self.client.wait(self.id, "passed", seconds=2 * PATIENCE)

    def begun_by_now(self):
        """Of a call that is over for its client: whether its time was enough to get to the server."""
        try:
            return self.server.wait(self.id, "begun", seconds=1)
        except AssertionError as e:
            if self.server.process.poll() is not None:
                raise
            raise TooLate(f"{self.id} did not reach the server") from e

    def expect_sum(self, event, payloads):
        """What came at one end: so many payloads, byte by byte."""
        expect(event.get("received", 0), len(payloads), "messages")
        expect(int(event.get("bytes", 0)), sum(len(p) for p in payloads), "bytes")
        if payloads:
            expect(int(event.get("adler", 0)), adler(*payloads), "Adler-32")
