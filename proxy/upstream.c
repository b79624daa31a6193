// SPDX-License-Identifier: Apache-2.0
// Connections of an upstream, and who waits for one: see upstream.h. Whom there is to ask is endpoints.c.
#include "proxy/upstream_inside.h"
#include "proxy/tls.h"
#include <assert.h>
#include <errno.h>
#include <stdlib.h>

/* How long an endpoint that refused a connection is asked only where no other is left. */
#define FAILED_FOR span_s(2)

/* This worker's part of a configured total. */
static size_t share(const struct upstream *u, int64_t total) { return (size_t)config_share(total, u->w->count, u->w->index); }

/* ---- the queue -------------------------------------------------------------------------------------------------------------------------- */
static void queue_add(struct upstream *u, struct place *p) {
    places_add(&u->waiting, p);
    metric_inc(&u->w->metrics, METRIC_QUEUED);
}
static void queue_remove(struct place *p) {
    places_remove(&p->u->waiting, p);
    metric_dec(&p->u->w->metrics, METRIC_QUEUED);
}

/* ---- endpoints ---------------------------------------------------------------------------------------------------------------------------- */
/* The endpoint for this place, among those whose checks do not speak against it: one that works and has not failed it yet, else one that works, else
 * any; of these by the balance, and among equals the one that was used least recently. NULL: there is none. */
static struct endpoint *endpoint_pick(struct upstream *u, const struct place *p) {
    struct endpoint *best = NULL;
    size_t best_rank = SIZE_MAX;
    LIST_EACH(&u->endpoints, e, struct endpoint, node) {
        if (e->out && !p->anyhow) continue;
        size_t rank = u->conf->balance == BALANCE_LEAST_REQUESTS ? e->inflight : 0;
        if (instant_before(u->w->now, e->failed_until)) rank += SIZE_MAX / 4;
        if (e->out || p->tried >> (e->number % 64) & 1) rank += SIZE_MAX / 2;
        if (!best || rank < best_rank || (rank == best_rank && e->used < best->used)) best_rank = rank, best = e;
    }
    return best;
}

/* One connection serves many: then nobody needs one of its own. */
static bool is_shared(const struct upstream *u) { return u->conf->codec && u->conf->codec->multiplex; }

/* ---- connections -------------------------------------------------------------------------------------------------------------------------- */
static struct endpoint *endpoint_of(const struct conn *c) { return c->owner_data; }
static bool may_serve(const struct endpoint *e) { return list_is_linked(&e->node) && !e->out; }
/* May one more be opened? Those of endpoints that are out only wait for their last requests, which may hang: they keep nobody from the others. */
static bool may_open(const struct upstream *u) {
    size_t n = u->nconns;
    if (u->nout == 0) return n < u->max_connections;
    LIST_EACH(&u->endpoints, e, struct endpoint, node) {
        if (e->out) n -= e->nconns < n ? e->nconns : n;
    }
    return n < u->max_connections;
}
static bool conn_has_room(const struct conn *c) {
    const struct session *s = &c->session;
    return c->state == CONN_OPEN && s->slots > s->live && (s->live > 0 || s->reusable || c->served == 0) && s->next == NEXT_MORE;
}
static void conn_file(struct conn *c) { /* on the list that its room says */
    struct endpoint *e = endpoint_of(c);
    bool room = conn_has_room(c) && may_serve(e);
    if (room && c->shelved) return;
    list_del(&c->node);
    if (room) list_unshift(&e->open, &c->node);
    else list_push(&e->busy, &c->node);
    c->shelved = room;
}
static void pump(struct upstream *u);
static void grant(struct upstream *u, struct place *p, struct conn *c);
/* Who the connection was made for, where it still waits; NULL: nobody. */
static struct place *place_of(const struct upstream *u, const struct conn *c) {
    for (size_t i = 0; i < u->waiting.n; i++) {
        if (u->waiting.v[i]->opening == c) return u->waiting.v[i];
    }
    return NULL;
}
/* Its connections end with their requests: the gateway drains, the name's address is another by now, its checks say so,
 * or the configuration has it no more. */
