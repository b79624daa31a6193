// SPDX-License-Identifier: Apache-2.0
// Attempts beside one another: the first answer wins, and of the others nobody hears.
#include "tests/flow/h2.h"

#define HEDGE "retry: { hedge: { after: 100ms } }"
#define BUSY "HTTP/1.1 503 Busy\r\ncontent-length: 4\r\n\r\nbusy"
#define CALL "content-type: application/grpc\nte: trailers\n"

/* The upstream that is asked first is slow; another is asked beside it. */
static struct sock *hedged(struct sock **c, struct sock **u, const char *request) {
    *c = asks(request);
    *u = upstream();
    at(101 * MS);
    return upstream();
}
static uint64_t silenced(void) { /* cancels that nobody else hears of */
    uint64_t n = 0;
    for (size_t l = LEVEL_NONE; l < LEVELS; l++) n += atomic_load(&world.w.metrics.cancels[ENDING_COMPLETED][l]);
    return n;
}

/* ---- who wins -------------------------------------------------------------------------------------------------------------------------------- */
static void the_hedge_answers_first_and_the_slow_one_is_dropped_in_that_turn(void **state) {
    (void)state;
    stage_endpoints(3, "", HEDGE);
    struct sock *c = asks(GET("x-request-timeout: 1s\r\n"));
    struct sock *u = upstream();
    assert_has(upstream_got(u, "GET / HTTP/1.1\r\n"), "x-request-timeout: 995ms\r\n");
    at(99 * MS);
    assert_nobody_called();
    at(101 * MS);
    struct sock *v = upstream();
    assert_true(v->port != u->port);
    assert_has(upstream_got(v, "GET / HTTP/1.1\r\n"), "x-request-timeout: 895ms\r\n"); /* what is left for it */
    assert_open(u);
    upstream_sends(v, ANSWER("content-length: 4\r\n") "ha");
    assert_reset(u);
    assert_closed_in_the_turn(u);
    assert_int_equal(silenced(), 1);
    upstream_sends(v, "ha");
    assert_has(assert_answer(c, 200), "haha");
    assert_ended("completed");
    assert_logged("attempts", "2");
    assert_logged("hedges", "1");
    assert_logged("winner", "2");
    assert_logged("endpoint", v->port == 9002 ? "127.0.0.1:9002" : v->port == 9001 ? "127.0.0.1:9001" : "127.0.0.1:9003");
    assert_not_logged("cancel_level");
    assert_int_equal(count(METRIC_HEDGES), 1);
    assert_int_equal(count(METRIC_HEDGES_WON), 1);
    assert_int_equal(ended(ENDING_PARENT_CANCELLED) + ended(ENDING_UPSTREAM_CLOSED), 0);
}
static void the_first_one_answers_first_and_the_hedge_is_dropped(void **state) {
    (void)state;
    stage_endpoints(3, "", HEDGE);
    struct sock *c, *u, *v = hedged(&c, &u, GET());
    got(v);
    upstream_sends(u, ANSWER_OK);
    assert_answer(c, 200);
    assert_reset(v);
    assert_ended("completed");
    assert_logged("winner", "1");
    assert_logged("endpoint", "127.0.0.1:9001");
    assert_int_equal(count(METRIC_HEDGES_WON), 0);
}
static void an_answer_in_time_needs_no_hedge(void **state) {
    (void)state;
    stage_endpoints(3, "", HEDGE);
    struct sock *c = asks(GET());
    struct sock *u = upstream();
    at(50 * MS);
    upstream_sends(u, ANSWER("content-length: 4\r\n") "ab"); /* its head counts */
    at(500 * MS);
    assert_nobody_called();
    upstream_sends(u, "cd");
    assert_answer(c, 200);
    assert_ended("completed");
    assert_not_logged("hedges");
}
static void both_answer_in_one_turn_and_the_client_gets_one(void **state) {
    (void)state;
    stage_endpoints(3, "", HEDGE);
    struct sock *c, *u, *v = hedged(&c, &u, GET());
    queues(u, ANSWER("content-length: 3\r\n") "one");
    queues(v, ANSWER("content-length: 3\r\n") "two");
    settle();
    const char *text = assert_answer(c, 200);
    assert_true(!strstr(text, "one") != !strstr(text, "two"));
    assert_silent(c);
    assert_ended("completed");
}
static void a_hedge_that_waits_for_its_connection_is_withdrawn(void **state) {
    (void)state;
    stage_endpoints(3, "", HEDGE);
    struct sock *c = asks(GET());
    struct sock *u = upstream();
    world.connects[1] = world.connects[2] = SLOWLY;
    at(101 * MS);
    struct sock *v = upstream();
    answered(c, u);
    assert_int_equal(atomic_load(&world.w.metrics.cancels[ENDING_COMPLETED][LEVEL_WITHDRAWN]), 1);
    accepts(v);
    assert_silent(v);
}
/* The connection is slow, not the upstream. */
static void a_connection_that_does_not_come_is_hedged_at_another_endpoint(void **state) {
    (void)state;
    stage_endpoints(3, "", HEDGE);
    world.connects[0] = SLOWLY;
    struct sock *c, *u, *v = hedged(&c, &u, GET());
    assert_true(v->port != u->port);
    answered(c, v);
    assert_logged("winner", "2");
}
static void as_many_as_max_and_each_to_another(void **state) {
    (void)state;
    stage_endpoints(3, "", "retry: { hedge: { after: 100ms, max: 2 } }");
    struct sock *c, *u, *v = hedged(&c, &u, GET());
    at(199 * MS);
    assert_nobody_called();
    at(202 * MS);
    struct sock *w = upstream();
    assert_int_equal(u->port + v->port + w->port, 9001 + 9002 + 9003);
    at(1000 * MS);
    assert_nobody_called();
    upstream_sends(v, ANSWER_OK);
    assert_answer(c, 200);
    assert_true(u->closed && w->closed);
    assert_ended("completed");
    assert_logged("attempts", "3");
    assert_logged("hedges", "2");
    assert_int_equal(silenced(), 2);
}

