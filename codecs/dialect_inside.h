// SPDX-License-Identifier: Apache-2.0
// What the halves of the dialects share: the lengths of units, and the little grammars of queries and of Prefer. Not for others.
#ifndef CURFEW_CODECS_DIALECT_INSIDE_H
#define CURFEW_CODECS_DIALECT_INSIDE_H
#include "codecs/dialect.h"

struct dialect_suffix { struct str text; int64_t ns; };
extern const struct dialect_suffix dialect_suffixes[7]; /* ns us ms s m h d: finest first */
/* ns of one NS, US, MS or S; 0 for the units that are no plain number. */
int64_t dialect_unit_ns(enum dialect_unit u);
/* The units that this row takes as suffixes, as a list separated by blanks. */
struct str dialect_suffix_list(const struct dialect *d);
unsigned dialect_suffix_mask(const struct dialect *d); /* bit i: dialect_suffixes[i] is taken */

/* Cuts the next name=value off a query. False at its end; empty parameters are skipped. */
bool query_next(struct str *rest, struct str *parameter);
/* Is it a parameter of that name? Then its value, raw, and whether it had one. */
bool query_is(struct str parameter, struct str name, struct str *value);
/* %XX and + resolved (WHATWG's form encoding, as servers read queries). False: a bad escape, or longer than the buffer. */
bool query_decode(struct str raw, char buf[DIALECT_TEXT_MAX], struct str *out);
struct str target_query(struct str target); /* after the first '?'; empty with p NULL: none */

/* Cuts the next preference off a Prefer value, quoted strings kept whole. RFC 7240 2. */
bool prefer_next(struct str *rest, struct str *element);
/* Is it the preference of that name? Then its value without quotes; empty: none. */
bool prefer_is(struct str element, struct str name, struct str *value);

static inline int64_t i64_sub_sat(int64_t a, int64_t b) {
    int64_t r;
    if (!__builtin_sub_overflow(a, b, &r)) return r;
    return b < 0 ? INT64_MAX : INT64_MIN;
}
#endif
