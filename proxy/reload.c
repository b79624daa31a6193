// SPDX-License-Identifier: Apache-2.0
// Going over to another configuration: see reload.h.
#include "proxy/reload.h"
#include "proxy/admin.h"
#include "proxy/handover.h"
#include "proxy/listener.h"
#include <semaphore.h>
#include <stdlib.h>
#include <sys/stat.h>

void reload_remove_sockets(const struct config *c) {
    for (size_t i = 0; i < c->listeners.n; i++) listener_remove_file(config_listener(c, i));
}
static struct handover **prepare(const struct reload *r, const struct config *before, struct config *now) {
    struct handover **v = mem_zalloc(r->n * sizeof *v);
    int64_t clients = descriptors_of_clients(now, r->descriptors, (int64_t)r->n);
    if (handover_prepare(before, now, r->workers, r->n, clients, v)) return v;
    free(v);
    return NULL;
}
static void tell_printer(const struct reload *r, const struct config *now, struct handover *const *v) {
    struct route_counters **counters = mem_zalloc(r->n * sizeof *counters);
    for (size_t i = 0; i < r->n; i++) counters[i] = route_counters_ref(v[i]->routes);
    admin_take(now, r->workers, r->n, counters);
    free(counters);
    metrics_configured(os_linux.wall_ns());
}
bool reload_begin(struct reload *r) {
    struct handover **v = prepare(r, NULL, r->config);
    if (!v) return false;
    tell_printer(r, r->config, v);
    bool ok = true;
    for (size_t i = 0; i < r->n; i++) {
        ok = ok && snapshot_resolves(&r->workers[i], r->config);
        snapshot_take(&r->workers[i], v[i]);
    }
    free(v);
    return ok;
}

/* ---- again ------------------------------------------------------------------------------------------------------------------------------ */
/* Two of them at one address would share its clients. */
static bool spares_admin(const struct config *now) {
    const struct address *admin = admin_address();
    for (size_t i = 0; admin && i < now->listeners.n; i++) {
        if (!address_is_same(&config_listener(now, i)->address, admin)) continue;
        log_error("reload", "%.*s: cannot listen on %.*s: it is the admin address until a restart", STR_ARG(now->listeners.names[i].name),
                  STR_ARG(admin->text));
        return false;
    }
    return true;
}
/* A pipe would hold up all signals until somebody wrote to it; and what it gave at the start is gone. */
static bool is_file(const char *path) {
    struct stat st;
    if (stat(path, &st) != 0 || S_ISREG(st.st_mode)) return true; /* why there is none is said by who reads it */
    log_error("reload", "%s: not a regular file: it cannot be read again", path);
    return false;
}
/* An empty file is one that somebody is about to write. */
static bool has_listeners(const struct reload *r, const struct config *now) {
    if (now->listeners.n || !r->config->listeners.n) return true;
    log_error("reload", "%s: without listeners nobody could connect: that needs a restart", r->path);
    return false;
}
/* A resolver is made in its worker's thread, which answers within a turn: nobody drains, so that all read their mail. Those that could make theirs keep
 * it, for the next file. */
struct asked { const struct config *config; atomic_bool failed; sem_t answers; };
static void on_asked(struct worker *w, void *arg) {
    struct asked *a = arg;
    if (!snapshot_resolves(w, a->config)) atomic_store(&a->failed, true);
    sem_post(&a->answers);
}
static bool workers_resolve(const struct reload *r, const struct config *now) {
    struct asked a = { .config = now };
    if (!snapshot_has_names(now)) return true;
    sem_init(&a.answers, 0, 0);
    for (size_t i = 0; i < r->n; i++) {
        struct message *m = mem_zalloc(sizeof *m);
        *m = (struct message){ .kind = MESSAGE_CALL, .call = on_asked, .arg = &a };
        worker_post(&r->workers[i], m);
    }
    for (size_t i = 0; i < r->n; i++) {
        while (sem_wait(&a.answers)) { }
    }
    sem_destroy(&a.answers);
    return !atomic_load(&a.failed);
}
static struct str text_of(const struct address *a) { return a ? a->text : STR("none"); }
static void warn_of_fixed(const struct reload *r, const struct config *now) {
    struct str admin = text_of(now->admin ? &now->admin->address : NULL), stays = text_of(admin_address());
    if (now->workers != (int64_t)r->n) {
        log_warn("reload", "workers: %lld needs a restart, it stays %zu", (long long)now->workers, r->n);
    }
    if (!str_eq(admin, stays)) log_warn("reload", "admin.address: %.*s needs a restart, it stays %.*s", STR_ARG(admin), STR_ARG(stays));
}
static void remove_closed(const struct config *before, const struct config_change *d) {
    for (size_t i = 0; i < before->listeners.n; i++) {
        if (!d->listener_stays[i]) listener_remove_file(config_listener(before, i));
    }
}
/* To all at once: what one of them tells the others of the new one's upstreams (their health) comes after it. */
static void post(const struct reload *r, struct handover *const *v) {
    struct message **m = mem_zalloc(r->n * sizeof *m);
    for (size_t i = 0; i < r->n; i++) {
        m[i] = mem_zalloc(sizeof *m[i]);
        *m[i] = (struct message){ .kind = MESSAGE_CONFIG, .arg = v[i] };
    }
    worker_post_all(r->workers, m, r->n);
    free(m);
}
/* The handovers are the workers' from here on, and `now` ours. */
static void go_over(struct reload *r, struct config *now, struct handover **v, const struct config_change *d) {
    struct config *before = r->config;
    tell_printer(r, now, v);
    r->config = now;
    log_level = (enum log_level)now->log.level;
    post(r, v);
    remove_closed(before, d);
    config_unref(before);
}
static void refuse(struct config *now) {
    config_unref(now);
    metrics_reloaded(RELOAD_REFUSED);
    log_error("reload", "the configuration was refused: the old one stays in use");
}
void reload_run(struct reload *r) {
    instant begun = os_linux.now();
    struct config *now = is_file(r->path) ? config_load(r->path, NULL, 0, NULL, stderr) : NULL;
    struct handover **v = now && has_listeners(r, now) && spares_admin(now) && workers_resolve(r, now) ? prepare(r, r->config, now) : NULL;
    if (!v) {
        refuse(now);
        return;
    }
    const struct config_change *d = v[0]->change; /* in now's memory */
    warn_of_fixed(r, now);
    go_over(r, now, v, d);
    free(v);
    metrics_reloaded(RELOAD_APPLIED);
    log_info("reload", "%s was read in %.1f ms: listeners +%zu -%zu, upstreams +%zu -%zu, %zu routes", r->path,
             (double)instant_until(begun, os_linux.now()).ns / NS_PER_MS, d->listeners_opened, d->listeners_closed, d->upstreams_added,
             d->upstreams_retired, now->routes.n);
}
