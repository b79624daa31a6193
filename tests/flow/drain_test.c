// SPDX-License-Identifier: Apache-2.0
// SIGTERM as a worker sees it: idle connections go at once, what is under way is finished, and what is not finished in time ends as shutdown.
#include "tests/flow/stage.h"

static void drain(void) {
    worker_post_kind(&world.w, MESSAGE_DRAIN);
    settle();
}
static bool is_drained(void) { return world.w.nconns == 0 && world.w.nexchanges == 0; }

static void idle_connections_close_at_once_on_both_sides(void **state) {
    (void)state;
    stage((struct given){ 0 });
    struct sock *c, *u = asked(&c, GET());
    answered(c, u);
    struct sock *fresh = client();
    drain();
    assert_true(c->closed && u->closed && fresh->closed);
    assert_true(is_drained());
}
static void what_is_under_way_is_finished_and_then_closes(void **state) {
    (void)state;
    stage((struct given){ 0 });
    struct sock *c, *u = asked(&c, GET());
    drain();
    assert_open(c);
    assert_open(u);
    step(14 * SECONDS);
    upstream_sends(u, ANSWER_OK);
    assert_has(assert_answer(c, 200), "connection: close\r\n");
    assert_true(is_over(c) && u->closed);
    assert_ended("completed");
    step(3 * SECONDS);
    assert_true(is_drained());
}
static void a_request_that_is_being_written_is_still_taken(void **state) {
    (void)state;
    stage((struct given){ 0 });
    struct sock *c = asks("GET / HTTP/1.1\r\nhost: a\r\n");
    drain();
    client_sends(c, "\r\n");
    struct sock *u = upstream();
    upstream_sends(u, ANSWER_OK);
    assert_has(assert_answer(c, 200), "connection: close\r\n");
    assert_ended("completed");
    step(3 * SECONDS);
    assert_true(is_drained());
}
static void who_waits_for_a_connection_still_gets_it(void **state) {
    (void)state;
    stage((struct given){ .upstream = "max_connections: 1" });
    struct sock *a, *u = asked(&a, GET());
    struct sock *b = asks(GET());
    drain();
    upstream_sends(u, ANSWER_OK);
    assert_answer(a, 200);
    struct sock *v = upstream_or_none();
    if (!v) v = u;
    upstream_got(v, "GET / ");
    answered(b, v);
    assert_ended("completed");
    step(3 * SECONDS);
    assert_true(is_drained());
}
static void who_waits_while_a_connection_is_made_still_gets_it(void **state) {
    (void)state;
    stage((struct given){ 0 });
    world.connects[0] = SLOWLY;
    struct sock *c = asks(GET());
    drain();
    struct sock *u = upstream();
    if (u->closed) u = upstream(); /* it may be made anew */
    accepts(u);
    answered(c, u);
    step(3 * SECONDS);
    assert_true(is_drained());
}
static void when_the_drain_time_is_over_all_that_lives_ends_as_shutdown(void **state) {
    (void)state;
    stage((struct given){ .shutdown = "10s",
                          .policy = "deadline: { default: 1h, max: 1h, idle: 1h }, cancel: { http1: [ drain ], drain_limit: { time: 1h } }",
                          .upstream = "max_connections: 3, connect_timeout: 1h" });
    struct sock *head, *body, *whole, *queued;
    struct sock *u1 = asked(&head, GET());
    struct sock *u2 = asked(&body, GET());
    upstream_sends(u2, ANSWER("transfer-encoding: chunked\r\n") "1\r\na\r\n");
    struct sock *u3 = asked(&whole, GET());
    takes(whole, 50);
    upstream_sends(u3, ANSWER("content-length: 100000\r\nconnection: close\r\n"));
    sends_n(u3, 'x', 100000);
    world.connects[0] = SLOWLY;
    queued = client();
    client_sends(queued, GET());
    drain();
    at(10 * SECONDS);
    assert_has(assert_answer(head, 503), "shutdown");
    assert_truncated(body);
    assert_answer(queued, 503);
    at(60 * SECONDS);
    assert_true(u1->closed && u2->closed && whole->closed);
    assert_true(is_drained());
    unsigned n = 0;
    while (next_line()) n++;
    assert_int_equal(n, 4);
    assert_int_equal(ended(ENDING_SHUTDOWN) >= 3, 1);
    while (upstream_or_none()) { }
}
static void a_second_signal_stops_and_nothing_is_left_even_so(void **state) {
    (void)state;
    stage((struct given){ 0 });
    struct sock *c, *u = asked(&c, GET());
    asks(POST("content-length: 10\r\n") "123");
    drain();
    worker_post_kind(&world.w, MESSAGE_STOP);
    settle();
    assert_true(world.w.stopped);
    unstage(); /* worker_free ends what lives, and asserts */
    (void)u;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        SCENE(idle_connections_close_at_once_on_both_sides),
        SCENE(what_is_under_way_is_finished_and_then_closes),
        SCENE(a_request_that_is_being_written_is_still_taken),
        SCENE(who_waits_for_a_connection_still_gets_it),
        SCENE(who_waits_while_a_connection_is_made_still_gets_it),
        SCENE(when_the_drain_time_is_over_all_that_lives_ends_as_shutdown),
        SCENE(a_second_signal_stops_and_nothing_is_left_even_so),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
