// SPDX-License-Identifier: Apache-2.0
// Heads as HTTP/1.1 text, straight into the gather list. The framing is rebuilt from the head's members; fields of that kind that somebody put
// among the others are not written, so that a message never has two framings (T25).
#include "codecs/http1.h"
#include <assert.h>
#include <inttypes.h>
#include <stdio.h>

#define BIT(t) (UINT64_C(1) << TOKEN_##t)
static_assert(TOKENS <= 64, "a set of tokens is one word");
static const uint64_t framing_tokens = BIT(HOST) | BIT(CONTENT_LENGTH) | BIT(TRANSFER_ENCODING) | BIT(CONNECTION) | BIT(KEEP_ALIVE) |
                                       BIT(PROXY_CONNECTION) | BIT(UPGRADE) | BIT(TE);

static bool is_written(const struct field *f) { return f->name.n && !(framing_tokens >> f->token & 1); }

static char *put(char *at, struct str s) {
    if (s.n) memcpy(at, s.p, s.n);
    return at + s.n;
}
static char *put_text(char *at, const char *text) { return put(at, str_of(text)); }

static char *put_number(char *at, uint64_t n, unsigned base) {
    char digits[20];
    size_t i = sizeof digits;
    do digits[--i] = "0123456789abcdef"[n % base];
    while (n /= base);
    return put(at, (struct str){ digits + i, sizeof digits - i });
}

static size_t fields_room(const struct head *h) {
    size_t n = 0;
    for (size_t i = 0; i < h->nfields; i++) n += h->fields[i].name.n + h->fields[i].value.n + 4;
    return n;
}

static char *put_field(char *at, struct str name, struct str value) {
    at = put(at, name);
    *at++ = ':';
    *at++ = ' ';
    at = put(at, value);
    *at++ = '\r';
    *at++ = '\n';
    return at;
}

static char *put_fields(char *at, const struct head *h) {
    for (size_t i = 0; i < h->nfields; i++)
        if (is_written(&h->fields[i])) at = put_field(at, h->fields[i].name, h->fields[i].value);
    return at;
}

static char *put_length(char *at, uint64_t length) {
    at = put_text(at, "content-length: ");
    at = put_number(at, length, 10);
    return put_text(at, "\r\n");
}

static char *put_framing(char *at, const struct head *h, enum http1_framing framing) {
    if (framing == FRAME_LENGTH) return put_length(at, h->length);
    if (framing == FRAME_ZERO) return put_length(at, 0);
    if (framing == FRAME_CHUNKED) return put_text(at, "transfer-encoding: chunked\r\n");
    return at;
}

#define FRAMING_ROOM 256u /* what put_framing, the connection fields and the fixed text of a first line need at most */

/* RFC 9110 7.8: Upgrade is listed in Connection; 10.1.4: so is TE. */
static char *put_request_connection(char *at, const struct head *h, bool upgrade) {
    if (h->te_trailers) at = put_text(at, "te: trailers\r\n");
    if (upgrade) at = put_field(at, STR("upgrade"), h->protocol);
    if (upgrade || h->te_trailers) {
        struct str list = !upgrade ? STR("te") : h->te_trailers ? STR("upgrade, te") : STR("upgrade");
        at = put_field(at, STR("connection"), list);
    }
    return at;
}

void http1_write_request(struct out *o, const struct head *h, enum http1_framing framing) {
    bool connect = framing == FRAME_TUNNEL && h->protocol.n == 0;
    struct str target = connect ? h->authority : h->target;
    char *begin = (char *)out_reserve(o, h->method.n + target.n + h->authority.n + h->protocol.n + fields_room(h) + FRAMING_ROOM), *at = begin;
    at = put(at, h->method);
    *at++ = ' ';
    at = put(at, target);
    at = put_text(at, " HTTP/1.1\r\n");
    at = put_field(at, STR("host"), h->authority);
    at = put_fields(at, h);
    at = put_framing(at, h, framing);
    at = put_request_connection(at, h, framing == FRAME_TUNNEL && !connect);
    at = put_text(at, "\r\n");
    out_commit(o, (size_t)(at - begin));
}

