// SPDX-License-Identifier: Apache-2.0
// The contexts under way, of all workers, for the admin address. A worker is asked through its mailbox and answers in its own turn, so that nothing
// of an exchange is read by another thread. Admin's thread alone calls these.
#ifndef CURFEW_PROXY_CONTEXTS_H
#define CURFEW_PROXY_CONTEXTS_H
#include "proxy/service.h"

#define CONTEXTS_LISTED 1000u       /* of one worker, at most; the oldest first */
#define CONTEXTS_PATIENCE span_s(1) /* a worker that has not answered by then is left out */

/* Answers the call, later: 200 and all that is under way, as JSON. */
void contexts_list(struct service_call *c, struct worker *workers, size_t n);
/* Answers the call, later: 200 where the context of that id (as logs have it) was ended as operator_cancelled, 404 where there is none. */
void contexts_cancel(struct service_call *c, struct worker *workers, size_t n, struct str id);
/* The call is over: from the service's on_gone. */
void contexts_gone(struct service_call *c);
/* Frees what no worker will answer any more. The workers have returned. */
void contexts_stop(void);
#endif
