// SPDX-License-Identifier: Apache-2.0
// What the tests of conf/ say: this text loads as that, this text is answered with exactly these lines.
#ifndef CURFEW_TESTS_CONF_GIVEN_H
#define CURFEW_TESTS_CONF_GIVEN_H
#include "tests/unit/conf/toy.h"
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

/* The whole report, to the letter. */
static inline void assert_report(const char *yaml, const char *report) {
    struct loaded *l = load(yaml);
    assert_string_equal(l->report ? l->report : "", report);
    assert_int_equal(l->ok, !strstr(report, "error:"));
    unload(l);
}
/* One error without a hint. */
static inline void assert_error(const char *yaml, const char *line) {
    char report[512];
    snprintf(report, sizeof report, "toy.yaml:%s\n", line);
    assert_report(yaml, report);
}
static inline struct loaded *accept(const char *yaml) {
    struct loaded *l = load(yaml);
    assert_string_equal(l->report ? l->report : "", "");
    assert_true(l->ok);
    return l;
}
static inline void assert_text(struct str s, const char *expected) {
    char text[256];
    snprintf(text, sizeof text, "%.*s", STR_ARG(s));
    assert_string_equal(text, expected);
}
#endif
