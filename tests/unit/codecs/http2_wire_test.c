// SPDX-License-Identifier: Apache-2.0
// One HTTP/2 session against frames that the test wrote: what a peer may do, and what it may not. The traps of the field by their numbers.
#include "tests/unit/codecs/http2_given.h"

/* ---- answers of an upstream ------------------------------------------------------------------------------------------------------ */

static struct script *upstream(struct side *d) {
    struct script *t = script_to(d, CODEC_UP);
    script_begin(t, d);
    return t;
}
static void end(struct script *t, struct side *d) {
    script_free(t);
    side_close(d);
}

/* Traps T8, T9, T18; semantics 3. */
static void a_reset_before_the_answers_end_is_a_failure_with_the_upstreams_code(void **state) {
    (void)state;
    for (uint32_t code = 0; code < 20; code++) {
        for (unsigned phase = 0; phase < 3; phase++) { /* before the head, behind it, behind some body */
            struct side d;
            struct script *t = upstream(&d);
            struct exchange *x = asked(&d, "GET", "/");
            side_flush(&d);
            if (phase) HEADERS(t, 1, false, { ":status", "200" });
            if (phase == 2) script_frame(t, NGHTTP2_DATA, 0, 1, "abc", 3);
            script_word(t, NGHTTP2_RST_STREAM, 1, code);
            script_send(t, &d);
            if (code == NGHTTP2_REFUSED_STREAM && phase == 0) {
                assert_ended(x, ENDING_REFUSED_STREAM, code);
                assert_true(x->fault.unprocessed);
            } else {
                assert_ended(x, ENDING_UPSTREAM_RESET, code); /* also NO_ERROR: truncation is no success */
                assert_false(x->fault.unprocessed);           /* T39 */
                static const enum reset_word words[14] = { [2] = RESET_INTERNAL, [7] = RESET_REFUSED, [8] = RESET_CANCEL, [11] = RESET_CALM,
                                                           [12] = RESET_SECURITY };
                assert_int_equal(x->fault.said, code < 14 ? words[code] : RESET_UNKNOWN);
            }
            assert_int_equal(resets(&d, -1, -1), 0); /* T11: never answered */
            assert_int_equal(buffer_size(&x->body), phase == 2 ? 3 : 0);
            end(t, &d);
        }
    }
}

static void t8_any_reset_behind_a_complete_answer_leaves_it_whole(void **state) {
    (void)state;
    for (uint32_t code = 0; code < 14; code++) {
        struct side d;
        struct script *t = upstream(&d);
        struct exchange *x = uploading(&d, "/");
        give(x, "some", 4, false);
        side_flush(&d);
        HEADERS(t, 1, false, { ":status", "200" });
        script_frame(t, NGHTTP2_DATA, 0, 1, "abc", 3);
        HEADERS(t, 1, true, { "grpc-status", "0" });
        script_word(t, NGHTTP2_RST_STREAM, 1, code);
        script_send(t, &d); /* in one read */
        assert_string_equal(x->order, "pphbec");
        assert_field(x->trailers, "grpc-status", "0");
        assert_ended_well(x);
        assert_int_equal(resets(&d, -1, -1), 0);
        end(t, &d);
    }
}

static void t11_a_stream_of_a_malformed_answer_is_reset_once(void **state) {
    struct side d;
    (void)state;
    struct script *t = upstream(&d);
    struct exchange *x = asked(&d, "GET", "/");
    side_flush(&d);
    HEADERS(t, 1, false, { ":status", "200" }, { "Bad-Name", "x" });
    script_word(t, NGHTTP2_RST_STREAM, 1, NGHTTP2_CANCEL);
    script_frame(t, NGHTTP2_DATA, NGHTTP2_FLAG_END_STREAM, 1, "late", 4);
    script_send(t, &d);
    assert_ended(x, ENDING_UPSTREAM_ERROR, NGHTTP2_PROTOCOL_ERROR);
    assert_true(resets(&d, -1, -1) <= 1);
    end(t, &d);
}

static void malformed_answers_are_the_upstreams_error(void **state) {
    static const struct pairs answers[][4] = {
        { { "content-type", "x" }, { 0 } },                                       /* no :status */
        { { ":status", "20" }, { 0 } },
        { { ":status", "101" }, { 0 } },                                          /* RFC 9113 8.6 */
        { { ":status", "200" }, { "connection", "close" }, { 0 } },
        { { ":status", "200" }, { "transfer-encoding", "chunked" }, { 0 } },
        { { ":status", "200" }, { "content-length", "1" }, { "content-length", "2" }, { 0 } },
        { { ":status", "200" }, { "content-length", "+1" }, { 0 } },
        { { ":status", "200" }, { "x", "a\r\nb: c" }, { 0 } },
        { { ":status", "200" }, { "x y", "a" }, { 0 } },
        { { ":status", "200" }, { ":status", "204" }, { 0 } },
        { { "x", "y" }, { ":status", "200" }, { 0 } },
        { { ":status", "200" }, { ":path", "/" }, { 0 } },
    };
    (void)state;
    for (size_t i = 0; i < sizeof answers / sizeof *answers; i++) {
        struct side d;
        struct script *t = upstream(&d);
        struct exchange *x = asked(&d, "GET", "/"), *neighbour = asked(&d, "GET", "/");
        side_flush(&d);
        script_headers(t, 1, false, answers[i]);
        script_send(t, &d);
        assert_ended(x, ENDING_UPSTREAM_ERROR, NGHTTP2_PROTOCOL_ERROR);
        assert_int_equal(x->heads, 0);
        assert_int_equal(resets(&d, 1, NGHTTP2_PROTOCOL_ERROR), 1);
        assert_lives(neighbour);
        end(t, &d);
    }
}

