// SPDX-License-Identifier: Apache-2.0
// The attempts of an exchange together: whose answer counts, and whether what failed, or is slow, is followed by another. Outcomes rise through
// here and nowhere else (semantics 1).
//
//   tries_begin ─→ attempt_start ─→ tries_answered: the first answer counts, the others end in silence
//                   ↑    ↑      ├─→ tries_failed, or an answer that is held back since its status is tried again:
//        hedge timer ┘    │      │      others are under way: nothing; else
//     back-off, or at once └─────┴── the policy's verdict ─→ the exchange ends with the outcome, or the answer passes as it came
//
// One timer is enough for both: a back-off runs while no attempt is in play, the wait for a hedge only while one is.
#include "core/random.h"
#include "proxy/call.h"

/* Another that may still answer: one that is asked, where there is one; NULL: none. */
static struct attempt *another(struct exchange *x, const struct attempt *than) {
    struct attempt *any = NULL;
    LIST_EACH(&x->attempts, a, struct attempt, node) {
        if (a == than || !attempt_is_in_play(a)) continue;
        if (a->conn) return a;
        any = a;
    }
    return any;
}
/* Whatever still comes of it counts no more, nor does it in the budget. */
static void put_out(struct attempt *a) {
    struct exchange *x = a->x;
    a->over = true;
    if (a->borrowed) upstream_repay(x->upstream);
    a->borrowed = false;
    x->tried |= a->place.tried | upstream_endpoint_bit(a->conn);
    if (x->attempt == a) x->attempt = another(x, a);
}
bool tries_go_on(struct exchange *x) { return another(x, NULL) != NULL; }
static bool client_is_there(const struct exchange *x) { return !context_is_ended(&x->context) && !x->discard; }
/* With less than this left it is not worth asking (trap T38). */
static span least(const struct exchange *x) {
    const struct deadline_policy *d = &x->policy->deadline;
    return span_max(span_add(d->min, d->reserve), x->verdict.needs);
}

/* ---- starting one more ------------------------------------------------------------------------------------------------------------------ */
/* A hedge goes to who has not been asked, where there is one. */
static void start(struct exchange *x, bool hedge) {
    uint64_t tried = x->tried;
    LIST_EACH(&x->attempts, a, struct attempt, node) { tried |= upstream_endpoint_bit(a->conn ? a->conn : a->place.opening); }
    attempt_start(x, &(struct start){ .tried = tried, .borrowed = hedge || x->retry_borrowed, .hedge = hedge });
}
/* A body that is not kept is dropped as it goes. */
static bool can_run_twice(const struct exchange *x) {
    return x->up.start == 0 && (x->keep || (x->up.complete && x->up.end == 0)) && str_is_empty(x->request->protocol);
}
static bool may_hedge(const struct exchange *x) {
    const struct retry_policy *p = &x->policy->retry;
    return p->hedge && !x->unhedged && x->hedges < p->hedge->max && x->answered == ANSWERED_NOT && can_run_twice(x) &&
           retry_may_hedge(p, x->rpc_up, x->request->method);
}
static void await_hedge(struct exchange *x, span after) {
    if (x->attempt && !x->waiting && may_hedge(x)) wheel_arm(&x->w->wheel, &x->next, instant_add(x->w->now, after));
}
static void refused(struct exchange *x, enum retry_verdict why) {
    x->no_retry = why;
    metrics_retry_refused(&x->w->metrics, why);
}
static void hedge(struct exchange *x) {
    if (!x->attempt || !may_hedge(x) || !client_is_there(x)) return;
    if (exchange_left(x).ns < least(x).ns) return;
    if (!upstream_borrow(x->upstream, &x->policy->retry.budget)) {
        refused(x, RETRY_BUDGET);
        return;
    }
    x->hedges++;
    metric_inc(&x->w->metrics, METRIC_HEDGES);
    start(x, true);
    await_hedge(x, x->policy->retry.hedge->after);
}
static void retry(struct exchange *x) {
    exchange_moved(x); /* the wait was no silence of whoever is asked now */
    start(x, false);
    if (x->policy->retry.hedge) await_hedge(x, x->policy->retry.hedge->after);
}
static void stop_waiting(struct exchange *x) {
    wheel_disarm(&x->w->wheel, &x->next);
    if (x->waiting) metric_dec(&x->w->metrics, METRIC_RETRIES_WAITING);
    x->waiting = false;
}
static void on_next(struct timer *t, instant now) {
    (void)now;
    struct exchange *x = CONTAINER_OF(t, struct exchange, next);
    bool waited = x->waiting;
    if (context_is_ended(&x->context)) return; /* in this very turn: tries_stop is about to come */
    stop_waiting(x);
    if (waited) calls_off(x);
    if (waited) retry(x);
    else hedge(x);
}
void tries_begin(struct exchange *x) {
    x->next.fire = on_next;
    attempt_start(x, &(struct start){ .tried = 0 });
    if (x->policy->retry.hedge) await_hedge(x, x->policy->retry.hedge->after);
}
/* The retry that waits is one that the upstream never hears of. */
void tries_stop(struct exchange *x) {
    bool waited = x->waiting;
    stop_waiting(x);
    if (!waited) return;
    if (x->retry_borrowed) upstream_repay(x->upstream);
    if (ending_rows[x->context.ending].upstream != ENDING_UP_CANCEL) return;
    x->level = LEVEL_WITHDRAWN;
    metrics_cancel(&x->w->metrics, x->context.ending, LEVEL_WITHDRAWN);
}

