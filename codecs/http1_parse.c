// SPDX-License-Identifier: Apache-2.0
// Complete heads of HTTP/1.1, parsed in one pass: names are checked, lower-cased and hashed byte by byte, values checked sixteen bytes at a
// time. Nothing is copied before all of a head is known to be good; then http1_keep copies it once. Pure: no session, no state.
#include "codecs/http1.h"
#ifdef __SSE2__
#include <emmintrin.h>
#endif

enum { KNOWN_MAX = 64 }; /* no name in token.def is longer */

static const struct http1_verdict good = { 0, NULL };
static struct http1_verdict bad(const char *say) { return (struct http1_verdict){ 400, say }; }
static struct http1_verdict refuse(uint16_t status, const char *say) { return (struct http1_verdict){ status, say }; }

/* RFC 9110 5.6.2: tchar. */
const uint8_t http1_token_lower[256] = {
    ['!'] = '!', ['#'] = '#', ['$'] = '$', ['%'] = '%', ['&'] = '&', ['\''] = '\'', ['*'] = '*', ['+'] = '+', ['-'] = '-', ['.'] = '.',
    ['^'] = '^', ['_'] = '_', ['`'] = '`', ['|'] = '|', ['~'] = '~',
    ['0'] = '0', ['1'] = '1', ['2'] = '2', ['3'] = '3', ['4'] = '4', ['5'] = '5', ['6'] = '6', ['7'] = '7', ['8'] = '8', ['9'] = '9',
    ['A'] = 'a', ['B'] = 'b', ['C'] = 'c', ['D'] = 'd', ['E'] = 'e', ['F'] = 'f', ['G'] = 'g', ['H'] = 'h', ['I'] = 'i', ['J'] = 'j',
    ['K'] = 'k', ['L'] = 'l', ['M'] = 'm', ['N'] = 'n', ['O'] = 'o', ['P'] = 'p', ['Q'] = 'q', ['R'] = 'r', ['S'] = 's', ['T'] = 't',
    ['U'] = 'u', ['V'] = 'v', ['W'] = 'w', ['X'] = 'x', ['Y'] = 'y', ['Z'] = 'z',
    ['a'] = 'a', ['b'] = 'b', ['c'] = 'c', ['d'] = 'd', ['e'] = 'e', ['f'] = 'f', ['g'] = 'g', ['h'] = 'h', ['i'] = 'i', ['j'] = 'j',
    ['k'] = 'k', ['l'] = 'l', ['m'] = 'm', ['n'] = 'n', ['o'] = 'o', ['p'] = 'p', ['q'] = 'q', ['r'] = 'r', ['s'] = 's', ['t'] = 't',
    ['u'] = 'u', ['v'] = 'v', ['w'] = 'w', ['x'] = 'x', ['y'] = 'y', ['z'] = 'z',
};

/* ---- lines ---------------------------------------------------------------------------------------------------------------- */
size_t http1_section_end(const uint8_t *p, size_t n, size_t *scanned, bool *bad_line) {
    for (;;) {
        const uint8_t *lf = *scanned < n ? memchr(p + *scanned, '\n', n - *scanned) : NULL;
        if (!lf) {
            *scanned = n;
            return 0;
        }
        size_t i = (size_t)(lf - p);
        if (i == 0 || p[i - 1] != '\r') {
            *bad_line = true;
            return 0;
        }
        *scanned = i + 1;
        if (i == 1 || p[i - 2] == '\n') return i + 1;
    }
}

/* The first control byte other than HTAB at or after p; end: none. */
static const uint8_t *control_after(const uint8_t *p, const uint8_t *end) {
#ifdef __SSE2__
    const __m128i us = _mm_set1_epi8(0x1f), tab = _mm_set1_epi8('\t'), del = _mm_set1_epi8(0x7f);
    for (; end - p >= 16; p += 16) {
        __m128i v = _mm_loadu_si128((const __m128i *)(const void *)p);
        __m128i low = _mm_andnot_si128(_mm_cmpeq_epi8(v, tab), _mm_cmpeq_epi8(_mm_min_epu8(v, us), v));
        int hits = _mm_movemask_epi8(_mm_or_si128(low, _mm_cmpeq_epi8(v, del)));
        if (hits) return p + __builtin_ctz((unsigned)hits);
    }
#endif
    while (p < end && ((*p >= 0x20 && *p != 0x7f) || *p == '\t')) p++;
    return p;
}

