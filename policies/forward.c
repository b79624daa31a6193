// SPDX-License-Identifier: Apache-2.0
// What a message tells of the way it came: Via, X-Forwarded-*, X-Real-IP and Forwarded. An untrusted peer's own word is thrown away: an upstream that reads
// X-Forwarded-For to know its client must not read what the client made up.
#include "policies/check.h"
#include "policies/policy.h"

static void check_forward(struct conf *c, const struct conf_node *n, void *at) {
    const struct forward_policy *p = at;
    if (n && !is_token(p->via_name))
        conf_error(c, conf_pos_of(n, "via_name"), NULL, "\"%.*s\" is no name for Via: letters, digits and -._", STR_ARG(p->via_name));
}

static const struct conf_word mode_words[] = {
    { "none", FORWARDED_NONE, "none is written, and those of the client pass as they are" },
    { "x-forwarded", FORWARDED_X, "X-Forwarded-For, X-Forwarded-Proto and X-Forwarded-Host" },
    { "forwarded", FORWARDED_RFC, "Forwarded (RFC 7239)" },
    { "both", FORWARDED_BOTH, "X-Forwarded-* and Forwarded" },
    { 0 }
};
static const struct conf_field forward_fields[] = {
    { .name = "headers", .type = CONF_ENUM, .offset = offsetof(struct forward_policy, headers), .words = mode_words, .def = "x-forwarded",
      .help = "which headers tell the upstream who asked; to a trusted peer's own ours are added, others' are removed first, X-Real-IP with them" },
    { .name = "real_ip", .type = CONF_BOOL, .offset = offsetof(struct forward_policy, real_ip), .def = "false",
      .help = "whether X-Real-IP names the peer, too; a trusted peer's own stands" },
    { .name = "via", .type = CONF_BOOL, .offset = offsetof(struct forward_policy, via), .def = "true",
      .help = "whether requests and answers say in Via that they came through here (RFC 9110 7.6.3)" },
    { .name = "via_name", .type = CONF_STRING, .offset = offsetof(struct forward_policy, via_name), .def = "curfew",
      .help = "the name that stands in Via" },
    { 0 }
};
const struct conf_table forward_table = { .name = "forward", .size = sizeof(struct forward_policy), .fields = forward_fields,
    .check = check_forward, .help = "What an upstream is told of the way that a request came." };

/* ---- text ------------------------------------------------------------------------------------------------------------------------- */

struct text { char *p; size_t n; };

static void put(struct text *t, struct str s) {
    if (s.n) memcpy(t->p + t->n, s.p, s.n);
    t->n += s.n;
}

static struct str joined(struct arena *a, struct str old, struct str more) {
    if (!old.n) return more;
    struct text t = { arena_bytes(a, old.n + 2 + more.n), 0 };
    put(&t, old);
    put(&t, STR(", "));
    put(&t, more);
    return (struct str){ t.p, t.n };
}

/* The bare address: without port and brackets. */
static struct str bare_address(struct str s) {
    if (s.n && s.p[0] == '[') {
        size_t end = str_index(s, ']');
        return (struct str){ s.p + 1, end - 1 };
    }
    size_t colon = str_index(s, ':');
    bool is_ipv6 = colon < s.n && str_index(str_from(s, colon + 1), ':') < s.n - colon - 1;
    return is_ipv6 ? s : str_first(s, colon);
}

/* RFC 7239 4: a value that is no token is quoted, so is all that has a colon. */
static void put_value(struct text *t, struct str s, const char *before, const char *after) {
    bool quote = *before || !is_token(s);
    if (quote) put(t, STR("\""));
    put(t, str_of(before));
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] == '"' || s.p[i] == '\\') t->p[t->n++] = '\\';
        t->p[t->n++] = s.p[i];
    }
    put(t, str_of(after));
    if (quote) put(t, STR("\""));
}

static struct str forwarded_element(struct arena *a, struct str peer, struct str host, bool secure) {
    struct text t = { arena_bytes(a, 64 + 2 * (peer.n + host.n)), 0 };
    bool is_ipv6 = str_index(peer, ':') < peer.n;
    put(&t, STR("for="));
    if (peer.n) put_value(&t, peer, is_ipv6 ? "[" : "", is_ipv6 ? "]" : "");
    else put(&t, STR("unknown"));
    if (host.n) {
        put(&t, STR(";host="));
        put_value(&t, host, "", "");
    }
    put(&t, secure ? STR(";proto=https") : STR(";proto=http"));
    return (struct str){ t.p, t.n };
}

