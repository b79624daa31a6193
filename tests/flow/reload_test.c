// SPDX-License-Identifier: Apache-2.0
// SIGHUP as a worker sees it: another configuration between two turns. Who is under way ends under what it began with, nobody is dropped, and what no
// configuration has any more goes when its last user does (trap T48).
#include "tests/flow/h2.h"

#define UP2 "protocol: http2"
#define ELSEWHERE "max_requests: 4095" /* not the same upstream any more */
#define TO_OTHER .upstream = "max_connections: 8 }\n  other: { endpoints: [ 127.0.0.1:9002 ]", .routes = "  - { match: { path: /* }, upstream: other }"


/* ---- requests --------------------------------------------------------------------------------------------------------------------------- */
static void what_is_under_way_ends_by_its_own_deadline_and_the_next_request_on_its_connection_by_the_new_one(void **state) {
    (void)state;
    stage((struct given){ .policy = "deadline: { default: 1s }" });
    struct sock *c, *u = asked(&c, GET());
    reloads((struct given){ .policy = "deadline: { default: 3s }" });
    assert_open(c);
    assert_open(u);
    assert_int_equal(world.w.nsnapshots, 2); /* the request holds the old one */
    at(999 * MS);
    assert_silent(c);
    at(1000 * MS);
    assert_answer(c, 504);
    assert_ended("deadline");
    assert_int_equal(world.w.nsnapshots, 1);
    assert_open(c);
    client_sends(c, GET());
    u = upstream();
    at(3999 * MS);
    assert_silent(c);
    at(4000 * MS);
    assert_answer(c, 504);
    assert_ended("deadline");
}
static void the_next_request_on_a_connection_takes_the_new_route(void **state) {
    (void)state;
    stage((struct given){ 0 });
    struct sock *c, *u = asked(&c, GET());
    reloads((struct given){ TO_OTHER });
    client_sends(c, GET_PATH("/next", ""));
    answered(c, u);
    struct sock *v = upstream();
    assert_int_equal(v->port, 9002);
    upstream_got(v, "GET /next ");
    answered(c, v);
}
static void a_request_whose_head_is_half_there_is_answered(void **state) {
    (void)state;
    stage((struct given){ 0 });
    struct sock *c = asks("GET / HTTP/1.1\r\nhost: a\r\n");
    reloads((struct given){ TO_OTHER });
    client_sends(c, "\r\n");
    answered(c, upstream());
}
static void a_body_under_way_goes_on_both_ways(void **state) {
    (void)state;
    stage((struct given){ 0 });
    struct sock *c, *u = asked(&c, POST("content-length: 10\r\n") "first");
    reloads((struct given){ TO_OTHER });
    client_sends(c, "other");
    assert_has(got(u), "other");
    upstream_sends(u, ANSWER("content-length: 6\r\n") "one");
    reloads((struct given){ .upstream = ELSEWHERE });
    upstream_sends(u, "two");
    assert_has(assert_answer(c, 200), "onetwo");
    assert_ended("completed");
}
static void a_retry_between_two_tries_asks_whom_it_began_with(void **state) {
    (void)state;
    stage((struct given){ .policy = "retry: { when: [ 503 ] }" });
    struct sock *c, *u = asked(&c, GET());
    upstream_sends(u, "HTTP/1.1 503 Busy\r\ncontent-length: 4\r\nconnection: close\r\n\r\nbusy");
    assert_int_equal(count(METRIC_RETRIES_WAITING), 1);
    reloads((struct given){ TO_OTHER, .policy = "retry: { retries: 0 }" });
    step(1 * SECONDS);
    struct sock *v = upstream();
    assert_int_equal(v->port, 9001);
    upstream_got(v, "GET / ");
    answered(c, v);
    assert_logged("attempts", "2");
    assert_true(is_over(v)); /* nobody has that upstream any more */
}
static void who_waits_in_the_queue_of_an_upstream_that_is_gone_still_gets_there(void **state) {
    (void)state;
    stage((struct given){ .upstream = "max_connections: 1" });
    struct sock *a, *u = asked(&a, GET());
    struct sock *b = asks(GET_PATH("/b", ""));
    reloads((struct given){ TO_OTHER });
    assert_nobody_called();
    upstream_sends(u, ANSWER_OK);
    assert_answer(a, 200);
    assert_true(is_over(u));
    struct sock *v = upstream();
    assert_int_equal(v->port, 9001);
    upstream_got(v, "GET /b ");
    upstream_sends(v, ANSWER_OK);
    assert_answer(b, 200);
    assert_true(is_over(v));
    assert_ended("completed");
    assert_ended("completed");
    assert_int_equal(world.w.nsnapshots, 1);
}
static void who_waits_in_the_queue_of_one_that_stays_keeps_its_place(void **state) {
    (void)state;
    stage((struct given){ .upstream = "max_connections: 1" });
    struct sock *a, *u = asked(&a, GET());
    struct sock *b = asks(GET_PATH("/b", ""));
    reloads((struct given){ .upstream = "max_connections: 1", .policy = "deadline: { default: 5s }" });
    struct sock *d = asks(GET_PATH("/c", "x-request-timeout: 1s\r\n")); /* of the new one, and with less time */
    answered(a, u);
    upstream_got(u, "GET /c ");
    answered(d, u);
    upstream_got(u, "GET /b ");
    answered(b, u);
    assert_nobody_called();
}
static void a_connection_that_is_being_made_serves_whom_it_was_made_for(void **state) {
    (void)state;
    world.connects[0] = SLOWLY;
    stage((struct given){ 0 });
    world.connects[0] = SLOWLY;
    struct sock *c = asks(GET());
    struct sock *u = upstream();
    reloads((struct given){ TO_OTHER });
    accepts(u);
    upstream_got(u, "GET / ");
    answered(c, u);
    assert_true(is_over(u));
}
static void a_side_channel_call_under_way_is_heard_to_its_end(void **state) {
    (void)state;
    stage((struct given){ .policy = "cancel: { http1: [ call, close ], call: { path: /cancel } }" });
    struct sock *c, *u = asked(&c, GET());
    client_resets(c);
    assert_reset(u);
    struct sock *k = upstream();
    upstream_got(k, "POST /cancel ");
    reloads((struct given){ TO_OTHER });
    reloads((struct given){ .upstream = ELSEWHERE });
    assert_open(k);
    upstream_sends(k, "HTTP/1.1 204 Done\r\n\r\n");
    assert_ended_at("client_reset", "side_channel");
    assert_int_equal(world.w.nsnapshots, 1);
}
static void a_call_that_failed_is_made_again_though_its_upstream_is_gone(void **state) {
    (void)state;
    stage((struct given){ .policy = "cancel: { http1: [ call, close ], call: { path: /cancel } }" });
    struct sock *c, *u = asked(&c, GET());
    client_resets(c);
    assert_reset(u);
    struct sock *k = upstream();
    reloads((struct given){ TO_OTHER });
    upstream_resets(k);
    k = upstream();
    assert_int_equal(k->port, 9001);
    upstream_got(k, "POST /cancel ");
    upstream_sends(k, "HTTP/1.1 204 Done\r\n\r\n");
    assert_ended_at("client_reset", "side_channel");
}
static void a_rate_of_calls_that_is_used_up_is_not_whole_again(void **state) {
    (void)state;
    struct given g = { .policy = "cancel: { http1: [ call, close ], call: { path: /cancel, rate: 1/m } }" };
    stage(g);
    struct sock *c, *u = asked(&c, GET());
    client_resets(c);
    assert_reset(u);
    upstream_sends(upstream(), "HTTP/1.1 204 Done\r\n\r\n");
    assert_ended_at("client_reset", "side_channel");
    reloads(g);
    u = asked(&c, GET());
    client_resets(c);
    assert_reset(u);
    assert_nobody_called();
    assert_ended_at("client_reset", "close");
}
static void a_client_that_left_has_its_work_go_on(void **state) {
    (void)state;
    stage((struct given){ .policy = "cancel: { client_gone: ignore }" });
    struct sock *c, *u = asked(&c, GET());
    client_resets(c);
    reloads((struct given){ TO_OTHER, .address = "127.0.0.1:8081" });
    assert_open(u);
    upstream_sends(u, ANSWER_OK);
    assert_ended("client_reset");
    assert_logged("listener", "edge");
}

