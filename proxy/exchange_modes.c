// SPDX-License-Identifier: Apache-2.0
// What a policy's modes and its max_reject make of an exchange: whether it may be refused, and what enforcing would have done where it is not enforced.
#include "proxy/exchange.h"
#include "proxy/listener.h"

static struct judge *judge_of(const struct exchange *x) { return x->w->judges[x->match.route->index]; }
static struct observed_metrics *observed_of(const struct exchange *x) {
    return x->match.route ? x->w->metrics.routes[x->match.route->index].observed : NULL;
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
    struct deadline_facts f = { .head = x->request, .rpc = x->rpc, .dialects = &x->w->config->dialects, .trusted = x->trusted,
                                .now = x->w->now, .wall_ns = worker_wall(x->w), .parent = INSTANT_NEVER };
    if (p->needs.percent) f.measured = latency_percentile(&judge_of(x)->latency, p->needs.percent, x->w->now);
    deadline_decide(p, &f, &x->verdict);
    ask_guard(x);
    exchange_context_decide(x); /* what the context lacks is no matter of time: max_reject does not let it through */
}
static bool is_shed(enum ending e) { return e == ENDING_SHED_EXPIRED || e == ENDING_SHED_LATENCY; }
bool exchange_is_too_late(struct exchange *x) {
    const struct deadline_policy *p = &x->policy->deadline;
    const struct deadline_verdict *v = &x->verdict;
    if (x->tries != 1 || v->let_through != ENDING_NONE) return false;
    bool late = instant_until(x->w->now, v->total).ns < v->needs.ns;
    if (v->enforce || !mode_observes(p->mode)) return late && v->enforce;
    bool expired = exchange_left(x).ns < span_add(p->min, p->reserve).ns;
    if ((late || expired) && exchange_would_have(x, x->w->now) == ENDING_NONE) x->would = expired ? ENDING_SHED_EXPIRED : ENDING_SHED_LATENCY;
    return false;
}
void exchange_note_latency(struct exchange *x) {
    if (x->policy->deadline.needs.percent) latency_note(&judge_of(x)->latency, instant_until(x->sent_at, x->w->now), x->w->now);
}

/* ---- observing ---------------------------------------------------------------------------------------------------------------------- */
enum ending exchange_would_have(const struct exchange *x, instant by) {
    const struct deadline_verdict *v = &x->verdict;
    if (x->would_left != ENDING_NONE) return x->would_left;
    if (!x->match.route || !mode_observes(x->policy->deadline.mode)) return ENDING_NONE;
    if (v->would_refuse != ENDING_NONE) return v->would_refuse;
    if (is_shed(x->would)) return x->would;
    instant head = x->answered_at.ns && !x->local ? x->answered_at : by;
    if (x->to_head_due.ns && instant_before(x->to_head_due, head)) return ENDING_DEADLINE;
    if (x->would == ENDING_NONE && instant_before(v->total, by)) return ENDING_DEADLINE;
    return x->would;
}
void exchange_observe_cancel(struct exchange *x, enum ending why, enum cancel_level level) {
    if (!mode_observes(x->policy->cancel.mode) || level == LEVEL_NOT_NEEDED) return;
    metric_cell_add(&observed_of(x)->cancels[why][level], 1);
    if (level > x->would_cancel) x->would_cancel = level;
}
void exchange_observe_leaving(struct exchange *x, enum ending why) {
    const struct cancel_policy *p = &x->policy->cancel;
    const struct attempt *a = x->attempt;
    if (!mode_observes(p->mode) || x->would_left != ENDING_NONE || p->client_gone == GONE_IGNORE) return;
    enum ending before = exchange_would_have(x, x->w->now);
    x->would_left = before != ENDING_NONE ? before : why;
    if (before != ENDING_NONE || !a) return;
    bool withdrawn = !a->conn || !a->up.head_taken;
    exchange_observe_cancel(x, why, withdrawn ? LEVEL_WITHDRAWN : cancel_would(p, a->conn->session.codec, why, a->told.ns > 0));
}
void exchange_count(struct exchange *x) {
    metrics_request(&x->w->metrics, x->context.ending);
    if (!x->match.route) return;
    metric_cell_add(&x->w->metrics.routes[x->match.route->index].requests[x->context.ending], 1);
    enum ending would = exchange_would_have(x, x->ended_at);
    if (would != ENDING_NONE) metric_cell_add(&observed_of(x)->endings[would], 1);
}
