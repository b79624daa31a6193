// SPDX-License-Identifier: Apache-2.0
// HTTP/1.1 towards an upstream: what is sent, when a connection may serve again, how a cancel is told. Traps T21, T24, T25.
#define _GNU_SOURCE
#include "tests/contract/rig.h"
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

static struct rig *upstream(void) { return rig_new(codec_by_name(STR("http1")), CODEC_UP, NULL); }

static bool contains(struct str s, const char *what) { return memmem(s.p, s.n, what, strlen(what)) != NULL; }
static void assert_sent(const struct rig *r, const char *want) {
    if (!str_eq(rig_sent(r), str_of(want))) fail_msg("sent:\n%.*s\nnot:\n%s", STR_ARG(rig_sent(r)), want);
}

/* Asks, and forgets what was sent for it. */
static struct rig_leg *ask(struct rig *r, const char *method, const char *body) {
    struct rig_leg *x = rig_request(r, method, str_of(body ? body : ""));
    assert_non_null(x);
    rig_settle(r);
    return x;
}
/* An upload of which more is to come. */
static struct rig_leg *upload(struct rig *r, enum body_kind kind, uint64_t length, const char *first) {
    struct rig_leg *x = rig_begin(r);
    assert_non_null(x);
    struct head *h = rig_request_head(r, x, "POST", str_of(first));
    h->body = kind;
    h->length = length;
    x->reply_open = true;
    r->codec->send_head(&x->leg, h);
    rig_settle(r);
    return x;
}
static void more(struct rig *r, struct rig_leg *x, const char *text, bool open) {
    x->reply = str_of(text);
    x->replied = 0;
    x->reply_open = open;
    r->codec->ready(&x->leg);
    rig_settle(r);
}
static struct rig_leg *ask_tunnel(struct rig *r, const char *protocol) {
    struct rig_leg *x = rig_begin(r);
    assert_non_null(x);
    struct head *h = rig_request_head(r, x, *protocol ? "GET" : "CONNECT", STR("early"));
    h->body = BODY_TUNNEL;
    h->protocol = str_of(protocol);
    if (!*protocol) h->target = STR("");
    x->reply_open = true;
    r->codec->send_head(&x->leg, h);
    rig_settle(r);
    return x;
}

#define ASKED "GET /path?query=1 HTTP/1.1\r\nhost: example.com\r\naccept: */*\r\n\r\n"
#define EMPTY "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"

/* ---- requests ------------------------------------------------------------------------------------------------------------------------- */
static void requests_carry_host_first_and_their_framing(void **state) {
    (void)state;
    static const struct { const char *method, *body, *sent; bool stream; } rows[] = {
        { "GET", NULL, ASKED, false },
        { "POST", NULL, "POST /path?query=1 HTTP/1.1\r\nhost: example.com\r\naccept: */*\r\ncontent-length: 0\r\n\r\n", false },
        { "PUT", "hello", "PUT /path?query=1 HTTP/1.1\r\nhost: example.com\r\naccept: */*\r\ncontent-length: 5\r\n\r\nhello", false },
        { "PUT", "hello", "PUT /path?query=1 HTTP/1.1\r\nhost: example.com\r\naccept: */*\r\ntransfer-encoding: chunked\r\n\r\n"
                          "5\r\nhello\r\n0\r\nx-checksum: 42\r\n\r\n", true },
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct rig *r = upstream();
        r->stream = rows[i].stream;
        const struct rig_leg *x = ask(r, rows[i].method, rows[i].body);
        assert_sent(r, rows[i].sent);
        assert_int_equal(x->leg.out, LEG_END);
        rig_free(r);
    }
}

static void te_and_upgrade_are_listed_in_connection(void **state) {
    (void)state;
    struct rig *r = upstream();
    struct rig_leg *x = rig_begin(r);
    struct head *h = rig_request_head(r, x, "GET", STR(""));
    h->te_trailers = true;
    r->codec->send_head(&x->leg, h);
    rig_settle(r);
    assert_sent(r, "GET /path?query=1 HTTP/1.1\r\nhost: example.com\r\naccept: */*\r\nte: trailers\r\nconnection: te\r\n\r\n");
    rig_free(r);
    r = upstream();
    ask_tunnel(r, "websocket");
    assert_sent(r, "GET /path?query=1 HTTP/1.1\r\nhost: example.com\r\naccept: */*\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n");
    rig_free(r);
    r = upstream();
    ask_tunnel(r, "");
    assert_sent(r, "CONNECT example.com HTTP/1.1\r\nhost: example.com\r\naccept: */*\r\n\r\n");
    rig_free(r);
}

