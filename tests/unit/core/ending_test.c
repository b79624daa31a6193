// SPDX-License-Identifier: Apache-2.0
// The table of endings against semantics 3: the rules that its rows must obey together, and rows that users rely on.
#include "core/ending.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <cmocka.h>

static const struct ending_row *row(enum ending e) { return &ending_rows[e]; }

static void every_ending_has_a_name_of_its_own_and_is_found_by_it(void **state) {
    (void)state;
    assert_string_equal(ending_name(ENDING_NONE), "none");
    for (enum ending e = ENDING_NONE + 1; e < ENDINGS; e++) {
        assert_non_null(ending_name(e));
        assert_true(strlen(row(e)->sentence) > 10);
        assert_int_equal(ending_by_name(str_of(ending_name(e))), e);
        for (const char *p = ending_name(e); *p; p++) assert_true((*p >= 'a' && *p <= 'z') || *p == '_');
    }
}

static void a_name_that_is_none_names_no_ending(void **state) {
    (void)state;
    assert_int_equal(ending_by_name(STR("none")), ENDING_NONE);
    assert_int_equal(ending_by_name(STR("")), ENDING_NONE);
    assert_int_equal(ending_by_name(STR("Deadline")), ENDING_NONE);
    assert_int_equal(ending_by_name(STR("deadlin")), ENDING_NONE);
    assert_int_equal(ending_by_name((struct str){ "deadlinex", 8 }), ENDING_DEADLINE);
}

static void an_answer_is_owed_unless_the_client_is_gone(void **state) {
    (void)state;
    for (enum ending e = ENDING_NONE + 1; e < ENDINGS; e++) {
        bool gone = e == ENDING_COMPLETED || e == ENDING_CLIENT_RESET || e == ENDING_CLIENT_CLOSED || e == ENDING_CLIENT_DEADLINE;
        assert_int_equal(row(e)->http == 0, gone);
        if (row(e)->http > ENDING_CUT) assert_in_range(row(e)->http, 400, 599);
    }
    assert_int_equal(row(ENDING_CLIENT_STALLED)->http, ENDING_CUT);
}

static void codes_of_grpc_and_words_of_resets_are_those_of_the_page(void **state) {
    (void)state;
    for (enum ending e = ENDING_COMPLETED + 1; e < ENDINGS; e++) {
        assert_in_range(row(e)->grpc, 1, 16); /* never OK */
        assert_true(row(e)->reset == RESET_CANCEL || row(e)->reset == RESET_INTERNAL); /* semantics 4 */
        if (row(e)->http == 504) assert_int_equal(row(e)->grpc, 4);
        if (row(e)->http == 503 && e != ENDING_OPERATOR_CANCELLED) assert_int_equal(row(e)->grpc, 14);
    }
    const enum ending cancel[] = { ENDING_DEADLINE, ENDING_TRY_TIMEOUT, ENDING_PARENT_CANCELLED, ENDING_OPERATOR_CANCELLED };
    for (size_t i = 0; i < 4; i++) assert_int_equal(row(cancel[i])->reset, RESET_CANCEL);
}

static void an_upstream_hears_of_every_ending_that_is_not_its_own(void **state) {
    (void)state;
    for (enum ending e = ENDING_COMPLETED + 1; e < ENDINGS; e++) {
        enum ending_upstream up = row(e)->upstream;
        if (row(e)->side == ENDING_SIDE_CLIENT) assert_true(up == ENDING_UP_CANCEL || up == ENDING_UP_NEVER_ASKED);
        if (row(e)->side == ENDING_SIDE_GATEWAY) assert_true(up == ENDING_UP_CANCEL || up == ENDING_UP_NEVER_ASKED);
    }
    assert_int_equal(row(ENDING_COMPLETED)->upstream, ENDING_UP_NOTHING);
    assert_int_equal(row(ENDING_UPSTREAM_ERROR)->upstream, ENDING_UP_PROTOCOL);
    assert_int_equal(row(ENDING_UPSTREAM_IDLE)->upstream, ENDING_UP_CANCEL);
    assert_int_equal(row(ENDING_SHED_EXPIRED)->upstream, ENDING_UP_NEVER_ASKED);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_ending_has_a_name_of_its_own_and_is_found_by_it),
        cmocka_unit_test(a_name_that_is_none_names_no_ending),
        cmocka_unit_test(an_answer_is_owed_unless_the_client_is_gone),
        cmocka_unit_test(codes_of_grpc_and_words_of_resets_are_those_of_the_page),
        cmocka_unit_test(an_upstream_hears_of_every_ending_that_is_not_its_own),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
