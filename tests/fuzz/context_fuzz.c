// SPDX-License-Identifier: Apache-2.0
// The context of a request under libFuzzer. The first byte picks a policy, the second a listener and a load; then come the lines of a head; the last
// line is also a pattern and a value. What must hold is what semantics 7 promises of whatever goes up: nothing unlisted under a prefix, nothing
// malformed or not believed, caps kept; traces that are W3C's, members whole and in order, ours leftmost.
#include "policies/lookalike.h"
#include <stdio.h>
#include <stdlib.h>

#define MUST(what) ((what) ? (void)0 : (fprintf(stderr, "not so: %s\n", #what), abort()))
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char *const yaml[] = {
    "prefixes: [ x- ]\nfields: { x-a: { type: integer, max: 8 }, x-b: { names: { grpc: b } }, x-c: { optional: true, pattern: '[a-z]{2,4}(-[a-z]+)*' } }\n"
    "max_fields: 3\nmax_bytes: 40\ntrace: { mode: check }\nbaggage: { allow: [ k, key ], max_members: 3, max_bytes: 60 }\n",
    "prefixes: [ x- ]\nfields: { x-a: { type: uuid, required: reject, from: [ mesh ] }, x-b: { type: token, malformed: reject }, x-c: { type: boolean } }\n"
    "trace: { mode: join, member: us }\nrequire: { trace: inject, deadline: inject }\nbaggage: { from: [ mesh ] }\nnewer: pass\n",
    "trace: { from: [ mesh ] }\nrequire: { trace: warn }\n",
};
#define POLICIES (sizeof yaml / sizeof *yaml)
static struct policy policies[POLICIES]; /* their context alone says something */
static struct dialect_set dialects;
static struct conf_ref mesh = { .name = STR_INIT("mesh") };

static void load(void) {
    static struct conf c;
    static const struct conf_map listeners = { .n = 1, .names = &mesh };
    conf_init(&c);
    dialect_set_builtin(&dialects);
    for (size_t i = 0; i < POLICIES; i++) {
        struct conf_node *n = conf_parse(&c, "y", yaml[i], strlen(yaml[i]));
        struct fields_policy *p = &policies[i].context;
        bool good = n && conf_load(&c, n, &fields_table, p);
        p->schema_version = i == 1 ? 3 : 0;
        if (!good || !fields_resolve(&c, p, &listeners)) conf_report(&c, stderr), abort();
    }
}

/* ---- a head from lines --------------------------------------------------------------------------------------------------------------------- */
static void read_head(struct arena *a, struct str text, struct head *h, struct str *last) {
    struct str line;
    head_init(h, a, true);
    h->method = STR("GET"), h->target = STR("/"), h->authority = STR("h");
    while (text.p) {
        size_t end = str_index(text, '\n'), colon;
        line = *last = str_first(text, end);
        text = end < text.n ? str_from(text, end + 1) : (struct str){ 0 };
        colon = str_index(line, ':');
        struct str name = arena_lower(a, str_first(line, colon));
        if (colon == line.n || !is_token(name)) continue;
        struct str value = str_trim(str_from(line, colon + 1));
        if (is_field_value(value)) head_add(h, name, value);
    }
}

