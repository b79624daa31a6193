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

/* ---- buckets ----------------------------------------------------------------------------------------------------------------------- */

static span bucket_depth(uint64_t burst, span every) { return (span){ i64_mul_sat((int64_t)burst - 1, every.ns) }; }
static bool bucket_has(const struct http2_bucket *b, uint64_t burst, span every, instant now) {
    return burst == 0 || instant_until(now, b->full).ns <= bucket_depth(burst, every).ns;
}
static instant bucket_next(const struct http2_bucket *b, uint64_t burst, span every) { return instant_back(b->full, bucket_depth(burst, every)); }

bool http2_bucket_take(struct http2_bucket *b, uint64_t burst, span every, instant now) {
    if (burst == 0) return true;
    if (!bucket_has(b, burst, every, now)) return false;
    b->full = instant_add(instant_before(b->full, now) ? now : b->full, every);
    return true;
}

void http2_count_reset(struct http2 *h) {
    const struct http2_budget *limit = &h->conf->resets;
    if (h->s->role != CODEC_DOWN || h->s->trusted || h->failing || limit->burst <= 0 || limit->rate.count == 0) return;
    span every = { limit->rate.per.ns / (int64_t)limit->rate.count };
    if (http2_bucket_take(&h->suffered, (uint64_t)limit->burst, every, h->now)) return;
    nghttp2_session_terminate_session(h->ng, NGHTTP2_ENHANCE_YOUR_CALM);
    http2_fail(h, &(struct fault){ .why = ENDING_CLIENT_ERROR, .wire = NGHTTP2_ENHANCE_YOUR_CALM, .say = "the client resets too many requests" });
}

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

static bool leg_is_over(const struct http2_leg *t) { return !t->h || t->done; }

static void tell_cancel(struct http2 *h, struct http2_leg *t);

/* Up: the answer of a leg that was drained is complete; what is left of its request will not be sent. */
void http2_leg_drained(struct leg *g) {
    struct http2_leg *t = http2_leg_of(g);
    if (leg_is_over(t) || !t->draining || g->out == LEG_END) return;
    tell_cancel(t->h, t);
    http2_leg_close(g, NULL);
}

/* ---- limbo: streams without a leg that are yet to be reset, oldest first: up, for want of budget; down, so that the answer is read first ------------------------------------------------------------ */

static void limbo_add(struct http2 *h, int32_t stream) {
    if (h->nlimbo == h->limbo_cap) {
        h->limbo_cap = h->limbo_cap ? h->limbo_cap * 2 : 16;
        h->limbo = mem_realloc(h->limbo, h->limbo_cap * sizeof *h->limbo);
    }
    h->limbo[h->nlimbo++] = (struct http2_limbo){ stream, h->now };
}

static void limbo_remove(struct http2 *h, int32_t stream) {
    for (size_t i = 0; i < h->nlimbo; i++) {
        if (h->limbo[i].stream != stream) continue;
        memmove(h->limbo + i, h->limbo + i + 1, (--h->nlimbo - i) * sizeof *h->limbo);
        return;
    }
}

#define AFTERWORD span_ms(10)
/* Down: an answer that was complete before its request is followed by RST_STREAM(NO_ERROR) (RFC 9113 8.1). A refusal's not on its heels: clients
 * that read both at once take the reset for a failure and never show the refusal (curl 7.88). One that stops its upload by itself needs none.
 * Behind a success at once: the same clients would wait for a window that never comes. */
static void reset_behind_answer(struct http2 *h, const struct http2_leg *t) {
    if (t->refusal) limbo_add(h, t->stream);
    else nghttp2_submit_rst_stream(h->ng, NGHTTP2_FLAG_NONE, t->stream, NGHTTP2_NO_ERROR);
}

static void limbo_serve_down(struct http2 *h) {
    while (h->nlimbo && instant_until(h->limbo[0].since, h->now).ns >= AFTERWORD.ns) {
        int32_t stream = h->limbo[0].stream;
        limbo_remove(h, stream);
        nghttp2_submit_rst_stream(h->ng, NGHTTP2_FLAG_NONE, stream, NGHTTP2_NO_ERROR);
    }
}

