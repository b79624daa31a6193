// SPDX-License-Identifier: Apache-2.0
// gRPC-Web ↔ gRPC: the messages are the same bytes. Text is base64 on the client's side; the upstream's trailers become the last frame of the body.
#include "codecs/bridge_inside.h"

enum { PLAIN_BYTES = 3072, TEXT_BYTES = BASE64_BYTES(PLAIN_BYTES) };
struct web {
    struct bridge b;
    bool text_up, text_down;
    struct base64_pieces base64;
};
static struct web *web_of(struct bridge *b) { return (struct web *)(void *)b; }

static const struct fault encoded = { .why = ENDING_NO_ROUTE, .status = 501,
                                      .say = "the body of a gRPC-Web request is compressed as a whole, which gRPC cannot carry" };
static const struct fault bad_text = { .why = ENDING_CLIENT_ERROR, .status = 400, .say = "the body of a gRPC-Web text request is not base64" };
static const struct fault bad_message = { .why = ENDING_CLIENT_ERROR, .status = 400, .say = "a message of the request has flags that gRPC has not" };
static const struct fault cut_message = { .why = ENDING_CLIENT_ERROR, .status = 400, .say = "the request ends in the middle of a message" };
static const struct fault bad_answer = { .why = ENDING_UPSTREAM_ERROR, .say = "a message of the answer has flags that gRPC has not" };
static const struct fault cut_answer = { .why = ENDING_UPSTREAM_ERROR, .say = "the answer ends in the middle of a message" };

/* ---- request --------------------------------------------------------------------------------------------------------------------------------- */

static const struct fault *open_web(struct bridge *b) {
    struct str rest, coding = head_joined(b->request, STR("content-encoding"));
    web_of(b)->text_up = rpc_content_is(b->request, STR("application/grpc-web-text"), &rest);
    web_of(b)->text_down = grpc_web_wants_text(b->request);
    return coding.n && !str_eq_nocase(coding, STR("identity")) ? &encoded : NULL;
}

static struct str codec_asked(const struct bridge *b) {
    struct str rest;
    const struct field *f = head_find(b->request, TOKEN_CONTENT_TYPE);
    if (!f || !rpc_content_is(b->request, STR("application/grpc-web"), &rest)) return (struct str){ 0 };
    size_t plus = str_index(rest, '+');
    struct str codec = plus < rest.n ? str_from(rest, plus + 1) : (struct str){ 0 };
    return is_token(codec) ? codec : (struct str){ 0 };
}

static void request_head(struct bridge *b, struct head *up) { bridge_request_head(b, up, codec_asked(b)); }

static const struct fault *messages(struct bridge *b, const uint8_t *p, size_t n, bool lives) {
    if (!bridge_follow(&b->asked, p, n, FRAME_COMPRESSED)) return &bad_message;
    if (n) b->up(b, p, n, lives);
    return NULL;
}

static const struct fault *request_body(struct bridge *b, const uint8_t *p, size_t n) {
    struct web *w = web_of(b);
    uint8_t plain[PLAIN_BYTES];
    const struct fault *f = NULL;
    if (!w->text_up) return messages(b, p, n, true);
    for (size_t part; n && !f; p += part, n -= part) {
        size_t made;
        part = n < PLAIN_BYTES ? n : PLAIN_BYTES;
        f = base64_pieces_take(&w->base64, p, part, plain, &made) ? messages(b, plain, made, false) : &bad_text;
    }
    return f;
}

static const struct fault *request_end(struct bridge *b) {
    if (!base64_pieces_is_whole(&web_of(b)->base64)) return &bad_text;
    return frames_is_between(&b->asked) ? NULL : &cut_message;
}

/* ---- answer ---------------------------------------------------------------------------------------------------------------------------------- */

static void give_text(struct bridge *b, const uint8_t *p, size_t n) {
    char text[TEXT_BYTES];
    for (size_t part; n; p += part, n -= part) { /* padded where a piece ends: what has come is not held back for what may come */
        part = n < PLAIN_BYTES ? n : PLAIN_BYTES;
        b->down(b, (const uint8_t *)text, base64_encode(p, part, text), false);
    }
}

/* Trailers-only stays what it is: no message, no frame, the status in the head (PROTOCOL-WEB, "Message framing" 4). */
static bool answer_head(struct bridge *b, struct head *down) {
    struct str codec = bridge_codec_of(down, codec_asked(b));
    bool only = down->body == BODY_NONE;
    bridge_answer_head(b, down);
    down->status = 200;
    down->body = only ? BODY_NONE : BODY_STREAM;
    head_set(down, STR("content-type"), arena_printf(b->arena, "application/grpc-web%s%s%.*s", web_of(b)->text_down ? "-text" : "",
                                                     codec.n ? "+" : "", STR_ARG(codec)));
    if (!only) return true;
    struct bridge_status s = bridge_status_of(b, NULL);
    head_add(down, STR("grpc-status"), arena_printf(b->arena, "%u", s.code));
    if (s.message.n) head_add(down, STR("grpc-message"), percent_encode(b->arena, s.message));
    if (s.details.n) head_add(down, STR("grpc-status-details-bin"), s.details);
    return true;
}

static const struct fault *answer_body(struct bridge *b, const uint8_t *p, size_t n) {
    if (b->foreign || b->head->body == BODY_NONE) return NULL;
    if (!bridge_follow(&b->answered, p, n, FRAME_COMPRESSED)) return &bad_answer;
    if (web_of(b)->text_down) give_text(b, p, n);
    else b->down(b, p, n, true);
    return NULL;
}

/* All trailers, with a status first even where the upstream said none. */
static struct head *last_fields(struct bridge *b, const struct head *trailers) {
    struct bridge_status s = bridge_status_of(b, trailers);
    struct head *all = ARENA_NEW(b->arena, struct head);
    head_init(all, b->arena, false);
    head_add(all, STR("grpc-status"), arena_printf(b->arena, "%u", s.code));
    if (s.message.n) head_add(all, STR("grpc-message"), percent_encode(b->arena, s.message));
    if (s.details.n) head_add(all, STR("grpc-status-details-bin"), s.details);
    for (size_t i = 0; trailers && i < trailers->nfields; i++) {
        const struct field *f = &trailers->fields[i];
        if (!field_is_removed(f) && !bridge_is_status_field(f)) head_add_hashed(all, f->name, f->hash, (enum token)f->token, f->value);
    }
    return all;
}

static const struct fault *answer_end(struct bridge *b, const struct head *trailers) {
    if (b->head->body == BODY_NONE) return NULL;
    if (!frames_is_between(&b->answered)) return &cut_answer;
    struct str frame = grpc_web_trailers(b->arena, last_fields(b, trailers), web_of(b)->text_down);
    b->down(b, (const uint8_t *)frame.p, frame.n, false);
    return NULL;
}

const struct bridge_kind bridge_grpc_web = {
    .from = "grpc-web", .to = "grpc", .size = sizeof(struct web), .open = open_web, .request_head = request_head, .request_body = request_body,
    .request_end = request_end, .answer_head = answer_head, .answer_body = answer_body, .answer_end = answer_end,
};
