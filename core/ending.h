// SPDX-License-Identifier: Apache-2.0
// Why an exchange, or a connection, ended: one closed list (ending.def), read by all that speak of it.
#ifndef CURFEW_CORE_ENDING_H
#define CURFEW_CORE_ENDING_H
#include "core/str.h"

enum ending {
    ENDING_NONE, /* it has not ended */
#define ENDING(C, name, side, http, grpc, reset, upstream, text) ENDING_##C,
#include "core/ending.def"
#undef ENDING
    ENDINGS
};
enum ending_side { ENDING_SIDE_NOBODY, ENDING_SIDE_CLIENT, ENDING_SIDE_GATEWAY, ENDING_SIDE_UPSTREAM };
enum ending_upstream { ENDING_UP_NOTHING, ENDING_UP_CANCEL, ENDING_UP_NEVER_ASKED, ENDING_UP_PROTOCOL };
#define ENDING_CUT 1 /* in http: reset, no answer */

/* What a peer says as it breaks off an exchange, in no protocol's numbers: what came by one wire, another can say (semantics 3 and 4). */
enum reset_word {
    RESET_UNSAID,   /* nothing, or nothing that another protocol has a word for */
    RESET_CANCEL,   /* it is not wanted any more; a tunnel's TCP reset says no less (semantics 4) */
    RESET_INTERNAL,
    RESET_REFUSED,  /* it was not begun */
    RESET_CALM,     /* it is too much */
    RESET_SECURITY, /* TLS is not good enough for it */
    RESET_UNKNOWN,  /* a code that its own protocol does not know */
    RESET_WORDS
};

struct ending_row {
    const char *name;     /* as in logs, metrics and YAML */
    const char *sentence; /* for people */
    uint16_t http;        /* 0: no answer can be owed; ENDING_CUT: reset */
    uint8_t grpc;
    enum reset_word reset; /* to a client that already has the head */
    enum ending_side side;
    enum ending_upstream upstream;
};
extern const struct ending_row ending_rows[ENDINGS]; /* row 0 is ENDING_NONE: name "none" */

static inline const char *ending_name(enum ending e) { return ending_rows[e].name; }
/* The ending with that name, or ENDING_NONE. */
enum ending ending_by_name(struct str name);

/* Why a leg or a session failed: handed up by codecs. */
struct fault {
    enum ending why;
    uint32_t wire;    /* the peer's own code (HTTP/2's number, SQLSTATE, ...), for the log */
    enum reset_word said; /* what it means to other protocols */
    uint16_t status;  /* the HTTP status that says it better than the ending's own (413, 414, 431, 501, ...); 0: none does */
    uint16_t body;    /* of the answer that a codec gives by itself, where it does: bytes of its body */
    bool unprocessed; /* the peer cannot have run it: REFUSED_STREAM, above GOAWAY, no byte written, stale pooled connection */
    bool passed_over; /* ... since its connection takes no more, which says nothing of the upstream: GOAWAY */
    const char *say;  /* static; a sentence for the log and the answer's detail */
};
#endif
