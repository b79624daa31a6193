// SPDX-License-Identifier: Apache-2.0
// How an upstream is told, and what a client's leaving means. Two codecs of the test's own stand for all: bells multiplexes and can tell in band,
// string has one request a connection.
#include "policies/cancel.h"
#include "tests/unit/policies/given.h"

static const struct codec bells = { .name = "bells", .roles = CODEC_UP, .multiplex = true, .ways = { CANCEL_BAND, CANCEL_DRAIN } };
static const struct codec string = { .name = "string", .roles = CODEC_UP, .ways = { CANCEL_CLOSE, CANCEL_DRAIN } };
static const struct codec aside = { .name = "aside", .roles = CODEC_UP, .ways = { CANCEL_SIDE, CANCEL_CLOSE } };
static const struct codec door = { .name = "door", .roles = CODEC_DOWN, .ways = { CANCEL_CLOSE } };
CODEC_REGISTER(bells);
CODEC_REGISTER(string);
CODEC_REGISTER(aside);
CODEC_REGISTER(door);

static struct cancel_policy policy;
static void given(const char *yaml) { accept(&cancel_table, yaml, &policy); }

static void assert_ladder(struct ladder l, const char *expected) {
    static const char *const names[] = { "reset", "call", "close", "drain", "none" };
    char text[64] = "";
    size_t n = 0;
    for (unsigned i = 0; i < l.n; i++) n += (size_t)snprintf(text + n, sizeof text - n, "%s%s", i ? " " : "", names[l.rung[i]]);
    assert_string_equal(text, expected);
}

/* ---- the table ---------------------------------------------------------------------------------------------------------------------- */

static void the_defaults_are_each_codecs_strongest_way(void **state) {
    (void)state;
    given("{}");
    assert_ladder(cancel_ladder(&policy, &bells, ENDING_DEADLINE), "reset");
    assert_ladder(cancel_ladder(&policy, &string, ENDING_DEADLINE), "close");
    assert_ladder(cancel_ladder(&policy, &aside, ENDING_DEADLINE), "reset");
    assert_int_equal(policy.client_gone, GONE_CANCEL);
    assert_int_equal(policy.half_close, HALF_AUTO);
    assert_int_equal(policy.drain_limit.time.ns, 2 * NS_PER_S);
    assert_int_equal(policy.drain_limit.bytes, 1 << 20);
    assert_null(policy.call);
    done();
}

static void a_ladder_is_climbed_as_written(void **state) {
    (void)state;
    given("string: [ call, close ]\nbells: drain\ncall: { path: /x }\n");
    assert_ladder(cancel_ladder(&policy, &string, ENDING_DEADLINE), "call close");
    assert_ladder(cancel_ladder(&policy, &bells, ENDING_DEADLINE), "drain");
    done();
}

static void the_well_known_protocols_are_keys_of_every_build(void **state) {
    (void)state;
    given("http2: [ reset ]\nhttp1: [ close ]\n");
    done();
    REFUSED(cancel_table, "http2: [ riset ]\n", "did you mean \"reset\"?");
}

static void a_rung_that_the_codec_cannot_climb_is_refused_where_it_stands(void **state) {
    (void)state;
    REFUSED(cancel_table, "string: [ close, reset ]\n", "y:1:18: error: string cannot be told by reset");
    REFUSED(cancel_table, "bells: [ reset, close ]\n", "bells cannot be told by close", "other requests, which would end too");
    REFUSED(cancel_table, "string: [ drain, close ]\n", "close stands after drain", "strongest first");
    REFUSED(cancel_table, "string: [ close, close ]\n", "close stands after close");
    REFUSED(cancel_table, "string: [ ]\n", "no way to tell the upstream is named");
    REFUSED(cancel_table, "string: [ [ close ] ]\n", "is expected here");
    REFUSED(cancel_table, "string: [ call, close ]\n", "what to call is not said");
    REFUSED(cancel_table, "door: [ close ]\n", "unknown key door");
}

static void a_call_is_checked(void **state) {
    (void)state;
    given("string: [ call, close ]\ncall:\n  method: DELETE\n  path: /tasks/{request.path.id}\n  headers: { authorization: \"Bearer x\" }\n"
          "  timeout: 2s\n  rate: 10/s\n  endings: [ deadline, client_reset ]\n");
    assert_str(policy.call->method, "DELETE");
    assert_str(policy.call->path, "/tasks/{request.path.id}");
    assert_int_equal(policy.call->timeout.ns, 2 * NS_PER_S);
    assert_int_equal(policy.call->rate.count, 10);
    assert_int_equal(policy.call->endings.n, 2);
    assert_non_null(policy.call->headers);
    done();
    REFUSED(cancel_table, "call: { path: tasks }\n", "begins with /");
    REFUSED(cancel_table, "call: { path: \"/{id}\" }\n", "none of {request.path.NAME}");
    REFUSED(cancel_table, "call: { path: \"/{request.path.id\" }\n", "a { without its }");
    REFUSED(cancel_table, "call: { path: \"/{request.path.}\" }\n", "ends too early");
    REFUSED(cancel_table, "call: { path: /x, headers: { content-length: 3 } }\n", "not the configuration's to touch");
    REFUSED(cancel_table, "call: { path: /x, headers: { a: \"{x}\" } }\n", "the value has");
    REFUSED(cancel_table, "call: { path: /x, endings: [ shed_load ] }\n", "nothing to cancel");
    REFUSED(cancel_table, "call: { path: /x, endings: [ deadlin ] }\n", "did you mean \"deadline\"?");
    REFUSED(cancel_table, "call: { path: /x, method: \"A B\" }\n", "is no method");
    REFUSED(cancel_table, "call: { method: POST }\n", "\"path\"");
}