static void limbo_serve_up(struct http2 *h) {
    while (h->nlimbo && http2_bucket_take(&h->told, h->s->cancel_burst, h->s->cancel_every, h->now)) {
        int32_t oldest = h->limbo[0].stream;
        limbo_remove(h, oldest);
        nghttp2_submit_rst_stream(h->ng, NGHTTP2_FLAG_NONE, oldest, NGHTTP2_CANCEL);
    }
    if (h->nlimbo && instant_until(h->limbo[0].since, h->now).ns >= h->conf->retire_after.ns) h->retiring = true;
}

/* ---- what every entry ends with ---------------------------------------------------------------------------------------------------------- */

static unsigned slots_now(const struct http2 *h) {
    if (h->dead || h->failing) return 0;
    if (h->s->role == CODEC_DOWN) return h->goaway ? 0 : (unsigned)h->conf->max_concurrent_streams;
    if (h->goaway || h->retiring || !bucket_has(&h->told, h->s->cancel_burst, h->s->cancel_every, h->now)) return 0;
    /* nghttp2 gives 100 before the peer's SETTINGS, and what they say (or no limit) after. */
    uint32_t most = nghttp2_session_get_remote_settings(h->ng, NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS);
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
    instant at = h->settle_by;
    if (h->s->role == CODEC_DOWN) return h->nlimbo ? instant_min(at, instant_add(h->limbo[0].since, AFTERWORD)) : at;
    if (!bucket_has(&h->told, h->s->cancel_burst, h->s->cancel_every, h->now)) {
        at = instant_min(at, bucket_next(&h->told, h->s->cancel_burst, h->s->cancel_every));
    }
    if (h->nlimbo && !h->retiring) at = instant_min(at, instant_add(h->limbo[0].since, h->conf->retire_after));
    if (h->pinged) return instant_min(at, instant_add(h->ping_at, h->conf->ping_timeout));
    return instant_min(at, instant_add(h->heard, h->conf->ping_interval));
}

/* A head that could go now: the peer has room for it, and a tunnel's knows whether the peer takes such. */
static bool can_submit(const struct http2 *h) {
    if (h->dead || h->streams >= nghttp2_session_get_remote_settings(h->ng, NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS)) return false;
    LIST_EACH(&h->queue, t, struct http2_leg, queued) {
        if (h->settings_seen || !t->head->protocol.n) return true;
    }
    return false;
}

static bool has_output(const struct http2 *h) {
    return !list_is_empty(&h->over) || nghttp2_session_want_write(h->ng) || can_submit(h);
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
                                                           .say = "the connection takes no more requests" });
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
    if (!h->dead) s->role == CODEC_UP ? limbo_serve_up(h) : limbo_serve_down(h);
    if (h->goaway) refuse_queue(h);
    tell_slots(h);
    say_closed(h);
    if ((h->goaway || h->retiring) && h->nlegs == 0) s->next = NEXT_CLOSE;
    s->wake = wake_at(h);
    if (has_output(h)) s->wants_output = true;
}

/* ---- nghttp2's callbacks while it writes, and the closing of streams ------------------------------------------------------------------------ */

static bool ends_in_order(const struct http2 *h, const struct leg *g, const struct http2_leg *t, uint32_t code) {
    if (!t->peer_reset) return code == NGHTTP2_NO_ERROR;
    /* T8: behind a complete answer any reset only stops our upload. T10: a client's NO_ERROR behind our trailers is a normal end. */
    return h->s->role == CODEC_UP ? g->in == LEG_END : g->out == LEG_END && code == NGHTTP2_NO_ERROR;
}

static struct fault fault_of(const struct http2 *h, const struct leg *g, const struct http2_leg *t, uint32_t code) {
    struct fault f = { .wire = code };
    if (h->s->role == CODEC_DOWN) {
        f.why = t->peer_reset ? ENDING_CLIENT_RESET : ENDING_CLIENT_ERROR;
    } else if (code == NGHTTP2_REFUSED_STREAM && g->in == LEG_NOTHING) { /* its RST_STREAM, or above GOAWAY's last id */
        f.why = ENDING_REFUSED_STREAM;
        f.unprocessed = true;
    } else {
        f.why = t->peer_reset ? ENDING_UPSTREAM_RESET : ENDING_UPSTREAM_ERROR; /* T9: also for NO_ERROR before the end */
    }
    return f;
}

