// SPDX-License-Identifier: Apache-2.0
// The chunked coding, decoded (RFC 9112 7.1): a machine of bytes for the framing, slices for the data. Extensions are checked by their grammar
// and thrown away; a size line that two readers could end at different places is an error.
#include "codecs/http1.h"

enum state {
    SIZE_FIRST, SIZE, BLANK, NAME_FIRST, NAME, NAME_END, VALUE_FIRST, VALUE, QUOTED, QUOTED_PAIR, VALUE_END, SIZE_LF, DATA, DATA_CR, DATA_LF, BAD
};

static int hex(uint8_t c) {
    if (c >= '0' && c <= '9') return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool is_blank(uint8_t c) { return c == ' ' || c == '\t'; }
static bool is_token_byte(uint8_t c) { return http1_token_lower[c] != 0; }
static bool is_control(uint8_t c) { return (c < 0x20 && c != '\t') || c == 0x7f; }

/* 16 digits fill 64 bits exactly, so that counting them is the check for overflow; leading zeros count too. */
static enum state size_digit(struct http1_chunks *c, uint8_t b) {
    if (c->digits++ == HTTP1_CHUNK_DIGITS) return BAD;
    c->left = c->left << 4 | (uint64_t)hex(b);
    return SIZE;
}

/* What may follow a complete part of an extension: another one, or the end of the line. */
static enum state after_part(uint8_t b, enum state blank) {
    if (b == '\r') return SIZE_LF;
    if (b == ';') return NAME_FIRST;
    return is_blank(b) ? blank : BAD;
}

/* chunk-ext = *( BWS ";" BWS chunk-ext-name [ BWS "=" BWS chunk-ext-val ] ) */
static enum state extension(enum state s, uint8_t b) {
    switch ((int)s) {
    case BLANK: return b == ';' ? NAME_FIRST : is_blank(b) ? BLANK : BAD;
    case NAME_FIRST: return is_blank(b) ? NAME_FIRST : is_token_byte(b) ? NAME : BAD;
    case NAME: return is_token_byte(b) ? NAME : b == '=' ? VALUE_FIRST : after_part(b, NAME_END);
    case NAME_END: return b == '=' ? VALUE_FIRST : b == ';' ? NAME_FIRST : is_blank(b) ? NAME_END : BAD;
    case VALUE_FIRST: return is_blank(b) ? VALUE_FIRST : b == '"' ? QUOTED : is_token_byte(b) ? VALUE : BAD;
    case VALUE: return is_token_byte(b) ? VALUE : after_part(b, BLANK);
    case QUOTED: return b == '"' ? VALUE_END : b == '\\' ? QUOTED_PAIR : is_control(b) ? BAD : QUOTED;
    case QUOTED_PAIR: return is_control(b) ? BAD : QUOTED;
    case VALUE_END: return after_part(b, BLANK);
    default: return BAD;
    }
}

static enum state framing(struct http1_chunks *c, uint8_t b) {
    switch ((int)c->state) {
    case SIZE_FIRST: return hex(b) >= 0 ? size_digit(c, b) : BAD;
    case SIZE: return hex(b) >= 0 ? size_digit(c, b) : after_part(b, BLANK);
    case SIZE_LF: return b == '\n' ? DATA : BAD;
    case DATA_CR: return b == '\r' ? DATA_LF : BAD;
    case DATA_LF: return b == '\n' ? SIZE_FIRST : BAD;
    default: return ++c->ext > HTTP1_CHUNK_EXT_MAX ? BAD : extension((enum state)c->state, b);
    }
}

static enum http1_chunk data_slice(struct http1_chunks *c, const uint8_t **p, const uint8_t *end, struct str *data) {
    size_t n = (size_t)(end - *p);
    if (n > c->left) n = (size_t)c->left;
    *data = (struct str){ (const char *)*p, n };
    *p += n;
    c->left -= n;
    if (c->left == 0) c->state = DATA_CR;
    return CHUNK_DATA;
}

enum http1_chunk http1_chunk(struct http1_chunks *c, const uint8_t **p, const uint8_t *end, struct str *data) {
    while (*p < end) {
        if (c->state == DATA) return data_slice(c, p, end, data);
        c->state = (uint8_t)framing(c, *(*p)++);
        if (c->state == BAD) return CHUNK_BAD;
        if (c->state == DATA) {
            c->digits = 0;
            if (c->left == 0) return CHUNK_LAST;
        }
    }
    return CHUNK_MORE;
}
