// SPDX-License-Identifier: Apache-2.0
// What an upstream is told of the way that a request came, and what of it a client may say itself.
#include "policies/policy.h"
#include "tests/unit/policies/given.h"

static struct forward_policy policy;
static struct forward_facts facts;
static struct given_head up;

static void given(const char *yaml, const char *peer, bool trusted) {
    accept(&forward_table, yaml, &policy);
    facts = (struct forward_facts){ .peer = str_of(peer), .trusted = trusted, .version = 11 };
}
static void apply(const char *const *fields, const char *expected) {
    given_head(&up, "GET", "h.example:81", "/", fields);
    forward_apply(&policy, &facts, &up.head, &up.head);
    assert_fields(&up.head, expected);
    drop_head(&up);
    done();
}

static void by_default_the_upstream_hears_of_client_scheme_and_host(void **state) {
    (void)state;
    given("{}", "192.0.2.1", false);
    apply(NULL, "via: 1.1 curfew\nx-forwarded-for: 192.0.2.1\nx-forwarded-proto: http\nx-forwarded-host: h.example:81\n");
}

static void what_an_untrusted_peer_claims_is_thrown_away(void **state) {
    (void)state;
    given("via: false\n", "192.0.2.1:4711", false);
    facts.secure = true;
    apply(FIELDS("x-forwarded-for", "10.0.0.1", "x-forwarded-proto", "http", "x-forwarded-host", "evil", "x-forwarded-port", "1", "forwarded",
                 "for=10.0.0.1", "x-forwarded-for", "10.0.0.2"),
          "x-forwarded-for: 192.0.2.1\nx-forwarded-proto: https\nx-forwarded-host: h.example:81\n");
}

static void to_what_a_trusted_peer_says_our_own_is_added(void **state) {
    (void)state;
    given("via: false\n", "10.0.0.9", true);
    apply(FIELDS("x-forwarded-for", "192.0.2.1", "x-forwarded-for", "10.0.0.1", "x-forwarded-proto", "https", "x-forwarded-host", "a.example",
                 "x-forwarded-port", "443"),
          "x-forwarded-for: 192.0.2.1, 10.0.0.1, 10.0.0.9\nx-forwarded-proto: https\nx-forwarded-host: a.example\nx-forwarded-port: 443\n");
}

static void x_real_ip_is_nobodys_own_word(void **state) {
    (void)state;
    given("via: false\nheaders: forwarded\n", "192.0.2.1", false);
    apply(FIELDS("x-real-ip", "10.0.0.1", "x-real-ipv6", "::1"), "x-real-ipv6: ::1\nforwarded: for=192.0.2.1;host=\"h.example:81\";proto=http\n");
    given("via: false\nreal_ip: true\nheaders: none\n", "[2001:db8::1]:4711", false);
    apply(FIELDS("x-real-ip", "10.0.0.1", "x-real-ip", "10.0.0.2", "x-forwarded-for", "10.0.0.3"), "x-forwarded-for: 10.0.0.3\nx-real-ip: 2001:db8::1\n");
    given("via: false\nreal_ip: true\nheaders: none\n", "10.0.0.9", true);
    apply(FIELDS("x-real-ip", "192.0.2.1"), "x-real-ip: 192.0.2.1\n");
    given("via: false\nreal_ip: true\nheaders: none\n", "10.0.0.9", true);
    apply(NULL, "x-real-ip: 10.0.0.9\n");
    given("headers: none\nvia: false\n", "192.0.2.1", false);
    apply(FIELDS("x-real-ip", "10.0.0.1"), "x-real-ip: 10.0.0.1\n");
}

