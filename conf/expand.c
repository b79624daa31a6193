// SPDX-License-Identifier: Apache-2.0
// ${NAME}, ${NAME:-default} and $$ in values. It runs on scalars, after YAML was parsed: a variable's value is text and can never
// become a key, a list or a comment. What came out of it is not expanded again.
#include "conf/inside.h"

struct out { char *p; size_t n, cap; };

static void put(struct arena *a, struct out *o, struct str s) {
    if (o->cap - o->n < s.n) {
        size_t cap = 2 * (o->n + s.n);
        char *p = arena_bytes(a, cap);
        if (o->n) memcpy(p, o->p, o->n);
        o->p = p;
        o->cap = cap;
    }
    if (s.n) memcpy(o->p + o->n, s.p, s.n);
    o->n += s.n;
}

static bool is_name(struct str s) {
    for (size_t i = 0; i < s.n; i++) {
        char b = s.p[i];
        bool letter = (b >= 'A' && b <= 'Z') || (b >= 'a' && b <= 'z') || b == '_';
        if (!letter && !(i && b >= '0' && b <= '9')) return false;
    }
    return s.n > 0;
}

/* As a shell has it: with ":-" an empty variable takes the default, too. */
static bool look_up(struct conf *c, const struct conf_node *n, struct str name, const struct str *fallback, struct str *value) {
    const char *z = c->getenv(conf_format(c, "%.*s", STR_ARG(name)));
    *value = str_of(z);
    if (fallback && !value->n) *value = *fallback;
    if (z || fallback) return true;
    conf_error(c, n->pos, conf_format(c, "set it, or write ${%.*s:-default}", STR_ARG(name)),
               "the environment variable %.*s is not set", STR_ARG(name));
    return false;
}

/* inner: what stands between the braces. */
static bool variable(struct conf *c, const struct conf_node *n, struct str inner, struct str *value) {
    size_t colon = str_index(inner, ':');
    struct str name = str_first(inner, colon), fallback = str_from(inner, colon);
    bool has_fallback = str_starts(fallback, STR(":-"));
    if (!is_name(name) || (fallback.n && !has_fallback)) {
        conf_error(c, n->pos, "write ${NAME} or ${NAME:-default}", "${%.*s} names no environment variable",
                   (int)(inner.n < CONF_SHOWN_MAX ? inner.n : CONF_SHOWN_MAX), inner.p);
        return false;
    }
    if (has_fallback) fallback = str_from(fallback, 2);
    return look_up(c, n, name, has_fallback ? &fallback : NULL, value);
}

/* rest starts with '$'. Cuts off what it took. */
static bool dollar(struct conf *c, const struct conf_node *n, struct str *rest, struct str *value) {
    if (str_starts(*rest, STR("$$"))) {
        *value = str_first(*rest, 1);
        *rest = str_from(*rest, 2);
        return true;
    }
    if (!str_starts(*rest, STR("${"))) {
        conf_error(c, n->pos, "write $$ for a dollar, ${NAME} for an environment variable", "a $ by itself in %s", conf_show(c, n->text));
        return false;
    }
    size_t end = str_index(*rest, '}');
    if (end == rest->n) {
        conf_error(c, n->pos, "write $$ for a dollar", "${ without its } in %s", conf_show(c, n->text));
        return false;
    }
    struct str inner = str_from(str_first(*rest, end), 2);
    *rest = str_from(*rest, end + 1);
    return variable(c, n, inner, value);
}

/* Once the budget is used up every further variable fails, and in silence: one message is enough. */
static bool afford(struct conf *c, const struct conf_node *n, const struct out *o, struct str value, size_t *budget) {
    if (*budget && value.n <= *budget && o->n <= *budget - value.n) return true;
    if (*budget) conf_error(c, n->pos, NULL, "the values of environment variables come to more than %u bytes in all", CONF_EXPANDED_MAX);
    *budget = 0;
    return false;
}

bool conf_expand(struct conf *c, struct conf_node *n, size_t *budget) {
    struct str rest = n->text;
    if (str_index(rest, '$') == rest.n) return true;
    struct out o = { 0 };
    while (rest.n) {
        size_t plain = str_index(rest, '$');
        struct str value;
        put(&c->arena, &o, str_first(rest, plain));
        rest = str_from(rest, plain);
        if (!rest.n) break;
        if (!dollar(c, n, &rest, &value) || !afford(c, n, &o, value, budget)) return false;
        put(&c->arena, &o, value);
    }
    *budget -= o.n < *budget ? o.n : *budget;
    put(&c->arena, &o, (struct str){ "", 1 });
    n->text = (struct str){ o.p, o.n - 1 };
    n->quoted = false;
    return true;
}
