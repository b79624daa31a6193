// SPDX-License-Identifier: Apache-2.0
// Workers, listeners and signals: see gateway.h. The main thread only waits for signals; every worker is a thread that shares nothing.
#include "proxy/gateway.h"
#include "proxy/admin.h"
#include "proxy/certificates.h"
#include "proxy/exchange.h"
#include "proxy/health.h"
#include "proxy/listener.h"
#include "proxy/resolver.h"
#include <assert.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/un.h>
#include <unistd.h>

#define OWN_DESCRIPTORS 32      /* standard ones, the admin address and who asks it, certificates as they are read */
#define WORKERS_DESCRIPTORS 16  /* the loop, its timer and mailbox, the log, name servers, calls */
#define DESCRIPTORS_READY 65536u /* half a MiB of the kernel's memory */

struct gateway {
    struct config *config;
    struct worker *workers;
    size_t nworkers;
    int *fds; /* owned until a listener takes one: by worker, then by listener */
    atomic_uint running;
};

/* A unix socket cannot be bound twice: its workers accept from one socket, each by a descriptor of its own. */
static bool open_listeners(struct gateway *g) {
    size_t n = g->config->listeners.n;
    for (size_t i = 0; i < n; i++) {
        const struct listener_conf *l = config_listener(g->config, i);
        for (size_t w = 0; w < g->nworkers; w++) {
            const char *say = "";
            bool dup_first = l->address.kind == ADDRESS_UNIX && w > 0;
            int fd = dup_first ? dup(g->fds[i]) : listener_open(l, &say);
            g->fds[w * n + i] = fd;
            if (fd >= 0) continue;
            log_error("listener", "%.*s: cannot listen on %.*s: %s", STR_ARG(g->config->listeners.names[i].name), STR_ARG(l->address.text), say);
            return false;
        }
    }
    return true;
}
static void remove_sockets(const struct config *c) {
    for (size_t i = 0; i < c->listeners.n; i++) {
        const struct sockaddr_un *un = (const void *)&config_listener(c, i)->address.sa;
        if (config_listener(c, i)->address.kind == ADDRESS_UNIX) unlink(un->sun_path);
    }
}
static bool needs_resolver(const struct config *c) {
    for (size_t i = 0; i < c->upstreams.n; i++) {
        const struct upstream_conf *u = config_upstream(c, i);
        for (size_t k = 0; k < u->nendpoints; k++) {
            if (u->endpoints[k].kind == ADDRESS_NAME) return true;
        }
    }
    return false;
}
static bool open_log(struct worker *w) {
    const char *say = NULL;
    const struct log_conf *l = &w->config->log;
    w->log = access_log_new((enum access_kind)l->access, l->access_file, &say);
    if (!w->log) log_error("log", "%.*s: %s", STR_ARG(l->access_file), say);
    return w->log != NULL;
}
/* All that a worker has, before its thread begins. */
static bool equip(struct gateway *g, struct worker *w) {
    const struct config *c = g->config;
    const char *say = NULL;
    if (!open_log(w)) return false;
    if (needs_resolver(c)) {
        w->resolver = resolver_new(w->base, &w->wheel, w->now, NULL, &say);
        if (!w->resolver) {
            log_error("resolver", "%s", say);
            return false;
        }
    }
    w->upstreams = mem_zalloc((c->upstreams.n + 1) * sizeof *w->upstreams);
    for (size_t i = 0; i < c->upstreams.n; i++) {
        w->upstreams[w->nupstreams++] = upstream_new(w, config_upstream(c, i), c->upstreams.names[i].name, &exchange_up_events);
    }
    w->peers = g->workers;
    health_start(w);
    w->listeners = mem_zalloc((c->listeners.n + 1) * sizeof *w->listeners);
    for (size_t i = 0; i < c->listeners.n; i++) {
        int *fd = &g->fds[w->index * c->listeners.n + i];
        w->listeners[w->nlisteners++] = listener_new(w, config_listener(c, i), c->listeners.names[i].name, *fd, &exchange_down_events);
        *fd = -1;
    }
    return true;
}

static void *thread_main(void *arg) {
    struct worker *w = arg;
    worker_run(w);
    kill(getpid(), SIGCHLD); /* wakes the main thread: is it the last? */
    return NULL;
}
static void tell_all(struct gateway *g, enum message_kind kind) {
    for (size_t i = 0; i < g->nworkers; i++) worker_post_kind(&g->workers[i], kind);
}
static void block_signals(sigset_t *set) {
    sigemptyset(set);
    int all[] = { SIGTERM, SIGINT, SIGUSR1, SIGHUP, SIGCHLD };
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) sigaddset(set, all[i]);
    pthread_sigmask(SIG_BLOCK, set, NULL);
    signal(SIGPIPE, SIG_IGN);
}
/* The main thread's life: until every worker has returned. */
static void serve_signals(struct gateway *g, const sigset_t *set) {
    bool draining = false;
    size_t ended = 0;
    while (ended < g->nworkers) {
        int sig = 0;
        if (sigwait(set, &sig)) continue;
        if (sig == SIGTERM || sig == SIGINT) {
            log_info("gateway", draining ? "stopping" : "draining");
            tell_all(g, draining ? MESSAGE_STOP : MESSAGE_DRAIN);
            draining = true;
        } else if (sig == SIGUSR1) {
            tell_all(g, MESSAGE_REOPEN_LOG);
        } else if (sig == SIGHUP) {
            certificates_reload(g->config, g->workers, g->nworkers);
        }
        for (ended = 0; ended < g->nworkers && atomic_load(&g->workers[ended].returned); ended++) { }
    }
}
/* As many descriptors as may be, and the kernel's table of them grown before there are threads: once there are, each time it doubles, at the 256th
 * descriptor, the 512th and so on, whoever opens that one waits for a grace period of RCU: 5 to 20 ms, for which its whole loop stands still. */
