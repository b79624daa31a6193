// SPDX-License-Identifier: Apache-2.0
// The keys of `deadline:`, their built-in values, and the lookup of the dialects that they name. What they mean is deadline.c's.
#include "policies/deadline.h"
#include "policies/check.h"
#include <assert.h>

static const struct conf_word modes[] = {
    { "disabled", MODE_DISABLED, "nothing is read, told or stripped" },
    { "observe", MODE_OBSERVE, "computes, counts and logs what would have happened; changes nothing on the wire" },
    { "forward", MODE_FORWARD, "tells the upstream, and does not enforce" },
    { "enforce", MODE_ENFORCE, "does all" },
    { 0 },
};
static const struct conf_word detects[] = {
    { "auto", STREAM_AUTO, "by the head: gRPC without a grpc-timeout, Connect streaming, Upgrade, Accept: text/event-stream" },
    { "always", STREAM_ALWAYS, "every request is a stream" },
    { "never", STREAM_NEVER, "none is: the default holds for all" },
    { 0 },
};

/* ---- families ------------------------------------------------------------------------------------------------------------------------- */
/* What each family's own clients write is what its servers read. These keys are known in every build, whichever protocols it speaks: a file that
 * is good for one is good for all. */
static const struct { const char *family, *dialects; } write_defaults[] = {
    { "http", "[ x-request-timeout, x-context-deadline ]" },
    { "grpc", "[ grpc-timeout ]" },
    { "connect", "[ connect-timeout-ms ]" },
};
static const char *families[FAMILIES_MAX];
static size_t nfamilies; /* filled once, by the first load, which is before there are workers */

static void add_family(const char *name) {
    for (size_t i = 0; i < nfamilies; i++)
        if (strcmp(families[i], name) == 0) return;
    assert(nfamilies < FAMILIES_MAX);
    families[nfamilies++] = name;
}

static void gather_families(void) {
    if (nfamilies) return;
    for (size_t i = 0; i < sizeof write_defaults / sizeof write_defaults[0]; i++) add_family(write_defaults[i].family);
    for (size_t i = 0; i < rpc_count(); i++) add_family(rpc_at(i)->family);
}

size_t deadline_family_index(const char *family) {
    gather_families();
    for (size_t i = 0; i < nfamilies; i++)
        if (families[i] == family || strcmp(families[i], family) == 0) return i;
    return FAMILIES_MAX;
}

const char *deadline_family_name(size_t i) {
    gather_families();
    return i < nfamilies ? families[i] : NULL;
}

static const char *write_default(const char *family) {
    for (size_t i = 0; i < sizeof write_defaults / sizeof write_defaults[0]; i++)
        if (strcmp(write_defaults[i].family, family) == 0) return write_defaults[i].dialects;
    return NULL;
}

static const struct conf_field *write_row(size_t i) {
    static struct conf_field rows[FAMILIES_MAX];
    gather_families();
    if (i >= nfamilies) return NULL;
    rows[i] = (struct conf_field){
        .name = families[i], .type = CONF_REFS, .offset = i * sizeof(struct conf_refs), .def = write_default(families[i]), .max = 16,
        .help = "dialects that tell the upstream how much is left; [ ] tells nothing",
    };
    return &rows[i];
}

/* ---- needs ------------------------------------------------------------------------------------------------------------------------------ */
static bool parse_percent(struct str text, uint8_t *out) {
    uint64_t n;
    if (text.n < 2 || text.p[0] != 'p' || !str_to_u64(str_from(text, 1), &n) || n < 1 || n > 99) return false;
    *out = (uint8_t)n;
    return true;
}

static bool parse_needs(struct conf *c, const struct conf_node *n, const struct conf_field *f, void *at) {
    struct deadline_policy *p = (void *)((char *)at - f->offset);
    static const struct conf_field fixed = { .name = "needs", .type = CONF_DURATION, .min = NS_PER_US, .max = 3600 * NS_PER_S, .none = "none" };
    memset(&p->needs, 0, sizeof p->needs);
    if (n->kind == CONF_SCALAR && n->text.n && n->text.p[0] == 'p') {
        if (parse_percent(n->text, &p->needs.percent)) return true;
        conf_error(c, n->pos, "p1 to p99: p50 is what every second answer takes", "needs: \"%.*s\" is no percentile", STR_ARG(n->text));
        return false;
    }
    if (!conf_load_field(c, n, &fixed, &p->needs.fixed)) return false;
    if (span_is_forever(p->needs.fixed)) p->needs.fixed = (span){ 0 };
    return true;
}

