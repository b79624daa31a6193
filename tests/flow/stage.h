// SPDX-License-Identifier: Apache-2.0
// The stage of the flow tests: one worker of the real program between clients and upstreams that the test plays, over sockets in memory and a
// clock that only the test moves. No port, no sleep, no thread. A test reads as a conversation:
//
//   stage((struct given){ .policy = "deadline: { default: 1s }" });
//   struct sock *c = client();
//   client_sends(c, GET());
//   struct sock *u = upstream();
//   upstream_got(u, "GET / HTTP/1.1\r\n");
//   at(1000 * MS);
//   assert_answer(c, 504);
//   assert_ended("deadline");
//
// and when it is over, `leave` (every test's teardown) lets an hour pass and asserts that nothing is left of it. The sockets behave as Linux's
// do where it matters: edges are told once with all that is true, what came before an RST can still be read, an error is reported once.
#ifndef CURFEW_TESTS_FLOW_STAGE_H
#define CURFEW_TESTS_FLOW_STAGE_H
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* memfd_create */
#endif
// clang-format off
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
// clang-format on
#include "proxy/exchange.h"
#include "proxy/handover.h"
#include "proxy/health.h"
#include "proxy/listener.h"
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#define MS NS_PER_MS
#define SECONDS NS_PER_S
#define HOUR (3600 * NS_PER_S)
#define UNBOUNDED ((size_t)1 << 40)
#define FIRST_FD (1 << 20) /* no real descriptor is so high: one that reaches the system by mistake fails */
#define BEGIN (1000 * NS_PER_S)
#define WALL_BEGIN (INT64_C(1700000000) * NS_PER_S)

enum connects { AT_ONCE, SLOWLY, REFUSED, UNREACHABLE, EXHAUSTED }; /* the last two fail inside the call; EXHAUSTED: we have no descriptor */

struct sock { /* one connection, seen from its other end: the test's */
    int fd;
    uint16_t port;              /* upstream: whom the gateway called; client: 0 */
    bool opened;                /* TCP is established */
    bool waits;                 /* SLOWLY: until accepts() */
    struct conn *conn;          /* of the gateway; NULL: not watched */
    struct buffer in;           /* on its way to the gateway */
    bool fin;                   /* ours, behind `in` */
    bool reset_by_us;           /* our RST, behind `in` */
    int error;                  /* pending in the socket; taken once */
    unsigned reads;             /* recv calls */
    bool edge;                  /* something changed since the last turn */
    size_t room;                /* bytes that we still take */
    size_t segment;             /* how much one recv brings at most, as if the rest came just after it; 0: all */
    char *got;                  /* all that the gateway said */
    size_t ngot, capgot, seen;  /* seen: how far the test has looked */
    size_t unsent;              /* what TCP still holds for us */
    unsigned looks;             /* how often the gateway asked for that */
    bool half_closed;           /* the gateway's FIN by shut_write */
    bool closed, reset;         /* the gateway closed; with RST */
    unsigned said_turn, closed_turn; /* when it last said something, or closed */
    int64_t closed_at;          /* ns since the scenario began */
};
struct given { const char *app, *address, *listener, *upstream, *policy, *routes, *shutdown, *policies, *beat, *top; }; /* what stands at those places in the YAML */
static struct world {
    int64_t now;                /* ns since the scenario began */
    struct worker w;
    bool open;                  /* the worker lives */
    struct config *config; /* a reference, as the main thread has one: that which it has, or is about to; or would have, had it not been draining */
    struct sock **v;
    size_t n, cap, shown;       /* shown: upstream connections that the test has met */
    enum connects connects[8];  /* by endpoint: port 9001 is the first */
    unsigned turn, event_turn;  /* event_turn: that in which the last thing that the test did is served */
    int log;
    size_t log_at;
    char line[ACCESS_LINE_MAX + 1];
    uint64_t send_errors;
    int64_t work;               /* how long the clock goes on with each thing that the gateway says: a turn that takes time */
    bool no_idle_check;         /* leave() does not wait for idle connections */
} world;

