// SPDX-License-Identifier: Apache-2.0
// Keeps the addresses of names fresh. A watch goes round: its timer fires → hosts file, else two queries (A and AAAA) → both have come back, and
// the timer is due at once → it fires: the set is told where it is new, and the timer set by the TTL, or by the back-off. So all begins in a turn
// of the worker, with the time of that turn, and nothing is ever told from inside resolver_watch or evdns. evdns calls back for every query it
// took, cancelled and shut down ones too, so a query is a struct of its own that forgets its watch and is freed by that callback alone.
#include "proxy/resolver.h"
#include "core/arena.h"
#include "core/list.h"
#include "core/log.h"
#include "core/wheel.h"
#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <event2/dns.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define FAMILY_MAX (RESOLVED_MAX / 2)
#define HOSTS_MAX (4u << 20)        /* a hosts file that is longer is read so far: block lists are, and a loop must not wait for a disk */
#define HOSTS_AGAIN span_s(5)       /* a name found there is looked up there again: the file has no TTL */

enum family { IP4, IP6, FAMILIES };
enum answer { ANSWER_ASKING, ANSWER_GOOD, ANSWER_NONE /* the name has no such addresses */, ANSWER_FAILED };

struct query { /* owned by evdns, in effect: freed by its callback */
    struct resolver_watch *w; /* borrowed; NULL: nobody waits */
    enum family family;
};
struct addresses {
    enum answer answer;
    const char *say;              /* NONE, FAILED: why */
    span ttl;
    uint8_t v[FAMILY_MAX][16];    /* of the last good answer; IPv4 in the first four bytes */
    size_t n;
    struct query *query;          /* under way, or NULL */
};
struct resolver_watch {
    struct resolver *r;
    struct list node;
    char *name;                   /* owned; without a last dot */
    bool absolute;                /* it had one: no search list */
    uint16_t port;
    resolver_callback *on_set;
    void *arg;
    struct timer timer;           /* to ask, or to conclude */
    bool asking;
    struct addresses of[FAMILIES];
    struct sockaddr_storage *set; /* owned: as last told */
    size_t nset;
    bool told, failing;
    bool telling, gone;           /* inside the callback; unwatched there */
    span backoff;                 /* the next one */
};
struct resolver {
    const char *nameserver;       /* borrowed; NULL: /etc/resolv.conf */
    struct wheel *wheel;          /* borrowed */
    struct timer renewal;
    span renew;
    struct evdns_base *dns;       /* owned */
    struct list watches;
    char *hosts_path;             /* owned; NULL: none */
    struct stat hosts_seen;
    char *hosts;                  /* owned: the file's text */
    size_t nhosts;
    span ttl_min, ttl_max, retry_min, retry_max;
};

/* ---- sets ------------------------------------------------------------------------------------------------------------------------- */
static size_t address_size(enum family f) { return f == IP4 ? 4 : 16; }
static int order4(const void *a, const void *b) { return memcmp(a, b, 4); }
static int order6(const void *a, const void *b) { return memcmp(a, b, 16); }

static void addresses_add(struct addresses *a, enum family f, const uint8_t *p) {
    for (size_t i = 0; i < a->n; i++) {
        if (memcmp(a->v[i], p, address_size(f)) == 0) return;
    }
    if (a->n == FAMILY_MAX) return;
    memset(a->v[a->n], 0, sizeof a->v[0]);
    memcpy(a->v[a->n++], p, address_size(f));
}

static void addresses_sort(struct addresses *a, enum family f) { qsort(a->v, a->n, sizeof a->v[0], f == IP4 ? order4 : order6); }

static struct sockaddr_storage socket_address(enum family f, const uint8_t *p, uint16_t port) {
    struct sockaddr_storage sa;
    memset(&sa, 0, sizeof sa);
    if (f == IP4) {
        struct sockaddr_in in = { .sin_family = AF_INET, .sin_port = htons(port) };
        memcpy(&in.sin_addr, p, 4);
        memcpy(&sa, &in, sizeof in);
    } else {
        struct sockaddr_in6 in6 = { .sin6_family = AF_INET6, .sin6_port = htons(port) };
        memcpy(&in6.sin6_addr, p, 16);
        memcpy(&sa, &in6, sizeof in6);
    }
    return sa;
}

