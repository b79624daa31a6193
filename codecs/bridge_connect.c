// SPDX-License-Identifier: Apache-2.0
// Connect ↔ gRPC. A stream's messages are the same bytes, and its end is an EndStream message in place of trailers. A unary call has one message
// without a length: it is put before it, at once where Content-Length tells it, else when the body is whole; and the answer's HTTP status is known
// with the trailers only, so that one is held.
#include "codecs/bridge_inside.h"

/* ---- what both shapes share ------------------------------------------------------------------------------------------------------------------ */

static const struct fault bad_message = { .why = ENDING_CLIENT_ERROR, .status = 400, .say = "a message of the request has flags that gRPC has not" };
static const struct fault cut_message = { .why = ENDING_CLIENT_ERROR, .status = 400, .say = "the request ends in the middle of a message" };
static const struct fault bad_answer = { .why = ENDING_UPSTREAM_ERROR, .say = "a message of the answer has flags that gRPC has not" };
static const struct fault cut_answer = { .why = ENDING_UPSTREAM_ERROR, .say = "the answer ends in the middle of a message" };

/* Milliseconds of at most 10 digits in a unit of gRPC's, which has 8: seconds, rounded down, where they do not fit. The policy of deadlines
 * writes its own in place of it; this is what stands where none is enforced. */
static void rename_timeout(struct head *up) {
    uint64_t ms;
    const struct field *f = head_find_name(up, STR("connect-timeout-ms"), NULL);
    struct str value = f ? f->value : (struct str){ 0 };
    head_remove(up, STR("connect-timeout-ms"));
    if (!value.n || value.n > 10 || !str_to_u64(value, &ms) || head_find_name(up, STR("grpc-timeout"), NULL)) return;
    if (ms < 100000000) head_add(up, STR("grpc-timeout"), arena_printf(up->arena, "%llum", (unsigned long long)ms));
    else head_add(up, STR("grpc-timeout"), arena_printf(up->arena, "%lluS", (unsigned long long)ms / 1000));
}

static const struct field *next_metadata(const struct head *trailers, size_t *i) {
    while (trailers && *i < trailers->nfields) {
        const struct field *f = &trailers->fields[(*i)++];
        if (!field_is_removed(f) && !bridge_is_status_field(f)) return f;
    }
    return NULL;
}

static struct str error_json(struct bridge *b, const struct bridge_status *s) {
    return connect_error_json(b->arena, s->code ? s->code : GRPC_UNKNOWN, s->message, bridge_details_json(b->arena, s->details));
}

/* ---- streams ---------------------------------------------------------------------------------------------------------------------------------- */

static const struct fault *open_stream(struct bridge *b) {
    (void)b;
    return NULL;
}

static struct str stream_codec(const struct bridge *b) {
    struct str codec = { 0 };
    rpc_content_is(b->request, STR("application/connect+"), &codec);
    return codec;
}

static void stream_request_head(struct bridge *b, struct head *up) {
    bridge_request_head(b, up, stream_codec(b));
    bridge_rename(up, STR("connect-content-encoding"), STR("grpc-encoding"));
    bridge_rename(up, STR("connect-accept-encoding"), STR("grpc-accept-encoding"));
    rename_timeout(up);
}

static const struct fault *stream_request_body(struct bridge *b, const uint8_t *p, size_t n) {
    if (!bridge_follow(&b->asked, p, n, FRAME_COMPRESSED)) return &bad_message;
    if (n) b->up(b, p, n, true);
    return NULL;
}

static const struct fault *stream_request_end(struct bridge *b) { return frames_is_between(&b->asked) ? NULL : &cut_message; }

static bool stream_answer_head(struct bridge *b, struct head *down) {
    struct str codec = bridge_codec_of(down, stream_codec(b));
    bridge_answer_head(b, down);
    down->status = 200; /* "Streaming responses always have an HTTP status of 200 OK" */
    down->body = BODY_STREAM;
    head_set(down, STR("content-type"), arena_printf(b->arena, "application/connect+%.*s", STR_ARG(codec)));
    bridge_rename(down, STR("grpc-encoding"), STR("connect-content-encoding"));
    bridge_rename(down, STR("grpc-accept-encoding"), STR("connect-accept-encoding"));
    return true;
}

