// SPDX-License-Identifier: Apache-2.0
// The contract of codecs/codec.h, for every codec that is registered, in each of its roles: a new codec is tested for once-only endings, cancel in
// each state, short, cut, broken and endless input, and a writer without room, by adding samples of what its peer says (samples.h).
#include "tests/contract/rig.h"
#include "tests/contract/samples.h"
#include "tests/contract/toy.h"
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

/* ---- feeding ------------------------------------------------------------------------------------------------------------------ */
typedef size_t (*cutter)(size_t left, uint64_t *seed);
static uint64_t next_random(uint64_t *seed) {
    uint64_t z = *seed += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}
static size_t whole(size_t left, uint64_t *seed) { (void)seed; return left; }
static size_t one_byte(size_t left, uint64_t *seed) { (void)left; (void)seed; return 1; }
static size_t anywhere(size_t left, uint64_t *seed) { return 1 + next_random(seed) % left; }

static const struct codec *codec_of(const struct sample *s) { return codec_by_name(str_of(s->codec)); }

struct run { /* how a sample is run */
    cutter cut;
    uint64_t seed;
    size_t limit;  /* of a write; 0: the usual */
    bool stream, silent;
    void (*hook)(struct rig *r, struct leg *g, enum rig_event e);
    void *hook_data;
};

static struct rig *start(const struct sample *s, const struct run *how) {
    struct rig *r = rig_new(codec_of(s), s->role, NULL);
    if (how->limit) r->limit = how->limit;
    r->stream = how->stream;
    r->silent = how->silent;
    r->hook = how->hook;
    r->hook_data = how->hook_data;
    rig_settle(r);
    return r;
}

/* Up: begins what the sample answers, as soon as there is a slot. */
static void begin_due(struct rig *r, const struct sample *s) {
    if (s->role != CODEC_UP) return;
    while (r->nlegs < s->legs && rig_request(r, s->method, (struct str){ 0 })) rig_settle(r);
}

/* Feeds bytes [from, to). */
static void feed_range(struct rig *r, const struct sample *s, const struct run *how, size_t from, size_t to, uint64_t *seed) {
    struct str in = sample_bytes(s);
    while (from < to) {
        size_t edge = from < s->prelude && s->prelude < to ? s->prelude : to;
        size_t n = how->cut(edge - from, seed);
        begin_due(r, s);
        rig_feed(r, in.p + from, n);
        from += n;
    }
    begin_due(r, s);
}

static struct rig *run(const struct sample *s, const struct run *how) {
    uint64_t seed = how->seed;
    struct rig *r = start(s, how);
    feed_range(r, s, how, 0, sample_bytes(s).n, &seed);
    return r;
}

/* ---- what came of it, as text ---------------------------------------------------------------------------------------------------- */
static void add_str(struct buffer *b, struct str s) { if (s.n) buffer_append(b, s.p, s.n); }
static void add_text(struct buffer *b, const char *text) { add_str(b, str_of(text)); }

static void add_head(struct buffer *b, const struct head *h) {
    char line[64];
    snprintf(line, sizeof line, "%u %d %llu ", h->status, (int)h->body, (unsigned long long)h->length);
    add_text(b, line);
    add_str(b, h->method), add_text(b, " "), add_str(b, h->authority), add_text(b, " "), add_str(b, h->target);
    for (size_t i = 0; i < h->nfields; i++) {
        if (field_is_removed(&h->fields[i])) continue;
        add_text(b, "\n "), add_str(b, h->fields[i].name), add_text(b, ": "), add_str(b, h->fields[i].value);
    }
    add_text(b, "\n");
}

static struct buffer transcript(const struct rig *r) {
    struct buffer b;
    buffer_init(&b, SIZE_MAX);
    for (unsigned i = 0; i < r->nlegs; i++) {
        const struct rig_leg *x = r->legs[i];
        add_text(&b, "leg ");
        if (x->head) add_head(&b, x->head);
        add_str(&b, rig_body(x));
        if (x->ended) add_text(&b, "\nend ");
        if (x->unfit) add_text(&b, "\nunfit ");
        if (x->trailers) add_head(&b, x->trailers);
        if (x->closed) add_text(&b, x->faulted ? ending_name(x->fault.why) : "good");
        add_text(&b, "\n");
    }
    if (r->faults) add_text(&b, "fault "), add_text(&b, ending_name(r->fault.why));
    return b;
}

