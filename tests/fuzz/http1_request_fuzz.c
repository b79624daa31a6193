// SPDX-License-Identifier: Apache-2.0
// A client of HTTP/1.1 under libFuzzer. What must hold: the contract (the rig checks it); the same bytes mean the same wherever they are cut; and
// what was taken as one request, written for an upstream and read again, is that one request and nothing more (no smuggling).
// The first byte says where the input is cut.
#include "tests/contract/rig.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct rig *client(void) { return rig_new(codec_by_name(STR("http1")), CODEC_DOWN, NULL); }

static void check_alike(const struct rig *a, const struct rig *b) {
    RIG_CHECK(a->nlegs == b->nlegs && a->faults == b->faults);
    for (unsigned i = 0; i < a->nlegs; i++) {
        const struct rig_leg *x = a->legs[i], *y = b->legs[i];
        RIG_CHECK(x->head->nfields == y->head->nfields && str_eq(x->head->target, y->head->target));
        RIG_CHECK(str_eq(rig_body(x), rig_body(y)) && x->ended == y->ended && x->faulted == y->faulted);
    }
}

static void check_same_head(const struct head *a, const struct head *b) {
    RIG_CHECK(str_eq(a->method, b->method) && str_eq(a->target, b->target) && str_eq(a->authority, b->authority));
    RIG_CHECK(a->te_trailers == b->te_trailers && str_eq(a->protocol, b->protocol));
    RIG_CHECK((a->body == BODY_STREAM) == (b->body == BODY_STREAM) && (a->body == BODY_TUNNEL) == (b->body == BODY_TUNNEL));
    RIG_CHECK(a->length == b->length);
    size_t k = 0;
    for (size_t i = 0; i < a->nfields; i++) {
        if (field_is_removed(&a->fields[i])) continue;
        RIG_CHECK(k < b->nfields && str_eq(a->fields[i].name, b->fields[k].name) && str_eq(a->fields[i].value, b->fields[k].value));
        k++;
    }
    RIG_CHECK(k == b->nfields);
}

/* Up with it, and what goes out read as the next hop would read it. */
static void check_forwarded(const struct rig_leg *x) {
    const struct head *h = x->head;
    if (!h || h->authority.n == 0 || (h->body != BODY_TUNNEL && !x->ended)) return;
    struct rig *up = rig_new(codec_by_name(STR("http1")), CODEC_UP, NULL), *next = client();
    struct rig_leg *y = rig_begin(up);
    next->silent = true;
    y->reply = rig_body(x);
    y->reply_open = h->body == BODY_TUNNEL;
    up->codec->send_head(&y->leg, h);
    if (x->trailers) up->codec->send_trailers(&y->leg, x->trailers);
    rig_settle(up);
    RIG_CHECK(!y->closed);
    rig_feed(next, rig_sent(up).p, rig_sent(up).n);
    RIG_CHECK(next->nlegs == 1 && !next->faults && buffer_is_empty(&next->in));
    check_same_head(h, next->legs[0]->head);
    RIG_CHECK(h->body == BODY_TUNNEL || (next->legs[0]->ended && str_eq(rig_body(next->legs[0]), rig_body(x))));
    rig_free(up);
    rig_free(next);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size < 1) return 0;
    size_t cut = data[0] ? (size_t)data[0] * (size - 1) / 256 : 0;
    data++, size--;
    struct rig *whole = client(), *parts = client();
    rig_feed(whole, data, size);
    if (cut) rig_feed(parts, data, cut);
    if (data[-1] == 255) for (; cut < size; cut++) rig_feed(parts, data + cut, 1);
    else rig_feed(parts, data + cut, size - cut);
    check_alike(whole, parts);
    for (unsigned i = 0; i < whole->nlegs && i < 4; i++) check_forwarded(whole->legs[i]);
    rig_eof(whole);
    rig_free(whole);
    rig_free(parts);
    return 0;
}
