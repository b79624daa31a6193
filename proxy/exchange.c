// SPDX-License-Identifier: Apache-2.0
// The client's side of an exchange and its way through the steps: see exchange.h. What its client is told is exchange_answer.c, attempts at upstreams
// are attempt.c.
#include "policies/hops.h"
#include "proxy/exchange.h"
#include "proxy/listener.h"
#include <assert.h>

static void exchange_run(struct exchange *x);

/* ---- life ----------------------------------------------------------------------------------------------------------------------------- */
static struct exchange *exchange_of(struct leg *g) { return CONTAINER_OF(g, struct exchange, leg); }
static void on_ended(struct hook *h, const struct context *c, enum ending why);

static void tell_refusal(struct worker *w) {
    metric_inc(&w->metrics, METRIC_MEMORY_REFUSED);
    unsigned n = worker_says(w, &w->refusals);
    if (!n) return;
    LIST_EACH(&w->exchanges, x, struct exchange, node) { exchange_hurry(x); } /* once a second */
    log_warn("load", "worker %u holds %lld bytes for its peers, its share is %lld (limits.memory): %u requests refused or ended", w->index,
             (long long)mem_held, (long long)w->load.memory, n);
}
/* It makes us hold more than there is room for. */
void exchange_has_no_room(struct exchange *x) {
    static const struct fault f = { .why = ENDING_SHED_LOAD, .say = "the gateway holds as much as it may (limits.memory)" };
    if (context_is_ended(&x->context)) return;
    tell_refusal(x->w);
    exchange_fail(x, &f);
}
static struct leg *on_open(struct session *s) {
    struct conn *c = conn_of(s);
    struct worker *w = c->w;
    if (load_room(w) == ROOM_OVER) { /* an answer of our own would need memory, and a client that takes it */
        tell_refusal(w);
        return NULL;
    }
    struct arena a;
    arena_init(&a, &w->arenas);
    struct exchange *x = arena_zalloc(&a, sizeof *x + s->codec->leg_size);
    x->arena = a;
    x->w = w;
    x->conn = c;
    x->listener = listener_of(c);
    x->snapshot = snapshot_ref(x->listener->snapshot);
    x->begun = w->now;
    x->policy = &x->snapshot->config->policies.v[0];
    x->outcome.grpc = -1;
    exchange_time_init(x);
    list_init(&x->attempts);
    list_init(&x->calls);
    body_init(&x->up, &w->chunks);
    body_init(&x->down, &w->chunks);
    context_begin(&w->contexts, &x->context, w->now);
    x->on_end.on_end = on_ended;
    context_hang(&x->context, &x->on_end);
    list_push(&w->exchanges, &x->node);
    w->nexchanges++;
    metric_inc(&w->metrics, METRIC_EXCHANGES_LIVE);
    leg_join(&x->leg, s, &x->arena);
    return &x->leg;
}
void exchange_free(struct exchange *x) {
    struct worker *w = x->w;
    list_del(&x->node);
    body_clear(&x->up);
    body_clear(&x->down);
    bridge_free(x->bridge);
    list_del(&x->after_feed);
    w->nexchanges--;
    w->completed++;
    snapshot_unref(x->snapshot);
    struct arena a = x->arena; /* x itself is in it */
    arena_clear(&a);
}

