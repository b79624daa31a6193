// SPDX-License-Identifier: Apache-2.0
// The access log: one JSON object a line for each exchange, buffered by worker. Only whole lines are written, and into a pipe none that the kernel
// would split, so that several workers append to one file or one stdout. It never blocks the loop and never ends the program: what cannot
// be written is dropped and counted. Not thread-safe: one a worker, each with a descriptor of its own.
#ifndef CURFEW_PROXY_ACCESS_LOG_H
#define CURFEW_PROXY_ACCESS_LOG_H
#include "core/ending.h"
#include "core/instant.h"
#include "policies/cancel.h"
#include "proxy/config.h"

/* Also PIPE_BUF: a line goes into a pipe in one piece. Long values are clipped, and then end in an ellipsis. */
#define ACCESS_LINE_MAX 4096u
#define ACCESS_BUFFER (64u << 10)
#define ACCESS_ABSENT SPAN_FOREVER /* of a span: nothing to say */

struct access_record { /* flat; strings are borrowed until access_log_write returns; an empty one, a NULL and what the comment says are left out */
    int64_t wall_ns;              /* the wall clock when the head of the request was complete: ts */
    struct str id, listener, client;
    const char *protocol, *rpc;   /* "HTTP/2", "grpc" */
    struct str method, host, path; /* path: the target as sent */
    struct str route, upstream, endpoint;
    uint16_t status;              /* as written to the client; 0: none, which is logged as 499 where the client left, and else left out */
    int16_t grpc_status;          /* -1: none */
    enum ending ending;           /* `by` follows from it */
    const char *detail;           /* the fault's sentence */
    uint32_t wire;                /* the peer's own code; 0: none */
    struct str deadline_source;   /* a dialect's key, "default", "max", "parent" */
    span deadline_in;             /* what the client gave */
    span deadline_out;            /* what the upstream was told in the last attempt */
    span left;                    /* of the deadline at the end; may be negative */
    const char *mode, *cancel_mode; /* of deadlines and cancels, where they are not those of every day; NULL: they are */
    enum ending would_have;       /* what enforcing would have ended it with; NONE: nothing */
    enum cancel_level would_cancel; /* ... and achieved upstream; NOT_NEEDED: nothing */
    enum ending let_through;      /* what max_reject let through; NONE: nothing */
    struct str missing;           /* what the context's policy warns of: "deadline x-user-id" */
    uint32_t attempts;            /* 0: the upstream was never asked */
    uint32_t hedges, winner;      /* of them; which one's answer the client got. 0: left out */
    const char *no_retry;         /* why there was not another, though the policy tries such an outcome again: "budget" */
    enum cancel_level cancel_level; /* NOT_NEEDED: left out */
    bool cancel_deferred;         /* it waited for the reset budget */
    uint64_t request_bytes, response_bytes; /* of bodies; always said */
    span duration;                /* from the head of the request to the end */
    span answered;                /* from the head of the request to the head of the answer */
    span queued;
    span lateness;                /* how long after the deadline the hooks ran */
};
/* Everything absent. */
void access_record_init(struct access_record *r);
/* One line with its newline into line[ACCESS_LINE_MAX]; returns its length. Bytes that are not UTF-8 become U+FFFD. */
size_t access_format(const struct access_record *r, char *line);

struct access_log;
/* One worker's. DISABLED: everything below is a no-op. NULL: *say tells why the file cannot be opened (static). path is copied. */
struct access_log *access_log_new(enum access_kind kind, struct str path, const char **say) __attribute__((warn_unused_result));
/* As access_log_new for a descriptor that the caller keeps open: for tests, and for a log that is handed in. */
struct access_log *access_log_new_fd(int fd);
void access_log_free(struct access_log *l); /* flushes; NULL is allowed */
bool access_log_is_on(const struct access_log *l); /* false: no need to fill in a record */
/* Formats into the buffer; flushes first where there is no room; drops the line where there is still none. */
void access_log_write(struct access_log *l, const struct access_record *r);
/* write(2) of what is buffered. The loop calls it when it is about to sleep, and at least every 100 ms while access_log_pending. A full pipe keeps
 * the lines for the next flush; an error drops them. */
void access_log_flush(struct access_log *l);
size_t access_log_pending(const struct access_log *l); /* bytes that wait */
/* After a rotation: flushes into the old file and opens the path anew; the old one stays where that fails. NULL, or why it failed (static). Only
 * a log to a file does anything. */
const char *access_log_reopen(struct access_log *l);
uint64_t access_log_dropped(const struct access_log *l); /* lines lost since the start */
#endif
