// SPDX-License-Identifier: Apache-2.0
// A histogram with two generations: see latency.h. What is old goes with its whole generation, so that noting costs an addition and nothing decays.
#include "policies/latency.h"
#include <string.h>

#define UNIT_BITS 14 /* 16 µs: a quarter of the first bucket's octave */
#define KEEP span_ms(100)

static unsigned bucket_of(span took) {
    uint64_t units = took.ns > 0 ? (uint64_t)took.ns >> UNIT_BITS : 0;
    if (units < 4) return 0;
    unsigned octave = 61u - (unsigned)__builtin_clzll(units); /* 4 units: 0 */
    unsigned i = 1 + 4 * octave + (unsigned)(units >> octave & 3);
    return i < LATENCY_BUCKETS ? i : LATENCY_BUCKETS - 1;
}
static span least_of(unsigned bucket) { return (span){ bucket ? (int64_t)(4 + (bucket - 1) % 4) << ((bucket - 1) / 4 + UNIT_BITS) : 0 }; }

static void turn(struct latency *l, instant now) {
    int64_t age = instant_until(l->since, now).ns;
    if (age < LATENCY_KEPT.ns) return;
    l->young ^= 1;
    memset(l->counts[l->young], 0, sizeof l->counts[0]);
    if (age >= 2 * LATENCY_KEPT.ns) memset(l->counts[l->young ^ 1], 0, sizeof l->counts[0]);
    l->since = now;
}
void latency_note(struct latency *l, span took, instant now) {
    turn(l, now);
    l->counts[l->young][bucket_of(took)]++;
}

static span percentile(const struct latency *l, unsigned percent) {
    uint64_t all = 0, below = 0;
    for (unsigned i = 0; i < LATENCY_BUCKETS; i++) all += l->counts[0][i] + (uint64_t)l->counts[1][i];
    if (all < LATENCY_SAMPLES) return (span){ 0 };
    for (unsigned i = 0; i < LATENCY_BUCKETS; i++) {
        below += l->counts[0][i] + (uint64_t)l->counts[1][i];
        if (below * 100 >= all * percent) return least_of(i);
    }
    return (span){ 0 };
}
span latency_percentile(struct latency *l, unsigned percent, instant now) {
    if (l->asked == percent && instant_until(l->asked_at, now).ns < KEEP.ns) return l->known;
    turn(l, now);
    l->asked = percent;
    l->asked_at = now;
    return l->known = percentile(l, percent);
}
