// SPDX-License-Identifier: Apache-2.0
// A worker: one thread, one loop, one of everything that an exchange touches; nothing is shared on the hot path.
//
// The turn: wait → read the clock once → conn_serve what is ready → advance the wheel → run the hooks of what ended → conn_write each touched
// connection → again until quiet → reap. nghttp2 closes streams while writing, hence "again".
#ifndef CURFEW_PROXY_WORKER_H
#define CURFEW_PROXY_WORKER_H
#include "core/arena.h"
#include "core/random.h"
#include "proxy/access_log.h"
#include "proxy/beat.h"
#include "proxy/body.h"
#include "proxy/config.h"
#include "proxy/conn.h"
#include "proxy/leaving.h"
#include "proxy/load.h"
#include "proxy/metrics.h"
#include "proxy/snapshot.h"
#include <pthread.h>

#define SCRATCH_BYTES (256u << 10)
struct resolver;
enum message_kind { MESSAGE_DRAIN, MESSAGE_STOP, MESSAGE_REOPEN_LOG, MESSAGE_END_CONTEXT, MESSAGE_CALL, MESSAGE_CONFIG };
struct message { /* what crosses threads; owned by the mailbox until it ran */
    struct message *next;
    uint8_t kind;
    enum ending why;
    struct context_id id;
    void (*call)(struct worker *w, void *arg);
    void *arg;                       /* of a call; of CONFIG: a struct handover, owned */
};
struct seldom { unsigned unsaid; instant next; }; /* what is said once a second, however often it happens */
struct worker {
    const struct os *os;
    struct event_base *base;         /* owned; NULL in flow tests */
    unsigned index, count;
    struct snapshot *snapshot;       /* a reference; what it runs by. Its config is NULL for a worker that is no gateway (the sample upstream) */
    struct list stale;               /* of snapshots that nobody holds: freed at the end of the turn */
    size_t nsnapshots;
    instant now;                     /* of this turn */
    uint64_t turn;                   /* its number */
    int64_t wall;                    /* of this turn; read by worker_wall when first asked */
    struct wheel wheel;
    struct contexts contexts;
    struct arena_pool arenas;
    struct chunk_pool chunks;
    struct out out;
    uint8_t *scratch;                /* owned: SCRATCH_BYTES, what recv fills */
    struct list ready, touched, reap; /* of conn */
    struct list beating;             /* of conn: wait for the beat; when it is over for the first, all are served, so that they fall into step */
    struct list doubted;             /* of conn: read until the bytes ended, and not to EAGAIN: the longest first */
    struct beat beat;
    uint64_t completed;              /* exchanges that were freed, ever */
    uint64_t bulk;                   /* the last turn that read much from one connection: what it moved waits for no beat */
    bool worked;                     /* this turn served a connection */
    struct list borrowers;           /* bodies with bytes in scratch, or in the input that is being fed */
    struct list conns;               /* all */
    struct list after_feed;          /* of exchange: to be looked at between feed and output */
    struct list calls;               /* of services: over, to be freed at the end of the turn */
    struct list exchanges, finished; /* live; over and to be freed at the end of the turn */
    struct worker *peers;            /* borrowed: all of the gateway's by their index, this one among them; NULL: it is alone */
    struct resolver *resolver;       /* owned */
    struct worker_metrics metrics;
    struct access_log *log;          /* owned; NULL: disabled */
    uint64_t dropped_before;         /* lines that logs before this one lost */
    bool draining, stopped;
    struct leaving leaving;          /* as it drains */
    struct timer log_timer;
    int timer_fd; struct event timer_event; instant timer_at; /* what the timerfd is set to; NEVER: unset */
    int mail_fd; struct event mail_event; pthread_mutex_t mail_lock; struct message *mail, **mail_end;
    pthread_t thread;
    atomic_bool closing;             /* draining, for other threads to see */
    atomic_bool returned;            /* worker_run is over: nothing more will be read from the mailbox */
    size_t nconns, nexchanges;
    size_t nclients, max_clients;    /* connections of listeners; max 0: as many as come */
    struct seldom leaks, calls_unmade, refusals; /* contexts that outlived their deadline; calls that a template or a rate forbade; for want of memory */
    struct load load;
    uint32_t drawn;                  /* weighted choices made */
    uint64_t chance;                 /* core/random.h: jitter and ids are drawn from it */
    char date[32]; int64_t date_second; /* "Sun, 06 Nov 1994 08:49:37 GMT", made once a second */
};

/* base: made here unless os is not os_linux. Aborts where the system has no room for a loop. It runs by nothing yet: see snapshot_take. */
void worker_init(struct worker *w, const struct os *os, unsigned index, unsigned count);
/* Turns until stopped: all drained, or told to stop. */
void worker_run(struct worker *w);
/* One turn's work after the waiting: the flow tests' entry. Returns true where something is still ready. */
bool worker_turn(struct worker *w);
/* When the next turn has something to do by itself: timers, the beat, connections in doubt. */
instant worker_due(const struct worker *w);
/* Drops all that lives; asserts that nothing is left: contexts, timers, arenas, chunks, descriptors. */
void worker_free(struct worker *w);
/* How many there were since the last line that told of them, this one too; 0: that was less than a second ago, and nothing is to be said. Lines are written
 * where the turn waits for them, and what peers provoke comes by the thousand. */
unsigned worker_says(const struct worker *w, struct seldom *s);
int64_t worker_wall(struct worker *w); /* ns since the epoch, one reading a turn */
struct str worker_date(struct worker *w); /* IMF-fixdate */
/* Flushes bodies that borrow the read buffer: before it is used again. */
void worker_settle_borrowed(struct worker *w);
void worker_drain(struct worker *w);
void worker_stop(struct worker *w);
void service_free_calls(struct worker *w); /* service.c: the end of the turn */
/* Any thread. m is malloc'ed and becomes the worker's. */
void worker_post(struct worker *w, struct message *m);
/* Into the mailbox of each: whoever reads one of these and then writes to another of them is read after them. */
void worker_post_all(struct worker *workers, struct message *const *m, size_t n);
void worker_post_kind(struct worker *w, enum message_kind kind);
#endif
