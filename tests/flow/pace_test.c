// SPDX-License-Identifier: Apache-2.0
// timeouts.min_rate: who moves a byte now and then is as bad as who moves none, and who is slow but moves is neither. Only time in which the client
// is what is waited for counts.
#include "tests/flow/h2.h"

#define UP "protocol: http2, write_timeout: none"
#define LIMITS "timeouts: { body: 30s, write: 30s }"
#define PATIENT "deadline: { default: none, max: none, idle: none, streaming: { idle: none } }"

/* ---- requests ------------------------------------------------------------------------------------------------------------------------- */
static void a_body_that_drips_is_a_timeout(void **state) {
    (void)state;
    stage((struct given){ .listener = LIMITS, .policy = PATIENT });
    struct sock *c, *u = asked(&c, POST("content-length: 100000\r\n"));
    for (int i = 0; i < 2; i++) step(10 * SECONDS), client_sends(c, "x");
    assert_silent(c);
    for (int i = 0; i < 3 && !u->closed; i++) step(9 * SECONDS), client_sends(c, "x");
    assert_answer(c, 408);
    assert_reset(u);
    step(5 * SECONDS);
    assert_ended_at("client_timeout", "close");
    assert_logged("detail", "\"the request's body arrived too slowly\"");
}
static void a_body_at_more_than_the_rate_may_take_an_hour(void **state) {
    (void)state;
    stage((struct given){ .listener = LIMITS, .policy = PATIENT });
    struct sock *c, *u = asked(&c, POST("content-length: 900000\r\n"));
    for (int i = 0; i < 180; i++) step(20 * SECONDS), sends_n(c, 'x', 5000);
    assert_nothing_ended();
    answered(c, u);
}
static void an_upload_that_the_upstream_does_not_take_is_not_the_clients_fault(void **state) {
    (void)state;
    stage((struct given){ .listener = LIMITS, .policy = PATIENT, .upstream = "write_timeout: none" });
    struct sock *c, *u = asked(&c, POST("content-length: 1000000\r\n"));
    takes(u, 0);
    sends_n(c, 'x', 1000000);
    step(1 * HOUR);
    assert_nothing_ended();
    takes(u, UNBOUNDED);
    answered(c, u);
}
static void a_stream_that_has_little_to_say_is_not_slow(void **state) {
    (void)state;
    stage((struct given){ .listener = LIMITS, .policy = PATIENT, .upstream = UP });
    struct h2 *c = h2_client(), *u = NULL;
    int32_t id = h2_asks(c, "POST", "/chat.Chat/Talk", "content-type: application/grpc\nte: trailers\n", 0, true);
    h2_settle(c, NULL);
    u = h2_upstream();
    h2_settle(u, c);
    for (int i = 0; i < 200; i++) {
        h2_goes_on(c, id, 6, true);
        h2_settle(c, u);
        step(25 * SECONDS);
    }
    assert_nothing_ended();
    h2_resets(c, id, NGHTTP2_CANCEL);
    h2_settle(c, u);
    assert_ended_at("client_reset", "native");
    h2_free(c), h2_free(u);
}
static void without_a_rate_any_byte_will_do(void **state) {
    (void)state;
    stage((struct given){ .listener = "timeouts: { body: 30s, min_rate: 0/s }", .policy = PATIENT });
    struct sock *c, *u = asked(&c, POST("content-length: 100\r\n"));
    for (int i = 0; i < 100; i++) step(29 * SECONDS), client_sends(c, "x");
    answered(c, u);
}

