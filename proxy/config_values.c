// SPDX-License-Identifier: Apache-2.0
// Addresses, networks and protocols in the configuration: see config_values.h. Which codecs there are is the registry's word.
#include "proxy/config_values.h"
#include <arpa/inet.h>

bool config_refuse(struct conf *c, const struct conf_node *n, const struct conf_field *f, const char *hint, const char *say) {
    if (n->kind == CONF_SCALAR) conf_error(c, n->pos, hint, "%s \"%.*s\": %s", f->name, STR_ARG(n->text), say);
    else conf_error(c, n->pos, hint, "%s: %s", f->name, say);
    return false;
}

static bool parse_address(struct conf *c, const struct conf_node *n, const struct conf_field *f, void *at) {
    struct address *a = at;
    if (n->kind != CONF_SCALAR) return config_refuse(c, n, f, NULL, "expected an address such as 127.0.0.1:8080, [::1]:8080 or unix:/path");
    const char *say = address_parse(n->text, a);
    a->pos = n->pos;
    return !say || config_refuse(c, n, f, NULL, say);
}
void config_print_address(struct conf_writer *w, const struct conf_field *f, const void *at) {
    (void)f;
    fputc(' ', w->to);
    conf_write_text(w->to, ((const struct address *)at)->text);
    fputc('\n', w->to);
}

/* Where we listen is ours: to look a name up first would make the start depend on a name server. */
bool config_parse_own_address(struct conf *c, const struct conf_node *n, const struct conf_field *f, void *at) {
    struct address *a = at;
    if (!parse_address(c, n, f, at)) return false;
    if (a->kind != ADDRESS_NAME) return true;
    bool local = str_eq_nocase(a->host, STR("localhost"));
    const char *hint = local ? "write 127.0.0.1 or [::1]" : "0.0.0.0 is every address of this machine";
    return config_refuse(c, n, f, hint, "an IP address or a unix socket is needed, not a name");
}

static bool add_endpoint(struct conf *c, const struct conf_node *n, const struct conf_field *f, struct upstream_conf *u) {
    struct address *a = &u->endpoints[u->nendpoints];
    if (n->bad || !parse_address(c, n, f, a)) return false;
    if (a->kind != ADDRESS_UNIX && a->port == 0) return config_refuse(c, n, f, NULL, "port 0 is none that can be asked");
    for (size_t i = 0; i < u->nendpoints; i++)
        if (str_eq(u->endpoints[i].text, a->text)) conf_warn(c, n->pos, NULL, "the endpoint %.*s stands twice", STR_ARG(a->text));
    u->nendpoints++;
    return true;
}

bool config_parse_endpoints(struct conf *c, const struct conf_node *n, const struct conf_field *f, void *at) {
    struct upstream_conf *u = (void *)((char *)at - f->offset);
    bool ok = true, single = n->kind == CONF_SCALAR;
    if (!single && n->kind != CONF_LIST)
        return config_refuse(c, n, f, NULL, "expected a list of addresses such as [ 127.0.0.1:9001, orders.internal:80 ]");
    if (!single && n->n == 0) return config_refuse(c, n, f, NULL, "an upstream needs at least one endpoint");
    u->endpoints = arena_zalloc(&c->arena, (single ? 1 : n->n) * sizeof *u->endpoints);
    if (single) return add_endpoint(c, n, f, u);
    for (size_t i = 0; i < n->n; i++) ok = add_endpoint(c, n->items[i], f, u) && ok;
    return ok;
}

void config_print_endpoints(struct conf_writer *w, const struct conf_field *f, const void *at) {
    const struct upstream_conf *u = (const void *)((const char *)at - f->offset);
    for (size_t i = 0; i < u->nendpoints; i++) {
        fputs(i ? ", " : " [ ", w->to);
        conf_write_text(w->to, u->endpoints[i].text);
    }
    fputs(" ]\n", w->to);
}

static bool add_cidr(struct conf *c, const struct conf_node *n, const struct conf_field *f, struct trust *t) {
    if (n->bad) return false;
    if (n->kind != CONF_SCALAR) return config_refuse(c, n, f, NULL, "expected a network such as 10.0.0.0/8");
    const char *say = cidr_parse(n->text, &t->v[t->n]);
    if (say) return config_refuse(c, n, f, NULL, say);
    t->n++;
    return true;
}

