// SPDX-License-Identifier: Apache-2.0
// The way out of HTTP/1.1: heads as they were queued, bodies pulled as there is room, and the framing that says where they end.
#include "codecs/http1_inside.h"
#include <assert.h>

/* ---- output -------------------------------------------------------------------------------------------------------------------------------- */
static enum http1_framing answer_framing(const struct http1_leg *x, const struct head *h) {
    bool bodiless = h->status < 200 || h->status == 204 || h->status == 304 || x->head_request;
    if (h->body == BODY_TUNNEL) return FRAME_TUNNEL;
    if (bodiless) return FRAME_NONE;
    switch (h->body) {
    case BODY_NONE: return FRAME_ZERO;
    case BODY_LENGTH: return FRAME_LENGTH;
    case BODY_STREAM: case BODY_CLOSE: return x->old ? FRAME_CLOSE : FRAME_CHUNKED;
    case BODY_TUNNEL: break;
    }
    return FRAME_TUNNEL;
}

/* RFC 9110 8.6: a method that usually has content says so when there is none. */
static bool expects_content(struct str method) {
    return str_eq(method, STR("POST")) || str_eq(method, STR("PUT")) || str_eq(method, STR("PATCH"));
}

enum http1_framing http1_request_framing(const struct head *h) {
    switch (h->body) {
    case BODY_NONE: return expects_content(h->method) ? FRAME_ZERO : FRAME_NONE;
    case BODY_LENGTH: return FRAME_LENGTH;
    case BODY_STREAM: return FRAME_CHUNKED;
    case BODY_TUNNEL: return FRAME_TUNNEL;
    case BODY_CLOSE: break;
    }
    assert(false && "no request ends with its connection");
    return FRAME_NONE;
}

/* Nothing of our body follows this head. */
static bool head_ends_out(const struct http1_leg *x) {
    return x->framing == FRAME_NONE || x->framing == FRAME_ZERO || (x->framing == FRAME_LENGTH && x->left == 0);
}

/* A tunnel's answer opens it; any other answer ends the request that asked for one. */
static void decide_tunnel(struct session *s, struct leg *g, instant now) {
    struct http1_session *t = tail(s);
    if (!of(g)->tunnel_asked || t->in != IN_HELD) return;
    if (of(g)->framing != FRAME_TUNNEL) {
        http1_end_in(s, g, NULL, t->left_over, now);
        return;
    }
    t->in = IN_RAW;
    s->wants_feed = t->left_over;
    if (t->fin && !t->left_over) http1_end_in(s, g, NULL, false, now);
}

static const char *answer_connection(const struct http1_session *t, const struct http1_leg *x) {
    if (x->framing == FRAME_TUNNEL) return x->connect ? NULL : "upgrade";
    if (t->last) return "close";
    return x->old ? "keep-alive" : NULL;
}

/* T24: while the request still comes, its early answer is the connection's last. */
static void write_answer(struct session *s, struct leg *g, struct out *o, const struct head *h, instant now) {
    struct http1_session *t = tail(s);
    struct http1_leg *x = of(g);
    assert((h->body == BODY_TUNNEL) >= (h->status == 101) && (h->body != BODY_TUNNEL || x->tunnel_asked));
    if (h->interim) {
        http1_write_answer(o, h, FRAME_NONE, NULL);
        return;
    }
    x->framing = (uint8_t)answer_framing(x, h);
    x->left = h->length;
    x->final_taken = true;
    bool early = g->in != LEG_END && !x->tunnel_asked;
    t->last |= early || x->framing == FRAME_CLOSE || x->framing == FRAME_TUNNEL || (x->connect && x->tunnel_asked);
    g->out = LEG_HEAD;
    http1_write_answer(o, h, (enum http1_framing)x->framing, answer_connection(t, x));
    decide_tunnel(s, g, now);
    if (is_current(g) && head_ends_out(x)) http1_end_out(s, g);
}

static void write_request(struct session *s, struct leg *g, struct out *o, const struct head *h) {
    struct http1_leg *x = of(g);
    s->reusable = false;
    x->final_taken = true;
    x->left = h->length;
    g->out = LEG_HEAD;
    http1_write_request(o, h, (enum http1_framing)x->framing);
    if (head_ends_out(x)) http1_end_out(s, g);
}