/* Sorted, so that a server that rotates its answers changes nothing. True where the set is another than before. */
static bool rebuild(struct resolver_watch *w) {
    size_t n = 0, most = w->of[IP4].n + w->of[IP6].n;
    struct sockaddr_storage *set = mem_zalloc((most + 1) * sizeof *set);
    for (enum family f = IP4; f < FAMILIES; f++) {
        addresses_sort(&w->of[f], f);
        for (size_t i = 0; i < w->of[f].n; i++) set[n++] = socket_address(f, w->of[f].v[i], w->port);
    }
    bool same = n == w->nset && (n == 0 || memcmp(set, w->set, n * sizeof *set) == 0);
    free(w->set);
    w->set = set;
    w->nset = n;
    return !same;
}

/* ---- telling ---------------------------------------------------------------------------------------------------------------------------- */
static void watch_free(struct resolver_watch *w) {
    list_del(&w->node);
    free(w->set);
    free(w->name);
    free(w);
}

/* False where the callback has unwatched w, which is gone then. */
static bool tell(struct resolver_watch *w, const char *failure) {
    const struct resolved set = { .name = str_of(w->name), .v = w->set, .n = w->nset, .failure = failure };
    w->told = true;
    w->telling = true;
    w->on_set(w->arg, &set);
    w->telling = false;
    if (!w->gone) return true;
    watch_free(w);
    return false;
}

static span clamp(span s, span least, span most) { return span_min(span_max(s, least), most); }

static void again_at(struct resolver_watch *w, instant at) { wheel_arm(w->r->wheel, &w->timer, at); }
static void at_once(struct resolver_watch *w) { again_at(w, (instant){ 0 }); }

static void conclude_good(struct resolver_watch *w, span ttl, instant now) {
    bool news = rebuild(w) || w->failing || !w->told;
    w->failing = false;
    w->backoff = w->r->retry_min;
    again_at(w, instant_add(now, clamp(ttl, w->r->ttl_min, w->r->ttl_max)));
    if (news) tell(w, NULL);
}

static void conclude_failed(struct resolver_watch *w, const char *say, instant now) {
    bool news = !w->failing;
    w->failing = true;
    again_at(w, instant_add(now, w->backoff));
    w->backoff = span_min(span_add(w->backoff, w->backoff), w->r->retry_max);
    if (news) tell(w, say);
}

/* Both families are in. One good answer is enough; the other family's last addresses stay where it only failed to answer. */
static void conclude(struct resolver_watch *w, instant now) {
    span ttl = SPAN_FOREVER;
    const char *say = NULL;
    bool good = false;
    for (enum family f = IP4; f < FAMILIES; f++) {
        const struct addresses *a = &w->of[f];
        good |= a->answer == ANSWER_GOOD;
        if (a->answer == ANSWER_GOOD) ttl = span_min(ttl, a->ttl);
        if (a->answer == ANSWER_FAILED || (a->answer == ANSWER_NONE && !say)) say = a->say;
    }
    if (!good) {
        conclude_failed(w, say, now);
        return;
    }
    for (enum family f = IP4; f < FAMILIES; f++) {
        if (w->of[f].answer == ANSWER_NONE) w->of[f].n = 0;
        if (w->of[f].answer == ANSWER_FAILED) ttl = span_min(ttl, w->backoff);
    }
    conclude_good(w, ttl, now);
}

/* ---- asking DNS --------------------------------------------------------------------------------------------------------------------------- */
static const char *sentence(int err) {
    switch (err) {
    case DNS_ERR_NOTEXIST: return "the name does not exist";
    case DNS_ERR_NODATA: return "the name has no addresses";
    case DNS_ERR_TIMEOUT: return "no name server gave an answer in time";
    case DNS_ERR_TRUNCATED: return "the answer was too long for UDP";
    case DNS_ERR_REFUSED: return "the name server refused to answer";
    default: return "the name server's answer made no sense";
    }
}

/* evdns keeps REFUSED and the like for itself until its last server has said so, and takes SERVFAIL for silence. */
static void take_answer(struct addresses *a, enum family f, int err, char type, int count, int ttl, const void *v) {
    bool good = err == DNS_ERR_NONE && count > 0 && type == (f == IP4 ? DNS_IPv4_A : DNS_IPv6_AAAA);
    bool none = err == DNS_ERR_NOTEXIST || err == DNS_ERR_NODATA || (err == DNS_ERR_NONE && count == 0);
    a->answer = good ? ANSWER_GOOD : none ? ANSWER_NONE : ANSWER_FAILED;
    a->say = good ? NULL : sentence(none && err == DNS_ERR_NONE ? DNS_ERR_NODATA : err);
    if (!good) return;
    a->ttl = span_s(ttl);
    a->n = 0;
    for (int i = 0; i < count; i++) addresses_add(a, f, (const uint8_t *)v + (size_t)i * address_size(f));
}

