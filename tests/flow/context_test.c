// SPDX-License-Identifier: Apache-2.0
// The context of a request on its way: what it must bring, what is dropped under load, and a trace that all attempts share (semantics 7).
#include "tests/flow/stage.h"

#define REGION "context: { fields: { x-region: { optional: true }, x-user: {} } }"
#define BOTH "x-region: eu\r\nx-user: u\r\n"

static struct sock *asks_with_both(struct sock *c) {
    client_sends(c, GET(BOTH));
    return upstream();
}
static void carries_all(struct sock *u) {
    assert_has(unseen(u), "\r\nx-region: eu\r\n");
    assert_has(got(u), "\r\nx-user: u\r\n");
}
static void carries_no_optional(struct sock *u) {
    assert_has_not(unseen(u), "x-region");
    assert_has(got(u), "\r\nx-user: u\r\n");
}
static void finished(struct sock *u, struct sock *c) { /* and closes, so that the next one calls anew */
    upstream_sends(u, ANSWER("content-length: 2\r\nconnection: close\r\n") "ok");
    assert_answer(c, 200);
    assert_ended("completed");
}
static int leave_auto(void **state) {
    load_switch_set(LOAD_AUTO);
    return leave(state);
}

/* ---- load ------------------------------------------------------------------------------------------------------------------------------ */
static void with_more_in_flight_than_the_threshold_optional_fields_are_dropped(void **state) {
    (void)state;
    stage((struct given){ .policy = REGION, .top = "load: { inflight: 2 }" });
    struct sock *c[3] = { client(), client(), client() }, *u[3];
    u[0] = asks_with_both(c[0]);
    u[1] = asks_with_both(c[1]);
    carries_all(u[0]);
    carries_all(u[1]);
    u[2] = asks_with_both(c[2]);
    carries_no_optional(u[2]);
    assert_int_equal(count(METRIC_LOADED), 1);
    assert_int_equal(atomic_load(&world.w.metrics.fields[FIELD_LOAD]), 1);
    for (int i = 0; i < 3; i++) finished(u[i], c[i]);
    step(2 * SECONDS);
    assert_int_equal(count(METRIC_LOADED), 0);
}
static void the_load_is_over_when_it_has_stayed_below_80_percent_for_a_second(void **state) {
    (void)state;
    stage((struct given){ .policy = REGION, .top = "load: { inflight: 5 }" });
    struct sock *c[7], *u[7];
    for (int i = 0; i < 6; i++) {
        c[i] = client();
        u[i] = asks_with_both(c[i]);
        if (i < 5) carries_all(u[i]);
        else carries_no_optional(u[i]);
    }
    finished(u[5], c[5]); /* five are left: not above the threshold, and not below 80 % of it */
    step(5 * SECONDS);
    c[5] = client();
    u[5] = asks_with_both(c[5]);
    carries_no_optional(u[5]);
    for (int i = 5; i >= 3; i--) finished(u[i], c[i]);
    step(900 * MS);
    c[3] = client();
    u[3] = asks_with_both(c[3]); /* four, which is 80 %: eased, but for less than a second */
    carries_no_optional(u[3]);
    step(200 * MS);
    assert_int_equal(count(METRIC_LOADED), 0);
    c[4] = client();
    u[4] = asks_with_both(c[4]);
    carries_all(u[4]);
    for (int i = 0; i < 5; i++) finished(u[i], c[i]);
}
static void a_turn_that_takes_too_long_is_load(void **state) {
    (void)state;
    stage((struct given){ .policy = REGION, .top = "load: { loop_lag: 50ms }" });
    struct sock *c = client(), *u = asks_with_both(c);
    carries_all(u);
    answered(c, u);
    world.work = 50 * MS; /* not more than the threshold */
    assert_ptr_equal((client_sends(c, GET(BOTH)), u), u);
    world.work = 0;
    carries_all(u);
    answered(c, u);
    world.work = 51 * MS;
    client_sends(c, GET(BOTH));
    world.work = 0;
    carries_all(u); /* it was sent in the turn that was to be slow */
    answered(c, u);
    client_sends(c, GET(BOTH));
    carries_no_optional(u);
    answered(c, u);
    at(1049 * MS); /* the slow turn began at 50 ms */
    client_sends(c, GET(BOTH));
    carries_no_optional(u);
    answered(c, u);
    at(1050 * MS);
    client_sends(c, GET(BOTH));
    carries_all(u);
    answered(c, u);
}
static void what_is_not_optional_passes_under_any_load(void **state) {
    (void)state;
    stage((struct given){ .policy = "context: { fields: { x-region: {}, x-user: {} } }", .top = "load: { inflight: 1 }" });
    struct sock *a = client(), *b = client(), *ua = asks_with_both(a), *ub = asks_with_both(b);
    carries_all(ua);
    carries_all(ub);
    assert_int_equal(count(METRIC_LOADED), 1);
    finished(ua, a);
    finished(ub, b);
}

