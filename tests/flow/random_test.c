// SPDX-License-Identifier: Apache-2.0
// Clients and upstreams that do anything at any time: bytes in pieces, FIN, RST, sockets that fill up, connections that are refused, time that
// passes, operators and SIGTERM. After every turn the invariants of stage.h hold; no client ever gets an answer that was another's; and when
// it is over nothing is left. FLOW_SEED=n repeats a round that failed, FLOW_ROUNDS=n plays more of them.
#include "tests/flow/stage.h"
#include "tests/flow/chance.h"
#include <signal.h>

#define ACTORS_MAX 24
#define EVENTS 1500
#define HELD_MAX (BODY_WINDOW + SCRATCH_BYTES + 2 * OUT_LIMIT + CONN_KEPT_MAX + SCRATCH_BYTES)

/* ---- actors --------------------------------------------------------------------------------------------------------------------------- */
struct actor { /* a client or an upstream: what it still wants to say, and for upstreams how far it has read */
    struct sock *s;
    char *say;
    size_t at, n;
    size_t read;                  /* upstream: of what it got */
    unsigned tokens[64], ntokens; /* client: of its requests, in order */
};
static struct actor clients[ACTORS_MAX], upstreams[ACTORS_MAX * 4];
static size_t nclients, nupstreams;
static uint64_t reloads_seen;
static bool enforced; /* by all configurations of the round; else nothing but its client ends a request */
static unsigned next_token;
static uint64_t seen[ENDINGS], hedges, wins, again, checks, ill; /* again: after a status; ill: checks that failed */

static void actor_free(struct actor *a) { free(a->say); }
static void wants_to_say(struct actor *a, const char *text, size_t body) {
    size_t n = strlen(text), left = a->n - a->at;
    char *p = mem_alloc(left + n + body + 1);
    if (left) memcpy(p, a->say + a->at, left);
    memcpy(p + left, text, n);
    memset(p + left + n, 'x', body);
    free(a->say);
    a->say = p;
    a->at = 0;
    a->n = left + n + body;
}
static bool can_say(const struct actor *a) { return a->at < a->n && !a->s->closed && !a->s->fin && !a->s->reset_by_us && a->s->opened; }
static void says_some(struct actor *a) {
    if (!can_say(a)) return;
    size_t left = a->n - a->at, n = !chance(4) ? left : 1 + below(chance(4) ? 5 : left);
    if (n > left) n = left;
    queue_bytes(a->s, a->say + a->at, n);
    a->at += n;
}

/* ---- clients --------------------------------------------------------------------------------------------------------------------------- */
static void wants_to_ask(struct actor *a) {
    static const char *const methods[] = { "GET", "GET", "GET", "POST", "PUT", "HEAD" };
    static const char *const fields[] = { "", "connection: close\r\n", "expect: 100-continue\r\n", "accept: text/event-stream\r\n", "connect-timeout-ms: x\r\n" };
    static const char *const times[] = { "20ms", "100ms", "1ms", "500ms", "2s", "0" };
    static const size_t sizes[] = { 0, 1, 3, 100, 5000, 70000, 400000 };
    if (a->ntokens == 64) return;
    const char *method = PICK(methods), *version = chance(8) ? "1.0" : "1.1";
    size_t body = method[0] == 'P' ? PICK(sizes) : 0;
    char text[512], length[64] = "", deadline[64] = "";
    bool chunked = method[0] == 'P' && body && version[2] == '1' && chance(2);
    if (chunked) snprintf(length, sizeof length, "transfer-encoding: chunked\r\n");
    else if (method[0] == 'P') snprintf(length, sizeof length, "content-length: %zu\r\n", body);
    if (chance(2)) snprintf(deadline, sizeof deadline, "x-request-timeout: %s\r\n", PICK(times));
    a->tokens[a->ntokens++] = ++next_token;
    int n = snprintf(text, sizeof text, "%s /t%u HTTP/%s\r\nhost: a\r\n%s%s%s%s\r\n", method, next_token, version,
                     chance(5) ? "" : "user-agent: t\r\n", chance(3) ? PICK(fields) : "", deadline, length);
    if (chunked) snprintf(text + n, sizeof text - (size_t)n, "%zx\r\n", body);
    wants_to_say(a, text, body);
    if (chunked) wants_to_say(a, "\r\n0\r\n\r\n", 0);
}
/* Every answer of an upstream has the token of its request: those that a client got are its own, in the order in which it asked. */
static void assert_its_own_answers(const struct actor *a) {
    unsigned i = 0;
    for (const char *p = a->s->got; p && (p = strstr(p, "\r\nx-token: ")); p++) {
        unsigned token = (unsigned)strtoul(p + 11, NULL, 10);
        while (i < a->ntokens && a->tokens[i] != token) i++;
        if (i == a->ntokens) fail_msg("a client got the answer %u, which is not its own, or came twice", token);
        i++;
    }
}

