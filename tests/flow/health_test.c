// SPDX-License-Identifier: Apache-2.0
// Active health checks: endpoints are asked by the clock, their answers decide who is asked by requests, and nothing of it is in the way of a request, a
// limit or a drain.
#include "tests/flow/h2.h"
#include "proxy/resolver.h"

#define HEALTH "health: { path: /health, interval: 1s, timeout: 200ms, unhealthy_after: 3, healthy_after: 2 }"
#define OK_204 "HTTP/1.1 204 No Content\r\n\r\n"
#define BAD_503 "HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n"

static void stage_one(const char *more) {
    char keys[512];
    snprintf(keys, sizeof keys, HEALTH "%s%s", more[0] ? ", " : "", more);
    stage((struct given){ .upstream = keys });
}
/* Endpoints 9001 and on; `app` stands aside. */
static void stage_many(const char *endpoints, const char *more) {
    char keys[512];
    snprintf(keys, sizeof keys, "max_connections: 8 }\n  many: { endpoints: [ %s ], " HEALTH "%s%s", endpoints, more[0] ? ", " : "", more);
    stage((struct given){ .upstream = keys, .routes = "  - { match: { path: /* }, upstream: many }" });
}
#define PAIR "127.0.0.1:9001, 127.0.0.1:9002"

/* ---- checks and requests ------------------------------------------------------------------------------------------------------------ */
/* The next check, once its time has come. */
static struct sock *check(void) {
    for (unsigned i = 0; i < 1200; i++) {
        struct sock *s = upstream_or_none();
        if (s) {
            assert_begins(s, "GET /health HTTP/1.1\r\n");
            return s;
        }
        step(MS);
    }
    fail_msg("nobody is asked");
    return NULL;
}
static void no_check_for(int64_t ns) {
    step(ns);
    assert_nobody_called();
}
static void answers(struct sock *s, const char *text) {
    upstream_sends(s, text);
    step(0); /* what it means is looked at after the codec's event */
    assert_true(s->closed);
}
/* So many checks in a row with that answer. */
static void checks(unsigned n, const char *text) {
    while (n--) answers(check(), text);
}
static void assert_served_by(uint16_t port) {
    struct sock *c = asks(GET());
    struct sock *u = upstream();
    assert_int_equal(u->port, port);
    upstream_got(u, "GET / HTTP/1.1\r\n");
    upstream_sends(u, ANSWER("content-length: 2\r\nconnection: close\r\n") "ok");
    assert_answer(c, 200);
    assert_ended("completed");
    client_finishes(c);
}
static void assert_refused(void) {
    struct sock *c = asks(GET());
    assert_has(assert_answer(c, 503), "no healthy endpoint");
    assert_nobody_called();
    assert_ended("connect_failure");
    assert_logged("detail", "the upstream has no healthy endpoint");
    client_finishes(c);
}
static struct upstream *checked(void) { return world.w.snapshot->upstreams[world.w.snapshot->nupstreams - 1]; }
static size_t healthy(void) {
    size_t n;
    upstream_endpoints(checked(), &n);
    return n;
}

/* ---- asking ------------------------------------------------------------------------------------------------------------------------------ */
static void the_first_check_comes_at_once_and_asks_as_the_upstream_is_asked(void **state) {
    (void)state;
    stage_one("");
    struct sock *u = upstream();
    const char *said = upstream_got(u, "GET /health HTTP/1.1\r\n");
    assert_has(said, "\r\nhost: 127.0.0.1:9001\r\n");
    assert_has(said, "\r\nuser-agent: curfew/");
    answers(u, ANSWER_OK);
    assert_closed(u);
    assert_served_by(9001);
    assert_int_equal(count(METRIC_HEALTH_CHECKS), 1);
    assert_int_equal(count(METRIC_HEALTH_FAILURES), 0);
}
static void checks_count_as_nobodys_requests(void **state) {
    (void)state;
    stage_one("");
    checks(10, OK_204);
    assert_int_equal(count(METRIC_HEALTH_CHECKS), 10);
    assert_int_equal(count(METRIC_UPSTREAM_CONNECTS), 0);
    assert_int_equal(count(METRIC_UPSTREAM_OPEN), 0);
    assert_int_equal(count(METRIC_ATTEMPTS), 0);
    assert_int_equal(ended(ENDING_COMPLETED), 0);
    assert_nothing_ended();
}
static void checks_come_every_interval_a_tenth_more_or_less(void **state) {
    (void)state;
    stage_one("");
    answers(check(), OK_204);
    int64_t last = world.now, least = HOUR, most = 0;
    answers(check(), OK_204);
    assert_true(world.now - last <= 1000 * MS + 2 * MS); /* the second comes after any part of it */
    last = world.now;
    for (unsigned i = 0; i < 200; i++) {
        answers(check(), OK_204);
        int64_t between = world.now - last;
        last = world.now;
        least = between < least ? between : least;
        most = between > most ? between : most;
    }
    assert_in_range(least, 900 * MS, 920 * MS);
    assert_in_range(most, 1080 * MS, 1100 * MS + 2 * MS);
}
static void endpoints_are_not_asked_in_step(void **state) {
    (void)state;
    stage_many("127.0.0.1:9001, 127.0.0.1:9002, 127.0.0.1:9003, 127.0.0.1:9004, 127.0.0.1:9005, 127.0.0.1:9006, 127.0.0.1:9007, 127.0.0.1:9008", "");
    for (unsigned i = 0; i < 8; i++) answers(upstream(), OK_204);
    assert_nobody_called();
    int64_t first = 0, last = 0, ms[8];
    for (unsigned i = 0; i < 8; i++) {
        answers(check(), OK_204);
        ms[i] = world.now / MS;
        if (i == 0) first = ms[i];
        last = ms[i];
    }
    assert_true(last - first > 300);
    unsigned together = 0;
    for (unsigned i = 1; i < 8; i++) together += ms[i] == ms[i - 1];
    assert_true(together < 3);
}
static void a_check_that_takes_its_whole_time_is_not_overtaken_by_the_next(void **state) {
    (void)state;
    stage((struct given){ .upstream = "health: { path: /health, interval: 200ms, timeout: 200ms }" });
    for (unsigned i = 0; i < 20; i++) {
        struct sock *u = check();
        int64_t begun = world.now;
        while (!u->closed) {
            assert_nobody_called();
            step(MS);
        }
        assert_true(world.now - begun >= 195 * MS);
        assert_reset(u);
    }
}

