// SPDX-License-Identifier: Apache-2.0
// What a client that still waits is told, by ending: the table of endings, overridden by policy. design: semantics, sections 3 and 4.
#ifndef CURFEW_POLICIES_ANSWER_H
#define CURFEW_POLICIES_ANSWER_H
#include "codecs/rpc.h"
#include "conf/conf.h"

struct answer_row { uint16_t http; uint8_t grpc; bool http_given, grpc_given; span retry_after; };
struct answer_policy { struct answer_row row[ENDINGS]; };
extern const struct conf_table answer_table; /* a key an ending that can owe an answer; grpc by name or number */
/* status: the fault's own, 0: none; it beats the table but not the policy. detail: static sentence or NULL. */
void answer_decide(const struct answer_policy *p, enum ending why, uint16_t status, const char *detail, struct rpc_answer *out);
/* After answer_decide, for what an upstream did: its RST_STREAM code as a gRPC status (semantics 3), and a connection that was lost after the head.
 * A status that the policy gives stays. late: the deadline has passed. */
void answer_by_code(const struct answer_policy *p, enum ending why, enum reset_word said, bool after_head, bool late, struct rpc_answer *out);
const char *grpc_status_name(uint8_t code); /* "DEADLINE_EXCEEDED"; "UNKNOWN" for what has no name */
uint8_t grpc_status_by_name(struct str text); /* its name in any case, or its number; 0 (OK) where it is none of an error */
#endif
