// SPDX-License-Identifier: Apache-2.0
// Arenas: pieces never overlap, blocks come back, and a warm pool asks malloc for nothing.
#include "core/arena.h"
#include <setjmp.h>
#include <stdalign.h>
#include <stdarg.h>
#include <stdlib.h>
#include <cmocka.h>
#if defined(__SANITIZE_ADDRESS__)
#define WITH_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define WITH_ASAN 1
#endif
#endif
#ifdef WITH_ASAN
#include <sanitizer/asan_interface.h>
#endif

static struct arena_pool pool;

static int setup(void **state) {
    (void)state;
    arena_pool_init(&pool, 4);
    return 0;
}
static int teardown(void **state) {
    (void)state;
    assert_int_equal(pool.out, 0);
    arena_pool_clear(&pool);
    return 0;
}

static void an_arena_takes_no_block_before_the_first_byte(void **state) {
    (void)state;
    struct arena a;
    arena_init(&a, &pool);
    assert_int_equal(pool.out, 0);
    arena_clear(&a);
    arena_alloc(&a, 1);
    assert_int_equal(pool.out, ARENA_BLOCK);
    arena_clear(&a);
}

static void pieces_are_aligned_for_any_type_and_text_is_not_padded(void **state) {
    (void)state;
    struct arena a;
    arena_init(&a, NULL);
    for (size_t n = 0; n < 40; n++) {
        arena_bytes(&a, n);
        assert_int_equal((uintptr_t)arena_alloc(&a, n) % alignof(max_align_t), 0);
    }
    size_t before = a.used;
    arena_bytes(&a, 3);
    assert_int_equal(a.used, before + 3);
    arena_clear(&a);
    assert_int_equal(a.used, 0);
}

/* Every piece is filled with its own number; whoever overlaps writes over another's. */
static void pieces_never_overlap_whatever_their_sizes(void **state) {
    (void)state;
    enum { N = 3000 };
    static unsigned char *p[N];
    static size_t size[N];
    struct arena a;
    arena_init(&a, &pool);
    unsigned r = 1;
    size_t sum = 0;
    for (size_t i = 0; i < N; i++) {
        r = r * 1103515245u + 12345u;
        size[i] = (r >> 8) % ((r >> 28) == 0 ? 3 * ARENA_BLOCK : 200);
        p[i] = i % 2 ? arena_alloc(&a, size[i]) : (unsigned char *)arena_bytes(&a, size[i]);
        assert_non_null(p[i]);
        memset(p[i], (int)(i % 251), size[i]);
        sum += size[i];
    }
    assert_int_equal(a.used, sum);
    for (size_t i = 0; i < N; i++)
        for (size_t j = 0; j < size[i]; j++) assert_int_equal(p[i][j], i % 251);
    arena_clear(&a);
}

static void sizes_about_that_of_a_block_all_fit(void **state) {
    (void)state;
    for (size_t n = ARENA_BLOCK - 64; n <= ARENA_BLOCK + 64; n++) {
        struct arena a;
        arena_init(&a, &pool);
        arena_alloc(&a, 1);
        memset(arena_alloc(&a, n), 1, n);
        memset(arena_bytes(&a, 5), 2, 5);
        arena_clear(&a);
    }
}

static void a_big_piece_does_not_waste_the_rest_of_the_current_block(void **state) {
    (void)state;
    struct arena a;
    arena_init(&a, &pool);
    arena_alloc(&a, 10);
    size_t one = pool.out;
    memset(arena_alloc(&a, 100000), 1, 100000);
    size_t with_big = pool.out;
    assert_true(with_big >= one + 100000);
    arena_alloc(&a, 1000);
    assert_int_equal(pool.out, with_big);
    arena_clear(&a);
    assert_int_equal(pool.out, 0);
    assert_int_equal(pool.nfree, 1); /* the big one went back to malloc */
}

static void a_big_piece_may_be_the_first(void **state) {
    (void)state;
    struct arena a;
    arena_init(&a, &pool);
    memset(arena_alloc(&a, 2 * ARENA_BLOCK), 1, 2 * ARENA_BLOCK);
    memset(arena_alloc(&a, 10), 2, 10);
    arena_clear(&a);
}

static void a_pieceless_request_gets_an_address_all_the_same(void **state) {
    (void)state;
    struct arena a;
    arena_init(&a, &pool);
    assert_non_null(arena_alloc(&a, 0));
    assert_non_null(arena_bytes(&a, 0));
    assert_non_null(arena_zalloc(&a, 0));
    assert_int_equal(arena_copy(&a, (struct str){ 0 }).n, 0);
    arena_clear(&a);
}

