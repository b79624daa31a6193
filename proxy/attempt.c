// SPDX-License-Identifier: Apache-2.0
// One try at an upstream: it waits for a place, sends the head with what is left, moves the request's body up, and passes the answer on. When its
// context ends it is told by the policy's ladder. What its outcome means, where there may be others, is tries.c's to say.
#include "policies/hops.h"
#include "proxy/call.h"
#include "proxy/listener.h"
#include <assert.h>

static struct attempt *attempt_of(struct leg *g) { return CONTAINER_OF(g, struct attempt, up); }

/* ---- the end of an attempt ---------------------------------------------------------------------------------------------------------------- */
/* It is over for good: nothing of it is left in a queue, on a wheel or on a connection. */
static void attempt_close(struct attempt *a) {
    struct exchange *x = a->x;
    if (a->closed) return;
    a->closed = true;
    list_del(&a->node);
    wheel_disarm(&x->w->wheel, &a->drain);
    wheel_disarm(&x->w->wheel, &a->late);
    context_unhang(&a->on_end);
    context_end(&a->context, ENDING_COMPLETED, 0);
    context_close(&a->context);
    if (a->borrowed) upstream_repay(x->upstream);
    if (x->attempt == a) x->attempt = NULL;
    exchange_settle(x);
}
static void attempt_leave(struct attempt *a) { /* its leg is closed: the connection is free, or gone */
    struct conn *c = a->conn;
    leg_leave(&a->up);
    a->conn = NULL;
    if (c) upstream_release(c);
}

/* The kernel took nothing of it: also where the codec has given it out. */
static bool never_left(const struct attempt *a, const struct fault *f) {
    return f->unprocessed || (a->conn && a->conn->bytes_out == a->sent_at);
}

/* ---- being cancelled -------------------------------------------------------------------------------------------------------------------------- */
/* Why it is cancelled: with its exchange, or, where that goes on without it, as a part that is not needed. */
static enum ending ending_of(const struct attempt *a) {
    return context_is_ended(&a->x->context) ? a->x->context.ending : ENDING_PARENT_CANCELLED;
}
static void on_drain_over(struct timer *t, instant now) {
    struct attempt *a = CONTAINER_OF(t, struct attempt, drain);
    instant silent = instant_add(a->drain_moved, a->drain_silence);
    if (!span_is_forever(a->drain_silence) && instant_before(now, silent)) wheel_arm(&a->x->w->wheel, t, silent);
    else leg_cancel(&a->up, ending_of(a), 0, CANCEL_BAND);
}
/* silence: FOREVER where time is an end. */
static void start_drain(struct attempt *a, span time, span silence, uint64_t bytes) {
    a->draining = true;
    a->drain_silence = silence;
    a->drain_moved = a->x->w->now;
    a->drain_bytes = bytes;
    a->drain.fire = on_drain_over;
    wheel_arm(&a->x->w->wheel, &a->drain, instant_add(a->x->w->now, span_min(time, silence)));
    leg_credit(&a->up, a->up.uncredited);
}
/* `none`: the upstream goes on; its answer is read and discarded, no longer than the request could have lasted. */
static void let_go_on(struct attempt *a) {
    const struct exchange *x = a->x;
    span left = instant_until(x->w->now, x->context.deadline);
    span life = span_is_forever(left) || !span_is_positive(left) ? exchange_unheard_life(x) : left;
    if (x->discard && !x->verdict.enforce) life = span_ns(0); /* it had all that, before it ended */
    start_drain(a, life, span_is_forever(life) ? exchange_silence(x) : SPAN_FOREVER, UINT64_MAX);
}
static bool has_call(const struct ladder *l) {
    for (unsigned i = 0; i < l->n; i++)
        if (l->rung[i] == RUNG_CALL) return true;
    return false;
}
void attempt_call(struct exchange *x, enum ending why) {
    const struct cancel_policy *p = &x->policy->cancel;
    const struct attempt *a = x->attempt;
    if (p->mode != MODE_FORWARD || p->client_gone == GONE_IGNORE || x->called || !a || !a->conn || !a->up.head_taken) return;
    x->called = true;
    struct ladder l = cancel_ladder_in_mode(p, a->conn->session.codec, why, true);
    x->level = cancel_level_of(CANCEL_NONE, a->told.ns > 0);
    struct call *k = has_call(&l) ? call_start(x, why) : NULL;
    if (k) call_beside(k, x->level);
}
/* What enforcing would have achieved, where less is done. */
static void observe(struct attempt *a, enum ending why) {
    if (ending_rows[why].upstream == ENDING_UP_CANCEL && a->up.head_taken && a->up.out == LEG_END) exchange_observe_ending(a->x, a, why);
}
static enum cancel_way tell(struct attempt *a, enum ending why, enum cancel_way want) {
    const struct session *s = a->up.session;
    uint32_t before = s->cancels_deferred;
    enum cancel_way did = leg_cancel(&a->up, why, RESET_UNSAID, want);
    a->x->cancel_deferred |= s->cancels_deferred != before;
    return did;
}
/* The rungs in turn, until one is taken. call: where to note the one that was fired; NULL: another attempt goes on,
 * that it would end, too (trap T44). */
