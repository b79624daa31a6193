// SPDX-License-Identifier: Apache-2.0
// The queue of a body: see body.h.
#include "proxy/body.h"
#include "core/arena.h"
#include <assert.h>
#include <stdlib.h>

struct chunk {
    struct list node;
    struct chunk *next_free;
    size_t len;
    uint8_t data[CHUNK_BYTES];
};

void chunk_pool_init(struct chunk_pool *p, size_t max_free) { *p = (struct chunk_pool){ .max_free = max_free }; }
void chunk_pool_clear(struct chunk_pool *p) {
    assert(p->out == 0);
    while (p->free) {
        struct chunk *k = p->free;
        p->free = k->next_free;
        free(k);
    }
    p->nfree = 0;
}
static struct chunk *chunk_take(struct chunk_pool *p) {
    struct chunk *k = p->free;
    if (k) {
        p->free = k->next_free;
        p->nfree--;
    } else {
        k = mem_alloc(sizeof *k);
    }
    k->node = (struct list){ 0 };
    k->len = 0;
    p->out++;
    mem_held += (int64_t)sizeof *k;
    return k;
}
static void chunk_give(struct chunk_pool *p, struct chunk *k) {
    assert(p->out > 0);
    p->out--;
    mem_held -= (int64_t)sizeof *k;
    if (p->nfree >= p->max_free) {
        free(k);
        return;
    }
    k->next_free = p->free;
    p->free = k;
    p->nfree++;
}

void body_init(struct body *b, struct chunk_pool *pool) {
    *b = (struct body){ .pool = pool };
    list_init(&b->chunks);
}
static void body_copy(struct body *b, const uint8_t *p, size_t n) {
    while (n > 0) {
        struct chunk *k = list_is_empty(&b->chunks) ? NULL : LIST_OF(b->chunks.prev, struct chunk, node);
        if (!k || k->len == CHUNK_BYTES) {
            k = chunk_take(b->pool);
            list_push(&b->chunks, &k->node);
        }
        size_t part = CHUNK_BYTES - k->len < n ? CHUNK_BYTES - k->len : n;
        memcpy(k->data + k->len, p, part);
        k->len += part;
        p += part;
        n -= part;
    }
}
void body_settle(struct body *b) {
    list_del(&b->borrow);
    size_t n = b->nborrowed;
    b->nborrowed = 0;
    body_copy(b, b->borrowed, n);
}
void body_push(struct body *b, const uint8_t *p, size_t n, struct list *borrowers) {
    if (n == 0) return;
    if (b->nborrowed && (b->borrowed + b->nborrowed != p || !borrowers)) body_settle(b);
    b->end += n;
    if (b->nborrowed) {
        b->nborrowed += n; /* the next piece of the same input */
    } else if (borrowers && n >= BODY_BORROW_MIN) {
        b->borrowed = p;
        b->nborrowed = n;
        list_push(borrowers, &b->borrow);
    } else {
        body_copy(b, p, n);
    }
}
static void slice(struct pulled *v, const uint8_t *p, size_t n, size_t *max) {
    if (n > *max) n = *max;
    if (n == 0 || v->nv == sizeof v->v / sizeof v->v[0]) return;
    v->v[v->nv++] = (struct str){ (const char *)p, n };
    v->bytes += n;
    *max -= n;
}
void body_peek(const struct body *b, uint64_t offset, size_t max, struct pulled *v) {
    assert(offset >= b->start && offset <= b->end);
    v->nv = 0;
    v->bytes = 0;
    uint64_t at = b->start; /* of the chunk */
    for (const struct list *i = b->chunks.next; i != &b->chunks; i = i->next) {
        const struct chunk *k = LIST_OF(i, const struct chunk, node);
        uint64_t skip = offset > at ? offset - at : 0;
        if (skip < k->len) slice(v, k->data + skip, k->len - (size_t)skip, &max);
        at += k->len;
        if (max == 0 || v->nv == sizeof v->v / sizeof v->v[0]) break;
    }
    uint64_t borrowed_at = b->end - b->nborrowed;
    if (b->nborrowed && offset + v->bytes >= borrowed_at) {
        size_t skip = (size_t)(offset + v->bytes - borrowed_at);
        slice(v, b->borrowed + skip, b->nborrowed - skip, &max);
    }
    v->end = b->complete && offset + v->bytes == b->end;
}
/* Drops whole chunks only: `start` stays at a chunk's first byte, so a slice needs no offset within the first. */
void body_drop(struct body *b, uint64_t upto) {
    assert(upto <= b->end);
    uint64_t borrowed_at = b->end - b->nborrowed;
    while (!list_is_empty(&b->chunks)) {
        struct chunk *k = LIST_OF(b->chunks.next, struct chunk, node);
        if (b->start + k->len > upto) break;
        b->start += k->len;
        list_del(&k->node);
        chunk_give(b->pool, k);
    }
    if (b->nborrowed && upto > borrowed_at && list_is_empty(&b->chunks)) {
        size_t n = (size_t)(upto - borrowed_at);
        b->borrowed += n;
        b->nborrowed -= n;
        b->start = upto;
        if (b->nborrowed == 0) list_del(&b->borrow);
    }
}
void body_clear(struct body *b) {
    list_del(&b->borrow);
    b->nborrowed = 0;
    while (!list_is_empty(&b->chunks)) {
        struct chunk *k = LIST_OF(b->chunks.next, struct chunk, node);
        list_del(&k->node);
        chunk_give(b->pool, k);
    }
    b->start = b->end;
}