/* ---- fields ----------------------------------------------------------------------------------------------------------------------- */

static struct str name_of(enum token t) { return token_name(t); }

/* A list to which each hop adds: trusted peers' own is kept in front. */
static void append(struct head *up, enum token name, struct str value, bool trusted) {
    if (!head_find(up, name)) head_add(up, name_of(name), value);
    else head_set(up, name_of(name), trusted ? joined(up->arena, head_joined(up, name_of(name)), value) : value);
}

/* What the first of us saw: a trusted peer's word stands. */
static void settle(struct head *up, enum token name, struct str value, bool trusted) {
    if (!head_find(up, name)) {
        if (value.n) head_add(up, name_of(name), value);
    } else if (!trusted) {
        head_remove(up, name_of(name));
        if (value.n) head_add(up, name_of(name), value);
    }
}

/* Also those that we do not write (X-Forwarded-Port, -Prefix, -Server): an upstream may read them. */
static const struct str prefix = STR_INIT("x-forwarded-");
static bool is_claim(const struct field *f) {
    return f->token == TOKEN_FORWARDED || f->token == TOKEN_X_REAL_IP || (f->name.n > prefix.n && f->name.p[0] == 'x' && str_starts(f->name, prefix));
}
bool forward_removes_alike(const struct forward_policy *p, bool trusted, struct str name) {
    if (trusted) return false;
    if (str_is_alike(token_name(TOKEN_X_REAL_IP), name)) return p->headers != FORWARDED_NONE || p->real_ip;
    return p->headers != FORWARDED_NONE && name.n > prefix.n && str_is_alike(prefix, str_first(name, prefix.n));
}
static void remove_claims(struct head *up) {
    for (size_t i = 0; i < up->nfields; i++)
        if (is_claim(&up->fields[i])) field_remove(&up->fields[i]);
}

static void add_via(const struct forward_policy *p, uint8_t version, struct head *h) {
    /* RFC 9110 7.6.3: received-protocol is the version of the message as it came; HTTP may be left out. */
    struct str v = version >= 30 ? STR("3 ") : version >= 20 ? STR("2 ") : version == 10 ? STR("1.0 ") : STR("1.1 ");
    struct text t = { arena_bytes(h->arena, v.n + p->via_name.n), 0 };
    put(&t, v);
    put(&t, p->via_name);
    head_add(h, name_of(TOKEN_VIA), (struct str){ t.p, t.n });
}

void forward_apply(const struct forward_policy *p, const struct forward_facts *f, const struct head *request, struct head *up) {
    if (p->via) add_via(p, f->version, up);
    if (p->headers == FORWARDED_NONE && !p->real_ip) return;
    struct str peer = bare_address(f->peer);
    if (!f->trusted && p->headers != FORWARDED_NONE) remove_claims(up);
    if (p->real_ip) settle(up, TOKEN_X_REAL_IP, peer, f->trusted);
    if (p->headers == FORWARDED_X || p->headers == FORWARDED_BOTH) {
        if (peer.n) append(up, TOKEN_X_FORWARDED_FOR, peer, f->trusted);
        settle(up, TOKEN_X_FORWARDED_PROTO, f->secure ? STR("https") : STR("http"), f->trusted);
        settle(up, TOKEN_X_FORWARDED_HOST, request->authority, f->trusted);
    }
    if (p->headers == FORWARDED_RFC || p->headers == FORWARDED_BOTH)
        append(up, TOKEN_FORWARDED, forwarded_element(up->arena, peer, request->authority, f->secure), f->trusted);
}

void forward_in_trailers(const struct forward_policy *p, bool trusted, struct head *trailers) {
    if (trusted) return;
    if (p->headers != FORWARDED_NONE) remove_claims(trailers);
    else if (p->real_ip) head_remove(trailers, name_of(TOKEN_X_REAL_IP));
}

void forward_answer(const struct forward_policy *p, uint8_t version, struct head *down) {
    if (p->via) add_via(p, version, down);
}
