// SPDX-License-Identifier: Apache-2.0
// How an upstream is told: the rungs of HTTP/1, what becomes of the connection after each, and the stale connection (semantics 5).
#include "tests/flow/stage.h"

/* A connection that served one request and waits for the next. */
static struct sock *pooled(struct sock **c) {
    struct sock *u = asked(c, GET());
    upstream_sends(u, ANSWER_OK);
    assert_answer(*c, 200);
    assert_ended("completed");
    return u;
}

/* ---- close ------------------------------------------------------------------------------------------------------------------------ */
/* T21 */
static void after_a_cancel_the_next_request_has_a_connection_of_its_own(void **state) {
    (void)state;
    stage((struct given){ .upstream = "max_connections: 1" });
    struct sock *a, *u = asked(&a, GET_PATH("/secret", ""));
    struct sock *b = asks(GET());
    assert_nobody_called(); /* it waits */
    queues(u, ANSWER("content-length: 6\r\n") "sec");
    settle();
    client_resets(a);
    assert_reset(u);
    assert_closed_in_the_turn(u);
    struct sock *v = upstream();
    upstream_got(v, "GET / HTTP/1.1\r\n");
    upstream_sends(v, ANSWER_OK);
    assert_has_not(assert_answer(b, 200), "sec");
    assert_ended_at("client_reset", "close");
    assert_ended("completed");
}
static void a_request_and_its_reset_in_one_edge_never_reach_a_pooled_upstream(void **state) {
    (void)state;
    stage((struct given){ 0 });
    struct sock *c, *u = pooled(&c);
    struct sock *d = client();
    queues(d, GET());
    queues_rst(d);
    settle();
    assert_silent(u);
    assert_open(u);
    assert_ended_at("client_reset", "withdrawn");
    client_sends(c, GET());
    upstream_got(u, "GET / HTTP/1.1\r\n"); /* it is as good as before */
    answered(c, u);
    assert_nobody_called();
}

/* ---- call -------------------------------------------------------------------------------------------------------------------------- */
static uint64_t cancels_counted(void) {
    uint64_t n = 0;
    for (size_t i = 0; i < (size_t)ENDINGS * LEVELS; i++) n += atomic_load(&world.w.metrics.cancels[i / LEVELS][i % LEVELS]);
    return n;
}
static void a_call_that_fails_at_once_is_one_cancel(void **state) {
    (void)state;
    stage((struct given){ .policy = "cancel: { http1: [ call, close ], call: { path: /x } }" });
    struct sock *c, *u = asked(&c, GET());
    world.connects[0] = UNREACHABLE;
    client_resets(c);
    assert_reset(u);
    assert_ended_at("client_reset", "close");
    assert_int_equal(cancels_counted(), 1);
    assert_int_equal(atomic_load(&world.w.metrics.cancels[ENDING_CLIENT_RESET][LEVEL_CLOSE]), 1);
    assert_int_equal(count(METRIC_CALL_FAILURES), 1);
}
static void a_call_that_fails_later_is_one_cancel(void **state) {
    (void)state;
    stage((struct given){ .policy = "cancel: { http1: [ call, close ], call: { path: /x } }" });
    struct sock *c, *u = asked(&c, GET());
    world.connects[0] = REFUSED;
    client_resets(c);
    assert_reset(u);
    assert_ended_at("client_reset", "close");
    assert_int_equal(cancels_counted(), 1);
    assert_int_equal(atomic_load(&world.w.metrics.cancels[ENDING_CLIENT_RESET][LEVEL_CLOSE]), 1);
}

