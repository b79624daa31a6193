// SPDX-License-Identifier: Apache-2.0
// The resolver against a name server of our own, in the same event base, on a loopback port. Its clock is the test's: a wheel that moves only in
// step(). What is real is the exchange of datagrams, and evdns's patience with a server that is silent; both are waited for, until something has
// happened and never for a while. Sets are compared as text: "10.0.0.1:80 [::1]:80".
#include "proxy/resolver.h"
#include "core/wheel.h"
#include <arpa/inet.h>
#include <event2/dns.h>
#include <event2/dns_struct.h>
#include <event2/event.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include <cmocka.h>

#define WAIT_MS 30000 /* a test that needs so long has failed */

static int64_t clock_ms(void) {
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

/* ---- the name server ------------------------------------------------------------------------------------------------------------------- */
enum mode { ANSWERS, NO_SUCH_NAME, FAILS, SILENT };
struct zone { /* one name's, one type's */
    enum mode mode;
    uint8_t v[64][16];
    int n, ttl;
    int asked;
};
static struct zone a, aaaa; /* of every name: the tests use one at a time */
static char last_asked[256];
static int probes;

static void serve(struct evdns_server_request *req, void *arg) {
    (void)arg;
    struct evdns_server_question *q = req->questions[0];
    struct zone *z = q->type == EVDNS_TYPE_A ? &a : &aaaa;
    if (strcasecmp(q->name, "google.com") == 0) { /* evdns's probe of a server that failed */
        probes++;
        evdns_server_request_drop(req);
        return;
    }
    snprintf(last_asked, sizeof last_asked, "%s", q->name);
    z->asked++;
    if (z->mode == SILENT) {
        evdns_server_request_drop(req);
        return;
    }
    for (int i = 0; z->mode == ANSWERS && i < z->n; i++) { /* one at a time: evdns would put several into one record */
        if (z == &a) evdns_server_request_add_a_reply(req, q->name, 1, z->v[i], z->ttl);
        if (z == &aaaa) evdns_server_request_add_aaaa_reply(req, q->name, 1, z->v[i], z->ttl);
    }
    evdns_server_request_respond(req, z->mode == NO_SUCH_NAME ? DNS_ERR_NOTEXIST : z->mode == FAILS ? DNS_ERR_SERVERFAILED : 0);
}
static void zone_set(struct zone *z, const char *text, int ttl) {
    char copy[256];
    z->mode = ANSWERS, z->n = 0, z->ttl = ttl;
    snprintf(copy, sizeof copy, "%s", text);
    char *rest = NULL;
    for (char *p = strtok_r(copy, " ", &rest); p; p = strtok_r(NULL, " ", &rest))
        assert_int_equal(inet_pton(z == &a ? AF_INET : AF_INET6, p, z->v[z->n++]), 1);
}

/* ---- who listens ---------------------------------------------------------------------------------------------------------------------------- */
static struct wheel wheel;
static instant now;
static bool advancing;
static struct event_base *base;
static struct evdns_server_port *server;
static struct resolver *resolver;
static struct resolver_options options;
static struct resolver_watch *watch, *other;
static char nameserver[32], hosts[64];
static bool watching;
static unsigned nwatches;
static int told;
static char set_text[1024];
static const char *failure;
static void (*inside)(void); /* what the callback does besides */

static void on_set(void *arg, const struct resolved *set) {
    (void)arg;
    assert_true(advancing && !watching);
    told++;
    failure = set->failure;
    char *at = set_text;
    *at = '\0';
    for (size_t i = 0; i < set->n; i++) {
        char ip[INET6_ADDRSTRLEN];
        const struct sockaddr_storage *sa = &set->v[i];
        bool six = sa->ss_family == AF_INET6;
        const void *p = six ? (const void *)&((const struct sockaddr_in6 *)(const void *)sa)->sin6_addr
                            : (const void *)&((const struct sockaddr_in *)(const void *)sa)->sin_addr;
        in_port_t port = six ? ((const struct sockaddr_in6 *)(const void *)sa)->sin6_port : ((const struct sockaddr_in *)(const void *)sa)->sin_port;
        inet_ntop(sa->ss_family, p, ip, sizeof ip);
        at += snprintf(at, (size_t)(set_text + sizeof set_text - at), six ? "%s[%s]:%d" : "%s%s:%d", i ? " " : "", ip, ntohs(port));
    }
    if (inside) inside();
}

/* ---- setting up -------------------------------------------------------------------------------------------------------------------------------- */
static void tick(evutil_socket_t fd, short what, void *arg) { (void)fd, (void)what, (void)arg; }
static struct event *ticker;

static int begin(void **state) {
    (void)state;
    struct sockaddr_in sa = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t len = sizeof sa;
    struct timeval often = { 0, 2000 };
    base = event_base_new();
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&sa, len), 0);
    getsockname(fd, (struct sockaddr *)&sa, &len);
    snprintf(nameserver, sizeof nameserver, "127.0.0.1:%d", ntohs(sa.sin_port));
    server = evdns_add_server_port_with_base(base, fd, 0, serve, NULL);
    ticker = event_new(base, -1, EV_PERSIST, tick, NULL);
    event_add(ticker, &often); /* so that EVLOOP_ONCE comes back */
    memset(&a, 0, sizeof a), memset(&aaaa, 0, sizeof aaaa);
    resolver = NULL, watch = other = NULL, inside = NULL;
    told = 0, failure = NULL, set_text[0] = '\0', hosts[0] = '\0', last_asked[0] = '\0';
    options = (struct resolver_options){ .nameserver = nameserver, .hosts = "", .attempts = 1, .timeout = span_s(60) };
    now = (instant){ 1000 * NS_PER_S };
    wheel_init(&wheel, now);
    nwatches = 0;
    return 0;
}
static int end(void **state) {
    (void)state;
    assert_int_equal(probes, 0);
    resolver_free(resolver);
    assert_int_equal(wheel.armed, 0);
    event_base_loop(base, EVLOOP_NONBLOCK); /* as resolver.h asks: the leak checker watches */
    evdns_close_server_port(server);
    event_base_loop(base, EVLOOP_NONBLOCK);
    event_free(ticker);
    event_base_free(base);
    if (*hosts) unlink(hosts);
    return 0;
}
static struct resolver_watch *follow(const char *name, uint16_t port) {
    const char *say = NULL;
    if (!resolver) resolver = resolver_new(base, &wheel, now, &options, &say);
    assert_non_null(resolver);
    watching = true;
    struct resolver_watch *w = resolver_watch(resolver, str_of(name), port, on_set, NULL);
    watching = false;
    nwatches++;
    return w;
}
static void unfollow(struct resolver_watch **w) {
    resolver_unwatch(*w);
    *w = NULL;
    nwatches--;
}
static void advance(void) {
    advancing = true;
    wheel_advance(&wheel, now);
    advancing = false;
}
static void turn(void) {
    event_base_loop(base, EVLOOP_ONCE);
    advance();
}
static void step(span s) {
    now = instant_add(now, s);
    advance();
}
#define until(condition)                                                                        \
    do {                                                                                         \
        for (int64_t end_ = clock_ms() + WAIT_MS; !(condition) && clock_ms() < end_;) turn(); \
        assert_true(condition);                                                                  \
    } while (0)
