# SPDX-License-Identifier: Apache-2.0
"""What clients of the demo do: a case, what came of it, and the plays, each of which sends a case's request and does what the case is about."""
import dataclasses
import time
import urllib.parse

from stage import NAME
import h2
from harness import Wire, request

GRPC = ("content-type: application/grpc", "te: trailers")
SPEAKS = {  # how a client speaks: HTTP's version, method, fields, body
    "HTTP/1.1": (1, "GET", (), b""),
    "HTTP/1.0": (1, "GET", (), b""),
    "HTTP/2": (2, "GET", (), b""),
    "gRPC": (2, "POST", GRPC, h2.message(b"hello")),
    "gRPC over HTTP/1": (1, "POST", GRPC, h2.message(b"hello")),
    "gRPC-Web": (1, "POST", ("content-type: application/grpc-web",), h2.message(b"hello")),
    "Connect": (1, "POST", ("content-type: application/json", "connect-protocol-version: 1"), b"{}"),
}
# What an upstream sees.
ANSWERED, CLOSED, CANCEL, CALLED, NEVER_ASKED = "answered", "closed", "RST_STREAM CANCEL", "DELETE /tasks/NAME", "never asked"
TOLD_TO_STOP = (CLOSED, CANCEL, CALLED)


@dataclasses.dataclass
class Case:
    """A row. Times are milliseconds since the request was sent; each may be late by SLACK, and none may be early."""

    name: str
    sent: str = ""            # for the table, where it is not `fields`
    fields: tuple = ()        # header lines; a function is called when it is sent
    path: str = "/"
    host: str = NAME
    door: str = "mesh"        # the listener
    speaks: str = "HTTP/1.1"  # of SPEAKS
    agent: bool = True        # with a User-Agent, which makes a FIN mean that the client left
    play: object = None       # play(stage, case, got): what the client does; None: it waits for the answer
    after: float = 60         # for those that leave: when, since the upstream has the request

    told: object = None       # (dialect, ms): at most so much, and at most SLACK less; None: nothing
    saw: str = ANSWERED       # how the request ended at the upstream
    saw_at: float = None      # and when
    asked: int = 1            # how often the upstream had it
    first: str = None         # how the first of them ended there, where another won
    attempts: int = None      # in the access log, where it matters: what finds its connection stale is sent again, and is no second attempt
    status: int = 200         # that came back; None: nothing, the client left
    grpc: int = None          # grpc-status, of trailers, of a trailers-only answer, or of gRPC-Web's body; None: there is none
    says: str = None          # stands in the error's text, which is shown
    cut: bool = False         # its body was cut short
    at: float = None          # when all of it was there
    ending: str = "completed"  # in the access log
    level: str = None         # cancel_level there
    id: str = ""              # set when it is played

    def target(self):
        return f"{self.path}{'&' if '?' in self.path else '?'}case={self.id}"


@dataclasses.dataclass
class Got:
    """What a client got, and when, on CLOCK_MONOTONIC in ns: the clock of the upstream's reports, too."""

    begun: int = 0
    left: int = 0             # the client closed or reset
    status: int = None
    grpc: int = None
    text: str = ""            # of an error
    cut: str = None           # "fin", "rst", or the code of RST_STREAM
    ended: int = 0
    wrong: list = dataclasses.field(default_factory=list)
    seen: dict = None         # by the upstream; None: it was never asked
    first: dict = None        # ... of the first attempt, where another won
    line: dict = None         # of the access log

    def take(self, status, grpc, cut, text):
        self.ended = time.monotonic_ns()
        self.status, self.cut, self.text = status, cut, text
        self.grpc = None if grpc is None else int(grpc)


# ---- clients of either version ------------------------------------------------------------------------------------------------------------


class Http1(Wire):
    """A connection with one request on it."""

    def __init__(self, stage, case):
        super().__init__(stage.open(case.door), patience=5)
        self.version = "HTTP/1.0" if case.speaks == "HTTP/1.0" else "HTTP/1.1"

    def ask(self, case, method, fields, body):
        fields = (*fields, f"Content-Length: {len(body)}") if body else fields
        self.send(request(method, case.target(), *fields, body=body, version=self.version, agent=case.agent, host=case.host))

    def receive(self, got):
        answer = self.answer()
        status, text = answer.get("grpc-status"), urllib.parse.unquote(answer.get("grpc-message") or "")
        if status is None and b"grpc-status:" in answer.body:  # gRPC-Web's frame of trailers
            status = answer.body.split(b"grpc-status:")[1].split()[0]
        got.take(answer.status, status, answer.cut, text or answer.body.decode("utf-8", "replace"))

    leave, break_off = Wire.close, Wire.reset  # FIN and RST


