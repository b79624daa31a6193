// SPDX-License-Identifier: Apache-2.0
// JSON as it is written: texts, and the commas between members. For what is printed on a page or by a command; lines of the access log have a way of
// their own, in a fixed buffer.
#ifndef CURFEW_CORE_JSON_H
#define CURFEW_CORE_JSON_H
#include "core/str.h"
#include <stdio.h>

void json_text(FILE *to, struct str s); /* a string, quotes and all; what is not UTF-8 becomes U+FFFD */

struct json { FILE *to; bool more; }; /* more: a comma goes before what follows */
/* A member of an object; name NULL: an element of a list, or the whole. */
void json_open(struct json *j, const char *name, char bracket); /* '{' or '[' */
void json_close(struct json *j, char bracket);                  /* '}' or ']' */
void json_str(struct json *j, const char *name, struct str value);
void json_some(struct json *j, const char *name, struct str value); /* left out where it is empty */
void json_bool(struct json *j, const char *name, bool value);
/* What is JSON as it stands: a number. */
void json_raw(struct json *j, const char *name, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
#endif
