// SPDX-License-Identifier: Apache-2.0
// The limit of descriptors and who may have how many of it: see descriptors.h.
#define _GNU_SOURCE /* F_DUPFD_CLOEXEC */
#include "proxy/descriptors.h"
#include "core/log.h"
#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

#define OWN_DESCRIPTORS 32      /* standard ones, the admin address and who asks it, certificates as they are read */
#define WORKERS_DESCRIPTORS 16  /* the loop, its timer and mailbox, the log, name servers, calls */
#define DESCRIPTORS_READY 65536u /* half a MiB of the kernel's memory */

/* As many descriptors as may be, and the kernel's table of them grown before there are threads: once there are, each time it doubles, at the 256th
 * descriptor, the 512th and so on, whoever opens that one waits for a grace period of RCU: 5 to 20 ms, for which its whole loop stands still. */
int64_t descriptors_raise(void) {
    struct rlimit r;
    if (getrlimit(RLIMIT_NOFILE, &r)) return 1024;
    r.rlim_cur = r.rlim_max;
    setrlimit(RLIMIT_NOFILE, &r);
    rlim_t last = r.rlim_cur < DESCRIPTORS_READY ? r.rlim_cur : DESCRIPTORS_READY;
    int fd = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, (int)last - 1);
    if (fd >= 0) close(fd);
    return r.rlim_cur < INT32_MAX ? (int64_t)r.rlim_cur : INT32_MAX;
}
/* For the others no more than half is kept back. */
int64_t descriptors_of_clients(const struct config *c, int64_t limit, int64_t workers) {
    int64_t own = OWN_DESCRIPTORS + workers * (WORKERS_DESCRIPTORS + (int64_t)c->listeners.n), wanted = 0;
    for (size_t i = 0; i < c->upstreams.n; i++) {
        const struct upstream_conf *u = config_upstream(c, i);
        int64_t n = i64_add_sat(u->max_connections, u->health ? (int64_t)u->nendpoints : 0);
        wanted = i64_add_sat(wanted, n > workers ? n : workers);
    }
    int64_t left = limit > own ? limit - own : 0, kept = wanted < left / 2 ? wanted : left / 2;
    int64_t clients = left - kept > workers ? left - kept : workers;
    log_info("gateway", "%lld descriptors: room for %lld clients and %lld connections to upstreams", (long long)limit, (long long)clients, (long long)kept);
    if (kept < wanted) log_warn("gateway", "upstreams may have %lld connections: raise the limit of descriptors (LimitNOFILE)", (long long)wanted);
    return clients;
}
