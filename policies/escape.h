// SPDX-License-Identifier: Apache-2.0
// How a peer's value is written so that it stays within the text that it stands in: a segment of a path, a string of JSON, a field of a form, a text of
// XML. A side-channel call has more rights than the client whose header it repeats. One row a kind of text, known by content type.
#ifndef CURFEW_POLICIES_ESCAPE_H
#define CURFEW_POLICIES_ESCAPE_H
#include "core/arena.h"
#include "core/str.h"

enum escape {
    ESCAPE_NONE,    /* headers, and bodies that nobody knows: as it is */
    ESCAPE_SEGMENT, /* RFC 3986 3.3: all but the unreserved is percent-encoded */
    ESCAPE_JSON,    /* inside a string: RFC 8259 7; what is no UTF-8 is U+FFFD */
    ESCAPE_FORM,    /* application/x-www-form-urlencoded, a name or a value: as a segment */
    ESCAPE_XML,     /* between tags or in a quoted attribute: & < > " and '; what is no UTF-8 is U+FFFD */
    ESCAPES
};
/* encoded: the value is percent-encoded already, as captures of a path are: no % is encoded once more. The result is in the arena, or is the value. */
struct str escape_value(enum escape how, struct arena *a, struct str value, bool encoded);
/* What a body is: by its content type (empty: none is said), or, where that is none of the rows', by what it begins with behind blanks. */
enum escape escape_of_body(struct str content_type, struct str beginning);
#endif