/* T25: a head that another protocol brought, or an edit spoilt, is not put on the wire. */
static void unsound(struct session *s, struct leg *g) {
    struct http1_session *t = tail(s);
    struct fault f = { .why = is_down(s) ? ENDING_UPSTREAM_ERROR : ENDING_CLIENT_ERROR, .unprocessed = !is_down(s),
                       .say = "the head has a byte that HTTP/1.1 cannot carry" };
    if (is_down(s)) {
        t->refusing = true;
        f = t->refusal = http1_refusal(&f);
        http1_retire(s, NEXT_CLOSE);
    } else {
        http1_idle(s);
    }
    http1_leave(s, g, &f);
}

static void write_head(struct session *s, struct leg *g, struct out *o, instant now) {
    struct http1_leg *x = of(g);
    const struct head *h = x->heads->head;
    x->heads = x->heads->next;
    if (!http1_is_sound(h)) {
        unsound(s, g);
        return;
    }
    g->head_taken = true;
    if (is_down(s)) write_answer(s, g, o, h, now);
    else write_request(s, g, o, h);
}

/* The body ended before the length that its head promised: the peer must see it cut. */
static void cut_short(struct session *s, struct leg *g) {
    struct fault f = { .why = is_down(s) ? ENDING_UPSTREAM_ERROR : ENDING_CLIENT_ERROR, .say = "the body is shorter than its content-length" };
    http1_retire(s, is_down(s) ? http1_cut(g) : NEXT_RESET);
    http1_leave(s, g, &f);
}

static void end_body(struct session *s, struct leg *g, struct out *o) {
    const struct http1_leg *x = of(g);
    if (x->framing == FRAME_LENGTH && x->left) {
        cut_short(s, g);
        return;
    }
    if (x->framing == FRAME_CHUNKED) http1_write_last_chunk(o, x->trailers);
    http1_end_out(s, g);
}

static void write_pieces(struct leg *g, struct out *o, const struct pulled *v) {
    bool chunked = of(g)->framing == FRAME_CHUNKED && v->bytes;
    if (chunked) http1_write_chunk_line(o, v->bytes);
    for (unsigned i = 0; i < v->nv; i++) out_ref(o, g, v->v[i]);
    if (chunked) out_copy(o, "\r\n", 2);
}

static void write_body(struct session *s, struct leg *g, struct out *o) {
    struct http1_leg *x = of(g);
    size_t max = out_room(o);
    if (x->framing == FRAME_LENGTH && max > x->left) max = (size_t)x->left;
    struct pulled v = { .nv = 0 };
    s->ev->pull(g, max, &v);
    if (!is_current(g) || x->muted) return;
    assert(v.bytes <= max);
    if (v.bytes) {
        g->out = LEG_BODY;
        write_pieces(g, o, &v);
    }
    if (x->framing == FRAME_LENGTH) x->left -= v.bytes;
    if (v.end || (x->framing == FRAME_LENGTH && x->left == 0)) end_body(s, g, o);
    else if (v.bytes == 0) x->ready = false;
}

/* A tunnel is open for our bytes once its answer came (up) or went (down). */
static bool may_pull(const struct leg *g) {
    const struct http1_leg *x = of(g);
    if (!x->ready || x->muted || !x->final_taken || g->out == LEG_END) return false;
    return x->framing != FRAME_TUNNEL || g->session->role == CODEC_DOWN || tail(g->session)->in == IN_RAW || g->in == LEG_END;
}

static bool has_output(const struct session *s) {
    const struct leg *g = tail(s)->leg;
    if (tail(s)->refusing) return true;
    return g && !of(g)->closing && !of(g)->muted && (of(g)->heads || may_pull(g));
}

/* Room for a pull's sixteen pieces with the framing around each batch. */
static bool has_room(const struct out *o) { return out_room(o) > 0 && o->niov + 20 < OUT_IOV; }

void http1_output(struct session *s, struct out *o, instant now) {
    struct http1_session *t = tail(s);
    http1_settle(s);
    while (has_output(s) && has_room(o)) {
        if (t->refusing) {
            http1_write_refusal(o, &t->refusal);
            t->refusing = false;
        } else if (of(t->leg)->heads) {
            write_head(s, t->leg, o, now);
        } else {
            write_body(s, t->leg, o);
        }
    }
    http1_settle(s);
    s->wants_output = has_output(s);
}
