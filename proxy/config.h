// SPDX-License-Identifier: Apache-2.0
// The whole configuration, immutable: loaded once, checked whole, shared by reference count, swapped whole. Each part's keys stand
// in the table of the module that owns them; here are the top level, the listeners, the upstreams and what joins them by name.
#ifndef CURFEW_PROXY_CONFIG_H
#define CURFEW_PROXY_CONFIG_H
#include "codecs/codec.h"
#include "codecs/dialect.h"
#include "conf/conf.h"
#include "core/log.h"
#include "policies/policy.h"
#include "policies/route.h"
#include "proxy/load.h"
#include <stdatomic.h>
#include <sys/socket.h>

/* ---- addresses ------------------------------------------------------------------------------------------------------------- */
enum address_kind { ADDRESS_IP, ADDRESS_UNIX, ADDRESS_NAME /* to be resolved */ };
struct address {
    uint8_t kind;
    uint16_t port;
    struct str host;                 /* as written, without brackets; unix: the path */
    struct str text;                 /* as written */
    struct sockaddr_storage sa;      /* IP, UNIX */
    socklen_t len;
    struct conf_pos pos;
};
/* "127.0.0.1:80", "[::1]:80", "unix:/run/x.sock", "name:80". NULL, or a sentence that says what is wrong. Strings are borrowed from text. */
const char *address_parse(struct str text, struct address *out);
/* Of sockets' addresses, as they are resolved: an IP address with its port, or a unix socket's path. */
#define ENDPOINT_TEXT_MAX 64u
bool sockaddr_eq(const struct sockaddr_storage *a, const struct sockaddr_storage *b);
socklen_t sockaddr_len(const struct sockaddr_storage *sa);
/* "192.0.2.1:80", "[::1]:80"; empty: no IP address. */
void sockaddr_print(const struct sockaddr_storage *sa, char text[ENDPOINT_TEXT_MAX]);
bool address_is_same(const struct address *a, const struct address *b); /* IP or unix; false for names */
struct cidr { uint8_t family; uint8_t bits; uint8_t bytes[16]; };
const char *cidr_parse(struct str text, struct cidr *out); /* host bits must be zero */
enum trust_mode { TRUST_NONE, TRUST_ALL, TRUST_LIST };
struct trust { uint8_t mode; struct cidr *v; size_t n; };
/* unix peers are trusted where mode is ALL; IPv4-mapped IPv6 is compared as IPv4. */
bool trust_has(const struct trust *t, const struct sockaddr_storage *peer);

/* ---- TLS (checked here, used by proxy/tls) -------------------------------------------------------------------------------------- */
enum tls_version { TLS_1_2, TLS_1_3 };
enum tls_client_auth { CLIENT_CERT_NONE, CLIENT_CERT_OPTIONAL, CLIENT_CERT_REQUIRED };
struct tls_certificate { struct conf_ref certificate, key; }; /* PEM files; relative ones are resolved against the configuration's folder */
struct tls_server_conf {
    struct conf_array certificates; /* of struct tls_certificate */
    uint8_t min_version;
    struct conf_ref client_ca;
    uint8_t client_auth;
    struct str ciphers;             /* TLS 1.2's; empty: today's default */
    bool session_tickets;
    bool ktls;
    struct conf_pos ktls_at;        /* where it was asked for */
    struct tls_server *built;       /* by proxy/tls */
};
struct tls_client_conf {
    struct conf_ref ca;             /* absent: the system's */
    struct str server_name;         /* SNI and the name that is verified; empty: the endpoint's host */
    bool verify;                    /* default true */
    uint8_t min_version;
    struct conf_ref certificate, key;
    bool ktls;
    struct conf_pos ktls_at;
    struct tls_client *built;
};

