// SPDX-License-Identifier: Apache-2.0
// Addresses and networks as they are written: host:port, [v6]:port, unix:/path, and CIDRs. Names are kept, not looked up. Strict, since a
// leniently read address (10.1 as 10.0.0.1, 010 as octal) is one that other readers of the file take for another.
#include "proxy/config.h"
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/un.h>

#define HOST_MAX 253u /* RFC 1035 2.3.4, without the dot at the end */
#define LABEL_MAX 63u

/* inet_pton wants a NUL. */
static bool pton(int family, struct str host, void *out) {
    char text[INET6_ADDRSTRLEN];
    if (host.n >= sizeof text) return false;
    memcpy(text, host.p, host.n);
    text[host.n] = '\0';
    return strlen(text) == host.n && inet_pton(family, text, out) == 1;
}

static bool set_v4(struct address *a, struct str host) {
    struct sockaddr_in *in = (void *)&a->sa;
    if (!pton(AF_INET, host, &in->sin_addr)) return false;
    in->sin_family = AF_INET;
    in->sin_port = htons(a->port);
    a->len = sizeof *in;
    return true;
}

static bool set_v6(struct address *a, struct str host) {
    struct sockaddr_in6 *in = (void *)&a->sa;
    if (!pton(AF_INET6, host, &in->sin6_addr)) return false;
    in->sin6_family = AF_INET6;
    in->sin6_port = htons(a->port);
    a->len = sizeof *in;
    return true;
}

static const char *parse_unix(struct str path, struct address *out) {
    struct sockaddr_un *un = (void *)&out->sa;
    if (!path.n || path.p[0] != '/') return "the path of a unix socket begins with /";
    if (path.n >= sizeof un->sun_path) return "the path of a unix socket has at most 107 bytes";
    if (memchr(path.p, 0, path.n)) return "a path has no NUL";
    un->sun_family = AF_UNIX;
    memcpy(un->sun_path, path.p, path.n);
    out->len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + path.n + 1);
    out->kind = ADDRESS_UNIX;
    out->host = path;
    return NULL;
}

static const char *parse_port(struct str text, uint16_t *out) {
    uint64_t port;
    if (!text.n) return "the port is missing";
    if (text.n > 5 || !str_to_u64(text, &port) || port > UINT16_MAX) return "the port is a number from 0 to 65535";
    *out = (uint16_t)port;
    return NULL;
}

static bool is_digit(char b) { return b >= '0' && b <= '9'; }
static bool is_name_byte(char b) { return is_digit(b) || (b >= 'a' && b <= 'z') || (b >= 'A' && b <= 'Z') || b == '-' || b == '_'; }

static const char *check_label(struct str label) {
    if (!label.n) return "the name has an empty part";
    if (label.n > LABEL_MAX) return "a part of the name is longer than 63 bytes";
    if (label.p[0] == '-' || label.p[label.n - 1] == '-') return "a part of the name begins or ends with -";
    for (size_t i = 0; i < label.n; i++)
        if (!is_name_byte(label.p[i])) return "a name is letters, digits, - and dots";
    return NULL;
}

static bool is_number(struct str label) {
    for (size_t i = 0; i < label.n; i++)
        if (!is_digit(label.p[i])) return false;
    return true;
}

/* RFC 3696 2: no top-level name is all digits, so what ends in a number is an address that went wrong. */
static const char *check_name(struct str name) {
    if (name.n && name.p[name.n - 1] == '.') name.n--;
    if (!name.n) return "the host is missing";
    if (name.n > HOST_MAX) return "the name is longer than 253 bytes";
    struct str last;
    for (size_t at = 0;;) {
        last = str_first(str_from(name, at), str_index(str_from(name, at), '.'));
        const char *say = check_label(last);
        if (say) return say;
        at += last.n + 1;
        if (at > name.n) break;
    }
    return is_number(last) ? "this is not an IPv4 address" : NULL;
}

static const char *parse_v6(struct str text, struct address *out) {
    size_t end = str_index(text, ']');
    if (end == text.n) return "the ] is missing";
    struct str rest = str_from(text, end + 1);
    if (!rest.n || rest.p[0] != ':') return "the port is missing";
    const char *say = parse_port(str_from(rest, 1), &out->port);
    if (say) return say;
    out->host = str_from(str_first(text, end), 1);
    out->kind = ADDRESS_IP;
    return set_v6(out, out->host) ? NULL : "this is not an IPv6 address";
}

static bool is_like_v6(struct str text) {
    for (size_t i = 0; i < text.n; i++)
        if (!text.p[i] || !strchr("0123456789abcdefABCDEF:.", text.p[i])) return false;
    return true;
}

const char *address_parse(struct str text, struct address *out) {
    *out = (struct address){ .text = text };
    if (!text.n) return "the address is empty";
    if (str_starts(text, STR("unix:"))) return parse_unix(str_from(text, 5), out);
    if (text.p[0] == '/') return "a unix socket is written unix:/path";
    if (text.p[0] == '[') return parse_v6(text, out);
    size_t colon = str_index(text, ':');
    if (colon == text.n) return "the port is missing";
    out->host = str_first(text, colon);
    struct str port = str_from(text, colon + 1);
    if (str_starts(port, STR("//"))) return "an address has no scheme: it is host:port";
    if (str_index(port, ':') < port.n) return is_like_v6(text) ? "an IPv6 address stands in brackets: [::1]:80" : "an address is host:port";
    const char *say = parse_port(port, &out->port);
    if (say) return say;
    out->kind = ADDRESS_IP;
    if (set_v4(out, out->host)) return NULL;
    out->kind = ADDRESS_NAME;
    return check_name(out->host);
}

