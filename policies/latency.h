// SPDX-License-Identifier: Apache-2.0
// How long a route's upstreams take to begin their answers: a percentile of the last minute, in constant memory.
#ifndef CURFEW_POLICIES_LATENCY_H
#define CURFEW_POLICIES_LATENCY_H
#include "core/instant.h"

#define LATENCY_BUCKETS 81u   /* what is less than 64 µs, then four an octave to a minute */
#define LATENCY_SAMPLES 20u   /* fewer say nothing */
#define LATENCY_KEPT span_s(30) /* a generation; with the one before it that is what counts */
struct latency { /* a route's on one worker; zeroed memory is a fresh one */
    uint32_t counts[2][LATENCY_BUCKETS];
    instant since;            /* when the younger generation began */
    unsigned young;           /* which one it is */
    instant asked_at;         /* the last answer, which holds for a tenth of a second */
    unsigned asked;
    span known;
};
void latency_note(struct latency *l, span took, instant now);
/* So long that `percent` of them took no less, to the octave's quarter, rounded down. 0: not known. */
span latency_percentile(struct latency *l, unsigned percent, instant now);
#endif