static void assert_same(struct buffer *a, struct buffer *b, const struct sample *s, const char *what) {
    if (!str_eq(rig_text(a), rig_text(b)))
        fail_msg("%s %s: %s:\n--- expected\n%.*s\n--- got\n%.*s", s->codec, s->what, what, STR_ARG(rig_text(a)), STR_ARG(rig_text(b)));
}

static void assert_runs_alike(const struct sample *s, const struct run *expected, const struct run *other, const char *what) {
    struct rig *a = run(s, expected), *b = run(s, other);
    struct buffer ta = transcript(a), tb = transcript(b);
    assert_same(&ta, &tb, s, what);
    buffer_free(&ta);
    buffer_free(&tb);
    rig_free(a);
    rig_free(b);
}

#define EACH_SAMPLE(s) for (const struct sample *s = samples; s < samples + SAMPLES; s++) if (codec_of(s))
static const struct run plain = { .cut = whole };

/* ---- the contract ------------------------------------------------------------------------------------------------------------------- */
static void every_codec_and_role_has_a_sample(void **state) {
    (void)state;
    assert_true(codec_count() >= 2);
    for (size_t i = 0; i < codec_count(); i++) {
        const struct codec *c = codec_at(i);
        unsigned seen = 0;
        EACH_SAMPLE(s) if (codec_of(s) == c) seen |= s->role;
        if (seen != c->roles) fail_msg("codec %s: roles %u, samples for %u", c->name, c->roles, seen);
    }
}

static void the_table_says_what_the_contract_asks(void **state) {
    (void)state;
    unsigned plains = 0;
    for (size_t i = 0; i < codec_count(); i++) {
        const struct codec *c = codec_at(i);
        plains += c->default_plain;
        assert_ptr_equal(codec_by_name(str_of(c->name)), c);
        assert_int_equal(codec_index(c), i);
        assert_true(c->open && c->feed && c->eof && c->lost && c->tick && c->output && c->close);
        assert_true(c->begin && c->send_head && c->ready && c->send_trailers && c->credit && c->cancel && c->shutdown);
        for (size_t w = 0; w + 1 < 4 && c->ways[w] != CANCEL_NONE; w++) assert_true(c->ways[w] > c->ways[w + 1]);
        if (i) assert_true(strcmp(codec_at(i - 1)->name, c->name) < 0);
        assert_true((c->side != NULL) == (c->ways[0] == CANCEL_SIDE || c->ways[1] == CANCEL_SIDE));
    }
    assert_true(plains <= 1);
}

static void a_session_without_traffic_opens_and_closes(void **state) {
    (void)state;
    EACH_SAMPLE(s) {
        struct rig *r = start(s, &plain);
        assert_int_equal(r->nlegs, 0);
        rig_free(r);
        r = start(s, &plain);
        rig_eof(r);
        if (!r->dead) fail_msg("%s %d: an idle session does not close at a FIN", s->codec, (int)s->role);
        assert_int_equal(r->faults, 0);
        rig_free(r);
    }
}

static void a_sample_ends_in_good_order(void **state) {
    (void)state;
    EACH_SAMPLE(s) {
        struct rig *r = run(s, &plain);
        size_t body = 0;
        if (r->faults) fail_msg("%s, %s: %s", s->codec, s->what, r->fault.say);
        if (r->nlegs != s->legs && !s->half) fail_msg("%s, %s: %u legs", s->codec, s->what, r->nlegs);
        for (unsigned i = 0; i < r->nlegs; i++) {
            const struct rig_leg *x = r->legs[i];
            body += rig_body(x).n;
            if (x->unfit != s->unfit) fail_msg("%s, %s: refused with %u", s->codec, s->what, x->unfit);
            if (!s->half && !((x->ended || x->unfit) && x->closed && !x->faulted)) fail_msg("%s, %s: leg %u did not end well", s->codec, s->what, i);
        }
        assert_int_equal(body, s->body);
        rig_free(r);
    }
}