/* ---- the ending ------------------------------------------------------------------------------------------------------------------------------- */
void exchange_fail(struct exchange *x, const struct fault *f) {
    if (context_is_ended(&x->context)) return;
    x->fault = *f;
    context_end(&x->context, f->why, f->wire);
}
static void fail(struct exchange *x, enum ending why, uint16_t status, const char *say) {
    struct fault f = { .why = why, .status = status, .say = say };
    exchange_fail(x, &f);
}
static void on_ended(struct hook *h, const struct context *c, enum ending why) {
    (void)c;
    struct exchange *x = CONTAINER_OF(h, struct exchange, on_end);
    wheel_disarm(&x->w->wheel, &x->to_head);
    wheel_disarm(&x->w->wheel, &x->idle);
    wheel_disarm(&x->w->wheel, &x->observed);
    tries_stop(x);
    x->ended_at = x->w->now;
    if (why == ENDING_DEADLINE && !instant_is_never(x->context.deadline)) {
        metrics_lateness(&x->w->metrics, instant_until(x->context.deadline, x->w->now));
    }
    body_clear(&x->up);
    if (x->leg.session && why != ENDING_COMPLETED && (x->answered != ANSWERED_WHOLE || why == ENDING_CLIENT_STALLED)) {
        if (ending_rows[why].http > ENDING_CUT && x->rpc) exchange_answer_ending(x, why);
        else exchange_cut(x);
    }
    if (x->leg.session && x->answered == ANSWERED_WHOLE) { /* its afterlife: an answer on its way to a client that is slow to take it */
        wheel_arm(&x->w->wheel, &x->idle, instant_add(x->w->now, x->listener->conf->timeouts.write));
    }
    exchange_settle(x);
}
/* All that is left of it reads an answer and throws it away. */
static bool only_drains(struct exchange *x) {
    LIST_EACH(&x->attempts, a, struct attempt, node) {
        if (!a->draining) return false;
    }
    return true;
}
static void tell(struct exchange *x);
void exchange_settle(struct exchange *x) {
    if (x->step == STEP_finish || !context_is_ended(&x->context) || list_is_linked(&x->on_end.node) || x->leg.session ||
        !list_is_empty(&x->calls) || !only_drains(x)) {
        return;
    }
    if (!x->told_of) tell(x);
    x->told_of = true;
    if (!list_is_empty(&x->attempts)) return;
    x->step = STEP_finish;
    exchange_run(x);
}
/* Whether the work goes on without its client: `ignore`, for what was sent already; and in a mode that does not enforce, which leaves all as it is. A
 * request that has not come whole cannot go on (semantics 5). */
static bool goes_on(const struct exchange *x) {
    const struct cancel_policy *p = &x->policy->cancel;
    if (!x->attempt || !x->up.complete) return false;
    return p->mode != MODE_ENFORCE || (p->client_gone == GONE_IGNORE && x->attempt->conn);
}
/* Semantics 5: until the deadline. Where it has none nobody else would end it: an upstream that never answers would hold it for ever, and so would a
 * stream that never falls silent. What `default` leaves it until the head is not taken away. */
static void bound_unheard(struct exchange *x) {
    span life = exchange_unheard_life(x), to_head = exchange_to_head(x);
    if (!instant_is_never(x->context.deadline)) return;
    if (x->verdict.enforce && !span_is_forever(to_head)) life = span_max(life, to_head);
    if (!span_is_forever(life)) context_limit(&x->context, instant_add(x->w->now, life), 0);
    else if (!x->verdict.enforce || span_is_forever(x->verdict.idle)) exchange_run_idle(x);
}
static void go_on(struct exchange *x, enum ending why) {
    exchange_observe_leaving(x, why);
    x->left_why = why;
    x->discard = true;
    body_clear(&x->down);
    attempt_credit(x, SIZE_MAX);
    bound_unheard(x);
    attempt_call(x, why);
}
static enum ending ending_of_leaving(const struct exchange *x, enum ending why) {
    instant deadline = x->verdict.client_set ? x->verdict.total : INSTANT_NEVER;
    return cancel_client_ending(why, x->w->now, deadline, x->policy->deadline.grace);
}
/* The client is gone, or says so: whether that ends the work is the policy's word. */
static void client_left(struct exchange *x, const struct fault *f) {
    if (context_is_ended(&x->context)) return;
    enum ending why = f->why;
    if (why == ENDING_CLIENT_RESET || why == ENDING_CLIENT_CLOSED) {
        why = ending_of_leaving(x, why);
        if (goes_on(x)) {
            go_on(x, why);
            return;
        }
    }
    x->fault = *f;
    x->fault.why = why;
    context_end(&x->context, why, f->wire);
}

