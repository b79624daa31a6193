// SPDX-License-Identifier: Apache-2.0
// How durations, sizes, rates and percentages are written: exact readers, printers, and a lenient reader whose only use is to say
// what somebody may have meant. Arithmetic saturates: a number that is too long is large, never small.
#include "conf/inside.h"
#include <assert.h>
#include <inttypes.h>

struct unit { const char *name; int64_t ns; };
static const struct unit units[] = { /* largest first; as written, and thus as printed */
    { "h", 3600 * NS_PER_S }, { "m", 60 * NS_PER_S }, { "s", NS_PER_S }, { "ms", NS_PER_MS }, { "us", NS_PER_US },
};
#define NUNITS (sizeof units / sizeof units[0])

static bool is_digit(char b) { return b >= '0' && b <= '9'; }
static bool is_letter(char b) { return b >= 'a' && b <= 'z'; }

/* The run of bytes at the front of *rest that are of that kind, cut off. */
static struct str take(struct str *rest, bool (*is)(char)) {
    size_t n = 0;
    while (n < rest->n && is(rest->p[n])) n++;
    struct str got = str_first(*rest, n);
    *rest = str_from(*rest, n);
    return got;
}

static bool take_number(struct str *rest, int64_t *out) {
    struct str digits = take(rest, is_digit);
    uint64_t v;
    if (!str_to_u64(digits, &v)) return false;
    *out = v > INT64_MAX ? INT64_MAX : (int64_t)v;
    return true;
}

/* ---- durations ----------------------------------------------------------------------------------------------------------------- */

/* GEP-2257: ^([0-9]{1,5}(h|m|s|ms)){1,4}$; us is ours, and so are longer numbers. */
#define GROUPS_MAX 4u

bool conf_parse_duration(struct str text, span *out) {
    if (str_eq(text, STR("0"))) {
        *out = span_ns(0);
        return true;
    }
    span sum = span_ns(0);
    size_t groups = 0;
    for (; text.n; groups++) {
        int64_t n;
        if (groups == GROUPS_MAX || !take_number(&text, &n)) return false;
        struct str name = take(&text, is_letter);
        size_t u = 0;
        while (u < NUNITS && !str_eq(name, str_of(units[u].name))) u++;
        if (u == NUNITS) return false;
        sum = span_add(sum, span_ns(i64_mul_sat(n, units[u].ns)));
    }
    if (groups) *out = sum;
    return groups > 0;
}

/* ms and us are printed as one number of us: h, m, s, ms, us would be five groups. */
int conf_print_duration(char *buf, size_t n, span s) {
    if (span_is_forever(s)) return snprintf(buf, n, "none");
    int64_t left = s.ns < 0 ? 0 : s.ns;
    char text[96] = "";
    size_t at = 0;
    bool in_us = left % NS_PER_MS >= NS_PER_US;
    for (size_t u = 0; u < NUNITS; u++) {
        if (units[u].ns == NS_PER_MS && in_us) continue;
        int64_t v = left / units[u].ns;
        left %= units[u].ns;
        if (v) at += (size_t)snprintf(text + at, sizeof text - at, "%" PRId64 "%s", v, units[u].name);
    }
    return snprintf(buf, n, "%s", at ? text : "0s");
}

/* ---- sizes, rates, percentages, integers ----------------------------------------------------------------------------------------- */

static const struct { const char *name; unsigned shift; } sizes[] = { { "", 0 }, { "KiB", 10 }, { "MiB", 20 }, { "GiB", 30 } };
#define NSIZES (sizeof sizes / sizeof sizes[0])

static bool is_not_digit(char b) { return !is_digit(b); }

bool conf_parse_size(struct str text, uint64_t *out) {
    struct str digits = take(&text, is_digit);
    uint64_t v;
    if (!str_to_u64(digits, &v)) return false;
    for (size_t i = 0; i < NSIZES; i++) {
        if (!str_eq(text, str_of(sizes[i].name))) continue;
        *out = v > UINT64_MAX >> sizes[i].shift ? UINT64_MAX : v << sizes[i].shift;
        return true;
    }
    return false;
}

bool conf_parse_rate(struct str text, struct conf_rate *out) {
    size_t slash = str_index(text, '/');
    uint64_t count;
    if (slash == text.n || !str_to_u64(str_first(text, slash), &count)) return false;
    struct str per = str_from(text, slash + 1);
    for (size_t u = 0; u < NUNITS && units[u].ns >= NS_PER_S; u++) {
        if (!str_eq(per, str_of(units[u].name))) continue;
        *out = (struct conf_rate){ count, span_ns(units[u].ns) };
        return true;
    }
    return false;
}

