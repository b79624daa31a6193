// SPDX-License-Identifier: Apache-2.0
// Configuration: YAML with a position on every value, tables of fields owned by the modules, and diagnostics as data. The loader is generic:
// it fills a struct from a map by its table, applies defaults, and reports every fault in one run. It knows no key of its own.
#ifndef CURFEW_CONF_CONF_H
#define CURFEW_CONF_CONF_H
#include "core/arena.h"
#include "core/instant.h"
#include <stdio.h>

/* ---- nodes ------------------------------------------------------------------------------------------------------------ */
struct conf_pos { const char *file; unsigned line, col; }; /* 1-based */
enum conf_kind { CONF_NULL, CONF_SCALAR, CONF_LIST, CONF_MAPPING };
struct conf_node {
    enum conf_kind kind;
    struct conf_pos pos;
    bool quoted;                  /* scalars: "1" is text, 1 a number; an unquoted null, ~ or empty is CONF_NULL. False where ${ENV} was expanded */
    bool bad;                     /* a fault was reported here already: the loader passes it over, so that one fault is one message */
    struct str text;              /* scalars: after ${ENV}. A NUL follows it (and holds none), so that text.p is a word for conf_nearest or a path */
    struct conf_node **items;     /* lists: the elements; maps: the values */
    struct conf_node **keys;      /* maps: scalars, in order of the file */
    size_t n;
};
struct conf_node *conf_get(const struct conf_node *map, struct str key); /* NULL: absent, or not a map */

/* ---- diagnostics ---------------------------------------------------------------------------------------------------------- */
enum conf_severity { CONF_ERROR, CONF_WARNING };
struct conf_diag {
    enum conf_severity severity;
    struct conf_pos pos;
    struct str message, hint; /* hint may be empty */
};
struct conf { /* one load */
    struct arena arena;    /* everything loaded lives here: nodes, strings, structs; the caller moves it out or clears it */
    struct conf_diag *diags;
    size_t ndiags, cap_diags;
    size_t errors;
    const char *(*getenv)(const char *name); /* the environment; tests bring their own */
};
void conf_init(struct conf *c);
void conf_free(struct conf *c);
/* Parses one YAML document; c->arena keeps it. NULL after a syntax error (reported). Repeated keys, aliases cycles, tags, over-deep nesting
 * and several documents are errors. Expands ${NAME}, ${NAME:-default}, $$ in values (not in keys). */
struct conf_node *conf_parse(struct conf *c, const char *file, const char *text, size_t n);
struct conf_node *conf_parse_file(struct conf *c, const char *path);
void conf_error(struct conf *c, struct conf_pos at, const char *hint, const char *fmt, ...) __attribute__((format(printf, 4, 5)));
void conf_warn(struct conf *c, struct conf_pos at, const char *hint, const char *fmt, ...) __attribute__((format(printf, 4, 5)));
/* Prints all in order of position: "file:line:col: error: message\n  hint: …\n". */
void conf_report(const struct conf *c, FILE *to);

/* ---- tables ------------------------------------------------------------------------------------------------------------------ */
enum conf_type {
    CONF_BOOL,     /* bool: true, false */
    CONF_INT,      /* int64_t */
    CONF_DURATION, /* span: GEP-2257 (1h30m, 15s, 250ms, us too); at least one unit */
    CONF_SIZE,     /* uint64_t: bytes, or KiB MiB GiB */
    CONF_RATE,     /* struct conf_rate: 100/s, 30/m, 5/h */
    CONF_PERCENT,  /* uint32_t, in hundredths of a percent: 20% is 2000 */
    CONF_STRING,   /* struct str */
    CONF_REF,      /* struct conf_ref: a string with its place, for names that are looked up later */
    CONF_REFS,     /* struct conf_refs: a list of them; one scalar is a list of one */
    CONF_ENUM,     /* uint8_t, by `words` */
    CONF_STRUCT,   /* the struct itself, in place, by `table`; absent: all defaults */
    CONF_POINTER,  /* struct T *: as STRUCT but NULL where absent */
    CONF_STRUCTS,  /* struct conf_array of T: a list of maps */
    CONF_MAP,      /* struct conf_map of T: name to map, in order of the file */
    CONF_CUSTOM    /* by `parse`; where absent: parse is called with `def` parsed as YAML, or not at all where def is NULL (memory is zeroed) */
};
struct conf_rate { uint64_t count; span per; };
struct conf_ref { struct str name; const struct conf_node *at; /* NULL: absent */ };
struct conf_refs { struct conf_ref *v; size_t n; bool given; };
struct conf_array { void *v; size_t n; size_t size; };           /* n structs of `size` bytes */
struct conf_map { void *v; size_t n; size_t size; struct conf_ref *names; };
struct conf_word { const char *word; uint8_t value; const char *help; }; /* ended by word NULL */

