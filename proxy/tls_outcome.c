// SPDX-License-Identifier: Apache-2.0
// What a call of OpenSSL came to, and in words. It is where its queue of errors, errno and what SSL_get_error makes of both become an enum tls_io and
// an enum tls_loss, once and for all that a connection does.
#include "proxy/tls_inside.h"
#include <errno.h>
#include <openssl/err.h>
#include <stdio.h>

/* The first error in OpenSSL's queue says what was wrong, later ones where it was noticed. */
const char *tls_reason(unsigned long e) {
    const char *say = e ? ERR_reason_error_string(e) : NULL;
    return say ? say : "no reason given";
}

enum tls_io tls_lose(struct tls *t, enum tls_loss loss, const char *say, const char *more) {
    t->over = TLS_LOST;
    t->loss = loss;
    snprintf(t->say, sizeof t->say, "%s%s%s", say, more ? ": " : "", more ? more : "");
    return TLS_LOST;
}

static enum tls_io lose_by_queue(struct tls *t) {
    unsigned long e = ERR_peek_error();
    int why = ERR_GET_LIB(e) == ERR_LIB_SSL ? ERR_GET_REASON(e) : 0;
    if (why == SSL_R_UNEXPECTED_EOF_WHILE_READING) return tls_lose(t, TLS_LOSS_CUT, "the peer closed without close_notify", NULL);
    if (why == SSL_R_CERTIFICATE_VERIFY_FAILED) {
        return tls_lose(t, TLS_LOSS_VERIFY, "the peer's certificate is not acceptable", X509_verify_cert_error_string(SSL_get_verify_result(t->ssl)));
    }
    if (why == SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE) return tls_lose(t, TLS_LOSS_VERIFY, "the peer showed no certificate", NULL);
    return tls_lose(t, TLS_LOSS_PROTOCOL, tls_reason(e), NULL);
}

/* SSL_ERROR_SYSCALL without an errno is how an early FIN looks in some states. */
enum tls_io tls_outcome(struct tls *t, int ret, int err) {
    switch (SSL_get_error(t->ssl, ret)) {
    case SSL_ERROR_NONE: return TLS_DONE;
    case SSL_ERROR_WANT_READ: return TLS_WANT_READ;
    case SSL_ERROR_WANT_WRITE: return TLS_WANT_WRITE;
    case SSL_ERROR_ZERO_RETURN: return t->over = TLS_EOF;
    case SSL_ERROR_SYSCALL:
        if (err) return tls_lose(t, TLS_LOSS_RESET, "the connection failed", strerror(err));
        return tls_lose(t, TLS_LOSS_CUT, "the peer closed without close_notify", NULL);
    default: return lose_by_queue(t);
    }
}

/* Old errors in the queue would be taken for those of the next call (SSL_get_error(3)); errno likewise. */
void tls_begin_call(void) {
    ERR_clear_error();
    errno = 0;
}
