// SPDX-License-Identifier: Apache-2.0
// The wheel. A timer's expiry is a tick; how far that is says the level: 256^level ticks are a block of it, and a timer hangs in the slot of
// its block, modulo 256. Since a timer lies less than 256 blocks ahead, a slot holds one block at a time: the first one after the wheel's own.
// When the tick enters a block of a higher level, its slot is dealt out to the levels below; a slot of level 0 is due as it is. To advance is
// to go from one occupied block's start to the next, whatever lies between: nothing walks ticks.
//
// By distance and not by the highest differing bits, which would need no modulo: those gather all that lies behind a boundary in one slot
// (every deadline beyond the next full minute), and deal them out in one go: 160 ms for a million. tests/bench/wheel_bench.c
#include "core/wheel.h"
#include <assert.h>
#include <string.h>

static_assert(WHEEL_BITS * WHEEL_LEVELS >= 44, "every instant has a level: INT64_MAX ns are less than 2^44 ticks");

static struct timer *timer_of(struct list *node) { return LIST_OF(node, struct timer, node); }

/* The first boundary at or after the instant: never early. */
static int64_t tick_of(instant at) {
    if (at.ns <= 0) return 0;
    return at.ns / WHEEL_TICK_NS + (at.ns % WHEEL_TICK_NS != 0);
}

static instant instant_of(int64_t tick) { return (instant){ i64_mul_sat(tick, WHEEL_TICK_NS) }; }

/* tick > now */
static unsigned level_of(int64_t tick, int64_t now) { return (63u - (unsigned)__builtin_clzll((uint64_t)(tick - now))) / WHEEL_BITS; }

static int64_t block_of(int64_t tick, unsigned level) { return tick >> (WHEEL_BITS * level); }
static int64_t block_start(int64_t block, unsigned level) { return (int64_t)((uint64_t)block << (WHEEL_BITS * level)); }
static unsigned slot_of(int64_t tick, unsigned level) { return (unsigned)block_of(tick, level) & (WHEEL_SLOTS - 1); }

void wheel_init(struct wheel *w, instant now) {
    assert(now.ns >= 0);
    w->tick = now.ns / WHEEL_TICK_NS;
    w->armed = 0;
    list_init(&w->due);
    list_init(&w->firing);
    for (unsigned l = 0; l < WHEEL_LEVELS; l++) {
        memset(w->occupied[l], 0, sizeof w->occupied[l]);
        for (unsigned s = 0; s < WHEEL_SLOTS; s++) list_init(&w->slots[l][s].timers);
    }
}

static bool is_occupied(const struct wheel *w, unsigned level, unsigned slot) { return w->occupied[level][slot / 64] >> slot % 64 & 1; }
static void occupy(struct wheel *w, unsigned level, unsigned slot) { w->occupied[level][slot / 64] |= UINT64_C(1) << slot % 64; }
static void vacate(struct wheel *w, unsigned level, unsigned slot) { w->occupied[level][slot / 64] &= ~(UINT64_C(1) << slot % 64); }

static void place(struct wheel *w, struct timer *t) {
    int64_t tick = tick_of(t->at);
    if (tick <= w->tick) {
        t->level = t->slot = 0;
        list_push(&w->due, &t->node);
        return;
    }
    unsigned level = level_of(tick, w->tick), slot = slot_of(tick, level);
    struct wheel_slot *at = &w->slots[level][slot];
    if (list_is_empty(&at->timers) || tick < at->earliest) at->earliest = tick;
    occupy(w, level, slot);
    t->level = (uint8_t)level;
    t->slot = (uint8_t)slot;
    list_push(&at->timers, &t->node);
}