/* T25: heads that HTTP/2 brought. */
static void what_http_1_1_cannot_carry_is_not_sent(void **state) {
    (void)state;
    static const struct { struct str target, authority, name, value; } rows[] = {
        { STR_INIT("/a HTTP/1.1\r\nx: y"), STR_INIT("a"), STR_INIT("a"), STR_INIT("b") },
        { STR_INIT("/a b"), STR_INIT("a"), STR_INIT("a"), STR_INIT("b") },
        { STR_INIT(""), STR_INIT("a"), STR_INIT("a"), STR_INIT("b") },
        { STR_INIT("/"), STR_INIT("a\r\nx: y"), STR_INIT("a"), STR_INIT("b") },
        { STR_INIT("/"), STR_INIT("u@a"), STR_INIT("a"), STR_INIT("b") },
        { STR_INIT("/"), STR_INIT("a"), STR_INIT("a: b\r\nc"), STR_INIT("b") },
        { STR_INIT("/"), STR_INIT("a"), STR_INIT("a"), STR_INIT("b\nc: d") },
        { STR_INIT("/"), STR_INIT("a"), STR_INIT("a"), STR_INIT("b\0c") },
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct rig *r = upstream();
        struct rig_leg *x = rig_begin(r);
        struct head *h = rig_request_head(r, x, "GET", STR(""));
        h->target = rows[i].target;
        h->authority = rows[i].authority;
        head_add(h, rows[i].name, rows[i].value);
        r->codec->send_head(&x->leg, h);
        rig_settle(r);
        assert_sent(r, "");
        assert_true(x->faulted && x->fault.why == ENDING_CLIENT_ERROR && x->fault.unprocessed && !rig_is_closing(r));
        assert_non_null(ask(r, "GET", NULL)); /* the connection is as good as before */
        rig_free(r);
    }
}

static void a_request_shorter_than_its_length_is_cut(void **state) {
    (void)state;
    struct rig *r = upstream();
    struct rig_leg *x = upload(r, BODY_LENGTH, 10, "half");
    more(r, x, "", false);
    assert_true(x->faulted && x->fault.why == ENDING_CLIENT_ERROR && r->s.next == NEXT_RESET && !r->s.reusable);
    rig_free(r);
}

static void a_cut_upload_never_gets_its_last_chunk(void **state) {
    (void)state;
    struct rig *r = upstream();
    struct rig_leg *x = upload(r, BODY_STREAM, 0, "half");
    assert_int_equal(rig_cancel(r, x, ENDING_CLIENT_RESET, CANCEL_CLOSE), CANCEL_CLOSE);
    rig_settle(r);
    assert_false(contains(rig_sent(r), "0\r\n\r\n"));
    assert_true(r->s.next == NEXT_RESET && x->fault.why == ENDING_CLIENT_RESET);
    rig_free(r);
}

/* ---- reuse -------------------------------------------------------------------------------------------------------------------------------- */
static void a_connection_serves_again_after_a_whole_exchange(void **state) {
    (void)state;
    struct rig *r = upstream();
    assert_true(r->s.reusable && r->s.slots == 1);
    for (unsigned i = 0; i < 3; i++) {
        const struct rig_leg *x = ask(r, "GET", NULL);
        assert_false(r->s.reusable);
        rig_feed_text(r, EMPTY);
        assert_true(x->closed && !x->faulted && r->s.reusable);
    }
    rig_free(r);
}

static void a_connection_does_not_serve_again_where_the_answer_says_so(void **state) {
    (void)state;
    static const char *const rows[] = {
        "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n",
        EMPTY "x",       /* RFC 9112 9.3: who answers more than was asked could answer the next request */
        EMPTY EMPTY,
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct rig *r = upstream();
        const struct rig_leg *x = ask(r, "GET", NULL);
        rig_feed_text(r, rows[i]);
        assert_true(x->closed && !x->faulted && !r->s.reusable && r->s.slots == 0 && r->s.next == NEXT_CLOSE);
        rig_free(r);
    }
}

