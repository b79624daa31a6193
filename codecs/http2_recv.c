// SPDX-License-Identifier: Apache-2.0
// What nghttp2 says while it reads, as events. Its callbacks may submit frames, but never call mem_recv or mem_send, and free nothing. A header
// block is gathered and becomes a head when it is complete, so that no exchange exists before its head does.
#include "codecs/http2.h"
#include <assert.h>
#include <stdlib.h>

static struct leg *leg_at(struct http2 *h, int32_t stream) { return http2_leg_at(h, stream); }

/* ---- gathering a header block ------------------------------------------------------------------------------------------------- */
/* What a connection keeps of it between two heads: one long head must not cost it max_head for as long as it lives. */
#define GATHER_KEPT (8u << 10)

void http2_gather_free(struct http2_gather *g) {
    free(g->v);
    free(g->text);
    *g = (struct http2_gather){ 0 };
}

void http2_gather_clear(struct http2_gather *g) {
    if (g->text_cap > GATHER_KEPT || g->cap * sizeof *g->v > GATHER_KEPT) http2_gather_free(g);
    g->n = g->text_n = g->bytes = 0;
    g->big = g->bad = false;
}

static void gather_room(struct http2_gather *g, size_t bytes) {
    if (g->n == g->cap) {
        g->cap = g->cap ? g->cap * 2 : 32;
        g->v = mem_realloc(g->v, g->cap * sizeof *g->v);
    }
    if (g->text_cap - g->text_n >= bytes) return;
    while (g->text_cap - g->text_n < bytes) g->text_cap = g->text_cap ? g->text_cap * 2 : 1024;
    g->text = mem_realloc(g->text, g->text_cap);
}

static void gather_text(struct http2_gather *g, const uint8_t *p, size_t n) {
    if (n) memcpy(g->text + g->text_n, p, n);
    g->text_n += n;
}

static int on_begin_headers(nghttp2_session *ng, const nghttp2_frame *frame, void *user) {
    struct http2 *h = user;
    (void)ng;
    http2_gather_clear(&h->gather);
    if (frame->headers.cat == NGHTTP2_HCAT_REQUEST) h->s->begun = true;
    return 0;
}

static int on_header(nghttp2_session *ng, const nghttp2_frame *frame, const uint8_t *name, size_t nname, const uint8_t *value, size_t nvalue,
                     uint8_t flags, void *user) {
    struct http2 *h = user;
    struct http2_gather *g = &h->gather;
    (void)ng;
    (void)frame;
    size_t bytes = nname + nvalue + 32;
    if (g->bytes + bytes > h->conf->max_head) { /* decoded to its end all the same: HPACK's state is the connection's */
        g->big = true; /* what fits behind it is kept: it may say which protocol this is */
        return 0;
    }
    g->bytes += bytes;
    gather_room(g, nname + nvalue);
    gather_text(g, name, nname);
    gather_text(g, value, nvalue);
    g->v[g->n++] = (struct http2_nv){ (uint32_t)nname, (uint32_t)nvalue, (flags & NGHTTP2_NV_FLAG_NO_INDEX) != 0 };
    return 0;
}

/* Without this callback nghttp2 would drop the field silently. The block is decoded on; whoever takes it refuses it. */
static int on_invalid_header(nghttp2_session *ng, const nghttp2_frame *frame, const uint8_t *name, size_t nname, const uint8_t *value,
                             size_t nvalue, uint8_t flags, void *user) {
    struct http2 *h = user;
    (void)ng, (void)frame, (void)name, (void)nname, (void)value, (void)nvalue, (void)flags;
    h->gather.bad = true;
    return 0;
}

/* ---- requests ------------------------------------------------------------------------------------------------------------------ */

