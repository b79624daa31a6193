// SPDX-License-Identifier: Apache-2.0
// HTTP/1.0 and HTTP/1.1 (RFC 9112), both sides: the session and its one leg at a time. Parsing, chunks and writing are pure and in files of
// their own; here stands what follows what.
//
//   feed ─→ take_request / take_answer ─→ on_open, on_head ─→ take_length, take_chunks, take_trailers, take_raw ─→ end_in ─→ finish
//   output ─→ write_head ─→ write_body (pull) ─→ end_out ─→ finish ─→ idle, or NEXT_CLOSE
//   cancel only marks; settle, first in every entry and last in output, tells on_closed
//
// One exchange at a time: what a client sends after a complete request is left unused until its answer is out (T2: so it never hides a FIN).
#include "codecs/http1.h"
#include "conf/conf.h"
#include <assert.h>

enum inward {
    IN_HEAD,      /* down: the next request; up: the next answer's head */
    IN_LENGTH, IN_CHUNKS, IN_TRAILERS,
    IN_RAW,       /* up to the end of the connection: BODY_CLOSE, BODY_TUNNEL */
    IN_HELD,      /* the request is complete, its answer is not; or a tunnel was asked for and the answer decides */
    IN_IGNORED    /* what comes counts no more */
};
struct session_tail {
    struct leg *leg;       /* borrowed; the exchange under way */
    struct http1_chunks chunks;
    uint64_t left;         /* IN_LENGTH: bytes to come */
    size_t scanned;        /* of the head or the trailers under way */
    int64_t interims;      /* 1xx of the answer under way */
    span alive;            /* up: how long the peer keeps it idle; 0: it did not say */
    instant until;         /* up: the end of that */
    struct fault refusal;  /* down: the answer that is owed without an exchange */
    uint8_t in;            /* enum inward */
    uint8_t blank;         /* empty lines before this request */
    bool refusing;
    bool last;             /* no exchange follows this one */
    bool fin;              /* the peer's FIN was seen */
    bool left_over;        /* the last feed left bytes */
    bool tell_slots;
    bool opening;          /* inside on_open: there is an exchange, though `leg` is not set yet */
};
struct queued_head { const struct head *head; struct queued_head *next; };
struct leg_tail {
    struct queued_head *heads, *heads_last; /* in the leg's arena: interim ones, then the final one */
    const struct head *trailers;            /* borrowed */
    struct str protocol;   /* an Upgrade asked for */
    uint64_t left;         /* FRAME_LENGTH: bytes to write */
    struct fault why;      /* of `closing` */
    uint8_t framing;       /* enum http1_framing, of our direction */
    bool final_queued, final_taken;
    bool ready;            /* pull may have something */
    bool muted;            /* nothing more is sent */
    bool closing;          /* cancelled: on_closed is owed, with why */
    bool head_request, connect;
    bool tunnel_asked;     /* Upgrade or CONNECT */
    bool old;              /* the peer speaks HTTP/1.0 */
    bool half_told;
};

static struct session_tail *tail(const struct session *s) { return session_tail(s); }
static struct leg_tail *of(const struct leg *g) { return leg_tail(g); }
static bool is_down(const struct session *s) { return s->role == CODEC_DOWN; }
static bool is_closing(const struct session *s) { return s->next == NEXT_CLOSE || s->next == NEXT_RESET; }
/* The leg that Q entries may still touch. */
static bool is_current(const struct leg *g) { return g->session && tail(g->session)->leg == g && !of(g)->closing; }

static const struct http1_options *options(const struct session *s) {
    static const struct http1_options defaults = { .max_head = 64 << 10, .max_target = 8 << 10, .max_fields = 128, .max_interim = 32 };
    return s->conf ? s->conf : &defaults;
}

static bool is_ours(void *arg, const struct field *f) {
    struct session *s = arg;
    return s->ev->is_ours(s, f);
}

static struct http1_rules rules(struct session *s) {
    return (struct http1_rules){ .o = options(s), .secure = s->secure, .is_ours = s->ev->is_ours ? is_ours : NULL, .arg = s };
}

