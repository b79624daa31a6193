// SPDX-License-Identifier: Apache-2.0
// An upstream as one worker sees it: endpoints (resolved again as TTLs run out), their connections, and the queue of those who wait for one.
//
//   upstream_ask ─→ a free slot on an open connection ─────────────→ on_ready
//        └─→ queue by deadline ─→ a slot came free, or a connection opened ─→ on_ready
//                   └─→ upstream_leave (its context ended: withdrawn) · on_fail (nothing could be reached, no room)
//
// Limits are the worker's share of the configured totals. Knows nothing of requests: a place is all it sees of them.
#ifndef CURFEW_PROXY_UPSTREAM_H
#define CURFEW_PROXY_UPSTREAM_H
#include "proxy/config.h"
#include "proxy/conn.h"

struct upstream;
struct endpoint;
struct resolved;
struct tls_client;
struct verdict { /* what the checks say of an endpoint. By its address, since each worker resolves names for itself */
    const struct address *conf; /* of upstream_conf_of: which of the configured endpoints it came from */
    struct sockaddr_storage sa;
    bool out;                   /* it is not to be asked */
};
struct place { /* embedded in who asks; zeroed memory with the callbacks set */
    struct upstream *u;       /* set by upstream_ask */
    instant deadline;         /* who has less time goes first */
    bool fresh;               /* only a connection that served nobody yet (the stale connection rule) */
    bool anyhow;              /* also of an endpoint that is out, where no other is left */
    uint64_t tried;           /* bit an endpoint (its number modulo 64) that failed this request already: others are preferred */
    uint64_t order;           /* among equal deadlines: who came first */
    size_t slot;              /* in the queue, 1-based; 0: not queued */
    struct conn *opening;     /* the connection that is made for it; borrowed; NULL: none */
    void (*on_ready)(struct place *p, struct conn *c, bool reused); /* p is not queued any more. Join a leg at once, or the slot is lost */
    void (*on_fail)(struct place *p, const struct fault *f);
};
/* With no reference yet. conf is of the worker's snapshot, and held from here on. */
struct upstream *upstream_new(struct worker *w, const struct upstream_conf *conf, struct str name, const struct codec_events *ev);
/* Takes the reference: connections made from now on use it. */
void upstream_take_tls(struct upstream *u, struct tls_client *tls);
/* Held by the snapshots that have it, and by its connections. */
struct upstream *upstream_ref(struct upstream *u);
void upstream_unref(struct upstream *u); /* the last one: nobody waits any more (asserted) */
/* The configuration has it no more: idle connections close, the others when they are done, within that time, and nobody checks it. Who holds it may
 * still ask it. */
void upstream_retire(struct upstream *u, span time);
bool upstream_has(const struct upstream *u, const struct conn *c); /* it is one of its pool */
/* Asks for a connection with a free slot. Either callback may come inside the call. */
void upstream_ask(struct upstream *u, struct place *p);
/* Leaves the queue; idempotent. True: it was queued, the upstream has not heard of it. */
bool upstream_leave(struct place *p);
/* After leg_leave on one of its connections. */
void upstream_release(struct conn *c);
/* A place in the budget for an attempt beyond its request's first (`ratio` and `floor` of policies/retry.h), until it is given back. False: none. */
bool upstream_borrow(struct upstream *u, const struct retry_budget *b);
void upstream_repay(struct upstream *u);
/* The codec's slots changed (codec_events.on_slots). */
void upstream_slots(struct conn *c);
/* A connection outside the pool and its limits, for an errand; events and owner are the caller's. to NULL: whom the balance picks, and where all are
 * out one of these: a cancel frees work. NULL: none can be made now; *err says why, ENOENT where there is no endpoint. */
struct conn *upstream_dial(struct upstream *u, struct endpoint *to, const struct codec_events *ev, const struct conn_owner *owner, void *data,
                           int *err);
/* From now on this worker checks its endpoints (proxy/health.h), later ones too; and no longer, which tells nobody: who is out stays out. */
void upstream_check(struct upstream *u);
void upstream_uncheck(struct upstream *u);
/* The endpoint is not asked any more: its idle connections close now, those under way are given up for others, and the rest close when
 * they are done. Or it is asked again. Where none is left, nor a name that is yet to be resolved, who waits fails, and so does who
 * asks. Not from inside a codec's event. */
void upstream_judge(struct upstream *u, const struct verdict *v);
struct verdict endpoint_verdict(const struct endpoint *e, bool out);
struct str endpoint_text(const struct endpoint *e); /* "127.0.0.1:9001"; lives as long as the endpoint */
struct str endpoint_host(const struct endpoint *e); /* as configured, for a Host of our own */
size_t upstream_endpoints(const struct upstream *u, size_t *healthy);
/* The resolver's word on one of the configured endpoints that are names, where the worker has no resolver: a test's. */
void upstream_resolved(struct upstream *u, size_t endpoint, const struct resolved *set);
struct str upstream_authority(const struct upstream *u); /* of its first endpoint; empty: none is known */
struct str upstream_name(const struct upstream *u);
const struct upstream_conf *upstream_conf_of(const struct upstream *u);
struct str upstream_endpoint_text(const struct conn *c); /* endpoint_text of its endpoint; lives as long as the connection */
struct str upstream_endpoint_host(const struct conn *c); /* as configured: for `host: upstream` */
uint64_t upstream_endpoint_bit(const struct conn *c);    /* for place.tried; 0 for NULL */
size_t upstream_queued(const struct upstream *u);
#endif
