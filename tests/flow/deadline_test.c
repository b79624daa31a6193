// SPDX-License-Identifier: Apache-2.0
// The deadline of a request, from its complete head to the turn in which it fires (semantics 1 and 2).
#include "tests/flow/stage.h"

/* ---- the laws of a context tree --------------------------------------------------------------------------------------------- */
static void when_the_deadline_passes_the_client_is_answered_and_the_upstream_dropped_in_one_turn(void **state) {
    (void)state;
    stage((struct given){ 0 });
    struct sock *c = asks(GET("x-request-timeout: 100ms\r\n"));
    struct sock *u = upstream();
    upstream_got(u, "GET / HTTP/1.1\r\n");
    at(99 * MS);
    assert_silent(c);
    assert_open(u);
    at(100 * MS);
    assert_has(assert_answer(c, 504), "\"deadline\"");
    assert_reset(u);
    assert_int_equal(u->closed_turn, c->said_turn);
    assert_int_equal(u->closed_at, 100 * MS);
    assert_ended_at("deadline", "close");
    assert_logged("lateness_ms", "0");
}
/* Law "once": the answer of the upstream, the client's reset and the deadline come in one turn. */
static void of_all_that_ends_a_request_in_one_turn_the_first_counts_and_the_rest_is_silent(void **state) {
    (void)state;
    stage((struct given){ 0 });
    struct sock *c, *u = asked(&c, GET("x-request-timeout: 100ms\r\n"));
    world.now = 100 * MS;
    queues_rst(c);
    queues_rst(u);
    settle();
    assert_ended("client_deadline"); /* at its own deadline a client's leaving is its deadline (T35) */
    assert_nothing_ended();
    assert_true(u->closed && c->closed);
    assert_int_equal(ended(ENDING_DEADLINE) + ended(ENDING_CLIENT_RESET) + ended(ENDING_UPSTREAM_CLOSED), 0);
}
/* T34: the answer was there first, so it is delivered; the deadline found it in our queue, so that is the ending. */
static void an_answer_and_the_deadline_in_one_turn_give_one_answer(void **state) {
    (void)state;
    stage((struct given){ 0 });
    struct sock *c, *u = asked(&c, GET("x-request-timeout: 100ms\r\n"));
    world.now = 100 * MS;
    upstream_sends(u, ANSWER_OK);
    assert_has(assert_answer(c, 200), "ok");
    assert_silent(c);
    assert_ended("deadline");
    assert_logged("status", "200");
    assert_not_logged("cancel_level");
    client_sends(c, GET());
    upstream_got(u, "GET / HTTP/1.1\r\n"); /* nothing was cancelled: both connections are used again */
    answered(c, u);
}
static void after_the_deadline_the_answer_that_still_comes_reaches_nobody(void **state) {
    (void)state;
    stage((struct given){ .policy = "cancel: { http1: [ drain ] }" });
    struct sock *c, *u = asked(&c, GET("x-request-timeout: 100ms\r\n"));
    at(100 * MS);
    assert_answer(c, 504);
    upstream_sends(u, ANSWER("content-length: 6\r\n") "secret");
    assert_silent(c);
    client_sends(c, GET());
    assert_silent(c);
    struct sock *next = upstream_or_none();
    upstream_sends(next ? next : u, ANSWER_OK);
    assert_has_not(assert_answer(c, 200), "secret");
    assert_ended_at("deadline", "drain");
    assert_ended("completed");
}

