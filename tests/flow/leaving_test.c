// SPDX-License-Identifier: Apache-2.0
// How a client's leaving is seen, in every phase of a request and behind whatever it sent before (semantics 6, traps T1 to T6, T24); and the same
// of an upstream whose last words came before its end.
#include "tests/flow/stage.h"


/* ---- FIN ---------------------------------------------------------------------------------------------------------------------------- */
/* T1 */
static void a_fin_of_http_1_0_is_tolerated(void **state) {
    (void)state;
    stage((struct given){ 0 });
    struct sock *c, *u = asked(&c, "GET / HTTP/1.0\r\nhost: a\r\nuser-agent: t\r\n\r\n");
    client_finishes(c);
    assert_open(u);
    step(5 * SECONDS);
    answered(c, u);
    assert_closed(c);
}
static void a_fin_without_a_user_agent_is_tolerated(void **state) {
    (void)state;
    stage((struct given){ 0 });
    struct sock *c = client();
    queues(c, "GET / HTTP/1.1\r\nhost: a\r\n\r\n"); /* printf … | nc -N: all in one edge */
    queues_fin(c);
    settle();
    struct sock *u = upstream();
    answered(c, u);
    assert_closed(c);
}
static void half_close_says_what_a_fin_means(void **state) {
    (void)state;
    stage((struct given){ .policy = "cancel: { half_close: tolerate }" });
    struct sock *c, *u = asked(&c, GET());
    client_finishes(c);
    answered(c, u);
    leave(NULL);
    stage((struct given){ .policy = "cancel: { half_close: abort }" });
    u = asked(&c, "GET / HTTP/1.0\r\n\r\n");
    client_finishes(c);
    assert_reset(u);
    assert_closed_in_the_turn(u);
    assert_ended_at("client_closed", "close");
}
static void a_reset_counts_where_a_fin_is_tolerated(void **state) {
    (void)state;
    stage((struct given){ .policy = "cancel: { half_close: tolerate }" });
    struct sock *c, *u = asked(&c, GET());
    client_finishes(c);
    assert_open(u);
    client_resets(c);
    assert_reset(u);
    assert_closed_in_the_turn(u);
    assert_ended_at("client_reset", "close");
}
/* T2 */
static void a_fin_behind_one_byte_too_many_is_seen(void **state) {
    (void)state;
    stage((struct given){ 0 });
    struct sock *c, *u = asked(&c, GET());
    client_sends(c, "G");
    assert_open(u);
    client_finishes(c);
    assert_reset(u);
    assert_closed_in_the_turn(u);
    assert_ended_at("client_closed", "close");
}
static void a_fin_behind_pipelined_requests_is_seen_and_they_are_not_asked(void **state) {
    (void)state;
    stage((struct given){ 0 });
    struct sock *c = client();
    queues(c, GET_PATH("/1", ""));
    queues(c, GET_PATH("/2", ""));
    queues(c, GET_PATH("/3", ""));
    queues_fin(c);
    settle();
    assert_ended_at("client_closed", "withdrawn");
    struct sock *u = upstream_or_none();
    if (u) assert_silent(u);
    assert_nobody_called();
}
static void a_reset_behind_more_pipelined_bytes_than_are_read_is_seen(void **state) {
    (void)state;
    stage((struct given){ 0 });
    struct sock *c, *u = asked(&c, GET());
    sends_n(c, 'G', 2 * CONN_KEPT_MAX); /* we stop reading somewhere in there */
    assert_open(u);
    assert_true(buffer_size(&c->in) > 0);
    client_resets(c);
    assert_reset(u);
    assert_closed_in_the_turn(u);
    assert_ended_at("client_reset", "close");
}
static void a_leaving_in_the_same_edge_as_more_bytes_than_are_read_is_seen(void **state) {
    (void)state;
    for (int reset = 0; reset < 2; reset++) {
        stage((struct given){ 0 });
        struct sock *c, *u = asked(&c, GET());
        char *bytes = mem_alloc(2 * CONN_KEPT_MAX);
        memset(bytes, 'G', 2 * CONN_KEPT_MAX);
        queue_bytes(c, bytes, 2 * CONN_KEPT_MAX);
        if (reset) queues_rst(c);
        else queues_fin(c);
        settle();
        free(bytes);
        assert_reset(u);
        assert_closed_in_the_turn(u);
        assert_ended_at(reset ? "client_reset" : "client_closed", "close");
        leave(NULL);
    }
}
static void a_fin_behind_more_pipelined_bytes_than_are_read_is_seen(void **state) {
    (void)state;
    stage((struct given){ 0 });
    struct sock *c, *u = asked(&c, GET());
    sends_n(c, 'G', 2 * CONN_KEPT_MAX);
    client_finishes(c);
    assert_reset(u);
    assert_closed_in_the_turn(u);
    assert_ended_at("client_closed", "close");
}
static void a_fin_between_requests_closes_in_good_order(void **state) {
    (void)state;
    stage((struct given){ 0 });
    struct sock *c, *u = asked(&c, GET());
    upstream_sends(u, ANSWER_OK);
    client_finishes(c);
    assert_closed(c);
    assert_open(u);
    assert_answer(c, 200);
    assert_ended("completed");
}
static void a_fin_in_the_middle_of_a_head_asks_nobody(void **state) {
    (void)state;
    stage((struct given){ 0 });
    struct sock *c = asks("GET / HTTP/1.1\r\nho");
    client_finishes(c);
    assert_true(c->closed);
    assert_nobody_called();
    next_line();
}
static void a_fin_in_the_middle_of_a_body_cancels(void **state) {
    (void)state;
    stage((struct given){ .policy = "cancel: { half_close: tolerate }" }); /* it is no half-close: the request is cut short */
    struct sock *c, *u = asked(&c, POST("content-length: 10\r\n") "123");
    client_finishes(c);
    assert_reset(u);
    assert_closed_in_the_turn(u);
    assert_ended_at("client_closed", "close");
}
/* T3 */
static void a_fin_behind_a_body_that_is_not_read_yet_is_no_leaving(void **state) {
    (void)state;
    stage((struct given){ 0 });
    world.connects[0] = SLOWLY;
    struct sock *c = asks("POST / HTTP/1.0\r\ncontent-length: 900000\r\n\r\n");
    struct sock *u = upstream();
    u->room = 1000;
    accepts(u);
    sends_n(c, 'x', 900000);
    assert_true(buffer_size(&c->in) > 0); /* flow control: most of it is still in the socket */
    client_finishes(c);
    assert_open(u);
    takes(u, UNBOUNDED);
    const char *body = strstr(got(u), "\r\n\r\n");
    assert_int_equal(strspn(body + 4, "x"), 900000);
    answered(c, u);
}
static void a_reset_behind_a_body_that_is_not_read_cancels_at_once(void **state) {
    (void)state;
    stage((struct given){ 0 });
    world.connects[0] = SLOWLY;
    struct sock *c = asks(POST("content-length: 900000\r\n"));
    struct sock *u = upstream();
    u->room = 1000;
    accepts(u);
    sends_n(c, 'x', 800000);
    client_resets(c);
    assert_reset(u);
    assert_closed_in_the_turn(u);
    assert_ended_at("client_reset", "close");
}
static void a_leaving_is_seen_while_the_client_takes_no_byte_of_its_answer(void **state) {
    (void)state;
    for (int reset = 0; reset < 2; reset++) {
        stage((struct given){ 0 });
        struct sock *c, *u = asked(&c, GET());
        takes(c, 0);
        upstream_sends(u, ANSWER("content-length: 1000000\r\n"));
        sends_n(u, 'x', 900000);
        assert_true(buffer_size(&u->in) > 0);
        if (reset) client_resets(c);
        else client_finishes(c);
        assert_true(u->closed);
        assert_closed_in_the_turn(u);
        assert_ended_at(reset ? "client_reset" : "client_closed", "close");
        leave(NULL);
    }
}
static void a_leaving_is_seen_while_the_answer_stalls(void **state) {
    (void)state;
    for (int reset = 0; reset < 2; reset++) {
        stage((struct given){ 0 });
        struct sock *c, *u = asked(&c, GET());
        upstream_sends(u, ANSWER("transfer-encoding: chunked\r\n") "3\r\nabc\r\n");
        step(10 * SECONDS);
        if (reset) client_resets(c);
        else client_finishes(c);
        assert_reset(u);
        assert_closed_in_the_turn(u);
        assert_ended_at(reset ? "client_reset" : "client_closed", "close");
        leave(NULL);
    }
}
static void a_body_and_its_reset_in_one_edge_cancel(void **state) {
    (void)state;
    stage((struct given){ 0 });
    struct sock *c, *u = asked(&c, POST("content-length: 10\r\n"));
    queues(c, "1234567890");
    queues_rst(c);
    settle();
    assert_reset(u);
    assert_closed_in_the_turn(u);
    assert_ended("client_reset");
}
static void a_client_that_leaves_after_the_whole_answer_cancels_nothing(void **state) {
    (void)state;
    stage((struct given){ 0 });
    struct sock *c, *u = asked(&c, GET());
    upstream_sends(u, ANSWER_OK);
    client_resets(c);
    assert_open(u);
    assert_ended("completed");
}
static void writing_to_a_client_that_reset_is_a_reset(void **state) {
    (void)state;
    stage((struct given){ 0 });
    struct sock *c, *u = asked(&c, GET());
    c->reset_by_us = true; /* no edge was told yet: the write is what finds out */
    c->error = ECONNRESET;
    upstream_sends(u, ANSWER("content-length: 100\r\n") "half");
    assert_reset(u);
    assert_ended_at("client_reset", "close");
}

