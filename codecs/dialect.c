// SPDX-License-Identifier: Apache-2.0
// The set of dialects, and all values of one in a request's head: fields, query parameters, members of Prefer. Grammars of single values are
// dialect_parse.c's, writing is dialect_format.c's. Heads without a dialect must cost no more than a bit-test a field.
#include "codecs/dialect_inside.h"
#include <assert.h>

/* ---- the set ------------------------------------------------------------------------------------------------------------------------- */
static const struct dialect builtin[] = {
#define DIALECT(name_, place_, kind_, unit_, zero_, malformed_, duplicates_, help_, ...)                                                     \
    { .name = STR_INIT(name_), .place = DIALECT_##place_, .kind = DIALECT_##kind_, .unit = UNIT_##unit_, .zero = ZERO_##zero_,                \
      .malformed = MALFORMED_##malformed_, .duplicates = DUPLICATES_##duplicates_, .help = help_, __VA_ARGS__ },
#include "codecs/dialects.def"
#undef DIALECT
};
static_assert(sizeof builtin / sizeof builtin[0] < DIALECTS_MAX, "the built-in rows fit, and leave room for YAML's");
static_assert(DIALECT_SLOTS >= 4 * DIALECTS_MAX, "half of the slots stay free with a companion a row, so that every probe ends");

static void slot_put(struct dialect_set *set, uint32_t hash, uint8_t index) {
    size_t at = hash % DIALECT_SLOTS;
    while (set->slot[at]) at = (at + 1) % DIALECT_SLOTS;
    set->slot[at] = index;
    set->filter |= UINT64_C(1) << (hash & 63u);
}

static void set_index(struct dialect_set *set) {
    set->filter = 0;
    memset(set->slot, 0, sizeof set->slot);
    for (size_t i = 1; i <= set->n; i++) {
        struct dialect *d = &set->row[i];
        d->index = (uint8_t)i;
        d->hash = name_hash(d->name);
        if (d->place == DIALECT_HEADER) slot_put(set, d->hash, d->index);
        if (d->companion.n) slot_put(set, name_hash(d->companion), d->index);
    }
}

/* RFC 3986 2.3: unreserved, so that a parameter's name is written as it is read. */
static bool is_query_name(struct str s) {
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];
        bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
        if (!letter && (c == '\0' || !strchr("-._~", c))) return false;
    }
    return s.n > 0;
}

static const char *name_fault(const struct dialect *d) {
    if (d->place == DIALECT_QUERY) return is_query_name(d->name) ? NULL : "the name is not one of a query parameter";
    if (!is_lower_token(d->name)) return "the name is not a token in lower case";
    if (d->place == DIALECT_HEADER && token_of(d->name, name_hash(d->name)) != TOKEN_NONE) return "this header has a meaning of its own";
    return NULL;
}

static bool is_date(const struct dialect *d) { return d->unit == UNIT_HTTP_DATE || d->unit == UNIT_RFC3339; }

static const char *kind_fault(const struct dialect *d) {
    bool plain = dialect_unit_ns(d->unit) != 0;
    if (d->kind == DIALECT_RELATIVE && is_date(d)) return "a date is an instant: kind must be epoch";
    if (d->kind != DIALECT_RELATIVE && !plain && !is_date(d)) return "this unit is a length of time: kind must be relative";
    if (d->kind == DIALECT_PAIR && is_date(d) && d->companion.n == 0) return "a pair of dates needs a companion";
    if (d->place == DIALECT_PREFER && d->kind != DIALECT_RELATIVE) return "a preference is relative";
    if (d->companion.n && (d->kind != DIALECT_PAIR || d->place != DIALECT_HEADER)) return "only a header that is a pair has a companion";
    if (d->companion.n && (!is_lower_token(d->companion) || str_eq(d->companion, d->name))) return "the companion is not another header's name";
    if (d->companion.n && token_of(d->companion, name_hash(d->companion)) != TOKEN_NONE) return "the companion has a meaning of its own";
    if (d->advice && d->per_try) return "advice cannot bound a try";
    return NULL;
}

static const char *suffix_fault(const struct dialect *d) {
    struct str rest = dialect_suffix_list(d), one;
    size_t known = 0;
    if (d->unit != UNIT_SUFFIXED) return NULL;
    while (str_split(&rest, ' ', &one)) {
        bool found = one.n == 0;
        for (size_t i = 0; i < sizeof dialect_suffixes / sizeof dialect_suffixes[0] && one.n; i++)
            if (str_eq(one, dialect_suffixes[i].text)) found = true, known++;
        if (!found) return "a suffix is one of ns us ms s m h d";
    }
    if (known == 0) return "no suffix is named";
    return dialect_unit_ns(d->bare) ? NULL : "a bare number is in ns, us, ms or s";
}

