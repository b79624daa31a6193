// SPDX-License-Identifier: Apache-2.0
// A question to workers and their answers: see contexts.h. Each worker writes into a part of its own, which only travels; whoever asked may be gone
// before the last one is back, so a question outlives its call.
#include "proxy/contexts.h"
#include "core/json.h"
#include "proxy/exchange.h"
#include "proxy/listener.h"
#include <stdlib.h>

struct part { /* one worker's; at any time one thread has it */
    struct question *of;
    struct context_id id; /* to be cancelled */
    bool found, back;
    char *text;           /* owned */
    size_t n, live;
};
struct question {
    struct list node;             /* in questions */
    struct service_call *call;    /* NULL: answered, or gone */
    struct worker *asker;
    void (*answer)(struct question *q);
    size_t pending, n;
    struct part parts[];
};
static struct list questions;

static void question_free(struct question *q) {
    list_del(&q->node);
    for (size_t i = 0; i < q->n; i++) free(q->parts[i].text);
    free(q);
}
static void question_end(struct question *q) {
    struct service_call *c = q->call;
    if (!c) return;
    wheel_disarm(&c->w->wheel, &c->timer);
    q->answer(q);
    c->data = NULL;
    q->call = NULL;
}
static void on_back(struct worker *asker, void *arg) {
    (void)asker;
    struct part *p = arg;
    struct question *q = p->of;
    p->back = true;
    if (--q->pending > 0) return;
    question_end(q);
    question_free(q);
}
static void on_patience(struct timer *t, instant now) {
    (void)now;
    question_end(CONTAINER_OF(t, struct service_call, timer)->data);
}
static void post(struct worker *to, void (*call)(struct worker *w, void *arg), struct part *p) {
    struct message *m = mem_zalloc(sizeof *m);
    m->kind = MESSAGE_CALL;
    m->call = call;
    m->arg = p;
    worker_post(to, m);
}
static struct question *question_new(struct service_call *c, size_t n, void (*answer)(struct question *q)) {
    struct question *q = mem_zalloc(sizeof *q + n * sizeof *q->parts);
    if (!questions.next) list_init(&questions);
    list_push(&questions, &q->node);
    q->call = c;
    q->asker = c->w;
    q->answer = answer;
    q->pending = q->n = n;
    for (size_t i = 0; i < n; i++) q->parts[i].of = q;
    c->data = q;
    c->timer.fire = on_patience;
    wheel_arm(&c->w->wheel, &c->timer, instant_add(c->w->now, CONTEXTS_PATIENCE));
    return q;
}
void contexts_gone(struct service_call *c) {
    struct question *q = c->data;
    if (q) q->call = NULL;
    c->data = NULL;
}
void contexts_stop(void) {
    while (questions.next && !list_is_empty(&questions)) question_free(LIST_OF(questions.next, struct question, node));
}

/* ---- the list: in the worker's thread ------------------------------------------------------------------------------------------------- */
static void say_ms(struct json *j, const char *name, span s) {
    if (!span_is_forever(s)) json_raw(j, name, "%.3f", (double)s.ns / NS_PER_MS);
}
static void say_exchange(FILE *to, struct exchange *x) {
    static const char *const answered[] = { [ANSWERED_NOT] = "no", [ANSWERED_HEAD] = "head", [ANSWERED_WHOLE] = "whole" };
    const struct head *h = x->request;
    const struct attempt *a = x->attempt;
    struct json j = { .to = to };
    char id[48], route[32];
    json_open(&j, NULL, '{');
    json_str(&j, "id", exchange_id(x, id));
    json_some(&j, "listener", x->listener->name);
    json_some(&j, "client", x->client);
    if (x->rpc) json_str(&j, "rpc", str_of(x->rpc->name));
    json_some(&j, "method", h->method);
    json_some(&j, "host", h->authority);
    json_some(&j, "path", h->target);
    json_some(&j, "route", exchange_route_name(x, route, sizeof route));
    if (x->upstream) json_some(&j, "upstream", upstream_name(x->upstream));
    if (a && a->conn) json_some(&j, "endpoint", upstream_endpoint_text(a->conn));
    say_ms(&j, "age_ms", instant_until(x->begun, x->w->now));
    say_ms(&j, "left_ms", exchange_left(x));
    json_raw(&j, "attempts", "%u", x->tries);
    json_str(&j, "answered", str_of(answered[x->answered]));
    if (context_is_ended(&x->context)) json_str(&j, "ending", str_of(ending_name(x->context.ending)));
    json_close(&j, '}');
}
static void collect(struct worker *w, void *arg) {
    struct part *p = arg;
    FILE *f = open_memstream(&p->text, &p->n);
    if (!f) abort();
    size_t n = 0;
    LIST_EACH(&w->exchanges, x, struct exchange, node) {
        if (!x->request) continue; /* its head is under way */
        p->live++;
        if (n == CONTEXTS_LISTED) continue;
        if (n++) fputs(",\n", f);
        say_exchange(f, x);
    }
    fclose(f);
    post(p->of->asker, on_back, p);
}

