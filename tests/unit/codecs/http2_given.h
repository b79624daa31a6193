// SPDX-License-Identifier: Apache-2.0
// Sessions of the HTTP/2 codec in memory: the test is the core. A side is one session; two sides make a pair that talks over a wire which
// the test owns; or one side talks to frames that the test wrote byte by byte. Time is stepped. What a side wrote is kept as frames, and
// what it said upwards is kept an exchange. Nothing here knows how the codec does its work.
#ifndef CURFEW_TESTS_HTTP2_GIVEN_H
#define CURFEW_TESTS_HTTP2_GIVEN_H
// clang-format off
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
// clang-format on
#include "codecs/http2.h"
#include "core/buffer.h"
#include <stdio.h>
#include <stdlib.h>

#define MS(n) ((instant){ (n) * NS_PER_MS })
#define MAX_EXCHANGES 256u

struct frame { uint8_t type, flags; int32_t stream; size_t len; uint32_t word; }; /* word: the code of RST_STREAM and GOAWAY, an increment */
struct side;
struct exchange {
    struct side *side;
    struct arena arena;
    struct head *head, *trailers;
    unsigned interims, heads, ends, closes;
    bool good;               /* on_closed(NULL) */
    struct fault fault;
    struct buffer body;      /* what came */
    struct buffer gives;     /* what pull gives */
    size_t offset, in_flight, slice;
    bool gives_end;
    bool hold;               /* no credit */
    void (*then)(struct exchange *x, char event); /* called in events: h head, b body, e end, c closed, p pull */
    bool live;
    char order[64];          /* events as letters */
    struct leg leg;          /* last: the tail follows */
};
struct side {
    const struct codec *codec;
    struct session *s;
    struct http2_conf conf;
    struct out out;
    struct buffer wire;      /* written, not yet at the other side */
    struct frame frames[4096];
    size_t nframes, magic;
    uint8_t tail[64 << 10];  /* written, not yet a whole frame */
    size_t ntail;
    struct exchange *x[MAX_EXCHANGES];
    size_t nx;
    bool refuses;            /* on_open gives NULL */
    void (*then)(struct exchange *x, char event);
    unsigned faults, goaways, slot_changes;
    struct fault fault, goaway;
    instant now;
    size_t limit;            /* of one output */
    bool blocked;            /* the socket takes nothing */
};
struct pair { struct side up, down; };

static inline struct side *side_of(const struct session *s);
static struct side *sides[4]; /* which sessions there are */
static inline struct side *side_of(const struct session *s) {
    for (size_t i = 0; i < 4; i++) {
        if (sides[i] && sides[i]->s == s) return sides[i];
    }
    fail_msg("an event of a session that is not open");
    return NULL;
}
static inline struct exchange *exchange_of(struct leg *g) { return CONTAINER_OF(g, struct exchange, leg); }

/* ---- events ------------------------------------------------------------------------------------------------------------------- */

