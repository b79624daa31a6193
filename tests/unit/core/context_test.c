// SPDX-License-Identifier: Apache-2.0
// The laws of a context tree (semantics 1), each by name; then what a hook may do to those around it.
#include "core/context.h"
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#define MS(n) ((instant){ (n) * NS_PER_MS })
enum { WORKER = 3, HEARD = 64 };

static struct wheel wheel;
static struct contexts all;
static instant now;

/* A hook that writes down what it heard, and then does what the test told it to. */
struct listener {
    struct hook h;
    unsigned heard;
    enum ending why;
    void (*then)(struct listener *self);
    struct context *c, *other;
    struct listener *peer;
};
static struct listener *heard[HEARD];
static size_t nheard;

static void on_end(struct hook *h, const struct context *c, enum ending why) {
    struct listener *l = CONTAINER_OF(h, struct listener, h);
    assert_false(list_is_linked(&h->node));
    assert_int_equal(c->ending, why);
    assert_in_range(c->ended_at.ns, 1, now.ns);
    if (nheard < HEARD) heard[nheard] = l;
    nheard++;
    l->heard++;
    l->why = why;
    if (l->then) l->then(l);
}
static void hang(struct context *c, struct listener *l) {
    l->h.on_end = on_end;
    l->c = c;
    context_hang(c, &l->h);
}
static void begin_heard(struct context *c, struct listener *l) {
    context_begin(&all, c, now);
    hang(c, l);
}
static size_t run(void) {
    size_t n = context_run_ended(&all, now);
    assert_true(list_is_empty(&all.ended));
    return n;
}
/* One turn of the loop at `ms`: the wheel, then the hooks. */
static size_t turn(int64_t ms) {
    now = MS(ms);
    wheel_advance(&wheel, now);
    wheel_validate(&wheel);
    return run();
}
static int setup(void **state) {
    (void)state;
    now = MS(1000);
    nheard = 0;
    wheel_init(&wheel, now);
    contexts_init(&all, &wheel, WORKER);
    return 0;
}
/* Nothing left: after every test no context lives and no timer is armed. */
static int teardown(void **state) {
    (void)state;
    assert_int_equal(all.live, 0);
    assert_int_equal(wheel.armed, 0);
    contexts_free(&all);
    return 0;
}
static void family(struct context *parent, struct context *child, struct context *grandchild) {
    context_begin(&all, parent, now);
    context_derive(child, parent, now);
    context_derive(grandchild, child, now);
}
static void close_family(struct context *parent, struct context *child, struct context *grandchild) {
    context_close(grandchild);
    context_close(child);
    context_close(parent);
}

/* ---- the laws ----------------------------------------------------------------------------------------------------------------------- */
static void one_way_an_ending_flows_from_parent_to_children_never_up(void **state) {
    (void)state;
    struct context p, c, g;
    family(&p, &c, &g);
    assert_true(context_end(&c, ENDING_TRY_TIMEOUT, 0));
    assert_false(context_is_ended(&p));
    assert_int_equal(c.ending, ENDING_TRY_TIMEOUT);
    assert_int_equal(g.ending, ENDING_PARENT_CANCELLED);
    run();
    close_family(&p, &c, &g);
}

static void one_way_a_sibling_hears_nothing(void **state) {
    (void)state;
    struct context p, a, b;
    struct listener lb = { 0 };
    context_begin(&all, &p, now);
    context_derive(&a, &p, now);
    context_derive(&b, &p, now);
    hang(&b, &lb);
    context_end(&a, ENDING_UPSTREAM_RESET, 8);
    assert_int_equal(run(), 0);
    assert_false(context_is_ended(&b));
    context_unhang(&lb.h);
    close_family(&p, &a, &b);
}

