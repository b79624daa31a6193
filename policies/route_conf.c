// SPDX-License-Identifier: Apache-2.0
// Routes as YAML has them: their tables, and the compiling of a `match` into what the hot path compares.
#include "policies/check.h"
#include "policies/route_matcher.h"
#include <assert.h>

#define COUNT(a) (sizeof(a) / sizeof *(a))

/* ---- hosts ------------------------------------------------------------------------------------------------------------------------ */

static bool is_host_name(struct str s) {
    for (size_t i = 0; i < s.n; i++) {
        char ch = s.p[i], lower = (char)(ch | 0x20);
        if (!(lower >= 'a' && lower <= 'z') && !(ch >= '0' && ch <= '9') && ch != '-' && ch != '_' && ch != '.') return false;
        if (ch == '.' && (i == 0 || s.p[i - 1] == '.')) return false;
    }
    return s.n > 0;
}

static void compile_host(struct conf *c, struct route_matcher *t) {
    if (!t->host.at) return;
    struct host_pattern *p = &t->host_pattern;
    struct str host = t->host.name;
    if (str_eq(host, STR("*"))) return;
    if (route_ipv6(host, p->address)) {
        p->shape = HOST_IPV6;
        return;
    }
    if (str_index(host, ':') < host.n) {
        conf_error(c, t->host.at->pos, "leave the port out: it is not compared", "%.*s is no host to match", STR_ARG(host));
        return;
    }
    bool suffix = str_starts(host, STR("*."));
    struct str name = route_host(suffix ? str_from(host, 2) : host);
    if (!is_host_name(name)) {
        conf_error(c, t->host.at->pos, "a name, an address, or *. and a name; names beyond ASCII in their xn-- form", "%.*s is no host to match",
                   STR_ARG(host));
        return;
    }
    p->shape = suffix ? HOST_SUFFIX : HOST_EXACT;
    p->text = suffix ? arena_printf(&c->arena, ".%.*s", STR_ARG(name)) : name;
}

/* ---- paths ------------------------------------------------------------------------------------------------------------------------ */

/* A path of the configuration in normal form; empty after reporting. */
static struct str normal_path(struct conf *c, struct conf_pos at, struct str path) {
    struct str normal = { 0 };
    if (!path.n || path.p[0] != '/') {
        conf_error(c, at, NULL, "\"%.*s\" is no path: it begins with /", STR_ARG(path));
    } else if (str_index(path, '?') < path.n || !route_normalise(&c->arena, path, &normal)) {
        conf_error(c, at, "blanks, ?, #, \\ and % are written percent-encoded", "\"%.*s\" cannot be a path", STR_ARG(path));
        normal = (struct str){ 0 };
    }
    return normal;
}

static bool is_name(struct str s) {
    return is_token(s) && str_index(s, '{') == s.n && str_index(s, '*') == s.n && str_index(s, '.') == s.n;
}

static bool is_known_capture(const struct path_pattern *p, struct str name) {
    for (size_t i = 0; i < p->nparts; i++)
        if (p->parts[i].capture && str_eq(p->parts[i].text, name)) return true;
    return false;
}

/* "{name}" becomes a capture. NULL, or what is wrong. */
static const char *add_capture(struct path_pattern *p, struct str segment, size_t *ncaptures) {
    struct str name = { segment.p + 1, segment.n - 2 };
    if (!is_name(name)) return "a {name} is letters, digits, - and _";
    if (is_known_capture(p, name)) return "a {name} stands twice";
    if (++*ncaptures > CAPTURES_MAX) return "there are more than 16 {names}";
    p->parts[p->nparts++] = (struct path_part){ name, true };
    return NULL;
}