static inline void note(struct exchange *x, char event) {
    size_t n = strlen(x->order);
    if (n + 1 < sizeof x->order) x->order[n] = event;
    if (x->then) x->then(x, event);
}
static inline struct exchange *exchange_new(struct side *d) {
    struct exchange *x = mem_zalloc(sizeof *x + d->codec->leg_size);
    arena_init(&x->arena, NULL);
    buffer_init(&x->body, 1 << 30);
    buffer_init(&x->gives, 1 << 30);
    x->side = d;
    x->slice = 1000;
    x->then = d->then;
    x->live = true;
    x->leg.arena = &x->arena;
    x->leg.session = d->s;
    list_push(&d->s->legs, &x->leg.node);
    d->s->live++;
    assert_true(d->nx < MAX_EXCHANGES);
    d->x[d->nx++] = x;
    return x;
}
static inline void on_slots(struct session *s) { side_of(s)->slot_changes++; }
static inline struct leg *on_open(struct session *s) {
    struct side *d = side_of(s);
    return d->refuses ? NULL : &exchange_new(d)->leg;
}
static inline void on_head(struct leg *g, const struct head *h) {
    struct exchange *x = exchange_of(g);
    assert_true(x->live);
    if (h->interim) x->interims++;
    else x->head = head_clone(h, &x->arena), x->heads++;
    note(x, h->interim ? 'i' : 'h');
}
static inline void on_unfit(struct leg *g, const struct head *h, const struct fault *f) {
    struct exchange *x = exchange_of(g);
    assert_true(x->live && h->request);
    x->head = head_clone(h, &x->arena), x->heads++;
    x->fault = *f;
    note(x, 'u');
}
static inline void on_body(struct leg *g, const uint8_t *p, size_t n, bool copied) {
    struct exchange *x = exchange_of(g);
    assert_true(x->live && x->heads == 1 && x->ends == 0 && n > 0);
    assert_false(copied);
    buffer_append(&x->body, p, n);
    if (!x->hold) x->side->codec->credit(g, n);
    note(x, 'b');
}
static inline void on_end(struct leg *g, const struct head *trailers) {
    struct exchange *x = exchange_of(g);
    assert_true(x->live && x->heads == 1);
    x->ends++;
    if (trailers) x->trailers = head_clone(trailers, &x->arena);
    note(x, 'e');
}
static inline void on_half_close(struct leg *g) { note(exchange_of(g), 'H'); }
static inline void on_closed(struct leg *g, const struct fault *f) {
    struct exchange *x = exchange_of(g);
    assert_true(x->live);
    x->live = false;
    x->closes++;
    x->good = f == NULL;
    if (f) x->fault = *f;
    list_del(&g->node);
    x->side->s->live--;
    note(x, 'c');
}
static inline void on_goaway(struct session *s, const struct fault *f) {
    side_of(s)->goaways++;
    side_of(s)->goaway = *f;
}
static inline void on_fault(struct session *s, const struct fault *f) {
    struct side *d = side_of(s);
    d->faults++;
    d->fault = *f;
    for (size_t i = 0; i < d->nx; i++) assert_false(d->x[i]->live); /* each leg heard of it before */
}
static inline void pull(struct leg *g, size_t max, struct pulled *v) {
    struct exchange *x = exchange_of(g);
    assert_true(x->live && max > 0);
    *v = (struct pulled){ 0 };
    size_t left = buffer_size(&x->gives) - x->offset;
    while (left && max && v->nv < 16) {
        size_t n = left < max ? left : max;
        if (n > x->slice) n = x->slice;
        v->v[v->nv++] = (struct str){ (const char *)buffer_data(&x->gives) + x->offset, n };
        x->offset += n;
        v->bytes += n;
        left -= n;
        max -= n;
    }
    v->end = x->gives_end && left == 0;
    x->in_flight += v->bytes;
    note(x, 'p');
}
static inline void pulled(struct leg *g, size_t n) {
    assert_true(exchange_of(g)->in_flight >= n);
    exchange_of(g)->in_flight -= n;
}
static const struct codec_events given_events = {
    .on_slots = on_slots, .on_open = on_open, .on_head = on_head, .on_unfit = on_unfit, .on_body = on_body, .on_end = on_end,
    .on_half_close = on_half_close, .on_closed = on_closed, .on_goaway = on_goaway, .on_fault = on_fault, .pull = pull, .pulled = pulled,
};

/* ---- a side --------------------------------------------------------------------------------------------------------------------- */

