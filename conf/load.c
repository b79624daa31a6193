// SPDX-License-Identifier: Apache-2.0
// Fills structs from maps by their tables. One reader a type; every fault is reported where it stands and loading goes on, with the row's
// default in place of what could not be read, so that the checks that follow do not report the same fault again in other words.
#include "conf/inside.h"
#include <assert.h>
#include <inttypes.h>

typedef bool (*reader)(struct conf *c, const struct conf_node *n, const struct conf_field *f, void *at);
static void load_table(struct conf *c, const struct conf_node *n, struct conf_pos near, const struct conf_table *table, void *at);

const struct conf_field *conf_next_row(struct conf_rows *rows) {
    if (!rows->in_more) {
        const struct conf_field *f = rows->table->fields ? &rows->table->fields[rows->i++] : NULL;
        if (f && f->name) return f;
        *rows = (struct conf_rows){ rows->table, 0, true };
    }
    return rows->table->more ? rows->table->more(rows->i++) : NULL;
}

/* ---- faults of values ------------------------------------------------------------------------------------------------------------ */

static const char *got(struct conf *c, const struct conf_node *n) {
    if (n->kind == CONF_LIST) return "a list";
    if (n->kind == CONF_MAPPING) return "a map";
    if (n->kind == CONF_NULL) return "nothing";
    return n->quoted ? conf_format(c, "the text %s", conf_show(c, n->text)) : conf_show(c, n->text);
}

/* "max: ", for rows that have a name; rows made up by a custom parser may not. */
static const char *prefix(struct conf *c, const struct conf_field *f) { return f->name && *f->name ? conf_format(c, "%s: ", f->name) : ""; }

static const char *words_of(struct conf *c, const struct conf_word *w, const char *none) {
    const char *all = none ? none : "";
    for (; w && w->word; w++) all = conf_format(c, "%s%s%s", all, *all ? ", " : "", w->word);
    return all;
}

static bool wrong_kind(struct conf *c, const struct conf_node *n, const struct conf_field *f, const char *hint) {
    const char *what = conf_type_expected(f->type);
    if (f->type == CONF_ENUM) what = conf_format(c, "one of %s", words_of(c, f->words, NULL));
    conf_error(c, n->pos, hint, "%sexpected %s%s%s, got %s", prefix(c, f), what, f->none ? ", or " : "", f->none ? f->none : "", got(c, n));
    return false;
}

static bool malformed(struct conf *c, const struct conf_node *n, const struct conf_field *f, const char *what) {
    const char *meant = conf_meant(c, f->type, n->text), *shown = conf_show(c, n->text);
    if (meant) conf_error(c, n->pos, NULL, "%s%s is not %s (try %s)", prefix(c, f), shown, what, meant);
    else if (f->none) conf_error(c, n->pos, NULL, "%s%s is neither %s nor %s", prefix(c, f), shown, what, f->none);
    else conf_error(c, n->pos, NULL, "%s%s is not %s", prefix(c, f), shown, what);
    return false;
}

static bool in_range(struct conf *c, const struct conf_node *n, const struct conf_field *f, const char *shown, bool below, bool above) {
    if (!(below && conf_has_min(f)) && !(above && conf_has_max(f))) return true;
    const char *or_none = f->none ? conf_format(c, ", or %s", f->none) : "";
    conf_error(c, n->pos, NULL, "%s%s is out of range: %s%s", prefix(c, f), shown, conf_show_range(c, f), or_none);
    return false;
}

static bool signed_in_range(struct conf *c, const struct conf_node *n, const struct conf_field *f, int64_t v) {
    return in_range(c, n, f, conf_show(c, n->text), v < f->min, v > f->max);
}

static bool count_in_range(struct conf *c, const struct conf_node *n, const struct conf_field *f, size_t count) {
    const char *shown = conf_format(c, "%zu entr%s", count, count == 1 ? "y" : "ies");
    return in_range(c, n, f, shown, (int64_t)count < f->min, (int64_t)count > f->max);
}

static bool is_none(const struct conf_node *n, const struct conf_field *f) { return f->none && str_eq(n->text, str_of(f->none)); }

/* ---- scalars ------------------------------------------------------------------------------------------------------------------------- */

static bool read_bool(struct conf *c, const struct conf_node *n, const struct conf_field *f, void *at) {
    bool yes = str_eq(n->text, STR("true"));
    if (n->quoted) return wrong_kind(c, n, f, "write it without quotes");
    if (!yes && !str_eq(n->text, STR("false"))) return malformed(c, n, f, "true or false");
    *(bool *)at = yes;
    return true;
}

