// SPDX-License-Identifier: Apache-2.0
// What an exchange leaves in the access log, when all of it is over.
#include "proxy/exchange.h"
#include "proxy/listener.h"

static const char *protocol_name(uint8_t version) {
    return version >= 20 ? "HTTP/2" : version == 10 ? "HTTP/1.0" : "HTTP/1.1";
}
static span since(instant from, instant to) { return from.ns && to.ns ? instant_until(from, to) : ACCESS_ABSENT; }
static void fill_deadline(const struct exchange *x, struct access_record *r) {
    const struct deadline_verdict *v = &x->verdict;
    instant deadline = v->total;
    r->deadline_source = v->source_name;
    if (v->client_set) r->deadline_in = instant_until(x->begun, v->total);
    if (instant_is_never(deadline) && !span_is_forever(v->to_head)) deadline = instant_add(x->begun, v->to_head);
    if (!instant_is_never(deadline)) r->left = instant_until(x->ended_at, deadline);
    if (x->told.ns > 0) r->deadline_out = x->told;
    if (x->context.ending == ENDING_DEADLINE && !instant_is_never(x->context.deadline)) r->lateness = instant_until(x->context.deadline, x->ended_at);
}
static void fill_modes(const struct exchange *x, struct access_record *r) {
    uint8_t deadline = x->policy->deadline.mode, cancel = x->policy->cancel.mode;
    if (!x->match.route) return;
    if (mode_observes(deadline)) r->mode = mode_name(deadline);
    if (cancel != MODE_ENFORCE) r->cancel_mode = mode_name(cancel);
    r->would_have = x->would;
    r->would_cancel = x->would_cancel;
    r->let_through = x->verdict.let_through;
}
void exchange_log_refused(struct conn *c, const struct fault *f) {
    struct worker *w = c->w;
    metrics_request(&w->metrics, f->why);
    if (!w->log || !access_log_is_on(w->log)) return;
    struct access_record r;
    access_record_init(&r);
    r.wall_ns = worker_wall(w);
    r.listener = listener_of(c)->name;
    r.client = conn_peer_text(c);
    r.protocol = protocol_name(c->session.codec->version);
    r.status = f->status; /* what the codec said; a GOAWAY is no status */
    r.ending = f->why;
    r.detail = f->say;
    r.wire = f->wire;
    r.response_bytes = f->body;
    access_log_write(w->log, &r);
}
struct str exchange_route_name(const struct exchange *x, char *text, size_t n) {
    const struct route *r = x->match.route;
    if (!r || r->name.name.n) return r ? r->name.name : (struct str){ 0 };
    int len = snprintf(text, n, "routes[%zu]", r->index);
    return (struct str){ text, (size_t)len };
}
struct str exchange_id(const struct exchange *x, char text[48]) {
    int n = snprintf(text, 48, "%x-%x-%x", x->w->index, x->context.slot, x->context.generation);
    return (struct str){ text, (size_t)n };
}
void exchange_log(struct exchange *x) {
    struct worker *w = x->w;
    if (!w->log || !access_log_is_on(w->log) || !x->request) return;
    struct access_record r;
    access_record_init(&r);
    char id[48];
    r.wall_ns = x->wall_ns;
    r.id = exchange_id(x, id);
    r.listener = x->listener->name;
    r.client = x->client;
    r.protocol = protocol_name(x->request->version);
    r.rpc = x->rpc ? x->rpc->name : NULL;
    r.method = x->request->method;
    r.host = x->request->authority;
    r.path = x->request->target;
    char route[32];
    r.route = exchange_route_name(x, route, sizeof route);
    if (x->upstream) r.upstream = upstream_name(x->upstream);
    r.endpoint = x->endpoint;
    r.status = x->status;
    r.grpc_status = x->outcome.grpc;
    r.ending = x->context.ending;
    r.detail = x->context.ending == ENDING_COMPLETED ? NULL : x->fault.say;
    r.wire = x->context.wire;
    fill_deadline(x, &r);
    fill_modes(x, &r);
    r.missing = x->fields.missing;
    r.attempts = x->tries;
    r.hedges = x->hedges;
    r.winner = x->hedges ? x->winner : 0;
    r.no_retry = retry_verdict_name(x->no_retry);
    r.cancel_level = x->level;
    r.cancel_deferred = x->cancel_deferred;
    r.request_bytes = x->up_bytes;
    r.response_bytes = x->down_bytes;
    r.duration = since(x->begun, x->ended_at);
    r.answered = since(x->begun, x->answered_at);
    if (x->sent_at.ns) r.queued = x->queued;
    access_log_write(w->log, &r);
}
