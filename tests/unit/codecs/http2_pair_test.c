// SPDX-License-Identifier: Apache-2.0
// An HTTP/2 client session and a server session of ours talk to each other: what one side of an exchange is given arrives at the other.
#include "tests/unit/codecs/http2_given.h"

static void a_get_is_asked_and_answered(void **state) {
    struct pair p;
    (void)state;
    pair_start(&p);
    struct exchange *up = begun(&p.up);
    struct head *h = request_head(up, "GET", "/orders?id=1");
    head_add(h, STR("x-request-timeout"), STR("50ms"));
    head_add(h, STR("authorization"), STR("secret"))->sensitive = true;
    h->te_trailers = true;
    p.up.codec->send_head(&up->leg, h);
    talk(&p);
    struct exchange *down = latest(&p.down);
    assert_string_equal(down->order, "he");
    assert_str(down->head->method, "GET");
    assert_str(down->head->target, "/orders?id=1");
    assert_str(down->head->authority, "example.com");
    assert_str(down->head->scheme, "http");
    assert_int_equal(down->head->body, BODY_NONE);
    assert_int_equal(down->head->version, 20);
    assert_true(down->head->te_trailers);
    assert_field(down->head, "x-request-timeout", "50ms");
    assert_true(head_find(down->head, TOKEN_AUTHORIZATION)->sensitive);
    assert_no_field(down->head, "te");
    struct head *a = answer_head(down, 200, BODY_LENGTH);
    a->length = 5;
    head_add(a, STR("content-type"), STR("text/plain"));
    p.down.codec->send_head(&down->leg, a);
    give(down, "hello", 5, true);
    talk(&p);
    assert_int_equal(up->head->status, 200);
    assert_int_equal(up->head->body, BODY_LENGTH);
    assert_int_equal(up->head->length, 5);
    assert_field(up->head, "content-type", "text/plain");
    assert_memory_equal(buffer_data(&up->body), "hello", 5);
    assert_string_equal(up->order, "hbec");
    assert_ended_well(up);
    assert_ended_well(down);
    assert_int_equal(down->in_flight, 0);
    assert_int_equal(resets(&p.up, -1, -1) + resets(&p.down, -1, -1), 0);
    pair_close(&p);
}

static void trailers_go_both_ways(void **state) {
    struct pair p;
    (void)state;
    pair_start(&p);
    struct exchange *up = uploading(&p.up, "/shop.Orders/Watch");
    trailer(up, "x-checksum", "abc");
    give(up, "ping", 4, true);
    talk(&p);
    struct exchange *down = latest(&p.down);
    assert_string_equal(down->order, "hbe");
    assert_field(down->trailers, "x-checksum", "abc");
    answer_body(down, 200);
    give(down, "pong", 4, false);
    talk(&p);
    assert_string_equal(up->order, "phb"); /* no end while nothing said so */
    trailer(down, "grpc-status", "0");
    give(down, "", 0, true);
    talk(&p);
    assert_field(up->trailers, "grpc-status", "0");
    assert_ended_well(up);
    assert_ended_well(down);
    pair_close(&p);
}

static void trailers_may_follow_no_body_at_all(void **state) {
    struct pair p;
    (void)state;
    pair_start(&p);
    struct exchange *up = asked(&p.up, "GET", "/");
    talk(&p);
    struct exchange *down = latest(&p.down);
    answer_body(down, 200);
    trailer(down, "grpc-status", "4");
    give(down, "", 0, true);
    talk(&p);
    assert_field(up->trailers, "grpc-status", "4");
    assert_int_equal(buffer_size(&up->body), 0);
    assert_ended_well(up);
    pair_close(&p);
}

