// SPDX-License-Identifier: Apache-2.0
// W3C Trace Context. The grammar is that of level 2, which takes all that level 1 takes: a gateway must not break the trace of those behind it.
// Section numbers are those of level 1.
#include "policies/trace.h"
#include <assert.h>

#define TRACEPARENT 55u     /* characters of version 00 */
#define FLAG_SAMPLED 0x01u
#define FLAG_RANDOM 0x02u   /* level 2: the trace-id is random */
#define KEY_MAX 256u
#define VALUE_MAX 256u

static const struct conf_word modes[] = {
    { "pass", TRACE_PASS, "traceparent and tracestate pass unread and unchanged, as through any proxy" },
    { "check", TRACE_CHECK, "an invalid traceparent is removed with its tracestate; the limits of tracestate hold" },
    { "join", TRACE_JOIN, "as check, and curfew is a hop of the trace: a parent-id of its own for each attempt, and its member of tracestate leftmost" },
    { 0 }
};
#define OF(member) offsetof(struct trace_policy, member)
static const struct conf_field trace_fields[] = {
    { .name = "mode", .type = CONF_ENUM, .offset = OF(mode), .words = modes, .def = "pass", .help = "how much part curfew takes in traces" },
    { .name = "member", .type = CONF_STRING, .offset = OF(member), .def = "curfew", .help = "the key of our member of tracestate, in mode join" },
    { .name = "max_bytes", .type = CONF_SIZE, .offset = OF(max_bytes), .def = "512", .min = 512, .max = 64 << 10,
      .help = "of tracestate in all, unless mode is pass: past it members over 128 bytes are dropped, then the last ones (3.3.1.5)" },
    { .name = "from", .type = CONF_REFS, .offset = OF(from), .max = 1000,
      .help = "listeners on which a trace is believed; on others traceparent and tracestate are removed; left out: everywhere" },
    { .name = "sample", .type = CONF_PERCENT, .offset = OF(sample), .def = "100%", .max = 10000,
      .help = "of the traces that begin here (require: { trace: inject }), how many are marked as sampled" },
    { 0 }
};
#undef OF

static void check_trace(struct conf *c, const struct conf_node *n, void *at) {
    const struct trace_policy *p = at;
    if (n && !tracestate_key_is_good(p->member))
        conf_error(c, conf_pos_of(n, "member"), "a key begins with a-z or 0-9 and has a-z 0-9 _ - * / @, at most 256",
                   "\"%.*s\" is no key of tracestate", STR_ARG(p->member));
}
const struct conf_table trace_table = { .name = "trace", .size = sizeof(struct trace_policy), .fields = trace_fields, .check = check_trace,
    .help = "W3C Trace Context: traceparent and tracestate." };

/* ---- traceparent (3.2) ------------------------------------------------------------------------------------------------------------------ */
static int digit(char b) { return b >= '0' && b <= '9' ? b - '0' : b >= 'a' && b <= 'f' ? b - 'a' + 10 : -1; }

static bool is_hex(struct str s) {
    for (size_t i = 0; i < s.n; i++)
        if (digit(s.p[i]) < 0) return false;
    return true;
}
static bool is_id(struct str s) {
    size_t zeros = 0;
    while (zeros < s.n && s.p[zeros] == '0') zeros++;
    return zeros < s.n && is_hex(s);
}
static uint8_t octet(struct str s, size_t at) { return (uint8_t)(digit(s.p[at]) << 4 | digit(s.p[at + 1])); }

bool traceparent_parse(struct str s, struct traceparent *out) {
    if (s.n < TRACEPARENT || s.p[2] != '-' || s.p[35] != '-' || s.p[52] != '-') return false;
    if (!is_hex(str_first(s, 2)) || !is_hex((struct str){ s.p + 53, 2 })) return false;
    *out = (struct traceparent){ .version = octet(s, 0), .flags = octet(s, 53), .trace_id = { s.p + 3, TRACE_ID }, .parent_id = { s.p + 36, PARENT_ID } };
    /* 3.2.4: a later version may have more, behind a dash */
    bool ends = s.n == TRACEPARENT || (out->version != 0 && s.p[TRACEPARENT] == '-');
    return out->version != 0xff && ends && is_id(out->trace_id) && is_id(out->parent_id);
}