static enum cancel_level climb(struct attempt *a, enum ending why, struct call **call) {
    const struct exchange *x = a->x;
    const struct cancel_policy *p = &x->policy->cancel;
    struct ladder l = cancel_ladder_in_mode(p, a->conn->session.codec, why, a->up.out == LEG_END);
    bool told = a->told.ns > 0;
    if (why != ENDING_PARENT_CANCELLED || context_is_ended(&x->context)) observe(a, why); /* the loser of a hedge is nobody's cancel */
    for (size_t i = 0; i < l.n; i++) {
        enum cancel_way want = cancel_way_of(l.rung[i]);
        if (l.rung[i] == RUNG_NONE) break;
        if (l.rung[i] == RUNG_CALL) { /* fired, and the next rung is taken in the same turn; what never left us needs none */
            if (a->up.head_taken && call && !x->called) *call = call_start(a->x, why);
            continue;
        }
        enum cancel_way did = tell(a, why, want);
        if (did == CANCEL_DRAIN) start_drain(a, p->drain_limit.time, SPAN_FOREVER, p->drain_limit.bytes);
        if (did != CANCEL_NONE) return cancel_level_of(did, told);
    }
    if (!a->up.head_taken && leg_cancel(&a->up, why, 0, CANCEL_NONE) == CANCEL_WITHDRAWN) return LEVEL_WITHDRAWN;
    let_go_on(a);
    return cancel_level_of(CANCEL_NONE, told);
}
static void on_attempt_end(struct hook *h, const struct context *c, enum ending own) {
    (void)c;
    struct attempt *a = CONTAINER_OF(h, struct attempt, on_end);
    struct exchange *x = a->x;
    bool lost = own == ENDING_COMPLETED, late = own == ENDING_DEADLINE && !context_is_ended(&x->context); /* per_try */
    enum ending why = late ? ENDING_TRY_TIMEOUT : lost ? ENDING_PARENT_CANCELLED : x->context.ending;
    enum cancel_level level = LEVEL_NOT_NEEDED;
    struct call *call = NULL;
    if (upstream_leave(&a->place)) {
        level = LEVEL_WITHDRAWN;
    } else if (a->up.session && !a->draining) {
        if (why == ENDING_COMPLETED) leg_cancel(&a->up, why, 0, CANCEL_BAND);
        else level = climb(a, why, lost || (late && tries_go_on(x)) ? NULL : &call);
    } else if (a->draining && late) { /* an answer that was held back takes longer than the attempt may */
        leg_cancel(&a->up, why, 0, CANCEL_BAND);
    } else if (!a->up.session && !lost && ending_rows[why].upstream == ENDING_UP_CANCEL) {
        /* In the turn in which it was to be told: so the log has no level, and says why. Its own ending keeps its own words. */
        x->fault.say = "the upstream had ended it by itself";
    }
    if (lost) {
        metrics_cancel(&x->w->metrics, ENDING_COMPLETED, level);
    } else {
        if (level > x->level) x->level = level;
        if (call) call_beside(call, level); /* it is counted when that is over */
        else if (why != ENDING_COMPLETED) metrics_cancel(&x->w->metrics, why, level);
    }
    if (late && !a->over) {
        struct fault f = { .why = why, .say = "the try took too long" };
        tries_failed(a, &f, false);
    }
    if (!a->up.session) attempt_close(a);
    else exchange_settle(x); /* where it only drains, the log need not wait for that */
}
void attempt_lose(struct attempt *a) { context_end(&a->context, ENDING_COMPLETED, 0); }
/* What has the whole request answers soon, and its connection is good for more. */
void attempt_discard(struct attempt *a) {
    const struct cancel_policy *p = &a->x->policy->cancel;
    if (a->up.out == LEG_END) start_drain(a, p->drain_limit.time, SPAN_FOREVER, p->drain_limit.bytes);
    else attempt_lose(a);
}

