// SPDX-License-Identifier: Apache-2.0
// Workers, listeners and signals: see gateway.h. The main thread only waits for signals; every worker is a thread that shares nothing.
#include "proxy/gateway.h"
#include "proxy/admin.h"
#include "proxy/notify.h"
#include "proxy/reload.h"
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

static void *thread_main(void *arg) {
    struct worker *w = arg;
    worker_run(w);
    kill(getpid(), SIGCHLD); /* wakes the main thread: is it the last? */
    return NULL;
}
static void tell_all(struct reload *g, enum message_kind kind) {
    for (size_t i = 0; i < g->n; i++) worker_post_kind(&g->workers[i], kind);
}
static void block_signals(sigset_t *set) {
    sigemptyset(set);
    int all[] = { SIGTERM, SIGINT, SIGUSR1, SIGHUP, SIGCHLD };
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) sigaddset(set, all[i]);
    pthread_sigmask(SIG_BLOCK, set, NULL);
    signal(SIGPIPE, SIG_IGN);
}
/* The main thread's life: until every worker has returned. */
static void serve_signals(struct reload *g, const sigset_t *set) {
    bool draining = false;
    size_t ended = 0;
    while (ended < g->n) {
        int sig = 0;
        if (sigwait(set, &sig)) continue;
        if (sig == SIGTERM || sig == SIGINT) {
            log_info("gateway", draining ? "stopping" : "draining");
            tell_all(g, draining ? MESSAGE_STOP : MESSAGE_DRAIN);
            if (!draining) notify_supervisor("STOPPING=1");
            draining = true;
        } else if (sig == SIGUSR1) {
            tell_all(g, MESSAGE_REOPEN_LOG);
        } else if (sig == SIGHUP && draining) {
            log_info("gateway", "draining: the configuration is not read again");
        } else if (sig == SIGHUP) {
            reload_run(g);
        }
        for (ended = 0; ended < g->n && atomic_load(&g->workers[ended].returned); ended++) { }
    }
}
static bool start(struct reload *g) {
    return reload_begin(g) && (!g->config->admin || admin_start(g->config, g->workers, g->n));
}
static void run(struct reload *g, const sigset_t *set) {
    for (size_t i = 0; i < g->n; i++) {
        if (pthread_create(&g->workers[i].thread, NULL, thread_main, &g->workers[i])) abort();
    }
    log_info("gateway", "curfew " CURFEW_VERSION ": %zu workers, %zu listeners, %zu upstreams, %zu routes", g->n, g->config->listeners.n,
             g->config->upstreams.n, g->config->routes.n);
    notify_supervisor("READY=1"); /* the listeners listen since start() */
    serve_signals(g, set);
    for (size_t i = 0; i < g->n; i++) pthread_join(g->workers[i].thread, NULL);
}
int gateway_run(struct config *config, const char *path) {
    sigset_t set;
    block_signals(&set);
    struct reload g = { .path = path, .config = config_ref(config), .n = (size_t)config->workers, .descriptors = descriptors_raise() };
    log_level = (enum log_level)config->log.level;
    g.workers = aligned_alloc(64, g.n * sizeof *g.workers);
    for (size_t i = 0; i < g.n; i++) {
        worker_init(&g.workers[i], &os_linux, (unsigned)i, (unsigned)g.n);
        g.workers[i].peers = g.workers;
    }
    bool ok = start(&g);
    if (ok) run(&g, &set);
    admin_stop();
    for (size_t i = 0; i < g.n; i++) worker_free(&g.workers[i]);
    if (ok) reload_remove_sockets(g.config);
    config_unref(g.config);
    free(g.workers);
    if (ok) log_info("gateway", "stopped");
    return ok ? 0 : 1;
}
