// SPDX-License-Identifier: Apache-2.0
// Preparing what workers are given: see handover.h.
#define _GNU_SOURCE /* F_DUPFD_CLOEXEC */
#include "proxy/handover.h"
#include "proxy/certificates.h"
#include "proxy/listener.h"
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

struct handover *handover_new(struct config *config, const struct config_change *change, const struct route_counters *before) {
    struct handover *h = mem_zalloc(sizeof *h);
    *h = (struct handover){ .config = config_ref(config), .change = change };
    h->fds = mem_alloc((config->listeners.n + 1) * sizeof *h->fds);
    for (size_t i = 0; i < config->listeners.n; i++) h->fds[i] = -1;
    h->routes = route_counters_new(&config->routes, before, change->routes);
    return h;
}
void handover_free(struct handover *h) {
    if (!h) return;
    for (size_t i = 0; i < h->config->listeners.n; i++) {
        if (h->fds[i] >= 0) close(h->fds[i]);
    }
    free(h->fds);
    route_counters_unref(h->routes);
    access_log_free(h->log);
    config_unref(h->config);
    free(h);
}
/* A unix socket cannot be bound twice: its workers accept from one socket, each by a descriptor of its own. */
static bool open_listener(const struct config *c, size_t i, struct handover **v, size_t n) {
    const struct listener_conf *l = config_listener(c, i);
    for (size_t w = 0; w < n; w++) {
        const char *say = "";
        bool dup_first = l->address.kind == ADDRESS_UNIX && w > 0;
        v[w]->fds[i] = dup_first ? fcntl(v[0]->fds[i], F_DUPFD_CLOEXEC, 0) : listener_open(l, &say);
        if (v[w]->fds[i] >= 0) continue;
        if (dup_first) say = strerror(errno);
        log_error("listener", "%.*s: cannot listen on %.*s: %s", STR_ARG(c->listeners.names[i].name), STR_ARG(l->address.text), say);
        return false;
    }
    return true;
}
/* What was opened serves nobody after all. The descriptors go with their handovers. */
static void remove_files(const struct config *c, const struct handover *first) {
    for (size_t i = 0; i < c->listeners.n; i++) {
        if (first->fds[i] >= 0) listener_remove_file(config_listener(c, i));
    }
}
static bool open_listeners(const struct config *c, struct handover **v, size_t n) {
    for (size_t i = 0; i < c->listeners.n; i++) {
        if (v[0]->change->listeners[i] == NOT_BEFORE && !open_listener(c, i, v, n)) return false;
    }
    return true;
}
static bool open_logs(const struct config *before, const struct config *now, struct handover **v, size_t n) {
    const struct log_conf *l = &now->log;
    if (before && before->log.access == l->access && str_eq(before->log.access_file, l->access_file)) return true;
    for (size_t w = 0; w < n; w++) {
        const char *say = NULL;
        v[w]->log = access_log_new((enum access_kind)l->access, l->access_file, &say);
        if (v[w]->log) continue;
        log_error("log", "%.*s: %s", STR_ARG(l->access_file), say);
        return false;
    }
    return true;
}
bool handover_prepare(const struct config *before, struct config *now, const struct worker *workers, size_t n, int64_t clients, struct handover **out) {
    const struct config_change *change = config_change_find(before, now);
    for (size_t w = 0; w < n; w++) {
        out[w] = handover_new(now, change, workers[w].metrics.routes);
        out[w]->max_clients = (size_t)config_share(clients, (int64_t)n, (unsigned)w);
    }
    if (certificates_build(now, before, change) && open_listeners(now, out, n) && open_logs(before, now, out, n)) return true;
    remove_files(now, out[0]);
    for (size_t w = 0; w < n; w++) {
        handover_free(out[w]);
        out[w] = NULL;
    }
    return false;
}