/* ---- as sockets have them ------------------------------------------------------------------------------------------------------- */

bool sockaddr_eq(const struct sockaddr_storage *a, const struct sockaddr_storage *b) {
    if (a->ss_family != b->ss_family) return false;
    if (a->ss_family == AF_INET) {
        const struct sockaddr_in *x = (const void *)a, *y = (const void *)b;
        return x->sin_addr.s_addr == y->sin_addr.s_addr && x->sin_port == y->sin_port;
    }
    if (a->ss_family == AF_UNIX) {
        const struct sockaddr_un *x = (const void *)a, *y = (const void *)b;
        return strcmp(x->sun_path, y->sun_path) == 0;
    }
    const struct sockaddr_in6 *x = (const void *)a, *y = (const void *)b;
    return memcmp(&x->sin6_addr, &y->sin6_addr, sizeof x->sin6_addr) == 0 && x->sin6_port == y->sin6_port;
}
socklen_t sockaddr_len(const struct sockaddr_storage *sa) {
    return sa->ss_family == AF_INET ? sizeof(struct sockaddr_in) : sizeof(struct sockaddr_in6);
}
void sockaddr_print(const struct sockaddr_storage *sa, char text[ENDPOINT_TEXT_MAX]) {
    char ip[INET6_ADDRSTRLEN] = "";
    const struct sockaddr_in *v4 = (const void *)sa;
    const struct sockaddr_in6 *v6 = (const void *)sa;
    text[0] = '\0';
    if (sa->ss_family == AF_INET) {
        inet_ntop(AF_INET, &v4->sin_addr, ip, sizeof ip);
        snprintf(text, ENDPOINT_TEXT_MAX, "%s:%u", ip, ntohs(v4->sin_port));
    } else if (sa->ss_family == AF_INET6) {
        inet_ntop(AF_INET6, &v6->sin6_addr, ip, sizeof ip);
        snprintf(text, ENDPOINT_TEXT_MAX, "[%s]:%u", ip, ntohs(v6->sin6_port));
    }
}
bool address_is_same(const struct address *a, const struct address *b) {
    return a->len && a->len == b->len && memcmp(&a->sa, &b->sa, a->len) == 0;
}

/* ---- networks ------------------------------------------------------------------------------------------------------------------ */

static const uint8_t mapped[12] = { 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff }; /* RFC 4291 2.5.5.2 */

/* ::ffff:10.0.0.0/104 is 10.0.0.0/8: an IPv4 peer has either form, by the listener's socket. */
static void unmap(struct cidr *c) {
    if (c->family != AF_INET6 || c->bits < 96 || memcmp(c->bytes, mapped, sizeof mapped) != 0) return;
    memmove(c->bytes, c->bytes + 12, 4);
    memset(c->bytes + 4, 0, 12);
    c->family = AF_INET;
    c->bits = (uint8_t)(c->bits - 96);
}

static bool has_host_bits(const struct cidr *c, size_t bytes) {
    for (size_t bit = c->bits; bit < 8 * bytes; bit++)
        if (c->bytes[bit / 8] >> (7 - bit % 8) & 1) return true;
    return false;
}

const char *cidr_parse(struct str text, struct cidr *out) {
    *out = (struct cidr){ 0 };
    size_t slash = str_index(text, '/');
    struct str host = str_first(text, slash);
    bool v4 = pton(AF_INET, host, out->bytes);
    if (!v4 && !pton(AF_INET6, host, out->bytes)) return "a network is an IP address, and perhaps / and the length of the prefix";
    uint64_t most = v4 ? 32 : 128, bits = most;
    if (slash < text.n && (text.n - slash > 4 || !str_to_u64(str_from(text, slash + 1), &bits) || bits > most))
        return v4 ? "the prefix of an IPv4 network has 0 to 32 bits" : "the prefix of an IPv6 network has 0 to 128 bits";
    out->family = v4 ? AF_INET : AF_INET6;
    out->bits = (uint8_t)bits;
    if (has_host_bits(out, v4 ? 4 : 16)) return "bits behind the prefix are set";
    unmap(out);
    return NULL;
}

/* The address's bytes, IPv4-mapped ones as IPv4. NULL: no IP address. */
static const uint8_t *bytes_of(const struct sockaddr_storage *peer, uint8_t *family) {
    *family = (uint8_t)peer->ss_family;
    if (peer->ss_family == AF_INET) return (const uint8_t *)&((const struct sockaddr_in *)(const void *)peer)->sin_addr;
    if (peer->ss_family != AF_INET6) return NULL;
    const uint8_t *bytes = ((const struct sockaddr_in6 *)(const void *)peer)->sin6_addr.s6_addr;
    if (memcmp(bytes, mapped, sizeof mapped) != 0) return bytes;
    *family = AF_INET;
    return bytes + 12;
}

static bool is_in(const struct cidr *c, const uint8_t *bytes) {
    size_t whole = c->bits / 8, rest = c->bits % 8;
    if (memcmp(c->bytes, bytes, whole) != 0) return false;
    return rest == 0 || ((c->bytes[whole] ^ bytes[whole]) >> (8 - rest)) == 0;
}

bool trust_has(const struct trust *t, const struct sockaddr_storage *peer) {
    if (t->mode != TRUST_LIST) return t->mode == TRUST_ALL;
    uint8_t family;
    const uint8_t *bytes = bytes_of(peer, &family);
    for (size_t i = 0; bytes && i < t->n; i++)
        if (t->v[i].family == family && is_in(&t->v[i], bytes)) return true;
    return false;
}
