// SPDX-License-Identifier: Apache-2.0
// Windows, slots, budgets and times of an HTTP/2 session: nobody's share is eaten by another, and nothing is sent that a peer would take for
// an attack.
#include "tests/unit/codecs/http2_given.h"

static nghttp2_session *ng_of(const struct side *d) { return http2_of(d->s)->ng; }
/* Bytes received that no WINDOW_UPDATE has given back yet; below half a window nghttp2 is silent on purpose. */
static size_t owed(const struct side *d) { return (size_t)nghttp2_session_get_effective_recv_data_length(ng_of(d)); }

/* Trap T12: 64 KiB in flight for each of 10 000 cancels, some read already, most not. */
static void t12_cancelled_streams_leave_the_connections_window_where_it_was(void **state) {
    struct pair p;
    enum { CANCELS = 10000, IN_FLIGHT = 64 << 10 };
    (void)state;
    pair_open(&p);
    p.down.s->trusted = true;
    pair_begin(&p);
    size_t half = p.up.conf.connection_window / 2;
    for (unsigned i = 0; i < CANCELS; i++) {
        struct exchange *up = asked(&p.up, "GET", "/");
        up->hold = i % 2;
        talk(&p);
        struct exchange *down = latest(&p.down);
        answer_body(down, 200);
        give_zeros(down, IN_FLIGHT, false);
        side_flush(&p.down); /* on the wire */
        if (i % 3 == 0) carry(&p.down, &p.up);
        cancel(up, ENDING_DEADLINE, 0, CANCEL_BAND);
        if (i % 5 == 0) carry(&p.down, &p.up); /* arrives before our reset left */
        talk(&p);
        assert_int_equal(up->closes, 1);
        assert_int_equal(down->closes, 1);
        assert_true(owed(&p.up) < half);
        side_forget(&p.up);
        side_forget(&p.down);
        p.up.nframes = p.down.nframes = 0;
    }
    struct exchange *last = asked(&p.up, "GET", "/");
    talk(&p);
    answer_body(latest(&p.down), 200);
    give_zeros(latest(&p.down), 4 << 20, true);
    talk(&p);
    assert_int_equal(buffer_size(&last->body), 4 << 20);
    pair_close(&p);
}

/* The same for uploads that the client resets, or that we answer early. */
static void t12_uploads_that_end_early_leave_the_window_too(void **state) {
    struct pair p;
    (void)state;
    pair_open(&p);
    p.down.s->trusted = true;
    pair_begin(&p);
    for (unsigned i = 0; i < 300; i++) {
        struct exchange *up = uploading(&p.up, "/");
        give_zeros(up, 60000, false);
        side_flush(&p.up);
        if (i % 2) carry(&p.up, &p.down);
        if (i % 3 == 0) {
            cancel(up, ENDING_CLIENT_RESET, 0, CANCEL_BAND);
        } else if (p.down.nx) {
            answer_plain(latest(&p.down), 413);
            cancel(latest(&p.down), ENDING_COMPLETED, 0, CANCEL_DRAIN);
        }
        talk(&p);
        if (i % 5) pair_at(&p, instant_add(p.up.now, span_ms(10)));
        if (up->live) cancel(up, ENDING_DEADLINE, 0, CANCEL_BAND);
        talk(&p);
        assert_true(owed(&p.down) < p.down.conf.connection_window / 2);
        side_forget(&p.up);
        side_forget(&p.down);
        assert_int_equal(p.up.nx + p.down.nx, 0);
    }
    pair_close(&p);
}

static void a_leg_that_takes_nothing_holds_its_sender_and_not_its_neighbours(void **state) {
    struct pair p;
    (void)state;
    pair_start(&p);
    struct exchange *slow[20];
    for (size_t i = 0; i < 20; i++) { /* together far more than the connection's window */
        slow[i] = asked(&p.up, "GET", "/slow");
        slow[i]->hold = true;
        talk(&p);
        answer_body(latest(&p.down), 200);
        give_zeros(latest(&p.down), 1 << 20, true);
        talk(&p);
        assert_int_equal(buffer_size(&slow[i]->body), p.up.conf.stream_window);
    }
    struct exchange *quick = asked(&p.up, "GET", "/quick");
    talk(&p);
    answer_body(latest(&p.down), 200);
    give_zeros(latest(&p.down), 1 << 20, true);
    talk(&p);
    assert_ended_well(quick);
    p.up.codec->credit(&slow[3]->leg, p.up.conf.stream_window);
    slow[3]->hold = false;
    talk(&p);
    assert_ended_well(slow[3]);
    assert_lives(slow[4]);
    pair_close(&p);
}

