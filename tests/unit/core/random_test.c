// SPDX-License-Identifier: Apache-2.0
// Random numbers: the same for the same state, even bits, and never an id of zeros.
#include "core/random.h"
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <cmocka.h>

static void a_state_says_all_that_follows(void **state) {
    (void)state;
    uint64_t a = 1, b = 1, c = 2;
    unsigned same = 0;
    for (int i = 0; i < 100; i++) {
        uint64_t v = random_next(&a);
        assert_true(v == random_next(&b));
        same += v == random_next(&c);
    }
    assert_int_equal(same, 0);
}
static void bits_are_even(void **state) {
    (void)state;
    uint64_t r = 0;
    unsigned ones[64] = { 0 };
    for (int i = 0; i < 10000; i++) {
        uint64_t v = random_next(&r);
        for (unsigned k = 0; k < 64; k++) ones[k] += (unsigned)(v >> k & 1);
    }
    for (unsigned k = 0; k < 64; k++) assert_in_range(ones[k], 4700, 5300);
}
static void hexadecimal_digits_of_any_number_and_not_all_zero(void **state) {
    (void)state;
    uint64_t r = 0;
    char text[66] = { 0 };
    for (size_t n = 1; n <= 64; n++) {
        for (int i = 0; i < 100; i++) {
            memset(text, '!', sizeof text - 1);
            random_hex(&r, text, n);
            assert_int_equal(strspn(text, "0123456789abcdef"), n);
            assert_true(strspn(text, "0") < n);
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_state_says_all_that_follows),
        cmocka_unit_test(bits_are_even),
        cmocka_unit_test(hexadecimal_digits_of_any_number_and_not_all_zero),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
