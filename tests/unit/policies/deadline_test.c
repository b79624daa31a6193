// SPDX-License-Identifier: Apache-2.0
// Semantics 2, point by point and mode by mode, with the clock in a variable; then a chain of gateways on random requests, in which no hop may
// ever promise more than the one before it had.
#include "policies/deadline.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <cmocka.h>
#include "tests/unit/seed.h"

#define WALL INT64_C(1700000000123456789)
#define MS(n) ((n) * NS_PER_MS)
#define S(n) ((n) * NS_PER_S)
#define FOREVER INT64_MAX

/* A second family beside plain HTTP's, and streams at will: the real ones are other files' matter. */
static bool streams;
static bool toy_recognise(const struct head *h) { (void)h; return false; }
static bool toy_is_stream(const struct head *h) { (void)h; return streams; }
static const struct rpc rpc_toy_grpc = { .name = "toy-grpc", .family = "grpc", .priority = 1, .recognise = toy_recognise, .is_stream = toy_is_stream };
static const struct rpc rpc_toy_http = { .name = "toy-http", .family = "http", .priority = 2, .recognise = toy_recognise, .is_stream = toy_is_stream };
RPC_REGISTER(rpc_toy_grpc);
RPC_REGISTER(rpc_toy_http);

static struct dialect_set set;
static struct conf conf;
static struct deadline_policy policy;
static struct arena arena;
static struct head head;
static struct deadline_facts facts;
static struct deadline_verdict v;
static struct head *up;
static span told;

static bool load(const char *yaml) {
    if (conf.arena.blocks || conf.diags) conf_free(&conf);
    conf_init(&conf);
    const struct conf_node *n = conf_parse(&conf, "t.yaml", yaml, strlen(yaml));
    return conf_load(&conf, n, &deadline_table, &policy) && deadline_resolve(&conf, &policy, &set);
}
static void given(const char *yaml) {
    if (load(yaml)) return;
    conf_report(&conf, stderr);
    fail_msg("%s", yaml);
}
static void new_head(void) {
    head_init(&head, &arena, true);
    head.method = STR("GET");
    head.target = STR("/");
}
static int begin(void **state) {
    (void)state;
    memset(&conf, 0, sizeof conf);
    dialect_set_builtin(&set);
    arena_init(&arena, NULL);
    new_head();
    streams = false;
    facts = (struct deadline_facts){ .head = &head, .rpc = &rpc_toy_http, .dialects = &set, .trusted = true, .now = { S(1000) }, .wall_ns = WALL,
                                     .parent = INSTANT_NEVER };
    given("{}");
    return 0;
}
static int end(void **state) {
    (void)state;
    conf_free(&conf);
    memset(&conf, 0, sizeof conf);
    arena_clear(&arena);
    return 0;
}
static void field(const char *name, const char *value) { head_add(&head, str_of(name), str_of(value)); }
static void field_again(const char *name, const char *value) {
    new_head();
    field(name, value);
}
static void decide(void) { deadline_decide(&policy, &facts, &v); }
static void decide_untrusted(void) {
    facts.trusted = false;
    decide();
    facts.trusted = true;
}
static int64_t total(void) { return instant_until(facts.now, v.total).ns; }
static enum ending tell(int64_t left) {
    up = head_clone(&head, &arena);
    return deadline_tell(&policy, &set, facts.rpc, (span){ left }, WALL, true, up, &told);
}
static struct str sent(const char *name) {
    const struct field *f = head_find_name(up, str_of(name), NULL);
    if (f && head_find_name(up, str_of(name), f)) fail_msg("%s stands there twice", name);
    return f ? f->value : (struct str){ 0 };
}
static void assert_str(struct str s, const char *expected) {
    if (!str_eq(s, str_of(expected))) fail_msg("\"%.*s\" is not \"%s\"", STR_ARG(s), expected);
}
static void assert_source(const char *name) { assert_str(v.source_name, name); }

/* ---- 2, 3: candidates and whose they are ------------------------------------------------------------------------------------------------ */
static void where_the_client_says_nothing_the_default_runs_to_the_head(void **state) {
    (void)state;
    decide();
    assert_int_equal(v.refuse, ENDING_NONE);
    assert_int_equal(total(), FOREVER);
    assert_int_equal(v.to_head.ns, S(15));
    assert_int_equal(v.idle.ns, S(30));
    assert_int_equal(v.per_try.ns, FOREVER);
    assert_true(v.enforce && v.tell && !v.client_set && !v.source);
    assert_source("default");
}

static void the_earliest_of_what_the_client_wrote_is_total(void **state) {
    (void)state;
    field("x-request-timeout", "7s");
    field("grpc-timeout", "3S");
    field("x-context-deadline", "1700000005123456789");
    decide();
    assert_int_equal(total(), S(3));
    assert_int_equal(v.fire.ns, v.total.ns);
    assert_int_equal(v.to_head.ns, FOREVER);
    assert_true(v.client_set);
    assert_ptr_equal(v.source, dialect_by_key(&set, STR("grpc-timeout")));
    assert_source("grpc-timeout");
}

static void what_the_policy_does_not_read_does_not_count(void **state) {
    (void)state;
    given("{ read: [ x-timeout-ms ] }");
    field("grpc-timeout", "3S");
    decide();
    assert_int_equal(total(), FOREVER);
    field("x-timeout-ms", "700");
    decide();
    assert_int_equal(total(), MS(700));
}

