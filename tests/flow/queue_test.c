// SPDX-License-Identifier: Apache-2.0
// Waiting for an upstream: the queue by deadline, who gets a connection, who leaves, and what is tried again (semantics 5, traps T38 to T40).
#include "tests/flow/stage.h"


/* ---- the queue ---------------------------------------------------------------------------------------------------------------------- */
static void who_has_less_time_goes_first(void **state) {
    (void)state;
    stage((struct given){ .upstream = "max_connections: 1" });
    struct sock *a = asks(GET_PATH("/a", ""));
    struct sock *u = upstream();
    upstream_got(u, "GET /a ");
    struct sock *late = asks(GET_PATH("/late", "x-request-timeout: 9s\r\n"));
    struct sock *soon = asks(GET_PATH("/soon", "x-request-timeout: 1s\r\n"));
    struct sock *soon_too = asks(GET_PATH("/too", "x-request-timeout: 1s\r\n"));
    struct sock *middle = asks(GET_PATH("/middle", "x-request-timeout: 5s\r\n"));
    upstream_sends(u, ANSWER_OK);
    upstream_got(u, "GET /soon ");
    upstream_sends(u, ANSWER_OK);
    upstream_got(u, "GET /too ");
    upstream_sends(u, ANSWER_OK);
    upstream_got(u, "GET /middle ");
    upstream_sends(u, ANSWER_OK);
    upstream_got(u, "GET /late ");
    upstream_sends(u, ANSWER_OK);
    struct sock *all[] = { a, late, soon, soon_too, middle };
    for (size_t i = 0; i < 5; i++) {
        assert_answer(all[i], 200);
        assert_ended("completed");
    }
    assert_nobody_called();
}
/* T40 */
static void who_left_the_queue_is_handed_nothing(void **state) {
    (void)state;
    stage((struct given){ .upstream = "max_connections: 1" });
    struct sock *a, *u = asked(&a, GET());
    struct sock *gone = asks(GET_PATH("/gone", "x-request-timeout: 1s\r\n"));
    struct sock *b = asks(GET_PATH("/b", ""));
    assert_int_equal(upstream_queued(world.w.snapshot->upstreams[0]), 2);
    queues_rst(gone);
    queues(u, ANSWER_OK); /* both in one turn */
    settle();
    upstream_got(u, "GET /b ");
    assert_ended_at("client_reset", "withdrawn");
    upstream_sends(u, ANSWER_OK);
    assert_answer(a, 200);
    assert_answer(b, 200);
    assert_ended("completed");
    assert_ended("completed");
}
static void a_connection_and_the_leaving_of_whom_it_was_for_in_one_turn(void **state) {
    (void)state;
    stage((struct given){ 0 });
    world.connects[0] = SLOWLY;
    struct sock *c = asks(GET());
    struct sock *u = upstream();
    u->waits = false;
    u->opened = true;
    does(u);
    queues_rst(c);
    settle();
    assert_silent(u);
    assert_ended_at("client_reset", "withdrawn");
    assert_open(u);
    c = asks(GET()); /* it is of use */
    upstream_got(u, "GET / ");
    answered(c, u);
}
static void a_deadline_in_the_queue_is_withdrawn(void **state) {
    (void)state;
    stage((struct given){ .upstream = "max_connections: 1" });
    struct sock *a, *u = asked(&a, GET());
    struct sock *b = asks(GET("x-request-timeout: 1s\r\n"));
    at(1000 * MS);
    assert_answer(b, 504);
    assert_ended_at("deadline", "withdrawn");
    assert_int_equal(upstream_queued(world.w.snapshot->upstreams[0]), 0);
    upstream_sends(u, ANSWER_OK);
    assert_silent(u);
    assert_answer(a, 200);
    assert_ended("completed");
}
static void a_client_that_leaves_while_connecting_was_never_heard_of_and_the_next_takes_the_connection(void **state) {
    (void)state;
    stage((struct given){ 0 });
    world.connects[0] = SLOWLY;
    struct sock *a = asks(GET_PATH("/a", ""));
    struct sock *u = upstream();
    client_resets(a);
    assert_ended_at("client_reset", "withdrawn");
    struct sock *b = asks(GET_PATH("/b", ""));
    accepts(u);
    upstream_got(u, "GET /b ");
    answered(b, u);
}
static void max_requests_holds_back_what_max_connections_would_allow(void **state) {
    (void)state;
    stage((struct given){ .upstream = "max_requests: 1, max_connections: 10" });
    struct sock *a, *u = asked(&a, GET()), *b = asks(GET());
    assert_nobody_called();
    client_resets(a);
    assert_reset(u);
    struct sock *v = upstream();
    upstream_got(v, "GET / ");
    upstream_sends(v, ANSWER_OK);
    assert_answer(b, 200);
    assert_ended_at("client_reset", "close");
    assert_ended("completed");
}
static void max_pending_of_none_sheds_whoever_would_wait(void **state) {
    (void)state;
    stage((struct given){ .upstream = "max_connections: 2, max_pending: 0" });
    struct sock *a = asks(GET()), *b = asks(GET()), *c = asks(GET());
    struct sock *u = upstream(), *v = upstream();
    assert_has(assert_answer(c, 503), "retry-after: ");
    assert_ended("shed_load");
    upstream_sends(u, ANSWER_OK);
    upstream_sends(v, ANSWER_OK);
    assert_answer(a, 200);
    assert_answer(b, 200);
    assert_ended("completed");
    assert_ended("completed");
}
static void what_came_free_serves_who_waits_for_a_connection_of_its_own(void **state) {
    (void)state;
    stage((struct given){ 0 });
    struct sock *a, *u = asked(&a, GET_PATH("/a", ""));
    world.connects[0] = SLOWLY;
    struct sock *b = asks(GET_PATH("/b", ""));
    struct sock *v = upstream();
    upstream_sends(u, ANSWER_OK);
    upstream_got(u, "GET /b ");
    accepts(v);
    assert_silent(v);
    upstream_sends(u, ANSWER_OK);
    assert_answer(a, 200);
    assert_answer(b, 200);
    assert_ended("completed");
    assert_ended("completed");
}

