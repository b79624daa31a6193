// SPDX-License-Identifier: Apache-2.0
// Whether an attempt's outcome may start another, and when: only where the request cannot have run, unless the policy names more. And which
// requests may be hedged. Pure: facts in, verdict out; chance and clock are the caller's.
#ifndef CURFEW_POLICIES_RETRY_H
#define CURFEW_POLICIES_RETRY_H
#include "codecs/rpc.h"
#include "conf/conf.h"
#include "core/ending.h"
#include "core/head.h"

struct retry_when {
    uint64_t endings;     /* bit an ending */
    uint64_t http[4];     /* bit a status, from 400 on */
    uint32_t grpc;        /* bit a status */
    bool statuses;        /* one of these two has a bit */
};
struct retry_budget { uint32_t ratio; int64_t floor; }; /* ratio: CONF_PERCENT */
struct retry_hedge { span after; int64_t max; };
struct retry_policy {
    int64_t retries;      /* additional attempts */
    struct retry_when when;
    struct conf_refs methods; /* sent again although the upstream may have run it; given = false: the idempotent ones */
    struct { span base, max; } backoff; /* max 0: ten times base */
    struct retry_budget budget;
    struct retry_hedge *hedge; /* NULL: none */
    uint64_t buffer;      /* bytes of a request's body kept for another attempt */
};
extern const struct conf_table retry_table;

/* Outcomes of an attempt, as against endings of the request: only they can be tried again. */
bool retry_is_outcome(enum ending e);

/* What an answer says of another attempt. */
enum retry_word {
    RETRY_UNSAID,
    RETRY_NOT_BEFORE, /* Retry-After: no sooner */
    RETRY_AT,         /* a pushback (gRFC A6): then, without a back-off of ours */
    RETRY_NEVER       /* a pushback that is negative or malformed */
};
struct retry_said { enum retry_word word; span wait; };
struct retry_said retry_read(const struct head *answer, int64_t wall_ns);
/* Is this answer, of which the head is all that is known, one that the policy tries again? In plain HTTP by its status, for what bears repeating;
 * in an RPC protocol by the status of gRPC that its head says, for whatever method: that the policy names it is its consent. */
bool retry_names(const struct retry_policy *p, const struct rpc *rpc, const struct head *answer, struct str method);

struct retry_facts {
    enum ending outcome;  /* NONE: an answer that retry_names, and said */
    struct retry_said said;
    struct str method;    /* the request's; empty: one that bears no repeating */
    bool unprocessed;     /* the fault says that the peer cannot have run it */
    bool passed_over;     /* ... since its connection takes no more: then no budget is asked */
    bool replayable;      /* the body so far is still whole in our queue */
    bool context_live;
    int64_t made;         /* retries made already; hedges are none */
    span left;            /* until the deadline */
    span min;             /* what an attempt needs: min + reserve */
    uint64_t draw;        /* a random number: the jitter */
};
enum retry_verdict { RETRY_NO, RETRY_YES, /* NO: the policy does not say so. What follows it would, but: */
                     RETRY_NO_TIME /* what is left would be over, or too little */, RETRY_PUSHBACK /* the upstream said not to */,
                     RETRY_BUDGET /* never retry_decide's: the caller keeps the budget */, RETRY_VERDICTS };
const char *retry_verdict_name(enum retry_verdict v); /* "", "", "no_time", "pushback", "budget" */
/* YES: *wait is how long from now; 0: at once, which is for the first one after an outcome that cannot have run. */
enum retry_verdict retry_decide(const struct retry_policy *p, const struct retry_facts *f, span *wait);
/* Full jitter: from 0 up to, not including, base × (2^n − 1), or max; n: which retry it is, from 1. */
span retry_backoff(const struct retry_policy *p, int64_t n, uint64_t draw);
span retry_backoff_below(const struct retry_policy *p, int64_t n); /* that bound; 0: it does not wait */
/* A second one beside it does no harm: the method bears it, or it is an RPC, for which that there is a `hedge` is the consent. */
bool retry_may_hedge(const struct retry_policy *p, const struct rpc *rpc, struct str method);
/* How many attempts beyond their requests' first there may be, with so many attempts under way or waiting. */
uint64_t retry_budget_of(const struct retry_budget *b, uint64_t attempts, uint64_t floor_share);
/* RFC 9110 9.2.2 */
bool method_is_idempotent(struct str method);
#endif
