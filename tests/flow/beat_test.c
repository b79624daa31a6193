// SPDX-License-Identifier: Apache-2.0
// The beat: a busy multiplexed connection is served at most once in so long, so that what comes meanwhile shares a read and a write; and what the
// beat must not touch: endings, bulk, connections that are not busy. And a connection with one request at a time, which is not looked at once more
// for an RST behind its bytes until it is due.
#include "tests/flow/h2.h"

#define UP "protocol: http2"
#define BEAT (100 * NS_PER_US)
#define CANCEL 8u

struct two { struct h2 *c, *u; };
/* Both connections carry so many exchanges, and were served just now. */
static struct two busy_with(int n, const char *policy) {
    stage((struct given){ .upstream = UP, .policy = policy, .beat = "100us" });
    struct two t = { h2_client(), NULL };
    h2_get(t.c, "/first", NULL);
    h2_settle(t.c, NULL);
    t.u = h2_upstream();
    world.now += SECONDS;
    for (int i = 1; i < n; i++) h2_get(t.c, "/more", NULL);
    h2_settle(t.c, t.u);
    assert_int_equal(t.u->n, n);
    world.now += BEAT / 10;
    return t;
}
static void leaves(struct h2 *c) {
    if (!c->s->fin) finishes(c->s);
    for (unsigned i = 0; i < c->n; i++) {
        if (!c->v[i].ended) assert_ended("client_closed");
    }
}
static void over(struct two t) {
    leaves(t.c);
    h2_free(t.c);
    h2_free(t.u);
}
static unsigned upstream_counts(struct two t) {
    h2_read(t.u);
    return t.u->n;
}
static void beat_passes(void) {
    world.now += BEAT;
    settle();
}

