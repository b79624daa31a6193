// SPDX-License-Identifier: Apache-2.0
// `curfew explain REQUEST`: what one request would meet, by the very calls that an exchange makes, in their order; only the wire is missing.
#include "policies/hops.h"
#include "policies/lookalike.h"
#include "proxy/explain_inside.h"
#include <time.h>

static const char *read_field(struct arena *a, struct str s, struct head *h) {
    size_t colon = str_index(s, ':');
    struct str name = str_first(s, colon);
    if (colon == s.n || !is_token(name)) return "a field is \"name: value\"";
    name = arena_lower(a, name);
    struct str value = str_trim(str_from(s, colon + 1));
    if (!is_field_value(value)) return "a field's value has a control character";
    if (str_eq(name, STR("host"))) h->authority = value;
    else head_add(h, name, value);
    return NULL;
}
static const char *read_request(struct arena *a, struct str line, const char *const *fields, size_t n, struct head *h) {
    struct str version = { 0 };
    head_init(h, a, true);
    h->authority = STR("localhost");
    h->scheme = STR("http");
    if (!str_split(&line, ' ', &h->method) || !str_split(&line, ' ', &h->target) || !is_token(h->method)) return "a request is \"GET /path HTTP/1.1\"";
    str_split(&line, ' ', &version);
    h->version = str_eq(version, STR("HTTP/2")) ? 20 : str_eq(version, STR("HTTP/1.0")) ? 10 : 11;
    if (!h->target.n || h->target.p[0] != '/') return "the target begins with /";
    for (size_t i = 0; i < n; i++) {
        const char *fault = read_field(a, str_of(fields[i]), h);
        if (fault) return fault;
    }
    return NULL;
}
static void say(struct sheet *s, const char *what, char *value) {
    char **row = sheet_row(s);
    row[0] = sheet_say("%s", what);
    row[1] = value;
}
static void candidates_sheet(struct sheet *s, const struct policy *p, const struct head *h, bool trusted, int64_t wall) {
    static const char *const results[] = { "absent", "", "expired", "no limit", "refused" };
    *s = (struct sheet){ .name = "candidates", .columns = { "dialect", "says", "counts" } };
    for (size_t i = 0; i < p->deadline.nread; i++) {
        const struct dialect *d = p->deadline.read_rows[i];
        struct dialect_reading r = dialect_read(d, h, wall);
        if (r.result == DIALECT_ABSENT && !r.malformed) continue;
        char **row = sheet_row(s);
        row[0] = sheet_say("%.*s", STR_ARG(d->key));
        row[1] = r.result == DIALECT_LEFT ? explain_span(r.left)
                                          : sheet_say("%s", r.malformed && r.result == DIALECT_ABSENT ? "malformed" : results[r.result]);
        row[2] = sheet_say("%s", d->trusted_only && !trusted ? "no: the peer is not trusted" : d->advice ? "as advice" : r.malformed ? "no" : "yes");
    }
}
static void upstream_sheet(struct sheet *s, const struct head *up) {
    *s = (struct sheet){ .name = "upstream sees", .columns = { "field", "value" } };
    say(s, ":target", sheet_say("%.*s %.*s", STR_ARG(up->method), STR_ARG(up->target)));
    for (size_t i = 0; i < up->nfields; i++) {
        if (field_is_removed(&up->fields[i])) continue;
        char **row = sheet_row(s);
        row[0] = sheet_say("%.*s", STR_ARG(up->fields[i].name));
        row[1] = sheet_say("%.*s", STR_ARG(up->fields[i].value));
    }
}
static void note_field(void *arg, const struct field *f, enum field_fate fate) {
    char **row = sheet_row(arg);
    row[0] = sheet_say("%.*s", STR_ARG(f->name));
    row[1] = sheet_say("%s", field_fate_say(fate));
}
/* A listener that takes such a peer; the names in `from` are listeners'. */
static struct str listener_for(const struct config *c, bool trusted) {
    for (size_t i = 0; i < c->listeners.n; i++)
        if ((config_listener(c, i)->trust.mode != TRUST_NONE) == trusted) return c->listeners.names[i].name;
    return c->listeners.n ? c->listeners.names[0].name : (struct str){ 0 };
}
enum { SHEET_REQUEST, SHEET_CANDIDATES, SHEET_CONTEXT, SHEET_UPSTREAM, SHEETS };
struct play {
    const struct config *c;
    struct arena *a;
    const struct head *h;
    const struct rpc *rpc;
    struct str listener;
    bool trusted;
    instant now;
    int64_t wall;
    uint64_t random; /* what is made of it is an example */
    struct route_match m;
    struct deadline_verdict v;
    struct fields_verdict fields;
    struct sheet sheets[SHEETS];
};
static bool find_route(struct play *p) {
    const struct config *c = p->c;
    struct sheet *s = &p->sheets[SHEET_REQUEST];
    bool bad = false;
    say(s, "rpc", sheet_say("%s", p->rpc->name));
    if (route_match(c->routes.v, c->routes.n, p->h, p->rpc, p->a, &p->m, &bad)) return true;
    say(s, "route", sheet_say("%s", bad ? "none: the path is malformed (400 client_error)" : "none (404 no_route)"));
    return false;
}
/* A TRACE, or a Max-Forwards that cannot be counted down. */
static bool is_hindered(struct play *p) {
    const struct fault *f = hops_fault(p->h, p->m.route);
    if (f) say(&p->sheets[SHEET_REQUEST], "refused", sheet_say("%s: %s (%u)", ending_name(f->why), f->say, f->status));
    return f;
}
static void decide(struct play *p) {
    const struct policy *policy = p->m.route->use;
    struct deadline_facts f = { .head = p->h, .rpc = p->rpc, .dialects = &p->c->dialects, .trusted = p->trusted, .now = p->now, .wall_ns = p->wall,
                                .parent = INSTANT_NEVER };
    deadline_decide(&policy->deadline, &f, &p->v);
    struct fields_facts ff = { .head = p->h, .listener = p->listener, .trusted = p->trusted, .rpc = p->rpc, .deadline = &p->v,
                               .deadline_policy = &policy->deadline, .now = p->now, .random = &p->random, .arena = p->a };
    fields_decide(&policy->context, &ff, &p->fields);
    if (p->fields.say && p->v.refuse == ENDING_NONE) p->v.refuse = ENDING_CLIENT_CONTEXT, p->v.say = p->fields.say;
}
static void say_decided(struct play *p) {
    struct sheet *s = &p->sheets[SHEET_REQUEST];
    const struct route_match *m = &p->m;
    const struct deadline_verdict *v = &p->v;
    say(s, "listener", sheet_say("%.*s", STR_ARG(p->listener)));
    say(s, "route", explain_route_name(m->route));
    say(s, "policy", explain_policy_name(p->c, m->route));
    say(s, "mode", sheet_say("%s", mode_name(m->route->use->deadline.mode)));
    for (size_t i = 0; i < m->ncaptures; i++) say(s, "capture", sheet_say("%.*s = %.*s", STR_ARG(m->captures[i].name), STR_ARG(m->captures[i].value)));
    say(s, "deadline", explain_span(instant_until(p->now, v->total)));
    say(s, "to the head", explain_span(v->to_head));
    say(s, "by", sheet_say("%.*s", STR_ARG(v->source_name)));
    if (v->stream) say(s, "stream", sheet_say("yes: no default applies"));
    if (v->refuse != ENDING_NONE) say(s, "refused", sheet_say("%s: %s", ending_name(v->refuse), v->say ? v->say : ""));
    if (p->fields.missing.n) say(s, "missing", sheet_say("%.*s", STR_ARG(p->fields.missing)));
}
static void apply_context(struct play *p, const struct rpc *rpc_up, struct head *up) {
    struct sheet *s = &p->sheets[SHEET_REQUEST];
    struct fields_tally tally;
    struct fields_hop hop = { .listener = p->listener, .down = p->rpc, .up = rpc_up, .verdict = &p->fields, .dialects = &p->c->dialects,
                              .random = &p->random, .on_field = note_field, .arg = &p->sheets[SHEET_CONTEXT] };
    struct lookalike_facts f = { .policy = p->m.route->use, .dialects = &p->c->dialects, .edits = &p->m.route->headers.request, .trusted = p->trusted,
                                 .on_field = note_field, .arg = &p->sheets[SHEET_CONTEXT] };
    lookalikes_remove(&f, up);
    fields_apply(&p->m.route->use->context, &hop, up, &tally);
    if (tally.trace.restarted) say(s, "trace", sheet_say("removed: invalid, or not believed on this listener"));
    if (tally.trace.members) say(s, "tracestate", sheet_say("loses %u members", tally.trace.members));
    if (tally.baggage) say(s, "baggage", sheet_say("loses %u members", tally.baggage));
}
static void ask(struct play *p) {
    const struct deadline_policy *policy = &p->m.route->use->deadline;
    const struct rpc *rpc_up = explain_rpc_up(p->m.route, p->rpc);
    struct head *up = head_clone(p->h, p->a);
    struct deadline_verdict *v = &p->v;
    span told;
    route_rewrite(&p->m, p->a, up);
    hops_tell(up);
    apply_context(p, rpc_up, up);
    enum ending e = deadline_tell(policy, &p->c->dialects, rpc_up, deadline_left(policy, v, p->now, v->to_head), p->wall, true, up, &told);
    bool refused = e != ENDING_NONE && v->enforce;
    if (v->would_refuse == ENDING_NONE) v->would_refuse = e;
    if (refused) say(&p->sheets[SHEET_REQUEST], "refused", sheet_say("%s: no dialect can say so little", ending_name(e)));
    route_edit_headers(&p->m.route->headers.request, up);
    if (!refused) upstream_sheet(&p->sheets[SHEET_UPSTREAM], up);
}
/* The same calls in the same order as an exchange makes them. */
static void follow(struct play *p) {
    p->rpc = rpc_recognise(p->h);
    if (!find_route(p) || is_hindered(p)) return;
    const struct policy *policy = p->m.route->use;
    if (!p->listener.n) p->listener = listener_for(p->c, p->trusted);
    decide(p);
    say_decided(p);
    candidates_sheet(&p->sheets[SHEET_CANDIDATES], policy, p->h, p->trusted, p->wall);
    bool asks = p->v.refuse == ENDING_NONE && explain_has_upstream(p->m.route);
    if (asks && hops_end(p->h)) say(&p->sheets[SHEET_REQUEST], "answered", sheet_say("200, here: Max-Forwards is 0"));
    else if (asks) ask(p);
    if (p->v.refuse == ENDING_NONE && p->v.would_refuse != ENDING_NONE && mode_observes(policy->deadline.mode))
        say(&p->sheets[SHEET_REQUEST], "enforce", sheet_say("would refuse it: %s", ending_name(p->v.would_refuse)));
}
static int64_t wall_now(void) {
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return (int64_t)t.tv_sec * NS_PER_S + t.tv_nsec;
}
const char *explain_request(FILE *to, const struct config *c, struct str line, const char *const *fields, size_t nfields, struct str listener,
                            bool trusted, bool json) {
    struct arena a;
    struct head h;
    arena_init(&a, NULL);
    const char *fault = read_request(&a, line, fields, nfields, &h);
    if (!fault) {
        struct json j = { .to = to };
        struct play p = { .c = c, .a = &a, .h = &h, .listener = listener, .trusted = trusted, .now = { NS_PER_S }, .wall = wall_now(), .random = 1,
                          .sheets = { [SHEET_REQUEST] = { .name = "request", .columns = { "what", "is" } }, [SHEET_CANDIDATES].name = "candidates",
                                      [SHEET_CONTEXT] = { .name = "context", .columns = { "field", "what becomes of it" } },
                                      [SHEET_UPSTREAM].name = "upstream sees" } };
        follow(&p);
        if (json) json_open(&j, NULL, '{');
        sheet_out(to, p.sheets, SHEETS, json ? &j : NULL);
        if (json) json_close(&j, '}');
        fputs("\n", to);
    }
    arena_clear(&a);
    return fault;
}
