// SPDX-License-Identifier: Apache-2.0
// What a kept connection costs while it says nothing: the growth of the gateway's resident memory by so many clients, each of which got one answer
// and stays; the system's own buffers are not counted. And what is still held when all have left.
//   build/bench/idle_memory [CONNECTIONS]      (10000)
#include "tests/bench/bench.h"
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static const char yaml[] =
    "workers: 1\n"
    "listeners: { plain: { address: '${LISTEN}', trust: all, timeouts: { idle: 10m } } }\n"
    "upstreams: { none: { endpoints: [ '127.0.0.1:1' ] } }\n"
    "routes: [ { match: { path: /* }, respond: { status: 200, body: hello } } ]\n"
    "admin: { address: '${ADMIN}' }\n"
    "log: { access: disabled, level: error }\n";

static const char request[] = "GET /hello HTTP/1.1\r\nHost: bench\r\nUser-Agent: bench\r\nAccept: */*\r\nCookie: session=6f1f3a7b0c9d4e55a1\r\n\r\n";

static int ask_once(const struct gateway *g, bool http2) {
    char text[4096];
    size_t n = 0;
    int fd = connect_to(g->port, NULL);
    if (http2) send_http2_request(fd, "GET", "/hello");
    else send_text(fd, request);
    while (n < 5 || memcmp(text + n - 5, "hello", 5) != 0) { /* the body ends the answer in both */
        ssize_t got = recv(fd, text + n, sizeof text - n, 0);
        if (got <= 0) die("there was no answer");
        n += (size_t)got;
    }
    return fd;
}
static void wait_gone(const struct gateway *g) {
    for (int64_t until = clock_ns() + 10000 * MS; gateway_metric(g, "curfew_connections") > 0 && clock_ns() < until;) nap(20 * MS);
}

static void measure(bool http2, size_t n) {
    int *fds = calloc(n, sizeof *fds);
    if (!fds) die("no memory");
    struct gateway g = gateway_start(yaml);
    for (int i = 0; i < 100; i++) close(ask_once(&g, http2)); /* warm */
    wait_gone(&g);
    size_t before = resident_kib(g.pid);
    for (size_t i = 0; i < n; i++) fds[i] = ask_once(&g, http2);
    size_t during = resident_kib(g.pid);
    if (gateway_metric(&g, "curfew_connections") != (double)n) die("not all connections are there");
    for (size_t i = 0; i < n; i++) close(fds[i]);
    wait_gone(&g);
    size_t after = resident_kib(g.pid);
    printf("idle connections, %-8s %zu of them: %.2f KiB each; RSS %zu KiB before, %zu with them, %zu when they had left\n",
           http2 ? "HTTP/2" : "HTTP/1.1", n, (double)(during - before) / (double)n, before, during, after);
    gateway_stop(&g);
    free(fds);
}
int main(int argc, char **argv) {
    size_t n = argc > 1 ? strtoul(argv[1], NULL, 10) : 10000;
    raise_descriptor_limit();
    measure(false, n);
    measure(true, n);
}