static bool is_answered(const struct resolver_watch *w) {
    return w->of[IP4].answer != ANSWER_ASKING && w->of[IP6].answer != ANSWER_ASKING;
}

static void on_answer(int err, char type, int count, int ttl, void *v, void *arg) {
    struct query *q = arg;
    struct resolver_watch *w = q->w;
    enum family f = q->family;
    free(q);
    if (!w) return;
    w->of[f].query = NULL;
    take_answer(&w->of[f], f, err, type, count, ttl, v);
    if (is_answered(w)) at_once(w);
}

static void forget_queries(struct resolver_watch *w) {
    for (enum family f = IP4; f < FAMILIES; f++) {
        if (w->of[f].query) w->of[f].query->w = NULL;
        w->of[f].query = NULL;
    }
}

/* Both are marked before the first is asked: an answer must not find the other family's of the last round. */
static void ask(struct resolver_watch *w) {
    int flags = w->absolute ? DNS_QUERY_NO_SEARCH : 0;
    w->asking = true;
    for (enum family f = IP4; f < FAMILIES; f++) w->of[f].answer = ANSWER_ASKING;
    for (enum family f = IP4; f < FAMILIES; f++) {
        struct query *q = mem_zalloc(sizeof *q);
        *q = (struct query){ .w = w, .family = f };
        w->of[f].query = q;
        struct evdns_request *took = f == IP4 ? evdns_base_resolve_ipv4(w->r->dns, w->name, flags, on_answer, q)
                                              : evdns_base_resolve_ipv6(w->r->dns, w->name, flags, on_answer, q);
        if (took) continue;
        free(q);
        w->of[f].query = NULL;
        w->of[f].answer = ANSWER_FAILED;
        w->of[f].say = "it is not a name that can be asked for";
    }
    if (is_answered(w)) at_once(w);
}

/* ---- what needs no DNS ------------------------------------------------------------------------------------------------------------------ */
static void hosts_read(struct resolver *r, int fd) {
    size_t size = r->hosts_seen.st_size < (off_t)HOSTS_MAX ? (size_t)r->hosts_seen.st_size : HOSTS_MAX;
    free(r->hosts);
    r->hosts = mem_alloc(size + 1);
    ssize_t n = read(fd, r->hosts, size);
    r->nhosts = n > 0 ? (size_t)n : 0;
}

/* Anew where the file is another one: an operator's edit counts without a reload. */
static void hosts_refresh(struct resolver *r) {
    int fd = r->hosts_path ? open(r->hosts_path, O_RDONLY | O_CLOEXEC | O_NONBLOCK) : -1;
    struct stat st;
    if (fd < 0 || fstat(fd, &st) != 0 || !S_ISREG(st.st_mode)) {
        r->nhosts = 0;
        memset(&r->hosts_seen, 0, sizeof r->hosts_seen);
    } else {
        const struct stat *was = &r->hosts_seen;
        bool same = st.st_ino == was->st_ino && st.st_dev == was->st_dev && st.st_size == was->st_size &&
                    st.st_mtim.tv_sec == was->st_mtim.tv_sec && st.st_mtim.tv_nsec == was->st_mtim.tv_nsec;
        r->hosts_seen = st;
        if (!same) hosts_read(r, fd);
    }
    if (fd >= 0) close(fd);
}

static struct str next_word(struct str *line) {
    size_t from = 0;
    while (from < line->n && strchr(" \t\r", line->p[from])) from++;
    size_t to = from;
    while (to < line->n && !strchr(" \t\r", line->p[to])) to++;
    struct str word = { line->p + from, to - from };
    *line = str_from(*line, to);
    return word;
}

