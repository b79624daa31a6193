// SPDX-License-Identifier: Apache-2.0
// What a route changes in a request: the target that the upstream gets, header fields, and the Location of a redirect.
#include "policies/route_matcher.h"

struct text { char *p; size_t n; };

static void put(struct text *t, struct str s) {
    if (s.n) memcpy(t->p + t->n, s.p, s.n);
    t->n += s.n;
}

static bool is_asterisk(const struct route_match *m) { return m->path.n == 1 && m->path.p[0] == '*'; }

/* The path with what the pattern's literal part covered replaced by prefix; exactly one slash stands where they meet. */
static void put_rewritten(struct text *t, struct str prefix, const struct route_match *m) {
    struct str rest = str_from(m->path, m->prefix_len);
    if (prefix.n && rest.n && prefix.p[prefix.n - 1] == '/') prefix.n--; /* a rest begins with its slash */
    put(t, prefix);
    put(t, rest);
}

static void put_query(struct text *t, const struct route_match *m) {
    if (!m->has_query) return;
    put(t, STR("?"));
    put(t, m->query);
}

void route_rewrite(const struct route_match *m, struct arena *a, struct head *up) {
    struct str prefix = m->route->rewrite.prefix.name;
    if (is_asterisk(m) || (!prefix.n && !m->path_changed)) return;
    struct text t = { arena_bytes(a, prefix.n + m->path.n + m->query.n + 1), 0 };
    if (prefix.n) put_rewritten(&t, prefix, m);
    else put(&t, m->path);
    put_query(&t, m);
    up->target = (struct str){ t.p, t.n };
}

void route_edit_headers(const struct header_edits *e, struct head *h) {
    for (size_t i = 0; i < e->nremove; i++) head_remove(h, e->remove[i]);
    for (size_t i = 0; i < e->nset; i++) head_set(h, e->set[i].name, e->set[i].value);
    for (size_t i = 0; i < e->nadd; i++) head_add(h, e->add[i].name, e->add[i].value);
}

static bool is_only_alike(struct str a, struct str b) { return str_is_alike(a, b) && !str_eq(a, b); }
bool route_edits_alike(const struct header_edits *e, struct str name) {
    for (size_t i = 0; i < e->nremove; i++)
        if (is_only_alike(e->remove[i], name)) return true;
    for (size_t i = 0; i < e->nset; i++)
        if (is_only_alike(e->set[i].name, name)) return true;
    return false;
}

/* An authority that a Location may repeat. What the client sent is checked for what would turn it into another one. */
static bool is_plain_authority(struct str s) {
    for (size_t i = 0; i < s.n; i++)
        if ((unsigned char)s.p[i] <= ' ' || strchr("/\\@?#\"<>", s.p[i])) return false;
    return s.n > 0;
}

/* Where the scheme changes, the old port belongs to the old scheme. */
static struct str location_host(const struct route_redirect *r, const struct head *h) {
    if (r->host.n) return r->host;
    return r->scheme.n ? route_host(h->authority) : h->authority;
}

struct str route_location(const struct route_match *m, const struct head *h, bool secure, struct arena *a) {
    const struct route_redirect *r = m->route->redirect;
    struct str scheme = r->scheme.n ? r->scheme : secure ? STR("https") : STR("http"), host = location_host(r, h);
    struct text t = { arena_bytes(a, scheme.n + 3 + host.n + 2 + r->prefix.n + r->path.n + m->path.n + m->query.n + 2), 0 };
    if ((r->host.n || r->scheme.n) && is_plain_authority(host)) {
        put(&t, scheme);
        put(&t, STR("://"));
        put(&t, host);
    }
    size_t start = t.n;
    if (r->path.n) put(&t, r->path);
    else if (is_asterisk(m)) put(&t, STR("/"));
    else if (r->prefix.n) put_rewritten(&t, r->prefix, m);
    else put(&t, m->path);
    if (start == 0 && t.n > 1 && t.p[1] == '/') { /* RFC 3986 4.2: "//evil.example" would name another host; "/.//" does not */
        memmove(t.p + 2, t.p, t.n);
        memcpy(t.p, "/.", 2);
        t.n += 2;
    }
    if (!r->strip_query) put_query(&t, m);
    return (struct str){ t.p, t.n };
}
