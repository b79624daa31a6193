// SPDX-License-Identifier: Apache-2.0
// The small print of RPC protocols: see rpc_text.h.
#include "codecs/rpc_text.h"
#include <assert.h>

/* ---- percent ------------------------------------------------------------------------------------------------------------------------ */

/* gRPC over HTTP/2, "Responses": Percent-Byte-Unencoded is %x20-24 and %x26-7E. */
struct str percent_encode(struct arena *a, struct str s) {
    static const char hex[] = "0123456789ABCDEF";
    char *to = arena_bytes(a, 3 * s.n);
    size_t n = 0;
    for (size_t i = 0; i < s.n; i++) {
        unsigned char c = (unsigned char)s.p[i];
        if (c >= 0x20 && c <= 0x7e && c != '%') {
            to[n++] = (char)c;
            continue;
        }
        to[n++] = '%';
        to[n++] = hex[c >> 4];
        to[n++] = hex[c & 15];
    }
    return (struct str){ to, n };
}

static int hex_digit(char c) {
    if (c >= '0' && c <= '9') return c - '0';
    char lower = (char)(c | 0x20);
    return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

/* The byte of the escape that begins at s.p[i], or -1. */
static int escaped_byte(struct str s, size_t i) {
    if (s.p[i] != '%' || s.n - i < 3) return -1;
    int high = hex_digit(s.p[i + 1]), low = hex_digit(s.p[i + 2]);
    return high < 0 || low < 0 ? -1 : high * 16 + low;
}

/* gRPC over HTTP/2: "must not error": what is malformed is shown as it came. */
struct str percent_decode(struct arena *a, struct str s) {
    if (str_index(s, '%') == s.n) return s;
    char *to = arena_bytes(a, s.n);
    size_t n = 0;
    for (size_t i = 0; i < s.n; i++) {
        int byte = escaped_byte(s, i);
        to[n++] = byte < 0 ? s.p[i] : (char)byte;
        if (byte >= 0) i += 2;
    }
    return (struct str){ to, n };
}

bool query_unescape(struct arena *a, struct str s, struct str *out) {
    char *to = arena_bytes(a, s.n);
    size_t n = 0;
    for (size_t i = 0; i < s.n; i++) {
        int byte = s.p[i] == '+' ? ' ' : s.p[i] == '%' ? escaped_byte(s, i) : (unsigned char)s.p[i];
        if (byte < 0) return false;
        if (s.p[i] == '%') i += 2;
        to[n++] = (char)byte;
    }
    *out = (struct str){ to, n };
    return true;
}

bool query_find(struct str query, struct str name, struct str *value) {
    while (query.n) {
        struct str pair = str_first(query, str_index(query, '&'));
        size_t equals = str_index(pair, '=');
        query = pair.n < query.n ? str_from(query, pair.n + 1) : (struct str){ 0 };
        if (equals == pair.n || !str_eq(str_first(pair, equals), name)) continue;
        *value = str_from(pair, equals + 1);
        return true;
    }
    return false;
}

/* ---- base64 ------------------------------------------------------------------------------------------------------------------------- */

size_t base64_encode(const uint8_t *p, size_t n, char *to) {
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    char *at = to;
    for (; n; p += n < 3 ? n : 3, n -= n < 3 ? n : 3) {
        uint32_t bits = (uint32_t)p[0] << 16 | (n > 1 ? (uint32_t)p[1] << 8 : 0) | (n > 2 ? p[2] : 0);
        *at++ = digits[bits >> 18];
        *at++ = digits[bits >> 12 & 63];
        *at++ = n > 1 ? digits[bits >> 6 & 63] : '=';
        *at++ = n > 2 ? digits[bits & 63] : '=';
    }
    return (size_t)(at - to);
}

static int base64_digit(uint8_t c, bool url) {
    if (c >= 'A' && c <= 'Z') return c - 'A';
    if (c >= 'a' && c <= 'z') return c - 'a' + 26;
    if (c >= '0' && c <= '9') return c - '0' + 52;
    if (c == (url ? '-' : '+')) return 62;
    return c == (url ? '_' : '/') ? 63 : -1;
}

/* Four characters are there, the last `pads` of them padding: writes 3 - pads bytes. */
static size_t base64_flush(struct base64_pieces *b, uint8_t *to) {
    size_t n = 3u - b->pads;
    for (size_t i = 0; i < n; i++) to[i] = (uint8_t)(b->bits >> (16 - 8 * i));
    *b = (struct base64_pieces){ 0 };
    return n;
}

static bool base64_take(struct base64_pieces *b, const uint8_t *p, size_t n, bool url, uint8_t *to, size_t *made) {
    *made = 0;
    for (size_t i = 0; i < n; i++) {
        int digit = base64_digit(p[i], url);
        if (p[i] == '=') {
            if (b->chars < 2) return false;
            b->pads++;
        } else if (digit < 0 || b->pads) {
            return false;
        }
        b->bits = b->bits << 6 | (uint32_t)(digit < 0 ? 0 : digit);
        if (++b->chars == 4) *made += base64_flush(b, to + *made);
    }
    return true;
}

bool base64_pieces_take(struct base64_pieces *b, const uint8_t *p, size_t n, uint8_t *to, size_t *made) {
    return base64_take(b, p, n, false, to, made);
}

bool base64_decode(struct arena *a, struct str s, bool url, struct str *out) {
    struct base64_pieces b = { 0 };
    static const uint8_t padding[2] = { '=', '=' };
    uint8_t *to = (uint8_t *)arena_bytes(a, s.n / 4 * 3 + 3);
    size_t made, more = 0;
    size_t body = s.n;
    while (body > 0 && s.n - body < 2 && s.p[body - 1] == '=') body--;
    if (!base64_take(&b, (const uint8_t *)s.p, body, url, to, &made) || b.chars == 1) return false;
    if (s.n != body && (s.n & 3)) return false; /* padded, but not as long as that says */
    if (b.chars && !base64_take(&b, padding, 4u - b.chars, url, to + made, &more)) return false;
    *out = (struct str){ (const char *)to, made + more };
    return true;
}

/* ---- JSON ---------------------------------------------------------------------------------------------------------------------------- */

/* RFC 8259 7: what a string must escape. */
struct str json_quote(struct arena *a, struct str s) {
    static const char hex[] = "0123456789abcdef";
    char *to = arena_bytes(a, 6 * s.n + 2);
    size_t n = 0, len;
    to[n++] = '"';
    for (size_t i = 0; i < s.n; i += len) {
        unsigned char c = (unsigned char)s.p[i];
        len = str_utf8(str_from(s, i));
        if (len == 0) {
            memcpy(to + n, "\xef\xbf\xbd", 3);
            n += 3, len = 1;
        } else if (c >= 0x20 && c != 0x7f) {
            if (c == '"' || c == '\\') to[n++] = '\\';
            memcpy(to + n, s.p + i, len);
            n += len;
        } else {
            memcpy(to + n, "\\u00", 4);
            to[n + 4] = hex[c >> 4];
            to[n + 5] = hex[c & 15];
            n += 6;
        }
    }
    to[n++] = '"';
    return (struct str){ to, n };
}

static size_t json_blank(struct str s, size_t i) {
    while (i < s.n && (s.p[i] == ' ' || s.p[i] == '\t' || s.p[i] == '\r' || s.p[i] == '\n')) i++;
    return i;
}

/* Behind the string that begins at i; s.n where it does not end. */
static size_t json_string_end(struct str s, size_t i) {
    for (i++; i < s.n && s.p[i] != '"'; i++)
        if (s.p[i] == '\\') i++;
    return i < s.n ? i + 1 : s.n;
}

/* Behind the value that begins at i, whatever it is: brackets are counted, strings skipped. *open: brackets that were not closed. */
static size_t json_value_end(struct str s, size_t i, size_t *open) {
    *open = 0;
    while (i < s.n) {
        char c = s.p[i];
        if (c == '"') {
            i = json_string_end(s, i);
            if (*open == 0) return i;
            continue;
        }
        if (*open == 0 && (c == ',' || c == '}' || c == ']')) return i;
        if (c == '{' || c == '[') ++*open;
        if ((c == '}' || c == ']') && --*open == 0) return i + 1;
        i++;
    }
    return i;
}

bool json_is_object(struct str s) {
    size_t i = json_blank(s, 0), open;
    if (i == s.n || s.p[i] != '{') return false;
    i = json_value_end(s, i, &open);
    return open == 0 && json_blank(s, i) == s.n;
}

bool json_member(struct str object, struct str name, struct str *value) {
    size_t i = json_blank(object, 0), open;
    if (i == object.n || object.p[i] != '{') return false;
    do {
        i = json_blank(object, i + 1);
        if (i >= object.n || object.p[i] != '"') return false;
        size_t end = json_string_end(object, i);
        if (end - i < 2) return false;
        struct str key = { object.p + i + 1, end - i - 2 };
        i = json_blank(object, end);
        if (i >= object.n || object.p[i] != ':') return false;
        i = json_blank(object, i + 1);
        end = json_value_end(object, i, &open);
        if (str_eq(key, name)) {
            *value = str_trim((struct str){ object.p + i, end - i });
            return true;
        }
        i = json_blank(object, end);
    } while (i < object.n && object.p[i] == ',');
    return false;
}

/* ---- statuses ------------------------------------------------------------------------------------------------------------------------ */

/* Connect protocol, "Error Codes". */
static const struct { const char *name; uint16_t http; } connect_codes[GRPC_STATUSES] = {
    [GRPC_OK] = { "", 200 }, [GRPC_CANCELLED] = { "canceled", 499 }, [GRPC_UNKNOWN] = { "unknown", 500 },
    [GRPC_INVALID_ARGUMENT] = { "invalid_argument", 400 }, [GRPC_DEADLINE_EXCEEDED] = { "deadline_exceeded", 504 },
    [GRPC_NOT_FOUND] = { "not_found", 404 }, [GRPC_ALREADY_EXISTS] = { "already_exists", 409 },
    [GRPC_PERMISSION_DENIED] = { "permission_denied", 403 }, [GRPC_RESOURCE_EXHAUSTED] = { "resource_exhausted", 429 },
    [GRPC_FAILED_PRECONDITION] = { "failed_precondition", 400 }, [GRPC_ABORTED] = { "aborted", 409 },
    [GRPC_OUT_OF_RANGE] = { "out_of_range", 400 }, [GRPC_UNIMPLEMENTED] = { "unimplemented", 501 }, [GRPC_INTERNAL] = { "internal", 500 },
    [GRPC_UNAVAILABLE] = { "unavailable", 503 }, [GRPC_DATA_LOSS] = { "data_loss", 500 }, [GRPC_UNAUTHENTICATED] = { "unauthenticated", 401 },
};

static unsigned known(unsigned grpc) { return grpc < GRPC_STATUSES ? grpc : GRPC_UNKNOWN; }
const char *connect_code(unsigned grpc) { return connect_codes[known(grpc)].name; }
uint16_t connect_http(unsigned grpc) { return connect_codes[known(grpc)].http; }

int connect_code_by_name(struct str name) {
    for (unsigned i = GRPC_OK + 1; i < GRPC_STATUSES; i++)
        if (str_eq(str_of(connect_codes[i].name), name)) return (int)i;
    return -1;
}

uint8_t grpc_of_http(uint16_t http) {
    switch (http) {
    case 400: return GRPC_INTERNAL;
    case 401: return GRPC_UNAUTHENTICATED;
    case 403: return GRPC_PERMISSION_DENIED;
    case 404: return GRPC_UNIMPLEMENTED;
    case 429: case 502: case 503: case 504: return GRPC_UNAVAILABLE;
    default: return GRPC_UNKNOWN;
    }
}
