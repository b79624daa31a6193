// SPDX-License-Identifier: Apache-2.0
// The metrics as a scraper reads them: every worker counted, every family declared once, and no label that is not ours.
#include "policies/policy.h"
#include "proxy/load.h"
#include "proxy/metrics.h"
#include <ctype.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <cmocka.h>

static struct worker_metrics a, b;
static char *text;
static size_t len;

/* One that enforces all, one that observes, one that has a guard. */
static struct guard_policy guard;
static struct policy enforcing = { .deadline = { .mode = MODE_ENFORCE }, .cancel = { .mode = MODE_ENFORCE } };
static struct policy observing = { .deadline = { .mode = MODE_OBSERVE }, .cancel = { .mode = MODE_ENFORCE } };
static struct policy guarded = { .deadline = { .mode = MODE_ENFORCE, .max_reject = &guard }, .cancel = { .mode = MODE_ENFORCE } };
static struct route three[] = { { .index = 0, .use = &enforcing }, { .index = 1, .use = &observing, .name.name = STR_INIT("a \"b\\c\"\n") },
                                { .index = 2, .use = &guarded, .name.name = STR_INIT("guarded") } };
static const struct conf_array routes = { .v = three, .n = 3, .size = sizeof three[0] };

static int begin(void **state) {
    (void)state;
    memset(&a, 0, sizeof a);
    memset(&b, 0, sizeof b);
    a.routes = route_counters_new(&routes, NULL, NULL);
    b.routes = route_counters_new(&routes, NULL, NULL);
    text = NULL;
    return 0;
}
static int end(void **state) {
    (void)state;
    free(text);
    route_counters_unref(a.routes);
    route_counters_unref(b.routes);
    return 0;
}
static void print(size_t n) {
    const struct worker_metrics *const workers[] = { &a, &b };
    free(text);
    FILE *f = open_memstream(&text, &len);
    metrics_print(f, workers, n, &routes);
    fclose(f);
}
/* As a whole line. */
static bool says(const char *line) {
    size_t n = strlen(line);
    for (const char *p = text; (p = strstr(p, line)); p++)
        if ((p == text || p[-1] == '\n') && p[n] == '\n') return true;
    return false;
}

