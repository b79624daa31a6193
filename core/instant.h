// SPDX-License-Identifier: Apache-2.0
// Time inside the house: a point on the monotonic clock and a length of time, as two types that the compiler keeps apart.
// Arithmetic saturates: what is too far is far, never in the past. Nothing here reads a clock; `now` is handed in.
#ifndef CURFEW_CORE_INSTANT_H
#define CURFEW_CORE_INSTANT_H
#include <stdbool.h>
#include <stdint.h>

typedef struct { int64_t ns; } instant; /* monotonic; 0 is "not set" where a field says so */
typedef struct { int64_t ns; } span;    /* a length; may be negative (what is left of a deadline that passed) */

#define INSTANT_NEVER ((instant){ INT64_MAX })
#define SPAN_FOREVER ((span){ INT64_MAX })
#define NS_PER_US INT64_C(1000)
#define NS_PER_MS INT64_C(1000000)
#define NS_PER_S INT64_C(1000000000)

static inline int64_t i64_add_sat(int64_t a, int64_t b) {
    int64_t r;
    if (!__builtin_add_overflow(a, b, &r)) return r;
    return a > 0 ? INT64_MAX : INT64_MIN;
}
static inline int64_t i64_mul_sat(int64_t a, int64_t b) {
    int64_t r;
    if (!__builtin_mul_overflow(a, b, &r)) return r;
    return (a > 0) == (b > 0) ? INT64_MAX : INT64_MIN;
}
static inline span span_ns(int64_t n) { return (span){ n }; }
static inline span span_us(int64_t n) { return (span){ i64_mul_sat(n, NS_PER_US) }; }
static inline span span_ms(int64_t n) { return (span){ i64_mul_sat(n, NS_PER_MS) }; }
static inline span span_s(int64_t n) { return (span){ i64_mul_sat(n, NS_PER_S) }; }
static inline span span_add(span a, span b) { return (span){ i64_add_sat(a.ns, b.ns) }; }
static inline span span_sub(span a, span b) { return (span){ i64_add_sat(a.ns, b.ns == INT64_MIN ? INT64_MAX : -b.ns) }; }
static inline span span_min(span a, span b) { return a.ns < b.ns ? a : b; }
static inline span span_max(span a, span b) { return a.ns > b.ns ? a : b; }
static inline bool span_is_forever(span s) { return s.ns == INT64_MAX; }
static inline bool span_is_positive(span s) { return s.ns > 0; }

/* NEVER and FOREVER absorb: never + anything is never. */
static inline instant instant_add(instant t, span s) {
    if (t.ns == INT64_MAX || s.ns == INT64_MAX) return INSTANT_NEVER;
    return (instant){ i64_add_sat(t.ns, s.ns) };
}
/* t - s; never stays never. */
static inline instant instant_back(instant t, span s) {
    if (t.ns == INT64_MAX) return t;
    return (instant){ i64_add_sat(t.ns, s.ns == INT64_MIN ? INT64_MAX : -s.ns) };
}
/* How long from `from` to `to`; negative where `to` is earlier; FOREVER where `to` is never. */
static inline span instant_until(instant from, instant to) {
    if (to.ns == INT64_MAX) return SPAN_FOREVER;
    return (span){ i64_add_sat(to.ns, from.ns == INT64_MIN ? INT64_MAX : -from.ns) };
}
static inline bool instant_before(instant a, instant b) { return a.ns < b.ns; }
static inline instant instant_min(instant a, instant b) { return a.ns < b.ns ? a : b; }
static inline bool instant_is_never(instant t) { return t.ns == INT64_MAX; }
#endif
