// SPDX-License-Identifier: Apache-2.0
// See bench.h.
#include "tests/bench/bench.h"
#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* ---- time, chance, trouble --------------------------------------------------------------------------------------- */
int64_t clock_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * INT64_C(1000000000) + t.tv_nsec;
}
void nap(int64_t ns) {
    struct timespec t = { ns / (1000 * MS), ns % (1000 * MS) };
    while (nanosleep(&t, &t) != 0 && errno == EINTR) { }
}
uint32_t draw(uint32_t below) {
    static uint64_t state = 88172645463325252u;
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return (uint32_t)((state >> 32) * below >> 32);
}
static pid_t running[8]; /* what die must not leave behind */
void die(const char *format, ...) {
    va_list args;
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fputc('\n', stderr);
    for (size_t i = 0; i < sizeof running / sizeof *running; i++) {
        if (running[i] > 0) kill(running[i], SIGKILL);
    }
    exit(1);
}

/* ---- figures ----------------------------------------------------------------------------------------------------- */
void figures_add(struct figures *f, int64_t ns) {
    if (f->n == f->cap) {
        f->cap = f->cap ? 2 * f->cap : 1024;
        f->v = realloc(f->v, f->cap * sizeof *f->v);
        if (!f->v) die("no memory");
    }
    f->v[f->n++] = ns;
    f->sorted = false;
}
static int by_size(const void *a, const void *b) {
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return x < y ? -1 : x > y;
}
double figures_ms(struct figures *f, double share) {
    if (!f->n) die("nothing was measured");
    if (!f->sorted) qsort(f->v, f->n, sizeof *f->v, by_size);
    f->sorted = true;
    size_t i = (size_t)(share * (double)f->n);
    return (double)f->v[i < f->n ? i : f->n - 1] / (double)MS;
}
void figures_print(struct figures *f, const char *what) {
    printf("%-52s %6zu samples   median %7.3f ms   p99 %7.3f ms   max %7.3f ms\n", what, f->n, figures_ms(f, 0.5), figures_ms(f, 0.99),
           figures_ms(f, 1));
    fflush(stdout);
    f->n = 0;
}

