// SPDX-License-Identifier: Apache-2.0
// Patterns: what is taken, what is refused and where, and that libc's matcher says the same of thousands of made-up ones.
#include "policies/pattern.h"
#include <regex.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

static struct arena arena;
static int setup(void **state) {
    (void)state;
    arena_init(&arena, NULL);
    return 0;
}
static int teardown(void **state) {
    (void)state;
    arena_clear(&arena);
    return 0;
}
static const struct pattern *given(const char *text) {
    const char *say;
    size_t at;
    const struct pattern *p = pattern_compile(&arena, str_of(text), &say, &at);
    if (!p) fail_msg("%s: %s at %zu", text, say, at);
    return p;
}
static void matches(const char *pattern, const char *value) {
    if (!pattern_match(given(pattern), str_of(value))) fail_msg("%s does not match \"%s\"", pattern, value);
}
static void differs(const char *pattern, const char *value) {
    if (pattern_match(given(pattern), str_of(value))) fail_msg("%s matches \"%s\"", pattern, value);
}
static void refused(const char *text, const char *sentence, size_t where) {
    const char *say;
    size_t at;
    assert_null(pattern_compile(&arena, str_of(text), &say, &at));
    if (!strstr(say, sentence)) fail_msg("%s: %s", text, say);
    assert_int_equal(at, where);
}

static void the_whole_value_must_match(void **state) {
    (void)state;
    matches("abc", "abc");
    differs("abc", "abcd");
    differs("abc", "xabc");
    differs("abc", "");
    matches("a|b", "b");
    differs("a|b", "ab"); /* not a prefix of one and a suffix of the other, as ^a|b$ would have it */
    matches("^a|b$", "a");
    differs("^a|b$", "ax");
}
static void repetitions(void **state) {
    (void)state;
    matches("a*", "");
    matches("a*", "aaa");
    differs("a+", "");
    matches("(ab)+", "abab");
    differs("(ab)+", "aba");
    matches("a?b", "b");
    matches("[0-9]{3}", "123");
    differs("[0-9]{3}", "1234");
    matches("[0-9]{2,4}", "12");
    differs("[0-9]{2,4}", "12345");
    matches("[0-9]{2,}", "1234567");
    differs("[0-9]{2,}", "1");
    matches("x{0,2}y", "y");
    matches("((a|b){2}c){2}", "abcbac");
    differs("((a|b){2}c){2}", "abcba");
}
static void classes_and_escapes(void **state) {
    (void)state;
    matches("[a-c_.-]+", "a-_.c");
    differs("[a-c]", "d");
    matches("[^,]+", "a b\xc3\xa9");
    differs("[^,]+", "a,b");
    matches("[\\]\\\\]+", "]\\]");
    matches("\\d+\\.\\d+", "1.25");
    differs("\\d+\\.\\d+", "1x25");
    matches("[\\w/]+", "a_Z9/");
    matches("a\\sb", "a\tb");
    matches(".", "\xff");
    matches("\\$\\{\\^", "${^");
    matches("a\\$", "a$");
    matches("a\\\\$", "a\\");
}
static void what_is_no_pattern_is_refused_where_it_stands(void **state) {
    (void)state;
    refused("", "nothing here", 0);
    refused("a|", "nothing here", 2);
    refused("()", "nothing here", 1);
    refused("(a", "without its )", 2);
    refused("a)", "without its (", 1);
    refused("[a", "without its ]", 2);
    refused("[]", "write \\]", 1);
    refused("[[:alpha:]]", "no [:classes:]", 2);
    refused("[z-a]", "backwards", 4);
    refused("[\\d-z]", "from or to a class", 5);
    refused("*a", "nothing to repeat", 0);
    refused("a**", "nothing to repeat", 2);
    refused("a{0}", "not of nothing", 3);
    refused("a{3,2}", "{n,m}", 5);
    refused("a{", "{n,m}", 2);
    refused("a^b", "at the ends alone", 1);
    refused("a$b", "at the ends alone", 1);
    refused("(a)\\1", "of letters and digits only", 5); /* no back-reference: it would cost exponential time */
    refused("a\\", "a backslash at the end", 2);
    refused("\xc3\xa9", "printable ASCII", 0);
    refused("(a{99}){99}", "too large", 11);
    refused("((((((((((((((((((a))))))))))))))))))", "too deep", 17);
}
/* What makes a backtracking matcher take exponential time, and libc's an exponential number of states. */
static void nothing_blows_up(void **state) {
    (void)state;
    char value[PATTERN_VALUE_MAX];
    memset(value, 'a', sizeof value);
    struct str s = { value, sizeof value };
    assert_false(pattern_match(given("(a*)*b"), s));
    assert_false(pattern_match(given("(a|a|a|a)*b"), s));
    assert_false(pattern_match(given("(((((a?){20})*)*)*)*b"), s));
    assert_true(pattern_match(given("(a|b)*a(a|b){100}"), s));
    assert_false(pattern_match(given("(.*.?){95}b"), s));
}

/* ---- against libc's -------------------------------------------------------------------------------------------------------------------- */
static unsigned long seed = 1;
static unsigned pick(unsigned n) {
    seed = seed * 6364136223846793005ul + 1442695040888963407ul;
    return (unsigned)(seed >> 33) % n;
}
static void make(FILE *to, unsigned depth) {
    static const char *const atoms[] = { "a", "b", "c", ".", "[ab]", "[^a]", "[a-c]", "\\." };
    static const char *const repeats[] = { "", "", "", "*", "+", "?", "{2}", "{1,3}", "{2,}" };
    for (unsigned i = 0, pieces = 1 + pick(3); i < pieces; i++) {
        if (depth && pick(3) == 0) {
            fputc('(', to);
            make(to, depth - 1);
            fputc(')', to);
        } else {
            fputs(atoms[pick(8)], to);
        }
        fputs(repeats[pick(9)], to);
        if (depth && i + 1 < pieces && pick(4) == 0) fputc('|', to);
    }
}
static void libc_says_the_same(void **state) {
    (void)state;
    unsigned matched = 0, tried = 0;
    for (int i = 0; i < 3000; i++) {
        char text[1024], anchored[1032], value[16];
        const char *say;
        size_t at;
        FILE *to = fmemopen(text, sizeof text, "w");
        make(to, 2);
        fclose(to);
        const struct pattern *p = pattern_compile(&arena, str_of(text), &say, &at);
        if (!p) continue; /* too large */
        regex_t libc;
        snprintf(anchored, sizeof anchored, "^(%s)$", text);
        assert_int_equal(regcomp(&libc, anchored, REG_EXTENDED | REG_NOSUB), 0);
        for (int k = 0; k < 20; k++) {
            unsigned len = pick(8);
            for (unsigned j = 0; j < len; j++) value[j] = "abc."[pick(4)];
            value[len] = '\0';
            bool theirs = regexec(&libc, value, 0, NULL, 0) == 0, ours = pattern_match(p, str_of(value));
            if (ours != theirs) fail_msg("%s: \"%s\": %d, libc says %d", text, value, ours, theirs);
            matched += ours;
            tried++;
        }
        regfree(&libc);
    }
    assert_true(tried > 40000 && matched > 1000 && matched < tried - 1000);
}

int main(void) {
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(the_whole_value_must_match), T(repetitions), T(classes_and_escapes), T(what_is_no_pattern_is_refused_where_it_stands), T(nothing_blows_up),
        T(libc_says_the_same),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
