// SPDX-License-Identifier: Apache-2.0
// HTTP/1.1 towards a client: what a session says on the wire and to the exchange, byte for byte. Traps T2, T3, T22, T24, T25.
#define _GNU_SOURCE
#include "tests/contract/rig.h"
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

static struct rig *client(void) { return rig_new(codec_by_name(STR("http1")), CODEC_DOWN, NULL); }
static struct rig *silent_client(void) {
    struct rig *r = client();
    r->silent = true;
    return r;
}

static bool contains(struct str s, const char *what) { return memmem(s.p, s.n, what, strlen(what)) != NULL; }
static void assert_sent(const struct rig *r, const char *want) {
    if (!str_eq(rig_sent(r), str_of(want))) fail_msg("sent:\n%.*s\nnot:\n%s", STR_ARG(rig_sent(r)), want);
}
static void assert_sent_part(const struct rig *r, const char *part) {
    if (!contains(rig_sent(r), part)) fail_msg("sent:\n%.*s\nwithout:\n%s", STR_ARG(rig_sent(r)), part);
}
static void assert_not_sent(const struct rig *r, const char *part) {
    if (contains(rig_sent(r), part)) fail_msg("sent:\n%.*s\nwith:\n%s", STR_ARG(rig_sent(r)), part);
}

struct answer { uint16_t status; enum body_kind body; uint64_t length; const char *text; bool open; const char *protocol; };
static void answer_with(struct rig *r, unsigned leg, struct answer a) {
    struct rig_leg *x = r->legs[leg];
    x->reply = str_of(a.text ? a.text : "");
    x->reply_open = a.open;
    x->answered = true;
    struct head *h = ARENA_NEW(&x->arena, struct head);
    head_init(h, &x->arena, false);
    h->status = a.status;
    h->interim = a.status < 200 && a.status != 101;
    h->body = a.body;
    h->length = a.length;
    h->protocol = str_of(a.protocol ? a.protocol : "");
    r->codec->send_head(&x->leg, h);
    rig_settle(r);
}
static void say_more(struct rig *r, unsigned leg, const char *text, bool open) {
    struct rig_leg *x = r->legs[leg];
    x->reply = str_of(text);
    x->replied = 0;
    x->reply_open = open;
    r->codec->ready(&x->leg);
    rig_settle(r);
}

#define GET "GET / HTTP/1.1\r\nHost: a\r\n\r\n"

/* ---- answers --------------------------------------------------------------------------------------------------------------------- */
static void head_and_body_leave_in_one_write(void **state) {
    (void)state;
    struct rig *r = silent_client();
    rig_feed_text(r, GET);
    answer_with(r, 0, (struct answer){ 200, BODY_LENGTH, 5, "hello", false, NULL });
    assert_sent(r, "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello");
    assert_true(r->legs[0]->closed && !r->legs[0]->faulted);
    assert_int_equal(r->out.niov, 1);
    rig_free(r);
}

static void a_stream_goes_out_in_chunks_and_its_trailers_after_it(void **state) {
    (void)state;
    struct rig *r = silent_client();
    rig_feed_text(r, GET);
    answer_with(r, 0, (struct answer){ 200, BODY_STREAM, 0, "hello", true, NULL });
    say_more(r, 0, "0123456789abcdef", true);
    r->codec->send_trailers(&r->legs[0]->leg, rig_trailers(r->legs[0]));
    say_more(r, 0, "", false);
    assert_sent(r, "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n10\r\n0123456789abcdef\r\n0\r\nx-checksum: 42\r\n\r\n");
    assert_false(rig_is_closing(r));
    rig_free(r);
}

