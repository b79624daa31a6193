# SPDX-License-Identifier: Apache-2.0
"""The programs of the demo: a gateway, the sample upstream, an application under gunicorn, and an upstream that resets every request with the code
that it is asked for. What they report is asked for here."""
import contextlib
import json
import os
import re
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import textwrap
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
os.environ.setdefault("CURFEW", "build/curfew")
sys.path.insert(0, os.path.join(ROOT, "tests", "e2e"))
import h2  # noqa: E402  pylint: disable=wrong-import-position
from harness import CURFEW, HOST, Upstream, Wire, eventually, free_port, request  # noqa: E402  pylint: disable=wrong-import-position

CONFIG = "tests/demo/demo.yaml"
GUNICORN = ("gunicorn", "--worker-class", "gthread", "--threads", "8", "--chdir", "tests/polyglot/python", "flask_app:app")
NAME = "demo.test"  # that the certificate is for


def resetting(stream):
    """/before/CODE, and /amid/CODE: behind the head and a first piece, which for gRPC is a whole message."""
    _, where, code = stream.target.split("?")[0].split("/")
    if where == "amid":
        rpc = stream.method == "POST"
        stream.send_head([(":status", "200"), ("content-type", "application/grpc" if rpc else "text/plain")])
        stream.send(h2.message(b"a piece") if rpc else b"a piece")
        time.sleep(0.01)  # until the gateway has passed it on
    stream.reset(int(code))


class Stage:
    """Programs and upstream, from their start to SIGTERM: all must then exit 0, and the gateway must say that nothing is left."""

    def __init__(self):
        self.address = {name: f"{HOST}:{free_port()}" for name in ("mesh", "edge", "secure", "sample", "tasks", "admin")}
        self.processes = []
        self.reports = self.tasks = None
        self.resets = Upstream(h2.serve(resetting, threaded=True))
        self.clients = []  # of HTTP/2, which h2.Client puts here, so that none is closed because nothing refers to it
        self.clean = False

    def __enter__(self):
        self.folder = tempfile.TemporaryDirectory(prefix="curfew-demo-")  # pylint: disable=consider-using-with
        self.log_path = self._file("access.log")
        self.messages = open(self._file("messages"), "w+", encoding="utf-8")  # pylint: disable=consider-using-with
        self._make_certificate()
        self.resets.__enter__()
        environment = {f"DEMO_{name.upper()}": address for name, address in self.address.items()}
        environment |= {"DEMO_RESETS": self.resets.address, "DEMO_LOG": self.log_path, "DEMO_CERTIFICATE": self._file("c.pem"),
                        "DEMO_KEY": self._file("k.pem")}
        try:
            self._start(*GUNICORN, "--bind", self.address["tasks"])
            self._start(CURFEW, "upstream", "-l", self.address["sample"])
            self._start(CURFEW, "run", "-c", CONFIG, environment=environment)
            for name in self.address:
                eventually(lambda n=name: self._accepts(n), 20, f"the listener {name}")
        except AssertionError:
            self.__exit__(None, None, None)
            raise
        self.reports, self.tasks = self.connect("sample"), self.connect("tasks")
        return self

    def _file(self, name):
        return os.path.join(self.folder.name, name)

    def _make_certificate(self):
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2", "-subj",
                        f"/CN={NAME}", "-addext", f"subjectAltName=DNS:{NAME}", "-keyout", self._file("k.pem"), "-out", self._file("c.pem")],
                       check=True, capture_output=True)
        self.tls = ssl.create_default_context(cafile=self._file("c.pem"))
        self.tls.set_alpn_protocols(["h2"])

    def _start(self, *command, environment=None):
        environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1", **(environment or {})}
        # pylint: disable-next=consider-using-with
        self.processes.append(subprocess.Popen(command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=self.messages, stderr=self.messages,
                                               env=environment))

    def _accepts(self, name):
        assert all(p.poll() is None for p in self.processes), "a program did not start"
        with contextlib.suppress(OSError):
            self.open(name).close()
            return True
        return False

    def __exit__(self, *trouble):
        for wire in (self.reports, self.tasks):
            if wire:
                wire.close()  # gunicorn waits half a minute for a connection that says nothing
        for p in reversed(self.processes):
            p.send_signal(signal.SIGTERM)
        codes = [self._wait(p) for p in self.processes]
        self.resets.__exit__(*(trouble or (None, None, None)))
        self.messages.seek(0)
        text = self.messages.read()
        closing = re.findall(r"stopped: live exchanges (\d+) timers (\d+) connections (\d+) arena bytes (\d+) chunks (\d+)", text)
        self.clean = set(codes) == {0} and set(closing) == {("0",) * 5}
        if not self.clean:
            print(f"exit codes {codes}; what the programs said:\n" + textwrap.indent(text, "    "))
        self.messages.close()
        self.folder.cleanup()

    @staticmethod
    def _wait(process):
        try:
            return process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            return f"{process.wait()}, killed 10 s after SIGTERM"

    # -- for clients
    def open(self, name):
        host, port = self.address[name].rsplit(":", 1)
        return socket.create_connection((host, int(port)), timeout=5)

    def connect(self, name):
        return Wire(self.open(name))

    def get(self, host, path):
        c = self.connect("mesh")
        c.send(request("GET", path, host=host))
        answer = c.answer()
        c.close()
        return answer

    def occupy(self, host, how_long):
        """A client whose request is with the upstream, and will be for that long; its connection."""
        name = f"occupies-{time.monotonic_ns()}"
        c = self.connect("mesh")
        c.send(request("GET", f"/sleep/{how_long}", f"x-sample-id: {name}", host=host))
        eventually(lambda: self.seen(name), 5, "the request that is to occupy the upstream")
        return c

    def wait_asked(self, case):
        eventually(lambda: self.seen(case.id), 5, "the request at the upstream")

    # -- what the programs report
    def seen(self, name):
        """What the upstream remembers of a request, straight from it; None: it never came."""
        self.reports.send(request("GET", f"/seen/{name}"))
        answer = self.reports.answer()
        return answer.json() if answer.status == 200 else None

    def task(self, name):
        """The application's record of a task, straight from it; None: it has none."""
        self.tasks.send(request("GET", f"/tasks/{name}"))
        answer = self.tasks.answer()
        return answer.json() if answer.status == 200 else None

    def ended(self, name):
        seen = self.seen(name)
        return seen if seen and seen["how"] != "open" else None

    def line(self, mark):
        """The line that the gateway logged for the target with that mark; None: not yet."""
        with contextlib.suppress(FileNotFoundError), open(self.log_path, encoding="utf-8") as f:
            for text in f:
                if mark in text and text.endswith("\n"):
                    return json.loads(text)
        return None


def explained(*arguments):
    """What `curfew explain request` says, as JSON."""
    done = subprocess.run([CURFEW, "explain", "request", *arguments, "-c", CONFIG, "--json"], cwd=ROOT, stdin=subprocess.DEVNULL, check=False,
                          capture_output=True, text=True, timeout=10)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)
