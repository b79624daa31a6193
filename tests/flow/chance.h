// SPDX-License-Identifier: Apache-2.0
// What the random flows draw: numbers that a seed repeats, and policies of further attempts, put together anew each round.
#ifndef CURFEW_TESTS_FLOW_CHANCE_H
#define CURFEW_TESTS_FLOW_CHANCE_H
#include "core/random.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

static uint64_t seed, playing;
static inline uint64_t draw(void) { return random_next(&seed); }
static inline size_t below(size_t n) { return (size_t)(draw() % n); }
static inline bool chance(size_t one_in) { return below(one_in) == 0; }
#define PICK(list) ((list)[below(sizeof(list) / sizeof *(list))])

/* Retries and hedges of all kinds, with whatever ends or bounds them; good until the next call. */
static inline const char *policy_of_attempts(void) {
    static const char *const when[] = { "413", "413, 503, upstream_closed, upstream_reset", "upstream_closed, upstream_reset, refused_stream, try_timeout",
                                        "413, connect_failure, connect_timeout, try_timeout, upstream_closed, upstream_error, upstream_idle, refused_stream" };
    static const char *const backoffs[] = { "0s", "0s", "1ms", "20ms", "1s" };
    static const char *const hedges_after[] = { "", "", ", hedge: { after: 1ms, max: 5 }", ", hedge: { after: 10ms, max: 2 }", ", hedge: { after: 50ms }" };
    static const char *const buffers[] = { "0", "1KiB", "20000", "64KiB", "1MiB" };
    static const char *const budgets[] = { "100%", "20%", "{ ratio: 0%, floor: 1 }", "{ ratio: 50%, floor: 0 }" };
    static const char *const deadlines[] = { "", "", "default: 300ms", "per_try: 60ms", "per_try: 100ms, default: 2s", "idle: 200ms, streaming: { idle: 300ms }",
                                             "mode: observe, per_try: 60ms", "mode: disabled", "needs: 5ms" };
    static const char *const cancels[] = { "", "", "client_gone: ignore", "client_gone: drain", "http1: [ drain ], http2: [ drain ]", "http1: [ none ], http2: [ none ]",
                                           "http1: [ call, close ], http2: [ reset, call ], call: { path: /x }", "mode: observe", "mode: disabled" };
    static char text[1024];
    snprintf(text, sizeof text, "retry: { retries: %zu, when: [ %s ], methods: [ GET, HEAD, PUT%s ], backoff: { base: %s }, buffer: %s, budget: %s%s }, "
             "deadline: { %s }, cancel: { drain_limit: { time: 200ms, bytes: 10KiB }, %s }", below(5), PICK(when), chance(2) ? ", POST" : "", PICK(backoffs),
             PICK(buffers), PICK(budgets), PICK(hedges_after), PICK(deadlines), PICK(cancels));
    return text;
}
#endif
