# SPDX-License-Identifier: Apache-2.0
"""What each client and each server go through with each other, by the gateway. A case takes a Pairing; both ends are asserted."""
import base64
import time

from peers import CERTIFICATE, KEY, PATIENCE, Call, Gateway, TooLate, expect, expect_between, fields, in_time, payload

CANCELLED, DEADLINE_EXCEEDED, FAILED_PRECONDITION, UNIMPLEMENTED = 1, 4, 9, 12
METHODS = ["unary", "client", "server", "bidi"]
SOON = 5000    # ms in which a cancel must be seen, however busy the machine; what it took is noted
MOST = (4 << 20) - 16  # bytes
# ms, of which the next is tried where a call did not get through in the first
LIMITS = [500, 2000, 8000]  # deadline.max of the policies "short-500" to "untold-8000"
GIVEN = [400, 1600, 6400]   # by a client
LEFT = [300, 1200, 4800]    # by a gateway
WAITS = [0, 50, 1000]       # until a client cancels
HARDLY = [8, 11, 14]        # less than its deadline.min and its deadline.reserve
DEFAULT = 15000  # ms: deadline.default of the policy "default"
EARLY = 4000   # ms: deadline.reserve of the policy "early"
ROUNDED = 1.02  # gRPC's C core writes three digits, rounded up
FORGETFUL = ["node"]  # grpc-js drops answers that it has read and not yet handed out, once it has read an error (startRead of its subchannel-call.js)

UNTOLD = {"grpc": [], "connect": []}
# What a route with metadata x-policy is under; without it, what is built in.
POLICIES = {
    "default": {"deadline": {"default": f"{DEFAULT}ms", "max": "60s"}},
    **{f"short-{ms}": {"deadline": {"max": f"{ms}ms"}} for ms in LIMITS},
    **{f"untold-{ms}": {"deadline": {"max": f"{ms}ms", "write": UNTOLD}} for ms in LIMITS},  # the gateway's deadline alone
    "unread": {"deadline": {"read": [], "default": None, "write": UNTOLD}},  # the client's alone
    "early": {"deadline": {"reserve": f"{EARLY}ms"}},                          # the server's passes first
}


def configuration(servers, behinds=("plain", "tls"), **route):
    """Upstreams and routes: metadata says which server a call is for, how it is reached, and under which policy. route: more keys of each."""
    upstreams, routes = {}, []
    for language, server in servers.items():
        ready = server.wait("", "ready", seconds=60)
        for behind in behinds:
            name = f"{language}-{behind}"
            # Hundreds of cancels in a moment are no attack here, and how long they take is measured; a handshake takes what a busy server takes for it.
            upstreams[name] = {"protocol": "http1" if behind == "http1" else "http2", "endpoints": [f"127.0.0.1:{ready[behind]}"],
                               "reset_budget": {"burst": 0}, "connect_timeout": "20s"}
            if behind == "tls":
                upstreams[name]["tls"] = {"ca": CERTIFICATE, "server_name": "localhost"}
            for policy in POLICIES:
                headers = {"x-server": language, "x-behind": behind, "x-policy": policy}
                routes.append({"match": {"header": headers}, "upstream": name, "policy": policy, **route})
    return upstreams, routes


def gateway(upstreams, routes):
    tls = {"tls": {"tls": {"certificates": [{"certificate": CERTIFICATE, "key": KEY}]}}}
    return Gateway({}, routes=routes, listeners=tls, more={"upstreams": upstreams, "policies": POLICIES}, workers=2)


class Pairing:
    """One client, one server, how they reach each other, and the kinds of methods that both have."""

    def __init__(self, client, server, front, target, behind, methods=METHODS):
        self.client, self.server, self.front, self.target, self.behind, self.methods = client, server, front, target, behind, methods
        self.default = -1  # ms that the policy gives a call without a deadline; in gRPC it might be a stream, and has none
        self.noticed = []  # ms from a cancel, or a deadline, to the server's handler
        self.calls = []    # of the case that is played

    def both(self, *methods):
        return [m for m in methods if m in self.methods]

    def call(self, method, policy="default", more=(), **command):
        route = [("x-server", self.server.language), ("x-behind", self.behind), ("x-policy", policy)]
        self.calls.append(Call(self.client, self.server, self.target, self.front == "tls", method, [*route, *more], **command))
        return self.calls[-1]

    def play(self, case, *arguments):
        """What a case that failed leaves open is ended, so that nobody waits for it."""
        self.calls = []
        try:
            case(self, *arguments)
        except Exception:
            for call in self.calls:
                if call.command["method"] != "interop":
                    call.cancel()
            raise

    def expect_cancelled(self, call, since):
        """The handler saw it, and ended for it. `since`: when it should have heard, in ms."""
        took = call.cancelled()["at"] - since
        expect_between(took, -SOON, SOON, "ms until the handler saw its context cancelled")
        expect(call.ended()["why"], "cancelled", "how the handler ended")
        self.noticed.append(max(took, 0))