#define asked(times) (a.asked >= (times) && aaaa.asked >= (times))
/* Every watch has concluded, and waits for its time. */
static void settle(void) { until(wheel.armed == nwatches + 1 /* the renewal */ && instant_before(now, wheel_next(&wheel))); }
/* The next query comes then, and not a tick earlier. */
static void asks_after(span s) {
    int before = a.asked;
    step(span_sub(s, span_ms(1)));
    settle();
    event_base_loop(base, EVLOOP_NONBLOCK);
    assert_int_equal(a.asked, before);
    step(span_ms(1));
    until(asked(before + 1));
    settle();
    assert_int_equal(a.asked, before + 1);
}

/* ---- sets ------------------------------------------------------------------------------------------------------------------------------------ */
static void both_families_are_asked_and_sorted(void **state) {
    (void)state;
    zone_set(&a, "10.0.0.2 10.0.0.1 10.0.0.2", 60);
    zone_set(&aaaa, "2001:db8::2 2001:db8::1", 60);
    watch = follow("orders.example", 8080);
    assert_int_equal(told, 0); /* never from inside; on_set asserts it too */
    settle();
    assert_int_equal(told, 1);
    assert_string_equal(set_text, "10.0.0.1:8080 10.0.0.2:8080 [2001:db8::1]:8080 [2001:db8::2]:8080");
    assert_null(failure);
    assert_int_equal(strcasecmp(last_asked, "orders.example"), 0);
}
static void a_name_of_one_family_is_well(void **state) {
    (void)state;
    zone_set(&a, "10.0.0.1", 60); /* AAAA: no data */
    watch = follow("four.example", 80);
    settle();
    assert_string_equal(set_text, "10.0.0.1:80");
    assert_null(failure);
}
static void a_name_that_changes_is_told_when_its_ttl_is_over(void **state) {
    (void)state;
    zone_set(&a, "10.0.0.1", 7);
    watch = follow("x.example", 80);
    settle();
    zone_set(&a, "10.0.0.9", 9);
    asks_after(span_s(7));
    assert_string_equal(set_text, "10.0.0.9:80");
    zone_set(&aaaa, "::5", 3);
    asks_after(span_s(9));
    assert_string_equal(set_text, "10.0.0.9:80 [::5]:80");
    assert_int_equal(told, 3);
    asks_after(span_s(3)); /* the shorter one of both families */
}
static void a_server_that_rotates_its_answers_changes_nothing(void **state) {
    (void)state;
    zone_set(&a, "10.0.0.1 10.0.0.2", 5);
    watch = follow("x.example", 80);
    settle();
    zone_set(&a, "10.0.0.2 10.0.0.1", 5);
    asks_after(span_s(5));
    asks_after(span_s(5));
    assert_int_equal(told, 1);
}
static void a_short_ttl_is_not_obeyed_and_a_long_one_not_believed(void **state) {
    (void)state;
    zone_set(&a, "10.0.0.1", 0);
    watch = follow("x.example", 80);
    settle();
    asks_after(span_s(1));
    a.ttl = 7200;
    asks_after(span_s(1));
    asks_after(span_s(3600));
}
static void a_search_for_an_absolute_name_has_no_last_dot(void **state) {
    (void)state;
    zone_set(&a, "10.0.0.1", 60);
    watch = follow("x.example.", 80);
    settle();
    assert_int_equal(strcasecmp(last_asked, "x.example"), 0);
}

