// SPDX-License-Identifier: Apache-2.0
// One request outside of any exchange, on a connection of its own, past its upstream's pool and limits: a cancel's side-channel call, or a check of
// health. It is counted by nobody. Time is its owner's business: it has no timer but those of its connection.
#ifndef CURFEW_PROXY_ERRAND_H
#define CURFEW_PROXY_ERRAND_H
#include "proxy/leg.h"

struct upstream;
struct endpoint;
#define ERRAND_KEPT 64u             /* bytes of the answer's body that are kept */
#define ERRAND_ANSWER_MAX (1u << 20) /* ... that are taken: an answer without an end would be read for as long as its owner waits */

struct errand { /* last in who sends it, with leg_tail_max() bytes behind it; zeroed, and then set by its owner: */
    void *owner;                    /* the owner's own; NULL: it has none */
    struct arena *arena;            /* borrowed: what belongs to the answer lives there */
    const struct head *head;        /* borrowed. NULL: nothing is asked, a connection that opens (TLS and all) is the answer */
    struct str body;                /* borrowed */
    uint8_t version;                /* the lowest version of HTTP that can carry it, as in head.version; 0: any */
    /* Once for each errand_go that took it, never inside one; maybe inside a codec's event, so that neither the errand nor its arena may go there.
     * say NULL: the answer is complete; else a static sentence. */
    void (*on_over)(struct errand *e, const char *say);
    /* what came of it: */
    const struct head *answer, *trailers; /* NULL: none came */
    uint64_t received;              /* bytes of the answer's body */
    uint8_t kept[ERRAND_KEPT];      /* its beginning */
    size_t nkept;
    /* the errand's own: */
    size_t given;
    struct conn *conn;              /* borrowed; NULL: it is over, or has not begun */
    struct leg leg;                 /* last: the codec's tail follows */
};
/* Begins it, again where it was over. to NULL: to the endpoint that the upstream picks. 0, or the errno with which the system refused at once
 * (ENOENT: the upstream has no endpoint). */
int errand_go(struct errand *e, struct upstream *u, struct endpoint *to) __attribute__((warn_unused_result));
/* Calls it off: its connection is reset, and on_over does not come; its memory may go at once. Idempotent. Not from inside a codec's event. */
void errand_drop(struct errand *e);
#endif