/* ---- sending ------------------------------------------------------------------------------------------------------------------------------------ */
/* A client may have tried before, too. */
static void tell_attempts(const struct attempt *a, struct head *up) {
    struct str name = str_of(a->x->rpc_up->attempts_field);
    const struct field *f = head_find_name(up, name, NULL);
    uint64_t before = 0;
    if (f && (!str_to_u64(f->value, &before) || before > UINT32_MAX)) before = 0;
    head_set(up, name, arena_printf(&a->x->arena, "%llu", (unsigned long long)before + a->number - 1));
}
/* The head for this attempt, and what is left in it. Not ENDING_NONE: there is too little. */
static enum ending make_head(struct attempt *a, struct head **out) {
    struct exchange *x = a->x;
    struct head *up = head_clone(x->request, &x->arena);
    const struct route *r = x->match.route;
    route_rewrite(&x->match, &x->arena, up);
    hops_tell(up);
    if (x->bridge) x->bridge->kind->request_head(x->bridge, up);
    span left = deadline_left(&x->policy->deadline, &x->verdict, x->w->now, exchange_to_head(x));
    int64_t wall = x->snapshot->config->needs_dates ? worker_wall(x->w) : 0;
    exchange_context_apply(x, up); /* before our own fields are written */
    span told;
    bool may_shed = x->verdict.let_through == ENDING_NONE;
    enum ending refuse = deadline_tell(&x->policy->deadline, &x->snapshot->config->dialects, x->rpc_up, left, wall, may_shed, up, &told);
    a->would_tell = told.ns > 0;
    if (x->verdict.tell) a->told = told;
    if (refuse != ENDING_NONE && x->verdict.enforce) return refuse;
    if (refuse != ENDING_NONE) tries_would_shed(a);
    struct forward_facts f = { .peer = x->client, .trusted = x->trusted, .secure = x->secure, .version = x->request->version };
    forward_apply(&x->policy->forward, &f, x->request, up);
    if (a->number > 1 && x->rpc_up->attempts_field) tell_attempts(a, up);
    if (r->host == HOST_UPSTREAM) up->authority = upstream_endpoint_host(a->conn);
    route_edit_headers(&r->headers.request, up);
    *out = up;
    return ENDING_NONE;
}
/* The request's body has something for it, or an end. */
static void go_on(struct attempt *a) {
    struct exchange *x = a->x;
    if (!a->up.session || !attempt_is_in_play(a)) return;
    if (x->up.complete && x->up.trailers) leg_send_trailers(&a->up, x->up.trailers);
    if (x->up.complete || body_waiting(&x->up, a->offset) > 0) leg_ready(&a->up);
}
static void on_late(struct timer *t, instant now) {
    (void)now;
    tries_would_time_out(CONTAINER_OF(t, struct attempt, late));
}
static void limit(struct attempt *a) {
    struct exchange *x = a->x;
    if (span_is_forever(x->verdict.per_try)) return;
    instant due = instant_add(x->w->now, x->verdict.per_try);
    if (x->verdict.enforce) {
        context_limit(&a->context, due, 0);
        return;
    }
    a->late.fire = on_late;
    wheel_arm(&x->w->wheel, &a->late, due);
}
static void on_ready(struct place *p, struct conn *c, bool reused) {
    struct attempt *a = CONTAINER_OF(p, struct attempt, place);
    struct exchange *x = a->x;
    a->conn = c;
    a->reused = reused;
    a->sent_at = c->bytes_out;
    a->begun = x->w->now;
    a->heard_at = c->bytes_in;
    if (attempt_is_in_play(a) && !x->attempt->conn) x->attempt = a;
    if (!a->hedge) x->queued = span_add(x->queued, instant_until(a->asked, x->w->now));
    if (!a->over) x->sent_at = x->w->now;
    if (!a->over) x->endpoint = arena_copy(&x->arena, upstream_endpoint_text(c));
    struct fault f = { .why = ENDING_NO_ROUTE, .status = 501, .say = "the upstream speaks a protocol that cannot carry this RPC" };
    struct head *up = NULL;
    if (exchange_is_too_late(x)) {
        f = (struct fault){ .why = ENDING_SHED_LATENCY, .say = "less time is left than answers of this route take" };
    } else if (c->session.codec->version >= x->rpc_up->wire_version) {
        f = (struct fault){ .why = make_head(a, &up), .say = "too little was left to ask the upstream" };
    }
    if (f.why != ENDING_NONE) {
        a->conn = NULL;
        upstream_release(c);
        if (!context_is_ended(&a->context)) tries_unasked(a, &f);
        if (!context_is_ended(&a->context)) attempt_close(a);
        return;
    }
    if (!a->over) x->told = a->told;
    limit(a);
    leg_join(&a->up, &c->session, &x->arena);
    leg_begin(&a->up);
    leg_send_head(&a->up, up);
    go_on(a);
}
static void on_fail(struct place *p, const struct fault *f) {
    struct attempt *a = CONTAINER_OF(p, struct attempt, place);
    struct fault copy = *f;
    if (retry_is_outcome(f->why)) tries_failed(a, &copy, true);
    else tries_unasked(a, &copy); /* our own word: its queue is full */
    attempt_close(a);
}
void attempt_start(struct exchange *x, const struct start *s) {
    struct attempt *a = arena_zalloc(&x->arena, sizeof *a + leg_tail_max());
    a->x = x;
    a->asked = x->w->now;
    a->hedge = s->hedge;
    a->borrowed = s->borrowed;
    context_derive(&a->context, &x->context, x->w->now);
    a->on_end.on_end = on_attempt_end;
    context_hang(&a->context, &a->on_end);
    list_push(&x->attempts, &a->node);
    if (!x->attempt) x->attempt = a;
    if (!s->fresh) {
        x->tries++;
        metric_inc(&x->w->metrics, METRIC_ATTEMPTS);
    }
    a->number = s->fresh ? s->number : x->tries;
    span left = exchange_left(x);
    a->place = (struct place){ .deadline = instant_add(x->w->now, left), .fresh = s->fresh, .tried = s->tried, .on_ready = on_ready, .on_fail = on_fail };
    upstream_ask(x->upstream, &a->place);
}
void attempt_ready(struct exchange *x) {
    LIST_EACH(&x->attempts, a, struct attempt, node) { go_on(a); }
}
void attempt_credit(struct exchange *x, size_t n) {
    struct attempt *a = x->attempt;
    if (!a || !a->up.session || a->draining) return;
    leg_credit(&a->up, n < a->up.uncredited ? n : a->up.uncredited);
}

