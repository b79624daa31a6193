// SPDX-License-Identifier: Apache-2.0
// What the custom parsers of the policies share: names of endings and of fields, lists of scalars, text in the arena of a load.
// For policies/*.c alone.
#ifndef CURFEW_POLICIES_CHECK_H
#define CURFEW_POLICIES_CHECK_H
#include "conf/conf.h"
#include "core/ending.h"

/* The i-th of a list's elements; one scalar is a list of one. NULL at the end. */
const struct conf_node *check_item(const struct conf_node *n, size_t i);
/* Reports unless n is a scalar, or (list) a list of them. A node that is `bad` was reported before: false without a word. */
bool check_scalar(struct conf *c, const struct conf_node *n, const char *what);
bool check_list(struct conf *c, const struct conf_node *n, const char *what);
bool check_map(struct conf *c, const struct conf_node *n, const char *what);
/* The hint "did you mean …?", in the load's arena. NULL where word is NULL. */
const char *check_meant(struct conf *c, const char *word);

/* The ending that a scalar names, ENDING_NONE after reporting. */
enum ending check_ending(struct conf *c, const struct conf_node *n);
/* The field name that a scalar holds, in lower case; empty after reporting. */
struct str check_field_name(struct conf *c, const struct conf_node *n);
/* As check_field_name, for a name that an operator sets, adds, removes or matches: refuses those that belong to the connection or to the
 * framing, since codecs write them themselves. */
struct str check_free_name(struct conf *c, const struct conf_node *n);
bool check_field_value(struct conf *c, const struct conf_node *n);
#endif