static void input_means_the_same_byte_by_byte_and_cut_anywhere(void **state) {
    (void)state;
    EACH_SAMPLE(s) {
        assert_runs_alike(s, &plain, &(struct run){ .cut = one_byte }, "byte by byte");
        for (uint64_t seed = 1; seed <= 40; seed++) assert_runs_alike(s, &plain, &(struct run){ .cut = anywhere, .seed = seed }, "cut anywhere");
    }
}

static void a_writer_without_room_only_takes_longer(void **state) {
    (void)state;
    EACH_SAMPLE(s) {
        for (size_t limit = 1; limit < 40; limit += limit < 4 ? 1 : 9)
            assert_runs_alike(s, &plain, &(struct run){ .cut = whole, .limit = limit }, "little room");
        assert_runs_alike(s, &(struct run){ .cut = whole, .stream = true }, &(struct run){ .cut = one_byte, .limit = 1, .stream = true }, "no room");
    }
}

/* Every leg ends once, and at once: rig_free and rig_lost check it. */
static void a_fin_at_every_byte_ends_every_leg_once(void **state) {
    (void)state;
    EACH_SAMPLE(s) {
        for (size_t at = 0; at <= sample_bytes(s).n; at++) {
            uint64_t seed = at;
            struct rig *r = start(s, &plain);
            feed_range(r, s, &plain, 0, at, &seed);
            rig_eof(r);
            bool owed = false;
            for (unsigned i = 0; i < r->nlegs; i++) owed |= !r->legs[i]->closed;
            bool waits = owed && (s->half || !buffer_is_empty(&r->in));
            if (!r->dead && !waits && buffer_is_empty(&r->in)) fail_msg("%s, %s: a FIN after %zu bytes leaves it open", s->codec, s->what, at);
            rig_free(r);
        }
    }
}

static void a_loss_at_every_byte_ends_every_leg_once(void **state) {
    (void)state;
    EACH_SAMPLE(s) {
        for (size_t at = 0; at <= sample_bytes(s).n; at++) {
            uint64_t seed = at;
            struct run how = { .cut = whole, .silent = at % 2 };
            struct rig *r = start(s, &how);
            feed_range(r, s, &how, 0, at, &seed);
            rig_lost(r, s->role == CODEC_DOWN ? ENDING_CLIENT_RESET : ENDING_UPSTREAM_CLOSED);
            for (unsigned i = 0; i < r->nlegs; i++) {
                struct leg *g = &r->legs[i]->leg;
                assert_true(r->legs[i]->closed);
                assert_int_equal(r->codec->cancel(g, ENDING_DEADLINE, 0, CANCEL_BAND), CANCEL_NONE);
                r->codec->ready(g);
                r->codec->credit(g, 1);
            }
            rig_free(r);
        }
    }
}

static void an_upstream_lost_before_it_was_asked_did_not_process(void **state) {
    (void)state;
    EACH_SAMPLE(s) {
        if (s->role != CODEC_UP) continue;
        struct rig *r = start(s, &plain);
        uint64_t seed = 0;
        feed_range(r, s, &plain, 0, s->prelude, &seed);
        struct rig_leg *x = r->nlegs ? r->legs[0] : rig_request(r, s->method, (struct str){ 0 });
        assert_non_null(x);
        rig_lost(r, ENDING_UPSTREAM_CLOSED);
        assert_true(x->faulted);
        assert_int_equal(x->fault.unprocessed, !x->leg.head_taken);
        rig_free(r);
        r = start(s, &plain);
        struct str in = sample_bytes(s);
        rig_feed(r, in.p, s->prelude);
        if (!(x = rig_request(r, s->method, (struct str){ 0 }))) fail_msg("%s: no slot after the prelude", s->codec);
        rig_lost(r, ENDING_UPSTREAM_CLOSED); /* the request was queued, and no turn has passed */
        assert_true(x->faulted && x->fault.unprocessed);
        rig_free(r);
    }
}

