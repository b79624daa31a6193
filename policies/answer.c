// SPDX-License-Identifier: Apache-2.0
// The policy's word on an ending's answer, laid over the table of endings. The keys are made from that table, so a new ending needs no line here.
#include "policies/answer.h"
#include "policies/check.h"
#include <assert.h>

static const char *const grpc_names[GRPC_STATUSES] = {
    "OK", "CANCELLED", "UNKNOWN", "INVALID_ARGUMENT", "DEADLINE_EXCEEDED", "NOT_FOUND", "ALREADY_EXISTS", "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION", "ABORTED", "OUT_OF_RANGE", "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS",
    "UNAUTHENTICATED"
};

const char *grpc_status_name(uint8_t code) { return grpc_names[code < GRPC_STATUSES ? code : GRPC_UNKNOWN]; }

static const char *grpc_word(void *state, size_t i) {
    (void)state;
    return i + 1 < GRPC_STATUSES ? grpc_names[i + 1] : NULL; /* OK is no answer to an ending */
}

static struct answer_row *row_of(void *at, const struct conf_field *f) { return (struct answer_row *)(void *)((char *)at - f->offset); }

static bool parse_http(struct conf *c, const struct conf_node *n, const struct conf_field *f, void *at) {
    uint64_t v;
    if (!check_scalar(c, n, "an HTTP status")) return false;
    if (!str_to_u64(n->text, &v) || v < 400 || v > 599) {
        conf_error(c, n->pos, NULL, "%.*s is no HTTP status of an error (400 to 599)", STR_ARG(n->text));
        return false;
    }
    struct answer_row *row = row_of(at, f);
    row->http = (uint16_t)v;
    row->http_given = true;
    return true;
}

uint8_t grpc_status_by_name(struct str text) {
    uint64_t v;
    if (str_to_u64(text, &v)) return v < GRPC_STATUSES ? (uint8_t)v : 0;
    for (uint8_t i = 1; i < GRPC_STATUSES; i++)
        if (str_eq_nocase(text, str_of(grpc_names[i]))) return i;
    return 0;
}

static bool parse_grpc(struct conf *c, const struct conf_node *n, const struct conf_field *f, void *at) {
    if (!check_scalar(c, n, "a gRPC status")) return false;
    uint8_t code = grpc_status_by_name(n->text);
    if (code == 0) {
        conf_error(c, n->pos, check_meant(c, conf_nearest(n->text, grpc_word, NULL)),
                   "%.*s is no gRPC status of an error (a name, or 1 to 16)", STR_ARG(n->text));
        return false;
    }
    struct answer_row *row = row_of(at, f);
    row->grpc = code;
    row->grpc_given = true;
    return true;
}

/* Only what was said: the ending's own status gives way to the one that a fault says better. */
static void print_http(struct conf_writer *w, const struct conf_field *f, const void *at) {
    const struct answer_row *row = (const void *)((const char *)at - f->offset);
    if (row->http_given) fprintf(w->to, " %u\n", row->http);
}

static void print_grpc(struct conf_writer *w, const struct conf_field *f, const void *at) {
    const struct answer_row *row = (const void *)((const char *)at - f->offset);
    if (row->grpc_given) fprintf(w->to, " %s\n", grpc_status_name(row->grpc));
}

#define ROW_FIELDS(retry)                                                                                                             \
    { .name = "http", .type = CONF_CUSTOM, .offset = offsetof(struct answer_row, http), .parse = parse_http, .print = print_http,      \
      .shape = "{\"type\":\"integer\",\"minimum\":400,\"maximum\":599}",                                                              \
      .help = "HTTP status of the answer, 400 to 599; left out, the ending's own, or the one that the fault says better (413, 431)" }, \
    { .name = "grpc", .type = CONF_CUSTOM, .offset = offsetof(struct answer_row, grpc), .parse = parse_grpc, .print = print_grpc,      \
      .shape = "{\"type\":[\"string\",\"integer\"]}",                                                                                 \
      .help = "gRPC status, by name (UNAVAILABLE) or number; gRPC-Web and Connect clients get the same; left out, the ending's own" }, \
    { .name = "retry_after", .type = CONF_DURATION, .offset = offsetof(struct answer_row, retry_after), .def = (retry),               \
      .help = "when the client may come again, sent as Retry-After in whole seconds, rounded up; 0s: not sent" },                     \
    { 0 }

