// SPDX-License-Identifier: Apache-2.0
// What the tests of RPC protocols and bridges say: this head, this message, this body cut here.
#ifndef CURFEW_TESTS_CODECS_RPC_GIVEN_H
#define CURFEW_TESTS_CODECS_RPC_GIVEN_H
// clang-format off
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
// clang-format on
#include "codecs/rpc.h"
#include <stdio.h>

static struct arena arena;
static inline int begin(void **state) {
    (void)state;
    arena_init(&arena, NULL);
    return 0;
}
static inline int finish(void **state) {
    (void)state;
    arena_clear(&arena);
    return 0;
}

/* fields: name, value, …, NULL */
static inline struct head *given(const char *method, const char *target, const char *const *fields) {
    struct head *h = ARENA_NEW(&arena, struct head);
    head_init(h, &arena, true);
    h->method = str_of(method);
    h->target = str_of(target);
    h->version = 11;
    h->body = BODY_STREAM;
    for (; fields && *fields; fields += 2) head_add(h, str_of(fields[0]), str_of(fields[1]));
    return h;
}
#define FIELDS(...) (const char *const[]){ __VA_ARGS__, NULL }
static inline struct head *given_answer(uint16_t status, enum body_kind body, const char *const *fields) {
    struct head *h = given("", "", fields);
    h->request = false;
    h->status = status;
    h->body = body;
    return h;
}

/* One line, for comparison: "name: value" each. */
static inline const char *fields_of(const struct head *h) {
    struct str all = STR("");
    for (size_t i = 0; i < h->nfields; i++) {
        const struct field *f = &h->fields[i];
        if (field_is_removed(f)) continue;
        all = arena_printf(&arena, "%.*s%.*s: %.*s|", STR_ARG(all), STR_ARG(f->name), STR_ARG(f->value));
    }
    return arena_printf(&arena, "%.*s%c", STR_ARG(all), 0).p;
}
static inline const char *text_of(struct str s) { return arena_printf(&arena, "%.*s%c", STR_ARG(s), 0).p; }
#define assert_text(s, expected) assert_string_equal(text_of(s), (expected))

static inline struct str message(uint8_t flags, const char *text) {
    size_t n = strlen(text);
    char *p = arena_bytes(&arena, FRAME_HEAD + n);
    frames_head((uint8_t *)p, flags, (uint32_t)n);
    memcpy(p + FRAME_HEAD, text, n);
    return (struct str){ p, FRAME_HEAD + n };
}
static inline struct str joined(struct str a, struct str b) {
    char *p = arena_bytes(&arena, a.n + b.n);
    if (a.n) memcpy(p, a.p, a.n);
    if (b.n) memcpy(p + a.n, b.p, b.n);
    return (struct str){ p, a.n + b.n };
}
static inline struct str base64(struct str s) {
    char *p = arena_bytes(&arena, BASE64_BYTES(s.n));
    return (struct str){ p, base64_encode((const uint8_t *)s.p, s.n, p) };
}
static inline void assert_bytes(struct str got, struct str expected) {
    if (!str_eq(got, expected)) fail_msg("%zu bytes \"%s\", expected %zu \"%s\"", got.n, text_of(got), expected.n, text_of(expected));
}
#endif
