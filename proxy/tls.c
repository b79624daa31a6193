// SPDX-License-Identifier: Apache-2.0
// TLS over OpenSSL 3.0, which no other file includes. It owns contexts and connections' states; sockets are its callers', and it never waits.
//
//   configuration → tls_server_build: an SSL_CTX a certificate → tls_accept → handshake: SNI picks the SSL_CTX, ALPN the protocol
//                   tls_client_build: one SSL_CTX → tls_connect → handshake: the certificate is verified for a name
//
// kTLS stays off: OpenSSL 3.0 keeps pointing at the caller's bytes after a refused write, whatever SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER says, and
// sends what stands there later (openssl issue 21202). Without sendfile there is little to gain from it here.
#include "proxy/tls.h"
#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

/* Mozilla's "intermediate", of TLS 1.2: forward secrecy and AEAD only, so nothing that RFC 9113 Appendix A forbids. TLS 1.3 has no weak ones. */
#define CIPHERS                                                                                                                   \
    "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384:"         \
    "ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305"
#define GROUPS "X25519:P-256:P-384"
#define RECORD 16384u     /* RFC 8446 5.1: what one record carries */
#define ALPN_WIRE_MAX 256u
#define NAME_MAX_DNS 253u /* RFC 1035 2.3.4, as text */

struct alpn_wire { unsigned char p[ALPN_WIRE_MAX]; unsigned n; }; /* RFC 7301 3.1: each with its length before it */
struct sni_name {
    char *name;    /* owned; lower case; a wildcard's without its "*" */
    bool wildcard; /* name begins with the dot */
    SSL_CTX *ctx;  /* borrowed from the server */
};
struct tls_server {
    atomic_uint refs;
    SSL_CTX **ctx; /* owned; [0] is the default */
    size_t nctx;
    struct sni_name *names; /* owned */
    size_t nnames, cap_names;
    struct alpn_wire alpn;
};
struct tls_client {
    atomic_uint refs;
    SSL_CTX *ctx;
    char *server_name; /* owned; NULL: the endpoint's */
};
struct tls {
    SSL *ssl;
    struct tls_server *server; /* a reference, or NULL */
    struct tls_client *client; /* a reference, or NULL */
    enum tls_io over;          /* EOF or LOST: said again by every later read; LOST also by writes */
    enum tls_loss loss;
    size_t refused;            /* bytes of the record that OpenSSL holds encrypted and the socket has not taken */
    bool closing;              /* close_notify was begun */
    bool closed;               /* ... and is written, or cannot be */
    char say[160];
};

/* ---- shared by both sides -------------------------------------------------------------------------------------------------------- */
static char *z_of(struct str s) {
    char *z = mem_zalloc(s.n + 1);
    if (s.n) memcpy(z, s.p, s.n);
    return z;
}

static char *lower_of(struct str s) {
    char *z = z_of(s);
    for (char *p = z; *p; p++) {
        if (*p >= 'A' && *p <= 'Z') *p = (char)(*p | 0x20);
    }
    return z;
}

struct tls_alpn tls_alpn_of_codecs(enum codec_role role, const struct codec *only) {
    struct tls_alpn list = { .n = 0 };
    for (unsigned turn = 0; turn < 2; turn++) {
        for (size_t i = 0; i < codec_count(); i++) {
            const struct codec *c = codec_at(i);
            bool now = c->multiplex == (turn == 0), wanted = (c->roles & role) && c->alpn && (!only || only == c);
            if (now && wanted) list.v[list.n++] = c->alpn;
        }
    }
    return list;
}

static void alpn_to_wire(const struct tls_alpn *list, struct alpn_wire *wire) {
    wire->n = 0;
    for (size_t i = 0; i < list->n; i++) {
        size_t n = strlen(list->v[i]);
        assert(n > 0 && n < 256 && wire->n + 1 + n <= ALPN_WIRE_MAX);
        wire->p[wire->n++] = (unsigned char)n;
        memcpy(wire->p + wire->n, list->v[i], n);
        wire->n += (unsigned)n;
    }
}

/* A key with a passphrase must fail: the default asks on the terminal and waits. */
static int no_passphrase(char *buf, int size, int rwflag, void *arg) {
    (void)buf, (void)size, (void)rwflag, (void)arg;
    return 0;
}