static void once_the_first_ending_wins_with_its_cause_and_wire_code(void **state) {
    (void)state;
    struct context c;
    struct listener l = { 0 };
    begin_heard(&c, &l);
    assert_true(context_end(&c, ENDING_CLIENT_RESET, 8));
    assert_false(context_end(&c, ENDING_DEADLINE, 0));
    assert_int_equal(run(), 1);
    assert_false(context_end(&c, ENDING_SHUTDOWN, 1));
    assert_int_equal(run(), 0);
    assert_int_equal(c.ending, ENDING_CLIENT_RESET);
    assert_int_equal(c.wire, 8);
    assert_int_equal(l.heard, 1);
    context_close(&c);
}

static void once_a_child_that_ended_keeps_its_own_cause_when_the_parent_ends(void **state) {
    (void)state;
    struct context p, c, g;
    family(&p, &c, &g);
    struct listener l = { 0 };
    hang(&c, &l);
    context_end(&c, ENDING_REFUSED_STREAM, 7);
    context_end(&p, ENDING_COMPLETED, 0);
    assert_int_equal(run(), 1);
    assert_int_equal(l.why, ENDING_REFUSED_STREAM);
    assert_int_equal(c.wire, 7);
    close_family(&p, &c, &g);
}

static void to_all_children_grandchildren_and_every_hook_hear_within_the_turn_parents_first(void **state) {
    (void)state;
    struct context p, c, g, second;
    struct listener l[6] = { 0 };
    family(&p, &c, &g);
    context_derive(&second, &p, now);
    hang(&g, &l[4]);
    hang(&p, &l[0]);
    hang(&p, &l[1]);
    hang(&c, &l[2]);
    hang(&c, &l[3]);
    hang(&second, &l[5]);
    context_end(&p, ENDING_OPERATOR_CANCELLED, 0);
    assert_int_equal(nheard, 0);
    assert_int_equal(run(), 6);
    for (size_t i = 0; i < 6; i++) {
        assert_ptr_equal(heard[i], &l[i]);
        assert_int_equal(l[i].heard, 1);
        assert_int_equal(l[i].why, i < 2 ? ENDING_OPERATOR_CANCELLED : ENDING_PARENT_CANCELLED);
    }
    context_close(&second);
    close_family(&p, &c, &g);
}

static void to_all_a_tree_of_any_depth_and_width(void **state) {
    (void)state;
    enum { N = 5000 };
    struct context *c = calloc(N, sizeof *c);
    struct listener *l = calloc(N, sizeof *l);
    context_begin(&all, &c[0], now);
    for (size_t i = 1; i < N; i++) context_derive(&c[i], &c[i % 3 ? i - 1 : i / 2], now);
    for (size_t i = 0; i < N; i++) hang(&c[i], &l[i]);
    context_end(&c[0], ENDING_SHUTDOWN, 0);
    assert_int_equal(run(), N);
    for (size_t i = N; i-- > 0;) {
        assert_int_equal(l[i].heard, 1);
        context_close(&c[i]);
    }
    free(c);
    free(l);
}

static void nothing_left_no_timer_is_armed_after_the_ending(void **state) {
    (void)state;
    struct context p, c, g;
    family(&p, &c, &g);
    context_limit(&p, MS(3000), 1);
    context_limit(&c, MS(2000), 1);
    context_limit(&g, MS(1500), 1);
    assert_int_equal(wheel.armed, 3);
    context_end(&p, ENDING_CLIENT_CLOSED, 0);
    assert_int_equal(wheel.armed, 0);
    assert_int_equal(turn(9000), 0);
    assert_int_equal(c.ending, ENDING_PARENT_CANCELLED);
    close_family(&p, &c, &g);
}

static void nothing_starts_for_an_ended_context_a_child_of_it_is_born_ended(void **state) {
    (void)state;
    struct context p, c;
    struct listener l = { 0 };
    context_begin(&all, &p, now);
    context_limit(&p, MS(2000), 1);
    context_end(&p, ENDING_DEADLINE, 0);
    run();
    context_derive(&c, &p, now);
    assert_int_equal(c.ending, ENDING_PARENT_CANCELLED);
    context_limit(&c, MS(1100), 1);
    assert_int_equal(wheel.armed, 0);
    hang(&c, &l);
    assert_int_equal(l.heard, 0);
    assert_int_equal(run(), 1);
    assert_int_equal(l.why, ENDING_PARENT_CANCELLED);
    context_close(&c);
    context_close(&p);
}

