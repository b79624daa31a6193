// SPDX-License-Identifier: Apache-2.0
// Plain HTTP as an RPC protocol: the last that is asked, and it takes all. An ending is a small JSON problem (RFC 9457) that carries its name,
// so that a client can tell our 504 from an upstream's. After the head nothing can be said but that the answer is cut, where it is.
#include "codecs/rpc.h"
#include "codecs/rpc_inside.h"

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

/* RFC 9457 4.2.1: with about:blank, title should be the status' own phrase. */
static struct str problem(struct arena *a, const struct rpc_answer *what) {
    const char *title = status_reason(what->http);
    struct str detail = json_quote(a, what->detail);
    return arena_printf(a, "{\"type\":\"about:blank\",\"title\":\"%s\",\"status\":%u,\"ending\":\"%s\"%s%.*s}\n",
                        title[0] ? title : ending_rows[what->why].sentence, what->http, ending_name(what->why),
                        what->detail.n ? ",\"detail\":" : "", what->detail.n ? (int)detail.n : 0, detail.p);
}

/* RFC 9110 6.4.1: 204 and 304 have no content, whatever a policy says. */
static bool may_have_content(uint16_t status) { return status >= 200 && status != 204 && status != 205 && status != 304; }

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
    if (span_is_positive(what->retry_after)) head_add(h, STR("retry-after"), rpc_seconds_up(a, what->retry_after));
}

static bool http_answer_late(struct arena *a, const struct rpc_answer *what, const struct rpc_follow *f, struct head *h, struct str *body) {
    *body = (struct str){ 0 };
    head_init(h, a, false);
    return rpc_follow_has_all(f, what->why); /* else, semantics 4: truncated, so that it is seen */
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
