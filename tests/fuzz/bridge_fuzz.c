// SPDX-License-Identifier: Apache-2.0
// Bridges to gRPC under libFuzzer. What must hold: bytes out and faults are the same wherever bytes in are cut; what goes up is messages of gRPC and
// nothing else; what comes down is an answer that the client's own protocol reads to its end, with the status that the upstream gave; and nothing
// is held beyond its limit. Bytes 0 to 4: the request, the cut, where the request's body and the answer's end, and how the upstream ends; what is
// left behind both bodies is an error's details, or the message of a GET.
#include "codecs/bridge.h"
#include "codecs/rpc_inside.h"
#include <stdio.h>
#include <stdlib.h>

#define MUST(what) ((what) ? (void)0 : (fprintf(stderr, "not so: %s\n", #what), abort()))
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct run {
    struct bridge *b;
    struct buffer up, down;
    struct head *down_head;
    const struct fault *fault;
    bool later;
};
static void take_up(struct bridge *b, const uint8_t *p, size_t n, bool lives) {
    (void)lives;
    MUST(n > 0);
    buffer_append(&((struct run *)b->owner)->up, p, n);
}
static void take_down(struct bridge *b, const uint8_t *p, size_t n, bool lives) {
    (void)lives;
    MUST(n > 0);
    buffer_append(&((struct run *)b->owner)->down, p, n);
}

struct given { uint8_t request, how; struct str ask, answer, rest; struct head *head, *reply, *trailers; };

static struct head *request_of(struct arena *a, const struct given *g) {
    static const char *const types[] = { "application/grpc-web+proto", "application/grpc-web-text", "application/connect+json", "application/proto",
                                         "application/json" };
    struct head *h = ARENA_NEW(a, struct head);
    head_init(h, a, true);
    bool get = g->request % 6 == 5;
    h->method = get ? STR("GET") : STR("POST");
    h->target = get ? arena_printf(a, "/a.B/C?encoding=proto&message=%.*s%s", STR_ARG(g->rest), g->request & 64 ? "&base64=1" : "") : STR("/a.B/C");
    h->body = get ? BODY_NONE : g->request & 128 ? BODY_LENGTH : BODY_STREAM;
    h->length = g->ask.n;
    if (get) return h;
    head_add(h, STR("content-type"), str_of(types[g->request % 6]));
    head_add(h, STR("connect-protocol-version"), STR("1"));
    if (g->request & 64) head_add(h, STR("content-encoding"), g->request % 6 < 2 ? STR("identity") : STR("gzip"));
    return h;
}

static void add_status(struct arena *a, const struct given *g, struct head *h) {
    head_add(h, STR("grpc-status"), arena_printf(a, "%u", g->how % 19));
    char *encoded = arena_bytes(a, BASE64_BYTES(g->rest.n));
    head_add(h, STR("grpc-status-details-bin"), (struct str){ encoded, base64_encode((const uint8_t *)g->rest.p, g->rest.n, encoded) });
    head_add(h, STR("grpc-message"), percent_encode(a, g->rest));
}

static struct head *reply_of(struct arena *a, const struct given *g) {
    struct head *h = ARENA_NEW(a, struct head);
    head_init(h, a, false);
    h->status = g->how & 32 ? 503 : 200;
    h->body = g->answer.n || !(g->how & 128) ? BODY_STREAM : BODY_NONE;
    head_add(h, STR("content-type"), g->how & 64 ? STR("text/html") : STR("application/grpc+proto"));
    head_add(h, STR("grpc-encoding"), STR("gzip"));
    if (g->how & 128) add_status(a, g, h);
    return h;
}

static void feed(struct run *r, const struct fault *(*take)(struct bridge *, const uint8_t *, size_t), struct str s, uint8_t at) {
    size_t cut = s.n * at / 256;
    if (!r->fault && cut) r->fault = take(r->b, (const uint8_t *)s.p, cut);
    if (!r->fault && s.n > cut) r->fault = take(r->b, (const uint8_t *)s.p + cut, s.n - cut);
}

