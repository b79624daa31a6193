// SPDX-License-Identifier: Apache-2.0
// What of one configuration goes on in another: sockets by address, upstreams by all that is said of them, routes by name.
#include "proxy/config_change.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <cmocka.h>

static struct config *before, *now;
static const char *no_env(const char *name) { return (void)name, NULL; }
static struct config *load(const char *yaml) {
    struct config *c = config_load("curfew.yaml", yaml, strlen(yaml), no_env, NULL);
    assert_non_null(c);
    return c;
}
static const struct config_change *change(const char *from, const char *to) {
    before = from ? load(from) : NULL;
    now = load(to);
    return config_change_find(before, now);
}
static int forget(void **state) {
    (void)state;
    config_unref(before);
    config_unref(now);
    before = now = NULL;
    return 0;
}

#define LISTENERS "listeners: { a: { address: 127.0.0.1:1 }, b: { address: unix:/b }, c: { address: 127.0.0.1:3 } }\n"
static void a_listener_goes_on_by_its_address_whatever_it_is_called(void **state) {
    (void)state;
    const struct config_change *d = change(LISTENERS, "listeners: { x: { address: unix:/b, backlog: 9 }, y: { address: 127.0.0.1:1, trust: all }, c: { address: 127.0.0.2:3 } }\n");
    assert_int_equal(d->listeners[0], 1);
    assert_int_equal(d->listeners[1], 0);
    assert_int_equal(d->listeners[2], NOT_BEFORE);
    assert_true(d->listener_stays[0] && d->listener_stays[1] && !d->listener_stays[2]);
    assert_true(d->clients_stay[0] && d->clients_stay[1]);
    assert_int_equal(d->listeners_opened, 1);
    assert_int_equal(d->listeners_closed, 1);
}
static void listeners_on_any_port_are_told_apart_by_name(void **state) {
    (void)state;
    const struct config_change *d = change("listeners: { a: { address: 127.0.0.1:0 }, b: { address: 127.0.0.1:0 } }\n",
                                           "listeners: { b: { address: 127.0.0.1:0 }, c: { address: 127.0.0.1:0 } }\n");
    assert_int_equal(d->listeners[0], 1);
    assert_int_equal(d->listeners[1], NOT_BEFORE);
}
#define TLS "certificates: [ { certificate: a.pem, key: a.key } ]"
static void clients_stay_where_tls_is_as_it_was(void **state) {
    (void)state;
    const struct config_change *d = change("listeners: { a: { address: 127.0.0.1:1, tls: { " TLS " } }, b: { address: 127.0.0.1:2, tls: { " TLS " } },\n"
                                           "  c: { address: 127.0.0.1:3 }, d: { address: 127.0.0.1:4, tls: { " TLS " } } }\n",
                                           "listeners: { a: { address: 127.0.0.1:1, tls: { " TLS " }, trust: all }, b: { address: 127.0.0.1:2, tls: { " TLS ", min_version: \"1.3\" } },\n"
                                           "  c: { address: 127.0.0.1:3, tls: { " TLS " } }, d: { address: 127.0.0.1:4 } }\n");
    assert_true(d->clients_stay[0]);
    assert_true(!d->clients_stay[1] && !d->clients_stay[2] && !d->clients_stay[3]);
    assert_int_equal(d->listeners_closed, 0);
}
static void an_upstream_goes_on_where_all_that_is_said_of_it_comes_to_the_same(void **state) {
    (void)state;
    const struct config_change *d = change("upstreams: { a: { endpoints: 127.0.0.1:1 }, b: { endpoints: [ 127.0.0.1:1, 127.0.0.1:2 ] }, c: { endpoints: 127.0.0.1:3 },\n"
                                           "  d: { endpoints: 127.0.0.1:4, protocol: http2, http2: { ping_interval: 5s } } }\n",
                                           "upstreams: { b: { endpoints: [ 127.0.0.1:2, 127.0.0.1:1 ] }, a: { endpoints: [ 127.0.0.1:1 ], connect_timeout: 500000us },\n"
                                           "  e: { endpoints: 127.0.0.1:3 }, d: { endpoints: 127.0.0.1:4, protocol: http2, http2: { ping_interval: 6s } } }\n");
    assert_int_equal(d->upstreams[0], NOT_BEFORE); /* the order of endpoints is said, too */
    assert_int_equal(d->upstreams[1], 0); /* written in other words */
    assert_int_equal(d->upstreams[2], NOT_BEFORE); /* logs and metrics have the name */
    assert_int_equal(d->upstreams[3], NOT_BEFORE);
}
static void a_default_that_is_written_out_is_no_difference(void **state) {
    (void)state;
    const struct config_change *d = change("upstreams: { a: { endpoints: 127.0.0.1:1 } }\n",
                                           "upstreams: { a: { protocol: auto, endpoints: [ 127.0.0.1:1 ], balance: least_requests } }\n");
    assert_int_equal(d->upstreams[0], 0);
    assert_int_equal(d->upstreams_added + d->upstreams_retired, 0);
}
#define ROUTE(path, more) "  - { match: { path: " path " }, respond: { status: 200 }" more " }\n"
static void routes_go_on_by_name_and_those_without_by_their_place(void **state) {
    (void)state;
    const struct config_change *d = change("routes:\n" ROUTE("/a", ", name: a") ROUTE("/b", "") ROUTE("/c", ", name: c"),
                                           "routes:\n" ROUTE("/c", ", name: c") ROUTE("/x", "") ROUTE("/y", "") ROUTE("/z", ", name: z"));
    assert_int_equal(d->routes[0], 2);
    assert_int_equal(d->routes[1], 1);
    assert_int_equal(d->routes[2], NOT_BEFORE); /* at its place was one with a name */
    assert_int_equal(d->routes[3], NOT_BEFORE);
}
static void a_routes_policy_is_the_same_by_name_and_by_all_that_it_says(void **state) {
    (void)state;
    const struct config_change *d = change("policies: { p: { deadline: { max: 60s } }, q: { }, r: { extends: q } }\n"
                                           "routes:\n" ROUTE("/a", ", policy: p") ROUTE("/b", ", policy: p") ROUTE("/c", ", policy: q") ROUTE("/d", ", policy: r"),
                                           "policies: { q: { deadline: { max: 61s } }, p: { deadline: { max: 1m } }, r: { extends: q } }\n"
                                           "routes:\n" ROUTE("/a", ", policy: p") ROUTE("/b", ", policy: q") ROUTE("/c", ", policy: q") ROUTE("/d", ", policy: r"));
    assert_true(d->same_policy[0]);
    assert_true(!d->same_policy[1] && !d->same_policy[2] && !d->same_policy[3]);
    const struct policy *p = policies_find(&now->policies, STR("p"));
    assert_ptr_equal(&before->policies.v[d->policies[p - now->policies.v]], policies_find(&before->policies, STR("p")));
}
static void at_the_start_all_is_new(void **state) {
    (void)state;
    const struct config_change *d = change(NULL, LISTENERS "upstreams: { a: { endpoints: 127.0.0.1:1 } }\nroutes:\n" ROUTE("/a", ""));
    assert_int_equal(d->listeners[2], NOT_BEFORE);
    assert_int_equal(d->upstreams[0], NOT_BEFORE);
    assert_int_equal(d->routes[0], NOT_BEFORE);
    assert_int_equal(d->listeners_opened, 3);
    assert_int_equal(d->listeners_closed + d->upstreams_retired, 0);
}

#define T(name) cmocka_unit_test_teardown(name, forget)
int main(void) {
    const struct CMUnitTest tests[] = {
        T(a_listener_goes_on_by_its_address_whatever_it_is_called), T(listeners_on_any_port_are_told_apart_by_name),
        T(clients_stay_where_tls_is_as_it_was), T(an_upstream_goes_on_where_all_that_is_said_of_it_comes_to_the_same),
        T(a_default_that_is_written_out_is_no_difference), T(routes_go_on_by_name_and_those_without_by_their_place),
        T(a_routes_policy_is_the_same_by_name_and_by_all_that_it_says), T(at_the_start_all_is_new),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
