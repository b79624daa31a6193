// SPDX-License-Identifier: Apache-2.0
// Connect: what is one and what is plain HTTP, how an ending looks to a unary call and to a stream, and what an answer says.
#include "codecs/rpc_inside.h"
#include "tests/unit/codecs/rpc_given.h"

static const struct rpc *connect(void) { return rpc_by_name("connect"); }
static const struct rpc_answer late = { .why = ENDING_DEADLINE, .http = 504, .grpc = 4, .detail = STR_INIT("too \"late\"") };

static void a_unary_call_is_told_by_its_version_and_a_stream_by_its_type(void **state) {
    static const struct { const char *method, *type, *version; enum connect_shape shape; } rows[] = {
        { "POST", "application/json", "1", CONNECT_UNARY }, { "POST", "application/proto", "1", CONNECT_UNARY },
        { "POST", "application/json; charset=utf-8", "1", CONNECT_UNARY }, { "POST", "application/custom", "1", CONNECT_UNARY },
        { "POST", "application/json", NULL, CONNECT_NOT }, { "POST", "application/proto", NULL, CONNECT_NOT },
        { "POST", "application/json", "2", CONNECT_NOT }, { "POST", "text/plain", "1", CONNECT_NOT }, { "PUT", "application/json", "1", CONNECT_NOT },
        { "POST", "application/", "1", CONNECT_NOT }, { "POST", NULL, "1", CONNECT_NOT },
        { "POST", "application/connect+proto", NULL, CONNECT_STREAM }, { "POST", "application/connect+json", "1", CONNECT_STREAM },
        { "POST", "application/connect+", NULL, CONNECT_NOT }, { "POST", "application/connectx", NULL, CONNECT_NOT },
        { "GET", "application/connect+proto", NULL, CONNECT_NOT },
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct head *h = given(rows[i].method, "/a.B/C", NULL);
        if (rows[i].type) head_add(h, STR("content-type"), str_of(rows[i].type));
        if (rows[i].version) head_add(h, STR("connect-protocol-version"), str_of(rows[i].version));
        if (connect_shape_of(h) != rows[i].shape) fail_msg("row %zu is %d", i, connect_shape_of(h));
        assert_int_equal(rpc_recognise(h) == connect(), rows[i].shape != CONNECT_NOT);
        assert_int_equal(connect()->is_stream(h), rows[i].shape == CONNECT_STREAM);
    }
    assert_string_equal(connect()->family, "connect");
}

static void a_get_is_told_by_its_query(void **state) {
    static const struct { const char *target; bool is; } rows[] = {
        { "/a.B/C?connect=v1&encoding=json&message=%7B%7D", true }, { "/a.B/C?message=&encoding=proto&base64=1", true },
        { "/a.B/C?encoding=json&message=1&connect=v1", true }, { "/a.B/C?connect=v2&encoding=json&message=1", false },
        { "/a.B/C?encoding=json", false }, { "/a.B/C?message=hi", false }, { "/a.B/C?message=hi&encoding=utf-8", false },
        { "/a.B/C", false }, { "/a.B/C?", false },
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct head *h = given("GET", rows[i].target, NULL);
        if ((rpc_recognise(h) == connect()) != rows[i].is) fail_msg("%s", rows[i].target);
        assert_int_equal(connect_shape_of(h), rows[i].is ? CONNECT_GET : CONNECT_NOT);
    }
    assert_int_equal(connect_shape_of(given("HEAD", "/a.B/C?connect=v1&encoding=json&message=1", NULL)), CONNECT_NOT);
}

static void an_ending_of_a_unary_call_is_a_json_error_under_its_codes_status(void **state) {
    static const struct { enum ending why; uint16_t http; uint8_t grpc; uint16_t status; const char *json; } rows[] = {
        { ENDING_DEADLINE, 504, 4, 504, "{\"code\":\"deadline_exceeded\",\"message\":\"the deadline passed\"}" },
        { ENDING_PARENT_CANCELLED, 499, 1, 499, "{\"code\":\"canceled\",\"message\":\"the request that this one belongs to ended\"}" },
        { ENDING_NO_ROUTE, 404, 12, 501, "{\"code\":\"unimplemented\",\"message\":\"no route matches, or the protocol cannot be carried\"}" },
        { ENDING_UPSTREAM_RESET, 502, 13, 500, "{\"code\":\"internal\",\"message\":\"the upstream reset the stream\"}" },
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const struct rpc_answer what = { .why = rows[i].why, .http = rows[i].http, .grpc = rows[i].grpc };
        struct head h;
        struct str body;
        connect()->answer(&arena, &what, given("GET", "/a.B/C?connect=v1", NULL), &h, &body);
        assert_int_equal(h.status, rows[i].status);
        assert_text(body, rows[i].json);
        assert_int_equal(h.body, BODY_LENGTH);
        assert_int_equal(h.length, body.n);
        assert_string_equal(fields_of(&h), "content-type: application/json|cache-control: no-store|");
    }
}