bool http1_is_value(struct str s) {
    if (s.n == 0) return true;
    const uint8_t *p = (const uint8_t *)s.p, *end = p + s.n;
    return control_after(p, end) == end;
}

struct name { struct str raw; uint32_t hash; enum token token; };

/* True where a name and its colon stand at *p. */
static bool take_name(const uint8_t **p, struct name *out) {
    char low[KNOWN_MAX];
    const uint8_t *at = *p;
    size_t n = 0;
    for (uint8_t c; (c = http1_token_lower[*at]); at++, n++) {
        if (n < sizeof low) low[n] = (char)c;
    }
    if (n == 0 || *at != ':') return false;
    struct str raw = { (const char *)*p, n };
    uint32_t hash = name_hash(raw);
    *out = (struct name){ raw, hash, n <= sizeof low ? token_of((struct str){ low, n }, hash) : TOKEN_NONE };
    *p = at + 1;
    return true;
}

static struct http1_verdict bad_name(const uint8_t *p) {
    if (*p == ' ' || *p == '\t') return bad("a header line begins with a blank (obs-fold)");
    while (http1_token_lower[*p]) p++;
    if (*p == ' ' || *p == '\t') return bad("a blank stands before the colon of a header");
    return bad("a header has no name, or a byte that no name may have");
}

static bool is_ows(uint8_t c) { return c == ' ' || c == '\t'; }

/* True where the value ends in CRLF, without another control byte. */
static bool take_value(const uint8_t **p, const uint8_t *end, struct str *out) {
    const uint8_t *from = *p;
    while (is_ows(*from)) from++;
    const uint8_t *cr = control_after(from, end);
    if (end - cr < 2 || cr[0] != '\r' || cr[1] != '\n') return false;
    const uint8_t *to = cr;
    while (to > from && is_ows(to[-1])) to--;
    *out = (struct str){ (const char *)from, (size_t)(to - from) };
    *p = cr + 2;
    return true;
}

/* ---- fields that are the wire's own ----------------------------------------------------------------------------------------- */
static bool token_list_add(struct http1_message *m, struct str list) {
    struct str element;
    while (str_split(&list, ',', &element)) {
        if (element.n == 0) continue;
        if (!is_token(element) || m->nlisted == HTTP1_LISTED_MAX) return false;
        m->listed[m->nlisted++] = element;
    }
    return true;
}

static struct http1_verdict take_host(struct http1_message *m, struct str value) {
    if (m->host_given) return bad("Host is repeated");
    m->host_given = true;
    m->host = value;
    return good;
}

/* RFC 9112 6.3: a list of lengths may be repaired where all are equal. It is not. */
static struct http1_verdict take_length(struct http1_message *m, struct str value) {
    if (m->length_given) return bad("Content-Length is repeated");
    m->length_given = true;
    if (!str_to_u64(value, &m->length)) return bad("Content-Length is not a number");
    if (m->length > INT64_MAX || value.n > 19) return bad("Content-Length is too large");
    return good;
}

static struct http1_verdict take_coding(struct http1_message *m, struct str value) {
    if (m->coding_given) return bad("Transfer-Encoding is repeated");
    m->coding_given = true;
    m->chunked = str_eq_nocase(value, STR("chunked"));
    if (m->chunked) return good;
    struct str last = { 0 }, element;
    for (struct str rest = value; str_split(&rest, ',', &element);) last = element;
    if (str_eq_nocase(last, STR("chunked"))) return refuse(501, "a Transfer-Encoding other than chunked is not known here");
    return bad("the last Transfer-Encoding is not chunked");
}

static struct http1_verdict take_plain(struct http1_message *m, const struct http1_rules *r, const struct name *name, struct str value) {
    struct head *h = &m->head;
    if (h->nfields >= HTTP1_FIELDS_CAP || (int64_t)h->nfields >= r->o->max_fields) return refuse(431, "there are too many headers");
    h->fields[h->nfields++] = (struct field){ .name = name->raw, .value = value, .hash = name->hash, .token = (uint8_t)name->token };
    return good;
}