/* ---- upstreams --------------------------------------------------------------------------------------------------------------------------- */
static void wants_to_answer(struct actor *a, unsigned token) {
    static const size_t sizes[] = { 0, 1, 10, 3000, 100000, 700000 };
    size_t body = PICK(sizes);
    char text[512];
    if (chance(6)) {
        snprintf(text, sizeof text, "HTTP/1.1 103 Early Hints\r\nx-early: %u\r\n\r\n", token);
        wants_to_say(a, text, 0);
    }
    switch (below(7)) {
    case 0: case 1: case 2:
        snprintf(text, sizeof text, "HTTP/1.1 %d X\r\nx-token: %u\r\ncontent-length: %zu\r\n%s%s\r\n", chance(4) ? 413 : 200, token, body,
                 chance(6) ? "connection: close\r\n" : "", chance(6) ? "retry-after: 1\r\n" : "");
        wants_to_say(a, text, body);
        break;
    case 3: case 4:
        snprintf(text, sizeof text, "HTTP/1.1 200 OK\r\nx-token: %u\r\ntransfer-encoding: chunked\r\n\r\n%zx\r\n", token, body + 1);
        wants_to_say(a, text, body + 1);
        wants_to_say(a, "\r\n0\r\n\r\n", 0);
        break;
    case 5: /* only its close will end it */
        snprintf(text, sizeof text, "HTTP/1.1 200 OK\r\nx-token: %u\r\n\r\n", token);
        wants_to_say(a, text, body);
        break;
    default:
        if (chance(4)) wants_to_say(a, "nonsense\r\n\r\n", 0);
        else if (chance(2)) wants_to_say(a, "HTTP/1.1 204 No Content\r\n\r\n", 0);
    }
}
/* Looks for heads in what came; bodies are all x, so that what looks like a head is one. */
static void reads(struct actor *a) {
    const char *p = a->s->got ? a->s->got + a->read : NULL;
    if (!p) return;
    const char *path = strstr(p, " /t"), *end = path ? strstr(path, "\r\n\r\n") : NULL;
    if (!end) return;
    a->read = (size_t)(end - a->s->got) + 4;
    wants_to_answer(a, (unsigned)strtoul(path + 3, NULL, 10));
}

