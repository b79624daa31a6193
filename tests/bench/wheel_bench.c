// SPDX-License-Identifier: Apache-2.0
// What a deadline costs: ns to arm, to disarm and to fire one, while a million are armed; what an idle and a busy advance cost, and the
// longest of them. Memory is touched in random order, as requests end in random order. Prints a table; reads the clock only around runs.
//   gcc -O2 -I. tests/bench/wheel_bench.c core/*.c && ./a.out
#include "core/arena.h"
#include "core/wheel.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { MILLION = 1000000, LONGEST_MS = 30000 };
struct request { /* as far apart as exchanges are */
    char before[192];
    struct timer timer;
    char after[192];
};
static struct request *requests;
static uint32_t *order;
static struct wheel wheel;
static size_t fired;

static void on_fire(struct timer *t, instant now) {
    (void)t;
    (void)now;
    fired++;
}
static int64_t clock_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * NS_PER_S + t.tv_nsec;
}
static void report(const char *what, int64_t ns, size_t n) {
    printf("%-58s %8.1f ns\n", what, (double)ns / (double)n);
}
static uint32_t random_below(uint32_t n) {
    static uint64_t s = 88172645463325252u;
    s ^= s << 13;
    s ^= s >> 7;
    s ^= s << 17;
    return (uint32_t)(s >> 32) % n;
}
static instant some_deadline(instant now) { return instant_add(now, span_us(1000 + random_below(LONGEST_MS * 1000))); }

static void shuffle(void) {
    for (uint32_t i = MILLION - 1; i > 0; i--) {
        uint32_t j = random_below(i + 1), x = order[i];
        order[i] = order[j];
        order[j] = x;
    }
}
static void arm_all(instant now, const char *what) {
    int64_t from = clock_ns();
    for (size_t i = 0; i < MILLION; i++) wheel_arm(&wheel, &requests[order[i]].timer, some_deadline(now));
    if (what) report(what, clock_ns() - from, MILLION);
}
static void disarm_all(const char *what) {
    int64_t from = clock_ns();
    for (size_t i = 0; i < MILLION; i++) wheel_disarm(&wheel, &requests[order[i]].timer);
    report(what, clock_ns() - from, MILLION);
}
/* A usual request: its deadline is armed and disarmed while a million others wait. */
static void pass_through(instant now) {
    static struct request mine;
    mine.timer.fire = on_fire;
    int64_t from = clock_ns();
    for (size_t i = 0; i < MILLION; i++) {
        wheel_arm(&wheel, &mine.timer, some_deadline(now));
        wheel_disarm(&wheel, &mine.timer);
    }
    report("arm and disarm one, memory warm, a million armed", clock_ns() - from, MILLION);
}
static void advance_idle(instant now) {
    int64_t from = clock_ns();
    for (size_t i = 0; i < MILLION; i++) {
        wheel_advance(&wheel, now);
        __asm__ volatile("" : : "r"(wheel_next(&wheel).ns) : "memory");
    }
    report("advance within the tick, and next, a million armed", clock_ns() - from, MILLION);
}
static void fire_all(instant now) {
    int64_t total = 0, worst = 0;
    size_t ticks = 0;
    for (fired = 0; wheel.armed; ticks++) {
        now = instant_add(now, span_ms(1));
        int64_t from = clock_ns();
        wheel_advance(&wheel, now);
        int64_t took = clock_ns() - from;
        total += took;
        if (took > worst) worst = took;
    }
    report("fire one of a million, a millisecond at a time", total, fired);
    report("a millisecond's advance, 33 timers each", total, ticks);
    printf("%-58s %8.1f ms\n", "the longest advance (a level dealt out)", (double)worst / 1e6);
}
static void fire_after_a_sleep(instant now) {
    arm_all(now, NULL);
    fired = 0;
    int64_t from = clock_ns();
    wheel_advance(&wheel, instant_add(now, span_s(86400)));
    report("fire one of a million, all after a day's sleep", clock_ns() - from, fired);
}

int main(void) {
    instant now = { 1234567 * NS_PER_MS };
    requests = mem_zalloc(MILLION * sizeof *requests);
    order = mem_zalloc(MILLION * sizeof *order);
    for (uint32_t i = 0; i < MILLION; i++) {
        order[i] = i;
        requests[i].timer.fire = on_fire;
    }
    wheel_init(&wheel, now);
    arm_all(now, "arm a million, memory in order");
    shuffle();
    disarm_all("disarm a million, at random");
    arm_all(now, "arm a million, at random");
    pass_through(now);
    advance_idle(now);
    fire_all(now);
    fire_after_a_sleep(instant_add(now, span_s(60)));
    free(order);
    free(requests);
}
