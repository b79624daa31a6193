// SPDX-License-Identifier: Apache-2.0
// Another attempt, or not. The rule that matters (T39): what may have run is sent again only where the policy names that outcome and the
// method bears it; what cannot have run is sent again freely, while its caller is there and time is left (T38).
#include "policies/retry.h"
#include "codecs/dialect.h"

const char *retry_verdict_name(enum retry_verdict v) {
    static const char *const names[RETRY_VERDICTS] = { [RETRY_NO] = "", [RETRY_YES] = "", [RETRY_NO_TIME] = "no_time",
                                                       [RETRY_PUSHBACK] = "pushback", [RETRY_BUDGET] = "budget" };
    return names[v];
}

/* ---- what bears repeating --------------------------------------------------------------------------------------------------------------- */

bool retry_is_outcome(enum ending e) { return ending_rows[e].side == ENDING_SIDE_UPSTREAM || e == ENDING_TRY_TIMEOUT; }

static bool cannot_have_run(enum ending e) {
    return e == ENDING_REFUSED_STREAM || e == ENDING_CONNECT_FAILURE || e == ENDING_CONNECT_TIMEOUT;
}

bool method_is_idempotent(struct str method) {
    static const struct str idempotent[] = { STR_INIT("GET"), STR_INIT("HEAD"), STR_INIT("PUT"), STR_INIT("DELETE"), STR_INIT("OPTIONS"),
                                             STR_INIT("TRACE") };
    for (size_t i = 0; i < sizeof idempotent / sizeof *idempotent; i++)
        if (str_eq(idempotent[i], method)) return true;
    return false;
}

static bool bears_repeating(const struct retry_policy *p, struct str method) {
    if (!p->methods.given) return method_is_idempotent(method);
    for (size_t i = 0; i < p->methods.n; i++)
        if (str_eq(p->methods.v[i].name, method)) return true;
    return false;
}

bool retry_may_hedge(const struct retry_policy *p, const struct rpc *rpc, struct str method) {
    return p->hedge && (rpc->early || bears_repeating(p, method));
}

/* ---- what an answer says ---------------------------------------------------------------------------------------------------------------- */

static bool names_http(const struct retry_when *w, uint16_t status) {
    return status >= 400 && status < 600 && w->http[(status - 400u) / 64] >> (status - 400u) % 64 & 1;
}

bool retry_names(const struct retry_policy *p, const struct rpc *rpc, const struct head *answer, struct str method) {
    if (!p->when.statuses) return false;
    if (!rpc->early) return names_http(&p->when, answer->status) && bears_repeating(p, method);
    int16_t status = rpc->early(answer);
    return status >= 0 && status < GRPC_STATUSES && p->when.grpc >> status & 1;
}

/* gRFC A6: "If the value for pushback is negative or unparseable, then it will be seen as the server asking the client not to retry at all". */
static struct retry_said read_pushback(struct str value) {
    uint64_t ms;
    if (!str_to_u64(value, &ms) || ms > INT32_MAX) return (struct retry_said){ .word = RETRY_NEVER };
    return (struct retry_said){ RETRY_AT, span_ms((int64_t)ms) };
}

/* RFC 9110 10.2.3: Retry-After = HTTP-date / delay-seconds. What is neither says nothing. */
static struct retry_said read_retry_after(struct str value, int64_t wall_ns) {
    static const struct dialect date = { .kind = DIALECT_EPOCH, .unit = UNIT_HTTP_DATE };
    uint64_t s;
    if (str_to_u64(value, &s)) return (struct retry_said){ RETRY_NOT_BEFORE, span_s(s < INT64_MAX ? (int64_t)s : INT64_MAX) };
    struct dialect_reading r = dialect_parse(&date, value, (struct str){ 0 }, wall_ns);
    if (r.result == DIALECT_LEFT) return (struct retry_said){ RETRY_NOT_BEFORE, r.left };
    return (struct retry_said){ .word = r.result == DIALECT_EXPIRED ? RETRY_NOT_BEFORE : RETRY_UNSAID };
}

struct retry_said retry_read(const struct head *answer, int64_t wall_ns) {
    const struct field *f = head_find_name(answer, STR("grpc-retry-pushback-ms"), NULL);
    if (f) return read_pushback(f->value);
    f = head_find(answer, TOKEN_RETRY_AFTER);
    return f ? read_retry_after(f->value, wall_ns) : (struct retry_said){ 0 };
}

/* ---- the verdict ------------------------------------------------------------------------------------------------------------------------ */

static bool has_bit(uint64_t mask, enum ending e) { return mask >> e & 1; }

static bool is_named(const struct retry_policy *p, const struct retry_facts *f) {
    if (f->outcome == ENDING_NONE) return true;
    if (!retry_is_outcome(f->outcome)) return false; /* our own word, as for a full queue */
    bool named = has_bit(p->when.endings, f->outcome);
    if (f->unprocessed || cannot_have_run(f->outcome)) /* unprocessed, whatever its name, is what refused_stream says */
        return named || (f->unprocessed && has_bit(p->when.endings, ENDING_REFUSED_STREAM));
    return named && bears_repeating(p, f->method);
}

span retry_backoff_below(const struct retry_policy *p, int64_t n) {
    int64_t most = p->backoff.max.ns ? p->backoff.max.ns : i64_mul_sat(p->backoff.base.ns, 10);
    int64_t steps = n < 62 ? (INT64_C(1) << n) - 1 : INT64_MAX;
    return span_min(span_ns(i64_mul_sat(p->backoff.base.ns, steps)), span_ns(most));
}
span retry_backoff(const struct retry_policy *p, int64_t n, uint64_t draw) {
    span below = retry_backoff_below(p, n);
    return span_ns(below.ns > 0 ? (int64_t)(draw % (uint64_t)below.ns) : 0);
}

static span wait_for(const struct retry_policy *p, const struct retry_facts *f) {
    if (f->said.word == RETRY_AT) return f->said.wait;
    /* The upstream was not reached, so it is not spared by waiting: another endpoint, or connection, may take it now. */
    if (f->made == 0 && f->outcome != ENDING_NONE && (f->unprocessed || cannot_have_run(f->outcome))) return span_ns(0);
    return span_max(retry_backoff(p, f->made + 1, f->draw), f->said.wait);
}

enum retry_verdict retry_decide(const struct retry_policy *p, const struct retry_facts *f, span *wait) {
    *wait = span_ns(0);
    if (!f->context_live || !f->replayable || f->made >= p->retries || !is_named(p, f)) return RETRY_NO;
    if (f->said.word == RETRY_NEVER) return RETRY_PUSHBACK;
    *wait = wait_for(p, f);
    return span_sub(f->left, *wait).ns < f->min.ns ? RETRY_NO_TIME : RETRY_YES;
}

uint64_t retry_budget_of(const struct retry_budget *b, uint64_t attempts, uint64_t floor_share) {
    uint64_t part = attempts * b->ratio / 10000;
    return part > floor_share ? part : floor_share;
}
