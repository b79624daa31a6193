// SPDX-License-Identifier: Apache-2.0
// From text to nodes: where they stand, what they are, and what of YAML is refused.
#include "tests/unit/conf/given.h"
#include "conf/inside.h"
#include <unistd.h>

static void assert_pos(const struct conf_node *n, unsigned line, unsigned col) {
    assert_non_null(n);
    assert_string_equal(n->pos.file, "a.yaml");
    assert_int_equal(n->pos.line, line);
    assert_int_equal(n->pos.col, col);
}
static struct conf_node *parse(struct conf *c, const char *text) {
    conf_init(c);
    c->getenv = toy_env;
    struct conf_node *n = conf_parse(c, "a.yaml", text, strlen(text));
    assert_int_equal(c->errors, 0);
    return n;
}

static void every_node_knows_its_place(void **state) {
    (void)state;
    struct conf c;
    struct conf_node *n = parse(&c, "# first\nmap:\n  list: [ one,\n    two ]\n  \"quoted key\": 'x'\n\xc3\xa4\xc3\xb6: y\nempty:\n");
    struct conf_node *map = conf_get(n, STR("map")), *list = conf_get(map, STR("list"));
    assert_pos(n, 2, 1);
    assert_pos(n->keys[0], 2, 1);
    assert_pos(map, 3, 3);
    assert_pos(list, 3, 9);
    assert_pos(list->items[0], 3, 11);
    assert_pos(list->items[1], 4, 5);
    assert_pos(conf_get(map, STR("quoted key")), 5, 17);
    assert_pos(conf_get(n, STR("\xc3\xa4\xc3\xb6")), 6, 5); /* columns are characters, not bytes */
    assert_pos(conf_get(n, STR("empty")), 7, 7);
    assert_int_equal(conf_pos_of(n, "empty").line, 7);
    assert_int_equal(conf_pos_of(n, "absent").line, 2);
    conf_free(&c);
}

static void null_is_what_is_plain_and_empty(void **state) {
    (void)state;
    struct conf c;
    struct conf_node *n = parse(&c, "[ ~, null, Null, NULL, \"\", 'null', nil, \"~\", \"${EMPTY}\" ]");
    for (size_t i = 0; i < n->n; i++) assert_int_equal(n->items[i]->kind, i < 4 ? CONF_NULL : CONF_SCALAR);
    conf_free(&c);
}

static void scalars_keep_what_was_written(void **state) {
    (void)state;
    struct conf c;
    struct conf_node *n = parse(&c, "a: 1\nb: \"1\"\nc: \"x\\ty\\u00e4\"\nd: |\n  two\n  lines\ne: folded\n   on\n");
    assert_false(conf_get(n, STR("a"))->quoted);
    assert_true(conf_get(n, STR("b"))->quoted);
    assert_text(conf_get(n, STR("c"))->text, "x\ty\xc3\xa4");
    assert_text(conf_get(n, STR("d"))->text, "two\nlines\n");
    assert_true(conf_get(n, STR("d"))->quoted);
    assert_text(conf_get(n, STR("e"))->text, "folded on");
    conf_free(&c);
}

static void a_nul_follows_every_text(void **state) {
    (void)state;
    struct conf c;
    struct conf_node *n = parse(&c, "[ a, 'b', \"${NAME}\", \"${EMPTY}\", \"\", { key: x } ]");
    static const char *const texts[] = { "a", "b", "value", "", "" };
    for (size_t i = 0; i < 5; i++) assert_string_equal(n->items[i]->text.p, texts[i]);
    assert_string_equal(n->items[5]->keys[0]->text.p, "key");
    conf_free(&c);
}

static void many_keys_and_items_stay_in_order(void **state) {
    (void)state;
    struct conf c;
    char text[8192];
    size_t n = 0;
    for (int i = 0; i < 300; i++) n += (size_t)snprintf(text + n, sizeof text - n, "k%d: %d\n", i, i);
    struct conf_node *map = parse(&c, text);
    assert_int_equal(map->n, 300);
    for (size_t i = 0; i < 300; i++) {
        char key[8], value[8];
        snprintf(key, sizeof key, "k%zu", i);
        snprintf(value, sizeof value, "%zu", i);
        assert_text(map->keys[i]->text, key);
        assert_text(map->items[i]->text, value);
    }
    conf_free(&c);
}

