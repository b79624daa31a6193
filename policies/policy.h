// SPDX-License-Identifier: Apache-2.0
// A policy by name: all that a route says about deadlines, cancels, answers, fields and retries. Each part owns its table.
#ifndef CURFEW_POLICIES_POLICY_H
#define CURFEW_POLICIES_POLICY_H
#include "policies/answer.h"
#include "policies/cancel.h"
#include "policies/deadline.h"
#include "policies/fields.h"
#include "policies/retry.h"

enum forwarded_mode { FORWARDED_NONE, FORWARDED_X, FORWARDED_RFC, FORWARDED_BOTH };
struct forward_policy { /* Via, X-Forwarded-*, X-Real-IP, Forwarded */
    uint8_t headers;     /* enum forwarded_mode */
    bool real_ip;        /* X-Real-IP is written */
    bool via;            /* RFC 9110 7.6.3 */
    struct str via_name;
};
struct policy {
    struct conf_ref extends;
    struct deadline_policy deadline;
    struct cancel_policy cancel;
    struct answer_policy answer;
    struct fields_policy context;
    struct retry_policy retry;
    struct forward_policy forward;
};
extern const struct conf_table policy_table;
/* Some mode of it does not enforce, so that what enforcing would have done is counted; it has a max_reject; either. */
static inline bool policy_is_observed(const struct policy *p) { return mode_observes(p->deadline.mode) || mode_observes(p->cancel.mode); }
static inline bool policy_is_guarded(const struct policy *p) { return p->deadline.max_reject && p->deadline.mode != MODE_DISABLED; }
static inline bool policy_is_watched(const struct policy *p) { return policy_is_observed(p) || policy_is_guarded(p); }
struct policies { /* by name; [0] is what routes get that name none: "default", or the built-in */
    struct policy *v;
    struct str *names;
    size_t n;
};
/* Merges by `extends` (a cycle or an unknown base is reported), loads and resolves all. n: the node of `policies`, or NULL. */
bool policies_load(struct conf *c, const struct conf_node *n, const struct dialect_set *dialects, const struct conf_map *listeners,
                   struct policies *out);
const struct policy *policies_find(const struct policies *all, struct str name); /* NULL: none */
/* Adds Via, X-Forwarded-For / -Proto / -Host, X-Real-IP and Forwarded to the head that goes upstream (or Via alone to an answer). Untrusted peers' own
 * X-Forwarded-*, X-Real-IP and Forwarded are removed or replaced, trusted ones' appended to, or left. RFC 9110 7.6.3, RFC 7239. Call it before the route's own edits, so
 * that these have the last word. peer, local: an address without its port, IPv6 without brackets; or with both. */
extern const struct conf_table forward_table;
struct forward_facts { struct str peer, local; bool trusted, secure; uint8_t version; };
void forward_apply(const struct forward_policy *p, const struct forward_facts *f, const struct head *request, struct head *up);
/* Is a field that this name is alike (str_is_alike) a claim that forward_apply removes? */
bool forward_removes_alike(const struct forward_policy *p, bool trusted, struct str name);
/* Removes an untrusted peer's claims from the trailers of its request, too. */
void forward_in_trailers(const struct forward_policy *p, bool trusted, struct head *trailers);
void forward_answer(const struct forward_policy *p, uint8_t version, struct head *down);
#endif
