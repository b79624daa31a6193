// SPDX-License-Identifier: Apache-2.0
// A TLS connection over OpenSSL 3.0, which only tls*.c include. It owns the connection's state; the socket is its caller's, and it never waits.
//
//   configuration → tls_server_build: an SSL_CTX a certificate → tls_accept → handshake: SNI picks the SSL_CTX, ALPN the protocol
//                   tls_client_build: one SSL_CTX → tls_connect → handshake: the certificate is verified for a name
//   read, write, shutdown → tls_begin_call, a call of OpenSSL, tls_outcome
//
// Where the kernel encrypts, OpenSSL makes the handshake and the alerts, and what is said goes to the socket as in cleartext: past OpenSSL, which after
// a refused write keeps pointing at the caller's bytes, whatever SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER says, and sends what stands there later (openssl
// issue 21202). Reading stays with OpenSSL, which takes many records with one call, and the keys that a peer changes in TLS 1.3.
#include "proxy/tls_inside.h"
#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <linux/tls.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <stdlib.h>
#include <sys/socket.h>

#define RECORD 16384u /* RFC 8446 5.1: what one record carries */

/* ---- making and freeing --------------------------------------------------------------------------------------------------------- */
/* Read through a BIO that knows nothing of kernels: there is an option for both directions only. */
static void keep_reading(struct tls *t, int fd) {
    BIO *in = BIO_new_fd(fd, BIO_NOCLOSE);
    if (!in) abort(); /* out of memory */
    SSL_set0_rbio(t->ssl, in);
}

static struct tls *tls_new(SSL_CTX *ctx, int fd) {
    struct tls *t = mem_zalloc(sizeof *t);
    t->ssl = SSL_new(ctx);
    if (!t->ssl || SSL_set_fd(t->ssl, fd) != 1) abort(); /* out of memory */
    t->fd = fd;
    t->over = TLS_DONE;
    tls_watch_records(t);
    if (SSL_CTX_get_options(ctx) & SSL_OP_ENABLE_KTLS) keep_reading(t, fd);
    return t;
}

struct tls *tls_accept(struct tls_server *s, int fd) {
    struct tls *t = tls_new(s->ctx[0], fd);
    t->server = tls_server_ref(s);
    SSL_set_accept_state(t->ssl);
    return t;
}

static bool is_address(const char *name) {
    unsigned char bytes[16];
    return inet_pton(AF_INET, name, bytes) == 1 || inet_pton(AF_INET6, name, bytes) == 1;
}

/* RFC 6066 3: an address is no server name, and a name is sent without its last dot. What is verified is what was asked for. */
static void set_peer_name(SSL *ssl, char *name) {
    size_t n = strlen(name);
    assert(n > 0); /* for OpenSSL no name means: any name is good */
    if (n > 1 && name[n - 1] == '.') name[n - 1] = '\0';
    SSL_set_hostflags(ssl, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
    bool address = is_address(name);
    if (!address) SSL_set_tlsext_host_name(ssl, name);
    int ok = address ? X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), name) : SSL_set1_host(ssl, name);
    assert(ok == 1);
}

struct tls *tls_connect(struct tls_client *k, int fd, struct str name) {
    struct tls *t = tls_new(k->ctx, fd);
    t->client = tls_client_ref(k);
    SSL_set_connect_state(t->ssl);
    char *peer = tls_text(k->server_name ? str_of(k->server_name) : name);
    set_peer_name(t->ssl, peer);
    free(peer);
    return t;
}

void tls_free(struct tls *t) {
    if (!t) return;
    SSL_free(t->ssl); /* its BIO does not own the descriptor */
    tls_server_unref(t->server);
    tls_client_unref(t->client);
    free(t);
}

/* ---- using it ------------------------------------------------------------------------------------------------------------------- */
enum tls_io tls_handshake(struct tls *t) {
    if (t->over == TLS_LOST) return TLS_LOST;
    tls_begin_call();
    int ret = SSL_do_handshake(t->ssl);
    enum tls_io io = tls_outcome(t, ret, errno);
    if (io == TLS_DONE) {
        t->shaken = true;
        t->kernel = BIO_get_ktls_send(SSL_get_wbio(t->ssl));
    }
    return io == TLS_EOF ? tls_lose(t, TLS_LOSS_PROTOCOL, "the peer closed during the handshake", NULL) : io;
}

/* One call reads one record; what else a read of the socket brought is taken too, and the socket is not asked again: its EAGAIN would have to be
 * asked for once more by the next call. */
enum tls_io tls_read(struct tls *t, void *buf, size_t n, size_t *got) {
    *got = 0;
    if (t->over != TLS_DONE) return t->over;
    enum tls_io io = TLS_DONE;
    do {
        size_t one = 0;
        tls_begin_call();
        int ret = SSL_read_ex(t->ssl, (char *)buf + *got, n - *got, &one);
        io = ret == 1 ? TLS_DONE : tls_outcome(t, ret, errno);
        *got += one;
    } while (io == TLS_DONE && *got < n && SSL_has_pending(t->ssl));
    if (tls_chatters(t, *got)) io = tls_lose(t, TLS_LOSS_PROTOCOL, "too many records without data", NULL);
    return *got > 0 ? TLS_DONE : io;
}

struct pieces { const struct iovec *v; unsigned n; size_t off; }; /* what is left: v[0] from off */

static void pieces_skip(struct pieces *p, size_t n) {
    while (p->n > 0 && n >= p->v->iov_len - p->off) {
        n -= p->v->iov_len - p->off;
        p->off = 0;
        p->v++;
        p->n--;
    }
    p->off += n;
}

