// SPDX-License-Identifier: Apache-2.0
// What a head of HTTP/1.1 costs: ns to find its end, to parse it, to keep it in an arena, to write it again; and a whole exchange through a
// session. Prints a table; reads the clock only around runs.
//   gcc -O2 -I. tests/bench/http1_bench.c codecs/http1*.c codecs/registry.c core/*.c conf/*.c -lyaml -lm && ./a.out
#include "codecs/http1.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { RUNS = 2000, REPEATS = 300 }; /* short runs, the best of many: a busy machine spoils some */

static const char request[] = /* as a browser sends it: 10 headers */
    "GET /api/v1/orders/4711?expand=lines&locale=de HTTP/1.1\r\nHost: shop.example.com\r\nConnection: keep-alive\r\n"
    "User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36\r\n"
    "Accept: application/json, text/plain, */*\r\nAccept-Encoding: gzip, deflate, br\r\nAccept-Language: de-DE,de;q=0.9,en;q=0.8\r\n"
    "Cookie: session=6f1f3a7b0c9d4e55a1; theme=dark; consent=yes\r\nX-Request-Id: 0190a5f2-7f3e-7c52-9a52-51b9ac1f6e6f\r\n"
    "X-Request-Timeout: 1500ms\r\nReferer: https://shop.example.com/orders\r\n\r\n";
static const char small[] = "GET / HTTP/1.1\r\nHost: 127.0.0.1:8080\r\nUser-Agent: wrk\r\n\r\n";
static const char answer[] = "HTTP/1.1 200 OK\r\nServer: nginx\r\nDate: Sun, 22 Nov 2026 16:00:00 GMT\r\nContent-Type: text/plain\r\nContent-Length: 13\r\n"
                             "Connection: keep-alive\r\n\r\n";
static const struct http1_options limits = { .max_head = 64 << 10, .max_target = 8 << 10, .max_fields = 128, .max_interim = 32 };
static const struct http1_rules rules = { .o = &limits };
static const struct http1_asked asked;

static int64_t clock_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * INT64_C(1000000000) + t.tv_nsec;
}

struct work { const char *name; const char *text; void (*once)(const char *text, size_t n); };
static struct arena_pool pool;
static struct out out;
static struct head *kept;
static struct http1_message message;

static void find_end(const char *text, size_t n) {
    size_t scanned = 0;
    bool bad = false;
    if (http1_section_end((const uint8_t *)text, n, &scanned, &bad) != n || bad) abort();
}
static void parse(const char *text, size_t n) {
    if (http1_parse_request((const uint8_t *)text, n, &rules, &message).say) abort();
}
static void parse_answer(const char *text, size_t n) {
    if (http1_parse_answer((const uint8_t *)text, n, &rules, &asked, &message).say) abort();
}
static void all_of_it(const char *text, size_t n) {
    struct arena a;
    if (!http1_has_section((const uint8_t *)text, n)) abort();
    arena_init(&a, &pool);
    parse(text, n);
    http1_keep(&message, (const uint8_t *)text, n, &a);
    arena_clear(&a);
}
static void write_it(const char *text, size_t n) {
    (void)text;
    (void)n;
    out_begin(&out, OUT_LIMIT);
    if (!http1_is_sound(kept)) abort();
    http1_write_request(&out, kept, FRAME_NONE);
}

/* A client's session with an exchange that answers at once. */
struct bench_leg { struct arena arena; bool live; };
static struct session *session;
static struct leg *leg;
static struct arena leg_arena;
static struct head answer_head;
static void nothing(struct session *s) { (void)s; }
static struct leg *on_open(struct session *s) {
    memset(leg, 0, sizeof *leg + s->codec->leg_size);
    arena_init(&leg_arena, &pool);
    leg->session = s;
    leg->arena = &leg_arena;
    return leg;
}
static void on_head(struct leg *g, const struct head *h) { (void)g; (void)h; }
static void on_end(struct leg *g, const struct head *trailers) { (void)trailers; g->session->codec->send_head(g, &answer_head); }
static void on_closed(struct leg *g, const struct fault *f) { g->session = NULL; if (f) abort(); }
static void pull(struct leg *g, size_t max, struct pulled *v) {
    (void)g;
    (void)max;
    v->v[v->nv++] = STR("hello, world\n");
    v->bytes = 13;
    v->end = true;
}
static const struct codec_events events = { .on_slots = nothing, .on_open = on_open, .on_head = on_head, .on_end = on_end, .on_closed = on_closed, .pull = pull };

static void exchange(const char *text, size_t n) {
    instant now = { 1 };
    if (session->codec->feed(session, (const uint8_t *)text, n, now) != n) abort();
    out_begin(&out, OUT_LIMIT);
    session->codec->output(session, &out, now);
    if (leg->session || out.bytes < 50) abort();
    arena_clear(&leg_arena);
}

static void setup(void) {
    static struct arena forever;
    const struct codec *c = codec_by_name(STR("http1"));
    arena_pool_init(&pool, 8);
    out_init(&out);
    arena_init(&forever, NULL);
    parse(request, sizeof request - 1);
    kept = http1_keep(&message, (const uint8_t *)request, sizeof request - 1, &forever);
    session = mem_zalloc(sizeof *session + c->session_size);
    leg = mem_zalloc(sizeof *leg + c->leg_size);
    *session = (struct session){ .codec = c, .ev = &events, .role = CODEC_DOWN, .wake = INSTANT_NEVER };
    list_init(&session->legs);
    c->open(session, (instant){ 1 });
    head_init(&answer_head, &forever, false);
    answer_head.status = 200;
    answer_head.body = BODY_LENGTH;
    answer_head.length = 13;
    head_add(&answer_head, STR("content-type"), STR("text/plain"));
    head_add(&answer_head, STR("server"), STR("nginx"));
}

int main(void) {
    static const struct work works[] = {
        { "find the end (10 headers)", request, find_end }, { "parse (10 headers)", request, parse }, { "parse, keep (10 headers)", request, all_of_it },
        { "parse, keep (2 headers)", small, all_of_it }, { "parse an answer (5 headers)", answer, parse_answer },
        { "check and write (10 headers)", request, write_it }, { "exchange at a client's session (2 headers)", small, exchange },
        { "exchange at a client's session (10 headers)", request, exchange },
    };
    setup();
    printf("%-46s %8s %8s\n", "", "bytes", "ns");
    for (size_t i = 0; i < sizeof works / sizeof works[0]; i++) {
        int64_t best = INT64_MAX;
        size_t n = strlen(works[i].text);
        for (unsigned k = 0; k < REPEATS; k++) {
            int64_t from = clock_ns();
            for (unsigned j = 0; j < RUNS; j++) works[i].once(works[i].text, n);
            int64_t took = clock_ns() - from;
            if (took < best) best = took;
        }
        printf("%-46s %8zu %8" PRId64 "\n", works[i].name, n, best / RUNS);
    }
    return 0;
}
