// SPDX-License-Identifier: Apache-2.0
// Policies by name: what extends what, and what a mistake is told.
#include "policies/policy.h"
#include "tests/unit/policies/given.h"

static struct dialect_set dialects;
static struct policies all;
static struct conf_ref listener_names[] = { { .name = STR_INIT("edge") }, { .name = STR_INIT("mesh") } };
static const struct conf_map listeners = { .n = 2, .names = listener_names };

static bool try(const char *yaml) {
    dialect_set_builtin(&dialects);
    bool ok = policies_load(&load, given_yaml(yaml), &dialects, &listeners, &all);
    take_report();
    return ok;
}
static void given(const char *yaml) {
    if (!try(yaml)) fail_msg("%s", report);
    assert_string_equal(report, "");
}
static const struct policy *policy(const char *name) {
    const struct policy *p = policies_find(&all, str_of(name));
    assert_non_null(p);
    return p;
}
/* The whole report. */
static void refused(const char *yaml, const char *expected) {
    assert_false(try(yaml));
    assert_string_equal(report, expected);
    done();
}

static void without_policies_there_is_the_built_in_one(void **state) {
    (void)state;
    conf_init(&load);
    dialect_set_builtin(&dialects);
    assert_true(policies_load(&load, NULL, &dialects, &listeners, &all));
    assert_int_equal(all.n, 1);
    assert_ptr_equal(policy("default"), &all.v[0]);
    assert_int_equal(all.v[0].deadline.deflt.ns, 15 * NS_PER_S);
    assert_int_equal(all.v[0].retry.retries, 1);
    assert_null(policies_find(&all, STR("batch")));
    done();
}

static void the_default_comes_first_wherever_it_stands(void **state) {
    (void)state;
    given("a: { retry: { retries: 3 } }\ndefault: { retry: { retries: 2 } }\n");
    assert_ptr_equal(policy("default"), &all.v[0]);
    assert_int_equal(all.v[0].retry.retries, 2);
    assert_int_equal(policy("a")->retry.retries, 3);
    done();
    given("a: { retry: { retries: 3 } }\n");
    assert_str(all.names[0], "default");
    assert_int_equal(all.v[0].retry.retries, 1);
    done();
}

static void a_policy_takes_from_its_base_what_it_does_not_say(void **state) {
    (void)state;
    given("batch:\n  extends: default\n  deadline: { default: 10m, max: 1h }\n  retry: { when: [ connect_failure ] }\n"
          "default:\n  deadline: { default: 5s, idle: 7s }\n  retry: { retries: 4, when: [ refused_stream, connect_timeout ] }\n");
    const struct policy *batch = policy("batch");
    assert_int_equal(batch->deadline.deflt.ns, 600 * NS_PER_S);
    assert_int_equal(batch->deadline.idle.ns, 7 * NS_PER_S);
    assert_int_equal(batch->retry.retries, 4);
    assert_true(batch->retry.when.endings == UINT64_C(1) << ENDING_CONNECT_FAILURE);
    assert_int_equal(policy("default")->deadline.deflt.ns, 5 * NS_PER_S);
    done();
}

static void null_gives_the_built_in_value_back(void **state) {
    (void)state;
    given("default: { retry: { retries: 4, budget: 50% } }\na: { extends: default, retry: { retries: null } }\n");
    assert_int_equal(policy("a")->retry.retries, 1);
    assert_int_equal(policy("a")->retry.budget.ratio, 5000);
    done();
}

static void what_extends_nothing_starts_from_the_built_in_values(void **state) {
    (void)state;
    given("default: { retry: { retries: 4 } }\na: { forward: { via: false } }\nb:\n");
    assert_int_equal(policy("a")->retry.retries, 1);
    assert_int_equal(policy("b")->retry.retries, 1);
    done();
}

