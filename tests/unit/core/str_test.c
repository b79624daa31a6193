// SPDX-License-Identifier: Apache-2.0
// Slices: what a peer sends in lists and numbers, read exactly.
#include "core/str.h"
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#define assert_str(s, z) assert_true(str_eq((s), STR(z)))

static void trim_takes_blanks_and_tabs_and_nothing_else(void **state) {
    (void)state;
    assert_str(str_trim(STR(" \t a b\t ")), "a b");
    assert_str(str_trim(STR("\r\na\v")), "\r\na\v");
    assert_str(str_trim(STR(" \t ")), "");
    assert_str(str_trim((struct str){ 0 }), "");
}

static void split_gives_each_element_once_empty_ones_too(void **state) {
    (void)state;
    struct str rest = STR("a , ,\tb\t,"), e;
    const char *const want[] = { "a", "", "b", "" };
    for (size_t i = 0; i < 4; i++) {
        assert_true(str_split(&rest, ',', &e));
        assert_true(str_eq(e, str_of(want[i])));
    }
    assert_false(str_split(&rest, ',', &e));
    assert_false(str_split(&rest, ',', &e));
}

static void split_of_nothing_is_nothing_and_of_an_empty_text_one_empty_element(void **state) {
    (void)state;
    struct str none = { 0 }, empty = STR(""), e;
    assert_false(str_split(&none, ',', &e));
    assert_true(str_split(&empty, ',', &e));
    assert_str(e, "");
    assert_false(str_split(&empty, ',', &e));
}

static void split_does_not_read_past_the_slice(void **state) {
    (void)state;
    char *p = malloc(3);
    memcpy(p, "a;b", 3);
    struct str rest = { p, 3 }, e;
    assert_true(str_split(&rest, ';', &e) && str_split(&rest, ';', &e));
    assert_str(e, "b");
    assert_false(str_split(&rest, ';', &e));
    free(p);
}

static void names_are_alike_that_differ_in_dashes_and_underscores_alone(void **state) {
    (void)state;
    assert_true(str_is_alike(STR("x-a_b-c"), STR("x_a-b-c")));
    assert_true(str_is_alike(STR("x-a"), STR("x-a")));
    assert_true(str_is_alike(STR(""), (struct str){ 0 }));
    assert_false(str_is_alike(STR("x_a"), STR("x-a_")));
    assert_false(str_is_alike(STR("x_a"), STR("x-b")));
    assert_false(str_is_alike(STR("x.a"), STR("x-a")));
}

static void a_list_has_a_token_whole_and_in_any_case(void **state) {
    (void)state;
    assert_true(str_list_has(STR("keep-alive, Upgrade"), STR("upgrade")));
    assert_true(str_list_has(STR(",,  close\t"), STR("close")));
    assert_false(str_list_has(STR("closed, xclose, clo se"), STR("close")));
    assert_false(str_list_has(STR("a,,b"), STR("")));
    assert_false(str_list_has((struct str){ 0 }, STR("close")));
}

static void a_number_is_digits_only_and_saturates(void **state) {
    (void)state;
    uint64_t v = 7;
    const char *const bad[] = { "", " 1", "1 ", "+1", "-1", "0x1", "1.0", "1_0", "\xd9\xa1" };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) assert_false(str_to_u64(str_of(bad[i]), &v));
    assert_false(str_to_u64((struct str){ 0 }, &v));
    assert_false(str_to_u64((struct str){ "1\0002", 3 }, &v));
    assert_true(v == 7);
    assert_true(str_to_u64(STR("0"), &v) && v == 0);
    assert_true(str_to_u64(STR("0000000000000000000000000000042"), &v) && v == 42);
    assert_true(str_to_u64(STR("18446744073709551615"), &v) && v == UINT64_MAX);
    assert_true(str_to_u64(STR("18446744073709551614"), &v) && v == UINT64_MAX - 1);
    assert_true(str_to_u64(STR("18446744073709551616"), &v) && v == UINT64_MAX);
    assert_true(str_to_u64(STR("99999999999999999999999999990"), &v) && v == UINT64_MAX);
    assert_false(str_to_u64(STR("99999999999999999999999999990x"), &v));
}

