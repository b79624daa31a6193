// SPDX-License-Identifier: Apache-2.0
// Making a side-channel call: see call.h. It is the third user of connections: one leg up, nothing down.
#include "proxy/call.h"
#include "proxy/listener.h"
#include <assert.h>

#define CALL_TRIES 2u

struct call { /* in the exchange's arena; in exchange.calls until it is over */
    struct exchange *x;
    struct list node;
    enum ending why;
    struct upstream *upstream;
    struct head head;
    struct str body;
    size_t given;               /* bytes of the body */
    struct conn *conn;          /* borrowed; NULL: between tries */
    struct timer timer;
    instant until;
    unsigned tries;
    bool begun;                 /* call_start is over: whose cancel it is has been left to us to count */
    uint16_t status;            /* 0: no answer */
    enum cancel_level beside;   /* what was achieved without it */
    struct leg leg;             /* last: the codec's tail follows */
};
static struct call *call_of(struct leg *g) { return CONTAINER_OF(g, struct call, leg); }

/* ---- the end ------------------------------------------------------------------------------------------------------------------------- */
static void call_over(struct call *k, const char *say) {
    struct exchange *x = k->x;
    struct worker *w = x->w;
    bool told = call_is_answered(k->status);
    wheel_disarm(&w->wheel, &k->timer);
    list_del(&k->node);
    if (told) {
        if (x->level < LEVEL_SIDE_CHANNEL) x->level = LEVEL_SIDE_CHANNEL;
    } else {
        metric_inc(&w->metrics, METRIC_CALL_FAILURES);
        log_warn("call", "%.*s %.*s to %.*s after %s: %s (status %u)", STR_ARG(k->head.method), STR_ARG(k->head.target),
                 STR_ARG(upstream_name(k->upstream)), ending_name(k->why), say, k->status);
    }
    if (!k->begun) return;
    metrics_cancel(&w->metrics, k->why, told && k->beside < LEVEL_SIDE_CHANNEL ? LEVEL_SIDE_CHANNEL : k->beside);
    exchange_settle(x);
}
static void call_dial(struct call *k);
/* A try ended without an answer that counts: once more, where there is time. */
static void call_failed(struct call *k, const char *say) {
    k->conn = NULL;
    if (!k->x->w->stopped && k->tries < CALL_TRIES && instant_before(k->x->w->now, k->until) && k->status < 400) call_dial(k);
    else call_over(k, say);
}
static void on_timer(struct timer *t, instant now) {
    (void)now;
    struct call *k = CONTAINER_OF(t, struct call, timer);
    struct conn *c = k->conn;
    static const struct fault late = { .why = ENDING_TRY_TIMEOUT, .say = "the call took too long" };
    k->tries = CALL_TRIES;
    if (c) conn_lose(c, &late, true); /* on_closed, or on_gone where it was not open yet, ends the call */
    else call_over(k, late.say);
}

/* ---- the leg's events ----------------------------------------------------------------------------------------------------------------- */
static struct leg *on_open(struct session *s) {
    (void)s;
    return NULL;
}
static void on_head(struct leg *g, const struct head *h) {
    if (!h->interim) call_of(g)->status = h->status;
}
static void on_body(struct leg *g, const uint8_t *p, size_t n, bool copied) {
    (void)p, (void)copied;
    leg_received(g, n);
    leg_credit(g, n);
}
static void on_end(struct leg *g, const struct head *trailers) { (void)g, (void)trailers; }
static void on_half_close(struct leg *g) { (void)g; }
static void on_closed(struct leg *g, const struct fault *f) {
    struct call *k = call_of(g);
    struct conn *c = k->conn;
    leg_leave(g);
    if (c) c->owner_data = NULL; /* its end is no news any more */
    if (c && !conn_is_dead(c)) conn_shutdown(c, true);
    k->conn = NULL;
    if (call_is_answered(k->status)) call_over(k, "");
    else call_failed(k, f && f->say ? f->say : "it was refused");
}
static void pull(struct leg *g, size_t max, struct pulled *v) {
    struct call *k = call_of(g);
    size_t n = k->body.n - k->given < max ? k->body.n - k->given : max;
    *v = (struct pulled){ .nv = n > 0, .bytes = n };
    v->v[0] = (struct str){ k->body.p + k->given, n };
    k->given += n;
    v->end = k->given == k->body.n;
}
static void pulled(struct leg *g, size_t n) { (void)g, (void)n; }
static void on_slots(struct session *s) { (void)s; }
static void on_named(struct session *s, struct str key) { (void)s, (void)key; }
static void on_session_fault(struct session *s, const struct fault *f) { (void)s, (void)f; }
static const struct codec_events call_events = {
    .on_slots = on_slots, .on_open = on_open, .on_head = on_head, .on_body = on_body, .on_end = on_end, .on_half_close = on_half_close,
    .on_closed = on_closed, .on_named = on_named, .on_goaway = on_session_fault, .on_fault = on_session_fault, .pull = pull, .pulled = pulled,
};

