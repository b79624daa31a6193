// SPDX-License-Identifier: Apache-2.0
// "observe: counts and logs exactly what enforcing would have done, and changes nothing on the wire": the same scene is played in every mode. What observe
// and forward say that enforcing would have done is what enforce did; and what the two ends see under observe is, byte for byte, what they see under
// disabled. Scenes are told by hand, and drawn by chance: FLOW_SEED=n repeats a round that failed, FLOW_ROUNDS=n plays more of them.
#include "tests/flow/stage.h"
#include "core/random.h"

enum { DEADLINE_MODES = 4 };
static const char *const modes[] = { "disabled", "observe", "forward", "enforce" };

/* ---- a scene: what the two ends do, and when ------------------------------------------------------------------------------------------- */
enum deed { ASK, ASK_MORE, HEAD, BODY, END, ANSWER_WHOLE, UP_FIN, UP_RST, FIN, RST, ACCEPT };
struct act { int64_t at; enum deed deed; const char *text; }; /* text: headers, or bytes; NULL: those of the deed */
struct scene {
    const char *name, *deadline, *cancel, *more, *upstream; /* more: of the policy */
    const char *busy;         /* another request holds the only connection until this long after the beginning, in ms; NULL: none */
    bool slowly;              /* the upstream is slow to accept */
    bool measured;            /* it has no meaning in mode disabled */
    struct act acts[16];      /* in order; an ASK ends the list's beginning */
};
struct word { char text[64]; };
struct run { struct word ending, would, level, would_cancel; char *up, *down; uint64_t counted; };

static struct word logged(const char *key) {
    struct word w = { "" };
    char name[64];
    snprintf(name, sizeof name, "\"%s\":\"", key);
    const char *p = strstr(world.line, name);
    if (p) snprintf(w.text, sizeof w.text, "%.*s", (int)strcspn(p + strlen(name), "\""), p + strlen(name));
    return w;
}
static struct sock *latest_upstream(void) {
    for (size_t i = world.n; i-- > 0;)
        if (world.v[i]->port) return world.v[i];
    return NULL;
}
static bool can_speak(const struct sock *s) { return s && !s->closed && !s->fin && !s->reset_by_us; }
static void up_says(const char *text) {
    struct sock *u = latest_upstream();
    if (can_speak(u) && u->opened) sends(u, text);
}
static void does_deed(const struct act *a, struct sock *c) {
    struct sock *u = latest_upstream();
    switch (a->deed) {
    case ASK: case ASK_MORE:
        if (can_speak(c)) sends(c, a->text);
        break;
    case HEAD: up_says(a->text ? a->text : "HTTP/1.1 200 OK\r\ndate: x\r\ntransfer-encoding: chunked\r\n\r\n"); break;
    case BODY: up_says("3\r\nabc\r\n"); break;
    case END: up_says("0\r\n\r\n"); break;
    case ANSWER_WHOLE: up_says(ANSWER_OK); break;
    case UP_FIN:
        if (can_speak(u)) finishes(u);
        break;
    case UP_RST:
        if (can_speak(u)) resets(u);
        break;
    case FIN:
        if (can_speak(c)) finishes(c);
        break;
    case RST:
        if (can_speak(c)) resets(c);
        break;
    case ACCEPT:
        if (u && u->waits) accepts(u);
        break;
    }
}
static char *said(bool by_clients) {
    char *text = NULL;
    size_t n = 0;
    FILE *f = open_memstream(&text, &n);
    for (size_t i = 0; i < world.n; i++) {
        const struct sock *s = world.v[i];
        if ((s->port == 0) != by_clients) continue;
        fprintf(f, "[%zu] %s\n%s at %lld\n", i, s->got ? s->got : "", s->reset ? "reset" : s->closed ? "closed" : "open", (long long)s->closed_at);
    }
    fclose(f);
    return text;
}
static uint64_t counted(const char *would) {
    const struct observed_metrics *o = world.w.metrics.routes->v[1]->observed;
    for (unsigned e = 0; o && e < ENDINGS; e++)
        if (strcmp(ending_name((enum ending)e), would) == 0) return atomic_load(&o->endings[e]);
    return 0;
}
static void unstage_all(void) {
    for (size_t i = 0; i < world.n; i++)
        if (!world.v[i]->closed && !world.v[i]->reset_by_us) resets(world.v[i]);
    assert_nothing_left();
    step(HOUR);
    unstage();
}
static struct run play(const struct scene *s, const char *mode) {
    char policy[1024];
    struct run r = { .counted = 0 };
    snprintf(policy, sizeof policy, "deadline: { mode: %s, %s }, cancel: { mode: %s, %s } %s", mode, s->deadline ? s->deadline : "", mode,
             s->cancel ? s->cancel : "", s->more ? s->more : "");
    stage((struct given){ .policy = policy, .upstream = s->upstream, .policies = "  plain: { deadline: { mode: disabled } }",
                          .routes = "  - { match: { path: /first }, upstream: app, policy: plain }\n  - { match: {}, upstream: app }" });
    struct sock *first = NULL, *c;
    if (s->busy) {
        first = client();
        client_sends(first, GET_PATH("/first", ""));
    }
    if (s->slowly) world.connects[0] = SLOWLY;
    c = client();
    bool released = !s->busy;
    for (size_t i = 0; i < 16 && (s->acts[i].text || s->acts[i].at || s->acts[i].deed); i++) {
        int64_t due = s->busy ? strtol(s->busy, NULL, 10) * MS : 0;
        if (!released && due <= s->acts[i].at) {
            at(due);
            up_says(ANSWER_OK);
            released = true;
        }
        if (s->acts[i].at > world.now) at(s->acts[i].at);
        does_deed(&s->acts[i], c);
    }
    step(2 * HOUR);
    while (next_line()) {
        if (strstr(world.line, "/first")) continue;
        assert_int_equal(r.ending.text[0], 0); /* one request, one line */
        r.ending = logged("ending"), r.would = logged("would_have"), r.level = logged("cancel_level"), r.would_cancel = logged("would_cancel");
    }
    if (!r.ending.text[0]) fail_msg("%s: it did not end in mode %s", s->name, mode);
    r.counted = counted(r.would.text);
    r.up = said(false);
    r.down = said(true);
    unstage_all();
    return r;
}
static void run_free(struct run *r) { free(r->up), free(r->down); }

