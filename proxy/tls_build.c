// SPDX-License-Identifier: Apache-2.0
// What listeners and upstreams need of TLS, built from the configuration: an SSL_CTX for each certificate of a server, one for a client. It reads the
// files and reports what is wrong with them at the places of their names. What was built never changes.
#include "proxy/tls_inside.h"
#include <assert.h>
#include <errno.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* Mozilla's "intermediate", of TLS 1.2: forward secrecy and AEAD only, so nothing that RFC 9113 Appendix A forbids. TLS 1.3 has no weak ones. */
#define CIPHERS                                                                                                                   \
    "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384:"         \
    "ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305"
#define GROUPS "X25519:P-256:P-384"

/* ---- shared by both sides -------------------------------------------------------------------------------------------------------- */
char *tls_text(struct str s) {
    char *z = mem_zalloc(s.n + 1);
    if (s.n) memcpy(z, s.p, s.n);
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

static void alpn_to_wire(const struct tls_alpn *list, struct tls_alpn_wire *wire) {
    wire->n = 0;
    for (size_t i = 0; i < list->n; i++) {
        size_t n = strlen(list->v[i]);
        assert(n > 0 && n < 256 && wire->n + 1 + n <= TLS_ALPN_WIRE_MAX);
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

/* Looked for, not tried: a try would load the module, which is the administrator's to do. This file (Linux 5.5) is there in containers as well, and where
 * a unit hides all of /proc but processes (ProcSubset=pid); the list of tcp_available_ulp is in neither. */
static bool kernel_has_tls(void) { return access("/proc/self/net/tls_stat", F_OK) == 0; }

/* What is asked for and cannot be had is no error: the same file serves machines that have it and that have not. */
static void use_kernel(struct conf *c, SSL_CTX *const *ctx, size_t n, struct conf_pos asked_at) {
    if (!kernel_has_tls()) conf_warn(c, asked_at, "load it with modprobe tls", "ktls: this system's kernel has no TLS, so that OpenSSL encrypts");
    else for (size_t i = 0; i < n; i++) SSL_CTX_set_options(ctx[i], SSL_OP_ENABLE_KTLS);
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

/* False after reporting: OpenSSL's own "no such file" hides behind two other errors. */
static bool can_read(struct conf *c, struct conf_ref ref, const char *path, const char *what) {
    FILE *f = fopen(path, "re");
    if (f) return fclose(f) == 0;
    int err = errno;
    conf_error(c, pos_of(ref), NULL, "%s %s cannot be read: %s", what, path, strerror(err));
    return false;
}

static bool fail_file(struct conf *c, struct conf_ref ref, const char *what, const char *path) {
    conf_error(c, pos_of(ref), NULL, "%s %s is of no use: %s", what, path, tls_reason(ERR_peek_error()));
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

/* ---- what OpenSSL asks in a server's handshake ------------------------------------------------------------------------------------ */
static int on_sni(SSL *ssl, int *alert, void *arg) {
    (void)alert;
    const char *name = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
    const struct tls_server *s = arg;
    SSL_CTX *ctx = name ? tls_names_find(&s->names, name) : NULL;
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
    free(s->ctx);
    tls_names_free(&s->names);
    free(s);
}

struct tls_server *tls_server_ref(struct tls_server *s) {
    if (s) atomic_fetch_add_explicit(&s->refs, 1, memory_order_relaxed);
    return s;
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
    char *list = tls_text(sc->ciphers);
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
    if (tls_names_add(&s->names, ctx, &had) == 0 && i > 0) {
        conf_warn(c, pos_of(cert->certificate), NULL, had ? "certificate %.*s is never used: those above it have all its names"
                                                          : "certificate %.*s is never used: it has no name", STR_ARG(cert->certificate.name));
    }
    return true;
}

/* What holds for all certificates is said once, with the first. */
static bool fill_server(struct conf *c, struct tls_server *s, const struct tls_server_conf *sc, struct str folder) {
    bool ok = true;
    for (size_t i = 0; i < sc->certificates.n; i++) ok &= add_certificate(c, s, sc, i, folder);
    if (sc->ktls) use_kernel(c, s->ctx, s->nctx, sc->ktls_at);
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
    s->keys_since = time(NULL);
    s->ctx = mem_zalloc(sc->certificates.n * sizeof(SSL_CTX *));
    alpn_to_wire(&alpn, &s->alpn);
    if (fill_server(c, s, sc, folder)) return s;
    server_free(s);
    return NULL;
}

/* Who has the keys reads the sessions of TLS 1.2 that were recorded while they were good: they are not kept for ever. */
#define TICKET_KEYS_LIFE (24 * 60 * 60)
#define TICKET_KEYS_MAX 128u

void tls_server_keep_tickets(struct tls_server *s, const struct tls_server *before) {
    unsigned char keys[TICKET_KEYS_MAX];
    time_t age = time(NULL) - before->keys_since;
    if (age < 0 || age >= TICKET_KEYS_LIFE || SSL_CTX_get_verify_mode(s->ctx[0]) != SSL_VERIFY_NONE) return;
    /* Those of the first count, whichever certificate the name picks: OpenSSL asks the SSL_CTX that the connection began with. */
    long n = SSL_CTX_get_tlsext_ticket_keys(before->ctx[0], NULL, 0);
    assert(n > 0 && (size_t)n <= sizeof keys);
    bool ok = SSL_CTX_get_tlsext_ticket_keys(before->ctx[0], keys, n) == 1 && SSL_CTX_set_tlsext_ticket_keys(s->ctx[0], keys, n) == 1;
    assert(ok);
    OPENSSL_cleanse(keys, sizeof keys);
    s->keys_since = before->keys_since;
}

/* ---- building a client --------------------------------------------------------------------------------------------------------------- */
static void client_free(struct tls_client *k) {
    SSL_CTX_free(k->ctx);
    free(k->server_name);
    free(k);
}

struct tls_client *tls_client_ref(struct tls_client *k) {
    if (k) atomic_fetch_add_explicit(&k->refs, 1, memory_order_relaxed);
    return k;
}
void tls_client_unref(struct tls_client *k) {
    if (k && atomic_fetch_sub_explicit(&k->refs, 1, memory_order_acq_rel) == 1) client_free(k);
}

static bool fill_client(struct conf *c, SSL_CTX *ctx, const struct tls_client_conf *cc, struct str folder) {
    bool ok = true;
    if (cc->ktls) use_kernel(c, &ctx, 1, cc->ktls_at);
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
    if (cc->server_name.n) k->server_name = tls_text(cc->server_name);
    struct tls_alpn_wire wire;
    alpn_to_wire(&alpn, &wire);
    if (wire.n && SSL_CTX_set_alpn_protos(k->ctx, wire.p, wire.n) != 0) abort(); /* out of memory */
    if (fill_client(c, k->ctx, cc, folder)) return k;
    client_free(k);
    return NULL;
}