/* ---- the verdict ------------------------------------------------------------------------------------------------------------------------ */
/* Where no deadline bounds a wait (a stream), it is no longer than a silence may be, or than any deadline. */
static span time_left(const struct exchange *x) {
    span left = exchange_left(x);
    return span_is_forever(left) ? span_min(x->verdict.idle, x->policy->deadline.max) : left;
}
/* What asks for a tunnel is sent again only where it cannot have run. */
static struct str method_to_repeat(const struct exchange *x) {
    return str_is_empty(x->request->protocol) ? x->request->method : (struct str){ 0 };
}
static struct retry_facts facts_of(struct exchange *x, enum ending outcome) {
    return (struct retry_facts){ .outcome = outcome, .method = method_to_repeat(x), .replayable = x->up.start == 0 && x->answered == ANSWERED_NOT,
                                 .context_live = client_is_there(x), .made = x->retries, .left = time_left(x), .min = least(x),
                                 .draw = random_next(&x->w->chance) };
}
/* True: the budget has a place for it, or need not have: what a GOAWAY passed over (T15) is asked of the upstream for the first time, and a connection
 * that ends under a hundred streams would leave most of them to a budget made for failures. */
static bool decide(struct exchange *x, const struct retry_facts *f, span *wait) {
    enum retry_verdict v = retry_decide(&x->policy->retry, f, wait);
    x->retry_borrowed = v == RETRY_YES && !f->passed_over && upstream_borrow(x->upstream, &x->policy->retry.budget);
    if (v == RETRY_YES && !f->passed_over && !x->retry_borrowed) v = RETRY_BUDGET;
    if (v > RETRY_YES) refused(x, v);
    return v == RETRY_YES;
}
/* One that hangs takes no more than half of what is left from the attempt that waits for it. */
static span patience_with_calls(const struct exchange *x) {
    span left = time_left(x);
    return span_min(span_ns(left.ns / 2), span_sub(left, least(x)));
}
/* While the call is under way that tells an upstream to end the work of the attempt before, it could find this one's under the same id (trap T44): it
 * is waited for, and where that has taken too long called off. */
