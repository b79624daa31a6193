// SPDX-License-Identifier: Apache-2.0
// A connection: a socket, maybe TLS, and the session of the codec that speaks on it. It moves bytes between the three, once a turn each way,
// keeps what one of them did not take, watches for the peer's leaving, and closes so that what was said arrives. It knows no protocol.
//
//   event ─→ conn_note ─→ worker's ready list ─→ conn_serve: recv to EAGAIN ─→ codec.feed ─→ events
//   Q entries ─→ conn_touch ─→ worker's touched list ─→ conn_write: codec.output ─→ one send ─→ events.pulled
//
// States: OPENING (TCP or TLS under way, or its protocol not known yet) → OPEN → FLUSHING (says the rest) → SETTLING (waits until nothing of it is in
// a place from which FIN would drop it) → FIN → LINGERING (discards input, so that what was said survives) → DEAD (unwatched; freed at the end of
// the turn). Nothing is freed earlier.
#ifndef CURFEW_PROXY_CONN_H
#define CURFEW_PROXY_CONN_H
#include "codecs/codec.h"
#include "core/buffer.h"
#include "proxy/metrics.h"
#include "proxy/os.h"
#include <event2/event.h>
#include <event2/event_struct.h>

struct worker;
struct tls;
struct lease;
#define CONN_READ_SHARE (1u << 20)  /* bytes that one connection may be read in one turn: a fast sender starves nobody */
#define CONN_KEPT_MAX (192u << 10)  /* input that a codec does not take yet (a head under way, pipelined requests); past it we stop reading */
#define BODY_WINDOW (128u << 10)    /* bytes of a body that may wait for the other side, before its sender is no longer read (FLOW_SESSION) */
#define BODY_WINDOW_FULL (16u << 10) /* ... where limits.memory is reached */
#define BEAT_LEGS 8u                /* a multiplexed connection with so many live legs is busy: it waits for the beat */
#define BEAT_BULK (16u << 10)       /* ... but not where its last reading brought so much: bulk is served at once */
#define CONN_DOUBT span_ms(2)       /* within so long an RST behind a request's bytes is found, where there is a beat; else at once */
#define CONN_LOOKS 8                /* at a peer that takes little, in times.write */
#define LINGER_BYTES (1u << 20)     /* discarded after our FIN at most */
#define CONN_SETTLE span_ms(20)     /* between two looks at what TCP holds, at least; where both see nothing, nothing is elsewhere */

enum conn_state { CONN_OPENING, CONN_OPEN, CONN_FLUSHING, CONN_SETTLING, CONN_LINGERING, CONN_DEAD };
struct conn_owner { /* who made the connection; NULL entries are skipped */
    void (*on_open)(struct conn *c);                            /* up: connected (and handshaken); the session is open. */
    void (*on_gone)(struct conn *c, const struct fault *f);     /* it can serve nobody any more; legs closed before. Once. f NULL: in good order */
    void (*on_freed)(struct conn *c);                           /* its memory goes right after this */
    enum metric bytes_in, bytes_out;                            /* what they are counted as */
};
struct conn_times { /* FOREVER: none */
    span opening, header, idle, write, linger;
    span per_byte;                      /* of `write`, that the peer regains with a byte that it takes; 0: all of it */
};

