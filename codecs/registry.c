// SPDX-License-Identifier: Apache-2.0
// Who is registered: codecs and RPC protocols put pointers to themselves in two linker sections, and this file sorts what the linker
// found, once, before main. It names no protocol and must not. Both sections may be empty (a test of a lower floor): hence weak.
#include "codecs/codec.h"
#include "codecs/rpc.h"
#include <assert.h>
#include <stdlib.h>

#define RPCS_MAX 16u

extern const struct codec *const __start_curfew_codecs[] __attribute__((weak));
extern const struct codec *const __stop_curfew_codecs[] __attribute__((weak));
extern const struct rpc *const __start_curfew_rpcs[] __attribute__((weak));
extern const struct rpc *const __stop_curfew_rpcs[] __attribute__((weak));

static const struct codec *codecs[CODECS_MAX];
static size_t ncodecs;
static const struct rpc *rpcs[RPCS_MAX];
static size_t nrpcs;

static int codec_order(const void *a, const void *b) {
    const struct codec *const *x = a, *const *y = b;
    return strcmp((*x)->name, (*y)->name);
}

/* By name where priorities are equal, so that the order never depends on the linker. */
static int rpc_order(const void *a, const void *b) {
    const struct rpc *const *x = a, *const *y = b;
    if ((*x)->priority != (*y)->priority) return (*x)->priority < (*y)->priority ? -1 : 1;
    return strcmp((*x)->name, (*y)->name);
}

static void gather_codecs(void) {
    for (const struct codec *const *c = __start_curfew_codecs; c != __stop_curfew_codecs; c++) {
        assert(ncodecs < CODECS_MAX);
        codecs[ncodecs++] = *c;
    }
    qsort(codecs, ncodecs, sizeof codecs[0], codec_order);
    for (size_t i = 1; i < ncodecs; i++) assert(strcmp(codecs[i - 1]->name, codecs[i]->name) != 0);
}

static void gather_rpcs(void) {
    for (const struct rpc *const *r = __start_curfew_rpcs; r != __stop_curfew_rpcs; r++) {
        assert(nrpcs < RPCS_MAX);
        rpcs[nrpcs++] = *r;
    }
    qsort(rpcs, nrpcs, sizeof rpcs[0], rpc_order);
}

/* Before main: there is no thread yet that could see half a table. */
__attribute__((constructor)) static void gather(void) {
    gather_codecs();
    gather_rpcs();
}

size_t codec_count(void) { return ncodecs; }

const struct codec *codec_at(size_t i) {
    assert(i < ncodecs);
    return codecs[i];
}

size_t codec_index(const struct codec *c) {
    for (size_t i = 0; i < ncodecs; i++) {
        if (codecs[i] == c) return i;
    }
    assert(false && "a codec that is not registered");
    return 0;
}

const struct codec *codec_by_name(struct str name) {
    for (size_t i = 0; i < ncodecs; i++) {
        if (str_eq(str_of(codecs[i]->name), name)) return codecs[i];
    }
    return NULL;
}

size_t rpc_count(void) { return nrpcs; }

const struct rpc *rpc_at(size_t i) {
    assert(i < nrpcs);
    return rpcs[i];
}

const struct rpc *rpc_by_name(const char *name) {
    for (size_t i = 0; i < nrpcs; i++) {
        if (strcmp(rpcs[i]->name, name) == 0) return rpcs[i];
    }
    return NULL;
}

const struct rpc *rpc_recognise(const struct head *request) {
    for (size_t i = 0; i < nrpcs; i++) {
        if (rpcs[i]->recognise(request)) return rpcs[i];
    }
    assert(false && "no rpc takes plain HTTP: it must be registered last and take all");
    return NULL;
}
