// SPDX-License-Identifier: Apache-2.0
// Writes what is left in a dialect: rounded down, in the finest unit that fits, never zero (trap T31). What is written, read again at the
// same instant, is never later than what was left; where the dialect is too coarse to say so, nothing is written.
#include "codecs/dialect_inside.h"
#include <stdio.h>

static size_t printed(int n) { return n > 0 && (unsigned)n < DIALECT_TEXT_MAX ? (size_t)n : 0; }

/* By hand and two digits at a time, since some are written for most requests. At most 19 digits; n >= 0. */
static size_t put_number(char *text, int64_t n) {
    static const char pairs[] = "0001020304050607080910111213141516171819202122232425262728293031323334353637383940414243444546474849"
                                "5051525354555657585960616263646566676869707172737475767778798081828384858687888990919293949596979899";
    char digits[20];
    size_t at = sizeof digits;
    uint64_t v = (uint64_t)n;
    for (; v >= 100; v /= 100) memcpy(digits + (at -= 2), pairs + 2 * (v % 100), 2);
    if (v >= 10) memcpy(digits + (at -= 2), pairs + 2 * v, 2);
    else digits[--at] = (char)('0' + v);
    memcpy(text, digits + at, sizeof digits - at);
    return sizeof digits - at;
}

static size_t put_text(char *text, size_t at, struct str s) {
    memcpy(text + at, s.p, s.n);
    return at + s.n;
}

/* The largest value that `digits` digits can say; the shorter is never the later. */
static int64_t most(uint8_t digits) {
    int64_t v = 1;
    if (digits == 0 || digits > 18) return INT64_MAX;
    for (uint8_t i = 0; i < digits; i++) v *= 10;
    return v - 1;
}

static int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }

/* units of `unit` ns, with three decimals where the row takes a fraction; trailing zeros are not written. */
static size_t format_plain(const struct dialect *d, int64_t ns, char *text) {
    int64_t unit = dialect_unit_ns(d->unit);
    if (!d->fraction || unit < 1000 || d->digits) {
        int64_t n = least(ns / unit, most(d->digits));
        return n > 0 ? put_number(text, n) : 0;
    }
    int64_t milli = ns / (unit / 1000);
    if (milli <= 0) return 0;
    size_t n = printed(snprintf(text, DIALECT_TEXT_MAX, "%lld.%03lld", (long long)(milli / 1000), (long long)(milli % 1000)));
    while (text[n - 1] == '0') n--;
    return text[n - 1] == '.' ? n - 1 : n;
}

/* gRPC over HTTP/2: at most 8 digits, so the unit grows with the value. */
static size_t format_grpc(int64_t ns, char *text) {
    static const struct { char unit; int64_t ns; } units[] = {
        { 'n', 1 }, { 'u', NS_PER_US }, { 'm', NS_PER_MS }, { 'S', NS_PER_S }, { 'M', 60 * NS_PER_S }, { 'H', 3600 * NS_PER_S },
    };
    size_t i = 0;
    while (ns / units[i].ns > 99999999) i++; /* the last holds every int64 */
    size_t n = put_number(text, ns / units[i].ns);
    text[n] = units[i].unit;
    return n + 1;
}

static size_t format_suffixed(const struct dialect *d, int64_t ns, char *text) {
    const struct dialect_suffix *unit = NULL;
    unsigned taken = dialect_suffix_mask(d);
    for (size_t i = 0; i < sizeof dialect_suffixes / sizeof dialect_suffixes[0]; i++) {
        const struct dialect_suffix *s = &dialect_suffixes[i];
        if (!(taken >> i & 1) || ns / s->ns == 0) continue;
        unit = s;
        if (ns / s->ns <= most(d->digits)) break;
    }
    if (!unit) return 0;
    return put_text(text, put_number(text, least(ns / unit->ns, most(d->digits))), unit->text);
}

/* Milliseconds, which every reader of durations has (Elasticsearch's lacks us and ns); finer where there is less than one. */
static size_t format_duration(int64_t ns, char *text) {
    size_t i = ns >= NS_PER_MS ? 2 : ns >= NS_PER_US ? 1 : 0;
    return put_text(text, put_number(text, ns / dialect_suffixes[i].ns), dialect_suffixes[i].text);
}

struct civil { int64_t year; int month, day, hour, minute, second, weekday; };

