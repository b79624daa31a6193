// SPDX-License-Identifier: Apache-2.0
// An upstream of HTTP/1.1 under libFuzzer. What must hold: the contract (the rig checks it); the same bytes mean the same wherever they are cut;
// an answer that was taken, written for a client and read again, is that answer and nothing more; and no connection is kept for another
// exchange after anything but a whole one. The first byte says where the input is cut, the second what was asked.
#include "tests/contract/rig.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct codec *http1(void) { return codec_by_name(STR("http1")); }

static struct rig *ask(uint8_t what) {
    static const char *const methods[] = { "GET", "HEAD", "POST", "CONNECT", "GET" };
    struct rig *r = rig_new(http1(), CODEC_UP, NULL);
    struct rig_leg *x = rig_begin(r);
    struct head *h = rig_request_head(r, x, methods[what % 5], STR(""));
    h->target = what % 5 == 3 ? STR("") : STR("/");
    if (what % 5 >= 3) h->body = BODY_TUNNEL;
    if (what % 5 == 4) h->protocol = STR("websocket");
    x->reply_open = h->body == BODY_TUNNEL;
    r->codec->send_head(&x->leg, h);
    rig_settle(r);
    RIG_CHECK(x->leg.head_taken);
    return r;
}

static void check_alike(const struct rig *a, const struct rig *b) {
    const struct rig_leg *x = a->legs[0], *y = b->legs[0];
    RIG_CHECK(a->faults == b->faults && x->closed == y->closed && x->faulted == y->faulted && x->ended == y->ended);
    RIG_CHECK(!x->head == !y->head && x->interims == y->interims && str_eq(rig_body(x), rig_body(y)));
    RIG_CHECK(!x->head || (x->head->status == y->head->status && x->head->nfields == y->head->nfields));
}

/* What a client is told is what was heard. */
static void check_forwarded(const struct rig_leg *x) {
    const struct head *h = x->head;
    if (!h || !x->ended || h->body == BODY_TUNNEL || h->body == BODY_LENGTH) return;
    struct rig *down = rig_new(http1(), CODEC_DOWN, NULL), *client = ask(0);
    down->silent = true;
    rig_feed_text(down, "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    struct rig_leg *y = down->legs[0];
    y->reply = rig_body(x);
    down->codec->send_head(&y->leg, h);
    if (x->trailers) down->codec->send_trailers(&y->leg, x->trailers);
    rig_settle(down);
    RIG_CHECK(y->closed && !y->faulted);
    rig_feed(client, rig_sent(down).p, rig_sent(down).n);
    const struct rig_leg *z = client->legs[0];
    RIG_CHECK(z->closed && !z->faulted && client->faults == 0 && z->head->status == h->status && str_eq(rig_body(z), rig_body(x)));
    rig_free(down);
    rig_free(client);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size < 2) return 0;
    size_t cut = data[0] ? (size_t)data[0] * (size - 2) / 256 : 0;
    struct rig *whole = ask(data[1]), *parts = ask(data[1]);
    data += 2, size -= 2;
    rig_feed(whole, data, size);
    if (cut) rig_feed(parts, data, cut);
    rig_feed(parts, data + cut, size - cut);
    const struct rig_leg *x = whole->legs[0];
    RIG_CHECK(!whole->s.reusable || (x->closed && !x->faulted && x->ended && buffer_is_empty(&whole->in)));
    check_alike(whole, parts);
    rig_eof(whole);
    check_forwarded(x);
    rig_free(whole);
    rig_free(parts);
    return 0;
}