static bool is_leaving(const struct endpoint *e) { return e->u->w->draining || e->u->retired || !may_serve(e); }
static void on_up_open(struct conn *c) {
    struct endpoint *e = endpoint_of(c);
    assert(e->u->opening > 0);
    e->u->opening--;
    e->failed_until = (instant){ 0 };
    c->session.cancel_burst = (uint32_t)(e->u->conf->reset_budget.burst < UINT32_MAX ? e->u->conf->reset_budget.burst : UINT32_MAX);
    const struct conf_rate *rate = &e->u->conf->reset_budget.rate;
    c->session.cancel_every = span_ns(rate->count ? rate->per.ns / (int64_t)rate->count : 0);
    conn_file(c);
    /* It goes to whom it was made for, but that somebody with less time waits and has none under way: then that one may need another. */
    struct upstream *u = e->u;
    struct place *p = place_of(u, c);
    if (p) p->opening = NULL;
    if (p && conn_has_room(c) && u->inflight < u->max_requests && (u->waiting.v[0] == p || u->waiting.v[0]->opening)) grant(u, p, c);
    pump(u);
    bool wanted = may_serve(e) && u->waiting.n > 0;
    if (is_leaving(e) && c->session.live == 0 && !wanted) conn_shutdown(c, false); /* nobody waits for it any more */
}
static void place_fail(struct place *p, const struct fault *f) {
    if (p->slot) queue_remove(p);
    p->opening = NULL;
    p->on_fail(p, f);
}
/* A connection could not be made: it fails who it was made for; on a multiplexed protocol all who wait for it. But where the endpoint is out, it was
 * given up for that, and who waits for it is served by another. */
static void connect_failed(struct upstream *u, struct conn *c, const struct fault *f) {
    struct endpoint *e = endpoint_of(c);
    assert(u->opening > 0);
    u->opening--;
    if (e->out) {
        struct place *given_up = place_of(u, c);
        if (given_up) given_up->opening = NULL;
        return;
    }
    e->failed_until = instant_add(u->w->now, FAILED_FOR);
    metric_inc(&u->w->metrics, METRIC_UPSTREAM_CONNECT_FAILURES);
    log_debug("upstream", "%.*s: %.*s: %s", STR_ARG(u->name), STR_ARG(e->text), f->say);
    bool shared = is_shared(u);
    for (size_t i = 0; i < u->waiting.n;) {
        struct place *p = u->waiting.v[i];
        if (p->opening == c || (shared && u->opening == 0)) {
            p->tried |= UINT64_C(1) << (e->number % 64);
            place_fail(p, f);
            i = 0;
        } else {
            i++;
        }
    }
}
static void on_up_gone(struct conn *c, const struct fault *f) {
    static const struct fault closed = { .why = ENDING_CONNECT_FAILURE, .unprocessed = true, .say = "the connection closed before it was ready" };
    struct upstream *u = endpoint_of(c)->u;
    if (!c->session_open) connect_failed(u, c, f ? f : &closed);
    list_del(&c->node);
    list_push(&endpoint_of(c)->busy, &c->node);
    c->shelved = false;
    u->nconns--;
    metric_dec(&u->w->metrics, METRIC_UPSTREAM_OPEN);
    pump(u);
}
static void on_up_freed(struct conn *c) {
    struct endpoint *e = endpoint_of(c);
    metric_add(&c->w->metrics, METRIC_RESETS_DEFERRED, c->session.cancels_deferred);
    if (c->session.retired) metric_inc(&c->w->metrics, METRIC_CONNECTIONS_RETIRED);
    list_del(&c->node);
    struct upstream *u = e->u;
    e->nconns--;
    endpoint_unref(e);
    upstream_unref(u);
}
static const struct conn_owner up_owner = {
    .on_open = on_up_open, .on_gone = on_up_gone, .on_freed = on_up_freed, .bytes_in = METRIC_UP_BYTES_IN, .bytes_out = METRIC_UP_BYTES_OUT,
};

