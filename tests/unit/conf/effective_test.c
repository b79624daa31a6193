// SPDX-License-Identifier: Apache-2.0
// What is printed of a loaded configuration: it loads again, to the same, and prints the same.
#include "tests/unit/conf/given.h"

/* The caller's. */
static char *effective(const struct toy *toy) {
    char *text = NULL;
    size_t n = 0;
    FILE *to = open_memstream(&text, &n);
    conf_print_effective(to, &toy_table, toy);
    fclose(to);
    return text;
}
/* Loads, prints, loads what was printed, prints that; the second load is the caller's. */
static struct loaded *again(const char *yaml) {
    struct loaded *first = accept(yaml);
    char *once = effective(&first->toy);
    struct loaded *second = accept(once);
    char *twice = effective(&second->toy);
    assert_string_equal(once, twice);
    unload(first);
    free(once);
    free(twice);
    return second;
}
static void assert_printed(const char *yaml, const char *line) {
    struct loaded *l = again(yaml);
    char *text = effective(&l->toy);
    if (!strstr(text, line)) fail_msg("\"%s\" is not in\n%s", line, text);
    free(text);
    unload(l);
}
static void assert_not_printed(const char *yaml, const char *line) {
    struct loaded *l = again(yaml);
    char *text = effective(&l->toy);
    if (strstr(text, line)) fail_msg("\"%s\" is in\n%s", line, text);
    free(text);
    unload(l);
}

static void every_default_is_written_out(void **state) {
    (void)state;
    struct loaded *l = accept("{}");
    char *text = effective(&l->toy);
    assert_string_equal(text, "on: true\n"
                              "workers: 4\n"
                              "wait: 15s\n"
                              "forever: none\n"
                              "room: 64KiB\n"
                              "rate: 100/s\n"
                              "share: 20%\n"
                              "title: none\n"
                              "tags: [ a, b ]\n"
                              "colour: green\n"
                              "limits: { time: 2s, bytes: 1MiB }\n"
                              "even: 2\n"
                              "http1: { ping: 7s }\n"
                              "http2: { ping: 7s }\n");
    free(text);
    unload(l);
}

static void each_type_comes_back_as_it_was(void **state) {
    (void)state;
    assert_printed("workers: all", "workers: all\n");
    assert_printed("plain: -7", "plain: -7\n");
    assert_printed("wait: 90s", "wait: 1m30s\n");
    assert_printed("wait: 1001500us", "wait: 1s1500us\n");
    assert_printed("forever: 99999999999999h", "forever: none\n");
    assert_printed("wide: unlimited", "wide: unlimited\n");
    assert_printed("wide: 1536", "wide: 1536\n");
    assert_printed("wide: 3072", "wide: 3KiB\n");
    assert_printed("wide: 18446744073709551614", "wide: 18446744073709551614\n");
    assert_printed("rate: 7/m", "rate: 7/m\n");
    assert_printed("rate: 0/h", "rate: 0/h\n");
    assert_printed("share: 0.5%", "share: 0.50%\n");
    assert_printed("colour: blue", "colour: blue\n");
    assert_printed("tags: x", "tags: [ x ]\n");
    assert_printed("tags: []", "tags: []\n");
    assert_printed("even: [ 3, 4 ]", "even: 7\n");
    assert_printed("on: false", "on: false\n");
}

static void what_is_absent_is_left_out(void **state) {
    (void)state;
    static const char *const keys[] = { "plain", "wide", "friend", "origin", "points", "shops", "odd" };
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) assert_not_printed("{}", keys[i]);
    assert_printed("title: \"\"", "title: \"\"\n"); /* said, over a default */
    assert_printed("friend: \"\"", "friend: \"\"\n");
}

static void maps_and_lists_nest(void **state) {
    (void)state;
    assert_printed("origin: { x: 1 }", "origin: { x: 1, y: 3 }\n");
    assert_printed("points: [ { x: 1 }, { x: 2, y: 5 } ]", "points:\n  - { x: 1, y: 3 }\n  - { x: 2, y: 5 }\n");
    assert_printed("shops: { a: { time: 1s }, b: , 'c d': {} }",
                   "shops:\n  a: { time: 1s, bytes: 1MiB }\n  b: { time: 2s, bytes: 1MiB }\n  \"c d\": { time: 2s, bytes: 1MiB }\n");
}

