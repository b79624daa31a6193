// SPDX-License-Identifier: Apache-2.0
// The words of the dialects: the rows of `dialects:` in YAML, and the table for people. One list of words an enum serves both.
#include "codecs/dialect_inside.h"
#include "conf/conf.h"
#include <stdio.h>
#include <stdlib.h>

static const struct conf_word places[] = {
    { "header", DIALECT_HEADER, "a request header" },
    { "query", DIALECT_QUERY, "a parameter of the target's query" },
    { "prefer", DIALECT_PREFER, "a member of Prefer (RFC 7240)" },
    { 0 },
};
static const struct conf_word kinds[] = {
    { "relative", DIALECT_RELATIVE, "a length of time, from when the head is complete" },
    { "epoch", DIALECT_EPOCH, "an instant on the wall clock" },
    { "pair", DIALECT_PAIR, "two instants: when it was sent, and the deadline" },
    { 0 },
};
static const struct conf_word units[] = {
    { "ns", UNIT_NS, "nanoseconds" },
    { "us", UNIT_US, "microseconds" },
    { "ms", UNIT_MS, "milliseconds" },
    { "s", UNIT_S, "seconds" },
    { "grpc", UNIT_GRPC, "one to eight digits and one of H M S m u n" },
    { "duration", UNIT_DURATION, "Go's: 1h2m3.5s" },
    { "suffixed", UNIT_SUFFIXED, "one number and one of `suffixes`" },
    { "http_date", UNIT_HTTP_DATE, "Sun, 06 Nov 1994 08:49:37 GMT" },
    { "rfc3339", UNIT_RFC3339, "1994-11-06T08:49:37Z" },
    { 0 },
};
static const struct conf_word bare_units[] = {
    { "ns", UNIT_NS, "nanoseconds" }, { "us", UNIT_US, "microseconds" }, { "ms", UNIT_MS, "milliseconds" }, { "s", UNIT_S, "seconds" }, { 0 },
};
static const struct conf_word zeros[] = {
    { "expired", ZERO_EXPIRED, "no time is left" },
    { "infinite", ZERO_INFINITE, "no deadline" },
    { "ignore", ZERO_IGNORE, "as if it were absent" },
    { "reject", ZERO_REJECT, "the request is refused" },
    { 0 },
};
static const struct conf_word malformeds[] = {
    { "ignore", MALFORMED_IGNORE, "as if it were absent, and counted" },
    { "reject", MALFORMED_REJECT, "the request is refused" },
    { 0 },
};
static const struct conf_word repeats[] = {
    { "min", DUPLICATES_MIN, "the earliest counts" },
    { "first", DUPLICATES_FIRST, "the first counts" },
    { "last", DUPLICATES_LAST, "the last counts" },
    { "reject", DUPLICATES_REJECT, "the request is refused" },
    { "ignore", DUPLICATES_IGNORE, "as if all were absent, and counted" },
    { 0 },
};

static const char *word_of(const struct conf_word *words, unsigned value) {
    for (; words->word; words++)
        if (words->value == value) return words->word;
    return "?";
}
const char *dialect_place_name(enum dialect_place p) { return word_of(places, p); }
const char *dialect_kind_name(enum dialect_kind k) { return word_of(kinds, k); }
const char *dialect_unit_name(enum dialect_unit u) { return word_of(units, u); }
const char *dialect_zero_name(enum dialect_zero z) { return word_of(zeros, z); }
const char *dialect_malformed_name(enum dialect_malformed m) { return word_of(malformeds, m); }
const char *dialect_duplicates_name(enum dialect_duplicates d) { return word_of(repeats, d); }

/* ---- YAML ------------------------------------------------------------------------------------------------------------------------------ */
static bool parse_digits(struct conf *c, const struct conf_node *n, const struct conf_field *f, void *at) {
    static const struct conf_field number = { .name = "digits", .type = CONF_INT, .min = 1, .max = 18 };
    int64_t value = 0;
    (void)f;
    if (!conf_load_field(c, n, &number, &value)) return false;
    *(uint8_t *)at = (uint8_t)value;
    return true;
}

