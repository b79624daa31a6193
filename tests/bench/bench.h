// SPDX-License-Identifier: Apache-2.0
// What the measurements share: a clock, figures, raw sockets on loopback, and a gateway as a process of its own. Whatever goes wrong ends the
// program with a sentence on stderr: a measurement that half worked is none.
#ifndef CURFEW_TESTS_BENCH_H
#define CURFEW_TESTS_BENCH_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

#define MS INT64_C(1000000) /* in ns */

int64_t clock_ns(void); /* CLOCK_MONOTONIC: the clock of the gateway, too */
void nap(int64_t ns);
uint32_t draw(uint32_t below); /* the same sequence in every run */
_Noreturn void die(const char *format, ...) __attribute__((format(printf, 1, 2)));

struct figures { int64_t *v; size_t n, cap; bool sorted; }; /* owned: ns each */
void figures_add(struct figures *f, int64_t ns);
double figures_ms(struct figures *f, double share); /* 0.5: the median; 1: the greatest */
void figures_print(struct figures *f, const char *what); /* one line; empties f */

/* Blocking sockets with TCP_NODELAY, which fail after five seconds. */
int listen_any(uint16_t *port);                     /* on 127.0.0.1 */
int connect_to(uint16_t port, const char *from);    /* from: source address; NULL: any */
void send_bytes(int fd, const void *p, size_t n);
void send_text(int fd, const char *text);
/* A connection's first bytes and a request on stream 1, as HTTP/2; a body follows, of which three bytes are sent, where the method is POST. */
void send_http2_request(int fd, const char *method, const char *path);
void send_http2_reset(int fd);                      /* RST_STREAM(CANCEL) for stream 1 */
void leave(int fd, bool reset);                     /* closes: FIN, or RST */
uint16_t free_port(void);
void raise_descriptor_limit(void);

/* A program that runs until bench_stop. */
pid_t run_program(char *const argv[]);
struct gateway { pid_t pid; uint16_t port, admin; };
/* Runs CURFEW (build/curfew) with this configuration. ${LISTEN} and ${ADMIN} stand for its addresses, ${NAME} for what was set by setenv. */
struct gateway gateway_start(const char *yaml);
void gateway_stop(struct gateway *g); /* SIGTERM; it must exit 0 */
void stop_program(pid_t pid);
const char *curfew_path(void);
void set_address(const char *name, uint16_t port); /* the environment's NAME=127.0.0.1:port */
double gateway_metric(const struct gateway *g, const char *name); /* a line's name with its labels; -1: there is none */
void wait_listening(uint16_t port);
size_t resident_kib(pid_t pid);
size_t descriptors_of(pid_t pid);
#endif
