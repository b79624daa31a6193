// SPDX-License-Identifier: Apache-2.0
// `curfew explain`: see explain.h. What all routes do; one request is explain_request.c. What is found is put on sheets, rows of words under named
// columns, which are printed as text or as JSON.
#include "proxy/explain_inside.h"
#include <stdlib.h>

char *explain_span(span s) {
    char buf[64];
    if (span_is_forever(s)) return sheet_say("none");
    conf_print_duration(buf, sizeof buf, s);
    return sheet_say("%s", buf);
}

/* ---- a route: its upstreams ------------------------------------------------------------------------------------------------------------- */
struct route_upstreams { size_t index[64]; size_t n; };
static struct route_upstreams upstreams_of(const struct route *r) {
    struct route_upstreams u = { .n = 0 };
    if (r->upstream_index != SIZE_MAX && r->upstream.name.n) u.index[u.n++] = r->upstream_index;
    for (size_t i = 0; i < r->nweighted && u.n < 64; i++) u.index[u.n++] = r->weighted_index[i];
    return u;
}
bool explain_has_upstream(const struct route *r) { return upstreams_of(r).n > 0; }
static bool may_speak(const struct config *c, const struct route_upstreams *u, const struct codec *k) {
    for (size_t i = 0; i < u->n; i++) {
        const struct upstream_conf *conf = config_upstream(c, u->index[i]);
        if (conf->codec ? conf->codec == k : conf->tls ? k->alpn != NULL : k->default_plain) return true;
    }
    return false;
}
char *explain_route_name(const struct route *r) {
    return r->name.name.n ? sheet_say("%.*s", STR_ARG(r->name.name)) : sheet_say("routes[%zu]", r->index);
}
char *explain_policy_name(const struct config *c, const struct route *r) {
    return sheet_say("%.*s", STR_ARG(c->policies.names[r->use - c->policies.v]));
}

/* ---- how a deadline is carried ------------------------------------------------------------------------------------------------------------- */
static char *dialects_text(const struct dialect *const *rows, size_t n) {
    char *s = NULL;
    for (size_t i = 0; i < n; i++) {
        char *key = sheet_say("%.*s", STR_ARG(rows[i]->key));
        sheet_add_word(&s, ", ", key);
        free(key);
    }
    return s ? s : sheet_say("nothing");
}
const struct rpc *explain_rpc_up(const struct route *r, const struct rpc *client) {
    bool translated = r->translate == TRANSLATE_GRPC && (strcmp(client->name, "grpc-web") == 0 || strcmp(client->name, "connect") == 0);
    return translated ? rpc_by_name("grpc") : client;
}
/* What does not survive the way up. */
static char *lost_text(const struct deadline_policy *p, const struct rpc *rpc, const struct codec *k, size_t family) {
    char *s = NULL;
    if (k->version < rpc->wire_version) return sheet_say("the request: %s needs HTTP/2, it is refused (no_route)", rpc->name);
    if (p->mode == MODE_DISABLED) return sheet_say("nothing is read or written");
    if (p->mode == MODE_OBSERVE) sheet_add_word(&s, "; ", "observed only: nothing changes on the wire");
    if (p->mode == MODE_FORWARD) sheet_add_word(&s, "; ", "told, but not enforced here");
    if (p->nwrite[family] == 0) sheet_add_word(&s, "; ", "the deadline: the upstream is told nothing");
    return s ? s : sheet_say("—");
}
/* Below what an upstream is not asked. */
static char *shed_text(const struct deadline_policy *p) {
    if (p->needs.percent) {
        char *least = explain_span(span_add(p->min, p->reserve)), *reserve = explain_span(p->reserve);
        char *s = sheet_say("%s, or p%u + %s", least, p->needs.percent, reserve);
        free(least), free(reserve);
        return s;
    }
    return explain_span(span_add(span_max(p->min, p->needs.fixed), p->reserve));
}
/* "none", or a share and its window. */
static char *guard_text(const struct deadline_policy *p) {
    if (!p->max_reject) return sheet_say("none");
    char *window = explain_span(p->max_reject->window);
    unsigned ratio = p->max_reject->ratio;
    char *s = ratio % 100 ? sheet_say("%u.%02u%% of %s", ratio / 100, ratio % 100, window) : sheet_say("%u%% of %s", ratio / 100, window);
    free(window);
    return s;
}
static void deadline_sheet(struct sheet *s, const struct config *c, const struct route *r, const struct route_upstreams *u) {
    const struct deadline_policy *p = &r->use->deadline;
    *s = (struct sheet){ .name = "deadline", .columns = { "client speaks", "upstream speaks", "read from", "default", "max", "shed below", "upstream is told", "lost" } };
    for (size_t i = 0; i < rpc_count(); i++) {
        const struct rpc *client = rpc_at(i), *rpc = explain_rpc_up(r, client);
        size_t family = deadline_family_index(rpc->family);
        for (size_t k = 0; k < codec_count(); k++) {
            const struct codec *codec = codec_at(k);
            if (!(codec->roles & CODEC_UP) || !may_speak(c, u, codec)) continue;
            char **row = sheet_row(s);
            row[0] = rpc == client ? sheet_say("%s", rpc->name) : sheet_say("%s → %s", client->name, rpc->name);
            row[1] = sheet_say("%s", codec->name);
            row[2] = dialects_text(p->read_rows, p->nread);
            row[3] = explain_span(p->deflt);
            row[4] = explain_span(p->max);
            row[5] = shed_text(p);
            row[6] = codec->version < rpc->wire_version || p->mode < MODE_FORWARD ? sheet_say("—") : dialects_text(p->write_rows[family], p->nwrite[family]);
            row[7] = lost_text(p, rpc, codec, family);
        }
    }
}

