// SPDX-License-Identifier: Apache-2.0
// The keys of the top level, the listeners and the upstreams. A codec's own keys stand under its name and come from its own table; nothing here
// knows which codecs there are.
#include "proxy/config_tables.h"
#include <arpa/inet.h>
#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>

#define END { .name = NULL }
#define SECONDS(n) ((n) * NS_PER_S)
#define HOUR SECONDS(3600)
#define DAY (24 * HOUR)

/* ---- values of our own ------------------------------------------------------------------------------------------------------ */

static bool refuse(struct conf *c, const struct conf_node *n, const struct conf_field *f, const char *hint, const char *say) {
    if (n->kind == CONF_SCALAR) conf_error(c, n->pos, hint, "%s \"%.*s\": %s", f->name, STR_ARG(n->text), say);
    else conf_error(c, n->pos, hint, "%s: %s", f->name, say);
    return false;
}

static bool parse_address(struct conf *c, const struct conf_node *n, const struct conf_field *f, void *at) {
    struct address *a = at;
    if (n->kind != CONF_SCALAR) return refuse(c, n, f, NULL, "expected an address such as 127.0.0.1:8080, [::1]:8080 or unix:/path");
    const char *say = address_parse(n->text, a);
    a->pos = n->pos;
    return !say || refuse(c, n, f, NULL, say);
}
static void print_address(struct conf_writer *w, const struct conf_field *f, const void *at) {
    (void)f;
    fputc(' ', w->to);
    conf_write_text(w->to, ((const struct address *)at)->text);
    fputc('\n', w->to);
}
#define ADDRESS_SHAPE "{ \"type\": \"string\", \"pattern\": \":\" }"

/* Where we listen is ours: to look a name up first would make the start depend on a name server. */
static bool parse_own_address(struct conf *c, const struct conf_node *n, const struct conf_field *f, void *at) {
    struct address *a = at;
    if (!parse_address(c, n, f, at)) return false;
    if (a->kind != ADDRESS_NAME) return true;
    bool local = str_eq_nocase(a->host, STR("localhost"));
    const char *hint = local ? "write 127.0.0.1 or [::1]" : "0.0.0.0 is every address of this machine";
    return refuse(c, n, f, hint, "an IP address or a unix socket is needed, not a name");
}

static bool add_endpoint(struct conf *c, const struct conf_node *n, const struct conf_field *f, struct upstream_conf *u) {
    struct address *a = &u->endpoints[u->nendpoints];
    if (n->bad || !parse_address(c, n, f, a)) return false;
    if (a->kind != ADDRESS_UNIX && a->port == 0) return refuse(c, n, f, NULL, "port 0 is none that can be asked");
    for (size_t i = 0; i < u->nendpoints; i++)
        if (str_eq(u->endpoints[i].text, a->text)) conf_warn(c, n->pos, NULL, "the endpoint %.*s stands twice", STR_ARG(a->text));
    u->nendpoints++;
    return true;
}

static bool parse_endpoints(struct conf *c, const struct conf_node *n, const struct conf_field *f, void *at) {
    struct upstream_conf *u = (void *)((char *)at - f->offset);
    bool ok = true, single = n->kind == CONF_SCALAR;
    if (!single && n->kind != CONF_LIST) return refuse(c, n, f, NULL, "expected a list of addresses such as [ 127.0.0.1:9001, orders.internal:80 ]");
    if (!single && n->n == 0) return refuse(c, n, f, NULL, "an upstream needs at least one endpoint");
    u->endpoints = arena_zalloc(&c->arena, (single ? 1 : n->n) * sizeof *u->endpoints);
    if (single) return add_endpoint(c, n, f, u);
    for (size_t i = 0; i < n->n; i++) ok = add_endpoint(c, n->items[i], f, u) && ok;
    return ok;
}

static void print_endpoints(struct conf_writer *w, const struct conf_field *f, const void *at) {
    const struct upstream_conf *u = (const void *)((const char *)at - f->offset);
    for (size_t i = 0; i < u->nendpoints; i++) {
        fputs(i ? ", " : " [ ", w->to);
        conf_write_text(w->to, u->endpoints[i].text);
    }
    fputs(" ]\n", w->to);
}

static bool add_cidr(struct conf *c, const struct conf_node *n, const struct conf_field *f, struct trust *t) {
    if (n->bad) return false;
    if (n->kind != CONF_SCALAR) return refuse(c, n, f, NULL, "expected a network such as 10.0.0.0/8");
    const char *say = cidr_parse(n->text, &t->v[t->n]);
    if (say) return refuse(c, n, f, NULL, say);
    t->n++;
    return true;
}