/* ---- an early answer (T24) ------------------------------------------------------------------------------------------------------------ */
static void an_early_refusal_stops_the_upload_and_survives_in_the_clients_buffer(void **state) {
    (void)state;
    stage((struct given){ .listener = "timeouts: { linger: 2s }" });
    struct sock *c, *u = asked(&c, POST("content-length: 1000000\r\n") "first");
    upstream_sends(u, "HTTP/1.1 413 Content Too Large\r\ncontent-length: 3\r\n\r\nbig");
    assert_has(assert_answer(c, 413), "big");
    assert_true(u->closed);
    assert_true(c->half_closed && !c->closed); /* it lingers: closing now would send RST over the answer */
    sends_n(c, 'x', 100000);
    assert_false(c->closed);
    client_finishes(c);
    assert_closed(c);
    assert_ended("completed");
    assert_logged("status", "413");
}
/* Semantics 4: discarded within linger, not for as long as an upload may pause. */
static void the_rest_of_a_short_upload_is_waited_for_as_long_as_lingering_lasts(void **state) {
    (void)state;
    stage((struct given){ .listener = "timeouts: { linger: 2s, body: 30s }" });
    struct sock *c, *u = asked(&c, POST("content-length: 1000\r\n") "first");
    upstream_sends(u, "HTTP/1.1 413 Content Too Large\r\ncontent-length: 3\r\n\r\nbig");
    assert_answer(c, 413);
    at(1999 * MS);
    assert_false(is_over(c)); /* the rest would leave the connection as good as new */
    at(2000 * MS);
    assert_true(is_over(c));
    assert_ended("completed");
}
static void lingering_ends_at_its_time(void **state) {
    (void)state;
    stage((struct given){ .listener = "timeouts: { linger: 2s }" });
    struct sock *c, *u = asked(&c, POST("content-length: 1000000\r\n") "first");
    upstream_sends(u, "HTTP/1.1 413 Content Too Large\r\ncontent-length: 3\r\n\r\nbig");
    assert_answer(c, 413);
    at(1999 * MS);
    assert_false(c->closed);
    at(2000 * MS);
    assert_true(c->closed);
    assert_ended("completed");
}
static void lingering_ends_at_its_bytes(void **state) {
    (void)state;
    stage((struct given){ 0 });
    struct sock *c, *u = asked(&c, POST("content-length: 9000000\r\n") "first");
    upstream_sends(u, "HTTP/1.1 413 Content Too Large\r\ncontent-length: 3\r\n\r\nbig");
    assert_answer(c, 413);
    sends_n(c, 'x', LINGER_BYTES + 1000);
    assert_true(c->closed);
    assert_ended("completed");
}
/* ---- where the kernel encrypts ------------------------------------------------------------------------------------------------------------ */
/* It may hold back a record that it took: the end waits until TCP has sent everything, and one look longer. */
static struct sock *answered_by_the_kernel(size_t unsent) {
    stage((struct given){ .listener = "timeouts: { linger: 2s, write: 1s }" });
    struct sock *c = client();
    c->conn->settles = true;
    c->unsent = unsent;
    sends(c, GET("connection: close\r\n"));
    upstream_sends(upstream(), "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok");
    assert_has(assert_answer(c, 200), "ok");
    assert_ended("completed"); /* the exchange does not wait */
    return c;
}
static void what_the_kernel_holds_back_is_waited_for_before_fin(void **state) {
    (void)state;
    struct sock *c = answered_by_the_kernel(50000);
    at(20 * MS);
    assert_false(is_over(c));
    c->unsent = 0;
    at(40 * MS);
    assert_false(is_over(c)); /* it may just have become room for the rest */
    at(59 * MS);
    assert_false(is_over(c));
    at(60 * MS);
    assert_true(c->closed && !c->reset);
}
static void a_client_that_has_everything_is_closed_after_one_look(void **state) {
    (void)state;
    struct sock *c = answered_by_the_kernel(0);
    assert_false(is_over(c));
    at(20 * MS);
    assert_true(c->closed && !c->reset);
}
static void one_who_reads_on_slowly_is_waited_for(void **state) {
    (void)state;
    struct sock *c = answered_by_the_kernel(50000);
    for (unsigned i = 1; i < 50; i++) {
        c->unsent = 50000 - 1000 * i;
        at(i * 900 * MS);
        assert_false(is_over(c));
    }
    c->unsent = 0;
    at(50 * 900 * MS + 300 * MS);
    assert_true(c->closed && !c->reset);
}
static void one_who_reads_no_more_is_reset_at_the_time_of_a_write(void **state) {
    (void)state;
    struct sock *c = answered_by_the_kernel(50000);
    at(999 * MS);
    assert_false(is_over(c));
    at(1020 * MS);
    assert_true(c->closed && c->reset);
}
/* A thousand of them would keep a worker busy. */
static void one_who_reads_no_more_is_looked_at_seldom(void **state) {
    (void)state;
    struct sock *c = answered_by_the_kernel(50000);
    unsigned looks = c->looks;
    at(999 * MS);
    assert_false(is_over(c));
    assert_in_range(c->looks - looks, 5, 20);
}
static void one_who_leaves_meanwhile_is_let_go(void **state) {
    (void)state;
    struct sock *c = answered_by_the_kernel(50000);
    c->reset_by_us = true;
    c->error = ECONNRESET;
    c->edge = true;
    at(1 * MS);
    assert_true(c->closed);
}
/* Closing with input that was not read would be an RST. */
static void lingering_follows_settling(void **state) {
    (void)state;
    stage((struct given){ .listener = "timeouts: { linger: 2s }" });
    struct sock *c, *u = asked(&c, POST("content-length: 1000000\r\n") "first");
    c->conn->settles = true;
    upstream_sends(u, "HTTP/1.1 413 Content Too Large\r\ncontent-length: 3\r\n\r\nbig");
    assert_answer(c, 413);
    sends_n(c, 'x', 1000);
    assert_false(c->half_closed);
    at(20 * MS);
    assert_true(c->half_closed && !c->closed);
    client_finishes(c);
    assert_closed(c);
    assert_ended("completed");
}

