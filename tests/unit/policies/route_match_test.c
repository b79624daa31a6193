// SPDX-License-Identifier: Apache-2.0
// Which route a request takes, and what the match says of it.
#include "policies/route.h"
#include "tests/unit/policies/given.h"

struct routes { struct conf_array v; };
static const struct conf_field routes_fields[] = {
    { .name = "routes", .type = CONF_STRUCTS, .offset = 0, .table = &route_table, .help = "routes" },
    { 0 }
};
static const struct conf_table routes_table = { .name = "configuration", .size = sizeof(struct routes), .fields = routes_fields };

static struct routes routes;
static struct given_head request;
static struct route_match found;
static bool bad;
static const struct rpc http = { .name = "http", .family = "http" }, grpc = { .name = "grpc", .family = "grpc" },
                        connect = { .name = "connect", .family = "connect" };

static void given_routes(const char *yaml) { accept(&routes_table, yaml, &routes); }
/* A route with that match alone. */
static void given_match(const char *match) {
    char yaml[1024];
    snprintf(yaml, sizeof yaml, "routes:\n  - match: %s\n    upstream: u\n", match);
    given_routes(yaml);
}
static int ask(const struct rpc *rpc, const char *method, const char *authority, const char *target, const char *const *fields) {
    given_head(&request, method, authority, target, fields);
    return route_match(routes.v.v, routes.v.n, &request.head, rpc, &request.arena, &found, &bad)
               ? (int)(found.route - (const struct route *)routes.v.v) : -1;
}
/* The index of the route, or -1. */
static int route_of(const char *target) {
    int r = ask(&http, "GET", "h", target, NULL);
    drop_head(&request);
    return r;
}
static int route_of_host(const char *authority) {
    int r = ask(&http, "GET", authority, "/", NULL);
    drop_head(&request);
    return r;
}
static int route_with(const char *const *fields) {
    int r = ask(&http, "GET", "h", "/", fields);
    drop_head(&request);
    return r;
}
#define TAKEN 0
#define NOT_TAKEN (-1)

/* ---- paths ------------------------------------------------------------------------------------------------------------------------- */

static void the_first_route_that_matches_is_taken(void **state) {
    (void)state;
    given_routes("routes:\n"
                 "  - { match: { path: /a/b }, upstream: u }\n"
                 "  - { match: { path: /a/* }, upstream: u }\n"
                 "  - { match: { path: /a/b/c }, upstream: u }\n"
                 "  - { match: { path: /* }, upstream: u }\n");
    assert_int_equal(route_of("/a/b"), 0);
    assert_int_equal(route_of("/a/b/c"), 1);
    assert_int_equal(route_of("/b"), 3);
    done();
}

static void a_literal_path_is_the_whole_path(void **state) {
    (void)state;
    given_match("{ path: /v1/orders }");
    assert_int_equal(route_of("/v1/orders"), TAKEN);
    assert_int_equal(route_of("/v1/orders?x=/y"), TAKEN);
    assert_int_equal(route_of("/v1/orders/"), NOT_TAKEN);
    assert_int_equal(route_of("/v1/ordersx"), NOT_TAKEN);
    assert_int_equal(route_of("/v1/Orders"), NOT_TAKEN);
    done();
}

static void a_final_star_takes_the_path_before_it_and_all_below_on_whole_segments(void **state) {
    (void)state;
    given_match("{ path: /v1/orders/* }");
    assert_int_equal(route_of("/v1/orders"), TAKEN);
    assert_int_equal(route_of("/v1/orders?q"), TAKEN);
    assert_int_equal(route_of("/v1/orders/"), TAKEN);
    assert_int_equal(route_of("/v1/orders/7/items"), TAKEN);
    assert_int_equal(route_of("/v1/orders-old"), NOT_TAKEN);
    assert_int_equal(route_of("/v1/orders%2F7"), NOT_TAKEN);
    assert_int_equal(route_of("/v1"), NOT_TAKEN);
    done();
}

