// SPDX-License-Identifier: Apache-2.0
// HTTP/1.0 and HTTP/1.1 (RFC 9112), both sides: the session and its one leg at a time. Here stand the ends and what the exchange asks
// for; http1_recv.c is the way in, http1_send.c the way out; parsing, chunks and writing are pure and in files of their own.
//
//   feed ─→ take_request, take_answer ─→ on_open, on_head ─→ take_length, take_chunks, take_trailers ─→ end_in ─→ finish
//   output ─→ write_head ─→ write_body (pull) ─→ end_out ─→ finish ─→ idle, or NEXT_CLOSE
//   cancel only marks; settle, first in every entry and last in output, tells of it by on_closed
//
// One exchange at a time: what a client sends after a complete request is left unused until its answer is out (T2: so it never hides a FIN).
#include "codecs/http1_inside.h"
#include "conf/conf.h"
#include <assert.h>

const struct http1_options *http1_options_of(const struct session *s) {
    static const struct http1_options defaults = { .max_head = 64 << 10, .max_target = 8 << 10, .max_fields = 128, .max_interim = 32 };
    return s->conf ? s->conf : &defaults;
}

/* ---- ends ------------------------------------------------------------------------------------------------------------------ */
void http1_retire(struct session *s, enum session_next next) {
    struct http1_session *t = tail(s);
    if (!is_closing(s)) s->next = next;
    t->in = IN_IGNORED;
    t->last = true;
    s->wants_feed = s->begun = s->reusable = false;
    s->wake = INSTANT_NEVER;
    if (!is_down(s) && s->slots) {
        s->slots = 0;
        t->tell_slots = true;
    }
}

/* on_slots is no event for a Q entry: it waits for the next entry of the core. */
void http1_tell_slots(struct session *s) {
    struct http1_session *t = tail(s);
    if (!t->tell_slots) return;
    t->tell_slots = false;
    s->ev->on_slots(s);
}

/* The session is as it will be before on_closed: there the core may begin the next exchange. */
void http1_leave(struct session *s, struct leg *g, const struct fault *f) {
    tail(s)->leg = NULL;
    if (!is_down(s) && is_closing(s)) s->reusable = false;
    s->ev->on_closed(g, f);
}

void http1_settle(struct session *s) {
    struct leg *g = tail(s)->leg;
    if (g && of(g)->closing) {
        if (!is_down(s) && !is_closing(s)) s->wake = tail(s)->until;
        http1_leave(s, g, of(g)->why.why == ENDING_COMPLETED ? NULL : &of(g)->why);
    }
    http1_tell_slots(s);
}

/* How an answer is cut so that the client sees it (T22): a body that only the close delimits, and a tunnel, by a reset. */
enum session_next http1_cut(const struct leg *g) {
    const struct http1_leg *x = of(g);
    bool shows = x->framing == FRAME_TUNNEL || (x->framing == FRAME_CLOSE && (g->out != LEG_END || x->muted));
    return x->final_taken && shows ? NEXT_RESET : NEXT_CLOSE;
}

void http1_fail(struct session *s, const struct fault *f, enum session_next next) {
    struct leg *g = tail(s)->leg;
    http1_retire(s, next);
    if (g) http1_leave(s, g, of(g)->closing ? &of(g)->why : f);
    http1_tell_slots(s);
    s->ev->on_fault(s, f);
}

/* ---- after an exchange -------------------------------------------------------------------------------------------------------- */
void http1_idle(struct session *s) {
    struct http1_session *t = tail(s);
    t->in = IN_HEAD;
    t->scanned = 0;
    t->blank = 0;
    t->interims = 0;
    t->chunks = (struct http1_chunks){ 0 };
    s->begun = false;
    s->wants_feed = t->left_over;
}

static void finish_down(struct session *s, struct leg *g) {
    struct http1_session *t = tail(s);
    if (of(g)->muted) {
        http1_retire(s, http1_cut(g));
        http1_leave(s, g, &of(g)->why);
        return;
    }
    if (t->last || (t->fin && !t->left_over)) http1_retire(s, NEXT_CLOSE);
    else http1_idle(s);
    http1_leave(s, g, NULL);
}

