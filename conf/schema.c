// SPDX-License-Identifier: Apache-2.0
// A JSON Schema (draft 2020-12) of the configuration, printed from the tables, for editors that complete and check while one types. It
// accepts all that the loader accepts; the loader is stricter where a schema has no words (ranges of durations, names that must exist).
#include "conf/print.h"
#include "core/json.h"
#include <inttypes.h>

/* ---- defaults as JSON -------------------------------------------------------------------------------------------------------- */

static bool is_json_literal(const struct conf_node *n) {
    int64_t ignored;
    return !n->quoted && (str_eq(n->text, STR("true")) || str_eq(n->text, STR("false")) || conf_parse_int(n->text, &ignored));
}

static void node(FILE *to, const struct conf_node *n, bool texts) {
    if (n->kind == CONF_NULL) fputs("null", to);
    else if (n->kind == CONF_SCALAR && !texts && is_json_literal(n)) fprintf(to, "%.*s", STR_ARG(n->text));
    else if (n->kind == CONF_SCALAR) json_text(to, n->text);
    if (n->kind != CONF_LIST && n->kind != CONF_MAPPING) return;
    fputc(n->kind == CONF_LIST ? '[' : '{', to);
    for (size_t i = 0; i < n->n; i++) {
        if (i) fputs(", ", to);
        if (n->kind == CONF_MAPPING) json_text(to, n->keys[i]->text), fputs(": ", to);
        node(to, n->items[i], texts);
    }
    fputc(n->kind == CONF_LIST ? ']' : '}', to);
}

static void print_default(FILE *to, const struct conf_tables *all, const struct conf_field *f) {
    const struct conf_node *n = conf_parse_builtin(all->c, f->def);
    if (!n) return;
    fputs(", \"default\": ", to);
    node(to, n, f->type == CONF_STRING || f->type == CONF_REF || f->type == CONF_REFS);
}

/* ---- types ------------------------------------------------------------------------------------------------------------------------ */

static void pattern(FILE *to, const char *regex, const char *none) {
    fputs("{ \"type\": \"string\", \"pattern\": \"^(", to);
    if (none) fprintf(to, "%s|", none);
    fprintf(to, "%s)$\" }", regex);
}

/* A reference is a URI: it has no blanks. */
static void print_id(FILE *to, const char *id) {
    for (; *id; id++) fputc(*id == ' ' ? '_' : *id, to);
}

static void reference(FILE *to, const struct conf_tables *all, const struct conf_field *f) {
    fputs("{ \"$ref\": \"#/$defs/", to);
    print_id(to, conf_table_id(all, f->table));
    fputs("\" }", to);
}

static void bounds(FILE *to, const struct conf_field *f, const char *min, const char *max) {
    if (conf_has_min(f)) fprintf(to, ", \"%s\": %" PRId64, min, f->min);
    if (conf_has_max(f) && f->max != INT64_MAX) fprintf(to, ", \"%s\": %" PRId64, max, f->max);
}

static void type_int(FILE *to, const struct conf_tables *all, const struct conf_field *f) {
    (void)all;
    fputs("{ \"type\": \"integer\"", to);
    bounds(to, f, "minimum", "maximum");
    fputs(" }", to);
    if (f->none) fprintf(to, ", { \"const\": \"%s\" }", f->none);
}
static void type_bool(FILE *to, const struct conf_tables *all, const struct conf_field *f) {
    (void)all, (void)f;
    fputs("{ \"type\": \"boolean\" }", to);
}
static void type_duration(FILE *to, const struct conf_tables *all, const struct conf_field *f) {
    (void)all;
    pattern(to, "0|([0-9]+(h|m|s|ms|us)){1,4}", f->none);
    fputs(", { \"const\": 0 }", to);
}
static void type_size(FILE *to, const struct conf_tables *all, const struct conf_field *f) {
    (void)all;
    fputs("{ \"type\": \"integer\", \"minimum\": 0 }, ", to);
    pattern(to, "[0-9]+(KiB|MiB|GiB)?", f->none);
}
static void type_rate(FILE *to, const struct conf_tables *all, const struct conf_field *f) {
    (void)all;
    pattern(to, "[0-9]+/(s|m|h)", f->none);
}
static void type_percent(FILE *to, const struct conf_tables *all, const struct conf_field *f) {
    (void)all;
    pattern(to, "[0-9]+(\\\\.[0-9]{1,2})?%", f->none);
}
static void type_text(FILE *to, const struct conf_tables *all, const struct conf_field *f) {
    (void)all, (void)f;
    fputs("{ \"type\": [\"string\", \"number\", \"boolean\"] }", to);
}
static void type_refs(FILE *to, const struct conf_tables *all, const struct conf_field *f) {
    fputs("{ \"type\": \"array\", \"items\": ", to);
    type_text(to, all, f);
    bounds(to, f, "minItems", "maxItems");
    fputs(" }, ", to);
    type_text(to, all, f);
}
static void type_enum(FILE *to, const struct conf_tables *all, const struct conf_field *f) {
    (void)all;
    fputs("{ \"enum\": [", to);
    for (const struct conf_word *w = f->words; w->word; w++) fprintf(to, "%s\"%s\"", w == f->words ? "" : ", ", w->word);
    fputs("] }", to);
    for (const struct conf_word *w = f->words; w->word; w++) /* 1.2 is a word where the row says so, and a number in JSON */
        if (w->word[strspn(w->word, "0123456789.")] == '\0') fprintf(to, ", { \"const\": %s }", w->word);
}
static void type_structs(FILE *to, const struct conf_tables *all, const struct conf_field *f) {
    fputs("{ \"type\": \"array\", \"items\": ", to);
    reference(to, all, f);
    bounds(to, f, "minItems", "maxItems");
    fputs(" }", to);
}
static void type_map(FILE *to, const struct conf_tables *all, const struct conf_field *f) {
    fputs("{ \"type\": \"object\", \"additionalProperties\": { \"anyOf\": [", to);
    reference(to, all, f);
    fputs(", { \"type\": \"null\" }] }", to);
    bounds(to, f, "minProperties", "maxProperties");
    fputs(" }", to);
}
static void type_custom(FILE *to, const struct conf_tables *all, const struct conf_field *f) {
    if (f->shape || !f->table) fputs(f->shape ? f->shape : "true", to);
    else type_map(to, all, f);
}

