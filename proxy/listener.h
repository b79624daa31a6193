// SPDX-License-Identifier: Apache-2.0
// A listener as one worker has it: an accepting socket of its own (SO_REUSEPORT), or for a unix socket one that all workers share.
#ifndef CURFEW_PROXY_LISTENER_H
#define CURFEW_PROXY_LISTENER_H
#include "proxy/config.h"
#include "proxy/conn.h"
#include "proxy/leaving.h"

struct service;
struct listener {
    struct worker *w;                 /* borrowed */
    struct snapshot *snapshot;        /* borrowed: its owner; each of its connections has a reference */
    const struct listener_conf *conf; /* borrowed from the snapshot */
    struct listener *heir;            /* borrowed from the next snapshot: who has its clients from there on; NULL: nobody */
    struct str name;
    int fd;                           /* owned */
    struct event event;
    struct timer rest;                /* accepting is off until then: the system has no descriptor, or no memory, for another client */
    instant complained;               /* ... and when that was last said */
    const struct codec_events *ev;    /* of the sessions of its clients */
    struct tls_server *tls;           /* a reference; NULL: cleartext */
    const struct service *service;    /* borrowed; NULL: the gateway's own clients */
    size_t nconns;
    struct conn_times times;
    struct leaving leaving;           /* once no snapshot after its own has it */
};
/* Binds and listens. The main thread's, before any worker hears of it, so that a fault leaves all as it is. -1: *say: why (static or errno's). */
int listener_open(const struct listener_conf *conf, const char **say);
/* Of a unix listener: the file. */
void listener_remove_file(const struct listener_conf *conf);
/* Of the worker's snapshot, which is to own it. Takes fd, and accepts from the next turn on. fd -1: accepts nothing by itself, clients come through
 * listener_take (flow tests). */
struct listener *listener_new(struct worker *w, const struct listener_conf *conf, struct str name, int fd, const struct codec_events *ev);
/* A client's connection that was accepted: fd is taken, and closed where there is no room for it. */
void listener_take(struct listener *l, int fd, const struct sockaddr_storage *peer, socklen_t len);
/* Accepts what waits, then no more; the descriptor is closed. Idempotent. */
void listener_stop(struct listener *l);
void listener_free(struct listener *l);
/* l has the address of `before`, a listener of the snapshot before: it takes its socket, and, where clients_stay, is to take its clients. */
void listener_succeed(struct listener *l, struct listener *before, bool clients_stay);
/* Each client of a listener of that snapshot goes on with its heir, whose timeouts, trust and routes hold from its next request on; without one it
 * goes as in a drain, within that time. */
void listener_move_clients(struct worker *w, const struct snapshot *before, span time);
static inline struct listener *listener_of(const struct conn *c) { return c->owner_data; }
bool listener_has(const struct listener *l, const struct conn *c); /* it is one of its clients */
#endif