/* T37: an SDK's 600 s, and whatever else a client thinks. */
static void T37_a_huge_value_is_clamped_to_max(void **state) {
    (void)state;
    given("{ read: [ x-stainless-timeout, grpc-timeout ], max: 60s }");
    field("x-stainless-timeout", "600");
    decide();
    assert_int_equal(total(), S(60));
    assert_source("max");
    assert_false(v.client_set);
    assert_null(v.source);
    new_head();
    field("grpc-timeout", "99999999H");
    decide();
    assert_int_equal(total(), S(60));
    given("{ max: none }");
    decide();
    assert_true(instant_is_never(v.total) && !v.client_set);
}

/* T37: such a request must not open an upstream stream. */
static void T37_a_tiny_value_is_shed_before_an_upstream_is_asked(void **state) {
    (void)state;
    field("grpc-timeout", "1n");
    decide_untrusted();
    assert_int_equal(v.refuse, ENDING_SHED_EXPIRED);
    assert_non_null(v.say);
}

static void from_the_untrusted_the_default_is_a_bound_too(void **state) {
    (void)state;
    field("x-request-timeout", "40s");
    decide();
    assert_int_equal(total(), S(40));
    assert_int_equal(v.to_head.ns, FOREVER);
    decide_untrusted();
    assert_int_equal(total(), S(40));
    assert_int_equal(v.to_head.ns, S(15));
    assert_source("default");
    new_head();
    field("x-request-timeout", "4s");
    decide_untrusted();
    assert_int_equal(total(), S(4));
    assert_int_equal(v.to_head.ns, FOREVER);
    assert_source("x-request-timeout");
}

static void from_the_untrusted_max_bounds_the_default(void **state) {
    (void)state;
    given("{ default: none, max: 20s }");
    decide();
    assert_int_equal(v.to_head.ns, FOREVER);
    assert_source("none");
    decide_untrusted();
    assert_int_equal(v.to_head.ns, S(20));
    assert_source("max");
}

/* T46: a mesh's own headers, written by whoever stands outside it. */
static void T46_a_mesh_is_believed_from_trusted_listeners_only(void **state) {
    (void)state;
    given("{ read: [ l5d-request-timeout, x-envoy-upstream-rq-timeout-ms, x-envoy-upstream-rq-per-try-timeout-ms ] }");
    field("l5d-request-timeout", "2s");
    field("x-envoy-upstream-rq-timeout-ms", "3000");
    field("x-envoy-upstream-rq-per-try-timeout-ms", "500");
    decide();
    assert_int_equal(total(), S(2));
    assert_int_equal(v.per_try.ns, MS(500));
    assert_int_equal(v.dropped_untrusted, 0);
    decide_untrusted();
    assert_int_equal(total(), FOREVER);
    assert_int_equal(v.per_try.ns, FOREVER);
    assert_int_equal(v.dropped_untrusted, 3);
}

static void T46_nothing_of_a_mesh_leaves_for_the_upstream(void **state) {
    (void)state;
    static const char *const names[] = { "l5d-request-timeout", "l5d-ctx-deadline", "x-envoy-expected-rq-timeout-ms", "context-ttl-ms",
                                         "finagle-ctx-com.twitter.finagle.deadline", "x-context-sent", "x-stainless-timeout" };
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) field(names[i], "1");
    field("x-envoy-upstream-rq-timeout-alt-response", "1");
    assert_int_equal(tell(S(1)), ENDING_NONE);
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (strcmp(names[i], "x-context-sent") != 0) assert_int_equal(sent(names[i]).n, 0);
    assert_str(sent("x-context-sent"), "1700000000123456789");
    assert_str(sent("x-envoy-upstream-rq-timeout-alt-response"), "1");
}

static void the_parents_deadline_less_reserve_caps_all(void **state) {
    (void)state;
    facts.parent = instant_add(facts.now, (span){ S(2) });
    decide();
    assert_int_equal(total(), S(2) - MS(5));
    assert_source("parent");
    assert_true(v.client_set);
    assert_int_equal(v.to_head.ns, FOREVER);
    field("x-request-timeout", "1s");
    decide();
    assert_int_equal(total(), S(1));
    assert_source("x-request-timeout");
    new_head();
    field("x-request-timeout", "3s");
    decide();
    assert_int_equal(total(), S(2) - MS(5));
    assert_null(v.source);
    facts.parent = instant_add(facts.now, (span){ S(40) });
    new_head();
    decide();
    assert_int_equal(total(), S(40) - MS(5));
    assert_int_equal(v.to_head.ns, S(15));
    assert_source("default");
    facts.parent = instant_add(facts.now, (span){ MS(19) });
    decide();
    assert_int_equal(v.refuse, ENDING_SHED_EXPIRED);
}

/* T29: Envoy's zero has no end, gRPC's has come. */
static void T29_an_infinite_zero_is_no_candidate_and_an_expired_one_is_refused(void **state) {
    (void)state;
    given("{ read: [ x-envoy-upstream-rq-timeout-ms, grpc-timeout, x-stainless-timeout ] }");
    field("x-envoy-upstream-rq-timeout-ms", "0");
    field("x-stainless-timeout", "0");
    decide();
    assert_int_equal(v.refuse, ENDING_NONE);
    assert_int_equal(v.to_head.ns, S(15));
    field("grpc-timeout", "0m");
    decide();
    assert_int_equal(v.refuse, ENDING_SHED_EXPIRED);
    assert_int_equal(v.would_refuse, ENDING_SHED_EXPIRED);
}

/* T27: our clock and the sender's differ by less than skew: not expired, but as little as is still worth an upstream. */
static void T27_an_epoch_within_skew_counts_as_min_and_reserve(void **state) {
    (void)state;
    field("x-context-deadline", "1700000000000000000");
    decide();
    assert_int_equal(v.refuse, ENDING_NONE);
    assert_int_equal(total(), MS(15));
    new_head();
    field("x-context-deadline", "1699999999000000000");
    decide();
    assert_int_equal(v.refuse, ENDING_SHED_EXPIRED);
}

