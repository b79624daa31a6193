// SPDX-License-Identifier: Apache-2.0
// The whole configuration under libFuzzer: any bytes as a file, through every module's tables and custom parsers and the joining by name. What
// must hold: no crash, a file that is refused says why, and of one that is accepted what counts is accepted again and prints the same again. More seeds than its corpus are in tests/conf/bad and conf/examples.
#include "proxy/config.h"
#include <assert.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char *env(const char *name) { return name[0] == 'A' ? "value" : name[0] == 'N' ? "12" : NULL; }

static char *printed(const struct config *c, size_t *n) {
    char *text = NULL;
    FILE *to = open_memstream(&text, n);
    config_print(to, c);
    fclose(to);
    return text;
}

#define PRINTED_MAX (256u << 10) /* a byte of `policies` becomes a thousand, and a file has its limits */

static void check_printed(const struct config *c) {
    size_t once_n, twice_n;
    char *once = printed(c, &once_n);
    struct config *again = once_n <= PRINTED_MAX ? config_load("effective.yaml", once, once_n, env, stderr) : NULL;
    assert(again || once_n > PRINTED_MAX);
    if (again) {
        char *twice = printed(again, &twice_n);
        assert(once_n == twice_n && memcmp(once, twice, once_n) == 0);
        free(twice);
    }
    config_unref(again);
    free(once);
}

/* An error has its place before it; what a warning quotes from the file may look like one. */
static bool says_error(const char *report) {
    for (const char *line = report; *line; line += strcspn(line, "\n"), line += *line == '\n') {
        size_t file = strlen("fuzz.yaml:"), place = strncmp(line, "fuzz.yaml:", file) == 0 ? file + strspn(line + file, "0123456789:") : 0;
        if (place && strncmp(line + place, " error: ", 8) == 0) return true;
    }
    return false;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    char *report = NULL;
    size_t n = 0;
    FILE *to = open_memstream(&report, &n);
    struct config *c = config_load("fuzz.yaml", size ? (const char *)data : "", size, env, to); /* NULL would mean the file */
    fclose(to);
    assert(!c == says_error(report));
    if (c) check_printed(c);
    config_unref(c);
    free(report);
    return 0;
}
