// SPDX-License-Identifier: Apache-2.0
// A wire protocol, both sides. A session is one connection's protocol state; a leg is one side of an exchange on it. An exchange has one
// leg down (to the client) and any number up (to upstreams), one an attempt.
//
//   socket bytes → core → feed ─→ on_open, on_head, on_body, on_end, on_closed ─→ exchange
//   socket bytes ← core ← output ←─ pull ←──────────── send_head, ready, send_trailers, cancel ←─ exchange
//
// OWNERSHIP   The core owns session, leg, their tails (session_size, leg_size; zeroed) and the arena. A codec frees only what it made.
//   Heads     Live in the leg's arena until the exchange is reaped: who parses copies the block once, then slices it. No slice of input
//             outlives feed but a body's. No name or value handed to send_head is copied by the core again; it outlives the leg.
//   Bodies    on_body's bytes are a slice of feed's input wherever the wire allows; they stay good until the core reuses that input, after
//             feed has returned. Bytes that a codec made itself must stay good until feed returns; it says so by copied = true.
//             Outward bodies are pulled from inside output, never pushed; what out_ref took stays until the write, which follows output.
// RE-ENTRANCY Entries marked Q only queue: callable any time, from any event, on any session, also on a leg that is closed (no effect).
//             The rest (open feed eof lost tick output close) are called by the core alone, never from an event. No hook of a context runs
//             inside an event. Nothing is freed before the turn's end. on_closed comes exactly once, last, per leg that on_open gave or
//             begin took; after it the codec knows the leg no more.
// ERRORS      A peer's fault is on_fault or on_closed with a struct fault. Entries return nothing that can fail for want of memory.
// I/O, CLOCK  None: `now` is an argument.
#ifndef CURFEW_CODECS_CODEC_H
#define CURFEW_CODECS_CODEC_H
#include "core/context.h"
#include "core/head.h"
#include "core/out.h"

struct conf_table;
enum codec_role { CODEC_DOWN = 1, CODEC_UP = 2 }; /* DOWN: the peer is a client */
enum codec_probe { PROBE_NO, PROBE_MORE, PROBE_YES };
enum codec_pairing {
    PAIR_EXCHANGE, /* any session with a free slot (HTTP, AMQP) */
    PAIR_SESSION   /* one up session for each down session, for its life; never pooled (PostgreSQL) */
};
enum codec_flow {
    FLOW_SESSION, /* credit by not reading the socket (HTTP/1, PostgreSQL): the core stops reading while `uncredited` is high */
    FLOW_LEG      /* credit in band; the socket is always read (HTTP/2) */
};
/* How a cancel is told, weakest first. The names of the rungs in YAML and of the levels in the log are in policies/cancel.h. */
enum cancel_way {
    CANCEL_NONE,
    CANCEL_DRAIN,    /* the answer is read and thrown away */
    CANCEL_CLOSE,    /* the connection is dropped */
    CANCEL_SIDE,     /* told on another connection: then ask side() */
    CANCEL_BAND,     /* in band, and the peer acts on it */
    CANCEL_WITHDRAWN /* never left us */
};
enum session_next {
    NEXT_MORE,
    NEXT_TLS_ACCEPT, /* flush, then handshake, then feed on (PostgreSQL's SSLRequest) */
    NEXT_TLS_CONNECT,
    NEXT_HALF_CLOSE, /* flush, then FIN; input goes on (a tunnel whose outward direction ended). The core sets NEXT_MORE when it is done */
    NEXT_CLOSE,      /* flush, then FIN and linger */
    NEXT_RESET       /* no flush: TCP RST (an answer that only the close would delimit was cut) */
};
enum leg_phase { LEG_NOTHING, LEG_HEAD, LEG_BODY, LEG_END }; /* of one direction: nothing yet; head seen; body under way; complete */

