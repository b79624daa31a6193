// SPDX-License-Identifier: Apache-2.0
// The wheel, by hand where a rule has a name, and against a sorted array where it has none. Time is a number here.
#include "core/wheel.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#define MS(n) ((instant){ (n) * NS_PER_MS })
#define NS(n) ((instant){ (n) })

enum { LOG = 64 };
static struct fired { struct timer *t; instant now; } fired[LOG];
static size_t nfired;
static struct wheel wheel;

static void note(struct timer *t, instant now) {
    assert_false(timer_is_armed(t));
    if (nfired < LOG) fired[nfired] = (struct fired){ t, now };
    nfired++;
}
static struct timer *set(struct timer *t, instant at) {
    t->fire = t->fire ? t->fire : note;
    wheel_arm(&wheel, t, at);
    wheel_validate(&wheel);
    return t;
}
static size_t advance(instant now) {
    size_t n = wheel_advance(&wheel, now);
    wheel_validate(&wheel);
    return n;
}
static int begin(void **state) {
    (void)state;
    nfired = 0;
    wheel_init(&wheel, MS(1000));
    return 0;
}

static void an_empty_wheel_has_nothing_next(void **state) {
    (void)state;
    wheel_validate(&wheel);
    assert_true(instant_is_never(wheel_next(&wheel)));
    assert_int_equal(advance(MS(900000)), 0);
    assert_true(instant_is_never(wheel_next(&wheel)));
}

static void a_timer_fires_at_its_tick_and_never_before(void **state) {
    (void)state;
    struct timer t = { 0 };
    set(&t, MS(1010));
    assert_int_equal(advance(NS(1010 * NS_PER_MS - 1)), 0);
    assert_true(timer_is_armed(&t));
    assert_int_equal(advance(MS(1010)), 1);
    assert_int_equal(fired[0].now.ns, MS(1010).ns);
    assert_int_equal(wheel.armed, 0);
    assert_int_equal(advance(MS(2000)), 0);
}

static void an_instant_between_ticks_waits_for_the_next_one(void **state) {
    (void)state;
    struct timer t = { 0 };
    set(&t, NS(1010 * NS_PER_MS + 1));
    assert_int_equal(wheel_next(&wheel).ns, MS(1011).ns);
    assert_int_equal(advance(NS(1010 * NS_PER_MS + 2)), 0);
    assert_int_equal(advance(MS(1011)), 1);
}

static void an_instant_that_passed_fires_with_the_next_advance_of_the_same_now(void **state) {
    (void)state;
    struct timer past = { 0 }, present = { 0 }, negative = { 0 };
    set(&past, MS(3));
    set(&present, MS(1000));
    set(&negative, NS(-5));
    assert_int_equal(wheel_next(&wheel).ns, MS(1000).ns);
    assert_int_equal(advance(MS(1000)), 3);
    assert_ptr_equal(fired[0].t, &past);
    assert_ptr_equal(fired[1].t, &present);
    assert_ptr_equal(fired[2].t, &negative);
}

static void a_clock_that_steps_back_fires_only_what_had_passed(void **state) {
    (void)state;
    struct timer soon = { 0 }, passed = { 0 };
    set(&soon, MS(1001));
    set(&passed, MS(999));
    assert_int_equal(advance(MS(10)), 1);
    assert_int_equal(wheel.tick, 1000);
    assert_int_equal(advance(MS(1001)), 1);
}

static void never_disarms(void **state) {
    (void)state;
    struct timer t = { 0 };
    set(&t, MS(1005));
    set(&t, INSTANT_NEVER);
    assert_false(timer_is_armed(&t));
    assert_int_equal(wheel.armed, 0);
    assert_true(instant_is_never(wheel_next(&wheel)));
}

static void disarming_is_idempotent_and_takes_zeroed_timers(void **state) {
    (void)state;
    struct timer zeroed = { 0 }, t = { 0 };
    wheel_disarm(&wheel, &zeroed);
    set(&t, MS(1005));
    wheel_disarm(&wheel, &t);
    wheel_disarm(&wheel, &t);
    wheel_validate(&wheel);
    assert_int_equal(wheel.armed, 0);
    assert_int_equal(advance(MS(5000)), 0);
}

