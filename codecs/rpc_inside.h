// SPDX-License-Identifier: Apache-2.0
// What RPC protocols of gRPC's kin share: for codecs/rpc_*.c and codecs/bridge*.c alone.
#ifndef CURFEW_CODECS_RPC_INSIDE_H
#define CURFEW_CODECS_RPC_INSIDE_H
#include "codecs/rpc.h"

/* Whether the media type of h begins with `type` (case folded); rest: what follows it up to parameters. */
bool rpc_content_is(const struct head *h, struct str type, struct str *rest);
/* grpc-status, grpc-message and, where there is one, a pushback (gRFC A6), as fields of h. */
void rpc_add_status(struct arena *a, const struct rpc_answer *what, struct head *h);
/* The sentence that an ending is told with. */
struct str rpc_sentence(const struct rpc_answer *what);
/* Whole seconds, rounded up: earlier than asked is too early. */
struct str rpc_seconds_up(struct arena *a, span s);
/* The grpc-status of h (may be NULL). False: there is none. */
bool rpc_status_in(const struct head *h, int16_t *status);
/* early of gRPC and its kin: trailers-only, or an answer of something between that is not in gRPC. */
int16_t rpc_status_early(const struct head *answer);
/* follow of what has messages with a length before them, and no other end than trailers. */
void rpc_follow_frames(struct rpc_follow *f, const uint8_t *p, size_t n);
/* ... and of what says its end in a message that has the flag `end`. */
void rpc_follow_until(struct rpc_follow *f, const uint8_t *p, size_t n, uint8_t end);

/* The message that says how the answer ended is whole, and its length is not the head's to tell: all that may follow is the wire's end. */
bool rpc_follow_is_over(const struct rpc_follow *f);
/* The body has the length that its head told, so that an ending of ours takes nothing away but the wire's end, which HTTP/2 servers write in a frame
 * of its own; a peer that resets instead of writing it means something by that. Not for what must have trailers. */
bool rpc_follow_has_all(const struct rpc_follow *f, enum ending why);
/* Up to FOLLOW_KEEP bytes, for `said`. */
void rpc_follow_keep(struct rpc_follow *f, const uint8_t *p, size_t n);

/* A frame of gRPC-Web's trailers from the fields of h (those that were not removed), in base64 where `text`. */
struct str grpc_web_trailers(struct arena *a, const struct head *h, bool text);
/* Is the answer to this request text? PROTOCOL-WEB: the Accept header says so, else the answer is as the request. */
bool grpc_web_wants_text(const struct head *request);

/* Connect. details: a JSON array, or empty. */
struct str connect_error_json(struct arena *a, unsigned grpc, struct str message, struct str details);
/* An EndStream message with its head; error and metadata are JSON objects, or empty. */
struct str connect_end_stream(struct arena *a, struct str error, struct str metadata);
enum connect_shape { CONNECT_NOT, CONNECT_UNARY, CONNECT_GET, CONNECT_STREAM };
enum connect_shape connect_shape_of(const struct head *request);
#endif