static void a_body_that_is_not_as_long_as_said_is_the_upstreams_error(void **state) {
    (void)state;
    for (unsigned longer = 0; longer < 2; longer++) {
        struct side d;
        struct script *t = upstream(&d);
        struct exchange *x = asked(&d, "GET", "/");
        side_flush(&d);
        HEADERS(t, 1, false, { ":status", "200" }, { "content-length", "4" });
        script_frame(t, NGHTTP2_DATA, NGHTTP2_FLAG_END_STREAM, 1, "abcde", longer ? 5 : 3);
        script_send(t, &d);
        assert_ended(x, ENDING_UPSTREAM_ERROR, NGHTTP2_PROTOCOL_ERROR);
        assert_int_equal(x->ends, 0);
        end(t, &d);
    }
}

static void t10_a_clients_no_error_behind_our_trailers_is_a_normal_end(void **state) {
    (void)state;
    for (uint32_t code = 0; code < 14; code++) {
        for (unsigned answered = 0; answered < 2; answered++) {
            struct side d;
            struct script *t = script_to(&d, CODEC_DOWN);
            script_begin(t, &d);
            GET(t, 1, false, { "content-type", "application/grpc" });
            script_send(t, &d);
            struct exchange *x = latest(&d);
            answer_body(x, 200);
            trailer(x, "grpc-status", "4");
            give(x, "", 0, answered);
            side_flush(&d);
            script_word(t, NGHTTP2_RST_STREAM, 1, code);
            script_send(t, &d);
            if (answered && code == NGHTTP2_NO_ERROR) assert_ended_well(x);
            else assert_ended(x, ENDING_CLIENT_RESET, code);
            assert_int_equal(resets(&d, -1, -1), 0);
            end(t, &d);
        }
    }
}

/* Trap T15. */
static void goaway_lets_the_streams_below_it_run_and_gives_back_the_others_unprocessed(void **state) {
    struct side d;
    (void)state;
    struct script *t = upstream(&d);
    struct exchange *below = asked(&d, "GET", "/"), *above = asked(&d, "GET", "/");
    side_flush(&d);
    struct exchange *unsaid = begun(&d), *queued = asked(&d, "GET", "/");
    script_goaway(t, 0x7fffffff, NGHTTP2_NO_ERROR); /* the first of two phases */
    script_send(t, &d);
    assert_int_equal(d.goaways, 1);
    assert_int_equal(d.s->slots, 0);
    assert_false(d.s->reusable);
    assert_lives(below);
    assert_lives(above);
    assert_ended(queued, ENDING_REFUSED_STREAM, 0);
    assert_true(queued->fault.unprocessed);
    assert_int_equal(wrote(&d, NGHTTP2_HEADERS, -1, -1), 2);
    script_goaway(t, 1, NGHTTP2_NO_ERROR);
    script_send(t, &d);
    assert_lives(below);
    assert_ended(above, ENDING_REFUSED_STREAM, NGHTTP2_REFUSED_STREAM);
    assert_true(above->fault.unprocessed);
    d.codec->send_head(&unsaid->leg, request_head(unsaid, "GET", "/"));
    side_flush(&d);
    assert_ended(unsaid, ENDING_REFUSED_STREAM, 0);
    assert_true(unsaid->fault.unprocessed);
    assert_int_equal(d.s->next, NEXT_MORE);
    HEADERS(t, 1, true, { ":status", "200" });
    script_send(t, &d);
    assert_ended_well(below);
    assert_int_equal(d.s->next, NEXT_CLOSE);
    end(t, &d);
}

static void t15_reset_and_goaway_in_one_read_end_a_leg_once(void **state) {
    struct side d;
    (void)state;
    struct script *t = upstream(&d);
    struct exchange *x = asked(&d, "GET", "/"), *y = asked(&d, "GET", "/");
    side_flush(&d);
    script_word(t, NGHTTP2_RST_STREAM, 3, NGHTTP2_REFUSED_STREAM);
    script_word(t, NGHTTP2_RST_STREAM, 1, NGHTTP2_INTERNAL_ERROR);
    script_goaway(t, 0, NGHTTP2_ENHANCE_YOUR_CALM);
    script_send(t, &d);
    assert_ended(x, ENDING_UPSTREAM_RESET, NGHTTP2_INTERNAL_ERROR); /* the first word on it wins */
    assert_ended(y, ENDING_REFUSED_STREAM, NGHTTP2_REFUSED_STREAM);
    assert_int_equal(d.goaway.wire, NGHTTP2_ENHANCE_YOUR_CALM);
    assert_int_equal(d.s->next, NEXT_CLOSE);
    end(t, &d);
}