static void a_context_nobody_listens_to_still_learns_when_it_ended(void **state) {
    (void)state;
    struct context c;
    context_begin(&all, &c, now);
    context_end(&c, ENDING_COMPLETED, 0);
    assert_int_equal(turn(1234), 0);
    assert_int_equal(c.ended_at.ns, MS(1234).ns);
    context_close(&c);
}

/* ---- deadlines ---------------------------------------------------------------------------------------------------------------------- */
static void the_hour_of_the_ending_does_not_move_for_those_who_hang_later(void **state) {
    (void)state;
    struct context c;
    struct listener early = { 0 }, late = { 0 };
    begin_heard(&c, &early);
    context_end(&c, ENDING_SHUTDOWN, 0);
    turn(1100);
    hang(&c, &late);
    assert_int_equal(turn(1200), 1);
    assert_int_equal(late.why, ENDING_SHUTDOWN);
    assert_int_equal(c.ended_at.ns, MS(1100).ns);
    context_close(&c);
}

static void the_deadline_ends_it_at_its_tick_and_not_before(void **state) {
    (void)state;
    struct context c;
    struct listener l = { 0 };
    begin_heard(&c, &l);
    context_limit(&c, MS(1500), 4);
    assert_int_equal(c.dialect, 4);
    assert_int_equal(turn(1499), 0);
    assert_int_equal(turn(1500), 1);
    assert_int_equal(l.why, ENDING_DEADLINE);
    assert_int_equal(c.ended_at.ns, MS(1500).ns);
    context_close(&c);
}

static void a_limit_only_brings_the_deadline_nearer(void **state) {
    (void)state;
    struct context c;
    context_begin(&all, &c, now);
    context_limit(&c, MS(1500), 4);
    context_limit(&c, MS(1501), 5);
    context_limit(&c, MS(1500), 6);
    context_limit(&c, INSTANT_NEVER, 7);
    assert_int_equal(c.deadline.ns, MS(1500).ns);
    assert_int_equal(c.dialect, 4);
    assert_int_equal(wheel_next(&wheel).ns, MS(1500).ns);
    context_limit(&c, MS(1400), 8);
    assert_int_equal(c.dialect, 8);
    turn(1400);
    assert_int_equal(c.ending, ENDING_DEADLINE);
    context_limit(&c, MS(1300), 9);
    assert_int_equal(c.deadline.ns, MS(1400).ns);
    assert_int_equal(wheel.armed, 0);
    context_close(&c);
}

static void a_deadline_that_passed_ends_it_in_the_next_turn_not_inside_the_call(void **state) {
    (void)state;
    struct context c;
    context_begin(&all, &c, now);
    context_limit(&c, MS(10), 1);
    assert_false(context_is_ended(&c));
    turn(1000);
    assert_int_equal(c.ending, ENDING_DEADLINE);
    context_close(&c);
}

static void no_deadline_means_no_timer(void **state) {
    (void)state;
    struct context c;
    context_begin(&all, &c, now);
    context_limit(&c, INSTANT_NEVER, 1);
    assert_int_equal(wheel.armed, 0);
    assert_true(instant_is_never(c.deadline));
    context_close(&c);
}

static void a_child_has_the_parents_deadline_and_hears_of_the_parents_ending(void **state) {
    (void)state;
    struct context p, c;
    context_begin(&all, &p, now);
    context_limit(&p, MS(1500), 4);
    context_derive(&c, &p, now);
    assert_int_equal(c.deadline.ns, MS(1500).ns);
    assert_int_equal(c.dialect, 4);
    assert_int_equal(wheel.armed, 1);
    context_limit(&c, MS(1600), 5);
    assert_int_equal(wheel.armed, 1);
    assert_int_equal(c.dialect, 4);
    turn(1500);
    assert_int_equal(p.ending, ENDING_DEADLINE);
    assert_int_equal(c.ending, ENDING_PARENT_CANCELLED);
    context_close(&c);
    context_close(&p);
}