/* ---- the client's events --------------------------------------------------------------------------------------------------------------------------- */
static void on_head(struct leg *g, const struct head *h) {
    struct exchange *x = exchange_of(g);
    x->request = h;
    x->up.complete = h->body == BODY_NONE && str_is_empty(h->protocol);
    x->step = STEP_decide;
    exchange_run(x);
}
static void meet(struct exchange *x);
/* What its client speaks is known; no route, and no policy of one, is asked for where the head is refused. */
static void on_unfit(struct leg *g, const struct head *h, const struct fault *f) {
    struct exchange *x = exchange_of(g);
    if (h) {
        x->request = h;
        meet(x);
    }
    exchange_fail(x, f);
}
static void on_body(struct leg *g, const uint8_t *p, size_t n, bool copied) {
    struct exchange *x = exchange_of(g);
    leg_received(g, n);
    if (context_is_ended(&x->context) || x->answered == ANSWERED_WHOLE) { /* nobody wants it */
        leg_credit(g, n);
        return;
    }
    exchange_moved(x);
    x->up_bytes += n;
    if (x->bridge) exchange_bridge_request(x, p, n, copied);
    else body_push(&x->up, p, n, copied || x->keep || !x->attempt ? NULL : &x->w->borrowers);
    if ((x->bridge || x->leg.uncredited > BODY_WINDOW_FULL) && load_room(x->w) == ROOM_OVER) exchange_has_no_room(x);
    attempt_ready(x);
}
static void on_end(struct leg *g, const struct head *trailers) {
    struct exchange *x = exchange_of(g);
    if (x->up.complete) return;
    if (x->bridge && !context_is_ended(&x->context) && !exchange_bridge_request_end(x)) return;
    x->up.complete = true;
    x->up.trailers = x->bridge ? NULL : exchange_context_trailers(x, trailers);
    exchange_moved(x);
    if (context_is_ended(&x->context)) return;
    exchange_run_to_head(x);
    attempt_ready(x);
}
static void on_half_close(struct leg *g) {
    struct exchange *x = exchange_of(g);
    static const struct fault closed = { .why = ENDING_CLIENT_CLOSED, .say = "the client closed its connection" };
    if (!x->request || !cancel_fin_is_gone(&x->policy->cancel, x->request)) return;
    if (x->policy->cancel.mode != MODE_ENFORCE) { /* it may still read: nothing is cut. So most clients of HTTP/1 leave, and their upstream is told now */
        enum ending why = ending_of_leaving(x, ENDING_CLIENT_CLOSED);
        exchange_observe_leaving(x, why);
        attempt_call(x, why);
        return;
    }
    client_left(x, &closed);
    if (x->discard) leg_cancel(g, ENDING_CLIENT_CLOSED, 0, CANCEL_BAND);
}
static bool is_clients_fault(const struct fault *f) { return f->why == ENDING_CLIENT_ERROR || f->why == ENDING_CLIENT_TIMEOUT; }
/* The codec said it, in place of an answer of ours that is not out. */
static void note_refusal(struct exchange *x, const struct fault *f) {
    bool said = f->status || (f->why == ENDING_CLIENT_ERROR && !context_is_ended(&x->context));
    if (x->leg.out != LEG_NOTHING || !said) return;
    x->status = f->status;
    x->down_bytes = f->body;
}
static void on_closed(struct leg *g, const struct fault *f) {
    struct exchange *x = exchange_of(g);
    x->conn->fault_told = f && is_clients_fault(f);
    x->conn->fault_wire = f ? f->wire : 0;
    if (f) note_refusal(x, f);
    else x->down_bytes = x->down_offset; /* the log may be written before the write of this very output */
    bool served = x->answered == ANSWERED_WHOLE && g->out == LEG_END; /* what it did not send any more nobody waits for */
    leg_leave(g);
    x->conn = NULL;
    if (f && !served) {
        client_left(x, f);
    } else if (x->answered == ANSWERED_WHOLE && x->attempt == NULL) {
        context_end(&x->context, ENDING_COMPLETED, 0);
    } else if (x->answered == ANSWERED_WHOLE) {
        /* The upload was cut short by an early answer: the attempt hears of it as of any ending. */
        context_end(&x->context, ENDING_COMPLETED, 0);
    } else {
        static const struct fault closed = { .why = ENDING_CLIENT_CLOSED, .say = "the client closed its connection" };
        client_left(x, &closed);
    }
    exchange_settle(x);
}
static void pull(struct leg *g, size_t max, struct pulled *v) {
    struct exchange *x = exchange_of(g);
    body_peek(&x->down, x->down_offset, max, v);
    x->down_offset += v->bytes;
    if (!x->cut_pending || v->bytes > 0 || x->down_bytes < x->down_offset) return;
    x->cut_pending = false; /* it waited for its head alone */
    exchange_cut(x);
}
static void pulled(struct leg *g, size_t n) {
    struct exchange *x = exchange_of(g);
    x->down_bytes += n;
    if (x->down_bytes > x->down_offset) x->down_bytes = x->down_offset; /* on_closed had counted it */
    exchange_moved(x);
    if (x->discard) return;
    body_drop(&x->down, x->down_offset);
    attempt_credit(x, x->bridge && body_waiting(&x->down, x->down_offset) == 0 ? SIZE_MAX : n);
    if (x->cut_pending && body_waiting(&x->down, x->down_offset) == 0) {
        x->cut_pending = false;
        exchange_cut(x);
    }
}
static void on_slots(struct session *s) { (void)s; }
static void on_named(struct session *s, struct str key) { (void)s, (void)key; }
static void on_goaway(struct session *s, const struct fault *f) { (void)s, (void)f; }
static void on_fault(struct session *s, const struct fault *f) {
    struct conn *c = conn_of(s);
    c->unread = true;
    bool told = c->fault_told && c->fault_wire == f->wire;
    if (s->live == 0 && !told && is_clients_fault(f)) exchange_log_refused(c, f);
    log_debug("client", "%s", f->say ? f->say : ending_name(f->why));
}
/* A deadline, or a field of the context: no peer may have it dropped on its way (trap T25). */
static bool is_ours(struct session *s, const struct field *f) {
    const struct config *c = listener_of(conn_of(s))->snapshot->config;
    bool ours = dialect_of_field(&c->dialects, f);
    for (size_t i = 0; i < c->policies.n && !ours; i++) ours = fields_has(&c->policies.v[i].context, f); /* which one it gets is not known yet */
    return ours;
}
const struct codec_events exchange_down_events = {
    .on_slots = on_slots, .on_open = on_open, .on_head = on_head, .on_unfit = on_unfit, .on_body = on_body, .on_end = on_end,
    .on_half_close = on_half_close, .on_closed = on_closed, .on_named = on_named, .on_goaway = on_goaway, .on_fault = on_fault, .pull = pull,
    .pulled = pulled, .is_ours = is_ours,
};

