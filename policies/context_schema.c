// SPDX-License-Identifier: Apache-2.0
// Context schemas: loading, laying one under a policy, and what a change of one breaks. Laid under means: on the YAML, before any table sees it, as
// `extends` is, so that a gateway adds what is its own (who is believed) to what all share.
#include "policies/context_schema.h"
#include "policies/check.h"
#include "core/json.h"
#include <errno.h>
#include <inttypes.h>
#include <unistd.h>

#define OF(member) offsetof(struct context_schema, member)
static const struct conf_field schema_fields[] = {
    { .name = "version", .type = CONF_INT, .offset = OF(version), .required = true, .min = 1, .max = 999999999,
      .help = "goes up with each change; x-context-schema says it on the wire" },
    { .name = "prefixes", .type = CONF_REFS, .offset = OF(prefixes), .max = 32, .help = "of names that start so, only the listed ones pass" },
    { .name = "fields", .type = CONF_MAP, .offset = OF(fields), .table = &field_table, .max = 256, .help = "the fields that travel, by name" },
    { 0 }
};
#undef OF
const struct conf_table context_schema_table = { .name = "context schema", .size = sizeof(struct context_schema), .fields = schema_fields,
    .help = "Which context fields there are." };

/* ---- loading ------------------------------------------------------------------------------------------------------------------------------ */
static void load(struct conf *c, const char *path, struct context_schema *s) {
    size_t errors = c->errors;
    const struct conf_node *root = conf_parse_file(c, path);
    if (root) conf_load(c, root, &context_schema_table, s);
    s->path = path;
    s->root = root;
    struct fields_policy p = { .schema_version = s->version ? s->version : INT64_MAX, .prefixes = s->prefixes, .fields = s->fields };
    if (root) fields_resolve(c, &p, NULL);
    s->good = root && c->errors == errors;
}
const struct context_schema *context_schema_load(struct conf *c, const char *path) {
    struct context_schema *s = ARENA_NEW(&c->arena, struct context_schema);
    load(c, path, s);
    return s->good ? s : NULL;
}

/* ---- under a policy --------------------------------------------------------------------------------------------------------------------------- */
static const char *path_of(struct conf *c, const struct conf_node *name) {
    const char *file = name->pos.file, *slash = file ? strrchr(file, '/') : NULL;
    bool bare = name->text.p[0] == '/' || !slash;
    return arena_printf(&c->arena, "%.*s%.*s%c", bare ? 0 : (int)(slash + 1 - file), file, STR_ARG(name->text), 0).p;
}
static const struct context_schema *once(struct conf *c, struct context_schemas *all, const char *path, struct conf_pos at) {
    for (const struct context_schema *s = all->first; s; s = s->next)
        if (strcmp(s->path, path) == 0) return s;
    struct context_schema *s = ARENA_NEW(&c->arena, struct context_schema);
    if (access(path, R_OK) == 0) load(c, path, s);
    else conf_error(c, at, NULL, "the context schema %s cannot be read: %s", path, strerror(errno));
    s->path = path;
    s->next = all->first;
    return all->first = s;
}
/* A map of some of another's keys. */
static struct conf_node *some_of(struct conf *c, const struct conf_node *map, const char *const *keys, size_t n) {
    struct conf_node *part = ARENA_NEW(&c->arena, struct conf_node);
    *part = (struct conf_node){ .kind = CONF_MAPPING, .pos = map->pos };
    part->keys = arena_alloc(&c->arena, n * sizeof *part->keys);
    part->items = arena_alloc(&c->arena, n * sizeof *part->items);
    for (size_t i = 0; i < map->n; i++)
        for (size_t k = 0; k < n; k++) {
            if (!str_eq(map->keys[i]->text, str_of(keys[k]))) continue;
            part->keys[part->n] = map->keys[i];
            part->items[part->n++] = map->items[i];
        }
    return part;
}
const struct conf_node *context_schema_under(struct conf *c, struct context_schemas *all, const struct conf_node *n, int64_t *version) {
    static const char *const shared[] = { "prefixes", "fields" };
    const struct conf_node *context = n ? conf_get(n, STR("context")) : NULL, *name = context ? conf_get(context, STR("schema")) : NULL;
    *version = 0;
    if (!name || name->kind != CONF_SCALAR || name->bad || !name->text.n) return n; /* the table says what is wrong */
    const struct context_schema *s = once(c, all, path_of(c, name), name->pos);
    *version = s->version;
    if (!s->good) return n;
    struct conf_node *under = ARENA_NEW(&c->arena, struct conf_node), **pair = arena_alloc(&c->arena, 2 * sizeof *pair);
    static struct conf_node key = { .kind = CONF_SCALAR, .text = STR_INIT("context") };
    pair[0] = &key;
    pair[1] = some_of(c, s->root, shared, 2);
    *under = (struct conf_node){ .kind = CONF_MAPPING, .pos = n->pos, .keys = &pair[0], .items = &pair[1], .n = 1 };
    return conf_merge(c, under, n);
}

