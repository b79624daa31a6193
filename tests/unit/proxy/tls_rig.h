// SPDX-License-Identifier: Apache-2.0
// TLS over a socket pair, for tests of it: both ends are ours, driven by turns until nothing moves, so no test waits. The certificates are made here,
// by a CA that is made here too. Where a peer must misbehave, it is the bare socket or OpenSSL's own client. A test includes it and gives its scenes
// to TLS_TESTS.
#ifndef CURFEW_TESTS_TLS_RIG_H
#define CURFEW_TESTS_TLS_RIG_H
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* memmem */
#endif
#include "proxy/tls.h"
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <cmocka.h>

/* ---- certificates ------------------------------------------------------------------------------------------------------------------ */
static char folder[] = "/tmp/curfew-tls-XXXXXX";
static X509 *ca;
static EVP_PKEY *ca_key;

static inline char *in_folder(const char *name) {
    static char path[2][128];
    static unsigned turn;
    char *p = path[turn++ % 2];
    snprintf(p, sizeof path[0], "%s/%s", folder, name);
    return p;
}
static inline void extend(X509 *x, int nid, const char *value) {
    X509_EXTENSION *e = X509V3_EXT_conf_nid(NULL, NULL, nid, value);
    assert_non_null(e);
    X509_add_ext(x, e, -1);
    X509_EXTENSION_free(e);
}
/* san NULL: none. days: until it ends; negative: it has ended. */
static X509 *certificate(const char *cn, const char *san, EVP_PKEY *key, long days) {
    static long serial;
    X509 *x = X509_new();
    X509_set_version(x, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(x), ++serial);
    X509_gmtime_adj(X509_getm_notBefore(x), -30 * 86400);
    X509_gmtime_adj(X509_getm_notAfter(x), days * 86400);
    X509_set_pubkey(x, key);
    X509_NAME_add_entry_by_txt(X509_get_subject_name(x), "CN", MBSTRING_ASC, (const unsigned char *)cn, -1, -1, 0);
    X509_set_issuer_name(x, ca ? X509_get_subject_name(ca) : X509_get_subject_name(x));
    if (!ca) extend(x, NID_basic_constraints, "critical,CA:TRUE");
    if (san) extend(x, NID_subject_alt_name, san);
    assert_true(X509_sign(x, ca_key, EVP_sha256()) > 0);
    return x;
}
static inline void save(const char *name, X509 *x, EVP_PKEY *key) {
    char file[64];
    snprintf(file, sizeof file, "%s.pem", name);
    FILE *f = fopen(in_folder(file), "w");
    PEM_write_X509(f, x);
    fclose(f);
    snprintf(file, sizeof file, "%s.key", name);
    f = fopen(in_folder(file), "w");
    PEM_write_PrivateKey(f, key, NULL, NULL, 0, NULL, NULL);
    fclose(f);
}
static inline void make(const char *name, const char *cn, const char *san, long days) {
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *x = certificate(cn, san, key, days);
    save(name, x, key);
    X509_free(x);
    EVP_PKEY_free(key);
}
static inline int make_all(void **state) {
    (void)state;
    signal(SIGPIPE, SIG_IGN);
    assert_non_null(mkdtemp(folder));
    ca_key = EVP_EC_gen("P-256");
    ca = certificate("test CA", NULL, ca_key, 30);
    save("ca", ca, ca_key);
    make("a", "ignored.example", "DNS:a.example,DNS:*.a.example", 30);
    make("b", "ignored.example", "DNS:b.example,DNS:deep.a.example,IP:127.0.0.1", 30);
    make("a2", "other.example", "DNS:a.example", 30);
    make("partial", "ignored.example", "DNS:b*.example", 30);
    make("named", "cn.example", NULL, 30);
    make("old", "old.example", "DNS:old.example", -1);
    make("client", "somebody", NULL, 30);
    return 0;
}
static inline int drop_all(void **state) {
    (void)state;
    char command[64];
    X509_free(ca);
    EVP_PKEY_free(ca_key);
    snprintf(command, sizeof command, "rm -r %s", folder);
    return system(command);
}

/* ---- both ends -------------------------------------------------------------------------------------------------------------------------- */
static struct conf conf;
static struct conf_node nodes[16];
static size_t nnodes;
static struct tls_certificate pairs[4];
static struct tls_server_conf sc;
static struct tls_client_conf cc;
static struct tls_alpn both = { .v = { "h2", "http/1.1" }, .n = 2 };
#define NO_ALPN ((struct tls_alpn){ .n = 0 })
static struct tls_server *server;
static struct tls_client *client;
static struct tls *down, *up; /* down: the server's end */
static int fds[2];            /* [0] is down's */

