// SPDX-License-Identifier: Apache-2.0
// A slice of bytes that somebody else owns. Passed by value; never NUL-terminated by promise; the owner is named where one is stored.
#ifndef CURFEW_CORE_STR_H
#define CURFEW_CORE_STR_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <strings.h>

struct str {
    const char *p; /* borrowed; may be NULL where n is 0 */
    size_t n;
};

/* A literal as a slice. As an initialiser of static data: STR_INIT. */
#define STR(literal) ((struct str){ (literal), sizeof(literal) - 1 })
#define STR_INIT(literal) { (literal), sizeof(literal) - 1 }
/* For printf: "%.*s", STR_ARG(s). */
#define STR_ARG(s) (int)(s).n, (s).p

static inline struct str str_of(const char *z) { return (struct str){ z, z ? strlen(z) : 0 }; }
static inline bool str_is_empty(struct str s) { return s.n == 0; }
static inline bool str_eq(struct str a, struct str b) { return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0); }
/* ASCII case is folded; no locale. */
static inline bool str_eq_nocase(struct str a, struct str b) {
    return a.n == b.n && (a.n == 0 || strncasecmp(a.p, b.p, a.n) == 0);
}
static inline bool str_starts(struct str s, struct str prefix) {
    return s.n >= prefix.n && (prefix.n == 0 || memcmp(s.p, prefix.p, prefix.n) == 0);
}
static inline struct str str_from(struct str s, size_t at) { /* the rest after `at` bytes; at <= s.n */
    return (struct str){ at ? s.p + at : s.p, s.n - at }; /* NULL + 0 is undefined */
}
static inline struct str str_first(struct str s, size_t n) { /* the first n bytes; n <= s.n */
    return (struct str){ s.p, n };
}

/* Index of the first c, or s.n. */
static inline size_t str_index(struct str s, char c) {
    const void *at = s.n ? memchr(s.p, c, s.n) : NULL;
    return at ? (size_t)((const char *)at - s.p) : s.n;
}

/* Are they one name to whoever takes _ for -? CGI and its heirs (WSGI, Rack, PHP) make HTTP_X_USER of x-user and of x_user alike. */
bool str_is_alike(struct str a, struct str b);

/* Without leading and trailing SP and HTAB (RFC 9110 5.6.3: OWS). */
struct str str_trim(struct str s);

/* Cuts the next element off *rest at `sep`, trimmed of OWS. False once *rest is used up (then rest->p is NULL); empty elements are given, also
 * after a last `sep`; "" is one empty element, a NULL slice none. */
bool str_split(struct str *rest, char sep, struct str *element);

/* True where `list`, a comma-separated list, has `token` (ASCII case folded). RFC 9110 5.6.1. */
bool str_list_has(struct str list, struct str token);

/* All of s as decimal digits. False where s is empty or has another byte; a value over UINT64_MAX saturates. */
bool str_to_u64(struct str s, uint64_t *out);

/* How many bytes the character has that s, which is not empty, begins with in UTF-8; 0: that is none. RFC 3629 4: no overlong form, no surrogate,
 * nothing above U+10FFFF. */
size_t str_utf8(struct str s);

/* The 32-bit hash of a field name, whatever its case: of its length and its first and last eight bytes, so that it costs the same for all. Names
 * that share these are told apart by comparing; nothing may be kept by hash alone. */
uint32_t name_hash(struct str name);

/* Edit distance of two short words (at most 64 bytes; longer ones are far away), for "did you mean". */
unsigned str_distance(struct str a, struct str b);
#endif
