// SPDX-License-Identifier: Apache-2.0
// An intrusive circular list. A node unlinks without naming its head, may be unlinked twice, and knows whether it is linked.
#ifndef CURFEW_CORE_LIST_H
#define CURFEW_CORE_LIST_H
#include <stdbool.h>
#include <stddef.h>

struct list { /* a head, or a node embedded in its owner; zeroed memory is an unlinked node but not a head */
    struct list *next, *prev;
};

#define LIST_HEAD_INIT(head) { &(head), &(head) }
/* The struct that embeds node as `member`. */
#define CONTAINER_OF(node, type, member) ((type *)(void *)((char *)(node) - offsetof(type, member)))
#define LIST_OF(node, type, member) CONTAINER_OF(node, type, member)
/* Walks entries; `it` may be unlinked inside (its next was read before), other entries may not. */
#define LIST_EACH(head, it, type, member)                                                                                \
    for (type *it = LIST_OF((head)->next, type, member), *it##_next = LIST_OF(it->member.next, type, member);       \
         &it->member != (head); it = it##_next, it##_next = LIST_OF(it->member.next, type, member))

static inline void list_init(struct list *l) { l->next = l->prev = l; }
static inline bool list_is_linked(const struct list *node) { return node->next != NULL && node->next != node; }
static inline bool list_is_empty(const struct list *head) { return head->next == head; }
static inline void list_insert_after(struct list *at, struct list *node) {
    node->prev = at;
    node->next = at->next;
    at->next->prev = node;
    at->next = node;
}
static inline void list_push(struct list *head, struct list *node) { list_insert_after(head->prev, node); }  /* to the end */
static inline void list_unshift(struct list *head, struct list *node) { list_insert_after(head, node); }     /* to the front */
/* Idempotent; afterwards !list_is_linked(node). */
static inline void list_del(struct list *node) {
    if (!node->next) return;
    node->prev->next = node->next;
    node->next->prev = node->prev;
    node->next = node->prev = node;
}
/* Takes the first node off, or NULL. */
static inline struct list *list_shift(struct list *head) {
    if (list_is_empty(head)) return NULL;
    struct list *n = head->next;
    list_del(n);
    return n;
}
/* Moves all of `from` to the end of `to`; `from` is empty then. */
static inline void list_splice(struct list *to, struct list *from) {
    if (list_is_empty(from)) return;
    from->next->prev = to->prev;
    to->prev->next = from->next;
    from->prev->next = to;
    to->prev = from->prev;
    list_init(from);
}
static inline size_t list_count(const struct list *head) { /* O(n): tests and dumps only */
    size_t n = 0;
    for (const struct list *i = head->next; i != head; i = i->next) n++;
    return n;
}
#endif
