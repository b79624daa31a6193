// SPDX-License-Identifier: Apache-2.0
// Which context fields travel.
#include "policies/fields.h"
#include "tests/unit/policies/given.h"

static struct fields_policy policy;
static struct given_head up;
static struct conf_ref listener_names[] = { { .name = STR_INIT("edge") }, { .name = STR_INIT("mesh") } };
static const struct conf_map listeners = { .n = 2, .names = listener_names };

static bool resolve(const char *yaml) {
    bool ok = conf_load(&load, given_yaml(yaml), &fields_table, &policy) && fields_resolve(&load, &policy, &listeners);
    take_report();
    return ok;
}
static void given(const char *yaml) {
    if (!resolve(yaml)) fail_msg("%s", report);
}
static void unresolved(const char *yaml, const char *sentence) {
    assert_false(resolve(yaml));
    if (!strstr(report, sentence)) fail_msg("%s", report);
    done();
}
static unsigned apply(const char *listener, bool under_load, const char *const *fields) {
    given_head(&up, "GET", "h", "/", fields);
    return fields_apply(&policy, &up.head, str_of(listener), under_load);
}

#define EXAMPLE                                                                                                                       \
    "prefixes: [ X-Context- ]\nfields:\n  x-context-trace-id: { max: 8 }\n  X-Context-User-Id: { max: 64, from: [ mesh ] }\n"       \
    "  x-context-region: { max: 16, optional: true }\n"

/* T46: what is not listed does not leak. */
static void of_a_prefix_only_listed_names_pass(void **state) {
    (void)state;
    given(EXAMPLE);
    assert_int_equal(apply("mesh", false, FIELDS("x-context-secret", "s", "x-context-trace-id", "t", "accept", "*/*", "x-other", "o")), 1);
    assert_fields(&up.head, "x-context-trace-id: t\naccept: */*\nx-other: o\n");
    drop_head(&up);
    done();
}

static void a_field_is_believed_on_its_listeners_only(void **state) {
    (void)state;
    given(EXAMPLE);
    assert_int_equal(apply("edge", false, FIELDS("x-context-user-id", "root", "x-context-trace-id", "t")), 1);
    assert_fields(&up.head, "x-context-trace-id: t\n");
    drop_head(&up);
    assert_int_equal(apply("mesh", false, FIELDS("x-context-user-id", "root")), 0);
    drop_head(&up);
    done();
}

static void from_nobody_is_believed_nowhere(void **state) {
    (void)state;
    given("fields: { x-a: { from: [ ] } }\n");
    assert_int_equal(apply("mesh", false, FIELDS("x-a", "1")), 1);
    drop_head(&up);
    done();
}

/* T47: dropped whole, never cut. */
static void a_value_over_its_cap_is_dropped_whole(void **state) {
    (void)state;
    given(EXAMPLE);
    assert_int_equal(apply("mesh", false, FIELDS("x-context-trace-id", "12345678")), 0);
    drop_head(&up);
    assert_int_equal(apply("mesh", false, FIELDS("x-context-trace-id", "123456789")), 1);
    assert_fields(&up.head, "");
    drop_head(&up);
    done();
}

static void optional_fields_are_dropped_under_load(void **state) {
    (void)state;
    given(EXAMPLE);
    assert_int_equal(apply("mesh", true, FIELDS("x-context-region", "eu", "x-context-trace-id", "t")), 1);
    assert_fields(&up.head, "x-context-trace-id: t\n");
    drop_head(&up);
    done();
}