/* Adjoining literals are one part: they lie side by side in the pattern. */
static const char *add_literal(struct path_pattern *p, struct str segment) {
    if (str_index(segment, '{') < segment.n || str_index(segment, '}') < segment.n) return "a {name} stands for a whole segment";
    if (str_index(segment, '*') < segment.n) return "a * is the last segment of a path, and a whole one; {name} stands for one in its middle";
    struct str with_slash = { segment.p - 1, segment.n + 1 };
    if (p->nparts && !p->parts[p->nparts - 1].capture) p->parts[p->nparts - 1].text.n += with_slash.n;
    else p->parts[p->nparts++] = (struct path_part){ with_slash, false };
    return NULL;
}

/* Fills parts and rest from a pattern in normal form. NULL, or what is wrong. */
static const char *cut_pattern(struct path_pattern *p, struct str pattern) {
    size_t ncaptures = 0;
    for (size_t at = 0; at < pattern.n;) { /* at a slash */
        struct str after = str_from(pattern, at + 1), segment = str_first(after, str_index(after, '/'));
        bool last = segment.n == after.n, braces = segment.n >= 2 && segment.p[0] == '{' && segment.p[segment.n - 1] == '}';
        at += 1 + segment.n;
        if (last && str_eq(segment, STR("*"))) {
            p->rest = true;
            return NULL;
        }
        const char *fault = braces ? add_capture(p, segment, &ncaptures) : add_literal(p, segment);
        if (fault) return fault;
    }
    return NULL;
}

static void compile_pattern(struct conf *c, struct conf_pos at, struct str pattern, struct path_pattern *p) {
    size_t segments = 1;
    for (size_t i = 0; i < pattern.n; i++) segments += pattern.p[i] == '/';
    p->parts = arena_zalloc(&c->arena, segments * sizeof *p->parts);
    const char *fault = cut_pattern(p, pattern);
    if (fault) {
        conf_error(c, at, NULL, "%s", fault);
        return;
    }
    if (p->nparts && !p->parts[0].capture) {
        p->lead = p->parts++->text;
        p->nparts--;
    }
    p->shape = p->nparts ? PATH_SEGMENTS : !p->rest ? PATH_EXACT : p->lead.n ? PATH_PREFIX : PATH_ANY;
}

static void compile_path(struct conf *c, struct route_matcher *t) {
    if (!t->path.at) return;
    struct str normal = normal_path(c, t->path.at->pos, t->path.name);
    if (normal.n) compile_pattern(c, t->path.at->pos, normal, &t->path_pattern);
}

/* "package.Service/Method" or "package.Service/star": the path that gRPC, gRPC-Web and Connect alike have. */
static void compile_grpc(struct conf *c, struct route_matcher *t) {
    if (!t->grpc.at) return;
    struct str s = t->grpc.name;
    size_t slash = str_index(s, '/');
    struct str method = slash < s.n ? str_from(s, slash + 1) : (struct str){ 0 };
    bool all = str_eq(method, STR("*"));
    t->rpc_only = true;
    if (str_eq(s, STR("*"))) return;
    if (!is_host_name(str_first(s, slash)) || (!all && (!is_host_name(method) || str_index(method, '.') < method.n))) {
        conf_error(c, t->grpc.at->pos, "package.Service/Method, or package.Service/* for all of its methods", "%.*s is no gRPC method",
                   STR_ARG(s));
        return;
    }
    if (t->path.at) conf_error(c, t->grpc.at->pos, NULL, "grpc is a path of its own: a match has one of path and grpc");
    compile_pattern(c, t->grpc.at->pos, arena_printf(&c->arena, "/%.*s", STR_ARG(s)), &t->path_pattern);
}

/* ---- header conditions ------------------------------------------------------------------------------------------------------------ */

struct condition_conf { struct conf_ref exact, prefix, at_least, present; };
static const struct conf_field condition_fields[] = {
    { .name = "exact", .type = CONF_REF, .offset = offsetof(struct condition_conf, exact), .help = "the whole value, as it is" },
    { .name = "prefix", .type = CONF_REF, .offset = offsetof(struct condition_conf, prefix), .help = "what the value begins with" },
    { .name = "at_least", .type = CONF_REF, .offset = offsetof(struct condition_conf, at_least),
      .help = "a date (2026-07-28) or a dotted number (1.10), and the value is one of the same kind, no earlier" },
    { .name = "present", .type = CONF_REF, .offset = offsetof(struct condition_conf, present), .help = "true: there is one; false: there is none" },
    { 0 }
};
static const struct conf_table condition_table = { .name = "header condition", .size = sizeof(struct condition_conf),
    .fields = condition_fields, .help = "What a header's value must be; exactly one of the keys." };