/* ---- upstreams -------------------------------------------------------------------------------------------------------------------------- */
static void an_upstream_that_is_the_same_keeps_its_connections(void **state) {
    (void)state;
    stage((struct given){ 0 });
    struct sock *c, *u = asked(&c, GET());
    answered(c, u);
    for (unsigned i = 0; i < 3; i++) {
        reloads((struct given){ .policy = i & 1 ? "" : "deadline: { default: 5s }" });
        client_sends(c, GET());
        assert_nobody_called();
        upstream_got(u, "GET / ");
        answered(c, u);
    }
}
static void one_that_is_not_is_left_idle_connections_at_once_and_busy_ones_when_they_are_done(void **state) {
    (void)state;
    stage((struct given){ 0 });
    struct sock *a, *b, *u = asked(&a, GET()), *v = asked(&b, GET());
    answered(b, v);
    reloads((struct given){ .upstream = ELSEWHERE });
    assert_closed(v);
    assert_open(u);
    client_sends(b, GET());
    struct sock *w = upstream(); /* the new one's */
    got(w);
    answered(a, u);
    assert_closed(u);
    answered(b, w);
    assert_open(w);
}
static void its_streams_of_http2_end_in_peace_after_a_goaway(void **state) {
    (void)state;
    stage((struct given){ .upstream = UP2 });
    struct sock *c = asks(GET());
    struct h2 *u = h2_upstream();
    h2_read(u), h2_write(u);
    settle();
    int32_t one = h2_next(u);
    reloads((struct given){ .upstream = UP2 ", " ELSEWHERE });
    h2_read(u);
    assert_open(u->s);
    struct sock *d = asks(GET());
    struct h2 *v = h2_upstream();
    h2_read(v), h2_write(v);
    settle();
    int32_t two = h2_next(v);
    h2_answers(u, one, "204", NULL, NO_BODY, false);
    h2_write(u);
    settle();
    assert_answer(c, 204);
    assert_true(is_over(u->s));
    h2_answers(v, two, "204", NULL, NO_BODY, false);
    h2_write(v);
    settle();
    assert_answer(d, 204);
    assert_open(v->s);
    assert_ended("completed");
    assert_ended("completed");
    h2_free(u), h2_free(v);
}
static void an_endpoint_that_failed_is_not_forgotten(void **state) {
    (void)state;
    struct given g = { .upstream = "max_connections: 8 }\n  pair: { endpoints: [ 127.0.0.1:9001, 127.0.0.1:9002 ]",
                       .routes = "  - { match: { path: /* }, upstream: pair }", .policy = "retry: { backoff: { base: 0s } }" };
    stage(g);
    world.connects[0] = REFUSED;
    struct sock *c = asks(GET());
    upstream(); /* refused */
    answered(c, upstream());
    g.policy = "retry: { backoff: { base: 0s }, retries: 0 }";
    reloads(g);
    for (unsigned i = 0; i < 4; i++) { /* each on a connection of its own, since none is done */
        struct sock *d = asks(GET());
        struct sock *u = upstream_or_none();
        if (u) assert_int_equal(u->port, 9002);
        client_resets(d);
        assert_ended("client_reset");
    }
}

