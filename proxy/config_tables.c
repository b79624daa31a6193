// SPDX-License-Identifier: Apache-2.0
// The keys of the top level, the listeners and the upstreams. A codec's own keys stand under its name and come from its own table; nothing here
// knows which codecs there are.
#include "proxy/config_tables.h"
#include "proxy/config_values.h"
#include <inttypes.h>
#include <stdlib.h>

#define END { .name = NULL }
#define SECONDS(n) ((n) * NS_PER_S)
#define HOUR SECONDS(3600)
#define DAY (24 * HOUR)

/* ---- TLS ---------------------------------------------------------------------------------------------------------------------------- */

#define AT(member) offsetof(struct tls_certificate, member)
static const struct conf_field certificate_rows[] = {
    { .name = "certificate", .type = CONF_REF, .offset = AT(certificate), .required = true,
      .help = "PEM file: the certificate, then those between it and the root" },
    { .name = "key", .type = CONF_REF, .offset = AT(key), .required = true, .help = "PEM file: its private key" },
    END,
};
#undef AT
static const struct conf_table certificate_table = { .name = "certificate", .size = sizeof(struct tls_certificate),
    .fields = certificate_rows,
    .help = "A certificate and its key. Relative names are taken from the configuration's folder." };

#define KTLS_HELP "the kernel encrypts what is sent, where it has TLS (modprobe tls) and the cipher; else OpenSSL does, as without it"
static const struct conf_word tls_versions[] = { { "1.2", TLS_1_2, NULL }, { "1.3", TLS_1_3, NULL }, { 0 } };
static const struct conf_word client_auths[] = {
    { "none", CLIENT_CERT_NONE, "clients are not asked for one" },
    { "optional", CLIENT_CERT_OPTIONAL, "asked for; one that is shown must be good" },
    { "required", CLIENT_CERT_REQUIRED, "without a good one the handshake fails" },
    { 0 },
};

static void check_tls_server(struct conf *c, const struct conf_node *n, void *at) {
    struct tls_server_conf *t = at;
    t->ktls_at = conf_pos_of(n, "ktls");
    if (t->client_auth != CLIENT_CERT_NONE && !t->client_ca.at)
        conf_error(c, conf_pos_of(n, "client_auth"), NULL, "client_auth needs client_ca, which certificates are checked against");
    if (t->client_auth == CLIENT_CERT_NONE && t->client_ca.at)
        conf_warn(c, conf_pos_of(n, "client_ca"), "set client_auth: optional or required", "client_ca without client_auth is not used");
}

#define AT(member) offsetof(struct tls_server_conf, member)
static const struct conf_field tls_server_rows[] = {
    { .name = "certificates", .type = CONF_STRUCTS, .offset = AT(certificates), .table = &certificate_table, .required = true, .min = 1, .max = 10000,
      .help = "chosen by the name that the client asks for (SNI); the first where none fits" },
    { .name = "min_version", .type = CONF_ENUM, .offset = AT(min_version), .words = tls_versions, .def = "1.2",
      .help = "lowest version of TLS" },
    { .name = "client_auth", .type = CONF_ENUM, .offset = AT(client_auth), .words = client_auths, .def = "none",
      .help = "whether clients show certificates" },
    { .name = "client_ca", .type = CONF_REF, .offset = AT(client_ca), .help = "PEM file: what clients' certificates are checked against" },
    { .name = "ciphers", .type = CONF_STRING, .offset = AT(ciphers),
      .help = "of TLS 1.2, as OpenSSL lists them; left out: forward secrecy and AEAD only" },
    { .name = "session_tickets", .type = CONF_BOOL, .offset = AT(session_tickets), .def = "true", .help = "clients may resume sessions" },
    { .name = "ktls", .type = CONF_BOOL, .offset = AT(ktls), .def = "false", .help = KTLS_HELP },
    END,
};
#undef AT
const struct conf_table tls_server_table = { .name = "tls", .size = sizeof(struct tls_server_conf), .fields = tls_server_rows,
    .check = check_tls_server, .help = "TLS towards clients. Their protocol is agreed by ALPN." };

static void check_tls_client(struct conf *c, const struct conf_node *n, void *at) {
    struct tls_client_conf *t = at;
    t->ktls_at = conf_pos_of(n, "ktls");
    if (t->certificate.at && !t->key.at) conf_error(c, conf_pos_of(n, "certificate"), NULL, "a certificate needs its key");
    if (t->key.at && !t->certificate.at) conf_error(c, conf_pos_of(n, "key"), NULL, "a key needs its certificate");
    if (!t->verify)
        conf_warn(c, conf_pos_of(n, "verify"), "for tests; elsewhere name the authority in ca",
                  "the upstream's certificate is not verified: anybody can be it");
}