static inline void side_open(struct side *d, enum codec_role role) {
    struct conf c;
    const struct codec *codec = codec_by_name(STR("http2"));
    assert_non_null(codec);
    conf_init(&c);
    memset(d, 0, sizeof *d);
    assert_true(conf_load(&c, NULL, codec->options, &d->conf));
    conf_free(&c);
    d->codec = codec;
    d->s = mem_zalloc(sizeof *d->s + codec->session_size);
    d->s->codec = codec;
    d->s->ev = &given_events;
    d->s->conf = &d->conf;
    d->s->role = role;
    d->s->wake = INSTANT_NEVER;
    list_init(&d->s->legs);
    d->limit = OUT_LIMIT;
    d->magic = role == CODEC_UP ? NGHTTP2_CLIENT_MAGIC_LEN : 0;
    d->now = MS(1000);
    buffer_init(&d->wire, 1 << 30);
    out_init(&d->out);
    for (size_t i = 0; i < 4; i++) {
        if (sides[i]) continue;
        sides[i] = d;
        break;
    }
}
static inline void side_begin(struct side *d) { d->codec->open(d->s, d->now); }

static inline uint32_t be32(const uint8_t *p) { return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3]; }
static inline void note_frames(struct side *d, const uint8_t *p, size_t n) {
    assert_true(d->ntail + n <= sizeof d->tail);
    memcpy(d->tail + d->ntail, p, n);
    d->ntail += n;
    size_t at = 0;
    if (d->magic) {
        if (d->ntail < d->magic) return;
        at = d->magic;
        d->magic = 0;
    }
    while (d->ntail - at >= 9) {
        const uint8_t *f = d->tail + at;
        size_t len = be32(f) >> 8;
        if (d->ntail - at < 9 + len) break;
        struct frame *to = &d->frames[d->nframes++ % 4096];
        *to = (struct frame){ .type = f[3], .flags = f[4], .stream = (int32_t)(be32(f + 5) & 0x7fffffff), .len = len };
        if (f[3] == NGHTTP2_RST_STREAM || f[3] == NGHTTP2_WINDOW_UPDATE) to->word = be32(f + 9);
        if (f[3] == NGHTTP2_GOAWAY) to->word = be32(f + 13);
        at += 9 + len;
    }
    memmove(d->tail, d->tail + at, d->ntail - at);
    d->ntail -= at;
}

/* One call of output and the write that follows it. Returns the bytes. */
static inline size_t side_write(struct side *d) {
    out_begin(&d->out, d->blocked ? 0 : d->limit);
    d->codec->output(d->s, &d->out, d->now);
    size_t n = 0;
    for (unsigned i = 0; i < d->out.niov; i++) {
        const uint8_t *p = d->out.iov[i].iov_base;
        for (size_t at = 0; at < d->out.iov[i].iov_len; at += 4096) {
            size_t piece = d->out.iov[i].iov_len - at < 4096 ? d->out.iov[i].iov_len - at : 4096;
            note_frames(d, p + at, piece);
        }
        buffer_append(&d->wire, p, d->out.iov[i].iov_len);
        n += d->out.iov[i].iov_len;
    }
    for (unsigned i = 0; i < d->out.nrefs; i++) d->out.refs[i].leg ? pulled(d->out.refs[i].leg, d->out.refs[i].n) : (void)0;
    return n;
}
/* Writes until nothing is left. */
static inline void side_flush(struct side *d) {
    for (unsigned i = 0; d->s->wants_output; i++) {
        assert_true(i < 100000); /* wants_output that never ends is a spinning gateway */
        size_t n = side_write(d);
        if (d->blocked && n == 0) break;
    }
}
static inline bool side_takes(const struct side *d) { return d->s->next != NEXT_CLOSE && !d->faults; }
static inline void side_feed(struct side *d, const void *p, size_t n) {
    if (n && side_takes(d)) assert_int_equal(d->codec->feed(d->s, p, n, d->now), n);
}
static inline void exchange_free(struct exchange *x) {
    arena_clear(&x->arena);
    buffer_free(&x->body);
    buffer_free(&x->gives);
    free(x);
}
/* Gives back the exchanges that are over, so that a scenario may have thousands. */
static inline void side_forget(struct side *d) {
    size_t kept = 0;
    for (size_t i = 0; i < d->nx; i++) {
        if (d->x[i]->live) d->x[kept++] = d->x[i];
        else exchange_free(d->x[i]);
    }
    d->nx = kept;
}
/* The end of a scenario: whoever is left hears that the connection is gone, exactly once. */
static inline void side_close(struct side *d) {
    d->codec->lost(d->s, &(struct fault){ .why = d->s->role == CODEC_UP ? ENDING_UPSTREAM_CLOSED : ENDING_CLIENT_RESET });
    for (size_t i = 0; i < d->nx; i++) assert_int_equal(d->x[i]->closes, 1);
    assert_int_equal(d->s->live, 0);
    d->codec->close(d->s);
    for (size_t i = 0; i < 4; i++) {
        if (sides[i] == d) sides[i] = NULL;
    }
    for (size_t i = 0; i < d->nx; i++) exchange_free(d->x[i]);
    buffer_free(&d->wire);
    out_free(&d->out);
    free(d->s);
}

