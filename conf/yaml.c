// SPDX-License-Identifier: Apache-2.0
// From YAML text to nodes with positions; the only file that knows libyaml. It takes the plain part of YAML: one document of maps, lists
// and scalars. Tags, anchors and aliases are refused: the first change what a value is, the others let a short file mean a huge tree.
// Whether a scalar is a number is not decided here: the row that wants it decides.
#include "conf/inside.h"
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <yaml.h>

struct level { /* an open list or map */
    struct conf_node *node;
    size_t nkeys, cap;
};
struct build {
    struct conf *c;
    const char *file;
    struct str text;
    bool expand;
    size_t budget; /* CONF_EXPANDED_MAX, what is left of it */
    size_t nodes;
    struct level stack[CONF_DEPTH_MAX];
    size_t depth;
    struct conf_node *root;
    bool done;     /* the document ended */
    yaml_parser_t parser;
};

static struct conf_pos pos_of(const struct build *b, yaml_mark_t m) {
    return (struct conf_pos){ b->file, (unsigned)m.line + 1, (unsigned)m.column + 1 };
}

/* ---- syntax errors ----------------------------------------------------------------------------------------------------------- */

/* A fault of the encoding has an offset in bytes and no mark. */
static struct conf_pos pos_of_offset(const struct build *b, size_t offset) {
    struct conf_pos pos = { b->file, 1, 1 };
    for (size_t i = 0; i < offset && i < b->text.n; i++) {
        unsigned char byte = (unsigned char)b->text.p[i];
        if (byte == '\n') pos.line++, pos.col = 1;
        else if ((byte & 0xc0) != 0x80) pos.col++;
    }
    return pos;
}

static bool is_tab(const struct build *b, yaml_mark_t m) { return m.index < b->text.n && b->text.p[m.index] == '\t'; }

static void report_syntax(struct build *b) {
    const yaml_parser_t *p = &b->parser;
    const char *problem = p->problem ? p->problem : "not YAML";
    if (p->error == YAML_READER_ERROR) {
        conf_error(b->c, pos_of_offset(b, p->problem_offset), "the file must be UTF-8", "%s", problem);
        return;
    }
    const char *hint = NULL;
    if (p->context) hint = conf_format(b->c, "%s that began on line %zu", p->context, p->context_mark.line + 1);
    if (is_tab(b, p->problem_mark)) hint = "YAML is indented with blanks, not with tabs";
    conf_error(b->c, pos_of(b, p->problem_mark), hint, "%s", problem);
}

/* ---- building -------------------------------------------------------------------------------------------------------------------- */

static void grow(struct conf *c, struct conf_node ***v, size_t n, size_t cap) {
    struct conf_node **more = arena_alloc(&c->arena, cap * sizeof *more);
    if (n) memcpy(more, *v, n * sizeof *more);
    *v = more;
}

/* False: the tree is not to be used. */
static bool attach(struct build *b, struct conf_node *n) {
    if (b->depth == 0) {
        b->root = n;
        return true;
    }
    struct level *l = &b->stack[b->depth - 1];
    struct conf_node *into = l->node;
    bool is_key = into->kind == CONF_MAPPING && l->nkeys == into->n;
    if (is_key && (n->kind == CONF_LIST || n->kind == CONF_MAPPING)) {
        conf_error(b->c, n->pos, "in YAML a value that starts with { [ or ? needs quotes", "a key must be a word, not a %s",
                   n->kind == CONF_LIST ? "list" : "map");
        return false;
    }
    if (into->n == l->cap || (is_key && l->nkeys == l->cap)) {
        l->cap = l->cap ? 2 * l->cap : 8;
        grow(b->c, &into->items, into->n, l->cap);
        if (into->kind == CONF_MAPPING) grow(b->c, &into->keys, l->nkeys, l->cap);
    }
    if (is_key) into->keys[l->nkeys++] = n;
    else into->items[into->n++] = n;
    return true;
}

static bool at_key(const struct build *b) {
    if (b->depth == 0) return false;
    const struct level *l = &b->stack[b->depth - 1];
    return l->node->kind == CONF_MAPPING && l->nkeys == l->node->n;
}

static struct conf_node *new_node(struct build *b, enum conf_kind kind, yaml_mark_t mark) {
    struct conf_node *n = ARENA_NEW(&b->c->arena, struct conf_node);
    n->kind = kind;
    n->pos = pos_of(b, mark);
    n->text = STR("");
    if (++b->nodes <= CONF_NODES_MAX) return n;
    conf_error(b->c, n->pos, NULL, "more than %u values in one file", CONF_NODES_MAX);
    return NULL;
}