def passes(p, method, sends, size, answers, answer_size):
    """A call that goes well; every byte, both ways."""
    call = p.call(method, sends=sends, size=size, ask={"answers": answers, "size": answer_size})
    end = call.end()
    expect(end.get("code", 0), 0, f"status ({end.get('message')})")
    questions = sends if method in ("client", "bidi") else 1
    total = {"unary": 1, "client": 1, "server": answers, "bidi": sends * answers}[method]
    call.expect_sum(end, [payload(answer_size)] * total)
    ended = call.ended()
    expect(ended["why"], "done", "how the handler ended")
    call.expect_sum(ended, [payload(size)] * questions)
    return call


def unary(p):
    passes(p, "unary", 0, 50, 0, 100)


def empty_messages(p):
    passes(p, "unary", 0, 0, 0, 0)
    for method in p.both("bidi"):
        passes(p, method, 2, 0, 2, 0)


def client_stream(p):
    passes(p, "client", 10, 1000, 0, 77)


def server_stream(p):
    passes(p, "server", 0, 10, 10, 1000)


def bidi_stream(p):
    passes(p, "bidi", 5, 333, 2, 444)


def large(p):
    """A message of 4 MiB each way, its fields and all: what Connect's may have that are translated."""
    passes(p, "unary", 0, MOST, 0, MOST)


def large_streams(p):
    sizes = {"client": (3, 4 << 20, 0, 10), "server": (0, 10, 3, 4 << 20), "bidi": (2, 1 << 20, 1, 1 << 20)}
    for method in p.both(*sizes):
        passes(p, method, *sizes[method])


def metadata_both_ways(p):
    every = bytes(range(256))
    sent = [("x-echo-text", 'a, b; c="d" %41 ~'), ("x-echo-some-bin", every), ("x-trail-text", "later"), ("x-trail-some-bin", every[::-1]),
            ("x-echo-long", "z" * 3000), ("x-private", "for the server")]
    for method in p.methods:
        call = p.call(method, more=sent, sends=1, ask={"answers": 1, "size": 5})
        end, begun = call.end(), fields(call.begun()["metadata"])
        expect(end.get("code", 0), 0, f"status ({end.get('message')})")
        head, trailers = fields(end.get("metadata")), fields(end.get("trailers"))
        for key, value in sent:
            expect(begun[key], [value], f"{key} at the server")
            if key.startswith("x-echo-"):
                expect(head[key], [value], f"{key} in the head at the client")
            if key.startswith("x-trail-"):
                expect(trailers[key], [value], f"{key} in the trailers at the client")
        expect(begun["grpc-timeout"], [], "grpc-timeout that nobody asked for")


def error_with_details(p):
    message = "no: \u00fcn\u00efcode \u2603 100%, and\ttwo\r\nlines"
    text = message.encode()
    # google.rpc.Status{code 9, message, details: Any{"type.googleapis.com/x", 64 bytes}}
    inner = b"\x0a\x15type.googleapis.com/x" + b"\x12\x40" + bytes(range(192, 256))
    details = b"\x08\x09" + b"\x12" + bytes([len(text)]) + text + b"\x1a" + bytes([len(inner)]) + inner
    for method, answers in (pair for pair in (("unary", 0), ("client", 0), ("server", 2), ("bidi", 1), ("server", 0)) if pair[0] in p.methods):
        ask = {"answers": answers, "size": 5, "code": FAILED_PRECONDITION, "message": message, "details": base64.b64encode(details).decode()}
        call = p.call(method, sends=1, ask=ask)
        end = call.end()
        expect((end.get("code"), end.get("message")), (FAILED_PRECONDITION, message), f"status of {method}")
        expect(base64.b64decode(end.get("details", "")), details, f"details of {method}")
        least = 0 if p.client.language in FORGETFUL else answers
        expect_between(end.get("received", 0), least, answers, f"answers before it, of {method}")
        expect(call.ended()["why"], "failed", "how the handler ended")


