// SPDX-License-Identifier: Apache-2.0
// Whether cancelled requests leave anything behind: a hundred thousand clients of HTTP/1.1 and HTTP/2, many at a time, each of which leaves (FIN,
// RST, FIN behind a byte of another request or behind RST_STREAM) while its request is queued, connecting, uploading, without an answer, or amid
// one. Then /metrics must say that no exchange, no queued request and no connection is left, and the process must have its descriptors and its
// memory back. Exits 1 where that is not so.
//   build/bench/soak [REQUESTS [AT A TIME]]      (100000 64)
#define _GNU_SOURCE /* memmem */
#include "tests/bench/bench.h"
#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define LEFT_KIB 1024u /* by which the process may have grown: what a pool keeps varies with chance */
static const char yaml[] =
    "workers: 1\n"
    "listeners: { plain: { address: '${LISTEN}', trust: all } }\n"
    "upstreams:\n"
    "  work: { protocol: http1, endpoints: [ '${WORK}' ], max_connections: 1024, idle_timeout: 1s }\n"
    "  full: { protocol: http1, endpoints: [ '${WORK}' ], max_requests: 2, idle_timeout: 1s }\n"
    "  deaf: { protocol: http1, endpoints: [ '${DEAF}' ], connect_timeout: 1s, max_connections: 16, idle_timeout: 1s }\n"
    "policies: { default: { deadline: { default: 10m, max: 1h } } }\n"
    "routes:\n"
    "  - { match: { path: /queued }, upstream: full }\n"
    "  - { match: { path: /connecting }, upstream: deaf }\n"
    "  - { match: { path: /* }, upstream: work }\n"
    "admin: { address: '${ADMIN}' }\n"
    "log: { access: disabled, level: error }\n";

static const struct phase { const char *method, *path; bool may_fail; } phases[] = { /* may_fail: 503, its queue full, or connecting took too long */
    { "GET", "/queued", true }, { "GET", "/connecting", true }, { "GET", "/hang/", false }, { "POST", "/upload/", false }, { "GET", "/part", false },
};
enum { PHASE_QUEUED, PHASE_CONNECTING, PHASE_SILENT, PHASE_UPLOADING, PHASE_AMID, PHASES };
static_assert(sizeof phases / sizeof *phases == PHASES, "a row each");
enum way { WAY_CLOSE, WAY_RESET, WAY_BYTE, WAYS };
#define BODY "0123456789abcdef"
static const char body[] = BODY, part[] = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n10\r\n" BODY "\r\n";

struct client { int fd; unsigned phase; bool http2; enum way way; size_t id; int64_t leave_at; }; /* leave_at 0: it waits for what its phase says */
static struct bench {
    int epoll, upstream;
    uint16_t port;
    struct client *clients;
    size_t at_a_time, begun, left, total;
    size_t asked; /* requests that the upstream had */
} b;
#define UPSTREAM_SIDE (UINT64_C(1) << 32)

static void watch(int fd, uint64_t what) {
    struct epoll_event e = { .events = EPOLLIN, .data.u64 = what };
    if (epoll_ctl(b.epoll, EPOLL_CTL_ADD, fd, &e)) die("epoll: %s", strerror(errno));
}