/* What is tried again from inside on_closed finds no slot on the connection that just refused it. */
static unsigned slots_seen = 99;
static void look_at_slots(struct exchange *x, char event) {
    if (event == 'c') slots_seen = x->side->s->slots;
}
static void a_leg_that_hears_of_its_end_finds_the_connection_closed_to_new_ones(void **state) {
    (void)state;
    for (unsigned how = 0; how < 4; how++) {
        struct side d;
        struct script *t = upstream(&d);
        d.then = look_at_slots;
        struct exchange *x = asked(&d, "GET", "/");
        side_flush(&d);
        slots_seen = 99;
        if (how == 0) script_goaway(t, 0, NGHTTP2_NO_ERROR);
        if (how == 1) script_frame(t, NGHTTP2_DATA, 0, 0, "x", 1);
        if (how <= 1) script_send(t, &d);
        if (how == 2) d.codec->eof(d.s, false, d.now);
        if (how == 3) d.codec->lost(d.s, &(struct fault){ .why = ENDING_UPSTREAM_CLOSED });
        assert_int_equal(x->closes, 1);
        assert_int_equal(slots_seen, 0);
        end(t, &d);
    }
}

static void a_connection_lost_with_answers_owed_cuts_them(void **state) {
    struct side d;
    (void)state;
    struct script *t = upstream(&d);
    struct exchange *sent = asked(&d, "GET", "/");
    side_flush(&d);
    struct exchange *unsent = asked(&d, "GET", "/");
    d.codec->eof(d.s, false, d.now);
    assert_ended(sent, ENDING_UPSTREAM_CLOSED, 0);
    assert_false(sent->fault.unprocessed);
    assert_ended(unsent, ENDING_UPSTREAM_CLOSED, 0);
    assert_true(unsent->fault.unprocessed);
    assert_int_equal(d.faults, 1);
    assert_int_equal(d.s->next, NEXT_CLOSE);
    end(t, &d);
}

static void an_idle_connection_that_ends_says_close_and_no_more(void **state) {
    (void)state;
    for (int role = CODEC_DOWN; role <= CODEC_UP; role++) {
        struct side d;
        struct script *t = script_to(&d, (enum codec_role)role);
        script_begin(t, &d);
        d.codec->eof(d.s, false, d.now);
        assert_int_equal(d.faults, 0);
        assert_int_equal(d.s->next, NEXT_CLOSE);
        assert_int_equal(d.s->slots, 0);
        end(t, &d);
    }
}

static void a_client_that_closes_with_answers_owed_is_gone(void **state) {
    struct side d;
    (void)state;
    struct script *t = script_to(&d, CODEC_DOWN);
    script_begin(t, &d);
    GET(t, 1, true);
    script_send(t, &d);
    d.codec->eof(d.s, false, d.now);
    assert_ended(latest(&d), ENDING_CLIENT_CLOSED, 0);
    end(t, &d);
}

static void push_is_refused_as_the_settings_say(void **state) {
    struct side d;
    (void)state;
    struct script *t = upstream(&d);
    struct exchange *x = asked(&d, "GET", "/");
    side_flush(&d);
    uint8_t promise[4] = { 0, 0, 0, 2 };
    script_frame(t, NGHTTP2_PUSH_PROMISE, NGHTTP2_FLAG_END_HEADERS, 1, promise, 4);
    script_send(t, &d);
    assert_ended(x, ENDING_UPSTREAM_ERROR, NGHTTP2_PROTOCOL_ERROR);
    assert_int_equal(d.faults, 1);
    assert_int_equal(d.s->next, NEXT_CLOSE);
    assert_int_equal(wrote(&d, NGHTTP2_GOAWAY, 0, NGHTTP2_PROTOCOL_ERROR), 1);
    end(t, &d);
}

/* ---- a tunnel that the upstream has not -------------------------------------------------------------------------------------------- */

static struct exchange *tunnel(struct side *up) {
    struct exchange *x = begun(up);
    struct head *h = request_head(x, "GET", "/");
    h->protocol = STR("websocket");
    h->body = BODY_TUNNEL;
    up->codec->send_head(&x->leg, h);
    return x;
}

static void a_tunnel_to_an_upstream_without_extended_connect_is_no_route(void **state) {
    struct side d;
    (void)state;
    struct script *t = upstream(&d);
    struct exchange *x = tunnel(&d);
    side_flush(&d);
    assert_ended(x, ENDING_NO_ROUTE, 0);
    assert_int_equal(x->fault.status, 501);
    assert_int_equal(wrote(&d, NGHTTP2_HEADERS, -1, -1), 0);
    end(t, &d);
}