/* ---- what was written -------------------------------------------------------------------------------------------------------------- */

/* How many frames of that type for that stream (-1: any), with that code (-1: any). */
static inline size_t wrote(const struct side *d, uint8_t type, int32_t stream, int64_t word) {
    size_t n = 0;
    for (size_t i = 0; i < d->nframes; i++) {
        const struct frame *f = &d->frames[i];
        if (f->type == type && (stream < 0 || f->stream == stream) && (word < 0 || f->word == word)) n++;
    }
    return n;
}
static inline size_t resets(const struct side *d, int32_t stream, int64_t code) { return wrote(d, NGHTTP2_RST_STREAM, stream, code); }

/* ---- a pair --------------------------------------------------------------------------------------------------------------------------- */

static inline bool carry(struct side *from, struct side *to) {
    side_flush(from);
    size_t n = buffer_size(&from->wire);
    if (!n) return false;
    uint8_t *copy = mem_alloc(n); /* of its exact size, so that reading past it is seen */
    memcpy(copy, buffer_data(&from->wire), n);
    buffer_take(&from->wire, n);
    side_feed(to, copy, n);
    free(copy);
    return true;
}
static inline void talk(struct pair *p) {
    for (bool more = true; more;) {
        more = carry(&p->up, &p->down);
        if (carry(&p->down, &p->up)) more = true;
    }
}
static inline void pair_at(struct pair *p, instant t) {
    p->up.now = p->down.now = t;
    p->up.codec->tick(p->up.s, t);
    p->down.codec->tick(p->down.s, t);
    talk(p);
}
static inline void pair_open(struct pair *p) {
    side_open(&p->up, CODEC_UP);
    side_open(&p->down, CODEC_DOWN);
}
static inline void pair_begin(struct pair *p) {
    side_begin(&p->up);
    side_begin(&p->down);
    talk(p);
}
static inline void pair_start(struct pair *p) { pair_open(p), pair_begin(p); }
/* Its upstream has a reset budget of so many at once, and one more each `every`. */
static inline void pair_start_with_budget(struct pair *p, unsigned burst, span every) {
    pair_open(p);
    p->down.s->trusted = true; /* as far as it is about resets, the other side bears them */
    p->up.s->cancel_burst = burst;
    p->up.s->cancel_every = every;
    pair_begin(p);
}
static inline void pair_close(struct pair *p) {
    side_close(&p->up);
    side_close(&p->down);
}

/* ---- exchanges --------------------------------------------------------------------------------------------------------------------------- */

