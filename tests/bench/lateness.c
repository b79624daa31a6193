// SPDX-License-Identifier: Apache-2.0
// How late a 504 comes: requests with deadlines of 20 to 500 ms to an upstream that never answers, many at a time, on kept connections. From just
// before the client's write, plus the deadline that it asks for, to the client's having the answer: nothing is taken off for the way there and
// back. Deadlines are fractions of milliseconds, since an answer comes at a tick of the gateway's wheel, and the next request right after it. A
// timer of the client's own is measured beside it: as late as that is what the machine cannot do better. An early answer is an error, but for
// one that says shed_expired: there the connection to the upstream took what was left.
//   build/bench/lateness [REQUESTS [AT A TIME]]      (10000 500)
#include "tests/bench/bench.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <unistd.h>

static const char yaml[] =
    "workers: 1\n"
    "listeners: { plain: { address: '${LISTEN}', trust: all } }\n"
    "upstreams: { work: { protocol: http1, endpoints: [ '${WORK}' ], max_connections: 4096 } }\n"
    "policies: { default: { deadline: { read: [ x-request-timeout ] } } }\n"
    "routes: [ { match: { path: /* }, upstream: work } ]\n"
    "admin: { address: '${ADMIN}' }\n"
    "log: { access: disabled, level: error }\n";

struct client { int fd; int64_t due; bool warm; }; /* warm: its first answer, which is not counted, has come */
static struct bench {
    int epoll, upstream;
    struct client *clients;
    size_t at_a_time, asked, answered, total, shed;
    int timer;
    int64_t timer_due;
    struct figures late, timer_late;
} b;

static void watch(int fd, uint64_t what) {
    struct epoll_event e = { .events = EPOLLIN, .data.u64 = what };
    if (epoll_ctl(b.epoll, EPOLL_CTL_ADD, fd, &e)) die("epoll: %s", strerror(errno));
}
/* What an event is about: a client's number, or a descriptor of the upstream's side above this, or the timer. */
#define UPSTREAM_SIDE (UINT64_C(1) << 32)
#define TIMER (UINT64_C(2) << 32)

static int64_t draw_time_us(void) { return 20000 + draw(480000); }
static void ask(struct client *c) {
    if (b.asked == b.total) return;
    b.asked += c->warm;
    char text[256];
    int64_t us = draw_time_us();
    snprintf(text, sizeof text, "GET / HTTP/1.1\r\nHost: bench\r\nUser-Agent: bench\r\nx-request-timeout: 0.%06d\r\n\r\n", (int)us);
    c->due = clock_ns() + us * 1000;
    send_text(c->fd, text);
}
static void on_timer(void) {
    uint64_t count;
    int64_t now = clock_ns();
    if (b.timer_due) figures_add(&b.timer_late, now - b.timer_due);
    if (b.timer_due && read(b.timer, &count, sizeof count) < 0) die("timerfd: %s", strerror(errno));
    b.timer_due = now + draw_time_us() * 100; /* oftener, for as many samples as it may */
    struct itimerspec t = { .it_value = { b.timer_due / (1000 * MS), b.timer_due % (1000 * MS) } };
    timerfd_settime(b.timer, TFD_TIMER_ABSTIME, &t, NULL);
}
static void on_client(struct client *c) {
    char text[4096];
    ssize_t n = recv(c->fd, text, sizeof text - 1, 0);
    int64_t late = clock_ns() - c->due;
    if (n <= 0) die("the gateway closed a client's connection");
    text[n] = 0;
    if (strncmp(text, "HTTP/1.1 504 ", 13) != 0 || !strstr(text, "\r\n\r\n")) die("not a 504: %s", text);
    bool shed = strstr(text, "shed_expired") != NULL;
    if (late < 0 && !shed) die("a 504 came %.3f ms before its deadline", (double)-late / (double)MS);
    if (c->warm) {
        b.answered++;
        b.shed += shed;
        if (!shed) figures_add(&b.late, late);
    }
    c->warm = true;
    ask(c);
}
static void on_upstream(int fd) {
    char text[4096];
    if (fd == b.upstream) {
        int up = accept(fd, NULL, NULL);
        if (up >= 0) watch(up, UPSTREAM_SIDE | (unsigned)up);
    } else if (recv(fd, text, sizeof text, 0) <= 0) {
        close(fd);
    }
}
static void run(void) {
    struct epoll_event events[64];
    size_t begun = 0;
    while (b.answered < b.total) {
        if (begun < b.at_a_time) ask(&b.clients[begun++]);
        int n = epoll_wait(b.epoll, events, 64, begun < b.at_a_time ? 1 : 5000);
        if (n <= 0 && begun == b.at_a_time) die("%zu requests are unanswered 5 s later", b.asked - b.answered);
        for (int i = 0; i < n; i++) {
            uint64_t what = events[i].data.u64;
            if (what == TIMER) on_timer();
            else if (what & UPSTREAM_SIDE) on_upstream((int)(uint32_t)what);
            else on_client(&b.clients[what]);
        }
    }
}

/* What the gateway says of itself: from the deadline to its acting on it. */
static void print_own_count(const struct gateway *g) {
    static const char *const upto[] = { "0.001", "0.002", "0.005" };
    double all = gateway_metric(g, "curfew_deadline_lateness_seconds_count");
    printf("  the gateway's own count: ");
    for (size_t i = 0; i < sizeof upto / sizeof *upto; i++) {
        char name[80];
        snprintf(name, sizeof name, "curfew_deadline_lateness_seconds_bucket{le=\"%s\"}", upto[i]);
        printf("%s%.2f %% within %.0f ms", i ? ", " : "", 100 * gateway_metric(g, name) / all, 1000 * strtod(upto[i], NULL));
    }
    puts("");
}
int main(int argc, char **argv) {
    uint16_t work;
    char what[80];
    raise_descriptor_limit();
    b.total = argc > 1 ? strtoul(argv[1], NULL, 10) : 10000;
    b.at_a_time = argc > 2 ? strtoul(argv[2], NULL, 10) : 500;
    b.epoll = epoll_create1(EPOLL_CLOEXEC);
    b.upstream = listen_any(&work);
    set_address("WORK", work);
    watch(b.upstream, UPSTREAM_SIDE | (unsigned)b.upstream);
    b.timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC);
    watch(b.timer, TIMER);
    struct gateway g = gateway_start(yaml);
    on_timer();
    b.clients = calloc(b.at_a_time, sizeof *b.clients);
    if (!b.clients) die("no memory");
    for (size_t i = 0; i < b.at_a_time; i++) {
        b.clients[i].fd = connect_to(g.port, NULL);
        watch(b.clients[i].fd, i);
    }
    run();
    snprintf(what, sizeof what, "504 after its deadline, %zu at a time", b.at_a_time);
    figures_print(&b.late, what);
    figures_print(&b.timer_late, "  beside it, a timer of the client alone");
    print_own_count(&g);
    if (b.shed) printf("  %zu were shed a little before, since the upstream's connection took too long\n", b.shed);
    for (size_t i = 0; i < b.at_a_time; i++) close(b.clients[i].fd);
    gateway_stop(&g);
    free(b.clients);
    free(b.late.v);
    free(b.timer_late.v);
}
