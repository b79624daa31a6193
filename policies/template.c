// SPDX-License-Identifier: Apache-2.0
// Compiling and filling in templates: see template.h.
#include "policies/template.h"
#include "codecs/rpc_text.h"

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
static bool is_unreserved(unsigned char b) { /* RFC 3986 2.3 */
    return (b >= 'a' && b <= 'z') || (b >= 'A' && b <= 'Z') || (b >= '0' && b <= '9') || b == '-' || b == '.' || b == '_' || b == '~';
}
static size_t put(char *at, struct str s, bool encode) {
    static const char hex[] = "0123456789ABCDEF";
    size_t n = 0;
    for (size_t i = 0; i < s.n; i++) {
        unsigned char b = (unsigned char)s.p[i];
        if (!encode || is_unreserved(b)) {
            at[n++] = (char)b;
        } else {
            at[n++] = '%';
            at[n++] = hex[b >> 4];
            at[n++] = hex[b & 15];
        }
    }
    return n;
}
/* A client's quote must not end the string that its value stands in, and name a member of its own. */
static struct str json_inside(struct arena *a, struct str s) {
    struct str quoted = json_quote(a, s);
    return (struct str){ quoted.p + 1, quoted.n - 2 };
}
/* A value that is "." or ".." would climb out of its segment, whatever its encoding. */
static bool is_dots(struct str s) { return str_eq(s, STR(".")) || str_eq(s, STR("..")); }
enum template_use template_use_of(const struct template *t) {
    bool json = t->n && t->v[0].source == TEMPLATE_TEXT && (t->v[0].text.p[0] == '{' || t->v[0].text.p[0] == '[');
    return json ? TEMPLATE_IN_JSON : TEMPLATE_IN_TEXT;
}
bool template_render(const struct template *t, const struct template_facts *f, enum template_use use, struct arena *a, struct str *out,
                     struct str *missing) {
    size_t room = 0;
    struct str *values = arena_alloc(a, (t->n + 1) * sizeof *values);
    for (size_t i = 0; i < t->n; i++) {
        struct str v = value_of(&t->v[i], f);
        bool named = t->v[i].source != TEMPLATE_TEXT;
        values[i] = named && use == TEMPLATE_IN_JSON ? json_inside(a, v) : v;
        if (named && (v.n == 0 || (use == TEMPLATE_IN_PATH && is_dots(v)))) {
            *missing = t->v[i].text.n ? t->v[i].text : STR("a name");
            return false;
        }
        room += 3 * values[i].n;
    }
    char *p = arena_bytes(a, room);
    size_t n = 0;
    for (size_t i = 0; i < t->n; i++) {
        uint8_t source = t->v[i].source;
        bool encode = use == TEMPLATE_IN_PATH && source != TEMPLATE_TEXT && source != TEMPLATE_CAPTURE;
        n += put(p + n, values[i], encode);
    }
    *out = (struct str){ p, n };
    return true;
}
