// SPDX-License-Identifier: Apache-2.0
// The configuration: loads all tables, joins by name what refers to each other, and reports every fault in one run. Nothing here opens a socket or a
// certificate: a file can be checked on another machine than the one it is for.
#define _GNU_SOURCE /* sched_getaffinity */
#include "proxy/config_tables.h"
#include "proxy/tls.h"
#include <assert.h>
#include <sched.h>
#include <stdlib.h>
#include <unistd.h>

/* ---- names ------------------------------------------------------------------------------------------------------------------------ */

struct words { const struct conf_ref *refs; const struct str *names; size_t n; }; /* one of the two; each ends with a NUL (conf_node) */
static const char *next_word(void *state, size_t i) {
    const struct words *w = state;
    if (i >= w->n) return NULL;
    return w->refs ? w->refs[i].name.p : w->names[i].p;
}

#define SHOWN_MAX 100u /* bytes of a list of names in a hint */
static const char *known(struct conf *c, const char *what, struct words words) {
    struct str all = STR("");
    const char *name;
    for (size_t i = 0; all.n <= SHOWN_MAX && (name = next_word(&words, i)); i++)
        all = arena_printf(&c->arena, "%.*s%s%s", STR_ARG(all), i ? ", " : "", name);
    if (!all.n || all.n > SHOWN_MAX) return NULL;
    return arena_printf(&c->arena, "known %s: %.*s%c", what, STR_ARG(all), 0).p;
}

static const char *hint_for(struct conf *c, struct str name, const char *what, struct words words) {
    const char *near = conf_nearest(name, next_word, &words);
    return near ? arena_printf(&c->arena, "did you mean \"%s\"?%c", near, 0).p : known(c, what, words);
}

/* Index of the upstream, or SIZE_MAX after reporting. */
static size_t find_upstream(struct conf *c, const struct conf_ref *ref, const struct conf_map *among) {
    for (size_t i = 0; i < among->n; i++)
        if (str_eq(among->names[i].name, ref->name)) return i;
    const char *hint = hint_for(c, ref->name, "upstreams", (struct words){ .refs = among->names, .n = among->n });
    conf_error(c, ref->at->pos, hint, "there is no upstream %.*s", STR_ARG(ref->name));
    return SIZE_MAX;
}

/* Names come back in logs, metrics and URLs of the admin interface. */
static bool is_good_name(struct str s) {
    for (size_t i = 0; i < s.n; i++) {
        char b = s.p[i], lower = (char)(b | 0x20);
        if (!(lower >= 'a' && lower <= 'z') && !(b >= '0' && b <= '9') && (b == '\0' || !strchr("-_.", b))) return false;
    }
    return s.n > 0 && s.n <= 64;
}

static void check_names(struct conf *c, const struct conf_map *m, const char *what) {
    for (size_t i = 0; i < m->n; i++)
        if (!is_good_name(m->names[i].name))
            conf_error(c, m->names[i].at->pos, "letters, digits, - _ and ., at most 64", "\"%.*s\" cannot be the name of %s",
                       STR_ARG(m->names[i].name), what);
}

/* ---- addresses --------------------------------------------------------------------------------------------------------------------- */

static bool has_any_port(const struct address *a) { return a->kind == ADDRESS_IP && a->port == 0; }

static void check_taken(struct conf *c, const struct config *config, const struct address *a, size_t before) {
    for (size_t i = 0; i < before; i++) {
        if (has_any_port(a) || !address_is_same(a, &config_listener(config, i)->address)) continue;
        const struct conf_ref *other = &config->listeners.names[i];
        conf_error(c, a->pos, NULL, "the listener %.*s has the address %.*s already", STR_ARG(other->name), STR_ARG(a->text));
        return;
    }
}

static void check_addresses(struct conf *c, const struct config *config) {
    for (size_t i = 0; i < config->listeners.n; i++) check_taken(c, config, &config_listener(config, i)->address, i);
    if (config->admin) check_taken(c, config, &config->admin->address, config->listeners.n);
}

/* ---- routes ------------------------------------------------------------------------------------------------------------------------- */

