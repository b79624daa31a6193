// SPDX-License-Identifier: Apache-2.0
// The sample upstream: a service whose paths say what it is to do, and which remembers what it was told and how each request ended.
#include "proxy/sample.h"
#include "codecs/dialect.h"
#include "proxy/listener.h"
#include "proxy/service.h"
#include <arpa/inet.h>
#include <inttypes.h>
#include <netdb.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/un.h>
#include <unistd.h>

static const char usage_text[] =
    "The sample upstream. A path says what to do; add x-sample-id: NAME to have a request remembered.\n"
    "  /                        200, and what was received, as JSON\n"
    "  /sleep/250ms             the same after that time\n"
    "  /status/404              an answer with that status\n"
    "  /stream/10/1024/100ms    10 pieces of 1024 bytes, one each 100 ms, then a trailer\n"
    "  /echo                    sends the body back as it comes\n"
    "  /bytes/4096              so many bytes\n"
    "  /fail/close              closes without an answer\n"
    "  /fail/truncate           promises 100 bytes, sends 10, and closes\n"
    "  /fail/next               200; the next request on the same connection is closed without an answer\n"
    "  /fail/once/250ms         closes after that time without an answer; asked again, as the same NAME, it answers\n"
    "  /busy/once/1             503 with Retry-After: 1; asked again, as the same NAME, 200\n"
    "  /slow/once/250ms         answers after that time; asked again, as the same NAME, at once\n"
    "  /hang                    never answers\n"
    "  /seen/NAME               what is remembered of that request, as JSON; 404: it never came. /seen/NAME/1: of the first of that NAME\n"
    "  DELETE /tasks/NAME       202, and that request, where it is still open, is answered with 503 at once; 404: there is none to end\n"
    "  Upgrade: websocket       101, then echoes what it gets\n"
    "A call of gRPC, over HTTP/2, gets its JSON as a message, and the status OK.\n";

/* ---- what is remembered ------------------------------------------------------------------------------------------------------------------ */
#define MEMORY 16384u /* requests; the oldest is forgotten */
struct memory {
    char id[64], target[128], how[24];
    char *told;      /* owned: JSON object of deadline fields */
    struct service_call *open; /* borrowed until it ends */
    instant begun, ended;
    uint64_t received;
    uint32_t wire, times; /* times: of this id, this one included */
    bool answered;
};
static struct sample {
    struct worker loop;
    struct conf conf;
    struct listener_conf listen;
    struct dialect_set dialects;
    struct memory memory[MEMORY];
    size_t next;
    struct sockaddr_storage doomed; /* the peer whose next request is cut, so that it finds a stale connection */
} *sample;

/* times: which one of that id; 0: the last. */
static struct memory *recall_one(struct str id, uint64_t times) {
    for (size_t i = 0; i < MEMORY; i++) {
        struct memory *m = &sample->memory[(sample->next + MEMORY - 1 - i) % MEMORY];
        if (!m->id[0]) return NULL;
        if (str_eq(str_of(m->id), id) && (!times || m->times == times)) return m;
    }
    return NULL;
}
static struct memory *recall(struct str id) { return recall_one(id, 0); }
static void put_json(FILE *f, struct str s) {
    fputc('"', f);
    for (size_t i = 0; i < s.n; i++) {
        unsigned char b = (unsigned char)s.p[i];
        if (b == '"' || b == '\\') fprintf(f, "\\%c", b);
        else if (b < 0x20 || b > 0x7e) fprintf(f, "\\u%04x", b);
        else fputc(b, f);
    }
    fputc('"', f);
}
static void put_fields(FILE *f, const struct head *h, bool deadlines_only) {
    bool first = true;
    fputc('{', f);
    for (size_t i = 0; i < h->nfields; i++) {
        const struct field *k = &h->fields[i];
        if (field_is_removed(k) || (deadlines_only && !dialect_of_field(&sample->dialects, k))) continue;
        if (!first) fputs(",", f);
        first = false;
        put_json(f, k->name);
        fputc(':', f);
        put_json(f, k->value);
    }
    fputc('}', f);
}
static struct memory *remember(struct service_call *c) {
    const struct field *id = head_find_name(c->request, STR("x-sample-id"), NULL);
    if (!id) return NULL;
    const struct memory *before = recall(id->value);
    uint32_t times = before ? before->times + 1 : 1;
    struct memory *m = &sample->memory[sample->next++ % MEMORY];
    free(m->told);
    *m = (struct memory){ .begun = c->w->now, .times = times, .open = c };
    snprintf(m->id, sizeof m->id, "%.*s", STR_ARG(id->value));
    snprintf(m->target, sizeof m->target, "%.*s", STR_ARG(c->request->target));
    snprintf(m->how, sizeof m->how, "open");
    size_t n;
    FILE *f = open_memstream(&m->told, &n);
    if (!f) abort();
    put_fields(f, c->request, true);
    fclose(f);
    return m;
}

