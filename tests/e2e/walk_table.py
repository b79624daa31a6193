# SPDX-License-Identifier: Apache-2.0
"""What the walk expects: the tables of semantics, sections 3 to 5, written down once more by hand, and every combination of client protocol, upstream
protocol, cause of an ending, moment and rung of the ladder. Nothing here has looked at what the program does; walk.py plays a combination,
and says what both ends saw in the words that are used here.
"""
import collections
import itertools

# ---- semantics 3: the endings ------------------------------------------------------------------------------------------------------

CANCELLED, UNKNOWN, INVALID_ARGUMENT, DEADLINE_EXCEEDED, PERMISSION_DENIED, RESOURCE_EXHAUSTED, UNIMPLEMENTED, INTERNAL, UNAVAILABLE = 1, 2, 3, 4, 7, 8, 12, 13, 14

Ending = collections.namedtuple("Ending", "http grpc upstream")  # http: GONE, who ended it has left; CUT, no answer but a reset
GONE, CUT = "gone", "cut"
ENDINGS = {
    "completed": Ending(None, None, "nothing"),
    "client_reset": Ending(GONE, None, "cancel"),
    "client_closed": Ending(GONE, None, "cancel"),
    "client_deadline": Ending(GONE, None, "cancel"),
    "client_timeout": Ending(408, CANCELLED, "cancel"),
    "client_stalled": Ending(CUT, None, "cancel"),
    "client_error": Ending(400, INTERNAL, "cancel"),
    "client_context": Ending(400, INVALID_ARGUMENT, "never asked"),
    "no_route": Ending(404, UNIMPLEMENTED, "never asked"),
    "deadline": Ending(504, DEADLINE_EXCEEDED, "cancel"),
    "shed_expired": Ending(504, DEADLINE_EXCEEDED, "never asked"),
    "shed_latency": Ending(504, DEADLINE_EXCEEDED, "never asked"),
    "shed_load": Ending(503, UNAVAILABLE, "never asked"),
    "connect_failure": Ending(503, UNAVAILABLE, "nothing"),
    "connect_timeout": Ending(503, UNAVAILABLE, "nothing"),
    "refused_stream": Ending(503, UNAVAILABLE, "nothing"),
    "try_timeout": Ending(504, DEADLINE_EXCEEDED, "cancel"),
    "upstream_reset": Ending(502, INTERNAL, "nothing"),
    "upstream_closed": Ending(502, UNAVAILABLE, "nothing"),
    "upstream_error": Ending(502, INTERNAL, "protocol error"),
    "upstream_idle": Ending(504, DEADLINE_EXCEEDED, "cancel"),
    "operator_cancelled": Ending(503, CANCELLED, "cancel"),
    "shutdown": Ending(503, UNAVAILABLE, "cancel"),
}
UNCAUSED = {  # and why nothing that a peer or an operator does can bring them
    "parent_cancelled": "no request names another as its parent yet",
}
RESETS_CANCEL = ("deadline", "try_timeout", "parent_cancelled", "operator_cancelled")  # semantics 4; every other one is INTERNAL_ERROR

# RST_STREAM from an upstream: to gRPC, and to an HTTP/2 client that has the head
CODES = ("NO_ERROR", "PROTOCOL_ERROR", "INTERNAL_ERROR", "FLOW_CONTROL_ERROR", "SETTINGS_TIMEOUT", "STREAM_CLOSED", "FRAME_SIZE_ERROR", "REFUSED_STREAM",
         "CANCEL", "COMPRESSION_ERROR", "CONNECT_ERROR", "ENHANCE_YOUR_CALM", "INADEQUATE_SECURITY", "HTTP_1_1_REQUIRED", "0x42")
GRPC_OF_CODE = {"REFUSED_STREAM": UNAVAILABLE, "CANCEL": CANCELLED, "ENHANCE_YOUR_CALM": RESOURCE_EXHAUSTED, "INADEQUATE_SECURITY": PERMISSION_DENIED,
                "0x42": UNKNOWN}