/* ---- sockets ----------------------------------------------------------------------------------------------------------------- */
static inline struct sock *sock_of(int fd) {
    size_t i = (size_t)(fd - FIRST_FD);
    if (fd < FIRST_FD || i >= world.n || world.v[i]->closed) {
        fprintf(stderr, "a call on a descriptor that is not open: %d\n", fd);
        abort();
    }
    return world.v[i];
}
static inline struct sock *sock_new(void) {
    if (world.n == world.cap) {
        world.cap = world.cap ? 2 * world.cap : 64;
        world.v = mem_realloc(world.v, world.cap * sizeof *world.v);
    }
    struct sock *s = mem_zalloc(sizeof *s);
    s->fd = FIRST_FD + (int)world.n;
    s->room = UNBOUNDED;
    buffer_init(&s->in, UNBOUNDED);
    return world.v[world.n++] = s;
}
static inline instant os_now(void) { return (instant){ BEGIN + world.now }; }
static inline int64_t os_wall(void) { return WALL_BEGIN + world.now; }
static inline ssize_t os_recv(int fd, void *p, size_t n) {
    struct sock *s = sock_of(fd);
    s->reads++;
    if (!s->opened) return -EAGAIN;
    size_t have = buffer_size(&s->in);
    if (have) {
        if (n > have) n = have;
        if (s->segment && n > s->segment) n = s->segment;
        memcpy(p, buffer_data(&s->in), n);
        buffer_take(&s->in, n);
        return (ssize_t)n;
    }
    int error = s->error;
    s->error = 0;
    if (error) return -error;
    return s->fin || s->reset_by_us ? 0 : -EAGAIN;
}
static inline ssize_t os_send(int fd, const struct iovec *iov, unsigned niov) {
    struct sock *s = sock_of(fd);
    assert_true(niov > 0 && niov <= 1024);
    world.now += world.work;
    if (!s->opened) return -EAGAIN;
    if (s->half_closed) return -EPIPE;
    if (s->reset_by_us) {
        int error = s->error ? s->error : EPIPE;
        s->error = 0;
        world.send_errors++;
        return -error;
    }
    size_t took = 0;
    for (unsigned i = 0; i < niov && s->room; i++) {
        size_t n = iov[i].iov_len < s->room ? iov[i].iov_len : s->room;
        if (s->ngot + n > s->capgot) {
            s->capgot = 2 * (s->ngot + n) + 256;
            s->got = mem_realloc(s->got, s->capgot + 1);
        }
        memcpy(s->got + s->ngot, iov[i].iov_base, n);
        s->ngot += n;
        s->room -= s->room >= UNBOUNDED ? 0 : n;
        took += n;
    }
    if (took) s->got[s->ngot] = '\0', s->said_turn = world.turn;
    return took ? (ssize_t)took : -EAGAIN;
}
static inline int os_connect(const struct sockaddr *to, socklen_t len) {
    assert_true(len >= sizeof(struct sockaddr_in));
    uint16_t port = ntohs(((const struct sockaddr_in *)(const void *)to)->sin_port);
    enum connects how = world.connects[(port - 9001u) % 8];
    if (how == UNREACHABLE) return -ENETUNREACH;
    if (how == EXHAUSTED) return -EMFILE;
    struct sock *s = sock_new();
    s->port = port;
    s->waits = how == SLOWLY;
    s->opened = how == AT_ONCE;
    if (how == REFUSED) s->error = ECONNREFUSED;
    s->edge = how != SLOWLY;
    return s->fd;
}
static inline int os_so_error(int fd) {
    struct sock *s = sock_of(fd);
    int error = s->error;
    s->error = 0;
    return error;
}
static inline size_t os_unsent(int fd) {
    sock_of(fd)->looks++;
    return sock_of(fd)->unsent;
}
static inline void os_shut_write(int fd) {
    struct sock *s = sock_of(fd);
    s->half_closed = true;
    s->closed_turn = world.turn;
}
static inline void os_close(int fd, bool reset) {
    struct sock *s = sock_of(fd);
    assert_null(s->conn); /* unwatched before */
    s->closed = true;
    s->reset = reset || buffer_size(&s->in) > 0; /* unread input makes the kernel send RST */
    s->closed_turn = world.turn;
    s->closed_at = world.now;
}
static inline void os_watch(struct worker *w, struct conn *c) {
    (void)w;
    struct sock *s = sock_of(c->fd);
    assert_null(s->conn);
    s->conn = c;
    s->edge |= s->opened;
}
static inline void os_unwatch(struct worker *w, struct conn *c) {
    (void)w;
    struct sock *s = sock_of(c->fd);
    assert_ptr_equal(s->conn, c);
    s->conn = NULL;
}
static inline void os_wake_at(struct worker *w, instant at) { (void)w, (void)at; }
static const struct os os_stage = {
    .now = os_now, .wall_ns = os_wall, .recv = os_recv, .send = os_send, .connect = os_connect, .so_error = os_so_error,
    .unsent = os_unsent, .shut_write = os_shut_write, .close = os_close, .watch = os_watch, .unwatch = os_unwatch, .wake_at = os_wake_at,
};
/* An edge tells all that is true. libevent makes EPOLLERR readable and writable, and drops EPOLLRDHUP with it. */
static inline unsigned edge_of(const struct sock *s) {
    if (s->error) return OS_READ | OS_WRITE;
    if (!s->opened) return 0;
    return (buffer_size(&s->in) || s->fin || s->reset_by_us ? OS_READ : 0u) | (s->room || s->reset_by_us ? OS_WRITE : 0u) | (s->fin ? OS_CLOSED : 0u);
}

