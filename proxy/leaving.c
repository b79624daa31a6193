// SPDX-License-Identifier: Apache-2.0
// The two ends of what has time to go: see leaving.h. All of the worker is walked, as at the end of its drain: that is twice in a reload's life.
#include "proxy/leaving.h"
#include "proxy/exchange.h"
#include "proxy/listener.h"

#define AFTERLIFE span_s(1) /* for the last answers, and for peers to close */

static bool has_exchange(const struct leaving *l, const struct exchange *x) {
    if (l->listener) return x->conn && listener_of(x->conn) == l->listener;
    return !l->upstream || exchange_asks(x, l->upstream);
}
static bool has_conn(const struct leaving *l, const struct conn *c) {
    if (l->listener) return listener_has(l->listener, c);
    return !l->upstream || upstream_has(l->upstream, c);
}
static struct fault fault_of(const struct leaving *l) {
    const char *say = l->listener ? "a reload removed or changed its listener, and drain_removed is over"
                    : l->upstream ? "a reload removed its upstream, and drain_removed is over" : NULL;
    return (struct fault){ .why = ENDING_SHUTDOWN, .say = say };
}
static size_t end_exchanges(const struct leaving *l) {
    struct fault f = fault_of(l);
    size_t n = 0;
    LIST_EACH(&l->w->exchanges, x, struct exchange, node) {
        if (context_is_ended(&x->context) || !has_exchange(l, x)) continue;
        exchange_fail(x, &f);
        n++;
    }
    return n;
}
static void say_ended(const struct leaving *l, size_t n) {
    if (!l->listener && !l->upstream) {
        log_warn("worker", "drain time is over: %zu exchanges are ended", n);
        return;
    }
    struct str name = l->listener ? l->listener->name : upstream_name(l->upstream);
    log_warn("reload", "%s %.*s, which a reload removed%s: drain_removed is over, %zu exchanges are ended", l->listener ? "listener" : "upstream", STR_ARG(name),
             l->listener ? " or changed" : "", n);
}
/* The afterlife of what was ended is over, too: who still flushes, lingers or drains is dropped. */
static void on_drop(struct timer *t, instant now) {
    struct leaving *l = CONTAINER_OF(t, struct leaving, timer);
    struct fault gone = fault_of(l);
    size_t n = 0;
    end_exchanges(l);
    LIST_EACH(&l->w->conns, c, struct conn, all) {
        if (!has_conn(l, c)) continue;
        conn_lose(c, &gone, false);
        n++;
    }
    if (n) wheel_arm(&l->w->wheel, t, instant_add(now, AFTERLIFE));
}
/* Its time is over: what still lives is ended and answered. */
static void on_over(struct timer *t, instant now) {
    struct leaving *l = CONTAINER_OF(t, struct leaving, timer);
    size_t n = end_exchanges(l);
    if (n) say_ended(l, n);
    LIST_EACH(&l->w->conns, c, struct conn, all) {
        if (has_conn(l, c)) conn_shutdown(c, true);
    }
    l->timer.fire = on_drop;
    wheel_arm(&l->w->wheel, t, instant_add(now, AFTERLIFE));
}
void leaving_begin(struct leaving *l, struct worker *w, span time) {
    l->w = w;
    l->timer.fire = on_over;
    if (!span_is_forever(time)) wheel_arm(&w->wheel, &l->timer, instant_add(w->now, time));
}
void leaving_end(struct leaving *l) {
    if (l->w) wheel_disarm(&l->w->wheel, &l->timer);
}