/* hosts(5): address, names, a comment. Adds the address where one of the names is ours. */
static void hosts_line(struct resolver_watch *w, struct str line) {
    line = str_first(line, str_index(line, '#'));
    struct str address = next_word(&line), word, name = str_of(w->name);
    char text[INET6_ADDRSTRLEN] = "";
    uint8_t bytes[16];
    if (address.n == 0 || address.n >= sizeof text) return;
    memcpy(text, address.p, address.n);
    while ((word = next_word(&line)).n > 0) {
        if (!str_eq_nocase(word, name)) continue;
        if (inet_pton(AF_INET, text, bytes) == 1) addresses_add(&w->of[IP4], IP4, bytes);
        if (inet_pton(AF_INET6, text, bytes) == 1) addresses_add(&w->of[IP6], IP6, bytes);
        return;
    }
}

static void hosts_search(struct resolver_watch *w) {
    struct str rest = { w->r->hosts, w->r->nhosts };
    while (rest.n > 0) {
        size_t n = str_index(rest, '\n');
        hosts_line(w, str_first(rest, n));
        rest = str_from(rest, n < rest.n ? n + 1 : n);
    }
}

/* RFC 6761 6.3: localhost and what is below it are loopback, and no name server is asked. */
static void localhost_search(struct resolver_watch *w) {
    static const uint8_t four[4] = { 127, 0, 0, 1 }, six[16] = { [15] = 1 };
    struct str name = str_of(w->name), tail = STR(".localhost");
    bool below = name.n > tail.n && str_eq_nocase(str_from(name, name.n - tail.n), tail);
    if (!below && !str_eq_nocase(name, STR("localhost"))) return;
    addresses_add(&w->of[IP4], IP4, four);
    addresses_add(&w->of[IP6], IP6, six);
}

static void address_search(struct resolver_watch *w) {
    uint8_t bytes[16];
    if (inet_pton(AF_INET, w->name, bytes) == 1) addresses_add(&w->of[IP4], IP4, bytes);
    if (inet_pton(AF_INET6, w->name, bytes) == 1) addresses_add(&w->of[IP6], IP6, bytes);
}

/* Tries what is at hand; w's addresses are replaced only where something was found. */
static bool search_at_hand(struct resolver_watch *w) {
    static void (*const searches[])(struct resolver_watch *) = { address_search, hosts_search, localhost_search };
    struct addresses was[FAMILIES] = { w->of[IP4], w->of[IP6] };
    hosts_refresh(w->r);
    w->of[IP4].n = w->of[IP6].n = 0;
    for (size_t i = 0; i < sizeof searches / sizeof searches[0]; i++) {
        searches[i](w);
        if (w->of[IP4].n + w->of[IP6].n > 0) return true;
    }
    w->of[IP4] = was[IP4];
    w->of[IP6] = was[IP6];
    return false;
}

static void on_timer(struct timer *t, instant now) {
    struct resolver_watch *w = CONTAINER_OF(t, struct resolver_watch, timer);
    bool asked = w->asking;
    w->asking = false;
    if (asked) conclude(w, now);
    else if (search_at_hand(w)) conclude_good(w, HOSTS_AGAIN, now);
    else ask(w);
}

/* ---- watches ------------------------------------------------------------------------------------------------------------------------------ */
struct resolver_watch *resolver_watch(struct resolver *r, struct str name, uint16_t port, resolver_callback *on_set, void *arg) {
    struct resolver_watch *w = mem_zalloc(sizeof *w);
    bool absolute = name.n > 1 && name.p[name.n - 1] == '.';
    size_t n = name.n - absolute;
    *w = (struct resolver_watch){ .r = r, .absolute = absolute, .port = port, .on_set = on_set, .arg = arg, .backoff = r->retry_min };
    w->name = mem_zalloc(n + 1);
    if (n) memcpy(w->name, name.p, n);
    w->timer.fire = on_timer;
    list_push(&r->watches, &w->node);
    at_once(w);
    return w;
}

void resolver_unwatch(struct resolver_watch *w) {
    if (!w) return;
    assert(!w->gone);
    forget_queries(w);
    wheel_disarm(w->r->wheel, &w->timer);
    w->gone = true;
    if (!w->telling) watch_free(w); /* else tell frees it, on its way out */
}

/* ---- the resolver ---------------------------------------------------------------------------------------------------------------------- */
/* evdns asks a name server that failed for google.com until it answers, from ten seconds after its failure on: nobody who runs a proxy
 * expects that of it. It cannot be told otherwise, but to wait an hour, which is never: long before, all are taken for good again, as
 * evdns does by itself with the last one. */
