// SPDX-License-Identifier: Apache-2.0
// Sums the workers' counters and prints them as Prometheus reads them. It owns nothing and knows every family that the gateway exports: a
// counter that is not here, or in metrics.def, does not exist.
#include "proxy/metrics.h"
#include "policies/policy.h"
#include "proxy/load.h"
#include <assert.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdlib.h>

#ifndef CURFEW_VERSION
#define CURFEW_VERSION "unknown"
#endif

enum metric_type { COUNTER, GAUGE };
static const struct { const char *name, *help; enum metric_type type; } families[METRICS] = {
#define METRIC(C, t, n, h) [METRIC_##C] = { .name = n, .help = h, .type = t },
#include "proxy/metrics.def"
#undef METRIC
};

/* A wheel's tick is 1 ms: what is good stands in the first three, what is tolerable (grace is 10 ms) in the next two. */
static const struct { int64_t up_to_ns; const char *le; } buckets[] = {
    { 500 * NS_PER_US, "0.0005" }, { NS_PER_MS, "0.001" }, { 2 * NS_PER_MS, "0.002" }, { 5 * NS_PER_MS, "0.005" }, { 10 * NS_PER_MS, "0.01" },
    { 25 * NS_PER_MS, "0.025" }, { 100 * NS_PER_MS, "0.1" }, { NS_PER_S, "1" }, { INT64_MAX, "+Inf" },
};
static_assert(sizeof buckets / sizeof buckets[0] == LATENESS_BUCKETS, "a bound a bucket");

void metrics_lateness(struct worker_metrics *m, span late) {
    int64_t ns = late.ns < 0 ? 0 : late.ns;
    unsigned i = 0;
    while (ns > buckets[i].up_to_ns) i++;
    metric_cell_add(&m->lateness[i], 1);
    metric_cell_add(&m->lateness_ns, (uint64_t)ns);
}

/* ---- sums ------------------------------------------------------------------------------------------------------------------------ */
struct workers { const struct worker_metrics *const *v; size_t n; };

/* The cell at that offset, over all workers. A gauge that one worker raised and another lowered wraps back. */
static uint64_t sum_at(const struct workers *w, size_t offset) {
    uint64_t sum = 0;
    for (size_t i = 0; i < w->n; i++) {
        const char *base = (const char *)w->v[i];
        sum += atomic_load_explicit((const metric_cell *)(const void *)(base + offset), memory_order_relaxed);
    }
    return sum;
}
#define CELL(i) ((i) * sizeof(metric_cell))

/* ---- by route -------------------------------------------------------------------------------------------------------------------- */
static const struct route *route_at(const struct conf_array *routes, size_t i) { return CONF_AT(*routes, struct route, i); }

static struct route_metrics *route_metrics_new(void) {
    struct route_metrics *r = aligned_alloc(_Alignof(struct route_metrics), sizeof *r);
    if (!r) abort();
    memset(r, 0, sizeof *r);
    return r;
}
/* What is watched from now on only has room from now on: those who count by an earlier configuration never look at it. */
struct route_counters *route_counters_new(const struct conf_array *routes, const struct route_counters *before, const size_t *same) {
    struct route_counters *c = mem_zalloc(sizeof *c + routes->n * sizeof *c->v);
    atomic_init(&c->refs, 1);
    c->n = routes->n;
    for (size_t i = 0; i < c->n; i++) {
        struct route_metrics *r = before && same[i] != SIZE_MAX ? before->v[same[i]] : route_metrics_new();
        atomic_fetch_add(&r->refs, 1);
        if (!r->observed && policy_is_watched(route_at(routes, i)->use)) r->observed = mem_zalloc(sizeof *r->observed);
        c->v[i] = r;
    }
    return c;
}
struct route_counters *route_counters_ref(struct route_counters *c) {
    atomic_fetch_add(&c->refs, 1);
    return c;
}
void route_counters_unref(struct route_counters *c) {
    if (!c || atomic_fetch_sub(&c->refs, 1) > 1) return;
    for (size_t i = 0; i < c->n; i++) {
        if (atomic_fetch_sub(&c->v[i]->refs, 1) > 1) continue;
        free(c->v[i]->observed);
        free(c->v[i]);
    }
    free(c);
}

