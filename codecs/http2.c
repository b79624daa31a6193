// SPDX-License-Identifier: Apache-2.0
// HTTP/2 on nghttp2, both sides. nghttp2 keeps the wire's state; this codec keeps what nghttp2 has no notion of: legs that end once, heads that
// can still be withdrawn, body bytes by reference, windows that follow what the other side took, and budgets for resets.
//
//   feed ─→ mem_recv ─→ http2_recv.c ─→ events
//   send_head, ready, cancel … ─→ queues ─→ output ─→ submit ─→ mem_send ─→ on_before_send, on_read, on_send_data ─→ pull ─→ out
//
// A request is submitted in output and taken by the same call (control frames and heads go before DATA), so that until then withdrawing it
// is taking it off a list. Streams close while nghttp2 reads and also while it writes; its on_stream_close is the truth of both (trap T18).
#include "codecs/http2.h"
#include <assert.h>
#include <stdlib.h>

static const struct conf_field budget_fields[] = {
    { .name = "burst", .type = CONF_INT, .offset = offsetof(struct http2_budget, burst), .def = "200", .min = 0, .max = 1000000,
      .help = "so many at once; 0: no limit" },
    { .name = "rate", .type = CONF_RATE, .offset = offsetof(struct http2_budget, rate), .def = "100/s", .help = "and so many more as time goes on" },
    { 0 },
};
static const struct conf_table budget_table = { .name = "resets", .size = sizeof(struct http2_budget), .fields = budget_fields,
                                                .help = "RST_STREAM that a client may send, or provoke, before its answers are complete" };
/* The limits that a peer can push against, each with the attack it stops. */
static const struct conf_field http2_fields[] = {
    { .name = "max_concurrent_streams", .type = CONF_INT, .offset = offsetof(struct http2_conf, max_concurrent_streams), .def = "128", .min = 1,
      .max = 65536, .help = "requests that a client may have open at a time" },
    { .name = "stream_window", .type = CONF_SIZE, .offset = offsetof(struct http2_conf, stream_window), .def = "128KiB", .min = 65535,
      .max = INT32_MAX, .help = "bytes of a body that may wait for the other side" },
    { .name = "connection_window", .type = CONF_SIZE, .offset = offsetof(struct http2_conf, connection_window), .def = "1MiB", .min = 65535,
      .max = INT32_MAX, .help = "bytes of all bodies on the way to us" },
    { .name = "max_head", .type = CONF_SIZE, .offset = offsetof(struct http2_conf, max_head), .def = "64KiB", .min = 1024, .max = 1 << 20,
      .help = "a head's fields, 32 bytes each added; past it 431" },
    { .name = "max_interim", .type = CONF_INT, .offset = offsetof(struct http2_conf, max_interim), .def = "32", .min = 1, .max = 1000,
      .help = "interim answers (1xx) before one final answer: more are taken for a broken upstream" },
    { .name = "resets", .type = CONF_STRUCT, .offset = offsetof(struct http2_conf, resets), .table = &budget_table,
      .help = "rapid reset: past it the client is sent away (ENHANCE_YOUR_CALM); peers that the listener trusts are not counted" },
    { .name = "ping_interval", .type = CONF_DURATION, .offset = offsetof(struct http2_conf, ping_interval), .def = "none", .none = "none",
      .help = "a connection to an upstream that was silent for so long is asked whether it lives" },
    { .name = "ping_timeout", .type = CONF_DURATION, .offset = offsetof(struct http2_conf, ping_timeout), .def = "10s", .min = NS_PER_MS,
      .max = INT64_MAX, .help = "and is lost when it does not answer in this time" },
    { .name = "settings_timeout", .type = CONF_DURATION, .offset = offsetof(struct http2_conf, settings_timeout), .def = "10s",
      .none = "none", .help = "for the peer to acknowledge our SETTINGS" },
    { .name = "retire_after", .type = CONF_DURATION, .offset = offsetof(struct http2_conf, retire_after), .def = "2s",
      .help = "how long a cancelled stream may wait for reset_budget before its connection to the upstream retires" },
    { 0 },
};
const struct conf_table http2_table = { .name = "http2", .size = sizeof(struct http2_conf), .fields = http2_fields, .help = "HTTP/2" };

