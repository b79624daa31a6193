// SPDX-License-Identifier: Apache-2.0
// What the checks of an endpoint say of it: what an answer means, and how many of them in a row make a verdict. Pure; proxy/health.h asks.
#ifndef CURFEW_PROXY_HEALTH_JUDGE_H
#define CURFEW_PROXY_HEALTH_JUDGE_H
#include "proxy/config.h"

/* Checks in a row. Zeroed: an endpoint that is new. It is in, as a server of HAProxy's is that begins `up`: else a gateway that starts would refuse
 * what its upstreams could serve. But nothing is known of it yet: the first check decides alone, and so does the first good one of one that failed
 * it, as in Envoy. From then on the thresholds count. */
struct tally {
    bool out;
    bool proven;       /* a check was good, ever */
    unsigned against;  /* checks in a row that speak against what it is */
};
enum tally_news { TALLY_SAME, TALLY_OUT, TALLY_IN };
enum tally_news tally_count(struct tally *t, const struct health_conf *c, bool good);

#define HEALTH_REASON_MAX 128u
struct health_answer { /* a complete one */
    const struct head *head, *trailers; /* NULL: none came */
    const uint8_t *body;                /* its beginning */
    size_t nbody;
};
/* Is it the answer of a healthy endpoint? False: why says what was wrong with it. */
bool health_is_good(enum health_type type, const struct health_answer *a, char why[HEALTH_REASON_MAX]);
#endif
