// SPDX-License-Identifier: Apache-2.0
// Bridges: what comes out is the same wherever what goes in is cut. Each case is a request and an answer, run whole and cut at every byte.
#include "codecs/bridge.h"
#include "tests/unit/codecs/rpc_given.h"

/* ---- a bridge between two strings ------------------------------------------------------------------------------------------------------------ */

struct run { /* what came out */
    struct bridge *b;
    struct str up, down;
    struct head *up_head, *down_head;
    const struct fault *fault;
    bool later; /* the client's head came with the end */
};
static void take_up(struct bridge *b, const uint8_t *p, size_t n, bool lives) {
    struct run *r = b->owner;
    (void)lives;
    assert_true(n > 0);
    r->up = joined(r->up, (struct str){ (const char *)p, n });
}
static void take_down(struct bridge *b, const uint8_t *p, size_t n, bool lives) {
    struct run *r = b->owner;
    (void)lives;
    assert_true(n > 0);
    r->down = joined(r->down, (struct str){ (const char *)p, n });
}
static void open_bridge(struct run *r, const struct head *request) {
    *r = (struct run){ .b = bridge_new(&arena, request, rpc_recognise(request)->name, "grpc") };
    assert_non_null(r->b);
    r->b->owner = r;
    r->b->up = take_up;
    r->b->down = take_down;
    r->fault = r->b->kind->open(r->b);
    r->up_head = head_clone(request, &arena);
    if (!r->fault) r->b->kind->request_head(r->b, r->up_head);
}
typedef const struct fault *take(struct bridge *b, const uint8_t *p, size_t n);
/* In a copy of its own size, so that a read beyond it is seen. */
static void feed(struct run *r, take *t, struct str s) {
    uint8_t *p = test_malloc(s.n ? s.n : 1);
    if (s.n) memcpy(p, s.p, s.n);
    if (!r->fault && s.n) r->fault = t(r->b, p, s.n);
    test_free(p);
}
static void feed_cut(struct run *r, take *t, struct str s, size_t cut) {
    if (cut > s.n) cut = s.n;
    feed(r, t, str_first(s, cut));
    feed(r, t, str_from(s, cut));
}
static void ask(struct run *r, const struct head *request, struct str body, size_t cut) {
    open_bridge(r, request);
    if (r->fault) return;
    feed_cut(r, r->b->kind->request_body, body, cut);
    if (!r->fault) r->fault = r->b->kind->request_end(r->b);
}
static void answer(struct run *r, const struct head *head, struct str body, const struct head *trailers, size_t cut) {
    r->down_head = head_clone(head, &arena);
    r->later = !r->b->kind->answer_head(r->b, r->down_head);
    feed_cut(r, r->b->kind->answer_body, body, cut);
    if (!r->fault) r->fault = r->b->kind->answer_end(r->b, trailers);
}
static void over(struct run *r) { bridge_free(r->b); }

static struct head *grpc_answer(const char *const *fields) {
    struct head *h = given_answer(200, BODY_STREAM, FIELDS("content-type", "application/grpc+proto"));
    for (; fields && *fields; fields += 2) head_add(h, str_of(fields[0]), str_of(fields[1]));
    return h;
}
static struct head *given_trailers(const char *const *fields) { return given_answer(0, BODY_NONE, fields); }
static struct head *with_length(struct head *h, uint64_t n) {
    h->body = BODY_LENGTH;
    h->length = n;
    return h;
}
static struct head *unary(const char *const *fields) {
    struct head *h = given("POST", "/a.B/C", FIELDS("content-type", "application/proto", "connect-protocol-version", "1"));
    for (; fields && *fields; fields += 2) head_add(h, str_of(fields[0]), str_of(fields[1]));
    return h;
}
static struct head *stream(const char *const *fields) {
    struct head *h = given("POST", "/a.B/C", FIELDS("content-type", "application/connect+json"));
    for (; fields && *fields; fields += 2) head_add(h, str_of(fields[0]), str_of(fields[1]));
    return h;
}
static struct head *web(const char *type) { return given("POST", "/a.B/C", FIELDS("content-type", type)); }

