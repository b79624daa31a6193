// SPDX-License-Identifier: Apache-2.0
// What a client that still waits is told, by ending.
#include "policies/answer.h"
#include "tests/unit/policies/given.h"

static struct answer_policy policy;
static struct rpc_answer said;
static void given(const char *yaml) { accept(&answer_table, yaml, &policy); }
static void say(enum ending why, uint16_t status) { answer_decide(&policy, why, status, NULL, &said); }
#define SAID(status, code) (assert_int_equal(said.http, status), assert_int_equal(said.grpc, code))

static void the_table_of_endings_answers_where_the_policy_is_silent(void **state) {
    (void)state;
    given("{}");
    say(ENDING_DEADLINE, 0);
    SAID(504, 4);
    assert_int_equal(said.retry_after.ns, 0);
    say(ENDING_CLIENT_CONTEXT, 0);
    SAID(400, 3);
    say(ENDING_UPSTREAM_CLOSED, 0);
    SAID(502, 14);
    say(ENDING_SHED_LOAD, 0);
    SAID(503, 14);
    assert_int_equal(said.retry_after.ns, NS_PER_S); /* semantics 3: with Retry-After */
    done();
}

static void the_policy_beats_the_fault_and_the_fault_beats_the_table(void **state) {
    (void)state;
    given("client_error: { http: 422 }\nno_route: { grpc: NOT_FOUND }\n");
    say(ENDING_CLIENT_ERROR, 414);
    SAID(422, 8);
    say(ENDING_NO_ROUTE, 501);
    SAID(501, 5);
    say(ENDING_CLIENT_TIMEOUT, 0);
    SAID(408, 1);
    done();
}

static void a_request_over_a_limit_is_resource_exhausted_to_grpc(void **state) {
    (void)state;
    given("{}");
    static const struct { uint16_t status; uint8_t grpc; } cases[] = { { 400, 13 }, { 413, 8 }, { 414, 8 }, { 431, 8 }, { 0, 13 } };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        say(ENDING_CLIENT_ERROR, cases[i].status);
        SAID(cases[i].status ? cases[i].status : 400, cases[i].grpc);
    }
    done();
    given("client_error: { grpc: INVALID_ARGUMENT }\n");
    say(ENDING_CLIENT_ERROR, 431);
    SAID(431, 3);
    done();
}

/* T50: a 499 goes on the wire only where somebody waits for it. */
static void who_has_left_is_told_nothing(void **state) {
    (void)state;
    given("{}");
    static const enum ending gone[] = { ENDING_CLIENT_RESET, ENDING_CLIENT_CLOSED, ENDING_CLIENT_DEADLINE, ENDING_CLIENT_STALLED, ENDING_COMPLETED };
    for (size_t i = 0; i < sizeof gone / sizeof *gone; i++) {
        say(gone[i], 500);
        assert_int_equal(said.http, 0);
    }
    say(ENDING_PARENT_CANCELLED, 0);
    SAID(499, 1);
    done();
    REFUSED(answer_table, "client_reset: { http: 499 }\n", "unknown key client_reset");
    REFUSED(answer_table, "client_stalled: { http: 499 }\n", "unknown key client_stalled");
}

static void the_detail_is_the_faults_sentence_or_the_endings(void **state) {
    (void)state;
    given("{}");
    answer_decide(&policy, ENDING_CLIENT_ERROR, 400, "two Host fields", &said);
    assert_str(said.detail, "two Host fields");
    say(ENDING_DEADLINE, 0);
    assert_str(said.detail, "the deadline passed");
    assert_int_equal(said.why, ENDING_DEADLINE);
    done();
}

static void grpc_statuses_have_names_and_numbers(void **state) {
    (void)state;
    given("deadline: { http: 503, grpc: unavailable, retry_after: 1500ms }\nshutdown: { grpc: 8 }\n");
    say(ENDING_DEADLINE, 0);
    SAID(503, 14);
    assert_int_equal(said.retry_after.ns, 1500 * NS_PER_MS);
    say(ENDING_SHUTDOWN, 0);
    SAID(503, 8);
    done();
    REFUSED(answer_table, "deadline: { grpc: DEADLINE_EXCEDED }\n", "did you mean \"DEADLINE_EXCEEDED\"?");
    REFUSED(answer_table, "deadline: { grpc: OK }\n", "no gRPC status of an error");
    REFUSED(answer_table, "deadline: { grpc: 17 }\n", "no gRPC status of an error");
    REFUSED(answer_table, "deadline: { http: 200 }\n", "no HTTP status of an error");
    REFUSED(answer_table, "deadline: { http: 600 }\n", "no HTTP status of an error");
    REFUSED(answer_table, "deadlin: { http: 504 }\n", "did you mean \"deadline\"?");
    assert_string_equal(grpc_status_name(4), "DEADLINE_EXCEEDED");
    assert_string_equal(grpc_status_name(16), "UNAUTHENTICATED");
    assert_string_equal(grpc_status_name(17), "UNKNOWN");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_table_of_endings_answers_where_the_policy_is_silent),
        cmocka_unit_test(the_policy_beats_the_fault_and_the_fault_beats_the_table),
        cmocka_unit_test(a_request_over_a_limit_is_resource_exhausted_to_grpc),
        cmocka_unit_test(who_has_left_is_told_nothing),
        cmocka_unit_test(the_detail_is_the_faults_sentence_or_the_endings),
        cmocka_unit_test(grpc_statuses_have_names_and_numbers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
