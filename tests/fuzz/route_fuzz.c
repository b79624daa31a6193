// SPDX-License-Identifier: Apache-2.0
// Targets against the routes: a normal path is a fixed point, has no dot segment and no escape of an unreserved character, is what a plain
// reading of RFC 3986 makes of it, and takes the same route in every spelling. What is sent upstream and as a Location is a normal path again.
#include "policies/route.h"
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>

#define MUST(what) ((what) ? (void)0 : (fprintf(stderr, "not so: %s\n", #what), abort()))
enum { TARGET_MAX = 512, SEGMENTS_MAX = TARGET_MAX + 8 /* what a rewrite puts before it */, PATH_MAX_HERE = 4096 };

/* ---- a plain reading, slow and simple ------------------------------------------------------------------------------------------------ */

struct segments { struct str v[SEGMENTS_MAX]; size_t n; };

static bool is_unreserved(int c) { return c < 128 && (isalnum(c) || c == '-' || c == '.' || c == '_' || c == '~'); }

static bool decode(struct str in, char *out, size_t *n) {
    *n = 0;
    for (size_t i = 0; i < in.n; i++) {
        unsigned char c = (unsigned char)in.p[i];
        if (c <= ' ' || c == 127 || c == '\\' || c == '#') return false;
        if (c != '%') {
            out[(*n)++] = (char)c;
            continue;
        }
        if (in.n - i < 3 || !isxdigit((unsigned char)in.p[i + 1]) || !isxdigit((unsigned char)in.p[i + 2])) return false;
        char hex[3] = { in.p[i + 1], in.p[i + 2], 0 };
        int byte = (int)strtol(hex, NULL, 16);
        if (byte == 0) return false;
        if (is_unreserved(byte)) out[(*n)++] = (char)byte;
        else *n += (size_t)snprintf(out + *n, 4, "%%%02X", (unsigned)byte);
        i += 2;
    }
    return true;
}

/* The segments of a path; an empty last one stands for a final slash. */
static void cut(struct str path, struct segments *s) {
    s->n = 0;
    for (size_t at = 1; at <= path.n;) {
        size_t end = at;
        while (end < path.n && path.p[end] != '/') end++;
        s->v[s->n++] = (struct str){ path.p + at, end - at };
        at = end + 1;
    }
}

static bool resolve(struct segments *s) {
    size_t out = 0;
    for (size_t i = 0; i < s->n; i++) {
        bool dots = str_eq(s->v[i], STR("..")), dot = str_eq(s->v[i], STR(".")), last = i + 1 == s->n;
        if (dots && out-- == 0) return false;
        if (!dots && !dot) s->v[out++] = s->v[i];
        else if (last) s->v[out++] = STR("");
    }
    s->n = out;
    return true;
}

static bool plain_reading(struct str path, char *buf, size_t *n) {
    static char decoded[PATH_MAX_HERE];
    static struct segments s;
    size_t len;
    if (!path.n || path.p[0] != '/' || !decode(path, decoded, &len)) return false;
    cut((struct str){ decoded, len }, &s);
    if (!resolve(&s)) return false;
    *n = 0;
    for (size_t i = 0; i < s.n; i++) {
        buf[(*n)++] = '/';
        memcpy(buf + *n, s.v[i].p, s.v[i].n);
        *n += s.v[i].n;
    }
    return true;
}

/* Does a pattern match? By recursion on segments, with none of the compiled form. */
static bool plain_match(struct str pattern, struct str path) {
    if (str_eq(pattern, STR("/*"))) return true; /* what is left, also nothing */
    if (!pattern.n || !path.n) return !pattern.n && !path.n;
    size_t a = 1 + str_index(str_from(pattern, 1), '/'), b = 1 + str_index(str_from(path, 1), '/');
    bool capture = pattern.p[1] == '{' && b > 1;
    if (!capture && !str_eq(str_first(pattern, a), str_first(path, b))) return false;
    return plain_match(str_from(pattern, a), str_from(path, b));
}

/* ---- the routes ------------------------------------------------------------------------------------------------------------------------- */

static const char *const patterns[] = { "/admin", "/admin/*", "/v1/orders/*", "/v1/{kind}", "/v1/{kind}/items/{id}", "/{a}/x/*", "/", "/*" };
#define ROUTES (sizeof patterns / sizeof *patterns)
static struct route routes[ROUTES];

