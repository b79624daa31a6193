// SPDX-License-Identifier: Apache-2.0
// `max_reject`: how much of a route's traffic curfew may refuse by its own judgement. Whoever refuses a fifth of all requests has more likely a
// clock, a dialect or a limit wrong than clients that ask for the impossible; past the share the rest is let through, and counted.
#ifndef CURFEW_POLICIES_GUARD_H
#define CURFEW_POLICIES_GUARD_H
#include "conf/conf.h"

struct guard_policy {
    uint32_t ratio;    /* CONF_PERCENT */
    span window;
    int64_t at_least;  /* requests in the window, before a share says anything */
};
extern const struct conf_table guard_table;

#define GUARD_SLOTS 8u /* the window slides by an eighth of itself */
struct guard { /* a route's on one worker; zeroed memory is a fresh one */
    int64_t number;    /* of the slot that is filled now, from the clock's zero on */
    struct { uint32_t requests, refused; } slots[GUARD_SLOTS];
    uint32_t requests, refused; /* their sums */
};
/* A request came, and `refuse` says whether it is to be refused. True: it must be let through, since the share is used up. Otherwise its refusal
 * counts. O(1), no memory. */
bool guard_lets_through(struct guard *g, const struct guard_policy *p, bool refuse, instant now);
#endif
