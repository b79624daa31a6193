// SPDX-License-Identifier: Apache-2.0
// The small print that RPC protocols share.
#include "tests/unit/codecs/rpc_given.h"

static void base64_goes_there_and_back_in_both_alphabets(void **state) {
    static const struct { const char *plain, *encoded; } rows[] = {
        { "", "" }, { "f", "Zg==" }, { "fo", "Zm8=" }, { "foo", "Zm9v" }, { "foob", "Zm9vYg==" }, { "fooba", "Zm9vYmE=" }, { "foobar", "Zm9vYmFy" },
        { "\xfb\xff\xbf", "+/+/" },
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct str back, bare = str_of(rows[i].encoded);
        assert_text(base64(str_of(rows[i].plain)), rows[i].encoded);
        assert_true(base64_decode(&arena, bare, false, &back));
        assert_text(back, rows[i].plain);
        while (bare.n && bare.p[bare.n - 1] == '=') bare.n--;
        assert_true(base64_decode(&arena, bare, false, &back)); /* Connect: unpadded, too */
        assert_text(back, rows[i].plain);
    }
    struct str back;
    assert_true(base64_decode(&arena, STR("-_-_"), true, &back));
    assert_text(back, "\xfb\xff\xbf");
}

static void what_is_no_base64_is_refused(void **state) {
    static const char *const bad[] = { "A", "AAAAA", "A=", "A===", "AA=A", "====", "AAAA====", "AAAA==", "AA=", "AAA==", "-_-_", "AA A", "AA\nAA", "AAA\xc3" };
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct str out;
        if (base64_decode(&arena, str_of(bad[i]), false, &out)) fail_msg("taken: %s", bad[i]);
    }
}

/* PROTOCOL-WEB: padding may stand wherever the sender flushed. */
static void padded_runs_follow_each_other_cut_anywhere(void **state) {
    static const char text[] = "Zg==Zm8=Zm9vZm9vYg==";
    (void)state;
    for (size_t cut = 0; cut < sizeof text; cut++) {
        struct base64_pieces b = { 0 };
        uint8_t out[32];
        size_t a, c;
        assert_true(base64_pieces_take(&b, (const uint8_t *)text, cut, out, &a));
        assert_int_equal(base64_pieces_is_whole(&b), cut % 4 == 0);
        assert_true(base64_pieces_take(&b, (const uint8_t *)text + cut, sizeof text - 1 - (cut < sizeof text - 1 ? cut : sizeof text - 1), out + a, &c));
        assert_text(((struct str){ (char *)out, a + c }), "ffofoofoob");
    }
}

static void messages_are_percent_encoded_and_what_is_broken_stays(void **state) {
    (void)state;
    assert_text(percent_encode(&arena, STR("50% \xc3\xa9\n")), "50%25 %C3%A9%0A");
    assert_text(percent_decode(&arena, STR("50%25 %c3%A9")), "50% \xc3\xa9");
    assert_text(percent_decode(&arena, STR("100% %2 %zz %4")), "100% %2 %zz %4");
    assert_text(percent_decode(&arena, STR("%")), "%");
}

static void a_query_gives_its_parameters_unescaped(void **state) {
    struct str v, out;
    (void)state;
    struct str query = STR("&a=1&message=%7B%22a%22%3A+1%7D&b&message=2&c=");
    assert_true(query_find(query, STR("message"), &v));
    assert_true(query_unescape(&arena, v, &out));
    assert_text(out, "{\"a\": 1}");
    assert_true(query_find(query, STR("c"), &v));
    assert_int_equal(v.n, 0);
    assert_false(query_find(query, STR("b"), &v));
    assert_false(query_find(query, STR("mess"), &v));
    assert_false(query_unescape(&arena, STR("%4"), &out));
    assert_false(query_unescape(&arena, STR("%g0"), &out));
}

static void json_strings_are_escaped_and_well_formed_utf8(void **state) {
    (void)state;
    assert_text(json_quote(&arena, STR("a\"b\\c\n\x1f\x7f")), "\"a\\\"b\\\\c\\u000a\\u001f\\u007f\"");
    assert_text(json_quote(&arena, STR("\xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80")), "\"\xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80\"");
    assert_text(json_quote(&arena, STR("\xff|\xc0\xaf|\xed\xa0\x80|\xc3")),
                "\"\xef\xbf\xbd|\xef\xbf\xbd\xef\xbf\xbd|\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd|\xef\xbf\xbd\"");
    assert_text(json_quote(&arena, STR("")), "\"\"");
}

static void a_member_is_found_at_the_top_level_alone(void **state) {
    struct str v;
    (void)state;
    struct str object = STR(" { \"deep\" : {\"code\":\"no\",\"x\":[\"}\",{}]}, \"text\":\"\\\"code\\\":1,}\" ,\"code\" : \"yes\" , \"n\":null}");
    assert_true(json_member(object, STR("code"), &v));
    assert_text(v, "\"yes\"");
    assert_true(json_member(object, STR("n"), &v));
    assert_text(v, "null");
    assert_true(json_member(object, STR("deep"), &v));
    assert_text(v, "{\"code\":\"no\",\"x\":[\"}\",{}]}");
    static const char *const none[] = { "", "{", "{}", "[]", "\"code\"", "{\"code\"", "{\"code", "{\"a\":1 \"code\":2}", "{\"a\":{\"code\":1}}", "{\"a\\" };
    for (size_t i = 0; i < sizeof none / sizeof *none; i++)
        if (json_member(str_of(none[i]), STR("code"), &v)) fail_msg("found in %s", none[i]);
}

/* Connect, "Error Codes"; gRPC, http-grpc-status-mapping. */
static void statuses_have_words_and_numbers(void **state) {
    (void)state;
    assert_string_equal(connect_code(1), "canceled");
    assert_int_equal(connect_http(1), 499);
    assert_int_equal(connect_http(4), 504);
    assert_string_equal(connect_code(99), "unknown");
    assert_int_equal(connect_http(99), 500);
    for (int i = 1; i < GRPC_STATUSES; i++) {
        assert_int_equal(connect_code_by_name(str_of(connect_code((unsigned)i))), i);
        assert_in_range(connect_http((unsigned)i), 400, 504);
    }
    assert_int_equal(connect_code_by_name(STR("")), -1);
    assert_int_equal(connect_code_by_name(STR("cancelled")), -1);
    assert_int_equal(grpc_of_http(504), GRPC_UNAVAILABLE);
    assert_int_equal(grpc_of_http(404), GRPC_UNIMPLEMENTED);
    assert_int_equal(grpc_of_http(499), GRPC_UNKNOWN);
}

int main(void) {
#define T(f) cmocka_unit_test_setup_teardown(f, begin, finish)
    const struct CMUnitTest tests[] = {
        T(base64_goes_there_and_back_in_both_alphabets), T(what_is_no_base64_is_refused), T(padded_runs_follow_each_other_cut_anywhere),
        T(messages_are_percent_encoded_and_what_is_broken_stays), T(a_query_gives_its_parameters_unescaped),
        T(json_strings_are_escaped_and_well_formed_utf8), T(a_member_is_found_at_the_top_level_alone), T(statuses_have_words_and_numbers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
