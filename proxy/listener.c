// SPDX-License-Identifier: Apache-2.0
// Accepting: see listener.h.
#define _GNU_SOURCE /* accept4 */
#include "proxy/listener.h"
#include "proxy/tls.h"
#include "proxy/worker.h"
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define REST span_ms(50)  /* after a failure of accept: the event is level-triggered, and what it tells of goes on */
#define COMPLAIN_EVERY span_s(1)
#define ACCEPT_SHARE 64 /* connections of one turn: a burst of clients does not starve those who are here */

/* A unix socket's file that nobody listens on any more is in the way of the next start. */
static void remove_stale(const struct address *a) {
    struct stat st;
    char path[sizeof(struct sockaddr_un)];
    snprintf(path, sizeof path, "%.*s", STR_ARG(a->host));
    if (lstat(path, &st) || !S_ISSOCK(st.st_mode)) return;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0) return;
    if (connect(fd, (const void *)&a->sa, a->len) && errno == ECONNREFUSED) unlink(path);
    close(fd);
}
int listener_open(const struct listener_conf *conf, const char **say) {
    const struct address *a = &conf->address;
    int one = 1;
    int fd = socket(a->sa.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) return *say = strerror(errno), -1;
    if (a->kind == ADDRESS_UNIX) {
        remove_stale(a);
    } else {
        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
        setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &one, sizeof one);
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one); /* accepted sockets inherit it */
    }
    if (bind(fd, (const void *)&a->sa, a->len) || listen(fd, (int)conf->backlog)) {
        *say = strerror(errno);
        close(fd);
        return -1;
    }
    return fd;
}
void listener_remove_file(const struct listener_conf *conf) {
    const struct sockaddr_un *un = (const void *)&conf->address.sa;
    if (conf->address.kind == ADDRESS_UNIX) unlink(un->sun_path);
}

static void on_client_open(struct conn *c) {
    if (c->tls) metric_inc(&c->w->metrics, METRIC_TLS_HANDSHAKES);
}
static void on_client_gone(struct conn *c, const struct fault *f) {
    (void)f;
    if (c->tls && !c->session_open) metric_inc(&c->w->metrics, METRIC_TLS_HANDSHAKE_FAILURES);
}
static void on_client_freed(struct conn *c) {
    struct worker_metrics *m = &c->w->metrics;
    metric_dec(m, METRIC_CONNECTIONS_OPEN);
    if (--listener_of(c)->nconns == 0) leaving_end(&listener_of(c)->leaving);
    c->w->nclients--;
    snapshot_unref(listener_of(c)->snapshot);
}
static const struct conn_owner client_owner = {
    .on_open = on_client_open, .on_gone = on_client_gone, .on_freed = on_client_freed,
    .bytes_in = METRIC_DOWN_BYTES_IN, .bytes_out = METRIC_DOWN_BYTES_OUT,
};

bool listener_has(const struct listener *l, const struct conn *c) { return c->owner == &client_owner && listener_of(c) == l; }