static void a_busy_connection_is_read_once_a_beat(void **state) {
    (void)state;
    struct two t = busy_with(8, NULL);
    h2_get(t.c, "/a", NULL);
    h2_write(t.c);
    settle();
    assert_int_equal(upstream_counts(t), 8);
    world.now += BEAT / 2;
    h2_get(t.c, "/b", NULL);
    h2_write(t.c);
    settle();
    assert_int_equal(upstream_counts(t), 8);
    unsigned turns = world.turn;
    world.now += BEAT * 4 / 10;
    turn();
    assert_int_equal(upstream_counts(t), 10); /* one read brought both, and one write took them on in the same turn */
    assert_int_equal(t.u->s->said_turn, turns + 1);
    over(t);
}
static void a_connection_with_a_few_requests_is_served_at_once(void **state) {
    (void)state;
    struct two t = busy_with(6, NULL);
    h2_get(t.c, "/a", NULL);
    h2_write(t.c);
    turn();
    assert_int_equal(upstream_counts(t), 7);
    over(t);
}
static void after_a_pause_the_first_word_waits_for_nothing(void **state) {
    (void)state;
    struct two t = busy_with(20, NULL);
    world.now += BEAT;
    h2_get(t.c, "/a", NULL);
    h2_write(t.c);
    turn();
    assert_int_equal(upstream_counts(t), 21);
    over(t);
}
static void a_busy_connection_is_read_once_and_not_chased(void **state) {
    (void)state;
    struct two t = busy_with(8, NULL);
    world.now += BEAT;
    t.c->s->segment = 30; /* less than one request: the client goes on writing while it is read */
    for (int i = 0; i < 4; i++) h2_get(t.c, "/a/path/of/some/length", NULL);
    h2_write(t.c);
    size_t before = buffer_size(&t.c->s->in);
    turn();
    assert_int_equal(buffer_size(&t.c->s->in), before - 30);
    settle();
    assert_int_equal(buffer_size(&t.c->s->in), before - 30);
    t.c->s->segment = 0;
    beat_passes();
    assert_int_equal(buffer_size(&t.c->s->in), 0); /* no edge tells of what was there already: it is remembered */
    assert_int_equal(upstream_counts(t), 12);
    over(t);
}
static void connections_that_wait_are_served_in_one_turn(void **state) {
    (void)state;
    struct two t = busy_with(8, NULL);
    struct h2 *other = h2_client();
    for (int i = 0; i < 8; i++) h2_get(other, "/other", NULL);
    h2_write(other);
    settle();
    beat_passes();
    assert_int_equal(upstream_counts(t), 16);
    world.now += BEAT;
    h2_get(t.c, "/a", NULL);
    h2_write(t.c);
    turn();
    assert_int_equal(upstream_counts(t), 17);
    world.now += BEAT / 2; /* the other is half a beat behind the first */
    h2_get(other, "/b", NULL);
    h2_write(other);
    turn();
    h2_get(t.c, "/c", NULL);
    h2_get(other, "/d", NULL);
    h2_write(t.c);
    h2_write(other);
    world.now += BEAT / 4;
    settle();
    assert_int_equal(upstream_counts(t), 17); /* what the other said waits in the connection to the upstream */
    world.now += BEAT / 4;
    turn();
    assert_int_equal(upstream_counts(t), 20); /* and from here on they are in step */
    leaves(other);
    h2_free(other);
    over(t);
}
static void a_deadline_waits_for_no_beat(void **state) {
    (void)state;
    struct two t = busy_with(8, NULL);
    h2_get(t.c, "/short", "x-request-timeout: 50ms\n");
    h2_write(t.c);
    beat_passes();
    int32_t last = t.u->v[upstream_counts(t) - 1].id;
    at(world.now + 40 * MS);
    int64_t due = wheel_next(&world.w.wheel).ns - BEGIN; /* the wheel's tick, a little after the deadline */
    while (due < world.now + 9 * MS) at(due), due = wheel_next(&world.w.wheel).ns - BEGIN;
    at(due - BEAT / 4);
    h2_get(t.c, "/x", NULL); /* both connections are served just before it passes */
    h2_write(t.c);
    settle();
    assert_h2_not_reset(t.u, last);
    h2_get(t.c, "/y", NULL); /* and this one waits to be read */
    h2_write(t.c);
    settle();
    at(due);
    assert_h2_reset(t.u, last, CANCEL);
    h2_read(t.c);
    assert_ended("deadline");
    unsigned before = upstream_counts(t);
    beat_passes();
    assert_int_equal(upstream_counts(t), before + 1); /* what had come just before was not forgotten over it: no edge tells of it again */
    over(t);
}
static void endings_one_after_the_other_keep_nobody_from_being_read(void **state) {
    (void)state;
    struct two t = busy_with(20, NULL);
    h2_get(t.c, "/waits", NULL);
    h2_write(t.c);
    turn();
    for (int i = 0; i < 3; i++) { /* the client is told of each at once */
        h2_resets(t.u, h2_next(t.u), NGHTTP2_INTERNAL_ERROR);
        h2_write(t.u);
        world.now += BEAT / 4;
        settle();
    }
    assert_int_equal(upstream_counts(t), 20);
    world.now += BEAT / 4;
    settle();
    assert_int_equal(upstream_counts(t), 21);
    h2_read(t.c);
    for (int i = 0; i < 3; i++) assert_ended("upstream_reset");
    over(t);
}
static void a_client_that_closes_waits_for_no_beat(void **state) {
    (void)state;
    struct two t = busy_with(8, NULL);
    queues_fin(t.c->s);
    turn();
    h2_read(t.u);
    assert_int_equal(t.u->resets, 8);
    over(t);
}
static void bulk_waits_for_no_beat(void **state) {
    (void)state;
    struct two t = busy_with(8, NULL);
    beat_passes();
    int32_t one = h2_next(t.u);
    h2_answers(t.u, one, "200", NULL, 60000, false);
    h2_write(t.u);
    turn();
    assert_true(buffer_size(&t.u->s->in) == 0);
    h2_settle(t.c, t.u);
    assert_int_equal(h2_stream(t.c, t.c->v[0].id)->received, 60000); /* no time has passed */
    assert_ended("completed");
    over(t);
}