/* ---- what is a failure --------------------------------------------------------------------------------------------------------------- */
/* A good check, then two bad ones of one kind and a third: it is that kind which takes the endpoint out. */
static void assert_each_fails(void (*next_failure)(void)) {
    stage_one("");
    checks(1, OK_204);
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(healthy(), 1);
        next_failure();
    }
    assert_int_equal(count(METRIC_HEALTH_FAILURES), 3);
    assert_int_equal(healthy(), 0);
    assert_refused();
}
static void fail_by_status(void) { answers(check(), BAD_503); }
static void another_status_than_2xx(void **state) {
    (void)state;
    assert_each_fails(fail_by_status);
}
static void fail_by_silence(void) {
    struct sock *u = check();
    step(198 * MS);
    assert_open(u);
    step(3 * MS);
    assert_reset(u);
}
static void no_answer_within_the_timeout(void **state) {
    (void)state;
    assert_each_fails(fail_by_silence);
}
static void fail_by_dribbling(void) {
    struct sock *u = check();
    upstream_sends(u, ANSWER("transfer-encoding: chunked\r\n") "1\r\na\r\n");
    for (unsigned i = 0; i < 19; i++) {
        step(10 * MS);
        upstream_sends(u, "1\r\na\r\n");
    }
    assert_open(u);
    step(12 * MS);
    assert_reset(u);
}
static void an_answer_that_never_ends(void **state) {
    (void)state;
    assert_each_fails(fail_by_dribbling);
}
static void fail_by_flooding(void) {
    struct sock *u = check();
    upstream_sends(u, ANSWER("content-length: 100000000\r\n"));
    for (unsigned i = 0; i < 32 && !u->closed; i++) sends_n(u, 'x', 65536);
    assert_true(u->closed);
    step(0);
}
static void an_answer_that_is_too_long(void **state) {
    (void)state;
    assert_each_fails(fail_by_flooding);
}
static void fail_by_closing(void) {
    struct sock *u = check();
    upstream_finishes(u);
    step(0);
    assert_true(u->closed);
}
static void a_connection_that_closes_without_an_answer(void **state) {
    (void)state;
    assert_each_fails(fail_by_closing);
}
static void fail_by_a_cut_body(void) {
    struct sock *u = check();
    upstream_sends(u, ANSWER("content-length: 10\r\n") "abc");
    upstream_resets(u);
    step(0);
    assert_true(u->closed);
}
static void a_body_that_is_cut(void **state) {
    (void)state;
    assert_each_fails(fail_by_a_cut_body);
}
static void fail_by_nonsense(void) { answers(check(), "SSH-2.0-OpenSSH_9.2\r\n\r\n"); }
static void what_is_no_http(void **state) {
    (void)state;
    assert_each_fails(fail_by_nonsense);
}
static void fail_by_refusing(void) {
    uint64_t before = count(METRIC_HEALTH_CHECKS);
    for (unsigned i = 0; i < 1200 && count(METRIC_HEALTH_CHECKS) == before; i++) step(MS);
    while (upstream_or_none()) { }
}
static void a_connection_that_is_refused(void **state) {
    (void)state;
    stage_one("");
    checks(1, OK_204);
    world.connects[0] = REFUSED;
    for (unsigned i = 0; i < 2; i++) fail_by_refusing();
    assert_int_equal(healthy(), 1);
    fail_by_refusing();
    assert_int_equal(healthy(), 0);
    assert_refused();
}
static void an_endpoint_that_cannot_be_reached(void **state) {
    (void)state;
    stage_one("");
    checks(1, OK_204);
    world.connects[0] = UNREACHABLE;
    for (unsigned i = 0; i < 3; i++) fail_by_refusing();
    assert_refused();
}
static void a_connection_that_is_not_accepted_in_time(void **state) {
    (void)state;
    stage_one("connect_timeout: 100ms");
    checks(1, OK_204);
    world.connects[0] = SLOWLY;
    for (unsigned i = 0; i < 3; i++) fail_by_refusing();
    assert_refused();
}
static void an_interim_answer_is_none(void **state) {
    (void)state;
    stage_one("");
    struct sock *u = upstream();
    upstream_sends(u, "HTTP/1.1 103 Early Hints\r\n\r\n");
    assert_open(u);
    answers(u, OK_204);
    assert_int_equal(count(METRIC_HEALTH_FAILURES), 0);
}
static void what_we_lack_ourselves_says_nothing_of_an_endpoint(void **state) {
    (void)state;
    stage_one("");
    checks(1, OK_204);
    world.connects[0] = EXHAUSTED;
    no_check_for(10 * SECONDS);
    assert_int_equal(count(METRIC_HEALTH_CHECKS), 1);
    assert_int_equal(healthy(), 1);
    world.connects[0] = AT_ONCE;
    answers(check(), OK_204);
    assert_served_by(9001);
}

