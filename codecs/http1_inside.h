// SPDX-License-Identifier: Apache-2.0
// The state of an HTTP/1.1 session and of its one leg, and the steps that both directions share: http1.c has them, http1_recv.c is
// the way in, http1_send.c the way out. Private to those three.
#ifndef CURFEW_CODECS_HTTP1_INSIDE_H
#define CURFEW_CODECS_HTTP1_INSIDE_H
#include "codecs/http1.h"

enum inward {
    IN_HEAD,      /* down: the next request; up: the next answer's head */
    IN_LENGTH, IN_CHUNKS, IN_TRAILERS,
    IN_RAW,       /* up to the end of the connection: BODY_CLOSE, BODY_TUNNEL */
    IN_HELD,      /* the request is complete, its answer is not; or a tunnel was asked for and the answer decides */
    IN_IGNORED    /* what comes counts no more */
};
struct http1_session {
    struct leg *leg;       /* borrowed; the exchange under way */
    struct http1_chunks chunks;
    uint64_t left;         /* IN_LENGTH: bytes to come */
    size_t scanned;        /* of the head or the trailers under way */
    int64_t interims;      /* 1xx of the answer under way */
    span alive;            /* up: how long the peer keeps it idle; 0: it did not say */
    instant until;         /* up: the end of that */
    struct fault refusal;  /* down: the answer that is owed without an exchange */
    uint8_t in;            /* enum inward */
    uint8_t blank;         /* empty lines before this request */
    bool refusing;
    bool last;             /* no exchange follows this one */
    bool fin;              /* the peer's FIN was seen */
    bool left_over;        /* the last feed left bytes */
    bool tell_slots;
    bool opening;          /* inside on_open: there is an exchange, though `leg` is not set yet */
};
struct queued_head { const struct head *head; struct queued_head *next; };
struct http1_leg {
    struct queued_head *heads, *heads_last; /* in the leg's arena: interim ones, then the final one */
    const struct head *trailers;            /* borrowed */
    struct str protocol;   /* an Upgrade asked for */
    uint64_t left;         /* FRAME_LENGTH: bytes to write */
    struct fault why;      /* of `closing` */
    uint8_t framing;       /* enum http1_framing, of our direction */
    bool final_queued, final_taken;
    bool ready;            /* pull may have something */
    bool muted;            /* nothing more is sent */
    bool closing;          /* cancelled: on_closed is owed, with why */
    bool head_request, connect;
    bool tunnel_asked;     /* Upgrade or CONNECT */
    bool old;              /* the peer speaks HTTP/1.0 */
    bool half_told;
};

static inline struct http1_session *tail(const struct session *s) { return session_tail(s); }
static inline struct http1_leg *of(const struct leg *g) { return leg_tail(g); }
static inline bool is_down(const struct session *s) { return s->role == CODEC_DOWN; }
static inline bool is_closing(const struct session *s) { return s->next == NEXT_CLOSE || s->next == NEXT_RESET; }
/* The leg that Q entries may still touch. */
static inline bool is_current(const struct leg *g) { return g->session && tail(g->session)->leg == g && !of(g)->closing; }

const struct http1_options *http1_options_of(const struct session *s);

/* ---- ends (http1.c) ------------------------------------------------------------------------------------------------------------ */
/* No exchange and no input from here on; `next` unless an end was chosen before. A leg that lives must be left. */
void http1_retire(struct session *s, enum session_next next);
/* What Q entries only marked: on_closed of a cancelled leg, on_slots. Only from an entry of the core. */
void http1_settle(struct session *s);
void http1_tell_slots(struct session *s);
/* on_closed; the session is as it will be before: there the core may begin the next exchange. */
void http1_leave(struct session *s, struct leg *g, const struct fault *f);
/* How an answer that is cut ends its connection, so that the client sees it. */
enum session_next http1_cut(const struct leg *g);
/* Ends the session: its leg and the session hear of f. */
void http1_fail(struct session *s, const struct fault *f, enum session_next next);
/* Between exchanges. */
void http1_idle(struct session *s);
/* One direction is complete; the exchange is over where the other was. more: input follows. */
void http1_end_out(struct session *s, struct leg *g);
void http1_end_in(struct session *s, struct leg *g, const struct head *trailers, bool more, instant now);
void http1_tell_half_close(struct session *s, struct leg *g); /* once an exchange */

/* ---- the codec's entries ----------------------------------------------------------------------------------------------------------- */
size_t http1_feed(struct session *s, const uint8_t *p, size_t n, instant now);
void http1_eof(struct session *s, bool behind, instant now);
void http1_output(struct session *s, struct out *o, instant now);
enum http1_framing http1_request_framing(const struct head *h);
#endif
