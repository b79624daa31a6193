// SPDX-License-Identifier: Apache-2.0
// What a route's answers take: a percentile of the last minute, to a quarter of an octave and never too much.
#include "policies/latency.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

static struct latency l;
static int64_t now; /* ms */

static int begin(void **state) {
    (void)state;
    memset(&l, 0, sizeof l);
    now = 1000000;
    return 0;
}
static instant at(void) { return (instant){ now * NS_PER_MS }; }
static void took(int64_t ns, unsigned n) {
    while (n--) latency_note(&l, span_ns(ns), at());
}
static int64_t p(unsigned percent) {
    now += 100; /* an answer holds for so long */
    return latency_percentile(&l, percent, at()).ns;
}
static void assert_about(int64_t is, int64_t ns) {
    assert_true(is <= ns);
    assert_true(is >= ns - ns / 5);
}

static void it_is_near_and_never_more_than_what_was_measured(void **state) {
    (void)state;
    for (int64_t ns = 70 * NS_PER_US; ns < 30 * NS_PER_S; ns += ns / 7) {
        memset(&l, 0, sizeof l);
        took(ns, 30);
        assert_about(p(50), ns);
        assert_about(p(99), ns);
    }
}
static void half_of_the_answers_take_no_less_than_p50(void **state) {
    (void)state;
    took(10 * NS_PER_MS, 49);
    took(100 * NS_PER_MS, 51);
    assert_about(p(49), 10 * NS_PER_MS);
    assert_about(p(50), 100 * NS_PER_MS);
    assert_about(p(99), 100 * NS_PER_MS);
}
static void what_is_beyond_the_scale_is_at_its_ends(void **state) {
    (void)state;
    took(-5, 30);
    took(1, 30);
    assert_int_equal(p(50), 0); /* nobody is shed for that */
    took(INT64_MAX - 1, 1000);
    assert_true(p(90) > 20 * NS_PER_S);
}
static void few_answers_say_nothing(void **state) {
    (void)state;
    took(NS_PER_MS, LATENCY_SAMPLES - 1);
    assert_int_equal(p(50), 0);
    took(NS_PER_MS, 1);
    assert_about(p(50), NS_PER_MS);
}
static void what_is_older_than_a_minute_is_forgotten(void **state) {
    (void)state;
    took(500 * NS_PER_MS, 100);
    now += 29000;
    assert_about(p(50), 500 * NS_PER_MS);
    now += 2000;
    took(NS_PER_MS, 50); /* the next generation */
    assert_about(p(50), 500 * NS_PER_MS);
    now += 31000;
    took(NS_PER_MS, 1);
    assert_about(p(50), NS_PER_MS);
    now += 3600 * 1000;
    assert_int_equal(p(50), 0);
}

#define T(f) cmocka_unit_test_setup(f, begin)
int main(void) {
    const struct CMUnitTest tests[] = {
        T(it_is_near_and_never_more_than_what_was_measured), T(half_of_the_answers_take_no_less_than_p50), T(what_is_beyond_the_scale_is_at_its_ends),
        T(few_answers_say_nothing), T(what_is_older_than_a_minute_is_forgotten),
    };
    return cmocka_run_group_tests_name("latency", tests, NULL, NULL);
}