static void refuse_extras(struct build *b, struct conf_node *n, const yaml_char_t *anchor, const yaml_char_t *tag) {
    if (anchor)
        conf_error(b->c, n->pos, "write the value out where it is needed", "the anchor &%s: anchors and aliases are not supported",
                   (const char *)anchor);
    if (tag) conf_error(b->c, n->pos, "what a value is, its key decides", "the tag %s: tags are not supported", (const char *)tag);
    n->bad = n->bad || tag; /* an anchor by itself changes nothing */
}

static bool is_null(struct str s) {
    return s.n == 0 || str_eq(s, STR("~")) || str_eq(s, STR("null")) || str_eq(s, STR("Null")) || str_eq(s, STR("NULL"));
}

/* What the map holds cannot be known: it is passed over as a whole. */
static void refuse_merge(struct build *b, struct conf_node *key) {
    conf_error(b->c, key->pos, "write the keys out where they are needed; policies have extends", "the merge key << is not supported");
    key->bad = b->stack[b->depth - 1].node->bad = true;
}

static void check_scalar(struct build *b, struct conf_node *n, bool is_key) {
    if (n->text.n && memchr(n->text.p, 0, n->text.n)) {
        conf_error(b->c, n->pos, NULL, "a NUL byte in a value");
        n->bad = true;
        n->text = STR("");
    }
    if (is_key && !n->quoted && str_eq(n->text, STR("<<"))) refuse_merge(b, n);
    if (is_key || n->bad) return;
    if (!n->quoted && is_null(n->text)) n->kind = CONF_NULL;
    else if (b->expand && !conf_expand(b->c, n, &b->budget)) n->bad = true;
}

static bool on_scalar(struct build *b, const yaml_event_t *e) {
    struct conf_node *n = new_node(b, CONF_SCALAR, e->start_mark);
    if (!n) return false;
    char *text = arena_bytes(&b->c->arena, e->data.scalar.length + 1); /* libyaml's has the NUL, too */
    memcpy(text, e->data.scalar.value, e->data.scalar.length + 1);
    n->text = (struct str){ text, e->data.scalar.length };
    n->quoted = e->data.scalar.style != YAML_PLAIN_SCALAR_STYLE;
    refuse_extras(b, n, e->data.scalar.anchor, e->data.scalar.tag);
    check_scalar(b, n, at_key(b));
    return attach(b, n);
}

static bool on_alias(struct build *b, const yaml_event_t *e) {
    struct conf_node *n = new_node(b, CONF_NULL, e->start_mark);
    if (!n) return false;
    conf_error(b->c, n->pos, "write the value out where it is needed", "the alias *%s: anchors and aliases are not supported",
               (const char *)e->data.alias.anchor);
    n->bad = true;
    return attach(b, n);
}

static bool on_open(struct build *b, const yaml_event_t *e, enum conf_kind kind, const yaml_char_t *anchor, const yaml_char_t *tag) {
    struct conf_node *n = new_node(b, kind, e->start_mark);
    if (!n) return false;
    refuse_extras(b, n, anchor, tag);
    if (b->depth == CONF_DEPTH_MAX) {
        conf_error(b->c, n->pos, NULL, "nested deeper than %u levels", CONF_DEPTH_MAX);
        return false;
    }
    if (!attach(b, n)) return false;
    b->stack[b->depth++] = (struct level){ .node = n };
    return true;
}

struct seen { const struct conf_node *key; };
static int compare_keys(const void *a, const void *b) {
    const struct conf_node *x = ((const struct seen *)a)->key, *y = ((const struct seen *)b)->key;
    size_t n = x->text.n < y->text.n ? x->text.n : y->text.n;
    int text = n ? memcmp(x->text.p, y->text.p, n) : 0;
    if (text) return text;
    if (x->text.n != y->text.n) return x->text.n < y->text.n ? -1 : 1;
    return x->pos.line != y->pos.line ? (x->pos.line < y->pos.line ? -1 : 1) : (x->pos.col > y->pos.col) - (x->pos.col < y->pos.col);
}

/* Sorted, since a map of a hundred thousand keys must not take a minute. */
static void report_repeated(struct build *b, const struct conf_node *map) {
    if (map->n < 2) return;
    struct seen *v = mem_alloc(map->n * sizeof *v);
    for (size_t i = 0; i < map->n; i++) v[i].key = map->keys[i];
    qsort(v, map->n, sizeof *v, compare_keys);
    for (size_t i = 1, first = 0; i < map->n; i++) {
        if (!str_eq(v[i].key->text, v[first].key->text)) first = i;
        else if (!v[i].key->bad)
            conf_error(b->c, v[i].key->pos, conf_format(b->c, "it stands first on line %u", v[first].key->pos.line), "repeated key \"%.*s\"",
                       STR_ARG(v[i].key->text));
    }
    free(v);
}