static void assert_text_survives(const char *yaml, const char *text, size_t n) {
    struct loaded *l = again(yaml);
    assert_int_equal(l->toy.title.n, n);
    assert_memory_equal(l->toy.title.p, text, n);
    unload(l);
}
#define SURVIVES(yaml, text) assert_text_survives(yaml, text, sizeof(text) - 1)

static void texts_survive_whatever_they_hold(void **state) {
    (void)state;
    SURVIVES("title: 'a: b # c'", "a: b # c");
    SURVIVES("title: \"two\\nlines\\t\\\"quoted\\\" and \\\\\"", "two\nlines\t\"quoted\" and \\");
    SURVIVES("title: $${NAME}$$", "${NAME}$");
    SURVIVES("title: ${SLY}", "a\nworkers: 9 # [x] ${NAME}");
    SURVIVES("title: \"{ [ , ] }\"", "{ [ , ] }");
    SURVIVES("title: \" blanks \"", " blanks ");
    SURVIVES("title: \"- not a list\"", "- not a list");
    SURVIVES("title: \"null\"", "null");
    SURVIVES("title: \"~\"", "~");
    SURVIVES("title: \"0x10\"", "0x10");
    SURVIVES("title: \"a:\"", "a:");
    SURVIVES("title: \"grün €𝄞\"", "grün €𝄞");
    SURVIVES("title: \"\\u0085\\u2028\\uFEFF\\x01\\x7F\\U0001F600\"", "\xc2\x85\xe2\x80\xa8\xef\xbb\xbf\x01\x7f\xf0\x9f\x98\x80");
}

static void what_another_reader_could_take_for_a_number_is_quoted(void **state) {
    (void)state;
    static const char *const odd[] = { "1", "1.5", "2026-07-28", "1:30", "0x1F", "1e3", "yes", "No", "TRUE", "off", "null", "-", "..." };
    for (size_t i = 0; i < sizeof odd / sizeof *odd; i++) {
        char yaml[64], line[64];
        snprintf(yaml, sizeof yaml, "title: \"%s\"", odd[i]);
        snprintf(line, sizeof line, "title: \"%s\"\n", odd[i]);
        assert_printed(yaml, line);
    }
    assert_printed("title: \"http1\"", "title: http1\n");
    assert_printed("title: /v1/*", "title: /v1/*\n");
}

static void bytes_that_are_no_utf8_become_a_sign(void **state) {
    (void)state;
    static const char *const bad[] = { "a\xff", "a\xc3", "a\xc0\xaf", "a\xed\xa0\x80", "a\xf4\x90\x80\x80", "a\xe2\x82" };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        char *text = NULL;
        size_t n = 0;
        FILE *to = open_memstream(&text, &n);
        conf_write_text(to, str_of(bad[i]));
        fclose(to);
        assert_int_equal(strncmp(text, "\"a\\ufffd", 8), 0);
        free(text);
    }
}

/* YAML 1.2 7.4.2: a key without a ? has at most 1024 characters. */
static void long_keys_survive(void **state) {
    (void)state;
    char yaml[4096], key[2001];
    for (size_t n = 90; n < sizeof key; n += 191) {
        memset(key, 'k', n);
        key[n / 2] = '"';
        key[n] = 0;
        snprintf(yaml, sizeof yaml, "shops: { ? '%s' : { time: 3s } }", key);
        struct loaded *l = again(yaml);
        assert_int_equal(l->toy.shops.n, 1);
        assert_true(str_eq(l->toy.shops.names[0].name, str_of(key)));
        assert_int_equal(CONF_AT(l->toy.shops, struct toy_limits, 0)->time.ns, 3 * NS_PER_S);
        unload(l);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_default_is_written_out),
        cmocka_unit_test(each_type_comes_back_as_it_was),
        cmocka_unit_test(what_is_absent_is_left_out),
        cmocka_unit_test(maps_and_lists_nest),
        cmocka_unit_test(texts_survive_whatever_they_hold),
        cmocka_unit_test(what_another_reader_could_take_for_a_number_is_quoted),
        cmocka_unit_test(bytes_that_are_no_utf8_become_a_sign),
        cmocka_unit_test(long_keys_survive),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