def each_code(p):
    """Every status of gRPC arrives as it was sent."""
    for code in range(1, 17):
        end = p.call("unary", ask={"code": code, "message": f"status {code}"}).end()
        expect((end.get("code"), end.get("message")), (code, f"status {code}"), "status")


def deadline_told_shrinks(p):
    call = p.call("unary", "early", deadline=20000, ask={"size": 1})
    expect(call.end().get("code", 0), 0, "status")
    expect_between(call.begun()["left"], 20000 / 2, 20000 * ROUNDED - EARLY, "ms that the server has of 20000")
    call = p.call("unary", ask={"size": 1})
    expect(call.end().get("code", 0), 0, "status")
    expect_between(call.begun()["left"], p.default / 2 if p.default > 0 else -1, p.default, "ms that the server has where the client said nothing")


def held(p, policy, deadline, least, most, methods=METHODS):
    """Calls that only a deadline ends, all at once, each within least to most ms; with the answers that it has before."""
    methods = p.both(*methods)
    calls = [p.call(m, policy, deadline=deadline, sends=1, ask={"answers": 2, "size": 5, "hold": True}) for m in methods]
    for call, method in zip(calls, methods):
        end = call.end()
        answers = 2 if method in ("server", "bidi") else 0
        expect(end["code"], DEADLINE_EXCEEDED, f"status of {method} ({end.get('message')})")
        expect_between(end.get("received", 0), 0, answers, f"answers of {method} before it")
        expect_between(end["at"] - call.started()["at"], least, most, "ms that the call took")
    for call, method in zip(calls, methods):
        call.begun_by_now()
        if call.end().get("received", 0) < (2 if method in ("server", "bidi") else 0):
            raise TooLate(f"the answers of {method} did not come")
        yield call, call.end()


def expect_left(call, most):
    """ms that the server has, once it looks."""
    left = call.begun()["left"]
    expect_between(left, -PATIENCE * 1000, most, "ms that the server has")
    if left < 1:
        raise TooLate("the handler did not begin")


def deadline_at_the_client(p):
    """The gateway knows of none: what ends the call is the client's RST_STREAM."""
    def case(given):
        for call, end in held(p, "unread", given, given - 10, given + SOON, ["unary", "server"]):
            expect(call.begun()["left"], -1, "the server's own deadline")
            p.expect_cancelled(call, end["at"])
    in_time(case, *GIVEN)


def deadline_at_the_gateway(p):
    """The client's is far, the server knows of none: the gateway tells both. UNAVAILABLE would have it sent again."""
    def case(limit):
        for call, end in held(p, f"untold-{limit}", 30000, limit - 10, limit + SOON):
            expect(call.begun()["left"], -1, "the server's own deadline")
            p.expect_cancelled(call, end["at"])
    in_time(case, *LIMITS)


def deadline_clamped_by_the_gateway(p):
    """As above, and the server is told."""
    def case(limit):
        for call, _ in held(p, f"short-{limit}", 30000, limit - 10, limit + SOON):
            expect_left(call, limit - 5)
            expect(call.ended()["why"], "cancelled", "how the handler ended")
    in_time(case, *LIMITS)


def deadline_at_the_server(p):
    """The server is told much less than there is: its own status 4 arrives before anybody else's time is up."""
    def case(left):
        for call, _ in held(p, "early", left + EARLY, left / 2, left + EARLY - 50):
            expect_left(call, (left + EARLY) * ROUNDED - EARLY)
            expect(call.ended()["why"], "cancelled", "how the handler ended")
    in_time(case, *LEFT)


def hardly_any_time(p):
    """Less than the gateway wants to see left: answered at once, and the server never hears of it."""
    def case(given):
        call = p.call("unary", deadline=given, ask={"size": 1})
        code = call.end().get("code", 0)
        if code == 0 and p.client.language.startswith("google-") and not fields(call.begun()["metadata"])["grpc-timeout"]:
            raise TooLate("the call went out without its deadline")  # as this library has it once that has passed
        expect(code, DEADLINE_EXCEEDED, "status")
        passes(p, "unary", 0, 1, 0, 1)
        if p.server.has(call.id, "begun") and call.begun()["left"] > given:
            raise TooLate("the call went out with more than its deadline")  # as gRPC's C core has it, whose clock stood still with its process
        expect(p.server.has(call.id, "begun"), False, "the server was asked")
    in_time(case, *HARDLY)


