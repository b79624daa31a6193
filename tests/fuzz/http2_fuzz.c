// SPDX-License-Identifier: Apache-2.0
// HTTP/2 sessions of both roles against a hostile peer: random bytes behind a preface, or well-formed frames made from the input, in any order,
// cut anywhere, while the core asks, answers, cancels, ticks and shuts down. The rig checks the contract at every event; here it is checked
// that no head which another protocol would frame differently gets through (trap T25).
//
// Input: a byte of flags (1 up, 2 frames, 4 silent, 8 streams, 16 trusted, 32 a small reset budget, 64 long heads), a byte of room a write, then the peer.
#include "codecs/http2.h"
#include "tests/contract/rig.h"

enum { ENOUGH_LEGS = 100, PIECE = 512, STEPS = 400 };
struct input { const uint8_t *p; size_t n; };
struct peer { struct rig *r; nghttp2_hd_deflater *hd; uint8_t frame[9 + 4096]; };

static uint8_t byte(struct input *in) { return in->n ? (in->n--, *in->p++) : 0; }
static struct str bytes(struct input *in, size_t n) {
    if (n > in->n) n = in->n;
    struct str s = { (const char *)in->p, n };
    in->p += n;
    in->n -= n;
    return s;
}

static void check_head(const struct head *h) {
    for (size_t i = 0; i < h->nfields; i++) {
        const struct field *f = &h->fields[i];
        if (field_is_removed(f)) continue;
        RIG_CHECK(f->token != TOKEN_HOST && f->token != TOKEN_CONTENT_LENGTH && f->token != TOKEN_TRANSFER_ENCODING && f->token != TOKEN_CONNECTION);
        RIG_CHECK(f->token != TOKEN_KEEP_ALIVE && f->token != TOKEN_UPGRADE && f->token != TOKEN_TE && f->token != TOKEN_PROXY_CONNECTION);
        for (size_t k = 0; k < f->name.n; k++) RIG_CHECK(f->name.p[k] < 'A' || f->name.p[k] > 'Z');
    }
    if (!h->request) {
        RIG_CHECK(h->status >= 100 && h->status <= 999);
        return;
    }
    RIG_CHECK(is_token(h->method));
    RIG_CHECK(h->target.n || str_eq(h->method, STR("CONNECT")));
    for (size_t i = 0; i < h->target.n; i++) RIG_CHECK((unsigned char)h->target.p[i] > ' ' && h->target.p[i] != 0x7f && h->target.p[i] != '#');
    RIG_CHECK(h->authority.n && is_field_value(h->authority) && str_index(h->authority, ' ') == h->authority.n);
}

static void on_event(struct rig *r, struct leg *g, enum rig_event e) {
    r->refuse_open = r->nlegs > ENOUGH_LEGS;
    if (e == RIG_HEAD && rig_leg_of(g)->head) check_head(rig_leg_of(g)->head);
}

static void feed(struct rig *r, const uint8_t *p, size_t n) {
    for (size_t at = 0; at < n; at += PIECE) rig_feed(r, p + at, n - at < PIECE ? n - at : PIECE);
}

static void send_frame(struct peer *t, uint8_t type, uint8_t flags, uint32_t stream, const void *p, size_t n) {
    if (n > 4096) n = 4096;
    const uint8_t head[9] = { (uint8_t)(n >> 16), (uint8_t)(n >> 8), (uint8_t)n, type, flags, (uint8_t)(stream >> 24), (uint8_t)(stream >> 16),
                              (uint8_t)(stream >> 8), (uint8_t)stream };
    memcpy(t->frame, head, 9);
    if (n) memcpy(t->frame + 9, p, n);
    feed(t->r, t->frame, 9 + n);
}

static void send_headers(struct peer *t, struct input *in, uint32_t stream, uint8_t flags) {
    static const char *const names[] = { ":method", ":scheme", ":path", ":authority", ":status", ":protocol", "host", "content-length", "te",
                                         "connection", "cookie", "expect", "x-a", "grpc-timeout", "sec-websocket-key", "transfer-encoding" };
    static const char *const values[] = { "GET", "http", "/", "example.com", "200", "websocket", "103", "0", "5", "trailers", "POST", "CONNECT",
                                          "HEAD", "https", "101", "304" };
    nghttp2_nv nv[24];
    size_t n = 0;
    for (size_t i = 0, count = byte(in) % 20; i < count; i++) {
        uint8_t which = byte(in);
        struct str name = str_of(names[which & 15]), value = str_of(values[which >> 4]);
        if (which == 0xff) name = bytes(in, byte(in) % 32), value = bytes(in, byte(in));
        nv[n++] = (nghttp2_nv){ (uint8_t *)(uintptr_t)name.p, (uint8_t *)(uintptr_t)value.p, name.n, value.n, which & 1 };
    }
    uint8_t block[4096];
    ssize_t len = nghttp2_hd_deflate_hd(t->hd, block, sizeof block, nv, n);
    if (len < 0) return;
    size_t cut = flags & NGHTTP2_FLAG_END_HEADERS ? (size_t)len : (size_t)len / 2;
    send_frame(t, NGHTTP2_HEADERS, flags & (NGHTTP2_FLAG_END_HEADERS | NGHTTP2_FLAG_END_STREAM), stream, block, cut);
    if (cut != (size_t)len) send_frame(t, NGHTTP2_CONTINUATION, NGHTTP2_FLAG_END_HEADERS, stream, block + cut, (size_t)len - cut);
}