/* ---- 2.1: the clock -------------------------------------------------------------------------------------------------------------- */
static void the_clock_starts_when_the_head_is_complete(void **state) {
    (void)state;
    stage((struct given){ 0 });
    struct sock *c = client();
    at(1000 * MS);
    client_sends(c, "GET / HTTP/1.1\r\nhost: a\r\nx-request-timeout: 100ms\r\n");
    at(3000 * MS);
    assert_nobody_called();
    client_sends(c, "\r\n");
    struct sock *u = upstream();
    assert_has(upstream_got(u, "GET / HTTP/1.1\r\n"), "\r\nx-request-timeout: 95ms\r\n");
    at(3099 * MS);
    assert_silent(c);
    at(3100 * MS);
    assert_answer(c, 504);
    assert_ended("deadline");
}
static void the_time_of_the_upload_counts_for_a_deadline_that_the_client_set(void **state) {
    (void)state;
    stage((struct given){ 0 });
    struct sock *c = asks(POST("content-length: 10\r\nx-request-timeout: 100ms\r\n") "12345");
    struct sock *u = upstream();
    at(100 * MS);
    assert_answer(c, 504);
    assert_reset(u);
    client_sends(c, "67890"); /* the rest of a short upload is read, so that the answer survives */
    assert_closed(c);
    assert_ended_at("deadline", "close");
}
static void time_in_our_own_queue_counts(void **state) {
    (void)state;
    stage((struct given){ .upstream = "max_connections: 1" });
    struct sock *a = client(), *b = client();
    client_sends(a, GET());
    struct sock *u = upstream();
    got(u);
    client_sends(b, GET("x-request-timeout: 200ms\r\n"));
    at(80 * MS);
    answered(a, u);
    assert_has(upstream_got(u, "GET / HTTP/1.1\r\n"), "\r\nx-request-timeout: 115ms\r\n"); /* 200 - 80 - reserve */
    at(200 * MS);
    assert_answer(b, 504);
    assert_ended_at("deadline", "close");
    assert_logged("queued_ms", "80");
}