/* ---- in admin's thread -------------------------------------------------------------------------------------------------------------------- */
static void answer_list(struct question *q) {
    char *text = NULL;
    size_t n = 0, live = 0, silent = 0;
    FILE *f = open_memstream(&text, &n);
    if (!f) abort();
    fputs("{\"contexts\":[", f);
    const char *before = "\n";
    for (size_t i = 0; i < q->n; i++) {
        const struct part *p = &q->parts[i];
        if (!p->back) {
            silent++;
            continue;
        }
        live += p->live;
        if (!p->n) continue;
        fputs(before, f);
        fwrite(p->text, 1, p->n, f);
        before = ",\n";
    }
    fprintf(f, "\n],\"live\":%zu,\"silent_workers\":%zu}\n", live, silent);
    fclose(f);
    service_answer(q->call, 200, STR("application/json"), (struct str){ text, n });
    free(text);
}
void contexts_list(struct service_call *c, struct worker *workers, size_t n) {
    struct question *q = question_new(c, n, answer_list);
    for (size_t i = 0; i < n; i++) post(&workers[i], collect, &q->parts[i]);
}

/* ---- cancelling ------------------------------------------------------------------------------------------------------------------------------- */
static void cancel(struct worker *w, void *arg) {
    struct part *p = arg;
    struct context *c = context_find(&w->contexts, p->id);
    p->found = c && !c->parent && context_end(c, ENDING_OPERATOR_CANCELLED, 0); /* an attempt's is none that a log names */
    post(p->of->asker, on_back, p);
}
static void say_none(struct service_call *c) { service_answer(c, 404, STR("text/plain"), STR("no such context is under way\n")); }
static void answer_cancel(struct question *q) {
    const struct part *p = &q->parts[0];
    if (!p->back) service_answer(q->call, 504, STR("text/plain"), STR("the worker did not answer in time\n"));
    else if (p->found) service_answer(q->call, 200, STR("text/plain"), STR("operator_cancelled\n"));
    else say_none(q->call);
}
/* "0-1a-2", as exchange_id writes it. */
static bool parse_id(struct str s, struct context_id *id) {
    unsigned long v[3] = { 0 };
    struct str part;
    unsigned n = 0;
    while (str_split(&s, '-', &part)) {
        if (n == 3 || part.n == 0 || part.n > 8) return false;
        for (size_t i = 0; i < part.n; i++) {
            char c = part.p[i];
            unsigned digit = c >= '0' && c <= '9' ? (unsigned)(c - '0') : c >= 'a' && c <= 'f' ? (unsigned)(c - 'a') + 10 : 16;
            if (digit == 16) return false;
            v[n] = v[n] << 4 | digit;
        }
        n++;
    }
    *id = (struct context_id){ (uint16_t)v[0], (uint32_t)v[1], (uint32_t)v[2] };
    return n == 3 && v[0] <= UINT16_MAX;
}
void contexts_cancel(struct service_call *c, struct worker *workers, size_t n, struct str id) {
    struct context_id at;
    if (!parse_id(id, &at) || at.worker >= n) {
        say_none(c);
        return;
    }
    struct question *q = question_new(c, 1, answer_cancel);
    q->parts[0].id = at;
    post(&workers[at.worker], cancel, &q->parts[0]);
}
