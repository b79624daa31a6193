// SPDX-License-Identifier: Apache-2.0
// TLS: which certificate a name gets, who is believed, and what is wrong with a configuration's files.
#define _GNU_SOURCE
#include "tests/unit/proxy/tls_rig.h"

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
    client = tls_client_build(&conf, &cc, NO_ALPN, str_of(folder));
    assert_null(client);
    assert_true(reported("go together"));
}
static void a_client_s_missing_ca_is_reported_at_its_place(void **state) {
    (void)state;
    cc.ca = ref("absent.pem");
    client = tls_client_build(&conf, &cc, NO_ALPN, str_of(folder));
    assert_null(client);
    assert_true(reported("CA file"));
    assert_int_equal(conf.diags[0].pos.line, 2);
}

TLS_TESTS("tls_certificates",
           T(the_certificate_is_chosen_by_its_name), T(the_case_of_a_name_does_not_matter), T(a_wildcard_stands_for_one_label),
           T(an_exact_name_goes_before_a_wildcard), T(a_common_name_counts_where_there_is_no_other), T(a_last_dot_of_a_name_is_not_sent),
           T(an_address_is_verified_and_not_sent_as_a_name), T(the_first_certificate_is_the_default),
           T(the_configured_server_name_beats_the_endpoint_s), T(certificates_of_a_reload_do_not_touch_open_connections),
           T(a_server_that_goes_in_mid_handshake_is_kept_by_it), T(another_name_is_not_believed), T(a_wildcard_does_not_stand_for_two_labels),
           T(half_a_wildcard_is_not_believed), T(another_address_is_not_believed), T(an_unknown_ca_is_not_believed),
           T(an_expired_certificate_is_not_believed_and_the_build_warns), T(a_server_that_must_not_be_verified_is_not),
           T(a_required_client_certificate_is_shown_and_verified), T(a_required_client_certificate_that_is_missing_ends_it),
           T(an_optional_client_certificate_may_be_missing), T(a_missing_certificate_is_reported_at_its_place),
           T(a_missing_key_is_reported_at_its_place), T(a_key_of_another_certificate_is_reported), T(a_file_that_is_no_certificate_is_reported),
           T(a_key_with_a_passphrase_is_reported_and_asks_nobody), T(client_certificates_without_a_ca_are_reported),
           T(ciphers_that_do_not_exist_are_reported_once), T(a_certificate_that_no_name_leads_to_is_warned_of), T(every_fault_is_reported_in_one_run),
           T(a_client_s_certificate_needs_its_key), T(a_client_s_missing_ca_is_reported_at_its_place))