/* The next bytes, at most a record of them: in place where one piece has a record's worth or is the last, else copied together, since each record
 * costs a header, a tag and a system call. */
static size_t pieces_next(const struct pieces *p, const uint8_t **at) {
    static _Thread_local uint8_t flat[RECORD];
    size_t first = p->v->iov_len - p->off;
    *at = (const uint8_t *)p->v->iov_base + p->off;
    if (first >= RECORD) return RECORD;
    if (p->n == 1) return first;
    size_t len = 0, off = p->off;
    for (unsigned i = 0; i < p->n && len < RECORD; i++) {
        size_t have = p->v[i].iov_len - off, take = have < RECORD - len ? have : RECORD - len;
        if (take) memcpy(flat + len, (const uint8_t *)p->v[i].iov_base + off, take);
        len += take;
        off = 0;
    }
    *at = flat;
    return len;
}

static ssize_t send_to_kernel(const struct tls *t, const struct msghdr *m) {
    ssize_t n;
    do n = sendmsg(t->fd, m, MSG_NOSIGNAL);
    while (n < 0 && errno == EINTR);
    return n;
}
/* The kernel makes the records, of all pieces in one call, and remembers none of our addresses. */
static enum tls_io write_to_kernel(struct tls *t, const struct pieces *p, size_t *took) {
    struct msghdr m = { .msg_iov = (struct iovec *)(uintptr_t)p->v, .msg_iovlen = p->n };
    size_t all = 0;
    for (unsigned i = 0; i < p->n; i++) all += p->v[i].iov_len;
    ssize_t n = send_to_kernel(t, &m);
    if (n < 0 && errno != EAGAIN) return tls_lose(t, TLS_LOSS_RESET, "the connection failed", strerror(errno));
    *took = n > 0 ? (size_t)n : 0;
    return *took < all ? TLS_WANT_WRITE : TLS_DONE;
}

enum tls_io tls_write(struct tls *t, const struct iovec *iov, unsigned niov, size_t *took) {
    struct pieces left = { .v = iov, .n = niov };
    *took = 0;
    if (t->closing && t->over != TLS_LOST) return tls_lose(t, TLS_LOSS_PROTOCOL, "written after our own close_notify", NULL);
    pieces_skip(&left, 0);
    if (t->kernel && left.n > 0 && t->over != TLS_LOST) return write_to_kernel(t, &left, took);
    while (left.n > 0) {
        if (t->over == TLS_LOST) return TLS_LOST;
        const uint8_t *at;
        size_t n = pieces_next(&left, &at), one = 0;
        assert(n >= t->refused); /* OpenSSL has encrypted those bytes: the caller must bring them again */
        tls_begin_call();
        int ret = SSL_write_ex(t->ssl, at, n, &one);
        if (ret != 1) {
            t->refused = n;
            return tls_outcome(t, ret, errno);
        }
        t->refused = 0;
        *took += one;
        pieces_skip(&left, one);
    }
    return t->over == TLS_LOST ? TLS_LOST : TLS_DONE;
}

/* Not by OpenSSL, whose way to the socket a KeyUpdate may have closed (tls_records.c). The kernel takes an alert whole or not at all. */
static enum tls_io close_in_kernel(struct tls *t) {
    uint8_t alert[] = { SSL3_AL_WARNING, SSL3_AD_CLOSE_NOTIFY };
    struct iovec v = { alert, sizeof alert };
    union { struct cmsghdr head; char room[CMSG_SPACE(1)]; } control = {
        .head = { .cmsg_len = CMSG_LEN(1), .cmsg_level = SOL_TLS, .cmsg_type = TLS_SET_RECORD_TYPE },
    };
    *CMSG_DATA(&control.head) = SSL3_RT_ALERT;
    struct msghdr m = { .msg_iov = &v, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = CMSG_LEN(1) };
    if (send_to_kernel(t, &m) < 0 && errno == EAGAIN) return TLS_WANT_WRITE;
    t->closed = true;
    return TLS_DONE;
}

enum tls_io tls_shutdown(struct tls *t) {
    if (t->closed) return TLS_DONE;
    t->closing = true;
    /* Half a record is on the wire: an alert cannot follow it (and OpenSSL would say "bad write retry"). */
    t->closed = t->over == TLS_LOST || t->refused > 0;
    if (t->closed) return TLS_DONE;
    if (t->kernel) return close_in_kernel(t);
    tls_begin_call();
    int ret = SSL_shutdown(t->ssl);
    if (ret < 0 && SSL_get_error(t->ssl, ret) == SSL_ERROR_WANT_WRITE) return TLS_WANT_WRITE;
    ERR_clear_error();
    t->closed = true;
    return TLS_DONE;
}

bool tls_is_in_kernel(const struct tls *t) { return t->kernel; }
bool tls_is_worn(const struct tls *t) { return t->worn; }

enum tls_loss tls_loss(const struct tls *t) { return t->loss; }
const char *tls_error(const struct tls *t) { return t->say; }

struct str tls_alpn(const struct tls *t) {
    const unsigned char *p;
    unsigned n;
    SSL_get0_alpn_selected(t->ssl, &p, &n);
    return (struct str){ (const char *)p, n };
}

struct str tls_server_name(const struct tls *t) { return str_of(SSL_get_servername(t->ssl, TLSEXT_NAMETYPE_host_name)); }
const char *tls_version_name(const struct tls *t) { return SSL_get_version(t->ssl); }

bool tls_peer_verified(const struct tls *t) {
    return SSL_get_verify_mode(t->ssl) != SSL_VERIFY_NONE && SSL_get0_peer_certificate(t->ssl) && SSL_get_verify_result(t->ssl) == X509_V_OK;
}