static bool parse_trust(struct conf *c, const struct conf_node *n, const struct conf_field *f, void *at) {
    struct trust *t = at;
    bool ok = true, single = n->kind == CONF_SCALAR;
    *t = (struct trust){ .mode = TRUST_LIST };
    if (single && str_eq(n->text, STR("none"))) t->mode = TRUST_NONE;
    if (single && str_eq(n->text, STR("all"))) t->mode = TRUST_ALL;
    if (t->mode != TRUST_LIST) return true;
    if (!single && n->kind != CONF_LIST) return refuse(c, n, f, NULL, "expected none, all, or a list of networks such as 10.0.0.0/8");
    t->v = arena_zalloc(&c->arena, (single ? 1 : n->n) * sizeof *t->v);
    if (single) return add_cidr(c, n, f, t);
    for (size_t i = 0; i < n->n; i++) ok = add_cidr(c, n->items[i], f, t) && ok;
    return ok;
}

static void print_trust(struct conf_writer *w, const struct conf_field *f, const void *at) {
    const struct trust *t = at;
    char text[INET6_ADDRSTRLEN];
    (void)f;
    if (t->mode != TRUST_LIST) fprintf(w->to, " %s\n", t->mode == TRUST_ALL ? "all" : "none");
    else fputs(" [", w->to);
    for (size_t i = 0; i < t->n; i++)
        fprintf(w->to, "%s\"%s/%u\"", i ? ", " : " ", inet_ntop(t->v[i].family, t->v[i].bytes, text, sizeof text), t->v[i].bits);
    if (t->mode == TRUST_LIST) fputs(" ]\n", w->to);
}

/* ---- protocols ------------------------------------------------------------------------------------------------------------------ */

static const char *next_up_protocol(void *state, size_t i) {
    (void)state;
    size_t seen = 0;
    for (size_t k = 0; k < codec_count(); k++)
        if (codec_at(k)->roles & CODEC_UP && seen++ == i) return codec_at(k)->name;
    return i == seen ? "auto" : NULL;
}

static const char *up_protocols(struct conf *c) {
    struct str all = STR("");
    const char *name;
    for (size_t i = 0; (name = next_up_protocol(NULL, i)); i++) all = arena_printf(&c->arena, "%.*s%s%s", STR_ARG(all), i ? ", " : "", name);
    return arena_printf(&c->arena, "protocols are %.*s%c", STR_ARG(all), 0).p;
}

static bool parse_protocol(struct conf *c, const struct conf_node *n, const struct conf_field *f, void *at) {
    const struct codec **codec = at;
    *codec = NULL;
    if (n->kind != CONF_SCALAR) return refuse(c, n, f, up_protocols(c), "expected the name of a protocol");
    if (str_eq(n->text, STR("auto"))) return true;
    *codec = codec_by_name(n->text);
    if (*codec && (*codec)->roles & CODEC_UP) return true;
    *codec = NULL;
    const char *near = conf_nearest(n->text, next_up_protocol, NULL);
    return refuse(c, n, f, near ? arena_printf(&c->arena, "did you mean \"%s\"?%c", near, 0).p : up_protocols(c), "no such protocol");
}

static void print_protocol(struct conf_writer *w, const struct conf_field *f, const void *at) {
    const struct codec *codec = *(const struct codec *const *)at;
    (void)f;
    fprintf(w->to, " %s\n", codec ? codec->name : "auto");
}

/* A row a codec: its own table under its own name, filled with defaults where the key is absent. */
static const struct conf_field *codec_row(size_t i, enum codec_role role, size_t offset) {
    static struct conf_field rows[2][CODECS_MAX];
    size_t seen = 0;
    for (size_t k = 0; k < codec_count(); k++) {
        const struct codec *codec = codec_at(k);
        if (!(codec->roles & role) || !codec->options || seen++ != i) continue;
        struct conf_field *row = &rows[role == CODEC_UP][k];
        *row = (struct conf_field){ .name = codec->name, .type = CONF_POINTER, .offset = offset + k * sizeof(void *), .def = "{}",
                                    .table = codec->options, .help = "this protocol's own settings" };
        return row;
    }
    return NULL;
}

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

