// SPDX-License-Identifier: Apache-2.0
// Slices: what is too long to stand in the header. Everything that reads a list or a number from a peer reads it here, so that all
// protocols agree on what is a blank, a digit and an element.
#include "core/str.h"
#include <limits.h>

static bool is_ows(char c) { return c == ' ' || c == '\t'; }

static char dashed(char b) { return b == '_' ? '-' : b; }
bool str_is_alike(struct str a, struct str b) {
    if (a.n != b.n) return false;
    for (size_t i = 0; i < a.n; i++)
        if (dashed(a.p[i]) != dashed(b.p[i])) return false;
    return true;
}

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

static uint64_t up_to_eight(const char *p, size_t n) {
    uint64_t v = 0;
    uint32_t first, last;
    if (n >= 8) {
        memcpy(&v, p, 8);
    } else if (n >= 4) {
        memcpy(&first, p, 4);
        memcpy(&last, p + n - 4, 4);
        v = (uint64_t)first << 32 | last;
    } else if (n > 0) {
        v = (uint64_t)(unsigned char)p[0] << 16 | (uint64_t)(unsigned char)p[n / 2] << 8 | (unsigned char)p[n - 1];
    }
    return v | UINT64_C(0x2020202020202020); /* without the case of letters */
}

/* Both halves of a product: each bit of either factor moves all of it. The constants are odd and without a pattern. */
uint32_t name_hash(struct str name) {
    uint64_t head = up_to_eight(name.p, name.n), tail = name.n > 8 ? up_to_eight(name.p + name.n - 8, 8) : 0;
    unsigned __int128 h = (unsigned __int128)(head ^ UINT64_C(0x9e3779b97f4a7c15)) * (tail ^ name.n ^ UINT64_C(0xc2b2ae3d27d4eb4f));
    uint64_t folded = (uint64_t)h ^ (uint64_t)(h >> 64);
    return (uint32_t)(folded ^ folded >> 32);
}

size_t str_utf8(struct str s) {
    const unsigned char *p = (const unsigned char *)s.p;
    if (p[0] < 0x80) return 1;
    size_t len = p[0] >= 0xc2 && p[0] <= 0xdf ? 2 : (p[0] & 0xf0) == 0xe0 ? 3 : p[0] >= 0xf0 && p[0] <= 0xf4 ? 4 : 0;
    if (len == 0 || len > s.n) return 0;
    unsigned char low = p[0] == 0xe0 ? 0xa0 : p[0] == 0xf0 ? 0x90 : 0x80, high = p[0] == 0xed ? 0x9f : p[0] == 0xf4 ? 0x8f : 0xbf;
    if (p[1] < low || p[1] > high) return 0;
    for (size_t i = 2; i < len; i++)
        if ((p[i] & 0xc0) != 0x80) return 0;
    return len;
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
