// SPDX-License-Identifier: Apache-2.0
// Diagnostics as data: collected while a configuration is read, printed in the order of the file at the end, so that one run shows every
// fault. Text from the file and from the environment reaches a terminal here, so control characters are taken out here and nowhere else.
#include "conf/inside.h"
#include <assert.h>
#include <stdarg.h>
#include <stdlib.h>

void conf_init(struct conf *c) {
    *c = (struct conf){ .getenv = (const char *(*)(const char *))getenv };
    arena_init(&c->arena, NULL);
}

void conf_free(struct conf *c) {
    arena_clear(&c->arena);
    free(c->diags);
    c->diags = NULL;
    c->ndiags = c->cap_diags = c->errors = 0;
}

static struct str format_va(struct conf *c, const char *fmt, va_list args) {
    va_list again;
    va_copy(again, args);
    int n = vsnprintf(NULL, 0, fmt, again);
    va_end(again);
    assert(n >= 0);
    char *p = arena_bytes(&c->arena, (size_t)n + 1);
    vsnprintf(p, (size_t)n + 1, fmt, args);
    return (struct str){ p, (size_t)n };
}

const char *conf_format(struct conf *c, const char *fmt, ...) {
    va_list args;
    va_start(args, fmt);
    struct str s = format_va(c, fmt, args);
    va_end(args);
    return s.p;
}

static bool needs_quotes(struct str s) {
    for (size_t i = 0; i < s.n; i++)
        if ((unsigned char)s.p[i] <= ' ') return true;
    return s.n == 0;
}

/* Cuts between characters: a continuation byte of UTF-8 is 10xxxxxx. */
static size_t cut(struct str s, size_t most) {
    if (s.n <= most) return s.n;
    while (most && ((unsigned char)s.p[most] & 0xc0) == 0x80) most--;
    return most;
}

const char *conf_show(struct conf *c, struct str text) {
    size_t n = cut(text, CONF_SHOWN_MAX);
    const char *quote = needs_quotes(text) ? "\"" : "";
    return conf_format(c, "%s%.*s%s%s", quote, (int)n, text.n ? text.p : "", n < text.n ? "…" : "", quote);
}

bool conf_is_full(const struct conf *c) { return c->ndiags >= CONF_DIAGS_MAX; }

/* C0, DEL, and C1 as UTF-8 has it (C2 80 to C2 9F): a value could move the cursor of whoever reads the message, or forge a line. */
static void make_printable(char *p, size_t n) {
    for (size_t i = 0; i < n; i++) {
        unsigned char b = (unsigned char)p[i];
        bool c1 = b == 0xc2 && i + 1 < n && (unsigned char)p[i + 1] >= 0x80 && (unsigned char)p[i + 1] <= 0x9f;
        if (c1) p[i] = p[i + 1] = '?';
        if (b < ' ' || b == 0x7f) p[i] = '?';
    }
}

static struct conf_diag *add(struct conf *c) {
    if (c->ndiags == c->cap_diags) {
        c->cap_diags = c->cap_diags ? 2 * c->cap_diags : 16;
        c->diags = mem_realloc(c->diags, c->cap_diags * sizeof *c->diags);
    }
    return &c->diags[c->ndiags++];
}

static void keep(struct conf *c, enum conf_severity severity, struct conf_pos at, const char *hint, const char *fmt, va_list args) {
    if (severity == CONF_ERROR) c->errors++;
    if (conf_is_full(c)) return;
    struct str message = format_va(c, fmt, args);
    make_printable((char *)message.p, message.n);
    struct str copy = arena_copy(&c->arena, str_of(hint));
    make_printable((char *)copy.p, copy.n);
    *add(c) = (struct conf_diag){ severity, at, message, copy };
}

void conf_error(struct conf *c, struct conf_pos at, const char *hint, const char *fmt, ...) {
    va_list args;
    va_start(args, fmt);
    keep(c, CONF_ERROR, at, hint, fmt, args);
    va_end(args);
}

void conf_warn(struct conf *c, struct conf_pos at, const char *hint, const char *fmt, ...) {
    va_list args;
    va_start(args, fmt);
    keep(c, CONF_WARNING, at, hint, fmt, args);
    va_end(args);
}