/* Trap T16: the socket to the upstream takes nothing, its bytes are taken all the same. */
static void t16_what_the_upstream_says_is_heard_while_nothing_can_be_written(void **state) {
    struct pair p;
    (void)state;
    pair_start(&p);
    struct exchange *up = uploading(&p.up, "/"), *other = uploading(&p.up, "/");
    give_zeros(up, 10, false);
    talk(&p);
    p.up.blocked = true;
    give_zeros(up, 100000, false);
    cancel(p.down.x[0], ENDING_UPSTREAM_RESET, RESET_CALM, CANCEL_CLOSE);
    carry(&p.down, &p.up);
    assert_ended(up, ENDING_UPSTREAM_RESET, NGHTTP2_ENHANCE_YOUR_CALM);
    assert_lives(other);
    p.up.blocked = false;
    pair_close(&p);
}

/* Trap T17. */
static void t17_an_upstream_that_opens_no_window_is_still_told_of_the_cancel(void **state) {
    struct side d;
    (void)state;
    struct script *t = script_to(&d, CODEC_UP);
    script_begin(t, &d);
    script_setting(t, NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, 0);
    script_send(t, &d);
    struct exchange *x = uploading(&d, "/");
    give_zeros(x, 100000, true);
    side_flush(&d);
    assert_true(x->leg.head_taken);
    assert_int_equal(wrote(&d, NGHTTP2_DATA, -1, -1), 0);
    assert_false(d.s->wants_output);
    assert_int_equal(cancel(x, ENDING_DEADLINE, 0, CANCEL_BAND), CANCEL_BAND);
    side_flush(&d);
    assert_int_equal(resets(&d, 1, NGHTTP2_CANCEL), 1);
    assert_ended(x, ENDING_DEADLINE, 0);
    script_free(t);
    side_close(&d);
}

static void a_connections_window_that_is_used_up_holds_no_reset(void **state) {
    struct side d;
    (void)state;
    struct script *t = script_to(&d, CODEC_UP);
    script_begin(t, &d);
    struct exchange *x = uploading(&d, "/");
    script_setting(t, NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, 1 << 20);
    script_send(t, &d);
    give_zeros(x, 1 << 20, true);
    side_flush(&d);
    assert_int_equal(x->offset, 65535);
    cancel(x, ENDING_DEADLINE, 0, CANCEL_BAND);
    side_flush(&d);
    assert_int_equal(resets(&d, 1, NGHTTP2_CANCEL), 1);
    script_free(t);
    side_close(&d);
}

/* ---- slots ---------------------------------------------------------------------------------------------------------------------------- */

/* nghttp2 drops the answer of a stream that it reset itself (here for a body longer than said), behind that reset; where no room was left by then, it went on
 * to the others' bodies, and what cannot be pulled must wait and not be reset. */
static void an_answer_that_has_no_stream_any_more_costs_no_neighbour_its_body(void **state) {
    struct side d;
    (void)state;
    struct script *t = script_to(&d, CODEC_DOWN);
    script_begin(t, &d);
    GET(t, 1, true);
    HEADERS(t, 3, false, { ":method", "POST" }, { ":scheme", "http" }, { ":path", "/" }, { ":authority", "a" }, { "content-length", "3" });
    script_send(t, &d);
    struct exchange *good = d.x[0], *bad = d.x[1];
    answer_body(good, 200);
    side_flush(&d);
    script_frame(t, NGHTTP2_DATA, 0, 3, "12345", 5);
    d.limit = 1; /* the reset has room, and nothing after it */
    side_feed(&d, t->p, t->n);
    give_zeros(good, 100, true);
    answer_plain(bad, 200);
    side_flush(&d);
    assert_int_equal(resets(&d, 3, NGHTTP2_PROTOCOL_ERROR), 1);
    assert_int_equal(resets(&d, 1, -1), 0);
    assert_ended_well(good);
    script_free(t);
    side_close(&d);
}

