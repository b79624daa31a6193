# SPDX-License-Identifier: Apache-2.0
"""What whoever started it is told by NOTIFY_SOCKET, as systemd's Type=notify asks for: sd_notify(3)."""
import contextlib
import os
import socket
import threading

from harness import HOST, Gateway, Upstream, answering, curfew, eventually, expect, expect_in, free_port, get, serve, silent, yaml

PATIENCE = 20


@contextlib.contextmanager
def supervisor(gateway, name):
    """A datagram socket of that name; the gateway is told of it."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as told:
        told.bind("\0" + name[1:] if name[0] == "@" else name)
        told.settimeout(PATIENCE)
        gateway.environment["NOTIFY_SOCKET"] = name
        yield told


def test_ready_and_stopping():
    """READY=1 comes when clients are accepted, once; a reload says nothing; STOPPING=1 comes with SIGTERM, while a request is under way, and not again."""
    names = {"a path": lambda g: os.path.join(g.folder, "notify"), "an abstract name": lambda g: f"@curfew-{HOST}-notify"}
    for what, name in names.items():
        with Upstream(serve(silent)) as up:
            g = Gateway(up)
            with supervisor(g, name(g)) as told:
                answers = []

                def at_ready():
                    state = told.recv(4096)
                    g.open().close()  # at the first try
                    answers.append(state)
                thread = threading.Thread(target=at_ready)
                thread.start()
                with g:
                    thread.join()
                    expect(answers, [b"READY=1"], what)
                    g.reload()
                    c = g.connect()
                    c.send(get("/"))
                    up.wait_requests(1)
                    g.signal()
                    expect(told.recv(4096), b"STOPPING=1", what)
                    expect(g.process.poll(), None, "it drains")
                    g.signal()  # now it stops
                    g.wait_exit()
                told.setblocking(False)
                with contextlib.suppress(BlockingIOError):
                    raise AssertionError(f"{what}: it is told {told.recv(4096)} more")


def test_one_that_does_not_start_is_not_ready():
    """An address that is taken: exit 1, and no READY=1."""
    name = f"@curfew-{HOST}-refused"
    with socket.create_server((HOST, 0)) as taken, socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as told:
        told.bind("\0" + name[1:])
        address = f"{HOST}:{taken.getsockname()[1]}"
        text = yaml({"version": 1, "listeners": {"a": {"address": address}}, "upstreams": {"be": {"endpoints": [f"{HOST}:{free_port()}"]}},
                     "routes": [{"match": {"path": "/*"}, "upstream": "be"}]})
        code, _, err = curfew("run", "-c", "@", text=text, environment={"NOTIFY_SOCKET": name})
        expect(code, 1)
        expect_in("in use", err.lower())
        told.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            raise AssertionError(f"it said {told.recv(4096)}")


def test_a_supervisor_that_is_not_there():
    """NOTIFY_SOCKET names nobody, nothing that is a socket's name, or more than one holds: a line of the log, and it serves; empty: not even that."""
    for name, why in (("/nowhere/notify", "No such file"), ("nowhere", "Invalid argument"), ("/" + "x" * 200, "Invalid argument"), ("@", "Invalid argument"),
                      ("", None)):
        with Upstream(answering()) as up, Gateway(up, environment={"NOTIFY_SOCKET": name}) as g:
            expect(g.ask(get("/")).status, 200)
            if why:
                eventually(lambda: f"READY=1 could not be told to NOTIFY_SOCKET {name}: {why}" in g.messages(), what=f"a word about {name}")
            else:
                assert "NOTIFY" not in g.messages(), g.messages()