/* ---- thresholds ------------------------------------------------------------------------------------------------------------------------ */
static void it_is_out_after_failures_in_a_row_and_back_after_successes_in_a_row(void **state) {
    (void)state;
    stage_one("");
    checks(1, OK_204);
    checks(2, BAD_503);
    assert_served_by(9001);
    checks(1, OK_204);
    checks(2, BAD_503);
    assert_served_by(9001); /* not in a row */
    checks(1, BAD_503);
    assert_refused();
    checks(1, OK_204);
    assert_refused();
    checks(1, BAD_503);
    checks(1, OK_204);
    assert_refused();
    checks(1, OK_204);
    assert_served_by(9001);
}
static void the_first_check_decides_alone_and_so_does_the_first_that_is_passed(void **state) {
    (void)state;
    stage_one("");
    assert_int_equal(healthy(), 1); /* before its answer: in */
    checks(1, BAD_503);
    assert_refused();
    checks(1, OK_204);
    assert_served_by(9001);
    checks(2, BAD_503);
    assert_served_by(9001);
}

/* ---- who is asked ------------------------------------------------------------------------------------------------------------------------ */
/* In whatever order they come. */
static void checks_of_pair(unsigned rounds, const char *first, const char *second) {
    for (unsigned i = 0; i < 2 * rounds; i++) {
        struct sock *u = check();
        answers(u, u->port == 9001 ? first : second);
    }
}
static void take_out_first(void) {
    for (unsigned i = 0; healthy() == 2 && i < 10; i++) checks_of_pair(1, BAD_503, OK_204);
    assert_int_equal(healthy(), 1);
}
static void requests_go_to_the_endpoints_that_are_healthy(void **state) {
    (void)state;
    stage_many(PAIR, "balance: round_robin");
    take_out_first();
    for (unsigned i = 0; i < 5; i++) assert_served_by(9002);
}
static void one_that_refused_a_connection_is_better_than_one_that_is_out(void **state) {
    (void)state;
    stage_many(PAIR, "");
    take_out_first();
    world.connects[1] = REFUSED;
    struct sock *c = asks(GET());
    assert_answer(c, 503);
    assert_ended("connect_failure");
    while (upstream_or_none()) { }
    world.connects[1] = AT_ONCE;
    assert_served_by(9002); /* within the two seconds in which another one would be asked, if there were one */
}
static void who_waits_is_told_when_the_last_endpoint_goes_out(void **state) {
    (void)state;
    stage_one("max_requests: 1");
    checks(1, OK_204);
    struct sock *c = client(), *waits = client();
    client_sends(c, GET());
    struct sock *u = upstream();
    got(u);
    client_sends(waits, GET());
    assert_silent(waits);
    checks(3, BAD_503);
    assert_has(assert_answer(waits, 503), "no healthy endpoint");
    assert_ended("connect_failure");
    upstream_sends(u, ANSWER_OK); /* what was under way goes on */
    assert_answer(c, 200);
    assert_ended("completed");
    assert_true(u->closed);
}
static void connections_to_one_that_is_out_close_and_new_ones_are_made_when_it_is_back(void **state) {
    (void)state;
    stage_one("");
    checks(1, OK_204);
    struct sock *c = client(), *d = client();
    client_sends(c, GET());
    struct sock *idle = upstream();
    client_sends(d, GET());
    struct sock *busy = upstream();
    answered(c, idle);
    checks(3, BAD_503);
    assert_closed(idle);
    assert_open(busy);
    checks(2, OK_204);
    client_sends(c, GET());
    struct sock *fresh = upstream();
    upstream_got(fresh, "GET / HTTP/1.1\r\n");
    answered(c, fresh);
    answered(d, busy);
}
static void who_waits_for_a_connection_to_one_that_goes_out_is_given_another(void **state) {
    (void)state;
    stage_many(PAIR, "balance: round_robin, connect_timeout: 1h");
    for (unsigned i = 0; i < 2; i++) answers(upstream(), OK_204);
    world.connects[0] = world.connects[1] = SLOWLY;
    struct sock *c = asks(GET());
    struct sock *u = upstream();
    assert_int_equal(u->port, 9001);
    world.connects[0] = world.connects[1] = AT_ONCE;
    take_out_first();
    assert_true(u->closed);
    assert_int_equal(u->ngot, 0);
    struct sock *v = upstream();
    assert_int_equal(v->port, 9002);
    upstream_got(v, "GET / HTTP/1.1\r\n");
    answered(c, v);
    assert_int_equal(count(METRIC_UPSTREAM_CONNECT_FAILURES), 0);
}

