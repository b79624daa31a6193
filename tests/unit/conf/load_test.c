// SPDX-License-Identifier: Apache-2.0
// What a table takes, what it defaults to, and what it says about what it does not take.
#include "tests/unit/conf/given.h"

/* ---- defaults ------------------------------------------------------------------------------------------------------------------ */

static void an_empty_file_is_all_defaults(void **state) {
    (void)state;
    const char *const empty[] = { "", "# nothing\n", "---\n", "~", "{}" };
    for (size_t i = 0; i < sizeof empty / sizeof empty[0]; i++) {
        struct loaded *l = accept(empty[i]);
        const struct toy *t = &l->toy;
        assert_true(t->on);
        assert_int_equal(t->workers, 4);
        assert_int_equal(t->plain, 0);
        assert_int_equal(t->wait.ns, 15 * NS_PER_S);
        assert_true(span_is_forever(t->forever));
        assert_int_equal(t->room, 65536);
        assert_int_equal(t->rate.count, 100);
        assert_int_equal(t->rate.per.ns, NS_PER_S);
        assert_int_equal(t->share, 2000);
        assert_text(t->title, "none");
        assert_null(t->friend.at);
        assert_int_equal(t->colour, TOY_GREEN);
        assert_int_equal(t->limits.time.ns, 2 * NS_PER_S);
        assert_int_equal(t->limits.bytes, 1 << 20);
        assert_null(t->origin);
        assert_int_equal(t->even, 2);
        assert_int_equal(t->odd, 0);
        assert_int_equal(t->codec[0].ping.ns, 7 * NS_PER_S);
        assert_int_equal(t->checked, 1);
        unload(l);
    }
}

static void a_default_list_is_there_but_not_given(void **state) {
    (void)state;
    struct loaded *l = accept("");
    assert_int_equal(l->toy.tags.n, 2);
    assert_text(l->toy.tags.v[1].name, "b");
    assert_string_equal(l->toy.tags.v[1].at->pos.file, "built-in");
    assert_false(l->toy.tags.given);
    unload(l);
    l = accept("tags: []");
    assert_int_equal(l->toy.tags.n, 0);
    assert_true(l->toy.tags.given);
    unload(l);
}

static void a_key_without_a_value_is_its_default(void **state) {
    (void)state;
    struct loaded *l = accept("workers:\nwait: null\ntitle: ~\nlimits:\norigin: ~\npoints:\n");
    assert_int_equal(l->toy.workers, 4);
    assert_int_equal(l->toy.wait.ns, 15 * NS_PER_S);
    assert_text(l->toy.title, "none");
    assert_int_equal(l->toy.limits.time.ns, 2 * NS_PER_S);
    assert_null(l->toy.origin);
    assert_int_equal(l->toy.points.n, 0);
    assert_int_equal(l->toy.points.size, sizeof(struct toy_point));
    unload(l);
}

/* ---- what is taken ------------------------------------------------------------------------------------------------------------- */

static void every_type_is_read(void **state) {
    (void)state;
    struct loaded *l = accept("on: false\nworkers: 64\nplain: -7\nwait: 1m30s\nforever: 1h\nroom: 2KiB\nwide: 3GiB\nrate: 30/m\nshare: 0.25%\n"
                              "title: a b\nfriend: shop\ntags: [ x, \"y z\" ]\ncolour: blue\nlimits: { time: 5us }\norigin: { x: 1 }\n"
                              "points:\n  - x: 1\n    y: 2\n  - { x: 5 }\nshops:\n  near: { bytes: 7 }\n  far:\neven: [ 2, 4 ]\nodd: 9\n"
                              "http2: { ping: 1s }\n");
    const struct toy *t = &l->toy;
    assert_false(t->on);
    assert_int_equal(t->workers, 64);
    assert_int_equal(t->plain, -7);
    assert_int_equal(t->wait.ns, 90 * NS_PER_S);
    assert_int_equal(t->forever.ns, 3600 * NS_PER_S);
    assert_int_equal(t->room, 2048);
    assert_int_equal(t->wide, 3ull << 30);
    assert_int_equal(t->rate.count, 30);
    assert_int_equal(t->rate.per.ns, 60 * NS_PER_S);
    assert_int_equal(t->share, 25);
    assert_text(t->title, "a b");
    assert_text(t->friend.name, "shop");
    assert_int_equal(t->friend.at->pos.line, 11);
    assert_text(t->tags.v[1].name, "y z");
    assert_int_equal(t->colour, TOY_BLUE);
    assert_int_equal(t->limits.time.ns, 5000);
    assert_int_equal(t->origin->y, 3);
    assert_int_equal(CONF_AT(t->points, struct toy_point, 0)->y, 2);
    assert_int_equal(CONF_AT(t->points, struct toy_point, 1)->x, 5);
    assert_int_equal(CONF_AT(t->shops, struct toy_limits, 0)->bytes, 7);
    assert_int_equal(CONF_AT(t->shops, struct toy_limits, 1)->time.ns, 2 * NS_PER_S);
    assert_text(t->shops.names[1].name, "far");
    assert_int_equal(t->shops.names[1].at->pos.line, 22);
    assert_int_equal(t->even, 6);
    assert_int_equal(t->odd, 9);
    assert_int_equal(t->codec[0].ping.ns, 7 * NS_PER_S);
    assert_int_equal(t->codec[1].ping.ns, NS_PER_S);
    unload(l);
}

