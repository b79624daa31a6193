// SPDX-License-Identifier: Apache-2.0
// The process's descriptors: as many as may be, and shared out, so that clients that take every one of them do not leave none for the rest.
#ifndef CURFEW_PROXY_DESCRIPTORS_H
#define CURFEW_PROXY_DESCRIPTORS_H
#include "proxy/config.h"

/* Raises the limit, and returns it. Before there are threads. */
int64_t descriptors_raise(void);
/* How many of that limit clients may have, of so many workers together; what upstreams, the log and the admin address need is kept back. Says so. */
int64_t descriptors_of_clients(const struct config *c, int64_t limit, int64_t workers);
#endif
