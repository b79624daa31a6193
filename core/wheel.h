// SPDX-License-Identifier: Apache-2.0
// A hierarchical timing wheel: absolute instants, O(1) to arm, disarm and fire. A tick is 1 ms: a timer never fires early, and at most one
// tick late of the `now` that wheel_advance is given. Entries are embedded in their owners. Not thread-safe: one a worker.
#ifndef CURFEW_CORE_WHEEL_H
#define CURFEW_CORE_WHEEL_H
#include "core/instant.h"
#include "core/list.h"
#include <stddef.h>

#define WHEEL_TICK_NS NS_PER_MS
#define WHEEL_BITS 8u /* few levels, narrow slots: a slot that must be dealt out holds a quarter of a second, for all that end within a minute */
#define WHEEL_SLOTS (1u << WHEEL_BITS)
#define WHEEL_LEVELS 6u /* 256^6 ms: more than an instant can say */
#define WHEEL_WORDS (WHEEL_SLOTS / 64u)

struct timer { /* embedded; zeroed memory is a disarmed timer */
    struct list node;
    instant at;
    void (*fire)(struct timer *t, instant now); /* already disarmed; may arm itself again, arm and disarm others, never advance the wheel */
    uint8_t level, slot;
};
struct wheel_slot {
    struct list timers;
    int64_t earliest; /* tick; where the slot is occupied: none in it expires before (one that was disarmed may have been the first) */
};
struct wheel {
    int64_t tick; /* the last tick that was fired */
    size_t armed;
    struct list due, firing; /* armed for an instant that had passed: the next advance fires them; what an advance has yet to fire */
    uint64_t occupied[WHEEL_LEVELS][WHEEL_WORDS]; /* a bit a slot */
    struct wheel_slot slots[WHEEL_LEVELS][WHEEL_SLOTS];
};

void wheel_init(struct wheel *w, instant now); /* now >= 0 */
/* Arms, or moves, t to `at`. An instant that passed fires with the next advance. NEVER disarms. t->fire must be set. */
void wheel_arm(struct wheel *w, struct timer *t, instant at);
void wheel_disarm(struct wheel *w, struct timer *t); /* idempotent */
static inline bool timer_is_armed(const struct timer *t) { return list_is_linked(&t->node); }
/* Fires all that is due at `now`, in order of ticks; returns how many. What a callback arms for now or the past fires with the next advance.
 * A `now` before the last one is as the last one. Costs by timers and slots that are occupied, not by the time that passed. */
size_t wheel_advance(struct wheel *w, instant now);
/* When to advance next: the tick of the first timer, or an earlier one where a timer of its slot was disarmed; never later; NEVER where none
 * is armed. O(levels). */
instant wheel_next(const struct wheel *w);
/* For tests: every entry hangs in the slot that its instant says, and the counts and bits hold. Asserts. */
void wheel_validate(const struct wheel *w);
#endif
