// SPDX-License-Identifier: Apache-2.0
// Templates: what compiles and what does not, and that nothing is guessed when they are filled in.
#include "policies/template.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

static struct arena arena;
static struct head request, response;
static struct route_match match;

static int given(void **state) {
    (void)state;
    arena_init(&arena, NULL);
    head_init(&request, &arena, true);
    request.method = STR("GET");
    head_add(&request, STR("x-user"), STR("a b/../c"));
    head_add(&request, STR("x-quote"), STR("a\",\"all\":\"\\\xff\t"));
    head_init(&response, &arena, false);
    head_add(&response, STR("x-task-id"), STR("t-17"));
    match = (struct route_match){ .captures = { { STR("id"), STR("a%20b") } }, .ncaptures = 1 };
    return 0;
}
static int done(void **state) {
    (void)state;
    arena_clear(&arena);
    return 0;
}
static struct str why; /* the last one was not filled in */
static const char *fault(const char *text) {
    struct template t;
    return template_compile(&arena, str_of(text), &t);
}
static const char *filled(const char *text, enum escape how, const struct head *answer) {
    struct template t;
    struct template_facts f = { .request = &request, .response = answer, .match = &match, .context_id = STR("0-1-2"), .ending = ENDING_DEADLINE };
    struct str out;
    assert_null(template_compile(&arena, str_of(text), &t));
    if (!template_render(&t, &f, how, &arena, &out, &why)) return NULL;
    return arena_printf(&arena, "%.*s%c", STR_ARG(out), 0).p; /* with its NUL */
}