/* ---- legs ---------------------------------------------------------------------------------------------------------------------------- */

struct leg *http2_leg_at(struct http2 *h, int32_t stream) { return nghttp2_session_get_stream_user_data(h->ng, stream); }

void http2_leg_link(struct http2 *h, struct leg *g, int32_t stream) {
    struct http2_leg *t = http2_leg_of(g);
    t->h = h;
    t->stream = stream;
    g->id = (uint64_t)stream;
    list_push(&h->legs, &t->node);
    h->nlegs++;
    if (!stream) return;
    nghttp2_session_set_stream_user_data(h->ng, stream, g);
    /* Ours is a gateway for many kinds of bodies: all take turns. RFC 9218's default would serve one stream to its end. */
    nghttp2_extpri turns = { .urgency = NGHTTP2_EXTPRI_DEFAULT_URGENCY, .inc = 1 };
    if (h->s->role == CODEC_DOWN) nghttp2_session_change_extpri_stream_priority(h->ng, stream, &turns, 1);
}

/* From here on nothing that comes for the stream concerns the leg. */
static void leg_detach(struct http2_leg *t) {
    struct http2 *h = t->h;
    list_del(&t->node);
    list_del(&t->queued);
    if (t->stream) nghttp2_session_set_stream_user_data(h->ng, t->stream, NULL);
}

static void leg_say_closed(struct http2_leg *t) {
    struct http2 *h = t->h;
    struct leg *g = http2_leg_leg(t);
    list_del(&t->node);
    h->nlegs--;
    t->h = NULL;
    h->s->ev->on_closed(g, t->faulted ? &t->fault : NULL);
}

static void leg_fault(struct http2_leg *t, const struct fault *f) {
    t->faulted = f != NULL;
    if (f) t->fault = *f;
}

void http2_leg_close(struct leg *g, const struct fault *f) {
    struct http2_leg *t = http2_leg_of(g);
    leg_detach(t);
    leg_fault(t, f);
    t->done = true;
    leg_say_closed(t);
}

/* As http2_leg_close from a Q entry: on_closed waits for the next entry that may call it, which the wish for output brings this turn. */
static void leg_close_later(struct http2_leg *t, const struct fault *f) {
    struct http2 *h = t->h;
    leg_detach(t);
    leg_fault(t, f);
    t->done = true;
    list_push(&h->over, &t->node);
    h->s->wants_output = true;
}

/* Up: the answer of a leg that was drained is complete; what is left of its request will not be sent. */
void http2_leg_drained(struct leg *g) {
    struct http2_leg *t = http2_leg_of(g);
    if (http2_leg_is_over(t) || !t->draining || g->out == LEG_END) return;
    http2_tell_cancel(t->h, t);
    http2_leg_close(g, NULL);
}

/* ---- what every entry ends with ---------------------------------------------------------------------------------------------------------- */

static unsigned slots_now(const struct http2 *h) {
    if (h->dead || h->failing) return 0;
    if (h->s->role == CODEC_DOWN) return h->goaway ? 0 : (unsigned)h->conf->max_concurrent_streams;
    if (h->goaway || h->retiring || !http2_may_tell(h)) return 0;
    /* nghttp2 gives 100 before the peer's SETTINGS, and what they say (or no limit) after. */
    uint32_t most = nghttp2_session_get_remote_settings(h->ng, NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS);
    if (h->settings_seen) h->s->slots_known = most;
    else if (h->s->slots_known && h->s->slots_known < most) most = h->s->slots_known;
    return most > h->nlimbo ? most - (unsigned)h->nlimbo : 0;
}

static void tell_slots(struct http2 *h) {
    struct session *s = h->s;
    s->slots = slots_now(h);
    s->reusable = s->role == CODEC_UP && !h->goaway && !h->retiring && !h->dead && !h->failing;
    if (s->slots == h->slots_told) return;
    h->slots_told = s->slots;
    if (s->ev->on_slots) s->ev->on_slots(s);
}

