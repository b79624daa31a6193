// SPDX-License-Identifier: Apache-2.0
// A core for one session, in memory: it owns the clock and the wire, keeps what a codec leaves, writes with the room that the test gives, and
// checks the contract of codecs/codec.h at every event. Input is handed over in a block of its own size that is freed right after feed, so that
// the sanitizer sees a slice that outlives it. The contract suite, the codecs' unit tests and their fuzzers drive sessions through it.
#ifndef CURFEW_TESTS_CONTRACT_RIG_H
#define CURFEW_TESTS_CONTRACT_RIG_H
#include "codecs/codec.h"
#include "conf/conf.h"
#include "core/buffer.h"
#include <stdio.h>
#include <stdlib.h>

/* Kept in every build, and free of cmocka, so that fuzzers may use it. */
#define RIG_CHECK(x) ((x) ? (void)0 : rig_broken(#x, __FILE__, __LINE__))
static inline void rig_broken(const char *what, const char *file, int line) {
    fprintf(stderr, "%s:%d: the contract does not hold: %s\n", file, line, what);
    abort();
}

#define RIG_LEGS 256u
enum rig_event { RIG_SLOTS, RIG_OPEN, RIG_HEAD, RIG_UNFIT, RIG_BODY, RIG_END, RIG_HALF_CLOSE, RIG_CLOSED, RIG_NAMED, RIG_GOAWAY, RIG_FAULT, RIG_PULL };

struct rig_leg {
    struct arena arena;
    struct rig *rig;
    const struct head *head, *trailers; /* the final head that came, and the trailers */
    unsigned interims;
    struct buffer body;                 /* what came */
    uint16_t unfit;                     /* the status that its request is refused with */
    bool ended, half_closed, closed, faulted;
    bool cut;                           /* cancelled so that nothing may come any more but on_closed */
    bool owed;                          /* on_closed is owed within the turn */
    struct fault fault;
    struct str reply;                   /* outward body: borrowed */
    size_t replied;
    bool reply_open;                    /* more may follow `reply`: no end yet */
    bool answered;
    struct leg leg;                     /* last: the codec's tail follows */
};
struct rig {
    const struct codec *codec;
    struct arena_pool pool;
    struct arena conf;
    struct rig_leg *legs[RIG_LEGS];
    unsigned nlegs;
    struct buffer in, sent;
    struct out out;
    size_t limit;         /* of one write */
    instant now;
    unsigned events, faults, goaways, slots_told;
    bool inside;          /* an event is running */
    bool fin, dead;       /* dead: NEXT_CLOSE or NEXT_RESET was carried out, or lost */
    bool half_closed;     /* our FIN went out */
    bool reaps;           /* an exchange's memory goes at the end of the turn in which it ended, as in the core: then none of its heads may be looked at */
    bool silent;          /* down: the exchange does not answer by itself */
    bool refuse_open;
    size_t pad;           /* bytes of a field in every head: several frames where the wire has them */
    bool stream;          /* answers and requests go out as BODY_STREAM, with trailers */
    struct fault fault;   /* of the session */
    char named[64];
    void (*hook)(struct rig *r, struct leg *g, enum rig_event e);
    void *hook_data;
    struct session s;     /* last: the codec's tail follows */
};

static inline struct rig *rig_of(struct session *s) { return CONTAINER_OF(s, struct rig, s); }
static inline struct rig_leg *rig_leg_of(struct leg *g) { return CONTAINER_OF(g, struct rig_leg, leg); }
static inline const struct rig_leg *rig_leg_at(const struct rig *r, unsigned i) { return r->legs[i]; }

static inline struct rig_leg *rig_leg_new(struct rig *r) {
    RIG_CHECK(r->nlegs < RIG_LEGS);
    struct rig_leg *x = mem_zalloc(sizeof *x + r->codec->leg_size);
    arena_init(&x->arena, &r->pool);
    buffer_init(&x->body, SIZE_MAX);
    x->rig = r;
    x->leg.arena = &x->arena;
    r->legs[r->nlegs++] = x;
    return x;
}

/* Hooks see the event inside; what they call must be a Q entry. */
static inline void rig_event(struct rig *r, struct leg *g, enum rig_event e) {
    r->events++;
    bool was = r->inside;
    r->inside = true;
    if (r->hook) r->hook(r, g, e);
    r->inside = was;
}

