// SPDX-License-Identifier: Apache-2.0
// What HTTP/2 costs without a kernel: CPU ns a request through a pair of sessions in memory, client role to server role and back, both sides
// counted; with the fields of a usual gRPC call, small and large bodies, and cancelled halfway. A turn carries 16 requests, one write a side.
//   gcc -O2 -I. tests/bench/http2_bench.c codecs/http2*.c codecs/registry.c core/*.c conf/*.c -lnghttp2 -lyaml && ./a.out
#include "codecs/codec.h"
#include "conf/conf.h"
#include "core/buffer.h"
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { AT_ONCE = 16, LARGE = 64 << 10 };
struct exchange {
    struct arena arena;
    struct side *side;
    size_t given, total;
    bool live;
    struct leg leg; /* last */
};
struct side {
    struct session *s;
    struct exchange *all[AT_ONCE * 4];
    size_t nall, wire, cap;
    uint8_t *bytes;
    struct out out;
};
static const struct codec *codec;
static struct arena_pool pool;
static struct side up, down;
static uint8_t zeros[LARGE];
static size_t answer_bytes;
static bool answers;
static uint64_t done, failed;

static struct side *side_of(const struct session *s) { return s == up.s ? &up : &down; }
static struct exchange *of(struct leg *g) { return CONTAINER_OF(g, struct exchange, leg); }

static struct exchange *exchange_new(struct side *d) {
    struct exchange *x = NULL;
    for (size_t i = 0; i < d->nall && !x; i++) {
        if (!d->all[i]->live) x = d->all[i];
    }
    if (!x) {
        assert(d->nall < AT_ONCE * 4);
        x = d->all[d->nall++] = mem_zalloc(sizeof *x + codec->leg_size);
    }
    arena_clear(&x->arena);
    memset(x, 0, sizeof *x + codec->leg_size);
    arena_init(&x->arena, &pool);
    x->side = d;
    x->live = true;
    x->leg.arena = &x->arena;
    x->leg.session = d->s;
    list_push(&d->s->legs, &x->leg.node);
    d->s->live++;
    return x;
}
static struct leg *on_open(struct session *s) { return &exchange_new(side_of(s))->leg; }
static void on_head(struct leg *g, const struct head *h) { (void)g, (void)h; }
static void on_body(struct leg *g, const uint8_t *p, size_t n, bool copied) {
    (void)p, (void)copied;
    codec->credit(g, n);
}
static void on_end(struct leg *g, const struct head *trailers) {
    struct exchange *x = of(g);
    (void)trailers;
    if (x->side == &up || !answers) return;
    struct head *h = ARENA_NEW(&x->arena, struct head), *t = ARENA_NEW(&x->arena, struct head);
    head_init(h, &x->arena, false);
    h->status = 200;
    h->body = BODY_STREAM;
    head_add(h, STR("content-type"), STR("application/grpc"));
    head_init(t, &x->arena, false);
    head_add(t, STR("grpc-status"), STR("0"));
    x->total = answer_bytes;
    codec->send_head(g, h);
    codec->send_trailers(g, t);
}
static void on_closed(struct leg *g, const struct fault *f) {
    struct exchange *x = of(g);
    list_del(&g->node);
    x->side->s->live--;
    x->live = false;
    if (x->side == &up) f ? failed++ : done++;
}
static void on_session(struct session *s, const struct fault *f) { (void)s, (void)f; }
static void pull(struct leg *g, size_t max, struct pulled *v) {
    struct exchange *x = of(g);
    size_t n = x->total - x->given < max ? x->total - x->given : max;
    *v = (struct pulled){ .v = { { (const char *)zeros + x->given, n } }, .nv = n > 0, .bytes = n };
    x->given += n;
    v->end = x->given == x->total;
}
static const struct codec_events events = { .on_open = on_open, .on_head = on_head, .on_body = on_body, .on_end = on_end, .on_closed = on_closed,
                                            .on_goaway = on_session, .on_fault = on_session, .pull = pull };

