// SPDX-License-Identifier: Apache-2.0
// The parts of the HTTP/1.1 codec (RFC 9112), private to it: a parser of complete heads, a decoder of chunks, a writer of heads. All three are
// pure. Strict on purpose: what two readers could take differently is refused, never repaired, since the next hop might be the other reader.
#ifndef CURFEW_CODECS_HTTP1_H
#define CURFEW_CODECS_HTTP1_H
#include "codecs/codec.h"

struct http1_options { /* under a listener and an upstream: `http1:` */
    uint64_t max_head;   /* bytes of a head or of trailers: a head is kept whole while it comes */
    uint64_t max_target; /* bytes of a request's target */
    int64_t max_fields;  /* of a head or of trailers: each is matched and copied for every hop */
    int64_t max_interim; /* 1xx before one answer: a peer that sends nothing else would live for ever */
};
#define HTTP1_FIELDS_CAP 256u      /* of max_fields: they stand on the stack while a head is parsed */
#define HTTP1_LISTED_MAX 32u       /* names in Connection: each is compared with every field */
#define HTTP1_METHOD_MAX 64u       /* bytes: a longer one is no method that anybody knows */
#define HTTP1_BLANK_MAX 2u         /* empty lines before a request (RFC 9112 2.2): old clients send one after a body */
#define HTTP1_CHUNK_EXT_MAX 16384u /* bytes of chunk extensions in one body: they cost work and are thrown away */
#define HTTP1_CHUNK_DIGITS 16u     /* of a chunk's size: 64 bits */

/* ---- parsing ------------------------------------------------------------------------------------------------------------ */
struct http1_verdict { /* of a parser. say NULL: good */
    uint16_t status;   /* the answer that says what was wrong with a request */
    const char *say;   /* static */
};
struct http1_rules {
    const struct http1_options *o;
    bool secure; /* TLS below: the scheme of requests */
    bool (*is_ours)(void *arg, const struct field *f); /* codec_events.is_ours; NULL: none */
    void *arg;
};
struct http1_asked { /* what the answer's reading depends on */
    bool head, connect;
    struct str protocol; /* an Upgrade that was asked for; empty: none */
};
struct http1_message { /* all slices are of the input until http1_keep */
    struct head head;
    const uint8_t *end;  /* behind the empty line */
    bool reusable;       /* as Connection and the version say: another exchange may follow */
    bool upgrade;        /* Connection lists it */
    bool host_given, length_given, coding_given, chunked;
    struct str host, upgrade_to, alive; /* alive: the value of Keep-Alive */
    uint64_t length;
    struct str listed[HTTP1_LISTED_MAX];
    size_t nlisted;
    struct field fields[HTTP1_FIELDS_CAP];
};
/* Where the section of lines that begins at p ends, its empty line included; 0: not yet. *scanned, 0 at first, keeps the search linear over
 * calls with more of the same input. *bad: a line does not end in CRLF. */
size_t http1_section_end(const uint8_t *p, size_t n, size_t *scanned, bool *bad);
/* Does p[0, n) end in an empty line? Then it holds one section at least, and its end need not be searched: the parsers find it. */
static inline bool http1_has_section(const uint8_t *p, size_t n) { return n >= 4 && memcmp(p + n - 4, "\r\n\r\n", 4) == 0; }
/* p[0, n) is a section as found by http1_section_end, or http1_has_section: then m->end tells where the first one ends.
 * m need not be initialised. */
struct http1_verdict http1_parse_request(const uint8_t *p, size_t n, const struct http1_rules *r, struct http1_message *m);
/* What can be told of a request that was refused, from p[0, n), the beginning of its head: method, version, target (as far as it came, or may) and
 * the fields before the first that is cut or malformed. m->end: behind the last of them. False: not even method and target are there. */
bool http1_parse_unfit(const uint8_t *p, size_t n, const struct http1_rules *r, struct http1_message *m);
struct http1_verdict http1_parse_answer(const uint8_t *p, size_t n, const struct http1_rules *r, const struct http1_asked *asked,
                                        struct http1_message *m);
struct http1_verdict http1_parse_trailers(const uint8_t *p, size_t n, const struct http1_rules *r, struct http1_message *m);
/* The head copied into the arena, with p[0, n) that it was parsed from; names in lower case. */
struct head *http1_keep(const struct http1_message *m, const uint8_t *p, size_t n, struct arena *a);
/* As is_field_value, sixteen bytes at a time. */
bool http1_is_value(struct str s);
/* RFC 9110 7.2: uri-host [":" port], not empty. */
bool http1_is_authority(struct str s);
/* The value of a byte of a token in lower case; 0: none of a token. */
extern const uint8_t http1_token_lower[256];

/* ---- chunks --------------------------------------------------------------------------------------------------------------- */
struct http1_chunks { /* zeroed: at the first chunk's size */
    uint64_t left;  /* bytes of this chunk still to come */
    uint32_t ext;   /* bytes of extensions so far */
    uint8_t state, digits;
};
enum http1_chunk { CHUNK_MORE, CHUNK_DATA, CHUNK_LAST, CHUNK_BAD };
/* Takes bytes from *p on, as many as it can or up to the end of one slice of data. CHUNK_LAST: *p stands behind the last chunk's line, where
 * the trailer section begins. */
enum http1_chunk http1_chunk(struct http1_chunks *c, const uint8_t **p, const uint8_t *end, struct str *data);

/* ---- writing ---------------------------------------------------------------------------------------------------------------- */
enum http1_framing {
    FRAME_NONE,    /* no body, and nothing said of it */
    FRAME_ZERO,    /* content-length: 0 */
    FRAME_LENGTH,
    FRAME_CHUNKED,
    FRAME_CLOSE,
    FRAME_TUNNEL
};
/* Can this head be written without a byte in it being read as framing (T25: heads of another protocol, edited heads)? */
bool http1_is_sound(const struct head *h);
void http1_write_request(struct out *o, const struct head *h, enum http1_framing framing);
/* length: of FRAME_LENGTH, and of a FRAME_NONE whose length is told all the same (HEAD, 304) where h->body is BODY_LENGTH.
 * connection: "close", "keep-alive", or NULL: nothing is said. */
void http1_write_answer(struct out *o, const struct head *h, enum http1_framing framing, const char *connection);
void http1_write_chunk_line(struct out *o, size_t n);
void http1_write_last_chunk(struct out *o, const struct head *trailers); /* trailers may be NULL */
/* A whole answer without an exchange: a JSON problem (RFC 9457), Connection: close. f: made by http1_refusal, so that whoever is told of it
 * knows the status and the body that go out. */
struct fault http1_refusal(const struct fault *f);
void http1_write_refusal(struct out *o, const struct fault *f);
#endif