/* ---- another attempt ---------------------------------------------------------------------------------------------------------------- */
static void stage_pair(const char *policy, const char *keys) {
    char more[256];
    snprintf(more, sizeof more, "balance: round_robin, %s", keys);
    stage_endpoints(2, more, policy);
}
static void a_refused_connection_is_tried_at_another_endpoint(void **state) {
    (void)state;
    stage_pair("", "");
    world.connects[0] = REFUSED;
    struct sock *c = asks(POST("content-length: 3\r\n") "abc"); /* whatever the method: nobody has run it */
    struct sock *u = upstream(), *v = upstream();
    assert_int_equal(u->port, 9001);
    assert_int_equal(v->port, 9002);
    assert_has(got(v), "\r\n\r\nabc");
    answered(c, v);
    assert_logged("attempts", "2");
    c = asks(GET()); /* who failed is left alone for a while */
    assert_nobody_called();
    answered(c, v);
    assert_logged("attempts", "1");
}
static void both_refuse_and_the_client_is_told_once(void **state) {
    (void)state;
    stage_pair("retry: { backoff: { base: 0s }, retries: 5 }", "");
    world.connects[0] = world.connects[1] = REFUSED;
    struct sock *c = asks(GET());
    assert_answer(c, 503);
    assert_silent(c);
    assert_ended("connect_failure");
    assert_logged("attempts", "6");
    while (upstream_or_none()) { }
}
static void a_system_that_refuses_at_once_is_tried_at_another_endpoint(void **state) {
    (void)state;
    stage_pair("", "");
    world.connects[0] = UNREACHABLE;
    struct sock *c = asks(GET());
    struct sock *v = upstream();
    assert_int_equal(v->port, 9002);
    answered(c, v);
}
/* T38 */
static void no_attempt_starts_for_a_client_that_left(void **state) {
    (void)state;
    stage_pair("", "");
    world.connects[0] = SLOWLY;
    struct sock *c = asks(GET());
    struct sock *u = upstream();
    u->waits = false;
    u->error = ECONNREFUSED;
    does(u);
    queues_rst(c);
    settle();
    assert_nobody_called();
    assert_ended("client_reset");
}
static void no_attempt_starts_with_too_little_left(void **state) {
    (void)state;
    stage_pair("deadline: { min: 10ms, reserve: 5ms }", "");
    world.connects[0] = SLOWLY;
    struct sock *c = asks(GET("x-request-timeout: 100ms\r\n"));
    struct sock *u = upstream();
    at(90 * MS);
    refuses(u);
    assert_nobody_called();
    assert_answer(c, 503);
    assert_ended("connect_failure");
}
static void connect_timeouts_count_attempts_and_the_total_stands_over_all(void **state) {
    (void)state;
    stage_pair("retry: { backoff: { base: 0s }, retries: 3 }", "connect_timeout: 200ms");
    world.connects[0] = world.connects[1] = SLOWLY;
    struct sock *c = asks(GET("x-request-timeout: 500ms\r\n"));
    at(500 * MS);
    assert_answer(c, 504);
    assert_ended_at("deadline", "withdrawn");
    assert_logged("attempts", "3");
    step(10 * SECONDS);
    assert_int_equal(upstream()->port, 9001);
    assert_int_equal(upstream()->port, 9002);
    assert_int_equal(upstream()->port, 9001);
    assert_nobody_called();
}
/* T39 */
static void what_may_have_run_is_tried_again_only_where_the_policy_says_so(void **state) {
    (void)state;
    stage_pair("retry: { backoff: { base: 0s }, retries: 1, when: [ upstream_closed ] }", "");
    struct sock *c, *u = asked(&c, GET());
    upstream_resets(u);
    struct sock *v = upstream();
    assert_int_equal(v->port, 9002);
    answered(c, v);
    c = asks(POST("content-length: 1\r\n") "x");
    struct sock *w = upstream_or_none();
    if (!w) w = v;
    got(w);
    upstream_resets(w);
    assert_answer(c, 502);
    assert_nobody_called();
    assert_ended("upstream_closed");
}
static void an_answer_that_began_is_not_tried_again(void **state) {
    (void)state;
    stage_pair("retry: { backoff: { base: 0s }, retries: 3, when: [ upstream_closed, try_timeout ] }, deadline: { per_try: 1s }", "");
    struct sock *c = asks(GET());
    struct sock *u = upstream();
    upstream_sends(u, ANSWER("content-length: 100\r\n") "half");
    upstream_resets(u);
    assert_truncated(c);
    assert_nobody_called();
    assert_ended("upstream_closed");
}
static void a_try_that_took_too_long_is_dropped_and_its_late_answer_reaches_nobody(void **state) {
    (void)state;
    stage_pair("retry: { backoff: { base: 0s }, retries: 1, when: [ try_timeout ] }, deadline: { per_try: 1s }, cancel: { http1: [ drain ] }", "");
    struct sock *c = asks(GET());
    struct sock *u = upstream();
    at(1 * SECONDS);
    struct sock *v = upstream();
    upstream_sends(u, ANSWER("content-length: 4\r\n") "late");
    assert_silent(c);
    upstream_sends(v, ANSWER_OK);
    assert_has(assert_answer(c, 200), "ok");
    assert_ended("completed");
    assert_logged("attempts", "2");
}
static void an_idle_connection_whose_time_is_over_is_not_given_to_an_attempt_of_the_same_turn(void **state) {
    (void)state;
    stage((struct given){ .upstream = "idle_timeout: 100ms", .policy = "deadline: { per_try: 100ms }, retry: { backoff: { base: 0s }, retries: 1, when: [ try_timeout ] }" });
    struct sock *a = asks(GET()), *b = asks(GET_PATH("/b", ""));
    struct sock *u = upstream(), *v = upstream();
    upstream_sends(u, ANSWER_OK); /* idle from 0 to 100 ms, as long as the try of the other */
    assert_answer(a, 200);
    assert_ended("completed");
    at(100 * MS);
    assert_reset(v);
    assert_true(u->closed);
    struct sock *w = upstream();
    upstream_got(w, "GET /b ");
    answered(b, w);
    assert_logged("attempts", "2");
}
static void the_client_leaves_between_a_drained_try_and_the_next(void **state) {
    (void)state;
    stage_pair("retry: { backoff: { base: 0s }, retries: 1, when: [ try_timeout ] }, deadline: { per_try: 1s }, cancel: { http1: [ drain ] }", "");
    struct sock *c = asks(GET());
    struct sock *u = upstream();
    at(1 * SECONDS);
    struct sock *v = upstream();
    client_resets(c);
    upstream_sends(u, ANSWER_OK);
    upstream_sends(v, ANSWER_OK);
    assert_ended_at("client_reset", "drain");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        SCENE(who_has_less_time_goes_first),
        SCENE(who_left_the_queue_is_handed_nothing),
        SCENE(a_connection_and_the_leaving_of_whom_it_was_for_in_one_turn),
        SCENE(a_deadline_in_the_queue_is_withdrawn),
        SCENE(a_client_that_leaves_while_connecting_was_never_heard_of_and_the_next_takes_the_connection),
        SCENE(max_requests_holds_back_what_max_connections_would_allow),
        SCENE(max_pending_of_none_sheds_whoever_would_wait),
        SCENE(what_came_free_serves_who_waits_for_a_connection_of_its_own),
        SCENE(a_refused_connection_is_tried_at_another_endpoint),
        SCENE(both_refuse_and_the_client_is_told_once),
        SCENE(a_system_that_refuses_at_once_is_tried_at_another_endpoint),
        SCENE(no_attempt_starts_for_a_client_that_left),
        SCENE(no_attempt_starts_with_too_little_left),
        SCENE(connect_timeouts_count_attempts_and_the_total_stands_over_all),
        SCENE(what_may_have_run_is_tried_again_only_where_the_policy_says_so),
        SCENE(an_answer_that_began_is_not_tried_again),
        SCENE(a_try_that_took_too_long_is_dropped_and_its_late_answer_reaches_nobody),
        SCENE(an_idle_connection_whose_time_is_over_is_not_given_to_an_attempt_of_the_same_turn),
        SCENE(the_client_leaves_between_a_drained_try_and_the_next),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