/* ---- a call ---------------------------------------------------------------------------------------------------------------------------------- */
struct job { /* what a path asked for */
    struct memory *memory; /* borrowed from the ring: may be overwritten after MEMORY requests */
    char id[64];
    unsigned pieces;
    size_t size;
    span every;
    bool echo, half_closed, cancelled;
};
static struct job *job_of(struct service_call *c) { return c->data; }
static struct memory *memory_of(struct service_call *c) {
    struct job *j = job_of(c);
    return j->memory && strcmp(j->memory->id, j->id) == 0 ? j->memory : NULL;
}
static bool is_grpc(const struct head *h) {
    const struct field *type = head_find_name(h, STR("content-type"), NULL);
    return type && str_starts(type->value, STR("application/grpc"));
}
/* gRPC over HTTP/2: a message is a byte of flags, its length in four more, and itself; the status stands in the trailers. */
static void answer_grpc(struct service_call *c, struct str message) {
    struct head *h = service_head(c, 200), *trailers = ARENA_NEW(&c->arena, struct head);
    const uint32_t n = htonl((uint32_t)message.n);
    char prefix[5] = { 0 };
    memcpy(prefix + 1, &n, sizeof n);
    head_add(h, STR("content-type"), STR("application/grpc"));
    service_send(c, h);
    service_write(c, (struct str){ prefix, sizeof prefix });
    service_write(c, message);
    head_init(trailers, &c->arena, false);
    head_add(trailers, STR("grpc-status"), STR("0"));
    service_end(c, trailers);
}
static void say_what_came(struct service_call *c, uint16_t status) {
    char *text;
    size_t n;
    FILE *f = open_memstream(&text, &n);
    if (!f) abort();
    const struct head *h = c->request;
    fputs("{\"method\":", f), put_json(f, h->method);
    fputs(",\"target\":", f), put_json(f, h->target);
    fputs(",\"authority\":", f), put_json(f, h->authority);
    fputs(",\"fields\":", f), put_fields(f, h, false);
    fputs("}\n", f);
    fclose(f);
    if (status == 200 && is_grpc(h)) answer_grpc(c, (struct str){ text, n });
    else service_answer(c, status, STR("application/json"), (struct str){ text, n });
    free(text);
}
static uint64_t number(struct str s) {
    uint64_t n = 0;
    return str_to_u64(s, &n) ? n : 0;
}
static void say_seen(struct service_call *c, struct str rest) {
    struct str id = { 0 };
    str_split(&rest, '/', &id);
    const struct memory *m = recall_one(id, number(rest));
    if (!m) {
        service_answer(c, 404, STR("application/json"), STR("null\n"));
        return;
    }
    span after = instant_until(m->begun, m->ended.ns ? m->ended : c->w->now);
    char *text;
    size_t n;
    FILE *f = open_memstream(&text, &n);
    if (!f) abort();
    fputs("{\"id\":", f), put_json(f, str_of(m->id));
    fputs(",\"target\":", f), put_json(f, str_of(m->target));
    fprintf(f, ",\"told\":%s,\"how\":\"%s\",\"wire\":%" PRIu32 ",\"times\":%" PRIu32, m->told, m->how, m->wire, m->times);
    fprintf(f, ",\"after_ms\":%.3f,\"begun_ns\":%" PRId64 ",\"ended_ns\":%" PRId64, (double)after.ns / 1e6, m->begun.ns, m->ended.ns);
    fprintf(f, ",\"received\":%" PRIu64 ",\"answered\":%s}\n", m->received, m->answered ? "true" : "false");
    fclose(f);
    service_answer(c, 200, STR("application/json"), (struct str){ text, n });
    free(text);
}
static void on_timer(struct timer *t, instant now);
static void wait_for(struct service_call *c, span s) {
    c->timer.fire = on_timer;
    wheel_arm(&c->w->wheel, &c->timer, instant_add(c->w->now, s));
}
static void write_piece(struct service_call *c, size_t n) {
    static char block[4096];
    memset(block, 'x', sizeof block);
    for (size_t part; n > 0; n -= part) {
        part = n < sizeof block ? n : sizeof block;
        service_write(c, (struct str){ block, part });
    }
}
static void on_timer(struct timer *t, instant now) {
    (void)now;
    struct service_call *c = CONTAINER_OF(t, struct service_call, timer);
    struct job *j = job_of(c);
    if (j->pieces == 0) {
        say_what_came(c, 200);
        return;
    }
    write_piece(c, j->size);
    if (--j->pieces > 0) {
        wait_for(c, j->every);
        return;
    }
    struct head *trailers = ARENA_NEW(&c->arena, struct head);
    head_init(trailers, &c->arena, false);
    head_add(trailers, STR("x-sample-trailer"), STR("whole"));
    service_end(c, trailers);
}