/* ---- drain ------------------------------------------------------------------------------------------------------------------------- */
#define DRAIN "cancel: { http1: [ drain ], drain_limit: { time: 2s, bytes: 1KiB } }"
static void drained_to_its_end_a_connection_is_used_again(void **state) {
    (void)state;
    stage((struct given){ .policy = DRAIN });
    struct sock *c, *u = asked(&c, GET());
    upstream_sends(u, ANSWER("content-length: 100\r\n") "first half");
    client_resets(c);
    assert_open(u);
    step(1 * SECONDS);
    sends_n(u, 'x', 90);
    assert_open(u);
    assert_ended_at("client_reset", "drain");
    c = client();
    client_sends(c, GET());
    assert_nobody_called();
    upstream_got(u, "GET / HTTP/1.1\r\n");
    upstream_sends(u, ANSWER_OK);
    assert_has_not(assert_answer(c, 200), "x");
    assert_ended("completed");
}
static void a_drain_of_a_head_and_body_that_come_later_is_the_same(void **state) {
    (void)state;
    stage((struct given){ .policy = DRAIN });
    struct sock *c, *u = asked(&c, GET());
    client_resets(c);
    step(1999 * MS);
    upstream_sends(u, ANSWER_OK);
    assert_open(u);
    assert_ended_at("client_reset", "drain");
}
static void a_drain_ends_at_its_time(void **state) {
    (void)state;
    stage((struct given){ .policy = DRAIN });
    struct sock *c, *u = asked(&c, GET());
    client_resets(c);
    at(1999 * MS);
    assert_open(u);
    at(2000 * MS);
    assert_reset(u);
    assert_ended_at("client_reset", "drain");
}
static void a_drain_ends_at_its_bytes(void **state) {
    (void)state;
    stage((struct given){ .policy = DRAIN });
    struct sock *c, *u = asked(&c, GET());
    client_resets(c);
    upstream_sends(u, ANSWER("content-length: 5000\r\n"));
    sends_n(u, 'x', 1000);
    assert_open(u);
    sends_n(u, 'x', 100);
    assert_reset(u);
    assert_closed_in_the_turn(u);
    assert_ended_at("client_reset", "drain");
}
static void a_drain_of_an_upload_that_was_not_finished_never_gives_the_connection_back(void **state) {
    (void)state;
    stage((struct given){ .policy = DRAIN });
    struct sock *c, *u = asked(&c, POST("content-length: 100\r\n") "123");
    client_resets(c);
    upstream_sends(u, ANSWER_OK); /* it answered what it had not read: the rest of our request would be the next one's head */
    assert_true(u->closed);
    assert_ended_at("client_reset", "drain");
}
static void an_upstream_that_closes_while_it_is_drained_is_no_second_ending(void **state) {
    (void)state;
    stage((struct given){ .policy = DRAIN });
    struct sock *c, *u = asked(&c, GET());
    client_resets(c);
    upstream_resets(u);
    assert_ended_at("client_reset", "drain");
    assert_int_equal(ended(ENDING_UPSTREAM_CLOSED), 0);
}
static void the_deadline_drains_too_and_its_client_does_not_wait_for_it(void **state) {
    (void)state;
    stage((struct given){ .policy = DRAIN });
    struct sock *c, *u = asked(&c, GET("x-request-timeout: 100ms\r\n"));
    at(100 * MS);
    assert_answer(c, 504);
    assert_ended_at("deadline", "drain"); /* nor does the log */
    client_sends(c, GET());
    struct sock *v = upstream();
    answered(c, v);
    upstream_sends(u, ANSWER_OK);
    assert_open(u);
}

