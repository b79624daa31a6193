// SPDX-License-Identifier: Apache-2.0
// Dialects: every grammar by its edges, the built-in rows by what their senders mean, and two properties on many thousands of random cases:
// what is written, read again, is never later than what was left; and nothing that a peer writes does more than be refused.
#include "codecs/dialect.h"
#include "conf/conf.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <cmocka.h>
#include "tests/unit/seed.h"

#define WALL INT64_C(1700000000123456789)
#define MS(n) ((n) * NS_PER_MS)
#define S(n) ((n) * NS_PER_S)

static struct dialect_set set;
static struct arena arena;
static struct head head;

static int begin(void **state) {
    (void)state;
    dialect_set_builtin(&set);
    arena_init(&arena, NULL);
    head_init(&head, &arena, true);
    return 0;
}
static int end(void **state) {
    (void)state;
    arena_clear(&arena);
    return 0;
}

/* The value at the very end of its own memory, so that a sanitizer sees a byte too many. */
static struct dialect_reading parse_of(const struct dialect *d, const char *value, size_t n, const char *companion) {
    char *copy = malloc(n ? n : 1);
    memcpy(copy, value, n);
    struct dialect_reading r = dialect_parse(d, (struct str){ copy, n }, str_of(companion), WALL);
    free(copy);
    return r;
}
static const struct dialect *row(const char *key) {
    const struct dialect *d = dialect_by_key(&set, str_of(key));
    if (!d) fail_msg("there is no dialect %s", key);
    return d;
}
static struct dialect_reading parse(const char *key, const char *value) { return parse_of(row(key), value, strlen(value), NULL); }

static void assert_left_of(struct dialect_reading r, const char *key, const char *value, int64_t ns) {
    if (r.result != DIALECT_LEFT || r.left.ns != ns || r.malformed || r.skewed)
        fail_msg("%s: %s: result %d, left %lld, expected %lld", key, value, (int)r.result, (long long)r.left.ns, (long long)ns);
}
static void assert_left(const char *key, const char *value, int64_t ns) { assert_left_of(parse(key, value), key, value, ns); }
static void assert_result(const char *key, const char *value, enum dialect_result result) {
    struct dialect_reading r = parse(key, value);
    if (r.result != result || r.malformed) fail_msg("%s: %s: result %d, malformed %d", key, value, (int)r.result, r.malformed);
}
static void assert_malformed(const char *key, const char *value) {
    enum dialect_result expected = row(key)->malformed == MALFORMED_REJECT ? DIALECT_REJECT : DIALECT_ABSENT;
    struct dialect_reading r = parse(key, value);
    if (r.result != expected || !r.malformed) fail_msg("%s: \"%s\" was taken: result %d", key, value, (int)r.result);
}
static void field(const char *name, const char *value) { head_add(&head, str_of(name), str_of(value)); }
static struct dialect_reading read_head(const char *key) { return dialect_read(row(key), &head, WALL); }

/* ---- grammars --------------------------------------------------------------------------------------------------------------------------- */
static void grpc_timeout_has_six_units_and_their_case_matters(void **state) {
    (void)state;
    assert_left("grpc-timeout", "1H", S(3600));
    assert_left("grpc-timeout", "1M", S(60));
    assert_left("grpc-timeout", "1S", S(1));
    assert_left("grpc-timeout", "1m", MS(1));
    assert_left("grpc-timeout", "1u", NS_PER_US);
    assert_left("grpc-timeout", "1n", 1);
    assert_left("grpc-timeout", "00000001n", 1);
    const char *const wrong[] = { "1h", "1s", "1U", "1N", "1ms", "1", "S", "", "1 S", "1S ", " 1S", "+1S", "-1S", "1.5S", "1e3m", "0x1S", "1S,", "1\tS" };
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) assert_malformed("grpc-timeout", wrong[i]);
}

static void grpc_timeout_has_at_most_eight_digits(void **state) {
    (void)state;
    assert_left("grpc-timeout", "99999999m", MS(99999999));
    assert_malformed("grpc-timeout", "100000000m");
    assert_malformed("grpc-timeout", "000000001m");
}

/* T30: 99999999H does not fit 64 bits of nanoseconds. One implementation wraps to a deadline in the past. */
static void T30_what_is_too_far_is_far_and_not_in_the_past(void **state) {
    (void)state;
    assert_left("grpc-timeout", "99999999H", INT64_MAX);
    assert_left("connect-timeout-ms", "9999999999", MS(9999999999));
    assert_left("x-timeout-ms", "99999999999999999999999999999999999999999999999999", INT64_MAX);
    assert_left("x-timeout-ms", "18446744073709551616", INT64_MAX);
    assert_left("x-request-timeout", "99999999999999999999.5h", INT64_MAX);
    assert_left("query-timeout", "9223372036854775807h9223372036854775807h", INT64_MAX);
    assert_left("x-request-deadline", "99999999999999999999999", INT64_MAX - WALL);
    assert_left("finagle-ctx-com.twitter.finagle.deadline", "1700000000123456789 9223372036854775807", INT64_MAX - WALL);
    assert_int_equal(parse_of(row("x-context-deadline"), "99999999999999999999", 20, "1").left.ns, INT64_MAX - 1);
}

/* T29: signs, blanks, hex, exponents and fractions are what ParseInt and strtol take and no dialect here has. */
static void T29_only_digits_are_a_number(void **state) {
    (void)state;
    static const char *const keys[] = { "connect-timeout-ms", "x-envoy-upstream-rq-timeout-ms", "context-ttl-ms", "x-timeout-ms", "x-timeout-s",
                                        "x-stainless-timeout", "x-request-timeout", "expect-within", "l5d-request-timeout", "request-timeout",
                                        "x-request-deadline", "x-context-deadline", "prefer-wait", "query-timeout-seconds", "tri-service-timeout" };
    static const char *const wrong[] = { "", "-1", "+1", " 1", "1 ", "1 2", "0x10", "1e3", "1E3", "1_000", "inf", "nan", "NaN", "one", ".5", "5.", "1.2.3",
                                         "\xd9\xa1", "1\n", "-0", "--1", "1ms1ms" };
    for (size_t k = 0; k < sizeof keys / sizeof keys[0]; k++)
        for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) assert_malformed(keys[k], wrong[i]);
    struct dialect_reading nul = parse_of(row("x-timeout-ms"), "10\0", 3, NULL);
    assert_true(nul.malformed);
}