static void a_tunnel_waits_for_the_settings_and_holds_up_no_neighbour(void **state) {
    struct side d;
    (void)state;
    struct script *t = script_to(&d, CODEC_UP);
    side_begin(&d);
    struct exchange *x = tunnel(&d), *get = asked(&d, "GET", "/");
    side_flush(&d);
    assert_lives(x);
    assert_false(x->leg.head_taken);
    assert_true(get->leg.head_taken);
    script_setting(t, NGHTTP2_SETTINGS_ENABLE_CONNECT_PROTOCOL, 1);
    script_send(t, &d);
    assert_true(x->leg.head_taken);
    HEADERS(t, (int32_t)x->leg.id, false, { ":status", "200" });
    script_send(t, &d);
    assert_int_equal(x->head->status, 101);
    assert_no_field(x->head, "sec-websocket-accept"); /* who sent no key is owed none */
    end(t, &d);
}

/* ---- requests of a client (traps T25, and RFC 9113 8.2, 8.3) ---------------------------------------------------------------------------- */

static void malformed_requests_reach_nobody(void **state) {
#define REQ(...) { { ":method", "POST" }, { ":scheme", "http" }, { ":path", "/" }, { ":authority", "a" }, __VA_ARGS__, { 0 } }
#define TUNNEL(to) { { ":method", "CONNECT" }, { ":scheme", "http" }, { ":path", "/" }, { ":authority", "a" }, { ":protocol", to }, { 0 } }
    static const struct pairs requests[][9] = {
        REQ({ "x", "a\r\nhost: b" }),
        REQ({ "x", "a\nb" }),
        REQ({ "x", "a\rb" }),
        REQ({ "x", " padded" }),
        REQ({ "x\r\ny", "a" }),
        REQ({ "x: y", "a" }),
        REQ({ "X-Upper", "a" }),
        REQ({ "", "a" }),
        REQ({ "connection", "grpc-timeout" }),
        REQ({ "connection", "close" }),
        REQ({ "keep-alive", "1" }),
        REQ({ "proxy-connection", "keep-alive" }),
        REQ({ "transfer-encoding", "chunked" }),
        REQ({ "upgrade", "h2c" }),
        REQ({ "te", "gzip" }),
        REQ({ "te", "trailers, deflate" }),
        REQ({ "host", "b" }),
        REQ({ "host", "a:8080" }),
        REQ({ "content-length", "1" }, { "content-length", "1" }),
        REQ({ "content-length", "-1" }),
        REQ({ "content-length", "1, 1" }),
        REQ({ "content-length", "99999999999999999999" }),
        REQ({ ":path", "/second" }),
        REQ({ ":method", "GET" }),
        REQ({ ":unknown", "x" }),
        REQ({ ":status", "200" }),
        REQ({ "x", "y" }, { ":late", "z" }),
        REQ({ ":protocol", "websocket" }), /* without CONNECT */
        { { ":method", "GET" }, { ":scheme", "http" }, { ":path", "" }, { ":authority", "a" }, { 0 } },
        { { ":method", "GET" }, { ":scheme", "http" }, { ":path", "x" }, { ":authority", "a" }, { 0 } },
        { { ":method", "GET" }, { ":scheme", "http" }, { ":path", "*" }, { ":authority", "a" }, { 0 } },
        { { ":method", "GET" }, { ":scheme", "http" }, { ":path", "/a b" }, { ":authority", "a" }, { 0 } },
        { { ":method", "GET" }, { ":scheme", "http" }, { ":path", "/a HTTP/1.1\r\nx: y" }, { ":authority", "a" }, { 0 } },
        { { ":method", "GET" }, { ":scheme", "http" }, { ":path", "/a\tb" }, { ":authority", "a" }, { 0 } },
        { { ":method", "GET" }, { ":scheme", "http" }, { ":path", "/a#b" }, { ":authority", "a" }, { 0 } },
        { { ":method", "GET" }, { ":scheme", "http" }, { ":path", "/a\x7f" }, { ":authority", "a" }, { 0 } },
        { { ":method", "GET" }, { ":scheme", "http" }, { ":path", "http://b/" }, { ":authority", "a" }, { 0 } },
        { { ":method", "GET /" }, { ":scheme", "http" }, { ":path", "/" }, { ":authority", "a" }, { 0 } },
        { { ":method", "" }, { ":scheme", "http" }, { ":path", "/" }, { ":authority", "a" }, { 0 } },
        { { ":method", "GET" }, { ":scheme", "ftp" }, { ":path", "/" }, { ":authority", "a" }, { 0 } },
        { { ":method", "GET" }, { ":scheme", "http://b/?" }, { ":path", "/" }, { ":authority", "a" }, { 0 } },
        { { ":method", "GET" }, { ":scheme", "http" }, { ":path", "/" }, { ":authority", "u@a" }, { 0 } },
        { { ":method", "GET" }, { ":scheme", "http" }, { ":path", "/" }, { ":authority", "a b" }, { 0 } },
        { { ":method", "GET" }, { ":scheme", "http" }, { ":path", "/" }, { ":authority", "a/b" }, { 0 } },
        { { ":method", "GET" }, { ":scheme", "http" }, { ":path", "/" }, { ":authority", "a,b" }, { 0 } },
        { { ":method", "GET" }, { ":scheme", "http" }, { ":path", "/" }, { 0 } },                 /* neither :authority nor host */
        { { ":method", "GET" }, { ":scheme", "http" }, { ":path", "/" }, { "host", "a" }, { "host", "b" }, { 0 } },
        { { ":method", "GET" }, { ":scheme", "http" }, { ":authority", "a" }, { 0 } },
        { { ":method", "GET" }, { ":path", "/" }, { ":authority", "a" }, { 0 } },
        { { ":scheme", "http" }, { ":path", "/" }, { ":authority", "a" }, { 0 } },
        { { "x", "y" }, { ":method", "GET" }, { ":scheme", "http" }, { ":path", "/" }, { ":authority", "a" }, { 0 } },
        { { ":method", "CONNECT" }, { ":authority", "a:1" }, { ":path", "/" }, { ":scheme", "http" }, { 0 } },
        { { ":method", "CONNECT" }, { ":authority", "a:1" }, { ":protocol", "websocket" }, { 0 } },
        TUNNEL("h2c"), TUNNEL("H2C"), TUNNEL("HTTP/2.0"), TUNNEL("TLS/1.2"), /* HTTP past all routes */
        TUNNEL("websocket, h2c"), TUNNEL("web socket"), TUNNEL("a/b/c"), TUNNEL("/"), TUNNEL("a/"),
    };
    (void)state;
    for (size_t i = 0; i < sizeof requests / sizeof *requests; i++) {
        for (int whole = 0; whole < 2; whole++) {
            struct side d;
            struct script *t = script_to(&d, CODEC_DOWN);
            script_begin(t, &d);
            script_headers(t, 1, whole, requests[i]);
            GET(t, 3, true, { "x-next", "1" });
            script_send(t, &d);
            if (d.nx != 2 || strcmp(d.x[0]->order, "uc") != 0) print_message("request %zu\n", i);
            assert_int_equal(d.nx, 2);
            assert_string_equal(d.x[0]->order, "uc"); /* who logs requests hears of it */
            assert_ended(d.x[0], ENDING_CLIENT_ERROR, NGHTTP2_PROTOCOL_ERROR);
            assert_int_equal(resets(&d, 1, NGHTTP2_PROTOCOL_ERROR), 1);
            assert_field(latest(&d)->head, "x-next", "1"); /* a neighbour is not hurt */
            assert_false(d.s->begun);
            end(t, &d);
        }
    }
}