static void an_ending_of_a_stream_is_200_and_an_end_stream_message(void **state) {
    struct head h;
    struct str body;
    (void)state;
    struct rpc_answer shed = { .why = ENDING_SHED_LOAD, .http = 503, .grpc = 14, .retry_after = span_ms(1500), .detail = STR_INIT("full") };
    connect()->answer(&arena, &shed, given("POST", "/", FIELDS("content-type", "application/connect+json; charset=utf-8")), &h, &body);
    assert_int_equal(h.status, 200);
    assert_string_equal(fields_of(&h), "content-type: application/connect+json|retry-after: 2|");
    assert_bytes(body, message(0x02, "{\"error\":{\"code\":\"unavailable\",\"message\":\"full\"}}"));
    assert_int_equal(h.length, body.n);
}

static void after_the_head_a_stream_ends_in_band_and_a_unary_answer_is_cut(void **state) {
    struct head h;
    struct str body;
    struct rpc_follow f;
    (void)state;
    rpc_follow_begin(&f, connect(), &arena, given_answer(200, BODY_STREAM, FIELDS("content-type", "application/connect+proto")));
    assert_true(connect()->answer_late(&arena, &late, &f, &h, &body));
    assert_bytes(body, message(0x02, "{\"error\":{\"code\":\"deadline_exceeded\",\"message\":\"too \\\"late\\\"\"}}"));
    assert_int_equal(h.nfields, 0);
    rpc_follow_bytes(&f, (const uint8_t *)"\0\0\0\0\2a", 6);
    assert_false(connect()->answer_late(&arena, &late, &f, &h, &body));
    rpc_follow_bytes(&f, (const uint8_t *)"b", 1);
    assert_true(connect()->answer_late(&arena, &late, &f, &h, &body));
    rpc_follow_begin(&f, connect(), &arena, given_answer(200, BODY_STREAM, FIELDS("content-type", "application/proto")));
    assert_false(connect()->answer_late(&arena, &late, &f, &h, &body));
}

static bool late_after(struct head *answer, const char *said, struct str *body) {
    struct head h;
    struct rpc_follow f;
    *body = STR("left over");
    rpc_follow_begin(&f, connect(), &arena, answer);
    rpc_follow_bytes(&f, (const uint8_t *)said, strlen(said));
    return connect()->answer_late(&arena, &late, &f, &h, body) && h.nfields == 0;
}
static void a_unary_error_that_has_begun_gets_what_it_lacks(void **state) {
    struct str body;
    (void)state;
    struct head *failed = given_answer(503, BODY_STREAM, FIELDS("content-type", "application/json"));
    static const char whole[] = "{\"code\":\"unavailable\",\"message\":\"}\"} ";
    size_t end = sizeof whole - 2;
    assert_true(late_after(failed, "", &body));
    assert_text(body, "{\"code\":\"deadline_exceeded\",\"message\":\"too \\\"late\\\"\"}");
    for (size_t n = 1; n < sizeof whole; n++) {
        char part[sizeof whole] = { 0 };
        memcpy(part, whole, n);
        assert_int_equal(late_after(failed, part, &body), n >= end);
        assert_int_equal(body.n, 0);
    }
    assert_false(late_after(failed, "{}{}", &body));
    assert_false(late_after(given_answer(503, BODY_STREAM, FIELDS("content-type", "text/html")), "", &body)); /* no error of Connect's */
    struct head *fixed = given_answer(503, BODY_LENGTH, FIELDS("content-type", "application/json"));
    fixed->length = 3;
    assert_false(late_after(fixed, "", &body)); /* as long as its head said */
    assert_false(late_after(fixed, "{}", &body));
    assert_true(late_after(fixed, "{} ", &body));
    assert_int_equal(body.n, 0);
    assert_false(late_after(given_answer(503, BODY_STREAM, FIELDS("content-type", "application/json", "content-encoding", "gzip")), "", &body));
    char *much = arena_bytes(&arena, FOLLOW_KEEP + 1);
    memset(much, ' ', FOLLOW_KEEP);
    memcpy(much, "{}", 2);
    much[FOLLOW_KEEP] = 0;
    assert_false(late_after(failed, much, &body)); /* who knows what followed */
}

