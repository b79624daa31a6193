// SPDX-License-Identifier: Apache-2.0
// JSON as it is written: see json.h.
#include "core/json.h"
#include <stdarg.h>

void json_text(FILE *to, struct str s) {
    fputc('"', to);
    for (size_t i = 0, n; i < s.n; i += n ? n : 1) {
        unsigned char b = (unsigned char)s.p[i];
        n = str_utf8(str_from(s, i));
        if (n == 0) fputs("\xef\xbf\xbd", to);
        else if (b == '"' || b == '\\') fprintf(to, "\\%c", b);
        else if (b < ' ') fprintf(to, "\\u%04x", b);
        else fwrite(s.p + i, 1, n, to);
    }
    fputc('"', to);
}

static void begin(struct json *j, const char *name) {
    if (j->more) fputc(',', j->to);
    j->more = true;
    if (!name) return;
    json_text(j->to, str_of(name));
    fputc(':', j->to);
}
void json_open(struct json *j, const char *name, char bracket) {
    begin(j, name);
    fputc(bracket, j->to);
    j->more = false;
}
void json_close(struct json *j, char bracket) {
    fputc(bracket, j->to);
    j->more = true;
}
void json_str(struct json *j, const char *name, struct str value) {
    begin(j, name);
    json_text(j->to, value);
}
void json_some(struct json *j, const char *name, struct str value) {
    if (value.n) json_str(j, name, value);
}
void json_bool(struct json *j, const char *name, bool value) { json_raw(j, name, "%s", value ? "true" : "false"); }
void json_raw(struct json *j, const char *name, const char *fmt, ...) {
    va_list ap;
    begin(j, name);
    va_start(ap, fmt);
    vfprintf(j->to, fmt, ap);
    va_end(ap);
}