static bool has_room(const struct listener *l) {
    const struct worker *w = l->w;
    if (w->max_clients && w->nclients >= w->max_clients) return false;
    return !l->conf->max_connections || l->nconns < (size_t)config_share(l->conf->max_connections, w->count, w->index);
}
void listener_take(struct listener *l, int fd, const struct sockaddr_storage *peer, socklen_t len) {
    struct worker_metrics *m = &l->w->metrics;
    metric_inc(m, METRIC_CONNECTIONS);
    if (!has_room(l)) {
        metric_inc(m, METRIC_CONNECTIONS_REFUSED);
        l->w->os->close(fd, false);
        return;
    }
    struct tls *tls = l->tls ? tls_accept(l->tls, fd) : NULL;
    if (l->tls && !tls) {
        l->w->os->close(fd, false);
        return;
    }
    l->nconns++;
    l->w->nclients++;
    metric_inc(m, METRIC_CONNECTIONS_OPEN);
    snapshot_ref(l->snapshot);
    bool trusted = trust_has(&l->conf->trust, peer);
    struct conn *c = conn_accepted(l->w, fd, tls, NULL, l->ev, &client_owner, l, l->conf->options, &l->times, peer, len, trusted);
    c->lease = lease_ref(l->snapshot->lease);
}
/* accept(2) failed for want of something: who waits stays in the kernel's queue. */
static void take_rest(struct listener *l, int err) {
    struct worker *w = l->w;
    metric_inc(&w->metrics, METRIC_CONNECTIONS_REFUSED);
    event_del(&l->event);
    wheel_arm(&w->wheel, &l->rest, instant_add(w->now, REST));
    if (l->complained.ns && instant_before(w->now, instant_add(l->complained, COMPLAIN_EVERY))) return;
    l->complained = w->now;
    log_error("listener", "%.*s: cannot accept: %s", STR_ARG(l->name), strerror(err));
}
static void on_rested(struct timer *t, instant now) {
    (void)now;
    event_add(&CONTAINER_OF(t, struct listener, rest)->event, NULL);
}
static bool accept_one(struct listener *l) {
    struct sockaddr_storage peer = { 0 };
    socklen_t len = sizeof peer;
    int fd = accept4(l->fd, (void *)&peer, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0) {
        int err = errno;
        if (err == ECONNABORTED || err == EINTR) return true;
        if (err != EAGAIN) take_rest(l, err);
        return false;
    }
    listener_take(l, fd, &peer, len);
    return true;
}
static void on_accept(evutil_socket_t fd, short what, void *arg) {
    (void)fd, (void)what;
    struct listener *l = arg;
    l->w->now = l->w->os->now();
    for (int i = 0; i < ACCEPT_SHARE && accept_one(l); i++) { }
}
static void listener_accept_on(struct listener *l, int fd) {
    l->fd = fd;
    if (fd < 0) return;
    event_assign(&l->event, l->w->base, fd, EV_READ | EV_PERSIST, on_accept, l); /* level-triggered: what one turn leaves the next one gets */
    event_add(&l->event, NULL);
}
struct listener *listener_new(struct worker *w, const struct listener_conf *conf, struct str name, int fd, const struct codec_events *ev) {
    struct listener *l = mem_zalloc(sizeof *l);
    *l = (struct listener){ .w = w, .snapshot = w->snapshot, .conf = conf, .name = name, .ev = ev, .rest = { .fire = on_rested } };
    l->leaving.listener = l;
    if (conf->tls) l->tls = tls_server_ref(conf->tls->built);
    l->times = (struct conn_times){ conf->tls ? conf->timeouts.tls_handshake : conf->timeouts.idle, conf->timeouts.header, conf->timeouts.idle,
                                    conf->timeouts.write, conf->timeouts.linger, config_per_byte(conf->timeouts.min_rate) };
    listener_accept_on(l, fd);
    return l;
}
static int listener_release(struct listener *l) { /* -1: it has none */
    int fd = l->fd;
    if (fd < 0) return fd;
    wheel_disarm(&l->w->wheel, &l->rest);
    event_del(&l->event);
    l->fd = -1;
    return fd;
}
static void listener_close(struct listener *l) {
    int fd = listener_release(l);
    if (fd >= 0) close(fd);
}
void listener_stop(struct listener *l) {
    while (l->fd >= 0 && accept_one(l)) { } /* SO_REUSEPORT: what waits in this queue would be lost */
    listener_close(l);
}
void listener_free(struct listener *l) {
    listener_close(l); /* nobody is taken any more: a client would outlive its listener */
    leaving_end(&l->leaving);
    tls_server_unref(l->tls);
    free(l);
}
/* ---- from one snapshot to the next ---------------------------------------------------------------------------------------------------- */
void listener_succeed(struct listener *l, struct listener *before, bool clients_stay) {
    int fd = listener_release(before);
    if (fd >= 0 && before->conf->backlog != l->conf->backlog) listen(fd, (int)l->conf->backlog);
    listener_accept_on(l, fd);
    if (clients_stay) before->heir = l;
}
static void move_client(struct conn *c, struct listener *from, struct listener *to) {
    snapshot_ref(to->snapshot);
    from->nconns--;
    to->nconns++;
    c->owner_data = to;
    c->session.trusted = trust_has(&to->conf->trust, &c->peer);
    snapshot_unref(from->snapshot);
    conn_retime(c, &to->times);
}
void listener_move_clients(struct worker *w, const struct snapshot *before, span time) {
    LIST_EACH(&w->conns, c, struct conn, all) {
        struct listener *l = c->owner == &client_owner ? listener_of(c) : NULL;
        if (!l || l->snapshot != before) continue;
        if (l->heir) move_client(c, l, l->heir);
        else conn_shutdown(c, false);
    }
    for (size_t i = 0; i < before->nlisteners; i++) {
        struct listener *l = before->listeners[i];
        if (!l->heir && l->nconns > 0) leaving_begin(&l->leaving, w, time);
    }
}