static void the_none_word_is_the_largest_value(void **state) {
    (void)state;
    struct loaded *l = accept("workers: all\nforever: none\nwide: unlimited\n");
    assert_int_equal(l->toy.workers, INT64_MAX);
    assert_true(span_is_forever(l->toy.forever));
    assert_true(l->toy.wide == UINT64_MAX);
    unload(l);
    assert_error("wait: none", "1:7: error: wait: none is not a duration");
}

static void one_name_is_a_list_of_one(void **state) {
    (void)state;
    struct loaded *l = accept("tags: alone");
    assert_int_equal(l->toy.tags.n, 1);
    assert_text(l->toy.tags.v[0].name, "alone");
    assert_true(l->toy.tags.given);
    unload(l);
}

static void a_text_may_look_like_anything(void **state) {
    (void)state;
    const char *const texts[][2] = { { "title: 010", "010" }, { "title: 1.20", "1.20" }, { "title: true", "true" }, { "title: \"\"", "" }, { "title: 'null'", "null" } };
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        struct loaded *l = accept(texts[i][0]);
        assert_text(l->toy.title, texts[i][1]);
        unload(l);
    }
}

/* ---- keys ------------------------------------------------------------------------------------------------------------------------ */

static void an_unknown_key_names_the_nearest(void **state) {
    (void)state;
    assert_report("wrokers: 4", "toy.yaml:1:1: error: unknown key wrokers in toy\n  hint: did you mean \"workers\"?\n");
    assert_report("on: true\nhttp-2: {}", "toy.yaml:2:1: error: unknown key http-2 in toy\n  hint: did you mean \"http2\"?\n");
    assert_report("Workers: 4", "toy.yaml:1:1: error: unknown key Workers in toy\n  hint: did you mean \"workers\"?\n");
    assert_report("col: red", "toy.yaml:1:1: error: unknown key col in toy\n  hint: did you mean \"colour\"?\n");
}

static void a_short_list_of_keys_is_shown_and_a_long_one_not(void **state) {
    (void)state;
    assert_report("limits: { depth: 4 }", "toy.yaml:1:11: error: unknown key depth in limits\n  hint: its keys are time, bytes\n");
    assert_report("zzz: 4", "toy.yaml:1:1: error: unknown key zzz in toy\n");
}

static void a_key_of_two_letters_is_near_to_nothing(void **state) {
    (void)state;
    assert_report("limits: { xx: 4 }", "toy.yaml:1:11: error: unknown key xx in limits\n  hint: its keys are time, bytes\n");
    assert_report("origin: { x: 1, z: 4 }", "toy.yaml:1:17: error: unknown key z in point\n  hint: its keys are x, y\n");
}

static void a_repeated_key_names_the_first(void **state) {
    (void)state;
    assert_report("on: true\nlimits:\n  time: 1s\n  bytes: 1\n  time: 2s\n",
                  "toy.yaml:5:3: error: repeated key \"time\"\n  hint: it stands first on line 3\n");
    assert_report("{on: true, on: false, on: true}", "toy.yaml:1:12: error: repeated key \"on\"\n  hint: it stands first on line 1\n"
                                                     "toy.yaml:1:23: error: repeated key \"on\"\n  hint: it stands first on line 1\n");
}

