// SPDX-License-Identifier: Apache-2.0
// Slices: what is too long to stand in the header. Everything that reads a list or a number from a peer reads it here, so that all
// protocols agree on what is a blank, a digit and an element.
#include "core/str.h"
#include <limits.h>

static bool is_ows(char c) { return c == ' ' || c == '\t'; }

struct str str_trim(struct str s) {
    while (s.n && is_ows(s.p[0])) s = str_from(s, 1);
    while (s.n && is_ows(s.p[s.n - 1])) s.n--;
    return s;
}

bool str_split(struct str *rest, char sep, struct str *element) {
    if (!rest->p) return false;
    size_t at = str_index(*rest, sep);
    *element = str_trim(str_first(*rest, at));
    *rest = at < rest->n ? str_from(*rest, at + 1) : (struct str){ 0 };
    return true;
}

bool str_list_has(struct str list, struct str token) {
    struct str element;
    while (str_split(&list, ',', &element))
        if (element.n && str_eq_nocase(element, token)) return true;
    return false;
}

bool str_to_u64(struct str s, uint64_t *out) {
    if (str_is_empty(s)) return false;
    uint64_t v = 0;
    for (size_t i = 0; i < s.n; i++) {
        unsigned digit = (unsigned)(unsigned char)s.p[i] - '0';
        if (digit > 9) return false;
        if (__builtin_mul_overflow(v, 10u, &v) || __builtin_add_overflow(v, digit, &v)) v = UINT64_MAX;
    }
    *out = v;
    return true;
}

uint32_t name_hash(struct str name) {
    uint32_t h = NAME_HASH_SEED;
    for (size_t i = 0; i < name.n; i++) {
        unsigned char c = (unsigned char)name.p[i];
        h = name_hash_byte(h, c >= 'A' && c <= 'Z' ? (unsigned char)(c | 0x20) : c);
    }
    return h;
}

/* Levenshtein, one row: row[j] is the distance of a's first i bytes to b's first j. */
unsigned str_distance(struct str a, struct str b) {
    enum { WORD = 64 };
    if (a.n > WORD || b.n > WORD) return UINT_MAX;
    unsigned row[WORD + 1];
    for (unsigned j = 0; j <= b.n; j++) row[j] = j;
    for (unsigned i = 1; i <= a.n; i++) {
        unsigned diagonal = row[0];
        row[0] = i;
        for (unsigned j = 1; j <= b.n; j++) {
            unsigned best = diagonal + (a.p[i - 1] != b.p[j - 1]);
            if (row[j] + 1 < best) best = row[j] + 1;
            if (row[j - 1] + 1 < best) best = row[j - 1] + 1;
            diagonal = row[j];
            row[j] = best;
        }
    }
    return row[b.n];
}
