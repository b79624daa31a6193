// SPDX-License-Identifier: Apache-2.0
// One datagram to the supervisor: see notify.h.
#define _GNU_SOURCE /* strerrordesc_np */
#include "proxy/notify.h"
#include "core/log.h"
#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

/* False: the name is none of a socket. sd_notify(3): a path, or after '@' a name outside the file system. */
static bool address_of(const char *name, struct sockaddr_un *un, socklen_t *len) {
    size_t n = strlen(name);
    *un = (struct sockaddr_un){ .sun_family = AF_UNIX };
    if ((name[0] != '/' && name[0] != '@') || n < 2 || n >= sizeof un->sun_path) return false;
    memcpy(un->sun_path, name, n);
    if (name[0] == '@') un->sun_path[0] = '\0';
    *len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n + (name[0] == '/'));
    return true;
}

static bool send_to(const struct sockaddr_un *un, socklen_t len, const char *state) {
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0) return false;
    ssize_t sent = sendto(fd, state, strlen(state), MSG_NOSIGNAL, (const struct sockaddr *)un, len);
    int why = errno;
    close(fd);
    errno = why;
    return sent >= 0;
}

void notify_supervisor(const char *state) {
    const char *name = getenv("NOTIFY_SOCKET");
    struct sockaddr_un un;
    socklen_t len;
    if (!name || !*name) return;
    errno = EINVAL;
    if (!address_of(name, &un, &len) || !send_to(&un, len, state)) {
        log_warn("gateway", "%s could not be told to NOTIFY_SOCKET %s: %s", state, name, strerrordesc_np(errno));
    }
}