static void expect_100_is_passed_on_and_its_answer_comes_back(void **state) {
    (void)state;
    stage((struct given){ 0 });
    struct sock *c = asks(POST("content-length: 3\r\nexpect: 100-continue\r\n"));
    struct sock *u = upstream();
    assert_has(got(u), "100-continue");
    upstream_sends(u, "HTTP/1.1 100 Continue\r\n\r\n");
    assert_answer(c, 100);
    client_sends(c, "abc");
    upstream_got(u, "abc");
    answered(c, u);
}

/* The input that is being fed was freed by the close of its connection, which settling another's body had written. */
static void a_pipelined_upload_that_is_refused_while_another_body_is_settled(void **state) {
    (void)state;
    stage((struct given){ 0 });
    struct sock *c, *d, *u = asked(&c, GET()), *v = asked(&d, GET());
    client_sends(c, POST("x-request-timeout: 1ms\r\ncontent-length: 100000\r\n") "the first of it"); /* kept until its turn comes */
    char body[20000];
    memset(body, 'x', sizeof body);
    queues(u, ANSWER_OK);
    queues(v, ANSWER("content-length: 20000\r\n"));
    queue_bytes(v, body, sizeof body);
    settle();
    assert_answer(c, 200);
    assert_answer(c, 504);
    assert_answer(d, 200);
    client_finishes(c);
    assert_true(c->closed);
    assert_ended("completed");
    assert_ended("shed_expired");
    assert_ended("completed");
}