static const struct fault *stream_answer_body(struct bridge *b, const uint8_t *p, size_t n) {
    if (b->foreign) return NULL;
    if (!bridge_follow(&b->answered, p, n, FRAME_COMPRESSED)) return &bad_answer;
    if (n) b->down(b, p, n, true);
    return NULL;
}

/* {"name":["value", …], …}; values of one name together, in order. */
static struct str metadata_json(struct arena *a, const struct head *trailers) {
    struct str all = { 0 };
    size_t i = 0;
    for (const struct field *f; (f = next_metadata(trailers, &i));) {
        if (head_find_name(trailers, f->name, NULL) != f) continue; /* it stands with its first */
        struct str key = json_quote(a, f->name);
        all = arena_printf(a, "%.*s%s%.*s:[", STR_ARG(all), all.n ? "," : "{", STR_ARG(key));
        for (const struct field *v = f; v; v = head_find_name(trailers, f->name, v)) {
            struct str value = json_quote(a, v->value);
            all = arena_printf(a, "%.*s%s%.*s", STR_ARG(all), v == f ? "" : ",", STR_ARG(value));
        }
        all = arena_printf(a, "%.*s]", STR_ARG(all));
    }
    return all.n ? arena_printf(a, "%.*s}", STR_ARG(all)) : all;
}

static const struct fault *stream_answer_end(struct bridge *b, const struct head *trailers) {
    if (!frames_is_between(&b->answered)) return &cut_answer;
    struct bridge_status s = bridge_status_of(b, trailers);
    struct str last = connect_end_stream(b->arena, s.code ? error_json(b, &s) : (struct str){ 0 }, metadata_json(b->arena, trailers));
    b->down(b, (const uint8_t *)last.p, last.n, false);
    return NULL;
}

const struct bridge_kind bridge_connect_stream = {
    .from = "connect", .to = "grpc", .size = sizeof(struct bridge), .open = open_stream, .request_head = stream_request_head,
    .request_body = stream_request_body, .request_end = stream_request_end, .answer_head = stream_answer_head, .answer_body = stream_answer_body,
    .answer_end = stream_answer_end,
};

/* ---- unary: the request ------------------------------------------------------------------------------------------------------------------------ */

struct unary {
    struct bridge b;
    struct str codec, coding;  /* coding: of the request's message; empty: identity */
    struct str message;        /* of a GET */
    bool get, told;            /* its length was told by its head, and stands in `up` */
    bool zipped;               /* the answer's message is compressed */
    unsigned messages;         /* of the answer: begun */
};
static struct unary *unary_of(struct bridge *b) { return (struct unary *)(void *)b; }

static const struct fault bad_coding = { .why = ENDING_NO_ROUTE, .status = 501, .say = "gRPC takes one compression of a message, and not several" };
static const struct fault bad_get = { .why = ENDING_CLIENT_ERROR, .status = 400, .say = "the query of a Connect GET needs a message and its encoding" };
static const struct fault too_long = { .why = ENDING_CLIENT_ERROR, .status = 413, .say = "the message is longer than may be translated" };
static const struct fault answer_too_long = { .why = ENDING_UPSTREAM_ERROR, .status = 413, .say = "the answer's message is longer than may be translated" };
static const struct fault two_answers = { .why = ENDING_UPSTREAM_ERROR, .say = "the upstream answered a unary call with more than one message" };

/* False: several, one over the other. */
static bool take_coding(struct unary *u, struct str coding) {
    coding = str_trim(coding);
    if (coding.n && !is_token(coding)) return false;
    if (!str_eq_nocase(coding, STR("identity"))) u->coding = coding;
    return true;
}

static void give_message(struct bridge *b, struct str message) {
    uint8_t head[FRAME_HEAD];
    bool zipped = unary_of(b)->coding.n && message.n; /* "must not attempt to decompress zero-length" */
    frames_head(head, zipped ? FRAME_COMPRESSED : 0, (uint32_t)message.n);
    b->up(b, head, sizeof head, false);
    if (message.n && message.p) b->up(b, (const uint8_t *)message.p, message.n, false);
}