static void a_name_takes_one_segment_that_is_not_empty(void **state) {
    (void)state;
    given_match("{ path: \"/reports/{id}/pages/{page}/*\" }");
    assert_int_equal(ask(&http, "GET", "h", "/reports/7%2f8/pages/x%41/rest/of?it", NULL), TAKEN);
    assert_int_equal(found.ncaptures, 2);
    assert_str(found.captures[0].name, "id");
    assert_str(found.captures[0].value, "7%2F8");
    assert_str(found.captures[1].name, "page");
    assert_str(found.captures[1].value, "xA");
    assert_str(str_first(found.path, found.prefix_len), "/reports/7%2F8/pages/xA");
    drop_head(&request);
    assert_int_equal(route_of("/reports/7/pages/1"), TAKEN);
    assert_int_equal(route_of("/reports//pages/1"), NOT_TAKEN);
    assert_int_equal(route_of("/reports/7/pages/"), NOT_TAKEN);
    assert_int_equal(route_of("/reports/7/pages"), NOT_TAKEN);
    assert_int_equal(route_of("/reports/7/8/pages/1"), NOT_TAKEN);
    done();
}

static void a_name_at_the_end_takes_no_more_than_its_segment(void **state) {
    (void)state;
    given_match("{ path: \"/{tenant}/x/{id}\" }");
    assert_int_equal(route_of("/a/x/b"), TAKEN);
    assert_int_equal(route_of("/a/x/b/"), NOT_TAKEN);
    assert_int_equal(route_of("/a/x/b/c"), NOT_TAKEN);
    assert_int_equal(route_of("/a/xx/b"), NOT_TAKEN);
    done();
}

static void no_spelling_goes_round_a_route(void **state) {
    (void)state;
    given_routes("routes:\n"
                 "  - { match: { path: /admin/* }, respond: { status: 403 } }\n"
                 "  - { match: { path: /* }, upstream: u }\n");
    assert_int_equal(route_of("/public/../admin/x"), 0);
    assert_int_equal(route_of("/public/%2e%2e/admin"), 0);
    assert_int_equal(route_of("/%61dmin"), 0);
    assert_int_equal(route_of("/./admin/"), 0);
    assert_int_equal(route_of("/admin/../public"), 1);
    done();
}

static void the_upstream_is_told_that_the_path_changed(void **state) {
    (void)state;
    given_match("{ path: /* }");
    assert_int_equal(ask(&http, "GET", "h", "/a/../%62?x=%2e#", NULL), TAKEN);
    assert_true(found.path_changed);
    assert_str(found.path, "/b");
    assert_str(found.query, "x=%2e#");
    drop_head(&request);
    assert_int_equal(ask(&http, "GET", "h", "/b?", NULL), TAKEN);
    assert_false(found.path_changed);
    assert_true(found.has_query);
    assert_str(found.query, "");
    drop_head(&request);
    assert_int_equal(ask(&http, "GET", "h", "?x", NULL), TAKEN); /* of "GET http://h?x", RFC 9110 4.2.3 */
    assert_true(found.path_changed);
    assert_str(found.path, "/");
    assert_str(found.query, "x");
    drop_head(&request);
    done();
}

static void a_target_that_is_no_path_is_bad_and_takes_no_route(void **state) {
    (void)state;
    given_match("{}");
    static const char *const targets[] = { "/..", "/%zz", "/%00", "a", "http://h/", "/a\\..\\b" };
    for (size_t i = 0; i < sizeof targets / sizeof *targets; i++) {
        assert_int_equal(route_of(targets[i]), NOT_TAKEN);
        assert_true(bad);
    }
    assert_int_equal(route_of("/"), TAKEN);
    assert_false(bad);
    done();
}

static void the_asterisk_of_options_is_taken_by_routes_for_all_paths_alone(void **state) {
    (void)state;
    given_routes("routes:\n"
                 "  - { match: { path: /a/* }, upstream: u }\n"
                 "  - { match: { path: \"/{x}/*\" }, upstream: u }\n"
                 "  - { match: { path: /* }, upstream: u }\n");
    assert_int_equal(route_of("*"), 2);
    done();
}

static void connect_without_a_protocol_has_no_path_and_takes_no_route(void **state) {
    (void)state;
    given_match("{}");
    assert_int_equal(ask(&http, "CONNECT", "h:443", "", NULL), NOT_TAKEN);
    assert_false(bad);
    drop_head(&request);
    done();
}

/* ---- hosts ------------------------------------------------------------------------------------------------------------------------- */

