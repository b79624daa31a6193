// SPDX-License-Identifier: Apache-2.0
// The log: one line a message, whatever is in it and whoever else writes. Standard error is a pipe here.
#include "core/log.h"
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

static int saved, ends[2];
static char text[1 << 16];

static int setup(void **state) {
    (void)state;
    saved = dup(STDERR_FILENO);
    if (pipe(ends) < 0) return -1;
    fcntl(ends[0], F_SETFL, O_NONBLOCK);
    dup2(ends[1], STDERR_FILENO);
    log_level = LOG_INFO;
    return 0;
}
static int teardown(void **state) {
    (void)state;
    dup2(saved, STDERR_FILENO);
    close(saved);
    close(ends[0]);
    close(ends[1]);
    return 0;
}
static size_t logged(void) {
    ssize_t n = read(ends[0], text, sizeof text - 1);
    size_t len = n > 0 ? (size_t)n : 0;
    text[len] = '\0';
    return len;
}

static void a_line_has_time_level_subject_and_message(void **state) {
    (void)state;
    log_warn("listener web", "took %d ms", 42);
    assert_true(logged() > 0);
    unsigned year, month, day, hour, minute, second, ms;
    int after = 0;
    assert_int_equal(sscanf(text, "%4u-%2u-%2uT%2u:%2u:%2u.%3uZ%n", &year, &month, &day, &hour, &minute, &second, &ms, &after), 7);
    assert_int_equal(after, 24);
    assert_true(year > 2020 && month <= 12 && day <= 31 && hour < 24 && minute < 60 && second <= 60);
    assert_string_equal(text + after, " warn [listener web] took 42 ms\n");
}

static void without_a_subject_there_are_no_brackets(void **state) {
    (void)state;
    log_error(NULL, "x");
    logged();
    assert_string_equal(text + 24, " error x\n");
    log_error("", "%s", "y");
    logged();
    assert_string_equal(text + 24, " error y\n");
}

static void the_level_decides_what_is_written(void **state) {
    (void)state;
    log_debug("s", "no");
    log_trace("s", "no");
    assert_int_equal(logged(), 0);
    log_info("s", "yes");
    assert_true(logged() > 0);
    log_level = LOG_TRACE;
    log_debug("s", "d");
    log_trace("s", "t");
    logged();
    assert_non_null(strstr(text, " debug [s] d\n"));
    assert_non_null(strstr(text, " trace [s] t\n"));
}

static void a_peers_bytes_cannot_make_a_second_line(void **state) {
    (void)state;
    log_info("a\nb", "path %s", "/x\r\n2026 error [s] forged\x1b[2J\x7f");
    size_t n = logged();
    assert_ptr_equal(strchr(text, '\n'), text + n - 1);
    assert_null(strchr(text, '\x1b'));
    assert_non_null(strstr(text, "[a b] path /x  2026 error"));
}

static void a_long_message_is_cut_and_still_ends_its_line(void **state) {
    (void)state;
    static char far[100000], subject[1000];
    memset(far, 'm', sizeof far - 1);
    memset(subject, 's', sizeof subject - 1);
    log_info(subject, "%s", far);
    size_t n = logged();
    assert_in_range(n, 1500, 4096);
    assert_int_equal(text[n - 1], '\n');
    assert_non_null(strstr(text, "ss] mm"));
}

static void errno_is_there_for_the_message_and_untouched_after_it(void **state) {
    (void)state;
    errno = ENOENT;
    log_info("s", "%m");
    assert_int_equal(errno, ENOENT);
    logged();
    assert_non_null(strstr(text, strerror(ENOENT)));
    close(STDERR_FILENO);
    errno = EAGAIN;
    log_info("s", "nobody hears");
    assert_int_equal(errno, EAGAIN);
}

enum { THREADS = 4, LINES = 50 };
static void *write_many(void *arg) {
    for (int i = 0; i < LINES; i++) log_info((const char *)arg, "%0200d", i);
    return NULL;
}
static void lines_of_threads_do_not_mix(void **state) {
    (void)state;
    pthread_t t[THREADS];
    static char names[THREADS][2] = { "a", "b", "c", "d" };
    size_t length = 24 + strlen(" info [a] ") + 200 + 1, next[THREADS] = { 0 };
    for (int i = 0; i < THREADS; i++) pthread_create(&t[i], NULL, write_many, names[i]);
    for (int i = 0; i < THREADS; i++) pthread_join(t[i], NULL);
    assert_int_equal(logged(), THREADS * LINES * length);
    for (size_t at = 0; at < THREADS * LINES * length; at += length) {
        char want[256];
        size_t who = (size_t)(text[at + 31] - 'a');
        assert_true(who < THREADS);
        snprintf(want, sizeof want, " info [%s] %0200zu\n", names[who], next[who]);
        next[who]++;
        assert_memory_equal(text + at + 24, want, length - 24);
    }
}

int main(void) {
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(a_line_has_time_level_subject_and_message),
        T(without_a_subject_there_are_no_brackets),
        T(the_level_decides_what_is_written),
        T(a_peers_bytes_cannot_make_a_second_line),
        T(a_long_message_is_cut_and_still_ends_its_line),
        T(errno_is_there_for_the_message_and_untouched_after_it),
        T(lines_of_threads_do_not_mix),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