static void chains_are_followed_to_their_end(void **state) {
    (void)state;
    given("c: { extends: b, retry: { budget: 30% } }\nb: { extends: a, retry: { buffer: 1KiB } }\na: { retry: { retries: 7 } }\n");
    assert_int_equal(policy("c")->retry.retries, 7);
    assert_int_equal(policy("c")->retry.buffer, 1024);
    assert_int_equal(policy("c")->retry.budget.ratio, 3000);
    assert_int_equal(policy("b")->retry.budget.ratio, 2000);
    done();
}

static void the_built_in_default_can_be_extended_by_name(void **state) {
    (void)state;
    given("a: { extends: default, retry: { retries: 0 } }\n");
    assert_int_equal(policy("a")->retry.retries, 0);
    done();
}

static void circles_and_strangers_are_named(void **state) {
    (void)state;
    refused("a: { extends: b }\nb: { extends: a }\n", "y:2:15: error: b extends a, which extends it in turn\n");
    refused("a: { extends: a }\n", "y:1:15: error: a policy cannot extend itself\n  hint: leave extends out for the built-in values\n");
    refused("batch: {}\na: { extends: bach }\n", "y:2:15: error: there is no policy bach\n  hint: did you mean \"batch\"?\n");
    refused("a: { extends: [ b ] }\n", "y:1:15: error: extends: expected a name, got a list\n");
}

static void a_fault_in_a_base_is_one_fault(void **state) {
    (void)state;
    assert_false(try("default: { retry: { retries: 99 } }\na: { extends: default }\nb: { extends: a, retry: { budget: 500% } }\n"));
    assert_int_equal(load.errors, 2);
    assert_int_equal(load.ndiags, 2);
    done();
}

static void fields_and_dialects_are_looked_up(void **state) {
    (void)state;
    refused("a: { context: { fields: { x-a: { from: [ mash ] } } } }\n",
            "y:1:42: error: there is no listener mash\n  hint: did you mean \"mesh\"?\n");
    assert_false(try("a: { deadline: { read: [ grpc-timeut ] } }\n"));
    assert_non_null(strstr(report, "grpc-timeout"));
    done();
    refused("[ a ]\n", "y:1:1: error: a map is expected here: policies by name\n");
}

/* A field with nothing behind it is one with all its defaults, in whatever policy it stands. */
static void an_empty_field_is_a_field_in_a_policy_that_extends_too(void **state) {
    (void)state;
    given("default: { context: { fields: { x-a: { max: 7 }, x-b: } } }\n"
          "more: { extends: default, context: { fields: { x-new: } } }\n"
          "less: { extends: more, context: { fields: { x-a: ~, x-b: ~ } } }\n");
    const struct fields_policy *more = &policy("more")->context, *less = &policy("less")->context;
    assert_int_equal(more->fields.n, 3);
    assert_str(more->fields.names[2].name, "x-new");
    assert_int_equal(CONF_AT(more->fields, struct context_field, 2)->max, 256);
    assert_int_equal(CONF_AT(more->fields, struct context_field, 0)->max, 7);
    assert_int_equal(less->fields.n, 1);
    assert_str(less->fields.names[0].name, "x-new");
    done();
}

static void a_wrong_value_hides_no_wrong_name(void **state) {
    (void)state;
    refused("a:\n  deadline: { max: 90, read: [ grpc-timeut ] }\n  context: { fields: { x-a: { from: [ mash ] }, host: } }\n",
            "y:2:20: error: max: 90 is not a duration (try \"90s\")\n"
            "y:2:32: error: there is no dialect grpc-timeut\n  hint: did you mean \"grpc-timeout\"?\n"
            "y:3:39: error: there is no listener mash\n  hint: did you mean \"mesh\"?\n"
            "y:3:49: error: the field host is not the configuration's to touch\n"
            "  hint: a route's `host:` says what the upstream gets, `match: { host: }` what is looked for\n");
    /* in a base, in what extends it and in a third: each once */
    refused("a: { deadline: { pass: [ nonsense ] }, retry: { retries: 99 } }\nb: { extends: a }\nc: { extends: b, deadline: { read: [ rubbish ] } }\n",
            "y:1:26: error: there is no dialect nonsense\n"
            "y:1:58: error: retries: 99 is out of range: 0 to 10\n"
            "y:3:38: error: there is no dialect rubbish\n");
}