class Http2(h2.Client):
    """The same, over HTTP/2."""

    def __init__(self, stage, case):
        super().__init__(stage, case.door, tls=stage.tls if case.door == "secure" else None, server_name=NAME)
        self.settled()

    def ask(self, case, method, fields, body):
        self.one = super().ask(method, case.target(), "user-agent: demo", *fields, body=body, authority=case.host)

    def receive(self, got):
        s = self.one.end(5)
        known = s.fields is not None
        text = urllib.parse.unquote(s.trailer("grpc-message") or "") if known else ""
        got.take(s.status if known else None, s.trailer("grpc-status") if known else None, self._cut(),
                 text or s.body.decode("utf-8", "replace"))

    def _cut(self):
        """Behind a whole answer RST_STREAM says that what is left of the request is not wanted."""
        return None if self.one.ended else self.ended or str(h2.name_of(self.one.code))

    def leave(self):
        self.pump()  # unread bytes would make it a reset
        self.close()

    def break_off(self):
        self.one.reset()


def send(stage, case, got):
    """Sends the request; the connection that it is on."""
    version, method, fields, body = SPEAKS[case.speaks]
    c = Http2(stage, case) if version == 2 else Http1(stage, case)
    fields = (*fields, *(f() if callable(f) else f for f in case.fields), f"x-sample-id: {case.id}")
    got.begun = time.monotonic_ns()
    c.ask(case, method, fields, body)
    return c


# ---- plays --------------------------------------------------------------------------------------------------------------------------------


def ask(stage, case, got):
    """Sends the request and waits for all of the answer."""
    c = send(stage, case, got)
    c.receive(got)
    c.close()


def leave(how):
    """Sends the request, waits until the upstream has it, and leaves: leave (FIN) or break_off (RST, RST_STREAM)."""

    def play(stage, case, got):
        c = send(stage, case, got)
        stage.wait_asked(case)
        time.sleep(case.after / 1000)
        got.left = time.monotonic_ns()
        getattr(c, how)()

    return play


def leave_behind_a_byte(stage, case, got):
    """As `leave`, and the first byte of another request stands before the FIN."""
    c = send(stage, case, got)
    stage.wait_asked(case)
    time.sleep(case.after / 1000)
    c.send(b"G")
    got.left = time.monotonic_ns()
    c.close()


def leave_amid(stage, case, got):
    """Takes a piece of the answer, and closes while the next ones are still to come: all that came was read, else it would be a reset."""
    c = send(stage, case, got)
    got.status = c.head().status
    c.until(b"x\r\n")
    got.left = time.monotonic_ns()
    c.close()


def half_close(stage, case, got):
    """Says with a FIN that no more will be asked, and still reads."""
    c = send(stage, case, got)
    c.half_close()
    c.receive(got)
    c.close()


def queue_and_leave(stage, case, got):
    """Another client has the only place; this one gives up its wait for it."""
    other = stage.occupy(case.host, "300ms")
    c = send(stage, case, got)
    time.sleep(case.after / 1000)
    got.left = time.monotonic_ns()
    c.close()
    if other.answer().status != 200:
        got.wrong.append("the request before it is answered with 200")
    other.close()


def queue(stage, case, got):
    """Another client has the only place, longer than this one can wait."""
    other = stage.occupy(case.host, "400ms")
    ask(stage, case, got)
    other.answer()
    other.close()


def websocket(stage, case, got):
    """Opens a tunnel, is silent for longer than the default deadline, and then speaks."""
    c = send(stage, case, got)
    got.status = c.head().status
    time.sleep(1.3)
    c.send(b"hello")
    if c.exactly(5) != b"hello":
        got.wrong.append("what was sent after a silence of 1.3 s comes back")
    got.ended = got.left = time.monotonic_ns()
    c.close()


def on_stale(stage, case, got):
    """The pooled connection is one that the upstream will close as soon as it is used."""
    stage.get(case.host, "/fail/next")
    ask(stage, case, got)
