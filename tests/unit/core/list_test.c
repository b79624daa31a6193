// SPDX-License-Identifier: Apache-2.0
// The intrusive list: a node knows whether it is linked and leaves without its head.
#include "core/list.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <cmocka.h>

struct item { int n; struct list node; };

static void order(const struct list *head, const int *want, size_t count) {
    size_t i = 0;
    assert_int_equal(list_count(head), count);
    for (const struct list *l = head->next; l != head; l = l->next, i++) {
        assert_int_equal(LIST_OF(l, struct item, node)->n, want[i]);
        assert_ptr_equal(l->next->prev, l);
    }
}

static void push_unshift_and_shift_keep_order(void **state) {
    (void)state;
    struct list head = LIST_HEAD_INIT(head);
    struct item a = { .n = 1 }, b = { .n = 2 }, c = { .n = 3 };
    assert_true(list_is_empty(&head));
    assert_null(list_shift(&head));
    list_push(&head, &b.node);
    list_push(&head, &c.node);
    list_unshift(&head, &a.node);
    order(&head, (int[]){ 1, 2, 3 }, 3);
    assert_ptr_equal(list_shift(&head), &a.node);
    assert_false(list_is_linked(&a.node));
    list_insert_after(&b.node, &a.node);
    order(&head, (int[]){ 2, 1, 3 }, 3);
}

static void a_node_is_unlinked_twice_and_from_zero(void **state) {
    (void)state;
    struct list head = LIST_HEAD_INIT(head);
    struct item a = { .n = 1 }, b = { .n = 2 };
    assert_false(list_is_linked(&a.node));
    list_del(&a.node);
    list_push(&head, &a.node);
    list_push(&head, &b.node);
    assert_true(list_is_linked(&a.node));
    list_del(&a.node);
    list_del(&a.node);
    assert_false(list_is_linked(&a.node));
    order(&head, (int[]){ 2 }, 1);
}

static void splice_moves_all_to_the_end(void **state) {
    (void)state;
    struct list to = LIST_HEAD_INIT(to), from = LIST_HEAD_INIT(from);
    struct item i[4] = { { .n = 0 }, { .n = 1 }, { .n = 2 }, { .n = 3 } };
    list_push(&from, &i[2].node);
    list_push(&from, &i[3].node);
    list_push(&to, &i[0].node);
    list_push(&to, &i[1].node);
    list_splice(&to, &from);
    order(&to, (int[]){ 0, 1, 2, 3 }, 4);
    assert_true(list_is_empty(&from));
    list_splice(&to, &from);
    list_splice(&from, &to);
    order(&from, (int[]){ 0, 1, 2, 3 }, 4);
    assert_true(list_is_empty(&to));
}

static void each_entry_may_leave_while_it_is_visited(void **state) {
    (void)state;
    struct list head = LIST_HEAD_INIT(head);
    struct item i[3] = { { .n = 0 }, { .n = 1 }, { .n = 2 } };
    int seen = 0;
    for (size_t k = 0; k < 3; k++) list_push(&head, &i[k].node);
    LIST_EACH(&head, it, struct item, node) {
        assert_int_equal(it->n, seen++);
        if (it->n != 1) list_del(&it->node);
    }
    assert_int_equal(seen, 3);
    order(&head, (int[]){ 1 }, 1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(push_unshift_and_shift_keep_order),
        cmocka_unit_test(a_node_is_unlinked_twice_and_from_zero),
        cmocka_unit_test(splice_moves_all_to_the_end),
        cmocka_unit_test(each_entry_may_leave_while_it_is_visited),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
