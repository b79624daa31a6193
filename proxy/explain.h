// SPDX-License-Identifier: Apache-2.0
// What a configuration means, before a request is sent: for each route, how a deadline is carried, what each ending does to either side and at
// which level, and where a policy cannot do what it says; or what one request would get. It asks the very functions that the gateway asks.
#ifndef CURFEW_PROXY_EXPLAIN_H
#define CURFEW_PROXY_EXPLAIN_H
#include "proxy/config.h"
#include <stdio.h>

/* Every route, or the one of that name (empty: every). False: there is none of that name. */
bool explain_routes(FILE *to, const struct config *c, struct str route, bool json);
/* One request: "GET /x HTTP/1.1" and its fields ("name: value"), as a trusted peer sends it to that listener, or one that is not; listener empty: the
 * first that takes such a peer. NULL; or what is wrong with it. */
const char *explain_request(FILE *to, const struct config *c, struct str line, const char *const *fields, size_t nfields, struct str listener,
                            bool trusted, bool json);
#endif