/* ---- what a change breaks ------------------------------------------------------------------------------------------------------------------------ */
struct comparison { struct conf *c; const struct context_schema *was, *now; struct schema_changes *out; };
struct pair { struct comparison *k; struct str name; const struct context_field *was, *now; const struct conf_node *was_at, *now_at; };

static const struct conf_node *row_node(const struct context_schema *s, size_t i) {
    const struct conf_node *fields = conf_get(s->root, STR("fields"));
    return fields->items[i]->kind == CONF_MAPPING ? fields->items[i] : fields->keys[i];
}
static void add(struct comparison *k, struct schema_change change) {
    struct schema_changes *all = k->out;
    if (all->n == all->cap) {
        all->cap = all->cap ? 2 * all->cap : 16;
        struct schema_change *v = arena_alloc(&k->c->arena, all->cap * sizeof *v);
        if (all->n) memcpy(v, all->v, all->n * sizeof *v);
        all->v = v;
    }
    all->v[all->n++] = change;
    all->breaking += change.breaking;
}
#define TEXT(k, ...) arena_printf(&(k)->c->arena, __VA_ARGS__).p /* each format ends by %c, 0 */
static void differs(struct pair *p, bool breaking, const char *what, const char *text) {
    add(p->k, (struct schema_change){ .breaking = breaking, .field = p->name, .what = what, .text = text, .at = conf_pos_of(p->now_at, what),
                                      .was = conf_pos_of(p->was_at, what) });
}

