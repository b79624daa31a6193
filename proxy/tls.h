// SPDX-License-Identifier: Apache-2.0
// TLS, both sides, over a non-blocking socket that the connection owns: the only users of OpenSSL are tls*.c. What a listener or an upstream
// needs is built once from its configuration into an immutable, counted object; a reload builds another, and connections keep theirs.
// SIGPIPE must be ignored by the process. A struct tls belongs to one thread, the built objects to all.
#ifndef CURFEW_PROXY_TLS_H
#define CURFEW_PROXY_TLS_H
#include "codecs/codec.h"
#include "conf/conf.h"
#include "proxy/config.h"
#include <sys/uio.h>

/* ---- what is built from the configuration -------------------------------------------------------------------------------------- */
struct tls_alpn { const char *v[CODECS_MAX]; size_t n; }; /* in order of preference; borrowed: static names */
/* The names of all codecs of that role, multiplexed ones first (h2 before http/1.1); or of `only` alone, where it is not NULL. */
struct tls_alpn tls_alpn_of_codecs(enum codec_role role, const struct codec *only);

struct tls_server; /* shared, refcounted: by the configuration and by each connection */
struct tls_client;
/* Reads certificates, keys and CAs. NULL after errors, which are reported at the places of the values; warnings too (expired). Relative names are
 * taken from `folder` (empty: the working directory). The certificate is chosen by SNI: exact names before wildcards, the first certificate
 * where none fits or none is asked for. One reference, the caller's. */
struct tls_server *tls_server_build(struct conf *c, const struct tls_server_conf *sc, struct tls_alpn alpn, struct str folder);
struct tls_client *tls_client_build(struct conf *c, const struct tls_client_conf *cc, struct tls_alpn alpn, struct str folder);
/* Tickets that `before` gave are good for s, too, so that a reload costs its clients no full handshake. Before s is used; before has the same
 * configuration. Does nothing where clients are asked for certificates, since whose are good may have changed in its files, and past a day
 * of the same keys. */
void tls_server_keep_tickets(struct tls_server *s, const struct tls_server *before);
struct tls_server *tls_server_ref(struct tls_server *s); /* any thread, as all four; NULL is allowed and given back */
struct tls_client *tls_client_ref(struct tls_client *k);
void tls_server_unref(struct tls_server *s); /* NULL is allowed */
void tls_client_unref(struct tls_client *k);

/* ---- a connection ------------------------------------------------------------------------------------------------------------------ */
enum tls_io {
    TLS_DONE,
    TLS_WANT_READ,  /* again when the socket can be read */
    TLS_WANT_WRITE, /* again when the socket can be written */
    TLS_EOF,        /* the peer's close_notify: as a FIN */
    TLS_LOST        /* nothing can be read or written any more: tls_loss and tls_error say why */
};
enum tls_loss {
    TLS_LOSS_NONE,
    TLS_LOSS_CUT,    /* FIN without close_notify */
    TLS_LOSS_RESET,  /* the socket failed: TCP RST and the like */
    TLS_LOSS_VERIFY, /* the peer's certificate is not acceptable to us */
    TLS_LOSS_PROTOCOL /* everything else, alerts of the peer included */
};
struct tls; /* owned by the connection */
/* fd is borrowed, non-blocking and connected; it must outlive the struct. A reference to the built object is taken. */
struct tls *tls_accept(struct tls_server *s, int fd);
/* name: the endpoint's host or address, for SNI and the check of the certificate, where the configuration has no server_name. */
struct tls *tls_connect(struct tls_client *k, int fd, struct str name);
void tls_free(struct tls *t); /* writes nothing; NULL is allowed */

/* Until DONE, before anything else. Never EOF. */
enum tls_io tls_handshake(struct tls *t);
/* Reads at most n bytes. DONE: *got of them, at least one: call again until it says something else, since no further edge may come. EOF and LOST are
 * said again by every later call. */
enum tls_io tls_read(struct tls *t, void *buf, size_t n, size_t *got);
/* Writes the pieces in order. DONE: all were taken. WANT_WRITE (rarely WANT_READ): *took bytes were; the next call must begin with the very
 * bytes that were not, at any address, and bring at least as many. LOST: nothing more can be written. After tls_shutdown: LOST. */
enum tls_io tls_write(struct tls *t, const struct iovec *iov, unsigned niov, size_t *took);
/* Sends close_notify, once, and waits for no answer; reading may go on. WANT_WRITE: again. After a write that was refused in part and not made good,
 * or in the handshake, none can be sent: DONE at once, and the peer sees that it was cut. */
enum tls_io tls_shutdown(struct tls *t);
/* After the handshake: the kernel encrypts what is written (kTLS). It may hold a record that it took and TCP had no room for, and drops that one at
 * a FIN or a close: who wants it to arrive gives neither before TCP has nothing unsent, and has had a moment since. */
bool tls_is_in_kernel(const struct tls *t);
/* The peer asked for new keys (RFC 8446 4.6.3), and the kernel cannot change them: what is under way may end, no more should begin. */
bool tls_is_worn(const struct tls *t);
enum tls_loss tls_loss(const struct tls *t);
const char *tls_error(const struct tls *t); /* a sentence; "" where nothing is wrong; good until tls_free */
struct str tls_alpn(const struct tls *t);   /* after the handshake: what was agreed; empty: nothing */
struct str tls_server_name(const struct tls *t); /* the SNI that was sent; empty: none */
const char *tls_version_name(const struct tls *t); /* "TLSv1.3" */
bool tls_peer_verified(const struct tls *t); /* the peer showed a certificate, and it was checked and found good */
#endif
