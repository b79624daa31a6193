// SPDX-License-Identifier: Apache-2.0
// traceparent, tracestate and baggage. The cases are those of W3C's own test suite for trace-context, as far as they are about headers.
#include "policies/trace.h"
#include "tests/unit/policies/given.h"

static struct given_head up;
static uint64_t seeded;
static struct trace_tally tally;
static struct trace_root root;
#define ID "12345678901234567890123456789012"
#define PARENT "1234567890123456"
#define GOOD "00-" ID "-" PARENT "-01"

/* ---- traceparent ----------------------------------------------------------------------------------------------------------------------- */
static void is_good(const char *value) {
    struct traceparent t;
    if (!traceparent_parse(str_of(value), &t)) fail_msg("refused: %s", value);
    assert_str(t.trace_id, ID);
    assert_str(t.parent_id, PARENT);
}
static void is_bad(const char *value) {
    struct traceparent t;
    if (traceparent_parse(str_of(value), &t)) fail_msg("taken: %s", value);
}
static void a_traceparent_is_taken_as_it_is_written(void **state) {
    (void)state;
    struct traceparent t;
    is_good(GOOD);
    assert_true(traceparent_parse(STR("00-" ID "-" PARENT "-f3"), &t));
    assert_int_equal(t.version, 0);
    assert_int_equal(t.flags, 0xf3);
}
static void version_00_has_nothing_behind_its_flags(void **state) {
    (void)state;
    is_bad(GOOD ".");
    is_bad(GOOD "-what-the-future-will-be-like");
    is_bad(GOOD "-");
}
static void a_later_version_may_have_more_behind_a_dash(void **state) {
    (void)state;
    is_good("cc-" ID "-" PARENT "-01");
    is_good("cc-" ID "-" PARENT "-01-what-the-future-will-be-like");
    is_bad("cc-" ID "-" PARENT "-01.what-the-future-will-be-like");
    is_bad("cc-" ID "-" PARENT "-0");
}
static void version_ff_is_none(void **state) {
    (void)state;
    is_bad("ff-" ID "-" PARENT "-01");
}
static void malformed_traceparents_are_refused(void **state) {
    (void)state;
    static const char *const bad[] = {
        "", "00", "0-" ID "-" PARENT "-01", "000-" ID "-" PARENT "-01", "0000-" ID "-" PARENT "-01", ".0-" ID "-" PARENT "-01", "0.-" ID "-" PARENT "-01",
        "00-00000000000000000000000000000000-" PARENT "-01", "00-.2345678901234567890123456789012-" PARENT "-01",
        "00-1234567890123456789012345678901.-" PARENT "-01", "00-123456789012345678901234567890123-" PARENT "-01",
        "00-1234567890123456789012345678901-" PARENT "-01", "00-" ID "-0000000000000000-01", "00-" ID "-.234567890123456-01",
        "00-" ID "-123456789012345.-01", "00-" ID "-12345678901234567-01", "00-" ID "-123456789012345-01", "00-" ID "-" PARENT "-.0",
        "00-" ID "-" PARENT "-0.", "00-" ID "-" PARENT "-001", "00-" ID "-" PARENT "-1", "00-" ID "-" PARENT "-", "00_" ID "-" PARENT "-01",
        "00-" ID "_" PARENT "-01", "00-" ID "-" PARENT "_01",
        "00-1234567890123456789012345678901A-" PARENT "-01", "00-" ID "-123456789012345A-01", "0A-" ID "-" PARENT "-01", "00-" ID "-" PARENT "-0A",
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) is_bad(bad[i]);
}

