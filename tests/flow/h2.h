// SPDX-License-Identifier: Apache-2.0
// A client or an upstream that speaks HTTP/2 on a socket of the stage, by nghttp2 itself: so that what our codec says is read by another.
#ifndef CURFEW_TESTS_FLOW_H2_H
#define CURFEW_TESTS_FLOW_H2_H
#include "tests/flow/stage.h"
#include <nghttp2/nghttp2.h>

#define H2_STREAMS 512
struct h2_stream { /* as this peer sees it */
    int32_t id;
    char head[2048], trailers[512]; /* "name: value\n" a line */
    unsigned heads;
    size_t received;
    char body[256];                 /* its beginning */
    bool ended, closed, was_reset;
    uint32_t code;                  /* of the RST_STREAM that came */
    size_t to_send;                 /* bytes of 'x' still to give */
    bool more;                      /* and no end after them yet */
    bool end_by_trailers;
};
struct h2 {
    struct sock *s;
    nghttp2_session *ng;
    size_t read;
    struct h2_stream v[H2_STREAMS];
    unsigned n, resets;             /* resets: RST_STREAM frames that came */
    bool goaway;
    unsigned answered;              /* upstream: streams that the test has met */
};

static inline struct h2_stream *h2_stream(struct h2 *h, int32_t id) {
    for (unsigned i = 0; i < h->n; i++) {
        if (h->v[i].id == id) return &h->v[i];
    }
    assert_true(h->n < H2_STREAMS);
    h->v[h->n].id = id;
    return &h->v[h->n++];
}
static inline int h2_on_header(nghttp2_session *ng, const nghttp2_frame *f, const uint8_t *name, size_t nname, const uint8_t *value, size_t nvalue, uint8_t flags,
                               void *arg) {
    (void)ng, (void)flags;
    struct h2_stream *x = h2_stream(arg, f->hd.stream_id);
    char *to = x->heads ? x->trailers : x->head;
    size_t room = x->heads ? sizeof x->trailers : sizeof x->head, at = strlen(to);
    snprintf(to + at, room - at, "%.*s: %.*s\n", (int)nname, (const char *)name, (int)nvalue, (const char *)value);
    return 0;
}
static inline int h2_on_data(nghttp2_session *ng, uint8_t flags, int32_t id, const uint8_t *p, size_t n, void *arg) {
    (void)ng, (void)flags;
    struct h2_stream *x = h2_stream(arg, id);
    for (size_t i = 0; i < n && x->received + i + 1 < sizeof x->body; i++) x->body[x->received + i] = (char)p[i];
    x->received += n;
    return 0;
}
static inline int h2_on_frame(nghttp2_session *ng, const nghttp2_frame *f, void *arg) {
    (void)ng;
    struct h2 *h = arg;
    if (f->hd.type == NGHTTP2_GOAWAY) h->goaway = true;
    if (f->hd.type == NGHTTP2_HEADERS) h2_stream(h, f->hd.stream_id)->heads++;
    if (f->hd.type == NGHTTP2_RST_STREAM) {
        struct h2_stream *x = h2_stream(h, f->hd.stream_id);
        x->was_reset = true;
        x->code = f->rst_stream.error_code;
        h->resets++;
    }
    if ((f->hd.type == NGHTTP2_HEADERS || f->hd.type == NGHTTP2_DATA) && f->hd.flags & NGHTTP2_FLAG_END_STREAM) h2_stream(h, f->hd.stream_id)->ended = true;
    return 0;
}
static inline int h2_on_close(nghttp2_session *ng, int32_t id, uint32_t code, void *arg) {
    (void)ng, (void)code;
    h2_stream(arg, id)->closed = true;
    return 0;
}
/* options: entries of its SETTINGS. */
static inline struct h2 *h2_new(struct sock *s, bool server, const nghttp2_settings_entry *settings, size_t nsettings) {
    struct h2 *h = mem_zalloc(sizeof *h);
    nghttp2_session_callbacks *cb;
    h->s = s;
    nghttp2_session_callbacks_new(&cb);
    nghttp2_session_callbacks_set_on_header_callback(cb, h2_on_header);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(cb, h2_on_data);
    nghttp2_session_callbacks_set_on_frame_recv_callback(cb, h2_on_frame);
    nghttp2_session_callbacks_set_on_stream_close_callback(cb, h2_on_close);
    if (server) nghttp2_session_server_new(&h->ng, cb, h);
    else nghttp2_session_client_new(&h->ng, cb, h);
    nghttp2_session_callbacks_del(cb);
    nghttp2_submit_settings(h->ng, NGHTTP2_FLAG_NONE, settings, nsettings);
    return h;
}
static inline void h2_free(struct h2 *h) {
    nghttp2_session_del(h->ng);
    free(h);
}
static inline void h2_read(struct h2 *h) {
    if (h->read == h->s->ngot) return;
    ssize_t n = nghttp2_session_mem_recv(h->ng, (const uint8_t *)h->s->got + h->read, h->s->ngot - h->read);
    assert_true(n >= 0);
    h->read += (size_t)n;
    h->s->seen = h->read;
}
/* What it has to say goes on its way, without a turn. */
static inline bool h2_write(struct h2 *h) {
    const uint8_t *p;
    ssize_t n;
    bool any = false;
    while ((n = nghttp2_session_mem_send(h->ng, &p)) > 0) {
        any = true;
        if (!h->s->fin && !h->s->reset_by_us) queue_bytes(h->s, p, (size_t)n);
    }
    return any;
}
/* These peers talk until nothing moves. */
static inline void h2_settle(struct h2 *a, struct h2 *b) {
    bool moved;
    do {
        moved = h2_write(a);
        if (b) moved |= h2_write(b);
        settle();
        h2_read(a);
        if (b) h2_read(b);
    } while (moved);
}
static inline ssize_t h2_give(nghttp2_session *ng, int32_t id, uint8_t *to, size_t max, uint32_t *flags, nghttp2_data_source *from, void *arg) {
    (void)ng, (void)from;
    struct h2_stream *x = h2_stream(arg, id);
    size_t n = x->to_send < max ? x->to_send : max;
    memset(to, 'x', n);
    x->to_send -= n;
    if (x->to_send == 0 && !x->more) {
        *flags |= NGHTTP2_DATA_FLAG_EOF;
        if (x->end_by_trailers) *flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
    }
    return n == 0 && x->more ? NGHTTP2_ERR_DEFERRED : (ssize_t)n;
}
struct h2_nv { nghttp2_nv v[24]; size_t n; char text[2048]; };
static inline void h2_add(struct h2_nv *l, const char *name, const char *value) {
    l->v[l->n++] = (nghttp2_nv){ (uint8_t *)(uintptr_t)name, (uint8_t *)(uintptr_t)value, strlen(name), strlen(value), NGHTTP2_NV_FLAG_NONE };
}
/* "name: value\n" a line, may be NULL. */
static inline void h2_add_lines(struct h2_nv *l, const char *lines) {
    if (!lines) return;
    snprintf(l->text, sizeof l->text, "%s", lines);
    char *rest = NULL;
    for (char *line = strtok_r(l->text, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
        char *colon = strstr(line, ": ");
        *colon = '\0';
        h2_add(l, line, colon + 2);
    }
}
#define NO_BODY SIZE_MAX
/* A request is queued; nothing is said until h2_write or h2_settle. more: its body goes on after these bytes. */
static inline int32_t h2_asks(struct h2 *h, const char *method, const char *path, const char *lines, size_t body, bool more) {
    struct h2_nv l = { .n = 0 };
    h2_add(&l, ":method", method);
    h2_add(&l, ":scheme", "http");
    h2_add(&l, ":authority", "a");
    h2_add(&l, ":path", path);
    h2_add_lines(&l, lines);
    nghttp2_data_provider give = { .read_callback = h2_give };
    int32_t id = nghttp2_submit_request(h->ng, NULL, l.v, l.n, body == NO_BODY ? NULL : &give, NULL);
    assert_true(id > 0);
    struct h2_stream *x = h2_stream(h, id);
    x->to_send = body == NO_BODY ? 0 : body;
    x->more = more;
    return id;
}
static inline int32_t h2_get(struct h2 *h, const char *path, const char *lines) { return h2_asks(h, "GET", path, lines, NO_BODY, false); }
static inline void h2_answers(struct h2 *h, int32_t id, const char *status, const char *lines, size_t body, bool more) {
    struct h2_nv l = { .n = 0 };
    h2_add(&l, ":status", status);
    h2_add_lines(&l, lines);
    nghttp2_data_provider give = { .read_callback = h2_give };
    struct h2_stream *x = h2_stream(h, id);
    x->to_send = body == NO_BODY ? 0 : body;
    x->more = more;
    assert_int_equal(nghttp2_submit_response(h->ng, id, l.v, l.n, body == NO_BODY ? NULL : &give), 0);
}
static inline void h2_goes_on(struct h2 *h, int32_t id, size_t n, bool more) {
    struct h2_stream *x = h2_stream(h, id);
    x->to_send += n;
    x->more = more;
    nghttp2_session_resume_data(h->ng, id);
}
static inline void h2_resets(struct h2 *h, int32_t id, uint32_t code) { nghttp2_submit_rst_stream(h->ng, NGHTTP2_FLAG_NONE, id, code); }

/* ---- on the stage ------------------------------------------------------------------------------------------------------------ */
static inline struct h2 *h2_client(void) {
    struct h2 *h = h2_new(client(), false, NULL, 0);
    h2_settle(h, NULL);
    return h;
}
static inline struct h2 *h2_upstream_with(const nghttp2_settings_entry *settings, size_t n) {
    struct h2 *h = h2_new(upstream(), true, settings, n);
    h2_read(h);
    h2_settle(h, NULL);
    return h;
}
static inline struct h2 *h2_upstream(void) { return h2_upstream_with(NULL, 0); }
/* The next stream that the gateway opened. */
static inline int32_t h2_next(struct h2 *u) {
    h2_read(u);
    if (u->answered == u->n) fail_msg("the gateway opened no stream");
    return u->v[u->answered++].id;
}
static inline void assert_h2_status(struct h2 *c, int32_t id, const char *status) {
    char line[32];
    snprintf(line, sizeof line, ":status: %s\n", status);
    h2_read(c);
    assert_has(h2_stream(c, id)->head, line);
}
static inline void assert_h2_reset(struct h2 *h, int32_t id, uint32_t code) {
    h2_read(h);
    if (!h2_stream(h, id)->was_reset) fail_msg("stream %d was not reset", id);
    assert_int_equal(h2_stream(h, id)->code, code);
}
static inline void assert_h2_not_reset(struct h2 *h, int32_t id) {
    h2_read(h);
    if (h2_stream(h, id)->was_reset) fail_msg("stream %d was reset with %u", id, h2_stream(h, id)->code);
}
#endif
