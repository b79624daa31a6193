// SPDX-License-Identifier: Apache-2.0
// Heads of HTTP/1.1 as the parser takes and refuses them: each row is a message that some server somewhere reads differently from another.
#include "codecs/http1.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

static const struct http1_options limits = { .max_head = 64 << 10, .max_target = 100, .max_fields = 8, .max_interim = 4 };
static bool refuses_acme(void *arg, const struct field *f) {
    (void)arg;
    return str_eq(f->name, STR("x-acme-budget"));
}
static const struct http1_rules rules = { .o = &limits, .is_ours = refuses_acme };

struct parsed { struct arena arena; struct http1_message m; struct http1_verdict v; struct head *h; };

/* Against a block of its own size, so that the sanitizer sees one byte too many. */
static struct http1_verdict parse(struct parsed *p, struct str in, const struct http1_asked *asked) {
    size_t scanned = 0;
    bool bad = false;
    uint8_t *block = mem_alloc(in.n);
    memcpy(block, in.p, in.n);
    arena_init(&p->arena, NULL);
    p->h = NULL;
    size_t n = http1_section_end(block, in.n, &scanned, &bad);
    if (bad || !n) p->v = (struct http1_verdict){ 400, bad ? "bare LF" : "no end" };
    else p->v = asked ? http1_parse_answer(block, n, &rules, asked, &p->m) : http1_parse_request(block, n, &rules, &p->m);
    if (!p->v.say) p->h = http1_keep(&p->m, block, n, &p->arena);
    free(block);
    return p->v;
}

static const struct head *request(struct parsed *p, const char *text) {
    if (parse(p, str_of(text), NULL).say) fail_msg("refused: %s: %s", p->v.say, text);
    return p->h;
}
static const struct head *answer(struct parsed *p, const char *text, struct http1_asked asked) {
    if (parse(p, str_of(text), &asked).say) fail_msg("refused: %s: %s", p->v.say, text);
    return p->h;
}
static void assert_refused_bytes(struct str text, uint16_t status) {
    struct parsed p;
    parse(&p, text, NULL);
    if (!p.v.say) fail_msg("taken: %.*s", STR_ARG(text));
    if (p.v.status != status) fail_msg("%u, %s: %.*s", p.v.status, p.v.say, STR_ARG(text));
    arena_clear(&p.arena);
}
static void assert_str(struct str got, const char *want) {
    if (!str_eq(got, str_of(want))) fail_msg("\"%.*s\" is not \"%s\"", STR_ARG(got), want);
}

static void a_head_is_taken_apart(void **state) {
    (void)state;
    struct parsed p;
    const struct head *h = request(&p, "GET /a/b?c HTTP/1.1\r\nHost: Example.com:80\r\nUser-AGENT:  x y \t\r\nTE: trailers;q=1, trailers\r\nEmpty:\r\n\r\n");
    assert_str(h->method, "GET");
    assert_str(h->target, "/a/b?c");
    assert_str(h->authority, "Example.com:80");
    assert_str(h->scheme, "http");
    assert_true(h->request && h->keep_alive && h->te_trailers && h->version == 11 && h->body == BODY_NONE);
    assert_int_equal(h->nfields, 2);
    assert_str(h->fields[0].name, "user-agent");
    assert_str(h->fields[0].value, "x y");
    assert_int_equal(h->fields[0].token, TOKEN_USER_AGENT);
    assert_int_equal(h->fields[0].hash, name_hash(STR("user-agent")));
    assert_str(h->fields[1].value, "");
    arena_clear(&p.arena);
}