static bool is_dotted(struct str s) { return route_is_at_least(s, s); }

static bool take_condition(struct conf *c, const struct conf_node *n, const struct condition_conf *k, struct header_condition *out) {
    const struct conf_ref *given[] = { &k->exact, &k->prefix, &k->at_least, &k->present };
    static const uint8_t kinds[] = { CONDITION_EXACT, CONDITION_PREFIX, CONDITION_AT_LEAST, CONDITION_PRESENT };
    size_t n_given = 0;
    for (size_t i = 0; i < COUNT(given); i++) {
        if (!given[i]->at) continue;
        n_given++;
        out->kind = kinds[i];
        out->value = given[i]->name;
    }
    if (n_given != 1) {
        conf_error(c, n->pos, NULL, "a header's condition is exactly one of exact, prefix, at_least and present");
        return false;
    }
    if (k->present.at) {
        bool yes = str_eq(out->value, STR("true"));
        out->kind = yes ? CONDITION_PRESENT : CONDITION_ABSENT;
        if (yes || str_eq(out->value, STR("false"))) return true;
        conf_error(c, k->present.at->pos, NULL, "present is true or false");
        return false;
    }
    if (!k->at_least.at || is_dotted(out->value)) return true;
    conf_error(c, k->at_least.at->pos, NULL, "%.*s is neither a date (2026-07-28) nor a dotted number (1.10)", STR_ARG(out->value));
    return false;
}

static bool parse_condition(struct conf *c, const struct conf_node *n, struct header_condition *out) {
    if (n->bad) return false;
    if (n->kind == CONF_SCALAR) {
        out->kind = CONDITION_EXACT;
        out->value = n->text;
        return true;
    }
    struct condition_conf k;
    if (!check_map(c, n, "exact, prefix, at_least or present; or the value itself")) return false;
    return conf_load(c, n, &condition_table, &k) && take_condition(c, n, &k, out);
}

static bool parse_conditions(struct conf *c, const struct conf_node *n, const struct conf_field *f, void *at) {
    (void)f;
    struct header_conditions *all = at;
    if (!check_map(c, n, "names of headers, and what their values must be")) return false;
    size_t before = c->errors;
    all->v = arena_zalloc(&c->arena, n->n * sizeof *all->v);
    for (size_t i = 0; i < n->n; i++) {
        struct header_condition *k = &all->v[all->n];
        k->name = check_free_name(c, n->keys[i]);
        if (parse_condition(c, n->items[i], k) && k->name.n) all->n++;
    }
    return c->errors == before;
}

static void print_conditions(struct conf_writer *w, const struct conf_field *f, const void *at) {
    static const char *const words[] = { [CONDITION_EXACT] = "exact", [CONDITION_PREFIX] = "prefix", [CONDITION_AT_LEAST] = "at_least",
        [CONDITION_PRESENT] = "present: true", [CONDITION_ABSENT] = "present: false" };
    const struct header_conditions *all = at;
    (void)f;
    for (size_t i = 0; i < all->n; i++) {
        const struct header_condition *k = &all->v[i];
        bool has_value = k->kind != CONDITION_PRESENT && k->kind != CONDITION_ABSENT;
        fputs(i ? ", " : " { ", w->to);
        conf_write_key(w->to, k->name);
        fprintf(w->to, " { %s", words[k->kind]);
        if (has_value) fputs(": ", w->to);
        if (k->kind == CONDITION_AT_LEAST) conf_write_text(w->to, k->value);
        else if (has_value) conf_write_secret(w, k->value); /* as whoever stands before us shows who it is */
        fputs(" }", w->to);
    }
    if (all->n) fputs(" }\n", w->to);
}