static void a_missing_key_is_reported_where_the_map_starts(void **state) {
    (void)state;
    assert_report("points:\n  - y: 1\n  - x: 1\n", "toy.yaml:2:5: error: point needs the key \"x\"\n  hint: x: to the right\n");
    assert_report("origin: {}", "toy.yaml:1:9: error: point needs the key \"x\"\n  hint: x: to the right\n");
    assert_report("origin: { x: ~ }", "toy.yaml:1:14: error: point needs the key \"x\"\n  hint: x: to the right\n");
}

/* ---- wrong types ------------------------------------------------------------------------------------------------------------------ */

static void a_wrong_type_says_what_was_expected(void **state) {
    (void)state;
    assert_error("wait: [ 15s ]", "1:7: error: wait: expected a duration such as 15s, got a list");
    assert_error("forever: {}", "1:10: error: forever: expected a duration such as 15s, or none, got a map");
    assert_error("workers: [ 1 ]", "1:10: error: workers: expected a whole number, or all, got a list");
    assert_error("on: []", "1:5: error: on: expected true or false, got a list");
    assert_error("room: {}", "1:7: error: room: expected a size such as 64KiB, got a map");
    assert_error("rate: []", "1:7: error: rate: expected a rate such as 100/s, got a list");
    assert_error("share: []", "1:8: error: share: expected a percentage such as 20%, got a list");
    assert_error("title: [ a ]", "1:8: error: title: expected a text, got a list");
    assert_error("friend: { a: b }", "1:9: error: friend: expected a name, got a map");
    assert_error("tags: { a: b }", "1:7: error: tags: expected a list of names, got a map");
    assert_error("tags: [ a, [ b ] ]", "1:12: error: tags: expected a name, got a list");
    assert_error("tags: [ a, ~ ]", "1:12: error: tags: expected a name, got nothing");
    assert_error("colour: [ red ]", "1:9: error: colour: expected one of red, green, blue, got a list");
    assert_error("limits: 5", "1:9: error: limits: expected a map, got 5");
    assert_error("origin: \"a b\"", "1:9: error: origin: expected a map, got the text \"a b\"");
    assert_error("points: many", "1:9: error: points: expected a list of maps, got many");
    assert_error("shops: [ a ]", "1:8: error: shops: expected a map of names, got a list");
    assert_error("shops: { a: 5 }", "1:13: error: a: expected a map, got 5");
    assert_error("- a", "1:1: error: toy: expected a map, got a list");
    assert_error("just a text", "1:1: error: toy: expected a map, got \"just a text\"");
}

static void a_map_for_a_list_is_told_about_dashes(void **state) {
    (void)state;
    assert_report("points: { x: 1 }", "toy.yaml:1:9: error: points: expected a list of maps, got a map\n  hint: start each map of the list with a dash\n");
}

/* What is reported as no map at all is not reported once more for what it lacks. */
static void one_fault_is_one_message(void **state) {
    (void)state;
    assert_error("origin: 5", "1:9: error: origin: expected a map, got 5");
    assert_error("points: [ ~, { x: 1 } ]", "1:11: error: points: expected a map, got nothing");
    assert_error("origin: { x: 1.5 }", "1:14: error: x: 1.5 is not a whole number");
    /* limits: the check would find bytes too small, had the zero of an unreadable value been left in place of its default */
    assert_error("limits: { time: 2h, bytes: 1x }", "1:28: error: bytes: 1x is not a size");
}

static void a_quoted_number_is_a_text(void **state) {
    (void)state;
    assert_report("workers: \"4\"", "toy.yaml:1:10: error: workers: expected a whole number, or all, got the text 4\n  hint: write it without quotes\n");
    assert_report("on: 'true'", "toy.yaml:1:5: error: on: expected true or false, got the text true\n  hint: write it without quotes\n");
    struct loaded *l = accept("wait: \"20s\"\nworkers: \"${COUNT}\"\non: \"${NOPE:-false}\"\n");
    assert_int_equal(l->toy.wait.ns, 20 * NS_PER_S);
    assert_int_equal(l->toy.workers, 12);
    assert_false(l->toy.on);
    unload(l);
}

/* ---- malformed values -------------------------------------------------------------------------------------------------------------- */

