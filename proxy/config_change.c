// SPDX-License-Identifier: Apache-2.0
// Which parts of two configurations are the same: see config_change.h. Once a reload, so that names are looked up by walking.
#include "proxy/config_change.h"
#include "proxy/config_tables.h"
#include <stdlib.h>

static bool is_same(const struct conf_table *table, const void *a, const void *b) {
    const void *at[] = { a, b };
    char *text[2] = { NULL };
    size_t n[2] = { 0 };
    if (!a || !b) return a == b;
    for (int i = 0; i < 2; i++) {
        FILE *f = open_memstream(&text[i], &n[i]);
        if (!f) abort();
        conf_print_effective(f, table, at[i]);
        fclose(f);
    }
    bool same = n[0] == n[1] && memcmp(text[0], text[1], n[0]) == 0;
    free(text[0]);
    free(text[1]);
    return same;
}
/* Port 0 is whatever was free: then the name tells them apart. */
static size_t listener_at(const struct config *c, const struct config *now, size_t k) {
    const struct address *a = &config_listener(now, k)->address;
    for (size_t i = 0; i < c->listeners.n; i++) {
        if (!address_is_same(&config_listener(c, i)->address, a)) continue;
        if (a->kind == ADDRESS_UNIX || a->port || str_eq(c->listeners.names[i].name, now->listeners.names[k].name)) return i;
    }
    return NOT_BEFORE;
}
static size_t upstream_like(const struct config *c, const struct config *now, size_t k) {
    for (size_t i = 0; i < c->upstreams.n; i++) {
        if (!str_eq(c->upstreams.names[i].name, now->upstreams.names[k].name)) continue;
        return is_same(&upstream_table, config_upstream(c, i), config_upstream(now, k)) ? i : NOT_BEFORE;
    }
    return NOT_BEFORE;
}
static size_t policy_named(const struct config *c, const struct config *now, size_t k) {
    const struct policy *p = policies_find(&c->policies, now->policies.names[k]);
    return p ? (size_t)(p - c->policies.v) : NOT_BEFORE;
}
static const struct route *route_at(const struct config *c, size_t i) { return CONF_AT(c->routes, struct route, i); }
static size_t route_like(const struct config *c, const struct config *now, size_t k) {
    struct str name = route_at(now, k)->name.name;
    if (!name.n) return k < c->routes.n && !route_at(c, k)->name.name.n ? k : NOT_BEFORE;
    for (size_t i = 0; i < c->routes.n; i++) {
        if (str_eq(route_at(c, i)->name.name, name)) return i;
    }
    return NOT_BEFORE;
}

typedef size_t find(const struct config *c, const struct config *now, size_t k);
static size_t *find_all(const struct config *before, struct config *now, size_t n, find *one) {
    size_t *v = arena_alloc(&now->conf.arena, (n + 1) * sizeof *v);
    for (size_t i = 0; i < n; i++) v[i] = before ? one(before, now, i) : NOT_BEFORE;
    return v;
}
static bool *none_of(struct config *now, size_t n) { return arena_zalloc(&now->conf.arena, n + 1); }
/* Marks those of the old that go on; returns how many of the new do. */
static size_t mark(bool *stays, const size_t *from, size_t n) {
    size_t count = 0;
    for (size_t i = 0; i < n; i++) {
        if (from[i] == NOT_BEFORE) continue;
        stays[from[i]] = true;
        count++;
    }
    return count;
}
static const bool *clients_stay(const struct config *before, struct config *now, const size_t *from) {
    bool *v = none_of(now, now->listeners.n);
    for (size_t i = 0; i < now->listeners.n; i++) {
        v[i] = from[i] != NOT_BEFORE && is_same(&tls_server_table, config_listener(before, from[i])->tls, config_listener(now, i)->tls);
    }
    return v;
}
static const bool *same_policy(const struct config *before, struct config *now, const struct config_change *d) {
    bool *policy = none_of(now, now->policies.n), *v = none_of(now, now->routes.n);
    for (size_t i = 0; i < now->policies.n; i++) {
        policy[i] = d->policies[i] != NOT_BEFORE && is_same(&policy_table, &before->policies.v[d->policies[i]], &now->policies.v[i]);
    }
    for (size_t i = 0; i < now->routes.n; i++) {
        size_t p = (size_t)(route_at(now, i)->use - now->policies.v);
        v[i] = d->routes[i] != NOT_BEFORE && policy[p] && route_at(before, d->routes[i])->use == &before->policies.v[d->policies[p]];
    }
    return v;
}
const struct config_change *config_change_find(const struct config *before, struct config *now) {
    struct config_change *d = ARENA_NEW(&now->conf.arena, struct config_change);
    size_t listeners = before ? before->listeners.n : 0, upstreams = before ? before->upstreams.n : 0;
    bool *listener_stays = none_of(now, listeners), *upstream_stays = none_of(now, upstreams);
    d->listeners = find_all(before, now, now->listeners.n, listener_at);
    d->upstreams = find_all(before, now, now->upstreams.n, upstream_like);
    d->routes = find_all(before, now, now->routes.n, route_like);
    d->policies = find_all(before, now, now->policies.n, policy_named);
    d->clients_stay = clients_stay(before, now, d->listeners);
    d->same_policy = same_policy(before, now, d);
    size_t kept = mark(listener_stays, d->listeners, now->listeners.n), same = mark(upstream_stays, d->upstreams, now->upstreams.n);
    d->listener_stays = listener_stays;
    d->upstream_stays = upstream_stays;
    d->listeners_opened = now->listeners.n - kept;
    d->listeners_closed = listeners - kept;
    d->upstreams_added = now->upstreams.n - same;
    d->upstreams_retired = upstreams - same;
    return d;
}