/* ---- who fails ------------------------------------------------------------------------------------------------------------------------------------ */
static void what_fails_while_another_is_under_way_is_not_the_outcome(void **state) {
    (void)state;
    stage_endpoints(3, "", HEDGE);
    struct sock *c, *u, *v = hedged(&c, &u, GET());
    upstream_resets(u);
    assert_silent(c);
    answered(c, v);
    c = asks(GET());
    u = upstream_or_none();
    if (!u) u = v;
    step(101 * MS);
    struct sock *w = upstream();
    upstream_resets(w); /* the hedge fails, the first goes on */
    assert_silent(c);
    answered(c, u);
    assert_logged("winner", "1");
}
static void when_all_have_failed_the_last_outcome_counts(void **state) {
    (void)state;
    stage_endpoints(3, "", HEDGE);
    struct sock *c, *u, *v = hedged(&c, &u, GET());
    upstream_sends(v, "nonsense\r\n\r\n");
    assert_silent(c);
    upstream_resets(u);
    assert_answer(c, 502);
    assert_nobody_called();
    assert_ended("upstream_closed");
    assert_logged("attempts", "2");
    assert_not_logged("winner");
}
static void a_retry_follows_when_the_last_has_failed_and_may_be_hedged_in_turn(void **state) {
    (void)state;
    stage_endpoints(3, "", "retry: { when: [ upstream_closed ], backoff: { base: 0s }, hedge: { after: 100ms, max: 2 } }");
    struct sock *c, *u, *v = hedged(&c, &u, GET());
    upstream_resets(u);
    assert_nobody_called();
    upstream_resets(v);
    struct sock *w = upstream();
    step(99 * MS);
    assert_nobody_called();
    step(2 * MS);
    struct sock *x = upstream();
    assert_open(w);
    answered(c, x);
    assert_logged("attempts", "4");
    assert_logged("hedges", "2");
    assert_logged("winner", "4");
}
static void a_status_that_is_tried_again_does_not_win(void **state) {
    (void)state;
    stage_endpoints(3, "", "retry: { retries: 0, when: [ 503 ], hedge: { after: 100ms } }");
    struct sock *c, *u, *v = hedged(&c, &u, GET());
    upstream_sends(u, BUSY);
    assert_silent(c);
    upstream_sends(v, ANSWER_OK);
    assert_has_not(assert_answer(c, 200), "busy");
    assert_ended("completed");
}
static void a_status_that_is_tried_again_passes_where_it_is_all_that_came(void **state) {
    (void)state;
    stage_endpoints(3, "", "retry: { retries: 0, when: [ 503 ], hedge: { after: 100ms } }");
    struct sock *c = asks(GET());
    struct sock *u = upstream();
    at(101 * MS);
    upstream_sends(upstream(), BUSY);
    assert_silent(c);
    upstream_sends(u, BUSY);
    assert_has(assert_answer(c, 503), "busy");
    assert_ended("completed");
}
static void per_try_ends_one_and_the_other_goes_on(void **state) {
    (void)state;
    stage_endpoints(3, "", "deadline: { per_try: 300ms }, " HEDGE);
    struct sock *c, *u, *v = hedged(&c, &u, GET());
    at(301 * MS);
    assert_reset(u);
    assert_open(v);
    assert_silent(c);
    answered(c, v);
}
static void per_try_of_all_in_one_turn_is_one_outcome(void **state) {
    (void)state;
    stage_endpoints(3, "", "deadline: { per_try: 300ms }, retry: { when: [ try_timeout ], backoff: { base: 0s }, hedge: { after: 100ms } }");
    struct sock *c, *u, *v = hedged(&c, &u, GET());
    world.now = 500 * MS; /* the machine stood still: both are late now */
    settle();
    assert_true(u->closed && v->closed);
    struct sock *w = upstream();
    assert_nobody_called();
    answered(c, w);
    assert_logged("attempts", "3");
}

