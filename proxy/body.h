// SPDX-License-Identifier: Apache-2.0
// The bytes of a body on their way from one leg to another: a queue of chunks, read by offset, so that an attempt that is made again reads from
// the start what was not dropped yet. A large piece is borrowed from the connection's read buffer first, written from there, and copied only
// where the socket refused it: body_settle must run before that buffer is used again.
#ifndef CURFEW_PROXY_BODY_H
#define CURFEW_PROXY_BODY_H
#include "codecs/codec.h"

#define CHUNK_BYTES 16320u          /* so that a chunk with its header is 16 KiB less malloc's own */
#define BODY_BORROW_MIN 8192u       /* smaller pieces are copied at once: a copy costs less than the care */
struct chunk;
struct chunk_pool { struct chunk *free; size_t nfree, max_free, out; };
struct body {
    struct chunk_pool *pool;        /* borrowed */
    struct list chunks;
    uint64_t start, end;            /* offsets: first byte kept, one past the last */
    const uint8_t *borrowed;        /* the last nborrowed bytes are still in the read buffer */
    size_t nborrowed;
    struct list borrow;             /* in the worker's list while nborrowed > 0 */
    bool complete;                  /* nothing follows */
    const struct head *trailers;    /* borrowed from the arena; may be NULL */
};
void chunk_pool_init(struct chunk_pool *p, size_t max_free);
void chunk_pool_clear(struct chunk_pool *p); /* asserts that none is out */
void body_init(struct body *b, struct chunk_pool *pool);
/* Appends. borrowers: where to note that p is only borrowed; NULL: copy. */
void body_push(struct body *b, const uint8_t *p, size_t n, struct list *borrowers);
/* Slices of [offset, offset + max) into v; v->end where they reach the end of a complete body. */
void body_peek(const struct body *b, uint64_t offset, size_t max, struct pulled *v);
void body_drop(struct body *b, uint64_t upto); /* what lies before is gone */
void body_settle(struct body *b);              /* copies what is borrowed */
void body_clear(struct body *b);               /* drops all; idempotent */
static inline uint64_t body_waiting(const struct body *b, uint64_t offset) { return b->end - offset; }
#endif
