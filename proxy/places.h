// SPDX-License-Identifier: Apache-2.0
// The queue of an upstream: those who wait for a connection, by deadline, and among equals in the order of their coming (semantics 2.6: who has less
// time goes first, since who waits too long is asked for nothing).
#ifndef CURFEW_PROXY_PLACES_H
#define CURFEW_PROXY_PLACES_H
#include "proxy/upstream.h"

struct places { /* zeroed: empty */
    struct place **v; /* owned; [0] is the first, the others are in no order that a reader may rely on */
    size_t n, cap;
    uint64_t order;   /* how many have come */
};
void places_add(struct places *h, struct place *p);    /* p is not queued; sets its order and slot */
void places_remove(struct places *h, struct place *p); /* p is queued here; its slot becomes 0 */
void places_free(struct places *h);                    /* nobody waits (asserted) */
#endif
