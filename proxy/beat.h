// SPDX-License-Identifier: Apache-2.0
// Whether there is a beat, and how long it is. It spares segments and wake-ups for as many microseconds of waiting, so it is worth it where the
// processor is what is scarce and much is under way, and only there: a worker that has time to spare serves everybody at once. It is a share of what
// a request lasts, not one length for all: so it does not hold itself up by what it adds to that.
#ifndef CURFEW_PROXY_BEAT_H
#define CURFEW_PROXY_BEAT_H
#include "core/instant.h"
#include <stddef.h>
#include <stdint.h>

#define BEAT_WINDOW span_ms(10) /* looked at once in so long */
#define BEAT_BEGINS 50          /* percent of it that the thread ran, from which on there is a beat */
#define BEAT_ENDS 25            /* ... and below which there is none: what the beat spares must not end it */
#define BEAT_SHARE 6            /* a request lasts so many beats, or they would be most of what it lasts */
#define BEAT_LEAST 2            /* the shortest is this part of the longest: one that is shorter spares little */

struct beat { /* a worker's */
    span conf;     /* the longest, as configured; 0: never */
    span bearable; /* a share of what requests last; 0: the worker has time to spare */
    span now;      /* the beat that follows from both; 0: there is none */
    instant since; /* the window's beginning */
    size_t most;   /* requests under way in it, at the end of a turn */
    span ran;      /* the thread's processor time, and requests completed, both as of then and ever */
    uint64_t done;
};
/* The end of a turn, with so many requests under way. True: the window is over, and it is time to judge. */
static inline bool beat_turned(struct beat *b, instant now, size_t live) {
    if (live > b->most) b->most = live;
    return b->conf.ns > 0 && !instant_before(now, instant_add(b->since, BEAT_WINDOW));
}
/* At the start, and when the configuration changes. */
void beat_configure(struct beat *b, span longest);
/* Says `now` for what comes, from processor time and completed requests as of now. Only where beat_turned said so. */
void beat_judge(struct beat *b, instant now, span ran, uint64_t done);
#endif
