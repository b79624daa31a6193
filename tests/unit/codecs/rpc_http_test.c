// SPDX-License-Identifier: Apache-2.0
// Plain HTTP: which requests are streams, and what an ending says to a client that waits. The protocol is found as the program finds it.
#include "codecs/rpc.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <cmocka.h>

static struct arena arena;
static struct head request, answer;
static struct str body;
static const struct rpc *http;

static int begin(void **state) {
    (void)state;
    arena_init(&arena, NULL);
    head_init(&request, &arena, true);
    request.method = STR("GET");
    for (size_t i = 0; i < rpc_count(); i++)
        if (strcmp(rpc_at(i)->name, "http") == 0) http = rpc_at(i);
    assert_non_null(http);
    return 0;
}
static int end(void **state) {
    (void)state;
    arena_clear(&arena);
    return 0;
}
static void say(struct rpc_answer what) { http->answer(&arena, &what, &request, &answer, &body); }
static struct str value(const char *name) {
    const struct field *f = head_find_name(&answer, str_of(name), NULL);
    return f ? f->value : (struct str){ 0 };
}
static void assert_str(struct str s, const char *expected) {
    if (!str_eq(s, str_of(expected))) fail_msg("\"%.*s\" is not \"%s\"", STR_ARG(s), expected);
}

static void it_is_asked_last_and_takes_all(void **state) {
    (void)state;
    assert_ptr_equal(rpc_at(rpc_count() - 1), http);
    assert_true(http->recognise(&request));
    assert_ptr_equal(rpc_recognise(&request), http);
    assert_string_equal(http->family, "http");
}

static void an_ending_is_a_problem_with_its_name(void **state) {
    (void)state;
    say((struct rpc_answer){ .why = ENDING_DEADLINE, .http = 504, .detail = STR("the deadline passed") });
    assert_int_equal(answer.status, 504);
    assert_false(answer.request);
    assert_str(body, "{\"type\":\"about:blank\",\"title\":\"Gateway Timeout\",\"status\":504,\"ending\":\"deadline\",\"detail\":\"the deadline passed\"}\n");
    assert_str(value("content-type"), "application/problem+json");
    assert_str(value("cache-control"), "no-store");
    assert_int_equal(answer.body, BODY_LENGTH);
    assert_int_equal(answer.length, body.n);
    assert_null(head_find(&answer, TOKEN_RETRY_AFTER));
}

static void without_a_detail_there_is_no_member_for_it(void **state) {
    (void)state;
    say((struct rpc_answer){ .why = ENDING_SHED_LOAD, .http = 503 });
    assert_str(body, "{\"type\":\"about:blank\",\"title\":\"Service Unavailable\",\"status\":503,\"ending\":\"shed_load\"}\n");
}

static void a_status_without_a_phrase_is_titled_by_the_ending(void **state) {
    (void)state;
    say((struct rpc_answer){ .why = ENDING_PARENT_CANCELLED, .http = 599 });
    assert_str(body, "{\"type\":\"about:blank\",\"title\":\"the request that this one belongs to ended\",\"status\":599,\"ending\":\"parent_cancelled\"}\n");
}

/* What a peer wrote may reach a detail: it must not end the string. */
static void a_detail_is_escaped(void **state) {
    (void)state;
    say((struct rpc_answer){ .why = ENDING_CLIENT_ERROR, .http = 400, .detail = STR("a\"b\\c\n\x01\x7f\xc3\xa9") });
    assert_str(body, "{\"type\":\"about:blank\",\"title\":\"Bad Request\",\"status\":400,\"ending\":\"client_error\","
                     "\"detail\":\"a\\\"b\\\\c\\u000a\\u0001\\u007f\xc3\xa9\"}\n");
}

static void the_answer_to_head_has_the_length_and_no_body(void **state) {
    (void)state;
    say((struct rpc_answer){ .why = ENDING_DEADLINE, .http = 504 });
    uint64_t length = answer.length;
    say((struct rpc_answer){ .why = ENDING_DEADLINE, .http = 504, .head_request = true });
    assert_int_equal(body.n, 0);
    assert_int_equal(answer.length, length);
    assert_str(value("content-type"), "application/problem+json");
}

