// SPDX-License-Identifier: Apache-2.0
// How a cancel is told. The keys of the ladders are the codecs' names and their defaults come from what each codec can do, so that a new codec
// needs no line here; two names are accepted in a build that lacks them, so that one configuration fits all builds.
#include "policies/cancel.h"
#include "policies/check.h"
#include <assert.h>

const char *cancel_level_name(enum cancel_level l) {
    static const char *const names[] = { [LEVEL_NOT_NEEDED] = "", [LEVEL_NONE] = "none", [LEVEL_TTL] = "ttl", [LEVEL_DRAIN] = "drain",
        [LEVEL_CLOSE] = "close", [LEVEL_SIDE_CHANNEL] = "side_channel", [LEVEL_NATIVE] = "native", [LEVEL_WITHDRAWN] = "withdrawn" };
    static_assert(sizeof names / sizeof *names == LEVELS, "a name a level");
    assert(l < LEVELS);
    return names[l];
}

/* ---- ladders ---------------------------------------------------------------------------------------------------------------------- */

static const char *const rung_names[] = { [RUNG_RESET] = "reset", [RUNG_CALL] = "call", [RUNG_CLOSE] = "close", [RUNG_DRAIN] = "drain",
    [RUNG_NONE] = "none" };
static_assert(sizeof rung_names / sizeof *rung_names == RUNGS_MAX, "a name a rung");

static const char *rung_word(void *state, size_t i) {
    (void)state;
    return i < RUNGS_MAX ? rung_names[i] : NULL;
}

static enum rung rung_of_way(enum cancel_way way) {
    switch (way) {
    case CANCEL_BAND:
    case CANCEL_SIDE: /* the codec's own: what `reset` is for a protocol that tells it on another connection */
        return RUNG_RESET;
    case CANCEL_CLOSE: return RUNG_CLOSE;
    case CANCEL_DRAIN: return RUNG_DRAIN;
    case CANCEL_NONE:
    case CANCEL_WITHDRAWN: break;
    }
    return RUNG_NONE;
}

enum cancel_way cancel_way_of(enum rung r) {
    switch (r) {
    case RUNG_RESET: return CANCEL_BAND;
    case RUNG_CLOSE: return CANCEL_CLOSE;
    case RUNG_DRAIN: return CANCEL_DRAIN;
    case RUNG_CALL:
    case RUNG_NONE: break;
    }
    return CANCEL_NONE;
}

static bool can_climb(const struct codec *codec, enum rung r) {
    if (r == RUNG_CALL || r == RUNG_NONE) return true;
    for (size_t i = 0; i < sizeof codec->ways / sizeof *codec->ways && codec->ways[i] != CANCEL_NONE; i++)
        if (rung_of_way(codec->ways[i]) == r) return true;
    return false;
}

static int rung_by_name(struct str s) {
    for (unsigned r = 0; r < RUNGS_MAX; r++)
        if (str_eq(s, str_of(rung_names[r]))) return (int)r;
    return -1;
}

static void say_what_fits(struct conf *c, const struct conf_node *n, const struct codec *codec, enum rung r) {
    const char *hint = r == RUNG_CLOSE && codec->multiplex ? "its connection carries other requests, which would end too" : NULL;
    conf_error(c, n->pos, hint, "%s cannot be told by %s", codec->name, rung_names[r]);
}

/* codec NULL: not in this build, so that only the words can be checked. */
static bool parse_rungs(struct conf *c, const struct conf_node *n, const struct codec *codec, struct ladder *l) {
    if (!check_list(c, n, "call, close, drain, none or reset")) return false;
    size_t before = c->errors;
    for (size_t i = 0; check_item(n, i); i++) {
        const struct conf_node *item = check_item(n, i);
        int r = rung_by_name(item->text);
        if (r < 0) {
            conf_error(c, item->pos, check_meant(c, conf_nearest(item->text, rung_word, NULL)),
                       "%.*s is no way to tell an upstream (reset, call, close, drain, none)", STR_ARG(item->text));
        } else if (codec && !can_climb(codec, (enum rung)r)) {
            say_what_fits(c, item, codec, (enum rung)r);
        } else if (l->n && l->rung[l->n - 1] >= r) { /* drain and close are always taken: what is weaker follows, or is never reached */
            conf_error(c, item->pos, "strongest first: reset, call, close, drain, none", "%s stands after %s", rung_names[r],
                       rung_names[l->rung[l->n - 1]]);
        } else {
            l->rung[l->n++] = (uint8_t)r;
        }
    }
    if (!check_item(n, 0)) conf_error(c, n->pos, "say [ none ] to tell nothing", "no way to tell the upstream is named");
    return c->errors == before;
}

