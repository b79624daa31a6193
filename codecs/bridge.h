// SPDX-License-Identifier: Apache-2.0
// A bridge: what a client says in one RPC protocol, said to the upstream in another, and the answer back. It turns heads, bodies, trailers, errors
// with their details, and the names of compressions; messages themselves pass as they are, compressed or not, in whatever codec. One an exchange,
// in its arena. Pure: bytes in, bytes out through two sinks, no I/O, no clock.
//
//   open ─→ request_head (each attempt anew) ─→ request_body* ─→ request_end        bytes for the upstream: bridge.up
//   answer_head ─→ answer_body* ─→ answer_end                                       bytes for the client:   bridge.down
//
// Memory is bounded: messages are passed on piece by piece wherever both sides can take them so; what must be held whole, since a length stands
// before it or the status behind it, is held up to BRIDGE_MESSAGE_MAX.
#ifndef CURFEW_CODECS_BRIDGE_H
#define CURFEW_CODECS_BRIDGE_H
#include "codecs/rpc.h"
#include "core/buffer.h"

#define BRIDGE_MESSAGE_MAX (4u << 20) /* bytes of a message that is held: what gRPC's own libraries take by default. Against bodies without a
                                         length and answers without an end, of which a peer could begin many */
struct bridge;
/* n bytes at p, n > 0. lives: they are a slice of what was handed in, and as good as that; else they are good until the sink returns. */
typedef void bridge_sink(struct bridge *b, const uint8_t *p, size_t n, bool lives);

struct bridge_kind { /* faults are static; NULL: none. After one, nothing but bridge_free may be called */
    const char *from, *to;     /* names of RPC protocols: the client's, the upstream's. `to` is the word in a route's `translate` */
    size_t size;               /* of the whole state, which begins with struct bridge */
    /* Once: checks the request's head. What the body needs before its first byte goes to `up`, also where there is none (then request_end). */
    const struct fault *(*open)(struct bridge *b);
    /* Makes the upstream's head out of a clone of the request's, whose target the route has rewritten. Every attempt anew. */
    void (*request_head)(struct bridge *b, struct head *up);
    const struct fault *(*request_body)(struct bridge *b, const uint8_t *p, size_t n);
    const struct fault *(*request_end)(struct bridge *b);
    /* Makes the client's head out of a clone of the upstream's; an answer that came before, from an attempt that failed, is forgotten.
     * False: it is not known before the end of the answer. */
    bool (*answer_head)(struct bridge *b, struct head *down);
    const struct fault *(*answer_body)(struct bridge *b, const uint8_t *p, size_t n);
    /* trailers may be NULL. Where answer_head said false, `down` is the client's head after this. b->status is set. */
    const struct fault *(*answer_end)(struct bridge *b, const struct head *trailers);
};
struct bridge {
    const struct bridge_kind *kind;
    struct arena *arena;        /* borrowed from the exchange */
    const struct head *request; /* borrowed: as the client sent it */
    bridge_sink *up, *down;     /* set by the owner before open */
    void *owner;                /* the sinks' own */
    struct head *head;          /* the client's, from answer_head on */
    int16_t status;             /* the status of gRPC that the answer had; -1: it is not over */
    /* inside */
    struct frames asked, answered; /* the messages of either body */
    struct buffer held_up, held_down; /* of the request, of the answer: these may overlap in time */
    uint16_t http;              /* what the upstream answered */
    bool foreign;               /* ... which was not gRPC: a proxy's page, say. Its body is thrown away */
    bool ended;                 /* its head was all: trailers-only */
    int16_t head_status;
    struct str head_message, head_details;
};
/* NULL: nobody translates that; from and to may be the same protocol, of which nothing has to be said. */
struct bridge *bridge_new(struct arena *a, const struct head *request, const char *from, const char *to);
void bridge_free(struct bridge *b); /* gives back what is held; NULL is fine; idempotent */
#endif
