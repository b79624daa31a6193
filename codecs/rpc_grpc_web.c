// SPDX-License-Identifier: Apache-2.0
// gRPC-Web: gRPC's messages over any HTTP, for browsers, which see no trailers: these are the last frame of the body (flag 0x80). Its text form is
// the same in base64, padded wherever the sender flushed. An ending before the head is trailers-only, as in gRPC; after it a frame of trailers
// where a message ended, else the body is cut.
#include "codecs/rpc_inside.h"

#define WEB "application/grpc-web"
#define WEB_TEXT "application/grpc-web-text"

static bool is_suffix(struct str rest) { return rest.n == 0 || rest.p[0] == '+'; }

/* PROTOCOL-WEB, "Content-Type"; -base64 is another name of the default encoding of text. */
static bool web_recognise(const struct head *request) {
    struct str rest;
    if (rpc_content_is(request, STR(WEB_TEXT "-base64"), &rest) && is_suffix(rest)) return true;
    if (rpc_content_is(request, STR(WEB_TEXT), &rest) && is_suffix(rest)) return true;
    return rpc_content_is(request, STR(WEB), &rest) && is_suffix(rest);
}

/* Semantics 2.4, as gRPC: its head does not show whether a method streams. */
static bool web_is_stream(const struct head *request) { return head_find_name(request, STR("grpc-timeout"), NULL) == NULL; }

static bool media_starts(struct str range, struct str type) {
    return range.n >= type.n && str_eq_nocase(str_first(range, type.n), type);
}

bool grpc_web_wants_text(const struct head *request) {
    struct str rest, range;
    const struct field *accept = head_find(request, TOKEN_ACCEPT);
    struct str ranges = accept ? accept->value : (struct str){ 0 };
    while (str_split(&ranges, ',', &range)) {
        if (media_starts(range, STR(WEB_TEXT))) return true;
        if (media_starts(range, STR(WEB))) return false;
    }
    return rpc_content_is(request, STR(WEB_TEXT), &rest);
}

/* The client's own codec, in the form that it takes. */
static struct str answer_type(struct arena *a, const struct head *request) {
    struct str rest = { 0 };
    if (!rpc_content_is(request, STR(WEB_TEXT "-base64"), &rest) && !rpc_content_is(request, STR(WEB_TEXT), &rest))
        rpc_content_is(request, STR(WEB), &rest);
    return arena_printf(a, "%s%.*s", grpc_web_wants_text(request) ? WEB_TEXT : WEB, STR_ARG(rest));
}

static void web_answer(struct arena *a, const struct rpc_answer *what, const struct head *request, struct head *h, struct str *body) {
    head_init(h, a, false);
    h->status = 200;
    h->body = BODY_NONE;
    *body = (struct str){ 0 };
    head_add(h, STR("content-type"), answer_type(a, request));
    rpc_add_status(a, what, h);
}

/* PROTOCOL-WEB, "Message framing": an HTTP/1 block of fields without its empty line. */
struct str grpc_web_trailers(struct arena *a, const struct head *h, bool text) {
    size_t room = FRAME_HEAD, n = FRAME_HEAD;
    for (size_t i = 0; i < h->nfields; i++) room += h->fields[i].name.n + h->fields[i].value.n + 4;
    char *p = arena_bytes(a, room);
    for (size_t i = 0; i < h->nfields; i++) {
        const struct field *f = &h->fields[i];
        if (field_is_removed(f)) continue;
        memcpy(p + n, f->name.p, f->name.n), n += f->name.n;
        memcpy(p + n, ": ", 2), n += 2;
        if (f->value.n) memcpy(p + n, f->value.p, f->value.n), n += f->value.n;
        memcpy(p + n, "\r\n", 2), n += 2;
    }
    frames_head((uint8_t *)p, FRAME_TRAILERS, (uint32_t)(n - FRAME_HEAD));
    if (!text) return (struct str){ p, n };
    char *encoded = arena_bytes(a, BASE64_BYTES(n));
    return (struct str){ encoded, base64_encode((const uint8_t *)p, n, encoded) };
}

static bool web_answer_late(struct arena *a, const struct rpc_answer *what, const struct rpc_follow *f, struct head *h, struct str *body) {
    *body = (struct str){ 0 };
    head_init(h, a, false);
    if (rpc_follow_has_all(f, what->why) || rpc_follow_is_over(f)) return true;
    if (!f->aligned) return false;
    struct head trailers;
    head_init(&trailers, a, false);
    rpc_add_status(a, what, &trailers);
    *body = grpc_web_trailers(a, &trailers, f->text);
    return true;
}

/* ---- what an answer says ----------------------------------------------------------------------------------------------------------------- */

static void web_follow(struct rpc_follow *f, const uint8_t *p, size_t n) {
    uint8_t plain[3072];
    size_t made;
    if (!f->text) {
        rpc_follow_until(f, p, n, FRAME_TRAILERS);
        return;
    }
    rpc_follow_until(f, NULL, 0, FRAME_TRAILERS); /* an empty body is a boundary, too */
    for (size_t part; n; p += part, n -= part) {
        part = n < sizeof plain ? n : sizeof plain;
        if (!base64_pieces_take(&f->base64, p, part, plain, &made)) {
            *f = (struct rpc_follow){ 0 };
            return;
        }
        rpc_follow_until(f, plain, made, FRAME_TRAILERS);
    }
    if (f->over || !base64_pieces_is_whole(&f->base64)) f->aligned = false;
}

/* Trailers-only, or gRPC-Web over HTTP/2 by a server that sends trailers all the same; else the frame of trailers. */
static void web_outcome(const struct head *answer, const struct head *trailers, struct rpc_outcome *o) {
    *o = (struct rpc_outcome){ .http = answer->status, .grpc = -1 };
    if (!rpc_status_in(trailers, &o->grpc)) rpc_status_in(answer, &o->grpc);
}

static int16_t web_said(const struct rpc_follow *f, const struct head *answer) {
    static const struct str name = STR_INIT("grpc-status:");
    struct str lines = { f->kept, f->nkept }, line;
    uint64_t v;
    (void)answer;
    while (str_split(&lines, '\n', &line)) {
        if (line.n < name.n || !str_eq_nocase(str_first(line, name.n), name)) continue;
        if (line.p[line.n - 1] == '\r') line.n--;
        return str_to_u64(str_trim(str_from(line, name.n)), &v) && v <= INT16_MAX ? (int16_t)v : GRPC_UNKNOWN;
    }
    return -1;
}

static const struct rpc rpc_grpc_web = {
    .name = "grpc-web",
    .family = "grpc",
    .priority = 20,
    .recognise = web_recognise,
    .is_stream = web_is_stream,
    .answer = web_answer,
    .answer_late = web_answer_late,
    .outcome = web_outcome,
    .follow = web_follow,
    .said = web_said,
    .early = rpc_status_early,
};
RPC_REGISTER(rpc_grpc_web);
