// SPDX-License-Identifier: Apache-2.0
// TLS: what both ends agree on, what passes between them, and how it ends.
#define _GNU_SOURCE
#include "tests/unit/proxy/tls_rig.h"

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
    built(both, NO_ALPN);
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

TLS_TESTS("tls",
           T(h2_is_preferred_and_bytes_pass_both_ways), T(the_server_s_order_decides_the_protocol), T(a_client_of_http1_gets_http1),
           T(a_client_without_alpn_is_served_and_nothing_is_agreed), T(no_common_protocol_ends_the_handshake),
           T(multiplexed_codecs_are_offered_first), T(tls_1_2_is_spoken_unless_1_3_is_the_least), T(tls_1_1_is_refused),
           T(tls_1_2_is_refused_where_1_3_is_the_least), T(close_notify_is_an_end_after_all_that_was_said),
           T(an_answer_passes_after_the_peer_s_close_notify), T(nothing_is_written_after_our_close_notify), T(no_alert_follows_our_close_notify),
           T(a_fin_without_close_notify_is_a_cut), T(a_reset_is_a_loss_and_stays_one), T(a_fin_in_the_handshake_is_a_cut),
           T(plain_http_on_a_tls_port_is_said_so), T(an_error_of_one_connection_is_not_seen_by_another), T(renegotiation_is_refused),
           T(new_keys_now_and_then_are_no_trouble), T(who_sends_nothing_but_new_keys_is_lost), T(a_close_notify_that_is_refused_can_be_sent_again),
           T(what_is_refused_can_be_written_again_from_elsewhere), T(a_retry_may_bring_more_than_was_refused),
           T(a_refused_write_that_is_given_up_ends_without_close_notify), T(small_pieces_share_one_record), T(nothing_to_write_writes_nothing),
           T(records_that_came_together_are_read_together))
