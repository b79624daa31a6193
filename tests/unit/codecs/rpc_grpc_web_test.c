// SPDX-License-Identifier: Apache-2.0
// gRPC-Web: what is one, how an ending looks in its two forms, and what an answer's body says.
#include "codecs/rpc_inside.h"
#include "tests/unit/codecs/rpc_given.h"

static const struct rpc *web(void) { return rpc_by_name("grpc-web"); }
static const struct rpc_answer late = { .why = ENDING_DEADLINE, .http = 504, .grpc = 4, .detail = STR_INIT("too late") };

static void it_is_known_by_its_content_type(void **state) {
    static const struct { const char *type; bool is; } types[] = {
        { "application/grpc-web", true }, { "application/grpc-web+proto", true }, { "application/grpc-web+json", true },
        { "Application/gRPC-Web+Proto", true }, { "application/grpc-web-text", true }, { "application/grpc-web-text+proto", true },
        { "application/grpc-web-text-base64", true }, { "application/grpc-web ; charset=utf-8", true }, { "application/grpc-webx", false },
        { "application/grpc", false }, { "application/grpc+proto", false }, { "application/grpc-web-textual", false }, { "text/plain", false },
    };
    (void)state;
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        struct head *h = given("POST", "/a.B/C", FIELDS("content-type", types[i].type));
        if ((rpc_recognise(h) == web()) != types[i].is) fail_msg("%s is %s", types[i].type, rpc_recognise(h)->name);
    }
    assert_string_equal(web()->family, "grpc");
}

static void without_a_timeout_it_may_be_a_stream(void **state) {
    (void)state;
    assert_true(web()->is_stream(given("POST", "/", FIELDS("content-type", "application/grpc-web"))));
    assert_false(web()->is_stream(given("POST", "/", FIELDS("content-type", "application/grpc-web", "grpc-timeout", "1S"))));
}

static void before_the_head_an_ending_is_trailers_only_in_the_clients_own_type(void **state) {
    static const struct { const char *type, *accept, *answer; } rows[] = {
        { "application/grpc-web+proto", NULL, "application/grpc-web+proto" },
        { "application/grpc-web", "*/*", "application/grpc-web" },
        { "application/grpc-web-text", NULL, "application/grpc-web-text" },
        { "application/grpc-web-text+proto", "application/grpc-web-text", "application/grpc-web-text+proto" },
        { "application/grpc-web-text", "application/grpc-web", "application/grpc-web" },
        { "application/grpc-web+proto", "text/html, application/grpc-web-text+proto", "application/grpc-web-text+proto" },
        { "application/grpc-web-text-base64", NULL, "application/grpc-web-text" },
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const char *const with[] = { "content-type", rows[i].type, rows[i].accept ? "accept" : NULL, rows[i].accept, NULL };
        struct head h;
        struct str body = STR("left over");
        web()->answer(&arena, &late, given("POST", "/", with), &h, &body);
        assert_int_equal(h.status, 200);
        assert_int_equal(h.body, BODY_NONE);
        assert_int_equal(body.n, 0);
        assert_text(str_of(fields_of(&h)), arena_printf(&arena, "content-type: %s|grpc-status: 4|grpc-message: too late|%c", rows[i].answer, 0).p);
    }
}

static void after_it_a_frame_of_trailers_where_a_message_ended(void **state) {
    struct head h;
    struct str body;
    (void)state;
    const struct rpc_follow between = { .aligned = true }, inside = { .aligned = false }, text = { .aligned = true, .text = true };
    assert_true(web()->answer_late(&arena, &late, &between, &h, &body));
    struct str frame = message(0x80, "grpc-status: 4\r\ngrpc-message: too late\r\n");
    assert_bytes(body, frame);
    assert_int_equal(h.nfields, 0); /* browsers see no trailers */
    assert_true(web()->answer_late(&arena, &late, &text, &h, &body));
    assert_bytes(body, base64(frame));
    assert_false(web()->answer_late(&arena, &late, &inside, &h, &body));
}

static struct rpc_follow followed(struct str body, size_t cut, const struct head *answer) {
    struct rpc_follow f;
    rpc_follow_begin(&f, web(), &arena, answer);
    rpc_follow_bytes(&f, (const uint8_t *)body.p, cut);
    rpc_follow_bytes(&f, (const uint8_t *)body.p + cut, body.n - cut);
    return f;
}

static void it_is_aligned_between_messages_and_nowhere_else(void **state) {
    (void)state;
    struct head *answer = given_answer(200, BODY_STREAM, FIELDS("content-type", "application/grpc-web+proto"));
    struct str body = joined(message(0, "abc"), joined(message(0, ""), message(1, "de")));
    for (size_t n = 0; n <= body.n; n++)
        for (size_t cut = 0; cut <= n; cut++)
            assert_int_equal(followed(str_first(body, n), cut, answer).aligned, n == 0 || n == 8 || n == 13 || n == 20);
    struct head *text = given_answer(200, BODY_STREAM, FIELDS("content-type", "application/grpc-web-text"));
    struct str encoded = joined(base64(message(0, "abc")), base64(message(0, "de")));
    for (size_t n = 0; n <= encoded.n; n++) assert_int_equal(followed(str_first(encoded, n), n / 2, text).aligned, n == 0 || n == 12 || n == encoded.n);
}

