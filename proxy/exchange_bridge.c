// SPDX-License-Identifier: Apache-2.0
// An exchange whose client and upstream speak different RPC protocols: its bodies go through a bridge (codecs/bridge.h) on their way into the
// queues, and faults of the translation end it as any other.
#include "codecs/bridge.h"
#include "proxy/exchange.h"

static const char *const spoken[] = { [TRANSLATE_NONE] = "", [TRANSLATE_GRPC] = "grpc" };

/* What the bridge handed on is borrowed where it is a slice of the connection's own input and nobody needs it for longer. */
static void to_upstream(struct bridge *b, const uint8_t *p, size_t n, bool lives) {
    struct exchange *x = b->owner;
    body_push(&x->up, p, n, lives && !x->copied && !x->keep && x->attempt ? &x->w->borrowers : NULL);
}
static void to_client(struct bridge *b, const uint8_t *p, size_t n, bool lives) {
    struct exchange *x = b->owner;
    rpc_follow_bytes(&x->follow, p, n);
    exchange_owe(x, p, n, lives && !x->copied ? &x->w->borrowers : NULL);
}
static bool failed(struct exchange *x, const struct fault *f) {
    if (f) exchange_fail(x, f);
    return f != NULL;
}

/* Whoever waits for a 100 (Continue) would wait in vain: no server of gRPC sends one (RFC 9110 10.1.1). */
static void send_continue(struct exchange *x) {
    const struct field *f = head_find(x->request, TOKEN_EXPECT);
    if (!f || !str_eq_nocase(f->value, STR("100-continue")) || x->request->version < 11 || x->up.complete) return;
    struct head *h = ARENA_NEW(&x->arena, struct head);
    head_init(h, &x->arena, false);
    h->status = 100;
    h->interim = x->continued = true;
    leg_send_head(&x->leg, h);
}
bool exchange_bridge_begin(struct exchange *x) {
    const char *to = spoken[x->match.route->translate];
    struct bridge *b = bridge_new(&x->arena, x->request, x->rpc->name, to);
    if (!b) return true;
    b->owner = x;
    b->up = to_upstream;
    b->down = to_client;
    x->bridge = b;
    x->rpc_up = rpc_by_name(to);
    x->copied = true;
    if (failed(x, b->kind->open(b)) || (x->up.complete && failed(x, b->kind->request_end(b)))) return false;
    send_continue(x);
    return true;
}

/* ---- the request --------------------------------------------------------------------------------------------------------------------------- */
/* Its bytes and the upstream's are not as many: what waits for nobody is credited as a whole. */
void exchange_bridge_request(struct exchange *x, const uint8_t *p, size_t n, bool copied) {
    x->copied = copied;
    if (failed(x, x->bridge->kind->request_body(x->bridge, p, n))) return;
    if (body_waiting(&x->up, x->attempt ? x->attempt->offset : x->up.start) == 0) leg_credit(&x->leg, x->leg.uncredited);
}
bool exchange_bridge_request_end(struct exchange *x) {
    x->copied = true;
    return !failed(x, x->bridge->kind->request_end(x->bridge));
}

/* ---- the answer ---------------------------------------------------------------------------------------------------------------------------- */
bool exchange_bridge_head(struct exchange *x, struct head *down) {
    return x->bridge->kind->answer_head(x->bridge, down);
}
void exchange_bridge_body(struct exchange *x, const uint8_t *p, size_t n, bool copied) {
    x->copied = copied;
    if (failed(x, x->bridge->kind->answer_body(x->bridge, p, n))) return;
    if (body_waiting(&x->down, x->down_offset) == 0) attempt_credit(x, SIZE_MAX);
    else leg_ready(&x->leg);
}
bool exchange_bridge_end(struct exchange *x, const struct head *trailers) {
    x->copied = true;
    if (failed(x, x->bridge->kind->answer_end(x->bridge, trailers))) return false;
    x->outcome.grpc = x->bridge->status;
    return true;
}
