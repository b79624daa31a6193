// SPDX-License-Identifier: Apache-2.0
// Patterns: see pattern.h. Compiled to Thompson's automaton (a jump is relative, so that {n,m} copies code), and run by
// keeping the set of all states.
#include "policies/pattern.h"

enum op { OP_BYTES, OP_SPLIT, OP_JUMP, OP_END };
struct code { uint8_t op; uint16_t set; int16_t x, y; }; /* SPLIT: on at x and at y; JUMP: at x; relative to itself */
struct byte_set { uint64_t bits[4]; };
struct pattern { size_t n; const struct code *code; const struct byte_set *sets; };
struct compiler {
    struct str text;
    size_t at;
    struct code code[PATTERN_CODE_MAX];
    size_t n;
    struct byte_set sets[PATTERN_CODE_MAX];
    size_t nsets;
    unsigned depth;
    const char *say;
};
static bool alternatives(struct compiler *c);

static bool fail(struct compiler *c, const char *say) {
    c->say = say;
    return false;
}
static bool is_done(const struct compiler *c) { return c->at == c->text.n; }
static bool is_next(const struct compiler *c, char b) { return !is_done(c) && c->text.p[c->at] == b; }

/* ---- code ----------------------------------------------------------------------------------------------------------------------------- */
static bool emit(struct compiler *c, enum op op, ptrdiff_t x, ptrdiff_t y) {
    if (c->n == PATTERN_CODE_MAX) return fail(c, "the pattern is too large once its repetitions are written out");
    c->code[c->n++] = (struct code){ .op = (uint8_t)op, .x = (int16_t)x, .y = (int16_t)y };
    return true;
}
static bool append(struct compiler *c, const struct code *block, size_t n) {
    if (PATTERN_CODE_MAX - c->n < n) return fail(c, "the pattern is too large once its repetitions are written out");
    memcpy(c->code + c->n, block, n * sizeof *block);
    c->n += n;
    return true;
}
static bool emit_set(struct compiler *c, const struct byte_set *set) {
    size_t i = 0;
    while (i < c->nsets && memcmp(&c->sets[i], set, sizeof *set) != 0) i++;
    if (!emit(c, OP_BYTES, 0, 0)) return false;
    if (i == c->nsets) c->sets[c->nsets++] = *set; /* as many as there is code, at most */
    c->code[c->n - 1].set = (uint16_t)i;
    return true;
}

/* ---- sets of bytes ---------------------------------------------------------------------------------------------------------------------- */
static void set_add(struct byte_set *s, unsigned from, unsigned to) {
    for (unsigned b = from; b <= to; b++) s->bits[b / 64] |= UINT64_C(1) << b % 64;
}
static void set_invert(struct byte_set *s) {
    for (size_t i = 0; i < 4; i++) s->bits[i] = ~s->bits[i];
}
static bool set_has(const struct byte_set *s, unsigned char b) { return s->bits[b / 64] >> b % 64 & 1; }
static bool is_alnum(char b) { return (b >= '0' && b <= '9') || ((b | 0x20) >= 'a' && (b | 0x20) <= 'z'); }

/* After the backslash. *single: the one byte, or -1 where it is a class. */
static bool escape(struct compiler *c, struct byte_set *s, int *single) {
    if (is_done(c)) return fail(c, "a backslash at the end");
    char b = c->text.p[c->at++];
    *single = -1;
    if (b == 'd' || b == 'w') set_add(s, '0', '9');
    if (b == 'w') set_add(s, 'a', 'z'), set_add(s, 'A', 'Z'), set_add(s, '_', '_');
    if (b == 's') set_add(s, ' ', ' '), set_add(s, '\t', '\t');
    if (b == 'd' || b == 'w' || b == 's') return true;
    if (is_alnum(b)) return fail(c, "of letters and digits only \\d, \\w and \\s have a meaning after a backslash");
    *single = (unsigned char)b;
    set_add(s, (unsigned char)b, (unsigned char)b);
    return true;
}
/* One end of a range, or a class. */
static bool set_item(struct compiler *c, struct byte_set *s, int *single) {
    if (is_done(c)) return fail(c, "a [ without its ]");
    char b = c->text.p[c->at++];
    if (b == '\\') return escape(c, s, single);
    if (b == '[') return fail(c, "write \\[ for a bracket in brackets; there are no [:classes:]");
    *single = (unsigned char)b;
    set_add(s, (unsigned char)b, (unsigned char)b);
    return true;
}
static bool is_range(const struct compiler *c) { return is_next(c, '-') && c->at + 1 < c->text.n && c->text.p[c->at + 1] != ']'; }
static bool bracket(struct compiler *c) {
    struct byte_set s = { { 0 } };
    bool inverted = is_next(c, '^');
    c->at += inverted;
    if (is_next(c, ']')) return fail(c, "write \\] for a bracket in brackets");
    while (!is_next(c, ']')) {
        int from, to;
        if (!set_item(c, &s, &from)) return false;
        if (!is_range(c)) continue;
        c->at++;
        if (!set_item(c, &s, &to)) return false;
        if (from < 0 || to < from) return fail(c, "a range that goes backwards, or from or to a class");
        set_add(&s, (unsigned)from, (unsigned)to);
    }
    c->at++;
    if (inverted) set_invert(&s);
    return emit_set(c, &s);
}

