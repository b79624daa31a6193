// SPDX-License-Identifier: Apache-2.0
// gRPC: what is one, what a client is told, and what an answer says.
// clang-format off
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
// clang-format on
#include "codecs/rpc.h"

static struct arena arena;
static const struct rpc *grpc(void) {
    for (size_t i = 0; i < rpc_count(); i++) {
        if (strcmp(rpc_at(i)->name, "grpc") == 0) return rpc_at(i);
    }
    fail_msg("gRPC is not registered");
    return NULL;
}
static int begin(void **state) {
    (void)state;
    arena_init(&arena, NULL);
    return 0;
}
static int finish(void **state) {
    (void)state;
    arena_clear(&arena);
    return 0;
}
#define assert_field(h, name, literal) do { \
        const struct field *f_ = head_find_name((h), STR(name), NULL); assert_non_null(f_); \
        assert_int_equal(f_->value.n, strlen(literal)); assert_memory_equal(f_->value.p, literal, f_->value.n); } while (0)

static void it_is_known_by_its_content_type(void **state) {
    static const struct { const char *type; bool is; } types[] = {
        { "application/grpc", true }, { "application/grpc+proto", true }, { "application/grpc+json", true }, { "Application/gRPC", true },
        { "application/grpc;charset=utf-8", true }, { "application/grpc ; x", true }, { "application/grpc-web", false },
        { "application/grpc-web+proto", false }, { "application/grpcx", false }, { "application/json", false }, { "application/grp", false },
        { "", false },
    };
    struct head none;
    (void)state;
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        struct head h;
        head_init(&h, &arena, true);
        head_add(&h, STR("content-type"), str_of(types[i].type));
        assert_int_equal(grpc()->recognise(&h), types[i].is);
        assert_int_equal(rpc_recognise(&h) == grpc(), types[i].is); /* asked before plain HTTP */
    }
    head_init(&none, &arena, true);
    assert_false(grpc()->recognise(&none));
    assert_string_equal(grpc()->family, "grpc");
}

/* Semantics 2.4. */
static void without_a_timeout_it_may_be_a_stream(void **state) {
    struct head h;
    (void)state;
    head_init(&h, &arena, true);
    head_add(&h, STR("content-type"), STR("application/grpc"));
    assert_true(grpc()->is_stream(&h));
    head_add(&h, STR("grpc-timeout"), STR("1S"));
    assert_false(grpc()->is_stream(&h));
}

static void an_answer_before_the_head_is_trailers_only(void **state) {
    struct head h;
    struct str body = STR("left over");
    (void)state;
    const struct rpc_answer what = { .why = ENDING_DEADLINE, .http = 504, .grpc = 4, .detail = STR_INIT("50% late: \"\xc3\xa9\"\n\x7f") };
    grpc()->answer(&arena, &what, NULL, &h, &body);
    assert_int_equal(h.status, 200); /* never a bare 504: it would be retried */
    assert_int_equal(h.body, BODY_NONE);
    assert_int_equal(body.n, 0);
    assert_field(&h, "content-type", "application/grpc");
    assert_field(&h, "grpc-status", "4");
    assert_field(&h, "grpc-message", "50%25 late: \"%C3%A9\"%0A%7F");
    assert_null(head_find_name(&h, STR("grpc-retry-pushback-ms"), NULL));
    for (size_t i = 0; i < h.nfields; i++) assert_true(is_field_value(h.fields[i].value));
}

static void every_ending_has_a_message(void **state) {
    (void)state;
    for (enum ending e = 1; e < ENDINGS; e++) {
        struct head h;
        struct str body;
        const struct rpc_answer what = { .why = e, .http = 500, .grpc = ending_rows[e].grpc };
        grpc()->answer(&arena, &what, NULL, &h, &body);
        assert_true(head_find(&h, TOKEN_GRPC_MESSAGE)->value.n > 0);
        uint64_t status;
        assert_true(str_to_u64(head_find(&h, TOKEN_GRPC_STATUS)->value, &status));
        assert_int_equal(status, ending_rows[e].grpc);
    }
}

static void retry_after_is_a_pushback_rounded_up(void **state) {
    struct head h;
    struct str body;
    (void)state;
    const struct rpc_answer what = { .why = ENDING_SHED_LOAD, .grpc = 14, .retry_after = { 1500000001 } };
    grpc()->answer(&arena, &what, NULL, &h, &body);
    assert_field(&h, "grpc-retry-pushback-ms", "1501");
}

/* Trap T20. */
static void an_answer_behind_the_head_is_trailers_at_a_boundary_and_a_cut_elsewhere(void **state) {
    struct head h;
    struct str body = STR("left over");
    (void)state;
    const struct rpc_answer what = { .why = ENDING_DEADLINE, .grpc = 4 };
    assert_false(grpc()->answer_late(&arena, &what, &(struct rpc_follow){ 0 }, &h, &body));
    assert_int_equal(body.n, 0);
    assert_true(grpc()->answer_late(&arena, &what, &(struct rpc_follow){ .aligned = true }, &h, &body));
    assert_int_equal(body.n, 0);
    assert_field(&h, "grpc-status", "4");
    assert_field(&h, "grpc-message", "the deadline passed");
    assert_null(head_find(&h, TOKEN_CONTENT_TYPE));
}

static int16_t outcome(const char *head_says, const char *trailers_say) {
    struct head answer, trailers;
    struct rpc_outcome o;
    head_init(&answer, &arena, false);
    head_init(&trailers, &arena, false);
    answer.status = 200;
    if (head_says) head_add(&answer, STR("grpc-status"), str_of(head_says));
    if (trailers_say) head_add(&trailers, STR("grpc-status"), str_of(trailers_say));
    grpc()->outcome(&answer, trailers_say ? &trailers : NULL, &o);
    assert_int_equal(o.http, 200);
    return o.grpc;
}

static void the_outcome_is_in_the_trailers_or_in_a_head_that_is_all(void **state) {
    (void)state;
    assert_int_equal(outcome(NULL, "0"), 0);
    assert_int_equal(outcome(NULL, "14"), 14);
    assert_int_equal(outcome("4", NULL), 4);
    assert_int_equal(outcome("0", "13"), 13);
    assert_int_equal(outcome(NULL, NULL), -1);
    assert_int_equal(outcome(NULL, "OK"), 2); /* no number: UNKNOWN */
    assert_int_equal(outcome(NULL, ""), 2);
    assert_int_equal(outcome(NULL, "99999999999999999999"), 2);
    assert_int_equal(outcome(NULL, "-1"), 2);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(it_is_known_by_its_content_type, begin, finish),
        cmocka_unit_test_setup_teardown(without_a_timeout_it_may_be_a_stream, begin, finish),
        cmocka_unit_test_setup_teardown(an_answer_before_the_head_is_trailers_only, begin, finish),
        cmocka_unit_test_setup_teardown(every_ending_has_a_message, begin, finish),
        cmocka_unit_test_setup_teardown(retry_after_is_a_pushback_rounded_up, begin, finish),
        cmocka_unit_test_setup_teardown(an_answer_behind_the_head_is_trailers_at_a_boundary_and_a_cut_elsewhere, begin, finish),
        cmocka_unit_test_setup_teardown(the_outcome_is_in_the_trailers_or_in_a_head_that_is_all, begin, finish),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
