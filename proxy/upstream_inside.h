// SPDX-License-Identifier: Apache-2.0
// What upstream.c (connections and who waits for them) and endpoints.c (whom there is to ask) share of an upstream. For these two files alone.
#ifndef CURFEW_PROXY_UPSTREAM_INSIDE_H
#define CURFEW_PROXY_UPSTREAM_INSIDE_H
#include "proxy/places.h"
#include "proxy/upstream.h"
#include "proxy/worker.h"

struct endpoint { /* freed when it is out of the list and its last connection is gone */
    struct list node;            /* in upstream.endpoints; unlinked: resolved away */
    struct upstream *u;
    const struct address *conf;  /* whose name it came from */
    struct sockaddr_storage sa;
    socklen_t len;
    struct list open;            /* connections with a free slot; the last that came by one first: of those that take many, the fullest */
    struct list busy;            /* all others */
    size_t nconns, inflight;
    unsigned number;
    instant failed_until;
    bool out;                    /* by its checks: it is not asked */
    struct health *health;       /* owned; NULL: this worker does not check it */
    unsigned slots;              /* how many requests one connection takes, as the last one that said so; 0: none has */
    uint64_t used;               /* when it was last given a request, or a connection was opened to it, in upstream.uses */
    struct str text;             /* its address; a unix socket's as configured */
    char ip[ENDPOINT_TEXT_MAX];
};
struct outcast { struct list node; struct verdict verdict; }; /* an endpoint that is out, also where its name is yet to be resolved here */
struct watch { struct upstream *u; const struct address *conf; struct resolver_watch *handle; bool told; /* found, or asked for in vain */ };
struct upstream {
    struct worker *w;
    size_t refs;
    struct lease *lease;         /* a reference: what conf, name and endpoints' addresses are in */
    const struct upstream_conf *conf;
    struct str name;
    const struct codec_events *ev;
    struct tls_client *tls;      /* a reference; NULL: cleartext */
    struct list endpoints;
    size_t nendpoints, nout;     /* nout: of them, by their checks */
    struct list outcasts;        /* of outcast; owned */
    bool checks;                 /* this worker checks its endpoints */
    unsigned next_number;
    uint64_t uses;
    size_t nconns, opening, inflight;
    size_t borrowed;             /* attempts beyond their requests' first: under way, or in their back-off */
    size_t max_connections, max_requests, max_pending;
    uint64_t made_room;          /* the last turn in which a connection was closed for another */
    struct places waiting;
    struct watch *watches;
    size_t nwatches;
    struct conn_times times;
    bool pumping;
    bool retired;                /* it is kept by those who began under a configuration that had it */
    struct leaving leaving;      /* ... for so long */
};

void endpoint_add(struct upstream *u, const struct address *conf, const struct sockaddr_storage *sa, socklen_t len);
void endpoint_remove(struct endpoint *e); /* it serves nobody new; freed with its last connection */
void endpoint_unref(struct endpoint *e);  /* one of its connections is gone */
void upstream_watch(struct upstream *u);  /* fills watches, and the endpoints that need no resolver */
void upstream_unwatch(struct upstream *u);
/* The endpoints have changed: gives out what is free, and tells who waits for nothing. */
void upstream_reconsider(struct upstream *u);
/* A name has had no answer yet: endpoints may still come of it. */
bool upstream_awaits_names(const struct upstream *u);
#endif
