// SPDX-License-Identifier: Apache-2.0
// The table of endings, printed from ending.def. It decides nothing.
#include "core/ending.h"
#include <assert.h>

const struct ending_row ending_rows[ENDINGS] = {
    [ENDING_NONE] = { .name = "none", .sentence = "it has not ended" },
#define ENDING(C, n, who, status, code, word, up, text)                                                                   \
    [ENDING_##C] = { .name = n, .sentence = text, .http = status, .grpc = code, .reset = RESET_##word, .side = ENDING_SIDE_##who, \
                     .upstream = ENDING_UP_##up },
#include "core/ending.def"
#undef ENDING
};
static_assert(ENDINGS < 64, "a set of endings fits a word");

enum ending ending_by_name(struct str name) {
    for (enum ending e = ENDING_NONE + 1; e < ENDINGS; e++)
        if (str_eq(name, str_of(ending_rows[e].name))) return e;
    return ENDING_NONE;
}