static SSL_CTX *ctx_new(const SSL_METHOD *method, uint8_t min_version) {
    SSL_CTX *ctx = SSL_CTX_new(method);
    if (!ctx) abort(); /* out of memory (style 15) */
    SSL_CTX_set_min_proto_version(ctx, min_version == TLS_1_3 ? TLS1_3_VERSION : TLS1_2_VERSION);
    SSL_CTX_set_options(ctx, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
    /* What was refused is kept by the connection, which may move it; a peer may have asked for small records (RFC 6066 4), and then one write of ours
     * is several; idle connections keep no 34 KiB of buffers. */
    SSL_CTX_set_mode(ctx, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER | SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_read_ahead(ctx, 1); /* else every record costs two reads: its header and its body */
    SSL_CTX_set_default_passwd_cb(ctx, no_passphrase);
    bool ok = SSL_CTX_set_cipher_list(ctx, CIPHERS) == 1 && SSL_CTX_set1_groups_list(ctx, GROUPS) == 1;
    assert(ok);
    return ctx;
}

/* ---- files ---------------------------------------------------------------------------------------------------------------------------- */
static const char *path_of(struct conf *c, struct str folder, struct str name) {
    bool relative = folder.n > 0 && name.n > 0 && name.p[0] != '/';
    size_t n = relative ? folder.n + 1 + name.n : name.n;
    char *path = arena_bytes(&c->arena, n + 1), *at = path;
    if (relative) {
        memcpy(at, folder.p, folder.n);
        at += folder.n;
        *at++ = '/';
    }
    if (name.n) memcpy(at, name.p, name.n);
    path[n] = '\0';
    return path;
}

static struct conf_pos pos_of(struct conf_ref r) { return r.at ? r.at->pos : (struct conf_pos){ 0 }; }

/* The first error in OpenSSL's queue says what was wrong, later ones where it was noticed. */
static const char *reason(unsigned long e) {
    const char *say = e ? ERR_reason_error_string(e) : NULL;
    return say ? say : "no reason given";
}

/* False after reporting: OpenSSL's own "no such file" hides behind two other errors. */
static bool can_read(struct conf *c, struct conf_ref ref, const char *path, const char *what) {
    FILE *f = fopen(path, "re");
    if (f) return fclose(f) == 0;
    int err = errno;
    conf_error(c, pos_of(ref), NULL, "%s %s cannot be read: %s", what, path, strerror(err));
    return false;
}

static bool fail_file(struct conf *c, struct conf_ref ref, const char *what, const char *path) {
    conf_error(c, pos_of(ref), NULL, "%s %s is of no use: %s", what, path, reason(ERR_peek_error()));
    ERR_clear_error();
    return false;
}

static void warn_of_dates(struct conf *c, struct conf_ref ref, const X509 *x, const char *path) {
    if (X509_cmp_current_time(X509_get0_notAfter(x)) < 0) conf_warn(c, pos_of(ref), NULL, "certificate %s has expired", path);
    if (X509_cmp_current_time(X509_get0_notBefore(x)) > 0) conf_warn(c, pos_of(ref), NULL, "certificate %s is not valid yet", path);
}

static bool use_certificate(struct conf *c, SSL_CTX *ctx, struct conf_ref ref, struct str folder) {
    const char *path = path_of(c, folder, ref.name);
    if (!can_read(c, ref, path, "certificate")) return false;
    ERR_clear_error();
    if (SSL_CTX_use_certificate_chain_file(ctx, path) != 1) return fail_file(c, ref, "certificate", path);
    warn_of_dates(c, ref, SSL_CTX_get0_certificate(ctx), path);
    return true;
}

static bool use_key(struct conf *c, SSL_CTX *ctx, struct conf_ref ref, struct str folder, struct str certificate) {
    const char *path = path_of(c, folder, ref.name);
    if (!can_read(c, ref, path, "key")) return false;
    ERR_clear_error();
    if (SSL_CTX_use_PrivateKey_file(ctx, path, SSL_FILETYPE_PEM) == 1 && SSL_CTX_check_private_key(ctx) == 1) return true;
    if (ERR_GET_REASON(ERR_peek_error()) != X509_R_KEY_VALUES_MISMATCH) return fail_file(c, ref, "key", path);
    ERR_clear_error();
    conf_error(c, pos_of(ref), NULL, "key %s does not belong to certificate %.*s", path, STR_ARG(certificate));
    return false;
}

static bool use_pair(struct conf *c, SSL_CTX *ctx, struct conf_ref certificate, struct conf_ref key, struct str folder) {
    return use_certificate(c, ctx, certificate, folder) && use_key(c, ctx, key, folder, certificate.name);
}

static bool use_ca(struct conf *c, SSL_CTX *ctx, struct conf_ref ref, struct str folder) {
    const char *path = path_of(c, folder, ref.name);
    if (!can_read(c, ref, path, "CA file")) return false;
    ERR_clear_error();
    return SSL_CTX_load_verify_file(ctx, path) == 1 ? true : fail_file(c, ref, "CA file", path);
}

/* ---- the server's names ------------------------------------------------------------------------------------------------------------ */
static const struct sni_name *find_name(const struct tls_server *s, const char *name, bool wildcard) {
    for (size_t i = 0; i < s->nnames; i++) {
        if (s->names[i].wildcard == wildcard && strcasecmp(s->names[i].name, name) == 0) return &s->names[i];
    }
    return NULL;
}

/* RFC 6125 6.4.3: a wildcard stands for exactly one label, the leftmost. */
static SSL_CTX *ctx_of_name(const struct tls_server *s, const char *name) {
    const struct sni_name *n = find_name(s, name, false);
    const char *dot = strchr(name, '.');
    if (!n && dot && dot != name) n = find_name(s, dot, true);
    return n ? n->ctx : NULL;
}

/* The first certificate with a name has it. True where the name is new. */
static bool add_name(struct tls_server *s, SSL_CTX *ctx, struct str name) {
    if (name.n == 0 || name.n > NAME_MAX_DNS || memchr(name.p, '\0', name.n)) return false;
    bool wildcard = str_starts(name, STR("*."));
    char *lower = lower_of(str_from(name, wildcard ? 1 : 0));
    if (find_name(s, lower, wildcard)) {
        free(lower);
        return false;
    }
    if (s->nnames == s->cap_names) {
        s->cap_names = s->cap_names ? 2 * s->cap_names : 8;
        s->names = mem_realloc(s->names, s->cap_names * sizeof *s->names);
    }
    s->names[s->nnames++] = (struct sni_name){ .name = lower, .wildcard = wildcard, .ctx = ctx };
    return true;
}

static struct str text_of(const ASN1_STRING *a) {
    return (struct str){ (const char *)ASN1_STRING_get0_data(a), (size_t)ASN1_STRING_length(a) };
}

/* RFC 6125 6.4.4: the common name counts only where there is no DNS name among the alternative ones. */
static size_t add_names(struct tls_server *s, SSL_CTX *ctx, size_t *had) {
    const X509 *x = SSL_CTX_get0_certificate(ctx);
    size_t added = 0;
    *had = 0;
    GENERAL_NAMES *all = X509_get_ext_d2i(x, NID_subject_alt_name, NULL, NULL);
    for (int i = 0; i < sk_GENERAL_NAME_num(all); i++) {
        const GENERAL_NAME *g = sk_GENERAL_NAME_value(all, i);
        if (g->type != GEN_DNS) continue;
        ++*had;
        added += add_name(s, ctx, text_of(g->d.dNSName));
    }
    GENERAL_NAMES_free(all);
    if (*had) return added;
    const X509_NAME *subject = X509_get_subject_name(x);
    int at = X509_NAME_get_index_by_NID(subject, NID_commonName, -1);
    if (at < 0) return 0;
    *had = 1;
    return add_name(s, ctx, text_of(X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, at))));
}