static void the_name_hash_tells_lengths_and_ends_apart_and_not_case(void **state) {
    (void)state;
    static const char *const names[] = { "", "a", "b", "ab", "ba", "te", "via", "vi", "host", "hots", "date", "accept", "accept-ch", "x-a-value",
                                         "x-b-value", "grpc-status", "grpc-timeout", "x-request-timeout", "x-request-timeouts", "eight-by", "nine-byte" };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        for (size_t k = 0; k < i; k++) assert_int_not_equal(name_hash(str_of(names[i])), name_hash(str_of(names[k])));
    assert_int_equal(name_hash(STR("FooBAR")), name_hash(STR("foobar")));
    assert_int_equal(name_hash(STR("X-Request-TIMEOUT")), name_hash(STR("x-request-timeout")));
    assert_int_equal(name_hash((struct str){ 0 }), name_hash(STR("")));
}
static void the_name_hash_fills_a_table_evenly(void **state) {
    (void)state;
    unsigned slots[64] = { 0 }, most = 0;
    for (int i = 0; i < 6400; i++) {
        char name[32];
        snprintf(name, sizeof name, "x-field-%d", i);
        unsigned *slot = &slots[name_hash(str_of(name)) % 64];
        if (++*slot > most) most = *slot;
    }
    assert_true(most < 160); /* 100 on average; six standard deviations more */
}

static void distance_counts_edits_of_short_words(void **state) {
    (void)state;
    assert_int_equal(str_distance(STR("deadline"), STR("deadline")), 0);
    assert_int_equal(str_distance(STR("deadlin"), STR("deadline")), 1);
    assert_int_equal(str_distance(STR("kitten"), STR("sitting")), 3);
    assert_int_equal(str_distance(STR("flaw"), STR("lawn")), 2);
    assert_int_equal(str_distance((struct str){ 0 }, STR("abc")), 3);
    assert_int_equal(str_distance(STR("abc"), (struct str){ 0 }), 3);
    char longest[65];
    memset(longest, 'a', sizeof longest);
    assert_int_equal(str_distance((struct str){ longest, 64 }, STR("")), 64);
    assert_int_equal(str_distance((struct str){ longest, 65 }, STR("a")), UINT_MAX);
    assert_int_equal(str_distance(STR("a"), (struct str){ longest, 65 }), UINT_MAX);
}

static void the_small_ones_hold_for_null_and_for_the_ends(void **state) {
    (void)state;
    struct str none = { 0 };
    assert_true(str_is_empty(none) && str_eq(none, STR("")) && str_eq_nocase(none, str_of(NULL)));
    assert_true(str_starts(STR("abc"), none) && str_starts(STR("abc"), STR("abc")) && !str_starts(STR("ab"), STR("abc")));
    assert_int_equal(str_index(none, 'a'), 0);
    assert_int_equal(str_index(STR("ab"), 'b'), 1);
    assert_int_equal(str_index(STR("ab"), 'c'), 2);
    assert_str(str_from(STR("abc"), 3), "");
    assert_str(str_first(STR("abc"), 2), "ab");
    assert_true(str_eq_nocase(STR("GrPc"), STR("gRpC")) && !str_eq(STR("a"), STR("A")) && !str_eq_nocase(STR("a"), STR("ab")));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(trim_takes_blanks_and_tabs_and_nothing_else),
        cmocka_unit_test(split_gives_each_element_once_empty_ones_too),
        cmocka_unit_test(split_of_nothing_is_nothing_and_of_an_empty_text_one_empty_element),
        cmocka_unit_test(split_does_not_read_past_the_slice),
        cmocka_unit_test(names_are_alike_that_differ_in_dashes_and_underscores_alone),
        cmocka_unit_test(a_list_has_a_token_whole_and_in_any_case),
        cmocka_unit_test(a_number_is_digits_only_and_saturates),
        cmocka_unit_test(the_name_hash_tells_lengths_and_ends_apart_and_not_case),
        cmocka_unit_test(the_name_hash_fills_a_table_evenly),
        cmocka_unit_test(distance_counts_edits_of_short_words),
        cmocka_unit_test(the_small_ones_hold_for_null_and_for_the_ends),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
