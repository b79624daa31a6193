// SPDX-License-Identifier: Apache-2.0
// Heads, and the words of HTTP that all protocols share. Owns nothing: fields and names live in the head's arena.
#include "core/head.h"
#include <assert.h>

enum { FIELDS_MIN = 32, TABLE = 256 };

static const struct str token_names[TOKENS] = {
#define TOKEN(C, name) [TOKEN_##C] = STR_INIT(name),
#include "core/token.def"
#undef TOKEN
};
static_assert(TOKENS <= TABLE / 4, "few collisions, and a token fits a byte");

/* Open addressing, at most a quarter full; filled before main, so that threads only read. */
static struct token_slot { uint32_t hash; uint8_t token; } token_table[TABLE];

__attribute__((constructor)) static void token_table_fill(void) {
    for (enum token t = TOKEN_NONE + 1; t < TOKENS; t++) {
        uint32_t hash = name_hash(token_names[t]), at = hash % TABLE;
        while (token_table[at].token) at = (at + 1) % TABLE;
        token_table[at] = (struct token_slot){ hash, (uint8_t)t };
    }
}

enum token token_of(struct str name, uint32_t hash) {
    for (uint32_t at = hash % TABLE; token_table[at].token; at = (at + 1) % TABLE)
        if (token_table[at].hash == hash && str_eq(token_names[token_table[at].token], name)) return (enum token)token_table[at].token;
    return TOKEN_NONE;
}

struct str token_name(enum token t) { return token_names[t]; }

void head_init(struct head *h, struct arena *a, bool request) {
    *h = (struct head){ .arena = a, .request = request, .keep_alive = true };
}

static void fields_grow(struct head *h) {
    size_t cap = h->cap ? h->cap * 2 : FIELDS_MIN;
    struct field *grown = arena_alloc(h->arena, cap * sizeof *grown);
    if (h->nfields) memcpy(grown, h->fields, h->nfields * sizeof *grown);
    h->fields = grown;
    h->cap = cap;
}

struct field *head_add_hashed(struct head *h, struct str name, uint32_t hash, enum token token, struct str value) {
    assert(name.n);
    if (h->nfields == h->cap) fields_grow(h);
    struct field *f = &h->fields[h->nfields++];
    *f = (struct field){ .name = name, .value = value, .hash = hash, .token = (uint8_t)token };
    return f;
}

struct field *head_add(struct head *h, struct str name, struct str value) {
    uint32_t hash = name_hash(name);
    return head_add_hashed(h, name, hash, token_of(name, hash), value);
}

struct field *head_find(const struct head *h, enum token token) {
    for (size_t i = 0; i < h->nfields; i++)
        if (h->fields[i].token == token && !field_is_removed(&h->fields[i])) return &h->fields[i];
    return NULL;
}

static struct field *find_hashed(const struct head *h, struct str name, uint32_t hash, size_t from) {
    for (size_t i = from; i < h->nfields; i++)
        if (h->fields[i].hash == hash && !field_is_removed(&h->fields[i]) && str_eq(h->fields[i].name, name)) return &h->fields[i];
    return NULL;
}

struct field *head_find_name(const struct head *h, struct str name, const struct field *after) {
    return find_hashed(h, name, name_hash(name), after ? (size_t)(after - h->fields) + 1 : 0);
}

/* Room is for every value and a separator each; the last one's stays unused. */
static struct str join(const struct head *h, struct str name, uint32_t hash, struct field *first, size_t room) {
    char *p = arena_bytes(h->arena, room);
    struct str all = { p, 0 };
    for (struct field *f = first; f; f = find_hashed(h, name, hash, (size_t)(f - h->fields) + 1)) {
        if (f != first) {
            p[all.n++] = ',';
            p[all.n++] = ' ';
        }
        if (f->value.n) memcpy(p + all.n, f->value.p, f->value.n);
        all.n += f->value.n;
    }
    return all;
}

struct str head_joined(const struct head *h, struct str name) {
    uint32_t hash = name_hash(name);
    struct field *first = find_hashed(h, name, hash, 0);
    if (!first) return (struct str){ 0 };
    size_t n = 0, room = 0;
    for (struct field *f = first; f; f = find_hashed(h, name, hash, (size_t)(f - h->fields) + 1), n++) room += f->value.n + 2;
    return n == 1 ? first->value : join(h, name, hash, first, room);
}

static void remove_from(struct head *h, struct str name, uint32_t hash, size_t from) {
    for (struct field *f; (f = find_hashed(h, name, hash, from)); from = (size_t)(f - h->fields) + 1) field_remove(f);
}

void head_remove(struct head *h, struct str name) { remove_from(h, name, name_hash(name), 0); }

void head_set(struct head *h, struct str name, struct str value) {
    uint32_t hash = name_hash(name);
    struct field *f = find_hashed(h, name, hash, 0);
    if (!f) {
        head_add_hashed(h, name, hash, token_of(name, hash), value);
        return;
    }
    f->value = value;
    remove_from(h, name, hash, (size_t)(f - h->fields) + 1);
}