PASSES = ("CANCEL", "INTERNAL_ERROR", "ENHANCE_YOUR_CALM")
CONNECT_CODES = {CANCELLED: (499, "canceled"), UNKNOWN: (500, "unknown"), INVALID_ARGUMENT: (400, "invalid_argument"),
                 DEADLINE_EXCEEDED: (504, "deadline_exceeded"), PERMISSION_DENIED: (403, "permission_denied"),
                 RESOURCE_EXHAUSTED: (429, "resource_exhausted"), UNIMPLEMENTED: (501, "unimplemented"), INTERNAL: (500, "internal"),
                 UNAVAILABLE: (503, "unavailable")}

# ---- who speaks ----------------------------------------------------------------------------------------------------------------------

Client = collections.namedtuple("Client", "wire tls rpc name")
CLIENTS = {c.name: c for c in (
    Client(10, False, "http", "HTTP/1.0"), Client(11, False, "http", "HTTP/1.1"), Client(11, True, "http", "HTTP/1.1 over TLS"),
    Client(20, False, "http", "HTTP/2"), Client(20, True, "http", "HTTP/2 over TLS"),
    Client(20, False, "grpc", "gRPC"), Client(20, True, "grpc", "gRPC over TLS"),
    Client(11, False, "web", "gRPC-Web over HTTP/1"), Client(20, False, "web", "gRPC-Web over HTTP/2"),
    Client(11, False, "text", "gRPC-Web text over HTTP/1"), Client(20, False, "text", "gRPC-Web text over HTTP/2"),
    Client(11, False, "unary", "Connect over HTTP/1"), Client(20, False, "unary", "Connect over HTTP/2"),
    Client(11, False, "stream", "Connect stream over HTTP/1"), Client(20, False, "stream", "Connect stream over HTTP/2"),
    Client(11, False, "tunnel", "Upgrade"), Client(20, False, "tunnel", "extended CONNECT"),
)}
Up = collections.namedtuple("Up", "wire tls translate name")
UPSTREAMS = {u.name: u for u in (
    Up(11, False, False, "http1"), Up(11, True, False, "http1s"), Up(20, False, False, "http2"), Up(20, True, False, "http2s"), Up(20, False, True, "grpc"))}
KIN = ("web", "text", "unary", "stream")


def pairs():
    for c in CLIENTS.values():
        for u in UPSTREAMS.values():
            if u.translate and c.rpc not in KIN or u.tls and c.rpc in KIN:
                continue
            yield c, u


def carried(c, u):
    """gRPC needs HTTP/2 (semantics 3, no_route)."""
    return c.rpc != "grpc" or u.wire == 20


# ---- what happens, and when ------------------------------------------------------------------------------------------------------------

# head: with the request's head. waiting: for a connection, or for a place. upload: the upstream has the head and half of the body. before: it has all.
# both: half of the body, and the answer has begun. mid: the answer has begun, between two messages of an RPC. inside: in the middle of a message.
# A tunnel has `before` and `mid`.
MOMENTS = {"http": ("upload", "before", "both", "mid"), "grpc": ("upload", "before", "both", "mid", "inside"), "unary": ("upload", "before", "mid"),
           "tunnel": ("before", "mid")}
for kin in ("web", "text", "stream"):
    MOMENTS[kin] = MOMENTS["grpc"]
LATE = ("both", "mid", "inside")
UNREAD = ("upload", "both")

# HTTP/1's ladder and HTTP/2's. own: the strongest that the protocol has; call: behind reset, which is taken, it is not reached. gone-…: client_gone, for
# who leaves.
RUNGS = {"own": ("close", "reset"), "drain": ("drain", "drain"), "none": ("none", "none"), "call": ("call close", "reset call"),
         "call-drain": ("call drain", "call drain"), "call-none": ("call none", "call none")}
GONE_RUNGS = ("gone-drain", "gone-ignore")

# policy: what it needs of the policy; listener: of the listener; to: another upstream than the usual one
Cause = collections.namedtuple("Cause", "name ending at policy listener to")


