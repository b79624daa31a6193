// SPDX-License-Identifier: Apache-2.0
// What the client of an exchange is told: the upstream's answer, or one of our own, of a route or of an ending. Of all these one is begun, once; a
// client that has part of one gets its rest, an error behind it in the words of its protocol, or a cut.
#include "policies/hops.h"
#include "proxy/exchange.h"
#include "proxy/listener.h"

#define SLOW span_s(1) /* past limits.memory a client that has been owed bytes for so long is not to be owed more */

/* ---- answers of our own ------------------------------------------------------------------------------------------------------------------ */
/* What is left of an upload that nobody wants: read and thrown away where that is cheaper than a new connection; on a multiplexed one a stream costs
 * nothing. A client that expects a 100 (Continue) may leave its body out (RFC 9110 10.1.1): then what follows cannot be told from it. */
static bool upload_is_short(const struct exchange *x) {
    const struct head *h = x->request;
    return !x->leg.session->codec->multiplex && h->body == BODY_LENGTH && h->length - x->up_bytes <= DISCARD_MAX && !head_find(h, TOKEN_EXPECT);
}
void exchange_after_feed(struct exchange *x) {
    if (x->up.complete || !x->leg.session) return;
    if (upload_is_short(x)) wheel_arm(&x->w->wheel, &x->idle, instant_add(x->w->now, x->listener->conf->timeouts.linger)); /* semantics 4 */
    else leg_cancel(&x->leg, ENDING_COMPLETED, 0, CANCEL_DRAIN);
}
/* An answer that is complete while the request still comes: the rest of the upload is not wanted (RFC 9112 9.3, trap T24). Whether there is a
 * rest shows when this turn's input was fed. */
static void finish_answer(struct exchange *x) {
    x->answered = ANSWERED_WHOLE;
    x->down.complete = true;
    leg_ready(&x->leg);
    if (!x->up.complete && !list_is_linked(&x->after_feed)) list_push(&x->w->after_feed, &x->after_feed);
}
void exchange_owe(struct exchange *x, const uint8_t *p, size_t n, struct list *borrowers) {
    if (body_waiting(&x->down, x->down_offset) == 0) x->owed = x->w->now;
    body_push(&x->down, p, n, borrowers);
    if (load_room(x->w) == ROOM_OVER && instant_before(instant_add(x->owed, SLOW), x->w->now)) exchange_has_no_room(x);
}
/* No tunnel was made: its request was complete with its head. */
static void refuse_tunnel(struct exchange *x) {
    if (x->request->protocol.n) x->up.complete = true;
}
static void send_local(struct exchange *x, struct head *h, struct str body) {
    if (!x->leg.session) return;
    x->local = true;
    x->status = h->status;
    refuse_tunnel(x);
    if (!x->answered_at.ns) x->answered_at = x->w->now;
    head_add_hashed(h, STR("date"), name_hash(STR("date")), TOKEN_DATE, arena_copy(&x->arena, worker_date(x->w)));
    leg_send_head(&x->leg, h);
    exchange_owe(x, (const uint8_t *)body.p, body.n, NULL);
    finish_answer(x);
}
/* An upstream gives up by what it was told, the reserve before our own timer; grpc-java says so by RST_STREAM(CANCEL). */
static bool is_late(const struct exchange *x) {
    instant given_up = x->told.ns > 0 ? instant_add(x->sent_at, x->told) : x->context.deadline;
    return !instant_before(x->w->now, given_up);
}
static struct rpc_answer answer_for(struct exchange *x, enum ending why) {
    struct rpc_answer a = { 0 };
    answer_decide(&x->policy->answer, why, x->fault.status, x->fault.say, &a);
    answer_by_code(&x->policy->answer, why, x->fault.said, x->answered != ANSWERED_NOT, is_late(x), &a);
    a.head_request = str_eq(x->request->method, STR("HEAD"));
    return a;
}
/* The peer's word passes to a client whose protocol has none of its own for the ending (semantics 3 and 4). */
static enum reset_word said_to_client(const struct exchange *x) { return x->rpc && strcmp(x->rpc->family, "http") != 0 ? RESET_UNSAID : x->fault.said; }
void exchange_cut(struct exchange *x) { leg_cancel(&x->leg, x->context.ending, said_to_client(x), CANCEL_BAND); }
static void read_outcome(struct exchange *x, const struct rpc *rpc, const struct head *trailers) {
    if (!x->answer) return;
    if (rpc->outcome) rpc->outcome(x->answer, trailers, &x->outcome);
    if (rpc->said && x->outcome.grpc < 0) x->outcome.grpc = rpc->said(&x->follow, x->answer);
}
void exchange_answer_ending(struct exchange *x, enum ending why) {
    struct rpc_answer what = answer_for(x, why);
    struct head *h = ARENA_NEW(&x->arena, struct head);
    struct str body = { 0 };
    leg_hurry(&x->leg);
    if (x->answered == ANSWERED_NOT) {
        x->rpc->answer(&x->arena, &what, x->request, h, &body);
        x->outcome.grpc = strcmp(x->rpc->family, "http") != 0 ? (int16_t)what.grpc : (int16_t)-1;
        send_local(x, h, body);
    } else if (x->rpc->answer_late && x->rpc->answer_late(&x->arena, &what, &x->follow, h, &body)) {
        if (body.n || h->nfields) x->outcome.grpc = (int16_t)what.grpc;
        else read_outcome(x, x->rpc, NULL);
        exchange_owe(x, (const uint8_t *)body.p, body.n, NULL);
        leg_send_trailers(&x->leg, h);
        finish_answer(x);
    } else if (ending_rows[why].side == ENDING_SIDE_UPSTREAM && (x->leg.out == LEG_NOTHING || body_waiting(&x->down, x->down_offset) > 0)) {
        x->cut_pending = true; /* what was received is delivered first (semantics 4), be it the head alone; bounded by the write timeout */
        leg_ready(&x->leg);
        wheel_arm(&x->w->wheel, &x->idle, instant_add(x->w->now, x->listener->conf->timeouts.write));
    } else {
        exchange_cut(x);
    }
}
/* RFC 9110 9.3.7: nobody here knows which methods the upstream has: no Allow, which would say that these are all. */
static void answer_options(struct exchange *x) {
    struct head *h = ARENA_NEW(&x->arena, struct head);
    head_init(h, &x->arena, false);
    h->status = 200;
    h->body = BODY_LENGTH;
    route_edit_headers(&x->match.route->headers.answer, h);
    send_local(x, h, (struct str){ 0 });
}
bool exchange_answer_here(struct exchange *x) {
    const struct route *r = x->match.route;
    if (!r->answer && !r->redirect) {
        bool last = hops_end(x->request);
        if (last) answer_options(x);
        return last;
    }
    struct head *h = ARENA_NEW(&x->arena, struct head);
    head_init(h, &x->arena, false);
    struct str body = { 0 };
    if (r->answer) {
        body = r->answer->body;
        h->status = (uint16_t)r->answer->status;
        if (body.n) head_add(h, STR("content-type"), r->answer->content_type);
    } else {
        h->status = (uint16_t)r->redirect->status;
        head_add(h, STR("location"), route_location(&x->match, x->request, x->secure, &x->arena));
    }
    h->body = BODY_LENGTH;
    h->length = body.n;
    route_edit_headers(&r->headers.answer, h);
    if (str_eq(x->request->method, STR("HEAD"))) body.n = 0;
    send_local(x, h, body);
    return true;
}