#define AT(member) offsetof(struct tls_client_conf, member)
static const struct conf_field tls_client_rows[] = {
    { .name = "ca", .type = CONF_REF, .offset = AT(ca),
      .help = "PEM file: what the upstream's certificate is checked against; left out: the system's" },
    { .name = "server_name", .type = CONF_STRING, .offset = AT(server_name),
      .help = "the name that is asked for and verified; left out: the endpoint's host" },
    { .name = "verify", .type = CONF_BOOL, .offset = AT(verify), .def = "true", .help = "whether its certificate is checked at all" },
    { .name = "min_version", .type = CONF_ENUM, .offset = AT(min_version), .words = tls_versions, .def = "1.2",
      .help = "lowest version of TLS" },
    { .name = "certificate", .type = CONF_REF, .offset = AT(certificate),
      .help = "PEM file: our own certificate, where the upstream asks for one" },
    { .name = "key", .type = CONF_REF, .offset = AT(key), .help = "PEM file: its private key" },
    { .name = "ktls", .type = CONF_BOOL, .offset = AT(ktls), .def = "false", .help = KTLS_HELP },
    END,
};
#undef AT
static const struct conf_table tls_client_table = { .name = "upstream tls", .size = sizeof(struct tls_client_conf), .fields = tls_client_rows,
    .check = check_tls_client, .help = "TLS towards the upstream. {} takes all defaults." };

/* ---- listeners -------------------------------------------------------------------------------------------------------------------- */

#define TIMEOUT(member, d, what) \
    { .name = #member, .type = CONF_DURATION, .offset = offsetof(struct listener_conf, timeouts.member) - offsetof(struct listener_conf, timeouts), \
      .def = d, .min = NS_PER_MS, .max = DAY, .none = "none", .help = what }
static const struct conf_field timeout_rows[] = {
    TIMEOUT(header, "10s", "from the first byte of a request's head to its last"),
    TIMEOUT(body, "30s", "between two pieces of a request's body, while there is room for one"),
    TIMEOUT(idle, "75s", "between two requests of a connection"),
    TIMEOUT(write, "30s", "between two pieces of an answer that the client takes"),
    TIMEOUT(tls_handshake, "5s", "from the connection to the end of its handshake"),
    { .name = "linger", .type = CONF_DURATION, .offset = offsetof(struct listener_conf, timeouts.linger) - offsetof(struct listener_conf, timeouts),
      .def = "2s", .max = SECONDS(60), .help = "what a client still sends is discarded for so long after an early answer, so that the answer survives" },
    { .name = "min_rate", .type = CONF_RATE, .offset = offsetof(struct listener_conf, timeouts.min_rate) - offsetof(struct listener_conf, timeouts),
      .def = "240/s", .help = "bytes of a body that a client must send, or take, while nobody else is waited for: a piece gives it as much more of `body` or "
                              "`write` as it takes at this rate, and no more than there is; 0/s: any piece gives it all anew" },
    END,
};
static const struct conf_table timeouts_table = { .name = "timeouts", .size = sizeof(((struct listener_conf *)0)->timeouts),
    .fields = timeout_rows,
    .help = "How long clients may take. none: for ever." };

static const struct conf_field *listener_more(size_t i) { return config_codec_row(i, CODEC_DOWN, offsetof(struct listener_conf, options)); }

