// SPDX-License-Identifier: Apache-2.0
// The whole configuration: what is accepted and becomes what, what is refused and in which words. Files are named from the project's root.
#include "proxy/config.h"
#include <arpa/inet.h>
#include <dirent.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/un.h>
#include <cmocka.h>

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))
#define LISTENERS "listeners:\n  edge: { address: 127.0.0.1:8080 }\n  mesh: { address: 127.0.0.1:8081 }\n"
#define UPSTREAMS "upstreams:\n  orders: { endpoints: 127.0.0.1:9001 }\n  reports: { endpoints: 127.0.0.1:9002 }\n"

static const char *env(const char *name) {
    if (strcmp(name, "HOME") == 0) return "/root";
    if (strcmp(name, "WORKERS") == 0) return "many";
    if (strcmp(name, "INJECTION") == 0) return "127.0.0.1:80, trust: all";
    return NULL;
}

/* The snapshot, or NULL; *report is what was printed, and the caller's. */
static struct config *load_as(const char *path, const char *text, size_t n, char **report) {
    size_t length = 0;
    FILE *to = open_memstream(report, &length);
    struct config *c = config_load(path, text, n, env, to);
    fclose(to);
    return c;
}
static struct config *accepted(const char *yaml) {
    char *report = NULL;
    struct config *c = load_as("curfew.yaml", yaml, strlen(yaml), &report);
    assert_string_equal(report, "");
    assert_non_null(c);
    free(report);
    return c;
}
static char *read_file(const char *path, size_t *n) {
    FILE *f = fopen(path, "rb");
    if (!f) fail_msg("cannot open %s", path);
    char *text = calloc(1, 1 << 20);
    *n = fread(text, 1, (1 << 20) - 1, f);
    fclose(f);
    return text;
}

/* ---- examples ------------------------------------------------------------------------------------------------------------------- */

static void the_reference_example_is_accepted_as_it_stands(void **state) {
    (void)state;
    char *report = NULL;
    struct config *c = load_as("conf/examples/reference.yaml", NULL, 0, &report);
    assert_string_equal(report, "");
    assert_non_null(c);
    assert_int_equal(c->listeners.n, 2);
    assert_int_equal(c->upstreams.n, 2);
    assert_int_equal(c->routes.n, 4);
    assert_int_equal(c->policies.n, 2);
    const struct upstream_conf *orders = config_upstream(c, 0);
    assert_string_equal(orders->codec->name, "http2");
    assert_int_equal(orders->nendpoints, 2);
    assert_int_equal(orders->health->type, HEALTH_GRPC);
    assert_int_equal(config_listener(c, 1)->trust.mode, TRUST_ALL);
    assert_non_null(dialect_by_key(&c->dialects, STR("x-acme-budget")));
    const struct policy *batch = policies_find(&c->policies, STR("batch"));
    assert_ptr_equal(CONF_AT(c->routes, struct route, 2)->use, batch);
    assert_int_equal(batch->deadline.max.ns, 3600 * NS_PER_S);
    assert_int_equal(batch->deadline.reserve.ns, 5 * NS_PER_MS); /* from the policy that it extends */
    assert_true(c->needs_dates);
    config_unref(c);
    free(report);
}

/* The caller's. */
static char *effective(const struct config *c, size_t *n) {
    char *text = NULL;
    FILE *to = open_memstream(&text, n);
    config_print(to, c);
    fclose(to);
    return text;
}

static size_t count_words(const char *text, const char *word) {
    size_t n = 0;
    for (const char *at = text; (at = strstr(at, word)); at += strlen(word)) n++;
    return n;
}

/* What counts is accepted again, with the same warnings (their places differ), and prints the same again. */
static void assert_prints_itself(const char *path, const char *text, size_t n) {
    char *report = NULL, *again = NULL;
    size_t once_n, twice_n;
    struct config *first = load_as(path, text, n, &report);
    if (!first) fail_msg("%s", report);
    char *once = effective(first, &once_n);
    struct config *second = load_as("effective.yaml", once, once_n, &again);
    if (!second) fail_msg("%s of %s:\n%s", path, again, once);
    char *twice = effective(second, &twice_n);
    assert_string_equal(once, twice);
    assert_int_equal(count_words(report, ": warning: "), count_words(again, ": warning: "));
    config_unref(first);
    config_unref(second);
    free(report);
    free(again);
    free(once);
    free(twice);
}