static void syntax_errors_have_a_place(void **state) {
    (void)state;
    assert_report("a: [ 1, 2\nb: 3\n", "toy.yaml:2:2: error: did not find expected ',' or ']'\n  hint: while parsing a flow sequence that began on line 1\n");
    assert_report("on: true\n\ttitle: x\n", "toy.yaml:2:1: error: found a tab character that violates indentation\n  hint: YAML is indented with blanks, not with tabs\n");
    assert_report("title: \"open\n", "toy.yaml:2:1: error: found unexpected end of stream\n  hint: while scanning a quoted scalar that began on line 1\n");
    assert_report("a: b: c\n", "toy.yaml:1:5: error: mapping values are not allowed in this context\n");
    assert_report("on: true\n title: x\n", "toy.yaml:2:7: error: mapping values are not allowed in this context\n");
    assert_report("wait: @x\n", "toy.yaml:1:7: error: found character that cannot start any token\n  hint: while scanning for the next token that began on line 1\n");
}

static void bad_encodings_have_a_place(void **state) {
    (void)state;
    assert_report("on: true\ntitle: a\xc3\xa4\xff\n", "toy.yaml:2:10: error: invalid leading UTF-8 octet\n  hint: the file must be UTF-8\n");
    assert_report("title: \xc3", "toy.yaml:1:8: error: incomplete UTF-8 octet sequence\n  hint: the file must be UTF-8\n");
    assert_report("title: a\x01", "toy.yaml:1:9: error: control characters are not allowed\n  hint: the file must be UTF-8\n");
    struct loaded *l = load_n("on: true\0", 9);
    assert_false(l->ok);
    unload(l);
}

static void a_nul_cannot_be_written_either(void **state) {
    (void)state;
    assert_error("title: \"a\\0b\"", "1:8: error: a NUL byte in a value");
}

static void tags_anchors_and_aliases_are_refused(void **state) {
    (void)state;
    assert_report("title: !!str 5", "toy.yaml:1:8: error: the tag tag:yaml.org,2002:str: tags are not supported\n  hint: what a value is, its key decides\n");
    assert_report("limits: &a { time: 1s }\norigin: *a\n",
                  "toy.yaml:1:9: error: the anchor &a: anchors and aliases are not supported\n  hint: write the value out where it is needed\n"
                  "toy.yaml:2:9: error: the alias *a: anchors and aliases are not supported\n  hint: write the value out where it is needed\n");
    assert_report("tags: !x [ a ]", "toy.yaml:1:7: error: the tag !x: tags are not supported\n  hint: what a value is, its key decides\n");
}

/* The "billion laughs" ends at its first line. */
static void aliases_cannot_blow_up(void **state) {
    (void)state;
    struct loaded *l = load("a: &a [ x, x ]\nb: &b [ *a, *a ]\nc: &c [ *b, *b ]\nd: [ *c, *c ]\n");
    assert_false(l->ok);
    assert_true(l->c.arena.used < 20000);
    unload(l);
}

/* Three messages would not say more than one. */
static void a_merge_key_is_refused_and_its_map_passed_over(void **state) {
    (void)state;
    assert_report("origin: { <<: { x: 1 } }", "toy.yaml:1:11: error: the merge key << is not supported\n"
                                              "  hint: write the keys out where they are needed; policies have extends\n");
    assert_report("points: [ { <<: 1 }, { x: 1 } ]", "toy.yaml:1:13: error: the merge key << is not supported\n"
                                                     "  hint: write the keys out where they are needed; policies have extends\n");
    assert_report("shops: { a: *b }", "toy.yaml:1:13: error: the alias *b: anchors and aliases are not supported\n"
                                      "  hint: write the value out where it is needed\n");
}

static void a_second_document_is_refused(void **state) {
    (void)state;
    assert_report("on: true\n---\non: false\n", "toy.yaml:2:1: error: a second document\n  hint: one file is one document: leave out the ---\n");
    unload(accept("%YAML 1.1\n---\non: true\n...\n"));
}

static void a_key_is_a_word(void **state) {
    (void)state;
    assert_report("{ [ a ]: b }", "toy.yaml:1:3: error: a key must be a word, not a list\n  hint: in YAML a value that starts with { [ or ? needs quotes\n");
    assert_report("title: {{ x }}", "toy.yaml:1:9: error: a key must be a word, not a map\n  hint: in YAML a value that starts with { [ or ? needs quotes\n");
}