static struct str query_value(struct bridge *b, const char *name, bool *bad) {
    struct str target = b->request->target, raw, value = { 0 };
    size_t at = str_index(target, '?');
    if (at == target.n || !query_find(str_from(target, at + 1), str_of(name), &raw)) return value;
    *bad |= !query_unescape(b->arena, raw, &value);
    return value;
}

/* Unary-Get-Request. */
static const struct fault *open_get(struct bridge *b) {
    struct unary *u = unary_of(b);
    bool bad = false;
    u->get = true;
    u->codec = query_value(b, "encoding", &bad);
    u->message = query_value(b, "message", &bad);
    if (str_eq(query_value(b, "base64", &bad), STR("1"))) bad |= !base64_decode(b->arena, u->message, true, &u->message);
    bool coded = take_coding(u, query_value(b, "compression", &bad));
    if (bad || !is_token(u->codec) || !u->message.p) return &bad_get;
    return coded ? NULL : &bad_coding;
}

static const struct fault *open_unary(struct bridge *b) {
    struct unary *u = unary_of(b);
    if (connect_shape_of(b->request) == CONNECT_GET) return open_get(b);
    rpc_content_is(b->request, STR("application/"), &u->codec);
    if (!take_coding(u, head_joined(b->request, STR("content-encoding")))) return &bad_coding;
    if (b->request->body != BODY_LENGTH) return NULL;
    if (b->request->length > UINT32_MAX) return &too_long;
    uint8_t head[FRAME_HEAD];
    frames_head(head, u->coding.n && b->request->length ? FRAME_COMPRESSED : 0, (uint32_t)b->request->length);
    b->up(b, head, sizeof head, false);
    u->told = true;
    return NULL;
}

/* RFC 9110 12.4.2: a weight of nothing but noughts. */
static bool is_refused(struct str parameters) {
    size_t at = str_index(parameters, '=');
    for (size_t i = at + 1; i < parameters.n; i++)
        if (!strchr("0. \t", parameters.p[i]) || !parameters.p[i]) return false;
    return at + 1 < parameters.n;
}

/* "If the client omits Accept-Encoding, servers must assume that the client accepts the Content-Encoding used for the request". Weights are
 * HTTP's alone; what has none (q=0), and "*", are no names. */
static struct str codings_taken(struct arena *a, struct str accept) {
    struct str all = { 0 }, one;
    while (str_split(&accept, ',', &one)) {
        struct str name = str_trim(str_first(one, str_index(one, ';')));
        if (is_refused(str_from(one, name.n)) || !is_token(name) || str_eq(name, STR("*"))) continue;
        all = arena_printf(a, "%.*s%s%.*s", STR_ARG(all), all.n ? "," : "", STR_ARG(name));
    }
    return all;
}

static void unary_request_head(struct bridge *b, struct head *up) {
    struct unary *u = unary_of(b);
    bool says = head_find_name(up, STR("accept-encoding"), NULL) != NULL;
    struct str taken = says ? codings_taken(b->arena, head_joined(up, STR("accept-encoding"))) : u->coding;
    bridge_request_head(b, up, u->codec);
    if (u->get) up->target = str_first(up->target, str_index(up->target, '?'));
    if (u->coding.n) head_set(up, STR("grpc-encoding"), u->coding);
    if (taken.n) head_set(up, STR("grpc-accept-encoding"), taken);
    rename_timeout(up);
}

static const struct fault *unary_request_body(struct bridge *b, const uint8_t *p, size_t n) {
    if (unary_of(b)->get || n == 0) return NULL;
    if (unary_of(b)->told) {
        b->up(b, p, n, true);
        return NULL;
    }
    if (n > BRIDGE_MESSAGE_MAX - buffer_size(&b->held_up)) return &too_long;
    buffer_append(&b->held_up, p, n);
    return NULL;
}

