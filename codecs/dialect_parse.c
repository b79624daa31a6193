// SPDX-License-Identifier: Apache-2.0
// One value of a dialect, read exactly: what the row's grammar does not have is malformed, and arithmetic saturates (traps T29, T30), since
// whoever writes the value may be hostile. It reads no head and no clock.
#include "codecs/dialect_inside.h"

const struct dialect_suffix dialect_suffixes[7] = {
    { STR_INIT("ns"), 1 },
    { STR_INIT("us"), NS_PER_US },
    { STR_INIT("ms"), NS_PER_MS },
    { STR_INIT("s"), NS_PER_S },
    { STR_INIT("m"), 60 * NS_PER_S },
    { STR_INIT("h"), 3600 * NS_PER_S },
    { STR_INIT("d"), 86400 * NS_PER_S },
};

#define SUFFIXES (sizeof dialect_suffixes / sizeof dialect_suffixes[0])

struct number { /* a decimal: whole + nano / 10^9 */
    uint64_t whole;
    uint64_t nano; /* finer digits are dropped: rounded down */
    unsigned digits;
    bool fraction;
    bool zero; /* every digit is */
};
struct amount {
    int64_t ns; /* saturated */
    bool zero;
};

int64_t dialect_unit_ns(enum dialect_unit u) {
    switch (u) {
    case UNIT_NS: return 1;
    case UNIT_US: return NS_PER_US;
    case UNIT_MS: return NS_PER_MS;
    case UNIT_S: return NS_PER_S;
    case UNIT_GRPC:
    case UNIT_DURATION:
    case UNIT_SUFFIXED:
    case UNIT_HTTP_DATE:
    case UNIT_RFC3339: return 0;
    }
    return 0;
}

struct str dialect_suffix_list(const struct dialect *d) { return d->suffixes.n ? d->suffixes : STR("ms s m h"); }

static size_t suffix_index(struct str text) {
    size_t i = 0;
    while (i < SUFFIXES && !str_eq(dialect_suffixes[i].text, text)) i++;
    return i;
}

unsigned dialect_suffix_mask(const struct dialect *d) {
    struct str rest = dialect_suffix_list(d), one;
    unsigned mask = 0;
    while (str_split(&rest, ' ', &one)) mask |= 1u << suffix_index(one);
    return mask;
}

static bool is_digit(char c) { return c >= '0' && c <= '9'; }

/* Digits off the front of *s; how many. */
static unsigned take_digits(struct str *s, uint64_t *value, bool *zero) {
    size_t i = 0;
    for (; i < s->n && is_digit(s->p[i]); i++) {
        uint64_t digit = (uint64_t)(s->p[i] - '0');
        if (digit) *zero = false;
        if (__builtin_mul_overflow(*value, UINT64_C(10), value) || __builtin_add_overflow(*value, digit, value)) *value = UINT64_MAX;
    }
    *s = str_from(*s, i);
    return i > UINT32_MAX ? UINT32_MAX : (unsigned)i;
}

static unsigned take_fraction(struct str *s, struct number *n) {
    size_t i = 0;
    uint64_t scale = NS_PER_S;
    for (; i < s->n && is_digit(s->p[i]); i++) {
        uint64_t digit = (uint64_t)(s->p[i] - '0');
        if (digit) n->zero = false;
        scale /= 10;
        n->nano += digit * scale;
    }
    *s = str_from(*s, i);
    return (unsigned)i;
}

/* 1*DIGIT [ "." 1*DIGIT ] off the front; loose: as Go has it, where either side of the point may be empty. */
static bool take_number(struct str *s, bool loose, struct number *n) {
    *n = (struct number){ .zero = true };
    unsigned whole = take_digits(s, &n->whole, &n->zero), part = 0;
    if (s->n && s->p[0] == '.') {
        *s = str_from(*s, 1);
        n->fraction = true;
        part = take_fraction(s, n);
    }
    n->digits = whole + part;
    if (loose) return n->digits > 0;
    return whole > 0 && (!n->fraction || part > 0);
}

