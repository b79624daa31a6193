// SPDX-License-Identifier: Apache-2.0
// Which context fields travel.
#include "policies/fields.h"
#include "tests/unit/policies/given.h"

static struct fields_policy policy;
static struct given_head up;
static struct conf_ref listener_names[] = { { .name = STR_INIT("edge") }, { .name = STR_INIT("mesh") } };
static const struct conf_map listeners = { .n = 2, .names = listener_names };

static bool resolve(const char *yaml) {
    bool ok = conf_load(&load, given_yaml(yaml), &fields_table, &policy) && fields_resolve(&load, &policy, &listeners);
    take_report();
    return ok;
}
static void given(const char *yaml) {
    if (!resolve(yaml)) fail_msg("%s", report);
}
static void unresolved(const char *yaml, const char *sentence) {
    assert_false(resolve(yaml));
    if (!strstr(report, sentence)) fail_msg("%s", report);
    done();
}
static struct fields_tally tally;
static struct fields_verdict verdict; /* of the request, where a test has one */
static unsigned pass(const char *listener, bool under_load, const char *from, const char *to, const char *const *fields) {
    uint64_t random = 1;
    struct fields_hop hop = { .listener = str_of(listener), .load = under_load, .down = rpc_by_name(from), .up = rpc_by_name(to), .verdict = &verdict,
                              .random = &random };
    given_head(&up, "GET", "h", "/", fields);
    fields_apply(&policy, &hop, &up.head, &tally);
    return tally.removed;
}
static unsigned apply(const char *listener, bool under_load, const char *const *fields) { return pass(listener, under_load, "http", "http", fields); }

#define EXAMPLE                                                                                                                       \
    "prefixes: [ X-Context- ]\nfields:\n  x-context-trace-id: { max: 8 }\n  X-Context-User-Id: { max: 64, from: [ mesh ] }\n"       \
    "  x-context-region: { max: 16, optional: true }\n"

/* T46: what is not listed does not leak. */
static void of_a_prefix_only_listed_names_pass(void **state) {
    (void)state;
    given(EXAMPLE);
    assert_int_equal(apply("mesh", false, FIELDS("x-context-secret", "s", "x-context-trace-id", "t", "accept", "*/*", "x-other", "o")), 1);
    assert_fields(&up.head, "x-context-trace-id: t\naccept: */*\nx-other: o\n");
    drop_head(&up);
    done();
}

static void a_field_is_believed_on_its_listeners_only(void **state) {
    (void)state;
    given(EXAMPLE);
    assert_int_equal(apply("edge", false, FIELDS("x-context-user-id", "root", "x-context-trace-id", "t")), 1);
    assert_fields(&up.head, "x-context-trace-id: t\n");
    drop_head(&up);
    assert_int_equal(apply("mesh", false, FIELDS("x-context-user-id", "root")), 0);
    drop_head(&up);
    done();
}

static void from_nobody_is_believed_nowhere(void **state) {
    (void)state;
    given("fields: { x-a: { from: [ ] } }\n");
    assert_int_equal(apply("mesh", false, FIELDS("x-a", "1")), 1);
    drop_head(&up);
    done();
}

/* T47: dropped whole, never cut. */
static void a_value_over_its_cap_is_dropped_whole(void **state) {
    (void)state;
    given(EXAMPLE);
    assert_int_equal(apply("mesh", false, FIELDS("x-context-trace-id", "12345678")), 0);
    drop_head(&up);
    assert_int_equal(apply("mesh", false, FIELDS("x-context-trace-id", "123456789")), 1);
    assert_fields(&up.head, "");
    drop_head(&up);
    done();
}

static void optional_fields_are_dropped_under_load(void **state) {
    (void)state;
    given(EXAMPLE);
    assert_int_equal(apply("mesh", true, FIELDS("x-context-region", "eu", "x-context-trace-id", "t")), 1);
    assert_fields(&up.head, "x-context-trace-id: t\n");
    drop_head(&up);
    done();
}