/* RFC 9113 5.4.2. It comes between two pieces of the answer's head, which is then given out to its end: HPACK's state is the connection's. */
static void a_reset_of_the_client_is_answered_with_none(void **state) {
    struct side d;
    (void)state;
    struct script *t = script_to(&d, CODEC_DOWN);
    script_begin(t, &d);
    GET(t, 1, true);
    script_send(t, &d);
    d.limit = 1;
    struct head *h = answer_head(d.x[0], 200, BODY_STREAM);
    head_add(h, STR("x-big"), (struct str){ memset(arena_bytes(&d.x[0]->arena, 40000), 'X', 40000), 40000 });
    d.codec->send_head(&d.x[0]->leg, h);
    side_write(&d);
    assert_int_equal(wrote(&d, NGHTTP2_HEADERS, 1, -1), 1);
    assert_int_equal(wrote(&d, NGHTTP2_CONTINUATION, 1, -1), 0);
    script_word(t, NGHTTP2_RST_STREAM, 1, NGHTTP2_CANCEL);
    script_send(t, &d);
    assert_ended(d.x[0], ENDING_CLIENT_RESET, NGHTTP2_CANCEL);
    assert_true(wrote(&d, NGHTTP2_CONTINUATION, 1, -1) > 0);
    assert_int_equal(resets(&d, -1, -1), 0);
    script_free(t);
    side_close(&d);
}

/* Each is a head in its exchange's memory, and none is its end. */
static void an_upstream_that_sends_interim_answers_alone_is_broken(void **state) {
    struct pair p;
    (void)state;
    pair_start(&p);
    struct exchange *up = asked(&p.up, "GET", "/");
    talk(&p);
    struct exchange *down = latest(&p.down);
    unsigned most = (unsigned)p.up.conf.max_interim;
    for (unsigned i = 0; i < most; i++) p.down.codec->send_head(&down->leg, answer_head(down, 103, BODY_NONE));
    talk(&p);
    assert_int_equal(up->interims, most);
    assert_true(up->live);
    p.down.codec->send_head(&down->leg, answer_head(down, 103, BODY_NONE));
    talk(&p);
    assert_int_equal(up->interims, most);
    assert_int_equal(up->closes, 1);
    assert_int_equal(up->fault.why, ENDING_UPSTREAM_ERROR);
    assert_int_equal(down->closes, 1); /* it was told to stop */
    pair_close(&p);
}
static void a_long_head_costs_its_connection_no_memory_afterwards(void **state) {
    static char big[60000];
    struct side d;
    (void)state;
    memset(big, 'x', sizeof big - 1);
    struct script *t = script_to(&d, CODEC_DOWN);
    script_begin(t, &d);
    GET(t, 1, true, { "x-big", big });
    script_send(t, &d);
    assert_int_equal(latest(&d)->heads, 1);
    const struct http2 *h = session_tail(d.s);
    assert_true(h->gather.text_cap + h->gather.cap * sizeof *h->gather.v <= 16 << 10);
    script_free(t);
    side_close(&d);
}

static void slots_follow_the_peers_settings(void **state) {
    struct side d;
    (void)state;
    struct script *t = script_to(&d, CODEC_UP);
    side_begin(&d);
    assert_int_equal(d.s->slots, 100); /* until it says */
    assert_true(d.s->reusable);
    script_setting(t, NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, 3);
    script_send(t, &d);
    assert_int_equal(d.s->slots, 3);
    assert_true(d.slot_changes >= 2);
    struct exchange *x[3];
    for (size_t i = 0; i < 3; i++) x[i] = asked(&d, "GET", "/");
    side_flush(&d);
    assert_int_equal(wrote(&d, NGHTTP2_HEADERS, -1, -1), 3);
    script_setting(t, NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, 1);
    script_send(t, &d);
    assert_int_equal(d.s->slots, 1);
    /* One that was begun before the peer took the slot back waits here, where it can be withdrawn. */
    d.s->slots = 4;
    struct exchange *fourth = asked(&d, "GET", "/");
    side_flush(&d);
    assert_false(fourth->leg.head_taken);
    assert_false(d.s->wants_output);
    for (size_t i = 0; i < 2; i++) {
        HEADERS(t, (int32_t)x[i]->leg.id, true, { ":status", "200" });
        script_send(t, &d);
        assert_false(fourth->leg.head_taken);
    }
    HEADERS(t, (int32_t)x[2]->leg.id, true, { ":status", "200" });
    script_send(t, &d);
    assert_true(fourth->leg.head_taken);
    script_free(t);
    side_close(&d);
}

