// SPDX-License-Identifier: Apache-2.0
// What leaves: heads are submitted, bodies pulled by reference while nghttp2 makes frames of them, and all goes to the gather list of one write.
// nghttp2 gives control frames first, then heads, then DATA: so a reset overtakes bodies, and a request that was submitted is taken by the same
// call. Room is asked for before each frame; what has none stays where it can be withdrawn.
#include "codecs/http2.h"
#include <assert.h>

/* ---- nghttp2's callbacks while it writes ---------------------------------------------------------------------------------------------- */

static bool is_interim(const struct http2 *h, const nghttp2_headers *f) {
    return h->s->role == CODEC_DOWN && f->nvlen && f->nva[0].namelen == 7 && f->nva[0].value[0] == '1';
}

static int on_before_send(nghttp2_session *ng, const nghttp2_frame *frame, void *user) {
    struct http2 *h = user;
    (void)ng;
    if (frame->hd.type == NGHTTP2_GOAWAY && frame->goaway.error_code != NGHTTP2_NO_ERROR && !h->failing) {
        /* nghttp2 found the connection broken: it says so on its way out, and nowhere else for all kinds. */
        http2_fail(h, &(struct fault){ .why = http2_peer_broke(h), .wire = frame->goaway.error_code, .say = "the peer broke HTTP/2" });
    }
    if (frame->hd.type != NGHTTP2_HEADERS) return 0;
    struct leg *g = http2_leg_at(h, frame->hd.stream_id);
    if (!g || is_interim(h, &frame->headers)) return 0; /* T19: nothing of the answer is out yet */
    g->head_taken = true;
    if (g->out == LEG_NOTHING) g->out = LEG_HEAD;
    return 0;
}

