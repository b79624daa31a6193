// SPDX-License-Identifier: Apache-2.0
// What nghttp2 allocates, kept and given again: the sanitizers' own builds do without it, so it is built here once more, as the release has it. Each
// piece is malloc'ed by itself, so that a byte too many is seen all the same.
// clang-format off
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
// clang-format on
#define HTTP2_MEMORY_KEEPS
#define http2_memory kept_memory
#include "codecs/http2_memory.c" // NOLINT(bugprone-suspicious-include)

#define PIECES 4000u
struct held { unsigned char *p; size_t n; unsigned char with; };

static void fill(struct held *h, size_t from) {
    if (h->n > from) memset(h->p + from, h->with, h->n - from);
}
static void assert_untouched(const struct held *h, size_t n) {
    assert_int_equal((uintptr_t)h->p % _Alignof(max_align_t), 0);
    for (size_t i = 0; i < n; i++) assert_int_equal(h->p[i], h->with);
}

static void pieces_are_their_holders_alone_and_keep_what_is_in_them(void **state) {
    static struct held held[PIECES];
    nghttp2_mem *m = kept_memory();
    uint64_t chance = 7;
    (void)state;
    for (unsigned turn = 0; turn < 200000; turn++) {
        chance = chance * UINT64_C(6364136223846793005) + 1442695040888963407u;
        struct held *h = &held[(chance >> 33) % PIECES];
        size_t n = (chance >> 20) % 10 ? (chance >> 24) % 200 : (chance >> 24) % 4000;
        if (!h->p) {
            bool zeroed = chance >> 63;
            *h = (struct held){ zeroed ? m->calloc(n, 1, m->mem_user_data) : m->malloc(n, m->mem_user_data), n, 0 };
            if (zeroed) assert_untouched(h, n);
            h->with = (unsigned char)turn;
            fill(h, 0);
        } else if (chance >> 62 & 1) {
            size_t same = n < h->n ? n : h->n;
            h->p = m->realloc(h->p, n, m->mem_user_data);
            h->n = n;
            assert_untouched(h, same);
            fill(h, same);
        } else {
            assert_untouched(h, h->n);
            m->free(h->p, m->mem_user_data);
            h->p = NULL;
        }
    }
    for (size_t i = 0; i < PIECES; i++) m->free(held[i].p, m->mem_user_data);
}
static void no_more_are_kept_than_the_limit_and_no_large_ones(void **state) {
    static void *v[3 * KEPT];
    nghttp2_mem *m = kept_memory();
    (void)state;
    for (size_t n = 0; n < 3000; n += 500) {
        for (size_t i = 0; i < 3 * KEPT; i++) v[i] = m->malloc(n, NULL);
        for (size_t i = 0; i < 3 * KEPT; i++) m->free(v[i], NULL);
    }
    size_t kept = 0;
    for (size_t class = 0; class < CLASSES; class++) {
        size_t n = 0;
        for (const struct piece *p = pools[class].free; p; p = p->next) n++;
        assert_int_equal(n, pools[class].n);
        assert_true(n <= KEPT);
        kept += n * (class * GRAIN + sizeof(struct piece));
    }
    assert_true(kept <= 16 << 20);
    void *p = m->malloc(100, NULL);
    m->free(p, NULL);
    assert_ptr_equal(m->malloc(97, NULL), p); /* the last that was given back, still warm */
    m->free(p, NULL);
}
static void what_cannot_be_is_refused(void **state) {
    nghttp2_mem *m = kept_memory();
    (void)state;
    assert_null(m->calloc(SIZE_MAX / 2, 3, NULL));
    assert_null(m->malloc(SIZE_MAX, NULL));
    m->free(NULL, NULL);
    void *p = m->realloc(NULL, 10, NULL);
    assert_non_null(p);
    m->free(p, NULL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pieces_are_their_holders_alone_and_keep_what_is_in_them),
        cmocka_unit_test(no_more_are_kept_than_the_limit_and_no_large_ones),
        cmocka_unit_test(what_cannot_be_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