static void a_childs_nearer_deadline_ends_the_child_alone(void **state) {
    (void)state;
    struct context p, c;
    context_begin(&all, &p, now);
    context_limit(&p, MS(1500), 4);
    context_derive(&c, &p, now);
    context_limit(&c, MS(1200), 0);
    turn(1200);
    assert_int_equal(c.ending, ENDING_DEADLINE);
    assert_false(context_is_ended(&p));
    context_close(&c);
    context_close(&p);
}

static void a_limit_on_the_parent_reaches_all_below_that_had_more(void **state) {
    (void)state;
    struct context p, c, g, tight;
    family(&p, &c, &g);
    context_derive(&tight, &p, now);
    context_limit(&c, MS(1900), 1);
    context_limit(&tight, MS(1100), 2);
    context_limit(&p, MS(1500), 3);
    assert_int_equal(c.deadline.ns, MS(1500).ns);
    assert_int_equal(g.deadline.ns, MS(1500).ns);
    assert_int_equal(g.dialect, 3);
    assert_int_equal(tight.deadline.ns, MS(1100).ns);
    assert_int_equal(wheel.armed, 2);
    turn(1100);
    assert_int_equal(tight.ending, ENDING_DEADLINE);
    turn(1500);
    assert_int_equal(c.ending, ENDING_PARENT_CANCELLED);
    context_close(&tight);
    close_family(&p, &c, &g);
}

static void a_limit_on_the_parent_does_not_rewrite_a_child_that_ended(void **state) {
    (void)state;
    struct context p, c, g;
    family(&p, &c, &g);
    context_limit(&c, MS(1900), 1);
    context_end(&c, ENDING_UPSTREAM_RESET, 2);
    context_limit(&p, MS(1500), 3);
    assert_int_equal(c.deadline.ns, MS(1900).ns);
    assert_int_equal(c.dialect, 1);
    run();
    close_family(&p, &c, &g);
}

/* Trap T34: timer and response in the same turn of the loop. */
static void completed_in_the_turn_of_the_deadline_silences_the_timer(void **state) {
    (void)state;
    struct context c;
    struct listener l = { 0 };
    begin_heard(&c, &l);
    context_limit(&c, MS(1500), 1);
    now = MS(1500);
    assert_true(context_end(&c, ENDING_COMPLETED, 0)); /* fed before the wheel is advanced */
    assert_int_equal(wheel_advance(&wheel, now), 0);
    assert_int_equal(run(), 1);
    assert_int_equal(l.heard, 1);
    assert_int_equal(l.why, ENDING_COMPLETED);
    context_close(&c);
}
static void the_deadline_in_the_turn_of_the_answer_wins_if_it_was_first(void **state) {
    (void)state;
    struct context c;
    struct listener l = { 0 };
    begin_heard(&c, &l);
    context_limit(&c, MS(1500), 1);
    now = MS(1500);
    assert_int_equal(wheel_advance(&wheel, now), 1);
    assert_false(context_end(&c, ENDING_COMPLETED, 0));
    assert_int_equal(run(), 1);
    assert_int_equal(l.why, ENDING_DEADLINE);
    context_close(&c);
}
static void a_deadline_of_no_length_ends_it_once(void **state) {
    (void)state;
    struct context c;
    struct listener l = { 0 };
    begin_heard(&c, &l);
    context_limit(&c, now, 1);
    assert_int_equal(turn(1000), 1);
    assert_int_equal(turn(1000), 0);
    assert_int_equal(l.heard, 1);
    context_close(&c);
}
static void a_closed_context_is_not_ended_by_its_timer(void **state) {
    (void)state;
    struct context c;
    context_begin(&all, &c, now);
    context_limit(&c, MS(1500), 1);
    context_close(&c);
    memset(&c, 0xa5, sizeof c); /* the memory is somebody else's now */
    assert_int_equal(turn(1500), 0);
}