static void a_malformed_value_says_what_was_meant(void **state) {
    (void)state;
    assert_error("wait: 90", "1:7: error: wait: 90 is not a duration (try \"90s\")");
    assert_error("wait: 1.5s", "1:7: error: wait: 1.5s is not a duration (try \"1500ms\")");
    assert_error("wait: 10 sec", "1:7: error: wait: \"10 sec\" is not a duration (try \"10s\")");
    assert_error("wait: 5min", "1:7: error: wait: 5min is not a duration (try \"5m\")");
    assert_error("wait: 30S", "1:7: error: wait: 30S is not a duration (try \"30s\")");
    assert_error("wait: 2d", "1:7: error: wait: 2d is not a duration (try \"48h\")");
    assert_error("wait: 1h 30m", "1:7: error: wait: \"1h 30m\" is not a duration (try \"1h30m\")");
    assert_error("wait: soon", "1:7: error: wait: soon is not a duration");
    assert_error("wait: -5s", "1:7: error: wait: -5s is not a duration");
    assert_error("wait: ''", "1:7: error: wait: \"\" is not a duration");
    assert_error("forever: never", "1:10: error: forever: never is neither a duration nor none");
    assert_error("room: 64K", "1:7: error: room: 64K is not a size (try \"64KiB\")");
    assert_error("room: 2 MB", "1:7: error: room: \"2 MB\" is not a size (try \"2MiB\")");
    assert_error("room: 1.5MiB", "1:7: error: room: 1.5MiB is not a size");
    assert_error("rate: 100", "1:7: error: rate: 100 is not a rate (try \"100/s\")");
    assert_error("rate: 5/min", "1:7: error: rate: 5/min is not a rate (try \"5/m\")");
    assert_error("rate: 5/d", "1:7: error: rate: 5/d is not a rate");
    assert_error("share: 20", "1:8: error: share: 20 is not a percentage (try \"20%\")");
    assert_error("share: 0.123%", "1:8: error: share: 0.123% is not a percentage");
    assert_error("on: yes", "1:5: error: on: yes is not true or false (try true)");
    assert_error("on: False", "1:5: error: on: False is not true or false (try false)");
    assert_error("workers: four", "1:10: error: workers: four is neither a whole number nor all");
    assert_error("plain: 010", "1:8: error: plain: 010 is not a whole number");
    assert_error("plain: 99999999999999999999", "1:8: error: plain: 99999999999999999999 is not a whole number");
}

static void a_wrong_word_gets_the_list_and_the_nearest(void **state) {
    (void)state;
    assert_report("colour: grene", "toy.yaml:1:9: error: colour: grene is none of red, green, blue\n  hint: did you mean \"green\"?\n");
    assert_error("colour: purple", "1:9: error: colour: purple is none of red, green, blue");
}

static void a_value_out_of_range_gets_the_bounds_in_its_unit(void **state) {
    (void)state;
    assert_error("workers: 65", "1:10: error: workers: 65 is out of range: 1 to 64, or all");
    assert_error("workers: 0", "1:10: error: workers: 0 is out of range: 1 to 64, or all");
    assert_error("wait: 9ms", "1:7: error: wait: 9ms is out of range: 10ms to 1h");
    assert_error("wait: 61m", "1:7: error: wait: 61m is out of range: 10ms to 1h");
    assert_error("wait: 99999999999999999999h", "1:7: error: wait: 99999999999999999999h is out of range: 10ms to 1h");
    assert_error("forever: 0", "1:10: error: forever: 0 is out of range: at least 1s, or none");
    assert_error("room: 1023", "1:7: error: room: 1023 is out of range: 1KiB to 1MiB");
    assert_error("room: 2MiB", "1:7: error: room: 2MiB is out of range: 1KiB to 1MiB");
    assert_error("share: 100.01%", "1:8: error: share: 100.01% is out of range: at most 100%");
    assert_error("tags: [ a, b, c, d, e ]", "1:7: error: tags: 5 entries is out of range: at most 4");
    struct loaded *l = accept("workers: 1\nwait: 1h\nroom: 1MiB\nshare: 100%\ntags: [ a, b, c, d ]\n");
    unload(l);
}

static void a_long_value_is_cut_and_control_characters_are_not_repeated(void **state) {
    (void)state;
    assert_error("wait: 1234567890123456789012345678901234567890123456789012345678901234567890x",
                 "1:7: error: wait: 123456789012345678901234567890123456789012345678901234567890… is not a duration");
    assert_error("wait: \"a\\e[2J\\nb\\x9b\"", "1:7: error: wait: \"a?[2J?b??\" is not a duration");
}

/* ---- the whole ------------------------------------------------------------------------------------------------------------------- */

