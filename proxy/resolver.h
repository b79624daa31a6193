// SPDX-License-Identifier: Apache-2.0
// Names to addresses, without ever blocking the loop, and again as their TTLs run out. One a worker: queries go over libevent's evdns on its
// event base, and when to ask, and to tell, is its wheel's to say. The hosts file is read here, since evdns's plain lookups do not. A failure
// keeps the last good set and is said once; lookups go on with a back-off. Answers come over UDP only: a name with more addresses than fit into
// 512 bytes is a failure.
#ifndef CURFEW_PROXY_RESOLVER_H
#define CURFEW_PROXY_RESOLVER_H
#include "core/instant.h"
#include "core/str.h"
#include <sys/socket.h>

struct event_base;
struct wheel;
struct resolver;
struct resolver_watch;
#define RESOLVED_MAX 64u /* addresses of a name that are used; evdns gives at most 32 a family */

struct resolver_options { /* zeroed: the defaults */
    const char *nameserver;   /* "127.0.0.1:5353"; NULL: /etc/resolv.conf */
    const char *hosts;        /* NULL: /etc/hosts; "": none */
    span timeout;             /* of one query to one server; 0: evdns's 5 s */
    int attempts;             /* 0: evdns's 3 */
    span ttl_min, ttl_max;    /* 0: 1 s and 1 h */
    span retry_min, retry_max; /* back-off after a failure; 0: 1 s, doubled to 30 s */
    span renew;               /* name servers are read anew so often, and all of them are good again; 0: 1 min */
};
struct resolved { /* borrowed until the callback returns */
    struct str name;
    const struct sockaddr_storage *v; /* the port is set; sorted, no doubles; IPv4 before IPv6 */
    size_t n;
    const char *failure;      /* NULL: all is well. Else a static sentence; v is the last good set, and empty where there was none */
};
/* Called with the first set, with every set that differs from the one before, once when lookups begin to fail, and when they succeed again.
 * From the wheel's advance alone; may watch and unwatch, itself too. */
typedef void resolver_callback(void *arg, const struct resolved *set);

/* NULL: *say (static) tells why. options NULL: the defaults. */
struct resolver *resolver_new(struct event_base *base, struct wheel *wheel, instant now, const struct resolver_options *options,
                              const char **say) __attribute__((warn_unused_result));
/* Ends all watches without a callback; no timer of it is armed after. evdns calls back for what it had under way: the base must run once more
 * (EVLOOP_NONBLOCK is enough) before it is freed, or that little memory leaks. */
void resolver_free(struct resolver *r);
/* Follows a name (copied) until resolver_unwatch. "localhost" and addresses are taken without asking anybody. */
struct resolver_watch *resolver_watch(struct resolver *r, struct str name, uint16_t port, resolver_callback *on_set, void *arg);
void resolver_unwatch(struct resolver_watch *w); /* no callback after it; NULL is allowed */
#endif