/* ---- failures --------------------------------------------------------------------------------------------------------------------------------- */
static void a_name_that_does_not_exist_is_said_once_and_tried_again(void **state) {
    (void)state;
    a.mode = aaaa.mode = NO_SUCH_NAME;
    watch = follow("nobody.example", 80);
    settle();
    assert_int_equal(told, 1);
    assert_string_equal(failure, "the name does not exist");
    assert_string_equal(set_text, "");
    asks_after(span_s(1));
    assert_int_equal(told, 1);
    zone_set(&a, "10.0.0.1", 60);
    aaaa.mode = ANSWERS;
    asks_after(span_s(2));
    assert_int_equal(told, 2);
    assert_null(failure);
    assert_string_equal(set_text, "10.0.0.1:80");
}
static void a_failure_keeps_the_last_good_set(void **state) {
    (void)state;
    zone_set(&a, "10.0.0.1", 5);
    zone_set(&aaaa, "::1", 5);
    watch = follow("x.example", 80);
    settle();
    a.mode = aaaa.mode = FAILS;
    asks_after(span_s(5));
    assert_int_equal(told, 2);
    assert_string_equal(failure, "no name server gave an answer in time"); /* evdns takes SERVFAIL for silence */
    assert_string_equal(set_text, "10.0.0.1:80 [::1]:80");
    a.mode = aaaa.mode = NO_SUCH_NAME; /* even then: a broken zone must not empty an upstream */
    asks_after(span_s(1));
    assert_int_equal(told, 2);
    a.mode = aaaa.mode = ANSWERS;
    asks_after(span_s(2)); /* the same set: but well again */
    assert_int_equal(told, 3);
    assert_null(failure);
    assert_string_equal(set_text, "10.0.0.1:80 [::1]:80");
}
static void one_family_that_fails_keeps_its_addresses_and_is_asked_again_soon(void **state) {
    (void)state;
    zone_set(&a, "10.0.0.1", 60);
    zone_set(&aaaa, "::1", 60);
    watch = follow("x.example", 80);
    settle();
    aaaa.mode = FAILS;
    zone_set(&a, "10.0.0.2", 60);
    asks_after(span_s(60));
    assert_int_equal(told, 2);
    assert_string_equal(set_text, "10.0.0.2:80 [::1]:80");
    assert_null(failure);
    zone_set(&aaaa, "", 0); /* but one that has none any more loses them */
    asks_after(span_s(1));
    assert_int_equal(told, 3);
    assert_string_equal(set_text, "10.0.0.2:80");
}
/* Now it answers, but evdns's patience is real and short: a machine that stands still may miss an answer or two. */
static void told_in_the_end(int times) {
    for (int i = 0; told < times && i < 200; i++) step(span_s(30)), settle();
    assert_int_equal(told, times);
}
static void a_server_that_is_silent_is_given_up(void **state) {
    (void)state;
    options.timeout = span_ms(50);
    a.mode = aaaa.mode = SILENT;
    watch = follow("x.example", 80);
    settle();
    assert_int_equal(told, 1);
    assert_string_equal(failure, "no name server gave an answer in time");
    zone_set(&a, "10.0.0.1", 60);
    aaaa.mode = ANSWERS;
    told_in_the_end(2);
    assert_null(failure);
    assert_string_equal(set_text, "10.0.0.1:80");
}
static void failures_are_retried_with_a_growing_back_off(void **state) {
    (void)state;
    static const int64_t seconds[] = { 1, 2, 4, 8, 16, 30, 30 };
    a.mode = aaaa.mode = FAILS;
    watch = follow("x.example", 80);
    settle();
    for (size_t i = 0; i < sizeof seconds / sizeof *seconds; i++) asks_after(span_s(seconds[i]));
    assert_int_equal(told, 1);
}
static void the_back_off_begins_anew_after_a_success(void **state) {
    (void)state;
    a.mode = aaaa.mode = NO_SUCH_NAME;
    watch = follow("x.example", 80);
    settle();
    asks_after(span_s(1));
    asks_after(span_s(2));
    zone_set(&a, "10.0.0.1", 7);
    asks_after(span_s(4));
    a.mode = NO_SUCH_NAME;
    asks_after(span_s(7));
    assert_int_equal(told, 3);
    asks_after(span_s(1));
    asks_after(span_s(2));
}
static void an_answer_too_long_for_udp_is_a_failure(void **state) {
    (void)state;
    zone_set(&a, "", 60);
    for (a.n = 0; a.n < 60; a.n++) memcpy(a.v[a.n], (uint8_t[]){ 10, 0, 0, (uint8_t)a.n }, 4);
    watch = follow("x.example", 80);
    settle();
    assert_non_null(failure);
    assert_string_equal(failure, "the answer was too long for UDP");
}
static void what_is_no_name_is_a_failure(void **state) {
    (void)state;
    char label[80];
    memset(label, 'x', sizeof label);
    label[sizeof label - 1] = '\0';
    watch = follow(label, 80);
    settle();
    assert_int_equal(told, 1);
    assert_non_null(failure);
    assert_int_equal(a.asked, 0);
}
static void a_name_server_that_is_no_address_is_refused(void **state) {
    (void)state;
    const char *say = NULL;
    options.nameserver = "not an address";
    assert_null(resolver_new(base, &wheel, now, &options, &say));
    assert_string_equal(say, "the name server's address is not valid");
}

