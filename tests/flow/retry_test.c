// SPDX-License-Identifier: Apache-2.0
// Attempts one after another: what is held back from the client, how long is waited, and who has the last word.
#include "tests/flow/h2.h"
#include "core/random.h"

#define BUSY "HTTP/1.1 503 Busy\r\ncontent-length: 4\r\n\r\nbusy"
#define CALL "content-type: application/grpc\nte: trailers\n"

/* Chance is such that the n-th back-off of a request is long enough to look at; how long. */
static int64_t long_backoff(int64_t n) {
    for (;; world.w.chance++) {
        uint64_t state = world.w.chance;
        span wait = retry_backoff(&world.w.snapshot->config->policies.v[0].retry, n, random_next(&state));
        if (wait.ns >= 10 * MS) return wait.ns;
    }
}
static uint64_t retried(enum ending outcome) { return atomic_load(&world.w.metrics.retries[outcome]); }
static uint64_t refused(enum retry_verdict why) { return atomic_load(&world.w.metrics.retries_refused[why]); }

/* ---- an answer that is held back ------------------------------------------------------------------------------------------------------------ */
static void an_answer_whose_status_is_tried_again_is_read_to_its_end_and_reaches_nobody(void **state) {
    (void)state;
    stage((struct given){ .policy = "retry: { when: [ 503 ] }" });
    int64_t wait = long_backoff(1);
    struct sock *c, *u = asked(&c, GET());
    upstream_sends(u, BUSY);
    assert_silent(c);
    assert_open(u);
    assert_int_equal(count(METRIC_RETRIES_WAITING), 1);
    at(wait - 2 * MS);
    assert_silent(u);
    at(wait + 1 * MS);
    upstream_got(u, "GET / HTTP/1.1\r\n"); /* the same connection: its answer was read whole */
    assert_int_equal(count(METRIC_RETRIES_WAITING), 0);
    upstream_sends(u, ANSWER_OK);
    assert_has_not(assert_answer(c, 200), "busy");
    assert_ended("completed");
    assert_logged("attempts", "2");
    assert_logged("queued_ms", "0");
    assert_not_logged("cancel_level");
    assert_int_equal(retried(ENDING_NONE), 1);
}
static void the_next_attempt_goes_to_another_endpoint_and_the_last_answer_passes_as_it_came(void **state) {
    (void)state;
    stage_endpoints(2, "", "retry: { retries: 2, when: [ 503 ], backoff: { base: 0s } }");
    struct sock *c = asks(GET());
    struct sock *u = upstream();
    upstream_sends(u, BUSY);
    struct sock *v = upstream();
    assert_int_equal(v->port, u->port == 9001 ? 9002 : 9001);
    upstream_sends(v, BUSY);
    struct sock *w = upstream_or_none();
    upstream_sends(w ? w : u, "HTTP/1.1 503 Still\r\ncontent-length: 5\r\nx-why: none\r\n\r\nstill");
    const char *last = assert_answer(c, 503);
    assert_has(last, "x-why: none\r\n");
    assert_has(last, "still");
    assert_ended("completed");
    assert_logged("attempts", "3");
    assert_logged("status", "503");
    assert_not_logged("no_retry");
}
static void a_post_is_answered_with_whatever_it_got(void **state) {
    (void)state;
    stage((struct given){ .policy = "retry: { when: [ 503 ] }" });
    struct sock *c = asks(POST("content-length: 1\r\n") "x");
    struct sock *u = upstream();
    upstream_sends(u, BUSY);
    assert_has(assert_answer(c, 503), "busy");
    assert_ended("completed");
    assert_logged("attempts", "1");
}
static void a_long_body_of_a_held_back_answer_is_read_within_the_drain_limit(void **state) {
    (void)state;
    stage_endpoints(2, "", "retry: { when: [ 503 ], backoff: { base: 0s } }, cancel: { drain_limit: { time: 1s, bytes: 1KiB } }");
    struct sock *c = asks(GET());
    struct sock *u = upstream();
    upstream_sends(u, "HTTP/1.1 503 Busy\r\ncontent-length: 100000\r\n\r\n");
    struct sock *v = upstream();
    assert_open(u);
    sends_n(u, 'x', 2000);
    assert_reset(u);
    answered(c, v);
    c = asks(GET());
    struct sock *w = upstream();
    upstream_sends(w, "HTTP/1.1 503 Busy\r\ncontent-length: 100000\r\n\r\n");
    answered(c, v); /* and the log does not wait for what only drains */
    assert_open(w);
    step(1 * SECONDS);
    assert_reset(w);
}
static void an_upload_that_an_answer_cuts_short_is_sent_again_from_its_start(void **state) {
    (void)state;
    stage_endpoints(2, "", "retry: { when: [ 503 ], backoff: { base: 0s } }");
    struct sock *c = asks("PUT / HTTP/1.1\r\nhost: a\r\ncontent-length: 6\r\n\r\nabc");
    struct sock *u = upstream();
    assert_has(upstream_got(u, "PUT / HTTP/1.1\r\n"), "\r\n\r\nabc");
    upstream_sends(u, BUSY);
    assert_closed(u); /* it has not the whole request: nothing more is to be had of this connection */
    struct sock *v = upstream();
    assert_has(upstream_got(v, "PUT / HTTP/1.1\r\n"), "\r\n\r\nabc");
    client_sends(c, "def");
    upstream_got(v, "def");
    answered(c, v);
    assert_not_logged("cancel_level");
}
static void a_body_past_the_buffer_is_sent_once_and_the_answer_passes(void **state) {
    (void)state;
    stage_endpoints(2, "", "retry: { when: [ 503 ], buffer: 1KiB }");
    struct sock *c = asks("PUT / HTTP/1.1\r\nhost: a\r\ncontent-length: 100000\r\n\r\n");
    sends_n(c, 'x', 100000);
    upstream_sends(upstream(), BUSY);
    assert_has(assert_answer(c, 503), "busy");
    assert_nobody_called();
    assert_ended("completed");
}

