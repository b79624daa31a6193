// SPDX-License-Identifier: Apache-2.0
// What the files of conf/ share among themselves and nobody else includes: the limits, text for messages, the walk over a table's rows.
#ifndef CURFEW_CONF_INSIDE_H
#define CURFEW_CONF_INSIDE_H
#include "conf/conf.h"

/* Limits. Who writes the configuration is trusted; these catch the wrong file (a log, a device) and the file that a template blew up. */
#define CONF_FILE_MAX (4u << 20)     /* bytes of a file: a few ten thousand routes; /dev/zero ends here and not at the end of memory */
#define CONF_DEPTH_MAX 32u           /* levels of lists and maps: the deepest key has seven; readers of nodes may recurse */
#define CONF_NODES_MAX 500000u       /* values and keys (a route written out has eleven): a node is some 100 bytes, and "[,,,," makes one a byte */
#define CONF_EXPANDED_MAX (4u << 20) /* bytes of all values that had a ${NAME}: a short file can name a long variable often */
#define CONF_DIAGS_MAX 500u          /* diagnostics kept: more help nobody; the others are counted */
#define CONF_SHOWN_MAX 60u           /* bytes of a value that a message repeats */
#define CONF_KEYS_SHOWN_MAX 110u     /* bytes of a list of known keys in a hint; a longer one is for the reference */

/* Formatted text in c->arena, ended by NUL. */
const char *conf_format(struct conf *c, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* A value as a message repeats it: cut where long, in quotes where it is empty or has blanks. */
const char *conf_show(struct conf *c, struct str text);
/* True once so many diagnostics were kept that more need no text: for loops that would build hints for each. */
bool conf_is_full(const struct conf *c);

/* Expands ${NAME}, ${NAME:-default} and $$ in a scalar, in place. *budget: bytes that expansion may still make. False after reporting. */
bool conf_expand(struct conf *c, struct conf_node *n, size_t *budget);
/* A default of a table: YAML without ${NAME}. A fault in it is a bug of the table. */
struct conf_node *conf_parse_builtin(struct conf *c, const char *text);

/* The rows of a table, the fixed ones and then those of `more`. NULL at the end. */
struct conf_rows { const struct conf_table *table; size_t i; bool in_more; };
const struct conf_field *conf_next_row(struct conf_rows *rows);

bool conf_parse_int(struct str text, int64_t *out); /* decimal, an optional minus, no leading zeros; false too where it does not fit */
bool conf_parse_rate(struct str text, struct conf_rate *out);
bool conf_parse_percent(struct str text, uint32_t *out);
/* What somebody who wrote `text` may have meant, as that type is written; NULL: no idea. */
const char *conf_meant(struct conf *c, enum conf_type type, struct str text);
/* "a duration such as 15s" */
const char *conf_type_expected(enum conf_type type);
/* A bound of a row in the unit of its values: 60000000000 of a DURATION is 1m. */
const char *conf_show_bound(struct conf *c, enum conf_type type, int64_t bound);
/* "1ms to 1h", "at least 1", "at most 64"; NULL where the row has no bounds. */
const char *conf_show_range(struct conf *c, const struct conf_field *f);
/* min and max both 0: no bound; max 0 under a min above 0: no upper bound. */
static inline bool conf_has_min(const struct conf_field *f) { return f->min != 0 || f->max != 0; }
static inline bool conf_has_max(const struct conf_field *f) { return f->max != 0 || f->min < 0; }
#endif