/* RFC 9113 5.1.1: a client whose stream identifiers are used up opens a new connection. */
static void a_connection_whose_stream_ids_are_used_up_retires(void **state) {
    struct pair p;
    (void)state;
    pair_start(&p);
    talk(&p);
    nghttp2_session_set_next_stream_id(http2_of(p.up.s)->ng, INT32_MAX);
    struct exchange *last = asked(&p.up, "GET", "/last"), *past = asked(&p.up, "GET", "/past");
    talk(&p);
    assert_int_equal(last->leg.id, INT32_MAX);
    assert_ended(past, ENDING_REFUSED_STREAM, 0);
    assert_true(past->fault.unprocessed && past->fault.passed_over); /* so another connection takes it */
    assert_int_equal(p.up.s->slots, 0);
    assert_false(p.up.s->reusable);
    assert_int_equal(p.up.s->next, NEXT_MORE);
    answer_plain(p.down.x[0], 200);
    talk(&p);
    assert_ended_well(last);
    assert_int_equal(p.up.s->next, NEXT_CLOSE);
    assert_int_equal(wrote(&p.up, NGHTTP2_GOAWAY, 0, -1), 1);
    pair_close(&p);
}

static void a_client_over_its_streams_is_sent_away(void **state) {
    struct side d;
    (void)state;
    struct script *t = script_to(&d, CODEC_DOWN);
    d.conf.max_concurrent_streams = 2;
    script_begin(t, &d);
    GET(t, 1, true);
    GET(t, 3, true);
    GET(t, 5, true);
    script_send(t, &d);
    assert_int_equal(d.nx, 2);
    assert_int_equal(d.faults, 1);
    script_free(t);
    side_close(&d);
}

/* ---- what we reset ---------------------------------------------------------------------------------------------------------------------- */

/* Semantics 5, the reset budget in three steps; traps T13 and T14. */
static void resets_stay_within_the_budget_of_the_connection(void **state) {
    struct pair p;
    (void)state;
    pair_start_with_budget(&p, 10, span_ms(100));
    struct exchange *neighbour = asked(&p.up, "GET", "/neighbour"), *x[30];
    for (size_t i = 0; i < 30; i++) x[i] = asked(&p.up, "GET", "/");
    talk(&p);
    answer_body(p.down.x[0], 200);
    for (size_t i = 0; i < 30; i++) { /* a client's connection is lost: many cancels at once */
        assert_int_equal(cancel(x[i], ENDING_CLIENT_RESET, 0, CANCEL_BAND), CANCEL_BAND);
    }
    talk(&p);
    assert_int_equal(resets(&p.up, -1, NGHTTP2_CANCEL), 10);
    for (size_t i = 0; i < 30; i++) assert_ended(x[i], ENDING_CLIENT_RESET, 0); /* nobody waits for a token but the stream */
    assert_int_equal(p.up.s->slots, 0);      /* (1) new requests use another connection */
    assert_int_equal(p.up.s->next, NEXT_MORE);
    assert_int_equal(p.up.s->wake.ns, MS(1100).ns);
    answer_body(p.down.x[11], 200); /* the oldest that waits; (2) it gets no more window */
    give_zeros(p.down.x[11], 1 << 20, true);
    talk(&p);
    assert_int_equal(p.down.x[11]->offset, p.up.conf.stream_window);
    for (unsigned i = 1; i <= 20; i++) {
        assert_int_equal(p.up.s->slots, 0);
        assert_int_equal(p.up.s->wake.ns, MS(1000 + 100 * i).ns);
        pair_at(&p, MS(1000 + 100 * i));
        assert_int_equal(resets(&p.up, -1, NGHTTP2_CANCEL), 10 + i);
        assert_int_equal(resets(&p.up, (int32_t)(23 + 2 * (i - 1)), NGHTTP2_CANCEL), 1); /* oldest first */
    }
    assert_int_equal(p.up.s->slots, 0);
    pair_at(&p, MS(3100));
    assert_true(p.up.s->slots > 0); /* all told, and one token left: it serves again */
    assert_lives(neighbour);
    give(p.down.x[0], "unharmed", 8, true);
    talk(&p);
    assert_ended_well(neighbour);
    assert_true(instant_is_never(p.up.s->wake));
    assert_true(p.up.s->reusable);
    pair_close(&p);
}