static void a_warm_pool_gives_the_same_block_again(void **state) {
    (void)state;
    struct arena a;
    arena_init(&a, &pool);
    void *first = arena_alloc(&a, 100);
    arena_clear(&a);
    assert_int_equal(pool.nfree, 1);
    assert_ptr_equal(arena_alloc(&a, 100), first);
    assert_int_equal(pool.nfree, 0);
    arena_clear(&a);
}

static void the_pool_keeps_no_more_than_it_was_told(void **state) {
    (void)state;
    struct arena a;
    arena_init(&a, &pool);
    for (int i = 0; i < 10; i++) arena_alloc(&a, ARENA_BLOCK / 2 + 100);
    assert_int_equal(pool.out, 10 * ARENA_BLOCK);
    arena_clear(&a);
    assert_int_equal(pool.out, 0);
    assert_int_equal(pool.nfree, 4);
}

static void zalloc_is_zero_also_in_a_used_block(void **state) {
    (void)state;
    struct arena a;
    arena_init(&a, &pool);
    memset(arena_alloc(&a, 4000), 0xff, 4000);
    arena_clear(&a);
    unsigned char *p = arena_zalloc(&a, 4000);
    for (size_t i = 0; i < 4000; i++) assert_int_equal(p[i], 0);
    struct arena_pool *z = ARENA_NEW(&a, struct arena_pool);
    assert_null(z->free);
    arena_clear(&a);
}

static void text_is_copied_and_printed_at_any_length(void **state) {
    (void)state;
    struct arena a;
    arena_init(&a, &pool);
    char text[] = "abc";
    struct str copy = arena_copy(&a, (struct str){ text, 3 });
    text[0] = 'x';
    assert_true(str_eq(copy, STR("abc")));
    assert_true(str_eq(arena_printf(&a, "%s-%d", "n", 42), STR("n-42")));
    assert_int_equal(arena_printf(&a, "%s", "").n, 0);
    for (int n = 250; n <= 260; n++) {
        struct str s = arena_printf(&a, "%*d", n, 7);
        assert_int_equal(s.n, n);
        assert_true(s.p[0] == ' ' && s.p[n - 1] == '7');
    }
    assert_int_equal(arena_printf(&a, "%*d", 20000, 7).n, 20000);
    arena_clear(&a);
}

static void memory_of_the_house_never_fails_softly(void **state) {
    (void)state;
    unsigned char *p = mem_zalloc(3);
    assert_true(p[0] == 0 && p[2] == 0);
    p = mem_realloc(p, 1000);
    p[999] = 1;
    free(p);
    p = mem_alloc(0);
    assert_non_null(p);
    p = mem_realloc(p, 0);
    assert_non_null(p);
    free(p);
    p = mem_zalloc(0);
    assert_non_null(p);
    free(p);
}

static void what_was_not_handed_out_is_poisoned(void **state) {
    (void)state;
#ifdef WITH_ASAN
    struct arena a;
    arena_init(&a, &pool);
    char *first = arena_bytes(&a, 13), *second = arena_bytes(&a, 5);
    assert_null(__asan_region_is_poisoned(first, 13));
    assert_ptr_equal(__asan_region_is_poisoned(first, 14), first + 13);
    assert_null(__asan_region_is_poisoned(second, 5));
    assert_ptr_equal(__asan_region_is_poisoned(second, 6), second + 5);
    arena_clear(&a);
    assert_int_equal(__asan_address_is_poisoned(first), 1);
#else
    skip();
#endif
}

int main(void) {
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(an_arena_takes_no_block_before_the_first_byte),
        T(pieces_are_aligned_for_any_type_and_text_is_not_padded),
        T(pieces_never_overlap_whatever_their_sizes),
        T(sizes_about_that_of_a_block_all_fit),
        T(a_big_piece_does_not_waste_the_rest_of_the_current_block),
        T(a_big_piece_may_be_the_first),
        T(a_pieceless_request_gets_an_address_all_the_same),
        T(a_warm_pool_gives_the_same_block_again),
        T(the_pool_keeps_no_more_than_it_was_told),
        T(zalloc_is_zero_also_in_a_used_block),
        T(text_is_copied_and_printed_at_any_length),
        T(memory_of_the_house_never_fails_softly),
        T(what_was_not_handed_out_is_poisoned),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