static void what_may_be_a_secret_is_masked_for_others_and_still_loads(void **state) {
    (void)state;
    static const char yaml[] =
        "upstreams: { app: { endpoints: 127.0.0.1:9001 } }\n"
        "policies:\n"
        "  default:\n"
        "    cancel:\n"
        "      http1: [ call, close ]\n"
        "      call: { path: /cancel, headers: { authorization: hidden-1, x-why: '{ending}' }, body: 'key=hidden-2' }\n"
        "routes:\n"
        "  - match: { path: /a, header: { x-edge-key: hidden-3, x-kind: { prefix: hidden-4 }, x-version: { at_least: '1.10' }, x-seen: { present: true } } }\n"
        "    upstream: app\n"
        "    headers: { request: { set: { x-api-key: hidden-5 }, add: { cookie: hidden-6 }, remove: [ x-gone ] } }\n"
        "  - { match: {}, respond: { status: 404, body: shown } }\n";
    static const char *const shown[] = { "authorization: \"***\"", "body: \"***\"", "x-edge-key: { exact: \"***\" }", "x-kind: { prefix: \"***\" }",
                                         "x-version: { at_least: \"1.10\" }", "x-seen: { present: true }", "x-api-key: \"***\"", "cookie: \"***\"", "x-gone",
                                         "path: /cancel", "body: shown" };
    char *report = NULL, *again = NULL, *text = NULL;
    size_t n, clear_n;
    struct config *c = load_as("secret.yaml", yaml, sizeof yaml - 1, &report);
    if (!c) fail_msg("%s", report);
    FILE *to = open_memstream(&text, &n);
    config_print_masked(to, c);
    fclose(to);
    assert_null(strstr(text, "hidden"));
    for (size_t i = 0; i < sizeof shown / sizeof *shown; i++) {
        if (!strstr(text, shown[i])) fail_msg("%s is not in\n%s", shown[i], text);
    }
    struct config *masked = load_as("masked.yaml", text, n, &again);
    if (!masked) fail_msg("%s of\n%s", again, text);
    char *clear = effective(c, &clear_n);
    assert_int_equal(count_words(clear, "hidden"), 6); /* for who can read the file anyhow */
    config_unref(masked);
    config_unref(c);
    free(clear), free(text), free(report), free(again);
}