/* ---- turns and time ------------------------------------------------------------------------------------------------------------- */
/* Nobody is forgotten: who has something to read, or to write, is on a list of the next turn or waits for the beat or for an edge. */
static inline void validate_lists(const struct conn *c) {
    bool listed = list_is_linked(&c->ready) || list_is_linked(&c->waiting);
    if (c->state != CONN_OPEN && c->state != CONN_FLUSHING) return;
    if (c->readable && !c->paused) assert_true(listed);
    if (c->session.wants_output && c->writable) assert_true(listed);
}
/* Of an exchange that goes on and has no answer, something is under way, or about to be; of one that has, one attempt. And no more of them than the
 * policy says. */
static inline void validate_attempts(struct exchange *x) {
    const struct retry_policy *p = &x->policy->retry;
    bool ended = context_is_ended(&x->context), known = !x->attempt, asked = false;
    size_t in_play = 0;
    LIST_EACH(&x->attempts, a, struct attempt, node) {
        in_play += attempt_is_in_play(a);
        known |= x->attempt == a;
        asked |= attempt_is_in_play(a) && a->conn;
        assert_false(a->over && a->borrowed);
        assert_true(a->number >= 1 && a->number <= x->tries);
    }
    assert_true(known);
    if (ended) assert_true(!x->waiting && !timer_is_armed(&x->next));
    if (x->waiting) assert_true(in_play == 0 && timer_is_armed(&x->next));
    if (!ended && x->upstream && x->answered == ANSWERED_NOT) assert_true(in_play > 0 || x->waiting);
    if (x->answered != ANSWERED_NOT) assert_true(in_play <= 1 && !timer_is_armed(&x->next));
    if (in_play > 0) assert_true(x->attempt && attempt_is_in_play(x->attempt) && (!asked || x->attempt->conn));
    assert_true(x->retries <= p->retries && x->hedges <= (p->hedge ? p->hedge->max : 0));
    assert_true(x->tries <= 1 + x->retries + x->hedges);
}
/* What must hold between any two turns. */
static inline void validate(void) {
    struct worker *w = &world.w;
    size_t live = 0, conns = 0, legs = 0, waiting = 0;
    LIST_EACH(&w->exchanges, x, struct exchange, node) {
        live++;
        waiting += x->waiting;
        validate_attempts(x);
        if (context_is_ended(&x->context)) assert_true(list_is_empty(&x->context.hooks)); /* to all within the turn */
        LIST_EACH(&x->attempts, a, struct attempt, node) {
            if (context_is_ended(&x->context)) assert_true(context_is_ended(&a->context) && list_is_empty(&a->context.hooks) && !a->place.slot);
        }
    }
    LIST_EACH(&w->conns, c, struct conn, all) {
        conns++;
        assert_true(c->state != CONN_DEAD);
        validate_lists(c);
        unsigned n = 0;
        LIST_EACH(&c->session.legs, g, struct leg, node) {
            assert_ptr_equal(g->session, &c->session);
            n++;
        }
        assert_int_equal(n, c->session.live);
        if (c->ev == &exchange_up_events || c->ev == &exchange_down_events) legs += n; /* a check of health is nobody's */
    }
    assert_int_equal(live, w->nexchanges);
    assert_int_equal(metric_get(&w->metrics, METRIC_EXCHANGES_LIVE), live);
    assert_int_equal(metric_get(&w->metrics, METRIC_RETRIES_WAITING), waiting);
    assert_int_equal(conns, w->nconns);
    assert_true(list_is_empty(&w->finished) && list_is_empty(&w->touched) && list_is_empty(&w->reap) && list_is_empty(&w->borrowers));
    if (live == 0) assert_true(legs == 0 && w->chunks.out == 0);
    wheel_validate(&w->wheel);
}
static inline bool edges_wait(void) {
    for (size_t i = 0; i < world.n; i++) {
        if (world.v[i]->edge && world.v[i]->conn && !world.v[i]->closed) return true;
    }
    return false;
}
/* One turn of the loop; true where the next one has work already. */
static inline bool turn(void) {
    world.turn++;
    for (size_t i = 0; i < world.n; i++) {
        struct sock *s = world.v[i];
        if (!s->edge || !s->conn || s->closed) continue;
        s->edge = false;
        unsigned what = edge_of(s);
        if (what) conn_note(s->conn, what);
    }
    bool more = worker_turn(&world.w);
    validate();
    return more || edges_wait();
}
/* Turns until nothing moves. */
static inline void settle(void) {
    unsigned n = 0;
    while (turn()) assert_true(n++ < 10000);
}
/* Time goes on to `ns` since the scenario began, and the loop wakes for every timer and every beat on the way. */
static inline void at(int64_t ns) {
    unsigned n = 0;
    assert_true(ns >= world.now);
    settle();
    for (;;) {
        instant next = worker_due(&world.w);
        if (instant_is_never(next) || next.ns - BEGIN > ns) break;
        if (next.ns - BEGIN > world.now) world.now = next.ns - BEGIN;
        world.event_turn = world.turn + 1;
        settle();
        assert_true(n++ < 1000000);
    }
    world.now = ns;
    settle();
}
static inline void step(int64_t ns) { at(world.now + ns); }