static void side_open(struct side *d, enum codec_role role, const void *conf) {
    d->s = mem_zalloc(sizeof *d->s + codec->session_size);
    *d->s = (struct session){ .codec = codec, .ev = &events, .conf = conf, .role = role, .trusted = true };
    list_init(&d->s->legs);
    out_init(&d->out);
    d->bytes = mem_alloc(d->cap = 4 << 20);
    codec->open(d->s, (instant){ 0 });
}

/* Stands for the kernel: one copy, as of any proxy's bytes. */
static bool carry(struct side *from, struct side *to) {
    size_t n = 0;
    while (from->s->wants_output) {
        out_begin(&from->out, OUT_LIMIT);
        codec->output(from->s, &from->out, (instant){ 0 });
        for (unsigned i = 0; i < from->out.niov; i++) {
            assert(n + from->out.iov[i].iov_len <= from->cap);
            memcpy(from->bytes + n, from->out.iov[i].iov_base, from->out.iov[i].iov_len);
            n += from->out.iov[i].iov_len;
        }
    }
    if (n) codec->feed(to->s, from->bytes, n, (instant){ 0 });
    return n > 0;
}
static void talk(void) {
    for (bool more = true; more;) {
        more = carry(&up, &down);
        if (carry(&down, &up)) more = true;
    }
}

static struct exchange *ask(size_t body) {
    struct exchange *x = exchange_new(&up);
    struct head *h = ARENA_NEW(&x->arena, struct head);
    head_init(h, &x->arena, true);
    h->method = STR("POST");
    h->scheme = STR("http");
    h->authority = STR("orders.example.com");
    h->target = STR("/shop.Orders/Get");
    h->te_trailers = true;
    h->body = body ? BODY_STREAM : BODY_NONE;
    head_add(h, STR("content-type"), STR("application/grpc"));
    head_add(h, STR("user-agent"), STR("grpc-c++/1.51.1 grpc-c/29.0.0 (linux; chttp2)"));
    head_add(h, STR("grpc-timeout"), STR("498m"));
    head_add(h, STR("grpc-accept-encoding"), STR("identity, deflate, gzip"));
    head_add(h, STR("traceparent"), STR("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"));
    x->total = body;
    codec->begin(up.s, &x->leg);
    codec->send_head(&x->leg, h);
    return x;
}

static int64_t cpu_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (int64_t)t.tv_sec * NS_PER_S + t.tv_nsec;
}

static void run(const char *what, size_t request, size_t answer, bool cancelled, size_t rounds) {
    done = failed = 0;
    answer_bytes = answer;
    answers = !cancelled;
    int64_t begun = 0;
    for (size_t i = 0; i < rounds + rounds / 10; i++) { /* the first tenth warms up */
        if (i == rounds / 10) begun = cpu_ns(), done = failed = 0;
        struct exchange *x[AT_ONCE];
        for (size_t k = 0; k < AT_ONCE; k++) x[k] = ask(request);
        talk();
        for (size_t k = 0; cancelled && k < AT_ONCE; k++) codec->cancel(&x[k]->leg, ENDING_DEADLINE, 0, CANCEL_BAND);
        talk();
    }
    assert(done + failed == rounds * AT_ONCE && (cancelled ? done : failed) == 0);
    printf("%-58s %8.0f ns\n", what, (double)(cpu_ns() - begun) / (double)(rounds * AT_ONCE));
}

int main(void) {
    struct conf c;
    codec = codec_by_name(STR("http2"));
    arena_pool_init(&pool, 1000);
    conf_init(&c);
    void *conf = arena_alloc(&c.arena, 4096);
    if (!conf_load(&c, NULL, codec->options, conf)) return 1;
    side_open(&up, CODEC_UP, conf);
    side_open(&down, CODEC_DOWN, conf);
    talk();
    run("request without a body, answer of 14 bytes with trailers", 0, 14, false, 20000);
    run("request of 100 bytes, answer of 1 KiB", 100, 1 << 10, false, 20000);
    run("answer of 64 KiB", 0, LARGE, false, 2000);
    run("request cancelled before its answer", 0, 0, true, 20000);
    return 0;
}
