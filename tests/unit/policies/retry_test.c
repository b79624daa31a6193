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
static span waits; /* of the last verdict */
static enum retry_verdict verdict(struct retry_facts f) { return retry_decide(&policy, &f, &waits); }
static bool retried(struct retry_facts f) { return verdict(f) == RETRY_YES; }

static void by_default_only_what_cannot_have_run_is_tried_again(void **state) {
    (void)state;
    given("{}");
    for (enum ending e = ENDING_COMPLETED; e < ENDINGS; e++)
        assert_int_equal(retried(after(e)), e == ENDING_REFUSED_STREAM || e == ENDING_CONNECT_FAILURE || e == ENDING_CONNECT_TIMEOUT);
    assert_int_equal(policy.budget.ratio, 2000);
    assert_int_equal(policy.budget.floor, 3);
    assert_null(policy.hedge);
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
    f.outcome = ENDING_SHED_LOAD; /* our own queue: what is full now is full at once again */
    assert_false(retried(f));
    done();
}

/* ---- statuses -------------------------------------------------------------------------------------------------------------------------- */
static struct given_head answer;
static void given_answer(uint16_t status, const char *const *fields) {
    given_head(&answer, "", "", "", fields);
    answer.head.request = false;
    answer.head.status = status;
}
static bool names(const char *rpc, const char *method) {
    bool named = retry_names(&policy, rpc_by_name(rpc), &answer.head, str_of(method));
    drop_head(&answer);
    return named;
}
static void a_status_of_http_is_tried_again_for_what_bears_repeating(void **state) {
    (void)state;
    given("when: [ 503, 429 ]\n");
    assert_false(policy.when.endings);
    given_answer(503, NULL);
    assert_true(names("http", "GET"));
    given_answer(429, NULL);
    assert_true(names("http", "DELETE"));
    given_answer(503, NULL);
    assert_false(names("http", "POST"));
    given_answer(502, NULL);
    assert_false(names("http", "GET"));
    given_answer(200, NULL);
    assert_false(names("http", "GET"));
    given_answer(600, NULL);
    assert_false(names("http", "GET"));
    done();
    given("when: 400\nmethods: POST\n");
    given_answer(400, NULL);
    assert_true(names("http", "POST"));
    given_answer(400, NULL);
    assert_false(names("http", "GET"));
    done();
    given("when: [ connect_failure ]\n");
    given_answer(503, NULL);
    assert_false(names("http", "GET"));
    done();
}
/* gRFC A6: headers without a status commit the call. All calls are POST: the policy's word is the consent. */
static void a_status_of_grpc_is_tried_again_where_the_head_is_all_of_the_answer(void **state) {
    (void)state;
    given("when: [ UNAVAILABLE, RESOURCE_EXHAUSTED ]\n");
    given_answer(200, FIELDS("grpc-status", "14"));
    assert_true(names("grpc", "POST"));
    given_answer(200, FIELDS("grpc-status", "8"));
    assert_true(names("grpc-web", "POST"));
    given_answer(200, FIELDS("grpc-status", "13"));
    assert_false(names("grpc", "POST"));
    given_answer(200, FIELDS("content-type", "application/grpc"));
    assert_false(names("grpc", "POST"));
    given_answer(503, NULL); /* of something between, that a client of gRPC would read so */
    assert_true(names("grpc", "POST"));
    given_answer(200, FIELDS("grpc-status", "14"));
    assert_false(names("http", "GET"));
    given_answer(200, FIELDS("grpc-status", "99"));
    assert_false(names("grpc", "POST"));
    done();
    given("when: 503\n"); /* speaks of plain HTTP, in which methods say what they bear */
    given_answer(503, NULL);
    assert_false(names("grpc", "POST"));
    given_answer(200, FIELDS("grpc-status", "14"));
    assert_false(names("grpc", "POST"));
    done();
}
/* Its code is in the body; 409 may be aborted or already_exists. */
static void a_connect_call_is_tried_again_by_an_http_status_that_only_one_code_has(void **state) {
    (void)state;
    given("when: [ UNAVAILABLE, ABORTED ]\n");
    given_answer(503, NULL);
    assert_true(names("connect", "POST"));
    given_answer(409, NULL);
    assert_false(names("connect", "POST"));
    given_answer(200, NULL);
    assert_false(names("connect", "POST"));
    done();
}