/* Keep-Alive: timeout=N is when the peer closes: we leave a second earlier, rather than send into a closed connection. */
static instant idle_until(const struct http1_session *t, instant now) {
    if (t->alive.ns <= 0) return INSTANT_NEVER;
    return instant_add(now, span_max(span_sub(t->alive, span_s(1)), span_ns(t->alive.ns / 2)));
}

/* T21, T24: another request may follow only where this one went out whole and nothing came after its answer. */
static void finish_up(struct session *s, struct leg *g, bool more, instant now) {
    struct http1_session *t = tail(s);
    bool whole = !t->last && !t->fin && g->out == LEG_END && !of(g)->muted;
    if (whole && !more) {
        http1_idle(s);
        s->reusable = true;
        s->wake = t->until = idle_until(t, now);
    } else {
        http1_retire(s, NEXT_CLOSE);
    }
    http1_leave(s, g, NULL);
    http1_tell_slots(s);
    if (!whole || !more) return; /* on a connection that ends anyway, they harm nobody */
    struct fault f = { .why = ENDING_UPSTREAM_ERROR, .say = "bytes came after a complete answer" };
    s->ev->on_fault(s, &f);
}

/* Our direction is complete. */
void http1_end_out(struct session *s, struct leg *g) {
    const struct http1_session *t = tail(s);
    g->out = LEG_END;
    of(g)->ready = false;
    bool tunnel = of(g)->framing == FRAME_TUNNEL;
    if (g->in == LEG_END || t->in == IN_IGNORED) {
        if (is_down(s)) finish_down(s, g);
        else if (tunnel) finish_up(s, g, false, INSTANT_NEVER);
    } else if (tunnel) {
        s->next = NEXT_HALF_CLOSE;
    }
}

/* Once an exchange. */
void http1_tell_half_close(struct session *s, struct leg *g) {
    if (of(g)->half_told) return;
    of(g)->half_told = true;
    s->ev->on_half_close(g);
}

/* Their direction is complete. more: input follows. */
void http1_end_in(struct session *s, struct leg *g, const struct head *trailers, bool more, instant now) {
    struct http1_session *t = tail(s);
    g->in = LEG_END;
    t->in = IN_HELD;
    s->ev->on_end(g, trailers);
    if (!is_current(g)) return;
    if (!is_down(s)) {
        if (of(g)->framing != FRAME_TUNNEL || g->out == LEG_END) finish_up(s, g, more, now);
    } else if (g->out == LEG_END) {
        finish_down(s, g);
    } else if (t->fin && of(g)->framing != FRAME_TUNNEL) {
        http1_tell_half_close(s, g);
    }
}
/* Semantics 4: in a tunnel a TCP reset is what RST_STREAM(CANCEL) is (RFC 8441 5), and its other end hears of it as such. */
static void lost(struct session *s, const struct fault *f) {
    struct leg *g = tail(s)->leg;
    struct fault mine = *f;
    if (g && !is_down(s)) {
        mine.unprocessed = !g->head_taken;
        if (f->why == ENDING_UPSTREAM_CLOSED && of(g)->framing == FRAME_TUNNEL && g->in != LEG_NOTHING) {
            mine.why = ENDING_UPSTREAM_RESET;
            mine.said = RESET_CANCEL;
        }
    }
    http1_retire(s, NEXT_RESET);
    tail(s)->refusing = s->wants_output = false;
    if (g) http1_leave(s, g, of(g)->closing ? &of(g)->why : &mine);
    http1_tell_slots(s);
}
/* ---- what the exchange asks for (Q) ---------------------------------------------------------------------------------------------------------- */
static void begin(struct session *s, struct leg *g) {
    struct http1_session *t = tail(s);
    assert(!t->leg && s->slots && !is_closing(s));
    t->leg = g;
    t->in = IN_HEAD;
    s->wake = INSTANT_NEVER;
    g->in = g->out = LEG_NOTHING;
    g->head_taken = false;
    *of(g) = (struct http1_leg){ 0 };
}

static void queue_head(struct leg *g, const struct head *h) {
    struct http1_leg *x = of(g);
    struct queued_head *q = ARENA_NEW(g->arena, struct queued_head);
    q->head = h;
    if (x->heads) x->heads_last->next = q;
    else x->heads = q;
    x->heads_last = q;
    g->session->wants_output = true;
}

