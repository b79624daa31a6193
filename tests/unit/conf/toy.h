// SPDX-License-Identifier: Apache-2.0
// A toy configuration that uses every type of row, for the tests of conf/ and for its fuzzer, and the fixture that loads it.
#ifndef CURFEW_TESTS_CONF_TOY_H
#define CURFEW_TESTS_CONF_TOY_H
#include "conf/conf.h"
#include <stdlib.h>

enum toy_colour { TOY_RED, TOY_GREEN, TOY_BLUE = 7 };
struct toy_limits { span time; uint64_t bytes; };
struct toy_point { int64_t x, y; };
struct toy_codec { span ping; };
struct toy {
    bool on;
    int64_t workers, plain;
    span wait, forever;
    uint64_t room, wide;
    struct conf_rate rate;
    uint32_t share;
    struct str title;
    struct conf_ref friend;
    struct conf_refs tags, colours;
    uint8_t colour;
    struct toy_limits limits;
    struct toy_point *origin;
    struct conf_array points;
    struct conf_map shops;
    int64_t even, odd; /* custom */
    struct toy_codec codec[2];
    unsigned checked;
};

static const struct conf_field toy_limit_rows[] = {
    { .name = "time", .type = CONF_DURATION, .offset = offsetof(struct toy_limits, time), .def = "2s", .help = "how long" },
    { .name = "bytes", .type = CONF_SIZE, .offset = offsetof(struct toy_limits, bytes), .def = "1MiB", .help = "how much" },
    { 0 },
};
static void toy_check_limits(struct conf *c, const struct conf_node *n, void *at) {
    const struct toy_limits *l = at;
    if (l->time.ns > 3600 * NS_PER_S && l->bytes < 1024) conf_error(c, conf_pos_of(n, "bytes"), NULL, "long and narrow");
}
static const struct conf_table toy_limits_table = {
    .name = "limits", .size = sizeof(struct toy_limits), .fields = toy_limit_rows, .check = toy_check_limits, .help = "Where it ends."
};

static const struct conf_field toy_point_rows[] = {
    { .name = "x", .type = CONF_INT, .offset = offsetof(struct toy_point, x), .required = true, .help = "to the right" },
    { .name = "y", .type = CONF_INT, .offset = offsetof(struct toy_point, y), .def = "3" },
    { 0 },
};
static const struct conf_table toy_point_table = { .name = "point", .size = sizeof(struct toy_point), .fields = toy_point_rows };

/* Takes an even number, or a list of two that are summed. */
static bool toy_parse_even(struct conf *c, const struct conf_node *n, const struct conf_field *f, void *at) {
    const struct conf_field number = { .name = f->name, .type = CONF_INT, .min = 0, .max = 1000 };
    int64_t v[2] = { 0, 0 };
    if (n->kind == CONF_LIST && n->n != 2) {
        conf_error(c, n->pos, NULL, "%s: two numbers", f->name);
        return false;
    }
    if (n->kind != CONF_LIST && !conf_load_field(c, n, &number, &v[0])) return false;
    for (size_t i = 0; n->kind == CONF_LIST && i < 2; i++)
        if (!conf_load_field(c, n->items[i], &number, &v[i])) return false;
    *(int64_t *)at = v[0] + v[1];
    return true;
}

static void toy_print_even(struct conf_writer *w, const struct conf_field *f, const void *at) {
    (void)f;
    fprintf(w->to, " %lld\n", (long long)*(const int64_t *)at);
}

static const struct conf_word toy_colours[] = { { "red", TOY_RED, "like blood" }, { "green", TOY_GREEN, NULL }, { "blue", TOY_BLUE, NULL }, { 0 } };