/* At most two decimals: the unit is a hundredth of a percent. */
bool conf_parse_percent(struct str text, uint32_t *out) {
    uint64_t whole, part = 0;
    if (!str_to_u64(take(&text, is_digit), &whole)) return false;
    if (text.n && text.p[0] == '.') {
        text = str_from(text, 1);
        struct str decimals = take(&text, is_digit);
        if (decimals.n > 2 || !str_to_u64(decimals, &part)) return false;
        if (decimals.n == 1) part *= 10;
    }
    if (!str_eq(text, STR("%"))) return false;
    *out = whole >= UINT32_MAX / 100 ? UINT32_MAX : (uint32_t)(whole * 100 + part);
    return true;
}

bool conf_parse_int(struct str text, int64_t *out) {
    bool minus = text.n && text.p[0] == '-';
    struct str digits = minus ? str_from(text, 1) : text;
    uint64_t v;
    /* YAML 1.1 read 010 as eight, YAML 1.2 as ten */
    if ((digits.n > 1 && digits.p[0] == '0') || !str_to_u64(digits, &v) || v > INT64_MAX) return false;
    *out = minus ? -(int64_t)v : (int64_t)v;
    return true;
}

/* ---- what was meant -------------------------------------------------------------------------------------------------------------- */

struct alias { const char *word, *means; };
static const struct alias durations[] = {
    { "", "s" }, { "d", "24h" }, { "day", "24h" }, { "days", "24h" }, { "hour", "h" }, { "hours", "h" }, { "hr", "h" }, { "hrs", "h" },
    { "min", "m" }, { "mins", "m" }, { "minute", "m" }, { "minutes", "m" }, { "sec", "s" }, { "secs", "s" }, { "second", "s" },
    { "seconds", "s" }, { "msec", "ms" }, { "msecs", "ms" }, { "millis", "ms" }, { "milliseconds", "ms" }, { "usec", "us" }, { "µs", "us" },
    { "h", "h" }, { "m", "m" }, { "s", "s" }, { "ms", "ms" }, { "us", "us" }, { NULL, NULL },
};
static const struct alias byte_units[] = {
    { "b", "" }, { "bytes", "" }, { "k", "KiB" }, { "kb", "KiB" }, { "kib", "KiB" }, { "m", "MiB" }, { "mb", "MiB" }, { "mib", "MiB" },
    { "g", "GiB" }, { "gb", "GiB" }, { "gib", "GiB" }, { NULL, NULL },
};
static const struct alias periods[] = {
    { "", "/s" }, { "/sec", "/s" }, { "/second", "/s" }, { "/1s", "/s" }, { "rps", "/s" }, { "/min", "/m" }, { "/minute", "/m" }, { "/1m", "/m" },
    { "/hour", "/h" }, { "/1h", "/h" }, { "/s", "/s" }, { "/m", "/m" }, { "/h", "/h" }, { NULL, NULL },
};
static const struct alias percents[] = { { "", "%" }, { "percent", "%" }, { "pct", "%" }, { NULL, NULL } };
static const struct alias truths[] = { { "yes", "true" }, { "on", "true" }, { "true", "true" }, { "no", "false" }, { "off", "false" },
                                       { "false", "false" }, { NULL, NULL } };

static const char *meaning(const struct alias *v, struct str word) {
    for (; v->word; v++)
        if (str_eq_nocase(str_of(v->word), word)) return v->means;
    return NULL;
}

/* A number, perhaps with a fraction and blanks, and the word behind it. In thousandths, so that 1.5s can become 1500ms. */
static bool take_loose(struct str *rest, int64_t *thousandths, struct str *word) {
    int64_t whole;
    *rest = str_trim(*rest);
    if (!take_number(rest, &whole)) return false;
    *thousandths = i64_mul_sat(whole, 1000);
    if (rest->n && rest->p[0] == '.') {
        *rest = str_from(*rest, 1);
        struct str decimals = take(rest, is_digit);
        int64_t scale = 100;
        for (size_t i = 0; i < decimals.n && scale; i++, scale /= 10) *thousandths = i64_add_sat(*thousandths, (decimals.p[i] - '0') * scale);
    }
    *word = str_trim(take(rest, is_not_digit));
    return true;
}

/* One number with its unit stays as it is: 90 is "90s" and not "1m30s". */
static const char *meant_single(struct conf *c, int64_t thousandths, const char *unit) {
    if (thousandths % 1000 == 0) return conf_format(c, "\"%" PRId64 "%s\"", thousandths / 1000, unit);
    return strcmp(unit, "s") == 0 ? conf_format(c, "\"%" PRId64 "ms\"", thousandths) : NULL;
}