/* T29: what zero means is the dialect's own. */
static void T29_zero_means_what_its_row_says(void **state) {
    (void)state;
    assert_result("grpc-timeout", "0n", DIALECT_EXPIRED);
    assert_result("grpc-timeout", "00000000H", DIALECT_EXPIRED);
    assert_result("connect-timeout-ms", "0", DIALECT_EXPIRED);
    assert_result("x-request-timeout", "0.0", DIALECT_EXPIRED);
    assert_result("x-envoy-upstream-rq-timeout-ms", "0", DIALECT_UNBOUNDED);
    assert_result("x-envoy-expected-rq-timeout-ms", "0", DIALECT_UNBOUNDED);
    assert_result("request-timeout", "0s", DIALECT_UNBOUNDED);
    assert_result("x-stainless-timeout", "0", DIALECT_ABSENT);
    assert_result("query-timeout", "0", DIALECT_ABSENT);
    assert_result("query-timeout", "-5s", DIALECT_ABSENT);
    assert_result("l5d-request-timeout", "0", DIALECT_EXPIRED);
    assert_result("x-context-deadline", "0", DIALECT_ABSENT);
    struct dialect d = *row("x-timeout-ms");
    d.zero = ZERO_REJECT;
    assert_int_equal(parse_of(&d, "0", 1, NULL).result, DIALECT_REJECT);
}

/* Not zero, but less than a nanosecond: it must not turn into the row's "infinite". */
static void a_fraction_too_small_to_keep_has_expired(void **state) {
    (void)state;
    assert_result("request-timeout", "0.0000001ms", DIALECT_EXPIRED);
    assert_result("expect-within", "0.0000000001", DIALECT_EXPIRED);
}

static void digits_are_counted(void **state) {
    (void)state;
    assert_left("connect-timeout-ms", "0000000100", MS(100));
    assert_malformed("connect-timeout-ms", "10000000000");
    assert_malformed("connect-timeout-ms", "00000000100");
}

static void fractions_are_taken_where_the_row_says(void **state) {
    (void)state;
    assert_left("expect-within", "1.234", MS(1234));
    assert_left("expect-within", "0.0000000019", 1);
    assert_left("x-server-timeout", "2.5", MS(2500));
    assert_left("x-timeout-s", "7", S(7));
    assert_malformed("x-timeout-ms", "1.5");
    assert_malformed("x-stainless-timeout", "1.5");
}

static void x_request_timeout_has_suffixes_and_bare_seconds(void **state) {
    (void)state;
    assert_left("x-request-timeout", "250ms", MS(250));
    assert_left("x-request-timeout", "1.5s", MS(1500));
    assert_left("x-request-timeout", "2m", S(120));
    assert_left("x-request-timeout", "1h", S(3600));
    assert_left("x-request-timeout", "1.50", MS(1500));
    assert_left("x-request-timeout", "30", S(30));
    const char *const wrong[] = { "250MS", "1 s", "1d", "1us", "1sec", "s", "1m30s", "1S", "ms" };
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) assert_malformed("x-request-timeout", wrong[i]);
}

static void linkerd_takes_days_and_no_bare_number_but_zero(void **state) {
    (void)state;
    assert_left("l5d-request-timeout", "2d", S(2 * 86400));
    assert_left("l5d-timeout", "15ms", MS(15));
    assert_malformed("l5d-request-timeout", "15");
    assert_malformed("l5d-request-timeout", "1.5s");
}

static void nexus_has_a_number_and_one_of_three_units(void **state) {
    (void)state;
    assert_left("request-timeout", "100ms", MS(100));
    assert_left("request-timeout", "1.5m", S(90));
    assert_malformed("request-timeout", "15");
    assert_malformed("request-timeout", "1h");
}

static void a_go_duration_is_a_sum(void **state) {
    (void)state;
    assert_left("query-timeout", "1m30s", S(90));
    assert_left("query-timeout", "1h2m3.5s", S(3723) + MS(500));
    assert_left("query-timeout", "1.5h", S(5400));
    assert_left("query-timeout", ".5s", MS(500));
    assert_left("query-timeout", "5.s", S(5));
    assert_left("query-timeout", "+5s", S(5));
    assert_left("query-timeout", "1ms2us3ns", MS(1) + 2003);
    assert_left("query-timeout", "7\xc2\xb5s", 7000);
    const char *const wrong[] = { "5", "s", ".s", "5s3", "1d", "5 s", "", "-", "+", "00", "1e3s", "--5s", "5S", "5\xc2s" };
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) assert_malformed("query-timeout", wrong[i]);
}

static struct dialect epoch_row(enum dialect_unit unit) {
    return (struct dialect){ .name = STR("x-e"), .key = STR("x-e"), .kind = DIALECT_EPOCH, .unit = (uint8_t)unit };
}
static int64_t date_left(enum dialect_unit unit, const char *value, int64_t wall) {
    struct dialect d = epoch_row(unit);
    struct dialect_reading r = dialect_parse(&d, str_of(value), (struct str){ 0 }, wall);
    return r.malformed ? INT64_MIN : r.result == DIALECT_LEFT ? r.left.ns : -1;
}

