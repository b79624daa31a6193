// SPDX-License-Identifier: Apache-2.0
// As random_test.c, with HTTP/2 on both sides: many streams of few connections, asked, answered, reset and lost in any order. FLOW_SEED=n repeats
// a round that failed, FLOW_ROUNDS=n plays more of them.
#include "tests/flow/h2.h"
#include "tests/flow/chance.h"
#include <signal.h>

#define PEERS 4
#define EVENTS 400

static struct h2 *clients[PEERS], *upstreams[PEERS * 8];
static size_t nupstreams;
static uint64_t reloads_seen;
static bool enforced; /* by all configurations of the round; else nothing but its client ends a request */
static uint64_t seen[ENDINGS], hedges, wins, again; /* again: after a status */
static uint64_t waited, drains;                     /* turns after which somebody waited for the beat */
static size_t nclients;                             /* of PEERS: few, where many requests are to share a connection */
static const size_t sizes[] = { 0, 1, 100, 20000, 100000, NO_BODY };
static const uint32_t codes[] = { NGHTTP2_CANCEL, NGHTTP2_CANCEL, NGHTTP2_NO_ERROR, NGHTTP2_INTERNAL_ERROR, NGHTTP2_REFUSED_STREAM };

/* What a client got on a stream is what was asked on it. */
static void check_client(struct h2 *h) {
    for (unsigned i = 0; i < h->n; i++) {
        const char *token = strstr(h->v[i].head, "x-token: ");
        if (token) assert_int_equal(strtol(token + 9, NULL, 10), h->v[i].id + 1000 * (long)(h->s->fd - FIRST_FD));
    }
}
static void drop(struct h2 **h) {
    if (*h) h2_free(*h);
    *h = NULL;
}
static bool is_gone(const struct h2 *h) { return h->s->closed || h->s->fin || h->s->reset_by_us; }
static bool is_full(const struct h2 *h) { return h->n > H2_STREAMS - 8; }
static void meet(void) {
    struct sock *s;
    while ((s = upstream_or_none())) {
        size_t i = 0;
        while (i < nupstreams && upstreams[i] && !upstreams[i]->s->closed) i++;
        if (i == PEERS * 8) fail_msg("too many connections");
        drop(&upstreams[i]);
        if (i == nupstreams) nupstreams++;
        const nghttp2_settings_entry few[] = { { NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, 1000 }, { NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, 3 } };
        upstreams[i] = h2_new(s, true, few, below(3));
    }
}
static void all_talk(void) {
    for (size_t i = 0; i < PEERS; i++) {
        if (clients[i]) h2_read(clients[i]), h2_write(clients[i]);
    }
    for (size_t i = 0; i < nupstreams; i++) {
        if (upstreams[i]) h2_read(upstreams[i]), h2_write(upstreams[i]);
    }
}
static void leaves(struct h2 *h) {
    if (is_gone(h)) return;
    if (chance(2)) queues_fin(h->s);
    else queues_rst(h->s);
}
static void client_event(struct h2 **h) {
    static const char *const times[] = { "", "", "x-request-timeout: 20ms\n", "x-request-timeout: 100ms\n", "x-request-timeout: 1ms\n" };
    if (*h && ((*h)->s->closed || is_full(*h))) {
        if (!(*h)->s->closed) queues_rst((*h)->s);
        check_client(*h);
        drop(h);
    }
    if (!*h) {
        if (world.w.draining) return;
        const nghttp2_settings_entry small = { NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, chance(2) ? 0 : 1000 };
        *h = h2_new(client(), false, &small, below(2));
        return;
    }
    if (is_gone(*h)) return;
    if (world.w.draining && (*h)->goaway) return; /* it would be refused, by nghttp2 here already */
    switch (below(8)) {
    case 0:
        if (chance(8)) leaves(*h);
        else if (chance(8)) nghttp2_session_set_local_window_size((*h)->ng, NGHTTP2_FLAG_NONE, 0, 1 << 20);
        else if (chance(8)) nghttp2_submit_ping((*h)->ng, NGHTTP2_FLAG_NONE, NULL);
        else if (chance(20)) nghttp2_submit_goaway((*h)->ng, NGHTTP2_FLAG_NONE, 0, NGHTTP2_NO_ERROR, NULL, 0);
        break;
    case 1: case 2: if ((*h)->n) h2_resets(*h, (*h)->v[below((*h)->n)].id, PICK(codes)); break;
    case 3: if ((*h)->n) h2_goes_on(*h, (*h)->v[below((*h)->n)].id, PICK(sizes) % 65536, chance(3)); break;
    default: {
        char lines[128];
        size_t body = PICK(sizes);
        int32_t id = nghttp2_session_get_next_stream_id((*h)->ng) > 0 ? (int32_t)nghttp2_session_get_next_stream_id((*h)->ng) : 1;
        snprintf(lines, sizeof lines, "x-asked: %ld\n%s", id + 1000 * (long)((*h)->s->fd - FIRST_FD), PICK(times));
        int32_t got_id = h2_asks(*h, body == NO_BODY ? "GET" : "POST", "/", lines, body, body != NO_BODY && chance(3));
        assert_int_equal(id, got_id);
    }
    }
}
static void upstream_event(struct h2 *h) {
    if (!h || is_gone(h) || !h->n) return;
    struct h2_stream *x = &h->v[below(h->n)];
    switch (below(8)) {
    case 0: if (chance(8)) leaves(h); break;
    case 1: h2_resets(h, x->id, PICK(codes)); break;
    case 2: h2_goes_on(h, x->id, PICK(sizes) % 65536, chance(3)); break;
    case 3: if (chance(20)) nghttp2_submit_goaway(h->ng, NGHTTP2_FLAG_NONE, x->id, 0, NULL, 0); break;
    default: {
        const char *asked = strstr(h->v[h->answered < h->n ? h->answered : 0].head, "x-asked: ");
        if (h->answered == h->n) break;
        if (!asked) { /* a check of health */
            h2_answers(h, h->v[h->answered++].id, chance(3) ? "503" : "200", NULL, PICK(sizes), chance(8));
            break;
        }
        char lines[64];
        size_t body = PICK(sizes);
        snprintf(lines, sizeof lines, "x-token: %ld\n", strtol(asked + 9, NULL, 10));
        h2_answers(h, h->v[h->answered++].id, chance(5) ? "413" : "200", lines, body, body != NO_BODY && chance(4));
    }
    }
}
static void note_mode(void) { enforced &= world.config->policies.v[0].deadline.mode == MODE_ENFORCE; }
/* Another configuration, whose upstream is the same, or is not. */
static void reload_by_chance(void) {
    static const char *const keys[] = { "protocol: http2", "protocol: http2, max_requests: 3", "protocol: http2, max_connections: 1" };
    queues_reload((struct given){ .upstream = PICK(keys), .policy = policy_of_attempts(), .shutdown = "2s", .beat = chance(2) ? "0s" : "100us",
                                  .address = chance(6) ? "127.0.0.1:8081, trust: all" : NULL });
    note_mode();
    reloads_seen++;
}
static void event(void) {
    static const int64_t spans[] = { 1 * MS, 10 * MS, 19 * MS, 100 * MS };
    size_t what = below(30);
    if (what == 0) at(world.now + (chance(10) ? 20 * SECONDS : PICK(spans)));
    else if (what == 1) world.now += PICK(spans);
    else if (what == 2) {
        struct h2 *h = chance(2) ? clients[below(PEERS)] : nupstreams ? upstreams[below(nupstreams)] : NULL;
        static const size_t rooms[] = { 0, 1, 40, 1000, 20000, UNBOUNDED, UNBOUNDED };
        if (h && !h->s->closed) h->s->room = PICK(rooms), h->s->segment = chance(3) ? 1 + below(100) : 0, does(h->s);
    } else if (what == 3 && chance(30)) reload_by_chance();
    else if (what == 3) world.now += (int64_t)below(150) * NS_PER_US;
    else if (what <= 16 || !nupstreams) client_event(&clients[below(nclients)]);
    else upstream_event(upstreams[below(nupstreams)]);
    if (chance(2)) all_talk();
    if (chance(3)) turn();
    else if (chance(2)) settle();
    waited += !list_is_empty(&world.w.beating);
    meet();
}
static void play(void) {
    static const char *const upstream_keys[] = { "", "reset_budget: { burst: 2, rate: 5/s }", "max_requests: 3", "max_connections: 1, max_pending: 3",
                                                 "health: { interval: 60ms, timeout: 40ms, unhealthy_after: 2, healthy_after: 1 }",
                                                 "max_connections: 1, health: { interval: 20ms, timeout: 10ms, unhealthy_after: 1, healthy_after: 1 }" };
    static const char *const policies[] = { "", "cancel: { http2: [ drain ] }", "cancel: { http2: [ none ] }", "cancel: { client_gone: ignore }",
                                            "cancel: { mode: disabled }", "cancel: { mode: observe }, deadline: { max_reject: { ratio: 5%, at_least: 1 } }",
                                            "deadline: { per_try: 30ms }, retry: { retries: 2, when: [ try_timeout, refused_stream, upstream_reset ] }",
                                            "retry: { retries: 3, when: [ 413, refused_stream, upstream_reset ], methods: [ GET, POST ], hedge: { after: 10ms, max: 2 }, buffer: 4KiB }" };
    static char keys[128];
    snprintf(keys, sizeof keys, "protocol: http2, %s", PICK(upstream_keys));
    static const char *const beats[] = { "0s", "100us", "100us", "1ms" };
    nclients = chance(2) ? 1 : PEERS;
    stage((struct given){ .upstream = keys, .beat = PICK(beats), .policy = chance(2) ? policy_of_attempts() : PICK(policies),
                          .listener = chance(2) ? "timeouts: { body: 1s, write: 1s, idle: 2s }" : "", .shutdown = "2s" });
    enforced = true;
    note_mode();
    for (int i = 0; i < EVENTS; i++) event();
    for (size_t i = 0; i < PEERS && !enforced; i++) {
        if (clients[i] && !is_gone(clients[i])) queues_rst(clients[i]->s);
    }
    if (chance(3)) {
        drains++;
        worker_post_kind(&world.w, MESSAGE_DRAIN);
        for (int i = 0; i < EVENTS / 8; i++) event();
    }
    settle();
    health_stop(&world.w); /* else a day has a million checks */
    step(24 * HOUR);
    assert_nothing_left();
    assert_int_equal(world.w.nconns, 0);
    for (unsigned e = 0; e < ENDINGS; e++) seen[e] += ended((enum ending)e);
    hedges += count(METRIC_HEDGES), wins += count(METRIC_HEDGES_WON), again += atomic_load(&world.w.metrics.retries[ENDING_NONE]);
    for (size_t i = 0; i < PEERS; i++) {
        if (clients[i]) h2_read(clients[i]), check_client(clients[i]);
        drop(&clients[i]);
    }
    for (size_t i = 0; i < nupstreams; i++) drop(&upstreams[i]);
    nupstreams = 0;
    unstage();
}
static void streams_in_any_order_leave_nothing_and_mix_nothing_up(void **state) {
    (void)state;
    const char *from = getenv("FLOW_SEED"), *more = getenv("FLOW_ROUNDS");
    uint64_t first = from ? strtoull(from, NULL, 0) : 20261122;
    uint64_t rounds = more ? strtoull(more, NULL, 0) : from ? 1 : 60;
    for (uint64_t r = 0; r < rounds; r++) {
        seed = playing = first + r;
        if (from || more) fprintf(stderr, "seed %llu\n", (unsigned long long)seed);
        play();
    }
    for (unsigned e = 1; e < ENDINGS; e++) {
        if (seen[e]) fprintf(stderr, "%8llu %s\n", (unsigned long long)seen[e], ending_name((enum ending)e));
    }
    fprintf(stderr, "%8llu hedges, %llu of them won, %llu retries after a status; %llu turns that left somebody to wait for the beat\n",
            (unsigned long long)hedges, (unsigned long long)wins, (unsigned long long)again, (unsigned long long)waited);
    if (from) return;
    assert_true(hedges > 0 && wins > 0 && wins < hedges && again > 0 && waited > 100 && drains > 0 && reloads_seen > 0);
    static const enum ending expected[] = { ENDING_COMPLETED, ENDING_CLIENT_RESET, ENDING_DEADLINE, ENDING_UPSTREAM_RESET, ENDING_UPSTREAM_CLOSED, ENDING_SHED_EXPIRED };
    for (size_t i = 0; i < sizeof expected / sizeof *expected; i++) assert_true(seen[expected[i]] > 0); /* it does play them */
}
static int say_seed(void **state) {
    (void)state;
    fprintf(stderr, "the last round was FLOW_SEED=%llu\n", (unsigned long long)playing);
    return 0;
}
static void on_abort(int sig) { (void)sig, say_seed(NULL); }
int main(void) {
    signal(SIGABRT, on_abort);
    const struct CMUnitTest tests[] = { cmocka_unit_test_teardown(streams_in_any_order_leave_nothing_and_mix_nothing_up, say_seed) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
