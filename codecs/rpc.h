// SPDX-License-Identifier: Apache-2.0
// What the bytes mean above the wire: plain HTTP, gRPC, gRPC-Web, Connect. Recognises a request by its head, writes an ending as an answer
// that such a client understands, and reads the outcome of an answer. Pure functions on heads and arenas; no socket, no clock.
#ifndef CURFEW_CODECS_RPC_H
#define CURFEW_CODECS_RPC_H
#include "codecs/rpc_frames.h"
#include "codecs/rpc_text.h"
#include "core/ending.h"
#include "core/head.h"
#include "core/instant.h"

struct rpc_answer { /* what is to be said; the policy `answer` has filled in the codes */
    enum ending why;
    uint16_t http;       /* status */
    uint8_t grpc;        /* status code */
    span retry_after;    /* 0: none; rounded up to seconds where the wire has seconds */
    struct str detail;   /* a sentence; may be empty */
    bool head_request;   /* HEAD: the head as for GET, no body */
};
struct rpc_outcome { /* what an answer turned out to be, for log, metrics and retries */
    uint16_t http;
    int16_t grpc; /* -1: not gRPC, or none said */
};
struct rpc;
#define FOLLOW_KEEP 4096u /* bytes of a body that are kept to read a status from: trailers in a frame, an error in JSON */
struct rpc_follow { /* how far the body of an answer has come, as the client gets it. Zeroed: nobody follows */
    const struct rpc *rpc;     /* NULL: there are no messages to tell apart */
    bool aligned;              /* a message ended here and none is begun, so that an ending may be written in band */
    bool fixed;                /* the head told the length: no byte can be added */
    uint64_t left;             /* of that length */
    bool framed, text;         /* its type is one of messages; in base64 */
    bool keeps, over;          /* an error in JSON: its body is kept; the last message, which says how it ended, has begun */
    struct frames frames;
    struct base64_pieces base64;
    struct arena *arena;       /* borrowed from the exchange */
    char *kept;
    size_t nkept;
};
struct rpc {
    const char *name;   /* "http", "grpc", ... : as in the log and in explain */
    const char *family; /* key under deadline.write: "http", "grpc", "connect" */
    uint8_t wire_version; /* the lowest HTTP version that carries it, as in head.version: 20 for gRPC. 0: any */
    int priority;       /* asked in this order, lowest first; plain HTTP last, it takes all */
    bool (*recognise)(const struct head *request);
    bool (*is_stream)(const struct head *request); /* no default deadline applies (semantics 2.4) */
    /* The whole answer, before any head went out: head into h (initialised here), body into *body (arena or static; may be empty). */
    void (*answer)(struct arena *a, const struct rpc_answer *what, const struct head *request, struct head *h, struct str *body);
    /* After the head went out; f: how far its body has come. True: h holds trailers and *body last bytes to write before them, both empty where
     * the body has all that its head or its last message promised, and lacks only the wire's own end. False: cut. */
    bool (*answer_late)(struct arena *a, const struct rpc_answer *what, const struct rpc_follow *f, struct head *h, struct str *body);
    void (*outcome)(const struct head *answer, const struct head *trailers, struct rpc_outcome *o); /* trailers may be NULL */
    /* Takes bytes of an answer's body: keeps `aligned`, and what tells the status. NULL: bodies have no messages. */
    void (*follow)(struct rpc_follow *f, const uint8_t *p, size_t n);
    /* The status of gRPC that the body has said, where `outcome` found none; -1: none. NULL: bodies say none. */
    int16_t (*said)(const struct rpc_follow *f, const struct head *answer);
    /* The status of gRPC by which an answer's head alone says that the call is over, before any message; -1: it says none. NULL: there are no calls,
     * only methods and statuses of HTTP. */
    int16_t (*early)(const struct head *answer);
    const char *attempts_field; /* in which a request tells how many attempts were made before; NULL: it has none */
};
/* Begins with the head of the answer as the client gets it. Of a body that is encoded as a whole only the length is followed. */
void rpc_follow_begin(struct rpc_follow *f, const struct rpc *rpc, struct arena *a, const struct head *answer);
void rpc_follow_bytes(struct rpc_follow *f, const uint8_t *p, size_t n);
#define RPC_REGISTER(r) static const struct rpc *const rpc_register_##r __attribute__((used, section("curfew_rpcs"))) = &(r)
size_t rpc_count(void);
const struct rpc *rpc_at(size_t i);                      /* by priority */
const struct rpc *rpc_recognise(const struct head *request); /* never NULL */
const struct rpc *rpc_by_name(const char *name);         /* NULL: none */
#endif