static void hosts_are_compared_without_case_port_and_trailing_dot(void **state) {
    (void)state;
    given_match("{ host: API.example.com }");
    assert_int_equal(route_of_host("api.example.com"), TAKEN);
    assert_int_equal(route_of_host("Api.Example.COM:8443"), TAKEN);
    assert_int_equal(route_of_host("api.example.com."), TAKEN);
    assert_int_equal(route_of_host("api.example.com.:80"), TAKEN);
    assert_int_equal(route_of_host("api.example.com.evil.org"), NOT_TAKEN);
    assert_int_equal(route_of_host("user@api.example.com"), NOT_TAKEN);
    assert_int_equal(route_of_host("xapi.example.com"), NOT_TAKEN);
    assert_int_equal(route_of_host(""), NOT_TAKEN);
    done();
}

static void a_star_takes_names_below_but_not_the_name_itself(void **state) {
    (void)state;
    given_match("{ host: \"*.example.com\" }");
    assert_int_equal(route_of_host("a.example.com"), TAKEN);
    assert_int_equal(route_of_host("b.A.Example.com:1"), TAKEN);
    assert_int_equal(route_of_host("example.com"), NOT_TAKEN);
    assert_int_equal(route_of_host(".example.com"), NOT_TAKEN);
    assert_int_equal(route_of_host("badexample.com"), NOT_TAKEN);
    done();
}

static void ipv6_literals_are_compared_as_addresses(void **state) {
    (void)state;
    given_match("{ host: \"[2001:db8::1]\" }");
    assert_int_equal(route_of_host("[2001:db8::1]"), TAKEN);
    assert_int_equal(route_of_host("[2001:0DB8:0::1]:8080"), TAKEN);
    assert_int_equal(route_of_host("[2001:db8::2]"), NOT_TAKEN);
    assert_int_equal(route_of_host("[2001:db8::1"), NOT_TAKEN);
    assert_int_equal(route_of_host("2001"), NOT_TAKEN);
    done();
}

/* ---- methods, headers, gRPC --------------------------------------------------------------------------------------------------------- */

static void methods_are_compared_as_they_are(void **state) {
    (void)state;
    given_match("{ method: [ GET, POST ] }");
    static const struct { const char *method; int route; } cases[] = { { "GET", TAKEN }, { "POST", TAKEN }, { "HEAD", NOT_TAKEN },
                                                                       { "get", NOT_TAKEN }, { "GETX", NOT_TAKEN } };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_int_equal(ask(&http, cases[i].method, "h", "/", NULL), cases[i].route);
        drop_head(&request);
    }
    done();
}

static void all_header_conditions_hold(void **state) {
    (void)state;
    given_match("{ header: { X-Kind: a, x-tenant: { prefix: acme- }, x-old: { present: false } } }");
    assert_int_equal(route_with(FIELDS("x-kind", "a", "x-tenant", "acme-7")), TAKEN);
    assert_int_equal(route_with(FIELDS("x-kind", "A", "x-tenant", "acme-7")), NOT_TAKEN);
    assert_int_equal(route_with(FIELDS("x-kind", "a", "x-tenant", "acme")), NOT_TAKEN);
    assert_int_equal(route_with(FIELDS("x-kind", "a")), NOT_TAKEN);
    assert_int_equal(route_with(FIELDS("x-kind", "a", "x-tenant", "acme-7", "x-old", "")), NOT_TAKEN);
    done();
}

static void a_second_field_of_the_name_does_not_slip_past_the_first(void **state) {
    (void)state;
    given_match("{ header: { x-kind: a } }");
    assert_int_equal(route_with(FIELDS("x-kind", "a", "x-kind", "b")), NOT_TAKEN);
    done();
}

/* T42: whether a disconnect is a cancel depends on the protocol's version, which MCP writes as a date. */
static void at_least_compares_dates_as_dates(void **state) {
    (void)state;
    given_match("{ header: { mcp-protocol-version: { at_least: \"2026-07-28\" } } }");
    assert_int_equal(route_with(FIELDS("mcp-protocol-version", "2026-07-28")), TAKEN);
    assert_int_equal(route_with(FIELDS("mcp-protocol-version", "2027-01-01")), TAKEN);
    assert_int_equal(route_with(FIELDS("mcp-protocol-version", "2025-11-25")), NOT_TAKEN);
    assert_int_equal(route_with(FIELDS("mcp-protocol-version", "latest")), NOT_TAKEN);
    assert_int_equal(route_with(FIELDS("mcp-protocol-version", "2027")), NOT_TAKEN);
    assert_int_equal(route_with(FIELDS("mcp-protocol-version", "")), NOT_TAKEN);
    assert_int_equal(route_with(NULL), NOT_TAKEN);
    done();
}