/* ---- tracestate (3.3) -------------------------------------------------------------------------------------------------------------------- */
static bool is_lower_alnum(char b) { return (b >= 'a' && b <= 'z') || (b >= '0' && b <= '9'); }

bool tracestate_key_is_good(struct str key) {
    if (!key.n || key.n > KEY_MAX || !is_lower_alnum(key.p[0])) return false;
    for (size_t i = 1; i < key.n; i++)
        if (!is_lower_alnum(key.p[i]) && (!key.p[i] || !strchr("_-*/@", key.p[i]))) return false;
    return true;
}
/* 0*255(chr) nblk-chr; blanks behind it were taken for OWS. */
static bool value_is_good(struct str v) {
    for (size_t i = 0; i < v.n; i++)
        if (v.p[i] < ' ' || v.p[i] > '~' || v.p[i] == '=') return false; /* a comma cannot be in it */
    return v.n > 0 && v.n <= VALUE_MAX;
}
struct str tracestate_key(struct str member) { return str_first(member, str_index(member, '=')); }

static bool has_key(const struct tracestate *s, struct str key) {
    for (size_t i = 0; i < s->n; i++)
        if (str_eq(tracestate_key(s->v[i]), key)) return true;
    return false;
}
static bool take_member(struct tracestate *s, struct str member) {
    struct str key = tracestate_key(member);
    bool good = key.n < member.n && tracestate_key_is_good(key) && value_is_good(str_from(member, key.n + 1));
    if (!good || has_key(s, key) || s->n == TRACESTATE_MEMBERS) return false;
    s->v[s->n++] = member;
    return true;
}
bool tracestate_read(const struct head *h, struct tracestate *out) {
    out->n = 0;
    for (size_t i = 0; i < h->nfields; i++) {
        const struct field *f = &h->fields[i];
        struct str rest = f->value, member;
        if (f->token != TOKEN_TRACESTATE || field_is_removed(f)) continue;
        while (str_split(&rest, ',', &member))
            if (member.n && !take_member(out, member)) return false;
    }
    return true;
}

/* ---- applying ----------------------------------------------------------------------------------------------------------------------------- */
static const struct field *only_traceparent(const struct head *h) {
    const struct field *first = head_find(h, TOKEN_TRACEPARENT);
    return first && !head_find_name(h, token_name(TOKEN_TRACEPARENT), first) ? first : NULL;
}
static bool read_traceparent(const struct head *h, struct traceparent *out) {
    const struct field *f = only_traceparent(h);
    return f && traceparent_parse(f->value, out);
}
bool trace_is_good(const struct head *h, bool believed) {
    struct traceparent ignored;
    return believed && read_traceparent(h, &ignored);
}

static uint32_t below_10000(uint64_t *r) { return (uint32_t)((random_next(r) >> 32) * 10000 >> 32); }

void trace_begin(const struct trace_policy *p, uint64_t *random, struct trace_root *out) {
    random_hex(random, out->id, TRACE_ID);
    out->made = true;
    out->sampled = below_10000(random) < p->sample;
}

static struct str format(struct arena *a, struct str trace_id, uint64_t *random, unsigned flags) {
    char parent[PARENT_ID];
    random_hex(random, parent, sizeof parent);
    return arena_printf(a, "00-%.*s-%.*s-%02x", STR_ARG(trace_id), (int)sizeof parent, parent, flags);
}
static struct str parent_of(struct str traceparent) { return (struct str){ traceparent.p + 36, PARENT_ID }; }

