// SPDX-License-Identifier: Apache-2.0
// How durations, sizes, rates and percentages are written.
#include "tests/unit/conf/given.h"
#include "conf/inside.h"

struct row { const char *text; int64_t value; };
#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static void durations_are_those_of_gep_2257(void **state) {
    (void)state;
    static const struct row good[] = {
        { "0s", 0 }, { "0h0m0s", 0 }, { "0", 0 }, { "1h", 3600 * NS_PER_S }, { "30m", 1800 * NS_PER_S }, { "10s", 10 * NS_PER_S }, { "500ms", 500 * NS_PER_MS },
        { "2h30m10s500ms", 9010 * NS_PER_S + 500 * NS_PER_MS }, { "99999h", 99999 * 3600 * NS_PER_S }, { "7us", 7000 }, { "10s10s", 20 * NS_PER_S },
        { "10s2h", 7210 * NS_PER_S }, { "000001s", NS_PER_S }, { "100000s", 100000 * NS_PER_S },
    };
    for (size_t i = 0; i < COUNT(good); i++) {
        span s = span_ns(-1);
        assert_true(conf_parse_duration(str_of(good[i].text), &s));
        assert_int_equal(s.ns, good[i].value);
    }
    static const char *const bad[] = { "",    "1",     "00",   "-1s",  "+1s",     "1.5h",        "1d", "1S", "1 s",   " 1s", "1s ", "s", "ms1",
                                       "1ns", "1s1",   "1h1m1s1ms1us", "1sm",  "none", "infinite", "1µs", "1e3s", "1,5s", "1m s", "0x1s" };
    for (size_t i = 0; i < COUNT(bad); i++) {
        span s = span_ns(-1);
        assert_false(conf_parse_duration(str_of(bad[i]), &s));
        assert_int_equal(s.ns, -1);
    }
}

static void too_long_a_number_is_far_away(void **state) {
    (void)state;
    span s;
    assert_true(conf_parse_duration(STR("99999999999999999999999999h"), &s));
    assert_true(span_is_forever(s));
    assert_true(conf_parse_duration(STR("2562047h2562047h1s"), &s));
    assert_true(span_is_forever(s));
    uint64_t n;
    assert_true(conf_parse_size(STR("99999999999999999999GiB"), &n));
    assert_true(n == UINT64_MAX);
    assert_true(conf_parse_size(STR("17179869184GiB"), &n)); /* 2^64 */
    assert_true(n == UINT64_MAX);
    uint32_t p;
    assert_true(conf_parse_percent(STR("99999999999999999999%"), &p));
    assert_int_equal(p, UINT32_MAX);
}

static void a_printed_duration_is_read_back_as_itself(void **state) {
    (void)state;
    static const struct { int64_t ns; const char *text; } rows[] = {
        { 0, "0s" }, { 15 * NS_PER_S, "15s" }, { 90 * 60 * NS_PER_S, "1h30m" }, { 1500 * NS_PER_MS, "1s500ms" }, { 250 * NS_PER_US, "250us" },
        { 3661 * NS_PER_S + 2003 * NS_PER_US, "1h1m1s2003us" }, { INT64_MAX - 1, "2562047h47m16s854775us" }, { 24 * 3600 * NS_PER_S, "24h" },
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        char buf[64];
        span back;
        int n = conf_print_duration(buf, sizeof buf, span_ns(rows[i].ns));
        assert_string_equal(buf, rows[i].text);
        assert_int_equal(n, strlen(rows[i].text));
        assert_true(conf_parse_duration(str_of(buf), &back));
        assert_int_equal(back.ns, rows[i].ns - rows[i].ns % NS_PER_US); /* there is no unit below */
    }
}

static void forever_is_printed_as_none_and_a_short_buffer_is_cut(void **state) {
    (void)state;
    char buf[4];
    assert_int_equal(conf_print_duration(buf, sizeof buf, SPAN_FOREVER), 4);
    assert_string_equal(buf, "non");
    assert_int_equal(conf_print_duration(NULL, 0, span_s(90)), 5);
}

static void sizes_are_bytes_or_binary_units(void **state) {
    (void)state;
    static const struct row good[] = { { "0", 0 }, { "1", 1 }, { "64KiB", 65536 }, { "1MiB", 1 << 20 }, { "3GiB", INT64_C(3) << 30 } };
    for (size_t i = 0; i < COUNT(good); i++) {
        uint64_t n = 99;
        assert_true(conf_parse_size(str_of(good[i].text), &n));
        assert_int_equal(n, good[i].value);
    }
    static const char *const bad[] = { "", "KiB", "1K", "1kib", "1 KiB", "1.5MiB", "-1", "1KiBs", "0x10", "1TiB" };
    for (size_t i = 0; i < COUNT(bad); i++) assert_false(conf_parse_size(str_of(bad[i]), &(uint64_t){ 0 }));
}

