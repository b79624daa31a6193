// SPDX-License-Identifier: Apache-2.0
// Texts with names in braces, filled in from a request, its answer and its context: "/tasks/{request.path.id}". Compiled once, when the
// configuration is read, so that a wrong name is a diagnostic and not a surprise. {{ and }} are braces.
#ifndef CURFEW_POLICIES_TEMPLATE_H
#define CURFEW_POLICIES_TEMPLATE_H
#include "core/ending.h"
#include "core/head.h"
#include "policies/route.h"

enum template_source {
    TEMPLATE_TEXT,
    TEMPLATE_CAPTURE,         /* {request.path.NAME}: a capture of the route */
    TEMPLATE_REQUEST_HEADER,  /* {request.header.NAME}: its first value */
    TEMPLATE_REQUEST_METHOD,  /* {request.method} */
    TEMPLATE_RESPONSE_HEADER, /* {response.NAME} or {response.header.NAME}: of the upstream's answer, where its head has come */
    TEMPLATE_CONTEXT_ID,      /* {context.id}: as in the log */
    TEMPLATE_ENDING           /* {ending}: the ending's name */
};
struct template_part { uint8_t source; struct str text; /* the text, or the name in lower case (captures: as written) */ };
struct template { struct template_part *v; size_t n; };
/* NULL, or the end of a sentence that begins with "the path has". Parts live in the arena; text is borrowed. */
const char *template_compile(struct arena *a, struct str text, struct template *out);

struct template_facts {
    const struct head *request, *response; /* response NULL: none has come */
    const struct route_match *match;
    struct str context_id;
    enum ending ending;
};
enum template_use { TEMPLATE_IN_PATH, /* values are percent-encoded as one segment (RFC 3986 3.3); captures are so already */
                    TEMPLATE_IN_JSON, /* bodies that are JSON: values are escaped as inside a string of it */
                    TEMPLATE_IN_TEXT  /* headers and other bodies: as they are */ };
/* TEMPLATE_IN_JSON where the text begins as JSON does, with { or [; else TEMPLATE_IN_TEXT. */
enum template_use template_use_of(const struct template *t);
/* False: a name had no value, or an empty one; *missing is that name. Nothing is guessed: half a path would cancel something else. */
bool template_render(const struct template *t, const struct template_facts *f, enum template_use use, struct arena *a, struct str *out,
                     struct str *missing);
#endif
