// SPDX-License-Identifier: Apache-2.0
// An exchange: one request and its answer, both legs, one arena, one context. Everything that ends it is context_end; the answer that is owed, the
// upstream's fate, the log line and the counters follow from the cause. It knows no wire protocol.
//
//   on_open → exchange_open           a leg down, the arena, the context
//   on_head → step decide             rpc, route, deadline, fields: a verdict
//           → step ask                an attempt takes a place at its upstream: at once, or on_ready later
//           → step send (attempt.c)   the head for the upstream: stripped, edited, with what is left
//           → step relay              bodies both ways, by offset; the first answer's head ends the default deadline
//   context_end(cause) → on_end       hooks: the client is answered or cut, each attempt is cancelled by its ladder
//           → step finish             both legs closed: log, counters, free at the end of the turn
#ifndef CURFEW_PROXY_EXCHANGE_H
#define CURFEW_PROXY_EXCHANGE_H
#include "codecs/bridge.h"
#include "proxy/leg.h"
#include "proxy/upstream.h"
#include "proxy/worker.h"

struct listener;
#define DISCARD_MAX (64u << 10)     /* bytes of an unwanted upload that are read rather than closing its connection */
#define EXCHANGE_STEPS STEP(read_head) STEP(decide) STEP(ask) STEP(relay) STEP(finish)
enum exchange_step {
#define STEP(name) STEP_##name,
    EXCHANGE_STEPS
#undef STEP
    STEPS
};
enum answered { ANSWERED_NOT, ANSWERED_HEAD, ANSWERED_WHOLE /* its last byte and trailers are in the queue */ };