static void counters_of_all_workers_are_summed(void **state) {
    (void)state;
    metric_inc(&a, METRIC_CONNECTIONS);
    metric_add(&b, METRIC_CONNECTIONS, 41);
    metric_set(&a, METRIC_LOG_DROPPED, 5);
    metric_set(&a, METRIC_LOG_DROPPED, 7); /* a count kept elsewhere is taken over, not added */
    print(2);
    assert_true(says("curfew_connections_total 42"));
    assert_true(says("curfew_access_log_dropped_total 7"));
    assert_true(says("curfew_workers 2"));
    print(1);
    assert_true(says("curfew_connections_total 1"));
}
static void a_gauge_may_rise_here_and_fall_there(void **state) {
    (void)state;
    metric_inc(&a, METRIC_EXCHANGES_LIVE);
    metric_inc(&a, METRIC_EXCHANGES_LIVE);
    metric_dec(&a, METRIC_EXCHANGES_LIVE);
    metric_dec(&b, METRIC_QUEUED);
    metric_inc(&a, METRIC_QUEUED);
    metric_inc(&a, METRIC_QUEUED);
    print(2);
    assert_true(says("curfew_exchanges 1"));
    assert_true(says("curfew_queued 1"));
}
static void requests_are_counted_by_ending(void **state) {
    (void)state;
    metrics_request(&a, ENDING_COMPLETED);
    metrics_request(&b, ENDING_COMPLETED);
    metrics_request(&b, ENDING_SHED_LOAD);
    print(2);
    assert_true(says("curfew_requests_total{ending=\"completed\"} 2"));
    assert_true(says("curfew_requests_total{ending=\"shed_load\"} 1"));
    assert_true(says("curfew_requests_total{ending=\"deadline\"} 0"));
    assert_true(says("curfew_shed_total{reason=\"load\"} 1"));
    assert_true(says("curfew_shed_total{reason=\"expired\"} 0"));
    assert_null(strstr(text, "ending=\"none\""));
}
static void a_routes_requests_are_counted_by_its_name_or_its_place(void **state) {
    (void)state;
    metric_cell_add(&a.routes->v[0]->requests[ENDING_DEADLINE], 3);
    metric_cell_add(&b.routes->v[0]->requests[ENDING_DEADLINE], 4);
    metric_cell_add(&b.routes->v[1]->requests[ENDING_COMPLETED], 1);
    print(2);
    assert_true(says("curfew_route_requests_total{route=\"routes[0]\",ending=\"deadline\"} 7"));
    assert_true(says("curfew_route_requests_total{route=\"routes[0]\",ending=\"completed\"} 0"));
    assert_true(says("curfew_route_requests_total{route=\"a \\\"b\\\\c\\\"\\n\",ending=\"completed\"} 1")); /* a name ends no label */
    assert_null(strstr(text, "route=\"guarded\",ending=\"deadline\"")); /* what was never there is not said of a thousand routes */
}
#define ENDPOINT(u, e) { .upstream = STR_INIT(u), .endpoint = STR_INIT(e), .healthy = 1 }
static void endpoints_that_are_checked_have_a_gauge_each_while_they_are_there(void **state) {
    (void)state;
    struct endpoint_metrics v[] = { ENDPOINT("two", "[::1]:1"), ENDPOINT("one", "b:1"), ENDPOINT("one", "a:1"), ENDPOINT("one", "b:10") };
    for (size_t i = 0; i < 4; i++) metrics_add_endpoint(i ? &a : &b, &v[i]);
    metric_cell_set(&v[2].healthy, 0);
    print(2);
    assert_non_null(strstr(text, "curfew_endpoint_healthy{upstream=\"one\",endpoint=\"a:1\"} 0\n"
                                 "curfew_endpoint_healthy{upstream=\"one\",endpoint=\"b:1\"} 1\n"
                                 "curfew_endpoint_healthy{upstream=\"one\",endpoint=\"b:10\"} 1\n"
                                 "curfew_endpoint_healthy{upstream=\"two\",endpoint=\"[::1]:1\"} 1\n"));
    metrics_remove_endpoint(&a, &v[1]);
    metrics_remove_endpoint(&a, &v[1]); /* twice does no harm */
    print(2);
    assert_null(strstr(text, "endpoint=\"b:1\""));
    assert_non_null(strstr(text, "endpoint=\"b:10\""));
    for (size_t i = 2; i < 4; i++) metrics_remove_endpoint(&a, &v[i]);
    metrics_remove_endpoint(&b, &v[0]);
    print(2);
    assert_null(strstr(text, "curfew_endpoint_healthy{"));
    assert_non_null(strstr(text, "# TYPE curfew_endpoint_healthy gauge\n"));
}
static void an_address_that_stands_twice_is_one_series(void **state) {
    (void)state;
    struct endpoint_metrics v[] = { ENDPOINT("u", "a:1"), ENDPOINT("u", "b:1"), ENDPOINT("u", "a:1") };
    for (size_t i = 0; i < 3; i++) metrics_add_endpoint(&a, &v[i]);
    metric_cell_set(&v[2].healthy, 0);
    print(1);
    assert_non_null(strstr(text, "gauge\ncurfew_endpoint_healthy{upstream=\"u\",endpoint=\"a:1\"} 0\n"
                                 "curfew_endpoint_healthy{upstream=\"u\",endpoint=\"b:1\"} 1\n#"));
    for (size_t i = 0; i < 3; i++) metrics_remove_endpoint(&a, &v[i]);
}
static void what_is_observed_and_let_through_is_counted_by_route_where_that_can_be(void **state) {
    (void)state;
    metric_cell_add(&a.routes->v[1]->observed->endings[ENDING_DEADLINE], 2);
    metric_cell_add(&b.routes->v[1]->observed->cancels[ENDING_CLIENT_RESET][LEVEL_CLOSE], 5);
    metric_cell_add(&a.routes->v[2]->observed->let_through[ENDING_SHED_EXPIRED], 6);
    assert_null(a.routes->v[0]->observed);
    three[1].name.name = STR("watched");
    print(2);
    three[1].name.name = STR("a \"b\\c\"\n");
    assert_true(says("curfew_observed_endings_total{route=\"watched\",ending=\"deadline\"} 2"));
    assert_true(says("curfew_observed_endings_total{route=\"watched\",ending=\"client_reset\"} 0"));
    assert_true(says("curfew_observed_cancels_total{route=\"watched\",ending=\"client_reset\",level=\"close\"} 5"));
    assert_true(says("curfew_let_through_total{route=\"guarded\",ending=\"shed_expired\"} 6"));
    assert_true(says("curfew_let_through_total{route=\"guarded\",ending=\"shed_latency\"} 0"));
    assert_null(strstr(text, "observed_endings_total{route=\"routes[0]\""));
    assert_null(strstr(text, "observed_endings_total{route=\"guarded\""));
    assert_null(strstr(text, "let_through_total{route=\"watched\""));
}
static void cancels_are_counted_by_ending_and_level(void **state) {
    (void)state;
    metrics_cancel(&a, ENDING_CLIENT_RESET, LEVEL_NATIVE);
    metrics_cancel(&b, ENDING_CLIENT_RESET, LEVEL_NATIVE);
    metrics_cancel(&b, ENDING_CLIENT_RESET, LEVEL_NOT_NEEDED); /* is no cancel */
    metrics_cancel(&b, ENDING_COMPLETED, LEVEL_WITHDRAWN);     /* the loser of a hedge */
    print(2);
    assert_true(says("curfew_cancels_total{ending=\"client_reset\",level=\"native\"} 2"));
    assert_true(says("curfew_cancels_total{ending=\"client_reset\",level=\"close\"} 0"));
    assert_true(says("curfew_cancels_total{ending=\"completed\",level=\"withdrawn\"} 1"));
    assert_null(strstr(text, "level=\"\""));
    assert_null(strstr(text, "ending=\"completed\",level=\"native\""));
}
static void retries_are_counted_by_the_outcome_before_and_by_what_was_against_them(void **state) {
    (void)state;
    metrics_retry(&a, ENDING_CONNECT_FAILURE);
    metrics_retry(&b, ENDING_CONNECT_FAILURE);
    metrics_retry(&b, ENDING_NONE);
    metrics_retry_refused(&a, RETRY_BUDGET);
    print(2);
    assert_true(says("curfew_retries_total{outcome=\"connect_failure\"} 2"));
    assert_true(says("curfew_retries_total{outcome=\"status\"} 1"));
    assert_true(says("curfew_retries_total{outcome=\"try_timeout\"} 0"));
    assert_null(strstr(text, "outcome=\"deadline\""));
    assert_true(says("curfew_retries_refused_total{reason=\"budget\"} 1"));
    assert_true(says("curfew_retries_refused_total{reason=\"no_time\"} 0"));
    assert_null(strstr(text, "reason=\"\""));
}
static void fields_that_did_not_pass_are_counted_by_why(void **state) {
    (void)state;
    metrics_field(&a, FIELD_UNLISTED, 2);
    metrics_field(&b, FIELD_UNLISTED, 1);
    metrics_field(&b, FIELD_LOAD, 4);
    print(2);
    assert_true(says("curfew_context_fields_removed_total{why=\"unlisted\"} 3"));
    assert_true(says("curfew_context_fields_removed_total{why=\"load\"} 4"));
    assert_true(says("curfew_context_fields_removed_total{why=\"caps\"} 0")); /* zeros, too */
    assert_false(says("curfew_context_fields_removed_total{why=\"passed\"} 0"));
}
static void the_operators_switch_is_one_of_its_states(void **state) {
    (void)state;
    load_switch_set(LOAD_KEEP);
    print(2);
    load_switch_set(LOAD_AUTO);
    assert_true(says("curfew_optional_fields_switch{state=\"off\"} 1"));
    assert_true(says("curfew_optional_fields_switch{state=\"on\"} 0"));
    assert_true(says("curfew_optional_fields_switch{state=\"auto\"} 0"));
}
static void lateness_is_a_cumulative_histogram_in_seconds(void **state) {
    (void)state;
    metrics_lateness(&a, span_us(500));  /* a bound is part of its bucket */
    metrics_lateness(&a, span_us(501));
    metrics_lateness(&b, span_ms(-3));   /* early by the clock's grain: not late */
    metrics_lateness(&b, span_s(2));
    print(2);
    assert_true(says("curfew_deadline_lateness_seconds_bucket{le=\"0.0005\"} 2"));
    assert_true(says("curfew_deadline_lateness_seconds_bucket{le=\"0.001\"} 3"));
    assert_true(says("curfew_deadline_lateness_seconds_bucket{le=\"1\"} 3"));
    assert_true(says("curfew_deadline_lateness_seconds_bucket{le=\"+Inf\"} 4"));
    assert_true(says("curfew_deadline_lateness_seconds_count 4"));
    assert_true(says("curfew_deadline_lateness_seconds_sum 2.001001000"));
}