/* ---- the upstream's events ---------------------------------------------------------------------------------------------------------------------- */
static struct leg *on_open(struct session *s) {
    (void)s;
    return NULL;
}
static void on_head(struct leg *g, const struct head *h) {
    struct attempt *a = attempt_of(g);
    a->head_seen |= !h->interim;
    if (!attempt_is_in_play(a)) return;
    if (h->interim ? tries_interim(a, h) : tries_answered(a, h)) exchange_answer_head(a->x, h);
}
static void on_body(struct leg *g, const uint8_t *p, size_t n, bool copied) {
    struct attempt *a = attempt_of(g);
    leg_received(g, n);
    if (attempt_is_in_play(a) && (a->x->answered != ANSWERED_NOT || a->x->bridge)) {
        exchange_answer_body(a->x, p, n, copied);
        return;
    }
    leg_credit(g, n);
    a->drain_moved = a->x->w->now;
    a->drained += n;
    if (a->draining && a->drained > a->drain_bytes) leg_cancel(g, ending_of(a), 0, CANCEL_BAND);
}
static void on_end(struct leg *g, const struct head *trailers) {
    struct attempt *a = attempt_of(g);
    struct exchange *x = a->x;
    if (!attempt_is_in_play(a)) return;
    bool whole = x->up.complete && body_waiting(&x->up, a->offset) == 0;
    exchange_answer_end(x, trailers);
    /* It answered before it had the whole request: the upload stops here (trap T24). A tunnel's other direction goes on. */
    if (!whole && x->answer && x->answer->body != BODY_TUNNEL) leg_cancel(g, ENDING_COMPLETED, 0, CANCEL_BAND);
}
static void on_closed(struct leg *g, const struct fault *f) {
    struct attempt *a = attempt_of(g);
    struct exchange *x = a->x;
    bool current = attempt_is_in_play(a);
    static const struct fault cut = { .why = ENDING_UPSTREAM_CLOSED, .say = "the upstream closed its connection before its answer was complete" };
    if (!f && current && x->answered != ANSWERED_WHOLE) f = &cut;
    bool unsent = f && never_left(a, f);
    if (a->conn) a->place.tried |= upstream_endpoint_bit(a->conn);
    a->heard |= a->head_seen || (a->conn && !a->conn->session.codec->multiplex && a->conn->bytes_in != a->heard_at);
    attempt_leave(a);
    if (f && current && x->answered != ANSWERED_WHOLE) {
        struct fault copy = *f;
        tries_failed(a, &copy, unsent);
    }
    /* Its context's hook may still be due in this turn: then it closes the attempt. */
    if (!context_is_ended(&a->context) || !list_is_linked(&a->on_end.node)) attempt_close(a);
}
static void pull(struct leg *g, size_t max, struct pulled *v) {
    struct attempt *a = attempt_of(g);
    if (!attempt_is_in_play(a)) {
        *v = (struct pulled){ .nv = 0 };
        return;
    }
    body_peek(&a->x->up, a->offset, max, v);
    a->offset += v->bytes;
}
/* The client may send as much again as whichever attempt came furthest has written: what one before, or beside, it
 * wrote already was given credit for. */