/* T27: an hour's jump of the wall clock between two hops. */
static void T27_a_pair_survives_a_jump_of_the_clock(void **state) {
    (void)state;
    field("x-context-sent", "1700003600000000000");
    field("x-context-deadline", "1700003601000000000");
    decide();
    assert_int_equal(total(), S(1));
    assert_source("x-context-deadline");
}

/* T30 */
static void T30_a_value_beyond_all_clocks_is_far_away(void **state) {
    (void)state;
    given("{ max: none, read: [ grpc-timeout, x-request-deadline ] }");
    facts.now = (instant){ INT64_MAX - S(10) };
    field("grpc-timeout", "99999999H");
    field("x-request-deadline", "99999999999999999999");
    decide();
    assert_int_equal(v.refuse, ENDING_NONE);
    assert_true(instant_is_never(v.total));
}

/* ---- 4: streams -------------------------------------------------------------------------------------------------------------------------- */
/* T36: fifteen seconds by default would kill every long stream. */
static void T36_the_default_does_not_apply_to_streams(void **state) {
    (void)state;
    streams = true;
    decide();
    assert_true(v.stream);
    assert_int_equal(total(), FOREVER);
    assert_int_equal(v.to_head.ns, FOREVER);
    assert_int_equal(v.idle.ns, S(300));
    assert_source("none");
    decide_untrusted();
    assert_int_equal(total(), FOREVER);
    assert_int_equal(v.to_head.ns, FOREVER);
}

static void T36_a_deadline_that_the_client_set_is_total_for_a_stream_too(void **state) {
    (void)state;
    streams = true;
    field("grpc-timeout", "5S");
    decide();
    assert_int_equal(total(), S(5));
    decide_untrusted();
    assert_int_equal(total(), S(5));
    new_head();
    field("grpc-timeout", "5H");
    decide();
    assert_int_equal(total(), S(60));
}

static void a_stream_without_a_deadline_has_streaming_max(void **state) {
    (void)state;
    given("{ streaming: { max: 1h } }");
    streams = true;
    decide();
    assert_int_equal(total(), S(3600));
    assert_source("streaming.max");
    assert_false(v.client_set);
    field("grpc-timeout", "5S");
    decide();
    assert_int_equal(total(), S(5));
}

static void a_route_may_say_what_is_a_stream(void **state) {
    (void)state;
    given("{ streaming: { detect: always } }");
    decide();
    assert_true(v.stream);
    given("{ streaming: { detect: never } }");
    streams = true;
    decide();
    assert_false(v.stream);
    assert_int_equal(v.to_head.ns, S(15));
}

/* ---- 5: malformed, repeated, advice --------------------------------------------------------------------------------------------------------- */
static void a_malformed_value_is_ignored_and_counted_or_rejected(void **state) {
    (void)state;
    field("grpc-timeout", "soon");
    field("x-request-timeout", "-1");
    decide();
    assert_int_equal(v.refuse, ENDING_NONE);
    assert_int_equal(v.malformed, 2);
    assert_int_equal(v.to_head.ns, S(15));
    field("connect-timeout-ms", "99999999999");
    decide();
    assert_int_equal(v.refuse, ENDING_CLIENT_CONTEXT);
    assert_non_null(v.say);
}

static void T26_repeated_values_are_one_candidate(void **state) {
    (void)state;
    field("grpc-timeout", "1S, 9H");
    field("grpc-timeout", "2S");
    decide();
    assert_int_equal(total(), S(1));
    struct dialect d = *dialect_by_key(&set, STR("grpc-timeout"));
    d.duplicates = DUPLICATES_REJECT;
    assert_null(dialect_set_add(&set, &d));
    decide();
    assert_int_equal(v.refuse, ENDING_CLIENT_CONTEXT);
}

/* What the client would like never makes our timer fire; the upstream hears of it. */
static void advice_bounds_what_is_told_and_never_the_timer(void **state) {
    (void)state;
    given("{ read: [ prefer-wait, query-timeout-seconds, grpc-timeout ] }");
    field("prefer", "respond-async, wait=5");
    decide();
    assert_int_equal(v.refuse, ENDING_NONE);
    assert_int_equal(total(), FOREVER);
    assert_int_equal(v.to_head.ns, S(15));
    assert_int_equal(deadline_left(&policy, &v, facts.now, v.to_head).ns, S(5));
    assert_int_equal(deadline_left(&policy, &v, instant_add(facts.now, (span){ S(5) - 1 }), (span){ S(10) }).ns, S(10));
    field("grpc-timeout", "9S");
    decide();
    assert_int_equal(deadline_left(&policy, &v, facts.now, v.to_head).ns, S(9));
    new_head();
    field("prefer", "wait=0");
    decide();
    assert_int_equal(v.refuse, ENDING_NONE);
    assert_int_equal(deadline_left(&policy, &v, facts.now, v.to_head).ns, S(15));
}

/* ---- 6: too little --------------------------------------------------------------------------------------------------------------------------- */
static void less_than_min_and_reserve_is_refused_at_once(void **state) {
    (void)state;
    field("grpc-timeout", "15m");
    decide();
    assert_int_equal(v.refuse, ENDING_NONE);
    new_head();
    field("grpc-timeout", "14999u");
    decide();
    assert_int_equal(v.refuse, ENDING_SHED_EXPIRED);
    assert_int_equal(tell(MS(15)), ENDING_NONE);
    assert_int_equal(tell(MS(15) - 1), ENDING_SHED_EXPIRED);
    assert_int_equal(tell(-S(1)), ENDING_SHED_EXPIRED);
}

