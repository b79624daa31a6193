// SPDX-License-Identifier: Apache-2.0
// Which context fields travel. T46: what is not listed under a prefix does not leave the house, nor come in from where it is not believed.
// T47: the caps hold over all members together, and a member is dropped whole, never cut.
#include "policies/fields.h"
#include "policies/check.h"
#include <assert.h>

static const struct conf_field row_fields[] = {
    { .name = "max", .type = CONF_SIZE, .offset = offsetof(struct context_field, max), .def = "256", .min = 1, .max = 64 << 10,
      .help = "bytes that the value may have; a longer one is dropped whole" },
    { .name = "from", .type = CONF_REFS, .offset = offsetof(struct context_field, from),
      .help = "listeners on which the field is believed; on others it is removed; left out: everywhere" },
    { .name = "optional", .type = CONF_BOOL, .offset = offsetof(struct context_field, optional), .def = "false",
      .help = "dropped before the others where the caps are passed, and under load" },
    { 0 }
};
static const struct conf_table row_table = { .name = "context field", .size = sizeof(struct context_field), .fields = row_fields,
    .help = "A field that travels, by its name." };

static const struct conf_field fields_fields[] = {
    { .name = "prefixes", .type = CONF_REFS, .offset = offsetof(struct fields_policy, prefixes), .max = 32,
      .help = "of names that start so, only the listed ones pass; other headers pass as in any proxy" },
    { .name = "fields", .type = CONF_MAP, .offset = offsetof(struct fields_policy, fields), .table = &row_table, .max = 256,
      .help = "the fields that travel, by name; over gRPC they are metadata, over HTTP headers" },
    { .name = "max_fields", .type = CONF_INT, .offset = offsetof(struct fields_policy, max_fields), .def = "16", .min = 0, .max = 1000,
      .help = "how many of the listed fields a request may carry, a repeated one counting as often as it stands" },
    { .name = "max_bytes", .type = CONF_SIZE, .offset = offsetof(struct fields_policy, max_bytes), .def = "4KiB", .min = 0, .max = 1 << 20,
      .help = "bytes of their names and values in total; past it whole fields are dropped, optional ones first, the last ones first" },
    { 0 }
};
const struct conf_table fields_table = { .name = "context", .size = sizeof(struct fields_policy), .fields = fields_fields,
    .help = "Which context fields travel with a request. traceparent, tracestate and baggage pass under their own specifications' limits." };

/* ---- resolving -------------------------------------------------------------------------------------------------------------------- */

static const char *listener_word(void *state, size_t i) {
    const struct conf_map *listeners = state;
    return i < listeners->n ? listeners->names[i].name.p : NULL;
}

static bool is_listener(const struct conf_map *listeners, struct str name) {
    for (size_t i = 0; i < listeners->n; i++)
        if (str_eq(listeners->names[i].name, name)) return true;
    return false;
}

/* Words for conf_nearest end by NUL, which a slice does not promise: copies do. */
static struct conf_map with_nul(struct conf *c, const struct conf_map *m) {
    struct conf_map copy = { .n = m->n, .names = arena_alloc(&c->arena, m->n * sizeof *copy.names) };
    for (size_t i = 0; i < m->n; i++) {
        copy.names[i] = m->names[i];
        copy.names[i].name.p = arena_printf(&c->arena, "%.*s%c", STR_ARG(m->names[i].name), 0).p;
    }
    return copy;
}

static void resolve_from(struct conf *c, const struct context_field *row, const struct conf_map *listeners) {
    for (size_t i = 0; i < row->from.n; i++) {
        const struct conf_ref *r = &row->from.v[i];
        if (is_listener(listeners, r->name)) continue;
        struct conf_map words = with_nul(c, listeners);
        conf_error(c, r->at->pos, check_meant(c, conf_nearest(r->name, listener_word, &words)), "there is no listener %.*s",
                   STR_ARG(r->name));
    }
}

static bool is_trace(enum token t) { return t == TOKEN_TRACEPARENT || t == TOKEN_TRACESTATE || t == TOKEN_BAGGAGE; }