/* No event comes to a leg after on_closed, and none but that to one that was cut. */
static inline struct rig_leg *rig_live(struct leg *g) {
    struct rig_leg *x = rig_leg_of(g);
    RIG_CHECK(!x->closed);
    RIG_CHECK(!x->cut);
    return x;
}

static inline void rig_join(struct rig *r, struct rig_leg *x) {
    x->leg.session = &r->s;
    list_push(&r->s.legs, &x->leg.node);
    r->s.live++;
}

/* ---- what exchanges do -------------------------------------------------------------------------------------------------------------- */
#define RIG_BODY_TEXT "hello from the other side"
static inline void rig_pad(struct rig *r, struct head *h) {
    if (r->pad) head_add(h, arena_copy(h->arena, STR("x-pad")), (struct str){ memset(arena_bytes(h->arena, r->pad), 'X', r->pad), r->pad });
}
static inline struct head *rig_answer_head(struct rig *r, struct rig_leg *x, uint16_t status) {
    struct head *h = ARENA_NEW(&x->arena, struct head);
    head_init(h, &x->arena, false);
    h->status = status;
    h->version = r->codec->version;
    h->body = r->stream ? BODY_STREAM : BODY_LENGTH;
    h->length = x->reply.n;
    head_add(h, arena_copy(&x->arena, STR("content-type")), arena_copy(&x->arena, STR("text/plain")));
    rig_pad(r, h);
    return h;
}

static inline struct head *rig_trailers(struct rig_leg *x) {
    struct head *h = ARENA_NEW(&x->arena, struct head);
    head_init(h, &x->arena, false);
    head_add(h, arena_copy(&x->arena, STR("x-checksum")), arena_copy(&x->arena, STR("42")));
    return h;
}

static inline void rig_answer(struct rig *r, struct rig_leg *x) {
    if (x->answered || x->closed) return;
    x->answered = true;
    if (!x->reply.p) x->reply = STR(RIG_BODY_TEXT);
    r->codec->send_head(&x->leg, rig_answer_head(r, x, x->unfit ? x->unfit : 200));
    if (r->stream) r->codec->send_trailers(&x->leg, rig_trailers(x));
}

static inline struct head *rig_request_head(struct rig *r, struct rig_leg *x, const char *method, struct str body) {
    struct head *h = ARENA_NEW(&x->arena, struct head);
    head_init(h, &x->arena, true);
    h->method = arena_copy(&x->arena, str_of(method));
    h->scheme = STR("http");
    h->authority = arena_copy(&x->arena, STR("example.com"));
    h->target = arena_copy(&x->arena, STR("/path?query=1"));
    h->version = r->codec->version;
    h->body = r->stream ? BODY_STREAM : body.n ? BODY_LENGTH : BODY_NONE;
    h->length = body.n;
    head_add(h, arena_copy(&x->arena, STR("accept")), arena_copy(&x->arena, STR("*/*")));
    rig_pad(r, h);
    x->reply = body;
    return h;
}

/* An exchange upwards, its head and body queued. NULL: the session has no slot. */
static inline struct rig_leg *rig_begin(struct rig *r) {
    if (r->dead || r->s.next == NEXT_CLOSE || r->s.next == NEXT_RESET || r->s.slots <= r->s.live) return NULL;
    struct rig_leg *x = rig_leg_new(r);
    rig_join(r, x);
    r->codec->begin(&r->s, &x->leg);
    return x;
}

static inline struct rig_leg *rig_request(struct rig *r, const char *method, struct str body) {
    struct rig_leg *x = rig_begin(r);
    if (!x) return NULL;
    r->codec->send_head(&x->leg, rig_request_head(r, x, method, body));
    if (r->stream) r->codec->send_trailers(&x->leg, rig_trailers(x));
    return x;
}

static inline enum cancel_way rig_cancel(struct rig *r, struct rig_leg *x, enum ending why, enum cancel_way want) {
    bool over = x->closed || x->cut;
    enum cancel_way way = r->codec->cancel(&x->leg, why, 0, want);
    RIG_CHECK(way <= want || way == CANCEL_WITHDRAWN);
    RIG_CHECK(!over || way == CANCEL_NONE);
    if (way >= CANCEL_CLOSE && way != CANCEL_SIDE) x->cut = x->owed = true;
    return way;
}