static void what_counts_is_accepted_again_and_prints_the_same(void **state) {
    (void)state;
    DIR *dir = opendir("conf/examples");
    char path[512];
    size_t files = 0;
    assert_non_null(dir);
    for (struct dirent *e; (e = readdir(dir));) {
        if (!strstr(e->d_name, ".yaml")) continue;
        snprintf(path, sizeof path, "conf/examples/%s", e->d_name);
        assert_prints_itself(path, NULL, 0);
        files++;
    }
    closedir(dir);
    assert_true(files >= 1);
    assert_prints_itself("deploy/curfew.yaml", NULL, 0);
    assert_prints_itself("tests/demo/demo.yaml", NULL, 0);
    /* what examples hardly use */
    static const char all[] =
        "workers: 3\n"
        "listeners:\n"
        "  a: { address: 'unix:/tmp/a b.sock', trust: [ 10.0.0.0/8, '::1', '::ffff:10.1.0.0/112' ], max_connections: none, beat: 0s, timeouts: { idle: none } }\n"
        "  b: { address: '[::1]:0', trust: [], tls: { certificates: [ { certificate: a.pem, key: '$${x}' } ], client_ca: ca.pem, client_auth: optional } }\n"
        "upstreams:\n"
        "  u: { endpoints: [ 'unix:/run/u', '[::1]:1', host:2 ], health: {}, tls: {}, reset_budget: { rate: 7/h } }\n"
        "  v: { endpoints: v:1, protocol: http2, idle_timeout: none }\n"
        "dialects: { x-a: { unit: suffixed, digits: 3, suffixes: 'ms s', bare: ms }, q: { in: query, unit: s, name: Q } }\n"
        "policies:\n"
        "  base: { answer: { deadline: { http: 599, grpc: 9, retry_after: 1500ms } }, retry: { when: [], methods: [] } }\n"
        "  next: { extends: base, cancel: { call: { path: '/a/{request.path.id}?x=$$', headers: { x-a: '1' }, body: \"a\\nb\", endings: deadline },\n"
        "    http1: [ call, drain ], http2: none }, context: { fields: { x-1: { from: [] }, x-2: {}, x-3: { type: integer, pattern: '[\\d$$]{1,3}', required: warn, malformed: reject,\n"
        "    names: { grpc: X-Three } } }, require: { deadline: inject, trace: reject }, trace: { mode: join, from: b, sample: 12.5% }, baggage: { allow: [] }, newer: pass }, retry: ~ }\n"
        "routes:\n"
        "  - { match: {}, respond: { status: 204 } }\n"
        "  - { match: { header: { x: 1, y: { prefix: 'a, b' }, z: { present: false }, w: { at_least: 1.10 } } }, redirect: { path: /x, status: 308 } }\n"
        "  - { name: 'a: b', match: { path: '/{a}/*' }, upstreams: { u: 0, v: 7 }, policy: next, host: upstream, rewrite: { prefix: / },\n"
        "      headers: { request: { add: { x-b: '{}' }, remove: x-c }, response: { set: { x-d: '' } } } }\n"
        "admin: {}\nlog: { access: 'a file', level: trace }\nload: { inflight: 9, loop_lag: 50ms }\n";
    assert_prints_itself("all.yaml", all, sizeof all - 1);
}

static void write_file(const char *path, const char *text) {
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
}

/* A row of one's own parser would be left out in silence. */
static void check_rows_print(const struct conf_table *table, const struct conf_table **seen, size_t *n) {
    for (size_t i = 0; i < *n; i++)
        if (seen[i] == table) return;
    assert_true(*n < 100);
    seen[(*n)++] = table;
    const struct conf_field *f;
    for (size_t i = 0; table->fields && (f = &table->fields[i])->name; i++) {
        if (f->type == CONF_CUSTOM && !f->print) fail_msg("%s.%s has no print", table->name, f->name);
        if (f->table) check_rows_print(f->table, seen, n);
    }
    for (size_t i = 0; table->more && (f = table->more(i)); i++) {
        if (f->type == CONF_CUSTOM && !f->print) fail_msg("%s.%s has no print", table->name, f->name);
        if (f->table) check_rows_print(f->table, seen, n);
    }
}
static void every_row_can_be_printed(void **state) {
    (void)state;
    const struct conf_table *seen[100];
    size_t n = 0;
    check_rows_print(&config_table, seen, &n);
    assert_true(n > 20);
}

/* Beside each x.yaml stands x.expected: all that is printed, to the letter. UPDATE=1 writes it anew, for a look at the difference. */
static bool check_bad(const char *name) {
    char path[256], expected_path[256], *report = NULL;
    size_t n, length;
    snprintf(path, sizeof path, "tests/conf/bad/%s", name);
    snprintf(expected_path, sizeof expected_path, "%.*s.expected", (int)strlen(path) - 5, path);
    char *text = read_file(path, &length);
    struct config *c = load_as(name, text, length, &report);
    if (getenv("UPDATE")) write_file(expected_path, report);
    char *expected = read_file(expected_path, &n);
    bool good = !c && strcmp(report, expected) == 0 && strstr(expected, ": error: ");
    if (!good) print_error("%s: %s\n--- expected:\n%s--- got:\n%s", name, c ? "accepted" : "refused", expected, report);
    config_unref(c);
    free(text);
    free(expected);
    free(report);
    return good;
}

