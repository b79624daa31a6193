// SPDX-License-Identifier: Apache-2.0
// A wire protocol for tests, shaped like PostgreSQL's: an upstream session belongs to one client's for life, is not ready before the server has
// given a key, and a running exchange is cancelled on another connection that names the key. It keeps the contract of codecs/codec.h honest:
// what only HTTP could implement does not get into the vtable.
//
//   client: HELLO␊                        server: KEY k1␊
//   client: Q␊  D<n>␊<n bytes> …  E␊      server: A␊  D<n>␊<n bytes> …  E␊
//   another connection: CANCEL k1␊
#ifndef CURFEW_TESTS_CONTRACT_TOY_H
#define CURFEW_TESTS_CONTRACT_TOY_H
#include "codecs/codec.h"
#include <assert.h>
#include <stdio.h>

#define TOY_LINE_MAX 32u
#define TOY_DATA_MAX (UINT64_C(1) << 20)

struct toy { struct leg *leg; uint64_t left; bool greeted, owes_hello, owes_key, last, opening; char key[TOY_LINE_MAX]; };
struct toy_leg { const struct head *head; struct fault why; bool ready, closing, muted; };

static struct toy *toy_of(const struct session *s) { return session_tail(s); }
static struct toy_leg *toy_leg_of(const struct leg *g) { return leg_tail(g); }
static bool toy_is_current(const struct leg *g) { return g->session && toy_of(g->session)->leg == g && !toy_leg_of(g)->closing; }
static bool toy_is_over(const struct session *s) { return s->next == NEXT_CLOSE; }

static void toy_retire(struct session *s) {
    s->next = NEXT_CLOSE;
    s->reusable = s->wants_feed = s->begun = false;
    s->slots = 0;
}

static void toy_leave(struct session *s, struct leg *g, const struct fault *f) {
    toy_of(s)->leg = NULL;
    s->ev->on_closed(g, f);
}

static void toy_settle(struct session *s) {
    struct leg *g = toy_of(s)->leg;
    if (g && toy_leg_of(g)->closing) toy_leave(s, g, &toy_leg_of(g)->why);
}

static void toy_fail(struct session *s, enum ending why, const char *say) {
    struct leg *g = toy_of(s)->leg;
    struct fault f = { .why = why, .say = say, .unprocessed = g && s->role == CODEC_UP && !g->head_taken };
    toy_retire(s);
    if (g) toy_leave(s, g, toy_leg_of(g)->closing ? &toy_leg_of(g)->why : &f);
    s->ev->on_fault(s, &f);
}

static enum ending toy_peer_error(const struct session *s) { return s->role == CODEC_DOWN ? ENDING_CLIENT_ERROR : ENDING_UPSTREAM_ERROR; }

static void toy_finish(struct session *s, struct leg *g) {
    struct toy *t = toy_of(s);
    bool whole = !toy_leg_of(g)->muted && g->out == LEG_END && !t->last;
    if (whole) s->reusable = s->role == CODEC_UP, s->wants_feed = true;
    else toy_retire(s);
    toy_leave(s, g, NULL);
}

static void toy_end_in(struct session *s, struct leg *g) {
    g->in = LEG_END;
    s->ev->on_end(g, NULL);
    if (toy_is_current(g) && (s->role == CODEC_UP || g->out == LEG_END)) toy_finish(s, g);
}

static void toy_open_leg(struct session *s) {
    toy_of(s)->opening = true;
    struct leg *g = s->ev->on_open(s);
    toy_of(s)->opening = false;
    if (!g) {
        toy_retire(s);
        return;
    }
    struct head *h = ARENA_NEW(g->arena, struct head);
    head_init(h, g->arena, true);
    h->method = STR("QUERY");
    h->target = STR("-");
    h->body = BODY_STREAM;
    toy_of(s)->leg = g;
    g->in = LEG_HEAD;
    s->begun = false;
    s->ev->on_head(g, h);
}

static void toy_answered(struct session *s, struct leg *g) {
    struct head *h = ARENA_NEW(g->arena, struct head);
    head_init(h, g->arena, false);
    h->status = 200;
    h->body = BODY_STREAM;
    g->in = LEG_HEAD;
    s->ev->on_head(g, h);
}

static void toy_greeting(struct session *s, struct str line) {
    struct toy *t = toy_of(s);
    bool down = s->role == CODEC_DOWN;
    struct str cancel = STR("CANCEL "), key = STR("KEY ");
    if (down && str_eq(line, STR("HELLO"))) {
        t->greeted = t->owes_key = s->wants_output = true;
    } else if (down && str_starts(line, cancel)) {
        s->ev->on_named(s, str_from(line, cancel.n));
        toy_retire(s);
    } else if (!down && str_starts(line, key)) {
        t->greeted = true;
        memcpy(t->key, line.p + key.n, line.n - key.n);
        s->slots = t->last ? 0 : 1;
        s->ev->on_slots(s);
    } else {
        toy_fail(s, toy_peer_error(s), "no greeting");
    }
}