def cause(name, ending, at=("upload", "before", "both", "mid", "inside"), policy="plain", listener="", to=""):
    return Cause(name, ending, at, policy, listener, to)


TOO_LONG = "client asks with a head too long"
CAUSES = [
    cause("completes", "completed", at=("before",)),
    # the client
    cause("client resets its stream", "client_reset"),
    cause("client resets its connection", "client_reset"),
    cause("client closes its connection", "client_closed"),
    cause("client closes at its deadline", "client_deadline", policy="grace"),
    cause("client resets at its deadline", "client_deadline", policy="grace"),
    cause("client resets, and the upstream knows no deadline", "client_reset", at=("before", "mid"), policy="untold"),
    cause("client sends no more", "client_timeout", at=("upload", "both"), listener="slow"),
    cause("client takes nothing", "client_stalled", at=("mid",), listener="slow"),
    cause("client breaks its body", "client_error", at=("upload", "both")),
    cause("client asks for a broken path", "client_error", at=("head",)),
    cause(TOO_LONG, "client_error", at=("head",)),
    cause("client sends a broken deadline", "client_context", at=("head",)),
    # the gateway
    cause("no route", "no_route", at=("head",)),
    cause("cannot be carried", "no_route", at=("head",)),
    cause("deadline of the client", "deadline"),
    cause("deadline by default", "deadline", at=("before",), policy="default"),
    cause("deadline all but passed", "shed_expired", at=("head",)),
    cause("less than the route needs", "shed_latency", at=("head",), policy="needs"),
    cause("no room", "shed_load", at=("head",), to="full"),
    cause("try too long", "try_timeout", policy="try"),
    cause("silence", "upstream_idle", at=("mid", "inside"), policy="idle"),
    cause("an operator cancels", "operator_cancelled"),
    cause("gateway shuts down", "shutdown"),
    # the upstream
    cause("connection refused", "connect_failure", at=("head",), to="dead"),
    cause("connection not taken", "connect_timeout", at=("head",), to="mute"),
    cause("upstream closes its connection", "upstream_closed"),
    cause("upstream resets its connection", "upstream_closed"),
    cause("upstream answers nonsense", "upstream_error"),
    cause("upstream goes away", "refused_stream", at=("upload", "before")),
    *(cause(f"upstream resets: {code}", "upstream_reset") for code in CODES),
    # while it waits for a connection that the upstream does not take, or for a place
    cause("client leaves while connecting", "client_closed", at=("waiting",), to="wait"),
    cause("client resets while connecting", "client_reset", at=("waiting",), to="wait"),
    cause("deadline while connecting", "deadline", at=("waiting",), to="wait"),
    cause("client leaves the queue", "client_closed", at=("waiting",), to="queue"),
    cause("client resets in the queue", "client_reset", at=("waiting",), to="queue"),
    cause("deadline in the queue", "deadline", at=("waiting",), to="queue"),
]
TIMED = {"client_timeout", "deadline", "try_timeout", "upstream_idle", "client_stalled"}

Combination = collections.namedtuple("Combination", "number client up cause moment rung ending")