static bool read_int(struct conf *c, const struct conf_node *n, const struct conf_field *f, void *at) {
    int64_t v = INT64_MAX;
    bool none = is_none(n, f);
    if (!none && n->quoted) return wrong_kind(c, n, f, "write it without quotes");
    if (!none && !conf_parse_int(n->text, &v)) return malformed(c, n, f, "a whole number");
    if (!none && !signed_in_range(c, n, f, v)) return false;
    *(int64_t *)at = v;
    return true;
}

static bool read_duration(struct conf *c, const struct conf_node *n, const struct conf_field *f, void *at) {
    span v = SPAN_FOREVER;
    bool none = is_none(n, f);
    if (!none && !conf_parse_duration(n->text, &v)) return malformed(c, n, f, "a duration");
    if (!none && !signed_in_range(c, n, f, v.ns)) return false;
    *(span *)at = v;
    return true;
}

static bool read_size(struct conf *c, const struct conf_node *n, const struct conf_field *f, void *at) {
    uint64_t v = UINT64_MAX;
    bool none = is_none(n, f);
    if (!none && !conf_parse_size(n->text, &v)) return malformed(c, n, f, "a size");
    if (!none && !signed_in_range(c, n, f, v > INT64_MAX ? INT64_MAX : (int64_t)v)) return false;
    *(uint64_t *)at = v;
    return true;
}

static bool read_rate(struct conf *c, const struct conf_node *n, const struct conf_field *f, void *at) {
    return conf_parse_rate(n->text, at) || malformed(c, n, f, "a rate");
}

static bool read_percent(struct conf *c, const struct conf_node *n, const struct conf_field *f, void *at) {
    uint32_t v;
    if (!conf_parse_percent(n->text, &v)) return malformed(c, n, f, "a percentage");
    if (!signed_in_range(c, n, f, v)) return false;
    *(uint32_t *)at = v;
    return true;
}

static bool read_string(struct conf *c, const struct conf_node *n, const struct conf_field *f, void *at) {
    (void)c, (void)f;
    *(struct str *)at = n->text;
    return true;
}

static bool read_ref(struct conf *c, const struct conf_node *n, const struct conf_field *f, void *at) {
    (void)c, (void)f;
    *(struct conf_ref *)at = (struct conf_ref){ n->text, n };
    return true;
}

static const char *next_word(void *state, size_t i) {
    const struct conf_word *w = state;
    return w[i].word; /* ended by NULL, and conf_nearest asks in order */
}

static bool read_enum(struct conf *c, const struct conf_node *n, const struct conf_field *f, void *at) {
    for (const struct conf_word *w = f->words; w->word; w++) {
        if (!str_eq(n->text, str_of(w->word))) continue;
        *(uint8_t *)at = w->value;
        return true;
    }
    const char *near = conf_nearest(n->text, next_word, (void *)f->words);
    const char *hint = near ? conf_format(c, "did you mean \"%s\"?", near) : NULL, *words = words_of(c, f->words, NULL);
    conf_error(c, n->pos, hint, "%s%s is none of %s", prefix(c, f), conf_show(c, n->text), words);
    return false;
}

/* ---- lists and maps ---------------------------------------------------------------------------------------------------------------- */

static bool read_refs(struct conf *c, const struct conf_node *n, const struct conf_field *f, void *at) {
    bool single = n->kind == CONF_SCALAR, ok = true;
    if (!single && n->kind != CONF_LIST) return wrong_kind(c, n, f, NULL);
    struct conf_refs *refs = at;
    size_t count = single ? 1 : n->n;
    *refs = (struct conf_refs){ .v = arena_zalloc(&c->arena, count * sizeof *refs->v), .given = true };
    for (size_t i = 0; i < count; i++) {
        const struct conf_node *item = single ? n : n->items[i];
        if (item->kind == CONF_SCALAR && !item->bad) refs->v[refs->n++] = (struct conf_ref){ item->text, item };
        else if (!item->bad) ok = wrong_kind(c, item, &(struct conf_field){ .name = f->name, .type = CONF_REF }, NULL);
    }
    return count_in_range(c, n, f, count) && ok;
}