/* content-length: 0 says that no DATA comes, not that nothing does: a status that was behind it was lost. */
static void trailers_may_follow_a_length_of_nothing(void **state) {
    struct pair p;
    (void)state;
    pair_start(&p);
    struct exchange *up = begun(&p.up);
    struct head *h = request_head(up, "POST", "/");
    h->body = BODY_LENGTH;
    h->unended = true;
    p.up.codec->send_head(&up->leg, h);
    talk(&p);
    struct exchange *down = latest(&p.down);
    assert_true(down->heads == 1 && down->ends == 0);
    assert_true(down->head->body == BODY_LENGTH && down->head->unended);
    trailer(up, "x-sum", "1");
    give(up, "", 0, true);
    talk(&p);
    assert_field(down->trailers, "x-sum", "1");
    h = answer_head(down, 200, BODY_LENGTH);
    h->unended = true;
    p.down.codec->send_head(&down->leg, h);
    talk(&p);
    assert_true(up->heads == 1 && up->ends == 0);
    trailer(down, "grpc-status", "4");
    give(down, "", 0, true);
    talk(&p);
    assert_field(up->trailers, "grpc-status", "4");
    assert_ended_well(up);
    assert_ended_well(down);
    assert_int_equal(wrote(&p.up, NGHTTP2_DATA, -1, -1) + wrote(&p.down, NGHTTP2_DATA, -1, -1), 0);
    pair_close(&p);
}

static void a_trailers_only_answer_is_a_head_that_ends(void **state) {
    struct pair p;
    (void)state;
    pair_start(&p);
    struct exchange *up = asked(&p.up, "POST", "/");
    talk(&p);
    struct exchange *down = latest(&p.down);
    struct head *a = answer_head(down, 200, BODY_NONE);
    head_add(a, STR("grpc-status"), STR("4"));
    p.down.codec->send_head(&down->leg, a);
    talk(&p);
    assert_int_equal(up->head->body, BODY_NONE);
    assert_field(up->head, "grpc-status", "4");
    assert_string_equal(up->order, "hec");
    assert_int_equal(wrote(&p.down, NGHTTP2_DATA, 1, -1), 0);
    pair_close(&p);
}

/* Trap T19. */
static void interim_answers_come_before_the_answer_and_are_not_its_start(void **state) {
    struct pair p;
    (void)state;
    pair_start(&p);
    struct exchange *up = asked(&p.up, "GET", "/");
    talk(&p);
    struct exchange *down = latest(&p.down);
    struct head *hints = answer_head(down, 103, BODY_NONE);
    head_add(hints, STR("link"), STR("</a.css>"));
    p.down.codec->send_head(&down->leg, answer_head(down, 100, BODY_NONE));
    p.down.codec->send_head(&down->leg, hints);
    talk(&p);
    assert_int_equal(up->interims, 2);
    assert_int_equal(up->leg.in, LEG_NOTHING);
    assert_false(down->leg.head_taken);
    assert_int_equal(down->leg.out, LEG_NOTHING);
    answer_body(down, 200);
    trailer(down, "x-end", "1");
    give(down, "x", 1, true);
    talk(&p);
    assert_string_equal(up->order, "iihbec");
    assert_field(up->trailers, "x-end", "1"); /* which has the category of the answer behind a 1xx */
    pair_close(&p);
}

static void an_answer_to_head_has_a_length_and_no_body(void **state) {
    struct pair p;
    (void)state;
    pair_start(&p);
    struct exchange *up = asked(&p.up, "HEAD", "/big");
    talk(&p);
    struct exchange *down = latest(&p.down);
    struct head *a = answer_head(down, 200, BODY_LENGTH);
    a->length = 1 << 20;
    p.down.codec->send_head(&down->leg, a);
    talk(&p);
    assert_int_equal(up->head->body, BODY_LENGTH);
    assert_int_equal(up->head->length, 1 << 20);
    assert_string_equal(up->order, "hec");
    assert_ended_well(down);
    pair_close(&p);
}

static void no_content_and_not_modified_end_with_their_head(void **state) {
    struct pair p;
    (void)state;
    pair_start(&p);
    struct exchange *a = asked(&p.up, "GET", "/204"), *b = asked(&p.up, "GET", "/304");
    talk(&p);
    answer_plain(p.down.x[0], 204);
    struct head *h = answer_head(p.down.x[1], 304, BODY_LENGTH);
    h->length = 77;
    p.down.codec->send_head(&p.down.x[1]->leg, h);
    talk(&p);
    assert_string_equal(a->order, "hec");
    assert_string_equal(b->order, "hec");
    assert_int_equal(b->head->length, 77);
    pair_close(&p);
}