/* ---- what OpenSSL asks in a server's handshake ------------------------------------------------------------------------------------ */
static int on_sni(SSL *ssl, int *alert, void *arg) {
    (void)alert;
    const char *name = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
    SSL_CTX *ctx = name ? ctx_of_name(arg, name) : NULL;
    if (!ctx) return SSL_TLSEXT_ERR_NOACK; /* the first certificate: the client says whether that will do */
    if (ctx != SSL_get_SSL_CTX(ssl)) SSL_set_SSL_CTX(ssl, ctx);
    return SSL_TLSEXT_ERR_OK;
}

/* RFC 7301 3.2: our order decides; where nothing fits, the handshake ends with no_application_protocol. */
static int on_alpn(SSL *ssl, const unsigned char **out, unsigned char *outlen, const unsigned char *in, unsigned inlen, void *arg) {
    (void)ssl;
    const struct tls_server *s = arg;
    unsigned char *chosen;
    if (SSL_select_next_proto(&chosen, outlen, s->alpn.p, s->alpn.n, in, inlen) != OPENSSL_NPN_NEGOTIATED) return SSL_TLSEXT_ERR_ALERT_FATAL;
    *out = chosen;
    return SSL_TLSEXT_ERR_OK;
}

/* ---- building a server --------------------------------------------------------------------------------------------------------------- */
static void server_free(struct tls_server *s) {
    for (size_t i = 0; i < s->nctx; i++) SSL_CTX_free(s->ctx[i]);
    for (size_t i = 0; i < s->nnames; i++) free(s->names[i].name);
    free(s->ctx);
    free(s->names);
    free(s);
}

