// SPDX-License-Identifier: Apache-2.0
// Asking endpoints how they are, and telling all workers: see health.h. What an answer means is health_judge.c's.
#define _GNU_SOURCE /* strerrordesc_np */
#include "proxy/health.h"
#include "codecs/dialect.h"
#include "codecs/rpc_frames.h"
#include "proxy/errand.h"
#include "proxy/health_judge.h"
#include "proxy/worker.h"
#include <errno.h>
#include <stdlib.h>

#ifndef CURFEW_VERSION
#define CURFEW_VERSION "unknown"
#endif

enum health_state {
    HEALTH_WAITS, /* for the next check */
    HEALTH_ASKS,  /* the timer is the check's timeout */
    HEALTH_KNOWS  /* the check is over, and is looked at once the codec's event is */
};
struct health {
    struct worker *w;
    struct upstream *u;
    struct endpoint *e;         /* borrowed: it owns us */
    const struct health_conf *conf;
    struct timer timer;
    uint8_t state;              /* enum health_state */
    bool good, asked_before;
    struct tally tally;
    instant begun;
    struct arena arena;         /* of one check */
    struct errand *errand;      /* in the arena; NULL: no check is under way */
    char why[HEALTH_REASON_MAX]; /* what was wrong with the last one that failed */
    struct endpoint_metrics shown;
};
static void conclude(struct health *h);

/* ---- telling ---------------------------------------------------------------------------------------------------------------------------- */
struct news {
    struct message message;     /* first: whoever frees the message frees it all */
    const struct upstream_conf *whose;
    struct verdict verdict;
};
static void take_news(struct worker *w, void *arg) {
    const struct news *n = arg;
    const struct snapshot *s = w->snapshot;
    for (size_t i = 0; i < s->nupstreams; i++) {
        if (upstream_conf_of(s->upstreams[i]) == n->whose) upstream_judge(s->upstreams[i], &n->verdict);
    }
}
static void tell_others(const struct health *h, bool out) {
    const struct verdict v = endpoint_verdict(h->e, out);
    for (size_t i = 0; h->w->peers && i < h->w->count; i++) {
        if (i == h->w->index) continue;
        struct news *n = mem_zalloc(sizeof *n);
        *n = (struct news){ .message = { .kind = MESSAGE_CALL, .call = take_news, .arg = n }, .whose = upstream_conf_of(h->u), .verdict = v };
        worker_post(&h->w->peers[i], &n->message);
    }
}
static void tell(const struct health *h, bool out) {
    const struct verdict v = endpoint_verdict(h->e, out);
    upstream_judge(h->u, &v);
    tell_others(h, out);
}
static void say_news(const struct health *h, enum tally_news news) {
    size_t healthy, all = upstream_endpoints(h->u, &healthy);
    struct str name = upstream_name(h->u), text = endpoint_text(h->e);
    if (news == TALLY_OUT) {
        log_warn("health", "%.*s: %.*s is unhealthy: %s (%zu of %zu endpoints are healthy)", STR_ARG(name), STR_ARG(text), h->why, healthy, all);
    } else {
        log_info("health", "%.*s: %.*s is healthy again (%zu of %zu endpoints are)", STR_ARG(name), STR_ARG(text), healthy, all);
    }
}

/* ---- asking ----------------------------------------------------------------------------------------------------------------------------- */
static void begin_head(struct health *h, struct head *head, struct str method, struct str target) {
    head_init(head, &h->arena, true);
    head->method = method;
    head->scheme = STR("http");
    head->authority = endpoint_host(h->e);
    head->target = target;
    head->body = BODY_NONE;
    head_add(head, STR("user-agent"), STR("curfew/" CURFEW_VERSION " (health)"));
}
/* The server is told how long we wait, as any client of gRPC tells it. */
static void add_deadline(struct health *h, struct head *head) {
    const struct dialect *d = dialect_by_key(&h->w->snapshot->config->dialects, STR("grpc-timeout"));
    char *text = arena_bytes(&h->arena, DIALECT_TEXT_MAX), companion[DIALECT_TEXT_MAX];
    size_t ncompanion, n = d ? dialect_format(d, h->conf->timeout, 0, text, companion, &ncompanion) : 0;
    if (n) head_add(head, STR("grpc-timeout"), (struct str){ text, n });
}
/* What goes out; NULL: nothing, the connection is all. */
static const struct head *make_request(struct health *h) {
    static const char empty[FRAME_HEAD]; /* HealthCheckRequest without a service: the server as a whole */
    if (h->conf->type == HEALTH_TCP) return NULL;
    struct head *head = ARENA_NEW(&h->arena, struct head);
    if (h->conf->type == HEALTH_HTTP) {
        begin_head(h, head, STR("GET"), h->conf->path);
        return head;
    }
    begin_head(h, head, STR("POST"), STR("/grpc.health.v1.Health/Check"));
    head->body = BODY_STREAM;
    head->te_trailers = true;
    head_add(head, STR("content-type"), STR("application/grpc"));
    add_deadline(h, head);
    h->errand->body = (struct str){ empty, sizeof empty };
    h->errand->version = 20;
    return head;
}
static void on_over(struct errand *e, const char *say) {
    struct health *h = e->owner;
    const struct health_answer a = { .head = e->answer, .trailers = e->trailers, .body = e->kept, .nbody = e->nkept };
    h->good = !say && health_is_good((enum health_type)h->conf->type, &a, h->why);
    if (say) snprintf(h->why, sizeof h->why, "%s", say);
    h->state = HEALTH_KNOWS;
    wheel_arm(&h->w->wheel, &h->timer, h->w->now);
}
/* Nobody can be asked for want of something of our own. Not EADDRNOTAVAIL: it is also what [::1] says where there is no IPv6. */
static bool is_our_fault(int err) { return err == EMFILE || err == ENFILE || err == ENOBUFS || err == ENOMEM; }
static void put_off(struct health *h);
static void ask(struct health *h) {
    h->begun = h->w->now;
    h->state = HEALTH_ASKS;
    arena_init(&h->arena, &h->w->arenas);
    h->errand = arena_zalloc(&h->arena, sizeof *h->errand + leg_tail_max());
    h->errand->owner = h;
    h->errand->arena = &h->arena;
    h->errand->on_over = on_over;
    h->errand->head = make_request(h);
    wheel_arm(&h->w->wheel, &h->timer, instant_add(h->w->now, h->conf->timeout));
    int err = errand_go(h->errand, h->u, h->e);
    if (!err) return;
    snprintf(h->why, sizeof h->why, "the connection could not be made: %s", strerrordesc_np(err));
    h->good = false;
    if (is_our_fault(err)) put_off(h);
    else conclude(h);
}