/* ---- match ------------------------------------------------------------------------------------------------------------------------ */

static void check_methods(struct conf *c, const struct conf_refs *methods) {
    for (size_t i = 0; i < methods->n; i++) {
        struct str s = methods->v[i].name;
        if (!is_token(s)) conf_error(c, methods->v[i].at->pos, NULL, "\"%.*s\" is no method", STR_ARG(s));
        else if (str_eq(s, arena_lower(&c->arena, s)))
            conf_warn(c, methods->v[i].at->pos, "methods have case, and the well-known ones are upper case", "%.*s matches no usual request",
                      STR_ARG(s));
    }
}

static void check_match(struct conf *c, const struct conf_node *n, void *at) {
    (void)n;
    struct route_matcher *t = at;
    compile_host(c, t);
    compile_path(c, t);
    compile_grpc(c, t);
    check_methods(c, &t->method);
}

static const struct conf_field match_fields[] = {
    { .name = "host", .type = CONF_REF, .offset = offsetof(struct route_matcher, host),
      .help = "a host name or address, or *.example.com for all names below it (not itself); case, port and a trailing dot are not compared; "
              "left out: any" },
    { .name = "path", .type = CONF_REF, .offset = offsetof(struct route_matcher, path),
      .help = "segments that are literal or {name}, which takes one that is not empty; a final * takes all that follows, also nothing: "
              "/v1/orders/* is /v1/orders and all below it; left out or /*: any" },
    { .name = "grpc", .type = CONF_REF, .offset = offsetof(struct route_matcher, grpc),
      .help = "package.Service/Method, or package.Service/* for all methods, or * for all services, of gRPC, gRPC-Web and Connect alike; "
              "in place of path" },
    { .name = "method", .type = CONF_REFS, .offset = offsetof(struct route_matcher, method),
      .help = "HTTP methods, compared as they are (GET does not stand for HEAD); left out: any but TRACE, which is carried where it is named" },
    { .name = "header", .type = CONF_CUSTOM, .offset = offsetof(struct route_matcher, header), .parse = parse_conditions,
      .print = print_conditions,
      .shape = "{\"type\":\"object\",\"additionalProperties\":{\"anyOf\":[{\"type\":[\"string\",\"number\",\"boolean\"]},{\"type\":\"object\","
               "\"properties\":{\"exact\":{\"type\":\"string\"},\"prefix\":{\"type\":\"string\"},\"at_least\":{\"type\":[\"string\",\"number\"]},"
               "\"present\":{\"type\":\"boolean\"}},\"additionalProperties\":false,\"minProperties\":1,\"maxProperties\":1}]}}",
      .help = "headers by name, each with its value or one of exact, prefix, at_least (a date or dotted number) and present; all must hold, "
              "and of a repeated header the values are joined by commas first" },
    { 0 }
};
const struct conf_table route_match_table = { .name = "match", .size = sizeof(struct route_matcher), .fields = match_fields, .check = check_match,
    .help = "Which requests take the route: all conditions hold. Paths are compared after dot segments and escapes of unreserved characters "
            "are resolved; %2F is no slash, and an empty segment is a segment." };

/* ---- header edits ----------------------------------------------------------------------------------------------------------------- */

static struct header_edits *edits_of(void *at, const struct conf_field *f) { return (struct header_edits *)(void *)((char *)at - f->offset); }

static bool parse_edits(struct conf *c, const struct conf_node *n, struct header_edit **out, size_t *count) {
    if (!check_map(c, n, "names of headers and their values")) return false;
    size_t before = c->errors;
    struct header_edit *v = *out = arena_zalloc(&c->arena, n->n * sizeof *v);
    for (size_t i = 0; i < n->n; i++) {
        struct str name = check_free_name(c, n->keys[i]);
        if (!check_field_value(c, n->items[i]) || !name.n) continue;
        for (size_t k = 0; k < *count; k++)
            if (str_eq(v[k].name, name))
                conf_error(c, n->keys[i]->pos, "names of headers are the same in upper and lower case", "%.*s stands twice", STR_ARG(name));
        v[(*count)++] = (struct header_edit){ name, n->items[i]->text };
    }
    return c->errors == before;
}

