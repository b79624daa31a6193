// SPDX-License-Identifier: Apache-2.0
// The clocks of an exchange: what is left of its deadlines, the default that ends with the answer's head, and whom it waits for meanwhile, for how
// long. In modes that enforce nothing they run as well, and what fires first is noted (semantics 2.9).
#include "proxy/exchange.h"
#include "proxy/listener.h"

#define HURRY span_s(5)
#define LOOKS 8 /* at a client that is nearly too slow, in the time of its limit: it is not to be the timer's busiest customer */

span exchange_to_head(const struct exchange *x) {
    if (x->answered != ANSWERED_NOT) return SPAN_FOREVER;
    return x->to_head_due.ns ? instant_until(x->w->now, x->to_head_due) : x->to_head_left;
}
span exchange_left(const struct exchange *x) { return x->verdict.enforce ? exchange_left_by_clock(x) : SPAN_FOREVER; }
span exchange_left_by_clock(const struct exchange *x) {
    return span_min(instant_until(x->w->now, x->verdict.total), exchange_to_head(x));
}
static void on_to_head(struct timer *t, instant now) {
    (void)now;
    struct exchange *x = CONTAINER_OF(t, struct exchange, to_head);
    x->to_head_left = span_ns(0);
    if (x->verdict.enforce) context_end(&x->context, ENDING_DEADLINE, 0);
    else exchange_would(x, ENDING_DEADLINE);
}
static void on_observed(struct timer *t, instant now) {
    (void)now;
    exchange_would(CONTAINER_OF(t, struct exchange, observed), ENDING_DEADLINE);
}
/* The default deadline is paused while the request's body still arrives (semantics 2.4). What follows the head of who asks for a tunnel is none. */
void exchange_run_to_head(struct exchange *x) {
    if (span_is_forever(x->to_head_left) || x->answered != ANSWERED_NOT || (!x->up.complete && str_is_empty(x->request->protocol))) return;
    x->to_head_due = instant_add(x->w->now, x->to_head_left);
    wheel_arm(&x->w->wheel, &x->to_head, x->to_head_due);
}
/* The timer looks at least as often as the shortest limit: whom the exchange waits for may have changed meanwhile. */
static span shortest_patience(const struct exchange *x) {
    const struct listener_conf *l = x->listener->conf;
    return span_min(exchange_silence(x), span_min(l->timeouts.body, l->timeouts.write));
}
void exchange_run_idle(struct exchange *x) {
    x->moved = x->w->now;
    if (!timer_is_armed(&x->idle)) wheel_arm(&x->w->wheel, &x->idle, instant_add(x->moved, shortest_patience(x)));
}
/* A byte of a body moved. */
void exchange_moved(struct exchange *x) { x->moved = x->w->now; }
span exchange_silence(const struct exchange *x) { return span_is_forever(x->verdict.idle) ? x->policy->deadline.idle : x->verdict.idle; }
span exchange_unheard_life(const struct exchange *x) {
    const struct policy *p = x->policy;
    return span_is_forever(p->deadline.max) && span_is_forever(exchange_silence(x)) ? p->cancel.drain_limit.time : p->deadline.max;
}
/* It goes on without its client, in a mode that enforces no deadline, and max is none. */
static bool only_silence_ends(const struct exchange *x) {
    return x->discard && !x->verdict.enforce && instant_is_never(x->context.deadline);
}
static bool has_backlog(const struct conn *c) { return c && !buffer_is_empty(&c->backlog); }
/* A client that streams may have nothing to say; one that has part of its answer already may be asked for the next of the request. */
static bool sends_what_it_has(const struct exchange *x) {
    bool stream = x->verdict.stream && (strcmp(x->rpc->family, "http") != 0 || x->policy->deadline.streaming.detect == STREAM_ALWAYS);
    return stream || x->answered != ANSWERED_NOT;
}
/* Whom the exchange waits for, and how long that may last. */
struct patience { span limit; enum ending why; const char *say, *slow; }; /* slow: what is said where its rate is too low; NULL: any will do */
static struct patience patience_of(const struct exchange *x) {
    const struct listener_conf *l = x->listener->conf;
    const struct attempt *a = x->attempt;
    if (!x->discard && (body_waiting(&x->down, x->down_offset) > 0 || x->answered == ANSWERED_WHOLE)) { /* its end may need a window, too */
        /* What the socket refuses moves without the exchange, and the connection has that limit, and looks closer (trap T6). */
        if (has_backlog(x->conn)) return (struct patience){ SPAN_FOREVER, ENDING_CLIENT_STALLED, NULL, NULL };
        return (struct patience){ l->timeouts.write, ENDING_CLIENT_STALLED, "the client took no bytes of the answer", "the client took the answer too slowly" };
    }
    if (!x->up.complete && x->answered != ANSWERED_WHOLE && body_waiting(&x->up, a ? a->offset : x->up.start) == 0 &&
        x->request->body != BODY_TUNNEL && !str_eq(x->request->protocol, STR("websocket"))) {
        const char *slow = sends_what_it_has(x) ? NULL : "the request's body arrived too slowly";
        return (struct patience){ l->timeouts.body, ENDING_CLIENT_TIMEOUT, "the request's body did not arrive in time", slow };
    }
    if (only_silence_ends(x)) return (struct patience){ exchange_silence(x), ENDING_UPSTREAM_IDLE, "an upstream that nobody waits for said nothing in time", NULL };
    bool upload = a && a->conn && body_waiting(&x->up, a->offset) > 0;
    bool waits = !x->waiting && (x->answered == ANSWERED_HEAD || upload || span_is_forever(x->to_head_left)); /* a back-off has a bound of its own */
    return (struct patience){ waits ? x->verdict.idle : SPAN_FOREVER, ENDING_UPSTREAM_IDLE, "no byte of a body moved in time", NULL };
}
static instant later_move(instant moved, const struct conn *c) { return has_backlog(c) && instant_before(moved, c->moved) ? c->moved : moved; }
/* How long until the client is too slow, if no more moves: a bucket of p->limit that runs out with time and fills with bytes. Only the timer looks, as
 * it does anyway, so that bytes cost nothing; what moved between two looks may have moved just before the second. */
