// SPDX-License-Identifier: Apache-2.0
// Requests that are refused at their head, or before their answer is out, where the rest of a connection stands in the way: what came before and behind
// them, methods whose answers are told otherwise, bodies that are still on their way, a drain. No upstream ever hears of them.
#include "tests/flow/h2.h"

#define BIG 1200
static const char *big_field(void) {
    static char text[BIG + 32];
    snprintf(text, sizeof text, "x-big: %0*d\r\n", BIG, 0);
    return text;
}
static void stage_small(void) { stage((struct given){ .listener = "http1: { max_head: 1KiB }, http2: { max_head: 1KiB }" }); }
static char *request(const char *first, const char *fields) {
    static char text[4096];
    snprintf(text, sizeof text, "%s HTTP/1.1\r\nhost: a\r\n%s%s\r\n", first, fields, big_field());
    return text;
}
static unsigned lines(void) {
    unsigned n = 0;
    while (next_line()) n++;
    return n;
}
static void assert_one_line_of_it(void) {
    assert_ended("client_error");
    assert_not_logged("attempts");
    assert_not_logged("route");
    assert_not_logged("upstream");
    assert_int_equal(lines(), 0);
}

/* ---- HTTP/1 ------------------------------------------------------------------------------------------------------------------------ */
static void a_request_refused_behind_one_that_is_served_waits_for_its_answer(void **state) {
    (void)state;
    stage_small();
    struct sock *c = client();
    queues(c, GET());
    client_sends(c, request("GET /second", ""));
    struct sock *u = upstream();
    assert_silent(c);
    upstream_sends(u, ANSWER_OK);
    assert_answer(c, 200);
    assert_answer(c, 431);
    step(10 * SECONDS);
    assert_closed(c);
    assert_ended("completed");
    assert_one_line_of_it();
    assert_nobody_called();
}
static void requests_behind_a_refused_one_are_never_served(void **state) {
    (void)state;
    stage_small();
    struct sock *c = client();
    queues(c, request("GET /first", ""));
    client_sends(c, GET());
    assert_answer(c, 431);
    client_sends(c, GET());
    step(10 * SECONDS);
    assert_silent(c);
    assert_closed(c);
    assert_one_line_of_it();
    assert_nobody_called();
}
static void a_refused_head_request_is_answered_without_a_body(void **state) {
    (void)state;
    stage_small();
    struct sock *c = asks(request("HEAD /", ""));
    const char *text = got(c);
    assert_has(text, "HTTP/1.1 431 ");
    assert_string_equal(strstr(text, "\r\n\r\n"), "\r\n\r\n");
    step(10 * SECONDS);
    assert_closed(c);
    assert_one_line_of_it();
}
static void a_refused_connect_opens_no_tunnel(void **state) {
    (void)state;
    stage_small();
    static const char *const first[] = { "CONNECT b:443", "GET / HTTP/1.1\r\nconnection: upgrade\r\nupgrade: websocket\r\nx-was:" };
    for (size_t i = 0; i < 2; i++) {
        struct sock *c = asks(request(first[i], ""));
        assert_answer(c, 431);
        client_sends(c, "bytes of a tunnel");
        step(10 * SECONDS);
        assert_silent(c);
        assert_closed(c);
        assert_one_line_of_it();
        assert_nobody_called();
    }
}
/* RFC 9112 9.6: to close with bytes unread would reset the connection, and with it the answer that is on its way. */
static void the_body_of_a_refused_request_is_read_on_for_a_while(void **state) {
    (void)state;
    stage_small();
    struct sock *c = asks(request("POST /", "content-length: 1000000\r\nexpect: 100-continue\r\n"));
    assert_has_not(unseen(c), "100 Continue");
    assert_answer(c, 431);
    assert_true(c->half_closed && !c->closed);
    sends_n(c, 'x', 300000);
    assert_false(c->closed);
    client_finishes(c);
    assert_closed(c);
    assert_one_line_of_it();
}
static void a_head_that_is_refused_in_pieces_is_read_on_for_a_while(void **state) {
    (void)state;
    stage_small();
    struct sock *c = client();
    const char *text = request("POST /", "content-type: application/grpc-web\r\n");
    for (const char *p = text; *p && !c->half_closed; p++) sends(c, (char[]){ *p, 0 });
    assert_has(assert_answer(c, 200), "grpc-status: 8\r\n");
    assert_true(c->half_closed && !c->closed);
    sends_n(c, 'x', 300000);
    client_finishes(c);
    assert_closed(c);
    assert_one_line_of_it();
}
static void wherever_a_malformed_head_is_cut_it_is_answered_once(void **state) {
    (void)state;
    stage_small();
    static const char *const heads[] = {
        "POST /a.B/C HTTP/1.1\r\nhost: a\r\ncontent-type: application/connect+proto\r\nbad header\r\nx: y\r\n\r\n",
        "GET / HTTP/1.1\r\nhost: a\r\nx: y\r\n folded\r\n\r\n",
        "GET / HTTP/1.1\r\nhost: a\r\nx: y\nz: 1\r\n\r\n",
        "GET /\x01 HTTP/1.1\r\nhost: a\r\n\r\n",
        "GET / HTTP/1.1\r\nhost: a\r\nx: \x01\r\n\r\n",
        "GET / HTTP/1.1\r\nhost: a\r\nhost: b\r\n\r\n",
        "GET / HTTP/1.1\r\nhost: a\r\n: none\r\n\r\n",
        "GET / HTTP/9.1\r\nhost: a\r\n\r\n",
        "GET / HTTP/1.1 \r\nhost: a\r\n\r\n",
        "GET  / HTTP/1.1\r\nhost: a\r\n\r\n",
        "GET / HTTP/1.1\r\nhost: a\r\ncontent-length: 1\r\ntransfer-encoding: chunked\r\n\r\n",
    };
    for (size_t i = 0; i < sizeof heads / sizeof *heads; i++) {
        for (size_t cut = 1; cut < strlen(heads[i]); cut++) {
            struct sock *c = client();
            queue_bytes(c, heads[i], cut), settle();
            if (!c->closed && !c->half_closed) queue_bytes(c, heads[i] + cut, strlen(heads[i]) - cut), settle();
            assert_has(unseen(c), "HTTP/1.1 ");
            assert_null(strstr(unseen(c) + 1, "\nHTTP/1.1 "));
            step(10 * SECONDS);
            assert_true(c->closed);
            assert_ended("client_error");
            assert_int_equal(lines(), 0);
        }
    }
    assert_nobody_called();
}
static void a_request_is_refused_while_the_gateway_drains(void **state) {
    (void)state;
    stage((struct given){ .listener = "http1: { max_head: 1KiB }", .shutdown = "5s" });
    struct sock *c = client(), *d = client();
    client_sends(c, "GET /begun HTTP/1.1\r\n");
    queues(d, request("GET /behind", ""));
    worker_drain(&world.w);
    settle();
    assert_answer(d, 431);
    client_sends(c, request("GET /x", "") + strlen("GET /x HTTP/1.1\r\n"));
    assert_answer(c, 431);
    step(3 * SECONDS);
    assert_true(c->closed && d->closed);
    assert_ended("client_error"), assert_ended("client_error");
}
static void a_client_that_resets_behind_its_refused_request_leaves_one_line(void **state) {
    (void)state;
    stage_small();
    struct sock *c = client();
    queues(c, request("GET /", ""));
    queues_rst(c);
    settle();
    assert_ended("client_error");
    assert_int_equal(lines(), 0);
    c = client();
    queues(c, request("GET /", ""));
    queues_fin(c);
    settle();
    assert_answer(c, 431);
    assert_closed(c);
    assert_ended("client_error");
    assert_int_equal(lines(), 0);
}
static void a_client_that_takes_nothing_of_its_refusal_is_dropped(void **state) {
    (void)state;
    stage_small();
    struct sock *c = client();
    takes(c, 0);
    client_sends(c, request("GET /", ""));
    step(120 * SECONDS);
    assert_true(c->closed);
    assert_ended("client_error");
    assert_int_equal(lines(), 0);
}
static void a_broken_chunk_ends_a_request_that_waits_to_be_tried_again(void **state) {
    (void)state;
    stage((struct given){ .policy = "retry: { when: [ 503 ], backoff: { base: 10s, max: 10s } }" });
    struct sock *c = asks("PUT / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n1\r\nx\r\n");
    struct sock *u = upstream();
    upstream_sends(u, "HTTP/1.1 503 Busy\r\ncontent-length: 0\r\n\r\n");
    client_sends(c, "zzz\r\n");
    assert_answer(c, 400);
    assert_ended("client_error");
    step(30 * SECONDS);
    assert_nobody_called();
    assert_int_equal(lines(), 0);
}

