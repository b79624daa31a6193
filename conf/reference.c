// SPDX-License-Identifier: Apache-2.0
// The reference in Markdown, printed from the tables that load the configuration, so that it cannot say anything else than they do.
#include "conf/print.h"

/* Text in a cell: a bar would end it. */
static void cell(FILE *to, const char *text) {
    for (; text && *text; text++) {
        if (*text == '|') fputc('\\', to);
        fputc(*text == '\n' ? ' ' : *text, to);
    }
}

/* The anchor that renderers make of a heading: letters, digits, - and _ stay, a blank becomes -, the rest goes. */
static void link_to(FILE *to, const char *id) {
    fprintf(to, "[%s](#", id);
    for (; *id; id++) {
        char b = *id;
        if (b >= 'A' && b <= 'Z') b = (char)(b | 0x20);
        bool stays = (b >= 'a' && b <= 'z') || (b >= '0' && b <= '9') || b == '-' || b == '_';
        if (stays || b == ' ') fputc(b == ' ' ? '-' : b, to);
    }
    fputc(')', to);
}

static void print_words(FILE *to, const struct conf_word *w) {
    for (const struct conf_word *first = w; w->word; w++) fprintf(to, "%s`%s`", w == first ? "" : ", ", w->word);
}

static const char *type_name(enum conf_type type) {
    static const char *const names[] = {
        [CONF_BOOL] = "`true`, `false`", [CONF_INT] = "number", [CONF_DURATION] = "duration", [CONF_SIZE] = "size", [CONF_RATE] = "rate",
        [CONF_PERCENT] = "percentage", [CONF_STRING] = "text", [CONF_REF] = "name", [CONF_REFS] = "list of names", [CONF_ENUM] = "",
        [CONF_STRUCT] = "", [CONF_POINTER] = "", [CONF_STRUCTS] = "list of ", [CONF_MAP] = "names, each with ", [CONF_CUSTOM] = "value",
    };
    return names[type];
}

static void print_type(FILE *to, const struct conf_tables *all, const struct conf_field *f) {
    fputs(type_name(f->type == CONF_CUSTOM && f->table ? CONF_MAP : f->type), to);
    if (f->type == CONF_ENUM) print_words(to, f->words);
    if (f->table) link_to(to, conf_table_id(all, f->table));
    if (f->none) fprintf(to, ", or `%s`", f->none);
}

static const char *zero_of(const struct conf_field *f) {
    static const char *const zeros[] = {
        [CONF_BOOL] = "`false`", [CONF_INT] = "`0`", [CONF_DURATION] = "`0s`", [CONF_SIZE] = "`0`", [CONF_RATE] = "", [CONF_PERCENT] = "`0%`",
        [CONF_STRING] = "", [CONF_REF] = "", [CONF_REFS] = "", [CONF_ENUM] = "", [CONF_STRUCT] = "", [CONF_POINTER] = "absent",
        [CONF_STRUCTS] = "", [CONF_MAP] = "", [CONF_CUSTOM] = "",
    };
    return zeros[f->type];
}

static void print_default(FILE *to, const struct conf_field *f) {
    if (f->required) fputs("required", to);
    else if (!f->def) fputs(zero_of(f), to);
    else {
        fputc('`', to);
        cell(to, f->def);
        fputc('`', to);
    }
}

static void print_row(FILE *to, const struct conf_tables *all, const struct conf_field *f) {
    const char *range = conf_show_range(all->c, f);
    bool of_count = f->type == CONF_REFS || f->type == CONF_STRUCTS || f->type == CONF_MAP;
    fprintf(to, "| `%s` | ", f->name);
    print_type(to, all, f);
    fputs(" | ", to);
    print_default(to, f);
    fprintf(to, " | %s%s | ", range ? range : "", range && of_count ? " entries" : "");
    cell(to, f->help);
    fputs(" |\n", to);
}

static void print_helped_words(FILE *to, const struct conf_field *f) {
    bool first = true;
    for (const struct conf_word *w = f->words; w && w->word; w++) {
        if (!w->help) continue;
        if (first) fprintf(to, "\n`%s`:\n\n", f->name);
        fprintf(to, "- `%s`: %s\n", w->word, w->help);
        first = false;
    }
}

static void print_table(FILE *to, const struct conf_tables *all, size_t i) {
    const struct conf_table *t = all->v[i];
    fprintf(to, "\n## %s\n\n", all->ids[i]);
    if (t->help) fprintf(to, "%s\n\n", t->help);
    fputs("| key | type | default | range | meaning |\n|---|---|---|---|---|\n", to);
    struct conf_rows rows = { .table = t };
    for (const struct conf_field *f; (f = conf_next_row(&rows));) print_row(to, all, f);
    rows = (struct conf_rows){ .table = t };
    for (const struct conf_field *f; (f = conf_next_row(&rows));) print_helped_words(to, f);
}

void conf_print_reference(FILE *to, const struct conf_table *root) {
    struct conf c;
    struct conf_tables all;
    conf_init(&c);
    conf_collect(&all, &c, root);
    fputs("# Configuration reference\n\n"
          "Printed by `curfew reference`, from the tables that read it; `curfew check -c FILE --effective` prints a configuration with every default.\n"
          "Durations are like `1h30m`, `15s`, `250ms`, sizes like `64KiB`, rates like `100/s`, percentages like `20%`. `${NAME}` and\n"
          "`${NAME:-default}` in a value stand for environment variables; `$$` is a dollar. An unknown or repeated key is an error.\n",
          to);
    for (size_t i = 0; i < all.n; i++) print_table(to, &all, i);
    conf_free(&c);
}
