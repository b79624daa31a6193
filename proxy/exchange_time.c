// SPDX-License-Identifier: Apache-2.0
// The clocks of an exchange: what is left of its deadlines, the default that ends with the answer's head, and whom it waits for meanwhile, for how
// long. In modes that enforce nothing they run as well, and what fires first is noted (semantics 2.9).
#include "proxy/exchange.h"
#include "proxy/listener.h"

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
/* Whom the exchange waits for, and how long that may last. */
struct patience { span limit; enum ending why; const char *say; };
static struct patience patience_of(const struct exchange *x) {
    const struct listener_conf *l = x->listener->conf;
    const struct attempt *a = x->attempt;
    if (!x->discard && (body_waiting(&x->down, x->down_offset) > 0 || x->answered == ANSWERED_WHOLE)) { /* its end may need a window, too */
        return (struct patience){ l->timeouts.write, ENDING_CLIENT_STALLED, "the client took no bytes of the answer" };
    }
    if (!x->up.complete && x->answered != ANSWERED_WHOLE && body_waiting(&x->up, a ? a->offset : x->up.start) == 0 &&
        x->request->body != BODY_TUNNEL && !str_eq(x->request->protocol, STR("websocket"))) {
        return (struct patience){ l->timeouts.body, ENDING_CLIENT_TIMEOUT, "the request's body did not arrive in time" };
    }
    if (only_silence_ends(x)) return (struct patience){ exchange_silence(x), ENDING_UPSTREAM_IDLE, "an upstream that nobody waits for said nothing in time" };
    bool upload = a && a->conn && body_waiting(&x->up, a->offset) > 0;
    bool waits = !x->waiting && (x->answered == ANSWERED_HEAD || upload || span_is_forever(x->to_head_left)); /* a back-off has a bound of its own */
    return (struct patience){ waits ? x->verdict.idle : SPAN_FOREVER, ENDING_UPSTREAM_IDLE, "no byte of a body moved in time" };
}
/* What a connection still has to write moves without the exchange: a slow peer is not a stalled one (trap T6). */
static instant later_move(instant moved, const struct conn *c) {
    return c && !buffer_is_empty(&c->backlog) && instant_before(moved, c->moved) ? c->moved : moved;
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
    instant due = instant_add(later_move(later_move(x->moved, x->conn), x->attempt ? x->attempt->conn : NULL), p.limit);
    if (p.why == ENDING_UPSTREAM_IDLE && !x->verdict.enforce && !only_silence_ends(x) && !instant_before(now, due)) {
        exchange_would(x, p.why);
        due = INSTANT_NEVER;
    }
    if (instant_before(now, due)) {
        wheel_arm(&x->w->wheel, t, instant_min(due, instant_add(now, shortest_patience(x))));
        return;
    }
    struct fault f = { .why = p.why, .say = p.say };
    exchange_fail(x, &f);
}
void exchange_time_init(struct exchange *x) {
    x->moved = x->w->now;
    x->to_head.fire = on_to_head;
    x->idle.fire = on_idle;
    x->observed.fire = on_observed;
}