static void past_the_count_optional_fields_go_first_and_the_last_ones_first(void **state) {
    (void)state;
    given("fields: { x-a: {}, x-b: { optional: true }, x-c: {}, x-d: { optional: true } }\nmax_fields: 2\n");
    assert_int_equal(apply("mesh", false, FIELDS("x-b", "1", "x-a", "1", "x-d", "1", "x-c", "1")), 2);
    assert_fields(&up.head, "x-a: 1\nx-c: 1\n");
    drop_head(&up);
    assert_int_equal(apply("mesh", false, FIELDS("x-b", "1", "x-a", "1", "x-d", "1")), 1);
    assert_fields(&up.head, "x-b: 1\nx-a: 1\n");
    drop_head(&up);
    assert_int_equal(apply("mesh", false, FIELDS("x-c", "1", "x-a", "1", "x-a", "2")), 1);
    assert_fields(&up.head, "x-c: 1\nx-a: 1\n");
    drop_head(&up);
    done();
}

/* T47: the limit is over all fields, not each. */
static void past_the_bytes_in_total_whole_fields_are_dropped(void **state) {
    (void)state;
    given("fields: { x-a: {}, x-b: { optional: true }, x-c: {} }\nmax_bytes: 14\n");
    assert_int_equal(apply("mesh", false, FIELDS("x-b", "12", "x-a", "1234", "x-c", "1234")), 1); /* 5, 7 and 7 bytes */
    assert_fields(&up.head, "x-a: 1234\nx-c: 1234\n");
    drop_head(&up);
    assert_int_equal(apply("mesh", false, FIELDS("x-a", "12345", "x-c", "1234")), 1);
    assert_fields(&up.head, "x-a: 12345\n");
    drop_head(&up);
    done();
}

static void fields_that_are_not_believed_count_against_no_cap(void **state) {
    (void)state;
    given("prefixes: [ x- ]\nfields: { x-a: {}, x-b: { from: [ mesh ] } }\nmax_fields: 1\n");
    assert_int_equal(apply("edge", false, FIELDS("x-b", "forged", "x-z", "z", "x-a", "1")), 2);
    assert_fields(&up.head, "x-a: 1\n");
    drop_head(&up);
    done();
}

static void trace_headers_pass_under_their_own_limits(void **state) {
    (void)state;
    given("prefixes: [ trace, bag ]\nmax_fields: 0\n");
    assert_int_equal(apply("edge", true, FIELDS("traceparent", "00-1-2-01", "tracestate", "a=b", "baggage", "k=v", "tracer", "x")), 1);
    assert_fields(&up.head, "traceparent: 00-1-2-01\ntracestate: a=b\nbaggage: k=v\n");
    drop_head(&up);
    done();
}

static void a_policy_without_fields_touches_nothing(void **state) {
    (void)state;
    given("{}");
    assert_int_equal(apply("edge", true, FIELDS("x-context-a", "1")), 0);
    drop_head(&up);
    done();
}

/* ---- what a value may be --------------------------------------------------------------------------------------------------------------- */
static void take(const char *row, const char *value, bool good) {
    char yaml[512];
    snprintf(yaml, sizeof yaml, "fields: { x-a: { %s } }\n", row);
    given(yaml);
    if (apply("mesh", false, FIELDS("x-a", value)) != !good) fail_msg("%s: \"%s\" is %s", row, value, good ? "dropped" : "taken");
    if (!good) assert_int_equal(tally.fates[FIELD_MALFORMED], 1);
    drop_head(&up);
    done();
}
static void a_value_is_of_its_type(void **state) {
    (void)state;
    static const struct { const char *type, *good[4], *bad[12]; } rows[] = {
        { "integer", { "0", "-12", "999999999999999999" }, { "", "-", "01", "+1", "1.0", "1e3", "1234567890123456789", "0x1", " 1", "-01" } },
        { "boolean", { "true", "false" }, { "", "True", "1", "yes" } },
        { "uuid", { "f81d4fae-7dec-11d0-a765-00a0c91e6bf6", "F81D4FAE-7DEC-11D0-A765-00A0C91E6BF6" },
          { "", "f81d4fae7dec11d0a76500a0c91e6bf6", "f81d4fae-7dec-11d0-a765-00a0c91e6bfg", "{f81d4fae-7dec-11d0-a765-00a0c91e6bf6}",
            "f81d4fae-7dec-11d0-a765-00a0c91e6bf6a", "f81d4fae-7dec-11d0-a76500a0c91e6bf6--", "f81d4fae-7dec-11d0-a765-00a0c91e6bf" } },
        { "token", { "a", "GET", "a.b_c~" }, { "", "a b", "a,b", "\"a\"", "\xc3\xa9" } },
        { "string", { "", "a b, c", "\xc3\xa9" }, { NULL } },
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char row[64];
        snprintf(row, sizeof row, "type: %s", rows[i].type);
        for (size_t k = 0; rows[i].good[k]; k++) take(row, rows[i].good[k], true);
        for (size_t k = 0; rows[i].bad[k]; k++) take(row, rows[i].bad[k], false);
    }
}
static void a_value_matches_its_pattern_as_a_whole(void **state) {
    (void)state;
    take("pattern: \"[a-z]{2}(-[A-Z]{2})?\"", "en-GB", true);
    take("pattern: \"[a-z]{2}(-[A-Z]{2})?\"", "en-GB;q=1", false);
    take("pattern: \"eu|us\"", "eux", false);
    take("type: integer, pattern: \"[0-9]{2}\"", "-1", false);
}

