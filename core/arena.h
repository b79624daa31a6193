// SPDX-License-Identifier: Apache-2.0
// Bump memory with one free: everything that dies with a request comes from its arena. Blocks come from a pool (a worker's free list),
// so that a warm worker calls no malloc. Out of memory aborts. Nothing is freed singly.
#ifndef CURFEW_CORE_ARENA_H
#define CURFEW_CORE_ARENA_H
#include "core/str.h"

#define ARENA_BLOCK 8192u /* bytes of a pooled block, header included: holds a usual request, its head and its answer's head */

struct arena_block;
struct arena_pool { /* one a worker; not thread-safe */
    struct arena_block *free;
    size_t nfree, max_free; /* blocks kept; more are given back to malloc */
    size_t out;             /* bytes of blocks handed out and not yet returned: zero when nothing lives */
};
struct arena {
    struct arena_pool *pool; /* borrowed; NULL: plain malloc and free */
    struct arena_block *blocks;
    char *at, *end;
    size_t used; /* bytes asked for: for limits and the log */
};

void arena_pool_init(struct arena_pool *pool, size_t max_free);
void arena_pool_clear(struct arena_pool *pool); /* frees the kept blocks; asserts that none is out */

void arena_init(struct arena *a, struct arena_pool *pool);
/* Gives all blocks back; the arena is as after arena_init. */
void arena_clear(struct arena *a);
/* n bytes, aligned for any type, not zeroed; larger than a block: a block of its own. n may be 0. */
void *arena_alloc(struct arena *a, size_t n);
void *arena_zalloc(struct arena *a, size_t n);
/* Unaligned bytes, for text. */
char *arena_bytes(struct arena *a, size_t n);
struct str arena_copy(struct arena *a, struct str s);
struct str arena_lower(struct arena *a, struct str s); /* a copy in lower case, ASCII alone */
struct str arena_printf(struct arena *a, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
#define ARENA_NEW(a, type) ((type *)arena_zalloc((a), sizeof(type)))

/* What this thread holds of memory that peers make grow: blocks of arenas, what waits in buffers, what codecs keep. Who takes such says so, and who
 * gives it back does in the same thread. */
extern _Thread_local int64_t mem_held;

/* malloc, calloc and realloc that abort instead of failing (style 15). */
void *mem_alloc(size_t n);
void *mem_zalloc(size_t n);
void *mem_realloc(void *p, size_t n);
#endif
