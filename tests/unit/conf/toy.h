// SPDX-License-Identifier: Apache-2.0
// A toy configuration that uses every type of row, for the tests of conf/ and for its fuzzer.
#ifndef CURFEW_TESTS_CONF_TOY_H
#define CURFEW_TESTS_CONF_TOY_H
#include "conf/conf.h"

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
extern const struct conf_table toy_table, toy_point_table;
#endif
