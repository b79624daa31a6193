// SPDX-License-Identifier: Apache-2.0
// Loaded structs back to YAML by their tables: the inverse of load.c, one writer a type. What is printed must load again, to the same: so every text
// that YAML, ${NAME} or another reader of YAML could take for something else is quoted and escaped.
#include "conf/inside.h"
#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>

typedef void (*writer)(struct conf_writer *w, const struct conf_field *f, const void *at);

/* ---- texts --------------------------------------------------------------------------------------------------------------------- */

static bool is_alnum(char b) { return (b >= 'a' && b <= 'z') || (b >= 'A' && b <= 'Z') || (b >= '0' && b <= '9'); }

/* YAML 1.1 reads some words as truth values and some digits as numbers, dates or sexagesimals: other tools may read what we print. */
static bool is_special(struct str s) {
    static const char *const words[] = { "true", "false", "yes", "no", "on", "off", "y", "n", "null" };
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (str_eq_nocase(s, str_of(words[i]))) return true;
    if (s.p[0] < '0' || s.p[0] > '9') return false;
    for (size_t i = 0; i < s.n; i++)
        if (!strchr("0123456789abcdefABCDEF.-:+_xXoO", s.p[i])) return false;
    return true;
}

static bool is_plain(struct str s) {
    if (!s.n || (!is_alnum(s.p[0]) && s.p[0] != '/' && s.p[0] != '_') || s.p[s.n - 1] == ':') return false;
    for (size_t i = 0; i < s.n; i++)
        if (!is_alnum(s.p[i]) && (!s.p[i] || !strchr("_./-:+*@=", s.p[i]))) return false;
    return !is_special(s);
}

/* The first character of UTF-8 and its length; U+FFFD and 1 where it is none. */
static size_t decode(struct str s, uint32_t *rune) {
    unsigned char b = (unsigned char)s.p[0];
    size_t n = b < 0x80 ? 1 : b >= 0xf0 && b < 0xf5 ? 4 : b >= 0xe0 && b < 0xf0 ? 3 : b >= 0xc2 && b < 0xe0 ? 2 : 0;
    static const uint32_t least[] = { 0, 0, 0x80, 0x800, 0x10000 };
    *rune = n == 1 ? b : n ? b & (0x7fu >> n) : 0xfffd;
    if (!n || n > s.n) {
        *rune = 0xfffd;
        return 1;
    }
    for (size_t i = 1; i < n; i++) {
        unsigned char next = (unsigned char)s.p[i];
        if ((next & 0xc0) != 0x80) {
            *rune = 0xfffd;
            return 1;
        }
        *rune = *rune << 6 | (next & 0x3f);
    }
    bool good = *rune >= least[n] && *rune <= 0x10ffff && !(*rune >= 0xd800 && *rune <= 0xdfff);
    if (!good) *rune = 0xfffd;
    return good ? n : 1;
}

/* YAML 1.2 5.1, less what breaks lines (U+0085, U+2028, U+2029) and the byte order mark. */
static bool is_printable(uint32_t rune) {
    if (rune < 0x7f) return rune >= ' ';
    return rune >= 0xa0 && rune != 0x2028 && rune != 0x2029 && rune != 0xfeff && rune != 0xfffe && rune != 0xffff;
}

static void write_escaped(FILE *to, uint32_t rune) {
    if (rune == '\n') fputs("\\n", to);
    else if (rune == '\t') fputs("\\t", to);
    else if (rune == '"' || rune == '\\') fprintf(to, "\\%c", (int)rune);
    else fprintf(to, rune < 0x100 ? "\\x%02" PRIx32 : rune < 0x10000 ? "\\u%04" PRIx32 : "\\U%08" PRIx32, rune);
}

static void write_quoted(FILE *to, struct str s, bool value) {
    fputc('"', to);
    while (s.n) {
        uint32_t rune;
        size_t n = decode(s, &rune);
        if (!is_printable(rune) || rune == '"' || rune == '\\' || rune == 0xfffd) write_escaped(to, rune);
        else fwrite(s.p, 1, n, to);
        if (rune == '$' && value) fputc('$', to);
        s = str_from(s, n);
    }
    fputc('"', to);
}

void conf_write_text(FILE *to, struct str text) {
    if (is_plain(text)) fprintf(to, "%.*s", STR_ARG(text));
    else write_quoted(to, text, true);
}

void conf_write_secret(const struct conf_writer *w, struct str text) { conf_write_text(w->to, w->masked ? STR("***") : text); }

/* YAML 1.2 7.4.2: what stands before a colon without a ? has at most 1024 characters. An escape has up to ten for one byte. */
#define SIMPLE_KEY_MAX 100u

static void write_key(FILE *to, struct str key, const char *long_colon) {
    bool is_long = key.n > SIMPLE_KEY_MAX;
    if (is_long) fputs("? ", to);
    if (is_plain(key)) fprintf(to, "%.*s", STR_ARG(key));
    else write_quoted(to, key, false);
    fputs(is_long ? long_colon : ":", to);
}

void conf_write_key(FILE *to, struct str key) { write_key(to, key, " :"); }