static bool parse_set(struct conf *c, const struct conf_node *n, const struct conf_field *f, void *at) {
    struct header_edits *e = edits_of(at, f);
    return parse_edits(c, n, &e->set, &e->nset);
}

static bool parse_add(struct conf *c, const struct conf_node *n, const struct conf_field *f, void *at) {
    struct header_edits *e = edits_of(at, f);
    return parse_edits(c, n, &e->add, &e->nadd);
}

static bool parse_remove(struct conf *c, const struct conf_node *n, const struct conf_field *f, void *at) {
    struct header_edits *e = edits_of(at, f);
    if (!check_list(c, n, "the name of a header")) return false;
    size_t before = c->errors, count = 0;
    while (check_item(n, count)) count++;
    e->remove = arena_alloc(&c->arena, count * sizeof *e->remove);
    for (size_t i = 0; i < count; i++) {
        struct str name = check_free_name(c, check_item(n, i));
        if (name.n) e->remove[e->nremove++] = name;
    }
    return c->errors == before;
}

static void print_edits(struct conf_writer *w, const struct header_edit *v, size_t n) {
    for (size_t i = 0; i < n; i++) {
        fputs(i ? ", " : " { ", w->to);
        conf_write_key(w->to, v[i].name);
        fputc(' ', w->to);
        conf_write_secret(w, v[i].value);
    }
    if (n) fputs(" }\n", w->to);
}

static void print_set(struct conf_writer *w, const struct conf_field *f, const void *at) {
    const struct header_edits *e = (const void *)((const char *)at - f->offset);
    print_edits(w, e->set, e->nset);
}

static void print_add(struct conf_writer *w, const struct conf_field *f, const void *at) {
    const struct header_edits *e = (const void *)((const char *)at - f->offset);
    print_edits(w, e->add, e->nadd);
}

static void print_remove(struct conf_writer *w, const struct conf_field *f, const void *at) {
    const struct header_edits *e = (const void *)((const char *)at - f->offset);
    for (size_t i = 0; i < e->nremove; i++) {
        fputs(i ? ", " : " [ ", w->to);
        conf_write_text(w->to, e->remove[i]);
    }
    if (e->nremove) fputs(" ]\n", w->to);
}

static void check_edits(struct conf *c, const struct conf_node *n, void *at) {
    const struct header_edits *e = at;
    for (size_t i = 0; i < e->nremove; i++) {
        bool is_set = false;
        for (size_t k = 0; k < e->nset; k++) is_set |= str_eq(e->remove[i], e->set[k].name);
        if (is_set)
            conf_error(c, conf_pos_of(n, "remove"), "set replaces what is there, so nothing need be removed", "%.*s is both set and removed",
                       STR_ARG(e->remove[i]));
    }
}

static const char edits_shape[] = "{\"type\":\"object\",\"additionalProperties\":{\"type\":[\"string\",\"number\",\"boolean\"]}}";
static const struct conf_field edits_fields[] = {
    { .name = "remove", .type = CONF_CUSTOM, .offset = offsetof(struct header_edits, remove), .parse = parse_remove, .print = print_remove,
      .shape = "{\"type\":[\"array\",\"string\"],\"items\":{\"type\":\"string\"}}",
      .help = "headers that are taken away, before the others are put in" },
    { .name = "set", .type = CONF_CUSTOM, .offset = offsetof(struct header_edits, set), .parse = parse_set, .print = print_set, .shape = edits_shape,
      .help = "headers by name that replace those of the same name" },
    { .name = "add", .type = CONF_CUSTOM, .offset = offsetof(struct header_edits, add), .parse = parse_add, .print = print_add, .shape = edits_shape,
      .help = "headers by name that stand beside those of the same name" },
    { 0 }
};
static const struct conf_table edits_table = { .name = "header edits", .size = sizeof(struct header_edits), .fields = edits_fields,
    .check = check_edits,
    .help = "Headers taken away, replaced and added. Those of the connection, of the framing and host cannot be touched." };