static void an_http_date_has_three_forms(void **state) {
    (void)state;
    assert_int_equal(date_left(UNIT_HTTP_DATE, "Sun, 06 Nov 1994 08:49:37 GMT", S(784111770)), S(7));
    assert_int_equal(date_left(UNIT_HTTP_DATE, "Thu, 29 Feb 2024 23:59:60 GMT", S(1709251199)), S(1));
    assert_int_equal(date_left(UNIT_HTTP_DATE, "Thu, 31 Dec 9999 23:59:59 GMT", WALL), INT64_MAX - WALL);
    assert_int_equal(date_left(UNIT_HTTP_DATE, "Sunday, 06-Nov-94 08:49:37 GMT", S(784111770)), S(7));
    assert_int_equal(date_left(UNIT_HTTP_DATE, "Sun Nov  6 08:49:37 1994", S(784111770)), S(7));
    assert_int_equal(date_left(UNIT_HTTP_DATE, "Wed Nov 16 08:49:37 1994", S(784975770)), S(7));
    assert_int_equal(date_left(UNIT_HTTP_DATE, "Tuesday, 14-Nov-23 22:13:27 GMT", S(1700000000)), S(7)); /* two digits: a year within 50 of this one */
    assert_int_equal(date_left(UNIT_HTTP_DATE, "Sunday, 14-Nov-72 22:13:20 GMT", S(1700000000)), S(1546387200));
    assert_int_equal(date_left(UNIT_HTTP_DATE, "Wednesday, 14-Nov-74 22:13:20 GMT", S(1700000000)), -1);
    assert_int_equal(date_left(UNIT_HTTP_DATE, "Friday, 01-Jan-10 00:00:00 GMT", S(3786912000)), S(631065600)); /* in 2090 it is 2110 */
    const char *const wrong[] = { "Sun, 06-Nov-94 08:49:37 GMT", "Sunday, 06-Nov-1994 08:49:37 GMT", "Sunday, 6-Nov-94 08:49:37 GMT", "Sunday 06-Nov-94 08:49:37 GMT",
                                  "Sunday, 06-Nov-xx 08:49:37 GMT", "Sun Nov 6 08:49:37 1994", "Sun Nov  6 08:49:37 94", "Sun Nov  6 08:49:37 1994 GMT",
                                  "Sun Nov   08:49:37 1994", "Sun, 6 Nov 1994 08:49:37 GMT", "Sun, 06 Nov 1994 08:49:37 UTC",
                                  "Sun, 31 Nov 1994 08:49:37 GMT", "Sun, 06 nov 1994 08:49:37 GMT", "Sun, 06 Nov 1994 24:49:37 GMT",
                                  "Sun, 29 Feb 2023 08:49:37 GMT", "Xxx, 06 Nov 1994 08:49:37 GMT", "Sun, 00 Nov 1994 08:49:37 GMT" };
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
        if (date_left(UNIT_HTTP_DATE, wrong[i], 0) != INT64_MIN) fail_msg("%s was taken", wrong[i]);
}

static void rfc3339_has_fractions_and_offsets(void **state) {
    (void)state;
    assert_int_equal(date_left(UNIT_RFC3339, "1985-04-12T23:20:50.52Z", S(482196050)), MS(520));
    assert_int_equal(date_left(UNIT_RFC3339, "1996-12-19T16:39:57-08:00", S(851042397) - 1), 1);
    assert_int_equal(date_left(UNIT_RFC3339, "1996-12-20t00:39:57z", S(851042390)), S(7));
    const char *const wrong[] = { "1985-04-12", "1985-04-12T23:20:50", "1985-04-12 23:20:50Z", "1985-04-12T23:20:50.Z", "1985-04-12T23:20:50+0100",
                                  "1985-13-12T23:20:50Z", "1985-04-12T23:20:50+24:00", "85-04-12T23:20:50Z", "1985-04-12T23:20:50Zx", "1985-04-12T23:20:61Z" };
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
        if (date_left(UNIT_RFC3339, wrong[i], 0) != INT64_MIN) fail_msg("%s was taken", wrong[i]);
}

/* The C library is the other opinion on the calendar. */
static void dates_agree_with_the_library(void **state) {
    (void)state;
    for (int64_t s = 0; s < INT64_C(9000000000); s += 86400 * 13 + 3607) {
        time_t t = (time_t)s;
        struct tm tm;
        char text[64];
        gmtime_r(&t, &tm);
        strftime(text, sizeof text, "%a, %d %b %Y %H:%M:%S GMT", &tm);
        assert_int_equal(date_left(UNIT_HTTP_DATE, text, S(s) - 1), 1);
        struct dialect d = epoch_row(UNIT_HTTP_DATE);
        char out[DIALECT_TEXT_MAX], companion[DIALECT_TEXT_MAX];
        size_t m, n = s ? dialect_format(&d, (span){ 1 }, S(s) - 1, out, companion, &m) : 0;
        if (s && (n != strlen(text) || memcmp(out, text, n) != 0)) fail_msg("%.*s is not %s", (int)n, out, text);
    }
}

/* ---- clocks ------------------------------------------------------------------------------------------------------------------------------- */
static struct dialect_reading at_wall(const char *key, int64_t deadline, int64_t sent, int64_t wall) {
    char text[64], companion[64];
    snprintf(text, sizeof text, "%lld", (long long)deadline);
    snprintf(companion, sizeof companion, "%lld", (long long)sent);
    return dialect_parse(row(key), str_of(text), sent ? str_of(companion) : (struct str){ 0 }, wall);
}

/* T27: within skew an old epoch is a clock that is off; beyond it, it is late. */
static void T27_an_epoch_a_little_in_the_past_is_skewed_and_not_expired(void **state) {
    (void)state;
    struct dialect_reading r = at_wall("x-context-deadline", WALL - MS(250), 0, WALL);
    assert_int_equal(r.result, DIALECT_LEFT);
    assert_true(r.skewed);
    assert_int_equal(r.left.ns, 0);
    assert_int_equal(at_wall("x-context-deadline", WALL - MS(250) - 1, 0, WALL).result, DIALECT_EXPIRED);
    assert_int_equal(at_wall("x-context-deadline", WALL, 0, WALL).skewed, true);
    assert_left_of(at_wall("x-context-deadline", WALL + 1, 0, WALL), "x-context-deadline", "now + 1", 1);
    struct dialect d = epoch_row(UNIT_NS);
    assert_int_equal(parse_of(&d, "1700000000123456789", 19, NULL).result, DIALECT_EXPIRED);
}

/* T27: the wall clock may jump by hours; the pair still says how much was left when it was sent. */
static void T27_a_pair_uses_the_difference_where_the_clocks_disagree(void **state) {
    (void)state;
    const int64_t day = S(86400);
    assert_left_of(at_wall("x-context-deadline", WALL + MS(900), WALL, WALL + MS(100)), "pair", "clocks agree", MS(800));
    assert_left_of(at_wall("x-context-deadline", WALL + MS(900), WALL, WALL + day), "pair", "ours is ahead", MS(900));
    assert_left_of(at_wall("x-context-deadline", WALL + MS(900), WALL, WALL - day), "pair", "ours is behind", MS(900));
    assert_left_of(at_wall("x-context-deadline", WALL + MS(900), WALL, WALL + MS(250)), "pair", "just within skew", MS(650));
    assert_left_of(at_wall("x-context-deadline", WALL + MS(900), WALL, WALL + MS(250) + 1), "pair", "just beyond skew", MS(900));
    assert_int_equal(at_wall("x-context-deadline", WALL - 1, WALL, WALL + day).result, DIALECT_EXPIRED);
}