static void credit_upload(struct attempt *a) {
    struct exchange *x = a->x;
    uint64_t n = a->sent > x->up_sent ? a->sent - x->up_sent : 0;
    bool all = x->bridge && body_waiting(&x->up, a->offset) == 0; /* its bytes and the upstream's are not as many */
    x->up_sent += n;
    leg_credit(&x->leg, n < x->leg.uncredited && !all ? (size_t)n : x->leg.uncredited);
}
static void pulled(struct leg *g, size_t n) {
    struct attempt *a = attempt_of(g);
    struct exchange *x = a->x;
    if (!attempt_is_in_play(a)) return;
    exchange_moved(x);
    a->sent += n;
    credit_upload(a);
    if (x->keep && x->up.end > x->policy->retry.buffer) tries_commit(x); /* past the bound the request is not repeatable */
    if (!x->keep && attempt_is_in_play(a)) body_drop(&x->up, a->offset);
}
static void on_slots(struct session *s) { upstream_slots(conn_of(s)); }
static void on_half_close(struct leg *g) { (void)g; }
static void on_named(struct session *s, struct str key) { (void)s, (void)key; }
static void on_goaway(struct session *s, const struct fault *f) {
    (void)f;
    upstream_slots(conn_of(s));
}
static void on_fault(struct session *s, const struct fault *f) {
    log_debug("upstream", "%.*s: %s", STR_ARG(upstream_endpoint_text(conn_of(s))), f->say ? f->say : ending_name(f->why));
}
const struct codec_events exchange_up_events = {
    .on_slots = on_slots, .on_open = on_open, .on_head = on_head, .on_body = on_body, .on_end = on_end, .on_half_close = on_half_close,
    .on_closed = on_closed, .on_named = on_named, .on_goaway = on_goaway, .on_fault = on_fault, .pull = pull, .pulled = pulled,
};
