// SPDX-License-Identifier: Apache-2.0
// What is counted: one block a worker, written by that worker alone and read by whoever prints, with relaxed atomics and no locked
// instruction. Labels are closed sets of our own (endings, levels, the names of routes and upstreams, the addresses of endpoints): no
// word of a peer ever becomes one (T49).
#ifndef CURFEW_PROXY_METRICS_H
#define CURFEW_PROXY_METRICS_H
#include "core/ending.h"
#include "core/instant.h"
#include "policies/cancel.h"
#include "policies/fields.h"
#include "policies/retry.h"
#include "policies/route.h"
#include <stdatomic.h>
#include <stdio.h>

enum metric {
#define METRIC(C, type, name, help) METRIC_##C,
#include "proxy/metrics.def"
#undef METRIC
    METRICS
};
#define LATENESS_BUCKETS 9u /* upper bounds: metrics.c; the last is +Inf */
typedef _Atomic(uint64_t) metric_cell;
struct observed_metrics { /* of a route whose policy does not enforce all, or has a guard */
    metric_cell endings[ENDINGS];           /* what enforcing would have ended it with */
    metric_cell let_through[ENDINGS];       /* what max_reject let through */
    metric_cell cancels[ENDINGS][LEVELS];   /* what enforcing would have achieved */
};
struct route_metrics {
    _Alignas(64) atomic_uint refs;          /* by the route_counters of configurations that have a route of that name */
    metric_cell requests[ENDINGS];
    struct observed_metrics *observed;      /* owned; NULL: there was nothing to observe yet */
};
struct route_counters { /* of the routes of one configuration on one worker: held by the worker's snapshot, and by who prints */
    atomic_uint refs;
    size_t n;
    struct route_metrics *v[];              /* a reference each; by route.index */
};
struct endpoint_metrics { /* of an endpoint that this worker checks; embedded in its check */
    struct endpoint_metrics *next;
    struct str upstream, endpoint;          /* borrowed: its name, and its address: both our own words */
    metric_cell healthy;                    /* 1, or 0: it is not asked */
};
struct worker_metrics { /* zeroed memory is a fresh one; aligned, so that no two workers share a cache line */
    _Alignas(64) metric_cell v[METRICS];
    metric_cell requests[ENDINGS];          /* by ending; NONE is never used */
    metric_cell cancels[ENDINGS][LEVELS];   /* by ending and level achieved; NOT_NEEDED is not printed */
    metric_cell retries[ENDINGS];           /* by the outcome before; NONE: an answer's status */
    metric_cell retries_refused[RETRY_VERDICTS];
    metric_cell fields[FIELD_FATES];        /* context fields by what became of them; PASSED is not counted */
    metric_cell lateness[LATENESS_BUCKETS]; /* not cumulative */
    metric_cell lateness_ns;                /* their sum */
    struct endpoint_metrics *endpoints;     /* in order of upstream and endpoint; under a lock of metrics.c, since they come and go */
    struct route_counters *routes;          /* a reference, for who prints; NULL: none, as in a worker that is no gateway. Its thread has another */
};
/* Room for each route's counters, one reference. same, by index: which of `before` goes on, SIZE_MAX none. before NULL: all are new. By one thread at
 * a time, while nobody prints. */
struct route_counters *route_counters_new(const struct conf_array *routes, const struct route_counters *before, const size_t *same);
struct route_counters *route_counters_ref(struct route_counters *c); /* any thread, as the next */
void route_counters_unref(struct route_counters *c);                 /* NULL is allowed */

/* An endpoint is checked from now on, and no longer. Any time; waits while somebody prints. */
void metrics_add_endpoint(struct worker_metrics *m, struct endpoint_metrics *e);
void metrics_remove_endpoint(struct worker_metrics *m, struct endpoint_metrics *e);

/* Single writer: a load and a store, no lock prefix. */
static inline void metric_cell_add(metric_cell *c, uint64_t n) {
    atomic_store_explicit(c, atomic_load_explicit(c, memory_order_relaxed) + n, memory_order_relaxed);
}
static inline void metric_cell_set(metric_cell *c, uint64_t n) { atomic_store_explicit(c, n, memory_order_relaxed); }
static inline void metric_add(struct worker_metrics *m, enum metric i, uint64_t n) { metric_cell_add(&m->v[i], n); }
static inline void metric_inc(struct worker_metrics *m, enum metric i) { metric_add(m, i, 1); }
static inline void metric_dec(struct worker_metrics *m, enum metric i) { metric_add(m, i, UINT64_MAX); } /* gauges only; wraps back */
/* For counts kept elsewhere (the log's drops). */
static inline void metric_set(struct worker_metrics *m, enum metric i, uint64_t n) { atomic_store_explicit(&m->v[i], n, memory_order_relaxed); }
static inline uint64_t metric_get(const struct worker_metrics *m, enum metric i) { return atomic_load_explicit(&m->v[i], memory_order_relaxed); }
static inline void metrics_request(struct worker_metrics *m, enum ending why) { metric_cell_add(&m->requests[why], 1); }
static inline void metrics_cancel(struct worker_metrics *m, enum ending why, enum cancel_level l) { metric_cell_add(&m->cancels[why][l], 1); }
static inline void metrics_retry(struct worker_metrics *m, enum ending outcome) { metric_cell_add(&m->retries[outcome], 1); }
static inline void metrics_retry_refused(struct worker_metrics *m, enum retry_verdict v) { metric_cell_add(&m->retries_refused[v], 1); }
static inline void metrics_field(struct worker_metrics *m, enum field_fate f, uint64_t n) { metric_cell_add(&m->fields[f], n); }
/* How long after a deadline its hooks ran; below zero counts as zero. */
void metrics_lateness(struct worker_metrics *m, span late);

/* What became of the configurations that were read, of the whole process; one thread tells, any prints. */
enum reload_result { RELOAD_APPLIED, RELOAD_REFUSED, RELOAD_RESULTS };
void metrics_reloaded(enum reload_result r);
void metrics_configured(int64_t wall_ns); /* since when the one in use is */

/* All workers summed, in the Prometheus text format 0.0.4 (serve as METRICS_CONTENT_TYPE). Any thread, at any time. routes: of struct route, those
 * that the workers were begun with; NULL: none. */
#define METRICS_CONTENT_TYPE "text/plain; version=0.0.4; charset=utf-8"
void metrics_print(FILE *to, const struct worker_metrics *const *workers, size_t n, const struct conf_array *routes);
#endif
