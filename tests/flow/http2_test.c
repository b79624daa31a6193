// SPDX-License-Identifier: Apache-2.0
// The same laws with HTTP/2 on either side: a cancel is RST_STREAM, and a stream's neighbours do not notice (semantics 3 to 5, traps T8 to T20).
#include "tests/flow/h2.h"

#define UP "protocol: http2"
#define CANCEL 8u
#define INTERNAL 2u
#define REFUSED_CODE 7u

/* One stream is with the upstream. */
static int32_t h2_asked(struct h2 *c, struct h2 **u, int32_t *at_upstream, const char *lines) {
    int32_t id = h2_get(c, "/", lines);
    h2_settle(c, *u);
    if (!*u) *u = h2_upstream();
    h2_settle(c, *u);
    *at_upstream = h2_next(*u);
    return id;
}

static void a_deadline_resets_one_stream_and_its_neighbour_lives(void **state) {
    (void)state;
    stage((struct given){ .upstream = UP });
    struct h2 *c = h2_client(), *u = NULL;
    int32_t one, two;
    int32_t a = h2_asked(c, &u, &one, "x-request-timeout: 100ms\n"), b = h2_asked(c, &u, &two, NULL);
    assert_has(h2_stream(u, one)->head, "x-request-timeout: 95ms\n");
    at(100 * MS);
    assert_int_equal(u->s->said_turn, c->s->said_turn);
    assert_h2_status(c, a, "504");
    assert_true(h2_stream(c, a)->ended);
    assert_h2_reset(u, one, CANCEL);
    assert_h2_not_reset(u, two);
    h2_answers(u, two, "200", NULL, 5, false);
    h2_settle(u, c);
    assert_h2_status(c, b, "200");
    assert_true(h2_stream(c, b)->ended);
    assert_int_equal(h2_stream(c, b)->received, 5);
    assert_open(u->s);
    assert_ended_at("deadline", "native");
    assert_ended("completed");
    h2_free(c), h2_free(u);
}
static void a_clients_reset_is_passed_on_in_the_turn(void **state) {
    (void)state;
    stage((struct given){ .upstream = UP });
    struct h2 *c = h2_client(), *u = NULL;
    int32_t one;
    int32_t a = h2_asked(c, &u, &one, NULL);
    h2_resets(c, a, CANCEL);
    h2_write(c);
    turn();
    assert_int_equal(u->s->said_turn, world.turn);
    assert_h2_reset(u, one, CANCEL);
    assert_ended_at("client_reset", "native");
    assert_logged("wire", "8");
    assert_logged("status", "499");
    assert_int_equal(c->resets, 0); /* T11: no reset is answered with one */
    h2_free(c), h2_free(u);
}
static void a_request_and_its_reset_in_one_edge_never_reach_the_upstream(void **state) {
    (void)state;
    stage((struct given){ .upstream = UP });
    struct h2 *c = h2_client(), *u = NULL;
    int32_t one;
    h2_asked(c, &u, &one, NULL);
    int32_t b = h2_get(c, "/b", NULL);
    h2_write(c);
    h2_resets(c, b, CANCEL);
    h2_settle(c, u);
    assert_int_equal(u->n, 1);
    assert_int_equal(u->resets, 0);
    assert_ended_at("client_reset", "withdrawn");
    h2_answers(u, one, "204", NULL, NO_BODY, false);
    h2_settle(u, c);
    assert_ended("completed");
    h2_free(c), h2_free(u);
}
/* The head that waits for its turn in the upstream's queue named the client by bytes of the client's connection. */
static void a_client_that_is_gone_before_its_head_is_written_leaves_its_address(void **state) {
    (void)state;
    stage((struct given){ .upstream = UP, .policy = "cancel: { client_gone: ignore }" });
    struct h2 *c = h2_client(), *u = NULL;
    int32_t one;
    h2_asked(c, &u, &one, NULL);
    struct sock *d = client(), *e = client();
    takes(u->s, 0);
    client_sends(d, GET_PATH("/d", "")); /* finds the socket full */
    client_sends(e, GET_PATH("/e", "")); /* waits for room */
    client_resets(e);
    assert_true(e->closed);
    takes(u->s, UNBOUNDED);
    h2_settle(u, c);
    int32_t two = h2_next(u), three = h2_next(u);
    assert_has(h2_stream(u, three)->head, "x-forwarded-for: 192.0.2.1\n");
    int32_t all[] = { one, two, three };
    for (int i = 0; i < 3; i++) h2_answers(u, all[i], "200", NULL, NO_BODY, false);
    h2_settle(u, c);
    assert_answer(d, 200);
    assert_ended("client_reset");
    assert_ended("completed");
    assert_ended("completed");
    h2_free(c), h2_free(u);
}
/* T14 */
static void a_lost_client_connection_resets_each_of_its_streams_and_no_other(void **state) {
    (void)state;
    stage((struct given){ .upstream = UP });
    struct h2 *c = h2_client(), *d = h2_client(), *u = NULL;
    int32_t up[6], other;
    for (int i = 0; i < 6; i++) h2_asked(c, &u, &up[i], NULL);
    int32_t id = h2_asked(d, &u, &other, NULL);
    queues_rst(c->s);
    turn();
    for (int i = 0; i < 6; i++) {
        assert_h2_reset(u, up[i], CANCEL);
        assert_ended_at("client_reset", "native");
    }
    assert_int_equal(u->s->said_turn, world.turn);
    assert_h2_not_reset(u, other);
    h2_answers(u, other, "200", NULL, NO_BODY, false);
    h2_settle(u, d);
    assert_h2_status(d, id, "200");
    assert_ended("completed");
    h2_free(c), h2_free(d), h2_free(u);
}
/* T13 */
static void past_the_reset_budget_cancels_wait_and_the_connection_is_spared(void **state) {
    (void)state;
    stage((struct given){ .upstream = UP ", reset_budget: { burst: 3, rate: 10/s }", .policy = "cancel: { drain_limit: { time: 10s } }" });
    struct h2 *c = h2_client(), *u = NULL;
    int32_t up[6];
    for (int i = 0; i < 6; i++) h2_asked(c, &u, &up[i], NULL);
    client_resets(c->s);
    h2_read(u);
    assert_int_equal(u->resets, 3);
    unsigned deferred = 0;
    for (int i = 0; i < 6; i++) {
        assert_ended_at("client_reset", "native");
        deferred += strstr(world.line, "\"cancel_deferred\":true") != NULL;
    }
    assert_int_equal(deferred, 3);
    at(99 * MS);
    h2_read(u);
    assert_int_equal(u->resets, 3);
    for (unsigned i = 1; i <= 3; i++) { /* a token every 100 ms, oldest first */
        at(i * 101 * MS);
        assert_h2_reset(u, up[2 + i], CANCEL);
        assert_int_equal(u->resets, 3 + i);
    }
    assert_open(u->s);
    h2_free(c), h2_free(u);
}
/* T12: what still arrives for reset streams goes back to the connection's window. */
static void a_hundred_cancels_in_full_flight_cost_the_connection_no_window(void **state) {
    (void)state;
    stage((struct given){ .upstream = UP ", reset_budget: { burst: 0 }" });
    struct h2 *c = h2_client(), *u = NULL;
    for (int i = 0; i < 100; i++) {
        int32_t one;
        int32_t a = h2_asked(c, &u, &one, NULL);
        h2_answers(u, one, "200", NULL, 60000, true);
        h2_write(u); /* its DATA and our reset cross */
        h2_resets(c, a, CANCEL);
        h2_settle(c, u);
        assert_ended_at("client_reset", "native");
    }
    int32_t last;
    int32_t a = h2_asked(c, &u, &last, NULL);
    h2_answers(u, last, "200", NULL, 3000000, false);
    for (int i = 0; i < 200; i++) h2_settle(u, c);
    assert_int_equal(h2_stream(c, a)->received, 3000000);
    assert_ended("completed");
    h2_free(c), h2_free(u);
}
/* T17 */
static void an_upstream_without_a_window_is_reset_at_the_deadline(void **state) {
    (void)state;
    stage((struct given){ .upstream = UP });
    const nghttp2_settings_entry none = { NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, 0 };
    struct h2 *c = h2_client();
    int32_t a = h2_asks(c, "POST", "/", "x-request-timeout: 100ms\n", 50000, false);
    h2_settle(c, NULL);
    struct h2 *u = h2_upstream_with(&none, 1);
    h2_settle(c, u);
    int32_t one = h2_next(u);
    at(99 * MS);
    assert_h2_not_reset(u, one);
    at(100 * MS);
    assert_h2_reset(u, one, CANCEL);
    assert_h2_status(c, a, "504");
    assert_int_equal(u->s->said_turn, c->s->said_turn);
    h2_settle(c, u);
    assert_ended_at("deadline", "native");
    h2_free(c), h2_free(u);
}
static void a_refused_stream_is_asked_again_and_one_that_may_have_run_is_not(void **state) {
    (void)state;
    stage((struct given){ .upstream = UP });
    struct h2 *c = h2_client(), *u = NULL;
    int32_t one;
    int32_t a = h2_asked(c, &u, &one, NULL);
    h2_resets(u, one, REFUSED_CODE);
    h2_settle(u, c);
    int32_t again = h2_next(u);
    h2_answers(u, again, "200", NULL, NO_BODY, false);
    h2_settle(u, c);
    assert_h2_status(c, a, "200");
    assert_ended("completed");
    assert_logged("attempts", "2");
    a = h2_asked(c, &u, &one, NULL); /* T39 */
    h2_resets(u, one, INTERNAL);
    h2_settle(u, c);
    assert_int_equal(u->answered, u->n);
    assert_h2_status(c, a, "502");
    assert_ended("upstream_reset");
    assert_logged("wire", "2");
    h2_free(c), h2_free(u);
}
/* T15 */
static void streams_above_goaways_last_go_to_another_connection_and_those_below_stay(void **state) {
    (void)state;
    stage((struct given){ .upstream = UP });
    struct h2 *c = h2_client(), *u = NULL;
    int32_t one, two;
    int32_t a = h2_asked(c, &u, &one, NULL), b = h2_asked(c, &u, &two, NULL);
    nghttp2_submit_goaway(u->ng, NGHTTP2_FLAG_NONE, one, 0, NULL, 0);
    h2_settle(u, c);
    struct h2 *v = h2_upstream();
    h2_settle(v, c);
    int32_t again = h2_next(v);
    h2_answers(v, again, "200", NULL, NO_BODY, false);
    h2_settle(v, c);
    assert_h2_status(c, b, "200");
    h2_answers(u, one, "200", NULL, 3, false);
    h2_settle(u, c);
    assert_h2_status(c, a, "200");
    assert_true(h2_stream(c, a)->ended);
    assert_ended("completed");
    assert_ended("completed");
    h2_free(c), h2_free(u), h2_free(v);
}
/* T15: the budget is for what failed; it has three places, and a fifth of what is under way, and left the others to a 503. */
static void what_a_goaway_passed_over_needs_no_place_in_the_retry_budget(void **state) {
    (void)state;
    enum { STREAMS = 32 };
    stage((struct given){ .upstream = UP });
    struct h2 *c = h2_client(), *u = NULL;
    int32_t id[STREAMS], at_upstream, first = 0;
    for (unsigned i = 0; i < STREAMS; i++) {
        id[i] = h2_asked(c, &u, &at_upstream, NULL);
        if (!first) first = at_upstream;
    }
    nghttp2_submit_goaway(u->ng, NGHTTP2_FLAG_NONE, first, NGHTTP2_NO_ERROR, NULL, 0);
    h2_settle(u, c);
    struct h2 *v = h2_upstream();
    h2_settle(v, c);
    for (unsigned i = 1; i < STREAMS; i++) h2_answers(v, h2_next(v), "200", NULL, NO_BODY, false);
    h2_settle(v, c);
    h2_answers(u, first, "200", NULL, NO_BODY, false);
    h2_settle(u, c);
    for (unsigned i = 0; i < STREAMS; i++) {
        assert_h2_status(c, id[i], "200");
        assert_ended("completed");
    }
    h2_free(c), h2_free(u), h2_free(v);
}
/* T8, T9 */
static void no_error_after_a_whole_answer_is_its_end_and_before_it_truncation(void **state) {
    (void)state;
    stage((struct given){ .upstream = UP });
    struct h2 *c = h2_client(), *u = NULL;
    int32_t one;
    int32_t a = h2_asks(c, "POST", "/", NULL, 10, true);
    h2_settle(c, NULL);
    u = h2_upstream();
    h2_settle(c, u);
    one = h2_next(u);
    h2_answers(u, one, "413", NULL, 7, false);
    h2_write(u);
    h2_resets(u, one, NGHTTP2_NO_ERROR);
    h2_settle(u, c);
    assert_h2_status(c, a, "413");
    assert_true(h2_stream(c, a)->ended);
    assert_int_equal(h2_stream(c, a)->received, 7);
    assert_ended("completed");
    a = h2_asked(c, &u, &one, NULL);
    h2_answers(u, one, "200", NULL, 7, true);
    h2_write(u);
    h2_resets(u, one, NGHTTP2_NO_ERROR);
    h2_settle(u, c);
    assert_int_equal(h2_stream(c, a)->received, 7); /* what was received is delivered first */
    assert_h2_reset(c, a, INTERNAL);
    assert_ended("upstream_reset");
    h2_free(c), h2_free(u);
}
static void an_answer_is_cut_in_its_middle_by_the_code_of_its_ending(void **state) {
    (void)state;
    stage((struct given){ .upstream = UP });
    struct h2 *c = h2_client(), *u = NULL;
    int32_t one;
    int32_t a = h2_asked(c, &u, &one, "x-request-timeout: 100ms\n");
    h2_answers(u, one, "200", NULL, 7, true);
    h2_settle(u, c);
    at(100 * MS);
    assert_h2_reset(c, a, CANCEL);
    assert_h2_reset(u, one, CANCEL);
    assert_false(h2_stream(c, a)->ended);
    assert_ended_at("deadline", "native");
    a = h2_asked(c, &u, &one, NULL);
    h2_answers(u, one, "200", NULL, 7, true);
    h2_settle(u, c);
    upstream_resets(u->s);
    assert_h2_reset(c, a, INTERNAL);
    assert_ended("upstream_closed");
    h2_free(c), h2_free(u);
}
/* Semantics 4: what fits of a head that is refused tells that it is gRPC. Its neighbours go on. */
static void grpc_hears_of_a_head_over_the_limit_in_its_own_words(void **state) {
    (void)state;
    stage((struct given){ .upstream = UP, .listener = "http2: { max_head: 1KiB }" });
    struct h2 *c = h2_client();
    char big[1600];
    snprintf(big, sizeof big, "x-big: %01200d\ncontent-type: application/grpc\nte: trailers\n", 0);
    int32_t whole = h2_asks(c, "POST", "/s/m", big, 5, false), open = h2_asks(c, "POST", "/s/m", big, 5, true), plain = h2_get(c, "/", strchr(big, '\n') + 1);
    snprintf(big, sizeof big, "x-big: %01200d\n", 0);
    int32_t http = h2_get(c, "/plain", big);
    h2_settle(c, NULL);
    for (int32_t *id = (int32_t[]){ whole, open, 0 }; *id; id++) {
        assert_h2_status(c, *id, "200");
        assert_has(h2_stream(c, *id)->head, "grpc-status: 8\n");
        assert_true(h2_stream(c, *id)->ended);
        assert_ended("client_error");
        assert_logged("path", "/s/m");
        assert_logged("rpc", "grpc");
    }
    assert_h2_status(c, http, "431");
    assert_has(h2_stream(c, http)->head, "content-type: application/problem+json\n");
    assert_ended("client_error");
    struct h2 *u = h2_upstream();
    h2_settle(c, u);
    h2_answers(u, h2_next(u), "200", NULL, NO_BODY, false);
    h2_settle(u, c);
    assert_h2_status(c, plain, "200");
    assert_ended("completed");
    h2_free(c), h2_free(u);
}
/* T20, T41 */
static void grpc_hears_of_a_deadline_in_its_own_words(void **state) {
    (void)state;
    stage((struct given){ .upstream = UP });
    struct h2 *c = h2_client(), *u = NULL;
    static const char call[] = "content-type: application/grpc\nte: trailers\ngrpc-timeout: 100m\n";
    int32_t a = h2_asks(c, "POST", "/s/m", call, 5, false);
    h2_settle(c, NULL);
    u = h2_upstream();
    h2_settle(c, u);
    int32_t one = h2_next(u);
    assert_has(h2_stream(u, one)->head, "grpc-timeout: 95000000n\n");
    at(100 * MS);
    assert_h2_status(c, a, "200");
    assert_has(h2_stream(c, a)->head, "grpc-status: 4\n");
    assert_true(h2_stream(c, a)->ended);
    assert_h2_reset(u, one, CANCEL);
    assert_ended_at("deadline", "native");
    assert_logged("grpc_status", "4");
    a = h2_asks(c, "POST", "/s/m", call, 5, false);
    h2_settle(c, u);
    one = h2_next(u);
    h2_answers(u, one, "200", "content-type: application/grpc\n", 3, true); /* in the middle of a message */
    h2_settle(u, c);
    step(100 * MS);
    assert_h2_reset(c, a, CANCEL);
    assert_ended_at("deadline", "native");
    h2_free(c), h2_free(u);
}
/* Servers write the end of a stream in a frame of its own: what has all its bytes lacks nothing else that a client would miss. */
static void an_answer_that_has_all_its_bytes_is_no_cut_one_at_the_deadline(void **state) {
    (void)state;
    stage((struct given){ .upstream = UP });
    struct h2 *c = h2_client(), *u = NULL;
    static const char connect[] = "content-type: application/proto\nconnect-protocol-version: 1\nconnect-timeout-ms: 100\n";
    static const struct { const char *fields; size_t said; bool whole; } cases[] = {
        { "content-length: 4\n", 4, true },
        { "content-length: 4\n", 3, false },
        { NULL, 4, false },
    };
    for (size_t i = 0; i < 2 * sizeof cases / sizeof *cases; i++) {
        size_t k = i / 2;
        int32_t a = h2_asks(c, "POST", "/s/m", i % 2 ? connect : "x-request-timeout: 100ms\n", 5, false);
        h2_settle(c, u);
        if (!u) u = h2_upstream();
        h2_settle(u, c);
        int32_t one = h2_next(u);
        h2_answers(u, one, "200", cases[k].fields, cases[k].said, true);
        h2_settle(u, c);
        step(100 * MS);
        h2_settle(u, c);
        assert_h2_reset(u, one, CANCEL);
        if (cases[k].whole) assert_h2_not_reset(c, a);
        else assert_h2_reset(c, a, CANCEL);
        assert_int_equal(h2_stream(c, a)->ended, cases[k].whole);
        assert_int_equal(h2_stream(c, a)->received, cases[k].said);
        assert_ended_at("deadline", "native");
        if (i % 2 && cases[k].whole) assert_logged("grpc_status", "0");
    }
    h2_free(c), h2_free(u);
}
static void an_http1_client_that_leaves_resets_the_http2_stream(void **state) {
    (void)state;
    stage((struct given){ .upstream = UP });
    struct sock *c = asks(GET());
    struct h2 *u = h2_upstream();
    h2_settle(u, NULL);
    int32_t one = h2_next(u);
    client_finishes(c);
    assert_said_in_the_turn(u->s);
    assert_h2_reset(u, one, CANCEL);
    assert_open(u->s);
    assert_ended_at("client_closed", "native");
    h2_free(u);
}
static void a_stream_that_is_reset_closes_the_http1_upstream_and_not_the_client(void **state) {
    (void)state;
    stage((struct given){ .upstream = "protocol: http1" });
    struct h2 *c = h2_client();
    int32_t a = h2_get(c, "/a", NULL), b = h2_get(c, "/b", NULL);
    h2_settle(c, NULL);
    struct sock *u = upstream(), *v = upstream();
    upstream_got(u, "GET /a HTTP/1.1\r\n");
    upstream_got(v, "GET /b HTTP/1.1\r\n");
    h2_resets(c, a, CANCEL);
    h2_write(c);
    turn();
    assert_reset(u);
    assert_int_equal(u->closed_turn, world.turn);
    upstream_sends(v, ANSWER_OK);
    assert_h2_status(c, b, "200");
    assert_open(c->s);
    assert_ended_at("client_reset", "close");
    assert_ended("completed");
    h2_free(c);
}
static void a_client_that_gives_one_stream_no_window_stalls_that_stream_alone(void **state) {
    (void)state;
    stage((struct given){ .upstream = UP, .listener = "timeouts: { write: 30s }" });
    const nghttp2_settings_entry small = { NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, 100 };
    struct h2 *c = h2_new(client(), false, &small, 1), *u = NULL;
    nghttp2_session_set_local_window_size(c->ng, NGHTTP2_FLAG_NONE, 0, 1 << 20);
    h2_settle(c, NULL);
    int32_t a = h2_get(c, "/", NULL);
    h2_settle(c, NULL);
    u = h2_upstream();
    h2_settle(u, NULL);
    int32_t one = h2_next(u);
    h2_answers(u, one, "200", NULL, 2000000, false);
    for (int i = 0; i < 50; i++) h2_write(u), settle(), h2_read(u); /* the client reads nothing: no WINDOW_UPDATE of its */
    assert_true(world.w.chunks.out * CHUNK_BYTES < 2 * BODY_WINDOW + SCRATCH_BYTES);
    assert_true(h2_stream(u, one)->to_send > 1000000);
    step(31 * SECONDS);
    assert_h2_reset(u, one, CANCEL);
    assert_ended_at("client_stalled", "native");
    (void)a;
    h2_free(c), h2_free(u);
}
static void sigterm_says_goaway_and_lets_streams_finish(void **state) {
    (void)state;
    stage((struct given){ .upstream = UP });
    struct h2 *c = h2_client(), *u = NULL;
    int32_t one;
    int32_t a = h2_asked(c, &u, &one, NULL);
    worker_post_kind(&world.w, MESSAGE_DRAIN);
    h2_settle(c, u);
    assert_true(c->goaway);
    step(1 * SECONDS);
    h2_answers(u, one, "200", NULL, 3, false);
    h2_settle(u, c);
    assert_h2_status(c, a, "200");
    assert_true(h2_stream(c, a)->ended);
    assert_ended("completed");
    step(5 * SECONDS);
    assert_true(c->s->closed || c->s->half_closed);
    assert_true(u->s->closed);
    h2_free(c), h2_free(u);
}

