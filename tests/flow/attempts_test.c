// SPDX-License-Identifier: Apache-2.0
// Further attempts where the rest of an exchange stands in their way: a pool that is full, an upload, a stale connection, what upstreams say before
// their answer, and what happens to all of it in one turn.
#include "tests/flow/h2.h"
#include "core/random.h"

#define BUSY "HTTP/1.1 503 Busy\r\ncontent-length: 4\r\n\r\nbusy"
#define AT_ONCE_503 "retry: { when: [ 503 ], backoff: { base: 0s } }"

static uint64_t cancels(enum ending why, enum cancel_level l) { return atomic_load(&world.w.metrics.cancels[why][l]); }

/* ---- the pool ------------------------------------------------------------------------------------------------------------------------------ */
/* Nobody waits for the connection to whom it failed: it is closed for one to the other endpoint. */
static void a_full_pool_makes_room_for_a_retry(void **state) {
    (void)state;
    stage_endpoints(2, "max_connections: 1", AT_ONCE_503);
    struct sock *c, *u = asked(&c, GET());
    upstream_sends(u, BUSY);
    assert_closed(u);
    struct sock *v = upstream();
    assert_true(v->port != u->port);
    answered(c, v);
    assert_int_equal(world.now, 0);
}
/* Whose requests would all wait behind the one that is sent again: that goes where it failed before, on the connection that is there. */
static void a_full_pool_that_is_shared_holds_nobody_up(void **state) {
    (void)state;
    stage_endpoints(2, "protocol: http2, max_connections: 1", AT_ONCE_503);
    struct h2 *c = h2_client();
    int32_t a = h2_get(c, "/a", ""), b = h2_get(c, "/b", "");
    h2_settle(c, NULL);
    struct h2 *u = h2_upstream();
    h2_settle(c, u);
    int32_t one = h2_next(u), two = h2_next(u);
    h2_answers(u, one, "503", "", NO_BODY, false);
    h2_settle(c, u);
    assert_nobody_called();
    int32_t again = h2_next(u), d = h2_get(c, "/d", "");
    h2_settle(c, u);
    h2_answers(u, h2_next(u), "200", "", NO_BODY, false);
    h2_answers(u, again, "200", "", NO_BODY, false);
    h2_answers(u, two, "200", "", NO_BODY, false);
    h2_settle(c, u);
    assert_h2_status(c, a, "200"), assert_h2_status(c, b, "200"), assert_h2_status(c, d, "200");
    assert_ended("completed"), assert_ended("completed");
    assert_ended("completed");
    h2_free(c), h2_free(u);
}
/* It was asked, so `shed_load` would be no true word of it. */
static void a_retry_that_finds_the_queue_full_ends_with_the_outcome_before_it(void **state) {
    (void)state;
    stage((struct given){ .upstream = "max_requests: 1, max_pending: 1",
                          .policy = "retry: { when: [ upstream_closed ], backoff: { base: 10ms, max: 10ms } }" });
    struct sock *c = asks(GET());
    struct sock *u = upstream();
    upstream_resets(u);
    struct sock *d = asks(GET()), *e = asks(GET());
    got(upstream());
    step(10 * MS);
    assert_answer(c, 502);
    assert_ended("upstream_closed");
    assert_logged("attempts", "2");
    client_resets(d), client_resets(e);
    assert_ended("client_reset");
    assert_ended("client_reset");
}