/* The exposition format 0.0.4, as strictly as a scraper reads it. */
static bool is_name(const char *p, size_t n) {
    for (size_t i = 0; i < n; i++)
        if (!islower((unsigned char)p[i]) && !isdigit((unsigned char)p[i]) && p[i] != '_') return false;
    return n > 0;
}
static void every_family_is_declared_once_before_its_samples(void **state) {
    (void)state;
    char family[128] = "", seen[128][80];
    size_t nseen = 0;
    print(2);
    for (char *line = text, *nl; *line; line = nl + 1) {
        nl = strchr(line, '\n');
        assert_non_null(nl);
        *nl = '\0';
        if (strncmp(line, "# HELP ", 7) == 0) {
            size_t n = strcspn(line + 7, " ");
            assert_true(is_name(line + 7, n));
            assert_true(strncmp(line + 7, "curfew_", 7) == 0 && n < sizeof seen[0]);
            memcpy(family, line + 7, n);
            family[n] = '\0';
            for (size_t i = 0; i < nseen; i++) assert_string_not_equal(seen[i], family);
            memcpy(seen[nseen++], family, n + 1);
            assert_true(strlen(line + 7 + n) > 4); /* it says something */
        } else if (strncmp(line, "# TYPE ", 7) == 0) {
            assert_memory_equal(line + 7, family, strlen(family));
            const char *type = line + 7 + strlen(family) + 1;
            bool total = strlen(family) > 6 && strcmp(family + strlen(family) - 6, "_total") == 0;
            assert_true(strcmp(type, "counter") == 0 || strcmp(type, "gauge") == 0 || strcmp(type, "histogram") == 0);
            assert_int_equal(strcmp(type, "counter") == 0, total);
        } else {
            assert_memory_equal(line, family, strlen(family));
            const char *value = strrchr(line, ' ');
            char *rest;
            assert_non_null(value);
            strtod(value + 1, &rest);
            assert_int_equal(*rest, 0);
        }
    }
    assert_true(nseen > METRICS);
}

