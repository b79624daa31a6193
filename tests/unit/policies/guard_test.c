// SPDX-License-Identifier: Apache-2.0
// max_reject: how much may be refused, and since when that is forgotten, with the clock in a variable.
#include "policies/guard.h"
#include "tests/unit/policies/given.h"

static struct guard_policy policy;
static struct guard guard;
static int64_t now; /* ms */

static void given(const char *yaml) {
    accept(&guard_table, yaml, &policy);
    memset(&guard, 0, sizeof guard);
    now = 1000000;
}
static instant at(void) { return (instant){ now * NS_PER_MS }; }
static void good(unsigned n) {
    while (n--) assert_false(guard_lets_through(&guard, &policy, false, at()));
}
/* Of n requests that are to be refused, how many are. */
static unsigned refused(unsigned n) {
    unsigned count = 0;
    while (n--) count += !guard_lets_through(&guard, &policy, true, at());
    return count;
}

static void a_share_of_the_requests_is_refused_and_no_more(void **state) {
    (void)state;
    given("{}");
    good(80);
    assert_int_equal(refused(20), 20);
    assert_int_equal(refused(1), 0);
    good(4); /* 105 requests: 21 of them are a fifth */
    assert_int_equal(refused(1), 1);
    assert_int_equal(refused(1), 0);
    done();
}
static void nothing_is_let_through_before_the_window_has_enough_to_say(void **state) {
    (void)state;
    given("at_least: 50");
    assert_int_equal(refused(49), 49);
    assert_int_equal(refused(1), 0);
    good(1000);
    assert_int_equal(refused(1), 1);
    done();
}
static void what_was_refused_is_forgotten_when_the_window_has_passed(void **state) {
    (void)state;
    given("{ window: 8s, at_least: 10 }");
    good(8);
    assert_int_equal(refused(50), 11);
    now += 7999; /* the window slides by an eighth: what came at its beginning is still in it */
    good(8);
    assert_int_equal(refused(1), 1);
    now += 1;
    good(40);
    assert_int_equal(refused(100), 28); /* of 149, one of them refused before */
    now += 3600 * 1000;
    assert_int_equal(guard.requests > 0, true);
    assert_int_equal(refused(9), 9); /* a fresh one */
    assert_int_equal(guard.requests, 9);
    done();
}
static void the_sums_are_those_of_the_slots_whatever_time_does(void **state) {
    (void)state;
    given("{ window: 800ms, at_least: 5, ratio: 50% }");
    uint64_t seed = 7;
    for (unsigned i = 0; i < 20000; i++) {
        seed = seed * 6364136223846793005u + 1442695040888963407u;
        unsigned r = (unsigned)(seed >> 40);
        now += r % 10 == 0 ? r % 2000 : r % 10 == 1 ? 100 : 0;
        bool wanted = r % 3 != 0, was = !guard_lets_through(&guard, &policy, wanted, at()) && wanted;
        uint32_t requests = 0, gone = 0;
        for (unsigned k = 0; k < GUARD_SLOTS; k++) requests += guard.slots[k].requests, gone += guard.slots[k].refused;
        assert_int_equal(requests, guard.requests);
        assert_int_equal(gone, guard.refused);
        if (was) assert_true(guard.requests < 5 || guard.refused * 2 <= guard.requests);
    }
    done();
}
static void a_ratio_of_all_or_nothing_is_meant_so(void **state) {
    (void)state;
    given("{ ratio: 100%, at_least: 1 }");
    assert_int_equal(refused(1000), 1000);
    done();
    given("{ ratio: 0%, at_least: 1 }");
    assert_int_equal(refused(1000), 0);
    done();
}
static void what_cannot_be_is_refused(void **state) {
    (void)state;
    REFUSED(guard_table, "ratio: 101%\n", "out of range");
    REFUSED(guard_table, "window: 1ms\n", "out of range");
    REFUSED(guard_table, "at_least: 0\n", "out of range");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_share_of_the_requests_is_refused_and_no_more),
        cmocka_unit_test(nothing_is_let_through_before_the_window_has_enough_to_say),
        cmocka_unit_test(what_was_refused_is_forgotten_when_the_window_has_passed),
        cmocka_unit_test(the_sums_are_those_of_the_slots_whatever_time_does),
        cmocka_unit_test(a_ratio_of_all_or_nothing_is_meant_so),
        cmocka_unit_test(what_cannot_be_is_refused),
    };
    return cmocka_run_group_tests_name("guard", tests, NULL, NULL);
}
