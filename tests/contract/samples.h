// SPDX-License-Identifier: Apache-2.0
// What a peer of each codec says, for the contract suite: a registered codec and role without a sample fails it. Add rows here, nothing else.
#ifndef CURFEW_TESTS_CONTRACT_SAMPLES_H
#define CURFEW_TESTS_CONTRACT_SAMPLES_H
#include "codecs/codec.h"

struct sample {
    const char *codec;
    enum codec_role role;
    const char *what;
    struct str in;             /* the peer's bytes */
    struct str (*make)(void);  /* or: made once, static */
    size_t prelude;            /* of these bytes, how many come before an exchange can begin (up) */
    const char *method;        /* up: of the requests that it answers */
    unsigned legs;             /* how many exchanges it opens (down) or answers (up) in good order */
    size_t body;               /* bytes of body that come, in all */
    uint16_t unfit;            /* down: its request is refused with that status */
    bool half;                 /* the peer's part alone does not end them: the suite does not expect a good end */
};

/* Header blocks by HPACK's static table (RFC 7541, A): \202 GET, \203 POST, \204 /, \206 http, \101 :authority, \210 200, \134 content-length. */
#define H2_SETTINGS "\0\0\0\4\0\0\0\0\0"
#define H2_PREFACE "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" H2_SETTINGS
#define H2_GET "\202\206\204\101\013example.com"

/* A head of 64 KiB in few bytes: a field of 133 (RFC 9113 6.5.2), and five hundred times its index. Its last field is one that fits. */
static inline struct str sample_http2_big(void) {
    static char text[1000];
    static const struct str before = STR_INIT(H2_PREFACE), block = STR_INIT(H2_GET), last = STR_INIT("\0\1b\1c");
    size_t n = block.n + 4 + 100 + 500 + last.n, at = before.n;
    memcpy(text, before.p, before.n);
    memcpy(text + at, (char[]){ 0, (char)(n >> 8), (char)n, 1, 5, 0, 0, 0, 1 }, 9);
    memcpy(text + at + 9, block.p, block.n);
    at += 9 + block.n;
    memcpy(text + at, "\100\1a\144", 4);
    memset(text + at + 4, 'v', 100);
    memset(text + at + 104, 62 | 128, 500);
    memcpy(text + at + 604, last.p, last.n);
    return (struct str){ text, at + 604 + last.n };
}

