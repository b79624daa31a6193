// SPDX-License-Identifier: Apache-2.0
// Routes as they are written: what is taken, and in which words a mistake is refused.
#include "policies/route_matcher.h"
#include "tests/unit/policies/given.h"

static struct route route;
static void given(const char *yaml) { accept(&route_table, yaml, &route); }
static void refused_match(const char *match, const char *sentence) {
    char yaml[1024];
    snprintf(yaml, sizeof yaml, "match: %s\nupstream: u\n", match);
    refuse(&route_table, yaml, (const char *const[]){ sentence, NULL });
}

static void a_route_has_every_key_of_the_example(void **state) {
    (void)state;
    given("match: { path: \"/reports/{id}/*\", header: { mcp-protocol-version: { at_least: \"2026-07-28\" } } }\n"
          "upstream: reports\npolicy: batch\nhost: upstream\nrewrite: { prefix: /orders }\n"
          "headers: { request: { set: { X-Edge: \"1\" }, remove: [ x-debug ] } }\n");
    assert_str(route.upstream.name, "reports");
    assert_str(route.policy.name, "batch");
    assert_int_equal(route.host, HOST_UPSTREAM);
    assert_str(route.rewrite.prefix.name, "/orders");
    assert_int_equal(route.headers.request.nset, 1);
    assert_str(route.headers.request.set[0].name, "x-edge");
    assert_str(route.headers.request.set[0].value, "1");
    assert_int_equal(route.headers.request.nremove, 1);
    assert_int_equal(route.headers.answer.nset, 0);
    assert_true(route.upstream_index == SIZE_MAX);
    done();
}

static void upstreams_are_names_with_weights(void **state) {
    (void)state;
    given("match: { path: /* }\nupstreams: { orders: 95, reports: 5, idle: 0 }\n");
    assert_int_equal(route.upstreams.n, 3);
    assert_str(route.upstreams.names[1].name, "reports");
    assert_int_equal(CONF_AT(route.upstreams, struct route_weight, 0)->weight, 95);
    assert_int_equal(route.host, HOST_PRESERVE);
    done();
    REFUSED(route_table, "match: {}\nupstreams: { a: 0 }\n", "y:2:12: error: the weights add up to 0");
    REFUSED(route_table, "match: {}\nupstreams: { a: -1 }\n", "out of range");
    REFUSED(route_table, "match: {}\nupstreams: [ a ]\n", "a map is expected");
}

static void a_route_leads_to_exactly_one_place(void **state) {
    (void)state;
    REFUSED(route_table, "match: {}\n", "the route leads nowhere");
    REFUSED(route_table, "match: {}\nupstream: a\nrespond: { status: 404 }\n", "only one of");
    REFUSED(route_table, "match: {}\nredirect: { host: a }\nupstreams: { a: 1 }\n", "only one of");
    REFUSED(route_table, "upstream: a\n", "\"match\"");
}

static void patterns_that_could_match_nothing_are_refused(void **state) {
    (void)state;
    refused_match("{ path: v1 }", "begins with /");
    refused_match("{ path: /a/*/b }", "a * is the last segment");
    refused_match("{ path: /a* }", "a * is the last segment");
    refused_match("{ path: \"/a/x{id}\" }", "a {name} stands for a whole segment");
    refused_match("{ path: \"/{}\" }", "a {name} is letters");
    refused_match("{ path: \"/{a}/{a}\" }", "stands twice");
    refused_match("{ path: /a?b }", "cannot be a path");
    refused_match("{ path: /a/%zz }", "cannot be a path");
    refused_match("{ path: /../a }", "cannot be a path");
    refused_match("{ path: \"/{a}/{b}/{c}/{d}/{e}/{f}/{g}/{h}/{i}/{j}/{k}/{l}/{m}/{n}/{o}/{p}/{q}\" }", "more than 16");
    refused_match("{ paths: /a }", "did you mean \"path\"?");
}

static void a_pattern_is_brought_into_the_form_that_paths_have(void **state) {
    (void)state;
    given("match: { path: \"/caf%c3%a9/%7e/*\" }\nupstream: u\n");
    assert_str(route.match->path_pattern.lead, "/caf%C3%A9/~");
    assert_int_equal(route.match->path_pattern.shape, PATH_PREFIX);
    done();
}

static void hosts_that_no_request_has_are_refused(void **state) {
    (void)state;
    refused_match("{ host: \"a.example:80\" }", "leave the port out");
    refused_match("{ host: \"a.*.example\" }", "no host to match");
    refused_match("{ host: \"http://a\" }", "no host to match");
    refused_match("{ host: \"*.\" }", "no host to match");
    refused_match("{ host: a..b }", "no host to match");
}

static void grpc_names_a_method_or_a_service(void **state) {
    (void)state;
    refused_match("{ grpc: shop.Orders }", "package.Service/Method");
    refused_match("{ grpc: /shop.Orders/Get }", "no gRPC method");
    refused_match("{ grpc: shop.Orders/a/b }", "no gRPC method");
    refused_match("{ grpc: shop.Orders/*, path: /a }", "one of path and grpc");
}