/* T21: the next caller would get it. */
static void bytes_on_an_idle_connection_are_a_fault(void **state) {
    (void)state;
    struct rig *r = upstream();
    ask(r, "GET", NULL);
    rig_feed_text(r, EMPTY);
    rig_feed_text(r, EMPTY);
    assert_true(r->faults == 1 && r->fault.why == ENDING_UPSTREAM_ERROR && !r->s.reusable);
    rig_free(r);
}

static void an_answer_before_its_request_is_none(void **state) {
    (void)state;
    struct rig *r = upstream();
    struct rig_leg *x = rig_request(r, "GET", STR(""));
    rig_feed_text(r, EMPTY); /* came before the turn's write */
    assert_true(x->faulted && x->fault.unprocessed && !x->head && r->faults == 1);
    rig_free(r);
}

static void a_fin_on_an_idle_connection_is_no_fault(void **state) {
    (void)state;
    struct rig *r = upstream();
    rig_eof(r);
    assert_true(!r->faults && r->s.next == NEXT_CLOSE && r->s.slots == 0 && r->slots_told == 2);
    rig_free(r);
}

static void a_connection_is_left_before_the_peer_closes_it(void **state) {
    (void)state;
    struct rig *r = upstream();
    ask(r, "GET", NULL);
    rig_feed_text(r, "HTTP/1.1 200 OK\r\nKeep-Alive: max=5, timeout=4\r\nContent-Length: 0\r\n\r\n");
    assert_int_equal(instant_until(r->now, r->s.wake).ns, 3 * NS_PER_S);
    rig_tick(r, span_s(2));
    assert_true(r->s.reusable);
    rig_tick(r, span_s(1));
    assert_true(!r->s.reusable && r->s.next == NEXT_CLOSE && !r->faults);
    rig_free(r);
}

/* ---- cancels --------------------------------------------------------------------------------------------------------------------------------- */
/* T21 */
static void a_cancelled_connection_is_never_used_again(void **state) {
    (void)state;
    struct rig *r = upstream();
    struct rig_leg *x = ask(r, "GET", NULL);
    assert_int_equal(rig_cancel(r, x, ENDING_DEADLINE, CANCEL_BAND), CANCEL_CLOSE);
    assert_false(r->s.reusable);
    rig_settle(r);
    assert_true(x->closed && x->fault.why == ENDING_DEADLINE && r->s.next == NEXT_RESET);
    rig_free(r);
}

