// SPDX-License-Identifier: Apache-2.0
// Sending an errand: see errand.h. It is the third user of connections: one leg up, nothing down.
#include "proxy/errand.h"
#include "proxy/upstream.h"

static struct errand *errand_of(struct leg *g) { return CONTAINER_OF(g, struct errand, leg); }

/* Its connection serves nobody any more, and has no news for it. */
static void over(struct errand *e, const char *say) {
    struct conn *c = e->conn;
    e->conn = NULL;
    c->owner_data = NULL;
    if (!conn_is_dead(c)) conn_shutdown(c, true);
    e->on_over(e, say);
}

/* ---- the leg's events ---------------------------------------------------------------------------------------------------------------- */
static struct leg *on_open(struct session *s) {
    (void)s;
    return NULL;
}
static void on_head(struct leg *g, const struct head *h) {
    if (!h->interim) errand_of(g)->answer = h;
}
static void on_body(struct leg *g, const uint8_t *p, size_t n, bool copied) {
    (void)copied;
    struct errand *e = errand_of(g);
    size_t room = sizeof e->kept - e->nkept, part_of_it = n < room ? n : room;
    memcpy(e->kept + e->nkept, p, part_of_it);
    e->nkept += part_of_it;
    e->received += n;
    leg_received(g, n);
    leg_credit(g, n);
    if (e->received > ERRAND_ANSWER_MAX) leg_cancel(g, ENDING_UPSTREAM_ERROR, 0, CANCEL_BAND);
}
static void on_end(struct leg *g, const struct head *trailers) { errand_of(g)->trailers = trailers; }
static void on_half_close(struct leg *g) { (void)g; }
static void on_closed(struct leg *g, const struct fault *f) {
    struct errand *e = errand_of(g);
    leg_leave(g);
    if (!e->conn) return; /* it was called off */
    const char *say = f ? f->say ? f->say : "the answer was cut" : NULL;
    over(e, e->received > ERRAND_ANSWER_MAX ? "the answer is too long" : say);
}
static void pull(struct leg *g, size_t max, struct pulled *v) {
    struct errand *e = errand_of(g);
    size_t n = e->body.n - e->given < max ? e->body.n - e->given : max;
    *v = (struct pulled){ .nv = n > 0, .bytes = n };
    v->v[0] = (struct str){ e->body.p + e->given, n };
    e->given += n;
    v->end = e->given == e->body.n;
}
static void pulled(struct leg *g, size_t n) { (void)g, (void)n; }
static void on_slots(struct session *s) { (void)s; }
static void on_named(struct session *s, struct str key) { (void)s, (void)key; }
static void on_session_fault(struct session *s, const struct fault *f) { (void)s, (void)f; }
static const struct codec_events errand_events = {
    .on_slots = on_slots, .on_open = on_open, .on_head = on_head, .on_body = on_body, .on_end = on_end, .on_half_close = on_half_close,
    .on_closed = on_closed, .on_named = on_named, .on_goaway = on_session_fault, .on_fault = on_session_fault, .pull = pull, .pulled = pulled,
};

/* ---- the connection -------------------------------------------------------------------------------------------------------------------- */
static void on_conn_open(struct conn *c) {
    struct errand *e = c->owner_data;
    if (!e->head || c->session.codec->version < e->version) {
        over(e, e->head ? "the upstream speaks a protocol that cannot carry it" : NULL);
        return;
    }
    leg_join(&e->leg, &c->session, e->arena);
    leg_begin(&e->leg);
    leg_send_head(&e->leg, e->head);
    if (e->body.n) leg_ready(&e->leg);
}
static void on_conn_gone(struct conn *c, const struct fault *f) {
    struct errand *e = c->owner_data;
    if (!e || c->session_open) return; /* its leg hears of it */
    e->conn = NULL;
    c->owner_data = NULL;
    e->on_over(e, f && f->say ? f->say : "the connection closed");
}
static const struct conn_owner errand_owner = {
    .on_open = on_conn_open, .on_gone = on_conn_gone, .bytes_in = METRIC_UP_BYTES_IN, .bytes_out = METRIC_UP_BYTES_OUT,
};

int errand_go(struct errand *e, struct upstream *u, struct endpoint *to) {
    size_t from = offsetof(struct errand, answer);
    memset((char *)e + from, 0, sizeof *e - from + leg_tail_max());
    int err = 0;
    e->conn = upstream_dial(u, to, &errand_events, &errand_owner, e, &err);
    return e->conn ? 0 : err;
}
void errand_drop(struct errand *e) {
    static const struct fault off = { .why = ENDING_TRY_TIMEOUT, .say = "it was called off" };
    struct conn *c = e->conn;
    if (!c) return;
    e->conn = NULL;
    c->owner_data = NULL;
    conn_lose(c, &off, true);
}
