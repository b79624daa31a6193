// SPDX-License-Identifier: Apache-2.0
// The context of a request: a deadline, at most one ending, a place in a tree, and the hooks of all who must hear of the ending.
//
//   context_limit ── the deadline's timer ──┐
//   client gone, reset, upstream lost ──────┼─→ context_end(cause): first wins; marks, disarms, queues c and its children; runs nothing
//   parent, operator, shutdown ─────────────┘        │
//                                                     └─→ context_run_ended (the loop, between feed and output): every hook, once
//
// Nothing else ends anything. Hooks are popped one at a time; a hook may hang, unhang and end others. Not thread-safe: a context belongs
// to one worker; across threads only a context_id travels.
#ifndef CURFEW_CORE_CONTEXT_H
#define CURFEW_CORE_CONTEXT_H
#include "core/ending.h"
#include "core/instant.h"
#include "core/list.h"
#include "core/wheel.h"

struct context;
struct hook { /* embedded in what must hear; borrowed by the context while hung */
    struct list node;
    void (*on_end)(struct hook *h, const struct context *c, enum ending why); /* already off the list */
};
struct context_id { /* the only thing that crosses threads */
    uint16_t worker;
    uint32_t slot, generation;
};
struct contexts { /* one a worker */
    struct wheel *wheel; /* borrowed */
    struct list ended;   /* contexts whose hooks have yet to run */
    uint16_t worker;
    size_t live;
    struct context **slots; /* owned; slot to context, NULL where free */
    uint32_t *generations;  /* owned; of each slot */
    uint32_t nslots;
    uint32_t *free_slots;   /* owned; a stack */
    uint32_t nfree_slots;
    bool running;           /* context_run_ended is at work */
};
struct context { /* embedded in its owner */
    struct contexts *all; /* borrowed; NULL: not begun, or closed */
    struct context *parent;
    struct list children, sibling;
    struct list hooks, queued;
    struct timer timer;
    instant begun, deadline; /* deadline NEVER: none */
    enum ending ending;      /* NONE: it lives */
    uint32_t wire;           /* the peer's own code that came with the ending */
    instant ended_at;        /* as context_run_ended was told; for lateness */
    uint8_t dialect;         /* index of the dialect that the deadline came from; 0: none */
    uint32_t slot, generation;
};

void contexts_init(struct contexts *all, struct wheel *wheel, uint16_t worker);
void contexts_free(struct contexts *all); /* asserts that none lives */

/* A root. `c` is the caller's memory, any content. */
void context_begin(struct contexts *all, struct context *c, instant now);
/* A child: takes the parent's deadline. An ended parent: c is marked at once with PARENT_CANCELLED, and its hooks run with the next batch. */
void context_derive(struct context *c, struct context *parent, instant now);
/* Sets the deadline, or brings it nearer, for c and all below it; never takes it further away. The timer ends c with DEADLINE. After the
 * ending: no effect. */
void context_limit(struct context *c, instant deadline, uint8_t dialect);
/* Hears of the ending. On an ended context: runs with the next batch (from a hook: still with this one), not inside this call. h->on_end must be set;
 * h must not be hung. */
void context_hang(struct context *c, struct hook *h);
void context_unhang(struct hook *h); /* idempotent; legal from any hook, also for the next in line */
/* Ends c with `why`, its children with PARENT_CANCELLED. First wins: true; later calls: false, no effect. Runs no hook. */
bool context_end(struct context *c, enum ending why, uint32_t wire);
/* The loop alone, after each batch of feeding and ticking and before output: pops until nothing is queued. Returns hooks run. Not recursive. */
size_t context_run_ended(struct contexts *all, instant now);
/* The end of c's memory: unlinks from parent, wheel and queues; children become roots' orphans and must be gone (asserted), hooks too. */
void context_close(struct context *c);
static inline bool context_is_ended(const struct context *c) { return c->ending != ENDING_NONE; }

struct context_id context_id_of(const struct context *c);
/* The live context of that id on this worker, or NULL where the generation is stale. */
struct context *context_find(struct contexts *all, struct context_id id);
#endif