static void what_has_expired_is_refused_where_nothing_is_needed(void **state) {
    (void)state;
    given("{ min: 0s, reserve: 0s }");
    field("grpc-timeout", "0S");
    decide();
    assert_int_equal(v.refuse, ENDING_SHED_EXPIRED);
    assert_int_equal(tell(0), ENDING_SHED_EXPIRED);
    assert_int_equal(tell(MS(1)), ENDING_NONE);
}

/* T32: the clock starts at the end of the head, and our own queue is on it. */
static void T32_time_in_our_own_queue_counts(void **state) {
    (void)state;
    field("x-request-timeout", "100ms");
    decide();
    instant later = instant_add(facts.now, (span){ MS(40) });
    span left = deadline_left(&policy, &v, later, SPAN_FOREVER);
    assert_int_equal(left.ns, MS(60));
    assert_int_equal(tell(left.ns), ENDING_NONE);
    assert_str(sent("x-request-timeout"), "55ms");
    later = instant_add(facts.now, (span){ MS(86) });
    assert_int_equal(tell(deadline_left(&policy, &v, later, SPAN_FOREVER).ns), ENDING_SHED_EXPIRED);
}

/* ---- 7: what is told ---------------------------------------------------------------------------------------------------------------------------- */
/* T33: a retry that sends the first attempt's budget again. */
static void T33_each_attempt_is_told_anew(void **state) {
    (void)state;
    field("grpc-timeout", "1S");
    facts.rpc = &rpc_toy_grpc;
    decide();
    assert_int_equal(tell(deadline_left(&policy, &v, facts.now, SPAN_FOREVER).ns), ENDING_NONE);
    assert_str(sent("grpc-timeout"), "995000u");
    assert_int_equal(tell(deadline_left(&policy, &v, instant_add(facts.now, (span){ MS(600) }), SPAN_FOREVER).ns), ENDING_NONE);
    assert_str(sent("grpc-timeout"), "395000u");
    assert_int_equal(told.ns, MS(395));
    assert_str(head_find_name(&head, STR("grpc-timeout"), NULL)->value, "1S");
}

static void an_attempt_is_never_told_more_than_per_try(void **state) {
    (void)state;
    given("{ per_try: 200ms }");
    assert_int_equal(tell(S(1)), ENDING_NONE);
    assert_str(sent("x-request-timeout"), "200ms");
    assert_int_equal(tell(MS(150)), ENDING_NONE);
    assert_str(sent("x-request-timeout"), "145ms");
    assert_int_equal(tell(FOREVER), ENDING_NONE);
    assert_str(sent("x-request-timeout"), "200ms");
}

static void the_clients_own_per_try_reaches_the_upstream(void **state) {
    (void)state;
    given("{ read: [ x-envoy-upstream-rq-per-try-timeout-ms ], per_try: 1s }");
    field("x-envoy-upstream-rq-per-try-timeout-ms", "300");
    decide();
    assert_int_equal(v.per_try.ns, MS(300));
    assert_int_equal(v.to_head.ns, S(15));
    assert_int_equal(tell(deadline_left(&policy, &v, facts.now, v.to_head).ns), ENDING_NONE);
    assert_str(sent("x-request-timeout"), "300ms");
    new_head();
    field("x-envoy-upstream-rq-per-try-timeout-ms", "1");
    decide();
    assert_int_equal(v.per_try.ns, MS(10));
    assert_int_equal(v.refuse, ENDING_NONE);
}

static void without_a_deadline_nothing_is_told(void **state) {
    (void)state;
    assert_int_equal(tell(FOREVER), ENDING_NONE);
    assert_int_equal(up->nfields, 0);
    assert_int_equal(told.ns, 0);
}

/* T31: rounded down, and what is too coarse is left out; the request is refused only where nothing fits. */
static void T31_a_dialect_too_coarse_is_left_out(void **state) {
    (void)state;
    given("{ write: { http: [ x-timeout-s, x-stainless-timeout, x-timeout-ms ] } }");
    assert_int_equal(tell(MS(999) + 999999), ENDING_NONE);
    assert_int_equal(sent("x-stainless-timeout").n, 0);
    assert_str(sent("x-timeout-s"), "0.994");
    assert_str(sent("x-timeout-ms"), "994");
    given("{ write: { http: [ x-stainless-timeout ] } }");
    assert_int_equal(tell(MS(999)), ENDING_SHED_EXPIRED);
    assert_int_equal(told.ns, 0);
    assert_int_equal(tell(MS(1005)), ENDING_NONE);
    assert_str(sent("x-stainless-timeout"), "1");
}

static void each_family_is_told_in_its_own_way(void **state) {
    (void)state;
    assert_int_equal(tell(S(2)), ENDING_NONE);
    assert_str(sent("x-request-timeout"), "1995ms");
    assert_str(sent("x-context-deadline"), "1700000002118456789");
    assert_str(sent("x-context-sent"), "1700000000123456789");
    assert_int_equal(up->nfields, 3);
    facts.rpc = &rpc_toy_grpc;
    assert_int_equal(tell(S(2)), ENDING_NONE);
    assert_str(sent("grpc-timeout"), "1995000u");
    assert_int_equal(up->nfields, 1);
    given("{ write: { grpc: [ ] } }");
    assert_int_equal(tell(S(2)), ENDING_NONE);
    assert_int_equal(up->nfields, 0);
    assert_int_equal(deadline_family_index("none such"), FAMILIES_MAX);
}

static void our_timer_fires_answer_margin_before_what_the_client_set(void **state) {
    (void)state;
    given("{ answer_margin: 20ms, streaming: { max: 1h } }");
    field("grpc-timeout", "1S");
    decide();
    assert_int_equal(total(), S(1));
    assert_int_equal(instant_until(facts.now, v.fire).ns, MS(980));
    new_head();
    field("grpc-timeout", "1H");
    decide();
    assert_int_equal(instant_until(facts.now, v.fire).ns, S(60));
    streams = true;
    new_head();
    decide();
    assert_int_equal(v.fire.ns, v.total.ns);
}

