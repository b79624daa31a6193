// SPDX-License-Identifier: Apache-2.0
// What a peer sends besides data, after the handshake. OpenSSL deals with it inside the call that looks for data, which goes on for as long as more
// of it comes, and a call that does not end is a worker that serves nobody else: so it is counted, and at some point nothing more is read. And where
// the kernel encrypts, OpenSSL's answer to a KeyUpdate must not reach the wire.
#include "proxy/tls_inside.h"
#include <openssl/ssl3.h>
#include <stdlib.h>

/* A KeyUpdate of 27 bytes costs a few microseconds, and a peer may send nothing else. Nobody who means well comes near: keys last for 2^24 records. */
#define DATALESS_MAX 32u            /* records ... */
#define DATALESS_PER (1u << 20)     /* ... between so many bytes of data */

static BIO *nowhere(void) {
    BIO *b = BIO_new(BIO_s_null());
    if (!b) abort(); /* out of memory */
    return b;
}
static void on_dataless(struct tls *t) {
    if (t->chatters || ++t->dataless <= DATALESS_MAX) return;
    t->chatters = true;
    SSL_set0_rbio(t->ssl, nowhere()); /* what it holds already is dealt with, and then it is at an end */
}
/* RFC 8446 4.6.3: asked for new keys, OpenSSL says so with its next write, or when it is asked once more; but the kernel would go on with the old
 * ones, and the peer could read nothing from there. */
static void on_key_update(struct tls *t, bool requested) {
    if (!requested || !t->kernel || t->worn) return;
    t->worn = true;
    SSL_set0_wbio(t->ssl, nowhere());
}
/* In TLS 1.3 what a record carries is the last byte that it hides; its head always says data. */
static void on_message(int sent, int version, int type, const void *bytes, size_t n, SSL *ssl, void *arg) {
    (void)version, (void)ssl;
    struct tls *t = arg;
    const uint8_t *p = bytes;
    if (sent || !t->shaken || n == 0) return;
    if (type == SSL3_RT_HEADER || type == SSL3_RT_INNER_CONTENT_TYPE) {
        if (p[0] != SSL3_RT_APPLICATION_DATA) on_dataless(t);
    } else if (type == SSL3_RT_HANDSHAKE && p[0] == SSL3_MT_KEY_UPDATE) {
        on_key_update(t, p[n - 1] == SSL_KEY_UPDATE_REQUESTED);
    }
}
void tls_watch_records(struct tls *t) {
    SSL_set_msg_callback(t->ssl, on_message);
    SSL_set_msg_callback_arg(t->ssl, t);
}
bool tls_chatters(struct tls *t, size_t n) {
    t->heard += n;
    if (t->heard >= DATALESS_PER && !t->chatters) t->heard = t->dataless = 0;
    return t->chatters;
}