/* ---- which -------------------------------------------------------------------------------------------------------------------------------------- */

static void only_what_is_not_grpc_is_translated(void **state) {
    (void)state;
    struct head *h = web("application/grpc-web");
    assert_non_null(bridge_new(&arena, h, "grpc-web", "grpc"));
    assert_non_null(bridge_new(&arena, unary(NULL), "connect", "grpc"));
    assert_null(bridge_new(&arena, h, "grpc", "grpc"));
    assert_null(bridge_new(&arena, h, "http", "grpc"));
    assert_null(bridge_new(&arena, h, "grpc-web", ""));
    bridge_free(NULL);
}

/* ---- heads ---------------------------------------------------------------------------------------------------------------------------------------- */

static void a_request_head_is_grpcs(void **state) {
    struct run r;
    (void)state;
    const struct { struct head *request; const char *fields; } rows[] = {
        { web("application/grpc-web+proto"), "content-type: application/grpc+proto|" },
        { web("application/grpc-web-text"), "content-type: application/grpc|" },
        { web("Application/gRPC-Web+json; charset=x"), "content-type: application/grpc+json|" },
        { given("POST", "/", FIELDS("content-type", "application/grpc-web", "accept", "*/*", "x-grpc-web", "1", "expect", "100-continue", "a-bin", "QQ")),
          "content-type: application/grpc|a-bin: QQ|" },
        { unary(FIELDS("connect-timeout-ms", "1500", "x", "1")), "content-type: application/grpc+proto|x: 1|grpc-timeout: 1500m|" },
        { unary(FIELDS("connect-timeout-ms", "9999999999")), "content-type: application/grpc+proto|grpc-timeout: 9999999S|" },
        { unary(FIELDS("connect-timeout-ms", "99999999999")), "content-type: application/grpc+proto|" },
        { unary(FIELDS("connect-timeout-ms", "-1")), "content-type: application/grpc+proto|" },
        { unary(FIELDS("content-encoding", "identity", "accept-encoding", "gzip;q=1.0, *;q=0.5, br;q=0.0,  zstd , identity;q=0, a b")),
          "content-type: application/grpc+proto|grpc-accept-encoding: gzip,zstd|" },
        { unary(FIELDS("content-encoding", "br")), "content-type: application/grpc+proto|grpc-encoding: br|grpc-accept-encoding: br|" },
        { stream(FIELDS("connect-content-encoding", "gzip", "connect-accept-encoding", "gzip, br", "connect-protocol-version", "1")),
          "content-type: application/grpc+json|grpc-encoding: gzip|grpc-accept-encoding: gzip, br|" },
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const char *before = fields_of(rows[i].request);
        open_bridge(&r, rows[i].request);
        assert_null(r.fault);
        assert_string_equal(fields_of(r.up_head), rows[i].fields);
        assert_true(r.up_head->te_trailers);
        assert_int_equal(r.up_head->body, BODY_STREAM);
        assert_text(r.up_head->method, "POST");
        assert_string_equal(fields_of(rows[i].request), before); /* another attempt begins with what the client sent */
        over(&r);
    }
}

static void what_cannot_be_said_in_grpc_is_refused_at_once(void **state) {
    struct run r;
    (void)state;
    const struct { struct head *request; enum ending why; } rows[] = {
        { given("POST", "/", FIELDS("content-type", "application/grpc-web", "content-encoding", "gzip")), ENDING_NO_ROUTE },
        { unary(FIELDS("content-encoding", "gzip, br")), ENDING_NO_ROUTE },
        { with_length(unary(NULL), UINT64_C(1) << 32), ENDING_CLIENT_ERROR },
        { given("GET", "/a.B/C?connect=v1", NULL), ENDING_CLIENT_ERROR },
        { given("GET", "/a.B/C?connect=v1&encoding=json&message=%4", NULL), ENDING_CLIENT_ERROR },
        { given("GET", "/a.B/C?connect=v1&encoding=%0d%0a&message=1", NULL), ENDING_CLIENT_ERROR },
        { given("GET", "/a.B/C?connect=v1&encoding=proto&base64=1&message=A", NULL), ENDING_CLIENT_ERROR },
        { given("GET", "/a.B/C?connect=v1&encoding=proto&message=A&compression=gzip,br", NULL), ENDING_NO_ROUTE },
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        open_bridge(&r, rows[i].request);
        if (!r.fault || r.fault->why != rows[i].why) fail_msg("row %zu", i);
        over(&r);
    }
}