/* ---- the end of a check ------------------------------------------------------------------------------------------------------------------- */
static void call_off(struct health *h) {
    if (!h->errand) return;
    errand_drop(h->errand);
    h->errand = NULL;
    arena_clear(&h->arena);
}
/* So long from now, or a part of it: drawn evenly. */
static span draw(struct health *h, int64_t below) { return span_ns((int64_t)(random_next(&h->w->chance) % (uint64_t)below)); }
static void wait_for_next(struct health *h) {
    int64_t interval = h->conf->interval.ns;
    span after = h->asked_before ? span_add(span_ns(interval - interval / 10), draw(h, interval / 5 + 1)) : draw(h, interval);
    h->asked_before = true;
    h->state = HEALTH_WAITS;
    wheel_arm(&h->w->wheel, &h->timer, instant_add(h->begun, after));
}
static void put_off(struct health *h) {
    log_warn("health", "%.*s: %.*s was not asked: %s", STR_ARG(upstream_name(h->u)), STR_ARG(endpoint_text(h->e)), h->why);
    call_off(h);
    wait_for_next(h);
}
static void conclude(struct health *h) {
    call_off(h);
    wait_for_next(h);
    metric_inc(&h->w->metrics, METRIC_HEALTH_CHECKS);
    if (!h->good) metric_inc(&h->w->metrics, METRIC_HEALTH_FAILURES);
    enum tally_news news = tally_count(&h->tally, h->conf, h->good);
    if (news == TALLY_SAME) return;
    metric_cell_set(&h->shown.healthy, news == TALLY_IN);
    tell(h, news == TALLY_OUT);
    say_news(h, news);
}
static void on_timer(struct timer *t, instant now) {
    (void)now;
    struct health *h = CONTAINER_OF(t, struct health, timer);
    switch ((enum health_state)h->state) {
    case HEALTH_WAITS: ask(h); break;
    case HEALTH_ASKS:
        h->good = false;
        snprintf(h->why, sizeof h->why, "no complete answer in time");
        conclude(h);
        break;
    case HEALTH_KNOWS: conclude(h); break;
    }
}

/* ---- life ----------------------------------------------------------------------------------------------------------------------------------- */
struct health *health_new(struct worker *w, struct upstream *u, struct endpoint *e) {
    struct health *h = mem_zalloc(sizeof *h);
    h->w = w;
    h->u = u;
    h->e = e;
    h->conf = upstream_conf_of(u)->health;
    h->timer.fire = on_timer;
    h->shown = (struct endpoint_metrics){ .upstream = upstream_name(u), .endpoint = endpoint_text(e), .healthy = 1 };
    metrics_add_endpoint(&w->metrics, &h->shown);
    wheel_arm(&w->wheel, &h->timer, w->now);
    return h;
}
void health_free(struct health *h) {
    if (!h) return;
    call_off(h);
    wheel_disarm(&h->w->wheel, &h->timer);
    metrics_remove_endpoint(&h->w->metrics, &h->shown);
    free(h);
}
void health_gone(struct health *h) {
    if (h && h->tally.out) tell_others(h, false);
    health_free(h);
}
void health_start(struct worker *w, struct upstream *u, size_t i) {
    if (i % w->count == w->index && upstream_conf_of(u)->health) upstream_check(u);
}
void health_stop(struct worker *w) {
    for (size_t i = 0; i < w->snapshot->nupstreams; i++) upstream_uncheck(w->snapshot->upstreams[i]);
}