/* ---- what each ending does ------------------------------------------------------------------------------------------------------------------- */
/* A fault may have a status that says it better than its ending's own (struct fault). */
static const struct { enum ending why; uint16_t status[3]; } better[] = {
    { ENDING_CLIENT_ERROR, { 413, 414, 431 } },
    { ENDING_NO_ROUTE, { 501, 505 } },
};
static char *hears_http(const struct policy *p, enum ending e) {
    struct rpc_answer a = { 0 }, b = { 0 };
    answer_decide(&p->answer, e, 0, NULL, &a);
    if (ending_rows[e].http == ENDING_CUT) return sheet_say("reset");
    if (!a.http) return sheet_say("— (log 499)");
    char *s = sheet_say("%u", a.http);
    for (size_t i = 0; i < sizeof better / sizeof *better; i++) {
        for (size_t k = 0; better[i].why == e && k < 3 && better[i].status[k]; k++) {
            answer_decide(&p->answer, e, better[i].status[k], NULL, &b);
            char *status = sheet_say("%u", b.http);
            if (b.http != a.http) sheet_add_word(&s, ", ", status);
            free(status);
        }
    }
    if (a.retry_after.ns > 0) sheet_add_word(&s, " ", "Retry-After");
    return s;
}
/* Where the peer's code, or whether the answer had begun, says which (semantics 3). */
static bool is_by_code(const struct policy *p, enum ending e, uint8_t grpc) {
    for (enum reset_word said = 0; said < RESET_WORDS; said++) {
        struct rpc_answer a = { .grpc = grpc };
        answer_by_code(&p->answer, e, said, false, false, &a);
        if (a.grpc != grpc) return true;
    }
    return false;
}
static char *hears_grpc(const struct policy *p, enum ending e) {
    struct rpc_answer a = { 0 }, late, big;
    if (ending_rows[e].http <= ENDING_CUT) return sheet_say("—");
    answer_decide(&p->answer, e, 0, NULL, &a);
    answer_decide(&p->answer, e, 413, NULL, &big);
    late = a;
    answer_by_code(&p->answer, e, 0, true, false, &late);
    char *s = sheet_say("%s", grpc_status_name(a.grpc));
    if (e == ENDING_CLIENT_ERROR && big.grpc != a.grpc) sheet_add_word(&s, ", over a limit ", grpc_status_name(big.grpc));
    if (is_by_code(p, e, a.grpc)) sheet_add_word(&s, ", ", "or by the code");
    else if (late.grpc != a.grpc) sheet_add_word(&s, ", after the head ", grpc_status_name(late.grpc));
    return s;
}
/* Is an upstream told a deadline, by which it ends what nobody cancels? */
static bool tells(const struct deadline_policy *p) {
    for (size_t i = 0; p->mode >= MODE_FORWARD && i < FAMILIES_MAX; i++)
        if (p->nwrite[i]) return true;
    return false;
}
static char *upstream_text(const struct policy *p, const struct codec *k, enum ending e) {
    switch (ending_rows[e].upstream) {
    case ENDING_UP_NOTHING: return sheet_say("—");
    case ENDING_UP_NEVER_ASKED: return sheet_say("never asked");
    case ENDING_UP_PROTOCOL: return sheet_say("protocol error");
    case ENDING_UP_CANCEL: break;
    }
    struct ladder l = cancel_ladder_in_mode(&p->cancel, k, e, true);
    bool told = tells(&p->deadline);
    if (cancel_would(&p->cancel, k, e, told) == LEVEL_NOT_NEEDED) return sheet_say("it goes on"); /* client_gone: ignore */
    enum cancel_level level = cancel_level_of(CANCEL_NONE, told);
    char *s = NULL;
    for (size_t i = 0; i < l.n && l.rung[i] != RUNG_NONE; i++) {
        if (l.rung[i] == RUNG_CALL) {
            if (p->cancel.call && call_is_for(p->cancel.call, e)) sheet_add_word(&s, "", "side_channel");
            continue;
        }
        level = cancel_level_of(cancel_way_of(l.rung[i]), told);
        break;
    }
    sheet_add_word(&s, ", and ", cancel_level_name(level));
    if (mode_observes(p->cancel.mode)) {
        sheet_add_word(&s, "; enforce: ", cancel_level_name(cancel_would(&p->cancel, k, e, told)));
    }
    return s;
}
static void endings_sheet(struct sheet *s, const struct config *c, const struct route *r, const struct route_upstreams *u) {
    *s = (struct sheet){ .name = "endings", .columns = { "ending", "by", "HTTP client hears", "gRPC client hears" } };
    static const char *const sides[] = { "nobody", "client", "gateway", "upstream" };
    const struct codec *ups[4];
    size_t nups = 0;
    for (size_t k = 0; k < codec_count() && nups < 4; k++) {
        if (!(codec_at(k)->roles & CODEC_UP) || !may_speak(c, u, codec_at(k))) continue;
        static char titles[CODECS_MAX][48];
        snprintf(titles[k], sizeof titles[k], "%s upstream is told by", codec_at(k)->name);
        s->columns[4 + nups] = titles[k];
        ups[nups++] = codec_at(k);
    }
    for (enum ending e = ENDING_COMPLETED + 1; e < ENDINGS; e++) {
        char **row = sheet_row(s);
        row[0] = sheet_say("%s", ending_name(e));
        row[1] = sheet_say("%s", sides[ending_rows[e].side]);
        row[2] = hears_http(r->use, e);
        row[3] = hears_grpc(r->use, e);
        for (size_t k = 0; k < nups; k++) row[4 + k] = upstream_text(r->use, ups[k], e);
    }
}