struct attempt { /* one try at an upstream; in the exchange's arena */
    struct exchange *x;              /* borrowed */
    struct list node;                /* in exchange.attempts, until it is closed */
    struct context context;          /* a child of the exchange's; its deadline is per_try */
    struct hook on_end;
    struct place place;
    struct conn *conn;               /* borrowed, from on_ready to on_closed */
    uint64_t offset;                 /* of the request's body: taken by this attempt */
    uint64_t sent;                   /* ... and written */
    uint64_t sent_at;                /* conn.bytes_out when it began: has the kernel taken any of it? */
    instant asked, begun;
    uint64_t heard_at;               /* conn.bytes_in when it began: did a byte of its answer come? */
    bool reused, head_seen, closed;
    bool over;                       /* whatever comes of it counts no more: it failed, was held back, or lost against another */
    bool hedge;                      /* it began beside another */
    bool spoke;                      /* an interim answer of it came */
    bool borrowed;                   /* it has a place in the upstream's retry budget */
    unsigned number;                 /* which one of its request, from 1 */
    bool heard;                      /* a byte of its answer came, as known when its leg closed */
    bool draining;                   /* its answer is thrown away */
    uint64_t drained, drain_bytes;
    struct timer drain;
    instant drain_moved;             /* the last byte that was thrown away */
    span drain_silence;              /* FOREVER: `drain` is the end; else it ends where no byte comes for so long */
    struct timer late;               /* per_try, in a mode that does not enforce it */
    span told;                       /* what the upstream was told; 0: nothing */
    bool would_tell;                 /* ... or would have been */
    struct leg up;                   /* last: the codec's tail follows */
};
struct pace { /* of the client, as the idle timer found it when it looked last (timeouts.min_rate) */
    uint8_t of;                      /* enum ending: what its slowness would be; NONE: another was waited for */
    instant looked;
    uint64_t moved;                  /* bytes of both bodies */
    span left;                       /* until it is too slow, if no more come */
};
struct exchange {
    struct list node;                /* in worker.exchanges, or .finished */
    struct arena arena;
    struct worker *w;
    struct snapshot *snapshot;       /* a reference: what it began under, and ends under */
    struct listener *listener;       /* borrowed from the snapshot */
    struct conn *conn;               /* borrowed until the down leg is closed */
    bool trusted, secure;            /* as its session is */
    struct context context;
    struct hook on_end;
    uint8_t step;                    /* enum exchange_step */
    bool running;
    /* the request */
    const struct head *request;
    const struct rpc *rpc;
    const struct rpc *rpc_up;        /* what the upstream is spoken to in: rpc, unless the route translates */
    struct bridge *bridge;           /* owned, NULL: bodies pass as they are */
    bool copied;                     /* what the bridge is handed does not outlive the call */
    struct route_match match;
    const struct policy *policy;     /* never NULL once decided */
    struct deadline_verdict verdict;
    struct fields_verdict fields;    /* what the policy says of its context */
    struct upstream *upstream;       /* NULL: answered here */
    struct body up;                  /* the request's body on its way up */
    uint64_t up_sent;                /* of it, by whichever attempt came furthest: what the client has credit for */
    uint64_t up_bytes;               /* of it, as the client sent it */
    bool keep;                       /* the request's body is kept for another attempt */
    /* the answer */
    uint8_t answered;                /* enum answered */
    bool local;                      /* the answer is ours */
    bool discard;                    /* nobody is there to hear it (client_gone: ignore) */
    bool told_of;                    /* the log and the counters have it; what is left only drains */
    bool cut_pending;                /* the answer is to be cut once what came was delivered */
    struct body down;                /* the answer's body on its way down */
    uint64_t down_offset;
    const struct head *answer;       /* as it came from the upstream */
    struct rpc_follow follow;        /* its body, as the client gets it */
    /* attempts */
    struct attempt *attempt;         /* whose answer counts, or, of several in play, one (one that is asked, if any is); NULL: none is */
    struct list attempts;            /* all that are not closed */
    struct list calls;               /* side-channel calls that are not over */
    struct list after_feed;          /* in the worker's list */
    unsigned tries, hedges;          /* all of them; those that began beside another */
    int64_t retries;                 /* of them: after one that failed */
    bool stale_used;                 /* the stale connection rule was used: once */
    bool waiting;                    /* `next` is the end of a back-off, or of the patience with a call */
    instant not_before;              /* ... of the back-off */
    bool retry_borrowed;             /* the retry that waits, or begins, has a place in the upstream's budget */
    bool continued;                  /* the client was told to go on with its body: 100 (Continue) */
    bool unhedged;                   /* the upstream said not to begin another */
    struct timer next;               /* when a retry, or a hedge, begins (tries.c) */
    uint64_t tried;                  /* bit an endpoint that failed it, as in struct place */
    struct fault failed;             /* the outcome of the last attempt that failed; why NONE: an answer */
    enum retry_verdict no_retry;     /* why an outcome that the policy tries again was not */
    unsigned winner;                 /* the number of the attempt that answered, where there may be hedges; 0: none */
    /* time */
    instant begun, moved, answered_at, sent_at, ended_at;
    span queued;                     /* until an attempt had its connection, but hedges */
    int64_t wall_ns;
    struct timer to_head;            /* the default deadline; runs while the request is complete and no head came */
    span to_head_left;
    instant to_head_due;             /* 0: it does not run yet */
    struct timer idle;
    instant owed;                    /* the client has been owed bytes of the answer since then; good while some wait for it */
    struct pace pace;
    /* for the log */
    enum ending would;               /* in modes that do not enforce: what enforcing would have ended it with, the first of all; NONE: nothing */
    struct timer observed;           /* ... when the deadline that is total would have */
    enum ending would_leave;         /* ... as its answer is complete: its client closed its side, and client_gone says ignore */
    enum cancel_level would_cancel;  /* ... and the strongest level that enforcing would have achieved */
    bool called;                     /* attempt_call was made use of */
    bool cancel_deferred;            /* a cancel in band waited for the reset budget */
    enum ending left_why;            /* client_gone: ignore: why the client left */
    struct fault fault;              /* the sentence and status of the ending */
    uint16_t status;
    struct rpc_outcome outcome;
    enum cancel_level level;
    span told;
    struct str endpoint, client;
    uint64_t down_bytes;
    struct leg leg;                  /* down; last: the codec's tail follows */
};
/* The events of a gateway's sessions: clients' and upstreams'. */
extern const struct codec_events exchange_down_events, exchange_up_events;
/* Between feed and output, for each in worker.after_feed. */
void exchange_after_feed(struct exchange *x);
/* The end of the turn, by worker.c. */
void exchange_free(struct exchange *x);

