// SPDX-License-Identifier: Apache-2.0
// Whom an upstream has to ask: its endpoints, as names are resolved and as their checks find them. Connections are upstream.c's.
#include "proxy/health.h"
#include "proxy/resolver.h"
#include "proxy/upstream_inside.h"
#include <assert.h>
#include <stdlib.h>

/* ---- one ------------------------------------------------------------------------------------------------------------------------------- */
static struct outcast *outcast_find(struct upstream *u, const struct address *conf, const struct sockaddr_storage *sa) {
    LIST_EACH(&u->outcasts, o, struct outcast, node) {
        if (o->verdict.conf == conf && sockaddr_eq(&o->verdict.sa, sa)) return o;
    }
    return NULL;
}
void endpoint_add(struct upstream *u, const struct address *conf, const struct sockaddr_storage *sa, socklen_t len) {
    struct endpoint *e = mem_zalloc(sizeof *e);
    e->u = u;
    e->conf = conf;
    e->sa = *sa;
    e->len = len;
    e->number = u->next_number++;
    list_init(&e->open);
    list_init(&e->busy);
    list_push(&u->endpoints, &e->node);
    u->nendpoints++;
    sockaddr_print(sa, e->ip);
    e->text = e->ip[0] ? str_of(e->ip) : conf->text;
    e->out = outcast_find(u, conf, sa) != NULL;
    u->nout += e->out;
    if (u->checks) e->health = health_new(u->w, u, e);
}
void endpoint_unref(struct endpoint *e) {
    if (!list_is_linked(&e->node) && e->nconns == 0) free(e);
}
/* Its word is no more than that of who checks it here; in the other workers it stays until they are told. */
static void outcast_forget(struct upstream *u, const struct address *conf, const struct sockaddr_storage *sa) {
    struct outcast *o = outcast_find(u, conf, sa);
    if (!o) return;
    list_del(&o->node);
    free(o);
}
/* It serves nobody new: idle connections close now, the others when they are done. One that is under way to an endpoint that is out is given up: it
 * may never open, and who waits for it has others to go to. */
static void endpoint_vacate(struct endpoint *e) {
    LIST_EACH(&e->open, c, struct conn, node) { conn_shutdown(c, true); }
    LIST_EACH(&e->busy, d, struct conn, node) { conn_shutdown(d, e->out && d->state == CONN_OPENING); }
}
void endpoint_remove(struct endpoint *e) {
    struct upstream *u = e->u;
    list_del(&e->node);
    u->nendpoints--;
    u->nout -= e->out;
    if (e->health) outcast_forget(u, e->conf, &e->sa);
    health_gone(e->health);
    e->health = NULL;
    endpoint_vacate(e);
    endpoint_unref(e);
}

/* ---- names ------------------------------------------------------------------------------------------------------------------------------------- */
bool upstream_awaits_names(const struct upstream *u) {
    for (size_t i = 0; i < u->nwatches; i++) {
        if (!u->watches[i].told) return true;
    }
    return false;
}
/* Endpoints of this name become the set: what is in both keeps its connections. */
static void on_resolved(void *arg, const struct resolved *set) {
    struct watch *watch = arg;
    struct upstream *u = watch->u;
    watch->told = true;
    if (set->failure) {
        log_warn("upstream", "%.*s: %.*s: %s", STR_ARG(u->name), STR_ARG(set->name), set->failure);
        metric_inc(&u->w->metrics, METRIC_UPSTREAM_RESOLVE_FAILURES);
    }
    uint64_t known = 0; /* bit an index of the set */
    LIST_EACH(&u->endpoints, e, struct endpoint, node) {
        if (e->conf != watch->conf) continue;
        size_t i = 0;
        while (i < set->n && !sockaddr_eq(&e->sa, &set->v[i])) i++;
        if (i < set->n) known |= UINT64_C(1) << i;
        else endpoint_remove(e);
    }
    static_assert(RESOLVED_MAX <= 64, "a bit an address");
    for (size_t i = 0; i < set->n; i++) {
        if (!(known >> i & 1)) endpoint_add(u, watch->conf, &set->v[i], sockaddr_len(&set->v[i]));
    }
    upstream_reconsider(u);
}
void upstream_resolved(struct upstream *u, size_t endpoint, const struct resolved *set) {
    for (size_t i = 0; i < u->nwatches; i++) {
        if (u->watches[i].conf == &u->conf->endpoints[endpoint]) on_resolved(&u->watches[i], set);
    }
}
void upstream_watch(struct upstream *u) {
    u->watches = mem_zalloc(u->conf->nendpoints * sizeof *u->watches);
    for (size_t i = 0; i < u->conf->nendpoints; i++) {
        const struct address *a = &u->conf->endpoints[i];
        if (a->kind != ADDRESS_NAME) {
            endpoint_add(u, a, &a->sa, a->len);
            continue;
        }
        struct watch *watch = &u->watches[u->nwatches++];
        *watch = (struct watch){ .u = u, .conf = a };
        if (u->w->resolver) watch->handle = resolver_watch(u->w->resolver, a->host, a->port, on_resolved, watch);
    }
}
void upstream_unwatch(struct upstream *u) {
    for (size_t i = 0; i < u->nwatches; i++) resolver_unwatch(u->watches[i].handle);
    free(u->watches);
    for (struct list *n; (n = list_shift(&u->outcasts));) free(LIST_OF(n, struct outcast, node));
}

/* ---- health ------------------------------------------------------------------------------------------------------------------------------------ */
static void endpoint_judge(struct endpoint *e, bool out) {
    if (e->out == out) return;
    e->out = out;
    if (out) e->u->nout++;
    else e->u->nout--;
    if (out) endpoint_vacate(e);
}
void upstream_judge(struct upstream *u, const struct verdict *v) {
    if (!v->out) {
        outcast_forget(u, v->conf, &v->sa);
    } else if (!outcast_find(u, v->conf, &v->sa)) {
        struct outcast *o = mem_zalloc(sizeof *o);
        o->verdict = *v;
        list_push(&u->outcasts, &o->node);
    }
    LIST_EACH(&u->endpoints, e, struct endpoint, node) {
        if (e->conf == v->conf && sockaddr_eq(&e->sa, &v->sa)) endpoint_judge(e, v->out);
    }
    upstream_reconsider(u);
}
void upstream_check(struct upstream *u) {
    u->checks = true;
    LIST_EACH(&u->endpoints, e, struct endpoint, node) {
        if (!e->health) e->health = health_new(u->w, u, e);
    }
}
void upstream_uncheck(struct upstream *u) {
    u->checks = false;
    LIST_EACH(&u->endpoints, e, struct endpoint, node) {
        health_free(e->health);
        e->health = NULL;
    }
}
void upstream_retire(struct upstream *u, span time) {
    u->retired = true;
    leaving_begin(&u->leaving, u->w, time);
    upstream_uncheck(u);
    LIST_EACH(&u->endpoints, e, struct endpoint, node) { endpoint_vacate(e); }
}
struct verdict endpoint_verdict(const struct endpoint *e, bool out) { return (struct verdict){ .conf = e->conf, .sa = e->sa, .out = out }; }
struct str endpoint_text(const struct endpoint *e) { return e->text; }
struct str endpoint_host(const struct endpoint *e) { return e->conf->kind == ADDRESS_UNIX ? STR("localhost") : e->conf->text; }
size_t upstream_endpoints(const struct upstream *u, size_t *healthy) {
    *healthy = u->nendpoints - u->nout;
    return u->nendpoints;
}
