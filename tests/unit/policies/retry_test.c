// SPDX-License-Identifier: Apache-2.0
// When an attempt that failed is followed by another.
#include "policies/retry.h"
#include "tests/unit/policies/given.h"

static struct retry_policy policy;
static void given(const char *yaml) { accept(&retry_table, yaml, &policy); }
/* A failed GET with all in its favour. */
static struct retry_facts after(enum ending outcome) {
    return (struct retry_facts){ .outcome = outcome, .method = STR("GET"), .replayable = true, .context_live = true, .left = span_s(1),
                                 .min = span_ms(15) };
}
static bool retried(struct retry_facts f) { return retry_decide(&policy, &f); }

static void by_default_only_what_cannot_have_run_is_tried_again(void **state) {
    (void)state;
    given("{}");
    for (enum ending e = ENDING_COMPLETED; e < ENDINGS; e++)
        assert_int_equal(retried(after(e)), e == ENDING_REFUSED_STREAM || e == ENDING_CONNECT_FAILURE || e == ENDING_CONNECT_TIMEOUT);
    assert_int_equal(policy.budget, 2000);
    assert_int_equal(policy.buffer, 64 << 10);
    done();
}

static void a_post_that_cannot_have_run_is_tried_again(void **state) {
    (void)state;
    given("{}");
    struct retry_facts f = after(ENDING_REFUSED_STREAM);
    f.method = STR("POST");
    assert_true(retried(f));
    f.outcome = ENDING_UPSTREAM_CLOSED; /* the stale connection: nothing was taken */
    f.unprocessed = true;
    assert_true(retried(f));
    done();
}

/* T39: RST(CANCEL), INTERNAL_ERROR and a lost connection say nothing of whether it ran. */
static void what_may_have_run_is_tried_again_where_named_and_the_method_bears_it(void **state) {
    (void)state;
    given("when: [ upstream_reset ]\n");
    struct retry_facts f = after(ENDING_UPSTREAM_RESET);
    assert_true(retried(f));
    f.method = STR("POST");
    assert_false(retried(f));
    f.method = (struct str){ 0 };
    assert_false(retried(f));
    assert_false(retried(after(ENDING_UPSTREAM_CLOSED)));
    assert_false(retried(after(ENDING_REFUSED_STREAM)));
    done();
    given("when: upstream_reset\nmethods: [ POST ]\n");
    assert_true(retried((f.method = STR("POST"), f)));
    assert_false(retried((f.method = STR("GET"), f)));
    done();
}

/* T38: no attempt for a caller that left, and none that its deadline would cut. */
static void nothing_is_tried_for_who_left_or_has_no_time(void **state) {
    (void)state;
    given("{}");
    struct retry_facts f = after(ENDING_CONNECT_FAILURE);
    f.context_live = false;
    assert_false(retried(f));
    f = after(ENDING_CONNECT_FAILURE);
    f.left = span_sub(f.min, span_ns(1));
    assert_false(retried(f));
    f.left = f.min;
    assert_true(retried(f));
    f.left = SPAN_FOREVER;
    assert_true(retried(f));
    done();
}

static void a_body_that_is_gone_is_not_sent_again(void **state) {
    (void)state;
    given("{}");
    struct retry_facts f = after(ENDING_REFUSED_STREAM);
    f.replayable = false;
    assert_false(retried(f));
    done();
}

static void attempts_are_counted(void **state) {
    (void)state;
    given("retries: 2\n");
    struct retry_facts f = after(ENDING_REFUSED_STREAM);
    f.made = 1;
    assert_true(retried(f));
    f.made = 2;
    assert_false(retried(f));
    done();
    given("retries: 0\n");
    assert_false(retried(after(ENDING_REFUSED_STREAM)));
    done();
}

static void what_ends_the_request_cannot_be_tried_again(void **state) {
    (void)state;
    REFUSED(retry_table, "when: [ deadline ]\n", "y:1:9: error: deadline ends the request");
    REFUSED(retry_table, "when: [ client_reset ]\n", "ends the request");
    REFUSED(retry_table, "when: [ refused_streem ]\n", "did you mean \"refused_stream\"?");
    REFUSED(retry_table, "when: { a: b }\n", "a list is expected");
    REFUSED(retry_table, "retries: 11\n", "out of range");
    REFUSED(retry_table, "methods: [ \"G T\" ]\n", "is no method");
    given("when: [ ]\n");
    assert_false(retried(after(ENDING_REFUSED_STREAM)));
    done();
}

static void idempotent_methods_are_those_of_rfc_9110(void **state) {
    (void)state;
    static const char *const yes[] = { "GET", "HEAD", "PUT", "DELETE", "OPTIONS", "TRACE" }, *const no[] = { "POST", "PATCH", "CONNECT", "get", "" };
    for (size_t i = 0; i < 6; i++) assert_true(method_is_idempotent(str_of(yes[i])));
    for (size_t i = 0; i < 5; i++) assert_false(method_is_idempotent(str_of(no[i])));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(by_default_only_what_cannot_have_run_is_tried_again),
        cmocka_unit_test(a_post_that_cannot_have_run_is_tried_again),
        cmocka_unit_test(what_may_have_run_is_tried_again_where_named_and_the_method_bears_it),
        cmocka_unit_test(nothing_is_tried_for_who_left_or_has_no_time),
        cmocka_unit_test(a_body_that_is_gone_is_not_sent_again),
        cmocka_unit_test(attempts_are_counted),
        cmocka_unit_test(what_ends_the_request_cannot_be_tried_again),
        cmocka_unit_test(idempotent_methods_are_those_of_rfc_9110),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
