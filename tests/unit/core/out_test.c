// SPDX-License-Identifier: Apache-2.0
// The gather list: what was put in is what a write would carry, in order, whatever grew or filled up on the way.
#include "core/arena.h"
#include "core/out.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <cmocka.h>

struct leg { int unused; };
static struct leg legs[200];
static struct out o;

static int setup(void **state) {
    (void)state;
    out_init(&o);
    out_begin(&o, OUT_LIMIT);
    return 0;
}
static int teardown(void **state) {
    (void)state;
    out_free(&o);
    return 0;
}

/* What writev would put on the wire. */
static struct str wire(void) {
    static char all[4 << 20];
    size_t n = 0;
    assert_true(o.niov <= OUT_IOV && o.nrefs <= OUT_IOV);
    for (unsigned i = 0; i < o.niov; i++) {
        assert_true(o.iov[i].iov_len > 0 && n + o.iov[i].iov_len <= sizeof all);
        memcpy(all + n, o.iov[i].iov_base, o.iov[i].iov_len);
        n += o.iov[i].iov_len;
    }
    assert_int_equal(n, o.bytes);
    return (struct str){ all, n };
}
static void copy(const char *z) { out_copy(&o, z, strlen(z)); }
static void ref(struct leg *g, const char *z) { out_ref(&o, g, str_of(z)); }

static void adjoining_copies_are_one_piece(void **state) {
    (void)state;
    copy("HTTP/1.1 200");
    copy(" ");
    copy("OK");
    assert_int_equal(o.niov, 1);
    assert_true(str_eq(wire(), STR("HTTP/1.1 200 OK")));
    assert_int_equal(o.nrefs, 0);
}

static char long_body[OUT_SHORT + 1];
static struct str long_one(void) {
    memset(long_body, 'b', sizeof long_body);
    return (struct str){ long_body, sizeof long_body };
}
static void a_long_body_is_referred_to_and_not_copied(void **state) {
    (void)state;
    copy("201\r\n");
    out_ref(&o, &legs[0], long_one());
    copy("\r\n");
    assert_int_equal(o.niov, 3);
    assert_ptr_equal(o.iov[1].iov_base, long_body);
    assert_int_equal(o.block_len, 7);
    assert_int_equal(wire().n, 5 + sizeof long_body + 2);
}
static void a_short_body_is_copied_behind_its_framing_and_its_leg_is_told_all_the_same(void **state) {
    (void)state;
    copy("5\r\n");
    ref(&legs[0], "hello");
    copy("\r\n");
    assert_int_equal(o.niov, 1);
    assert_int_equal(o.nrefs, 1);
    assert_int_equal(o.refs[0].n, 5);
    assert_true(str_eq(wire(), STR("5\r\nhello\r\n")));
    out_begin(&o, OUT_LIMIT);
    ref(&legs[0], "hello"); /* with no framing before it there is nothing to join */
    assert_int_equal(o.niov, 1);
    assert_int_equal(o.block_len, 0);
}
static void short_bodies_outgrow_the_block(void **state) {
    (void)state;
    size_t n = 0;
    copy("head");
    for (int i = 0; i < 100; i++, n += OUT_SHORT) out_ref(&o, &legs[0], str_first(long_one(), OUT_SHORT));
    assert_int_equal(o.niov, 1);
    assert_int_equal(o.refs[0].n, n);
    assert_int_equal(wire().n, 4 + n);
}

static void a_leg_is_told_once_for_what_follows_itself(void **state) {
    (void)state;
    ref(&legs[0], "aa");
    ref(&legs[0], "bbb");
    copy("|");
    ref(&legs[0], "c");
    ref(&legs[1], "dd");
    ref(&legs[0], "e");
    assert_int_equal(o.nrefs, 3);
    assert_ptr_equal(o.refs[0].leg, &legs[0]);
    assert_int_equal(o.refs[0].n, 6);
    assert_int_equal(o.refs[1].n, 2);
    assert_int_equal(o.refs[2].n, 1);
    assert_true(str_eq(wire(), STR("aabbb|cdde")));
}

static void nothing_makes_no_piece(void **state) {
    (void)state;
    out_copy(&o, NULL, 0);
    out_ref(&o, &legs[0], (struct str){ 0 });
    out_reserve(&o, 100);
    out_commit(&o, 0);
    assert_int_equal(o.niov + o.nrefs, 0);
    assert_int_equal(o.bytes, 0);
}

static void what_is_written_in_place_joins_the_copies(void **state) {
    (void)state;
    copy("a");
    uint8_t *p = out_reserve(&o, 10);
    memcpy(p, "bcdefghijk", 10);
    out_commit(&o, 3);
    copy("z");
    assert_int_equal(o.niov, 1);
    assert_true(str_eq(wire(), STR("abcdz")));
}