struct conn {
    struct worker *w;                   /* borrowed */
    int fd;
    uint8_t state;                      /* enum conn_state */
    bool readable, writable;            /* since the last EAGAIN */
    bool fin;                           /* the peer's FIN was seen */
    bool fin_read;                      /* ... and all bytes before it were read */
    bool error_seen;                    /* the socket reported an error: the next turn of conn_serve takes it */
    bool paused;                        /* not read: a body waits for the other side, or too much input is kept */
    bool connected;                     /* up: TCP is established */
    bool feeding;                       /* inside conn_feed_kept */
    bool session_open;                  /* codec.open was called: codec.close is owed */
    bool urgent;                        /* a cancel is to be written, or the peer left: it waits for no beat */
    bool half_closed;                   /* our FIN was sent */
    bool shelved;                       /* the owner's word: on its list of those that can take more */
    bool gone_said;
    bool leaving;                       /* down: told to go when what has come already was read */
    bool fault_told;                    /* down: the last leg heard of the peer's fault, and its exchange logs it */
    uint32_t fault_wire;                /* ... and its code: another one is another fault */
    bool settles;                       /* down: the kernel encrypts, and may hold back what it took (tls_is_in_kernel) */
    bool worn;                          /* told to go, since its keys cannot be changed */
    bool unread;                        /* closing with input that nobody will read: linger */
    struct tls *tls;                    /* owned; NULL: cleartext */
    const struct codec_events *ev;      /* for the session once it is known */
    const struct conn_owner *owner;
    void *owner_data;                   /* borrowed: endpoint, listener */
    void *const *options;               /* borrowed from the lease: options by codec_index; NULL where none */
    struct lease *lease;                /* a reference, set by the owner once it is made; NULL: options outlive it anyhow */
    struct conn_times times;
    struct event event;
    struct list node;                   /* the owner's list */
    struct list all;                    /* the worker's connections */
    struct list ready, touched, reap;   /* the worker's lists */
    struct list waiting;                /* ... of those that wait for the beat, or for an edge */
    instant turned;                     /* the last time it was read from or written to */
    uint64_t turn;                      /* ... and the worker's turn */
    struct buffer in;                   /* input the codec has not used */
    struct buffer backlog;              /* output the socket refused */
    struct timer timer;
    instant since;                      /* entered this state; open: the last time it became idle, or began a request */
    instant moved;                      /* the last time the socket took bytes; or what of times.write the peer regained by acknowledging some since */
    instant looked;                     /* the last time we looked how many it has acknowledged */
    uint64_t taken;                     /* ... of bytes_out */
    uint64_t bytes_in, bytes_out;       /* taken by or given by the kernel */
    size_t lingered;
    size_t unsent;                      /* settling: what TCP held when it was last looked at */
    uint64_t served;                    /* legs that were given it: for the owner */
    size_t last_read;                   /* bytes of the last turn's reading: bulk or not */
    struct sockaddr_storage peer;
    socklen_t peer_len;
    char peer_text[48];                 /* made when first asked for; empty: not yet */
    struct session session;             /* last: the codec's tail follows. session.codec NULL: not known yet */
};

/* A client's connection that was accepted. codec NULL: told apart by ALPN or the first bytes. tls: owned from here; NULL: cleartext. */
struct conn *conn_accepted(struct worker *w, int fd, struct tls *tls, const struct codec *codec, const struct codec_events *ev,
                           const struct conn_owner *owner, void *owner_data, void *const *options, const struct conn_times *times,
                           const struct sockaddr_storage *peer, socklen_t peer_len, bool trusted);
/* A connection to an upstream, under way; on_open or on_gone follows, never inside this call, except that NULL is returned, with *err a
 * positive errno, where the system refuses at once. codec NULL: by ALPN, else the default. make_tls: called with the descriptor; NULL: cleartext */
struct conn *conn_connect(struct worker *w, const struct sockaddr *to, socklen_t len, struct tls *(*make_tls)(int fd, void *arg), void *arg,
                          const struct codec *codec, const struct codec_events *ev, const struct conn_owner *owner, void *owner_data,
                          void *const *options, const struct conn_times *times, int *err);

static inline struct conn *conn_of(struct session *s) { return CONTAINER_OF(s, struct conn, session); }
/* The system's word of it: enum os_what, or-ed. Only notes; the turn serves it. */
void conn_note(struct conn *c, unsigned what);
/* The turn's entries, for worker.c. */
void conn_serve(struct conn *c);
void conn_write(struct conn *c);
void conn_waited(struct conn *c); /* the time of its list of those that wait is over: it is served */
void conn_free(struct conn *c);
/* After any entry of its codec: puts the session on the turn's lists as it wishes. */
void conn_touch(struct conn *c);
/* Other times, also for what it waits for already. */
void conn_retime(struct conn *c, const struct conn_times *times);
/* Flush, FIN, linger where input was not read, close. Legs must be closed or closing. Idempotent. */
void conn_close(struct conn *c);
/* The connection is lost, or to be dropped with RST (reset): legs hear of f, then it is dead. */
void conn_lose(struct conn *c, const struct fault *f, bool reset);
/* No new legs; closes when idle. final: at once where idle; else a client is first given this turn, for what it has sent already, and a connection
 * to an upstream that is under way is left to its owner. */
void conn_shutdown(struct conn *c, bool final);
static inline bool conn_is_dead(const struct conn *c) { return c->state == CONN_DEAD; }
/* The peer's address as text, made once: "192.0.2.1", "unix". Lives as long as the connection. */
struct str conn_peer_text(struct conn *c);
/* Reads on, or stops, as the credit of its legs and the input it keeps say: after a leg was credited. */
void conn_pace(struct conn *c);
#endif