/* ---- none -------------------------------------------------------------------------------------------------------------------------- */
static void told_only_its_deadline_an_upstream_works_on_until_then(void **state) {
    (void)state;
    stage((struct given){ .policy = "cancel: { http1: [ none ] }" });
    struct sock *c, *u = asked(&c, GET("x-request-timeout: 10s\r\n"));
    step(1 * SECONDS);
    client_resets(c);
    assert_true(c->closed);
    at(9999 * MS);
    assert_open(u);
    at(10 * SECONDS);
    assert_true(u->closed);
    assert_ended_at("client_reset", "ttl");
}
/* Five minutes of an answer that comes in pieces are none. */
static void assert_ended_by_a_silence_of_20s(struct sock *u) {
    upstream_sends(u, ANSWER("content-length: 1000000\r\n"));
    for (int i = 0; i < 20; i++) {
        step(15 * SECONDS);
        sends_n(u, 'x', 100);
        assert_open(u);
    }
    step(20 * SECONDS - MS);
    assert_open(u);
    step(1 * MS);
    assert_true(u->closed);
}
/* Without a deadline, and max: none, nothing else would end what nobody waits for. */
static void an_upstream_that_is_told_nothing_works_on_while_it_is_not_silent(void **state) {
    (void)state;
    stage((struct given){ .policy = "cancel: { http1: [ none ] }, deadline: { default: none, max: none, idle: 20s }" });
    struct sock *c, *u = asked(&c, GET());
    client_resets(c);
    assert_ended("client_reset");
    assert_ended_by_a_silence_of_20s(u);
}
static void where_silence_has_no_bound_either_drain_limit_is_one(void **state) {
    (void)state;
    static const char *const cancels[] = { "http1: [ none ]", "client_gone: ignore", "mode: observe" };
    for (size_t i = 0; i < sizeof cancels / sizeof *cancels; i++) {
        char policy[256];
        snprintf(policy, sizeof policy, "cancel: { %s, drain_limit: { time: 5s } }, deadline: { mode: %s, default: none, max: none, idle: none, streaming: { idle: none } }",
                 cancels[i], i == 2 ? "observe" : "enforce");
        stage((struct given){ .policy = policy });
        struct sock *c, *u = asked(&c, GET());
        client_resets(c);
        step(5 * SECONDS - MS);
        assert_open(u);
        step(1 * MS);
        assert_true(u->closed);
        assert_true(next_line());
        assert_nothing_ended();
        if (i < 2) unstage();
    }
}
static void work_without_its_client_that_no_deadline_ends_is_ended_by_silence(void **state) {
    (void)state;
    stage((struct given){ .policy = "cancel: { mode: disabled }, deadline: { mode: disabled, max: none, idle: 20s }" });
    struct sock *c, *u = asked(&c, GET());
    client_resets(c);
    assert_ended_by_a_silence_of_20s(u);
    assert_ended("upstream_idle");
}
static void told_nothing_at_all_is_none(void **state) {
    (void)state;
    stage((struct given){ .policy = "cancel: { http1: [ none ] }, deadline: { write: { http: [ ] } }" });
    struct sock *c, *u = asked(&c, GET());
    client_resets(c);
    upstream_sends(u, ANSWER_OK);
    assert_open(u);
    assert_ended_at("client_reset", "none");
}