/* ---- clients ---------------------------------------------------------------------------------------------------------------------------- */
/* It has nothing to say from the beginning on: its time runs from there, and not from the reload. */
static void gets_the_new_timeout(struct sock *c) {
    step(5 * SECONDS);
    reloads((struct given){ .listener = "timeouts: { idle: 10s }" });
    at(9999 * MS);
    assert_open(c);
    at(10000 * MS);
    assert_closed(c);
}
static void a_kept_connection_has_the_timeouts_of_the_new_listener(void **state) {
    (void)state;
    stage((struct given){ .listener = "timeouts: { idle: 60s }" });
    struct sock *c, *u = asked(&c, GET());
    answered(c, u);
    gets_the_new_timeout(c);
}
static void so_has_one_that_has_sent_nothing_yet(void **state) {
    (void)state;
    stage((struct given){ .listener = "timeouts: { idle: 60s }" });
    gets_the_new_timeout(client());
}
static void trust_that_was_withdrawn_holds_from_the_next_request_on(void **state) {
    (void)state;
    stage((struct given){ .policy = "deadline: { default: 1s }" });
    struct sock *c, *u = asked(&c, GET("x-request-timeout: 5s\r\n"));
    answered(c, u);
    reloads((struct given){ .address = "127.0.0.1:8080, trust: none", .policy = "deadline: { default: 1s }" });
    client_sends(c, GET("x-request-timeout: 5s\r\n"));
    at(1000 * MS);
    assert_answer(c, 504);
    assert_ended("deadline");
}
static void a_listener_counts_the_clients_that_it_took_over(void **state) {
    (void)state;
    stage((struct given){ 0 });
    struct sock *a = client(), *b = client();
    reloads((struct given){ .listener = "max_connections: 2" });
    struct sock *c = client();
    assert_true(c->closed && !a->closed && !b->closed);
    client_finishes(a);
    c = client();
    assert_open(c);
}
static void streams_of_http2_go_on_and_new_ones_come_on_the_same_connection(void **state) {
    (void)state;
    stage((struct given){ .upstream = UP2 });
    struct h2 *c = h2_client();
    int32_t a = h2_get(c, "/a", NULL);
    h2_settle(c, NULL);
    struct h2 *u = h2_upstream();
    h2_settle(c, u);
    int32_t one = h2_next(u);
    reloads((struct given){ .upstream = UP2, .policy = "deadline: { default: 2s }" });
    int32_t b = h2_get(c, "/b", NULL);
    h2_settle(c, u);
    h2_answers(u, one, "200", NULL, 5, false);
    h2_settle(u, c);
    assert_h2_status(c, a, "200");
    assert_ended("completed");
    at(2000 * MS);
    h2_settle(c, u);
    assert_h2_status(c, b, "504");
    assert_ended("deadline");
    assert_open(c->s);
    h2_free(c), h2_free(u);
}
static void the_clients_of_a_listener_that_is_gone_finish_as_in_a_drain(void **state) {
    (void)state;
    stage((struct given){ 0 });
    struct sock *c, *u = asked(&c, GET()), *idle = client();
    reloads((struct given){ .address = "127.0.0.1:8081", .upstream = ELSEWHERE });
    assert_closed(idle);
    upstream_sends(u, ANSWER_OK);
    assert_has(assert_answer(c, 200), "connection: close\r\n");
    assert_true(is_over(c));
    assert_ended("completed");
    assert_logged("listener", "edge");
    step(3 * SECONDS);
    assert_int_equal(world.w.nsnapshots, 1);
}
static void its_connections_of_http2_get_a_goaway_and_their_streams_end(void **state) {
    (void)state;
    stage((struct given){ 0 });
    struct h2 *c = h2_client();
    int32_t a = h2_get(c, "/a", NULL);
    h2_settle(c, NULL);
    struct sock *u = upstream();
    reloads((struct given){ .address = "127.0.0.1:8081" });
    h2_settle(c, NULL);
    assert_int_equal(nghttp2_session_check_request_allowed(c->ng), 0); /* GOAWAY came */
    assert_open(c->s);
    upstream_sends(u, ANSWER_OK);
    h2_settle(c, NULL);
    assert_h2_status(c, a, "200");
    assert_ended("completed");
    step(3 * SECONDS);
    assert_true(is_over(c->s));
    h2_free(c);
}