static void join_weighted(struct conf *c, const struct config *config, struct route *r) {
    r->weighted_index = arena_alloc(&c->arena, r->upstreams.n * sizeof *r->weighted_index);
    r->weighted_upto = arena_alloc(&c->arena, r->upstreams.n * sizeof *r->weighted_upto);
    uint32_t total = 0;
    for (size_t i = 0; i < r->upstreams.n; i++) {
        int64_t weight = *CONF_AT(r->upstreams, int64_t, i);
        size_t index = find_upstream(c, &r->upstreams.names[i], &config->upstreams);
        if (index == SIZE_MAX || weight <= 0) continue;
        total += (uint32_t)weight;
        r->weighted_index[r->nweighted] = index;
        r->weighted_upto[r->nweighted++] = total;
    }
    r->weight_total = total;
}

static const struct policy *join_policy(struct conf *c, const struct config *config, const struct conf_ref *ref) {
    const struct policies *all = &config->policies;
    if (!ref->at) return &all->v[0];
    const struct policy *p = policies_find(all, ref->name);
    if (p) return p;
    const char *hint = hint_for(c, ref->name, "policies", (struct words){ .names = all->names, .n = all->n });
    conf_error(c, ref->at->pos, hint, "there is no policy %.*s", STR_ARG(ref->name));
    return &all->v[0];
}

/* Translation ends in gRPC, which is HTTP/2 alone. */
static void check_speaks(struct conf *c, const struct config *config, const struct conf_node *at, size_t index) {
    if (index == SIZE_MAX) return;
    if (upstream_may_speak_http2(config_upstream(config, index))) return;
    conf_error(c, at->pos, "give the upstream protocol: http2", "the route translates to gRPC, and the upstream %.*s does not speak HTTP/2",
               STR_ARG(config->upstreams.names[index].name));
}

static void check_translation(struct conf *c, const struct config *config, const struct route *r) {
    if (r->translate == TRANSLATE_NONE) return;
    if (r->upstream.at) check_speaks(c, config, r->upstream.at, r->upstream_index);
    for (size_t i = 0; i < r->nweighted; i++) check_speaks(c, config, r->upstreams.names[0].at, r->weighted_index[i]);
}

static void join_route(struct conf *c, const struct config *config, size_t i) {
    struct route *r = CONF_AT(config->routes, struct route, i);
    r->index = i;
    r->upstream_index = r->upstream.at ? find_upstream(c, &r->upstream, &config->upstreams) : SIZE_MAX;
    r->use = join_policy(c, config, &r->policy);
    if (r->upstreams.n) join_weighted(c, config, r);
    check_translation(c, config, r);
}

static void check_route_names(struct conf *c, const struct config *config) {
    for (size_t i = 0; i < config->routes.n; i++) {
        const struct conf_ref *name = &CONF_AT(config->routes, struct route, i)->name;
        for (size_t k = 0; name->at && k < i; k++) {
            const struct conf_ref *other = &CONF_AT(config->routes, struct route, k)->name;
            if (!other->at || !str_eq(other->name, name->name)) continue;
            conf_error(c, name->at->pos, NULL, "the route on line %u is called %.*s, too", other->at->pos.line, STR_ARG(name->name));
            break;
        }
    }
}

/* ---- policies ------------------------------------------------------------------------------------------------------------------------ */

/* A policy that extends another has the other's nodes: the same place is reported once. */
static bool was_seen(const struct config *config, size_t i) {
    const struct call_policy *call = config->policies.v[i].cancel.call;
    for (size_t k = 0; k < i; k++) {
        const struct call_policy *other = config->policies.v[k].cancel.call;
        if (other && other->upstream.at == call->upstream.at) return true;
    }
    return false;
}

static void join_calls(struct conf *c, const struct config *config) {
    for (size_t i = 0; i < config->policies.n; i++) {
        const struct call_policy *call = config->policies.v[i].cancel.call;
        if (call && call->upstream.at && !was_seen(config, i)) find_upstream(c, &call->upstream, &config->upstreams);
    }
}

static bool is_dated(const struct dialect *const *rows, size_t n) {
    for (size_t i = 0; i < n; i++)
        if (rows[i]->kind != DIALECT_RELATIVE) return true;
    return false;
}