static void framing_becomes_members(void **state) {
    (void)state;
    struct parsed p;
    const struct head *h = request(&p, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0042\r\n\r\n");
    assert_true(h->body == BODY_LENGTH && h->length == 42 && h->nfields == 0);
    arena_clear(&p.arena);
    h = request(&p, "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: Chunked\r\n\r\n");
    assert_true(h->body == BODY_STREAM && h->nfields == 0);
    arena_clear(&p.arena);
}

static void the_four_forms_of_a_target(void **state) {
    (void)state;
    static const struct { const char *in, *authority, *target; } rows[] = {
        { "GET / HTTP/1.1\r\nHost: a\r\n\r\n", "a", "/" },
        { "GET http://b:8080/x?y HTTP/1.1\r\nHost: a\r\n\r\n", "b:8080", "/x?y" }, /* RFC 9112 3.2.2: Host is ignored */
        { "GET HTTPS://b HTTP/1.1\r\nHost: a\r\n\r\n", "b", "/" },
        { "GET http://b?q HTTP/1.1\r\nHost: a\r\n\r\n", "b", "/?q" },
        { "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", "a", "*" },
        { "OPTIONS http://b HTTP/1.1\r\nHost: a\r\n\r\n", "b", "*" },
        { "CONNECT b:443 HTTP/1.1\r\nHost: a\r\n\r\n", "b:443", "" },
        { "GET / HTTP/1.0\r\n\r\n", "", "/" },
        { "GET //x/../%2e HTTP/1.1\r\nHost: [::1]:80\r\n\r\n", "[::1]:80", "//x/../%2e" },
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct parsed p;
        const struct head *h = request(&p, rows[i].in);
        assert_str(h->authority, rows[i].authority);
        assert_str(h->target, rows[i].target);
        assert_true((h->body == BODY_TUNNEL) == str_eq(h->method, STR("CONNECT")));
        arena_clear(&p.arena);
    }
}

/* T25, and RFC 9112 throughout. */
static void what_two_readers_could_read_differently_is_refused(void **state) {
    (void)state;
#define G "GET / HTTP/1.1\r\nHost: a\r\n"
#define P "POST / HTTP/1.1\r\nHost: a\r\n"
    static const struct { struct str in; uint16_t status; } rows[] = {
        /* lines */
        { STR_INIT("GET / HTTP/1.1\nHost: a\n\n"), 400 },
        { STR_INIT(G "A: b\n\r\n"), 400 },
        { STR_INIT(G "A: b\n\n"), 400 },
        { STR_INIT(G "A: b\rC: d\r\n\r\n"), 400 },
        { STR_INIT(G "A: b\r\r\n\r\n"), 400 },
        { STR_INIT(G "A: b\r\n c\r\n\r\n"), 400 },          /* obs-fold */
        { STR_INIT("GET / HTTP/1.1\r\n Host: a\r\n\r\n"), 400 },
        { STR_INIT(G "A : b\r\n\r\n"), 400 },
        { STR_INIT(G "A\t: b\r\n\r\n"), 400 },
        { STR_INIT(G ": b\r\n\r\n"), 400 },
        { STR_INIT(G "A\r\n\r\n"), 400 },
        { STR_INIT(G "A(b: c\r\n\r\n"), 400 },
        { STR_INIT(G "\xc3\xa4: c\r\n\r\n"), 400 },
        { STR_INIT(G "A: b\0c\r\n\r\n"), 400 },
        { STR_INIT(G "A: b\x01" "c\r\n\r\n"), 400 },
        { STR_INIT(G "A: this value is longer than sixteen bytes\x7f, and spoilt\r\n\r\n"), 400 },
        /* framing */
        { STR_INIT(P "Content-Length: 5\r\nContent-Length: 5\r\n\r\n"), 400 },
        { STR_INIT(P "Content-Length: 5\r\nContent-Length: 6\r\n\r\n"), 400 },
        { STR_INIT(P "Content-Length: 5, 5\r\n\r\n"), 400 },
        { STR_INIT(P "Content-Length: +5\r\n\r\n"), 400 },
        { STR_INIT(P "Content-Length: -5\r\n\r\n"), 400 },
        { STR_INIT(P "Content-Length: 0x5\r\n\r\n"), 400 },
        { STR_INIT(P "Content-Length: 5 5\r\n\r\n"), 400 },
        { STR_INIT(P "Content-Length:\r\n\r\n"), 400 },
        { STR_INIT(P "Content-Length: 9223372036854775808\r\n\r\n"), 400 },
        { STR_INIT(P "Content-Length: 99999999999999999999999\r\n\r\n"), 400 },
        { STR_INIT(P "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n"), 400 },
        { STR_INIT(P "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n"), 400 },
        { STR_INIT(P "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n"), 400 },
        { STR_INIT(P "Transfer-Encoding: chunked, chunked\r\n\r\n"), 501 },
        { STR_INIT(P "Transfer-Encoding: gzip, chunked\r\n\r\n"), 501 },
        { STR_INIT(P "Transfer-Encoding: chunked, gzip\r\n\r\n"), 400 },
        { STR_INIT(P "Transfer-Encoding: identity\r\n\r\n"), 400 },
        { STR_INIT(P "Transfer-Encoding: xchunked\r\n\r\n"), 400 },
        { STR_INIT(P "Transfer-Encoding: chunked;a=b\r\n\r\n"), 400 },
        { STR_INIT(P "Transfer-Encoding: \x0b" "chunked\r\n\r\n"), 400 },
        { STR_INIT(P "Transfer-Encoding:\r\n\r\n"), 400 },
        { STR_INIT("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n"), 400 },
        { STR_INIT("CONNECT a:1 HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n"), 400 },
        /* Host */
        { STR_INIT("GET / HTTP/1.1\r\n\r\n"), 400 },
        { STR_INIT("GET / HTTP/1.1\r\nHost:\r\n\r\n"), 400 },
        { STR_INIT(G "Host: a\r\n\r\n"), 400 },
        { STR_INIT(G "HOST: b\r\n\r\n"), 400 },
        { STR_INIT("GET / HTTP/1.1\r\nHost: a b\r\n\r\n"), 400 },
        { STR_INIT("GET / HTTP/1.1\r\nHost: a,b\r\n\r\n"), 400 },
        { STR_INIT("GET / HTTP/1.1\r\nHost: a/b\r\n\r\n"), 400 },
        { STR_INIT("GET / HTTP/1.1\r\nHost: u@a\r\n\r\n"), 400 },
        { STR_INIT("GET / HTTP/1.1\r\nHost: a:b\r\n\r\n"), 400 },
        { STR_INIT("GET / HTTP/1.1\r\nHost: a:65536\r\n\r\n"), 400 },
        { STR_INIT("GET / HTTP/1.1\r\nHost: :80\r\n\r\n"), 400 },
        { STR_INIT("GET / HTTP/1.1\r\nHost: [::1\r\n\r\n"), 400 },
        { STR_INIT("GET / HTTP/1.1\r\nHost: []\r\n\r\n"), 400 },
        { STR_INIT("GET / HTTP/1.1\r\nHost: a%2\r\n\r\n"), 400 },
        { STR_INIT("GET / HTTP/1.0\r\nHost: a\r\nHost: a\r\n\r\n"), 400 },
        /* the request line */
        { STR_INIT("GET  / HTTP/1.1\r\nHost: a\r\n\r\n"), 400 },
        { STR_INIT("GET /  HTTP/1.1\r\nHost: a\r\n\r\n"), 400 },
        { STR_INIT("GET / HTTP/1.1 \r\nHost: a\r\n\r\n"), 400 },
        { STR_INIT("GET\t/ HTTP/1.1\r\nHost: a\r\n\r\n"), 400 },
        { STR_INIT(" GET / HTTP/1.1\r\nHost: a\r\n\r\n"), 400 },
        { STR_INIT("GET /\r\nHost: a\r\n\r\n"), 400 },
        { STR_INIT("GET / http/1.1\r\nHost: a\r\n\r\n"), 400 },
        { STR_INIT("GET / HTTP/1.11\r\nHost: a\r\n\r\n"), 400 },
        { STR_INIT("GET / HTTP/1\r\nHost: a\r\n\r\n"), 400 },
        { STR_INIT("GET / HTTP/1.2\r\nHost: a\r\n\r\n"), 505 },
        { STR_INIT("GET / HTTP/0.9\r\nHost: a\r\n\r\n"), 505 },
        { STR_INIT("PRI * HTTP/2.0\r\n\r\n"), 505 },
        { STR_INIT("G@T / HTTP/1.1\r\nHost: a\r\n\r\n"), 400 },
        { STR_INIT("GET /a#b HTTP/1.1\r\nHost: a\r\n\r\n"), 400 },
        { STR_INIT("GET /\xc3\xa4 HTTP/1.1\r\nHost: a\r\n\r\n"), 400 },
        { STR_INIT("GET /\x7f HTTP/1.1\r\nHost: a\r\n\r\n"), 400 },
        { STR_INIT("GET a HTTP/1.1\r\nHost: a\r\n\r\n"), 400 },
        { STR_INIT("GET * HTTP/1.1\r\nHost: a\r\n\r\n"), 400 },
        { STR_INIT("GET ftp://a/ HTTP/1.1\r\nHost: a\r\n\r\n"), 400 },
        { STR_INIT("GET http:///a HTTP/1.1\r\nHost: a\r\n\r\n"), 400 },
        { STR_INIT("GET http://u@a/ HTTP/1.1\r\nHost: a\r\n\r\n"), 400 },
        { STR_INIT("CONNECT a HTTP/1.1\r\nHost: a\r\n\r\n"), 400 },
        { STR_INIT("CONNECT a: HTTP/1.1\r\nHost: a\r\n\r\n"), 400 },
        { STR_INIT("CONNECT / HTTP/1.1\r\nHost: a\r\n\r\n"), 400 },
        /* Connection */
        { STR_INIT(G "Connection: close, grpc-timeout\r\nGrpc-Timeout: 1S\r\n\r\n"), 400 },
        { STR_INIT(G "Connection: X-Request-Timeout\r\n\r\n"), 400 },
        { STR_INIT(G "Connection: X-Acme-Budget\r\n\r\n"), 400 },
        { STR_INIT(G "Connection: Content-Length\r\n\r\n"), 400 },
        { STR_INIT(G "Connection: Host\r\n\r\n"), 400 },
        { STR_INIT(G "Connection: x-forwarded-for\r\n\r\n"), 400 },
        { STR_INIT(G "Connection: a b\r\n\r\n"), 400 },
        { STR_INIT(G "Connection: Upgrade\r\nUpgrade: a b\r\n\r\n"), 400 },
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) assert_refused_bytes(rows[i].in, rows[i].status);
}

static void a_head_over_a_limit_is_refused_by_the_status_that_says_so(void **state) {
    (void)state;
    char text[512];
    char path[110];
    memset(path, 'a', sizeof path);
    snprintf(text, sizeof text, "GET /%.*s HTTP/1.1\r\nHost: a\r\n\r\n", 99, path);
    struct parsed p;
    request(&p, text);
    arena_clear(&p.arena);
    snprintf(text, sizeof text, "GET /%.*s HTTP/1.1\r\nHost: a\r\n\r\n", 100, path);
    assert_refused_bytes(str_of(text), 414);
    request(&p, "GET / HTTP/1.1\r\nHost: a\r\nA:1\r\nA:2\r\nA:3\r\nA:4\r\nA:5\r\nA:6\r\nA:7\r\nA:8\r\n\r\n");
    arena_clear(&p.arena);
    assert_refused_bytes(STR("GET / HTTP/1.1\r\nHost: a\r\nA:1\r\nA:2\r\nA:3\r\nA:4\r\nA:5\r\nA:6\r\nA:7\r\nA:8\r\nA:9\r\n\r\n"), 431);
    snprintf(text, sizeof text, "%.*s / HTTP/1.1\r\nHost: a\r\n\r\n", 65, path);
    assert_refused_bytes(str_of(text), 501);
}

static void what_belongs_to_the_connection_goes_no_further(void **state) {
    (void)state;
    struct parsed p;
    const struct head *h = request(&p, "GET / HTTP/1.1\r\nHost: a\r\nKeep-Alive: 5\r\nProxy-Connection: close\r\nX-Hop: 1\r\nx-hop: 2\r\n"
                                       "X-Stays: 3\r\nConnection: keep-alive, X-Hop,,\r\nConnection: TE\r\nTE: deflate\r\n\r\n");
    assert_null(head_find_name(h, STR("x-hop"), NULL));
    assert_non_null(head_find_name(h, STR("x-stays"), NULL));
    assert_null(head_find(h, TOKEN_KEEP_ALIVE));
    assert_null(head_find(h, TOKEN_PROXY_CONNECTION));
    assert_null(head_find(h, TOKEN_CONNECTION));
    assert_true(h->keep_alive && !h->te_trailers);
    arena_clear(&p.arena);
}

static void the_version_and_connection_decide_whether_it_is_kept(void **state) {
    (void)state;
    static const struct { const char *in; bool kept, asked; } rows[] = {
        { "GET / HTTP/1.1\r\nHost: a\r\n\r\n", true, false },
        { "GET / HTTP/1.1\r\nHost: a\r\nConnection: Close\r\n\r\n", false, false },
        { "GET / HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, close\r\n\r\n", false, false },
        { "GET / HTTP/1.1\r\nHost: a\r\nConnection: keep-alive\r\n\r\n", true, true },
        { "GET / HTTP/1.0\r\n\r\n", false, false },
        { "GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n", true, true },
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct parsed p;
        const struct head *h = request(&p, rows[i].in);
        assert_int_equal(h->keep_alive, rows[i].kept);
        assert_int_equal(h->keep_asked, rows[i].asked); /* who asks for both asks for its end */
        arena_clear(&p.arena);
    }
}

static void an_upgrade_is_asked_for_only_where_it_can_be_given(void **state) {
    (void)state;
#define U "GET / HTTP/1.1\r\nHost: a\r\n"
    static const struct { const char *in, *protocol; } rows[] = {
        { U "Connection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n\r\n", "websocket" },
        { U "Connection: upgrade\r\nUpgrade: h2c, irc/6.9\r\n\r\n", "irc/6.9" },
        { U "Upgrade: websocket\r\n\r\n", "" },
        { U "Connection: upgrade\r\n\r\n", "" },
        { U "Connection: upgrade\r\nUpgrade: HTTP/2.0, TLS/1.0\r\n\r\n", "" },
        { U "Connection: upgrade, http2-settings\r\nUpgrade: h2c\r\nHTTP2-Settings: x\r\n\r\n", "" },
        { U "Connection: upgrade\r\nUpgrade: websocket\r\nContent-Length: 1\r\n\r\n", "" },
        { U "Connection: upgrade\r\nUpgrade: websocket\r\nTransfer-Encoding: chunked\r\n\r\n", "" },
        { "GET / HTTP/1.0\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n", "" },
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct parsed p;
        const struct head *h = request(&p, rows[i].in);
        assert_str(h->protocol, rows[i].protocol);
        assert_true((h->body == BODY_TUNNEL) == (h->protocol.n > 0));
        assert_null(head_find_name(h, STR("http2-settings"), NULL));
        arena_clear(&p.arena);
    }
}

/* RFC 9112 6.3. */
static void the_body_of_an_answer_follows_from_request_and_status(void **state) {
    (void)state;
    static const struct http1_asked get = { 0 }, head = { .head = true }, connect = { .connect = true };
    static const struct { const char *in; const struct http1_asked *asked; enum body_kind body; uint64_t length; } rows[] = {
        { "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", &get, BODY_LENGTH, 5 },
        { "HTTP/1.1 200\r\nTransfer-Encoding: chunked\r\n\r\n", &get, BODY_STREAM, 0 },
        { "HTTP/1.1 200 \r\n\r\n", &get, BODY_CLOSE, 0 },
        { "HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\n", &get, BODY_LENGTH, 5 },
        { "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", &head, BODY_LENGTH, 5 },
        { "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", &head, BODY_NONE, 0 },
        { "HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n", &get, BODY_NONE, 5 },
        { "HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n", &get, BODY_NONE, 0 },
        { "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", &get, BODY_LENGTH, 5 },
        { "HTTP/1.1 304 Not Modified\r\n\r\n", &get, BODY_NONE, 0 },
        { "HTTP/1.1 103 Early Hints\r\n\r\n", &get, BODY_NONE, 0 },
        { "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", &connect, BODY_TUNNEL, 5 },
        { "HTTP/1.1 407 No\r\nContent-Length: 5\r\n\r\n", &connect, BODY_LENGTH, 5 },
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct parsed p;
        const struct head *h = answer(&p, rows[i].in, *rows[i].asked);
        if (h->body != rows[i].body) fail_msg("%d, not %d: %s", (int)h->body, (int)rows[i].body, rows[i].in);
        assert_int_equal(h->length, rows[i].length);
        assert_int_equal(h->interim, h->status < 200);
        arena_clear(&p.arena);
    }
}

static void an_answer_is_read_as_strictly(void **state) {
    (void)state;
    static const struct http1_asked plain_get = { 0 }, upgrade = { .protocol = STR_INIT("websocket") };
    static const struct { struct str in; const struct http1_asked *asked; } rows[] = {
        { STR_INIT("HTTP/1.1 200 OK\nA: b\n\n"), &plain_get },
        { STR_INIT("HTTP/1.1 20 OK\r\n\r\n"), &plain_get },
        { STR_INIT("HTTP/1.1 2000 OK\r\n\r\n"), &plain_get },
        { STR_INIT("HTTP/1.1 099 OK\r\n\r\n"), &plain_get },
        { STR_INIT("HTTP/1.1 600 OK\r\n\r\n"), &plain_get },
        { STR_INIT("HTTP/1.1  200 OK\r\n\r\n"), &plain_get },
        { STR_INIT("HTTP/2.0 200 OK\r\n\r\n"), &plain_get },
        { STR_INIT("ICY 200 OK and more\r\n\r\n"), &plain_get },
        { STR_INIT("HTTP/1.1 200 O\0K\r\n\r\n"), &plain_get },
        { STR_INIT("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\n"), &plain_get },
        { STR_INIT("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n"), &plain_get },
        { STR_INIT("HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"), &plain_get },
        { STR_INIT("HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n"), &plain_get },
        { STR_INIT("HTTP/1.1 200 OK\r\n A: b\r\n\r\n"), &plain_get },
        { STR_INIT("HTTP/1.1 101 Go\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n"), &plain_get },
        { STR_INIT("HTTP/1.1 101 Go\r\nConnection: upgrade\r\nUpgrade: irc\r\n\r\n"), &upgrade },
        { STR_INIT("HTTP/1.1 101 Go\r\nUpgrade: websocket\r\n\r\n"), &upgrade },
        { STR_INIT("HTTP/1.1 101 Go\r\n\r\n"), &upgrade },
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct parsed p;
        if (!parse(&p, rows[i].in, rows[i].asked).say) fail_msg("taken: %.*s", STR_ARG(rows[i].in));
        arena_clear(&p.arena);
    }
    struct parsed p;
    const struct head *h = answer(&p, "HTTP/1.1 101 Go\r\nConnection: upgrade\r\nUpgrade: WebSocket\r\n\r\n", upgrade);
    assert_true(h->body == BODY_TUNNEL && !h->interim && str_eq(h->protocol, STR("WebSocket")));
    arena_clear(&p.arena);
}

static void trailers_bring_no_framing(void **state) {
    (void)state;
    static const char *const refused[] = { "Content-Length: 1\r\n\r\n", "Transfer-Encoding: chunked\r\n\r\n", "Host: a\r\n\r\n", "A : b\r\n\r\n",
                                           "Connection: close\r\n\r\n" };
    static struct http1_message m;
    for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++)
        assert_non_null(http1_parse_trailers((const uint8_t *)refused[i], strlen(refused[i]), &rules, &m).say);
    const char *good = "X-Sum: 1\r\nGrpc-Status: 0\r\n\r\n";
    assert_null(http1_parse_trailers((const uint8_t *)good, strlen(good), &rules, &m).say);
    assert_int_equal(m.head.nfields, 2);
}