def ending_of(c, u, cause_, moment):
    """Where it is not the cause's own; None: there is no such combination."""
    name, tunnel = cause_.name, c.rpc == "tunnel" and moment in LATE
    if not carried(c, u):
        return "no_route" if name == "cannot be carried" else None
    if name == "cannot be carried":
        return "no_route" if c.rpc == "tunnel" and u.wire == 20 and not u.tls else None
    if name == "client resets its stream" and c.wire < 20:
        return None
    if name == "client closes its connection" and c.wire == 10 and moment not in UNREAD:
        return "completed"  # semantics 6: a FIN of HTTP/1.0 is tolerated once the request is read
    if name in ("client leaves while connecting", "client leaves the queue") and c.wire == 10:
        return None
    if name in ("client closes its connection", "client closes at its deadline") and tunnel and c.wire < 20:
        return "completed" if name == "client closes its connection" else None  # semantics 4: a FIN ends one direction
    if name == "client closes at its deadline" and c.wire == 10 and moment not in UNREAD:
        return None
    if name == "client resets at its deadline" and c.wire < 20:
        return None
    if name == "client breaks its body" and c.wire == 10:
        return None  # a Content-Length cannot be broken
    if name == "client breaks its body" and c.rpc == "unary" and u.translate and c.wire < 20:
        return None  # a body without a length is held until it is whole: the upstream is not asked
    if name.startswith("upstream resets: "):
        if u.wire < 20:
            return None
        if "REFUSED" in name and moment not in LATE:
            return "refused_stream"
    if name == "upstream goes away" and u.wire < 20:
        return None
    if name == "upstream closes its connection" and tunnel and u.wire < 20:
        return "completed"
    if name == "upstream resets its connection" and tunnel and u.wire < 20:
        return "upstream_reset"  # semantics 4: as RST_STREAM(CANCEL)
    if name == "upstream answers nonsense" and moment in LATE and c.rpc == "tunnel":
        return None  # its bytes are its own
    if name == "less than the route needs" and c.rpc in ("stream", "tunnel"):
        return None  # what a route needs is said of answers, and a stream lives as long as it is given
    if name == "client takes nothing" and (c.wire < 20 and (c.rpc != "http" or c.tls or u.tls) or c.rpc in ("unary", "tunnel")):
        return None  # the same writes; each needs megabytes to fill the kernel's buffers
    return cause_.ending


def rungs_of(c, u, cause_, moment, ending):
    if ENDINGS[ending].upstream != "cancel" or moment in ("waiting", "head") or c.tls or u.tls:
        return ("own",)
    if ending == "shutdown":
        return ("own", "call")  # nobody is left who could see a drain's end
    gone = GONE_RUNGS if ENDINGS[ending].http == GONE and moment not in UNREAD else ()
    if c.rpc == "tunnel":
        gone = gone[:1]  # its request is never read to its end, so that there is nothing to be left alone
    return (*RUNGS, *gone)


def combinations():
    """All of them, each with its number."""
    number = 0
    for c, u in pairs():
        for cause_ in CAUSES:
            for moment in cause_.at:
                if moment not in (*MOMENTS[c.rpc], "head", "waiting"):
                    continue
                ending = ending_of(c, u, cause_, moment)
                for rung in rungs_of(c, u, cause_, moment, ending) if ending else ():
                    number += 1
                    yield Combination(number, c, u, cause_, moment, rung, ending)


def walked(everything):
    """Those that are played: all; or all but that clients of the RPC protocols that can be translated take two rungs of each ladder, one of them in rotation.
    How an upstream is told does not depend on what its client speaks above HTTP, and below it the others climb every rung."""
    for _, group in itertools.groupby(combinations(), lambda k: (k.client, k.up, k.cause, k.moment)):
        own, *others = group
        yield own
        if everything or own.client.rpc not in KIN:
            yield from others
        elif others:
            yield others[own.number % len(others)]


# ---- what both ends must see -------------------------------------------------------------------------------------------------------------


def code_of(k):
    """Of the RST_STREAM that the upstream sent, or None."""
    return k.cause.name.split(": ")[1] if k.cause.name.startswith("upstream resets: ") else None


def grpc_of(k):
    if k.cause.name == TOO_LONG:
        return RESOURCE_EXHAUSTED
    if k.ending == "upstream_reset":
        return GRPC_OF_CODE.get(code_of(k), INTERNAL)
    if k.ending == "upstream_closed" and k.moment in LATE and not is_held(k):
        return INTERNAL
    return ENDINGS[k.ending].grpc


def is_held(k):
    """The answer to a unary Connect call in gRPC is held until it is whole: to the client its head has not come."""
    return k.client.rpc == "unary" and k.up.translate


def http_of(k):
    if k.cause.name == "cannot be carried":
        return 501
    if k.cause.name == TOO_LONG:
        return 431
    return ENDINGS[k.ending].http


