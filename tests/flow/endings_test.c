// SPDX-License-Identifier: Apache-2.0
// Every ending that HTTP/1 can reach: what the client is told, the name in the log, and the upstream's fate (semantics 3).
#include "tests/flow/stage.h"

/* A request is with its upstream, and nothing of the answer came. */

/* ---- the client's ----------------------------------------------------------------------------------------------------------------- */
static void completed_when_both_sides_are_done(void **state) {
    (void)state;
    stage((struct given){ 0 });
    struct sock *c, *u = asked(&c, GET());
    upstream_sends(u, ANSWER_OK);
    assert_has(assert_answer(c, 200), "\r\n\r\nok");
    assert_ended("completed");
    assert_logged("status", "200");
    assert_logged("response_bytes", "2");
    assert_not_logged("cancel_level");
    assert_open(u);
    assert_open(c);
}
/* Not when their connection closes, which may be tomorrow. */
static void bytes_are_counted_as_they_pass(void **state) {
    (void)state;
    stage((struct given){ 0 });
    struct sock *c, *u = asked(&c, GET());
    assert_int_equal(count(METRIC_DOWN_BYTES_IN), strlen(GET()));
    assert_int_equal(count(METRIC_UP_BYTES_OUT), u->ngot);
    upstream_sends(u, ANSWER_OK);
    assert_int_equal(count(METRIC_UP_BYTES_IN), strlen(ANSWER_OK));
    assert_int_equal(count(METRIC_DOWN_BYTES_OUT), c->ngot);
    assert_ended("completed");
}
static void client_reset_drops_the_upstream_in_the_turn(void **state) {
    (void)state;
    stage((struct given){ 0 });
    struct sock *c, *u = asked(&c, GET());
    client_resets(c);
    assert_reset(u);
    assert_closed_in_the_turn(u);
    assert_ended_at("client_reset", "close");
    assert_logged("status", "499");
    assert_int_equal(c->ngot, 0); /* 499 is a word for the log */
}
static void client_closed_when_a_fin_comes_while_the_answer_is_owed(void **state) {
    (void)state;
    stage((struct given){ 0 });
    struct sock *c, *u = asked(&c, GET());
    client_finishes(c);
    assert_reset(u);
    assert_closed_in_the_turn(u);
    assert_closed_in_the_turn(c);
    assert_ended_at("client_closed", "close");
    assert_logged("status", "499");
    assert_int_equal(c->ngot, 0);
}
static void client_reset_in_the_middle_of_the_answer(void **state) {
    (void)state;
    stage((struct given){ 0 });
    struct sock *c, *u = asked(&c, GET());
    upstream_sends(u, ANSWER("content-length: 100\r\n") "half");
    client_resets(c);
    assert_reset(u);
    assert_closed_in_the_turn(u);
    assert_ended_at("client_reset", "close");
    assert_logged("status", "200");
}
/* T35 */
static void client_deadline_when_it_leaves_within_grace_of_its_own_deadline(void **state) {
    (void)state;
    stage((struct given){ .policy = "deadline: { grace: 10ms }" });
    struct sock *c, *u = asked(&c, GET("x-request-timeout: 100ms\r\n"));
    at(89 * MS);
    client_resets(c);
    assert_reset(u);
    assert_ended_at("client_reset", "close");
    u = asked(&c, GET("x-request-timeout: 100ms\r\n"));
    step(90 * MS);
    client_resets(c);
    assert_reset(u);
    assert_ended_at("client_deadline", "close");
    u = asked(&c, GET("x-request-timeout: 100ms\r\n"));
    step(95 * MS);
    client_finishes(c);
    assert_ended_at("client_deadline", "close");
    assert_logged("status", "499");
}
static void client_timeout_of_a_head_is_answered_408(void **state) {
    (void)state;
    stage((struct given){ .listener = "timeouts: { header: 10s, idle: 75s }" });
    struct sock *c = client();
    at(5 * SECONDS);
    client_sends(c, "GET / HT");
    at(14 * SECONDS);
    client_sends(c, "TP/1.1\r\nhost"); /* a byte now and then is no head */
    at(14999 * MS);
    assert_silent(c);
    at(15 * SECONDS);
    assert_answer(c, 408);
    assert_true(is_over(c));
    assert_ended("client_timeout");
    assert_nobody_called();
}
static void an_idle_connection_closes_without_a_word(void **state) {
    (void)state;
    stage((struct given){ .listener = "timeouts: { header: 10s, idle: 75s }" });
    struct sock *c = client();
    at(74999 * MS);
    assert_open(c);
    at(75 * SECONDS);
    assert_closed(c);
    assert_int_equal(c->ngot, 0);
}
static void client_timeout_of_a_body_is_answered_408(void **state) {
    (void)state;
    stage((struct given){ .listener = "timeouts: { body: 30s, min_rate: 0/s }" });
    struct sock *c, *u = asked(&c, POST("content-length: 100000\r\n") "123");
    at(29 * SECONDS);
    client_sends(c, "4");
    at(58 * SECONDS);
    assert_silent(c);
    at(60 * SECONDS);
    assert_answer(c, 408);
    assert_reset(u);
    assert_int_equal(u->closed_turn, c->said_turn);
    at(64 * SECONDS);
    assert_true(c->closed);
    assert_ended_at("client_timeout", "close");
}
static void client_stalled_when_it_takes_no_byte(void **state) {
    (void)state;
    stage((struct given){ .listener = "timeouts: { write: 30s }" });
    struct sock *c, *u = asked(&c, GET());
    takes(c, 500);
    upstream_sends(u, ANSWER("content-length: 1000000\r\n"));
    sends_n(u, 'x', 900000);
    at(29 * SECONDS);
    assert_open(c);
    at(30 * SECONDS);
    assert_reset(c);
    assert_reset(u);
    assert_int_equal(c->closed_turn, u->closed_turn);
    assert_ended_at("client_stalled", "close");
}
/* T6 */
static void a_slow_client_is_not_a_gone_one(void **state) {
    (void)state;
    stage((struct given){ .listener = "timeouts: { write: 30s }", .policy = "deadline: { idle: 5s }" });
    struct sock *c, *u = asked(&c, GET());
    takes(c, 0);
    upstream_sends(u, ANSWER("content-length: 300000\r\n"));
    sends_n(u, 'x', 300000);
    for (int i = 0; i < 20; i++) {
        step(29 * SECONDS);
        takes(c, 100);
    }
    takes(c, UNBOUNDED);
    assert_answer(c, 200);
    assert_ended("completed");
}
static void client_error_when_the_head_is_malformed(void **state) {
    (void)state;
    stage((struct given){ 0 });
    struct sock *c = asks("GET / HTTP/1.1\r\nhost: a\r\nbad header\r\n\r\n");
    assert_answer(c, 400);
    assert_nobody_called();
    step(3 * SECONDS);
    assert_true(c->closed);
    assert_ended("client_error");
}
static void client_error_when_a_target_or_a_head_is_over_its_limit(void **state) {
    (void)state;
    stage((struct given){ .listener = "http1: { max_target: 64, max_head: 1KiB }" });
    char text[3000] = "GET /";
    memset(text + 5, 'a', 200);
    struct sock *c = asks(text);
    assert_answer(c, 414);
    assert_ended("client_error");
    snprintf(text, sizeof text, "GET / HTTP/1.1\r\nhost: a\r\nx: %02000d\r\n\r\n", 0);
    c = client();
    client_sends(c, text);
    assert_answer(c, 431);
    assert_ended("client_error");
    assert_nobody_called();
}
/* Semantics 4. What the head that is refused has told so far says which protocol it is. */
static void a_refused_head_is_answered_in_its_own_protocol(void **state) {
    (void)state;
    static const struct { const char *first, *fields, *say; int status; const char *ending; } cases[] = {
        { "POST /a.B/C", "content-type: application/json\r\nconnect-protocol-version: 1\r\n", "\"code\":\"resource_exhausted\"", 429, "connect" },
        { "POST /a.B/C", "content-type: application/connect+json\r\n", "content-type: application/connect+json\r\n", 200, "connect" },
        { "POST /a.B/C", "content-type: application/grpc-web+proto\r\n", "grpc-status: 8\r\n", 200, "grpc-web" },
        { "POST /a.B/C", "content-type: application/json\r\n", "\"ending\":\"client_error\"", 431, "http" },
        { "GET /a.B/C?connect=v1&encoding=json&message=%7b%7d", "", "\"code\":\"resource_exhausted\"", 429, "connect" },
    };
    stage((struct given){ .listener = "http1: { max_head: 1KiB }" });
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char text[2000];
        snprintf(text, sizeof text, "%s HTTP/1.1\r\nhost: a\r\n%sx: %01000d\r\n\r\n", cases[i].first, cases[i].fields, 0);
        struct sock *c = asks(text);
        assert_has(assert_answer(c, cases[i].status), cases[i].say);
        step(3 * SECONDS);
        assert_true(c->closed);
        assert_ended("client_error");
        assert_logged("rpc", cases[i].ending);
    }
    struct sock *c = client(); /* malformed, in a field behind those that tell */
    client_sends(c, "POST /a.B/C HTTP/1.1\r\nhost: a\r\ncontent-type: application/connect+proto\r\nbad header\r\n\r\n");
    assert_has(assert_answer(c, 200), "content-type: application/connect+proto\r\n");
    assert_ended("client_error");
    assert_logged("grpc_status", "13");
    assert_nobody_called();
}
static void a_target_over_its_limit_is_refused_as_a_get_of_connect(void **state) {
    (void)state;
    stage((struct given){ .listener = "http1: { max_target: 64 }" });
    char text[400];
    snprintf(text, sizeof text, "GET /a.B/C?connect=v1&encoding=json&message=%0300d", 0);
    struct sock *c = asks(text);
    assert_has(assert_answer(c, 429), "\"code\":\"resource_exhausted\"");
    assert_ended("client_error");
}
static void client_error_in_a_body_drops_the_upstream_in_the_turn(void **state) {
    (void)state;
    stage((struct given){ 0 });
    struct sock *c, *u = asked(&c, POST("transfer-encoding: chunked\r\n") "3\r\nabc\r\n");
    client_sends(c, "zz\r\n");
    assert_reset(u);
    assert_closed_in_the_turn(u);
    assert_answer(c, 400);
    assert_ended_at("client_error", "close"); /* one line, and counted once */
    assert_logged("status", "400");
    assert_int_equal(ended(ENDING_CLIENT_ERROR), 1);
}
static void client_context_when_a_deadline_is_refused(void **state) {
    (void)state;
    stage((struct given){ 0 });
    struct sock *c = asks(GET("connect-timeout-ms: soon\r\n"));
    assert_has(assert_answer(c, 400), "client_context");
    assert_nobody_called();
    assert_ended("client_context");
    assert_open(c);
}