/* ---- the upstream's answer --------------------------------------------------------------------------------------------------------------- */
static void begin_answer(struct exchange *x, struct head *down) {
    wheel_disarm(&x->w->wheel, &x->to_head);
    x->answered = ANSWERED_HEAD;
    x->answered_at = x->moved = x->w->now;
    if (!x->discard) x->status = down->status;
    if (down->body != BODY_TUNNEL) refuse_tunnel(x);
    if (x->discard) {
        if (down->body != BODY_NONE) exchange_run_idle(x); /* nobody listens, but a silence ends it all the same */
        return;
    }
    if (!head_find(down, TOKEN_DATE)) { /* RFC 9110 6.6.1 */
        head_add_hashed(down, STR("date"), name_hash(STR("date")), TOKEN_DATE, arena_copy(&x->arena, worker_date(x->w)));
    }
    forward_answer(&x->policy->forward, x->answer->version, down);
    route_edit_headers(&x->match.route->headers.answer, down);
    rpc_follow_begin(&x->follow, x->rpc, &x->arena, down);
    leg_send_head(&x->leg, down);
    if (x->answer->body != BODY_NONE && !str_eq(x->request->method, STR("HEAD"))) exchange_run_idle(x);
}
void exchange_answer_head(struct exchange *x, const struct head *h) {
    if (h->interim) {
        /* RFC 9110 15.2: not to a client of HTTP/1.0. It stops no timer and begins no answer (trap T19). */
        if (x->answered == ANSWERED_NOT && x->request->version >= 11 && !x->discard) leg_send_head(&x->leg, h);
        return;
    }
    x->answer = h;
    exchange_note_latency(x);
    exchange_moved(x);
    struct head *down = head_clone(h, &x->arena);
    if (!x->bridge || exchange_bridge_head(x, down)) begin_answer(x, down);
}
void exchange_answer_body(struct exchange *x, const uint8_t *p, size_t n, bool copied) {
    exchange_moved(x);
    if (x->discard) {
        attempt_credit(x, n);
        return;
    }
    if (x->bridge) {
        exchange_bridge_body(x, p, n, copied);
        return;
    }
    rpc_follow_bytes(&x->follow, p, n);
    exchange_owe(x, p, n, copied ? NULL : &x->w->borrowers);
    leg_ready(&x->leg);
}
/* False: it has failed. */
static bool end_bridged(struct exchange *x, const struct head *trailers) {
    if (!exchange_bridge_end(x, trailers)) return false;
    if (x->answered == ANSWERED_NOT) begin_answer(x, x->bridge->head);
    return true;
}
void exchange_answer_end(struct exchange *x, const struct head *trailers) {
    read_outcome(x, x->rpc_up, trailers);
    if (x->bridge && !x->discard && !end_bridged(x, trailers)) return;
    if (trailers && !x->discard && !x->bridge) leg_send_trailers(&x->leg, trailers);
    if (!x->discard) {
        finish_answer(x);
        return;
    }
    x->answered = ANSWERED_WHOLE;
    context_end(&x->context, x->left_why, 0);
}