/* ---- events ------------------------------------------------------------------------------------------------------------------------------ */
static inline void rig_on_slots(struct session *s) {
    rig_of(s)->slots_told++;
    rig_event(rig_of(s), NULL, RIG_SLOTS);
}

static inline struct leg *rig_on_open(struct session *s) {
    struct rig *r = rig_of(s);
    RIG_CHECK(s->role == CODEC_DOWN && !r->dead);
    if (r->refuse_open) return NULL;
    struct rig_leg *x = rig_leg_new(r);
    rig_join(r, x);
    rig_event(r, NULL, RIG_OPEN);
    return &x->leg;
}

static inline void rig_check_fields(const struct head *h) {
    for (size_t i = 0; i < h->nfields; i++) {
        const struct field *f = &h->fields[i];
        if (field_is_removed(f)) continue;
        RIG_CHECK(is_token(f->name) && is_field_value(f->value) && f->hash == name_hash(f->name));
        RIG_CHECK(f->token == token_of(f->name, f->hash));
    }
}

static inline void rig_on_head(struct leg *g, const struct head *h) {
    struct rig_leg *x = rig_live(g);
    RIG_CHECK(!x->head && !x->ended && h->request == (x->rig->s.role == CODEC_DOWN));
    rig_check_fields(h);
    if (h->interim) x->interims++;
    else x->head = h;
    /* A tunnel that is asked for waits for its answer, which is no here. */
    if (h->request && h->body == BODY_TUNNEL && !x->rig->silent) rig_answer(x->rig, x);
    rig_event(x->rig, g, RIG_HEAD);
}

static inline void rig_on_unfit(struct leg *g, const struct head *h, const struct fault *f) {
    struct rig_leg *x = rig_live(g);
    RIG_CHECK(x->rig->s.role == CODEC_DOWN && !x->head == !!h && !x->ended && !x->answered && f->why != ENDING_NONE && (!f->status || f->status >= 400));
    if (h) {
        RIG_CHECK(h->request);
        rig_check_fields(h);
        x->head = h;
    }
    x->unfit = f->status;
    rig_answer(x->rig, x);
    x->rig->codec->cancel(g, ENDING_COMPLETED, 0, CANCEL_DRAIN);
    rig_event(x->rig, g, RIG_UNFIT);
}

static inline void rig_on_body(struct leg *g, const uint8_t *p, size_t n, bool copied) {
    struct rig_leg *x = rig_live(g);
    (void)copied;
    RIG_CHECK(x->head && !x->ended);
    buffer_append(&x->body, p, n);
    x->rig->codec->credit(g, n);
    rig_event(x->rig, g, RIG_BODY);
}

static inline void rig_on_end(struct leg *g, const struct head *trailers) {
    struct rig_leg *x = rig_live(g);
    struct rig *r = x->rig;
    RIG_CHECK(x->head && !x->ended);
    x->ended = true;
    x->trailers = trailers;
    if (r->s.role == CODEC_DOWN && !r->silent) rig_answer(r, x);
    rig_event(r, g, RIG_END);
}

static inline void rig_on_half_close(struct leg *g) {
    struct rig_leg *x = rig_live(g);
    RIG_CHECK(x->rig->s.role == CODEC_DOWN && !x->half_closed);
    x->half_closed = true;
    rig_event(x->rig, g, RIG_HALF_CLOSE);
}

static inline void rig_on_closed(struct leg *g, const struct fault *f) {
    struct rig_leg *x = rig_leg_of(g);
    struct rig *r = x->rig;
    RIG_CHECK(!x->closed);
    x->closed = true;
    x->owed = false;
    x->faulted = f != NULL;
    if (f) {
        RIG_CHECK(f->why != ENDING_NONE && f->why < ENDINGS);
        x->fault = *f;
    } else {
        RIG_CHECK(!x->cut);
    }
    list_del(&g->node);
    RIG_CHECK(r->s.live > 0);
    r->s.live--;
    rig_event(r, g, RIG_CLOSED);
    g->session = NULL;
}