struct session { /* embedded in the core's connection; the codec's tail follows it in memory */
    const struct codec *codec;
    const struct codec_events *ev;
    const void *conf;         /* this codec's options (codec->options), defaults filled in; outlives the session */
    enum codec_role role;
    bool secure;              /* TLS below: for :scheme */
    unsigned slots, live;     /* codec sets slots (0: not ready, or draining) and calls ev->on_slots when it changes; core counts live */
    struct list legs;         /* core's */
    uint32_t cancel_burst;    /* up: how many cancels in band the connection bears at once, and one more each cancel_every; 0: any number */
    span cancel_every;
    uint32_t cancels_deferred; /* codec counts: cancels that waited for that budget */
    bool retired;             /* codec sets: it takes no new legs since that budget was used up for too long */
    bool trusted;             /* down: the peer's word counts; limits against attackers do not apply */
    instant wake;             /* codec wishes tick() then (PING, heartbeat, SETTINGS timeout); NEVER: none. Core reads it after every entry */
    bool wants_output;        /* codec sets when it has something to write: core puts the session on the turn's list */
    bool wants_feed;          /* codec sets when input that it left can now be taken (the next pipelined request): core feeds again this turn */
    unsigned slots_known;     /* up: what the peer said of its limit; before it did, what it said on an earlier connection. 0: not known */
    bool reusable;            /* codec sets, up role: may serve another exchange */
    bool begun;               /* codec sets, down role: bytes of a request not yet opened have come (timeouts.header counts; else it is idle) */
    enum session_next next;   /* codec sets: what the core does once output is empty */
};
struct leg { /* embedded last in the core's exchange (down) or attempt (up); the codec's tail follows it in memory */
    struct session *session;  /* borrowed; NULL before begin and after on_closed */
    struct arena *arena;      /* borrowed from the exchange */
    struct list node;         /* in session->legs */
    uint64_t id;              /* codec's: stream, channel, sequence */
    uint8_t in, out;          /* enum leg_phase; codec sets, core reads. in: from the peer; out: to the peer */
    bool in_aligned, out_aligned; /* at a boundary where an in-band ending may be written; the rpc layer sets them */
    bool head_taken;          /* codec sets: output has given out the first byte of our head, so it cannot be withdrawn */
    size_t uncredited;        /* bytes given by on_body, not yet credited; core keeps it */
};
struct pulled { /* what pull gives: slices of the exchange's queue */
    struct str v[16];
    unsigned nv;
    size_t bytes;
    bool end; /* nothing follows v: send the trailers given before, or the end of the body */
};
struct codec_events { /* codec to core; every one may mark an ending or call Q entries, none frees, none calls the other entries */
    void (*on_slots)(struct session *s);
    struct leg *(*on_open)(struct session *s);                    /* down: the peer began an exchange; NULL: refuse it */
    void (*on_head)(struct leg *g, const struct head *h);         /* interim ones first; h->body says what follows. A complete head only */
    /* Down: the request is malformed, or over a limit, and gets f for an answer. In place of on_head: h is as much of the head as fitted, so that the
     * answer can be in words that its client understands; only method, target and fields are told. After on_head, where no answer was given: h is
     * NULL. What is left of the request may still come, by on_body and on_end, and is not wanted: the answer is followed by (COMPLETED, DRAIN).
     * Where the wire has an end of its own for what is malformed, on_closed with f follows in the same entry: no answer leaves then, and f->status is
     * what the codec said, 0: nothing. Where not even method and target could be read, and where an answer has begun, it is on_closed and on_fault
     * instead, and the codec says what is to be said. */
    void (*on_unfit)(struct leg *g, const struct head *h, const struct fault *f);
    void (*on_body)(struct leg *g, const uint8_t *p, size_t n, bool copied);
    void (*on_end)(struct leg *g, const struct head *trailers);   /* this direction is complete; trailers may be NULL */
    void (*on_half_close)(struct leg *g);                         /* down: the peer will send nothing more on this connection, though its
                                                                     request is complete and the answer is owed: what FIN means (T1) policy says */
    void (*on_closed)(struct leg *g, const struct fault *f);      /* both directions are over; NULL: in good order */
    void (*on_named)(struct session *s, struct str key);          /* the peer asks to end the exchange of that key (CancelRequest) */
    void (*on_goaway)(struct session *s, const struct fault *f);  /* legs it hit get on_closed with unprocessed set */
    void (*on_fault)(struct session *s, const struct fault *f);   /* the session is lost; each leg got on_closed before. Down: what the codec
                                                                     still has to say (a 400) is in output, and f->status is that, 0: it has no
                                                                     status; s->next says close */
    /* Is this a field that the gateway itself reads or writes (a dialect, a context field)? Then a peer may not have it dropped on the way by
     * naming it as hop-by-hop (T25). Only name, hash and token are set. NULL: none but the codec's own list. */
    bool (*is_ours)(struct session *s, const struct field *f);
    /* Next outward bytes of the leg's body, at most max. nv 0 and !end: wait for ready(). What it gives is in flight until pulled(). */
    void (*pull)(struct leg *g, size_t max, struct pulled *v);
    void (*pulled)(struct leg *g, size_t n);                      /* the core, after the write that carried them */
};
struct codec { /* core to codec; static const, one a file */
    const char *name;           /* also its key in YAML: listeners' options, the ladder of `cancel` */
    const char *alpn;           /* "http/1.1", "h2"; NULL: none */
    uint8_t version;            /* as in head.version */
    size_t session_size, leg_size; /* of the tails */
    enum codec_pairing pairing;
    enum codec_flow flow;
    uint8_t roles;              /* enum codec_role, or-ed */
    bool multiplex;             /* more than one leg at a time */
    bool coalesce;              /* busy sessions gain from the turn's beat (HTTP/2) */
    bool default_plain;         /* taken for a cleartext peer where probing does not decide: one codec only */
    enum cancel_way ways[4];    /* what it can do for an up leg, strongest first, ended by CANCEL_NONE; a policy's ladder is cut to this */
    const struct conf_table *options;  /* its keys under a listener and an upstream; NULL: none */
    /* Does a client that begins with these bytes speak this protocol? Never says MORE for longer than its preface. NULL: cannot tell */
    enum codec_probe (*probe)(const uint8_t *p, size_t n);
    void (*open)(struct session *s, instant now);
    /* Takes bytes; returns how many it used. The core keeps the rest and gives it again, with what came since, when there is more or when
     * wants_feed is set. Never called after NEXT_CLOSE, NEXT_RESET or on_fault. */
    size_t (*feed)(struct session *s, const uint8_t *p, size_t n, instant now);
    /* FIN or close_notify was seen. behind: bytes that feed has not used came before it. May come again when those were used. Clean or cut
     * is the codec's to say: an idle session says NEXT_CLOSE, a complete request on_half_close, a body cut short on_closed and on_fault. */
    void (*eof)(struct session *s, bool behind, instant now);
    /* The connection is gone (TCP RST, TLS failure, or the core drops it with f): every leg gets on_closed with f's ending. Nothing can be
     * written any more. Down: f->why is CLIENT_RESET and the like; up: the codec sets `unprocessed` where nothing was taken. */
    void (*lost)(struct session *s, const struct fault *f);
    void (*tick)(struct session *s, instant now);
    /* Until out_room is 0 or nothing is left; clears wants_output if nothing is left. Also called with no room at all, where the socket is
     * behind: then it gives nothing, but closes the legs that were cancelled. */
    void (*output)(struct session *s, struct out *o, instant now);
    void (*close)(struct session *s);                              /* gives back the codec's own memory; no event after it */
    /* Q: */
    void (*begin)(struct session *s, struct leg *g);               /* up: needs slots > live; nothing leaves before send_head */
    void (*send_head)(struct leg *g, const struct head *h);        /* interim ones first; the deadline is already a field of h */
    void (*ready)(struct leg *g);                                  /* pull has something again */
    void (*send_trailers)(struct leg *g, const struct head *trailers); /* before pull says end */
    void (*credit)(struct leg *g, size_t n);                       /* the other side took n bytes of on_body */
    /* Ends a leg that is not over. said: of UPSTREAM_RESET, by the upstream, for a wire that can pass it on. Returns what it did: never stronger than
     * `want`, by enum order. WITHDRAWN (whenever output has not reached the head) beats all. BAND, CLOSE: on_closed follows within this turn with
     * why. DRAIN: input goes on to on_body, on_end and on_closed as before, nothing more is sent. Down legs: CLOSE means that the answer is cut so
     * that the client sees the truncation (T22), BAND that in-band where the wire has it. A leg whose answer is complete while the request is still
     * coming ends in good order with (COMPLETED, DRAIN): HTTP/1 closes after lingering, HTTP/2 sends RST_STREAM(NO_ERROR). */
    enum cancel_way (*cancel)(struct leg *g, enum ending why, enum reset_word said, enum cancel_way want);
    bool (*side)(struct leg *g, struct out *o);    /* SIDE: the bytes for a fresh connection to the same endpoint; done at its close. NULL: never */
    /* Down: a request that has begun (session.begun) but was not opened will not be waited for: answer f's status where the wire has an answer
     * without an exchange, then NEXT_CLOSE; on_fault says so, as for a malformed one. Used by timeouts.header (408). */
    void (*refuse)(struct session *s, const struct fault *f);
    void (*shutdown)(struct session *s, bool final); /* false: tell the peer, when that can be; true: no new legs (GOAWAY twice; Connection: close) */
};

static inline void *session_tail(const struct session *s) { return (void *)(uintptr_t)(s + 1); }
static inline void *leg_tail(const struct leg *g) { return (void *)(uintptr_t)(g + 1); }

/* ---- the registry: a file registers itself; pointers stand in a linker section, so objects must be linked, not archived ------------ */
#define CODECS_MAX 16u
#define CODEC_REGISTER(c) \
    static const struct codec *const codec_register_##c __attribute__((used, section("curfew_codecs"))) = &(c)
size_t codec_count(void);
const struct codec *codec_at(size_t i);              /* ordered by name, so that an index is stable for a build */
size_t codec_index(const struct codec *c);
const struct codec *codec_by_name(struct str name);  /* NULL: none */
#endif