static void every_wrong_file_is_answered_to_the_letter(void **state) {
    (void)state;
    DIR *dir = opendir("tests/conf/bad");
    assert_non_null(dir);
    size_t files = 0, wrong = 0;
    for (struct dirent *e; (e = readdir(dir));) {
        const char *dot = strrchr(e->d_name, '.');
        if (!dot || strcmp(dot, ".yaml") != 0) continue;
        files++;
        wrong += !check_bad(e->d_name);
    }
    closedir(dir);
    assert_int_equal(wrong, 0);
    assert_true(files >= 100);
}

/* ---- what becomes of what is written --------------------------------------------------------------------------------------------- */

static void every_key_has_a_default(void **state) {
    (void)state;
    struct config *c = accepted(LISTENERS UPSTREAMS);
    const struct listener_conf *l = config_listener(c, 0);
    assert_int_equal(c->version, 1);
    assert_true(c->workers >= 1);
    assert_int_equal(l->timeouts.header.ns, 10 * NS_PER_S);
    assert_int_equal(l->timeouts.idle.ns, 75 * NS_PER_S);
    assert_int_equal(l->trust.mode, TRUST_NONE);
    assert_int_equal(l->beat.ns, 200 * NS_PER_US);
    assert_null(l->tls);
    const struct upstream_conf *u = config_upstream(c, 0);
    assert_null(u->codec);
    assert_null(u->health);
    assert_int_equal(u->balance, BALANCE_LEAST_REQUESTS);
    assert_int_equal(u->connect_timeout.ns, 500 * NS_PER_MS);
    assert_int_equal(u->reset_budget.burst, 100);
    assert_null(c->admin);
    assert_int_equal(c->log.access, ACCESS_STDOUT);
    assert_int_equal(c->log.level, LOG_INFO);
    assert_int_equal(c->shutdown.drain.ns, 30 * NS_PER_S);
    assert_int_equal(c->shutdown.drain_removed.ns, 600 * NS_PER_S);
    assert_int_equal(c->policies.n, 1);
    assert_true(str_eq(c->policies.names[0], STR("default")));
    config_unref(c);
}

static void every_codec_has_its_options_on_both_sides(void **state) {
    (void)state;
    struct config *c = accepted(LISTENERS UPSTREAMS);
    for (size_t i = 0; i < codec_count(); i++) {
        const struct codec *codec = codec_at(i);
        if (!codec->options) continue;
        assert_true(!(codec->roles & CODEC_DOWN) == !config_listener(c, 0)->options[i]);
        assert_true(!(codec->roles & CODEC_UP) == !config_upstream(c, 0)->options[i]);
        assert_ptr_not_equal(config_listener(c, 0)->options[i], config_listener(c, 1)->options[i]);
    }
    config_unref(c);
}

static void nothing_to_listen_on_is_a_warning(void **state) {
    (void)state;
    char *report = NULL;
    struct config *c = load_as("a.yaml", "", 0, &report);
    assert_non_null(c);
    assert_string_equal(report, "a.yaml:1:1: warning: there are no listeners: nobody can connect\n");
    config_unref(c);
    free(report);
}

static void the_log_goes_where_it_is_told(void **state) {
    (void)state;
    struct config *c = accepted(LISTENERS "log: { access: logs/access.json, level: debug }\n");
    assert_int_equal(c->log.access, ACCESS_FILE);
    assert_true(str_eq(c->log.access_file, STR("logs/access.json")));
    assert_int_equal(c->log.level, LOG_DEBUG);
    config_unref(c);
    c = accepted(LISTENERS "log: { access: disabled }\nadmin: {}\n");
    assert_int_equal(c->log.access, ACCESS_DISABLED);
    assert_int_equal(c->admin->address.port, 9901);
    config_unref(c);
}

