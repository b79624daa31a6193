// SPDX-License-Identifier: Apache-2.0
// The way in of HTTP/1.1: heads, bodies, and the end of the connection. What is wrong ends the session, and where a client is owed
// an answer and none began, we give it ourselves.
#include "codecs/http1_inside.h"

static bool is_ours(void *arg, const struct field *f) {
    struct session *s = arg;
    return s->ev->is_ours(s, f);
}

static struct http1_rules rules(struct session *s) {
    return (struct http1_rules){ .o = http1_options_of(s), .secure = s->secure, .is_ours = s->ev->is_ours ? is_ours : NULL, .arg = s };
}

static struct fault client_fault(struct http1_verdict v) {
    return (struct fault){ .why = ENDING_CLIENT_ERROR, .status = v.status, .say = v.say };
}

/* A client's fault. Where an exchange gives the answer, it is the connection's last. */
static void fail_down(struct session *s, struct http1_verdict v) {
    struct http1_session *t = tail(s);
    struct fault f = client_fault(v);
    if (t->leg && !of(t->leg)->final_queued) {
        t->last = true;
        t->in = IN_IGNORED;
        s->ev->on_unfit(t->leg, NULL, &f);
        return;
    }
    t->refusing = !t->leg || !of(t->leg)->final_taken;
    if (t->refusing) f = t->refusal = http1_refusal(&f);
    s->wants_output = true;
    http1_fail(s, &f, t->leg ? http1_cut(t->leg) : NEXT_CLOSE);
}

static void fail_up(struct session *s, const char *say) {
    const struct leg *g = tail(s)->leg;
    struct fault f = { .why = ENDING_UPSTREAM_ERROR, .say = say, .unprocessed = g && !g->head_taken };
    http1_fail(s, &f, NEXT_CLOSE);
}

static void fail_input(struct session *s, struct http1_verdict v) {
    if (is_down(s)) fail_down(s, v);
    else fail_up(s, v.say);
}
/* ---- input: heads ---------------------------------------------------------------------------------------------------------------- */
static void enter_body(struct session *s, struct leg *g, const struct head *h, bool more, instant now) {
    struct http1_session *t = tail(s);
    bool told_only = !h->request && (of(g)->head_request || h->status == 304);
    t->left = h->length;
    t->scanned = 0;
    t->chunks = (struct http1_chunks){ 0 };
    g->in = LEG_HEAD;
    switch (h->body) {
    case BODY_NONE: http1_end_in(s, g, NULL, more, now); break;
    case BODY_LENGTH:
        t->in = IN_LENGTH;
        if (h->length == 0 || told_only) http1_end_in(s, g, NULL, more, now);
        break;
    case BODY_STREAM: t->in = IN_CHUNKS; break;
    case BODY_CLOSE: t->in = IN_RAW; break;
    case BODY_TUNNEL: t->in = is_down(s) ? IN_HELD : IN_RAW; break;
    }
}

/* How much of p holds the section at p to its end, at least; or 0: more is needed, or *v says what is wrong. */
static size_t section(struct session *s, const uint8_t *p, size_t n, struct http1_verdict *v) {
    struct http1_session *t = tail(s);
    const struct http1_options *o = http1_options_of(s);
    bool bare = false;
    *v = (struct http1_verdict){ 0 };
    if (t->scanned == 0 && n <= o->max_head && http1_has_section(p, n)) return n; /* the usual: all of it came at once */
    size_t end = http1_section_end(p, n, &t->scanned, &bare);
    if (bare) *v = (struct http1_verdict){ 400, "a line ends in a bare LF" };
    else if (end > o->max_head || (!end && n > o->max_head)) *v = (struct http1_verdict){ 431, "the head is too long" };
    return v->say ? 0 : end;
}

/* RFC 9112 2.2: a server should ignore an empty line before a request. */
static size_t skip_blank(struct session *s, const uint8_t *p, size_t n) {
    struct http1_session *t = tail(s);
    size_t at = 0;
    for (; n - at >= 2 && p[at] == '\r' && p[at + 1] == '\n'; at += 2)
        if (t->blank++ == HTTP1_BLANK_MAX) {
            fail_down(s, (struct http1_verdict){ 400, "too many empty lines before a request" });
            return n;
        }
    return at;
}

/* A target may be refused before its head is complete. How much of p shows that; 0: nothing does. */
static size_t target_too_long(struct session *s, const uint8_t *p, size_t n) {
    size_t most = http1_options_of(s)->max_target + HTTP1_METHOD_MAX + 12;
    return n > most && !memchr(p, '\n', most) ? most : 0;
}