/* ---- limits ----------------------------------------------------------------------------------------------------------------------------- */
static void a_full_pool_is_nothing_to_a_check(void **state) {
    (void)state;
    stage_one("max_connections: 1, max_requests: 1, max_pending: 0");
    checks(1, OK_204);
    struct sock *c, *u = asked(&c, GET());
    checks(5, OK_204);
    assert_int_equal(count(METRIC_HEALTH_FAILURES), 0);
    answered(c, u);
}
static void what_hangs_at_one_that_is_out_keeps_nobody_from_the_others(void **state) {
    (void)state;
    stage_many(PAIR, "max_connections: 1, balance: round_robin");
    for (unsigned i = 0; i < 2; i++) answers(upstream(), OK_204);
    struct sock *hangs = asks(GET());
    struct sock *u = upstream();
    assert_int_equal(u->port, 9001);
    got(u);
    struct sock *waits = asks(GET());
    assert_nobody_called();
    take_out_first();
    struct sock *v = upstream();
    assert_int_equal(v->port, 9002);
    answered(waits, v);
    answered(hangs, u);
}

static void a_cancels_call_goes_to_one_that_is_out_where_no_other_is_left(void **state) {
    (void)state;
    stage((struct given){ .upstream = "max_connections: 8 }\n  many: { endpoints: [ " PAIR " ], " HEALTH, .routes = "  - { match: { path: /* }, upstream: many }",
                          .policy = "cancel: { http1: [ call, close ], call: { path: /cancel } }" });
    answers(check(), OK_204);
    answers(check(), OK_204);
    struct sock *one = client(), *two = client();
    client_sends(one, GET()), got(upstream());
    client_sends(two, GET()), got(upstream());
    while (healthy() == 2) {
        struct sock *s = check();
        answers(s, s->port == 9001 ? BAD_503 : OK_204);
    }
    client_resets(one);
    struct sock *call = upstream();
    assert_has(got(call), "/cancel");
    assert_int_equal(call->port, 9002); /* who works is preferred */
    upstream_sends(call, ANSWER_OK);
    assert_ended_at("client_reset", "side_channel");
    while (healthy() > 0) answers(check(), BAD_503);
    client_resets(two);
    call = upstream();
    assert_has(got(call), "/cancel");
    upstream_sends(call, ANSWER_OK);
    assert_ended_at("client_reset", "side_channel");
    assert_refused(); /* requests are no cancels */
}