/* ---- without a server ------------------------------------------------------------------------------------------------------------------------- */
static void write_hosts(const char *text) {
    if (!*hosts) {
        snprintf(hosts, sizeof hosts, "/tmp/curfew-hosts-XXXXXX");
        close(mkstemp(hosts));
    }
    FILE *f = fopen(hosts, "w");
    fputs(text, f);
    fclose(f);
    options.hosts = hosts;
}
static void the_hosts_file_goes_before_dns(void **state) {
    (void)state;
    write_hosts("# 10.9.9.9 db.example\n10.0.0.5\tother.example db.example # db.example is here\n\n  ::5 DB.Example\r\n10.0.0.6 xdb.example\nnonsense db.example\n"
                "10.0.0.7 db.example");
    zone_set(&a, "10.0.0.1", 60);
    watch = follow("db.example", 80);
    settle();
    assert_string_equal(set_text, "10.0.0.5:80 10.0.0.7:80 [::5]:80");
    assert_int_equal(a.asked, 0);
}
static void an_edit_of_the_hosts_file_counts(void **state) {
    (void)state;
    write_hosts("10.0.0.5 db.example\n");
    watch = follow("db.example", 80);
    settle();
    write_hosts("10.0.0.66 db.example\n");
    step(span_s(5));
    assert_int_equal(told, 2);
    assert_string_equal(set_text, "10.0.0.66:80");
    zone_set(&a, "10.0.0.1", 60);
    write_hosts("");
    step(span_s(5));
    settle();
    assert_int_equal(told, 3);
    assert_string_equal(set_text, "10.0.0.1:80");
}
static void localhost_and_what_is_below_asks_nobody(void **state) {
    (void)state;
    watch = follow("LocalHost", 80);
    settle();
    assert_string_equal(set_text, "127.0.0.1:80 [::1]:80");
    other = follow("app.localhost.", 81);
    settle();
    assert_string_equal(set_text, "127.0.0.1:81 [::1]:81");
    assert_int_equal(a.asked, 0);
}
static void an_address_is_itself(void **state) {
    (void)state;
    watch = follow("192.0.2.7", 80);
    settle();
    assert_string_equal(set_text, "192.0.2.7:80");
    other = follow("2001:db8::7", 443);
    settle();
    assert_string_equal(set_text, "[2001:db8::7]:443");
    assert_int_equal(a.asked, 0);
}

