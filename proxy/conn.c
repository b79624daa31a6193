// SPDX-License-Identifier: Apache-2.0
// Bytes between a socket and a codec's session: see conn.h. Reading is bounded a turn, writing is one call a turn, and nothing is freed here but
// by conn_free, at the end of the turn. Must never look at a protocol: what differs between protocols is data in struct codec.
#include "proxy/conn.h"
#include "proxy/tls.h"
#include "proxy/worker.h"
#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>

static void conn_die(struct conn *c, bool reset);

/* ---- timers ----------------------------------------------------------------------------------------------------------------- */
/* A stuck write counts from the last byte that the socket took; what else there is to wait for, from the change of state. */
static instant conn_limit(const struct conn *c) {
    switch ((enum conn_state)c->state) {
    case CONN_OPENING: return instant_add(c->since, c->times.opening);
    case CONN_OPEN:
        if (!buffer_is_empty(&c->backlog)) return instant_add(c->moved, c->times.write);
        if (c->session.live > 0) return INSTANT_NEVER;
        return instant_add(c->since, c->session.begun ? c->times.header : c->times.idle);
    case CONN_FLUSHING: return instant_add(c->moved, c->times.write);
    case CONN_LINGERING: return instant_add(c->since, c->times.linger);
    case CONN_DEAD: break;
    }
    return INSTANT_NEVER;
}
/* Lazy: a timer that stands too early fires and arms itself again, so that requests on a busy connection arm nothing. */
static void conn_arm(struct conn *c) {
    if (c->state == CONN_DEAD) return;
    instant due = instant_min(conn_limit(c), c->session.wake);
    if (timer_is_armed(&c->timer) ? instant_before(due, c->timer.at) : !instant_is_never(due)) wheel_arm(&c->w->wheel, &c->timer, due);
}
static void conn_set_state(struct conn *c, enum conn_state state) {
    c->state = (uint8_t)state;
    c->since = c->w->now;
    if (state == CONN_FLUSHING) c->moved = c->w->now;
    conn_arm(c);
}

/* What a limit that passed means. */
static void conn_expire(struct conn *c) {
    bool down = c->session.role == CODEC_DOWN;
    switch ((enum conn_state)c->state) {
    case CONN_OPENING: {
        struct fault f = { .why = down ? ENDING_CLIENT_TIMEOUT : ENDING_CONNECT_TIMEOUT, .unprocessed = true,
                           .say = c->connected ? "the TLS handshake took too long" : "the connection was not accepted in time" };
        conn_lose(c, &f, false);
        return;
    }
    case CONN_OPEN:
        if (!buffer_is_empty(&c->backlog)) {
            struct fault f = { .why = down ? ENDING_CLIENT_STALLED : ENDING_UPSTREAM_IDLE, .say = "the peer took no bytes for too long" };
            conn_lose(c, &f, true);
        } else if (c->session.begun && c->session.live == 0) {
            /* RFC 9110 15.5.9: 408 for a request that was begun; an idle connection closes silently. */
            struct fault f = { .why = ENDING_CLIENT_TIMEOUT, .status = 408, .say = "the request's head did not arrive in time" };
            c->unread = true;
            c->session.codec->refuse(&c->session, &f);
            conn_touch(c);
        } else {
            conn_shutdown(c, true);
        }
        return;
    case CONN_FLUSHING:
    case CONN_LINGERING: conn_die(c, c->state == CONN_FLUSHING); return;
    case CONN_DEAD: return;
    }
}
static void on_timer(struct timer *t, instant now) {
    struct conn *c = CONTAINER_OF(t, struct conn, timer);
    if (!instant_before(now, c->session.wake) && c->session.codec) {
        c->session.codec->tick(&c->session, now);
        if (!instant_before(now, c->session.wake)) c->session.wake = INSTANT_NEVER; /* it asked for nothing new */
        conn_touch(c);
    }
    if (c->state != CONN_DEAD && !instant_before(now, conn_limit(c))) conn_expire(c);
    conn_arm(c);
}

/* ---- the peer ------------------------------------------------------------------------------------------------------------------------ */
struct str conn_peer_text(struct conn *c) {
    if (c->peer_text[0]) return str_of(c->peer_text);
    const struct sockaddr_in *v4 = (const void *)&c->peer;
    const struct sockaddr_in6 *v6 = (const void *)&c->peer;
    if (c->peer.ss_family == AF_INET) inet_ntop(AF_INET, &v4->sin_addr, c->peer_text, sizeof c->peer_text);
    else if (c->peer.ss_family == AF_INET6) inet_ntop(AF_INET6, &v6->sin6_addr, c->peer_text, sizeof c->peer_text);
    else memcpy(c->peer_text, "unix", 5);
    return str_of(c->peer_text);
}

