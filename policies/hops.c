// SPDX-License-Identifier: Apache-2.0
// TRACE, OPTIONS and Max-Forwards: see hops.h.
#include "policies/hops.h"
#include "core/ending.h"
#include <assert.h>

/* RFC 9110 7.6.2: Max-Forwards = 1*DIGIT. One beyond what fits counts as the greatest, as it may ("the recipient's maximum supported value"). */
static bool read_count(const struct head *h, uint64_t *left) {
    const struct field *f = head_find(h, TOKEN_MAX_FORWARDS);
    *left = UINT64_MAX;
    return !f || (str_to_u64(f->value, left) && !head_find_name(h, token_name(TOKEN_MAX_FORWARDS), f));
}

const struct fault *hops_fault(const struct head *h, const struct route *r) {
    static const struct fault malformed = { .why = ENDING_CLIENT_ERROR, .status = 400, .say = "Max-Forwards is no number, or is repeated" },
                              unnamed = { .why = ENDING_NO_ROUTE, .status = 405, .say = "TRACE goes where the methods of a route name it" },
                              last = { .why = ENDING_NO_ROUTE, .status = 405, .say = "TRACE ends here, and nothing is reflected" };
    uint64_t left;
    if (!hops_count(h)) return NULL;
    bool trace = str_eq(h->method, STR("TRACE"));
    if (trace && !route_names_method(r, h->method)) return &unnamed;
    if (!read_count(h, &left)) return &malformed;
    return trace && left == 0 ? &last : NULL;
}

bool hops_end(const struct head *h) {
    uint64_t left;
    return hops_count(h) && read_count(h, &left) && left == 0;
}

void hops_tell(struct head *up) {
    struct field *f = hops_count(up) ? head_find(up, TOKEN_MAX_FORWARDS) : NULL;
    uint64_t left;
    if (!f) return;
    bool good = read_count(up, &left) && left > 0;
    assert(good);
    f->value = arena_printf(up->arena, "%llu", (unsigned long long)left - 1);
}
