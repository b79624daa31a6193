// SPDX-License-Identifier: Apache-2.0
// The context schema: a file with a version that says which context fields there are, shared by all who send, pass and read them. A policy lays it
// under its own fields; `curfew context-schema check OLD NEW` says what a new version would break.
#ifndef CURFEW_POLICIES_CONTEXT_SCHEMA_H
#define CURFEW_POLICIES_CONTEXT_SCHEMA_H
#include "policies/fields.h"

struct context_schema {
    int64_t version;
    struct conf_refs prefixes;
    struct conf_map fields;      /* of struct context_field, resolved */
    const char *path;
    const struct conf_node *root;
    struct context_schema *next; /* in context_schemas */
    bool good;
};
extern const struct conf_table context_schema_table;
/* The file's faults are reported in c, which owns all. path lives as long as c. NULL after reporting. */
const struct context_schema *context_schema_load(struct conf *c, const char *path);

struct context_schemas { struct context_schema *first; }; /* of one load: each file is read once */
/* A policy's node with the prefixes and fields of its `context.schema` laid under its own: maps merge, lists and scalars replace, null drops a field.
 * A relative name starts in the folder of the file where it is written. n itself where there is no schema, or it has faults (reported). */
const struct conf_node *context_schema_under(struct conf *c, struct context_schemas *all, const struct conf_node *n, int64_t *version);

struct schema_change {
    bool breaking;             /* what was good under the old one is dropped, refused or not found under the new one */
    struct str field;          /* or prefix; empty: the schema itself */
    const char *what, *text;   /* the key that it is about; a sentence */
    struct conf_pos at, was;   /* in the new and the old file; file NULL: it is not there */
};
struct schema_changes { struct schema_change *v; size_t n, cap, breaking; };
/* In order of the old file's fields, and then the new one's. Memory in c. */
void context_schema_compare(struct conf *c, const struct context_schema *was, const struct context_schema *now, struct schema_changes *out);
void context_schema_print(FILE *to, const struct context_schema *was, const struct context_schema *now, const struct schema_changes *all, bool json);
#endif
