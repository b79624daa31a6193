// SPDX-License-Identifier: Apache-2.0
// Which fields are lookalikes: see lookalike.h. Each owner says whether a name is alike one of its own; here they are asked, and the fields go.
#include "policies/lookalike.h"

/* What a codec takes out of a head, or writes itself (core/head.h), as far as there is a - in it. */
static const enum token framing[] = { TOKEN_CONTENT_LENGTH, TOKEN_TRANSFER_ENCODING, TOKEN_KEEP_ALIVE, TOKEN_PROXY_CONNECTION };
static bool is_framing_alike(struct str name) {
    for (size_t i = 0; i < sizeof framing / sizeof *framing; i++)
        if (str_is_alike(token_name(framing[i]), name)) return true;
    return false;
}

/* Whether one of eight bytes is a _; and of a name's: all others of a head pay for this, so that it is no call of memchr. */
static inline bool word_has_underscore(const char *p) {
    const uint64_t ones = UINT64_C(0x0101010101010101);
    uint64_t v;
    memcpy(&v, p, sizeof v);
    v ^= ones * '_';
    return (v - ones) & ~v & ones << 7;
}
static inline bool has_underscore(struct str name) {
    if (name.n < sizeof(uint64_t)) return str_index(name, '_') < name.n;
    for (size_t i = 0; i + sizeof(uint64_t) < name.n; i += sizeof(uint64_t))
        if (word_has_underscore(name.p + i)) return true;
    return word_has_underscore(name.p + name.n - sizeof(uint64_t));
}

static bool is_lookalike(const struct lookalike_facts *f, const struct field *field) {
    const struct policy *p = f->policy;
    if (dialect_of_field(f->dialects, field) || fields_governs(&p->context, field)) return false;
    if (fields_has_alike(&p->context, field->name)) return true;
    if (!has_underscore(field->name)) return false;
    return is_framing_alike(field->name) || deadline_strips_alike(&p->deadline, f->dialects, field->name) ||
           forward_removes_alike(&p->forward, f->trusted, field->name) || (f->edits && route_edits_alike(f->edits, field->name));
}

unsigned lookalikes_remove(const struct lookalike_facts *f, struct head *h) {
    unsigned n = 0;
    bool dashes_too = f->policy->context.underscores; /* of a name that has a _ one without is a lookalike */
    for (size_t i = 0; i < h->nfields; i++) {
        struct field *field = &h->fields[i];
        if (field->token != TOKEN_NONE || !(dashes_too || has_underscore(field->name))) continue; /* no token's name has a _ */
        if (field_is_removed(field) || !is_lookalike(f, field)) continue;
        if (f->on_field) f->on_field(f->arg, field, FIELD_LOOKALIKE);
        field_remove(field);
        n++;
    }
    return n;
}