static void an_empty_upload_keeps_its_length(void **state) {
    struct pair p;
    (void)state;
    pair_start(&p);
    struct exchange *up = begun(&p.up);
    struct head *h = request_head(up, "POST", "/");
    h->body = BODY_LENGTH;
    p.up.codec->send_head(&up->leg, h);
    talk(&p);
    assert_int_equal(latest(&p.down)->head->body, BODY_LENGTH);
    assert_string_equal(latest(&p.down)->order, "he");
    pair_close(&p);
}

static void a_large_body_arrives_whole_through_small_writes(void **state) {
    struct pair p;
    enum { BIG = 3 << 20 };
    (void)state;
    for (size_t limit = 10; limit <= 100000; limit *= 100) {
        pair_open(&p);
        p.up.limit = p.down.limit = limit;
        pair_begin(&p);
        struct exchange *up = asked(&p.up, "GET", "/");
        talk(&p);
        struct exchange *down = latest(&p.down);
        answer_body(down, 200);
        uint8_t *big = mem_alloc(BIG);
        for (size_t i = 0; i < BIG; i++) big[i] = (uint8_t)(i * 31 >> 3);
        down->slice = limit == 1000 ? 7 : 5000;
        give(down, big, BIG, true);
        talk(&p);
        assert_int_equal(buffer_size(&up->body), BIG);
        assert_memory_equal(buffer_data(&up->body), big, BIG);
        assert_int_equal(down->in_flight, 0);
        assert_ended_well(up);
        free(big);
        pair_close(&p);
    }
}

/* Heads are given to nghttp2 by reference, and a write takes as many as it has room for: who was answered is gone before the next write. */
static void no_head_is_looked_at_when_its_exchange_is_gone(void **state) {
    enum { MANY = 100, LONG = 60000 };
    struct pair p;
    (void)state;
    pair_start(&p);
    for (int i = 0; i < MANY; i++) asked(&p.up, "GET", "/");
    talk(&p);
    for (size_t i = 0; i < MANY; i++) {
        struct exchange *x = p.down.x[i];
        struct head *h = answer_head(x, 200, i % 2 ? BODY_NONE : BODY_LENGTH);
        char *value = memset(arena_bytes(&x->arena, LONG), 'a' + (int)(i % 26), LONG);
        h->length = 1000 + i;
        if (h->body == BODY_LENGTH) give_zeros(x, h->length, true);
        head_add(h, arena_copy(&x->arena, STR("x-long")), (struct str){ value, LONG });
        p.down.codec->send_head(&x->leg, h);
    }
    while (p.down.s->wants_output) {
        side_write(&p.down);
        side_forget(&p.down);
    }
    talk(&p);
    assert_int_equal(p.down.nx, 0);
    for (size_t i = 0; i < MANY; i++) {
        const struct exchange *x = p.up.x[i];
        assert_ended_well(x);
        struct str value = head_find_name(x->head, STR("x-long"), NULL)->value;
        assert_int_equal(value.n, LONG);
        for (size_t k = 0; k < LONG; k += 999) assert_int_equal(value.p[k], 'a' + (int)(i % 26));
        if (i % 2 == 0) assert_int_equal(x->head->length, 1000 + i);
    }
    pair_close(&p);
}

static void streams_take_turns(void **state) {
    struct pair p;
    (void)state;
    pair_open(&p);
    p.down.limit = p.up.limit = 40000;
    pair_begin(&p);
    struct exchange *big = asked(&p.up, "GET", "/big"), *small = asked(&p.up, "GET", "/small");
    talk(&p);
    for (size_t i = 0; i < 2; i++) {
        answer_body(p.down.x[i], 200);
        give_zeros(p.down.x[i], i ? 20000 : 1000000, true);
    }
    for (unsigned turns = 0; !small->ends && turns < 2; turns++) {
        side_write(&p.down);
        size_t n = buffer_size(&p.down.wire);
        side_feed(&p.up, buffer_data(&p.down.wire), n);
        buffer_take(&p.down.wire, n);
    }
    assert_int_equal(small->ends, 1);
    assert_int_equal(big->ends, 0);
    talk(&p);
    struct exchange *up_big = uploading(&p.up, "/big"), *up_small = uploading(&p.up, "/small");
    give_zeros(up_big, 1000000, true);
    give_zeros(up_small, 20000, true);
    for (unsigned turns = 0; (p.down.nx < 4 || p.down.x[3]->ends == 0) && turns < 6; turns++) {
        side_write(&p.up);
        size_t n = buffer_size(&p.up.wire);
        side_feed(&p.down, buffer_data(&p.up.wire), n);
        buffer_take(&p.up.wire, n);
    }
    assert_int_equal(p.down.x[3]->ends, 1);
    assert_int_equal(p.down.x[2]->ends, 0);
    pair_close(&p);
}