static void rates_are_a_count_a_period(void **state) {
    (void)state;
    struct conf_rate r;
    assert_true(conf_parse_rate(STR("100/s"), &r));
    assert_int_equal(r.count, 100);
    assert_int_equal(r.per.ns, NS_PER_S);
    assert_true(conf_parse_rate(STR("0/h"), &r));
    assert_int_equal(r.per.ns, 3600 * NS_PER_S);
    static const char *const bad[] = { "", "/s", "1/", "1", "1/ms", "1/us", "1/S", "1 /s", "1/s/s", "-1/s", "1.5/s" };
    for (size_t i = 0; i < COUNT(bad); i++) assert_false(conf_parse_rate(str_of(bad[i]), &r));
}

static void percentages_have_two_decimals(void **state) {
    (void)state;
    static const struct row good[] = { { "0%", 0 }, { "20%", 2000 }, { "0.5%", 50 }, { "0.05%", 5 }, { "12.34%", 1234 }, { "200%", 20000 } };
    for (size_t i = 0; i < COUNT(good); i++) {
        uint32_t p;
        assert_true(conf_parse_percent(str_of(good[i].text), &p));
        assert_int_equal(p, good[i].value);
    }
    static const char *const bad[] = { "", "%", "20", "1.%", ".5%", "1.234%", "-1%", "1 %", "1%%" };
    for (size_t i = 0; i < COUNT(bad); i++) assert_false(conf_parse_percent(str_of(bad[i]), &(uint32_t){ 0 }));
}

static void integers_are_decimal(void **state) {
    (void)state;
    static const struct row good[] = { { "0", 0 }, { "-1", -1 }, { "9223372036854775807", INT64_MAX } };
    for (size_t i = 0; i < COUNT(good); i++) {
        int64_t n;
        assert_true(conf_parse_int(str_of(good[i].text), &n));
        assert_int_equal(n, good[i].value);
    }
    static const char *const bad[] = { "", "-", "+1", "01", "1_000", "0x1", "1.0", "1e3", "9223372036854775808", "--1" };
    for (size_t i = 0; i < COUNT(bad); i++) assert_false(conf_parse_int(str_of(bad[i]), &(int64_t){ 0 }));
}

/* Whatever is suggested must itself be taken. */
static void what_is_suggested_is_right(void **state) {
    (void)state;
    struct conf c;
    conf_init(&c);
    static const char *const texts[] = { "90", "1.5", "1.5h", "0.25m", "1d", "3 days", "1 hour 5 minutes", "1.001s", "5 SEC", "100msec", "7µs", "00", "0.5d" };
    for (size_t i = 0; i < COUNT(texts); i++) {
        const char *meant = conf_meant(&c, CONF_DURATION, str_of(texts[i]));
        assert_non_null(meant);
        struct str inner = { meant + 1, strlen(meant) - 2 };
        assert_true(conf_parse_duration(inner, &(span){ 0 }));
    }
    static const char *const none[] = { "", "soon", "1 fortnight", "-5", "1..5s", "s", "99999999999999999999999d" };
    for (size_t i = 0; i < COUNT(none); i++) assert_null(conf_meant(&c, CONF_DURATION, str_of(none[i])));
    conf_free(&c);
}

static const char *next(void *state, size_t i) {
    (void)state;
    static const char *const words[] = { "address", "max_connections", "max_pending", "max_requests", "tls", "http1", "http2", NULL };
    return words[i];
}
static void the_nearest_word_is_near(void **state) {
    (void)state;
    static const char *const pairs[][2] = {
        { "adress", "address" }, { "ADDRESS", "address" }, { "addresss", "address" }, { "max-pending", "max_pending" }, { "max_conections", "max_connections" },
        { "maxconnections", "max_connections" }, { "add", "address" }, { "tsl", "tls" }, { "tls", "tls" }, { "tl", NULL }, { "asl", NULL }, { "max", NULL }, { "http3", "http1" }, { "banana", NULL }, { "", NULL },
        { "tlss", "tls" },
    };
    for (size_t i = 0; i < COUNT(pairs); i++) {
        const char *near = conf_nearest(str_of(pairs[i][0]), next, NULL);
        if (pairs[i][1]) assert_non_null(near);
        if (near) assert_string_equal(near, pairs[i][1] ? pairs[i][1] : "nothing");
    }
    char text[100];
    memset(text, 'a', sizeof text);
    assert_null(conf_nearest((struct str){ text, sizeof text }, next, NULL));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(durations_are_those_of_gep_2257),
        cmocka_unit_test(too_long_a_number_is_far_away),
        cmocka_unit_test(a_printed_duration_is_read_back_as_itself),
        cmocka_unit_test(forever_is_printed_as_none_and_a_short_buffer_is_cut),
        cmocka_unit_test(sizes_are_bytes_or_binary_units),
        cmocka_unit_test(rates_are_a_count_a_period),
        cmocka_unit_test(percentages_have_two_decimals),
        cmocka_unit_test(integers_are_decimal),
        cmocka_unit_test(what_is_suggested_is_right),
        cmocka_unit_test(the_nearest_word_is_near),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
