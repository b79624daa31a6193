// SPDX-License-Identifier: Apache-2.0
// A hierarchical timing wheel: absolute instants, O(1) to arm, disarm and fire. A tick is 1 ms: a timer never fires early, and at most one
// tick late of the `now` that wheel_advance is given. Entries are embedded in their owners. Not thread-safe: one a worker.
#ifndef CURFEW_CORE_WHEEL_H
#define CURFEW_CORE_WHEEL_H
#include "core/instant.h"
#include "core/list.h"
#include <stddef.h>

#define WHEEL_TICK_NS NS_PER_MS
#define WHEEL_BITS 6u
#define WHEEL_SLOTS (1u << WHEEL_BITS)
#define WHEEL_LEVELS 7u /* 64^7 ms: 139 years; later instants wait in the last level and are looked at again */

struct timer { /* embedded; zeroed memory is a disarmed timer */
    struct list node;
    instant at;
    void (*fire)(struct timer *t, instant now); /* already disarmed; may arm itself again, arm and disarm others, never advance the wheel */
    uint8_t level, slot;
};
struct wheel {
    int64_t tick; /* the last tick that was fired */
    size_t armed;
    uint64_t occupied[WHEEL_LEVELS]; /* a bit a slot */
    struct list slots[WHEEL_LEVELS][WHEEL_SLOTS];
};

void wheel_init(struct wheel *w, instant now);
/* Arms, or moves, t to `at`. An instant that passed fires with the next advance. NEVER disarms. t->fire must be set. */
void wheel_arm(struct wheel *w, struct timer *t, instant at);
void wheel_disarm(struct wheel *w, struct timer *t); /* idempotent */
static inline bool timer_is_armed(const struct timer *t) { return list_is_linked(&t->node); }
/* Fires all that is due at `now`; in order of ticks. Returns how many fired. */
size_t wheel_advance(struct wheel *w, instant now);
/* When to advance next: never later than the first due timer may fire, and exact for timers within 64 ms; NEVER where none is armed. */
instant wheel_next(const struct wheel *w);
/* For tests: every entry hangs in the slot that its instant says, and the counts and bits hold. Asserts. */
void wheel_validate(const struct wheel *w);
#endif