static void a_pull_that_has_nothing_waits_for_ready(void **state) {
    struct pair p;
    (void)state;
    pair_start(&p);
    struct exchange *up = uploading(&p.up, "/");
    talk(&p);
    assert_string_equal(up->order, "p");
    assert_false(p.up.s->wants_output);
    p.up.codec->ready(&up->leg);
    p.up.codec->ready(&up->leg);
    talk(&p);
    assert_string_equal(up->order, "pp");
    give(up, "a", 1, false);
    talk(&p);
    assert_int_equal(buffer_size(&latest(&p.down)->body), 1);
    pair_close(&p);
}

static void a_complete_answer_ends_an_upload_in_good_order(void **state) {
    struct pair p;
    (void)state;
    pair_start(&p);
    struct exchange *up = uploading(&p.up, "/");
    give(up, "part", 4, false);
    talk(&p);
    struct exchange *down = latest(&p.down);
    answer_plain(down, 413);
    assert_int_equal(cancel(down, ENDING_COMPLETED, 0, CANCEL_DRAIN), CANCEL_DRAIN);
    assert_lives(down); /* its answer is not out */
    talk(&p);
    assert_ended_well(down);
    /* The answer is read before the reset comes: curl 7.88 drops one that it reads together with it. */
    assert_int_equal(resets(&p.down, -1, -1), 0);
    assert_int_equal(p.down.s->wake.ns, MS(1010).ns);
    give(up, "more", 4, false);
    talk(&p);
    pair_at(&p, MS(1010));
    assert_int_equal(resets(&p.down, 1, NGHTTP2_NO_ERROR), 1);
    assert_true(instant_is_never(p.down.s->wake));
    /* T8: the reset behind a complete answer does not drop the answer. */
    assert_int_equal(up->head->status, 413);
    assert_string_equal(up->order, "ppheppc");
    assert_int_equal(buffer_size(&down->body), 4);
    assert_ended_well(up);
    assert_int_equal(resets(&p.up, -1, -1), 0); /* T11 */
    pair_close(&p);
}

static void an_upload_that_ends_behind_a_complete_answer_needs_no_reset(void **state) {
    struct pair p;
    (void)state;
    pair_start(&p);
    struct exchange *up = uploading(&p.up, "/");
    talk(&p);
    answer_plain(latest(&p.down), 400);
    cancel(latest(&p.down), ENDING_COMPLETED, 0, CANCEL_DRAIN);
    talk(&p);
    give(up, "the rest", 8, true);
    talk(&p);
    assert_ended_well(up);
    pair_at(&p, MS(2000));
    assert_int_equal(resets(&p.down, -1, -1), 0);
    pair_close(&p);
}

static void an_upload_is_ended_also_after_the_answer_went_out(void **state) {
    struct pair p;
    (void)state;
    pair_start(&p);
    struct exchange *up = uploading(&p.up, "/");
    talk(&p);
    struct exchange *down = latest(&p.down);
    answer_body(down, 200);
    trailer(down, "grpc-status", "0");
    give(down, "all of it", 9, true);
    talk(&p);
    assert_int_equal(up->ends, 1);
    assert_lives(up);
    assert_lives(down);
    assert_int_equal(cancel(down, ENDING_COMPLETED, 0, CANCEL_DRAIN), CANCEL_DRAIN);
    assert_lives(down); /* never inside a queueing entry */
    talk(&p);
    assert_ended_well(down);
    assert_int_equal(resets(&p.down, 1, NGHTTP2_NO_ERROR), 1);
    assert_ended_well(up);
    assert_string_equal(up->order, "phbec");
    pair_close(&p);
}