static size_t bytes_of(const struct tracestate *s) {
    size_t n = s->n ? s->n - 1 : 0; /* commas */
    for (size_t i = 0; i < s->n; i++) n += s->v[i].n;
    return n;
}
static void drop_member(struct tracestate *s, size_t i) {
    memmove(&s->v[i], &s->v[i + 1], (s->n - i - 1) * sizeof s->v[0]);
    s->n--;
}
/* 3.3.1.5: whole entries; those over 128 characters first, then from the end. ours: the first `kept` ones stay. */
static unsigned fit(struct tracestate *s, size_t kept, uint64_t max) {
    size_t before = s->n;
    for (size_t i = s->n; i-- > kept && bytes_of(s) > max;)
        if (s->v[i].n > TRACESTATE_LONG) drop_member(s, i);
    while (s->n > kept && (bytes_of(s) > max || s->n > TRACESTATE_MEMBERS)) s->n--;
    return (unsigned)(before - s->n);
}
static void remove_token(struct head *up, enum token t) {
    for (struct field *f; (f = head_find(up, t));) field_remove(f);
}
static void write_state(struct head *up, const struct tracestate *s) {
    remove_token(up, TOKEN_TRACESTATE);
    if (!s->n) return;
    char *p = arena_bytes(up->arena, bytes_of(s));
    size_t n = 0;
    for (size_t i = 0; i < s->n; i++) {
        if (i) p[n++] = ',';
        memcpy(p + n, s->v[i].p, s->v[i].n);
        n += s->v[i].n;
    }
    head_add(up, token_name(TOKEN_TRACESTATE), (struct str){ p, n })->changes = true;
}
/* Ours, leftmost, and no older one of ours beside it. */
static void put_ours(const struct trace_policy *p, struct arena *a, struct str traceparent, struct tracestate *s) {
    for (size_t i = s->n; i-- > 0;)
        if (str_eq(tracestate_key(s->v[i]), p->member)) drop_member(s, i);
    memmove(&s->v[1], &s->v[0], s->n * sizeof s->v[0]);
    s->v[0] = arena_printf(a, "%.*s=%.*s", STR_ARG(p->member), STR_ARG(parent_of(traceparent)));
    s->n++;
}
/* A hop's own traceparent; in JOIN with our member before those that came. */
static void write_hop(const struct trace_policy *p, struct str trace_id, unsigned flags, struct tracestate *s, uint64_t *random, struct head *up,
                      struct trace_tally *tally) {
    struct str traceparent = format(up->arena, trace_id, random, flags);
    bool join = p->mode == TRACE_JOIN;
    if (join) put_ours(p, up->arena, traceparent, s);
    tally->members += fit(s, join, p->max_bytes);
    head_set(up, token_name(TOKEN_TRACEPARENT), traceparent);
    head_find(up, TOKEN_TRACEPARENT)->changes = true;
    write_state(up, s);
}
static void restart(const struct trace_policy *p, const struct trace_root *root, uint64_t *random, struct head *up, struct trace_tally *tally) {
    struct tracestate none = { .n = 0 };
    bool had = head_find(up, TOKEN_TRACEPARENT) || head_find(up, TOKEN_TRACESTATE);
    tally->restarted += had;
    if (had) remove_token(up, TOKEN_TRACEPARENT), remove_token(up, TOKEN_TRACESTATE);
    if (!root->made) return;
    unsigned flags = FLAG_RANDOM | (root->sampled ? FLAG_SAMPLED : 0);
    write_hop(p, (struct str){ root->id, TRACE_ID }, flags, &none, random, up, tally);
}
void trace_apply(const struct trace_policy *p, bool believed, const struct trace_root *root, uint64_t *random, struct head *up,
                 struct trace_tally *tally) {
    struct traceparent t;
    struct tracestate s;
    if (believed && p->mode == TRACE_PASS && !root->made) return; /* "pass-through services should not analyze the version" (3.2.4) */
    if (root->made || !believed || !read_traceparent(up, &t)) {
        restart(p, root, random, up, tally);
        return;
    }
    bool whole = tracestate_read(up, &s);
    if (!whole) {
        tally->members += (unsigned)s.n + 1;
        s.n = 0;
    }
    bool changes = p->mode == TRACE_JOIN || !whole || bytes_of(&s) > p->max_bytes;
    if (changes) write_hop(p, t.trace_id, t.flags & (FLAG_SAMPLED | FLAG_RANDOM), &s, random, up, tally);
}
