// SPDX-License-Identifier: Apache-2.0
// Which context fields travel: an allow-list under prefixes, caps, and on which listeners a field is believed. design: semantics, section 7.
#ifndef CURFEW_POLICIES_FIELDS_H
#define CURFEW_POLICIES_FIELDS_H
#include "conf/conf.h"
#include "core/head.h"

struct context_field { /* one row of `fields` */
    uint64_t max;
    struct conf_refs from; /* listeners; given = false: believed everywhere */
    bool optional;
};
struct fields_policy {
    struct conf_refs prefixes;
    struct conf_map fields;   /* of struct context_field */
    int64_t max_fields;
    uint64_t max_bytes;
    /* resolved by fields_resolve: */
    uint32_t *hashes;         /* of fields.names */
    uint64_t filter;
};
extern const struct conf_table fields_table;
/* Names lower-cased and checked as tokens, hashes computed. listeners: names that `from` may use. */
bool fields_resolve(struct conf *c, struct fields_policy *p, const struct conf_map *listeners);
/* Is it one of the listed fields? */
bool fields_has(const struct fields_policy *p, const struct field *f);
/* Edits the head that goes upstream: removes names under a prefix that are not listed, listed ones not believed on this listener, values over
 * their max, and whole members past the caps in total (optional ones first). trace headers (traceparent, tracestate, baggage) are not counted
 * or touched here. load: optional ones are dropped. Returns how many were removed. */
unsigned fields_apply(const struct fields_policy *p, struct head *up, struct str listener, bool load);
#endif
