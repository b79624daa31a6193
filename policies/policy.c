// SPDX-License-Identifier: Apache-2.0
// Policies by name. `extends` is resolved on the YAML itself, before any table sees it: the nearest key wins, null gives the built-in back, and
// every value keeps the place where it stands in the file.
#include "policies/policy.h"
#include "policies/check.h"
#include "policies/context_schema.h"
#include <assert.h>

/* ---- what two parts say together --------------------------------------------------------------------------------------------------- */

static void check_require(struct conf *c, const struct conf_node *n, const struct policy *p) {
    const struct conf_node *context = n ? conf_get(n, STR("context")) : NULL, *require = context ? conf_get(context, STR("require")) : NULL;
    if (!require || p->context.require.deadline == REQUIRE_NONE) return;
    struct conf_pos place = conf_pos_of(require, "deadline");
    if (p->deadline.mode == MODE_DISABLED) conf_error(c, place, NULL, "deadline.mode disabled reads no deadline that could be required");
    else if (p->context.require.deadline == REQUIRE_INJECT && span_is_forever(p->deadline.deflt))
        conf_error(c, place, NULL, "deadline.default is none: there is nothing to inject");
}

static void check_hedge(struct conf *c, const struct conf_node *n, const struct policy *p) {
    const struct retry_hedge *h = p->retry.hedge;
    const struct conf_node *retry = n ? conf_get(n, STR("retry")) : NULL, *hedge = retry ? conf_get(retry, STR("hedge")) : NULL;
    if (!h || !hedge) return;
    struct conf_pos place = conf_pos_of(hedge, "after");
    if (h->after.ns >= p->deadline.max.ns) conf_error(c, place, NULL, "after is not less than deadline.max: there would never be a hedge");
    else if (h->after.ns >= p->deadline.per_try.ns) conf_error(c, place, NULL, "after is not less than deadline.per_try: no attempt lasts so long");
}

static void check_policy(struct conf *c, const struct conf_node *n, void *at) {
    check_require(c, n, at);
    check_hedge(c, n, at);
}

static const struct conf_field policy_fields[] = {
    { .name = "extends", .type = CONF_REF, .offset = offsetof(struct policy, extends),
      .help = "the policy that this one starts from: maps merge, lists and scalars replace, null restores the built-in; left out: the built-in "
              "values" },
    { .name = "deadline", .type = CONF_STRUCT, .offset = offsetof(struct policy, deadline), .table = &deadline_table,
      .help = "how long a request may take, who says so, and what the upstream is told of it" },
    { .name = "cancel", .type = CONF_STRUCT, .offset = offsetof(struct policy, cancel), .table = &cancel_table,
      .help = "what a client's leaving means, and how the upstream is told" },
    { .name = "answer", .type = CONF_STRUCT, .offset = offsetof(struct policy, answer), .table = &answer_table,
      .help = "what a client that still waits is told, by ending" },
    { .name = "context", .type = CONF_STRUCT, .offset = offsetof(struct policy, context), .table = &fields_table,
      .help = "which context fields travel with a request" },
    { .name = "retry", .type = CONF_STRUCT, .offset = offsetof(struct policy, retry), .table = &retry_table,
      .help = "when an attempt that failed is followed by another" },
    { .name = "forward", .type = CONF_STRUCT, .offset = offsetof(struct policy, forward), .table = &forward_table,
      .help = "what the upstream is told of the way that the request came" },
    { 0 }
};
const struct conf_table policy_table = { .name = "policy", .size = sizeof(struct policy), .fields = policy_fields,
    .check = check_policy, .help = "What a route says about deadlines, cancels, answers, fields and retries. Routes that name no policy have the one called default." };

/* ---- extends ---------------------------------------------------------------------------------------------------------------------- */

struct family { /* the policies of one load, while `extends` is followed */
    struct conf *c;
    const struct conf_node *map;
    enum { NEW, UNDER_WAY, DONE } *state;
    const struct conf_node **whole; /* merged with what it extends; NULL: nothing is said, all built-in */
};

static const struct conf_node *merged(struct family *f, size_t i);

static size_t index_of(const struct conf_node *map, struct str name) {
    size_t i = 0;
    while (i < map->n && !str_eq(map->keys[i]->text, name)) i++;
    return i;
}

static const char *policy_word(void *state, size_t i) {
    const struct family *f = state;
    if (i == f->map->n) return "default";
    return i < f->map->n ? arena_printf(&f->c->arena, "%.*s%c", STR_ARG(f->map->keys[i]->text), 0).p : NULL;
}

/* The whole of the policy that `at` names, or NULL: the built-in, or an error that was reported. */
static const struct conf_node *base_of(struct family *f, const struct conf_node *at, size_t self) {
    if (at->kind != CONF_SCALAR || at->bad) return NULL; /* the table says so */
    size_t base = index_of(f->map, at->text);
    if (base == f->map->n) {
        if (!str_eq(at->text, STR("default")))
            conf_error(f->c, at->pos, check_meant(f->c, conf_nearest(at->text, policy_word, f)), "there is no policy %.*s",
                       STR_ARG(at->text));
        return NULL;
    }
    if (base == self) {
        conf_error(f->c, at->pos, "leave extends out for the built-in values", "a policy cannot extend itself");
        return NULL;
    }
    if (f->state[base] == UNDER_WAY) {
        conf_error(f->c, at->pos, NULL, "%.*s extends %.*s, which extends it in turn", STR_ARG(f->map->keys[self]->text), STR_ARG(at->text));
        return NULL;
    }
    return merged(f, base);
}

