// SPDX-License-Identifier: Apache-2.0
// Formats access records as JSON and hands them to the kernel in whole lines. It owns its descriptor (where it opened one) and a fixed buffer, calls
// no printf on the way, and must never wait: a reader that has stopped costs log lines, not requests.
#define _GNU_SOURCE /* memrchr, strerrordesc_np */
#include "proxy/access_log.h"
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

static_assert(ACCESS_LINE_MAX <= PIPE_BUF, "pipe(7): a write of more may be split, and another worker's line end up in its middle");

/* ---- what a line may take up ------------------------------------------------------------------------------------------------ */
/* Bytes of each value as written, escapes included. A peer chooses host and path; a log line must not grow with them. */
enum {
    ROOM_ID = 48, ROOM_LISTENER = 64, ROOM_CLIENT = 112, ROOM_PROTOCOL = 16, ROOM_RPC = 16, ROOM_METHOD = 32, ROOM_HOST = 256, ROOM_PATH = 1536,
    ROOM_ROUTE = 128, ROOM_UPSTREAM = 64, ROOM_ENDPOINT = 128, ROOM_DETAIL = 200, ROOM_SOURCE = 64, ROOM_MISSING = 160,
    ROOM_VALUES = ROOM_ID + ROOM_LISTENER + ROOM_CLIENT + ROOM_PROTOCOL + ROOM_RPC + ROOM_METHOD + ROOM_HOST + ROOM_PATH + ROOM_ROUTE +
                  ROOM_UPSTREAM + ROOM_ENDPOINT + ROOM_DETAIL + ROOM_SOURCE + ROOM_MISSING,
    ROOM_REST = 1200 /* keys, quotes and numbers, all at their longest: the test writes such a line */
};
static_assert(ROOM_VALUES + ROOM_REST <= ACCESS_LINE_MAX, "a line with everything at its longest fits");

/* ---- numbers ------------------------------------------------------------------------------------------------------------------- */
static const char pairs[] =
    "0001020304050607080910111213141516171819202122232425262728293031323334353637383940414243444546474849"
    "5051525354555657585960616263646566676869707172737475767778798081828384858687888990919293949596979899";

static char *put_pair(char *at, unsigned n) {
    memcpy(at, pairs + 2 * n, 2);
    return at + 2;
}

static char *put_u64(char *at, uint64_t n) {
    char digits[20];
    char *from = digits + sizeof digits;
    while (n >= 100) {
        from -= 2;
        memcpy(from, pairs + 2 * (n % 100), 2);
        n /= 100;
    }
    if (n >= 10) {
        from -= 2;
        memcpy(from, pairs + 2 * n, 2);
    } else {
        *--from = (char)('0' + n);
    }
    size_t len = (size_t)(digits + sizeof digits - from);
    memcpy(at, from, len);
    return at + len;
}

static char *put_3(char *at, unsigned n) {
    *at++ = (char)('0' + n / 100);
    return put_pair(at, n % 100);
}

/* Milliseconds, with microseconds where there are any; towards zero. */
static char *put_ms(char *at, span s) {
    uint64_t ns = s.ns < 0 ? -(uint64_t)s.ns : (uint64_t)s.ns;
    uint64_t us = ns / (uint64_t)NS_PER_US;
    if (s.ns < 0 && us > 0) *at++ = '-';
    at = put_u64(at, us / 1000);
    if (us % 1000 == 0) return at;
    *at++ = '.';
    return put_3(at, (unsigned)(us % 1000));
}

struct day { int64_t year; unsigned month, day; };

/* Days since 1970 to a date: eras of 400 years that begin in March, so that the leap day comes last. */
static struct day day_of(int64_t days) {
    days += 719468;
    int64_t era = (days >= 0 ? days : days - 146096) / 146097;
    unsigned doe = (unsigned)(days - era * 146097);
    unsigned yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
    unsigned doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    unsigned mp = (5 * doy + 2) / 153;
    unsigned month = mp < 10 ? mp + 3 : mp - 9;
    return (struct day){ .year = (int64_t)yoe + era * 400 + (month <= 2), .month = month, .day = doy - (153 * mp + 2) / 5 + 1 };
}