static void a_connection_that_waits_too_long_for_its_budget_retires(void **state) {
    struct pair p;
    (void)state;
    pair_start_with_budget(&p, 1, span_s(60));
    struct exchange *neighbour = asked(&p.up, "GET", "/"), *a = asked(&p.up, "GET", "/"), *b = asked(&p.up, "GET", "/");
    talk(&p);
    cancel(a, ENDING_DEADLINE, 0, CANCEL_BAND);
    cancel(b, ENDING_DEADLINE, 0, CANCEL_BAND);
    talk(&p);
    pair_at(&p, MS(2999));
    assert_true(p.up.s->reusable);
    pair_at(&p, MS(3000)); /* (3) */
    assert_false(p.up.s->reusable);
    assert_int_equal(p.up.s->slots, 0);
    assert_int_equal(p.up.s->next, NEXT_MORE);
    answer_plain(p.down.x[0], 200);
    talk(&p);
    assert_ended_well(neighbour);
    assert_int_equal(p.up.s->next, NEXT_CLOSE);
    assert_int_equal(resets(&p.up, -1, -1), 1);
    pair_close(&p);
}

/* A Q entry knows no time: what it leaves counts from this turn, not from when the session last heard something. */
static void a_cancel_after_a_long_silence_waits_its_full_time(void **state) {
    struct pair p;
    (void)state;
    pair_start_with_budget(&p, 1, span_s(60));
    struct exchange *a = asked(&p.up, "GET", "/"), *b = asked(&p.up, "GET", "/");
    talk(&p);
    p.up.now = p.down.now = MS(50000);
    cancel(a, ENDING_DEADLINE, 0, CANCEL_BAND);
    cancel(b, ENDING_DEADLINE, 0, CANCEL_BAND);
    talk(&p);
    assert_true(p.up.s->reusable);
    assert_int_equal(p.up.s->wake.ns, MS(52000).ns);
    pair_close(&p);
}

static void a_stream_that_waits_for_its_reset_and_ends_needs_none(void **state) {
    struct pair p;
    (void)state;
    pair_start_with_budget(&p, 1, span_ms(100));
    struct exchange *a = asked(&p.up, "GET", "/"), *b = asked(&p.up, "GET", "/");
    talk(&p);
    cancel(a, ENDING_DEADLINE, 0, CANCEL_BAND);
    cancel(b, ENDING_DEADLINE, 0, CANCEL_BAND);
    talk(&p);
    answer_plain(p.down.x[1], 200);
    talk(&p);
    pair_at(&p, MS(5000));
    assert_int_equal(resets(&p.up, -1, -1), 1);
    assert_string_equal(b->order, "c");
    assert_int_equal(p.up.s->slots, p.down.conf.max_concurrent_streams);
    pair_close(&p);
}

/* ---- what a client resets ---------------------------------------------------------------------------------------------------------------- */

static void many_resets(struct script *t, unsigned n) {
    for (unsigned i = 0; i < n; i++) {
        int32_t stream = (int32_t)(2 * i + 1);
        GET(t, stream, true);
        script_word(t, NGHTTP2_RST_STREAM, stream, NGHTTP2_CANCEL);
    }
}

static void rapid_resets_are_answered_with_enhance_your_calm(void **state) {
    struct side d;
    (void)state;
    struct script *t = script_to(&d, CODEC_DOWN);
    script_begin(t, &d);
    many_resets(t, 200);
    script_send(t, &d);
    assert_int_equal(d.faults, 0);
    for (unsigned i = 200; i < 220 && !d.faults; i++) {
        GET(t, (int32_t)(2 * i + 1), true);
        script_word(t, NGHTTP2_RST_STREAM, (int32_t)(2 * i + 1), NGHTTP2_CANCEL);
        script_send(t, &d);
    }
    assert_int_equal(d.faults, 1);
    assert_int_equal(d.fault.wire, NGHTTP2_ENHANCE_YOUR_CALM);
    assert_int_equal(wrote(&d, NGHTTP2_GOAWAY, 0, NGHTTP2_ENHANCE_YOUR_CALM), 1);
    assert_int_equal(d.s->next, NEXT_CLOSE);
    script_free(t);
    side_close(&d);
}