static const struct conf_field headers_fields[] = {
    { .name = "request", .type = CONF_STRUCT, .offset = offsetof(struct route, headers.request) - offsetof(struct route, headers),
      .table = &edits_table, .help = "on the way to the upstream" },
    { .name = "response", .type = CONF_STRUCT, .offset = offsetof(struct route, headers.answer) - offsetof(struct route, headers),
      .table = &edits_table, .help = "on the way to the client" },
    { 0 }
};
static const struct conf_table headers_table = { .name = "headers", .size = sizeof(((struct route *)0)->headers), .fields = headers_fields,
    .help = "Edits of headers." };

/* ---- weights, rewrite, respond, redirect ----------------------------------------------------------------------------------------- */

static bool parse_weights(struct conf *c, const struct conf_node *n, const struct conf_field *f, void *at) {
    (void)f;
    static const struct conf_field weight = { .name = "weight", .type = CONF_INT, .min = 0, .max = 1000000, .help = "a share" };
    struct conf_map *m = at;
    if (!check_map(c, n, "names of upstreams and their weights")) return false;
    struct route_weight *v = arena_zalloc(&c->arena, n->n * sizeof *v);
    struct conf_ref *names = arena_zalloc(&c->arena, n->n * sizeof *names);
    *m = (struct conf_map){ .v = v, .n = n->n, .size = sizeof *v, .names = names };
    bool good = true;
    int64_t total = 0;
    for (size_t i = 0; i < n->n; i++) {
        names[i] = (struct conf_ref){ n->keys[i]->text, n->keys[i] };
        good &= conf_load_field(c, n->items[i], &weight, &v[i].weight);
        total += v[i].weight;
    }
    if (good && (total == 0 || total > UINT32_MAX)) {
        conf_error(c, n->pos, NULL, "the weights add up to %s", total ? "more than 4294967295" : "0, so that no upstream is ever taken");
        good = false;
    }
    return good;
}

static void print_weights(struct conf_writer *w, const struct conf_field *f, const void *at) {
    const struct conf_map *m = at;
    (void)f;
    for (size_t i = 0; i < m->n; i++) {
        fputs(i ? ", " : " { ", w->to);
        conf_write_key(w->to, m->names[i].name);
        fprintf(w->to, " %lld", (long long)CONF_AT(*m, const struct route_weight, i)->weight);
    }
    if (m->n) fputs(" }\n", w->to);
}

static void check_rewrite(struct conf *c, const struct conf_node *n, void *at) {
    (void)n;
    struct conf_ref *prefix = at;
    if (prefix->at) prefix->name = normal_path(c, prefix->at->pos, prefix->name);
}
static const struct conf_field rewrite_fields[] = {
    { .name = "prefix", .type = CONF_REF, .offset = 0,
      .help = "replaces what the match's path has before its final *, captures included, or the whole path where it has none" },
    { 0 }
};
static const struct conf_table rewrite_table = { .name = "rewrite", .size = sizeof(((struct route *)0)->rewrite), .fields = rewrite_fields,
    .check = check_rewrite, .help = "The path that the upstream gets; the query stays." };

static void check_respond(struct conf *c, const struct conf_node *n, void *at) {
    const struct route_answer *r = at;
    if (r->body.n && (r->status == 204 || r->status == 205 || r->status == 304))
        conf_error(c, conf_pos_of(n, "body"), NULL, "an answer of status %d has no body", (int)r->status);
    if (!is_field_value(r->content_type)) conf_error(c, conf_pos_of(n, "content_type"), NULL, "this cannot be the value of a header field");
}
static const struct conf_field respond_fields[] = {
    { .name = "status", .type = CONF_INT, .offset = offsetof(struct route_answer, status), .def = "200", .min = 200, .max = 599,
      .help = "HTTP status of the answer" },
    { .name = "body", .type = CONF_STRING, .offset = offsetof(struct route_answer, body), .help = "its body, as it stands; left out: none" },
    { .name = "content_type", .type = CONF_STRING, .offset = offsetof(struct route_answer, content_type), .def = "text/plain; charset=utf-8",
      .help = "Content-Type of the body" },
    { 0 }
};
static const struct conf_table respond_table = { .name = "respond", .size = sizeof(struct route_answer), .fields = respond_fields,
    .check = check_respond, .help = "An answer that curfew gives itself." };