static void compare_type(struct pair *p) {
    const struct context_field *a = p->was, *b = p->now;
    if (a->type == b->type) return;
    differs(p, true, "type", TEXT(p->k, "type is %s, was %s%c", field_type_name(b->type), field_type_name(a->type), 0));
}
static void compare_pattern(struct pair *p) {
    struct str a = p->was->pattern.name, b = p->now->pattern.name;
    if (str_eq(a, b)) return;
    if (!b.n) differs(p, false, "pattern", TEXT(p->k, "there is no pattern any more, it was %.*s%c", STR_ARG(a), 0));
    else if (!a.n) differs(p, true, "pattern", TEXT(p->k, "pattern is %.*s, there was none%c", STR_ARG(b), 0));
    else differs(p, true, "pattern", TEXT(p->k, "pattern is %.*s, was %.*s%c", STR_ARG(b), STR_ARG(a), 0));
}
static void compare_max(struct pair *p) {
    uint64_t a = p->was->max, b = p->now->max;
    if (a != b) differs(p, b < a, "max", TEXT(p->k, "max is %" PRIu64 ", was %" PRIu64 "%c", b, a, 0));
}
static const char *required_word(uint8_t r) { return r == REQUIRE_REJECT ? "reject" : r == REQUIRE_WARN ? "warn" : "none"; }
static void compare_duty(struct pair *p) {
    const struct context_field *a = p->was, *b = p->now;
    if (a->required != b->required) {
        bool breaking = b->required == REQUIRE_REJECT;
        differs(p, breaking, "required", TEXT(p->k, "required is %s, was %s%c", required_word(b->required), required_word(a->required), 0));
    }
    if (a->malformed != b->malformed) {
        bool breaking = b->malformed == FIELD_REJECT;
        differs(p, breaking, "malformed", breaking ? "a malformed value is rejected now, it was dropped" : "a malformed value is dropped now, it was rejected");
    }
    if (a->optional != b->optional) differs(p, false, "optional", b->optional ? "it may be dropped under load now" : "it is not dropped under load any more");
    /* Whoever says a version between the two need not have had it. */
    bool sooner = b->since < a->since && b->required == REQUIRE_REJECT;
    if (a->since != b->since) differs(p, sooner, "since", TEXT(p->k, "since is %" PRId64 ", was %" PRId64 "%c", b->since, a->since, 0));
}
static void compare_names(struct pair *p) {
    for (size_t f = 0; deadline_family_name(f); f++) {
        struct str a = p->was->wire[f], b = p->now->wire[f];
        if (str_eq(a, b)) continue;
        differs(p, true, "names", TEXT(p->k, "over %s it is called %.*s, was %.*s%c", deadline_family_name(f), STR_ARG(b), STR_ARG(a), 0));
    }
}
static bool is_wider(const struct conf_refs *a, const struct conf_refs *b) { /* who is believed by a is believed by b */
    if (!a->given) return !b->given;
    for (size_t i = 0; i < a->n; i++)
        if (!fields_believes(b, a->v[i].name)) return false;
    return true;
}
static void compare_from(struct pair *p) {
    const struct conf_refs *a = &p->was->from, *b = &p->now->from;
    if (!is_wider(a, b)) differs(p, true, "from", "it is not believed any more on a listener where it was");
    else if (!is_wider(b, a)) differs(p, false, "from", "it is believed on more listeners");
}
static void compare_rows(struct pair *p) {
    compare_type(p);
    compare_pattern(p);
    compare_max(p);
    compare_duty(p);
    compare_names(p);
    compare_from(p);
}

static size_t index_of(const struct context_schema *s, struct str name) {
    size_t i = 0;
    while (i < s->fields.n && !str_eq(s->fields.names[i].name, name)) i++;
    return i;
}
static void compare_fields(struct comparison *k) {
    for (size_t i = 0; i < k->was->fields.n; i++) {
        struct str name = k->was->fields.names[i].name;
        size_t j = index_of(k->now, name);
        struct pair p = { .k = k, .name = name, .was = CONF_AT(k->was->fields, const struct context_field, i), .was_at = row_node(k->was, i) };
        if (j == k->now->fields.n) {
            add(k, (struct schema_change){ .breaking = true, .field = name, .what = "fields", .text = "it is gone", .was = k->was->fields.names[i].at->pos });
            continue;
        }
        p.now = CONF_AT(k->now->fields, const struct context_field, j);
        p.now_at = row_node(k->now, j);
        compare_rows(&p);
    }
    for (size_t j = 0; j < k->now->fields.n; j++) {
        const struct conf_ref *name = &k->now->fields.names[j];
        bool required = CONF_AT(k->now->fields, const struct context_field, j)->required == REQUIRE_REJECT;
        if (index_of(k->was, name->name) < k->was->fields.n) continue;
        add(k, (struct schema_change){ .breaking = required, .field = name->name, .what = "fields", .text = required ? "it is new, and required" : "it is new",
                                       .at = name->at->pos });
    }
}
static bool has_prefix(const struct context_schema *s, struct str prefix) {
    for (size_t i = 0; i < s->prefixes.n; i++)
        if (str_starts(prefix, s->prefixes.v[i].name)) return true;
    return false;
}
static void compare_prefixes(struct comparison *k) {
    for (size_t i = 0; i < k->now->prefixes.n; i++) {
        const struct conf_ref *r = &k->now->prefixes.v[i];
        if (has_prefix(k->was, r->name)) continue;
        add(k, (struct schema_change){ .breaking = true, .field = r->name, .what = "prefixes", .at = r->at->pos,
                                       .text = "the prefix is new: names under it that are not listed are dropped now" });
    }
    for (size_t i = 0; i < k->was->prefixes.n; i++) {
        const struct conf_ref *r = &k->was->prefixes.v[i];
        if (has_prefix(k->now, r->name)) continue;
        add(k, (struct schema_change){ .field = r->name, .what = "prefixes", .text = "the prefix is gone: names under it pass now", .was = r->at->pos });
    }
}
void context_schema_compare(struct conf *c, const struct context_schema *was, const struct context_schema *now, struct schema_changes *out) {
    struct comparison k = { c, was, now, out };
    *out = (struct schema_changes){ 0 };
    compare_fields(&k);
    compare_prefixes(&k);
    if (now->version > was->version || (now->version == was->version && out->n == 0)) return;
    const char *text = TEXT(&k, "the version is %" PRId64 ", was %" PRId64 ": what changes needs a higher one%c", now->version, was->version, 0);
    add(&k, (struct schema_change){ .breaking = true, .what = "version", .text = text, .at = conf_pos_of(now->root, "version"),
                                    .was = conf_pos_of(was->root, "version") });
}