/* ---- the gateway's ------------------------------------------------------------------------------------------------------------------ */
static void no_route_is_404_and_the_connection_goes_on(void **state) {
    (void)state;
    stage((struct given){ .routes = "  - { match: { path: /here }, upstream: app }" });
    struct sock *c = asks(GET());
    assert_has(assert_answer(c, 404), "no_route");
    assert_ended("no_route");
    assert_nobody_called();
    client_sends(c, GET_PATH("/here", ""));
    answered(c, upstream());
}
static void shed_load_when_the_queue_is_full(void **state) {
    (void)state;
    stage((struct given){ .upstream = "max_connections: 1, max_pending: 1", .policy = "answer: { shed_load: { http: 503, retry_after: 7s } }" });
    struct sock *a = client(), *b = client(), *c = client();
    client_sends(a, GET());
    struct sock *u = upstream();
    client_sends(b, GET());
    client_sends(c, GET());
    assert_said_in_the_turn(c);
    assert_has(assert_answer(c, 503), "retry-after: 7\r\n");
    assert_ended("shed_load");
    upstream_sends(u, ANSWER_OK);
    upstream_sends(u, ANSWER_OK);
    assert_answer(a, 200);
    assert_answer(b, 200);
    assert_ended("completed");
    assert_ended("completed");
    assert_nobody_called();
}
static void operator_cancelled_by_a_message_with_its_id(void **state) {
    (void)state;
    stage((struct given){ 0 });
    struct sock *c, *u = asked(&c, GET());
    struct context_id id = context_id_of(&LIST_OF(world.w.exchanges.next, struct exchange, node)->context);
    struct message *m = mem_zalloc(sizeof *m), *again = mem_zalloc(sizeof *m);
    *m = *again = (struct message){ .kind = MESSAGE_END_CONTEXT, .why = ENDING_OPERATOR_CANCELLED, .id = id };
    worker_post(&world.w, m);
    worker_post(&world.w, again); /* once */
    settle();
    assert_has(assert_answer(c, 503), "operator_cancelled");
    assert_reset(u);
    assert_int_equal(u->closed_turn, c->said_turn);
    assert_ended_at("operator_cancelled", "close");
    m = mem_zalloc(sizeof *m);
    *m = (struct message){ .kind = MESSAGE_END_CONTEXT, .why = ENDING_OPERATOR_CANCELLED, .id = id };
    u = asked(&c, GET()); /* it has the slot of the other, in another generation */
    worker_post(&world.w, m);
    settle();
    assert_silent(c);
    answered(c, u);
}
static void shutdown_when_the_drain_time_is_over(void **state) {
    (void)state;
    stage((struct given){ .shutdown = "10s" });
    struct sock *c, *u = asked(&c, GET());
    worker_post_kind(&world.w, MESSAGE_DRAIN);
    at(9999 * MS);
    assert_silent(c);
    at(10 * SECONDS);
    assert_has(assert_answer(c, 503), "shutdown");
    assert_reset(u);
    assert_int_equal(u->closed_turn, c->said_turn);
    assert_true(c->closed);
    assert_ended_at("shutdown", "close");
}