/* ---- the end of it all ---------------------------------------------------------------------------------------------------------------------------- */
static void a_client_that_leaves_ends_all_of_them_in_one_turn(void **state) {
    (void)state;
    stage_endpoints(3, "", "retry: { hedge: { after: 100ms, max: 2 } }");
    struct sock *c, *u, *v = hedged(&c, &u, GET());
    client_resets(c);
    assert_reset(u), assert_closed_in_the_turn(u);
    assert_reset(v), assert_closed_in_the_turn(v);
    assert_ended_at("client_reset", "close");
    assert_nothing_left();
    step(1 * SECONDS);
    assert_nobody_called();
}
static void the_deadline_ends_all_of_them_in_one_turn(void **state) {
    (void)state;
    stage_endpoints(3, "", HEDGE);
    struct sock *c, *u, *v = hedged(&c, &u, GET("x-request-timeout: 300ms\r\n"));
    at(300 * MS);
    assert_answer(c, 504);
    assert_true(u->closed_turn == c->said_turn && v->closed_turn == c->said_turn);
    assert_ended_at("deadline", "close");
}
static void with_too_little_left_there_is_no_hedge(void **state) {
    (void)state;
    stage_endpoints(3, "", HEDGE);
    struct sock *c = asks(GET("x-request-timeout: 110ms\r\n"));
    struct sock *u = upstream();
    at(105 * MS);
    assert_nobody_called();
    answered(c, u);
    assert_not_logged("hedges");
}
static void past_the_budget_there_is_no_hedge(void **state) {
    (void)state;
    stage_endpoints(3, "", "retry: { hedge: { after: 100ms }, budget: { ratio: 0%, floor: 1 } }");
    struct sock *a = asks(GET()), *b = asks(GET());
    struct sock *u = upstream(), *v = upstream();
    at(101 * MS);
    struct sock *w = upstream();
    assert_nobody_called();
    upstream_sends(u, ANSWER_OK), upstream_sends(v, ANSWER_OK);
    assert_answer(a, 200), assert_answer(b, 200);
    assert_reset(w);
    assert_ended("completed");
    assert_ended("completed");
    assert_logged("no_retry", "budget");
    assert_int_equal(atomic_load(&world.w.metrics.retries_refused[RETRY_BUDGET]), 1);
    a = asks(GET()); /* what was borrowed is given back */
    step(101 * MS);
    assert_int_equal(count(METRIC_HEDGES), 2);
    client_resets(a);
    assert_ended("client_reset");
}
/* T44: the call would cancel the winner's work, too. */
static void a_loser_is_not_told_by_a_call(void **state) {
    (void)state;
    stage_endpoints(3, "", HEDGE ", cancel: { http1: [ call, drain ], call: { path: /cancel } }");
    struct sock *c, *u, *v = hedged(&c, &u, GET());
    answered(c, v); /* the log does not wait for what drains */
    assert_open(u);
    assert_nobody_called();
    assert_int_equal(count(METRIC_CALLS), 0);
    upstream_sends(u, ANSWER("content-length: 4\r\n") "late");
    assert_silent(c);
    assert_open(u);
}