bool upstream_has(const struct upstream *u, const struct conn *c) { return c->owner == &up_owner && endpoint_of(c)->u == u; }

static struct tls *make_tls(int fd, void *arg) {
    struct endpoint *e = arg;
    return tls_connect(e->u->tls, fd, e->conf->host);
}
/* Opens a connection for p. False: the system refused at once, and p failed. */
static bool conn_open_for(struct upstream *u, struct place *p) {
    struct endpoint *e = endpoint_pick(u, p);
    if (!e) return true; /* not resolved yet: on_resolved pumps, or fails it */
    int err = 0;
    struct conn *c = conn_connect(u->w, (const void *)&e->sa, e->len, u->tls ? make_tls : NULL, e, u->conf->codec, u->ev, &up_owner, e,
                                  u->conf->options, &u->times, &err);
    if (!c) {
        struct fault f = { .why = ENDING_CONNECT_FAILURE, .wire = (uint32_t)err, .unprocessed = true, .say = "the connection could not be made" };
        e->failed_until = instant_add(u->w->now, FAILED_FOR);
        p->tried |= UINT64_C(1) << (e->number % 64);
        metric_inc(&u->w->metrics, METRIC_UPSTREAM_CONNECT_FAILURES);
        place_fail(p, &f);
        return false;
    }
    c->lease = lease_ref(u->lease);
    c->session.slots_known = e->slots;
    upstream_ref(u);
    u->nconns++;
    u->opening++;
    e->nconns++;
    list_push(&e->busy, &c->node);
    e->used = ++u->uses;
    metric_inc(&u->w->metrics, METRIC_UPSTREAM_CONNECTS);
    metric_inc(&u->w->metrics, METRIC_UPSTREAM_OPEN);
    p->opening = c;
    return true;
}

/* ---- granting -------------------------------------------------------------------------------------------------------------------------------- */
/* One may have lost its room in this very turn (its idle timeout), and its codec had no entry yet in which to say so. */
static struct conn *open_conn(struct endpoint *e, bool fresh) {
    LIST_EACH(&e->open, c, struct conn, node) {
        if (!conn_has_room(c)) conn_file(c);
        else if (!fresh || c->served == 0) return c;
    }
    return NULL;
}
static struct conn *conn_for(struct upstream *u, const struct place *p) {
    struct endpoint *e = p->fresh ? NULL : endpoint_pick(u, p);
    struct conn *own = e ? open_conn(e, false) : NULL;
    if (own) return own;
    /* Who waits, and whose own connection is under way or cannot be had, takes what came free anywhere. */
    if (!p->slot || (!p->opening && may_open(u) && !is_shared(u))) return NULL;
    LIST_EACH(&u->endpoints, f, struct endpoint, node) {
        struct conn *c = f->out || p->tried >> (f->number % 64) & 1 ? NULL : open_conn(f, p->fresh);
        if (c) return c;
    }
    return NULL;
}
/* Who waits first can have no connection, since all that there may be go where it failed, or served others already: one of them that serves nobody
 * makes room, one a turn, for it is not gone before the turn's end. A multiplexed one that serves somebody has room itself: better than to wait
 * there, and to hold up all others. */