/* Every prefix is scanned once: the position never goes back, and the end is found where it is. */
static void the_end_of_a_head_is_searched_once(void **state) {
    (void)state;
    const char *text = "GET / HTTP/1.1\r\nHost: a\r\nA: b\r\n\r\nrest";
    size_t end = strlen(text) - 4, scanned = 0;
    bool bad = false;
    for (size_t n = 0; n < end; n++) {
        assert_int_equal(http1_section_end((const uint8_t *)text, n, &scanned, &bad), 0);
        assert_int_equal(scanned, n);
    }
    assert_int_equal(http1_section_end((const uint8_t *)text, end + 4, &scanned, &bad), end);
    assert_false(bad);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_head_is_taken_apart),
        cmocka_unit_test(framing_becomes_members),
        cmocka_unit_test(the_four_forms_of_a_target),
        cmocka_unit_test(what_two_readers_could_read_differently_is_refused),
        cmocka_unit_test(a_head_over_a_limit_is_refused_by_the_status_that_says_so),
        cmocka_unit_test(what_belongs_to_the_connection_goes_no_further),
        cmocka_unit_test(the_version_and_connection_decide_whether_it_is_kept),
        cmocka_unit_test(an_upgrade_is_asked_for_only_where_it_can_be_given),
        cmocka_unit_test(the_body_of_an_answer_follows_from_request_and_status),
        cmocka_unit_test(an_answer_is_read_as_strictly),
        cmocka_unit_test(trailers_bring_no_framing),
        cmocka_unit_test(the_end_of_a_head_is_searched_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
