// SPDX-License-Identifier: Apache-2.0
// A header block to a head and back. It must let nothing through that another protocol would frame differently (trap T25): nghttp2 has checked
// names, values, the order of pseudo-fields, connection-specific fields, `te` and that content-length holds; the rest of RFC 9113 8.2
// and 8.3 is checked here. What was gathered is copied at once, into the leg's arena, and sliced there.
#include "codecs/http2.h"
#include <assert.h>

struct reading {
    struct head *h;
    const char *at;        /* into the copy of all that was gathered */
    struct str path, host, crumbs;
    bool has_length, has_path, has_scheme;
    size_t ncookies, cookie_bytes;
};

/* The next of those that were gathered: each follows the one before. */
static struct str next(struct reading *r, size_t n) {
    struct str s = { r->at, n };
    r->at += n;
    return s;
}

static void begin(struct reading *r, struct http2 *h, struct arena *a, bool request) {
    *r = (struct reading){ .h = arena_alloc(a, sizeof *r->h) };
    head_init(r->h, a, request);
    r->h->version = 20;
    r->h->keep_alive = true;
    r->h->cap = h->gather.n + 4; /* room for what is added on the way through */
    r->h->fields = arena_alloc(a, r->h->cap * sizeof *r->h->fields);
    r->at = arena_copy(a, (struct str){ h->gather.text, h->gather.text_n }).p;
}

static uint16_t status_of(struct str s) { /* nghttp2 has seen three digits */
    unsigned n = 0;
    for (size_t i = 0; i < s.n && i < 3; i++) n = n * 10 + (unsigned)(s.p[i] - '0');
    return (uint16_t)n;
}

static void read_pseudo(struct reading *r, struct str name, struct str value) {
    struct head *h = r->h;
    if (str_eq(name, STR(":method"))) h->method = value;
    else if (str_eq(name, STR(":path"))) r->path = value, r->has_path = true;
    else if (str_eq(name, STR(":authority"))) h->authority = value;
    else if (str_eq(name, STR(":scheme"))) h->scheme = value, r->has_scheme = true;
    else if (str_eq(name, STR(":protocol"))) h->protocol = value;
    else if (str_eq(name, STR(":status"))) h->status = status_of(value);
}

static void read_field(struct reading *r, struct str name, struct str value, bool sensitive) {
    uint32_t hash = name_hash(name);
    enum token token = token_of(name, hash);
    if (token == TOKEN_CONTENT_LENGTH) {
        r->has_length = str_to_u64(value, &r->h->length);
        return;
    }
    if (token == TOKEN_HOST) {
        r->host = value;
        return;
    }
    if (token == TOKEN_TE) { /* RFC 9113 8.2.2: nothing but "trailers", which nghttp2 has checked */
        r->h->te_trailers = r->h->request;
        return;
    }
    if (token == TOKEN_COOKIE) {
        r->ncookies++;
        r->cookie_bytes += value.n;
    }
    head_add_hashed(r->h, name, hash, token, value)->sensitive = sensitive;
}

static void read_all(struct reading *r, const struct http2_gather *g) {
    for (size_t i = 0; i < g->n; i++) {
        struct str name = next(r, g->v[i].name), value = next(r, g->v[i].value);
        if (name.n && name.p[0] == ':') read_pseudo(r, name, value);
        else read_field(r, name, value, g->v[i].sensitive);
    }
}

/* RFC 9113 8.2.3: crumbs become one field before they leave HTTP/2. */
static void join_cookies(struct reading *r) {
    if (r->ncookies < 2) return;
    char *all = arena_bytes(r->h->arena, r->cookie_bytes + 2 * r->ncookies), *at = all;
    struct field *first = NULL;
    for (size_t i = 0; i < r->h->nfields; i++) {
        struct field *f = &r->h->fields[i];
        if (f->token != TOKEN_COOKIE) continue;
        if (first) {
            *at++ = ';';
            *at++ = ' ';
        }
        memcpy(at, f->value.p, f->value.n);
        at += f->value.n;
        if (!first) {
            first = f;
            continue;
        }
        first->sensitive |= f->sensitive;
        field_remove(f);
    }
    if (first) first->value = (struct str){ all, (size_t)(at - all) };
}