/* ---- ends ------------------------------------------------------------------------------------------------------------------ */
static void retire(struct session *s, enum session_next next) {
    struct session_tail *t = tail(s);
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
static void tell_slots(struct session *s) {
    struct session_tail *t = tail(s);
    if (!t->tell_slots) return;
    t->tell_slots = false;
    s->ev->on_slots(s);
}

/* The session is as it will be before on_closed: there the core may begin the next exchange. */
static void leave(struct session *s, struct leg *g, const struct fault *f) {
    tail(s)->leg = NULL;
    if (!is_down(s) && is_closing(s)) s->reusable = false;
    s->ev->on_closed(g, f);
}

static void settle(struct session *s) {
    struct leg *g = tail(s)->leg;
    if (g && of(g)->closing) {
        if (!is_down(s) && !is_closing(s)) s->wake = tail(s)->until;
        leave(s, g, of(g)->why.why == ENDING_COMPLETED ? NULL : &of(g)->why);
    }
    tell_slots(s);
}

/* How an answer is cut so that the client sees it (T22): a body that only the close delimits, and a tunnel, by a reset. */
static enum session_next cut(const struct leg *g) {
    const struct leg_tail *x = of(g);
    bool shows = x->framing == FRAME_TUNNEL || (x->framing == FRAME_CLOSE && (g->out != LEG_END || x->muted));
    return x->final_taken && shows ? NEXT_RESET : NEXT_CLOSE;
}

static void fail(struct session *s, const struct fault *f, enum session_next next) {
    struct leg *g = tail(s)->leg;
    retire(s, next);
    if (g) leave(s, g, of(g)->closing ? &of(g)->why : f);
    tell_slots(s);
    s->ev->on_fault(s, f);
}

/* A client's fault: answered by us where no answer began. */
static void fail_down(struct session *s, struct http1_verdict v) {
    struct session_tail *t = tail(s);
    struct fault f = { .why = ENDING_CLIENT_ERROR, .status = v.status, .say = v.say };
    t->refusing = !t->leg || !of(t->leg)->final_taken;
    t->refusal = f;
    s->wants_output = true;
    fail(s, &f, t->leg ? cut(t->leg) : NEXT_CLOSE);
}

static void fail_up(struct session *s, const char *say) {
    const struct leg *g = tail(s)->leg;
    struct fault f = { .why = ENDING_UPSTREAM_ERROR, .say = say, .unprocessed = g && !g->head_taken };
    fail(s, &f, NEXT_CLOSE);
}

static void fail_input(struct session *s, struct http1_verdict v) {
    if (is_down(s)) fail_down(s, v);
    else fail_up(s, v.say);
}

/* ---- after an exchange -------------------------------------------------------------------------------------------------------- */
static void idle(struct session *s) {
    struct session_tail *t = tail(s);
    t->in = IN_HEAD;
    t->scanned = 0;
    t->blank = 0;
    t->interims = 0;
    t->chunks = (struct http1_chunks){ 0 };
    s->begun = false;
    s->wants_feed = t->left_over;
}

static void finish_down(struct session *s, struct leg *g) {
    struct session_tail *t = tail(s);
    if (of(g)->muted) {
        retire(s, cut(g));
        leave(s, g, &of(g)->why);
        return;
    }
    if (t->last || (t->fin && !t->left_over)) retire(s, NEXT_CLOSE);
    else idle(s);
    leave(s, g, NULL);
}

/* Keep-Alive: timeout=N is when the peer closes: we leave a second earlier, rather than send into a closed connection. */
static instant idle_until(const struct session_tail *t, instant now) {
    if (t->alive.ns <= 0) return INSTANT_NEVER;
    return instant_add(now, span_max(span_sub(t->alive, span_s(1)), span_ns(t->alive.ns / 2)));
}

/* T21, T24: another request may follow only where this one went out whole and nothing came after its answer. */
static void finish_up(struct session *s, struct leg *g, bool more, instant now) {
    struct session_tail *t = tail(s);
    bool reuse = !t->last && !more && !t->fin && g->out == LEG_END && !of(g)->muted;
    if (reuse) {
        idle(s);
        s->reusable = true;
        s->wake = t->until = idle_until(t, now);
    } else {
        retire(s, NEXT_CLOSE);
    }
    leave(s, g, NULL);
    tell_slots(s);
    if (!more || reuse) return;
    struct fault f = { .why = ENDING_UPSTREAM_ERROR, .say = "bytes came after a complete answer" };
    s->ev->on_fault(s, &f);
}

/* Our direction is complete. */
static void end_out(struct session *s, struct leg *g) {
    const struct session_tail *t = tail(s);
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
static void tell_half_close(struct session *s, struct leg *g) {
    if (of(g)->half_told) return;
    of(g)->half_told = true;
    s->ev->on_half_close(g);
}

/* Their direction is complete. more: input follows. */
static void end_in(struct session *s, struct leg *g, const struct head *trailers, bool more, instant now) {
    struct session_tail *t = tail(s);
    g->in = LEG_END;
    t->in = IN_HELD;
    s->ev->on_end(g, trailers);
    if (!is_current(g)) return;
    if (!is_down(s)) {
        if (of(g)->framing != FRAME_TUNNEL || g->out == LEG_END) finish_up(s, g, more, now);
    } else if (g->out == LEG_END) {
        finish_down(s, g);
    } else if (t->fin && of(g)->framing != FRAME_TUNNEL) {
        tell_half_close(s, g);
    }
}

/* ---- input: heads ---------------------------------------------------------------------------------------------------------------- */
static void enter_body(struct session *s, struct leg *g, const struct head *h, bool more, instant now) {
    struct session_tail *t = tail(s);
    bool told_only = !h->request && (of(g)->head_request || h->status == 304);
    t->left = h->length;
    t->scanned = 0;
    t->chunks = (struct http1_chunks){ 0 };
    g->in = LEG_HEAD;
    switch (h->body) {
    case BODY_NONE: end_in(s, g, NULL, more, now); break;
    case BODY_LENGTH:
        t->in = IN_LENGTH;
        if (h->length == 0 || told_only) end_in(s, g, NULL, more, now);
        break;
    case BODY_STREAM: t->in = IN_CHUNKS; break;
    case BODY_CLOSE: t->in = IN_RAW; break;
    case BODY_TUNNEL: t->in = is_down(s) ? IN_HELD : IN_RAW; break;
    }
}

/* How much of p holds the section at p to its end, at least; or 0: more is needed, or it failed. */
static size_t section(struct session *s, const uint8_t *p, size_t n) {
    struct session_tail *t = tail(s);
    const struct http1_options *o = options(s);
    bool bare = false;
    if (t->scanned == 0 && n <= o->max_head && http1_has_section(p, n)) return n; /* the usual: all of it came at once */
    size_t end = http1_section_end(p, n, &t->scanned, &bare);
    struct http1_verdict v = { 0 };
    if (bare) v = (struct http1_verdict){ 400, "a line ends in a bare LF" };
    else if (end > o->max_head || (!end && n > o->max_head)) v = (struct http1_verdict){ 431, "the head is too long" };
    if (v.say) fail_input(s, v);
    return v.say ? 0 : end;
}

/* RFC 9112 2.2: a server should ignore an empty line before a request. */
static size_t skip_blank(struct session *s, const uint8_t *p, size_t n) {
    struct session_tail *t = tail(s);
    size_t at = 0;
    for (; n - at >= 2 && p[at] == '\r' && p[at + 1] == '\n'; at += 2)
        if (t->blank++ == HTTP1_BLANK_MAX) {
            fail_down(s, (struct http1_verdict){ 400, "too many empty lines before a request" });
            return n;
        }
    return at;
}

/* A target may be refused before its head is complete. */
static bool target_too_long(struct session *s, const uint8_t *p, size_t n) {
    size_t most = options(s)->max_target + HTTP1_METHOD_MAX + 12;
    return n > most && !memchr(p, '\n', most);
}

static void open_request(struct session *s, const struct http1_message *m, const uint8_t *p, size_t n, bool more, instant now) {
    struct session_tail *t = tail(s);
    s->begun = false;
    t->opening = true;
    struct leg *g = s->ev->on_open(s);
    t->opening = false;
    if (!g) {
        t->refusal = (struct fault){ .why = ENDING_SHED_LOAD, .status = 503, .say = "there is no room for the request" };
        t->refusing = s->wants_output = true;
        retire(s, NEXT_CLOSE);
        return;
    }
    const struct head *h = http1_keep(m, p, n, g->arena);
    struct leg_tail *x = of(g);
    t->leg = g;
    t->last |= !m->reusable;
    x->old = h->version == 10;
    x->head_request = str_eq(h->method, STR("HEAD"));
    x->connect = str_eq(h->method, STR("CONNECT"));
    x->tunnel_asked = h->body == BODY_TUNNEL;
    g->in = LEG_HEAD;
    t->in = IN_HELD;
    s->ev->on_head(g, h);
    if (!is_current(g)) return;
    if (t->in == IN_IGNORED) return;
    enter_body(s, g, h, more, now);
    if (x->tunnel_asked && t->fin) tell_half_close(s, g);
}

static size_t take_request(struct session *s, const uint8_t *p, size_t n, instant now) {
    struct session_tail *t = tail(s);
    size_t blank = t->scanned ? 0 : skip_blank(s, p, n);
    if (blank) return blank;
    if (n == 1 && p[0] == '\r') return 0;
    s->begun = true;
    size_t end = section(s, p, n);
    if (is_closing(s)) return n;
    if (!end) {
        if (target_too_long(s, p, n)) fail_down(s, (struct http1_verdict){ 414, "the target is too long" });
        return is_closing(s) ? n : 0;
    }
    struct http1_message m;
    struct http1_rules r = rules(s);
    struct http1_verdict v = http1_parse_request(p, end, &r, &m);
    if (v.say) {
        fail_down(s, v);
        return n;
    }
    end = (size_t)(m.end - p);
    open_request(s, &m, p, end, n > end, now);
    return is_closing(s) ? n : end;
}

/* timeout=N among the members of Keep-Alive. */
static span alive_of(struct str value) {
    struct str member;
    uint64_t n = 0;
    while (str_split(&value, ',', &member)) {
        size_t eq = str_index(member, '=');
        if (eq == member.n || !str_eq_nocase(str_first(member, eq), STR("timeout"))) continue;
        if (str_to_u64(str_from(member, eq + 1), &n) && n < 86400) return span_s((int64_t)n);
    }
    return span_ns(0);
}

/* T24: an early refusal ends the upload: who sends on may be reset before it has read the answer. */
static void early_answer(struct session *s, struct leg *g, const struct head *h) {
    if (g->out == LEG_END || h->body == BODY_TUNNEL) return;
    if (h->status < 300 && !of(g)->tunnel_asked) return;
    tail(s)->last |= !of(g)->tunnel_asked || of(g)->connect;
    of(g)->muted |= !of(g)->tunnel_asked;
    g->out = LEG_END;
}

static void final_answer(struct session *s, struct leg *g, const struct http1_message *m, const struct head *h, bool more, instant now) {
    struct session_tail *t = tail(s);
    struct leg_tail *x = of(g);
    t->last |= !m->reusable || h->body == BODY_TUNNEL;
    t->alive = alive_of(m->alive);
    if (h->body == BODY_TUNNEL) x->ready = s->wants_output = true;
    else if (x->framing == FRAME_TUNNEL) x->framing = FRAME_NONE;
    early_answer(s, g, h);
    s->ev->on_head(g, h);
    if (is_current(g)) enter_body(s, g, h, more, now);
}

static size_t interim_answer(struct session *s, struct leg *g, const struct head *h, size_t end) {
    struct session_tail *t = tail(s);
    if (++t->interims > options(s)->max_interim) {
        fail_up(s, "too many interim answers");
        return end;
    }
    s->ev->on_head(g, h);
    return end;
}

static size_t take_answer(struct session *s, const uint8_t *p, size_t n, instant now) {
    struct session_tail *t = tail(s);
    struct leg *g = t->leg;
    if (!g || !g->head_taken) {
        fail_up(s, g ? "an answer came before the request was sent" : "bytes came on an idle connection");
        return n;
    }
    size_t end = section(s, p, n);
    if (!end) return is_closing(s) ? n : 0;
    struct http1_message m;
    struct http1_rules r = rules(s);
    struct http1_asked asked = { .head = of(g)->head_request, .connect = of(g)->connect, .protocol = of(g)->protocol };
    struct http1_verdict v = http1_parse_answer(p, end, &r, &asked, &m);
    if (v.say) {
        fail_up(s, v.say);
        return n;
    }
    end = (size_t)(m.end - p);
    t->scanned = 0;
    const struct head *h = http1_keep(&m, p, end, g->arena);
    if (h->interim) return interim_answer(s, g, h, end);
    final_answer(s, g, &m, h, n > end, now);
    return end;
}

/* ---- input: bodies -------------------------------------------------------------------------------------------------------------------- */
static void give(struct session *s, struct leg *g, const void *p, size_t n) {
    g->in = LEG_BODY;
    s->ev->on_body(g, p, n, false);
}

static size_t take_length(struct session *s, const uint8_t *p, size_t n, instant now) {
    struct session_tail *t = tail(s);
    struct leg *g = t->leg;
    size_t k = n < t->left ? n : (size_t)t->left;
    t->left -= k;
    give(s, g, p, k);
    if (t->left == 0 && is_current(g) && t->in == IN_LENGTH) end_in(s, g, NULL, n > k, now);
    return k;
}

static size_t take_chunks(struct session *s, const uint8_t *p, size_t n) {
    struct session_tail *t = tail(s);
    const uint8_t *at = p;
    struct str data;
    switch (http1_chunk(&t->chunks, &at, p + n, &data)) {
    case CHUNK_MORE: break;
    case CHUNK_DATA: give(s, t->leg, data.p, data.n); break;
    case CHUNK_LAST:
        t->in = IN_TRAILERS;
        t->scanned = 0;
        break;
    case CHUNK_BAD: fail_input(s, (struct http1_verdict){ 400, "a chunk is malformed" }); break;
    }
    return (size_t)(at - p);
}

static size_t take_trailers(struct session *s, const uint8_t *p, size_t n, instant now) {
    struct leg *g = tail(s)->leg;
    if (n >= 2 && p[0] == '\r' && p[1] == '\n') {
        end_in(s, g, NULL, n > 2, now);
        return 2;
    }
    size_t end = section(s, p, n);
    if (!end) return is_closing(s) ? n : 0;
    struct http1_message m;
    struct http1_rules r = rules(s);
    struct http1_verdict v = http1_parse_trailers(p, end, &r, &m);
    if (v.say) {
        fail_input(s, v);
        return n;
    }
    end = (size_t)(m.end - p);
    end_in(s, g, http1_keep(&m, p, end, g->arena), n > end, now);
    return end;
}

static size_t take(struct session *s, const uint8_t *p, size_t n, instant now) {
    switch ((enum inward)tail(s)->in) {
    case IN_HEAD: return is_down(s) ? take_request(s, p, n, now) : take_answer(s, p, n, now);
    case IN_LENGTH: return take_length(s, p, n, now);
    case IN_CHUNKS: return take_chunks(s, p, n);
    case IN_TRAILERS: return take_trailers(s, p, n, now);
    case IN_RAW: give(s, tail(s)->leg, p, n); return n;
    case IN_HELD: return 0;
    case IN_IGNORED: return n;
    }
    return n;
}

static void head_cut_short(struct session *s) {
    const struct leg *g = tail(s)->leg;
    struct fault down = { .why = ENDING_CLIENT_CLOSED, .say = "the connection ended in the middle of a request's head" };
    struct fault up = { .why = ENDING_UPSTREAM_CLOSED, .unprocessed = g && !g->head_taken, .say = "the connection ended before the answer's head" };
    fail(s, is_down(s) ? &down : &up, NEXT_CLOSE);
}

static size_t feed(struct session *s, const uint8_t *p, size_t n, instant now) {
    struct session_tail *t = tail(s);
    size_t used = 0;
    settle(s);
    s->wants_feed = false;
    while (used < n) {
        if (is_closing(s)) used = n;
        bool cancelled = t->leg && of(t->leg)->closing;
        size_t k = used == n || cancelled ? 0 : take(s, p + used, n - used, now);
        if (k == 0) break;
        used += k;
    }
    t->left_over = used < n;
    if (!t->left_over || is_closing(s)) s->wants_feed = false;
    if (t->fin && t->in == IN_HEAD && !is_closing(s)) {
        if (t->left_over) head_cut_short(s);
        else if (is_down(s)) retire(s, NEXT_CLOSE);
    }
    return used;
}

/* ---- the connection's end -------------------------------------------------------------------------------------------------------------- */
static void eof_down(struct session *s, bool behind, instant now) {
    struct session_tail *t = tail(s);
    struct leg *g = t->leg;
    t->left_over = behind;
    if (!g && !behind) retire(s, NEXT_CLOSE);
    else if (!g && s->begun && !s->wants_feed) head_cut_short(s);
    else if (!g) return;
    else if (t->in == IN_HELD && of(g)->framing != FRAME_TUNNEL) tell_half_close(s, g);
    else if (behind || t->in == IN_HELD || t->in == IN_IGNORED) return; /* T3: what is unread may be the rest of the body */
    else if (t->in == IN_RAW) end_in(s, g, NULL, false, now);
    else {
        struct fault f = { .why = ENDING_CLIENT_CLOSED, .say = "the connection ended in the middle of a request's body" };
        fail(s, &f, cut(g));
    }
}

static void eof_up(struct session *s, bool behind, instant now) {
    struct session_tail *t = tail(s);
    struct leg *g = t->leg;
    if (!g) {
        retire(s, NEXT_CLOSE);
        tell_slots(s);
        return;
    }
    bool seen = t->in == IN_HEAD && t->scanned; /* what is behind is the part of a head that feed was given */
    if ((behind && !seen) || t->in == IN_HELD) return;
    struct fault f = { .why = ENDING_UPSTREAM_CLOSED, .say = "the connection ended in the answer's body" };
    if (t->in == IN_HEAD) head_cut_short(s);
    else if (t->in == IN_RAW) end_in(s, g, NULL, false, now);
    else fail(s, &f, NEXT_CLOSE);
}

static void eof(struct session *s, bool behind, instant now) {
    settle(s);
    if (is_closing(s)) return;
    tail(s)->fin = true;
    if (is_down(s)) eof_down(s, behind, now);
    else eof_up(s, behind, now);
}

static void lost(struct session *s, const struct fault *f) {
    struct leg *g = tail(s)->leg;
    struct fault mine = *f;
    if (g && !is_down(s)) mine.unprocessed = !g->head_taken;
    retire(s, NEXT_RESET);
    tail(s)->refusing = s->wants_output = false;
    if (g) leave(s, g, of(g)->closing ? &of(g)->why : &mine);
    tell_slots(s);
}

/* ---- output -------------------------------------------------------------------------------------------------------------------------------- */
static enum http1_framing answer_framing(const struct leg_tail *x, const struct head *h) {
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

static enum http1_framing request_framing(const struct head *h) {
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
static bool head_ends_out(const struct leg_tail *x) {
    return x->framing == FRAME_NONE || x->framing == FRAME_ZERO || (x->framing == FRAME_LENGTH && x->left == 0);
}

/* A tunnel's answer opens it; any other answer ends the request that asked for one. */
static void decide_tunnel(struct session *s, struct leg *g, instant now) {
    struct session_tail *t = tail(s);
    if (!of(g)->tunnel_asked || t->in != IN_HELD) return;
    if (of(g)->framing != FRAME_TUNNEL) {
        end_in(s, g, NULL, t->left_over, now);
        return;
    }
    t->in = IN_RAW;
    s->wants_feed = t->left_over;
    if (t->fin && !t->left_over) end_in(s, g, NULL, false, now);
}

static const char *answer_connection(const struct session_tail *t, const struct leg_tail *x) {
    if (x->framing == FRAME_TUNNEL) return x->connect ? NULL : "upgrade";
    if (t->last) return "close";
    return x->old ? "keep-alive" : NULL;
}

/* T24: while the request still comes, its early answer is the connection's last. */
static void write_answer(struct session *s, struct leg *g, struct out *o, const struct head *h, instant now) {
    struct session_tail *t = tail(s);
    struct leg_tail *x = of(g);
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
    if (is_current(g) && head_ends_out(x)) end_out(s, g);
}

static void write_request(struct session *s, struct leg *g, struct out *o, const struct head *h) {
    struct leg_tail *x = of(g);
    s->reusable = false;
    x->final_taken = true;
    x->left = h->length;
    g->out = LEG_HEAD;
    http1_write_request(o, h, (enum http1_framing)x->framing);
    if (head_ends_out(x)) end_out(s, g);
}

/* T25: a head that another protocol brought, or an edit spoilt, is not put on the wire. */
static void unsound(struct session *s, struct leg *g) {
    struct session_tail *t = tail(s);
    struct fault f = { .why = is_down(s) ? ENDING_UPSTREAM_ERROR : ENDING_CLIENT_ERROR, .unprocessed = !is_down(s),
                       .say = "the head has a byte that HTTP/1.1 cannot carry" };
    if (is_down(s)) {
        t->refusing = true;
        t->refusal = f;
        retire(s, NEXT_CLOSE);
    } else {
        idle(s);
    }
    leave(s, g, &f);
}

static void write_head(struct session *s, struct leg *g, struct out *o, instant now) {
    struct leg_tail *x = of(g);
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
    retire(s, is_down(s) ? cut(g) : NEXT_RESET);
    leave(s, g, &f);
}

static void end_body(struct session *s, struct leg *g, struct out *o) {
    const struct leg_tail *x = of(g);
    if (x->framing == FRAME_LENGTH && x->left) {
        cut_short(s, g);
        return;
    }
    if (x->framing == FRAME_CHUNKED) http1_write_last_chunk(o, x->trailers);
    end_out(s, g);
}

static void write_pieces(struct leg *g, struct out *o, const struct pulled *v) {
    bool chunked = of(g)->framing == FRAME_CHUNKED && v->bytes;
    if (chunked) http1_write_chunk_line(o, v->bytes);
    for (unsigned i = 0; i < v->nv; i++) out_ref(o, g, v->v[i]);
    if (chunked) out_copy(o, "\r\n", 2);
}

static void write_body(struct session *s, struct leg *g, struct out *o) {
    struct leg_tail *x = of(g);
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
    const struct leg_tail *x = of(g);
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

static void output(struct session *s, struct out *o, instant now) {
    struct session_tail *t = tail(s);
    settle(s);
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
    settle(s);
    s->wants_output = has_output(s);
}

/* ---- what the exchange asks for (Q) ---------------------------------------------------------------------------------------------------------- */
static void begin(struct session *s, struct leg *g) {
    struct session_tail *t = tail(s);
    assert(!t->leg && s->slots && !is_closing(s));
    t->leg = g;
    t->in = IN_HEAD;
    s->wake = INSTANT_NEVER;
    g->in = g->out = LEG_NOTHING;
    g->head_taken = false;
    *of(g) = (struct leg_tail){ 0 };
}

static void queue_head(struct leg *g, const struct head *h) {
    struct leg_tail *x = of(g);
    struct queued_head *q = ARENA_NEW(g->arena, struct queued_head);
    q->head = h;
    if (x->heads) x->heads_last->next = q;
    else x->heads = q;
    x->heads_last = q;
    g->session->wants_output = true;
}

static void send_head(struct leg *g, const struct head *h) {
    if (!is_current(g)) return;
    struct leg_tail *x = of(g);
    assert(!x->final_queued && h->request != is_down(g->session));
    if (h->interim && x->old) return; /* RFC 9110 15.2: HTTP/1.0 has no 1xx */
    if (!h->interim) x->final_queued = x->ready = true;
    if (h->request) {
        x->framing = (uint8_t)request_framing(h);
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

static void close_leg(struct leg *g, enum ending why, uint32_t wire, bool unprocessed) {
    of(g)->closing = true;
    of(g)->why = (struct fault){ .why = why, .wire = wire, .unprocessed = unprocessed };
    g->session->wants_output = true;
}

/* An upstream's connection is reset rather than closed: a FIN may be taken for a half-close (T1), and the bytes that it would wait for are
 * those of a request that nobody wants any more. */
static enum cancel_way cancel_up(struct leg *g, enum ending why, uint32_t wire, enum cancel_way want) {
    struct session *s = g->session;
    if (!g->head_taken) {
        of(g)->heads = NULL;
        close_leg(g, why, wire, true);
        return CANCEL_WITHDRAWN;
    }
    if (want >= CANCEL_CLOSE) {
        close_leg(g, why, wire, false);
        retire(s, NEXT_RESET);
        return CANCEL_CLOSE;
    }
    of(g)->muted |= g->out != LEG_END;
    g->out = LEG_END;
    return CANCEL_DRAIN;
}

/* In good order, though the request still comes: the answer is written to its end, what comes is thrown away, and the core lingers. */
static void stop_request(struct leg *g) {
    struct session *s = g->session;
    struct session_tail *t = tail(s);
    t->last = true;
    t->in = IN_IGNORED;
    if (g->out != LEG_END) return;
    of(g)->closing = true;
    of(g)->why = (struct fault){ .why = ENDING_COMPLETED };
    retire(s, NEXT_CLOSE);
    s->wants_output = true;
}

static enum cancel_way cancel_down(struct leg *g, enum ending why, uint32_t wire, enum cancel_way want) {
    struct session *s = g->session;
    if (want == CANCEL_DRAIN && why == ENDING_COMPLETED) {
        stop_request(g);
        return CANCEL_DRAIN;
    }
    if (want == CANCEL_DRAIN && g->in != LEG_END && tail(s)->in != IN_HELD) {
        of(g)->muted = g->out != LEG_END;
        of(g)->why = (struct fault){ .why = why, .wire = wire };
        g->out = LEG_END;
        tail(s)->last = true;
        return CANCEL_DRAIN;
    }
    close_leg(g, why, wire, false);
    retire(s, why == ENDING_CLIENT_STALLED ? NEXT_RESET : cut(g));
    return want == CANCEL_DRAIN ? CANCEL_DRAIN : CANCEL_CLOSE;
}

static enum cancel_way cancel(struct leg *g, enum ending why, uint32_t wire, enum cancel_way want) {
    if (!is_current(g)) return CANCEL_NONE;
    bool down = is_down(g->session);
    if (want == CANCEL_NONE && (down || g->head_taken)) return CANCEL_NONE;
    return down ? cancel_down(g, why, wire, want) : cancel_up(g, why, wire, want);
}

static void refuse_begun(struct session *s, const struct fault *f) {
    struct session_tail *t = tail(s);
    if (!is_down(s) || t->leg || is_closing(s)) return;
    t->refusal = *f;
    t->refusing = s->wants_output = true;
    retire(s, NEXT_CLOSE);
    s->ev->on_fault(s, f);
}

static void shutdown(struct session *s, bool final) {
    struct session_tail *t = tail(s);
    t->last = true;
    s->reusable = false;
    s->wants_output = true;
    bool begun = is_down(s) && s->begun && !final;
    if (!t->leg && !t->opening && !begun) retire(s, NEXT_CLOSE);
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
    settle(s);
    if (is_down(s) || tail(s)->leg || instant_before(now, s->wake)) return;
    retire(s, NEXT_CLOSE);
    tell_slots(s);
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
    .session_size = sizeof(struct session_tail),
    .leg_size = sizeof(struct leg_tail),
    .pairing = PAIR_EXCHANGE,
    .flow = FLOW_SESSION,
    .roles = CODEC_DOWN | CODEC_UP,
    .default_plain = true,
    .ways = { CANCEL_CLOSE, CANCEL_DRAIN, CANCEL_NONE },
    .options = &table,
    .probe = probe,
    .open = open,
    .feed = feed,
    .eof = eof,
    .lost = lost,
    .tick = tick,
    .output = output,
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