static void resets_at_the_rate_allowed_are_borne(void **state) {
    struct side d;
    (void)state;
    struct script *t = script_to(&d, CODEC_DOWN);
    d.conf.resets = (struct http2_budget){ 5, { 10, { NS_PER_S } } };
    script_begin(t, &d);
    for (unsigned i = 0; i < 100; i++) {
        GET(t, (int32_t)(2 * i + 1), true);
        script_word(t, NGHTTP2_RST_STREAM, (int32_t)(2 * i + 1), NGHTTP2_CANCEL);
        script_send(t, &d);
        side_forget(&d);
        d.now = instant_add(d.now, span_ms(100));
    }
    assert_int_equal(d.faults, 0);
    script_free(t);
    side_close(&d);
}

static void a_trusted_peer_may_reset_what_it_likes(void **state) {
    struct side d;
    (void)state;
    struct script *t = script_to(&d, CODEC_DOWN);
    d.s->trusted = true;
    script_begin(t, &d);
    for (unsigned i = 0; i < 3000; i++) { /* past nghttp2's own limiter too */
        GET(t, (int32_t)(2 * i + 1), true);
        script_word(t, NGHTTP2_RST_STREAM, (int32_t)(2 * i + 1), NGHTTP2_CANCEL);
        script_send(t, &d);
        side_forget(&d);
    }
    assert_int_equal(d.faults, 0);
    script_free(t);
    side_close(&d);
}

/* Trap T10: a gRPC client ends its side so, behind trailers that came before its END_STREAM. */
static void resets_behind_our_answers_are_no_attack(void **state) {
    struct side d;
    (void)state;
    struct script *t = script_to(&d, CODEC_DOWN);
    d.conf.resets = (struct http2_budget){ 5, { 1, { NS_PER_S } } };
    script_begin(t, &d);
    for (unsigned i = 0; i < 50; i++) {
        GET(t, (int32_t)(2 * i + 1), false);
        script_send(t, &d);
        answer_plain(latest(&d), 200);
        side_flush(&d);
        script_word(t, NGHTTP2_RST_STREAM, (int32_t)(2 * i + 1), NGHTTP2_NO_ERROR);
        script_send(t, &d);
        assert_ended_well(latest(&d));
        side_forget(&d);
    }
    assert_int_equal(d.faults, 0);
    script_free(t);
    side_close(&d);
}

/* A client can make us reset instead (CVE-2025-8671): that counts alike. */
static void resets_that_a_client_provokes_count_too(void **state) {
    struct side d;
    (void)state;
    struct script *t = script_to(&d, CODEC_DOWN);
    d.conf.resets = (struct http2_budget){ 20, { 1, { NS_PER_S } } };
    script_begin(t, &d);
    for (unsigned i = 0; i < 30 && !d.faults; i++) {
        GET(t, (int32_t)(2 * i + 1), true);
        script_word(t, NGHTTP2_WINDOW_UPDATE, (int32_t)(2 * i + 1), 0x7fffffff);
        script_send(t, &d);
    }
    assert_int_equal(d.faults, 1);
    assert_int_equal(wrote(&d, NGHTTP2_GOAWAY, 0, NGHTTP2_ENHANCE_YOUR_CALM), 1);
    script_free(t);
    side_close(&d);
}

/* ---- times ---------------------------------------------------------------------------------------------------------------------------------- */

static void a_silent_upstream_is_asked_and_lost(void **state) {
    struct pair p;
    (void)state;
    pair_open(&p);
    p.up.conf.ping_interval = span_s(30);
    p.up.conf.ping_timeout = span_s(5);
    pair_begin(&p);
    assert_int_equal(p.up.s->wake.ns, MS(31000).ns);
    pair_at(&p, MS(31000));
    assert_int_equal(wrote(&p.up, NGHTTP2_PING, 0, -1), 1);
    assert_int_equal(p.up.s->wake.ns, MS(61000).ns); /* it answered */
    struct exchange *up = asked(&p.up, "GET", "/");
    talk(&p);
    p.up.now = MS(61000);
    p.up.codec->tick(p.up.s, p.up.now);
    side_flush(&p.up); /* nobody reads it */
    assert_int_equal(p.up.s->wake.ns, MS(66000).ns);
    p.up.now = MS(66000);
    p.up.codec->tick(p.up.s, p.up.now);
    assert_ended(up, ENDING_UPSTREAM_CLOSED, 0);
    assert_int_equal(p.up.faults, 1);
    assert_int_equal(p.up.s->next, NEXT_CLOSE);
    pair_close(&p);
}