/* ---- answers -------------------------------------------------------------------------------------------------------------------------- */
static struct h2 *up_of; /* the upstream's side of the scene */
/* WINDOW_UPDATE as it is on the wire: nghttp2 would credit of itself what it reads. */
static void opens(struct h2 *c, int32_t id, uint32_t n) {
    uint8_t f[13] = { 0, 0, 4, 8, 0, 0, 0, 0, (uint8_t)id, (uint8_t)(n >> 24), (uint8_t)(n >> 16), (uint8_t)(n >> 8), (uint8_t)n };
    queue_bytes(c->s, f, sizeof f);
    settle();
}
/* A client whose stream has no window but what `opens` gives it, and an upstream that has begun its answer with n bytes, and goes on. */
static struct h2 *without_window(int32_t *id, int32_t *one, size_t n) {
    const nghttp2_settings_entry none = { NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, 0 };
    struct h2 *c = h2_new(client(), false, &none, 1);
    *id = h2_get(c, "/", NULL);
    h2_settle(c, NULL);
    opens(c, 0, 1 << 30);
    up_of = h2_upstream();
    h2_settle(up_of, NULL);
    *one = h2_next(up_of);
    h2_answers(up_of, *one, "200", NULL, n, true);
    h2_settle(up_of, c);
    return c;
}
static void assert_stalled(struct h2 *c, int32_t id, int32_t one) {
    h2_settle(up_of, NULL); /* the client's nghttp2 knows nothing of the windows that it gave */
    assert_int_equal(((const uint8_t *)c->s->got)[c->s->ngot - 10], NGHTTP2_RST_STREAM);
    assert_int_equal(((const uint8_t *)c->s->got)[c->s->ngot - 5], id);
    assert_h2_reset(up_of, one, NGHTTP2_CANCEL);
    assert_ended_at("client_stalled", "native");
    assert_open(c->s);
    h2_free(c), h2_free(up_of);
}
static void a_window_that_opens_by_a_byte_is_stalled(void **state) {
    (void)state;
    stage((struct given){ .listener = LIMITS, .policy = PATIENT, .upstream = UP });
    int32_t id, one;
    struct h2 *c = without_window(&id, &one, 100000);
    for (int i = 0; i < 2; i++) step(10 * SECONDS), opens(c, id, 1);
    assert_nothing_ended();
    for (int i = 0; i < 2; i++) step(8 * SECONDS), opens(c, id, 1);
    assert_stalled(c, id, one);
    assert_logged("detail", "\"the client took the answer too slowly\"");
}
static void an_upstream_that_goes_on_does_not_move_its_client(void **state) {
    (void)state;
    stage((struct given){ .listener = LIMITS, .policy = PATIENT, .upstream = UP });
    int32_t id, one;
    struct h2 *c = without_window(&id, &one, 10);
    for (int i = 0; i < 12; i++) {
        step(5 * SECONDS);
        h2_goes_on(up_of, one, 10, true);
        h2_settle(up_of, NULL);
    }
    assert_stalled(c, id, one);
}
static void a_client_that_takes_more_than_the_rate_may_take_an_hour(void **state) {
    (void)state;
    stage((struct given){ .listener = LIMITS, .policy = PATIENT, .upstream = UP });
    int32_t id, one;
    struct h2 *c = without_window(&id, &one, 2000000);
    for (int i = 0; i < 180; i++) step(20 * SECONDS), opens(c, id, 5000), h2_write(up_of), settle(), h2_read(up_of);
    assert_nothing_ended();
    assert_true(c->s->ngot > 180 * 5000);
    for (int i = 0; i < 7; i++) step(10 * SECONDS), opens(c, id, 1); /* what it took before is no provision */
    assert_stalled(c, id, one);
}
/* Each answer comes as the timer looks: a client that was owed nothing until this turn is not slow. */
static void an_answer_that_comes_slowly_is_not_its_clients_fault(void **state) {
    (void)state;
    for (int64_t every = 5; every <= 60; every *= 2) {
        stage((struct given){ .listener = LIMITS, .policy = PATIENT, .upstream = UP });
        struct h2 *c = h2_client();
        int32_t id = h2_get(c, "/", NULL);
        h2_settle(c, NULL);
        struct h2 *u = h2_upstream();
        h2_settle(u, NULL);
        int32_t one = h2_next(u);
        h2_answers(u, one, "200", NULL, 1, true);
        for (int i = 0; i < 100; i++) {
            h2_settle(u, c);
            step(every * SECONDS);
            h2_goes_on(u, one, 1, true);
        }
        assert_nothing_ended();
        h2_resets(c, id, NGHTTP2_CANCEL);
        h2_settle(c, u);
        assert_ended_at("client_reset", "native");
        h2_free(c), h2_free(u);
        leave(state);
    }
}

/* ---- sockets -------------------------------------------------------------------------------------------------------------------------- */
/* A client whose system acknowledges so much a second of what our kernel holds, which has no room for more. */
static struct sock *with_full_kernel(void) {
    struct sock *c, *u = asked(&c, GET());
    takes(c, 1000000);
    c->unsent = 1000000;
    upstream_sends(u, ANSWER("content-length: 2000000\r\n"));
    sends_n(u, 'x', 2000000);
    return c;
}
static void acknowledges(struct sock *c, size_t rate, int seconds) {
    for (int i = 0; i < seconds && !c->closed; i++) {
        step(1 * SECONDS);
        if (!c->closed) c->unsent -= rate;
    }
}
static void a_slow_link_whose_bytes_are_in_the_kernel_is_not_stalled(void **state) {
    (void)state;
    stage((struct given){ .listener = LIMITS, .policy = PATIENT });
    struct sock *c = with_full_kernel();
    acknowledges(c, 300, 3000);
    assert_open(c);
    c->unsent = 0;
    takes(c, UNBOUNDED);
    assert_answer(c, 200);
    assert_ended("completed");
}
static void a_link_that_is_slower_than_the_rate_is_stalled(void **state) {
    (void)state;
    stage((struct given){ .listener = LIMITS, .policy = PATIENT });
    struct sock *c = with_full_kernel();
    acknowledges(c, 20, 29);
    assert_open(c);
    acknowledges(c, 20, 31);
    assert_reset(c);
    assert_ended_at("client_stalled", "close");
}
static void a_slow_link_that_stops_is_stalled(void **state) {
    (void)state;
    stage((struct given){ .listener = LIMITS, .policy = PATIENT });
    struct sock *c = with_full_kernel();
    acknowledges(c, 1000, 600);
    assert_open(c);
    step(46 * SECONDS);
    assert_reset(c);
    assert_ended_at("client_stalled", "close");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        SCENE(a_body_that_drips_is_a_timeout),
        SCENE(a_body_at_more_than_the_rate_may_take_an_hour),
        SCENE(an_upload_that_the_upstream_does_not_take_is_not_the_clients_fault),
        SCENE(a_stream_that_has_little_to_say_is_not_slow),
        SCENE(without_a_rate_any_byte_will_do),
        SCENE(a_window_that_opens_by_a_byte_is_stalled),
        SCENE(an_upstream_that_goes_on_does_not_move_its_client),
        SCENE(a_client_that_takes_more_than_the_rate_may_take_an_hour),
        SCENE(an_answer_that_comes_slowly_is_not_its_clients_fault),
        SCENE(a_slow_link_whose_bytes_are_in_the_kernel_is_not_stalled),
        SCENE(a_link_that_is_slower_than_the_rate_is_stalled),
        SCENE(a_slow_link_that_stops_is_stalled),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