static void a_stream_to_an_http_1_0_client_ends_with_the_connection(void **state) {
    (void)state;
    struct rig *r = silent_client();
    rig_feed_text(r, "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    answer_with(r, 0, (struct answer){ 100, BODY_NONE, 0, NULL, false, NULL }); /* RFC 9110 15.2: not for HTTP/1.0 */
    r->legs[0]->answered = false;
    answer_with(r, 0, (struct answer){ 200, BODY_STREAM, 0, "hello", false, NULL });
    assert_sent(r, "HTTP/1.1 200 OK\r\nconnection: close\r\n\r\nhello");
    assert_int_equal(r->s.next, NEXT_CLOSE);
    rig_free(r);
}

static void an_http_1_0_client_that_asks_is_kept(void **state) {
    (void)state;
    struct rig *r = silent_client();
    rig_feed_text(r, "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    answer_with(r, 0, (struct answer){ 200, BODY_LENGTH, 0, NULL, false, NULL });
    assert_sent(r, "HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: keep-alive\r\n\r\n");
    assert_false(rig_is_closing(r));
    rig_free(r);
}

static void a_close_delimited_answer_becomes_chunks_for_who_knows_them(void **state) {
    (void)state;
    struct rig *r = silent_client();
    rig_feed_text(r, GET);
    answer_with(r, 0, (struct answer){ 200, BODY_CLOSE, 0, "hello", false, NULL });
    assert_sent(r, "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n");
    assert_false(rig_is_closing(r));
    rig_free(r);
}

static void answers_without_a_body_have_none(void **state) {
    (void)state;
    static const struct { const char *in; struct answer a; const char *out; } rows[] = {
        { "HEAD / HTTP/1.1\r\nHost: a\r\n\r\n", { 200, BODY_LENGTH, 500, NULL, false, NULL }, "HTTP/1.1 200 OK\r\ncontent-length: 500\r\n\r\n" },
        { "HEAD / HTTP/1.1\r\nHost: a\r\n\r\n", { 200, BODY_STREAM, 0, NULL, false, NULL }, "HTTP/1.1 200 OK\r\n\r\n" },
        { GET, { 304, BODY_LENGTH, 500, NULL, false, NULL }, "HTTP/1.1 304 Not Modified\r\ncontent-length: 500\r\n\r\n" },
        { GET, { 204, BODY_LENGTH, 0, NULL, false, NULL }, "HTTP/1.1 204 No Content\r\n\r\n" },
        { GET, { 204, BODY_NONE, 0, NULL, false, NULL }, "HTTP/1.1 204 No Content\r\n\r\n" },
        { GET, { 200, BODY_NONE, 0, NULL, false, NULL }, "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n" },
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct rig *r = silent_client();
        rig_feed_text(r, rows[i].in);
        answer_with(r, 0, rows[i].a);
        assert_sent(r, rows[i].out);
        assert_true(r->legs[0]->closed && !rig_is_closing(r));
        rig_free(r);
    }
}

static void interim_answers_go_before_the_final_one(void **state) {
    (void)state;
    struct rig *r = silent_client();
    rig_feed_text(r, "POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n");
    assert_non_null(head_find(r->legs[0]->head, TOKEN_EXPECT));
    answer_with(r, 0, (struct answer){ 100, BODY_NONE, 0, NULL, false, NULL });
    assert_sent(r, "HTTP/1.1 100 Continue\r\n\r\n");
    assert_int_equal(r->legs[0]->leg.out, LEG_NOTHING);
    rig_feed_text(r, "ok");
    answer_with(r, 0, (struct answer){ 200, BODY_LENGTH, 0, NULL, false, NULL });
    assert_sent(r, "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
    rig_free(r);
}

static void fields_that_would_be_framing_are_not_written(void **state) {
    (void)state;
    struct rig *r = silent_client();
    rig_feed_text(r, GET);
    struct rig_leg *x = r->legs[0];
    struct head *h = ARENA_NEW(&x->arena, struct head);
    head_init(h, &x->arena, false);
    h->status = 200;
    head_add(h, STR("transfer-encoding"), STR("chunked"));
    head_add(h, STR("content-length"), STR("7"));
    head_add(h, STR("connection"), STR("close"));
    head_add(h, STR("x-kept"), STR("1"));
    r->codec->send_head(&x->leg, h);
    rig_settle(r);
    assert_sent(r, "HTTP/1.1 200 OK\r\nx-kept: 1\r\ncontent-length: 0\r\n\r\n");
    rig_free(r);
}

/* T25 */
static void a_head_with_a_line_break_in_it_is_never_written(void **state) {
    (void)state;
    struct rig *r = silent_client();
    rig_feed_text(r, GET);
    struct rig_leg *x = r->legs[0];
    struct head *h = ARENA_NEW(&x->arena, struct head);
    head_init(h, &x->arena, false);
    h->status = 200;
    head_add(h, STR("x-a"), STR("b\r\nset-cookie: stolen"));
    r->codec->send_head(&x->leg, h);
    rig_settle(r);
    assert_not_sent(r, "stolen");
    assert_sent_part(r, "HTTP/1.1 502 ");
    assert_true(x->faulted && x->fault.why == ENDING_UPSTREAM_ERROR && r->dead);
    rig_free(r);
}

/* ---- one after the other -------------------------------------------------------------------------------------------------------------- */
static void pipelined_requests_wait_for_the_answer_before(void **state) {
    (void)state;
    struct rig *r = silent_client();
    rig_feed_text(r, GET GET "GET /half");
    assert_int_equal(r->nlegs, 1);
    assert_false(r->s.begun);
    answer_with(r, 0, (struct answer){ 200, BODY_LENGTH, 0, NULL, false, NULL });
    assert_int_equal(r->nlegs, 2);
    answer_with(r, 1, (struct answer){ 200, BODY_LENGTH, 0, NULL, false, NULL });
    assert_int_equal(r->nlegs, 2);
    assert_true(r->s.begun); /* timeouts.header counts for the half one */
    rig_free(r);
}

static void a_request_that_says_close_is_the_last(void **state) {
    (void)state;
    struct rig *r = silent_client();
    rig_feed_text(r, "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n" GET);
    answer_with(r, 0, (struct answer){ 200, BODY_LENGTH, 0, NULL, false, NULL });
    assert_sent(r, "HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
    assert_true(r->nlegs == 1 && r->s.next == NEXT_CLOSE);
    rig_free(r);
}

static void empty_lines_before_a_request_are_passed_over_twice(void **state) {
    (void)state;
    struct rig *r = client();
    rig_feed_text(r, "\r\n\r\n");
    assert_false(r->s.begun);
    rig_feed_text(r, GET);
    assert_int_equal(r->nlegs, 1);
    rig_feed_text(r, "\r\n\r\n\r\n" GET);
    assert_true(r->nlegs == 1 && r->faults == 1);
    assert_sent_part(r, "HTTP/1.1 400 ");
    rig_free(r);
}

/* ---- what is refused --------------------------------------------------------------------------------------------------------------------- */
static const struct field *field_of(const struct rig *r, const char *name) { return head_find_name(r->legs[0]->head, str_of(name), NULL); }

static void a_malformed_head_is_answered_by_an_exchange_and_the_connection_closed(void **state) {
    (void)state;
    struct rig *r = client();
    rig_feed_text(r, "POST /a HTTP/1.1\r\nContent-Type: x\r\nHost: a\r\nHost: b\r\nX-Late: y\r\n\r\n" GET);
    assert_true(r->nlegs == 1 && r->legs[0]->unfit == 400 && r->faults == 0);
    assert_true(str_eq(r->legs[0]->head->method, STR("POST")) && str_eq(r->legs[0]->head->target, STR("/a")));
    assert_true(field_of(r, "content-type") && !field_of(r, "x-late")); /* what comes behind the fault may be taken in two ways */
    assert_sent(r, "HTTP/1.1 400 Bad Request\r\ncontent-type: text/plain\r\ncontent-length: 25\r\nconnection: close\r\n\r\n" RIG_BODY_TEXT);
    assert_true(r->s.next == NEXT_CLOSE && r->legs[0]->closed && !r->legs[0]->faulted);
    rig_free(r);
}

static void where_not_even_the_request_line_can_be_read_the_codec_answers(void **state) {
    (void)state;
    static const char *const lines[] = { "\x01", "GET", "G@T / HTTP/1.1", "GET /a#b HTTP/1.1", "GET  / HTTP/1.1", "GET / HTTQ/1.1", "GET / HTTP/1.1\v",
                                        "GET / HTTP/1.1\v\nA: b" };
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
        struct rig *r = client();
        char text[100];
        snprintf(text, sizeof text, "%s\r\nHost: a\r\n\r\n", lines[i]);
        rig_feed_text(r, text);
        assert_true(r->nlegs == 0 && r->faults == 1 && r->fault.why == ENDING_CLIENT_ERROR && r->fault.status == 400 && r->s.next == NEXT_CLOSE);
        assert_sent_part(r, "HTTP/1.1 400 Bad Request\r\ncontent-type: application/problem+json\r\n");
        rig_free(r);
    }
    struct rig *r = client();
    rig_feed_text(r, "GET / HTTP/3.0\r\n\r\n");
    assert_sent(r, "HTTP/1.1 505 HTTP Version Not Supported\r\ncontent-type: application/problem+json\r\ncontent-length: 151\r\nconnection: close\r\n\r\n"
                   "{\"type\":\"about:blank\",\"title\":\"HTTP Version Not Supported\",\"status\":505,"
                   "\"detail\":\"only HTTP/1.1 and HTTP/1.0 are spoken here\",\"ending\":\"client_error\"}\n");
    rig_free(r);
}

static void a_bare_lf_is_refused_as_soon_as_it_comes(void **state) {
    (void)state;
    struct rig *r = client();
    rig_feed_text(r, "GET / HTTP/1.1\n");
    assert_sent_part(r, "HTTP/1.1 400 ");
    rig_free(r);
}

static void heads_over_a_limit_are_refused_before_they_are_complete(void **state) {
    (void)state;
    static char long_text[80 << 10];
    memset(long_text, 'a', sizeof long_text - 1);
    struct rig *r = client();
    rig_feed_text(r, "GET /");
    rig_feed(r, long_text, 9 << 10);
    assert_sent_part(r, "HTTP/1.1 414 ");
    assert_int_equal(r->legs[0]->head->target.n, 8 << 10); /* as much as it may have */
    rig_free(r);
    r = client();
    rig_feed_text(r, "GET / HTTP/1.1\r\nHost: a\r\nX-Long: ");
    rig_feed(r, long_text, 64 << 10);
    assert_sent_part(r, "HTTP/1.1 431 ");
    assert_true(str_eq(r->legs[0]->head->target, STR("/")) && r->legs[0]->head->nfields == 0);
    rig_free(r);
}

/* However long the head is, and however it comes: what is kept of it is not longer than one that is served. */
static void of_a_head_over_the_limit_the_first_fields_are_told(void **state) {
    (void)state;
    static char text[200 << 10], fields[40 << 10];
    for (size_t n = 0; n < sizeof fields - 100; n += strlen(fields + n)) snprintf(fields + n, 100, "X-%05zu: %080d\r\n", n, 0);
    snprintf(text, sizeof text, "POST /a.B/C HTTP/1.0\r\nContent-Type: application/grpc-web\r\n%s%s%s%s\r\n", fields, fields, fields, fields);
    for (size_t piece = 200 << 10; piece; piece = piece == 1 ? 0 : piece > 2000 ? 1000 : 1) {
        struct rig *r = client();
        for (size_t at = 0, all = strlen(text); at < all; at += piece) rig_feed(r, text + at, piece < all - at ? piece : all - at);
        assert_true(r->nlegs == 1 && r->legs[0]->unfit == 431 && r->legs[0]->closed);
        assert_true(str_eq(field_of(r, "content-type")->value, STR("application/grpc-web")));
        assert_true(r->legs[0]->head->version == 10 && r->legs[0]->head->nfields > 30 && r->legs[0]->head->nfields <= 128);
        rig_free(r);
    }
}

static void a_body_that_goes_wrong_is_answered_where_no_answer_began(void **state) {
    (void)state;
    struct rig *r = silent_client();
    rig_feed_text(r, "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhelloX");
    assert_true(r->legs[0]->unfit == 400 && r->legs[0]->closed && r->faults == 0 && r->s.next == NEXT_CLOSE);
    assert_sent_part(r, "HTTP/1.1 400 ");
    rig_free(r);
    r = silent_client();
    rig_feed_text(r, "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
    answer_with(r, 0, (struct answer){ 200, BODY_STREAM, 0, "hello", true, NULL });
    rig_feed_text(r, "5\r\nhelloX");
    assert_not_sent(r, "400");
    assert_not_sent(r, "0\r\n\r\n");
    assert_int_equal(r->s.next, NEXT_CLOSE);
    rig_free(r);
}

static void a_request_that_was_not_finished_in_time_is_told(void **state) {
    (void)state;
    struct rig *r = client();
    struct fault f = { .why = ENDING_CLIENT_TIMEOUT, .status = 408 };
    rig_feed_text(r, "GET / HT");
    assert_true(r->s.begun);
    r->codec->refuse(&r->s, &f);
    rig_settle(r);
    assert_sent_part(r, "HTTP/1.1 408 ");
    assert_true(r->dead);
    rig_free(r);
}

static void an_exchange_that_the_core_refuses_is_answered(void **state) {
    (void)state;
    struct rig *r = client();
    r->refuse_open = true;
    rig_feed_text(r, GET GET);
    assert_sent_part(r, "HTTP/1.1 503 ");
    assert_true(r->nlegs == 0 && r->dead);
    rig_free(r);
}

static bool acme_is_ours(struct session *s, const struct field *f) {
    (void)s;
    return str_eq(f->name, STR("x-acme-budget")) && f->hash == name_hash(f->name);
}

/* T25: an attacker could drop the deadline on the way. */
static void a_connection_that_lists_a_configured_header_is_refused(void **state) {
    (void)state;
    struct codec_events ours = rig_events;
    ours.is_ours = acme_is_ours;
    struct rig *r = client();
    r->s.ev = &ours;
    rig_feed_text(r, "GET / HTTP/1.1\r\nHost: a\r\nX-Acme-Budget: 5\r\nConnection: X-ACME-Budget\r\n\r\n");
    assert_sent_part(r, "HTTP/1.1 400 ");
    rig_free(r);
}

/* ---- the client leaves ---------------------------------------------------------------------------------------------------------------------- */
/* T2 */
static void a_fin_behind_pipelined_bytes_is_seen(void **state) {
    (void)state;
    struct rig *r = silent_client();
    rig_feed_text(r, GET "x");
    rig_eof(r);
    assert_true(r->legs[0]->half_closed && !r->legs[0]->closed);
    rig_free(r);
}

static void a_fin_that_is_tolerated_lets_every_whole_request_be_answered(void **state) {
    (void)state;
    struct rig *r = silent_client();
    rig_feed_text(r, GET GET);
    rig_eof(r);
    answer_with(r, 0, (struct answer){ 200, BODY_LENGTH, 0, NULL, false, NULL });
    assert_true(r->nlegs == 2 && r->legs[1]->half_closed);
    answer_with(r, 1, (struct answer){ 200, BODY_LENGTH, 0, NULL, false, NULL });
    assert_true(r->legs[1]->closed && !r->legs[1]->faulted && r->s.next == NEXT_CLOSE && !r->faults);
    rig_free(r);
}

/* T3 */
static void a_fin_before_which_the_body_lies_unread_is_no_leaving(void **state) {
    (void)state;
    struct rig *r = silent_client();
    rig_feed_text(r, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhe");
    r->codec->eof(&r->s, true, r->now); /* the core has not read the rest: the other side is slow */
    assert_true(!r->legs[0]->closed && !r->legs[0]->half_closed);
    rig_feed_text(r, "llo");
    assert_true(r->legs[0]->ended && r->legs[0]->half_closed);
    answer_with(r, 0, (struct answer){ 200, BODY_LENGTH, 0, NULL, false, NULL });
    assert_true(r->legs[0]->closed && !r->legs[0]->faulted && r->s.next == NEXT_CLOSE);
    rig_free(r);
}

static void a_fin_in_a_body_or_a_head_is_a_client_that_left(void **state) {
    (void)state;
    struct rig *r = silent_client();
    rig_feed_text(r, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhe");
    rig_eof(r);
    assert_true(r->legs[0]->faulted && r->legs[0]->fault.why == ENDING_CLIENT_CLOSED && r->faults == 1);
    rig_free(r);
    r = silent_client();
    rig_feed_text(r, "GET / HT");
    rig_eof(r);
    assert_true(r->faults == 1 && r->fault.why == ENDING_CLIENT_CLOSED && buffer_is_empty(&r->sent));
    rig_free(r);
}

/* ---- cutting and stopping -------------------------------------------------------------------------------------------------------------------- */
/* T22 */
static void a_cut_answer_shows_on_the_wire(void **state) {
    (void)state;
    static const struct { const char *in; struct answer a; enum session_next next; } rows[] = {
        { GET, { 200, BODY_STREAM, 0, "half", true, NULL }, NEXT_CLOSE },
        { GET, { 200, BODY_LENGTH, 11, "half", true, NULL }, NEXT_CLOSE },
        { "GET / HTTP/1.0\r\n\r\n", { 200, BODY_STREAM, 0, "half", true, NULL }, NEXT_RESET },
        { "GET / HTTP/1.0\r\n\r\n", { 200, BODY_CLOSE, 0, "half", true, NULL }, NEXT_RESET },
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct rig *r = silent_client();
        rig_feed_text(r, rows[i].in);
        answer_with(r, 0, rows[i].a);
        assert_int_equal(rig_cancel(r, r->legs[0], ENDING_DEADLINE, CANCEL_CLOSE), CANCEL_CLOSE);
        rig_settle(r);
        assert_int_equal(r->s.next, rows[i].next);
        assert_sent_part(r, "half");
        assert_not_sent(r, "0\r\n\r\n");
        rig_free(r);
    }
}

static void a_body_shorter_than_its_length_is_cut(void **state) {
    (void)state;
    struct rig *r = silent_client();
    rig_feed_text(r, GET);
    answer_with(r, 0, (struct answer){ 200, BODY_LENGTH, 10, "half", false, NULL });
    assert_true(r->legs[0]->faulted && r->s.next == NEXT_CLOSE);
    rig_free(r);
}

/* T24 */
static void an_early_answer_says_close_and_the_upload_is_thrown_away(void **state) {
    (void)state;
    struct rig *r = silent_client();
    rig_feed_text(r, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\nsome");
    answer_with(r, 0, (struct answer){ 413, BODY_LENGTH, 3, "no\n", false, NULL });
    assert_sent(r, "HTTP/1.1 413 Content Too Large\r\ncontent-length: 3\r\nconnection: close\r\n\r\nno\n");
    assert_false(r->legs[0]->closed);
    assert_int_equal(rig_cancel(r, r->legs[0], ENDING_COMPLETED, CANCEL_DRAIN), CANCEL_DRAIN);
    rig_settle(r);
    assert_true(r->legs[0]->closed && !r->legs[0]->faulted && r->s.next == NEXT_CLOSE);
    rig_free(r);
}

static void an_upload_is_stopped_while_the_answer_still_goes_out(void **state) {
    (void)state;
    struct rig *r = silent_client();
    rig_feed_text(r, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\nsome");
    answer_with(r, 0, (struct answer){ 401, BODY_STREAM, 0, "first ", true, NULL });
    assert_int_equal(rig_cancel(r, r->legs[0], ENDING_COMPLETED, CANCEL_DRAIN), CANCEL_DRAIN);
    rig_feed_text(r, "this is discarded");
    assert_true(str_eq(rig_body(r->legs[0]), STR("some")));
    say_more(r, 0, "last", false);
    assert_sent_part(r, "6\r\nfirst \r\n4\r\nlast\r\n0\r\n\r\n");
    assert_true(r->legs[0]->closed && !r->legs[0]->faulted && r->dead);
    rig_free(r);
}

static void a_shutdown_is_told_with_the_next_answer(void **state) {
    (void)state;
    struct rig *r = silent_client();
    rig_feed_text(r, GET);
    r->codec->shutdown(&r->s, false);
    rig_settle(r);
    assert_false(rig_is_closing(r));
    answer_with(r, 0, (struct answer){ 200, BODY_LENGTH, 0, NULL, false, NULL });
    assert_sent_part(r, "connection: close\r\n");
    assert_int_equal(r->s.next, NEXT_CLOSE);
    rig_free(r);
    r = silent_client();
    r->codec->shutdown(&r->s, false);
    assert_int_equal(r->s.next, NEXT_CLOSE);
    rig_free(r);
}

/* ---- tunnels ------------------------------------------------------------------------------------------------------------------------------------ */
#define WEBSOCKET "GET /ws HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"

static void an_upgrade_becomes_a_tunnel_with_its_101(void **state) {
    (void)state;
    struct rig *r = silent_client();
    rig_feed_text(r, WEBSOCKET "early");
    assert_true(r->legs[0]->head->body == BODY_TUNNEL && str_eq(r->legs[0]->head->protocol, STR("websocket")));
    assert_int_equal(rig_body(r->legs[0]).n, 0);
    answer_with(r, 0, (struct answer){ 101, BODY_TUNNEL, 0, "down", true, "websocket" });
    assert_sent(r, "HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\ndown");
    rig_feed_text(r, " up");
    assert_true(str_eq(rig_body(r->legs[0]), STR("early up")));
    rig_eof(r);
    assert_true(r->legs[0]->ended && !r->legs[0]->closed);
    say_more(r, 0, " more", false);
    assert_sent_part(r, "down more");
    assert_true(r->legs[0]->closed && !r->legs[0]->faulted && r->s.next == NEXT_CLOSE);
    rig_free(r);
}

static void a_tunnel_ends_one_way_at_a_time(void **state) {
    (void)state;
    struct rig *r = silent_client();
    rig_feed_text(r, WEBSOCKET);
    answer_with(r, 0, (struct answer){ 101, BODY_TUNNEL, 0, "all", false, "websocket" });
    assert_true(r->half_closed && !r->legs[0]->closed && !rig_is_closing(r));
    rig_feed_text(r, "still coming");
    assert_true(str_eq(rig_body(r->legs[0]), STR("still coming")));
    rig_eof(r);
    assert_true(r->legs[0]->closed && !r->legs[0]->faulted && r->s.next == NEXT_CLOSE);
    rig_free(r);
}

static void a_tunnel_is_cut_by_a_reset(void **state) {
    (void)state;
    struct rig *r = silent_client();
    rig_feed_text(r, WEBSOCKET);
    answer_with(r, 0, (struct answer){ 101, BODY_TUNNEL, 0, "x", true, "websocket" });
    rig_cancel(r, r->legs[0], ENDING_DEADLINE, CANCEL_CLOSE);
    rig_settle(r);
    assert_int_equal(r->s.next, NEXT_RESET);
    rig_free(r);
}

static void an_upgrade_that_is_refused_ends_the_request_and_keeps_the_connection(void **state) {
    (void)state;
    struct rig *r = silent_client();
    rig_feed_text(r, WEBSOCKET GET);
    answer_with(r, 0, (struct answer){ 403, BODY_LENGTH, 0, NULL, false, NULL });
    assert_true(r->legs[0]->ended && r->legs[0]->closed && !r->legs[0]->faulted);
    assert_int_equal(r->nlegs, 2);
    assert_not_sent(r, "connection: close");
    rig_free(r);
}

static void a_connect_that_is_refused_closes(void **state) {
    (void)state;
    struct rig *r = silent_client();
    rig_feed_text(r, "CONNECT a:443 HTTP/1.1\r\nHost: a\r\n\r\nGET / HTTP/1.1\r\nHost: smuggled\r\n\r\n");
    answer_with(r, 0, (struct answer){ 405, BODY_LENGTH, 0, NULL, false, NULL });
    assert_true(r->nlegs == 1 && r->s.next == NEXT_CLOSE);
    assert_sent_part(r, "connection: close");
    rig_free(r);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(head_and_body_leave_in_one_write),
        cmocka_unit_test(a_stream_goes_out_in_chunks_and_its_trailers_after_it),
        cmocka_unit_test(a_stream_to_an_http_1_0_client_ends_with_the_connection),
        cmocka_unit_test(an_http_1_0_client_that_asks_is_kept),
        cmocka_unit_test(a_close_delimited_answer_becomes_chunks_for_who_knows_them),
        cmocka_unit_test(answers_without_a_body_have_none),
        cmocka_unit_test(interim_answers_go_before_the_final_one),
        cmocka_unit_test(fields_that_would_be_framing_are_not_written),
        cmocka_unit_test(a_head_with_a_line_break_in_it_is_never_written),
        cmocka_unit_test(pipelined_requests_wait_for_the_answer_before),
        cmocka_unit_test(a_request_that_says_close_is_the_last),
        cmocka_unit_test(empty_lines_before_a_request_are_passed_over_twice),
        cmocka_unit_test(a_malformed_head_is_answered_by_an_exchange_and_the_connection_closed),
        cmocka_unit_test(where_not_even_the_request_line_can_be_read_the_codec_answers),
        cmocka_unit_test(a_bare_lf_is_refused_as_soon_as_it_comes),
        cmocka_unit_test(heads_over_a_limit_are_refused_before_they_are_complete),
        cmocka_unit_test(of_a_head_over_the_limit_the_first_fields_are_told),
        cmocka_unit_test(a_body_that_goes_wrong_is_answered_where_no_answer_began),
        cmocka_unit_test(a_request_that_was_not_finished_in_time_is_told),
        cmocka_unit_test(an_exchange_that_the_core_refuses_is_answered),
        cmocka_unit_test(a_connection_that_lists_a_configured_header_is_refused),
        cmocka_unit_test(a_fin_behind_pipelined_bytes_is_seen),
        cmocka_unit_test(a_fin_that_is_tolerated_lets_every_whole_request_be_answered),
        cmocka_unit_test(a_fin_before_which_the_body_lies_unread_is_no_leaving),
        cmocka_unit_test(a_fin_in_a_body_or_a_head_is_a_client_that_left),
        cmocka_unit_test(a_cut_answer_shows_on_the_wire),
        cmocka_unit_test(a_body_shorter_than_its_length_is_cut),
        cmocka_unit_test(an_early_answer_says_close_and_the_upload_is_thrown_away),
        cmocka_unit_test(an_upload_is_stopped_while_the_answer_still_goes_out),
        cmocka_unit_test(a_shutdown_is_told_with_the_next_answer),
        cmocka_unit_test(an_upgrade_becomes_a_tunnel_with_its_101),
        cmocka_unit_test(a_tunnel_ends_one_way_at_a_time),
        cmocka_unit_test(a_tunnel_is_cut_by_a_reset),
        cmocka_unit_test(an_upgrade_that_is_refused_ends_the_request_and_keeps_the_connection),
        cmocka_unit_test(a_connect_that_is_refused_closes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
