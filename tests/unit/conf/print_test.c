// SPDX-License-Identifier: Apache-2.0
// The reference and the schema say what the tables do.
#include "tests/unit/conf/given.h"

static char *printed(void (*print)(FILE *, const struct conf_table *)) {
    char *text = NULL;
    size_t n = 0;
    FILE *to = open_memstream(&text, &n);
    print(to, &toy_table);
    fclose(to);
    return text;
}

static void the_reference_has_a_row_for_every_key(void **state) {
    (void)state;
    static const char *const rows[] = {
        "## toy\n\nA toy.\n\n| key | type | default | range | meaning |\n|---|---|---|---|---|\n",
        "| `on` | `true`, `false` | `true` |  | whether at all |\n",
        "| `workers` | number, or `all` | `4` | 1 to 64 | how many \\| of us |\n",
        "| `wait` | duration | `15s` | 10ms to 1h | how long to wait |\n",
        "| `forever` | duration, or `none` | `none` | at least 1s |  |\n",
        "| `room` | size | `64KiB` | 1KiB to 1MiB |  |\n",
        "| `rate` | rate | `100/s` |  |  |\n",
        "| `share` | percentage | `20%` | at most 100% |  |\n",
        "| `tags` | list of names | `[ a, b ]` | at most 4 entries |  |\n",
        "| `colour` | `red`, `green`, `blue` | `green` |  |  |\n",
        "| `limits` | [limits](#limits) |  |  |  |\n",
        "| `origin` | [point](#point) | absent |  |  |\n",
        "| `points` | list of [point](#point) |  | at most 100 entries |  |\n",
        "| `shops` | names, each with [limits](#limits) |  |  |  |\n",
        "| `http2` | [codec](#codec) |  |  |  |\n", /* a row made at run time */
        "`colour`:\n\n- `red`: like blood\n",
        "| `x` | number | required |  | to the right |\n",
        "| `ping` | duration | `7s` |  |  |\n",
    };
    char *text = printed(conf_print_reference);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        if (!strstr(text, rows[i])) fail_msg("missing: %s", rows[i]);
    const char *first = strstr(text, "## limits");
    assert_non_null(first);
    assert_null(strstr(first + 1, "## limits")); /* named by two rows, printed once */
    free(text);
}

/* JSON is YAML, so that the schema can be read by what it describes. */
static void the_schema_is_json_and_has_every_key(void **state) {
    (void)state;
    char *text = printed(conf_print_schema);
    struct conf c;
    conf_init(&c);
    for (char *p = text; *p; p++)
        if (*p == '$' || *p == '\t') *p = '@'; /* no variables here */
    const struct conf_node *n = conf_parse(&c, "schema", text, strlen(text));
    conf_report(&c, stderr);
    assert_int_equal(c.errors, 0);
    const struct conf_node *defs = conf_get(n, STR("@defs")), *toy = conf_get(defs, STR("toy")), *keys = conf_get(toy, STR("properties"));
    assert_text(conf_get(n, STR("@ref"))->text, "#/@defs/toy");
    assert_text(conf_get(toy, STR("additionalProperties"))->text, "false");
    assert_int_equal(keys->n, 21);
    assert_int_equal(defs->n, 5);
    const struct conf_node *workers = conf_get(keys, STR("workers"));
    assert_text(conf_get(workers, STR("description"))->text, "how many | of us");
    assert_text(conf_get(workers, STR("default"))->text, "4");
    assert_false(conf_get(workers, STR("default"))->quoted);
    assert_text(conf_get(conf_get(workers, STR("anyOf"))->items[0], STR("maximum"))->text, "64");
    assert_true(conf_get(conf_get(keys, STR("title")), STR("default"))->quoted);
    assert_int_equal(conf_get(conf_get(keys, STR("tags")), STR("default"))->n, 2);
    const struct conf_node *required = conf_get(conf_get(defs, STR("point")), STR("required"));
    assert_int_equal(required->n, 1);
    assert_text(required->items[0]->text, "x");
    conf_free(&c);
    free(text);
}

/* Two tables of one name, one of them holding itself. */
struct nest { struct nest *inner; struct toy_limits limits; };
static const struct conf_table nest_table;
static const struct conf_table other_limits = { .name = "limits", .size = sizeof(struct toy_limits), .fields = toy_codec_rows };
static const struct conf_field nest_rows[] = {
    { .name = "inner", .type = CONF_POINTER, .offset = offsetof(struct nest, inner), .table = &nest_table },
    { .name = "limits", .type = CONF_STRUCT, .offset = offsetof(struct nest, limits), .table = &toy_limits_table },
    { .name = "others", .type = CONF_STRUCT, .offset = offsetof(struct nest, limits), .table = &other_limits },
    { 0 },
};
static const struct conf_table nest_table = { .name = "nest", .size = sizeof(struct nest), .fields = nest_rows };
static void tables_of_one_name_are_told_apart_and_a_ring_ends(void **state) {
    (void)state;
    char *text = NULL;
    size_t n = 0;
    FILE *to = open_memstream(&text, &n);
    conf_print_reference(to, &nest_table);
    fclose(to);
    assert_non_null(strstr(text, "| `inner` | [nest](#nest) | absent |  |  |\n"));
    assert_non_null(strstr(text, "| `limits` | [limits](#limits) |"));
    assert_non_null(strstr(text, "| `others` | [nest.limits](#nestlimits) |"));
    assert_non_null(strstr(text, "## nest.limits\n"));
    free(text);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_reference_has_a_row_for_every_key),
        cmocka_unit_test(the_schema_is_json_and_has_every_key),
        cmocka_unit_test(tables_of_one_name_are_told_apart_and_a_ring_ends),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