/* ---- what comes before an answer ------------------------------------------------------------------------------------------------------------ */
/* Its client waits for that word, whoever says it. */
static void a_hedge_may_ask_for_the_body_and_only_once(void **state) {
    (void)state;
    stage_endpoints(2, "", "retry: { hedge: { after: 100ms } }");
    struct sock *c = asks("PUT / HTTP/1.1\r\nhost: a\r\nexpect: 100-continue\r\ncontent-length: 3\r\n\r\n");
    struct sock *u = upstream();
    at(101 * MS);
    struct sock *v = upstream();
    got(u), got(v);
    upstream_sends(v, "HTTP/1.1 100 Continue\r\n\r\n");
    assert_answer(c, 100);
    upstream_sends(u, "HTTP/1.1 100 Continue\r\n\r\n");
    assert_silent(c);
    client_sends(c, "abc");
    upstream_got(u, "abc"), upstream_got(v, "abc");
    answered(c, v);
}
static void a_retry_does_not_ask_for_a_body_again(void **state) {
    (void)state;
    stage_endpoints(2, "", AT_ONCE_503);
    struct sock *c, *u = asked(&c, "PUT / HTTP/1.1\r\nhost: a\r\nexpect: 100-continue\r\ncontent-length: 3\r\n\r\n");
    upstream_sends(u, "HTTP/1.1 100 Continue\r\n\r\n");
    assert_answer(c, 100);
    client_sends(c, "abc");
    upstream_got(u, "abc");
    upstream_sends(u, BUSY);
    struct sock *v = upstream();
    assert_has(upstream_got(v, "PUT / HTTP/1.1\r\n"), "\r\n\r\nabc");
    upstream_sends(v, "HTTP/1.1 100 Continue\r\n\r\n");
    assert_silent(c);
    answered(c, v);
}
static void hints_before_a_status_that_is_tried_again_pass_and_it_does_not(void **state) {
    (void)state;
    stage_endpoints(2, "", AT_ONCE_503);
    struct sock *c = asks(GET());
    upstream_sends(upstream(), "HTTP/1.1 103 Early Hints\r\nlink: </u>\r\n\r\n" BUSY);
    assert_has(assert_answer(c, 103), "</u>");
    assert_silent(c);
    answered(c, upstream());
}

/* ---- uploads ---------------------------------------------------------------------------------------------------------------------------------- */
static void a_body_as_long_as_the_buffer_is_sent_again(void **state) {
    (void)state;
    stage_endpoints(2, "", "retry: { when: [ 503 ], backoff: { base: 0s }, buffer: 1KiB }");
    struct sock *c = asks("PUT / HTTP/1.1\r\nhost: a\r\ncontent-length: 1024\r\n\r\n");
    sends_n(c, 'x', 1024);
    struct sock *u = upstream();
    upstream_sends(u, BUSY);
    struct sock *v = upstream();
    assert_int_equal(strspn(strstr(got(v), "\r\n\r\n") + 4, "x"), 1024);
    answered(c, v);
    c = asks("PUT / HTTP/1.1\r\nhost: a\r\ncontent-length: 1025\r\n\r\n");
    sends_n(c, 'x', 1025);
    upstream_sends(u, BUSY);
    assert_answer(c, 503);
    assert_ended("completed");
}

/* ---- the stale connection -------------------------------------------------------------------------------------------------------------------- */
static void a_stale_connection_among_hedges_keeps_its_number(void **state) {
    (void)state;
    stage_endpoints(2, "", "retry: { hedge: { after: 100ms } }");
    struct sock *c = asks(GET());
    struct sock *u = upstream();
    answered(c, u);
    world.connects[u->port == 9001 ? 1 : 0] = SLOWLY; /* so that the next one goes where there is a connection */
    client_sends(c, GET());
    struct sock *v = upstream_or_none();
    if (v) { /* the other endpoint's turn: let it have the second, and ask once more */
        accepts(v);
        answered(c, v);
        world.connects[0] = world.connects[1] = AT_ONCE;
        client_sends(c, GET());
    }
    world.connects[0] = world.connects[1] = AT_ONCE;
    step(101 * MS); /* the hedge is under way, on the other connection */
    upstream_finishes(u);
    struct sock *fresh = upstream();
    answered(c, fresh);
    assert_logged("attempts", "2");
    assert_logged("winner", "1");
}