static void pieces_stay_good_when_the_block_grows(void **state) {
    (void)state;
    size_t cap = o.block_cap;
    struct arena a;
    arena_init(&a, NULL);
    char *want = arena_bytes(&a, 4 << 20);
    size_t n = 0;
    for (int i = 0; i < 60; i++) {
        struct str framing = arena_printf(&a, "%*d", i * 400, i), body = arena_printf(&a, "<%d>", i);
        out_copy(&o, framing.p, framing.n);
        out_ref(&o, &legs[i], body);
        memcpy(want + n, framing.p, framing.n);
        memcpy(want + n + framing.n, body.p, body.n);
        n += framing.n + body.n;
    }
    assert_true(o.block_cap > cap);
    assert_true(str_eq(wire(), (struct str){ want, n }));
    arena_clear(&a);
}

static void a_reserve_larger_than_the_block_is_contiguous(void **state) {
    (void)state;
    copy("head");
    size_t n = 3 * o.block_cap;
    memset(out_reserve(&o, n), 'x', n);
    out_commit(&o, n);
    assert_int_equal(o.niov, 1);
    struct str w = wire();
    assert_int_equal(w.n, n + 4);
    assert_true(str_starts(w, STR("headxxx")) && w.p[n + 3] == 'x');
}

static void room_ends_by_bytes(void **state) {
    (void)state;
    out_begin(&o, 10);
    assert_int_equal(out_room(&o), 10);
    copy("123456");
    assert_int_equal(out_room(&o), 4);
    copy("123456");
    assert_int_equal(out_room(&o), 0);
    out_begin(&o, 0);
    assert_int_equal(out_room(&o), 0);
}

static void room_ends_by_pieces_before_the_list_is_full(void **state) {
    (void)state;
    int i = 0;
    while (out_room(&o) > 0) {
        copy("f");
        out_ref(&o, &legs[i++], long_one());
    }
    assert_true(o.niov <= OUT_IOV);
    assert_in_range(i, 60, 64);
    assert_int_equal(wire().n, (size_t)i * (1 + OUT_SHORT + 1));
}

/* Framing must always find a place: a GOAWAY behind a full list of bodies. */
static void a_copy_succeeds_though_the_list_is_full(void **state) {
    (void)state;
    for (unsigned i = 0; i < OUT_IOV; i++) out_ref(&o, &legs[i], STR("body"));
    assert_int_equal(out_room(&o), 0);
    copy("+goaway");
    copy("+more");
    assert_int_equal(o.niov, OUT_IOV);
    struct str w = wire();
    assert_int_equal(w.n, OUT_IOV * 4 + 12);
    assert_true(str_eq(str_from(w, w.n - 20), STR("bodybody+goaway+more")));
    assert_int_equal(o.nrefs, OUT_IOV);
}

static void a_large_last_body_moves_into_the_block_when_the_list_is_full(void **state) {
    (void)state;
    static char body[100000];
    memset(body, 'b', sizeof body);
    copy("first");
    for (unsigned i = 1; i < OUT_IOV; i++) out_ref(&o, &legs[i], (struct str){ body, i == OUT_IOV - 1 ? sizeof body : 1 });
    uint8_t *p = out_reserve(&o, 50000);
    memset(p, 'r', 50000);
    out_commit(&o, 50000);
    struct str w = wire();
    assert_int_equal(w.n, 5 + (OUT_IOV - 2) + sizeof body + 50000);
    assert_true(str_starts(w, STR("firstbbb")));
    for (size_t i = w.n - 50000; i < w.n; i++) assert_int_equal(w.p[i], 'r');
}

static void a_warm_list_is_used_again_without_memory(void **state) {
    (void)state;
    for (int round = 0; round < 3; round++) {
        uint8_t *block = o.block;
        out_begin(&o, OUT_LIMIT);
        for (int i = 0; i < 100; i++) copy("0123456789");
        assert_ptr_equal(o.block, block);
        assert_ptr_equal(o.iov[0].iov_base, block);
    }
}

static void a_block_that_once_grew_huge_is_given_back(void **state) {
    (void)state;
    size_t n = 4u << 20;
    memset(out_reserve(&o, n), 1, n);
    out_commit(&o, n);
    out_begin(&o, 100);
    assert_true(o.block_cap <= 2 * OUT_LIMIT);
    copy("ok");
    assert_true(str_eq(wire(), STR("ok")));
}

int main(void) {
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(adjoining_copies_are_one_piece),
        T(a_long_body_is_referred_to_and_not_copied),
        T(a_short_body_is_copied_behind_its_framing_and_its_leg_is_told_all_the_same),
        T(short_bodies_outgrow_the_block),
        T(a_leg_is_told_once_for_what_follows_itself),
        T(nothing_makes_no_piece),
        T(what_is_written_in_place_joins_the_copies),
        T(pieces_stay_good_when_the_block_grows),
        T(a_reserve_larger_than_the_block_is_contiguous),
        T(room_ends_by_bytes),
        T(room_ends_by_pieces_before_the_list_is_full),
        T(a_copy_succeeds_though_the_list_is_full),
        T(a_large_last_body_moves_into_the_block_when_the_list_is_full),
        T(a_warm_list_is_used_again_without_memory),
        T(a_block_that_once_grew_huge_is_given_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