/* ---- printing --------------------------------------------------------------------------------------------------------------------- */
static void print_family(FILE *to, const char *name, const char *type, const char *help) {
    fprintf(to, "# HELP curfew_%s %s\n# TYPE curfew_%s %s\n", name, help, name, type);
}

static void print_plain(FILE *to, const struct workers *w) {
    for (unsigned i = 0; i < METRICS; i++) {
        uint64_t sum = sum_at(w, offsetof(struct worker_metrics, v) + CELL(i));
        print_family(to, families[i].name, families[i].type == COUNTER ? "counter" : "gauge", families[i].help);
        if (families[i].type == COUNTER) {
            fprintf(to, "curfew_%s %" PRIu64 "\n", families[i].name, sum);
        } else {
            fprintf(to, "curfew_%s %" PRId64 "\n", families[i].name, (int64_t)sum);
        }
    }
}

/* One line an ending, zeros too: a rate needs the series to be there before its first event. */
static void print_endings(FILE *to, const struct workers *w, const char *name, const char *help, size_t offset) {
    print_family(to, name, "counter", help);
    for (unsigned e = ENDING_NONE + 1; e < ENDINGS; e++) {
        fprintf(to, "curfew_%s{ending=\"%s\"} %" PRIu64 "\n", name, ending_name((enum ending)e), sum_at(w, offset + CELL(e)));
    }
}

static bool is_cancel(enum ending e) { return ending_rows[e].upstream == ENDING_UP_CANCEL; }

/* Zeros of the endings that cancel; of the others only what was counted (the loser of a hedge ends in silence, but is cancelled). */
static void print_cancels(FILE *to, const struct workers *w) {
    print_family(to, "cancels_total", "counter", "Upstream attempts cancelled, by ending and by the strongest level achieved");
    for (unsigned e = 0; e < ENDINGS; e++) {
        for (unsigned l = LEVEL_NOT_NEEDED + 1; l < LEVELS; l++) {
            uint64_t sum = sum_at(w, offsetof(struct worker_metrics, cancels) + CELL(e * LEVELS + l));
            if (sum == 0 && !is_cancel((enum ending)e)) continue;
            fprintf(to, "curfew_cancels_total{ending=\"%s\",level=\"%s\"} %" PRIu64 "\n", ending_name((enum ending)e),
                    cancel_level_name((enum cancel_level)l), sum);
        }
    }
}

static void print_shed(FILE *to, const struct workers *w) {
    static const struct { enum ending why; const char *reason; } rows[] = {
        { ENDING_SHED_EXPIRED, "expired" }, { ENDING_SHED_LATENCY, "latency" }, { ENDING_SHED_LOAD, "load" },
    };
    print_family(to, "shed_total", "counter", "Requests answered without asking an upstream, for want of time or room");
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        uint64_t sum = sum_at(w, offsetof(struct worker_metrics, requests) + CELL(rows[i].why));
        fprintf(to, "curfew_shed_total{reason=\"%s\"} %" PRIu64 "\n", rows[i].reason, sum);
    }
}