/* ---- plain readings --------------------------------------------------------------------------------------------------------------------------- */
static bool plain_traceparent(struct str s) {
    static const char shape[] = "hh-hhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhh-hhhhhhhhhhhhhhhh-hh";
    bool trace = false, parent = false;
    if (s.n < 55) return false;
    for (size_t i = 0; i < 55; i++) {
        bool hex = (s.p[i] >= '0' && s.p[i] <= '9') || (s.p[i] >= 'a' && s.p[i] <= 'f');
        if (shape[i] == '-' ? s.p[i] != '-' : !hex) return false;
        if (i >= 3 && i < 35) trace |= s.p[i] != '0';
        if (i >= 36 && i < 52) parent |= s.p[i] != '0';
    }
    bool zero = s.p[0] == '0' && s.p[1] == '0', ff = s.p[0] == 'f' && s.p[1] == 'f';
    return trace && parent && !ff && (s.n == 55 || (!zero && s.p[55] == '-'));
}
static size_t count_token(const struct head *h, enum token t) {
    size_t n = 0;
    for (size_t i = 0; i < h->nfields; i++) n += h->fields[i].token == t && !field_is_removed(&h->fields[i]);
    return n;
}
/* The members of all fields of that token, trimmed and without the empty ones. */
#define MEMBERS 4096u
struct list_of { struct str v[MEMBERS]; size_t n; };
static void members_of(const struct head *h, enum token t, struct list_of *out) {
    out->n = 0;
    for (size_t i = 0; i < h->nfields; i++) {
        struct str rest = h->fields[i].value, m;
        if (h->fields[i].token != t || field_is_removed(&h->fields[i])) continue;
        while (str_split(&rest, ',', &m))
            if (m.n && out->n < MEMBERS) out->v[out->n++] = m;
    }
}
/* What is left of a list is some of it, whole and in order. */
static void must_be_some_of(const struct list_of *left, size_t from, const struct list_of *all) {
    size_t k = 0;
    for (size_t i = from; i < left->n; i++, k++) {
        while (k < all->n && !str_eq(all->v[k], left->v[i])) k++;
        MUST(k < all->n);
    }
}

