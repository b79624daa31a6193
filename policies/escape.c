// SPDX-License-Identifier: Apache-2.0
// Values within other texts: see escape.h. Writers that there are already are used; here is the table of which text takes which.
#include "policies/escape.h"
#include "codecs/rpc_text.h"

/* ---- writers ---------------------------------------------------------------------------------------------------------------------------- */
static struct str as_it_is(struct arena *a, struct str s, bool encoded) {
    (void)a, (void)encoded;
    return s;
}
static bool is_unreserved(unsigned char b) { /* RFC 3986 2.3 */
    return (b >= 'a' && b <= 'z') || (b >= 'A' && b <= 'Z') || (b >= '0' && b <= '9') || b == '-' || b == '.' || b == '_' || b == '~';
}
static struct str percent(struct arena *a, struct str s, bool encoded) {
    static const char hex[] = "0123456789ABCDEF";
    char *to = arena_bytes(a, 3 * s.n);
    size_t n = 0;
    for (size_t i = 0; i < s.n; i++) {
        unsigned char b = (unsigned char)s.p[i];
        if (is_unreserved(b) || (encoded && b == '%')) {
            to[n++] = (char)b;
        } else {
            to[n++] = '%';
            to[n++] = hex[b >> 4];
            to[n++] = hex[b & 15];
        }
    }
    return (struct str){ to, n };
}
/* A capture is a segment as it stands: what it has besides the unreserved may be there (RFC 3986 3.3). */
static struct str segment(struct arena *a, struct str s, bool encoded) { return encoded ? s : percent(a, s, false); }
static struct str json(struct arena *a, struct str s, bool encoded) {
    (void)encoded;
    struct str quoted = json_quote(a, s);
    return (struct str){ quoted.p + 1, quoted.n - 2 };
}
/* XML 1.0 2.4. */
static struct str xml(struct arena *a, struct str s, bool encoded) {
    static const char *const entities[256] = { ['&'] = "&amp;", ['<'] = "&lt;", ['>'] = "&gt;", ['"'] = "&quot;", ['\''] = "&#39;" };
    (void)encoded;
    char *to = arena_bytes(a, 6 * s.n);
    size_t n = 0, len;
    for (size_t i = 0; i < s.n; i += len ? len : 1) {
        const char *entity = entities[(unsigned char)s.p[i]];
        len = str_utf8(str_from(s, i));
        struct str written = entity ? str_of(entity) : len ? (struct str){ s.p + i, len } : STR("\xef\xbf\xbd");
        memcpy(to + n, written.p, written.n);
        n += written.n;
    }
    return (struct str){ to, n };
}

/* ---- the table -------------------------------------------------------------------------------------------------------------------------- */
static const struct row {
    struct str types, suffix; /* media types, parted by blanks; a structured suffix (RFC 6839) */
    const char *begins;       /* with one of these */
    struct str (*write)(struct arena *a, struct str s, bool encoded);
} rows[ESCAPES] = {
    [ESCAPE_NONE] = { .begins = "", .write = as_it_is },
    [ESCAPE_SEGMENT] = { .begins = "", .write = segment },
    [ESCAPE_JSON] = { STR_INIT("application/json application/x-ndjson text/json"), STR_INIT("+json"), "{[", json },
    [ESCAPE_FORM] = { .types = STR_INIT("application/x-www-form-urlencoded"), .begins = "", .write = percent },
    [ESCAPE_XML] = { STR_INIT("application/xml text/xml"), STR_INIT("+xml"), "<", xml },
};

struct str escape_value(enum escape how, struct arena *a, struct str value, bool encoded) { return rows[how].write(a, value, encoded); }

static bool is_type(const struct row *r, struct str type) {
    struct str rest = r->types, one;
    while (str_split(&rest, ' ', &one))
        if (one.n && str_eq_nocase(one, type)) return true;
    return r->suffix.n && type.n > r->suffix.n && str_eq_nocase(str_from(type, type.n - r->suffix.n), r->suffix);
}
static char first_of(struct str s) {
    for (size_t i = 0; i < s.n; i++)
        if (s.p[i] != ' ' && s.p[i] != '\t' && s.p[i] != '\r' && s.p[i] != '\n') return s.p[i];
    return 0;
}
enum escape escape_of_body(struct str content_type, struct str beginning) {
    struct str type = str_trim(str_first(content_type, str_index(content_type, ';'))); /* RFC 9110 8.3.1: parameters follow */
    char first = first_of(beginning);
    for (enum escape e = 0; e < ESCAPES; e++)
        if (is_type(&rows[e], type)) return e;
    for (enum escape e = 0; first && e < ESCAPES; e++)
        if (strchr(rows[e].begins, first)) return e;
    return ESCAPE_NONE;
}