static struct conn *conn_from_full(struct upstream *u, const struct place *p) {
    if (p->opening || may_open(u)) return NULL;
    LIST_EACH(&u->endpoints, e, struct endpoint, node) {
        struct conn *c = e->out ? NULL : open_conn(e, false);
        if (!c) continue;
        if (c->session.live > 0) return p->fresh ? NULL : c;
        if (u->made_room != u->w->turn) conn_shutdown(c, true);
        u->made_room = u->w->turn;
        return NULL;
    }
    return NULL;
}
static void grant(struct upstream *u, struct place *p, struct conn *c) {
    if (p->slot) queue_remove(p);
    p->opening = NULL;
    u->inflight++;
    endpoint_of(c)->inflight++;
    endpoint_of(c)->used = ++u->uses;
    bool reused = c->served++ > 0;
    if (reused) metric_inc(&u->w->metrics, METRIC_UPSTREAM_REUSES);
    p->on_ready(p, c, reused);
    if (c->state != CONN_DEAD) conn_file(c);
}
static size_t wanted_openings(const struct upstream *u) {
    size_t want = is_shared(u) && u->waiting.n > 0 ? 1 : u->waiting.n;
    size_t room = u->max_requests > u->inflight ? u->max_requests - u->inflight : 0;
    return want < room ? want : room;
}
/* Gives free slots to those who wait, and opens connections for the rest, as far as the limits go. */
static void pump(struct upstream *u) {
    if (u->pumping) return;
    u->pumping = true;
    while (u->waiting.n > 0 && u->inflight < u->max_requests) {
        struct conn *c = conn_for(u, u->waiting.v[0]);
        if (!c) c = conn_from_full(u, u->waiting.v[0]);
        if (!c) break;
        grant(u, u->waiting.v[0], c);
    }
    size_t i = 0;
    while (u->nendpoints > 0 && u->opening < wanted_openings(u) && may_open(u) && i < u->waiting.n) {
        struct place *p = u->waiting.v[i++];
        if (!p->opening && !conn_open_for(u, p)) i = 0;
    }
    u->pumping = false;
}
/* Why nobody can be asked; NULL: somebody can, or may yet be found. */
static const struct fault *hopeless(const struct upstream *u) {
    static const struct fault unresolved = { .why = ENDING_CONNECT_FAILURE, .unprocessed = true, .say = "the upstream's name does not resolve" };
    static const struct fault unhealthy = { .why = ENDING_CONNECT_FAILURE, .unprocessed = true, .say = "the upstream has no healthy endpoint" };
    if (u->nout < u->nendpoints || upstream_awaits_names(u)) return NULL;
    return u->nendpoints ? &unhealthy : &unresolved;
}
void upstream_reconsider(struct upstream *u) {
    for (const struct fault *f; u->waiting.n > 0 && (f = hopeless(u));) place_fail(u->waiting.v[0], f);
    pump(u);
}
void upstream_ask(struct upstream *u, struct place *p) {
    p->u = u;
    p->slot = 0;
    p->opening = NULL;
    if (u->inflight < u->max_requests && u->waiting.n == 0) {
        struct conn *c = conn_for(u, p);
        if (c) {
            grant(u, p, c);
            return;
        }
    }
    static const struct fault full = { .why = ENDING_SHED_LOAD, .unprocessed = true, .say = "the upstream's queue is full" };
    const struct fault *vain = hopeless(u);
    if (vain) {
        p->on_fail(p, vain);
    } else if (u->waiting.n >= u->max_pending + u->opening + (u->inflight < u->max_requests && may_open(u) ? 1 : 0)) {
        p->on_fail(p, &full);
    } else {
        queue_add(u, p);
        pump(u);
    }
}
bool upstream_leave(struct place *p) {
    if (!p->u || !p->slot) return false;
    queue_remove(p);
    p->opening = NULL; /* the connection goes on: it will serve another */
    return true;
}
void upstream_release(struct conn *c) {
    struct endpoint *e = endpoint_of(c);
    struct upstream *u = e->u;
    assert(u->inflight > 0 && e->inflight > 0);
    u->inflight--;
    e->inflight--;
    if (!conn_is_dead(c)) {
        if (is_leaving(e)) conn_shutdown(c, false);
        conn_file(c);
    }
    pump(u);
}
/* As Envoy's retry_budget: of the attempts that are under way or wait; the failed one that asks may still be among them, or not. */
bool upstream_borrow(struct upstream *u, const struct retry_budget *b) {
    if (u->borrowed >= retry_budget_of(b, u->inflight + u->waiting.n, share(u, b->floor))) return false;
    u->borrowed++;
    return true;
}
void upstream_repay(struct upstream *u) {
    assert(u->borrowed > 0);
    u->borrowed--;
}
void upstream_slots(struct conn *c) {
    endpoint_of(c)->slots = c->session.slots_known;
    if (c->state != CONN_OPEN || !list_is_linked(&c->node) || place_of(endpoint_of(c)->u, c)) return; /* the last: on_up_open is about to come */
    conn_file(c);
    pump(endpoint_of(c)->u);
}