/* RFC 9113 8.3.1: as it will stand in HTTP/1's request line, so no blank, control or fragment; nor DEL. */
static const char *check_path(const struct head *h, struct str path) {
    if (path.n == 0) return ":path is empty";
    if (path.p[0] != '/' && !(str_eq(path, STR("*")) && str_eq(h->method, STR("OPTIONS")))) return ":path does not begin with a slash";
    for (size_t i = 0; i < path.n; i++) {
        unsigned char c = (unsigned char)path.p[i];
        if (c <= 0x20 || c == 0x7f || c == '#') return ":path has a byte that a target may not have";
    }
    return NULL;
}

static const char *check_authority(struct reading *r) {
    struct head *h = r->h;
    if (r->host.p && h->authority.n == 0) h->authority = r->host;
    /* RFC 9113 8.3.1: a server SHOULD treat a request as malformed where they differ; whoever is behind us may believe the other one. */
    if (r->host.p && !str_eq_nocase(h->authority, r->host)) return "host differs from :authority";
    for (size_t i = 0; i < h->authority.n; i++) {
        unsigned char c = (unsigned char)h->authority.p[i];
        if (c <= 0x20 || c >= 0x7f || c == '@' || c == '/' || c == '?' || c == '#' || c == '\\' || c == ',') {
            return ":authority has a byte that it may not have";
        }
    }
    return NULL;
}

static const char *check_request(struct reading *r) {
    struct head *h = r->h;
    const char *wrong = check_authority(r);
    if (wrong) return wrong;
    bool connect = str_eq(h->method, STR("CONNECT"));
    if (connect && h->protocol.n == 0) return r->has_path || r->has_scheme || h->authority.n == 0 ? "CONNECT takes :authority alone" : NULL;
    if (!is_token(h->method)) return ":method is not a token";
    /* A list would be more than was asked for, once it stands in HTTP/1's Upgrade. */
    if (h->protocol.n && (!is_protocol(h->protocol) || protocol_is_http(h->protocol))) return ":protocol is none that is carried";
    if (!str_eq_nocase(h->scheme, STR("http")) && !str_eq_nocase(h->scheme, STR("https"))) return ":scheme is not http or https";
    h->target = r->path;
    return check_path(h, r->path);
}

static void set_body(struct reading *r, bool end) {
    /* A length stands also where no body follows: an answer to HEAD, a 304, a POST of nothing. nghttp2 holds all others to it. */
    r->h->body = r->has_length ? BODY_LENGTH : end ? BODY_NONE : BODY_STREAM;
    r->h->unended = !end;
}

const char *http2_head_read(struct http2 *h, struct arena *a, bool request, bool end, struct head **out) {
    struct reading r;
    begin(&r, h, a, request);
    read_all(&r, &h->gather);
    *out = r.h;
    set_body(&r, end);
    if (!request) {
        /* nghttp2 lets 000 pass as a final answer, which nobody here would take for one; RFC 9110 15: above 599 they are invalid. */
        if (r.h->status < 100 || r.h->status > 599) return "the status is none of HTTP";
        r.h->interim = r.h->status < 200;
        if (r.h->interim) r.h->body = BODY_NONE;
        return NULL;
    }
    join_cookies(&r);
    const char *wrong = check_request(&r);
    if (wrong) return wrong;
    if (!str_eq(r.h->method, STR("CONNECT"))) return r.h->protocol.n ? ":protocol without CONNECT" : NULL;
    if (end) return "CONNECT without a tunnel";
    r.h->body = BODY_TUNNEL;
    return NULL;
}

struct head *http2_head_unfit(struct http2 *h, struct arena *a) {
    struct reading r;
    begin(&r, h, a, true);
    read_all(&r, &h->gather);
    r.h->target = r.path;
    r.h->protocol = (struct str){ 0 };
    return r.h;
}

const char *http2_trailers_read(struct http2 *h, struct arena *a, struct head **out) {
    struct reading r;
    begin(&r, h, a, false);
    read_all(&r, &h->gather);
    *out = r.h;
    return r.host.p || r.has_length ? "a trailer that frames or routes" : NULL; /* RFC 9110 6.5.1 */
}

/* ---- writing ---------------------------------------------------------------------------------------------------------------- */

static void room(struct http2 *h, size_t n) {
    if (n <= h->nv_cap) return;
    h->nv_cap = n + 16;
    h->nv = mem_realloc(h->nv, h->nv_cap * sizeof *h->nv);
}

/* One head in so many gives its volatile fields a place in HPACK's table: then their names are there for those that follow, whose values would only
 * push others out. */
