// SPDX-License-Identifier: Apache-2.0
// How long after a client's close its upstream sees the end, through the gateway. Client and upstream are one thread: it notes the clock, closes, and
// waits for the upstream's socket; so a sample is two wake-ups, the gateway's and its own. By FIN and by RST, idle and beside wrk, which keeps
// the gateway busy through the same listener; and by RST_STREAM of an HTTP/2 client, whose request goes to the same upstream over HTTP/1.1, or to
// one that speaks HTTP/2 and sees an RST_STREAM.
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
    "  work2: { protocol: http2, endpoints: [ '${WORK2}' ], reset_budget: { burst: 1000000, rate: 100000/s } }\n"
    "  load: { protocol: http1, endpoints: [ '${LOAD}' ] }\n"
    "routes: [ { match: { path: /bytes/* }, upstream: load }, { match: { path: /h2 }, upstream: work2 }, { match: { path: /* }, upstream: work } ]\n"
    "admin: { address: '${ADMIN}' }\n"
    "log: { access: disabled, level: error }\n";
static const char request[] = "GET /work HTTP/1.1\r\nHost: bench\r\nUser-Agent: bench\r\n\r\n";

struct stage { struct gateway gateway; int upstream, upstream2; int stream2; /* the connection to the latter: the gateway keeps it; 0: none yet */ };

static int accept_request(int listener) {
    char text[4096];
    int fd = accept(listener, NULL, NULL);
    if (fd < 0) die("no request came to the upstream: %s", strerror(errno));
    if (recv(fd, text, sizeof text, 0) <= 0) die("the upstream's connection ended before the request came");
    return fd;
}
static void read_whole(int fd, void *to, size_t n) {
    for (size_t got = 0; got < n;) {
        ssize_t r = recv(fd, (char *)to + got, n - got, 0);
        if (r <= 0) die("the upstream's connection over HTTP/2 ended");
        got += (size_t)r;
    }
}
/* Reads frames until one of this type (RFC 9113 6): 1 is HEADERS, 3 RST_STREAM. */
static void await_frame(int fd, uint8_t type) {
    uint8_t h[9], payload[16384];
    do {
        read_whole(fd, h, sizeof h);
        size_t n = (size_t)h[0] << 16 | (size_t)h[1] << 8 | h[2];
        if (n > sizeof payload) die("a frame of %zu bytes", n);
        read_whole(fd, payload, n);
        if (h[3] == 4 && !(h[4] & 1)) send_bytes(fd, "\0\0\0\4\1\0\0\0\0", 9); /* SETTINGS are acknowledged */
    } while (h[3] != type);
}
static int accept_http2(int listener) {
    char preface[24];
    int fd = accept(listener, NULL, NULL);
    if (fd < 0) die("nobody connected to the upstream over HTTP/2: %s", strerror(errno));
    read_whole(fd, preface, sizeof preface);
    send_bytes(fd, "\0\0\0\4\0\0\0\0\0", 9);
    return fd;
}

enum way { WAY_FIN, WAY_RST, WAY_RST_STREAM, WAY_RST_STREAMS /* on both sides */ };
static int64_t sample(struct stage *s, enum way way) {
    bool http2 = way == WAY_RST_STREAM || way == WAY_RST_STREAMS;
    int down = connect_to(s->gateway.port, NULL), up;
    if (http2) send_http2_request(down, "GET", way == WAY_RST_STREAMS ? "/h2" : "/work");
    else send_text(down, request);
    if (way == WAY_RST_STREAMS) {
        if (!s->stream2) s->stream2 = accept_http2(s->upstream2);
        await_frame(up = s->stream2, 1);
    } else {
        up = accept_request(s->upstream);
    }
    nap(MS / 2 + draw(2 * MS)); /* the gateway sleeps, and at no special time */
    struct pollfd p = { .fd = up, .events = POLLIN };
    int64_t from = clock_ns();
    if (http2) send_http2_reset(down);
    else leave(down, way == WAY_RST);
    if (poll(&p, 1, 5000) != 1) die("the upstream saw no end within 5 s");
    int64_t took = clock_ns() - from;
    if (way == WAY_RST_STREAMS) await_frame(up, 3);
    else close(up);
    if (http2) close(down);
    return took;
}
static void measure(struct stage *s, unsigned samples, enum way way, const char *what) {
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
    uint16_t work, work2, load = free_port();
    struct stage s = { .upstream = listen_any(&work), .upstream2 = listen_any(&work2) };
    set_address("WORK", work);
    set_address("WORK2", work2);
    set_address("LOAD", load);
    char *upstream[] = { "sh", "-c", "exec \"$0\" upstream -l \"$LOAD\" 2>/dev/null", (char *)(uintptr_t)curfew_path(), NULL };
    pid_t sink = run_program(upstream);
    wait_listening(load);
    s.gateway = gateway_start(yaml);
    measure(&s, samples, WAY_FIN, "cancel by FIN, idle");
    measure(&s, samples, WAY_RST, "cancel by RST, idle");
    measure(&s, samples, WAY_RST_STREAM, "cancel by RST_STREAM, idle");
    measure(&s, samples, WAY_RST_STREAMS, "RST_STREAM to RST_STREAM, idle");
    if (system("command -v wrk >/dev/null") == 0) {
        pid_t wrk = start_load(s.gateway.port);
        double done = requests_done(&s);
        int64_t from = clock_ns();
        measure(&s, samples, WAY_FIN, "cancel by FIN, beside wrk -t1 -c" LOAD_CONNECTIONS);
        measure(&s, samples, WAY_RST, "cancel by RST, beside wrk -t1 -c" LOAD_CONNECTIONS);
        measure(&s, samples, WAY_RST_STREAM, "cancel by RST_STREAM, beside wrk -t1 -c" LOAD_CONNECTIONS);
        measure(&s, samples, WAY_RST_STREAMS, "RST_STREAM to RST_STREAM, beside wrk -t1 -c" LOAD_CONNECTIONS);
        printf("%-52s %6.0f requests a second beside it\n", "", (requests_done(&s) - done) * 1e9 / (double)(clock_ns() - from));
        stop_program(wrk);
    } else {
        puts("cancel under load: left out, since wrk is not installed");
    }
    gateway_stop(&s.gateway);
    stop_program(sink);
}