/* ---- which ladder ---------------------------------------------------------------------------------------------------------------------- */

static void drain_is_for_the_clients_own_leaving_alone(void **state) {
    (void)state;
    given("client_gone: drain\n");
    static const enum ending leaving[] = { ENDING_CLIENT_RESET, ENDING_CLIENT_CLOSED, ENDING_CLIENT_DEADLINE };
    for (size_t i = 0; i < 3; i++) assert_ladder(cancel_ladder(&policy, &bells, leaving[i]), "drain");
    static const enum ending other[] = { ENDING_DEADLINE, ENDING_CLIENT_STALLED, ENDING_SHUTDOWN, ENDING_PARENT_CANCELLED, ENDING_UPSTREAM_IDLE };
    for (size_t i = 0; i < 5; i++) assert_ladder(cancel_ladder(&policy, &bells, other[i]), "reset");
    assert_ladder(cancel_ladder(&policy, &aside, ENDING_CLIENT_RESET), "reset"); /* it cannot drain */
    done();
}

static void a_mode_climbs_less_and_says_what_it_would_have_achieved(void **state) {
    (void)state;
    static const struct { const char *mode, *climbed; } modes[] = {
        { "disabled", "none" }, { "observe", "none" }, { "forward", "call none" }, { "enforce", "call close" },
    };
    for (size_t i = 0; i < 4; i++) {
        char yaml[160];
        snprintf(yaml, sizeof yaml, "mode: %s\nstring: [ call, close ]\ncall: { path: /x, endings: [ deadline ] }\n", modes[i].mode);
        conf_load(&load, given_yaml(yaml), &cancel_table, &policy);
        assert_ladder(cancel_ladder_in_mode(&policy, &string, ENDING_DEADLINE, true), modes[i].climbed);
        assert_ladder(cancel_ladder_in_mode(&policy, &string, ENDING_DEADLINE, false), "call close"); /* nobody can answer half a request */
        assert_ladder(cancel_ladder_in_mode(&policy, &string, ENDING_UPSTREAM_ERROR, true), "close"); /* no cancel: a broken answer */
        assert_ladder(cancel_ladder_in_mode(&policy, &string, ENDING_UPSTREAM_CLOSED, true), "");
        assert_int_equal(cancel_would(&policy, &string, ENDING_DEADLINE, true), LEVEL_SIDE_CHANNEL);
        assert_int_equal(cancel_would(&policy, &string, ENDING_CLIENT_RESET, true), LEVEL_CLOSE); /* no call is made after it */
        assert_int_equal(cancel_would(&policy, &bells, ENDING_CLIENT_RESET, true), LEVEL_NATIVE);
        done();
    }
    given("client_gone: ignore\nmode: observe\nbells: [ none ]\n");
    assert_int_equal(cancel_would(&policy, &string, ENDING_CLIENT_RESET, true), LEVEL_NOT_NEEDED);
    assert_int_equal(cancel_would(&policy, &bells, ENDING_DEADLINE, true), LEVEL_TTL);
    assert_int_equal(cancel_would(&policy, &bells, ENDING_DEADLINE, false), LEVEL_NONE);
    done();
}

static void an_upstream_that_ended_it_itself_is_told_nothing(void **state) {
    (void)state;
    given("{}");
    static const enum ending over[] = { ENDING_COMPLETED, ENDING_UPSTREAM_RESET, ENDING_UPSTREAM_CLOSED, ENDING_REFUSED_STREAM, ENDING_CONNECT_FAILURE };
    for (size_t i = 0; i < 5; i++) assert_ladder(cancel_ladder(&policy, &bells, over[i]), "");
    done();
}

static void a_broken_answer_calls_nobody(void **state) {
    (void)state;
    given("string: [ call, drain ]\ncall: { path: /x }\n");
    assert_ladder(cancel_ladder(&policy, &string, ENDING_UPSTREAM_ERROR), "close");
    done();
}

