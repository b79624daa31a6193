// SPDX-License-Identifier: Apache-2.0
// What a route changes: the upstream's target, header fields, the Location of a redirect.
#include "policies/route.h"
#include "tests/unit/policies/given.h"

static struct route route;
static struct given_head request;
static struct route_match found;
static const struct rpc http = { .name = "http", .family = "http" };

static void ask(const char *yaml, const char *authority, const char *target) {
    bool bad;
    accept(&route_table, yaml, &route);
    given_head(&request, "GET", authority, target, NULL);
    assert_true(route_match(&route, 1, &request.head, &http, &request.arena, &found, &bad));
}
static void drop(void) {
    drop_head(&request);
    done();
}
static void rewritten(const char *route_yaml, const char *target, const char *expected) {
    ask(route_yaml, "h", target);
    route_rewrite(&found, &request.arena, &request.head);
    assert_str(request.head.target, expected);
    drop();
}
static void located(const char *redirect, bool secure, const char *authority, const char *target, const char *expected) {
    char yaml[512];
    snprintf(yaml, sizeof yaml, "match: { path: /a/* }\nredirect: %s\n", redirect);
    ask(yaml, authority, target);
    assert_str(route_location(&found, &request.head, secure, &request.arena), expected);
    drop();
}

#define PREFIX(path, prefix) "match: { path: \"" path "\" }\nupstream: u\nrewrite: { prefix: " prefix " }\n"

static void a_prefix_replaces_what_stands_before_the_star(void **state) {
    (void)state;
    rewritten(PREFIX("/v1/orders/*", "/orders"), "/v1/orders/7?a=b", "/orders/7?a=b");
    rewritten(PREFIX("/v1/orders/*", "/orders"), "/v1/orders", "/orders");
    rewritten(PREFIX("/v1/orders/*", "/orders"), "/v1/orders/", "/orders/");
    rewritten(PREFIX("/v1/orders/*", "/orders"), "/v1/orders?", "/orders?");
    rewritten(PREFIX("/r/{id}/*", "/x"), "/r/7/y", "/x/y");
    rewritten(PREFIX("/*", "/x"), "/y", "/x/y");
}

static void one_slash_stands_where_prefix_and_rest_meet(void **state) {
    (void)state;
    rewritten(PREFIX("/v1/*", "/"), "/v1/a", "/a");
    rewritten(PREFIX("/v1/*", "/"), "/v1", "/");
    rewritten(PREFIX("/v1/*", "/x/"), "/v1/a", "/x/a");
    rewritten(PREFIX("/*", "/"), "/a", "/a");
}

static void a_prefix_replaces_all_of_a_path_without_a_star(void **state) {
    (void)state;
    rewritten(PREFIX("/v1/orders", "/orders"), "/v1/orders?q", "/orders?q");
}

static void the_upstream_gets_the_path_that_the_route_saw(void **state) {
    (void)state;
    rewritten("match: {}\nupstream: u\n", "/a/../%62?q=%2e", "/b?q=%2e");
    rewritten("match: {}\nupstream: u\n", "/b?q=%2e", "/b?q=%2e");
}

static void the_asterisk_of_options_is_not_rewritten(void **state) {
    (void)state;
    rewritten(PREFIX("/*", "/x"), "*", "*");
}

static void fields_are_removed_then_set_then_added(void **state) {
    (void)state;
    accept(&route_table,
           "match: {}\nupstream: u\nheaders:\n  request:\n    add: { x-list: c }\n    set: { x-edge: \"1\", x-new: n }\n    remove: [ x-debug ]\n",
           &route);
    given_head(&request, "GET", "h", "/", FIELDS("x-debug", "1", "x-edge", "client", "x-list", "a", "x-edge", "twice", "x-debug", "2"));
    route_edit_headers(&route.headers.request, &request.head);
    assert_null(head_find_name(&request.head, STR("x-debug"), NULL));
    assert_str(head_joined(&request.head, STR("x-edge")), "1");
    assert_str(head_joined(&request.head, STR("x-list")), "a, c");
    assert_str(head_joined(&request.head, STR("x-new")), "n");
    drop();
}

static void a_location_keeps_what_the_redirect_leaves_out(void **state) {
    (void)state;
    located("{ scheme: https }", false, "h.example", "/a/b?q", "https://h.example/a/b?q");
    located("{ host: new.example }", false, "h.example", "/a/b?q", "http://new.example/a/b?q");
    located("{ host: new.example:81 }", true, "h.example", "/a/b", "https://new.example:81/a/b");
    located("{ prefix: /c }", true, "h.example", "/a/b?q", "/c/b?q");
    located("{ path: /c, strip_query: true }", true, "h.example", "/a/b?q", "/c");
    located("{ prefix: /c, host: new.example, scheme: https }", false, "h", "/a", "https://new.example/c");
}

static void a_new_scheme_leaves_the_old_port_behind(void **state) {
    (void)state;
    located("{ scheme: https }", false, "h.example:8080", "/a", "https://h.example/a");
    located("{ scheme: https }", false, "[::1]:8080", "/a", "https://[::1]/a");
}

static void a_location_never_names_a_host_that_the_client_made_up(void **state) {
    (void)state;
    located("{ prefix: / }", false, "h", "/a//evil.example/x", "/.//evil.example/x");
    located("{ scheme: https }", false, "h@evil.example/", "/a/b", "/a/b");
    located("{ scheme: https }", false, "", "/a/b", "/a/b");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_prefix_replaces_what_stands_before_the_star),
        cmocka_unit_test(one_slash_stands_where_prefix_and_rest_meet),
        cmocka_unit_test(a_prefix_replaces_all_of_a_path_without_a_star),
        cmocka_unit_test(the_upstream_gets_the_path_that_the_route_saw),
        cmocka_unit_test(the_asterisk_of_options_is_not_rewritten),
        cmocka_unit_test(fields_are_removed_then_set_then_added),
        cmocka_unit_test(a_location_keeps_what_the_redirect_leaves_out),
        cmocka_unit_test(a_new_scheme_leaves_the_old_port_behind),
        cmocka_unit_test(a_location_never_names_a_host_that_the_client_made_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