/* ---- what may be hedged, and its body ------------------------------------------------------------------------------------------------------------- */
static void a_post_is_not_hedged_unless_it_is_named(void **state) {
    (void)state;
    stage_endpoints(3, "", HEDGE);
    struct sock *c = asks(POST("content-length: 1\r\n") "x");
    struct sock *u = upstream();
    at(1000 * MS);
    assert_nobody_called();
    answered(c, u);
}
static void each_attempt_reads_a_body_that_still_comes_on_its_own(void **state) {
    (void)state;
    stage_endpoints(3, "", HEDGE);
    struct sock *c = asks("PUT / HTTP/1.1\r\nhost: a\r\ncontent-length: 9\r\n\r\nabc");
    struct sock *u = upstream();
    assert_has(upstream_got(u, "PUT / HTTP/1.1\r\n"), "\r\n\r\nabc");
    at(101 * MS);
    struct sock *v = upstream();
    assert_has(upstream_got(v, "PUT / HTTP/1.1\r\n"), "\r\n\r\nabc");
    takes(u, 0); /* one of them takes nothing: the other is not held up by it */
    client_sends(c, "def");
    upstream_got(v, "def");
    client_sends(c, "ghi");
    upstream_got(v, "ghi");
    assert_silent(u);
    upstream_sends(v, ANSWER_OK);
    assert_answer(c, 200);
    assert_true(u->closed);
    assert_ended("completed");
    assert_logged("request_bytes", "9");
}
static void past_the_buffer_the_one_that_is_furthest_goes_on_alone(void **state) {
    (void)state;
    stage_endpoints(3, "", "retry: { hedge: { after: 100ms }, buffer: 4KiB }");
    struct sock *c, *u = asked(&c, "PUT / HTTP/1.1\r\nhost: a\r\ncontent-length: 100000\r\n\r\n");
    takes(u, 0);
    sends_n(c, 'x', 1000);
    at(101 * MS);
    struct sock *v = upstream();
    assert_has(upstream_got(v, "PUT / HTTP/1.1\r\n"), "xxx");
    assert_true(!u->closed && !v->closed);
    sends_n(c, 'x', 99000);
    assert_true(u->closed);
    assert_int_equal(strspn(got(v), "x"), 99000);
    answered(c, v);
}
static void a_body_that_is_too_long_already_is_not_hedged(void **state) {
    (void)state;
    stage_endpoints(3, "", "retry: { hedge: { after: 100ms }, buffer: 4KiB }");
    struct sock *c = asks("PUT / HTTP/1.1\r\nhost: a\r\ncontent-length: 100000\r\n\r\n");
    struct sock *u = upstream();
    sends_n(c, 'x', 100000);
    at(200 * MS);
    assert_nobody_called();
    answered(c, u);
}
/* The upload waits for a 100 (Continue), and the first upstream says none. */
static void a_client_that_expects_100_hears_it_from_the_hedge(void **state) {
    (void)state;
    stage_endpoints(3, "", HEDGE);
    struct sock *c, *u, *v = hedged(&c, &u, "PUT / HTTP/1.1\r\nhost: a\r\nexpect: 100-continue\r\ncontent-length: 3\r\n\r\n");
    got(u), got(v);
    upstream_sends(v, "HTTP/1.1 100 Continue\r\n\r\n");
    assert_answer(c, 100);
    client_sends(c, "abc");
    upstream_got(u, "abc");
    upstream_got(v, "abc");
    answered(c, u);
    assert_logged("winner", "1");
}
/* The deadline of a try passes in the turn in which the buffer does: who is left is not taken for less than who is over. */
static void past_the_buffer_who_is_over_counts_no_more(void **state) {
    (void)state;
    stage_endpoints(3, "", "deadline: { per_try: 300ms }, retry: { hedge: { after: 100ms }, buffer: 4KiB }");
    struct sock *c = asks("PUT / HTTP/1.1\r\nhost: a\r\ncontent-length: 100000\r\n\r\n");
    sends_n(c, 'x', 3000);
    struct sock *u = upstream();
    at(101 * MS);
    struct sock *v = upstream();
    world.now = 300 * MS;
    static char rest[97000];
    memset(rest, 'x', sizeof rest);
    queue_bytes(c, rest, sizeof rest);
    settle();
    assert_true(u->closed && !v->closed);
    answered(c, v);
}
static void only_one_of_them_speaks_before_its_answer(void **state) {
    (void)state;
    stage_endpoints(3, "", HEDGE);
    struct sock *c, *u, *v = hedged(&c, &u, GET());
    upstream_sends(v, "HTTP/1.1 103 Early Hints\r\nlink: </v>\r\n\r\n");
    assert_has(assert_answer(c, 103), "</v>");
    upstream_sends(u, "HTTP/1.1 103 Early Hints\r\nlink: </u>\r\n\r\n");
    assert_silent(c);
    upstream_sends(v, "HTTP/1.1 103 Early Hints\r\nlink: </w>\r\n\r\n");
    assert_has(assert_answer(c, 103), "</w>");
    answered(c, u);
}

