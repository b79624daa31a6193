// SPDX-License-Identifier: Apache-2.0
// Tells whoever started the program how it is, by the protocol of sd_notify(3): systemd's Type=notify waits for it, and so can a container's engine.
// Without the library of that name, since it is one datagram.
#ifndef CURFEW_PROXY_NOTIFY_H
#define CURFEW_PROXY_NOTIFY_H

/* Sends the assignments, such as "READY=1", to the socket that $NOTIFY_SOCKET names. Nothing where it names none; where it cannot be asked, which the
 * log says, the program goes on. Waits while the supervisor has too much to read, as others do: for the main thread. */
void notify_supervisor(const char *state);
#endif