/* ---- what is tried again ----------------------------------------------------------------------------------------------------------------------- */
static char *methods_text(const struct retry_policy *p) {
    char *s = NULL;
    if (!p->methods.given) return sheet_say("GET HEAD OPTIONS TRACE PUT DELETE");
    for (size_t i = 0; i < p->methods.n; i++) {
        char *method = sheet_say("%.*s", STR_ARG(p->methods.v[i].name));
        sheet_add_word(&s, " ", method);
        free(method);
    }
    return s ? s : sheet_say("no method");
}
static char *endings_text(uint64_t endings) {
    char *s = NULL;
    for (enum ending e = ENDING_NONE + 1; e < ENDINGS; e++)
        if (endings >> e & 1) sheet_add_word(&s, ", ", ending_name(e));
    return s;
}
static char *http_text(const struct retry_when *w) {
    char *s = NULL;
    for (unsigned i = 0; i < 200; i++) {
        if (!(w->http[i / 64] >> i % 64 & 1)) continue;
        char *status = sheet_say("%u", 400 + i);
        sheet_add_word(&s, ", ", status);
        free(status);
    }
    return s;
}
static char *grpc_text(const struct retry_when *w) {
    char *s = NULL;
    for (uint8_t i = 0; i < GRPC_STATUSES; i++)
        if (w->grpc >> i & 1) sheet_add_word(&s, ", ", grpc_status_name(i));
    return s;
}
/* The longest that each of its retries may wait: less than that. */
static char *waits_text(const struct retry_policy *p, bool first_at_once) {
    char *s = NULL;
    for (int64_t n = 1; n <= p->retries; n++) {
        char *most = explain_span(retry_backoff_below(p, n));
        char *wait = first_at_once && n == 1 ? sheet_say("none") : p->backoff.base.ns ? sheet_say("< %s", most) : sheet_say("none");
        sheet_add_word(&s, ", ", wait);
        free(most), free(wait);
    }
    return s;
}
static void say_retries(struct sheet *s, const struct retry_policy *p, char *after, char *of, bool first_at_once) {
    if (!after || !p->retries) {
        free(after), free(of);
        return;
    }
    char **row = sheet_row(s);
    row[0] = after;
    row[1] = of;
    row[2] = sheet_say("%lld", (long long)p->retries);
    row[3] = waits_text(p, first_at_once);
}
static void retries_sheet(struct sheet *s, const struct retry_policy *p) {
    uint64_t unrun = UINT64_C(1) << ENDING_REFUSED_STREAM | UINT64_C(1) << ENDING_CONNECT_FAILURE | UINT64_C(1) << ENDING_CONNECT_TIMEOUT;
    *s = (struct sheet){ .name = "retries", .columns = { "after", "of", "at most", "wait, one after the other" } };
    say_retries(s, p, endings_text(p->when.endings & unrun), sheet_say("whatever method"), true);
    say_retries(s, p, endings_text(p->when.endings & ~unrun), methods_text(p), false);
    char *methods = methods_text(p);
    say_retries(s, p, http_text(&p->when), sheet_say("%s in plain HTTP", methods), false);
    say_retries(s, p, grpc_text(&p->when), sheet_say("every RPC"), false);
    if (p->hedge) {
        char **row = sheet_row(s);
        char *after = explain_span(p->hedge->after);
        row[0] = sheet_say("%s without an answer (hedge)", after);
        row[1] = sheet_say("every RPC, and %s in plain HTTP", methods);
        row[2] = sheet_say("%lld", (long long)p->hedge->max);
        free(after);
    }
    free(methods);
    if (s->n == 0) return;
    char **row = sheet_row(s);
    row[0] = sheet_say("within the budget");
    row[1] = sheet_say("%g%% of the upstream's attempts, or %lld", p->budget.ratio / 100.0, (long long)p->budget.floor);
}

