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
struct tls_client;
struct place { /* embedded in who asks; zeroed memory with the callbacks set */
    struct upstream *u;       /* set by upstream_ask */
    instant deadline;         /* who has less time goes first */
    bool fresh;               /* only a connection that served nobody yet (the stale connection rule) */
    uint64_t tried;           /* bit an endpoint (its number modulo 64) that failed this request already: others are preferred */
    uint64_t order;           /* among equal deadlines: who came first */
    size_t slot;              /* in the queue, 1-based; 0: not queued */
    struct conn *opening;     /* the connection that is made for it; borrowed; NULL: none */
    void (*on_ready)(struct place *p, struct conn *c, bool reused); /* p is not queued any more. Join a leg at once, or the slot is lost */
    void (*on_fail)(struct place *p, const struct fault *f);
};
struct upstream *upstream_new(struct worker *w, const struct upstream_conf *conf, struct str name, const struct codec_events *ev);
/* Takes the reference: connections made from now on use it. */
void upstream_take_tls(struct upstream *u, struct tls_client *tls);
void upstream_free(struct upstream *u); /* closes its connections; nobody waits any more (asserted) */
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
/* A connection outside the pool and its limits, for a side call; events and owner are the caller's. NULL: none can be made now. */
struct conn *upstream_dial(struct upstream *u, const struct codec_events *ev, const struct conn_owner *owner, void *data);
struct str upstream_authority(const struct upstream *u); /* of its first endpoint; empty: none is known */
struct str upstream_name(const struct upstream *u);
const struct upstream_conf *upstream_conf_of(const struct upstream *u);
struct str upstream_endpoint_text(const struct conn *c); /* "127.0.0.1:9001"; lives as long as the connection */
struct str upstream_endpoint_host(const struct conn *c); /* as configured: for `host: upstream` */
uint64_t upstream_endpoint_bit(const struct conn *c);    /* for place.tried; 0 for NULL */
size_t upstream_queued(const struct upstream *u);
#endif