/* An answer whose bytes are all out, or that has none, still has an end to say, for which nghttp2 wants a window. */
static void a_client_that_leaves_an_answers_end_no_window_is_stalled(void **state) {
    (void)state;
    stage((struct given){ .upstream = UP, .listener = "timeouts: { write: 5s }" });
    const nghttp2_settings_entry none = { NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, 0 };
    struct h2 *c = h2_new(client(), false, &none, 1);
    int32_t id = h2_get(c, "/", NULL), upload = h2_asks(c, "POST", "/", NULL, 10, true);
    h2_settle(c, NULL);
    struct h2 *u = h2_upstream();
    for (int i = 0; i < 2; i++) h2_answers(u, h2_next(u), "200", NULL, 0, false);
    h2_settle(c, u);
    assert_h2_status(c, id, "200");
    assert_false(h2_stream(c, id)->ended || h2_stream(c, upload)->ended);
    assert_nothing_ended();
    step(20 * SECONDS);
    h2_settle(c, u);
    assert_ended("client_stalled");
    assert_ended("client_stalled");
    assert_true(h2_stream(c, id)->was_reset && h2_stream(c, upload)->was_reset);
    h2_free(c);
    h2_free(u);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        SCENE(a_client_that_leaves_an_answers_end_no_window_is_stalled),
        SCENE(a_deadline_resets_one_stream_and_its_neighbour_lives),
        SCENE(a_clients_reset_is_passed_on_in_the_turn),
        SCENE(a_request_and_its_reset_in_one_edge_never_reach_the_upstream),
        SCENE(a_client_that_is_gone_before_its_head_is_written_leaves_its_address),
        SCENE(a_lost_client_connection_resets_each_of_its_streams_and_no_other),
        SCENE(past_the_reset_budget_cancels_wait_and_the_connection_is_spared),
        SCENE(a_hundred_cancels_in_full_flight_cost_the_connection_no_window),
        SCENE(an_upstream_without_a_window_is_reset_at_the_deadline),
        SCENE(a_refused_stream_is_asked_again_and_one_that_may_have_run_is_not),
        SCENE(streams_above_goaways_last_go_to_another_connection_and_those_below_stay),
        SCENE(what_a_goaway_passed_over_needs_no_place_in_the_retry_budget),
        SCENE(no_error_after_a_whole_answer_is_its_end_and_before_it_truncation),
        SCENE(an_answer_is_cut_in_its_middle_by_the_code_of_its_ending),
        SCENE(grpc_hears_of_a_head_over_the_limit_in_its_own_words),
        SCENE(grpc_hears_of_a_deadline_in_its_own_words),
        SCENE(an_answer_that_has_all_its_bytes_is_no_cut_one_at_the_deadline),
        SCENE(an_http1_client_that_leaves_resets_the_http2_stream),
        SCENE(a_stream_that_is_reset_closes_the_http1_upstream_and_not_the_client),
        SCENE(a_client_that_gives_one_stream_no_window_stalls_that_stream_alone),
        SCENE(sigterm_says_goaway_and_lets_streams_finish),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