/* NULL: there is no room, and the client is told. */
static struct leg *open_leg(struct session *s, const struct head *h) {
    struct http1_session *t = tail(s);
    s->begun = false;
    t->opening = true;
    struct leg *g = s->ev->on_open(s);
    t->opening = false;
    if (!g) {
        t->refusal = http1_refusal(&(struct fault){ .why = ENDING_SHED_LOAD, .status = 503, .say = "there is no room for the request" });
        t->refusing = s->wants_output = true;
        http1_retire(s, NEXT_CLOSE);
        return NULL;
    }
    t->leg = g;
    of(g)->old = h->version == 10;
    of(g)->head_request = str_eq(h->method, STR("HEAD"));
    g->in = LEG_HEAD;
    return g;
}

static void open_request(struct session *s, const struct http1_message *m, const uint8_t *p, size_t n, bool more, instant now) {
    struct http1_session *t = tail(s);
    struct leg *g = open_leg(s, &m->head);
    if (!g) return;
    const struct head *h = http1_keep(m, p, n, g->arena);
    struct http1_leg *x = of(g);
    t->last |= !m->reusable;
    x->connect = str_eq(h->method, STR("CONNECT"));
    x->tunnel_asked = h->body == BODY_TUNNEL;
    t->in = IN_HELD;
    s->ev->on_head(g, h);
    if (!is_current(g)) return;
    if (t->in == IN_IGNORED) return;
    enter_body(s, g, h, more, now);
    if (x->tunnel_asked && t->fin) http1_tell_half_close(s, g);
}

/* Where so much can be told, an exchange gives the answer, in the words of the protocol that the client speaks above HTTP. */
static void refuse_request(struct session *s, struct http1_verdict v, const uint8_t *p, size_t n, struct http1_message *m) {
    struct http1_rules r = rules(s);
    struct fault f = client_fault(v);
    if (n > r.o->max_head) n = r.o->max_head; /* no more is kept of it than of one that is served */
    if (!http1_parse_unfit(p, n, &r, m)) {
        fail_down(s, v);
        return;
    }
    struct leg *g = open_leg(s, &m->head);
    if (!g) return;
    tail(s)->last = true;
    tail(s)->in = IN_IGNORED;
    s->ev->on_unfit(g, http1_keep(m, p, (size_t)(m->end - p), g->arena), &f);
}

