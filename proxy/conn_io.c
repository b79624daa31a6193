// SPDX-License-Identifier: Apache-2.0
// The bytes of a connection: what is read a turn goes to the codec, what the codec has to say is one call a turn; and when both wait for the beat.
// Reading is bounded a turn, and nothing is freed here.
#include "proxy/conn_inside.h"
#include "proxy/tls.h"
#include <assert.h>
#include <errno.h>

/* ---- the beat --------------------------------------------------------------------------------------------------------------------------- */
/* Small segments, not cycles, are what a busy multiplexed connection costs: it is served at most once a beat, so that what came and what is to
 * go meanwhile shares a read and a write. Endings, bulk and everything else are served at once. */
static bool conn_is_busy(const struct conn *c) {
    const struct session *s = &c->session;
    return c->state == CONN_OPEN && s->live >= BEAT_LEGS && s->codec->coalesce && !c->urgent && c->w->beat.now.ns > 0;
}
static bool conn_waits(struct conn *c) {
    if (!conn_is_busy(c) || c->last_read >= BEAT_BULK || c->w->bulk == c->w->turn) return false;
    if (c->turn == c->w->turn) return false; /* what its own bytes caused is written in the turn that read them */
    if (!instant_before(c->w->now, instant_add(c->turned, c->w->beat.now))) return false;
    if (!list_is_linked(&c->waiting)) list_push(&c->w->beating, &c->waiting);
    return true;
}
/* An ending that is written out of turn is no beat: who still waits to be read goes on waiting, for no longer than before. */
static void conn_serves(struct conn *c) {
    c->turn = c->w->turn;
    c->w->worked = true;
    if (!list_is_linked(&c->waiting)) c->turned = c->w->now;
}
void conn_waited(struct conn *c) {
    list_del(&c->waiting);
    c->turned = (instant){ 0 };
    conn_ready(c);
}

/* ---- reading ------------------------------------------------------------------------------------------------------------------------ */
static ssize_t conn_recv(struct conn *c, void *p, size_t n) {
    if (!c->tls) return c->w->os->recv(c->fd, p, n);
    size_t got = 0;
    enum tls_io io = tls_read(c->tls, p, n, &got);
    if (!c->worn && tls_is_worn(c->tls)) {
        c->worn = true;
        conn_shutdown(c, false);
    }
    if (got > 0) return (ssize_t)got; /* why it stopped is said again by the next call */
    if (io == TLS_EOF) return 0;
    if (io != TLS_LOST) return -EAGAIN;
    return tls_loss(c->tls) == TLS_LOSS_CUT ? -ESHUTDOWN : -ECONNRESET;
}
void conn_peer_lost(struct conn *c, const char *say) {
    struct fault f = { .why = c->session.role == CODEC_DOWN ? ENDING_CLIENT_RESET : ENDING_UPSTREAM_CLOSED, .say = say };
    if (c->state == CONN_OPENING && c->session.role == CODEC_UP) f.why = ENDING_CONNECT_FAILURE, f.unprocessed = true;
    conn_lose(c, &f, false);
}

static bool leg_is_full(const struct conn *c) {
    if (!c->session.codec || c->session.codec->flow != FLOW_SESSION) return false;
    size_t window = load_room(c->w) == ROOM_PLENTY ? BODY_WINDOW : BODY_WINDOW_FULL;
    LIST_EACH((struct list *)(uintptr_t)&c->session.legs, g, struct leg, node) {
        if (g->uncredited >= window) return true;
    }
    return false;
}
void conn_pace(struct conn *c) {
    bool pause = leg_is_full(c) || buffer_is_full(&c->in);
    if (c->paused && !pause && c->readable) conn_ready(c);
    c->paused = pause;
}

