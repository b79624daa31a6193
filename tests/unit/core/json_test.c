// SPDX-License-Identifier: Apache-2.0
// JSON as it is written: what must be escaped is, and a comma stands where one is due and nowhere else.
#define _GNU_SOURCE
#include "core/json.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <cmocka.h>

static char *text;
static size_t length;
static struct json begun(void) {
    free(text);
    return (struct json){ .to = open_memstream(&text, &length) };
}
static void assert_wrote(struct json *j, const char *want) {
    fclose(j->to);
    assert_string_equal(text, want);
}

static void a_text_is_escaped_as_json_asks(void **state) {
    (void)state;
    struct json j = begun();
    json_text(j.to, (struct str){ "a\"b\\c\n\0\x1f\x7f\xc3\xa4", 11 });
    assert_wrote(&j, "\"a\\\"b\\\\c\\u000a\\u0000\\u001f\x7f\xc3\xa4\"");
    j = begun();
    json_text(j.to, (struct str){ 0 });
    assert_wrote(&j, "\"\"");
}

/* RFC 8259 8.1: a reader may refuse the whole text for one byte that a peer chose, in a path of HTTP/2 for one. */
static void what_is_not_utf8_is_replaced(void **state) {
    (void)state;
    static const struct { const char *text, *wrote; } cases[] = {
        { "/\xff/", "\"/\xef\xbf\xbd/\"" },
        { "\xc3", "\"\xef\xbf\xbd\"" },                                         /* cut short */
        { "\xe2\x82", "\"\xef\xbf\xbd\xef\xbf\xbd\"" },
        { "\xc0\xaf", "\"\xef\xbf\xbd\xef\xbf\xbd\"" },                         /* overlong */
        { "\xed\xa0\x80", "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\"" },         /* a surrogate */
        { "\xe2\x82\xac\xf0\x9f\x98\x80", "\"\xe2\x82\xac\xf0\x9f\x98\x80\"" },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct json j = begun();
        json_text(j.to, str_of(cases[i].text));
        assert_wrote(&j, cases[i].wrote);
    }
}

static void commas_stand_between_members_at_every_depth(void **state) {
    (void)state;
    struct json j = begun();
    json_open(&j, NULL, '{');
    json_str(&j, "a", STR("1"));
    json_some(&j, "left out", STR(""));
    json_some(&j, "b", STR("2"));
    json_open(&j, "list", '[');
    json_open(&j, NULL, '{');
    json_close(&j, '}');
    json_open(&j, NULL, '{');
    json_bool(&j, "yes", true);
    json_bool(&j, "no", false);
    json_close(&j, '}');
    json_raw(&j, NULL, "%d", 7);
    json_close(&j, ']');
    json_raw(&j, "c\"", "%.3f", 1.5);
    json_close(&j, '}');
    assert_wrote(&j, "{\"a\":\"1\",\"b\":\"2\",\"list\":[{},{\"yes\":true,\"no\":false},7],\"c\\\"\":1.500}");
}

static int forget(void **state) {
    (void)state;
    free(text);
    return 0;
}
int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_text_is_escaped_as_json_asks),
        cmocka_unit_test(what_is_not_utf8_is_replaced),
        cmocka_unit_test(commas_stand_between_members_at_every_depth),
    };
    return cmocka_run_group_tests(tests, NULL, forget);
}