static instant wake_at(const struct http2 *h) {
    if (h->dead) return INSTANT_NEVER;
    instant at = instant_min(h->settle_by, http2_resets_wake(h));
    if (h->s->role == CODEC_DOWN) return h->goaway ? at : instant_min(at, h->last_by);
    if (h->pinged) return instant_min(at, instant_add(h->ping_at, h->conf->ping_timeout));
    return instant_min(at, instant_add(h->heard, h->conf->ping_interval));
}

static bool has_output(const struct http2 *h) {
    return !list_is_empty(&h->over) || nghttp2_session_want_write(h->ng) || http2_can_submit(h);
}

static void say_closed(struct http2 *h) {
    while (!list_is_empty(&h->over)) leg_say_closed(LIST_OF(h->over.next, struct http2_leg, node));
}

/* Up, where nothing of the head was given out, the peer cannot have run it. What one leg's end makes the core cancel is said in its turn. */
static void close_all(struct http2 *h, const struct fault *f) {
    h->s->slots = 0;
    say_closed(h);
    while (!list_is_empty(&h->legs)) {
        struct leg *g = http2_leg_leg(LIST_OF(h->legs.next, struct http2_leg, node));
        struct fault own = *f;
        if (h->s->role == CODEC_UP && !g->head_taken) own.unprocessed = true;
        http2_leg_close(g, &own);
        say_closed(h);
    }
}

/* Heads that can leave no more, whoever said GOAWAY: nothing of them left us. */
static void refuse_queue(struct http2 *h) {
    while (!list_is_empty(&h->queue)) {
        struct http2_leg *t = LIST_OF(h->queue.next, struct http2_leg, queued);
        http2_leg_close(http2_leg_leg(t), &(struct fault){ .why = ENDING_REFUSED_STREAM, .unprocessed = true,
                                                           .passed_over = true, .say = "the connection takes no more requests" });
    }
}

void http2_fail(struct http2 *h, const struct fault *f) {
    if (h->failing || h->dead) return;
    h->failing = true;
    h->fault = *f;
    h->s->slots = 0;
    h->s->wants_output = true;
}

/* Events that are owed, then what the core reads of the session. Every entry that may call events ends here. */
static void settle(struct http2 *h) {
    struct session *s = h->s;
    say_closed(h);
    if (h->failing && !h->dead) {
        h->dead = true;
        close_all(h, &h->fault);
        s->begun = false;
        s->next = NEXT_CLOSE;
        s->ev->on_fault(s, &h->fault);
    }
    if (!h->dead) http2_limbo_serve(h);
    if (h->goaway && s->role == CODEC_UP) refuse_queue(h);
    tell_slots(h);
    say_closed(h);
    if ((h->retiring || h->retire_idle) && !h->goaway && !h->dead && h->nlegs == 0) {
        nghttp2_submit_goaway(h->ng, NGHTTP2_FLAG_NONE, 0, NGHTTP2_NO_ERROR, NULL, 0);
        h->goaway = true;
        tell_slots(h);
    }
    if (h->goaway && h->nlegs == 0) s->next = NEXT_CLOSE;
    s->wake = wake_at(h);
    if (has_output(h)) s->wants_output = true;
}

/* ---- the closing of streams, while nghttp2 reads and while it writes ------------------------------------------------------------------------ */

static bool ends_in_order(const struct http2 *h, const struct leg *g, const struct http2_leg *t, uint32_t code) {
    if (!t->peer_reset) return code == NGHTTP2_NO_ERROR;
    /* T8: behind a complete answer any reset only stops our upload. T10: a client's NO_ERROR behind our trailers is a normal end. */
    return h->s->role == CODEC_UP ? g->in == LEG_END : g->out == LEG_END && code == NGHTTP2_NO_ERROR;
}