/* ---- clients ----------------------------------------------------------------------------------------------------- */
static void send_request(int fd, unsigned phase, bool http2, size_t id) {
    const struct phase *p = &phases[phase];
    char text[256], path[64];
    bool told = phase == PHASE_SILENT || phase == PHASE_UPLOADING; /* the upstream says whose request has come */
    if (told) snprintf(path, sizeof path, "%s%zu", p->path, id);
    else snprintf(path, sizeof path, "%s", p->path);
    if (http2) {
        send_http2_request(fd, p->method, path);
        return;
    }
    snprintf(text, sizeof text, "%s %s HTTP/1.1\r\nHost: soak\r\nUser-Agent: soak\r\n%s\r\n%s", p->method, path,
             phase == PHASE_UPLOADING ? "Content-Length: 100000\r\n" : "", phase == PHASE_UPLOADING ? "abc" : "");
    send_text(fd, text);
}
static int64_t soon(void) { return clock_ns() + draw(3 * MS); }
static void begin(struct client *c) {
    if (b.begun == b.total) return;
    char from[32]; /* a connection closed by FIN keeps its port for a minute: one address has too few */
    snprintf(from, sizeof from, "127.1.%u.1", (unsigned)(b.begun / 5000 % 250));
    c->id = ++b.begun;
    c->fd = connect_to(b.port, from);
    c->phase = draw(PHASES);
    c->way = (enum way)draw(WAYS);
    c->http2 = draw(2);
    bool waits = c->phase == PHASE_AMID || (c->phase > PHASE_CONNECTING && draw(4) > 0);
    c->leave_at = waits ? 0 : soon();
    watch(c->fd, (uint64_t)(c - b.clients));
    send_request(c->fd, c->phase, c->http2, c->id);
}
static void end(struct client *c) {
    if (c->way == WAY_BYTE && c->http2) send_http2_reset(c->fd);
    else if (c->way == WAY_BYTE) send_text(c->fd, "G");
    leave(c->fd, c->way == WAY_RESET);
    c->fd = -1;
    b.left++;
}
static void on_client(struct client *c) {
    char text[4096];
    if (c->fd < 0) return; /* left in this very round */
    ssize_t n = recv(c->fd, text, sizeof text - 1, MSG_DONTWAIT);
    if (n <= 0) die("the gateway ended a client's connection (%s)", phases[c->phase].path);
    text[n] = 0;
    if (c->phase == PHASE_AMID) {
        if (!c->leave_at && memmem(text, (size_t)n, body, sizeof body - 1)) c->leave_at = soon();
    } else if (!c->http2 && !(phases[c->phase].may_fail && strstr(text, " 503 "))) {
        die("%s: there should be no answer: %s", phases[c->phase].path, text);
    }
}

/* The upstream has the request of this path. */
static void on_asked(const char *text) {
    const char *number = strncmp(text, "GET /hang/", 10) == 0 ? text + 10 : strncmp(text, "POST /upload/", 13) == 0 ? text + 13 : NULL;
    b.asked++;
    if (!number) return;
    size_t id = strtoul(number, NULL, 10);
    for (size_t i = 0; i < b.at_a_time; i++) {
        struct client *c = &b.clients[i];
        if (c->fd >= 0 && c->id == id && !c->leave_at) c->leave_at = soon();
    }
}

/* ---- the upstream ------------------------------------------------------------------------------------------------ */
static void on_upstream(int fd) {
    char text[65536];
    if (fd == b.upstream) {
        int up = accept(fd, NULL, NULL);
        if (up >= 0) watch(up, UPSTREAM_SIDE | (unsigned)up);
        return;
    }
    ssize_t n = recv(fd, text, sizeof text - 1, MSG_DONTWAIT);
    if (n < 0 && errno == EAGAIN) return;
    if (n <= 0) {
        close(fd);
        return;
    }
    text[n] = 0;
    if (strncmp(text, "GET ", 4) == 0 || strncmp(text, "POST ", 5) == 0) on_asked(text);
    if (strncmp(text, "GET /part ", 10) == 0) (void)!send(fd, part, sizeof part - 1, MSG_NOSIGNAL);
}
/* A listener that nobody accepts from, and whose queue is full: the system drops what else comes, so that connecting never ends. */
static uint16_t deaf_port(void) {
    struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr = { htonl(INADDR_LOOPBACK) } };
    socklen_t len = sizeof a;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (bind(fd, (void *)&a, len) || listen(fd, 0) || getsockname(fd, (void *)&a, &len)) die("cannot listen: %s", strerror(errno));
    for (int i = 0; i < 4; i++) {
        int full = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        (void)!connect(full, (void *)&a, sizeof a);
    }
    return ntohs(a.sin_port);
}

/* ---- the run ----------------------------------------------------------------------------------------------------- */
static void turn(int patience_ms) {
    struct epoll_event events[64];
    int n = epoll_wait(b.epoll, events, 64, patience_ms);
    for (int i = 0; i < n; i++) {
        uint64_t what = events[i].data.u64;
        if (what & UPSTREAM_SIDE) on_upstream((int)(uint32_t)what);
        else on_client(&b.clients[what]);
    }
}
static void run(size_t total) {
    b.begun = b.left = 0;
    b.total = total;
    int64_t moved = clock_ns();
    while (b.left < b.total) {
        size_t before = b.left;
        for (size_t i = 0; i < b.at_a_time; i++) {
            struct client *c = &b.clients[i];
            if (c->fd >= 0 && c->leave_at && clock_ns() >= c->leave_at) end(c);
            if (c->fd < 0) begin(c);
        }
        turn(1);
        if (b.left > before) moved = clock_ns();
        if (clock_ns() > moved + 10000 * MS) die("nothing moved for 10 s: %zu of %zu left", b.left, b.total);
    }
}

