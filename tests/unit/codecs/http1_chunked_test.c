// SPDX-License-Identifier: Apache-2.0
// The chunked coding: every body is decoded whole and byte by byte, and what could be read in two ways is refused.
#include "codecs/http1.h"
#include "core/buffer.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <cmocka.h>

struct decoded { struct buffer data; enum http1_chunk end; size_t used; };

static struct decoded decode(struct str in, size_t piece) {
    struct decoded d = { .end = CHUNK_MORE };
    struct http1_chunks c = { 0 };
    buffer_init(&d.data, SIZE_MAX);
    for (size_t at = 0; at < in.n && d.end == CHUNK_MORE;) {
        size_t n = in.n - at < piece ? in.n - at : piece;
        uint8_t *block = mem_alloc(n);
        memcpy(block, in.p + at, n);
        const uint8_t *p = block;
        while (p < block + n && d.end == CHUNK_MORE) {
            struct str data;
            d.end = http1_chunk(&c, &p, block + n, &data);
            if (d.end == CHUNK_DATA) {
                buffer_append(&d.data, data.p, data.n);
                d.end = CHUNK_MORE;
            }
        }
        at += (size_t)(p - block);
        d.used = at;
        free(block);
    }
    return d;
}

static void assert_decodes(const char *in, const char *want) {
    for (size_t piece = 1; piece < 40; piece += 3) {
        struct decoded d = decode(str_of(in), piece);
        if (d.end != CHUNK_LAST) fail_msg("no end: %s", in);
        assert_true(str_eq((struct str){ (const char *)d.data.p, buffer_size(&d.data) }, str_of(want)));
        assert_int_equal(d.used, strlen(in) - 2); /* the trailer section is left */
        buffer_free(&d.data);
    }
}

static void assert_refused(struct str in) {
    for (size_t piece = 1; piece < 40; piece += 3) {
        struct decoded d = decode(in, piece);
        if (d.end != CHUNK_BAD) fail_msg("taken: %.*s", STR_ARG(in));
        buffer_free(&d.data);
    }
}

static void chunks_are_joined(void **state) {
    (void)state;
    assert_decodes("0\r\n\r\n", "");
    assert_decodes("5\r\nhello\r\n0\r\n\r\n", "hello");
    assert_decodes("5\r\nhello\r\n00A\r\n, chunks!!\r\n000\r\n\r\n", "hello, chunks!!");
    assert_decodes("2\r\n\r\n\r\n0\r\n\r\n", "\r\n");
    assert_decodes("000000000000000a\r\n0123456789\r\n0\r\n\r\n", "0123456789");
}

static void extensions_are_read_over(void **state) {
    (void)state;
    assert_decodes("1;a\r\nx\r\n0;last\r\n\r\n", "x");
    assert_decodes("1 ; a = b ;c\r\nx\r\n0\r\n\r\n", "x");
    assert_decodes("1;a=\"q \\\" ;=\\\\\"\r\nx\r\n0;b=\"\"\r\n\r\n", "x");
}

static void a_malformed_chunk_is_refused(void **state) {
    (void)state;
    static const struct str rows[] = {
        STR_INIT("\r\n"), STR_INIT("g\r\n"), STR_INIT(" 5\r\n"), STR_INIT("+5\r\n"), STR_INIT("-1\r\n"), STR_INIT("0x5\r\n"), STR_INIT(";a\r\n"),
        STR_INIT("5\nhello"), STR_INIT("5\r\rhello"), STR_INIT("5 \r\nhello"), STR_INIT("5\r\nhello0\r\n"), STR_INIT("5\r\nhello\n0"),
        STR_INIT("5\r\nhello\r0"), STR_INIT("00000000000000005\r\nhello"), STR_INIT("10000000000000000\r\n"), STR_INIT("5;\r\nhello"),
        STR_INIT("5;a=\r\nhello"), STR_INIT("5;a\nhello"), STR_INIT("5;a=\"\n\"\r\nhello"), STR_INIT("5;a=\"b\"c\r\nhello"),
        STR_INIT("5;a \r\nhello"), STR_INIT("5;a\0\r\nhello"), STR_INIT("5;=b\r\nhello"), STR_INIT("5 5\r\nhello"), STR_INIT("5;a=\"\0\"\r\n"),
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) assert_refused(rows[i]);
}

static void extensions_without_end_are_refused(void **state) {
    (void)state;
    size_t n = HTTP1_CHUNK_EXT_MAX + 10;
    char *text = mem_alloc(n);
    memset(text, 'a', n);
    text[0] = '5';
    text[1] = ';';
    struct decoded d = decode((struct str){ text, n }, 4096);
    assert_int_equal(d.end, CHUNK_BAD);
    buffer_free(&d.data);
    free(text);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(chunks_are_joined),
        cmocka_unit_test(extensions_are_read_over),
        cmocka_unit_test(a_malformed_chunk_is_refused),
        cmocka_unit_test(extensions_without_end_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
