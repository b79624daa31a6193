// SPDX-License-Identifier: Apache-2.0
// Is a worker under load, so that optional context fields are dropped? By what it has in flight and by how long its turns take,
// against the thresholds of `load:`; or by an operator's word, which holds for all workers at once. It reads the clock once
// more a turn where `loop_lag` asks for it.
#ifndef CURFEW_PROXY_LOAD_H
#define CURFEW_PROXY_LOAD_H
#include "core/wheel.h"
#include <stdint.h>

struct worker;
#define LOAD_EASED 80u        /* percent of a threshold: what stays below it has eased */
#define LOAD_HOLD span_s(1)   /* ... and when it has for so long, the load is over: it comes at once, and goes slowly */

struct load_conf { int64_t inflight; span loop_lag; }; /* INT64_MAX, FOREVER: not looked at. inflight is a total, shared out among the workers */
struct load { /* a worker's */
    bool looks, on;
    int64_t inflight;         /* this worker's share; INT64_MAX: not looked at */
    span loop_lag;
    int64_t memory;           /* this worker's share of limits.memory; INT64_MAX: none */
    instant until;            /* while on: until when it is, if nothing is high meanwhile */
    struct timer over;
};
void load_init(struct worker *w); /* looks at nothing */
void load_follow(struct worker *w, const struct load_conf *conf); /* from here on by these thresholds */
void load_free(struct worker *w);
/* The end of a turn. */
void load_turned(struct worker *w);
/* Are optional fields to be dropped now? */
bool load_drops(struct worker *w);

/* What peers make this worker hold (core/arena.h), beside its share of limits.memory. FULL: new requests are refused, and bodies wait in small pieces.
 * OVER, an eighth past it: nothing is begun for a request that is refused, and who makes it hold yet more is ended. */
enum room { ROOM_PLENTY, ROOM_FULL, ROOM_OVER };
struct limits_conf;
void load_limit(struct worker *w, const struct limits_conf *conf); /* from here on by these */
enum room load_room(const struct worker *w);

/* The operator's word. Any thread; what one sets all see with the next request. */
enum load_switch { LOAD_AUTO, LOAD_DROP, LOAD_KEEP };
#define LOAD_SWITCHES 3u
void load_switch_set(enum load_switch s);
enum load_switch load_switch_get(void);
const char *load_switch_name(enum load_switch s); /* "auto", "on", "off" */
#endif