/* A trusted peer's trailers are its own; a stranger's say no more of its way than its head. */
static void no_trailer_says_where_a_stranger_is(void **state) {
    (void)state;
    static const struct { const char *yaml; bool trusted; const char *left; } cases[] = {
        { "{}", false, "x-sum: 1\n" }, { "{}", true, "x-real-ip: 10.0.0.1\nx-forwarded-for: 10.0.0.2\nx-sum: 1\n" },
        { "headers: none\n", false, "x-real-ip: 10.0.0.1\nx-forwarded-for: 10.0.0.2\nx-sum: 1\n" },
        { "headers: none\nreal_ip: true\n", false, "x-forwarded-for: 10.0.0.2\nx-sum: 1\n" },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        given(cases[i].yaml, "192.0.2.1", cases[i].trusted);
        given_head(&up, "POST", "h", "/", FIELDS("x-real-ip", "10.0.0.1", "x-forwarded-for", "10.0.0.2", "x-sum", "1"));
        forward_in_trailers(&policy, cases[i].trusted, &up.head);
        assert_fields(&up.head, cases[i].left);
        drop_head(&up);
        done();
    }
}

static void forwarded_is_written_as_rfc_7239_has_it(void **state) {
    (void)state;
    given("headers: forwarded\nvia: false\n", "[2001:db8::1]:4711", false);
    apply(FIELDS("forwarded", "for=evil"), "forwarded: for=\"[2001:db8::1]\";host=\"h.example:81\";proto=http\n");
    given("headers: forwarded\nvia: false\n", "192.0.2.1", true);
    apply(FIELDS("forwarded", "for=a"), "forwarded: for=a, for=192.0.2.1;host=\"h.example:81\";proto=http\n");
    given("headers: forwarded\nvia: false\n", "", false);
    apply(NULL, "forwarded: for=unknown;host=\"h.example:81\";proto=http\n");
}

static void both_are_written_where_both_are_asked_for(void **state) {
    (void)state;
    given("headers: both\nvia: false\n", "2001:db8::1", false);
    apply(NULL, "x-forwarded-for: 2001:db8::1\nx-forwarded-proto: http\nx-forwarded-host: h.example:81\n"
                "forwarded: for=\"[2001:db8::1]\";host=\"h.example:81\";proto=http\n");
}

static void none_leaves_all_as_it_came(void **state) {
    (void)state;
    given("headers: none\nvia: false\n", "192.0.2.1", false);
    apply(FIELDS("x-forwarded-for", "10.0.0.1"), "x-forwarded-for: 10.0.0.1\n");
}

static void via_names_the_version_that_the_message_came_in(void **state) {
    (void)state;
    static const struct { uint8_t version; const char *via; } cases[] = { { 10, "via: 1.0 edge-7\n" }, { 11, "via: 1.1 edge-7\n" },
                                                                          { 20, "via: 2 edge-7\n" } };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        given("headers: none\nvia_name: edge-7\n", "", false);
        facts.version = cases[i].version;
        apply(NULL, cases[i].via);
    }
    given("headers: none\n", "", false);
    apply(FIELDS("via", "1.0 fred"), "via: 1.0 fred\nvia: 1.1 curfew\n");
}

static void answers_get_via_alone(void **state) {
    (void)state;
    given("{}", "192.0.2.1", false);
    given_head(&up, "GET", "h", "/", NULL);
    forward_answer(&policy, 20, &up.head);
    assert_fields(&up.head, "via: 2 curfew\n");
    drop_head(&up);
    done();
    REFUSED(forward_table, "via_name: \"a b\"\n", "no name for Via");
    REFUSED(forward_table, "headers: x-forward\n", "did you mean \"x-forwarded\"?");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(by_default_the_upstream_hears_of_client_scheme_and_host),
        cmocka_unit_test(what_an_untrusted_peer_claims_is_thrown_away),
        cmocka_unit_test(to_what_a_trusted_peer_says_our_own_is_added),
        cmocka_unit_test(x_real_ip_is_nobodys_own_word),
        cmocka_unit_test(no_trailer_says_where_a_stranger_is),
        cmocka_unit_test(forwarded_is_written_as_rfc_7239_has_it),
        cmocka_unit_test(both_are_written_where_both_are_asked_for),
        cmocka_unit_test(none_leaves_all_as_it_came),
        cmocka_unit_test(via_names_the_version_that_the_message_came_in),
        cmocka_unit_test(answers_get_via_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