#define AT(member) offsetof(struct listener_conf, member)
static const struct conf_field listener_rows[] = {
    { .name = "address", .type = CONF_CUSTOM, .offset = AT(address), .required = true, .parse = config_parse_own_address,
      .print = config_print_address, .shape = CONFIG_ADDRESS_SHAPE,
      .help = "127.0.0.1:8080, [::1]:8080 or unix:/path" },
    { .name = "tls", .type = CONF_POINTER, .offset = AT(tls), .table = &tls_server_table, .help = "left out: cleartext" },
    { .name = "trust", .type = CONF_CUSTOM, .offset = AT(trust), .def = "none", .parse = config_parse_trust, .print = config_print_trust,
      .shape = "{ \"type\": [\"string\", \"array\"], \"items\": { \"type\": \"string\" } }",
      .help = "whose deadlines may extend, and whose x-envoy-* and l5d-* count: none, all, or a list of networks (CIDR) of peers" },
    { .name = "timeouts", .type = CONF_STRUCT, .offset = AT(timeouts), .table = &timeouts_table, .help = "how long clients may take" },
    { .name = "backlog", .type = CONF_INT, .offset = AT(backlog), .def = "1024", .min = 1, .max = 65535,
      .help = "connections that wait to be accepted" },
    { .name = "max_connections", .type = CONF_INT, .offset = AT(max_connections), .def = "65536", .min = 1, .max = 100000000, .none = "none",
      .help = "in all, shared out among the workers; beyond it, and beyond what the limit of descriptors leaves to clients, new ones are closed" },
    { .name = "beat", .type = CONF_DURATION, .offset = AT(beat), .def = "200us", .max = NS_PER_MS,
      .help = "the longest that a multiplexed connection with eight or more requests under way is left alone between two turns where the worker is busy, but "
              "for endings and bulk; a sixth of what requests last, and none below half of this; 0: always at once" },
    END,
};
#undef AT
const struct conf_table listener_table = { .name = "listener", .size = sizeof(struct listener_conf),
    .fields = listener_rows, .more = listener_more,
    .help = "Where clients connect. Which protocol they speak is told by ALPN or by their first bytes." };

/* ---- upstreams -------------------------------------------------------------------------------------------------------------------- */

static const struct conf_word balances[] = {
    { "least_requests", BALANCE_LEAST_REQUESTS, "the endpoint with the fewest requests in flight" },
    { "round_robin", BALANCE_ROUND_ROBIN, "one after the other" },
    { 0 },
};
static const struct conf_word health_types[] = {
    { "http", HEALTH_HTTP, "GET path in the upstream's protocol: a 2xx is healthy" },
    { "grpc", HEALTH_GRPC, "grpc.health.v1.Health/Check, without a service: SERVING is healthy" },
    { "tcp", HEALTH_TCP, "a connection that is accepted; with tls, its handshake" },
    { 0 },
};

static void check_health(struct conf *c, const struct conf_node *n, void *at) {
    const struct health_conf *h = at;
    if (!is_path_target(h->path)) conf_error(c, conf_pos_of(n, "path"), NULL, "the path of a health check begins with /, and has neither blanks nor #");
    if (h->type != HEALTH_HTTP && !str_eq(h->path, STR("/")))
        conf_warn(c, conf_pos_of(n, "path"), "type: http asks for a path", "a health check of this type has no path: it is not used");
    if (h->timeout.ns > h->interval.ns)
        conf_error(c, conf_pos_of(n, conf_get(n, STR("timeout")) ? "timeout" : "interval"), NULL,
                   "a health check's timeout is longer than its interval");
}

#define AT(member) offsetof(struct health_conf, member)
static const struct conf_field health_rows[] = {
    { .name = "type", .type = CONF_ENUM, .offset = AT(type), .words = health_types, .def = "http", .help = "how an endpoint is asked, on a connection of its own" },
    { .name = "path", .type = CONF_STRING, .offset = AT(path), .def = "/", .help = "http: what is asked for" },
    { .name = "interval", .type = CONF_DURATION, .offset = AT(interval), .def = "5s", .min = 10 * NS_PER_MS, .max = HOUR,
      .help = "between two checks, a tenth more or less; the first comes at once" },
    { .name = "timeout", .type = CONF_DURATION, .offset = AT(timeout), .def = "1s", .min = NS_PER_MS, .max = HOUR, .help = "of one check, from the connection to the end of the answer; connect_timeout holds, too" },
    { .name = "unhealthy_after", .type = CONF_INT, .offset = AT(unhealthy_after), .def = "3", .min = 1, .max = 1000,
      .help = "failures in a row; of an endpoint that has passed no check yet, one" },
    { .name = "healthy_after", .type = CONF_INT, .offset = AT(healthy_after), .def = "2", .min = 1, .max = 1000,
      .help = "successes in a row; of an endpoint that has passed no check yet, one" },
    END,
};
#undef AT
static const struct conf_table health_table = { .name = "health", .size = sizeof(struct health_conf),
    .fields = health_rows, .check = check_health,
    .help = "Endpoints that fail are not asked by requests; where all fail, requests end as connect_failure. Left out: all are asked." };

