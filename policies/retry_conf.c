// SPDX-License-Identifier: Apache-2.0
// The keys of `retry:`. What they mean is retry.c's.
#include "policies/answer.h"
#include "policies/check.h"
#include "policies/retry.h"

/* ---- when ---------------------------------------------------------------------------------------------------------------------------------- */

static bool take_http(struct conf *c, const struct conf_node *item, uint64_t status, struct retry_when *w) {
    if (status < 400 || status > 599) {
        conf_error(c, item->pos, NULL, "%.*s is no HTTP status of an error (400 to 599)", STR_ARG(item->text));
        return false;
    }
    w->http[(status - 400) / 64] |= UINT64_C(1) << (status - 400) % 64;
    return w->statuses = true;
}

static const char *grpc_word(void *state, size_t i) {
    (void)state;
    return i + 1 < GRPC_STATUSES ? grpc_status_name((uint8_t)(i + 1)) : NULL; /* OK is no error */
}

static bool take_grpc(struct conf *c, const struct conf_node *item, struct retry_when *w) {
    uint8_t status = grpc_status_by_name(item->text);
    if (!status) {
        conf_error(c, item->pos, check_meant(c, conf_nearest(item->text, grpc_word, NULL)), "%.*s is no gRPC status of an error",
                   STR_ARG(item->text));
        return false;
    }
    w->grpc |= UINT32_C(1) << status;
    return w->statuses = true;
}

static bool take_ending(struct conf *c, const struct conf_node *item, struct retry_when *w) {
    enum ending e = check_ending(c, item);
    if (e == ENDING_NONE) return false;
    if (!retry_is_outcome(e)) {
        conf_error(c, item->pos, "an attempt can end by refused_stream, connect_failure, connect_timeout, try_timeout, upstream_reset, "
                   "upstream_closed, upstream_error or upstream_idle", "%.*s ends the request, so nothing is left to try again",
                   STR_ARG(item->text));
        return false;
    }
    w->endings |= UINT64_C(1) << e;
    return true;
}
_Static_assert(ENDINGS <= 64, "an ending is a bit of `when`");

/* Three kinds of word that nobody can confuse: refused_stream, 503, UNAVAILABLE. */
static bool take_word(struct conf *c, const struct conf_node *item, struct retry_when *w) {
    uint64_t status;
    if (str_to_u64(item->text, &status)) return take_http(c, item, status, w);
    if (item->text.n && item->text.p[0] >= 'A' && item->text.p[0] <= 'Z') return take_grpc(c, item, w);
    return take_ending(c, item, w);
}

static bool parse_when(struct conf *c, const struct conf_node *n, const struct conf_field *f, void *at) {
    (void)f;
    if (!check_list(c, n, "the name of an ending, an HTTP status or a gRPC status")) return false;
    bool good = true;
    for (size_t i = 0; check_item(n, i); i++) good &= take_word(c, check_item(n, i), at);
    return good;
}

static void put_word(struct conf_writer *w, bool *any, const char *word) {
    fprintf(w->to, "%s%s", *any ? ", " : " [ ", word);
    *any = true;
}

static void print_when(struct conf_writer *w, const struct conf_field *f, const void *at) {
    const struct retry_when *when = at;
    bool any = false;
    char number[4];
    (void)f;
    for (enum ending e = ENDING_NONE + 1; e < ENDINGS; e++)
        if (when->endings >> e & 1) put_word(w, &any, ending_name(e));
    for (unsigned s = 0; s < 200; s++) {
        if (!(when->http[s / 64] >> s % 64 & 1)) continue;
        snprintf(number, sizeof number, "%u", 400 + s);
        put_word(w, &any, number);
    }
    for (uint8_t s = 0; s < GRPC_STATUSES; s++)
        if (when->grpc >> s & 1) put_word(w, &any, grpc_status_name(s));
    fputs(any ? " ]\n" : " []\n", w->to);
}

/* ---- budget: a share, or a share and a floor ------------------------------------------------------------------------------------------------ */

static const struct conf_field budget_fields[] = {
    { .name = "ratio", .type = CONF_PERCENT, .offset = offsetof(struct retry_budget, ratio), .def = "20%", .min = 0, .max = 10000,
      .help = "of the attempts that are under way or wait for a connection" },
    { .name = "floor", .type = CONF_INT, .offset = offsetof(struct retry_budget, floor), .def = "3", .min = 0, .max = 1000000,
      .help = "so many may be under way in any case; a total, shared out among the workers" },
    { 0 }
};
static const struct conf_table budget_table = { .name = "budget", .size = sizeof(struct retry_budget), .fields = budget_fields,
    .help = "How many attempts beyond their requests' first may be under way at an upstream." };

static bool parse_budget(struct conf *c, const struct conf_node *n, const struct conf_field *f, void *at) {
    (void)f;
    if (n->kind != CONF_SCALAR) return conf_load(c, n, &budget_table, at);
    struct retry_budget *b = at;
    conf_load(c, NULL, &budget_table, b);
    struct conf_field row = budget_fields[0];
    row.name = "budget";
    return conf_load_field(c, n, &row, &b->ratio);
}

static void print_budget(struct conf_writer *w, const struct conf_field *f, const void *at) {
    const struct retry_budget *b = at;
    (void)f;
    fprintf(w->to, " { ratio: %u", b->ratio / 100);
    if (b->ratio % 100) fprintf(w->to, ".%02u", b->ratio % 100);
    fprintf(w->to, "%%, floor: %lld }\n", (long long)b->floor);
}

/* ---- the rest -------------------------------------------------------------------------------------------------------------------------------- */