static void (*const types[])(FILE *, const struct conf_tables *, const struct conf_field *) = {
    [CONF_BOOL] = type_bool, [CONF_INT] = type_int, [CONF_DURATION] = type_duration, [CONF_SIZE] = type_size, [CONF_RATE] = type_rate,
    [CONF_PERCENT] = type_percent, [CONF_STRING] = type_text, [CONF_REF] = type_text, [CONF_REFS] = type_refs, [CONF_ENUM] = type_enum,
    [CONF_STRUCT] = reference, [CONF_POINTER] = reference, [CONF_STRUCTS] = type_structs, [CONF_MAP] = type_map, [CONF_CUSTOM] = type_custom,
};

/* ---- tables ----------------------------------------------------------------------------------------------------------------------- */

/* Besides its type every key may be empty (its default) and hold ${NAME}, whose value no schema knows. */
static void property(FILE *to, const struct conf_tables *all, const struct conf_field *f) {
    fputs("        ", to);
    json_text(to, str_of(f->name));
    fputs(": { ", to);
    if (f->help) fputs("\"description\": ", to), json_text(to, str_of(f->help)), fputs(", ", to);
    fputs("\"anyOf\": [", to);
    types[f->type](to, all, f);
    fputs(", { \"$ref\": \"#/$defs/-other\" }]", to);
    if (f->def) print_default(to, all, f);
    fputs(" }", to);
}

static void required(FILE *to, const struct conf_table *t) {
    bool any = false;
    struct conf_rows rows = { .table = t };
    for (const struct conf_field *f; (f = conf_next_row(&rows));) {
        if (!f->required) continue;
        fprintf(to, "%s\"%s\"", any ? ", " : ",\n      \"required\": [", f->name);
        any = true;
    }
    if (any) fputs("]", to);
}

static void table(FILE *to, const struct conf_tables *all, size_t i) {
    const struct conf_table *t = all->v[i];
    fputs(",\n    \"", to);
    print_id(to, all->ids[i]);
    fputs("\": {\n      \"type\": \"object\", \"additionalProperties\": false", to);
    if (t->help) fputs(",\n      \"description\": ", to), json_text(to, str_of(t->help));
    required(to, t);
    fputs(",\n      \"properties\": {\n", to);
    struct conf_rows rows = { .table = t };
    bool any = false;
    for (const struct conf_field *f; (f = conf_next_row(&rows)); any = true) {
        if (any) fputs(",\n", to);
        property(to, all, f);
    }
    fputs("\n      }\n    }", to);
}

void conf_print_schema(FILE *to, const struct conf_table *root) {
    struct conf c;
    struct conf_tables all;
    conf_init(&c);
    conf_collect(&all, &c, root);
    fputs("{\n  \"$schema\": \"https://json-schema.org/draft/2020-12/schema\",\n  \"title\": ", to);
    json_text(to, str_of(root->name));
    fputs(",\n  \"$ref\": \"#/$defs/", to);
    print_id(to, all.ids[0]);
    fputs("\",\n  \"$defs\": {\n", to);
    fputs("    \"-other\": { \"anyOf\": [{ \"type\": \"null\" }, { \"type\": \"string\", \"pattern\": \"\\\\$\\\\{\" }] }", to);
    for (size_t i = 0; i < all.n; i++) table(to, &all, i);
    fputs("\n  }\n}\n", to);
    conf_free(&c);
}