static const struct conf_field budget_rows[] = {
    { .name = "burst", .type = CONF_INT, .offset = offsetof(struct reset_budget, burst), .def = "100", .min = 0, .max = 1000000,
      .help = "at once; 0: any number" },
    { .name = "rate", .type = CONF_RATE, .offset = offsetof(struct reset_budget, rate), .def = "30/s", .help = "in the long run" },
    END,
};
static const struct conf_table budget_table = { .name = "reset_budget", .size = sizeof(struct reset_budget), .fields = budget_rows,
    .help = "Cancels in band on one connection, below what servers take for an attack. Past it others are used." };

bool upstream_may_speak_http2(const struct upstream_conf *u) { return u->codec ? u->codec->version >= 20 : u->tls != NULL; }
static void check_upstream(struct conf *c, const struct conf_node *n, void *at) {
    const struct upstream_conf *u = at;
    if (!u->health || u->health->type != HEALTH_GRPC || upstream_may_speak_http2(u)) return;
    conf_error(c, conf_pos_of(conf_get(n, STR("health")), "type"), "give the upstream protocol: http2, or the check type: http or tcp",
               "a health check by gRPC needs HTTP/2, which this upstream does not speak");
}

static const struct conf_field *upstream_more(size_t i) { return config_codec_row(i, CODEC_UP, offsetof(struct upstream_conf, options)); }

#define AT(member) offsetof(struct upstream_conf, member)
static const struct conf_field upstream_rows[] = {
    { .name = "protocol", .type = CONF_CUSTOM, .offset = AT(codec), .def = "auto", .parse = config_parse_protocol,
      .print = config_print_protocol, .shape = "{ \"type\": \"string\" }",
      .help = "http1, http2, or auto: by ALPN over TLS, HTTP/1.1 without" },
    { .name = "endpoints", .type = CONF_CUSTOM, .offset = AT(endpoints), .required = true, .parse = config_parse_endpoints,
      .print = config_print_endpoints, .shape = "{ \"type\": [\"string\", \"array\"], \"items\": " CONFIG_ADDRESS_SHAPE " }",
      .help = "addresses such as 127.0.0.1:9001, orders.internal:80, unix:/path; names are resolved again as their TTL runs out" },
    { .name = "balance", .type = CONF_ENUM, .offset = AT(balance), .words = balances, .def = "least_requests",
      .help = "which endpoint is asked" },
    { .name = "connect_timeout", .type = CONF_DURATION, .offset = AT(connect_timeout), .def = "500ms", .min = NS_PER_MS, .max = HOUR,
      .help = "until a connection is open, its TLS handshake included" },
    { .name = "idle_timeout", .type = CONF_DURATION, .offset = AT(idle_timeout), .def = "50s", .min = NS_PER_MS, .max = DAY, .none = "none",
      .help = "an unused connection is kept so long: less than the upstream keeps it" },
    { .name = "write_timeout", .type = CONF_DURATION, .offset = AT(write_timeout), .def = "30s", .min = NS_PER_MS, .max = DAY, .none = "none",
      .help = "between two pieces of a request that the upstream takes" },
    { .name = "max_connections", .type = CONF_INT, .offset = AT(max_connections), .def = "64", .min = 1, .max = 1000000,
      .help = "to all endpoints, shared out among the workers, each of which has at least one" },
    { .name = "max_requests", .type = CONF_INT, .offset = AT(max_requests), .def = "4096", .min = 1, .max = 10000000,
      .help = "in flight, shared out likewise; beyond it requests queue by deadline" },
    { .name = "max_pending", .type = CONF_INT, .offset = AT(max_pending), .def = "1024", .min = 0, .max = 10000000,
      .help = "queued, shared out likewise; beyond it requests are shed" },
    { .name = "reset_budget", .type = CONF_STRUCT, .offset = AT(reset_budget), .table = &budget_table,
      .help = "how often a connection may be used to cancel" },
    { .name = "health", .type = CONF_POINTER, .offset = AT(health), .table = &health_table, .help = "active checks" },
    { .name = "tls", .type = CONF_POINTER, .offset = AT(tls), .table = &tls_client_table, .help = "left out: cleartext; {}: TLS, verified" },
    END,
};
#undef AT
const struct conf_table upstream_table = { .name = "upstream", .size = sizeof(struct upstream_conf),
    .fields = upstream_rows, .more = upstream_more, .check = check_upstream,
    .help = "Whom requests are sent to. Limits are totals." };

/* ---- the rest ----------------------------------------------------------------------------------------------------------------------- */