static size_t index_of_field(const struct conf_field *f) {
    return (f->offset - offsetof(struct cancel_policy, ladder)) / sizeof(struct ladder);
}

static bool parse_ladder(struct conf *c, const struct conf_node *n, const struct conf_field *f, void *at) {
    struct ladder *l = at;
    *l = (struct ladder){ 0 };
    return parse_rungs(c, n, codec_at(index_of_field(f)), l);
}

static bool parse_absent_codec(struct conf *c, const struct conf_node *n, const struct conf_field *f, void *at) {
    (void)f;
    (void)at;
    return parse_rungs(c, n, NULL, &(struct ladder){ 0 });
}

static void print_ladder(struct conf_writer *w, const struct conf_field *f, const void *at) {
    const struct ladder *l = at;
    (void)f;
    for (unsigned i = 0; i < l->n; i++) fprintf(w->to, "%s%s", i ? ", " : " [ ", rung_names[l->rung[i]]);
    if (l->n) fputs(" ]\n", w->to);
}

static const char *default_of(const struct codec *codec) {
    static const char *const lists[] = { [RUNG_RESET] = "[ reset ]", [RUNG_CALL] = "[ call ]", [RUNG_CLOSE] = "[ close ]",
        [RUNG_DRAIN] = "[ drain ]", [RUNG_NONE] = "[ none ]" };
    return lists[rung_of_way(codec->ways[0])];
}

static const char ladder_shape[] =
    "{\"type\":[\"array\",\"string\"],\"items\":{\"enum\":[\"reset\",\"call\",\"close\",\"drain\",\"none\"]}}";
static const char ladder_help[] =
    "how an upstream of this protocol is told, strongest first: reset (in band), call (see `call`), close, drain (read the answer and throw "
    "it away), none; each is tried until one is taken, and call is always followed by the next";

static struct conf_field ladder_row(const char *name, const struct codec *codec) {
    return (struct conf_field){ .name = name, .type = CONF_CUSTOM, .shape = ladder_shape, .help = ladder_help,
        .offset = codec ? offsetof(struct cancel_policy, ladder) + codec_index(codec) * sizeof(struct ladder) : 0,
        .parse = codec ? parse_ladder : parse_absent_codec, .print = codec ? print_ladder : NULL, .def = codec ? default_of(codec) : NULL };
}

/* Built at each load's first question rather than before main, where codecs may not have been gathered. Loads are one thread's at a time. */
static const struct conf_field *ladder_field(size_t i) {
    static const char *const always[] = { "http1", "http2" };
    static struct conf_field rows[CODECS_MAX + 2];
    static size_t nrows;
    if (!nrows) {
        size_t n = 0;
        for (size_t k = 0; k < codec_count(); k++)
            if (codec_at(k)->roles & CODEC_UP) rows[n++] = ladder_row(codec_at(k)->name, codec_at(k));
        for (size_t k = 0; k < sizeof always / sizeof *always; k++)
            if (!codec_by_name(str_of(always[k]))) rows[n++] = ladder_row(always[k], NULL);
        nrows = n;
    }
    return i < nrows ? &rows[i] : NULL;
}

/* ---- the table -------------------------------------------------------------------------------------------------------------------- */