/* The socket is behind: what waits stays, and may be withdrawn by what comes next. */
static void rig_write_without_room(struct rig *r) {
    size_t limit = r->limit;
    r->limit = 0;
    rig_write(r);
    RIG_CHECK(r->out.bytes == 0);
    r->limit = limit;
}

/* What the core does between two reads. */
static void core_acts(struct rig *r, struct input *in) {
    uint8_t what = byte(in), which = byte(in);
    struct rig_leg *x = r->nlegs ? r->legs[which % r->nlegs] : NULL;
    if (rig_is_closing(r)) return;
    switch (what % 8) {
    case 0:
        if (r->s.role == CODEC_UP && r->nlegs < ENOUGH_LEGS) rig_request(r, which & 1 ? "GET" : "HEAD", which & 2 ? STR(RIG_BODY_TEXT) : (struct str){ 0 });
        break;
    case 1:
        if (x && !x->closed) rig_cancel(r, x, (enum ending)(1 + what / 8 % (ENDINGS - 1)), (enum cancel_way)(which % 6));
        break;
    case 2: rig_tick(r, span_ms((int64_t)which * 100)); break;
    case 3:
        if (x && r->s.role == CODEC_DOWN && x->head) rig_answer(r, x);
        break;
    case 4: r->codec->shutdown(&r->s, which & 1); break;
    case 5: r->limit = which + 1u; break;
    case 6:
        if (r->s.begun && r->s.role == CODEC_DOWN) r->codec->refuse(&r->s, &(struct fault){ .why = ENDING_CLIENT_TIMEOUT, .status = 408 });
        break;
    default:
        if (which == 0) rig_eof(r);
        else rig_write_without_room(r);
        break;
    }
    rig_settle(r);
}

static void act(struct peer *t, struct input *in) {
    uint8_t what = byte(in), flags = byte(in);
    uint32_t stream = byte(in) % 32;
    uint8_t w[8];
    struct str more = { 0 };
    switch (what % 10) {
    case 0:
    case 1: send_headers(t, in, stream | 1, flags); break;
    case 2: more = bytes(in, byte(in)); send_frame(t, NGHTTP2_DATA, flags & (NGHTTP2_FLAG_END_STREAM | NGHTTP2_FLAG_PADDED), stream, more.p, more.n); break;
    case 3: send_frame(t, NGHTTP2_RST_STREAM, 0, stream, (uint8_t[]){ 0, 0, 0, flags }, 4); break;
    case 4: send_frame(t, NGHTTP2_WINDOW_UPDATE, 0, stream, (uint8_t[]){ flags & 0x7f, 0, flags, 1 }, 4); break;
    case 5: send_frame(t, NGHTTP2_SETTINGS, flags == 255, 0, (uint8_t[]){ 0, flags & 15, 0, 0, byte(in), byte(in) }, flags == 255 ? 0 : 6); break;
    case 6:
        memset(w, 0, sizeof w);
        w[3] = (uint8_t)stream, w[7] = flags;
        send_frame(t, NGHTTP2_GOAWAY, 0, 0, w, 8);
        break;
    case 7: more = bytes(in, byte(in) % 64); send_frame(t, flags % 16, what, stream, more.p, more.n); break;
    default: core_acts(t->r, in); break;
    }
}

static struct rig *begin(uint8_t flags, uint8_t room) {
    struct rig *r = rig_new(codec_by_name(STR("http2")), flags & 1 ? CODEC_UP : CODEC_DOWN, NULL);
    r->silent = flags & 4;
    r->stream = flags & 8;
    r->s.trusted = flags & 16;
    if (flags & 32) r->s.cancel_burst = 3, r->s.cancel_every = span_ms(500);
    if (flags & 64) r->pad = 40000;
    if (room) r->limit = room * 16u;
    r->hook = on_event;
    r->reaps = true;
    rig_settle(r);
    if (!(flags & 1)) rig_feed_text(r, NGHTTP2_CLIENT_MAGIC);
    if (flags & 1) rig_request(r, "GET", (struct str){ 0 }), rig_request(r, "POST", STR(RIG_BODY_TEXT)), rig_settle(r);
    return r;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct input in = { data, size };
    uint8_t flags = byte(&in);
    struct peer t = { .r = begin(flags, byte(&in)) };
    if (flags & 2) {
        if (nghttp2_hd_deflate_new(&t.hd, 4096) != 0) abort();
        send_frame(&t, NGHTTP2_SETTINGS, 0, 0, "", 0);
        for (unsigned i = 0; in.n && i < STEPS; i++) act(&t, &in);
        nghttp2_hd_deflate_del(t.hd);
    } else {
        feed(t.r, in.p, in.n);
        rig_eof(t.r);
    }
    rig_free(t.r);
    return 0;
}
