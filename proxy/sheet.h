// SPDX-License-Identifier: Apache-2.0
// A sheet: rows of words under named columns, for people as a table and for programs as JSON. For what is printed once, by a command.
#ifndef CURFEW_PROXY_SHEET_H
#define CURFEW_PROXY_SHEET_H
#include "core/json.h"

#define COLUMNS 8u
struct sheet {
    const char *name;
    const char *columns[COLUMNS]; /* ended by NULL where there are fewer */
    char *(*cells)[COLUMNS];      /* owned */
    size_t n, cap;
};
/* A new row, empty; its cells are malloc'ed texts that the sheet owns from here. Valid until the next row. */
char **sheet_row(struct sheet *s);
/* Prints n sheets, as members of an object that is open in j, or (NULL) as text, and frees what they hold. Text: sheets without rows are left out. */
void sheet_out(FILE *to, struct sheet *sheets, size_t n, struct json *j);
/* A text of its own, the caller's. */
char *sheet_say(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* Adds `word` to a list of words in *at (NULL: none yet), which it owns. */
void sheet_add_word(char **at, const char *between, const char *word);
#endif