/* ---- between exchange.c and attempt.c ---------------------------------------------------------------------------------------------------- */
struct start {
    uint64_t tried; bool fresh;     /* as in struct place; fresh: it stands in for one whose connection was stale, and has its number */
    bool borrowed, hedge;           /* as in struct attempt */
    unsigned number;
};
/* Starts an attempt; its outcome comes later, or inside. */
void attempt_start(struct exchange *x, const struct start *s);
/* It may still answer. */
static inline bool attempt_is_in_play(const struct attempt *a) { return !a->over && !context_is_ended(&a->context); }
/* Its answer is not wanted, though another attempt goes on: read and thrown away where that is cheap, else as attempt_lose. */
void attempt_discard(struct attempt *a);
/* Another was faster: it ends, its upstream is told by the ladder, and nobody else hears of it. */
void attempt_lose(struct attempt *a);
/* The request's body grew or is complete. */
void attempt_ready(struct exchange *x);
/* The client took n bytes of the answer. */
void attempt_credit(struct exchange *x, size_t n);
/* The client left: in mode forward the ladder's call is made, once, where the upstream was asked and leaving means anything; nothing is cut. */
void attempt_call(struct exchange *x, enum ending why);
/* Ends it with a fault's cause, keeping its sentence and status for the answer. */
void exchange_fail(struct exchange *x, const struct fault *f);
/* ---- exchange_answer.c: what the client is told ----------------------------------------------------------------------------------------------- */
/* Where its route answers by itself (respond, redirect), or it is to go no further (OPTIONS with Max-Forwards: 0): that. False: its upstream is to be
 * asked. */
bool exchange_answer_here(struct exchange *x);
/* It has ended, and its client, which still waits, is told how; or its answer is cut, now or once all that came was delivered. */
void exchange_answer_ending(struct exchange *x, enum ending why);
/* It has ended, and its client sees as much of its answer as it got. */
void exchange_cut(struct exchange *x);
/* From an attempt: a head, bytes, the end of the answer. */
void exchange_answer_head(struct exchange *x, const struct head *h);
void exchange_answer_body(struct exchange *x, const uint8_t *p, size_t n, bool copied);
/* limits.memory: it is ended. */
void exchange_has_no_room(struct exchange *x);
/* Bytes that wait for the client; borrowers as in body_push. */
void exchange_owe(struct exchange *x, const uint8_t *p, size_t n, struct list *borrowers);
void exchange_answer_end(struct exchange *x, const struct head *trailers);
/* ---- exchange_time.c: its clocks --------------------------------------------------------------------------------------------------------------- */
void exchange_time_init(struct exchange *x);
/* Time left until whichever deadline is nearer; FOREVER: none, or none that is enforced. */
span exchange_left(const struct exchange *x);
/* ... in any mode: what enforcing would have had left. */
span exchange_left_by_clock(const struct exchange *x);
/* ... of the default deadline alone; FOREVER: there is none, or the head has come. */
span exchange_to_head(const struct exchange *x);
/* The default deadline runs from here on, unless the request's body still arrives (semantics 2.4): then call it again when that is complete. */
void exchange_run_to_head(struct exchange *x);
/* What goes on with nobody to hear of it: how long, by deadline.max; FOREVER: max is none, and as long as its upstream is not silent for
 * exchange_silence. Where there is no idle either, cancel.drain_limit.time. */
