// SPDX-License-Identifier: Apache-2.0
// From what the client wrote to one deadline, and from that to what the upstream is told. Pure: facts in, verdict out.
// design: semantics, section 2.
#ifndef CURFEW_POLICIES_DEADLINE_H
#define CURFEW_POLICIES_DEADLINE_H
#include "codecs/dialect.h"
#include "codecs/rpc.h"
#include "conf/conf.h"
#include "core/ending.h"
#include "policies/guard.h"
#include "policies/mode.h"

enum stream_detect { STREAM_AUTO, STREAM_ALWAYS, STREAM_NEVER };
#define FAMILIES_MAX 8u

struct deadline_policy {
    uint8_t mode;                     /* enum mode */
    struct conf_refs read;            /* keys of dialects; resolved into read_rows by deadline_resolve */
    span deflt, max, min, reserve, idle, answer_margin, per_try; /* per_try FOREVER: none */
    struct { uint8_t detect; span idle, max; } streaming; /* max FOREVER: none */
    struct conf_refs write[FAMILIES_MAX]; /* by family_index */
    struct conf_refs pass;
    span grace;
    struct { span fixed; uint8_t percent; } needs; /* what an answer takes: so long, or that percentile of what it took; both 0: not said */
    struct guard_policy *max_reject;  /* NULL: none */
    /* resolved: */
    const struct dialect *const *read_rows; size_t nread;
    const struct dialect *const *write_rows[FAMILIES_MAX]; size_t nwrite[FAMILIES_MAX];
    uint8_t pass_mask[DIALECTS_MAX / 8]; /* bit a dialect's index */
};
extern const struct conf_table deadline_table;
/* The families of the registered rpcs, in a stable order; the key under `write`. FAMILIES_MAX: there is none of that name. */
size_t deadline_family_index(const char *family);
const char *deadline_family_name(size_t i); /* NULL at the end */
/* Looks up the dialect keys; reports unknown ones with their places and the nearest name. Rows are allocated in c->arena. */
bool deadline_resolve(struct conf *c, struct deadline_policy *p, const struct dialect_set *set);

struct deadline_facts {
    const struct head *head;
    const struct rpc *rpc;
    const struct dialect_set *dialects;
    bool trusted;         /* the listener's word for this peer */
    instant now;
    int64_t wall_ns;
    instant parent;       /* the parent's deadline; NEVER: none */
    span measured;        /* the percentile that `needs` names; 0: not known */
};
struct deadline_verdict {
    /* ENDING_NONE: go on. CLIENT_CONTEXT: a reject. SHED_EXPIRED, SHED_LATENCY: too little left (mode enforce only). */
    enum ending refuse;
    const char *say;              /* static: why, where refuse is set */
    /* What the client (or parent, or max) set: total, ends a stream in its middle. NEVER: none. */
    instant total;
    instant fire;                 /* when our timer ends it: total, less answer_margin where the client set it */
    const struct dialect *source; /* whose candidate total is; NULL: max, streaming.max, the parent, or there is none */
    struct str source_name;       /* of the nearest of total and to_head: the dialect's key, "default", "max", "parent", "streaming.max", "none" */
    bool asked;                   /* the client, or the parent, named a deadline that counts, whatever came of it */
    bool client_set;              /* total came from the client (or parent): then its leaving near it is client_deadline */
    /* What is ours: runs to the head of the answer, paused while the request's body arrives. FOREVER: none. */
    span to_head;
    instant advice;               /* until when the client advises to work (Prefer: wait), where the default applies; NEVER: none. It bounds what
                                     the upstream is told, through deadline_left, and arms no timer: it never causes a 504 */
    span idle;                    /* between body bytes; FOREVER: none */
    span per_try;                 /* FOREVER: none */
    bool stream;
    bool enforce, tell;           /* by mode: timers end it; the upstream is told and dialects are stripped */
    /* In every mode but disabled: what enforcing refuses, or would have refused, at once. */
    enum ending would_refuse;
    enum ending let_through;      /* ... but for max_reject, which let it through */
    span needs;                   /* with less than this of `total` left it is not worth asking: SHED_LATENCY; 0: nobody knows */
    unsigned malformed;           /* values seen and ignored as malformed: a counter */
    unsigned dropped_untrusted;   /* dialects not believed because the listener is not trusted: for the log */
};
void deadline_decide(const struct deadline_policy *p, const struct deadline_facts *f, struct deadline_verdict *v);
/* max_reject has it let through, whatever was decided. What is left of its deadline still counts: the upstream is told the whole of it, and it ends
 * by it. Where nothing is left the deadline is not believed, and the request runs under the default. */
void deadline_let_through(const struct deadline_policy *p, struct deadline_verdict *v, instant now);
/* As if the client had asked for `default`: it is total, clamped to `max`, for streams, too. Of a verdict where nobody asked; without a default, or
 * in mode disabled, nothing changes. */
void deadline_inject(const struct deadline_policy *p, instant now, struct deadline_verdict *v);

/* What is left for an attempt whose head is written at `now`, as deadline_tell wants it: the nearest of total, what remains of to_head (the
 * caller knows when it was paused; FOREVER: none, or the head has come), advice that still has room, and the client's own per_try. */
span deadline_left(const struct deadline_policy *p, const struct deadline_verdict *v, instant now, span to_head);

/* What an attempt tells its upstream: strips known dialects from `up` (a clone of the request's head, of which only fields and target are touched)
 * except those of `pass`, and writes what is left. Call anew for each attempt, when its head is written.
 * left: of the total and of the default, whichever is nearer, FOREVER where there is none; the function takes reserve and per_try off itself.
 * may_shed: false: tells as mode forward does, and returns ENDING_NONE, for a request that was let through.
 * told: set to what was written (in observe: what would have been), before it was rounded down (0: nothing).
 * Returns ENDING_NONE, or SHED_EXPIRED where less than min + reserve is left or no dialect fits: in mode enforce the request is to end by that, and
 * `up` is spoiled; in observe and forward it is what enforcing would have done, and `up` is as it should be. */
enum ending deadline_tell(const struct deadline_policy *p, const struct dialect_set *dialects, const struct rpc *rpc, span left, int64_t wall_ns,
                          bool may_shed, struct head *up, span *told);
/* Would deadline_tell strip a field that this name, which is no dialect's, is alike (str_is_alike)? */
bool deadline_strips_alike(const struct deadline_policy *p, const struct dialect_set *dialects, struct str name);
/* Removes from a request's trailers what deadline_tell strips from its head: an upstream that adds trailers to its headers must not read there another
 * deadline than ours (RFC 9110 6.5.1). */
void deadline_in_trailers(const struct deadline_policy *p, const struct dialect_set *dialects, struct head *trailers);
#endif