static span slack(struct exchange *x, const struct patience *p, instant now) {
    const span per_byte = config_per_byte(x->listener->conf->timeouts.min_rate);
    const struct pace before = x->pace;
    bool takes = p->why == ENDING_CLIENT_STALLED;
    x->pace = (struct pace){ .of = ENDING_NONE, .looked = now, .moved = x->up_bytes + x->down_bytes };
    if (!p->slow || per_byte.ns == 0 || span_is_forever(p->limit)) return SPAN_FOREVER;
    instant since = takes ? x->owed : x->begun;
    bool goes_on = before.of == p->why && !instant_before(before.looked, since);
    if (instant_before(since, before.looked)) since = before.looked;
    int64_t earned = i64_mul_sat((int64_t)(x->pace.moved - before.moved), per_byte.ns);
    span left = span_sub(span_add(goes_on ? before.left : p->limit, span_ns(earned)), instant_until(since, now));
    x->pace.of = (uint8_t)p->why;
    return x->pace.left = span_min(left, p->limit);
}
void exchange_hurry(struct exchange *x) {
    if (context_is_ended(&x->context) || x->step != STEP_relay) return;
    struct patience p = patience_of(x);
    if (!p.slow || instant_before(x->w->now, instant_add(x->moved, HURRY))) return;
    exchange_fail(x, &(struct fault){ .why = p.why, .say = p.say });
}
static void on_idle(struct timer *t, instant now) {
    struct exchange *x = CONTAINER_OF(t, struct exchange, idle);
    if (context_is_ended(&x->context)) { /* its afterlife: what was to be delivered, or discarded */
        exchange_cut(x);
        return;
    }
    if (x->answered == ANSWERED_WHOLE && body_waiting(&x->down, x->down_offset) == 0) { /* the rest of an upload that nobody wants */
        if (!x->up.complete) leg_cancel(&x->leg, ENDING_COMPLETED, 0, CANCEL_DRAIN);
        if (x->discard || x->leg.out == LEG_END) return;
    }
    struct patience p = patience_of(x);
    instant due = instant_add(later_move(x->moved, x->attempt ? x->attempt->conn : NULL), p.limit);
    if (p.why == ENDING_UPSTREAM_IDLE && !x->verdict.enforce && !only_silence_ends(x) && !instant_before(now, due)) {
        exchange_would(x, p.why);
        due = INSTANT_NEVER;
    }
    span left = slack(x, &p, now);
    if (instant_before(now, due) && span_is_positive(left)) {
        span next = span_min(span_max(left, span_ns(p.limit.ns / LOOKS)), shortest_patience(x));
        wheel_arm(&x->w->wheel, t, instant_min(due, instant_add(now, next)));
        return;
    }
    struct fault f = { .why = p.why, .say = instant_before(now, due) ? p.slow : p.say };
    exchange_fail(x, &f);
}
void exchange_time_init(struct exchange *x) {
    x->moved = x->w->now;
    x->to_head.fire = on_to_head;
    x->idle.fire = on_idle;
    x->observed.fire = on_observed;
}