/* ---- requests, cut everywhere ----------------------------------------------------------------------------------------------------------------------- */

static void every_request_comes_out_alike_wherever_it_is_cut(void **state) {
    struct run r;
    (void)state;
    struct str two = joined(message(0, "abc"), message(1, "")), none = STR("");
    const struct { struct head *request; struct str in, out; } rows[] = {
        { web("application/grpc-web"), two, two }, { web("application/grpc-web"), none, none },
        { web("application/grpc-web-text"), base64(two), two },
        { web("application/grpc-web-text"), joined(base64(str_first(two, 4)), base64(str_from(two, 4))), two },
        { web("application/grpc-web-text"), none, none },
        { stream(NULL), two, two },
        { unary(NULL), STR("abc"), message(0, "abc") }, { unary(NULL), none, message(0, "") },
        { with_length(unary(NULL), 3), STR("abc"), message(0, "abc") }, { with_length(unary(NULL), 0), none, message(0, "") },
        { unary(FIELDS("content-encoding", "gzip")), STR("zip"), message(1, "zip") },
        { with_length(unary(FIELDS("content-encoding", "gzip")), 3), STR("zip"), message(1, "zip") },
        { unary(FIELDS("content-encoding", "gzip")), none, message(0, "") },
        { given("GET", "/a.B/C?connect=v1&encoding=json&message=%7b+%7D", NULL), none, message(0, "{ }") },
        { given("GET", "/a.B/C?encoding=proto&message=YWJj&base64=1", NULL), none, message(0, "abc") },
        { given("GET", "/a.B/C?encoding=proto&message=YWI%3D&base64=1&compression=gzip", NULL), none, message(1, "ab") },
        { given("GET", "/a.B/C?encoding=proto&message=&compression=gzip", NULL), none, message(0, "") },
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        for (size_t cut = 0; cut <= rows[i].in.n; cut++) {
            ask(&r, rows[i].request, rows[i].in, cut);
            if (r.fault) fail_msg("row %zu cut at %zu: %s", i, cut, r.fault->say);
            assert_bytes(r.up, rows[i].out);
            over(&r);
        }
    }
}

static void a_get_loses_its_query(void **state) {
    struct run r;
    (void)state;
    ask(&r, given("GET", "/a.B/C?connect=v1&encoding=json&message=1", NULL), STR(""), 0);
    assert_text(r.up_head->target, "/a.B/C");
    over(&r);
}

static void a_malformed_request_is_the_clients_fault_wherever_it_is_cut(void **state) {
    struct run r;
    (void)state;
    struct str half = str_first(message(0, "abc"), 7);
    const struct { struct head *request; struct str in; } rows[] = {
        { web("application/grpc-web"), half }, { web("application/grpc-web"), message(0x80, "a: b") }, { web("application/grpc-web-text"), STR("AAA") },
        { web("application/grpc-web-text"), STR("AA!A") }, { web("application/grpc-web-text"), base64(half) },
        { stream(NULL), half }, { stream(NULL), message(2, "{}") }, { stream(NULL), message(4, "") },
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        for (size_t cut = 0; cut <= rows[i].in.n; cut++) {
            ask(&r, rows[i].request, rows[i].in, cut);
            if (!r.fault || r.fault->why != ENDING_CLIENT_ERROR) fail_msg("row %zu cut at %zu", i, cut);
            over(&r);
        }
    }
}

