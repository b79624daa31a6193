// SPDX-License-Identifier: Apache-2.0
// Extended CONNECT (RFC 8441) to and from the neutral form of a tunnel: a GET whose head has `protocol`, answered 101. WebSocket's key and
// its answer exist over HTTP/1 alone, so this side makes and checks none of its own: it gives HTTP/1 a key, and answers HTTP/1's.
#include "codecs/http2.h"

/* SHA-1, for Sec-WebSocket-Accept only: a handshake's echo, no secret rests on it. Messages of at most 119 bytes: a key and the GUID. */
#define SHA1_BYTES 20u
#define SHA1_MESSAGE 119u
static uint32_t rotate(uint32_t x, unsigned n) { return (x << n) | (x >> (32 - n)); }

static void sha1_block(uint32_t s[5], const uint8_t *p) {
    uint32_t w[80];
    for (unsigned i = 0; i < 16; i++) {
        w[i] = (uint32_t)p[4 * i] << 24 | (uint32_t)p[4 * i + 1] << 16 | (uint32_t)p[4 * i + 2] << 8 | p[4 * i + 3];
    }
    for (unsigned i = 16; i < 80; i++) w[i] = rotate(w[i - 3] ^ w[i - 8] ^ w[i - 14] ^ w[i - 16], 1);
    uint32_t a = s[0], b = s[1], c = s[2], d = s[3], e = s[4];
    for (unsigned i = 0; i < 80; i++) {
        uint32_t f = i < 20 ? ((b & c) | (~b & d)) + 0x5A827999u
                     : i < 40 ? (b ^ c ^ d) + 0x6ED9EBA1u
                     : i < 60 ? ((b & c) | (b & d) | (c & d)) + 0x8F1BBCDCu
                              : (b ^ c ^ d) + 0xCA62C1D6u;
        uint32_t t = rotate(a, 5) + f + e + w[i];
        e = d;
        d = c;
        c = rotate(b, 30);
        b = a;
        a = t;
    }
    s[0] += a;
    s[1] += b;
    s[2] += c;
    s[3] += d;
    s[4] += e;
}

static void sha1(const uint8_t *p, size_t n, uint8_t digest[SHA1_BYTES]) {
    uint8_t m[128] = { 0 };
    memcpy(m, p, n);
    m[n] = 0x80;
    size_t blocks = n < 56 ? 1 : 2, bits = n * 8;
    m[blocks * 64 - 2] = (uint8_t)(bits >> 8);
    m[blocks * 64 - 1] = (uint8_t)bits;
    uint32_t s[5] = { 0x67452301u, 0xEFCDAB89u, 0x98BADCFEu, 0x10325476u, 0xC3D2E1F0u };
    for (size_t i = 0; i < blocks; i++) sha1_block(s, m + 64 * i);
    for (unsigned i = 0; i < SHA1_BYTES; i++) digest[i] = (uint8_t)(s[i / 4] >> (24 - 8 * (i % 4)));
}

static struct str base64(struct arena *a, const uint8_t *p, size_t n) {
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    size_t len = (n + 2) / 3 * 4;
    char *to = arena_bytes(a, len), *at = to;
    for (size_t i = 0; i < n; i += 3) {
        uint32_t v = (uint32_t)p[i] << 16 | (i + 1 < n ? (uint32_t)p[i + 1] << 8 : 0u) | (i + 2 < n ? p[i + 2] : 0u);
        *at++ = digits[v >> 18];
        *at++ = digits[v >> 12 & 63];
        *at++ = i + 1 < n ? digits[v >> 6 & 63] : '=';
        *at++ = i + 2 < n ? digits[v & 63] : '=';
    }
    return (struct str){ to, len };
}

struct str http2_websocket_accept(struct arena *a, struct str key) {
    static const char guid[] = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
    uint8_t m[SHA1_MESSAGE], digest[SHA1_BYTES];
    if (key.n + sizeof guid - 1 > sizeof m) return (struct str){ 0 };
    memcpy(m, key.p, key.n);
    memcpy(m + key.n, guid, sizeof guid - 1);
    sha1(m, key.n + sizeof guid - 1, digest);
    return base64(a, digest, sizeof digest);
}

void http2_tunnel_request(struct head *h, uint64_t nonce) {
    h->method = STR("GET");
    h->body = BODY_TUNNEL;
    if (!str_eq_nocase(h->protocol, STR("websocket"))) return;
    /* RFC 6455 4.1: 16 bytes that no cache has seen. Mixed (splitmix64), so that neighbours do not look alike; they need not be secret. */
    uint8_t raw[16];
    for (unsigned i = 0; i < sizeof raw; i++) {
        nonce += 0x9E3779B97F4A7C15u;
        uint64_t x = (nonce ^ (nonce >> 30)) * 0xBF58476D1CE4E5B9u;
        raw[i] = (uint8_t)((x ^ (x >> 27)) >> 24);
    }
    head_set(h, STR("sec-websocket-key"), base64(h->arena, raw, sizeof raw));
    if (!head_find_name(h, STR("sec-websocket-version"), NULL)) head_add(h, STR("sec-websocket-version"), STR("13"));
}

void http2_tunnel_answer(struct head *h, struct str protocol, struct str key) {
    h->status = 101;
    h->body = BODY_TUNNEL;
    h->protocol = protocol; /* RFC 9110 7.8: a 101 says to what */
    if (!key.n) return;
    struct str accept = http2_websocket_accept(h->arena, key);
    if (accept.n) head_set(h, STR("sec-websocket-accept"), accept);
}
