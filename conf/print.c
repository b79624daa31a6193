// SPDX-License-Identifier: Apache-2.0
// The walk over all tables under a root. A table that several rows use (TLS, say) is met once; one that contains itself ends the walk.
#include "conf/print.h"
#include <assert.h>

static bool has(const struct conf_tables *all, const struct conf_table *table) {
    for (size_t i = 0; i < all->n; i++)
        if (all->v[i] == table) return true;
    return false;
}

static bool is_taken(const struct conf_tables *all, const char *id) {
    for (size_t i = 0; i < all->n; i++)
        if (strcmp(all->ids[i], id) == 0) return true;
    return false;
}

static const char *free_id(struct conf_tables *all, const char *parent, const char *name) {
    const char *id = name;
    if (is_taken(all, id) && parent) id = conf_format(all->c, "%s.%s", parent, name);
    for (unsigned i = 2; is_taken(all, id); i++) id = conf_format(all->c, "%s-%u", name, i);
    return id;
}

static void add(struct conf_tables *all, const char *parent, const struct conf_table *table) {
    if (all->n == all->cap) {
        size_t cap = all->cap ? 2 * all->cap : 16;
        const struct conf_table **v = arena_alloc(&all->c->arena, cap * sizeof *v);
        const char **ids = arena_alloc(&all->c->arena, cap * sizeof *ids);
        if (all->n) memcpy(v, all->v, all->n * sizeof *v), memcpy(ids, all->ids, all->n * sizeof *ids);
        all->v = v, all->ids = ids, all->cap = cap;
    }
    const char *id = free_id(all, parent, table->name);
    all->v[all->n] = table;
    all->ids[all->n++] = id;
}

void conf_collect(struct conf_tables *all, struct conf *c, const struct conf_table *root) {
    *all = (struct conf_tables){ .c = c };
    add(all, NULL, root);
    for (size_t i = 0; i < all->n; i++) {
        struct conf_rows rows = { .table = all->v[i] };
        for (const struct conf_field *f; (f = conf_next_row(&rows));)
            if (f->table && !has(all, f->table)) add(all, all->ids[i], f->table);
    }
}

const char *conf_table_id(const struct conf_tables *all, const struct conf_table *table) {
    for (size_t i = 0; i < all->n; i++)
        if (all->v[i] == table) return all->ids[i];
    assert(false && "a table that was not collected");
    return "";
}