/* The row that a new one replaces: by key, or by what it reads, since one value cannot mean two things. */
static size_t replaced(const struct dialect_set *set, const struct dialect *row, struct str key) {
    for (size_t i = 1; i <= set->n; i++)
        if (str_eq(set->row[i].key, key)) return i;
    for (size_t i = 1; i <= set->n; i++)
        if (set->row[i].place == row->place && str_eq(set->row[i].name, row->name)) return i;
    return 0;
}

static bool name_is_taken(const struct dialect_set *set, const struct dialect *row, size_t but) {
    for (size_t i = 1; i <= set->n; i++) {
        const struct dialect *d = &set->row[i];
        if (i == but) continue;
        if (d->place == row->place && str_eq(d->name, row->name)) return true;
        if (row->place == DIALECT_HEADER && d->companion.n && str_eq(d->companion, row->name)) return true;
        if (row->companion.n && d->place == DIALECT_HEADER && str_eq(d->name, row->companion)) return true;
        if (row->companion.n && str_eq(d->companion, row->companion)) return true;
    }
    return false;
}

const char *dialect_set_add(struct dialect_set *set, const struct dialect *row) {
    struct str key = row->key.n ? row->key : row->name;
    const char *fault = name_fault(row);
    if (!fault) fault = kind_fault(row);
    if (!fault) fault = suffix_fault(row);
    if (fault) return fault;
    size_t at = replaced(set, row, key);
    if (name_is_taken(set, row, at)) return "another dialect has this name";
    if (at == 0 && set->n + 1 >= DIALECTS_MAX) return "too many dialects";
    struct str was = set->row[at].was; /* row[0] is empty */
    if (at && !str_eq(set->row[at].key, key)) was = set->row[at].key;
    if (at == 0) at = ++set->n;
    set->row[at] = *row;
    set->row[at].key = key;
    set->row[at].was = was;
    set_index(set);
    return NULL;
}

void dialect_set_builtin(struct dialect_set *set) {
    memset(set, 0, sizeof *set);
    for (size_t i = 0; i < sizeof builtin / sizeof builtin[0]; i++) {
        const char *fault = dialect_set_add(set, &builtin[i]);
        assert(!fault && set->n == i + 1);
        (void)fault;
    }
}

const struct dialect *dialect_by_key(const struct dialect_set *set, struct str key) {
    for (size_t i = 1; i <= set->n; i++)
        if (str_eq(set->row[i].key, key)) return &set->row[i];
    for (size_t i = 1; i <= set->n && key.n; i++)
        if (str_eq(set->row[i].was, key)) return &set->row[i];
    return NULL;
}

const struct dialect *dialect_of_field_slow(const struct dialect_set *set, const struct field *f) {
    if (field_is_removed(f)) return NULL;
    for (size_t at = f->hash % DIALECT_SLOTS; set->slot[at]; at = (at + 1) % DIALECT_SLOTS) {
        const struct dialect *d = &set->row[set->slot[at]];
        if (d->place == DIALECT_HEADER && (str_eq(d->name, f->name) || str_eq(d->companion, f->name))) return d;
    }
    return NULL;
}

const struct dialect *dialect_alike(const struct dialect_set *set, struct str name) {
    for (size_t i = 1; i <= set->n; i++) {
        const struct dialect *d = &set->row[i];
        if (d->place == DIALECT_HEADER && (str_is_alike(d->name, name) || (d->companion.n && str_is_alike(d->companion, name)))) return d;
    }
    return NULL;
}

/* ---- queries ------------------------------------------------------------------------------------------------------------------------- */
struct str target_query(struct str target) {
    size_t at = str_index(target, '?');
    if (at == target.n) return (struct str){ 0 };
    return str_from(target, at + 1);
}

bool query_next(struct str *rest, struct str *parameter) {
    while (rest->n) {
        size_t at = str_index(*rest, '&');
        *parameter = str_first(*rest, at);
        *rest = str_from(*rest, at < rest->n ? at + 1 : at);
        if (parameter->n) return true;
    }
    return false;
}