/* ---- paths -------------------------------------------------------------------------------------------------------------------------------------- */
static span duration(struct str s) {
    span d = span_ms(0);
    return conf_parse_duration(s, &d) ? d : span_ms(0);
}
static void begin_stream(struct service_call *c, struct str rest) {
    struct job *j = job_of(c);
    struct str n = { 0 }, size = { 0 }, every = { 0 };
    str_split(&rest, '/', &n);
    str_split(&rest, '/', &size);
    str_split(&rest, '/', &every);
    j->pieces = (unsigned)number(n);
    j->size = (size_t)number(size);
    j->every = duration(every);
    service_send(c, service_head(c, 200));
    if (j->pieces == 0) service_end(c, NULL);
    else on_timer(&c->timer, c->w->now);
}
static void begin_tunnel(struct service_call *c) {
    struct head *h = service_head(c, 101);
    h->body = BODY_TUNNEL;
    h->protocol = c->request->protocol;
    job_of(c)->echo = true;
    service_send(c, h);
}
static void begin_fail(struct service_call *c, bool with_head) {
    if (with_head) {
        struct head *h = service_head(c, 200);
        h->body = BODY_LENGTH;
        h->length = 100;
        service_send(c, h);
        write_piece(c, 10);
        return; /* the cut waits a little, so that the bytes are out */
    }
    service_cut(c);
}
static void on_cut_timer(struct timer *t, instant now) {
    (void)now;
    service_cut(CONTAINER_OF(t, struct service_call, timer));
}
/* Who asked for /fail/next on this very connection: true once. */
static bool was_doomed(const struct service_call *c) {
    if (c->conn->peer_len == 0 || memcmp(&sample->doomed, &c->conn->peer, c->conn->peer_len) != 0) return false;
    memset(&sample->doomed, 0, sizeof sample->doomed);
    return true;
}
static void fail_after(struct service_call *c, struct str after) {
    c->timer.fire = on_cut_timer;
    wheel_arm(&c->w->wheel, &c->timer, instant_add(c->w->now, duration(after)));
}
static void be_busy(struct service_call *c, struct str seconds) {
    struct head *h = service_head(c, 503);
    head_add(h, STR("retry-after"), arena_copy(&c->arena, seconds));
    service_send(c, h);
    service_end(c, NULL);
}
static void be_slow(struct service_call *c, struct str time) { wait_for(c, duration(time)); }
/* ".../once/...": what is done the first time alone that a name comes. */
static bool obey_once(struct service_call *c, struct str path) {
    static const struct { struct str path; void (*first)(struct service_call *c, struct str rest); } once[] = {
        { STR_INIT("/fail/once/"), fail_after }, { STR_INIT("/busy/once/"), be_busy }, { STR_INIT("/slow/once/"), be_slow },
    };
    const struct memory *m = job_of(c)->memory;
    for (size_t i = 0; i < sizeof once / sizeof *once; i++) {
        if (!str_starts(path, once[i].path)) continue;
        if (m && m->times > 1) say_what_came(c, 200);
        else once[i].first(c, str_from(path, once[i].path.n));
        return true;
    }
    return false;
}
/* What a service that never notices a closed connection has instead: a second request that names the first. */
static void end_task(struct service_call *c, struct str id) {
    const struct memory *m = recall(id);
    struct service_call *task = m && m->open != c ? m->open : NULL;
    service_answer(c, task ? 202 : 404, (struct str){ 0 }, (struct str){ 0 });
    if (!task) return;
    job_of(task)->cancelled = true;
    wheel_disarm(&task->w->wheel, &task->timer);
    if (task->answered) service_cut(task);
    else service_answer(task, 503, STR("text/plain"), STR("cancelled\n"));
}
static void obey(struct service_call *c, struct str path) {
    struct str p = path;
    if (was_doomed(c)) {
        service_cut(c);
    } else if (c->request->protocol.n) {
        begin_tunnel(c);
    } else if (str_starts(p, STR("/seen/"))) {
        say_seen(c, str_from(p, 6));
    } else if (str_starts(p, STR("/tasks/")) && str_eq(c->request->method, STR("DELETE"))) {
        end_task(c, str_from(p, 7));
    } else if (str_starts(p, STR("/sleep/"))) {
        struct str rest = str_from(p, 7);
        wait_for(c, duration(str_first(rest, str_index(rest, '/'))));
    } else if (str_starts(p, STR("/status/"))) {
        say_what_came(c, (uint16_t)number(str_from(p, 8)));
    } else if (str_starts(p, STR("/stream/"))) {
        begin_stream(c, str_from(p, 8));
    } else if (str_starts(p, STR("/bytes/"))) {
        service_send(c, service_head(c, 200));
        write_piece(c, (size_t)number(str_from(p, 7)));
        service_end(c, NULL);
    } else if (str_starts(p, STR("/echo"))) {
        job_of(c)->echo = true;
        service_send(c, service_head(c, 200));
        if (c->request->body == BODY_NONE) service_end(c, NULL);
    } else if (str_eq(p, STR("/fail/close")) || str_eq(p, STR("/fail/truncate"))) {
        begin_fail(c, str_eq(p, STR("/fail/truncate")));
        c->timer.fire = on_cut_timer;
        if (c->answered) wheel_arm(&c->w->wheel, &c->timer, instant_add(c->w->now, span_ms(5)));
    } else if (str_eq(p, STR("/fail/next"))) {
        sample->doomed = c->conn->peer;
        say_what_came(c, 200);
    } else if (obey_once(c, p)) {
        return;
    } else if (str_eq(p, STR("/help"))) {
        service_answer(c, 200, STR("text/plain"), STR(usage_text));
    } else if (!str_starts(p, STR("/hang"))) {
        say_what_came(c, 200);
    }
}
static void on_request(struct service_call *c) {
    struct job *j = ARENA_NEW(&c->arena, struct job);
    c->data = j;
    j->memory = remember(c);
    if (j->memory) snprintf(j->id, sizeof j->id, "%s", j->memory->id);
    obey(c, str_first(c->request->target, str_index(c->request->target, '?')));
}
static void on_body(struct service_call *c, const uint8_t *p, size_t n) {
    struct memory *m = memory_of(c);
    if (m) m->received += n;
    if (job_of(c)->echo) service_write(c, (struct str){ (const char *)p, n });
}
static void on_end(struct service_call *c, const struct head *trailers) {
    if (job_of(c)->echo) service_end(c, trailers);
}
static void on_half_close(struct service_call *c) {
    job_of(c)->half_closed = true;
    leg_cancel(&c->leg, ENDING_CLIENT_CLOSED, 0, CANCEL_BAND);
}
static const char *how_it_ended(const struct job *j, const struct fault *f) {
    if (j->cancelled) return "cancelled";
    if (j->half_closed) return "FIN";
    if (!f) return "answered";
    return f->wire && f->why == ENDING_CLIENT_RESET ? "RST_STREAM" : ending_name(f->why);
}
static void on_gone(struct service_call *c, const struct fault *f) {
    struct memory *m = memory_of(c);
    if (!m) return;
    m->open = NULL;
    m->ended = c->w->now;
    m->answered = c->ended;
    m->wire = f ? f->wire : 0;
    snprintf(m->how, sizeof m->how, "%s", how_it_ended(job_of(c), f));
}
static const struct service sample_service = { .on_request = on_request, .on_body = on_body, .on_end = on_end, .on_half_close = on_half_close,
                                               .on_gone = on_gone };