/* ---- cancelling an upstream --------------------------------------------------------------------------------------------------------- */

static void what_no_byte_left_us_of_is_withdrawn(void **state) {
    struct pair p;
    (void)state;
    pair_open(&p);
    side_begin(&p.up);
    struct exchange *unsaid = begun(&p.up), *said = asked(&p.up, "GET", "/"), *unheard = asked(&p.up, "GET", "/");
    assert_int_equal(cancel(unsaid, ENDING_DEADLINE, 0, CANCEL_DRAIN), CANCEL_WITHDRAWN);
    assert_int_equal(cancel(said, ENDING_DEADLINE, 0, CANCEL_BAND), CANCEL_WITHDRAWN);
    assert_int_equal(cancel(unheard, ENDING_DEADLINE, 0, CANCEL_NONE), CANCEL_WITHDRAWN); /* also where the ladder has no rung */
    assert_lives(said);
    side_begin(&p.down);
    talk(&p);
    assert_ended(unsaid, ENDING_DEADLINE, 0);
    assert_ended(said, ENDING_DEADLINE, 0);
    assert_ended(unheard, ENDING_DEADLINE, 0);
    assert_true(said->fault.unprocessed);
    assert_int_equal(wrote(&p.up, NGHTTP2_HEADERS, -1, -1), 0);
    assert_int_equal(resets(&p.up, -1, -1), 0); /* T11: a stream that is idle to the peer is not reset */
    assert_int_equal(p.down.nx, 0);
    pair_close(&p);
}

static void what_the_socket_has_no_room_for_is_withdrawn_too(void **state) {
    struct pair p;
    (void)state;
    pair_start(&p);
    p.up.blocked = true;
    struct exchange *up = asked(&p.up, "GET", "/");
    side_flush(&p.up);
    assert_false(up->leg.head_taken);
    assert_int_equal(cancel(up, ENDING_CLIENT_RESET, RESET_UNSAID, CANCEL_BAND), CANCEL_WITHDRAWN);
    side_flush(&p.up);
    assert_ended(up, ENDING_CLIENT_RESET, 0); /* though the socket takes nothing */
    p.up.blocked = false;
    talk(&p);
    assert_int_equal(p.down.nx, 0);
    pair_close(&p);
}

static void a_cancel_resets_with_cancel_whatever_the_cause(void **state) {
    static const enum ending causes[] = { ENDING_DEADLINE, ENDING_CLIENT_RESET, ENDING_CLIENT_CLOSED, ENDING_SHUTDOWN, ENDING_UPSTREAM_IDLE,
                                          ENDING_PARENT_CANCELLED, ENDING_OPERATOR_CANCELLED, ENDING_TRY_TIMEOUT };
    (void)state;
    for (size_t i = 0; i < sizeof causes / sizeof *causes; i++) {
        struct pair p;
        pair_start(&p);
        struct exchange *up = asked(&p.up, "GET", "/");
        talk(&p);
        assert_int_equal(cancel(up, causes[i], RESET_CALM, CANCEL_BAND), CANCEL_BAND);
        assert_int_equal(cancel(up, ENDING_DEADLINE, 0, CANCEL_BAND), CANCEL_NONE); /* once */
        assert_lives(up);
        talk(&p);
        assert_ended(up, causes[i], 0);
        assert_int_equal(resets(&p.up, 1, NGHTTP2_CANCEL), 1);
        assert_ended(latest(&p.down), ENDING_CLIENT_RESET, NGHTTP2_CANCEL);
        assert_int_equal(resets(&p.down, -1, -1), 0); /* T11 */
        pair_close(&p);
    }
}

