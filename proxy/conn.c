// SPDX-License-Identifier: Apache-2.0
// The life of a connection, from its making to its end, and the times it may take: see conn.h. Nothing is freed but by conn_free, at the end of
// the turn. Must never look at a protocol: what differs between protocols is data in struct codec.
#include "proxy/conn_inside.h"
#include "proxy/tls.h"
#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>

/* ---- timers ----------------------------------------------------------------------------------------------------------------- */
/* When a write that is stuck is to be looked at: our kernel may hold minutes of a slow peer's bytes before it takes any more of us (trap T6). Half way
 * to its end, for a figure to compare with, and then at that end; not more often where the peer is nearly too slow. */
static bool conn_has_looked(const struct conn *c) { return !instant_before(c->looked, c->moved); }
static instant conn_stuck(const struct conn *c) {
    span w = c->times.write;
    if (span_is_forever(w)) return INSTANT_NEVER;
    if (!conn_has_looked(c)) return instant_add(c->moved, span_ns(w.ns / 2));
    instant end = instant_add(c->moved, w), next = instant_add(c->looked, span_ns(w.ns / CONN_LOOKS));
    return instant_before(end, next) ? next : end;
}
/* The peer acknowledged n more bytes: what they give back of times.write. */
static void conn_regain(struct conn *c, int64_t n, instant now) {
    int64_t each = c->times.per_byte.ns;
    c->moved = each ? instant_min(now, instant_add(c->moved, span_ns(i64_mul_sat(n, each)))) : now;
}
/* False: it is not a slow peer. */
static bool conn_peer_takes(struct conn *c, instant now) {
    if (c->state != CONN_FLUSHING && (c->state != CONN_OPEN || buffer_is_empty(&c->backlog))) return false;
    uint64_t unsent = c->w->os->unsent(c->fd), taken = unsent < c->bytes_out ? c->bytes_out - unsent : 0;
    bool looked = conn_has_looked(c);
    int64_t n = (int64_t)(taken - c->taken);
    c->looked = now;
    c->taken = taken;
    if (looked && n > 0) conn_regain(c, n, now);
    return instant_before(now, instant_add(c->moved, c->times.write));
}
/* Who takes nothing is looked at ever less often: many who never read cost no more than their sockets. */
static instant next_look(const struct conn *c) {
    span still = instant_until(c->moved, c->since);
    span pause = span_min(span_max(CONN_SETTLE, span_ns(still.ns / 4)), span_s(1));
    return instant_min(instant_add(c->since, pause), instant_add(c->moved, c->times.write));
}
/* A stuck write counts from the last byte that the socket took; what else there is to wait for, from the change of state. */
static instant conn_limit(const struct conn *c) {
    switch ((enum conn_state)c->state) {
    case CONN_OPENING: return instant_add(c->since, c->times.opening);
    case CONN_OPEN:
        if (!buffer_is_empty(&c->backlog)) return conn_stuck(c);
        if (c->session.live > 0) return INSTANT_NEVER;
        return instant_add(c->since, c->session.begun ? c->times.header : c->times.idle);
    case CONN_FLUSHING: return conn_stuck(c);
    case CONN_SETTLING: return next_look(c);
    case CONN_LINGERING: return instant_add(c->since, c->times.linger);
    case CONN_DEAD: break;
    }
    return INSTANT_NEVER;
}
/* Lazy: a timer that stands too early fires and arms itself again, so that requests on a busy connection arm nothing. */
void conn_arm(struct conn *c) {
    if (c->state == CONN_DEAD) return;
    instant due = instant_min(conn_limit(c), c->session.wake);
    if (timer_is_armed(&c->timer) ? instant_before(due, c->timer.at) : !instant_is_never(due)) wheel_arm(&c->w->wheel, &c->timer, due);
}
void conn_set_state(struct conn *c, enum conn_state state) {
    c->state = (uint8_t)state;
    c->since = c->w->now;
    if (state == CONN_FLUSHING) c->moved = c->w->now;
    conn_arm(c);
}

void conn_retime(struct conn *c, const struct conn_times *times) {
    c->times = *times;
    conn_arm(c);
}

/* TCP has what the kernel held back within microseconds of having room for it; but no call says when. */
static void conn_settle(struct conn *c) {
    size_t unsent = c->w->os->unsent(c->fd);
    if (unsent == 0 && c->unsent == 0) {
        conn_finish(c);
        return;
    }
    if (unsent < c->unsent) conn_regain(c, (int64_t)(c->unsent - unsent), c->w->now);
    else if (unsent > c->unsent) c->moved = c->w->now; /* what was held back */
    c->unsent = unsent;
    c->since = c->w->now;
    if (unsent > 0 && !instant_before(c->w->now, instant_add(c->moved, c->times.write))) conn_die(c, true);
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
    case CONN_SETTLING: conn_settle(c); return;
    /* Where close_notify is all that is missing, and no kernel holds anything back, what is with TCP may still arrive. */
    case CONN_FLUSHING: conn_die(c, c->settles || c->session.wants_output || !buffer_is_empty(&c->backlog)); return;
    case CONN_LINGERING: conn_die(c, false); return;
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
    if (c->state != CONN_DEAD && !instant_before(now, conn_limit(c)) && !conn_peer_takes(c, now)) conn_expire(c);
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

void conn_open_session(struct conn *c, const struct codec *codec) {
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
void conn_say_gone(struct conn *c, const struct fault *f) {
    if (c->gone_said) return;
    c->gone_said = true;
    if (c->owner->on_gone) c->owner->on_gone(c, f);
}
void conn_die(struct conn *c, bool reset) {
    if (c->state == CONN_DEAD) return;
    struct worker *w = c->w;
    conn_say_gone(c, NULL);
    w->os->unwatch(w, c); /* at once: the descriptor closes at the end of the turn, and may be another's in the next */
    wheel_disarm(&w->wheel, &c->timer);
    list_del(&c->ready);
    list_del(&c->touched);
    list_del(&c->waiting);
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
    lease_unref(c->lease);
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
    conn_say_gone(c, f);
    conn_die(c, reset);
}

static bool wants_linger(const struct conn *c) {
    if (c->session.role != CODEC_DOWN || c->fin_read) return false;
    return c->unread || c->paused || !buffer_is_empty(&c->in);
}
void conn_finish(struct conn *c) {
    if (c->tls && tls_shutdown(c->tls) == TLS_WANT_WRITE && c->session.role == CODEC_DOWN) { /* a cancel waits for nobody */
        c->writable = false;
        if (c->state != CONN_FLUSHING) conn_set_state(c, CONN_FLUSHING);
        return;
    }
    if (c->settles) {
        c->settles = false;
        c->moved = c->w->now;
        c->unsent = c->w->os->unsent(c->fd);
        conn_set_state(c, CONN_SETTLING);
        return;
    }
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
    if (c->readable) conn_ready(c);
}
void conn_close(struct conn *c) {
    if (c->state == CONN_OPENING) {
        conn_die(c, false);
    } else if (c->state == CONN_OPEN) {
        conn_say_gone(c, NULL);
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
        conn_ready(c);
    }
}
void conn_leave(struct conn *c) {
    c->leaving = false;
    shutdown_now(c, false);
}