static inline struct head *request_head(struct exchange *x, const char *method, const char *path) {
    struct head *h = ARENA_NEW(&x->arena, struct head);
    head_init(h, &x->arena, true);
    h->method = str_of(method);
    h->scheme = STR("http");
    h->authority = STR("example.com");
    h->target = str_of(path);
    return h;
}
static inline struct head *answer_head(struct exchange *x, uint16_t status, enum body_kind body) {
    struct head *h = ARENA_NEW(&x->arena, struct head);
    head_init(h, &x->arena, false);
    h->status = status;
    h->body = body;
    h->interim = status < 200 && status != 101;
    return h;
}
static inline struct exchange *begun(struct side *up) {
    struct exchange *x = exchange_new(up);
    assert_true(up->s->slots >= up->s->live);
    up->codec->begin(up->s, &x->leg);
    return x;
}
static inline struct exchange *asked(struct side *up, const char *method, const char *path) {
    struct exchange *x = begun(up);
    up->codec->send_head(&x->leg, request_head(x, method, path));
    return x;
}
/* A request with a body: give() adds to it. */
static inline struct exchange *uploading(struct side *up, const char *path) {
    struct exchange *x = begun(up);
    struct head *h = request_head(x, "POST", path);
    h->body = BODY_STREAM;
    up->codec->send_head(&x->leg, h);
    return x;
}
static inline void give(struct exchange *x, const void *p, size_t n, bool end) {
    buffer_append(&x->gives, p, n);
    x->gives_end = end;
    x->side->codec->ready(&x->leg);
}
static inline void give_zeros(struct exchange *x, size_t n, bool end) {
    void *p = mem_zalloc(n);
    give(x, p, n, end);
    free(p);
}
static inline struct exchange *latest(struct side *d) { return d->nx ? d->x[d->nx - 1] : NULL; }
static inline void answer_plain(struct exchange *x, uint16_t status) {
    x->side->codec->send_head(&x->leg, answer_head(x, status, BODY_NONE));
}
static inline void answer_body(struct exchange *x, uint16_t status) {
    x->side->codec->send_head(&x->leg, answer_head(x, status, BODY_STREAM));
}
static inline enum cancel_way cancel(struct exchange *x, enum ending why, enum reset_word said, enum cancel_way want) {
    return x->side->codec->cancel(&x->leg, why, said, want);
}
static inline void trailer(struct exchange *x, const char *name, const char *value) {
    struct head *h = ARENA_NEW(&x->arena, struct head);
    head_init(h, &x->arena, false);
    head_add(h, str_of(name), str_of(value));
    x->side->codec->send_trailers(&x->leg, h);
}

#define assert_str(s, literal) do { struct str s_ = (s); assert_int_equal(s_.n, strlen(literal)); assert_memory_equal(s_.p, literal, s_.n); } while (0)
#define assert_field(h, name, literal) do { \
        const struct field *f_ = head_find_name((h), STR(name), NULL); assert_non_null(f_); assert_str(f_->value, literal); } while (0)
#define assert_no_field(h, name) assert_null(head_find_name((h), STR(name), NULL))
#define assert_ended(x, ending, code) do { assert_int_equal((x)->closes, 1); assert_false((x)->good); \
        assert_string_equal(ending_name((x)->fault.why), ending_name(ending)); assert_int_equal((x)->fault.wire, code); } while (0)
#define assert_ended_well(x) do { assert_int_equal((x)->closes, 1); assert_true((x)->good); } while (0)
#define assert_lives(x) assert_int_equal((x)->closes, 0)

/* ---- frames by hand -------------------------------------------------------------------------------------------------------------------------- */

