// SPDX-License-Identifier: Apache-2.0
// Texts with names in braces, filled in from a request, its answer and its context: "/tasks/{request.path.id}". Compiled once, when the
// configuration is read, so that a wrong name is a diagnostic and not a surprise. {{ and }} are braces.
#ifndef CURFEW_POLICIES_TEMPLATE_H
#define CURFEW_POLICIES_TEMPLATE_H
#include "core/ending.h"
#include "core/head.h"
#include "policies/escape.h"
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
/* The text that it begins with, up to its first name; empty: it begins with one. */
struct str template_beginning(const struct template *t);
/* False: a name had no value, or an empty one, and *fault, in the arena, says which. Nothing is guessed: half a path would cancel something else. */
bool template_render(const struct template *t, const struct template_facts *f, enum escape how, struct arena *a, struct str *out, struct str *fault);
#endif
