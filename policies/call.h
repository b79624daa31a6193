// SPDX-License-Identifier: Apache-2.0
// The side-channel call: a request of its own that tells an upstream to cancel, for servers that never notice a closed connection. Here is what
// to call; proxy/call.h makes it.
#ifndef CURFEW_POLICIES_CALL_H
#define CURFEW_POLICIES_CALL_H
#include "conf/conf.h"
#include "policies/template.h"

struct call_header { struct str name; struct template value; };
struct call_policy {
    struct conf_ref upstream;          /* absent: the one that has the request */
    struct str method, path, body;
    const struct conf_node *headers;   /* as written */
    span timeout;
    struct conf_rate rate;
    struct conf_refs endings;          /* as written */
    /* compiled by the table's check: */
    struct template path_template, body_template;
    struct call_header *header;
    size_t nheaders;
    uint64_t ending_mask;              /* bit an ending; 0: all that cancel */
};
extern const struct conf_table call_table;

/* Is it made after this ending? */
static inline bool call_is_for(const struct call_policy *p, enum ending why) { return !p->ending_mask || (p->ending_mask >> why & 1); }
/* The call's head and body, in the arena. False: a name of a template has no value, or values would make a dot segment of the path; *fault says so. */
bool call_build(const struct call_policy *p, const struct template_facts *f, struct str authority, struct arena *a, struct head *h,
                struct str *body, struct str *fault);
/* What an answer to the call means: told, or already over (semantics 5). */
static inline bool call_is_answered(uint16_t status) { return (status >= 200 && status < 300) || status == 404; }
#endif
