// SPDX-License-Identifier: Apache-2.0
// TLS over a socket pair: both ends are ours, driven by turns until nothing moves, so no test waits. The certificates are made here, by a CA that
// is made here too. Where a peer must misbehave, it is the bare socket or OpenSSL's own client.
#define _GNU_SOURCE /* memmem */
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

static char *in_folder(const char *name) {
    static char path[2][128];
    static unsigned turn;
    char *p = path[turn++ % 2];
    snprintf(p, sizeof path[0], "%s/%s", folder, name);
    return p;
}
static void extend(X509 *x, int nid, const char *value) {
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
static void save(const char *name, X509 *x, EVP_PKEY *key) {
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
static void make(const char *name, const char *cn, const char *san, long days) {
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *x = certificate(cn, san, key, days);
    save(name, x, key);
    X509_free(x);
    EVP_PKEY_free(key);
}
static int make_all(void **state) {
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
static int drop_all(void **state) {
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
static struct tls_alpn both = { .v = { "h2", "http/1.1" }, .n = 2 }, none;
static struct tls_server *server;
static struct tls_client *client;
static struct tls *down, *up; /* down: the server's end */
static int fds[2];            /* [0] is down's */

static struct conf_ref ref(const char *text) {
    struct conf_node *n = &nodes[nnodes++];
    *n = (struct conf_node){ .kind = CONF_SCALAR, .pos = { "t.yaml", (unsigned)nnodes, 1 }, .text = str_of(text) };
    return (struct conf_ref){ n->text, n };
}
static void serve(const char *certificate_file, const char *key_file) {
    pairs[sc.certificates.n] = (struct tls_certificate){ ref(certificate_file), ref(key_file) };
    sc.certificates = (struct conf_array){ .v = pairs, .n = sc.certificates.n + 1, .size = sizeof pairs[0] };
}
static int begin(void **state) {
    (void)state;
    conf_init(&conf);
    nnodes = 0;
    sc = (struct tls_server_conf){ .session_tickets = true };
    cc = (struct tls_client_conf){ .verify = true, .ca = ref("ca.pem") };
    server = NULL, client = NULL, down = up = NULL;
    fds[0] = fds[1] = -1;
    return 0;
}
static int end(void **state) {
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
static void built(struct tls_alpn of_server, struct tls_alpn of_client) {
    server = tls_server_build(&conf, &sc, of_server, str_of(folder));
    client = tls_client_build(&conf, &cc, of_client, str_of(folder));
    if (conf.errors) conf_report(&conf, stderr);
    assert_non_null(server);
    assert_non_null(client);
}
static void pair(void) { assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0); }
/* A TCP pair: unix sockets know no RST. */
static void tcp_pair(void) {
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
static void join(const char *name) {
    down = tls_accept(server, fds[0]);
    up = tls_connect(client, fds[1], str_of(name));
}
static bool is_final(enum tls_io io) { return io == TLS_DONE || io == TLS_LOST || io == TLS_EOF; }
/* Turns until both ends are done or lost. */
static void shake(enum tls_io *of_down, enum tls_io *of_up) {
    *of_down = *of_up = TLS_WANT_READ;
    for (unsigned turn = 0; turn < 20 && !(is_final(*of_down) && is_final(*of_up)); turn++) {
        if (!is_final(*of_up)) *of_up = tls_handshake(up);
        if (!is_final(*of_down)) *of_down = tls_handshake(down);
    }
}
static void meet(const char *name) {
    enum tls_io d, u;
    if (fds[0] < 0) pair();
    join(name);
    shake(&d, &u);
    assert_string_equal(tls_error(down), "");
    assert_string_equal(tls_error(up), "");
    assert_int_equal(d, TLS_DONE);
    assert_int_equal(u, TLS_DONE);
}
static void usual(void) {
    serve("a.pem", "a.key");
    built(both, both);
    meet("a.example");
}
static void say(struct tls *t, const char *text) {
    struct iovec v = { (void *)(uintptr_t)text, strlen(text) };
    size_t took;
    assert_int_equal(tls_write(t, &v, 1, &took), TLS_DONE);
    assert_int_equal(took, strlen(text));
}
/* Reads all there is; returns why it stopped. */
static enum tls_io hear(struct tls *t, char *buf, size_t room, size_t *n) {
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

static bool reported(const char *text) {
    for (size_t i = 0; i < conf.ndiags; i++)
        if (memmem(conf.diags[i].message.p, conf.diags[i].message.n, text, strlen(text))) return true;
    conf_report(&conf, stderr);
    return false;
}

/* ---- agreeing ------------------------------------------------------------------------------------------------------------------------------ */
static void h2_is_preferred_and_bytes_pass_both_ways(void **state) {
    (void)state;
    usual();
    assert_true(str_eq(tls_alpn(down), STR("h2")));
    assert_true(str_eq(tls_alpn(up), STR("h2")));
    assert_string_equal(tls_version_name(down), "TLSv1.3");
    assert_true(str_eq(tls_server_name(down), STR("a.example")));
    assert_true(tls_peer_verified(up));
    assert_false(tls_peer_verified(down));
    say(up, "question");
    assert_hears(down, "question", TLS_WANT_READ);
    say(down, "answer");
    assert_hears(up, "answer", TLS_WANT_READ);
}
static void the_server_s_order_decides_the_protocol(void **state) {
    (void)state;
    struct tls_alpn other_way = { .v = { "http/1.1", "h2" }, .n = 2 };
    serve("a.pem", "a.key");
    built(both, other_way);
    meet("a.example");
    assert_true(str_eq(tls_alpn(up), STR("h2")));
}
static void a_client_of_http1_gets_http1(void **state) {
    (void)state;
    struct tls_alpn one = { .v = { "http/1.1" }, .n = 1 };
    serve("a.pem", "a.key");
    built(both, one);
    meet("a.example");
    assert_true(str_eq(tls_alpn(down), STR("http/1.1")));
}
static void a_client_without_alpn_is_served_and_nothing_is_agreed(void **state) {
    (void)state;
    serve("a.pem", "a.key");
    built(both, none);
    meet("a.example");
    assert_int_equal(tls_alpn(down).n, 0);
}
/* RFC 7301 3.2 */
static void no_common_protocol_ends_the_handshake(void **state) {
    (void)state;
    struct tls_alpn strange = { .v = { "acme-tls/1" }, .n = 1 };
    enum tls_io d, u;
    serve("a.pem", "a.key");
    built(both, strange);
    pair();
    join("a.example");
    shake(&d, &u);
    assert_int_equal(d, TLS_LOST);
    assert_int_equal(u, TLS_LOST);
    assert_int_equal(tls_loss(up), TLS_LOSS_PROTOCOL);
    assert_non_null(strstr(tls_error(up), "no application protocol"));
}
/* The codecs that this build has; the order is what is offered. */
static void multiplexed_codecs_are_offered_first(void **state) {
    (void)state;
    struct tls_alpn all = tls_alpn_of_codecs(CODEC_DOWN, NULL);
    bool plain = false;
    assert_true(all.n > 0);
    for (size_t i = 0; i < all.n; i++)
        for (size_t j = 0; j < codec_count(); j++) {
            const struct codec *c = codec_at(j);
            if (c->alpn != all.v[i]) continue;
            assert_false(c->multiplex && plain);
            plain |= !c->multiplex;
        }
    const struct codec *only = codec_at(0);
    struct tls_alpn one = tls_alpn_of_codecs(CODEC_DOWN, only);
    assert_int_equal(one.n, only->alpn && (only->roles & CODEC_DOWN) ? 1 : 0);
}
static void tls_1_2_is_spoken_unless_1_3_is_the_least(void **state) {
    (void)state;
    serve("a.pem", "a.key");
    built(both, both);
    pair();
    SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
    SSL_CTX_set_max_proto_version(ctx, TLS1_2_VERSION);
    SSL *ssl = SSL_new(ctx);
    SSL_set_fd(ssl, fds[1]);
    down = tls_accept(server, fds[0]);
    for (unsigned i = 0; i < 6; i++) SSL_connect(ssl), tls_handshake(down);
    assert_true(SSL_is_init_finished(ssl));
    assert_string_equal(tls_version_name(down), "TLSv1.2");
    SSL_free(ssl);
    SSL_CTX_free(ctx);
}
/* A bare client that speaks nothing newer than `most`. */
static void refuses_version(int most) {
    enum tls_io io = TLS_WANT_READ;
    built(both, both);
    pair();
    SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
    SSL_CTX_set_security_level(ctx, 0);
    SSL_CTX_set_min_proto_version(ctx, TLS1_VERSION);
    SSL_CTX_set_max_proto_version(ctx, most);
    SSL_CTX_set_cipher_list(ctx, "ALL:@SECLEVEL=0");
    SSL *ssl = SSL_new(ctx);
    SSL_set_fd(ssl, fds[1]);
    down = tls_accept(server, fds[0]);
    for (unsigned i = 0; i < 6 && !is_final(io); i++) SSL_connect(ssl), io = tls_handshake(down);
    assert_int_equal(io, TLS_LOST);
    assert_int_equal(tls_loss(down), TLS_LOSS_PROTOCOL);
    assert_non_null(strstr(tls_error(down), "protocol"));
    SSL_free(ssl);
    SSL_CTX_free(ctx);
}
static void tls_1_1_is_refused(void **state) {
    (void)state;
    serve("a.pem", "a.key");
    refuses_version(TLS1_1_VERSION);
}
static void tls_1_2_is_refused_where_1_3_is_the_least(void **state) {
    (void)state;
    serve("a.pem", "a.key");
    sc.min_version = TLS_1_3;
    refuses_version(TLS1_2_VERSION);
}

/* ---- which certificate ------------------------------------------------------------------------------------------------------------------- */
static void meets_verified(const char *name) {
    serve("a.pem", "a.key");
    serve("b.pem", "b.key");
    serve("named.pem", "named.key");
    built(both, both);
    meet(name); /* the client verifies the name: only the right certificate will do */
}
static void the_certificate_is_chosen_by_its_name(void **state) { (void)state, meets_verified("b.example"); }
static void the_case_of_a_name_does_not_matter(void **state) { (void)state, meets_verified("B.Example"); }
static void a_wildcard_stands_for_one_label(void **state) { (void)state, meets_verified("x.a.example"); }
static void an_exact_name_goes_before_a_wildcard(void **state) { (void)state, meets_verified("deep.a.example"); }
static void a_common_name_counts_where_there_is_no_other(void **state) { (void)state, meets_verified("cn.example"); }
static void a_last_dot_of_a_name_is_not_sent(void **state) {
    (void)state;
    meets_verified("b.example.");
    assert_true(str_eq(tls_server_name(down), STR("b.example")));
}
static void an_address_is_verified_and_not_sent_as_a_name(void **state) {
    (void)state;
    serve("b.pem", "b.key");
    built(both, both);
    meet("127.0.0.1");
    assert_int_equal(tls_server_name(down).n, 0);
}
static void the_first_certificate_is_the_default(void **state) {
    (void)state;
    cc.verify = false;
    meets_verified("nobody.example");
    say(up, "fine");
    assert_hears(down, "fine", TLS_WANT_READ);
}
static void the_configured_server_name_beats_the_endpoint_s(void **state) {
    (void)state;
    cc.server_name = STR("b.example");
    meets_verified("10.0.0.1");
    assert_true(str_eq(tls_server_name(down), STR("b.example")));
}
static void certificates_of_a_reload_do_not_touch_open_connections(void **state) {
    (void)state;
    usual();
    tls_server_unref(server); /* the old snapshot is gone; the connection keeps what it needs */
    server = NULL;
    tls_client_unref(client);
    client = NULL;
    say(up, "still here");
    assert_hears(down, "still here", TLS_WANT_READ);
}
static void a_server_that_goes_in_mid_handshake_is_kept_by_it(void **state) {
    (void)state;
    enum tls_io d, u;
    serve("a.pem", "a.key");
    serve("b.pem", "b.key");
    built(both, both);
    pair();
    join("b.example");
    tls_server_unref(server);
    server = NULL;
    shake(&d, &u);
    assert_int_equal(d, TLS_DONE);
    assert_int_equal(u, TLS_DONE);
}

/* ---- who is believed ------------------------------------------------------------------------------------------------------------------- */
static void fails_to_verify(const char *name, const char *why) {
    enum tls_io d, u;
    built(both, both);
    pair();
    join(name);
    shake(&d, &u);
    assert_int_equal(u, TLS_LOST);
    assert_int_equal(tls_loss(up), TLS_LOSS_VERIFY);
    assert_non_null(strstr(tls_error(up), why));
    assert_int_equal(d, TLS_LOST);
    assert_int_equal(tls_loss(down), TLS_LOSS_PROTOCOL);
}
static void another_name_is_not_believed(void **state) {
    (void)state;
    serve("a.pem", "a.key");
    fails_to_verify("b.example", "hostname mismatch");
}
static void a_wildcard_does_not_stand_for_two_labels(void **state) {
    (void)state;
    serve("a.pem", "a.key");
    fails_to_verify("x.y.a.example", "hostname mismatch");
}
/* RFC 6125 6.4.3 lets a client take b*.example for bb.example; nobody should. */
static void half_a_wildcard_is_not_believed(void **state) {
    (void)state;
    serve("partial.pem", "partial.key");
    fails_to_verify("bb.example", "hostname mismatch");
}
static void another_address_is_not_believed(void **state) {
    (void)state;
    serve("b.pem", "b.key");
    fails_to_verify("127.0.0.2", "IP address mismatch");
}
static void an_unknown_ca_is_not_believed(void **state) {
    (void)state;
    serve("a.pem", "a.key");
    cc.ca = (struct conf_ref){ 0 }; /* the system's */
    fails_to_verify("a.example", "unable to get local issuer");
}
static void an_expired_certificate_is_not_believed_and_the_build_warns(void **state) {
    (void)state;
    serve("old.pem", "old.key");
    fails_to_verify("old.example", "expired");
    assert_int_equal(conf.errors, 0);
    assert_true(reported("has expired"));
}
static void a_server_that_must_not_be_verified_is_not(void **state) {
    (void)state;
    serve("a.pem", "a.key");
    cc.verify = false;
    built(both, both);
    meet("b.example");
    assert_false(tls_peer_verified(up));
}

static void ask_clients(enum tls_client_auth how) {
    serve("a.pem", "a.key");
    sc.client_auth = (uint8_t)how;
    sc.client_ca = ref("ca.pem");
}
static void a_required_client_certificate_is_shown_and_verified(void **state) {
    (void)state;
    ask_clients(CLIENT_CERT_REQUIRED);
    cc.certificate = ref("client.pem");
    cc.key = ref("client.key");
    built(both, both);
    meet("a.example");
    assert_true(tls_peer_verified(down));
}
static void a_required_client_certificate_that_is_missing_ends_it(void **state) {
    (void)state;
    enum tls_io d, u;
    ask_clients(CLIENT_CERT_REQUIRED);
    built(both, both);
    pair();
    join("a.example");
    shake(&d, &u);
    assert_int_equal(d, TLS_LOST);
    assert_int_equal(tls_loss(down), TLS_LOSS_VERIFY);
    assert_string_equal(tls_error(down), "the peer showed no certificate");
    /* TLS 1.3: the client is done before the server has judged, and hears of it when it reads. */
    assert_int_equal(u, TLS_DONE);
    assert_hears(up, "", TLS_LOST);
    assert_non_null(strstr(tls_error(up), "certificate required"));
}
static void an_optional_client_certificate_may_be_missing(void **state) {
    (void)state;
    ask_clients(CLIENT_CERT_OPTIONAL);
    built(both, both);
    meet("a.example");
    assert_false(tls_peer_verified(down));
}

/* ---- how it ends -------------------------------------------------------------------------------------------------------------------------- */
static void close_notify_is_an_end_after_all_that_was_said(void **state) {
    (void)state;
    usual();
    say(up, "the last word");
    assert_int_equal(tls_shutdown(up), TLS_DONE);
    assert_hears(down, "the last word", TLS_EOF);
    assert_hears(down, "", TLS_EOF);
    assert_int_equal(tls_loss(down), TLS_LOSS_NONE);
}
/* T5: close_notify is a FIN. What is owed still goes the other way. */
static void an_answer_passes_after_the_peer_s_close_notify(void **state) {
    (void)state;
    usual();
    assert_int_equal(tls_shutdown(up), TLS_DONE);
    assert_hears(down, "", TLS_EOF);
    say(down, "answer");
    assert_int_equal(tls_shutdown(up), TLS_DONE); /* a second time: eats nothing */
    assert_int_equal(tls_shutdown(down), TLS_DONE);
    assert_hears(up, "answer", TLS_EOF);
}
static size_t bytes_on_wire(int fd) {
    char buf[4096];
    ssize_t n = recv(fd, buf, sizeof buf, 0);
    return n > 0 ? (size_t)n : 0;
}
static void nothing_is_written_after_our_close_notify(void **state) {
    (void)state;
    usual();
    assert_hears(up, "", TLS_WANT_READ); /* takes the tickets off the wire */
    assert_int_equal(tls_shutdown(down), TLS_DONE);
    assert_int_not_equal(bytes_on_wire(fds[1]), 0);
    struct iovec v = { (void *)(uintptr_t)"late", 4 };
    size_t took;
    assert_int_equal(tls_write(down, &v, 1, &took), TLS_LOST);
    assert_string_equal(tls_error(down), "written after our own close_notify");
    assert_int_equal(took, 0);
    assert_int_equal(tls_shutdown(down), TLS_DONE);
    assert_int_equal(bytes_on_wire(fds[1]), 0);
}
/* A peer that talks nonsense after it got our close_notify gets no alert either. */
static void no_alert_follows_our_close_notify(void **state) {
    (void)state;
    usual();
    assert_hears(up, "", TLS_WANT_READ);
    assert_int_equal(tls_shutdown(down), TLS_DONE);
    (void)bytes_on_wire(fds[1]);
    assert_int_equal(write(fds[1], "\x17\x03\x03\x00\x20 this is no record of this session", 40), 40);
    assert_hears(down, "", TLS_LOST);
    assert_int_equal(tls_loss(down), TLS_LOSS_PROTOCOL);
    assert_int_equal(bytes_on_wire(fds[1]), 0);
}
static void a_fin_without_close_notify_is_a_cut(void **state) {
    (void)state;
    usual();
    say(up, "half a");
    shutdown(fds[1], SHUT_WR);
    assert_hears(down, "half a", TLS_LOST);
    assert_int_equal(tls_loss(down), TLS_LOSS_CUT);
    assert_hears(down, "", TLS_LOST);
}
static void a_reset_is_a_loss_and_stays_one(void **state) {
    (void)state;
    serve("a.pem", "a.key");
    built(both, both);
    tcp_pair();
    meet("a.example");
    struct linger hard = { .l_onoff = 1 };
    setsockopt(fds[1], SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
    close(fds[1]);
    fds[1] = -1;
    assert_hears(down, "", TLS_LOST);
    assert_int_equal(tls_loss(down), TLS_LOSS_RESET);
    assert_non_null(strstr(tls_error(down), strerror(ECONNRESET)));
    assert_hears(down, "", TLS_LOST);
    assert_int_equal(tls_loss(down), TLS_LOSS_RESET);
    struct iovec v = { (void *)(uintptr_t)"x", 1 };
    size_t took;
    assert_int_equal(tls_write(down, &v, 1, &took), TLS_LOST);
    assert_int_equal(tls_shutdown(down), TLS_DONE);
}
static void a_fin_in_the_handshake_is_a_cut(void **state) {
    (void)state;
    serve("a.pem", "a.key");
    built(both, both);
    pair();
    join("a.example");
    assert_int_equal(tls_handshake(up), TLS_WANT_READ);
    shutdown(fds[1], SHUT_WR);
    enum tls_io io = TLS_WANT_READ;
    for (unsigned i = 0; i < 4 && !is_final(io); i++) io = tls_handshake(down);
    assert_int_equal(io, TLS_LOST);
    assert_int_equal(tls_loss(down), TLS_LOSS_CUT);
    assert_int_equal(tls_shutdown(down), TLS_DONE);
}
static void plain_http_on_a_tls_port_is_said_so(void **state) {
    (void)state;
    serve("a.pem", "a.key");
    built(both, both);
    pair();
    down = tls_accept(server, fds[0]);
    assert_int_equal(write(fds[1], "GET / HTTP/1.1\r\n\r\n", 18), 18);
    assert_int_equal(tls_handshake(down), TLS_LOST);
    assert_string_equal(tls_error(down), "http request");
}
/* One connection's error must not be taken for the next one's. */
static void an_error_of_one_connection_is_not_seen_by_another(void **state) {
    (void)state;
    usual();
    int other[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, other), 0);
    struct tls *bad = tls_accept(server, other[0]);
    assert_int_equal(write(other[1], "GET / HTTP/1.1\r\n\r\n", 18), 18);
    assert_int_equal(tls_handshake(bad), TLS_LOST);
    assert_hears(down, "", TLS_WANT_READ);
    say(down, "well");
    assert_hears(up, "well", TLS_WANT_READ);
    tls_free(bad);
    close(other[0]);
    close(other[1]);
}
/* CVE-2009-3555 and its like: a TLS 1.2 client that asks is told no, and the connection lives. */
static void renegotiation_is_refused(void **state) {
    (void)state;
    serve("a.pem", "a.key");
    built(both, both);
    pair();
    SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
    SSL_CTX_set_max_proto_version(ctx, TLS1_2_VERSION);
    SSL *ssl = SSL_new(ctx);
    SSL_set_fd(ssl, fds[1]);
    down = tls_accept(server, fds[0]);
    for (unsigned i = 0; i < 6; i++) SSL_connect(ssl), tls_handshake(down);
    assert_int_equal(SSL_renegotiate(ssl), 1);
    SSL_do_handshake(ssl);
    assert_hears(down, "", TLS_WANT_READ);
    assert_int_equal(SSL_do_handshake(ssl), -1);
    assert_int_equal(SSL_get_error(ssl, -1), SSL_ERROR_SSL);
    assert_int_equal(ERR_GET_REASON(ERR_peek_error()), SSL_R_NO_RENEGOTIATION);
    assert_int_equal(tls_loss(down), TLS_LOSS_NONE);
    SSL_free(ssl);
    SSL_CTX_free(ctx);
}

/* A client that is OpenSSL's own, and goes on by itself. */
static SSL *stranger(void) {
    serve("a.pem", "a.key");
    built(both, both);
    SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
    SSL *ssl = SSL_new(ctx);
    SSL_set_fd(ssl, fds[1]);
    down = tls_accept(server, fds[0]);
    for (unsigned i = 0; i < 6; i++) SSL_connect(ssl), tls_handshake(down);
    return ssl;
}
static void say_keys_change(SSL *ssl, unsigned n) {
    for (unsigned i = 0; i < n; i++) {
        assert_int_equal(SSL_key_update(ssl, SSL_KEY_UPDATE_NOT_REQUESTED), 1);
        assert_int_equal(SSL_do_handshake(ssl), 1);
    }
}
static void new_keys_now_and_then_are_no_trouble(void **state) {
    (void)state;
    pair();
    SSL *ssl = stranger();
    static char much[1 << 14], heard[1 << 14];
    size_t n;
    for (unsigned i = 0; i < 200; i++) {
        if (i % 50 == 0) say_keys_change(ssl, 16);
        assert_int_equal(SSL_write(ssl, much, sizeof much), sizeof much);
        for (size_t got = 0; got < sizeof much; got += n) assert_int_equal(tls_read(down, heard, sizeof heard, &n), TLS_DONE);
    }
    SSL_CTX_free(SSL_get_SSL_CTX(ssl));
    SSL_free(ssl);
}
/* Each costs us what a request costs, and OpenSSL does not return while there are more. */
static void who_sends_nothing_but_new_keys_is_lost(void **state) {
    (void)state;
    pair();
    SSL *ssl = stranger();
    assert_int_equal(SSL_write(ssl, "data", 4), 4);
    say_keys_change(ssl, 33);
    assert_hears(down, "data", TLS_LOST);
    assert_int_equal(tls_loss(down), TLS_LOSS_PROTOCOL);
    assert_string_equal(tls_error(down), "too many records without data");
    SSL_CTX_free(SSL_get_SSL_CTX(ssl));
    SSL_free(ssl);
}

/* The socket is full of other bytes, so that the alert waits. */
static void a_close_notify_that_is_refused_can_be_sent_again(void **state) {
    (void)state;
    static char junk[1 << 16];
    usual();
    assert_hears(up, "", TLS_WANT_READ);
    size_t stuffed = 0;
    for (ssize_t n; (n = send(fds[0], junk, sizeof junk, MSG_DONTWAIT)) > 0;) stuffed += (size_t)n;
    assert_int_equal(tls_shutdown(down), TLS_WANT_WRITE);
    assert_int_equal(tls_shutdown(down), TLS_WANT_WRITE);
    for (ssize_t n; stuffed > 0 && (n = recv(fds[1], junk, stuffed < sizeof junk ? stuffed : sizeof junk, 0)) > 0;) stuffed -= (size_t)n;
    assert_int_equal(tls_shutdown(down), TLS_DONE);
    assert_hears(up, "", TLS_EOF);
}

/* ---- much ------------------------------------------------------------------------------------------------------------------------------------ */
#define MUCH (1u << 20)
static uint8_t out[MUCH], in[MUCH];
static void fill(void) {
    for (size_t i = 0; i < MUCH; i++) out[i] = (uint8_t)(i * 2654435761u >> 13);
}
/* Writes [done, done + n) in pieces whose sizes walk through odd values; each time from another copy, as the core does after a refusal. */
static enum tls_io write_moved(struct tls *t, size_t done, size_t n, size_t *took) {
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
static void much_passes_though_much_is_refused(void) {
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
static void what_is_refused_can_be_written_again_from_elsewhere(void **state) {
    (void)state;
    usual();
    much_passes_though_much_is_refused();
}
static void a_retry_may_bring_more_than_was_refused(void **state) {
    (void)state;
    usual();
    fill();
    size_t sent = 0, got = 0, offer = 20000, refusals = 0, n;
    while (got < MUCH) {
        if (offer > MUCH - sent) offer = MUCH - sent;
        enum tls_io io = sent < MUCH ? write_moved(down, sent, offer, &n) : TLS_DONE;
        if (sent < MUCH) sent += n;
        refusals += io == TLS_WANT_WRITE;
        offer = io == TLS_WANT_WRITE ? offer - n + 1000 : 20000;
        if (tls_read(up, in + got, MUCH - got < 5000 ? MUCH - got : 5000, &n) == TLS_DONE) got += n;
    }
    assert_true(refusals > 0);
    assert_memory_equal(in, out, MUCH);
}
/* Half a record is on the wire: an alert behind it would be rubbish. */
static void a_refused_write_that_is_given_up_ends_without_close_notify(void **state) {
    (void)state;
    usual();
    fill();
    size_t n, got = 0;
    assert_int_equal(write_moved(down, 0, MUCH, &n), TLS_WANT_WRITE);
    assert_int_equal(tls_shutdown(down), TLS_DONE);
    shutdown(fds[0], SHUT_WR);
    enum tls_io io;
    while ((io = tls_read(up, in + got, MUCH - got, &n)) == TLS_DONE) got += n;
    assert_int_equal(io, TLS_LOST);
    assert_int_equal(tls_loss(up), TLS_LOSS_CUT);
    assert_memory_equal(in, out, got);
}
static void small_pieces_share_one_record(void **state) {
    (void)state;
    usual();
    assert_hears(up, "", TLS_WANT_READ);
    struct iovec v[] = { { (void *)(uintptr_t)"HTTP/1.1 200 OK\r\n", 17 }, { NULL, 0 }, { (void *)(uintptr_t)"\r\n", 2 }, { (void *)(uintptr_t)"body", 4 } };
    size_t took;
    assert_int_equal(tls_write(down, v, 4, &took), TLS_DONE);
    assert_int_equal(took, 23);
    assert_int_equal(bytes_on_wire(fds[1]), 5 + 23 + 1 + 16); /* RFC 8446 5.2: header, bytes, their type, tag */
}
static void nothing_to_write_writes_nothing(void **state) {
    (void)state;
    usual();
    assert_hears(up, "", TLS_WANT_READ);
    struct iovec v = { (void *)(uintptr_t)"x", 0 };
    size_t took;
    assert_int_equal(tls_write(down, &v, 1, &took), TLS_DONE);
    assert_int_equal(tls_write(down, NULL, 0, &took), TLS_DONE);
    assert_int_equal(bytes_on_wire(fds[1]), 0);
}
/* Three records in one read of the socket: one call brings them, so that the connection does not have to guess. */
static void records_that_came_together_are_read_together(void **state) {
    (void)state;
    usual();
    say(up, "one "), say(up, "two "), say(up, "three");
    char buf[64];
    size_t got;
    assert_int_equal(tls_read(down, buf, sizeof buf, &got), TLS_DONE);
    assert_int_equal(got, 13);
    assert_memory_equal(buf, "one two three", 13);
}

/* ---- where the kernel encrypts ------------------------------------------------------------------------------------------------------------- */
static bool kernel_has_tls(void) { return access("/proc/self/net/tls_stat", F_OK) == 0; }
static void usual_in_kernel(void) {
    if (!kernel_has_tls()) skip();
    sc.ktls = cc.ktls = true;
    tcp_pair();
    usual();
    assert_true(tls_is_in_kernel(down) && tls_is_in_kernel(up));
    assert_int_equal(conf.ndiags, 0);
}
static void the_kernel_encrypts_and_pieces_share_a_record(void **state) {
    (void)state;
    usual_in_kernel();
    assert_hears(up, "", TLS_WANT_READ);
    struct iovec v[] = { { NULL, 0 }, { (void *)(uintptr_t)"HTTP/1.1 200 OK\r\n", 17 }, { NULL, 0 }, { (void *)(uintptr_t)"\r\nbody", 6 } };
    size_t took;
    assert_int_equal(tls_write(down, v, 4, &took), TLS_DONE);
    assert_int_equal(took, 23);
    assert_int_equal(bytes_on_wire(fds[1]), 5 + 23 + 1 + 16);
}
static void what_the_kernel_refuses_can_be_written_again_from_elsewhere(void **state) {
    (void)state;
    usual_in_kernel();
    much_passes_though_much_is_refused();
}
/* Half a record is nobody's to finish but the kernel's: an alert may follow a refusal. */
static void close_notify_follows_what_the_kernel_took(void **state) {
    (void)state;
    usual_in_kernel();
    fill();
    size_t sent, got = 0, n;
    assert_int_equal(write_moved(down, 0, MUCH, &sent), TLS_WANT_WRITE);
    enum tls_io io, closed;
    do {
        closed = tls_shutdown(down);
        while ((io = tls_read(up, in + got, MUCH - got, &n)) == TLS_DONE) got += n;
    } while (closed == TLS_WANT_WRITE);
    while (io == TLS_WANT_READ) {
        io = tls_read(up, in + got, MUCH - got, &n);
        got += n;
        if (io == TLS_DONE) io = TLS_WANT_READ;
    }
    assert_int_equal(io, TLS_EOF);
    assert_int_equal(got, sent);
    assert_memory_equal(in, out, sent);
}
/* RFC 8446 4.6.3: an answer to the request would say that our keys change, and the kernel's do not; nor may a second request draw one. */
static void a_request_for_other_keys_wears_a_connection_out(void **state) {
    (void)state;
    if (!kernel_has_tls()) skip();
    sc.ktls = true;
    tcp_pair();
    SSL *ssl = stranger();
    assert_true(tls_is_in_kernel(down) && !tls_is_worn(down));
    for (unsigned i = 0; i < 4; i++) { /* not asked: only the client's keys change, which OpenSSL reads with */
        assert_int_equal(SSL_key_update(ssl, i ? SSL_KEY_UPDATE_REQUESTED : SSL_KEY_UPDATE_NOT_REQUESTED), 1);
        assert_int_equal(SSL_write(ssl, "ask", 3), 3);
        assert_hears(down, "ask", TLS_WANT_READ);
        assert_int_equal(tls_is_worn(down), i > 0);
        say(down, "with the old keys");
        char buf[64];
        assert_int_equal(SSL_read(ssl, buf, sizeof buf), 17);
    }
    assert_int_equal(tls_shutdown(down), TLS_DONE);
    assert_int_equal(SSL_read(ssl, &(char){ 0 }, 1), 0);
    assert_int_equal(SSL_get_error(ssl, 0), SSL_ERROR_ZERO_RETURN);
    SSL_CTX_free(SSL_get_SSL_CTX(ssl));
    SSL_free(ssl);
}
/* As when they waited in the socket together. */
static void requests_for_other_keys_that_come_together_draw_no_answer(void **state) {
    (void)state;
    if (!kernel_has_tls()) skip();
    sc.ktls = true;
    tcp_pair();
    SSL *ssl = stranger();
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(SSL_key_update(ssl, SSL_KEY_UPDATE_REQUESTED), 1);
        assert_int_equal(SSL_do_handshake(ssl), 1);
    }
    assert_hears(down, "", TLS_WANT_READ);
    say(down, "with the old keys");
    char buf[64];
    assert_int_equal(SSL_read(ssl, buf, sizeof buf), 17);
    SSL_CTX_free(SSL_get_SSL_CTX(ssl));
    SSL_free(ssl);
}
/* Neither every socket nor every cipher is for the kernel, nor has every system one that can. */
static void where_the_kernel_cannot_openssl_encrypts(void **state) {
    (void)state;
    sc.ktls = cc.ktls = true;
    sc.ktls_at = cc.ktls_at = (struct conf_pos){ "t.yaml", 7, 3 };
    usual(); /* over a unix socket */
    assert_true(!tls_is_in_kernel(down) && !tls_is_in_kernel(up));
    say(down, "all the same");
    assert_hears(up, "all the same", TLS_WANT_READ);
    assert_int_equal(conf.ndiags, kernel_has_tls() ? 0 : 2);
    if (conf.ndiags) {
        assert_true(reported("this system's kernel has no TLS"));
        assert_int_equal(conf.diags[0].pos.line, 7);
    }
}

/* ---- what is wrong with a configuration ----------------------------------------------------------------------------------------------------- */
static void fails_to_build(const char *text, unsigned line) {
    server = tls_server_build(&conf, &sc, both, str_of(folder));
    assert_null(server);
    assert_int_equal(conf.errors, 1);
    assert_true(reported(text));
    if (line) assert_int_equal(conf.diags[0].pos.line, line);
}
static void a_missing_certificate_is_reported_at_its_place(void **state) {
    (void)state;
    serve("absent.pem", "a.key");
    fails_to_build("absent.pem cannot be read: No such file", 2);
}
static void a_missing_key_is_reported_at_its_place(void **state) {
    (void)state;
    serve("a.pem", "absent.key");
    fails_to_build("absent.key cannot be read: No such file", 3);
}
static void a_key_of_another_certificate_is_reported(void **state) {
    (void)state;
    serve("a.pem", "b.key");
    fails_to_build("does not belong to certificate a.pem", 3);
}
static void a_file_that_is_no_certificate_is_reported(void **state) {
    (void)state;
    serve("a.key", "a.key");
    fails_to_build("a.key is of no use", 2);
}
static void a_key_with_a_passphrase_is_reported_and_asks_nobody(void **state) {
    (void)state;
    EVP_PKEY *key = EVP_EC_gen("P-256");
    FILE *f = fopen(in_folder("locked.key"), "w");
    PEM_write_PrivateKey(f, key, EVP_aes_128_cbc(), (const unsigned char *)"secret", 6, NULL, NULL);
    fclose(f);
    EVP_PKEY_free(key);
    serve("a.pem", "locked.key");
    fails_to_build("locked.key is of no use", 3);
}
static void client_certificates_without_a_ca_are_reported(void **state) {
    (void)state;
    serve("a.pem", "a.key");
    sc.client_auth = CLIENT_CERT_REQUIRED;
    fails_to_build("no client_ca", 0);
}
static void ciphers_that_do_not_exist_are_reported_once(void **state) {
    (void)state;
    serve("a.pem", "a.key");
    serve("b.pem", "b.key");
    sc.ciphers = STR("ROT13");
    fails_to_build("ROT13 names no cipher", 0);
}
static void a_certificate_that_no_name_leads_to_is_warned_of(void **state) {
    (void)state;
    serve("a.pem", "a.key");
    serve("a2.pem", "a2.key"); /* its common name does not count: it has another */
    built(both, both);
    assert_int_equal(conf.errors, 0);
    assert_true(reported("is never used"));
}
static void every_fault_is_reported_in_one_run(void **state) {
    (void)state;
    serve("absent.pem", "a.key");
    serve("a.pem", "b.key");
    server = tls_server_build(&conf, &sc, both, str_of(folder));
    assert_null(server);
    assert_int_equal(conf.errors, 2);
}
static void a_client_s_certificate_needs_its_key(void **state) {
    (void)state;
    cc.certificate = ref("client.pem");
    client = tls_client_build(&conf, &cc, none, str_of(folder));
    assert_null(client);
    assert_true(reported("go together"));
}
static void a_client_s_missing_ca_is_reported_at_its_place(void **state) {
    (void)state;
    cc.ca = ref("absent.pem");
    client = tls_client_build(&conf, &cc, none, str_of(folder));
    assert_null(client);
    assert_true(reported("CA file"));
    assert_int_equal(conf.diags[0].pos.line, 2);
}

#define T(f) cmocka_unit_test_setup_teardown(f, begin, end)
int main(void) {
    const struct CMUnitTest tests[] = {
        T(h2_is_preferred_and_bytes_pass_both_ways), T(the_server_s_order_decides_the_protocol), T(a_client_of_http1_gets_http1),
        T(a_client_without_alpn_is_served_and_nothing_is_agreed), T(no_common_protocol_ends_the_handshake), T(multiplexed_codecs_are_offered_first),
        T(tls_1_2_is_spoken_unless_1_3_is_the_least), T(tls_1_1_is_refused), T(tls_1_2_is_refused_where_1_3_is_the_least),
        T(the_certificate_is_chosen_by_its_name), T(the_case_of_a_name_does_not_matter), T(a_wildcard_stands_for_one_label),
        T(an_exact_name_goes_before_a_wildcard), T(a_common_name_counts_where_there_is_no_other), T(a_last_dot_of_a_name_is_not_sent),
        T(an_address_is_verified_and_not_sent_as_a_name), T(the_first_certificate_is_the_default),
        T(the_configured_server_name_beats_the_endpoint_s), T(certificates_of_a_reload_do_not_touch_open_connections),
        T(a_server_that_goes_in_mid_handshake_is_kept_by_it), T(another_name_is_not_believed), T(a_wildcard_does_not_stand_for_two_labels),
        T(half_a_wildcard_is_not_believed), T(another_address_is_not_believed), T(an_unknown_ca_is_not_believed), T(an_expired_certificate_is_not_believed_and_the_build_warns),
        T(a_server_that_must_not_be_verified_is_not), T(a_required_client_certificate_is_shown_and_verified),
        T(a_required_client_certificate_that_is_missing_ends_it), T(an_optional_client_certificate_may_be_missing),
        T(close_notify_is_an_end_after_all_that_was_said), T(an_answer_passes_after_the_peer_s_close_notify),
        T(nothing_is_written_after_our_close_notify), T(no_alert_follows_our_close_notify), T(a_fin_without_close_notify_is_a_cut),
        T(a_reset_is_a_loss_and_stays_one), T(a_fin_in_the_handshake_is_a_cut), T(plain_http_on_a_tls_port_is_said_so),
        T(an_error_of_one_connection_is_not_seen_by_another), T(renegotiation_is_refused), T(what_is_refused_can_be_written_again_from_elsewhere),
        T(a_retry_may_bring_more_than_was_refused), T(a_refused_write_that_is_given_up_ends_without_close_notify), T(small_pieces_share_one_record),
        T(a_close_notify_that_is_refused_can_be_sent_again), T(the_kernel_encrypts_and_pieces_share_a_record),
        T(what_the_kernel_refuses_can_be_written_again_from_elsewhere), T(close_notify_follows_what_the_kernel_took),
        T(a_request_for_other_keys_wears_a_connection_out), T(requests_for_other_keys_that_come_together_draw_no_answer),
        T(new_keys_now_and_then_are_no_trouble), T(who_sends_nothing_but_new_keys_is_lost), T(where_the_kernel_cannot_openssl_encrypts),
        T(nothing_to_write_writes_nothing), T(records_that_came_together_are_read_together), T(a_missing_certificate_is_reported_at_its_place),
        T(a_missing_key_is_reported_at_its_place), T(a_key_of_another_certificate_is_reported), T(a_file_that_is_no_certificate_is_reported),
        T(a_key_with_a_passphrase_is_reported_and_asks_nobody), T(client_certificates_without_a_ca_are_reported),
        T(ciphers_that_do_not_exist_are_reported_once), T(a_certificate_that_no_name_leads_to_is_warned_of), T(every_fault_is_reported_in_one_run),
        T(a_client_s_certificate_needs_its_key), T(a_client_s_missing_ca_is_reported_at_its_place),
    };
    return cmocka_run_group_tests_name("tls", tests, make_all, drop_all);
}
