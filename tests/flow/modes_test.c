// SPDX-License-Identifier: Apache-2.0
// What is done less in the modes that do not enforce, what they say enforcing would have done, and how much max_reject lets be refused.
#include "tests/flow/h2.h"

#define HTTP2 "protocol: http2"
#define CANCEL 8u
static const struct observed_metrics *observed(void) { return world.w.metrics.routes->v[0]->observed; }
static uint64_t observed_ending(enum ending e) { return atomic_load(&observed()->endings[e]); }
static uint64_t observed_cancel(enum ending e, enum cancel_level l) { return atomic_load(&observed()->cancels[e][l]); }
static uint64_t let_through(enum ending e) { return atomic_load(&observed()->let_through[e]); }
static uint64_t of_route(enum ending e) { return atomic_load(&world.w.metrics.routes->v[0]->requests[e]); }

/* ---- cancel.mode ------------------------------------------------------------------------------------------------------------------- */
static void disabled_a_leaving_has_no_effect(void **state) {
    (void)state;
    stage((struct given){ .policy = "cancel: { mode: disabled }" });
    struct sock *c, *u = asked(&c, GET());
    client_resets(c);
    step(5 * SECONDS);
    assert_open(u);
    assert_nothing_ended();
    upstream_sends(u, ANSWER_OK);
    assert_ended("client_reset");
    assert_logged("cancel_mode", "disabled");
    assert_not_logged("cancel_level");
    assert_not_logged("would_have");
    assert_null(observed());
    c = client();
    client_sends(c, GET());
    assert_nobody_called(); /* the connection is as good as before */
    upstream_got(u, "GET / HTTP/1.1\r\n");
    answered(c, u);
}
/* nginx's proxy_ignore_client_abort: who waits in the queue is still asked for. */
static void disabled_a_request_that_waits_is_sent_for_nobody(void **state) {
    (void)state;
    stage((struct given){ .policy = "cancel: { mode: disabled }, forward: { headers: x-forwarded }", .upstream = "max_connections: 1" });
    struct sock *a, *u = asked(&a, GET()), *b = client();
    client_sends(b, GET_PATH("/second", ""));
    client_resets(b);
    answered(a, u);
    assert_has(upstream_got(u, "GET /second HTTP/1.1\r\n"), "\r\nx-forwarded-for: 192.0.2.1\r\n"); /* as if it were still there */
    upstream_sends(u, ANSWER_OK);
    assert_ended("client_reset");
}
static void observe_counts_what_a_leaving_would_have_done_and_lets_the_work_go_on(void **state) {
    (void)state;
    stage((struct given){ .policy = "cancel: { mode: observe }" });
    struct sock *c, *u = asked(&c, GET());
    client_resets(c);
    assert_open(u);
    upstream_sends(u, ANSWER_OK);
    assert_ended("client_reset");
    assert_logged("cancel_mode", "observe");
    assert_logged("would_have", "client_reset");
    assert_logged("would_cancel", "close");
    assert_not_logged("cancel_level");
    assert_int_equal(observed_ending(ENDING_CLIENT_RESET), 1);
    assert_int_equal(observed_cancel(ENDING_CLIENT_RESET, LEVEL_CLOSE), 1);
    assert_int_equal(of_route(ENDING_CLIENT_RESET), 1);
}
static void observe_says_withdrawn_of_who_waits_and_side_channel_of_a_call(void **state) {
    (void)state;
    stage((struct given){ .policy = "cancel: { mode: observe, http1: [ call, close ], call: { path: /x } }", .upstream = "max_connections: 1" });
    struct sock *a, *u = asked(&a, GET()), *b = client();
    client_sends(b, GET());
    client_resets(b);
    client_resets(a);
    assert_nobody_called();
    upstream_sends(u, ANSWER_OK);
    assert_ended("client_reset");
    assert_logged("would_cancel", "side_channel");
    upstream_got(u, "GET / HTTP/1.1\r\n");
    upstream_sends(u, ANSWER_OK);
    assert_ended("client_reset");
    assert_logged("would_cancel", "withdrawn");
}
/* On the wire nothing changes: who has closed its side may still read. */
static void observe_a_fin_is_noted_and_its_client_answered(void **state) {
    (void)state;
    stage((struct given){ .policy = "cancel: { mode: observe }" });
    struct sock *c, *u = asked(&c, GET());
    client_finishes(c);
    step(1 * SECONDS);
    assert_open(u);
    upstream_sends(u, ANSWER_OK);
    assert_has(assert_answer(c, 200), "ok");
    assert_ended("completed");
    assert_logged("would_have", "client_closed");
    assert_logged("would_cancel", "close");
}
static void observe_a_deadline_ends_the_request_and_leaves_the_upstream_alone(void **state) {
    (void)state;
    stage((struct given){ .policy = "cancel: { mode: observe }" });
    struct sock *c, *u = asked(&c, GET("x-request-timeout: 100ms\r\n"));
    at(100 * MS);
    assert_answer(c, 504);
    assert_open(u);
    assert_ended_at("deadline", "ttl");
    assert_logged("would_cancel", "close");
    assert_not_logged("would_have"); /* deadlines are enforced */
    assert_int_equal(observed_cancel(ENDING_DEADLINE, LEVEL_CLOSE), 1);
    upstream_sends(u, ANSWER_OK);
    assert_open(u);
}
static void in_every_mode_a_request_that_has_not_come_whole_is_cancelled(void **state) {
    (void)state;
    static const char *const policies[] = { "cancel: { mode: disabled }", "cancel: { mode: observe }", "cancel: { mode: forward }" };
    for (size_t i = 0; i < 3; i++) {
        stage((struct given){ .policy = policies[i] });
        struct sock *c, *u = asked(&c, POST("content-length: 100\r\n") "123");
        client_resets(c);
        assert_reset(u);
        assert_ended_at("client_reset", "close");
        leave(state);
    }
}
static void forward_makes_the_call_and_cuts_nothing(void **state) {
    (void)state;
    stage((struct given){ .policy = "cancel: { mode: forward, http1: [ call, close ], call: { method: DELETE, path: /x } }" });
    struct sock *c, *u = asked(&c, GET());
    client_resets(c);
    struct sock *side = upstream();
    upstream_got(side, "DELETE /x HTTP/1.1\r\n");
    upstream_sends(side, "HTTP/1.1 204 No Content\r\n\r\n");
    assert_open(u);
    assert_nothing_ended();
    upstream_sends(u, "HTTP/1.1 499 Cancelled\r\ncontent-length: 0\r\n\r\n"); /* it heard, and says so */
    assert_ended_at("client_reset", "side_channel");
    assert_logged("would_cancel", "side_channel");
    assert_int_equal(atomic_load(&world.w.metrics.cancels[ENDING_CLIENT_RESET][LEVEL_SIDE_CHANNEL]), 1);
    step(1 * SECONDS);
    assert_open(u);
}
/* Most clients of HTTP/1 leave by a FIN: their upstream hears of it then, not when the answer finds nobody, and once. */
static void forward_a_fin_is_told_by_call_and_its_client_answered(void **state) {
    (void)state;
    stage((struct given){ .policy = "cancel: { mode: forward, http1: [ call, close ], call: { method: DELETE, path: /x } }" });
    struct sock *c, *u = asked(&c, GET());
    client_finishes(c);
    struct sock *side = upstream();
    upstream_got(side, "DELETE /x HTTP/1.1\r\n");
    upstream_sends(side, "HTTP/1.1 204 No Content\r\n\r\n");
    assert_open(u);
    upstream_sends(u, ANSWER_OK);
    assert_answer(c, 200);
    assert_ended_at("completed", "side_channel");
    assert_logged("would_have", "client_closed");
    assert_int_equal(count(METRIC_CALLS), 1);
}
static void forward_who_leaves_and_then_runs_out_of_time_is_told_of_once(void **state) {
    (void)state;
    stage((struct given){ .policy = "cancel: { mode: forward, http1: [ call, close ], call: { method: DELETE, path: /x } }" });
    struct sock *c, *u = asked(&c, GET("x-request-timeout: 1s\r\n"));
    client_finishes(c);
    struct sock *side = upstream();
    upstream_sends(side, "HTTP/1.1 204 No Content\r\n\r\n");
    at(1 * SECONDS);
    assert_answer(c, 504);
    assert_ended("deadline");
    assert_open(u);
    assert_int_equal(count(METRIC_CALLS), 1);
    upstream_sends(u, ANSWER_OK);
}
static void forward_what_is_ignored_is_not_told(void **state) {
    (void)state;
    stage((struct given){ .policy = "cancel: { mode: forward, client_gone: ignore, http1: [ call, close ], call: { method: DELETE, path: /x } }" });
    struct sock *c, *u = asked(&c, GET());
    client_resets(c);
    assert_nobody_called();
    upstream_sends(u, ANSWER_OK);
    assert_ended("client_reset");
    assert_not_logged("cancel_level");
    assert_not_logged("would_cancel");
}
static void forward_a_deadline_is_told_by_call_and_cuts_nothing(void **state) {
    (void)state;
    stage((struct given){ .policy = "cancel: { mode: forward, http1: [ call, close ], call: { method: DELETE, path: /x } }" });
    struct sock *c, *u = asked(&c, GET("x-request-timeout: 100ms\r\n"));
    at(100 * MS);
    assert_answer(c, 504);
    struct sock *side = upstream();
    upstream_got(side, "DELETE /x HTTP/1.1\r\n");
    upstream_sends(side, "HTTP/1.1 204 No Content\r\n\r\n");
    assert_open(u);
    assert_ended_at("deadline", "side_channel");
    upstream_sends(u, ANSWER_OK);
}
/* Nothing else would end it. */
static void work_without_a_client_lasts_no_longer_than_max_where_no_deadline_is_enforced(void **state) {
    (void)state;
    stage((struct given){ .policy = "deadline: { mode: observe, max: 20s }, cancel: { mode: observe }" });
    struct sock *c, *u = asked(&c, GET());
    at(1 * SECONDS);
    client_resets(c);
    at(21 * SECONDS - 1 * MS);
    assert_nothing_ended();
    assert_open(u);
    at(21 * SECONDS);
    assert_ended("deadline");
    assert_logged("would_have", "client_reset");
    at(60 * SECONDS);
    assert_true(u->closed);
}
/* The listener's own limit: a slow upload is no matter of deadlines. */
static void an_upload_that_stops_ends_in_every_mode(void **state) {
    (void)state;
    static const char *const policies[] = { "deadline: { mode: disabled }", "deadline: { mode: observe }", "deadline: { mode: forward }", "" };
    for (size_t i = 0; i < 4; i++) {
        stage((struct given){ .policy = policies[i], .listener = "timeouts: { body: 3s }" });
        struct sock *c, *u = asked(&c, POST("content-length: 100000\r\n") "123");
        at(2999 * MS);
        assert_silent(c);
        at(3000 * MS);
        assert_answer(c, 408);
        assert_reset(u);
        assert_ended_at("client_timeout", "close");
        leave(state);
    }
}
static void over_http2_a_reset_is_kept_from_the_upstream(void **state) {
    (void)state;
    static const struct { const char *policy; bool observes; } modes[] = { { "cancel: { mode: disabled }", false }, { "cancel: { mode: observe }", true } };
    for (size_t i = 0; i < 2; i++) {
        stage((struct given){ .policy = modes[i].policy, .upstream = HTTP2 });
        struct h2 *c = h2_client(), *u;
        int32_t id = h2_get(c, "/", NULL);
        h2_settle(c, NULL);
        u = h2_upstream();
        int32_t stream = h2_next(u);
        h2_resets(c, id, CANCEL);
        h2_settle(c, u);
        step(1 * SECONDS);
        assert_h2_not_reset(u, stream);
        h2_answers(u, stream, "200", NULL, 200000, false); /* more than its window: what nobody wants is still taken */
        h2_settle(u, c);
        assert_true(h2_stream(u, stream)->closed);
        assert_h2_not_reset(u, stream);
        assert_ended("client_reset");
        if (modes[i].observes) assert_logged("would_cancel", "native");
        else assert_not_logged("would_cancel");
        h2_free(c), h2_free(u);
        leave(state);
    }
}