static bool read_struct(struct conf *c, const struct conf_node *n, const struct conf_field *f, void *at) {
    bool is_map = n->kind == CONF_MAPPING;
    if (!is_map && !n->bad) wrong_kind(c, n, f, NULL);
    load_table(c, n, n->pos, f->table, at);
    return is_map;
}

static bool read_pointer(struct conf *c, const struct conf_node *n, const struct conf_field *f, void *at) {
    void *p = arena_zalloc(&c->arena, f->table->size);
    *(void **)at = p;
    return read_struct(c, n, f, p);
}

static void *slot(void *v, size_t i, size_t size) { return (char *)v + i * size; }

static bool read_structs(struct conf *c, const struct conf_node *n, const struct conf_field *f, void *at) {
    if (n->kind != CONF_LIST) return wrong_kind(c, n, f, n->kind == CONF_MAPPING ? "start each map of the list with a dash" : NULL);
    size_t size = f->table->size;
    struct conf_array a = { arena_zalloc(&c->arena, n->n * size), n->n, size };
    bool ok = count_in_range(c, n, f, n->n);
    for (size_t i = 0; i < n->n; i++) {
        const struct conf_field item = { .name = f->name, .type = CONF_STRUCT, .table = f->table };
        ok = read_struct(c, n->items[i], &item, slot(a.v, i, size)) && ok;
    }
    *(struct conf_array *)at = a;
    return ok;
}

/* `name:` with nothing behind it is a thing with all its defaults. */
static bool read_map(struct conf *c, const struct conf_node *n, const struct conf_field *f, void *at) {
    if (n->kind != CONF_MAPPING) return wrong_kind(c, n, f, NULL);
    size_t size = f->table->size;
    struct conf_map m = { arena_zalloc(&c->arena, n->n * size), n->n, size, arena_zalloc(&c->arena, n->n * sizeof *m.names) };
    bool ok = count_in_range(c, n, f, n->n);
    for (size_t i = 0; i < n->n; i++) {
        const struct conf_node *item = n->items[i];
        const struct conf_field row = { .name = conf_format(c, "%.*s", STR_ARG(n->keys[i]->text)), .type = CONF_STRUCT, .table = f->table };
        m.names[i] = (struct conf_ref){ n->keys[i]->text, n->keys[i] };
        if (item->kind == CONF_NULL && !item->bad) load_table(c, NULL, n->keys[i]->pos, f->table, slot(m.v, i, size));
        else ok = read_struct(c, item, &row, slot(m.v, i, size)) && ok;
    }
    *(struct conf_map *)at = m;
    return ok;
}

static bool read_custom(struct conf *c, const struct conf_node *n, const struct conf_field *f, void *at) { return f->parse(c, n, f, at); }

/* ---- rows ------------------------------------------------------------------------------------------------------------------------------- */

static const struct { reader read; bool scalar; } readers[] = {
    [CONF_BOOL] = { read_bool, true },
    [CONF_INT] = { read_int, true },
    [CONF_DURATION] = { read_duration, true },
    [CONF_SIZE] = { read_size, true },
    [CONF_RATE] = { read_rate, true },
    [CONF_PERCENT] = { read_percent, true },
    [CONF_STRING] = { read_string, true },
    [CONF_REF] = { read_ref, true },
    [CONF_REFS] = { read_refs, false },
    [CONF_ENUM] = { read_enum, true },
    [CONF_STRUCT] = { read_struct, false },
    [CONF_POINTER] = { read_pointer, false },
    [CONF_STRUCTS] = { read_structs, false },
    [CONF_MAP] = { read_map, false },
    [CONF_CUSTOM] = { read_custom, false },
};
static_assert(sizeof readers / sizeof readers[0] == CONF_CUSTOM + 1, "a reader a type");

bool conf_load_field(struct conf *c, const struct conf_node *n, const struct conf_field *f, void *at) {
    if (n->bad) return false;
    if (readers[f->type].scalar && n->kind != CONF_SCALAR) return wrong_kind(c, n, f, NULL);
    size_t before = c->errors;
    bool ok = readers[f->type].read(c, n, f, at);
    return ok && c->errors == before;
}

static void set_empty(const struct conf_field *f, void *at) {
    if (f->type == CONF_STRUCTS) ((struct conf_array *)at)->size = f->table->size;
    if (f->type == CONF_MAP) ((struct conf_map *)at)->size = f->table->size;
}