static void print_needs(struct conf_writer *w, const struct conf_field *f, const void *at) {
    const struct deadline_policy *p = (const void *)((const char *)at - f->offset);
    char text[64] = "none";
    if (p->needs.percent) snprintf(text, sizeof text, "p%u", p->needs.percent);
    else if (span_is_positive(p->needs.fixed)) conf_print_duration(text, sizeof text, p->needs.fixed);
    fprintf(w->to, " %s\n", text);
}

/* ---- tables ------------------------------------------------------------------------------------------------------------------------------- */
#define OF(member) offsetof(struct deadline_policy, member)
#define IN_STREAMING(member) (OF(streaming.member) - OF(streaming))
static const struct conf_field streaming_fields[] = {
    { .name = "detect", .type = CONF_ENUM, .offset = IN_STREAMING(detect), .def = "auto", .words = detects, .help = "which requests are streams" },
    { .name = "idle", .type = CONF_DURATION, .offset = IN_STREAMING(idle), .def = "5m", .min = NS_PER_MS, .max = INT64_MAX, .none = "none",
      .help = "the longest silence of a stream, while the other side has room" },
    { .name = "max", .type = CONF_DURATION, .offset = IN_STREAMING(max), .def = "none", .min = NS_PER_MS, .max = INT64_MAX, .none = "none",
      .help = "the longest life of a stream that has no deadline" },
    { 0 }
};
static const struct conf_table streaming_table = {
    .name = "streaming", .size = sizeof(((struct deadline_policy *)0)->streaming), .fields = streaming_fields,
    .help = "requests to which `default` does not apply",
};
static const struct conf_table write_table = {
    .name = "write", .size = sizeof(((struct deadline_policy *)0)->write), .more = write_row,
    .help = "what the upstream is told, by what the request speaks",
};

static const struct conf_field deadline_fields[] = {
    { .name = "mode", .type = CONF_ENUM, .offset = OF(mode), .def = "enforce", .words = modes, .help = "how much of all this is done" },
    { .name = "read", .type = CONF_REFS, .offset = OF(read), .def = "[ grpc-timeout, connect-timeout-ms, x-request-timeout, x-context-deadline ]",
      .max = 64, .help = "dialects that count; the earliest wins" },
    { .name = "default", .type = CONF_DURATION, .offset = OF(deflt), .def = "15s", .min = NS_PER_MS, .max = INT64_MAX, .none = "none",
      .help = "where the client says nothing: to the head of the response; from an untrusted listener a bound, too" },
    { .name = "max", .type = CONF_DURATION, .offset = OF(max), .def = "60s", .min = NS_PER_MS, .max = INT64_MAX, .none = "none",
      .help = "the most that a client may ask" },
    { .name = "min", .type = CONF_DURATION, .offset = OF(min), .def = "10ms", .max = 3600 * NS_PER_S,
      .help = "with less than min + reserve left, the upstream is not asked" },
    { .name = "needs", .type = CONF_CUSTOM, .offset = OF(needs), .def = "none", .parse = parse_needs, .print = print_needs, .shape = "{\"type\":\"string\"}",
      .help = "what an answer of the route takes: with less than needs + reserve of a client's deadline left the upstream is not asked (shed_latency). A "
              "duration; or p50, the time to the head that every second answer of the last minute took, as measured (p1 to p99); or none" },
    { .name = "max_reject", .type = CONF_POINTER, .offset = OF(max_reject), .table = &guard_table,
      .help = "how much of the traffic may be refused for what clients ask; left out: all of it; {}: a fifth" },
    { .name = "reserve", .type = CONF_DURATION, .offset = OF(reserve), .def = "5ms", .max = 3600 * NS_PER_S,
      .help = "kept back from the upstream, so that its answer still comes in time" },
    { .name = "idle", .type = CONF_DURATION, .offset = OF(idle), .def = "30s", .min = NS_PER_MS, .max = INT64_MAX, .none = "none",
      .help = "the longest silence between bytes of bodies, while the other side has room" },
    { .name = "per_try", .type = CONF_DURATION, .offset = OF(per_try), .def = "none", .min = NS_PER_MS, .max = INT64_MAX, .none = "none",
      .help = "the longest that one attempt may take" },
    { .name = "answer_margin", .type = CONF_DURATION, .offset = OF(answer_margin), .def = "0s", .max = 3600 * NS_PER_S,
      .help = "how long before a deadline that the client set our own timer fires, so that the client hears it from us" },
    { .name = "grace", .type = CONF_DURATION, .offset = OF(grace), .def = "10ms", .max = 60 * NS_PER_S,
      .help = "a client that leaves this near to its deadline left for that; a context that outlives its deadline by more is a leak" },
    { .name = "streaming", .type = CONF_STRUCT, .offset = OF(streaming), .table = &streaming_table, .help = "requests to which `default` does not apply" },
    { .name = "write", .type = CONF_STRUCT, .offset = OF(write), .table = &write_table, .help = "what the upstream is told, by what the request speaks" },
    { .name = "pass", .type = CONF_REFS, .offset = OF(pass), .max = 64, .help = "dialects left as the client wrote them; all others are stripped" },
    { 0 }
};

