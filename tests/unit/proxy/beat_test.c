// SPDX-License-Identifier: Apache-2.0
// There is a beat where the processor is scarce and much is under way; and it does not end itself by what it spares.
// clang-format off
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
// clang-format on
#include "proxy/beat.h"

#define MS NS_PER_MS
static struct beat b;
static int64_t now, ran;
static uint64_t done;
static int begin(void **state) {
    (void)state;
    b = (struct beat){ .since = { 1 } };
    beat_configure(&b, span_us(200));
    now = 1;
    ran = 5 * MS;
    done = 7;
    b.ran = span_ns(ran);
    b.done = done;
    return 0;
}
/* A window of 10 ms of which the thread ran so much, with so many requests under way, and completed in a second. */
static int64_t window(int percent, size_t live, uint64_t a_second) {
    now += 10 * MS;
    ran += MS / 10 * percent;
    done += a_second / 100;
    assert_false(beat_turned(&b, (instant){ now - 1 }, live));
    assert_true(beat_turned(&b, (instant){ now }, 0)); /* what was answered in the last turn of it counts */
    beat_judge(&b, (instant){ now }, span_ns(ran), done);
    return b.now.ns;
}
static void a_worker_with_time_to_spare_has_none(void **state) {
    (void)state;
    assert_false(window(49, 1000, 50000));
    assert_false(window(10, 1000, 50000));
}
static void a_busy_one_with_much_under_way_has_one(void **state) {
    (void)state;
    assert_true(window(51, 256, 50000));
}
static void what_it_spares_does_not_end_it(void **state) {
    (void)state;
    assert_true(window(90, 256, 50000));
    assert_true(window(26, 256, 70000));
    assert_false(window(24, 256, 70000));
    assert_false(window(45, 256, 70000)); /* once off, it begins as it began first */
    assert_true(window(55, 256, 70000));
}
static void few_requests_that_come_and_go_fast_have_none(void **state) {
    (void)state;
    assert_false(window(99, 8, 50000)); /* each lasts 160 µs: two beats would double that */
    assert_false(window(99, 29, 50000));
    assert_true(window(99, 30, 50000)); /* 600 µs: six of the shortest */
    assert_true(window(99, 8, 0));
}
static void it_is_a_share_of_what_a_request_lasts(void **state) {
    (void)state;
    assert_int_equal(window(99, 30, 50000), 100 * NS_PER_US);
    assert_int_equal(window(99, 45, 50000), 150 * NS_PER_US);
    assert_int_equal(window(99, 60, 50000), 200 * NS_PER_US);
    assert_int_equal(window(99, 600, 50000), 200 * NS_PER_US); /* and never longer than is configured */
    assert_int_equal(window(99, 1, 0), 200 * NS_PER_US);
}
static void another_configuration_holds_at_once(void **state) {
    (void)state;
    assert_int_equal(window(99, 45, 50000), 150 * NS_PER_US);
    beat_configure(&b, span_ns(0));
    assert_int_equal(b.now.ns, 0);
    beat_configure(&b, span_us(100));
    assert_int_equal(b.now.ns, 100 * NS_PER_US);
    beat_configure(&b, span_ms(1));
    assert_int_equal(b.now.ns, 0); /* 500 µs, the shortest of those, are more than its requests bear */
}
/* Requests of 390 µs that once lasted longer, each of which waits for two beats now. */
static void it_does_not_hold_itself_up(void **state) {
    (void)state;
    int64_t beat = window(99, 600, 50000);
    for (int i = 0; i < 10 && beat; i++) {
        int64_t lasts = 390 * NS_PER_US + 2 * beat;
        beat = window(99, 1000, (uint64_t)(1000 * NS_PER_S / lasts));
    }
    assert_int_equal(beat, 0);
}
static void an_idle_hour_ends_it(void **state) {
    (void)state;
    assert_true(window(90, 256, 50000));
    now += 3600 * NS_PER_S;
    assert_true(beat_turned(&b, (instant){ now }, 256));
    beat_judge(&b, (instant){ now }, span_ns(ran + 10 * MS), done);
    assert_int_equal(b.now.ns, 0);
}
static void within_a_window_nothing_is_due(void **state) {
    (void)state;
    assert_false(beat_turned(&b, (instant){ 10 * MS }, 0));
    assert_true(beat_turned(&b, (instant){ 10 * MS + 1 }, 0));
    beat_configure(&b, span_ns(0));
    assert_false(beat_turned(&b, (instant){ 10 * MS + 1 }, 0));
}

#define TEST(name) cmocka_unit_test_setup(name, begin)
int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(a_worker_with_time_to_spare_has_none), TEST(a_busy_one_with_much_under_way_has_one), TEST(what_it_spares_does_not_end_it),
        TEST(few_requests_that_come_and_go_fast_have_none), TEST(it_is_a_share_of_what_a_request_lasts), TEST(another_configuration_holds_at_once),
        TEST(it_does_not_hold_itself_up),
        TEST(an_idle_hour_ends_it), TEST(within_a_window_nothing_is_due),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