struct head *head_clone(const struct head *h, struct arena *a) {
    struct head *c = ARENA_NEW(a, struct head);
    *c = *h;
    c->arena = a;
    c->nfields = 0;
    c->cap = h->nfields + FIELDS_MIN / 2; /* what is sent on gets a few more */
    c->fields = arena_alloc(a, c->cap * sizeof *c->fields);
    for (size_t i = 0; i < h->nfields; i++)
        if (!field_is_removed(&h->fields[i])) c->fields[c->nfields++] = h->fields[i];
    return c;
}

/* RFC 9110 5.6.2: tchar. */
enum { NO_TCHAR, TCHAR, UPPER };
static const uint8_t tchars[256] = {
    ['!'] = TCHAR, ['#'] = TCHAR, ['$'] = TCHAR, ['%'] = TCHAR, ['&'] = TCHAR, ['\''] = TCHAR, ['*'] = TCHAR, ['+'] = TCHAR,
    ['-'] = TCHAR, ['.'] = TCHAR, ['^'] = TCHAR, ['_'] = TCHAR, ['`'] = TCHAR, ['|'] = TCHAR, ['~'] = TCHAR,
    ['0' ... '9'] = TCHAR, ['a' ... 'z'] = TCHAR, ['A' ... 'Z'] = UPPER,
};

bool is_token(struct str s) {
    for (size_t i = 0; i < s.n; i++)
        if (tchars[(unsigned char)s.p[i]] == NO_TCHAR) return false;
    return s.n > 0;
}

bool is_lower_token(struct str s) {
    for (size_t i = 0; i < s.n; i++)
        if (tchars[(unsigned char)s.p[i]] != TCHAR) return false;
    return s.n > 0;
}

bool is_protocol(struct str s) {
    size_t slash = str_index(s, '/');
    return is_token(str_first(s, slash)) && (slash == s.n || is_token(str_from(s, slash + 1)));
}

bool protocol_is_http(struct str s) {
    struct str name = str_first(s, str_index(s, '/'));
    return str_eq_nocase(name, STR("h2c")) || str_eq_nocase(name, STR("http")) || str_eq_nocase(name, STR("tls"));
}

bool is_field_value(struct str s) {
    for (size_t i = 0; i < s.n; i++) {
        unsigned char c = (unsigned char)s.p[i];
        if ((c < 0x20 && c != '\t') || c == 0x7f) return false;
    }
    return true;
}
bool is_path_target(struct str s) {
    for (size_t i = 0; i < s.n; i++) {
        if ((unsigned char)s.p[i] <= ' ' || s.p[i] == 0x7f || s.p[i] == '#') return false;
    }
    return s.n > 0 && s.p[0] == '/';
}

static const char *const reasons[] = { /* IANA, HTTP Status Code Registry */
    [100] = "Continue", [101] = "Switching Protocols", [102] = "Processing", [103] = "Early Hints",
    [200] = "OK", [201] = "Created", [202] = "Accepted", [203] = "Non-Authoritative Information", [204] = "No Content",
    [205] = "Reset Content", [206] = "Partial Content", [207] = "Multi-Status", [208] = "Already Reported", [226] = "IM Used",
    [300] = "Multiple Choices", [301] = "Moved Permanently", [302] = "Found", [303] = "See Other", [304] = "Not Modified",
    [305] = "Use Proxy", [307] = "Temporary Redirect", [308] = "Permanent Redirect",
    [400] = "Bad Request", [401] = "Unauthorized", [402] = "Payment Required", [403] = "Forbidden", [404] = "Not Found",
    [405] = "Method Not Allowed", [406] = "Not Acceptable", [407] = "Proxy Authentication Required", [408] = "Request Timeout",
    [409] = "Conflict", [410] = "Gone", [411] = "Length Required", [412] = "Precondition Failed", [413] = "Content Too Large",
    [414] = "URI Too Long", [415] = "Unsupported Media Type", [416] = "Range Not Satisfiable", [417] = "Expectation Failed",
    [421] = "Misdirected Request", [422] = "Unprocessable Content", [423] = "Locked", [424] = "Failed Dependency", [425] = "Too Early",
    [426] = "Upgrade Required", [428] = "Precondition Required", [429] = "Too Many Requests",
    [431] = "Request Header Fields Too Large", [451] = "Unavailable For Legal Reasons",
    [500] = "Internal Server Error", [501] = "Not Implemented", [502] = "Bad Gateway", [503] = "Service Unavailable",
    [504] = "Gateway Timeout", [505] = "HTTP Version Not Supported", [506] = "Variant Also Negotiates", [507] = "Insufficient Storage",
    [508] = "Loop Detected", [510] = "Not Extended", [511] = "Network Authentication Required",
};

const char *status_reason(uint16_t status) {
    if (status >= sizeof reasons / sizeof *reasons || !reasons[status]) return "";
    return reasons[status];
}