/* RFC 3339: 2026-01-31T23:59:59.999Z. An int64 of nanoseconds ends in 2262, so the year has four digits. */
static char *put_time(char *at, int64_t wall_ns) {
    int64_t s = wall_ns / NS_PER_S, ns = wall_ns % NS_PER_S;
    if (ns < 0) s--, ns += NS_PER_S;
    int64_t days = s / 86400, left = s % 86400;
    if (left < 0) days--, left += 86400;
    struct day d = day_of(days);
    unsigned second = (unsigned)left;
    at = put_pair(at, (unsigned)(d.year / 100));
    at = put_pair(at, (unsigned)(d.year % 100));
    *at++ = '-';
    at = put_pair(at, d.month);
    *at++ = '-';
    at = put_pair(at, d.day);
    *at++ = 'T';
    at = put_pair(at, second / 3600);
    *at++ = ':';
    at = put_pair(at, second / 60 % 60);
    *at++ = ':';
    at = put_pair(at, second % 60);
    *at++ = '.';
    at = put_3(at, (unsigned)(ns / NS_PER_MS));
    *at++ = 'Z';
    return at;
}

/* A literal without its NUL; where the next byte goes. */
#define PUT(at, literal) ((char *)memcpy((at), (literal), sizeof(literal) - 1) + sizeof(literal) - 1)

/* ---- text ------------------------------------------------------------------------------------------------------------------------ */
/* RFC 8259 7: a quote, a backslash and what is below U+0020 must be escaped. DEL and the C1 controls are escaped too: a
 * log is read on terminals. */
static bool is_plain(unsigned char c) { return c >= 0x20 && c != '"' && c != '\\' && c < 0x7f; }

#define UNIT_MAX 6u /* bytes that one character can become: \u001f */

static size_t escape_as_hex(char *to, unsigned char c) {
    static const char hex[] = "0123456789abcdef";
    char *at = PUT(to, "\\u00");
    *at++ = hex[c >> 4];
    *at++ = hex[c & 15];
    return (size_t)(at - to);
}

static size_t escape_ascii(char *to, unsigned char c) {
    static const char shorts[256] = { ['"'] = '"', ['\\'] = '\\', ['\n'] = 'n', ['\r'] = 'r', ['\t'] = 't', ['\b'] = 'b', ['\f'] = 'f' };
    if (!shorts[c]) return escape_as_hex(to, c);
    to[0] = '\\';
    to[1] = shorts[c];
    return 2;
}

/* The character at p, escaped, into to[UNIT_MAX]; *used bytes of p are done. */
static size_t escape_one(char *to, const unsigned char *p, size_t n, size_t *used) {
    *used = 1;
    if (p[0] < 0x80) return escape_ascii(to, p[0]);
    size_t len = str_utf8((struct str){ (const char *)p, n });
    if (len == 0) return (size_t)(PUT(to, "\\ufffd") - to);
    *used = len;
    if (len == 2 && p[0] == 0xc2 && p[1] < 0xa0) return escape_as_hex(to, p[1]);
    memcpy(to, p, len);
    return len;
}

/* At most `room` bytes, cut between characters and then ended by an ellipsis. Room for that and for one unit is kept,
 * so no test is needed within a unit. */
static char *put_text(char *at, struct str s, size_t room) {
    const unsigned char *p = (const unsigned char *)s.p, *end = p + s.n;
    const char *stop = at + room - UNIT_MAX - 3;
    while (p < end) {
        if (at > stop) return PUT(at, "\xe2\x80\xa6");
        if (is_plain(*p)) {
            *at++ = (char)*p++;
            continue;
        }
        size_t used;
        at += escape_one(at, p, (size_t)(end - p), &used);
        p += used;
    }
    return at;
}

/* ---- members --------------------------------------------------------------------------------------------------------------------- */
/* Each key stands with its comma and colon, so that it is one copy. */
#define PUT_STR(at, key, s, room) ((s).n ? put_quoted(PUT((at), ",\"" key "\":\""), (s), (room)) : (at))
#define PUT_Z(at, key, z, room) ((z) && *(z) ? put_quoted(PUT((at), ",\"" key "\":\""), str_of(z), (room)) : (at))
#define PUT_U64(at, key, n) put_u64(PUT((at), ",\"" key "\":"), (n))
#define PUT_MS(at, key, s) (span_is_forever(s) ? (at) : put_ms(PUT((at), ",\"" key "\":"), (s)))

