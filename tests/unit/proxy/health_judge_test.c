// SPDX-License-Identifier: Apache-2.0
// What checks in a row say of an endpoint, and which answers are those of a healthy one.
// clang-format off
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
// clang-format on
#include "proxy/health_judge.h"
#include <stdlib.h>

static const struct health_conf three_two = { .unhealthy_after = 3, .healthy_after = 2 };
/* Checks, + good and - bad, and what each of them makes of the endpoint: i in, o out. */
static void assert_tally(const char *checks, const char *states) {
    struct tally t = { 0 };
    for (size_t i = 0; checks[i]; i++) {
        bool was = t.out;
        enum tally_news news = tally_count(&t, &three_two, checks[i] == '+');
        if (t.out != (states[i] == 'o')) fail_msg("check %zu of %s: %s", i + 1, checks, t.out ? "out" : "in");
        assert_int_equal(news, was == t.out ? TALLY_SAME : t.out ? TALLY_OUT : TALLY_IN);
    }
}
static void failures_in_a_row_take_it_out(void **state) {
    (void)state;
    assert_tally("+---", "iiio");
    assert_tally("+-------", "iiiooooo");
}
static void a_success_between_begins_the_count_anew(void **state) {
    (void)state;
    assert_tally("+--+--+---", "iiiiiiiiio");
}
static void successes_in_a_row_bring_it_back(void **state) {
    (void)state;
    assert_tally("+---++", "iiiooi");
    assert_tally("+---+-+-++", "iiiooooooi");
    assert_tally("+---++---++", "iiiooiiiooi");
}
static void the_first_check_decides_alone(void **state) {
    (void)state;
    assert_tally("-", "o");
    assert_tally("+", "i");
}
static void who_never_passed_one_comes_in_with_the_first_that_it_passes(void **state) {
    (void)state;
    assert_tally("---+", "oooi");
    assert_tally("---+--", "oooiii");
    assert_tally("---+---+", "oooiiioo");
}