/* ---- opening ---------------------------------------------------------------------------------------------------------------------- */
static inline const char *no_env(const char *name) { return (void)name, NULL; }
static inline struct config *config_of(struct given g) {
    char *yaml = NULL;
    size_t n = 0;
    FILE *f = open_memstream(&yaml, &n);
    fprintf(f, "workers: 1\nlisteners:\n  edge: { address: %s, beat: %s, %s }\n", g.address ? g.address : "127.0.0.1:8080, trust: all",
            g.beat ? g.beat : "0s", g.listener ? g.listener : "");
    const char *app = g.app ? g.app : "app";
    fprintf(f, "upstreams:\n  %s: { endpoints: 127.0.0.1:9001, %s }\n", app, g.upstream ? g.upstream : "");
    fprintf(f, "policies:\n  default: { %s }\n%s\n", g.policy ? g.policy : "", g.policies ? g.policies : "");
    if (g.routes) fprintf(f, "routes:\n%s\n", g.routes);
    else fprintf(f, "routes:\n  - { match: { path: /* }, upstream: %s }\n", app);
    fprintf(f, "shutdown: { drain: %s }\n%s\n", g.shutdown ? g.shutdown : "30s", g.top ? g.top : "");
    fclose(f);
    struct config *c = config_load("stage.yaml", yaml, n, no_env, stderr);
    assert_non_null(c);
    free(yaml);
    return c;
}
static inline struct handover *handover_of(struct config *c) { /* takes c */
    struct worker *w = &world.w;
    struct handover *h = handover_new(c, config_change_find(world.config, c), w->metrics.routes);
    config_unref(world.config);
    world.config = c;
    route_counters_unref(w->metrics.routes);
    w->metrics.routes = route_counters_ref(h->routes);
    return h;
}
/* SIGHUP: the worker finds another configuration in its mailbox, between two turns. */
static inline void queues_reload(struct given g) {
    struct message *m = mem_zalloc(sizeof *m);
    *m = (struct message){ .kind = MESSAGE_CONFIG, .arg = handover_of(config_of(g)) };
    worker_post(&world.w, m);
    world.event_turn = world.turn + 1;
}
static inline void reloads(struct given g) { queues_reload(g), settle(); }
static inline void stage(struct given g) {
    world = (struct world){ .log = memfd_create("access", 0) };
    struct config *c = config_of(g);
    struct worker *w = &world.w;
    log_level = LOG_ERROR;
    worker_init(w, &os_stage, 0, 1);
    w->log = access_log_new_fd(world.log);
    w->beat.bearable = SPAN_FOREVER; /* as long as is configured: the stage's time stands still while a turn lasts, so nobody judges how busy it is */
    snapshot_take(w, handover_of(c));
    world.open = true;
    settle();
}

