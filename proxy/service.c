// SPDX-License-Identifier: Apache-2.0
// Calls of a service: see service.h.
#include "proxy/service.h"
#include "proxy/listener.h"
#include <assert.h>

static struct service_call *call_of(struct leg *g) { return CONTAINER_OF(g, struct service_call, leg); }

static struct leg *on_open(struct session *s) {
    struct conn *c = conn_of(s);
    struct worker *w = c->w;
    struct arena a;
    arena_init(&a, &w->arenas);
    struct service_call *k = arena_zalloc(&a, sizeof *k + s->codec->leg_size);
    k->arena = a;
    k->w = w;
    k->conn = c;
    k->service = listener_of(c)->service;
    k->begun = w->now;
    body_init(&k->body, &w->chunks);
    leg_join(&k->leg, s, &k->arena);
    return &k->leg;
}
static void on_head(struct leg *g, const struct head *h) {
    struct service_call *k = call_of(g);
    k->request = h;
    k->service->on_request(k);
}
/* In place of the handler, which does not know the call, or has not answered it and hears no more of it. */
static void on_unfit(struct leg *g, const struct head *h, const struct fault *f) {
    static const struct service nobody;
    struct service_call *k = call_of(g);
    if (h) k->request = h;
    else if (k->service->on_gone) k->service->on_gone(k, f);
    wheel_disarm(&k->w->wheel, &k->timer);
    k->service = &nobody;
    service_answer(k, f->status, STR("text/plain"), arena_printf(&k->arena, "%s\n", f->say));
    leg_cancel(g, ENDING_COMPLETED, 0, CANCEL_DRAIN);
}
static void on_body(struct leg *g, const uint8_t *p, size_t n, bool copied) {
    (void)copied;
    struct service_call *k = call_of(g);
    leg_received(g, n);
    k->received += n;
    if (k->service->on_body) k->service->on_body(k, p, n);
    leg_credit(g, n);
}
static void on_end(struct leg *g, const struct head *trailers) {
    struct service_call *k = call_of(g);
    k->request_ended = true;
    if (k->service->on_end) k->service->on_end(k, trailers);
}
static void on_half_close(struct leg *g) {
    struct service_call *k = call_of(g);
    if (k->service->on_half_close) k->service->on_half_close(k);
    else leg_cancel(g, ENDING_CLIENT_CLOSED, 0, CANCEL_BAND);
}
static void on_closed(struct leg *g, const struct fault *f) {
    struct service_call *k = call_of(g);
    leg_leave(g);
    if (k->service->on_gone) k->service->on_gone(k, f);
    k->conn = NULL;
    wheel_disarm(&k->w->wheel, &k->timer);
    list_push(&k->w->calls, &k->reap); /* the body, too, goes at the end of the turn: what was pulled of it may yet be written */
}
static void pull(struct leg *g, size_t max, struct pulled *v) {
    struct service_call *k = call_of(g);
    body_peek(&k->body, k->offset, max, v);
    k->offset += v->bytes;
}
static void pulled(struct leg *g, size_t n) {
    (void)n;
    struct service_call *k = call_of(g);
    if (k->conn) body_drop(&k->body, k->offset);
}
static void on_slots(struct session *s) { (void)s; }
static void on_named(struct session *s, struct str key) { (void)s, (void)key; }
static void on_fault(struct session *s, const struct fault *f) {
    (void)f;
    conn_of(s)->unread = true;
}
static const struct codec_events service_events = {
    .on_slots = on_slots, .on_open = on_open, .on_head = on_head, .on_unfit = on_unfit, .on_body = on_body, .on_end = on_end,
    .on_half_close = on_half_close, .on_closed = on_closed, .on_named = on_named, .on_goaway = on_fault, .on_fault = on_fault, .pull = pull,
    .pulled = pulled,
};
void service_free_calls(struct worker *w) {
    for (struct list *n; (n = list_shift(&w->calls));) {
        struct service_call *k = LIST_OF(n, struct service_call, reap);
        body_clear(&k->body);
        struct arena a = k->arena; /* the call itself is in it */
        arena_clear(&a);
    }
}

struct head *service_head(struct service_call *c, uint16_t status) {
    struct head *h = ARENA_NEW(&c->arena, struct head);
    head_init(h, &c->arena, false);
    h->status = status;
    h->body = BODY_STREAM;
    return h;
}
void service_send(struct service_call *c, const struct head *h) {
    c->answered |= !h->interim;
    leg_send_head(&c->leg, h);
}
void service_write(struct service_call *c, struct str bytes) {
    if (!c->conn) return;
    body_push(&c->body, (const uint8_t *)bytes.p, bytes.n, NULL);
    leg_ready(&c->leg);
}
void service_end(struct service_call *c, const struct head *trailers) {
    if (!c->conn) return;
    c->ended = c->body.complete = true;
    if (trailers) leg_send_trailers(&c->leg, trailers);
    leg_ready(&c->leg);
    if (!c->request_ended && c->request->body != BODY_NONE) leg_cancel(&c->leg, ENDING_COMPLETED, 0, CANCEL_DRAIN);
}
void service_cut(struct service_call *c) { leg_cancel(&c->leg, ENDING_UPSTREAM_CLOSED, 0, CANCEL_BAND); }
void service_answer(struct service_call *c, uint16_t status, struct str type, struct str body) {
    struct head *h = service_head(c, status);
    h->body = BODY_LENGTH;
    h->length = body.n;
    if (type.n) head_add(h, STR("content-type"), type);
    service_send(c, h);
    if (!str_eq(c->request->method, STR("HEAD"))) service_write(c, body);
    service_end(c, NULL);
}

void service_listen(struct worker *w, const struct listener_conf *conf, int fd, const struct service *s) {
    struct listener *l = listener_new(w, conf, STR("service"), fd, &service_events);
    l->service = s;
    snapshot_add_listener(w->snapshot, l);
}
const char *service_conf(struct listener_conf *conf, struct str address, struct conf *c) {
    *conf = (struct listener_conf){ .backlog = 511, .max_connections = 0, .trust = { .mode = TRUST_ALL } };
    conf->timeouts.header = conf->timeouts.write = span_s(30);
    conf->timeouts.idle = span_s(600);
    conf->timeouts.linger = span_s(1);
    for (size_t i = 0; i < codec_count(); i++) {
        const struct conf_table *t = codec_at(i)->options;
        if (!t) continue;
        conf->options[i] = arena_zalloc(&c->arena, t->size);
        conf_load(c, NULL, t, conf->options[i]);
    }
    return address_parse(address, &conf->address);
}