/* ---- deadline.mode --------------------------------------------------------------------------------------------------------------------- */
static void what_is_observed_is_counted_once_by_route(void **state) {
    (void)state;
    stage((struct given){ .policy = "deadline: { mode: observe }" });
    struct sock *c, *u = asked(&c, GET("x-request-timeout: 5ms\r\n")); /* shed on arrival, and past its end */
    step(1 * SECONDS);
    answered(c, u);
    assert_logged("would_have", "shed_expired");
    assert_int_equal(observed_ending(ENDING_SHED_EXPIRED), 1);
    assert_int_equal(observed_ending(ENDING_DEADLINE), 0);
    assert_int_equal(of_route(ENDING_COMPLETED), 1);
}
/* Its deadline has not passed yet, but enforcing would have asked nobody with so little left. */
static void what_would_be_shed_after_waiting_in_the_queue_is_observed(void **state) {
    (void)state;
    static const struct { const char *policy, *would; } rows[] = {
        { "deadline: { mode: observe }", "shed_expired" }, { "deadline: { mode: observe, needs: 50ms, min: 1ms, reserve: 1ms }", "shed_latency" },
        { "deadline: { mode: observe, min: 1ms, reserve: 1ms }", NULL },
    };
    for (size_t i = 0; i < 3; i++) {
        stage((struct given){ .policy = rows[i].policy, .upstream = "max_connections: 1" });
        struct sock *a, *u = asked(&a, GET()), *b = client();
        client_sends(b, GET("x-request-timeout: 100ms\r\n"));
        at(90 * MS);
        answered(a, u);
        assert_not_logged("would_have");
        at(95 * MS);
        answered(b, u);
        if (rows[i].would) assert_logged("would_have", rows[i].would);
        else assert_not_logged("would_have");
        leave(state);
    }
}
static void what_is_enforced_is_not_observed(void **state) {
    (void)state;
    stage((struct given){ 0 });
    struct sock *c = asks(GET("x-request-timeout: 5ms\r\n"));
    assert_answer(c, 504);
    assert_ended("shed_expired");
    assert_not_logged("would_have");
    assert_null(observed());
}
/* Whoever leaves first counts. */
static void of_a_deadline_and_a_leaving_that_are_both_observed_the_earlier_counts(void **state) {
    (void)state;
    stage((struct given){ .policy = "deadline: { mode: observe, default: 1s }, cancel: { mode: observe }" });
    struct sock *c, *u = asked(&c, GET());
    at(2 * SECONDS);
    client_resets(c);
    upstream_sends(u, ANSWER_OK);
    assert_ended("client_reset");
    assert_logged("would_have", "deadline");
    c = client();
    client_sends(c, GET());
    got(u);
    client_resets(c);
    at(4 * SECONDS);
    upstream_sends(u, ANSWER_OK);
    assert_ended("client_reset");
    assert_logged("would_have", "client_reset");
}