/* ---- the back-off ------------------------------------------------------------------------------------------------------------------------------ */
/* Law "nothing left": the wait is over in the turn in which the client leaves. */
static void a_client_that_leaves_in_a_back_off_leaves_nothing(void **state) {
    (void)state;
    stage((struct given){ .policy = "retry: { when: [ 503 ], backoff: { base: 10s, max: 10s } }, deadline: { default: 30s }" });
    long_backoff(1);
    struct sock *c, *u = asked(&c, GET());
    upstream_sends(u, BUSY);
    assert_int_equal(count(METRIC_RETRIES_WAITING), 1);
    client_resets(c);
    assert_ended_at("client_reset", "withdrawn");
    assert_nothing_left();
    assert_int_equal(count(METRIC_RETRIES_WAITING), 0);
    step(20 * SECONDS);
    assert_silent(u);
    assert_nobody_called();
}
static void an_operator_and_the_end_of_a_drain_end_a_back_off_too(void **state) {
    (void)state;
    stage((struct given){ .policy = "retry: { when: [ 503 ], backoff: { base: 10s, max: 10s } }, deadline: { default: 30s }", .shutdown = "1s" });
    long_backoff(1);
    struct sock *c = asks(GET());
    upstream_sends(upstream(), BUSY);
    LIST_EACH(&world.w.exchanges, x, struct exchange, node) { context_end(&x->context, ENDING_OPERATOR_CANCELLED, 0); }
    settle();
    assert_answer(c, 503);
    assert_ended_at("operator_cancelled", "withdrawn");
    long_backoff(1);
    client_sends(c, GET());
    upstream_sends(world.v[1], BUSY);
    worker_post_kind(&world.w, MESSAGE_DRAIN);
    settle();
    assert_silent(c);
    step(1 * SECONDS);
    assert_has(assert_answer(c, 503), "shutdown");
    assert_ended_at("shutdown", "withdrawn");
    world.no_idle_check = true;
}
static void a_wait_that_would_not_leave_enough_is_not_begun(void **state) {
    (void)state;
    stage((struct given){ .policy = "retry: { when: [ upstream_closed, 503 ], backoff: { base: 10s, max: 10s } }" });
    int64_t wait = long_backoff(1);
    assert_true(wait > 500 * MS);
    struct sock *c, *u = asked(&c, GET("x-request-timeout: 500ms\r\n"));
    upstream_resets(u);
    assert_said_in_the_turn(c); /* at once, not when the time is up */
    assert_answer(c, 502);
    assert_ended("upstream_closed");
    assert_logged("no_retry", "no_time");
    assert_true(long_backoff(1) > 500 * MS);
    c = asks(GET("x-request-timeout: 500ms\r\n"));
    upstream_sends(upstream(), BUSY);
    assert_has(assert_answer(c, 503), "busy");
    assert_ended("completed");
    assert_logged("no_retry", "no_time");
    assert_int_equal(refused(RETRY_NO_TIME), 2);
    assert_nobody_called();
}
static void what_cannot_have_run_goes_at_once_and_then_waits(void **state) {
    (void)state;
    stage_endpoints(2, "", "retry: { retries: 2 }");
    int64_t wait = 0;
    for (;; world.w.chance++) { /* the second draw counts */
        uint64_t s = world.w.chance;
        random_next(&s);
        wait = retry_backoff(&world.w.snapshot->config->policies.v[0].retry, 2, random_next(&s)).ns;
        if (wait >= 10 * MS) break;
    }
    world.connects[0] = world.connects[1] = REFUSED;
    struct sock *c = asks(GET());
    assert_int_equal(upstream()->port, 9001);
    assert_int_equal(upstream()->port, 9002);
    assert_nobody_called();
    world.connects[0] = world.connects[1] = AT_ONCE;
    at(wait - 2 * MS);
    assert_nobody_called();
    at(wait + 1 * MS);
    answered(c, upstream());
    assert_logged("attempts", "3");
    assert_int_equal(retried(ENDING_CONNECT_FAILURE), 2);
}
static void each_attempt_is_told_what_is_left_behind_its_wait(void **state) {
    (void)state;
    stage((struct given){ .policy = "retry: { when: [ 503 ] }" });
    struct sock *c = asks(GET("x-request-timeout: 5s\r\n"));
    struct sock *u = upstream();
    assert_has(got(u), "x-request-timeout: 4995ms\r\n");
    upstream_sends(u, "HTTP/1.1 503 Busy\r\nretry-after: 2\r\ncontent-length: 0\r\n\r\n");
    at(2001 * MS);
    assert_has(upstream_got(u, "GET / "), "x-request-timeout: 2995ms\r\n"); /* the wheel: within its tick */
    answered(c, u);
}
/* It was asked, so `shed_expired` would be no true word of it. */
static void a_retry_that_finds_no_time_in_the_queue_ends_with_the_outcome_before_it(void **state) {
    (void)state;
    stage((struct given){ .upstream = "max_connections: 1", .policy = "retry: { when: [ upstream_closed ], backoff: { base: 0s } }" });
    struct sock *c = asks(GET("x-request-timeout: 100ms\r\n"));
    struct sock *u = upstream();
    struct sock *d = asks(GET("x-request-timeout: 90ms\r\n")); /* has less time: goes first */
    upstream_resets(u);
    struct sock *v = upstream();
    got(v);
    at(89 * MS);
    upstream_sends(v, ANSWER_OK);
    assert_answer(d, 200);
    assert_answer(c, 502);
    assert_silent(v);
    assert_ended("upstream_closed");
    assert_logged("attempts", "2");
    assert_ended("completed");
}

