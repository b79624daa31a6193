// SPDX-License-Identifier: Apache-2.0
// Which context fields travel. T46: what is not listed under a prefix does not leave the house, nor come in from where it is not believed.
// T47: the caps hold over all members together, and a member is dropped whole, never cut.
#include "policies/fields.h"
#include <assert.h>

static const struct { const char *label, *say; } fates[FIELD_FATES] = {
#define FATE(C, l, s) [FIELD_##C] = { .label = l, .say = s },
#include "policies/field_fates.def"
#undef FATE
};
const char *field_fate_label(enum field_fate f) { return fates[f].label; }
const char *field_fate_say(enum field_fate f) { return fates[f].say; }

/* ---- values --------------------------------------------------------------------------------------------------------------------------------- */
#define INTEGER_DIGITS 18u /* fits an int64 in every language */

static bool is_integer(struct str s) {
    if (s.n && s.p[0] == '-') s = str_from(s, 1);
    if (!s.n || s.n > INTEGER_DIGITS || (s.n > 1 && s.p[0] == '0')) return false;
    for (size_t i = 0; i < s.n; i++)
        if (s.p[i] < '0' || s.p[i] > '9') return false;
    return true;
}
static bool is_uuid(struct str s) {
    if (s.n != 36) return false;
    for (size_t i = 0; i < s.n; i++) {
        char b = s.p[i], lower = (char)(b | 0x20);
        bool dash = i == 8 || i == 13 || i == 18 || i == 23;
        if (dash ? b != '-' : !((b >= '0' && b <= '9') || (lower >= 'a' && lower <= 'f'))) return false;
    }
    return true;
}
bool field_is_good(const struct context_field *row, struct str value) {
    bool good = true;
    switch ((enum field_type)row->type) {
    case FIELD_STRING: break;
    case FIELD_INTEGER: good = is_integer(value); break;
    case FIELD_BOOLEAN: good = str_eq(value, STR("true")) || str_eq(value, STR("false")); break;
    case FIELD_UUID: good = is_uuid(value); break;
    case FIELD_TOKEN: good = is_token(value); break;
    }
    return good && (!row->compiled || pattern_match(row->compiled, value));
}

/* ---- whose field it is -------------------------------------------------------------------------------------------------------------------------- */
static bool is_trace(enum token t) { return t == TOKEN_TRACEPARENT || t == TOKEN_TRACESTATE || t == TOKEN_BAGGAGE; }
static bool is_schema(const struct fields_policy *p, const struct field *f) { return p->schema_version && str_eq(f->name, SCHEMA_FIELD); }

static const struct field_slot *slot_of(const struct fields_policy *p, const struct field *f) {
    if (!(p->filter >> (f->hash & 63) & 1)) return NULL;
    for (size_t i = 0; i < p->nslots; i++)
        if (p->slots[i].hash == f->hash && str_eq(p->slots[i].name, f->name)) return &p->slots[i];
    return NULL;
}
static const struct context_field *row_of(const struct fields_policy *p, const struct field_slot *s) {
    return CONF_AT(p->fields, const struct context_field, s->row);
}

bool fields_has(const struct fields_policy *p, const struct field *f) { return slot_of(p, f) || is_schema(p, f); }

static bool is_under_prefix(const struct fields_policy *p, struct str name) {
    for (size_t i = 0; i < p->prefixes.n; i++)
        if (str_starts(name, p->prefixes.v[i].name)) return true;
    return false;
}

bool fields_governs(const struct fields_policy *p, const struct field *f) { return fields_has(p, f) || is_under_prefix(p, f->name); }
bool fields_has_alike(const struct fields_policy *p, struct str name) {
    if (p->schema_version && str_is_alike(SCHEMA_FIELD, name)) return true;
    for (size_t i = 0; i < p->nslots; i++)
        if (str_is_alike(p->slots[i].name, name)) return true;
    for (size_t i = 0; i < p->prefixes.n; i++) {
        struct str prefix = p->prefixes.v[i].name;
        if (prefix.n <= name.n && str_is_alike(prefix, str_first(name, prefix.n))) return true;
    }
    return false;
}

bool fields_believes(const struct conf_refs *from, struct str listener) {
    if (!from->given) return true;
    for (size_t i = 0; i < from->n; i++)
        if (str_eq(from->v[i].name, listener)) return true;
    return false;
}

/* ---- applying ------------------------------------------------------------------------------------------------------------------------------------ */
struct pass { /* over one head */
    const struct fields_policy *p;
    const struct fields_hop *hop;
    struct fields_tally *tally;
    size_t down, up; /* families */
    int64_t fields;
    uint64_t bytes;
};

static void count(struct pass *a, const struct field *f, bool in) {
    a->fields += in ? 1 : -1;
    if (in) a->bytes += f->name.n + f->value.n;
    else a->bytes -= f->name.n + f->value.n;
}
static bool is_past(const struct pass *a) { return a->fields > a->p->max_fields || a->bytes > a->p->max_bytes; }

static void tell(struct pass *a, const struct field *f, enum field_fate fate) {
    a->tally->fates[fate]++;
    a->tally->removed += fate != FIELD_PASSED;
    if (a->hop->on_field) a->hop->on_field(a->hop->arg, f, fate);
}
static void drop(struct pass *a, struct field *f, enum field_fate why) {
    tell(a, f, why);
    field_remove(f);
}