/* ---- when ------------------------------------------------------------------------------------------------------------------------------- */
static struct retry_said said_by(const char *name, const char *value) {
    given_answer(503, FIELDS(name, value));
    struct retry_said s = retry_read(&answer.head, 784111777 * NS_PER_S); /* Sun, 06 Nov 1994 08:49:37 GMT */
    drop_head(&answer);
    return s;
}
static void assert_said(const char *name, const char *value, enum retry_word word, int64_t ns) {
    struct retry_said s = said_by(name, value);
    if (s.word != word || s.wait.ns != ns) fail_msg("%s: %s says %d, %lld ns", name, value, (int)s.word, (long long)s.wait.ns);
}
static void retry_after_is_seconds_or_a_date(void **state) {
    (void)state;
    assert_said("retry-after", "2", RETRY_NOT_BEFORE, 2 * NS_PER_S);
    assert_said("retry-after", "0", RETRY_NOT_BEFORE, 0);
    assert_said("retry-after", "Sun, 06 Nov 1994 08:49:40 GMT", RETRY_NOT_BEFORE, 3 * NS_PER_S);
    assert_said("retry-after", "Sun, 06 Nov 1994 08:49:30 GMT", RETRY_NOT_BEFORE, 0);
    assert_said("retry-after", "Sunday, 06-Nov-94 08:49:40 GMT", RETRY_NOT_BEFORE, 3 * NS_PER_S);
    assert_said("retry-after", "Sun Nov  6 08:49:40 1994", RETRY_NOT_BEFORE, 3 * NS_PER_S);
    assert_said("retry-after", "99999999999999999999", RETRY_NOT_BEFORE, INT64_MAX);
    assert_said("retry-after", "soon", RETRY_UNSAID, 0);
    assert_said("retry-after", "-1", RETRY_UNSAID, 0);
    assert_said("retry-after", "", RETRY_UNSAID, 0);
    assert_said("x-other", "1", RETRY_UNSAID, 0);
}
static void a_pushback_that_is_no_number_forbids(void **state) {
    (void)state;
    assert_said("grpc-retry-pushback-ms", "150", RETRY_AT, 150 * NS_PER_MS);
    assert_said("grpc-retry-pushback-ms", "0", RETRY_AT, 0);
    assert_said("grpc-retry-pushback-ms", "-1", RETRY_NEVER, 0);
    assert_said("grpc-retry-pushback-ms", "soon", RETRY_NEVER, 0);
    assert_said("grpc-retry-pushback-ms", "", RETRY_NEVER, 0);
    assert_said("grpc-retry-pushback-ms", "2147483648", RETRY_NEVER, 0); /* signed, 32 bits */
}
static void a_back_off_is_any_part_of_a_span_that_doubles_up_to_a_bound(void **state) {
    (void)state;
    given("{}");
    const uint64_t most[] = { 25, 75, 175, 250, 250 };
    for (int64_t n = 1; n <= 5; n++) {
        uint64_t upto = most[n - 1] * (uint64_t)NS_PER_MS;
        assert_int_equal(retry_backoff(&policy, n, 0).ns, 0);
        assert_int_equal(retry_backoff(&policy, n, upto - 1).ns, upto - 1);
        assert_int_equal(retry_backoff(&policy, n, upto).ns, 0);
        assert_true(retry_backoff(&policy, n, UINT64_MAX).ns < (int64_t)upto);
    }
    assert_int_equal(retry_backoff(&policy, 1000, UINT64_C(249999999)).ns, 249999999);
    done();
    given("backoff: { base: 1h, max: 1h }\n");
    assert_int_equal(retry_backoff(&policy, 70, UINT64_C(3599999999999)).ns, INT64_C(3599999999999));
    done();
    given("backoff: { base: 0s }\n");
    assert_int_equal(retry_backoff(&policy, 3, 12345).ns, 0);
    done();
}
static void the_first_retry_of_what_cannot_have_run_goes_at_once(void **state) {
    (void)state;
    given("retries: 3\nwhen: [ connect_failure, upstream_closed ]\n");
    struct retry_facts f = after(ENDING_CONNECT_FAILURE);
    f.draw = 20 * (uint64_t)NS_PER_MS;
    assert_true(retried(f));
    assert_int_equal(waits.ns, 0);
    f.made = 1;
    assert_true(retried(f));
    assert_int_equal(waits.ns, 20 * NS_PER_MS);
    f = after(ENDING_UPSTREAM_CLOSED);
    f.draw = 20 * (uint64_t)NS_PER_MS;
    assert_true(retried(f));
    assert_int_equal(waits.ns, 20 * NS_PER_MS);
    done();
}
/* T38: not even waited for. */
static void what_would_not_fit_behind_its_wait_is_not_tried(void **state) {
    (void)state;
    given("when: [ 503, upstream_closed ]\n");
    struct retry_facts f = after(ENDING_UPSTREAM_CLOSED);
    f.draw = 20 * (uint64_t)NS_PER_MS;
    f.left = span_ms(35);
    assert_true(retried(f));
    f.left = span_sub(span_ms(35), span_ns(1));
    assert_int_equal(verdict(f), RETRY_NO_TIME);
    f = after(ENDING_NONE);
    f.said = (struct retry_said){ RETRY_NOT_BEFORE, span_ms(985) };
    assert_true(retried(f));
    assert_int_equal(waits.ns, 985 * NS_PER_MS);
    f.said.wait = span_ms(986);
    assert_int_equal(verdict(f), RETRY_NO_TIME);
    f.said.wait = SPAN_FOREVER;
    assert_int_equal(verdict(f), RETRY_NO_TIME);
    f.left = SPAN_FOREVER;
    assert_false(retried(f)); /* for ever is no time to come again */
    done();
}
static void what_an_answer_says_beats_our_own_back_off_only_upwards_but_a_pushback_both_ways(void **state) {
    (void)state;
    given("when: [ 503 ]\n");
    struct retry_facts f = after(ENDING_NONE);
    f.draw = 20 * (uint64_t)NS_PER_MS;
    f.said = (struct retry_said){ RETRY_NOT_BEFORE, span_ms(3) };
    assert_true(retried(f));
    assert_int_equal(waits.ns, 20 * NS_PER_MS);
    f.said = (struct retry_said){ RETRY_AT, span_ms(3) };
    assert_true(retried(f));
    assert_int_equal(waits.ns, 3 * NS_PER_MS);
    f.said = (struct retry_said){ .word = RETRY_NEVER };
    assert_int_equal(verdict(f), RETRY_PUSHBACK);
    f.made = 1; /* there would have been none anyway: nobody is told why */
    assert_int_equal(verdict(f), RETRY_NO);
    done();
}