struct tls_server *tls_server_ref(struct tls_server *s) {
    if (s) atomic_fetch_add_explicit(&s->refs, 1, memory_order_relaxed);
    return s;
}
struct tls_client *tls_client_ref(struct tls_client *k) {
    if (k) atomic_fetch_add_explicit(&k->refs, 1, memory_order_relaxed);
    return k;
}
void tls_server_unref(struct tls_server *s) {
    if (s && atomic_fetch_sub_explicit(&s->refs, 1, memory_order_acq_rel) == 1) server_free(s);
}

static bool use_client_auth(struct conf *c, SSL_CTX *ctx, const struct tls_server_conf *sc, struct str folder) {
    if (sc->client_auth == CLIENT_CERT_NONE) return true;
    if (!sc->client_ca.at) {
        conf_error(c, pos_of(CONF_AT(sc->certificates, struct tls_certificate, 0)->certificate), NULL,
                   "client certificates are asked for, but no client_ca says whose are good");
        return false;
    }
    if (!use_ca(c, ctx, sc->client_ca, folder)) return false;
    SSL_CTX_set_client_CA_list(ctx, SSL_load_client_CA_file(path_of(c, folder, sc->client_ca.name)));
    SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER | (sc->client_auth == CLIENT_CERT_REQUIRED ? SSL_VERIFY_FAIL_IF_NO_PEER_CERT : 0), NULL);
    return true;
}

/* Tickets hold the session, so that workers need not share a cache: they share the SSL_CTX, and with it the keys. */
static void use_sessions(SSL_CTX *ctx, bool tickets) {
    static const unsigned char id[] = "curfew"; /* without one, a resumed session with a client certificate is refused */
    SSL_CTX_set_session_id_context(ctx, id, sizeof id - 1);
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
    if (tickets) return;
    SSL_CTX_set_options(ctx, SSL_OP_NO_TICKET);
    SSL_CTX_set_num_tickets(ctx, 0); /* else TLS 1.3 sends stateful ones */
}

static bool use_ciphers(struct conf *c, SSL_CTX *ctx, const struct tls_server_conf *sc) {
    if (sc->ciphers.n == 0) return true;
    char *list = z_of(sc->ciphers);
    ERR_clear_error();
    bool ok = SSL_CTX_set_cipher_list(ctx, list) == 1;
    ERR_clear_error();
    free(list);
    if (!ok) {
        conf_error(c, pos_of(CONF_AT(sc->certificates, struct tls_certificate, 0)->certificate), "names are OpenSSL's, joined by colons",
                   "ciphers: %.*s names no cipher of TLS 1.2 that can be used", STR_ARG(sc->ciphers));
    }
    return ok;
}

static bool add_certificate(struct conf *c, struct tls_server *s, const struct tls_server_conf *sc, size_t i, struct str folder) {
    const struct tls_certificate *cert = CONF_AT(sc->certificates, struct tls_certificate, i);
    SSL_CTX *ctx = ctx_new(TLS_server_method(), sc->min_version);
    s->ctx[s->nctx++] = ctx;
    use_sessions(ctx, sc->session_tickets);
    SSL_CTX_set_tlsext_servername_callback(ctx, on_sni);
    SSL_CTX_set_tlsext_servername_arg(ctx, s);
    if (s->alpn.n) SSL_CTX_set_alpn_select_cb(ctx, on_alpn, s);
    if (!use_pair(c, ctx, cert->certificate, cert->key, folder)) return false;
    size_t had;
    if (add_names(s, ctx, &had) == 0 && i > 0) {
        conf_warn(c, pos_of(cert->certificate), NULL, had ? "certificate %.*s is never used: those above it have all its names"
                                                          : "certificate %.*s is never used: it has no name", STR_ARG(cert->certificate.name));
    }
    return true;
}

/* What holds for all certificates is said once, with the first. */
static bool fill_server(struct conf *c, struct tls_server *s, const struct tls_server_conf *sc, struct str folder) {
    bool ok = true;
    for (size_t i = 0; i < sc->certificates.n; i++) ok &= add_certificate(c, s, sc, i, folder);
    for (size_t i = 0; i < s->nctx; i++) {
        bool good = use_ciphers(c, s->ctx[i], sc);
        good &= use_client_auth(c, s->ctx[i], sc, folder);
        if (!good) return false;
    }
    return ok;
}

