// SPDX-License-Identifier: Apache-2.0
// Connect: unary calls that are plain HTTP requests with a word for their errors, and streams of messages whose last says how they ended. An
// ending of a unary call is a JSON error under the HTTP status of its code; of a stream always HTTP 200 and an EndStream message, where a message
// ended; in the middle of one, and of the message of a unary answer, nothing can be said but that the answer is cut.
#include "codecs/rpc_inside.h"

/* ---- recognising ------------------------------------------------------------------------------------------------------------------------- */

static struct str query_of(const struct head *h) {
    size_t at = str_index(h->target, '?');
    return at < h->target.n ? str_from(h->target, at + 1) : (struct str){ 0 };
}

/* Unary-Get-Request. Without connect=v1, which clients only should send, both parameters that it must have, and a codec that is Connect's: other
 * interfaces have messages and encodings, too. */
static bool is_get(const struct head *h) {
    struct str query = query_of(h), v;
    if (query_find(query, STR("connect"), &v)) return str_eq(v, STR("v1"));
    if (!query_find(query, STR("encoding"), &v)) return false;
    return (str_eq(v, STR("proto")) || str_eq(v, STR("json"))) && query_find(query, STR("message"), &v);
}

/* Connect-Protocol-Version is what tells a unary call from any other POST of JSON; of streams the type is proof enough. */
enum connect_shape connect_shape_of(const struct head *h) {
    struct str codec;
    if (str_eq(h->method, STR("GET"))) return is_get(h) ? CONNECT_GET : CONNECT_NOT;
    if (!str_eq(h->method, STR("POST"))) return CONNECT_NOT;
    if (rpc_content_is(h, STR("application/connect+"), &codec)) return is_token(codec) ? CONNECT_STREAM : CONNECT_NOT;
    const struct field *version = head_find_name(h, STR("connect-protocol-version"), NULL);
    if (!version || !str_eq(version->value, STR("1"))) return CONNECT_NOT;
    return rpc_content_is(h, STR("application/"), &codec) && is_token(codec) ? CONNECT_UNARY : CONNECT_NOT;
}

static bool connect_recognise(const struct head *request) { return connect_shape_of(request) != CONNECT_NOT; }
static bool connect_is_stream(const struct head *request) { return connect_shape_of(request) == CONNECT_STREAM; }

/* ---- answering ---------------------------------------------------------------------------------------------------------------------------- */

struct str connect_error_json(struct arena *a, unsigned grpc, struct str message, struct str details) {
    struct str said = json_quote(a, message);
    return arena_printf(a, "{\"code\":\"%s\"%s%.*s%s%.*s}", connect_code(grpc), message.n ? ",\"message\":" : "", message.n ? (int)said.n : 0, said.p,
                        details.n ? ",\"details\":" : "", STR_ARG(details));
}

struct str connect_end_stream(struct arena *a, struct str error, struct str metadata) {
    struct str json = arena_printf(a, "{%s%.*s%s%s%.*s}", error.n ? "\"error\":" : "", STR_ARG(error), error.n && metadata.n ? "," : "",
                                   metadata.n ? "\"metadata\":" : "", STR_ARG(metadata));
    char *p = arena_bytes(a, FRAME_HEAD + json.n);
    frames_head((uint8_t *)p, FRAME_END_STREAM, (uint32_t)json.n);
    memcpy(p + FRAME_HEAD, json.p, json.n);
    return (struct str){ p, FRAME_HEAD + json.n };
}

/* Of an error that is told as GRPC_OK nobody would hear: a policy cannot have set that, but a table of endings might. */
static unsigned code_of(const struct rpc_answer *what) { return what->grpc == GRPC_OK ? GRPC_UNKNOWN : what->grpc; }

static struct str error_of(struct arena *a, const struct rpc_answer *what) {
    return connect_error_json(a, code_of(what), rpc_sentence(what), (struct str){ 0 });
}

static void answer_stream(struct arena *a, const struct rpc_answer *what, const struct head *request, struct head *h, struct str *body) {
    struct str codec = STR("proto");
    rpc_content_is(request, STR("application/connect+"), &codec);
    h->status = 200;
    *body = connect_end_stream(a, error_of(a, what), (struct str){ 0 });
    head_add(h, STR("content-type"), arena_printf(a, "application/connect+%.*s", STR_ARG(codec)));
}

