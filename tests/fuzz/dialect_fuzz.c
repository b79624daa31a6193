// SPDX-License-Identifier: Apache-2.0
// Dialects under libFuzzer. The first byte picks a row, the rest is a value, a query, a Prefer field and a companion in turn. What must hold: no
// crash, nothing left that is negative, a value that was taken can be written and is not later when read again, what is cut is gone.
#include "codecs/dialect.h"
#include <assert.h>

#define WALL INT64_C(1700000000123456789)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_reading(const struct dialect *d, struct dialect_reading r) {
    assert(r.result >= DIALECT_ABSENT && r.result <= DIALECT_REJECT);
    assert(r.result != DIALECT_LEFT || r.left.ns > 0 || (r.skewed && d->kind != DIALECT_RELATIVE));
    assert(!r.skewed || r.left.ns == 0);
    assert(d->malformed == MALFORMED_REJECT || d->zero == ZERO_REJECT || d->duplicates == DUPLICATES_REJECT || r.result != DIALECT_REJECT);
}

static void check_written(const struct dialect *d, span left) {
    char text[DIALECT_TEXT_MAX], companion[DIALECT_TEXT_MAX];
    size_t m, n = dialect_format(d, left, WALL, text, companion, &m);
    if (n == 0) return;
    assert(n <= DIALECT_TEXT_MAX && is_field_value((struct str){ text, n }));
    struct dialect_reading again = dialect_parse(d, (struct str){ text, n }, (struct str){ companion, m }, WALL);
    assert(again.result == DIALECT_LEFT && !again.malformed && again.left.ns > 0 && again.left.ns <= left.ns);
}

static void check_value(const struct dialect *d, struct str value) {
    struct str half = str_first(value, value.n / 2), rest = str_from(value, value.n / 2);
    check_reading(d, dialect_parse(d, half, rest, WALL));
    struct dialect_reading r = dialect_parse(d, value, (struct str){ 0 }, WALL);
    check_reading(d, r);
    if (r.result == DIALECT_LEFT && !r.skewed) check_written(d, r.left);
}

static void check_head(const struct dialect *d, struct str value, struct arena *a) {
    struct head h;
    head_init(&h, a, true);
    h.target = value;
    head_add(&h, STR("prefer"), value);
    if (d->place == DIALECT_HEADER) head_add(&h, d->name, value);
    if (d->companion.n) head_add(&h, d->companion, value);
    check_reading(d, dialect_read(d, &h, WALL));
    struct head cut;
    head_init(&cut, a, true);
    head_add(&cut, STR("prefer"), dialect_prefer_without(a, value, d->name));
    if (d->place == DIALECT_PREFER) assert(dialect_read(d, &cut, WALL).result == DIALECT_ABSENT);
    if (d->place != DIALECT_QUERY) return;
    cut.target = dialect_query_with(a, value, d->name, STR("7"));
    assert(dialect_query_has(cut.target, d->name));
    cut.target = dialect_query_with(a, cut.target, d->name, STR("7s"));
    struct dialect_reading r = dialect_read(d, &cut, WALL);
    assert(d->unit != UNIT_DURATION || r.left.ns == 7 * NS_PER_S);
}

static void add_other_units(struct dialect_set *set) {
    static const struct dialect more[] = {
        { .name = STR_INIT("f-date"), .kind = DIALECT_EPOCH, .unit = UNIT_RFC3339, .duplicates = DUPLICATES_LAST },
        { .name = STR_INIT("f-pair"), .kind = DIALECT_PAIR, .unit = UNIT_HTTP_DATE, .companion = STR_INIT("f-sent"), .skew = DIALECT_SKEW },
        { .name = STR_INIT("f-us"), .unit = UNIT_US, .digits = 6, .fraction = true, .duplicates = DUPLICATES_IGNORE },
        { .name = STR_INIT("f-suffixed"), .unit = UNIT_SUFFIXED, .suffixes = STR_INIT("ns us d"), .digits = 4, .bare = UNIT_US, .fraction = true },
    };
    for (size_t i = 0; i < sizeof more / sizeof more[0]; i++) assert(!dialect_set_add(set, &more[i]));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static struct dialect_set set;
    struct arena a;
    if (set.n == 0) {
        dialect_set_builtin(&set);
        add_other_units(&set);
    }
    if (size == 0) return 0;
    const struct dialect *d = &set.row[1 + data[0] % set.n];
    struct str value = { (const char *)data + 1, size - 1 };
    arena_init(&a, NULL);
    check_value(d, value);
    check_head(d, value, &a);
    arena_clear(&a);
    return 0;
}