/* ---- what is taken away has some time ----------------------------------------------------------------------------------------------------- */
#define REMOVED_5S .shutdown = "30s, drain_removed: 5s"
#define NO_LISTENER .address = "127.0.0.1:8081"
#define APP_GONE .app = "another"
static void a_request_on_a_listener_that_is_gone_has_the_time_of_the_new_configuration_and_is_answered(void **state) {
    (void)state;
    stage((struct given){ .shutdown = "30s, drain_removed: 1s" });
    struct sock *c, *u = asked(&c, GET("x-request-timeout: 50s\r\n"));
    step(1 * SECONDS);
    reloads((struct given){ NO_LISTENER, REMOVED_5S });
    at(5999 * MS);
    assert_silent(c);
    assert_open(u);
    at(6000 * MS);
    assert_has(assert_answer(c, 503), "removed or changed its listener");
    assert_true(is_over(c));
    assert_reset(u);
    assert_ended_at("shutdown", "close");
    assert_logged("status", "503");
    assert_int_equal(world.w.nsnapshots, 1);
}
static void a_stream_of_http2_on_it_is_reset_and_its_connection_closes(void **state) {
    (void)state;
    stage((struct given){ 0 });
    struct h2 *c = h2_client();
    int32_t a = h2_get(c, "/a", NULL);
    h2_settle(c, NULL);
    struct sock *u = upstream();
    upstream_sends(u, ANSWER("content-length: 100\r\n") "half");
    h2_settle(c, NULL);
    reloads((struct given){ NO_LISTENER, REMOVED_5S });
    h2_settle(c, NULL);
    at(4999 * MS);
    assert_open(c->s);
    at(5000 * MS);
    h2_settle(c, NULL);
    assert_h2_reset(c, a, NGHTTP2_INTERNAL_ERROR);
    assert_true(is_over(c->s));
    assert_true(u->closed);
    assert_ended("shutdown");
    h2_free(c);
}
static void a_tunnel_on_it_lasts_no_longer(void **state) {
    (void)state;
    stage((struct given){ .policy = "deadline: { streaming: { idle: none } }" });
    struct sock *c, *u = asked(&c, "GET /chat HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n");
    upstream_sends(u, "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n");
    assert_answer(c, 101);
    reloads((struct given){ NO_LISTENER, REMOVED_5S });
    at(4 * SECONDS);
    client_sends(c, "still here");
    upstream_got(u, "still here");
    at(5 * SECONDS);
    assert_reset(c);
    assert_true(u->closed);
    assert_ended("shutdown");
}
/* An answer of ours that nobody takes does not keep its connection. */
static void a_second_later_who_takes_nothing_is_dropped(void **state) {
    (void)state;
    stage((struct given){ .listener = "timeouts: { write: none }" });
    struct sock *c, *u = asked(&c, GET("x-request-timeout: 50s\r\n"));
    takes(c, 0);
    reloads((struct given){ NO_LISTENER, REMOVED_5S });
    at(5 * SECONDS);
    assert_reset(u);
    at(5999 * MS);
    assert_open(c);
    at(6000 * MS);
    assert_true(c->closed);
    assert_ended("shutdown");
    assert_int_equal(world.w.nsnapshots, 1);
}
static void where_it_is_none_they_may_take_as_long_as_they_like(void **state) {
    (void)state;
    stage((struct given){ .policy = "deadline: { default: none, idle: none }" });
    struct sock *c, *u = asked(&c, GET());
    reloads((struct given){ NO_LISTENER, APP_GONE, .shutdown = "30s, drain_removed: none" });
    step(5 * HOUR);
    answered(c, u);
    assert_true(is_over(c));
}
static void who_is_on_a_listener_that_stays_is_left_alone(void **state) {
    (void)state;
    stage((struct given){ .policy = "deadline: { default: none, idle: none }" });
    struct sock *c, *u = asked(&c, GET());
    reloads((struct given){ REMOVED_5S });
    step(1 * HOUR);
    answered(c, u);
    assert_open(c);
}
/* It came by the first, was taken over by the second, and the third has neither. */
static void a_client_that_was_handed_on_goes_with_the_listener_that_has_it(void **state) {
    (void)state;
    stage((struct given){ .policy = "deadline: { default: none, idle: none }" });
    struct sock *c, *u = asked(&c, GET());
    reloads((struct given){ REMOVED_5S });
    step(10 * SECONDS);
    reloads((struct given){ NO_LISTENER, REMOVED_5S });
    step(4999 * MS);
    assert_open(c);
    step(1 * MS);
    assert_answer(c, 503);
    assert_reset(u);
    assert_ended("shutdown");
}
static void a_request_to_an_upstream_that_is_gone_has_as_long_and_its_client_stays(void **state) {
    (void)state;
    stage((struct given){ .policy = "deadline: { default: none, idle: none }" });
    struct sock *c, *u = asked(&c, GET()), *d, *v;
    reloads((struct given){ APP_GONE, REMOVED_5S });
    at(4999 * MS);
    assert_open(u);
    v = asked(&d, GET()); /* of the new one */
    at(5000 * MS);
    assert_has(assert_answer(c, 503), "removed its upstream");
    assert_reset(u);
    assert_ended_at("shutdown", "close");
    assert_open(c);
    answered(d, v);
    assert_int_equal(world.w.nsnapshots, 1);
}
static void an_upstream_that_only_says_something_else_ends_nobody(void **state) {
    (void)state;
    stage((struct given){ .policy = "deadline: { default: none, idle: none }" });
    struct sock *c, *u = asked(&c, GET());
    reloads((struct given){ .upstream = ELSEWHERE, REMOVED_5S });
    step(5 * HOUR);
    answered(c, u);
}
static void so_has_who_waits_for_it_and_who_is_about_to_try_it_again(void **state) {
    (void)state;
    stage((struct given){ .upstream = "max_connections: 1", .policy = "deadline: { default: none, idle: none }, retry: { when: [ 503 ], backoff: { base: 30s, max: 30s } }" });
    struct sock *a, *u = asked(&a, GET("x: y\r\n"));
    upstream_sends(u, "HTTP/1.1 503 Busy\r\ncontent-length: 0\r\n\r\n");
    struct sock *b = asks(GET()), *c = asks(GET());
    reloads((struct given){ APP_GONE, REMOVED_5S });
    at(5 * SECONDS);
    assert_answer(a, 503);
    assert_answer(b, 503);
    assert_answer(c, 503);
    for (int i = 0; i < 3; i++) assert_ended("shutdown");
    assert_true(u->closed);
}
/* Its upstream is done with it: how long its client takes is no matter of that. */
static void an_answer_that_came_whole_is_delivered_however_slowly(void **state) {
    (void)state;
    stage((struct given){ 0 });
    struct sock *c, *u = asked(&c, GET());
    takes(c, 0);
    upstream_sends(u, ANSWER("content-length: 5000\r\n"));
    sends_n(u, 'x', 5000);
    reloads((struct given){ APP_GONE, REMOVED_5S });
    at(10 * SECONDS);
    takes(c, UNBOUNDED);
    assert_answer(c, 200);
    assert_ended("completed");
}
static void an_upstream_that_takes_nothing_is_dropped_with_what_it_was_sent(void **state) {
    (void)state;
    stage((struct given){ .upstream = UP2 ", write_timeout: none", .policy = "deadline: { default: none, idle: none }, cancel: { http2: [ none ] }" });
    struct sock *c = asks(GET());
    struct h2 *u = h2_upstream();
    h2_read(u), h2_write(u);
    settle();
    takes(u->s, 0);
    reloads((struct given){ APP_GONE, REMOVED_5S });
    at(5999 * MS);
    assert_answer(c, 503);
    assert_false(u->s->closed);
    at(6000 * MS);
    assert_true(u->s->closed);
    assert_ended("shutdown");
    assert_int_equal(world.w.nsnapshots, 1);
    h2_free(u);
}
static void a_drain_that_comes_meanwhile_is_not_held_up(void **state) {
    (void)state;
    stage((struct given){ .policy = "deadline: { default: none, idle: none }" });
    struct sock *c, *u = asked(&c, GET());
    reloads((struct given){ NO_LISTENER, APP_GONE, .shutdown = "2s, drain_removed: 1h" });
    worker_post_kind(&world.w, MESSAGE_DRAIN);
    at(2000 * MS);
    assert_answer(c, 503);
    assert_true(is_over(u));
    assert_ended("shutdown");
}