/* ---- life ---------------------------------------------------------------------------------------------------------------------------------------- */
struct upstream *upstream_new(struct worker *w, const struct upstream_conf *conf, struct str name, const struct codec_events *ev) {
    struct upstream *u = mem_zalloc(sizeof *u);
    u->w = w;
    u->leaving.upstream = u;
    u->lease = lease_ref(w->snapshot->lease);
    u->conf = conf;
    u->name = name;
    u->ev = ev;
    if (conf->tls) u->tls = tls_client_ref(conf->tls->built);
    u->max_connections = share(u, conf->max_connections);
    u->max_requests = share(u, conf->max_requests);
    u->max_pending = share(u, conf->max_pending);
    u->times = (struct conn_times){ conf->connect_timeout, SPAN_FOREVER, conf->idle_timeout, conf->write_timeout, span_ms(0), span_ns(0) };
    list_init(&u->endpoints);
    list_init(&u->outcasts);
    upstream_watch(u);
    return u;
}
void upstream_take_tls(struct upstream *u, struct tls_client *tls) {
    tls_client_unref(u->tls);
    u->tls = tls;
}
struct upstream *upstream_ref(struct upstream *u) {
    u->refs++;
    return u;
}
void upstream_unref(struct upstream *u) {
    assert(u->refs > 0);
    if (--u->refs > 0) return;
    assert(u->waiting.n == 0 && u->borrowed == 0);
    leaving_end(&u->leaving);
    upstream_unwatch(u);
    while (!list_is_empty(&u->endpoints)) endpoint_remove(LIST_OF(u->endpoints.next, struct endpoint, node));
    tls_client_unref(u->tls);
    places_free(&u->waiting);
    lease_unref(u->lease);
    free(u);
}

struct conn *upstream_dial(struct upstream *u, struct endpoint *to, const struct codec_events *ev, const struct conn_owner *owner, void *data, int *err) {
    const struct place nobody = { .anyhow = true };
    struct endpoint *e = to ? to : endpoint_pick(u, &nobody);
    *err = ENOENT;
    struct conn *c = e ? conn_connect(u->w, (const void *)&e->sa, e->len, u->tls ? make_tls : NULL, e, u->conf->codec, ev, owner, data,
                                      u->conf->options, &u->times, err)
                       : NULL;
    if (c) c->lease = lease_ref(u->lease);
    return c;
}
struct str upstream_authority(const struct upstream *u) {
    return list_is_empty(&u->endpoints) ? (struct str){ 0 } : LIST_OF(u->endpoints.next, struct endpoint, node)->conf->text;
}
struct str upstream_name(const struct upstream *u) { return u->name; }
const struct upstream_conf *upstream_conf_of(const struct upstream *u) { return u->conf; }
struct str upstream_endpoint_text(const struct conn *c) { return endpoint_of(c)->text; }
struct str upstream_endpoint_host(const struct conn *c) { return endpoint_of(c)->conf->text; }
uint64_t upstream_endpoint_bit(const struct conn *c) { return c ? UINT64_C(1) << (endpoint_of(c)->number % 64) : 0; }
size_t upstream_queued(const struct upstream *u) { return u->waiting.n; }