static void a_reset_overtakes_the_body(void **state) {
    struct pair p;
    (void)state;
    pair_open(&p);
    p.up.limit = 20000;
    pair_begin(&p);
    struct exchange *bulk = uploading(&p.up, "/bulk"), *other = asked(&p.up, "GET", "/");
    give_zeros(bulk, 60000, true);
    side_write(&p.up);
    side_write(&p.up);
    assert_true(other->leg.head_taken);
    size_t before = p.up.nframes;
    cancel(other, ENDING_DEADLINE, 0, CANCEL_BAND);
    side_flush(&p.up);
    assert_int_equal(p.up.frames[before].type, NGHTTP2_RST_STREAM);
    assert_int_equal(p.up.frames[before].stream, 3);
    pair_close(&p);
}

static void on_closed_waits_for_no_socket(void **state) {
    struct pair p;
    (void)state;
    pair_start(&p);
    struct exchange *up = asked(&p.up, "GET", "/");
    talk(&p);
    p.up.blocked = true;
    assert_int_equal(cancel(up, ENDING_DEADLINE, 0, CANCEL_BAND), CANCEL_BAND);
    side_flush(&p.up);
    assert_ended(up, ENDING_DEADLINE, 0);
    p.up.blocked = false;
    p.up.s->wants_output = true;
    talk(&p);
    assert_int_equal(resets(&p.up, 1, NGHTTP2_CANCEL), 1);
    pair_close(&p);
}

static void draining_reads_on_and_says_nothing_more(void **state) {
    struct pair p;
    (void)state;
    pair_start(&p);
    struct exchange *up = uploading(&p.up, "/");
    give(up, "abc", 3, false);
    talk(&p);
    assert_int_equal(cancel(up, ENDING_CLIENT_RESET, 0, CANCEL_DRAIN), CANCEL_DRAIN);
    give(up, "never", 5, true);
    struct exchange *down = latest(&p.down);
    answer_body(down, 200);
    give_zeros(down, 300000, true);
    talk(&p);
    assert_int_equal(buffer_size(&down->body), 3);
    assert_int_equal(buffer_size(&up->body), 300000); /* through its window: drained, not stuck */
    assert_int_equal(up->ends, 1);
    assert_ended_well(up); /* its upload is broken off, now that nobody waits */
    assert_int_equal(resets(&p.up, 1, NGHTTP2_CANCEL), 1);
    pair_close(&p);
}

static void a_close_is_not_offered_since_it_would_end_neighbours(void **state) {
    struct pair p;
    (void)state;
    pair_start(&p);
    struct exchange *up = asked(&p.up, "GET", "/"), *neighbour = asked(&p.up, "GET", "/");
    talk(&p);
    assert_int_equal(cancel(up, ENDING_DEADLINE, 0, CANCEL_CLOSE), CANCEL_DRAIN);
    assert_int_equal(cancel(neighbour, ENDING_DEADLINE, 0, CANCEL_NONE), CANCEL_NONE);
    talk(&p);
    assert_lives(up);
    assert_lives(neighbour);
    assert_int_equal(p.up.s->next, NEXT_MORE);
    pair_close(&p);
}

static void cancel_in_event(struct exchange *x, char event) {
    if (event == 'h') cancel(x, ENDING_OPERATOR_CANCELLED, 0, CANCEL_BAND);
}
static void a_cancel_from_inside_an_event_is_taken(void **state) {
    struct pair p;
    (void)state;
    pair_start(&p);
    p.up.then = cancel_in_event;
    struct exchange *up = asked(&p.up, "GET", "/");
    talk(&p);
    answer_body(latest(&p.down), 200);
    give(latest(&p.down), "x", 1, false);
    talk(&p);
    assert_ended(up, ENDING_OPERATOR_CANCELLED, 0);
    assert_string_equal(up->order, "hc");
    assert_ended(latest(&p.down), ENDING_CLIENT_RESET, NGHTTP2_CANCEL);
    pair_close(&p);
}
static void cancel_in_pull(struct exchange *x, char event) {
    if (event == 'p') cancel(x, ENDING_DEADLINE, 0, CANCEL_BAND);
}
static void a_cancel_from_inside_pull_drops_what_was_pulled(void **state) {
    struct pair p;
    (void)state;
    pair_start(&p);
    p.up.then = cancel_in_pull;
    struct exchange *up = uploading(&p.up, "/");
    give(up, "never sent", 10, true);
    talk(&p);
    assert_ended(up, ENDING_DEADLINE, 0);
    assert_int_equal(wrote(&p.up, NGHTTP2_DATA, 1, -1), 0);
    assert_int_equal(resets(&p.up, 1, NGHTTP2_CANCEL), 1);
    pair_close(&p);
}