static void set_default(struct conf *c, const struct conf_field *f, struct conf_pos near, void *at) {
    set_empty(f, at);
    if (!f->def) {
        if (f->type == CONF_STRUCT) load_table(c, NULL, near, f->table, at);
        return;
    }
    size_t before = c->errors;
    const struct conf_node *n = conf_parse_builtin(c, f->def);
    if (n) conf_load_field(c, n, f, at);
    if (c->errors != before) conf_report(c, stderr);
    assert(c->errors == before && "a default that its own row refuses");
    if (f->type == CONF_REFS) ((struct conf_refs *)at)->given = false;
}

static void report_missing(struct conf *c, struct conf_pos at, const struct conf_table *table, const struct conf_field *f) {
    const char *hint = f->help ? conf_format(c, "%s: %s", f->name, f->help) : NULL;
    conf_error(c, at, hint, "%s needs the key \"%s\"", table->name, f->name);
}

/* silent: the map was found at fault before, so that what it lacks is no news. */
static void load_row(struct conf *c, const struct conf_node *map, bool silent, struct conf_pos near, const struct conf_table *table,
                     const struct conf_field *f, void *at) {
    const struct conf_node *n = conf_get(map, str_of(f->name));
    if (n && n->kind != CONF_NULL && !n->bad) {
        set_empty(f, at);
        /* a reader that failed on a scalar wrote nothing */
        if (!conf_load_field(c, n, f, at) && readers[f->type].scalar && !f->required) set_default(c, f, near, at);
        return;
    }
    if (!f->required) set_default(c, f, near, at);
    else if (!silent && !(n && n->bad)) report_missing(c, n ? n->pos : near, table, f);
}

/* ---- keys ------------------------------------------------------------------------------------------------------------------------------- */

static const char *next_name(void *state, size_t i) {
    struct conf_rows *rows = state;
    (void)i; /* asked in order */
    const struct conf_field *f = conf_next_row(rows);
    return f ? f->name : NULL;
}

static const char *known_keys(struct conf *c, const struct conf_table *table) {
    struct conf_rows rows = { .table = table };
    const char *all = "";
    for (const struct conf_field *f; (f = conf_next_row(&rows));) all = conf_format(c, "%s%s%s", all, *all ? ", " : "", f->name);
    if (!*all || strlen(all) > CONF_KEYS_SHOWN_MAX) return NULL;
    return conf_format(c, "its keys are %s", all);
}

static bool is_known(const struct conf_table *table, struct str key) {
    struct conf_rows rows = { .table = table };
    for (const struct conf_field *f; (f = conf_next_row(&rows));)
        if (str_eq(str_of(f->name), key)) return true;
    return false;
}

static void report_unknown(struct conf *c, const struct conf_node *map, const struct conf_table *table) {
    for (size_t i = 0; i < map->n; i++) {
        const struct conf_node *key = map->keys[i];
        if (key->bad || is_known(table, key->text)) continue;
        const char *near = conf_is_full(c) ? NULL : conf_nearest(key->text, next_name, &(struct conf_rows){ .table = table });
        const char *hint = near ? conf_format(c, "did you mean \"%s\"?", near) : conf_is_full(c) ? NULL : known_keys(c, table);
        conf_error(c, key->pos, hint, "unknown key %s in %s", conf_show(c, key->text), table->name);
    }
}

/* n NULL: nothing was written, all defaults. n bad or no map: reported already, all defaults, and no word about missing keys. */
static void load_table(struct conf *c, const struct conf_node *n, struct conf_pos near, const struct conf_table *table, void *at) {
    memset(at, 0, table->size);
    struct conf_rows rows = { .table = table };
    bool silent = n && (n->bad || n->kind != CONF_MAPPING);
    const struct conf_node *map = silent ? NULL : n;
    for (const struct conf_field *f; (f = conf_next_row(&rows));) load_row(c, map, silent, near, table, f, (char *)at + f->offset);
    if (map) report_unknown(c, map, table);
    if (table->check) table->check(c, map, at);
}

bool conf_load(struct conf *c, const struct conf_node *n, const struct conf_table *table, void *at) {
    size_t before = c->errors;
    if (n && n->kind == CONF_NULL && !n->bad) {
        load_table(c, NULL, n->pos, table, at);
        return c->errors == before;
    }
    if (n && !n->bad && n->kind != CONF_MAPPING) conf_error(c, n->pos, NULL, "%s: expected a map, got %s", table->name, got(c, n));
    load_table(c, n, n ? n->pos : (struct conf_pos){ 0 }, table, at);
    return c->errors == before;
}