/* ---- the grammar ------------------------------------------------------------------------------------------------------------------------ */
static bool group(struct compiler *c) {
    if (++c->depth > PATTERN_DEPTH_MAX) return fail(c, "groups too deep in groups");
    if (!alternatives(c)) return false;
    if (!is_next(c, ')')) return fail(c, "a ( without its )");
    c->at++;
    c->depth--;
    return true;
}
static bool atom(struct compiler *c) {
    struct byte_set s = { { 0 } };
    int single;
    unsigned char b = (unsigned char)c->text.p[c->at++];
    switch (b) {
    case '(': return group(c);
    case '[': return bracket(c);
    case '\\': return escape(c, &s, &single) && emit_set(c, &s);
    case '*': case '+': case '?': case '{': return c->at--, fail(c, "there is nothing to repeat here");
    case '^': case '$': return c->at--, fail(c, "the whole value is matched: ^ and $ stand at the ends alone");
    case '.': set_add(&s, 0, 255); break;
    default: set_add(&s, b, b); break;
    }
    return emit_set(c, &s);
}
static bool number(struct compiler *c, unsigned *out) {
    size_t from = c->at;
    for (*out = 0; !is_done(c) && c->text.p[c->at] >= '0' && c->text.p[c->at] <= '9' && c->at - from < 4; c->at++)
        *out = *out * 10 + (unsigned)(c->text.p[c->at] - '0');
    return c->at > from;
}
#define UNBOUNDED 0u /* most; {0} is refused */
static bool braces(struct compiler *c, unsigned *least, unsigned *most) {
    bool good = number(c, least);
    *most = *least;
    if (good && is_next(c, ',')) {
        c->at++;
        *most = UNBOUNDED;
        if (!is_next(c, '}')) good = number(c, most) && *most >= *least && *most > 0;
    } else {
        good = good && *most > 0;
    }
    if (!good || !is_next(c, '}')) return fail(c, "a repetition is {n}, {n,} or {n,m}, and not of nothing; \\{ is a brace");
    c->at++;
    return true;
}
/* True with least 1 and most 1 where there is none. */
static bool quantifier(struct compiler *c, unsigned *least, unsigned *most) {
    *least = *most = 1;
    if (is_done(c)) return true;
    switch (c->text.p[c->at]) {
    case '*': *least = 0, *most = UNBOUNDED; break;
    case '+': *least = 1, *most = UNBOUNDED; break;
    case '?': *least = 0, *most = 1; break;
    case '{': c->at++; return braces(c, least, most);
    default: return true;
    }
    c->at++;
    return true;
}
static bool repeat(struct compiler *c, size_t start, unsigned least, unsigned most) {
    struct code block[PATTERN_CODE_MAX];
    size_t n = c->n - start;
    memcpy(block, c->code + start, n * sizeof *block);
    c->n = start;
    for (unsigned i = 0; i < least; i++)
        if (!append(c, block, n)) return false;
    if (most == UNBOUNDED && least) return emit(c, OP_SPLIT, -(ptrdiff_t)n, 1);
    if (most == UNBOUNDED) return emit(c, OP_SPLIT, 1, (ptrdiff_t)n + 2) && append(c, block, n) && emit(c, OP_JUMP, -(ptrdiff_t)n - 1, 0);
    /* Who leaves one out leaves out all that follow: else each byte would have all of them to look at. */
    for (unsigned i = least; i < most; i++)
        if (!emit(c, OP_SPLIT, 1, (ptrdiff_t)(most - i) * (ptrdiff_t)(n + 1)) || !append(c, block, n)) return false;
    return true;
}
static bool piece(struct compiler *c) {
    size_t start = c->n;
    unsigned least, most;
    if (!atom(c) || !quantifier(c, &least, &most)) return false;
    return (least == 1 && most == 1) || repeat(c, start, least, most);
}
static bool sequence(struct compiler *c) {
    size_t start = c->n;
    while (!is_done(c) && !is_next(c, '|') && !is_next(c, ')'))
        if (!piece(c)) return false;
    return c->n > start || fail(c, "there is nothing here; (…)? is a group that may be missing");
}
static bool alternatives(struct compiler *c) {
    size_t start = c->n;
    if (!sequence(c)) return false;
    if (!is_next(c, '|')) return true;
    c->at++;
    size_t n = c->n - start;
    if (!emit(c, OP_SPLIT, 0, 0)) return false;
    memmove(c->code + start + 1, c->code + start, n * sizeof *c->code);
    c->code[start] = (struct code){ .op = OP_SPLIT, .x = 1, .y = (int16_t)(n + 2) };
    size_t jump = c->n;
    if (!emit(c, OP_JUMP, 0, 0) || !alternatives(c)) return false;
    c->code[jump].x = (int16_t)(c->n - jump);
    return true;
}

