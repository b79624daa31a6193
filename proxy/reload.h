// SPDX-License-Identifier: Apache-2.0
// The configuration of a running gateway, and how it is changed for another without dropping anything. The main thread's part:
//
//   SIGHUP ─→ config_load ─→ handover_prepare: certificates, sockets of new listeners, logs ─→ a message to each worker ─→ snapshot_take (snapshot.h)
//                  └───────────────────┴─→ a fault: it is said, all is given back, and no worker goes over
//
// All that can fail comes before the first message, so that no worker is left behind (a resolver, which only its worker can make, is asked for, and
// waited for, first of all); messages arrive in order, so that each worker
// goes through the same configurations, whenever it comes to it. What is fixed for the life of the process (`workers`, the admin
// address) is warned of, and the rest counts.
#ifndef CURFEW_PROXY_RELOAD_H
#define CURFEW_PROXY_RELOAD_H
#include "proxy/descriptors.h"
#include "proxy/worker.h"

struct reload { /* the main thread's alone, but for the workers' own */
    const char *path;         /* borrowed: the file */
    struct config *config;    /* a reference: what the workers run by, or are about to */
    struct worker *workers; size_t n;
    int64_t descriptors;      /* the process's limit */
};
/* Gives the workers the first configuration; they do not run yet. False: something cannot be had, which was said. */
bool reload_begin(struct reload *r) __attribute__((warn_unused_result));
/* Reads the file again, and goes over to it where all is well. Nobody drains. */
void reload_run(struct reload *r);
/* Of unix listeners: the files. */
void reload_remove_sockets(const struct config *c);
#endif
