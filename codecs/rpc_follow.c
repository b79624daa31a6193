// SPDX-License-Identifier: Apache-2.0
// Following the body of an answer message by message: whether an ending may be written in band now, and what the last message says. And the few
// words that the kin of gRPC share.
#include "codecs/rpc_inside.h"

void rpc_follow_begin(struct rpc_follow *f, const struct rpc *rpc, struct arena *a, const struct head *answer) {
    *f = (struct rpc_follow){ .arena = a, .fixed = answer->body == BODY_LENGTH, .left = answer->length };
    if (!rpc->follow || (answer->body != BODY_STREAM && answer->body != BODY_CLOSE && answer->body != BODY_LENGTH)) return;
    if (head_find_name(answer, STR("content-encoding"), NULL)) return;
    struct str rest;
    f->rpc = rpc;
    f->text = rpc_content_is(answer, STR("application/grpc-web-text"), &rest);
    f->framed = rpc_content_is(answer, STR("application/grpc"), &rest) || rpc_content_is(answer, STR("application/connect+"), &rest);
    f->keeps = answer->status != 200 && rpc_content_is(answer, STR("application/json"), &rest) && rest.n == 0;
    rpc_follow_bytes(f, NULL, 0);
}

void rpc_follow_bytes(struct rpc_follow *f, const uint8_t *p, size_t n) {
    if (f->fixed) f->left -= n < f->left ? n : f->left;
    if (!f->rpc) return;
    f->rpc->follow(f, p, n);
    if (f->fixed) f->aligned = false;
}

bool rpc_follow_has_all(const struct rpc_follow *f, enum ending why) { return f->fixed && f->left == 0 && ending_rows[why].side != ENDING_SIDE_UPSTREAM; }

void rpc_follow_keep(struct rpc_follow *f, const uint8_t *p, size_t n) {
    if (!f->kept) f->kept = arena_bytes(f->arena, FOLLOW_KEEP);
    size_t part = n < FOLLOW_KEEP - f->nkept ? n : FOLLOW_KEEP - f->nkept;
    if (part) memcpy(f->kept + f->nkept, p, part);
    f->nkept += part;
}

void rpc_follow_until(struct rpc_follow *f, const uint8_t *p, size_t n, uint8_t end) {
    if (!f->framed) return; /* a page of some proxy on the way: no messages */
    for (size_t used; n; p += used, n -= used) {
        enum frames_event ev;
        used = frames_take(&f->frames, p, n, &ev);
        if (ev == FRAMES_HEAD && frames_flags(&f->frames) & end) f->over = true;
        if (ev == FRAMES_BYTES && f->over && !(frames_flags(&f->frames) & FRAME_COMPRESSED)) rpc_follow_keep(f, p, used);
    }
    f->aligned = !f->over && frames_is_between(&f->frames);
}

void rpc_follow_frames(struct rpc_follow *f, const uint8_t *p, size_t n) { rpc_follow_until(f, p, n, 0); }

bool rpc_follow_is_over(const struct rpc_follow *f) {
    return f->over && !f->fixed && frames_is_between(&f->frames) && base64_pieces_is_whole(&f->base64);
}

/* ---- words --------------------------------------------------------------------------------------------------------------------------- */

bool rpc_content_is(const struct head *h, struct str type, struct str *rest) {
    const struct field *f = head_find(h, TOKEN_CONTENT_TYPE);
    if (!f) return false;
    struct str media = str_trim(str_first(f->value, str_index(f->value, ';')));
    if (media.n < type.n || !str_eq_nocase(str_first(media, type.n), type)) return false;
    *rest = str_from(media, type.n);
    return true;
}

struct str rpc_sentence(const struct rpc_answer *what) {
    return what->detail.n ? what->detail : str_of(ending_rows[what->why].sentence);
}

struct str rpc_seconds_up(struct arena *a, span s) {
    int64_t seconds = s.ns / NS_PER_S;
    if (s.ns % NS_PER_S) seconds++;
    return arena_printf(a, "%lld", (long long)seconds);
}

void rpc_add_status(struct arena *a, const struct rpc_answer *what, struct head *h) {
    head_add(h, STR("grpc-status"), arena_printf(a, "%u", what->grpc));
    head_add(h, STR("grpc-message"), percent_encode(a, rpc_sentence(what)));
    /* gRFC A6: a server's pushback; rounded up, since earlier than asked is too early. */
    if (!span_is_positive(what->retry_after)) return;
    int64_t ms = what->retry_after.ns / NS_PER_MS + (what->retry_after.ns % NS_PER_MS != 0);
    head_add(h, STR("grpc-retry-pushback-ms"), arena_printf(a, "%lld", (long long)ms));
}

/* A status that is no number says nothing that anybody could act upon: UNKNOWN. */
bool rpc_status_in(const struct head *h, int16_t *status) {
    const struct field *f = h ? head_find(h, TOKEN_GRPC_STATUS) : NULL;
    uint64_t v = 0;
    if (!f) return false;
    *status = str_to_u64(f->value, &v) && v <= INT16_MAX ? (int16_t)v : GRPC_UNKNOWN;
    return true;
}

/* gRPC, http-grpc-status-mapping: what is not HTTP 200 and has no status of its own gets one by its HTTP status. */
int16_t rpc_status_early(const struct head *answer) {
    int16_t status;
    if (rpc_status_in(answer, &status)) return status;
    return answer->status == 200 ? (int16_t)-1 : (int16_t)grpc_of_http(answer->status);
}