#define IN_BACKOFF(member) (offsetof(struct retry_policy, backoff.member) - offsetof(struct retry_policy, backoff))
static const struct conf_field backoff_fields[] = {
    { .name = "base", .type = CONF_DURATION, .offset = IN_BACKOFF(base), .def = "25ms", .min = 0, .max = 3600 * NS_PER_S,
      .help = "the first retry waits for less than this, the second less than 3 times, the third less than 7 times; 0s: none waits" },
    { .name = "max", .type = CONF_DURATION, .offset = IN_BACKOFF(max), .min = NS_PER_MS, .max = 3600 * NS_PER_S,
      .help = "... and none longer than this; left out: 10 times base" },
    { 0 }
};

static void check_backoff(struct conf *c, const struct conf_node *n, void *at) {
    const span *base = (const void *)((const char *)at + IN_BACKOFF(base)), *max = (const void *)((const char *)at + IN_BACKOFF(max));
    if (n && max->ns && max->ns < base->ns) conf_error(c, conf_pos_of(n, "max"), NULL, "max is less than base");
}
static const struct conf_table backoff_table = { .name = "backoff", .size = sizeof(((struct retry_policy *)0)->backoff), .fields = backoff_fields,
    .check = check_backoff, .help = "How long a retry waits: a random part of a span that doubles." };

static const struct conf_field hedge_fields[] = {
    { .name = "after", .type = CONF_DURATION, .offset = offsetof(struct retry_hedge, after), .required = true, .min = NS_PER_MS, .max = 3600 * NS_PER_S,
      .help = "how long after the last attempt began without an answer another begins beside it: about the 95th percentile of the upstream" },
    { .name = "max", .type = CONF_INT, .offset = offsetof(struct retry_hedge, max), .def = "1", .min = 1, .max = 5, .help = "so many a request" },
    { 0 }
};
static const struct conf_table hedge_table = { .name = "hedge", .size = sizeof(struct retry_hedge), .fields = hedge_fields,
    .help = "Further attempts beside one that is slow; the first answer wins, and the others are cancelled." };

static void check_retry(struct conf *c, const struct conf_node *n, void *at) {
    const struct retry_policy *p = at;
    for (size_t i = 0; i < p->methods.n; i++)
        if (!is_token(p->methods.v[i].name))
            conf_error(c, p->methods.v[i].at->pos, NULL, "\"%.*s\" is no method", STR_ARG(p->methods.v[i].name));
    bool asks = (n && conf_get(n, STR("retries")) && p->retries > 0) || p->hedge;
    if (asks && !p->budget.ratio && !p->budget.floor)
        conf_warn(c, conf_pos_of(n, "budget"), "a floor lets some through where little is under way", "the budget allows no attempt beyond the first");
}

#define PERCENTAGE "[0-9]+(\\\\.[0-9]{1,2})?%"
static const struct conf_field retry_fields[] = {
    { .name = "retries", .type = CONF_INT, .offset = offsetof(struct retry_policy, retries), .def = "1", .min = 0, .max = 10,
      .help = "how many further attempts a request may have; 0: none" },
    { .name = "when", .type = CONF_CUSTOM, .offset = offsetof(struct retry_policy, when), .parse = parse_when, .print = print_when,
      .def = "[ refused_stream, connect_failure, connect_timeout ]",
      .shape = "{\"type\":[\"array\",\"string\",\"integer\"],\"items\":{\"type\":[\"string\",\"integer\"]}}",
      .help = "outcomes that are tried again: endings (after those of the default list the upstream cannot have run the request, after try_timeout "
              "and upstream_* it may have), HTTP statuses of an answer (503), and statuses of gRPC (UNAVAILABLE), for gRPC-Web and Connect too" },
    { .name = "methods", .type = CONF_REFS, .offset = offsetof(struct retry_policy, methods),
      .help = "methods that are sent again although the upstream may have run the request; left out: the idempotent ones, "
              "GET HEAD OPTIONS TRACE PUT DELETE (RFC 9110 9.2.2). For a status of gRPC that `when` names, and for `hedge`, a call needs none" },
    { .name = "backoff", .type = CONF_STRUCT, .offset = offsetof(struct retry_policy, backoff), .table = &backoff_table,
      .help = "how long a retry waits, but for the first one after an outcome that cannot have run, which goes at once" },
    { .name = "budget", .type = CONF_CUSTOM, .offset = offsetof(struct retry_policy, budget), .parse = parse_budget, .print = print_budget,
      .def = "20%",
      .shape = "{ \"type\": \"string\", \"pattern\": \"^" PERCENTAGE "$\" }, { \"type\": \"object\", \"properties\": { \"ratio\": { \"type\": \"string\", "
               "\"pattern\": \"^" PERCENTAGE "$\" }, \"floor\": { \"type\": \"integer\", \"minimum\": 0 } }, \"additionalProperties\": false }",
      .help = "retries and hedges under way or in their back-off, as a share of the upstream's attempts, so that a broken upstream is not asked twice "
              "as much; `{ ratio: 20%, floor: 3 }`, where so many are allowed in any case" },
    { .name = "hedge", .type = CONF_POINTER, .offset = offsetof(struct retry_policy, hedge), .table = &hedge_table,
      .help = "further attempts beside one that is slow; left out: none" },
    { .name = "buffer", .type = CONF_SIZE, .offset = offsetof(struct retry_policy, buffer), .def = "64KiB", .min = 0, .max = 64 << 20,
      .help = "bytes of a request's body that are kept for another attempt; a longer body is sent once" },
    { 0 }
};
const struct conf_table retry_table = { .name = "retry", .size = sizeof(struct retry_policy), .fields = retry_fields, .check = check_retry,
    .help = "When an attempt that failed, or is slow, is followed by another. No attempt starts for a client that has left, nor where less than "
            "`deadline.min` + `deadline.reserve` would be left when it starts." };