static char *put_quoted(char *at, struct str s, size_t room) {
    at = put_text(at, s, room);
    *at++ = '"';
    return at;
}

/* Words of our own: nothing in them is escaped or long. */
static char *put_word(char *at, const char *word) {
    struct str s = str_of(word);
    memcpy(at, s.p, s.n);
    at[s.n] = '"';
    return at + s.n + 1;
}

static const char *side_name(enum ending_side side) {
    switch (side) {
    case ENDING_SIDE_CLIENT: return "client";
    case ENDING_SIDE_GATEWAY: return "gateway";
    case ENDING_SIDE_UPSTREAM: return "upstream";
    case ENDING_SIDE_NOBODY: break;
    }
    return "nobody";
}

/* Semantics 3: 499 is a word for the log, where the client left and was told nothing. Whom we reset without a word has no status at all. */
static uint16_t status_of(const struct access_record *r) {
    const struct ending_row *row = &ending_rows[r->ending];
    if (r->status == 0 && row->side == ENDING_SIDE_CLIENT && row->http == 0) return 499;
    return r->status;
}

static char *put_request(char *at, const struct access_record *r) {
    at = put_time(PUT(at, "{\"ts\":\""), r->wall_ns);
    *at++ = '"';
    at = PUT_STR(at, "id", r->id, ROOM_ID);
    at = PUT_STR(at, "listener", r->listener, ROOM_LISTENER);
    at = PUT_STR(at, "client", r->client, ROOM_CLIENT);
    at = PUT_Z(at, "protocol", r->protocol, ROOM_PROTOCOL);
    at = PUT_Z(at, "rpc", r->rpc, ROOM_RPC);
    at = PUT_STR(at, "method", r->method, ROOM_METHOD);
    at = PUT_STR(at, "host", r->host, ROOM_HOST);
    at = PUT_STR(at, "path", r->path, ROOM_PATH);
    at = PUT_STR(at, "route", r->route, ROOM_ROUTE);
    at = PUT_STR(at, "upstream", r->upstream, ROOM_UPSTREAM);
    return PUT_STR(at, "endpoint", r->endpoint, ROOM_ENDPOINT);
}

static char *put_ending(char *at, const struct access_record *r) {
    uint16_t status = status_of(r);
    if (status) at = PUT_U64(at, "status", status);
    if (r->grpc_status >= 0) at = PUT_U64(at, "grpc_status", (uint64_t)r->grpc_status);
    at = put_word(PUT(at, ",\"ending\":\""), ending_name(r->ending));
    at = put_word(PUT(at, ",\"by\":\""), side_name(ending_rows[r->ending].side));
    at = PUT_Z(at, "detail", r->detail, ROOM_DETAIL);
    at = PUT_STR(at, "missing", r->missing, ROOM_MISSING);
    if (r->wire) at = PUT_U64(at, "wire", r->wire);
    if (r->cancel_level != LEVEL_NOT_NEEDED) at = put_word(PUT(at, ",\"cancel_level\":\""), cancel_level_name(r->cancel_level));
    if (r->cancel_deferred) at = PUT(at, ",\"cancel_deferred\":true");
    if (r->attempts) at = PUT_U64(at, "attempts", r->attempts);
    if (r->hedges) at = PUT_U64(at, "hedges", r->hedges);
    if (r->winner) at = PUT_U64(at, "winner", r->winner);
    if (r->no_retry && *r->no_retry) at = put_word(PUT(at, ",\"no_retry\":\""), r->no_retry);
    return at;
}

static char *put_deadline(char *at, const struct access_record *r) {
    at = PUT_STR(at, "deadline_source", r->deadline_source, ROOM_SOURCE);
    at = PUT_MS(at, "deadline_in_ms", r->deadline_in);
    at = PUT_MS(at, "deadline_out_ms", r->deadline_out);
    at = PUT_MS(at, "left_ms", r->left);
    at = PUT_MS(at, "lateness_ms", r->lateness);
    return at;
}

