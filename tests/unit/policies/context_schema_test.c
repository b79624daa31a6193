// SPDX-License-Identifier: Apache-2.0
// Context schemas: laid under a policy's own fields, and what a new version breaks of the old one.
#include "policies/context_schema.h"
#include "tests/unit/policies/given.h"
#include <unistd.h>

/* A file of that text, in a folder that goes with the test. */
static char folder[64];
static char paths[8][96];
static size_t nfiles;
static const char *file_of(const char *text) {
    char *path = paths[nfiles];
    snprintf(path, sizeof paths[0], "%s/%zu.yaml", folder, nfiles);
    nfiles++;
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
    return path;
}
static int setup(void **state) {
    (void)state;
    snprintf(folder, sizeof folder, "/tmp/curfew-schema-XXXXXX");
    nfiles = 0;
    return mkdtemp(folder) ? 0 : -1;
}
static int teardown(void **state) {
    (void)state;
    for (size_t i = 0; i < nfiles; i++) unlink(paths[i]);
    return rmdir(folder);
}

/* ---- comparing ------------------------------------------------------------------------------------------------------------------------- */
static char printed[8192];
static struct schema_changes changes;
static void compare_whole(const char *was, const char *now, bool json) {
    conf_init(&load);
    const struct context_schema *a = context_schema_load(&load, file_of(was)), *b = context_schema_load(&load, file_of(now));
    take_report();
    if (!a || !b) fail_msg("%s", report);
    context_schema_compare(&load, a, b, &changes);
    memset(printed, 0, sizeof printed);
    FILE *f = fmemopen(printed, sizeof printed - 1, "w");
    context_schema_print(f, a, b, &changes, json);
    fclose(f);
    unlink(paths[--nfiles]);
    unlink(paths[--nfiles]);
}
#define V(version, fields) "version: " version "\nfields: { " fields " }\n"
static void breaks(const char *was, const char *now, const char *sentence) {
    compare_whole(was, now, false);
    char text[256];
    snprintf(text, sizeof text, ": breaking: %s", sentence);
    if (!strstr(printed, text)) fail_msg("\"%s\" is not in %s", text, printed);
    assert_int_equal(changes.breaking, 1);
    done();
}
static void notes(const char *was, const char *now, const char *sentence) {
    compare_whole(was, now, false);
    char text[256];
    snprintf(text, sizeof text, ": note: %s", sentence);
    if (!strstr(printed, text)) fail_msg("\"%s\" is not in %s", text, printed);
    assert_int_equal(changes.breaking, 0);
    done();
}
static void what_is_removed_retyped_or_newly_required_breaks(void **state) {
    (void)state;
    breaks(V("1", "x-a: {}, x-b: {}"), V("2", "x-b: {}"), "x-a: it is gone");
    breaks(V("1", "x-a: {}"), V("2", "x-a: { type: uuid }"), "x-a: type is uuid, was string");
    breaks(V("1", "x-a: { type: uuid }"), V("2", "x-a: {}"), "x-a: type is string, was uuid");
    breaks(V("1", "x-a: {}"), V("2", "x-a: { pattern: a+ }"), "x-a: pattern is a+, there was none");
    breaks(V("1", "x-a: { pattern: a }"), V("2", "x-a: { pattern: a+ }"), "x-a: pattern is a+, was a");
    breaks(V("1", "x-a: { max: 64 }"), V("2", "x-a: { max: 32 }"), "x-a: max is 32, was 64");
    breaks(V("1", "x-a: {}"), V("2", "x-a: { required: reject }"), "x-a: required is reject, was none");
    breaks(V("1", "x-a: {}"), V("2", "x-a: {}, x-b: { required: reject, since: 2 }"), "x-b: it is new, and required");
    breaks(V("3", "x-a: { required: reject, since: 3 }"), V("4", "x-a: { required: reject, since: 2 }"), "x-a: since is 2, was 3"); /* who says 2 has it not */
    breaks(V("1", "x-a: {}"), V("2", "x-a: { malformed: reject }"), "x-a: a malformed value is rejected now");
    breaks(V("1", "x-a: {}"), V("2", "x-a: { names: { grpc: b } }"), "x-a: over grpc it is called b, was x-a");
    breaks(V("1", "x-a: {}"), V("2", "x-a: { from: [ mesh ] }"), "x-a: it is not believed any more");
    breaks(V("1", "x-a: { from: [ a, b ] }"), V("2", "x-a: { from: [ b, c ] }"), "x-a: it is not believed any more");
    breaks("version: 1\n", "version: 2\nprefixes: [ x-ctx- ]\n", "x-ctx-: the prefix is new");
}
static void what_is_added_widened_or_eased_does_not(void **state) {
    (void)state;
    notes(V("1", "x-a: {}"), V("2", "x-a: {}, x-b: { optional: true }"), "x-b: it is new");
    notes(V("1", "x-a: {}"), V("2", "x-a: {}, x-b: { required: warn }"), "x-b: it is new");
    notes(V("1", "x-a: { pattern: a }"), V("2", "x-a: {}"), "x-a: there is no pattern any more, it was a");
    notes(V("1", "x-a: { max: 64 }"), V("2", "x-a: { max: 1KiB }"), "x-a: max is 1024, was 64");
    notes(V("1", "x-a: { required: reject }"), V("2", "x-a: { required: warn }"), "x-a: required is warn, was reject");
    notes(V("1", "x-a: { malformed: reject }"), V("2", "x-a: {}"), "x-a: a malformed value is dropped now");
    notes(V("1", "x-a: {}"), V("2", "x-a: { optional: true }"), "x-a: it may be dropped under load now");
    notes(V("1", "x-a: { from: [ a ] }"), V("2", "x-a: { from: [ a, b ] }"), "x-a: it is believed on more listeners");
    notes(V("1", "x-a: { from: [ a ] }"), V("2", "x-a: {}"), "x-a: it is believed on more listeners");
    notes("version: 1\nprefixes: [ x-ctx- ]\n", "version: 2\nprefixes: [ x-ctx-a- ]\n", "x-ctx-: the prefix is gone");
}
static void the_same_is_the_same_in_any_order_and_case(void **state) {
    (void)state;
    compare_whole(V("4", "x-a: { max: 1KiB }, x-b:"), V("4", "X-B: {}, X-A: { names: { http: X-A }, max: 1024 }"), false);
    assert_int_equal(changes.n, 0);
    done();
    compare_whole(V("4", "x-a: {}"), V("5", "x-a: {}"), false);
    assert_int_equal(changes.n, 0);
    done();
}
static void a_change_needs_a_higher_version(void **state) {
    (void)state;
    breaks(V("2", "x-a: {}"), V("2", "x-a: {}, x-b: {}"), "the version is 2, was 2: what changes needs a higher one");
    breaks(V("2", "x-a: {}"), V("1", "x-a: {}"), "the version is 1, was 2");
}
static void a_change_is_shown_with_both_its_places(void **state) {
    (void)state;
    char expected[512];
    compare_whole("version: 1\nfields:\n  x-a: { max: 64 }\n", "version: 2\nfields:\n  x-b:\n  x-a:\n    max: 32\n", false);
    snprintf(expected, sizeof expected, "%s:5:5: breaking: x-a: max is 32, was 64 (%s:3:10)\n%s:3:3: note: x-b: it is new\n%s: version 2 breaks users of version 1\n",
             paths[1], paths[0], paths[1], paths[1]);
    assert_string_equal(printed, expected);
    done();
}
static void as_json_for_machines(void **state) {
    (void)state;
    char expected[512];
    compare_whole("version: 1\nfields:\n  x-a: { pattern: '\"' }\n", "version: 2\n", true);
    snprintf(expected, sizeof expected,
             "{\"old_version\":1,\"new_version\":2,\"breaking\":true,\"changes\":[{\"breaking\":true,\"field\":\"x-a\",\"what\":\"fields\",\"text\":\"it is gone\","
             "\"was\":{\"file\":\"%s\",\"line\":3,\"column\":3}}]}\n", paths[0]);
    assert_string_equal(printed, expected);
    done();
}
static void a_wrong_schema_is_refused_where_it_is_wrong(void **state) {
    (void)state;
    static const struct { const char *text, *sentence; } bad[] = {
        { "fields: { x-a: {} }\n", "context schema needs the key \"version\"" },
        { "version: 0\n", "out of range" },
        { "version: 2\nfields: { x-a: { since: 3 } }\n", "since: 3 is after the schema's own version, 2" },
        { "version: 2\nfields: { x-a: {}, X-A: {} }\n", "x-a is listed twice" },
        { "version: 2\nfields: { traceparent: {} }\n", "traceparent is no context field" },
        { "version: 2\nfeilds: {}\n", "did you mean \"fields\"?" },
        { "version: 2\nfields: [ x-a ]\n", "expected a map" },
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        conf_init(&load);
        assert_null(context_schema_load(&load, file_of(bad[i].text)));
        take_report();
        if (!strstr(report, bad[i].sentence)) fail_msg("\"%s\" is not in %s", bad[i].sentence, report);
        assert_non_null(strstr(report, paths[0]));
        done();
        unlink(paths[--nfiles]);
    }
    conf_init(&load);
    assert_null(context_schema_load(&load, "/nowhere/schema.yaml"));
    done();
}