static void a_pair_in_one_value_has_one_blank(void **state) {
    (void)state;
    const char *finagle = "finagle-ctx-com.twitter.finagle.deadline";
    assert_left(finagle, "1700000000123456789 1700000000223456789", MS(100));
    assert_left(finagle, "1600000000000000000 1600000000100000000", MS(100));
    assert_left("l5d-ctx-deadline", "1600000000000000000 1600000000100000000", MS(100));
    const char *const wrong[] = { "1700000000123456789", "1700000000123456789  1700000000223456789", "1700000000123456789,1700000000223456789",
                                  "1700000000123456789 ", " 1700000000123456789", "1 2 3", "a b" };
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) assert_malformed(finagle, wrong[i]);
}

static void a_companion_that_is_malformed_is_left_out(void **state) {
    (void)state;
    struct dialect_reading r = parse_of(row("x-context-deadline"), "1700000001123456789", 19, "yesterday");
    assert_int_equal(r.result, DIALECT_LEFT);
    assert_int_equal(r.left.ns, S(1));
    assert_true(r.malformed);
}

/* ---- heads ------------------------------------------------------------------------------------------------------------------------------- */
static void a_head_without_the_dialect_has_none(void **state) {
    (void)state;
    field("grpc-timeouts", "1S");
    assert_int_equal(read_head("grpc-timeout").result, DIALECT_ABSENT);
    field("grpc-timeout", "2S");
    assert_int_equal(read_head("grpc-timeout").left.ns, S(2));
    head_remove(&head, STR("grpc-timeout"));
    assert_int_equal(read_head("grpc-timeout").result, DIALECT_ABSENT);
}

/* T26: a bridge on the way adds a second field, or joins two with a comma. */
static void T26_of_repeated_values_the_earliest_counts(void **state) {
    (void)state;
    field("grpc-timeout", "9H");
    field("grpc-timeout", "3S , 1S");
    field("grpc-timeout", "2M");
    assert_int_equal(read_head("grpc-timeout").left.ns, S(1));
    field("grpc-timeout", "x");
    struct dialect_reading r = read_head("grpc-timeout");
    assert_int_equal(r.left.ns, S(1));
    assert_true(r.malformed);
    field("grpc-timeout", "0n");
    assert_int_equal(read_head("grpc-timeout").result, DIALECT_EXPIRED);
}

static struct dialect_reading read_twice(enum dialect_duplicates how) {
    struct dialect d = *row("x-timeout-ms");
    d.duplicates = (uint8_t)how;
    return dialect_read(&d, &head, WALL);
}
static void T26_what_repeated_values_mean_is_the_rows_to_say(void **state) {
    (void)state;
    field("x-timeout-ms", "200,100");
    field("x-timeout-ms", "300");
    assert_int_equal(read_twice(DUPLICATES_MIN).left.ns, MS(100));
    assert_int_equal(read_twice(DUPLICATES_FIRST).left.ns, MS(200));
    assert_int_equal(read_twice(DUPLICATES_LAST).left.ns, MS(300));
    assert_int_equal(read_twice(DUPLICATES_REJECT).result, DIALECT_REJECT);
    assert_int_equal(read_twice(DUPLICATES_IGNORE).result, DIALECT_ABSENT);
    assert_true(read_twice(DUPLICATES_IGNORE).malformed);
}

static void of_two_infinite_and_finite_values_the_finite_counts(void **state) {
    (void)state;
    field("x-envoy-upstream-rq-timeout-ms", "0");
    assert_int_equal(read_head("x-envoy-upstream-rq-timeout-ms").result, DIALECT_UNBOUNDED);
    field("x-envoy-upstream-rq-timeout-ms", "7");
    assert_int_equal(read_head("x-envoy-upstream-rq-timeout-ms").left.ns, MS(7));
}

static void a_date_keeps_its_comma(void **state) {
    (void)state;
    field("belgov-request-deadline", "Tue, 14 Nov 2023 22:13:22 GMT");
    struct dialect_reading r = read_head("belgov-request-deadline");
    assert_false(r.malformed);
    assert_int_equal(r.left.ns, S(2) - 123456789);
}

static void the_companion_is_found_beside_its_dialect(void **state) {
    (void)state;
    field("x-context-sent", "1600000000000000000");
    field("x-context-deadline", "1600000000500000000");
    assert_int_equal(read_head("x-context-deadline").left.ns, MS(500));
    field("x-context-sent", "1600000000000000001");
    struct dialect_reading r = read_head("x-context-deadline");
    assert_int_equal(r.result, DIALECT_EXPIRED);
    assert_true(r.malformed);
}

static void the_query_is_read_by_name_and_decoded(void **state) {
    (void)state;
    static const struct { const char *target; int64_t left; } cases[] = {
        { "/a?timeout=5s", S(5) }, { "/a?x=1&timeout=5s&timeout=1s", S(5) }, { "/a?%74imeout=1%6ds", MS(1) }, { "/a?timeout=&timeout=2s", S(2) },
        { "/a?xtimeout=5s&timeoutx=5s", -1 }, { "/timeout=5s", -1 }, { "/a?timeout", -1 }, { "/a?", -1 }, { "", -1 }, { "*", -1 }, { "/a?Timeout=5s", -1 },
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        head.target = str_of(cases[i].target);
        struct dialect_reading r = read_head("query-timeout");
        int64_t left = r.result == DIALECT_LEFT ? r.left.ns : r.result == DIALECT_ABSENT ? -1 : -2;
        if (left != cases[i].left) fail_msg("%s: %lld", cases[i].target, (long long)left);
    }
    static const char *const wrong[] = { "/a?timeout=5", "/a?timeout=%5", "/a?timeout=%zzs", "/a?timeout=+5s", "/a?timeout=5%00s",
        "/a?timeout=%30000000000000000000000000000000000000000000000000000000000000000000000000000000000005s" };
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        head.target = str_of(wrong[i]);
        if (read_head("query-timeout").result != DIALECT_REJECT) fail_msg("%s was taken", wrong[i]);
    }
    head.target = STR("/api/v1/pods?watch=1&timeoutSeconds=300");
    assert_int_equal(read_head("query-timeout-seconds").left.ns, S(300));
    assert_int_equal(read_head("query-timeout").result, DIALECT_ABSENT);
}