static void nesting_has_a_limit(void **state) {
    (void)state;
    struct loaded *l = load("[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]"); /* 33 */
    assert_string_equal(l->report, "toy.yaml:1:33: error: nested deeper than 32 levels\n");
    unload(l);
    l = load("[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]"); /* 32 */
    assert_string_equal(l->report, "toy.yaml:1:1: error: toy: expected a map, got a list\n");
    unload(l);
}

static void the_number_of_values_has_a_limit(void **state) {
    (void)state;
    size_t n = 2 * CONF_NODES_MAX + 8;
    char *text = mem_alloc(n);
    for (size_t i = 0; i < n; i++) text[i] = i % 2 ? 'a' : ',';
    text[0] = '[';
    text[n - 1] = ']';
    struct loaded *l = load_n(text, n);
    assert_false(l->ok);
    assert_non_null(strstr(l->report, "more than 500000 values in one file"));
    unload(l);
    free(text);
}

static void a_file_has_a_limit(void **state) {
    (void)state;
    struct conf c;
    conf_init(&c);
    assert_null(conf_parse_file(&c, "/dev/zero"));
    assert_int_equal(c.ndiags, 1);
    assert_text(c.diags[0].message, "larger than 4194304 bytes");
    assert_string_equal(c.diags[0].pos.file, "/dev/zero");
    conf_free(&c);
}

static void a_file_that_cannot_be_read_says_why(void **state) {
    (void)state;
    struct conf c;
    conf_init(&c);
    assert_null(conf_parse_file(&c, "no/such.yaml"));
    assert_null(conf_parse_file(&c, "/"));
    char *text = NULL;
    size_t n = 0;
    FILE *to = open_memstream(&text, &n);
    conf_report(&c, to);
    fclose(to);
    assert_string_equal(text, "/: error: cannot read: Is a directory\nno/such.yaml: error: cannot open: No such file or directory\n");
    free(text);
    conf_free(&c);
}

static void a_file_is_read_whole(void **state) {
    (void)state;
    char path[] = "/tmp/conf_yaml_test.XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    static const char text[] = "title: from a file\n";
    assert_int_equal(write(fd, text, sizeof text - 1), sizeof text - 1);
    close(fd);
    struct conf c;
    conf_init(&c);
    const struct conf_node *n = conf_parse_file(&c, path);
    unlink(path);
    assert_non_null(n);
    assert_string_equal(n->pos.file, path);
    assert_text(conf_get(n, STR("title"))->text, "from a file");
    conf_free(&c);
}

/* Quadratic, this takes a minute; sorted, no time. */
static void a_map_of_a_hundred_thousand_keys_is_no_trap(void **state) {
    (void)state;
    char *text = NULL;
    size_t n = 0;
    FILE *to = open_memstream(&text, &n);
    for (int i = 0; i < 90000; i++) fprintf(to, "k%d: 1\n", i * 7919 % 90000);
    fprintf(to, "k5: 2\n");
    fclose(to);
    struct conf c;
    conf_init(&c);
    struct conf_node *map = conf_parse(&c, "a.yaml", text, n);
    assert_int_equal(map->n, 90001);
    assert_int_equal(c.errors, 1);
    assert_int_equal(c.diags[0].pos.line, 90001);
    conf_free(&c);
    free(text);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_node_knows_its_place),
        cmocka_unit_test(null_is_what_is_plain_and_empty),
        cmocka_unit_test(scalars_keep_what_was_written),
        cmocka_unit_test(a_nul_follows_every_text),
        cmocka_unit_test(many_keys_and_items_stay_in_order),
        cmocka_unit_test(syntax_errors_have_a_place),
        cmocka_unit_test(bad_encodings_have_a_place),
        cmocka_unit_test(a_nul_cannot_be_written_either),
        cmocka_unit_test(tags_anchors_and_aliases_are_refused),
        cmocka_unit_test(aliases_cannot_blow_up),
        cmocka_unit_test(a_merge_key_is_refused_and_its_map_passed_over),
        cmocka_unit_test(a_second_document_is_refused),
        cmocka_unit_test(a_key_is_a_word),
        cmocka_unit_test(nesting_has_a_limit),
        cmocka_unit_test(the_number_of_values_has_a_limit),
        cmocka_unit_test(a_file_has_a_limit),
        cmocka_unit_test(a_file_that_cannot_be_read_says_why),
        cmocka_unit_test(a_file_is_read_whole),
        cmocka_unit_test(a_map_of_a_hundred_thousand_keys_is_no_trap),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
