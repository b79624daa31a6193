// SPDX-License-Identifier: Apache-2.0
// What the tests of policies/ say: this YAML fills that struct, this YAML is refused in these words, this head has that field.
#ifndef CURFEW_TESTS_POLICIES_GIVEN_H
#define CURFEW_TESTS_POLICIES_GIVEN_H
#include "conf/conf.h"
#include "core/head.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

static struct conf load; /* of one test: given_yaml begins it, done ends it */
static char report[8192];

static inline void take_report(void) {
    memset(report, 0, sizeof report);
    FILE *f = fmemopen(report, sizeof report - 1, "w");
    conf_report(&load, f);
    fclose(f);
}
static inline struct conf_node *given_yaml(const char *yaml) {
    conf_init(&load);
    struct conf_node *n = conf_parse(&load, "y", yaml, strlen(yaml));
    take_report();
    if (!n) fail_msg("%s", report);
    return n;
}
static inline void done(void) { conf_free(&load); }

static inline void accept(const struct conf_table *table, const char *yaml, void *at) {
    bool ok = conf_load(&load, given_yaml(yaml), table, at);
    take_report();
    assert_string_equal(report, "");
    assert_true(ok);
}
/* Every sentence must stand in the report; the list ends with NULL. */
static inline void refuse(const struct conf_table *table, const char *yaml, const char *const *sentences) {
    void *at = malloc(table->size);
    bool ok = conf_load(&load, given_yaml(yaml), table, at);
    take_report();
    if (ok) fail_msg("accepted: %s", yaml);
    for (; *sentences; sentences++)
        if (!strstr(report, *sentences)) fail_msg("\"%s\" is not in\n%s", *sentences, report);
    done();
    free(at);
}
#define REFUSED(table, yaml, ...) refuse(&(table), (yaml), (const char *const[]){ __VA_ARGS__, NULL })

static inline void assert_str(struct str s, const char *expected) {
    char text[1024];
    snprintf(text, sizeof text, "%.*s", STR_ARG(s));
    assert_string_equal(text, expected);
}

/* ---- heads -------------------------------------------------------------------------------------------------------------------------- */

struct given_head { struct arena arena; struct head head; };
/* fields: name, value, …, NULL */
static inline void given_head(struct given_head *g, const char *method, const char *authority, const char *target, const char *const *fields) {
    arena_init(&g->arena, NULL);
    head_init(&g->head, &g->arena, true);
    g->head.method = str_of(method);
    g->head.authority = str_of(authority);
    g->head.target = str_of(target);
    g->head.version = 11;
    for (; fields && *fields; fields += 2) head_add(&g->head, str_of(fields[0]), str_of(fields[1]));
}
#define FIELDS(...) (const char *const[]){ __VA_ARGS__, NULL }
static inline void drop_head(struct given_head *g) { arena_clear(&g->arena); }

/* All fields that are left, "name: value" a line, in order. */
static inline void assert_fields(const struct head *h, const char *expected) {
    char text[4096];
    size_t n = 0;
    text[0] = 0;
    for (size_t i = 0; i < h->nfields; i++)
        if (!field_is_removed(&h->fields[i]))
            n += (size_t)snprintf(text + n, sizeof text - n, "%.*s: %.*s\n", STR_ARG(h->fields[i].name), STR_ARG(h->fields[i].value));
    assert_string_equal(text, expected);
}
#endif