/* ---- what goes on by name ----------------------------------------------------------------------------------------------------------------- */
#define NAMED(name) "  - { match: { path: /* }, upstream: app, name: " name " }"
static uint64_t completed(size_t route) { return atomic_load(&world.w.metrics.routes->v[route]->requests[ENDING_COMPLETED]); }
static void counters_of_a_route_go_on_by_its_name(void **state) {
    (void)state;
    stage((struct given){ .routes = NAMED("all") });
    struct sock *c, *u = asked(&c, GET());
    answered(c, u);
    client_sends(c, GET());
    reloads((struct given){ .routes = "  - { match: { path: /x }, upstream: app, name: x }\n" NAMED("all") });
    answered(c, u); /* begun under the old one */
    assert_int_equal(completed(0), 0);
    assert_int_equal(completed(1), 2);
    client_sends(c, GET());
    answered(c, u);
    assert_int_equal(completed(1), 3);
    reloads((struct given){ .routes = NAMED("other") });
    assert_int_equal(completed(0), 0);
}
static void a_route_that_is_watched_from_now_on_has_room_to_count(void **state) {
    (void)state;
    stage((struct given){ .routes = NAMED("all"), .policy = "deadline: { default: 1s }" });
    struct sock *c, *u = asked(&c, GET());
    reloads((struct given){ .routes = NAMED("all"), .policy = "deadline: { default: 1s, mode: observe }" });
    at(1000 * MS);
    assert_answer(c, 504);
    assert_ended("deadline");
    client_sends(c, GET());
    u = upstream();
    at(2500 * MS);
    answered(c, u);
    assert_logged("would_have", "deadline");
    assert_int_equal(atomic_load(&world.w.metrics.routes->v[0]->observed->endings[ENDING_DEADLINE]), 1);
}
static void what_is_known_of_a_routes_latency_stays_while_its_policy_does(void **state) {
    (void)state;
    struct given g = { .policy = "deadline: { needs: p90 }" };
    stage(g);
    struct sock *c = NULL, *u = asked(&c, GET());
    for (unsigned i = 0; i < 30; i++) {
        step(100 * MS);
        answered(c, u);
        client_sends(c, GET());
        got(u);
    }
    answered(c, u);
    client_sends(c, GET("x-request-timeout: 50ms\r\n"));
    assert_answer(c, 504);
    assert_ended("shed_latency");
    reloads(g);
    client_sends(c, GET("x-request-timeout: 50ms\r\n"));
    assert_answer(c, 504);
    assert_ended("shed_latency");
    g.policy = "deadline: { needs: p90, max: 59s }";
    reloads(g);
    client_sends(c, GET("x-request-timeout: 50ms\r\n"));
    answered(c, u);
}