static void arming_again_moves_it(void **state) {
    (void)state;
    struct timer t = { 0 };
    set(&t, MS(1005));
    set(&t, MS(90000));
    set(&t, MS(1300));
    assert_int_equal(wheel.armed, 1);
    assert_int_equal(advance(MS(1299)), 0);
    assert_int_equal(advance(MS(1300)), 1);
}

static void ticks_fire_in_order_and_a_tick_in_the_order_of_arming(void **state) {
    (void)state;
    struct timer t[6] = { 0 };
    set(&t[0], MS(70000));
    set(&t[1], MS(1002));
    set(&t[2], MS(5000));
    set(&t[3], NS(1001 * NS_PER_MS + 1));
    set(&t[4], MS(1001));
    set(&t[5], MS(999));
    assert_int_equal(advance(MS(100000)), 6);
    struct timer *order[] = { &t[5], &t[4], &t[1], &t[3], &t[2], &t[0] };
    for (size_t i = 0; i < 6; i++) assert_ptr_equal(fired[i].t, order[i]);
}

static void next_is_exact_on_every_level(void **state) {
    (void)state;
    struct timer t = { 0 };
    int64_t far = 1;
    for (int i = 0; i < 43; i++, far *= 2)
        for (int64_t d = -1; d <= 1; d++) {
            if (far + d <= 0) continue;
            wheel_init(&wheel, MS(0));
            set(&t, MS(far + d));
            assert_int_equal(wheel_next(&wheel).ns, MS(far + d).ns);
            assert_int_equal(advance(NS(MS(far + d).ns - 1)), 0);
            assert_int_equal(wheel_next(&wheel).ns, MS(far + d).ns);
            assert_int_equal(advance(MS(far + d)), 1);
        }
}

static void next_after_the_first_was_disarmed_may_be_early_but_not_late(void **state) {
    (void)state;
    struct timer a = { 0 }, b = { 0 };
    set(&a, MS(5000));
    set(&b, MS(5050));
    wheel_disarm(&wheel, &a);
    instant next = wheel_next(&wheel);
    assert_true(next.ns <= MS(5050).ns);
    assert_int_equal(advance(next), 0);
    assert_int_equal(wheel_next(&wheel).ns, MS(5050).ns);
}

static void the_end_of_time_is_an_instant_like_others(void **state) {
    (void)state;
    struct timer t = { 0 };
    set(&t, NS(INT64_MAX - 1));
    assert_true(timer_is_armed(&t));
    assert_int_equal(advance(NS(INT64_MAX / 2)), 0);
    assert_int_equal(advance(NS((INT64_MAX - 1) / NS_PER_MS * NS_PER_MS)), 0);
    assert_true(timer_is_armed(&t));
    wheel_disarm(&wheel, &t);
}

static void a_long_sleep_costs_by_timers_not_by_ticks(void **state) {
    (void)state;
    struct timer t = { 0 };
    int64_t year = INT64_C(365) * 24 * 3600 * 1000;
    set(&t, MS(1000 + year));
    for (int64_t i = 1; i < 100; i++) { /* a hundred years; tick by tick this would take hours */
        assert_int_equal(advance(MS(1000 + i * year)), 1);
        set(&t, MS(1000 + (i + 1) * year));
    }
    wheel_disarm(&wheel, &t);
}

/* ---- what callbacks may do -------------------------------------------------------------------------------------------------------- */
static struct timer one, two, three;
static int rounds;

static void again_for_now(struct timer *t, instant now) {
    note(t, now);
    rounds++;
    wheel_arm(&wheel, t, now);
}
static void a_callback_that_arms_for_now_fires_once_an_advance(void **state) {
    (void)state;
    rounds = 0;
    one = (struct timer){ .fire = again_for_now };
    set(&one, MS(1001));
    assert_int_equal(advance(MS(1500)), 1);
    assert_int_equal(advance(MS(1500)), 1);
    assert_int_equal(advance(MS(1500)), 1);
    assert_int_equal(rounds, 3);
    assert_int_equal(wheel_next(&wheel).ns, MS(1500).ns);
    wheel_disarm(&wheel, &one);
}