/* ---- tracestate -------------------------------------------------------------------------------------------------------------------------- */
/* The members in order, by " | ", or "malformed". */
static void reads(const char *const *fields, const char *expected) {
    struct tracestate s;
    char text[2048] = "malformed";
    size_t n = 0;
    given_head(&up, "GET", "h", "/", fields);
    if (tracestate_read(&up.head, &s)) {
        text[0] = '\0';
        for (size_t i = 0; i < s.n; i++) n += (size_t)snprintf(text + n, sizeof text - n, "%s%.*s", i ? " | " : "", STR_ARG(s.v[i]));
    }
    assert_string_equal(text, expected);
    drop_head(&up);
}
#define STATE(...) FIELDS("tracestate", __VA_ARGS__)
static void members_are_read_from_all_fields_in_order(void **state) {
    (void)state;
    reads(STATE("foo=1,bar=2"), "foo=1 | bar=2");
    reads(STATE("foo=1,bar=2", "tracestate", "rojo=1,congo=2", "tracestate", "baz=3"), "foo=1 | bar=2 | rojo=1 | congo=2 | baz=3");
    reads(STATE("foo=1 \t , \t bar=2, \t baz=3"), "foo=1 | bar=2 | baz=3");
    reads(STATE("foo= 1"), "foo= 1"); /* leading blanks are the value's */
}
static void empty_members_are_allowed(void **state) {
    (void)state;
    reads(STATE(""), "");
    reads(STATE("foo=1", "tracestate", ""), "foo=1");
    reads(STATE("", "tracestate", "foo=1"), "foo=1");
    reads(STATE("foo=1,, ,bar=2,"), "foo=1 | bar=2");
}
static void a_malformed_member_spoils_the_whole(void **state) {
    (void)state;
    static const char *const bad[] = { "foo =1", "FOO=1", "foo.bar=1", "=1", "foo", "foo=", "@foo=1,bar=2", "foo=1=2", "foo=\xc3\xa9", "foo=1,foo=1", "foo=1,foo=2",
                                       "-a=1", "foo=a\tb" };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) reads(STATE(bad[i]), "malformed");
    reads(STATE("foo=1", "tracestate", "foo=2"), "malformed");
}
static void keys_and_values_have_256_characters_at_most(void **state) {
    (void)state;
    struct tracestate s;
    struct arena a;
    arena_init(&a, NULL);
    for (int k = 0; k < 4; k++) {
        int key = k == 1 ? 257 : 256, value = k == 2 ? 257 : 256;
        char member[600];
        memset(member, 'z', sizeof member);
        member[key] = '=';
        member[key + 1 + value] = '\0';
        given_head(&up, "GET", "h", "/", STATE(member));
        assert_int_equal(tracestate_read(&up.head, &s), k == 0 || k == 3);
        drop_head(&up);
    }
    arena_clear(&a);
    reads(STATE("a-z0-9_-*/@a-z0-9_-*/= !\"#$%&'()*+-./09:;<>?@AZ[\\]^_`az{|}~"), "a-z0-9_-*/@a-z0-9_-*/= !\"#$%&'()*+-./09:;<>?@AZ[\\]^_`az{|}~");
    reads(STATE("0a=1"), "0a=1"); /* level 2 */
}
static const char *many(char *text, size_t size, int from, int to) {
    size_t n = 0;
    for (int i = from; i <= to; i++) n += (size_t)snprintf(text + n, size - n, "%sbar%02d=%02d", i > from ? "," : "", i, i);
    return text;
}
static void a_list_has_32_members_at_most(void **state) {
    (void)state;
    struct tracestate s;
    char a[256], b[512];
    given_head(&up, "GET", "h", "/", STATE(many(a, sizeof a, 1, 10), "tracestate", many(b, sizeof b, 11, 32)));
    assert_true(tracestate_read(&up.head, &s));
    assert_int_equal(s.n, 32);
    drop_head(&up);
    given_head(&up, "GET", "h", "/", STATE(many(a, sizeof a, 1, 10), "tracestate", many(b, sizeof b, 11, 33)));
    assert_false(tracestate_read(&up.head, &s));
    drop_head(&up);
}

/* ---- what goes up ------------------------------------------------------------------------------------------------------------------------ */
static struct trace_policy trace;
static void given_trace(const char *yaml) {
    seeded = 1;
    root = (struct trace_root){ 0 };
    accept(&trace_table, yaml, &trace);
}
static void apply(bool believed, const char *const *fields) {
    tally = (struct trace_tally){ 0 };
    given_head(&up, "GET", "h", "/", fields);
    trace_apply(&trace, believed, &root, &seeded, &up.head, &tally);
}
static void leaves(const char *expected) {
    assert_fields(&up.head, expected);
    drop_head(&up);
}
static struct str value_of(enum token t) {
    struct field *f = head_find(&up.head, t);
    return f ? f->value : STR("");
}
/* A valid traceparent of that trace with another parent. */
static void assert_new_parent(const char *trace_id, unsigned flags) {
    struct traceparent t;
    assert_true(traceparent_parse(value_of(TOKEN_TRACEPARENT), &t));
    assert_int_equal(t.version, 0);
    assert_int_equal(t.flags, flags);
    assert_str(t.trace_id, trace_id);
    assert_false(str_eq(t.parent_id, STR(PARENT)));
}

