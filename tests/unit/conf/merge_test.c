// SPDX-License-Identifier: Apache-2.0
// One map laid over another, as `extends` does.
#include "tests/unit/conf/given.h"

struct merged { struct conf c; struct conf_node *n; };
static void merge(struct merged *m, const char *base, const char *over) {
    conf_init(&m->c);
    struct conf_node *b = conf_parse(&m->c, "base.yaml", base, strlen(base)), *o = conf_parse(&m->c, "over.yaml", over, strlen(over));
    m->n = conf_merge(&m->c, b, o);
    assert_int_equal(m->c.errors, 0);
}
/* Nodes as flow YAML: what came out, in order. */
static void write_node(FILE *to, const struct conf_node *n) {
    if (n->kind == CONF_NULL) fputs("~", to);
    if (n->kind == CONF_SCALAR) fprintf(to, "%.*s", STR_ARG(n->text));
    if (n->kind != CONF_LIST && n->kind != CONF_MAPPING) return;
    fputc(n->kind == CONF_LIST ? '[' : '{', to);
    for (size_t i = 0; i < n->n; i++) {
        if (i) fputc(' ', to);
        if (n->kind == CONF_MAPPING) fprintf(to, "%.*s:", STR_ARG(n->keys[i]->text));
        write_node(to, n->items[i]);
    }
    fputc(n->kind == CONF_LIST ? ']' : '}', to);
}
static void assert_merged(const char *base, const char *over, const char *expected) {
    struct merged m;
    char *text = NULL;
    size_t n = 0;
    merge(&m, base, over);
    FILE *to = open_memstream(&text, &n);
    write_node(to, m.n);
    fclose(to);
    assert_string_equal(text, expected);
    free(text);
    conf_free(&m.c);
}

static void maps_merge_to_any_depth(void **state) {
    (void)state;
    assert_merged("{ a: 1, b: { c: 2, d: { e: 3, f: 4 } } }", "{ b: { d: { f: 5, g: 6 } }, h: 7 }", "{a:1 b:{c:2 d:{e:3 f:5 g:6}} h:7}");
    assert_merged("{ a: 1 }", "{}", "{a:1}");
    assert_merged("{}", "{ a: 1 }", "{a:1}");
}

static void lists_and_scalars_replace(void **state) {
    (void)state;
    assert_merged("{ a: [ 1, 2 ], b: x }", "{ a: [ 3 ], b: y }", "{a:[3] b:y}");
    assert_merged("{ a: [ 1, 2 ] }", "{ a: [] }", "{a:[]}");
    assert_merged("{ a: { b: 1 } }", "{ a: [ c ] }", "{a:[c]}");
    assert_merged("{ a: 1 }", "{ a: { b: 2 } }", "{a:{b:2}}");
}

static void null_restores_the_built_in(void **state) {
    (void)state;
    assert_merged("{ a: 1, b: 2 }", "{ a: ~ }", "{b:2}");
    assert_merged("{ a: { b: 1, c: 2 } }", "{ a: { b: null } }", "{a:{c:2}}");
    assert_merged("{ a: { b: 1 } }", "{ a: }", "{}");
    assert_merged("{ a: \"~\" }", "{ a: \"null\" }", "{a:null}"); /* quoted: a word */
}

/* It would be a field, a listener: a thing whose keys all have defaults. */
static void a_null_with_nothing_under_it_stays(void **state) {
    (void)state;
    assert_merged("{ a: 1 }", "{ b: ~ }", "{a:1 b:~}");
    assert_merged("{ a: { b: 1 } }", "{ a: { c: } }", "{a:{b:1 c:~}}");
    assert_merged("{}", "{ a: { b: } }", "{a:{b:~}}");
    assert_merged("{ a: { b: } }", "{ a: { b: { c: 1 } } }", "{a:{b:{c:1}}}");
    assert_merged("{ a: { b: } }", "{ a: { b: ~ } }", "{a:{}}"); /* the base has it, empty as it is */
    assert_merged("{ a: { b: } }", "{ a: {} }", "{a:{b:~}}");
}

static void every_value_keeps_its_place(void **state) {
    (void)state;
    struct merged m;
    merge(&m, "a: 1\nb: { c: 2 }\n", "\nb:\n  d: 3\n");
    assert_string_equal(conf_get(m.n, STR("a"))->pos.file, "base.yaml");
    const struct conf_node *b = conf_get(m.n, STR("b"));
    assert_string_equal(b->pos.file, "over.yaml");
    assert_string_equal(conf_get(b, STR("c"))->pos.file, "base.yaml");
    assert_int_equal(conf_get(b, STR("d"))->pos.line, 3);
    conf_free(&m.c);
}

static void what_was_merged_is_not_changed(void **state) {
    (void)state;
    struct conf c;
    conf_init(&c);
    struct conf_node *base = conf_parse(&c, "a", "{ a: { b: 1 } }", 15), *over = conf_parse(&c, "b", "{ a: { b: ~ } }", 15);
    conf_merge(&c, base, over);
    assert_int_equal(conf_get(conf_get(base, STR("a")), STR("b"))->kind, CONF_SCALAR);
    assert_int_equal(conf_get(conf_get(over, STR("a")), STR("b"))->kind, CONF_NULL);
    assert_ptr_equal(conf_merge(&c, base, NULL), base);
    assert_ptr_equal(conf_merge(&c, NULL, over), over);
    conf_free(&c);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(maps_merge_to_any_depth),
        cmocka_unit_test(lists_and_scalars_replace),
        cmocka_unit_test(null_restores_the_built_in),
        cmocka_unit_test(a_null_with_nothing_under_it_stays),
        cmocka_unit_test(every_value_keeps_its_place),
        cmocka_unit_test(what_was_merged_is_not_changed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