/* ---- printing ------------------------------------------------------------------------------------------------------------------------------------ */
static void print_pos(FILE *to, struct conf_pos at) { fprintf(to, "%s:%u:%u", at.file, at.line, at.col); }

static void print_line(FILE *to, const struct schema_change *g) {
    print_pos(to, g->at.file ? g->at : g->was);
    fprintf(to, ": %s: %.*s%s%s", g->breaking ? "breaking" : "note", STR_ARG(g->field), g->field.n ? ": " : "", g->text);
    if (g->at.file && g->was.file) fputs(" (", to), print_pos(to, g->was), fputc(')', to);
    fputc('\n', to);
}
static void say_pos(struct json *j, const char *name, struct conf_pos at) {
    if (!at.file) return;
    json_open(j, name, '{');
    json_str(j, "file", str_of(at.file));
    json_raw(j, "line", "%u", at.line);
    json_raw(j, "column", "%u", at.col);
    json_close(j, '}');
}
static void print_json(FILE *to, const struct context_schema *was, const struct context_schema *now, const struct schema_changes *all) {
    struct json j = { .to = to };
    json_open(&j, NULL, '{');
    json_raw(&j, "old_version", "%" PRId64, was->version);
    json_raw(&j, "new_version", "%" PRId64, now->version);
    json_bool(&j, "breaking", all->breaking);
    json_open(&j, "changes", '[');
    for (size_t i = 0; i < all->n; i++) {
        const struct schema_change *g = &all->v[i];
        json_open(&j, NULL, '{');
        json_bool(&j, "breaking", g->breaking);
        json_some(&j, "field", g->field);
        json_str(&j, "what", str_of(g->what));
        json_str(&j, "text", str_of(g->text));
        say_pos(&j, "at", g->at);
        say_pos(&j, "was", g->was);
        json_close(&j, '}');
    }
    json_close(&j, ']');
    json_close(&j, '}');
    fputc('\n', to);
}
void context_schema_print(FILE *to, const struct context_schema *was, const struct context_schema *now, const struct schema_changes *all, bool json) {
    if (json) {
        print_json(to, was, now, all);
        return;
    }
    for (size_t i = 0; i < all->n; i++) print_line(to, &all->v[i]);
    fprintf(to, "%s: version %" PRId64 " breaks %s of version %" PRId64 "\n", now->path, now->version, all->breaking ? "users" : "nothing", was->version);
}
