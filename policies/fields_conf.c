// SPDX-License-Identifier: Apache-2.0
// The keys of `context:`, their built-in values, and what is looked up once: names by protocol, patterns, listeners. What they mean is fields.c's.
#include "policies/check.h"
#include "policies/fields.h"
#include <assert.h>

/* ---- names by protocol ------------------------------------------------------------------------------------------------------------------- */
static const struct conf_field *name_row(size_t i) {
    static struct conf_field rows[FAMILIES_MAX];
    const char *family = deadline_family_name(i);
    if (!family) return NULL;
    rows[i] = (struct conf_field){ .name = family, .type = CONF_REF, .offset = i * sizeof(struct conf_ref),
                                   .help = "its name there; left out: the name of the row" };
    return &rows[i];
}
static const struct conf_table names_table = { .name = "names", .size = sizeof(((struct context_field *)0)->names), .more = name_row,
    .help = "What the field is called, by what is spoken: read by the client's protocol, written by the upstream's." };

/* ---- tables -------------------------------------------------------------------------------------------------------------------------------- */
static const struct conf_word types[] = {
    { "string", FIELD_STRING, "whatever a header may hold" },
    { "integer", FIELD_INTEGER, "decimal digits, a minus before them, no leading zeros; at most 18 digits" },
    { "boolean", FIELD_BOOLEAN, "true or false" },
    { "uuid", FIELD_UUID, "8-4-4-4-12 hexadecimal digits (RFC 9562)" },
    { "token", FIELD_TOKEN, "letters, digits and any of !#$%&'*+-.^_`|~ (RFC 9110 5.6.2)" },
    { 0 }
};
static const struct conf_word malformed_words[] = {
    { "drop", FIELD_DROP, "the field is removed, the request goes on" },
    { "reject", FIELD_REJECT, "the request is answered with 400 or INVALID_ARGUMENT (client_context)" },
    { 0 }
};
static const struct conf_word missing_field_words[] = {
    { "none", REQUIRE_NONE, "a request without it is as good" },
    { "warn", REQUIRE_WARN, "a request without it is counted, and its line in the log says so" },
    { "reject", REQUIRE_REJECT, "a request without it is answered with 400 or INVALID_ARGUMENT (client_context)" },
    { 0 }
};
static const struct conf_word missing_deadline_or_trace_words[] = {
    { "none", REQUIRE_NONE, "a request without it is as good" },
    { "warn", REQUIRE_WARN, "a request without it is counted, and its line in the log says so" },
    { "inject", REQUIRE_INJECT, "a request without it gets one: deadline.default as if the client had asked for it; a new traceparent" },
    { "reject", REQUIRE_REJECT, "a request without it is answered with 400 or INVALID_ARGUMENT (client_context)" },
    { 0 }
};
static const struct conf_word newer_words[] = {
    { "drop", NEWER_DROP, "what we do not list is dropped as ever, and the upstream is told our version" },
    { "pass", NEWER_PASS, "from trusted peers, what we do not list passes within the caps, and the upstream is told the request's version" },
    { "reject", NEWER_REJECT, "the request is answered with 400 or INVALID_ARGUMENT (client_context)" },
    { 0 }
};

const char *field_type_name(enum field_type t) {
    const struct conf_word *w = types;
    while (w->value != t) w++;
    return w->word;
}

static void check_field(struct conf *c, const struct conf_node *n, void *at) {
    const struct context_field *row = at;
    if (n && row->optional && row->required != REQUIRE_NONE)
        conf_error(c, conf_pos_of(n, "optional"), NULL, "what is required cannot be optional: under load it would be dropped");
    if (row->pattern.at && row->max > PATTERN_VALUE_MAX)
        conf_error(c, conf_pos_of(n, "max"), NULL, "a field with a pattern has a max of at most 256: each byte is matched");
}

#define OF(member) offsetof(struct context_field, member)
static const struct conf_field row_fields[] = {
    { .name = "max", .type = CONF_SIZE, .offset = OF(max), .def = "256", .min = 1, .max = 64 << 10,
      .help = "bytes that the value may have; a longer one is malformed: it is dropped whole, never cut" },
    { .name = "type", .type = CONF_ENUM, .offset = OF(type), .words = types, .def = "string", .help = "what the value may be" },
    { .name = "pattern", .type = CONF_REF, .offset = OF(pattern),
      .help = "a regular expression that the whole value must match: [a-z] ( | ) * + ? {n,m} . \\d \\w \\s" },
    { .name = "malformed", .type = CONF_ENUM, .offset = OF(malformed), .words = malformed_words, .def = "drop",
      .help = "what becomes of a value that is too long, or not of its type or pattern" },
    { .name = "required", .type = CONF_ENUM, .offset = OF(required), .words = missing_field_words, .def = "none",
      .help = "whether a request must have it, and well-formed; one that says an x-context-schema before `since` need not" },
    { .name = "optional", .type = CONF_BOOL, .offset = OF(optional), .def = "false",
      .help = "dropped before the others where the caps are passed, and under load" },
    { .name = "since", .type = CONF_INT, .offset = OF(since), .def = "0", .min = 0, .max = 999999999,
      .help = "the version of the context schema in which the field came" },
    { .name = "from", .type = CONF_REFS, .offset = OF(from),
      .help = "listeners on which the field is believed; on others it is removed; left out: everywhere" },
    { .name = "names", .type = CONF_STRUCT, .offset = OF(names), .table = &names_table,
      .help = "other names by protocol; under a name that is not its protocol's the field is removed" },
    { 0 }
};
#undef OF
const struct conf_table field_table = { .name = "context field", .size = sizeof(struct context_field), .fields = row_fields, .check = check_field,
    .help = "A field that travels, by its name." };

