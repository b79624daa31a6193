// SPDX-License-Identifier: Apache-2.0
// The queue of an upstream: whoever comes and leaves in whatever order, the first is always who has the least time.
// clang-format off
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
// clang-format on
#include "core/random.h"
#include "proxy/places.h"

#define MANY 500
static struct place place[MANY];

static void by_deadline_and_among_equals_by_their_coming(void **state) {
    (void)state;
    static const int64_t deadlines[] = { 50, 10, 30, 10, INT64_MAX, 30, 10, INT64_MAX };
    static const int expected[] = { 1, 3, 6, 2, 5, 0, 4, 7 };
    struct places q = { 0 };
    for (int i = 0; i < 8; i++) {
        place[i] = (struct place){ .deadline = { deadlines[i] } };
        places_add(&q, &place[i]);
    }
    for (int i = 0; i < 8; i++) {
        assert_ptr_equal(q.v[0], &place[expected[i]]);
        places_remove(&q, q.v[0]);
        assert_int_equal(place[expected[i]].slot, 0);
    }
    places_free(&q);
}
static struct place *first_of(bool *in) {
    struct place *first = NULL;
    for (int i = 0; i < MANY; i++) {
        struct place *p = &place[i];
        if (in[i] && (!first || p->deadline.ns < first->deadline.ns || (p->deadline.ns == first->deadline.ns && p->order < first->order))) first = p;
    }
    return first;
}
static void who_leaves_from_the_middle_changes_nobody_elses_turn(void **state) {
    (void)state;
    uint64_t chance = 7;
    bool in[MANY] = { false };
    struct places q = { 0 };
    for (int round = 0; round < 20000; round++) {
        size_t i = random_next(&chance) % MANY;
        if (in[i]) {
            places_remove(&q, &place[i]);
        } else {
            place[i] = (struct place){ .deadline = { (int64_t)(random_next(&chance) % 40) } };
            places_add(&q, &place[i]);
        }
        in[i] = !in[i];
        assert_int_equal(place[i].slot != 0, in[i]);
        if (q.n) assert_ptr_equal(q.v[0], first_of(in));
        else assert_null(first_of(in));
    }
    while (q.n) places_remove(&q, q.v[q.n / 2]);
    places_free(&q);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(by_deadline_and_among_equals_by_their_coming),
        cmocka_unit_test(who_leaves_from_the_middle_changes_nobody_elses_turn),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