static void check_redirect_host(struct conf *c, const struct conf_node *n, struct str host) {
    uint64_t port;
    struct str name = route_host(host), rest = str_from(host, name.n);
    uint8_t address[16];
    bool good = name.n && (name.p[0] == '[' ? route_ipv6(name, address) : is_host_name(name));
    if (rest.n) good = good && rest.p[0] == ':' && str_to_u64(str_from(rest, 1), &port) && port > 0 && port < 65536;
    if (!good) conf_error(c, conf_pos_of(n, "host"), NULL, "%.*s is no host, nor a host and a port", STR_ARG(host));
}

static void check_redirect(struct conf *c, const struct conf_node *n, void *at) {
    struct route_redirect *r = at;
    static const int64_t statuses[] = { 301, 302, 303, 307, 308 };
    bool known = false;
    for (size_t i = 0; i < COUNT(statuses); i++) known |= statuses[i] == r->status;
    if (!known) conf_error(c, conf_pos_of(n, "status"), NULL, "a redirect's status is 301, 302, 303, 307 or 308");
    if (r->scheme.n && !str_eq(r->scheme, STR("http")) && !str_eq(r->scheme, STR("https")))
        conf_error(c, conf_pos_of(n, "scheme"), NULL, "the scheme is http or https");
    if (r->host.n) check_redirect_host(c, n, r->host);
    if (r->prefix.n) r->prefix = normal_path(c, conf_pos_of(n, "prefix"), r->prefix);
    if (r->path.n) r->path = normal_path(c, conf_pos_of(n, "path"), r->path);
    if (r->prefix.n && r->path.n) conf_error(c, conf_pos_of(n, "prefix"), NULL, "a redirect has one of prefix and path");
    if (!r->host.n && !r->scheme.n && !r->prefix.n && !r->path.n && !r->strip_query && n)
        conf_error(c, n->pos, "give host, scheme, prefix or path", "this redirect leads to where it came from");
}
static const struct conf_field redirect_fields[] = {
    { .name = "status", .type = CONF_INT, .offset = offsetof(struct route_redirect, status), .def = "302",
      .help = "301, 302, 303, 307 or 308; 307 and 308 keep the method and the body" },
    { .name = "host", .type = CONF_STRING, .offset = offsetof(struct route_redirect, host),
      .help = "the host to go to, with its port where that is not the scheme's; left out: that of the request" },
    { .name = "scheme", .type = CONF_STRING, .offset = offsetof(struct route_redirect, scheme),
      .help = "http or https; left out: that of the request, and the Location begins with the path where host is left out too" },
    { .name = "prefix", .type = CONF_STRING, .offset = offsetof(struct route_redirect, prefix),
      .help = "replaces what the match's path has before its final *, as in rewrite" },
    { .name = "path", .type = CONF_STRING, .offset = offsetof(struct route_redirect, path), .help = "replaces the whole path" },
    { .name = "strip_query", .type = CONF_BOOL, .offset = offsetof(struct route_redirect, strip_query), .def = "false",
      .help = "whether the query is left out" },
    { 0 }
};
static const struct conf_table redirect_table = { .name = "redirect", .size = sizeof(struct route_redirect), .fields = redirect_fields,
    .check = check_redirect, .help = "A Location that the client is sent to." };

/* ---- the route -------------------------------------------------------------------------------------------------------------------- */