static void a_malformed_request_is_told_400_before_it_is_reset(void **state) {
    struct side d;
    (void)state;
    struct script *t = script_to(&d, CODEC_DOWN);
    script_begin(t, &d);
    size_t before = d.nframes;
    GET(t, 1, true, { "host", "other" });
    script_send(t, &d);
    assert_int_equal(d.frames[before].type, NGHTTP2_HEADERS);
    assert_int_equal(d.frames[before + 1].type, NGHTTP2_RST_STREAM);
    assert_int_equal(d.frames[before + 1].word, NGHTTP2_PROTOCOL_ERROR);
    assert_ended(latest(&d), ENDING_CLIENT_ERROR, NGHTTP2_PROTOCOL_ERROR);
    assert_int_equal(latest(&d)->fault.status, 400);
    assert_string_equal(latest(&d)->order, "uc");
    end(t, &d);
}

static void a_head_over_the_limit_is_told_431_and_its_neighbours_are_read_on(void **state) {
    static char big[70000];
    (void)state;
    memset(big, 'x', sizeof big - 1);
    for (int whole = 0; whole < 2; whole++) {
        struct side d;
        struct script *t = script_to(&d, CODEC_DOWN);
        script_begin(t, &d);
        GET(t, 1, whole, { "x-small", "kept in the table" }, { "x-big", big }, { "content-type", "application/grpc" });
        script_send(t, &d);
        assert_string_equal(latest(&d)->order, whole ? "ue" : "u");
        assert_int_equal(latest(&d)->fault.status, 431);
        assert_field(latest(&d)->head, "content-type", "application/grpc"); /* what fits is told, wherever it stands */
        assert_no_field(latest(&d)->head, "x-big");
        answer_plain(latest(&d), 431);
        d.codec->cancel(&latest(&d)->leg, ENDING_COMPLETED, 0, CANCEL_DRAIN);
        side_flush(&d);
        assert_true(latest(&d)->good);
        assert_int_equal(wrote(&d, NGHTTP2_HEADERS, 1, -1), 1);
        d.now = instant_add(d.now, span_ms(10));
        d.codec->tick(d.s, d.now);
        side_flush(&d);
        assert_int_equal(resets(&d, 1, NGHTTP2_NO_ERROR), whole ? 0 : 1);
        GET(t, 3, true, { "x-small", "kept in the table" });
        script_send(t, &d);
        assert_field(latest(&d)->head, "x-small", "kept in the table");
        end(t, &d);
    }
}

