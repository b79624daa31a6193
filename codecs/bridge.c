// SPDX-License-Identifier: Apache-2.0
// Which bridges there are, and what all of them that lead to gRPC have in common: its heads, its messages, its statuses.
#include "codecs/bridge_inside.h"
#include <assert.h>

/* ---- one exchange's bridge ---------------------------------------------------------------------------------------------------------------- */

static const struct bridge_kind *kind_of(const struct head *request, const char *from, const char *to) {
    if (strcmp(to, "grpc") != 0) return NULL;
    if (strcmp(from, "grpc-web") == 0) return &bridge_grpc_web;
    if (strcmp(from, "connect") != 0) return NULL;
    return connect_shape_of(request) == CONNECT_STREAM ? &bridge_connect_stream : &bridge_connect_unary;
}

struct bridge *bridge_new(struct arena *a, const struct head *request, const char *from, const char *to) {
    const struct bridge_kind *kind = kind_of(request, from, to);
    if (!kind) return NULL;
    assert(kind->size >= sizeof(struct bridge));
    struct bridge *b = arena_zalloc(a, kind->size);
    b->kind = kind;
    b->arena = a;
    b->request = request;
    b->status = -1;
    buffer_init(&b->held_up, BRIDGE_MESSAGE_MAX);
    buffer_init(&b->held_down, BRIDGE_MESSAGE_MAX);
    return b;
}

void bridge_free(struct bridge *b) {
    if (!b) return;
    buffer_free(&b->held_up);
    buffer_free(&b->held_down);
}

/* ---- messages ------------------------------------------------------------------------------------------------------------------------------- */

bool bridge_follow(struct frames *f, const uint8_t *p, size_t n, uint8_t allowed) {
    for (size_t used; n; p += used, n -= used) {
        enum frames_event ev;
        used = frames_take(f, p, n, &ev);
        if (ev == FRAMES_HEAD && frames_flags(f) & ~allowed) return false;
    }
    return true;
}

/* ---- requests ------------------------------------------------------------------------------------------------------------------------------- */

void bridge_rename(struct head *h, struct str from, struct str to) {
    struct str value = head_joined(h, from);
    bool had = head_find_name(h, from, NULL) != NULL;
    head_remove(h, from);
    if (had) head_set(h, to, value);
}

void bridge_request_head(struct bridge *b, struct head *up, struct str codec) {
    /* expect: whoever waits for 100 is told by us, since no gRPC server does. trailer: gRPC has none in requests. */
    static const struct str gone[] = { STR_INIT("accept"), STR_INIT("accept-encoding"), STR_INIT("content-encoding"), STR_INIT("expect"),
                                       STR_INIT("trailer"), STR_INIT("connect-protocol-version"), STR_INIT("x-grpc-web") };
    (void)b;
    for (size_t i = 0; i < sizeof gone / sizeof *gone; i++) head_remove(up, gone[i]);
    up->method = STR("POST");
    up->body = BODY_STREAM;
    up->length = 0;
    up->te_trailers = true; /* gRPC over HTTP/2: "Used to detect incompatible proxies" */
    head_set(up, STR("content-type"), codec.n ? arena_printf(up->arena, "application/grpc+%.*s", STR_ARG(codec)) : STR("application/grpc"));
}

/* ---- answers -------------------------------------------------------------------------------------------------------------------------------- */

bool bridge_is_status_field(const struct field *f) {
    return f->token == TOKEN_GRPC_STATUS || f->token == TOKEN_GRPC_MESSAGE || str_eq(f->name, STR("grpc-status-details-bin"));
}

static struct str value_of(const struct head *h, struct str name) {
    const struct field *f = h ? head_find_name(h, name, NULL) : NULL;
    return f ? f->value : (struct str){ 0 };
}

static void remove_status(struct head *h) {
    for (size_t i = 0; i < h->nfields; i++)
        if (bridge_is_status_field(&h->fields[i])) field_remove(&h->fields[i]);
}

struct str bridge_codec_of(const struct head *answer, struct str asked) {
    struct str rest;
    if (!rpc_content_is(answer, STR("application/grpc+"), &rest) || !is_token(rest)) return asked;
    return rest;
}

/* gRPC over HTTP/2, "Responses": anything but HTTP 200 with a type of gRPC's comes from something between. */
static bool is_grpc(const struct head *h) {
    struct str rest;
    return h->status == 200 && rpc_content_is(h, STR("application/grpc"), &rest) && (rest.n == 0 || rest.p[0] == '+');
}