/* ---- answers, cut everywhere -------------------------------------------------------------------------------------------------------------------------- */

struct answer_row {
    struct head *request, *head;
    struct str in;
    struct head *trailers;
    uint16_t http;
    const char *fields;
    struct str out;
    int16_t grpc;
};
static void assert_answers(const struct answer_row *rows, size_t n) {
    struct run r;
    for (size_t i = 0; i < n; i++) {
        for (size_t cut = 0; cut <= rows[i].in.n; cut++) {
            const char *before = fields_of(rows[i].head);
            ask(&r, rows[i].request, STR(""), 0);
            answer(&r, rows[i].head, rows[i].in, rows[i].trailers, cut);
            if (r.fault) fail_msg("row %zu cut at %zu: %s", i, cut, r.fault->say);
            if (r.down_head->status != rows[i].http) fail_msg("row %zu: HTTP %u", i, r.down_head->status);
            assert_string_equal(fields_of(r.down_head), rows[i].fields);
            assert_int_equal(r.b->status, rows[i].grpc);
            if (r.later) assert_true(r.down_head->body == BODY_LENGTH && r.down_head->length == r.down.n);
            else assert_int_equal(r.down_head->body, rows[i].head->body == BODY_NONE && r.down.n == 0 ? BODY_NONE : BODY_STREAM);
            assert_string_equal(fields_of(rows[i].head), before);
            assert_bytes(r.down, rows[i].out);
            over(&r);
        }
    }
}
#define OK_TRAILERS given_trailers(FIELDS("grpc-status", "0"))
#define STATUS_200 "content-type: application/grpc-web+proto|"

static void answers_to_grpc_web(void **state) {
    (void)state;
    struct head *binary = web("application/grpc-web+proto");
    struct head *failed = given_trailers(FIELDS("x", "1", "grpc-message", "a%20%25", "grpc-status", "5", "grpc-status-details-bin", "QQ"));
    struct head *none = given_answer(200, BODY_NONE, FIELDS("content-type", "application/grpc", "grpc-status", "9", "grpc-message", "%41", "y", "2"));
    struct str data = joined(message(0, "ab"), message(1, "c"));
    const struct answer_row rows[] = {
        { binary, grpc_answer(FIELDS("x", "1", "trailer", "grpc-status")), data, OK_TRAILERS, 200, STATUS_200 "x: 1|",
          joined(data, message(0x80, "grpc-status: 0\r\n")), 0 },
        { binary, grpc_answer(NULL), data, failed, 200, STATUS_200,
          joined(data, message(0x80, "grpc-status: 5\r\ngrpc-message: a %25\r\ngrpc-status-details-bin: QQ\r\nx: 1\r\n")), 5 },
        { binary, none, STR(""), NULL, 200, STATUS_200 "y: 2|grpc-status: 9|grpc-message: A|", STR(""), 9 },
        { binary, grpc_answer(NULL), STR(""), NULL, 200, STATUS_200,
          message(0x80, "grpc-status: 13\r\ngrpc-message: the upstream's answer ended without a status\r\n"), 13 },
        { binary, given_answer(503, BODY_LENGTH, FIELDS("content-type", "text/html", "content-encoding", "gzip", "retry-after", "1")), STR("<p>"), NULL, 200,
          STATUS_200 "retry-after: 1|", message(0x80, "grpc-status: 14\r\ngrpc-message: the upstream answered HTTP 503, and not in gRPC\r\n"), 14 },
    };
    assert_answers(rows, sizeof rows / sizeof *rows);
}

/* Where a text is padded depends on where it was cut; what it says does not. */
static void answers_to_grpc_web_text(void **state) {
    struct run r;
    (void)state;
    struct str data = joined(message(0, "ab"), message(1, "c")), wanted = joined(data, message(0x80, "grpc-status: 0\r\n"));
    for (size_t cut = 0; cut <= data.n; cut++) {
        struct base64_pieces b = { 0 };
        uint8_t plain[256];
        size_t n;
        ask(&r, web("application/grpc-web-text"), STR(""), 0);
        answer(&r, grpc_answer(NULL), data, OK_TRAILERS, cut);
        assert_null(r.fault);
        assert_true(base64_pieces_take(&b, (const uint8_t *)r.down.p, r.down.n, plain, &n) && base64_pieces_is_whole(&b));
        assert_bytes((struct str){ (char *)plain, n }, wanted);
        assert_string_equal(fields_of(r.down_head), "content-type: application/grpc-web-text+proto|");
        over(&r);
    }
}

