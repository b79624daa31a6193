// SPDX-License-Identifier: Apache-2.0
// gRPC over HTTP/2. An ending is always HTTP 200 with a status of gRPC's own: a bare 504 would be read as UNAVAILABLE and retried, though the
// time is up. Before the head the answer is trailers-only; after it trailers, where a message ends there.
#include "codecs/rpc.h"
#include "core/instant.h"

/* gRPC over HTTP/2, "Requests": "application/grpc" [("+proto" / "+json" / {custom})], parameters tolerated. Not application/grpc-web. */
static bool grpc_recognise(const struct head *request) {
    static const struct str type = STR_INIT("application/grpc");
    const struct field *f = head_find(request, TOKEN_CONTENT_TYPE);
    if (!f || f->value.n < type.n || !str_eq_nocase(str_first(f->value, type.n), type)) return false;
    struct str rest = str_from(f->value, type.n);
    return rest.n == 0 || rest.p[0] == '+' || rest.p[0] == ';' || rest.p[0] == ' ' || rest.p[0] == '\t';
}

/* Semantics 2.4: its head does not show whether a method streams, so what has no deadline may. */
static bool grpc_is_stream(const struct head *request) { return head_find_name(request, STR("grpc-timeout"), NULL) == NULL; }

/* gRPC over HTTP/2, "Responses": Percent-Byte-Unencoded is %x20-24 and %x26-7E. */
static struct str percent_encoded(struct arena *a, struct str s) {
    static const char hex[] = "0123456789ABCDEF";
    char *to = arena_bytes(a, 3 * s.n);
    size_t n = 0;
    for (size_t i = 0; i < s.n; i++) {
        unsigned char c = (unsigned char)s.p[i];
        if (c >= 0x20 && c <= 0x7e && c != '%') {
            to[n++] = (char)c;
            continue;
        }
        to[n++] = '%';
        to[n++] = hex[c >> 4];
        to[n++] = hex[c & 15];
    }
    return (struct str){ to, n };
}

static void add_status(struct arena *a, const struct rpc_answer *what, struct head *h) {
    struct str say = what->detail.n ? what->detail : str_of(ending_rows[what->why].sentence);
    head_add(h, STR("grpc-status"), arena_printf(a, "%u", what->grpc));
    head_add(h, STR("grpc-message"), percent_encoded(a, say));
    /* gRFC A6: a server's pushback; rounded up, since earlier than asked is too early. */
    if (!span_is_positive(what->retry_after)) return;
    int64_t ms = what->retry_after.ns / NS_PER_MS + (what->retry_after.ns % NS_PER_MS != 0);
    head_add(h, STR("grpc-retry-pushback-ms"), arena_printf(a, "%lld", (long long)ms));
}

static void grpc_answer(struct arena *a, const struct rpc_answer *what, const struct head *request, struct head *h, struct str *body) {
    (void)request;
    head_init(h, a, false);
    h->status = 200;
    h->body = BODY_NONE;
    *body = (struct str){ 0 };
    head_add(h, STR("content-type"), STR("application/grpc"));
    add_status(a, what, h);
}

static bool grpc_answer_late(struct arena *a, const struct rpc_answer *what, bool aligned, struct head *h, struct str *body) {
    *body = (struct str){ 0 };
    if (!aligned) return false;
    head_init(h, a, false);
    add_status(a, what, h);
    return true;
}

/* A status that is no number says nothing that anybody could act upon: UNKNOWN (2). */
static bool status_in(const struct head *h, int16_t *status) {
    const struct field *f = h ? head_find(h, TOKEN_GRPC_STATUS) : NULL;
    uint64_t v = 0;
    if (!f) return false;
    *status = str_to_u64(f->value, &v) && v <= INT16_MAX ? (int16_t)v : 2;
    return true;
}

static void grpc_outcome(const struct head *answer, const struct head *trailers, struct rpc_outcome *o) {
    *o = (struct rpc_outcome){ .http = answer->status, .grpc = -1 };
    if (!status_in(trailers, &o->grpc)) status_in(answer, &o->grpc);
}

static const struct rpc rpc_grpc = {
    .name = "grpc",
    .family = "grpc",
    .priority = 10,
    .recognise = grpc_recognise,
    .is_stream = grpc_is_stream,
    .answer = grpc_answer,
    .answer_late = grpc_answer_late,
    .outcome = grpc_outcome,
};
RPC_REGISTER(rpc_grpc);