/* ---- names by protocol -------------------------------------------------------------------------------------------------------------------- */
#define NAMED "prefixes: [ x- ]\nfields: { x-user-id: { names: { grpc: User-Id } }, x-tenant: {} }\n"
static void a_field_is_read_by_the_client_s_name_and_written_by_the_upstream_s(void **state) {
    (void)state;
    given(NAMED);
    assert_int_equal(pass("mesh", false, "http", "http", FIELDS("x-user-id", "u", "x-tenant", "t")), 0);
    assert_fields(&up.head, "x-user-id: u\nx-tenant: t\n");
    drop_head(&up);
    assert_int_equal(pass("mesh", false, "grpc", "grpc", FIELDS("user-id", "u", "x-tenant", "t")), 0);
    assert_fields(&up.head, "user-id: u\nx-tenant: t\n");
    drop_head(&up);
    assert_int_equal(pass("mesh", false, "connect", "grpc", FIELDS("x-user-id", "u", "x-tenant", "t")), 0); /* a route that translates */
    assert_fields(&up.head, "user-id: u\nx-tenant: t\n");
    const struct field *f = head_find_name(&up.head, STR("user-id"), NULL);
    assert_non_null(f); /* by its new hash, too */
    drop_head(&up);
    done();
}
/* A client of HTTP could else say what only the name of gRPC would carry past the rules. */
static void under_another_protocol_s_name_a_field_is_removed(void **state) {
    (void)state;
    given(NAMED);
    assert_int_equal(pass("mesh", false, "http", "http", FIELDS("user-id", "forged")), 1);
    assert_int_equal(tally.fates[FIELD_PROTOCOL], 1);
    drop_head(&up);
    assert_int_equal(pass("mesh", false, "connect", "grpc", FIELDS("user-id", "forged", "x-user-id", "u")), 1);
    assert_fields(&up.head, "user-id: u\n");
    drop_head(&up);
    assert_int_equal(pass("mesh", false, "grpc-web", "grpc", FIELDS("x-user-id", "forged", "user-id", "u")), 1);
    assert_fields(&up.head, "user-id: u\n");
    drop_head(&up);
    done();
}
/* Or `required` would be a word without a meaning: a peer that repeats another field would push it out. */
static void of_what_is_past_the_caps_the_required_goes_last(void **state) {
    (void)state;
    given("max_fields: 3\nfields: { x-a: {}, x-o: { optional: true }, x-must: { required: reject } }\n");
    assert_int_equal(apply("edge", false, FIELDS("x-a", "1", "x-a", "2", "x-o", "3", "x-a", "4", "x-must", "5", "x-must", "6")), 3);
    assert_fields(&up.head, "x-a: 1\nx-a: 2\nx-must: 5\n");
    drop_head(&up);
    assert_int_equal(apply("edge", false, FIELDS("x-must", "1", "x-must", "2", "x-must", "3", "x-must", "4", "x-a", "5")), 2);
    assert_fields(&up.head, "x-must: 1\nx-must: 2\nx-must: 3\n");
    drop_head(&up);
    done();
}
/* RFC 9110 6.5.1: who adds trailers to the headers must find nothing there that nobody looked at. */
static void what_is_governed_does_not_pass_in_trailers(void **state) {
    (void)state;
    given("prefixes: [ x-ctx- ]\nfields: { x-ctx-user: { names: { grpc: user-id } } }\n");
    given_head(&up, "POST", "h", "/", FIELDS("x-ctx-user", "1", "x-ctx-other", "2", "user-id", "3", "traceparent", "5", "x-checksum", "6"));
    assert_true(fields_in_trailers(&policy, NULL, &up.head, &tally));
    assert_int_equal(tally.fates[FIELD_TRAILER], 3);
    assert_fields(&up.head, "traceparent: 5\nx-checksum: 6\n");
    assert_false(fields_in_trailers(&policy, NULL, &up.head, &tally));
    drop_head(&up);
    done();
}
static void renamed_fields_count_against_the_caps(void **state) {
    (void)state;
    given(NAMED "max_fields: 1\n");
    assert_int_equal(pass("mesh", false, "connect", "grpc", FIELDS("x-user-id", "u", "x-tenant", "t")), 1);
    assert_fields(&up.head, "user-id: u\n");
    drop_head(&up);
    done();
}