/* ---- what a hook may do ------------------------------------------------------------------------------------------------------------- */
static void hook_ends_other(struct listener *l) {
    context_end(l->other, ENDING_OPERATOR_CANCELLED, 0);
    context_end(l->c, ENDING_SHUTDOWN, 0);
    assert_int_equal(l->peer->heard, 0);
}
static void a_hook_ends_another_context_which_is_heard_in_the_same_batch(void **state) {
    (void)state;
    struct context a, b;
    struct listener lb = { 0 }, la = { .then = hook_ends_other, .other = &b, .peer = &lb };
    context_begin(&all, &a, now);
    context_begin(&all, &b, now);
    hang(&a, &la);
    hang(&b, &lb);
    context_end(&a, ENDING_CLIENT_RESET, 0);
    assert_int_equal(run(), 2);
    assert_int_equal(a.ending, ENDING_CLIENT_RESET);
    assert_int_equal(lb.why, ENDING_OPERATOR_CANCELLED);
    context_close(&a);
    context_close(&b);
}

static void hook_ends_its_parent(struct listener *l) { context_end(l->c->parent, ENDING_UPSTREAM_CLOSED, 0); }
static void an_attempts_hook_may_end_the_request_as_its_outcome(void **state) {
    (void)state;
    struct context p, c, g;
    struct listener lc = { .then = hook_ends_its_parent }, lp = { 0 }, lg = { 0 };
    family(&p, &c, &g);
    hang(&p, &lp);
    hang(&c, &lc);
    hang(&g, &lg);
    context_end(&c, ENDING_UPSTREAM_CLOSED, 0);
    assert_int_equal(run(), 3);
    assert_int_equal(lp.why, ENDING_UPSTREAM_CLOSED);
    assert_int_equal(lg.heard, 1);
    close_family(&p, &c, &g);
}

static void every_hook_of_a_chain_ends_the_next_context(void **state) {
    (void)state;
    enum { N = 30 };
    struct context c[N];
    struct listener l[N] = { 0 }, nobody = { 0 };
    for (size_t i = 0; i < N; i++) context_begin(&all, &c[i], now);
    for (size_t i = 0; i < N; i++) {
        size_t next = (i + 1) % N;
        l[i].then = hook_ends_other;
        l[i].other = &c[next];
        l[i].peer = next ? &l[next] : &nobody; /* the first was heard before */
        hang(&c[i], &l[i]);
    }
    context_end(&c[0], ENDING_SHUTDOWN, 0);
    assert_int_equal(run(), N);
    for (size_t i = 0; i < N; i++) context_close(&c[i]);
}

static void hook_unhangs_peer(struct listener *l) {
    context_unhang(&l->peer->h);
    context_unhang(&l->peer->h);
    context_unhang(&l->h);
}
static void a_hook_unhangs_the_next_in_line_which_then_hears_nothing(void **state) {
    (void)state;
    struct context c;
    struct listener b = { 0 }, d = { 0 }, a = { .then = hook_unhangs_peer, .peer = &b };
    begin_heard(&c, &a);
    hang(&c, &b);
    hang(&c, &d);
    context_end(&c, ENDING_CLIENT_RESET, 0);
    assert_int_equal(run(), 2);
    assert_int_equal(b.heard, 0);
    assert_int_equal(d.heard, 1);
    context_close(&c);
}

static void a_hook_unhangs_the_only_hook_of_a_queued_child(void **state) {
    (void)state;
    struct context p, c, g;
    struct listener lc = { 0 }, lp = { .then = hook_unhangs_peer, .peer = &lc };
    family(&p, &c, &g);
    hang(&p, &lp);
    hang(&c, &lc);
    context_end(&p, ENDING_CLIENT_RESET, 0);
    assert_int_equal(run(), 1);
    assert_int_equal(lc.heard, 0);
    close_family(&p, &c, &g);
}