static void check_route(struct conf *c, const struct conf_node *n, void *at) {
    struct route *r = at;
    const struct conf_node *weights = conf_get(n, STR("upstreams")); /* also where they are at fault, which was said */
    int ways = (r->upstream.at != NULL) + (weights && weights->kind != CONF_NULL) + (r->answer != NULL) + (r->redirect != NULL);
    if (ways != 1 && n && !n->bad)
        conf_error(c, n->pos, NULL, ways ? "a route has only one of upstream, upstreams, respond and redirect"
                                         : "the route leads nowhere: it has one of upstream, upstreams, respond and redirect");
    r->upstream_index = SIZE_MAX;
    const struct { const char *key; bool said; } upstreams_own[] = { { "rewrite", r->rewrite.prefix.at }, { "host", r->host != HOST_PRESERVE },
                                                                     { "translate", r->translate != TRANSLATE_NONE } };
    for (size_t i = 0; i < COUNT(upstreams_own) && ways == 1 && (r->answer || r->redirect); i++)
        if (upstreams_own[i].said)
            conf_warn(c, conf_pos_of(n, upstreams_own[i].key), NULL, "%s has no effect: the route asks no upstream", upstreams_own[i].key);
}

static const struct conf_word host_words[] = {
    { "preserve", HOST_PRESERVE, "the host that the client asked for" },
    { "upstream", HOST_UPSTREAM, "the upstream's own name" },
    { 0 }
};
static const struct conf_word translate_words[] = {
    { "none", TRANSLATE_NONE, "the upstream gets what the client speaks" },
    { "grpc", TRANSLATE_GRPC, "gRPC-Web and Connect clients are translated to gRPC; all else passes as it is" },
    { 0 }
};
static const struct conf_field route_fields[] = {
    { .name = "name", .type = CONF_REF, .offset = offsetof(struct route, name),
      .help = "its name in the log and the metrics; left out: routes[3]" },
    { .name = "match", .type = CONF_POINTER, .offset = offsetof(struct route, match), .table = &route_match_table, .required = true,
      .help = "which requests take the route; {}: all" },
    { .name = "upstream", .type = CONF_REF, .offset = offsetof(struct route, upstream), .help = "where they go" },
    { .name = "upstreams", .type = CONF_CUSTOM, .offset = offsetof(struct route, upstreams), .parse = parse_weights,
      .print = print_weights,
      .shape = "{\"type\":\"object\",\"additionalProperties\":{\"type\":\"integer\",\"minimum\":0}}",
      .help = "where they go, by weight: orders: 95, reports: 5" },
    { .name = "respond", .type = CONF_POINTER, .offset = offsetof(struct route, answer), .table = &respond_table,
      .help = "an answer that curfew gives itself" },
    { .name = "redirect", .type = CONF_POINTER, .offset = offsetof(struct route, redirect), .table = &redirect_table,
      .help = "another place that the client is sent to" },
    { .name = "policy", .type = CONF_REF, .offset = offsetof(struct route, policy), .help = "the policy that they are under; left out: default" },
    { .name = "host", .type = CONF_ENUM, .offset = offsetof(struct route, host), .words = host_words, .def = "preserve",
      .help = "the host that the upstream is told" },
    { .name = "translate", .type = CONF_ENUM, .offset = offsetof(struct route, translate), .words = translate_words, .def = "none",
      .help = "the RPC protocol that the upstream is spoken to in; grpc needs upstreams that speak HTTP/2" },
    { .name = "rewrite", .type = CONF_STRUCT, .offset = offsetof(struct route, rewrite), .table = &rewrite_table,
      .help = "the path that the upstream gets; left out: the request's, in its normal form" },
    { .name = "headers", .type = CONF_STRUCT, .offset = offsetof(struct route, headers), .table = &headers_table,
      .help = "headers that are set, added and removed" },
    { 0 }
};
const struct conf_table route_table = { .name = "route", .size = sizeof(struct route), .fields = route_fields, .check = check_route,
    .help = "Where requests go. Routes are asked in order, and the first that matches is taken. Each has exactly one of upstream, upstreams, "
            "respond and redirect." };