/* ---- a client is told --------------------------------------------------------------------------------------------------------------------- */

/* Semantics 3 and 4, row by row. */
static void a_cut_answer_carries_the_code_of_its_ending(void **state) {
    (void)state;
    for (enum ending why = 1; why < ENDINGS; why++) {
        if (why == ENDING_COMPLETED) continue;
        for (enum reset_word said = 0; said < RESET_WORDS; said++) {
            struct pair p;
            pair_start(&p);
            struct exchange *up = asked(&p.up, "GET", "/");
            talk(&p);
            struct exchange *down = latest(&p.down);
            answer_body(down, 200);
            give(down, "part", 4, false);
            talk(&p);
            assert_int_equal(cancel(down, why, said, CANCEL_CLOSE), CANCEL_CLOSE);
            talk(&p);
            uint32_t code = ending_rows[why].reset == RESET_CANCEL ? NGHTTP2_CANCEL : NGHTTP2_INTERNAL_ERROR;
            if (why == ENDING_UPSTREAM_RESET && said == RESET_CANCEL) code = NGHTTP2_CANCEL;
            if (why == ENDING_UPSTREAM_RESET && said == RESET_CALM) code = NGHTTP2_ENHANCE_YOUR_CALM;
            assert_int_equal(resets(&p.down, 1, code), 1);
            assert_ended(down, why, 0);
            assert_ended(up, ENDING_UPSTREAM_RESET, code);
            assert_string_equal(up->order, "hbc");
            pair_close(&p);
        }
    }
}

/* ---- extended CONNECT ------------------------------------------------------------------------------------------------------------------------ */

static struct exchange *websocket(struct side *up) {
    struct exchange *x = begun(up);
    struct head *h = request_head(x, "GET", "/chat");
    h->protocol = STR("websocket");
    h->body = BODY_TUNNEL;
    head_add(h, STR("sec-websocket-key"), STR("dGhlIHNhbXBsZSBub25jZQ=="));
    head_add(h, STR("sec-websocket-version"), STR("13"));
    up->codec->send_head(&x->leg, h);
    return x;
}