static bool on_close(struct build *b) {
    assert(b->depth > 0);
    const struct conf_node *n = b->stack[--b->depth].node;
    if (n->kind == CONF_MAPPING) report_repeated(b, n);
    return true;
}

static bool on_document(struct build *b, const yaml_event_t *e) {
    if (!b->done) return true;
    conf_error(b->c, pos_of(b, e->start_mark), "one file is one document: leave out the ---", "a second document");
    return false;
}

/* False: stop here. */
static bool on_event(struct build *b, const yaml_event_t *e) {
    switch (e->type) {
    case YAML_DOCUMENT_START_EVENT: return on_document(b, e);
    case YAML_DOCUMENT_END_EVENT: b->done = true; return true;
    case YAML_SCALAR_EVENT: return on_scalar(b, e);
    case YAML_ALIAS_EVENT: return on_alias(b, e);
    case YAML_SEQUENCE_START_EVENT: return on_open(b, e, CONF_LIST, e->data.sequence_start.anchor, e->data.sequence_start.tag);
    case YAML_MAPPING_START_EVENT: return on_open(b, e, CONF_MAPPING, e->data.mapping_start.anchor, e->data.mapping_start.tag);
    case YAML_SEQUENCE_END_EVENT:
    case YAML_MAPPING_END_EVENT: return on_close(b);
    case YAML_NO_EVENT:
    case YAML_STREAM_START_EVENT:
    case YAML_STREAM_END_EVENT: return true;
    }
    return true;
}

/* True once the whole document was read; a second one behind it was reported and changes nothing. */
static bool run(struct build *b) {
    for (;;) {
        yaml_event_t e;
        if (!yaml_parser_parse(&b->parser, &e)) {
            report_syntax(b);
            return false;
        }
        bool end = e.type == YAML_STREAM_END_EVENT, go_on = on_event(b, &e);
        yaml_event_delete(&e);
        if (end || !go_on) return end || b->done;
    }
}

static struct conf_node *parse(struct conf *c, const char *file, struct str text, bool expand) {
    struct build *b = mem_zalloc(sizeof *b);
    *b = (struct build){ .c = c, .file = file, .text = text, .expand = expand, .budget = CONF_EXPANDED_MAX };
    if (!yaml_parser_initialize(&b->parser)) abort(); /* style 15: no memory */
    yaml_parser_set_input_string(&b->parser, (const unsigned char *)(text.n ? text.p : ""), text.n);
    bool whole = run(b);
    struct conf_node *root = whole && b->root && b->root->kind != CONF_NULL ? b->root : NULL;
    if (whole && !root) { /* nothing but comments: all defaults */
        root = ARENA_NEW(&c->arena, struct conf_node);
        *root = (struct conf_node){ .kind = CONF_MAPPING, .pos = { file, 1, 1 } };
    }
    yaml_parser_delete(&b->parser);
    free(b);
    return root;
}

struct conf_node *conf_parse_builtin(struct conf *c, const char *text) {
    return parse(c, "built-in", str_of(text), false);
}

struct conf_node *conf_parse(struct conf *c, const char *file, const char *text, size_t n) {
    const char *name = conf_format(c, "%s", file);
    if (n <= CONF_FILE_MAX) return parse(c, name, (struct str){ text, n }, true);
    conf_error(c, (struct conf_pos){ .file = name }, NULL, "larger than %u bytes", CONF_FILE_MAX);
    return NULL;
}

/* ---- files --------------------------------------------------------------------------------------------------------------------- */

struct conf_node *conf_parse_file(struct conf *c, const char *path) {
    struct conf_pos at = { .file = conf_format(c, "%s", path) };
    FILE *f = fopen(path, "rb");
    if (!f) {
        conf_error(c, at, NULL, "cannot open: %s", strerror(errno));
        return NULL;
    }
    char *text = mem_alloc(CONF_FILE_MAX + 1u); /* one more than may be, to see that it is too long; a pipe has no size to ask for */
    size_t n = fread(text, 1, CONF_FILE_MAX + 1u, f);
    struct conf_node *root = NULL;
    if (ferror(f)) conf_error(c, at, NULL, "cannot read: %s", strerror(errno));
    else root = conf_parse(c, path, text, n);
    fclose(f);
    free(text);
    return root;
}