static const char *meant_duration(struct conf *c, struct str text) {
    span sum = span_ns(0), unit;
    const char *single = NULL;
    for (size_t groups = 0; text.n; groups++) {
        int64_t n;
        struct str word;
        const char *means = take_loose(&text, &n, &word) ? meaning(durations, word) : NULL;
        if (!means) return NULL;
        bool is_length = is_digit(means[0]); /* "24h" is a length already, "h" wants its one */
        if (!conf_parse_duration(str_of(is_length ? means : conf_format(c, "1%s", means)), &unit)) return NULL;
        sum = span_add(sum, span_ns(i64_mul_sat(n, unit.ns / 1000)));
        single = groups || is_length ? NULL : meant_single(c, n, means);
    }
    char buf[96];
    if (span_is_forever(sum) || sum.ns == 0) return single;
    conf_print_duration(buf, sizeof buf, sum);
    return single ? single : conf_format(c, "\"%s\"", buf);
}

static const char *meant_suffixed(struct conf *c, struct str text, const struct alias *aliases) {
    int64_t n;
    struct str word;
    if (!take_loose(&text, &n, &word) || text.n || n % 1000) return NULL;
    const char *means = meaning(aliases, word);
    return means ? conf_format(c, "\"%" PRId64 "%s\"", n / 1000, means) : NULL;
}

const char *conf_meant(struct conf *c, enum conf_type type, struct str text) {
    if (type == CONF_DURATION) return meant_duration(c, text);
    if (type == CONF_SIZE) return meant_suffixed(c, text, byte_units);
    if (type == CONF_RATE) return meant_suffixed(c, text, periods);
    if (type == CONF_PERCENT) return meant_suffixed(c, text, percents);
    return type == CONF_BOOL ? meaning(truths, text) : NULL;
}

/* ---- types and bounds in words ------------------------------------------------------------------------------------------------- */

static const char *const expected[] = {
    [CONF_BOOL] = "true or false",
    [CONF_INT] = "a whole number",
    [CONF_DURATION] = "a duration such as 15s",
    [CONF_SIZE] = "a size such as 64KiB",
    [CONF_RATE] = "a rate such as 100/s",
    [CONF_PERCENT] = "a percentage such as 20%",
    [CONF_STRING] = "a text",
    [CONF_REF] = "a name",
    [CONF_REFS] = "a list of names",
    [CONF_ENUM] = "a word",
    [CONF_STRUCT] = "a map",
    [CONF_POINTER] = "a map",
    [CONF_STRUCTS] = "a list of maps",
    [CONF_MAP] = "a map of names",
    [CONF_CUSTOM] = "a value",
};
static_assert(sizeof expected / sizeof expected[0] == CONF_CUSTOM + 1, "a row a type");

const char *conf_type_expected(enum conf_type type) { return expected[type]; }

int conf_print_size(char *buf, size_t n, uint64_t v) {
    size_t i = NSIZES - 1;
    while (i && (!v || v & ((UINT64_C(1) << sizes[i].shift) - 1))) i--;
    return snprintf(buf, n, "%" PRIu64 "%s", v >> sizes[i].shift, sizes[i].name);
}

const char *conf_show_bound(struct conf *c, enum conf_type type, int64_t bound) {
    char buf[96];
    if (type == CONF_SIZE && bound >= 0) {
        conf_print_size(buf, sizeof buf, (uint64_t)bound);
        return conf_format(c, "%s", buf);
    }
    if (type == CONF_PERCENT && bound % 100) return conf_format(c, "%" PRId64 ".%02" PRId64 "%%", bound / 100, bound % 100);
    if (type == CONF_PERCENT) return conf_format(c, "%" PRId64 "%%", bound / 100);
    if (type != CONF_DURATION) return conf_format(c, "%" PRId64, bound);
    conf_print_duration(buf, sizeof buf, span_ns(bound));
    return conf_format(c, "%s", buf);
}

const char *conf_show_range(struct conf *c, const struct conf_field *f) {
    bool has_min = conf_has_min(f), has_max = conf_has_max(f) && f->max != INT64_MAX;
    const char *min = conf_show_bound(c, f->type, f->min), *max = conf_show_bound(c, f->type, f->max);
    if (has_min && has_max && f->min) return conf_format(c, "%s to %s", min, max);
    if (has_max) return f->type == CONF_INT ? conf_format(c, "%s to %s", min, max) : conf_format(c, "at most %s", max);
    return has_min ? conf_format(c, "at least %s", min) : NULL;
}