static struct http1_verdict take_field(struct http1_message *m, const struct http1_rules *r, const struct name *name, struct str value) {
    switch ((int)name->token) {
    case TOKEN_HOST: return take_host(m, value);
    case TOKEN_CONTENT_LENGTH: return take_length(m, value);
    case TOKEN_TRANSFER_ENCODING: return take_coding(m, value);
    case TOKEN_CONNECTION: return token_list_add(m, value) ? good : bad("Connection is malformed, or lists too much");
    case TOKEN_TE: m->head.te_trailers |= str_list_has(value, STR("trailers")); return good;
    case TOKEN_UPGRADE: m->upgrade_to = m->upgrade_to.n ? m->upgrade_to : value; return good;
    case TOKEN_KEEP_ALIVE: m->alive = value; return good;
    case TOKEN_PROXY_CONNECTION: return good;
    default: return take_plain(m, r, name, value);
    }
}

/* Up to the first empty line: more may follow it. The last bytes before `end` are one, so that no step runs over it. */
static struct http1_verdict take_fields(const uint8_t *p, const uint8_t *end, const struct http1_rules *r, struct http1_message *m) {
    size_t lines = 0;
    while (end - p > 2 && !(p[0] == '\r' && p[1] == '\n')) {
        struct name name;
        struct str value;
        const uint8_t *line = p;
        if (++lines > HTTP1_FIELDS_CAP + HTTP1_LISTED_MAX) return refuse(431, "there are too many headers");
        if (!take_name(&p, &name)) return bad_name(line);
        if (!take_value(&p, end, &value)) return bad("a header's value has a control byte");
        struct http1_verdict v = take_field(m, r, &name, value);
        if (v.say) return v;
    }
    m->end = p + 2;
    return end - p >= 2 && p[0] == '\r' && p[1] == '\n' ? good : bad("the head does not end in an empty line");
}

/* ---- Connection ----------------------------------------------------------------------------------------------------------------- */
/* RFC 9110 7.6.1: fields meant for all recipients are not to be listed. Whoever lists these would have the next hop see a request without
 * its deadline, its credentials or its origin (T25); names that only a configuration knows come through is_ours. */
static const struct str own_names[] = {
    STR_INIT("host"), STR_INIT("content-length"), STR_INIT("transfer-encoding"), STR_INIT("content-type"), STR_INIT("authorization"),
    STR_INIT("proxy-authorization"), STR_INIT("cookie"), STR_INIT("set-cookie"), STR_INIT("via"), STR_INIT("forwarded"), STR_INIT("expect"),
    STR_INIT("prefer"), STR_INIT("max-forwards"), STR_INIT("traceparent"), STR_INIT("tracestate"), STR_INIT("baggage"),
    STR_INIT("x-request-id"), STR_INIT("x-real-ip"), STR_INIT("request-timeout"), STR_INIT("x-request-timeout"), STR_INIT("x-context-deadline"),
    STR_INIT("retry-after"),
};
static const struct str own_prefixes[] = {
    STR_INIT("x-forwarded-"), STR_INIT("grpc-"), STR_INIT("connect-"), STR_INIT("x-envoy-"), STR_INIT("l5d-"), STR_INIT("x-b3-"),
    STR_INIT("x-stainless-"), STR_INIT("finagle-ctx-"),
};

static bool starts_nocase(struct str s, struct str prefix) { return s.n >= prefix.n && str_eq_nocase(str_first(s, prefix.n), prefix); }

static bool is_own_name(struct str name) {
    for (size_t i = 0; i < sizeof own_names / sizeof own_names[0]; i++)
        if (str_eq_nocase(name, own_names[i])) return true;
    for (size_t i = 0; i < sizeof own_prefixes / sizeof own_prefixes[0]; i++)
        if (starts_nocase(name, own_prefixes[i])) return true;
    return false;
}

