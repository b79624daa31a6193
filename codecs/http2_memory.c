// SPDX-License-Identifier: Apache-2.0
// nghttp2's memory. A request costs it some twenty small pieces, in bursts of as many requests as a read brought; malloc's quick lists hold seven of
// a size. Here they hold what was ever in use at once, up to KEPT; a thread has its own, so that nothing is shared and nothing locked.
// Must not hide a fault: where a sanitizer watches, every piece comes from malloc itself.
#include "codecs/http2.h"
#include "core/arena.h"
#include <assert.h>
#include <stdlib.h>

#if defined(HTTP2_MEMORY_KEEPS) /* its own test */
#elif defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define PLAIN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) || __has_feature(memory_sanitizer)
#define PLAIN 1
#endif
#endif

#ifdef PLAIN
nghttp2_mem *http2_memory(void) { return NULL; }
#else
enum { GRAIN = 32, CLASSES = 32, KEPT = 1024 };

/* Before each piece: which list it goes back to, and once it is there, what follows it. 16 bytes, so that what follows is aligned for any type. */
struct piece {
    union {
        struct piece *next;
        size_t size;
    };
    size_t class; /* CLASSES: too large to be kept */
};
static_assert(sizeof(struct piece) % _Alignof(max_align_t) == 0, "a piece is aligned for any type");

static _Thread_local struct { struct piece *free; size_t n; } pools[CLASSES];

static int64_t bytes_of(const struct piece *p) { return (int64_t)(sizeof *p + (p->class == CLASSES ? p->size : p->class * GRAIN)); }

static void *take(size_t n, void *user) {
    (void)user;
    size_t class = n / GRAIN + (n % GRAIN != 0);
    struct piece *p;
    if (class >= CLASSES) {
        if (n > SIZE_MAX - sizeof *p) return NULL;
        p = mem_alloc(sizeof *p + n);
        class = CLASSES;
    } else if ((p = pools[class].free)) {
        pools[class].free = p->next;
        pools[class].n--;
    } else {
        p = mem_alloc(sizeof *p + class * GRAIN);
    }
    p->size = n;
    p->class = class;
    mem_held += bytes_of(p);
    return p + 1;
}

static void give(void *at, void *user) {
    (void)user;
    if (!at) return;
    struct piece *p = (struct piece *)at - 1;
    mem_held -= bytes_of(p);
    if (p->class == CLASSES || pools[p->class].n >= KEPT) {
        free(p);
        return;
    }
    p->next = pools[p->class].free;
    pools[p->class].free = p;
    pools[p->class].n++;
}

static void *take_zeroed(size_t n, size_t size, void *user) {
    size_t all;
    if (__builtin_mul_overflow(n, size, &all)) return NULL;
    void *p = take(all, user);
    return p ? memset(p, 0, all) : NULL;
}

static void *again(void *at, size_t n, void *user) {
    if (!at) return take(n, user);
    struct piece *p = (struct piece *)at - 1;
    if (p->class < CLASSES && n <= p->class * GRAIN) {
        p->size = n;
        return at;
    }
    void *moved = take(n, user);
    if (!moved) return NULL;
    memcpy(moved, at, p->size < n ? p->size : n);
    give(at, user);
    return moved;
}

nghttp2_mem *http2_memory(void) {
    static nghttp2_mem mem = { NULL, take, give, take_zeroed, again };
    return &mem;
}
#endif