/* ---- the operator's switch ------------------------------------------------------------------------------------------------------------- */
static void the_operator_has_the_last_word(void **state) {
    (void)state;
    stage((struct given){ .policy = REGION, .top = "load: { inflight: 1 }" });
    struct sock *c = client(), *u = asks_with_both(c);
    carries_all(u);
    answered(c, u);
    load_switch_set(LOAD_DROP);
    client_sends(c, GET(BOTH));
    carries_no_optional(u);
    load_switch_set(LOAD_KEEP);
    struct sock *d = client(), *v = asks_with_both(d); /* the second in flight: load, and kept all the same */
    carries_all(v);
    load_switch_set(LOAD_AUTO);
    struct sock *e = client(), *w = asks_with_both(e);
    carries_no_optional(w);
    answered(c, u);
    finished(v, d);
    finished(w, e);
}
static void the_switch_works_without_thresholds(void **state) {
    (void)state;
    stage((struct given){ .policy = REGION });
    load_switch_set(LOAD_DROP);
    struct sock *c = client(), *u = asks_with_both(c);
    carries_no_optional(u);
    load_switch_set(LOAD_AUTO);
    answered(c, u);
    client_sends(c, GET(BOTH));
    carries_all(u);
    answered(c, u);
}

/* ---- what a request must bring ------------------------------------------------------------------------------------------------------------- */
static void a_request_without_what_is_required_is_refused_and_no_upstream_asked(void **state) {
    (void)state;
    stage((struct given){ .policy = "context: { fields: { x-user: { required: reject } }, require: { deadline: reject } }" });
    struct sock *c = asks(GET("x-user: u\r\n"));
    assert_has(assert_answer(c, 400), "the request has no deadline, and one is required");
    assert_ended("client_context");
    assert_logged("detail", "the request has no deadline, and one is required");
    client_sends(c, GET("x-request-timeout: 5s\r\n"));
    assert_has(assert_answer(c, 400), "the request has no field x-user, which is required");
    assert_ended("client_context");
    assert_nobody_called();
    client_sends(c, GET("x-request-timeout: 5s\r\nx-user: u\r\n"));
    answered(c, upstream());
}
static void observed_a_missing_deadline_is_only_said(void **state) {
    (void)state;
    stage((struct given){ .policy = "deadline: { mode: observe }, context: { require: { deadline: reject } }" });
    struct sock *c = asks(GET());
    answered(c, upstream());
    assert_logged("would_have", "client_context");
    assert_int_equal(atomic_load(&world.w.metrics.routes->v[0]->observed->endings[ENDING_CLIENT_CONTEXT]), 1);
}
static void what_is_warned_of_goes_on_and_stands_in_the_log(void **state) {
    (void)state;
    stage((struct given){ .policy = "context: { fields: { x-user: { required: warn } }, require: { deadline: warn, trace: warn } }" });
    struct sock *c = asks(GET());
    struct sock *u = upstream();
    answered(c, u);
    assert_logged("missing", "deadline trace x-user");
    assert_int_equal(count(METRIC_CONTEXT_MISSING), 3);
    client_sends(c, GET("x-request-timeout: 5s\r\nx-user: u\r\ntraceparent: 00-12345678901234567890123456789012-1234567890123456-01\r\n"));
    answered(c, u);
    assert_not_logged("missing");
}
/* A stream has no default; an injected deadline ends it all the same. */
static void an_injected_deadline_is_total_and_told_upstream(void **state) {
    (void)state;
    stage((struct given){ .policy = "deadline: { default: 1s }, context: { require: { deadline: inject } }" });
    struct sock *c = asks(GET("accept: text/event-stream\r\n"));
    struct sock *u = upstream();
    assert_has(got(u), "\r\nx-request-timeout: 995ms\r\n");
    upstream_sends(u, ANSWER("transfer-encoding: chunked\r\n") "3\r\nabc\r\n");
    assert_has(got(c), "abc");
    at(999 * MS);
    assert_open(c);
    at(1000 * MS);
    assert_closed_in_the_turn(c);
    assert_reset(u);
    assert_ended_at("deadline", "close");
    assert_logged("deadline_source", "default");
}

