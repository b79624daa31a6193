// SPDX-License-Identifier: Apache-2.0
// How far a TRACE or an OPTIONS goes.
#include "policies/hops.h"
#include "core/ending.h"
#include "policies/route_matcher.h"
#include "tests/unit/policies/given.h"

static struct given_head request;
static struct route_matcher any, traced;
static const struct route any_route = { .match = &any }, traced_route = { .match = &traced };

static int given(void **state) {
    (void)state;
    accept(&route_match_table, "{}", &any);
    done();
    accept(&route_match_table, "method: [ TRACE, OPTIONS ]", &traced);
    return 0;
}
static int over(void **state) {
    (void)state;
    done();
    return 0;
}
/* 0: it may go on; 200: it ends here; else it is refused so. value NULL: it has no Max-Forwards. */
static unsigned status(const char *method, const char *value, const struct route *r) {
    given_head(&request, method, "h", "/", value ? FIELDS("max-forwards", value) : FIELDS("accept", "*/*"));
    const struct fault *f = hops_fault(&request.head, r);
    unsigned told = f ? f->status : hops_end(&request.head) ? 200 : 0;
    drop_head(&request);
    return told;
}
static void told(const char *method, const char *value, const char *expected) {
    given_head(&request, method, "h", "/", FIELDS("max-forwards", value));
    hops_tell(&request.head);
    assert_str(head_find(&request.head, TOKEN_MAX_FORWARDS)->value, expected);
    drop_head(&request);
}

static void of_zero_an_options_ends_here(void **state) {
    (void)state;
    assert_int_equal(status("OPTIONS", "0", &any_route), 200);
    assert_int_equal(status("OPTIONS", "000", &any_route), 200);
    assert_int_equal(status("OPTIONS", "1", &any_route), 0);
    assert_int_equal(status("OPTIONS", NULL, &any_route), 0);
}
static void what_is_no_number_is_refused(void **state) {
    (void)state;
    static const char *const bad[] = { "", "-1", "+1", "1.0", "1 2", "0x1", "1,1", "ten" };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_int_equal(status("OPTIONS", bad[i], &any_route), 400);
        assert_int_equal(status("TRACE", bad[i], &traced_route), 400);
    }
    given_head(&request, "OPTIONS", "h", "/", FIELDS("max-forwards", "3", "max-forwards", "3"));
    assert_int_equal(hops_fault(&request.head, &any_route)->why, ENDING_CLIENT_ERROR);
    drop_head(&request);
}
static void a_trace_goes_where_it_is_named(void **state) {
    (void)state;
    assert_int_equal(status("TRACE", NULL, &any_route), 405);
    assert_int_equal(status("TRACE", "nonsense", &any_route), 405);
    assert_int_equal(status("TRACE", NULL, &traced_route), 0);
    assert_int_equal(status("TRACE", "2", &traced_route), 0);
    assert_int_equal(status("TRACE", "0", &traced_route), 405); /* nothing is reflected here */
}
static void other_methods_pass_it_over(void **state) {
    (void)state;
    static const char *const others[] = { "GET", "HEAD", "POST", "options", "trace", "TRACES" };
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        assert_int_equal(status(others[i], "0", &any_route), 0);
        assert_int_equal(status(others[i], "nonsense", &any_route), 0);
        told(others[i], "7", "7");
    }
}
static void the_next_is_told_one_less(void **state) {
    (void)state;
    told("OPTIONS", "1", "0");
    told("TRACE", "0010", "9");
    told("OPTIONS", "18446744073709551616", "18446744073709551614"); /* the greatest that we know */
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(of_zero_an_options_ends_here, given, over),
        cmocka_unit_test_setup_teardown(what_is_no_number_is_refused, given, over),
        cmocka_unit_test_setup_teardown(a_trace_goes_where_it_is_named, given, over),
        cmocka_unit_test_setup_teardown(other_methods_pass_it_over, given, over),
        cmocka_unit_test_setup_teardown(the_next_is_told_one_less, given, over),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
