// SPDX-License-Identifier: Apache-2.0
// How a worker goes from one configuration to the next: see snapshot.h.
#include "proxy/snapshot.h"
#include "proxy/exchange.h"
#include "proxy/handover.h"
#include "proxy/health.h"
#include "proxy/listener.h"
#include "proxy/resolver.h"
#include "proxy/tls.h"
#include <assert.h>
#include <stdlib.h>

/* ---- the lease ---------------------------------------------------------------------------------------------------------------------- */
static struct lease *lease_new(struct config *config) {
    struct lease *l = mem_zalloc(sizeof *l);
    *l = (struct lease){ .refs = 1, .config = config_ref(config) };
    return l;
}
struct lease *lease_ref(struct lease *l) {
    if (l) l->refs++;
    return l;
}
void lease_unref(struct lease *l) {
    if (!l || --l->refs > 0) return;
    config_unref(l->config);
    free(l);
}

/* ---- life --------------------------------------------------------------------------------------------------------------------------- */
struct snapshot *snapshot_new(struct worker *w, struct config *config) {
    struct snapshot *s = mem_zalloc(sizeof *s);
    *s = (struct snapshot){ .w = w, .refs = 1, .lease = config ? lease_new(config) : NULL, .config = config };
    w->nsnapshots++;
    return s;
}
struct snapshot *snapshot_ref(struct snapshot *s) {
    s->refs++;
    return s;
}
void snapshot_unref(struct snapshot *s) {
    assert(s->refs > 0);
    if (--s->refs == 0) list_push(&s->w->stale, &s->stale);
}
static void end_judges(struct snapshot *s) {
    for (size_t i = 0; s->judges && i < s->config->routes.n; i++) {
        if (s->judges[i] && --s->judges[i]->refs == 0) free(s->judges[i]);
    }
    free(s->judges);
}
static void snapshot_free(struct snapshot *s) {
    s->w->nsnapshots--;
    for (size_t i = 0; i < s->nlisteners; i++) listener_free(s->listeners[i]);
    for (size_t i = 0; i < s->nupstreams; i++) upstream_unref(s->upstreams[i]);
    end_judges(s);
    route_counters_unref(s->routes);
    free(s->listeners);
    free(s->upstreams);
    free(s->calls_whole_at);
    lease_unref(s->lease);
    free(s);
}
void snapshot_free_stale(struct worker *w) {
    for (struct list *n; (n = list_shift(&w->stale));) snapshot_free(LIST_OF(n, struct snapshot, stale));
}

/* ---- routes and policies -------------------------------------------------------------------------------------------------------------- */
static void take_judges(struct snapshot *s, const struct snapshot *old, const struct config_change *d) {
    const struct conf_array *routes = &s->config->routes;
    s->judges = mem_zalloc((routes->n + 1) * sizeof *s->judges);
    for (size_t i = 0; i < routes->n; i++) {
        const struct deadline_policy *p = &CONF_AT(*routes, struct route, i)->use->deadline;
        if (!p->max_reject && !p->needs.percent) continue;
        s->judges[i] = d->same_policy[i] ? old->judges[d->routes[i]] : mem_zalloc(sizeof *s->judges[i]);
        s->judges[i]->refs++;
    }
}
/* A rate that is used up is not whole again for having been read anew. */
static void take_calls(struct snapshot *s, const struct snapshot *old, const struct config_change *d) {
    size_t n = s->config->policies.n;
    s->calls_whole_at = mem_zalloc((n + 1) * sizeof *s->calls_whole_at);
    for (size_t i = 0; i < n; i++) {
        if (d->policies[i] != NOT_BEFORE) s->calls_whole_at[i] = old->calls_whole_at[d->policies[i]];
    }
}

