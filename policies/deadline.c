// SPDX-License-Identifier: Apache-2.0
// From what the client wrote to one deadline, and from what is left to what the upstream is told. Semantics, section 2, point by point.
//
//   head ─→ find_present ─→ read_all (a candidate a dialect) ─→ decide_total, decide_default ─→ verdict
//   left ─→ deadline_tell: strip what we know, write anew
//
// A head with no dialect in it costs a bit-test a field. It reads no clock and knows no dialect by name.
#include "policies/deadline.h"

/* ---- what the client wrote -------------------------------------------------------------------------------------------------------------- */
struct present { /* which dialects the head may have: no need to look for the others */
    uint64_t header[DIALECTS_MAX / 64];
    bool prefer, query;
};
struct asked {
    span left; /* FOREVER: nobody asked */
    const struct dialect *source;
    span advice, per_try; /* FOREVER: none */
    bool reject;
};

static void find_present(const struct dialect_set *set, const struct head *h, struct present *p) {
    *p = (struct present){ .query = str_index(h->target, '?') < h->target.n };
    for (size_t i = 0; i < h->nfields; i++) {
        const struct field *f = &h->fields[i];
        const struct dialect *d = dialect_of_field(set, f);
        if (d) p->header[d->index / 64] |= UINT64_C(1) << d->index % 64;
        else if (f->token == TOKEN_PREFER && !field_is_removed(f)) p->prefer = true;
    }
}

static bool may_have(const struct present *p, const struct dialect *d) {
    switch ((enum dialect_place)d->place) {
    case DIALECT_HEADER: return p->header[d->index / 64] >> d->index % 64 & 1;
    case DIALECT_QUERY: return p->query;
    case DIALECT_PREFER: return p->prefer;
    }
    return false;
}

/* Never nothing: what has expired is too little under any policy. */
static span need_of(const struct deadline_policy *p) { return span_max(span_add(p->min, p->reserve), (span){ 1 }); }

/* A per-try limit below min would only waste the try; advice that has run out is none. */
static void ask(const struct deadline_policy *p, struct asked *a, const struct dialect *d, span left) {
    if (d->advice) {
        if (span_is_positive(left)) a->advice = span_min(a->advice, left);
    } else if (d->per_try) {
        a->per_try = span_min(a->per_try, span_max(left, p->min));
    } else if (!a->source || left.ns < a->left.ns) {
        a->left = left;
        a->source = d;
    }
}

static void read_one(const struct deadline_policy *p, const struct deadline_facts *f, const struct dialect *d, struct asked *a,
                     struct deadline_verdict *v) {
    struct dialect_reading r = dialect_read(d, f->head, f->wall_ns);
    v->malformed += r.malformed;
    switch (r.result) {
    case DIALECT_ABSENT:
    case DIALECT_UNBOUNDED: break;
    case DIALECT_LEFT: ask(p, a, d, r.skewed ? need_of(p) : r.left); break;
    case DIALECT_EXPIRED: ask(p, a, d, (span){ 0 }); break;
    case DIALECT_REJECT: a->reject = true; break;
    }
}

static struct asked read_all(const struct deadline_policy *p, const struct deadline_facts *f, struct deadline_verdict *v) {
    struct asked a = { .left = SPAN_FOREVER, .advice = SPAN_FOREVER, .per_try = SPAN_FOREVER };
    struct present here;
    find_present(f->dialects, f->head, &here);
    for (size_t i = 0; i < p->nread; i++) {
        const struct dialect *d = p->read_rows[i];
        if (!may_have(&here, d)) continue;
        if (d->trusted_only && !f->trusted) v->dropped_untrusted++;
        else read_one(p, f, d, &a, v);
    }
    return a;
}

/* ---- the verdict -------------------------------------------------------------------------------------------------------------------------- */
static bool is_stream(const struct deadline_policy *p, const struct deadline_facts *f) {
    switch ((enum stream_detect)p->streaming.detect) {
    case STREAM_ALWAYS: return true;
    case STREAM_NEVER: return false;
    case STREAM_AUTO: break;
    }
    return f->rpc->is_stream(f->head);
}

