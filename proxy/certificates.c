// SPDX-License-Identifier: Apache-2.0
// Building and renewing what TLS needs: see certificates.h. `check` never comes here: a configuration can be checked where its keys are not.
#include "proxy/certificates.h"
#include "proxy/listener.h"
#include "proxy/tls.h"
#include "proxy/upstream.h"
#include <stdlib.h>

struct renewal { /* what one worker is to use: references, in order of the snapshot's listeners and upstreams; NULL: cleartext */
    struct tls_server **servers;
    struct tls_client **clients;
    size_t nservers, nclients;
};
static struct tls_server *build_server(struct config *config, struct conf *c, size_t i) {
    const struct tls_server_conf *tls = config_listener(config, i)->tls;
    return tls ? tls_server_build(c, tls, tls_alpn_of_codecs(CODEC_DOWN, NULL), config->folder) : NULL;
}
static struct tls_client *build_client(struct config *config, struct conf *c, size_t i) {
    const struct upstream_conf *u = config_upstream(config, i);
    return u->tls ? tls_client_build(c, u->tls, tls_alpn_of_codecs(CODEC_UP, u->codec), config->folder) : NULL;
}
bool certificates_build(struct config *config) {
    for (size_t i = 0; i < config->listeners.n; i++) {
        if (config_listener(config, i)->tls) config_listener(config, i)->tls->built = build_server(config, &config->conf, i);
    }
    for (size_t i = 0; i < config->upstreams.n; i++) {
        if (config_upstream(config, i)->tls) config_upstream(config, i)->tls->built = build_client(config, &config->conf, i);
    }
    conf_report(&config->conf, stderr);
    return config->conf.errors == 0;
}

static struct renewal *renewal_new(const struct config *c) {
    struct renewal *r = mem_zalloc(sizeof *r);
    r->nservers = c->listeners.n;
    r->nclients = c->upstreams.n;
    r->servers = mem_zalloc((r->nservers + 1) * sizeof(struct tls_server *));
    r->clients = mem_zalloc((r->nclients + 1) * sizeof(struct tls_client *));
    return r;
}
static void renewal_free(struct renewal *r) { /* with what nobody took */
    for (size_t i = 0; i < r->nservers; i++) tls_server_unref(r->servers[i]);
    for (size_t i = 0; i < r->nclients; i++) tls_client_unref(r->clients[i]);
    free(r->servers);
    free(r->clients);
    free(r);
}
static struct renewal *renewal_copy(const struct config *c, const struct renewal *from) {
    struct renewal *r = renewal_new(c);
    for (size_t i = 0; i < r->nservers; i++) r->servers[i] = tls_server_ref(from->servers[i]);
    for (size_t i = 0; i < r->nclients; i++) r->clients[i] = tls_client_ref(from->clients[i]);
    return r;
}
static void renew(struct worker *w, void *arg) { /* in the worker's thread */
    struct renewal *r = arg;
    for (size_t i = 0; i < r->nservers; i++) {
        if (!r->servers[i]) continue;
        listener_take_tls(w->listeners[i], r->servers[i]);
        r->servers[i] = NULL;
    }
    for (size_t i = 0; i < r->nclients; i++) {
        if (!r->clients[i]) continue;
        upstream_take_tls(w->upstreams[i], r->clients[i]);
        r->clients[i] = NULL;
    }
    renewal_free(r);
}
void certificates_reload(struct config *config, struct worker *workers, size_t n) {
    struct conf diagnostics;
    conf_init(&diagnostics);
    struct renewal *all = renewal_new(config);
    for (size_t i = 0; i < all->nservers; i++) all->servers[i] = build_server(config, &diagnostics, i);
    for (size_t i = 0; i < all->nclients; i++) all->clients[i] = build_client(config, &diagnostics, i);
    conf_report(&diagnostics, stderr);
    if (diagnostics.errors) {
        log_error("tls", "certificates were not renewed: the old ones stay in use");
    } else {
        for (size_t i = 0; i < n; i++) {
            struct message *m = mem_zalloc(sizeof *m);
            *m = (struct message){ .kind = MESSAGE_CALL, .call = renew, .arg = renewal_copy(config, all) };
            worker_post(&workers[i], m);
        }
        log_info("tls", "certificates were read again");
    }
    renewal_free(all);
    conf_free(&diagnostics);
}
