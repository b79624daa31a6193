# SPDX-License-Identifier: Apache-2.0
"""What browsers speak, Connect and gRPC-Web, by Connect's own libraries and by Google's: in front of gRPC servers, to which a route translates it, and
of Connect's own server, to which it passes as it is. The cases are gRPC's (grpc_cases), as far as a client has the kind of method."""
import collections
import concurrent.futures
import statistics
import time

import grpc_cases
import peers
from grpc_cases import METHODS
from peers import Peer, eventually, expect, expect_in

Kind = collections.namedtuple("Kind", "rpc protocol methods")  # the first two as in the access log
FETCH = ["unary", "server"]  # what fetch and XMLHttpRequest can carry: no stream of questions
HALF = ["unary", "client", "server"]  # what HTTP/1.1 can: no answer before the questions' end
KINDS = {
    "connect-node-1": Kind("connect", "HTTP/1.1", HALF),
    "connect-node-2": Kind("connect", "HTTP/2", METHODS),
    "connect-node-gzip": Kind("connect", "HTTP/2", METHODS),
    "grpcweb-node-1": Kind("grpc-web", "HTTP/1.1", HALF),
    "grpcweb-node-2": Kind("grpc-web", "HTTP/2", METHODS),
    "connect-web": Kind("connect", "HTTP/1.1", FETCH),
    "connect-web-get": Kind("connect", "HTTP/1.1", FETCH),
    "connect-web-json": Kind("connect", "HTTP/1.1", FETCH),
    "grpcweb-web": Kind("grpc-web", "HTTP/1.1", FETCH),
    "google-text": Kind("grpc-web", "HTTP/1.1", FETCH),
    "google-binary": Kind("grpc-web", "HTTP/1.1", ["unary"]),  # XMLHttpRequest has no binary answer before its end
}
TRANSLATED = ["go", "python"]
BY_GET = "connect-web-get"
JSON, TEXT = "connect-web-json", "google-text"
# Messages are not converted; Connect's own server has no text; and grpc-go has no gzip but where it is asked for.
ABSENT = {JSON: TRANSLATED, TEXT: ["connect"], "connect-node-gzip": ["go"]}
WAYS = [("go", "plain", "plain"), ("python", "tls", "tls")]
OWN = [("connect", "tls", "http1"), ("connect", "plain", "plain")]  # a kind has the one or the other
GONE = ("client_closed", "client_reset", "client_deadline")

peers.COMMANDS.update({kind: ["node", "build/polyglot/node/web_client.mjs", kind] for kind in KINDS})
peers.COMMANDS["connect"] = ["node", "build/polyglot/node/connect_server.mjs"]


def pairings(kind, client, servers, g):
    for name, front, behind in (*WAYS, OWN[list(KINDS).index(kind) % 2]):
        if name not in servers or name in ABSENT.get(kind, ()):
            continue
        methods = [m for m in KINDS[kind].methods if m in HALF or behind != "http1"]
        p = grpc_cases.Pairing(client, servers[name], front, g.addresses[front], behind, methods)
        if KINDS[kind].rpc == "connect":  # whose unary calls cannot be streams
            p.default = grpc_cases.DEFAULT
        yield p


def is_for(case, kind, p):
    if case is grpc_cases.cancel_while_data_flows and "client" not in KINDS[kind].methods:
        return False  # Connect over fetch, and XMLHttpRequest, read ahead whatever comes: 64 MiB have arrived before anybody can cancel them
    if case is grpc_cases.large and kind == BY_GET:
        return False  # a URL of 4 MiB
    if case is grpc_cases.large_streams and kind in (JSON, TEXT):
        return False  # takes Connect's reader many seconds; and Google's takes no message of 4 MiB
    return grpc_cases.NEEDS.get(case, "unary") in p.methods


def cases_of(kind, p, match):
    return [c for c in grpc_cases.CASES if match in c.__name__ and is_for(c, kind, p)]


def play(report, kind, p, cases):
    for case in cases:
        report.run(f"{kind}, {p.front} -> {p.server.language} by {p.behind} {case.__name__}", p.play, case)


def expect_logged(kind, g, before, timely):
    """The client spoke what its kind is; whoever left, or was late, its upstream was told as the upstream's protocol has it. timely: no call ended before
    it got to its upstream."""
    eventually(lambda: idle(g), what="the end of all requests")
    lines = g.lines()[before:]
    for line in lines:
        expect((line["rpc"], line["protocol"]), (KINDS[kind].rpc, KINDS[kind].protocol), "rpc and protocol in the log")
        expect_in(line["method"], ("GET", "POST") if kind == BY_GET else ("POST",), "method in the log")
        level = "close" if line.get("upstream") == "connect-http1" else "native"
        if line["ending"] in (*GONE, "deadline"):  # by which an upstream that has begun to answer, or knew of the deadline, may be done
            done = line["response_bytes"] or line["ending"] == "deadline" or line.get("detail") == "the upstream had ended it by itself"
            expect_in(line.get("cancel_level"), [level, *([None] if done else []), *([] if timely else ["withdrawn"])], f"level of {line}")
    expect_in("GET" if kind == BY_GET else "POST", {line["method"] for line in lines}, "methods in the log")


def idle(g):
    """Every exchange is over, and its line is in the log."""
    values = [line.rsplit(" ", 1) for line in g.admin("/metrics").body.decode().splitlines() if line.startswith(("curfew_requests_total{", "curfew_exchanges "))]
    return sum(float(v) for name, v in values if name == "curfew_exchanges") == 0 and sum(float(v) for _, v in values) == len(g.lines())


def run_kind(o, report, g, kind, servers):
    begun, failed, before = time.monotonic(), report.failed, len(g.lines())
    hitches = len(peers.tries_too_late) + report.unsteady
    client = Peer(kind, "call")
    try:
        client.wait("", "ready", seconds=60)
        todo = [(p, cases_of(kind, p, o.match)) for p in pairings(kind, client, servers, g)]
        with concurrent.futures.ThreadPoolExecutor(max(len(todo), 1)) as pool:
            for r in [pool.submit(play, report, kind, p, cases) for p, cases in todo]:
                r.result()
        report.run_again()
        if sum(len(cases) for _, cases in todo):
            timely = hitches == len(peers.tries_too_late) + report.unsteady
            report.run(f"{kind} in the access log", expect_logged, kind, g, before, timely)
            report.run_again()
    finally:
        client.stop()
    noticed = [ms for p, _ in todo for ms in p.noticed]
    print(f"web {kind}: {len(todo)} servers and ways, {sum(len(cases) for _, cases in todo)} cases, {report.failed - failed} failed, "
          f"{time.monotonic() - begun:.1f} s" +
          (f"; {len(noticed)} cancels reached a handler: median {statistics.median(noticed):.1f} ms, max {max(noticed):.1f} ms" if noticed else ""),
          flush=True)


def run_all(o, report):
    servers = {name: Peer(name, "serve") for name in (*TRANSLATED, "connect") if name in o.servers}
    try:
        upstreams, routes = grpc_cases.configuration({n: s for n, s in servers.items() if n in TRANSLATED}, translate="grpc")
        if "connect" in servers:
            own = grpc_cases.configuration({"connect": servers["connect"]}, ("plain", "http1"))
            upstreams.update(own[0])
            routes += own[1]
        with grpc_cases.gateway(upstreams, routes) as g:
            for kind in KINDS:
                if kind in o.clients:
                    run_kind(o, report, g, kind, servers)
    finally:
        for s in servers.values():
            s.stop()