/* ---- the trace --------------------------------------------------------------------------------------------------------------------------------- */
static struct str traceparent_of(const char *head) {
    const char *at = strstr(head, "\r\ntraceparent: ");
    assert_non_null(at);
    struct traceparent t;
    struct str value = { at + 15, 55 };
    assert_true(traceparent_parse(value, &t));
    assert_int_equal(value.p[55], '\r');
    return value;
}
static void all_attempts_of_a_request_belong_to_one_trace(void **state) {
    (void)state;
    stage((struct given){ .policy = "retry: { retries: 1, when: [ upstream_closed ] }, context: { require: { trace: inject }, trace: { mode: join } }" });
    struct sock *c = asks(GET());
    struct sock *u = upstream();
    char first[56];
    snprintf(first, sizeof first, "%.*s", STR_ARG(traceparent_of(unseen(u))));
    assert_has(got(u), "\r\ntracestate: curfew=");
    upstream_sends(u, "HTTP/1.1 200");
    upstream_finishes(u);
    step(1 * SECONDS); /* its back-off */
    struct sock *v = upstream();
    struct str second = traceparent_of(unseen(v));
    assert_memory_equal(second.p, first, 36); /* the same trace-id */
    assert_memory_not_equal(second.p + 36, first + 36, 16);
    assert_int_equal(count(METRIC_TRACES_BEGUN), 1);
    answered(c, v);
}
static void two_requests_are_two_traces(void **state) {
    (void)state;
    stage((struct given){ .policy = "context: { require: { trace: inject } }" });
    struct sock *c = asks(GET("traceparent: 00-not-a-trace\r\ntracestate: foo=1\r\n"));
    struct sock *u = upstream();
    char first[56];
    assert_has_not(unseen(u), "tracestate");
    struct str one = traceparent_of(got(u));
    snprintf(first, sizeof first, "%.*s", STR_ARG(one));
    answered(c, u);
    client_sends(c, GET());
    struct str second = traceparent_of(got(u));
    assert_memory_not_equal(second.p + 3, first + 3, 32);
    answered(c, u);
    assert_int_equal(count(METRIC_TRACES_BEGUN), 2);
    assert_int_equal(count(METRIC_TRACES_RESTARTED), 1);
}

/* ---- what is no field, and where fields do not belong ---------------------------------------------------------------------------------------- */
/* x-context-deadline stands under a prefix of fields; whose it is says deadline.mode: observe changes nothing on the wire. */
static void a_deadline_under_a_prefix_is_no_field(void **state) {
    (void)state;
    stage((struct given){ .policy = "deadline: { mode: observe }, context: { prefixes: [ x-context- ] }" });
    struct sock *c = asks(GET("x-context-deadline: 1700000009000000000\r\nx-context-sent: 1700000000000000000\r\nx-context-other: 1\r\n"));
    struct sock *u = upstream();
    assert_has(unseen(u), "\r\nx-context-deadline: 1700000009000000000\r\nx-context-sent: 1700000000000000000\r\n");
    assert_has_not(got(u), "x-context-other");
    answered(c, u);
}
static void fields_do_not_pass_in_trailers(void **state) {
    (void)state;
    stage((struct given){ .policy = "context: { fields: { x-user: { from: [ ] } } }" });
    struct sock *c = asks(POST("transfer-encoding: chunked\r\n") "3\r\nabc\r\n0\r\nx-user: root\r\nx-checksum: 1\r\n\r\n");
    struct sock *u = upstream();
    assert_has(unseen(u), "\r\nx-checksum: 1\r\n");
    assert_has_not(got(u), "x-user");
    answered(c, u);
    assert_int_equal(atomic_load(&world.w.metrics.fields[FIELD_TRAILER]), 1);
}

int main(void) {
#define AUTO(name) cmocka_unit_test_teardown(name, leave_auto)
    const struct CMUnitTest tests[] = {
        SCENE(with_more_in_flight_than_the_threshold_optional_fields_are_dropped),
        SCENE(the_load_is_over_when_it_has_stayed_below_80_percent_for_a_second),
        SCENE(a_turn_that_takes_too_long_is_load),
        SCENE(what_is_not_optional_passes_under_any_load),
        AUTO(the_operator_has_the_last_word),
        AUTO(the_switch_works_without_thresholds),
        SCENE(a_request_without_what_is_required_is_refused_and_no_upstream_asked),
        SCENE(observed_a_missing_deadline_is_only_said),
        SCENE(what_is_warned_of_goes_on_and_stands_in_the_log),
        SCENE(an_injected_deadline_is_total_and_told_upstream),
        SCENE(all_attempts_of_a_request_belong_to_one_trace),
        SCENE(two_requests_are_two_traces),
        SCENE(a_deadline_under_a_prefix_is_no_field),
        SCENE(fields_do_not_pass_in_trailers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
