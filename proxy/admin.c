// SPDX-License-Identifier: Apache-2.0
// The admin address: see admin.h. A service on a worker that is no gateway.
#include "proxy/admin.h"
#include "proxy/listener.h"
#include "proxy/service.h"
#include <stdlib.h>

#define TEXT STR("text/plain; charset=utf-8")
static struct admin {
    struct worker loop;
    struct conf conf;
    struct listener_conf listen;
    struct worker *workers;
    size_t n;
    bool running;
} admin;

static void say_metrics(struct service_call *c) {
    const struct worker_metrics **all = arena_alloc(&c->arena, admin.n * sizeof *all);
    for (size_t i = 0; i < admin.n; i++) all[i] = &admin.workers[i].metrics;
    char *text = NULL;
    size_t n = 0;
    FILE *f = open_memstream(&text, &n);
    if (!f) abort();
    metrics_print(f, all, admin.n, &admin.workers[0].config->routes);
    fclose(f);
    service_answer(c, 200, STR(METRICS_CONTENT_TYPE), (struct str){ text, n });
    free(text);
}
static bool is_ready(void) {
    for (size_t i = 0; i < admin.n; i++) {
        if (atomic_load(&admin.workers[i].closing)) return false;
    }
    return true;
}
static void on_request(struct service_call *c) {
    struct str path = str_first(c->request->target, str_index(c->request->target, '?'));
    if (!str_eq(c->request->method, STR("GET")) && !str_eq(c->request->method, STR("HEAD"))) service_answer(c, 405, TEXT, STR("GET only\n"));
    else if (str_eq(path, STR("/healthz"))) service_answer(c, 200, TEXT, STR("ok\n"));
    else if (str_eq(path, STR("/readyz"))) service_answer(c, is_ready() ? 200 : 503, TEXT, is_ready() ? STR("ready\n") : STR("draining\n"));
    else if (str_eq(path, STR("/metrics"))) say_metrics(c);
    else service_answer(c, 404, TEXT, STR("/healthz /readyz /metrics\n"));
}
static const struct service admin_service = { .on_request = on_request };

static void *admin_main(void *arg) {
    worker_run(arg);
    return NULL;
}
bool admin_start(struct config *config, struct worker *workers, size_t n) {
    conf_init(&admin.conf);
    admin.workers = workers;
    admin.n = n;
    const char *say = service_conf(&admin.listen, config->admin->address.text, &admin.conf);
    int fd = say ? -1 : listener_open(&admin.listen, &say);
    if (fd < 0) {
        log_error("admin", "cannot listen on %.*s: %s", STR_ARG(config->admin->address.text), say);
        conf_free(&admin.conf);
        return false;
    }
    worker_init(&admin.loop, &os_linux, NULL, 0, 1);
    admin.loop.listeners = mem_zalloc(sizeof *admin.loop.listeners);
    admin.loop.listeners[admin.loop.nlisteners++] = service_listen(&admin.loop, &admin.listen, fd, &admin_service);
    if (pthread_create(&admin.loop.thread, NULL, admin_main, &admin.loop)) abort();
    admin.running = true;
    return true;
}
void admin_stop(void) {
    if (!admin.running) return;
    admin.running = false;
    worker_post_kind(&admin.loop, MESSAGE_STOP);
    pthread_join(admin.loop.thread, NULL);
    worker_free(&admin.loop);
    conf_free(&admin.conf);
}