/* ---- hedges and the budget -------------------------------------------------------------------------------------------------------------- */
static void a_hedge_is_for_what_bears_repeating_and_for_calls(void **state) {
    (void)state;
    given("hedge: { after: 100ms }\n");
    assert_int_equal(policy.hedge->after.ns, 100 * NS_PER_MS);
    assert_int_equal(policy.hedge->max, 1);
    assert_true(retry_may_hedge(&policy, rpc_by_name("http"), STR("GET")));
    assert_false(retry_may_hedge(&policy, rpc_by_name("http"), STR("POST")));
    assert_true(retry_may_hedge(&policy, rpc_by_name("grpc"), STR("POST")));
    done();
    given("hedge: { after: 100ms, max: 2 }\nmethods: POST\n");
    assert_true(retry_may_hedge(&policy, rpc_by_name("http"), STR("POST")));
    assert_false(retry_may_hedge(&policy, rpc_by_name("http"), STR("GET")));
    done();
    given("{}");
    assert_false(retry_may_hedge(&policy, rpc_by_name("grpc"), STR("POST")));
    done();
}
static void a_budget_is_a_share_or_its_floor_whichever_is_more(void **state) {
    (void)state;
    given("budget: 25%\n");
    assert_int_equal(policy.budget.ratio, 2500);
    assert_int_equal(retry_budget_of(&policy.budget, 100, 3), 25);
    assert_int_equal(retry_budget_of(&policy.budget, 15, 3), 3);
    assert_int_equal(retry_budget_of(&policy.budget, 0, 0), 0);
    done();
    given("budget: { floor: 7 }\n");
    assert_int_equal(policy.budget.ratio, 2000);
    assert_int_equal(policy.budget.floor, 7);
    done();
    given("budget: { ratio: 0.5% }\n");
    assert_int_equal(policy.budget.ratio, 50);
    assert_int_equal(policy.budget.floor, 3);
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
    REFUSED(retry_table, "when: [ 200, 700, UNAVAIABLE, OK ]\n", "200 is no HTTP status of an error", "700 is no HTTP", "did you mean \"UNAVAILABLE\"?",
            "OK is no gRPC status");
    REFUSED(retry_table, "backoff: { base: 1s, max: 100ms }\n", "max is less than base");
    REFUSED(retry_table, "hedge: { max: 2 }\n", "needs the key \"after\"");
    REFUSED(retry_table, "hedge: { after: 0s }\n", "out of range");
    REFUSED(retry_table, "budget: half\n", "is not a percentage");
    REFUSED(retry_table, "budget: { rate: 20% }\n", "its keys are ratio, floor");
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
        cmocka_unit_test(a_status_of_http_is_tried_again_for_what_bears_repeating),
        cmocka_unit_test(a_status_of_grpc_is_tried_again_where_the_head_is_all_of_the_answer),
        cmocka_unit_test(a_connect_call_is_tried_again_by_an_http_status_that_only_one_code_has),
        cmocka_unit_test(retry_after_is_seconds_or_a_date),
        cmocka_unit_test(a_pushback_that_is_no_number_forbids),
        cmocka_unit_test(a_back_off_is_any_part_of_a_span_that_doubles_up_to_a_bound),
        cmocka_unit_test(the_first_retry_of_what_cannot_have_run_goes_at_once),
        cmocka_unit_test(what_would_not_fit_behind_its_wait_is_not_tried),
        cmocka_unit_test(what_an_answer_says_beats_our_own_back_off_only_upwards_but_a_pushback_both_ways),
        cmocka_unit_test(a_hedge_is_for_what_bears_repeating_and_for_calls),
        cmocka_unit_test(a_budget_is_a_share_or_its_floor_whichever_is_more),
        cmocka_unit_test(what_ends_the_request_cannot_be_tried_again),
        cmocka_unit_test(idempotent_methods_are_those_of_rfc_9110),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