bool config_parse_trust(struct conf *c, const struct conf_node *n, const struct conf_field *f, void *at) {
    struct trust *t = at;
    bool ok = true, single = n->kind == CONF_SCALAR;
    *t = (struct trust){ .mode = TRUST_LIST };
    if (single && str_eq(n->text, STR("none"))) t->mode = TRUST_NONE;
    if (single && str_eq(n->text, STR("all"))) t->mode = TRUST_ALL;
    if (t->mode != TRUST_LIST) return true;
    if (!single && n->kind != CONF_LIST) return config_refuse(c, n, f, NULL, "expected none, all, or a list of networks such as 10.0.0.0/8");
    t->v = arena_zalloc(&c->arena, (single ? 1 : n->n) * sizeof *t->v);
    if (single) return add_cidr(c, n, f, t);
    for (size_t i = 0; i < n->n; i++) ok = add_cidr(c, n->items[i], f, t) && ok;
    return ok;
}

void config_print_trust(struct conf_writer *w, const struct conf_field *f, const void *at) {
    const struct trust *t = at;
    char text[INET6_ADDRSTRLEN];
    (void)f;
    if (t->mode != TRUST_LIST) fprintf(w->to, " %s\n", t->mode == TRUST_ALL ? "all" : "none");
    else fputs(" [", w->to);
    for (size_t i = 0; i < t->n; i++)
        fprintf(w->to, "%s\"%s/%u\"", i ? ", " : " ", inet_ntop(t->v[i].family, t->v[i].bytes, text, sizeof text), t->v[i].bits);
    if (t->mode == TRUST_LIST) fputs(" ]\n", w->to);
}

/* ---- protocols ------------------------------------------------------------------------------------------------------------------ */

static const char *next_up_protocol(void *state, size_t i) {
    (void)state;
    size_t seen = 0;
    for (size_t k = 0; k < codec_count(); k++)
        if (codec_at(k)->roles & CODEC_UP && seen++ == i) return codec_at(k)->name;
    return i == seen ? "auto" : NULL;
}

static const char *up_protocols(struct conf *c) {
    struct str all = STR("");
    const char *name;
    for (size_t i = 0; (name = next_up_protocol(NULL, i)); i++) all = arena_printf(&c->arena, "%.*s%s%s", STR_ARG(all), i ? ", " : "", name);
    return arena_printf(&c->arena, "protocols are %.*s%c", STR_ARG(all), 0).p;
}

bool config_parse_protocol(struct conf *c, const struct conf_node *n, const struct conf_field *f, void *at) {
    const struct codec **codec = at;
    *codec = NULL;
    if (n->kind != CONF_SCALAR) return config_refuse(c, n, f, up_protocols(c), "expected the name of a protocol");
    if (str_eq(n->text, STR("auto"))) return true;
    *codec = codec_by_name(n->text);
    if (*codec && (*codec)->roles & CODEC_UP) return true;
    *codec = NULL;
    const char *near = conf_nearest(n->text, next_up_protocol, NULL);
    return config_refuse(c, n, f, near ? arena_printf(&c->arena, "did you mean \"%s\"?%c", near, 0).p : up_protocols(c), "no such protocol");
}

void config_print_protocol(struct conf_writer *w, const struct conf_field *f, const void *at) {
    const struct codec *codec = *(const struct codec *const *)at;
    (void)f;
    fprintf(w->to, " %s\n", codec ? codec->name : "auto");
}

const struct conf_field *config_codec_row(size_t i, enum codec_role role, size_t offset) {
    static struct conf_field rows[2][CODECS_MAX];
    size_t seen = 0;
    for (size_t k = 0; k < codec_count(); k++) {
        const struct codec *codec = codec_at(k);
        if (!(codec->roles & role) || !codec->options || seen++ != i) continue;
        struct conf_field *row = &rows[role == CODEC_UP][k];
        *row = (struct conf_field){ .name = codec->name, .type = CONF_POINTER, .offset = offset + k * sizeof(void *), .def = "{}",
                                    .table = codec->options, .help = "this protocol's own settings" };
        return row;
    }
    return NULL;
}