/* All that differ are said, before the test fails. */
static unsigned faults;
#define DIFFERS(...) (faults++, print_error(__VA_ARGS__))
/* What enforce did, as observe should have said it. */
static void compare(const struct scene *s, const struct run *r, const struct run *enforced, const char *mode) {
    const char *would = r->would.text[0] ? r->would.text : r->ending.text;
    if (!r->would.text[0] && strcmp(would, "deadline") == 0) return; /* where nothing is enforced, work without its client lasts for deadline.max: that is real */
    if (strcmp(would, enforced->ending.text) != 0)
        DIFFERS("%s: enforce ended it with %s, and %s says %s (it ended with %s)\n", s->name, enforced->ending.text, mode, would, r->ending.text);
    if (r->would.text[0]) assert_int_equal(r->counted, 1);
    if (r->would.text[0] && strcmp(r->would_cancel.text, enforced->level.text) != 0)
        DIFFERS("%s: enforce ended it with %s at level \"%s\", and %s says \"%s\"\n", s->name, enforced->ending.text, enforced->level.text, mode,
                r->would_cancel.text);
}
static void compare_wire(const struct scene *s, const struct run *disabled, const struct run *observed) {
    if (strcmp(disabled->up, observed->up) != 0) DIFFERS("%s: the upstream saw, disabled:\n%s\nobserved:\n%s\n", s->name, disabled->up, observed->up);
    if (strcmp(disabled->down, observed->down) != 0) DIFFERS("%s: the client saw, disabled:\n%s\nobserved:\n%s\n", s->name, disabled->down, observed->down);
    if (disabled->would.text[0]) DIFFERS("%s: disabled says %s\n", s->name, disabled->would.text);
    bool same = strcmp(disabled->ending.text, observed->ending.text) == 0 || strcmp(observed->ending.text, "client_deadline") == 0; /* a word for the log */
    if (!same) DIFFERS("%s: disabled %s, observed %s\n", s->name, disabled->ending.text, observed->ending.text);
}
static void plays_alike(const struct scene *s) {
    struct run r[DEADLINE_MODES];
    for (unsigned i = s->measured; i < DEADLINE_MODES; i++) r[i] = play(s, modes[i]);
    compare(s, &r[1], &r[3], "observe");
    compare(s, &r[2], &r[3], "forward");
    if (!s->measured) compare_wire(s, &r[0], &r[1]);
    for (unsigned i = s->measured; i < DEADLINE_MODES; i++) run_free(&r[i]);
}