/* ---- upstreams ------------------------------------------------------------------------------------------------------------------------ */
bool snapshot_has_names(const struct config *c) {
    for (size_t i = 0; i < c->upstreams.n; i++) {
        const struct upstream_conf *u = config_upstream(c, i);
        for (size_t k = 0; k < u->nendpoints; k++) {
            if (u->endpoints[k].kind == ADDRESS_NAME) return true;
        }
    }
    return false;
}
bool snapshot_resolves(struct worker *w, const struct config *c) {
    const char *say = NULL;
    if (w->resolver || !w->base || !snapshot_has_names(c)) return true;
    w->resolver = resolver_new(w->base, &w->wheel, w->now, NULL, &say);
    if (!w->resolver) log_error("resolver", "%s", say);
    return w->resolver != NULL;
}
/* The file may say the same and its certificates something else. */
static void take_tls(struct upstream *u, const struct upstream_conf *conf) {
    if (conf->tls) upstream_take_tls(u, tls_client_ref(conf->tls->built));
}
/* One endpoint more is no reason to end the streams and tunnels of the others. */
static bool has_heir(const struct snapshot *s, const struct upstream *u) {
    const struct conf_map *all = &s->config->upstreams;
    for (size_t i = 0; i < all->n; i++)
        if (str_eq(all->names[i].name, upstream_name(u))) return true;
    return false;
}
static void take_upstreams(struct snapshot *s, const struct snapshot *old, const struct config_change *d) {
    const struct conf_map *all = &s->config->upstreams;
    s->upstreams = mem_zalloc((all->n + 1) * sizeof *s->upstreams);
    for (size_t i = 0; i < all->n; i++) {
        struct upstream *same = d->upstreams[i] == NOT_BEFORE ? NULL : old->upstreams[d->upstreams[i]];
        struct upstream *u = same ? same : upstream_new(s->w, config_upstream(s->config, i), all->names[i].name, &exchange_up_events);
        if (same) take_tls(u, config_upstream(s->config, i));
        else health_start(s->w, u, i);
        s->upstreams[s->nupstreams++] = upstream_ref(u);
    }
    for (size_t i = 0; i < old->nupstreams; i++) {
        struct upstream *u = old->upstreams[i];
        if (!d->upstream_stays[i]) upstream_retire(u, has_heir(s, u) ? SPAN_FOREVER : s->config->shutdown.drain_removed);
    }
}

/* ---- listeners ------------------------------------------------------------------------------------------------------------------------ */
void snapshot_add_listener(struct snapshot *s, struct listener *l) {
    s->listeners = mem_realloc(s->listeners, (s->nlisteners + 1) * sizeof *s->listeners);
    s->listeners[s->nlisteners++] = l;
}
static void take_listeners(struct snapshot *s, struct snapshot *old, struct handover *h) {
    const struct conf_map *all = &s->config->listeners;
    for (size_t i = 0; i < all->n; i++) {
        struct listener *l = listener_new(s->w, config_listener(s->config, i), all->names[i].name, h->fds[i], &exchange_down_events);
        size_t from = h->change->listeners[i];
        h->fds[i] = -1;
        if (from != NOT_BEFORE) listener_succeed(l, old->listeners[from], h->change->clients_stay[i]);
        snapshot_add_listener(s, l);
    }
    for (size_t i = 0; i < old->nlisteners; i++) listener_stop(old->listeners[i]); /* whose socket nobody took */
    listener_move_clients(s->w, old, s->config->shutdown.drain_removed);
}

/* ---- taking it ------------------------------------------------------------------------------------------------------------------------ */
static void take_log(struct worker *w, struct handover *h) {
    if (!h->log) return;
    if (w->log) {
        access_log_flush(w->log);
        w->dropped_before += access_log_dropped(w->log);
    }
    access_log_free(w->log);
    w->log = h->log;
    h->log = NULL;
}
static void take_beat(struct worker *w, const struct config *c) {
    span longest = span_ns(0);
    for (size_t i = 0; i < c->listeners.n; i++) longest = span_max(longest, config_listener(c, i)->beat);
    beat_configure(&w->beat, longest);
    metric_set(&w->metrics, METRIC_BEATING, w->beat.now.ns > 0);
}
void snapshot_take(struct worker *w, struct handover *h) {
    struct snapshot *old = w->snapshot;
    if (!w->draining) {
        struct snapshot *s = w->snapshot = snapshot_new(w, h->config);
        s->routes = h->routes;
        h->routes = NULL;
        w->max_clients = h->max_clients;
        take_judges(s, old, h->change);
        take_calls(s, old, h->change);
        take_upstreams(s, old, h->change);
        take_listeners(s, old, h);
        take_log(w, h);
        take_beat(w, h->config);
        load_follow(w, &h->config->load);
        load_limit(w, &h->config->limits);
        snapshot_unref(old);
    }
    handover_free(h);
}
