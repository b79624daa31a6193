// SPDX-License-Identifier: Apache-2.0
// Bump memory. Owns the blocks of living arenas and a worker's kept ones; never gives a byte back singly. Under AddressSanitizer, bytes not
// handed out are poisoned, with a gap behind each piece, so that reading past a slice or after arena_clear is seen although no malloc was.
#include "core/arena.h"
#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#if defined(__SANITIZE_ADDRESS__)
#define ARENA_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define ARENA_ASAN 1
#endif
#endif
#ifdef ARENA_ASAN
#include <sanitizer/asan_interface.h>
#define POISON(p, n) __asan_poison_memory_region((p), (n))
#define UNPOISON(p, n) __asan_unpoison_memory_region((p), (n))
#define GAP 16u
#else
#define POISON(p, n) ((void)0)
#define UNPOISON(p, n) ((void)0)
#define GAP 0u
#endif

#define ALIGN 16u

struct arena_block {
    struct arena_block *next;
    size_t size; /* of the whole block */
    char bytes[];
};
static_assert(sizeof(struct arena_block) % ALIGN == 0, "what follows the header is aligned");
static_assert(ARENA_BLOCK % ALIGN == 0, "the end of a block is aligned");
static_assert(_Alignof(max_align_t) <= ALIGN, "good for any type");

void *mem_alloc(size_t n) {
    void *p = malloc(n ? n : 1);
    if (!p) abort();
    return p;
}

void *mem_zalloc(size_t n) {
    void *p = calloc(n ? n : 1, 1);
    if (!p) abort();
    return p;
}

void *mem_realloc(void *p, size_t n) {
    p = realloc(p, n ? n : 1);
    if (!p) abort();
    return p;
}

_Thread_local int64_t mem_held;

static size_t payload(const struct arena_block *b) { return b->size - sizeof *b; }

static void block_free(struct arena_block *b) {
    UNPOISON(b->bytes, payload(b));
    free(b);
}

static struct arena_block *block_take(struct arena_pool *pool, size_t size) {
    struct arena_block *b = NULL;
    if (pool) pool->out += size, mem_held += (int64_t)size;
    if (pool && pool->free && size == ARENA_BLOCK) {
        b = pool->free;
        pool->free = b->next;
        pool->nfree--;
        return b;
    }
    b = mem_alloc(size);
    b->size = size;
    POISON(b->bytes, payload(b));
    return b;
}

static void block_give(struct arena_pool *pool, struct arena_block *b) {
    if (pool) pool->out -= b->size, mem_held -= (int64_t)b->size;
    if (!pool || b->size != ARENA_BLOCK || pool->nfree >= pool->max_free) {
        block_free(b);
        return;
    }
    POISON(b->bytes, payload(b));
    b->next = pool->free;
    pool->free = b;
    pool->nfree++;
}

void arena_pool_init(struct arena_pool *pool, size_t max_free) { *pool = (struct arena_pool){ .max_free = max_free }; }

void arena_pool_clear(struct arena_pool *pool) {
    assert(pool->out == 0);
    while (pool->free) {
        struct arena_block *b = pool->free;
        pool->free = b->next;
        block_free(b);
    }
    pool->nfree = 0;
}

void arena_init(struct arena *a, struct arena_pool *pool) { *a = (struct arena){ .pool = pool }; }

void arena_clear(struct arena *a) {
    for (struct arena_block *b = a->blocks, *next; b; b = next) {
        next = b->next;
        block_give(a->pool, b);
    }
    arena_init(a, a->pool);
}

/* A big piece leaves `at` and `end` alone: the current block stays in use, and its rest is not wasted. */
static char *alloc_big(struct arena *a, size_t n) {
    struct arena_block *b = block_take(a->pool, (sizeof *b + n + GAP + ALIGN - 1) / ALIGN * ALIGN);
    b->next = a->blocks;
    a->blocks = b;
    return b->bytes;
}

static char *alloc_slow(struct arena *a, size_t n) {
    if (n > SIZE_MAX / 2) abort();
    if (n + GAP >= ARENA_BLOCK - sizeof(struct arena_block)) return alloc_big(a, n);
    struct arena_block *b = block_take(a->pool, ARENA_BLOCK);
    b->next = a->blocks;
    a->blocks = b;
    a->end = b->bytes + payload(b);
    a->at = b->bytes + n + GAP;
    return b->bytes;
}

/* `<`, not `<=`: so an arena without a block needs no test of its own, also for n == 0. */
static char *take(struct arena *a, size_t align, size_t n) {
    uintptr_t at = ((uintptr_t)a->at + align - 1) & ~(uintptr_t)(align - 1);
    char *p;
    a->used += n;
    if (n < SIZE_MAX - GAP && n + GAP < (uintptr_t)a->end - at) {
        p = a->at + (at - (uintptr_t)a->at);
        a->at = p + n + GAP;
    } else {
        p = alloc_slow(a, n);
    }
    UNPOISON(p, n);
    return p;
}

void *arena_alloc(struct arena *a, size_t n) { return take(a, ALIGN, n); }

void *arena_zalloc(struct arena *a, size_t n) { return memset(arena_alloc(a, n), 0, n); }

char *arena_bytes(struct arena *a, size_t n) { return take(a, 1, n); }

struct str arena_copy(struct arena *a, struct str s) {
    char *p = arena_bytes(a, s.n);
    if (s.n) memcpy(p, s.p, s.n);
    return (struct str){ p, s.n };
}
struct str arena_lower(struct arena *a, struct str s) {
    char *p = arena_bytes(a, s.n);
    for (size_t i = 0; i < s.n; i++) p[i] = (char)(s.p[i] >= 'A' && s.p[i] <= 'Z' ? s.p[i] | 0x20 : s.p[i]);
    return (struct str){ p, s.n };
}

struct str arena_printf(struct arena *a, const char *fmt, ...) {
    char small[256];
    va_list args, again;
    va_start(args, fmt);
    va_copy(again, args);
    int n = vsnprintf(small, sizeof small, fmt, args);
    assert(n >= 0);
    struct str s = { small, (size_t)n };
    if (s.n < sizeof small) {
        s = arena_copy(a, s);
    } else {
        char *p = arena_bytes(a, s.n + 1);
        vsnprintf(p, s.n + 1, fmt, again);
        s.p = p;
    }
    va_end(again);
    va_end(args);
    return s;
}