static void by_default_all_passes_unread(void **state) {
    (void)state;
    given_trace("{}");
    apply(true, FIELDS("traceparent", "whatever", "tracestate", "FOO", "traceparent", "more"));
    leaves("traceparent: whatever\ntracestate: FOO\ntraceparent: more\n");
    assert_int_equal(tally.restarted, 0);
    done();
}
static void where_it_is_not_believed_a_trace_is_removed(void **state) {
    (void)state;
    given_trace("{}");
    apply(false, FIELDS("traceparent", GOOD, "tracestate", "foo=1", "accept", "x"));
    leaves("accept: x\n");
    assert_int_equal(tally.restarted, 1);
    done();
}
static void checked_a_good_trace_passes_as_it_came(void **state) {
    (void)state;
    given_trace("mode: check");
    apply(true, FIELDS("traceparent", "cc-" ID "-" PARENT "-ff-more", "tracestate", "foo=1 , bar=2", "tracestate", "baz=3"));
    leaves("traceparent: cc-" ID "-" PARENT "-ff-more\ntracestate: foo=1 , bar=2\ntracestate: baz=3\n");
    done();
}
static void checked_an_invalid_traceparent_goes_with_its_tracestate(void **state) {
    (void)state;
    given_trace("mode: check");
    apply(true, FIELDS("traceparent", "ff-" ID "-" PARENT "-01", "tracestate", "foo=1"));
    leaves("");
    assert_int_equal(tally.restarted, 1);
    apply(true, FIELDS("tracestate", "foo=1")); /* without its traceparent */
    leaves("");
    apply(true, FIELDS("traceparent", GOOD, "traceparent", GOOD)); /* twice */
    leaves("");
    apply(true, FIELDS("accept", "x"));
    leaves("accept: x\n");
    assert_int_equal(tally.restarted, 0);
    done();
}
static void checked_a_malformed_tracestate_goes_and_the_trace_goes_on_with_a_new_parent(void **state) {
    (void)state;
    given_trace("mode: check");
    apply(true, FIELDS("traceparent", "cc-" ID "-" PARENT "-ff-more", "tracestate", "foo=1,foo=2"));
    assert_new_parent(ID, 0x03); /* sampled and random are known; the rest is set to zero */
    assert_str(value_of(TOKEN_TRACESTATE), "");
    assert_int_equal(tally.members, 2);
    assert_int_equal(tally.restarted, 0);
    drop_head(&up);
    done();
}
/* 3.3.1.5 */
static void past_its_bytes_long_members_of_tracestate_go_first_and_then_the_last_ones(void **state) {
    (void)state;
    char lengthy[200], fields[2048], expected[2048];
    memset(lengthy, 'x', sizeof lengthy);
    lengthy[130] = '\0';
    size_t n = (size_t)snprintf(fields, sizeof fields, "a=1,long=%s", lengthy), e = (size_t)snprintf(expected, sizeof expected, "a=1");
    for (int i = 0; i < 10; i++) {
        n += (size_t)snprintf(fields + n, sizeof fields - n, ",m%d=%.90s", i, lengthy);
        if (i < 5) e += (size_t)snprintf(expected + e, sizeof expected - e, ",m%d=%.90s", i, lengthy);
    }
    given_trace("mode: check");
    apply(true, FIELDS("traceparent", GOOD, "tracestate", fields));
    assert_new_parent(ID, 0x01);
    assert_str(value_of(TOKEN_TRACESTATE), expected);
    assert_true(value_of(TOKEN_TRACESTATE).n <= 512);
    assert_int_equal(tally.members, 6);
    drop_head(&up);
    done();
}
static void joined_our_member_is_leftmost_with_our_parent_id(void **state) {
    (void)state;
    given_trace("{ mode: join, member: gate }");
    apply(true, FIELDS("traceparent", GOOD, "tracestate", "foo=1,gate=0123456789abcdef,bar=2"));
    assert_new_parent(ID, 0x01);
    char expected[128];
    snprintf(expected, sizeof expected, "gate=%.16s,foo=1,bar=2", value_of(TOKEN_TRACEPARENT).p + 36);
    assert_str(value_of(TOKEN_TRACESTATE), expected);
    assert_int_equal(tally.members, 0);
    drop_head(&up);
    done();
}
static void joined_a_full_list_loses_its_last_member(void **state) {
    (void)state;
    char a[512];
    given_trace("mode: join");
    apply(true, FIELDS("traceparent", GOOD, "tracestate", many(a, sizeof a, 1, 32)));
    struct tracestate s;
    assert_true(tracestate_read(&up.head, &s));
    assert_int_equal(s.n, 32);
    assert_str(tracestate_key(s.v[0]), "curfew");
    assert_str(s.v[31], "bar31=31");
    assert_int_equal(tally.members, 1);
    drop_head(&up);
    done();
}
static void each_attempt_has_a_parent_id_of_its_own(void **state) {
    (void)state;
    given_trace("mode: join");
    apply(true, FIELDS("traceparent", GOOD));
    char first[64];
    snprintf(first, sizeof first, "%.*s", STR_ARG(value_of(TOKEN_TRACEPARENT)));
    drop_head(&up);
    apply(true, FIELDS("traceparent", GOOD));
    assert_new_parent(ID, 0x01);
    assert_false(str_eq(value_of(TOKEN_TRACEPARENT), str_of(first)));
    drop_head(&up);
    done();
}
static void a_trace_that_begins_here_is_the_same_for_all_attempts(void **state) {
    (void)state;
    given_trace("{}");
    trace_begin(&trace, &seeded, &root);
    char id[TRACE_ID + 1];
    snprintf(id, sizeof id, "%.*s", (int)TRACE_ID, root.id);
    for (int i = 0; i < 2; i++) {
        apply(true, FIELDS("traceparent", "bad", "tracestate", "foo=1"));
        assert_new_parent(id, 0x03);
        assert_str(value_of(TOKEN_TRACESTATE), "");
        drop_head(&up);
    }
    done();
}
static void of_the_traces_that_begin_here_so_many_are_sampled(void **state) {
    (void)state;
    unsigned sampled = 0;
    given_trace("sample: 25%");
    for (int i = 0; i < 10000; i++) {
        trace_begin(&trace, &seeded, &root);
        sampled += root.sampled;
    }
    assert_in_range(sampled, 2300, 2700);
    done();
}
static void a_member_must_be_a_key(void **state) {
    (void)state;
    REFUSED(trace_table, "{ mode: join, member: Gate }", "y:1:15: error: \"Gate\" is no key of tracestate", "hint: a key begins with");
    REFUSED(trace_table, "max_bytes: 100", "512 to 64KiB");
}