static void what_was_achieved_is_a_level(void **state) {
    (void)state;
    assert_string_equal(cancel_level_name(cancel_level_of(CANCEL_WITHDRAWN, true)), "withdrawn");
    assert_string_equal(cancel_level_name(cancel_level_of(CANCEL_BAND, true)), "native");
    assert_string_equal(cancel_level_name(cancel_level_of(CANCEL_SIDE, true)), "side_channel");
    assert_string_equal(cancel_level_name(cancel_level_of(CANCEL_CLOSE, true)), "close");
    assert_string_equal(cancel_level_name(cancel_level_of(CANCEL_DRAIN, true)), "drain");
    assert_string_equal(cancel_level_name(cancel_level_of(CANCEL_NONE, true)), "ttl");
    assert_string_equal(cancel_level_name(cancel_level_of(CANCEL_NONE, false)), "none");
    assert_string_equal(cancel_level_name(LEVEL_NOT_NEEDED), "");
    for (enum cancel_way w = CANCEL_NONE; w < CANCEL_WITHDRAWN; w++) assert_true(cancel_level_of(w, false) < cancel_level_of(w + 1, false));
}

static void each_rung_asks_the_codec_for_its_way(void **state) {
    (void)state;
    assert_int_equal(cancel_way_of(RUNG_RESET), CANCEL_BAND);
    assert_int_equal(cancel_way_of(RUNG_CLOSE), CANCEL_CLOSE);
    assert_int_equal(cancel_way_of(RUNG_DRAIN), CANCEL_DRAIN);
    assert_int_equal(cancel_way_of(RUNG_CALL), CANCEL_NONE);
    assert_int_equal(cancel_way_of(RUNG_NONE), CANCEL_NONE);
}

/* ---- the client's leaving --------------------------------------------------------------------------------------------------------------- */

static bool fin_is_gone(const char *half_close, uint8_t version, bool user_agent, bool keep_asked) {
    char yaml[64];
    snprintf(yaml, sizeof yaml, "half_close: %s\n", half_close);
    given(yaml);
    struct given_head g;
    given_head(&g, "GET", "h", "/", user_agent ? FIELDS("user-agent", "curl/8") : NULL);
    g.head.version = version;
    g.head.keep_asked = keep_asked;
    bool gone = cancel_fin_is_gone(&policy, &g.head);
    drop_head(&g);
    done();
    return gone;
}

/* T1: FIN is not abort for `nc -N`, probes and some balancers. */
static void a_fin_is_a_leaving_only_of_clients_that_look_like_clients(void **state) {
    (void)state;
    assert_true(fin_is_gone("auto", 11, true, false));
    assert_true(fin_is_gone("auto", 11, false, true)); /* undici's request() */
    assert_false(fin_is_gone("auto", 11, false, false));
    assert_false(fin_is_gone("auto", 10, true, true));
    assert_true(fin_is_gone("abort", 10, false, false));
    assert_false(fin_is_gone("tolerate", 11, true, true));
}

/* T35: the client's RST(CANCEL) at its own deadline races our timer. */
static void a_leaving_near_the_clients_own_deadline_is_that_deadline(void **state) {
    (void)state;
    const instant deadline = { 1000 * NS_PER_MS };
    const span grace = span_ms(10);
    instant at = { 989 * NS_PER_MS };
    assert_int_equal(cancel_client_ending(ENDING_CLIENT_RESET, at, deadline, grace), ENDING_CLIENT_RESET);
    at.ns += NS_PER_MS;
    assert_int_equal(cancel_client_ending(ENDING_CLIENT_RESET, at, deadline, grace), ENDING_CLIENT_DEADLINE);
    assert_int_equal(cancel_client_ending(ENDING_CLIENT_CLOSED, at, deadline, grace), ENDING_CLIENT_DEADLINE);
    at.ns = 2000 * NS_PER_MS;
    assert_int_equal(cancel_client_ending(ENDING_CLIENT_RESET, at, deadline, grace), ENDING_CLIENT_DEADLINE);
    assert_int_equal(cancel_client_ending(ENDING_CLIENT_RESET, at, INSTANT_NEVER, grace), ENDING_CLIENT_RESET);
    assert_int_equal(cancel_client_ending(ENDING_CLIENT_STALLED, at, deadline, grace), ENDING_CLIENT_STALLED);
    assert_int_equal(cancel_client_ending(ENDING_CLIENT_ERROR, at, deadline, grace), ENDING_CLIENT_ERROR);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_defaults_are_each_codecs_strongest_way),
        cmocka_unit_test(a_ladder_is_climbed_as_written),
        cmocka_unit_test(the_well_known_protocols_are_keys_of_every_build),
        cmocka_unit_test(a_rung_that_the_codec_cannot_climb_is_refused_where_it_stands),
        cmocka_unit_test(a_call_is_checked),
        cmocka_unit_test(drain_is_for_the_clients_own_leaving_alone),
        cmocka_unit_test(a_mode_climbs_less_and_says_what_it_would_have_achieved),
        cmocka_unit_test(an_upstream_that_ended_it_itself_is_told_nothing),
        cmocka_unit_test(a_broken_answer_calls_nobody),
        cmocka_unit_test(what_was_achieved_is_a_level),
        cmocka_unit_test(each_rung_asks_the_codec_for_its_way),
        cmocka_unit_test(a_fin_is_a_leaving_only_of_clients_that_look_like_clients),
        cmocka_unit_test(a_leaving_near_the_clients_own_deadline_is_that_deadline),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