/* ---- client_gone ------------------------------------------------------------------------------------------------------------------- */
static void ignoring_a_client_that_left_the_work_is_finished(void **state) {
    (void)state;
    stage((struct given){ .policy = "cancel: { client_gone: ignore }" });
    struct sock *c, *u = asked(&c, POST("content-length: 2\r\n") "ab");
    client_resets(c);
    assert_open(u);
    assert_nothing_ended();
    step(5 * SECONDS);
    upstream_sends(u, ANSWER("content-length: 1000000\r\n"));
    sends_n(u, 'x', 1000000);
    assert_int_equal(buffer_size(&u->in), 0);
    assert_ended("client_reset");
    assert_open(u);
    c = client();
    client_sends(c, GET());
    upstream_got(u, "GET / HTTP/1.1\r\n");
    answered(c, u);
}
static void ignoring_a_client_the_deadline_still_ends_the_work(void **state) {
    (void)state;
    stage((struct given){ .policy = "cancel: { client_gone: ignore }" });
    struct sock *c, *u = asked(&c, GET("x-request-timeout: 1s\r\n"));
    client_finishes(c);
    assert_open(u);
    at(1000 * MS);
    assert_reset(u);
    assert_ended_at("deadline", "close");
}
/* A byte a second for a stream that nobody hears. */
static void says_on(struct sock *u, int64_t until) {
    while (world.now < until) {
        assert_open(u);
        sends_n(u, 'x', 1);
        step(1 * SECONDS);
    }
}
static void ignoring_a_client_a_stream_that_never_falls_silent_lasts_no_longer_than_max(void **state) {
    (void)state;
    stage((struct given){ .policy = "cancel: { client_gone: ignore }" });
    for (int before = 0; before < 2; before++) {
        struct sock *c, *u = asked(&c, GET("accept: text/event-stream\r\n"));
        int64_t begun = world.now;
        if (!before) client_resets(c);
        upstream_sends(u, "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-length: 1000000\r\n\r\n");
        if (before) client_resets(c);
        says_on(u, begun + 60 * SECONDS);
        assert_reset(u);
        assert_ended_at("deadline", "close");
    }
}
static void ignoring_a_client_a_stream_that_max_does_not_end_is_ended_by_silence_alone(void **state) {
    (void)state;
    stage((struct given){ .policy = "cancel: { client_gone: ignore }, deadline: { max: none, streaming: { idle: 20s } }" });
    struct sock *c, *u = asked(&c, GET("accept: text/event-stream\r\n"));
    client_resets(c);
    assert_ended_by_a_silence_of_20s(u);
    assert_ended("upstream_idle");
}
static void ignoring_a_client_a_default_above_max_is_waited_for(void **state) {
    (void)state;
    stage((struct given){ .policy = "cancel: { client_gone: ignore }, deadline: { default: 5m, max: 60s, idle: none }" });
    struct sock *c, *u = asked(&c, GET());
    step(10 * SECONDS);
    client_resets(c);
    at(299999 * MS);
    assert_open(u);
    at(300 * SECONDS);
    assert_reset(u);
    assert_ended_at("deadline", "close");
}
static void ignoring_a_client_an_upstream_that_falls_silent_is_not_waited_for(void **state) {
    (void)state;
    stage((struct given){ .policy = "cancel: { client_gone: ignore }, deadline: { idle: 30s }" });
    struct sock *c, *u = asked(&c, GET()), *d, *v = asked(&d, GET());
    client_resets(c); /* before the head */
    upstream_sends(u, ANSWER("content-length: 100\r\n") "half");
    upstream_sends(v, ANSWER("content-length: 100\r\n") "half");
    client_resets(d); /* after it */
    at(29 * SECONDS);
    assert_open(u);
    assert_open(v);
    at(31 * SECONDS);
    assert_reset(u);
    assert_reset(v);
    assert_ended_at("upstream_idle", "close");
    assert_ended_at("upstream_idle", "close");
}
static void draining_for_a_client_that_left_closes_for_all_other_endings(void **state) {
    (void)state;
    stage((struct given){ .policy = "cancel: { client_gone: drain, drain_limit: { time: 2s } }" });
    struct sock *c, *u = asked(&c, GET());
    client_resets(c);
    assert_open(u);
    upstream_sends(u, ANSWER_OK);
    assert_open(u);
    assert_ended_at("client_reset", "drain");
    c = client();
    client_sends(c, GET("x-request-timeout: 100ms\r\n"));
    step(100 * MS);
    assert_answer(c, 504);
    assert_reset(u);
    assert_ended_at("deadline", "close");
}

