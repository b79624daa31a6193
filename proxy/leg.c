// SPDX-License-Identifier: Apache-2.0
// The Q entries of a leg with the book-keeping of the core around them: see leg.h.
#include "proxy/leg.h"
#include "proxy/worker.h"
#include <assert.h>

size_t leg_tail_max(void) {
    size_t max = 0;
    for (size_t i = 0; i < codec_count(); i++) {
        if (codec_at(i)->leg_size > max) max = codec_at(i)->leg_size;
    }
    return max;
}
void leg_join(struct leg *g, struct session *s, struct arena *a) {
    assert(!g->session);
    g->session = s;
    g->arena = a;
    list_push(&s->legs, &g->node);
    s->live++;
}
void leg_begin(struct leg *g) { g->session->codec->begin(g->session, g); }
void leg_send_head(struct leg *g, const struct head *h) {
    if (!g->session) return;
    g->session->codec->send_head(g, h);
    conn_touch(conn_of(g->session));
}
void leg_ready(struct leg *g) {
    if (!g->session) return;
    g->session->codec->ready(g);
    conn_touch(conn_of(g->session));
}
void leg_send_trailers(struct leg *g, const struct head *trailers) {
    if (!g->session) return;
    g->session->codec->send_trailers(g, trailers);
    conn_touch(conn_of(g->session));
}
void leg_credit(struct leg *g, size_t n) {
    assert(n <= g->uncredited);
    g->uncredited -= n;
    if (!g->session || n == 0) return;
    g->session->codec->credit(g, n);
    struct conn *c = conn_of(g->session);
    if (c->paused && g->uncredited <= BODY_WINDOW / 2) conn_pace(c);
    conn_touch(c);
}
enum cancel_way leg_cancel(struct leg *g, enum ending why, enum reset_word said, enum cancel_way want) {
    if (!g->session) return CANCEL_NONE;
    struct conn *c = conn_of(g->session);
    enum cancel_way did = g->session->codec->cancel(g, why, said, want);
    c->urgent = true;
    conn_touch(c);
    return did;
}
void leg_hurry(struct leg *g) {
    if (g->session) conn_of(g->session)->urgent = true;
}
void leg_received(struct leg *g, size_t n) { g->uncredited += n; }
void leg_leave(struct leg *g) {
    struct session *s = g->session;
    if (!s) return;
    struct conn *c = conn_of(s);
    list_del(&g->node);
    g->session = NULL;
    assert(s->live > 0);
    s->live--;
    if (g->in != LEG_END) c->unread = true;
    if (s->live == 0) c->since = c->w->now;
    conn_touch(c);
}