static void again_after_its_own_instant(struct timer *t, instant now) {
    note(t, now);
    wheel_arm(&wheel, t, instant_add(t->at, span_ms(10)));
}
static void a_periodic_timer_that_is_behind_catches_up_one_advance_at_a_time(void **state) {
    (void)state;
    one = (struct timer){ .fire = again_after_its_own_instant };
    set(&one, MS(1010));
    assert_int_equal(advance(MS(1035)), 1);
    assert_int_equal(advance(MS(1035)), 1);
    assert_int_equal(advance(MS(1035)), 1);
    assert_int_equal(advance(MS(1035)), 0);
    assert_int_equal(wheel_next(&wheel).ns, MS(1040).ns);
    wheel_disarm(&wheel, &one);
}

static void disarm_two_move_three(struct timer *t, instant now) {
    note(t, now);
    wheel_validate(&wheel);
    assert_true(timer_is_armed(&two) && timer_is_armed(&three));
    wheel_disarm(&wheel, t);
    wheel_disarm(&wheel, &two);
    wheel_arm(&wheel, &three, instant_add(now, span_ms(7)));
    wheel_validate(&wheel);
}
static void a_callback_disarms_the_next_in_line_and_moves_the_one_after(void **state) {
    (void)state;
    one = (struct timer){ .fire = disarm_two_move_three };
    two = three = (struct timer){ 0 };
    set(&one, MS(1001));
    set(&two, MS(1001));
    set(&three, MS(1002));
    assert_int_equal(advance(MS(1002)), 1);
    assert_false(timer_is_armed(&two));
    assert_int_equal(wheel_next(&wheel).ns, MS(1009).ns);
    assert_int_equal(advance(MS(1009)), 1);
    assert_ptr_equal(fired[1].t, &three);
}

/* ---- against a model --------------------------------------------------------------------------------------------------------------- */
enum { TIMERS = 400, STEPS = 20000 };
static struct modelled {
    struct timer t;
    bool armed, fresh; /* fresh: armed by a callback of this advance, which must not fire it */
} model[TIMERS];
static int64_t last_fired_tick;
static uint64_t seed;

static uint64_t random_bits(void) { /* xorshift64*: the same run every time */
    seed ^= seed >> 12;
    seed ^= seed << 25;
    seed ^= seed >> 27;
    return seed * UINT64_C(2685821657736338717);
}
/* Lengths of all magnitudes alike, from nanoseconds to decades. */
static int64_t random_length(unsigned bits) { return (int64_t)(random_bits() >> (64 - 1 - random_bits() % bits)); }

static int64_t ceil_tick(instant at) { return at.ns <= 0 ? 0 : (at.ns - 1) / NS_PER_MS + 1; }