static void answers_to_connect_streams(void **state) {
    (void)state;
    struct head *failed = given_trailers(FIELDS("x", "1", "grpc-message", "%22", "y", "\"", "grpc-status", "5", "x", "2"));
    struct head *none = given_answer(200, BODY_NONE, FIELDS("content-type", "application/grpc", "grpc-status", "9", "z", "2"));
    struct str data = joined(message(0, "ab"), message(1, "c"));
#define STREAM_TYPE "content-type: application/connect+"
    const struct answer_row rows[] = {
        { stream(NULL), grpc_answer(FIELDS("grpc-encoding", "gzip", "grpc-accept-encoding", "br")), data, OK_TRAILERS, 200,
          STREAM_TYPE "proto|connect-content-encoding: gzip|connect-accept-encoding: br|", joined(data, message(2, "{}")), 0 },
        { stream(NULL), grpc_answer(NULL), data, failed, 200, STREAM_TYPE "proto|",
          joined(data, message(2, "{\"error\":{\"code\":\"not_found\",\"message\":\"\\\"\"},\"metadata\":{\"x\":[\"1\",\"2\"],\"y\":[\"\\\"\"]}}")), 5 },
        { stream(NULL), none, STR(""), NULL, 200, STREAM_TYPE "json|z: 2|", message(2, "{\"error\":{\"code\":\"failed_precondition\"}}"), 9 },
        { stream(NULL), given_answer(404, BODY_STREAM, NULL), STR("no"), NULL, 200, STREAM_TYPE "json|",
          message(2, "{\"error\":{\"code\":\"unimplemented\",\"message\":\"the upstream answered HTTP 404, and not in gRPC\"}}"), 12 },
    };
    assert_answers(rows, sizeof rows / sizeof *rows);
}

static void answers_to_connect_unary(void **state) {
    (void)state;
    struct head *trails = given_trailers(FIELDS("x", "1", "grpc-status", "0", "x", "2"));
    struct head *zipped = grpc_answer(FIELDS("grpc-encoding", "gzip", "grpc-accept-encoding", "gzip,br"));
    struct head *none = given_answer(200, BODY_NONE, FIELDS("content-type", "application/grpc", "grpc-status", "1", "grpc-message", "gone"));
#define ERROR "content-type: application/json|"
    const struct answer_row rows[] = {
        { unary(NULL), grpc_answer(FIELDS("lead", "0")), message(0, "abc"), trails, 200, "content-type: application/proto|lead: 0|trailer-x: 1|trailer-x: 2|",
          STR("abc"), 0 },
        { unary(NULL), zipped, message(1, "zip"), OK_TRAILERS, 200, "content-type: application/proto|accept-encoding: gzip,br|content-encoding: gzip|",
          STR("zip"), 0 },
        { unary(NULL), zipped, message(0, "abc"), OK_TRAILERS, 200, "content-type: application/proto|accept-encoding: gzip,br|", STR("abc"), 0 },
        { unary(NULL), grpc_answer(NULL), message(0, ""), OK_TRAILERS, 200, "content-type: application/proto|", STR(""), 0 },
        { unary(NULL), grpc_answer(NULL), STR(""), OK_TRAILERS, 500, ERROR,
          STR("{\"code\":\"internal\",\"message\":\"the upstream answered a unary call without a message\"}"), 13 },
        { unary(NULL), grpc_answer(NULL), message(0, "abc"), given_trailers(FIELDS("grpc-status", "6")), 409, ERROR, STR("{\"code\":\"already_exists\"}"), 6 },
        { unary(NULL), none, STR(""), NULL, 499, ERROR, STR("{\"code\":\"canceled\",\"message\":\"gone\"}"), 1 },
        { unary(NULL), given_answer(415, BODY_STREAM, FIELDS("content-type", "text/html")), STR("<p>"), NULL, 415, ERROR,
          STR("{\"code\":\"unknown\",\"message\":\"the upstream answered HTTP 415, and not in gRPC\"}"), 2 },
        { given("GET", "/a.B/C?encoding=json&message=1", NULL), grpc_answer(NULL), message(0, "{}"), OK_TRAILERS, 200, "content-type: application/json|",
          STR("{}"), 0 },
    };
    assert_answers(rows, sizeof rows / sizeof *rows);
}