static void what_has_the_wrong_kind_is_one_fault(void **state) {
    (void)state;
    refused("a: { deadline: [ 5s ], context: { fields: [ x-a ], prefixes: { x-: } } }\n",
            "y:1:16: error: deadline: expected a map, got a list\n"
            "y:1:43: error: fields: expected a map of names, got a list\n"
            "y:1:62: error: prefixes: expected a list of names, got a map\n");
}

/* The policies of the documentation's example, as they stand there. */
static void the_example_is_accepted(void **state) {
    (void)state;
    given("default:\n"
          "  deadline:\n"
          "    mode: enforce\n"
          "    read: [ grpc-timeout, connect-timeout-ms, x-request-timeout, x-context-deadline ]\n"
          "    default: 15s\n    max: 60s\n    min: 10ms\n    reserve: 5ms\n    idle: 30s\n"
          "    streaming: { detect: auto, idle: 5m }\n"
          "    pass: [ ]\n"
          "  cancel:\n"
          "    client_gone: cancel\n    half_close: auto\n    http2: [ reset ]\n    http1: [ close ]\n"
          "    drain_limit: { time: 2s, bytes: 1MiB }\n"
          "  answer:\n"
          "    deadline:  { http: 504, grpc: DEADLINE_EXCEEDED }\n"
          "    shed_load: { http: 503, grpc: UNAVAILABLE, retry_after: 1s }\n"
          "  context:\n"
          "    prefixes: [ x-context- ]\n"
          "    fields:\n"
          "      x-context-trace-id: { max: 64 }\n"
          "      x-context-user-id:  { max: 64, from: [ mesh ] }\n"
          "      x-context-region:   { max: 16, optional: true }\n"
          "    max_fields: 16\n    max_bytes: 512\n"
          "  retry: { retries: 1, when: [ refused_stream, connect_failure, connect_timeout ], budget: 20% }\n"
          "batch:\n"
          "  extends: default\n"
          "  deadline: { default: 10m, max: 1h }\n"
          "  cancel:\n"
          "    http1: [ call, close ]\n"
          "    call:\n"
          "      method: DELETE\n      path: /tasks/{request.path.id}\n"
          "      headers: { authorization: \"Bearer ${CURFEW_TEST_NO_SUCH_TOKEN:-none}\" }\n"
          "      timeout: 1s\n      rate: 50/s\n");
    assert_int_equal(policy("batch")->context.max_bytes, 512);
    assert_int_equal(policy("batch")->context.fields.n, 3);
    assert_str(policy("batch")->cancel.call->method, "DELETE");
    assert_null(policy("default")->cancel.call);
    done();
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_policies_there_is_the_built_in_one),
        cmocka_unit_test(the_default_comes_first_wherever_it_stands),
        cmocka_unit_test(a_policy_takes_from_its_base_what_it_does_not_say),
        cmocka_unit_test(null_gives_the_built_in_value_back),
        cmocka_unit_test(what_extends_nothing_starts_from_the_built_in_values),
        cmocka_unit_test(chains_are_followed_to_their_end),
        cmocka_unit_test(the_built_in_default_can_be_extended_by_name),
        cmocka_unit_test(circles_and_strangers_are_named),
        cmocka_unit_test(a_fault_in_a_base_is_one_fault),
        cmocka_unit_test(fields_and_dialects_are_looked_up),
        cmocka_unit_test(an_empty_field_is_a_field_in_a_policy_that_extends_too),
        cmocka_unit_test(a_wrong_value_hides_no_wrong_name),
        cmocka_unit_test(what_has_the_wrong_kind_is_one_fault),
        cmocka_unit_test(the_example_is_accepted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
