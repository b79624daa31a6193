// SPDX-License-Identifier: Apache-2.0
// Ids from random numbers: see random.h.
#include "core/random.h"
#include <assert.h>

void random_hex(uint64_t *state, char *out, size_t n) {
    static const char digits[] = "0123456789abcdef";
    assert(n > 0 && n <= 64);
    uint64_t some = 0;
    for (size_t i = 0; i < n;) {
        uint64_t bits = random_next(state);
        for (size_t k = 0; k < 16 && i < n; k++, i++, bits >>= 4) {
            out[i] = digits[bits & 15];
            some |= bits & 15;
        }
    }
    if (!some) out[n - 1] = '1';
}