static void send_head(struct leg *g, const struct head *h) {
    if (!is_current(g)) return;
    struct http1_leg *x = of(g);
    assert(!x->final_queued && h->request != is_down(g->session));
    if (h->interim && x->old) return; /* RFC 9110 15.2: HTTP/1.0 has no 1xx */
    if (!h->interim) x->final_queued = x->ready = true;
    if (h->request) {
        x->framing = (uint8_t)http1_request_framing(h);
        x->head_request = str_eq(h->method, STR("HEAD"));
        x->tunnel_asked = h->body == BODY_TUNNEL;
        x->protocol = x->tunnel_asked ? h->protocol : (struct str){ 0 };
        x->connect = x->tunnel_asked && h->protocol.n == 0;
    }
    queue_head(g, h);
}

static void ready(struct leg *g) {
    if (!is_current(g)) return;
    of(g)->ready = true;
    g->session->wants_output = true;
}

static void send_trailers(struct leg *g, const struct head *trailers) {
    if (is_current(g)) of(g)->trailers = trailers;
}

/* FLOW_SESSION: the core gives credit by reading on. */
static void credit(struct leg *g, size_t n) {
    (void)g;
    (void)n;
}

static void close_leg(struct leg *g, enum ending why, enum reset_word said, bool unprocessed) {
    of(g)->closing = true;
    of(g)->why = (struct fault){ .why = why, .said = said, .unprocessed = unprocessed };
    g->session->wants_output = true;
}

/* An upstream's connection is reset rather than closed: a FIN may be taken for a half-close (T1), and the bytes that it would wait for are
 * those of a request that nobody wants any more. */
static enum cancel_way cancel_up(struct leg *g, enum ending why, enum reset_word said, enum cancel_way want) {
    struct session *s = g->session;
    if (!g->head_taken) {
        close_leg(g, why, said, true);
        return CANCEL_WITHDRAWN;
    }
    if (want >= CANCEL_CLOSE) {
        close_leg(g, why, said, false);
        http1_retire(s, NEXT_RESET);
        return CANCEL_CLOSE;
    }
    of(g)->muted |= g->out != LEG_END;
    g->out = LEG_END;
    return CANCEL_DRAIN;
}

/* In good order, though the request still comes: the answer is written to its end, what comes is thrown away, and the core lingers. */
static void stop_request(struct leg *g) {
    struct session *s = g->session;
    struct http1_session *t = tail(s);
    t->last = true;
    t->in = IN_IGNORED;
    if (g->out != LEG_END) return;
    of(g)->closing = true;
    of(g)->why = (struct fault){ .why = ENDING_COMPLETED };
    http1_retire(s, NEXT_CLOSE);
    s->wants_output = true;
}

static enum cancel_way cancel_down(struct leg *g, enum ending why, enum reset_word said, enum cancel_way want) {
    struct session *s = g->session;
    if (want == CANCEL_DRAIN && why == ENDING_COMPLETED) {
        stop_request(g);
        return CANCEL_DRAIN;
    }
    if (want == CANCEL_DRAIN && g->in != LEG_END && tail(s)->in != IN_HELD) {
        of(g)->muted = g->out != LEG_END;
        of(g)->why = (struct fault){ .why = why, .said = said };
        g->out = LEG_END;
        tail(s)->last = true;
        return CANCEL_DRAIN;
    }
    close_leg(g, why, said, false);
    http1_retire(s, why == ENDING_CLIENT_STALLED ? NEXT_RESET : http1_cut(g));
    return want == CANCEL_DRAIN ? CANCEL_DRAIN : CANCEL_CLOSE;
}

static enum cancel_way cancel(struct leg *g, enum ending why, enum reset_word said, enum cancel_way want) {
    if (!is_current(g)) return CANCEL_NONE;
    bool down = is_down(g->session);
    if (want == CANCEL_NONE && (down || g->head_taken)) return CANCEL_NONE;
    return down ? cancel_down(g, why, said, want) : cancel_up(g, why, said, want);
}