static int64_t number_ns(const struct number *n, int64_t unit) {
    int64_t whole = n->whole > INT64_MAX ? INT64_MAX : (int64_t)n->whole;
    int64_t nano = (int64_t)n->nano;
    int64_t part = unit >= NS_PER_S ? nano * (unit / NS_PER_S) : nano * unit / NS_PER_S;
    return i64_add_sat(i64_mul_sat(whole, unit), part);
}

static bool parse_plain(const struct dialect *d, struct str s, int64_t unit, struct amount *out) {
    struct number n;
    if (!take_number(&s, false, &n) || s.n) return false;
    if (n.fraction && !d->fraction) return false;
    if (d->digits && n.digits > d->digits) return false;
    *out = (struct amount){ number_ns(&n, unit), n.zero };
    return true;
}

/* gRPC over HTTP/2: Timeout → "grpc-timeout" TimeoutValue TimeoutUnit; TimeoutValue → {positive integer as ASCII string of at most 8 digits}. */
static bool parse_grpc(struct str s, struct amount *out) {
    static const struct { char unit; int64_t ns; } units[] = {
        { 'n', 1 }, { 'u', NS_PER_US }, { 'm', NS_PER_MS }, { 'S', NS_PER_S }, { 'M', 60 * NS_PER_S }, { 'H', 3600 * NS_PER_S },
    };
    struct number n = { .zero = true };
    unsigned digits = take_digits(&s, &n.whole, &n.zero);
    if (digits < 1 || digits > 8 || s.n != 1) return false;
    for (size_t i = 0; i < sizeof units / sizeof units[0]; i++) {
        if (s.p[0] != units[i].unit) continue;
        *out = (struct amount){ number_ns(&n, units[i].ns), n.zero };
        return true;
    }
    return false;
}

static bool parse_suffixed(const struct dialect *d, struct str s, struct amount *out) {
    struct number n;
    if (!take_number(&s, false, &n)) return false;
    if ((n.fraction && !d->fraction) || (d->digits && n.digits > d->digits)) return false;
    if (s.n == 0) {
        if (d->zero_only_bare && !n.zero) return false;
        *out = (struct amount){ number_ns(&n, dialect_unit_ns(d->bare)), n.zero };
        return true;
    }
    size_t i = suffix_index(s);
    if (i == SUFFIXES || !(dialect_suffix_mask(d) >> i & 1)) return false;
    *out = (struct amount){ number_ns(&n, dialect_suffixes[i].ns), n.zero };
    return true;
}

/* The longest unit at the front: "ms" before "m". Days are not Go's. */
static const struct dialect_suffix *take_go_unit(struct str *s) {
    static const struct dialect_suffix micro[] = { { STR_INIT("\xc2\xb5s"), NS_PER_US }, { STR_INIT("\xce\xbcs"), NS_PER_US } };
    const struct dialect_suffix *best = NULL;
    for (size_t i = 0; i < 6; i++)
        if (str_starts(*s, dialect_suffixes[i].text) && (!best || dialect_suffixes[i].text.n > best->text.n)) best = &dialect_suffixes[i];
    for (size_t i = 0; i < 2; i++)
        if (str_starts(*s, micro[i].text)) best = &micro[i];
    if (best) *s = str_from(*s, best->text.n);
    return best;
}

/* Go, time.ParseDuration: [-+]? ( [0-9]* ( "." [0-9]* )? unit )+, or "0". A negative one is a zero: no time is left in either. */
static bool parse_duration(struct str s, struct amount *out) {
    bool negative = s.n && s.p[0] == '-';
    if (s.n && (s.p[0] == '-' || s.p[0] == '+')) s = str_from(s, 1);
    *out = (struct amount){ 0, true };
    if (s.n == 0) return false;
    if (str_eq(s, STR("0"))) return true;
    while (s.n) {
        struct number n;
        if (!take_number(&s, true, &n)) return false;
        const struct dialect_suffix *unit = take_go_unit(&s);
        if (!unit) return false;
        out->ns = i64_add_sat(out->ns, number_ns(&n, unit->ns));
        out->zero = out->zero && n.zero;
    }
    if (negative) *out = (struct amount){ 0, true };
    return true;
}