/* Semantics 2.3 and 2.4: the earliest of the candidates, clamped to max; the parent's, less reserve, caps it. Returns what is left of it. */
static span decide_total(const struct deadline_policy *p, const struct deadline_facts *f, const struct asked *a, struct deadline_verdict *v) {
    span left = a->left;
    v->asked = a->source || !instant_is_never(f->parent);
    if (a->source) {
        v->source = a->source;
        v->source_name = a->source->key;
        v->client_set = true;
        if (p->max.ns < left.ns) left = p->max, v->source = NULL, v->source_name = STR("max"), v->client_set = false;
    } else if (v->stream && !span_is_forever(p->streaming.max)) {
        left = p->streaming.max;
        v->source_name = STR("streaming.max");
    }
    if (instant_is_never(f->parent)) return left;
    span parent = span_sub(instant_until(f->now, f->parent), p->reserve);
    if (parent.ns >= left.ns) return left;
    v->source = NULL;
    v->source_name = STR("parent");
    v->client_set = true;
    return parent;
}

/* What is ours: the default where nobody asked, and from the untrusted also where somebody did; no stream has it. */
static void decide_default(const struct deadline_policy *p, const struct deadline_facts *f, const struct asked *a, span total,
                           struct deadline_verdict *v) {
    if (v->stream || (f->trusted && a->source)) return;
    bool by_max = !f->trusted && p->max.ns < p->deflt.ns;
    span ours = by_max ? p->max : p->deflt;
    if (ours.ns >= total.ns) return;
    v->to_head = ours;
    v->source_name = by_max ? STR("max") : STR("default");
    if (!a->source && !span_is_forever(a->advice)) v->advice = instant_add(f->now, a->advice);
}

static void refuse(struct deadline_verdict *v, enum ending why, const char *say) {
    v->would_refuse = why;
    if (!v->enforce) return;
    v->refuse = why;
    v->say = say;
}

/* Streams live as long as they are given; what a route needs is said of answers. */
static span needs_of(const struct deadline_policy *p, const struct deadline_facts *f, const struct deadline_verdict *v) {
    span needs = p->needs.percent ? f->measured : p->needs.fixed;
    return v->stream || !span_is_positive(needs) ? (span){ 0 } : span_add(needs, p->reserve);
}

static void begin_verdict(const struct deadline_policy *p, struct deadline_verdict *v) {
    *v = (struct deadline_verdict){
        .total = INSTANT_NEVER, .fire = INSTANT_NEVER, .advice = INSTANT_NEVER, .to_head = SPAN_FOREVER, .idle = SPAN_FOREVER,
        .per_try = SPAN_FOREVER, .source_name = STR("none"), .enforce = p->mode == MODE_ENFORCE,
        .tell = p->mode == MODE_ENFORCE || p->mode == MODE_FORWARD,
    };
}

void deadline_decide(const struct deadline_policy *p, const struct deadline_facts *f, struct deadline_verdict *v) {
    begin_verdict(p, v);
    if (p->mode == MODE_DISABLED) return;
    v->stream = is_stream(p, f);
    v->idle = v->stream ? p->streaming.idle : p->idle;
    struct asked a = read_all(p, f, v);
    v->per_try = span_min(p->per_try, a.per_try);
    span total = decide_total(p, f, &a, v);
    decide_default(p, f, &a, total, v);
    v->total = instant_add(f->now, total);
    if (instant_is_never(v->total)) v->client_set = false; /* saturated: so far away that it is none */
    v->fire = v->client_set ? instant_back(v->total, p->answer_margin) : v->total;
    v->needs = needs_of(p, f, v);
    if (a.reject) refuse(v, ENDING_CLIENT_CONTEXT, "a deadline in the request is malformed, or is repeated");
    else if (total.ns < need_of(p).ns) refuse(v, ENDING_SHED_EXPIRED, "less time is left than the upstream needs");
    else if (total.ns < v->needs.ns) refuse(v, ENDING_SHED_LATENCY, "less time is left than answers of this route take");
}

