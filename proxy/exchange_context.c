// SPDX-License-Identifier: Apache-2.0
// The context of an exchange's request at the door and on its way up: what the policy `context` decides once, and does to the head of each attempt.
#include "policies/lookalike.h"
#include "proxy/exchange.h"
#include "proxy/listener.h"

static void count_decided(struct worker_metrics *m, const struct fields_verdict *v) {
    if (v->nmissing) metric_add(m, METRIC_CONTEXT_MISSING, v->nmissing);
    if (v->schema_newer) metric_inc(m, METRIC_SCHEMA_NEWER);
    if (v->schema_malformed) metric_inc(m, METRIC_SCHEMA_MALFORMED);
    if (v->root.made) metric_inc(m, METRIC_TRACES_BEGUN);
}
void exchange_context_decide(struct exchange *x) {
    const struct fields_policy *p = &x->policy->context;
    if (!p->decides) return;
    struct fields_facts f = { .head = x->request, .listener = x->listener->name, .trusted = x->trusted, .rpc = x->rpc,
                              .deadline = &x->verdict, .deadline_policy = &x->policy->deadline, .now = x->w->now, .random = &x->w->chance,
                              .arena = &x->arena };
    fields_decide(p, &f, &x->fields);
    count_decided(&x->w->metrics, &x->fields);
    if (!x->fields.say || x->verdict.refuse != ENDING_NONE) return;
    x->verdict.refuse = ENDING_CLIENT_CONTEXT;
    x->verdict.say = x->fields.say;
}

static void count_applied(struct worker_metrics *m, const struct fields_tally *t) {
    for (unsigned i = FIELD_PASSED + 1; t->removed && i < FIELD_FATES; i++)
        if (t->fates[i]) metrics_field(m, (enum field_fate)i, t->fates[i]);
    if (t->trace.restarted) metric_add(m, METRIC_TRACES_RESTARTED, t->trace.restarted);
    if (t->trace.members) metric_add(m, METRIC_TRACESTATE_REMOVED, t->trace.members);
    if (t->baggage) metric_add(m, METRIC_BAGGAGE_REMOVED, t->baggage);
}
static void remove_lookalikes(struct exchange *x, const struct header_edits *edits, struct head *up) {
    struct lookalike_facts f = { .policy = x->policy, .dialects = &x->snapshot->config->dialects, .edits = edits, .trusted = x->trusted };
    unsigned n = lookalikes_remove(&f, up);
    if (n) metrics_field(&x->w->metrics, FIELD_LOOKALIKE, n);
}
void exchange_context_apply(struct exchange *x, struct head *up) {
    remove_lookalikes(x, &x->match.route->headers.request, up);
    struct fields_hop hop = { .listener = x->listener->name, .down = x->rpc, .up = x->rpc_up, .load = load_drops(x->w), .verdict = &x->fields,
                              .dialects = &x->snapshot->config->dialects,
                              .random = &x->w->chance };
    struct fields_tally tally;
    fields_apply(&x->policy->context, &hop, up, &tally);
    count_applied(&x->w->metrics, &tally);
}
const struct head *exchange_context_trailers(struct exchange *x, const struct head *trailers) {
    if (!trailers) return NULL;
    const struct fields_policy *p = &x->policy->context;
    const struct dialect_set *dialects = &x->snapshot->config->dialects;
    struct head *copy = head_clone(trailers, &x->arena);
    struct fields_tally tally;
    remove_lookalikes(x, NULL, copy);
    bool governs = p->nslots || p->prefixes.n || p->schema_version;
    if (governs && fields_in_trailers(p, dialects, copy, &tally)) count_applied(&x->w->metrics, &tally);
    if (x->verdict.tell) deadline_in_trailers(&x->policy->deadline, dialects, copy);
    forward_in_trailers(&x->policy->forward, x->trusted, copy);
    return copy;
}