struct tls_server *tls_server_build(struct conf *c, const struct tls_server_conf *sc, struct tls_alpn alpn, struct str folder) {
    if (sc->certificates.n == 0) {
        conf_error(c, pos_of(sc->client_ca), NULL, "tls needs at least one certificate");
        return NULL;
    }
    struct tls_server *s = mem_zalloc(sizeof *s);
    atomic_init(&s->refs, 1);
    s->ctx = mem_zalloc(sc->certificates.n * sizeof(SSL_CTX *));
    alpn_to_wire(&alpn, &s->alpn);
    if (fill_server(c, s, sc, folder)) return s;
    server_free(s);
    return NULL;
}

/* ---- building a client --------------------------------------------------------------------------------------------------------------- */
static void client_free(struct tls_client *k) {
    SSL_CTX_free(k->ctx);
    free(k->server_name);
    free(k);
}

void tls_client_unref(struct tls_client *k) {
    if (k && atomic_fetch_sub_explicit(&k->refs, 1, memory_order_acq_rel) == 1) client_free(k);
}

static bool fill_client(struct conf *c, SSL_CTX *ctx, const struct tls_client_conf *cc, struct str folder) {
    bool ok = true;
    SSL_CTX_set_verify(ctx, cc->verify ? SSL_VERIFY_PEER : SSL_VERIFY_NONE, NULL);
    if (cc->ca.at) {
        ok &= use_ca(c, ctx, cc->ca, folder);
    } else {
        SSL_CTX_set_default_verify_paths(ctx);
    }
    if (!cc->certificate.at != !cc->key.at) {
        conf_error(c, pos_of(cc->certificate.at ? cc->certificate : cc->key), NULL, "certificate and key go together: the other one is missing");
        return false;
    }
    return cc->certificate.at ? use_pair(c, ctx, cc->certificate, cc->key, folder) && ok : ok;
}

struct tls_client *tls_client_build(struct conf *c, const struct tls_client_conf *cc, struct tls_alpn alpn, struct str folder) {
    struct tls_client *k = mem_zalloc(sizeof *k);
    atomic_init(&k->refs, 1);
    k->ctx = ctx_new(TLS_client_method(), cc->min_version);
    SSL_CTX_set_session_cache_mode(k->ctx, SSL_SESS_CACHE_OFF);
    if (cc->server_name.n) k->server_name = z_of(cc->server_name);
    struct alpn_wire wire;
    alpn_to_wire(&alpn, &wire);
    if (wire.n && SSL_CTX_set_alpn_protos(k->ctx, wire.p, wire.n) != 0) abort(); /* out of memory */
    if (fill_client(c, k->ctx, cc, folder)) return k;
    client_free(k);
    return NULL;
}

/* ---- a connection: making and freeing ----------------------------------------------------------------------------------------------------- */
static struct tls *tls_new(SSL_CTX *ctx, int fd) {
    struct tls *t = mem_zalloc(sizeof *t);
    t->ssl = SSL_new(ctx);
    if (!t->ssl || SSL_set_fd(t->ssl, fd) != 1) abort(); /* out of memory */
    t->over = TLS_DONE;
    return t;
}