void deadline_let_through(const struct deadline_policy *p, struct deadline_verdict *v, instant now) {
    v->let_through = v->would_refuse;
    v->would_refuse = v->refuse = ENDING_NONE;
    v->needs = (span){ 0 };
    v->fire = v->total;
    if (span_is_positive(instant_until(now, v->total))) return;
    v->total = v->fire = INSTANT_NEVER;
    v->source = NULL;
    v->client_set = false;
    if (!v->stream) v->to_head = span_min(p->deflt, p->max);
    v->source_name = v->stream ? STR("none") : p->max.ns < p->deflt.ns ? STR("max") : STR("default");
}

void deadline_inject(const struct deadline_policy *p, instant now, struct deadline_verdict *v) {
    instant at = instant_add(now, span_min(p->deflt, p->max));
    if (p->mode == MODE_DISABLED || instant_is_never(at) || instant_before(v->total, at)) return;
    v->total = v->fire = at;
    v->to_head = SPAN_FOREVER;
    v->advice = INSTANT_NEVER;
    v->source_name = STR("default");
}

/* ---- what the upstream is told ---------------------------------------------------------------------------------------------------------------- */
span deadline_left(const struct deadline_policy *p, const struct deadline_verdict *v, instant now, span to_head) {
    span left = span_min(instant_until(now, v->total), to_head);
    span advised = instant_until(now, v->advice);
    if (advised.ns >= need_of(p).ns) left = span_min(left, advised);
    return span_is_forever(v->per_try) ? left : span_min(left, span_add(v->per_try, p->reserve));
}

static bool passes(const struct deadline_policy *p, const struct dialect *d) { return p->pass_mask[d->index / 8] >> d->index % 8 & 1; }

/* Only the members that are dialects go; what else the client prefers stays. */
static void strip_prefer(const struct deadline_policy *p, const struct dialect_set *set, struct field *f, struct arena *a) {
    for (size_t i = 1; i <= set->n; i++) {
        const struct dialect *d = &set->row[i];
        if (d->place == DIALECT_PREFER && !passes(p, d)) f->value = dialect_prefer_without(a, f->value, d->name);
    }
    if (f->value.n == 0) field_remove(f);
}

/* Semantics 2.8, traps T26 and T46: all that we know goes, read or not, so that no other value stands beside ours. */
static void strip(const struct deadline_policy *p, const struct dialect_set *set, struct head *up) {
    for (size_t i = 0; i < up->nfields; i++) {
        struct field *f = &up->fields[i];
        const struct dialect *d = dialect_of_field(set, f);
        if (d && !passes(p, d)) field_remove(f);
        else if (f->token == TOKEN_PREFER && !field_is_removed(f)) strip_prefer(p, set, f, up->arena);
    }
}

static bool may_strip(const struct deadline_policy *p) { return p->mode != MODE_DISABLED && p->mode != MODE_OBSERVE; }

bool deadline_strips_alike(const struct deadline_policy *p, const struct dialect_set *dialects, struct str name) {
    const struct dialect *d = may_strip(p) ? dialect_alike(dialects, name) : NULL;
    return d && !passes(p, d);
}

void deadline_in_trailers(const struct deadline_policy *p, const struct dialect_set *dialects, struct head *trailers) {
    if (may_strip(p)) strip(p, dialects, trailers);
}

static bool stands(const struct dialect *d, const struct head *h) {
    for (size_t i = 0; i < h->nfields && d->place == DIALECT_HEADER; i++)
        if (h->fields[i].hash == d->hash && str_eq(h->fields[i].name, d->name)) return true;
    return d->place == DIALECT_QUERY && dialect_query_has(h->target, d->name);
}