static inline void rig_on_named(struct session *s, struct str key) {
    struct rig *r = rig_of(s);
    size_t n = key.n < sizeof r->named - 1 ? key.n : sizeof r->named - 1;
    memcpy(r->named, key.p, n);
    r->named[n] = 0;
    rig_event(r, NULL, RIG_NAMED);
}

static inline void rig_on_goaway(struct session *s, const struct fault *f) {
    (void)f;
    rig_of(s)->goaways++;
    rig_event(rig_of(s), NULL, RIG_GOAWAY);
}

static inline void rig_on_fault(struct session *s, const struct fault *f) {
    struct rig *r = rig_of(s);
    RIG_CHECK(r->faults == 0 && f->why != ENDING_NONE);
    RIG_CHECK(s->live == 0 && list_is_empty(&s->legs));
    RIG_CHECK(s->next == NEXT_CLOSE || s->next == NEXT_RESET);
    r->faults++;
    r->fault = *f;
    rig_event(r, NULL, RIG_FAULT);
}

/* Two pieces where there are bytes for it, so that gathering is exercised. */
static inline void rig_pull(struct leg *g, size_t max, struct pulled *v) {
    struct rig_leg *x = rig_live(g);
    RIG_CHECK(max > 0);
    struct str rest = x->reply.n ? str_from(x->reply, x->replied) : STR("");
    if (rest.n > max) rest.n = max;
    size_t half = rest.n / 2;
    if (half) v->v[v->nv++] = str_first(rest, half);
    if (rest.n) v->v[v->nv++] = str_from(rest, half);
    v->bytes = rest.n;
    x->replied += rest.n;
    v->end = x->replied == x->reply.n && !x->reply_open;
    rig_event(x->rig, g, RIG_PULL);
}

static inline void rig_pulled(struct leg *g, size_t n) { (void)g; (void)n; }

static const struct codec_events rig_events = {
    .on_slots = rig_on_slots, .on_open = rig_on_open, .on_head = rig_on_head, .on_unfit = rig_on_unfit, .on_body = rig_on_body,
    .on_end = rig_on_end, .on_half_close = rig_on_half_close, .on_closed = rig_on_closed, .on_named = rig_on_named, .on_goaway = rig_on_goaway,
    .on_fault = rig_on_fault, .pull = rig_pull, .pulled = rig_pulled,
};

/* ---- the turn -------------------------------------------------------------------------------------------------------------------------------- */
/* NULL: defaults of the codec's own table. */
static inline struct rig *rig_new(const struct codec *c, enum codec_role role, const void *conf) {
    struct rig *r = mem_zalloc(sizeof *r + c->session_size);
    r->codec = c;
    r->limit = OUT_LIMIT;
    r->now = (instant){ 1000 * NS_PER_S };
    arena_pool_init(&r->pool, 8);
    arena_init(&r->conf, NULL);
    buffer_init(&r->in, SIZE_MAX);
    buffer_init(&r->sent, SIZE_MAX);
    out_init(&r->out);
    if (!conf && c->options) {
        struct conf loader;
        conf_init(&loader);
        void *defaults = arena_zalloc(&r->conf, c->options->size);
        RIG_CHECK(conf_load(&loader, NULL, c->options, defaults));
        conf_free(&loader);
        conf = defaults;
    }
    r->s.codec = c;
    r->s.ev = &rig_events;
    r->s.conf = conf;
    r->s.role = role;
    r->s.wake = INSTANT_NEVER;
    list_init(&r->s.legs);
    c->open(&r->s, r->now);
    return r;
}

static inline bool rig_is_closing(const struct rig *r) { return r->dead || r->faults || r->s.next == NEXT_CLOSE || r->s.next == NEXT_RESET; }

static inline void rig_push(struct rig *r) {
    size_t n = buffer_size(&r->in);
    if (rig_is_closing(r) || n == 0) return;
    uint8_t *block = mem_alloc(n); /* exactly n: a read past it is seen */
    memcpy(block, buffer_data(&r->in), n);
    size_t used = r->codec->feed(&r->s, block, n, r->now);
    free(block);
    RIG_CHECK(used <= n);
    buffer_take(&r->in, used);
}