/* ---- a round ------------------------------------------------------------------------------------------------------------------------------- */
static struct given given_by_chance(void) { /* good until the next call */
    static const char *const policies[] = {
        "", "", "cancel: { http1: [ drain ], drain_limit: { time: 1s, bytes: 10KiB } }", "cancel: { http1: [ none ] }",
        "cancel: { half_close: tolerate }",
        "cancel: { client_gone: ignore }", "cancel: { client_gone: drain }",
        "deadline: { per_try: 50ms }, retry: { retries: 3, when: [ try_timeout, upstream_closed, connect_failure ] }",
        "cancel: { mode: disabled }", "cancel: { mode: observe, http1: [ call, close ], call: { path: /x } }, deadline: { mode: observe }",
        "cancel: { mode: forward, http1: [ call, close ], call: { path: /x } }, deadline: { needs: p50, max_reject: { ratio: 5%, at_least: 1 } }",
        "deadline: { default: 200ms, idle: 300ms, streaming: { idle: 400ms } }", "deadline: { mode: observe }", "deadline: { mode: forward }",
        "retry: { retries: 3, when: [ 413, 503, upstream_closed, connect_failure ], methods: [ GET, POST, PUT ], backoff: { base: 20ms } }, deadline: { default: 2s }",
        "retry: { retries: 2, when: [ 413, upstream_closed, try_timeout, connect_failure ], methods: [ GET, POST, PUT ], hedge: { after: 20ms, max: 3 } }, deadline: { per_try: 100ms, default: 1s }",
        "retry: { hedge: { after: 5ms, max: 2 }, methods: [ GET, POST, PUT ], buffer: 2KiB, budget: { ratio: 10%, floor: 2 } }, cancel: { http1: [ drain ], drain_limit: { time: 1s, bytes: 10KiB } }",
        "retry: { hedge: { after: 5ms, max: 2 }, methods: [ GET, POST, PUT ], when: [ 413 ], retries: 0 }, cancel: { client_gone: ignore }",
        "retry: { retries: 2, buffer: 1KiB, when: [ upstream_closed, connect_failure, connect_timeout ] }, cancel: { http1: [ drain ] }",
    };
    static const char *const upstream_keys[] = {
        "", "max_connections: 1", "max_connections: 2, max_pending: 2", "max_requests: 1, max_connections: 8",
        "connect_timeout: 100ms, write_timeout: 1s",
        "max_pending: 0", "idle_timeout: 100ms",
        "health: { path: /t0, interval: 60ms, timeout: 40ms, unhealthy_after: 2, healthy_after: 1 }",
        "max_connections: 1, health: { path: /t0, interval: 20ms, timeout: 10ms, unhealthy_after: 1, healthy_after: 1 }",
    };
    static const char *const listeners[] = { "", "timeouts: { header: 300ms, body: 300ms, idle: 1s, write: 500ms, linger: 100ms }",
                                             "http1: { max_head: 1KiB }", "max_connections: 3" };
    static char keys[512];
    snprintf(keys, sizeof keys, "%s }\n  pair: { endpoints: [ 127.0.0.1:9001, 127.0.0.1:9002 ], %s", "", PICK(upstream_keys));
    return (struct given){ .policy = chance(2) ? policy_of_attempts() : PICK(policies), .upstream = keys, .listener = PICK(listeners), .shutdown = "2s",
                           .beat = chance(2) ? "100us" : "0s",
                           .routes = "  - { match: { path: /* }, upstream: pair }" };
}
static void note_mode(void) { enforced &= world.config->policies.v[0].deadline.mode == MODE_ENFORCE; }
/* Another configuration altogether, or one that differs in little. */
static void reload_by_chance(void) {
    struct given g = given_by_chance();
    if (chance(2)) g.upstream = "max_connections: 8 }\n  pair: { endpoints: [ 127.0.0.1:9001, 127.0.0.1:9002 ]";
    if (chance(4)) g.address = "127.0.0.1:8081, trust: all";
    queues_reload(g);
    note_mode();
    reloads_seen++;
}
static void open_stage(void) {
    stage(given_by_chance());
    enforced = true;
    note_mode();
    nclients = nupstreams = 0;
    next_token = 0;
}
static void meet_upstreams(void) {
    struct sock *s;
    while ((s = upstream_or_none())) {
        size_t i = 0;
        while (i < nupstreams && !upstreams[i].s->closed) i++;
        if (i == ACTORS_MAX * 4) return;
        if (i == nupstreams) nupstreams++;
        else actor_free(&upstreams[i]);
        upstreams[i] = (struct actor){ .s = s };
    }
}
static void come(void) {
    size_t i = 0;
    while (i < nclients && !clients[i].s->closed) i++;
    if (i == ACTORS_MAX) return;
    if (i == nclients) nclients++;
    else assert_its_own_answers(&clients[i]), actor_free(&clients[i]);
    clients[i] = (struct actor){ .s = client() };
}
static void change_room(struct sock *s) {
    static const size_t rooms[] = { 0, 1, 50, 5000, 100000, UNBOUNDED, UNBOUNDED, UNBOUNDED, UNBOUNDED, UNBOUNDED };
    s->room = PICK(rooms);
    if (s->room && !s->closed) does(s);
}
static void leaves(struct sock *s, bool politely) {
    if (s->reset_by_us || !s->opened) return;
    if (!politely) queues_rst(s);
    else if (!s->fin) queues_fin(s);
}
static void client_event(struct actor *a) {
    switch (below(14)) {
    case 0: case 1: case 2: wants_to_ask(a); says_some(a); break;
    case 3: if (chance(6)) leaves(a->s, chance(2)); break;
    case 4: change_room(a->s); break;
    case 5:
        if (chance(12)) wants_to_say(a, "what is this\r\n\r\n", 0);
        break;
    default: says_some(a);
    }
}
static void upstream_event(struct actor *a) {
    struct sock *s = a->s;
    if (s->waits && !s->closed) {
        if (chance(3)) return;
        s->waits = false;
        if (chance(3)) s->error = ECONNREFUSED;
        else s->opened = true;
        does(s);
        return;
    }
    switch (below(12)) {
    case 0: if (chance(3)) leaves(s, chance(2)); break;
    case 1: change_room(s); break;
    case 2: case 3: case 4: if (!can_say(a)) reads(a); break;
    default: says_some(a);
    }
}
static void operator_ends_one(void) {
    size_t n = world.w.nexchanges;
    if (!n) return;
    n = below(n);
    LIST_EACH(&world.w.exchanges, x, struct exchange, node) {
        if (n--) continue;
        struct message *m = mem_zalloc(sizeof *m);
        *m = (struct message){ .kind = MESSAGE_END_CONTEXT, .why = ENDING_OPERATOR_CANCELLED, .id = context_id_of(&x->context) };
        worker_post(&world.w, m);
        return;
    }
}
static void event(void) {
    static const int64_t spans[] = { 0, 0, 1 * MS, 1 * MS, 1 * MS, 5 * MS, 10 * MS, 10 * MS, 49 * MS, 51 * MS, 100 * MS, 500 * MS };
    static const enum connects outcomes[] = { AT_ONCE, AT_ONCE, AT_ONCE, SLOWLY, REFUSED, UNREACHABLE };
    size_t what = below(40);
    if (what == 0) world.connects[below(2)] = PICK(outcomes);
    else if (what == 1 && chance(10)) operator_ends_one();
    else if (what == 1 && chance(8)) reload_by_chance();
    else if (what == 2 && chance(20)) step(chance(3) ? 40 * SECONDS : 3 * SECONDS);
    else if (what <= 4) at(world.now + PICK(spans));
    else if (what <= 6) world.now += PICK(spans) / 8; /* and no turn: what comes next finds timers that are due */
    else if (what <= 10 || !nclients) come();
    else if (what <= 25 || !nupstreams) client_event(&clients[below(nclients)]);
    else upstream_event(&upstreams[below(nupstreams)]);
    if (chance(3)) turn();
    else if (chance(2)) settle();
    meet_upstreams();
}
static size_t held(void) {
    size_t n = world.w.chunks.out * CHUNK_BYTES;
    LIST_EACH(&world.w.conns, c, struct conn, all) { n += buffer_size(&c->backlog) + buffer_size(&c->in); }
    return n;
}
static void finish_round(void) {
    if (chance(3)) worker_post_kind(&world.w, MESSAGE_DRAIN);
    if (chance(2) || !enforced) {
        for (size_t i = 0; i < nclients; i++) leaves(clients[i].s, enforced && chance(2));
    }
    settle();
    checks += count(METRIC_HEALTH_CHECKS), ill += count(METRIC_HEALTH_FAILURES);
    health_stop(&world.w); /* else a day has a million of them */
    step(24 * HOUR); /* whatever they leave open, some limit ends it */
    assert_nothing_left();
    for (size_t i = 0; i < nclients; i++) assert_its_own_answers(&clients[i]), actor_free(&clients[i]);
    for (size_t i = 0; i < nupstreams; i++) actor_free(&upstreams[i]);
    nclients = nupstreams = 0;
    for (unsigned e = 0; e < ENDINGS; e++) seen[e] += ended((enum ending)e);
    hedges += count(METRIC_HEDGES), wins += count(METRIC_HEDGES_WON), again += atomic_load(&world.w.metrics.retries[ENDING_NONE]);
    assert_int_equal(world.w.nconns, 0);
    unstage();
}
static void anything_at_any_time_leaves_nothing_and_mixes_nothing_up(void **state) {
    (void)state;
    const char *from = getenv("FLOW_SEED"), *more = getenv("FLOW_ROUNDS");
    uint64_t first = from ? strtoull(from, NULL, 0) : 20261122;
    uint64_t rounds = more ? strtoull(more, NULL, 0) : from ? 1 : 60;
    for (uint64_t r = 0; r < rounds; r++) {
        seed = first + r;
        if (from || more) fprintf(stderr, "seed %llu\n", (unsigned long long)seed);
        playing = seed;
        open_stage();
        for (int i = 0; i < EVENTS; i++) {
            event();
            assert_true(held() <= (world.w.nconns + 1) * HELD_MAX);
        }
        finish_round();
    }
    for (unsigned e = 1; e < ENDINGS; e++) {
        if (seen[e]) fprintf(stderr, "%8llu %s\n", (unsigned long long)seen[e], ending_name((enum ending)e));
    }
    fprintf(stderr, "%8llu hedges, %llu of them won, %llu retries after a status\n", (unsigned long long)hedges, (unsigned long long)wins, (unsigned long long)again);
    if (from) return;
    assert_true(checks > 100 && ill > 100 && ill < checks);
    assert_true(hedges > 0 && wins > 0 && wins < hedges && again > 0 && reloads_seen > 0);
    static const enum ending expected[] = { ENDING_COMPLETED, ENDING_CLIENT_RESET, ENDING_CLIENT_CLOSED, ENDING_DEADLINE, ENDING_UPSTREAM_CLOSED,
                                            ENDING_CONNECT_FAILURE, ENDING_SHED_EXPIRED, ENDING_SHED_LOAD, ENDING_CLIENT_CONTEXT, ENDING_UPSTREAM_ERROR,
                                            ENDING_OPERATOR_CANCELLED, ENDING_CLIENT_ERROR };
    for (size_t i = 0; i < sizeof expected / sizeof *expected; i++) assert_true(seen[expected[i]] > 0); /* it does play them */
}

static int say_seed(void **state) { /* printed where it failed, too */
    (void)state;
    fprintf(stderr, "the last round was FLOW_SEED=%llu\n", (unsigned long long)playing);
    return 0;
}
static void on_abort(int sig) {
    (void)sig;
    say_seed(NULL);
}
int main(void) {
    signal(SIGABRT, on_abort);
    const struct CMUnitTest tests[] = { cmocka_unit_test_teardown(anything_at_any_time_leaves_nothing_and_mixes_nothing_up, say_seed) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