static size_t conn_feed(struct conn *c, const uint8_t *p, size_t n) {
    struct session *s = &c->session;
    s->wants_feed = false;
    bool begun = s->begun;
    size_t used = s->codec->feed(s, p, n, c->w->now);
    assert(used <= n);
    if (s->begun && !begun && s->live == 0) c->since = c->w->now;
    return used;
}
void conn_feed_kept(struct conn *c) {
    if (c->feeding) return; /* settling borrowed bytes writes, and writing may want this very input */
    if (buffer_is_empty(&c->in)) c->session.wants_feed = false; /* what it left is in the socket: reading on brings it */
    c->feeding = true;
    while (c->state == CONN_OPEN && !buffer_is_empty(&c->in) && c->session.next != NEXT_CLOSE && c->session.next != NEXT_RESET) {
        size_t used = conn_feed(c, buffer_data(&c->in), buffer_size(&c->in));
        if (!list_is_empty(&c->w->borrowers)) worker_settle_borrowed(c->w); /* before the buffer moves */
        buffer_take(&c->in, used);
        if (!c->session.wants_feed || used == 0) break;
    }
    c->feeding = false;
    if (c->state == CONN_LINGERING) buffer_free(&c->in);
    if (c->state == CONN_OPEN && c->fin_read && buffer_is_empty(&c->in)) c->session.codec->eof(&c->session, false, c->w->now);
}
static void conn_take(struct conn *c, const uint8_t *p, size_t n) {
    if (c->state != CONN_OPEN || c->session.next == NEXT_CLOSE || c->session.next == NEXT_RESET) {
        c->unread = true; /* it says goodbye: nobody will read this */
        return;
    }
    if (!buffer_is_empty(&c->in)) {
        buffer_append(&c->in, p, n);
        conn_feed_kept(c);
    } else {
        size_t used = conn_feed(c, p, n);
        if (used < n && c->state == CONN_OPEN) {
            buffer_append(&c->in, p + used, n - used);
            if (c->session.wants_feed) conn_feed_kept(c);
        }
    }
    conn_touch(c);
}

/* A FIN that was read; or, while nothing is read, one that the system tells of. */
static void conn_eof(struct conn *c) {
    if (c->state == CONN_LINGERING) {
        conn_die(c, false);
    } else if (c->state == CONN_OPEN) {
        c->session.codec->eof(&c->session, !c->fin_read || !buffer_is_empty(&c->in), c->w->now);
        conn_touch(c);
    }
}

/* One piece of reading. False: no more this turn. */
static bool conn_read(struct conn *c, size_t *share) {
    struct worker *w = c->w;
    if (!list_is_empty(&w->borrowers)) worker_settle_borrowed(w); /* before the scratch is used again */
    if (c->state == CONN_DEAD || c->paused) return false;
    ssize_t n;
    do n = conn_recv(c, w->scratch, load_room(w) == ROOM_PLENTY ? SCRATCH_BYTES : BODY_WINDOW_FULL);
    while (n == -EINTR);
    if (n > 0) {
        size_t got = (size_t)n;
        c->bytes_in += got;
        metric_add(&w->metrics, c->owner->bytes_in, got);
        c->last_read += got;
        if (c->last_read >= BEAT_BULK) w->bulk = w->turn;
        if (c->state == CONN_LINGERING) {
            c->lingered += got;
            if (c->lingered > LINGER_BYTES) conn_die(c, false);
        } else if (c->state == CONN_OPENING) {
            conn_opening_client(c, w->scratch, got);
        } else {
            conn_take(c, w->scratch, got);
        }
        conn_pace(c);
        *share -= got < *share ? got : *share;
        return *share > 0 && c->state != CONN_DEAD;
    }
    c->readable = false;
    if (n == 0) {
        c->fin = c->fin_read = true;
        if (c->state == CONN_OPENING) conn_die(c, false);
        else conn_eof(c);
    } else if (n != -EAGAIN) {
        conn_peer_lost(c, n == -ESHUTDOWN ? "the peer closed the connection without close_notify" : "the peer reset the connection");
    }
    return false;
}

void conn_note(struct conn *c, unsigned what) {
    if (c->state == CONN_DEAD) return;
    if (what & (OS_READ | OS_CLOSED)) c->readable = true;
    if (what & OS_WRITE) c->writable = true;
    if (what & OS_CLOSED) c->fin = c->urgent = true;
    conn_ready(c);
}

