// SPDX-License-Identifier: Apache-2.0
// Numbers that need only differ: for jitter, where clients and workers must not move in step, and for ids. Never for secrets. The state is the
// owner's, so that a test that owns it knows what comes.
#ifndef CURFEW_CORE_RANDOM_H
#define CURFEW_CORE_RANDOM_H
#include <stddef.h>
#include <stdint.h>

/* splitmix64: any state is a good one. */
static inline uint64_t random_next(uint64_t *state) {
    uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}
/* n lower-case hexadecimal digits, not all of them 0; n <= 64. No NUL. */
void random_hex(uint64_t *state, char *out, size_t n);
#endif