/* Its next request was wanted from within the feeding of the last: the turn never ended. */
static void pipelined_requests_that_are_answered_here_while_another_body_is_settled(void **state) {
    (void)state;
    stage((struct given){ 0 });
    struct sock *c, *d, *u = asked(&c, GET()), *v = asked(&d, GET());
    client_sends(c, GET("x-request-timeout: 1ms\r\n"));
    client_sends(c, GET("x-request-timeout: 2ms\r\n"));
    char body[20000];
    memset(body, 'x', sizeof body);
    queues(u, ANSWER_OK);
    queues(v, ANSWER("content-length: 20000\r\n"));
    queue_bytes(v, body, sizeof body);
    settle();
    assert_answer(c, 200);
    assert_answer(c, 504);
    assert_answer(c, 504);
    assert_answer(d, 200);
    while (next_line()) { }
    assert_int_equal(ended(ENDING_COMPLETED), 2);
    assert_int_equal(ended(ENDING_SHED_EXPIRED), 2);
}
/* The codec wanted the bytes before the FIN, of which there were none: the turn never ended. */
static void a_fin_behind_a_body_that_waits_and_an_answer_of_our_own_do_not_turn_for_ever(void **state) {
    (void)state;
    stage((struct given){ 0 });
    world.connects[0] = SLOWLY;
    struct sock *c = asks("POST / HTTP/1.1\r\nhost: a\r\nx-request-timeout: 100ms\r\ncontent-length: 200000\r\n\r\n");
    struct sock *u = upstream();
    u->room = 0;
    accepts(u);
    sends_n(c, 'x', 200000); /* all of it is with us, and nothing more is read */
    client_finishes(c);      /* tolerated: no User-Agent */
    at(100 * MS);
    assert_answer(c, 504);
    assert_closed(c);
    assert_ended("deadline");
}