/* ---- gRPC ------------------------------------------------------------------------------------------------------------------------------------------ */
static void a_call_is_hedged_on_the_same_connection_and_the_loser_is_reset(void **state) {
    (void)state;
    stage((struct given){ .upstream = "protocol: http2", .policy = "retry: { when: [ UNAVAILABLE ], hedge: { after: 100ms, max: 2 } }" });
    struct h2 *c = h2_client();
    int32_t a = h2_asks(c, "POST", "/a", CALL, 5, false);
    h2_settle(c, NULL);
    struct h2 *u = h2_upstream();
    h2_settle(c, u);
    int32_t one = h2_next(u);
    at(101 * MS);
    h2_settle(c, u);
    int32_t two = h2_next(u);
    assert_has(h2_stream(u, two)->head, "grpc-previous-rpc-attempts: 1\n");
    assert_int_equal(h2_stream(u, two)->received, 5);
    h2_answers(u, two, "200", "content-type: application/grpc\ngrpc-status: 14\ngrpc-retry-pushback-ms: -1\n", NO_BODY, false);
    h2_settle(c, u);
    at(500 * MS); /* it said not to: there is no third */
    h2_settle(c, u);
    assert_int_equal(u->answered, u->n);
    assert_int_equal(h2_stream(c, a)->heads, 0);
    h2_answers(u, one, "200", "content-type: application/grpc\ngrpc-status: 0\n", NO_BODY, false);
    h2_settle(c, u);
    assert_has(h2_stream(c, a)->head, "grpc-status: 0\n");
    assert_ended("completed");
    int32_t b = h2_asks(c, "POST", "/b", CALL, 0, false);
    h2_settle(c, u);
    int32_t three = h2_next(u);
    step(101 * MS);
    h2_settle(c, u);
    int32_t four = h2_next(u);
    h2_answers(u, four, "200", "content-type: application/grpc\n", 5, true);
    h2_settle(c, u);
    assert_h2_status(c, b, "200");
    assert_h2_reset(u, three, NGHTTP2_CANCEL);
    h2_goes_on(u, four, 0, false);
    h2_settle(c, u);
    assert_ended("completed");
    assert_int_equal(atomic_load(&world.w.metrics.cancels[ENDING_COMPLETED][LEVEL_NATIVE]), 1);
    h2_free(c), h2_free(u);
}
static void a_pushback_moves_the_next_hedge(void **state) {
    (void)state;
    stage((struct given){ .upstream = "protocol: http2", .policy = "retry: { when: [ UNAVAILABLE ], hedge: { after: 100ms, max: 2 } }" });
    struct h2 *c = h2_client();
    int32_t a = h2_asks(c, "POST", "/a", CALL, 0, false);
    h2_settle(c, NULL);
    struct h2 *u = h2_upstream();
    h2_settle(c, u);
    h2_next(u);
    at(101 * MS);
    h2_settle(c, u);
    h2_answers(u, h2_next(u), "200", "content-type: application/grpc\ngrpc-status: 14\ngrpc-retry-pushback-ms: 300\n", NO_BODY, false);
    h2_settle(c, u);
    at(399 * MS);
    h2_settle(c, u);
    assert_int_equal(u->answered, u->n);
    at(403 * MS);
    h2_settle(c, u);
    h2_answers(u, h2_next(u), "200", "content-type: application/grpc\ngrpc-status: 0\n", NO_BODY, false);
    h2_settle(c, u);
    assert_has(h2_stream(c, a)->head, "grpc-status: 0\n");
    assert_ended("completed");
    assert_logged("winner", "3");
    h2_free(c), h2_free(u);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        SCENE(the_hedge_answers_first_and_the_slow_one_is_dropped_in_that_turn),
        SCENE(the_first_one_answers_first_and_the_hedge_is_dropped),
        SCENE(an_answer_in_time_needs_no_hedge),
        SCENE(both_answer_in_one_turn_and_the_client_gets_one),
        SCENE(a_hedge_that_waits_for_its_connection_is_withdrawn),
        SCENE(a_connection_that_does_not_come_is_hedged_at_another_endpoint),
        SCENE(as_many_as_max_and_each_to_another),
        SCENE(what_fails_while_another_is_under_way_is_not_the_outcome),
        SCENE(when_all_have_failed_the_last_outcome_counts),
        SCENE(a_retry_follows_when_the_last_has_failed_and_may_be_hedged_in_turn),
        SCENE(a_status_that_is_tried_again_does_not_win),
        SCENE(a_status_that_is_tried_again_passes_where_it_is_all_that_came),
        SCENE(per_try_ends_one_and_the_other_goes_on),
        SCENE(per_try_of_all_in_one_turn_is_one_outcome),
        SCENE(a_client_that_leaves_ends_all_of_them_in_one_turn),
        SCENE(the_deadline_ends_all_of_them_in_one_turn),
        SCENE(with_too_little_left_there_is_no_hedge),
        SCENE(past_the_budget_there_is_no_hedge),
        SCENE(a_loser_is_not_told_by_a_call),
        SCENE(a_post_is_not_hedged_unless_it_is_named),
        SCENE(each_attempt_reads_a_body_that_still_comes_on_its_own),
        SCENE(past_the_buffer_the_one_that_is_furthest_goes_on_alone),
        SCENE(a_body_that_is_too_long_already_is_not_hedged),
        SCENE(a_client_that_expects_100_hears_it_from_the_hedge),
        SCENE(past_the_buffer_who_is_over_counts_no_more),
        SCENE(only_one_of_them_speaks_before_its_answer),
        SCENE(a_call_is_hedged_on_the_same_connection_and_the_loser_is_reset),
        SCENE(a_pushback_moves_the_next_hedge),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