static char *put_modes(char *at, const struct access_record *r) {
    if (r->mode) at = put_word(PUT(at, ",\"mode\":\""), r->mode);
    if (r->cancel_mode) at = put_word(PUT(at, ",\"cancel_mode\":\""), r->cancel_mode);
    if (r->would_have) at = put_word(PUT(at, ",\"would_have\":\""), ending_name(r->would_have));
    if (r->would_cancel) at = put_word(PUT(at, ",\"would_cancel\":\""), cancel_level_name(r->would_cancel));
    return r->let_through ? put_word(PUT(at, ",\"let_through\":\""), ending_name(r->let_through)) : at;
}

static char *put_sizes(char *at, const struct access_record *r) {
    at = PUT_U64(at, "request_bytes", r->request_bytes);
    at = PUT_U64(at, "response_bytes", r->response_bytes);
    at = PUT_MS(at, "duration_ms", r->duration);
    at = PUT_MS(at, "upstream_ms", r->answered);
    return PUT_MS(at, "queued_ms", r->queued);
}

size_t access_format(const struct access_record *r, char *line) {
    char *at = put_request(line, r);
    at = put_ending(at, r);
    at = put_deadline(at, r);
    at = put_modes(at, r);
    at = put_sizes(at, r);
    at = PUT(at, "}\n");
    size_t n = (size_t)(at - line);
    assert(n <= ACCESS_LINE_MAX);
    return n;
}

void access_record_init(struct access_record *r) {
    *r = (struct access_record){ .grpc_status = -1, .deadline_in = ACCESS_ABSENT, .deadline_out = ACCESS_ABSENT, .left = ACCESS_ABSENT,
                                 .duration = ACCESS_ABSENT, .answered = ACCESS_ABSENT, .queued = ACCESS_ABSENT, .lateness = ACCESS_ABSENT };
}

/* ---- where lines go ---------------------------------------------------------------------------------------------------------------- */
enum sink {
    SINK_NONE,
    SINK_FILE,   /* regular: takes all, or fails */
    SINK_PIPE,   /* a pipe or a terminal through a non-blocking description of our own */
    SINK_POLLED, /* the same, where none could be had: asked first */
    SINK_SOCKET  /* as under systemd */
};
struct access_log {
    enum sink sink;
    int fd;
    bool owned;         /* fd is ours to close */
    char *path;         /* owned; NULL: not a file that we opened */
    bool torn;          /* the file ends in a part of a line */
    bool stuck;         /* the last flush left lines behind */
    uint64_t dropped;
    size_t len;
    char buf[ACCESS_BUFFER];
};

/* O_NONBLOCK on stdout itself would change it for everybody who shares it: the shell, the parent, our own stderr. A second open of the same pipe
 * has flags of its own. */
static int reopen_nonblocking(int fd) {
    char name[32] = "/proc/self/fd/";
    *put_u64(name + strlen(name), (uint64_t)fd) = '\0';
    return open(name, O_WRONLY | O_APPEND | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);
}

static void adopt(struct access_log *l, int fd, bool own) {
    struct stat st;
    bool known = fstat(fd, &st) == 0;
    l->fd = fd;
    l->owned = own;
    l->torn = false;
    if (known && S_ISSOCK(st.st_mode)) {
        l->sink = SINK_SOCKET;
    } else if (known && (S_ISREG(st.st_mode) || S_ISBLK(st.st_mode))) {
        l->sink = SINK_FILE;
    } else {
        l->sink = own ? SINK_PIPE : SINK_POLLED;
        int again = own ? -1 : reopen_nonblocking(fd);
        if (again < 0) return;
        l->sink = SINK_PIPE;
        l->fd = again;
        l->owned = true;
    }
}

static const char *open_path(struct access_log *l) {
    /* 0640: the log has addresses and paths of people. */
    int fd = open(l->path, O_WRONLY | O_APPEND | O_CREAT | O_NONBLOCK | O_CLOEXEC | O_NOCTTY, 0640);
    if (fd < 0) return strerrordesc_np(errno);
    adopt(l, fd, true);
    return NULL;
}

struct access_log *access_log_new_fd(int fd) {
    struct access_log *l = mem_zalloc(sizeof *l);
    adopt(l, fd, false);
    return l;
}