/* ---- 8: what is stripped ------------------------------------------------------------------------------------------------------------------------- */
/* T26: strip all known dialects before adding one. */
static void T26_all_known_dialects_are_stripped_whether_read_or_not(void **state) {
    (void)state;
    for (size_t i = 1; i <= set.n; i++) {
        if (set.row[i].place != DIALECT_HEADER) continue;
        head_add(&head, set.row[i].name, STR("1"));
        head_add(&head, set.row[i].name, STR("2"));
    }
    field("accept", "*/*");
    assert_int_equal(tell(S(1)), ENDING_NONE);
    size_t left = 0;
    for (size_t i = 0; i < up->nfields; i++) left += !field_is_removed(&up->fields[i]);
    assert_int_equal(left, 4);
    assert_str(sent("accept"), "*/*");
    assert_str(sent("x-request-timeout"), "995ms");
}

static void they_are_stripped_where_nothing_is_told_too(void **state) {
    (void)state;
    field("grpc-timeout", "1S");
    assert_int_equal(tell(FOREVER), ENDING_NONE);
    assert_int_equal(sent("grpc-timeout").n, 0);
}

static void what_passes_stays_as_the_client_wrote_it(void **state) {
    (void)state;
    given("{ pass: [ x-stainless-timeout, x-request-timeout, x-context-deadline ] }");
    field("x-stainless-timeout", "600");
    field("x-request-timeout", "8s");
    field("x-context-sent", "5");
    field("grpc-timeout", "1S");
    assert_int_equal(tell(S(1)), ENDING_NONE);
    assert_str(sent("x-stainless-timeout"), "600");
    assert_str(sent("x-request-timeout"), "8s");
    assert_int_equal(sent("grpc-timeout").n, 0);
    new_head();
    assert_int_equal(tell(S(1)), ENDING_NONE);
    assert_str(sent("x-request-timeout"), "995ms");
}

static void of_prefer_only_wait_goes(void **state) {
    (void)state;
    field("prefer", "respond-async, wait=10");
    field("prefer", "wait=3");
    assert_int_equal(tell(S(1)), ENDING_NONE);
    assert_str(sent("prefer"), "respond-async");
    assert_str(head_find_name(&head, STR("prefer"), NULL)->value, "respond-async, wait=10");
    given("{ pass: [ prefer-wait ] }");
    assert_int_equal(tell(S(1)), ENDING_NONE);
    assert_str(head_find_name(up, STR("prefer"), NULL)->value, "respond-async, wait=10");
    given("{ write: { http: [ prefer-wait ] } }");
    assert_int_equal(tell(S(3)), ENDING_NONE);
    assert_str(head_joined(up, STR("prefer")), "respond-async, wait=2");
}

static void targets_are_altered_only_where_a_query_dialect_is_written(void **state) {
    (void)state;
    head.target = STR("/a?timeout=9s&x=1");
    assert_int_equal(tell(S(1)), ENDING_NONE);
    assert_str(up->target, "/a?timeout=9s&x=1");
    given("{ read: [ query-timeout ], write: { http: [ query-timeout ] } }");
    decide();
    assert_int_equal(total(), S(9));
    assert_int_equal(tell(S(1)), ENDING_NONE);
    assert_str(up->target, "/a?timeout=995ms&x=1");
    assert_str(head.target, "/a?timeout=9s&x=1");
    head.target = STR("*");
    assert_int_equal(tell(S(1)), ENDING_SHED_EXPIRED);
    assert_str(up->target, "*");
    given("{ write: { http: [ query-timeout ] }, pass: [ query-timeout ] }");
    head.target = STR("/a?timeout=9s");
    assert_int_equal(tell(S(1)), ENDING_NONE);
    assert_str(up->target, "/a?timeout=9s");
}

/* ---- 9: modes ------------------------------------------------------------------------------------------------------------------------------------ */
static bool untouched(void) {
    bool same = up->nfields == head.nfields && str_eq(up->target, head.target);
    for (size_t i = 0; same && i < head.nfields; i++) same = str_eq(up->fields[i].name, head.fields[i].name) && str_eq(up->fields[i].value, head.fields[i].value);
    return same;
}

static void disabled_does_nothing_and_strips_nothing(void **state) {
    (void)state;
    given("{ mode: disabled, per_try: 1s, streaming: { max: 1s } }");
    field("grpc-timeout", "0S");
    field("connect-timeout-ms", "x");
    field("prefer", "wait=1");
    decide();
    assert_int_equal(v.refuse, ENDING_NONE);
    assert_int_equal(v.would_refuse, ENDING_NONE);
    assert_int_equal(total(), FOREVER);
    assert_int_equal(v.to_head.ns, FOREVER);
    assert_int_equal(v.idle.ns, FOREVER);
    assert_int_equal(v.per_try.ns, FOREVER);
    assert_false(v.enforce || v.tell);
    assert_int_equal(tell(1), ENDING_NONE);
    assert_true(untouched());
}