/* ---- HTTP/2 --------------------------------------------------------------------------------------------------------------------------- */
static void whatever_of_a_head_is_too_long_the_stream_is_answered_and_the_connection_goes_on(void **state) {
    (void)state;
    stage_small();
    struct h2 *c = h2_client();
    char path[BIG + 2], method[BIG + 1], big[BIG + 64];
    snprintf(path, sizeof path, "/%0*d", BIG, 0);
    memset(method, 'M', BIG), method[BIG] = '\0';
    snprintf(big, sizeof big, "x-big: %0*d\n", BIG, 0);
    int32_t ids[] = { h2_get(c, path, ""), h2_asks(c, method, "/m", "", NO_BODY, false), h2_asks(c, "POST", "/body", big, 200000, false),
                      h2_asks(c, "POST", "/more", big, 50000, true) };
    h2_settle(c, NULL);
    for (size_t i = 0; i < sizeof ids / sizeof *ids; i++) {
        assert_h2_status(c, ids[i], "431");
        assert_true(h2_stream(c, ids[i])->ended);
        assert_ended("client_error");
        assert_not_logged("attempts");
    }
    step(20 * MS); /* the rest of an upload that nobody wants */
    h2_settle(c, NULL);
    assert_h2_not_reset(c, ids[2]); /* it came whole meanwhile */
    assert_h2_reset(c, ids[3], NGHTTP2_NO_ERROR);
    assert_int_equal(lines(), 0);
    int32_t head = h2_asks(c, "HEAD", "/head", big, NO_BODY, false), good = h2_get(c, "/good", "");
    h2_settle(c, NULL);
    assert_h2_status(c, head, "431");
    assert_true(h2_stream(c, head)->ended && h2_stream(c, head)->received == 0);
    assert_ended("client_error");
    struct sock *u = upstream();
    assert_has(got(u), "/good");
    upstream_sends(u, ANSWER_OK);
    h2_settle(c, NULL);
    assert_h2_status(c, good, "200");
    assert_nobody_called();
    assert_ended("completed");
    h2_free(c);
}