static void print_digits(struct conf_writer *w, const struct conf_field *f, const void *at) {
    (void)f;
    uint8_t digits = *(const uint8_t *)at;
    if (digits) fprintf(w->to, " %u\n", digits);
}

#define AT(member) offsetof(struct dialect, member)
static const struct conf_field rows[] = {
    { "name", CONF_STRING, AT(name), .help = "name on the wire, where it is not the key itself" },
    { "in", CONF_ENUM, AT(place), .def = "header", .words = places, .help = "where it stands" },
    { "unit", CONF_ENUM, AT(unit), .required = true, .words = units, .help = "how the value is written" },
    { "kind", CONF_ENUM, AT(kind), .def = "relative", .words = kinds, .help = "what the value is" },
    { "companion", CONF_STRING, AT(companion), .help = "pair: the header with the sender's clock, where it is not in the value" },
    { "digits", CONF_CUSTOM, AT(digits), .parse = parse_digits, .print = print_digits, .shape = "{\"type\":\"integer\",\"minimum\":1,\"maximum\":18}",
      .help = "at most so many digits" },
    { "fraction", CONF_BOOL, AT(fraction), .def = "false", .help = "1.5 is taken" },
    { "suffixes", CONF_STRING, AT(suffixes), .help = "suffixed: the units taken, of ns us ms s m h d; ms s m h where absent" },
    { "bare", CONF_ENUM, AT(bare), .def = "s", .words = bare_units, .help = "suffixed: the unit of a number without suffix" },
    { "zero_only_bare", CONF_BOOL, AT(zero_only_bare), .def = "false", .help = "suffixed: without suffix only 0 is taken" },
    { "zero", CONF_ENUM, AT(zero), .def = "expired", .words = zeros, .help = "what a zero means" },
    { "malformed", CONF_ENUM, AT(malformed), .def = "ignore", .words = malformeds, .help = "what becomes of a malformed value" },
    { "duplicates", CONF_ENUM, AT(duplicates), .def = "min", .words = repeats, .help = "what repeated values mean" },
    { "skew", CONF_DURATION, AT(skew), .def = "0s", .max = INT64_C(86400) * NS_PER_S, .help = "epoch, pair: how far clocks may differ" },
    { "advice", CONF_BOOL, AT(advice), .def = "false", .help = "bounds what the upstream is told by default; never causes a 504" },
    { "trusted_only", CONF_BOOL, AT(trusted_only), .def = "false", .help = "counts from trusted listeners only" },
    { "per_try", CONF_BOOL, AT(per_try), .def = "false", .help = "bounds an attempt, not the request" },
    { 0 },
};
const struct conf_table dialect_table = {
    .name = "dialect", .size = sizeof(struct dialect), .fields = rows, .help = "one way in which a deadline is written on the wire",
};

/* In the load's arena, ended by NUL: names are shown as hints, too. */
static struct str kept(struct conf *c, struct str s, bool lower) {
    char *to = arena_bytes(&c->arena, s.n + 1);
    for (size_t i = 0; i < s.n; i++) to[i] = lower && s.p[i] >= 'A' && s.p[i] <= 'Z' ? (char)(s.p[i] + 32) : s.p[i];
    to[s.n] = '\0';
    return (struct str){ to, s.n };
}

bool dialect_set_load(struct conf *c, struct dialect_set *set, const struct conf_map *map) {
    bool good = true;
    for (size_t i = 0; i < map->n; i++) {
        struct dialect row = *CONF_AT(*map, struct dialect, i);
        row.key = map->names[i].name;
        if (row.name.n == 0) row.name = row.key;
        row.name = kept(c, row.name, row.place != DIALECT_QUERY);
        row.key = kept(c, row.key, row.place == DIALECT_HEADER);
        row.companion = kept(c, row.companion, true);
        row.help = "this configuration";
        const char *fault = dialect_set_add(set, &row);
        if (!fault) continue;
        conf_error(c, map->names[i].at->pos, NULL, "dialects.%.*s: %s", STR_ARG(row.key), fault);
        good = false;
    }
    return good;
}

/* ---- for people ------------------------------------------------------------------------------------------------------------------------- */
#define CELL 96
struct cells { char key[CELL], where[CELL], unit[CELL], kind[CELL], counts[CELL]; };

