// SPDX-License-Identifier: Apache-2.0
// What one side does not take is not read from the other: memory stays bounded, nothing is lost, and no limit mistakes slowness for silence.
#include "tests/flow/stage.h"

#define MEGABYTE ((size_t)1 << 20)
/* What the gateway may hold of one body: a window, one reading, and what one write left over. */
#define HELD_MAX (BODY_WINDOW + SCRATCH_BYTES + 2 * OUT_LIMIT)

/* n bytes that tell their place: what is lost or doubled shows. */
static char *pattern(size_t n) {
    char *p = mem_alloc(n + 1);
    for (size_t i = 0; i < n; i++) p[i] = (char)('a' + (i * 7 + i / 251) % 26);
    p[n] = '\0';
    return p;
}
static size_t held(void) { /* bytes of bodies that the gateway holds */
    size_t n = world.w.chunks.out * CHUNK_BYTES;
    LIST_EACH(&world.w.conns, c, struct conn, all) { n += buffer_size(&c->backlog) + buffer_size(&c->in); }
    return n;
}
static void assert_body(const char *text, const char *body, size_t n) {
    const char *at = strstr(text, "\r\n\r\n");
    assert_non_null(at);
    assert_int_equal(memcmp(at + 4, body, n), 0);
}

static void a_slow_reader_pauses_the_upstream_and_gets_every_byte(void **state) {
    (void)state;
    stage((struct given){ 0 });
    struct sock *c = asks(GET());
    struct sock *u = upstream();
    takes(c, 0);
    char *body = pattern(10 * MEGABYTE);
    queues(u, ANSWER("content-length: 10485760\r\n"));
    queue_bytes(u, body, 10 * MEGABYTE);
    settle();
    assert_true(buffer_size(&u->in) > 8 * MEGABYTE);
    assert_true(held() <= HELD_MAX);
    for (size_t i = 0; c->ngot < 10 * MEGABYTE && i < 100000; i++) {
        takes(c, 1 + i * 977 % 70000);
        assert_true(held() <= HELD_MAX);
        if (i % 50 == 0) step(1 * SECONDS);
    }
    takes(c, UNBOUNDED);
    assert_body(assert_answer(c, 200), body, 10 * MEGABYTE);
    assert_ended("completed");
    assert_open(u);
    free(body);
}
static void a_slow_upstream_pauses_the_upload_and_gets_every_byte(void **state) {
    (void)state;
    stage((struct given){ 0 });
    world.connects[0] = SLOWLY;
    struct sock *c = asks(POST("content-length: 10485760\r\n"));
    struct sock *u = upstream();
    u->room = 0;
    accepts(u);
    char *body = pattern(10 * MEGABYTE);
    queue_bytes(c, body, 10 * MEGABYTE);
    settle();
    assert_true(buffer_size(&c->in) > 8 * MEGABYTE);
    assert_true(held() <= HELD_MAX);
    for (size_t i = 0; u->ngot < 10 * MEGABYTE && i < 100000; i++) {
        takes(u, 1 + i * 977 % 70000);
        assert_true(held() <= HELD_MAX);
        if (i % 50 == 0) step(1 * SECONDS);
    }
    takes(u, UNBOUNDED);
    assert_body(got(u), body, 10 * MEGABYTE);
    answered(c, u);
    free(body);
}
static void chunked_bodies_flow_both_ways_at_once_a_byte_at_a_time(void **state) {
    (void)state;
    stage((struct given){ 0 });
    struct sock *c, *u = asked(&c, POST("transfer-encoding: chunked\r\n"));
    upstream_sends(u, ANSWER("transfer-encoding: chunked\r\n"));
    for (const char *p = "5\r\nhello\r\n1\r\n!\r\n0\r\n\r\n"; *p; p++) {
        char byte[] = { *p, '\0' };
        client_sends(c, byte);
        upstream_sends(u, byte);
    }
    assert_has(got(u), "o\r\n");
    assert_answer(c, 200);
    assert_ended("completed");
    assert_logged("request_bytes", "6");
    assert_logged("response_bytes", "6");
    assert_open(u);
}
static void a_turn_reads_no_more_than_a_share_of_one_connection(void **state) {
    (void)state;
    stage((struct given){ 0 });
    struct sock *c = client(), *d = client();
    client_sends(c, GET());
    struct sock *u = upstream();
    queues(u, ANSWER("content-length: 8388608\r\n"));
    char *body = pattern(8 * MEGABYTE);
    queue_bytes(u, body, 8 * MEGABYTE);
    queues(d, GET());
    assert_true(turn());
    assert_true(buffer_size(&u->in) >= 8 * MEGABYTE - CONN_READ_SHARE - SCRATCH_BYTES);
    settle();
    assert_body(assert_answer(c, 200), body, 8 * MEGABYTE);
    answered(d, upstream());
    assert_ended("completed");
    free(body);
}
static void the_idle_limit_does_not_run_against_an_upstream_that_waits_for_the_client(void **state) {
    (void)state;
    stage((struct given){ .listener = "timeouts: { write: 60s }", .policy = "deadline: { idle: 5s }" });
    struct sock *c = asks(GET());
    struct sock *u = upstream();
    takes(c, 1000);
    upstream_sends(u, ANSWER("content-length: 2000000\r\n"));
    sends_n(u, 'x', 2000000);
    step(59 * SECONDS);
    assert_open(u);
    assert_open(c);
    step(2 * SECONDS);
    assert_reset(c);
    assert_ended_at("client_stalled", "close"); /* and not upstream_idle */
}
static void a_client_that_stalls_after_the_upstream_is_done_is_stalled(void **state) {
    (void)state;
    stage((struct given){ .listener = "timeouts: { write: 30s }" });
    struct sock *c = asks(GET());
    struct sock *u = upstream();
    takes(c, 1000);
    upstream_sends(u, ANSWER("content-length: 400000\r\n"));
    sends_n(u, 'x', 400000);
    step(31 * SECONDS);
    assert_true(c->closed);
    assert_ended("client_stalled");
}
static void an_answer_that_fits_the_socket_half_is_finished_later(void **state) {
    (void)state;
    stage((struct given){ .listener = "timeouts: { write: 30s, idle: 5s, header: 5s, body: 5s }", .policy = "deadline: { idle: 5s }" });
    struct sock *c = asks(GET());
    struct sock *u = upstream();
    takes(c, 60);
    upstream_sends(u, ANSWER_OK);
    step(20 * SECONDS);
    assert_open(c);
    takes(c, UNBOUNDED);
    assert_answer(c, 200);
    assert_ended("completed");
}
static void an_answer_after_the_ending_is_flushed_to_a_slow_client_but_not_for_ever(void **state) {
    (void)state;
    stage((struct given){ .listener = "timeouts: { write: 30s }" });
    struct sock *c = asks(GET("x-request-timeout: 100ms\r\n"));
    struct sock *u = upstream();
    takes(c, 10);
    at(100 * MS);
    assert_reset(u);
    assert_false(c->closed);
    for (int i = 0; i < 10 && !c->closed; i++) {
        step(9 * SECONDS);
        takes(c, 1); /* as slowly as can be */
    }
    step(31 * SECONDS);
    assert_true(c->closed);
    assert_ended_at("deadline", "close");
}
static void a_hundred_exchanges_with_stalled_clients_end_together_and_leave_nothing(void **state) {
    (void)state;
    stage((struct given){ .upstream = "max_connections: 200" });
    struct sock *c[100], *u[100];
    for (int i = 0; i < 100; i++) {
        c[i] = client();
        takes(c[i], 200);
        client_sends(c[i], GET("x-request-timeout: 1s\r\n"));
        u[i] = upstream();
        queues(u[i], ANSWER("content-length: 1000000\r\n"));
        sends_n(u[i], 'x', 300000);
    }
    at(1000 * MS);
    for (int i = 0; i < 100; i++) {
        assert_true(u[i]->closed);
        assert_int_equal(u[i]->closed_turn, u[0]->closed_turn); /* all of them in one turn */
    }
    step(60 * SECONDS);
    for (int i = 0; i < 100; i++) {
        assert_true(c[i]->closed);
        assert_ended_at("deadline", "close");
    }
    assert_int_equal(held(), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        SCENE(a_slow_reader_pauses_the_upstream_and_gets_every_byte),
        SCENE(a_slow_upstream_pauses_the_upload_and_gets_every_byte),
        SCENE(chunked_bodies_flow_both_ways_at_once_a_byte_at_a_time),
        SCENE(a_turn_reads_no_more_than_a_share_of_one_connection),
        SCENE(the_idle_limit_does_not_run_against_an_upstream_that_waits_for_the_client),
        SCENE(a_client_that_stalls_after_the_upstream_is_done_is_stalled),
        SCENE(an_answer_that_fits_the_socket_half_is_finished_later),
        SCENE(an_answer_after_the_ending_is_flushed_to_a_slow_client_but_not_for_ever),
        SCENE(a_hundred_exchanges_with_stalled_clients_end_together_and_leave_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