static inline struct conf_ref ref(const char *text) {
    struct conf_node *n = &nodes[nnodes++];
    *n = (struct conf_node){ .kind = CONF_SCALAR, .pos = { "t.yaml", (unsigned)nnodes, 1 }, .text = str_of(text) };
    return (struct conf_ref){ n->text, n };
}
static inline void serve(const char *certificate_file, const char *key_file) {
    pairs[sc.certificates.n] = (struct tls_certificate){ ref(certificate_file), ref(key_file) };
    sc.certificates = (struct conf_array){ .v = pairs, .n = sc.certificates.n + 1, .size = sizeof pairs[0] };
}
static inline int begin(void **state) {
    (void)state;
    conf_init(&conf);
    nnodes = 0;
    sc = (struct tls_server_conf){ .session_tickets = true };
    cc = (struct tls_client_conf){ .verify = true, .ca = ref("ca.pem") };
    server = NULL, client = NULL, down = up = NULL;
    fds[0] = fds[1] = -1;
    return 0;
}
static inline int end(void **state) {
    (void)state;
    tls_free(down);
    tls_free(up);
    tls_server_unref(server);
    tls_client_unref(client);
    conf_free(&conf);
    for (unsigned i = 0; i < 2; i++)
        if (fds[i] >= 0) close(fds[i]);
    return 0;
}
static inline void built(struct tls_alpn of_server, struct tls_alpn of_client) {
    server = tls_server_build(&conf, &sc, of_server, str_of(folder));
    client = tls_client_build(&conf, &cc, of_client, str_of(folder));
    if (conf.errors) conf_report(&conf, stderr);
    assert_non_null(server);
    assert_non_null(client);
}
static inline void pair(void) { assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0); }
/* A TCP pair: unix sockets know no RST. */
static inline void tcp_pair(void) {
    struct sockaddr_in sa = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t len = sizeof sa;
    int l = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(bind(l, (struct sockaddr *)&sa, len), 0);
    assert_int_equal(listen(l, 1), 0);
    getsockname(l, (struct sockaddr *)&sa, &len);
    fds[1] = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(connect(fds[1], (struct sockaddr *)&sa, len), 0);
    fds[0] = accept(l, NULL, NULL);
    close(l);
    for (unsigned i = 0; i < 2; i++) {
        fcntl(fds[i], F_SETFL, O_NONBLOCK);
        setsockopt(fds[i], IPPROTO_TCP, TCP_NODELAY, &(int){ 1 }, sizeof(int)); /* what was written has come */
        setsockopt(fds[i], SOL_SOCKET, SO_SNDBUF, &(int){ 32768 }, sizeof(int)); /* and what is much is refused, as by a unix socket */
    }
}
static inline void join(const char *name) {
    down = tls_accept(server, fds[0]);
    up = tls_connect(client, fds[1], str_of(name));
}
static inline bool is_final(enum tls_io io) { return io == TLS_DONE || io == TLS_LOST || io == TLS_EOF; }
/* Turns until both ends are done or lost. */
static inline void shake(enum tls_io *of_down, enum tls_io *of_up) {
    *of_down = *of_up = TLS_WANT_READ;
    for (unsigned turn = 0; turn < 20 && !(is_final(*of_down) && is_final(*of_up)); turn++) {
        if (!is_final(*of_up)) *of_up = tls_handshake(up);
        if (!is_final(*of_down)) *of_down = tls_handshake(down);
    }
}
static inline void meet(const char *name) {
    enum tls_io d, u;
    if (fds[0] < 0) pair();
    join(name);
    shake(&d, &u);
    assert_string_equal(tls_error(down), "");
    assert_string_equal(tls_error(up), "");
    assert_int_equal(d, TLS_DONE);
    assert_int_equal(u, TLS_DONE);
}
static inline void usual(void) {
    serve("a.pem", "a.key");
    built(both, both);
    meet("a.example");
}
static inline void say(struct tls *t, const char *text) {
    struct iovec v = { (void *)(uintptr_t)text, strlen(text) };
    size_t took;
    assert_int_equal(tls_write(t, &v, 1, &took), TLS_DONE);
    assert_int_equal(took, strlen(text));
}
/* Reads all there is; returns why it stopped. */
static inline enum tls_io hear(struct tls *t, char *buf, size_t room, size_t *n) {
    *n = 0;
    for (;;) {
        size_t got;
        enum tls_io io = tls_read(t, buf + *n, room - *n, &got);
        assert_true((io == TLS_DONE) == (got > 0));
        *n += got;
        if (io != TLS_DONE || *n == room) return io;
    }
}
#define assert_hears(t, text, why)                                 \
    do {                                                            \
        char buf_[4096];                                            \
        size_t n_;                                                  \
        assert_int_equal(hear((t), buf_, sizeof buf_ - 1, &n_), (why)); \
        buf_[n_] = '\0';                                            \
        assert_string_equal(buf_, (text));                          \
    } while (0)