/* ---- often, and at odd times ---------------------------------------------------------------------------------------------------------------- */
static void two_in_one_turn_are_as_good_as_one(void **state) {
    (void)state;
    stage((struct given){ 0 });
    struct sock *c, *u = asked(&c, GET());
    queues_reload((struct given){ TO_OTHER });
    queues_reload((struct given){ .policy = "deadline: { default: 2s }" });
    settle();
    answered(c, u);
    client_sends(c, GET());
    struct sock *v = upstream_or_none();
    if (!v) v = u;
    assert_int_equal(v->port, 9001);
    step(2 * SECONDS);
    assert_answer(c, 504);
    assert_ended("deadline");
}
static void fifty_of_them_leave_nothing_behind(void **state) {
    (void)state;
    stage((struct given){ 0 });
    struct sock *c, *first, *u = asked(&first, GET());
    for (unsigned i = 0; i < 50; i++) {
        reloads(i & 1 ? (struct given){ 0 } : (struct given){ TO_OTHER });
        struct sock *v = asked(&c, GET());
        answered(c, v);
        client_finishes(c);
    }
    assert_int_equal(world.w.nsnapshots, 2);
    answered(first, u);
    assert_int_equal(world.w.nsnapshots, 1);
}
static void one_that_comes_while_it_drains_changes_nothing(void **state) {
    (void)state;
    stage((struct given){ 0 });
    struct sock *c, *u = asked(&c, GET());
    worker_post_kind(&world.w, MESSAGE_DRAIN);
    queues_reload((struct given){ TO_OTHER });
    settle();
    upstream_sends(u, ANSWER_OK);
    assert_has(assert_answer(c, 200), "connection: close\r\n");
    assert_ended("completed");
    assert_int_equal(world.w.nsnapshots, 1);
}
static void a_drain_after_it_takes_the_new_time(void **state) {
    (void)state;
    stage((struct given){ .shutdown = "30s" });
    struct sock *c, *u = asked(&c, GET());
    reloads((struct given){ .shutdown = "2s" });
    worker_post_kind(&world.w, MESSAGE_DRAIN);
    at(1999 * MS);
    assert_silent(c);
    at(2000 * MS);
    assert_answer(c, 503);
    assert_ended("shutdown");
    assert_true(is_over(u));
}
static void a_worker_that_ends_gives_back_what_it_did_not_read(void **state) {
    (void)state;
    stage((struct given){ 0 });
    queues_reload((struct given){ TO_OTHER }); /* what it holds is freed, or the leak is found */
    world.no_idle_check = true;
    unstage();
}
static void thresholds_of_the_load_are_the_new_ones(void **state) {
    (void)state;
    stage((struct given){ .top = "load: { inflight: 1 }" });
    struct sock *a, *b, *u = asked(&a, GET()), *v = asked(&b, GET());
    assert_int_equal(count(METRIC_LOADED), 1);
    reloads((struct given){ .top = "load: { inflight: none }" });
    step(3 * SECONDS);
    assert_int_equal(count(METRIC_LOADED), 0);
    answered(a, u);
    answered(b, v);
}
static void a_worker_whose_beat_is_turned_off_is_not_counted_as_beating(void **state) {
    (void)state;
    stage((struct given){ .beat = "100us" }); /* the stage's worker is a busy one */
    assert_int_equal(count(METRIC_BEATING), 1);
    reloads((struct given){ .beat = "0s" });
    assert_int_equal(count(METRIC_BEATING), 0);
    reloads((struct given){ .beat = "1ms" });
    assert_int_equal(count(METRIC_BEATING), 1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        SCENE(what_is_under_way_ends_by_its_own_deadline_and_the_next_request_on_its_connection_by_the_new_one),
        SCENE(the_next_request_on_a_connection_takes_the_new_route), SCENE(a_request_whose_head_is_half_there_is_answered),
        SCENE(a_body_under_way_goes_on_both_ways), SCENE(a_retry_between_two_tries_asks_whom_it_began_with),
        SCENE(who_waits_in_the_queue_of_an_upstream_that_is_gone_still_gets_there),
        SCENE(who_waits_in_the_queue_of_one_that_stays_keeps_its_place), SCENE(a_connection_that_is_being_made_serves_whom_it_was_made_for),
        SCENE(a_side_channel_call_under_way_is_heard_to_its_end), SCENE(a_call_that_failed_is_made_again_though_its_upstream_is_gone),
        SCENE(a_rate_of_calls_that_is_used_up_is_not_whole_again), SCENE(a_client_that_left_has_its_work_go_on),
        SCENE(an_upstream_that_is_the_same_keeps_its_connections),
        SCENE(one_that_is_not_is_left_idle_connections_at_once_and_busy_ones_when_they_are_done),
        SCENE(its_streams_of_http2_end_in_peace_after_a_goaway), SCENE(an_endpoint_that_failed_is_not_forgotten),
        SCENE(a_kept_connection_has_the_timeouts_of_the_new_listener), SCENE(so_has_one_that_has_sent_nothing_yet),
        SCENE(trust_that_was_withdrawn_holds_from_the_next_request_on),
        SCENE(a_listener_counts_the_clients_that_it_took_over), SCENE(streams_of_http2_go_on_and_new_ones_come_on_the_same_connection),
        SCENE(the_clients_of_a_listener_that_is_gone_finish_as_in_a_drain), SCENE(its_connections_of_http2_get_a_goaway_and_their_streams_end),
        SCENE(a_request_on_a_listener_that_is_gone_has_the_time_of_the_new_configuration_and_is_answered),
        SCENE(a_stream_of_http2_on_it_is_reset_and_its_connection_closes),
        SCENE(a_tunnel_on_it_lasts_no_longer),
        SCENE(a_second_later_who_takes_nothing_is_dropped),
        SCENE(where_it_is_none_they_may_take_as_long_as_they_like),
        SCENE(who_is_on_a_listener_that_stays_is_left_alone),
        SCENE(a_client_that_was_handed_on_goes_with_the_listener_that_has_it),
        SCENE(a_request_to_an_upstream_that_is_gone_has_as_long_and_its_client_stays),
        SCENE(an_upstream_that_only_says_something_else_ends_nobody),
        SCENE(so_has_who_waits_for_it_and_who_is_about_to_try_it_again),
        SCENE(an_answer_that_came_whole_is_delivered_however_slowly),
        SCENE(an_upstream_that_takes_nothing_is_dropped_with_what_it_was_sent),
        SCENE(a_drain_that_comes_meanwhile_is_not_held_up),
        SCENE(counters_of_a_route_go_on_by_its_name), SCENE(a_route_that_is_watched_from_now_on_has_room_to_count),
        SCENE(what_is_known_of_a_routes_latency_stays_while_its_policy_does), SCENE(two_in_one_turn_are_as_good_as_one),
        SCENE(fifty_of_them_leave_nothing_behind), SCENE(one_that_comes_while_it_drains_changes_nothing),
        SCENE(a_drain_after_it_takes_the_new_time), SCENE(a_worker_that_ends_gives_back_what_it_did_not_read),
        SCENE(thresholds_of_the_load_are_the_new_ones), SCENE(a_worker_whose_beat_is_turned_off_is_not_counted_as_beating),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