/* ---- told by hand ----------------------------------------------------------------------------------------------------------------------- */
#define ALL GET("")
#define WITHIN(t) GET("x-request-timeout: " t "\r\n")
#define STREAM GET("accept: text/event-stream\r\n")
static const struct scene scenes[] = {
    { .name = "answered in time", .acts = { { 0, ASK, ALL }, { 10 * MS, ANSWER_WHOLE, NULL } } },
    { .name = "the client's deadline", .acts = { { 0, ASK, WITHIN("100ms") }, { 200 * MS, ANSWER_WHOLE, NULL } } },
    { .name = "the default", .deadline = "default: 1s", .acts = { { 0, ASK, ALL }, { 2 * SECONDS, ANSWER_WHOLE, NULL } } },
    { .name = "the default does not cut a body", .deadline = "default: 1s",
      .acts = { { 0, ASK, ALL }, { 900 * MS, HEAD, NULL }, { 1500 * MS, BODY, NULL }, { 1600 * MS, END, NULL } } },
    { .name = "the deadline cuts a body", .acts = { { 0, ASK, WITHIN("100ms") }, { 50 * MS, HEAD, NULL }, { 150 * MS, END, NULL } } },
    { .name = "the answer's margin", .deadline = "answer_margin: 50ms", .acts = { { 0, ASK, WITHIN("200ms") }, { 180 * MS, ANSWER_WHOLE, NULL } } },
    { .name = "shed on arrival", .acts = { { 0, ASK, WITHIN("5ms") }, { 1 * MS, ANSWER_WHOLE, NULL } } },
    { .name = "shed for what the route needs", .deadline = "needs: 1s", .acts = { { 0, ASK, WITHIN("500ms") }, { 1 * MS, ANSWER_WHOLE, NULL } } },
    { .name = "no deadline, and one is required", .more = ", context: { require: { deadline: reject } }", .measured = true,
      .acts = { { 0, ASK, ALL }, { 1 * MS, ANSWER_WHOLE, NULL } } },
    { .name = "no deadline, and one is injected", .deadline = "default: 1s", .more = ", context: { require: { deadline: inject } }", .measured = true,
      .acts = { { 0, ASK, ALL }, { 500 * MS, HEAD, NULL }, { 2 * SECONDS, END, NULL } } },
    { .name = "a body that pauses", .deadline = "idle: 1s",
      .acts = { { 0, ASK, ALL }, { 10 * MS, HEAD, NULL }, { 2 * SECONDS, BODY, NULL }, { 2100 * MS, END, NULL } } },
    { .name = "a body that pauses until its client leaves", .deadline = "idle: 1s",
      .acts = { { 0, ASK, ALL }, { 10 * MS, HEAD, NULL }, { 2 * SECONDS, RST, NULL }, { 2100 * MS, END, NULL } } },
    { .name = "a body that pauses until its upstream is lost", .deadline = "idle: 1s",
      .acts = { { 0, ASK, ALL }, { 10 * MS, HEAD, NULL }, { 2 * SECONDS, UP_RST, NULL } } },
    { .name = "a stream whose head does not come", .deadline = "streaming: { idle: 1s }", .acts = { { 0, ASK, STREAM }, { 2 * SECONDS, ANSWER_WHOLE, NULL } } },
    { .name = "a client's own deadline, and the idle before it", .deadline = "idle: 1s", .acts = { { 0, ASK, WITHIN("5s") }, { 2 * SECONDS, ANSWER_WHOLE, NULL } } },
    { .name = "a pause that the deadline ends", .deadline = "idle: 1s",
      .acts = { { 0, ASK, WITHIN("1500ms") }, { 900 * MS, HEAD, NULL }, { 3 * SECONDS, BODY, NULL }, { 3100 * MS, END, NULL } } },
    { .name = "streaming.max", .deadline = "streaming: { max: 1s }", .acts = { { 0, ASK, STREAM }, { 10 * MS, HEAD, NULL }, { 2 * SECONDS, END, NULL } } },
    { .name = "a try that is too long", .deadline = "per_try: 1s", .acts = { { 0, ASK, ALL }, { 2 * SECONDS, ANSWER_WHOLE, NULL } } },
    { .name = "a try whose body is too long", .deadline = "per_try: 1s", .acts = { { 0, ASK, ALL }, { 500 * MS, HEAD, NULL }, { 2 * SECONDS, END, NULL } } },
    { .name = "a try that is too long, and its client leaves", .deadline = "per_try: 1s",
      .acts = { { 0, ASK, ALL }, { 2 * SECONDS, RST, NULL }, { 3 * SECONDS, ANSWER_WHOLE, NULL } } },
    { .name = "a try that is too long, until its upstream is lost", .deadline = "per_try: 1s", .acts = { { 0, ASK, ALL }, { 2 * SECONDS, UP_FIN, NULL } } },
    { .name = "a try and a deadline", .deadline = "per_try: 1s", .acts = { { 0, ASK, WITHIN("500ms") }, { 2 * SECONDS, ANSWER_WHOLE, NULL } } },
    { .name = "too little left after the queue", .upstream = "max_connections: 1", .busy = "90",
      .acts = { { 0, ASK, WITHIN("100ms") }, { 90 * MS, ACCEPT, NULL }, { 91 * MS, ANSWER_WHOLE, NULL } } },
    { .name = "less than the route needs after the queue", .deadline = "needs: 50ms", .upstream = "max_connections: 1", .busy = "60",
      .acts = { { 0, ASK, WITHIN("100ms") }, { 60 * MS, ACCEPT, NULL }, { 61 * MS, ANSWER_WHOLE, NULL } } },
    { .name = "a deadline in the queue", .upstream = "max_connections: 1", .busy = "200",
      .acts = { { 0, ASK, WITHIN("100ms") }, { 200 * MS, ACCEPT, NULL }, { 210 * MS, ANSWER_WHOLE, NULL } } },
    { .name = "a deadline while it connects", .slowly = true,
      .acts = { { 0, ASK, WITHIN("100ms") }, { 200 * MS, ACCEPT, NULL }, { 210 * MS, ANSWER_WHOLE, NULL } } },
    { .name = "a client that resets", .acts = { { 0, ASK, ALL }, { 10 * MS, RST, NULL }, { 20 * MS, ANSWER_WHOLE, NULL } } },
    { .name = "a client that leaves at its deadline", .acts = { { 0, ASK, WITHIN("100ms") }, { 95 * MS, RST, NULL }, { 200 * MS, ANSWER_WHOLE, NULL } } },
    { .name = "a FIN", .acts = { { 0, ASK, ALL }, { 10 * MS, FIN, NULL }, { 20 * MS, ANSWER_WHOLE, NULL } } },
    { .name = "a FIN at its deadline", .acts = { { 0, ASK, WITHIN("100ms") }, { 95 * MS, FIN, NULL }, { 98 * MS, ANSWER_WHOLE, NULL } } },
    { .name = "a FIN that is tolerated", .cancel = "half_close: tolerate", .acts = { { 0, ASK, ALL }, { 10 * MS, FIN, NULL }, { 20 * MS, ANSWER_WHOLE, NULL } } },
    { .name = "a FIN that is ignored", .cancel = "client_gone: ignore", .acts = { { 0, ASK, ALL }, { 10 * MS, FIN, NULL }, { 20 * MS, ANSWER_WHOLE, NULL } } },
    { .name = "a reset that is ignored", .cancel = "client_gone: ignore", .acts = { { 0, ASK, ALL }, { 10 * MS, RST, NULL }, { 20 * MS, ANSWER_WHOLE, NULL } } },
    { .name = "a reset that is ignored, in the queue", .cancel = "client_gone: ignore", .upstream = "max_connections: 1", .busy = "90",
      .acts = { { 0, ASK, ALL }, { 10 * MS, RST, NULL }, { 90 * MS, ACCEPT, NULL }, { 91 * MS, ANSWER_WHOLE, NULL } } },
    { .name = "a reset that is ignored, and then the default", .cancel = "client_gone: ignore", .deadline = "default: 1s",
      .acts = { { 0, ASK, ALL }, { 10 * MS, RST, NULL }, { 2 * SECONDS, ANSWER_WHOLE, NULL } } },
    { .name = "a reset after the deadline", .acts = { { 0, ASK, WITHIN("100ms") }, { 300 * MS, RST, NULL }, { 400 * MS, ANSWER_WHOLE, NULL } } },
    { .name = "drained for one who left", .cancel = "client_gone: drain", .acts = { { 0, ASK, ALL }, { 10 * MS, RST, NULL }, { 20 * MS, ANSWER_WHOLE, NULL } } },
    { .name = "a failure after the deadline is tried again by who enforces none", .more = ", retry: { retries: 1, when: [ upstream_closed ], backoff: { base: 0s } }",
      .acts = { { 0, ASK, WITHIN("100ms") }, { 200 * MS, UP_FIN, NULL }, { 210 * MS, ANSWER_WHOLE, NULL } } },
    { .name = "a failure with too little left for another try", .more = ", retry: { retries: 1, when: [ upstream_closed ], backoff: { base: 0s } }",
      .acts = { { 0, ASK, WITHIN("100ms") }, { 90 * MS, UP_FIN, NULL }, { 95 * MS, ANSWER_WHOLE, NULL } } },
    { .name = "an upload that takes long pauses the default", .deadline = "default: 1s",
      .acts = { { 0, ASK, POST("content-length: 6\r\n") "abc" }, { 2 * SECONDS, ASK_MORE, "def" }, { 2500 * MS, ANSWER_WHOLE, NULL } } },
    { .name = "an upload that takes longer than the deadline", .acts = { { 0, ASK, POST("x-request-timeout: 1s\r\ncontent-length: 6\r\n") "abc" },
      { 2 * SECONDS, ASK_MORE, "def" }, { 2500 * MS, ANSWER_WHOLE, NULL } } },
};
static void what_observe_says_is_what_enforce_does(void **state) {
    (void)state;
    const char *only = getenv("FLOW_SCENE");
    for (size_t i = 0; i < sizeof scenes / sizeof *scenes; i++)
        if (!only || strcmp(only, scenes[i].name) == 0) plays_alike(&scenes[i]);
    assert_int_equal(faults, 0);
}