/* ---- the program ---------------------------------------------------------------------------------------------------------------------------------- */
static void on_signal(int sig) {
    (void)sig;
    sample->loop.stopped = true;
    uint64_t one = 1;
    ssize_t n = write(sample->loop.mail_fd, &one, sizeof one);
    (void)n;
}
int sample_run(const char *address) {
    sample = mem_zalloc(sizeof *sample);
    conf_init(&sample->conf);
    dialect_set_builtin(&sample->dialects);
    const char *say = service_conf(&sample->listen, str_of(address), &sample->conf);
    int fd = say ? -1 : listener_open(&sample->listen, &say);
    if (fd < 0) {
        fprintf(stderr, "curfew upstream: cannot listen on %s: %s\n", address, say);
        return 1;
    }
    worker_init(&sample->loop, &os_linux, 0, 1);
    signal(SIGPIPE, SIG_IGN);
    signal(SIGTERM, on_signal);
    signal(SIGINT, on_signal);
    service_listen(&sample->loop, &sample->listen, fd, &sample_service);
    worker_run(&sample->loop);
    worker_free(&sample->loop);
    for (size_t i = 0; i < MEMORY; i++) free(sample->memory[i].told);
    conf_free(&sample->conf);
    free(sample);
    return 0;
}
int sample_healthcheck(const char *address) {
    struct address a;
    const char *say = address_parse(str_of(address), &a);
    if (say || a.kind == ADDRESS_NAME) {
        fprintf(stderr, "curfew healthcheck: %s: %s\n", address, say ? say : "an address is needed, not a name");
        return 2;
    }
    struct timeval limit = { .tv_sec = 2 };
    int fd = socket(a.sa.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
    static const char ask[] = "GET /readyz HTTP/1.1\r\nHost: health\r\nConnection: close\r\n\r\n";
    char answer[64] = "";
    bool ok = fd >= 0 && connect(fd, (const void *)&a.sa, a.len) == 0 && send(fd, ask, sizeof ask - 1, MSG_NOSIGNAL) > 0 &&
              recv(fd, answer, sizeof answer - 1, MSG_WAITALL) > 12 && strncmp(answer, "HTTP/1.1 200", 12) == 0;
    if (fd >= 0) close(fd);
    if (!ok) fprintf(stderr, "curfew healthcheck: %s is not ready\n", address);
    return ok ? 0 : 1;
}