/* ---- one turn ---------------------------------------------------------------------------------------------------------------------------------- */
/* Law "nothing left": what ends in this turn starts nothing any more in it. */
static void a_back_off_that_is_over_as_the_client_leaves_starts_nothing(void **state) {
    (void)state;
    stage((struct given){ .policy = "retry: { when: [ 503 ] }" });
    struct sock *c, *u = asked(&c, GET());
    upstream_sends(u, "HTTP/1.1 503 Busy\r\nretry-after: 1\r\ncontent-length: 0\r\n\r\n");
    at(999 * MS);
    world.now = 1100 * MS; /* the machine stood still: both are seen in one turn */
    client_resets(c);
    assert_ended_at("client_reset", "withdrawn");
    assert_logged("attempts", "1");
    assert_silent(u);
    assert_int_equal(count(METRIC_ATTEMPTS), 1);
    assert_int_equal(cancels(ENDING_CLIENT_RESET, LEVEL_WITHDRAWN), 1);
}
static void the_deadline_and_a_hedge_in_one_turn_start_nothing(void **state) {
    (void)state;
    stage_endpoints(2, "", "retry: { hedge: { after: 100ms } }");
    struct sock *c = asks(GET("x-request-timeout: 200ms\r\n"));
    upstream();
    world.now = 300 * MS;
    settle();
    assert_answer(c, 504);
    assert_nobody_called();
    assert_ended_at("deadline", "close");
}
static void the_client_leaves_as_the_winner_answers(void **state) {
    (void)state;
    stage_endpoints(2, "", "retry: { hedge: { after: 100ms } }");
    struct sock *c = asks(GET());
    struct sock *u = upstream();
    at(101 * MS);
    struct sock *v = upstream();
    queues(v, ANSWER("content-length: 4\r\n") "ha");
    queues_rst(c);
    settle();
    assert_true(u->closed && v->closed);
    assert_ended_at("client_reset", "close");
    assert_nothing_left();
    assert_int_equal(cancels(ENDING_CLIENT_RESET, LEVEL_CLOSE) + cancels(ENDING_COMPLETED, LEVEL_CLOSE), 2);
}