static inline void rig_write(struct rig *r) {
    out_begin(&r->out, r->limit);
    r->codec->output(&r->s, &r->out, r->now);
    for (unsigned i = 0; i < r->out.niov; i++) buffer_append(&r->sent, r->out.iov[i].iov_base, r->out.iov[i].iov_len);
    for (unsigned i = 0; i < r->out.nrefs; i++) rig_pulled(r->out.refs[i].leg, r->out.refs[i].n);
}

/* Output, and input that became welcome by it, until the session is quiet. What a cancel owes has come by then. */
static inline void rig_turn(struct rig *r) {
    for (unsigned spins = 0; !r->dead && (r->s.wants_output || r->s.wants_feed); spins++) {
        RIG_CHECK(spins < 100000);
        if (r->s.wants_feed) {
            r->s.wants_feed = false;
            rig_push(r);
        }
        if (r->s.wants_output) rig_write(r);
        if (r->s.next == NEXT_RESET) break;
    }
    for (unsigned i = 0; i < r->nlegs; i++) RIG_CHECK(!r->legs[i]->owed);
    if (r->s.next == NEXT_HALF_CLOSE) {
        r->half_closed = true;
        r->s.next = NEXT_MORE;
    }
}

static inline void rig_lost(struct rig *r, enum ending why) {
    if (r->dead) return;
    struct fault f = { .why = why };
    r->codec->lost(&r->s, &f);
    r->dead = true;
    RIG_CHECK(r->s.live == 0 && list_is_empty(&r->s.legs));
}

static inline void rig_reap(struct rig *r) {
    for (unsigned i = 0; i < r->nlegs; i++) {
        struct rig_leg *x = r->legs[i];
        if (!x->closed) continue;
        x->head = x->trailers = NULL;
        arena_clear(&x->arena);
    }
}

/* The core's part after NEXT_CLOSE and NEXT_RESET: legs that the codec left open would leak. */
static inline void rig_settle(struct rig *r) {
    rig_turn(r);
    if (r->reaps) rig_reap(r);
    if (r->dead || !rig_is_closing(r)) return;
    RIG_CHECK(r->s.live == 0);
    r->dead = true;
}

static inline void rig_feed(struct rig *r, const void *p, size_t n) {
    if (rig_is_closing(r)) return;
    buffer_append(&r->in, p, n);
    rig_push(r);
    rig_settle(r);
}

static inline void rig_feed_text(struct rig *r, const char *text) { rig_feed(r, text, strlen(text)); }

static inline void rig_eof(struct rig *r) {
    if (rig_is_closing(r)) return;
    r->fin = true;
    r->codec->eof(&r->s, !buffer_is_empty(&r->in), r->now);
    rig_settle(r);
    if (rig_is_closing(r) || !buffer_is_empty(&r->in)) return;
    r->codec->eof(&r->s, false, r->now); /* it may come again */
    rig_settle(r);
}

static inline void rig_tick(struct rig *r, span later) {
    r->now = instant_add(r->now, later);
    if (rig_is_closing(r)) return;
    r->codec->tick(&r->s, r->now);
    rig_settle(r);
}

/* Ends what still lives, and checks that each leg heard of its end once and that all memory is back. */
static inline void rig_free(struct rig *r) {
    rig_lost(r, r->s.role == CODEC_DOWN ? ENDING_CLIENT_RESET : ENDING_UPSTREAM_CLOSED);
    r->codec->close(&r->s);
    for (unsigned i = 0; i < r->nlegs; i++) {
        RIG_CHECK(r->legs[i]->closed);
        buffer_free(&r->legs[i]->body);
        arena_clear(&r->legs[i]->arena);
        free(r->legs[i]);
    }
    buffer_free(&r->in);
    buffer_free(&r->sent);
    out_free(&r->out);
    arena_clear(&r->conf);
    RIG_CHECK(r->pool.out == 0);
    arena_pool_clear(&r->pool);
    free(r);
}

static inline struct str rig_text(const struct buffer *b) {
    return buffer_is_empty(b) ? STR("") : (struct str){ (const char *)buffer_data(b), buffer_size(b) };
}
static inline struct str rig_sent(const struct rig *r) { return rig_text(&r->sent); }
static inline struct str rig_body(const struct rig_leg *x) { return rig_text(&x->body); }
#endif