static void what_is_well_formed_is_taken_as_it_is(void **state) {
    struct side d;
    (void)state;
    struct script *t = script_to(&d, CODEC_DOWN);
    script_begin(t, &d);
    HEADERS(t, 1, true, { ":method", "OPTIONS" }, { ":scheme", "https" }, { ":path", "*" }, { ":authority", "A" }, { "host", "a" });
    script_send(t, &d);
    assert_str(latest(&d)->head->target, "*");
    assert_no_field(latest(&d)->head, "host");
    HEADERS(t, 3, true, { ":method", "M-SEARCH" }, { ":scheme", "http" }, { ":path", "/a?b=\"c\"&d=%20\xc3\xa4" }, { "host", "a:80" });
    script_send(t, &d);
    assert_str(latest(&d)->head->authority, "a:80");
    assert_str(latest(&d)->head->target, "/a?b=\"c\"&d=%20\xc3\xa4");
    GET(t, 5, false, { "content-length", "3" }, { "te", "trailers" }, { "expect", "100-continue" }, { "x", "" });
    script_frame(t, NGHTTP2_DATA, NGHTTP2_FLAG_END_STREAM, 5, "abc", 3);
    script_send(t, &d);
    assert_int_equal(latest(&d)->head->body, BODY_LENGTH);
    assert_int_equal(latest(&d)->head->length, 3);
    assert_field(latest(&d)->head, "expect", "100-continue");
    assert_field(latest(&d)->head, "x", "");
    HEADERS(t, 7, false, { ":method", "CONNECT" }, { ":authority", "a:443" });
    script_send(t, &d);
    assert_int_equal(latest(&d)->head->body, BODY_TUNNEL);
    assert_int_equal(latest(&d)->head->target.n, 0);
    end(t, &d);
}

static void cookie_crumbs_become_one_field(void **state) {
    struct side d;
    (void)state;
    struct script *t = script_to(&d, CODEC_DOWN);
    script_begin(t, &d);
    GET(t, 1, true, { "cookie", "a=b" }, { "x", "y" }, { "cookie", "c=d" }, { "cookie", "" }, { "cookie", "e=f" });
    script_send(t, &d);
    assert_field(latest(&d)->head, "cookie", "a=b; c=d; ; e=f");
    const struct field *f = head_find_name(latest(&d)->head, STR("cookie"), NULL);
    assert_null(head_find_name(latest(&d)->head, STR("cookie"), f));
    end(t, &d);
}

static void trailers_that_frame_or_route_end_the_stream(void **state) {
    static const struct pairs bad[][2] = { { { "content-length", "3" }, { 0 } }, { { "host", "b" }, { 0 } }, { { ":path", "/" }, { 0 } },
                                           { { "connection", "x" }, { 0 } }, { { "Upper", "x" }, { 0 } } };
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct side d;
        struct script *t = script_to(&d, CODEC_DOWN);
        script_begin(t, &d);
        GET(t, 1, false, { "x", "y" });
        script_headers(t, 1, true, bad[i]);
        script_send(t, &d);
        assert_ended(latest(&d), ENDING_CLIENT_ERROR, NGHTTP2_PROTOCOL_ERROR);
        assert_int_equal(latest(&d)->ends, 0);
        assert_int_equal(resets(&d, 1, NGHTTP2_PROTOCOL_ERROR), 1);
        end(t, &d);
    }
}

/* ---- connections ------------------------------------------------------------------------------------------------------------------------ */

static void a_broken_connection_ends_its_legs_and_says_goaway(void **state) {
    static const struct { const char *what; uint8_t type, flags; int32_t stream; size_t n; uint32_t code; } broken[] = {
        { "DATA on stream 0", NGHTTP2_DATA, 0, 0, 3, NGHTTP2_PROTOCOL_ERROR },
        { "HEADERS on an even stream", NGHTTP2_HEADERS, NGHTTP2_FLAG_END_HEADERS, 2, 1, NGHTTP2_PROTOCOL_ERROR },
        { "a short PING", NGHTTP2_PING, 0, 0, 7, NGHTTP2_FRAME_SIZE_ERROR },
        { "a frame over our limit", NGHTTP2_DATA, 0, 1, 16385, NGHTTP2_FRAME_SIZE_ERROR },
        { "CONTINUATION alone", NGHTTP2_CONTINUATION, NGHTTP2_FLAG_END_HEADERS, 1, 1, NGHTTP2_PROTOCOL_ERROR },
        { "HPACK index 0", NGHTTP2_HEADERS, NGHTTP2_FLAG_END_HEADERS, 3, 1, NGHTTP2_COMPRESSION_ERROR },
        { "RST_STREAM of an idle stream", NGHTTP2_RST_STREAM, 0, 99, 4, NGHTTP2_PROTOCOL_ERROR },
        { "WINDOW_UPDATE of nothing", NGHTTP2_WINDOW_UPDATE, 0, 0, 4, NGHTTP2_PROTOCOL_ERROR },
    };
    static uint8_t payload[16385];
    (void)state;
    payload[0] = 0x80;
    for (size_t i = 0; i < sizeof broken / sizeof *broken; i++) {
        struct side d;
        struct script *t = script_to(&d, CODEC_DOWN);
        script_begin(t, &d);
        GET(t, 1, false, { "x", "y" });
        script_send(t, &d);
        struct exchange *x = latest(&d);
        bool zero = broken[i].type == NGHTTP2_WINDOW_UPDATE;
        script_frame(t, broken[i].type, broken[i].flags, broken[i].stream, zero ? payload + 1 : payload, broken[i].n);
        script_send(t, &d);
        if (!d.faults) print_message("%s\n", broken[i].what);
        assert_int_equal(d.faults, 1);
        assert_int_equal(d.fault.why, ENDING_CLIENT_ERROR);
        assert_int_equal(x->closes, 1);
        assert_int_equal(x->fault.why, ENDING_CLIENT_ERROR);
        assert_int_equal(d.s->next, NEXT_CLOSE);
        assert_int_equal(wrote(&d, NGHTTP2_GOAWAY, 0, broken[i].code), 1);
        assert_false(d.s->wants_output);
        end(t, &d);
    }
}