static bool write_query(const struct dialect *d, struct str value, struct head *up) {
    if (up->target.n == 0 || up->target.p[0] != '/') return false; /* CONNECT, and OPTIONS * */
    up->target = dialect_query_with(up->arena, up->target, d->name, value);
    return true;
}

static bool write_row(const struct dialect *d, span left, int64_t wall_ns, struct head *up) {
    char text[DIALECT_TEXT_MAX], companion[DIALECT_TEXT_MAX];
    size_t companion_n, n = dialect_format(d, left, wall_ns, text, companion, &companion_n);
    struct str value = { text, n };
    if (n == 0) return false;
    switch ((enum dialect_place)d->place) {
    case DIALECT_HEADER: head_add_hashed(up, d->name, d->hash, TOKEN_NONE, arena_copy(up->arena, value))->changes = true; break;
    case DIALECT_QUERY: return write_query(d, value, up);
    case DIALECT_PREFER: head_add(up, STR("prefer"), arena_printf(up->arena, "%.*s=%.*s", STR_ARG(d->name), STR_ARG(value))); break;
    }
    if (companion_n) head_add(up, d->companion, arena_copy(up->arena, (struct str){ companion, companion_n }))->changes = true;
    return true;
}

/* How many of the family's dialects now stand in the head; one that passes, and stands there, stays as the client wrote it. */
static size_t write_all(const struct deadline_policy *p, size_t family, span left, int64_t wall_ns, struct head *up) {
    size_t n = 0;
    for (size_t i = 0; i < p->nwrite[family]; i++) {
        const struct dialect *d = p->write_rows[family][i];
        if (passes(p, d) && stands(d, up)) n++;
        else n += write_row(d, left, wall_ns, up);
    }
    return n;
}

/* Would write_all write one? The head stays as it is. */
static bool fits_any(const struct deadline_policy *p, size_t family, span left, int64_t wall_ns, const struct head *up) {
    char text[DIALECT_TEXT_MAX], companion[DIALECT_TEXT_MAX];
    size_t companion_n;
    for (size_t i = 0; i < p->nwrite[family]; i++) {
        const struct dialect *d = p->write_rows[family][i];
        bool has_place = d->place != DIALECT_QUERY || (up->target.n && up->target.p[0] == '/');
        if ((passes(p, d) && stands(d, up)) || (has_place && dialect_format(d, left, wall_ns, text, companion, &companion_n) > 0)) return true;
    }
    return false;
}

enum ending deadline_tell(const struct deadline_policy *p, const struct dialect_set *dialects, const struct rpc *rpc, span left, int64_t wall_ns,
                          bool may_shed, struct head *up, span *told) {
    size_t family = deadline_family_index(rpc->family);
    enum ending shed = may_shed && left.ns < need_of(p).ns ? ENDING_SHED_EXPIRED : ENDING_NONE;
    *told = (span){ 0 };
    if (p->mode == MODE_DISABLED || (p->mode == MODE_ENFORCE && shed != ENDING_NONE)) return p->mode == MODE_DISABLED ? ENDING_NONE : shed;
    if (p->mode != MODE_OBSERVE) strip(p, dialects, up);
    span tell = span_is_forever(left) ? left : span_sub(left, p->reserve);
    if (!span_is_positive(tell)) tell = left; /* forward: better the whole of the little that is left than no word of it */
    tell = span_min(tell, p->per_try);
    if (span_is_forever(tell) || !span_is_positive(tell) || family == FAMILIES_MAX || p->nwrite[family] == 0) return shed;
    bool fits = p->mode == MODE_OBSERVE ? fits_any(p, family, tell, wall_ns, up) : write_all(p, family, tell, wall_ns, up) > 0;
    if (!fits) return may_shed ? ENDING_SHED_EXPIRED : ENDING_NONE;
    if (p->mode != MODE_OBSERVE || shed == ENDING_NONE) *told = tell;
    return shed;
}