static int on_frame_send(nghttp2_session *ng, const nghttp2_frame *frame, void *user) {
    struct http2 *h = user;
    bool end = (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0;
    if (frame->hd.type != NGHTTP2_HEADERS && frame->hd.type != NGHTTP2_DATA) return 0;
    int32_t stream = frame->hd.stream_id;
    struct leg *g = http2_leg_at(h, stream);
    bool down = h->s->role == CODEC_DOWN;
    if (!g) { /* a refusal's answer: see refuse_malformed. Or the rest of a long head whose client has reset the stream meanwhile */
        if (down && !end && nghttp2_session_find_stream(ng, stream)) nghttp2_submit_rst_stream(ng, NGHTTP2_FLAG_NONE, stream, NGHTTP2_PROTOCOL_ERROR);
        return 0;
    }
    if (!end) return 0;
    g->out = LEG_END;
    struct http2_leg *t = http2_leg_of(g);
    if (t->end_then_reset && !nghttp2_session_get_stream_remote_close(ng, stream)) {
        http2_reset_behind_answer(h, t);
        http2_leg_close(g, NULL);
    }
    return 0;
}

/* A body's piece is at most 16 slices, and the frame's header goes before them. */
static size_t room_of(const struct out *o) {
    const unsigned spare = sizeof((struct pulled *)0)->v / sizeof(struct str) + 4;
    return o->niov + spare > OUT_IOV || o->nrefs + spare > OUT_IOV ? 0 : out_room(o);
}

static ssize_t on_read(nghttp2_session *ng, int32_t stream, uint8_t *buf, size_t max, uint32_t *flags, nghttp2_data_source *source, void *user) {
    struct http2 *h = user;
    (void)buf, (void)source;
    struct leg *g = http2_leg_at(h, stream);
    if (!g || http2_leg_of(g)->draining) return NGHTTP2_ERR_DEFERRED;
    struct http2_leg *t = http2_leg_of(g);
    size_t room = room_of(h->out);
    if (!room) return NGHTTP2_ERR_PAUSE; /* the head that http2_take waited for was dropped, with its stream */
    h->pulled = (struct pulled){ 0 };
    h->s->ev->pull(g, max < room ? max : room, &h->pulled);
    if (http2_leg_is_over(t)) return NGHTTP2_ERR_DEFERRED;
    if (!h->pulled.bytes && !h->pulled.end) {
        t->deferred = true;
        return NGHTTP2_ERR_DEFERRED;
    }
    h->pulling = g;
    *flags |= NGHTTP2_DATA_FLAG_NO_COPY;
    if (h->pulled.end) *flags |= NGHTTP2_DATA_FLAG_EOF;
    size_t n = h->pulled.end && t->trailers ? http2_trailers_write(h, t->trailers) : 0;
    if (n) { /* T18: nghttp2 sends no END_STREAM, and no empty DATA, where trailers follow */
        *flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
        nghttp2_submit_trailer(ng, stream, h->nv, n);
    }
    return (ssize_t)h->pulled.bytes;
}

static int on_send_data(nghttp2_session *ng, nghttp2_frame *frame, const uint8_t *head, size_t n, nghttp2_data_source *source, void *user) {
    struct http2 *h = user;
    (void)ng, (void)source, (void)frame;
    struct leg *g = h->pulling;
    assert(g && n == h->pulled.bytes);
    out_copy(h->out, head, 9);
    for (unsigned i = 0; i < h->pulled.nv; i++) out_ref(h->out, g, h->pulled.v[i]);
    if (n) g->out = LEG_BODY;
    h->pulling = NULL;
    return room_of(h->out) ? 0 : NGHTTP2_ERR_PAUSE;
}

void http2_send_callbacks(nghttp2_session_callbacks *cb) {
    nghttp2_session_callbacks_set_before_frame_send_callback(cb, on_before_send);
    nghttp2_session_callbacks_set_on_frame_send_callback(cb, on_frame_send);
    nghttp2_session_callbacks_set_send_data_callback(cb, on_send_data);
}

/* ---- heads ------------------------------------------------------------------------------------------------------------------------------ */

/* False: an extended CONNECT must wait for the peer's SETTINGS, which say whether it may be asked (RFC 8441 3). */
static bool tunnel_may_ask(const struct http2 *h, const struct http2_leg *t, bool *never) {
    *never = false;
    if (!t->head->protocol.n) return true;
    if (!h->settings_seen) return false;
    *never = nghttp2_session_get_remote_settings(h->ng, NGHTTP2_SETTINGS_ENABLE_CONNECT_PROTOCOL) != 1;
    return !*never;
}

/* Or trailers: a call's status may stand behind a content-length of 0. */
static bool has_body(const struct head *h) {
    return h->body != BODY_NONE && !(h->body == BODY_LENGTH && h->length == 0 && !h->unended);
}

/* True where it was submitted, or is over; false: it must wait. */
static bool submit(struct http2 *h, struct http2_leg *t) {
    bool never;
    if (!tunnel_may_ask(h, t, &never)) {
        if (!never) return false;
        http2_leg_close(http2_leg_leg(t), &(struct fault){ .why = ENDING_NO_ROUTE, .status = 501, .unprocessed = true,
                                                           .say = "the upstream takes no tunnel (extended CONNECT) over HTTP/2" });
        return true;
    }
    const struct head *from = t->head;
    if (from->protocol.n) {
        const struct field *key = head_find_name(from, STR("sec-websocket-key"), NULL);
        t->tunnel = true;
        if (key) t->ws_key = key->value;
    }
    size_t n = http2_head_write(h, t, from, HTTP2_BY_REFERENCE);
    nghttp2_data_provider body = { .read_callback = on_read };
    int32_t stream = nghttp2_submit_request(h->ng, NULL, h->nv, n, has_body(from) ? &body : NULL, http2_leg_leg(t));
    list_del(&t->queued);
    if (stream < 0) { /* ids are used up, or the session is closing */
        h->retiring = true;
        h->s->slots = 0;
        http2_leg_close(http2_leg_leg(t), &(struct fault){ .why = ENDING_REFUSED_STREAM, .unprocessed = true, .passed_over = true,
                                                           .say = nghttp2_strerror(stream) });
        return true;
    }
    t->stream = stream;
    http2_leg_leg(t)->id = (uint64_t)stream;
    h->streams++;
    return true;
}

/* Takes from nghttp2 until `until` gave out its head, whatever the room; or, where it is NULL, until nothing is left or welcome. False: stop. */
bool http2_take(struct http2 *h, struct out *o, const struct leg *until) {
    while (until ? !until->head_taken : room_of(o) > 0) {
        const uint8_t *p;
        ssize_t n = nghttp2_session_mem_send(h->ng, &p);
        if (n < 0) {
            http2_fail(h, &(struct fault){ .why = http2_peer_broke(h), .wire = NGHTTP2_INTERNAL_ERROR, .say = nghttp2_strerror((int)n) });
            return false;
        }
        if (n == 0) break;
        out_copy(o, p, (size_t)n);
    }
    return room_of(o) > 0;
}

static struct http2_leg *first_queued(struct http2 *h) {
    return list_is_empty(&h->queue) ? NULL : LIST_OF(h->queue.next, struct http2_leg, queued);
}

static void send_requests(struct http2 *h, struct out *o) {
    uint32_t most = nghttp2_session_get_remote_settings(h->ng, NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS);
    struct list waiting;
    list_init(&waiting);
    for (struct http2_leg *t; room_of(o) && h->streams < most && !h->failing && (t = first_queued(h));) {
        struct leg *g = http2_leg_leg(t);
        if (!submit(h, t)) {
            list_del(&t->queued);
            list_push(&waiting, &t->queued);
        } else if (!http2_leg_is_over(t)) {
            http2_take(h, o, g);
        }
    }
    list_splice(&waiting, &h->queue);
    list_splice(&h->queue, &waiting);
}
static void answer(struct http2 *h, struct http2_leg *t) {
    const struct head *from = t->head;
    size_t n = http2_head_write(h, t, from, HTTP2_BY_REFERENCE);
    t->refusal = from->status >= 400;
    if (t->tunnel && from->status != 101) t->end_then_reset = true; /* no tunnel: what the client would send into it is not wanted */
    bool body = has_body(from) && !t->head_request && from->status != 304;
    nghttp2_data_provider provider = { .read_callback = on_read };
    nghttp2_submit_response(h->ng, t->stream, h->nv, n, body ? &provider : NULL);
}
/* One at a time, and taken at once: nghttp2 reads the head where it lies, and what has no room stays where it can be withdrawn. */
void http2_send_heads(struct http2 *h, struct out *o) {
    if (h->s->role == CODEC_UP) {
        if (!h->goaway) send_requests(h, o);
        return;
    }
    for (struct http2_leg *t; room_of(o) && !h->failing && (t = first_queued(h));) {
        list_del(&t->queued);
        answer(h, t);
        http2_take(h, o, http2_leg_leg(t));
    }
}

/* A head that could go now: the peer has room for it, and a tunnel's knows whether the peer takes such. */
bool http2_can_submit(const struct http2 *h) {
    if (h->s->role == CODEC_DOWN) return !h->dead && !list_is_empty(&h->queue);
    if (h->dead || h->streams >= nghttp2_session_get_remote_settings(h->ng, NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS)) return false;
    LIST_EACH(&h->queue, t, struct http2_leg, queued) {
        if (h->settings_seen || !t->head->protocol.n) return true;
    }
    return false;
}

void http2_say_interim(struct http2 *h, const struct http2_leg *t, const struct head *from) {
    size_t n = http2_head_write(h, t, from, HTTP2_COPIED);
    nghttp2_submit_headers(h->ng, NGHTTP2_FLAG_NONE, t->stream, NULL, h->nv, n, NULL);
}
