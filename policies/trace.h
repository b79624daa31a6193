// SPDX-License-Identifier: Apache-2.0
// traceparent, tracestate and baggage, under their own specifications' limits (W3C Trace Context, levels 1 and 2; W3C Baggage). A proxy that takes no
// part passes them unread, and that is the default; what is changed is changed by their rules: whole members, and never tracestate alone.
#ifndef CURFEW_POLICIES_TRACE_H
#define CURFEW_POLICIES_TRACE_H
#include "conf/conf.h"
#include "core/head.h"
#include "core/random.h"

#define TRACE_ID 32u            /* hexadecimal digits */
#define PARENT_ID 16u
#define TRACESTATE_MEMBERS 32u  /* of a list; one with more is malformed */
#define TRACESTATE_LONG 128u    /* bytes of a member: longer ones go first (3.3.1.5) */
#define BAGGAGE_MEMBERS_MAX 1024u /* of a request, as far as they are looked at; what is behind is dropped. The spec's own limit is 64 */

struct traceparent { struct str trace_id, parent_id; uint8_t version, flags; };
/* Exact: lower-case hexadecimal, no version ff, no id of zeros; version 00 is 55 characters, a later one may go on behind a dash. */
bool traceparent_parse(struct str value, struct traceparent *out);
bool tracestate_key_is_good(struct str key);

struct tracestate { struct str v[TRACESTATE_MEMBERS + 1]; size_t n; }; /* members as sent, "key=value", without the empty ones */
struct str tracestate_key(struct str member);
/* All fields of a head as one list. False: some member is malformed, a key stands twice, or there are too many: then the whole is to be discarded. */
bool tracestate_read(const struct head *h, struct tracestate *out);

/* ---- policies ------------------------------------------------------------------------------------------------------------------------- */
enum trace_mode { TRACE_PASS, TRACE_CHECK, TRACE_JOIN };
struct trace_policy {
    uint8_t mode;          /* enum trace_mode */
    struct str member;     /* ours, in JOIN */
    uint64_t max_bytes;    /* of tracestate; not in PASS */
    struct conf_refs from; /* listeners whose trace is believed; given = false: all */
    uint32_t sample;       /* of the traces that begin here, in hundredths of a percent */
};
struct baggage_policy {
    struct conf_refs allow; /* keys; given = false: all */
    int64_t max_members;
    uint64_t max_bytes;
    struct conf_refs from;
};
extern const struct conf_table trace_table, baggage_table;

/* A trace that begins here: made once a request, so that all attempts belong to one. */
struct trace_root { bool made, sampled; char id[TRACE_ID]; };
void trace_begin(const struct trace_policy *p, uint64_t *random, struct trace_root *out);

/* Is there a valid traceparent, once, that is believed? believed: the listener is among `from`. */
bool trace_is_good(const struct head *h, bool believed);
struct trace_tally { unsigned restarted, members; }; /* traces that were removed as invalid or not believed; members of tracestate dropped */
/* Edits the head that goes upstream. One that is not valid or not believed goes, with its tracestate; root, where it was made, takes its place. In
 * CHECK a tracestate that is malformed goes, and one over the limits loses members; in JOIN our member comes first, too. Wherever tracestate
 * changes, traceparent gets a new parent-id, version 00 and the flags that this version knows (3.4). */
void trace_apply(const struct trace_policy *p, bool believed, const struct trace_root *root, uint64_t *random, struct head *up,
                 struct trace_tally *tally);
/* Removes members that are not allowed, or past the limits over all fields together, the last ones first. Returns how many. */
unsigned baggage_apply(const struct baggage_policy *p, bool believed, struct head *up);
#endif