/* ---- leaving ------------------------------------------------------------------------------------------------------------------------------------ */
static void leave(void) { inside = NULL, unfollow(&watch); }
static void leave_other(void) { inside = NULL, unfollow(&other); }
static void watch_more(void) { inside = NULL, other = follow("more.example", 81); }

static void a_watch_may_end_inside_its_own_callback(void **state) {
    (void)state;
    zone_set(&a, "10.0.0.1", 0);
    inside = leave;
    watch = follow("x.example", 80);
    settle();
    assert_int_equal(told, 1);
    assert_null(watch);
    other = follow("y.example", 80);
    settle();
    asks_after(span_s(1)); /* once: nobody asks for x */
    assert_int_equal(told, 2);
}
static void a_watch_may_end_inside_its_own_callback_of_a_failure(void **state) {
    (void)state;
    a.mode = aaaa.mode = FAILS;
    inside = leave;
    watch = follow("x.example", 80);
    settle();
    assert_int_equal(told, 1);
    assert_null(watch);
}
static void a_watch_may_end_inside_another_s_callback(void **state) {
    (void)state;
    zone_set(&a, "10.0.0.1", 0);
    inside = leave_other;
    watch = follow("x.example", 80);
    other = follow("y.example", 80);
    settle();
    asks_after(span_s(1));
    assert_int_equal(told, 1);
}
static void a_watch_may_begin_inside_a_callback(void **state) {
    (void)state;
    zone_set(&a, "10.0.0.1", 60);
    inside = watch_more;
    watch = follow("x.example", 80);
    settle();
    assert_int_equal(told, 2);
    assert_string_equal(set_text, "10.0.0.1:81");
}
static void a_watch_that_ends_before_it_began_is_never_told(void **state) {
    (void)state;
    watch = follow("x.example", 80);
    unfollow(&watch);
    resolver_unwatch(NULL);
    turn();
    settle();
    assert_int_equal(told + a.asked, 0);
}
static void an_answer_for_a_watch_that_ended_goes_nowhere(void **state) {
    (void)state;
    zone_set(&a, "10.0.0.1", 60);
    zone_set(&aaaa, "::1", 60);
    watch = follow("x.example", 80);
    until(a.asked == 1);
    unfollow(&watch);
    other = follow("y.example", 80);
    settle();
    assert_int_equal(a.asked, 2);
    assert_int_equal(told, 1);
}
static void a_watch_may_end_with_its_answers_in_and_not_told(void **state) {
    (void)state;
    zone_set(&a, "10.0.0.1", 60);
    watch = follow("x.example", 80);
    advance();
    for (int64_t end_ = clock_ms() + WAIT_MS; wheel.armed < 2 && clock_ms() < end_;) event_base_loop(base, EVLOOP_ONCE);
    assert_int_equal(wheel.armed, 2); /* it is due: the next turn would tell */
    unfollow(&watch);
    turn();
    assert_int_equal(told, 0);
}
static void a_resolver_may_go_with_queries_under_way(void **state) {
    (void)state;
    a.mode = aaaa.mode = SILENT;
    watch = follow("x.example", 80);
    other = follow("y.example", 80);
    until(asked(2));
    resolver_free(resolver);
    resolver = NULL;
    assert_int_equal(wheel.armed, 0);
    event_base_loop(base, EVLOOP_NONBLOCK);
    assert_int_equal(told, 0);
}