/* ---- what a policy says and cannot do ---------------------------------------------------------------------------------------------------------- */
static void warn(struct sheet *s, const char *words) { sheet_row(s)[0] = sheet_say("%s", words); }
static bool has_rung(const struct ladder *l, enum rung rung) {
    for (size_t i = 0; i < l->n; i++)
        if (l->rung[i] == rung) return true;
    return false;
}
static void warn_of_ladders(struct sheet *s, const struct config *c, const struct route *r, const struct route_upstreams *u) {
    const struct cancel_policy *p = &r->use->cancel;
    bool called = false;
    for (size_t k = 0; k < codec_count(); k++) {
        const struct codec *codec = codec_at(k);
        if (!(codec->roles & CODEC_UP) || !may_speak(c, u, codec)) continue;
        const struct ladder *l = &p->ladder[k];
        called |= has_rung(l, RUNG_CALL);
        if (l->n == 0 || l->rung[l->n - 1] == RUNG_NONE || l->rung[l->n - 1] == RUNG_CALL) {
            char *w = sheet_say("cancel.%s ends without a rung that the upstream must notice: what it works on goes on until the deadline", codec->name);
            warn(s, w);
            free(w);
        }
    }
    if (p->call && !called) warn(s, "cancel.call is never made: no ladder of this route's protocols has the rung `call`");
}
/* What never fits, whatever chance says: half of a back-off's span is what it takes on average. */
static void warn_of_retries(struct sheet *s, const struct retry_policy *p, const struct deadline_policy *d) {
    int64_t room = span_sub(d->max, span_add(d->min, d->reserve)).ns;
    if (p->hedge && p->hedge->after.ns >= room) warn(s, "retry.hedge.after leaves less of deadline.max than min + reserve: there is never a hedge");
    if (p->retries == 0) return;
    if (!p->when.endings && !p->when.statuses) warn(s, "retry.retries is set and retry.when is empty: there is never a retry");
    if (!span_is_forever(d->per_try) && d->per_try.ns >= d->max.ns) {
        warn(s, "deadline.per_try is not less than deadline.max: a retry after try_timeout can never fit");
    } else if (p->when.endings >> ENDING_TRY_TIMEOUT & 1 && !span_is_forever(d->per_try)) {
        int64_t tries = 1;
        while (tries <= p->retries && i64_mul_sat(d->per_try.ns, tries) < room) tries++;
        if (tries <= p->retries) {
            char *w = sheet_say("of %lld retries after try_timeout only %lld fit into deadline.max", (long long)p->retries, (long long)tries - 1);
            warn(s, w);
            free(w);
        }
    }
    if (retry_backoff_below(p, 1).ns / 2 >= room) warn(s, "retry.backoff.base is so long that half of the first retries leave nothing of deadline.max");
}
static bool has_optional(const struct fields_policy *p) {
    for (size_t i = 0; i < p->fields.n; i++)
        if (CONF_AT(p->fields, const struct context_field, i)->optional) return true;
    return false;
}
static void warn_of_context(struct sheet *s, const struct config *c, const struct fields_policy *p) {
    bool looks = c->load.inflight != INT64_MAX || !span_is_forever(c->load.loop_lag);
    if (has_optional(p) && !looks) warn(s, "context.fields has optional ones, and load no threshold: only the caps and an operator drop them");
}
static void warnings_sheet(struct sheet *s, const struct config *c, const struct route *r, const struct route_upstreams *u) {
    const struct deadline_policy *d = &r->use->deadline;
    const struct retry_policy *retry = &r->use->retry;
    *s = (struct sheet){ .name = "warnings", .columns = { "warning" } };
    span least = span_add(d->min, d->reserve);
    if (d->min.ns < d->reserve.ns) warn(s, "deadline.min is below deadline.reserve: an upstream may be asked with less time than is kept back from it");
    if (d->deflt.ns <= least.ns) warn(s, "deadline.default is not more than min + reserve: a request without a deadline is always shed");
    if (d->max.ns <= least.ns) warn(s, "deadline.max is not more than min + reserve: every deadline is shed");
    if (d->mode >= MODE_FORWARD && d->nread == 0) warn(s, "deadline.read is empty: no client's deadline counts");
    if (r->use->cancel.mode == MODE_DISABLED) warn(s, "cancel.mode is disabled: no upstream is told to stop, and a client's leaving ends nothing");
    warn_of_retries(s, retry, d);
    if ((r->use->cancel.client_gone == GONE_IGNORE || r->use->cancel.mode != MODE_ENFORCE) && span_is_forever(d->max)) {
        warn(s, "deadline.max is none, and work goes on without its client: it may go on for ever");
    }
    warn_of_ladders(s, c, r, u);
    warn_of_context(s, c, &r->use->context);
}