static bool needs_dates(const struct config *config) {
    for (size_t i = 0; i < config->policies.n; i++) {
        const struct deadline_policy *d = &config->policies.v[i].deadline;
        if (is_dated(d->read_rows, d->nread)) return true;
        for (size_t f = 0; f < FAMILIES_MAX; f++)
            if (is_dated(d->write_rows[f], d->nwrite[f])) return true;
    }
    return false;
}

/* ---- loading --------------------------------------------------------------------------------------------------------------------------- */

static int64_t processors(void) {
    cpu_set_t set;
    int n = sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : 1;
    return n > 0 ? n : 1;
}

static void take_raw(struct config *config, const struct config_raw *raw) {
    config->version = raw->version;
    config->workers = raw->workers == INT64_MAX ? processors() : raw->workers;
    config->listeners = raw->listeners;
    config->upstreams = raw->upstreams;
    config->routes = raw->routes;
    config->admin = raw->admin;
    config->log = raw->log;
    config->load = raw->load;
    config->limits = raw->limits;
    config->shutdown.drain = raw->shutdown.drain;
    config->shutdown.drain_removed = raw->shutdown.drain_removed;
}

/* The parts in the order in which they are needed; each reports its own faults, and the others are still read. */
static void load(struct config *config, const struct conf_node *root) {
    struct conf *c = &config->conf;
    struct config_raw *raw = ARENA_NEW(&c->arena, struct config_raw);
    conf_load(c, root, &config_table, raw);
    take_raw(config, raw);
    raw->resolved = &config->policies;
    config->raw = raw;
    check_names(c, &config->listeners, "a listener");
    check_names(c, &config->upstreams, "an upstream");
    check_addresses(c, config);
    dialect_set_builtin(&config->dialects);
    dialect_set_load(c, &config->dialects, &raw->dialects);
    policies_load(c, raw->policies, &config->dialects, &config->listeners, &config->policies);
    join_calls(c, config);
    for (size_t i = 0; i < config->routes.n; i++) join_route(c, config, i);
    check_route_names(c, config);
    if (!config->listeners.n && !c->errors) conf_warn(c, root->pos, NULL, "there are no listeners: nobody can connect");
    config->needs_dates = needs_dates(config);
}

static struct str folder_of(struct conf *c, const char *path) {
    const char *slash = strrchr(path, '/');
    if (!slash) return STR("");
    return arena_copy(&c->arena, (struct str){ path, slash == path ? 1 : (size_t)(slash - path) });
}

struct config *config_load(const char *path, const char *text, size_t n, const char *(*getenv)(const char *), FILE *report) {
    struct config *config = mem_zalloc(sizeof *config);
    struct conf *c = &config->conf;
    conf_init(c);
    if (getenv) c->getenv = getenv;
    atomic_init(&config->refs, 1);
    config->folder = folder_of(c, path);
    const struct conf_node *root = text ? conf_parse(c, path, text, n) : conf_parse_file(c, path);
    if (root) load(config, root);
    if (report) conf_report(c, report);
    if (c->errors == 0) return config;
    config_unref(config);
    return NULL;
}

void config_print(FILE *to, const struct config *c) { conf_print_effective(to, &config_table, c->raw); }
void config_print_masked(FILE *to, const struct config *c) { conf_print_masked(to, &config_table, c->raw); }

struct config *config_ref(struct config *c) {
    unsigned before = atomic_fetch_add_explicit(&c->refs, 1, memory_order_relaxed);
    assert(before > 0);
    (void)before;
    return c;
}

static void free_built(struct config *c) {
    for (size_t i = 0; i < c->listeners.n; i++)
        if (config_listener(c, i)->tls) tls_server_unref(config_listener(c, i)->tls->built);
    for (size_t i = 0; i < c->upstreams.n; i++)
        if (config_upstream(c, i)->tls) tls_client_unref(config_upstream(c, i)->tls->built);
}

void config_unref(struct config *c) {
    /* acquire: what other threads did with the configuration is done before it goes */
    if (!c || atomic_fetch_sub_explicit(&c->refs, 1, memory_order_acq_rel) > 1) return;
    free_built(c);
    conf_free(&c->conf);
    free(c);
}

int64_t config_share(int64_t total, int64_t workers, unsigned worker) {
    assert(workers > 0 && worker < (uint64_t)workers);
    if (total <= 0) return 0;
    int64_t part = total / workers + (worker < (uint64_t)(total % workers));
    return part ? part : 1;
}
