// SPDX-License-Identifier: Apache-2.0
// Compiling and filling in templates: see template.h.
#include "policies/template.h"

/* ---- compiling --------------------------------------------------------------------------------------------------------------------- */
static const char *compile_name(struct arena *a, struct str inside, struct template_part *part) {
    static const struct { const char *prefix; uint8_t source; bool named; } names[] = {
        { "request.path.", TEMPLATE_CAPTURE, true },          { "request.header.", TEMPLATE_REQUEST_HEADER, true },
        { "request.method", TEMPLATE_REQUEST_METHOD, false }, { "response.header.", TEMPLATE_RESPONSE_HEADER, true },
        { "response.", TEMPLATE_RESPONSE_HEADER, true },      { "context.id", TEMPLATE_CONTEXT_ID, false },
        { "ending", TEMPLATE_ENDING, false },
    };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        struct str prefix = str_of(names[i].prefix);
        if (names[i].named ? !str_starts(inside, prefix) : !str_eq(inside, prefix)) continue;
        struct str name = str_from(inside, prefix.n);
        if (names[i].named && !is_token(name)) return "a name in braces that ends too early";
        *part = (struct template_part){ names[i].source, names[i].source == TEMPLATE_CAPTURE ? name : arena_lower(a, name) };
        return NULL;
    }
    return "a name that is none of {request.path.NAME} {request.header.NAME} {request.method} {response.NAME} {context.id} {ending}";
}
static void add_text(struct template *t, struct str s) {
    if (s.n) t->v[t->n++] = (struct template_part){ TEMPLATE_TEXT, s };
}
const char *template_compile(struct arena *a, struct str text, struct template *out) {
    *out = (struct template){ .v = arena_zalloc(a, (text.n + 1) * sizeof *out->v) }; /* no part without a byte */
    size_t from = 0;
    for (size_t i = 0; i < text.n; i++) {
        char b = text.p[i];
        if (b != '{' && b != '}') continue;
        if (i + 1 < text.n && text.p[i + 1] == b) { /* doubled: one of them is text */
            add_text(out, (struct str){ text.p + from, i + 1 - from });
            from = ++i + 1;
            continue;
        }
        if (b == '}') return "a } without its {";
        size_t n = str_index(str_from(text, i), '}');
        if (i + n == text.n) return "a { without its }";
        add_text(out, (struct str){ text.p + from, i - from });
        const char *fault = compile_name(a, (struct str){ text.p + i + 1, n - 1 }, &out->v[out->n]);
        if (fault) return fault;
        out->n++;
        i += n;
        from = i + 1;
    }
    add_text(out, str_from(text, from));
    return NULL;
}

/* ---- filling in ------------------------------------------------------------------------------------------------------------------------ */
static struct str first_value(const struct head *h, struct str name) {
    const struct field *f = h ? head_find_name(h, name, NULL) : NULL;
    return f ? f->value : (struct str){ 0 };
}
static struct str capture(const struct route_match *m, struct str name) {
    for (size_t i = 0; m && i < m->ncaptures; i++)
        if (str_eq(m->captures[i].name, name)) return m->captures[i].value;
    return (struct str){ 0 };
}
static struct str value_of(const struct template_part *p, const struct template_facts *f) {
    switch ((enum template_source)p->source) {
    case TEMPLATE_TEXT: return p->text;
    case TEMPLATE_CAPTURE: return capture(f->match, p->text);
    case TEMPLATE_REQUEST_HEADER: return first_value(f->request, p->text);
    case TEMPLATE_REQUEST_METHOD: return f->request->method;
    case TEMPLATE_RESPONSE_HEADER: return first_value(f->response, p->text);
    case TEMPLATE_CONTEXT_ID: return f->context_id;
    case TEMPLATE_ENDING: return str_of(ending_name(f->ending));
    }
    return (struct str){ 0 };
}
struct str template_beginning(const struct template *t) {
    return t->n && t->v[0].source == TEMPLATE_TEXT ? t->v[0].text : (struct str){ 0 };
}
bool template_render(const struct template *t, const struct template_facts *f, enum escape how, struct arena *a, struct str *out, struct str *fault) {
    size_t room = 0, n = 0;
    struct str *values = arena_alloc(a, (t->n + 1) * sizeof *values);
    for (size_t i = 0; i < t->n; i++) {
        const struct template_part *part = &t->v[i];
        values[i] = value_of(part, f);
        if (part->source != TEMPLATE_TEXT && values[i].n == 0) {
            *fault = arena_printf(a, "{…%.*s} has no value", STR_ARG(part->text.n ? part->text : STR("a name")));
            return false;
        }
        if (part->source != TEMPLATE_TEXT) values[i] = escape_value(how, a, values[i], part->source == TEMPLATE_CAPTURE);
        room += values[i].n;
    }
    char *p = arena_bytes(a, room);
    for (size_t i = 0; i < t->n; i++) {
        if (values[i].n) memcpy(p + n, values[i].p, values[i].n);
        n += values[i].n;
    }
    *out = (struct str){ p, n };
    return true;
}