static bool is_ours(const struct http1_rules *r, struct str name, uint32_t *hash) {
    char low[KNOWN_MAX];
    *hash = name_hash(name);
    for (size_t i = 0; i < name.n && i < sizeof low; i++) low[i] = (char)http1_token_lower[(uint8_t)name.p[i]];
    if (is_own_name(name)) return true;
    if (!r->is_ours || name.n > sizeof low) return false;
    struct field f = { .name = { low, name.n }, .hash = *hash };
    f.token = (uint8_t)token_of(f.name, *hash);
    return r->is_ours(r->arg, &f);
}

static void drop_listed(struct head *h, struct str name, uint32_t hash) {
    for (size_t i = 0; i < h->nfields; i++) {
        struct field *f = &h->fields[i];
        if (f->hash == hash && str_eq_nocase(f->name, name)) field_remove(f);
    }
}

static struct http1_verdict apply_connection(struct http1_message *m, const struct http1_rules *r) {
    bool close = false, alive = false;
    for (size_t i = 0; i < m->nlisted; i++) {
        struct str name = m->listed[i];
        uint32_t hash;
        if (str_eq_nocase(name, STR("close"))) close = true;
        else if (str_eq_nocase(name, STR("keep-alive"))) alive = true;
        else if (str_eq_nocase(name, STR("upgrade"))) m->upgrade = true;
        else if (str_eq_nocase(name, STR("te"))) continue;
        else if (is_ours(r, name, &hash)) return bad("Connection lists a header that is not the connection's");
        else drop_listed(&m->head, name, hash);
    }
    m->reusable = !close && (m->head.version == 11 || alive);
    m->head.keep_alive = m->reusable;
    m->head.keep_asked = alive && !close;
    return good;
}

/* ---- requests --------------------------------------------------------------------------------------------------------------------- */
static bool is_digit(uint8_t c) { return c >= '0' && c <= '9'; }
static bool is_hex(char c) { return is_digit((uint8_t)c) || ((c | 0x20) >= 'a' && (c | 0x20) <= 'f'); }

/* "HTTP/1.1" and what may stand in its place. */
static struct http1_verdict take_version(struct str s, struct http1_message *m) {
    if (s.n != 8 || memcmp(s.p, "HTTP/", 5) != 0 || !is_digit((uint8_t)s.p[5]) || s.p[6] != '.' || !is_digit((uint8_t)s.p[7]))
        return bad("the first line names no version of HTTP");
    if (s.p[5] != '1' || s.p[7] > '1') return refuse(505, "only HTTP/1.1 and HTTP/1.0 are spoken here");
    m->head.version = (uint8_t)(10 + (s.p[7] - '0'));
    return good;
}

static bool is_target_byte(uint8_t c) { return c > 0x20 && c < 0x7f && c != '#'; }

static struct http1_verdict take_request_line(const uint8_t **p, const uint8_t *end, const struct http1_rules *r, struct http1_message *m) {
    const uint8_t *at = *p, *from = at;
    while (http1_token_lower[*at]) at++;
    m->head.method = (struct str){ (const char *)from, (size_t)(at - from) };
    if (at == from || *at != ' ') return bad("the request line has no method");
    if (m->head.method.n > HTTP1_METHOD_MAX) return refuse(501, "the method is not known");
    from = ++at;
    while (is_target_byte(*at)) at++;
    m->head.target = (struct str){ (const char *)from, (size_t)(at - from) };
    if (m->head.target.n > r->o->max_target) return refuse(414, "the target is too long");
    if (at == from || *at != ' ') return bad("the request line has no target, or a byte that no target may have");
    from = ++at;
    at = control_after(at, end);
    if (end - at < 2 || at[0] != '\r' || at[1] != '\n') return bad("the request line has a control byte");
    *p = at + 2;
    return take_version((struct str){ (const char *)from, (size_t)(at - from) }, m);
}

static bool is_host_byte(uint8_t c) { /* unreserved and sub-delims but for the comma, which joins repeated fields */
    return (http1_token_lower[c] && c != '#' && c != '%' && c != '^' && c != '`' && c != '|') || c == '(' || c == ')' || c == ';' || c == '=';
}