static void follow(struct exchange *x, enum ending outcome, span wait) {
    bool called = !list_is_empty(&x->calls);
    x->retries++;
    metrics_retry(&x->w->metrics, outcome);
    if (!span_is_positive(wait) && !called) {
        retry(x);
        return;
    }
    x->waiting = true;
    metric_inc(&x->w->metrics, METRIC_RETRIES_WAITING);
    x->not_before = instant_add(x->w->now, wait);
    span longest = called ? span_max(wait, patience_with_calls(x)) : wait;
    wheel_arm(&x->w->wheel, &x->next, instant_add(x->w->now, longest));
}
void tries_told(struct exchange *x) {
    if (!x->waiting || context_is_ended(&x->context) || !list_is_empty(&x->calls)) return;
    if (instant_before(x->w->now, x->not_before)) {
        wheel_arm(&x->w->wheel, &x->next, x->not_before);
        return;
    }
    stop_waiting(x);
    retry(x);
}

/* Another begins, where enforcing would have found too little time for it. */
static bool lacks_time(const struct exchange *x, span wait) { return span_sub(exchange_left_by_clock(x), wait).ns < least(x).ns; }
/* Where the policy would have tried again, nobody knows what would have come of that. */
void tries_would_time_out(struct attempt *a) {
    struct exchange *x = a->x;
    span wait;
    if (!attempt_is_in_play(a) || another(x, a)) return;
    struct retry_facts f = facts_of(x, ENDING_TRY_TIMEOUT);
    f.left = exchange_left_by_clock(x);
    if (retry_decide(&x->policy->retry, &f, &wait) != RETRY_YES) exchange_would(x, ENDING_TRY_TIMEOUT);
}

/* ---- an attempt that failed ------------------------------------------------------------------------------------------------------------- */
/* Semantics 5, "the stale connection": a reused connection that ended before a byte of the answer. */
static bool is_stale(const struct attempt *a, const struct fault *f, bool unsent) {
    const struct exchange *x = a->x;
    if (!a->reused || a->heard || x->stale_used || f->why != ENDING_UPSTREAM_CLOSED) return false;
    /* With too little left it would end as shed_expired, "never asked", though it was asked. */
    if (exchange_left(x).ns < least(x).ns) return false;
    return unsent ? x->up.start == 0 : method_is_idempotent(x->request->method) && x->up.start == 0;
}
static void start_afresh(struct attempt *a) {
    struct exchange *x = a->x;
    struct start s = { .tried = x->tried, .fresh = true, .borrowed = a->borrowed, .hedge = a->hedge, .number = a->number };
    a->borrowed = false; /* its successor's now */
    a->over = true;
    x->stale_used = true;
    metric_inc(&x->w->metrics, METRIC_STALE_RETRIES);
    if (x->attempt == a) x->attempt = another(x, a);
    attempt_start(x, &s);
}
void tries_failed(struct attempt *a, const struct fault *f, bool unsent) {
    struct exchange *x = a->x;
    span wait;
    if (is_stale(a, f, unsent)) {
        if (lacks_time(x, span_ns(0))) exchange_would(x, f->why);
        start_afresh(a);
        return;
    }
    put_out(a);
    if (x->attempt || x->waiting) return; /* that outcome is not the request's: another is under way, or about to be */
    wheel_disarm(&x->w->wheel, &x->next);
    x->failed = *f;
    struct retry_facts facts = facts_of(x, f->why);
    facts.unprocessed = f->unprocessed || unsent;
    facts.passed_over = f->passed_over;
    if (x->answered == ANSWERED_NOT && decide(x, &facts, &wait)) {
        if (lacks_time(x, wait) || x->would_leave != ENDING_NONE) exchange_would(x, f->why); /* or nobody to do it for */
        follow(x, f->why, wait);
    } else {
        exchange_fail(x, f);
    }
}
/* Its upstream was not asked after all. If that of an earlier attempt was, "never asked" would be no true word: then what that one came to counts. */
static struct fault ending_unasked(const struct attempt *a, const struct fault *f) {
    if (a->number > 1 && a->x->failed.why) return a->x->failed;
    if (a->number > 1 && f->why == ENDING_SHED_EXPIRED) return (struct fault){ .why = ENDING_DEADLINE, .say = "too little was left for another attempt" };
    return *f;
}
void tries_unasked(struct attempt *a, const struct fault *f) {
    struct exchange *x = a->x;
    put_out(a);
    if (x->attempt) return;
    wheel_disarm(&x->w->wheel, &x->next);
    struct fault why = ending_unasked(a, f);
    exchange_fail(x, &why);
}
void tries_would_shed(struct attempt *a) {
    static const struct fault shed = { .why = ENDING_SHED_EXPIRED };
    if (attempt_is_in_play(a) && !another(a->x, a)) exchange_would(a->x, ending_unasked(a, &shed).why);
}

