// SPDX-License-Identifier: Apache-2.0
// An ending to an ordered list of ways to tell the upstream; a client's leaving to whether the work ends. design: semantics, sections 5 and 6.
#ifndef CURFEW_POLICIES_CANCEL_H
#define CURFEW_POLICIES_CANCEL_H
#include "codecs/codec.h"
#include "conf/conf.h"
#include "policies/call.h"
#include "policies/mode.h"

enum client_gone { GONE_CANCEL, GONE_DRAIN, GONE_IGNORE };
enum half_close { HALF_AUTO, HALF_ABORT, HALF_TOLERATE };
enum rung { RUNG_RESET, RUNG_CALL, RUNG_CLOSE, RUNG_DRAIN, RUNG_NONE };
#define RUNGS_MAX 5u
struct ladder { uint8_t rung[RUNGS_MAX]; uint8_t n; };
/* The strongest level achieved, weakest first; names as in the log and the metrics. */
enum cancel_level { LEVEL_NOT_NEEDED, LEVEL_NONE, LEVEL_TTL, LEVEL_DRAIN, LEVEL_CLOSE, LEVEL_SIDE_CHANNEL, LEVEL_NATIVE, LEVEL_WITHDRAWN, LEVELS };
const char *cancel_level_name(enum cancel_level l); /* "", "none", "ttl", "drain", "close", "side_channel", "native", "withdrawn" */

struct cancel_policy {
    uint8_t mode;                      /* enum mode */
    uint8_t client_gone, half_close;   /* enums above */
    struct ladder ladder[CODECS_MAX];  /* by codec_index: the key is the codec's name */
    struct { span time; uint64_t bytes; } drain_limit;
    struct call_policy *call;          /* NULL: none */
};
extern const struct conf_table cancel_table;
/* Also checks that each rung is one the codec can climb (codec->ways), with an error at the rung. */

/* What a FIN means while the answer is owed and the request is complete: true: the client is gone. `version` and User-Agent decide `auto`. */
bool cancel_fin_is_gone(const struct cancel_policy *p, const struct head *request);
/* The ladder for an ending on this codec: client_gone drain makes it [drain] for the client's own endings. */
struct ladder cancel_ladder(const struct cancel_policy *p, const struct codec *up, enum ending why);
/* What of that is climbed in the policy's mode: all of it (enforce), its call alone (forward), nothing. A request that the upstream has not `whole`
 * can never be answered: it is cancelled in every mode. */
struct ladder cancel_ladder_in_mode(const struct cancel_policy *p, const struct codec *up, enum ending why, bool whole);
/* What enforcing would have achieved, supposing that a call is answered. told: as below. NOT_NEEDED: nothing would have been cancelled. */
enum cancel_level cancel_would(const struct cancel_policy *p, const struct codec *up, enum ending why, bool told);
/* A rung to the codec's way; CALL has none (CANCEL_SIDE is the codec's own side connection). */
enum cancel_way cancel_way_of(enum rung r);
/* What the codec achieved, as a level. told: a deadline was written to the upstream, so that NONE is at least TTL. */
enum cancel_level cancel_level_of(enum cancel_way achieved, bool told);
/* client_reset or client_closed within `grace` of (or past) a deadline that the client set is client_deadline. */
enum ending cancel_client_ending(enum ending why, instant now, instant client_deadline, span grace);
#endif