/* ---- renewal ------------------------------------------------------------------------------------------------------------------------------------ */
static void what_is_under_way_as_name_servers_are_read_anew_is_asked_again(void **state) {
    (void)state;
    a.mode = aaaa.mode = SILENT;
    watch = follow("x.example", 80);
    until(asked(1));
    zone_set(&a, "10.0.0.1", 5), zone_set(&aaaa, "::5", 5);
    step(span_s(60));
    settle();
    assert_true(asked(2));
    assert_int_equal(told, 1);
    assert_null(failure);
    assert_string_equal(set_text, "10.0.0.1:80 [::5]:80");
}
/* Some of these are under way as it happens. */
static void name_servers_are_read_anew_and_no_query_is_lost(void **state) {
    (void)state;
    options.renew = span_ms(3), options.ttl_min = options.ttl_max = span_ms(2);
    zone_set(&a, "10.0.0.1", 0), zone_set(&aaaa, "::5", 0);
    watch = follow("x.example", 80);
    for (int64_t end_ = clock_ms() + WAIT_MS; !asked(200) && clock_ms() < end_;) turn(), step(span_ms(1));
    assert_true(asked(200));
    settle();
    assert_int_equal(told, 1);
    assert_string_equal(set_text, "10.0.0.1:80 [::5]:80");
}
static void a_server_that_is_silent_between_renewals_is_seen_to(void **state) {
    (void)state;
    options.timeout = span_ms(50), options.renew = span_s(1);
    a.mode = aaaa.mode = SILENT;
    watch = follow("x.example", 80);
    settle();
    assert_int_equal(told, 1);
    assert_non_null(failure);
    zone_set(&a, "10.0.0.1", 0);
    aaaa.mode = ANSWERS;
    told_in_the_end(2);
    assert_null(failure);
}

#define T(f) cmocka_unit_test_setup_teardown(f, begin, end)
int main(void) {
    const struct CMUnitTest tests[] = {
        T(both_families_are_asked_and_sorted), T(a_name_of_one_family_is_well), T(a_name_that_changes_is_told_when_its_ttl_is_over),
        T(a_server_that_rotates_its_answers_changes_nothing), T(a_short_ttl_is_not_obeyed_and_a_long_one_not_believed),
        T(a_search_for_an_absolute_name_has_no_last_dot), T(a_name_that_does_not_exist_is_said_once_and_tried_again),
        T(a_failure_keeps_the_last_good_set), T(one_family_that_fails_keeps_its_addresses_and_is_asked_again_soon), T(a_server_that_is_silent_is_given_up),
        T(failures_are_retried_with_a_growing_back_off), T(the_back_off_begins_anew_after_a_success),
        T(an_answer_too_long_for_udp_is_a_failure),
        T(what_is_no_name_is_a_failure),
        T(a_name_server_that_is_no_address_is_refused), T(the_hosts_file_goes_before_dns), T(an_edit_of_the_hosts_file_counts),
        T(localhost_and_what_is_below_asks_nobody), T(an_address_is_itself), T(a_watch_may_end_inside_its_own_callback),
        T(a_watch_may_end_inside_its_own_callback_of_a_failure), T(a_watch_may_end_inside_another_s_callback),
        T(a_watch_may_begin_inside_a_callback), T(a_watch_that_ends_before_it_began_is_never_told),
        T(an_answer_for_a_watch_that_ended_goes_nowhere), T(a_watch_may_end_with_its_answers_in_and_not_told),
        T(a_resolver_may_go_with_queries_under_way), T(what_is_under_way_as_name_servers_are_read_anew_is_asked_again),
        T(name_servers_are_read_anew_and_no_query_is_lost), T(a_server_that_is_silent_between_renewals_is_seen_to),
    };
    return cmocka_run_group_tests_name("resolver", tests, NULL, NULL);
}
