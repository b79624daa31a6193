// SPDX-License-Identifier: Apache-2.0
// What the house asks of the system, as a table: sockets and clocks. The real one is os_linux; flow tests bring sockets and a clock of their own.
// Every call is non-blocking. Errors are negative errno values.
#ifndef CURFEW_PROXY_OS_H
#define CURFEW_PROXY_OS_H
#include "core/instant.h"
#include <stdbool.h>
#include <stddef.h>
#include <sys/socket.h>
#include <sys/uio.h>

struct conn;
struct worker;
enum os_what { OS_READ = 1, OS_WRITE = 2, OS_CLOSED = 4 /* the peer's FIN, maybe behind unread bytes */ };
struct os {
    instant (*now)(void);
    int64_t (*wall_ns)(void);
    ssize_t (*recv)(int fd, void *p, size_t n);                         /* 0: FIN; -EAGAIN; -ECONNRESET ... */
    ssize_t (*send)(int fd, const struct iovec *iov, unsigned niov);
    int (*connect)(const struct sockaddr *to, socklen_t len);           /* the descriptor, under way; or negative */
    int (*so_error)(int fd);                                            /* 0, or the pending error, which it takes */
    size_t (*unsent)(int fd);                                           /* bytes that TCP holds for the peer, sent or not, and were not acknowledged */
    void (*shut_write)(int fd);                                         /* FIN */
    void (*close)(int fd, bool reset);                                  /* reset: RST instead of FIN */
    /* Edge-triggered watch for all of os_what, once for the connection's life; conn_note is called with what came. */
    void (*watch)(struct worker *w, struct conn *c);
    void (*unwatch)(struct worker *w, struct conn *c);
    /* Wake the loop at `at` at the latest. */
    void (*wake_at)(struct worker *w, instant at);
    uint64_t (*seed)(void); /* of what is left to chance; NULL: 0 */
};
extern const struct os os_linux;
#endif
