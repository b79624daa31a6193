# SPDX-License-Identifier: Apache-2.0
"""gRPC's kin as bytes: messages and their frames, a gRPC upstream that is told what to answer, and a gateway that translates to it."""
import base64
import json
import struct

import h2
from harness import Gateway, Upstream, expect

PATH = "/test.Service/Method"


def frame(data, flags=0):
    return struct.pack(">BI", flags, len(data)) + data


def frames(body):
    """[(flags, bytes)] of a whole body."""
    out = []
    while body:
        flags, n = struct.unpack(">BI", body[:5])
        assert len(body) >= 5 + n, f"cut in a message: {body!r}"
        out.append((flags, body[5 : 5 + n]))
        body = body[5 + n :]
    return out


def text(data):
    return base64.b64encode(data)


def plain(body):
    """Of base64 in padded runs."""
    assert len(body) % 4 == 0, f"{len(body)} characters"
    return b"".join(base64.b64decode(body[i : i + 4], validate=True) for i in range(0, len(body), 4))


def end_stream(flags_and_bytes):
    """The JSON of a Connect EndStream message."""
    flags, data = flags_and_bytes
    expect(flags, 2, "flags of the last message")
    return json.loads(data)


def says(*messages, head=(), trailers=("grpc-status: 0",), content_type="application/grpc+proto", zipped=False):
    """A handler for h2.serve: these messages, these trailers."""
    def handler(s):
        s.answer(200, f"content-type: {content_type}", *head, body=b"".join(frame(m, int(zipped)) for m in messages), trailers=list(trailers))
    return handler


def only(*fields):
    """A trailers-only answer."""
    return lambda s: s.answer(200, "content-type: application/grpc", *fields)


def echoes(s):
    """What came, unary or stream, comes back, and the request's fields as JSON in a trailer."""
    s.answer(200, "content-type: " + s.get("content-type"), body=s.body, trailers=["grpc-status: 0", "x-seen: " + json.dumps(s.fields)])


class Translating:
    """with Translating(handler, …) as (up, g): an HTTP/2 upstream, and a gateway whose one route translates to gRPC."""

    def __init__(self, handler, at="end", policy=None, upstream=None, **options):
        self.up = Upstream(h2.serve(handler, at=at, **options))
        self.policy, self.upstream = policy, upstream or {}

    def __enter__(self):
        self.up.__enter__()
        try:
            self.g = Gateway(self.up, upstream={"protocol": "http2", **self.upstream}, policy=self.policy,
                             routes=[{"match": {"grpc": "*"}, "upstream": "be", "translate": "grpc"}])
            return self.up, self.g.__enter__()
        except BaseException:
            self.up.__exit__(None, None, None)
            raise

    def __exit__(self, *why):
        try:
            self.g.__exit__(*why)
        finally:
            self.up.__exit__(*why)