/* ---- an attempt that is answered --------------------------------------------------------------------------------------------------------- */
/* gRFC A6: a pushback speaks to hedges as it does to retries. */
static void heed(struct exchange *x, const struct retry_said *said) {
    if (said->word == RETRY_NEVER) x->unhedged = true;
    if (said->word == RETRY_NEVER) wheel_disarm(&x->w->wheel, &x->next);
    if (said->word == RETRY_AT) await_hedge(x, said->wait);
}
/* Its head is of a status that is tried again. True: it goes no further. */
static bool hold_back(struct attempt *a, const struct head *h) {
    struct exchange *x = a->x;
    struct retry_said said = retry_read(h, worker_wall(x->w));
    span wait = span_ns(0);
    bool alone = !another(x, a);
    if (alone) {
        struct retry_facts facts = facts_of(x, ENDING_NONE);
        facts.said = said;
        if (!decide(x, &facts, &wait)) return false;
        wheel_disarm(&x->w->wheel, &x->next);
    }
    put_out(a);
    attempt_discard(a);
    x->failed = (struct fault){ .why = ENDING_NONE };
    if (alone) follow(x, ENDING_NONE, wait);
    else heed(x, &said);
    return true;
}
/* The others hear of it in this turn, by the ladder, and nobody hears of them. */
static void choose(struct attempt *a) {
    struct exchange *x = a->x;
    x->attempt = a;
    wheel_disarm(&x->w->wheel, &x->next);
    for (struct attempt *b; (b = another(x, a));) {
        put_out(b);
        attempt_lose(b);
    }
    x->winner = a->number;
    x->endpoint = arena_copy(&x->arena, upstream_endpoint_text(a->conn));
    x->told = a->told;
    x->sent_at = a->begun;
    if (a->hedge) metric_inc(&x->w->metrics, METRIC_HEDGES_WON);
}
/* Two upstreams may each have a word before their answers: who is first is heard. But a client that waits for its 100
 * (Continue) waits for anybody's, and for one. */
bool tries_interim(struct attempt *a, const struct head *h) {
    struct exchange *x = a->x;
    bool first = !x->continued;
    if (!x->attempt->spoke) x->attempt = a;
    a->spoke = true;
    if (h->status != 100) return x->attempt == a;
    x->continued = true;
    return first;
}
bool tries_answered(struct attempt *a, const struct head *h) {
    struct exchange *x = a->x;
    const struct retry_policy *p = &x->policy->retry;
    if (retry_names(p, x->rpc_up, h, method_to_repeat(x)) && hold_back(a, h)) return false;
    if (p->hedge) choose(a);
    return true;
}
/* gRFC A6, "the buffer is full": one goes on, that which has sent most of it. */
void tries_commit(struct exchange *x) {
    struct attempt *most = another(x, NULL);
    x->keep = false;
    LIST_EACH(&x->attempts, a, struct attempt, node) {
        if (attempt_is_in_play(a) && a->offset > most->offset) most = a;
    }
    x->attempt = most;
    wheel_disarm(&x->w->wheel, &x->next);
    for (struct attempt *b; (b = another(x, most));) {
        put_out(b);
        attempt_lose(b);
    }
}
