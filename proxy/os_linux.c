// SPDX-License-Identifier: Apache-2.0
// The real system: sockets, CLOCK_MONOTONIC, and libevent for waiting. One persistent edge-triggered event a connection, registered once and never
// changed: so an epoll_ctl a connection, none a request. A timerfd of our own, set only when the earliest instant moves forward, since libevent's
// timeouts round up to a millisecond and PRECISE_TIMER costs a system call a turn.
#include "core/arena.h"
#include "proxy/worker.h"
#include <assert.h>
#include <errno.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/ioctl.h>
#include <sys/random.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

static int64_t clock_ns(clockid_t id) {
    struct timespec t;
    clock_gettime(id, &t);
    return (int64_t)t.tv_sec * NS_PER_S + t.tv_nsec;
}
static instant linux_now(void) { return (instant){ clock_ns(CLOCK_MONOTONIC) }; }
static int64_t linux_wall_ns(void) { return clock_ns(CLOCK_REALTIME); }
static ssize_t linux_recv(int fd, void *p, size_t n) {
    ssize_t r = recv(fd, p, n, 0);
    return r < 0 ? -errno : r;
}
static ssize_t linux_send(int fd, const struct iovec *iov, unsigned niov) {
    ssize_t r;
    if (niov == 1) {
        r = send(fd, iov->iov_base, iov->iov_len, MSG_NOSIGNAL);
    } else {
        struct msghdr m = { .msg_iov = (struct iovec *)(uintptr_t)iov, .msg_iovlen = niov };
        r = sendmsg(fd, &m, MSG_NOSIGNAL);
    }
    return r < 0 ? -errno : r;
}
static int linux_connect(const struct sockaddr *to, socklen_t len) {
    int fd = socket(to->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) return -errno;
    int one = 1;
    if (to->sa_family != AF_UNIX) setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    if (connect(fd, to, len) == 0 || errno == EINPROGRESS) return fd;
    int err = errno;
    close(fd);
    return -err;
}
static int linux_so_error(int fd) {
    int err = 0;
    socklen_t len = sizeof err;
    if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &err, &len)) return errno;
    return err;
}
static size_t linux_unsent(int fd) {
    int n = 0;
    return ioctl(fd, SIOCOUTQ, &n) == 0 && n > 0 ? (size_t)n : 0;
}
static void linux_shut_write(int fd) { shutdown(fd, SHUT_WR); }
static void linux_close(int fd, bool reset) {
    struct linger now = { .l_onoff = 1, .l_linger = 0 };
    if (reset) setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
    close(fd);
}
static void on_event(evutil_socket_t fd, short what, void *arg) {
    (void)fd;
    conn_note(arg, (what & EV_READ ? OS_READ : 0u) | (what & EV_WRITE ? OS_WRITE : 0u) | (what & EV_CLOSED ? OS_CLOSED : 0u));
}
static void linux_watch(struct worker *w, struct conn *c) {
    event_assign(&c->event, w->base, c->fd, EV_READ | EV_WRITE | EV_CLOSED | EV_ET | EV_PERSIST, on_event, c);
    event_add(&c->event, NULL);
}
static void linux_unwatch(struct worker *w, struct conn *c) {
    (void)w;
    event_del(&c->event);
}
static void linux_wake_at(struct worker *w, instant at) {
    struct itimerspec t = { .it_value = { at.ns / NS_PER_S, at.ns % NS_PER_S } };
    if (at.ns <= 0) t.it_value = (struct timespec){ 0, 1 };
    timerfd_settime(w->timer_fd, TFD_TIMER_ABSTIME, &t, NULL);
}
static uint64_t linux_seed(void) {
    uint64_t seed = 0;
    if (getrandom(&seed, sizeof seed, GRND_NONBLOCK) != sizeof seed) seed = (uint64_t)clock_ns(CLOCK_REALTIME);
    return seed;
}
const struct os os_linux = {
    .now = linux_now, .wall_ns = linux_wall_ns, .recv = linux_recv, .send = linux_send, .connect = linux_connect, .so_error = linux_so_error,
    .unsent = linux_unsent, .shut_write = linux_shut_write, .close = linux_close, .watch = linux_watch, .unwatch = linux_unwatch, .wake_at = linux_wake_at, .seed = linux_seed,
};
