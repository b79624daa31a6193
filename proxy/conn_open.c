// SPDX-License-Identifier: Apache-2.0
// How a connection gets its session: TCP is established, the handshake is done, and what is spoken is known, by ALPN, by the first bytes of a
// cleartext client, or from the beginning. Until then no codec sees a byte.
#include "proxy/conn_inside.h"
#include "proxy/tls.h"
#include <errno.h>

/* The codec of a cleartext client by its first bytes; NULL: too few yet. */
static const struct codec *conn_probe(const uint8_t *p, size_t n) {
    const struct codec *plain = NULL;
    bool more = false;
    for (size_t i = 0; i < codec_count(); i++) {
        const struct codec *k = codec_at(i);
        if (!(k->roles & CODEC_DOWN)) continue;
        if (k->default_plain) plain = k;
        enum codec_probe says = k->probe ? k->probe(p, n) : PROBE_NO;
        if (says == PROBE_YES) return k;
        more |= says == PROBE_MORE;
    }
    return more ? NULL : plain;
}
static const struct codec *codec_of_alpn(struct str alpn) {
    for (size_t i = 0; i < codec_count(); i++) {
        const struct codec *k = codec_at(i);
        if (alpn.n ? k->alpn && str_eq(alpn, str_of(k->alpn)) : k->default_plain) return k;
    }
    return NULL;
}
void conn_opening_client(struct conn *c, const uint8_t *p, size_t n) {
    buffer_append(&c->in, p, n);
    const struct codec *k = conn_probe(buffer_data(&c->in), buffer_size(&c->in));
    if (!k) return;
    conn_open_session(c, k);
    conn_feed_kept(c);
    conn_touch(c);
}
/* Whoever scans a port makes a handshake fail: that is counted, and said to who asks. An upstream's is an operator's business. */
static enum log_level handshake_level(const struct conn *c) { return c->session.role == CODEC_UP ? LOG_INFO : LOG_DEBUG; }
bool conn_opening(struct conn *c) {
    if (!c->connected) {
        if (!c->writable) return false;
        int err = c->w->os->so_error(c->fd);
        if (err) {
            struct fault f = { .why = err == ETIMEDOUT ? ENDING_CONNECT_TIMEOUT : ENDING_CONNECT_FAILURE, .unprocessed = true, .wire = (uint32_t)err,
                               .say = err == ECONNREFUSED ? "connection refused" : "the connection could not be made" };
            conn_lose(c, &f, false);
            return false;
        }
        c->connected = true;
        c->moved = c->w->now;
    }
    const struct codec *codec = c->session.codec;
    if (c->tls) {
        enum tls_io io = tls_handshake(c->tls);
        if (io == TLS_LOST || io == TLS_EOF) {
            log_at(handshake_level(c), "tls", "%.*s: handshake failed: %s", STR_ARG(conn_peer_text(c)), tls_error(c->tls));
            conn_peer_lost(c, "the TLS handshake failed");
            return false;
        }
        if (io != TLS_DONE) return false;
        const struct codec *agreed = codec_of_alpn(tls_alpn(c->tls));
        if (!agreed || (codec && codec != agreed)) { /* RFC 9113 3.2: over TLS no protocol but the agreed one, or the default */
            log_at(handshake_level(c), "tls", "%.*s: %s was not agreed on by ALPN", STR_ARG(conn_peer_text(c)), codec ? codec->name : "no protocol");
            conn_peer_lost(c, "the protocol was not agreed on by ALPN");
            return false;
        }
        codec = agreed;
        c->settles = c->session.role == CODEC_DOWN && tls_is_in_kernel(c->tls);
    } else if (!codec && c->session.role == CODEC_UP) {
        codec = codec_of_alpn((struct str){ 0 });
    }
    if (codec) conn_open_session(c, codec);
    return c->state != CONN_DEAD;
}
