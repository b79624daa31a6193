// SPDX-License-Identifier: Apache-2.0
// A dialect is one way to write a deadline on the wire: a row of data. The well-known ones are built in (dialects.def, by
// reference with their sources); YAML adds and overrides rows. Parsed exactly, written rounded down: what is written, read again, is never later.
#ifndef CURFEW_CODECS_DIALECT_H
#define CURFEW_CODECS_DIALECT_H
#include "core/head.h"
#include "core/instant.h"

struct conf_table;
enum dialect_place { DIALECT_HEADER, DIALECT_QUERY, DIALECT_PREFER /* a member of Prefer */ };
enum dialect_kind {
    DIALECT_RELATIVE,
    DIALECT_EPOCH, /* an instant on the wall clock */
    DIALECT_PAIR   /* "sent deadline", both epoch: one value of two numbers, or the sent one in the field `companion` */
};
enum dialect_unit {
    UNIT_NS, UNIT_US, UNIT_MS, UNIT_S,  /* digits; see `fraction` */
    UNIT_GRPC,                          /* 1*8DIGIT and one of H M S m u n */
    UNIT_DURATION,                      /* Go: 1h2m3.5s, units h m s ms us ns */
    UNIT_SUFFIXED,                      /* one number and one of ms s m h (l5d: also d): the dialect's `suffixes`; bare: `bare` */
    UNIT_HTTP_DATE,                     /* IMF-fixdate, RFC 9110 5.6.7 (epoch only) */
    UNIT_RFC3339                        /* (epoch only) */
};
/* What a zero, a malformed value, a repeated one means. */
enum dialect_zero { ZERO_EXPIRED, ZERO_INFINITE, ZERO_IGNORE, ZERO_REJECT };
enum dialect_malformed { MALFORMED_IGNORE, MALFORMED_REJECT };
enum dialect_duplicates { DUPLICATES_MIN, DUPLICATES_FIRST, DUPLICATES_LAST, DUPLICATES_REJECT, DUPLICATES_IGNORE };

struct dialect {
    struct str name;       /* of the field (lower case), of the query parameter, or of the preference; unique with `place` */
    struct str key;        /* as in YAML lists: the name, but `prefer-wait`, `query-timeout`, `query-timeout-seconds` for the built-in ones
                              that are no header. Unique */
    struct str companion;  /* PAIR: the field with the sender's clock; empty: the value holds both */
    enum dialect_place place;
    enum dialect_kind kind;
    enum dialect_unit unit;
    uint8_t digits;        /* at most so many digits; 0: no limit but saturation */
    bool fraction;         /* "1.5" is taken */
    bool advice;           /* bounds the default; never causes a 504 (Prefer: wait, timeoutSeconds) */
    bool trusted_only;     /* counts from trusted listeners only (x-envoy-*, l5d-*) */
    bool per_try;          /* bounds an attempt, not the request */
    enum dialect_zero zero;
    enum dialect_malformed malformed;
    enum dialect_duplicates duplicates;
    span skew;             /* EPOCH, PAIR: how far clocks may differ; 0: the built-in 0 */
    const char *suffixes;  /* SUFFIXED: which units are taken, e.g. "ms s m h" */
    enum dialect_unit bare; /* SUFFIXED: the unit without suffix */
    bool zero_only_bare;    /* SUFFIXED: a bare number is taken only where it is 0 (l5d) */
    const char *help;      /* one line: who sends it, source */
    uint32_t hash;         /* of name, for headers */
    uint8_t index;         /* in its set; 1.. (0 in a context: no dialect) */
};

/* ---- one value ------------------------------------------------------------------------------------------------------ */
enum dialect_result {
    DIALECT_ABSENT,    /* also: ignored as malformed or by its zero */
    DIALECT_LEFT,      /* `left` holds what is left: positive, saturated */
    DIALECT_EXPIRED,   /* zero or in the past beyond skew */
    DIALECT_UNBOUNDED, /* says infinite: no candidate */
    DIALECT_REJECT     /* malformed or repeated, and the row says reject */
};
struct dialect_reading {
    enum dialect_result result;
    span left;
    bool skewed;       /* EPOCH within skew in the past: counts as min + reserve (semantics 2.2), left is 0 */
    bool malformed;    /* something was malformed, whatever came of it: for a counter */
};
/* One value as on the wire. wall_ns: now on the wall clock (epoch ns); used by EPOCH and PAIR only. companion: PAIR's other field or empty. */
struct dialect_reading dialect_parse(const struct dialect *d, struct str value, struct str companion, int64_t wall_ns);
/* All values of this dialect in a request head (repeats by `duplicates`; a comma in a header's value is a repeat). */
struct dialect_reading dialect_read(const struct dialect *d, const struct head *h, int64_t wall_ns);
/* Writes what is left, rounded down, in the finest unit that fits. Returns its length, or 0 where the dialect is too coarse for it (or left <= 0).
 * PAIR with companion: *companion_n gets the length of the sent value written into companion[DIALECT_TEXT_MAX]. */
#define DIALECT_TEXT_MAX 64u
size_t dialect_format(const struct dialect *d, span left, int64_t wall_ns, char text[DIALECT_TEXT_MAX], char companion[DIALECT_TEXT_MAX],
                      size_t *companion_n);

/* ---- a set: built-in rows, overridden and added to by YAML ------------------------------------------------------------ */
#define DIALECTS_MAX 128u
struct dialect_set {
    struct dialect row[DIALECTS_MAX]; /* 1..n; row[0] is unused */
    size_t n;
    uint64_t filter;                  /* bit (hash & 63) of every header dialect and companion: a field whose bit is clear is none of them */
};
void dialect_set_builtin(struct dialect_set *set);
/* Adds a row, or overrides the one of the same key; strings are borrowed. NULL, or a sentence that says what is wrong. */
const char *dialect_set_add(struct dialect_set *set, const struct dialect *row);
const struct dialect *dialect_by_key(const struct dialect_set *set, struct str key); /* NULL: none */
/* Is this field a dialect of the set, or a companion? The filter makes the usual "no" one test. */
const struct dialect *dialect_of_field(const struct dialect_set *set, const struct field *f);
/* The table of a custom row in YAML (`dialects:`), struct dialect as its struct; the key is the map's key. */
extern const struct conf_table dialect_table;
/* Words of the enums, for tables, `curfew dialects` and the reference. */
const char *dialect_place_name(enum dialect_place p);
const char *dialect_kind_name(enum dialect_kind k);
const char *dialect_unit_name(enum dialect_unit u);
const char *dialect_zero_name(enum dialect_zero z);
const char *dialect_malformed_name(enum dialect_malformed m);
const char *dialect_duplicates_name(enum dialect_duplicates d);
#endif