/* How much of s is a host: a name, an address, or an address in brackets; SIZE_MAX: none. */
static size_t host_length(struct str s) {
    if (s.n && s.p[0] == '[') {
        size_t close = str_index(s, ']');
        for (size_t i = 1; i < close; i++)
            if (!is_hex(s.p[i]) && s.p[i] != ':' && s.p[i] != '.') return SIZE_MAX;
        return close < s.n && close > 1 ? close + 1 : SIZE_MAX;
    }
    size_t i = 0;
    while (i < s.n && s.p[i] != ':') {
        bool escape = s.p[i] == '%' && s.n - i > 2 && is_hex(s.p[i + 1]) && is_hex(s.p[i + 2]);
        if (!escape && !is_host_byte((uint8_t)s.p[i])) return SIZE_MAX;
        i += escape ? 3 : 1;
    }
    return i;
}

bool http1_is_authority(struct str s) {
    size_t host = host_length(s);
    if (host == SIZE_MAX || host == 0) return false;
    if (host == s.n) return true;
    struct str port = str_from(s, host + 1);
    uint64_t number = 0;
    return s.p[host] == ':' && (port.n == 0 || (port.n <= 5 && str_to_u64(port, &number) && number <= 65535));
}

/* RFC 9112 3.2.3: host and port, both there. */
static struct http1_verdict connect_target(struct http1_message *m) {
    struct head *h = &m->head;
    size_t host = host_length(h->target);
    if (!http1_is_authority(h->target) || host + 1 >= h->target.n) return bad("CONNECT needs a host and a port");
    h->authority = h->target;
    h->target = (struct str){ 0 };
    h->body = BODY_TUNNEL;
    return good;
}

/* RFC 9112 3.2.2: the target's host counts, Host does not. */
static struct http1_verdict absolute_target(struct http1_message *m, size_t scheme) {
    struct head *h = &m->head;
    struct str rest = str_from(h->target, scheme);
    size_t n = 0;
    while (n < rest.n && rest.p[n] != '/' && rest.p[n] != '?') n++;
    h->authority = str_first(rest, n);
    h->target = str_from(rest, n);
    if (!http1_is_authority(h->authority)) return bad("the target's host is not valid");
    if (h->target.n == 0) h->target = str_eq(h->method, STR("OPTIONS")) ? STR("*") : STR("/");
    return good;
}

static struct http1_verdict take_target(struct http1_message *m) {
    struct head *h = &m->head;
    h->authority = m->host;
    if (str_eq(h->method, STR("CONNECT"))) return connect_target(m);
    if (h->target.p[0] == '/') return good;
    if (starts_nocase(h->target, STR("http://"))) return absolute_target(m, 7);
    if (starts_nocase(h->target, STR("https://"))) return absolute_target(m, 8);
    if (!str_eq(h->target, STR("*"))) return bad("the target is neither a path nor a URL of HTTP");
    return str_eq(h->method, STR("OPTIONS")) ? good : bad("the target * is for OPTIONS alone");
}

static struct http1_verdict check_host(const struct http1_message *m) {
    if (!m->host_given) return m->head.version == 11 ? bad("Host is missing") : good;
    return http1_is_authority(m->host) ? good : bad("Host is not valid");
}

static struct http1_verdict check_framing(const struct http1_message *m) {
    if (!m->coding_given) return good;
    if (m->head.version == 10) return bad("HTTP/1.0 has no Transfer-Encoding");
    return m->length_given ? bad("Content-Length and Transfer-Encoding are both there") : good;
}

/* RFC 9110 9.3.6: what a CONNECT with content means, nobody knows. */
static struct http1_verdict take_body(struct http1_message *m) {
    struct http1_verdict v = check_framing(m);
    if (v.say) return v;
    struct head *h = &m->head;
    if (h->body == BODY_TUNNEL) return m->length_given || m->coding_given ? bad("CONNECT has a body") : good;
    h->body = m->chunked ? BODY_STREAM : m->length_given ? BODY_LENGTH : BODY_NONE;
    h->length = m->length;
    return good;
}

/* RFC 9110 7.8: an Upgrade may be ignored. It is, where the request has a body, so that the tunnel's first byte has one place only; and what
 * is HTTP again. */