/* A name is the operator's word: what would end the label's quotes is escaped. */
static void print_text(FILE *to, struct str s) {
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];
        if (c == '\n') fputs("\\n", to);
        else if (c == '\\' || c == '"') fprintf(to, "\\%c", c);
        else fputc(c, to);
    }
}
static void print_label(FILE *to, const struct route *r) {
    fputs("route=\"", to);
    if (!r->name.name.n) fprintf(to, "routes[%zu]", r->index);
    print_text(to, r->name.name);
    fputc('"', to);
}
static uint64_t sum_of_route(const struct workers *w, size_t route, size_t offset) {
    uint64_t sum = 0;
    for (size_t i = 0; i < w->n; i++) {
        const char *base = (const char *)w->v[i]->routes->v[route];
        sum += atomic_load_explicit((const metric_cell *)(const void *)(base + offset), memory_order_relaxed);
    }
    return sum;
}
static uint64_t sum_observed(const struct workers *w, size_t route, size_t offset) {
    uint64_t sum = 0;
    for (size_t i = 0; i < w->n; i++) {
        const char *base = (const char *)w->v[i]->routes->v[route]->observed;
        sum += atomic_load_explicit((const metric_cell *)(const void *)(base + offset), memory_order_relaxed);
    }
    return sum;
}
static void print_of_route(FILE *to, const char *name, const struct route *r, enum ending e, uint64_t sum) {
    fprintf(to, "curfew_%s{", name);
    print_label(to, r);
    fprintf(to, ",ending=\"%s\"} %" PRIu64 "\n", ending_name(e), sum);
}
static void print_route_requests(FILE *to, const struct workers *w, const struct conf_array *routes) {
    static const char name[] = "route_requests_total";
    print_family(to, name, "counter", "Requests by route and by how they ended; endings that a route has not had are left out");
    for (size_t i = 0; i < routes->n; i++) {
        for (enum ending e = ENDING_NONE + 1; e < ENDINGS; e++) {
            uint64_t sum = sum_of_route(w, i, offsetof(struct route_metrics, requests) + CELL(e));
            if (sum || e == ENDING_COMPLETED) print_of_route(to, name, route_at(routes, i), e, sum);
        }
    }
}
/* Zeros too, of what can be observed and let through. */
static const enum ending observable[] = { ENDING_CLIENT_RESET, ENDING_CLIENT_CLOSED, ENDING_CLIENT_DEADLINE, ENDING_CLIENT_CONTEXT, ENDING_DEADLINE,
                                          ENDING_SHED_EXPIRED, ENDING_SHED_LATENCY, ENDING_TRY_TIMEOUT, ENDING_UPSTREAM_IDLE, ENDING_NONE };
static const enum ending rejectable[] = { ENDING_CLIENT_CONTEXT, ENDING_SHED_EXPIRED, ENDING_SHED_LATENCY, ENDING_NONE };
struct observed_family { const char *name, *help; const enum ending *endings; bool (*is_of)(const struct policy *p); size_t offset; };
static const struct observed_family observed_families[] = {
    { "observed_endings_total", "Requests that mode enforce would have ended, by route and by how", observable, policy_is_observed,
      offsetof(struct observed_metrics, endings) },
    { "let_through_total", "Requests that max_reject let through, by route and by how they would have ended", rejectable, policy_is_guarded,
      offsetof(struct observed_metrics, let_through) },
};
static bool has_ending(const enum ending *list, enum ending e) {
    while (*list != ENDING_NONE && *list != e) list++;
    return *list == e;
}
static void print_observed(FILE *to, const struct workers *w, const struct conf_array *routes, const struct observed_family *f) {
    print_family(to, f->name, "counter", f->help);
    for (size_t i = 0; i < routes->n; i++) {
        if (!f->is_of(route_at(routes, i)->use)) continue;
        for (enum ending e = ENDING_NONE + 1; e < ENDINGS; e++) {
            uint64_t sum = sum_observed(w, i, f->offset + CELL(e));
            if (sum || has_ending(f->endings, e)) print_of_route(to, f->name, route_at(routes, i), e, sum);
        }
    }
}
static void print_observed_cancels(FILE *to, const struct workers *w, const struct conf_array *routes) {
    print_family(to, "observed_cancels_total", "counter", "Attempts that enforcing would have cancelled, by route, ending and level");
    for (size_t i = 0; i < routes->n; i++) {
        if (!policy_is_observed(route_at(routes, i)->use)) continue;
        for (unsigned k = 0; k < ENDINGS * LEVELS; k++) {
            uint64_t sum = sum_observed(w, i, offsetof(struct observed_metrics, cancels) + CELL(k));
            if (!sum) continue;
            fputs("curfew_observed_cancels_total{", to);
            print_label(to, route_at(routes, i));
            const char *ending = ending_name((enum ending)(k / LEVELS)), *level = cancel_level_name((enum cancel_level)(k % LEVELS));
            fprintf(to, ",ending=\"%s\",level=\"%s\"} %" PRIu64 "\n", ending, level, sum);
        }
    }
}
static void print_routes(FILE *to, const struct workers *w, const struct conf_array *routes) {
    static const struct conf_array none;
    if (!routes) routes = &none;
    print_route_requests(to, w, routes);
    for (size_t i = 0; i < sizeof observed_families / sizeof observed_families[0]; i++) print_observed(to, w, routes, &observed_families[i]);
    print_observed_cancels(to, w, routes);
}