void http1_write_answer(struct out *o, const struct head *h, enum http1_framing framing, const char *connection) {
    struct str reason = str_of(status_reason(h->status));
    char *begin = (char *)out_reserve(o, reason.n + h->protocol.n + fields_room(h) + FRAMING_ROOM), *at = begin;
    at = put_text(at, "HTTP/1.1 ");
    at = put_number(at, h->status, 10);
    *at++ = ' ';
    at = put(at, reason);
    at = put_text(at, "\r\n");
    at = put_fields(at, h);
    /* RFC 9110 8.6: 1xx and 204 have no Content-Length at all. */
    bool told = framing == FRAME_NONE && h->body == BODY_LENGTH && h->status >= 200 && h->status != 204;
    at = told ? put_length(at, h->length) : put_framing(at, h, framing);
    if (h->status == 101) at = put_field(at, STR("upgrade"), h->protocol);
    if (connection) at = put_field(at, STR("connection"), str_of(connection));
    at = put_text(at, "\r\n");
    out_commit(o, (size_t)(at - begin));
}

void http1_write_chunk_line(struct out *o, size_t n) {
    char *begin = (char *)out_reserve(o, 20), *at = put_number(begin, n, 16);
    at = put_text(at, "\r\n");
    out_commit(o, (size_t)(at - begin));
}

void http1_write_last_chunk(struct out *o, const struct head *trailers) {
    char *begin = (char *)out_reserve(o, 8 + (trailers ? fields_room(trailers) : 0)), *at = put_text(begin, "0\r\n");
    if (trailers) at = put_fields(at, trailers);
    at = put_text(at, "\r\n");
    out_commit(o, (size_t)(at - begin));
}

#define REFUSAL_MAX 512u
/* f->say is ours and static: it has no byte that JSON escapes. */
static int put_refusal(char body[REFUSAL_MAX], const struct fault *f) {
    const char *say = f->say ? f->say : ending_rows[f->why].sentence;
    int n = snprintf(body, REFUSAL_MAX, "{\"type\":\"about:blank\",\"title\":\"%s\",\"status\":%u,\"detail\":\"%s\",\"ending\":\"%s\"}\n",
                     status_reason(f->status), (unsigned)f->status, say, ending_name(f->why));
    assert(n > 0 && (size_t)n < REFUSAL_MAX);
    return n;
}

struct fault http1_refusal(const struct fault *f) {
    char body[REFUSAL_MAX];
    struct fault r = *f;
    if (!r.status) r.status = ending_rows[f->why].http;
    if (r.status < 400) r.status = 400;
    r.body = (uint16_t)put_refusal(body, &r);
    return r;
}

void http1_write_refusal(struct out *o, const struct fault *f) {
    char body[REFUSAL_MAX], head[256];
    int nbody = put_refusal(body, f);
    int nhead = snprintf(head, sizeof head,
                         "HTTP/1.1 %u %s\r\ncontent-type: application/problem+json\r\ncontent-length: %d\r\nconnection: close\r\n\r\n",
                         (unsigned)f->status, status_reason(f->status), nbody);
    assert(nhead > 0 && (size_t)nhead < sizeof head);
    out_copy(o, head, (size_t)nhead);
    out_copy(o, body, (size_t)nbody);
}

/* RFC 9112 3.2: no byte of a target ends the request line early. */
static bool is_target(struct str s) {
    for (size_t i = 0; i < s.n; i++) {
        unsigned char c = (unsigned char)s.p[i];
        if (c <= 0x20 || c >= 0x7f || c == '#') return false;
    }
    return true;
}

static bool request_is_sound(const struct head *h) {
    if (!is_token(h->method) || !is_target(h->target)) return false;
    if (h->authority.n && !http1_is_authority(h->authority)) return false;
    return h->target.n || (h->body == BODY_TUNNEL && h->authority.n);
}

/* A name with a token is a known one, and needs no look. */
static bool is_name(struct str s) {
    for (size_t i = 0; i < s.n; i++)
        if (!http1_token_lower[(uint8_t)s.p[i]]) return false;
    return true;
}

bool http1_is_sound(const struct head *h) {
    if (h->request ? !request_is_sound(h) : h->status < 100 || h->status > 999) return false;
    if (!http1_is_value(h->protocol)) return false;
    for (size_t i = 0; i < h->nfields; i++) {
        const struct field *f = &h->fields[i];
        if (f->name.n && !((f->token || is_name(f->name)) && http1_is_value(f->value))) return false;
    }
    return true;
}