static int hex_value(char c) {
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

bool query_decode(struct str raw, char buf[DIALECT_TEXT_MAX], struct str *out) {
    size_t n = 0;
    if (str_index(raw, '%') == raw.n && str_index(raw, '+') == raw.n) {
        *out = raw;
        return true;
    }
    for (size_t i = 0; i < raw.n; i++, n++) {
        if (n == DIALECT_TEXT_MAX) return false;
        buf[n] = raw.p[i] == '+' ? ' ' : raw.p[i];
        if (raw.p[i] != '%') continue;
        int high = i + 2 < raw.n ? hex_value(raw.p[i + 1]) : -1, low = i + 2 < raw.n ? hex_value(raw.p[i + 2]) : -1;
        if (high < 0 || low < 0) return false;
        buf[n] = (char)(high << 4 | low);
        i += 2;
    }
    *out = (struct str){ buf, n };
    return true;
}

bool query_is(struct str parameter, struct str name, struct str *value) {
    char buf[DIALECT_TEXT_MAX];
    size_t eq = str_index(parameter, '=');
    struct str plain;
    if (!query_decode(str_first(parameter, eq), buf, &plain) || !str_eq(plain, name)) return false;
    *value = str_from(parameter, eq < parameter.n ? eq + 1 : eq);
    return true;
}

bool dialect_query_has(struct str target, struct str name) {
    struct str rest = target_query(target), parameter, value;
    while (query_next(&rest, &parameter))
        if (query_is(parameter, name, &value)) return true;
    return false;
}

static size_t put(char *to, size_t at, struct str s) {
    if (s.n) memcpy(to + at, s.p, s.n);
    return at + s.n;
}

/* RFC 3986 2.1: dates have blanks, commas and colons. */
static size_t put_escaped(char *to, size_t at, struct str s) {
    for (size_t i = 0; i < s.n; i++) {
        static const char hex[] = "0123456789ABCDEF";
        unsigned char c = (unsigned char)s.p[i];
        if (is_query_name(str_first(str_from(s, i), 1))) {
            to[at++] = (char)c;
            continue;
        }
        to[at++] = '%';
        to[at++] = hex[c >> 4];
        to[at++] = hex[c & 15];
    }
    return at;
}

struct str dialect_query_with(struct arena *a, struct str target, struct str name, struct str value) {
    struct str rest = target_query(target), parameter, old;
    char *to = arena_bytes(a, target.n + name.n + 3 * value.n + 2);
    size_t n = put(to, 0, str_first(target, str_index(target, '?')));
    bool set = false, begun = false;
    while (query_next(&rest, &parameter)) {
        bool ours = query_is(parameter, name, &old);
        if (ours && set) continue;
        to[n++] = begun ? '&' : '?';
        begun = true;
        n = put(to, n, ours ? name : parameter);
        set = set || ours;
        if (!ours) continue;
        to[n++] = '=';
        n = put_escaped(to, n, value);
    }
    if (set) return (struct str){ to, n };
    to[n++] = begun ? '&' : '?';
    n = put(to, n, name);
    to[n++] = '=';
    return (struct str){ to, put_escaped(to, n, value) };
}

/* ---- Prefer ---------------------------------------------------------------------------------------------------------------------------- */
/* Index of the first c outside quotes, or s.n. RFC 9110 5.6.4. */
static size_t index_unquoted(struct str s, char c) {
    bool quoted = false;
    for (size_t i = 0; i < s.n; i++) {
        if (quoted && s.p[i] == '\\') i++;
        else if (s.p[i] == '"') quoted = !quoted;
        else if (!quoted && s.p[i] == c) return i;
    }
    return s.n;
}

bool prefer_next(struct str *rest, struct str *element) {
    while (rest->n) {
        size_t at = index_unquoted(*rest, ',');
        *element = str_trim(str_first(*rest, at));
        *rest = str_from(*rest, at < rest->n ? at + 1 : at);
        if (element->n) return true; /* RFC 9110 5.6.1.2: empty elements are skipped */
    }
    return false;
}

/* RFC 7240 2: preference = token [ BWS "=" BWS word ] *( OWS ";" [ OWS parameter ] ) */
bool prefer_is(struct str element, struct str name, struct str *value) {
    struct str self = str_first(element, index_unquoted(element, ';'));
    size_t eq = str_index(self, '=');
    if (!str_eq_nocase(str_trim(str_first(self, eq)), name)) return false;
    *value = str_trim(str_from(self, eq < self.n ? eq + 1 : eq));
    if (value->n >= 2 && value->p[0] == '"' && value->p[value->n - 1] == '"') *value = str_first(str_from(*value, 1), value->n - 2);
    return true;
}

static bool prefer_has(struct str value, struct str name) {
    struct str rest = value, element, word;
    while (prefer_next(&rest, &element))
        if (prefer_is(element, name, &word)) return true;
    return false;
}

struct str dialect_prefer_without(struct arena *a, struct str value, struct str name) {
    struct str rest = value, element, word;
    if (!prefer_has(value, name)) return value;
    size_t n = 0;
    char *to = arena_bytes(a, 2 * value.n); /* "a,b" grows by a blank a comma */
    while (prefer_next(&rest, &element)) {
        if (prefer_is(element, name, &word)) continue;
        if (n) n = put(to, n, STR(", "));
        n = put(to, n, element);
    }
    return (struct str){ to, n };
}

/* ---- a head ------------------------------------------------------------------------------------------------------------------------- */
struct gather { /* the values of one dialect as they are found */
    const struct dialect *d;
    struct str companion;
    int64_t wall_ns;
    unsigned n;
    bool malformed;
    struct dialect_reading kept;
};

/* Which of two readings binds more; among those of what is left, the lesser. */
static bool binds_more(const struct dialect_reading *a, const struct dialect_reading *b) {
    static const uint8_t rank[] = {
        [DIALECT_ABSENT] = 0, [DIALECT_UNBOUNDED] = 1, [DIALECT_LEFT] = 2, [DIALECT_EXPIRED] = 3, [DIALECT_REJECT] = 4,
    };
    if (rank[a->result] != rank[b->result]) return rank[a->result] > rank[b->result];
    return a->result == DIALECT_LEFT && a->left.ns < b->left.ns;
}

static void gather_value(struct gather *g, struct str value) {
    bool first = g->n++ == 0;
    if (!first && g->d->duplicates != DUPLICATES_MIN && g->d->duplicates != DUPLICATES_LAST) return;
    struct dialect_reading r = dialect_parse(g->d, value, g->companion, g->wall_ns);
    g->malformed = g->malformed || r.malformed;
    if (first || g->d->duplicates == DUPLICATES_LAST || binds_more(&r, &g->kept)) g->kept = r;
}

/* The companion, where there is one and no more: of two, who knows which clock sent the deadline. */
static struct str find_companion(const struct dialect *d, const struct head *h, bool *malformed) {
    const struct field *f = d->companion.n ? head_find_name(h, d->companion, NULL) : NULL;
    if (!f) return (struct str){ 0 };
    if (!head_find_name(h, d->companion, f)) return f->value;
    *malformed = true;
    return (struct str){ 0 };
}

/* Trap T26: repeated fields and comma-joined values are the same repeat. A date has a comma of its own. */
static void gather_header(struct gather *g, const struct head *h) {
    for (size_t i = 0; i < h->nfields; i++) {
        const struct field *f = &h->fields[i];
        struct str rest = f->value, value;
        if (f->hash != g->d->hash || !str_eq(f->name, g->d->name)) continue;
        if (g->n == 0) g->companion = find_companion(g->d, h, &g->malformed);
        if (g->d->unit == UNIT_HTTP_DATE || str_index(rest, ',') == rest.n) gather_value(g, rest);
        else
            while (str_split(&rest, ',', &value)) gather_value(g, value);
    }
}

static void gather_query(struct gather *g, const struct head *h) {
    struct str rest = target_query(h->target), parameter, raw;
    while (query_next(&rest, &parameter)) {
        char buf[DIALECT_TEXT_MAX];
        struct str value;
        if (!query_is(parameter, g->d->name, &raw) || raw.n == 0) continue; /* an empty parameter says nothing, as in Kubernetes */
        gather_value(g, query_decode(raw, buf, &value) ? value : STR("%"));
    }
}

static void gather_prefer(struct gather *g, const struct head *h) {
    for (size_t i = 0; i < h->nfields; i++) {
        struct str rest = h->fields[i].value, element, value;
        if (h->fields[i].token != TOKEN_PREFER || field_is_removed(&h->fields[i])) continue;
        while (prefer_next(&rest, &element))
            if (prefer_is(element, g->d->name, &value)) gather_value(g, value);
    }
}

static struct dialect_reading repeated(const struct dialect *d) {
    return (struct dialect_reading){ .result = d->duplicates == DUPLICATES_REJECT ? DIALECT_REJECT : DIALECT_ABSENT };
}

struct dialect_reading dialect_read(const struct dialect *d, const struct head *h, int64_t wall_ns) {
    struct gather g = { .d = d, .wall_ns = wall_ns };
    switch ((enum dialect_place)d->place) {
    case DIALECT_HEADER: gather_header(&g, h); break;
    case DIALECT_QUERY: gather_query(&g, h); break;
    case DIALECT_PREFER: gather_prefer(&g, h); break;
    }
    if (g.n > 1 && (d->duplicates == DUPLICATES_REJECT || d->duplicates == DUPLICATES_IGNORE)) {
        g.kept = repeated(d);
        g.malformed = true;
    }
    g.kept.malformed = g.malformed;
    return g.kept;
}