/* "HTTP-Status should match Error.code": the code's own, not the one that plain HTTP would get. */
static void connect_answer(struct arena *a, const struct rpc_answer *what, const struct head *request, struct head *h, struct str *body) {
    head_init(h, a, false);
    if (connect_is_stream(request)) {
        answer_stream(a, what, request, h, body);
    } else {
        h->status = connect_http(code_of(what));
        *body = error_of(a, what);
        head_add(h, STR("content-type"), STR("application/json"));
        head_add(h, STR("cache-control"), STR("no-store"));
    }
    h->body = BODY_LENGTH;
    h->length = body->n;
    if (span_is_positive(what->retry_after)) head_add(h, STR("retry-after"), rpc_seconds_up(a, what->retry_after));
}

/* The head has said that a unary call failed: what its error lacks may still come, the whole of it or the wire's end (servers write them in turn). */
static bool error_late(struct arena *a, const struct rpc_answer *what, const struct rpc_follow *f, struct str *body) {
    if (f->nkept) return f->nkept < FOLLOW_KEEP && json_is_object((struct str){ f->kept, f->nkept });
    *body = error_of(a, what);
    return true;
}

static bool connect_answer_late(struct arena *a, const struct rpc_answer *what, const struct rpc_follow *f, struct head *h, struct str *body) {
    *body = (struct str){ 0 };
    head_init(h, a, false);
    if (rpc_follow_has_all(f, what->why) || rpc_follow_is_over(f)) return true;
    if (f->keeps && !f->fixed) return error_late(a, what, f, body);
    if (!f->aligned) return false;
    *body = connect_end_stream(a, error_of(a, what), (struct str){ 0 });
    return true;
}

/* ---- what an answer says -------------------------------------------------------------------------------------------------------------------- */

static bool is_stream_answer(const struct head *answer) {
    struct str codec;
    return rpc_content_is(answer, STR("application/connect+"), &codec);
}

/* A unary answer has one message and no boundary: nothing may be written into it. Its error is kept, to read the code and see its end. */
static void connect_follow(struct rpc_follow *f, const uint8_t *p, size_t n) {
    if (f->framed) rpc_follow_until(f, p, n, FRAME_END_STREAM);
    else if (f->keeps) rpc_follow_keep(f, p, n);
}

static void connect_outcome(const struct head *answer, const struct head *trailers, struct rpc_outcome *o) {
    (void)trailers;
    *o = (struct rpc_outcome){ .http = answer->status, .grpc = -1 };
    if (!is_stream_answer(answer) && answer->status == 200) o->grpc = GRPC_OK;
}

/* The code of an error is in its body; its HTTP status says as much where no other code has that one. */
static int16_t connect_early(const struct head *answer) {
    int16_t only = -1;
    if (answer->status == 200) return -1;
    for (uint8_t code = GRPC_OK + 1; code < GRPC_STATUSES; code++) {
        if (connect_http(code) != answer->status) continue;
        if (only >= 0) return -1;
        only = code;
    }
    return only;
}

static int16_t code_in(struct str error) {
    struct str code;
    if (!json_member(error, STR("code"), &code) || code.n < 2 || code.p[0] != '"') return -1;
    return (int16_t)connect_code_by_name((struct str){ code.p + 1, code.n - 2 });
}

static int16_t connect_said(const struct rpc_follow *f, const struct head *answer) {
    struct str kept = { f->kept, f->nkept }, error;
    if (!is_stream_answer(answer)) {
        int16_t code = code_in(kept);
        return code >= 0 ? code : grpc_of_http(answer->status);
    }
    if (!f->over || !f->nkept || f->nkept == FOLLOW_KEEP) return -1;
    if (!json_member(kept, STR("error"), &error)) return GRPC_OK;
    int16_t code = code_in(error);
    return code >= 0 ? code : GRPC_UNKNOWN;
}

static const struct rpc rpc_connect = {
    .name = "connect",
    .family = "connect",
    .priority = 30,
    .recognise = connect_recognise,
    .is_stream = connect_is_stream,
    .answer = connect_answer,
    .answer_late = connect_answer_late,
    .outcome = connect_outcome,
    .follow = connect_follow,
    .said = connect_said,
    .early = connect_early,
};
RPC_REGISTER(rpc_connect);
