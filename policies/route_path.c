// SPDX-License-Identifier: Apache-2.0
// Paths in normal form (RFC 3986 6.2.2), so that a route that guards /admin guards it under every spelling.
//   - escapes of unreserved characters are resolved, all others keep their escape, in upper case: %2F is no separator, %25 stays (idempotence)
//   - dot segments are resolved; a path that climbs over its root is refused, where RFC 3986 would drop the surplus
//   - empty segments are kept and are matched literally: //admin is not /admin, here and for whoever reads it next
//   - refused: a bad escape, %00, a raw backslash (some servers take it for a slash), '#', blanks and control characters
// The usual path has nothing of it and is not copied.
#include "policies/route.h"

enum byte_class { PLAIN, DOT, PERCENT, REFUSED };
static const uint8_t class_of[256] = {
    [0 ... 0x20] = REFUSED, [0x7f] = REFUSED, ['\\'] = REFUSED, ['#'] = REFUSED, ['.'] = DOT, ['%'] = PERCENT,
};
static const uint8_t unreserved[256] = {
    ['A' ... 'Z'] = 1, ['a' ... 'z'] = 1, ['0' ... '9'] = 1, ['-'] = 1, ['.'] = 1, ['_'] = 1, ['~'] = 1,
};

static int hex(char c) {
    if (c >= '0' && c <= '9') return c - '0';
    char lower = (char)(c | 0x20);
    return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

/* The byte that the escape at p stands for, or -1. */
static int escaped(const char *p, size_t n) {
    if (n < 3) return -1;
    int hi = hex(p[1]), lo = hex(p[2]);
    return hi < 0 || lo < 0 ? -1 : hi << 4 | lo;
}

/* Copies with escapes in normal form; out has room for all of it. False: bad. */
static bool resolve_escapes(struct str in, char *out, size_t *outn) {
    static const char digits[] = "0123456789ABCDEF";
    size_t n = 0;
    for (size_t i = 0; i < in.n; i++) {
        uint8_t class = class_of[(unsigned char)in.p[i]];
        if (class == REFUSED) return false;
        if (class != PERCENT) {
            out[n++] = in.p[i];
            continue;
        }
        int byte = escaped(in.p + i, in.n - i);
        if (byte <= 0) return false;
        i += 2;
        if (unreserved[byte]) {
            out[n++] = (char)byte;
        } else {
            out[n++] = '%';
            out[n++] = digits[byte >> 4];
            out[n++] = digits[byte & 15];
        }
    }
    *outn = n;
    return true;
}

/* RFC 3986 5.2.4, in place. p begins with a slash. False where the path climbs over its root. */
static bool resolve_dots(char *p, size_t *pn) {
    size_t n = *pn, out = 0;
    for (size_t at = 0; at < n;) {
        size_t len = 1 + str_index((struct str){ p + at + 1, n - at - 1 }, '/'); /* of "/segment" */
        bool last = at + len == n, dot = len == 2 && p[at + 1] == '.', dots = len == 3 && p[at + 1] == '.' && p[at + 2] == '.';
        if (dots) {
            if (out == 0) return false;
            while (p[--out] != '/') {}
        } else if (!dot) {
            memmove(p + out, p + at, len);
            out += len;
        }
        if ((dot || dots) && last) p[out++] = '/';
        at += len;
    }
    *pn = out;
    return true;
}

/* What a look at each byte says of a path: refused, plain, or to be rewritten. */
static enum { LOOK_PLAIN, LOOK_REWRITE, LOOK_BAD } look(struct str path) {
    if (!path.n || path.p[0] != '/') return LOOK_BAD;
    bool rewrite = false;
    for (size_t i = 1; i < path.n; i++) {
        uint8_t class = class_of[(unsigned char)path.p[i]];
        if (__builtin_expect(class == PLAIN, 1)) continue;
        if (class == REFUSED) return LOOK_BAD;
        rewrite |= class == PERCENT || path.p[i - 1] == '/';
    }
    return rewrite ? LOOK_REWRITE : LOOK_PLAIN;
}

bool route_normalise(struct arena *a, struct str path, struct str *out) {
    *out = path;
    switch (look(path)) {
    case LOOK_BAD: return false;
    case LOOK_PLAIN: return true;
    case LOOK_REWRITE: break;
    }
    char *p = arena_bytes(a, path.n);
    size_t n;
    if (!resolve_escapes(path, p, &n) || !resolve_dots(p, &n)) return false;
    struct str made = { p, n };
    if (!str_eq(made, path)) *out = made; /* an escape that stays as it was is no change: the target goes on as it came */
    return true;
}

bool path_has_dot_segment(struct str target) {
    struct str path = str_first(target, str_index(target, '?'));
    size_t dots = 0;
    bool only = true; /* the segment has nothing else so far */
    for (size_t i = 0; i < path.n; i++) {
        int byte = path.p[i] == '%' ? escaped(path.p + i, path.n - i) : path.p[i];
        if (path.p[i] == '%' && byte >= 0) i += 2;
        if (byte == '/' || byte == '\\' || byte == ';') {
            if (only && (dots == 1 || dots == 2)) return true;
            only = byte != ';';
            dots = 0;
        } else {
            only = only && byte == '.';
            dots++;
        }
    }
    return only && (dots == 1 || dots == 2);
}