#define AT(member) offsetof(struct toy, member)
static const struct conf_field toy_rows[] = {
    { .name = "on", .type = CONF_BOOL, .offset = AT(on), .def = "true", .help = "whether at all" },
    { .name = "workers", .type = CONF_INT, .offset = AT(workers), .min = 1, .max = 64, .def = "4", .none = "all", .help = "how many | of us" },
    { .name = "plain", .type = CONF_INT, .offset = AT(plain) },
    { .name = "wait", .type = CONF_DURATION, .offset = AT(wait), .def = "15s", .min = 10 * NS_PER_MS, .max = 3600 * NS_PER_S, .help = "how long to wait" },
    { .name = "forever", .type = CONF_DURATION, .offset = AT(forever), .def = "none", .none = "none", .min = NS_PER_S },
    { .name = "room", .type = CONF_SIZE, .offset = AT(room), .def = "64KiB", .min = 1024, .max = 1 << 20 },
    { .name = "wide", .type = CONF_SIZE, .offset = AT(wide), .none = "unlimited" },
    { .name = "rate", .type = CONF_RATE, .offset = AT(rate), .def = "100/s" },
    { .name = "share", .type = CONF_PERCENT, .offset = AT(share), .def = "20%", .max = 10000 },
    { .name = "title", .type = CONF_STRING, .offset = AT(title), .def = "\"none\"" },
    { .name = "friend", .type = CONF_REF, .offset = AT(friend) },
    { .name = "tags", .type = CONF_REFS, .offset = AT(tags), .def = "[ a, b ]", .max = 4 },
    { .name = "colour", .type = CONF_ENUM, .offset = AT(colour), .def = "green", .words = toy_colours },
    { .name = "limits", .type = CONF_STRUCT, .offset = AT(limits), .table = &toy_limits_table },
    { .name = "origin", .type = CONF_POINTER, .offset = AT(origin), .table = &toy_point_table },
    { .name = "points", .type = CONF_STRUCTS, .offset = AT(points), .table = &toy_point_table, .max = 100 },
    { .name = "shops", .type = CONF_MAP, .offset = AT(shops), .table = &toy_limits_table },
    { .name = "even", .type = CONF_CUSTOM, .offset = AT(even), .parse = toy_parse_even, .print = toy_print_even, .def = "[ 1, 1 ]", .shape = "{ \"type\": [\"integer\", \"array\"] }" },
    { .name = "odd", .type = CONF_CUSTOM, .offset = AT(odd), .parse = toy_parse_even },
    { 0 },
};

static const struct conf_field toy_codec_rows[] = {
    { .name = "ping", .type = CONF_DURATION, .offset = offsetof(struct toy_codec, ping), .def = "7s" },
    { 0 },
};
static const struct conf_table toy_codec_table = { .name = "codec", .size = sizeof(struct toy_codec), .fields = toy_codec_rows };
/* Made anew at each call, as rows for registered things are. */
static const struct conf_field *toy_more(size_t i) {
    static struct conf_field row;
    if (i >= 2) return NULL;
    row = (struct conf_field){ .name = i ? "http2" : "http1", .type = CONF_STRUCT, .offset = AT(codec) + i * sizeof(struct toy_codec), .table = &toy_codec_table };
    return &row;
}

static void toy_check(struct conf *c, const struct conf_node *n, void *at) {
    struct toy *t = at;
    t->checked++;
    if (t->on && t->plain == 13) conf_warn(c, conf_pos_of(n, "plain"), "take twelve", "thirteen");
}
static const struct conf_table toy_table = { .name = "toy", .size = sizeof(struct toy), .fields = toy_rows, .more = toy_more, .check = toy_check, .help = "A toy." };

/* ---- the fixture ------------------------------------------------------------------------------------------------------------- */

static inline const char *toy_env(const char *name) {
    if (strcmp(name, "NAME") == 0) return "value";
    if (strcmp(name, "EMPTY") == 0) return "";
    if (strcmp(name, "COUNT") == 0) return "12";
    if (strcmp(name, "WAIT") == 0) return "20s";
    if (strcmp(name, "SLY") == 0) return "a\nworkers: 9 # [x] ${NAME}";
    return NULL;
}

struct loaded { struct conf c; struct toy toy; struct conf_node *root; bool ok; char *report; size_t report_n; };

/* The caller clears it with unload(). */
static inline struct loaded *load_n(const char *text, size_t n) {
    struct loaded *l = calloc(1, sizeof *l);
    conf_init(&l->c);
    l->c.getenv = toy_env;
    l->root = conf_parse(&l->c, "toy.yaml", text, n);
    if (l->root) conf_load(&l->c, l->root, &toy_table, &l->toy);
    l->ok = l->root && l->c.errors == 0;
    FILE *to = open_memstream(&l->report, &l->report_n);
    conf_report(&l->c, to);
    fclose(to);
    return l;
}
static inline struct loaded *load(const char *text) { return load_n(text, strlen(text)); }
static inline void unload(struct loaded *l) {
    conf_free(&l->c);
    free(l->report);
    free(l);
}
#endif