/* The next one that the gateway calls and keeps: no check of type tcp. */
static struct h2 *h2_kept(void) {
    struct sock *s = upstream();
    while (s->closed) s = upstream();
    struct h2 *h = h2_new(s, true, NULL, 0);
    h2_settle(h, NULL);
    return h;
}
static void a_stream_that_hangs_at_one_that_is_out_keeps_nobody_from_the_others(void **state) {
    (void)state;
    stage((struct given){ .upstream = "max_connections: 8 }\n  many: { endpoints: [ " PAIR " ], protocol: http2, balance: round_robin, "
                                      "max_connections: 1, health: { type: tcp, interval: 1s, timeout: 200ms }",
                          .routes = "  - { match: { path: /* }, upstream: many }" });
    step(2 * SECONDS);
    struct h2 *c = h2_client();
    int32_t hangs = h2_get(c, "/hangs", NULL);
    h2_settle(c, NULL);
    struct h2 *u = h2_kept();
    h2_settle(c, u);
    int32_t asked = h2_next(u);
    assert_int_equal(u->s->port, 9001);
    world.connects[0] = REFUSED;
    step(5 * SECONDS);
    assert_int_equal(healthy(), 1);
    h2_settle(c, u);
    assert_open(u->s);
    int32_t next = h2_get(c, "/next", NULL);
    h2_settle(c, u);
    struct h2 *v = h2_kept();
    assert_int_equal(v->s->port, 9002);
    h2_answers(v, h2_next(v), "200", NULL, NO_BODY, false);
    h2_settle(c, v);
    assert_h2_status(c, next, "200");
    assert_ended("completed");
    h2_answers(u, asked, "204", NULL, NO_BODY, false); /* what is under way goes on */
    h2_settle(c, u);
    assert_h2_status(c, hangs, "204");
    assert_ended("completed");
    assert_true(u->s->closed);
    h2_free(c);
    h2_free(u);
    h2_free(v);
    while (upstream_or_none()) { }
}
/* Over HTTP/2 one connection at a time is opened for all who wait. */
static void a_connection_that_never_opens_to_one_that_is_out_keeps_nobody_from_the_others(void **state) {
    (void)state;
    stage((struct given){ .upstream = "max_connections: 8 }\n  many: { endpoints: [ " PAIR " ], protocol: http2, balance: round_robin, "
                                      "connect_timeout: 1h, health: { type: tcp, interval: 1s, timeout: 200ms }",
                          .routes = "  - { match: { path: /* }, upstream: many }" });
    step(2 * SECONDS);
    world.connects[0] = SLOWLY;
    struct h2 *c = h2_client();
    int32_t waits = h2_get(c, "/waits", NULL);
    h2_settle(c, NULL);
    step(5 * SECONDS);
    assert_int_equal(healthy(), 1);
    int32_t next = h2_get(c, "/next", NULL);
    h2_settle(c, NULL);
    struct h2 *v = h2_kept();
    assert_int_equal(v->s->port, 9002);
    for (unsigned i = 0; i < 2; i++) h2_answers(v, h2_next(v), "204", NULL, NO_BODY, false);
    h2_settle(c, v);
    assert_h2_status(c, waits, "204");
    assert_h2_status(c, next, "204");
    assert_ended("completed");
    assert_ended("completed");
    h2_free(c);
    h2_free(v);
    while (upstream_or_none()) { }
}

/* ---- the end ------------------------------------------------------------------------------------------------------------------------------ */
static void drain(void) {
    worker_post_kind(&world.w, MESSAGE_DRAIN);
    settle();
}
static void a_check_under_way_keeps_no_drain_from_its_end(void **state) {
    (void)state;
    stage_one("");
    struct sock *u = upstream();
    assert_open(u);
    drain();
    assert_reset(u);
    assert_int_equal(world.w.nconns, 0);
    no_check_for(10 * SECONDS);
}
static void a_connection_for_a_check_keeps_no_drain_from_its_end(void **state) {
    (void)state;
    stage_one("");
    answers(upstream(), OK_204);
    world.connects[0] = SLOWLY;
    struct sock *u = NULL;
    for (unsigned i = 0; i < 1200 && !u; i++) step(MS), u = upstream_or_none();
    drain();
    assert_true(u->closed);
    assert_int_equal(world.w.nconns, 0);
}
static void who_is_out_stays_out_while_the_gateway_drains(void **state) {
    (void)state;
    stage_many(PAIR, "max_requests: 1");
    take_out_first();
    struct sock *c = client(), *d = client();
    client_sends(c, GET());
    struct sock *u = upstream();
    got(u);
    client_sends(d, GET());
    drain();
    answered(c, u);
    struct sock *v = upstream_or_none();
    assert_true(!v || v->port == 9002);
    upstream_sends(v ? v : u, ANSWER_OK);
    assert_answer(d, 200);
    assert_ended("completed");
}
static void a_check_under_way_ends_with_the_worker(void **state) {
    (void)state;
    stage_one("");
    struct sock *u = upstream();
    assert_open(u);
    unstage(); /* asserts that nothing is left */
}

