// SPDX-License-Identifier: Apache-2.0
// Time never overflows into the past: what is too far is far (semantics 2.5).
#include "core/instant.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#define NS(n) ((instant){ (n) })

static void arithmetic_saturates_at_both_ends(void **state) {
    (void)state;
    assert_true(i64_add_sat(INT64_MAX, 1) == INT64_MAX && i64_add_sat(INT64_MIN, -1) == INT64_MIN && i64_add_sat(-3, 5) == 2);
    assert_true(i64_mul_sat(INT64_MAX, 2) == INT64_MAX && i64_mul_sat(INT64_MAX, -2) == INT64_MIN);
    assert_true(i64_mul_sat(INT64_MIN, -1) == INT64_MAX && i64_mul_sat(-4, 5) == -20);
}

static void the_largest_grpc_timeout_is_far_away_and_not_in_the_past(void **state) {
    (void)state;
    span huge = span_s(i64_mul_sat(99999999, 3600)); /* 99999999H */
    assert_true(span_is_forever(huge));
    assert_true(instant_is_never(instant_add(NS(NS_PER_S), huge)));
}

static void units_are_what_they_say(void **state) {
    (void)state;
    assert_true(span_us(3).ns == 3000 && span_ms(3).ns == 3000000 && span_s(3).ns == 3 * NS_PER_S && span_ns(3).ns == 3);
    assert_true(span_s(INT64_MAX).ns == INT64_MAX && span_ms(INT64_MIN).ns == INT64_MIN);
}

static void never_and_forever_absorb(void **state) {
    (void)state;
    assert_true(instant_is_never(instant_add(INSTANT_NEVER, span_ns(-5))));
    assert_true(instant_is_never(instant_add(NS(1), SPAN_FOREVER)));
    assert_true(instant_is_never(instant_back(INSTANT_NEVER, span_s(1))));
    assert_true(span_is_forever(instant_until(NS(5), INSTANT_NEVER)));
}

static void what_is_left_of_a_deadline_that_passed_is_negative(void **state) {
    (void)state;
    assert_true(instant_until(NS(10), NS(7)).ns == -3 && instant_until(NS(7), NS(10)).ns == 3);
    assert_false(span_is_positive(instant_until(NS(7), NS(7))));
    assert_true(span_is_positive(instant_until(NS(6), NS(7))));
    assert_true(instant_until(NS(INT64_MIN), NS(5)).ns == INT64_MAX);
}

static void back_and_differences_saturate(void **state) {
    (void)state;
    assert_true(instant_back(NS(10), span_ns(3)).ns == 7);
    assert_true(instant_back(NS(-10), span_ns(INT64_MAX)).ns == INT64_MIN);
    assert_true(instant_back(NS(10), span_ns(INT64_MIN)).ns == INT64_MAX);
    assert_true(span_sub(span_ns(5), span_ns(7)).ns == -2 && span_sub(span_ns(5), span_ns(INT64_MIN)).ns == INT64_MAX);
    assert_true(span_add(span_ns(INT64_MAX), span_ns(7)).ns == INT64_MAX);
}

static void the_earlier_and_the_shorter(void **state) {
    (void)state;
    assert_true(instant_min(NS(3), INSTANT_NEVER).ns == 3 && instant_min(NS(3), NS(2)).ns == 2);
    assert_true(instant_before(NS(2), NS(3)) && !instant_before(NS(3), NS(3)));
    assert_true(span_min(span_ns(-1), SPAN_FOREVER).ns == -1 && span_max(span_ns(-1), span_ns(4)).ns == 4);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(arithmetic_saturates_at_both_ends),
        cmocka_unit_test(the_largest_grpc_timeout_is_far_away_and_not_in_the_past),
        cmocka_unit_test(units_are_what_they_say),
        cmocka_unit_test(never_and_forever_absorb),
        cmocka_unit_test(what_is_left_of_a_deadline_that_passed_is_negative),
        cmocka_unit_test(back_and_differences_saturate),
        cmocka_unit_test(the_earlier_and_the_shorter),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