/* False: the request is none to translate, since what its query says besides makes it no call of Connect's. */
static bool play(struct run *r, struct arena *a, const struct given *g, uint8_t cut) {
    const char *from = rpc_recognise(g->head)->name;
    *r = (struct run){ .b = bridge_new(a, g->head, from, "grpc") };
    MUST(!r->b == (strcmp(from, "http") == 0));
    if (!r->b) return false;
    r->b->owner = r;
    r->b->up = take_up;
    r->b->down = take_down;
    r->fault = r->b->kind->open(r->b);
    if (!r->fault) r->b->kind->request_head(r->b, head_clone(g->head, a));
    feed(r, r->b->kind->request_body, g->ask, cut);
    if (!r->fault) r->fault = r->b->kind->request_end(r->b);
    if (r->fault) return true;
    r->down_head = head_clone(g->reply, a);
    r->later = !r->b->kind->answer_head(r->b, r->down_head);
    feed(r, r->b->kind->answer_body, g->answer, cut);
    MUST(buffer_size(&r->b->held_down) <= BRIDGE_MESSAGE_MAX);
    if (!r->fault) r->fault = r->b->kind->answer_end(r->b, g->trailers);
    return true;
}

static struct str of(const struct buffer *b) { return (struct str){ (const char *)buffer_data(b), buffer_size(b) }; }

static void check_up(const struct run *r) {
    struct frames f = { 0 };
    struct str s = of(&r->up);
    for (size_t used; s.n; s = str_from(s, used)) {
        enum frames_event ev;
        used = frames_take(&f, (const uint8_t *)s.p, s.n, &ev);
        MUST(used > 0 && used <= s.n && !(frames_flags(&f) & ~FRAME_COMPRESSED && f.nhead == FRAME_HEAD));
    }
    MUST(frames_is_between(&f));
}

/* The client's own reading of it. */
static void check_down(const struct run *r, struct arena *a, const struct given *g) {
    const struct rpc *rpc = rpc_recognise(g->head);
    struct rpc_outcome o;
    struct rpc_follow f;
    if (r->later) MUST(r->down_head->body == BODY_LENGTH && r->down_head->length == buffer_size(&r->down));
    for (size_t i = 0; i < r->down_head->nfields; i++) {
        const struct field *field = &r->down_head->fields[i];
        MUST(field_is_removed(field) || is_field_value(field->value));
    }
    rpc_follow_begin(&f, rpc, a, r->down_head);
    rpc_follow_bytes(&f, buffer_data(&r->down), buffer_size(&r->down));
    MUST(!f.aligned || r->down_head->body == BODY_NONE);
    rpc->outcome(r->down_head, NULL, &o);
    int16_t said = o.grpc >= 0 ? o.grpc : rpc->said(&f, r->down_head);
    int16_t wanted = strcmp(rpc->name, "connect") == 0 && r->b->status >= GRPC_STATUSES ? GRPC_UNKNOWN : r->b->status;
    MUST(r->b->status >= 0);
    MUST(said == wanted || f.nkept == FOLLOW_KEEP);
}

static void check(const struct run *whole, const struct run *parts, struct arena *a, const struct given *g) {
    MUST(!whole->fault == !parts->fault && (!whole->fault || whole->fault->why == parts->fault->why)); /* of two faults, the one that is seen first */
    if (whole->fault) return;
    check_up(whole);
    check_down(whole, a, g);
    check_down(parts, a, g);
    MUST(str_eq(of(&whole->up), of(&parts->up)));
    MUST(g->request % 6 == 1 || str_eq(of(&whole->down), of(&parts->down))); /* text is padded where it was cut */
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size < 5) return 0;
    struct arena a;
    arena_init(&a, NULL);
    struct str s = arena_copy(&a, (struct str){ (const char *)data + 5, size - 5 });
    struct given g = { .request = data[0], .how = data[4], .ask = str_first(s, s.n * data[2] / 255) };
    g.rest = str_from(s, g.ask.n);
    g.answer = str_first(g.rest, g.rest.n * data[3] / 255);
    g.rest = str_from(g.rest, g.answer.n);
    g.head = request_of(&a, &g);
    if (g.request % 6 == 5) g.ask.n = 0;
    g.reply = reply_of(&a, &g);
    if (!(g.how & 128)) {
        g.trailers = ARENA_NEW(&a, struct head);
        head_init(g.trailers, &a, false);
        add_status(&a, &g, g.trailers);
        head_add(g.trailers, STR("x"), STR("1"));
    }
    struct run whole, parts;
    bool bridged = play(&whole, &a, &g, 0);
    MUST(play(&parts, &a, &g, data[1]) == bridged);
    if (bridged) check(&whole, &parts, &a, &g);
    struct run *runs[] = { &whole, &parts };
    for (int i = 0; i < 2; i++) {
        bridge_free(runs[i]->b);
        buffer_free(&runs[i]->up);
        buffer_free(&runs[i]->down);
    }
    arena_clear(&a);
    return 0;
}