static const struct conf_word mode_words[] = {
    { "disabled", MODE_DISABLED, "a client's leaving has no effect, and no upstream is told to stop" },
    { "observe", MODE_OBSERVE, "as disabled, but what enforce would have done is counted and logged" },
    { "forward", MODE_FORWARD, "as observe, but the ladders' call is made: upstreams hear of it, and nothing is reset or closed" },
    { "enforce", MODE_ENFORCE, "does all" },
    { 0 }
};
static const struct conf_word gone_words[] = {
    { "cancel", GONE_CANCEL, "the work is cancelled upstream, by the ladder" },
    { "drain", GONE_DRAIN, "the answer is read and thrown away, within drain_limit" },
    { "ignore", GONE_IGNORE, "the work goes on until it is done or its deadline passes; without one, no longer than deadline.max" },
    { 0 }
};
static const struct conf_word half_words[] = {
    { "auto", HALF_AUTO, "tolerate HTTP/1.0, and requests with neither User-Agent nor Connection: keep-alive, which are probes and simple tools; else abort" },
    { "abort", HALF_ABORT, "the client is gone" },
    { "tolerate", HALF_TOLERATE, "the client still wants its answer" },
    { 0 }
};
#define IN_DRAIN(member) (offsetof(struct cancel_policy, drain_limit.member) - offsetof(struct cancel_policy, drain_limit))
static const struct conf_field drain_fields[] = {
    { .name = "time", .type = CONF_DURATION, .offset = IN_DRAIN(time), .def = "2s", .min = 0, .max = 3600 * NS_PER_S, .help = "how long an unwanted answer is read" },
    { .name = "bytes", .type = CONF_SIZE, .offset = IN_DRAIN(bytes), .def = "1MiB", .min = 0, .max = INT64_C(1) << 40, .help = "how much of it is read" },
    { 0 }
};
static const struct conf_table drain_table = { .name = "drain_limit", .size = sizeof(((struct cancel_policy *)0)->drain_limit),
    .fields = drain_fields, .help = "What reading an unwanted answer to its end may cost, so that its connection can be used again." };
static const struct conf_field cancel_fields[] = {
    { .name = "mode", .type = CONF_ENUM, .offset = offsetof(struct cancel_policy, mode), .words = mode_words, .def = "enforce",
      .help = "how much of all this is done; a request whose body has not come whole is cancelled in every mode, since nobody can answer it" },
    { .name = "client_gone", .type = CONF_ENUM, .offset = offsetof(struct cancel_policy, client_gone), .words = gone_words, .def = "cancel",
      .help = "what a client's leaving means for the work upstream" },
    { .name = "half_close", .type = CONF_ENUM, .offset = offsetof(struct cancel_policy, half_close), .words = half_words, .def = "auto",
      .help = "what a FIN means that comes while the answer is owed; a TCP reset always means that the client is gone" },
    { .name = "drain_limit", .type = CONF_STRUCT, .offset = offsetof(struct cancel_policy, drain_limit), .table = &drain_table,
      .help = "bounds of drain" },
    { .name = "call", .type = CONF_POINTER, .offset = offsetof(struct cancel_policy, call), .table = &call_table,
      .help = "the call that the ladders' `call` makes" },
    { 0 }
};

static bool has_rung(const struct ladder *l, enum rung r) {
    for (unsigned i = 0; i < l->n; i++)
        if (l->rung[i] == r) return true;
    return false;
}

static void check_cancel(struct conf *c, const struct conf_node *n, void *at) {
    const struct cancel_policy *p = at;
    for (size_t i = 0; i < codec_count(); i++)
        if (has_rung(&p->ladder[i], RUNG_CALL) && !(n && conf_get(n, STR("call"))))
            conf_error(c, conf_pos_of(n, codec_at(i)->name), "add call: { method: …, path: … }", "call is named, but what to call is not said");
    if (p->mode == MODE_DISABLED && n && conf_get(n, STR("call"))) conf_warn(c, conf_pos_of(n, "call"), NULL, "no call is made: cancel.mode is disabled");
}

const struct conf_table cancel_table = { .name = "cancel", .size = sizeof(struct cancel_policy), .fields = cancel_fields, .more = ladder_field,
    .check = check_cancel,
    .help = "Whether a client's leaving ends the work upstream, and how the upstream is told of every ending that cancels." };