/* ---- what the two ends do --------------------------------------------------------------------------------------------------------- */
static inline void does(struct sock *s) {
    s->edge = true;
    world.event_turn = world.turn + 1;
}
static inline struct sock *client(void) {
    struct sock *s = sock_new();
    struct sockaddr_in peer = { .sin_family = AF_INET, .sin_port = htons(40000), .sin_addr = { htonl(0xc0000201) } };
    struct sockaddr_storage ss = { 0 };
    memcpy(&ss, &peer, sizeof peer);
    s->opened = true;
    listener_take(world.w.snapshot->listeners[0], s->fd, &ss, sizeof peer);
    does(s);
    settle();
    return s;
}
/* The next connection that the gateway made; fails where there is none. */
static inline struct sock *upstream_or_none(void) {
    for (size_t i = world.shown; i < world.n; i++) {
        if (!world.v[i]->port) continue;
        world.shown = i + 1;
        return world.v[i];
    }
    return NULL;
}
static inline struct sock *upstream(void) {
    struct sock *s = upstream_or_none();
    if (!s) fail_msg("the gateway called nobody");
    return s;
}
static inline void assert_nobody_called(void) {
    for (size_t i = world.shown; i < world.n; i++) assert_int_equal(world.v[i]->port, 0);
}
/* Bytes, FIN and RST, without a turn: several of them then come as one edge. */
static inline void queue_bytes(struct sock *s, const void *p, size_t n) {
    if (s->closed) return; /* the kernel would answer with RST */
    assert_false(s->fin || s->reset_by_us);
    buffer_append(&s->in, p, n);
    does(s);
}
static inline void queues(struct sock *s, const char *text) { queue_bytes(s, text, strlen(text)); }
static inline void queues_fin(struct sock *s) {
    if (s->closed) return;
    s->fin = true;
    does(s);
}
static inline void queues_rst(struct sock *s) {
    if (s->closed) return;
    s->reset_by_us = true;
    s->error = s->opened ? ECONNRESET : ECONNREFUSED;
    does(s);
}
/* ... with all the turns that follow. */
static inline void sends(struct sock *s, const char *text) { queues(s, text), settle(); }
static inline void sends_n(struct sock *s, char byte, size_t n) {
    char *p = mem_alloc(n);
    memset(p, byte, n);
    queue_bytes(s, p, n);
    free(p);
    settle();
}
static inline void finishes(struct sock *s) { queues_fin(s), settle(); }
static inline void resets(struct sock *s) { queues_rst(s), settle(); }
#define client_sends sends
#define client_finishes finishes
#define client_resets resets
#define upstream_sends sends
#define upstream_finishes finishes
#define upstream_resets resets
/* SLOWLY: the upstream accepts now, or refuses. */
static inline void accepts(struct sock *u) {
    assert_true(u->waits);
    u->waits = false;
    u->opened = true;
    does(u);
    settle();
}
static inline void refuses(struct sock *u) {
    assert_true(u->waits);
    u->waits = false;
    u->error = ECONNREFUSED;
    does(u);
    settle();
}
/* How many bytes of what the gateway says are taken from now on. */
static inline void takes(struct sock *s, size_t n) {
    s->room = n;
    if (n && !s->closed) does(s);
    settle();
}

