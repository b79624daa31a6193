// SPDX-License-Identifier: Apache-2.0
// The loop of a worker: see worker.h for the turn. It owns what all exchanges of a thread share, and knows neither protocols nor policies.
#include "proxy/worker.h"
#include "proxy/exchange.h"
#include "proxy/handover.h"
#include "proxy/health.h"
#include "proxy/listener.h"
#include "proxy/resolver.h"
#include <assert.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#define ARENAS_KEPT 1024u
#define CHUNKS_KEPT 256u
#define LOG_EVERY span_ms(100)

/* ---- mail ------------------------------------------------------------------------------------------------------------------------ */
static void run_message(struct worker *w, struct message *m) {
    struct context *c;
    switch ((enum message_kind)m->kind) {
    case MESSAGE_DRAIN: worker_drain(w); break;
    case MESSAGE_STOP: worker_stop(w); break;
    case MESSAGE_REOPEN_LOG: {
        const char *say = w->log ? access_log_reopen(w->log) : NULL;
        if (say) log_error("log", "the access log could not be opened anew: %s", say);
        break;
    }
    case MESSAGE_END_CONTEXT:
        c = context_find(&w->contexts, m->id);
        if (c) context_end(c, m->why, 0);
        break;
    case MESSAGE_CALL: m->call(w, m->arg); break;
    case MESSAGE_CONFIG: snapshot_take(w, m->arg); break;
    }
    free(m);
}
static void run_mail(struct worker *w) {
    uint64_t count;
    if (w->base && read(w->mail_fd, &count, sizeof count) < 0) return;
    pthread_mutex_lock(&w->mail_lock);
    struct message *m = w->mail;
    w->mail = NULL;
    w->mail_end = &w->mail;
    pthread_mutex_unlock(&w->mail_lock);
    while (m) {
        struct message *next = m->next;
        run_message(w, m);
        m = next;
    }
}
static void on_mail(evutil_socket_t fd, short what, void *arg) {
    (void)fd, (void)what;
    struct worker *w = arg;
    w->now = w->os->now();
    run_mail(w);
}
static void put_mail(struct worker *w, struct message *m) {
    m->next = NULL;
    *w->mail_end = m;
    w->mail_end = &m->next;
}
static void wake(struct worker *w) {
    uint64_t one = 1;
    ssize_t n = w->base ? write(w->mail_fd, &one, sizeof one) : 0;
    (void)n; /* a full eventfd is readable already */
}
void worker_post(struct worker *w, struct message *m) {
    pthread_mutex_lock(&w->mail_lock);
    put_mail(w, m);
    pthread_mutex_unlock(&w->mail_lock);
    wake(w);
}
void worker_post_all(struct worker *workers, struct message *const *m, size_t n) {
    for (size_t i = 0; i < n; i++) pthread_mutex_lock(&workers[i].mail_lock);
    for (size_t i = 0; i < n; i++) put_mail(&workers[i], m[i]);
    for (size_t i = 0; i < n; i++) pthread_mutex_unlock(&workers[i].mail_lock);
    for (size_t i = 0; i < n; i++) wake(&workers[i]);
}
void worker_post_kind(struct worker *w, enum message_kind kind) {
    struct message *m = mem_zalloc(sizeof *m);
    m->kind = (uint8_t)kind;
    worker_post(w, m);
}

/* ---- making ------------------------------------------------------------------------------------------------------------------------ */
static void on_timerfd(evutil_socket_t fd, short what, void *arg) {
    (void)fd, (void)what; /* edge-triggered and never read: it only ends the waiting */
    ((struct worker *)arg)->timer_at = INSTANT_NEVER;
}
static void on_log_timer(struct timer *t, instant now) {
    (void)now;
    struct worker *w = CONTAINER_OF(t, struct worker, log_timer);
    access_log_flush(w->log);
    metric_set(&w->metrics, METRIC_LOG_DROPPED, w->dropped_before + access_log_dropped(w->log));
}
static void init_loop(struct worker *w) {
    struct event_config *cfg = event_config_new();
    event_config_set_flag(cfg, EVENT_BASE_FLAG_NOLOCK);
    event_config_require_features(cfg, EV_FEATURE_ET | EV_FEATURE_EARLY_CLOSE);
    w->base = event_base_new_with_config(cfg);
    event_config_free(cfg);
    w->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    w->mail_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (!w->base || w->timer_fd < 0 || w->mail_fd < 0) {
        log_error("worker", "the system has no room for an event loop");
        abort();
    }
    event_assign(&w->timer_event, w->base, w->timer_fd, EV_READ | EV_ET | EV_PERSIST, on_timerfd, w);
    event_add(&w->timer_event, NULL);
    event_assign(&w->mail_event, w->base, w->mail_fd, EV_READ | EV_PERSIST, on_mail, w);
    event_add(&w->mail_event, NULL);
}
void worker_init(struct worker *w, const struct os *os, unsigned index, unsigned count) {
    memset(w, 0, sizeof *w);
    w->os = os;
    w->index = index;
    w->count = count;
    w->now = os->now();
    w->chance = os->seed ? os->seed() : 0;
    w->timer_at = INSTANT_NEVER;
    w->timer_fd = w->mail_fd = -1;
    wheel_init(&w->wheel, w->now);
    contexts_init(&w->contexts, &w->wheel, (uint16_t)index);
    arena_pool_init(&w->arenas, ARENAS_KEPT);
    chunk_pool_init(&w->chunks, CHUNKS_KEPT);
    out_init(&w->out);
    w->scratch = mem_alloc(SCRATCH_BYTES);
    struct list *lists[] = { &w->ready, &w->touched, &w->reap, &w->beating, &w->doubted, &w->borrowers, &w->conns, &w->after_feed, &w->calls, &w->exchanges, &w->finished, &w->stale };
    for (size_t i = 0; i < sizeof lists / sizeof *lists; i++) list_init(lists[i]);
    w->log_timer.fire = on_log_timer;
    w->mail_end = &w->mail;
    pthread_mutex_init(&w->mail_lock, NULL);
    w->snapshot = snapshot_new(w, NULL);
    load_init(w);
    if (os == &os_linux) init_loop(w);
}

