// SPDX-License-Identifier: Apache-2.0
// What a policy's modes and its max_reject make of an exchange: whether it may be refused, and what enforcing would
// have done where it is not enforced.
#include "proxy/exchange.h"
#include "proxy/listener.h"

static struct judge *judge_of(const struct exchange *x) { return x->snapshot->judges[x->match.route->index]; }
static struct observed_metrics *observed_of(const struct exchange *x) {
    return x->match.route ? x->snapshot->routes->v[x->match.route->index]->observed : NULL;
}

/* ---- refusing ----------------------------------------------------------------------------------------------------------------------- */
/* In observe and forward, too: what enforcing would have done includes what it would have let through. */
static void ask_guard(struct exchange *x) {
    const struct deadline_policy *p = &x->policy->deadline;
    struct deadline_verdict *v = &x->verdict;
    if (!p->max_reject || p->mode == MODE_DISABLED) return;
    if (!guard_lets_through(&judge_of(x)->guard, p->max_reject, v->would_refuse != ENDING_NONE, x->w->now)) return;
    metric_cell_add(&observed_of(x)->let_through[v->would_refuse], 1);
    deadline_let_through(p, v, x->w->now);
}
void exchange_judge(struct exchange *x) {
    const struct deadline_policy *p = &x->policy->deadline;
    struct deadline_facts f = { .head = x->request, .rpc = x->rpc, .dialects = &x->snapshot->config->dialects, .trusted = x->trusted,
                                .now = x->w->now, .wall_ns = worker_wall(x->w), .parent = INSTANT_NEVER };
    if (p->needs.percent) f.measured = latency_percentile(&judge_of(x)->latency, p->needs.percent, x->w->now);
    deadline_decide(p, &f, &x->verdict);
    ask_guard(x);
    exchange_context_decide(x); /* what the context lacks is no matter of time: max_reject does not let it through */
    if (mode_observes(p->mode)) x->would = x->verdict.would_refuse;
}
bool exchange_is_too_late(struct exchange *x) {
    const struct deadline_verdict *v = &x->verdict;
    if (x->tries > 1 || !span_is_positive(v->needs) || instant_until(x->w->now, v->total).ns >= v->needs.ns) return false;
    if (!v->enforce) exchange_would(x, ENDING_SHED_LATENCY);
    return v->enforce;
}
void exchange_note_latency(struct exchange *x) {
    if (x->would != ENDING_NONE) return; /* enforcing would not have seen it */
    if (x->policy->deadline.needs.percent) latency_note(&judge_of(x)->latency, instant_until(x->sent_at, x->w->now), x->w->now);
}

/* ---- observing ---------------------------------------------------------------------------------------------------------------------- */
/* The clocks of enforce run in observe and forward, too, and what they would have ended is noted as they fire: so what is earlier is first, whatever
 * it is, and each attempt is found as enforcing would have found it. */
static void count_cancel(struct exchange *x, enum ending why, enum cancel_level level) {
    if (level == LEVEL_NOT_NEEDED) return;
    metric_cell_add(&observed_of(x)->cancels[why][level], 1);
    if (level > x->would_cancel) x->would_cancel = level;
}
static enum cancel_level level_of(const struct attempt *a, enum ending why) {
    if (!a->conn || !a->up.head_taken) return LEVEL_WITHDRAWN;
    return cancel_would(&a->x->policy->cancel, a->conn->session.codec, why, a->would_tell);
}
static void count_cancels(struct exchange *x, enum ending why) {
    if (x->policy->cancel.mode == MODE_DISABLED || ending_rows[why].upstream != ENDING_UP_CANCEL) return;
    if (x->waiting) count_cancel(x, why, LEVEL_WITHDRAWN);
    LIST_EACH(&x->attempts, a, struct attempt, node) {
        if (attempt_is_in_play(a)) count_cancel(x, why, level_of(a, why));
    }
}
void exchange_would(struct exchange *x, enum ending why) {
    if (x->would != ENDING_NONE || context_is_ended(&x->context) || !x->match.route || !policy_is_observed(x->policy)) return;
    x->would = why;
    count_cancels(x, why);
}
void exchange_observe_leaving(struct exchange *x, enum ending why) {
    const struct cancel_policy *p = &x->policy->cancel;
    if (!mode_observes(p->mode)) return;
    if (p->client_gone != GONE_IGNORE || !x->attempt || !x->attempt->conn) exchange_would(x, why);
    else if (!x->discard) x->would_leave = why;
}
void exchange_observe_ending(struct exchange *x, const struct attempt *a, enum ending why) {
    if (x->would == ENDING_NONE && mode_observes(x->policy->cancel.mode)) count_cancel(x, why, level_of(a, why));
}
void exchange_count(struct exchange *x) {
    metrics_request(&x->w->metrics, x->context.ending);
    if (!x->match.route) return;
    metric_cell_add(&x->snapshot->routes->v[x->match.route->index]->requests[x->context.ending], 1);
    if (x->would == ENDING_NONE && x->context.ending == ENDING_COMPLETED) x->would = x->would_leave;
    if (x->would != ENDING_NONE) metric_cell_add(&observed_of(x)->endings[x->would], 1);
}
