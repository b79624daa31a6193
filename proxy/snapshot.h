// SPDX-License-Identifier: Apache-2.0
// What a worker runs by: one configuration, with all that the worker has of it. At a reload the worker gets another; whoever began under the old one
// keeps it to the end, and is in nobody's way.
//
//   worker ───────────────┐                      ┌─→ upstreams: shared with the next snapshot where they are the same, else retired
//   exchange ─────────────┼─→ snapshot ──────────┼─→ listeners: their sockets and clients go on to the next snapshot's
//   client's connection ──┘     │                └─→ counters and judges of routes: shared by name
//                               ↓
//   any connection ──────────→ lease ─→ config (one atomic reference a worker)
//   upstream ────────────────────┘
//
// So a request costs one plain count, and no pointer into a configuration outlives it (trap T48): who holds a route or a policy holds the snapshot,
// who holds options, a name or an address the lease: an upstream that of the configuration that it came with, whichever have it since. A connection
// keeps the codec's options that it began with, as it does its TLS; its timeouts, its trust and its next request's route are the new listener's. All
// of it belongs to the worker's thread but for the configuration itself.
#ifndef CURFEW_PROXY_SNAPSHOT_H
#define CURFEW_PROXY_SNAPSHOT_H
#include "policies/latency.h"
#include "proxy/config.h"
#include "proxy/metrics.h"

struct worker;
struct upstream;
struct listener;
struct handover;
struct lease { size_t refs; struct config *config; /* one reference */ };
struct lease *lease_ref(struct lease *l); /* NULL is allowed and given back */
void lease_unref(struct lease *l);        /* NULL is allowed */

struct judge { size_t refs; struct guard guard; struct latency latency; }; /* what a route's policy has seen, where it judges by that */
struct snapshot {
    struct worker *w;               /* borrowed */
    struct list stale;              /* in worker.stale: nobody holds it any more */
    size_t refs;                    /* the worker's own; one a connection of its listeners; one an exchange */
    struct lease *lease;            /* a reference; NULL: of a worker that is no gateway (the sample upstream, the admin address) */
    struct config *config;          /* the lease's */
    struct upstream **upstreams; size_t nupstreams; /* a reference each; by index in the configuration */
    struct listener **listeners; size_t nlisteners; /* owned */
    struct route_counters *routes;  /* a reference */
    struct judge **judges;          /* a reference each; by route.index, NULL where the policy needs none */
    instant *calls_whole_at;        /* owned; by policy: when the rate of its calls is used up no more */
};
/* An empty one, with one reference: the caller's. */
struct snapshot *snapshot_new(struct worker *w, struct config *config);
struct snapshot *snapshot_ref(struct snapshot *s);
void snapshot_unref(struct snapshot *s); /* it goes at the end of the turn */
/* The end of the turn: frees those that nobody holds. */
void snapshot_free_stale(struct worker *w);
void snapshot_add_listener(struct snapshot *s, struct listener *l); /* owned from here */
/* A configuration that has names of endpoints needs a resolver, which can be made in the worker's thread alone, or before that runs: before it is
 * taken. False: it could not, which was said. */
bool snapshot_resolves(struct worker *w, const struct config *c);
bool snapshot_has_names(const struct config *c);
/* Between turns, or before the first one: from here on the worker runs by that configuration, which differs from the one it has as handover.change
 * says. Takes h. A worker that drains stays as it is. */
void snapshot_take(struct worker *w, struct handover *h);
#endif
