// SPDX-License-Identifier: Apache-2.0
// The whole configuration under libFuzzer: any bytes as a file, through every module's tables and custom parsers and the joining by name. What
// must hold: no crash, and a file that is refused says why. More seeds than its corpus are in tests/conf/bad and conf/examples.
#include "proxy/config.h"
#include <assert.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char *env(const char *name) { return name[0] == 'A' ? "value" : name[0] == 'N' ? "12" : NULL; }

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    char *report = NULL;
    size_t n = 0;
    FILE *to = open_memstream(&report, &n);
    struct config *c = config_load("fuzz.yaml", size ? (const char *)data : "", size, env, to); /* NULL would mean the file */
    fclose(to);
    assert(c || strstr(report, "error: "));
    assert(!c || !strstr(report, ": error: "));
    config_unref(c);
    free(report);
    return 0;
}