static void a_malformed_answer_is_the_upstreams_fault_wherever_it_is_cut(void **state) {
    struct run r;
    (void)state;
    struct str half = str_first(message(0, "abc"), 7);
    struct head *requests[] = { web("application/grpc-web"), web("application/grpc-web-text"), stream(NULL), unary(NULL) };
    struct str bad[] = { half, message(0x80, "grpc-status: 0\r\n"), message(2, "{}") };
    for (size_t q = 0; q < sizeof requests / sizeof *requests; q++) {
        for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
            for (size_t cut = 0; cut <= bad[i].n; cut++) {
                ask(&r, requests[q], STR(""), 0);
                answer(&r, grpc_answer(NULL), bad[i], OK_TRAILERS, cut);
                if (!r.fault || r.fault->why != ENDING_UPSTREAM_ERROR) fail_msg("request %zu, answer %zu cut at %zu", q, i, cut);
                over(&r);
            }
        }
    }
    ask(&r, unary(NULL), STR(""), 0);
    answer(&r, grpc_answer(NULL), joined(message(0, "a"), message(0, "b")), OK_TRAILERS, 3);
    assert_int_equal(r.fault->why, ENDING_UPSTREAM_ERROR);
    over(&r);
}

/* ---- bounds ---------------------------------------------------------------------------------------------------------------------------------------------- */

static void what_must_be_held_is_held_up_to_its_limit(void **state) {
    struct run r;
    (void)state;
    static uint8_t block[1u << 20];
    open_bridge(&r, unary(NULL));
    for (unsigned i = 0; i < BRIDGE_MESSAGE_MAX / sizeof block; i++) assert_null(r.b->kind->request_body(r.b, block, sizeof block));
    const struct fault *f = r.b->kind->request_body(r.b, block, 1);
    assert_true(f && f->why == ENDING_CLIENT_ERROR && f->status == 413);
    over(&r);
    ask(&r, unary(NULL), STR(""), 0); /* the answer's length says so before a byte of it is held */
    answer(&r, grpc_answer(NULL), STR("\0\0\x40\0\1x"), OK_TRAILERS, 5);
    assert_true(r.fault && r.fault->why == ENDING_UPSTREAM_ERROR && r.fault->status == 413);
    assert_true(buffer_is_empty(&r.b->held_down));
    over(&r);
}

static void streams_and_bodies_with_a_length_are_not_held(void **state) {
    struct run r;
    (void)state;
    struct head *requests[] = { web("application/grpc-web"), stream(NULL), with_length(unary(NULL), 100) };
    for (size_t q = 0; q < sizeof requests / sizeof *requests; q++) {
        open_bridge(&r, requests[q]);
        size_t before = r.up.n;
        feed(&r, r.b->kind->request_body, str_first(message(0, "abcdef"), 7));
        assert_int_equal(r.up.n, before + 7);
        over(&r);
    }
}