/* ---- the upstream's ------------------------------------------------------------------------------------------------------------------ */
#define NO_RETRY "retry: { retries: 0 }"
static void connect_failure_when_it_refuses(void **state) {
    (void)state;
    stage((struct given){ .policy = NO_RETRY });
    world.connects[0] = REFUSED;
    struct sock *c = asks(GET());
    assert_has(assert_answer(c, 503), "connect_failure");
    assert_true(upstream()->closed);
    assert_ended("connect_failure");
    assert_logged("attempts", "1");
    assert_open(c);
}
static void connect_failure_when_the_system_refuses_at_once(void **state) {
    (void)state;
    stage((struct given){ .policy = NO_RETRY });
    world.connects[0] = UNREACHABLE;
    struct sock *c = asks(GET());
    assert_has(assert_answer(c, 503), "connect_failure");
    assert_said_in_the_turn(c);
    assert_ended("connect_failure");
}
static void connect_timeout_when_it_does_not_accept(void **state) {
    (void)state;
    stage((struct given){ .upstream = "connect_timeout: 500ms", .policy = NO_RETRY });
    world.connects[0] = SLOWLY;
    struct sock *c = asks(GET());
    at(499 * MS);
    assert_silent(c);
    at(500 * MS);
    assert_has(assert_answer(c, 503), "connect_timeout");
    assert_true(upstream()->closed);
    assert_ended("connect_timeout");
}
static void try_timeout_when_no_further_attempt_follows(void **state) {
    (void)state;
    stage((struct given){ .policy = "deadline: { per_try: 200ms }, " NO_RETRY });
    struct sock *c, *u = asked(&c, GET());
    at(200 * MS);
    assert_has(assert_answer(c, 504), "try_timeout");
    assert_reset(u);
    assert_int_equal(u->closed_turn, c->said_turn);
    assert_ended_at("try_timeout", "close");
}
static void upstream_closed_before_the_head_is_502(void **state) {
    (void)state;
    stage((struct given){ 0 });
    struct sock *c, *u = asked(&c, GET());
    upstream_finishes(u);
    assert_has(assert_answer(c, 502), "upstream_closed");
    assert_said_in_the_turn(c);
    assert_true(u->closed);
    assert_ended("upstream_closed");
    assert_not_logged("cancel_level");
    u = asked(&c, GET());
    upstream_resets(u);
    assert_answer(c, 502);
    assert_ended("upstream_closed");
    u = asked(&c, GET());
    upstream_sends(u, "HTTP/1.1 200 OK\r\ncont");
    upstream_finishes(u);
    assert_answer(c, 502);
    assert_ended("upstream_closed");
    assert_nobody_called(); /* what may have run is not sent again */
}
static void upstream_closed_in_the_body_is_truncation(void **state) {
    (void)state;
    stage((struct given){ 0 });
    struct sock *c, *u = asked(&c, GET());
    upstream_sends(u, ANSWER("transfer-encoding: chunked\r\n") "3\r\nabc\r\n");
    upstream_finishes(u);
    assert_has(unseen(c), "abc");
    assert_truncated(c);
    assert_ended("upstream_closed");
    assert_logged("status", "200");
    u = asked(&c, GET());
    queues(u, ANSWER("content-length: 10\r\n") "12345");
    queues_rst(u);
    settle();
    assert_has(unseen(c), "12345"); /* what was received is delivered first */
    assert_truncated(c);
    assert_ended("upstream_closed");
}
static void a_body_that_the_close_delimits_ends_with_a_fin_and_not_with_a_reset(void **state) {
    (void)state;
    stage((struct given){ 0 });
    struct sock *c, *u = asked(&c, GET());
    upstream_sends(u, "HTTP/1.1 200 OK\r\n\r\nall of it");
    upstream_finishes(u);
    assert_has(assert_answer(c, 200), "all of it");
    assert_ended("completed");
    u = asked(&c, GET());
    queues(u, "HTTP/1.1 200 OK\r\n\r\nhalf of");
    queues_rst(u);
    settle();
    assert_has(unseen(c), "half of");
    assert_truncated(c);
    assert_ended("upstream_closed");
}
static void upstream_error_when_the_answer_is_malformed(void **state) {
    (void)state;
    stage((struct given){ 0 });
    struct sock *c, *u = asked(&c, GET());
    upstream_sends(u, "SSH-2.0-OpenSSH_9.2\r\n\r\n");
    assert_has(assert_answer(c, 502), "upstream_error");
    assert_true(u->closed);
    assert_ended("upstream_error");
    u = asked(&c, GET());
    upstream_sends(u, ANSWER("content-length: 1\r\ncontent-length: 2\r\n") "x");
    assert_answer(c, 502);
    assert_ended("upstream_error");
    u = asked(&c, GET());
    upstream_sends(u, ANSWER("transfer-encoding: chunked\r\n") "3\r\nabc\r\nnonsense\r\n");
    assert_truncated(c);
    assert_true(u->closed);
    assert_ended("upstream_error");
}
static void upstream_idle_when_no_byte_of_the_body_moves(void **state) {
    (void)state;
    stage((struct given){ .policy = "deadline: { idle: 30s }" });
    struct sock *c, *u = asked(&c, GET());
    upstream_sends(u, ANSWER("transfer-encoding: chunked\r\n") "3\r\nabc\r\n");
    at(29 * SECONDS);
    upstream_sends(u, "1\r\nd\r\n");
    at(58999 * MS);
    assert_open(c);
    at(59 * SECONDS);
    assert_truncated(c);
    assert_reset(u);
    assert_int_equal(c->closed_turn, u->closed_turn);
    assert_ended_at("upstream_idle", "close");
}
static void upstream_idle_of_a_stream_before_its_head_is_504(void **state) {
    (void)state;
    stage((struct given){ .policy = "deadline: { streaming: { idle: 40s } }" });
    struct sock *c, *u = asked(&c, GET("accept: text/event-stream\r\n"));
    at(40 * SECONDS);
    assert_has(assert_answer(c, 504), "upstream_idle");
    assert_reset(u);
    assert_ended_at("upstream_idle", "close");
}
static void upstream_idle_when_it_takes_nothing_of_the_upload(void **state) {
    (void)state;
    stage((struct given){ .upstream = "write_timeout: none", .policy = "deadline: { idle: 30s, default: 10m, max: 10m }" });
    world.connects[0] = SLOWLY;
    struct sock *c = asks(POST("content-length: 1000000\r\n"));
    struct sock *u = upstream();
    u->room = 1000;
    accepts(u);
    sends_n(c, 'x', 500000);
    at(31 * SECONDS);
    assert_answer(c, 504);
    assert_reset(u);
    step(5 * SECONDS);
    assert_ended_at("upstream_idle", "close");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        SCENE(completed_when_both_sides_are_done),
        SCENE(bytes_are_counted_as_they_pass),
        SCENE(client_reset_drops_the_upstream_in_the_turn),
        SCENE(client_closed_when_a_fin_comes_while_the_answer_is_owed),
        SCENE(client_reset_in_the_middle_of_the_answer),
        SCENE(client_deadline_when_it_leaves_within_grace_of_its_own_deadline),
        SCENE(client_timeout_of_a_head_is_answered_408),
        SCENE(an_idle_connection_closes_without_a_word),
        SCENE(client_timeout_of_a_body_is_answered_408),
        SCENE(client_stalled_when_it_takes_no_byte),
        SCENE(a_slow_client_is_not_a_gone_one),
        SCENE(client_error_when_the_head_is_malformed),
        SCENE(client_error_when_a_target_or_a_head_is_over_its_limit),
        SCENE(a_refused_head_is_answered_in_its_own_protocol),
        SCENE(a_target_over_its_limit_is_refused_as_a_get_of_connect),
        SCENE(client_error_in_a_body_drops_the_upstream_in_the_turn),
        SCENE(client_context_when_a_deadline_is_refused),
        SCENE(no_route_is_404_and_the_connection_goes_on),
        SCENE(shed_load_when_the_queue_is_full),
        SCENE(operator_cancelled_by_a_message_with_its_id),
        SCENE(shutdown_when_the_drain_time_is_over),
        SCENE(connect_failure_when_it_refuses),
        SCENE(connect_failure_when_the_system_refuses_at_once),
        SCENE(connect_timeout_when_it_does_not_accept),
        SCENE(try_timeout_when_no_further_attempt_follows),
        SCENE(upstream_closed_before_the_head_is_502),
        SCENE(upstream_closed_in_the_body_is_truncation),
        SCENE(a_body_that_the_close_delimits_ends_with_a_fin_and_not_with_a_reset),
        SCENE(upstream_error_when_the_answer_is_malformed),
        SCENE(upstream_idle_when_no_byte_of_the_body_moves),
        SCENE(upstream_idle_of_a_stream_before_its_head_is_504),
        SCENE(upstream_idle_when_it_takes_nothing_of_the_upload),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