/* In each state, in each way: what the codec says it did is what it does. */
static void cancel_at(const struct sample *s, size_t at, enum cancel_way want, const struct run *how) {
    struct rig *r = start(s, how);
    uint64_t seed = how->seed;
    size_t n = sample_bytes(s).n;
    feed_range(r, s, how, 0, at, &seed);
    enum cancel_way did[RIG_LEGS] = { 0 };
    for (unsigned i = 0; i < r->nlegs; i++) did[i] = rig_cancel(r, r->legs[i], ENDING_DEADLINE, want);
    rig_settle(r);
    for (unsigned i = 0; i < r->nlegs && i < RIG_LEGS; i++)
        if (did[i] == CANCEL_CLOSE && s->role == CODEC_UP) assert_true(rig_is_closing(r) && !r->s.reusable);
    feed_range(r, s, how, at, n, &seed);
    rig_eof(r);
    for (unsigned i = 0; i < r->nlegs; i++) {
        const struct rig_leg *x = r->legs[i];
        if (did[i] >= CANCEL_CLOSE && did[i] != CANCEL_SIDE) assert_true(x->closed && x->faulted && x->fault.why == ENDING_DEADLINE);
        if (did[i] == CANCEL_WITHDRAWN && s->role == CODEC_UP) assert_true(!x->leg.head_taken && x->fault.unprocessed);
    }
    rig_free(r);
}

static void a_cancel_in_any_state_does_what_it_says(void **state) {
    (void)state;
    static const enum cancel_way wants[] = { CANCEL_NONE, CANCEL_DRAIN, CANCEL_CLOSE, CANCEL_SIDE, CANCEL_BAND, CANCEL_WITHDRAWN };
    EACH_SAMPLE(s) {
        for (size_t at = 0; at <= sample_bytes(s).n; at++)
            for (size_t w = 0; w < sizeof wants / sizeof wants[0]; w++) {
                cancel_at(s, at, wants[w], &plain);
                cancel_at(s, at, wants[w], &(struct run){ .cut = anywhere, .seed = at, .silent = true });
            }
    }
}

static void a_request_not_yet_written_is_withdrawn(void **state) {
    (void)state;
    EACH_SAMPLE(s) {
        if (s->role != CODEC_UP) continue;
        struct rig *r = start(s, &plain);
        rig_feed(r, sample_bytes(s).p, s->prelude);
        buffer_take(&r->sent, buffer_size(&r->sent));
        struct rig_leg *x = rig_request(r, s->method, (struct str){ 0 });
        assert_non_null(x);
        assert_int_equal(rig_cancel(r, x, ENDING_CLIENT_RESET, CANCEL_DRAIN), CANCEL_WITHDRAWN);
        rig_settle(r);
        assert_true(x->closed && x->fault.unprocessed);
        assert_int_equal(buffer_size(&r->sent), 0);
        x = rig_request(r, s->method, (struct str){ 0 }); /* the session is as good as before */
        assert_non_null(x);
        rig_settle(r);
        assert_true(x->leg.head_taken);
        rig_free(r);
    }
}

/* ---- every Q entry, from inside every event --------------------------------------------------------------------------------------------- */
enum q_entry { Q_READY, Q_CREDIT, Q_TRAILERS, Q_CANCEL_NONE, Q_CANCEL_DRAIN, Q_COMPLETED, Q_CANCEL_CLOSE, Q_CANCEL_BAND, Q_SHUTDOWN, Q_SHUTDOWN_FINAL,
               Q_REFUSE, QS };
struct q { unsigned at; enum q_entry entry; };

