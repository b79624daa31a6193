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
    head_add(&request, STR("x-dots"), STR(".."));
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
static const char *fault(const char *text) {
    struct template t;
    return template_compile(&arena, str_of(text), &t);
}
static const char *filled(const char *text, enum template_use use, const struct head *answer) {
    struct template t;
    struct template_facts f = { .request = &request, .response = answer, .match = &match, .context_id = STR("0-1-2"), .ending = ENDING_DEADLINE };
    struct str out, missing;
    assert_null(template_compile(&arena, str_of(text), &t));
    if (!template_render(&t, &f, use, &arena, &out, &missing)) return NULL;
    return arena_printf(&arena, "%.*s%c", STR_ARG(out), 0).p; /* with its NUL */
}

static void text_without_names_is_itself(void **state) {
    (void)state;
    assert_string_equal(filled("/tasks/all", TEMPLATE_IN_PATH, NULL), "/tasks/all");
    assert_string_equal(filled("", TEMPLATE_IN_TEXT, NULL), "");
}
static void names_are_filled_in(void **state) {
    (void)state;
    assert_string_equal(filled("/t/{request.path.id}/{context.id}/{ending}", TEMPLATE_IN_PATH, NULL), "/t/a%20b/0-1-2/deadline");
    assert_string_equal(filled("{request.method} {response.x-task-id} {response.header.X-Task-Id}", TEMPLATE_IN_TEXT, &response), "GET t-17 t-17");
}
static void a_value_stays_within_its_segment(void **state) {
    (void)state;
    assert_string_equal(filled("/u/{request.header.X-User}/x", TEMPLATE_IN_PATH, NULL), "/u/a%20b%2F..%2Fc/x");
    assert_string_equal(filled("u={request.header.x-user}", TEMPLATE_IN_TEXT, NULL), "u=a b/../c");
    assert_null(filled("/u/{request.header.x-dots}/x", TEMPLATE_IN_PATH, NULL));
}
static enum template_use use_of(const char *text) {
    struct template t;
    assert_null(template_compile(&arena, str_of(text), &t));
    return template_use_of(&t);
}
static void a_value_stays_within_its_string_of_json(void **state) {
    (void)state;
    assert_string_equal(filled("{{\"id\":\"{request.header.x-quote}\"}}", TEMPLATE_IN_JSON, NULL),
                        "{\"id\":\"a\\\",\\\"all\\\":\\\"\\\\\xef\xbf\xbd\\u0009\"}");
    assert_int_equal(use_of("{{\"id\":\"{context.id}\"}}"), TEMPLATE_IN_JSON);
    assert_int_equal(use_of("[\"{context.id}\"]"), TEMPLATE_IN_JSON);
    assert_int_equal(use_of("id={context.id}"), TEMPLATE_IN_TEXT);
    assert_int_equal(use_of("{context.id}"), TEMPLATE_IN_TEXT);
    assert_int_equal(use_of(""), TEMPLATE_IN_TEXT);
}
static void doubled_braces_are_braces(void **state) {
    (void)state;
    assert_string_equal(filled("{{\"id\":\"{response.x-task-id}\"}}", TEMPLATE_IN_TEXT, &response), "{\"id\":\"t-17\"}");
}
static void a_name_without_a_value_fails_the_whole(void **state) {
    (void)state;
    assert_null(filled("/t/{request.header.x-absent}", TEMPLATE_IN_PATH, NULL));
    assert_null(filled("/t/{request.path.other}", TEMPLATE_IN_PATH, NULL));
    assert_null(filled("/t/{response.x-task-id}", TEMPLATE_IN_PATH, NULL));
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
        cmocka_unit_test_setup_teardown(doubled_braces_are_braces, given, done),
        cmocka_unit_test_setup_teardown(a_name_without_a_value_fails_the_whole, given, done),
        cmocka_unit_test_setup_teardown(what_is_wrong_is_said_when_it_is_compiled, given, done),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