static void hook_hangs_peer(struct listener *l) {
    hang(l->other, l->peer);
    assert_int_equal(l->peer->heard, 0);
}
static void a_hook_hung_on_the_ended_context_by_a_hook_runs_in_the_same_batch_and_not_inside(void **state) {
    (void)state;
    struct context c;
    struct listener b = { 0 }, a = { .then = hook_hangs_peer, .other = &c, .peer = &b };
    begin_heard(&c, &a);
    context_end(&c, ENDING_DEADLINE, 0);
    assert_int_equal(run(), 2);
    assert_int_equal(b.why, ENDING_DEADLINE);
    context_close(&c);
}
static void a_hook_hung_on_a_context_whose_hooks_ran_long_ago_still_hears(void **state) {
    (void)state;
    struct context old, c;
    struct listener b = { 0 }, a = { .then = hook_hangs_peer, .other = &old, .peer = &b };
    context_begin(&all, &old, now);
    begin_heard(&c, &a);
    context_end(&old, ENDING_CLIENT_RESET, 0);
    context_end(&c, ENDING_DEADLINE, 0);
    assert_int_equal(run(), 2);
    assert_int_equal(b.why, ENDING_CLIENT_RESET);
    b.heard = 0;
    hang(&old, &b);
    hang(&c, &(struct listener){ 0 });
    assert_int_equal(b.heard, 0);
    assert_int_equal(run(), 2);
    assert_int_equal(b.heard, 1);
    context_close(&old);
    context_close(&c);
}
static void a_hook_hangs_itself_elsewhere_and_waits_there(void **state) {
    (void)state;
    struct context c, alive;
    struct listener a = { .then = hook_hangs_peer, .other = &alive };
    a.peer = &(struct listener){ 0 };
    context_begin(&all, &c, now);
    context_begin(&all, &alive, now);
    hang(&c, &a);
    context_end(&c, ENDING_DEADLINE, 0);
    assert_int_equal(run(), 1);
    assert_int_equal(list_count(&alive.hooks), 1);
    context_unhang(&a.peer->h);
    context_close(&c);
    context_close(&alive);
}

static void hook_closes_own(struct listener *l) {
    context_close(l->c);
    memset(l->c, 0xa5, sizeof *l->c);
}
static void a_hook_closes_its_own_context(void **state) {
    (void)state;
    struct context c, other;
    struct listener a = { .then = hook_closes_own }, b = { 0 };
    context_begin(&all, &c, now);
    context_begin(&all, &other, now);
    hang(&c, &a);
    hang(&other, &b);
    context_end(&c, ENDING_SHUTDOWN, 0);
    context_end(&other, ENDING_SHUTDOWN, 0);
    assert_int_equal(run(), 2);
    context_close(&other);
}

static void hook_unhangs_peer_and_closes_other(struct listener *l) {
    context_unhang(&l->peer->h);
    context_close(l->other);
    context_close(l->other);
    assert_null(l->other->all);
}
static void a_hook_closes_a_child_that_is_queued_behind_it(void **state) {
    (void)state;
    struct context p, c;
    struct listener lc = { 0 }, lp = { .then = hook_unhangs_peer_and_closes_other, .other = &c, .peer = &lc };
    context_begin(&all, &p, now);
    context_derive(&c, &p, now);
    hang(&p, &lp);
    hang(&c, &lc);
    context_end(&p, ENDING_COMPLETED, 0);
    assert_int_equal(run(), 1);
    assert_int_equal(lc.heard, 0);
    assert_true(list_is_empty(&p.children));
    context_close(&p);
}

static void hook_derives_and_limits(struct listener *l) {
    context_derive(l->other, l->c, now);
    context_limit(l->other, MS(1), 1);
    hang(l->other, l->peer);
}
static void a_child_derived_by_a_hook_hears_in_the_same_batch(void **state) {
    (void)state;
    struct context p, c;
    struct listener lc = { 0 }, lp = { .then = hook_derives_and_limits, .other = &c, .peer = &lc };
    context_begin(&all, &p, now);
    hang(&p, &lp);
    context_end(&p, ENDING_CLIENT_RESET, 0);
    assert_int_equal(run(), 2);
    assert_int_equal(lc.why, ENDING_PARENT_CANCELLED);
    context_close(&c);
    context_close(&p);
}