/* ---- the turn ------------------------------------------------------------------------------------------------------------------------ */
static void write_touched(struct worker *w) {
    for (struct list *n; (n = list_shift(&w->after_feed));) exchange_after_feed(LIST_OF(n, struct exchange, after_feed));
    for (struct list *n; (n = list_shift(&w->touched));) conn_write(LIST_OF(n, struct conn, touched));
}
void worker_settle_borrowed(struct worker *w) {
    context_run_ended(&w->contexts, w->now);
    write_touched(w);
    for (struct list *n; (n = list_shift(&w->borrowers));) body_settle(LIST_OF(n, struct body, borrow));
}
static void reap(struct worker *w) {
    for (struct list *n; (n = list_shift(&w->finished));) exchange_free(LIST_OF(n, struct exchange, node));
    service_free_calls(w);
    for (struct list *n; (n = list_shift(&w->reap));) conn_free(LIST_OF(n, struct conn, reap));
    snapshot_free_stale(w);
}
static instant beat_ends(const struct worker *w) {
    return list_is_empty(&w->beating) ? INSTANT_NEVER : instant_add(LIST_OF(w->beating.next, struct conn, waiting)->turned, w->beat.now);
}
static instant doubt_ends(const struct worker *w) {
    return list_is_empty(&w->doubted) ? INSTANT_NEVER : instant_add(LIST_OF(w->doubted.next, struct conn, waiting)->turned, CONN_DOUBT);
}
instant worker_due(const struct worker *w) { return instant_min(wheel_next(&w->wheel), instant_min(beat_ends(w), doubt_ends(w))); }
static void end_waiting(struct worker *w) {
    if (!instant_before(w->now, beat_ends(w))) {
        while (!list_is_empty(&w->beating)) conn_waited(LIST_OF(w->beating.next, struct conn, waiting));
    }
    while (!instant_before(w->now, doubt_ends(w))) conn_waited(LIST_OF(w->doubted.next, struct conn, waiting));
}
bool worker_turn(struct worker *w) {
    w->now = w->os->now();
    w->wall = 0;
    w->turn++;
    w->worked = false;
    if (!w->base) run_mail(w); /* a loop that a test turns: nothing wakes it */
    end_waiting(w);
    struct list ready;
    list_init(&ready);
    list_splice(&ready, &w->ready); /* who is put on it in this turn waits for the next: one share each */
    for (struct list *n; (n = list_shift(&ready));) conn_serve(LIST_OF(n, struct conn, ready));
    wheel_advance(&w->wheel, w->now);
    /* Writing closes legs, which ends contexts, whose hooks write: until it is quiet. */
    do {
        context_run_ended(&w->contexts, w->now);
        write_touched(w);
    } while (!list_is_empty(&w->contexts.ended) || !list_is_empty(&w->touched) || !list_is_empty(&w->after_feed));
    worker_settle_borrowed(w);
    load_turned(w);
    if (w->log && access_log_pending(w->log) && !timer_is_armed(&w->log_timer)) {
        wheel_arm(&w->wheel, &w->log_timer, instant_add(w->now, LOG_EVERY));
    }
    reap(w);
    return !list_is_empty(&w->ready);
}