static void nothing_is_added_to_a_stream_that_has_said_how_it_ended(void **state) {
    struct head h;
    struct str body = STR("left over");
    struct rpc_follow f;
    (void)state;
    rpc_follow_begin(&f, connect(), &arena, given_answer(200, BODY_STREAM, FIELDS("content-type", "application/connect+proto")));
    rpc_follow_bytes(&f, (const uint8_t *)"\2\0\0\0\2{", 6);
    assert_false(connect()->answer_late(&arena, &late, &f, &h, &body));
    rpc_follow_bytes(&f, (const uint8_t *)"}", 1);
    assert_true(connect()->answer_late(&arena, &late, &f, &h, &body));
    assert_int_equal(body.n + h.nfields, 0);
}

static int16_t outcome_of(uint16_t status, const char *type, struct str body, size_t cut) {
    struct head *answer = given_answer(status, BODY_LENGTH, FIELDS("content-type", type));
    struct rpc_follow f;
    struct rpc_outcome o;
    rpc_follow_begin(&f, connect(), &arena, answer);
    rpc_follow_bytes(&f, (const uint8_t *)body.p, cut);
    rpc_follow_bytes(&f, (const uint8_t *)body.p + cut, body.n - cut);
    connect()->outcome(answer, NULL, &o);
    assert_int_equal(o.http, status);
    return o.grpc >= 0 ? o.grpc : connect()->said(&f, answer);
}

static void the_outcome_of_a_unary_call_is_its_code_or_else_its_status(void **state) {
    (void)state;
    struct str error = STR("{\"details\":[{\"code\":\"aborted\"}], \"code\": \"not_found\"}");
    for (size_t cut = 0; cut <= error.n; cut++) assert_int_equal(outcome_of(404, "application/json", error, cut), 5);
    assert_int_equal(outcome_of(200, "application/json", error, 0), 0);
    assert_int_equal(outcome_of(504, "application/json", STR("{\"code\":\"nonsense\"}"), 0), GRPC_UNAVAILABLE);
    assert_int_equal(outcome_of(401, "text/html", STR("<p>"), 0), GRPC_UNAUTHENTICATED);
    assert_int_equal(outcome_of(500, "application/json", STR(""), 0), GRPC_UNKNOWN);
}

static void the_outcome_of_a_stream_is_in_its_last_message(void **state) {
    (void)state;
    struct str data = message(0, "{\"error\":{\"code\":\"aborted\"}}");
    struct str bad = joined(data, message(2, "{\"metadata\":{\"error\":[\"x\"]},\"error\":{\"code\":\"canceled\"}}")), good = joined(data, message(2, "{}"));
    for (size_t cut = 0; cut <= bad.n; cut++) assert_int_equal(outcome_of(200, "application/connect+json", bad, cut), 1);
    for (size_t cut = 0; cut <= good.n; cut++) assert_int_equal(outcome_of(200, "application/connect+json", good, cut), 0);
    assert_int_equal(outcome_of(200, "application/connect+json", data, 0), -1); /* cut short: nothing was said */
    assert_int_equal(outcome_of(200, "application/connect+json", message(3, "zipped"), 0), -1);
    assert_int_equal(outcome_of(200, "application/connect+json", message(2, "{\"error\":{\"code\":\"odd\"}}"), 0), GRPC_UNKNOWN);
}

int main(void) {
#define T(f) cmocka_unit_test_setup_teardown(f, begin, finish)
    const struct CMUnitTest tests[] = {
        T(a_unary_call_is_told_by_its_version_and_a_stream_by_its_type), T(a_get_is_told_by_its_query),
        T(an_ending_of_a_unary_call_is_a_json_error_under_its_codes_status), T(an_ending_of_a_stream_is_200_and_an_end_stream_message),
        T(after_the_head_a_stream_ends_in_band_and_a_unary_answer_is_cut),
        T(a_unary_error_that_has_begun_gets_what_it_lacks),
        T(nothing_is_added_to_a_stream_that_has_said_how_it_ended), T(the_outcome_of_a_unary_call_is_its_code_or_else_its_status),
        T(the_outcome_of_a_stream_is_in_its_last_message),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