static inline bool reported(const char *text) {
    for (size_t i = 0; i < conf.ndiags; i++)
        if (memmem(conf.diags[i].message.p, conf.diags[i].message.n, text, strlen(text))) return true;
    conf_report(&conf, stderr);
    return false;
}

/* ---- what tests share ------------------------------------------------------------------------------------------------------------------- */
static inline size_t bytes_on_wire(int fd) {
    char buf[4096];
    ssize_t n = recv(fd, buf, sizeof buf, 0);
    return n > 0 ? (size_t)n : 0;
}
/* A client that is OpenSSL's own, and goes on by itself. */
static inline SSL *stranger(void) {
    serve("a.pem", "a.key");
    built(both, both);
    SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
    SSL *ssl = SSL_new(ctx);
    SSL_set_fd(ssl, fds[1]);
    down = tls_accept(server, fds[0]);
    for (unsigned i = 0; i < 6; i++) SSL_connect(ssl), tls_handshake(down);
    return ssl;
}
static inline void say_keys_change(SSL *ssl, unsigned n) {
    for (unsigned i = 0; i < n; i++) {
        assert_int_equal(SSL_key_update(ssl, SSL_KEY_UPDATE_NOT_REQUESTED), 1);
        assert_int_equal(SSL_do_handshake(ssl), 1);
    }
}

/* ---- much ------------------------------------------------------------------------------------------------------------------------------------ */
#define MUCH (1u << 20)
static uint8_t out[MUCH], in[MUCH];
static inline void fill(void) {
    for (size_t i = 0; i < MUCH; i++) out[i] = (uint8_t)(i * 2654435761u >> 13);
}
/* Writes [done, done + n) in pieces whose sizes walk through odd values; each time from another copy, as the core does after a refusal. */
static inline enum tls_io write_moved(struct tls *t, size_t done, size_t n, size_t *took) {
    static const size_t sizes[] = { 1, 0, 13, 16384, 3, 100, 40000, 9, 16383, 777 };
    struct iovec v[64];
    unsigned niov = 0;
    uint8_t *copy = malloc(n ? n : 1);
    memcpy(copy, out + done, n);
    for (size_t at = 0; at < n && niov < 64; niov++) {
        size_t len = sizes[(niov + done) % 10];
        if (len > n - at || niov == 63) len = n - at;
        v[niov] = (struct iovec){ copy + at, len };
        at += len;
    }
    enum tls_io io = tls_write(t, v, niov, took);
    memset(copy, 0xdd, n);
    free(copy);
    return io;
}
static inline void much_passes_though_much_is_refused(void) {
    fill();
    size_t sent = 0, got = 0, refusals = 0;
    while (got < MUCH) {
        size_t n;
        if (sent < MUCH) {
            enum tls_io io = write_moved(down, sent, MUCH - sent, &n);
            sent += n;
            assert_true(io == TLS_WANT_WRITE || (io == TLS_DONE && sent == MUCH));
            refusals += io == TLS_WANT_WRITE;
        }
        enum tls_io io = tls_read(up, in + got, 5000, &n);
        assert_true(io == TLS_DONE || io == TLS_WANT_READ);
        got += n;
    }
    assert_true(refusals > 10);
    assert_memory_equal(in, out, MUCH);
}
#define T(f) cmocka_unit_test_setup_teardown(f, begin, end)
#define TLS_TESTS(name, ...)                                                          \
    int main(void) {                                                                  \
        const struct CMUnitTest tests[] = { __VA_ARGS__ };                            \
        return cmocka_run_group_tests_name(name, tests, make_all, drop_all);          \
    }
#endif