static void past_the_count_optional_fields_go_first_and_the_last_ones_first(void **state) {
    (void)state;
    given("fields: { x-a: {}, x-b: { optional: true }, x-c: {}, x-d: { optional: true } }\nmax_fields: 2\n");
    assert_int_equal(apply("mesh", false, FIELDS("x-b", "1", "x-a", "1", "x-d", "1", "x-c", "1")), 2);
    assert_fields(&up.head, "x-a: 1\nx-c: 1\n");
    drop_head(&up);
    assert_int_equal(apply("mesh", false, FIELDS("x-b", "1", "x-a", "1", "x-d", "1")), 1);
    assert_fields(&up.head, "x-b: 1\nx-a: 1\n");
    drop_head(&up);
    assert_int_equal(apply("mesh", false, FIELDS("x-c", "1", "x-a", "1", "x-a", "2")), 1);
    assert_fields(&up.head, "x-c: 1\nx-a: 1\n");
    drop_head(&up);
    done();
}

/* T47: the limit is over all fields, not each. */
static void past_the_bytes_in_total_whole_fields_are_dropped(void **state) {
    (void)state;
    given("fields: { x-a: {}, x-b: { optional: true }, x-c: {} }\nmax_bytes: 14\n");
    assert_int_equal(apply("mesh", false, FIELDS("x-b", "12", "x-a", "1234", "x-c", "1234")), 1); /* 5, 7 and 7 bytes */
    assert_fields(&up.head, "x-a: 1234\nx-c: 1234\n");
    drop_head(&up);
    assert_int_equal(apply("mesh", false, FIELDS("x-a", "12345", "x-c", "1234")), 1);
    assert_fields(&up.head, "x-a: 12345\n");
    drop_head(&up);
    done();
}

static void fields_that_are_not_believed_count_against_no_cap(void **state) {
    (void)state;
    given("prefixes: [ x- ]\nfields: { x-a: {}, x-b: { from: [ mesh ] } }\nmax_fields: 1\n");
    assert_int_equal(apply("edge", false, FIELDS("x-b", "forged", "x-z", "z", "x-a", "1")), 2);
    assert_fields(&up.head, "x-a: 1\n");
    drop_head(&up);
    done();
}

static void trace_headers_pass_under_their_own_limits(void **state) {
    (void)state;
    given("prefixes: [ trace, bag ]\nmax_fields: 0\n");
    assert_int_equal(apply("edge", true, FIELDS("traceparent", "00-1-2-01", "tracestate", "a=b", "baggage", "k=v", "tracer", "x")), 1);
    assert_fields(&up.head, "traceparent: 00-1-2-01\ntracestate: a=b\nbaggage: k=v\n");
    drop_head(&up);
    done();
}

static void a_policy_without_fields_touches_nothing(void **state) {
    (void)state;
    given("{}");
    assert_int_equal(apply("edge", true, FIELDS("x-context-a", "1")), 0);
    drop_head(&up);
    done();
}

static void names_are_checked_where_they_stand(void **state) {
    (void)state;
    unresolved("fields: { \"x a\": {} }\n", "no name of a header field");
    unresolved("fields: { x-a: {}, X-A: {} }\n", "y:1:20: error: x-a is listed twice");
    unresolved("fields: { traceparent: {} }\n", "is no context field");
    unresolved("fields: { connection: {} }\n", "not the configuration's to touch");
    unresolved("prefixes: [ \"\" ]\n", "no name of a header field");
    unresolved("fields: { x-a: { from: [ mash ] } }\n", "did you mean \"mesh\"?");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(of_a_prefix_only_listed_names_pass),
        cmocka_unit_test(a_field_is_believed_on_its_listeners_only),
        cmocka_unit_test(from_nobody_is_believed_nowhere),
        cmocka_unit_test(a_value_over_its_cap_is_dropped_whole),
        cmocka_unit_test(optional_fields_are_dropped_under_load),
        cmocka_unit_test(past_the_count_optional_fields_go_first_and_the_last_ones_first),
        cmocka_unit_test(past_the_bytes_in_total_whole_fields_are_dropped),
        cmocka_unit_test(fields_that_are_not_believed_count_against_no_cap),
        cmocka_unit_test(trace_headers_pass_under_their_own_limits),
        cmocka_unit_test(a_policy_without_fields_touches_nothing),
        cmocka_unit_test(names_are_checked_where_they_stand),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
