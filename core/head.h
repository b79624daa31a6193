// SPDX-License-Identifier: Apache-2.0
// The head of a message, of any protocol: what a codec read or is to write. It lives in an arena, with all that it points to.
//
// What a codec takes out and what it leaves: framing and connection matters are the wire's own, so a codec that parses a head turns them
// into members here and does not list them as fields: host and :authority, content-length and transfer-encoding (body, length), connection,
// keep-alive, proxy-connection, upgrade (protocol), te, and every field that Connection names. All other fields are in `fields`, in order.
// A codec that writes a head adds its own framing and writes no field whose `name.n` is 0 (removed).
#ifndef CURFEW_CORE_HEAD_H
#define CURFEW_CORE_HEAD_H
#include "core/arena.h"

enum token {
    TOKEN_NONE, /* not a known name */
#define TOKEN(C, name) TOKEN_##C,
#include "core/token.def"
#undef TOKEN
    TOKENS
};
enum body_kind {
    BODY_NONE,
    BODY_LENGTH, /* `length` bytes; in an answer to HEAD and a 304: what there would be, none follow (on_end comes at once) */
    BODY_STREAM, /* ends in band; trailers may follow */
    BODY_CLOSE,  /* ends with the connection: answers only */
    BODY_TUNNEL  /* both ways, half-close each: Upgrade, CONNECT, RFC 8441, a relay's session */
};
struct field {
    struct str name, value; /* name in lower case; value without surrounding OWS. name.n == 0: removed */
    uint32_t hash;          /* name_hash(name) */
    uint8_t token;          /* enum token */
    bool sensitive;         /* HPACK: never indexed; the log: never shown */
    bool changes;           /* has another value in each head: not worth a place in a table of HPACK */
};
struct head {
    struct arena *arena; /* borrowed: all slices live here */
    bool request;
    bool interim;        /* 1xx but 101: another head follows */
    bool te_trailers;    /* the sender of this request takes trailers (TE: trailers) */
    bool keep_alive;     /* false: the peer said this is the last exchange on the connection */
    bool keep_asked;     /* it asked in so many words to keep it (Connection: keep-alive), which HTTP/1.1 need not */
    uint8_t version;     /* the peer's: 10, 11, 20; for Via and for what HTTP/1.0 cannot take */
    enum body_kind body;
    uint64_t length;     /* of BODY_LENGTH */
    bool unended;        /* BODY_LENGTH: the end did not come with the head, so trailers may follow, where the wire has them behind no body */
    /* request */
    struct str method, scheme, authority, target; /* target: path and query as sent; "*" for OPTIONS *; for CONNECT without :protocol empty */
    struct str protocol; /* what a tunnel would speak: the Upgrade token, or :protocol; empty: none asked. The neutral form of such a request is
                            HTTP/1's: method GET, WebSocket's key and version as fields, opened by an answer of 101 with BODY_TUNNEL; HTTP/2
                            turns it into an extended CONNECT and 200, and back */
    /* answer */
    uint16_t status;
    struct field *fields;
    size_t nfields, cap;
};

void head_init(struct head *h, struct arena *a, bool request);
/* Appends; name and value are borrowed and must live as long as the arena; name must be lower case. Returns the field (valid until the next add). */
struct field *head_add(struct head *h, struct str name, struct str value);
/* As head_add with the hash and token known: the parser's way. */
struct field *head_add_hashed(struct head *h, struct str name, uint32_t hash, enum token token, struct str value);
/* The first field of that token, or NULL. */
struct field *head_find(const struct head *h, enum token token);
/* The first field of that name after `after` (NULL: from the start), or NULL. Name in lower case. */
struct field *head_find_name(const struct head *h, struct str name, const struct field *after);
/* All fields of that name, their values joined with ", " in the arena; a single one is not copied. Empty: none. */
struct str head_joined(const struct head *h, struct str name);
void head_remove(struct head *h, struct str name); /* all of that name */
static inline void field_remove(struct field *f) { f->name.n = 0; }
static inline bool field_is_removed(const struct field *f) { return f->name.n == 0; }
/* Replaces all of that name by one. */
void head_set(struct head *h, struct str name, struct str value);
/* A second head with its own field array, the same slices: what is sent upstream is edited, what came stays for retries and the log. */
struct head *head_clone(const struct head *h, struct arena *a);

/* The token of a lower-case name, or TOKEN_NONE; hash is name_hash(name). O(1). */
enum token token_of(struct str name, uint32_t hash);
struct str token_name(enum token t);
/* RFC 9110 5.6.2: a token (a method is one, "GET"); and one without upper-case letters, as field names are here. */
bool is_token(struct str s);
bool is_lower_token(struct str s);
/* RFC 9110 7.8: what an Upgrade, or RFC 8441's :protocol, may ask for: token ["/" token]. */
bool is_protocol(struct str s);
/* What would be HTTP again, past all routes and policies: h2c (RFC 7540 3.2), HTTP/2.0, TLS/1.0 (RFC 2817). No tunnel to it is asked for. */
bool protocol_is_http(struct str s);
/* RFC 9110 5.5: a field value as it may be sent: no CR, LF, NUL, no control but HTAB. */
bool is_field_value(struct str s);
/* RFC 9112 3.2.1: a path, and maybe a query, that can stand in a request as it is: begins with /, has neither blanks nor controls nor #. */
bool is_path_target(struct str s);
/* The reason phrase of a status for HTTP/1, "" where none is registered. */
const char *status_reason(uint16_t status);
#endif