/* ---- one request at a time ------------------------------------------------------------------------------------------------------------------ */
static struct sock *asks_twice(const char *beat, bool then_resets) {
    stage((struct given){ .beat = beat });
    struct sock *c = asks(GET());
    answered(c, upstream());
    c->reads = 0;
    queues(c, GET());
    if (then_resets) queues_rst(c);
    settle();
    return c;
}
static struct sock *same_upstream(void) { return world.v[world.shown - 1]; }
static void a_request_is_one_read_where_there_is_a_beat(void **state) {
    (void)state;
    struct sock *c = asks_twice("100us", false);
    assert_int_equal(c->reads, 1);
    upstream_got(same_upstream(), "GET / HTTP/1.1\r\n");
    answered(c, same_upstream());
    sends(c, GET()); /* an edge comes before the doubt is over */
    assert_int_equal(c->reads, 2);
    step(CONN_DOUBT.ns);
    assert_int_equal(c->reads, 3);
    step(100 * CONN_DOUBT.ns);
    assert_int_equal(c->reads, 3); /* and there is nothing to doubt any more */
    upstream_sends(same_upstream(), ANSWER_OK);
    assert_ended("completed");
}
static void without_a_beat_the_system_is_asked_at_once(void **state) {
    (void)state;
    struct sock *c = asks_twice("0s", false);
    assert_int_equal(c->reads, 2);
    upstream_sends(same_upstream(), ANSWER_OK);
    assert_ended("completed");
}
static void a_reset_behind_the_bytes_is_found_when_the_doubt_is_over(void **state) {
    (void)state;
    struct sock *c = asks_twice("100us", true);
    assert_int_equal(c->reads, 1);
    step(CONN_DOUBT.ns - 1);
    assert_false(same_upstream()->closed);
    step(1);
    assert_true(same_upstream()->reset);
    assert_ended_at("client_reset", "close");
}
static void a_reset_after_the_bytes_is_an_edge_and_found_at_once(void **state) {
    (void)state;
    struct sock *c = asks_twice("100us", false);
    resets(c);
    assert_true(same_upstream()->reset);
    assert_ended_at("client_reset", "close");
}
static void a_fin_behind_the_bytes_is_told_with_them(void **state) {
    (void)state;
    struct sock *c = asks_twice("100us", false);
    upstream_sends(same_upstream(), ANSWER_OK);
    assert_ended("completed");
    queues(c, GET());
    queues_fin(c);
    settle();
    assert_ended_at("client_closed", "withdrawn");
    assert_true(c->closed);
}
static void a_body_is_read_on_by_its_edges(void **state) {
    (void)state;
    stage((struct given){ .beat = "100us" });
    struct sock *c = client();
    c->reads = 0;
    sends(c, "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 30000\r\n\r\n");
    for (int i = 0; i < 3; i++) sends_n(c, 'x', 10000);
    assert_int_equal(c->reads, 4);
    struct sock *u = upstream();
    answered(c, u);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        SCENE(a_busy_connection_is_read_once_a_beat),
        SCENE(a_connection_with_a_few_requests_is_served_at_once),
        SCENE(after_a_pause_the_first_word_waits_for_nothing),
        SCENE(a_busy_connection_is_read_once_and_not_chased),
        SCENE(connections_that_wait_are_served_in_one_turn),
        SCENE(a_deadline_waits_for_no_beat),
        SCENE(endings_one_after_the_other_keep_nobody_from_being_read),
        SCENE(a_client_that_closes_waits_for_no_beat),
        SCENE(bulk_waits_for_no_beat),
        SCENE(a_request_is_one_read_where_there_is_a_beat),
        SCENE(without_a_beat_the_system_is_asked_at_once),
        SCENE(a_reset_behind_the_bytes_is_found_when_the_doubt_is_over),
        SCENE(a_reset_after_the_bytes_is_an_edge_and_found_at_once),
        SCENE(a_fin_behind_the_bytes_is_told_with_them),
        SCENE(a_body_is_read_on_by_its_edges),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