static void prefer_wait_is_read_among_other_preferences(void **state) {
    (void)state;
    static const struct { const char *prefer; int64_t left; } cases[] = {
        { "wait=5", S(5) }, { "respond-async, wait=10", S(10) }, { "Wait = \"7\" ; x=\"a,wait=1\"", S(7) }, { "return=\"wait=3, wait=4\"", -1 },
        { "wait=5, wait=1", S(5) }, { "wait", -1 }, { "wait=", -1 }, { "wait=1.5", -1 }, { "waiting=5", -1 }, { ",, wait=2 ,", S(2) },
        { "handling=\"a\\\", wait=1\", wait=9", S(9) }, { "\"wait=1", -1 }, { "wait=\"", -1 }, { "=5", -1 }, { "wait=0", -1 },
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        head_remove(&head, STR("prefer"));
        field("prefer", cases[i].prefer);
        struct dialect_reading r = read_head("prefer-wait");
        int64_t left = r.result == DIALECT_LEFT ? r.left.ns : -1;
        if (left != cases[i].left) fail_msg("%s: %lld", cases[i].prefer, (long long)left);
    }
}

static void only_the_wait_member_is_cut_from_prefer(void **state) {
    (void)state;
    static const struct { const char *from, *to; } cases[] = {
        { "wait=5", "" }, { "respond-async, wait=5", "respond-async" }, { "a,WAIT=5 ,b;c=\"x, wait=1\"", "a, b;c=\"x, wait=1\"" }, { "a , b", "a , b" },
        { "wait=1, wait=2", "" },
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct str left = dialect_prefer_without(&arena, str_of(cases[i].from), STR("wait"));
        if (!str_eq(left, str_of(cases[i].to))) fail_msg("%s: %.*s", cases[i].from, STR_ARG(left));
    }
}

static void a_query_parameter_is_set_in_its_place(void **state) {
    (void)state;
    static const struct { const char *from, *to; } cases[] = {
        { "/a", "/a?timeout=5ms" }, { "/a?", "/a?timeout=5ms" }, { "/a?x=1", "/a?x=1&timeout=5ms" }, { "/a?timeout=9h&x=1", "/a?timeout=5ms&x=1" },
        { "/a?timeout&x&timeout=3", "/a?timeout=5ms&x" }, { "/a?%74imeout=1s", "/a?timeout=5ms" }, { "/a?x=a?b", "/a?x=a?b&timeout=5ms" },
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct str to = dialect_query_with(&arena, str_of(cases[i].from), STR("timeout"), STR("5ms"));
        if (!str_eq(to, str_of(cases[i].to))) fail_msg("%s: %.*s", cases[i].from, STR_ARG(to));
    }
    assert_true(str_eq(dialect_query_with(&arena, STR("/"), STR("by"), STR("Sun, 06 Nov")), STR("/?by=Sun%2C%2006%20Nov")));
}

/* ---- writing ---------------------------------------------------------------------------------------------------------------------------- */
static struct str format(const struct dialect *d, int64_t left) {
    static char text[DIALECT_TEXT_MAX], companion[DIALECT_TEXT_MAX];
    size_t m;
    return (struct str){ text, dialect_format(d, (span){ left }, WALL, text, companion, &m) };
}
static void assert_written(const char *key, int64_t left, const char *text) {
    struct str s = format(row(key), left);
    if (!str_eq(s, str_of(text))) fail_msg("%s: %.*s, expected %s", key, STR_ARG(s), text);
}

/* T31: a hop that rounds up gives away time that it does not have. */
static void T31_values_are_rounded_down_in_the_finest_unit_that_fits(void **state) {
    (void)state;
    assert_written("grpc-timeout", 99999999, "99999999n");
    assert_written("grpc-timeout", 100000999, "100000u");
    assert_written("grpc-timeout", S(100) + 999999, "100000m");
    assert_written("grpc-timeout", S(100000) + 999999999, "100000S");
    assert_written("grpc-timeout", S(99999999) + S(60), "1666667M");
    assert_written("grpc-timeout", INT64_MAX, "2562047H");
    assert_written("connect-timeout-ms", MS(2) - 1, "1");
    assert_written("connect-timeout-ms", INT64_MAX, "9999999999");
    assert_written("x-request-timeout", MS(1500) + 999999, "1500ms");
    assert_written("l5d-request-timeout", S(90), "90000ms");
    assert_written("expect-within", MS(1230) + 999999, "1.23");
    assert_written("expect-within", S(2), "2");
    assert_written("x-server-timeout", MS(1), "0.001");
    assert_written("prefer-wait", S(3) - 1, "2");
    assert_written("query-timeout", S(90), "90000ms");
    assert_written("query-timeout", 1999, "1us");
    assert_written("query-timeout", 999, "999ns");
}

/* T31: nothing is written where it would be zero, which some read as infinite. */
static void T31_a_dialect_too_coarse_is_not_written(void **state) {
    (void)state;
    assert_written("connect-timeout-ms", MS(1) - 1, "");
    assert_written("x-request-timeout", MS(1) - 1, "");
    assert_written("expect-within", MS(1) - 1, "");
    assert_written("x-timeout-s", 1, "");
    assert_written("x-stainless-timeout", S(1) - 1, "");
    assert_written("x-request-deadline", 1, "");
    assert_written("belgov-request-deadline", 1, "");
    assert_written("grpc-timeout", 1, "1n");
    for (size_t i = 1; i <= set.n; i++) {
        assert_int_equal(format(&set.row[i], 0).n, 0);
        assert_int_equal(format(&set.row[i], -S(1)).n, 0);
    }
}

static void a_pair_is_written_with_the_senders_clock(void **state) {
    (void)state;
    char text[DIALECT_TEXT_MAX], companion[DIALECT_TEXT_MAX];
    size_t m, n = dialect_format(row("x-context-deadline"), (span){ MS(100) }, WALL, text, companion, &m);
    assert_true(str_eq((struct str){ text, n }, STR("1700000000223456789")));
    assert_true(str_eq((struct str){ companion, m }, STR("1700000000123456789")));
    assert_written("l5d-ctx-deadline", MS(100), "1700000000123456789 1700000000223456789");
    assert_written("x-request-deadline", MS(100), "1700000000223");
}

/* ---- properties ---------------------------------------------------------------------------------------------------------------------------- */
/* Every magnitude as likely as another. */
static int64_t random_span(void) { return (int64_t)(next_random() >> (1 + next_random() % 63)) + 1; }