/* ---- dates ------------------------------------------------------------------------------------------------------------------------ */
struct civil { int year, month, day, hour, minute, second; int64_t nano, offset; /* offset in seconds east of Greenwich */ };

/* Days since 1970-01-01 in the proleptic Gregorian calendar: years begin in March, so that the leap day is their last. */
static int64_t days_of(int year, int month, int day) {
    int64_t y = month <= 2 ? year - 1 : year;
    int64_t era = (y >= 0 ? y : y - 399) / 400;
    int64_t of_era = y - era * 400;
    int64_t of_year = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1;
    return era * 146097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719468;
}

static int days_in(int year, int month) {
    static const int days[] = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };
    bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    return days[month - 1] + (month == 2 && leap);
}

static bool civil_ns(const struct civil *c, struct amount *out) {
    if (c->month < 1 || c->month > 12 || c->day < 1 || c->day > days_in(c->year, c->month)) return false;
    if (c->hour > 23 || c->minute > 59 || c->second > 60) return false; /* 60: a leap second */
    int64_t s = days_of(c->year, c->month, c->day) * 86400 + c->hour * 3600 + c->minute * 60 + c->second - c->offset;
    *out = (struct amount){ i64_add_sat(i64_mul_sat(s, NS_PER_S), c->nano), false };
    return true;
}

/* Exactly n digits at s[at]; -1: they are not. */
static int fixed_digits(struct str s, size_t at, size_t n) {
    int v = 0;
    if (at + n > s.n) return -1;
    for (size_t i = at; i < at + n; i++) {
        if (!is_digit(s.p[i])) return -1;
        v = v * 10 + (s.p[i] - '0');
    }
    return v;
}

/* Which of the three-letter names stands at s[at]; -1: none. */
static int name_at(struct str s, size_t at, const char *names) {
    for (int i = 0; names[3 * i]; i++)
        if (memcmp(s.p + at, names + 3 * i, 3) == 0) return i;
    return -1;
}

/* The mould's letters and signs must stand in s; '#' stands for what is read elsewhere. */
static bool fits_mould(struct str s, const char *mould) {
    for (size_t i = 0; mould[i]; i++)
        if (i >= s.n || (mould[i] != '#' && mould[i] != s.p[i])) return false;
    return true;
}

#define MONTHS "JanFebMarAprMayJunJulAugSepOctNovDec"
#define DAYS "MonTueWedThuFriSatSun"

static bool take_clock(struct str s, size_t at, struct civil *c) {
    c->hour = fixed_digits(s, at, 2);
    c->minute = fixed_digits(s, at + 3, 2);
    c->second = fixed_digits(s, at + 6, 2);
    return c->hour >= 0 && c->minute >= 0 && c->second >= 0;
}

/* IMF-fixdate, what everybody sends: Sun, 06 Nov 1994 08:49:37 GMT */
static bool take_fixdate(struct str s, struct civil *c) {
    if (s.n != 29 || !fits_mould(s, "###, ## ### #### ##:##:## GMT") || name_at(s, 0, DAYS) < 0) return false;
    *c = (struct civil){ .year = fixed_digits(s, 12, 4), .month = 1 + name_at(s, 8, MONTHS), .day = fixed_digits(s, 5, 2) };
    return take_clock(s, 17, c);
}

/* asctime-date, a blank before a day of one digit: Sun Nov  6 08:49:37 1994 */
static bool take_asctime(struct str s, struct civil *c) {
    if (s.n != 24 || !fits_mould(s, "### ### ## ##:##:## ####") || name_at(s, 0, DAYS) < 0) return false;
    *c = (struct civil){ .year = fixed_digits(s, 20, 4), .month = 1 + name_at(s, 4, MONTHS),
                         .day = s.p[8] == ' ' ? fixed_digits(s, 9, 1) : fixed_digits(s, 8, 2) };
    return take_clock(s, 11, c);
}

