// SPDX-License-Identifier: Apache-2.0
// A buffer that waits for a slow side. Contiguous, since parsers want it so; the front is closed up only when at least as much is dead as
// is live, so that a byte is moved a bounded number of times. Owns its memory; an idle connection holds none.
#include "core/buffer.h"
#include "core/arena.h"
#include <assert.h>
#include <stdlib.h>

enum { BUFFER_MIN = 1024 };

void buffer_init(struct buffer *b, size_t limit) { *b = (struct buffer){ .limit = limit }; }

static void move_to(struct buffer *b, size_t cap) {
    uint8_t *p = mem_alloc(cap);
    size_t live = buffer_size(b);
    if (live) memcpy(p, buffer_data(b), live);
    mem_held += (int64_t)cap - (int64_t)b->cap;
    free(b->p);
    *b = (struct buffer){ .p = p, .len = live, .cap = cap, .limit = b->limit };
}

uint8_t *buffer_reserve(struct buffer *b, size_t n) {
    size_t live = buffer_size(b);
    if (n > SIZE_MAX / 4 - live) abort();
    if (b->p && b->cap - b->len >= n) return b->p + b->len;
    if (b->p && b->off >= live && live + n <= b->cap) {
        memmove(b->p, b->p + b->off, live);
        b->off = 0;
        b->len = live;
        return b->p + b->len;
    }
    size_t cap = b->cap ? b->cap * 2 : BUFFER_MIN;
    while (cap < live + n) cap *= 2;
    move_to(b, cap);
    return b->p + b->len;
}

void buffer_commit(struct buffer *b, size_t n) {
    assert(n <= b->cap - b->len);
    b->len += n;
}

void buffer_append(struct buffer *b, const void *p, size_t n) {
    if (n == 0) return;
    memcpy(buffer_reserve(b, n), p, n);
    b->len += n;
}

void buffer_take(struct buffer *b, size_t n) {
    assert(n <= buffer_size(b));
    b->off += n;
    if (buffer_is_empty(b)) buffer_free(b);
}

void buffer_free(struct buffer *b) {
    mem_held -= (int64_t)b->cap;
    free(b->p);
    buffer_init(b, b->limit);
}
