// SPDX-License-Identifier: Apache-2.0
// limits.memory: what peers make a worker hold is bounded, whoever they are; who refuses nothing to others is not ended, and it is over when there is
// room again.
#include "tests/flow/stage.h"

#define MEGABYTE (INT64_C(1) << 20)
#define LIMIT "limits: { memory: 16MiB }"
#define PATIENT "deadline: { default: none, max: none, idle: none }"
static const struct given given = { .top = LIMIT, .policy = PATIENT, .upstream = "max_connections: 10000", .listener = "timeouts: { write: 30s, body: 30s }" };

/* n clients that take nothing of an answer. What the gateway does not read of it is the stage's, which counts as well: so there is not much. */
static void clients_that_take_nothing(int n) {
    for (int i = 0; i < n; i++) {
        struct sock *c = client();
        takes(c, 0);
        client_sends(c, GET());
        struct sock *u = upstream_or_none();
        if (!u) continue;
        upstream_sends(u, ANSWER("content-length: 1000000\r\n"));
        sends_n(u, 'x', 60000);
    }
}
static void past_the_limit_new_requests_are_told_to_come_again(void **state) {
    (void)state;
    stage(given);
    struct sock *kept = asks(GET()), *u = upstream();
    clients_that_take_nothing(400);
    assert_true(mem_held > 16 * MEGABYTE && mem_held < 24 * MEGABYTE);
    assert_true(count(METRIC_MEMORY_REFUSED) > 0);
    struct sock *c = client();
    client_sends(c, GET());
    assert_has(assert_answer(c, 503), "HTTP/1.1 503");
    upstream_sends(u, ANSWER_OK); /* a client that takes its answer gets it */
    assert_answer(kept, 200);
    step(31 * SECONDS); /* all that took nothing are gone */
    assert_true(mem_held < MEGABYTE);
    c = asks(GET());
    upstream_sends(u, ANSWER_OK);
    assert_answer(c, 200);
    while (next_line()) { }
}
/* Whose request is worth an answer that says when: there is still room for one. */
static void a_little_past_the_limit_the_answer_says_so_in_the_clients_words(void **state) {
    (void)state;
    stage(given);
    mem_held += 17 * MEGABYTE;
    struct sock *c = asks(GET());
    assert_has(assert_answer(c, 503), "limits.memory");
    assert_nobody_called();
    assert_ended("shed_load");
    mem_held -= 17 * MEGABYTE;
    c = asks(GET());
    upstream_sends(upstream(), ANSWER_OK);
    assert_answer(c, 200);
    assert_ended("completed");
}
static void who_has_nothing_to_wait_for_is_not_waited_for_when_memory_is_short(void **state) {
    (void)state;
    stage(given);
    struct sock *slow, *u = asked(&slow, POST("content-length: 1000\r\n"));
    struct sock *well, *v = asked(&well, GET());
    step(6 * SECONDS);
    mem_held += 17 * MEGABYTE;
    struct sock *c = asks(GET());
    assert_answer(c, 503);
    assert_answer(slow, 408);
    assert_reset(u);
    assert_open(well); /* its upstream is what is waited for */
    mem_held -= 17 * MEGABYTE;
    upstream_sends(v, ANSWER_OK);
    assert_answer(well, 200);
    step(5 * SECONDS);
    while (next_line()) { }
}
static void an_upload_that_nobody_takes_ends_where_there_is_no_room_for_more(void **state) {
    (void)state;
    stage(given);
    struct sock *c, *u = asked(&c, POST("content-length: 1000000\r\n"));
    takes(u, 0);
    sends_n(c, 'x', 300000); /* what one write left over, and then a queue */
    assert_nothing_ended();
    mem_held += 20 * MEGABYTE;
    sends_n(c, 'x', 50000);
    assert_answer(c, 503);
    assert_reset(u);
    mem_held -= 20 * MEGABYTE;
    step(5 * SECONDS);
    assert_ended("shed_load");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        SCENE(past_the_limit_new_requests_are_told_to_come_again),
        SCENE(a_little_past_the_limit_the_answer_says_so_in_the_clients_words),
        SCENE(who_has_nothing_to_wait_for_is_not_waited_for_when_memory_is_short),
        SCENE(an_upload_that_nobody_takes_ends_where_there_is_no_room_for_more),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