static void print_retries(FILE *to, const struct workers *w) {
    print_family(to, "retries_total", "counter", "Additional attempts by the retry policy, by the outcome of the one before; status: of an answer");
    for (unsigned e = ENDING_NONE; e < ENDINGS; e++) {
        if (e != ENDING_NONE && !retry_is_outcome((enum ending)e)) continue;
        fprintf(to, "curfew_retries_total{outcome=\"%s\"} %" PRIu64 "\n", e ? ending_name((enum ending)e) : "status",
                sum_at(w, offsetof(struct worker_metrics, retries) + CELL(e)));
    }
    print_family(to, "retries_refused_total", "counter", "Retries and hedges that the policy would have made, by what was against them");
    for (unsigned v = RETRY_YES + 1; v < RETRY_VERDICTS; v++) {
        fprintf(to, "curfew_retries_refused_total{reason=\"%s\"} %" PRIu64 "\n", retry_verdict_name((enum retry_verdict)v),
                sum_at(w, offsetof(struct worker_metrics, retries_refused) + CELL(v)));
    }
}

/* ---- by endpoint ----------------------------------------------------------------------------------------------------------------- */
static pthread_mutex_t endpoints_lock = PTHREAD_MUTEX_INITIALIZER;
static int order_of_texts(struct str a, struct str b) {
    int by_bytes = memcmp(a.p, b.p, a.n < b.n ? a.n : b.n);
    return by_bytes ? by_bytes : (a.n > b.n) - (a.n < b.n);
}
static int order_of(const struct endpoint_metrics *a, const struct endpoint_metrics *b) {
    int by_upstream = order_of_texts(a->upstream, b->upstream);
    return by_upstream ? by_upstream : order_of_texts(a->endpoint, b->endpoint);
}
void metrics_add_endpoint(struct worker_metrics *m, struct endpoint_metrics *e) {
    pthread_mutex_lock(&endpoints_lock);
    struct endpoint_metrics **at = &m->endpoints;
    while (*at && order_of(*at, e) < 0) at = &(*at)->next;
    e->next = *at;
    *at = e;
    pthread_mutex_unlock(&endpoints_lock);
}
void metrics_remove_endpoint(struct worker_metrics *m, struct endpoint_metrics *e) {
    pthread_mutex_lock(&endpoints_lock);
    struct endpoint_metrics **at = &m->endpoints;
    while (*at && *at != e) at = &(*at)->next;
    if (*at) *at = e->next;
    pthread_mutex_unlock(&endpoints_lock);
}
/* An address that stands twice is one series: healthy where each of them is. */
static void print_endpoints(FILE *to, const struct workers *w) {
    print_family(to, "endpoint_healthy", "gauge", "1: the endpoint's health checks say that it may be asked; 0: that it may not");
    pthread_mutex_lock(&endpoints_lock);
    for (size_t i = 0; i < w->n; i++) {
        uint64_t healthy = 1;
        for (const struct endpoint_metrics *e = w->v[i]->endpoints; e; e = e->next) {
            healthy &= atomic_load_explicit(&e->healthy, memory_order_relaxed);
            if (e->next && order_of(e, e->next) == 0) continue;
            fputs("curfew_endpoint_healthy{upstream=\"", to);
            print_text(to, e->upstream);
            fputs("\",endpoint=\"", to);
            print_text(to, e->endpoint);
            fprintf(to, "\"} %" PRIu64 "\n", healthy);
            healthy = 1;
        }
    }
    pthread_mutex_unlock(&endpoints_lock);
}

static void print_fields(FILE *to, const struct workers *w) {
    print_family(to, "context_fields_removed_total", "counter", "Context fields that were not passed on, by why; once an attempt");
    for (unsigned f = FIELD_PASSED + 1; f < FIELD_FATES; f++) {
        uint64_t sum = sum_at(w, offsetof(struct worker_metrics, fields) + CELL(f));
        fprintf(to, "curfew_context_fields_removed_total{why=\"%s\"} %" PRIu64 "\n", field_fate_label((enum field_fate)f), sum);
    }
}