/* ---- drawn by chance -------------------------------------------------------------------------------------------------------------------- */
static uint64_t seed;
static size_t below(size_t n) { return (size_t)(random_next(&seed) % n); }
#define PICK(list) ((list)[below(sizeof(list) / sizeof *(list))])
static struct scene draw_scene(const char *name) {
    static const char *const asks[] = { ALL, ALL, STREAM, WITHIN("5ms"), WITHIN("100ms"), WITHIN("1s"), WITHIN("1500ms"), WITHIN("5s"), WITHIN("garbage"),
                                        POST("content-length: 6\r\n") "abc", POST("x-request-timeout: 1s\r\ncontent-length: 6\r\n") "abc" };
    static const char *const deadlines[] = { "", "", "default: 1s", "idle: 1s", "per_try: 300ms", "streaming: { idle: 1s }", "streaming: { max: 1s }",
                                             "default: 1s, idle: 500ms", "answer_margin: 50ms", "needs: 60ms", "per_try: 300ms, idle: 200ms",
                                             "max: 500ms", "max_reject: { ratio: 0%, at_least: 1 }" };
    static const char *const cancels[] = { "", "", "client_gone: ignore", "client_gone: drain", "half_close: tolerate", "half_close: abort", "http1: [ none ]",
                                           "http1: [ drain ]" };
    static const char *const more[] = { "", "", ", retry: { retries: 1, when: [ upstream_closed, upstream_reset ], backoff: { base: 0s } }",
                                        ", retry: { retries: 1, when: [ upstream_closed, upstream_reset ], backoff: { base: 100ms } }" };
    static const int64_t pauses[] = { 0, 1, 5, 10, 50, 90, 99, 100, 110, 200, 300, 500, 900, 1000, 1100 };
    static const char *const busy[] = { NULL, NULL, NULL, "50", "90", "500" };
    struct scene s = { .name = name, .deadline = PICK(deadlines), .cancel = PICK(cancels), .more = PICK(more), .busy = PICK(busy), .slowly = below(6) == 0,
                       .upstream = "connect_timeout: 730ms" /* in no instant with anything else: of two at once the first is chance */ };
    if (s.busy) s.upstream = "max_connections: 1", s.slowly = false;
    s.acts[0] = (struct act){ 0, ASK, PICK(asks) };
    bool whole = !strstr(s.acts[0].text, "POST");
    int64_t now = 0;
    size_t n = 1;
    for (size_t last = 2 + below(8); n < last; n++) {
        now += PICK(pauses) * MS;
        s.acts[n] = (struct act){ now, (enum deed)(ASK_MORE + below(ACCEPT)), "def" };
        if (s.acts[n].deed != ASK_MORE) s.acts[n].text = NULL;
        else if (whole) s.acts[n].deed = BODY; /* of one request there is no more */
        whole |= s.acts[n].deed == ASK_MORE;
    }
    for (size_t i = 0; i < 4; i++) s.acts[n++] = (struct act){ now += 7 * SECONDS, i ? UP_RST : ACCEPT, NULL }; /* in no mode for ever */
    s.acts[n] = (struct act){ now + 1 * SECONDS, RST, NULL };
    return s;
}
static void print_scene(const struct scene *s) {
    static const char *const deeds[] = { "asks", "asks more", "head", "body", "end", "answer", "upstream FIN", "upstream RST", "FIN", "RST", "accepts" };
    print_error("%s: deadline: { %s }, cancel: { %s } %s %s busy %s%s\n", s->name, s->deadline, s->cancel, s->more, s->upstream ? s->upstream : "",
                s->busy ? s->busy : "no", s->slowly ? ", slowly" : "");
    for (size_t i = 0; i < 16 && (s->acts[i].text || s->acts[i].at || s->acts[i].deed); i++)
        print_error("  %lld ms: %s %s\n", (long long)(s->acts[i].at / MS), deeds[s->acts[i].deed], s->acts[i].text ? s->acts[i].text : "");
}
static void whatever_happens_observe_says_what_enforce_does(void **state) {
    (void)state;
    const char *from = getenv("FLOW_SEED"), *rounds = getenv("FLOW_ROUNDS");
    uint64_t first = from ? strtoull(from, NULL, 10) : 1, n = from ? 1 : rounds ? strtoull(rounds, NULL, 10) : 150;
    for (uint64_t i = first; i < first + n; i++) {
        char name[64];
        snprintf(name, sizeof name, "FLOW_SEED=%llu", (unsigned long long)i);
        seed = i * 1000;
        faults = 0;
        struct scene s = draw_scene(name);
        if (from) print_scene(&s);
        plays_alike(&s);
        if (faults) print_scene(&s), fail();
    }
}

