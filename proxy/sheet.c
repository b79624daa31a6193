// SPDX-License-Identifier: Apache-2.0
// Sheets as text and as JSON: see sheet.h.
#define _GNU_SOURCE /* vasprintf */
#include "proxy/sheet.h"
#include "core/arena.h"
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

static size_t width_of(const struct sheet *s) {
    size_t n = 0;
    while (n < COLUMNS && s->columns[n]) n++;
    return n;
}
char **sheet_row(struct sheet *s) {
    if (s->n == s->cap) {
        s->cap = s->cap ? 2 * s->cap : 16;
        s->cells = mem_realloc(s->cells, s->cap * sizeof *s->cells);
    }
    memset(s->cells[s->n], 0, sizeof *s->cells);
    return s->cells[s->n++];
}
static void sheet_free(struct sheet *s) {
    for (size_t i = 0; i < s->n; i++)
        for (size_t k = 0; k < COLUMNS; k++) free(s->cells[i][k]);
    free(s->cells);
    s->cells = NULL;
    s->n = s->cap = 0;
}
char *sheet_say(const char *fmt, ...) {
    va_list ap;
    char *p = NULL;
    va_start(ap, fmt);
    int n = vasprintf(&p, fmt, ap);
    va_end(ap);
    if (n < 0) abort();
    return p;
}
void sheet_add_word(char **at, const char *between, const char *word) {
    char *old = *at;
    *at = old && *old ? sheet_say("%s%s%s", old, between, word) : sheet_say("%s", word);
    free(old);
}
static void sheet_json(struct json *j, const struct sheet *s) {
    json_open(j, s->name, '[');
    for (size_t i = 0; i < s->n; i++) {
        json_open(j, NULL, '{');
        for (size_t k = 0; k < width_of(s); k++)
            if (s->cells[i][k]) json_str(j, s->columns[k], str_of(s->cells[i][k]));
        json_close(j, '}');
    }
    json_close(j, ']');
}
/* Columns in characters, not bytes: an arrow or a dash counts once. */
static size_t length(const char *s) {
    size_t n = 0;
    for (; *s; s++) n += ((unsigned char)*s & 0xc0) != 0x80;
    return n;
}
static void sheet_text(FILE *to, const struct sheet *s) {
    size_t wide[COLUMNS] = { 0 }, n = width_of(s);
    if (s->n == 0) return;
    for (size_t k = 0; k < n; k++) {
        wide[k] = length(s->columns[k]);
        for (size_t i = 0; i < s->n; i++)
            if (s->cells[i][k] && length(s->cells[i][k]) > wide[k]) wide[k] = length(s->cells[i][k]);
    }
    fprintf(to, "\n  %s\n", s->name);
    for (size_t i = 0; i <= s->n; i++) {
        fputs("   ", to);
        for (size_t k = 0; k < n; k++) {
            const char *cell = i == 0 ? s->columns[k] : s->cells[i - 1][k] ? s->cells[i - 1][k] : "";
            fprintf(to, " %s%*s", cell, k + 1 < n ? (int)(wide[k] - length(cell) + 1) : 0, "");
        }
        fputc('\n', to);
    }
}
void sheet_out(FILE *to, struct sheet *sheets, size_t n, struct json *j) {
    for (size_t i = 0; i < n; i++) {
        if (j) sheet_json(j, &sheets[i]);
        else sheet_text(to, &sheets[i]);
        sheet_free(&sheets[i]);
    }
}