static const struct conf_field admin_rows[] = {
    { .name = "address", .type = CONF_CUSTOM, .offset = offsetof(struct admin_conf, address), .def = "127.0.0.1:9901",
      .parse = config_parse_own_address, .print = config_print_address, .shape = CONFIG_ADDRESS_SHAPE, .help = "for operators alone: whoever reaches it can end requests" },
    END,
};
static const struct conf_table admin_table = { .name = "admin", .size = sizeof(struct admin_conf), .fields = admin_rows,
    .help = "/healthz, /readyz, /metrics, /config, /contexts, /context/optional. Left out: none of them; {}: on 127.0.0.1:9901." };

/* What users of other proxies write for `disabled`; here it would quietly become a file of that name. */
static bool means_disabled(struct str word) {
    static const char *const words[] = { "off", "no", "none", "false", "null", "~" };
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (str_eq_nocase(word, str_of(words[i]))) return true;
    return false;
}
static bool parse_access(struct conf *c, const struct conf_node *n, const struct conf_field *f, void *at) {
    struct log_conf *log = (void *)((char *)at - f->offset);
    if (n->kind == CONF_SCALAR && means_disabled(n->text))
        return config_refuse(c, n, f, "write disabled, or, for a file of that name, ./ before it", "expected stdout, disabled, or the name of a file");
    if (n->kind != CONF_SCALAR || !n->text.n) return config_refuse(c, n, f, NULL, "expected stdout, disabled, or the name of a file");
    log->access = str_eq(n->text, STR("stdout")) ? ACCESS_STDOUT : str_eq(n->text, STR("disabled")) ? ACCESS_DISABLED : ACCESS_FILE;
    if (log->access == ACCESS_FILE) log->access_file = n->text;
    return true;
}
static void print_access(struct conf_writer *w, const struct conf_field *f, const void *at) {
    const struct log_conf *log = (const void *)((const char *)at - f->offset);
    fputc(' ', w->to);
    if (log->access == ACCESS_FILE) conf_write_text(w->to, log->access_file);
    else fputs(log->access == ACCESS_STDOUT ? "stdout" : "disabled", w->to);
    fputc('\n', w->to);
}
static const struct conf_word levels[] = {
    { "error", LOG_ERROR, NULL }, { "warn", LOG_WARN, NULL }, { "info", LOG_INFO, NULL }, { "debug", LOG_DEBUG, NULL }, { "trace", LOG_TRACE, NULL }, { 0 },
};
static const struct conf_field log_rows[] = {
    { .name = "access", .type = CONF_CUSTOM, .offset = offsetof(struct log_conf, access), .def = "stdout", .parse = parse_access, .print = print_access,
      .shape = "{ \"type\": \"string\" }", .help = "one JSON object a request: to stdout, to the file of that name, or disabled" },
    { .name = "level", .type = CONF_ENUM, .offset = offsetof(struct log_conf, level), .def = "info", .words = levels,
      .help = "of the program's own log, to stderr" },
    END,
};
static const struct conf_table log_table = { .name = "log", .size = sizeof(struct log_conf), .fields = log_rows,
    .help = "What is written down." };

static const struct conf_field load_rows[] = {
    { .name = "inflight", .type = CONF_INT, .offset = offsetof(struct load_conf, inflight), .def = "none", .none = "none", .min = 1, .max = 10000000,
      .help = "requests under way, shared out among the workers: a worker with more than its share is under load" },
    { .name = "loop_lag", .type = CONF_DURATION, .offset = offsetof(struct load_conf, loop_lag), .def = "none", .none = "none", .min = NS_PER_MS,
      .max = HOUR, .help = "a turn of a worker's loop that takes longer: who came as it began has waited for all of it" },
    END,
};
static const struct conf_table load_table = { .name = "load", .size = sizeof(struct load_conf), .fields = load_rows,
    .help = "When a worker is under load, so that optional context fields are dropped. It is over when all has stayed below 80 % for a second." };

#define IN_SHUTDOWN(member) (offsetof(struct config_raw, shutdown.member) - offsetof(struct config_raw, shutdown))
static const struct conf_field limits_rows[] = {
    { .name = "memory", .type = CONF_SIZE, .offset = offsetof(struct limits_conf, memory), .def = "none", .none = "none", .min = 16 << 20, .max = INT64_MAX,
      .help = "bytes of bodies that wait, of heads and of protocol state, shared out among the workers: a worker that holds more than its share refuses new "
              "requests, and an eighth past it ends who makes it hold yet more" },
    END,
};
static const struct conf_table limits_table = { .name = "limits", .size = sizeof(struct limits_conf), .fields = limits_rows,
    .help = "What all peers together may cost." };