static const struct fault *unary_request_end(struct bridge *b) {
    struct unary *u = unary_of(b);
    if (u->told) return NULL;
    struct str message = u->get ? u->message : (struct str){ (const char *)buffer_data(&b->held_up), buffer_size(&b->held_up) };
    give_message(b, message);
    buffer_free(&b->held_up);
    return NULL;
}

/* ---- unary: the answer ---------------------------------------------------------------------------------------------------------------------------- */

static bool unary_answer_head(struct bridge *b, struct head *down) {
    bridge_answer_head(b, down);
    unary_of(b)->messages = 0;
    return false; /* its status is in the trailers */
}

static const struct fault *unary_answer_body(struct bridge *b, const uint8_t *p, size_t n) {
    struct unary *u = unary_of(b);
    for (size_t used; n && !b->foreign; p += used, n -= used) {
        enum frames_event ev;
        used = frames_take(&b->answered, p, n, &ev);
        if (ev == FRAMES_BYTES) buffer_append(&b->held_down, p, used);
        if (ev != FRAMES_HEAD) continue;
        if (frames_flags(&b->answered) & ~FRAME_COMPRESSED) return &bad_answer;
        if (b->answered.left > BRIDGE_MESSAGE_MAX) return &answer_too_long;
        if (++u->messages > 1) return &two_answers;
        u->zipped = frames_flags(&b->answered) & FRAME_COMPRESSED;
    }
    return NULL;
}

/* Trailing metadata stands in the head, under a prefix. */
static void add_trailers(struct bridge *b, const struct head *trailers) {
    size_t i = 0;
    for (const struct field *f; (f = next_metadata(trailers, &i));)
        head_add(b->head, arena_printf(b->arena, "trailer-%.*s", STR_ARG(f->name)), f->value);
}

static void give_answer(struct bridge *b, const uint8_t *p, size_t n) {
    b->head->body = BODY_LENGTH;
    b->head->length = n;
    if (n) b->down(b, p, n, false);
}

static void give_error(struct bridge *b, const struct bridge_status *s) {
    struct str json = error_json(b, s);
    /* "If the server doesn't support the specified Message-Codec, it must respond with 415": gRPC servers do, too */
    b->head->status = b->foreign && b->http == 415 ? 415 : connect_http(s->code);
    head_set(b->head, STR("content-type"), STR("application/json"));
    give_answer(b, (const uint8_t *)json.p, json.n);
}

static void give_success(struct bridge *b, struct str coding) {
    struct unary *u = unary_of(b);
    b->head->status = 200;
    head_set(b->head, STR("content-type"), arena_printf(b->arena, "application/%.*s", STR_ARG(u->codec)));
    if (u->zipped && coding.n && buffer_size(&b->held_down)) head_set(b->head, STR("content-encoding"), coding);
    give_answer(b, buffer_data(&b->held_down), buffer_size(&b->held_down));
}

static const struct fault *unary_answer_end(struct bridge *b, const struct head *trailers) {
    if (!frames_is_between(&b->answered)) return &cut_answer;
    struct bridge_status s = bridge_status_of(b, trailers);
    struct str coding = head_joined(b->head, STR("grpc-encoding"));
    head_remove(b->head, STR("grpc-encoding"));
    bridge_rename(b->head, STR("grpc-accept-encoding"), STR("accept-encoding"));
    add_trailers(b, trailers);
    if (s.code == GRPC_OK && unary_of(b)->messages != 1) {
        s = (struct bridge_status){ .code = GRPC_INTERNAL, .message = STR_INIT("the upstream answered a unary call without a message") };
        b->status = GRPC_INTERNAL;
    }
    if (s.code != GRPC_OK) give_error(b, &s);
    else give_success(b, coding);
    buffer_free(&b->held_down);
    return NULL;
}

const struct bridge_kind bridge_connect_unary = {
    .from = "connect", .to = "grpc", .size = sizeof(struct unary), .open = open_unary, .request_head = unary_request_head,
    .request_body = unary_request_body, .request_end = unary_request_end, .answer_head = unary_answer_head, .answer_body = unary_answer_body,
    .answer_end = unary_answer_end,
};
