// SPDX-License-Identifier: Apache-2.0
// What goes while somebody still uses it: the gateway itself as it drains, a listener or an upstream that a reload took away. Who uses it was told,
// and has some time to be done; then what still lives of that ends as `shutdown` and is answered, and a second later, who has not closed by then is
// dropped. Nothing of it may hold a descriptor, or a configuration's memory, for as long as a peer likes.
#ifndef CURFEW_PROXY_LEAVING_H
#define CURFEW_PROXY_LEAVING_H
#include "core/instant.h"
#include "core/wheel.h"

struct worker;
struct listener;
struct upstream;
struct leaving {                     /* embedded in what goes; zeroed memory */
    struct worker *w;                /* borrowed; NULL: it has not begun */
    const struct listener *listener; /* borrowed: its clients go, and their requests */
    const struct upstream *upstream; /* borrowed: the requests that ask it go, and its connections. Neither: all that the worker has */
    struct timer timer;
};
/* From here on it has so long; FOREVER: as long as it takes. Once. */
void leaving_begin(struct leaving *l, struct worker *w, span time);
/* Nobody uses it any more; idempotent, also where it never began. */
void leaving_end(struct leaving *l);
#endif