/* ---- what a route needs, and what is let through ------------------------------------------------------------------------------------------ */
static void with_less_than_the_route_needs_and_keeps_back_it_is_shed(void **state) {
    (void)state;
    given("{ needs: 50ms, reserve: 5ms }");
    field("x-request-timeout", "54ms");
    decide();
    assert_int_equal(v.refuse, ENDING_SHED_LATENCY);
    field_again("x-request-timeout", "55ms");
    decide();
    assert_int_equal(v.refuse, ENDING_NONE);
    field_again("x-request-timeout", "14ms"); /* too little for anybody says more */
    decide();
    assert_int_equal(v.refuse, ENDING_SHED_EXPIRED);
    new_head();
    decide();
    assert_int_equal(v.refuse, ENDING_NONE); /* nobody asked */
}
static void a_percentile_counts_once_it_is_known(void **state) {
    (void)state;
    given("{ needs: p90 }");
    assert_int_equal(policy.needs.percent, 90);
    field("x-request-timeout", "100ms");
    decide();
    assert_int_equal(v.refuse, ENDING_NONE);
    facts.measured = span_ms(200);
    decide();
    assert_int_equal(v.refuse, ENDING_SHED_LATENCY);
    streams = true; /* a stream lives as long as it is given */
    decide();
    assert_int_equal(v.refuse, ENDING_NONE);
    given("{ needs: none }");
    streams = false;
    decide();
    assert_int_equal(v.refuse, ENDING_NONE);
}
static void needs_is_a_duration_a_percentile_or_none(void **state) {
    (void)state;
    static const char *const bad[] = { "p0", "p100", "p", "p5x", "soon", "-1s", "[ p50 ]", "60s" /* as much as max */ };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        char yaml[64];
        snprintf(yaml, sizeof yaml, "{ needs: %s }", bad[i]);
        if (load(yaml)) fail_msg("accepted: %s", bad[i]);
    }
}
static void what_is_let_through_keeps_what_is_left(void **state) {
    (void)state;
    given("{ needs: 50ms, answer_margin: 20ms, reserve: 5ms }");
    field("x-request-timeout", "8ms");
    decide();
    deadline_let_through(&policy, &v, facts.now);
    assert_int_equal(v.refuse, ENDING_NONE);
    assert_int_equal(v.would_refuse, ENDING_NONE);
    assert_int_equal(v.let_through, ENDING_SHED_EXPIRED);
    assert_int_equal(total(), MS(8));
    assert_int_equal(instant_until(facts.now, v.fire).ns, MS(8)); /* a margin would leave nothing */
    assert_int_equal(v.needs.ns, 0);
    up = head_clone(&head, &arena);
    assert_int_equal(deadline_tell(&policy, &set, facts.rpc, span_ms(8), WALL, false, up, &told), ENDING_NONE);
    assert_int_equal(told.ns, MS(3));
    up = head_clone(&head, &arena);
    assert_int_equal(deadline_tell(&policy, &set, facts.rpc, span_ms(4), WALL, false, up, &told), ENDING_NONE);
    assert_int_equal(told.ns, MS(4)); /* the whole of it */
}
static void what_is_let_through_with_nothing_left_runs_under_the_default(void **state) {
    (void)state;
    given("{ default: 2s }");
    field("x-request-timeout", "0s");
    decide();
    assert_int_equal(v.refuse, ENDING_SHED_EXPIRED);
    deadline_let_through(&policy, &v, facts.now);
    assert_true(instant_is_never(v.total) && instant_is_never(v.fire));
    assert_int_equal(v.to_head.ns, S(2));
    assert_false(v.client_set);
    assert_true(str_eq(v.source_name, STR("default")));
    streams = true;
    decide();
    deadline_let_through(&policy, &v, facts.now);
    assert_true(span_is_forever(v.to_head));
}

static void observe_says_what_would_have_happened_and_changes_nothing(void **state) {
    (void)state;
    given("{ mode: observe }");
    field("grpc-timeout", "1m");
    decide();
    assert_int_equal(v.refuse, ENDING_NONE);
    assert_null(v.say);
    assert_int_equal(v.would_refuse, ENDING_SHED_EXPIRED);
    assert_int_equal(total(), MS(1));
    assert_source("grpc-timeout");
    assert_false(v.enforce || v.tell);
    assert_int_equal(tell(MS(1)), ENDING_SHED_EXPIRED);
    assert_true(untouched());
    assert_int_equal(told.ns, 0);
    assert_int_equal(tell(MS(100)), ENDING_NONE);
    assert_true(untouched());
    assert_int_equal(told.ns, MS(95));
    field("connect-timeout-ms", "x");
    decide();
    assert_int_equal(v.would_refuse, ENDING_CLIENT_CONTEXT);
    assert_int_equal(v.malformed, 1);
}

static void forward_tells_and_does_not_enforce(void **state) {
    (void)state;
    given("{ mode: forward }");
    facts.rpc = &rpc_toy_grpc;
    field("grpc-timeout", "3m");
    field("x-timeout-ms", "3");
    decide();
    assert_int_equal(v.refuse, ENDING_NONE);
    assert_int_equal(v.would_refuse, ENDING_SHED_EXPIRED);
    assert_true(v.tell && !v.enforce);
    assert_int_equal(tell(MS(3)), ENDING_SHED_EXPIRED); /* enforcing would have; told it is all the same */
    assert_str(sent("grpc-timeout"), "3000000n");
    assert_int_equal(sent("x-timeout-ms").n, 0);
    assert_int_equal(tell(S(1)), ENDING_NONE);
    assert_str(sent("grpc-timeout"), "995000u");
    assert_int_equal(tell(-MS(1)), ENDING_SHED_EXPIRED);
    assert_int_equal(sent("grpc-timeout").n, 0);
    assert_int_equal(told.ns, 0);
}
/* belgov-request-timeout is in whole seconds: less than one cannot be said. */
static void what_no_dialect_can_say_is_shed_and_in_observe_said_to_be(void **state) {
    (void)state;
    static const char *const modes[] = { "observe", "forward", "enforce" };
    for (size_t i = 0; i < 3; i++) {
        char yaml[128];
        snprintf(yaml, sizeof yaml, "{ mode: %s, write: { http: [ belgov-request-timeout ] } }", modes[i]);
        given(yaml);
        new_head();
        assert_int_equal(tell(MS(500)), ENDING_SHED_EXPIRED);
        assert_int_equal(told.ns, 0);
        assert_int_equal(tell(S(2)), ENDING_NONE);
        assert_int_equal(told.ns, S(2) - policy.reserve.ns);
        assert_int_equal(sent("belgov-request-timeout").n, policy.mode == MODE_OBSERVE ? 0 : 1);
    }
}