static void fill_unit(const struct dialect *d, char cell[CELL]) {
    char digits[24] = "";
    const char *more = d->fraction ? ", a fraction too" : "";
    if (d->digits && d->unit != UNIT_GRPC) snprintf(digits, sizeof digits, ", %u digits", d->digits);
    if (d->unit == UNIT_GRPC) snprintf(cell, CELL, "1-8 digits and H M S m u n");
    else if (d->unit == UNIT_DURATION) snprintf(cell, CELL, "Go duration");
    else if (d->unit == UNIT_HTTP_DATE) snprintf(cell, CELL, "HTTP date");
    else if (d->unit == UNIT_RFC3339) snprintf(cell, CELL, "RFC 3339");
    else if (d->unit != UNIT_SUFFIXED) snprintf(cell, CELL, "%s%s%s", dialect_unit_name(d->unit), more, digits);
    else
        snprintf(cell, CELL, "number and %.*s; bare %s%s%s", STR_ARG(dialect_suffix_list(d)),
                 d->zero_only_bare ? "0 only" : dialect_unit_name(d->bare), more, digits);
}

static void fill(const struct dialect *d, bool markdown, struct cells *c) {
    const char *tick = markdown ? "`" : "";
    char skew[32] = "";
    snprintf(c->key, CELL, "%s%.*s%s", tick, STR_ARG(d->key), tick);
    if (d->place == DIALECT_HEADER && str_eq(d->key, d->name)) snprintf(c->where, CELL, "header");
    else snprintf(c->where, CELL, "%s %s%.*s%s", dialect_place_name(d->place), tick, STR_ARG(d->name), tick);
    fill_unit(d, c->unit);
    if (d->companion.n) snprintf(c->kind, CELL, "%s with %s%.*s%s", dialect_kind_name(d->kind), tick, STR_ARG(d->companion), tick);
    else snprintf(c->kind, CELL, "%s", dialect_kind_name(d->kind));
    if (d->kind != DIALECT_RELATIVE) conf_print_duration(skew, sizeof skew, d->skew);
    snprintf(c->counts, CELL, "%s%s%s%s", d->advice ? "advice" : d->per_try ? "a try" : "the request", d->trusted_only ? ", if trusted" : "",
             skew[0] ? ", skew " : "", skew);
}

static int by_place_and_key(const void *a, const void *b) {
    const struct dialect *x = *(const struct dialect *const *)a, *y = *(const struct dialect *const *)b;
    if (x->place != y->place) return x->place - y->place;
    size_t n = x->key.n < y->key.n ? x->key.n : y->key.n;
    int order = memcmp(x->key.p, y->key.p, n);
    return order ? order : (x->key.n > y->key.n) - (x->key.n < y->key.n);
}

static void print_line(FILE *to, bool markdown, const char *const v[9]) {
    static const int width[9] = { 41, 23, 40, 28, 8, 9, 8, 31, 0 };
    for (int i = 0; i < 9; i++) {
        if (markdown) fprintf(to, "| %s ", v[i]);
        else fprintf(to, "%-*s%s", width[i], v[i], i < 8 ? " " : "\n");
    }
    if (markdown) fputs("|\n", to);
}

void dialect_print_table(FILE *to, const struct dialect_set *set, bool markdown) {
    const struct dialect *order[DIALECTS_MAX] = { 0 };
    static const char *const titles[9] = { "key", "where", "unit", "kind", "zero", "malformed", "repeated", "bounds", "who sends it" };
    for (size_t i = 0; i < set->n; i++) order[i] = &set->row[i + 1];
    qsort(order, set->n, sizeof(const struct dialect *), by_place_and_key);
    print_line(to, markdown, titles);
    if (markdown) fputs("|---|---|---|---|---|---|---|---|---|\n", to);
    for (size_t i = 0; i < set->n; i++) {
        const struct dialect *d = order[i];
        struct cells c = { 0 };
        fill(d, markdown, &c);
        print_line(to, markdown,
                   (const char *const[9]){ c.key, c.where, c.unit, c.kind, dialect_zero_name(d->zero), dialect_malformed_name(d->malformed),
                                           dialect_duplicates_name(d->duplicates), c.counts, d->help ? d->help : "" });
    }
}