/* ---- what must hold ---------------------------------------------------------------------------------------------------------------------------- */
static void must_be_a_trace(const struct fields_policy *p, bool believed, const struct fields_verdict *v, const struct head *down, const struct head *up) {
    static struct list_of was, is;
    bool untouched = believed && p->trace.mode == TRACE_PASS && !v->root.made;
    members_of(down, TOKEN_TRACESTATE, &was);
    members_of(up, TOKEN_TRACESTATE, &is);
    size_t n = count_token(up, TOKEN_TRACEPARENT);
    if (untouched) {
        MUST(n == count_token(down, TOKEN_TRACEPARENT) && is.n == was.n);
        return;
    }
    MUST(n <= 1 && (n == 1 || is.n == 0));
    MUST(n == 1 || !v->root.made);
    if (n == 0) return;
    const struct field *f = head_find(up, TOKEN_TRACEPARENT);
    bool ours = p->trace.mode == TRACE_JOIN;
    MUST(plain_traceparent(f->value));
    MUST(is.n <= TRACESTATE_MEMBERS);
    if (ours) MUST(is.n > 0 && str_starts(is.v[0], STR("us=")) && str_eq(str_from(is.v[0], 3), (struct str){ f->value.p + 36, 16 }));
    must_be_some_of(&is, ours, &was);
    struct tracestate s;
    MUST(tracestate_read(up, &s));
    struct str joined = head_joined(up, STR("tracestate"));
    if (ours || count_token(up, TOKEN_TRACESTATE) == 1) MUST(joined.n <= p->trace.max_bytes || str_eq(joined, head_joined(down, STR("tracestate"))));
}
static void must_be_baggage(const struct fields_policy *p, bool believed, const struct head *down, const struct head *up) {
    static struct list_of was, is;
    members_of(down, TOKEN_BAGGAGE, &was);
    members_of(up, TOKEN_BAGGAGE, &is);
    must_be_some_of(&is, 0, &was);
    MUST(believed || is.n == 0);
    if (!p->baggage.allow.given) return;
    size_t bytes = is.n ? is.n - 1 : 0;
    for (size_t i = 0; i < is.n; i++) {
        struct str key = str_trim(str_first(is.v[i], str_index(is.v[i], '=')));
        MUST(str_eq(key, STR("k")) || str_eq(key, STR("key")));
        bytes += is.v[i].n;
    }
    MUST((int64_t)is.n <= p->baggage.max_members && bytes <= p->baggage.max_bytes);
}
static void must_be_fields(const struct fields_policy *p, const struct fields_hop *hop, const struct head *up) {
    int64_t fields = 0;
    size_t bytes = 0, up_family = deadline_family_index(hop->up->family);
    bool renames = strcmp(hop->down->family, hop->up->family) != 0; /* the caps hold for the names that came */
    for (size_t i = 0; i < up->nfields; i++) {
        const struct field *f = &up->fields[i];
        if (field_is_removed(f) || f->token == TOKEN_TRACEPARENT || f->token == TOKEN_TRACESTATE || f->token == TOKEN_BAGGAGE) continue;
        if (p->schema_version && str_eq(f->name, SCHEMA_FIELD)) continue;
        const struct context_field *row = NULL;
        for (size_t k = 0; k < p->fields.n; k++) {
            const struct context_field *r = CONF_AT(p->fields, const struct context_field, k);
            if (str_eq(r->wire[up_family], f->name)) row = r;
        }
        if (!row && p->prefixes.n && str_starts(f->name, STR("x-"))) MUST(hop->verdict->unlisted);
        if (!row && p->prefixes.n) MUST(!str_starts(f->name, STR("x_")));
        if (!row) continue;
        MUST(f->value.n <= row->max && field_is_good(row, f->value) && fields_believes(&row->from, hop->listener) && !(hop->load && row->optional));
        MUST(f->hash == name_hash(f->name));
        fields++;
        bytes += f->name.n + f->value.n;
    }
    MUST(fields <= p->max_fields && (renames || bytes <= p->max_bytes));
}
static void must_not_blow_up(struct arena *a, struct str s) {
    const char *say;
    size_t at;
    struct str text = str_first(s, str_index(s, '\t')), value = text.n < s.n ? str_from(s, text.n + 1) : s;
    const struct pattern *p = pattern_compile(a, text, &say, &at);
    if (p) pattern_match(p, value.n > PATTERN_VALUE_MAX ? str_first(value, PATTERN_VALUE_MAX) : value);
    else MUST(say && at <= text.n);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const char *const rpcs[] = { "http", "grpc", "connect", "grpc-web" };
    if (!policies[0].context.nslots) load();
    if (size < 3 || size > 2 * MEMBERS) return 0; /* a member has a byte and a comma at least */
    const struct policy *whole = &policies[data[0] % POLICIES];
    const struct fields_policy *p = &whole->context;
    struct arena a;
    struct head down;
    struct str last = { 0 };
    arena_init(&a, NULL);
    read_head(&a, (struct str){ (const char *)data + 2, size - 2 }, &down, &last);
    uint64_t random = size;
    struct deadline_policy dp = { .mode = MODE_ENFORCE, .deflt = span_s(1), .max = SPAN_FOREVER };
    struct deadline_verdict d = { .total = INSTANT_NEVER, .fire = INSTANT_NEVER, .to_head = SPAN_FOREVER };
    struct fields_verdict v;
    struct str listener = data[1] & 1 ? STR("mesh") : STR("edge");
    struct fields_facts facts = { .head = &down, .listener = listener, .trusted = data[1] & 2, .rpc = rpc_by_name(rpcs[data[1] >> 2 & 3]), .deadline = &d,
                                  .deadline_policy = &dp, .now = { 1 }, .random = &random, .arena = &a };
    fields_decide(p, &facts, &v);
    MUST(!v.say || strlen(v.say) < 1024);
    struct fields_hop hop = { .listener = listener, .down = facts.rpc, .up = rpc_by_name(rpcs[data[1] >> 4 & 1]), .load = data[1] & 32, .verdict = &v,
                              .random = &random };
    struct fields_tally tally;
    struct head *up = head_clone(&down, &a);
    lookalikes_remove(&(struct lookalike_facts){ .policy = whole, .dialects = &dialects }, up);
    fields_apply(p, &hop, up, &tally);
    must_be_fields(p, &hop, up);
    must_be_a_trace(p, fields_believes(&p->trace.from, listener), &v, &down, up);
    must_be_baggage(p, fields_believes(&p->baggage.from, listener), &down, up);
    must_not_blow_up(&a, last);
    arena_clear(&a);
    return 0;
}
