// SPDX-License-Identifier: Apache-2.0
// What the bytes mean above the wire: plain HTTP, gRPC, gRPC-Web, Connect. Recognises a request by its head, writes an ending as an answer
// that such a client understands, and reads the outcome of an answer. Pure functions on heads and arenas; no socket, no clock.
#ifndef CURFEW_CODECS_RPC_H
#define CURFEW_CODECS_RPC_H
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
struct rpc {
    const char *name;   /* "http", "grpc", ... : as in the log and in explain */
    const char *family; /* key under deadline.write: "http", "grpc", "connect" */
    uint8_t wire_version; /* the lowest HTTP version that carries it, as in head.version: 20 for gRPC. 0: any */
    int priority;       /* asked in this order, lowest first; plain HTTP last, it takes all */
    bool (*recognise)(const struct head *request);
    bool (*is_stream)(const struct head *request); /* no default deadline applies (semantics 2.4) */
    /* The whole answer, before any head went out: head into h (initialised here), body into *body (arena or static; may be empty). */
    void (*answer)(struct arena *a, const struct rpc_answer *what, const struct head *request, struct head *h, struct str *body);
    /* After the head went out. aligned: at a message boundary. True: h holds trailers and *body last bytes to write before them. False: cut. */
    bool (*answer_late)(struct arena *a, const struct rpc_answer *what, bool aligned, struct head *h, struct str *body);
    void (*outcome)(const struct head *answer, const struct head *trailers, struct rpc_outcome *o); /* trailers may be NULL */
};
#define RPC_REGISTER(r) static const struct rpc *const rpc_register_##r __attribute__((used, section("curfew_rpcs"))) = &(r)
size_t rpc_count(void);
const struct rpc *rpc_at(size_t i);                      /* by priority */
const struct rpc *rpc_recognise(const struct head *request); /* never NULL */
#endif