static void add_rows_of_every_shape(void) {
    static const struct dialect more[] = {
        { .name = STR_INIT("t-epoch-s"), .kind = DIALECT_EPOCH, .unit = UNIT_S },
        { .name = STR_INIT("t-epoch-us"), .kind = DIALECT_EPOCH, .unit = UNIT_US, .skew = { 1 } },
        { .name = STR_INIT("t-rfc3339"), .kind = DIALECT_EPOCH, .unit = UNIT_RFC3339 },
        { .name = STR_INIT("t-pair-ms"), .kind = DIALECT_PAIR, .unit = UNIT_MS },
        { .name = STR_INIT("t-pair-s"), .kind = DIALECT_PAIR, .unit = UNIT_S, .skew = { 5 * NS_PER_S } },
        { .name = STR_INIT("t-pair-beside"), .kind = DIALECT_PAIR, .unit = UNIT_MS, .companion = STR_INIT("t-sent") },
        { .name = STR_INIT("t-pair-date"), .kind = DIALECT_PAIR, .unit = UNIT_HTTP_DATE, .companion = STR_INIT("t-sent-date") },
        { .name = STR_INIT("t-us"), .unit = UNIT_US, .digits = 4 },
        { .name = STR_INIT("t-ns"), .unit = UNIT_NS },
        { .name = STR_INIT("t-fraction-ms"), .unit = UNIT_MS, .fraction = true },
        { .name = STR_INIT("t-suffixed"), .unit = UNIT_SUFFIXED, .suffixes = STR_INIT("s us h"), .digits = 3, .bare = UNIT_MS },
    };
    for (size_t i = 0; i < sizeof more / sizeof more[0]; i++) assert_null(dialect_set_add(&set, &more[i]));
}

static int64_t grain_of(const struct dialect *d) {
    static const int64_t ns[] = { [UNIT_NS] = 1, [UNIT_US] = NS_PER_US, [UNIT_MS] = NS_PER_MS, [UNIT_S] = NS_PER_S, [UNIT_GRPC] = 1,
                                  [UNIT_DURATION] = 1, [UNIT_SUFFIXED] = NS_PER_MS, [UNIT_HTTP_DATE] = NS_PER_S, [UNIT_RFC3339] = 1 };
    if (d->unit == UNIT_SUFFIXED && d->digits == 3) return NS_PER_US;
    return d->fraction && d->unit != UNIT_SUFFIXED ? ns[d->unit] / 1000 : ns[d->unit];
}

/* The property that makes a chain of gateways safe. */
static void what_is_written_and_read_again_is_never_later(void **state) {
    (void)state;
    uint64_t began = begin_random();
    size_t wrote = 0;
    add_rows_of_every_shape();
    for (int round = 0; round < 20000; round++) {
        const struct dialect *d = &set.row[1 + next_random() % set.n];
        int64_t left = random_span(), wall = (int64_t)(next_random() % UINT64_C(4000000000000000000));
        char text[DIALECT_TEXT_MAX], companion[DIALECT_TEXT_MAX];
        size_t m, n = dialect_format(d, (span){ left }, wall, text, companion, &m);
        if (n == 0 && left >= grain_of(d)) fail_msg("0x%llx: %.*s says nothing of %lld", (unsigned long long)began, STR_ARG(d->key), (long long)left);
        if (n == 0) continue;
        struct dialect_reading r = dialect_parse(d, (struct str){ text, n }, (struct str){ companion, m }, wall);
        if (r.result != DIALECT_LEFT || r.skewed || r.malformed || r.left.ns > left || r.left.ns <= 0)
            fail_msg("0x%llx: %.*s: left %lld at %lld, wrote %.*s, read %d %lld", (unsigned long long)began, STR_ARG(d->key), (long long)left,
                     (long long)wall, (int)n, text, (int)r.result, (long long)r.left.ns);
        wrote++;
    }
    assert_true(wrote > 5000);
}

/* Of a pair the same holds for a reader whose clock is anywhere. */
static void a_pair_is_never_later_for_any_clock_beyond_skew(void **state) {
    (void)state;
    uint64_t began = begin_random();
    add_rows_of_every_shape();
    for (int round = 0; round < 20000; round++) {
        const struct dialect *d = &set.row[1 + next_random() % set.n];
        int64_t left = random_span() >> 3, wall = (int64_t)(next_random() % UINT64_C(4000000000000000000));
        char text[DIALECT_TEXT_MAX], companion[DIALECT_TEXT_MAX];
        size_t m, n = d->kind == DIALECT_PAIR ? dialect_format(d, (span){ left }, wall, text, companion, &m) : 0;
        int64_t off = d->skew.ns + S(1) + random_span() % S(86400), reader = round & 1 ? wall + off : wall - off;
        if (n == 0) continue;
        struct dialect_reading r = dialect_parse(d, (struct str){ text, n }, (struct str){ companion, m }, reader);
        if (r.result != DIALECT_LEFT || r.left.ns > left)
            fail_msg("0x%llx: %.*s: left %lld, wrote %.*s, read %lld", (unsigned long long)began, STR_ARG(d->key), (long long)left, (int)n, text,
                     (long long)r.left.ns);
    }
}

static bool is_grpc_timeout(const char *s, size_t n) { /* the grammar once more, in other words */
    return n >= 2 && n <= 9 && strspn(s, "0123456789") == n - 1 && strchr("HMSmun", s[n - 1]) != NULL;
}
static void every_row_takes_its_grammar_and_nothing_else(void **state) {
    (void)state;
    static const char letters[] = "0123456789009911HMSmunhsd+-. ,;=\"eExT:Z%\x80\xff\n";
    uint64_t began = begin_random();
    add_rows_of_every_shape();
    for (int round = 0; round < 100000; round++) {
        char text[24] = "";
        size_t n = next_random() % 20;
        for (size_t i = 0; i < n; i++) text[i] = letters[next_random() % (sizeof letters - 1)];
        const struct dialect *d = &set.row[1 + next_random() % set.n];
        struct dialect_reading r = parse_of(d, text, n, round & 1 ? NULL : text);
        if (r.result == DIALECT_LEFT && r.left.ns < 0) fail_msg("0x%llx: %.*s: %s has %lld left", (unsigned long long)began, STR_ARG(d->key), text,
                                                                (long long)r.left.ns);
        bool taken = !parse_of(row("grpc-timeout"), text, n, NULL).malformed;
        if (taken != is_grpc_timeout(text, n)) fail_msg("0x%llx: \"%s\" %s", (unsigned long long)began, text, taken ? "was taken" : "was not taken");
        bool digits = n > 0 && strspn(text, "0123456789") == n;
        if (parse_of(row("x-timeout-ms"), text, n, NULL).malformed == digits) fail_msg("0x%llx: \"%s\" as digits", (unsigned long long)began, text);
    }
}