/* ---- 2.4: whose deadline ------------------------------------------------------------------------------------------------------------ */
static void the_default_runs_to_the_head_of_the_answer_and_no_further(void **state) {
    (void)state;
    stage((struct given){ .policy = "deadline: { default: 1s, idle: 5s }" });
    struct sock *c = asks(GET());
    struct sock *u = upstream();
    assert_has(got(u), "\r\nx-request-timeout: 995ms\r\n");
    at(999 * MS);
    upstream_sends(u, ANSWER("content-length: 4\r\n") "12");
    at(4000 * MS);
    upstream_sends(u, "34");
    assert_has(assert_answer(c, 200), "1234");
    assert_ended("completed");
}
static void the_default_ends_a_request_whose_answer_does_not_begin(void **state) {
    (void)state;
    stage((struct given){ .policy = "deadline: { default: 1s }" });
    struct sock *c = asks(GET());
    struct sock *u = upstream();
    at(999 * MS);
    assert_silent(c);
    at(1000 * MS);
    assert_answer(c, 504);
    assert_int_equal(u->closed_turn, c->said_turn);
    assert_ended_at("deadline", "close");
    assert_logged("deadline_source", "default");
}
static void the_default_is_paused_while_the_requests_body_still_arrives(void **state) {
    (void)state;
    stage((struct given){ .policy = "deadline: { default: 1s }" });
    struct sock *c = asks(POST("content-length: 10\r\n"));
    struct sock *u = upstream();
    for (int i = 0; i < 10; i++) {
        step(2 * SECONDS);
        client_sends(c, "x");
        assert_silent(c);
    }
    assert_has(got(u), "xxxxxxxxxx");
    at(20 * SECONDS + 999 * MS);
    assert_silent(c);
    at(21 * SECONDS);
    assert_answer(c, 504);
    assert_ended_at("deadline", "close");
}
/* T19 */
static void an_interim_answer_passes_and_stops_no_timer(void **state) {
    (void)state;
    stage((struct given){ .policy = "deadline: { default: 1s }" });
    struct sock *c = asks(GET());
    struct sock *u = upstream();
    at(500 * MS);
    upstream_sends(u, "HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n");
    assert_has(assert_answer(c, 103), "link: </a>");
    at(1000 * MS);
    assert_answer(c, 504);
    assert_ended_at("deadline", "close");
}
static void a_total_deadline_ends_a_chunked_answer_without_its_last_chunk(void **state) {
    (void)state;
    stage((struct given){ 0 });
    struct sock *c = asks(GET("x-request-timeout: 100ms\r\n"));
    struct sock *u = upstream();
    upstream_sends(u, ANSWER("transfer-encoding: chunked\r\n") "3\r\nabc\r\n");
    assert_has(unseen(c), "abc\r\n");
    at(100 * MS);
    assert_has_not(unseen(c), "0\r\n\r\n");
    assert_truncated(c);
    assert_int_equal(c->closed_turn, u->closed_turn);
    assert_reset(u);
    assert_ended_at("deadline", "close");
    assert_logged("status", "200");
}
/* T22 */
static void a_body_that_only_the_close_delimits_is_cut_by_a_reset(void **state) {
    (void)state;
    stage((struct given){ 0 });
    struct sock *c = asks("GET / HTTP/1.0\r\nhost: a\r\nuser-agent: t\r\nx-request-timeout: 100ms\r\n\r\n");
    struct sock *u = upstream();
    upstream_sends(u, ANSWER("transfer-encoding: chunked\r\n") "3\r\nabc\r\n");
    assert_has(got(c), "abc");
    at(100 * MS);
    assert_reset(c);
    assert_ended_at("deadline", "close");
}
/* What follows the head of who asks for a tunnel is no body that the default would wait for (semantics 2.4). */
static void streaming_never_gives_a_tunnel_the_default_until_it_stands(void **state) {
    (void)state;
    stage((struct given){ .policy = "deadline: { default: 1s, idle: 1h, streaming: { detect: never } }" });
    struct sock *c, *u = asked(&c, GET("connection: upgrade\r\nupgrade: websocket\r\n"));
    at(1 * SECONDS);
    assert_has(assert_answer(c, 504), "\"deadline\"");
    assert_reset(u);
    assert_ended_at("deadline", "close");
}
static void a_stream_without_a_deadline_has_no_default(void **state) {
    (void)state;
    stage((struct given){ .policy = "deadline: { default: 1s, streaming: { idle: 1h } }" });
    struct sock *c = asks(GET("accept: text/event-stream\r\n"));
    struct sock *u = upstream();
    assert_has_not(got(u), "x-request-timeout");
    at(1800 * SECONDS);
    assert_silent(c);
    answered(c, u);
}
static void max_clamps_what_the_client_asks(void **state) {
    (void)state;
    stage((struct given){ .policy = "deadline: { max: 2s, default: 1s }" });
    struct sock *c = asks(GET("x-request-timeout: 1h\r\n"));
    struct sock *u = upstream();
    assert_has(got(u), "\r\nx-request-timeout: 1995ms\r\n");
    at(2000 * MS);
    assert_answer(c, 504);
    assert_ended_at("deadline", "close");
}
static void answer_margin_fires_before_the_clients_own_timer(void **state) {
    (void)state;
    stage((struct given){ .policy = "deadline: { answer_margin: 20ms }" });
    struct sock *c = asks(GET("x-request-timeout: 100ms\r\n"));
    at(79 * MS);
    assert_silent(c);
    at(80 * MS);
    assert_answer(c, 504);
    assert_ended_at("deadline", "close");
}