static struct http1_verdict take_upgrade(struct http1_message *m) {
    struct head *h = &m->head;
    bool bodiless = h->body == BODY_NONE || (h->body == BODY_LENGTH && h->length == 0);
    if (!m->upgrade || m->upgrade_to.n == 0 || h->version == 10 || !bodiless) return good;
    struct str element;
    for (struct str rest = m->upgrade_to; str_split(&rest, ',', &element);) {
        if (element.n == 0) continue;
        if (!is_protocol(element)) return bad("Upgrade is malformed");
        if (h->protocol.n == 0 && !protocol_is_http(element)) h->protocol = element;
    }
    if (h->protocol.n) h->body = BODY_TUNNEL;
    return good;
}

static void message_init(struct http1_message *m, bool request) {
    memset(m, 0, offsetof(struct http1_message, listed));
    m->nlisted = 0;
    m->head.request = request;
    m->head.fields = m->fields;
    m->head.cap = HTTP1_FIELDS_CAP;
}

struct http1_verdict http1_parse_request(const uint8_t *p, size_t n, const struct http1_rules *r, struct http1_message *m) {
    const uint8_t *end = p + n;
    message_init(m, true);
    m->head.scheme = r->secure ? STR("https") : STR("http");
    struct http1_verdict v = take_request_line(&p, end, r, m);
    if (!v.say) v = take_fields(p, end, r, m);
    if (!v.say) v = check_host(m);
    if (!v.say) v = apply_connection(m, r);
    if (!v.say) v = take_target(m);
    if (!v.say) v = take_body(m);
    if (!v.say) v = take_upgrade(m);
    return v;
}

/* Unlike the parsers of whole heads it may not run on to a control byte: there may be none. */
bool http1_parse_unfit(const uint8_t *p, size_t n, const struct http1_rules *r, struct http1_message *m) {
    struct str all = { (const char *)p, n }, line = str_first(all, str_index(all, '\n'));
    struct head *h = &m->head;
    message_init(m, true);
    h->scheme = r->secure ? STR("https") : STR("http");
    h->method = str_first(line, str_index(line, ' '));
    if (!is_token(h->method) || h->method.n > HTTP1_METHOD_MAX || h->method.n == line.n) return false;
    h->target = str_from(line, h->method.n + 1);
    struct str version = str_from(h->target, str_index(h->target, ' '));
    h->target = str_first(h->target, h->target.n - version.n);
    for (size_t i = 0; i < h->target.n; i++)
        if (!is_target_byte((uint8_t)h->target.p[i])) return false;
    if (h->target.n > r->o->max_target) h->target.n = r->o->max_target;
    m->end = (const uint8_t *)h->target.p + h->target.n;
    h->version = 11;
    if (line.n == n) return h->target.n > 0;
    if (version.n != 10 || version.p[9] != '\r' || take_version((struct str){ version.p + 1, 8 }, m).say) return false;
    while (p[n - 1] != '\n') n--;
    take_fields(p + line.n + 1, p + n, r, m);
    m->end = p + n;
    return h->target.n > 0;
}

/* ---- answers ----------------------------------------------------------------------------------------------------------------------------- */
/* status-line = HTTP-version SP status-code SP [ reason-phrase ]; the second SP is left out by some where there is no reason. */
static struct http1_verdict take_status_line(const uint8_t **p, const uint8_t *end, struct http1_message *m) {
    const uint8_t *at = *p, *eol = control_after(at, end);
    if (end - eol < 2 || eol[0] != '\r' || eol[1] != '\n') return bad("the status line has a control byte");
    if (eol - at < 12) return bad("the status line is too short");
    struct http1_verdict v = take_version((struct str){ (const char *)at, 8 }, m);
    if (v.say) return v;
    if (at[8] != ' ' || !is_digit(at[9]) || !is_digit(at[10]) || !is_digit(at[11]) || (eol - at > 12 && at[12] != ' '))
        return bad("the status line has no status");
    m->head.status = (uint16_t)((at[9] - '0') * 100 + (at[10] - '0') * 10 + (at[11] - '0'));
    *p = eol + 2;
    return m->head.status >= 100 && m->head.status < 600 ? good : bad("the status is none of HTTP");
}