static void no_query_and_no_prefer_does_harm(void **state) {
    (void)state;
    static const char letters[] = "wait=5,;\"\\ timeout=5s&?%746d+";
    begin_random();
    for (int round = 0; round < 20000; round++) {
        size_t n = next_random() % 40;
        char *text = malloc(n + 1);
        for (size_t i = 0; i < n; i++) text[i] = letters[next_random() % (sizeof letters - 1)];
        struct str s = { text, n };
        struct str without = dialect_prefer_without(&arena, s, STR("wait"));
        head_init(&head, &arena, true);
        head_add(&head, STR("prefer"), without);
        head.target = s;
        assert_int_equal(dialect_read(row("prefer-wait"), &head, WALL).result, DIALECT_ABSENT);
        head.target = dialect_query_with(&arena, s, STR("timeout"), STR("5s"));
        assert_int_equal(dialect_read(row("query-timeout"), &head, WALL).left.ns, S(5));
        free(text);
        arena_clear(&arena);
        arena_init(&arena, NULL);
    }
}

/* ---- the set ------------------------------------------------------------------------------------------------------------------------------- */
static const struct dialect *of_field(const char *name) {
    head_init(&head, &arena, true);
    return dialect_of_field(&set, head_add(&head, str_of(name), STR("1")));
}
static void fields_are_known_by_name(void **state) {
    (void)state;
    for (size_t i = 1; i <= set.n; i++) {
        const struct dialect *d = &set.row[i];
        head_init(&head, &arena, true);
        const struct dialect *found = dialect_of_field(&set, head_add(&head, d->name, STR("1")));
        if (d->place == DIALECT_HEADER) assert_ptr_equal(found, d);
        assert_ptr_equal(dialect_by_key(&set, d->key), d);
    }
    assert_ptr_equal(of_field("x-context-sent"), row("x-context-deadline"));
    assert_null(of_field("x-envoy-upstream-rq-timeout-alt-response"));
    assert_null(of_field("timeout"));
    assert_null(of_field("prefer"));
    assert_null(of_field("operation-timeout"));
    assert_null(of_field("accept"));
    struct field *f = head_add(&head, STR("grpc-timeout"), STR("1S"));
    field_remove(f);
    assert_null(dialect_of_field(&set, f));
}

static void a_row_of_the_same_key_overrides(void **state) {
    (void)state;
    size_t n = set.n;
    struct dialect d = *row("x-timeout-ms");
    uint8_t index = d.index;
    d.zero = ZERO_INFINITE;
    assert_null(dialect_set_add(&set, &d));
    assert_int_equal(set.n, n);
    assert_int_equal(row("x-timeout-ms")->index, index);
    assert_result("x-timeout-ms", "0", DIALECT_UNBOUNDED);
}

/* `timeout: { in: query }` is the built-in query-timeout under a key of the operator's own: both keys name it. */
static void a_row_that_reads_the_same_place_replaces_the_built_in_one(void **state) {
    (void)state;
    size_t n = set.n;
    struct dialect d = { .name = STR("timeout"), .place = DIALECT_QUERY, .unit = UNIT_S };
    assert_null(dialect_set_add(&set, &d));
    assert_int_equal(set.n, n);
    assert_ptr_equal(row("timeout"), row("query-timeout"));
    assert_left("timeout", "5", S(5));
}

static void a_row_that_makes_no_sense_is_refused(void **state) {
    (void)state;
    static const struct dialect wrong[] = {
        { .name = STR_INIT("") }, { .name = STR_INIT("X-Upper"), .unit = UNIT_MS }, { .name = STR_INIT("a b"), .unit = UNIT_MS },
        { .name = STR_INIT("authorization"), .unit = UNIT_MS }, { .name = STR_INIT("host"), .unit = UNIT_MS }, { .name = STR_INIT("prefer"), .unit = UNIT_S },
        { .name = STR_INIT("a&b"), .place = DIALECT_QUERY, .unit = UNIT_MS }, { .name = STR_INIT("d"), .unit = UNIT_RFC3339 },
        { .name = STR_INIT("d"), .kind = DIALECT_EPOCH, .unit = UNIT_GRPC }, { .name = STR_INIT("d"), .kind = DIALECT_PAIR, .unit = UNIT_HTTP_DATE },
        { .name = STR_INIT("d"), .unit = UNIT_MS, .companion = STR_INIT("e") }, { .name = STR_INIT("d"), .kind = DIALECT_PAIR, .companion = STR_INIT("d") },
        { .name = STR_INIT("d"), .kind = DIALECT_PAIR, .companion = STR_INIT("cookie") }, { .name = STR_INIT("x-context-sent"), .unit = UNIT_MS },
        { .name = STR_INIT("d"), .kind = DIALECT_PAIR, .companion = STR_INIT("grpc-timeout") },
        { .name = STR_INIT("d"), .place = DIALECT_PREFER, .kind = DIALECT_EPOCH }, { .name = STR_INIT("d"), .unit = UNIT_SUFFIXED, .suffixes = STR_INIT("ms w") },
        { .name = STR_INIT("d"), .unit = UNIT_SUFFIXED, .bare = UNIT_GRPC }, { .name = STR_INIT("d"), .advice = true, .per_try = true },
        { .name = STR_INIT("grpc-timeout"), .key = STR_INIT("x-timeout-ms") },
    };
    struct dialect_set before = set;
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
        if (!dialect_set_add(&set, &wrong[i])) fail_msg("row %zu was taken", i);
    assert_memory_equal(&before, &set, sizeof set);
}

static void a_full_set_still_answers(void **state) {
    (void)state;
    struct dialect d = { .kind = DIALECT_PAIR, .unit = UNIT_MS };
    size_t i = 0;
    for (;; i++) {
        d.name = arena_printf(&arena, "x-d-%zu", i);
        d.companion = arena_printf(&arena, "x-c-%zu", i);
        if (dialect_set_add(&set, &d)) break;
    }
    assert_int_equal(set.n, DIALECTS_MAX - 1);
    assert_int_equal(of_field("x-c-5")->index, of_field("x-d-5")->index);
    assert_null(of_field("x-c-500"));
}

/* ---- YAML and the reference ------------------------------------------------------------------------------------------------------------------ */
static struct conf_map load_map(struct conf *c, const char *yaml) {
    static const struct conf_field fields[] = { { .name = "dialects", .type = CONF_MAP, .table = &dialect_table }, { 0 } };
    static const struct conf_table table = { .name = "test", .size = sizeof(struct conf_map), .fields = fields };
    struct conf_map map;
    conf_init(c);
    conf_load(c, conf_parse(c, "t.yaml", yaml, strlen(yaml)), &table, &map);
    return map;
}

