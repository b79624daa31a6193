// SPDX-License-Identifier: Apache-2.0
// The gateway: workers over one configuration at a time, from binding to the last drained connection.
#ifndef CURFEW_PROXY_GATEWAY_H
#define CURFEW_PROXY_GATEWAY_H
#include "proxy/config.h"

/* Runs by the configuration that was loaded from that file until SIGTERM or SIGINT drained it, or a second one stopped it. Returns the program's exit
 * code: 0; 1 where it could not start (said on stderr). Signals are blocked here, for all threads, and taken by this one: TERM and INT drain, then
 * stop; USR1 opens the access log anew, HUP reads the file again. */
int gateway_run(struct config *config, const char *path);
#endif
