// SPDX-License-Identifier: Apache-2.0
// A binary heap: O(log n) to come and to leave, wherever one stands. Owns its array and none of the places.
#include "proxy/places.h"
#include <assert.h>
#include <stdlib.h>

static bool place_before(const struct place *a, const struct place *b) {
    return a->deadline.ns != b->deadline.ns ? a->deadline.ns < b->deadline.ns : a->order < b->order;
}
static void put(struct places *h, size_t i, struct place *p) {
    h->v[i] = p;
    p->slot = i + 1;
}
static void up(struct places *h, size_t i, struct place *p) {
    while (i > 0 && place_before(p, h->v[(i - 1) / 2])) {
        put(h, i, h->v[(i - 1) / 2]);
        i = (i - 1) / 2;
    }
    put(h, i, p);
}
static void down(struct places *h, size_t i, struct place *p) {
    for (;;) {
        size_t k = 2 * i + 1;
        if (k >= h->n) break;
        if (k + 1 < h->n && place_before(h->v[k + 1], h->v[k])) k++;
        if (!place_before(h->v[k], p)) break;
        put(h, i, h->v[k]);
        i = k;
    }
    put(h, i, p);
}
void places_add(struct places *h, struct place *p) {
    p->order = h->order++;
    if (h->n == h->cap) {
        h->cap = h->cap ? 2 * h->cap : 64;
        h->v = mem_realloc(h->v, h->cap * sizeof *h->v);
    }
    h->n++;
    up(h, h->n - 1, p);
}
void places_remove(struct places *h, struct place *p) {
    size_t i = p->slot - 1;
    assert(h->v[i] == p);
    p->slot = 0;
    struct place *last = h->v[--h->n];
    if (last == p) return;
    if (i > 0 && place_before(last, h->v[(i - 1) / 2])) up(h, i, last);
    else down(h, i, last);
}
void places_free(struct places *h) {
    assert(h->n == 0);
    free(h->v);
    *h = (struct places){ 0 };
}
