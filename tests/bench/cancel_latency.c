// SPDX-License-Identifier: Apache-2.0
// How long after a client's close its upstream sees the end, through the gateway. Client and upstream are one thread: it notes the clock, closes, and
// waits for the upstream's socket; so a sample is two wake-ups, the gateway's and its own. By FIN and by RST, idle and beside wrk, which keeps
// the gateway busy through the same listener; and by RST_STREAM of an HTTP/2 client, whose request goes to the same upstream over HTTP/1.1.
//   build/bench/cancel_latency [SAMPLES]      (1000)
#include "tests/bench/bench.h"
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define LOAD_CONNECTIONS "8"
static const char yaml[] =
    "workers: 1\n"
    "listeners: { plain: { address: '${LISTEN}', trust: all } }\n"
    "upstreams:\n"
    "  work: { protocol: http1, endpoints: [ '${WORK}' ] }\n"
    "  load: { protocol: http1, endpoints: [ '${LOAD}' ] }\n"
    "routes: [ { match: { path: /bytes/* }, upstream: load }, { match: { path: /* }, upstream: work } ]\n"
    "admin: { address: '${ADMIN}' }\n"
    "log: { access: disabled, level: error }\n";
static const char request[] = "GET /work HTTP/1.1\r\nHost: bench\r\nUser-Agent: bench\r\n\r\n";

struct stage { struct gateway gateway; int upstream; };

static int accept_request(int listener) {
    char text[4096];
    int fd = accept(listener, NULL, NULL);
    if (fd < 0) die("no request came to the upstream: %s", strerror(errno));
    if (recv(fd, text, sizeof text, 0) <= 0) die("the upstream's connection ended before the request came");
    return fd;
}
enum way { WAY_FIN, WAY_RST, WAY_RST_STREAM };
static int64_t sample(const struct stage *s, enum way way) {
    int down = connect_to(s->gateway.port, NULL);
    if (way == WAY_RST_STREAM) send_http2_request(down, "GET", "/work");
    else send_text(down, request);
    int up = accept_request(s->upstream);
    nap(MS / 2 + draw(2 * MS)); /* the gateway sleeps, and at no special time */
    struct pollfd p = { .fd = up, .events = POLLIN };
    int64_t from = clock_ns();
    if (way == WAY_RST_STREAM) send_http2_reset(down);
    else leave(down, way == WAY_RST);
    if (poll(&p, 1, 5000) != 1) die("the upstream saw no end within 5 s");
    int64_t took = clock_ns() - from;
    close(up);
    if (way == WAY_RST_STREAM) close(down);
    return took;
}
static void measure(const struct stage *s, unsigned samples, enum way way, const char *what) {
    struct figures f = { 0 };
    for (unsigned i = 0; i < samples / 20 + 1; i++) sample(s, way); /* warm */
    for (unsigned i = 0; i < samples; i++) figures_add(&f, sample(s, way));
    figures_print(&f, what);
    free(f.v);
}
static pid_t start_load(uint16_t port) {
    char url[64];
    snprintf(url, sizeof url, "http://127.0.0.1:%u/bytes/128", port);
    char *argv[] = { "sh", "-c", "exec wrk -t1 -c" LOAD_CONNECTIONS " -d600 \"$0\" >/dev/null", url, NULL };
    pid_t pid = run_program(argv);
    nap(300 * MS);
    return pid;
}
static double requests_done(const struct stage *s) { return gateway_metric(&s->gateway, "curfew_requests_total{ending=\"completed\"}"); }

int main(int argc, char **argv) {
    unsigned samples = argc > 1 ? (unsigned)strtoul(argv[1], NULL, 10) : 1000;
    uint16_t work, load = free_port();
    struct stage s = { .upstream = listen_any(&work) };
    set_address("WORK", work);
    set_address("LOAD", load);
    char *upstream[] = { "sh", "-c", "exec \"$0\" upstream -l \"$LOAD\" 2>/dev/null", (char *)(uintptr_t)curfew_path(), NULL };
    pid_t sink = run_program(upstream);
    wait_listening(load);
    s.gateway = gateway_start(yaml);
    measure(&s, samples, WAY_FIN, "cancel by FIN, idle");
    measure(&s, samples, WAY_RST, "cancel by RST, idle");
    measure(&s, samples, WAY_RST_STREAM, "cancel by RST_STREAM, idle");
    if (system("command -v wrk >/dev/null") == 0) {
        pid_t wrk = start_load(s.gateway.port);
        double done = requests_done(&s);
        int64_t from = clock_ns();
        measure(&s, samples, WAY_FIN, "cancel by FIN, beside wrk -t1 -c" LOAD_CONNECTIONS);
        measure(&s, samples, WAY_RST, "cancel by RST, beside wrk -t1 -c" LOAD_CONNECTIONS);
        measure(&s, samples, WAY_RST_STREAM, "cancel by RST_STREAM, beside wrk -t1 -c" LOAD_CONNECTIONS);
        printf("%-52s %6.0f requests a second beside it\n", "", (requests_done(&s) - done) * 1e9 / (double)(clock_ns() - from));
        stop_program(wrk);
    } else {
        puts("cancel under load: left out, since wrk is not installed");
    }
    gateway_stop(&s.gateway);
    stop_program(sink);
}