static void header_conditions_say_one_thing(void **state) {
    (void)state;
    refused_match("{ header: { a: { exact: x, prefix: y } } }", "exactly one of");
    refused_match("{ header: { a: {} } }", "exactly one of");
    refused_match("{ header: { a: { at_least: latest } } }", "neither a date");
    refused_match("{ header: { a: { present: maybe } } }", "true or false");
    refused_match("{ header: { a: { exakt: x } } }", "did you mean \"exact\"?");
    refused_match("{ header: { \"a b\": x } }", "no name of a header field");
    refused_match("{ header: { Host: x } }", "match: { host: }");
}

/* T25: who may set framing may smuggle. */
static void fields_of_the_connection_and_of_the_framing_cannot_be_edited(void **state) {
    (void)state;
    static const char *const owned[] = { "Connection", "content-length", "Transfer-Encoding", "keep-alive", "te", "upgrade", "proxy-connection" };
    for (size_t i = 0; i < sizeof owned / sizeof *owned; i++) {
        static const char *const edits[][2] = { { "set: { ", ": x }" }, { "add: { ", ": x }" }, { "remove: [ ", " ]" } };
        for (size_t k = 0; k < 3; k++) {
            char yaml[256];
            snprintf(yaml, sizeof yaml, "match: {}\nupstream: u\nheaders: { request: { %s%s%s } }\n", edits[k][0], owned[i], edits[k][1]);
            REFUSED(route_table, yaml, "is not the configuration's to touch");
        }
    }
    REFUSED(route_table, "match: {}\nupstream: u\nheaders: { request: { set: { host: x } } }\n", "a route's `host:` says");
}

static void header_edits_are_fields_that_can_be_sent(void **state) {
    (void)state;
    REFUSED(route_table, "match: {}\nupstream: u\nheaders: { request: { set: { x: \"a\\r\\nb: c\" } } }\n", "cannot be the value");
    REFUSED(route_table, "match: {}\nupstream: u\nheaders: { request: { set: { x: \" a\" } } }\n", "cannot be the value");
    REFUSED(route_table, "match: {}\nupstream: u\nheaders: { request: { add: { \"x:\": a } } }\n", "no name of a header field");
    REFUSED(route_table, "match: {}\nupstream: u\nheaders: { response: { set: { x: a, X: b } } }\n", "x stands twice");
    REFUSED(route_table, "match: {}\nupstream: u\nheaders: { response: { set: { x: a }, remove: X } }\n", "both set and removed");
    REFUSED(route_table, "match: {}\nupstream: u\nheaders: { answer: {} }\n", "unknown key answer");
}

static void redirects_lead_somewhere_else(void **state) {
    (void)state;
    given("match: {}\nredirect: { scheme: https }\n");
    assert_int_equal(route.redirect->status, 302);
    done();
    REFUSED(route_table, "match: {}\nredirect: {}\n", "leads to where it came from");
    REFUSED(route_table, "match: {}\nredirect: { host: a, status: 304 }\n", "301, 302, 303, 307 or 308");
    REFUSED(route_table, "match: {}\nredirect: { scheme: ftp }\n", "http or https");
    REFUSED(route_table, "match: {}\nredirect: { path: /a, prefix: /b }\n", "one of prefix and path");
    REFUSED(route_table, "match: {}\nredirect: { path: a }\n", "begins with /");
    REFUSED(route_table, "match: {}\nredirect: { host: \"a/b\" }\n", "no host");
    REFUSED(route_table, "match: {}\nredirect: { host: \"a:0\" }\n", "no host");
}

static void fixed_answers_are_answers(void **state) {
    (void)state;
    given("match: {}\nrespond: { status: 404, body: gone }\n");
    assert_int_equal(route.answer->status, 404);
    assert_str(route.answer->content_type, "text/plain; charset=utf-8");
    done();
    REFUSED(route_table, "match: {}\nrespond: { status: 204, body: x }\n", "has no body");
    REFUSED(route_table, "match: {}\nrespond: { status: 100 }\n", "out of range");
    REFUSED(route_table, "match: {}\nrespond: { content_type: \"a\\nb\" }\n", "cannot be the value");
}

static void what_is_for_upstreams_is_idle_in_a_route_that_asks_none(void **state) {
    (void)state;
    assert_true(conf_load(&load, given_yaml("match: {}\nrespond: {}\nrewrite: { prefix: /a }\n"), &route_table, &route));
    take_report();
    assert_string_equal(report, "y:3:1: warning: rewrite has no effect: the route asks no upstream\n");
    done();
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_route_has_every_key_of_the_example),
        cmocka_unit_test(upstreams_are_names_with_weights),
        cmocka_unit_test(a_route_leads_to_exactly_one_place),
        cmocka_unit_test(patterns_that_could_match_nothing_are_refused),
        cmocka_unit_test(a_pattern_is_brought_into_the_form_that_paths_have),
        cmocka_unit_test(hosts_that_no_request_has_are_refused),
        cmocka_unit_test(grpc_names_a_method_or_a_service),
        cmocka_unit_test(header_conditions_say_one_thing),
        cmocka_unit_test(fields_of_the_connection_and_of_the_framing_cannot_be_edited),
        cmocka_unit_test(header_edits_are_fields_that_can_be_sent),
        cmocka_unit_test(redirects_lead_somewhere_else),
        cmocka_unit_test(fixed_answers_are_answers),
        cmocka_unit_test(what_is_for_upstreams_is_idle_in_a_route_that_asks_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