static const struct conf_word tls_versions[] = { { "1.2", TLS_1_2, NULL }, { "1.3", TLS_1_3, NULL }, { 0 } };
static const struct conf_word client_auths[] = {
    { "none", CLIENT_CERT_NONE, "clients are not asked for one" },
    { "optional", CLIENT_CERT_OPTIONAL, "asked for; one that is shown must be good" },
    { "required", CLIENT_CERT_REQUIRED, "without a good one the handshake fails" },
    { 0 },
};

static void check_tls_server(struct conf *c, const struct conf_node *n, void *at) {
    const struct tls_server_conf *t = at;
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
    END,
};
#undef AT
const struct conf_table tls_server_table = { .name = "tls", .size = sizeof(struct tls_server_conf), .fields = tls_server_rows,
    .check = check_tls_server, .help = "TLS towards clients. Their protocol is agreed by ALPN." };

static void check_tls_client(struct conf *c, const struct conf_node *n, void *at) {
    const struct tls_client_conf *t = at;
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
    END,
};
static const struct conf_table timeouts_table = { .name = "timeouts", .size = sizeof(((struct listener_conf *)0)->timeouts),
    .fields = timeout_rows,
    .help = "How long clients may take. none: for ever." };

static const struct conf_field *listener_more(size_t i) { return codec_row(i, CODEC_DOWN, offsetof(struct listener_conf, options)); }

#define AT(member) offsetof(struct listener_conf, member)
static const struct conf_field listener_rows[] = {
    { .name = "address", .type = CONF_CUSTOM, .offset = AT(address), .required = true, .parse = parse_own_address,
      .print = print_address, .shape = ADDRESS_SHAPE,
      .help = "127.0.0.1:8080, [::1]:8080 or unix:/path" },
    { .name = "tls", .type = CONF_POINTER, .offset = AT(tls), .table = &tls_server_table, .help = "left out: cleartext" },
    { .name = "trust", .type = CONF_CUSTOM, .offset = AT(trust), .def = "none", .parse = parse_trust, .print = print_trust,
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

static const struct conf_field *upstream_more(size_t i) { return codec_row(i, CODEC_UP, offsetof(struct upstream_conf, options)); }

#define AT(member) offsetof(struct upstream_conf, member)
static const struct conf_field upstream_rows[] = {
    { .name = "protocol", .type = CONF_CUSTOM, .offset = AT(codec), .def = "auto", .parse = parse_protocol, .print = print_protocol,
      .shape = "{ \"type\": \"string\" }",
      .help = "http1, http2, or auto: by ALPN over TLS, HTTP/1.1 without" },
    { .name = "endpoints", .type = CONF_CUSTOM, .offset = AT(endpoints), .required = true, .parse = parse_endpoints, .print = print_endpoints,
      .shape = "{ \"type\": [\"string\", \"array\"], \"items\": " ADDRESS_SHAPE " }",
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
    { .name = "address", .type = CONF_CUSTOM, .offset = offsetof(struct admin_conf, address), .def = "127.0.0.1:9901", .parse = parse_own_address,
      .print = print_address, .shape = ADDRESS_SHAPE, .help = "for operators alone: whoever reaches it can end requests" },
    END,
};
static const struct conf_table admin_table = { .name = "admin", .size = sizeof(struct admin_conf), .fields = admin_rows,
    .help = "/healthz, /readyz, /metrics, /contexts, /context/optional. Left out: none of them; {}: on 127.0.0.1:9901." };

static bool parse_access(struct conf *c, const struct conf_node *n, const struct conf_field *f, void *at) {
    struct log_conf *log = (void *)((char *)at - f->offset);
    if (n->kind != CONF_SCALAR || !n->text.n) return refuse(c, n, f, NULL, "expected stdout, disabled, or the name of a file");
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

static const struct conf_field shutdown_rows[] = {
    { .name = "drain", .type = CONF_DURATION, .offset = 0, .def = "30s", .max = DAY,
      .help = "how long requests may take to end once the program was told to" },
    END,
};
static const struct conf_table shutdown_table = { .name = "shutdown", .size = sizeof(((struct config_raw *)0)->shutdown),
    .fields = shutdown_rows,
    .help = "How the program ends." };

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
    { .name = "shutdown", .type = CONF_STRUCT, .offset = AT(shutdown), .table = &shutdown_table, .help = "how the program ends" },
    END,
};
const struct conf_table config_table = { .name = "configuration", .size = sizeof(struct config_raw), .fields = config_rows, .check = check_version,
    .help = "The top level of the file." };
