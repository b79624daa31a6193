// SPDX-License-Identifier: Apache-2.0
// HTTP/2, private to its own files: what a session and a leg keep, and what the files ask of each other.
//
//   http2.c         the vtable: sessions and legs, what every entry ends with
//   http2_recv.c    nghttp2's callbacks while it reads: frames become events
//   http2_send.c    heads are submitted, bodies pulled, frames written
//   http2_resets.c  budgets of resets, and streams that wait for theirs
//   http2_fields.c  a header block to a head and back; what RFC 9113 8.2 and 8.3 demand beyond what nghttp2 checks
//   http2_memory.c  what nghttp2 allocates
//   http2_tunnel.c  extended CONNECT (RFC 8441) to and from the neutral form, a GET that asks for `protocol`
//
// A stream's user data is its leg, or NULL once the leg is over (RST queued, answer refused): what still comes then is counted and dropped.
#ifndef CURFEW_CODECS_HTTP2_H
#define CURFEW_CODECS_HTTP2_H
#include "codecs/codec.h"
#include "conf/conf.h"
#include <nghttp2/nghttp2.h>

struct http2_budget { int64_t burst; struct conf_rate rate; }; /* burst 0: no limit */
struct http2_conf { /* `http2:` under a listener or an upstream */
    int64_t max_concurrent_streams;
    uint64_t stream_window, connection_window;
    uint64_t max_head;          /* bytes of a header list, 32 a field added (RFC 9113 6.5.2) */
    int64_t max_interim;        /* up: 1xx before one answer, as in http1.h */
    struct http2_budget resets; /* what a client may reset unanswered */
    span ping_interval, ping_timeout;
    span settings_timeout;
    span retire_after;          /* so long a cancelled stream waits for the reset budget before the connection retires */
};
extern const struct conf_table http2_table;

struct http2_bucket { instant full; }; /* when it will be full again: the whole state of a token bucket (GCRA) */
struct http2_nv { uint32_t name, value; bool sensitive; }; /* lengths; the bytes follow each other in `text` */
struct http2_gather { /* the one header block under way: blocks never interleave (RFC 9113 4.3) */
    struct http2_nv *v; /* owned */
    size_t n, cap;
    char *text;         /* owned: all names and values, as they came */
    size_t text_n, text_cap;
    size_t bytes;       /* RFC 9113 6.5.2: of those that are kept */
    bool big;           /* past max_head: a field was left out */
    bool bad;           /* a field that nghttp2 found invalid */
};
struct http2_limbo { int32_t stream; bool stamped; instant since; }; /* its leg is over, its RST_STREAM waits */

struct http2 { /* a session's tail */
    nghttp2_session *ng;
    struct session *s;
    const struct http2_conf *conf;
    instant now;         /* as of the latest entry that had it: Q entries have none */
    struct list legs;    /* of http2_leg: all that are not over */
    struct list queue;   /* heads that output is to submit, by http2_leg.queued */
    struct list over;    /* on_closed is owed: Q entries may not call it */
    size_t nlegs;
    uint32_t streams;    /* up: open in nghttp2, with a leg or without */
    struct out *out;     /* inside output */
    struct pulled pulled; /* between the reading and the sending of one DATA frame */
    struct leg *pulling;
    struct http2_gather gather;
    nghttp2_nv *nv;      /* owned; scratch for submitting */
    size_t nv_cap;
    char status[8], length[24]; /* digits of the last head */
    unsigned heads;      /* written */
    struct http2_limbo *limbo; /* owned; oldest first */
    size_t nlimbo, limbo_cap;
    struct http2_bucket told, suffered; /* resets: ours to an upstream; a client's to us */
    instant heard;       /* bytes came */
    instant settle_by;   /* our SETTINGS should be acknowledged by then; NEVER: they are, or nothing was sent yet */
    bool pinged;         /* a PING of ours is unanswered, since ping_at */
    instant ping_at;
    bool settings_seen;  /* the peer's */
    bool settings_acked; /* ours */
    bool goaway;         /* no more exchanges: told by either side */
    bool noticed;        /* down: the first GOAWAY of two was submitted, with a PING behind it */
    instant last_by;     /* ... and the second follows its answer, or at this time at the latest */
    bool retire_idle;    /* up: it closes when no leg is left */
    bool retiring;       /* up: for want of budget, or of stream ids */
    bool failing, dead;  /* failing: `fault` is to be delivered; dead: it was, or the connection is gone */
    struct fault fault;
    unsigned slots_told;
};
struct http2_leg { /* a leg's tail */
    struct http2 *h;      /* NULL: over, and on_closed was called */
    struct list node;     /* in legs, or over */
    struct list queued;   /* in queue */
    int32_t stream;       /* 0: none yet */
    const struct head *head;     /* to be submitted */
    const struct head *trailers; /* to be sent at the end of what pull gives */
    struct str ws_key;    /* up: Sec-WebSocket-Key of the request, for the answer */
    int64_t interims;     /* up: 1xx so far */
    bool head_request;    /* down: HEAD, so the answer has no body whatever its head says */
    bool tunnel;          /* asked for by :protocol */
    bool deferred;        /* nghttp2 waits for resume_data */
    bool draining;        /* nothing more is sent */
    bool refusal;         /* down: an answer of 4xx or 5xx */
    bool end_then_reset;  /* down: RST_STREAM(NO_ERROR) once the answer's end is out */
    bool done;            /* over but for on_closed: in `over` */
    bool peer_reset;      /* the peer's RST_STREAM is being processed */
    bool faulted;
    struct fault fault;   /* for on_closed, where faulted */
};