static void toy_take_line(struct session *s, struct str line) {
    struct toy *t = toy_of(s);
    struct leg *g = t->leg;
    bool down = s->role == CODEC_DOWN;
    uint64_t n = 0;
    if (!t->greeted) toy_greeting(s, line);
    else if (down && !g && str_eq(line, STR("Q"))) toy_open_leg(s);
    else if (!down && g && g->head_taken && g->in == LEG_NOTHING && str_eq(line, STR("A"))) toy_answered(s, g);
    else if (g && g->in != LEG_NOTHING && str_eq(line, STR("E"))) toy_end_in(s, g);
    else if (g && g->in != LEG_NOTHING && line.n > 1 && line.p[0] == 'D' && str_to_u64(str_from(line, 1), &n) && n <= TOY_DATA_MAX) t->left = n;
    else toy_fail(s, toy_peer_error(s), "a line out of place");
}

static size_t toy_take(struct session *s, const uint8_t *p, size_t n) {
    struct toy *t = toy_of(s);
    if (t->left) {
        size_t k = n < t->left ? n : (size_t)t->left;
        t->left -= k;
        t->leg->in = LEG_BODY;
        s->ev->on_body(t->leg, p, k, false);
        return k;
    }
    if (s->role == CODEC_DOWN && t->leg && t->leg->in == LEG_END) return 0; /* the next request waits */
    struct str line = { (const char *)p, n };
    size_t end = str_index(line, '\n');
    if (end < n && end <= TOY_LINE_MAX - 8) {
        toy_take_line(s, str_first(line, end));
        return end + 1;
    }
    s->begun = s->role == CODEC_DOWN && !t->leg;
    if (n > TOY_LINE_MAX - 8) toy_fail(s, toy_peer_error(s), "a line too long");
    return 0;
}

static size_t toy_feed(struct session *s, const uint8_t *p, size_t n, instant now) {
    size_t used = 0;
    (void)now;
    toy_settle(s);
    s->wants_feed = false;
    while (used < n && !toy_is_over(s)) {
        const struct leg *g = toy_of(s)->leg;
        size_t k = g && toy_leg_of(g)->closing ? 0 : toy_take(s, p + used, n - used);
        if (!k) break;
        used += k;
    }
    if (used == n) s->wants_feed = false;
    return toy_is_over(s) ? n : used;
}

static void toy_open(struct session *s, instant now) {
    struct toy *t = toy_of(s);
    (void)now;
    s->wake = INSTANT_NEVER;
    if (s->role == CODEC_UP) t->owes_hello = s->wants_output = s->reusable = true;
    else s->slots = 1;
}

static void toy_eof(struct session *s, bool behind, instant now) {
    struct leg *g = toy_of(s)->leg;
    (void)now;
    toy_settle(s);
    if (toy_is_over(s)) return;
    if (s->role == CODEC_DOWN && g && g->in == LEG_END) {
        if (!toy_of(s)->last) s->ev->on_half_close(g);
        toy_of(s)->last = true;
    } else if (g || behind) {
        toy_fail(s, s->role == CODEC_DOWN ? ENDING_CLIENT_CLOSED : ENDING_UPSTREAM_CLOSED, "cut short");
    } else {
        toy_retire(s);
    }
}

static void toy_lost(struct session *s, const struct fault *f) {
    struct leg *g = toy_of(s)->leg;
    struct fault mine = *f;
    toy_retire(s);
    if (!g) return;
    mine.unprocessed = s->role == CODEC_UP && !g->head_taken;
    toy_leave(s, g, toy_leg_of(g)->closing ? &toy_leg_of(g)->why : &mine);
}

static void toy_write_body(struct session *s, struct leg *g, struct out *o) {
    struct pulled v = { .nv = 0 };
    char line[TOY_LINE_MAX];
    s->ev->pull(g, out_room(o), &v);
    if (!toy_is_current(g) || toy_leg_of(g)->muted) return;
    toy_leg_of(g)->ready = v.bytes > 0;
    if (v.bytes) {
        out_copy(o, line, (size_t)snprintf(line, sizeof line, "D%zu\n", v.bytes));
        for (unsigned i = 0; i < v.nv; i++) out_ref(o, g, v.v[i]);
        g->out = LEG_BODY;
    }
    if (!v.end) return;
    out_copy(o, "E\n", 2);
    g->out = LEG_END;
    if (g->in == LEG_END) toy_finish(s, g);
}

static bool toy_has_output(const struct session *s) {
    const struct toy *t = toy_of(s);
    const struct leg *g = t->leg;
    if (t->owes_hello || t->owes_key) return true;
    const struct toy_leg *x = g ? toy_leg_of(g) : NULL;
    return x && !x->closing && !x->muted && t->greeted && (x->head || (x->ready && g->head_taken && g->out != LEG_END));
}