static void model_arm(struct modelled *m, instant at) {
    wheel_arm(&wheel, &m->t, at);
    m->armed = !instant_is_never(at);
    assert_true(timer_is_armed(&m->t) == m->armed);
}
static void model_fire(struct timer *t, instant now) {
    struct modelled *m = CONTAINER_OF(t, struct modelled, t);
    assert_true(m->armed && !m->fresh);
    assert_true(t->at.ns <= now.ns);
    assert_true(ceil_tick(t->at) <= now.ns / NS_PER_MS);
    if (ceil_tick(t->at) > last_fired_tick) last_fired_tick = ceil_tick(t->at);
    m->armed = false;
    if (random_bits() % 4 == 0) {
        m->fresh = true;
        model_arm(m, (instant){ now.ns + random_length(34) - random_length(34) });
    }
    if (random_bits() % 16 == 0) {
        struct modelled *other = &model[random_bits() % TIMERS];
        wheel_disarm(&wheel, &other->t);
        other->armed = other->fresh = false;
    }
}
static instant model_next(void) {
    instant next = INSTANT_NEVER;
    for (size_t i = 0; i < TIMERS; i++)
        if (model[i].armed) next = instant_min(next, model[i].t.at);
    return next;
}
static void model_check(instant now) {
    size_t armed = 0;
    for (size_t i = 0; i < TIMERS; i++) {
        armed += model[i].armed;
        assert_true(timer_is_armed(&model[i].t) == model[i].armed);
        assert_true(!model[i].armed || model[i].fresh || ceil_tick(model[i].t.at) > now.ns / NS_PER_MS);
        model[i].fresh = false;
    }
    assert_int_equal(wheel.armed, armed);
    wheel_validate(&wheel);
    instant next = model_next(), said = wheel_next(&wheel);
    assert_true(instant_is_never(said) == instant_is_never(next));
    if (instant_is_never(next)) return;
    int64_t may_fire = ceil_tick(next) > wheel.tick ? ceil_tick(next) : wheel.tick;
    assert_true(said.ns <= may_fire * NS_PER_MS);
}
static void model_step(instant *now) {
    for (uint64_t n = random_bits() % 8; n--;) {
        struct modelled *m = &model[random_bits() % TIMERS];
        if (random_bits() % 4 == 0) model_arm(m, INSTANT_NEVER);
        else model_arm(m, (instant){ now->ns + random_length(random_bits() % 8 ? 36 : 58) - random_length(24) });
    }
    instant next = wheel_next(&wheel);
    switch (random_bits() % 4) {
    case 0: now->ns += random_length(22); break;
    case 1: now->ns += random_length(34); break;
    case 2: now->ns += random_length(random_bits() % 64 ? 30 : 50); break;
    default: if (!instant_is_never(next) && instant_before(*now, next)) *now = next; break;
    }
    wheel_advance(&wheel, *now);
    model_check(*now);
}
static void no_timer_is_lost_early_or_late_against_a_model(void **state) {
    (void)state;
    for (uint64_t run = 1; run <= 5; run++) {
        seed = run * UINT64_C(0x9e3779b97f4a7c15);
        instant now = { random_length(50) };
        memset(model, 0, sizeof model);
        for (size_t i = 0; i < TIMERS; i++) model[i].t.fire = model_fire;
        wheel_init(&wheel, now);
        for (int i = 0; i < STEPS / 5; i++) model_step(&now);
        assert_true(last_fired_tick > 0);
        for (size_t i = 0; i < TIMERS; i++) wheel_disarm(&wheel, &model[i].t);
        wheel_validate(&wheel);
        assert_int_equal(wheel.armed, 0);
        assert_true(instant_is_never(wheel_next(&wheel)));
    }
}

static int64_t previous_tick;
static void in_order(struct timer *t, instant now) {
    (void)now;
    assert_true(ceil_tick(t->at) >= previous_tick);
    previous_tick = ceil_tick(t->at);
}
static void a_jump_over_every_level_fires_all_in_order_of_ticks(void **state) {
    (void)state;
    enum { MANY = 5000 };
    static struct timer many[MANY];
    seed = 42;
    previous_tick = 0;
    memset(many, 0, sizeof many);
    instant last = { 0 };
    for (size_t i = 0; i < MANY; i++) {
        many[i].fire = in_order;
        instant at = { MS(1000).ns + random_length(58) };
        if (instant_before(last, at)) last = at;
        wheel_arm(&wheel, &many[i], at);
    }
    wheel_validate(&wheel);
    assert_int_equal(advance((instant){ last.ns + NS_PER_MS }), MANY);
}

int main(void) {
#define T(f) cmocka_unit_test_setup(f, begin)
    const struct CMUnitTest tests[] = {
        T(an_empty_wheel_has_nothing_next),
        T(a_timer_fires_at_its_tick_and_never_before),
        T(an_instant_between_ticks_waits_for_the_next_one),
        T(an_instant_that_passed_fires_with_the_next_advance_of_the_same_now),
        T(a_clock_that_steps_back_fires_only_what_had_passed),
        T(never_disarms),
        T(disarming_is_idempotent_and_takes_zeroed_timers),
        T(arming_again_moves_it),
        T(ticks_fire_in_order_and_a_tick_in_the_order_of_arming),
        T(next_is_exact_on_every_level),
        T(next_after_the_first_was_disarmed_may_be_early_but_not_late),
        T(the_end_of_time_is_an_instant_like_others),
        T(a_long_sleep_costs_by_timers_not_by_ticks),
        T(a_callback_that_arms_for_now_fires_once_an_advance),
        T(a_periodic_timer_that_is_behind_catches_up_one_advance_at_a_time),
        T(a_callback_disarms_the_next_in_line_and_moves_the_one_after),
        T(no_timer_is_lost_early_or_late_against_a_model),
        T(a_jump_over_every_level_fires_all_in_order_of_ticks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
