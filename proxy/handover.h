// SPDX-License-Identifier: Apache-2.0
// What a worker is given with a configuration: all that must be had, and may fail, before any worker goes on to it. So what cannot be had leaves
// everything as it is, and taking it cannot fail. The main thread prepares it, at the start and at each reload; a mailbox carries it.
#ifndef CURFEW_PROXY_HANDOVER_H
#define CURFEW_PROXY_HANDOVER_H
#include "proxy/config_change.h"
#include "proxy/worker.h"

struct handover { /* one worker's; owned by who has it */
    struct config *config;              /* a reference */
    const struct config_change *change; /* from what the worker runs by; in config's memory */
    int *fds;                           /* owned; by listener: its socket, -1 where it has one already */
    struct route_counters *routes;      /* a reference */
    struct access_log *log;             /* owned; NULL: the worker keeps the one it has */
    size_t max_clients;                 /* as worker.max_clients */
};
/* Fills one for each worker, out of certificates, sockets and logs. before NULL: at the start. False: something cannot be had, which was said;
 * nothing is kept. Binds the sockets of new listeners, so that their clients wait for the workers from here on. */
bool handover_prepare(const struct config *before, struct config *now, const struct worker *workers, size_t n, int64_t clients, struct handover **out)
    __attribute__((warn_unused_result));
/* Without sockets: listeners are given their clients by listener_take (flow tests). */
struct handover *handover_new(struct config *config, const struct config_change *change, const struct route_counters *before);
void handover_free(struct handover *h); /* with what nobody took; NULL is allowed */
#endif
