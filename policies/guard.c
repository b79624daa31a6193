// SPDX-License-Identifier: Apache-2.0
// The share of refusals within a sliding window: see guard.h. Slots are numbered by the clock, so that nothing need wake to empty them.
#include "policies/guard.h"

#define WHOLE 10000u /* CONF_PERCENT's 100% */

/* Empties the slots that the clock has passed since the last request. */
static void slide(struct guard *g, const struct guard_policy *p, instant now) {
    int64_t number = now.ns / (p->window.ns / GUARD_SLOTS);
    for (int64_t i = g->number + 1; i <= number && i <= g->number + (int64_t)GUARD_SLOTS; i++) {
        size_t slot = (size_t)i % GUARD_SLOTS;
        g->requests -= g->slots[slot].requests;
        g->refused -= g->slots[slot].refused;
        g->slots[slot].requests = g->slots[slot].refused = 0;
    }
    if (number > g->number) g->number = number;
}

bool guard_lets_through(struct guard *g, const struct guard_policy *p, bool refuse, instant now) {
    slide(g, p, now);
    size_t slot = (size_t)g->number % GUARD_SLOTS;
    g->slots[slot].requests++;
    g->requests++;
    if (!refuse) return false;
    if (g->requests >= p->at_least && (g->refused + UINT64_C(1)) * WHOLE > (uint64_t)p->ratio * g->requests) return true;
    g->slots[slot].refused++;
    g->refused++;
    return false;
}

static const struct conf_field guard_fields[] = {
    { .name = "ratio", .type = CONF_PERCENT, .offset = offsetof(struct guard_policy, ratio), .def = "20%", .min = 0, .max = WHOLE,
      .help = "the share of a route's requests that may be refused; past it requests are let through" },
    { .name = "window", .type = CONF_DURATION, .offset = offsetof(struct guard_policy, window), .def = "10s", .min = 100 * NS_PER_MS,
      .max = 3600 * NS_PER_S, .help = "of what time" },
    { .name = "at_least", .type = CONF_INT, .offset = offsetof(struct guard_policy, at_least), .def = "20", .min = 1, .max = 1000000,
      .help = "with fewer requests in the window, as one worker sees them, nothing is let through: a share of three says nothing" },
    { 0 }
};
const struct conf_table guard_table = { .name = "max_reject", .size = sizeof(struct guard_policy), .fields = guard_fields,
    .help = "A bound on what curfew refuses by its own judgement: client_context for a deadline, shed_expired and shed_latency on arrival. What is let "
            "through is told what is left, and ends by it; where nothing is left, as with a clock that is wrong, it runs as if it had asked for nothing." };