span exchange_unheard_life(const struct exchange *x);
span exchange_silence(const struct exchange *x);
/* From here on somebody is waited for. */
void exchange_run_idle(struct exchange *x);
/* Memory is short: where a client is what is waited for, and nothing has moved for five seconds, it ends as when all of its time were over. */
void exchange_hurry(struct exchange *x);
/* A byte of a body moved, either way. */
void exchange_moved(struct exchange *x);
/* ---- exchange_modes.c: what modes and max_reject make of it ------------------------------------------------------------------------------- */
/* The verdict on its deadline. */
void exchange_judge(struct exchange *x);
/* Enforcing would have ended it so, now: noted where its mode observes, and nothing else would have ended it before. */
void exchange_would(struct exchange *x, enum ending why);
/* Before the first attempt's head is written: has too much of the deadline been waited away (shed_latency)? */
bool exchange_is_too_late(struct exchange *x);
/* The answer's head came: for `needs`. */
void exchange_note_latency(struct exchange *x);
/* The client left, or has closed its side, and that ends nothing. */
void exchange_observe_leaving(struct exchange *x, enum ending why);
/* It ends, but the attempt is not cancelled as enforcing would have. */
void exchange_observe_ending(struct exchange *x, const struct attempt *a, enum ending why);
/* It has ended: the counters of its worker and of its route. */
void exchange_count(struct exchange *x);
/* ---- tries.c: the attempts together ---------------------------------------------------------------------------------------------------------- */
void tries_begin(struct exchange *x);
void tries_stop(struct exchange *x); /* the exchange has ended: nothing new starts */
/* unsent: the upstream cannot have run it. */
void tries_failed(struct attempt *a, const struct fault *f, bool unsent);
void tries_unasked(struct attempt *a, const struct fault *f); /* it was given a connection and sent nothing */
bool tries_interim(struct attempt *a, const struct head *h); /* may its interim answer pass? */
/* A head that is not interim. False: it is held back, the attempt is over. */
bool tries_answered(struct attempt *a, const struct head *h);
/* Of an attempt that is not ended: it takes longer than per_try; or enforcing would not have asked its upstream. */
void tries_would_time_out(struct attempt *a);
void tries_would_shed(struct attempt *a);
bool tries_go_on(struct exchange *x); /* an attempt is in play */
void tries_told(struct exchange *x); /* a side-channel call is over: a retry may have waited for that */
void tries_commit(struct exchange *x); /* the request's body cannot be kept any more: one attempt goes on */
/* ---- exchange_context.c: the fields, the trace and the baggage of the request ---------------------------------------------------------------- */
/* After the deadline's verdict, before it is acted on: it may add a refusal, or a deadline. */
void exchange_context_decide(struct exchange *x);
/* The head of an attempt, before our own fields are written. */
void exchange_context_apply(struct exchange *x, struct head *up);
/* The request's trailers as they may go upstream; NULL: there are none. */
const struct head *exchange_context_trailers(struct exchange *x, const struct head *trailers);
/* ---- exchange_bridge.c: where the route translates ------------------------------------------------------------------------------------------ */
/* False: it has failed. x->bridge is set where there is something to translate. */
bool exchange_bridge_begin(struct exchange *x);
void exchange_bridge_request(struct exchange *x, const uint8_t *p, size_t n, bool copied);
bool exchange_bridge_request_end(struct exchange *x); /* false: it has failed */
/* Turns the upstream's head into the client's. False: that is known at the answer's end, as x->bridge->head. */
bool exchange_bridge_head(struct exchange *x, struct head *down);
void exchange_bridge_body(struct exchange *x, const uint8_t *p, size_t n, bool copied);
bool exchange_bridge_end(struct exchange *x, const struct head *trailers); /* false: it has failed */
/* It asks that upstream, or is about to again: what its client still has to take is no matter of an upstream. */
static inline bool exchange_asks(const struct exchange *x, const struct upstream *u) {
    return x->upstream == u && (!list_is_empty(&x->attempts) || x->waiting);
}
/* An attempt is closed: maybe that was the last thing. */
void exchange_settle(struct exchange *x);
/* The context's id as logs and calls have it. */
struct str exchange_id(const struct exchange *x, char text[48]);
/* The route's name, or its place, "routes[0]", in text; empty: none was found. */
struct str exchange_route_name(const struct exchange *x, char *text, size_t n);
void exchange_log(struct exchange *x); /* exchange_log.c */
/* A request that was refused before it became an exchange: malformed, over a limit, or too slow. */
void exchange_log_refused(struct conn *c, const struct fault *f);
#endif