static struct fault fault_of(const struct http2 *h, const struct leg *g, const struct http2_leg *t, uint32_t code) {
    struct fault f = { .wire = code, .said = http2_word_of(code) };
    if (h->s->role == CODEC_DOWN) {
        f.why = t->peer_reset ? ENDING_CLIENT_RESET : ENDING_CLIENT_ERROR;
    } else if (code == NGHTTP2_REFUSED_STREAM && g->in == LEG_NOTHING) { /* its RST_STREAM, or above GOAWAY's last id */
        f.why = ENDING_REFUSED_STREAM;
        f.unprocessed = true;
        f.passed_over = !t->peer_reset;
    } else {
        f.why = t->peer_reset ? ENDING_UPSTREAM_RESET : ENDING_UPSTREAM_ERROR; /* T9: also for NO_ERROR before the end */
    }
    return f;
}

static int on_stream_close(nghttp2_session *ng, int32_t stream, uint32_t code, void *user) {
    struct http2 *h = user;
    (void)ng;
    if (h->s->role == CODEC_UP) h->streams--;
    http2_limbo_remove(h, stream);
    struct leg *g = http2_leg_at(h, stream);
    if (!g) return 0;
    struct http2_leg *t = http2_leg_of(g);
    if (ends_in_order(h, g, t, code)) {
        http2_leg_close(g, NULL);
        return 0;
    }
    struct fault f = fault_of(h, g, t, code);
    /* MadeYouReset (CVE-2025-8671): nghttp2 resets a stream for DATA against its content-length or its window without calling the frame invalid. */
    if (!t->peer_reset) http2_count_reset(h);
    http2_leg_close(g, &f);
    return 0;
}

/* ---- entries: the wire ---------------------------------------------------------------------------------------------------------------------- */

static void callbacks(nghttp2_session_callbacks *cb) {
    http2_recv_callbacks(cb);
    nghttp2_session_callbacks_set_on_stream_close_callback(cb, on_stream_close);
    http2_send_callbacks(cb);
}

#define ROUND_TRIP_MAX span_s(1) /* a client that answers no PING has no longer to learn that we shut down */
#define NO_LIMIT_OF_NGHTTP2 (UINT64_C(1) << 30)
static void options(nghttp2_option *o) {
    nghttp2_option_set_no_auto_window_update(o, 1);
    nghttp2_option_set_no_closed_streams(o, 1);
    nghttp2_option_set_max_send_header_block_length(o, 2 << 20); /* what we took from one side, the other must be given */
    /* CONTINUATION floods (CVE-2024-28182). nghttp2 1.52 counts a frame once for each piece its 9 bytes of header come in, so 8 would be too few. */
    nghttp2_option_set_max_continuations(o, 9 * 8);
    /* nghttp2's own limiter says INTERNAL_ERROR and reads the clock itself: http2_count_reset does its work. */
    nghttp2_option_set_stream_reset_rate_limit(o, NO_LIMIT_OF_NGHTTP2, NO_LIMIT_OF_NGHTTP2);
}

static void say_settings(struct http2 *h) {
    nghttp2_settings_entry e[6];
    size_t n = 0;
    bool down = h->s->role == CODEC_DOWN;
    e[n++] = (nghttp2_settings_entry){ NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, (uint32_t)h->conf->stream_window };
    e[n++] = (nghttp2_settings_entry){ NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, (uint32_t)h->conf->max_head };
    if (down) {
        e[n++] = (nghttp2_settings_entry){ NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, (uint32_t)h->conf->max_concurrent_streams };
        e[n++] = (nghttp2_settings_entry){ NGHTTP2_SETTINGS_ENABLE_CONNECT_PROTOCOL, 1 };
        e[n++] = (nghttp2_settings_entry){ NGHTTP2_SETTINGS_NO_RFC7540_PRIORITIES, 1 }; /* else clients shape a tree in our memory */
    } else {
        e[n++] = (nghttp2_settings_entry){ NGHTTP2_SETTINGS_ENABLE_PUSH, 0 };
    }
    nghttp2_submit_settings(h->ng, NGHTTP2_FLAG_NONE, e, n);
    nghttp2_session_set_local_window_size(h->ng, NGHTTP2_FLAG_NONE, 0, (int32_t)h->conf->connection_window);
}