static void print_switch(FILE *to) {
    print_family(to, "optional_fields_switch", "gauge", "The operator's switch: on drops optional context fields, off keeps them, auto goes by the load");
    for (unsigned s = 0; s < LOAD_SWITCHES; s++) {
        bool set = load_switch_get() == (enum load_switch)s;
        fprintf(to, "curfew_optional_fields_switch{state=\"%s\"} %d\n", load_switch_name((enum load_switch)s), set);
    }
}

static void print_seconds(FILE *to, uint64_t ns) { fprintf(to, "%" PRIu64 ".%09" PRIu64 "\n", ns / (uint64_t)NS_PER_S, ns % (uint64_t)NS_PER_S); }

/* The count is the sum of the buckets that were printed, so that +Inf and _count agree whatever is added meanwhile. */
static void print_lateness(FILE *to, const struct workers *w) {
    static const char name[] = "deadline_lateness_seconds";
    print_family(to, name, "histogram", "How long after a deadline those who hang on it were told");
    uint64_t count = 0;
    for (unsigned i = 0; i < LATENESS_BUCKETS; i++) {
        count += sum_at(w, offsetof(struct worker_metrics, lateness) + CELL(i));
        fprintf(to, "curfew_%s_bucket{le=\"%s\"} %" PRIu64 "\n", name, buckets[i].le, count);
    }
    fprintf(to, "curfew_%s_sum ", name);
    print_seconds(to, sum_at(w, offsetof(struct worker_metrics, lateness_ns)));
    fprintf(to, "curfew_%s_count %" PRIu64 "\n", name, count);
}

static metric_cell reloads[RELOAD_RESULTS], configured_ns;
static _Atomic(bool) refused_last;
void metrics_reloaded(enum reload_result r) {
    metric_cell_add(&reloads[r], 1);
    atomic_store_explicit(&refused_last, r == RELOAD_REFUSED, memory_order_relaxed);
}
void metrics_configured(int64_t wall_ns) { atomic_store_explicit(&configured_ns, (uint64_t)wall_ns, memory_order_relaxed); }
static void print_reloads(FILE *to) {
    static const char *const results[RELOAD_RESULTS] = { [RELOAD_APPLIED] = "applied", [RELOAD_REFUSED] = "refused" };
    print_family(to, "config_reloads_total", "counter", "Reloads of the configuration by SIGHUP, by whether it was taken");
    for (unsigned r = 0; r < RELOAD_RESULTS; r++) {
        fprintf(to, "curfew_config_reloads_total{result=\"%s\"} %" PRIu64 "\n", results[r], atomic_load_explicit(&reloads[r], memory_order_relaxed));
    }
    print_family(to, "config_last_reload_successful", "gauge", "0 where the file that was read last was refused, so that an older one is in use");
    fprintf(to, "curfew_config_last_reload_successful %d\n", !atomic_load_explicit(&refused_last, memory_order_relaxed));
    print_family(to, "config_timestamp_seconds", "gauge", "When the configuration in use was read, since the epoch");
    fputs("curfew_config_timestamp_seconds ", to);
    print_seconds(to, atomic_load_explicit(&configured_ns, memory_order_relaxed));
}

static void print_build(FILE *to, const struct workers *w) {
    print_family(to, "build_info", "gauge", "Always 1; the labels say what runs");
    fprintf(to, "curfew_build_info{version=\"%s\"} 1\n", CURFEW_VERSION);
    print_family(to, "workers", "gauge", "Event loops");
    fprintf(to, "curfew_workers %zu\n", w->n);
}

void metrics_print(FILE *to, const struct worker_metrics *const *workers, size_t n, const struct conf_array *routes) {
    const struct workers w = { .v = workers, .n = n };
    print_build(to, &w);
    print_reloads(to);
    print_endings(to, &w, "requests_total", "Requests, by how they ended", offsetof(struct worker_metrics, requests));
    print_routes(to, &w, routes);
    print_cancels(to, &w);
    print_shed(to, &w);
    print_retries(to, &w);
    print_endpoints(to, &w);
    print_fields(to, &w);
    print_switch(to);
    print_lateness(to, &w);
    print_plain(to, &w);
}
