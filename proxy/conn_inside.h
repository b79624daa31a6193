// SPDX-License-Identifier: Apache-2.0
// What the files of a connection share, and nobody else: its life (conn.c), how it gets its session (conn_open.c), its bytes (conn_io.c).
#ifndef CURFEW_PROXY_CONN_INSIDE_H
#define CURFEW_PROXY_CONN_INSIDE_H
#include "proxy/conn.h"
#include "proxy/worker.h"

/* It is served in this turn, if its list is not begun, else in the next one. */
static inline void conn_ready(struct conn *c) {
    if (!list_is_linked(&c->ready)) list_push(&c->w->ready, &c->ready);
}

/* conn.c */
void conn_arm(struct conn *c);                              /* after anything that a limit of time hangs on */
void conn_set_state(struct conn *c, enum conn_state state);
void conn_open_session(struct conn *c, const struct codec *codec);
void conn_say_gone(struct conn *c, const struct fault *f);  /* to its owner, once; f NULL: in good order */
void conn_die(struct conn *c, bool reset);                  /* its legs are closed. reset: by RST */
void conn_finish(struct conn *c);                           /* all was said: FIN, once it loses nothing; what comes still is thrown away */
void conn_leave(struct conn *c);                            /* told to go: what had come was read */
/* conn_open.c */
bool conn_opening(struct conn *c);                          /* true: it carries bytes of its session now, or its first ones are to be looked at */
void conn_opening_client(struct conn *c, const uint8_t *p, size_t n); /* the first bytes of a cleartext client */
/* conn_io.c */
void conn_feed_kept(struct conn *c);                        /* what was kept, until the codec wants no more of it */
void conn_peer_lost(struct conn *c, const char *say);       /* by the peer's doing */
#endif
