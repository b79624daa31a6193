// SPDX-License-Identifier: Apache-2.0
// Helpers of the policies' custom parsers. They only report; what is done with a name is its policy's.
#include "policies/check.h"
#include "core/head.h"

const struct conf_node *check_item(const struct conf_node *n, size_t i) {
    if (n->kind == CONF_SCALAR) return i == 0 ? n : NULL;
    return n->kind == CONF_LIST && i < n->n ? n->items[i] : NULL;
}

bool check_scalar(struct conf *c, const struct conf_node *n, const char *what) {
    if (n->bad) return false;
    if (n->kind == CONF_SCALAR) return true;
    conf_error(c, n->pos, NULL, "%s is expected here", what);
    return false;
}

bool check_list(struct conf *c, const struct conf_node *n, const char *what) {
    if (n->bad) return false;
    if (n->kind != CONF_LIST && n->kind != CONF_SCALAR) {
        conf_error(c, n->pos, NULL, "a list is expected here, of which each element is %s", what);
        return false;
    }
    bool good = true;
    for (size_t i = 0; check_item(n, i); i++) good &= check_scalar(c, check_item(n, i), what);
    return good;
}

bool check_map(struct conf *c, const struct conf_node *n, const char *what) {
    if (n->bad) return false;
    if (n->kind == CONF_MAPPING) return true;
    conf_error(c, n->pos, NULL, "a map is expected here: %s", what);
    return false;
}

const char *check_meant(struct conf *c, const char *word) {
    return word ? arena_printf(&c->arena, "did you mean \"%s\"?%c", word, 0).p : NULL;
}

static const char *ending_word(void *state, size_t i) {
    (void)state;
    return i + 1 < ENDINGS ? ending_rows[i + 1].name : NULL;
}

enum ending check_ending(struct conf *c, const struct conf_node *n) {
    if (!check_scalar(c, n, "the name of an ending")) return ENDING_NONE;
    enum ending e = ending_by_name(n->text);
    if (e == ENDING_NONE)
        conf_error(c, n->pos, check_meant(c, conf_nearest(n->text, ending_word, NULL)), "%.*s is no ending", STR_ARG(n->text));
    return e;
}

struct str check_field_name(struct conf *c, const struct conf_node *n) {
    if (!check_scalar(c, n, "the name of a header field")) return (struct str){ 0 };
    if (is_token(n->text)) return arena_lower(&c->arena, n->text);
    conf_error(c, n->pos, "a name is letters, digits and any of !#$%&'*+-.^_`|~ (RFC 9110 5.6.2)", "\"%.*s\" is no name of a header field",
               STR_ARG(n->text));
    return (struct str){ 0 };
}

/* NULL: nobody's. */
static const char *owner_of(struct str name) {
    static const struct { struct str name; const char *hint; } owned[] = {
        { STR_INIT("host"), "a route's `host:` says what the upstream gets, `match: { host: }` what is looked for" },
        { STR_INIT("content-length"), "the framing of a body is written by the protocol" },
        { STR_INIT("transfer-encoding"), "the framing of a body is written by the protocol" },
        { STR_INIT("connection"), "it speaks of one connection only, and is written by the protocol" },
        { STR_INIT("keep-alive"), "it speaks of one connection only, and is written by the protocol" },
        { STR_INIT("proxy-connection"), "it speaks of one connection only, and is written by the protocol" },
        { STR_INIT("te"), "it speaks of one connection only, and is written by the protocol" },
        { STR_INIT("upgrade"), "it speaks of one connection only, and is written by the protocol" },
        { STR_INIT("http2-settings"), "it speaks of one connection only, and is written by the protocol" },
    };
    for (size_t i = 0; i < sizeof owned / sizeof *owned; i++)
        if (str_eq(owned[i].name, name)) return owned[i].hint;
    return NULL;
}

struct str check_free_name(struct conf *c, const struct conf_node *n) {
    struct str name = check_field_name(c, n);
    const char *hint = name.n ? owner_of(name) : NULL;
    if (!hint) return name;
    conf_error(c, n->pos, hint, "the field %.*s is not the configuration's to touch", STR_ARG(name));
    return (struct str){ 0 };
}

bool check_field_value(struct conf *c, const struct conf_node *n) {
    if (!check_scalar(c, n, "the value of a header field")) return false;
    if (is_field_value(n->text) && str_eq(str_trim(n->text), n->text)) return true;
    conf_error(c, n->pos, NULL, "this cannot be the value of a header field: it has a control character, or a blank at its start or end");
    return false;
}
