// SPDX-License-Identifier: Apache-2.0
// The context tree, and the only place where anything ends. It marks and queues; what an ending means is its hooks' to say. No hook is ever
// called from context_end, so that a codec, a timer or another hook can end a context while its own caller still stands on it.
//
// A child has a timer of its own only where its deadline is nearer than its parent's: at the parent's it hears of the parent's ending.
#include "core/context.h"
#include "core/arena.h"
#include <assert.h>
#include <stdlib.h>

enum { SLOTS_MIN = 64 };

void contexts_init(struct contexts *all, struct wheel *wheel, uint16_t worker) {
    *all = (struct contexts){ .wheel = wheel, .worker = worker };
    list_init(&all->ended);
}

void contexts_free(struct contexts *all) {
    assert(all->live == 0 && list_is_empty(&all->ended));
    free(all->slots);
    free(all->generations);
    free(all->free_slots);
    contexts_init(all, all->wheel, all->worker);
}

static void slots_grow(struct contexts *all) {
    uint32_t old = all->nslots, n = old ? old * 2 : SLOTS_MIN;
    assert(n > old);
    all->slots = mem_realloc(all->slots, n * sizeof(struct context *));
    all->generations = mem_realloc(all->generations, n * sizeof *all->generations);
    all->free_slots = mem_realloc(all->free_slots, n * sizeof *all->free_slots);
    for (uint32_t i = n; i-- > old;) {
        all->slots[i] = NULL;
        all->generations[i] = 1; /* so that a zeroed id names nobody */
        all->free_slots[all->nfree_slots++] = i;
    }
    all->nslots = n;
}

static void slot_take(struct context *c) {
    struct contexts *all = c->all;
    if (!all->nfree_slots) slots_grow(all);
    c->slot = all->free_slots[--all->nfree_slots];
    c->generation = all->generations[c->slot];
    all->slots[c->slot] = c;
    all->live++;
}

static void slot_give(struct context *c) {
    struct contexts *all = c->all;
    all->slots[c->slot] = NULL;
    if (++all->generations[c->slot] == 0) all->generations[c->slot] = 1;
    all->free_slots[all->nfree_slots++] = c->slot;
    all->live--;
}

static struct context *context_of(struct list *sibling) { return LIST_OF(sibling, struct context, sibling); }

/* The tree below `root`, parents first, without recursion. NULL after the last. */
static struct context *next_below(const struct context *root, struct context *c) {
    if (!list_is_empty(&c->children)) return context_of(c->children.next);
    for (; c != root; c = c->parent)
        if (c->sibling.next != &c->parent->children) return context_of(c->sibling.next);
    return NULL;
}

static void on_deadline(struct timer *t, instant now) {
    (void)now;
    context_end(CONTAINER_OF(t, struct context, timer), ENDING_DEADLINE, 0);
}

void context_begin(struct contexts *all, struct context *c, instant now) {
    *c = (struct context){ .all = all, .begun = now, .deadline = INSTANT_NEVER, .timer = { .fire = on_deadline } };
    list_init(&c->children);
    list_init(&c->hooks);
    slot_take(c);
}

/* Queued also where nobody listens: ended_at is told there. */
static void mark(struct context *c, enum ending why, uint32_t wire) {
    c->ending = why;
    c->wire = wire;
    wheel_disarm(c->all->wheel, &c->timer);
    list_push(&c->all->ended, &c->queued);
}

void context_derive(struct context *c, struct context *parent, instant now) {
    context_begin(parent->all, c, now);
    c->parent = parent;
    c->deadline = parent->deadline;
    c->dialect = parent->dialect;
    list_push(&parent->children, &c->sibling);
    if (context_is_ended(parent)) mark(c, ENDING_PARENT_CANCELLED, 0);
}

void context_limit(struct context *c, instant deadline, uint8_t dialect) {
    if (context_is_ended(c) || !instant_before(deadline, c->deadline)) return;
    wheel_arm(c->all->wheel, &c->timer, deadline);
    for (struct context *i = c; i; i = next_below(c, i)) {
        if (context_is_ended(i) || !instant_before(deadline, i->deadline)) continue;
        i->deadline = deadline;
        i->dialect = dialect;
        if (i != c) wheel_disarm(i->all->wheel, &i->timer);
    }
}

void context_hang(struct context *c, struct hook *h) {
    assert(c->all && h->on_end && !list_is_linked(&h->node));
    list_push(&c->hooks, &h->node);
    if (context_is_ended(c) && !list_is_linked(&c->queued)) list_push(&c->all->ended, &c->queued);
}

void context_unhang(struct hook *h) { list_del(&h->node); }

bool context_end(struct context *c, enum ending why, uint32_t wire) {
    assert(c->all && why > ENDING_NONE && why < ENDINGS);
    if (context_is_ended(c)) return false;
    mark(c, why, wire);
    for (struct context *i = next_below(c, c); i; i = next_below(c, i))
        if (!context_is_ended(i)) mark(i, ENDING_PARENT_CANCELLED, 0);
    return true;
}

/* Looks anew at the head of the queue after every hook: it may have closed this context, ended others, or unhung the next in line. */
size_t context_run_ended(struct contexts *all, instant now) {
    assert(!all->running);
    size_t ran = 0;
    all->running = true;
    while (!list_is_empty(&all->ended)) {
        struct context *c = LIST_OF(all->ended.next, struct context, queued);
        if (c->ended_at.ns == 0) c->ended_at = now;
        struct list *n = list_shift(&c->hooks);
        if (!n) {
            list_del(&c->queued);
            continue;
        }
        struct hook *h = LIST_OF(n, struct hook, node);
        ran++;
        h->on_end(h, c, c->ending);
    }
    all->running = false;
    return ran;
}

void context_close(struct context *c) {
    if (!c->all) return;
    assert(list_is_empty(&c->children) && list_is_empty(&c->hooks));
    wheel_disarm(c->all->wheel, &c->timer);
    list_del(&c->sibling);
    list_del(&c->queued);
    slot_give(c);
    c->all = NULL;
    c->parent = NULL;
}

struct context_id context_id_of(const struct context *c) {
    return (struct context_id){ .worker = c->all->worker, .slot = c->slot, .generation = c->generation };
}

struct context *context_find(struct contexts *all, struct context_id id) {
    if (id.worker != all->worker || id.slot >= all->nslots || all->generations[id.slot] != id.generation) return NULL;
    return all->slots[id.slot];
}
