// SPDX-License-Identifier: Apache-2.0
// Heads: fields by token and by name, edited without moving what came; and the grammar that all protocols share.
#include "core/head.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <cmocka.h>

#define assert_str(s, z) assert_true(str_eq((s), STR(z)))

static struct arena arena;
static struct head h;

static int setup(void **state) {
    (void)state;
    arena_init(&arena, NULL);
    head_init(&h, &arena, true);
    return 0;
}
static int teardown(void **state) {
    (void)state;
    arena_clear(&arena);
    return 0;
}
static struct field *add(const char *name, const char *value) { return head_add(&h, str_of(name), str_of(value)); }
static size_t present(const struct head *of) {
    size_t n = 0;
    for (size_t i = 0; i < of->nfields; i++) n += !field_is_removed(&of->fields[i]);
    return n;
}

/* ---- tokens ------------------------------------------------------------------------------------------------------------------------- */
static void every_known_name_has_its_token_and_back(void **state) {
    (void)state;
#define TOKEN(C, name)                                                          \
    assert_int_equal(token_of(STR(name), name_hash(STR(name))), TOKEN_##C);     \
    assert_str(token_name(TOKEN_##C), name);
#include "core/token.def"
#undef TOKEN
    assert_true(str_is_empty(token_name(TOKEN_NONE)));
}

static void a_name_that_only_resembles_a_known_one_has_no_token(void **state) {
    (void)state;
    const char *const names[] = { "", "hos", "hostt", "Host", "content_length", "grpc-timeout", "x" };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        assert_int_equal(token_of(str_of(names[i]), name_hash(str_of(names[i]))), TOKEN_NONE);
}

static void a_hash_that_collides_is_not_enough(void **state) {
    (void)state;
    assert_int_equal(token_of(STR("evil"), name_hash(STR("host"))), TOKEN_NONE);
    assert_int_equal(token_of(STR("nobody"), name_hash(STR("te")) + 1), TOKEN_NONE);
}

/* ---- fields ------------------------------------------------------------------------------------------------------------------------- */
static void a_new_head_is_empty_and_holds_no_memory(void **state) {
    (void)state;
    assert_int_equal(arena.used, 0);
    assert_true(h.request && h.keep_alive && h.nfields == 0);
    assert_null(head_find(&h, TOKEN_HOST));
    assert_null(head_find_name(&h, STR("host"), NULL));
    assert_int_equal(head_joined(&h, STR("host")).n, 0);
    head_remove(&h, STR("host"));
}

static void fields_keep_their_order_past_the_first_thirty_two(void **state) {
    (void)state;
    for (int i = 0; i < 200; i++) {
        struct str n = arena_printf(&arena, "x-%d", i);
        struct field *f = head_add(&h, n, n);
        assert_int_equal(f->hash, name_hash(n));
        assert_false(f->sensitive);
    }
    assert_int_equal(h.nfields, 200);
    for (int i = 0; i < 200; i++) assert_true(str_eq(h.fields[i].value, arena_printf(&arena, "x-%d", i)));
}

static void a_field_is_found_by_token_and_by_name(void **state) {
    (void)state;
    add("x-a", "1");
    add("via", "2");
    add("via", "3");
    assert_str(head_find(&h, TOKEN_VIA)->value, "2");
    assert_int_equal(head_find_name(&h, STR("x-a"), NULL)->token, TOKEN_NONE);
    assert_null(head_find(&h, TOKEN_HOST));
}

static void a_parser_that_knows_hash_and_token_says_so(void **state) {
    (void)state;
    struct str te = STR("te");
    struct field *f = head_add_hashed(&h, te, name_hash(te), TOKEN_TE, STR("trailers"));
    assert_ptr_equal(head_find(&h, TOKEN_TE), f);
    assert_ptr_equal(head_find_name(&h, te, NULL), f);
}

static void all_fields_of_a_name_are_walked_in_order(void **state) {
    (void)state;
    add("a", "1");
    add("b", "2");
    add("a", "3");
    add("a", "4");
    struct field *f = head_find_name(&h, STR("a"), NULL);
    assert_str(f->value, "1");
    f = head_find_name(&h, STR("a"), f);
    assert_str(f->value, "3");
    f = head_find_name(&h, STR("a"), f);
    assert_str(f->value, "4");
    assert_null(head_find_name(&h, STR("a"), f));
}

static void a_removed_field_is_found_by_nobody(void **state) {
    (void)state;
    add("via", "1");
    add("x-a", "2");
    add("via", "3");
    field_remove(head_find(&h, TOKEN_VIA));
    assert_str(head_find(&h, TOKEN_VIA)->value, "3");
    assert_str(head_joined(&h, STR("via")), "3");
    head_remove(&h, STR("via"));
    assert_null(head_find(&h, TOKEN_VIA));
    assert_int_equal(present(&h), 1);
    head_remove(&h, STR("via"));
}

static void a_name_is_removed_by_a_slice_of_the_field_itself(void **state) {
    (void)state;
    struct field *f = add("x-a", "1");
    add("x-a", "2");
    head_remove(&h, f->name);
    assert_int_equal(present(&h), 0);
}

static void joined_values_are_one_list_and_a_single_one_is_not_copied(void **state) {
    (void)state;
    struct field *only = add("accept", "a/b");
    assert_ptr_equal(head_joined(&h, STR("accept")).p, only->value.p);
    add("x", "no");
    add("accept", "");
    add("accept", "c");
    assert_str(head_joined(&h, STR("accept")), "a/b, , c");
}

static void joined_values_that_are_all_empty_are_still_a_list(void **state) {
    (void)state;
    head_add(&h, STR("a"), (struct str){ 0 });
    head_add(&h, STR("a"), (struct str){ 0 });
    assert_str(head_joined(&h, STR("a")), ", ");
}

static void set_leaves_one_in_the_place_of_the_first(void **state) {
    (void)state;
    add("x-a", "0");
    add("via", "1");
    add("x-b", "2");
    add("via", "3");
    add("via", "4");
    head_set(&h, STR("via"), STR("new"));
    assert_str(h.fields[1].value, "new");
    assert_int_equal(present(&h), 3);
    head_set(&h, STR("user-agent"), STR("x"));
    assert_int_equal(h.nfields, 6);
    assert_int_equal(h.fields[5].token, TOKEN_USER_AGENT);
    head_remove(&h, STR("via"));
    head_set(&h, STR("via"), STR("last"));
    assert_str(head_joined(&h, STR("via")), "last");
}

static void a_clone_is_edited_and_what_came_stays(void **state) {
    (void)state;
    struct arena other;
    arena_init(&other, NULL);
    for (int i = 0; i < 40; i++) add("x-a", "1");
    add("authorization", "secret")->sensitive = true;
    field_remove(&h.fields[3]);
    h.method = STR("GET");
    struct head *c = head_clone(&h, &other);
    assert_ptr_equal(c->arena, &other);
    assert_int_equal(c->nfields, 40);
    assert_int_equal(h.nfields, 41);
    assert_str(c->method, "GET");
    assert_true(head_find(c, TOKEN_AUTHORIZATION)->sensitive);
    assert_ptr_equal(head_find(c, TOKEN_AUTHORIZATION)->value.p, head_find(&h, TOKEN_AUTHORIZATION)->value.p);
    head_remove(c, STR("x-a"));
    for (int i = 0; i < 100; i++) head_add(c, STR("x-new"), STR("2"));
    assert_int_equal(present(&h), 40);
    assert_null(head_find_name(&h, STR("x-new"), NULL));
    arena_clear(&other);
}

static void an_empty_head_is_cloned_too(void **state) {
    (void)state;
    struct head *c = head_clone(&h, &arena);
    assert_int_equal(c->nfields, 0);
    head_add(c, STR("a"), STR("1"));
    assert_int_equal(c->nfields, 1);
}

/* ---- grammar ------------------------------------------------------------------------------------------------------------------------ */
/* RFC 9110 5.6.2, in its own words, byte by byte. */
static void tokens_are_exactly_those_of_the_rfc(void **state) {
    (void)state;
    for (int b = 0; b < 256; b++) {
        char c = (char)b;
        bool upper = b >= 'A' && b <= 'Z', alnum = upper || (b >= 'a' && b <= 'z') || (b >= '0' && b <= '9');
        bool tchar = alnum || (b && strchr("!#$%&'*+-.^_`|~", b));
        assert_int_equal(is_token((struct str){ &c, 1 }), tchar);
        assert_int_equal(is_lower_token((struct str){ &c, 1 }), tchar && !upper);
    }
    assert_true(is_token(STR("GET")) && is_lower_token(STR("x-a.b")));
    assert_false(is_token(STR("")) || is_lower_token((struct str){ 0 }));
    assert_false(is_token(STR("a b")) || is_token(STR("a:")) || is_lower_token(STR("x-A")));
}

static void a_value_has_no_control_but_the_tab(void **state) {
    (void)state;
    for (int b = 0; b < 256; b++) {
        char v[3] = { 'a', (char)b, 'b' };
        assert_int_equal(is_field_value((struct str){ v, 3 }), b == '\t' || (b >= 0x20 && b != 0x7f));
    }
    assert_true(is_field_value((struct str){ 0 }));
}

static void registered_statuses_have_a_reason_and_others_none(void **state) {
    (void)state;
    assert_string_equal(status_reason(200), "OK");
    assert_string_equal(status_reason(504), "Gateway Timeout");
    assert_string_equal(status_reason(413), "Content Too Large");
    assert_string_equal(status_reason(511), "Network Authentication Required");
    const uint16_t none[] = { 0, 99, 199, 299, 418, 499, 512, 599, 999, 65535 };
    for (size_t i = 0; i < sizeof none / sizeof *none; i++) assert_string_equal(status_reason(none[i]), "");
    unsigned count = 0;
    for (unsigned s = 0; s <= UINT16_MAX; s++)
        if (*status_reason((uint16_t)s)) count++, assert_true(s >= 100 && s < 600 && is_field_value(str_of(status_reason((uint16_t)s))));
    assert_int_equal(count, 61); /* IANA's registry, without (Unused) and the temporary 104 */
}

int main(void) {
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(every_known_name_has_its_token_and_back),
        T(a_name_that_only_resembles_a_known_one_has_no_token),
        T(a_hash_that_collides_is_not_enough),
        T(a_new_head_is_empty_and_holds_no_memory),
        T(fields_keep_their_order_past_the_first_thirty_two),
        T(a_field_is_found_by_token_and_by_name),
        T(a_parser_that_knows_hash_and_token_says_so),
        T(all_fields_of_a_name_are_walked_in_order),
        T(a_removed_field_is_found_by_nobody),
        T(a_name_is_removed_by_a_slice_of_the_field_itself),
        T(joined_values_are_one_list_and_a_single_one_is_not_copied),
        T(joined_values_that_are_all_empty_are_still_a_list),
        T(set_leaves_one_in_the_place_of_the_first),
        T(a_clone_is_edited_and_what_came_stays),
        T(an_empty_head_is_cloned_too),
        T(tokens_are_exactly_those_of_the_rfc),
        T(a_value_has_no_control_but_the_tab),
        T(registered_statuses_have_a_reason_and_others_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