/* ---- what a request must bring -------------------------------------------------------------------------------------------------------------- */
static struct deadline_policy deadline_policy;
static struct deadline_verdict deadline;
static void decide(const char *listener, bool trusted, const char *const *fields) {
    static uint64_t random = 1;
    given_head(&up, "GET", "h", "/", fields);
    struct fields_facts f = { .head = &up.head, .listener = str_of(listener), .trusted = trusted, .rpc = rpc_by_name("http"), .deadline = &deadline,
                              .deadline_policy = &deadline_policy, .now = { NS_PER_S }, .random = &random, .arena = &up.arena };
    fields_decide(&policy, &f, &verdict);
}
static void goes_on(const char *missing) {
    if (verdict.say) fail_msg("%s", verdict.say);
    assert_str(verdict.missing, missing);
    drop_head(&up);
}
static void is_refused(const char *say) {
    assert_non_null(verdict.say);
    assert_string_equal(verdict.say, say);
    drop_head(&up);
}
static void what_is_required_must_fit_the_caps_together(void **state) {
    (void)state;
    given("max_bytes: 16\nfields: { x-a: { required: reject }, x-b: { required: reject } }\n");
    decide("edge", false, FIELDS("x-a", "12345", "x-b", "12345", "x-a", "another"));
    goes_on("");
    decide("edge", false, FIELDS("x-a", "12345", "x-b", "123456"));
    is_refused("the fields that are required are more than may pass");
    done();
}
static int forget(void **state) {
    (void)state;
    verdict = (struct fields_verdict){ 0 };
    deadline = (struct deadline_verdict){ .total = INSTANT_NEVER, .fire = INSTANT_NEVER, .advice = INSTANT_NEVER, .to_head = SPAN_FOREVER, .enforce = true };
    deadline_policy = (struct deadline_policy){ .mode = MODE_ENFORCE, .deflt = span_s(15), .max = span_s(60) };
    return 0;
}
static void a_required_field_must_be_there_and_well_and_believed(void **state) {
    (void)state;
    given("fields: { x-a: { required: reject, type: integer, from: [ mesh ] } }\n");
    decide("mesh", true, FIELDS("x-a", "1"));
    goes_on("");
    decide("mesh", true, FIELDS("x-a", "one", "x-a", "1")); /* one of them is */
    goes_on("");
    decide("mesh", true, FIELDS("accept", "x"));
    is_refused("the request has no field x-a, which is required");
    decide("mesh", true, FIELDS("x-a", "one"));
    is_refused("the request has no field x-a, which is required");
    decide("edge", true, FIELDS("x-a", "1"));
    is_refused("the request has no field x-a, which is required");
    done();
}
static void what_is_only_warned_of_is_named(void **state) {
    (void)state;
    given("fields: { x-a: { required: warn }, x-b: { required: warn }, x-c: {} }\nrequire: { deadline: warn, trace: warn }\n");
    decide("mesh", true, FIELDS("x-b", "1"));
    assert_int_equal(verdict.nmissing, 3);
    goes_on("deadline trace x-a");
    done();
}
static void a_malformed_value_is_refused_where_the_row_says_so(void **state) {
    (void)state;
    given("fields: { x-a: { malformed: reject, type: uuid }, x-b: { malformed: reject, max: 2 }, x-c: { malformed: reject, pattern: a+ } }\n");
    decide("mesh", true, FIELDS("x-c", "aa"));
    goes_on("");
    decide("mesh", true, FIELDS("x-a", "secret"));
    is_refused("the field x-a is malformed: it is no UUID");
    decide("mesh", true, FIELDS("x-b", "abc"));
    is_refused("the field x-b is malformed: it is longer than its max");
    decide("mesh", true, FIELDS("x-c", "aa", "x-c", "b"));
    is_refused("the field x-c is malformed: it does not match its pattern");
    done();
}
static void a_deadline_may_be_required(void **state) {
    (void)state;
    given("require: { deadline: reject }\n");
    deadline.asked = true;
    decide("mesh", true, FIELDS("a", "b"));
    goes_on("");
    deadline.asked = false;
    decide("mesh", true, FIELDS("a", "b"));
    is_refused("the request has no deadline, and one is required");
    assert_int_equal(deadline.would_refuse, ENDING_CLIENT_CONTEXT);
    deadline.enforce = false; /* mode observe: it is counted, and nothing is done */
    decide("mesh", true, FIELDS("a", "b"));
    goes_on("");
    done();
}
static void or_injected_as_if_it_had_been_asked_for(void **state) {
    (void)state;
    given("require: { deadline: inject }\n");
    deadline.stream = true;
    deadline.to_head = span_s(15);
    decide("mesh", true, FIELDS("a", "b"));
    goes_on("");
    assert_true(deadline.total.ns == 16 * NS_PER_S && deadline.fire.ns == 16 * NS_PER_S);
    assert_true(span_is_forever(deadline.to_head));
    assert_str(deadline.source_name, "default");
    assert_false(deadline.client_set);
    deadline.asked = true;
    deadline.total = INSTANT_NEVER;
    decide("mesh", true, FIELDS("a", "b"));
    assert_true(instant_is_never(deadline.total));
    drop_head(&up);
    deadline.asked = false;
    deadline_policy.max = span_s(2); /* what a client may ask at most holds here, too */
    decide("mesh", true, FIELDS("a", "b"));
    assert_true(deadline.total.ns == 3 * NS_PER_S);
    drop_head(&up);
    deadline.total = (instant){ 2 * NS_PER_S }; /* streaming.max, which is nearer */
    decide("mesh", true, FIELDS("a", "b"));
    assert_true(deadline.total.ns == 2 * NS_PER_S);
    drop_head(&up);
    done();
}
#define TRACEPARENT "00-12345678901234567890123456789012-1234567890123456-01"
static void a_trace_may_be_required_or_injected(void **state) {
    (void)state;
    given("require: { trace: reject }\ntrace: { from: [ mesh ] }\n");
    decide("mesh", true, FIELDS("traceparent", TRACEPARENT));
    goes_on("");
    decide("edge", true, FIELDS("traceparent", TRACEPARENT));
    is_refused("the request has no valid traceparent, and one is required");
    decide("mesh", true, FIELDS("traceparent", "00-0-0-0"));
    is_refused("the request has no valid traceparent, and one is required");
    done();
    given("require: { trace: inject }\n");
    decide("mesh", true, FIELDS("traceparent", TRACEPARENT));
    assert_false(verdict.root.made);
    goes_on("");
    decide("mesh", true, FIELDS("tracestate", "foo=1"));
    assert_true(verdict.root.made);
    goes_on("");
    apply("mesh", false, FIELDS("tracestate", "foo=1"));
    assert_non_null(head_find(&up.head, TOKEN_TRACEPARENT));
    assert_null(head_find(&up.head, TOKEN_TRACESTATE));
    drop_head(&up);
    done();
}

