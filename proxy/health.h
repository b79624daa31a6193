// SPDX-License-Identifier: Apache-2.0
// Active health checks: each endpoint of an upstream with `health` is asked every interval, and is out of the choice while its checks fail.
//
//   timer ─→ an errand to the endpoint ─→ its answer, a fault, or the timeout ─→ tally ─→ news: upstream_judge here, by mail in the other workers
//
// One worker checks an upstream for all of them, another one the next upstream. Checks are past the pool and its limits, and are counted by nobody
// but their own metrics. They stop when the worker drains: who is out then stays out, and no check keeps the drain from its end. What is wrong with
// us (no descriptor) says nothing of an endpoint, and counts neither way.
#ifndef CURFEW_PROXY_HEALTH_H
#define CURFEW_PROXY_HEALTH_H
#include "proxy/upstream.h"

struct health; /* of one endpoint, in the worker that checks it */
/* Asks at once, and then every interval, a tenth more or less; the second time after any part of it, so that endpoints are not asked in step. */
struct health *health_new(struct worker *w, struct upstream *u, struct endpoint *e);
/* A check under way is called off. Tells nobody. NULL is allowed. Not from inside a codec's event. */
void health_free(struct health *h);
/* The endpoint is gone (its name is another address by now): as health_free, and no other worker takes it for one that is out any more. */
void health_gone(struct health *h);
/* A new upstream, the i-th of the configuration: is to check it this worker's part? So it stays for as long as the upstream is there, at whatever
 * place of later configurations. */
void health_start(struct worker *w, struct upstream *u, size_t i);
/* The end of all checks. */
void health_stop(struct worker *w);
#endif
