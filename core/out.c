// SPDX-License-Identifier: Apache-2.0
// The gather list. Framing lies in one block that outlives the write and is used again by the next, so that a warm worker allocates
// nothing; when the block must grow, the pieces that lie in it are told where it went.
#include "core/out.h"
#include "core/arena.h"
#include <assert.h>
#include <stdlib.h>

enum { BLOCK_MIN = 16 << 10, BLOCK_KEPT = 2 * OUT_LIMIT };

void out_init(struct out *o) {
    *o = (struct out){ .limit = OUT_LIMIT, .block = mem_alloc(BLOCK_MIN), .block_cap = BLOCK_MIN };
}

void out_free(struct out *o) {
    free(o->block);
    *o = (struct out){ 0 };
}

static void block_resize(struct out *o, size_t cap) {
    free(o->block);
    o->block = mem_alloc(cap);
    o->block_cap = cap;
}

void out_begin(struct out *o, size_t limit) {
    o->niov = o->nrefs = 0;
    o->bytes = o->block_len = 0;
    o->limit = limit;
    if (o->block_cap > BLOCK_KEPT) block_resize(o, BLOCK_MIN);
}

/* Only addresses are compared: a reference lies in some other object. */
static bool in_block(const struct out *o, const struct iovec *v) {
    return (uintptr_t)v->iov_base - (uintptr_t)o->block < o->block_len;
}

static bool ends_in_copy(const struct out *o) { return o->niov && in_block(o, &o->iov[o->niov - 1]); }

static void block_grow(struct out *o, size_t n) {
    size_t cap = o->block_cap * 2;
    if (n > SIZE_MAX / 4 - o->block_len) abort();
    while (cap < o->block_len + n) cap *= 2;
    uint8_t *p = mem_alloc(cap);
    memcpy(p, o->block, o->block_len);
    for (unsigned i = 0; i < o->niov; i++)
        if (in_block(o, &o->iov[i])) o->iov[i].iov_base = p + ((uint8_t *)o->iov[i].iov_base - o->block);
    free(o->block);
    o->block = p;
    o->block_cap = cap;
}

static uint8_t *room(struct out *o, size_t n) {
    if (o->block_cap - o->block_len < n) block_grow(o, n);
    return o->block + o->block_len;
}

/* No piece is left and the last one is a reference: it is copied, so that framing can follow it in the same piece. */
static void copy_last(struct out *o) {
    struct iovec *last = &o->iov[o->niov - 1];
    uint8_t *p = room(o, last->iov_len);
    memcpy(p, last->iov_base, last->iov_len);
    last->iov_base = p;
    o->block_len += last->iov_len;
}

uint8_t *out_reserve(struct out *o, size_t n) {
    if (o->niov == OUT_IOV && !ends_in_copy(o)) copy_last(o);
    return room(o, n);
}

void out_commit(struct out *o, size_t n) {
    assert(n <= o->block_cap - o->block_len);
    if (n == 0) return;
    if (ends_in_copy(o)) {
        o->iov[o->niov - 1].iov_len += n;
    } else {
        assert(o->niov < OUT_IOV);
        o->iov[o->niov++] = (struct iovec){ o->block + o->block_len, n };
    }
    o->block_len += n;
    o->bytes += n;
}

void out_copy(struct out *o, const void *p, size_t n) {
    if (n == 0) return;
    memcpy(out_reserve(o, n), p, n);
    out_commit(o, n);
}

static void put_piece(struct out *o, struct str v) {
    assert(o->niov < OUT_IOV);
    o->iov[o->niov++] = (struct iovec){ (void *)v.p, v.n };
    o->bytes += v.n;
}

void out_ref(struct out *o, struct leg *g, struct str v) {
    if (v.n == 0) return;
    if (v.n <= OUT_SHORT && ends_in_copy(o)) out_copy(o, v.p, v.n); /* cheaper than a piece of its own */
    else put_piece(o, v);
    if (o->nrefs && o->refs[o->nrefs - 1].leg == g) {
        o->refs[o->nrefs - 1].n += v.n;
        return;
    }
    assert(o->nrefs < OUT_IOV);
    o->refs[o->nrefs++] = (struct out_ref){ g, v.n };
}