static void retry_after_is_rounded_up_to_seconds(void **state) {
    (void)state;
    static const struct { int64_t ns; const char *text; } cases[] = {
        { 1, "1" }, { NS_PER_S, "1" }, { NS_PER_S + 1, "2" }, { 90 * NS_PER_S, "90" }, { INT64_MAX, "9223372037" },
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        say((struct rpc_answer){ .why = ENDING_SHED_LOAD, .http = 503, .retry_after = { cases[i].ns } });
        assert_str(value("retry-after"), cases[i].text);
    }
}

static void a_status_that_has_no_content_gets_none(void **state) {
    (void)state;
    static const uint16_t bare[] = { 204, 205, 304 };
    for (size_t i = 0; i < sizeof bare / sizeof bare[0]; i++) {
        say((struct rpc_answer){ .why = ENDING_NO_ROUTE, .http = bare[i] });
        assert_int_equal(answer.body, BODY_NONE);
        assert_int_equal(body.n, 0);
        assert_int_equal(value("content-type").n, 0);
    }
}

static bool late_after(enum ending why, enum body_kind kind, size_t n) {
    struct head *h = ARENA_NEW(&arena, struct head);
    struct rpc_follow f;
    head_init(h, &arena, false);
    h->body = kind;
    h->length = 4;
    rpc_follow_begin(&f, http, &arena, h);
    rpc_follow_bytes(&f, (const uint8_t *)"body", n);
    body = STR("left over");
    return http->answer_late(&arena, &(struct rpc_answer){ .why = why, .http = 504 }, &f, &answer, &body) && body.n + answer.nfields == 0;
}
static void after_the_head_the_answer_is_cut_unless_its_body_has_all_that_was_promised(void **state) {
    (void)state;
    assert_false(late_after(ENDING_DEADLINE, BODY_STREAM, 4));
    for (size_t n = 0; n < 4; n++) assert_false(late_after(ENDING_DEADLINE, BODY_LENGTH, n));
    assert_true(late_after(ENDING_DEADLINE, BODY_LENGTH, 4));
    assert_false(late_after(ENDING_UPSTREAM_RESET, BODY_LENGTH, 4)); /* which says that something is wrong with it */
}

static void the_outcome_is_the_status(void **state) {
    (void)state;
    struct rpc_outcome o;
    head_init(&answer, &arena, false);
    answer.status = 418;
    http->outcome(&answer, NULL, &o);
    assert_int_equal(o.http, 418);
    assert_int_equal(o.grpc, -1);
}

static bool is_stream_with(const char *accept) {
    head_init(&request, &arena, true);
    if (accept) head_add(&request, STR("accept"), str_of(accept));
    return http->is_stream(&request);
}
/* T36: a total deadline by default would end these in their middle. */
static void T36_server_sent_events_and_tunnels_are_streams(void **state) {
    (void)state;
    assert_true(is_stream_with("text/event-stream"));
    assert_true(is_stream_with("application/json, Text/Event-Stream;q=0.9"));
    assert_false(is_stream_with(NULL));
    assert_false(is_stream_with("*/*"));
    assert_false(is_stream_with("text/event-stream-like, application/json;x=text/event-stream"));
    head_add(&request, STR("accept"), STR("text/event-stream"));
    assert_true(http->is_stream(&request));
    is_stream_with(NULL);
    request.protocol = STR("websocket");
    assert_true(http->is_stream(&request));
    is_stream_with(NULL);
    request.body = BODY_TUNNEL;
    assert_true(http->is_stream(&request));
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, begin, end)
int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(it_is_asked_last_and_takes_all),
        TEST(an_ending_is_a_problem_with_its_name),
        TEST(without_a_detail_there_is_no_member_for_it),
        TEST(a_status_without_a_phrase_is_titled_by_the_ending),
        TEST(a_detail_is_escaped),
        TEST(the_answer_to_head_has_the_length_and_no_body),
        TEST(retry_after_is_rounded_up_to_seconds),
        TEST(a_status_that_has_no_content_gets_none),
        TEST(after_the_head_the_answer_is_cut_unless_its_body_has_all_that_was_promised),
        TEST(the_outcome_is_the_status),
        TEST(T36_server_sent_events_and_tunnels_are_streams),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