static void q_leg(struct rig *r, struct rig_leg *x, enum q_entry entry) {
    const struct codec *c = r->codec;
    switch ((int)entry) {
    case Q_READY: c->ready(&x->leg); break;
    case Q_CREDIT: c->credit(&x->leg, 0); break;
    case Q_TRAILERS: c->send_trailers(&x->leg, NULL); break;
    case Q_CANCEL_NONE: rig_cancel(r, x, ENDING_DEADLINE, CANCEL_NONE); break;
    case Q_CANCEL_DRAIN: rig_cancel(r, x, ENDING_DEADLINE, CANCEL_DRAIN); break;
    case Q_COMPLETED: rig_cancel(r, x, r->s.role == CODEC_DOWN ? ENDING_COMPLETED : ENDING_DEADLINE, CANCEL_DRAIN); break;
    case Q_CANCEL_CLOSE: rig_cancel(r, x, ENDING_DEADLINE, CANCEL_CLOSE); break;
    default: rig_cancel(r, x, ENDING_DEADLINE, CANCEL_BAND); break;
    }
}

static void call_q(struct rig *r, struct leg *g, enum rig_event e) {
    const struct q *q = r->hook_data;
    (void)g;
    (void)e;
    if (r->events != q->at) return;
    struct fault f = { .why = ENDING_CLIENT_TIMEOUT, .status = 408 };
    if (q->entry < Q_SHUTDOWN)
        for (unsigned i = 0; i < r->nlegs; i++) q_leg(r, r->legs[i], q->entry);
    else if (q->entry < Q_REFUSE) r->codec->shutdown(&r->s, q->entry == Q_SHUTDOWN_FINAL);
    else if (r->codec->refuse && r->s.role == CODEC_DOWN && r->s.begun) r->codec->refuse(&r->s, &f);
}

static void run_with_q(const struct sample *s, unsigned at, enum q_entry entry, bool stream, bool silent) {
    struct q q = { at, entry };
    struct rig *r = run(s, &(struct run){ .cut = whole, .stream = stream, .silent = silent, .hook = call_q, .hook_data = &q });
    rig_eof(r);
    rig_free(r);
}

static void every_queueing_entry_is_safe_inside_every_event(void **state) {
    (void)state;
    EACH_SAMPLE(s) {
        struct rig *r = run(s, &(struct run){ .cut = whole, .stream = true });
        unsigned events = r->events;
        rig_free(r);
        for (unsigned at = 1; at <= events + 2; at++)
            for (enum q_entry entry = 0; entry < QS; entry++)
                for (unsigned mode = 0; mode < 4; mode++) run_with_q(s, at, entry, mode & 1, mode & 2);
    }
}

static void a_shutdown_in_any_state_lets_the_running_exchange_end(void **state) {
    (void)state;
    EACH_SAMPLE(s) {
        for (size_t at = 0; at <= sample_bytes(s).n; at++) {
            struct rig *r = start(s, &plain);
            uint64_t seed = 0;
            feed_range(r, s, &plain, 0, at, &seed);
            unsigned open = r->s.live;
            unsigned opened = r->nlegs;
            r->codec->shutdown(&r->s, false);
            r->codec->shutdown(&r->s, true);
            rig_settle(r);
            if (s->role == CODEC_UP) assert_true(r->s.slots == 0 && !r->s.reusable);
            feed_range(r, s, &plain, at, sample_bytes(s).n, &seed);
            for (unsigned i = opened - open; i < opened && !s->half; i++) assert_true(r->legs[i]->closed && !r->legs[i]->faulted);
            rig_free(r);
        }
    }
}

/* ---- input that no peer should send ---------------------------------------------------------------------------------------------------------- */
static void feed_noise(struct rig *r, uint64_t *seed, size_t n) {
    uint8_t noise[512];
    while (n && !rig_is_closing(r)) {
        size_t k = 1 + next_random(seed) % sizeof noise;
        for (size_t i = 0; i < k; i++) noise[i] = (uint8_t)next_random(seed);
        rig_feed(r, noise, k);
        n -= k < n ? k : n;
    }
}

