// SPDX-License-Identifier: Apache-2.0
// How far a TRACE or an OPTIONS may go: Max-Forwards (RFC 9110 7.6.2), which all other methods ignore; and whether a TRACE goes anywhere. Its answer
// is the request itself, credentials and all, and whoever wants that says so by name.
#ifndef CURFEW_POLICIES_HOPS_H
#define CURFEW_POLICIES_HOPS_H
#include "policies/route.h"

/* Is it a method that Max-Forwards counts for? */
static inline bool hops_count(const struct head *h) { return str_eq(h->method, STR("OPTIONS")) || str_eq(h->method, STR("TRACE")); }
/* Why such a request is refused on this route: a TRACE that the route's methods do not name, or that ends here, since nothing is reflected here; a
 * Max-Forwards that is no number or is repeated, since it bounds no loop and nobody could count it down. NULL: it is not. Static. */
const struct fault *hops_fault(const struct head *h, const struct route *r);
/* Is this request, which is not refused, to go no further than here, its final recipient? */
bool hops_end(const struct head *h);
/* Counts one hop in the head that goes upstream: a clone of one that neither is refused nor ends here. */
void hops_tell(struct head *up);
#endif
