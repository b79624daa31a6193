// SPDX-License-Identifier: Apache-2.0
// From what the client wrote to one deadline, and from that to what the upstream is told. Pure: facts in, verdict out.
// design: semantics, section 2.
#ifndef CURFEW_POLICIES_DEADLINE_H
#define CURFEW_POLICIES_DEADLINE_H
#include "codecs/dialect.h"
#include "codecs/rpc.h"
#include "conf/conf.h"
#include "core/ending.h"

enum deadline_mode { MODE_DISABLED, MODE_OBSERVE, MODE_FORWARD, MODE_ENFORCE };
enum stream_detect { STREAM_AUTO, STREAM_ALWAYS, STREAM_NEVER };
#define FAMILIES_MAX 8u

struct deadline_policy {
    uint8_t mode;                     /* enum deadline_mode */
    struct conf_refs read;            /* keys of dialects; resolved into read_rows by deadline_resolve */
    span deflt, max, min, reserve, idle, answer_margin, per_try; /* per_try FOREVER: none */
    struct { uint8_t detect; span idle, max; } streaming; /* max FOREVER: none */
    struct conf_refs write[FAMILIES_MAX]; /* by family_index */
    struct conf_refs pass;
    span grace;
    /* resolved: */
    const struct dialect *const *read_rows; size_t nread;
    const struct dialect *const *write_rows[FAMILIES_MAX]; size_t nwrite[FAMILIES_MAX];
    uint8_t pass_mask[DIALECTS_MAX / 8]; /* bit a dialect's index */
};
extern const struct conf_table deadline_table;
/* The families of the registered rpcs, in a stable order; the key under `write`. FAMILIES_MAX: there is none of that name. */
size_t deadline_family_index(const char *family);
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
};
struct deadline_verdict {
    /* ENDING_NONE: go on. CLIENT_CONTEXT: a reject. SHED_EXPIRED: too little left (mode enforce only). */
    enum ending refuse;
    const char *say;              /* static: why, where refuse is set */
    /* What the client (or parent, or max) set: total, ends a stream in its middle. NEVER: none. */
    instant total;
    instant fire;                 /* when our timer ends it: total, less answer_margin where the client set it */
    const struct dialect *source; /* whose candidate total is; NULL: max, streaming.max, the parent, or there is none */
    struct str source_name;       /* of the nearest of total and to_head: the dialect's key, "default", "max", "parent", "streaming.max", "none" */
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
    unsigned malformed;           /* values seen and ignored as malformed: a counter */
    unsigned dropped_untrusted;   /* dialects not believed because the listener is not trusted: for the log */
};
void deadline_decide(const struct deadline_policy *p, const struct deadline_facts *f, struct deadline_verdict *v);

/* What is left for an attempt whose head is written at `now`, as deadline_tell wants it: the nearest of total, what remains of to_head (the
 * caller knows when it was paused; FOREVER: none, or the head has come), advice that still has room, and the client's own per_try. */
span deadline_left(const struct deadline_policy *p, const struct deadline_verdict *v, instant now, span to_head);

/* What an attempt tells its upstream: strips known dialects from `up` (a clone of the request's head, of which only fields and target are
 * touched) except those of `pass`, and writes what is left. Call anew for each attempt, when its head is written.
 * left: of the total and of the default, whichever is nearer, FOREVER where there is none; the function takes reserve and per_try off itself.
 * told: set to what was written, before it was rounded down (0: nothing). Returns ENDING_NONE, or SHED_EXPIRED where less than min + reserve is left or no dialect fits
 * (mode enforce only). */
enum ending deadline_tell(const struct deadline_policy *p, const struct dialect_set *dialects, const struct rpc *rpc, span left, int64_t wall_ns,
                          struct head *up, span *told);
#endif
