// SPDX-License-Identifier: Apache-2.0
// The configuration reader under libFuzzer: any bytes as a file for a table that has every type of row. What must hold: no crash, every
// diagnostic has a place, a load that says true reported nothing, merging a tree with itself changes no value (an empty entry of a map goes, since null restores the built-in).
#include "tests/unit/conf/toy.h"
#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool same(const struct toy *a, const struct toy *b) {
    return a->on == b->on && a->workers == b->workers && a->wait.ns == b->wait.ns && a->room == b->room && a->share == b->share && str_eq(a->title, b->title) &&
           a->tags.n == b->tags.n && a->colour == b->colour && a->points.n == b->points.n && a->even == b->even;
}

static void check_diagnostics(const struct conf *c) {
    size_t errors = 0;
    for (size_t i = 0; i < c->ndiags; i++) {
        const struct conf_diag *d = &c->diags[i];
        assert(d->message.n && d->pos.file && d->pos.line && d->pos.col);
        for (size_t k = 0; k < d->message.n; k++) assert((unsigned char)d->message.p[k] >= ' ');
        errors += d->severity == CONF_ERROR;
    }
    assert(errors <= c->errors);
}

static void check_merged(struct conf *c, const struct conf_node *n, const struct toy *toy) {
    if (n->kind != CONF_MAPPING) return;
    struct toy again;
    const struct conf_node *twice = conf_merge(c, n, n);
    assert(conf_load(c, twice, &toy_table, &again));
    assert(same(toy, &again));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static FILE *nowhere;
    if (!nowhere) nowhere = fopen("/dev/null", "w");
    struct conf c;
    struct toy toy;
    conf_init(&c);
    c.getenv = toy_env;
    const struct conf_node *n = conf_parse(&c, "fuzz.yaml", (const char *)data, size);
    assert(n || c.errors);
    bool ok = n && conf_load(&c, n, &toy_table, &toy);
    if (ok && !c.errors) check_merged(&c, n, &toy);
    check_diagnostics(&c);
    conf_report(&c, nowhere);
    conf_free(&c);
    return 0;
}