/* The stream's end is the wire's own; whoever counts and logs requests is told what came of this one. */
static void end_malformed(struct http2 *h, struct leg *g, uint16_t status, const char *say) {
    struct fault f = { .why = ENDING_CLIENT_ERROR, .wire = NGHTTP2_PROTOCOL_ERROR, .status = status, .say = say };
    g->in = LEG_HEAD;
    h->s->ev->on_unfit(g, http2_head_unfit(h, g->arena), &f);
    if (!http2_leg_is_over(http2_leg_of(g))) http2_leg_close(g, &f);
}

/* RFC 9113 8.1.1: an answer may come before the stream error, so that people see what was wrong. on_frame_send sends the RST_STREAM behind
 * it. RPC clients read it as they would read their own words: 400 and PROTOCOL_ERROR are both INTERNAL. */
static void refuse_malformed(struct http2 *h, struct leg *g, int32_t stream, const char *say) {
    nghttp2_nv nv = { (uint8_t *)(uintptr_t)":status", (uint8_t *)(uintptr_t)"400", 7, 3, NGHTTP2_NV_FLAG_NONE };
    nghttp2_submit_headers(h->ng, NGHTTP2_FLAG_NONE, stream, NULL, &nv, 1, NULL);
    http2_count_reset(h);
    end_malformed(h, g, 400, say);
}

/* No violation of the protocol, so that an exchange may answer it in full. */
static void refuse_big(struct http2 *h, struct leg *g) {
    static const struct fault f = { .why = ENDING_CLIENT_ERROR, .status = 431, .say = "the head is over the limit" };
    const struct head *head = http2_head_unfit(h, g->arena);
    http2_leg_of(g)->head_request = str_eq(head->method, STR("HEAD"));
    g->in = LEG_HEAD;
    http2_count_reset(h);
    h->s->ev->on_unfit(g, head, &f);
}

static void take_request(struct http2 *h, int32_t stream, bool end) {
    h->s->begun = false;
    struct leg *g = h->failing ? NULL : h->s->ev->on_open(h->s);
    if (!g) {
        nghttp2_submit_rst_stream(h->ng, NGHTTP2_FLAG_NONE, stream, NGHTTP2_REFUSED_STREAM);
        return;
    }
    http2_leg_link(h, g, stream);
    struct head *head = NULL;
    const char *say = h->gather.bad ? "a field is malformed" : NULL;
    bool big = h->gather.big && !say;
    if (big) refuse_big(h, g);
    else if (!say) say = http2_head_read(h, g->arena, true, end, &head);
    if (say) refuse_malformed(h, g, stream, say);
    http2_gather_clear(&h->gather);
    if (say || big) return;
    struct http2_leg *t = http2_leg_of(g);
    t->tunnel = head->protocol.n > 0;
    t->head_request = str_eq(head->method, STR("HEAD"));
    if (t->tunnel) http2_tunnel_request(head, (uint64_t)stream ^ (uint64_t)h->now.ns);
    g->in = LEG_HEAD;
    h->s->ev->on_head(g, head);
}

/* ---- answers, and trailers of both ---------------------------------------------------------------------------------------------- */

static void peer_error(struct http2 *h, struct leg *g, const char *say) {
    bool down = h->s->role == CODEC_DOWN;
    struct fault f = { .why = down ? ENDING_CLIENT_ERROR : ENDING_UPSTREAM_ERROR, .wire = NGHTTP2_PROTOCOL_ERROR, .say = say };
    nghttp2_submit_rst_stream(h->ng, NGHTTP2_FLAG_NONE, http2_leg_of(g)->stream, NGHTTP2_PROTOCOL_ERROR);
    http2_count_reset(h);
    http2_leg_close(g, &f);
}

static bool gathered_status(const struct http2 *h) {
    if (!h->gather.n) return false;
    return str_eq((struct str){ h->gather.text, h->gather.v[0].name }, STR(":status"));
}

static const char *unfit(const struct http2 *h) {
    return h->gather.big ? "the head is over the limit" : h->gather.bad ? "a field is malformed" : NULL;
}