static void a_hook_that_was_unhung_before_the_ending_hears_nothing(void **state) {
    (void)state;
    struct context c;
    struct listener l = { 0 };
    begin_heard(&c, &l);
    context_unhang(&l.h);
    context_unhang(&l.h);
    context_unhang(&(struct hook){ 0 });
    context_end(&c, ENDING_COMPLETED, 0);
    assert_int_equal(run(), 0);
    context_close(&c);
}

/* ---- ids ---------------------------------------------------------------------------------------------------------------------------- */
static void an_id_finds_its_context_until_it_is_closed(void **state) {
    (void)state;
    struct context c, later;
    context_begin(&all, &c, now);
    struct context_id id = context_id_of(&c);
    assert_int_equal(id.worker, WORKER);
    assert_ptr_equal(context_find(&all, id), &c);
    context_end(&c, ENDING_COMPLETED, 0);
    assert_ptr_equal(context_find(&all, id), &c);
    run();
    context_close(&c);
    assert_null(context_find(&all, id));
    context_begin(&all, &later, now);
    assert_int_equal(context_id_of(&later).slot, id.slot);
    assert_null(context_find(&all, id));
    assert_ptr_equal(context_find(&all, context_id_of(&later)), &later);
    context_close(&later);
}

static void an_id_of_nobody_finds_nobody(void **state) {
    (void)state;
    struct context c;
    assert_null(context_find(&all, (struct context_id){ .worker = WORKER }));
    context_begin(&all, &c, now);
    struct context_id id = context_id_of(&c);
    assert_null(context_find(&all, (struct context_id){ WORKER, id.slot, 0 }));
    assert_null(context_find(&all, (struct context_id){ WORKER + 1, id.slot, id.generation }));
    assert_null(context_find(&all, (struct context_id){ WORKER, all.nslots, id.generation }));
    assert_null(context_find(&all, (struct context_id){ WORKER, id.slot + 1, id.generation }));
    context_close(&c);
}

static void a_generation_that_wraps_skips_that_of_the_zeroed_id(void **state) {
    (void)state;
    struct context c;
    context_begin(&all, &c, now);
    uint32_t slot = c.slot;
    context_close(&c);
    all.generations[slot] = UINT32_MAX;
    context_begin(&all, &c, now);
    assert_int_equal(c.generation, UINT32_MAX);
    context_close(&c);
    assert_int_equal(all.generations[slot], 1);
}

static void ids_of_a_thousand_living_contexts_all_differ(void **state) {
    (void)state;
    enum { N = 1000 };
    struct context *c = calloc(N, sizeof *c);
    for (size_t i = 0; i < N; i++) context_begin(&all, &c[i], now);
    assert_int_equal(all.live, N);
    for (size_t i = 0; i < N; i++) assert_ptr_equal(context_find(&all, context_id_of(&c[i])), &c[i]);
    for (size_t i = 0; i < N; i++) context_close(&c[i]);
    free(c);
}

/* ---- what is a bug and stops the program ---------------------------------------------------------------------------------------------- */
static bool aborts(void (*f)(void)) {
    int status = 0;
    pid_t child = fork();
    if (child == 0) {
        signal(SIGABRT, SIG_DFL); /* cmocka catches it */
        close(STDERR_FILENO);
        f();
        _exit(0);
    }
    waitpid(child, &status, 0);
    return WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT;
}
static struct context doomed, below;
static struct listener listening;