static void http2_open(struct session *s, instant now) {
    struct http2 *h = http2_of(s);
    *h = (struct http2){ .s = s, .conf = s->conf, .now = now, .heard = now, .settle_by = INSTANT_NEVER, .last_by = INSTANT_NEVER,
                         .slots_told = s->slots };
    list_init(&h->legs);
    list_init(&h->queue);
    list_init(&h->over);
    nghttp2_session_callbacks *cb;
    nghttp2_option *o;
    if (nghttp2_session_callbacks_new(&cb) != 0 || nghttp2_option_new(&o) != 0) abort();
    callbacks(cb);
    options(o);
    int rc = s->role == CODEC_DOWN ? nghttp2_session_server_new3(&h->ng, cb, h, o, http2_memory())
                                    : nghttp2_session_client_new3(&h->ng, cb, h, o, http2_memory());
    if (rc != 0) abort();
    nghttp2_option_del(o);
    nghttp2_session_callbacks_del(cb);
    say_settings(h);
    settle(h);
}

static size_t http2_feed(struct session *s, const uint8_t *p, size_t n, instant now) {
    struct http2 *h = http2_of(s);
    h->now = h->heard = now;
    h->pinged = false;
    ssize_t used = nghttp2_session_mem_recv(h->ng, p, n);
    if (used < 0) {
        if (nghttp2_is_fatal((int)used) && used == NGHTTP2_ERR_NOMEM) abort();
        nghttp2_session_terminate_session(h->ng, used == NGHTTP2_ERR_FLOODED ? NGHTTP2_ENHANCE_YOUR_CALM : NGHTTP2_PROTOCOL_ERROR);
        http2_fail(h, &(struct fault){ .why = http2_peer_broke(h), .wire = NGHTTP2_PROTOCOL_ERROR, .say = nghttp2_strerror((int)used) });
    }
    if (h->settings_acked) h->settle_by = INSTANT_NEVER;
    if (s->role == CODEC_DOWN && !h->settings_seen) s->begun = true; /* the preface ends with SETTINGS */
    settle(h);
    return n;
}

static void http2_eof(struct session *s, bool behind, instant now) {
    struct http2 *h = http2_of(s);
    (void)behind; /* feed takes all it is given */
    h->now = now;
    bool cut = h->nlegs > 0;
    struct fault f = { .why = s->role == CODEC_DOWN ? ENDING_CLIENT_CLOSED : ENDING_UPSTREAM_CLOSED, .say = "the peer closed the connection" };
    close_all(h, &f);
    h->goaway = true;
    s->begun = false;
    s->next = NEXT_CLOSE;
    if (cut && !h->dead) {
        h->dead = true;
        s->ev->on_fault(s, &f);
    }
    settle(h);
}

static void http2_lost(struct session *s, const struct fault *f) {
    struct http2 *h = http2_of(s);
    close_all(h, f);
    h->dead = true;
    settle(h);
    s->wants_output = false;
}

static void http2_tick(struct session *s, instant now) {
    struct http2 *h = http2_of(s);
    h->now = now;
    if (!h->settings_acked && !instant_before(now, h->settle_by)) {
        nghttp2_session_terminate_session(h->ng, NGHTTP2_SETTINGS_TIMEOUT);
        http2_fail(h, &(struct fault){ .why = http2_peer_broke(h), .wire = NGHTTP2_SETTINGS_TIMEOUT, .say = "SETTINGS were not acknowledged in time" });
    }
    if (!instant_before(now, h->last_by)) http2_say_last(h);
    if (s->role == CODEC_UP && h->pinged && !instant_before(now, instant_add(h->ping_at, h->conf->ping_timeout))) {
        http2_fail(h, &(struct fault){ .why = ENDING_UPSTREAM_CLOSED, .say = "a PING was not answered in time" });
    } else if (s->role == CODEC_UP && !h->pinged && !h->dead && !instant_before(now, instant_add(h->heard, h->conf->ping_interval))) {
        nghttp2_submit_ping(h->ng, NGHTTP2_FLAG_NONE, NULL);
        h->pinged = true;
        h->ping_at = now;
    }
    settle(h);
}

/* ---- output -------------------------------------------------------------------------------------------------------------------------- */