/* ---- scalars -------------------------------------------------------------------------------------------------------------------- */

/* A row without a default that was left out: 0 may be a value that the row would refuse. */
static bool is_unsaid(const struct conf_field *f, bool zero) { return zero && !f->def && !f->required; }

static void write_none(struct conf_writer *w, const struct conf_field *f) { fprintf(w->to, " %s\n", f->none); }

static void write_bool(struct conf_writer *w, const struct conf_field *f, const void *at) {
    (void)f;
    fprintf(w->to, " %s\n", *(const bool *)at ? "true" : "false");
}

static void write_int(struct conf_writer *w, const struct conf_field *f, const void *at) {
    int64_t v = *(const int64_t *)at;
    if (v == INT64_MAX && f->none) write_none(w, f);
    else if (!is_unsaid(f, v == 0)) fprintf(w->to, " %" PRId64 "\n", v);
}

static void write_duration(struct conf_writer *w, const struct conf_field *f, const void *at) {
    span v = *(const span *)at;
    char text[96];
    conf_print_duration(text, sizeof text, v);
    if (span_is_forever(v) && f->none) write_none(w, f);
    else if (!is_unsaid(f, v.ns == 0)) fprintf(w->to, " %s\n", text);
}

static void write_size(struct conf_writer *w, const struct conf_field *f, const void *at) {
    uint64_t v = *(const uint64_t *)at;
    char text[32];
    conf_print_size(text, sizeof text, v);
    if (v == UINT64_MAX && f->none) write_none(w, f);
    else if (!is_unsaid(f, v == 0)) fprintf(w->to, " %s\n", text);
}

static void write_rate(struct conf_writer *w, const struct conf_field *f, const void *at) {
    const struct conf_rate *r = at;
    if (is_unsaid(f, r->count == 0 && r->per.ns == 0)) return;
    char unit = r->per.ns == NS_PER_S ? 's' : r->per.ns == 60 * NS_PER_S ? 'm' : 'h';
    fprintf(w->to, " %" PRIu64 "/%c\n", r->count, unit);
}

static void write_percent(struct conf_writer *w, const struct conf_field *f, const void *at) {
    uint32_t v = *(const uint32_t *)at;
    if (is_unsaid(f, v == 0)) return;
    if (v % 100) fprintf(w->to, " %" PRIu32 ".%02" PRIu32 "%%\n", v / 100, v % 100);
    else fprintf(w->to, " %" PRIu32 "%%\n", v / 100);
}

static void write_line(struct conf_writer *w, struct str text) {
    fputc(' ', w->to);
    conf_write_text(w->to, text);
    fputc('\n', w->to);
}

static void write_string(struct conf_writer *w, const struct conf_field *f, const void *at) {
    const struct str *s = at;
    if (!is_unsaid(f, s->n == 0)) write_line(w, f->secret && w->masked && s->n ? STR("***") : *s);
}

static void write_ref(struct conf_writer *w, const struct conf_field *f, const void *at) {
    const struct conf_ref *r = at;
    (void)f;
    if (r->at) write_line(w, r->name);
}

static void write_refs(struct conf_writer *w, const struct conf_field *f, const void *at) {
    const struct conf_refs *refs = at;
    if (!refs->n && !refs->given && !f->def) return;
    fputs(" [", w->to);
    for (size_t i = 0; i < refs->n; i++) {
        fputs(i ? ", " : " ", w->to);
        conf_write_text(w->to, refs->v[i].name);
    }
    fputs(refs->n ? " ]\n" : "]\n", w->to);
}

static void write_enum(struct conf_writer *w, const struct conf_field *f, const void *at) {
    const struct conf_word *word = f->words;
    while (word->word && word->value != *(const uint8_t *)at) word++;
    if (word->word) write_line(w, str_of(word->word));
}

/* ---- rows and blocks ---------------------------------------------------------------------------------------------------------------- */

struct block { char *text; size_t n; }; /* owned */

static void write_row(struct conf_writer *w, const struct conf_field *f, const void *at);

/* As `of` writes: no deeper row says less, or more. */
static struct block rows_of(const struct conf_writer *of, const struct conf_table *table, const void *at, unsigned depth) {
    struct block b = { 0 };
    struct conf_writer w = { open_memstream(&b.text, &b.n), depth, of->masked };
    if (!w.to) abort(); /* style 15: no memory */
    struct conf_rows rows = { .table = table };
    for (const struct conf_field *f; (f = conf_next_row(&rows));) write_row(&w, f, (const char *)at + f->offset);
    fclose(w.to);
    return b;
}

#define FLOW_MAX 100u /* bytes of a map that is written on one line */

/* str_split would trim the indentation. */
static bool next_line(struct str *rest, struct str *line) {
    size_t n = str_index(*rest, '\n');
    if (n == rest->n) return false;
    *line = str_first(*rest, n);
    *rest = str_from(*rest, n + 1);
    return true;
}