static void a_peer_that_acknowledges_no_settings_is_lost(void **state) {
    struct side d;
    (void)state;
    struct script *t = script_to(&d, CODEC_DOWN);
    side_begin(&d);
    script_raw(t, NGHTTP2_CLIENT_MAGIC, NGHTTP2_CLIENT_MAGIC_LEN);
    script_frame(t, NGHTTP2_SETTINGS, 0, 0, "", 0);
    script_send(t, &d);
    assert_int_equal(d.s->wake.ns, MS(11000).ns);
    d.now = MS(11000);
    d.codec->tick(d.s, d.now);
    side_flush(&d);
    assert_int_equal(d.faults, 1);
    assert_int_equal(wrote(&d, NGHTTP2_GOAWAY, 0, NGHTTP2_SETTINGS_TIMEOUT), 1);
    script_free(t);
    side_close(&d);
}

/* ---- floods -------------------------------------------------------------------------------------------------------------------------------- */

static void floods_end_the_connection(void **state) {
    (void)state;
    for (unsigned kind = 0; kind < 3; kind++) {
        struct side d;
        struct script *t = script_to(&d, CODEC_DOWN);
        script_begin(t, &d);
        d.blocked = true; /* the flooder reads nothing */
        if (kind == 2) script_frame(t, NGHTTP2_HEADERS, 0, 1, "", 0);
        for (unsigned i = 0; i < 5000; i++) {
            if (kind == 0) script_frame(t, NGHTTP2_PING, 0, 0, "01234567", 8);
            if (kind == 1) script_frame(t, NGHTTP2_SETTINGS, 0, 0, "", 0);
            if (kind == 2) script_frame(t, NGHTTP2_CONTINUATION, 0, 1, "", 0);
        }
        script_send(t, &d);
        d.blocked = false;
        side_flush(&d);
        assert_int_equal(d.faults, 1);
        assert_int_equal(d.s->next, NEXT_CLOSE);
        script_free(t);
        side_close(&d);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(t12_cancelled_streams_leave_the_connections_window_where_it_was),
        cmocka_unit_test(t12_uploads_that_end_early_leave_the_window_too),
        cmocka_unit_test(a_leg_that_takes_nothing_holds_its_sender_and_not_its_neighbours),
        cmocka_unit_test(t16_what_the_upstream_says_is_heard_while_nothing_can_be_written),
        cmocka_unit_test(t17_an_upstream_that_opens_no_window_is_still_told_of_the_cancel),
        cmocka_unit_test(a_connections_window_that_is_used_up_holds_no_reset),
        cmocka_unit_test(an_answer_that_has_no_stream_any_more_costs_no_neighbour_its_body),
        cmocka_unit_test(a_reset_of_the_client_is_answered_with_none),
        cmocka_unit_test(an_upstream_that_sends_interim_answers_alone_is_broken),
        cmocka_unit_test(a_long_head_costs_its_connection_no_memory_afterwards),
        cmocka_unit_test(slots_follow_the_peers_settings),
        cmocka_unit_test(a_connection_whose_stream_ids_are_used_up_retires),
        cmocka_unit_test(a_client_over_its_streams_is_sent_away),
        cmocka_unit_test(resets_stay_within_the_budget_of_the_connection),
        cmocka_unit_test(a_connection_that_waits_too_long_for_its_budget_retires),
        cmocka_unit_test(a_cancel_after_a_long_silence_waits_its_full_time),
        cmocka_unit_test(a_stream_that_waits_for_its_reset_and_ends_needs_none),
        cmocka_unit_test(rapid_resets_are_answered_with_enhance_your_calm),
        cmocka_unit_test(resets_at_the_rate_allowed_are_borne),
        cmocka_unit_test(a_trusted_peer_may_reset_what_it_likes),
        cmocka_unit_test(resets_behind_our_answers_are_no_attack),
        cmocka_unit_test(resets_that_a_client_provokes_count_too),
        cmocka_unit_test(a_silent_upstream_is_asked_and_lost),
        cmocka_unit_test(a_peer_that_acknowledges_no_settings_is_lost),
        cmocka_unit_test(floods_end_the_connection),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