static void all_faults_come_in_one_run_and_in_the_order_of_the_file(void **state) {
    (void)state;
    assert_report("shops: { a: { time: 1 } }\nwait: 90\nroom: x\nnone: 1\nplain: 13\non: true\non: true\ntitle: ${NOPE}\n",
                  "toy.yaml:1:21: error: time: 1 is not a duration (try \"1s\")\n"
                  "toy.yaml:2:7: error: wait: 90 is not a duration (try \"90s\")\n"
                  "toy.yaml:3:7: error: room: x is not a size\n"
                  "toy.yaml:4:1: error: unknown key none in toy\n"
                  "toy.yaml:5:1: warning: thirteen\n  hint: take twelve\n"
                  "toy.yaml:7:1: error: repeated key \"on\"\n  hint: it stands first on line 6\n"
                  "toy.yaml:8:8: error: the environment variable NOPE is not set\n  hint: set it, or write ${NOPE:-default}\n");
}

static void a_warning_is_no_failure(void **state) {
    (void)state;
    assert_report("plain: 13", "toy.yaml:1:1: warning: thirteen\n  hint: take twelve\n");
}

static void a_check_points_at_the_key_it_speaks_of(void **state) {
    (void)state;
    assert_error("limits:\n  time: 2h\n  bytes: 1023\n", "3:3: error: long and narrow");
}

static void a_custom_value_speaks_for_itself(void **state) {
    (void)state;
    assert_error("even: [ 1, 2, 3 ]", "1:7: error: even: two numbers");
    assert_error("even: [ 1, x ]", "1:12: error: even: x is not a whole number");
    assert_error("odd: 1001", "1:6: error: odd: 1001 is out of range: 0 to 1000");
}

static void past_a_limit_faults_are_only_counted(void **state) {
    (void)state;
    char *text = NULL;
    size_t n = 0;
    FILE *to = open_memstream(&text, &n);
    for (int i = 0; i < 700; i++) fprintf(to, "key%d: 1\n", i);
    fclose(to);
    struct loaded *l = load(text);
    assert_int_equal(l->c.errors, 700);
    assert_int_equal(l->c.ndiags, 500);
    assert_non_null(strstr(l->report, "and 200 more errors\n"));
    unload(l);
    free(text);
}

static void a_load_of_nothing_is_all_defaults_and_reports_what_is_required(void **state) {
    (void)state;
    struct conf c;
    struct toy t;
    struct toy_point p;
    conf_init(&c);
    assert_true(conf_load(&c, NULL, &toy_table, &t));
    assert_int_equal(t.workers, 4);
    assert_false(conf_load(&c, NULL, &toy_point_table, &p));
    assert_int_equal(c.errors, 1);
    assert_null(c.diags[0].pos.file);
    conf_free(&c);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_empty_file_is_all_defaults),
        cmocka_unit_test(a_default_list_is_there_but_not_given),
        cmocka_unit_test(a_key_without_a_value_is_its_default),
        cmocka_unit_test(every_type_is_read),
        cmocka_unit_test(the_none_word_is_the_largest_value),
        cmocka_unit_test(one_name_is_a_list_of_one),
        cmocka_unit_test(a_text_may_look_like_anything),
        cmocka_unit_test(an_unknown_key_names_the_nearest),
        cmocka_unit_test(a_short_list_of_keys_is_shown_and_a_long_one_not),
        cmocka_unit_test(a_key_of_two_letters_is_near_to_nothing),
        cmocka_unit_test(a_repeated_key_names_the_first),
        cmocka_unit_test(a_missing_key_is_reported_where_the_map_starts),
        cmocka_unit_test(a_wrong_type_says_what_was_expected),
        cmocka_unit_test(a_map_for_a_list_is_told_about_dashes),
        cmocka_unit_test(one_fault_is_one_message),
        cmocka_unit_test(a_quoted_number_is_a_text),
        cmocka_unit_test(a_malformed_value_says_what_was_meant),
        cmocka_unit_test(a_wrong_word_gets_the_list_and_the_nearest),
        cmocka_unit_test(a_value_out_of_range_gets_the_bounds_in_its_unit),
        cmocka_unit_test(a_long_value_is_cut_and_control_characters_are_not_repeated),
        cmocka_unit_test(all_faults_come_in_one_run_and_in_the_order_of_the_file),
        cmocka_unit_test(a_warning_is_no_failure),
        cmocka_unit_test(a_check_points_at_the_key_it_speaks_of),
        cmocka_unit_test(a_custom_value_speaks_for_itself),
        cmocka_unit_test(past_a_limit_faults_are_only_counted),
        cmocka_unit_test(a_load_of_nothing_is_all_defaults_and_reports_what_is_required),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