/* ---- max_reject -------------------------------------------------------------------------------------------------------------------------- */
#define GUARD "deadline: { default: 1s, max_reject: { ratio: 50%, window: 8s, at_least: 4 } }"
/* n clients whose clocks are an hour slow: how many of them are refused. The others' requests are answered. */
static unsigned refused(unsigned n) {
    unsigned count = 0;
    while (n--) {
        struct sock *c = asks(GET("x-request-timeout: 0ms\r\n"));
        if (unseen(c)[0]) {
            assert_answer(c, 504);
            assert_ended("shed_expired");
            count++;
            continue;
        }
        struct sock *u = upstream_or_none();
        for (size_t i = 0; !u && i < world.n; i++)
            if (world.v[i]->port && !world.v[i]->closed) u = world.v[i];
        assert_has(upstream_got(u, "GET / HTTP/1.1\r\n"), "\r\nx-request-timeout: 995ms\r\n"); /* the default's: it is not believed */
        answered(c, u);
        assert_logged("let_through", "shed_expired");
        assert_logged("deadline_source", "default");
        assert_not_logged("would_have");
    }
    return count;
}
static void past_the_share_what_would_be_refused_is_let_through(void **state) {
    (void)state;
    stage((struct given){ .policy = GUARD });
    assert_int_equal(refused(3), 3); /* too few to say anything */
    assert_int_equal(refused(2), 0);
    assert_int_equal(let_through(ENDING_SHED_EXPIRED), 2);
    assert_int_equal(refused(3), 1); /* 4 of 8 */
    step(7999 * MS);
    assert_int_equal(refused(1), 0);
    step(1 * MS);
    assert_int_equal(refused(1), 1); /* what came eight seconds ago is forgotten */
    step(9 * SECONDS);
    assert_int_equal(refused(4), 3);
}
static void what_is_let_through_with_time_left_is_told_it_and_ends_by_it(void **state) {
    (void)state;
    stage((struct given){ .policy = "deadline: { max_reject: { ratio: 0%, at_least: 1 } }" });
    struct sock *c, *u;
    c = client();
    client_sends(c, GET("x-request-timeout: 8ms\r\n")); /* min + reserve is 15 */
    u = upstream();
    assert_has(upstream_got(u, "GET / HTTP/1.1\r\n"), "\r\nx-request-timeout: 3ms\r\n");
    at(7 * MS);
    assert_silent(c);
    at(8 * MS);
    assert_answer(c, 504);
    assert_ended_at("deadline", "close");
    assert_logged("let_through", "shed_expired");
}
static void a_malformed_deadline_that_is_let_through_is_none(void **state) {
    (void)state;
    stage((struct given){ .policy = "deadline: { read: [ grpc-timeout ], default: 1s, max_reject: { ratio: 0%, at_least: 1 } }" });
    struct sock *c = asks(GET("grpc-timeout: soon\r\n"));
    struct sock *u = upstream();
    const char *text = upstream_got(u, "GET / HTTP/1.1\r\n");
    assert_has(text, "\r\nx-request-timeout: 995ms\r\n");
    assert_has_not(text, "grpc-timeout");
    answered(c, u);
}
static void observing_is_guarded_as_enforcing_would_be(void **state) {
    (void)state;
    stage((struct given){ .policy = "deadline: { mode: observe, max_reject: { ratio: 50%, at_least: 2 } }" });
    struct sock *c = client(), *u = NULL;
    static const char *const would[] = { "shed_expired", NULL, NULL, "shed_expired" };
    for (size_t i = 0; i < 4; i++) {
        client_sends(c, GET("x-request-timeout: 0ms\r\n"));
        if (!u) u = upstream();
        got(u);
        answered(c, u);
        if (would[i]) assert_logged("would_have", would[i]);
        else assert_not_logged("would_have"), assert_logged("let_through", "shed_expired");
    }
    assert_int_equal(observed_ending(ENDING_SHED_EXPIRED), 2);
    assert_int_equal(let_through(ENDING_SHED_EXPIRED), 2);
}
/* What waited too long in our own queue is a matter of room, not of judgement. */
static void what_the_queue_cost_is_not_let_through(void **state) {
    (void)state;
    stage((struct given){ .policy = "deadline: { max_reject: { ratio: 0%, at_least: 1 } }", .upstream = "max_connections: 1" });
    struct sock *a, *u = asked(&a, GET()), *b = client();
    client_sends(b, GET("x-request-timeout: 100ms\r\n"));
    at(90 * MS);
    upstream_sends(u, ANSWER_OK);
    assert_answer(a, 200);
    assert_answer(b, 504);
    assert_silent(u);
    assert_ended("shed_expired");
    assert_ended("completed");
    assert_int_equal(let_through(ENDING_SHED_EXPIRED), 0);
}