static const struct conf_field shutdown_rows[] = {
    { .name = "drain", .type = CONF_DURATION, .offset = IN_SHUTDOWN(drain), .def = "30s", .max = DAY,
      .help = "how long requests may take to end once the program was told to" },
    { .name = "drain_removed", .type = CONF_DURATION, .offset = IN_SHUTDOWN(drain_removed), .def = "10m", .max = DAY, .none = "none",
      .help = "how long what is under way may take to end once a reload removed its listener (or changed its `tls`) or its upstream; none: as long as it likes" },
    END,
};
#undef IN_SHUTDOWN
static const struct conf_table shutdown_table = { .name = "shutdown", .size = sizeof(((struct config_raw *)0)->shutdown),
    .fields = shutdown_rows,
    .help = "How the program ends, and what a reload takes away." };

static bool keep_node(struct conf *c, const struct conf_node *n, const struct conf_field *f, void *at) {
    (void)c, (void)f;
    *(const struct conf_node **)at = n;
    return true;
}

/* As they are once `extends` was followed; none needs the word any more. */
static void print_policies(struct conf_writer *w, const struct conf_field *f, const void *at) {
    const struct config_raw *raw = (const void *)((const char *)at - f->offset);
    const struct policies *all = raw->resolved;
    struct policy *v = mem_zalloc(all->n * sizeof *v);
    struct conf_ref *names = mem_zalloc(all->n * sizeof *names);
    for (size_t i = 0; i < all->n; i++) {
        v[i] = all->v[i];
        v[i].extends = (struct conf_ref){ 0 };
        names[i].name = all->names[i];
    }
    conf_write_map(w, f->table, &(struct conf_map){ .v = v, .n = all->n, .size = sizeof *v, .names = names });
    free(names);
    free(v);
}

static void check_version(struct conf *c, const struct conf_node *n, void *at) {
    const struct config_raw *raw = at;
    if (raw->version == 1) return;
    conf_error(c, conf_pos_of(n, "version"), "this curfew reads version 1", "the configuration has version %" PRId64, raw->version);
}

#define AT(member) offsetof(struct config_raw, member)
static const struct conf_field config_rows[] = {
    { .name = "version", .type = CONF_INT, .offset = AT(version), .def = "1", .help = "of this language: 1" },
    { .name = "workers", .type = CONF_INT, .offset = AT(workers), .def = "auto", .none = "auto", .min = 1, .max = 1024,
      .help = "event loops, a thread each; auto: one for each processor that the program may use" },
    { .name = "listeners", .type = CONF_MAP, .offset = AT(listeners), .table = &listener_table, .max = 1000,
      .help = "where clients connect" },
    { .name = "upstreams", .type = CONF_MAP, .offset = AT(upstreams), .table = &upstream_table, .max = 10000,
      .help = "whom requests are sent to" },
    { .name = "dialects", .type = CONF_MAP, .offset = AT(dialects), .table = &dialect_table, .max = DIALECTS_MAX,
      .help = "ways to write a deadline besides the built-in ones, or in their place; `curfew dialects` lists all" },
    { .name = "policies", .type = CONF_CUSTOM, .offset = AT(policies), .parse = keep_node, .print = print_policies, .table = &policy_table,
      .help = "what holds for a route's requests" },
    { .name = "routes", .type = CONF_STRUCTS, .offset = AT(routes), .table = &route_table, .max = 100000, .help = "first match wins" },
    { .name = "admin", .type = CONF_POINTER, .offset = AT(admin), .table = &admin_table, .help = "the operators' own door" },
    { .name = "log", .type = CONF_STRUCT, .offset = AT(log), .table = &log_table, .help = "what is written down" },
    { .name = "load", .type = CONF_STRUCT, .offset = AT(load), .table = &load_table, .help = "when optional context fields are dropped" },
    { .name = "limits", .type = CONF_STRUCT, .offset = AT(limits), .table = &limits_table, .help = "what all peers together may cost" },
    { .name = "shutdown", .type = CONF_STRUCT, .offset = AT(shutdown), .table = &shutdown_table, .help = "how the program ends, and what a reload takes away" },
    END,
};
const struct conf_table config_table = { .name = "configuration", .size = sizeof(struct config_raw), .fields = config_rows, .check = check_version,
    .help = "The top level of the file." };
