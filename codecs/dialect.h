// SPDX-License-Identifier: Apache-2.0
// A dialect is one way to write a deadline on the wire: a row of data. The well-known ones are built in (dialects.def, by
// reference with their sources); YAML adds and overrides rows. Parsed exactly, written rounded down: what is written, read again, is never later.
#ifndef CURFEW_CODECS_DIALECT_H
#define CURFEW_CODECS_DIALECT_H
#include "core/head.h"
#include "core/instant.h"
#include <stdio.h>

struct conf;
struct conf_map;
struct conf_table;
enum dialect_place { DIALECT_HEADER, DIALECT_QUERY, DIALECT_PREFER /* a member of Prefer */ };
enum dialect_kind {
    DIALECT_RELATIVE,
    DIALECT_EPOCH, /* an instant on the wall clock */
    DIALECT_PAIR   /* "sent deadline", both epoch: one value of two numbers, or the sent one in the field `companion` (absent: as EPOCH) */
};
enum dialect_unit {
    UNIT_NS, UNIT_US, UNIT_MS, UNIT_S,  /* digits; see `fraction` */
    UNIT_GRPC,                          /* 1*8DIGIT and one of H M S m u n */
    UNIT_DURATION,                      /* Go: 1h2m3.5s, units h m s ms us ns */
    UNIT_SUFFIXED,                      /* one number and one of ms s m h (l5d: also d): the dialect's `suffixes`; bare: `bare` */
    UNIT_HTTP_DATE,                     /* RFC 9110 5.6.7 (epoch only): each of its three forms is read, IMF-fixdate is written */
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
    struct str was;        /* key of the built-in row that this one replaced under another key: still a name of it. Empty: none */
    struct str suffixes;   /* SUFFIXED: which units are taken, e.g. "ms s m h"; empty: these */
    const char *help;      /* one line: who sends it, source */
    span skew;             /* EPOCH, PAIR: how far clocks may differ; 0: the built-in 0 */
    uint32_t hash;         /* of name, for headers */
    uint8_t index;         /* in its set; 1.. (0 in a context: no dialect) */
    uint8_t place;         /* enum dialect_place; the enums are kept as bytes, which is what a configuration table fills */
    uint8_t kind;          /* enum dialect_kind */
    uint8_t unit;          /* enum dialect_unit */
    uint8_t digits;        /* at most so many digits; 0: no limit but saturation */
    bool fraction;         /* "1.5" is taken */
    uint8_t bare;          /* SUFFIXED: enum dialect_unit, of a number without suffix */
    bool zero_only_bare;   /* SUFFIXED: a bare number is taken only where it is 0 (l5d) */
    uint8_t zero;          /* enum dialect_zero */
    uint8_t malformed;     /* enum dialect_malformed */
    uint8_t duplicates;    /* enum dialect_duplicates */
    bool advice;           /* bounds what is told where the default applies; never causes a 504 (Prefer: wait, timeoutSeconds) */
    bool trusted_only;     /* counts from trusted listeners only (x-envoy-*, l5d-*) */
    bool per_try;          /* bounds an attempt, not the request */
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
#define DIALECT_SKEW { 250 * NS_PER_MS } /* of the built-in rows: how far clocks may differ */
#define DIALECTS_MAX 128u
#define DIALECT_SLOTS 512u
struct dialect_set {
    struct dialect row[DIALECTS_MAX]; /* 1..n; row[0] is unused */
    size_t n;
    uint64_t filter;                  /* bit (hash & 63) of every header dialect and companion: a field whose bit is clear is none of them */
    uint8_t slot[DIALECT_SLOTS];      /* by hash, open addressing: index of the row that has the name, or has it as its companion; 0: free */
};
void dialect_set_builtin(struct dialect_set *set);
/* Adds a row, or overrides, whole, the one of the same key or of the same name and place; strings are borrowed. An empty key is the name.
 * NULL, or a static sentence that says what is wrong (the set is as it was). */
const char *dialect_set_add(struct dialect_set *set, const struct dialect *row);
/* Adds the rows of `dialects:` (a map by dialect_table) to a set; the map's key is the row's key, and its name where the row has none.
 * Names of headers are taken in any case. False after reporting. */
bool dialect_set_load(struct conf *c, struct dialect_set *set, const struct conf_map *rows);
const struct dialect *dialect_by_key(const struct dialect_set *set, struct str key); /* NULL: none */
/* Is this field a dialect of the set, or a companion? The filter makes the usual "no" one test. */
const struct dialect *dialect_of_field_slow(const struct dialect_set *set, const struct field *f);
static inline const struct dialect *dialect_of_field(const struct dialect_set *set, const struct field *f) {
    bool maybe = (set->filter >> (f->hash & 63u) & 1u) && set->slot[f->hash % DIALECT_SLOTS];
    return maybe ? dialect_of_field_slow(set, f) : NULL;
}
/* The header dialect or companion that this name is alike (str_is_alike). O(rows): for names that have a _. NULL: none. */
const struct dialect *dialect_alike(const struct dialect_set *set, struct str name);
/* The value of a Prefer field without the member `name` (ASCII case folded), in the arena where it had to change; empty: nothing is left. */
struct str dialect_prefer_without(struct arena *a, struct str value, struct str name);
/* The target with the query parameter set to value (repeats go, the first keeps its place), in the arena. The target has a path. */
struct str dialect_query_with(struct arena *a, struct str target, struct str name, struct str value);
bool dialect_query_has(struct str target, struct str name);
/* The table of a custom row in YAML (`dialects:`), struct dialect as its struct; the key is the map's key. */
extern const struct conf_table dialect_table;
/* Words of the enums, for tables, `curfew dialects` and the reference. */
void dialect_print_table(FILE *to, const struct dialect_set *set, bool markdown); /* one row a dialect, in order of place and key */
const char *dialect_place_name(enum dialect_place p);
const char *dialect_kind_name(enum dialect_kind k);
const char *dialect_unit_name(enum dialect_unit u);
const char *dialect_zero_name(enum dialect_zero z);
const char *dialect_malformed_name(enum dialect_malformed m);
const char *dialect_duplicates_name(enum dialect_duplicates d);
#endif