static void a_client_without_the_preface_is_told_and_left(void **state) {
    struct side d;
    (void)state;
    struct script *t = script_to(&d, CODEC_DOWN);
    side_begin(&d);
    script_raw(t, "GET / HTTP/1.1\r\n\r\n", 18);
    script_send(t, &d);
    assert_int_equal(d.faults, 1);
    assert_int_equal(d.s->next, NEXT_CLOSE);
    assert_int_equal(wrote(&d, NGHTTP2_GOAWAY, 0, NGHTTP2_PROTOCOL_ERROR), 1);
    end(t, &d);
}

static void shutdown_is_told_in_two_phases(void **state) {
    struct side d;
    (void)state;
    struct script *t = script_to(&d, CODEC_DOWN);
    script_begin(t, &d);
    GET(t, 1, true, { "x", "y" });
    script_send(t, &d);
    d.codec->shutdown(d.s, false);
    side_flush(&d);
    assert_int_equal(wrote(&d, NGHTTP2_GOAWAY, 0, NGHTTP2_NO_ERROR), 1);
    GET(t, 3, true, { "x", "y" }); /* was on its way */
    script_send(t, &d);
    assert_int_equal(d.nx, 2);
    d.codec->shutdown(d.s, true);
    side_flush(&d);
    assert_int_equal(wrote(&d, NGHTTP2_GOAWAY, 0, NGHTTP2_NO_ERROR), 2);
    GET(t, 5, true, { "x", "y" });
    script_send(t, &d);
    assert_int_equal(d.nx, 2);
    assert_int_equal(d.s->slots, 0);
    answer_plain(d.x[0], 200);
    side_flush(&d);
    assert_int_equal(d.s->next, NEXT_MORE);
    answer_plain(d.x[1], 200);
    side_flush(&d);
    assert_ended_well(d.x[1]);
    assert_int_equal(d.s->next, NEXT_CLOSE);
    end(t, &d);
}

static void an_idle_session_that_shuts_down_closes(void **state) {
    (void)state;
    for (int role = CODEC_DOWN; role <= CODEC_UP; role++) {
        struct side d;
        struct script *t = script_to(&d, (enum codec_role)role);
        script_begin(t, &d);
        d.codec->shutdown(d.s, true);
        side_flush(&d);
        assert_int_equal(d.s->next, NEXT_CLOSE);
        assert_int_equal(wrote(&d, NGHTTP2_GOAWAY, 0, NGHTTP2_NO_ERROR), 1);
        assert_int_equal(d.faults, 0);
        end(t, &d);
    }
}

static void a_request_that_nobody_takes_is_refused_unprocessed(void **state) {
    struct side d;
    (void)state;
    struct script *t = script_to(&d, CODEC_DOWN);
    script_begin(t, &d);
    d.refuses = true;
    GET(t, 1, false, { "x", "y" });
    script_frame(t, NGHTTP2_DATA, 0, 1, "abc", 3);
    script_send(t, &d);
    assert_int_equal(resets(&d, 1, NGHTTP2_REFUSED_STREAM), 1);
    end(t, &d);
}

static void a_head_that_does_not_come_is_begun_and_can_be_given_up(void **state) {
    struct side d;
    (void)state;
    struct script *t = script_to(&d, CODEC_DOWN);
    script_begin(t, &d);
    GET(t, 1, true, { "x", "y" });
    script_send(t, &d);
    assert_false(d.s->begun);
    script_frame(t, NGHTTP2_HEADERS, 0, 3, "\x82", 1); /* CONTINUATION owed */
    script_send(t, &d);
    assert_true(d.s->begun);
    d.codec->refuse(d.s, &(struct fault){ .why = ENDING_CLIENT_TIMEOUT, .status = 408 });
    side_flush(&d);
    assert_ended(d.x[0], ENDING_CLIENT_TIMEOUT, 0);
    assert_int_equal(d.s->next, NEXT_CLOSE);
    assert_int_equal(wrote(&d, NGHTTP2_GOAWAY, 0, -1), 1);
    end(t, &d);
}

static void a_preface_that_does_not_end_is_begun(void **state) {
    struct side d;
    (void)state;
    struct script *t = script_to(&d, CODEC_DOWN);
    side_begin(&d);
    assert_false(d.s->begun);
    script_raw(t, NGHTTP2_CLIENT_MAGIC, 10);
    script_send(t, &d);
    assert_true(d.s->begun);
    end(t, &d);
}