static int64_t raise_descriptor_limit(void) {
    struct rlimit r;
    if (getrlimit(RLIMIT_NOFILE, &r)) return 1024;
    r.rlim_cur = r.rlim_max;
    setrlimit(RLIMIT_NOFILE, &r);
    rlim_t last = r.rlim_cur < DESCRIPTORS_READY ? r.rlim_cur : DESCRIPTORS_READY;
    int fd = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, (int)last - 1);
    if (fd >= 0) close(fd);
    return r.rlim_cur < INT32_MAX ? (int64_t)r.rlim_cur : INT32_MAX;
}
/* Clients that take every descriptor would leave none to ask an upstream with, to write the log or to be told so: what the others need is kept back, but for
 * no more than half. */
static void share_descriptors(struct gateway *g, int64_t limit) {
    const struct config *c = g->config;
    int64_t own = OWN_DESCRIPTORS + c->workers * (WORKERS_DESCRIPTORS + (int64_t)c->listeners.n), wanted = 0;
    for (size_t i = 0; i < c->upstreams.n; i++) {
        const struct upstream_conf *u = config_upstream(c, i);
        int64_t n = i64_add_sat(u->max_connections, u->health ? (int64_t)u->nendpoints : 0);
        wanted = i64_add_sat(wanted, n > c->workers ? n : c->workers);
    }
    int64_t left = limit > own ? limit - own : 0, kept = wanted < left / 2 ? wanted : left / 2;
    int64_t clients = left - kept > c->workers ? left - kept : c->workers;
    for (size_t i = 0; i < g->nworkers; i++) g->workers[i].max_clients = (size_t)config_share(clients, c->workers, (unsigned)i);
    log_info("gateway", "%lld descriptors: room for %lld clients and %lld connections to upstreams", (long long)limit, (long long)clients, (long long)kept);
    if (kept < wanted) log_warn("gateway", "upstreams may have %lld connections: raise the limit of descriptors (LimitNOFILE)", (long long)wanted);
}
static bool start(struct gateway *g) {
    if (!certificates_build(g->config) || !open_listeners(g)) return false;
    for (size_t i = 0; i < g->nworkers; i++) {
        if (!equip(g, &g->workers[i])) return false;
    }
    return !g->config->admin || admin_start(g->config, g->workers, g->nworkers);
}
int gateway_run(struct config *config) {
    sigset_t set;
    block_signals(&set);
    int64_t descriptors = raise_descriptor_limit();
    log_level = (enum log_level)config->log.level;
    struct gateway g = { .config = config, .nworkers = (size_t)config->workers };
    size_t nfds = g.nworkers * config->listeners.n;
    g.fds = mem_alloc((nfds + 1) * sizeof *g.fds);
    for (size_t i = 0; i < nfds; i++) g.fds[i] = -1;
    g.workers = aligned_alloc(64, g.nworkers * sizeof *g.workers);
    for (size_t i = 0; i < g.nworkers; i++) worker_init(&g.workers[i], &os_linux, config, (unsigned)i, (unsigned)g.nworkers);
    share_descriptors(&g, descriptors);
    bool ok = start(&g);
    if (ok) {
        for (size_t i = 0; i < g.nworkers; i++) {
            if (pthread_create(&g.workers[i].thread, NULL, thread_main, &g.workers[i])) abort();
        }
        log_info("gateway", "curfew " CURFEW_VERSION ": %zu workers, %zu listeners, %zu upstreams, %zu routes", g.nworkers, config->listeners.n,
                 config->upstreams.n, config->routes.n);
        serve_signals(&g, &set);
        for (size_t i = 0; i < g.nworkers; i++) pthread_join(g.workers[i].thread, NULL);
    }
    admin_stop();
    for (size_t i = 0; i < g.nworkers; i++) worker_free(&g.workers[i]);
    for (size_t i = 0; i < nfds; i++) {
        if (g.fds[i] >= 0) close(g.fds[i]);
    }
    if (ok) remove_sockets(config);
    free(g.fds);
    free(g.workers);
    if (ok) log_info("gateway", "stopped");
    return ok ? 0 : 1;
}