static void routes_are_joined_by_name(void **state) {
    (void)state;
    struct config *c = accepted(LISTENERS UPSTREAMS "policies:\n  batch: { deadline: { max: 1h } }\n"
                                                  "routes:\n"
                                                  "  - { match: { path: /a }, upstream: reports, policy: batch }\n"
                                                  "  - { match: { path: /b }, respond: { status: 204 } }\n"
                                                  "  - { match: { path: /* }, upstreams: { orders: 95, reports: 0 } }\n");
    const struct route *a = CONF_AT(c->routes, struct route, 0), *b = CONF_AT(c->routes, struct route, 1), *d = CONF_AT(c->routes, struct route, 2);
    assert_int_equal(a->upstream_index, 1);
    assert_ptr_equal(a->use, policies_find(&c->policies, STR("batch")));
    assert_int_equal(b->index, 1);
    assert_true(b->upstream_index == SIZE_MAX);
    assert_ptr_equal(b->use, &c->policies.v[0]); /* the built-in, though only batch was written */
    assert_true(d->upstream_index == SIZE_MAX);
    assert_int_equal(d->nweighted, 1);
    assert_int_equal(d->weighted_index[0], 0);
    assert_int_equal(d->weighted_upto[0], 95);
    assert_int_equal(d->weight_total, 95);
    config_unref(c);
}

static void weights_add_up_in_order(void **state) {
    (void)state;
    struct config *c = accepted(LISTENERS UPSTREAMS "routes:\n  - { match: {}, upstreams: { reports: 5, orders: 95 } }\n");
    const struct route *r = CONF_AT(c->routes, struct route, 0);
    assert_int_equal(r->nweighted, 2);
    assert_int_equal(r->weighted_index[0], 1);
    assert_int_equal(r->weighted_upto[0], 5);
    assert_int_equal(r->weighted_index[1], 0);
    assert_int_equal(r->weighted_upto[1], 100);
    config_unref(c);
}

static bool wants_dates(const char *deadline) {
    char yaml[512];
    snprintf(yaml, sizeof yaml, LISTENERS "dialects:\n  x-when: { unit: ms, kind: epoch }\npolicies:\n  default:\n    deadline: %s\n", deadline);
    struct config *c = accepted(yaml);
    bool yes = c->needs_dates;
    config_unref(c);
    return yes;
}
static void the_wall_clock_is_wanted_only_where_a_dialect_in_use_has_it(void **state) {
    (void)state;
    assert_false(wants_dates("{ read: [ grpc-timeout ], write: { http: [ x-request-timeout ], grpc: [ grpc-timeout ] } }"));
    assert_true(wants_dates("{ read: [ grpc-timeout, x-when ], write: { http: [], grpc: [] } }"));
    assert_true(wants_dates("{ read: [ grpc-timeout ], write: { http: [ x-when ], grpc: [] } }"));
}

static void names_of_files_start_in_the_configuration_s_folder(void **state) {
    (void)state;
    static const char *const paths[][2] = { { "curfew.yaml", "" }, { "/etc/curfew/curfew.yaml", "/etc/curfew" }, { "/curfew.yaml", "/" }, { "a/b.yaml", "a" } };
    for (size_t i = 0; i < COUNT(paths); i++) {
        struct config *c = config_load(paths[i][0], LISTENERS, strlen(LISTENERS), NULL, NULL);
        assert_true(str_eq(c->folder, str_of(paths[i][1])));
        config_unref(c);
    }
}

static void a_file_that_is_not_there_is_said(void **state) {
    (void)state;
    char *report = NULL;
    assert_null(load_as("no/such.yaml", NULL, 0, &report));
    assert_string_equal(report, "no/such.yaml: error: cannot open: No such file or directory\n");
    free(report);
}

static void a_twice_named_endpoint_is_a_warning(void **state) {
    (void)state;
    char *report = NULL;
    static const char yaml[] = LISTENERS "upstreams:\n  a: { endpoints: [ 127.0.0.1:1, 127.0.0.1:1 ] }\n";
    struct config *c = load_as("a.yaml", yaml, sizeof yaml - 1, &report);
    assert_non_null(c);
    assert_string_equal(report, "a.yaml:5:34: warning: the endpoint 127.0.0.1:1 stands twice\n");
    config_unref(c);
    free(report);
}