static bool is_drained(const struct worker *w) { return w->draining && w->nconns == 0 && w->nexchanges == 0; }
static void set_timer(struct worker *w) {
    instant next = worker_due(w);
    if (!instant_before(next, w->timer_at)) return;
    w->os->wake_at(w, next);
    w->timer_at = next;
}
/* A turn that served nobody, since all who came wait for the beat: so does the loop, rather than be woken by each of them. */
static void nap(struct worker *w) {
    if (list_is_empty(&w->beating)) return;
    instant at = worker_due(w);
    struct timespec t = { at.ns / NS_PER_S, at.ns % NS_PER_S };
    clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL);
}
static void judge_beat(struct worker *w) {
    struct beat *b = &w->beat;
    if (!beat_turned(b, w->now, w->nexchanges)) return;
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    beat_judge(b, w->now, span_ns(t.tv_sec * NS_PER_S + t.tv_nsec), w->completed);
    metric_set(&w->metrics, METRIC_BEATING, b->now.ns > 0);
}
void worker_run(struct worker *w) {
    bool more = worker_turn(w); /* what was set up before the loop began */
    prctl(PR_SET_TIMERSLACK, 1UL); /* a nap of 50 µs is one, and not two */
    while (!w->stopped && !is_drained(w)) {
        bool beating = !list_is_empty(&w->beating);
        if (!more && !beating) set_timer(w);
        event_base_loop(w->base, EVLOOP_ONCE | (more || beating ? EVLOOP_NONBLOCK : 0));
        metric_inc(&w->metrics, METRIC_TURNS);
        more = worker_turn(w);
        judge_beat(w);
        if (!more && !w->worked) nap(w);
    }
    atomic_store(&w->returned, true);
}

/* ---- the end ----------------------------------------------------------------------------------------------------------------------------- */
static void end_all(struct worker *w, enum ending why) {
    LIST_EACH(&w->exchanges, x, struct exchange, node) { context_end(&x->context, why, 0); }
}
void worker_drain(struct worker *w) {
    if (w->draining) return;
    w->draining = true;
    atomic_store(&w->closing, true);
    for (size_t i = 0; i < w->snapshot->nlisteners; i++) listener_stop(w->snapshot->listeners[i]);
    health_stop(w);
    LIST_EACH(&w->conns, c, struct conn, all) { conn_shutdown(c, false); }
    span limit = w->snapshot->config ? w->snapshot->config->shutdown.drain : span_ms(0);
    leaving_begin(&w->leaving, w, limit);
}
void worker_stop(struct worker *w) { w->stopped = true; }

static void drop_conns(struct worker *w) {
    static const struct fault gone = { .why = ENDING_SHUTDOWN, .say = "the gateway stopped" };
    end_all(w, ENDING_SHUTDOWN);
    context_run_ended(&w->contexts, w->now);
    write_touched(w); /* what the socket takes at once of a last answer */
    LIST_EACH(&w->conns, c, struct conn, all) { conn_lose(c, &gone, false); }
    do context_run_ended(&w->contexts, w->now);
    while (!list_is_empty(&w->contexts.ended));
    reap(w);
}
static void message_free(struct message *m) {
    if (m->kind == MESSAGE_CONFIG) handover_free(m->arg);
    free(m);
}
void worker_free(struct worker *w) {
    bool gateway = w->snapshot->config != NULL;
    health_stop(w); /* while all other workers, who would be told, are there no more */
    drop_conns(w);
    drop_conns(w); /* what the end of others called into being: a call's second try */
    snapshot_unref(w->snapshot);
    snapshot_free_stale(w);
    if (w->resolver) resolver_free(w->resolver);
    access_log_free(w->log);
    leaving_end(&w->leaving);
    wheel_disarm(&w->wheel, &w->log_timer);
    load_free(w);
    log_at(gateway ? LOG_INFO : LOG_DEBUG, "worker",
           "worker %u stopped: live exchanges %zu timers %zu connections %zu arena bytes %zu chunks %zu", w->index, w->nexchanges, w->wheel.armed,
           w->nconns, w->arenas.out, w->chunks.out);
    assert(w->nexchanges == 0 && w->nconns == 0 && w->wheel.armed == 0 && w->nsnapshots == 0);
    contexts_free(&w->contexts);
    arena_pool_clear(&w->arenas);
    chunk_pool_clear(&w->chunks);
    out_free(&w->out);
    free(w->scratch);
    route_counters_unref(w->metrics.routes);
    if (w->base) {
        event_del(&w->timer_event);
        event_del(&w->mail_event);
        event_base_loop(w->base, EVLOOP_NONBLOCK); /* evdns calls back for what it had under way */
        event_base_free(w->base);
        close(w->timer_fd);
        close(w->mail_fd);
    }
    for (struct message *m = w->mail, *next; m; m = next) {
        next = m->next;
        message_free(m);
    }
    pthread_mutex_destroy(&w->mail_lock);
}

/* ---- clocks -------------------------------------------------------------------------------------------------------------------------------- */
unsigned worker_says(const struct worker *w, struct seldom *s) {
    unsigned n = ++s->unsaid;
    if (instant_before(w->now, s->next)) return 0;
    *s = (struct seldom){ .next = instant_add(w->now, span_s(1)) };
    return n;
}

int64_t worker_wall(struct worker *w) {
    if (!w->wall) w->wall = w->os->wall_ns();
    return w->wall;
}
struct str worker_date(struct worker *w) {
    int64_t second = worker_wall(w) / NS_PER_S;
    if (second != w->date_second) {
        time_t t = (time_t)second;
        struct tm tm;
        gmtime_r(&t, &tm);
        strftime(w->date, sizeof w->date, "%a, %d %b %Y %H:%M:%S GMT", &tm); /* the C locale: RFC 9110 5.6.7 */
        w->date_second = second;
    }
    return str_of(w->date);
}