/* A timer that is due or about to fire names a slot that it has left; to look whether that one is empty does no harm. */
static void unlink_timer(struct wheel *w, struct timer *t) {
    list_del(&t->node);
    if (list_is_empty(&w->slots[t->level][t->slot].timers)) vacate(w, t->level, t->slot);
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

static_assert(WHEEL_WORDS == 4, "level_is_empty names them");
static bool level_is_empty(const uint64_t *words) { return !(words[0] | words[1] | words[2] | words[3]); }

/* How many slots after `from`, round the level, the first occupied one lies; -1: none is. */
static int occupied_after(const struct wheel *w, unsigned level, unsigned from) {
    if (level_is_empty(w->occupied[level])) return -1;
    for (unsigned i = 0; i <= WHEEL_WORDS; i++) { /* the word of `from` twice: its upper bits come first, its lower ones last */
        unsigned word = (from / 64 + i) % WHEEL_WORDS;
        uint64_t bits = w->occupied[level][word];
        if (i == 0) bits &= UINT64_MAX << from % 64;
        if (bits) return (int)((word * 64 + (unsigned)__builtin_ctzll(bits) - from) & (WHEEL_SLOTS - 1));
    }
    return -1;
}

/* The first block of the level that holds a timer; -1: none does. */
static int64_t first_block(const struct wheel *w, unsigned level) {
    int64_t next = block_of(w->tick, level) + 1;
    int ahead = occupied_after(w, level, (unsigned)next & (WHEEL_SLOTS - 1));
    return ahead < 0 ? -1 : next + ahead;
}

/* The first tick at which something must be done; INT64_MAX: none. */
static int64_t first_start(const struct wheel *w) {
    int64_t first = INT64_MAX;
    for (unsigned l = 0; l < WHEEL_LEVELS; l++) {
        int64_t block = first_block(w, l);
        if (block >= 0 && block_start(block, l) < first) first = block_start(block, l);
    }
    return first;
}

/* Goes to a tick before which nothing is left, into every block that begins there. What is dealt out is due, or lies in later blocks. */
static void enter(struct wheel *w, int64_t tick) {
    w->tick = tick;
    for (unsigned l = 0; l < WHEEL_LEVELS && block_start(block_of(tick, l), l) == tick; l++) {
        unsigned slot = slot_of(tick, l);
        struct list *from = &w->slots[l][slot].timers;
        vacate(w, l, slot);
        if (l == 0) list_splice(&w->due, from);
        else
            for (struct list *n; (n = list_shift(from));) place(w, timer_of(n));
    }
}

/* Puts all that expires up to `target` at the end of `due`, in order, and the wheel's tick to it. */
static void collect(struct wheel *w, int64_t target) {
    for (int64_t tick; (tick = first_start(w)) <= target;) enter(w, tick);
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
    int64_t first = INT64_MAX;
    if (!list_is_empty(&w->due) || !list_is_empty(&w->firing)) return instant_of(w->tick);
    for (unsigned l = 0; l < WHEEL_LEVELS; l++) {
        int64_t block = first_block(w, l);
        if (block < 0) continue;
        int64_t tick = w->slots[l][(unsigned)block & (WHEEL_SLOTS - 1)].earliest;
        if (tick < first) first = tick;
    }
    return instant_of(first);
}

static size_t validate_slot(const struct wheel *w, unsigned level, unsigned slot) {
    const struct wheel_slot *at = &w->slots[level][slot];
    int64_t own = block_of(w->tick, level), block = own + 1 + ((slot - (unsigned)(own + 1)) & (WHEEL_SLOTS - 1));
    size_t n = 0;
    for (struct list *i = at->timers.next; i != &at->timers; i = i->next, n++) {
        const struct timer *t = timer_of(i);
        assert(t->fire && !instant_is_never(t->at));
        assert(t->level == level && t->slot == slot);
        assert(block_of(tick_of(t->at), level) == block && tick_of(t->at) >= at->earliest);
        assert(i->next->prev == i && i->prev->next == i);
    }
    assert((n > 0) == is_occupied(w, level, slot));
    assert(n == 0 || block_of(at->earliest, level) == block);
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
