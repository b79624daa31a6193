// SPDX-License-Identifier: Apache-2.0
// What bridges to gRPC share: for codecs/bridge*.c alone.
#ifndef CURFEW_CODECS_BRIDGE_INSIDE_H
#define CURFEW_CODECS_BRIDGE_INSIDE_H
#include "codecs/bridge.h"
#include "codecs/rpc_inside.h"

extern const struct bridge_kind bridge_grpc_web, bridge_connect_unary, bridge_connect_stream;

/* Follows the messages of a body and refuses flags other than `allowed`. False: there is such a one. */
bool bridge_follow(struct frames *f, const uint8_t *p, size_t n, uint8_t allowed);
/* A request's head for gRPC: POST, te, content-type of that codec ("" : none named), no length, no field of HTTP's own that gRPC has otherwise. */
void bridge_request_head(struct bridge *b, struct head *up, struct str codec);
/* Takes what the head of an answer says of its status, and removes it from there: b->foreign, ended, head_status, … */
void bridge_answer_head(struct bridge *b, struct head *down);
struct bridge_status { unsigned code; struct str message; struct str details; /* grpc-status-details-bin, as it came */ };
/* How the answer ended; sets b->status. */
struct bridge_status bridge_status_of(struct bridge *b, const struct head *trailers);
/* What is not for the client's metadata: grpc-status and its kin. */
bool bridge_is_status_field(const struct field *f);
void bridge_rename(struct head *h, struct str from, struct str to);
/* The codec of a content-type application/grpc+X, or X of the request where it names none. */
struct str bridge_codec_of(const struct head *answer, struct str asked);

/* The details of an error as Connect has them: a JSON array; empty: there are none, or they cannot be read. */
struct str bridge_details_json(struct arena *a, struct str details_bin);
#endif