/* For the thread sanitizer, mostly: a reader needs no lock and never sees a counter go back. */
static atomic_bool stop;
static void *count(void *arg) {
    struct worker_metrics *m = arg;
    while (!atomic_load(&stop)) metric_inc(m, METRIC_TURNS), metrics_lateness(m, span_us(1));
    return NULL;
}
static void printing_needs_no_lock(void **state) {
    (void)state;
    pthread_t t;
    uint64_t last = 0;
    pthread_create(&t, NULL, count, &a);
    for (unsigned i = 0; i < 50; i++) {
        print(2);
        uint64_t now = strtoull(strstr(text, "\ncurfew_loop_turns_total ") + 25, NULL, 10);
        assert_true(now >= last);
        last = now;
    }
    atomic_store(&stop, true);
    pthread_join(t, NULL);
    print(2);
    char want[64];
    snprintf(want, sizeof want, "curfew_loop_turns_total %llu", (unsigned long long)metric_get(&a, METRIC_TURNS));
    assert_true(says(want));
}

#define T(f) cmocka_unit_test_setup_teardown(f, begin, end)
int main(void) {
    const struct CMUnitTest tests[] = {
        T(counters_of_all_workers_are_summed), T(a_gauge_may_rise_here_and_fall_there), T(requests_are_counted_by_ending),
        T(a_routes_requests_are_counted_by_its_name_or_its_place), T(what_is_observed_and_let_through_is_counted_by_route_where_that_can_be),
        T(endpoints_that_are_checked_have_a_gauge_each_while_they_are_there), T(an_address_that_stands_twice_is_one_series),
        T(cancels_are_counted_by_ending_and_level), T(retries_are_counted_by_the_outcome_before_and_by_what_was_against_them),
        T(fields_that_did_not_pass_are_counted_by_why),
        T(the_operators_switch_is_one_of_its_states),
        T(lateness_is_a_cumulative_histogram_in_seconds),
        T(every_family_is_declared_once_before_its_samples), T(printing_needs_no_lock),
    };
    return cmocka_run_group_tests_name("metrics", tests, NULL, NULL);
}