/* While nothing is read, an edge may be the peer's leaving: RST shows as an error of the socket, FIN as OS_CLOSED (traps T2, T4). */
static void conn_look(struct conn *c) {
    if (c->w->os->so_error(c->fd)) {
        conn_peer_lost(c, "the peer reset the connection");
    } else if (c->fin && !c->fin_read) {
        conn_eof(c);
    }
}
/* Who reads on while its peer writes chases it, a segment a call: what comes next shares the next beat's reading. */
static bool conn_lets_gather(const struct conn *c) { return !c->tls && conn_is_busy(c) && c->last_read < BEAT_BULK; }
/* A call that brought less than it asked for emptied the socket. What the next one is for is an RST behind the bytes: libevent makes one edge of
 * both, and it looks as that of the bytes alone. Where there is a beat that call waits for an edge, and for the worst case, an RST that came in the
 * microseconds before the first call, no longer than CONN_DOUBT. Between requests there is no doubt to be had: the next one is at stake. */
static bool conn_doubts(struct conn *c) {
    if (c->w->beat.now.ns == 0 || load_room(c->w) != ROOM_PLENTY || c->tls || c->fin || c->paused || c->state != CONN_OPEN) return false;
    if (c->session.codec->coalesce || c->session.live == 0 || c->last_read >= SCRATCH_BYTES) return false;
    c->turned = c->w->now;
    list_push(&c->w->doubted, &c->waiting);
    return true;
}
void conn_serve(struct conn *c) {
    list_del(&c->ready);
    if (conn_waits(c)) return;
    list_del(&c->waiting);
    conn_serves(c);
    if (c->state == CONN_OPENING && !conn_opening(c)) {
        if (c->leaving) conn_leave(c);
        return;
    }
    size_t share = CONN_READ_SHARE;
    c->last_read = 0;
    while (c->state != CONN_DEAD && c->readable && !c->paused && conn_read(c, &share) && !conn_lets_gather(c) && !conn_doubts(c)) { }
    /* Also where it was paused just now: this edge was the last. Behind a FIN, or a close_notify, reading tells of no RST. */
    if (c->state != CONN_DEAD && (c->paused || c->fin_read)) conn_look(c);
    if (c->leaving) conn_leave(c);
    if (c->state == CONN_DEAD) return;
    if (c->readable && !c->paused && !list_is_linked(&c->waiting)) conn_ready(c); /* its share is used up */
    if (c->writable && !buffer_is_empty(&c->backlog) && !list_is_linked(&c->touched)) list_push(&c->w->touched, &c->touched);
    conn_touch(c);
}

/* ---- writing ------------------------------------------------------------------------------------------------------------------------------- */
static ssize_t conn_send(struct conn *c, const struct iovec *iov, unsigned niov) {
    if (!c->tls) return c->w->os->send(c->fd, iov, niov);
    size_t took = 0;
    enum tls_io io = tls_write(c->tls, iov, niov, &took);
    if (took > 0 || io == TLS_DONE) return (ssize_t)took;
    return io == TLS_LOST || io == TLS_EOF ? -EPIPE : -EAGAIN;
}
/* Returns what the socket took, 0 where it is behind; negative: the connection is lost (and has been said so). */
static ssize_t conn_push(struct conn *c, const struct iovec *iov, unsigned niov, size_t bytes) {
    ssize_t n;
    do n = conn_send(c, iov, niov);
    while (n == -EINTR);
    if (n == -EAGAIN) n = 0;
    if (n < 0) return n;
    if ((size_t)n < bytes) c->writable = false;
    if (n > 0) c->moved = c->w->now;
    c->bytes_out += (size_t)n;
    metric_add(&c->w->metrics, c->owner->bytes_out, (size_t)n);
    return n;
}
/* The peer will not take what we say. What it said before it left may still be in the socket: an answer that came ahead of the reset counts. */
static void conn_write_failed(struct conn *c) {
    c->writable = false;
    buffer_free(&c->backlog);
    if (c->state == CONN_OPEN && c->session.role == CODEC_UP && !c->error_seen) {
        c->error_seen = true;
        c->readable = true;
        conn_ready(c);
        return;
    }
    conn_peer_lost(c, "the peer reset the connection");
}
static bool conn_flush_backlog(struct conn *c) {
    while (!buffer_is_empty(&c->backlog)) {
        if (!c->writable) return false;
        struct iovec v = { (void *)(uintptr_t)buffer_data(&c->backlog), buffer_size(&c->backlog) };
        ssize_t n = conn_push(c, &v, 1, v.iov_len);
        if (n < 0) return conn_write_failed(c), false;
        buffer_take(&c->backlog, (size_t)n);
    }
    return true;
}
static void conn_keep_rest(struct conn *c, const struct out *o, size_t took) {
    if (buffer_is_empty(&c->backlog)) c->moved = c->w->now;
    for (unsigned i = 0; i < o->niov; i++) {
        size_t n = o->iov[i].iov_len;
        size_t skip = took < n ? took : n;
        took -= skip;
        if (n > skip) buffer_append(&c->backlog, (const char *)o->iov[i].iov_base + skip, n - skip);
    }
}
/* One output of the codec, in one call. False: nothing more can be written now. Without room a codec says nothing, but does what needs none:
 * a leg that was cancelled closes within the turn, also where the peer takes no bytes (trap T17). */