#define PROBE_AFTER "3600"
static void never_probe(struct evdns_base *dns) { evdns_base_set_option(dns, "initial-probe-timeout:", PROBE_AFTER); }

static void set_timeout(struct evdns_base *dns, span s) {
    char text[32];
    snprintf(text, sizeof text, "%.3f", (double)s.ns / (double)NS_PER_S);
    evdns_base_set_option(dns, "timeout:", text);
}

static void set_attempts(struct evdns_base *dns, int n) {
    char text[16];
    snprintf(text, sizeof text, "%d", n);
    evdns_base_set_option(dns, "attempts:", text);
}

/* evdns writes to stderr by itself otherwise; what matters to an upstream it is told by its watch. */
static void on_dns_log(int is_warning, const char *say) { log_at(is_warning ? LOG_WARN : LOG_DEBUG, "resolver", "%s", say); }
static void take_dns_log(void) { evdns_set_log_fn(on_dns_log); }

/* evdns falls back to 127.0.0.1 where resolv.conf has no server or cannot be read, as the C library does: worth a word, no more. */
static const char *add_nameservers(struct evdns_base *dns, const char *nameserver) {
    if (nameserver) return evdns_base_nameserver_ip_add(dns, nameserver) == 0 ? NULL : "the name server's address is not valid";
    int err = evdns_base_resolv_conf_parse(dns, DNS_OPTION_SEARCH | DNS_OPTION_NAMESERVERS | DNS_OPTION_MISC, "/etc/resolv.conf");
    if (err) log_warn("resolver", "/etc/resolv.conf has no name server, or cannot be read: 127.0.0.1 is asked");
    return NULL;
}

/* What is under way is asked again. */
static void on_renewal(struct timer *t, instant now) {
    struct resolver *r = CONTAINER_OF(t, struct resolver, renewal);
    wheel_arm(r->wheel, &r->renewal, instant_add(now, r->renew));
    evdns_base_clear_nameservers_and_suspend(r->dns);
    const char *say = add_nameservers(r->dns, r->nameserver);
    if (say) log_warn("resolver", "%s", say);
    evdns_base_resume(r->dns);
}
static span or_else(span s, span otherwise) { return s.ns ? s : otherwise; }

struct resolver *resolver_new(struct event_base *base, struct wheel *wheel, instant now, const struct resolver_options *options,
                              const char **say) {
    static const struct resolver_options defaults;
    static pthread_once_t once = PTHREAD_ONCE_INIT; /* the log function is the process's */
    pthread_once(&once, take_dns_log);
    const struct resolver_options *o = options ? options : &defaults;
    struct evdns_base *dns = evdns_base_new(base, EVDNS_BASE_DISABLE_WHEN_INACTIVE);
    *say = dns ? add_nameservers(dns, o->nameserver) : "evdns could not be set up";
    if (*say) {
        if (dns) evdns_base_free(dns, 0);
        return NULL;
    }
    never_probe(dns);
    if (o->timeout.ns) set_timeout(dns, o->timeout);
    if (o->attempts) set_attempts(dns, o->attempts);
    struct resolver *r = mem_zalloc(sizeof *r);
    *r = (struct resolver){ .wheel = wheel, .dns = dns, .ttl_min = or_else(o->ttl_min, span_s(1)), .ttl_max = or_else(o->ttl_max, span_s(3600)),
                            .retry_min = or_else(o->retry_min, span_s(1)), .retry_max = or_else(o->retry_max, span_s(30)),
                            .renew = or_else(o->renew, span_s(60)), .nameserver = o->nameserver, .renewal.fire = on_renewal };
    list_init(&r->watches);
    wheel_arm(wheel, &r->renewal, instant_add(now, r->renew));
    const char *hosts = o->hosts ? o->hosts : "/etc/hosts";
    if (*hosts) {
        r->hosts_path = mem_zalloc(strlen(hosts) + 1);
        memcpy(r->hosts_path, hosts, strlen(hosts));
    }
    return r;
}

void resolver_free(struct resolver *r) {
    if (!r) return;
    LIST_EACH(&r->watches, w, struct resolver_watch, node) {
        assert(!w->telling);
        resolver_unwatch(w);
    }
    wheel_disarm(r->wheel, &r->renewal);
    evdns_base_free(r->dns, 1); /* 1: calls back for what is under way, which frees the queries */
    free(r->hosts_path);
    free(r->hosts);
    free(r);
}