static void resolve_name(struct conf *c, struct fields_policy *p, size_t i) {
    struct conf_ref *r = &p->fields.names[i];
    struct str name = check_free_name(c, r->at);
    if (!name.n) return;
    r->name = name;
    p->hashes[i] = name_hash(name);
    p->filter |= UINT64_C(1) << (p->hashes[i] & 63);
    if (is_trace(token_of(name, p->hashes[i])))
        conf_error(c, r->at->pos, "traceparent, tracestate and baggage pass as W3C says, and count against no cap here",
                   "%.*s is no context field", STR_ARG(name));
    for (size_t j = 0; j < i; j++)
        if (str_eq(p->fields.names[j].name, name))
            conf_error(c, r->at->pos, "names of fields are the same in upper and lower case", "%.*s is listed twice", STR_ARG(name));
}

bool fields_resolve(struct conf *c, struct fields_policy *p, const struct conf_map *listeners) {
    size_t before = c->errors;
    p->hashes = arena_zalloc(&c->arena, p->fields.n * sizeof *p->hashes);
    p->filter = 0;
    for (size_t i = 0; i < p->fields.n; i++) {
        resolve_name(c, p, i);
        resolve_from(c, CONF_AT(p->fields, struct context_field, i), listeners);
    }
    for (size_t i = 0; i < p->prefixes.n; i++) {
        struct str lower = check_field_name(c, p->prefixes.v[i].at);
        if (lower.n) p->prefixes.v[i].name = lower;
    }
    return c->errors == before;
}

/* ---- applying --------------------------------------------------------------------------------------------------------------------- */

static const struct context_field *row_for(const struct fields_policy *p, const struct field *f) {
    if (!(p->filter >> (f->hash & 63) & 1)) return NULL;
    for (size_t i = 0; i < p->fields.n; i++)
        if (p->hashes[i] == f->hash && str_eq(p->fields.names[i].name, f->name)) return CONF_AT(p->fields, const struct context_field, i);
    return NULL;
}

bool fields_has(const struct fields_policy *p, const struct field *f) { return row_for(p, f) != NULL; }

static bool is_under_prefix(const struct fields_policy *p, struct str name) {
    for (size_t i = 0; i < p->prefixes.n; i++)
        if (str_starts(name, p->prefixes.v[i].name)) return true;
    return false;
}

static bool is_believed(const struct context_field *row, struct str listener) {
    if (!row->from.given) return true;
    for (size_t i = 0; i < row->from.n; i++)
        if (str_eq(row->from.v[i].name, listener)) return true;
    return false;
}

struct total { int64_t fields; uint64_t bytes; };

static void count(struct total *t, const struct field *f, int by) {
    t->fields += by;
    if (by > 0) t->bytes += f->name.n + f->value.n;
    else t->bytes -= f->name.n + f->value.n;
}

static bool is_past(const struct fields_policy *p, const struct total *t) { return t->fields > p->max_fields || t->bytes > p->max_bytes; }

/* Drops members from the last to the first until the caps hold; of the optional ones, or of those that are not. */
static unsigned drop_past_caps(const struct fields_policy *p, struct head *up, struct total *t, bool optional) {
    unsigned removed = 0;
    for (size_t i = up->nfields; i-- > 0 && is_past(p, t);) {
        struct field *f = &up->fields[i];
        const struct context_field *row = field_is_removed(f) || is_trace(f->token) ? NULL : row_for(p, f);
        if (!row || row->optional != optional) continue;
        count(t, f, -1);
        field_remove(f);
        removed++;
    }
    return removed;
}

unsigned fields_apply(const struct fields_policy *p, struct head *up, struct str listener, bool load) {
    if (!p->fields.n && !p->prefixes.n) return 0;
    unsigned removed = 0;
    struct total t = { 0 };
    for (size_t i = 0; i < up->nfields; i++) {
        struct field *f = &up->fields[i];
        if (field_is_removed(f) || is_trace(f->token)) continue;
        const struct context_field *row = row_for(p, f);
        bool drop = row ? !is_believed(row, listener) || f->value.n > row->max || (load && row->optional) : is_under_prefix(p, f->name);
        if (drop) {
            field_remove(f);
            removed++;
        } else if (row) {
            count(&t, f, 1);
        }
    }
    removed += drop_past_caps(p, up, &t, true);
    return removed + drop_past_caps(p, up, &t, false);
}