static bool conn_output(struct conn *c, bool room) {
    struct out *o = &c->w->out;
    out_begin(o, room && c->writable ? OUT_LIMIT : 0);
    c->session.codec->output(&c->session, o, c->w->now);
    if (o->bytes == 0) return false;
    ssize_t n = conn_push(c, o->iov, o->niov, o->bytes);
    if (n >= 0 && (size_t)n < o->bytes) conn_keep_rest(c, o, (size_t)n);
    if (n >= 0) {
        for (unsigned i = 0; i < o->nrefs; i++) c->ev->pulled(o->refs[i].leg, o->refs[i].n);
    } else {
        conn_write_failed(c);
    }
    return n >= 0 && c->writable;
}
/* What the codec wants done once all it had to say is with the kernel. */
static void conn_next(struct conn *c) {
    struct session *s = &c->session;
    if (s->next == NEXT_RESET) {
        struct fault f = { .why = ENDING_COMPLETED, .say = "cut" };
        conn_lose(c, &f, true);
        return;
    }
    bool pending = s->wants_output || !buffer_is_empty(&c->backlog);
    /* Towards an upstream nobody waits for what is still unsaid: a cancel is a close now, not after a stuck write. */
    bool dropped = s->role == CODEC_UP && s->next == NEXT_CLOSE && s->live == 0 && !c->writable;
    if (pending && !dropped) return;
    if (s->next == NEXT_HALF_CLOSE) {
        if (c->tls && tls_shutdown(c->tls) == TLS_WANT_WRITE) {
            c->writable = false;
            return;
        }
        if (!c->tls && !c->half_closed) c->w->os->shut_write(c->fd);
        c->half_closed = true;
        s->next = NEXT_MORE;
    } else if (s->next == NEXT_CLOSE || c->state == CONN_FLUSHING) {
        conn_say_gone(c, NULL);
        if (s->live > 0) { /* a codec that closes under its legs: they hear of it */
            struct fault f = { .why = s->role == CODEC_DOWN ? ENDING_CLIENT_CLOSED : ENDING_UPSTREAM_CLOSED, .say = "the connection closed" };
            s->codec->lost(s, &f);
        }
        conn_finish(c);
    }
}
void conn_write(struct conn *c) {
    list_del(&c->touched);
    if (c->state != CONN_OPEN && c->state != CONN_FLUSHING) return;
    if (conn_waits(c)) return;
    conn_serves(c);
    c->urgent = c->fin;
    bool room = conn_flush_backlog(c);
    while (c->state != CONN_DEAD && c->session.wants_output && conn_output(c, room)) { }
    if (c->state == CONN_DEAD) return;
    conn_next(c);
    if (c->state == CONN_OPEN && c->session.wants_feed) {
        conn_feed_kept(c);
        conn_touch(c);
    }
    if (c->state != CONN_DEAD) conn_pace(c), conn_arm(c);
}
void conn_touch(struct conn *c) {
    if (c->state != CONN_OPEN && c->state != CONN_FLUSHING) return;
    const struct session *s = &c->session;
    bool turn = s->wants_output || c->state == CONN_FLUSHING || (s->wants_feed && !c->feeding) || s->next != NEXT_MORE; /* who feeds it goes on by itself */
    if (turn && !list_is_linked(&c->touched)) list_push(&c->w->touched, &c->touched);
    conn_arm(c);
}