/* ---- names ------------------------------------------------------------------------------------------------------------------------------ */
static void resolves(size_t endpoint, const uint16_t *ports, size_t n) {
    struct sockaddr_storage v[RESOLVED_MAX] = { 0 };
    for (size_t i = 0; i < n; i++) {
        const struct sockaddr_in in = { .sin_family = AF_INET, .sin_port = htons(ports[i]), .sin_addr = { htonl(INADDR_LOOPBACK) } };
        memcpy(&v[i], &in, sizeof in);
    }
    const struct resolved set = { .name = STR("app.test"), .v = v, .n = n };
    upstream_resolved(checked(), endpoint, &set);
    settle();
    step(0);
}
#define RESOLVES_AS(endpoint, ...) resolves(endpoint, (const uint16_t[]){ __VA_ARGS__ }, sizeof((const uint16_t[]){ __VA_ARGS__ }) / sizeof(uint16_t))
#define RESOLVES(...) RESOLVES_AS(0, __VA_ARGS__)
static void an_endpoint_that_is_resolved_away_is_asked_no_more(void **state) {
    (void)state;
    stage_many("app.test:9001", "");
    assert_nobody_called();
    RESOLVES(9001);
    struct sock *u = upstream();
    upstream_got(u, "GET /health HTTP/1.1\r\n");
    assert_open(u);
    RESOLVES(9002);
    assert_reset(u); /* the check under way is called off */
    struct sock *v = upstream();
    assert_int_equal(v->port, 9002);
    assert_has(got(v), "\r\nhost: app.test:9001\r\n"); /* as configured */
    answers(v, OK_204);
    for (unsigned i = 0; i < 5; i++) {
        u = check();
        assert_int_equal(u->port, 9002);
        answers(u, OK_204);
    }
    assert_served_by(9002);
}
static void an_address_that_comes_back_begins_anew(void **state) {
    (void)state;
    stage_many("app.test:9001", "");
    RESOLVES(9001);
    checks(1, BAD_503);
    assert_refused();
    RESOLVES(9002);
    answers(upstream(), OK_204);
    assert_served_by(9002);
    RESOLVES(9001, 9002);
    assert_int_equal(healthy(), 2);
    struct sock *u = upstream();
    assert_int_equal(u->port, 9001);
    answers(u, BAD_503);
    assert_int_equal(healthy(), 1);
    RESOLVES(9001); /* the healthy one is gone */
    assert_refused();
}
static void who_waits_is_told_when_the_healthy_endpoint_is_resolved_away(void **state) {
    (void)state;
    stage_many("app.test:9001", "max_requests: 1");
    RESOLVES(9001, 9002);
    for (unsigned i = 0; i < 2; i++) {
        struct sock *u = upstream();
        answers(u, u->port == 9001 ? BAD_503 : OK_204);
    }
    struct sock *c = client(), *waits = client();
    client_sends(c, GET());
    struct sock *u = upstream();
    got(u);
    client_sends(waits, GET());
    RESOLVES(9001);
    assert_answer(waits, 503);
    assert_ended("connect_failure");
    answered(c, u);
}
/* All at once: while the old ones go, those that are out among them, the new ones are about to come. */
static void who_waits_goes_to_the_addresses_that_come_as_the_others_go(void **state) {
    (void)state;
    stage_many("app.test:9001", "max_requests: 1");
    RESOLVES(9001, 9002, 9003);
    for (unsigned i = 0; i < 3; i++) {
        struct sock *u = upstream();
        answers(u, u->port == 9001 ? OK_204 : BAD_503);
    }
    struct sock *c = client(), *waits = client();
    client_sends(c, GET());
    struct sock *u = upstream();
    got(u);
    client_sends(waits, GET());
    RESOLVES(9004);
    assert_nothing_ended();
    answers(upstream(), OK_204);
    answered(c, u);
    u = upstream();
    assert_int_equal(u->port, 9004);
    answered(waits, u);
}
static void a_name_that_is_not_resolved_yet_is_waited_for_though_all_others_are_out(void **state) {
    (void)state;
    stage_many("127.0.0.1:9001, app.test:9002", "");
    answers(upstream(), BAD_503);
    struct sock *c = asks(GET());
    assert_nothing_ended();
    RESOLVES_AS(1, 9002);
    struct sock *u = upstream();
    assert_int_equal(u->port, 9002);
    upstream_got(u, "GET / HTTP/1.1\r\n");
    answers(upstream(), OK_204);
    answered(c, u);
}
/* To none, to twenty and to others, while checks and requests are under way: leave() asserts that nothing is left of any of it. */
static void a_name_may_change_at_every_moment_of_its_checks(void **state) {
    (void)state;
    stage_many("app.test:9001", "max_connections: 4, connect_timeout: 300ms");
    uint32_t chance = 1;
    for (unsigned round = 0; round < 300; round++) {
        uint16_t ports[20];
        size_t n = 0;
        for (uint16_t i = 0; i < 20; i++) {
            chance = chance * 1664525 + 1013904223;
            if (round % 7 && chance >> 31) ports[n++] = (uint16_t)(9001 + i);
        }
        for (unsigned i = 0; i < 8; i++) world.connects[i] = (chance >> i & 3) == 3 ? (chance >> (i + 8) & 1 ? SLOWLY : REFUSED) : AT_ONCE;
        resolves(0, ports, n);
        struct sock *c = asks(GET());
        step((int64_t)(chance >> 24) * MS / 4);
        for (struct sock *s; (s = upstream_or_none());) {
            chance = chance * 1664525 + 1013904223;
            if (s->opened && !s->closed && chance >> 30) upstream_sends(s, chance >> 29 & 1 ? OK_204 : chance >> 28 & 1 ? BAD_503 : "HTTP/1.1 2");
        }
        if (chance >> 27 & 1) client_resets(c);
        assert_true(healthy() <= n);
    }
    resolves(0, NULL, 0);
    step(20 * SECONDS); /* the requests' own deadline */
    assert_int_equal(healthy(), 0);
    assert_int_equal(ended(ENDING_DEADLINE) + ended(ENDING_COMPLETED) + ended(ENDING_CLIENT_RESET) + ended(ENDING_CONNECT_FAILURE) +
                     ended(ENDING_CONNECT_TIMEOUT) + ended(ENDING_UPSTREAM_CLOSED), 300);
    while (next_line()) { }
}