/* ---- the stale connection ------------------------------------------------------------------------------------------------------------ */
static void a_reused_connection_that_closed_before_any_byte_left_is_replaced_whatever_the_method(void **state) {
    (void)state;
    stage((struct given){ .policy = "retry: { retries: 0 }" });
    struct sock *c, *u = pooled(&c);
    queues(c, POST("content-length: 3\r\n") "abc");
    queues_rst(u);
    settle();
    struct sock *v = upstream();
    assert_has(upstream_got(v, "POST / HTTP/1.1\r\n"), "\r\n\r\nabc");
    answered(c, v);
    assert_logged("attempts", "1"); /* that is no retry */
    assert_int_equal(count(METRIC_STALE_RETRIES), 1);
}
static void a_get_whose_reused_connection_ends_without_an_answer_is_sent_again_once(void **state) {
    (void)state;
    stage((struct given){ .policy = "retry: { retries: 0 }" });
    struct sock *c, *u = pooled(&c);
    client_sends(c, GET());
    upstream_got(u, "GET / HTTP/1.1\r\n");
    upstream_finishes(u);
    struct sock *v = upstream();
    upstream_got(v, "GET / HTTP/1.1\r\n");
    upstream_finishes(v);
    assert_answer(c, 502);
    assert_nobody_called();
    assert_ended("upstream_closed");
}
static void a_post_that_the_kernel_took_is_not_sent_again(void **state) {
    (void)state;
    stage((struct given){ 0 });
    struct sock *c, *u = pooled(&c);
    client_sends(c, POST("content-length: 3\r\n") "abc");
    upstream_got(u, "POST / HTTP/1.1\r\n");
    upstream_resets(u);
    assert_answer(c, 502);
    assert_nobody_called();
    assert_ended("upstream_closed");
}
static void a_put_whose_body_was_kept_is_sent_again_whole(void **state) {
    (void)state;
    stage((struct given){ .policy = "retry: { buffer: 64KiB }" });
    struct sock *c, *u = pooled(&c);
    client_sends(c, "PUT / HTTP/1.1\r\nhost: a\r\ncontent-length: 6\r\n\r\nabc");
    assert_has(upstream_got(u, "PUT / HTTP/1.1\r\n"), "\r\n\r\nabc");
    upstream_resets(u);
    struct sock *v = upstream();
    assert_has(got(v), "\r\n\r\nabc");
    client_sends(c, "def");
    upstream_got(v, "def");
    answered(c, v);
}
static void a_put_whose_body_went_on_is_not(void **state) {
    (void)state;
    stage((struct given){ .policy = "retry: { buffer: 1KiB }" });
    struct sock *c, *u = pooled(&c);
    client_sends(c, "PUT / HTTP/1.1\r\nhost: a\r\ncontent-length: 100000\r\n\r\n");
    sends_n(c, 'x', 50000);
    got(u);
    upstream_resets(u);
    assert_answer(c, 502);
    assert_nobody_called();
    step(60 * SECONDS);
    assert_ended("upstream_closed");
}
static void a_fresh_connection_that_ends_without_an_answer_is_not_stale(void **state) {
    (void)state;
    stage((struct given){ .policy = "retry: { retries: 0 }" });
    struct sock *c, *u = asked(&c, GET());
    upstream_finishes(u);
    assert_answer(c, 502);
    assert_nobody_called();
    assert_ended("upstream_closed");
    assert_int_equal(count(METRIC_STALE_RETRIES), 0);
}
static void a_connection_that_gave_a_byte_of_its_answer_is_not_stale(void **state) {
    (void)state;
    stage((struct given){ .policy = "retry: { retries: 0 }" });
    struct sock *c, *u = pooled(&c);
    client_sends(c, GET());
    got(u);
    upstream_sends(u, "HTTP/1.1 2");
    upstream_resets(u);
    assert_answer(c, 502);
    assert_nobody_called();
    assert_ended("upstream_closed");
}
static void after_a_cancel_nothing_is_sent_again(void **state) {
    (void)state;
    stage((struct given){ 0 });
    struct sock *c, *u = pooled(&c);
    client_sends(c, GET());
    got(u);
    queues_rst(c);
    queues_rst(u);
    settle();
    assert_nobody_called();
    assert_ended("client_reset");
}
static void a_pooled_connection_that_closes_while_idle_is_left_without_a_word(void **state) {
    (void)state;
    stage((struct given){ 0 });
    struct sock *c, *u = pooled(&c);
    upstream_finishes(u);
    assert_true(u->closed);
    client_sends(c, GET());
    answered(c, upstream());
    assert_int_equal(count(METRIC_STALE_RETRIES), 0);
}
static void bytes_on_an_idle_connection_are_nobodys_answer(void **state) {
    (void)state;
    stage((struct given){ 0 });
    struct sock *c, *u = pooled(&c);
    upstream_sends(u, ANSWER("content-length: 4\r\n") "evil");
    assert_true(u->closed);
    client_sends(c, GET());
    struct sock *v = upstream();
    upstream_sends(v, ANSWER_OK);
    assert_has_not(assert_answer(c, 200), "evil");
    assert_ended("completed");
}
static void an_answer_that_is_followed_by_more_is_the_last_of_its_connection(void **state) {
    (void)state;
    stage((struct given){ 0 });
    struct sock *c, *u = asked(&c, GET());
    upstream_sends(u, ANSWER_OK ANSWER("content-length: 4\r\n") "evil");
    assert_answer(c, 200);
    assert_silent(c);
    assert_true(u->closed);
    assert_ended("completed");
}
static void keep_alive_and_idle_timeouts_bound_the_pool(void **state) {
    (void)state;
    stage((struct given){ .upstream = "idle_timeout: 50s" });
    struct sock *c, *u = asked(&c, GET());
    upstream_sends(u, ANSWER("content-length: 2\r\nkeep-alive: timeout=10\r\n") "ok");
    assert_answer(c, 200);
    step(8999 * MS);
    assert_open(u);
    step(1 * MS); /* a second before the peer does */
    assert_true(u->closed);
    assert_ended("completed");
    u = asked(&c, GET());
    upstream_sends(u, ANSWER_OK);
    step(49999 * MS);
    assert_open(u);
    step(1 * MS);
    assert_true(u->closed);
    assert_answer(c, 200);
    assert_ended("completed");
}