/* Rows of one line each, that are short together. */
static bool is_short(const struct block *b, unsigned depth) {
    if (b->n > FLOW_MAX + 16 * depth) return false;
    struct str rest = { b->text, b->n }, line;
    size_t length = 0;
    while (next_line(&rest, &line)) {
        if (line.p[2 * depth] == ' ') return false; /* deeper: a block */
        length += line.n - 2 * depth + 2;
    }
    return length <= FLOW_MAX;
}

/* What stands behind a key or a dash. Takes b. */
static void write_block(struct conf_writer *w, struct block b, unsigned depth) {
    if (!b.n) fputs(" {}\n", w->to);
    else if (!is_short(&b, depth)) fprintf(w->to, "\n%s", b.text);
    else {
        struct str rest = { b.text, b.n }, line;
        for (bool first = true; next_line(&rest, &line); first = false)
            fprintf(w->to, "%s%.*s", first ? " { " : ", ", STR_ARG(str_from(line, 2 * depth)));
        fputs(" }\n", w->to);
    }
    free(b.text);
}

static void write_struct(struct conf_writer *w, const struct conf_field *f, const void *at) {
    struct block b = rows_of(w, f->table, at, w->depth + 1);
    if (b.n || f->required || f->type == CONF_POINTER) write_block(w, b, w->depth + 1);
    else free(b.text);
}

/* {} too says that it is there. */
static void write_pointer(struct conf_writer *w, const struct conf_field *f, const void *at) {
    const void *p = *(void *const *)at;
    if (p) write_struct(w, f, p);
}

static void indent(struct conf_writer *w, unsigned depth) { fprintf(w->to, "%*s", (int)(2 * depth), ""); }

static void write_structs(struct conf_writer *w, const struct conf_field *f, const void *at) {
    const struct conf_array *a = at;
    if (!a->n && !f->required) return;
    fputs(a->n ? "\n" : " []\n", w->to);
    for (size_t i = 0; i < a->n; i++) {
        struct block b = rows_of(w, f->table, (const char *)a->v + i * a->size, w->depth + 2);
        indent(w, w->depth + 1);
        fputc('-', w->to);
        if (!b.n || is_short(&b, w->depth + 2)) {
            write_block(w, b, w->depth + 2);
            continue;
        }
        fprintf(w->to, " %s", b.text + 2 * (w->depth + 2)); /* the dash stands in the first row's indentation */
        free(b.text);
    }
}

void conf_write_map(struct conf_writer *w, const struct conf_table *table, const struct conf_map *m) {
    if (m->n) fputc('\n', w->to);
    for (size_t i = 0; i < m->n; i++) {
        struct block b = rows_of(w, table, (const char *)m->v + i * m->size, w->depth + 2);
        char colon[64]; /* of a long key, on a line of its own: else the ? would take all of it for the key */
        snprintf(colon, sizeof colon, "\n%*s:", (int)(2 * (w->depth + 1)), "");
        indent(w, w->depth + 1);
        write_key(w->to, m->names[i].name, colon);
        write_block(w, b, w->depth + 2);
    }
}

static void write_map(struct conf_writer *w, const struct conf_field *f, const void *at) {
    const struct conf_map *m = at;
    conf_write_map(w, f->table, m);
    if (!m->n && f->required) fputs(" {}\n", w->to);
}

static void write_custom(struct conf_writer *w, const struct conf_field *f, const void *at) {
    if (f->print) f->print(w, f, at);
}

static const writer writers[] = {
    [CONF_BOOL] = write_bool, [CONF_INT] = write_int, [CONF_DURATION] = write_duration, [CONF_SIZE] = write_size, [CONF_RATE] = write_rate,
    [CONF_PERCENT] = write_percent, [CONF_STRING] = write_string, [CONF_REF] = write_ref, [CONF_REFS] = write_refs, [CONF_ENUM] = write_enum,
    [CONF_STRUCT] = write_struct, [CONF_POINTER] = write_pointer, [CONF_STRUCTS] = write_structs, [CONF_MAP] = write_map,
    [CONF_CUSTOM] = write_custom,
};
static_assert(sizeof writers / sizeof writers[0] == CONF_CUSTOM + 1, "a writer a type");

/* The value first, since a row without one is left out. */
static void write_row(struct conf_writer *w, const struct conf_field *f, const void *at) {
    struct block b = { 0 };
    struct conf_writer value = { open_memstream(&b.text, &b.n), w->depth, w->masked };
    if (!value.to) abort();
    writers[f->type](&value, f, at);
    fclose(value.to);
    if (b.n) {
        indent(w, w->depth);
        fprintf(w->to, "%s:", f->name);
        fwrite(b.text, 1, b.n, w->to);
    }
    free(b.text);
}

static void print_all(FILE *to, const struct conf_table *table, const void *at, bool masked) {
    struct block b = rows_of(&(struct conf_writer){ .masked = masked }, table, at, 0);
    fputs(b.n ? b.text : "{}\n", to);
    free(b.text);
}
void conf_print_effective(FILE *to, const struct conf_table *table, const void *at) { print_all(to, table, at, false); }
void conf_print_masked(FILE *to, const struct conf_table *table, const void *at) { print_all(to, table, at, true); }