static void a_tunnel_is_asked_for_as_a_get_and_opened_by_101(void **state) {
    struct pair p;
    (void)state;
    pair_start(&p);
    struct exchange *up = websocket(&p.up);
    talk(&p);
    struct exchange *down = latest(&p.down);
    assert_str(down->head->method, "GET");
    assert_str(down->head->protocol, "websocket");
    assert_str(down->head->target, "/chat");
    assert_int_equal(down->head->body, BODY_TUNNEL);
    assert_field(down->head, "sec-websocket-version", "13");
    /* A key of our own for HTTP/1 behind us: 16 bytes, and not the one that another connection had. */
    const struct field *key = head_find_name(down->head, STR("sec-websocket-key"), NULL);
    assert_int_equal(key->value.n, 24);
    assert_false(str_eq(key->value, STR("dGhlIHNhbXBsZSBub25jZQ==")));
    struct head *a = answer_head(down, 101, BODY_TUNNEL);
    head_add(a, STR("sec-websocket-accept"), STR("of our own key"));
    p.down.codec->send_head(&down->leg, a);
    give(down, "from the server", 15, false);
    give(up, "from the client", 15, false);
    talk(&p);
    assert_int_equal(up->head->status, 101);
    assert_int_equal(up->head->body, BODY_TUNNEL);
    assert_false(up->head->interim);
    assert_field(up->head, "sec-websocket-accept", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="); /* RFC 6455 1.3 */
    assert_int_equal(buffer_size(&up->body), 15);
    assert_int_equal(buffer_size(&down->body), 15);
    give(up, "", 0, true); /* each side half-closes */
    talk(&p);
    assert_int_equal(down->ends, 1);
    give(down, "bye", 3, true);
    talk(&p);
    assert_int_equal(buffer_size(&up->body), 18);
    assert_ended_well(up);
    assert_ended_well(down);
    pair_close(&p);
}

static void an_upstream_that_ignores_the_upgrade_opens_no_tunnel(void **state) {
    struct pair p;
    (void)state;
    pair_start(&p);
    struct exchange *up = websocket(&p.up);
    talk(&p);
    answer_plain(latest(&p.down), 200); /* which over HTTP/2 would say that the tunnel is open */
    talk(&p);
    assert_int_equal(up->head->status, 502);
    pair_close(&p);
}

static void a_refused_tunnel_is_an_answer(void **state) {
    struct pair p;
    (void)state;
    pair_start(&p);
    struct exchange *up = websocket(&p.up);
    talk(&p);
    answer_plain(latest(&p.down), 403);
    talk(&p);
    assert_int_equal(up->head->status, 403);
    assert_int_equal(up->head->body, BODY_NONE);
    pair_close(&p);
}

/* RFC 6455 1.3, and lengths on both sides of SHA-1's block. */
static void websocket_accept_is_rfc_6455s(void **state) {
    struct arena a;
    (void)state;
    arena_init(&a, NULL);
    assert_str(http2_websocket_accept(&a, STR("dGhlIHNhbXBsZSBub25jZQ==")), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    assert_str(http2_websocket_accept(&a, STR("")), "Kfh9QIsMVZcl6xEPYxPHzW8SZ8w=");
    char longest[83];
    memset(longest, 'x', sizeof longest);
    assert_int_equal(http2_websocket_accept(&a, (struct str){ longest, 83 }).n, 28);
    assert_int_equal(http2_websocket_accept(&a, (struct str){ longest, 84 }).n, 0);
    arena_clear(&a);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_get_is_asked_and_answered),
        cmocka_unit_test(trailers_go_both_ways),
        cmocka_unit_test(trailers_may_follow_no_body_at_all),
        cmocka_unit_test(trailers_may_follow_a_length_of_nothing),
        cmocka_unit_test(a_trailers_only_answer_is_a_head_that_ends),
        cmocka_unit_test(interim_answers_come_before_the_answer_and_are_not_its_start),
        cmocka_unit_test(an_answer_to_head_has_a_length_and_no_body),
        cmocka_unit_test(no_content_and_not_modified_end_with_their_head),
        cmocka_unit_test(an_empty_upload_keeps_its_length),
        cmocka_unit_test(a_large_body_arrives_whole_through_small_writes),
        cmocka_unit_test(no_head_is_looked_at_when_its_exchange_is_gone),
        cmocka_unit_test(streams_take_turns),
        cmocka_unit_test(a_pull_that_has_nothing_waits_for_ready),
        cmocka_unit_test(a_complete_answer_ends_an_upload_in_good_order),
        cmocka_unit_test(an_upload_that_ends_behind_a_complete_answer_needs_no_reset),
        cmocka_unit_test(an_upload_is_ended_also_after_the_answer_went_out),
        cmocka_unit_test(what_no_byte_left_us_of_is_withdrawn),
        cmocka_unit_test(what_the_socket_has_no_room_for_is_withdrawn_too),
        cmocka_unit_test(a_cancel_resets_with_cancel_whatever_the_cause),
        cmocka_unit_test(a_reset_overtakes_the_body),
        cmocka_unit_test(on_closed_waits_for_no_socket),
        cmocka_unit_test(draining_reads_on_and_says_nothing_more),
        cmocka_unit_test(a_close_is_not_offered_since_it_would_end_neighbours),
        cmocka_unit_test(a_cancel_from_inside_an_event_is_taken),
        cmocka_unit_test(a_cancel_from_inside_pull_drops_what_was_pulled),
        cmocka_unit_test(a_cut_answer_carries_the_code_of_its_ending),
        cmocka_unit_test(a_tunnel_is_asked_for_as_a_get_and_opened_by_101),
        cmocka_unit_test(an_upstream_that_ignores_the_upgrade_opens_no_tunnel),
        cmocka_unit_test(a_refused_tunnel_is_an_answer),
        cmocka_unit_test(websocket_accept_is_rfc_6455s),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