struct tls *tls_accept(struct tls_server *s, int fd) {
    struct tls *t = tls_new(s->ctx[0], fd);
    atomic_fetch_add_explicit(&s->refs, 1, memory_order_relaxed);
    t->server = s;
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
    atomic_fetch_add_explicit(&k->refs, 1, memory_order_relaxed);
    t->client = k;
    SSL_set_connect_state(t->ssl);
    char *peer = z_of(k->server_name ? str_of(k->server_name) : name);
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

/* ---- what OpenSSL's errors mean --------------------------------------------------------------------------------------------------------- */
static enum tls_io lose(struct tls *t, enum tls_loss loss, const char *say, const char *more) {
    t->over = TLS_LOST;
    t->loss = loss;
    snprintf(t->say, sizeof t->say, "%s%s%s", say, more ? ": " : "", more ? more : "");
    return TLS_LOST;
}

static enum tls_io lose_by_queue(struct tls *t) {
    unsigned long e = ERR_peek_error();
    int why = ERR_GET_LIB(e) == ERR_LIB_SSL ? ERR_GET_REASON(e) : 0;
    if (why == SSL_R_UNEXPECTED_EOF_WHILE_READING) return lose(t, TLS_LOSS_CUT, "the peer closed without close_notify", NULL);
    if (why == SSL_R_CERTIFICATE_VERIFY_FAILED) {
        return lose(t, TLS_LOSS_VERIFY, "the peer's certificate is not acceptable", X509_verify_cert_error_string(SSL_get_verify_result(t->ssl)));
    }
    if (why == SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE) return lose(t, TLS_LOSS_VERIFY, "the peer showed no certificate", NULL);
    return lose(t, TLS_LOSS_PROTOCOL, reason(e), NULL);
}

/* err: errno right after the call. SSL_ERROR_SYSCALL without an errno is how an early FIN looks in some states. */
static enum tls_io outcome(struct tls *t, int ret, int err) {
    switch (SSL_get_error(t->ssl, ret)) {
    case SSL_ERROR_NONE: return TLS_DONE;
    case SSL_ERROR_WANT_READ: return TLS_WANT_READ;
    case SSL_ERROR_WANT_WRITE: return TLS_WANT_WRITE;
    case SSL_ERROR_ZERO_RETURN: return t->over = TLS_EOF;
    case SSL_ERROR_SYSCALL:
        if (err) return lose(t, TLS_LOSS_RESET, "the connection failed", strerror(err));
        return lose(t, TLS_LOSS_CUT, "the peer closed without close_notify", NULL);
    default: return lose_by_queue(t);
    }
}

/* Old errors in the queue would be taken for those of the next call (SSL_get_error(3)); errno likewise. */
static void begin_call(void) {
    ERR_clear_error();
    errno = 0;
}

/* ---- a connection: using it ------------------------------------------------------------------------------------------------------------ */
enum tls_io tls_handshake(struct tls *t) {
    if (t->over == TLS_LOST) return TLS_LOST;
    begin_call();
    int ret = SSL_do_handshake(t->ssl);
    enum tls_io io = outcome(t, ret, errno);
    return io == TLS_EOF ? lose(t, TLS_LOSS_PROTOCOL, "the peer closed during the handshake", NULL) : io;
}

/* One call reads one record; what else a read of the socket brought is taken too, and the socket is not asked again: its EAGAIN would have to be
 * asked for once more by the next call. */
enum tls_io tls_read(struct tls *t, void *buf, size_t n, size_t *got) {
    *got = 0;
    if (t->over != TLS_DONE) return t->over;
    enum tls_io io = TLS_DONE;
    do {
        size_t one = 0;
        begin_call();
        int ret = SSL_read_ex(t->ssl, (char *)buf + *got, n - *got, &one);
        io = ret == 1 ? TLS_DONE : outcome(t, ret, errno);
        *got += one;
    } while (io == TLS_DONE && *got < n && SSL_has_pending(t->ssl));
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

enum tls_io tls_write(struct tls *t, const struct iovec *iov, unsigned niov, size_t *took) {
    struct pieces left = { .v = iov, .n = niov };
    *took = 0;
    if (t->closing && t->over != TLS_LOST) return lose(t, TLS_LOSS_PROTOCOL, "written after our own close_notify", NULL);
    pieces_skip(&left, 0);
    while (left.n > 0) {
        if (t->over == TLS_LOST) return TLS_LOST;
        const uint8_t *at;
        size_t n = pieces_next(&left, &at), one = 0;
        assert(n >= t->refused); /* OpenSSL has encrypted those bytes: the caller must bring them again */
        begin_call();
        int ret = SSL_write_ex(t->ssl, at, n, &one);
        if (ret != 1) {
            t->refused = n;
            return outcome(t, ret, errno);
        }
        t->refused = 0;
        *took += one;
        pieces_skip(&left, one);
    }
    return t->over == TLS_LOST ? TLS_LOST : TLS_DONE;
}

enum tls_io tls_shutdown(struct tls *t) {
    if (t->closed) return TLS_DONE;
    t->closing = true;
    /* Half a record is on the wire: an alert cannot follow it (and OpenSSL would say "bad write retry"). */
    t->closed = t->over == TLS_LOST || t->refused > 0;
    if (t->closed) return TLS_DONE;
    begin_call();
    int ret = SSL_shutdown(t->ssl);
    if (ret < 0 && SSL_get_error(t->ssl, ret) == SSL_ERROR_WANT_WRITE) return TLS_WANT_WRITE;
    ERR_clear_error();
    t->closed = true;
    return TLS_DONE;
}

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