static void an_attempt_that_failed_leaves_nothing_in_the_next_ones_answer(void **state) {
    struct run r;
    (void)state;
    ask(&r, unary(NULL), STR("q"), 0);
    r.down_head = head_clone(grpc_answer(FIELDS("old", "1")), &arena);
    assert_false(r.b->kind->answer_head(r.b, r.down_head));
    feed(&r, r.b->kind->answer_body, str_first(message(0, "old one"), 9));
    answer(&r, grpc_answer(NULL), message(0, "new"), OK_TRAILERS, 2);
    assert_null(r.fault);
    assert_text(r.down, "new");
    assert_string_equal(fields_of(r.down_head), "content-type: application/proto|");
    over(&r);
}

/* A server may answer while the request still comes. */
static void an_early_answer_does_not_disturb_the_request(void **state) {
    struct run r;
    (void)state;
    open_bridge(&r, unary(NULL));
    feed(&r, r.b->kind->request_body, STR("que"));
    r.down_head = head_clone(grpc_answer(NULL), &arena);
    r.b->kind->answer_head(r.b, r.down_head);
    feed(&r, r.b->kind->answer_body, message(0, "early"));
    feed(&r, r.b->kind->request_body, STR("stion"));
    assert_null(r.b->kind->request_end(r.b));
    assert_bytes(r.up, message(0, "question"));
    over(&r);
}

/* ---- details ----------------------------------------------------------------------------------------------------------------------------------------------- */

static void details_are_read_as_far_as_they_are_well_formed(void **state) {
    (void)state;
#define ANY "\x0a\x07" "x.y/a.B" "\x12\x02\xff\x00"
    static const struct { const char *bytes; size_t n; const char *json; } rows[] = {
        { "\x08\x05\x12\x02no\x1a\x0d" ANY, 21, "{\"code\":\"not_found\",\"details\":[{\"type\":\"a.B\",\"value\":\"/wA\"}]}" },
        { "\x1a\x0d" ANY "\x1a\x00\x1a\x02\x12\x00", 21,
          "{\"code\":\"not_found\",\"details\":[{\"type\":\"a.B\",\"value\":\"/wA\"},{\"type\":\"\",\"value\":\"\"},{\"type\":\"\",\"value\":\"\"}]}" },
        { "\x08\x05", 2, "{\"code\":\"not_found\"}" }, { "", 0, "{\"code\":\"not_found\"}" },
        { "\x1a\x7f\x0a", 3, "{\"code\":\"not_found\"}" }, { "\x1b", 1, "{\"code\":\"not_found\"}" },
        { "\x1a\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", 13, "{\"code\":\"not_found\"}" },
        { "\x09\x01\x02\x03\x04\x05\x06\x07\x08\x15\x01\x02\x03\x04\x1a\x00", 16, "{\"code\":\"not_found\",\"details\":[{\"type\":\"\",\"value\":\"\"}]}" },
    };
    struct run r;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct head *t = given_trailers(FIELDS("grpc-status", "5"));
        head_add(t, STR("grpc-status-details-bin"), base64((struct str){ rows[i].bytes, rows[i].n }));
        ask(&r, unary(NULL), STR(""), 0);
        answer(&r, grpc_answer(NULL), STR(""), t, 0);
        assert_text(r.down, rows[i].json);
        over(&r);
    }
}

int main(void) {
#define T(f) cmocka_unit_test_setup_teardown(f, begin, finish)
    const struct CMUnitTest tests[] = {
        T(only_what_is_not_grpc_is_translated), T(a_request_head_is_grpcs), T(what_cannot_be_said_in_grpc_is_refused_at_once),
        T(every_request_comes_out_alike_wherever_it_is_cut), T(a_get_loses_its_query), T(a_malformed_request_is_the_clients_fault_wherever_it_is_cut),
        T(answers_to_grpc_web), T(answers_to_grpc_web_text), T(answers_to_connect_streams), T(answers_to_connect_unary),
        T(a_malformed_answer_is_the_upstreams_fault_wherever_it_is_cut), T(what_must_be_held_is_held_up_to_its_limit),
        T(streams_and_bodies_with_a_length_are_not_held), T(an_attempt_that_failed_leaves_nothing_in_the_next_ones_answer),
        T(an_early_answer_does_not_disturb_the_request), T(details_are_read_as_far_as_they_are_well_formed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