static void the_examples_of_the_configuration_load(void **state) {
    (void)state;
    struct conf c;
    struct conf_map map = load_map(&c, "dialects:\n"
                                       "  X-Acme-Budget:   { in: header, unit: ms, kind: relative, zero: expired, malformed: ignore, duplicates: min }\n"
                                       "  x-acme-deadline: { in: header, unit: ms, kind: epoch, skew: 250ms }\n"
                                       "  timeout:         { in: query, unit: duration, kind: relative, malformed: reject }\n"
                                       "  short:           { name: x-s, unit: suffixed, suffixes: ms s, bare: ms, digits: 5, fraction: true }\n");
    assert_int_equal(c.errors, 0);
    assert_true(dialect_set_load(&c, &set, &map));
    assert_left("x-acme-budget", "5", MS(5));
    assert_int_equal(row("x-acme-deadline")->skew.ns, MS(250));
    assert_result("timeout", "0s", DIALECT_EXPIRED);
    assert_ptr_equal(of_field("x-s"), row("short"));
    assert_left("short", "1.5", NS_PER_US * 1500);
    assert_malformed("short", "123456ms");
    conf_free(&c);
}

static void faults_in_rows_are_reported_where_they_stand(void **state) {
    (void)state;
    struct conf c;
    struct conf_map map = load_map(&c, "dialects:\n  x-a: { kind: epoch }\n  x-b: { unit: ms, zero: never }\n  x-c: { unit: ms, digits: 19 }\n");
    assert_int_equal(c.errors, 3);
    conf_free(&c);
    map = load_map(&c, "dialects:\n  x-a: { unit: grpc, kind: epoch }\n");
    assert_int_equal(c.errors, 0);
    assert_false(dialect_set_load(&c, &set, &map));
    assert_int_equal(c.diags[0].pos.line, 2);
    conf_free(&c);
}

/* The reference stays what the program does. To renew it: UPDATE=1. */
static void the_reference_is_printed_from_the_table(void **state) {
    (void)state;
    static const char path[] = "docs/dialects.md", from[] = "<!-- table -->\n", to[] = "<!-- end of table -->\n";
    static char page[64 << 10];
    char *table = NULL;
    size_t ntable = 0;
    FILE *f = fopen(path, "r");
    if (!f) fail_msg("%s is not there: the tests run in the project's folder", path);
    page[fread(page, 1, sizeof page - 1, f)] = '\0';
    fclose(f);
    FILE *mem = open_memstream(&table, &ntable);
    dialect_print_table(mem, &set, true);
    fclose(mem);
    char *begins = strstr(page, from), *ends = strstr(page, to);
    assert_non_null(begins);
    assert_non_null(ends);
    begins += strlen(from);
    if (getenv("UPDATE")) {
        f = fopen(path, "w");
        fprintf(f, "%.*s%s%s", (int)(begins - page), page, table, ends);
        fclose(f);
    } else if ((size_t)(ends - begins) != ntable || memcmp(begins, table, ntable) != 0)
        fail_msg("%s does not say what the table says; UPDATE=1 renews it", path);
    free(table);
}

static void the_plain_table_has_a_line_a_dialect(void **state) {
    (void)state;
    char *table = NULL;
    size_t n = 0, lines = 0;
    FILE *mem = open_memstream(&table, &n);
    dialect_print_table(mem, &set, false);
    fclose(mem);
    for (size_t i = 0; i < n; i++) lines += table[i] == '\n';
    assert_int_equal(lines, set.n + 1);
    assert_null(strchr(table, '|'));
    assert_null(strstr(table, "?"));
    free(table);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, begin, end)
int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(grpc_timeout_has_six_units_and_their_case_matters),
        TEST(grpc_timeout_has_at_most_eight_digits),
        TEST(T30_what_is_too_far_is_far_and_not_in_the_past),
        TEST(T29_only_digits_are_a_number),
        TEST(T29_zero_means_what_its_row_says),
        TEST(a_fraction_too_small_to_keep_has_expired),
        TEST(digits_are_counted),
        TEST(fractions_are_taken_where_the_row_says),
        TEST(x_request_timeout_has_suffixes_and_bare_seconds),
        TEST(linkerd_takes_days_and_no_bare_number_but_zero),
        TEST(nexus_has_a_number_and_one_of_three_units),
        TEST(a_go_duration_is_a_sum),
        TEST(an_http_date_has_three_forms),
        TEST(rfc3339_has_fractions_and_offsets),
        TEST(dates_agree_with_the_library),
        TEST(T27_an_epoch_a_little_in_the_past_is_skewed_and_not_expired),
        TEST(T27_a_pair_uses_the_difference_where_the_clocks_disagree),
        TEST(a_pair_in_one_value_has_one_blank),
        TEST(a_companion_that_is_malformed_is_left_out),
        TEST(a_head_without_the_dialect_has_none),
        TEST(T26_of_repeated_values_the_earliest_counts),
        TEST(T26_what_repeated_values_mean_is_the_rows_to_say),
        TEST(of_two_infinite_and_finite_values_the_finite_counts),
        TEST(a_date_keeps_its_comma),
        TEST(the_companion_is_found_beside_its_dialect),
        TEST(the_query_is_read_by_name_and_decoded),
        TEST(prefer_wait_is_read_among_other_preferences),
        TEST(only_the_wait_member_is_cut_from_prefer),
        TEST(a_query_parameter_is_set_in_its_place),
        TEST(T31_values_are_rounded_down_in_the_finest_unit_that_fits),
        TEST(T31_a_dialect_too_coarse_is_not_written),
        TEST(a_pair_is_written_with_the_senders_clock),
        TEST(what_is_written_and_read_again_is_never_later),
        TEST(a_pair_is_never_later_for_any_clock_beyond_skew),
        TEST(every_row_takes_its_grammar_and_nothing_else),
        TEST(no_query_and_no_prefer_does_harm),
        TEST(fields_are_known_by_name),
        TEST(a_row_of_the_same_key_overrides),
        TEST(a_row_that_reads_the_same_place_replaces_the_built_in_one),
        TEST(a_row_that_makes_no_sense_is_refused),
        TEST(a_full_set_still_answers),
        TEST(the_examples_of_the_configuration_load),
        TEST(faults_in_rows_are_reported_where_they_stand),
        TEST(the_reference_is_printed_from_the_table),
        TEST(the_plain_table_has_a_line_a_dialect),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
