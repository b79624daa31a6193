// SPDX-License-Identifier: Apache-2.0
// The tables of the toy.
#include "tests/unit/conf/toy.h"

static const struct conf_field limit_rows[] = {
    { .name = "time", .type = CONF_DURATION, .offset = offsetof(struct toy_limits, time), .def = "2s", .help = "how long" },
    { .name = "bytes", .type = CONF_SIZE, .offset = offsetof(struct toy_limits, bytes), .def = "1MiB", .help = "how much" },
    { 0 },
};
static void check_limits(struct conf *c, const struct conf_node *n, void *at) {
    const struct toy_limits *l = at;
    if (l->time.ns > 3600 * NS_PER_S && l->bytes < 1024) conf_error(c, conf_pos_of(n, "bytes"), NULL, "long and narrow");
}
static const struct conf_table limits_table = {
    .name = "limits", .size = sizeof(struct toy_limits), .fields = limit_rows, .check = check_limits, .help = "Where it ends."
};

static const struct conf_field point_rows[] = {
    { .name = "x", .type = CONF_INT, .offset = offsetof(struct toy_point, x), .required = true, .help = "to the right" },
    { .name = "y", .type = CONF_INT, .offset = offsetof(struct toy_point, y), .def = "3" },
    { 0 },
};
const struct conf_table toy_point_table = { .name = "point", .size = sizeof(struct toy_point), .fields = point_rows };

/* Takes an even number, or a list of two that are summed. */
static bool parse_even(struct conf *c, const struct conf_node *n, const struct conf_field *f, void *at) {
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

static const struct conf_word colours[] = { { "red", TOY_RED, "like blood" }, { "green", TOY_GREEN, NULL }, { "blue", TOY_BLUE, NULL }, { 0 } };

#define AT(member) offsetof(struct toy, member)
static const struct conf_field rows[] = {
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
    { .name = "colour", .type = CONF_ENUM, .offset = AT(colour), .def = "green", .words = colours },
    { .name = "limits", .type = CONF_STRUCT, .offset = AT(limits), .table = &limits_table },
    { .name = "origin", .type = CONF_POINTER, .offset = AT(origin), .table = &toy_point_table },
    { .name = "points", .type = CONF_STRUCTS, .offset = AT(points), .table = &toy_point_table, .max = 100 },
    { .name = "shops", .type = CONF_MAP, .offset = AT(shops), .table = &limits_table },
    { .name = "even", .type = CONF_CUSTOM, .offset = AT(even), .parse = parse_even, .def = "[ 1, 1 ]", .shape = "{ \"type\": [\"integer\", \"array\"] }" },
    { .name = "odd", .type = CONF_CUSTOM, .offset = AT(odd), .parse = parse_even },
    { 0 },
};

static const struct conf_field codec_rows[] = {
    { .name = "ping", .type = CONF_DURATION, .offset = offsetof(struct toy_codec, ping), .def = "7s" },
    { 0 },
};
static const struct conf_table codec_table = { .name = "codec", .size = sizeof(struct toy_codec), .fields = codec_rows };
/* Made anew at each call, as rows for registered things are. */
static const struct conf_field *more(size_t i) {
    static struct conf_field row;
    if (i >= 2) return NULL;
    row = (struct conf_field){ .name = i ? "http2" : "http1", .type = CONF_STRUCT, .offset = AT(codec) + i * sizeof(struct toy_codec), .table = &codec_table };
    return &row;
}

static void check(struct conf *c, const struct conf_node *n, void *at) {
    struct toy *t = at;
    t->checked++;
    if (t->on && t->plain == 13) conf_warn(c, conf_pos_of(n, "plain"), "take twelve", "thirteen");
}
const struct conf_table toy_table = { .name = "toy", .size = sizeof(struct toy), .fields = rows, .more = more, .check = check, .help = "A toy." };