/* ---- needs --------------------------------------------------------------------------------------------------------------------------------- */
static void less_than_the_route_needs_is_shed_and_no_upstream_sees_it(void **state) {
    (void)state;
    stage((struct given){ .policy = "deadline: { needs: 50ms }" });
    struct sock *c = asks(GET("x-request-timeout: 54ms\r\n"));
    assert_has(assert_answer(c, 504), "\"shed_latency\"");
    assert_nobody_called();
    assert_ended("shed_latency");
    client_sends(c, GET("x-request-timeout: 55ms\r\n")); /* needs + reserve */
    struct sock *u = upstream();
    answered(c, u);
    client_sends(c, GET()); /* the default is ours: it is not measured by that */
    answered(c, u);
}
static void what_waited_until_less_is_left_than_it_needs_is_shed(void **state) {
    (void)state;
    stage((struct given){ .policy = "deadline: { needs: 50ms }", .upstream = "max_connections: 1" });
    struct sock *a, *u = asked(&a, GET()), *b = client();
    client_sends(b, GET("x-request-timeout: 100ms\r\n"));
    at(46 * MS);
    upstream_sends(u, ANSWER_OK);
    assert_answer(a, 200);
    assert_has(assert_answer(b, 504), "\"shed_latency\"");
    assert_silent(u);
    assert_ended("shed_latency");
    assert_ended("completed");
}
/* T38. Its request was asked already, so that it is not "never asked": it hears what came of that. */
static void a_second_attempt_begins_only_where_what_it_needs_is_left(void **state) {
    (void)state;
    stage((struct given){ .policy = "deadline: { needs: 50ms }, retry: { retries: 1, when: [ upstream_closed ], backoff: { base: 0s } }" });
    struct sock *c, *u = asked(&c, GET("x-request-timeout: 100ms\r\n"));
    at(40 * MS);
    upstream_finishes(u);
    u = upstream();
    assert_has(upstream_got(u, "GET / HTTP/1.1\r\n"), "\r\nx-request-timeout: 55ms\r\n");
    answered(c, u);
    client_sends(c, GET("x-request-timeout: 100ms\r\n"));
    got(u);
    step(60 * MS);
    upstream_sends(u, "HTTP/1.1 200");
    upstream_finishes(u);
    assert_answer(c, 502);
    assert_nobody_called();
    assert_ended("upstream_closed");
    assert_logged("no_retry", "no_time");
}
static void what_every_second_answer_takes_is_measured(void **state) {
    (void)state;
    stage((struct given){ .policy = "deadline: { needs: p50 }" });
    struct sock *c = client(), *u = NULL;
    for (unsigned i = 0; i < 30; i++) {
        client_sends(c, GET("x-request-timeout: 150ms\r\n")); /* not known yet: asked */
        if (!u) u = upstream();
        step(100 * MS);
        answered(c, u);
    }
    got(u);
    client_sends(c, GET("x-request-timeout: 80ms\r\n"));
    assert_answer(c, 504);
    assert_silent(u);
    assert_ended("shed_latency");
    client_sends(c, GET("x-request-timeout: 110ms\r\n"));
    upstream_got(u, "GET / HTTP/1.1\r\n");
    answered(c, u);
    step(70 * SECONDS); /* nobody knows any more */
    client_sends(c, GET("x-request-timeout: 80ms\r\n"));
    u = upstream();
    answered(c, u);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        SCENE(disabled_a_leaving_has_no_effect),
        SCENE(disabled_a_request_that_waits_is_sent_for_nobody),
        SCENE(observe_counts_what_a_leaving_would_have_done_and_lets_the_work_go_on),
        SCENE(observe_says_withdrawn_of_who_waits_and_side_channel_of_a_call),
        SCENE(observe_a_fin_is_noted_and_its_client_answered),
        SCENE(observe_a_deadline_ends_the_request_and_leaves_the_upstream_alone),
        SCENE(in_every_mode_a_request_that_has_not_come_whole_is_cancelled),
        SCENE(forward_makes_the_call_and_cuts_nothing),
        SCENE(forward_a_fin_is_told_by_call_and_its_client_answered),
        SCENE(forward_who_leaves_and_then_runs_out_of_time_is_told_of_once),
        SCENE(forward_what_is_ignored_is_not_told),
        SCENE(forward_a_deadline_is_told_by_call_and_cuts_nothing),
        SCENE(work_without_a_client_lasts_no_longer_than_max_where_no_deadline_is_enforced),
        SCENE(an_upload_that_stops_ends_in_every_mode),
        SCENE(over_http2_a_reset_is_kept_from_the_upstream),
        SCENE(what_is_observed_is_counted_once_by_route),
        SCENE(what_would_be_shed_after_waiting_in_the_queue_is_observed),
        SCENE(what_is_enforced_is_not_observed),
        SCENE(of_a_deadline_and_a_leaving_that_are_both_observed_the_earlier_counts),
        SCENE(past_the_share_what_would_be_refused_is_let_through),
        SCENE(what_is_let_through_with_time_left_is_told_it_and_ends_by_it),
        SCENE(a_malformed_deadline_that_is_let_through_is_none),
        SCENE(observing_is_guarded_as_enforcing_would_be),
        SCENE(what_the_queue_cost_is_not_let_through),
        SCENE(less_than_the_route_needs_is_shed_and_no_upstream_sees_it),
        SCENE(what_waited_until_less_is_left_than_it_needs_is_shed),
        SCENE(a_second_attempt_begins_only_where_what_it_needs_is_left),
        SCENE(what_every_second_answer_takes_is_measured),
    };
    return cmocka_run_group_tests_name("modes", tests, NULL, NULL);
}
