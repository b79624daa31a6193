// SPDX-License-Identifier: Apache-2.0
// The tables reachable from a root, each once and under a name of its own: what the reference and the schema both walk.
#ifndef CURFEW_CONF_PRINT_H
#define CURFEW_CONF_PRINT_H
#include "conf/inside.h"

struct conf_tables {
    struct conf *c;                 /* for memory */
    const struct conf_table **v;    /* the root first, then in the order in which the rows name them */
    const char **ids;               /* the table's name, or "parent.name" where two tables bear it */
    size_t n, cap;
};
void conf_collect(struct conf_tables *all, struct conf *c, const struct conf_table *root);
const char *conf_table_id(const struct conf_tables *all, const struct conf_table *table);
#endif
