// SPDX-License-Identifier: Apache-2.0
// A cancel by a side channel (policies/call.h): a small request on a connection of its own, outside the exchange that it tells of and past the
// limits of its upstream, since it frees a connection. It has a time of its own, is tried a second time where the first failed, and keeps its
// exchange until it is over, so that the log can say what it achieved.
#ifndef CURFEW_PROXY_CALL_H
#define CURFEW_PROXY_CALL_H
#include "proxy/exchange.h"

/* Makes the call that the exchange's policy names. False: it is not made, and the log says why (a template's name without a value, the rate
 * is used up). */
bool call_start(struct exchange *x, enum ending why);
#endif