#define VOLATILE_INDEXED 64u

static void put(struct http2 *h, size_t *n, struct str name, struct str value, unsigned flags) {
    assert(*n < h->nv_cap);
    h->nv[(*n)++] = (nghttp2_nv){ .name = (uint8_t *)(uintptr_t)name.p, .namelen = name.n,
                                  .value = (uint8_t *)(uintptr_t)(value.n ? value.p : ""), .valuelen = value.n, .flags = (uint8_t)flags };
}

/* RFC 9113 8.2.2: connection matters have no field here; content-length is ours to write. */
static bool is_framing(const struct field *f) {
    return f->token == TOKEN_CONNECTION || f->token == TOKEN_KEEP_ALIVE || f->token == TOKEN_PROXY_CONNECTION || f->token == TOKEN_UPGRADE ||
           f->token == TOKEN_TRANSFER_ENCODING || f->token == TOKEN_TE || f->token == TOKEN_HOST || f->token == TOKEN_CONTENT_LENGTH;
}

static bool is_tunnel_key(const struct field *f) {
    return str_eq(f->name, STR("sec-websocket-key")) || str_eq(f->name, STR("sec-websocket-accept"));
}

static void put_fields(struct http2 *h, size_t *n, const struct head *from, bool tunnel, unsigned flags) {
    bool index = h->heads++ % VOLATILE_INDEXED == 0;
    for (size_t i = 0; i < from->nfields; i++) {
        const struct field *f = &from->fields[i];
        if (field_is_removed(f) || is_framing(f) || (tunnel && is_tunnel_key(f))) continue;
        put(h, n, f->name, f->value, f->sensitive || (f->changes && !index) ? flags | NGHTTP2_NV_FLAG_NO_INDEX : flags);
    }
}

static size_t digits(uint64_t v, char *text) {
    char back[20];
    size_t n = 0;
    do {
        back[n++] = (char)('0' + v % 10);
        v /= 10;
    } while (v);
    for (size_t i = 0; i < n; i++) text[i] = back[n - 1 - i];
    return n;
}

static void put_request(struct http2 *h, size_t *n, const struct head *from, unsigned flags) {
    bool connect = str_eq(from->method, STR("CONNECT")) && from->protocol.n == 0;
    put(h, n, STR(":method"), from->protocol.n ? STR("CONNECT") : from->method, flags);
    if (!connect) {
        put(h, n, STR(":scheme"), h->s->secure ? STR("https") : STR("http"), flags);
        put(h, n, STR(":path"), from->target.n ? from->target : STR("/"), flags);
    }
    if (from->authority.n) put(h, n, STR(":authority"), from->authority, flags);
    if (from->protocol.n) put(h, n, STR(":protocol"), from->protocol, flags);
}

/* A 2xx opens the tunnel (RFC 8441 5), so only 101 may become one: an upstream that ignored the upgrade must not look as if it took it. */
static uint16_t status_to_write(const struct http2_leg *t, const struct head *from) {
    if (!t->tunnel || from->interim) return from->status;
    if (from->status == 101) return 200;
    return from->status / 100 == 2 ? 502 : from->status;
}

size_t http2_head_write(struct http2 *h, const struct http2_leg *t, const struct head *from, enum http2_bytes how) {
    room(h, from->nfields + 8);
    size_t n = 0;
    bool tunnel = from->request ? from->protocol.n > 0 : t->tunnel;
    unsigned flags = how == HTTP2_BY_REFERENCE ? NGHTTP2_NV_FLAG_NO_COPY_NAME | NGHTTP2_NV_FLAG_NO_COPY_VALUE : NGHTTP2_NV_FLAG_NONE;
    if (from->request) {
        put_request(h, &n, from, flags);
    } else {
        digits(status_to_write(t, from), h->status);
        put(h, &n, STR(":status"), (struct str){ h->status, 3 }, flags);
    }
    put_fields(h, &n, from, tunnel, flags);
    if (from->request && from->te_trailers) put(h, &n, STR("te"), STR("trailers"), flags);
    if (from->body == BODY_LENGTH) put(h, &n, STR("content-length"), (struct str){ h->length, digits(from->length, h->length) }, flags);
    return n;
}

size_t http2_trailers_write(struct http2 *h, const struct head *from) {
    room(h, from->nfields);
    size_t n = 0;
    put_fields(h, &n, from, false, NGHTTP2_NV_FLAG_NONE);
    return n;
}