/* ---- 2.6: too little left ---------------------------------------------------------------------------------------------------------- */
static void with_less_than_min_and_reserve_the_upstream_is_not_asked(void **state) {
    (void)state;
    stage((struct given){ .policy = "deadline: { min: 10ms, reserve: 5ms }" });
    struct sock *c = client();
    queues(c, GET("x-request-timeout: 14ms\r\n"));
    settle();
    assert_nobody_called();
    assert_has(assert_answer(c, 504), "shed_expired");
    assert_said_in_the_turn(c);
    assert_ended("shed_expired");
    assert_not_logged("cancel_level");
    client_sends(c, GET("x-request-timeout: 15ms\r\n"));
    struct sock *u = upstream();
    assert_has(got(u), "\r\nx-request-timeout: 10ms\r\n");
    answered(c, u);
}
static void when_its_turn_comes_with_too_little_left_the_upstream_does_not_see_it(void **state) {
    (void)state;
    stage((struct given){ .upstream = "max_connections: 1", .policy = "deadline: { min: 10ms, reserve: 5ms }" });
    struct sock *a = client(), *b = client();
    client_sends(a, GET());
    struct sock *u = upstream();
    got(u);
    client_sends(b, GET("x-request-timeout: 100ms\r\n"));
    at(90 * MS);
    upstream_sends(u, ANSWER_OK);
    assert_answer(a, 200);
    assert_has(assert_answer(b, 504), "shed_expired");
    assert_silent(u);
    assert_open(u); /* the slot was not lost */
    assert_ended("shed_expired");
    assert_ended("completed");
    client_sends(a, GET());
    upstream_got(u, "GET / HTTP/1.1\r\n");
    answered(a, u);
}

/* ---- 2.7: told anew ------------------------------------------------------------------------------------------------------------------ */
static void each_attempt_is_told_what_is_left_for_it(void **state) {
    (void)state;
    stage((struct given){ .policy = "deadline: { per_try: 300ms }, retry: { backoff: { base: 0s }, retries: 2, when: [ try_timeout ] }" });
    struct sock *c = asks(GET("x-request-timeout: 500ms\r\n"));
    struct sock *first = upstream();
    assert_has(got(first), "\r\nx-request-timeout: 300ms\r\n"); /* never more than per_try */
    at(300 * MS);
    assert_reset(first);
    struct sock *second = upstream();
    assert_has(got(second), "\r\nx-request-timeout: 195ms\r\n");
    at(500 * MS);
    assert_answer(c, 504);
    assert_reset(second);
    assert_ended_at("deadline", "close");
    assert_logged("attempts", "2");
}
static void a_stale_dialect_is_replaced_and_never_doubled(void **state) {
    (void)state;
    stage((struct given){ 0 });
    struct sock *c = asks(GET("x-request-timeout: 1s\r\nx-context-deadline: 1700000060000000000\r\ngrpc-timeout: 9H\r\n"));
    struct sock *u = upstream();
    const char *text = got(u);
    assert_has(text, "\r\nx-request-timeout: 995ms\r\n");
    assert_has_not(text, "1700000060000000000");
    assert_has_not(text, "grpc-timeout");
    answered(c, u);
}

/* ---- 2.9: modes ------------------------------------------------------------------------------------------------------------------------ */
static void observe_changes_nothing_on_the_wire_and_logs_what_would_have_happened(void **state) {
    (void)state;
    stage((struct given){ .policy = "deadline: { mode: observe, default: 1s }" });
    struct sock *c = asks(GET("x-request-timeout: 100ms\r\n"));
    struct sock *u = upstream();
    assert_has(got(u), "\r\nx-request-timeout: 100ms\r\n");
    at(5 * SECONDS);
    assert_silent(c);
    assert_open(u);
    answered(c, u);
    assert_logged("would_have", "deadline");
}
static void forward_tells_the_upstream_and_enforces_nothing(void **state) {
    (void)state;
    stage((struct given){ .policy = "deadline: { mode: forward }" });
    struct sock *c = asks(GET("x-request-timeout: 100ms\r\n"));
    struct sock *u = upstream();
    assert_has(got(u), "\r\nx-request-timeout: 95ms\r\n");
    at(5 * SECONDS);
    assert_silent(c);
    answered(c, u);
}
static void disabled_reads_tells_and_strips_nothing(void **state) {
    (void)state;
    stage((struct given){ .policy = "deadline: { mode: disabled }" });
    struct sock *c = asks(GET("x-request-timeout: soon\r\ngrpc-timeout: 1n\r\n"));
    struct sock *u = upstream();
    const char *text = got(u);
    assert_has(text, "\r\nx-request-timeout: soon\r\n");
    assert_has(text, "\r\ngrpc-timeout: 1n\r\n");
    at(1000 * SECONDS);
    assert_silent(c);
    answered(c, u);
}