#define OF(member) offsetof(struct fields_policy, member)
static const struct conf_field require_fields[] = {
    { .name = "deadline", .type = CONF_ENUM, .offset = offsetof(struct require_policy, deadline),
      .words = missing_deadline_or_trace_words, .def = "none", .help = "a deadline that counts, of a dialect that the policy reads" },
    { .name = "trace", .type = CONF_ENUM, .offset = offsetof(struct require_policy, trace),
      .words = missing_deadline_or_trace_words, .def = "none", .help = "a valid traceparent" },
    { 0 }
};
static const struct conf_table require_table = { .name = "require", .size = sizeof(struct require_policy), .fields = require_fields,
    .help = "What a request must bring besides the fields that are required." };

static const struct conf_field fields_fields[] = {
    { .name = "schema", .type = CONF_REF, .offset = OF(schema),
      .help = "a context schema: a file with a version, prefixes and fields, which are laid under the ones here; x-context-schema tells its version" },
    { .name = "newer", .type = CONF_ENUM, .offset = OF(newer), .words = newer_words, .def = "drop",
      .help = "a request whose x-context-schema is above our schema's version" },
    { .name = "prefixes", .type = CONF_REFS, .offset = OF(prefixes), .max = 32,
      .help = "of names that start so, only the listed ones pass; other headers pass as in any proxy" },
    { .name = "fields", .type = CONF_MAP, .offset = OF(fields), .table = &field_table, .max = 256,
      .help = "the fields that travel, by name; over gRPC they are metadata, over HTTP headers" },
    { .name = "max_fields", .type = CONF_INT, .offset = OF(max_fields), .def = "16", .min = 0, .max = 1000,
      .help = "how many of the listed fields a request may carry, a repeated one counting as often as it stands" },
    { .name = "max_bytes", .type = CONF_SIZE, .offset = OF(max_bytes), .def = "4KiB", .min = 0, .max = 1 << 20,
      .help = "bytes of their names and values in total; past it whole fields are dropped, optional ones first, the last ones first" },
    { .name = "require", .type = CONF_STRUCT, .offset = OF(require), .table = &require_table, .help = "what a request must bring" },
    { .name = "trace", .type = CONF_STRUCT, .offset = OF(trace), .table = &trace_table, .help = "traceparent and tracestate" },
    { .name = "baggage", .type = CONF_STRUCT, .offset = OF(baggage), .table = &baggage_table, .help = "baggage" },
    { 0 }
};
#undef OF
static void check_context(struct conf *c, const struct conf_node *n, void *at) {
    const struct fields_policy *p = at;
    int64_t required = 0;
    for (size_t i = 0; i < p->fields.n; i++) required += CONF_AT(p->fields, const struct context_field, i)->required == REQUIRE_REJECT;
    if (n && required > p->max_fields)
        conf_error(c, conf_pos_of(n, "max_fields"), NULL, "%lld fields are required, and max_fields is %lld: every request would be refused",
                   (long long)required, (long long)p->max_fields);
}
const struct conf_table fields_table = { .name = "context", .size = sizeof(struct fields_policy), .fields = fields_fields, .check = check_context,
    .help = "Which context fields travel with a request, and which it must have. traceparent, tracestate and baggage have limits of their own." };

/* ---- listeners ------------------------------------------------------------------------------------------------------------------------------ */
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
static void resolve_from(struct conf *c, const struct conf_refs *from, const struct conf_map *listeners) {
    for (size_t i = 0; listeners && i < from->n; i++) {
        const struct conf_ref *r = &from->v[i];
        if (is_listener(listeners, r->name)) continue;
        struct conf_map words = with_nul(c, listeners);
        conf_error(c, r->at->pos, check_meant(c, conf_nearest(r->name, listener_word, &words)), "there is no listener %.*s",
                   STR_ARG(r->name));
    }
}

