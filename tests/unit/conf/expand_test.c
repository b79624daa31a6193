// SPDX-License-Identifier: Apache-2.0
// Environment variables in values.
#include "tests/unit/conf/given.h"

static void assert_title(const char *yaml, const char *title) {
    struct loaded *l = accept(yaml);
    assert_text(l->toy.title, title);
    unload(l);
}

static void a_variable_stands_for_its_value(void **state) {
    (void)state;
    assert_title("title: ${NAME}", "value");
    assert_title("title: a ${NAME} b ${NAME}c", "a value b valuec");
    assert_title("title: \"${NAME}\"", "value");
    assert_title("title: '${NAME}'", "value");
    assert_title("title: ${EMPTY}", "");
    assert_title("title: |\n  ${NAME}\n", "value\n");
}

static void a_default_stands_in_for_what_is_unset_or_empty(void **state) {
    (void)state;
    assert_title("title: ${NOPE:-other}", "other");
    assert_title("title: ${NAME:-other}", "value");
    assert_title("title: ${EMPTY:-other}", "other");
    assert_title("title: ${NOPE:-}", "");
    assert_title("title: ${NOPE:-a:-b}", "a:-b");
    assert_title("title: ${NOPE:-http://h:1/}", "http://h:1/");
}

static void two_dollars_are_one(void **state) {
    (void)state;
    assert_title("title: $$", "$");
    assert_title("title: $${NAME}", "${NAME}");
    assert_title("title: $$$${NAME}", "$${NAME}");
    assert_title("title: $$${NAME}", "$value");
}

static void a_value_is_text_whatever_it_looks_like(void **state) {
    (void)state;
    assert_title("title: ${SLY}", "a\nworkers: 9 # [x] ${NAME}"); /* neither a key, nor a comment, nor expanded again */
    assert_title("title: ${NOPE:-null}", "null");
    assert_title("title: ${NOPE:-~}", "~");
}

static void what_came_out_is_read_as_the_row_wants_it(void **state) {
    (void)state;
    struct loaded *l = accept("workers: ${COUNT}\nwait: ${WAIT}\ntags: [ \"${NAME}\" ]\n");
    assert_int_equal(l->toy.workers, 12);
    assert_int_equal(l->toy.wait.ns, 20 * NS_PER_S);
    assert_text(l->toy.tags.v[0].name, "value");
    unload(l);
    assert_error("workers: ${NAME}", "1:10: error: workers: value is neither a whole number nor all");
}

static void keys_and_comments_are_left_alone(void **state) {
    (void)state;
    assert_report("${NAME}: 1 # ${NOPE}", "toy.yaml:1:1: error: unknown key ${NAME} in toy\n");
}

static void an_unset_variable_is_an_error(void **state) {
    (void)state;
    assert_report("on: true\nwait: ${NOPE}", "toy.yaml:2:7: error: the environment variable NOPE is not set\n  hint: set it, or write ${NOPE:-default}\n");
    /* and not once more as a missing or malformed value */
    assert_report("origin: { x: \"${NOPE}\" }", "toy.yaml:1:14: error: the environment variable NOPE is not set\n  hint: set it, or write ${NOPE:-default}\n");
    assert_report("tags: [ \"${NOPE}\" ]", "toy.yaml:1:9: error: the environment variable NOPE is not set\n  hint: set it, or write ${NOPE:-default}\n");
}

static void what_is_no_variable_is_an_error(void **state) {
    (void)state;
    assert_report("title: a ${NAME", "toy.yaml:1:8: error: ${ without its } in \"a ${NAME\"\n  hint: write $$ for a dollar\n");
    assert_report("title: a$NAME", "toy.yaml:1:8: error: a $ by itself in a$NAME\n  hint: write $$ for a dollar, ${NAME} for an environment variable\n");
    assert_report("title: a$", "toy.yaml:1:8: error: a $ by itself in a$\n  hint: write $$ for a dollar, ${NAME} for an environment variable\n");
    const char *const names[] = { "", "1A", "A-B", "A B", "A:b", "A:", "A:+b" };
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        char yaml[64], report[256];
        snprintf(yaml, sizeof yaml, "title: \"${%s}\"", names[i]);
        snprintf(report, sizeof report, "toy.yaml:1:8: error: ${%s} names no environment variable\n  hint: write ${NAME} or ${NAME:-default}\n", names[i]);
        assert_report(yaml, report);
    }
}

static const char *long_env(const char *name) {
    (void)name;
    static char value[100001];
    memset(value, 'x', sizeof value - 1);
    return value;
}
static void a_short_file_cannot_grow_without_bound(void **state) {
    (void)state;
    struct conf c;
    conf_init(&c);
    c.getenv = long_env;
    char text[8192] = "[ ";
    for (size_t i = 0; i < 1000; i++) strncat(text, "\"${A}\",", sizeof text - strlen(text) - 2);
    strncat(text, "]", 2);
    conf_parse(&c, "a.yaml", text, strlen(text));
    assert_int_equal(c.errors, 1);
    assert_text(c.diags[0].message, "the values of environment variables come to more than 4194304 bytes in all");
    assert_true(c.arena.used < 64u << 20);
    conf_free(&c);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_variable_stands_for_its_value),
        cmocka_unit_test(a_default_stands_in_for_what_is_unset_or_empty),
        cmocka_unit_test(two_dollars_are_one),
        cmocka_unit_test(a_value_is_text_whatever_it_looks_like),
        cmocka_unit_test(what_came_out_is_read_as_the_row_wants_it),
        cmocka_unit_test(keys_and_comments_are_left_alone),
        cmocka_unit_test(an_unset_variable_is_an_error),
        cmocka_unit_test(what_is_no_variable_is_an_error),
        cmocka_unit_test(a_short_file_cannot_grow_without_bound),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