struct script { uint8_t p[256 << 10]; size_t n; nghttp2_hd_deflater *hd; };
static inline void script_raw(struct script *t, const void *p, size_t n) {
    assert_true(t->n + n <= sizeof t->p);
    memcpy(t->p + t->n, p, n);
    t->n += n;
}
static inline void script_frame(struct script *t, uint8_t type, uint8_t flags, int32_t stream, const void *p, size_t n) {
    uint8_t h[9] = { (uint8_t)(n >> 16), (uint8_t)(n >> 8), (uint8_t)n, type, flags, (uint8_t)(stream >> 24), (uint8_t)(stream >> 16),
                     (uint8_t)(stream >> 8), (uint8_t)stream };
    script_raw(t, h, 9);
    script_raw(t, p, n);
}
static inline void script_word(struct script *t, uint8_t type, int32_t stream, uint32_t word) {
    uint8_t w[4] = { (uint8_t)(word >> 24), (uint8_t)(word >> 16), (uint8_t)(word >> 8), (uint8_t)word };
    script_frame(t, type, 0, stream, w, 4);
}
static inline void script_goaway(struct script *t, uint32_t last, uint32_t code) {
    uint8_t w[8] = { (uint8_t)(last >> 24), (uint8_t)(last >> 16), (uint8_t)(last >> 8), (uint8_t)last,
                     (uint8_t)(code >> 24), (uint8_t)(code >> 16), (uint8_t)(code >> 8), (uint8_t)code };
    script_frame(t, NGHTTP2_GOAWAY, 0, 0, w, 8);
}
static inline void script_setting(struct script *t, uint16_t id, uint32_t v) {
    uint8_t w[6] = { (uint8_t)(id >> 8), (uint8_t)id, (uint8_t)(v >> 24), (uint8_t)(v >> 16), (uint8_t)(v >> 8), (uint8_t)v };
    script_frame(t, NGHTTP2_SETTINGS, 0, 0, w, 6);
}
struct pairs { const char *name, *value; };
/* A header block of name, value, ..., as they are: nothing is checked. */
static inline void script_headers(struct script *t, int32_t stream, bool end, const struct pairs *v) {
    nghttp2_nv nv[64];
    size_t n = 0;
    for (; v[n].name; n++) {
        nv[n] = (nghttp2_nv){ (uint8_t *)(uintptr_t)v[n].name, (uint8_t *)(uintptr_t)v[n].value, strlen(v[n].name), strlen(v[n].value), 0 };
    }
    if (!t->hd) assert_int_equal(nghttp2_hd_deflate_new(&t->hd, 4096), 0);
    static uint8_t block[128 << 10];
    ssize_t len = nghttp2_hd_deflate_hd(t->hd, block, sizeof block, nv, n);
    assert_true(len >= 0);
    size_t left = (size_t)len, at = 0;
    for (uint8_t type = NGHTTP2_HEADERS; left || type == NGHTTP2_HEADERS; type = NGHTTP2_CONTINUATION) {
        size_t piece = left < 16384 ? left : 16384;
        left -= piece;
        uint8_t flags = (uint8_t)((left ? 0 : NGHTTP2_FLAG_END_HEADERS) | (type == NGHTTP2_HEADERS && end ? NGHTTP2_FLAG_END_STREAM : 0));
        script_frame(t, type, flags, stream, block + at, piece);
        at += piece;
    }
}
#define HEADERS(t, stream, end, ...) script_headers((t), (stream), (end), (const struct pairs[]){ __VA_ARGS__, { 0 } })
#define GET(t, stream, end, ...) \
    HEADERS(t, stream, end, { ":method", "GET" }, { ":scheme", "http" }, { ":path", "/" }, { ":authority", "a" }, ##__VA_ARGS__)
static inline void script_send(struct script *t, struct side *to) {
    uint8_t *copy = mem_alloc(t->n);
    memcpy(copy, t->p, t->n);
    side_feed(to, copy, t->n);
    free(copy);
    t->n = 0;
    side_flush(to);
}
static inline void script_free(struct script *t) {
    if (t->hd) nghttp2_hd_deflate_del(t->hd);
    free(t);
}
/* A server session whose client is a script, with both prefaces exchanged; or a client session whose server is one. */
static inline struct script *script_to(struct side *d, enum codec_role role) {
    struct script *t = mem_zalloc(sizeof *t);
    side_open(d, role);
    (void)t;
    return t;
}
static inline void script_begin(struct script *t, struct side *d) {
    side_begin(d);
    if (d->s->role == CODEC_DOWN) script_raw(t, NGHTTP2_CLIENT_MAGIC, NGHTTP2_CLIENT_MAGIC_LEN);
    script_frame(t, NGHTTP2_SETTINGS, 0, 0, "", 0);
    side_flush(d);
    script_frame(t, NGHTTP2_SETTINGS, NGHTTP2_FLAG_ACK, 0, "", 0);
    script_send(t, d);
}
#endif
