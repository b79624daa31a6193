// SPDX-License-Identifier: Apache-2.0
// Plain HTTP as an RPC protocol: the last that is asked, and it takes all. An ending is a small JSON problem (RFC 9457) that carries its name,
// so that a client can tell our 504 from an upstream's. After the head nothing can be said but that the answer is cut.
#include "codecs/rpc.h"

static bool http_recognise(const struct head *request) {
    (void)request;
    return true;
}

static bool accepts_events(struct str accept) {
    struct str range;
    while (str_split(&accept, ',', &range))
        if (str_eq_nocase(str_trim(str_first(range, str_index(range, ';'))), STR("text/event-stream"))) return true;
    return false;
}

/* Semantics 2.4: tunnels, and Server-Sent Events, which only Accept can show before the answer comes. */
static bool http_is_stream(const struct head *request) {
    if (request->protocol.n || request->body == BODY_TUNNEL) return true;
    for (size_t i = 0; i < request->nfields; i++) {
        const struct field *f = &request->fields[i];
        if (f->token == TOKEN_ACCEPT && !field_is_removed(f) && accepts_events(f->value)) return true;
    }
    return false;
}

/* RFC 8259 7: what a string must escape. Bytes over 0x7f are passed on, since our sentences are UTF-8. */
static struct str json_escaped(struct arena *a, struct str s) {
    char *to = arena_bytes(a, 6 * s.n);
    size_t n = 0;
    for (size_t i = 0; i < s.n; i++) {
        static const char hex[] = "0123456789abcdef", escape[] = { '\\', 'u', '0', '0' };
        unsigned char c = (unsigned char)s.p[i];
        if (c == '"' || c == '\\') to[n++] = '\\';
        if (c >= 0x20 && c != 0x7f) {
            to[n++] = (char)c;
            continue;
        }
        memcpy(to + n, escape, sizeof escape);
        to[n + 4] = hex[c >> 4];
        to[n + 5] = hex[c & 15];
        n += 6;
    }
    return (struct str){ to, n };
}

/* RFC 9457 4.2.1: with about:blank, title should be the status' own phrase. */
static struct str problem(struct arena *a, const struct rpc_answer *what) {
    const char *title = status_reason(what->http);
    struct str detail = json_escaped(a, what->detail);
    return arena_printf(a, "{\"type\":\"about:blank\",\"title\":\"%s\",\"status\":%u,\"ending\":\"%s\"%s%.*s%s}\n",
                        title[0] ? title : ending_rows[what->why].sentence, what->http, ending_name(what->why), detail.n ? ",\"detail\":\"" : "",
                        STR_ARG(detail), detail.n ? "\"" : "");
}

/* RFC 9110 6.4.1: 204 and 304 have no content, whatever a policy says. */
static bool may_have_content(uint16_t status) { return status >= 200 && status != 204 && status != 205 && status != 304; }

static struct str seconds_up(struct arena *a, span s) {
    int64_t seconds = s.ns / NS_PER_S;
    if (s.ns % NS_PER_S) seconds++;
    return arena_printf(a, "%lld", (long long)seconds);
}

static void http_answer(struct arena *a, const struct rpc_answer *what, const struct head *request, struct head *h, struct str *body) {
    (void)request;
    head_init(h, a, false);
    h->status = what->http;
    *body = (struct str){ 0 };
    if (may_have_content(what->http)) {
        struct str text = problem(a, what);
        h->body = BODY_LENGTH;
        h->length = text.n;
        if (!what->head_request) *body = text;
        head_add(h, STR("content-type"), STR("application/problem+json"));
    }
    head_add(h, STR("cache-control"), STR("no-store"));
    if (span_is_positive(what->retry_after)) head_add(h, STR("retry-after"), seconds_up(a, what->retry_after));
}

static bool http_answer_late(struct arena *a, const struct rpc_answer *what, bool aligned, struct head *h, struct str *body) {
    (void)a, (void)what, (void)aligned, (void)h, (void)body;
    return false; /* semantics 4: truncated, so that it is seen */
}

static void http_outcome(const struct head *answer, const struct head *trailers, struct rpc_outcome *o) {
    (void)trailers;
    *o = (struct rpc_outcome){ .http = answer->status, .grpc = -1 };
}

static const struct rpc rpc_http = {
    .name = "http",
    .family = "http",
    .priority = 1000,
    .recognise = http_recognise,
    .is_stream = http_is_stream,
    .answer = http_answer,
    .answer_late = http_answer_late,
    .outcome = http_outcome,
};
RPC_REGISTER(rpc_http);
