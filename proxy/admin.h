// SPDX-License-Identifier: Apache-2.0
// The admin address: /healthz /readyz /metrics /config /contexts /context/optional. A thread and a loop of its own, so that it answers while workers
// are busy; it reads counters and the configuration only, and asks workers by mail for the rest.
#ifndef CURFEW_PROXY_ADMIN_H
#define CURFEW_PROXY_ADMIN_H
#include "proxy/worker.h"

/* False: the address cannot be had (said in the log). config->admin must be set. */
bool admin_start(struct config *config, struct worker *workers, size_t n);
/* The workers run by that configuration from here on, or are about to: /metrics has its routes, and /config is it. counters: a worker's each, a reference, taken.
 * Whether or not there is an admin address. From the thread that loads configurations. */
void admin_take(const struct config *config, struct worker *workers, size_t n, struct route_counters *const *counters);
const struct address *admin_address(void); /* where it listens; NULL: nowhere */
void admin_stop(void); /* idempotent; after the workers returned */
#endif