static void noise_and_trailing_garbage_harm_nobody(void **state) {
    (void)state;
    EACH_SAMPLE(s) {
        for (uint64_t seed = 1; seed <= 20; seed++) {
            struct rig *r = start(s, &plain);
            begin_due(r, s);
            feed_noise(r, &seed, 4096);
            rig_free(r);
            r = run(s, &plain);
            unsigned good = 0;
            for (unsigned i = 0; i < r->nlegs; i++) good += r->legs[i]->closed && !r->legs[i]->faulted;
            feed_noise(r, &seed, 4096);
            for (unsigned i = 0; i < r->nlegs; i++) good -= r->legs[i]->closed && !r->legs[i]->faulted;
            assert_true(good <= 0 || r->s.role == CODEC_DOWN || good == 0);
            rig_free(r);
        }
    }
}

static void a_sample_with_spoilt_bytes_harms_nobody(void **state) {
    (void)state;
    EACH_SAMPLE(s) {
        struct str in = sample_bytes(s);
        char *bytes = mem_alloc(in.n);
        for (uint64_t seed = 1; seed <= 300; seed++) {
            uint64_t dice = seed;
            memcpy(bytes, in.p, in.n);
            for (unsigned i = 0; i < 1 + seed % 3; i++) bytes[next_random(&dice) % in.n] = (char)next_random(&dice);
            struct rig *r = start(s, &plain);
            begin_due(r, s);
            rig_feed(r, bytes, s->prelude);
            begin_due(r, s);
            size_t half = s->prelude + next_random(&dice) % (in.n - s->prelude);
            rig_feed(r, bytes + s->prelude, half - s->prelude);
            rig_feed(r, bytes + half, in.n - half);
            rig_eof(r);
            rig_free(r);
        }
        free(bytes);
    }
}

/* What a codec leaves unused is bounded: it takes it, or gives the session up, or an exchange is under way that it waits for. */
static void endless_input_is_not_kept(void **state) {
    (void)state;
    static const char fills[] = { 'A', '0', ' ', '\r', '\n', 0 };
    char block[4096];
    EACH_SAMPLE(s) {
        for (size_t at = 0; at <= sample_bytes(s).n; at += 7)
            for (size_t f = 0; f < sizeof fills; f++) {
                struct run how = { .cut = whole };
                struct rig *r = start(s, &how);
                uint64_t seed = 0;
                feed_range(r, s, &how, 0, at, &seed);
                memset(block, fills[f], sizeof block);
                for (unsigned i = 0; i < 64 && !rig_is_closing(r); i++) rig_feed(r, block, sizeof block);
                if (!rig_is_closing(r)) assert_true(buffer_size(&r->in) <= 160u << 10 || r->s.live);
                rig_free(r);
            }
    }
}

/* ---- one codec against itself ------------------------------------------------------------------------------------------------------------------- */
/* Moves what one has written to the other, in pieces, until both are quiet. */
static bool carry(struct rig *from, struct rig *to, size_t piece) {
    bool moved = false;
    while (!buffer_is_empty(&from->sent) && !rig_is_closing(to)) {
        size_t n = buffer_size(&from->sent) < piece ? buffer_size(&from->sent) : piece;
        uint8_t *bytes = mem_alloc(n);
        memcpy(bytes, buffer_data(&from->sent), n);
        buffer_take(&from->sent, n);
        rig_feed(to, bytes, n);
        free(bytes);
        moved = true;
    }
    return moved;
}

static void talk(struct rig *up, struct rig *down, size_t piece) {
    rig_settle(up);
    rig_settle(down);
    for (unsigned i = 0; i < 1000; i++)
        if (!(int)carry(up, down, piece) && !carry(down, up, piece)) return;
    fail_msg("%s: the two never come to rest", up->codec->name);
}