static void text_without_names_is_itself(void **state) {
    (void)state;
    assert_string_equal(filled("/tasks/all", ESCAPE_SEGMENT, NULL), "/tasks/all");
    assert_string_equal(filled("", ESCAPE_NONE, NULL), "");
}
static void names_are_filled_in(void **state) {
    (void)state;
    assert_string_equal(filled("/t/{request.path.id}/{context.id}/{ending}", ESCAPE_SEGMENT, NULL), "/t/a%20b/0-1-2/deadline");
    assert_string_equal(filled("{request.method} {response.x-task-id} {response.header.X-Task-Id}", ESCAPE_NONE, &response), "GET t-17 t-17");
}
static void a_value_stays_within_its_segment(void **state) {
    (void)state;
    assert_string_equal(filled("/u/{request.header.X-User}/x", ESCAPE_SEGMENT, NULL), "/u/a%20b%2F..%2Fc/x");
    assert_string_equal(filled("u={request.header.x-user}", ESCAPE_NONE, NULL), "u=a b/../c");
}
static void a_value_stays_within_its_string_of_json(void **state) {
    (void)state;
    assert_string_equal(filled("{{\"id\":\"{request.header.x-quote}\"}}", ESCAPE_JSON, NULL),
                        "{\"id\":\"a\\\",\\\"all\\\":\\\"\\\\\xef\xbf\xbd\\u0009\"}");
}
static void a_value_stays_within_its_field_of_a_form(void **state) {
    (void)state;
    head_add(&request, STR("x-form"), STR("1&all=yes+%26;\xff "));
    match.captures[0].value = STR("a%26b&all=1+2;c");
    assert_string_equal(filled("id={request.header.x-form}&why={ending}", ESCAPE_FORM, NULL), "id=1%26all%3Dyes%2B%2526%3B%FF%20&why=deadline");
    assert_string_equal(filled("id={request.path.id}", ESCAPE_FORM, NULL), "id=a%26b%26all%3D1%2B2%3Bc");
}
static void a_value_stays_within_its_text_of_xml(void **state) {
    (void)state;
    head_add(&request, STR("x-xml"), STR("a</id><all k=\"1\" l='2'>&amp;\xc3\xa9\xc0\xbc]]>"));
    assert_string_equal(filled("<id>{request.header.x-xml}</id>", ESCAPE_XML, NULL),
                        "<id>a&lt;/id&gt;&lt;all k=&quot;1&quot; l=&#39;2&#39;&gt;&amp;amp;\xc3\xa9\xef\xbf\xbd\xef\xbf\xbd]]&gt;</id>");
}
static enum escape body(const char *content_type, const char *text) {
    struct template t;
    assert_null(template_compile(&arena, str_of(text), &t));
    return escape_of_body(str_of(content_type), template_beginning(&t));
}
static void the_content_type_says_what_a_body_is(void **state) {
    (void)state;
    static const struct { const char *type; enum escape how; } types[] = {
        { "application/json", ESCAPE_JSON }, { "Application/Problem+JSON ; charset=utf-8", ESCAPE_JSON }, { "application/x-ndjson", ESCAPE_JSON },
        { "application/x-www-form-urlencoded", ESCAPE_FORM }, { "application/x-www-form-urlencoded;charset=UTF-8", ESCAPE_FORM },
        { "text/xml", ESCAPE_XML }, { "application/soap+xml; action=x", ESCAPE_XML }, { "APPLICATION/XML", ESCAPE_XML },
        { "text/plain", ESCAPE_NONE }, { "+json", ESCAPE_NONE }, { "application/jsonp", ESCAPE_NONE }, { "", ESCAPE_NONE },
    };
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) assert_int_equal(body(types[i].type, "id={context.id}"), types[i].how);
    assert_int_equal(body("application/x-www-form-urlencoded", "{{a}}={context.id}"), ESCAPE_FORM);
    assert_int_equal(body("text/xml", "{context.id}"), ESCAPE_XML);
}
static void else_how_it_begins_does(void **state) {
    (void)state;
    assert_int_equal(body("", "{{\"id\":\"{context.id}\"}}"), ESCAPE_JSON);
    assert_int_equal(body("text/plain", "\n [\"{context.id}\"]"), ESCAPE_JSON);
    assert_int_equal(body("", "<id>{context.id}</id>"), ESCAPE_XML);
    assert_int_equal(body("", "id={context.id}"), ESCAPE_NONE);
    assert_int_equal(body("", "{context.id}"), ESCAPE_NONE);
    assert_int_equal(body("", ""), ESCAPE_NONE);
}
static void doubled_braces_are_braces(void **state) {
    (void)state;
    assert_string_equal(filled("{{\"id\":\"{response.x-task-id}\"}}", ESCAPE_NONE, &response), "{\"id\":\"t-17\"}");
}
static void a_name_without_a_value_fails_the_whole(void **state) {
    (void)state;
    assert_null(filled("/t/{request.header.x-absent}", ESCAPE_SEGMENT, NULL));
    assert_true(str_eq(why, STR("{…x-absent} has no value")));
    assert_null(filled("/t/{request.path.other}", ESCAPE_SEGMENT, NULL));
    assert_null(filled("/t/{response.x-task-id}", ESCAPE_SEGMENT, NULL));
}
static void what_is_wrong_is_said_when_it_is_compiled(void **state) {
    (void)state;
    assert_string_equal(fault("/t/{request.path.id"), "a { without its }");
    assert_string_equal(fault("/t/id}"), "a } without its {");
    assert_string_equal(fault("{request.header.}"), "a name in braces that ends too early");
    assert_non_null(fault("{request.cookie.x}"));
    assert_non_null(fault("{}"));
    assert_non_null(fault("{ending.x}"));
    assert_non_null(fault("{a{ending}"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(text_without_names_is_itself, given, done),
        cmocka_unit_test_setup_teardown(names_are_filled_in, given, done),
        cmocka_unit_test_setup_teardown(a_value_stays_within_its_segment, given, done),
        cmocka_unit_test_setup_teardown(a_value_stays_within_its_string_of_json, given, done),
        cmocka_unit_test_setup_teardown(a_value_stays_within_its_field_of_a_form, given, done),
        cmocka_unit_test_setup_teardown(a_value_stays_within_its_text_of_xml, given, done),
        cmocka_unit_test_setup_teardown(the_content_type_says_what_a_body_is, given, done),
        cmocka_unit_test_setup_teardown(else_how_it_begins_does, given, done),
        cmocka_unit_test_setup_teardown(doubled_braces_are_braces, given, done),
        cmocka_unit_test_setup_teardown(a_name_without_a_value_fails_the_whole, given, done),
        cmocka_unit_test_setup_teardown(what_is_wrong_is_said_when_it_is_compiled, given, done),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