/* ---- under a policy ------------------------------------------------------------------------------------------------------------------------ */
static const struct conf_node *policy_over(const char *schema, const char *own, int64_t *version) {
    static char yaml[1024];
    struct context_schemas all = { NULL };
    snprintf(yaml, sizeof yaml, "context:\n  schema: %s\n%s", schema, own);
    return context_schema_under(&load, &all, given_yaml(yaml), version);
}
static void own_rows_lie_over_the_schema_s(void **state) {
    (void)state;
    const char *path = file_of("version: 7\nprefixes: [ x- ]\nfields: { x-a: { max: 8, type: integer }, x-b: {}, x-c: {} }\n");
    int64_t version;
    struct fields_policy p;
    const struct conf_node *n = policy_over(path, "  fields: { x-a: { from: [ mesh ] }, x-b: null, x-d: {} }\n", &version);
    assert_int_equal(version, 7);
    assert_true(conf_load(&load, conf_get(n, STR("context")), &fields_table, &p));
    assert_int_equal(p.fields.n, 3);
    assert_str(p.fields.names[0].name, "x-a");
    assert_str(p.fields.names[1].name, "x-c");
    assert_str(p.fields.names[2].name, "x-d");
    const struct context_field *a = CONF_AT(p.fields, const struct context_field, 0);
    assert_int_equal(a->max, 8);
    assert_int_equal(a->type, FIELD_INTEGER);
    assert_int_equal(a->from.n, 1);
    assert_int_equal(p.prefixes.n, 1);
    done();
}
static void a_policy_without_a_schema_is_as_it_was(void **state) {
    (void)state;
    struct context_schemas all = { NULL };
    int64_t version = 1;
    const struct conf_node *n = given_yaml("context: { fields: { x-a: {} } }\n");
    assert_ptr_equal(context_schema_under(&load, &all, n, &version), n);
    assert_int_equal(version, 0);
    assert_null(context_schema_under(&load, &all, NULL, &version));
    done();
}
static void a_schema_with_faults_is_reported_once_and_adds_nothing(void **state) {
    (void)state;
    const char *path = file_of("version: 7\nfields: { x-a: { max: 0 } }\n");
    char yaml[256];
    int64_t version;
    struct context_schemas all = { NULL };
    snprintf(yaml, sizeof yaml, "context: { schema: %s }\n", path);
    const struct conf_node *n = given_yaml(yaml);
    assert_ptr_equal(context_schema_under(&load, &all, n, &version), n);
    assert_ptr_equal(context_schema_under(&load, &all, n, &version), n);
    assert_int_equal(load.errors, 1);
    done();
}

int main(void) {
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(what_is_removed_retyped_or_newly_required_breaks), T(what_is_added_widened_or_eased_does_not), T(the_same_is_the_same_in_any_order_and_case),
        T(a_change_needs_a_higher_version), T(a_change_is_shown_with_both_its_places), T(as_json_for_machines),
        T(a_wrong_schema_is_refused_where_it_is_wrong), T(own_rows_lie_over_the_schema_s), T(a_policy_without_a_schema_is_as_it_was),
        T(a_schema_with_faults_is_reported_once_and_adds_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