static const struct sample samples[] = {
    { "http1", CODEC_DOWN, "a request without a body", STR_INIT("GET /a?b=c HTTP/1.1\r\nHost: example.com\r\nUser-Agent: x\r\nAccept: */*\r\n\r\n"),
      .legs = 1 },
    { "http1", CODEC_DOWN, "two pipelined ones, the first with a body",
      STR_INIT("POST /a HTTP/1.1\r\nHost: example.com\r\nContent-Length: 5\r\n\r\nhello\r\nGET /b HTTP/1.1\r\nHost: example.com\r\n\r\n"),
      .legs = 2, .body = 5 },
    { "http1", CODEC_DOWN, "chunks, extensions and trailers, then the last request",
      STR_INIT("PUT /a HTTP/1.1\r\nHost: example.com\r\nTransfer-Encoding: chunked\r\nTrailer: x-sum\r\n\r\n5;a=\"b;\\\"\" ; c\r\nhello\r\n1\r\n!\r\n"
               "0\r\nX-Sum: 1\r\n\r\nHEAD / HTTP/1.1\r\nHost: [::1]:80\r\nConnection: close\r\n\r\n"),
      .legs = 2, .body = 6 },
    { "http1", CODEC_DOWN, "HTTP/1.0 without Host", STR_INIT("GET / HTTP/1.0\r\nAccept: text/html\r\n\r\n"), .legs = 1 },
    { "http1", CODEC_DOWN, "an upgrade that is not taken, then a request",
      STR_INIT("GET /ws HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n"), .legs = 2 },
    { "http1", CODEC_DOWN, "a head that is malformed", STR_INIT("POST /a HTTP/1.1\r\nHost: a\r\nX: y\r\nno field\r\nContent-Length: 5\r\n\r\nhello"),
      .legs = 1, .unfit = 400 },
    { "http1", CODEC_DOWN, "a chunk that is malformed", STR_INIT("POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhelloX\r\n"),
      .legs = 1, .body = 5, .unfit = 400 },
    { "http1", CODEC_UP, "a length", STR_INIT("HTTP/1.1 200 OK\r\nServer: x\r\nContent-Length: 5\r\n\r\nhello"), .method = "GET", .legs = 1, .body = 5 },
    { "http1", CODEC_UP, "interim answers, then chunks and trailers, then another answer",
      STR_INIT("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
               "5\r\nhello\r\n1;x\r\n \r\n0\r\nX-Sum: 2\r\n\r\n"),
      .method = "POST", .legs = 1, .body = 6 },
    { "http1", CODEC_UP, "no content, and how long it is kept", STR_INIT("HTTP/1.1 204 No Content\r\nKeep-Alive: timeout=5\r\n\r\n"), .method = "GET",
      .legs = 1 },
    { "http1", CODEC_UP, "a HEAD's answer", STR_INIT("HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n"), .method = "HEAD", .legs = 1 },
    { "http1", CODEC_UP, "a body that the close ends", STR_INIT("HTTP/1.0 200 OK\r\n\r\nhello, world"), .method = "GET", .legs = 1, .body = 12,
      .half = true },

    { "http2", CODEC_DOWN, "a request without a body", STR_INIT(H2_PREFACE "\0\0\020\1\5\0\0\0\1" H2_GET), .legs = 1 },
    { "http2", CODEC_DOWN, "two at a time, the first with a body and trailers",
      STR_INIT(H2_PREFACE "\0\0\020\1\4\0\0\0\1\203\206\204\101\013example.com" /* HEADERS of stream 1 */
               "\0\0\3\0\0\0\0\0\1hel" "\0\0\020\1\5\0\0\0\3" H2_GET      /* DATA; HEADERS of stream 3, which ends it */
               "\0\0\6\0\010\0\0\0\1\3lo\0\0\0"                         /* DATA with padding */
               "\0\0\011\1\5\0\0\0\1\0\5x-sum\0011"),                    /* trailers */
      .legs = 2, .body = 5 },
    { "http2", CODEC_DOWN, "a head in pieces, PING, PRIORITY, windows, an unknown frame and a GOAWAY",
      STR_INIT(H2_PREFACE "\0\0\5\1\1\0\0\0\1\202\206\204\101\013" "\0\0\4\011\0\0\0\0\1exam" "\0\0\7\011\4\0\0\0\1ple.com"
               "\0\0\010\6\0\0\0\0\00001234567" "\0\0\5\2\0\0\0\0\1\0\0\0\0\020" "\0\0\4\010\0\0\0\0\0\0\1\0\0"
               "\0\0\2\252\0\0\0\0\0xx" "\0\0\010\7\0\0\0\0\0\0\0\0\0\0\0\0\0"),
      .legs = 1 },
    { "http2", CODEC_DOWN, "a head over the limit", .make = sample_http2_big, .legs = 1, .unfit = 431 },
    { "http2", CODEC_UP, "a body", STR_INIT(H2_SETTINGS "\0\0\1\1\4\0\0\0\1\210" "\0\0\5\0\1\0\0\0\1hello"), .prelude = 9, .method = "GET",
      .legs = 1, .body = 5 },
    { "http2", CODEC_UP, "an interim answer, a length, a body in pieces, and trailers",
      STR_INIT(H2_SETTINGS "\0\0\5\1\4\0\0\0\1\010\003103" "\0\0\4\1\4\0\0\0\1\210\134\0016" "\0\0\5\0\0\0\0\0\1hello"
               "\0\0\1\0\0\0\0\0\1!" "\0\0\011\1\5\0\0\0\1\0\5x-sum\0012"),
      .prelude = 9, .method = "POST", .legs = 1, .body = 6 },
    { "http2", CODEC_UP, "a HEAD's answer, and one without content",
      STR_INIT(H2_SETTINGS "\0\0\6\1\5\0\0\0\1\210\134\003500" "\0\0\1\1\5\0\0\0\3\211"), .prelude = 9, .method = "HEAD", .legs = 2 },

    { "toy", CODEC_DOWN, "two queries", STR_INIT("HELLO\nQ\nD5\nhelloE\nQ\nE\n"), .legs = 2, .body = 5 },
    { "toy", CODEC_UP, "an answer", STR_INIT("KEY k1\nA\nD5\nhelloD1\n!E\n"), .prelude = 7, .method = "QUERY", .legs = 1, .body = 6 },
};
#define SAMPLES (sizeof samples / sizeof samples[0])

static inline struct str sample_bytes(const struct sample *s) { return s->make ? s->make() : s->in; }
#endif