def reset_of(k):
    """The code of a RST_STREAM to a client that has the head."""
    if k.cause.name == "upstream resets its connection" and k.client.rpc == "tunnel" and k.up.wire < 20:
        return "CANCEL"  # semantics 4: TCP RST and RST_STREAM(CANCEL) are equal
    if k.ending == "upstream_reset" and code_of(k) in PASSES and k.client.rpc in ("http", "tunnel"):
        return code_of(k)
    if k.ending == "client_error":
        return "PROTOCOL_ERROR"
    return "CANCEL" if k.ending in RESETS_CANCEL else "INTERNAL_ERROR"


def cut_of(k):
    if k.client.wire == 20:
        return f"reset {reset_of(k)}"
    if k.client.rpc == "tunnel" or k.client.wire == 10:
        return "cut by RST"  # semantics 4: for what only the close delimits, and for tunnels
    return "cut"


def client_sees(k):
    rpc, late = k.client.rpc, k.moment in LATE
    row = ENDINGS[k.ending]
    if k.ending == "completed":
        return "whole"
    if row.http == GONE:
        return "gone"
    if row.http == CUT:
        return cut_of(k)
    if is_held(k):
        late = False
    if k.cause.name == "client breaks its body" and k.client.wire < 20 and late:  # HTTP/1 itself is broken
        return cut_of(k)
    if k.ending == "client_error" and k.client.wire == 20 and k.moment != "head":
        late = late or "early"  # a malformed request may get a 400 first, or RST_STREAM alone
    if late is True and (rpc in ("http", "tunnel", "unary") or k.moment == "inside"):
        return cut_of(k)
    grpc = grpc_of(k)
    said = {"http": f"problem {http_of(k)} {k.ending}", "tunnel": f"problem {http_of(k)} {k.ending}",
            "grpc": f"trailers {grpc}" if late is True else f"status {grpc}",
            "web": f"frame {grpc}" if late is True else f"status {grpc}", "text": f"frame {grpc}" if late is True else f"status {grpc}",
            "unary": "error %d %s" % CONNECT_CODES[grpc], "stream": f"end {CONNECT_CODES[grpc][1]}"}[rpc]
    if late == "early":
        return f"{said} or reset PROTOCOL_ERROR"
    if k.ending == "client_error" and k.client.wire == 20 and late is True:
        return f"{said} or reset PROTOCOL_ERROR"
    return said


def way(k):
    """The last rung: how the upstream itself is treated."""
    if k.rung == "gone-drain":
        return "drain"
    ladder = RUNGS[k.rung][k.up.wire == 20].split()
    return next(r for r in ladder if r != "call")


def is_called(k):
    if k.rung == "call" and k.up.wire == 20:
        return False
    return k.rung.startswith("call") and ENDINGS[k.ending].upstream == "cancel" and k.moment not in ("head", "waiting")


def upstream_sees(k):
    row = ENDINGS[k.ending]
    if k.moment in ("head", "waiting"):
        return "never asked"
    if k.ending == "completed":
        return "whole"
    if row.upstream == "nothing":
        return "nothing"
    if row.upstream == "protocol error":
        return "closed" if k.up.wire < 20 else "protocol error"
    if k.rung == "gone-ignore":
        return "read"
    return {"close": "closed", "reset": "reset CANCEL", "drain": "read", "none": "read"}[way(k)]


def level_of(k):
    """The strongest that was achieved; None: nothing was to be cancelled."""
    if ENDINGS[k.ending].upstream != "cancel" or k.moment == "head" or k.rung == "gone-ignore":
        return None
    if k.moment == "waiting":
        return "withdrawn"
    if is_called(k):
        return "side_channel"
    return rung_level(k)


def rung_level(k):
    """Of the last rung alone."""
    return {"close": "close", "reset": "native", "drain": "drain", "none": "none" if k.cause.policy == "untold" else "ttl"}[way(k)]