/* ---- what the upstream says ---------------------------------------------------------------------------------------------------------------------- */
static void retry_after_is_waited_for_where_it_fits(void **state) {
    (void)state;
    stage((struct given){ .policy = "retry: { when: [ 503 ] }" });
    struct sock *c, *u = asked(&c, GET("x-request-timeout: 10s\r\n"));
    upstream_sends(u, "HTTP/1.1 503 Busy\r\nretry-after: Tue, 14 Nov 2023 22:13:23 GMT\r\ncontent-length: 0\r\n\r\n"); /* in 3 s */
    at(2999 * MS);
    assert_silent(u);
    at(3001 * MS);
    upstream_got(u, "GET / ");
    answered(c, u);
}
static void retry_after_past_the_deadline_passes_on_at_once(void **state) {
    (void)state;
    stage((struct given){ .policy = "retry: { when: [ 503 ] }" });
    struct sock *c = asks(GET("x-request-timeout: 2s\r\n"));
    struct sock *u = upstream();
    upstream_sends(u, "HTTP/1.1 503 Busy\r\nretry-after: 2\r\ncontent-length: 4\r\n\r\nbusy");
    const char *text = assert_answer(c, 503);
    assert_has(text, "retry-after: 2\r\n");
    assert_has(text, "busy");
    assert_ended("completed");
    assert_logged("no_retry", "no_time");
    assert_int_equal(world.now, 0);
}