/* ASan sees whether the last one frees it. */
static void a_snapshot_lives_as_long_as_someone_holds_it(void **state) {
    (void)state;
    struct config *c = accepted(LISTENERS), *held = config_ref(c);
    config_unref(c);
    assert_int_equal(held->listeners.n, 2);
    config_unref(held);
    config_unref(NULL);
}

static void the_parts_of_a_total_add_up(void **state) {
    (void)state;
    static const int64_t totals[] = { 0, 1, 2, 3, 4, 5, 63, 64, 4096 };
    for (size_t t = 0; t < COUNT(totals); t++)
        for (int64_t workers = 1; workers <= 8; workers++) {
            int64_t sum = 0, least = INT64_MAX, most = 0;
            for (unsigned w = 0; w < workers; w++) {
                int64_t part = config_share(totals[t], workers, w);
                sum += part;
                least = part < least ? part : least;
                most = part > most ? part : most;
            }
            int64_t expected = totals[t] == 0 ? 0 : totals[t] < workers ? workers : totals[t];
            assert_int_equal(sum, expected);
            assert_true(most - least <= 1);
        }
    assert_true(config_share(INT64_MAX, 4, 3) > INT64_MAX / 8);
}

/* ---- addresses ------------------------------------------------------------------------------------------------------------------------ */

static struct sockaddr_storage socket_of(const char *text) {
    struct address a;
    assert_null(address_parse(str_of(text), &a));
    return a.sa;
}
static void sockets_addresses_are_printed_and_compared(void **state) {
    (void)state;
    static const char *const all[] = { "192.0.2.1:80", "192.0.2.1:81", "192.0.2.2:80", "[2001:db8::1]:80", "[2001:db8::1]:81", "[2001:db8::2]:80",
                                       "unix:/run/x.sock", "unix:/run/y.sock" };
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        struct sockaddr_storage a = socket_of(all[i]);
        char text[ENDPOINT_TEXT_MAX];
        sockaddr_print(&a, text);
        assert_string_equal(text, a.ss_family == AF_UNIX ? "" : all[i]);
        for (size_t k = 0; k < sizeof all / sizeof *all; k++) {
            struct sockaddr_storage b = socket_of(all[k]);
            assert_int_equal(sockaddr_eq(&a, &b), i == k);
        }
    }
    struct sockaddr_storage longest = socket_of("[1111:2222:3333:4444:5555:6666:7777:8888]:65535");
    char text[ENDPOINT_TEXT_MAX];
    sockaddr_print(&longest, text);
    assert_string_equal(text, "[1111:2222:3333:4444:5555:6666:7777:8888]:65535");
}
static void addresses_are_read(void **state) {
    (void)state;
    struct address a;
    assert_null(address_parse(STR("127.0.0.1:80"), &a));
    assert_int_equal(a.kind, ADDRESS_IP);
    assert_int_equal(a.sa.ss_family, AF_INET);
    assert_int_equal(((struct sockaddr_in *)(void *)&a.sa)->sin_port, htons(80));
    assert_int_equal(((struct sockaddr_in *)(void *)&a.sa)->sin_addr.s_addr, htonl(0x7f000001));
    assert_int_equal(a.len, sizeof(struct sockaddr_in));
    assert_null(address_parse(STR("[2001:db8::1]:65535"), &a));
    assert_int_equal(a.sa.ss_family, AF_INET6);
    assert_int_equal(a.port, 65535);
    assert_true(str_eq(a.host, STR("2001:db8::1")));
    assert_true(str_eq(a.text, STR("[2001:db8::1]:65535")));
    assert_null(address_parse(STR("unix:/run/x.sock"), &a));
    assert_int_equal(a.kind, ADDRESS_UNIX);
    assert_string_equal(((struct sockaddr_un *)(void *)&a.sa)->sun_path, "/run/x.sock");
    assert_null(address_parse(STR("orders.internal.:443"), &a));
    assert_int_equal(a.kind, ADDRESS_NAME);
    assert_true(str_eq(a.host, STR("orders.internal.")));
    assert_int_equal(a.port, 443);
    assert_int_equal(a.len, 0);
    assert_null(address_parse(STR("3com.example:0"), &a));
}