/* ---- an upstream's last words ------------------------------------------------------------------------------------------------------------- */
static void a_whole_answer_and_a_reset_in_one_edge_are_a_whole_answer(void **state) {
    (void)state;
    stage((struct given){ 0 });
    struct sock *c, *u = asked(&c, GET());
    queues(u, ANSWER_OK);
    queues_rst(u);
    settle();
    assert_has(assert_answer(c, 200), "ok");
    assert_true(u->closed);
    assert_ended("completed");
}
static void an_answer_ahead_of_the_reset_that_a_write_finds_counts(void **state) {
    (void)state;
    stage((struct given){ 0 });
    struct sock *c, *u = asked(&c, POST("content-length: 100000\r\n") "first");
    u->reset_by_us = true; /* it refused, closed with our bytes unread, and its RST is here: no edge was told yet */
    u->error = ECONNRESET;
    buffer_append(&u->in, "HTTP/1.1 413 No\r\ncontent-length: 2\r\n\r\nno", 41);
    sends_n(c, 'x', 50000);
    assert_has(assert_answer(c, 413), "no");
    client_finishes(c);
    assert_ended("completed");
}
static void what_a_paused_upstream_said_before_its_fin_is_delivered_whole(void **state) {
    (void)state;
    stage((struct given){ 0 });
    struct sock *c, *u = asked(&c, GET());
    takes(c, 0);
    upstream_sends(u, ANSWER("content-length: 900000\r\nconnection: close\r\n"));
    sends_n(u, 'x', 900000);
    assert_true(buffer_size(&u->in) > 0);
    upstream_finishes(u);
    assert_nothing_ended();
    takes(c, UNBOUNDED);
    const char *text = assert_answer(c, 200);
    assert_int_equal(strspn(strstr(text, "\r\n\r\n") + 4, "x"), 900000);
    assert_ended("completed");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        SCENE(a_fin_of_http_1_0_is_tolerated),
        SCENE(a_fin_without_a_user_agent_is_tolerated),
        SCENE(half_close_says_what_a_fin_means),
        SCENE(a_reset_counts_where_a_fin_is_tolerated),
        SCENE(a_fin_behind_one_byte_too_many_is_seen),
        SCENE(a_fin_behind_pipelined_requests_is_seen_and_they_are_not_asked),
        SCENE(a_reset_behind_more_pipelined_bytes_than_are_read_is_seen),
        SCENE(a_leaving_in_the_same_edge_as_more_bytes_than_are_read_is_seen),
        SCENE(a_fin_behind_more_pipelined_bytes_than_are_read_is_seen),
        SCENE(a_fin_between_requests_closes_in_good_order),
        SCENE(a_fin_in_the_middle_of_a_head_asks_nobody),
        SCENE(a_fin_in_the_middle_of_a_body_cancels),
        SCENE(a_fin_behind_a_body_that_is_not_read_yet_is_no_leaving),
        SCENE(a_reset_behind_a_body_that_is_not_read_cancels_at_once),
        SCENE(a_leaving_is_seen_while_the_client_takes_no_byte_of_its_answer),
        SCENE(a_leaving_is_seen_while_the_answer_stalls),
        SCENE(a_body_and_its_reset_in_one_edge_cancel),
        SCENE(a_client_that_leaves_after_the_whole_answer_cancels_nothing),
        SCENE(writing_to_a_client_that_reset_is_a_reset),
        SCENE(an_early_refusal_stops_the_upload_and_survives_in_the_clients_buffer),
        SCENE(the_rest_of_a_short_upload_is_waited_for_as_long_as_lingering_lasts),
        SCENE(lingering_ends_at_its_time),
        SCENE(lingering_ends_at_its_bytes),
        SCENE(what_the_kernel_holds_back_is_waited_for_before_fin),
        SCENE(a_client_that_has_everything_is_closed_after_one_look),
        SCENE(one_who_reads_on_slowly_is_waited_for),
        SCENE(one_who_reads_no_more_is_reset_at_the_time_of_a_write),
        SCENE(one_who_reads_no_more_is_looked_at_seldom),
        SCENE(one_who_leaves_meanwhile_is_let_go),
        SCENE(lingering_follows_settling),
        SCENE(expect_100_is_passed_on_and_its_answer_comes_back),
        SCENE(a_pipelined_upload_that_is_refused_while_another_body_is_settled),
        SCENE(a_fin_behind_a_body_that_waits_and_an_answer_of_our_own_do_not_turn_for_ever),
        SCENE(pipelined_requests_that_are_answered_here_while_another_body_is_settled),
        SCENE(a_whole_answer_and_a_reset_in_one_edge_are_a_whole_answer),
        SCENE(an_answer_ahead_of_the_reset_that_a_write_finds_counts),
        SCENE(what_a_paused_upstream_said_before_its_fin_is_delivered_whole),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