struct conf_writer { FILE *to; unsigned depth; bool masked; }; /* depth: of the row that is printed, two blanks each; masked: no secrets */
struct conf_field { /* a row; arrays of rows end with name NULL */
    const char *name;
    enum conf_type type;
    size_t offset;
    const char *def;               /* the default as it would stand in YAML; NULL: zero, absent, or required */
    int64_t min, max;              /* INT, DURATION (ns), SIZE, PERCENT: both 0: no bound. REFS, STRUCTS, MAP: of the count */
    bool required;
    const char *none;              /* DURATION, SIZE, INT: this word stands for FOREVER, or for the type's largest value ("none") */
    const struct conf_word *words; /* ENUM */
    const struct conf_table *table; /* STRUCT, POINTER, STRUCTS, MAP. CUSTOM: for the reference and the schema alone, which print a MAP of it */
    bool (*parse)(struct conf *c, const struct conf_node *n, const struct conf_field *f, void *at); /* CUSTOM: false after reporting */
    bool secret;                   /* STRING: it may be one; CUSTOM says so by conf_write_secret */
    const char *shape;             /* CUSTOM: JSON Schema of what it takes, as text */
    const char *help;              /* one line, for the reference */
    /* CUSTOM: the inverse of parse. Writes what stands behind "name:": a blank, the value in flow form and a newline, or a newline and
     * deeper lines (conf_write_map); nothing where there is nothing to say. NULL: the row is never printed. */
    void (*print)(struct conf_writer *w, const struct conf_field *f, const void *at);
};
struct conf_table {
    const char *name;              /* of the thing: "listener" */
    size_t size;                   /* of the struct */
    const struct conf_field *fields;
    const struct conf_field *(*more)(size_t i); /* further rows made at run time (one a codec, say); NULL at the end. NULL: none */
    /* After all fields were filled (or failed): checks between fields. May be NULL. */
    void (*check)(struct conf *c, const struct conf_node *n, void *at);
    const char *help;
};
/* Fills *at (table->size bytes, zeroed here) from a map; n NULL: all defaults. True where no error was reported. */
bool conf_load(struct conf *c, const struct conf_node *n, const struct conf_table *table, void *at);
/* Parses one scalar as that row would. For custom parsers. */
bool conf_load_field(struct conf *c, const struct conf_node *n, const struct conf_field *f, void *at);
#define CONF_AT(map_or_array, type, i) ((type *)(void *)((char *)(map_or_array).v + (i) * sizeof(type)))
/* The position of key `name` in map n, else of n: for errors of a check. */
struct conf_pos conf_pos_of(const struct conf_node *n, const char *key);
/* base under over: maps merge, lists and scalars replace, null drops what base has (the key is absent in the result, so that the built-in
 * counts). A null whose key base has not stays: in a MAP it is a new thing with all its defaults. New nodes in c. */
struct conf_node *conf_merge(struct conf *c, const struct conf_node *base, const struct conf_node *over);
/* "did you mean": the nearest of the given words, or NULL. */
const char *conf_nearest(struct str word, const char *(*next)(void *state, size_t i), void *state);

/* ---- printed from the tables ----------------------------------------------------------------------------------------------------- */
void conf_print_reference(FILE *to, const struct conf_table *root); /* Markdown: every key, type, default, range, help */
void conf_print_schema(FILE *to, const struct conf_table *root);    /* JSON Schema, draft 2020-12 */
/* The inverse of conf_load: every row with the value that it has, as YAML that loads to the same and prints the same again. What holds nothing is
 * left out: a name or text that is absent, a NULL pointer, a number that is 0 in a row without a default, an empty map. */
void conf_print_effective(FILE *to, const struct conf_table *table, const void *at);
/* ... with "***" in place of each text that may be a secret, for others to read: it loads as well, and is not the same. */
void conf_print_masked(FILE *to, const struct conf_table *table, const void *at);
/* For `print`: a text in flow form, quoted where it could be read as something else, with $$ for $; a key of a flow map (no $$, and its colon); a
 * node; and the things of a map as deeper lines. */
void conf_write_text(FILE *to, struct str text);
void conf_write_secret(const struct conf_writer *w, struct str text);
void conf_write_key(FILE *to, struct str key);
void conf_write_map(struct conf_writer *w, const struct conf_table *table, const struct conf_map *m);
/* Values as YAML would have them: for printing effective configuration and for tests. Returns the length, snprintf's way. */
int conf_print_duration(char *buf, size_t n, span s);
int conf_print_size(char *buf, size_t n, uint64_t v);
bool conf_parse_duration(struct str text, span *out);  /* no sign; saturates */
bool conf_parse_size(struct str text, uint64_t *out);
#endif