static void explain_route(FILE *to, const struct config *c, const struct route *r, struct json *j) {
    struct route_upstreams u = upstreams_of(r);
    char *name = explain_route_name(r), *policy = explain_policy_name(c, r), *guard = guard_text(&r->use->deadline), *ups = NULL;
    for (size_t i = 0; i < u.n; i++) {
        const struct upstream_conf *conf = config_upstream(c, u.index[i]);
        char *one = sheet_say("%.*s (%s)", STR_ARG(c->upstreams.names[u.index[i]].name), conf->codec ? conf->codec->name : "auto");
        sheet_add_word(&ups, ", ", one);
        free(one);
    }
    if (!ups) ups = sheet_say(r->redirect ? "answered here (redirect)" : "answered here (respond)");
    struct sheet sheets[4];
    memset(sheets, 0, sizeof sheets);
    sheets[0].name = "deadline", sheets[1].name = "endings", sheets[2].name = "retries", sheets[3].name = "warnings";
    if (u.n) {
        deadline_sheet(&sheets[0], c, r, &u);
        endings_sheet(&sheets[1], c, r, &u);
        retries_sheet(&sheets[2], &r->use->retry);
        warnings_sheet(&sheets[3], c, r, &u);
    }
    if (j) {
        json_open(j, NULL, '{');
        json_str(j, "route", str_of(name));
        json_str(j, "policy", str_of(policy));
        json_str(j, "mode", str_of(mode_name(r->use->deadline.mode)));
        json_str(j, "cancel_mode", str_of(mode_name(r->use->cancel.mode)));
        json_str(j, "max_reject", str_of(guard));
        json_str(j, "upstreams", str_of(ups));
    } else {
        fprintf(to, "%s: policy %s (deadline.mode %s, cancel.mode %s, max_reject %s) → %s\n", name, policy, mode_name(r->use->deadline.mode),
                mode_name(r->use->cancel.mode), guard, ups);
    }
    sheet_out(to, sheets, 4, j);
    if (j) json_close(j, '}');
    else fputs("\n", to);
    free(name), free(policy), free(guard), free(ups);
}
bool explain_routes(FILE *to, const struct config *c, struct str route, bool json) {
    struct json j = { .to = to };
    size_t said = 0;
    if (json) json_open(&j, NULL, '{'), json_open(&j, "routes", '[');
    for (size_t i = 0; i < c->routes.n; i++) {
        const struct route *r = CONF_AT(c->routes, struct route, i);
        char *name = explain_route_name(r);
        bool wanted = !route.n || str_eq(str_of(name), route);
        free(name);
        if (!wanted) continue;
        explain_route(to, c, r, json ? &j : NULL);
        said++;
    }
    if (json) json_close(&j, ']'), json_close(&j, '}'), fputs("\n", to);
    return said > 0 || !route.n;
}