/* Two digits are a year within fifty of this one: "more than 50 years in the future" is to be taken for the past. */
static int year_near(int digits, int64_t wall_ns) {
    int now = 1970 + (int)(wall_ns / NS_PER_S / 31556952); /* the mean Gregorian year */
    int year = digits < 0 ? -1 : now - now % 100 + digits;
    return year > now + 50 ? year - 100 : year >= 0 && year <= now - 50 ? year + 100 : year;
}

/* rfc850-date: Sunday, 06-Nov-94 08:49:37 GMT */
static bool take_rfc850(struct str s, int64_t wall_ns, struct civil *c) {
    static const char *const days[] = { "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday" };
    struct str name = str_first(s, str_index(s, ',')), rest = str_from(s, name.n);
    size_t day = 0;
    while (day < 7 && !str_eq(name, str_of(days[day]))) day++;
    if (day == 7 || rest.n != 24 || !fits_mould(rest, ", ##-###-## ##:##:## GMT")) return false;
    *c = (struct civil){ .year = year_near(fixed_digits(rest, 9, 2), wall_ns), .month = 1 + name_at(rest, 5, MONTHS), .day = fixed_digits(rest, 2, 2) };
    return take_clock(rest, 12, c);
}

/* RFC 9110 5.6.7: a recipient MUST accept all three forms. */
static bool parse_http_date(struct str s, int64_t wall_ns, struct amount *out) {
    struct civil c;
    if (!take_fixdate(s, &c) && !take_asctime(s, &c) && !take_rfc850(s, wall_ns, &c)) return false;
    return c.year >= 0 && c.day >= 0 && civil_ns(&c, out);
}

/* RFC 3339 5.6: time-offset = "Z" / ( "+" / "-" ) time-hour ":" time-minute. */
static bool parse_offset(struct str s, int64_t *seconds) {
    *seconds = 0;
    if (s.n == 1) return s.p[0] == 'Z' || s.p[0] == 'z';
    if (s.n != 6 || (s.p[0] != '+' && s.p[0] != '-') || s.p[3] != ':') return false;
    int hours = fixed_digits(s, 1, 2), minutes = fixed_digits(s, 4, 2);
    if (hours < 0 || hours > 23 || minutes < 0 || minutes > 59) return false;
    *seconds = (hours * 3600 + minutes * 60) * (s.p[0] == '-' ? -1 : 1);
    return true;
}

static bool parse_rfc3339(struct str s, struct amount *out) {
    if (s.n < 20 || !fits_mould(s, "####-##-##") || (s.p[10] != 'T' && s.p[10] != 't') || !fits_mould(str_from(s, 11), "##:##:##")) return false;
    struct civil c = {
        .year = fixed_digits(s, 0, 4), .month = fixed_digits(s, 5, 2), .day = fixed_digits(s, 8, 2),
        .hour = fixed_digits(s, 11, 2), .minute = fixed_digits(s, 14, 2), .second = fixed_digits(s, 17, 2),
    };
    if (c.year < 0 || c.month < 0 || c.day < 0 || c.hour < 0 || c.minute < 0 || c.second < 0) return false;
    s = str_from(s, 19);
    if (s.p[0] == '.') {
        struct number n = { .zero = true };
        s = str_from(s, 1);
        if (take_fraction(&s, &n) == 0) return false;
        c.nano = (int64_t)n.nano;
    }
    return parse_offset(s, &c.offset) && civil_ns(&c, out);
}