/* ---- the budget ------------------------------------------------------------------------------------------------------------------------------------ */
static void past_the_budget_nothing_is_tried_again_and_the_log_says_so(void **state) {
    (void)state;
    stage((struct given){ .policy = "retry: { when: [ 503 ], backoff: { base: 10s, max: 10s }, budget: { ratio: 0%, floor: 1 } }, deadline: { default: 60s }" });
    long_backoff(1);
    struct sock *a = asks(GET()), *u = upstream();
    upstream_sends(u, BUSY);
    assert_silent(a); /* it has the only place */
    struct sock *b = asks(GET());
    upstream_sends(u, BUSY);
    assert_has(assert_answer(b, 503), "busy");
    assert_ended("completed");
    assert_logged("no_retry", "budget");
    assert_int_equal(refused(RETRY_BUDGET), 1);
    client_resets(a);
    assert_ended("client_reset");
    struct sock *c = asks(GET()); /* the place is free again */
    long_backoff(1);
    upstream_sends(u, BUSY);
    assert_silent(c);
    step(10 * SECONDS);
    answered(c, u);
    assert_not_logged("no_retry");
}
static void the_budget_is_a_share_of_what_is_under_way(void **state) {
    (void)state;
    stage((struct given){ .policy = "retry: { when: [ 503 ], backoff: { base: 10s, max: 10s }, budget: { ratio: 50%, floor: 0 } }, deadline: { default: 60s }" });
    struct sock *c[4], *u[4];
    for (size_t i = 0; i < 4; i++) c[i] = asks(GET()), u[i] = upstream();
    for (size_t i = 0; i < 3; i++) upstream_sends(u[i], BUSY); /* 4 under way, then 3, then 2: two places, then one */
    assert_silent(c[0]);
    assert_has(assert_answer(c[1], 503), "busy");
    assert_ended("completed");
    assert_has(assert_answer(c[2], 503), "busy");
    assert_ended("completed");
    answered(c[3], u[3]);
    client_resets(c[0]);
    assert_ended("client_reset");
}