static bool compile(struct compiler *c) {
    if (c->text.n > PATTERN_TEXT_MAX) return fail(c, "the pattern is too long");
    for (; c->at < c->text.n; c->at++)
        if ((unsigned char)c->text.p[c->at] >= 0x80 || (unsigned char)c->text.p[c->at] < ' ') return fail(c, "only printable ASCII can stand in a pattern");
    c->at = c->text.n && c->text.p[0] == '^';
    /* \$ at the end is a dollar; after \\ it is the end again */
    size_t slashes = 0;
    while (slashes + 1 < c->text.n && c->text.p[c->text.n - 2 - slashes] == '\\') slashes++;
    if (c->text.n && c->text.p[c->text.n - 1] == '$' && slashes % 2 == 0 && c->text.n > c->at) c->text.n--;
    if (!alternatives(c)) return false;
    if (!is_done(c)) return fail(c, "a ) without its (");
    return emit(c, OP_END, 0, 0);
}

const struct pattern *pattern_compile(struct arena *a, struct str text, const char **say, size_t *at) {
    struct compiler c = { .text = text };
    if (!compile(&c)) {
        *say = c.say;
        *at = c.at;
        return NULL;
    }
    struct pattern *p = ARENA_NEW(a, struct pattern);
    struct code *code = arena_alloc(a, c.n * sizeof *code);
    struct byte_set *sets = arena_alloc(a, c.nsets * sizeof *sets);
    memcpy(code, c.code, c.n * sizeof *code);
    memcpy(sets, c.sets, c.nsets * sizeof *sets);
    *p = (struct pattern){ c.n, code, sets };
    return p;
}

/* ---- matching ----------------------------------------------------------------------------------------------------------------------------- */
struct states { uint64_t seen[PATTERN_CODE_MAX / 64]; uint16_t v[PATTERN_CODE_MAX]; size_t n; };

static void states_clear(struct states *s) {
    memset(s->seen, 0, sizeof s->seen);
    s->n = 0;
}
static bool is_new(struct states *s, size_t pc) {
    uint64_t bit = UINT64_C(1) << pc % 64, *word = &s->seen[pc / 64];
    bool fresh = !(*word & bit);
    *word |= bit;
    return fresh;
}
/* pc and all that is reached from it without a byte; each state is met once, so the stack cannot overflow. */
static void states_add(const struct pattern *p, struct states *s, size_t pc) {
    uint16_t stack[PATTERN_CODE_MAX];
    size_t n = 0;
    if (is_new(s, pc)) stack[n++] = (uint16_t)pc;
    while (n) {
        size_t at = stack[--n];
        const struct code *c = &p->code[at];
        if (c->op == OP_BYTES || c->op == OP_END) {
            s->v[s->n++] = (uint16_t)at;
            continue;
        }
        size_t x = (size_t)((ptrdiff_t)at + c->x), y = c->op == OP_SPLIT ? (size_t)((ptrdiff_t)at + c->y) : x;
        if (is_new(s, x)) stack[n++] = (uint16_t)x;
        if (is_new(s, y)) stack[n++] = (uint16_t)y;
    }
}
bool pattern_match(const struct pattern *p, struct str value) {
    struct states a, b, *now = &a, *next = &b;
    states_clear(now);
    states_add(p, now, 0);
    for (size_t i = 0; i < value.n && now->n; i++) {
        states_clear(next);
        for (size_t k = 0; k < now->n; k++) {
            const struct code *c = &p->code[now->v[k]];
            if (c->op == OP_BYTES && set_has(&p->sets[c->set], (unsigned char)value.p[i])) states_add(p, next, (size_t)now->v[k] + 1u);
        }
        struct states *t = now;
        now = next;
        next = t;
    }
    return now->n && now->seen[(p->n - 1) / 64] >> (p->n - 1) % 64 & 1; /* OP_END is the last */
}