static inline struct http2 *http2_of(const struct session *s) { return session_tail(s); }
static inline struct http2_leg *http2_leg_of(const struct leg *g) { return leg_tail(g); }
static inline struct leg *http2_leg_leg(struct http2_leg *t) { return (struct leg *)(void *)t - 1; }

/* ---- http2.c ------------------------------------------------------------------------------------------------------------- */
/* The leg of a stream, or NULL where it has none or it is over. */
struct leg *http2_leg_at(struct http2 *h, int32_t stream);
void http2_leg_link(struct http2 *h, struct leg *g, int32_t stream);
/* Ends the leg now, from inside an entry that may call events; f NULL: in good order. */
void http2_leg_close(struct leg *g, const struct fault *f);
void http2_leg_drained(struct leg *g);
/* Down: the second GOAWAY, with the last id. What the client sent before it saw the first one has arrived. */
void http2_say_last(struct http2 *h);
/* The session is lost by a fault of the peer: nghttp2 was told, the legs hear of it at the end of this entry. */
void http2_fail(struct http2 *h, const struct fault *f);
static inline bool http2_leg_is_over(const struct http2_leg *t) { return !t->h || t->done; }
/* Whose fault it is where the wire's rules are broken. */
static inline enum ending http2_peer_broke(const struct http2 *h) { return h->s->role == CODEC_DOWN ? ENDING_CLIENT_ERROR : ENDING_UPSTREAM_ERROR; }

/* ---- http2_memory.c -------------------------------------------------------------------------------------------------------- */
/* For a session of this thread, which frees it in the same thread. NULL: nghttp2's own way. */
nghttp2_mem *http2_memory(void);

/* ---- http2_recv.c ---------------------------------------------------------------------------------------------------------- */
void http2_recv_callbacks(nghttp2_session_callbacks *cb);
void http2_gather_clear(struct http2_gather *g);
void http2_gather_free(struct http2_gather *g);

/* ---- http2_send.c ---------------------------------------------------------------------------------------------------------------- */
void http2_send_callbacks(nghttp2_session_callbacks *cb);
/* Down: queues a 1xx. */
void http2_say_interim(struct http2 *h, const struct http2_leg *t, const struct head *from);
/* Submits and writes the heads that wait in `queue`, as far as there is room; up: and as the peer has slots, and not past a GOAWAY. */
void http2_send_heads(struct http2 *h, struct out *o);
bool http2_can_submit(const struct http2 *h); /* a head waits that could go now */
/* Writes until `until` gave out its head; NULL: all that there is room for. False: there is none left, or nghttp2 failed. */
bool http2_take(struct http2 *h, struct out *o, const struct leg *until);

/* ---- http2_resets.c -------------------------------------------------------------------------------------------------------------- */
/* A client made us throw a stream away: counted against `resets`. */
void http2_count_reset(struct http2 *h);
/* Up: RST_STREAM(CANCEL) now, or when the budget has a token. */
void http2_tell_cancel(struct http2 *h, struct http2_leg *t);
bool http2_may_tell(const struct http2 *h);
/* Down: RST_STREAM(NO_ERROR) behind an answer that was complete before its request. */
void http2_reset_behind_answer(struct http2 *h, const struct http2_leg *t);
/* Down: the code of a RST_STREAM that cuts an answer. */
uint32_t http2_code_for_client(enum ending why, enum reset_word said);
/* RFC 9113 7, in the core's words. */
enum reset_word http2_word_of(uint32_t code);
void http2_limbo_serve(struct http2 *h);                  /* resets what is due */
void http2_limbo_remove(struct http2 *h, int32_t stream); /* it closed by itself */
instant http2_resets_wake(const struct http2 *h);

/* ---- http2_fields.c ---------------------------------------------------------------------------------------------------------- */
/* What was gathered, as a head in the arena. NULL, or what is wrong with it. request: a request's; else an answer's. tunnel: the answer to an
 * extended CONNECT. end: END_STREAM came with it. */
const char *http2_head_read(struct http2 *h, struct arena *a, bool request, bool end, struct head **out);
/* ... as a request's head that is not to be served: what fitted of it, and none of it checked but by nghttp2. */
struct head *http2_head_unfit(struct http2 *h, struct arena *a);
const char *http2_trailers_read(struct http2 *h, struct arena *a, struct head **out);
/* The head as nghttp2 wants it, in h->nv; returns how many. Valid until the next call. HTTP2_BY_REFERENCE: nghttp2 reads names and values where
 * they lie, so it must be taken before the head's arena can go. */
enum http2_bytes { HTTP2_COPIED, HTTP2_BY_REFERENCE };
size_t http2_head_write(struct http2 *h, const struct http2_leg *t, const struct head *from, enum http2_bytes how);
size_t http2_trailers_write(struct http2 *h, const struct head *from);

/* ---- http2_tunnel.c ---------------------------------------------------------------------------------------------------------- */
/* Down: CONNECT with :protocol to its neutral form: GET, protocol, BODY_TUNNEL, and a Sec-WebSocket-Key for HTTP/1's sake. */
void http2_tunnel_request(struct head *h, uint64_t nonce);
/* Up: a 2xx to an extended CONNECT to its neutral form: 101 to that protocol, and the Sec-WebSocket-Accept that the key asked for. */
void http2_tunnel_answer(struct head *h, struct str protocol, struct str key);
/* The value of Sec-WebSocket-Accept for a key (RFC 6455 4.2.2). */
struct str http2_websocket_accept(struct arena *a, struct str key);
#endif