/* ---- the schema's version ------------------------------------------------------------------------------------------------------------------- */
static void given_schema(int64_t version, const char *yaml) {
    bool ok = conf_load(&load, given_yaml(yaml), &fields_table, &policy);
    policy.schema_version = version;
    ok = fields_resolve(&load, &policy, &listeners) && ok;
    take_report();
    if (!ok) fail_msg("%s", report);
}
#define SCHEMA "prefixes: [ x- ]\nfields: { x-a: {}, x-new: { required: reject, since: 3 } }\n"
static void the_upstream_is_told_our_version_and_no_other(void **state) {
    (void)state;
    given_schema(3, SCHEMA);
    decide("mesh", true, FIELDS("x-context-schema", "2", "x-a", "1", "x-other", "1"));
    assert_int_equal(verdict.version, 3);
    goes_on("");
    assert_int_equal(apply("mesh", false, FIELDS("x-context-schema", "2", "x-a", "1", "x-other", "1")), 1);
    assert_fields(&up.head, "x-a: 1\nx-context-schema: 3\n");
    drop_head(&up);
    done();
}
static void what_came_later_is_not_required_of_who_says_an_older_version(void **state) {
    (void)state;
    given_schema(3, SCHEMA);
    decide("mesh", true, FIELDS("x-context-schema", "3"));
    is_refused("the request has no field x-new, which is required");
    decide("mesh", true, FIELDS("x-a", "1")); /* says nothing: it is held to today's */
    is_refused("the request has no field x-new, which is required");
    done();
}
static void a_newer_version_is_handled_by_rule(void **state) {
    (void)state;
    const char *const *newer = FIELDS("x-context-schema", "4", "x-new", "1", "x-other", "1");
    given_schema(3, SCHEMA);
    decide("mesh", true, newer);
    assert_true(verdict.schema_newer);
    goes_on("");
    assert_int_equal(apply("mesh", false, newer), 1);
    assert_fields(&up.head, "x-new: 1\nx-context-schema: 3\n");
    drop_head(&up);
    done();
    given_schema(3, SCHEMA "newer: pass\nmax_fields: 2\n");
    decide("mesh", true, newer);
    goes_on("");
    assert_int_equal(apply("mesh", false, FIELDS("x-context-schema", "4", "x-new", "1", "x-other", "1", "x-more", "1")), 1);
    assert_fields(&up.head, "x-new: 1\nx-other: 1\nx-context-schema: 4\n"); /* within the caps */
    drop_head(&up);
    decide("mesh", false, newer); /* a stranger cannot carry in what no row allows */
    goes_on("");
    assert_int_equal(apply("mesh", false, newer), 1);
    assert_fields(&up.head, "x-new: 1\nx-context-schema: 3\n");
    drop_head(&up);
    done();
    given_schema(3, SCHEMA "newer: reject\n");
    decide("mesh", true, newer);
    is_refused("the request's x-context-schema, 4, is newer than 3, which is known here");
    done();
}
static void a_malformed_version_counts_as_none(void **state) {
    (void)state;
    static const char *const bad[] = { "", "0", "04", "-4", "4.0", "1234567890", "four" };
    given_schema(3, "fields: { x-a: {} }\nnewer: reject\n");
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        decide("mesh", true, FIELDS("x-context-schema", bad[i]));
        assert_true(verdict.schema_malformed);
        goes_on("");
    }
    decide("mesh", true, FIELDS("x-context-schema", "4", "x-context-schema", "3"));
    assert_true(verdict.schema_malformed);
    goes_on("");
    done();
}
static void without_a_schema_its_header_is_one_as_any(void **state) {
    (void)state;
    given("fields: { x-a: { required: warn } }\n");
    decide("mesh", true, FIELDS("x-context-schema", "4", "x-a", "1"));
    goes_on("");
    assert_int_equal(apply("mesh", false, FIELDS("x-context-schema", "4", "x-a", "1")), 0);
    assert_fields(&up.head, "x-context-schema: 4\nx-a: 1\n");
    drop_head(&up);
    done();
}