static void take_answer(struct http2 *h, struct leg *g, bool end) {
    struct head *head = NULL;
    const char *wrong = unfit(h);
    if (!wrong) wrong = http2_head_read(h, g->arena, false, end, &head);
    http2_gather_clear(&h->gather);
    struct http2_leg *t = http2_leg_of(g);
    if (!wrong && head->interim && ++t->interims > h->conf->max_interim) wrong = "too many interim answers";
    if (wrong) {
        peer_error(h, g, wrong);
        return;
    }
    if (t->tunnel && head->status / 100 == 2) http2_tunnel_answer(head, t->head->protocol, t->ws_key);
    if (!head->interim) g->in = LEG_HEAD; /* T19: an interim answer is no answer yet */
    h->s->ev->on_head(g, head);
}

static void take_end(struct http2 *h, int32_t stream, const struct head *trailers) {
    struct leg *g = leg_at(h, stream); /* the event before may have ended it */
    if (!g || g->in == LEG_END) return;
    g->in = LEG_END;
    h->s->ev->on_end(g, trailers);
    http2_leg_drained(g);
}

static void take_trailers(struct http2 *h, struct leg *g, int32_t stream) {
    struct head *trailers = NULL;
    const char *wrong = unfit(h);
    if (!wrong) wrong = http2_trailers_read(h, g->arena, &trailers);
    http2_gather_clear(&h->gather);
    if (wrong) peer_error(h, g, wrong);
    else take_end(h, stream, trailers);
}