static void begin_doomed(void) { context_begin(&all, &doomed, now); }
static void close_with_a_hook_hung(void) {
    begin_doomed();
    hang(&doomed, &listening);
    context_close(&doomed);
}
static void close_with_a_child_alive(void) {
    begin_doomed();
    context_derive(&below, &doomed, now);
    context_close(&doomed);
}
static void end_with_no_cause(void) {
    begin_doomed();
    context_end(&doomed, ENDING_NONE, 0);
}
static void end_after_close(void) {
    begin_doomed();
    context_close(&doomed);
    context_end(&doomed, ENDING_SHUTDOWN, 0);
}
static void hang_twice(void) {
    begin_doomed();
    hang(&doomed, &listening);
    hang(&doomed, &listening);
}
static void free_with_one_alive(void) {
    begin_doomed();
    contexts_free(&all);
}
static void run_again(struct listener *l) {
    (void)l;
    run();
}
static void run_inside_a_hook(void) {
    begin_doomed();
    listening.then = run_again;
    hang(&doomed, &listening);
    context_end(&doomed, ENDING_SHUTDOWN, 0);
    run();
}
static void what_would_leave_a_dangling_pointer_or_a_second_ending_stops_the_program(void **state) {
    (void)state;
    void (*const bugs[])(void) = { close_with_a_hook_hung, close_with_a_child_alive, end_with_no_cause, end_after_close, hang_twice,
                                   free_with_one_alive, run_inside_a_hook };
    assert_false(aborts(begin_doomed));
    for (size_t i = 0; i < sizeof bugs / sizeof *bugs; i++) assert_true(aborts(bugs[i]));
}

int main(void) {
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(one_way_an_ending_flows_from_parent_to_children_never_up),
        T(one_way_a_sibling_hears_nothing),
        T(once_the_first_ending_wins_with_its_cause_and_wire_code),
        T(once_a_child_that_ended_keeps_its_own_cause_when_the_parent_ends),
        T(to_all_children_grandchildren_and_every_hook_hear_within_the_turn_parents_first),
        T(to_all_a_tree_of_any_depth_and_width),
        T(nothing_left_no_timer_is_armed_after_the_ending),
        T(nothing_starts_for_an_ended_context_a_child_of_it_is_born_ended),
        T(a_context_nobody_listens_to_still_learns_when_it_ended),
        T(the_hour_of_the_ending_does_not_move_for_those_who_hang_later),
        T(the_deadline_ends_it_at_its_tick_and_not_before),
        T(a_limit_only_brings_the_deadline_nearer),
        T(a_deadline_that_passed_ends_it_in_the_next_turn_not_inside_the_call),
        T(no_deadline_means_no_timer),
        T(a_child_has_the_parents_deadline_and_hears_of_the_parents_ending),
        T(a_childs_nearer_deadline_ends_the_child_alone),
        T(a_limit_on_the_parent_reaches_all_below_that_had_more),
        T(a_limit_on_the_parent_does_not_rewrite_a_child_that_ended),
        T(completed_in_the_turn_of_the_deadline_silences_the_timer),
        T(the_deadline_in_the_turn_of_the_answer_wins_if_it_was_first),
        T(a_deadline_of_no_length_ends_it_once),
        T(a_closed_context_is_not_ended_by_its_timer),
        T(a_hook_ends_another_context_which_is_heard_in_the_same_batch),
        T(an_attempts_hook_may_end_the_request_as_its_outcome),
        T(every_hook_of_a_chain_ends_the_next_context),
        T(a_hook_unhangs_the_next_in_line_which_then_hears_nothing),
        T(a_hook_unhangs_the_only_hook_of_a_queued_child),
        T(a_hook_hung_on_the_ended_context_by_a_hook_runs_in_the_same_batch_and_not_inside),
        T(a_hook_hung_on_a_context_whose_hooks_ran_long_ago_still_hears),
        T(a_hook_hangs_itself_elsewhere_and_waits_there),
        T(a_hook_closes_its_own_context),
        T(a_hook_closes_a_child_that_is_queued_behind_it),
        T(a_child_derived_by_a_hook_hears_in_the_same_batch),
        T(a_hook_that_was_unhung_before_the_ending_hears_nothing),
        T(an_id_finds_its_context_until_it_is_closed),
        T(an_id_of_nobody_finds_nobody),
        T(a_generation_that_wraps_skips_that_of_the_zeroed_id),
        T(ids_of_a_thousand_living_contexts_all_differ),
        T(what_would_leave_a_dangling_pointer_or_a_second_ending_stops_the_program),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