/* ---- a value ------------------------------------------------------------------------------------------------------------------------ */
static bool parse_amount(const struct dialect *d, struct str s, int64_t wall_ns, struct amount *out) {
    switch ((enum dialect_unit)d->unit) {
    case UNIT_NS:
    case UNIT_US:
    case UNIT_MS:
    case UNIT_S: return parse_plain(d, s, dialect_unit_ns(d->unit), out);
    case UNIT_GRPC: return parse_grpc(s, out);
    case UNIT_DURATION: return parse_duration(s, out);
    case UNIT_SUFFIXED: return parse_suffixed(d, s, out);
    case UNIT_HTTP_DATE: return parse_http_date(s, wall_ns, out);
    case UNIT_RFC3339: return parse_rfc3339(s, out);
    }
    return false;
}

static struct dialect_reading malformed(const struct dialect *d) {
    return (struct dialect_reading){ .result = d->malformed == MALFORMED_REJECT ? DIALECT_REJECT : DIALECT_ABSENT, .malformed = true };
}

static struct dialect_reading zero(const struct dialect *d) {
    static const enum dialect_result meaning[] = {
        [ZERO_EXPIRED] = DIALECT_EXPIRED, [ZERO_INFINITE] = DIALECT_UNBOUNDED, [ZERO_IGNORE] = DIALECT_ABSENT, [ZERO_REJECT] = DIALECT_REJECT,
    };
    return (struct dialect_reading){ .result = meaning[d->zero] };
}

static struct dialect_reading left_or_expired(int64_t left) {
    if (left <= 0) return (struct dialect_reading){ .result = DIALECT_EXPIRED };
    return (struct dialect_reading){ .result = DIALECT_LEFT, .left = { left } };
}

static struct dialect_reading until(const struct dialect *d, int64_t at, int64_t wall_ns) {
    int64_t left = i64_sub_sat(at, wall_ns);
    if (left <= 0 && d->skew.ns > 0 && left >= -d->skew.ns) return (struct dialect_reading){ .result = DIALECT_LEFT, .skewed = true };
    return left_or_expired(left);
}

/* Semantics 2.2, trap T27: where the sender's clock and ours disagree, only the difference of its two readings means anything. */
static struct dialect_reading between(const struct dialect *d, int64_t sent, int64_t at, int64_t wall_ns) {
    int64_t apart = i64_sub_sat(wall_ns, sent);
    if (apart > d->skew.ns || apart < -d->skew.ns) return left_or_expired(i64_sub_sat(at, sent));
    return until(d, at, wall_ns);
}

static struct dialect_reading parse_pair(const struct dialect *d, struct str value, int64_t wall_ns) {
    struct amount sent, at;
    size_t blank = str_index(value, ' ');
    if (blank == value.n) return malformed(d);
    if (!parse_amount(d, str_first(value, blank), wall_ns, &sent) || !parse_amount(d, str_from(value, blank + 1), wall_ns, &at)) return malformed(d);
    return at.zero ? zero(d) : between(d, sent.ns, at.ns, wall_ns);
}

static struct dialect_reading parse_beside(const struct dialect *d, struct str value, struct str companion, int64_t wall_ns) {
    struct amount sent, at;
    if (!parse_amount(d, value, wall_ns, &at)) return malformed(d);
    if (at.zero) return zero(d);
    if (companion.n == 0) return until(d, at.ns, wall_ns);
    if (parse_amount(d, companion, wall_ns, &sent) && !sent.zero) return between(d, sent.ns, at.ns, wall_ns);
    if (d->malformed == MALFORMED_REJECT) return malformed(d);
    struct dialect_reading alone = until(d, at.ns, wall_ns);
    alone.malformed = true;
    return alone;
}

struct dialect_reading dialect_parse(const struct dialect *d, struct str value, struct str companion, int64_t wall_ns) {
    struct amount a;
    if (d->kind == DIALECT_PAIR && d->companion.n) return parse_beside(d, value, companion, wall_ns);
    if (d->kind == DIALECT_PAIR) return parse_pair(d, value, wall_ns);
    if (!parse_amount(d, value, wall_ns, &a)) return malformed(d);
    if (a.zero) return zero(d);
    return d->kind == DIALECT_EPOCH ? until(d, a.ns, wall_ns) : left_or_expired(a.ns);
}