/* ---- names ---------------------------------------------------------------------------------------------------------------------------------- */
static const char *not_a_field(enum token t, struct str name) {
    if (t == TOKEN_TRACEPARENT || t == TOKEN_TRACESTATE || t == TOKEN_BAGGAGE)
        return "traceparent, tracestate and baggage pass as W3C says, and count against no cap here";
    return str_eq(name, SCHEMA_FIELD) ? "it says the version of `schema`, and curfew writes it" : NULL;
}
static struct str field_name(struct conf *c, const struct conf_node *at) {
    struct str name = check_free_name(c, at);
    const char *hint = name.n ? not_a_field(token_of(name, name_hash(name)), name) : NULL;
    if (!hint) return name;
    conf_error(c, at->pos, hint, "%.*s is no context field", STR_ARG(name));
    return (struct str){ 0 };
}
/* The slot of that name; a second row cannot have it. */
static void take_slot(struct conf *c, struct fields_policy *p, const struct conf_node *at, struct str name, size_t row, size_t family) {
    uint32_t hash = name_hash(name);
    for (size_t i = 0; i < p->nslots; i++) {
        struct field_slot *s = &p->slots[i];
        if (!str_eq(s->name, name)) continue;
        if (s->row == row) s->families |= (uint8_t)(1u << family);
        else conf_error(c, at->pos, "names of fields are the same in upper and lower case", "%.*s is listed twice", STR_ARG(name));
        return;
    }
    p->slots[p->nslots++] = (struct field_slot){ name, hash, (uint16_t)row, (uint8_t)(1u << family) };
    p->filter |= UINT64_C(1) << (hash & 63);
}
static void resolve_names(struct conf *c, struct fields_policy *p, size_t i) {
    struct context_field *row = CONF_AT(p->fields, struct context_field, i);
    struct conf_ref *own = &p->fields.names[i];
    struct str name = field_name(c, own->at);
    if (!name.n) return;
    own->name = name;
    size_t errors = c->errors;
    for (size_t f = 0; deadline_family_name(f) && c->errors == errors; f++) {
        const struct conf_node *at = row->names[f].at ? row->names[f].at : own->at;
        struct str wire = row->names[f].at ? field_name(c, at) : name;
        if (!wire.n) continue;
        row->wire[f] = wire;
        if (row->names[f].at) row->names[f].name = wire;
        row->hash[f] = name_hash(wire);
        take_slot(c, p, at, wire, i, f);
    }
}

/* ---- the rest ------------------------------------------------------------------------------------------------------------------------------- */
static void compile_pattern(struct conf *c, struct context_field *row) {
    const char *say;
    size_t at;
    if (!row->pattern.at || row->pattern.at->bad) return;
    row->compiled = pattern_compile(&c->arena, row->pattern.name, &say, &at);
    if (row->compiled) return;
    conf_error(c, row->pattern.at->pos, arena_printf(&c->arena, "at its character %zu%c", at + 1, 0).p, "pattern: %s", say);
}
static void check_since(struct conf *c, const struct fields_policy *p, const struct conf_node *name, const struct context_field *row) {
    if (row->since <= p->schema_version) return;
    if (p->schema_version)
        conf_error(c, name->pos, NULL, "since: %lld is after the schema's own version, %lld", (long long)row->since, (long long)p->schema_version);
    else conf_error(c, name->pos, "it counts in versions of a context schema: `schema: FILE`", "since: there is no schema here");
}
/* Whether each request has to be looked at before an upstream is chosen. */
static bool must_decide(const struct fields_policy *p) {
    if (p->schema_version || p->require.deadline || p->require.trace) return true;
    for (size_t i = 0; i < p->fields.n; i++) {
        const struct context_field *row = CONF_AT(p->fields, const struct context_field, i);
        if (row->required != REQUIRE_NONE || row->malformed == FIELD_REJECT) return true;
    }
    return false;
}

static bool has_underscores(const struct fields_policy *p) {
    for (size_t i = 0; i < p->nslots; i++)
        if (str_index(p->slots[i].name, '_') < p->slots[i].name.n) return true;
    for (size_t i = 0; i < p->prefixes.n; i++)
        if (str_index(p->prefixes.v[i].name, '_') < p->prefixes.v[i].name.n) return true;
    return false;
}

bool fields_resolve(struct conf *c, struct fields_policy *p, const struct conf_map *listeners) {
    size_t before = c->errors;
    p->slots = arena_zalloc(&c->arena, p->fields.n * FAMILIES_MAX * sizeof *p->slots);
    p->nslots = 0;
    p->filter = 0;
    for (size_t i = 0; i < p->fields.n; i++) {
        struct context_field *row = CONF_AT(p->fields, struct context_field, i);
        resolve_names(c, p, i);
        resolve_from(c, &row->from, listeners);
        compile_pattern(c, row);
        check_since(c, p, p->fields.names[i].at, row);
    }
    resolve_from(c, &p->trace.from, listeners);
    resolve_from(c, &p->baggage.from, listeners);
    for (size_t i = 0; i < p->prefixes.n; i++) {
        struct str lower = check_field_name(c, p->prefixes.v[i].at);
        if (lower.n) p->prefixes.v[i].name = lower;
    }
    p->underscores = has_underscores(p);
    p->decides = must_decide(p);
    return c->errors == before;
}