/* ---- the report ------------------------------------------------------------------------------------------------------------ */

static int compare_pos(struct conf_pos a, struct conf_pos b) {
    int file = strcmp(a.file ? a.file : "", b.file ? b.file : "");
    if (file) return file;
    if (a.line != b.line) return a.line < b.line ? -1 : 1;
    return (a.col > b.col) - (a.col < b.col);
}

static int compare(const void *a, const void *b) {
    const struct conf_diag *x = *(const struct conf_diag *const *)a, *y = *(const struct conf_diag *const *)b;
    int by_pos = compare_pos(x->pos, y->pos);
    return by_pos ? by_pos : (x > y) - (x < y); /* as reported, where the place is the same */
}

static void print(const struct conf_diag *d, FILE *to) {
    if (d->pos.file) fprintf(to, "%s:", d->pos.file);
    if (d->pos.line) fprintf(to, "%u:%u:", d->pos.line, d->pos.col);
    fprintf(to, "%s%s: %.*s\n", d->pos.file ? " " : "", d->severity == CONF_ERROR ? "error" : "warning", STR_ARG(d->message));
    if (d->hint.n) fprintf(to, "  hint: %.*s\n", STR_ARG(d->hint));
}

void conf_report(const struct conf *c, FILE *to) {
    if (!c->ndiags) return;
    const struct conf_diag **sorted = mem_alloc(c->ndiags * sizeof *sorted);
    for (size_t i = 0; i < c->ndiags; i++) sorted[i] = &c->diags[i];
    qsort(sorted, c->ndiags, sizeof *sorted, compare);
    size_t shown = 0;
    for (size_t i = 0; i < c->ndiags; i++) {
        print(sorted[i], to);
        shown += sorted[i]->severity == CONF_ERROR;
    }
    if (c->errors > shown) fprintf(to, "and %zu more errors\n", c->errors - shown);
    free(sorted);
}

/* ---- "did you mean" ---------------------------------------------------------------------------------------------------------- */

#define WORD_MAX 64u /* str_distance takes no longer ones */

static struct str lower(struct str s, char out[WORD_MAX]) {
    size_t n = s.n < WORD_MAX ? s.n : WORD_MAX;
    for (size_t i = 0; i < n; i++) {
        char b = s.p[i];
        out[i] = b >= 'A' && b <= 'Z' ? (char)(b | 0x20) : b == '-' ? '_' : b;
    }
    return (struct str){ out, n };
}

/* Short words are near to everything: one slip in three letters, two from five on, three from twelve on. */
static unsigned far_for(size_t n) { return n < 3 ? 1 : n < 5 ? 2 : n < 12 ? 3 : 4; }

/* Two letters in the wrong order are one slip of the fingers. */
static bool is_swapped(struct str a, struct str b) {
    size_t i = 0;
    while (i < a.n && i < b.n && a.p[i] == b.p[i]) i++;
    if (a.n != b.n || i + 1 >= a.n || a.p[i] != b.p[i + 1] || a.p[i + 1] != b.p[i]) return false;
    return str_eq(str_from(a, i + 2), str_from(b, i + 2));
}

static unsigned distance(struct str a, struct str b) { return is_swapped(a, b) ? 1 : str_distance(a, b); }

const char *conf_nearest(struct str word, const char *(*next)(void *state, size_t i), void *state) {
    if (word.n == 0 || word.n > WORD_MAX) return NULL;
    char a[WORD_MAX], b[WORD_MAX];
    struct str lw = lower(word, a);
    const char *best = NULL, *longer = NULL;
    unsigned best_distance = far_for(word.n);
    size_t longer_count = 0;
    for (size_t i = 0;; i++) {
        const char *known = next(state, i);
        if (!known) break;
        struct str lk = lower(str_of(known), b);
        unsigned d = strlen(known) > WORD_MAX ? best_distance : distance(lw, lk);
        if (d < best_distance) best = known, best_distance = d;
        if (lw.n >= 3 && str_starts(lk, lw)) longer = known, longer_count++;
    }
    return best ? best : longer_count == 1 ? longer : NULL;
}
