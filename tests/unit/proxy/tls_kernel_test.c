// SPDX-License-Identifier: Apache-2.0
// TLS where the kernel encrypts; what needs a kernel that can is skipped where it cannot (`make test-ktls` brings one).
#define _GNU_SOURCE
#include "tests/unit/proxy/tls_rig.h"

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

TLS_TESTS("tls_kernel",
           T(the_kernel_encrypts_and_pieces_share_a_record), T(what_the_kernel_refuses_can_be_written_again_from_elsewhere),
           T(close_notify_follows_what_the_kernel_took), T(a_request_for_other_keys_wears_a_connection_out),
           T(requests_for_other_keys_that_come_together_draw_no_answer), T(where_the_kernel_cannot_openssl_encrypts))