struct state { size_t descriptors, kib; };
static double live(const struct gateway *g) {
    return gateway_metric(g, "curfew_exchanges") + gateway_metric(g, "curfew_queued") + gateway_metric(g, "curfew_connections") +
           gateway_metric(g, "curfew_upstream_connections");
}
/* Once all is quiet: connections that were opened for one who left wait a second for another, and to the deaf upstream they take their second. */
static struct state settle(const struct gateway *g, double rest) {
    for (int64_t until = clock_ns() + 10000 * MS; live(g) > rest && clock_ns() < until;) turn(50);
    return (struct state){ descriptors_of(g->pid), resident_kib(g->pid) };
}
static void occupy(int *fds, size_t n) {
    size_t before = b.asked;
    for (size_t i = 0; i < n; i++) {
        fds[i] = connect_to(b.port, NULL);
        send_request(fds[i], PHASE_QUEUED, false, 0);
    }
    while (b.asked < before + n) turn(100);
}
static void print_levels(const struct gateway *g) {
    static const char *const endings[] = { "client_closed", "client_reset" }, *const levels[] = { "withdrawn", "close", "drain", "none" };
    printf("  cancelled:");
    for (size_t e = 0; e < 2; e++) {
        for (size_t l = 0; l < 4; l++) {
            char name[96];
            snprintf(name, sizeof name, "curfew_cancels_total{ending=\"%s\",level=\"%s\"}", endings[e], levels[l]);
            if (gateway_metric(g, name) > 0) printf(" %s %s %.0f;", endings[e], levels[l], gateway_metric(g, name));
        }
    }
    puts("");
}

int main(int argc, char **argv) {
    size_t total = argc > 1 ? strtoul(argv[1], NULL, 10) : 100000;
    uint16_t work;
    int occupants[2];
    raise_descriptor_limit();
    b.at_a_time = argc > 2 ? strtoul(argv[2], NULL, 10) : 64;
    b.clients = calloc(b.at_a_time, sizeof *b.clients);
    if (!b.clients) die("no memory");
    for (size_t i = 0; i < b.at_a_time; i++) b.clients[i].fd = -1;
    b.epoll = epoll_create1(EPOLL_CLOEXEC);
    b.upstream = listen_any(&work);
    set_address("WORK", work);
    set_address("DEAF", deaf_port());
    watch(b.upstream, UPSTREAM_SIDE | (unsigned)b.upstream);
    struct gateway g = gateway_start(yaml);
    b.port = g.port;

    struct state fresh = settle(&g, 0);
    occupy(occupants, 2);
    run(total / 10 + 1); /* pools fill */
    double occupied = 2 * 3; /* each: an exchange and two connections */
    struct state warm = settle(&g, occupied);
    int64_t from = clock_ns();
    run(total);
    int64_t took = clock_ns() - from;
    struct state after = settle(&g, occupied);
    for (size_t i = 0; i < 2; i++) close(occupants[i]);
    struct state last = settle(&g, 0);

    printf("soak: %zu cancelled requests in %.0f s; left: exchanges %.0f, queued %.0f, connections %.0f, upstream connections %.0f; "
           "descriptors %zu, before %zu; RSS %zu KiB, warm %zu, fresh %zu\n", total, (double)took / 1e9, gateway_metric(&g, "curfew_exchanges"),
           gateway_metric(&g, "curfew_queued"), gateway_metric(&g, "curfew_connections"), gateway_metric(&g, "curfew_upstream_connections"),
           last.descriptors, fresh.descriptors, after.kib, warm.kib, fresh.kib);
    print_levels(&g);
    bool clean = live(&g) == 0 && last.descriptors == fresh.descriptors, slim = after.kib <= warm.kib + LEFT_KIB;
    if (!clean) puts("  something is left behind");
    if (!slim) puts("  memory grew"); /* as it must where the gateway is a build with a sanitizer */
    gateway_stop(&g);
    free(b.clients);
    return clean && slim ? 0 : 1;
}