static void http2_output(struct session *s, struct out *o, instant now) {
    struct http2 *h = http2_of(s);
    h->now = now;
    h->out = o;
    s->wants_output = false;
    size_t before = o->bytes;
    if (!h->dead) http2_send_heads(h, o);
    http2_take(h, o, NULL);
    settle(h);
    if (s->wants_output) { /* an end brought something about (GOAWAY, a reset that had waited): nobody may ask again */
        http2_take(h, o, NULL);
        settle(h);
    }
    if (o->bytes != before && !h->settings_acked && instant_is_never(h->settle_by)) h->settle_by = instant_add(now, h->conf->settings_timeout);
    if (h->noticed && instant_is_never(h->last_by)) h->last_by = instant_add(now, ROUND_TRIP_MAX);
    h->out = NULL;
    s->wake = wake_at(h);
}

static void http2_close(struct session *s) {
    struct http2 *h = http2_of(s);
    nghttp2_session_del(h->ng);
    http2_gather_free(&h->gather);
    free(h->nv);
    free(h->limbo);
}

/* ---- entries that queue --------------------------------------------------------------------------------------------------------------------------- */

static void http2_begin(struct session *s, struct leg *g) {
    assert(s->role == CODEC_UP);
    http2_leg_link(http2_of(s), g, 0);
}

static void http2_send_head(struct leg *g, const struct head *from) {
    struct http2_leg *t = http2_leg_of(g);
    if (http2_leg_is_over(t)) return;
    struct http2 *h = t->h;
    if (from->interim) {
        http2_say_interim(h, t, from);
    } else {
        assert(!t->head);
        t->head = from;
        list_push(&h->queue, &t->queued);
    }
    h->s->wants_output = true;
}

static void http2_ready(struct leg *g) {
    struct http2_leg *t = http2_leg_of(g);
    if (http2_leg_is_over(t) || !t->deferred) return;
    t->deferred = false;
    nghttp2_session_resume_data(t->h->ng, t->stream);
    t->h->s->wants_output = true;
}

static void http2_send_trailers(struct leg *g, const struct head *trailers) {
    struct http2_leg *t = http2_leg_of(g);
    if (!http2_leg_is_over(t)) t->trailers = trailers;
}

static void http2_credit(struct leg *g, size_t n) {
    struct http2_leg *t = http2_leg_of(g);
    if (http2_leg_is_over(t) || !t->stream) return;
    nghttp2_session_consume_stream(t->h->ng, t->stream, n);
    if (nghttp2_session_want_write(t->h->ng)) t->h->s->wants_output = true;
}

static enum cancel_way cancel_down(struct leg *g, enum ending why, enum reset_word said, enum cancel_way want) {
    struct http2_leg *t = http2_leg_of(g);
    struct http2 *h = t->h;
    if (want <= CANCEL_DRAIN) { /* the answer was given whole; the rest of the request is not wanted */
        t->end_then_reset = true;
        if (g->out == LEG_END) {
            http2_reset_behind_answer(h, t);
            leg_close_later(t, NULL);
        }
        return CANCEL_DRAIN;
    }
    nghttp2_submit_rst_stream(h->ng, NGHTTP2_FLAG_NONE, t->stream, http2_code_for_client(why, said));
    leg_close_later(t, &(struct fault){ .why = why, .said = said });
    return want < CANCEL_BAND ? CANCEL_CLOSE : CANCEL_BAND;
}

static enum cancel_way cancel_up(struct leg *g, enum ending why, enum reset_word said, enum cancel_way want) {
    struct http2_leg *t = http2_leg_of(g);
    struct http2 *h = t->h;
    if (!g->head_taken) {
        if (t->stream) nghttp2_submit_rst_stream(h->ng, NGHTTP2_FLAG_NONE, t->stream, NGHTTP2_CANCEL); /* T11: still queued, so not sent */
        leg_close_later(t, &(struct fault){ .why = why, .said = said, .unprocessed = true });
        return CANCEL_WITHDRAWN;
    }
    if (want >= CANCEL_BAND) {
        http2_tell_cancel(h, t);
        leg_close_later(t, &(struct fault){ .why = why, .said = said });
        return CANCEL_BAND;
    }
    if (g->in == LEG_END) { /* nothing is left to drain, only our own upload to break off */
        http2_tell_cancel(h, t);
        leg_close_later(t, NULL);
    }
    t->draining = true;
    return CANCEL_DRAIN;
}