static void take_headers(struct http2 *h, const nghttp2_frame *frame) {
    int32_t stream = frame->hd.stream_id;
    bool end = (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0;
    if (frame->headers.cat == NGHTTP2_HCAT_REQUEST) {
        take_request(h, stream, end);
    } else {
        struct leg *g = leg_at(h, stream);
        if (!g) {
            http2_gather_clear(&h->gather);
            return;
        }
        /* After a 1xx the final answer has the trailers' category: only :status tells them apart. */
        if (h->s->role == CODEC_DOWN || (frame->headers.cat == NGHTTP2_HCAT_HEADERS && !gathered_status(h))) {
            take_trailers(h, g, stream);
            return;
        }
        take_answer(h, g, end);
    }
    if (end) take_end(h, stream, NULL);
}

/* ---- bodies ------------------------------------------------------------------------------------------------------------------------ */

static int on_data(nghttp2_session *ng, uint8_t flags, int32_t stream, const uint8_t *p, size_t n, void *user) {
    struct http2 *h = user;
    (void)flags;
    /* The connection's window is given back at once, so that a leg that is slow, or over (T12), starves no neighbour; the stream's holds it. */
    nghttp2_session_consume_connection(ng, n);
    struct leg *g = leg_at(h, stream);
    if (!g || !n) return 0;
    g->in = LEG_BODY;
    h->s->ev->on_body(g, p, n, false);
    return 0;
}

/* ---- the rest ---------------------------------------------------------------------------------------------------------------------- */

static void take_reset(struct http2 *h, const nghttp2_frame *frame) {
    struct leg *g = leg_at(h, frame->hd.stream_id);
    if (g) http2_leg_of(g)->peer_reset = true; /* nghttp2 closes the stream next, with its code */
    bool answered = g && g->out == LEG_END;    /* T10: a client's reset behind our trailers is no attack */
    if (h->s->role == CODEC_DOWN && !answered) http2_count_reset(h);
}

static void take_goaway(struct http2 *h, const nghttp2_frame *frame) {
    h->goaway = true;
    h->s->slots = 0; /* before a leg hears of its end: what is tried again at once must not come back here */
    h->s->reusable = false;
    struct fault f = { .why = h->s->role == CODEC_UP ? ENDING_REFUSED_STREAM : ENDING_COMPLETED, .wire = frame->goaway.error_code,
                       .say = "the peer takes no more requests on this connection" };
    if (h->s->ev->on_goaway) h->s->ev->on_goaway(h->s, &f);
}

static int on_frame(nghttp2_session *ng, const nghttp2_frame *frame, void *user) {
    struct http2 *h = user;
    (void)ng;
    switch (frame->hd.type) {
    case NGHTTP2_HEADERS: take_headers(h, frame); break;
    case NGHTTP2_DATA:
        if (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) take_end(h, frame->hd.stream_id, NULL);
        break;
    case NGHTTP2_RST_STREAM: take_reset(h, frame); break;
    case NGHTTP2_GOAWAY: take_goaway(h, frame); break;
    case NGHTTP2_PING:
        if (h->noticed && frame->hd.flags & NGHTTP2_FLAG_ACK) http2_say_last(h);
        break;
    case NGHTTP2_SETTINGS:
        if (frame->hd.flags & NGHTTP2_FLAG_ACK) h->settings_acked = true;
        else if (!h->settings_seen) h->settings_seen = true, h->s->begun = false;
        break;
    default: break;
    }
    return 0;
}

static uint32_t code_of(int lib_error) {
    switch (lib_error) {
    case NGHTTP2_ERR_STREAM_CLOSED: return NGHTTP2_STREAM_CLOSED;
    case NGHTTP2_ERR_FLOW_CONTROL: return NGHTTP2_FLOW_CONTROL_ERROR;
    case NGHTTP2_ERR_FRAME_SIZE_ERROR: return NGHTTP2_FRAME_SIZE_ERROR;
    case NGHTTP2_ERR_REFUSED_STREAM: return NGHTTP2_REFUSED_STREAM;
    case NGHTTP2_ERR_HEADER_COMP: return NGHTTP2_COMPRESSION_ERROR;
    default: return NGHTTP2_PROTOCOL_ERROR;
    }
}

/* A request that nghttp2 has refused before it had a leg. One that is above our limit of streams, or that breaks the connection, is none. */
static void take_unfit(struct http2 *h, const nghttp2_frame *frame, int lib_error) {
    bool field = lib_error == NGHTTP2_ERR_HTTP_HEADER, request = frame->headers.cat == NGHTTP2_HCAT_REQUEST;
    if (!request || !(field || lib_error == NGHTTP2_ERR_HTTP_MESSAGING)) return;
    struct leg *g = h->s->ev->on_open(h->s);
    if (!g) return;
    http2_leg_link(h, g, frame->hd.stream_id);
    end_malformed(h, g, 0, field ? "a field is malformed" : "the head is malformed");
}

/* nghttp2 has queued the RST_STREAM, or the GOAWAY, already; the leg need not wait until it is out. */
static int on_invalid_frame(nghttp2_session *ng, const nghttp2_frame *frame, int lib_error, void *user) {
    struct http2 *h = user;
    (void)ng;
    http2_count_reset(h);
    if (frame->hd.type == NGHTTP2_HEADERS) {
        h->s->begun = false;
        if (h->s->role == CODEC_DOWN) take_unfit(h, frame, lib_error);
        http2_gather_clear(&h->gather);
    }
    struct leg *g = leg_at(h, frame->hd.stream_id);
    if (!g) return 0;
    bool down = h->s->role == CODEC_DOWN;
    struct fault f = { .why = down ? ENDING_CLIENT_ERROR : ENDING_UPSTREAM_ERROR, .wire = code_of(lib_error), .say = nghttp2_strerror(lib_error) };
    http2_leg_close(g, &f);
    return 0;
}

void http2_recv_callbacks(nghttp2_session_callbacks *cb) {
    nghttp2_session_callbacks_set_on_begin_headers_callback(cb, on_begin_headers);
    nghttp2_session_callbacks_set_on_header_callback(cb, on_header);
    nghttp2_session_callbacks_set_on_invalid_header_callback(cb, on_invalid_header);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(cb, on_data);
    nghttp2_session_callbacks_set_on_frame_recv_callback(cb, on_frame);
    nghttp2_session_callbacks_set_on_invalid_frame_recv_callback(cb, on_invalid_frame);
}
