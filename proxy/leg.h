// SPDX-License-Identifier: Apache-2.0
// A leg as the core uses it: the codec's Q entries, which only queue, with what the core keeps beside them: how many legs a session has, how much
// of a body is uncredited, and the session's place on the turn's lists. No effect on a leg that is closed.
#ifndef CURFEW_PROXY_LEG_H
#define CURFEW_PROXY_LEG_H
#include "proxy/conn.h"

/* Bytes behind an up leg, by all codecs: which one an upstream's will be is not known yet. */
size_t leg_tail_max(void);
void leg_join(struct leg *g, struct session *s, struct arena *a);  /* counts it live; up: before begin */
void leg_begin(struct leg *g);
void leg_send_head(struct leg *g, const struct head *h);
void leg_ready(struct leg *g);
void leg_send_trailers(struct leg *g, const struct head *trailers);
void leg_credit(struct leg *g, size_t n);
enum cancel_way leg_cancel(struct leg *g, enum ending why, enum reset_word said, enum cancel_way want);
/* What it has to say waits for no beat: it is an ending. */
void leg_hurry(struct leg *g);
/* From on_body: counts what was given; pauses the connection where its flow is the session's. */
void leg_received(struct leg *g, size_t n);
/* From on_closed: takes the leg off its session. */
void leg_leave(struct leg *g);
#endif