static void a_malformed_head_is_a_line_of_the_log_whoever_found_it(void **state) {
    (void)state;
    stage_small();
    struct h2 *c = h2_client();
    int32_t ids[] = { h2_get(c, "/ours", "host: other\n"), h2_get(c, "/library", "connection: close\n"),
                      h2_asks(c, "POST", "/body", "content-type: application/grpc\nte: gzip\n", 5000, true) };
    static const struct { const char *path, *status; } lines_of[] = { { "\"/ours\"", "400" }, { "\"/library\"", NULL }, { "\"/body\"", NULL } };
    h2_settle(c, NULL);
    for (size_t i = 0; i < sizeof ids / sizeof *ids; i++) {
        assert_h2_reset(c, ids[i], NGHTTP2_PROTOCOL_ERROR);
        assert_ended("client_error");
        assert_logged("path", lines_of[i].path);
        if (lines_of[i].status) assert_logged("status", lines_of[i].status);
        else assert_not_logged("status"); /* RST_STREAM was all it was told */
        assert_logged("wire", "1");
        assert_not_logged("attempts");
    }
    assert_logged("rpc", "\"grpc\"");
    assert_int_equal(lines(), 0);
    assert_int_equal(ended(ENDING_CLIENT_ERROR), 3);
    int32_t good = h2_get(c, "/good", "");
    h2_settle(c, NULL);
    upstream_sends(upstream(), ANSWER_OK);
    h2_settle(c, NULL);
    assert_h2_status(c, good, "200");
    assert_ended("completed");
    h2_free(c);
}
/* More of them than a client may: it is sent away, which is another fault than the last of them. */
static void a_client_that_is_sent_away_for_malformed_heads_is_logged_for_that_too(void **state) {
    (void)state;
    stage((struct given){ .address = "127.0.0.1:8080", .listener = "http2: { resets: { burst: 2, rate: 1/s } }" });
    struct h2 *c = h2_client();
    static const char *const wires[] = { "1", "1", "11", "1" }; /* the connection's is its own line, before the last request's */
    for (int i = 0; i < 3; i++) {
        h2_get(c, "/bad", "connection: close\n");
        h2_settle(c, NULL);
    }
    assert_true(c->goaway);
    for (int i = 0; i < 4; i++) {
        assert_ended("client_error");
        assert_logged("wire", wires[i]);
        assert_not_logged("status");
    }
    assert_int_equal(lines(), 0);
    h2_free(c);
}