static void names_are_checked_where_they_stand(void **state) {
    (void)state;
    unresolved("fields: { \"x a\": {} }\n", "no name of a header field");
    unresolved("fields: { x-a: {}, X-A: {} }\n", "y:1:20: error: x-a is listed twice");
    unresolved("fields: { traceparent: {} }\n", "is no context field");
    unresolved("fields: { connection: {} }\n", "not the configuration's to touch");
    unresolved("prefixes: [ \"\" ]\n", "no name of a header field");
    unresolved("fields: { x-a: { from: [ mash ] } }\n", "did you mean \"mesh\"?");
    unresolved("trace: { from: [ mash ] }\n", "did you mean \"mesh\"?");
    unresolved("fields: { x-context-schema: {} }\n", "is no context field");
    unresolved("fields: { x-a: { names: { grpc: te } } }\n", "not the configuration's to touch");
    unresolved("fields: { x-a: { names: { grpc: x-b } }, X-B: {} }\n", "x-b is listed twice");
    unresolved("fields: { x-a: { names: { grpcc: x-b } } }\n", "did you mean \"grpc\"?");
    unresolved("fields: { x-a: { pattern: \"a(b\" } }\n", "y:1:27: error: pattern: a ( without its )\n  hint: at its character 4");
    unresolved("fields: { x-a: { pattern: \"a+\", max: 4KiB } }\n", "at most 256");
    unresolved("fields: { x-a: { optional: true, required: warn } }\n", "cannot be optional");
    unresolved("fields: { x-a: { since: 2 } }\n", "there is no schema here");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(of_a_prefix_only_listed_names_pass, forget),
        cmocka_unit_test_setup(a_field_is_believed_on_its_listeners_only, forget),
        cmocka_unit_test_setup(from_nobody_is_believed_nowhere, forget),
        cmocka_unit_test_setup(a_value_over_its_cap_is_dropped_whole, forget),
        cmocka_unit_test_setup(optional_fields_are_dropped_under_load, forget),
        cmocka_unit_test_setup(past_the_count_optional_fields_go_first_and_the_last_ones_first, forget),
        cmocka_unit_test_setup(past_the_bytes_in_total_whole_fields_are_dropped, forget),
        cmocka_unit_test_setup(fields_that_are_not_believed_count_against_no_cap, forget),
        cmocka_unit_test_setup(trace_headers_pass_under_their_own_limits, forget),
        cmocka_unit_test_setup(a_policy_without_fields_touches_nothing, forget),
        cmocka_unit_test_setup(a_value_is_of_its_type, forget),
        cmocka_unit_test_setup(a_value_matches_its_pattern_as_a_whole, forget),
        cmocka_unit_test_setup(a_field_is_read_by_the_client_s_name_and_written_by_the_upstream_s, forget),
        cmocka_unit_test_setup(under_another_protocol_s_name_a_field_is_removed, forget),
        cmocka_unit_test_setup(what_is_required_must_fit_the_caps_together, forget),
        cmocka_unit_test_setup(of_what_is_past_the_caps_the_required_goes_last, forget),
        cmocka_unit_test_setup(what_is_governed_does_not_pass_in_trailers, forget),
        cmocka_unit_test_setup(renamed_fields_count_against_the_caps, forget),
        cmocka_unit_test_setup(a_required_field_must_be_there_and_well_and_believed, forget),
        cmocka_unit_test_setup(what_is_only_warned_of_is_named, forget),
        cmocka_unit_test_setup(a_malformed_value_is_refused_where_the_row_says_so, forget),
        cmocka_unit_test_setup(a_deadline_may_be_required, forget),
        cmocka_unit_test_setup(or_injected_as_if_it_had_been_asked_for, forget),
        cmocka_unit_test_setup(a_trace_may_be_required_or_injected, forget),
        cmocka_unit_test_setup(the_upstream_is_told_our_version_and_no_other, forget),
        cmocka_unit_test_setup(what_came_later_is_not_required_of_who_says_an_older_version, forget),
        cmocka_unit_test_setup(a_newer_version_is_handled_by_rule, forget),
        cmocka_unit_test_setup(a_malformed_version_counts_as_none, forget),
        cmocka_unit_test_setup(without_a_schema_its_header_is_one_as_any, forget),
        cmocka_unit_test_setup(names_are_checked_where_they_stand, forget),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