static void probing_says_yes_more_or_no(void **state) {
    const struct codec *c = codec_by_name(STR("http2"));
    const uint8_t *magic = (const uint8_t *)NGHTTP2_CLIENT_MAGIC;
    (void)state;
    for (size_t n = 0; n < NGHTTP2_CLIENT_MAGIC_LEN; n++) {
        uint8_t *p = mem_alloc(n + 1);
        memcpy(p, magic, n);
        assert_int_equal(c->probe(p, n), PROBE_MORE);
        p[n] = (uint8_t)(magic[n] ^ 1);
        assert_int_equal(c->probe(p, n + 1), PROBE_NO);
        free(p);
    }
    assert_int_equal(c->probe(magic, NGHTTP2_CLIENT_MAGIC_LEN), PROBE_YES);
    uint8_t longer[30] = { 0 };
    memcpy(longer, magic, NGHTTP2_CLIENT_MAGIC_LEN);
    assert_int_equal(c->probe(longer, sizeof longer), PROBE_YES);
}

/* One byte at a time, and whole, the same is understood. */
static void input_may_be_cut_anywhere(void **state) {
    (void)state;
    for (size_t step = 1; step < 40; step += 3) {
        struct side d;
        struct script *t = script_to(&d, CODEC_DOWN);
        side_begin(&d);
        script_raw(t, NGHTTP2_CLIENT_MAGIC, NGHTTP2_CLIENT_MAGIC_LEN);
        script_frame(t, NGHTTP2_SETTINGS, 0, 0, "", 0);
        GET(t, 1, false, { "x-long-name", "a value that is long enough to be cut" }, { "content-length", "9" });
        script_frame(t, NGHTTP2_DATA, NGHTTP2_FLAG_PADDED, 1, "\x03some\0\0\0", 8);
        script_frame(t, NGHTTP2_DATA, 0, 1, " body", 5);
        HEADERS(t, 1, true, { "x-trailer", "1" });
        for (size_t at = 0; at < t->n; at += step) {
            size_t n = t->n - at < step ? t->n - at : step;
            uint8_t *piece = mem_alloc(n);
            memcpy(piece, t->p + at, n);
            side_feed(&d, piece, n);
            free(piece);
        }
        struct exchange *x = latest(&d);
        assert_memory_equal(buffer_data(&x->body), "some body", 9);
        assert_field(x->head, "x-long-name", "a value that is long enough to be cut");
        assert_field(x->trailers, "x-trailer", "1");
        assert_int_equal(x->ends, 1);
        end(t, &d);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_reset_before_the_answers_end_is_a_failure_with_the_upstreams_code),
        cmocka_unit_test(t8_any_reset_behind_a_complete_answer_leaves_it_whole),
        cmocka_unit_test(t11_a_stream_of_a_malformed_answer_is_reset_once),
        cmocka_unit_test(malformed_answers_are_the_upstreams_error),
        cmocka_unit_test(a_body_that_is_not_as_long_as_said_is_the_upstreams_error),
        cmocka_unit_test(t10_a_clients_no_error_behind_our_trailers_is_a_normal_end),
        cmocka_unit_test(goaway_lets_the_streams_below_it_run_and_gives_back_the_others_unprocessed),
        cmocka_unit_test(t15_reset_and_goaway_in_one_read_end_a_leg_once),
        cmocka_unit_test(a_leg_that_hears_of_its_end_finds_the_connection_closed_to_new_ones),
        cmocka_unit_test(a_connection_lost_with_answers_owed_cuts_them),
        cmocka_unit_test(an_idle_connection_that_ends_says_close_and_no_more),
        cmocka_unit_test(a_client_that_closes_with_answers_owed_is_gone),
        cmocka_unit_test(push_is_refused_as_the_settings_say),
        cmocka_unit_test(a_tunnel_to_an_upstream_without_extended_connect_is_no_route),
        cmocka_unit_test(a_tunnel_waits_for_the_settings_and_holds_up_no_neighbour),
        cmocka_unit_test(malformed_requests_reach_nobody),
        cmocka_unit_test(a_malformed_request_is_told_400_before_it_is_reset),
        cmocka_unit_test(a_head_over_the_limit_is_told_431_and_its_neighbours_are_read_on),
        cmocka_unit_test(what_is_well_formed_is_taken_as_it_is),
        cmocka_unit_test(cookie_crumbs_become_one_field),
        cmocka_unit_test(trailers_that_frame_or_route_end_the_stream),
        cmocka_unit_test(a_broken_connection_ends_its_legs_and_says_goaway),
        cmocka_unit_test(a_client_without_the_preface_is_told_and_left),
        cmocka_unit_test(shutdown_is_told_in_two_phases),
        cmocka_unit_test(an_idle_session_that_shuts_down_closes),
        cmocka_unit_test(a_request_that_nobody_takes_is_refused_unprocessed),
        cmocka_unit_test(a_head_that_does_not_come_is_begun_and_can_be_given_up),
        cmocka_unit_test(a_preface_that_does_not_end_is_begun),
        cmocka_unit_test(probing_says_yes_more_or_no),
        cmocka_unit_test(input_may_be_cut_anywhere),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
