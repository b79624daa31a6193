// SPDX-License-Identifier: Apache-2.0
// The small print of RPC protocols: percent-encoded messages, base64 in its two alphabets, JSON as far as errors need it, and the words and
// numbers of status codes. Pure; results live in the caller's arena.
#ifndef CURFEW_CODECS_RPC_TEXT_H
#define CURFEW_CODECS_RPC_TEXT_H
#include "core/arena.h"

enum grpc_status {
    GRPC_OK = 0, GRPC_CANCELLED = 1, GRPC_UNKNOWN = 2, GRPC_INVALID_ARGUMENT = 3, GRPC_DEADLINE_EXCEEDED = 4, GRPC_NOT_FOUND = 5,
    GRPC_ALREADY_EXISTS = 6, GRPC_PERMISSION_DENIED = 7, GRPC_RESOURCE_EXHAUSTED = 8, GRPC_FAILED_PRECONDITION = 9, GRPC_ABORTED = 10,
    GRPC_OUT_OF_RANGE = 11, GRPC_UNIMPLEMENTED = 12, GRPC_INTERNAL = 13, GRPC_UNAVAILABLE = 14, GRPC_DATA_LOSS = 15,
    GRPC_UNAUTHENTICATED = 16, GRPC_STATUSES
};

/* gRPC over HTTP/2, "Responses": grpc-message. Decoding leaves what is no escape as it is. */
struct str percent_encode(struct arena *a, struct str s);
struct str percent_decode(struct arena *a, struct str s);
/* One value of a query: escapes and '+' resolved. False: a broken escape. */
bool query_unescape(struct arena *a, struct str s, struct str *out);
/* The raw value of `name` in a query without its '?'. False: it is not there. The first one counts. */
bool query_find(struct str query, struct str name, struct str *value);

/* RFC 4648 4, padded; `to` takes 4 bytes for each 3 begun. Returns how many. */
#define BASE64_BYTES(n) (((n) + 2) / 3 * 4)
size_t base64_encode(const uint8_t *p, size_t n, char *to);
/* The whole of s, padded or not; url: the alphabet of RFC 4648 5. False: it is none. */
bool base64_decode(struct arena *a, struct str s, bool url, struct str *out);
/* The same in pieces, where every run that is padded may be followed by another: gRPC-Web's text. Zeroed is the start. */
struct base64_pieces { uint32_t bits; uint8_t chars, pads; };
/* Takes n bytes from p and writes at most 3 for each 4 begun to `to`. False: no base64. */
bool base64_pieces_take(struct base64_pieces *b, const uint8_t *p, size_t n, uint8_t *to, size_t *made);
static inline bool base64_pieces_is_whole(const struct base64_pieces *b) { return b->chars == 0; }

/* A JSON string with its quotes. Bytes over 0x7f pass where they are UTF-8, and are U+FFFD where not. */
struct str json_quote(struct arena *a, struct str s);
/* Whether s is one object, from its first bracket to the last; what is in it is not looked at closely. */
bool json_is_object(struct str s);
/* The raw text of a member of an object at its top level. False: it is not there, or this is no object. */
bool json_member(struct str object, struct str name, struct str *value);

/* Connect's word for a status of gRPC and the HTTP status it belongs to; "" and 200 for GRPC_OK, "unknown" for what is none. */
const char *connect_code(unsigned grpc);
uint16_t connect_http(unsigned grpc);
/* The status of gRPC that Connect calls so, or -1. */
int connect_code_by_name(struct str name);
/* What an HTTP status says where the RPC protocol's own status is missing (gRPC, http-grpc-status-mapping; Connect, "HTTP to Error Code"). */
uint8_t grpc_of_http(uint16_t http);
#endif
