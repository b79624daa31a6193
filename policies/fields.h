// SPDX-License-Identifier: Apache-2.0
// Which context fields travel: an allow-list under prefixes with what their values may be, caps, on which listeners a field is believed, and what a
// request must bring. design: semantics, section 7.
#ifndef CURFEW_POLICIES_FIELDS_H
#define CURFEW_POLICIES_FIELDS_H
#include "policies/deadline.h"
#include "policies/pattern.h"
#include "policies/trace.h"

enum field_type { FIELD_STRING, FIELD_INTEGER, FIELD_BOOLEAN, FIELD_UUID, FIELD_TOKEN };
enum field_malformed { FIELD_DROP, FIELD_REJECT };
enum requirement { REQUIRE_NONE, REQUIRE_WARN, REQUIRE_REJECT, REQUIRE_INJECT };
enum schema_newer { NEWER_DROP, NEWER_PASS, NEWER_REJECT };

struct context_field { /* one row of `fields`, of a policy or of a context schema */
    uint64_t max;
    uint8_t type;          /* enum field_type */
    struct conf_ref pattern;
    uint8_t malformed;     /* enum field_malformed; a value over max is malformed, too */
    uint8_t required;      /* enum requirement, never INJECT */
    bool optional;
    int64_t since;         /* the schema's version in which it came; 0: the first */
    struct conf_refs from; /* listeners; given = false: believed everywhere */
    struct conf_ref names[FAMILIES_MAX]; /* by deadline_family_index; absent: the row's */
    /* resolved by fields_resolve: */
    const struct pattern *compiled;      /* NULL: none */
    struct str wire[FAMILIES_MAX];       /* the name there, lower case */
    uint32_t hash[FAMILIES_MAX];
};
struct require_policy { uint8_t deadline, trace; }; /* enum requirement */
struct field_slot { struct str name; uint32_t hash; uint16_t row; uint8_t families; /* bit f: that family's name */ };
struct fields_policy {
    struct conf_ref schema;   /* a file; its version, prefixes and fields were merged in before this was loaded */
    int64_t schema_version;   /* of that file; 0: there is none */
    uint8_t newer;            /* enum schema_newer */
    struct conf_refs prefixes;
    struct conf_map fields;   /* of struct context_field */
    int64_t max_fields;
    uint64_t max_bytes;
    struct require_policy require;
    struct trace_policy trace;
    struct baggage_policy baggage;
    /* resolved by fields_resolve: */
    struct field_slot *slots; /* each name once */
    size_t nslots;
    uint64_t filter;          /* bit (hash & 63) of every slot */
    bool underscores;         /* there is a _ in some name or prefix */
    bool decides;             /* fields_decide has something to look for */
};
extern const struct conf_table fields_table, field_table;
/* Names lower-cased and checked as tokens, patterns compiled, slots filled. listeners: names that `from` may use; NULL: nobody knows here. */
bool fields_resolve(struct conf *c, struct fields_policy *p, const struct conf_map *listeners);
/* Is it one of the listed fields, under whichever name, or the schema's version? */
bool fields_has(const struct fields_policy *p, const struct field *f);
/* ... or does it stand under a prefix? */
bool fields_governs(const struct fields_policy *p, const struct field *f);
/* Is this name, which the policy does not govern, alike (str_is_alike) one of these, or one under a prefix? */
bool fields_has_alike(const struct fields_policy *p, struct str name);
/* Is what `from` says true of this listener? */
bool fields_believes(const struct conf_refs *from, struct str listener);
const char *field_type_name(enum field_type t);
/* Is the value as the row says, but for its length? */
bool field_is_good(const struct context_field *row, struct str value);
#define SCHEMA_FIELD STR("x-context-schema")

/* ---- once a request ---------------------------------------------------------------------------------------------------------------------- */
struct fields_facts {
    const struct head *head;  /* as the client sent it */
    struct str listener;
    bool trusted;             /* the listener's word for this peer */
    const struct rpc *rpc;    /* the client's */
    struct deadline_verdict *deadline; /* read; and made total where the policy injects one */
    const struct deadline_policy *deadline_policy;
    instant now;
    uint64_t *random;
    struct arena *arena;      /* for sentences: those of the verdict live there */
};
struct fields_verdict { /* zeroed: nothing was asked */
    const char *say;          /* refused with client_context; NULL: go on */
    struct str missing;       /* what the policy warns of, "deadline x-user-id"; empty: nothing */
    unsigned nmissing;        /* how many of them */
    int64_t version;          /* what x-context-schema says to the upstream; 0: nothing */
    bool unlisted;            /* a newer schema: what is not listed under a prefix passes */
    bool schema_malformed, schema_newer; /* for counters */
    struct trace_root root;   /* the trace that begins here */
};
void fields_decide(const struct fields_policy *p, const struct fields_facts *f, struct fields_verdict *v);

/* ---- once an attempt ------------------------------------------------------------------------------------------------------------------------ */
enum field_fate {
#define FATE(C, label, say) FIELD_##C,
#include "policies/field_fates.def"
#undef FATE
    FIELD_FATES
};
const char *field_fate_label(enum field_fate f);
const char *field_fate_say(enum field_fate f);
struct fields_hop {
    struct str listener;
    const struct rpc *down, *up; /* what the client and the upstream are spoken to in */
    bool load;                   /* optional fields are dropped */
    const struct fields_verdict *verdict;
    const struct dialect_set *dialects; /* what a deadline is: not a field, though under a prefix; NULL: nothing is */
    uint64_t *random;
    /* Told of every context field, before it is removed or renamed; NULL: nobody asks. */
    void (*on_field)(void *arg, const struct field *f, enum field_fate fate);
    void *arg;
};
struct fields_tally { unsigned removed, fates[FIELD_FATES], baggage; struct trace_tally trace; };
/* Edits the head that goes upstream: removes names under a prefix that are not listed, listed ones not believed on this listener or not as their row
 * says, optional ones under load, and whole members past the caps in total (optional ones first, required ones last); gives the others the upstream's
 * name; writes the schema's version. traceparent, tracestate and baggage have limits of their own and count against no cap. */
void fields_apply(const struct fields_policy *p, const struct fields_hop *hop, struct head *up, struct fields_tally *tally);
/* Removes from a request's trailers all that the policy governs: an upstream that adds trailers to its headers must not read there what nobody looked
 * at (RFC 9110 6.5.1). True where something was removed. */
bool fields_in_trailers(const struct fields_policy *p, const struct dialect_set *dialects, struct head *trailers, struct fields_tally *tally);
#endif