/* ---- answers ------------------------------------------------------------------------------------------------------------------------ */
static struct arena arena;
static int begin(void **state) {
    (void)state;
    arena_init(&arena, NULL);
    return 0;
}
static int end(void **state) {
    (void)state;
    arena_clear(&arena);
    return 0;
}
static char why[HEALTH_REASON_MAX];
static bool http(unsigned status) {
    struct head h;
    head_init(&h, &arena, false);
    h.status = (uint16_t)status;
    const struct health_answer a = { .head = &h };
    return health_is_good(HEALTH_HTTP, &a, why);
}
static void http_is_healthy_by_2xx_alone(void **state) {
    (void)state;
    assert_true(http(200) && http(204) && http(299));
    static const unsigned bad[] = { 101, 199, 300, 301, 304, 404, 429, 500, 503 };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) assert_false(http(bad[i]));
    assert_string_equal(why, "status 503");
}
static void a_connection_is_all_that_tcp_asks_for(void **state) {
    (void)state;
    assert_true(health_is_good(HEALTH_TCP, &(struct health_answer){ 0 }, why));
}
/* status NULL: no grpc-status in the trailers. */
static bool grpc(unsigned http_status, const char *status, const char *body, size_t n) {
    struct head h, trailers;
    head_init(&h, &arena, false);
    h.status = (uint16_t)http_status;
    head_init(&trailers, &arena, false);
    if (status) head_add(&trailers, STR("grpc-status"), str_of(status));
    const struct health_answer a = { .head = &h, .trailers = &trailers, .body = (const uint8_t *)body, .nbody = n };
    return health_is_good(HEALTH_GRPC, &a, why);
}
#define GRPC(status, body) grpc(200, status, body, sizeof body - 1)
#define SERVING "\0\0\0\0\2\x08\x01"
static void grpc_is_healthy_by_serving_alone(void **state) {
    (void)state;
    assert_true(GRPC("0", SERVING));
    assert_false(GRPC("0", "\0\0\0\0\2\x08\x02"));
    assert_string_equal(why, "NOT_SERVING");
    assert_false(GRPC("0", "\0\0\0\0\2\x08\x03"));
    assert_string_equal(why, "SERVICE_UNKNOWN");
    assert_false(GRPC("0", "\0\0\0\0\0"));
    assert_string_equal(why, "UNKNOWN");
}
static void another_status_of_grpc_is_a_failure_unimplemented_too(void **state) {
    (void)state;
    assert_false(GRPC("12", ""));
    assert_string_equal(why, "grpc-status 12 (UNIMPLEMENTED): it has no grpc.health.v1.Health");
    assert_false(GRPC("14", SERVING));
    assert_string_equal(why, "grpc-status 14 (UNAVAILABLE)");
}
static void what_is_no_answer_of_grpc_is_a_failure(void **state) {
    (void)state;
    assert_false(GRPC(NULL, SERVING));
    assert_string_equal(why, "no answer of gRPC (status 200)");
    assert_false(grpc(502, "0", SERVING, sizeof SERVING - 1));
    assert_string_equal(why, "no answer of gRPC (status 502)");
}
static void a_message_may_have_fields_that_are_not_known(void **state) {
    (void)state;
    assert_true(GRPC("0", "\0\0\0\0\x15" "\x12\3abc" "\x19" "12345678" "\x08\x01" "\x25" "1234"));
    assert_true(GRPC("0", "\0\0\0\0\4\x08\x02\x08\x01")); /* the last one counts */
    assert_true(GRPC("0", "\0\0\0\0\3\x08\x81\0"));       /* a varint that is longer than it must be */
}
static void a_message_that_is_none_is_a_failure(void **state) {
    (void)state;
#define NONE(body) (assert_false(GRPC("0", body)), assert_string_equal(why, "no answer of grpc.health.v1"))
    NONE("");
    NONE("\0\0\0\0");
    NONE("\1\0\0\0\2\x08\x01");     /* compressed, which nobody asked for */
    NONE("\0\0\0\0\3\x08\x01");     /* cut */
    NONE("\0\0\0\0\2\x08\x01\0");   /* more than the message */
    NONE("\0\0\0\0\1\x08");
    NONE("\0\0\0\0\2\x08\x81");
    NONE("\0\0\0\0\3\x12\x7f" "a");  /* longer than there is */
    NONE("\0\0\0\0\1\x0b");         /* a group: not of proto3 */
    NONE("\0\0\0\0\1\x0d");
    NONE("\0\0\0\0\xc\x12\xff\xff\xff\xff\xff\xff\xff\xff\xff\1" "a");
    NONE("\0\0\0\0\4\x08\xff\xff\x7f");
}
static void no_cut_of_a_message_is_read_beyond(void **state) {
    (void)state;
    static const char whole[] = "\0\0\0\0\xb\x12\3abc\x08\x01\x25" "123";
    for (size_t n = 0; n < sizeof whole; n++) {
        char *copy = mem_alloc(n); /* no byte more: the sanitizer watches */
        memcpy(copy, whole, n);
        if (n > 4) copy[4] = (char)(n - 5);
        bool good = grpc(200, "0", copy, n);
        assert_true(!good || n >= 12);
        free(copy);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(failures_in_a_row_take_it_out),
        cmocka_unit_test(a_success_between_begins_the_count_anew),
        cmocka_unit_test(successes_in_a_row_bring_it_back),
        cmocka_unit_test(the_first_check_decides_alone),
        cmocka_unit_test(who_never_passed_one_comes_in_with_the_first_that_it_passes),
        cmocka_unit_test_setup_teardown(http_is_healthy_by_2xx_alone, begin, end),
        cmocka_unit_test(a_connection_is_all_that_tcp_asks_for),
        cmocka_unit_test_setup_teardown(grpc_is_healthy_by_serving_alone, begin, end),
        cmocka_unit_test_setup_teardown(another_status_of_grpc_is_a_failure_unimplemented_too, begin, end),
        cmocka_unit_test_setup_teardown(what_is_no_answer_of_grpc_is_a_failure, begin, end),
        cmocka_unit_test_setup_teardown(a_message_may_have_fields_that_are_not_known, begin, end),
        cmocka_unit_test_setup_teardown(a_message_that_is_none_is_a_failure, begin, end),
        cmocka_unit_test_setup_teardown(no_cut_of_a_message_is_read_beyond, begin, end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