/* ---- what was said ------------------------------------------------------------------------------------------------------------------- */
#define GET(headers) "GET / HTTP/1.1\r\nhost: a\r\nuser-agent: t\r\n" headers "\r\n"
#define GET_PATH(path, headers) "GET " path " HTTP/1.1\r\nhost: a\r\nuser-agent: t\r\n" headers "\r\n"
#define POST(headers) "POST / HTTP/1.1\r\nhost: a\r\nuser-agent: t\r\n" headers "\r\n"
#define ANSWER(headers) "HTTP/1.1 200 OK\r\n" headers "\r\n"
#define ANSWER_OK ANSWER("content-length: 2\r\n") "ok"

static inline const char *unseen(const struct sock *s) { return s->got ? s->got + s->seen : ""; }
/* All that was said since the last look. */
static inline const char *got(struct sock *s) {
    const char *text = unseen(s);
    s->seen = s->ngot;
    return text;
}
static inline void assert_silent(const struct sock *s) {
    if (s->seen != s->ngot) fail_msg("something was said: %s", unseen(s));
}
static inline void assert_begins(struct sock *s, const char *text) {
    if (strncmp(unseen(s), text, strlen(text)) != 0) fail_msg("expected \"%s\", got \"%s\"", text, unseen(s));
}
/* Begins with, and is looked at whole; returns the text. */
static inline const char *upstream_got(struct sock *u, const char *text) {
    assert_begins(u, text);
    return got(u);
}
static inline void assert_has(const char *text, const char *part) {
    if (!strstr(text, part)) fail_msg("\"%s\" is not in \"%s\"", part, text);
}
static inline void assert_has_not(const char *text, const char *part) {
    if (strstr(text, part)) fail_msg("\"%s\" is in \"%s\"", part, text);
}
struct text { const char *p; size_t n; };
/* Where the chunked body at p ends; NULL: it does not. */
static inline const char *chunks_end(const char *p) {
    for (;;) {
        char *end;
        const char *line = strstr(p, "\r\n");
        if (!line) return NULL;
        size_t n = strtoul(p, &end, 16);
        if (end == p) return NULL;
        if (n == 0) return strstr(line, "\r\n\r\n") ? strstr(line, "\r\n\r\n") + 4 : NULL;
        if (strnlen(line + 2, n + 2) < n + 2) return NULL;
        p = line + 2 + n + 2;
    }
}
/* The end of the first answer that was not looked at; NULL: it is not complete. *cut: its head is there. */
static inline const char *answer_end(const struct sock *c, bool *head) {
    const char *p = unseen(c), *body = strstr(p, "\r\n\r\n");
    *head = body != NULL;
    if (!body) return NULL;
    body += 4;
    char fields[8192];
    size_t n = (size_t)(body - p);
    assert_true(n < sizeof fields);
    for (size_t i = 0; i < n; i++) fields[i] = (char)(p[i] >= 'A' && p[i] <= 'Z' ? p[i] | 0x20 : p[i]);
    fields[n] = '\0';
    long status = strtol(p + 9, NULL, 10);
    if (status < 200 || status == 204 || status == 304) return body;
    if (strstr(fields, "\r\ntransfer-encoding: chunked")) return chunks_end(body);
    const char *length = strstr(fields, "\r\ncontent-length: ");
    if (!length) return c->closed && !c->reset ? c->got + c->ngot : NULL;
    size_t k = strtoul(length + 18, NULL, 10);
    return body + k <= c->got + c->ngot ? body + k : NULL;
}
/* The next answer is complete, and this; returns its text, which is good until the next call. */
static inline const char *assert_answer(struct sock *c, int status) {
    static char *text;
    bool head;
    const char *from = unseen(c), *end = answer_end(c, &head);
    if (!end) fail_msg("an answer %d was expected, got \"%s\"", status, from);
    if (strncmp(from, "HTTP/1.1 ", 9) != 0 || strtol(from + 9, NULL, 10) != status) fail_msg("an answer %d was expected, got \"%s\"", status, from);
    size_t n = (size_t)(end - from);
    free(text);
    text = mem_alloc(n + 1);
    memcpy(text, from, n);
    text[n] = '\0';
    c->seen += n;
    return text;
}
/* It has the head of an answer and not its end, and the connection is over. */
static inline void assert_truncated(struct sock *c) {
    bool head;
    assert_null(answer_end(c, &head));
    assert_true(head && (c->closed || c->half_closed));
    got(c);
}
static inline void assert_closed(const struct sock *s) { assert_true(s->closed && !s->reset); }
static inline void assert_reset(const struct sock *s) { assert_true(s->closed && s->reset); }
static inline void assert_open(const struct sock *s) { assert_true(!s->closed && !s->half_closed); }
static inline bool is_over(const struct sock *s) { return s->closed || s->half_closed; }
/* The last thing that happened had this effect in the very turn that served it. */
static inline void assert_closed_in_the_turn(const struct sock *s) {
    assert_true(is_over(s));
    assert_int_equal(s->closed_turn, world.event_turn);
}
static inline void assert_said_in_the_turn(const struct sock *s) { assert_int_equal(s->said_turn, world.event_turn); }

