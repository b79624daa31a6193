// SPDX-License-Identifier: Apache-2.0
// Names with _ that look like names which are decided about: each meets the fate of the real one, and no other name does.
#include "policies/lookalike.h"
#include "tests/unit/policies/given.h"

static struct dialect_set dialects;
static struct policies all;
static struct given_head up;
static struct lookalike_facts facts;
static char told[256];

static void note(void *arg, const struct field *f, enum field_fate fate) {
    (void)arg;
    assert_int_equal(fate, FIELD_LOOKALIKE);
    size_t n = strlen(told);
    snprintf(told + n, sizeof told - n, "%.*s ", STR_ARG(f->name));
}
static void given(const char *yaml, bool trusted) {
    char text[512];
    snprintf(text, sizeof text, "default: { %s }\n", yaml);
    dialect_set_builtin(&dialects);
    bool ok = policies_load(&load, given_yaml(text), &dialects, NULL, &all);
    take_report();
    if (!ok) fail_msg("%s", report);
    facts = (struct lookalike_facts){ .policy = &all.v[0], .dialects = &dialects, .trusted = trusted, .on_field = note };
    told[0] = 0;
}
/* Those that are left, as assert_fields has them. */
static void left(const char *const *fields, const char *expected) {
    given_head(&up, "GET", "h", "/", fields);
    size_t before = up.head.nfields, after = 0;
    unsigned removed = lookalikes_remove(&facts, &up.head);
    for (size_t i = 0; i < before; i++) after += !field_is_removed(&up.head.fields[i]);
    assert_int_equal(removed, before - after);
    assert_fields(&up.head, expected);
    drop_head(&up);
}

static void framing_deadlines_and_claims_have_no_lookalikes(void **state) {
    (void)state;
    given("", false);
    left(FIELDS("transfer_encoding", "chunked", "content_length", "7", "keep_alive", "timeout=9", "proxy_connection", "close", "x_request_timeout", "99h",
                "x-request_timeout", "98h", "grpc_timeout", "1S", "x_envoy_upstream_rq_timeout_ms", "9", "x_context_sent", "1", "x_forwarded_for", "10.0.0.1",
                "x-forwarded_port", "1", "x-real_ip", "10.0.0.1", "accept", "*/*"),
         "accept: */*\n");
    assert_non_null(strstr(told, "x-request_timeout "));
    done();
}

static void all_other_names_pass(void **state) {
    (void)state;
    given("", false);
    left(FIELDS("user_id", "7", "x_tenant", "a", "x_request_timeouts", "1", "x_forwarded_", "", "x_forwardedfor", "2", "transfer_encoding_", "3", "_", "4",
                "x_requesttimeout", "5", "x-request-timeout", "1s", "x-forwarded-for", "10.0.0.1"),
         "user_id: 7\nx_tenant: a\nx_request_timeouts: 1\nx_forwarded_: \nx_forwardedfor: 2\ntransfer_encoding_: 3\n_: 4\nx_requesttimeout: 5\n"
         "x-request-timeout: 1s\nx-forwarded-for: 10.0.0.1\n"); /* the real ones are their owners' */
    done();
}

static void where_the_real_one_passes_its_lookalike_does(void **state) {
    (void)state;
    given("", true);
    left(FIELDS("x_forwarded_for", "10.0.0.1", "x_request_timeout", "9"), "x_forwarded_for: 10.0.0.1\n"); /* a trusted peer's deadline is rewritten, too */
    done();
    given("forward: { headers: none }, deadline: { pass: [ x-timeout-ms ] }", false);
    left(FIELDS("x_forwarded_for", "10.0.0.1", "x_timeout_ms", "5", "x_timeout_s", "5"), "x_forwarded_for: 10.0.0.1\nx_timeout_ms: 5\n");
    done();
    static const char *const unchanged[] = { "deadline: { mode: disabled }", "deadline: { mode: observe }" };
    for (size_t i = 0; i < 2; i++) {
        given(unchanged[i], false);
        left(FIELDS("x_request_timeout", "9", "transfer_encoding", "chunked"), "x_request_timeout: 9\n");
        done();
    }
    given("forward: { headers: none }", false);
    left(FIELDS("x_real_ip", "10.0.0.1"), "x_real_ip: 10.0.0.1\n");
    done();
    given("forward: { headers: none, real_ip: true }", false);
    left(FIELDS("x_real_ip", "10.0.0.1", "x_forwarded_for", "10.0.0.1"), "x_forwarded_for: 10.0.0.1\n");
    done();
    given("deadline: { mode: forward }", false);
    left(FIELDS("x_request_timeout", "9"), "");
    done();
}

static void context_fields_have_none(void **state) {
    (void)state;
    given("context: { prefixes: [ x-ctx- ], fields: { x-user-id: {}, y_z: {} } }", true);
    left(FIELDS("x_user_id", "forged", "x-user_id", "forged", "x_ctx_other", "1", "y-z_", "o", "y_z", "1", "x_user", "1", "x-user-id", "u"),
         "y-z_: o\ny_z: 1\nx_user: 1\nx-user-id: u\n");
    assert_string_equal(told, "x_user_id x-user_id x_ctx_other ");
    done();
    given("", true);
    left(FIELDS("x_context_schema", "9"), "x_context_schema: 9\n");
    all.v[0].context.schema_version = 3; /* of its file */
    left(FIELDS("x_context_schema", "9", "x_context-schema", "9"), "");
    done();
}

static void a_listed_name_with_underscores_has_lookalikes_with_dashes(void **state) {
    (void)state;
    given("context: { prefixes: [ x-context- ], fields: { user_id: {} } }", false);
    left(FIELDS("user-id", "root", "user_id", "root", "user-ip", "1", "x-context-deadline", "2 1"), "user_id: root\nuser-ip: 1\nx-context-deadline: 2 1\n");
    done();
}

/* The configuration's own word for a name. */
static void a_listed_name_is_no_lookalike(void **state) {
    (void)state;
    given("context: { fields: { x_request_timeout: {} } }", false);
    left(FIELDS("x_request_timeout", "9", "x_timeout_ms", "5"), "x_request_timeout: 9\n");
    done();
}

static void what_a_route_sets_or_removes_has_none(void **state) {
    (void)state;
    struct header_edit set[] = { { STR_INIT("x-user"), STR_INIT("nobody") }, { STR_INIT("x_a"), STR_INIT("1") } },
                       add[] = { { STR_INIT("x-added"), STR_INIT("2") } };
    struct str remove[] = { STR_INIT("x-internal-role"), STR_INIT("x_forwarded_user") };
    struct header_edits edits = { .set = set, .nset = 2, .add = add, .nadd = 1, .remove = remove, .nremove = 2 };
    given("", true);
    facts.edits = &edits;
    left(FIELDS("x_user", "root", "x_internal-role", "root", "x-a", "3", "x_a", "4", "x_added", "5", "x-forwarded-user", "6", "x_forwarded_user", "7"),
         "x-a: 3\nx_a: 4\nx_added: 5\nx-forwarded-user: 6\nx_forwarded_user: 7\n"); /* the same names are left to the edits, and names without _ to all */
    done();
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(framing_deadlines_and_claims_have_no_lookalikes),
        cmocka_unit_test(all_other_names_pass),
        cmocka_unit_test(where_the_real_one_passes_its_lookalike_does),
        cmocka_unit_test(context_fields_have_none),
        cmocka_unit_test(a_listed_name_with_underscores_has_lookalikes_with_dashes),
        cmocka_unit_test(a_listed_name_is_no_lookalike),
        cmocka_unit_test(what_a_route_sets_or_removes_has_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
