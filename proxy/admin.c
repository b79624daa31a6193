// SPDX-License-Identifier: Apache-2.0
// The admin address: see admin.h. A service on a worker that is no gateway.
#include "proxy/admin.h"
#include "proxy/contexts.h"
#include "proxy/listener.h"
#include "proxy/service.h"
#include <inttypes.h>
#include <stdlib.h>

#define TEXT STR("text/plain; charset=utf-8")
#define JSON STR("application/json")
#define YAML STR("application/yaml") /* RFC 9512 */
static struct admin {
    struct worker loop;
    struct conf conf;
    struct listener_conf listen;
    struct worker *workers;
    size_t n;
    bool running;
    pthread_mutex_t lock;            /* of routes, text, and of metrics.routes of the workers */
    const struct conf_array *routes; /* borrowed from the configuration in use */
    char *text;                      /* owned: that configuration, masked; NULL: nobody can ask for it */
} admin = { .lock = PTHREAD_MUTEX_INITIALIZER };

static void say_metrics(struct service_call *c) {
    const struct worker_metrics **all = arena_alloc(&c->arena, admin.n * sizeof *all);
    for (size_t i = 0; i < admin.n; i++) all[i] = &admin.workers[i].metrics;
    char *text = NULL;
    size_t n = 0;
    FILE *f = open_memstream(&text, &n);
    if (!f) abort();
    pthread_mutex_lock(&admin.lock);
    metrics_print(f, all, admin.n, admin.routes);
    pthread_mutex_unlock(&admin.lock);
    fclose(f);
    service_answer(c, 200, STR(METRICS_CONTENT_TYPE), (struct str){ text, n });
    free(text);
}
static void say_config(struct service_call *c) {
    pthread_mutex_lock(&admin.lock);
    struct str text = arena_copy(&c->arena, str_of(admin.text));
    pthread_mutex_unlock(&admin.lock);
    service_answer(c, 200, YAML, text);
}
static bool is_ready(void) {
    for (size_t i = 0; i < admin.n; i++) {
        if (atomic_load(&admin.workers[i].closing)) return false;
    }
    return true;
}
static void say_health(struct service_call *c) { service_answer(c, 200, TEXT, STR("ok\n")); }
static void say_ready(struct service_call *c) { service_answer(c, is_ready() ? 200 : 503, TEXT, is_ready() ? STR("ready\n") : STR("draining\n")); }

/* The switch for optional context fields: "auto", and how many workers are under load. */
static void say_optional(struct service_call *c) {
    uint64_t loaded = 0;
    for (size_t i = 0; i < admin.n; i++) loaded += metric_get(&admin.workers[i].metrics, METRIC_LOADED);
    const char *drop = load_switch_name(load_switch_get());
    service_answer(c, 200, JSON, arena_printf(&c->arena, "{\"drop\":\"%s\",\"loaded_workers\":%" PRIu64 ",\"workers\":%zu}\n", drop, loaded, admin.n));
}
static void set_optional(struct service_call *c) {
    struct str target = c->request->target, query = str_from(target, str_index(target, '?'));
    for (unsigned s = 0; s < LOAD_SWITCHES; s++) {
        const char *name = load_switch_name((enum load_switch)s);
        if (!str_eq(query, arena_printf(&c->arena, "?drop=%s", name))) continue;
        load_switch_set((enum load_switch)s);
        log_info("admin", "optional context fields: drop %s", name);
        say_optional(c);
        return;
    }
    service_answer(c, 400, TEXT, STR("?drop=on, ?drop=off or ?drop=auto\n"));
}

static void say_contexts(struct service_call *c) { contexts_list(c, admin.workers, admin.n); }

