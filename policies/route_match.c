// SPDX-License-Identifier: Apache-2.0
// Which route a request takes: the first whose every condition holds. The hot path of every request: nothing is copied but a path that had to
// be normalised, and a route that does not match is left after one comparison.
#include "policies/route_matcher.h"
#include <arpa/inet.h>
#include <assert.h>

/* ---- host ------------------------------------------------------------------------------------------------------------------------- */

struct str route_host(struct str authority) {
    struct str host = authority;
    if (host.n && host.p[0] == '[') {
        size_t end = str_index(host, ']');
        return end < host.n ? str_first(host, end + 1) : host;
    }
    host = str_first(host, str_index(host, ':'));
    if (host.n > 1 && host.p[host.n - 1] == '.') host.n--;
    return host;
}

bool route_ipv6(struct str host, uint8_t address[16]) {
    char text[INET6_ADDRSTRLEN];
    if (host.n > 1 && host.p[0] == '[' && host.p[host.n - 1] == ']') host = (struct str){ host.p + 1, host.n - 2 };
    if (!host.n || host.n >= sizeof text) return false;
    memcpy(text, host.p, host.n);
    text[host.n] = 0;
    return inet_pton(AF_INET6, text, address) == 1;
}

static bool host_matches(const struct host_pattern *p, struct str host) {
    uint8_t address[16];
    switch (p->shape) {
    case HOST_ANY: return true;
    case HOST_EXACT: return str_eq_nocase(host, p->text);
    case HOST_SUFFIX: return host.n > p->text.n && str_eq_nocase(str_from(host, host.n - p->text.n), p->text);
    case HOST_IPV6: return host.n && host.p[0] == '[' && route_ipv6(host, address) && memcmp(address, p->address, sizeof address) == 0;
    }
    return false;
}

/* ---- path ------------------------------------------------------------------------------------------------------------------------- */

/* The segments after the lead. *at: how far the pattern's part before a final slash-star reached. */
static bool segments_match(const struct path_pattern *p, struct route_match *m, size_t *at) {
    struct str path = m->path;
    size_t pos = p->lead.n, ncaptures = 0;
    for (size_t i = 0; i < p->nparts; i++) {
        const struct path_part *part = &p->parts[i];
        struct str left = str_from(path, pos);
        if (!part->capture) {
            if (!str_starts(left, part->text)) return false;
            pos += part->text.n;
            continue;
        }
        if (left.n < 2 || left.p[0] != '/') return false;
        struct str value = str_first(str_from(left, 1), str_index(str_from(left, 1), '/'));
        if (!value.n) return false;
        m->captures[ncaptures++] = (struct capture){ part->text, value };
        pos += 1 + value.n;
    }
    if (pos != path.n && !(p->rest && path.p[pos] == '/')) return false;
    m->ncaptures = ncaptures;
    *at = pos;
    return true;
}

static inline bool path_matches(const struct path_pattern *p, struct route_match *m) {
    m->ncaptures = 0;
    m->prefix_len = 0;
    if (p->shape == PATH_ANY) return true;
    if (!str_starts(m->path, p->lead)) return false;
    m->prefix_len = p->lead.n;
    if (p->shape == PATH_SEGMENTS) return segments_match(p, m, &m->prefix_len);
    return m->path.n == p->lead.n || (p->shape == PATH_PREFIX && m->path.p[p->lead.n] == '/');
}

/* ---- the rest --------------------------------------------------------------------------------------------------------------------- */

bool route_is_date(struct str s) {
    for (size_t i = 0; i < s.n; i++)
        if (i == 4 || i == 7 ? s.p[i] != '-' : s.p[i] < '0' || s.p[i] > '9') return false;
    return s.n == 10;
}

