// SPDX-License-Identifier: Apache-2.0
// A cancel by a side channel (policies/call.h): a small request on a connection of its own, outside the exchange that it tells of and past the
// limits of its upstream, since it frees a connection. It has a time of its own, is tried a second time where the first failed, and keeps its
// exchange until it is over, so that the log can say what it achieved.
#ifndef CURFEW_PROXY_CALL_H
#define CURFEW_PROXY_CALL_H
#include "proxy/exchange.h"

struct call; /* in the exchange's arena */
/* Makes the call that the exchange's policy names. NULL: it is not made, and the log says why (a template's name without a value, the rate
 * is used up), or is over already. */
struct call *call_start(struct exchange *x, enum ending why);
/* In the same turn: what the next rung achieved. When the call is over, the stronger of the two is what that cancel counts as. */
void call_beside(struct call *k, enum cancel_level level);
/* Those of the exchange that are not over: their connections are reset, and they count as failed. Not from inside a codec's event. */
void calls_off(struct exchange *x);
#endif
