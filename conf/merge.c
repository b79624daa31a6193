// SPDX-License-Identifier: Apache-2.0
// Maps of nodes: looking up, and laying one over another for `extends`. Nodes are never changed once parsed, so a merged map shares
// whatever it takes whole; every value keeps the position where it was written, in whichever of the two.
#include "conf/inside.h"

static size_t find(const struct conf_node *map, struct str key) {
    for (size_t i = 0; i < map->n; i++)
        if (str_eq(map->keys[i]->text, key)) return i;
    return map->n;
}

struct conf_node *conf_get(const struct conf_node *map, struct str key) {
    if (!map || map->kind != CONF_MAPPING) return NULL;
    size_t i = find(map, key);
    return i < map->n ? map->items[i] : NULL;
}

struct conf_pos conf_pos_of(const struct conf_node *n, const char *key) {
    if (!n) return (struct conf_pos){ 0 };
    size_t i = n->kind == CONF_MAPPING ? find(n, str_of(key)) : n->n;
    return n->kind == CONF_MAPPING && i < n->n ? n->keys[i]->pos : n->pos;
}

static void add(struct conf_node *map, struct conf_node *key, struct conf_node *value) {
    map->keys[map->n] = key;
    map->items[map->n++] = value;
}

static bool is_null(const struct conf_node *n) { return n->kind == CONF_NULL && !n->bad; }

static struct conf_node *merge_maps(struct conf *c, const struct conf_node *base, const struct conf_node *over) {
    struct conf_node *map = ARENA_NEW(&c->arena, struct conf_node);
    *map = (struct conf_node){ .kind = CONF_MAPPING, .pos = over->pos, .bad = over->bad };
    map->keys = arena_alloc(&c->arena, (base->n + over->n) * sizeof *map->keys);
    map->items = arena_alloc(&c->arena, (base->n + over->n) * sizeof *map->items);
    for (size_t i = 0; i < base->n; i++) {
        size_t o = find(over, base->keys[i]->text);
        if (o == over->n) add(map, base->keys[i], base->items[i]);
        else if (!is_null(over->items[o])) add(map, over->keys[o], conf_merge(c, base->items[i], over->items[o]));
    }
    for (size_t o = 0; o < over->n; o++)
        if (find(base, over->keys[o]->text) == base->n) add(map, over->keys[o], over->items[o]);
    return map;
}

/* Recursion ends with the nodes: CONF_DEPTH_MAX. */
struct conf_node *conf_merge(struct conf *c, const struct conf_node *base, const struct conf_node *over) {
    if (!over) return (struct conf_node *)base;
    if (!base || base->kind != CONF_MAPPING || over->kind != CONF_MAPPING) return (struct conf_node *)over;
    return merge_maps(c, base, over);
}
