// SPDX-License-Identifier: Apache-2.0
// What the files over OpenSSL share, and nobody else: what is built (tls_build.c), which of a server's certificates a name gets (tls_names.c), a
// connection (tls.c), what its peer sends besides data (tls_records.c), and what came of a call (tls_outcome.c).
#ifndef CURFEW_PROXY_TLS_INSIDE_H
#define CURFEW_PROXY_TLS_INSIDE_H
#include "proxy/tls.h"
#include <openssl/ssl.h>
#include <stdatomic.h>
#include <time.h>

#define TLS_ALPN_WIRE_MAX 256u
struct tls_alpn_wire { unsigned char p[TLS_ALPN_WIRE_MAX]; unsigned n; }; /* RFC 7301 3.1: each with its length before it */
struct tls_name; /* one name of a certificate */
struct tls_names { struct tls_name *v; size_t n, cap; }; /* owned; all zero: empty */
struct tls_server {
    atomic_uint refs;
    SSL_CTX **ctx; /* owned; [0] is the default */
    size_t nctx;
    time_t keys_since; /* when the keys of its tickets were made */
    struct tls_names names;
    struct tls_alpn_wire alpn;
};
struct tls_client {
    atomic_uint refs;
    SSL_CTX *ctx;
    char *server_name; /* owned; NULL: the endpoint's */
};
struct tls {
    SSL *ssl;
    int fd;                    /* borrowed */
    struct tls_server *server; /* a reference, or NULL */
    struct tls_client *client; /* a reference, or NULL */
    enum tls_io over;          /* EOF or LOST: said again by every later read; LOST also by writes */
    enum tls_loss loss;
    size_t refused;            /* bytes of the record that OpenSSL holds encrypted and the socket has not taken */
    bool shaken;               /* the handshake is done */
    bool kernel;               /* what is written goes past OpenSSL */
    bool worn;                 /* ... with keys that the peer wants changed */
    bool chatters;             /* nothing more is read */
    unsigned dataless;         /* records without data since heard was 0 */
    size_t heard;              /* bytes of data */
    bool closing;              /* close_notify was begun */
    bool closed;               /* ... and is written, or cannot be */
    char say[160];
};

/* tls_build.c */
char *tls_text(struct str s); /* a copy with a NUL behind it, the caller's to free */
/* tls_names.c */
/* Adds the names of ctx's certificate; the first certificate that brings a name has it. How many were new; *had: how many it has. ctx is borrowed. */
size_t tls_names_add(struct tls_names *names, SSL_CTX *ctx, size_t *had);
/* Exact names before wildcards, whatever their case; NULL: no certificate is for it. Any thread, once all were added. */
SSL_CTX *tls_names_find(const struct tls_names *names, const char *name);
void tls_names_free(struct tls_names *names);
/* tls_records.c */
void tls_watch_records(struct tls *t); /* before the handshake */
/* After every read, which brought n bytes of data: the peer sends too much else, and nothing more is read from it. */
bool tls_chatters(struct tls *t, size_t n);
/* tls_outcome.c */
/* Before every call that does I/O. */
void tls_begin_call(void);
/* What the call that returned ret came to; err: errno right after it. EOF and LOST are kept in t, with the loss and its words. */
enum tls_io tls_outcome(struct tls *t, int ret, int err);
/* Nothing can be read or written any more, for a reason of our own; more may be NULL. LOST. */
enum tls_io tls_lose(struct tls *t, enum tls_loss loss, const char *say, const char *more);
/* An OpenSSL error in words; 0: there is none. */
const char *tls_reason(unsigned long e);
#endif