/* Recursion is as deep as a chain of `extends` is long, and no policy comes twice in one. */
static const struct conf_node *merged(struct family *f, size_t i) {
    if (f->state[i] == DONE) return f->whole[i];
    f->state[i] = UNDER_WAY;
    const struct conf_node *own = f->map->items[i];
    const struct conf_node *extends = own->kind == CONF_MAPPING ? conf_get(own, STR("extends")) : NULL;
    const struct conf_node *base = extends ? base_of(f, extends, i) : NULL;
    f->whole[i] = base && base->kind == CONF_MAPPING ? conf_merge(f->c, base, own) : own->kind == CONF_NULL ? NULL : own;
    f->state[i] = DONE;
    return f->whole[i];
}

/* ---- loading ---------------------------------------------------------------------------------------------------------------------- */

static bool is_same_diag(const struct conf_diag *a, const struct conf_diag *b) {
    bool same_file = str_eq(str_of(a->pos.file), str_of(b->pos.file)); /* a context schema's faults are in a file of its own */
    return same_file && a->pos.line == b->pos.line && a->pos.col == b->pos.col && str_eq(a->message, b->message);
}

/* A fault in a base is found again in all that extend it; it is one fault. */
static void drop_repeats(struct conf *c, size_t first, size_t from) {
    size_t to = from;
    for (size_t i = from; i < c->ndiags; i++) {
        bool repeated = false;
        for (size_t k = first; k < from && !repeated; k++) repeated = is_same_diag(&c->diags[k], &c->diags[i]);
        if (repeated && c->diags[i].severity == CONF_ERROR) c->errors--;
        if (!repeated) c->diags[to++] = c->diags[i];
    }
    c->ndiags = to;
}

/* A header that is known as a deadline is taken out and written anew, whatever the fields say. */
static void check_no_deadline(struct conf *c, const struct fields_policy *p, const struct dialect_set *dialects) {
    for (size_t i = 0; i < p->fields.n; i++) {
        const struct context_field *row = CONF_AT(p->fields, const struct context_field, i);
        for (size_t f = 0; deadline_family_name(f); f++) {
            struct field wire = { .name = row->wire[f], .hash = row->hash[f] };
            if (!wire.name.n || !dialect_of_field(dialects, &wire)) continue;
            const struct conf_node *at = row->names[f].at ? row->names[f].at : p->fields.names[i].at;
            conf_error(c, at->pos, "deadline.read and deadline.write say what becomes of it", "%.*s is a deadline, and no context field", STR_ARG(wire.name));
            break;
        }
    }
}
static struct policy *load_one(struct conf *c, const struct conf_node *n, const struct dialect_set *dialects, const struct conf_map *listeners,
                               struct context_schemas *schemas) {
    struct policy *p = ARENA_NEW(&c->arena, struct policy);
    int64_t schema_version;
    n = context_schema_under(c, schemas, n, &schema_version);
    conf_load(c, n, &policy_table, p); /* names are looked up after a fault, too: one run shows all */
    deadline_resolve(c, &p->deadline, dialects);
    p->context.schema_version = schema_version;
    fields_resolve(c, &p->context, listeners);
    check_no_deadline(c, &p->context, dialects);
    return p;
}

bool policies_load(struct conf *c, const struct conf_node *n, const struct dialect_set *dialects, const struct conf_map *listeners,
                   struct policies *out) {
    static const struct conf_node none = { .kind = CONF_MAPPING };
    struct context_schemas schemas = { NULL };
    size_t errors = c->errors, first = c->ndiags;
    if (n && n->kind != CONF_NULL && !check_map(c, n, "policies by name")) n = NULL;
    if (!n || n->kind != CONF_MAPPING) n = &none;
    struct family f = { .c = c, .map = n, .state = arena_zalloc(&c->arena, n->n * sizeof *f.state),
                        .whole = arena_zalloc(&c->arena, n->n * sizeof *f.whole) };
    size_t deflt = index_of(n, STR("default")), at = 1;
    *out = (struct policies){ .v = NULL, .names = arena_zalloc(&c->arena, (n->n + 1) * sizeof *out->names), .n = n->n + (deflt == n->n) };
    struct policy **loaded = arena_zalloc(&c->arena, (n->n + 1) * sizeof *loaded);
    for (size_t i = 0; i < n->n; i++) {
        size_t before = c->ndiags, place = i == deflt ? 0 : at++;
        loaded[place] = load_one(c, merged(&f, i), dialects, listeners, &schemas);
        out->names[place] = n->keys[i]->text;
        drop_repeats(c, first, before);
    }
    if (deflt == n->n) {
        loaded[0] = load_one(c, NULL, dialects, listeners, &schemas);
        out->names[0] = STR("default");
    }
    out->v = arena_alloc(&c->arena, out->n * sizeof *out->v);
    for (size_t i = 0; i < out->n; i++) out->v[i] = *loaded[i];
    return c->errors == errors;
}

const struct policy *policies_find(const struct policies *all, struct str name) {
    for (size_t i = 0; i < all->n; i++)
        if (str_eq(all->names[i], name)) return &all->v[i];
    return NULL;
}
