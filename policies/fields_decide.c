// SPDX-License-Identifier: Apache-2.0
// What a request must bring, before an upstream is asked: fields that are required or malformed, a schema that is too new, a deadline, a trace. The
// sentence of a refusal names what is wrong, and never repeats a peer's words.
#include "policies/fields.h"
#include <assert.h>

struct look { /* at one request */
    const struct fields_policy *p;
    const struct fields_facts *f;
    struct fields_verdict *v;
    size_t family;
    int64_t nrequired; /* what is required and there: how much of it, as the caps count */
    uint64_t required_bytes;
    int64_t sent; /* the version that x-context-schema says; 0: none */
};

static void refuse(struct look *l, struct str sentence) {
    if (!l->v->say) l->v->say = sentence.p;
}
#define SAY(l, ...) refuse((l), arena_printf((l)->f->arena, __VA_ARGS__))
static void warn(struct look *l, struct str what) {
    struct str before = l->v->missing;
    l->v->missing = before.n ? arena_printf(l->f->arena, "%.*s %.*s", STR_ARG(before), STR_ARG(what)) : what;
    l->v->nmissing++;
}

/* ---- the schema's version -------------------------------------------------------------------------------------------------------------------- */
/* 1 to 9 digits, no leading zero, once. */
static bool read_version(struct str s, int64_t *out) {
    uint64_t v;
    if (!s.n || s.n > 9 || s.p[0] == '0' || !str_to_u64(s, &v)) return false;
    *out = (int64_t)v;
    return true;
}
static void look_at_schema(struct look *l) {
    const struct fields_policy *p = l->p;
    if (!p->schema_version) return;
    const struct field *f = head_find_name(l->f->head, SCHEMA_FIELD, NULL);
    l->v->version = p->schema_version;
    if (!f) return;
    bool good = read_version(f->value, &l->sent) && !head_find_name(l->f->head, SCHEMA_FIELD, f);
    l->v->schema_malformed = !good;
    if (!good) l->sent = 0; /* as if it had said nothing */
    if (l->sent <= p->schema_version) return;
    l->v->schema_newer = true;
    switch ((enum schema_newer)p->newer) {
    case NEWER_DROP: break;
    case NEWER_PASS: /* a stranger who says a high number would carry in what no row allows */
        l->v->unlisted = l->f->trusted;
        if (l->f->trusted) l->v->version = l->sent;
        break;
    case NEWER_REJECT:
        SAY(l, "the request's x-context-schema, %lld, is newer than %lld, which is known here%c", (long long)l->sent, (long long)p->schema_version, 0);
        break;
    }
}

/* ---- fields ------------------------------------------------------------------------------------------------------------------------------------ */
static bool is_well(const struct context_field *row, const struct field *f) { return f->value.n <= row->max && field_is_good(row, f->value); }

static const char *shape_of(const struct context_field *row, struct str value) {
    if (value.n > row->max) return "it is longer than its max";
    switch ((enum field_type)row->type) {
    case FIELD_INTEGER: return "it is no integer";
    case FIELD_BOOLEAN: return "it is neither true nor false";
    case FIELD_UUID: return "it is no UUID";
    case FIELD_TOKEN: return "it is no token";
    case FIELD_STRING: break;
    }
    return "it does not match its pattern";
}
static void look_at_field(struct look *l, const struct context_field *row) {
    struct str name = row->wire[l->family];
    bool here = false;
    if (fields_believes(&row->from, l->f->listener)) {
        for (const struct field *f = NULL; (f = head_find_name(l->f->head, name, f));) {
            bool well = is_well(row, f);
            if (well && !here && row->required == REQUIRE_REJECT) l->nrequired++, l->required_bytes += f->name.n + f->value.n;
            here |= well;
            if (!well && row->malformed == FIELD_REJECT) SAY(l, "the field %.*s is malformed: %s%c", STR_ARG(name), shape_of(row, f->value), 0);
        }
    }
    bool older = l->sent && l->sent < row->since;
    if (here || older) return;
    if (row->required == REQUIRE_REJECT) SAY(l, "the request has no field %.*s, which is required%c", STR_ARG(name), 0);
    if (row->required == REQUIRE_WARN) warn(l, name);
}
static void look_at_fields(struct look *l) {
    for (size_t i = 0; i < l->p->fields.n; i++) {
        const struct context_field *row = CONF_AT(l->p->fields, const struct context_field, i);
        if (row->required != REQUIRE_NONE || row->malformed == FIELD_REJECT) look_at_field(l, row);
    }
    /* Then one that is required would be dropped. */
    bool past = l->nrequired > l->p->max_fields || l->required_bytes > l->p->max_bytes;
    if (past) SAY(l, "the fields that are required are more than may pass%c", 0);
}

/* ---- the deadline and the trace ------------------------------------------------------------------------------------------------------------------ */
static void look_at_deadline(struct look *l) {
    struct deadline_verdict *d = l->f->deadline;
    if (d->asked) return;
    switch ((enum requirement)l->p->require.deadline) {
    case REQUIRE_NONE: break;
    case REQUIRE_WARN: warn(l, STR("deadline")); break;
    case REQUIRE_INJECT: deadline_inject(l->f->deadline_policy, l->f->now, d); break;
    case REQUIRE_REJECT:
        if (d->would_refuse == ENDING_NONE) d->would_refuse = ENDING_CLIENT_CONTEXT;
        if (d->enforce) SAY(l, "the request has no deadline, and one is required%c", 0);
        break;
    }
}
static void look_at_trace(struct look *l) {
    if (l->p->require.trace == REQUIRE_NONE) return;
    if (trace_is_good(l->f->head, fields_believes(&l->p->trace.from, l->f->listener))) return;
    switch ((enum requirement)l->p->require.trace) {
    case REQUIRE_NONE: break;
    case REQUIRE_WARN: warn(l, STR("trace")); break;
    case REQUIRE_INJECT: trace_begin(&l->p->trace, l->f->random, &l->v->root); break;
    case REQUIRE_REJECT: SAY(l, "the request has no valid traceparent, and one is required%c", 0); break;
    }
}

void fields_decide(const struct fields_policy *p, const struct fields_facts *f, struct fields_verdict *v) {
    *v = (struct fields_verdict){ 0 };
    if (!p->decides) return;
    struct look l = { .p = p, .f = f, .v = v, .family = deadline_family_index(f->rpc->family) };
    assert(l.family < FAMILIES_MAX);
    look_at_schema(&l);
    look_at_deadline(&l);
    look_at_trace(&l);
    look_at_fields(&l);
}