/* The loser was whole before it could be told: there is nothing to reset. */
static void two_whole_answers_in_one_read_are_one_answer(void **state) {
    (void)state;
    stage((struct given){ .upstream = "protocol: http2", .policy = "retry: { hedge: { after: 100ms } }" });
    struct h2 *c = h2_client();
    int32_t a = h2_get(c, "/a", "");
    h2_settle(c, NULL);
    struct h2 *u = h2_upstream();
    h2_settle(c, u);
    int32_t one = h2_next(u);
    at(101 * MS);
    h2_settle(c, u);
    int32_t two = h2_next(u);
    h2_answers(u, two, "200", "x-from: two\n", 3000, false);
    h2_answers(u, one, "200", "x-from: one\n", 3000, false);
    h2_settle(c, u);
    assert_h2_status(c, a, "200");
    assert_has(h2_stream(c, a)->head, "x-from: two\n");
    assert_int_equal(h2_stream(c, a)->heads, 1);
    assert_int_equal(h2_stream(c, a)->received, 3000);
    assert_h2_not_reset(u, one);
    assert_ended("completed");
    assert_logged("winner", "2");
    for (enum cancel_level l = LEVEL_NONE; l < LEVELS; l++) assert_int_equal(cancels(ENDING_COMPLETED, l), 0);
    int32_t b = h2_get(c, "/b", "");
    h2_settle(c, u);
    h2_answers(u, h2_next(u), "200", "", NO_BODY, false);
    h2_settle(c, u);
    assert_h2_status(c, b, "200");
    assert_ended("completed");
    h2_free(c), h2_free(u);
}
/* T44: by the same id the call would find the work of the next attempt. */
static void a_retry_waits_for_the_call_that_ends_the_try_before(void **state) {
    (void)state;
    stage_endpoints(2, "", "deadline: { per_try: 100ms }, retry: { when: [ try_timeout ], backoff: { base: 0s } }, "
                        "cancel: { http1: [ call, close ], call: { path: /cancel } }");
    struct sock *c = asks(GET());
    upstream();
    at(101 * MS);
    struct sock *call = upstream();
    assert_has(got(call), "/cancel");
    at(150 * MS);
    assert_nobody_called();
    upstream_sends(call, ANSWER_OK);
    answered(c, upstream());
    assert_int_equal(cancels(ENDING_TRY_TIMEOUT, LEVEL_SIDE_CHANNEL), 1);
}
/* And then it comes to nothing, so that it cannot come late, either. */
static void a_retry_waits_no_longer_for_a_call_that_hangs_than_half_of_what_is_left(void **state) {
    (void)state;
    stage_endpoints(2, "", "deadline: { default: 1s, per_try: 200ms }, retry: { when: [ try_timeout ], backoff: { base: 0s } }, "
                        "cancel: { http1: [ call, close ], call: { path: /cancel, timeout: 10s } }");
    struct sock *c = asks(GET());
    upstream();
    at(201 * MS);
    struct sock *call = upstream();
    at(598 * MS);
    assert_nobody_called();
    assert_false(call->closed);
    at(602 * MS); /* 400 ms are left */
    assert_true(call->closed);
    assert_int_equal(count(METRIC_CALL_FAILURES), 1);
    assert_int_equal(cancels(ENDING_TRY_TIMEOUT, LEVEL_CLOSE), 1);
    upstream_sends(upstream(), ANSWER_OK);
    assert_answer(c, 200);
    assert_ended("completed");
}
static void nor_than_leaves_it_what_is_worth_asking_for(void **state) {
    (void)state;
    stage_endpoints(2, "", "deadline: { default: 1s, min: 350ms, reserve: 50ms, per_try: 400ms }, retry: { when: [ try_timeout ], backoff: { base: 0s } }, "
                        "cancel: { http1: [ call, close ], call: { path: /cancel, timeout: 10s } }");
    struct sock *c = asks(GET());
    upstream();
    at(401 * MS);
    upstream();
    at(598 * MS);
    assert_nobody_called();
    at(602 * MS); /* 400 ms are left */
    answered(c, upstream());
}
/* The back-off is kept all the same. */
static void a_call_that_is_soon_over_shortens_no_back_off(void **state) {
    (void)state;
    stage_endpoints(2, "", "deadline: { per_try: 100ms, default: 9s }, retry: { when: [ try_timeout ], backoff: { base: 1s, max: 1s } }, "
                        "cancel: { http1: [ call, close ], call: { path: /cancel } }");
    int64_t wait = 0;
    for (;; world.w.chance++) {
        uint64_t s = world.w.chance;
        wait = retry_backoff(&world.w.snapshot->config->policies.v[0].retry, 1, random_next(&s)).ns;
        if (wait >= 100 * MS) break;
    }
    struct sock *c = asks(GET());
    upstream();
    at(101 * MS);
    upstream_sends(upstream(), ANSWER_OK);
    at(100 * MS + wait - 2 * MS);
    assert_nobody_called();
    at(100 * MS + wait + 3 * MS);
    answered(c, upstream());
}
/* The call that tells of the first attempt says nothing of what came after it. */
static void each_cancel_is_counted_by_its_own_ending_and_level(void **state) {
    (void)state;
    stage_endpoints(2, "", "deadline: { per_try: 100ms }, retry: { when: [ try_timeout ], backoff: { base: 0s } }, "
                        "cancel: { http1: [ call, close ], call: { path: /cancel } }");
    struct sock *c = asks(GET());
    upstream();
    world.connects[0] = world.connects[1] = SLOWLY;
    at(101 * MS);
    struct sock *call = upstream();
    client_resets(c); /* the retry waits for the call */
    assert_nothing_ended(); /* which is not over */
    assert_int_equal(cancels(ENDING_CLIENT_RESET, LEVEL_WITHDRAWN), 1);
    accepts(call);
    upstream_sends(call, ANSWER_OK);
    assert_int_equal(cancels(ENDING_TRY_TIMEOUT, LEVEL_SIDE_CHANNEL), 1);
    assert_ended_at("client_reset", "withdrawn");
}
/* client_gone: ignore, for what was sent already: by whichever attempt. */
static void work_that_a_hedge_has_begun_goes_on_without_its_client(void **state) {
    (void)state;
    stage_endpoints(2, "", "retry: { hedge: { after: 100ms } }, cancel: { client_gone: ignore }");
    world.connects[0] = SLOWLY;
    struct sock *c = asks(GET());
    upstream();
    at(101 * MS);
    struct sock *v = upstream();
    got(v);
    client_resets(c);
    assert_open(v);
    assert_nothing_ended();
    upstream_sends(v, ANSWER_OK);
    assert_open(v);
    assert_ended("client_reset");
    assert_logged("winner", "2");
}