static size_t take_request(struct session *s, const uint8_t *p, size_t n, instant now) {
    struct http1_session *t = tail(s);
    size_t blank = t->scanned ? 0 : skip_blank(s, p, n);
    if (blank) return blank;
    if (n == 1 && p[0] == '\r') return 0;
    s->begun = true;
    struct http1_message m;
    struct http1_rules r = rules(s);
    struct http1_verdict v;
    size_t long_line = target_too_long(s, p, n);
    if (long_line) { /* said before the head it stands in is found too long */
        refuse_request(s, (struct http1_verdict){ 414, "the target is too long" }, p, long_line, &m);
        return n;
    }
    size_t end = section(s, p, n, &v);
    if (!v.say && !end) return 0;
    if (!v.say) v = http1_parse_request(p, end, &r, &m);
    if (v.say) {
        refuse_request(s, v, p, n, &m);
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
    struct http1_session *t = tail(s);
    struct http1_leg *x = of(g);
    t->last |= !m->reusable || h->body == BODY_TUNNEL;
    t->alive = alive_of(m->alive);
    if (h->body == BODY_TUNNEL) x->ready = s->wants_output = true;
    else if (x->framing == FRAME_TUNNEL) x->framing = FRAME_NONE;
    early_answer(s, g, h);
    s->ev->on_head(g, h);
    if (is_current(g)) enter_body(s, g, h, more, now);
}

static size_t interim_answer(struct session *s, struct leg *g, const struct head *h, size_t end) {
    struct http1_session *t = tail(s);
    if (++t->interims > http1_options_of(s)->max_interim) {
        fail_up(s, "too many interim answers");
        return end;
    }
    s->ev->on_head(g, h);
    return end;
}

static size_t take_answer(struct session *s, const uint8_t *p, size_t n, instant now) {
    struct http1_session *t = tail(s);
    struct leg *g = t->leg;
    if (!g || !g->head_taken) {
        fail_up(s, g ? "an answer came before the request was sent" : "bytes came on an idle connection");
        return n;
    }
    struct http1_verdict v;
    size_t end = section(s, p, n, &v);
    if (!v.say && !end) return 0;
    struct http1_message m;
    struct http1_rules r = rules(s);
    struct http1_asked asked = { .head = of(g)->head_request, .connect = of(g)->connect, .protocol = of(g)->protocol };
    if (!v.say) v = http1_parse_answer(p, end, &r, &asked, &m);
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
    struct http1_session *t = tail(s);
    struct leg *g = t->leg;
    size_t k = n < t->left ? n : (size_t)t->left;
    t->left -= k;
    give(s, g, p, k);
    if (t->left == 0 && is_current(g) && t->in == IN_LENGTH) http1_end_in(s, g, NULL, n > k, now);
    return k;
}

static size_t take_chunks(struct session *s, const uint8_t *p, size_t n) {
    struct http1_session *t = tail(s);
    const uint8_t *at = p;
    struct str data;
    switch (http1_chunk(&t->chunks, &at, p + n, &data)) {
    case CHUNK_MORE: break;
    case CHUNK_DATA: give(s, t->leg, data.p, data.n); break;
    case CHUNK_LAST:
        t->in = IN_TRAILERS;
        t->scanned = 0;
        break;
    case CHUNK_BAD: fail_input(s, (struct http1_verdict){ 400, "a chunk is malformed" }); return n;
    }
    return (size_t)(at - p);
}

static size_t take_trailers(struct session *s, const uint8_t *p, size_t n, instant now) {
    struct leg *g = tail(s)->leg;
    if (n >= 2 && p[0] == '\r' && p[1] == '\n') {
        http1_end_in(s, g, NULL, n > 2, now);
        return 2;
    }
    struct http1_verdict v;
    size_t end = section(s, p, n, &v);
    if (!v.say && !end) return 0;
    struct http1_message m;
    struct http1_rules r = rules(s);
    if (!v.say) v = http1_parse_trailers(p, end, &r, &m);
    if (v.say) {
        fail_input(s, v);
        return n;
    }
    end = (size_t)(m.end - p);
    http1_end_in(s, g, http1_keep(&m, p, end, g->arena), n > end, now);
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
    http1_fail(s, is_down(s) ? &down : &up, NEXT_CLOSE);
}

size_t http1_feed(struct session *s, const uint8_t *p, size_t n, instant now) {
    struct http1_session *t = tail(s);
    size_t used = 0;
    http1_settle(s);
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
        else if (is_down(s)) http1_retire(s, NEXT_CLOSE);
    }
    return used;
}
/* ---- the connection's end -------------------------------------------------------------------------------------------------------------- */
static void eof_down(struct session *s, bool behind, instant now) {
    struct http1_session *t = tail(s);
    struct leg *g = t->leg;
    t->left_over = behind;
    if (!g && !behind) http1_retire(s, NEXT_CLOSE);
    else if (!g && s->begun && !s->wants_feed) head_cut_short(s);
    else if (!g) return;
    else if (t->in == IN_HELD && of(g)->framing != FRAME_TUNNEL) http1_tell_half_close(s, g);
    else if (behind || t->in == IN_HELD || t->in == IN_IGNORED) return; /* T3: what is unread may be the rest of the body */
    else if (t->in == IN_RAW) http1_end_in(s, g, NULL, false, now);
    else {
        struct fault f = { .why = ENDING_CLIENT_CLOSED, .say = "the connection ended in the middle of a request's body" };
        http1_fail(s, &f, http1_cut(g));
    }
}

static void eof_up(struct session *s, bool behind, instant now) {
    struct http1_session *t = tail(s);
    struct leg *g = t->leg;
    if (!g) {
        http1_retire(s, NEXT_CLOSE);
        http1_tell_slots(s);
        return;
    }
    bool seen = t->in == IN_HEAD && t->scanned; /* what is behind is the part of a head that feed was given */
    if ((behind && !seen) || t->in == IN_HELD) return;
    struct fault f = { .why = ENDING_UPSTREAM_CLOSED, .say = "the connection ended in the answer's body" };
    if (t->in == IN_HEAD) head_cut_short(s);
    else if (t->in == IN_RAW) http1_end_in(s, g, NULL, false, now);
    else http1_fail(s, &f, NEXT_CLOSE);
}

void http1_eof(struct session *s, bool behind, instant now) {
    http1_settle(s);
    if (is_closing(s)) return;
    tail(s)->fin = true;
    if (is_down(s)) eof_down(s, behind, now);
    else eof_up(s, behind, now);
}
