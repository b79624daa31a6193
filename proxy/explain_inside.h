// SPDX-License-Identifier: Apache-2.0
// What explain.c (routes: all that may happen) and explain_request.c (one request: what happens) share. For these two files alone.
#ifndef CURFEW_PROXY_EXPLAIN_INSIDE_H
#define CURFEW_PROXY_EXPLAIN_INSIDE_H
#include "proxy/explain.h"
#include "proxy/sheet.h"

/* Texts are the caller's to free, or a sheet's. */
char *explain_span(span s);                                             /* as the configuration writes it; "none": for ever */
char *explain_route_name(const struct route *r);                        /* or its place: routes[0] */
char *explain_policy_name(const struct config *c, const struct route *r);
bool explain_has_upstream(const struct route *r);                       /* else it is answered here */
/* What the upstream is spoken to in, where a client speaks this: a route may translate. */
const struct rpc *explain_rpc_up(const struct route *r, const struct rpc *client);
#endif