/* ---- decisions -------------------------------------------------------------------------------------------------------------------- */

bool cancel_fin_is_gone(const struct cancel_policy *p, const struct head *request) {
    switch ((enum half_close)p->half_close) {
    case HALF_ABORT: return true;
    case HALF_TOLERATE: return false;
    case HALF_AUTO: break;
    }
    /* Who asks to keep the connection has another request in mind, so that a FIN of its is no mere end of input: HTTP libraries that name no
     * User-Agent (undici, Node's own) ask for it in so many words. */
    return request->version > 10 && (request->keep_asked || head_find(request, TOKEN_USER_AGENT));
}

static bool is_leaving(enum ending why) {
    return why == ENDING_CLIENT_RESET || why == ENDING_CLIENT_CLOSED || why == ENDING_CLIENT_DEADLINE;
}

struct ladder cancel_ladder(const struct cancel_policy *p, const struct codec *up, enum ending why) {
    assert(why > ENDING_NONE && why < ENDINGS);
    enum ending_upstream told = ending_rows[why].upstream;
    if (told == ENDING_UP_NOTHING) return (struct ladder){ 0 };
    /* A broken answer is no cancel: the codec says it in its own words, and nobody is called. */
    if (told == ENDING_UP_PROTOCOL) return (struct ladder){ .rung = { (uint8_t)rung_of_way(up->ways[0]) }, .n = 1 };
    if (is_leaving(why) && p->client_gone != GONE_CANCEL && can_climb(up, RUNG_DRAIN)) return (struct ladder){ .rung = { RUNG_DRAIN }, .n = 1 };
    return p->ladder[codec_index(up)];
}

struct ladder cancel_ladder_in_mode(const struct cancel_policy *p, const struct codec *up, enum ending why, bool whole) {
    struct ladder l = cancel_ladder(p, up, why);
    if (p->mode == MODE_ENFORCE || !whole || ending_rows[why].upstream != ENDING_UP_CANCEL) return l;
    struct ladder less = { .n = 0 };
    if (p->mode == MODE_FORWARD && has_rung(&l, RUNG_CALL)) less.rung[less.n++] = RUNG_CALL;
    less.rung[less.n++] = RUNG_NONE;
    return less;
}

enum cancel_level cancel_would(const struct cancel_policy *p, const struct codec *up, enum ending why, bool told) {
    struct ladder l = cancel_ladder(p, up, why);
    enum cancel_level best = LEVEL_NOT_NEEDED;
    if (is_leaving(why) && p->client_gone == GONE_IGNORE) return best;
    for (unsigned i = 0; i < l.n; i++) {
        bool call = l.rung[i] == RUNG_CALL;
        enum cancel_level at = call ? LEVEL_SIDE_CHANNEL : cancel_level_of(cancel_way_of(l.rung[i]), told);
        if (at > best && (!call || (p->call && call_is_for(p->call, why)))) best = at;
        if (!call) break;
    }
    return best;
}

enum cancel_level cancel_level_of(enum cancel_way achieved, bool told) {
    switch (achieved) {
    case CANCEL_NONE: return told ? LEVEL_TTL : LEVEL_NONE;
    case CANCEL_DRAIN: return LEVEL_DRAIN;
    case CANCEL_CLOSE: return LEVEL_CLOSE;
    case CANCEL_SIDE: return LEVEL_SIDE_CHANNEL;
    case CANCEL_BAND: return LEVEL_NATIVE;
    case CANCEL_WITHDRAWN: return LEVEL_WITHDRAWN;
    }
    return LEVEL_NONE;
}

/* T35: a client that knows its own deadline resets as ours fires; which came first is chance, and the log must not depend on it. */
enum ending cancel_client_ending(enum ending why, instant now, instant client_deadline, span grace) {
    if (why != ENDING_CLIENT_RESET && why != ENDING_CLIENT_CLOSED) return why;
    if (instant_is_never(client_deadline)) return why;
    return instant_until(now, client_deadline).ns <= grace.ns ? ENDING_CLIENT_DEADLINE : why;
}