static void what_is_no_address_is_told_so(void **state) {
    (void)state;
    static const char *const rows[][2] = {
        { "", "the address is empty" }, { "127.0.0.1", "the port is missing" }, { "host:", "the port is missing" },
        { ":80", "the host is missing" }, { "host:+80", "the port is a number from 0 to 65535" }, { "host:080808", "the port is a number from 0 to 65535" },
        { "[::1]", "the port is missing" }, { "[::1]80", "the port is missing" }, { "[fe80::1%eth0]:80", "this is not an IPv6 address" },
        { "[127.0.0.1]:80", "this is not an IPv6 address" }, { "1.2.3.4.5:80", "this is not an IPv4 address" }, { "1:80", "this is not an IPv4 address" },
        { "unix:", "the path of a unix socket begins with /" }, { "a:b:80", "an IPv6 address stands in brackets: [::1]:80" }, { "host:b:80", "an address is host:port" }, { ".:80", "the host is missing" },
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct address a;
        const char *say = address_parse(str_of(rows[i][0]), &a);
        assert_non_null(say);
        assert_string_equal(say, rows[i][1]);
    }
    char longer[200] = "unix:/";
    struct address a;
    memset(longer + 6, 'a', 102); /* 107 with the slash: just short enough for sun_path and its NUL */
    assert_null(address_parse((struct str){ longer, 5 + 103 }, &a));
    memset(longer + 6, 'a', 107);
    assert_non_null(address_parse((struct str){ longer, 5 + 108 }, &a));
    char label[80];
    memset(label, 'a', 64);
    memcpy(label + 64, ".b:80", 5);
    assert_non_null(address_parse((struct str){ label, 69 }, &a));
    assert_null(address_parse((struct str){ label + 1, 68 }, &a));
}

static struct sockaddr_storage peer(const char *text) {
    struct address a;
    assert_null(address_parse(str_of(text), &a));
    return a.sa;
}
static bool trusts(const char *network, const char *from) {
    struct cidr c;
    assert_null(cidr_parse(str_of(network), &c));
    struct sockaddr_storage sa = peer(from);
    return trust_has(&(struct trust){ TRUST_LIST, &c, 1 }, &sa);
}

static void a_network_has_its_addresses_and_no_others(void **state) {
    (void)state;
    assert_true(trusts("10.0.0.0/8", "10.255.0.1:1"));
    assert_false(trusts("10.0.0.0/8", "11.0.0.1:1"));
    assert_true(trusts("10.1.2.0/23", "10.1.3.255:1"));
    assert_false(trusts("10.1.2.0/23", "10.1.4.0:1"));
    assert_true(trusts("10.1.2.3", "10.1.2.3:1"));
    assert_false(trusts("10.1.2.3", "10.1.2.2:1"));
    assert_true(trusts("0.0.0.0/0", "255.0.0.1:1"));
    assert_false(trusts("0.0.0.0/0", "[2001:db8::1]:1"));
    assert_true(trusts("fc00::/7", "[fd12::1]:1"));
    assert_false(trusts("fd00::/8", "[fc12::1]:1"));
    assert_true(trusts("::/0", "[2001:db8::1]:1"));
    assert_true(trusts("::1", "[::1]:1"));
}

/* A socket for both families shows an IPv4 peer as ::ffff:a.b.c.d. */
static void a_mapped_address_counts_as_ipv4(void **state) {
    (void)state;
    assert_true(trusts("10.0.0.0/8", "[::ffff:10.1.2.3]:1"));
    assert_false(trusts("10.0.0.0/8", "[::ffff:11.1.2.3]:1"));
    assert_true(trusts("::ffff:10.0.0.0/104", "10.1.2.3:1"));
    assert_false(trusts("::/0", "[::ffff:10.1.2.3]:1"));
}