/* ---- making --------------------------------------------------------------------------------------------------------------------- */
static size_t tail_size(void) {
    static _Atomic size_t max; /* of all codecs: which one it will be is not known yet. The same whoever computes it */
    if (!max) {
        size_t m = 16;
        for (size_t i = 0; i < codec_count(); i++) {
            if (codec_at(i)->session_size > m) m = codec_at(i)->session_size;
        }
        max = m;
    }
    return max;
}
static struct conn *conn_new(struct worker *w, int fd, struct tls *tls, enum codec_role role, const struct codec_events *ev,
                             const struct conn_owner *owner, void *owner_data, void *const *options, const struct conn_times *times) {
    struct conn *c = mem_zalloc(sizeof *c + tail_size());
    c->w = w;
    c->fd = fd;
    c->tls = tls;
    c->ev = ev;
    c->owner = owner;
    c->owner_data = owner_data;
    c->options = options;
    c->times = *times;
    c->timer.fire = on_timer;
    c->since = c->moved = w->now;
    buffer_init(&c->in, CONN_KEPT_MAX);
    buffer_init(&c->backlog, 0);
    c->session.role = role;
    c->session.ev = ev;
    c->session.secure = tls != NULL;
    c->session.wake = INSTANT_NEVER;
    list_init(&c->session.legs);
    list_push(&w->conns, &c->all);
    w->nconns++;
    w->os->watch(w, c);
    return c;
}

static void conn_open_session(struct conn *c, const struct codec *codec) {
    struct session *s = &c->session;
    s->codec = codec;
    c->session_open = true;
    s->conf = c->options ? c->options[codec_index(codec)] : NULL;
    conn_set_state(c, CONN_OPEN);
    codec->open(s, c->w->now);
    conn_touch(c);
    if (c->owner->on_open) c->owner->on_open(c);
}

struct conn *conn_accepted(struct worker *w, int fd, struct tls *tls, const struct codec *codec, const struct codec_events *ev,
                           const struct conn_owner *owner, void *owner_data, void *const *options, const struct conn_times *times,
                           const struct sockaddr_storage *peer, socklen_t peer_len, bool trusted) {
    struct conn *c = conn_new(w, fd, tls, CODEC_DOWN, ev, owner, owner_data, options, times);
    c->peer = *peer;
    c->peer_len = peer_len;
    c->session.trusted = trusted;
    c->connected = c->writable = true;
    c->readable = true; /* what came before the watch gives an edge too, but a turn earlier is a turn earlier */
    list_push(&w->ready, &c->ready);
    if (codec && !tls) conn_open_session(c, codec);
    else conn_set_state(c, CONN_OPENING);
    return c;
}

struct conn *conn_connect(struct worker *w, const struct sockaddr *to, socklen_t len, struct tls *(*make_tls)(int fd, void *arg), void *arg,
                          const struct codec *codec, const struct codec_events *ev, const struct conn_owner *owner, void *owner_data,
                          void *const *options, const struct conn_times *times, int *err) {
    int fd = w->os->connect(to, len);
    if (fd < 0) return *err = -fd, NULL;
    struct tls *tls = make_tls ? make_tls(fd, arg) : NULL;
    if (make_tls && !tls) return w->os->close(fd, false), *err = ENOMEM, NULL;
    struct conn *c = conn_new(w, fd, tls, CODEC_UP, ev, owner, owner_data, options, times);
    c->session.codec = codec; /* known, but not open: conn_opening opens it */
    memcpy(&c->peer, to, len);
    c->peer_len = len;
    conn_set_state(c, CONN_OPENING);
    return c;
}