/* ---- steps --------------------------------------------------------------------------------------------------------------------------------------------- */
enum flow { FLOW_MORE, FLOW_WAIT };

static enum flow step_read_head(struct exchange *x) {
    (void)x;
    return FLOW_WAIT;
}
static void limit(struct exchange *x) {
    const struct deadline_verdict *v = &x->verdict;
    struct worker_metrics *m = &x->w->metrics;
    if (v->client_set) metric_inc(m, METRIC_DEADLINES);
    if (v->malformed) metric_add(m, METRIC_DEADLINES_MALFORMED, v->malformed);
    if (v->dropped_untrusted) metric_add(m, METRIC_DEADLINES_UNTRUSTED, v->dropped_untrusted);
    x->to_head_left = v->to_head;
    exchange_run_to_head(x);
    if (v->enforce && !instant_is_never(v->fire)) context_limit(&x->context, v->fire, v->source ? v->source->index : 0);
    else if (!instant_is_never(v->fire)) wheel_arm(&x->w->wheel, &x->observed, v->fire);
    if (!x->up.complete || (!span_is_forever(v->idle) && span_is_forever(v->to_head))) exchange_run_idle(x); /* timeouts.body is the listener's, in every mode */
}
/* By weight, along a low-discrepancy sequence (golden ratio): shares hold over any stretch, and no randomness needs explaining. */
static struct upstream *choose_upstream(struct exchange *x, const struct route *r) {
    if (r->upstream_index != SIZE_MAX) return x->snapshot->upstreams[r->upstream_index];
    uint64_t at = (uint64_t)(uint32_t)(x->w->drawn++ * UINT32_C(2654435769)) * r->weight_total >> 32;
    size_t i = 0;
    while (i + 1 < r->nweighted && at >= r->weighted_upto[i]) i++;
    return x->snapshot->upstreams[r->weighted_index[i]];
}
/* Who asks, when, and in which protocol. */
static void meet(struct exchange *x) {
    x->begun = x->moved = x->w->now; /* the clock starts with the complete head (semantics 2.1) */
    x->wall_ns = worker_wall(x->w);
    x->client = arena_copy(&x->arena, conn_peer_text(x->conn)); /* an attempt may still begin when its client has gone */
    x->trusted = x->conn->session.trusted;
    x->secure = x->conn->session.secure;
    x->rpc = x->rpc_up = rpc_recognise(x->request);
    x->verdict.idle = x->verdict.to_head = x->to_head_left = SPAN_FOREVER;
    x->verdict.total = x->verdict.advice = INSTANT_NEVER;
    x->verdict.source_name = STR("none");
    x->step = STEP_relay;
}
static enum flow step_decide(struct exchange *x) {
    const struct head *h = x->request;
    const struct config *conf = x->snapshot->config;
    bool bad = false;
    meet(x);
    if (h->version < x->rpc->wire_version) {
        fail(x, ENDING_NO_ROUTE, 501, "this RPC protocol needs HTTP/2");
    } else if (str_eq(h->method, STR("CONNECT"))) {
        fail(x, ENDING_NO_ROUTE, 501, "CONNECT is not carried");
    } else if (!route_match(conf->routes.v, conf->routes.n, h, x->rpc, &x->arena, &x->match, &bad)) {
        if (bad) fail(x, ENDING_CLIENT_ERROR, 400, "the path is malformed");
        else fail(x, ENDING_NO_ROUTE, 404, "no route matches");
    } else {
        x->policy = x->match.route->use;
        const struct fault *refused = hops_fault(h, x->match.route);
        if (refused) {
            exchange_fail(x, refused);
            return FLOW_WAIT;
        }
        exchange_judge(x);
        limit(x);
        if (x->verdict.refuse != ENDING_NONE) {
            fail(x, x->verdict.refuse, 0, x->verdict.say);
        } else if (!exchange_answer_here(x)) {
            x->step = STEP_ask;
            return FLOW_MORE;
        }
    }
    return FLOW_WAIT;
}
static enum flow step_ask(struct exchange *x) {
    x->step = STEP_relay;
    if (load_room(x->w) != ROOM_PLENTY) {
        exchange_has_no_room(x);
        return FLOW_WAIT;
    }
    x->upstream = choose_upstream(x, x->match.route);
    const struct upstream_conf *u = upstream_conf_of(x->upstream);
    if (!exchange_bridge_begin(x)) return FLOW_WAIT;
    if (u->codec && u->codec->version < x->rpc_up->wire_version) {
        fail(x, ENDING_NO_ROUTE, 501, "the upstream speaks a protocol that cannot carry this RPC");
        return FLOW_WAIT;
    }
    x->keep = (x->bridge || !x->up.complete) && x->policy->retry.buffer > 0 && str_is_empty(x->request->protocol);
    tries_begin(x);
    return FLOW_WAIT;
}
static enum flow step_relay(struct exchange *x) {
    (void)x;
    return FLOW_WAIT;
}
/* Semantics 1, "nothing left": the ending comes with the deadline, or something held it up. */
static bool is_leak(const struct exchange *x) {
    return instant_before(instant_add(x->context.deadline, x->policy->deadline.grace), x->ended_at);
}
/* A line a second: a machine that stands still makes all contexts late at once, and thousands of lines would make them later. */
static void tell_leak(const struct exchange *x) {
    struct worker *w = x->w;
    char id[48];
    metric_inc(&w->metrics, METRIC_CONTEXT_LEAKS);
    unsigned n = worker_says(w, &w->leaks);
    if (!n) return;
    struct str name = exchange_id(x, id);
    log_warn("exchange", "%u contexts outlived their deadline, the last one, %.*s, by %lld ms", n, STR_ARG(name),
             (long long)(instant_until(x->context.deadline, x->ended_at).ns / NS_PER_MS));
}
/* How it ended, to the counters and the log: once, when nothing of that can change any more. */
static void tell(struct exchange *x) {
    exchange_count(x);
    if (is_leak(x)) tell_leak(x);
    exchange_log(x);
}
static enum flow step_finish(struct exchange *x) {
    struct worker *w = x->w;
    wheel_disarm(&w->wheel, &x->idle);
    metric_dec(&w->metrics, METRIC_EXCHANGES_LIVE);
    context_close(&x->context);
    list_del(&x->node);
    list_push(&w->finished, &x->node);
    return FLOW_WAIT;
}
struct step { const char *name; enum flow (*run)(struct exchange *x); };
static const struct step steps[STEPS] = {
#define STEP(n) [STEP_##n] = { #n, step_##n },
    EXCHANGE_STEPS
#undef STEP
};
static void exchange_run(struct exchange *x) {
    do {
        assert(x->step < STEPS);
        log_trace(steps[x->step].name, "exchange %u/%u", x->context.slot, x->context.generation);
    } while (steps[x->step].run(x) == FLOW_MORE);
}