static void an_upstream_that_ends_in_the_turn_of_the_cancel_needs_none(void **state) {
    (void)state;
    stage((struct given){ 0 });
    struct sock *c = asks(GET());
    struct sock *u = upstream();
    queues_rst(c);
    queues_fin(u);
    turn();
    assert_true(u->closed);
    assert_ended("client_reset");
    assert_logged("detail", "\"the upstream had ended it by itself\"");
    assert_not_logged("cancel_level");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        SCENE(after_a_cancel_the_next_request_has_a_connection_of_its_own),
        SCENE(a_request_and_its_reset_in_one_edge_never_reach_a_pooled_upstream),
        SCENE(a_call_that_fails_at_once_is_one_cancel),
        SCENE(a_call_that_fails_later_is_one_cancel),
        SCENE(drained_to_its_end_a_connection_is_used_again),
        SCENE(a_drain_of_a_head_and_body_that_come_later_is_the_same),
        SCENE(a_drain_ends_at_its_time),
        SCENE(a_drain_ends_at_its_bytes),
        SCENE(a_drain_of_an_upload_that_was_not_finished_never_gives_the_connection_back),
        SCENE(an_upstream_that_closes_while_it_is_drained_is_no_second_ending),
        SCENE(the_deadline_drains_too_and_its_client_does_not_wait_for_it),
        SCENE(told_only_its_deadline_an_upstream_works_on_until_then),
        SCENE(an_upstream_that_is_told_nothing_works_on_while_it_is_not_silent),
        SCENE(where_silence_has_no_bound_either_drain_limit_is_one),
        SCENE(work_without_its_client_that_no_deadline_ends_is_ended_by_silence),
        SCENE(told_nothing_at_all_is_none),
        SCENE(ignoring_a_client_that_left_the_work_is_finished),
        SCENE(ignoring_a_client_the_deadline_still_ends_the_work),
        SCENE(ignoring_a_client_a_stream_that_never_falls_silent_lasts_no_longer_than_max),
        SCENE(ignoring_a_client_a_stream_that_max_does_not_end_is_ended_by_silence_alone), SCENE(ignoring_a_client_a_default_above_max_is_waited_for),
        SCENE(ignoring_a_client_an_upstream_that_falls_silent_is_not_waited_for),
        SCENE(draining_for_a_client_that_left_closes_for_all_other_endings),
        SCENE(a_reused_connection_that_closed_before_any_byte_left_is_replaced_whatever_the_method),
        SCENE(a_get_whose_reused_connection_ends_without_an_answer_is_sent_again_once),
        SCENE(a_post_that_the_kernel_took_is_not_sent_again),
        SCENE(a_put_whose_body_was_kept_is_sent_again_whole),
        SCENE(a_put_whose_body_went_on_is_not),
        SCENE(a_fresh_connection_that_ends_without_an_answer_is_not_stale),
        SCENE(a_connection_that_gave_a_byte_of_its_answer_is_not_stale),
        SCENE(after_a_cancel_nothing_is_sent_again),
        SCENE(a_pooled_connection_that_closes_while_idle_is_left_without_a_word),
        SCENE(bytes_on_an_idle_connection_are_nobodys_answer),
        SCENE(an_answer_that_is_followed_by_more_is_the_last_of_its_connection),
        SCENE(keep_alive_and_idle_timeouts_bound_the_pool),
        SCENE(an_upstream_that_ends_in_the_turn_of_the_cancel_needs_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