struct access_log *access_log_new(enum access_kind kind, struct str path, const char **say) {
    if (kind == ACCESS_STDOUT) return access_log_new_fd(STDOUT_FILENO);
    struct access_log *l = mem_zalloc(sizeof *l);
    l->fd = -1;
    if (kind == ACCESS_DISABLED) return l;
    l->path = mem_zalloc(path.n + 1);
    memcpy(l->path, path.p, path.n);
    *say = open_path(l);
    if (!*say) return l;
    access_log_free(l);
    return NULL;
}

void access_log_free(struct access_log *l) {
    if (!l) return;
    access_log_flush(l);
    if (l->owned) close(l->fd);
    free(l->path);
    free(l);
}

bool access_log_is_on(const struct access_log *l) { return l->sink != SINK_NONE; }
size_t access_log_pending(const struct access_log *l) { return l->len; }
uint64_t access_log_dropped(const struct access_log *l) { return l->dropped; }

/* ---- writing -------------------------------------------------------------------------------------------------------------------------- */
/* Whole lines of at most ACCESS_LINE_MAX bytes together: what a pipe takes in one piece or not at all. A line is never longer. */
static size_t piece_of(const struct access_log *l, size_t from) {
    size_t n = l->len - from;
    if (l->sink == SINK_FILE || n <= ACCESS_LINE_MAX) return n;
    const char *nl = memrchr(l->buf + from, '\n', ACCESS_LINE_MAX);
    assert(nl);
    return (size_t)(nl + 1 - (l->buf + from));
}

/* poll(2): a pipe says POLLOUT where a page, so PIPE_BUF, can be written. */
static bool would_block(int fd) {
    struct pollfd p = { .fd = fd, .events = POLLOUT };
    return poll(&p, 1, 0) == 0;
}

static ssize_t write_some(struct access_log *l, const char *p, size_t n) {
    for (;;) {
        if (l->sink == SINK_POLLED && would_block(l->fd)) {
            errno = EAGAIN;
            return -1;
        }
        ssize_t done = l->sink == SINK_SOCKET ? send(l->fd, p, n, MSG_DONTWAIT | MSG_NOSIGNAL) : write(l->fd, p, n);
        if (done >= 0 || errno != EINTR) return done;
    }
}

/* The rest of the buffer cannot be written. */
static void drop_from(struct access_log *l, size_t from) {
    for (size_t i = from; i < l->len; i++) l->dropped += l->buf[i] == '\n';
    l->torn = from > 0 ? l->buf[from - 1] != '\n' : l->torn;
    l->len = 0;
}

/* What is left begins a line, or is the rest of one that a socket took in part. */
static void keep_from(struct access_log *l, size_t from) {
    memmove(l->buf, l->buf + from, l->len - from);
    l->len -= from;
    l->stuck = true;
}

/* A full disk may have taken half a line: the next one starts on a line of its own. */
static void mend(struct access_log *l) {
    if (l->torn && write_some(l, "\n", 1) == 1) l->torn = false;
}

void access_log_flush(struct access_log *l) {
    if (l->len == 0) return;
    mend(l);
    size_t at = 0;
    l->stuck = false;
    while (at < l->len) {
        ssize_t done = write_some(l, l->buf + at, piece_of(l, at));
        if (done > 0) {
            at += (size_t)done;
        } else if (done < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
            keep_from(l, at);
            return;
        } else {
            drop_from(l, at);
            return;
        }
    }
    l->len = 0;
}

static bool has_room(const struct access_log *l) { return ACCESS_BUFFER - l->len >= ACCESS_LINE_MAX; }

#define STUCK_TRY 16u /* a reader that has stopped is asked again by every so many lost lines, not by each: a system call each */

static void make_room(struct access_log *l) {
    if (l->stuck && l->dropped % STUCK_TRY != 0) return;
    access_log_flush(l);
}

void access_log_write(struct access_log *l, const struct access_record *r) {
    if (l->sink == SINK_NONE) return;
    if (!has_room(l)) make_room(l);
    if (has_room(l)) {
        l->len += access_format(r, l->buf + l->len);
    } else {
        l->dropped++;
    }
}

const char *access_log_reopen(struct access_log *l) {
    if (!l->path) return NULL;
    access_log_flush(l);
    int old = l->fd;
    const char *say = open_path(l);
    if (!say) close(old);
    return say;
}
