// SPDX-License-Identifier: Apache-2.0
// The wheel. A timer's expiry is a tick; it hangs at the level of the highest group of six bits in which that differs from the wheel's tick,
// in the slot that the group names. So slots of a level all lie ahead, no level wraps, and everything in a level comes before everything in
// the next: the first occupied slot of the first occupied level is what comes first, however far. To advance is to take that slot until it
// lies ahead of the target: level 0 is due as it is, a higher one is dealt out to the levels below. Nothing walks ticks.
#include "core/wheel.h"
#include <assert.h>

static_assert(WHEEL_BITS * WHEEL_LEVELS >= 44, "every instant has a level: INT64_MAX ns are less than 2^44 ticks");

static struct timer *timer_of(struct list *node) { return LIST_ENTRY(node, struct timer, node); }

/* The first boundary at or after the instant: never early. */
static int64_t tick_of(instant at) {
    if (at.ns <= 0) return 0;
    return at.ns / WHEEL_TICK_NS + (at.ns % WHEEL_TICK_NS != 0);
}

static instant instant_of(int64_t tick) { return (instant){ i64_mul_sat(tick, WHEEL_TICK_NS) }; }

static unsigned level_of(int64_t tick, int64_t now) {
    return (63u - (unsigned)__builtin_clzll((uint64_t)(tick ^ now))) / WHEEL_BITS;
}

static unsigned slot_of(int64_t tick, unsigned level) { return (unsigned)(tick >> (WHEEL_BITS * level)) & (WHEEL_SLOTS - 1); }

static int64_t slot_start(const struct wheel *w, unsigned level, unsigned slot) {
    unsigned shift = WHEEL_BITS * level;
    return (w->tick >> (shift + WHEEL_BITS) << (shift + WHEEL_BITS)) | (int64_t)slot << shift;
}

void wheel_init(struct wheel *w, instant now) {
    assert(now.ns >= 0);
    w->tick = now.ns / WHEEL_TICK_NS;
    w->armed = 0;
    list_init(&w->due);
    list_init(&w->firing);
    for (unsigned l = 0; l < WHEEL_LEVELS; l++) {
        w->occupied[l] = 0;
        for (unsigned s = 0; s < WHEEL_SLOTS; s++) list_init(&w->slots[l][s].timers);
    }
}

static void place(struct wheel *w, struct timer *t) {
    int64_t tick = tick_of(t->at);
    if (tick <= w->tick) {
        t->level = t->slot = 0;
        list_push(&w->due, &t->node);
        return;
    }
    unsigned level = level_of(tick, w->tick), slot = slot_of(tick, level);
    struct wheel_slot *at = &w->slots[level][slot];
    uint64_t bit = UINT64_C(1) << slot;
    if (!(w->occupied[level] & bit) || tick < at->earliest) at->earliest = tick;
    w->occupied[level] |= bit;
    t->level = (uint8_t)level;
    t->slot = (uint8_t)slot;
    list_push(&at->timers, &t->node);
}

/* A timer that is due or about to fire names a slot that it has left; to look whether that one is empty does no harm. */
static void unlink_timer(struct wheel *w, struct timer *t) {
    list_del(&t->node);
    if (list_is_empty(&w->slots[t->level][t->slot].timers)) w->occupied[t->level] &= ~(UINT64_C(1) << t->slot);
}

void wheel_disarm(struct wheel *w, struct timer *t) {
    if (!timer_is_armed(t)) return;
    unlink_timer(w, t);
    w->armed--;
}

void wheel_arm(struct wheel *w, struct timer *t, instant at) {
    assert(t->fire);
    wheel_disarm(w, t);
    t->at = at;
    if (instant_is_never(at)) return;
    place(w, t);
    w->armed++;
}

/* The first occupied slot in time; false where only due timers are left. */
static bool first_slot(const struct wheel *w, unsigned *level, unsigned *slot) {
    for (unsigned l = 0; l < WHEEL_LEVELS; l++) {
        if (!w->occupied[l]) continue;
        *level = l;
        *slot = (unsigned)__builtin_ctzll(w->occupied[l]);
        return true;
    }
    return false;
}

/* Puts all that expires up to `target` at the end of `due`, in order, and the wheel's tick to it. */
static void collect(struct wheel *w, int64_t target) {
    unsigned level, slot;
    while (first_slot(w, &level, &slot)) {
        int64_t start = slot_start(w, level, slot);
        if (start > target) break;
        struct list *from = &w->slots[level][slot].timers;
        w->occupied[level] &= ~(UINT64_C(1) << slot);
        w->tick = start;
        if (level == 0) {
            list_splice(&w->due, from);
            continue;
        }
        for (struct list *n; (n = list_shift(from));) place(w, timer_of(n));
    }
    w->tick = target;
}

/* All that is due is taken off first: what callbacks arm for now or the past waits for the next advance, so none can keep us here. */
size_t wheel_advance(struct wheel *w, instant now) {
    assert(list_is_empty(&w->firing));
    int64_t target = now.ns / WHEEL_TICK_NS;
    size_t fired = 0;
    if (target > w->tick) collect(w, target);
    list_splice(&w->firing, &w->due);
    for (struct list *n; (n = list_shift(&w->firing)); fired++) {
        struct timer *t = timer_of(n);
        w->armed--;
        t->fire(t, now);
    }
    return fired;
}

instant wheel_next(const struct wheel *w) {
    unsigned level, slot;
    if (!list_is_empty(&w->due) || !list_is_empty(&w->firing)) return instant_of(w->tick);
    if (!first_slot(w, &level, &slot)) return INSTANT_NEVER;
    return instant_of(w->slots[level][slot].earliest);
}

static size_t validate_slot(const struct wheel *w, unsigned level, unsigned slot) {
    const struct wheel_slot *at = &w->slots[level][slot];
    size_t n = 0;
    for (struct list *i = at->timers.next; i != &at->timers; i = i->next, n++) {
        const struct timer *t = timer_of(i);
        int64_t tick = tick_of(t->at);
        assert(t->fire && !instant_is_never(t->at));
        assert(t->level == level && t->slot == slot);
        assert(tick > w->tick && tick >= at->earliest);
        assert(level_of(tick, w->tick) == level && slot_of(tick, level) == slot);
        assert(i->next->prev == i && i->prev->next == i);
    }
    assert((n > 0) == ((w->occupied[level] >> slot & 1) != 0));
    assert(n == 0 || (slot > slot_of(w->tick, level) && at->earliest >= slot_start(w, level, slot)));
    return n;
}

static size_t validate_due(const struct wheel *w, const struct list *head) {
    size_t n = 0;
    for (struct list *i = head->next; i != head; i = i->next, n++) {
        assert(timer_of(i)->fire && tick_of(timer_of(i)->at) <= w->tick);
        assert(i->next->prev == i && i->prev->next == i);
    }
    return n;
}

void wheel_validate(const struct wheel *w) {
    size_t n = validate_due(w, &w->due) + validate_due(w, &w->firing);
    for (unsigned l = 0; l < WHEEL_LEVELS; l++)
        for (unsigned s = 0; s < WHEEL_SLOTS; s++) n += validate_slot(w, l, s);
    assert(n == w->armed);
}