/* ---- time without a deadline -------------------------------------------------------------------------------------------------------------------- */
/* A stream has no deadline that a wait could pass: it may be no longer than a silence may. */
static void a_stream_does_not_wait_longer_than_it_may_be_silent(void **state) {
    (void)state;
    stage_endpoints(2, "", "retry: { when: [ 503 ] }, deadline: { streaming: { idle: 10s } }");
    struct sock *c = asks(GET("accept: text/event-stream\r\n"));
    upstream_sends(upstream(), "HTTP/1.1 503 Busy\r\nretry-after: 3600\r\ncontent-length: 4\r\n\r\nbusy");
    assert_has(assert_answer(c, 503), "busy");
    assert_ended("completed");
    assert_logged("no_retry", "no_time");
}
static void a_back_off_is_no_silence_of_the_upstream(void **state) {
    (void)state;
    stage_endpoints(2, "", "retry: { when: [ 503 ] }, deadline: { streaming: { idle: 10s } }");
    struct sock *c = asks(GET("accept: text/event-stream\r\n"));
    struct sock *u = upstream();
    at(5 * SECONDS);
    upstream_sends(u, "HTTP/1.1 503 Busy\r\nretry-after: 8\r\ncontent-length: 4\r\n\r\nbusy");
    at(13 * SECONDS + 1 * MS);
    struct sock *v = upstream();
    step(9 * SECONDS);
    assert_silent(c);
    answered(c, v);
}

/* ---- tunnels -------------------------------------------------------------------------------------------------------------------------------------- */
#define UPGRADE GET("connection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n")
static void a_tunnel_is_refused_by_whom_it_asks(void **state) {
    (void)state;
    stage_endpoints(2, "", "retry: { when: [ 503, upstream_closed ], backoff: { base: 0s }, hedge: { after: 100ms } }");
    struct sock *c = asks(UPGRADE);
    struct sock *u = upstream();
    step(1 * SECONDS);
    assert_nobody_called();
    upstream_sends(u, BUSY);
    assert_has(assert_answer(c, 503), "busy");
    assert_nobody_called();
    assert_ended("completed");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        SCENE(a_full_pool_makes_room_for_a_retry),
        SCENE(a_full_pool_that_is_shared_holds_nobody_up),
        SCENE(a_retry_that_finds_the_queue_full_ends_with_the_outcome_before_it),
        SCENE(a_hedge_may_ask_for_the_body_and_only_once),
        SCENE(a_retry_does_not_ask_for_a_body_again),
        SCENE(hints_before_a_status_that_is_tried_again_pass_and_it_does_not),
        SCENE(a_body_as_long_as_the_buffer_is_sent_again),
        SCENE(a_stale_connection_among_hedges_keeps_its_number),
        SCENE(a_back_off_that_is_over_as_the_client_leaves_starts_nothing),
        SCENE(the_deadline_and_a_hedge_in_one_turn_start_nothing),
        SCENE(the_client_leaves_as_the_winner_answers),
        SCENE(two_whole_answers_in_one_read_are_one_answer),
        SCENE(a_retry_waits_for_the_call_that_ends_the_try_before),
        SCENE(a_retry_waits_no_longer_for_a_call_that_hangs_than_half_of_what_is_left),
        SCENE(nor_than_leaves_it_what_is_worth_asking_for),
        SCENE(a_call_that_is_soon_over_shortens_no_back_off),
        SCENE(each_cancel_is_counted_by_its_own_ending_and_level),
        SCENE(work_that_a_hedge_has_begun_goes_on_without_its_client),
        SCENE(a_stream_does_not_wait_longer_than_it_may_be_silent),
        SCENE(a_back_off_is_no_silence_of_the_upstream),
        SCENE(a_tunnel_is_refused_by_whom_it_asks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