/* The number at *rest, which moves behind its dot; where nothing is left, 0: 1.2 is 1.2.0. False: no number. */
static bool next_number(struct str *rest, bool *more, uint64_t *v) {
    *v = 0;
    if (!*more) return true;
    size_t n = str_index(*rest, '.');
    bool good = str_to_u64(str_first(*rest, n), v);
    *more = n < rest->n;
    *rest = str_from(*rest, n + *more);
    return good;
}

bool route_is_at_least(struct str value, struct str least) {
    if (route_is_date(least)) return route_is_date(value) && memcmp(value.p, least.p, least.n) >= 0;
    bool more_x = true, more_y = true;
    int order = 0;
    while (more_x || more_y) { /* to the end, so that "2.beta" is no version */
        uint64_t x, y;
        if (!next_number(&value, &more_x, &x) || !next_number(&least, &more_y, &y)) return false;
        if (order == 0) order = (x > y) - (x < y);
    }
    return order >= 0;
}

/* A repeated field is its values joined by commas (RFC 9110 5.3): a second one cannot slip past the first. */
static bool condition_holds(const struct header_condition *k, const struct head *h) {
    if (k->kind == CONDITION_PRESENT || k->kind == CONDITION_ABSENT)
        return (head_find_name(h, k->name, NULL) != NULL) == (k->kind == CONDITION_PRESENT);
    if (!head_find_name(h, k->name, NULL)) return false;
    struct str value = head_joined(h, k->name);
    if (k->kind == CONDITION_EXACT) return str_eq(value, k->value);
    if (k->kind == CONDITION_PREFIX) return str_starts(value, k->value);
    return route_is_at_least(value, k->value);
}

static bool conditions_hold(const struct header_conditions *all, const struct head *h) {
    for (size_t i = 0; i < all->n; i++)
        if (!condition_holds(&all->v[i], h)) return false;
    return true;
}

static bool has_method(const struct conf_refs *methods, struct str method) {
    for (size_t i = 0; i < methods->n; i++)
        if (str_eq(methods->v[i].name, method)) return true;
    return false;
}
static inline bool method_matches(const struct conf_refs *methods, struct str method) { return !methods->n || has_method(methods, method); }
bool route_names_method(const struct route *r, struct str method) { return has_method(&r->match->method, method); }

static bool is_rpc(const struct rpc *rpc) { return rpc && strcmp(rpc->family, "http") != 0; }

static inline bool matches(const struct route_matcher *t, const struct head *h, const struct rpc *rpc, struct str host, struct route_match *m) {
    return path_matches(&t->path_pattern, m) && host_matches(&t->host_pattern, host) && (!t->rpc_only || is_rpc(rpc)) &&
           method_matches(&t->method, h->method) && conditions_hold(&t->header, h);
}

/* Cuts the target into path and query. False: bad. "*" (OPTIONS *, RFC 9112 3.2.4) is its own path. */
static bool take_target(struct str target, struct arena *a, struct route_match *m) {
    size_t at = str_index(target, '?');
    struct str path = str_first(target, at);
    m->has_query = at < target.n;
    m->query = m->has_query ? str_from(target, at + 1) : (struct str){ 0 };
    m->path_changed = false;
    if (str_eq(target, STR("*"))) {
        m->path = path;
        return true;
    }
    if (at == 0) path = STR("/"); /* RFC 9110 4.2.3: http://host?query has the path "/" */
    if (!route_normalise(a, path, &m->path)) return false;
    m->path_changed = m->path.p != target.p;
    return true;
}

bool route_match(const struct route *routes, size_t n, const struct head *h, const struct rpc *rpc, struct arena *a, struct route_match *m,
                 bool *bad) {
    *bad = false;
    m->route = NULL;
    if (!h->target.n) return false; /* CONNECT host:port has no path that a route could name */
    if (!take_target(h->target, a, m)) {
        *bad = true;
        return false;
    }
    struct str host = route_host(h->authority);
    for (size_t i = 0; i < n; i++) {
        if (!matches(routes[i].match, h, rpc, host, m)) continue;
        m->route = &routes[i];
        return true;
    }
    return false;
}