/* ---- the end --------------------------------------------------------------------------------------------------------------------- */
static void say_gone(struct conn *c, const struct fault *f) {
    if (c->gone_said) return;
    c->gone_said = true;
    if (c->owner->on_gone) c->owner->on_gone(c, f);
}
static void conn_die(struct conn *c, bool reset) {
    if (c->state == CONN_DEAD) return;
    struct worker *w = c->w;
    say_gone(c, NULL);
    w->os->unwatch(w, c); /* at once: the descriptor closes at the end of the turn, and may be another's in the next */
    wheel_disarm(&w->wheel, &c->timer);
    list_del(&c->ready);
    list_del(&c->touched);
    list_del(&c->beating);
    c->state = CONN_DEAD;
    c->error_seen = reset;
    list_push(&w->reap, &c->reap);
}
void conn_free(struct conn *c) {
    assert(c->state == CONN_DEAD && c->session.live == 0);
    struct worker *w = c->w;
    if (c->owner->on_freed) c->owner->on_freed(c);
    if (c->session_open) c->session.codec->close(&c->session);
    if (c->tls) tls_free(c->tls);
    w->os->close(c->fd, c->error_seen);
    buffer_free(&c->in);
    buffer_free(&c->backlog);
    list_del(&c->all);
    list_del(&c->node);
    list_del(&c->reap);
    w->nconns--;
    free(c);
}

void conn_lose(struct conn *c, const struct fault *f, bool reset) {
    if (c->state == CONN_DEAD) return;
    bool open = c->state == CONN_OPEN || c->state == CONN_FLUSHING;
    if (open) {
        c->session.codec->lost(&c->session, f);
        assert(c->session.live == 0);
    }
    say_gone(c, f);
    conn_die(c, reset);
}

static bool wants_linger(const struct conn *c) {
    if (c->session.role != CODEC_DOWN || c->fin_read) return false;
    return c->unread || c->paused || !buffer_is_empty(&c->in);
}
static void conn_finish(struct conn *c) {
    if (c->tls) tls_shutdown(c->tls);
    if (!wants_linger(c)) {
        conn_die(c, false);
        return;
    }
    /* Closing with unread input makes the kernel send RST, which may destroy the answer in the peer's buffer (RFC 9112 9.6). */
    if (!c->half_closed) c->w->os->shut_write(c->fd);
    c->half_closed = true;
    c->paused = false;
    if (!c->feeding) buffer_free(&c->in); /* else somebody up the stack reads it, and bodies may borrow from it */
    conn_set_state(c, CONN_LINGERING);
    if (c->readable && !list_is_linked(&c->ready)) list_push(&c->w->ready, &c->ready);
}
void conn_close(struct conn *c) {
    if (c->state == CONN_OPENING) {
        conn_die(c, false);
    } else if (c->state == CONN_OPEN) {
        say_gone(c, NULL);
        conn_set_state(c, CONN_FLUSHING);
        if (buffer_is_empty(&c->backlog) && !c->session.wants_output) conn_finish(c);
    }
}
static void shutdown_now(struct conn *c, bool final) {
    if (c->state == CONN_OPENING) {
        conn_die(c, false);
    } else if (c->state == CONN_OPEN) {
        c->session.codec->shutdown(&c->session, final);
        conn_touch(c);
    }
}
void conn_shutdown(struct conn *c, bool final) {
    bool down = c->session.role == CODEC_DOWN;
    if (final || (!down && c->state != CONN_OPENING)) {
        shutdown_now(c, final);
    } else if (down && c->state <= CONN_OPEN) { /* a request may be in the socket: to close now would reset it */
        c->leaving = c->readable = true;
        if (!list_is_linked(&c->ready)) list_push(&c->w->ready, &c->ready);
    }
}
static void conn_leave(struct conn *c) {
    c->leaving = false;
    shutdown_now(c, false);
}

/* ---- the beat --------------------------------------------------------------------------------------------------------------------------- */
/* Small segments, not cycles, are what a busy multiplexed connection costs: it is served at most once a beat, so that what came and what is to
 * go meanwhile shares a read and a write. Endings, bulk and everything else are served at once. */
static bool conn_is_busy(const struct conn *c) {
    const struct session *s = &c->session;
    return c->state == CONN_OPEN && s->live >= BEAT_LEGS && s->codec->coalesce && !c->urgent && c->w->beat.ns > 0;
}
static bool conn_waits(struct conn *c) {
    if (!conn_is_busy(c) || c->last_read >= BEAT_BULK || c->w->bulk == c->w->turn) return false;
    if (c->turn == c->w->turn) return false; /* what its own bytes caused is written in the turn that read them */
    if (!instant_before(c->w->now, instant_add(c->turned, c->w->beat))) return false;
    if (!list_is_linked(&c->beating)) list_push(&c->w->beating, &c->beating);
    return true;
}
/* An ending that is written out of turn is no beat: who still waits to be read goes on waiting, for no longer than before. */
static void conn_serves(struct conn *c) {
    c->turn = c->w->turn;
    c->w->worked = true;
    if (!list_is_linked(&c->beating)) c->turned = c->w->now;
}
void conn_beat(struct conn *c) {
    list_del(&c->beating);
    c->turned = (instant){ 0 };
    if (!list_is_linked(&c->ready)) list_push(&c->w->ready, &c->ready);
}