/* ---- T17: time does not depend on bytes ------------------------------------------------------------------------------------------------- */
static void an_upstream_that_takes_no_byte_is_dropped_at_the_deadline(void **state) {
    (void)state;
    stage((struct given){ 0 });
    world.connects[0] = SLOWLY;
    struct sock *c = asks(POST("content-length: 1000000\r\nx-request-timeout: 100ms\r\n"));
    struct sock *u = upstream();
    u->room = 200;
    accepts(u);
    sends_n(c, 'x', 100000);
    assert_int_equal(u->ngot, 200);
    at(100 * MS);
    assert_answer(c, 504);
    assert_reset(u);
    assert_int_equal(u->closed_turn, c->said_turn);
    assert_ended_at("deadline", "close");
}
static void a_client_that_takes_no_byte_does_not_hold_the_upstream_past_the_deadline(void **state) {
    (void)state;
    stage((struct given){ 0 });
    struct sock *c = client();
    takes(c, 0);
    client_sends(c, GET("x-request-timeout: 100ms\r\n"));
    struct sock *u = upstream();
    upstream_sends(u, ANSWER("content-length: 1000000\r\n"));
    sends_n(u, 'x', 50000);
    at(100 * MS);
    assert_reset(u);
    assert_int_equal(u->closed_at, 100 * MS);
    at(60 * SECONDS);
    assert_true(c->closed);
    assert_ended_at("deadline", "close");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        SCENE(when_the_deadline_passes_the_client_is_answered_and_the_upstream_dropped_in_one_turn),
        SCENE(of_all_that_ends_a_request_in_one_turn_the_first_counts_and_the_rest_is_silent),
        SCENE(an_answer_and_the_deadline_in_one_turn_give_one_answer),
        SCENE(after_the_deadline_the_answer_that_still_comes_reaches_nobody),
        SCENE(the_clock_starts_when_the_head_is_complete),
        SCENE(the_time_of_the_upload_counts_for_a_deadline_that_the_client_set),
        SCENE(time_in_our_own_queue_counts),
        SCENE(the_default_runs_to_the_head_of_the_answer_and_no_further),
        SCENE(the_default_ends_a_request_whose_answer_does_not_begin),
        SCENE(the_default_is_paused_while_the_requests_body_still_arrives),
        SCENE(an_interim_answer_passes_and_stops_no_timer),
        SCENE(a_total_deadline_ends_a_chunked_answer_without_its_last_chunk),
        SCENE(a_body_that_only_the_close_delimits_is_cut_by_a_reset),
        SCENE(streaming_never_gives_a_tunnel_the_default_until_it_stands),
        SCENE(a_stream_without_a_deadline_has_no_default),
        SCENE(max_clamps_what_the_client_asks),
        SCENE(answer_margin_fires_before_the_clients_own_timer),
        SCENE(with_less_than_min_and_reserve_the_upstream_is_not_asked),
        SCENE(when_its_turn_comes_with_too_little_left_the_upstream_does_not_see_it),
        SCENE(each_attempt_is_told_what_is_left_for_it),
        SCENE(a_stale_dialect_is_replaced_and_never_doubled),
        SCENE(observe_changes_nothing_on_the_wire_and_logs_what_would_have_happened),
        SCENE(forward_tells_the_upstream_and_enforces_nothing),
        SCENE(disabled_reads_tells_and_strips_nothing),
        SCENE(an_upstream_that_takes_no_byte_is_dropped_at_the_deadline),
        SCENE(a_client_that_takes_no_byte_does_not_hold_the_upstream_past_the_deadline),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