/* ---- listeners ------------------------------------------------------------------------------------------------------------------- */
struct listener_conf {
    struct address address;
    struct tls_server_conf *tls;    /* NULL: cleartext */
    struct trust trust;
    struct { span header, body, idle, write, tls_handshake, linger; struct conf_rate min_rate; /* count 0: none */ } timeouts;
    int64_t backlog, max_connections; /* max_connections: a total, shared out among the workers */
    span beat;                      /* architecture, "the turn of the loop"; 0: off */
    void *options[CODECS_MAX];      /* by codec_index: that codec's options struct with defaults filled in; never NULL where it has a table */
};
struct limits_conf { uint64_t memory; }; /* a total, shared out among the workers; UINT64_MAX: none */
/* ---- upstreams ----------------------------------------------------------------------------------------------------------------------- */
enum balance { BALANCE_ROUND_ROBIN, BALANCE_LEAST_REQUESTS };
struct reset_budget { uint64_t burst; struct conf_rate rate; };
enum health_type { HEALTH_HTTP, HEALTH_GRPC, HEALTH_TCP };
struct health_conf { uint8_t type; span interval, timeout; int64_t unhealthy_after, healthy_after; struct str path; };
struct upstream_conf {
    const struct codec *codec;      /* NULL: auto (ALPN over TLS, the default_plain one without) */
    struct address *endpoints; size_t nendpoints;
    uint8_t balance;
    span connect_timeout, idle_timeout, write_timeout;
    int64_t max_connections, max_requests, max_pending; /* totals: config_share gives a worker's part */
    struct reset_budget reset_budget;
    struct health_conf *health;     /* NULL: none */
    struct tls_client_conf *tls;    /* NULL: cleartext */
    void *options[CODECS_MAX];
};
/* Over TLS, where nothing else is said, ALPN may come to HTTP/2. */
bool upstream_may_speak_http2(const struct upstream_conf *u);
/* A protocol name that the build has no codec for (http2 before it is compiled in) is an error at the value, unless only `check` asks. */

struct admin_conf { struct address address; };
enum access_kind { ACCESS_DISABLED, ACCESS_STDOUT, ACCESS_FILE };
struct log_conf { uint8_t access; struct str access_file; uint8_t level; };

/* ---- the whole --------------------------------------------------------------------------------------------------------------------- */
struct config {
    struct conf conf;               /* owns the memory of all that follows */
    atomic_uint refs;
    struct str folder;              /* of the file: relative names start here */
    int64_t version;
    int64_t workers;                /* resolved: `auto` is the number of processors this process may use */
    struct conf_map listeners;      /* of struct listener_conf */
    struct conf_map upstreams;      /* of struct upstream_conf */
    struct dialect_set dialects;
    struct policies policies;
    struct conf_array routes;       /* of struct route; upstream_index and use are resolved */
    struct admin_conf *admin;       /* NULL: none */
    struct log_conf log;
    struct load_conf load;
    struct limits_conf limits;
    struct { span drain, drain_removed; } shutdown;
    bool needs_dates;               /* some dialect in use reads or writes the wall clock */
    const struct config_raw *raw;   /* as the tables filled it: for config_print */
};
extern const struct conf_table config_table; /* for `curfew schema` and the reference */
/* Loads and checks all of it. NULL where there was an error; either way every diagnostic has been printed to `report` (may be NULL).
 * text NULL: the file is read. getenv NULL: the process's. */
struct config *config_load(const char *path, const char *text, size_t n, const char *(*getenv)(const char *), FILE *report);
/* The configuration that counts, as YAML that is accepted again and prints the same again: every default written out, `extends` followed,
 * environment variables expanded (so that it may hold secrets). */
void config_print(FILE *to, const struct config *c);
/* ... with "***" for values of headers and bodies of calls, which may be secrets. */
void config_print_masked(FILE *to, const struct config *c);
struct config *config_ref(struct config *c);
void config_unref(struct config *c);
/* A worker's part of a total, at least 1 where the total is not 0: the parts of all workers add up to the total, or to one each. */
int64_t config_share(int64_t total, int64_t workers, unsigned worker);
static inline span config_per_byte(struct conf_rate r) { /* 0: none is asked for */
    if (r.count == 0) return span_ns(0);
    return span_ns(r.count < (uint64_t)r.per.ns ? r.per.ns / (int64_t)r.count : 1);
}
static inline struct listener_conf *config_listener(const struct config *c, size_t i) { return CONF_AT(c->listeners, struct listener_conf, i); }
static inline struct upstream_conf *config_upstream(const struct config *c, size_t i) { return CONF_AT(c->upstreams, struct upstream_conf, i); }
#endif