/* ---- another worker's word ---------------------------------------------------------------------------------------------------------------- */
static void judged(bool out) {
    const struct address *conf = &upstream_conf_of(checked())->endpoints[0];
    struct verdict v = { .conf = conf, .out = out };
    const struct sockaddr_in in = { .sin_family = AF_INET, .sin_port = htons(9001), .sin_addr = { htonl(INADDR_LOOPBACK) } };
    memcpy(&v.sa, &in, sizeof in);
    upstream_judge(checked(), &v);
    settle();
}
static void the_word_of_the_worker_that_checks_counts_here(void **state) {
    (void)state;
    stage_many("app.test:9001", "");
    health_stop(&world.w); /* this worker does not check it */
    RESOLVES(9001);
    judged(true);
    assert_refused();
    judged(true); /* said twice is said once */
    judged(false);
    assert_served_by(9001);
}
static void its_word_counts_for_a_name_that_is_yet_to_be_resolved_here(void **state) {
    (void)state;
    stage_many("app.test:9001", "");
    health_stop(&world.w);
    judged(true);
    RESOLVES(9001, 9002);
    assert_served_by(9002);
    RESOLVES(9002);
    RESOLVES(9001);
    assert_refused();
    judged(false);
    assert_served_by(9001);
}

/* ---- the other types ------------------------------------------------------------------------------------------------------------------------ */
/* ---- reloads ----------------------------------------------------------------------------------------------------------------------------------- */
static void reloads_one(const char *more, const char *policy) {
    char keys[512];
    snprintf(keys, sizeof keys, HEALTH "%s%s", more[0] ? ", " : "", more);
    reloads((struct given){ .upstream = keys, .policy = policy });
}
static void a_reload_that_leaves_the_upstream_as_it_is_leaves_its_checks_and_what_they_found(void **state) {
    (void)state;
    stage_one("");
    checks(2, OK_204);
    checks(3, BAD_503);
    assert_refused();
    struct sock *under_way = check();
    reloads_one("", "deadline: { default: 5s }");
    assert_refused();
    answers(under_way, OK_204);
    reloads_one("", "deadline: { default: 6s }");
    assert_refused();
    checks(1, OK_204); /* the second in a row, though the configuration is another */
    assert_served_by(9001);
    assert_int_equal(healthy(), 1);
}
static void checks_end_with_their_upstream_and_begin_with_the_next(void **state) {
    (void)state;
    stage_one("");
    struct sock *under_way = check();
    reloads_one("max_requests: 4095", "");
    assert_true(under_way->closed);
    answers(check(), OK_204); /* the new one's first */
    reloads((struct given){ 0 });
    no_check_for(10 * SECONDS);
    assert_served_by(9001);
}
static void tcp_asks_for_nothing_but_a_connection(void **state) {
    (void)state;
    stage((struct given){ .upstream = "health: { type: tcp, interval: 1s, timeout: 200ms }" });
    struct sock *u = upstream();
    step(0);
    assert_closed(u);
    assert_int_equal(u->ngot, 0);
    assert_int_equal(count(METRIC_HEALTH_CHECKS), 1);
    world.connects[0] = REFUSED;
    for (unsigned i = 0; i < 3; i++) fail_by_refusing();
    assert_refused();
    world.connects[0] = AT_ONCE;
    for (unsigned i = 0; i < 2; i++) fail_by_refusing();
    assert_served_by(9001);
}
static void http_speaks_the_upstreams_own_protocol(void **state) {
    (void)state;
    stage((struct given){ .upstream = "protocol: http2, health: { path: /health, interval: 1s, timeout: 200ms }" });
    struct h2 *u = h2_upstream();
    int32_t id = h2_next(u);
    const char *head = h2_stream(u, id)->head;
    assert_has(head, ":method: GET\n");
    assert_has(head, ":authority: 127.0.0.1:9001\n");
    assert_has(head, ":path: /health\n");
    h2_answers(u, id, "503", NULL, NO_BODY, false);
    h2_settle(u, NULL);
    step(0);
    assert_true(u->goaway && u->s->closed);
    assert_refused();
    h2_free(u);
}
static void grpc_asks_with_a_deadline_and_believes_trailers_alone_that_it_is_not_there(void **state) {
    (void)state;
    stage((struct given){ .upstream = "protocol: http2, health: { type: grpc, interval: 1s, timeout: 200ms }" });
    struct h2 *u = h2_upstream();
    int32_t id = h2_next(u);
    const struct h2_stream *x = h2_stream(u, id);
    assert_has(x->head, ":method: POST\n");
    assert_has(x->head, ":path: /grpc.health.v1.Health/Check\n");
    assert_has(x->head, "content-type: application/grpc\n");
    assert_has(x->head, "te: trailers\n");
    assert_has(x->head, "grpc-timeout: ");
    assert_true(x->ended);
    assert_int_equal(x->received, 5);
    assert_memory_equal(x->body, "\0\0\0\0\0", 5);
    h2_answers(u, id, "200", "content-type: application/grpc\ngrpc-status: 12", NO_BODY, false);
    h2_settle(u, NULL);
    step(0);
    assert_refused();
    h2_free(u);
}
static void an_upstream_without_health_is_asked_by_requests_alone(void **state) {
    (void)state;
    stage((struct given){ 0 });
    no_check_for(60 * SECONDS);
    assert_int_equal(world.w.wheel.armed, 0);
    assert_served_by(9001);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        SCENE(the_first_check_comes_at_once_and_asks_as_the_upstream_is_asked),
        SCENE(checks_count_as_nobodys_requests),
        SCENE(checks_come_every_interval_a_tenth_more_or_less),
        SCENE(endpoints_are_not_asked_in_step),
        SCENE(a_check_that_takes_its_whole_time_is_not_overtaken_by_the_next),
        SCENE(another_status_than_2xx),
        SCENE(no_answer_within_the_timeout),
        SCENE(an_answer_that_never_ends),
        SCENE(an_answer_that_is_too_long),
        SCENE(a_connection_that_closes_without_an_answer),
        SCENE(a_body_that_is_cut),
        SCENE(what_is_no_http),
        SCENE(a_connection_that_is_refused),
        SCENE(an_endpoint_that_cannot_be_reached),
        SCENE(a_connection_that_is_not_accepted_in_time),
        SCENE(an_interim_answer_is_none),
        SCENE(what_we_lack_ourselves_says_nothing_of_an_endpoint),
        SCENE(it_is_out_after_failures_in_a_row_and_back_after_successes_in_a_row),
        SCENE(the_first_check_decides_alone_and_so_does_the_first_that_is_passed),
        SCENE(requests_go_to_the_endpoints_that_are_healthy),
        SCENE(one_that_refused_a_connection_is_better_than_one_that_is_out),
        SCENE(who_waits_is_told_when_the_last_endpoint_goes_out),
        SCENE(connections_to_one_that_is_out_close_and_new_ones_are_made_when_it_is_back),
        SCENE(who_waits_for_a_connection_to_one_that_goes_out_is_given_another),
        SCENE(a_full_pool_is_nothing_to_a_check),
        SCENE(what_hangs_at_one_that_is_out_keeps_nobody_from_the_others),
        SCENE(a_cancels_call_goes_to_one_that_is_out_where_no_other_is_left),
        SCENE(a_stream_that_hangs_at_one_that_is_out_keeps_nobody_from_the_others),
        SCENE(a_connection_that_never_opens_to_one_that_is_out_keeps_nobody_from_the_others),
        SCENE(a_check_under_way_keeps_no_drain_from_its_end),
        SCENE(a_connection_for_a_check_keeps_no_drain_from_its_end),
        SCENE(who_is_out_stays_out_while_the_gateway_drains),
        SCENE(a_check_under_way_ends_with_the_worker),
        SCENE(an_endpoint_that_is_resolved_away_is_asked_no_more),
        SCENE(an_address_that_comes_back_begins_anew),
        SCENE(who_waits_is_told_when_the_healthy_endpoint_is_resolved_away),
        SCENE(who_waits_goes_to_the_addresses_that_come_as_the_others_go),
        SCENE(a_name_that_is_not_resolved_yet_is_waited_for_though_all_others_are_out),
        SCENE(a_name_may_change_at_every_moment_of_its_checks),
        SCENE(the_word_of_the_worker_that_checks_counts_here),
        SCENE(its_word_counts_for_a_name_that_is_yet_to_be_resolved_here),
        SCENE(a_reload_that_leaves_the_upstream_as_it_is_leaves_its_checks_and_what_they_found),
        SCENE(checks_end_with_their_upstream_and_begin_with_the_next), SCENE(tcp_asks_for_nothing_but_a_connection),
        SCENE(http_speaks_the_upstreams_own_protocol),
        SCENE(grpc_asks_with_a_deadline_and_believes_trailers_alone_that_it_is_not_there),
        SCENE(an_upstream_without_health_is_asked_by_requests_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
