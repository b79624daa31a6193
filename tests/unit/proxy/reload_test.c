// SPDX-License-Identifier: Apache-2.0
// What only a worker's own thread can make for a new configuration: where it cannot, no worker goes over. Workers are threads with loops of their own, as
// in the gateway; evdns is libevent's, but for its making.
#define _GNU_SOURCE /* RTLD_NEXT, mkdtemp */
#include "proxy/reload.h"
#include <dlfcn.h>
#include <event2/dns.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
// clang-format off
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
// clang-format on

#define WORKERS 3
static atomic_int dns_left = WORKERS; /* so many can be made */
struct evdns_base *evdns_base_new(struct event_base *base, int flags) { /* in place of libevent's */
    struct evdns_base *(*real)(struct event_base *, int);
    void *found = dlsym(RTLD_NEXT, "evdns_base_new");
    memcpy(&real, &found, sizeof real);
    return atomic_fetch_sub(&dns_left, 1) > 0 ? real(base, flags) : NULL;
}

static char folder[64], path[96];
static struct worker workers[WORKERS];
static struct reload r;

static void write_file(const char *endpoint) {
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fprintf(f, "workers: %d\nlisteners: { a: { address: \"unix:%s/socket\" } }\nupstreams: { app: { endpoints: \"%s\" } }\n"
               "routes: [ { match: {}, upstream: app } ]\nlog: { access: disabled, level: error }\n", WORKERS, folder, endpoint);
    fclose(f);
}
static void *thread_main(void *arg) {
    worker_run(arg);
    return NULL;
}
static int begin(void **state) {
    (void)state;
    snprintf(folder, sizeof folder, "/tmp/curfew-reload-XXXXXX");
    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/curfew.yaml", folder);
    write_file("127.0.0.1:9");
    log_level = LOG_ERROR;
    r = (struct reload){ .path = path, .config = config_load(path, NULL, 0, NULL, stderr), .workers = workers, .n = WORKERS, .descriptors = 1000 };
    assert_non_null(r.config);
    for (unsigned i = 0; i < WORKERS; i++) {
        worker_init(&workers[i], &os_linux, i, WORKERS);
        workers[i].peers = workers;
    }
    assert_true(reload_begin(&r));
    for (size_t i = 0; i < WORKERS; i++) assert_int_equal(pthread_create(&workers[i].thread, NULL, thread_main, &workers[i]), 0);
    return 0;
}
static int end(void **state) {
    (void)state;
    for (size_t i = 0; i < WORKERS; i++) worker_post_kind(&workers[i], MESSAGE_STOP);
    for (size_t i = 0; i < WORKERS; i++) pthread_join(workers[i].thread, NULL);
    for (size_t i = 0; i < WORKERS; i++) worker_free(&workers[i]);
    reload_remove_sockets(r.config);
    config_unref(r.config);
    unlink(path);
    return rmdir(folder);
}
static bool is_said(const char *line) {
    char *text = NULL;
    size_t n = 0;
    FILE *f = open_memstream(&text, &n);
    metrics_print(f, NULL, 0, NULL);
    fclose(f);
    bool said = strstr(text, line) != NULL;
    free(text);
    return said;
}

static void a_resolver_that_one_worker_cannot_make_refuses_the_reload(void **state) {
    (void)state;
    struct config *before = r.config;
    write_file("localhost:9");
    atomic_store(&dns_left, WORKERS - 1); /* the last one has none */
    reload_run(&r);
    assert_ptr_equal(r.config, before);
    assert_true(is_said("curfew_config_reloads_total{result=\"refused\"} 1\n"));
    assert_true(is_said("curfew_config_last_reload_successful 0\n"));
    atomic_store(&dns_left, 1); /* the others have theirs */
    reload_run(&r);
    assert_ptr_not_equal(r.config, before);
    assert_true(is_said("curfew_config_reloads_total{result=\"applied\"} 1\n"));
    assert_true(is_said("curfew_config_last_reload_successful 1\n"));
    assert_int_equal(atomic_load(&dns_left), 0);
}
static void who_has_no_names_needs_none(void **state) {
    (void)state;
    const struct config *before = r.config;
    atomic_store(&dns_left, 0);
    reload_run(&r);
    assert_ptr_not_equal(r.config, before);
    assert_int_equal(atomic_load(&dns_left), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_resolver_that_one_worker_cannot_make_refuses_the_reload, begin, end),
        cmocka_unit_test_setup_teardown(who_has_no_names_needs_none, begin, end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