static struct http1_verdict take_switch(struct http1_message *m, const struct http1_asked *asked) {
    if (asked->protocol.n == 0) return bad("101 without an Upgrade that was asked for");
    if (!m->upgrade || !str_eq_nocase(m->upgrade_to, asked->protocol)) return bad("101 to another protocol than was asked for");
    m->head.protocol = m->upgrade_to;
    m->head.body = BODY_TUNNEL;
    return good;
}

/* RFC 9112 6.3, in its order. HEAD and 304 tell of a length that does not come. */
static struct http1_verdict take_answer_body(struct http1_message *m, const struct http1_asked *asked) {
    struct head *h = &m->head;
    struct http1_verdict v = check_framing(m);
    if (v.say) return v;
    h->length = m->length;
    if (h->status == 101) return take_switch(m, asked);
    if (h->status < 200) h->interim = true;
    if (h->status < 200 || h->status == 204) h->body = BODY_NONE;
    else if (asked->connect && h->status < 300) h->body = BODY_TUNNEL;
    else if (asked->head || h->status == 304) h->body = m->length_given ? BODY_LENGTH : BODY_NONE;
    else if (m->chunked) h->body = BODY_STREAM;
    else h->body = m->length_given ? BODY_LENGTH : BODY_CLOSE;
    if (h->body == BODY_CLOSE) m->reusable = h->keep_alive = false;
    return good;
}

struct http1_verdict http1_parse_answer(const uint8_t *p, size_t n, const struct http1_rules *r, const struct http1_asked *asked,
                                        struct http1_message *m) {
    const uint8_t *end = p + n;
    message_init(m, false);
    struct http1_verdict v = take_status_line(&p, end, m);
    if (!v.say) v = take_fields(p, end, r, m);
    if (!v.say) v = apply_connection(m, r);
    if (!v.say) v = take_answer_body(m, asked);
    return v;
}

/* RFC 9110 6.5.1: framing and routing cannot come late. */
struct http1_verdict http1_parse_trailers(const uint8_t *p, size_t n, const struct http1_rules *r, struct http1_message *m) {
    message_init(m, false);
    struct http1_verdict v = take_fields(p, p + n, r, m);
    if (v.say) return v;
    if (m->host_given || m->length_given || m->coding_given || m->nlisted) return bad("a trailer is one that only a head may have");
    return good;
}

/* ---- keeping -------------------------------------------------------------------------------------------------------------------------------- */
struct moved { const char *from, *to; size_t n; };

static struct str rebase(const struct moved *mv, struct str s) {
    size_t at = (size_t)((uintptr_t)s.p - (uintptr_t)mv->from);
    return at <= mv->n ? (struct str){ mv->to + at, s.n } : s;
}

static void keep_fields(struct head *h, const struct http1_message *m, const struct moved *mv, char *copy) {
    h->cap = m->head.nfields + 16; /* the policies add some */
    h->fields = arena_alloc(h->arena, h->cap * sizeof *h->fields);
    for (size_t i = 0; i < m->head.nfields; i++) {
        struct field *f = &h->fields[i];
        *f = m->fields[i];
        char *name = copy + (f->name.p - mv->from);
        for (size_t k = 0; k < f->name.n; k++) name[k] = (char)http1_token_lower[(uint8_t)name[k]];
        f->name.p = name;
        f->value = rebase(mv, f->value);
    }
}

/* RFC 9112 3.2.1: an absolute URL with a query and no path has the path "/". */
static struct str rooted(struct arena *a, struct str target) {
    if (target.n == 0 || target.p[0] != '?') return target;
    char *p = arena_bytes(a, target.n + 1);
    p[0] = '/';
    memcpy(p + 1, target.p, target.n);
    return (struct str){ p, target.n + 1 };
}

struct head *http1_keep(const struct http1_message *m, const uint8_t *p, size_t n, struct arena *a) {
    char *copy = arena_bytes(a, n);
    memcpy(copy, p, n);
    struct moved mv = { (const char *)p, copy, n };
    struct head *h = arena_alloc(a, sizeof *h);
    *h = m->head;
    h->arena = a;
    h->method = rebase(&mv, h->method);
    h->authority = rebase(&mv, h->authority);
    h->target = rooted(a, rebase(&mv, h->target));
    h->protocol = rebase(&mv, h->protocol);
    keep_fields(h, m, &mv, copy);
    return h;
}
