// SPDX-License-Identifier: Apache-2.0
// Chance for unit tests of properties: another seed each run, which a failure tells and SEED=n repeats. Included behind <cmocka.h>.
#ifndef CURFEW_TESTS_UNIT_SEED_H
#define CURFEW_TESTS_UNIT_SEED_H
#include "core/random.h"
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

static uint64_t seed;
static inline uint64_t next_random(void) { return random_next(&seed); }
/* At the beginning of a test; returns the seed. */
static inline uint64_t begin_random(void) {
    const char *said = getenv("SEED");
    seed = said ? strtoull(said, NULL, 0) : (uint64_t)time(NULL) * 1000003u + (uint64_t)getpid();
    print_message("SEED=0x%llx\n", (unsigned long long)seed);
    return seed;
}
#endif
