// SPDX-License-Identifier: Apache-2.0
// Fields of a request whose names have a _ where names that curfew decides about have a -: CGI and its heirs (WSGI, Rack, PHP) make HTTP_X_USER of
// x-user and of x_user alike, so that a backend would take x_request_timeout for the deadline that we wrote. Such a field meets the fate of the one that
// it looks like, where that would not pass as it came; all others pass (metadata of gRPC has underscores).
#ifndef CURFEW_POLICIES_LOOKALIKE_H
#define CURFEW_POLICIES_LOOKALIKE_H
#include "policies/policy.h"
#include "policies/route.h"

struct lookalike_facts {
    const struct policy *policy;
    const struct dialect_set *dialects;
    const struct header_edits *edits; /* the route's, of the request; NULL: of trailers, which it does not edit */
    bool trusted;                     /* as forward_apply has it */
    void (*on_field)(void *arg, const struct field *f, enum field_fate fate); /* told of each before it is removed; NULL: nobody asks */
    void *arg;
};
/* Removes lookalikes of framing, of dialects, of what forward_apply removes or replaces, of context fields and of what the route sets or removes, from
 * a head or trailers that go upstream; returns how many. A name that the policy governs in its own right is no lookalike. Call it before these do their
 * own work. Without a _ in a name, of the head or of the policy's context, it costs a look at each field whose name has no token. */
unsigned lookalikes_remove(const struct lookalike_facts *f, struct head *h);
#endif