/* ---- sockets ----------------------------------------------------------------------------------------------------- */
static struct sockaddr_in loopback(uint16_t port) {
    return (struct sockaddr_in){ .sin_family = AF_INET, .sin_port = htons(port), .sin_addr = { htonl(INADDR_LOOPBACK) } };
}
static void set_patience(int fd) {
    struct timeval limit = { .tv_sec = 5 };
    int one = 1;
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
}
int listen_any(uint16_t *port) {
    struct sockaddr_in a = loopback(0);
    socklen_t len = sizeof a;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || bind(fd, (void *)&a, len) || listen(fd, 4096) || getsockname(fd, (void *)&a, &len)) die("cannot listen: %s", strerror(errno));
    set_patience(fd);
    *port = ntohs(a.sin_port);
    return fd;
}
int connect_to(uint16_t port, const char *from) {
    struct sockaddr_in a = loopback(port), source = { .sin_family = AF_INET };
    int one = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0) die("no socket: %s", strerror(errno));
    set_patience(fd);
    if (from) {
        setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &one, sizeof one);
        if (inet_pton(AF_INET, from, &source.sin_addr) != 1 || bind(fd, (void *)&source, sizeof source)) die("%s: %s", from, strerror(errno));
    }
    if (connect(fd, (void *)&a, sizeof a)) die("cannot connect to 127.0.0.1:%u: %s", port, strerror(errno));
    return fd;
}
void send_bytes(int fd, const void *p, size_t n) {
    if (send(fd, p, n, MSG_NOSIGNAL) != (ssize_t)n) die("cannot send: %s", strerror(errno));
}
void send_text(int fd, const char *text) { send_bytes(fd, text, strlen(text)); }
void send_http2_request(int fd, const char *method, const char *path) {
    static const char preface[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" /* RFC 9113 3.4 */
                                  "\0\0\0\4\0\0\0\0\0";             /* SETTINGS, empty */
    bool post = strcmp(method, "POST") == 0;
    size_t path_size = strlen(path), size = 2 + 2 + path_size + 7;
    uint8_t text[256];
    if (path_size > 120) die("%s is too long", path);
    memcpy(text, preface, sizeof preface - 1);
    uint8_t *p = text + sizeof preface - 1;
    /* HEADERS, END_HEADERS, without a body END_STREAM; RFC 7541: indexed :method and :scheme http, literal :path and :authority */
    const uint8_t frame[] = { 0, 0, (uint8_t)size, 1, post ? 4 : 5, 0, 0, 0, 1, post ? 0x83 : 0x82, 0x86, 0x44, (uint8_t)path_size };
    memcpy(p, frame, sizeof frame), p += sizeof frame;
    memcpy(p, path, path_size), p += path_size;
    memcpy(p, "\x41\5bench", 7), p += 7;
    static const char data[] = "\0\0\3\0\0\0\0\0\1abc";
    if (post) memcpy(p, data, sizeof data - 1), p += sizeof data - 1;
    send_bytes(fd, text, (size_t)(p - text));
}
void send_http2_reset(int fd) { send_bytes(fd, "\0\0\4\3\0\0\0\0\1\0\0\0\x8", 13); }
void leave(int fd, bool reset) {
    struct linger now = { .l_onoff = 1, .l_linger = 0 };
    if (reset) setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
    close(fd);
}
uint16_t free_port(void) {
    uint16_t port;
    close(listen_any(&port));
    return port;
}
void wait_listening(uint16_t port) {
    struct sockaddr_in a = loopback(port);
    for (int64_t until = clock_ns() + 20000 * MS; clock_ns() < until; nap(5 * MS)) {
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        bool there = connect(fd, (void *)&a, sizeof a) == 0;
        close(fd);
        if (there) return;
    }
    die("nobody listens on 127.0.0.1:%u", port);
}
void raise_descriptor_limit(void) {
    struct rlimit l;
    getrlimit(RLIMIT_NOFILE, &l);
    l.rlim_cur = l.rlim_max;
    setrlimit(RLIMIT_NOFILE, &l);
}

/* ---- programs ---------------------------------------------------------------------------------------------------- */
pid_t run_program(char *const argv[]) {
    size_t slot = 0;
    while (running[slot] > 0) slot++;
    pid_t pid = fork();
    if (pid < 0) die("cannot fork: %s", strerror(errno));
    if (pid == 0) {
        execvp(argv[0], argv);
        fprintf(stderr, "%s: %s\n", argv[0], strerror(errno));
        _exit(127);
    }
    return running[slot] = pid;
}
static int end_program(pid_t pid) {
    int status = 0;
    kill(pid, SIGTERM);
    waitpid(pid, &status, 0);
    for (size_t i = 0; i < sizeof running / sizeof *running; i++) {
        if (running[i] == pid) running[i] = 0;
    }
    return status;
}
void stop_program(pid_t pid) { end_program(pid); }
const char *curfew_path(void) {
    const char *path = getenv("CURFEW");
    return path ? path : "build/curfew";
}
void set_address(const char *name, uint16_t port) {
    char text[32];
    snprintf(text, sizeof text, "127.0.0.1:%u", port);
    setenv(name, text, 1);
}
struct gateway gateway_start(const char *yaml) {
    struct gateway g = { .port = free_port(), .admin = free_port() };
    set_address("LISTEN", g.port);
    set_address("ADMIN", g.admin);
    char path[] = "/tmp/curfew-bench-XXXXXX";
    int fd = mkstemp(path);
    if (fd < 0 || write(fd, yaml, strlen(yaml)) != (ssize_t)strlen(yaml)) die("%s: %s", path, strerror(errno));
    close(fd);
    char *argv[] = { (char *)(uintptr_t)curfew_path(), "run", "-c", path, NULL };
    g.pid = run_program(argv);
    wait_listening(g.port);
    wait_listening(g.admin);
    unlink(path);
    return g;
}
void gateway_stop(struct gateway *g) {
    int status = end_program(g->pid);
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) die("the gateway ended with status %d", status);
}

/* ---- what is known of a gateway ---------------------------------------------------------------------------------- */
double gateway_metric(const struct gateway *g, const char *name) {
    static char text[1 << 16];
    int fd = connect_to(g->admin, NULL);
    send_text(fd, "GET /metrics HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n\r\n");
    size_t n = 0;
    for (ssize_t got; n + 1 < sizeof text && (got = recv(fd, text + n, sizeof text - 1 - n, 0)) > 0;) n += (size_t)got;
    text[n] = 0;
    close(fd);
    size_t len = strlen(name);
    for (char *line = text; line; line = strchr(line, '\n')) {
        line += *line == '\n';
        if (strncmp(line, name, len) == 0 && line[len] == ' ') return strtod(line + len, NULL);
    }
    return -1;
}
size_t resident_kib(pid_t pid) {
    char path[64], line[256];
    snprintf(path, sizeof path, "/proc/%d/smaps_rollup", (int)pid);
    FILE *f = fopen(path, "r");
    if (!f) die("%s: %s", path, strerror(errno));
    size_t kib = 0;
    while (fgets(line, sizeof line, f)) {
        if (strncmp(line, "Rss:", 4) == 0) kib = strtoul(line + 4, NULL, 10);
    }
    fclose(f);
    return kib;
}
size_t descriptors_of(pid_t pid) {
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/fd", (int)pid);
    DIR *d = opendir(path);
    if (!d) die("%s: %s", path, strerror(errno));
    size_t n = 0;
    while (readdir(d)) n++;
    closedir(d);
    return n - 2;
}