/* ---- configuration -------------------------------------------------------------------------------------------------------------------------------- */
static void an_unknown_dialect_is_reported_with_the_nearest_name(void **state) {
    (void)state;
    assert_false(load("read: [ grpc-timeout,\n  grpc-timout ]\npass: [ prefer-wiat ]\nwrite: { http: nothing }\n"));
    assert_int_equal(conf.errors, 3);
    assert_int_equal(conf.diags[0].pos.line, 2);
    bool nearest = false;
    for (size_t i = 0; i < conf.ndiags; i++) {
        char hint[128];
        snprintf(hint, sizeof hint, "%.*s", STR_ARG(conf.diags[i].hint));
        nearest = nearest || strstr(hint, "grpc-timeout");
    }
    assert_true(nearest);
}

static void faults_between_keys_are_reported(void **state) {
    (void)state;
    assert_false(load("{ max: 14ms }"));
    assert_false(load("{ default: 14ms }"));
    assert_false(load("{ per_try: 9ms }"));
    assert_false(load("{ answer_margin: 60s }"));
    assert_false(load("{ write: { pigeon: [ grpc-timeout ] } }"));
    assert_true(load("{ max: 15ms, default: 15ms, per_try: 10ms, answer_margin: 14ms }"));
}

/* ---- properties ------------------------------------------------------------------------------------------------------------------------------------ */

/* What one dialect says of what is left, with noise now and then. */
static void add_random_field(void) {
    static const char *const noise[] = { "", "0", "-1", "1S, 2S", "x", "18446744073709551616", "0x10", "1e9", " 1" };
    const struct dialect *d = &set.row[1 + next_random() % set.n];
    char text[DIALECT_TEXT_MAX], companion[DIALECT_TEXT_MAX];
    int64_t left = (int64_t)(next_random() >> (1 + next_random() % 63)) + 1;
    size_t m, n = dialect_format(d, (span){ left }, WALL - (int64_t)(next_random() % (uint64_t)S(1)), text, companion, &m);
    struct str value = next_random() % 4 ? arena_copy(&arena, (struct str){ text, n }) : str_of(noise[next_random() % (sizeof noise / sizeof noise[0])]);
    if (d->place == DIALECT_QUERY) head.target = dialect_query_with(&arena, head.target, d->name, value);
    else if (d->place == DIALECT_PREFER) head_add(&head, STR("prefer"), arena_printf(&arena, "a, %.*s=%.*s", STR_ARG(d->name), STR_ARG(value)));
    else head_add(&head, d->name, value);
    if (m && next_random() % 2) head_add(&head, d->companion, arena_copy(&arena, (struct str){ companion, m }));
}

static void check_verdict(void) {
    bool tells = policy.mode == MODE_FORWARD || policy.mode == MODE_ENFORCE;
    assert_int_equal(v.tell, tells);
    assert_int_equal(v.enforce, policy.mode == MODE_ENFORCE);
    assert_true(policy.mode == MODE_ENFORCE ? v.refuse == v.would_refuse : v.refuse == ENDING_NONE);
    assert_true(!v.client_set || !span_is_forever((span){ total() }));
    assert_true(v.source == NULL || v.client_set || instant_is_never(v.total));
    assert_true(policy.mode == MODE_DISABLED || !v.client_set || total() <= policy.max.ns || !instant_is_never(facts.parent));
    assert_true(v.fire.ns <= v.total.ns);
    for (size_t i = 0; i < policy.nread && policy.mode != MODE_DISABLED; i++) { /* no candidate is earlier than the deadline, once more in other words */
        const struct dialect *d = policy.read_rows[i];
        struct dialect_reading r = dialect_read(d, &head, WALL);
        if (d->advice || d->per_try || (d->trusted_only && !facts.trusted) || r.result != DIALECT_LEFT || r.skewed) continue;
        assert_true(total() <= r.left.ns);
    }
}

static bool is_written(const struct dialect *d) {
    size_t family = deadline_family_index(facts.rpc->family);
    for (size_t i = 0; i < policy.nwrite[family]; i++)
        if (policy.write_rows[family][i] == d) return true;
    return false;
}
static void check_told(int64_t left) {
    if (policy.mode == MODE_DISABLED || policy.mode == MODE_OBSERVE) assert_true(untouched());
    if (policy.mode == MODE_DISABLED || policy.mode == MODE_OBSERVE) return;
    for (size_t i = 0; i < up->nfields; i++) {
        const struct dialect *d = dialect_of_field(&set, &up->fields[i]);
        if (d) assert_true(is_written(d));
    }
    for (size_t i = 1; i <= set.n; i++) {
        struct dialect_reading r = dialect_read(&set.row[i], up, WALL);
        if (set.row[i].place == DIALECT_QUERY) continue; /* as the client wrote it */
        assert_false(r.malformed);
        if (r.result == DIALECT_ABSENT) continue;
        assert_int_equal(r.result, DIALECT_LEFT);
        assert_true(r.left.ns <= told.ns && told.ns <= left);
        if (policy.mode == MODE_ENFORCE) assert_true(r.left.ns <= left - policy.reserve.ns);
    }
}