/* The inverse of the parser's days_of. seconds >= 0. */
static struct civil civil_of(int64_t seconds) {
    int64_t days = seconds / 86400, z = days + 719468, era = z / 146097, of_era = z - era * 146097;
    int64_t y = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
    int64_t of_year = of_era - (365 * y + y / 4 - y / 100), m = (5 * of_year + 2) / 153;
    int second = (int)(seconds % 86400);
    return (struct civil){
        .year = y + era * 400 + (m >= 10), .month = (int)(m < 10 ? m + 3 : m - 9), .day = (int)(of_year - (153 * m + 2) / 5 + 1),
        .hour = second / 3600, .minute = second / 60 % 60, .second = second % 60, .weekday = (int)((days + 3) % 7),
    };
}

static size_t format_http_date(int64_t at, char *text) {
    static const char days[] = "MonTueWedThuFriSatSun", months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
    struct civil c = civil_of(at / NS_PER_S);
    return printed(snprintf(text, DIALECT_TEXT_MAX, "%.3s, %02d %.3s %04lld %02d:%02d:%02d GMT", days + 3 * c.weekday, c.day,
                            months + 3 * (c.month - 1), (long long)c.year, c.hour, c.minute, c.second));
}

static size_t format_rfc3339(int64_t at, char *text) {
    struct civil c = civil_of(at / NS_PER_S);
    return printed(snprintf(text, DIALECT_TEXT_MAX, "%04lld-%02d-%02dT%02d:%02d:%02d.%09lldZ", (long long)c.year, c.month, c.day, c.hour,
                            c.minute, c.second, (long long)(at % NS_PER_S)));
}

static size_t format_instant(const struct dialect *d, int64_t at, char *text) {
    if (d->unit == UNIT_HTTP_DATE) return format_http_date(at, text);
    if (d->unit == UNIT_RFC3339) return format_rfc3339(at, text);
    int64_t unit = dialect_unit_ns(d->unit);
    if (unit == 0 || at / unit > most(d->digits)) return 0;
    return put_number(text, at / unit);
}

/* The grain of an instant as it is written. */
static int64_t grain(const struct dialect *d) {
    if (d->unit == UNIT_HTTP_DATE) return NS_PER_S;
    return d->unit == UNIT_RFC3339 ? 1 : dialect_unit_ns(d->unit);
}

static size_t format_epoch(const struct dialect *d, int64_t left, int64_t wall_ns, char *text) {
    int64_t unit = grain(d), at = i64_add_sat(wall_ns, left);
    if (wall_ns < 0 || unit == 0 || at / unit * unit <= wall_ns) return 0;
    return format_instant(d, at, text);
}

/* Both instants on the same grid, so that neither their difference nor the distance from the reader's clock is more than what is left. */
static size_t format_pair(const struct dialect *d, int64_t left, int64_t wall_ns, char *text, char *companion, size_t *companion_n) {
    int64_t unit = grain(d);
    if (wall_ns < 0 || unit == 0 || left / unit == 0) return 0;
    int64_t sent = wall_ns / unit * unit, at = i64_add_sat(sent, left / unit * unit);
    size_t sent_n = format_instant(d, sent, companion), n = format_instant(d, at, text);
    if (sent_n == 0 || n == 0) return 0;
    if (d->companion.n) {
        *companion_n = sent_n;
        return n;
    }
    memmove(text + sent_n + 1, text, n); /* two numbers: dates have a companion */
    memcpy(text, companion, sent_n);
    text[sent_n] = ' ';
    return sent_n + 1 + n;
}

size_t dialect_format(const struct dialect *d, span left, int64_t wall_ns, char text[DIALECT_TEXT_MAX], char companion[DIALECT_TEXT_MAX],
                      size_t *companion_n) {
    *companion_n = 0;
    if (left.ns <= 0) return 0;
    if (d->kind == DIALECT_PAIR) return format_pair(d, left.ns, wall_ns, text, companion, companion_n);
    if (d->kind == DIALECT_EPOCH) return format_epoch(d, left.ns, wall_ns, text);
    switch ((enum dialect_unit)d->unit) {
    case UNIT_NS:
    case UNIT_US:
    case UNIT_MS:
    case UNIT_S: return format_plain(d, left.ns, text);
    case UNIT_GRPC: return format_grpc(left.ns, text);
    case UNIT_DURATION: return format_duration(left.ns, text);
    case UNIT_SUFFIXED: return format_suffixed(d, left.ns, text);
    case UNIT_HTTP_DATE:
    case UNIT_RFC3339: return 0; /* an instant only */
    }
    return 0;
}