/* ---- what one request leaves to the next: max_reject's window, and what answers take --------------------------------------------------------- */
enum { REQUESTS = 150 };
static void play_many(const char *policy, const char *mode, struct word *out) {
    static const char *const asks[] = { WITHIN("5ms"), WITHIN("0ms"), WITHIN("40ms"), WITHIN("80ms"), WITHIN("150ms"), WITHIN("10s"), ALL };
    static const int64_t takes[] = { 10, 20, 50, 60, 90, 120 };
    char text[512];
    snprintf(text, sizeof text, "deadline: { mode: %s, %s }, cancel: { mode: %s }", mode, policy, mode);
    stage((struct given){ .policy = text });
    for (size_t i = 0; i < REQUESTS; i++) {
        const char *ask = PICK(asks);
        int64_t took = PICK(takes), pause = below(4) ? 1 : 900;
        struct sock *c = client(), *u;
        client_sends(c, ask);
        step(took * MS);
        u = latest_upstream();
        if (u && !u->closed && u->seen != u->ngot) got(u), upstream_sends(u, ANSWER_OK);
        step(pause * MS);
        if (!next_line()) fail_msg("request %zu did not end in mode %s", i, mode);
        out[i] = logged("would_have").text[0] ? logged("would_have") : logged("ending");
        if (can_speak(c)) finishes(c);
    }
    unstage_all();
}
static void a_share_and_a_percentile_are_the_same_observed_and_enforced(void **state) {
    (void)state;
    static const char *const policies[] = { "max_reject: { ratio: 20%, window: 2s, at_least: 5 }", "needs: p50", "max_reject: { ratio: 0%, at_least: 1 }",
                                            "max_reject: { ratio: 100%, at_least: 1 }", "needs: p50, max_reject: { ratio: 10%, window: 100ms, at_least: 3 }" };
    for (size_t i = 0; i < sizeof policies / sizeof *policies; i++) {
        struct word observed[REQUESTS], enforced[REQUESTS];
        seed = i;
        play_many(policies[i], "observe", observed);
        seed = i;
        play_many(policies[i], "enforce", enforced);
        size_t shed = 0, ended = 0;
        for (size_t k = 0; k < REQUESTS; k++) {
            shed += strncmp(enforced[k].text, "shed_", 5) == 0;
            ended += strcmp(enforced[k].text, "deadline") == 0;
            if (strcmp(observed[k].text, enforced[k].text) != 0)
                fail_msg("%s, request %zu: enforced %s, observed %s", policies[i], k, enforced[k].text, observed[k].text);
        }
        assert_true(ended > 0 && (shed > 0) == (i != 2)); /* with a ratio of 0% none is refused */
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_observe_says_is_what_enforce_does),
        cmocka_unit_test(a_share_and_a_percentile_are_the_same_observed_and_enforced),
        cmocka_unit_test(whatever_happens_observe_says_what_enforce_does),
    };
    return cmocka_run_group_tests_name("observe", tests, NULL, NULL);
}