/* One hop after another with no time between them: the budget must shrink by `reserve` at each until the request is refused. */
static void a_chain_of_gateways_never_gains_time(void **state) {
    (void)state;
    static const char *const modes[] = { "disabled", "observe", "forward", "enforce" };
    static const char *const writes[] = { "x-request-timeout, x-context-deadline", "expect-within", "x-timeout-ms, x-timeout-s", "l5d-ctx-deadline",
                                          "grpc-timeout", "request-timeout" };
    begin_random();
    for (int round = 0; round < 4000; round++) {
        char yaml[1024], read[512];
        struct str any = set.row[1 + next_random() % set.n].key;
        snprintf(read, sizeof read, "%s, grpc-timeout, prefer-wait, %.*s", writes[next_random() % 6], STR_ARG(any));
        snprintf(yaml, sizeof yaml, "{ mode: %s, read: [ %s, %s ], max: %s, per_try: %s, streaming: { max: %s }, write: { http: [ %s ] } }", modes[round % 4],
                 read, writes[round % 6], next_random() % 2 ? "none" : "30s", next_random() % 2 ? "none" : "700ms", next_random() % 2 ? "none" : "50s",
                 writes[round % 6]);
        given(yaml);
        streams = next_random() % 4 == 0;
        facts.trusted = next_random() % 2;
        facts.parent = next_random() % 4 ? INSTANT_NEVER : instant_add(facts.now, (span){ (int64_t)(next_random() % (uint64_t)S(5)) });
        new_head();
        for (size_t i = next_random() % 4; i > 0; i--) add_random_field();
        decide();
        check_verdict();
        int64_t left = deadline_left(&policy, &v, facts.now, v.to_head).ns;
        enum ending e = tell(left);
        if (e == ENDING_NONE) check_told(left);
        else assert_int_not_equal(policy.mode, MODE_DISABLED);
        for (int hop = 0; hop < 5 && policy.mode == MODE_ENFORCE && e == ENDING_NONE && told.ns; hop++) {
            struct head *before = up;
            head = *before;
            facts.trusted = true;
            facts.parent = INSTANT_NEVER;
            decide();
            assert_true(v.refuse != ENDING_NONE || (total() <= told.ns && total() <= left - policy.reserve.ns));
            left = deadline_left(&policy, &v, facts.now, v.to_head).ns;
            e = v.refuse ? v.refuse : tell(left);
            if (e == ENDING_NONE) check_told(left);
        }
        arena_clear(&arena);
        arena_init(&arena, NULL);
    }
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, begin, end)
int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(where_the_client_says_nothing_the_default_runs_to_the_head),
        TEST(the_earliest_of_what_the_client_wrote_is_total),
        TEST(what_the_policy_does_not_read_does_not_count),
        TEST(T37_a_huge_value_is_clamped_to_max),
        TEST(T37_a_tiny_value_is_shed_before_an_upstream_is_asked),
        TEST(from_the_untrusted_the_default_is_a_bound_too),
        TEST(from_the_untrusted_max_bounds_the_default),
        TEST(T46_a_mesh_is_believed_from_trusted_listeners_only),
        TEST(T46_nothing_of_a_mesh_leaves_for_the_upstream),
        TEST(the_parents_deadline_less_reserve_caps_all),
        TEST(T29_an_infinite_zero_is_no_candidate_and_an_expired_one_is_refused),
        TEST(T27_an_epoch_within_skew_counts_as_min_and_reserve),
        TEST(T27_a_pair_survives_a_jump_of_the_clock),
        TEST(T30_a_value_beyond_all_clocks_is_far_away),
        TEST(T36_the_default_does_not_apply_to_streams),
        TEST(T36_a_deadline_that_the_client_set_is_total_for_a_stream_too),
        TEST(a_stream_without_a_deadline_has_streaming_max),
        TEST(a_route_may_say_what_is_a_stream),
        TEST(a_malformed_value_is_ignored_and_counted_or_rejected),
        TEST(T26_repeated_values_are_one_candidate),
        TEST(advice_bounds_what_is_told_and_never_the_timer),
        TEST(less_than_min_and_reserve_is_refused_at_once),
        TEST(what_has_expired_is_refused_where_nothing_is_needed),
        TEST(T32_time_in_our_own_queue_counts),
        TEST(T33_each_attempt_is_told_anew),
        TEST(an_attempt_is_never_told_more_than_per_try),
        TEST(the_clients_own_per_try_reaches_the_upstream),
        TEST(without_a_deadline_nothing_is_told),
        TEST(T31_a_dialect_too_coarse_is_left_out),
        TEST(each_family_is_told_in_its_own_way),
        TEST(our_timer_fires_answer_margin_before_what_the_client_set),
        TEST(T26_all_known_dialects_are_stripped_whether_read_or_not),
        TEST(they_are_stripped_where_nothing_is_told_too),
        TEST(what_passes_stays_as_the_client_wrote_it),
        TEST(of_prefer_only_wait_goes),
        TEST(targets_are_altered_only_where_a_query_dialect_is_written),
        TEST(disabled_does_nothing_and_strips_nothing),
        TEST(with_less_than_the_route_needs_and_keeps_back_it_is_shed), TEST(a_percentile_counts_once_it_is_known),
        TEST(needs_is_a_duration_a_percentile_or_none), TEST(what_is_let_through_keeps_what_is_left),
        TEST(what_is_let_through_with_nothing_left_runs_under_the_default),
        TEST(observe_says_what_would_have_happened_and_changes_nothing),
        TEST(forward_tells_and_does_not_enforce),
        TEST(what_no_dialect_can_say_is_shed_and_in_observe_said_to_be),
        TEST(an_unknown_dialect_is_reported_with_the_nearest_name),
        TEST(faults_between_keys_are_reported),
        TEST(a_chain_of_gateways_never_gains_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