static void nothing_is_added_once_the_frame_of_trailers_is_whole(void **state) {
    (void)state;
    struct head *types[] = { given_answer(200, BODY_STREAM, FIELDS("content-type", "application/grpc-web+proto")),
                             given_answer(200, BODY_STREAM, FIELDS("content-type", "application/grpc-web-text")) };
    struct str frame = message(0x80, "grpc-status:0\r\n"), frames[] = { frame, base64(frame) };
    for (size_t i = 0; i < 2; i++) {
        for (size_t n = 1; n <= frames[i].n; n++) {
            struct rpc_follow f = followed(str_first(frames[i], n), 0, types[i]);
            struct str body = STR("left over");
            struct head h;
            assert_int_equal(web()->answer_late(&arena, &late, &f, &h, &body), n == frames[i].n); /* else it is cut */
            assert_int_equal(body.n, 0);
            assert_int_equal(h.nfields, 0);
        }
        struct head *fixed = given_answer(200, BODY_LENGTH, FIELDS("content-type", i ? "application/grpc-web-text" : "application/grpc-web+proto"));
        struct str body;
        struct head h;
        for (size_t more = 0; more < 2; more++) {
            fixed->length = frames[i].n + more;
            struct rpc_follow f = followed(frames[i], 0, fixed);
            assert_int_equal(web()->answer_late(&arena, &late, &f, &h, &body), !more); /* more must follow: the length said so */
        }
    }
}

static void nothing_is_added_to_what_has_a_length_or_is_no_stream_of_messages(void **state) {
    (void)state;
    struct str body = message(0, "abc");
    assert_false(followed(body, 0, given_answer(200, BODY_LENGTH, FIELDS("content-type", "application/grpc-web"))).aligned);
    assert_false(followed(body, 0, given_answer(200, BODY_STREAM, FIELDS("content-type", "application/grpc-web", "content-encoding", "gzip"))).aligned);
    assert_false(followed(body, 0, given_answer(502, BODY_STREAM, FIELDS("content-type", "text/html"))).aligned);
    struct head *text = given_answer(200, BODY_STREAM, FIELDS("content-type", "application/grpc-web-text"));
    assert_false(followed(STR("Zg=="), 0, text).aligned);
    assert_false(followed(STR("!AAA"), 0, text).aligned); /* no base64: nobody knows where it is */
}

static void the_outcome_is_in_the_frame_of_trailers_wherever_it_is_cut(void **state) {
    (void)state;
    struct head *binary = given_answer(200, BODY_STREAM, FIELDS("content-type", "application/grpc-web+proto"));
    struct head *text = given_answer(200, BODY_STREAM, FIELDS("content-type", "application/grpc-web-text"));
    struct str data = message(0, "abc"), trailers = message(0x80, "x: grpc-status: 7\r\nGrpc-Status:5\r\ngrpc-message: no\r\n");
    struct str body = joined(data, trailers), encoded = joined(base64(data), base64(trailers));
    for (size_t cut = 0; cut <= body.n; cut++) {
        struct rpc_follow f = followed(body, cut, binary);
        assert_int_equal(web()->said(&f, binary), 5);
        assert_false(f.aligned); /* it has ended: a second ending would be garbage */
    }
    for (size_t cut = 0; cut <= encoded.n; cut++) {
        struct rpc_follow f = followed(encoded, cut, text);
        assert_int_equal(web()->said(&f, text), 5);
    }
    struct rpc_follow none = followed(data, 0, binary), odd = followed(message(0x80, "grpc-status: x\r\n"), 3, binary);
    assert_int_equal(web()->said(&none, binary), -1);
    assert_int_equal(web()->said(&odd, binary), GRPC_UNKNOWN);
}

static void trailers_only_says_its_outcome_in_the_head(void **state) {
    struct rpc_outcome o;
    (void)state;
    web()->outcome(given_answer(200, BODY_NONE, FIELDS("content-type", "application/grpc-web", "grpc-status", "12")), NULL, &o);
    assert_int_equal(o.grpc, 12);
    assert_int_equal(o.http, 200);
    web()->outcome(given_answer(200, BODY_STREAM, FIELDS("content-type", "application/grpc-web")), NULL, &o);
    assert_int_equal(o.grpc, -1);
}

/* A peer's trailers may be longer than what is kept. */
static void more_trailers_than_are_kept_do_no_harm(void **state) {
    (void)state;
    struct head *binary = given_answer(200, BODY_STREAM, FIELDS("content-type", "application/grpc-web"));
    char *text = arena_bytes(&arena, 3 * FOLLOW_KEEP + 1);
    memset(text, 'x', 3 * FOLLOW_KEEP);
    memcpy(text, "grpc-status: 3\r\n", 16);
    text[3 * FOLLOW_KEEP] = 0;
    struct rpc_follow f = followed(message(0x80, text), 100, binary);
    assert_int_equal(web()->said(&f, binary), 3);
    assert_int_equal(f.nkept, FOLLOW_KEEP);
}

int main(void) {
#define T(f) cmocka_unit_test_setup_teardown(f, begin, finish)
    const struct CMUnitTest tests[] = {
        T(it_is_known_by_its_content_type), T(without_a_timeout_it_may_be_a_stream),
        T(before_the_head_an_ending_is_trailers_only_in_the_clients_own_type), T(after_it_a_frame_of_trailers_where_a_message_ended),
        T(it_is_aligned_between_messages_and_nowhere_else), T(nothing_is_added_once_the_frame_of_trailers_is_whole),
        T(nothing_is_added_to_what_has_a_length_or_is_no_stream_of_messages),
        T(the_outcome_is_in_the_frame_of_trailers_wherever_it_is_cut), T(trailers_only_says_its_outcome_in_the_head),
        T(more_trailers_than_are_kept_do_no_harm),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