/* ---- gRPC ------------------------------------------------------------------------------------------------------------------------------------------ */
static void stage_rpc(const char *policy) { stage((struct given){ .upstream = "protocol: http2", .policy = policy }); }
static void trailers_only_is_tried_again_and_tells_how_often(void **state) {
    (void)state;
    stage_rpc("retry: { when: [ UNAVAILABLE ], backoff: { base: 0s } }");
    struct h2 *c = h2_client();
    int32_t a = h2_asks(c, "POST", "/a", CALL, 5, false), b = h2_asks(c, "POST", "/b", CALL "grpc-previous-rpc-attempts: 2\n", 5, false);
    h2_settle(c, NULL);
    struct h2 *u = h2_upstream();
    h2_settle(c, u);
    int32_t one = h2_next(u), two = h2_next(u);
    assert_has_not(h2_stream(u, one)->head, "grpc-previous-rpc-attempts");
    h2_answers(u, one, "200", "content-type: application/grpc\ngrpc-status: 14\n", NO_BODY, false);
    h2_answers(u, two, "200", "content-type: application/grpc\ngrpc-status: 14\n", NO_BODY, false);
    h2_settle(c, u);
    assert_int_equal(h2_stream(c, a)->heads, 0);
    int32_t three = h2_next(u), four = h2_next(u);
    h2_settle(c, u);
    assert_has(h2_stream(u, three)->head, "grpc-previous-rpc-attempts: 1\n");
    assert_int_equal(h2_stream(u, three)->received, 5);
    assert_has(h2_stream(u, four)->head, "grpc-previous-rpc-attempts: 3\n");
    h2_answers(u, three, "200", "content-type: application/grpc\ngrpc-status: 0\n", NO_BODY, false);
    h2_answers(u, four, "200", "content-type: application/grpc\ngrpc-status: 14\n", NO_BODY, false);
    h2_settle(c, u);
    assert_has(h2_stream(c, a)->head, "grpc-status: 0\n");
    assert_has(h2_stream(c, b)->head, "grpc-status: 14\n");
    assert_ended("completed");
    assert_logged("attempts", "2");
    assert_ended("completed");
    assert_logged("grpc_status", "14");
    h2_free(c), h2_free(u);
}
static void a_pushback_says_when_or_not_at_all(void **state) {
    (void)state;
    stage_rpc("retry: { when: [ UNAVAILABLE ] }");
    struct h2 *c = h2_client();
    int32_t a = h2_asks(c, "POST", "/a", CALL "grpc-timeout: 1S\n", 0, false), b = h2_asks(c, "POST", "/b", CALL, 0, false);
    int32_t d = h2_asks(c, "POST", "/d", CALL "grpc-timeout: 100m\n", 0, false);
    h2_settle(c, NULL);
    struct h2 *u = h2_upstream();
    h2_settle(c, u);
    int32_t three = h2_next(u), one = h2_next(u), two = h2_next(u); /* who has the least time goes first */
    h2_answers(u, one, "200", "content-type: application/grpc\ngrpc-status: 14\ngrpc-retry-pushback-ms: 400\n", NO_BODY, false);
    h2_answers(u, two, "200", "content-type: application/grpc\ngrpc-status: 14\ngrpc-retry-pushback-ms: -1\n", NO_BODY, false);
    h2_answers(u, three, "200", "content-type: application/grpc\ngrpc-status: 14\ngrpc-retry-pushback-ms: 400\n", NO_BODY, false);
    h2_settle(c, u);
    assert_int_equal(h2_stream(c, a)->heads, 0);
    assert_has(h2_stream(c, b)->head, "grpc-retry-pushback-ms: -1\n");
    assert_has(h2_stream(c, d)->head, "grpc-status: 14\n");
    assert_ended("completed");
    assert_ended("completed");
    assert_int_equal(refused(RETRY_NO_TIME), 1);
    assert_int_equal(refused(RETRY_PUSHBACK), 1);
    at(399 * MS);
    assert_int_equal(u->n, 3);
    at(401 * MS);
    h2_settle(c, u);
    h2_answers(u, h2_next(u), "200", "content-type: application/grpc\ngrpc-status: 0\n", NO_BODY, false);
    h2_settle(c, u);
    assert_has(h2_stream(c, a)->head, "grpc-status: 0\n");
    assert_ended("completed");
    h2_free(c), h2_free(u);
}
/* gRFC A6: headers commit the call. */
static void a_call_whose_answer_has_begun_is_not_tried_again(void **state) {
    (void)state;
    stage_rpc("retry: { when: [ UNAVAILABLE, upstream_reset ], methods: POST, backoff: { base: 0s } }");
    struct h2 *c = h2_client();
    int32_t a = h2_asks(c, "POST", "/a", CALL, 0, false);
    h2_settle(c, NULL);
    struct h2 *u = h2_upstream();
    h2_settle(c, u);
    int32_t one = h2_next(u);
    h2_answers(u, one, "200", "content-type: application/grpc\n", 5, true);
    h2_settle(c, u);
    assert_h2_status(c, a, "200");
    h2_resets(u, one, NGHTTP2_INTERNAL_ERROR);
    h2_settle(c, u);
    assert_int_equal(u->answered, u->n);
    assert_ended("upstream_reset");
    assert_logged("attempts", "1");
    h2_free(c), h2_free(u);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        SCENE(an_answer_whose_status_is_tried_again_is_read_to_its_end_and_reaches_nobody),
        SCENE(the_next_attempt_goes_to_another_endpoint_and_the_last_answer_passes_as_it_came),
        SCENE(a_post_is_answered_with_whatever_it_got),
        SCENE(a_long_body_of_a_held_back_answer_is_read_within_the_drain_limit),
        SCENE(an_upload_that_an_answer_cuts_short_is_sent_again_from_its_start),
        SCENE(a_body_past_the_buffer_is_sent_once_and_the_answer_passes),
        SCENE(a_client_that_leaves_in_a_back_off_leaves_nothing),
        SCENE(an_operator_and_the_end_of_a_drain_end_a_back_off_too),
        SCENE(a_wait_that_would_not_leave_enough_is_not_begun),
        SCENE(what_cannot_have_run_goes_at_once_and_then_waits),
        SCENE(each_attempt_is_told_what_is_left_behind_its_wait),
        SCENE(a_retry_that_finds_no_time_in_the_queue_ends_with_the_outcome_before_it),
        SCENE(retry_after_is_waited_for_where_it_fits),
        SCENE(retry_after_past_the_deadline_passes_on_at_once),
        SCENE(past_the_budget_nothing_is_tried_again_and_the_log_says_so),
        SCENE(the_budget_is_a_share_of_what_is_under_way),
        SCENE(trailers_only_is_tried_again_and_tells_how_often),
        SCENE(a_pushback_says_when_or_not_at_all),
        SCENE(a_call_whose_answer_has_begun_is_not_tried_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