/* ---- baggage ------------------------------------------------------------------------------------------------------------------------------- */
static struct baggage_policy baggage;
static unsigned carry(const char *yaml, bool believed, const char *const *fields) {
    accept(&baggage_table, yaml, &baggage);
    given_head(&up, "GET", "h", "/", fields);
    return baggage_apply(&baggage, believed, &up.head);
}
static void baggage_within_its_limits_passes_as_it_came(void **state) {
    (void)state;
    assert_int_equal(carry("{}", true, FIELDS("baggage", "a = 1 ; p=2;q, b=2,,", "baggage", "not a member")), 0);
    leaves("baggage: a = 1 ; p=2;q, b=2,,\nbaggage: not a member\n");
    done();
}
static void of_baggage_only_allowed_members_pass_whole_with_their_properties(void **state) {
    (void)state;
    assert_int_equal(carry("allow: [ tenant, b ]", true, FIELDS("baggage", "a=1;x, tenant = t1 ; secret ; p=1", "accept", "x", "baggage", "B=2,b=3,tenants=4,odd")), 4);
    leaves("baggage: tenant = t1 ; secret ; p=1,b=3\naccept: x\n");
    done();
    assert_int_equal(carry("allow: [ ]", true, FIELDS("baggage", "a=1,b=2")), 2);
    leaves("");
    done();
}
/* T47: over all fields together, and never in the middle of a member. */
static void past_its_limits_baggage_loses_whole_members(void **state) {
    (void)state;
    assert_int_equal(carry("max_members: 2", true, FIELDS("baggage", "a=1", "baggage", "b=2,c=3")), 1);
    leaves("baggage: a=1,b=2\n");
    done();
    assert_int_equal(carry("max_bytes: 8", true, FIELDS("baggage", "a=1,bb=22,c=3")), 1);
    leaves("baggage: a=1,c=3\n");
    done();
    assert_int_equal(carry("max_members: 0", true, FIELDS("baggage", "a=1")), 1);
    leaves("");
    done();
}
static void baggage_of_64_members_and_8192_bytes_passes(void **state) {
    (void)state;
    char text[8193];
    memset(text, 'v', sizeof text);
    for (int i = 0; i < 64; i++) memcpy(text + i * 128, i ? ",k=" : "ak=", 3);
    text[8192] = '\0';
    assert_int_equal(carry("{}", true, FIELDS("baggage", text)), 0);
    drop_head(&up);
    done();
    assert_int_equal(carry("{}", true, FIELDS("baggage", text, "baggage", "z=1")), 1);
    assert_int_equal(head_find(&up.head, TOKEN_BAGGAGE)->value.n, 8192);
    drop_head(&up);
    done();
}
static void baggage_that_is_not_believed_goes(void **state) {
    (void)state;
    assert_int_equal(carry("from: [ mesh ]", false, FIELDS("baggage", "a=1", "baggage", "b=2")), 2);
    leaves("");
    done();
}
static void keys_of_baggage_are_tokens(void **state) {
    (void)state;
    REFUSED(baggage_table, "allow: [ a, \"b c\" ]", "y:1:13: error: \"b c\" is no key of baggage");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_traceparent_is_taken_as_it_is_written),
        cmocka_unit_test(version_00_has_nothing_behind_its_flags),
        cmocka_unit_test(a_later_version_may_have_more_behind_a_dash),
        cmocka_unit_test(version_ff_is_none),
        cmocka_unit_test(malformed_traceparents_are_refused),
        cmocka_unit_test(members_are_read_from_all_fields_in_order),
        cmocka_unit_test(empty_members_are_allowed),
        cmocka_unit_test(a_malformed_member_spoils_the_whole),
        cmocka_unit_test(keys_and_values_have_256_characters_at_most),
        cmocka_unit_test(a_list_has_32_members_at_most),
        cmocka_unit_test(by_default_all_passes_unread),
        cmocka_unit_test(where_it_is_not_believed_a_trace_is_removed),
        cmocka_unit_test(checked_a_good_trace_passes_as_it_came),
        cmocka_unit_test(checked_an_invalid_traceparent_goes_with_its_tracestate),
        cmocka_unit_test(checked_a_malformed_tracestate_goes_and_the_trace_goes_on_with_a_new_parent),
        cmocka_unit_test(past_its_bytes_long_members_of_tracestate_go_first_and_then_the_last_ones),
        cmocka_unit_test(joined_our_member_is_leftmost_with_our_parent_id),
        cmocka_unit_test(joined_a_full_list_loses_its_last_member),
        cmocka_unit_test(each_attempt_has_a_parent_id_of_its_own),
        cmocka_unit_test(a_trace_that_begins_here_is_the_same_for_all_attempts),
        cmocka_unit_test(of_the_traces_that_begin_here_so_many_are_sampled),
        cmocka_unit_test(a_member_must_be_a_key),
        cmocka_unit_test(baggage_within_its_limits_passes_as_it_came),
        cmocka_unit_test(of_baggage_only_allowed_members_pass_whole_with_their_properties),
        cmocka_unit_test(past_its_limits_baggage_loses_whole_members),
        cmocka_unit_test(baggage_of_64_members_and_8192_bytes_passes),
        cmocka_unit_test(baggage_that_is_not_believed_goes),
        cmocka_unit_test(keys_of_baggage_are_tokens),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