/* ---- the log ---------------------------------------------------------------------------------------------------------------------------- */
static inline bool next_line(void) {
    access_log_flush(world.w.log);
    ssize_t n = pread(world.log, world.line, sizeof world.line - 1, (off_t)world.log_at);
    world.line[n > 0 ? n : 0] = '\0';
    char *end = strchr(world.line, '\n');
    if (!end) return false;
    *end = '\0';
    world.log_at += (size_t)(end - world.line) + 1;
    return true;
}
static inline void assert_logged(const char *key, const char *value) { /* in the line of the last assert_ended */
    char text[256], number[256];
    snprintf(text, sizeof text, "\"%s\":\"%s\"", key, value);
    snprintf(number, sizeof number, "\"%s\":%s", key, value);
    const char *found = strstr(world.line, number);
    bool exact = found && strchr(",}", found[strlen(number)]);
    if (!exact && !strstr(world.line, text)) fail_msg("%s is not in %s", text, world.line);
}
static inline void assert_not_logged(const char *key) {
    char text[256];
    snprintf(text, sizeof text, "\"%s\":", key);
    assert_has_not(world.line, text);
}
/* The next exchange that ended, ended so. */
static inline void assert_ended(const char *name) {
    if (!next_line()) fail_msg("nothing ended; expected %s", name);
    assert_logged("ending", name);
}
static inline void assert_ended_at(const char *name, const char *level) {
    assert_ended(name);
    assert_logged("cancel_level", level);
}
static inline void assert_nothing_ended(void) {
    if (next_line()) fail_msg("ended: %s", world.line);
}
static inline uint64_t count(enum metric m) { return metric_get(&world.w.metrics, m); }
static inline uint64_t ended(enum ending e) { return atomic_load(&world.w.metrics.requests[e]); }

