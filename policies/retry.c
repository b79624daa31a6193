// SPDX-License-Identifier: Apache-2.0
// Another attempt, or not. The rule that matters (T39): what may have run is sent again only where the policy names that outcome and the
// method bears it; what cannot have run is sent again freely, while its caller is there and time is left (T38).
#include "policies/retry.h"
#include "policies/check.h"

static bool cannot_have_run(enum ending e) {
    return e == ENDING_REFUSED_STREAM || e == ENDING_CONNECT_FAILURE || e == ENDING_CONNECT_TIMEOUT;
}

/* Outcomes of an attempt, as against endings of the request: only they can be tried again. */
static bool is_outcome(enum ending e) { return ending_rows[e].side == ENDING_SIDE_UPSTREAM || e == ENDING_TRY_TIMEOUT; }

static bool parse_when(struct conf *c, const struct conf_node *n, const struct conf_field *f, void *at) {
    (void)f;
    uint64_t *mask = at;
    if (!check_list(c, n, "the name of an ending")) return false;
    bool good = true;
    for (size_t i = 0; check_item(n, i); i++) {
        const struct conf_node *item = check_item(n, i);
        enum ending e = check_ending(c, item);
        if (e != ENDING_NONE && !is_outcome(e))
            conf_error(c, item->pos, "an attempt can end by refused_stream, connect_failure, connect_timeout, try_timeout, upstream_reset, "
                       "upstream_closed, upstream_error or upstream_idle", "%.*s ends the request, so nothing is left to try again",
                       STR_ARG(item->text));
        if (e == ENDING_NONE || !is_outcome(e)) good = false;
        else *mask |= UINT64_C(1) << e;
    }
    return good;
}
_Static_assert(ENDINGS <= 64, "an ending is a bit of `when`");

static void print_when(struct conf_writer *w, const struct conf_field *f, const void *at) {
    uint64_t mask = *(const uint64_t *)at;
    const char *before = " [ ";
    (void)f;
    for (enum ending e = ENDING_NONE + 1; e < ENDINGS; e++) {
        if (!(mask >> e & 1)) continue;
        fprintf(w->to, "%s%s", before, ending_name(e));
        before = ", ";
    }
    fputs(mask ? " ]\n" : " []\n", w->to);
}

static void check_retry(struct conf *c, const struct conf_node *n, void *at) {
    (void)n;
    const struct retry_policy *p = at;
    for (size_t i = 0; i < p->methods.n; i++)
        if (!is_token(p->methods.v[i].name))
            conf_error(c, p->methods.v[i].at->pos, NULL, "\"%.*s\" is no method", STR_ARG(p->methods.v[i].name));
}

static const struct conf_field retry_fields[] = {
    { .name = "retries", .type = CONF_INT, .offset = offsetof(struct retry_policy, retries), .def = "1", .min = 0, .max = 10,
      .help = "how many further attempts a request may have; 0: none" },
    { .name = "when", .type = CONF_CUSTOM, .offset = offsetof(struct retry_policy, when), .parse = parse_when, .print = print_when,
      .def = "[ refused_stream, connect_failure, connect_timeout ]", .shape = "{\"type\":[\"array\",\"string\"],\"items\":{\"type\":\"string\"}}",
      .help = "outcomes that are tried again; after those of the default list the upstream cannot have run the request, after try_timeout and "
              "upstream_* it may have, so that these apply to `methods` only" },
    { .name = "methods", .type = CONF_REFS, .offset = offsetof(struct retry_policy, methods),
      .help = "methods that are sent again although the upstream may have run the request; left out: the idempotent ones, "
              "GET HEAD OPTIONS TRACE PUT DELETE (RFC 9110 9.2.2)" },
    { .name = "budget", .type = CONF_PERCENT, .offset = offsetof(struct retry_policy, budget), .def = "20%", .min = 0, .max = 10000,
      .help = "retries under way at a time, as a share of an upstream's requests, so that a broken upstream is not asked twice as much" },
    { .name = "buffer", .type = CONF_SIZE, .offset = offsetof(struct retry_policy, buffer), .def = "64KiB", .min = 0, .max = 64 << 20,
      .help = "bytes of a request's body that are kept for another attempt; a longer body is sent once" },
    { 0 }
};
const struct conf_table retry_table = { .name = "retry", .size = sizeof(struct retry_policy), .fields = retry_fields, .check = check_retry,
    .help = "When an attempt that failed is followed by another. No attempt starts for a client that has left, nor with less than "
            "`deadline.min` + `deadline.reserve` left." };

bool method_is_idempotent(struct str method) {
    static const struct str idempotent[] = { STR_INIT("GET"), STR_INIT("HEAD"), STR_INIT("PUT"), STR_INIT("DELETE"), STR_INIT("OPTIONS"),
                                             STR_INIT("TRACE") };
    for (size_t i = 0; i < sizeof idempotent / sizeof *idempotent; i++)
        if (str_eq(idempotent[i], method)) return true;
    return false;
}

static bool bears_repeating(const struct retry_policy *p, struct str method) {
    if (!p->methods.given) return method_is_idempotent(method);
    for (size_t i = 0; i < p->methods.n; i++)
        if (str_eq(p->methods.v[i].name, method)) return true;
    return false;
}

static bool has_bit(uint64_t mask, enum ending e) { return mask >> e & 1; }

bool retry_decide(const struct retry_policy *p, const struct retry_facts *f) {
    if (!f->context_live || !f->replayable || f->made >= p->retries) return false;
    if (f->left.ns < f->min.ns) return false;
    if (f->unprocessed || cannot_have_run(f->outcome)) /* unprocessed, whatever its name, is what refused_stream says */
        return has_bit(p->when, f->outcome) || (f->unprocessed && has_bit(p->when, ENDING_REFUSED_STREAM));
    return has_bit(p->when, f->outcome) && bears_repeating(p, f->method);
}
