// SPDX-License-Identifier: Apache-2.0
// The load of a worker: see load.h. Where `load:` asks for nothing, all of it is a test of one flag.
#include "proxy/load.h"
#include "proxy/worker.h"

static _Atomic(uint8_t) by_operator = LOAD_AUTO;

void load_switch_set(enum load_switch s) { atomic_store_explicit(&by_operator, (uint8_t)s, memory_order_relaxed); }
enum load_switch load_switch_get(void) { return (enum load_switch)atomic_load_explicit(&by_operator, memory_order_relaxed); }
const char *load_switch_name(enum load_switch s) { return s == LOAD_DROP ? "on" : s == LOAD_KEEP ? "off" : "auto"; }

static bool is_high(int64_t value, int64_t threshold, bool on) {
    if (threshold == INT64_MAX) return false;
    return on ? value > threshold / 100 * LOAD_EASED + threshold % 100 * LOAD_EASED / 100 : value > threshold;
}
static void turn_to(struct worker *w, bool on) {
    w->load.on = on;
    metric_set(&w->metrics, METRIC_LOADED, on);
    log_info("load", "worker %u: %s", w->index, on ? "the load is high: optional context fields are dropped" : "the load has eased");
}
static void on_over(struct timer *t, instant now) {
    struct worker *w = CONTAINER_OF(t, struct worker, load.over);
    if (instant_before(now, w->load.until)) wheel_arm(&w->wheel, t, w->load.until);
    else turn_to(w, false);
}
static void look(struct worker *w, span lag) {
    struct load *l = &w->load;
    if (!is_high((int64_t)w->nexchanges, l->inflight, l->on) && !is_high(lag.ns, l->loop_lag.ns, l->on)) return;
    l->until = instant_add(w->now, LOAD_HOLD);
    if (l->on) return;
    turn_to(w, true);
    wheel_arm(&w->wheel, &l->over, l->until);
}

void load_init(struct worker *w) {
    struct load *l = &w->load;
    *l = (struct load){ .memory = INT64_MAX, .inflight = INT64_MAX, .loop_lag = SPAN_FOREVER, .over = { .fire = on_over } };
}
void load_follow(struct worker *w, const struct load_conf *conf) {
    struct load *l = &w->load;
    l->inflight = conf->inflight == INT64_MAX ? INT64_MAX : config_share(conf->inflight, w->count, w->index);
    l->loop_lag = conf->loop_lag;
    l->looks = l->inflight != INT64_MAX || !span_is_forever(l->loop_lag);
}
void load_limit(struct worker *w, const struct limits_conf *conf) {
    w->load.memory = conf->memory > INT64_MAX ? INT64_MAX : config_share((int64_t)conf->memory, w->count, w->index);
}
enum room load_room(const struct worker *w) {
    int64_t most = w->load.memory;
    if (mem_held <= most) return ROOM_PLENTY;
    return mem_held - most <= most / 8 ? ROOM_FULL : ROOM_OVER;
}
void load_free(struct worker *w) { wheel_disarm(&w->wheel, &w->load.over); }

void load_turned(struct worker *w) {
    metric_set(&w->metrics, METRIC_MEMORY_HELD, mem_held > 0 ? (uint64_t)mem_held : 0);
    if (!w->load.looks) return;
    /* Whoever came as the turn began has waited for all of it: that is the loop's lag. */
    look(w, span_is_forever(w->load.loop_lag) ? span_ns(0) : instant_until(w->now, w->os->now()));
}
bool load_drops(struct worker *w) {
    enum load_switch s = load_switch_get();
    if (s != LOAD_AUTO || !w->load.looks) return s == LOAD_DROP;
    look(w, span_ns(0)); /* a crowd that came in this very turn */
    return w->load.on;
}