static void round_trip(const struct codec *c, size_t limit, size_t piece, bool stream) {
    struct rig *up = rig_new(c, CODEC_UP, NULL), *down = rig_new(c, CODEC_DOWN, NULL);
    up->limit = down->limit = limit;
    up->stream = down->stream = stream;
    for (unsigned n = 0; n < 3; n++) {
        talk(up, down, piece);
        struct rig_leg *x = rig_request(up, "POST", STR("what goes up, and is long enough to be cut"));
        if (!x) fail_msg("%s: request %u finds no slot", c->name, n);
        talk(up, down, piece);
        const struct rig_leg *y = down->legs[n];
        assert_true(down->nlegs == n + 1 && x->closed && !x->faulted && y->closed && !y->faulted);
        assert_true(str_eq(rig_body(y), STR("what goes up, and is long enough to be cut")));
        assert_true(str_eq(rig_body(x), STR(RIG_BODY_TEXT)));
        assert_int_equal(x->head->status, 200);
        assert_true(up->s.reusable);
    }
    rig_free(up);
    rig_free(down);
}

static void what_one_side_writes_the_other_side_reads(void **state) {
    (void)state;
    static const size_t sizes[] = { 1, 2, 7, 64, OUT_LIMIT };
    for (size_t i = 0; i < codec_count(); i++) {
        const struct codec *c = codec_at(i);
        if (c->roles != (CODEC_DOWN | CODEC_UP)) continue;
        for (size_t a = 0; a < 5; a++)
            for (size_t b = 0; b < 5; b++)
                for (unsigned stream = 0; stream < 2; stream++) round_trip(c, sizes[a], sizes[b], stream);
    }
}

/* ---- side connections: the toy alone, until a real one comes ------------------------------------------------------------------------------------- */
static void a_side_cancel_names_the_exchange_on_a_fresh_connection(void **state) {
    (void)state;
    struct rig *up = rig_new(&codec_toy, CODEC_UP, NULL), *down = rig_new(&codec_toy, CODEC_DOWN, NULL);
    down->silent = true;
    talk(up, down, 64);
    struct rig_leg *x = rig_request(up, "QUERY", (struct str){ 0 });
    talk(up, down, 64);
    assert_int_equal(rig_cancel(up, x, ENDING_DEADLINE, CANCEL_BAND), CANCEL_SIDE);
    struct out side;
    out_init(&side);
    out_begin(&side, OUT_LIMIT);
    assert_true(codec_toy.side(&x->leg, &side));
    struct rig *fresh = rig_new(&codec_toy, CODEC_DOWN, NULL);
    rig_feed(fresh, side.iov[0].iov_base, side.bytes);
    assert_string_equal(fresh->named, "k1");
    assert_true(fresh->dead && fresh->nlegs == 0);
    assert_false(x->closed); /* its answer still comes, as a drained one does */
    out_free(&side);
    rig_free(fresh);
    rig_free(up);
    rig_free(down);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_codec_and_role_has_a_sample),
        cmocka_unit_test(the_table_says_what_the_contract_asks),
        cmocka_unit_test(a_session_without_traffic_opens_and_closes),
        cmocka_unit_test(a_sample_ends_in_good_order),
        cmocka_unit_test(input_means_the_same_byte_by_byte_and_cut_anywhere),
        cmocka_unit_test(a_writer_without_room_only_takes_longer),
        cmocka_unit_test(a_fin_at_every_byte_ends_every_leg_once),
        cmocka_unit_test(a_loss_at_every_byte_ends_every_leg_once),
        cmocka_unit_test(an_upstream_lost_before_it_was_asked_did_not_process),
        cmocka_unit_test(a_cancel_in_any_state_does_what_it_says),
        cmocka_unit_test(a_request_not_yet_written_is_withdrawn),
        cmocka_unit_test(every_queueing_entry_is_safe_inside_every_event),
        cmocka_unit_test(a_shutdown_in_any_state_lets_the_running_exchange_end),
        cmocka_unit_test(noise_and_trailing_garbage_harm_nobody),
        cmocka_unit_test(a_sample_with_spoilt_bytes_harms_nobody),
        cmocka_unit_test(endless_input_is_not_kept),
        cmocka_unit_test(what_one_side_writes_the_other_side_reads),
        cmocka_unit_test(a_side_cancel_names_the_exchange_on_a_fresh_connection),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
