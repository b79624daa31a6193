# SPDX-License-Identifier: Apache-2.0
"""The walk: client protocol × upstream protocol × cause of an ending × moment × rung of the ladder. What both ends must see is in walk_table.py, how they
are played in walk.py. Each test walks the clients that it names, with a gateway of its own.

    WALK=all tests/e2e/run walk               every rung for every client
    WALK='HTTP/2.*deadline' tests/e2e/run -v walk:http2     those whose name it matches: walk.name_of
"""
import collections
import itertools
import os
import re

import walk_table as table
from harness import ROOT, expect, note
from test_tls import Authority
from walk import Walk, name_of

WALK = os.environ.get("WALK", "")
SLICES = {
    "http1": ("HTTP/1.0", "HTTP/1.1"), "http2": ("HTTP/2",), "tls": ("HTTP/1.1 over TLS", "HTTP/2 over TLS"), "grpc": ("gRPC", "gRPC over TLS"),
    "grpc_web": ("gRPC-Web over HTTP/1", "gRPC-Web over HTTP/2"), "grpc_web_text": ("gRPC-Web text over HTTP/1", "gRPC-Web text over HTTP/2"),
    "connect": ("Connect over HTTP/1", "Connect over HTTP/2"), "connect_stream": ("Connect stream over HTTP/1", "Connect stream over HTTP/2"),
    "tunnels": ("Upgrade", "extended CONNECT"),
}


def walk(part):
    todo = [k for k in table.walked(WALK == "all") if k.client.name in SLICES[part]]
    if WALK not in ("", "all"):
        todo = [k for k in todo if re.search(WALK, name_of(k))]
    with Authority() as authority, Walk(todo, authority) as w:
        w.go()
        compared = w.explain()
    note(f"{len(todo)} combinations, {len({k.ending for k in todo})} endings, {compared} compared with what explain says")
    wrong = [w.wrong[k.number] for k in todo if k.number in w.wrong]
    assert not wrong, f"{len(wrong)} of {len(todo)}:\n" + "\n".join(wrong)
    expect(sorted(w.played), [k.number for k in todo], "the combinations that were played")


def test_http1():
    """HTTP/1.0 and HTTP/1.1 clients before each upstream: each ending, at each moment, by each rung, as the tables of the semantics say."""
    walk("http1")


def test_http2():
    """HTTP/2 clients."""
    walk("http2")


def test_tls():
    """HTTP/1.1 and HTTP/2 clients over TLS."""
    walk("tls")


def test_grpc():
    """gRPC clients, in cleartext and over TLS."""
    walk("grpc")


def test_grpc_web():
    """gRPC-Web clients over HTTP/1 and HTTP/2, passed on and translated."""
    walk("grpc_web")


def test_grpc_web_text():
    """gRPC-Web clients in base64, over HTTP/1 and HTTP/2, passed on and translated."""
    walk("grpc_web_text")


def test_connect():
    """Unary Connect clients over HTTP/1 and HTTP/2, passed on and translated."""
    walk("connect")


def test_connect_stream():
    """Connect clients with streams, over HTTP/1 and HTTP/2, passed on and translated."""
    walk("connect_stream")


def test_tunnels():
    """Upgrade over HTTP/1 and extended CONNECT over HTTP/2."""
    walk("tunnels")


# ---- the table itself ----------------------------------------------------------------------------------------------------------------------


def endings_of_the_program():
    with open(os.path.join(ROOT, "core/ending.def"), encoding="utf-8") as f:
        return re.findall(r'^ENDING\(\w+,\s*"(\w+)"', f.read(), re.M)


def test_size():
    """Every ending of core/ending.def is walked or said to be beyond what a peer can cause; every pair of protocols, every rung for each ending that
    cancels, and every moment stand in the table; each combination is walked by one test. Prints the size."""
    played, every = list(table.walked(False)), list(table.combinations())
    expect(sorted([*table.ENDINGS, *table.UNCAUSED]), sorted(endings_of_the_program()), "endings that are walked, or cannot be")
    expect({k.ending for k in played}, set(table.ENDINGS), "endings that are caused")
    expect({k.cause for k in played}, set(table.CAUSES), "causes")
    expect({(k.client, k.up) for k in played}, set(table.pairs()), "pairs of protocols")
    expect(sorted(itertools.chain(*SLICES.values())), sorted(table.CLIENTS), "clients that a test walks")
    rungs = collections.defaultdict(set)
    moments = collections.defaultdict(set)
    for k in played:
        moments[k.client].add(k.moment)
        if table.ENDINGS[k.ending].upstream == "cancel" and k.ending != "shutdown" and k.moment not in ("head", "connecting"):
            rungs[k.up.wire, k.up.tls, k.ending].add(k.rung)
    for (wire, tls, ending), seen in rungs.items():
        wanted = {"own"} if tls else {*table.RUNGS, *(table.GONE_RUNGS if table.ENDINGS[ending].http == table.GONE else ())}
        expect(seen, wanted, f"rungs of HTTP/{wire // 10} for {ending}")
    for c, seen in moments.items():
        expect(set(table.MOMENTS[c.rpc]) - seen, set(), f"moments of {c.name} that are not walked")
    note(f"{len(played)} combinations ({len(every)} with WALK=all): {len(table.CLIENTS)} client protocols, {len(table.UPSTREAMS)} upstream protocols in "
         f"{len(set(table.pairs()))} pairs, {len(table.CAUSES)} causes of {len(table.ENDINGS)} endings, {len({k.moment for k in played})} moments, "
         f"{len(table.RUNGS) + len(table.GONE_RUNGS)} ladders")
