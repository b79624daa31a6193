// SPDX-License-Identifier: Apache-2.0
// What to call when a cancel goes by a side channel: its table, and building the call: see call.h.
#include "policies/call.h"
#include "policies/check.h"

/* ---- reading it -------------------------------------------------------------------------------------------------------------------- */
static bool parse_call_headers(struct conf *c, const struct conf_node *n, const struct conf_field *f, void *at) {
    (void)f;
    if (!check_map(c, n, "names of headers and their values")) return false;
    size_t before = c->errors;
    for (size_t i = 0; i < n->n; i++) {
        check_free_name(c, n->keys[i]);
        check_field_value(c, n->items[i]);
    }
    *(const struct conf_node **)at = n;
    return c->errors == before;
}

/* An authorization, say. */
static void print_call_headers(struct conf_writer *w, const struct conf_field *f, const void *at) {
    const struct conf_node *n = *(const struct conf_node *const *)at;
    (void)f;
    if (!n) return;
    for (size_t i = 0; i < n->n; i++) {
        fputs(i ? ", " : " { ", w->to);
        conf_write_key(w->to, n->keys[i]->text);
        fputc(' ', w->to);
        conf_write_secret(w, n->items[i]->text);
    }
    fputs(n->n ? " }\n" : " { }\n", w->to);
}

static void compile(struct conf *c, struct conf_pos pos, const char *what, struct str text, struct template *t) {
    const char *fault = template_compile(&c->arena, text, t);
    if (fault) conf_error(c, pos, NULL, "the %s has %s", what, fault);
}
static void compile_headers(struct conf *c, struct call_policy *call) {
    const struct conf_node *n = call->headers;
    if (!n) return;
    call->header = arena_zalloc(&c->arena, n->n * sizeof *call->header);
    for (size_t i = 0; i < n->n; i++) {
        call->header[i].name = arena_lower(&c->arena, n->keys[i]->text);
        compile(c, n->items[i]->pos, "value", n->items[i]->text, &call->header[i].value);
    }
    call->nheaders = n->n;
}

static void check_call(struct conf *c, const struct conf_node *n, void *at) {
    struct call_policy *call = at;
    if (!n) return;
    compile(c, conf_pos_of(n, "path"), "path", call->path, &call->path_template);
    compile(c, conf_pos_of(n, "body"), "body", call->body, &call->body_template);
    compile_headers(c, call);
    if (!is_token(call->method)) conf_error(c, conf_pos_of(n, "method"), NULL, "\"%.*s\" is no method", STR_ARG(call->method));
    if (call->path.n && !is_path_target(call->path))
        conf_error(c, conf_pos_of(n, "path"), NULL, "the path begins with / and has neither blanks nor #");
    if (path_has_dot_segment(call->path)) conf_error(c, conf_pos_of(n, "path"), NULL, "the path has a segment . or ..");
    for (size_t i = 0; i < call->endings.n; i++) {
        enum ending e = check_ending(c, call->endings.v[i].at);
        if (e != ENDING_NONE && ending_rows[e].upstream != ENDING_UP_CANCEL)
            conf_error(c, call->endings.v[i].at->pos, NULL, "after %s there is nothing to cancel", ending_name(e));
        call->ending_mask |= UINT64_C(1) << e;
    }
}

static const struct conf_field call_fields[] = {
    { .name = "upstream", .type = CONF_REF, .offset = offsetof(struct call_policy, upstream),
      .help = "the upstream that is called; left out: the one that has the request" },
    { .name = "method", .type = CONF_STRING, .offset = offsetof(struct call_policy, method), .def = "POST", .help = "its method" },
    { .name = "path", .type = CONF_STRING, .offset = offsetof(struct call_policy, path), .required = true,
      .help = "its path; {request.path.NAME} is a capture of the route, {request.header.NAME} and {response.NAME} are headers, {context.id} and "
              "{ending} the log's; values are percent-encoded a segment; an empty one fails the call, and so do values that would make a segment . or .." },
    { .name = "headers", .type = CONF_CUSTOM, .offset = offsetof(struct call_policy, headers), .parse = parse_call_headers,
      .print = print_call_headers,
      .shape = "{\"type\":\"object\",\"additionalProperties\":{\"type\":\"string\"}}", .help = "its headers; values may hold names as the path's" },
    { .name = "body", .type = CONF_STRING, .offset = offsetof(struct call_policy, body), .secret = true,
      .help = "its body; may hold names as the path's; by the call's content-type their values are escaped as in a string of JSON, a form or XML; without one of "
              "these by how it begins: { or [ is JSON, < is XML; else they stand as they are; left out: none" },
    { .name = "timeout", .type = CONF_DURATION, .offset = offsetof(struct call_policy, timeout), .def = "1s", .min = NS_PER_MS,
      .max = 60 * NS_PER_S, .help = "how long the call may take" },
    { .name = "rate", .type = CONF_RATE, .offset = offsetof(struct call_policy, rate), .def = "50/s",
      .help = "calls in that time, at most; past it the next way of the ladder is taken" },
    { .name = "endings", .type = CONF_REFS, .offset = offsetof(struct call_policy, endings),
      .help = "endings after which the call is made; left out: all that cancel" },
    { 0 }
};
const struct conf_table call_table = { .name = "call", .size = sizeof(struct call_policy), .fields = call_fields, .check = check_call,
    .help = "A request of its own that tells the upstream to cancel, for servers that never notice a closed connection." };

/* ---- building it --------------------------------------------------------------------------------------------------------------------- */
static bool build_headers(const struct call_policy *p, const struct template_facts *f, struct arena *a, struct head *h, struct str *fault) {
    for (size_t i = 0; i < p->nheaders; i++) {
        struct str value;
        if (!template_render(&p->header[i].value, f, ESCAPE_NONE, a, &value, fault)) return false;
        head_add(h, p->header[i].name, value);
    }
    return true;
}
bool call_build(const struct call_policy *p, const struct template_facts *f, struct str authority, struct arena *a, struct head *h,
                struct str *body, struct str *fault) {
    head_init(h, a, true);
    h->method = p->method;
    h->scheme = STR("http");
    h->authority = authority;
    if (!template_render(&p->path_template, f, ESCAPE_SEGMENT, a, &h->target, fault)) return false;
    if (path_has_dot_segment(h->target)) { /* as "..", or "." twice in {a}{b}: it would cancel something else */
        *fault = STR("its path would have a segment . or .. by the values of its names");
        return false;
    }
    if (!build_headers(p, f, a, h, fault)) return false;
    const struct field *type = head_find(h, TOKEN_CONTENT_TYPE);
    enum escape how = escape_of_body(type ? type->value : (struct str){ 0 }, template_beginning(&p->body_template));
    if (!template_render(&p->body_template, f, how, a, body, fault)) return false;
    h->body = body->n ? BODY_LENGTH : BODY_NONE;
    h->length = body->n;
    return true;
}