def cancel_before_the_head(p):
    call = p.call("unary", ask={"hold": True})
    call.begun()
    call.cancel()
    expect(call.end()["code"], CANCELLED, "status")
    p.expect_cancelled(call, p.client.wait(call.id, "cancelling")["at"])


def cancel_mid_stream(p):
    def case(after, method):
        call = p.call(method, sends=1, open=True, ask={"answers": 3, "size": 1000, "hold": True})
        call.begun()
        if method != "client":
            call.message(3)
        time.sleep(after / 1000)
        call.cancel()
        end = call.end()
        expect(end["code"], CANCELLED, f"status of {method}")
        expect(end.get("received", 0), 0 if method == "client" else 3, "answers before it")
        ended = call.ended()
        if method == "client" and ended["why"] == "done" and not ended.get("received", 0):  # node:http2 writes END_STREAM before its RST_STREAM
            raise TooLate("the first message had not come when the questions ended")
        p.expect_cancelled(call, p.client.wait(call.id, "cancelling")["at"])
    for m in p.both("client", "server", "bidi"):
        in_time(lambda after, method=m: case(after, method), *WAITS)


def cancel_while_data_flows(p):
    """Both sides' windows are full of a stream that nobody wants any more; the next calls do not miss them."""
    for _ in range(3):
        call = p.call("server", ask={"answers": 1024, "size": 1 << 20})
        call.message(2)
        call.cancel()
        expect(call.end()["code"], CANCELLED, "status")
        p.expect_cancelled(call, p.client.wait(call.id, "cancelling")["at"])
    passes(p, "server", 0, 10, 4, 1 << 20)


def cancel_after_the_answer(p):
    for method in p.methods:
        call = passes(p, method, 1, 10, 2, 10)
        call.cancel()
        passes(p, "unary", 0, 10, 0, 10)
        expect(p.server.has(call.id, "cancelled"), False, "a handler that was done saw a cancel")


def many_at_once(p):
    """A hundred calls on one connection, every other one cancelled: the rest does not notice."""
    unwanted, well = [], []
    wanted = ("bidi", {"answers": 2, "size": 2000}) if p.both("bidi") else ("server", {"answers": 4, "size": 2000})
    for _ in range(50):
        unwanted.append(p.call("unary", ask={"hold": True}))
        well.append(p.call(wanted[0], sends=2, size=100, ask=wanted[1]))
    for call in unwanted:
        call.begun()
        call.cancel()
    for call in well:
        end = call.end()
        expect(end.get("code", 0), 0, f"status ({end.get('message')})")
        call.expect_sum(end, [payload(2000)] * 4)
    for call in unwanted:
        expect(call.end()["code"], CANCELLED, "status")
        p.expect_cancelled(call, p.client.wait(call.id, "cancelling")["at"])


CASES = [unary, empty_messages, client_stream, server_stream, bidi_stream, large, large_streams, metadata_both_ways, error_with_details, each_code,
         deadline_told_shrinks, deadline_at_the_client, deadline_at_the_gateway, deadline_clamped_by_the_gateway, deadline_at_the_server,
         hardly_any_time, cancel_before_the_head, cancel_mid_stream, cancel_while_data_flows, cancel_after_the_answer, many_at_once]
INTEROP = ["empty_unary", "large_unary", "client_streaming", "server_streaming", "ping_pong", "empty_stream", "custom_metadata",
           "status_code_and_message", "special_status_message", "unimplemented_method", "unimplemented_service", "cancel_after_begin",
           "cancel_after_first_response", "timeout_on_sleeping_server"]
NEEDS = {client_stream: "client", bidi_stream: "bidi"}  # the kind of method without which a case is none
CANCELS = {"cancel_after_first_response"}  # the server's handler hears of it; as of an end of the questions, from some libraries


def interop(p, name):
    """One of gRPC's interoperability cases; the client's program has the assertions."""
    call = p.call("interop", interop=name)
    expect(call.passed().get("message", ""), "", name)
    if name in CANCELS:
        call.ended()
