// SPDX-License-Identifier: Apache-2.0
// Paths in normal form: what is resolved, what is kept, what is refused.
#include "policies/route.h"
#include "tests/unit/policies/given.h"

static void normal(const char *in, const char *expected) {
    struct arena a;
    struct str out;
    arena_init(&a, NULL);
    char *exact = malloc(strlen(in) + 1); /* no byte behind the path may be read */
    memcpy(exact, in, strlen(in));
    bool good = route_normalise(&a, (struct str){ exact, strlen(in) }, &out);
    if (good != (expected != NULL)) fail_msg("%s was %s", in, good ? "accepted" : "refused");
    if (good) assert_str(out, expected);
    free(exact);
    arena_clear(&a);
}
static void refused(const char *in) { normal(in, NULL); }

static void escapes_of_unreserved_characters_are_resolved(void **state) {
    (void)state;
    normal("/%61%7E%2d%5f%2E%41%39", "/a~-_.A9");
    normal("/%7euser", "/~user");
}

static void other_escapes_stay_in_upper_case(void **state) {
    (void)state;
    normal("/caf%c3%a9", "/caf%C3%A9");
    normal("/a%2fb", "/a%2Fb");
    normal("/a%5cb", "/a%5Cb");
    normal("/a%3fb%23", "/a%3Fb%23");
}

static void an_escaped_slash_separates_nothing(void **state) {
    (void)state;
    normal("/a/..%2fadmin", "/a/..%2Fadmin");
    normal("/a%2f../b", "/a%2F../b");
}

static void an_escaped_percent_is_not_resolved_twice(void **state) {
    (void)state;
    normal("/%252e%252e/admin", "/%252e%252e/admin");
    normal("/%2541", "/%2541");
    refused("/%%36%31");
    refused("/%2%35");
}

static void dot_segments_are_resolved(void **state) {
    (void)state;
    normal("/a/./b", "/a/b");
    normal("/a/../b", "/b");
    normal("/a/b/..", "/a/");
    normal("/a/b/.", "/a/b/");
    normal("/.", "/");
    normal("/a/..", "/");
    normal("/a/b/c/./../../g", "/a/g"); /* RFC 3986 5.2.4 */
    normal("/%2e/%2E%2e", NULL);
    normal("/a/%2e%2e/admin", "/admin");
    normal("/a/.%2e/admin", "/admin");
}

static void what_only_looks_like_dots_is_kept(void **state) {
    (void)state;
    normal("/a/.../b", "/a/.../b");
    normal("/.well-known/x", "/.well-known/x");
    normal("/a/..b/.c", "/a/..b/.c");
    normal("/a./b..", "/a./b..");
}

static void empty_segments_are_segments(void **state) {
    (void)state;
    normal("//", "//");
    normal("//admin", "//admin");
    normal("/a//../b", "/a/b");
    normal("/a//./b", "/a//b");
    normal("//..", "/");
}

static void a_path_that_climbs_over_its_root_is_refused(void **state) {
    (void)state;
    refused("/..");
    refused("/../etc/passwd");
    refused("/a/../..");
    refused("/a/%2e%2e/%2e%2e/b");
    refused("/./..");
}

static void bad_bytes_are_refused(void **state) {
    (void)state;
    refused("");
    refused("a");
    refused("/%");
    refused("/%4");
    refused("/%4g");
    refused("/%00");
    refused("/a%00b");
    refused("/a\\b");
    refused("/a#b");
    refused("/a b");
    refused("/a\x7f");
    refused("/a\tb");
}

static void a_path_that_is_normal_comes_back_as_the_same_slice(void **state) {
    (void)state;
    static const struct str paths[] = { STR_INIT("/caf%C3%A9/a%2Fb"), STR_INIT("/.well-known/x") };
    for (size_t i = 0; i < 2; i++) {
        struct arena a;
        struct str out;
        arena_init(&a, NULL);
        assert_true(route_normalise(&a, paths[i], &out));
        assert_ptr_equal(out.p, paths[i].p);
        arena_clear(&a);
    }
}

static void a_plain_path_is_not_copied(void **state) {
    (void)state;
    struct arena a;
    struct str in = STR("/v1/orders/17.json"), out;
    arena_init(&a, NULL);
    assert_true(route_normalise(&a, in, &out));
    assert_ptr_equal(out.p, in.p);
    assert_int_equal(a.used, 0);
    arena_clear(&a);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(escapes_of_unreserved_characters_are_resolved),
        cmocka_unit_test(other_escapes_stay_in_upper_case),
        cmocka_unit_test(an_escaped_slash_separates_nothing),
        cmocka_unit_test(an_escaped_percent_is_not_resolved_twice),
        cmocka_unit_test(dot_segments_are_resolved),
        cmocka_unit_test(what_only_looks_like_dots_is_kept),
        cmocka_unit_test(empty_segments_are_segments),
        cmocka_unit_test(a_path_that_climbs_over_its_root_is_refused),
        cmocka_unit_test(bad_bytes_are_refused),
        cmocka_unit_test(a_path_that_is_normal_comes_back_as_the_same_slice),
        cmocka_unit_test(a_plain_path_is_not_copied),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
