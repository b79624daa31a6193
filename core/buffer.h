// SPDX-License-Identifier: Apache-2.0
// Bytes that wait: appended at the end, taken from the front, contiguous. The limit is soft: an append always succeeds, and
// buffer_is_full says that no more should be asked for. Memory is given back when it is empty.
#ifndef CURFEW_CORE_BUFFER_H
#define CURFEW_CORE_BUFFER_H
#include "core/str.h"

struct buffer { /* zeroed memory with a limit set is an empty buffer */
    uint8_t *p;  /* owned */
    size_t off, len, cap; /* live bytes are p[off, len) */
    size_t limit;         /* soft, bytes; 0: full from the first byte */
};

static inline size_t buffer_size(const struct buffer *b) { return b->len - b->off; }
static inline const uint8_t *buffer_data(const struct buffer *b) { return b->p ? b->p + b->off : b->p; } /* NULL + 0 is no address */
static inline bool buffer_is_empty(const struct buffer *b) { return b->len == b->off; }
static inline bool buffer_is_full(const struct buffer *b) { return buffer_size(b) >= b->limit; }
void buffer_init(struct buffer *b, size_t limit);
void buffer_append(struct buffer *b, const void *p, size_t n);
/* Room for n bytes at the end; buffer_commit says how many were used. */
uint8_t *buffer_reserve(struct buffer *b, size_t n);
void buffer_commit(struct buffer *b, size_t n);
void buffer_take(struct buffer *b, size_t n); /* drops n bytes from the front; memory is freed when it becomes empty */
void buffer_free(struct buffer *b);           /* idempotent */
#endif
