// SPDX-License-Identifier: Apache-2.0
// Building what TLS needs: see certificates.h. `check` never comes here: a configuration can be checked where its keys are not.
#include "proxy/certificates.h"
#include "proxy/tls.h"

static struct tls_server *build_server(struct config *config, struct conf *c, size_t i) {
    const struct tls_server_conf *tls = config_listener(config, i)->tls;
    return tls ? tls_server_build(c, tls, tls_alpn_of_codecs(CODEC_DOWN, NULL), config->folder) : NULL;
}
static struct tls_client *build_client(struct config *config, struct conf *c, size_t i) {
    const struct upstream_conf *u = config_upstream(config, i);
    return u->tls ? tls_client_build(c, u->tls, tls_alpn_of_codecs(CODEC_UP, u->codec), config->folder) : NULL;
}
/* The keys of a listener's tickets are its own, and go where its connections go. */
static void keep_tickets(struct config *config, const struct config *before, const struct config_change *change) {
    for (size_t i = 0; before && i < config->listeners.n; i++) {
        struct tls_server_conf *tls = config_listener(config, i)->tls;
        if (!tls || change->listeners[i] == NOT_BEFORE || !change->clients_stay[i]) continue;
        tls_server_keep_tickets(tls->built, config_listener(before, change->listeners[i])->tls->built);
    }
}
bool certificates_build(struct config *config, const struct config *before, const struct config_change *change) {
    struct conf said; /* the configuration's own were reported before */
    conf_init(&said);
    for (size_t i = 0; i < config->listeners.n; i++) {
        if (config_listener(config, i)->tls) config_listener(config, i)->tls->built = build_server(config, &said, i);
    }
    for (size_t i = 0; i < config->upstreams.n; i++) {
        if (config_upstream(config, i)->tls) config_upstream(config, i)->tls->built = build_client(config, &said, i);
    }
    conf_report(&said, stderr);
    bool ok = said.errors == 0;
    if (ok) keep_tickets(config, before, change);
    conf_free(&said);
    return ok;
}
