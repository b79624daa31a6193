// SPDX-License-Identifier: Apache-2.0
// W3C Baggage: an allow-list of keys, and limits over all fields together (trap T47). A member is kept or dropped whole, its properties with it.
#include "policies/trace.h"

#define OF(member) offsetof(struct baggage_policy, member)
static const struct conf_field baggage_fields[] = {
    { .name = "allow", .type = CONF_REFS, .offset = OF(allow), .max = 256, .help = "keys that pass, case and all; [ ] lets none pass; left out: every one" },
    { .name = "max_members", .type = CONF_INT, .offset = OF(max_members), .def = "64", .min = 0, .max = BAGGAGE_MEMBERS_MAX,
      .help = "members of all baggage fields together; the last ones are dropped whole" },
    { .name = "max_bytes", .type = CONF_SIZE, .offset = OF(max_bytes), .def = "8KiB", .min = 0, .max = 64 << 10,
      .help = "bytes of all members together, their commas included; what does not fit any more is dropped whole" },
    { .name = "from", .type = CONF_REFS, .offset = OF(from), .max = 1000,
      .help = "listeners on which baggage is believed; on others it is removed; left out: everywhere" },
    { 0 }
};
#undef OF
static void check_baggage(struct conf *c, const struct conf_node *n, void *at) {
    const struct baggage_policy *p = at;
    (void)n;
    for (size_t i = 0; i < p->allow.n; i++)
        if (!is_token(p->allow.v[i].name))
            conf_error(c, p->allow.v[i].at->pos, "a key is letters, digits and any of !#$%&'*+-.^_`|~", "\"%.*s\" is no key of baggage",
                       STR_ARG(p->allow.v[i].name));
}
const struct conf_table baggage_table = { .name = "baggage", .size = sizeof(struct baggage_policy), .fields = baggage_fields, .check = check_baggage,
    .help = "W3C Baggage: which members pass." };

static bool is_baggage(const struct field *f) { return f->token == TOKEN_BAGGAGE && !field_is_removed(f); }

static bool is_allowed(const struct baggage_policy *p, struct str member) {
    size_t equals = str_index(member, '=');
    struct str key = str_trim(str_first(member, equals));
    if (equals == member.n || !is_token(key)) return false; /* "it MAY remove that entry" */
    if (!p->allow.given) return true;
    for (size_t i = 0; i < p->allow.n; i++)
        if (str_eq(p->allow.v[i].name, key)) return true;
    return false;
}
/* How much there is, without a look at any member. */
static size_t measure(const struct head *up, size_t *members) {
    size_t bytes = 0;
    *members = 0;
    for (size_t i = 0; i < up->nfields; i++) {
        const struct field *f = &up->fields[i];
        if (!is_baggage(f)) continue;
        bytes += f->value.n + (*members > 0);
        for (size_t k = 0; k < f->value.n; k++) *members += f->value.p[k] == ',';
        (*members)++;
    }
    return bytes;
}

struct kept { struct str v[BAGGAGE_MEMBERS_MAX]; size_t n, bytes; unsigned dropped; };

static void keep_member(const struct baggage_policy *p, struct kept *k, struct str member) {
    size_t bytes = k->bytes + member.n + (k->n > 0);
    bool full = (int64_t)k->n >= p->max_members || bytes > p->max_bytes;
    if (full || !is_allowed(p, member)) {
        k->dropped++;
        return;
    }
    k->v[k->n++] = member;
    k->bytes = bytes;
}
static struct str joined(struct arena *a, const struct kept *k) {
    char *p = arena_bytes(a, k->bytes + 1);
    size_t n = 0;
    for (size_t i = 0; i < k->n; i++) {
        if (i) p[n++] = ',';
        memcpy(p + n, k->v[i].p, k->v[i].n);
        n += k->v[i].n;
    }
    return (struct str){ p, n };
}
static void collect(const struct baggage_policy *p, const struct head *up, struct kept *k) {
    for (size_t i = 0; i < up->nfields; i++) {
        struct str rest = up->fields[i].value, member;
        if (!is_baggage(&up->fields[i])) continue;
        while (str_split(&rest, ',', &member))
            if (member.n) keep_member(p, k, member);
    }
}

unsigned baggage_apply(const struct baggage_policy *p, bool believed, struct head *up) {
    size_t members, bytes = measure(up, &members);
    if (!members || (believed && !p->allow.given && bytes <= p->max_bytes && (int64_t)members <= p->max_members)) return 0;
    struct kept k;
    k.n = k.bytes = k.dropped = 0;
    if (believed) collect(p, up, &k);
    else k.dropped = (unsigned)members;
    if (!k.dropped) return 0;
    if (k.n) head_set(up, token_name(TOKEN_BAGGAGE), joined(up->arena, &k));
    else head_remove(up, token_name(TOKEN_BAGGAGE));
    return k.dropped;
}