static void load_routes(void) {
    static struct conf c;
    conf_init(&c);
    for (size_t i = 0; i < ROUTES; i++) {
        char yaml[256];
        int n = snprintf(yaml, sizeof yaml, "match: { path: \"%s\" }\nredirect: { %s: /new }\n%s", patterns[i], "prefix",
                         i % 2 ? "rewrite: { prefix: /up/ }\n" : "");
        struct conf_node *node = conf_parse(&c, "y", yaml, (size_t)n);
        if (!node || !conf_load(&c, node, &route_table, &routes[i])) conf_report(&c, stderr), abort();
    }
}

static const struct rpc http = { .name = "http", .family = "http" };

static const struct route *take(struct arena *a, struct str target, struct head *h, struct route_match *m, bool *bad) {
    head_init(h, a, true);
    h->method = STR("GET");
    h->authority = STR("h.example");
    h->target = target;
    return route_match(routes, ROUTES, h, &http, a, m, bad) ? m->route : NULL;
}

/* ---- what must hold ------------------------------------------------------------------------------------------------------------------- */

static void must_be_normal(struct arena *a, struct str path) {
    struct str again;
    static struct segments s;
    MUST(route_normalise(a, path, &again) && str_eq(again, path));
    MUST(path.p[0] == '/');
    cut(path, &s);
    for (size_t i = 0; i < s.n; i++) MUST(!str_eq(s.v[i], STR(".")) && !str_eq(s.v[i], STR("..")));
    for (size_t i = 0; i < path.n; i++) {
        if (path.p[i] != '%') continue;
        char hex[3] = { path.p[i + 1], path.p[i + 2], 0 };
        MUST(!is_unreserved((int)strtol(hex, NULL, 16)) && !islower((unsigned char)hex[0]) && !islower((unsigned char)hex[1]));
    }
}

static void must_take_the_first_match(const struct route *taken, struct str path) {
    size_t first = 0;
    while (!plain_match(str_of(patterns[first]), path)) first++; /* the last takes all */
    MUST(taken == &routes[first]);
}

static void must_lead_to_normal_paths(struct arena *a, struct route_match *m, struct head *h) {
    struct str location = route_location(m, h, true, a), before = h->target;
    MUST(location.n && location.p[0] == '/' && !(location.n > 1 && location.p[1] == '/'));
    route_rewrite(m, a, h);
    must_be_normal(a, str_first(h->target, str_index(h->target, '?')));
    MUST(str_index(h->target, '?') == h->target.n || str_eq(str_from(h->target, str_index(h->target, '?')), str_from(before, str_index(before, '?'))));
    for (size_t i = 0; i < m->ncaptures; i++) MUST(m->captures[i].value.n && str_index(m->captures[i].value, '/') == m->captures[i].value.n);
    MUST(m->prefix_len <= m->path.n && (m->prefix_len == m->path.n || m->path.p[m->prefix_len] == '/'));
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n) {
    static char expected[PATH_MAX_HERE + 8];
    if (!routes[0].match) load_routes();
    if (n == 0 || n > TARGET_MAX) return 0;
    struct arena a;
    struct head h, h2;
    struct route_match m, m2;
    bool bad, bad2;
    arena_init(&a, NULL);
    struct str target = { (const char *)p, n }, path = str_first(target, str_index(target, '?'));
    if (!path.n) path = STR("/");
    const struct route *taken = take(&a, target, &h, &m, &bad);
    size_t len;
    bool good = str_eq(target, STR("*")) || plain_reading(path, expected, &len);
    MUST(good == !bad);
    MUST(!bad == (taken != NULL));
    if (taken && p[0] != '*') {
        MUST(str_eq(m.path, (struct str){ expected, len }));
        must_be_normal(&a, m.path);
        MUST(m.path_changed || m.path.p == target.p);
        must_take_the_first_match(taken, m.path);
        MUST(take(&a, m.path, &h2, &m2, &bad2) == taken && !bad2 && !m2.path_changed && m2.prefix_len == m.prefix_len && m2.ncaptures == m.ncaptures);
        must_lead_to_normal_paths(&a, &m, &h);
    }
    arena_clear(&a);
    return 0;
}
