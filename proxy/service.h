// SPDX-License-Identifier: Apache-2.0
// A small server inside the program: requests that are answered here and go nowhere else. The admin address and the sample upstream are services.
// It is the second user of connections and codecs: a call is one request with its answer, in one arena, and follows the same events as an
// exchange. All of it belongs to one worker.
#ifndef CURFEW_PROXY_SERVICE_H
#define CURFEW_PROXY_SERVICE_H
#include "proxy/leg.h"
#include "proxy/worker.h"

struct service_call { /* in its own arena; freed at the end of the turn in which its leg closed */
    struct arena arena;
    struct worker *w;
    struct conn *conn;              /* borrowed; NULL once the leg is closed */
    const struct service *service;
    const struct head *request;
    struct body body;               /* the answer's */
    uint64_t offset;
    const struct head *trailers;    /* of the answer */
    uint64_t received;              /* bytes of the request's body */
    bool request_ended, answered, ended;
    struct timer timer;             /* the handler's own; disarmed at the end */
    instant begun;
    void *data;                     /* the handler's own, in the arena */
    struct list reap;
    struct leg leg;                 /* last */
};
struct service {                    /* static; all entries but on_request may be NULL */
    void (*on_request)(struct service_call *c);                         /* the head is there */
    void (*on_body)(struct service_call *c, const uint8_t *p, size_t n); /* taken at once */
    void (*on_end)(struct service_call *c, const struct head *trailers); /* the request is complete */
    void (*on_half_close)(struct service_call *c);                      /* FIN while the answer is owed. NULL: the call is cut */
    void (*on_gone)(struct service_call *c, const struct fault *f);     /* f NULL: answered in good order */
    void *arg;
};
/* Answers with a head (from service_head) and maybe a first part of the body; then service_write and service_end, or cut. */
struct head *service_head(struct service_call *c, uint16_t status);
void service_send(struct service_call *c, const struct head *h);
void service_write(struct service_call *c, struct str bytes); /* copied */
void service_end(struct service_call *c, const struct head *trailers);
void service_cut(struct service_call *c); /* as far as the wire shows it: truncated */
/* All of an answer at once. */
void service_answer(struct service_call *c, uint16_t status, struct str type, struct str body);
/* Accepts on fd (taken) in worker w; s outlives it. */
void service_listen(struct worker *w, const struct listener_conf *conf, int fd, const struct service *s);
/* A listener's configuration for a service: an address, and every codec's default options; in *conf, with memory from a. NULL, or what is wrong. */
const char *service_conf(struct listener_conf *conf, struct str address, struct conf *c);
#endif