/* CONTINUATION is owed, so nothing can be said on the stream. */
static void a_head_of_http2_that_does_not_end_is_logged_without_a_status(void **state) {
    (void)state;
    stage((struct given){ .listener = "timeouts: { header: 10s }" });
    struct h2 *c = h2_client();
    h2_settle(c, NULL);
    queue_bytes(c->s, "\0\0\1\1\1\0\0\0\1\x82", 10);
    settle();
    step(10 * SECONDS);
    h2_read(c);
    assert_true(c->goaway);
    assert_ended("client_timeout");
    assert_not_logged("status");
    assert_logged("detail", "\"the request's head did not arrive in time\"");
    h2_free(c);
}

/* The log says what the client was told. */
static void a_broken_chunk_behind_an_answer_that_is_not_out_is_logged_as_it_is_answered(void **state) {
    (void)state;
    stage((struct given){ .routes = "  - { match: { path: /* }, respond: { status: 200, body: hello } }" });
    struct sock *c = asks("POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\nzzz\r\n");
    assert_answer(c, 400);
    step(10 * SECONDS);
    assert_closed(c);
    assert_ended("client_error");
    assert_logged("status", "400");
    char length[24];
    const char *body = strstr(c->got, "\r\n\r\n") + 4;
    snprintf(length, sizeof length, "%zu", strlen(body));
    assert_logged("response_bytes", length);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        SCENE(a_request_refused_behind_one_that_is_served_waits_for_its_answer),
        SCENE(requests_behind_a_refused_one_are_never_served),
        SCENE(a_refused_head_request_is_answered_without_a_body),
        SCENE(a_refused_connect_opens_no_tunnel),
        SCENE(the_body_of_a_refused_request_is_read_on_for_a_while),
        SCENE(a_head_that_is_refused_in_pieces_is_read_on_for_a_while),
        SCENE(wherever_a_malformed_head_is_cut_it_is_answered_once),
        SCENE(a_request_is_refused_while_the_gateway_drains),
        SCENE(a_client_that_resets_behind_its_refused_request_leaves_one_line),
        SCENE(a_client_that_takes_nothing_of_its_refusal_is_dropped),
        SCENE(a_broken_chunk_ends_a_request_that_waits_to_be_tried_again),
        SCENE(a_broken_chunk_behind_an_answer_that_is_not_out_is_logged_as_it_is_answered),
        SCENE(a_malformed_head_is_a_line_of_the_log_whoever_found_it),
        SCENE(a_head_of_http2_that_does_not_end_is_logged_without_a_status),
        SCENE(a_client_that_is_sent_away_for_malformed_heads_is_logged_for_that_too),
        SCENE(whatever_of_a_head_is_too_long_the_stream_is_answered_and_the_connection_goes_on),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
