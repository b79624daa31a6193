// SPDX-License-Identifier: Apache-2.0
// Making a side-channel call: see call.h. What goes out is an errand; here are its tries, its rate, and what it achieved.
#include "proxy/call.h"
#include "proxy/errand.h"

#define CALL_TRIES 2u

struct call { /* in the exchange's arena; in exchange.calls until it is over */
    struct exchange *x;
    struct list node;
    enum ending why;
    struct upstream *upstream;
    struct head head;
    struct timer timer;
    instant until;
    unsigned tries;
    bool begun;                 /* call_start is over: whose cancel it is has been left to us to count */
    enum cancel_level beside;   /* what was achieved without it */
    struct errand errand;       /* last: the codec's tail follows */
};

/* ---- the end ------------------------------------------------------------------------------------------------------------------------- */
static uint16_t status_of(const struct call *k) { return k->errand.answer ? k->errand.answer->status : 0; }
static void call_over(struct call *k, const char *say) {
    struct exchange *x = k->x;
    struct worker *w = x->w;
    bool told = call_is_answered(status_of(k));
    wheel_disarm(&w->wheel, &k->timer);
    list_del(&k->node);
    if (told) {
        if (x->level < LEVEL_SIDE_CHANNEL) x->level = LEVEL_SIDE_CHANNEL;
    } else {
        metric_inc(&w->metrics, METRIC_CALL_FAILURES);
        log_warn("call", "%.*s %.*s to %.*s after %s: %s (status %u)", STR_ARG(k->head.method), STR_ARG(k->head.target),
                 STR_ARG(upstream_name(k->upstream)), ending_name(k->why), say, status_of(k));
    }
    if (!k->begun) return;
    metrics_cancel(&w->metrics, k->why, told && k->beside < LEVEL_SIDE_CHANNEL ? LEVEL_SIDE_CHANNEL : k->beside);
    tries_told(x);
    exchange_settle(x);
}
static void call_try(struct call *k) {
    k->tries++;
    if (errand_go(&k->errand, k->upstream, NULL)) call_over(k, "no connection could be made");
}
/* A try is over. Without an answer that counts: once more, where there is time. */
static void on_over(struct errand *e, const char *say) {
    struct call *k = CONTAINER_OF(e, struct call, errand);
    struct worker *w = k->x->w;
    bool again = !w->stopped && k->tries < CALL_TRIES && instant_before(w->now, k->until) && status_of(k) < 400;
    if (again && !call_is_answered(status_of(k))) call_try(k);
    else call_over(k, say ? say : "it was refused");
}
static void give_up(struct call *k, const char *say) {
    errand_drop(&k->errand);
    call_over(k, say);
}
static void on_timer(struct timer *t, instant now) {
    (void)now;
    give_up(CONTAINER_OF(t, struct call, timer), "the call took too long");
}
void calls_off(struct exchange *x) {
    while (!list_is_empty(&x->calls)) give_up(LIST_OF(x->calls.next, struct call, node), "another attempt could wait no longer");
}

/* ---- the start ----------------------------------------------------------------------------------------------------------------------------- */
/* A rate a policy and worker, as a token bucket of one second's worth, kept as the instant at which it is whole again. */
static bool rate_allows(const struct exchange *x, const struct call_policy *p) {
    const struct worker *w = x->w;
    instant *whole_at = &x->snapshot->calls_whole_at[x->policy - x->snapshot->config->policies.v];
    int64_t share = config_share((int64_t)p->rate.count, w->count, w->index);
    span each = span_ns(p->rate.per.ns / (share > 0 ? share : 1));
    if (instant_before(*whole_at, w->now)) *whole_at = w->now;
    if (instant_until(w->now, *whole_at).ns > p->rate.per.ns - each.ns) return false;
    *whole_at = instant_add(*whole_at, each);
    return true;
}
static struct upstream *whom(const struct exchange *x, const struct call_policy *p) {
    const struct snapshot *s = x->snapshot;
    for (size_t i = 0; p->upstream.name.n && i < s->nupstreams; i++) {
        if (str_eq(upstream_name(s->upstreams[i]), p->upstream.name)) return s->upstreams[i];
    }
    return x->upstream;
}
static struct call *not_made(struct worker *w, enum ending why, struct str say) {
    metric_inc(&w->metrics, METRIC_CALL_FAILURES);
    unsigned n = worker_says(w, &w->calls_unmade);
    if (n) log_warn("call", "%u calls were not made, the last one after %s: %.*s", n, ending_name(why), STR_ARG(say));
    return NULL;
}
struct call *call_start(struct exchange *x, enum ending why) {
    const struct call_policy *p = x->policy->cancel.call;
    struct worker *w = x->w;
    if (!p || !call_is_for(p, why)) return NULL;
    struct call *k = arena_zalloc(&x->arena, sizeof *k + leg_tail_max());
    char id[48];
    struct template_facts facts = { .request = x->request, .response = x->answer, .match = &x->match, .context_id = exchange_id(x, id),
                                    .ending = why };
    struct str fault = { 0 };
    k->upstream = whom(x, p);
    struct str authority = upstream_authority(k->upstream);
    if (!call_build(p, &facts, authority.n ? authority : x->request->authority, &x->arena, &k->head, &k->errand.body, &fault)) {
        return not_made(w, why, fault);
    }
    if (!rate_allows(x, p)) {
        return not_made(w, why, STR("its rate is used up"));
    }
    k->x = x;
    k->why = why;
    k->until = instant_add(w->now, p->timeout);
    k->timer.fire = on_timer;
    k->errand.arena = &x->arena;
    k->errand.head = &k->head;
    k->errand.on_over = on_over;
    list_push(&x->calls, &k->node);
    wheel_arm(&w->wheel, &k->timer, k->until);
    metric_inc(&w->metrics, METRIC_CALLS);
    call_try(k);
    k->begun = true;
    return list_is_linked(&k->node) ? k : NULL;
}
void call_beside(struct call *k, enum cancel_level level) { k->beside = level; }