static void toy_write(struct session *s, struct out *o) {
    struct toy *t = toy_of(s);
    if (t->owes_hello) out_copy(o, "HELLO\n", 6);
    else if (t->owes_key) out_copy(o, "KEY k1\n", 7);
    else if (toy_leg_of(t->leg)->head) {
        toy_leg_of(t->leg)->head = NULL;
        t->leg->head_taken = true;
        t->leg->out = LEG_HEAD;
        out_copy(o, s->role == CODEC_UP ? "Q\n" : "A\n", 2);
    } else {
        toy_write_body(s, t->leg, o);
        return;
    }
    t->owes_hello = t->owes_key = false;
}

static void toy_output(struct session *s, struct out *o, instant now) {
    (void)now;
    toy_settle(s);
    while (toy_has_output(s) && out_room(o) > 0 && o->niov + 20 < OUT_IOV) toy_write(s, o);
    toy_settle(s);
    s->wants_output = toy_has_output(s);
}

static void toy_begin(struct session *s, struct leg *g) {
    assert(!toy_of(s)->leg && s->slots);
    toy_of(s)->leg = g;
    g->in = g->out = LEG_NOTHING;
}

static void toy_send_head(struct leg *g, const struct head *h) {
    if (!toy_is_current(g)) return;
    toy_leg_of(g)->head = h;
    toy_leg_of(g)->ready = g->session->wants_output = true;
}

static void toy_ready(struct leg *g) {
    if (toy_is_current(g)) toy_leg_of(g)->ready = g->session->wants_output = true;
}

static void toy_send_trailers(struct leg *g, const struct head *trailers) { (void)g; (void)trailers; }
static void toy_credit(struct leg *g, size_t n) { (void)g; (void)n; }
static void toy_tick(struct session *s, instant now) { (void)now; toy_settle(s); }
static void toy_close(struct session *s) { (void)s; }

static enum cancel_way toy_cancel(struct leg *g, enum ending why, enum reset_word said, enum cancel_way want) {
    if (!toy_is_current(g)) return CANCEL_NONE;
    struct session *s = g->session;
    struct toy_leg *x = toy_leg_of(g);
    bool up = s->role == CODEC_UP;
    if (want == CANCEL_NONE && (!up || g->head_taken)) return CANCEL_NONE;
    s->wants_output = true;
    if (up && g->head_taken && (want == CANCEL_DRAIN || want >= CANCEL_SIDE)) {
        x->muted |= g->out != LEG_END;
        return want == CANCEL_DRAIN ? CANCEL_DRAIN : CANCEL_SIDE;
    }
    if (!up && want == CANCEL_DRAIN && g->in != LEG_END) {
        x->muted |= g->out != LEG_END;
        g->out = LEG_END;
        return CANCEL_DRAIN;
    }
    x->closing = true;
    x->why = (struct fault){ .why = why, .said = said, .unprocessed = up && !g->head_taken };
    if (up && !g->head_taken) return CANCEL_WITHDRAWN;
    toy_retire(s);
    return want < CANCEL_CLOSE ? want : CANCEL_CLOSE;
}

static bool toy_side(struct leg *g, struct out *o) {
    const struct toy *t = toy_of(g->session);
    if (!t->key[0]) return false;
    out_copy(o, "CANCEL ", 7);
    out_copy(o, t->key, strlen(t->key));
    out_copy(o, "\n", 1);
    return true;
}

static void toy_refuse(struct session *s, const struct fault *f) {
    (void)f;
    if (s->role == CODEC_DOWN && !toy_of(s)->leg) toy_retire(s);
}

static void toy_shutdown(struct session *s, bool final) {
    (void)final;
    toy_of(s)->last = true;
    s->slots = 0;
    s->reusable = false;
    if (!toy_of(s)->leg && !toy_of(s)->opening) toy_retire(s);
}

static const struct codec codec_toy = {
    .name = "toy", .version = 10, .session_size = sizeof(struct toy), .leg_size = sizeof(struct toy_leg), .pairing = PAIR_SESSION,
    .flow = FLOW_SESSION, .roles = CODEC_DOWN | CODEC_UP, .ways = { CANCEL_SIDE, CANCEL_CLOSE, CANCEL_DRAIN, CANCEL_NONE },
    .open = toy_open, .feed = toy_feed, .eof = toy_eof, .lost = toy_lost, .tick = toy_tick, .output = toy_output, .close = toy_close,
    .begin = toy_begin, .send_head = toy_send_head, .ready = toy_ready, .send_trailers = toy_send_trailers, .credit = toy_credit,
    .cancel = toy_cancel, .side = toy_side, .refuse = toy_refuse, .shutdown = toy_shutdown,
};
CODEC_REGISTER(codec_toy);
#endif