static void a_drained_connection_serves_again_once_its_answer_is_read(void **state) {
    (void)state;
    struct rig *r = upstream();
    struct rig_leg *x = ask(r, "GET", NULL);
    assert_int_equal(rig_cancel(r, x, ENDING_DEADLINE, CANCEL_DRAIN), CANCEL_DRAIN);
    rig_feed_text(r, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhel");
    assert_false(x->closed || r->s.reusable);
    rig_feed_text(r, "lo");
    assert_true(x->closed && !x->faulted && r->s.reusable);
    rig_free(r);
}

static void a_drained_upload_does_not_serve_again(void **state) {
    (void)state;
    struct rig *r = upstream();
    struct rig_leg *x = upload(r, BODY_LENGTH, 100, "half");
    assert_int_equal(rig_cancel(r, x, ENDING_DEADLINE, CANCEL_DRAIN), CANCEL_DRAIN);
    more(r, x, "not sent any more", true);
    assert_false(contains(rig_sent(r), "not sent"));
    rig_feed_text(r, EMPTY);
    assert_true(x->closed && !x->faulted && !r->s.reusable && r->s.next == NEXT_CLOSE);
    rig_free(r);
}

/* T24 */
static void an_early_refusal_stops_the_upload_and_is_read_to_its_end(void **state) {
    (void)state;
    struct rig *r = upstream();
    struct rig_leg *x = upload(r, BODY_LENGTH, 100, "half");
    rig_feed_text(r, "HTTP/1.1 413 Too Large\r\nContent-Length: 5\r\n\r\nno");
    assert_int_equal(x->leg.out, LEG_END);
    more(r, x, "not sent any more", true);
    assert_false(contains(rig_sent(r), "not sent"));
    rig_feed_text(r, " no");
    assert_true(x->closed && !x->faulted && str_eq(rig_body(x), STR("no no")) && !r->s.reusable && r->s.next == NEXT_CLOSE);
    rig_free(r);
}

static void an_early_answer_that_wants_more_goes_on(void **state) {
    (void)state;
    struct rig *r = upstream();
    struct rig_leg *x = upload(r, BODY_LENGTH, 10, "first");
    rig_feed_text(r, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n");
    more(r, x, "again", false);
    assert_true(contains(rig_sent(r), "firstagain"));
    rig_feed_text(r, "5\r\nagain\r\n0\r\n\r\n");
    assert_true(x->closed && !x->faulted && r->s.reusable);
    rig_free(r);
}

/* ---- what goes wrong -------------------------------------------------------------------------------------------------------------------------- */
static void a_flood_of_interim_answers_is_a_broken_upstream(void **state) {
    (void)state;
    struct rig *r = upstream();
    const struct rig_leg *x = ask(r, "GET", NULL);
    for (unsigned i = 0; i < 32; i++) rig_feed_text(r, "HTTP/1.1 102 Processing\r\n\r\n");
    assert_int_equal(x->interims, 32);
    assert_false(x->closed);
    rig_feed_text(r, "HTTP/1.1 102 Processing\r\n\r\n");
    assert_true(x->faulted && x->fault.why == ENDING_UPSTREAM_ERROR);
    rig_free(r);
}

static void a_body_cut_short_is_seen(void **state) {
    (void)state;
    static const struct { const char *in; bool lost, good; } rows[] = {
        { "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhel", false, false },
        { "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n", false, false },
        { "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n", false, false },
        { "HTTP/1.1 200 O", false, false },
        { "", false, false },
        { "HTTP/1.1 200 OK\r\n\r\nhello", true, false },
        { "HTTP/1.1 200 OK\r\n\r\nhello", false, true },
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct rig *r = upstream();
        const struct rig_leg *x = ask(r, "GET", NULL);
        rig_feed_text(r, rows[i].in);
        if (rows[i].lost) rig_lost(r, ENDING_UPSTREAM_CLOSED);
        else rig_eof(r);
        assert_true(x->closed && !r->s.reusable);
        assert_int_equal(!x->faulted, rows[i].good);
        if (x->faulted) assert_true(x->fault.why == ENDING_UPSTREAM_CLOSED && !x->fault.unprocessed);
        rig_free(r);
    }
}

static void a_malformed_answer_is_the_upstreams_error(void **state) {
    (void)state;
    static const char *const rows[] = {
        "HTTP/1.1 200 OK\nA: b\n\n",
        "garbage\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz",
        "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n",
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct rig *r = upstream();
        const struct rig_leg *x = ask(r, "GET", NULL);
        rig_feed_text(r, rows[i]);
        assert_true(x->faulted && x->fault.why == ENDING_UPSTREAM_ERROR && r->faults == 1 && !r->s.reusable);
        rig_free(r);
    }
}

/* ---- tunnels ------------------------------------------------------------------------------------------------------------------------------------ */
static void nothing_enters_a_tunnel_before_its_101(void **state) {
    (void)state;
    struct rig *r = upstream();
    struct rig_leg *x = ask_tunnel(r, "websocket");
    assert_false(contains(rig_sent(r), "early"));
    rig_feed_text(r, "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\nfrom there");
    assert_true(contains(rig_sent(r), "\r\n\r\nearly"));
    assert_true(str_eq(rig_body(x), STR("from there")));
    more(r, x, "", false);
    assert_true(r->half_closed && !x->closed);
    rig_feed_text(r, " and on");
    rig_eof(r);
    assert_true(x->closed && !x->faulted && str_eq(rig_body(x), STR("from there and on")) && r->s.next == NEXT_CLOSE);
    rig_free(r);
}

static void a_tunnel_that_the_upstream_ends_first_still_takes_bytes(void **state) {
    (void)state;
    struct rig *r = upstream();
    struct rig_leg *x = ask_tunnel(r, "websocket");
    rig_feed_text(r, "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n");
    rig_eof(r);
    assert_true(x->ended && !x->closed);
    more(r, x, "last words", false);
    assert_true(contains(rig_sent(r), "last words"));
    assert_true(x->closed && !x->faulted && r->s.next == NEXT_CLOSE);
    rig_free(r);
}

/* Semantics 4: TCP RST and RST_STREAM(CANCEL) are equal; before the 101 it is a connection that was lost. */
static void a_reset_in_a_tunnel_is_a_cancel(void **state) {
    (void)state;
    struct rig *r = upstream();
    const struct rig_leg *x = ask_tunnel(r, "websocket");
    rig_feed_text(r, "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n");
    rig_lost(r, ENDING_UPSTREAM_CLOSED);
    assert_true(x->faulted && x->fault.why == ENDING_UPSTREAM_RESET && x->fault.said == RESET_CANCEL);
    rig_free(r);
    r = upstream();
    x = ask_tunnel(r, "websocket");
    rig_lost(r, ENDING_UPSTREAM_CLOSED);
    assert_true(x->faulted && x->fault.why == ENDING_UPSTREAM_CLOSED);
    rig_free(r);
}

static void an_upgrade_that_is_refused_is_an_answer_like_any_other(void **state) {
    (void)state;
    struct rig *r = upstream();
    const struct rig_leg *x = ask_tunnel(r, "websocket");
    rig_feed_text(r, "HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno");
    assert_true(x->closed && !x->faulted && r->s.reusable);
    assert_false(contains(rig_sent(r), "early"));
    rig_free(r);
}

static void a_drained_answer_is_cut_off_by_a_second_cancel(void **state) {
    (void)state;
    struct rig *r = upstream();
    struct rig_leg *x = ask(r, "GET", NULL);
    rig_cancel(r, x, ENDING_DEADLINE, CANCEL_DRAIN);
    rig_feed_text(r, "HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\nhel");
    assert_int_equal(rig_cancel(r, x, ENDING_DEADLINE, CANCEL_CLOSE), CANCEL_CLOSE); /* drain_limit is over */
    rig_settle(r);
    assert_true(x->closed && x->faulted && r->s.next == NEXT_RESET);
    rig_free(r);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(requests_carry_host_first_and_their_framing),
        cmocka_unit_test(te_and_upgrade_are_listed_in_connection),
        cmocka_unit_test(what_http_1_1_cannot_carry_is_not_sent),
        cmocka_unit_test(a_request_shorter_than_its_length_is_cut),
        cmocka_unit_test(a_cut_upload_never_gets_its_last_chunk),
        cmocka_unit_test(a_connection_serves_again_after_a_whole_exchange),
        cmocka_unit_test(a_connection_does_not_serve_again_where_the_answer_says_so),
        cmocka_unit_test(bytes_on_an_idle_connection_are_a_fault),
        cmocka_unit_test(an_answer_before_its_request_is_none),
        cmocka_unit_test(a_fin_on_an_idle_connection_is_no_fault),
        cmocka_unit_test(a_connection_is_left_before_the_peer_closes_it),
        cmocka_unit_test(a_cancelled_connection_is_never_used_again),
        cmocka_unit_test(a_drained_connection_serves_again_once_its_answer_is_read),
        cmocka_unit_test(a_drained_upload_does_not_serve_again),
        cmocka_unit_test(a_drained_answer_is_cut_off_by_a_second_cancel),
        cmocka_unit_test(an_early_refusal_stops_the_upload_and_is_read_to_its_end),
        cmocka_unit_test(an_early_answer_that_wants_more_goes_on),
        cmocka_unit_test(a_flood_of_interim_answers_is_a_broken_upstream),
        cmocka_unit_test(a_body_cut_short_is_seen),
        cmocka_unit_test(a_malformed_answer_is_the_upstreams_error),
        cmocka_unit_test(nothing_enters_a_tunnel_before_its_101),
        cmocka_unit_test(a_tunnel_that_the_upstream_ends_first_still_takes_bytes),
        cmocka_unit_test(a_reset_in_a_tunnel_is_a_cancel),
        cmocka_unit_test(an_upgrade_that_is_refused_is_an_answer_like_any_other),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