static const struct conf_field row_fields[] = { ROW_FIELDS("0s") };
static const struct conf_field shed_fields[] = { ROW_FIELDS("1s") };
static const struct conf_table row_table = { .name = "answer to an ending", .size = sizeof(struct answer_row), .fields = row_fields,
    .help = "What a client that still waits is told." };
/* semantics 3: shed_load answers 503 with Retry-After. */
static const struct conf_table shed_table = { .name = "answer to shed_load", .size = sizeof(struct answer_row), .fields = shed_fields,
    .help = "What a client is told whose request found no room." };

/* Only endings that can owe an answer are keys: a client that left or is cut gets none. */
static bool owes_answer(enum ending e) { return ending_rows[e].http > ENDING_CUT; }

static struct conf_field ending_fields[ENDINGS];
static size_t nending_fields;

__attribute__((constructor)) static void fill_ending_fields(void) {
    for (enum ending e = ENDING_NONE + 1; e < ENDINGS; e++) {
        if (!owes_answer(e)) continue;
        ending_fields[nending_fields++] = (struct conf_field){
            .name = ending_rows[e].name, .type = CONF_STRUCT, .table = e == ENDING_SHED_LOAD ? &shed_table : &row_table,
            .offset = offsetof(struct answer_policy, row) + e * sizeof(struct answer_row), .help = ending_rows[e].sentence };
    }
}

static const struct conf_field *ending_field(size_t i) { return i < nending_fields ? &ending_fields[i] : NULL; }

static const struct conf_field no_fields[] = { { 0 } };
const struct conf_table answer_table = { .name = "answer", .size = sizeof(struct answer_policy), .fields = no_fields, .more = ending_field,
    .help = "What a client that still waits is told, by ending. gRPC, gRPC-Web and Connect clients get the gRPC status in their own form; "
            "all others get the HTTP status with a problem document (RFC 9457)." };

/* Semantics 3: a request over a limit is RESOURCE_EXHAUSTED, a malformed one INTERNAL. */
static bool is_over_limit(uint16_t status) { return status == 413 || status == 414 || status == 431; }

void answer_decide(const struct answer_policy *p, enum ending why, uint16_t status, const char *detail, struct rpc_answer *out) {
    assert(why > ENDING_NONE && why < ENDINGS);
    const struct answer_row *row = &p->row[why];
    const struct ending_row *own = &ending_rows[why];
    *out = (struct rpc_answer){ .why = why, .grpc = own->grpc, .detail = str_of(detail ? detail : own->sentence) };
    if (!owes_answer(why)) return; /* T50: a 499 for who has left is a word for the log, never one on the wire */
    out->http = row->http_given ? row->http : status ? status : own->http;
    if (row->grpc_given) out->grpc = row->grpc;
    else if ((why == ENDING_CLIENT_ERROR || why == ENDING_UPSTREAM_ERROR) && is_over_limit(status)) out->grpc = GRPC_RESOURCE_EXHAUSTED;
    out->retry_after = row->retry_after;
}

/* gRPC over HTTP/2, "Errors", with the rows that semantics 3 adds. */
static uint8_t grpc_of_reset(enum reset_word said, bool late) {
    switch (said) {
    case RESET_REFUSED: return GRPC_UNAVAILABLE;
    case RESET_CANCEL: return late ? GRPC_DEADLINE_EXCEEDED : GRPC_CANCELLED;
    case RESET_CALM: return GRPC_RESOURCE_EXHAUSTED;
    case RESET_SECURITY: return GRPC_PERMISSION_DENIED;
    case RESET_UNKNOWN: return GRPC_UNKNOWN;
    case RESET_UNSAID: case RESET_INTERNAL: case RESET_WORDS: break;
    }
    return GRPC_INTERNAL;
}
void answer_by_code(const struct answer_policy *p, enum ending why, enum reset_word said, bool after_head, bool late, struct rpc_answer *out) {
    if (p->row[why].grpc_given) return;
    if (why == ENDING_UPSTREAM_RESET) out->grpc = grpc_of_reset(said, late);
    else if (why == ENDING_UPSTREAM_CLOSED && after_head) out->grpc = GRPC_INTERNAL;
}