/* Not of all keys: a policy that is switched off for a while keeps what it says. These two promise what does not happen then. */
static void warn_of_disabled(struct conf *c, const struct conf_node *n) {
    static const char *const keys[] = { "max_reject", "needs" };
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++)
        if (conf_get(n, str_of(keys[i]))) conf_warn(c, conf_pos_of(n, keys[i]), NULL, "%s has no effect: deadline.mode is disabled", keys[i]);
}

static void check_deadline(struct conf *c, const struct conf_node *n, void *at) {
    const struct deadline_policy *p = at;
    span need = span_add(p->min, p->reserve);
    if (!n) return;
    if (p->mode == MODE_DISABLED) warn_of_disabled(c, n);
    if (p->needs.fixed.ns >= p->max.ns)
        conf_error(c, conf_pos_of(n, "needs"), NULL, "needs is not less than max: every request that asks would be refused");
    if (p->max.ns < need.ns) conf_error(c, conf_pos_of(n, "max"), NULL, "max is less than min + reserve: every request that asks would be refused");
    if (p->deflt.ns < need.ns) conf_error(c, conf_pos_of(n, "default"), NULL, "default is less than min + reserve: the upstream is never asked");
    if (p->per_try.ns < p->min.ns) conf_error(c, conf_pos_of(n, "per_try"), NULL, "per_try is less than min");
    if (p->answer_margin.ns >= p->max.ns) conf_error(c, conf_pos_of(n, "answer_margin"), NULL, "answer_margin leaves nothing of max");
}

const struct conf_table deadline_table = { .name = "deadline", .size = sizeof(struct deadline_policy), .fields = deadline_fields,
    .check = check_deadline, .help = "How much time a request has, whom that comes from, and what the upstream is told of it." };

/* ---- resolving ------------------------------------------------------------------------------------------------------------------------------ */
struct keys { struct conf *c; const struct dialect_set *set; };

static const char *next_key(void *state, size_t i) {
    struct keys *k = state;
    if (i >= k->set->n) return NULL;
    return arena_printf(&k->c->arena, "%.*s%c", STR_ARG(k->set->row[i + 1].key), 0).p; /* ended by NUL, which a slice does not promise */
}

static const struct dialect *look_up(struct conf *c, const struct conf_ref *r, const struct dialect_set *set) {
    struct keys keys = { c, set };
    const struct dialect *d = dialect_by_key(set, r->name);
    if (d) return d;
    conf_error(c, r->at ? r->at->pos : (struct conf_pos){ 0 }, check_meant(c, conf_nearest(r->name, next_key, &keys)),
               "there is no dialect %.*s", STR_ARG(r->name));
    return NULL;
}

static const struct dialect *const *look_up_all(struct conf *c, const struct conf_refs *refs, const struct dialect_set *set, size_t *n) {
    const struct dialect **rows = arena_alloc(&c->arena, refs->n * sizeof(const struct dialect *));
    *n = 0;
    for (size_t i = 0; i < refs->n; i++) {
        const struct dialect *d = look_up(c, &refs->v[i], set);
        if (d) rows[(*n)++] = d;
    }
    return rows;
}

bool deadline_resolve(struct conf *c, struct deadline_policy *p, const struct dialect_set *set) {
    size_t before = c->errors, npass;
    gather_families();
    p->read_rows = look_up_all(c, &p->read, set, &p->nread);
    for (size_t i = 0; i < FAMILIES_MAX; i++) p->write_rows[i] = look_up_all(c, &p->write[i], set, &p->nwrite[i]);
    const struct dialect *const *pass = look_up_all(c, &p->pass, set, &npass);
    memset(p->pass_mask, 0, sizeof p->pass_mask);
    for (size_t i = 0; i < npass; i++) p->pass_mask[pass[i]->index / 8] |= (uint8_t)(1u << pass[i]->index % 8);
    return c->errors == before;
}