static enum field_fate fate_of(const struct pass *a, const struct field_slot *s, const struct field *f) {
    const struct context_field *row = row_of(a->p, s);
    if (!(s->families >> a->down & 1)) return FIELD_PROTOCOL;
    if (!fields_believes(&row->from, a->hop->listener)) return FIELD_UNTRUSTED;
    if (f->value.n > row->max) return FIELD_TOO_LONG;
    if (a->hop->load && row->optional) return FIELD_LOAD;
    return field_is_good(row, f->value) ? FIELD_PASSED : FIELD_MALFORMED;
}
/* Under a prefix, and not listed. A deadline may stand there, too (x-context-deadline): it is no field, and what
 * becomes of it is its own policy's word. */
static bool is_unlisted(const struct pass *a, const struct field *f) {
    return is_under_prefix(a->p, f->name) && !(a->hop->dialects && dialect_of_field(a->hop->dialects, f));
}
/* Is it counted against the caps? A newer schema's fields are, though we do not list them. */
static bool judge(struct pass *a, struct field *f) {
    const struct field_slot *s = slot_of(a->p, f);
    bool under = !s && is_unlisted(a, f);
    if (!s && !under) return false;
    enum field_fate fate = s ? fate_of(a, s, f) : a->hop->verdict->unlisted ? FIELD_PASSED : FIELD_UNLISTED;
    if (fate != FIELD_PASSED) drop(a, f, fate);
    return fate == FIELD_PASSED;
}
static bool is_member(const struct pass *a, const struct field *f) {
    if (field_is_removed(f) || is_trace(f->token)) return false;
    return slot_of(a->p, f) || (a->hop->verdict->unlisted && is_unlisted(a, f));
}
/* Which are dropped first, past the caps. That a request has what is required was decided already: the one that counts for it goes last. */
enum rank { OPTIONAL, USUAL, REQUIRED };
static bool is_first(const struct pass *a, const struct head *up, size_t at, const struct context_field *row) {
    for (size_t i = 0; i < at; i++) {
        const struct field_slot *s = field_is_removed(&up->fields[i]) ? NULL : slot_of(a->p, &up->fields[i]);
        if (s && row_of(a->p, s) == row) return false;
    }
    return true;
}
static enum rank rank_of(const struct pass *a, const struct head *up, size_t at) {
    const struct field_slot *s = slot_of(a->p, &up->fields[at]);
    const struct context_field *row = s ? row_of(a->p, s) : NULL;
    if (row && row->optional) return OPTIONAL;
    return row && row->required == REQUIRE_REJECT && is_first(a, up, at, row) ? REQUIRED : USUAL;
}
/* Drops members of that rank, from the last to the first, until the caps hold. */
static void drop_past_caps(struct pass *a, struct head *up, enum rank rank) {
    for (size_t i = up->nfields; i-- > 0 && is_past(a);) {
        struct field *f = &up->fields[i];
        if (!is_member(a, f) || rank_of(a, up, i) != rank) continue;
        count(a, f, false);
        drop(a, f, FIELD_CAPS);
    }
}
/* What is left is told, and gets the name that the upstream's protocol has for it. */
static void rename_all(struct pass *a, struct head *up) {
    for (size_t i = 0; i < up->nfields; i++) {
        struct field *f = &up->fields[i];
        if (!is_member(a, f)) continue;
        tell(a, f, FIELD_PASSED);
        const struct field_slot *s = slot_of(a->p, f);
        if (!s || s->families >> a->up & 1) continue;
        f->name = row_of(a->p, s)->wire[a->up];
        f->hash = row_of(a->p, s)->hash[a->up];
        f->token = (uint8_t)token_of(f->name, f->hash);
    }
}
static void apply_listed(struct pass *a, struct head *up) {
    for (size_t i = 0; i < up->nfields; i++) {
        struct field *f = &up->fields[i];
        if (field_is_removed(f) || is_trace(f->token)) continue;
        if (is_schema(a->p, f)) field_remove(f);
        else if (judge(a, f)) count(a, f, true);
    }
    for (enum rank r = OPTIONAL; r <= REQUIRED; r++) drop_past_caps(a, up, r);
    rename_all(a, up);
}
static void write_schema(int64_t version, struct head *up) {
    if (version) head_add(up, SCHEMA_FIELD, arena_printf(up->arena, "%lld", (long long)version));
}

void fields_apply(const struct fields_policy *p, const struct fields_hop *hop, struct head *up, struct fields_tally *tally) {
    *tally = (struct fields_tally){ 0 };
    if (p->fields.n || p->prefixes.n || p->schema_version) {
        struct pass a = { .p = p, .hop = hop, .tally = tally, .down = deadline_family_index(hop->down->family),
                          .up = deadline_family_index(hop->up->family) };
        assert(a.down < FAMILIES_MAX && a.up < FAMILIES_MAX);
        apply_listed(&a, up);
        write_schema(hop->verdict->version, up);
    }
    bool traced = fields_believes(&p->trace.from, hop->listener);
    trace_apply(&p->trace, traced, &hop->verdict->root, hop->random, up, &tally->trace);
    tally->baggage = baggage_apply(&p->baggage, fields_believes(&p->baggage.from, hop->listener), up);
}

static bool governs(const struct pass *a, const struct field *f) {
    return !is_trace(f->token) && (fields_has(a->p, f) || is_unlisted(a, f));
}
bool fields_in_trailers(const struct fields_policy *p, const struct dialect_set *dialects, struct head *trailers, struct fields_tally *tally) {
    struct fields_hop hop = { .dialects = dialects };
    struct pass a = { .p = p, .hop = &hop, .tally = tally };
    *tally = (struct fields_tally){ 0 };
    for (size_t i = 0; i < trailers->nfields; i++) {
        struct field *f = &trailers->fields[i];
        if (!field_is_removed(f) && governs(&a, f)) drop(&a, f, FIELD_TRAILER);
    }
    return tally->removed;
}