static void at_least_compares_dotted_numbers_by_number(void **state) {
    (void)state;
    given_match("{ header: { x-version: { at_least: 1.9 } } }");
    assert_int_equal(route_with(FIELDS("x-version", "1.9")), TAKEN);
    assert_int_equal(route_with(FIELDS("x-version", "1.9.0")), TAKEN);
    assert_int_equal(route_with(FIELDS("x-version", "1.10")), TAKEN);
    assert_int_equal(route_with(FIELDS("x-version", "2")), TAKEN);
    assert_int_equal(route_with(FIELDS("x-version", "1.8.99")), NOT_TAKEN);
    assert_int_equal(route_with(FIELDS("x-version", "1")), NOT_TAKEN);
    assert_int_equal(route_with(FIELDS("x-version", "2.beta")), NOT_TAKEN);
    assert_int_equal(route_with(FIELDS("x-version", "v2")), NOT_TAKEN);
    assert_int_equal(route_with(FIELDS("x-version", "2.")), NOT_TAKEN);
    done();
}

static void a_grpc_service_takes_its_methods_in_all_rpc_protocols_but_no_plain_http(void **state) {
    (void)state;
    given_match("{ grpc: shop.Orders/* }");
    assert_int_equal(ask(&grpc, "POST", "h", "/shop.Orders/Get", NULL), TAKEN);
    assert_str(str_first(found.path, found.prefix_len), "/shop.Orders");
    drop_head(&request);
    assert_int_equal(ask(&connect, "POST", "h", "/shop.Orders/Get", NULL), TAKEN);
    drop_head(&request);
    assert_int_equal(ask(&http, "POST", "h", "/shop.Orders/Get", NULL), NOT_TAKEN);
    drop_head(&request);
    assert_int_equal(ask(&grpc, "POST", "h", "/shop.OrdersX/Get", NULL), NOT_TAKEN);
    drop_head(&request);
    done();
}

static void a_grpc_method_takes_itself_alone(void **state) {
    (void)state;
    given_match("{ grpc: shop.Orders/Get }");
    assert_int_equal(ask(&grpc, "POST", "h", "/shop.Orders/Get", NULL), TAKEN);
    drop_head(&request);
    assert_int_equal(ask(&grpc, "POST", "h", "/shop.Orders/GetAll", NULL), NOT_TAKEN);
    drop_head(&request);
    done();
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_first_route_that_matches_is_taken),
        cmocka_unit_test(a_literal_path_is_the_whole_path),
        cmocka_unit_test(a_final_star_takes_the_path_before_it_and_all_below_on_whole_segments),
        cmocka_unit_test(a_name_takes_one_segment_that_is_not_empty),
        cmocka_unit_test(a_name_at_the_end_takes_no_more_than_its_segment),
        cmocka_unit_test(no_spelling_goes_round_a_route),
        cmocka_unit_test(the_upstream_is_told_that_the_path_changed),
        cmocka_unit_test(a_target_that_is_no_path_is_bad_and_takes_no_route),
        cmocka_unit_test(the_asterisk_of_options_is_taken_by_routes_for_all_paths_alone),
        cmocka_unit_test(connect_without_a_protocol_has_no_path_and_takes_no_route),
        cmocka_unit_test(hosts_are_compared_without_case_port_and_trailing_dot),
        cmocka_unit_test(a_star_takes_names_below_but_not_the_name_itself),
        cmocka_unit_test(ipv6_literals_are_compared_as_addresses),
        cmocka_unit_test(methods_are_compared_as_they_are),
        cmocka_unit_test(all_header_conditions_hold),
        cmocka_unit_test(a_second_field_of_the_name_does_not_slip_past_the_first),
        cmocka_unit_test(at_least_compares_dates_as_dates),
        cmocka_unit_test(at_least_compares_dotted_numbers_by_number),
        cmocka_unit_test(a_grpc_service_takes_its_methods_in_all_rpc_protocols_but_no_plain_http),
        cmocka_unit_test(a_grpc_method_takes_itself_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