void bridge_answer_head(struct bridge *b, struct head *down) {
    static const struct str not_ours[] = { STR_INIT("content-encoding"), STR_INIT("content-language"), STR_INIT("content-disposition"),
                                           STR_INIT("content-range"), STR_INIT("accept-ranges"), STR_INIT("etag"), STR_INIT("last-modified") };
    b->head = down;
    b->http = down->status;
    b->answered = (struct frames){ 0 };
    buffer_free(&b->held_down);
    b->ended = rpc_status_in(down, &b->head_status);
    b->head_message = value_of(down, STR("grpc-message"));
    b->head_details = value_of(down, STR("grpc-status-details-bin"));
    b->foreign = !is_grpc(down);
    head_remove(down, STR("trailer")); /* the fields that it announces do not come as trailers */
    remove_status(down);
    for (size_t i = 0; b->foreign && i < sizeof not_ours / sizeof *not_ours; i++) head_remove(down, not_ours[i]);
}

static struct bridge_status status(struct bridge *b, unsigned code, struct str message, struct str details) {
    b->status = (int16_t)code;
    return (struct bridge_status){ code, message, details };
}

struct bridge_status bridge_status_of(struct bridge *b, const struct head *trailers) {
    int16_t code;
    if (rpc_status_in(trailers, &code))
        return status(b, (unsigned)code, percent_decode(b->arena, value_of(trailers, STR("grpc-message"))),
                      value_of(trailers, STR("grpc-status-details-bin")));
    if (b->ended) return status(b, (unsigned)b->head_status, percent_decode(b->arena, b->head_message), b->head_details);
    if (b->foreign)
        return status(b, grpc_of_http(b->http), arena_printf(b->arena, "the upstream answered HTTP %u, and not in gRPC", b->http), (struct str){ 0 });
    return status(b, GRPC_INTERNAL, STR("the upstream's answer ended without a status"), (struct str){ 0 });
}

/* ---- details ---------------------------------------------------------------------------------------------------------------------------------- */

/* One field of a protobuf message: varints and what has a length; nothing else is in google.rpc.Status. False: no more, or malformed. */
struct proto_field { uint64_t number; struct str bytes; };
static bool varint(struct str *s, uint64_t *v) {
    *v = 0;
    for (unsigned shift = 0; s->n && shift < 64; shift += 7) {
        uint8_t byte = (uint8_t)s->p[0];
        *s = str_from(*s, 1);
        *v |= (uint64_t)(byte & 0x7f) << shift;
        if (byte < 0x80) return true;
    }
    return false;
}

static bool proto_next(struct str *s, struct proto_field *f) {
    uint64_t tag, n;
    f->bytes = (struct str){ 0 };
    if (!varint(s, &tag)) return false;
    f->number = tag >> 3;
    switch (tag & 7) {
    case 0: return varint(s, &n);
    case 1: n = 8; break;
    case 5: n = 4; break;
    case 2:
        if (!varint(s, &n)) return false;
        break;
    default: return false;
    }
    if (n > s->n) return false;
    f->bytes = str_first(*s, (size_t)n);
    *s = str_from(*s, (size_t)n);
    return true;
}

/* google.protobuf.Any: the type is what follows the last slash of its URL; the value is base64 without padding. */
static struct str any_json(struct arena *a, struct str any) {
    struct proto_field f;
    struct str type = STR(""), value = STR("");
    while (proto_next(&any, &f)) {
        if (f.number == 1) type = f.bytes;
        if (f.number == 2) value = f.bytes;
    }
    for (size_t slash; (slash = str_index(type, '/')) < type.n;) type = str_from(type, slash + 1);
    char *text = arena_bytes(a, BASE64_BYTES(value.n));
    size_t n = base64_encode((const uint8_t *)value.p, value.n, text);
    while (n && text[n - 1] == '=') n--;
    struct str name = json_quote(a, type);
    return arena_printf(a, "{\"type\":%.*s,\"value\":\"%.*s\"}", STR_ARG(name), (int)n, text);
}

struct str bridge_details_json(struct arena *a, struct str details_bin) {
    enum { DETAILS = 3 }; /* google.rpc.Status */
    struct proto_field f;
    struct str message, all = { 0 };
    if (!details_bin.n || !base64_decode(a, details_bin, false, &message)) return all;
    while (proto_next(&message, &f)) {
        if (f.number != DETAILS) continue;
        struct str one = any_json(a, f.bytes);
        all = arena_printf(a, "%.*s%s%.*s", STR_ARG(all), all.n ? "," : "[", STR_ARG(one));
    }
    return all.n ? arena_printf(a, "%.*s]", STR_ARG(all)) : all;
}
