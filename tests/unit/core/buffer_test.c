// SPDX-License-Identifier: Apache-2.0
// Buffers: what goes in comes out, in order; the limit is soft; an empty one holds no memory.
#include "core/buffer.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <cmocka.h>

static void a_new_buffer_is_empty_and_full_only_with_no_limit_at_all(void **state) {
    (void)state;
    struct buffer b, none = { 0 };
    buffer_init(&b, 10);
    assert_true(buffer_is_empty(&b) && !buffer_is_full(&b));
    assert_int_equal(buffer_size(&b), 0);
    assert_null(buffer_data(&b));
    assert_true(buffer_is_full(&none));
    buffer_free(&b);
    buffer_free(&b);
}

static void the_limit_asks_for_no_more_but_refuses_nothing(void **state) {
    (void)state;
    struct buffer b;
    buffer_init(&b, 10);
    buffer_append(&b, "123456789", 9);
    assert_false(buffer_is_full(&b));
    buffer_append(&b, "abcdef", 6);
    assert_true(buffer_is_full(&b));
    assert_memory_equal(buffer_data(&b), "123456789abcdef", 15);
    buffer_take(&b, 6);
    assert_false(buffer_is_full(&b));
    buffer_free(&b);
    assert_int_equal(b.limit, 10);
}

static void memory_goes_when_the_last_byte_is_taken(void **state) {
    (void)state;
    struct buffer b;
    buffer_init(&b, 10);
    buffer_append(&b, "abc", 3);
    buffer_append(&b, NULL, 0);
    buffer_take(&b, 2);
    assert_memory_equal(buffer_data(&b), "c", 1);
    assert_non_null(b.p);
    buffer_take(&b, 1);
    assert_null(b.p);
    assert_int_equal(b.cap, 0);
    buffer_take(&b, 0);
    buffer_free(&b);
}

static void reserved_room_counts_only_what_was_committed(void **state) {
    (void)state;
    struct buffer b;
    buffer_init(&b, 1 << 20);
    memset(buffer_reserve(&b, 5000), 'x', 5000);
    assert_true(buffer_is_empty(&b));
    buffer_commit(&b, 2);
    memset(buffer_reserve(&b, 70000), 'y', 70000);
    buffer_commit(&b, 70000);
    assert_int_equal(buffer_size(&b), 70002);
    assert_memory_equal(buffer_data(&b), "xxyy", 4);
    buffer_free(&b);
}

static void a_buffer_that_is_read_as_fast_as_it_fills_does_not_grow(void **state) {
    (void)state;
    struct buffer b;
    buffer_init(&b, 1000);
    char block[100] = { 0 };
    buffer_append(&b, block, 100);
    for (int i = 0; i < 10000; i++) {
        buffer_append(&b, block, 100);
        buffer_take(&b, 100);
    }
    assert_true(b.cap <= 2048);
    buffer_free(&b);
}

static void bytes_come_out_as_they_went_in_at_any_rhythm(void **state) {
    (void)state;
    struct buffer b;
    buffer_init(&b, 1);
    uint8_t in = 0, out = 0, piece[700];
    unsigned r = 7;
    for (int i = 0; i < 20000; i++) {
        r = r * 1103515245u + 12345u;
        size_t n = (r >> 9) % sizeof piece;
        if (r >> 31) {
            for (size_t j = 0; j < n; j++) piece[j] = in++;
            buffer_append(&b, piece, n);
            continue;
        }
        if (n > buffer_size(&b)) n = buffer_size(&b);
        for (size_t j = 0; j < n; j++) assert_int_equal(buffer_data(&b)[j], out++);
        buffer_take(&b, n);
    }
    buffer_free(&b);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_new_buffer_is_empty_and_full_only_with_no_limit_at_all),
        cmocka_unit_test(the_limit_asks_for_no_more_but_refuses_nothing),
        cmocka_unit_test(memory_goes_when_the_last_byte_is_taken),
        cmocka_unit_test(reserved_room_counts_only_what_was_committed),
        cmocka_unit_test(a_buffer_that_is_read_as_fast_as_it_fills_does_not_grow),
        cmocka_unit_test(bytes_come_out_as_they_went_in_at_any_rhythm),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