static void a_unix_peer_is_trusted_where_all_are(void **state) {
    (void)state;
    struct sockaddr_storage sa = peer("unix:/run/x.sock");
    struct cidr all;
    assert_null(cidr_parse(STR("0.0.0.0/0"), &all));
    assert_true(trust_has(&(struct trust){ .mode = TRUST_ALL }, &sa));
    assert_false(trust_has(&(struct trust){ .mode = TRUST_NONE }, &sa));
    assert_false(trust_has(&(struct trust){ TRUST_LIST, &all, 1 }, &sa));
}

static void what_is_no_network_is_refused(void **state) {
    (void)state;
    static const char *const texts[] = { "", "10.0.0.0/", "10.0.0.0/33", "10.0.0.0/-1", "10.0.0.0/8x", "10.0.0.1/8", "10/8", "::1/127", "::/129", "::/0008",
                                         "host/8", "10.0.0.0/8/8", "010.0.0.0/8", "all" };
    for (size_t i = 0; i < COUNT(texts); i++) {
        struct cidr c;
        if (!cidr_parse(str_of(texts[i]), &c)) fail_msg("accepted: %s", texts[i]);
    }
}

/* ---- printed ---------------------------------------------------------------------------------------------------------------------------- */

static char *printed(void (*print)(FILE *, const struct conf_table *)) {
    char *text = NULL;
    size_t n = 0;
    FILE *to = open_memstream(&text, &n);
    print(to, &config_table);
    fclose(to);
    return text;
}
static void the_reference_and_the_schema_have_all_tables(void **state) {
    (void)state;
    char *reference = printed(conf_print_reference), *schema = printed(conf_print_schema);
    static const char *const words[] = { "connect_timeout", "drain_limit", "x-request-timeout", "max_head", "retry_after", "certificates", "prefixes", "budget" };
    for (size_t i = 0; i < COUNT(words); i++) {
        if (!strstr(reference, words[i])) fail_msg("not in the reference: %s", words[i]);
        if (!strstr(schema, words[i])) fail_msg("not in the schema: %s", words[i]);
    }
    assert_non_null(strstr(reference, "| `policies` | names, each with [policy](#policy) |"));
    assert_null(strstr(schema, "#/$defs/upstream tls")); /* a blank is none of a URI's characters */
    free(reference);
    free(schema);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_reference_example_is_accepted_as_it_stands),
        cmocka_unit_test(what_may_be_a_secret_is_masked_for_others_and_still_loads),
        cmocka_unit_test(what_counts_is_accepted_again_and_prints_the_same),
        cmocka_unit_test(every_row_can_be_printed),
        cmocka_unit_test(every_wrong_file_is_answered_to_the_letter),
        cmocka_unit_test(every_key_has_a_default),
        cmocka_unit_test(every_codec_has_its_options_on_both_sides),
        cmocka_unit_test(nothing_to_listen_on_is_a_warning),
        cmocka_unit_test(the_log_goes_where_it_is_told),
        cmocka_unit_test(routes_are_joined_by_name),
        cmocka_unit_test(weights_add_up_in_order),
        cmocka_unit_test(the_wall_clock_is_wanted_only_where_a_dialect_in_use_has_it),
        cmocka_unit_test(names_of_files_start_in_the_configuration_s_folder),
        cmocka_unit_test(a_file_that_is_not_there_is_said),
        cmocka_unit_test(a_twice_named_endpoint_is_a_warning),
        cmocka_unit_test(a_snapshot_lives_as_long_as_someone_holds_it),
        cmocka_unit_test(the_parts_of_a_total_add_up),
        cmocka_unit_test(sockets_addresses_are_printed_and_compared), cmocka_unit_test(addresses_are_read),
        cmocka_unit_test(what_is_no_address_is_told_so),
        cmocka_unit_test(a_network_has_its_addresses_and_no_others),
        cmocka_unit_test(a_mapped_address_counts_as_ipv4),
        cmocka_unit_test(a_unix_peer_is_trusted_where_all_are),
        cmocka_unit_test(what_is_no_network_is_refused),
        cmocka_unit_test(the_reference_and_the_schema_have_all_tables),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