/* ---- what most scenes do --------------------------------------------------------------------------------------------------------------- */
/* Routes lead to an upstream of n endpoints, at port 9001 and on; keys: what else it is given. */
static inline void stage_endpoints(unsigned n, const char *keys, const char *policy) {
    char endpoints[256] = "", upstream_keys[1024];
    for (unsigned i = 0; i < n; i++) snprintf(endpoints + strlen(endpoints), sizeof endpoints - strlen(endpoints), "127.0.0.1:%u, ", 9001 + i);
    snprintf(upstream_keys, sizeof upstream_keys, "max_connections: 8 }\n  many: { endpoints: [ %s ], %s", endpoints, keys);
    stage((struct given){ .upstream = upstream_keys, .policy = policy, .routes = "  - { match: { path: /* }, upstream: many }" });
}
/* A client comes and says this. */
static inline struct sock *asks(const char *request) {
    struct sock *c = client();
    client_sends(c, request);
    return c;
}
/* ... and an upstream is called for it; what it hears is no matter. */
static inline struct sock *asked(struct sock **c, const char *request) {
    *c = asks(request);
    struct sock *u = upstream();
    got(u);
    return u;
}
/* The upstream answers, its client has that, and the exchange is over. */
static inline void answered(struct sock *c, struct sock *u) {
    upstream_sends(u, ANSWER_OK);
    assert_answer(c, 200);
    assert_ended("completed");
}

/* ---- the end ------------------------------------------------------------------------------------------------------------------------------ */
static inline bool log_pending(void) { return timer_is_armed(&world.w.log_timer); }
/* No exchange, no attempt, nobody queued, no context, no byte of an arena or a body; the only timers are those of connections. */
static inline void assert_nothing_left(void) {
    struct worker *w = &world.w;
    settle();
    LIST_EACH(&w->exchanges, x, struct exchange, node) {
        struct str target = x->request ? x->request->target : STR("?");
        print_error("still there: %.*s, ending %s, answered %u, waiting %llu, the upload %s, the client's leg %s, attempts %s\n", STR_ARG(target),
                    ending_name(x->context.ending), x->answered, (unsigned long long)body_waiting(&x->down, x->down_offset),
                    x->up.complete ? "complete" : "coming", x->leg.session ? "open" : "closed", list_is_empty(&x->attempts) ? "over" : "open");
    }
    size_t timers = (size_t)log_pending() + timer_is_armed(&w->leaving.timer) + timer_is_armed(&w->load.over);
    LIST_EACH(&w->conns, c, struct conn, all) {
        timers += timer_is_armed(&c->timer);
        assert_int_equal(c->session.live, 0);
    }
    assert_true(list_is_empty(&w->exchanges));
    assert_int_equal(w->nexchanges, 0);
    assert_int_equal(w->contexts.live, 0);
    assert_int_equal(w->arenas.out, 0);
    assert_int_equal(w->chunks.out, 0);
    assert_int_equal(w->wheel.armed, timers);
    const struct snapshot *s = w->snapshot;
    for (size_t i = 0; i < s->nupstreams; i++) assert_int_equal(upstream_queued(s->upstreams[i]), 0);
}
static inline void sock_free(struct sock *s) {
    buffer_free(&s->in);
    free(s->got);
    free(s);
}
static inline void unstage(void) {
    worker_free(&world.w);
    for (size_t i = 0; i < world.n; i++) {
        assert_true(world.v[i]->closed);
        sock_free(world.v[i]);
    }
    free(world.v);
    config_unref(world.config);
    close(world.log);
    world.open = false;
}
/* Every test's teardown. */
static inline int leave(void **state) {
    (void)state;
    if (!world.open) return 0;
    health_stop(&world.w); /* else its timers never end */
    assert_nothing_left();
    assert_nothing_ended(); /* each ending was looked at */
    if (!world.no_idle_check) {
        step(HOUR); /* idle connections go, too */
        assert_int_equal(world.w.nconns, 0);
        assert_int_equal(world.w.nsnapshots, 1); /* nobody holds an old one */
        assert_int_equal(world.w.wheel.armed, timer_is_armed(&world.w.leaving.timer));
    }
    unstage();
    return 0;
}
#define SCENE(name) cmocka_unit_test_teardown(name, leave)
#endif
