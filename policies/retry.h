// SPDX-License-Identifier: Apache-2.0
// Whether an attempt's outcome may start another: only where the request cannot have run, unless the policy names more.
#ifndef CURFEW_POLICIES_RETRY_H
#define CURFEW_POLICIES_RETRY_H
#include "conf/conf.h"
#include "core/ending.h"
#include "core/head.h"

struct retry_policy {
    int64_t retries;      /* additional attempts */
    uint64_t when;        /* bit an ending */
    struct conf_refs methods; /* sent again although the upstream may have run it; given = false: the idempotent ones */
    uint32_t budget;      /* CONF_PERCENT */
    uint64_t buffer;      /* bytes of a request's body kept for another attempt */
};
extern const struct conf_table retry_table;
struct retry_facts {
    enum ending outcome;
    struct str method;    /* the request's; empty: one that bears no repeating */
    bool unprocessed;     /* the fault says that the peer cannot have run it */
    bool replayable;      /* the body so far is still whole in our queue */
    bool context_live;
    int64_t made;         /* additional attempts made already */
    span left;            /* until the deadline */
    span min;             /* what an attempt needs: min + reserve */
};
bool retry_decide(const struct retry_policy *p, const struct retry_facts *f);
/* RFC 9110 9.2.2 */
bool method_is_idempotent(struct str method);
#endif