static const struct page { const char *path; void (*get)(struct service_call *c); void (*post)(struct service_call *c); } pages[] = {
    { "/healthz", say_health, NULL },
    { "/readyz", say_ready, NULL },
    { "/metrics", say_metrics, NULL },
    { "/config", say_config, NULL },
    { "/contexts", say_contexts, NULL },
    { "/context/optional", say_optional, set_optional },
};
#define PAGES (sizeof pages / sizeof *pages)
static void refuse_method(struct service_call *c, const struct page *p) {
    struct head *h = service_head(c, 405);
    head_add(h, STR("allow"), p->post ? STR("GET, HEAD, POST") : STR("GET, HEAD"));
    service_send(c, h);
    service_write(c, p->post ? STR("GET and POST only\n") : STR("GET only\n"));
    service_end(c, NULL);
}
static void on_request(struct service_call *c) {
    struct str path = str_first(c->request->target, str_index(c->request->target, '?')), method = c->request->method;
    const struct str one = STR_INIT("/contexts/");
    if (str_starts(path, one) && str_eq(method, STR("DELETE"))) {
        contexts_cancel(c, admin.workers, admin.n, str_from(path, one.n));
        return;
    }
    for (size_t i = 0; i < PAGES; i++) {
        if (!str_eq(path, str_of(pages[i].path))) continue;
        if (str_eq(method, STR("GET")) || str_eq(method, STR("HEAD"))) pages[i].get(c);
        else if (pages[i].post && str_eq(method, STR("POST"))) pages[i].post(c);
        else refuse_method(c, &pages[i]);
        return;
    }
    service_answer(c, 404, TEXT, STR("/healthz /readyz /metrics /config /contexts /context/optional\n"));
}
static void on_gone(struct service_call *c, const struct fault *f) {
    (void)f;
    contexts_gone(c);
}
static const struct service admin_service = { .on_request = on_request, .on_gone = on_gone };

static void *admin_main(void *arg) {
    worker_run(arg);
    return NULL;
}
bool admin_start(struct config *config, struct worker *workers, size_t n) {
    conf_init(&admin.conf);
    admin.workers = workers;
    admin.n = n;
    struct str address = arena_copy(&admin.conf.arena, config->admin->address.text); /* it outlives this configuration */
    const char *say = service_conf(&admin.listen, address, &admin.conf);
    int fd = say ? -1 : listener_open(&admin.listen, &say);
    if (fd < 0) {
        log_error("admin", "cannot listen on %.*s: %s", STR_ARG(config->admin->address.text), say);
        conf_free(&admin.conf);
        return false;
    }
    worker_init(&admin.loop, &os_linux, 0, 1);
    service_listen(&admin.loop, &admin.listen, fd, &admin_service);
    if (pthread_create(&admin.loop.thread, NULL, admin_main, &admin.loop)) abort();
    admin.running = true;
    return true;
}
/* Here and not when it is asked for: tables make rows as they are walked, and this is the thread that loads by them. */
static char *print_masked(const struct config *config) {
    char *text = NULL;
    size_t n = 0;
    if (!config->admin && !admin.running) return NULL;
    FILE *f = open_memstream(&text, &n);
    if (!f) abort();
    config_print_masked(f, config);
    fclose(f);
    return text;
}
void admin_take(const struct config *config, struct worker *workers, size_t n, struct route_counters *const *counters) {
    char *text = print_masked(config);
    pthread_mutex_lock(&admin.lock);
    free(admin.text);
    admin.text = text;
    admin.routes = &config->routes;
    for (size_t i = 0; i < n; i++) {
        route_counters_unref(workers[i].metrics.routes);
        workers[i].metrics.routes = counters[i];
    }
    pthread_mutex_unlock(&admin.lock);
}
const struct address *admin_address(void) { return admin.running ? &admin.listen.address : NULL; }
void admin_stop(void) {
    if (!admin.running) return;
    admin.running = false;
    worker_post_kind(&admin.loop, MESSAGE_STOP);
    pthread_join(admin.loop.thread, NULL);
    worker_free(&admin.loop);
    contexts_stop();
    conf_free(&admin.conf);
    free(admin.text);
    admin.text = NULL;
}