/* ---- the connection ------------------------------------------------------------------------------------------------------------------------ */
static void on_conn_open(struct conn *c) {
    struct call *k = c->owner_data;
    k->given = 0;
    k->status = 0;
    leg_join(&k->leg, &c->session, &k->x->arena);
    leg_begin(&k->leg);
    leg_send_head(&k->leg, &k->head);
    if (k->body.n) leg_ready(&k->leg);
}
static void on_conn_gone(struct conn *c, const struct fault *f) {
    struct call *k = c->owner_data;
    if (!k || c->session_open) return; /* its leg hears of it */
    c->owner_data = NULL;
    call_failed(k, f && f->say ? f->say : "the connection closed");
}
static const struct conn_owner call_owner = { .on_open = on_conn_open, .on_gone = on_conn_gone };

static void call_dial(struct call *k) {
    memset(&k->leg, 0, sizeof k->leg + leg_tail_max());
    k->tries++;
    k->conn = upstream_dial(k->upstream, &call_events, &call_owner, k);
    if (!k->conn) call_over(k, "no connection could be made");
}

/* ---- the start ----------------------------------------------------------------------------------------------------------------------------- */
/* A rate a policy and worker, as a token bucket of one second's worth, kept as the instant at which it is full again. */
static bool rate_allows(struct worker *w, const struct call_policy *p) {
    struct call_rate *r = w->call_rates;
    while (r && r->policy != p) r = r->next;
    if (!r) {
        r = mem_zalloc(sizeof *r);
        *r = (struct call_rate){ .next = w->call_rates, .policy = p, .full_at = w->now };
        w->call_rates = r;
    }
    int64_t share = config_share((int64_t)p->rate.count, w->count, w->index);
    span each = span_ns(p->rate.per.ns / (share > 0 ? share : 1));
    if (instant_before(r->full_at, w->now)) r->full_at = w->now;
    if (instant_until(w->now, r->full_at).ns > p->rate.per.ns - each.ns) return false;
    r->full_at = instant_add(r->full_at, each);
    return true;
}
static struct upstream *whom(const struct exchange *x, const struct call_policy *p) {
    for (size_t i = 0; p->upstream.name.n && i < x->w->nupstreams; i++) {
        if (str_eq(upstream_name(x->w->upstreams[i]), p->upstream.name)) return x->w->upstreams[i];
    }
    return x->upstream;
}
struct call *call_start(struct exchange *x, enum ending why) {
    const struct call_policy *p = x->policy->cancel.call;
    struct worker *w = x->w;
    if (!p || !call_is_for(p, why)) return NULL;
    struct call *k = arena_zalloc(&x->arena, sizeof *k + leg_tail_max());
    char id[48];
    struct template_facts facts = { .request = x->request, .response = x->answer, .match = &x->match, .context_id = exchange_id(x, id),
                                    .ending = why };
    struct str missing = { 0 };
    k->upstream = whom(x, p);
    struct str authority = upstream_authority(k->upstream);
    if (!call_build(p, &facts, authority.n ? authority : x->request->authority, &x->arena, &k->head, &k->body, &missing)) {
        log_warn("call", "no call after %s: {…%.*s} has no value", ending_name(why), STR_ARG(missing));
        metric_inc(&w->metrics, METRIC_CALL_FAILURES);
        return NULL;
    }
    if (!rate_allows(w, p)) {
        log_warn("call", "no call after %s: its rate is used up", ending_name(why));
        metric_inc(&w->metrics, METRIC_CALL_FAILURES);
        return NULL;
    }
    k->x = x;
    k->why = why;
    k->until = instant_add(w->now, p->timeout);
    k->timer.fire = on_timer;
    list_push(&x->calls, &k->node);
    wheel_arm(&w->wheel, &k->timer, k->until);
    metric_inc(&w->metrics, METRIC_CALLS);
    call_dial(k);
    k->begun = true;
    return list_is_linked(&k->node) ? k : NULL;
}
void call_beside(struct call *k, enum cancel_level level) { k->beside = level; }