static enum cancel_way http2_cancel(struct leg *g, enum ending why, enum reset_word said, enum cancel_way want) {
    struct http2_leg *t = http2_leg_of(g);
    if (http2_leg_is_over(t)) return CANCEL_NONE;
    if (want == CANCEL_NONE && (t->h->s->role == CODEC_DOWN || g->head_taken)) return CANCEL_NONE; /* withdrawing beats all, also nothing */
    enum cancel_way way = t->h->s->role == CODEC_UP ? cancel_up(g, why, said, want) : cancel_down(g, why, said, want);
    t->h->s->wants_output = true;
    return way;
}

/* A block that does not end holds up its whole connection, and nothing can be said to it alone: f's status is not. */
static void http2_refuse(struct session *s, const struct fault *f) {
    struct http2 *h = http2_of(s);
    struct fault unsaid = *f;
    unsaid.status = 0;
    nghttp2_session_terminate_session(h->ng, NGHTTP2_ENHANCE_YOUR_CALM);
    http2_fail(h, &unsaid);
}

void http2_say_last(struct http2 *h) {
    if (h->goaway || h->dead || h->failing) return;
    nghttp2_submit_goaway(h->ng, NGHTTP2_FLAG_NONE, nghttp2_session_get_last_proc_stream_id(h->ng), NGHTTP2_NO_ERROR, NULL, 0);
    h->goaway = true;
}

/* RFC 9113 6.8: the last id is known once a round trip after the notice has passed, which a PING measures. Towards an upstream there is nothing
 * to give notice of: we are the one who asks. */
static void http2_shutdown(struct session *s, bool final) {
    struct http2 *h = http2_of(s);
    if (h->dead || h->failing) return;
    if (s->role == CODEC_UP) {
        h->retire_idle = true; /* while it is busy others may join: what comes late has to go somewhere */
        if (final || h->nlegs == 0) h->retiring = true;
        if (h->retiring) s->slots = 0, s->reusable = false;
    } else if (final) {
        http2_say_last(h);
    } else if (!h->noticed && !h->goaway) {
        h->noticed = true;
        nghttp2_submit_shutdown_notice(h->ng);
        nghttp2_submit_ping(h->ng, NGHTTP2_FLAG_NONE, NULL);
    }
    s->wants_output = true;
}

/* ---- the first bytes ---------------------------------------------------------------------------------------------------------------------------------- */

static enum codec_probe http2_probe(const uint8_t *p, size_t n) {
    size_t most = n < NGHTTP2_CLIENT_MAGIC_LEN ? n : NGHTTP2_CLIENT_MAGIC_LEN;
    if (memcmp(p, NGHTTP2_CLIENT_MAGIC, most) != 0) return PROBE_NO;
    return n < NGHTTP2_CLIENT_MAGIC_LEN ? PROBE_MORE : PROBE_YES;
}

static const struct codec codec_http2 = {
    .name = "http2",
    .alpn = "h2",
    .version = 20,
    .session_size = sizeof(struct http2),
    .leg_size = sizeof(struct http2_leg),
    .pairing = PAIR_EXCHANGE,
    .flow = FLOW_LEG,
    .roles = CODEC_DOWN | CODEC_UP,
    .multiplex = true,
    .coalesce = true,
    .ways = { CANCEL_BAND, CANCEL_DRAIN, CANCEL_NONE },
    .options = &http2_table,
    .probe = http2_probe,
    .open = http2_open,
    .feed = http2_feed,
    .eof = http2_eof,
    .lost = http2_lost,
    .tick = http2_tick,
    .output = http2_output,
    .close = http2_close,
    .begin = http2_begin,
    .send_head = http2_send_head,
    .ready = http2_ready,
    .send_trailers = http2_send_trailers,
    .credit = http2_credit,
    .cancel = http2_cancel,
    .refuse = http2_refuse,
    .shutdown = http2_shutdown,
};
CODEC_REGISTER(codec_http2);