static int on_stream_close(nghttp2_session *ng, int32_t stream, uint32_t code, void *user) {
    struct http2 *h = user;
    (void)ng;
    if (h->s->role == CODEC_UP) h->streams--;
    limbo_remove(h, stream);
    struct leg *g = http2_leg_at(h, stream);
    if (!g) return 0;
    struct http2_leg *t = http2_leg_of(g);
    if (ends_in_order(h, g, t, code)) {
        http2_leg_close(g, NULL);
        return 0;
    }
    struct fault f = fault_of(h, g, t, code);
    http2_leg_close(g, &f);
    return 0;
}

static bool is_interim(const struct http2 *h, const nghttp2_headers *f) {
    return h->s->role == CODEC_DOWN && f->nvlen && f->nva[0].namelen == 7 && f->nva[0].value[0] == '1';
}

static int on_before_send(nghttp2_session *ng, const nghttp2_frame *frame, void *user) {
    struct http2 *h = user;
    (void)ng;
    if (frame->hd.type == NGHTTP2_GOAWAY && frame->goaway.error_code != NGHTTP2_NO_ERROR && !h->failing) {
        /* nghttp2 found the connection broken: it says so on its way out, and nowhere else for all kinds. */
        enum ending why = h->s->role == CODEC_DOWN ? ENDING_CLIENT_ERROR : ENDING_UPSTREAM_ERROR;
        http2_fail(h, &(struct fault){ .why = why, .wire = frame->goaway.error_code, .say = "the peer broke HTTP/2" });
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
    if (!g) { /* a refusal's answer: see refuse_request */
        if (!down) return 0;
        if (!end) nghttp2_submit_rst_stream(ng, NGHTTP2_FLAG_NONE, stream, NGHTTP2_PROTOCOL_ERROR);
        else if (!nghttp2_session_get_stream_remote_close(ng, stream)) nghttp2_submit_rst_stream(ng, NGHTTP2_FLAG_NONE, stream, NGHTTP2_NO_ERROR);
        return 0;
    }
    if (!end) return 0;
    g->out = LEG_END;
    struct http2_leg *t = http2_leg_of(g);
    if (t->end_then_reset && !nghttp2_session_get_stream_remote_close(ng, stream)) {
        reset_behind_answer(h, t);
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
    h->pulled = (struct pulled){ 0 };
    h->s->ev->pull(g, max < room ? max : room, &h->pulled);
    if (leg_is_over(t)) return NGHTTP2_ERR_DEFERRED;
    if (!h->pulled.bytes && !h->pulled.end) {
        t->deferred = true;
        return NGHTTP2_ERR_DEFERRED;
    }
    h->pulling = g;
    *flags |= NGHTTP2_DATA_FLAG_NO_COPY;
    if (h->pulled.end) *flags |= NGHTTP2_DATA_FLAG_EOF;
    if (h->pulled.end && t->trailers) { /* T18: nghttp2 sends no END_STREAM, and no empty DATA, where trailers follow */
        *flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
        size_t n = http2_trailers_write(h, t->trailers);
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

/* ---- entries: the wire ---------------------------------------------------------------------------------------------------------------------- */

static void callbacks(nghttp2_session_callbacks *cb) {
    http2_recv_callbacks(cb);
    nghttp2_session_callbacks_set_on_stream_close_callback(cb, on_stream_close);
    nghttp2_session_callbacks_set_before_frame_send_callback(cb, on_before_send);
    nghttp2_session_callbacks_set_on_frame_send_callback(cb, on_frame_send);
    nghttp2_session_callbacks_set_send_data_callback(cb, on_send_data);
}

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
    *h = (struct http2){ .s = s, .conf = s->conf, .now = now, .heard = now, .settle_by = INSTANT_NEVER, .slots_told = s->slots };
    list_init(&h->legs);
    list_init(&h->queue);
    list_init(&h->over);
    nghttp2_session_callbacks *cb;
    nghttp2_option *o;
    if (nghttp2_session_callbacks_new(&cb) != 0 || nghttp2_option_new(&o) != 0) abort();
    callbacks(cb);
    options(o);
    int rc = s->role == CODEC_DOWN ? nghttp2_session_server_new2(&h->ng, cb, h, o) : nghttp2_session_client_new2(&h->ng, cb, h, o);
    if (rc != 0) abort();
    nghttp2_option_del(o);
    nghttp2_session_callbacks_del(cb);
    say_settings(h);
    settle(h);
}

static enum ending peer_broke(const struct http2 *h) { return h->s->role == CODEC_DOWN ? ENDING_CLIENT_ERROR : ENDING_UPSTREAM_ERROR; }

static size_t http2_feed(struct session *s, const uint8_t *p, size_t n, instant now) {
    struct http2 *h = http2_of(s);
    h->now = h->heard = now;
    h->pinged = false;
    ssize_t used = nghttp2_session_mem_recv(h->ng, p, n);
    if (used < 0) {
        if (nghttp2_is_fatal((int)used) && used == NGHTTP2_ERR_NOMEM) abort();
        nghttp2_session_terminate_session(h->ng, used == NGHTTP2_ERR_FLOODED ? NGHTTP2_ENHANCE_YOUR_CALM : NGHTTP2_PROTOCOL_ERROR);
        http2_fail(h, &(struct fault){ .why = peer_broke(h), .wire = NGHTTP2_PROTOCOL_ERROR, .say = nghttp2_strerror((int)used) });
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
        http2_fail(h, &(struct fault){ .why = peer_broke(h), .wire = NGHTTP2_SETTINGS_TIMEOUT, .say = "SETTINGS were not acknowledged in time" });
    }
    if (s->role == CODEC_UP && h->pinged && !instant_before(now, instant_add(h->ping_at, h->conf->ping_timeout))) {
        http2_fail(h, &(struct fault){ .why = ENDING_UPSTREAM_CLOSED, .say = "a PING was not answered in time" });
    } else if (s->role == CODEC_UP && !h->pinged && !h->dead && !instant_before(now, instant_add(h->heard, h->conf->ping_interval))) {
        nghttp2_submit_ping(h->ng, NGHTTP2_FLAG_NONE, NULL);
        h->pinged = true;
        h->ping_at = now;
    }
    settle(h);
}

/* ---- output ------------------------------------------------------------------------------------------------------------------------------------ */

/* False: an extended CONNECT must wait for the peer's SETTINGS, which say whether it may be asked (RFC 8441 3). */
static bool tunnel_may_ask(const struct http2 *h, const struct http2_leg *t, bool *never) {
    *never = false;
    if (!t->head->protocol.n) return true;
    if (!h->settings_seen) return false;
    *never = nghttp2_session_get_remote_settings(h->ng, NGHTTP2_SETTINGS_ENABLE_CONNECT_PROTOCOL) != 1;
    return !*never;
}

static bool has_body(const struct head *h) {
    return h->body != BODY_NONE && !(h->body == BODY_LENGTH && h->length == 0);
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
    char text[HTTP2_TEXT];
    const struct head *from = t->head;
    if (from->protocol.n) {
        const struct field *key = head_find_name(from, STR("sec-websocket-key"), NULL);
        t->tunnel = true;
        if (key) t->ws_key = key->value;
    }
    size_t n = http2_head_write(h, t, from, text);
    nghttp2_data_provider body = { .read_callback = on_read };
    int32_t stream = nghttp2_submit_request(h->ng, NULL, h->nv, n, has_body(from) ? &body : NULL, http2_leg_leg(t));
    list_del(&t->queued);
    if (stream < 0) { /* ids are used up, or the session is closing */
        h->retiring = true;
        h->s->slots = 0;
        http2_leg_close(http2_leg_leg(t), &(struct fault){ .why = ENDING_REFUSED_STREAM, .unprocessed = true, .say = nghttp2_strerror(stream) });
        return true;
    }
    t->stream = stream;
    http2_leg_leg(t)->id = (uint64_t)stream;
    h->streams++;
    return true;
}

/* Takes from nghttp2 until `until` gave out its head, or nothing is left or welcome. False: stop. */
static bool take(struct http2 *h, struct out *o, const struct leg *until) {
    while (room_of(o) && !(until && until->head_taken)) {
        const uint8_t *p;
        ssize_t n = nghttp2_session_mem_send(h->ng, &p);
        if (n < 0) {
            http2_fail(h, &(struct fault){ .why = peer_broke(h), .wire = NGHTTP2_INTERNAL_ERROR, .say = nghttp2_strerror((int)n) });
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

/* One at a time, and taken at once: what has no room stays where it can be withdrawn. */
static void send_requests(struct http2 *h, struct out *o) {
    uint32_t most = nghttp2_session_get_remote_settings(h->ng, NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS);
    struct list waiting;
    list_init(&waiting);
    for (struct http2_leg *t; room_of(o) && h->streams < most && !h->failing && (t = first_queued(h));) {
        struct leg *g = http2_leg_leg(t);
        if (!submit(h, t)) {
            list_del(&t->queued);
            list_push(&waiting, &t->queued);
        } else if (!leg_is_over(t)) {
            take(h, o, g);
        }
    }
    list_splice(&waiting, &h->queue);
    list_splice(&h->queue, &waiting);
}

static void http2_output(struct session *s, struct out *o, instant now) {
    struct http2 *h = http2_of(s);
    h->now = now;
    h->out = o;
    s->wants_output = false;
    size_t before = o->bytes;
    if (!h->dead && !h->goaway) send_requests(h, o);
    take(h, o, NULL);
    if (o->bytes != before && !h->settings_acked && instant_is_never(h->settle_by)) h->settle_by = instant_add(now, h->conf->settings_timeout);
    h->out = NULL;
    settle(h);
}

static void http2_close(struct session *s) {
    struct http2 *h = http2_of(s);
    http2_gather_clear(&h->gather);
    nghttp2_session_del(h->ng);
    free(h->gather.v);
    free(h->nv);
    free(h->limbo);
}

/* ---- entries that queue --------------------------------------------------------------------------------------------------------------------------- */

static void http2_begin(struct session *s, struct leg *g) {
    assert(s->role == CODEC_UP);
    http2_leg_link(http2_of(s), g, 0);
}

static void answer(struct http2 *h, struct leg *g, const struct head *from) {
    struct http2_leg *t = http2_leg_of(g);
    char text[HTTP2_TEXT];
    size_t n = http2_head_write(h, t, from, text);
    if (from->interim) {
        nghttp2_submit_headers(h->ng, NGHTTP2_FLAG_NONE, t->stream, NULL, h->nv, n, NULL);
        return;
    }
    t->refusal = from->status >= 400;
    bool body = has_body(from) && !t->head_request && from->status != 304;
    nghttp2_data_provider provider = { .read_callback = on_read };
    nghttp2_submit_response(h->ng, t->stream, h->nv, n, body ? &provider : NULL);
}

static void http2_send_head(struct leg *g, const struct head *from) {
    struct http2_leg *t = http2_leg_of(g);
    if (leg_is_over(t)) return;
    struct http2 *h = t->h;
    if (h->s->role == CODEC_DOWN) {
        answer(h, g, from);
    } else {
        assert(!t->head);
        t->head = from;
        list_push(&h->queue, &t->queued);
    }
    h->s->wants_output = true;
}

static void http2_ready(struct leg *g) {
    struct http2_leg *t = http2_leg_of(g);
    if (leg_is_over(t) || !t->deferred) return;
    t->deferred = false;
    nghttp2_session_resume_data(t->h->ng, t->stream);
    t->h->s->wants_output = true;
}

static void http2_send_trailers(struct leg *g, const struct head *trailers) {
    struct http2_leg *t = http2_leg_of(g);
    if (!leg_is_over(t)) t->trailers = trailers;
}

static void http2_credit(struct leg *g, size_t n) {
    struct http2_leg *t = http2_leg_of(g);
    if (leg_is_over(t) || !t->stream) return;
    nghttp2_session_consume_stream(t->h->ng, t->stream, n);
    if (nghttp2_session_want_write(t->h->ng)) t->h->s->wants_output = true;
}

/* Semantics 3 and 4: the upstream's own CANCEL, INTERNAL_ERROR and ENHANCE_YOUR_CALM pass; the rest is the table's. */
static uint32_t code_for_client(enum ending why, uint32_t wire) {
    bool passes = wire == NGHTTP2_CANCEL || wire == NGHTTP2_INTERNAL_ERROR || wire == NGHTTP2_ENHANCE_YOUR_CALM;
    return why == ENDING_UPSTREAM_RESET && passes ? wire : ending_rows[why].reset;
}

static enum cancel_way cancel_down(struct leg *g, enum ending why, uint32_t wire, enum cancel_way want) {
    struct http2_leg *t = http2_leg_of(g);
    struct http2 *h = t->h;
    if (want <= CANCEL_DRAIN) { /* the answer was given whole; the rest of the request is not wanted */
        t->end_then_reset = true;
        if (g->out == LEG_END) {
            reset_behind_answer(h, t);
            leg_close_later(t, NULL);
        }
        return CANCEL_DRAIN;
    }
    nghttp2_submit_rst_stream(h->ng, NGHTTP2_FLAG_NONE, t->stream, code_for_client(why, wire));
    leg_close_later(t, &(struct fault){ .why = why, .wire = wire });
    return want < CANCEL_BAND ? CANCEL_CLOSE : CANCEL_BAND;
}

static void tell_cancel(struct http2 *h, struct http2_leg *t) {
    int32_t stream = t->stream;
    if (!h->nlimbo && http2_bucket_take(&h->told, h->s->cancel_burst, h->s->cancel_every, h->now)) {
        nghttp2_submit_rst_stream(h->ng, NGHTTP2_FLAG_NONE, stream, NGHTTP2_CANCEL);
    } else {
        limbo_add(h, stream);
    }
}

static enum cancel_way cancel_up(struct leg *g, enum ending why, uint32_t wire, enum cancel_way want) {
    struct http2_leg *t = http2_leg_of(g);
    struct http2 *h = t->h;
    if (!g->head_taken) {
        if (t->stream) nghttp2_submit_rst_stream(h->ng, NGHTTP2_FLAG_NONE, t->stream, NGHTTP2_CANCEL); /* T11: still queued, so not sent */
        leg_close_later(t, &(struct fault){ .why = why, .wire = wire, .unprocessed = true });
        return CANCEL_WITHDRAWN;
    }
    if (want >= CANCEL_BAND) {
        tell_cancel(h, t);
        leg_close_later(t, &(struct fault){ .why = why, .wire = wire });
        return CANCEL_BAND;
    }
    if (g->in == LEG_END) { /* nothing is left to drain, only our own upload to break off */
        tell_cancel(h, t);
        leg_close_later(t, NULL);
    }
    t->draining = true;
    return CANCEL_DRAIN;
}

static enum cancel_way http2_cancel(struct leg *g, enum ending why, uint32_t wire, enum cancel_way want) {
    struct http2_leg *t = http2_leg_of(g);
    if (leg_is_over(t)) return CANCEL_NONE;
    if (want == CANCEL_NONE && (t->h->s->role == CODEC_DOWN || g->head_taken)) return CANCEL_NONE; /* withdrawing beats all, also nothing */
    enum cancel_way way = t->h->s->role == CODEC_UP ? cancel_up(g, why, wire, want) : cancel_down(g, why, wire, want);
    t->h->s->wants_output = true;
    return way;
}

/* A block that does not end holds up its whole connection, and nothing can be said to it alone. */
static void http2_refuse(struct session *s, const struct fault *f) {
    struct http2 *h = http2_of(s);
    nghttp2_session_terminate_session(h->ng, NGHTTP2_ENHANCE_YOUR_CALM);
    http2_fail(h, f);
}

static void http2_shutdown(struct session *s, bool final) {
    struct http2 *h = http2_of(s);
    if (h->dead || h->failing) return;
    if (final) {
        int32_t last = s->role == CODEC_DOWN ? nghttp2_session_get_last_proc_stream_id(h->ng) : 0;
        nghttp2_submit_goaway(h->ng, NGHTTP2_FLAG_NONE, last, NGHTTP2_NO_ERROR, NULL, 0);
        h->goaway = true;
    } else if (s->role == CODEC_DOWN) {
        nghttp2_submit_shutdown_notice(h->ng);
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