static void refuse_begun(struct session *s, const struct fault *f) {
    struct http1_session *t = tail(s);
    if (!is_down(s) || t->leg || is_closing(s)) return;
    t->refusal = http1_refusal(f);
    t->refusing = s->wants_output = true;
    http1_retire(s, NEXT_CLOSE);
    s->ev->on_fault(s, &t->refusal);
}

static void shutdown(struct session *s, bool final) {
    struct http1_session *t = tail(s);
    t->last = true;
    s->reusable = false;
    s->wants_output = true;
    bool begun = is_down(s) && s->begun && !final;
    if (!t->leg && !t->opening && !begun) http1_retire(s, NEXT_CLOSE);
    if (is_down(s) || !s->slots) return;
    s->slots = 0;
    t->tell_slots = true;
}

/* ---- the rest ------------------------------------------------------------------------------------------------------------------------------- */
static void open(struct session *s, instant now) {
    (void)now;
    s->slots = 1;
    s->wake = tail(s)->until = INSTANT_NEVER;
    s->reusable = !is_down(s);
    if (!is_down(s)) s->ev->on_slots(s);
}

static void tick(struct session *s, instant now) {
    http1_settle(s);
    if (is_down(s) || tail(s)->leg || instant_before(now, s->wake)) return;
    http1_retire(s, NEXT_CLOSE);
    http1_tell_slots(s);
}

static void close_session(struct session *s) { (void)s; }

/* A method and a blank; HTTP/2's preface begins like one and is not. */
static enum codec_probe probe(const uint8_t *p, size_t n) {
    static const char preface[] = "PRI * HTTP/2.0\r\n";
    size_t same = 0;
    while (same < n && same < sizeof preface - 1 && p[same] == (uint8_t)preface[same]) same++;
    if (same == sizeof preface - 1) return PROBE_NO;
    if (same == n) return PROBE_MORE;
    return http1_token_lower[p[0]] || p[0] == '\r' ? PROBE_YES : PROBE_NO;
}

#define AT(member) offsetof(struct http1_options, member)
static const struct conf_field fields[] = {
    { .name = "max_head", .type = CONF_SIZE, .offset = AT(max_head), .def = "64KiB", .min = 1 << 10, .max = 128 << 10,
      .help = "Bytes of a head, or of trailers: a longer one is refused with 431 (from an upstream: 502)." },
    { .name = "max_target", .type = CONF_SIZE, .offset = AT(max_target), .def = "8KiB", .min = 64, .max = 64 << 10,
      .help = "Bytes of a request's target: a longer one is refused with 414." },
    { .name = "max_fields", .type = CONF_INT, .offset = AT(max_fields), .def = "128", .min = 1, .max = HTTP1_FIELDS_CAP,
      .help = "Headers of a head, or of trailers: more are refused with 431 (from an upstream: 502)." },
    { .name = "max_interim", .type = CONF_INT, .offset = AT(max_interim), .def = "32", .min = 1, .max = 1000,
      .help = "Interim answers (1xx) before one final answer: more are taken for a broken upstream." },
    { .name = NULL },
};
static const struct conf_table table = { .name = "http1", .size = sizeof(struct http1_options), .fields = fields,
                                         .help = "Limits of HTTP/1.1." };

static const struct codec codec_http1 = {
    .name = "http1",
    .alpn = "http/1.1",
    .version = 11,
    .session_size = sizeof(struct http1_session),
    .leg_size = sizeof(struct http1_leg),
    .pairing = PAIR_EXCHANGE,
    .flow = FLOW_SESSION,
    .roles = CODEC_DOWN | CODEC_UP,
    .default_plain = true,
    .ways = { CANCEL_CLOSE, CANCEL_DRAIN, CANCEL_NONE },
    .options = &table,
    .probe = probe,
    .open = open,
    .feed = http1_feed,
    .eof = http1_eof,
    .lost = lost,
    .tick = tick,
    .output = http1_output,
    .close = close_session,
    .begin = begin,
    .send_head = send_head,
    .ready = ready,
    .send_trailers = send_trailers,
    .credit = credit,
    .cancel = cancel,
    .refuse = refuse_begun,
    .shutdown = shutdown,
};
CODEC_REGISTER(codec_http1);
