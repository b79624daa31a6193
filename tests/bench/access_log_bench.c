// SPDX-License-Identifier: Apache-2.0
// What a line of the access log costs: formatting alone, and with the buffer and write(2) into a file or /dev/null. The budget is a microsecond a
// line; nothing else in an exchange formats text. Prints nanoseconds a line.
//   gcc -O2 -I. -o access_log_bench tests/bench/access_log_bench.c core/*.c conf/*.c codecs/*.c policies/*.c proxy/access_log.c -lnghttp2 -lyaml -lm
//   ./access_log_bench [file]      (default: /dev/null)
#include "proxy/access_log.h"
#include <stdio.h>
#include <time.h>

#define LINES 1000000u

static int64_t cpu_now(void) {
    struct timespec ts;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);
    return ts.tv_sec * NS_PER_S + ts.tv_nsec;
}

/* A usual request: everything that HTTP with a deadline has. */
static struct access_record usual(void) {
    struct access_record r;
    access_record_init(&r);
    r.wall_ns = INT64_C(1769904000123456789);
    r.id = STR("1-1f3-2a"), r.listener = STR("edge"), r.client = STR("192.0.2.17:51234");
    r.protocol = "HTTP/2", r.rpc = "grpc", r.method = STR("POST"), r.host = STR("api.example.com");
    r.path = STR("/shop.Orders/GetOrder"), r.route = STR("routes[0]"), r.upstream = STR("orders"), r.endpoint = STR("127.0.0.1:9001");
    r.status = 200, r.grpc_status = 0, r.ending = ENDING_COMPLETED, r.deadline_source = STR("grpc-timeout");
    r.deadline_in = span_ms(250), r.deadline_out = span_us(244871), r.left = span_us(243112), r.attempts = 1;
    r.request_bytes = 117, r.response_bytes = 2048, r.duration = span_us(6888), r.answered = span_us(6701), r.queued = span_us(12);
    return r;
}

static void report(const char *what, int64_t began, size_t bytes) {
    printf("%-22s %6.0f ns a line, %zu bytes\n", what, (double)(cpu_now() - began) / LINES, bytes);
}

static void bench_format(const char *what, const struct access_record *r) {
    static char line[ACCESS_LINE_MAX];
    size_t n = 0;
    int64_t began = cpu_now();
    for (unsigned i = 0; i < LINES; i++) {
        n = access_format(r, line);
        __asm__ volatile("" : : "r"(line) : "memory");
    }
    report(what, began, n);
}

static int bench_write(const char *path, const struct access_record *r) {
    const char *say = NULL;
    struct access_log *l = access_log_new(ACCESS_FILE, str_of(path), &say);
    if (!l) {
        fprintf(stderr, "%s: %s\n", path, say);
        return 1;
    }
    int64_t began = cpu_now();
    for (unsigned i = 0; i < LINES; i++) access_log_write(l, r);
    access_log_flush(l);
    report("format, buffer, write", began, 0);
    printf("dropped %llu\n", (unsigned long long)access_log_dropped(l));
    access_log_free(l);
    return 0;
}

int main(int argc, char **argv) {
    struct access_record r = usual(), hostile = usual(), none;
    access_record_init(&none);
    none.ending = ENDING_COMPLETED;
    char bad[4000];
    memset(bad, 0xff, sizeof bad);
    hostile.path = hostile.host = (struct str){ bad, sizeof bad };
    bench_format("format, usual", &r);
    bench_format("format, least", &none);
    bench_format("format, hostile", &hostile);
    return bench_write(argc > 1 ? argv[1] : "/dev/null", &r);
}