/* ---- reading ------------------------------------------------------------------------------------------------------------------------ */
static ssize_t conn_recv(struct conn *c, void *p, size_t n) {
    if (!c->tls) return c->w->os->recv(c->fd, p, n);
    size_t got = 0;
    enum tls_io io = tls_read(c->tls, p, n, &got);
    if (got > 0) return (ssize_t)got; /* why it stopped is said again by the next call */
    if (io == TLS_EOF) return 0;
    if (io != TLS_LOST) return -EAGAIN;
    return tls_loss(c->tls) == TLS_LOSS_CUT ? -ESHUTDOWN : -ECONNRESET;
}
static void conn_peer_lost(struct conn *c, const char *say) {
    struct fault f = { .why = c->session.role == CODEC_DOWN ? ENDING_CLIENT_RESET : ENDING_UPSTREAM_CLOSED, .say = say };
    if (c->state == CONN_OPENING && c->session.role == CODEC_UP) f.why = ENDING_CONNECT_FAILURE, f.unprocessed = true;
    conn_lose(c, &f, false);
}

static bool leg_is_full(const struct conn *c) {
    if (!c->session.codec || c->session.codec->flow != FLOW_SESSION) return false;
    LIST_EACH((struct list *)(uintptr_t)&c->session.legs, g, struct leg, node) {
        if (g->uncredited >= BODY_WINDOW) return true;
    }
    return false;
}
void conn_pace(struct conn *c) {
    bool pause = leg_is_full(c) || buffer_is_full(&c->in);
    if (c->paused && !pause && c->readable && !list_is_linked(&c->ready)) list_push(&c->w->ready, &c->ready);
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
/* Feeds what was kept, until the codec wants no more of it. */
static void conn_feed_kept(struct conn *c) {
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

/* ---- opening ----------------------------------------------------------------------------------------------------------------------------- */
/* The codec of a cleartext client by its first bytes; NULL: too few yet. */
static const struct codec *conn_probe(const uint8_t *p, size_t n) {
    const struct codec *plain = NULL;
    bool more = false;
    for (size_t i = 0; i < codec_count(); i++) {
        const struct codec *k = codec_at(i);
        if (!(k->roles & CODEC_DOWN)) continue;
        if (k->default_plain) plain = k;
        enum codec_probe says = k->probe ? k->probe(p, n) : PROBE_NO;
        if (says == PROBE_YES) return k;
        more |= says == PROBE_MORE;
    }
    return more ? NULL : plain;
}
static const struct codec *codec_of_alpn(struct str alpn) {
    for (size_t i = 0; i < codec_count(); i++) {
        const struct codec *k = codec_at(i);
        if (alpn.n ? k->alpn && str_eq(alpn, str_of(k->alpn)) : k->default_plain) return k;
    }
    return NULL;
}
static void conn_opening_client(struct conn *c, const uint8_t *p, size_t n) {
    buffer_append(&c->in, p, n);
    const struct codec *k = conn_probe(buffer_data(&c->in), buffer_size(&c->in));
    if (!k) return;
    conn_open_session(c, k);
    conn_feed_kept(c);
    conn_touch(c);
}
/* Whoever scans a port makes a handshake fail: that is counted, and said to who asks. An upstream's is an operator's business. */
static enum log_level handshake_level(const struct conn *c) { return c->session.role == CODEC_UP ? LOG_INFO : LOG_DEBUG; }
/* True: the connection carries bytes of its session now, or its first ones are to be looked at. */
static bool conn_opening(struct conn *c) {
    if (!c->connected) {
        if (!c->writable) return false;
        int err = c->w->os->so_error(c->fd);
        if (err) {
            struct fault f = { .why = err == ETIMEDOUT ? ENDING_CONNECT_TIMEOUT : ENDING_CONNECT_FAILURE, .unprocessed = true, .wire = (uint32_t)err,
                               .say = err == ECONNREFUSED ? "connection refused" : "the connection could not be made" };
            conn_lose(c, &f, false);
            return false;
        }
        c->connected = true;
        c->moved = c->w->now;
    }
    const struct codec *codec = c->session.codec;
    if (c->tls) {
        enum tls_io io = tls_handshake(c->tls);
        if (io == TLS_LOST || io == TLS_EOF) {
            log_at(handshake_level(c), "tls", "%.*s: handshake failed: %s", STR_ARG(conn_peer_text(c)), tls_error(c->tls));
            conn_peer_lost(c, "the TLS handshake failed");
            return false;
        }
        if (io != TLS_DONE) return false;
        const struct codec *agreed = codec_of_alpn(tls_alpn(c->tls));
        if (!agreed || (codec && codec != agreed)) { /* RFC 9113 3.2: over TLS no protocol but the agreed one, or the default */
            log_at(handshake_level(c), "tls", "%.*s: %s was not agreed on by ALPN", STR_ARG(conn_peer_text(c)), codec ? codec->name : "no protocol");
            conn_peer_lost(c, "the protocol was not agreed on by ALPN");
            return false;
        }
        codec = agreed;
    } else if (!codec && c->session.role == CODEC_UP) {
        codec = codec_of_alpn((struct str){ 0 });
    }
    if (codec) conn_open_session(c, codec);
    return c->state != CONN_DEAD;
}

/* One piece of reading. False: no more this turn. */
static bool conn_read(struct conn *c, size_t *share) {
    struct worker *w = c->w;
    if (!list_is_empty(&w->borrowers)) worker_settle_borrowed(w); /* before the scratch is used again */
    if (c->state == CONN_DEAD || c->paused) return false;
    ssize_t n = conn_recv(c, w->scratch, SCRATCH_BYTES);
    if (n > 0) {
        size_t got = (size_t)n;
        c->bytes_in += got;
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
    } else if (n != -EAGAIN && n != -EINTR) {
        conn_peer_lost(c, n == -ESHUTDOWN ? "the peer closed the connection without close_notify" : "the peer reset the connection");
    } else if (n == -EINTR) {
        c->readable = true;
    }
    return n == -EINTR;
}

void conn_note(struct conn *c, unsigned what) {
    if (c->state == CONN_DEAD) return;
    if (what & (OS_READ | OS_CLOSED)) c->readable = true;
    if (what & OS_WRITE) c->writable = true;
    if (what & OS_CLOSED) c->fin = c->urgent = true;
    if (!list_is_linked(&c->ready)) list_push(&c->w->ready, &c->ready);
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
void conn_serve(struct conn *c) {
    list_del(&c->ready);
    if (conn_waits(c)) return;
    list_del(&c->beating);
    conn_serves(c);
    if (c->state == CONN_OPENING && !conn_opening(c)) {
        if (c->leaving) conn_leave(c);
        return;
    }
    size_t share = CONN_READ_SHARE;
    c->last_read = 0;
    while (c->state != CONN_DEAD && c->readable && !c->paused && conn_read(c, &share) && !conn_lets_gather(c)) { }
    if (c->state != CONN_DEAD && c->paused) conn_look(c); /* also where it was paused just now: this edge was the last */
    if (c->leaving) conn_leave(c);
    if (c->state == CONN_DEAD) return;
    if (c->readable && !c->paused) list_push(&c->w->ready, &c->ready); /* its share is used up */
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
    return n;
}
/* The peer will not take what we say. What it said before it left may still be in the socket: an answer that came ahead of the reset counts. */
static void conn_write_failed(struct conn *c) {
    c->writable = false;
    buffer_free(&c->backlog);
    if (c->state == CONN_OPEN && c->session.role == CODEC_UP && !c->error_seen) {
        c->error_seen = true;
        c->readable = true;
        if (!list_is_linked(&c->ready)) list_push(&c->w->ready, &c->ready);
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
        if (c->tls) tls_shutdown(c->tls);
        else if (!c->half_closed) c->w->os->shut_write(c->fd);
        c->half_closed = true;
        s->next = NEXT_MORE;
    } else if (s->next == NEXT_CLOSE || c->state == CONN_FLUSHING) {
        say_gone(c, NULL);
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
    bool turn = s->wants_output || (s->wants_feed && !c->feeding) || s->next != NEXT_MORE; /* who feeds it goes on by itself */
    if (turn && !list_is_linked(&c->touched)) list_push(&c->w->touched, &c->touched);
    conn_arm(c);
}
