// SPDX-License-Identifier: Apache-2.0
// The access log: what a line says, that it is JSON whatever a peer put into it, and that the log never waits and never tears a line. Pipes, files and
// sockets are real; nobody reads them unless the test does.
#define _GNU_SOURCE
#include "proxy/access_log.h"
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

static char line[ACCESS_LINE_MAX + 1];
static struct access_record r;

static int begin(void **state) {
    (void)state;
    signal(SIGPIPE, SIG_IGN);
    access_record_init(&r);
    r.wall_ns = INT64_C(1769904000123456789); /* 2026-02-01 */
    r.ending = ENDING_COMPLETED;
    return 0;
}
static const char *formatted(void) {
    size_t n = access_format(&r, line);
    line[n] = '\0';
    return line;
}

/* ---- a reader of flat JSON objects, strict --------------------------------------------------------------------------------------------- */
static const unsigned char *json_string(const unsigned char *p) {
    if (*p++ != '"') return NULL;
    while (*p != '"') {
        if (*p < 0x20) return NULL;
        if (*p == '\\') {
            if (p[1] == 'u') {
                for (unsigned i = 2; i < 6; i++)
                    if (!strchr("0123456789abcdef", p[i])) return NULL;
                p += 6;
            } else {
                if (!strchr("\"\\/bfnrt", p[1])) return NULL;
                p += 2;
            }
            continue;
        }
        if (*p < 0x80) {
            p++;
            continue;
        }
        unsigned more = *p >= 0xf0 ? 3 : *p >= 0xe0 ? 2 : 1;
        uint32_t c = *p & (0x3fu >> more);
        if (*p < 0xc2 || *p > 0xf4) return NULL;
        for (unsigned i = 1; i <= more; i++) {
            if ((p[i] & 0xc0) != 0x80) return NULL;
            c = c << 6 | (p[i] & 0x3f);
        }
        static const uint32_t least[] = { 0, 0x80, 0x800, 0x10000 };
        if (c < least[more] || c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff)) return NULL;
        p += more + 1;
    }
    return p + 1;
}
static const unsigned char *json_number(const unsigned char *p) {
    p += *p == '-';
    if (*p == '0' && p[1] >= '0' && p[1] <= '9') return NULL;
    if (*p < '0' || *p > '9') return NULL;
    while (*p >= '0' && *p <= '9') p++;
    if (*p != '.') return p;
    if (*++p < '0' || *p > '9') return NULL;
    while (*p >= '0' && *p <= '9') p++;
    return p;
}
static bool is_json_line(const char *text) {
    const unsigned char *p = (const unsigned char *)text;
    if (*p != '{') return false;
    do {
        p = json_string(p + 1);
        if (!p || *p++ != ':') return false;
        p = *p == '"' ? json_string(p) : strncmp((const char *)p, "true", 4) == 0 ? p + 4 : json_number(p);
        if (!p) return false;
    } while (*p == ',');
    return strcmp((const char *)p, "}\n") == 0;
}

/* ---- what a line says ----------------------------------------------------------------------------------------------------------------------- */
static void a_full_record_says_everything(void **state) {
    (void)state;
    r.id = STR("0-7-1"), r.listener = STR("edge"), r.client = STR("192.0.2.1:4711");
    r.protocol = "HTTP/2", r.rpc = "grpc";
    r.method = STR("POST"), r.host = STR("api.example.com"), r.path = STR("/shop.Orders/Get?x=1");
    r.route = STR("orders"), r.upstream = STR("orders"), r.endpoint = STR("127.0.0.1:9001");
    r.status = 200, r.grpc_status = 4, r.ending = ENDING_DEADLINE, r.detail = "the deadline passed", r.wire = 8;
    r.missing = STR("trace x-user");
    r.deadline_source = STR("grpc-timeout"), r.deadline_in = span_ms(250), r.deadline_out = span_ms(244), r.left = span_us(-1500);
    r.lateness = span_us(300), r.mode = "observe", r.cancel_mode = "forward", r.would_have = ENDING_SHED_EXPIRED, r.would_cancel = LEVEL_CLOSE, r.let_through = ENDING_CLIENT_CONTEXT;
    r.attempts = 2, r.hedges = 1, r.winner = 2, r.no_retry = "budget", r.cancel_level = LEVEL_NATIVE, r.cancel_deferred = true;
    r.request_bytes = 12, r.response_bytes = UINT64_MAX;
    r.duration = span_us(251500), r.answered = span_ms(7), r.queued = span_ns(0);
    assert_string_equal(formatted(),
                        "{\"ts\":\"2026-02-01T00:00:00.123Z\",\"id\":\"0-7-1\",\"listener\":\"edge\",\"client\":\"192.0.2.1:4711\",\"protocol\":\"HTTP/2\","
                        "\"rpc\":\"grpc\",\"method\":\"POST\",\"host\":\"api.example.com\",\"path\":\"/shop.Orders/Get?x=1\",\"route\":\"orders\","
                        "\"upstream\":\"orders\",\"endpoint\":\"127.0.0.1:9001\",\"status\":200,\"grpc_status\":4,\"ending\":\"deadline\",\"by\":\"gateway\","
                        "\"detail\":\"the deadline passed\",\"missing\":\"trace x-user\",\"wire\":8,\"cancel_level\":\"native\",\"cancel_deferred\":true,\"attempts\":2,\"hedges\":1,\"winner\":2,\"no_retry\":\"budget\",\"deadline_source\":\"grpc-timeout\","
                        "\"deadline_in_ms\":250,\"deadline_out_ms\":244,\"left_ms\":-1.500,\"lateness_ms\":0.300,\"mode\":\"observe\","
                        "\"cancel_mode\":\"forward\",\"would_have\":\"shed_expired\",\"would_cancel\":\"close\",\"let_through\":\"client_context\",\"request_bytes\":12,\"response_bytes\":18446744073709551615,\"duration_ms\":251.500,"
                        "\"upstream_ms\":7,\"queued_ms\":0}\n");
    assert_true(is_json_line(line));
}
static void what_is_absent_is_left_out(void **state) {
    (void)state;
    assert_string_equal(formatted(), "{\"ts\":\"2026-02-01T00:00:00.123Z\",\"ending\":\"completed\",\"by\":\"nobody\",\"request_bytes\":0,\"response_bytes\":0}\n");
}
static void a_client_that_left_without_an_answer_is_a_499(void **state) {
    (void)state;
    r.ending = ENDING_CLIENT_RESET;
    assert_non_null(strstr(formatted(), "\"status\":499,\"ending\":\"client_reset\",\"by\":\"client\""));
    r.status = 200; /* the head had gone out */
    assert_non_null(strstr(formatted(), "\"status\":200,\"ending\":\"client_reset\""));
    r.status = 0, r.ending = ENDING_UPSTREAM_RESET;
    assert_null(strstr(formatted(), "status"));
    assert_non_null(strstr(line, "\"by\":\"upstream\""));
}
static void a_client_that_was_reset_without_a_word_has_no_status(void **state) {
    (void)state;
    static const enum ending ours[] = { ENDING_CLIENT_ERROR, ENDING_CLIENT_TIMEOUT, ENDING_CLIENT_STALLED };
    for (size_t i = 0; i < sizeof ours / sizeof *ours; i++) {
        r.ending = ours[i], r.status = 0;
        assert_null(strstr(formatted(), "status"));
        assert_non_null(strstr(line, "\"by\":\"client\""));
        r.status = 400;
        assert_non_null(strstr(formatted(), "\"status\":400,"));
    }
}
static void time_is_right_at_its_corners(void **state) {
    (void)state;
    static const struct { int64_t s; const char *text; } rows[] = {
        { 0, "1970-01-01T00:00:00.000Z" }, { 951782399, "2000-02-28T23:59:59.000Z" }, { 951782400, "2000-02-29T00:00:00.000Z" },
        { 1709164800, "2024-02-29T00:00:00.000Z" }, { 1735689599, "2024-12-31T23:59:59.000Z" }, { 4107542400, "2100-03-01T00:00:00.000Z" },
        { -1, "1969-12-31T23:59:59.000Z" }, { 9223372036, "2262-04-11T23:47:16.000Z" },
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        r.wall_ns = rows[i].s * NS_PER_S;
        formatted();
        assert_memory_equal(line + 7, rows[i].text, strlen(rows[i].text));
    }
    r.wall_ns = -1;
    assert_non_null(strstr(formatted(), "1969-12-31T23:59:59.999Z"));
}
static void spans_are_milliseconds_towards_zero(void **state) {
    (void)state;
    static const struct { int64_t ns; const char *text; } rows[] = {
        { 0, ":0}" }, { 999, ":0}" }, { -999, ":0}" }, { 1000, ":0.001}" }, { -1000, ":-0.001}" }, { 1999999, ":1.999}" }, { 2000000, ":2}" },
        { INT64_C(86400000000000), ":86400000}" }, { INT64_MAX - 1, ":9223372036854.775}" }, { INT64_MIN, ":-9223372036854.775}" },
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        r.queued = span_ns(rows[i].ns);
        assert_non_null(strstr(formatted(), rows[i].text));
    }
}

/* ---- escaping ---------------------------------------------------------------------------------------------------------------------------------- */
static void assert_path(struct str raw, const char *escaped) {
    char want[512], *exact = malloc(raw.n); /* so that a byte behind the slice is not there to be read */
    memcpy(exact, raw.p, raw.n);
    r.path = (struct str){ exact, raw.n };
    snprintf(want, sizeof want, "\"path\":\"%s\",\"ending\"", escaped);
    assert_non_null(strstr(formatted(), want));
    assert_true(is_json_line(line));
    free(exact);
}
static void text_is_escaped(void **state) {
    (void)state;
    assert_path(STR("/a\"b\\c/"), "/a\\\"b\\\\c/");
    assert_path(STR("\n\r\t\b\f"), "\\n\\r\\t\\b\\f");
    assert_path(STR("\0\x1b[31m\x7f"), "\\u0000\\u001b[31m\\u007f");
    assert_path(STR("gr\xc3\xbc\xc3\x9f \xe2\x82\xac \xf0\x9f\x98\x80"), "gr\xc3\xbc\xc3\x9f \xe2\x82\xac \xf0\x9f\x98\x80");
    assert_path(STR("\xc2\x9b"), "\\u009b"); /* CSI in C1: a terminal obeys it */
}
static void bytes_that_are_not_utf8_are_replaced(void **state) {
    (void)state;
    assert_path(STR("a\xff" "b"), "a\\ufffdb");
    assert_path(STR("\xc0\xaf"), "\\ufffd\\ufffd");             /* overlong */
    assert_path(STR("\xe0\x80\xaf"), "\\ufffd\\ufffd\\ufffd");
    assert_path(STR("\xf0\x80\x80\xaf"), "\\ufffd\\ufffd\\ufffd\\ufffd");
    assert_path(STR("\xed\xa0\x80"), "\\ufffd\\ufffd\\ufffd");  /* a surrogate */
    assert_path(STR("\xf4\x90\x80\x80"), "\\ufffd\\ufffd\\ufffd\\ufffd"); /* above U+10FFFF */
    assert_path(STR("\xe2\x82"), "\\ufffd\\ufffd");             /* cut short at the end */
    assert_path(STR("\xe2\x82z"), "\\ufffd\\ufffdz");
    assert_path(STR("\xed\x9f\xbf\xee\x80\x80\xf4\x8f\xbf\xbf"), "\xed\x9f\xbf\xee\x80\x80\xf4\x8f\xbf\xbf"); /* the last good ones */
}
static void any_bytes_make_one_line_of_json(void **state) {
    (void)state;
    unsigned seed = 1;
    char bytes[300];
    for (unsigned turn = 0; turn < 20000; turn++) {
        size_t n = (size_t)rand_r(&seed) % sizeof bytes;
        unsigned mask = turn % 3 == 0 ? 0xff : turn % 3 == 1 ? 0x9f : 0xf7; /* makes lead and continuation bytes likely */
        for (size_t i = 0; i < n; i++) bytes[i] = (char)((unsigned)rand_r(&seed) >> 3 & mask);
        r.path = r.host = r.method = (struct str){ bytes, n };
        formatted();
        assert_true(is_json_line(line));
    }
}
static void long_values_are_clipped_between_characters(void **state) {
    (void)state;
    char big[8192];
    for (size_t i = 0; i < sizeof big; i++) big[i] = "\xe2\x82\xac"[i % 3];
    r.path = (struct str){ big, sizeof big };
    formatted();
    assert_true(is_json_line(line));
    const char *clipped = strstr(line, "\xe2\x82\xac\xe2\x80\xa6\",\"ending\""), *from = strstr(line, "\"path\":\"") + 8;
    assert_non_null(clipped);
    assert_in_range(clipped + 6 - from, 1500, 1536);
    r.path = (struct str){ big, 300 }; /* what fits is whole */
    assert_null(strstr(formatted(), "\xe2\x80\xa6"));
}
/* ROOM_REST in access_log.c: this is the longest line there can be, and the reason why it fits. */
static void the_longest_line_fits(void **state) {
    (void)state;
    char big[8192];
    for (unsigned fill = 0; fill < 3; fill++) {
        memset(big, "a\"\xff"[fill], sizeof big);
        struct str s = { big, sizeof big };
        big[sizeof big - 1] = '\0';
        r.id = r.listener = r.client = r.method = r.host = r.path = r.route = r.upstream = r.endpoint = s;
        r.deadline_source = r.missing = s;
        r.protocol = r.rpc = r.detail = big;
        r.status = UINT16_MAX, r.grpc_status = INT16_MAX, r.ending = ENDING_OPERATOR_CANCELLED, r.wire = UINT32_MAX;
        r.deadline_in = r.deadline_out = r.left = r.lateness = r.duration = r.answered = r.queued = span_ns(INT64_MIN);
        r.mode = r.cancel_mode = "disabled", r.would_have = r.let_through = ENDING_OPERATOR_CANCELLED, r.would_cancel = LEVEL_SIDE_CHANNEL, r.cancel_deferred = true, r.cancel_level = LEVEL_SIDE_CHANNEL;
        r.attempts = r.hedges = r.winner = UINT32_MAX, r.no_retry = "pushback";
        r.request_bytes = r.response_bytes = UINT64_MAX;
        assert_true(access_format(&r, line) <= ACCESS_LINE_MAX);
        formatted();
        assert_true(is_json_line(line));
    }
}

/* ---- pipes ----------------------------------------------------------------------------------------------------------------------------------- */
static int ends[2]; /* [0] is read */
static struct access_log *l;

static void open_pipe(int size) {
    assert_int_equal(pipe(ends), 0);
    fcntl(ends[0], F_SETFL, O_NONBLOCK);
    if (size) assert_true(fcntl(ends[1], F_SETPIPE_SZ, size) >= size);
    l = access_log_new_fd(ends[1]);
}
static size_t nread, nlines;
/* Reads all that is there; every line must be whole. */
static size_t read_lines(int fd) {
    static char buf[1 << 20];
    size_t n = 0;
    for (ssize_t got; (got = read(fd, buf + n, sizeof buf - n - 1)) > 0;) n += (size_t)got;
    nread = n, nlines = 0;
    for (char *p = buf, *nl; n > 0 && p < buf + n; p = nl + 1, nlines++) {
        nl = memchr(p, '\n', (size_t)(buf + n - p));
        assert_non_null(nl);
        memcpy(line, p, (size_t)(nl + 1 - p));
        line[nl + 1 - p] = '\0';
        assert_true(is_json_line(line));
    }
    return nlines;
}
static void write_lines(size_t n) {
    for (size_t i = 0; i < n; i++) access_log_write(l, &r);
}
static void lines_wait_in_the_buffer_until_the_flush(void **state) {
    (void)state;
    open_pipe(0);
    write_lines(3);
    assert_int_equal(read_lines(ends[0]), 0);
    assert_true(access_log_pending(l) > 0);
    access_log_flush(l);
    assert_int_equal(access_log_pending(l), 0);
    assert_int_equal(read_lines(ends[0]), 3);
    write_lines(1);
    access_log_free(l); /* flushes */
    assert_int_equal(read_lines(ends[0]), 1);
    close(ends[0]), close(ends[1]);
}
static void a_full_buffer_flushes_itself(void **state) {
    (void)state;
    open_pipe(1 << 20);
    write_lines(2000);
    assert_true(read_lines(ends[0]) > 500);
    size_t before = nlines;
    access_log_flush(l);
    assert_int_equal(before + read_lines(ends[0]), 2000);
    assert_int_equal(access_log_dropped(l), 0);
    access_log_free(l);
    close(ends[0]), close(ends[1]);
}
/* The end of the pipe that we were given stays as it was: it is shared with whoever started us. */
static void a_reader_that_stopped_costs_lines_and_no_time(void **state) {
    (void)state;
    open_pipe(4096);
    r.path = STR("/some/path/that/makes/the/line/a/little/longer/so/that/lines/do/not/divide/a/page/evenly");
    assert_int_equal(fcntl(ends[1], F_GETFL) & O_NONBLOCK, 0);
    write_lines(10000); /* returns: that is the test */
    access_log_flush(l);
    uint64_t dropped = access_log_dropped(l);
    assert_true(dropped > 8000);
    assert_true(access_log_pending(l) > ACCESS_BUFFER - 2 * ACCESS_LINE_MAX);
    size_t seen = 0;
    for (unsigned i = 0; i < 100 && access_log_pending(l) > 0; i++) seen += read_lines(ends[0]), access_log_flush(l);
    seen += read_lines(ends[0]);
    assert_int_equal(seen + dropped, 10000);
    write_lines(1);
    access_log_flush(l);
    assert_int_equal(read_lines(ends[0]), 1);
    access_log_free(l);
    close(ends[0]), close(ends[1]);
}
static void a_reader_that_comes_back_is_noticed_between_flushes(void **state) {
    (void)state;
    open_pipe(4096);
    write_lines(2000);
    uint64_t dropped = access_log_dropped(l);
    assert_true(dropped > 0);
    size_t seen = 0;
    for (unsigned i = 0; i < 200; i++) write_lines(1), seen += read_lines(ends[0]);
    assert_true(access_log_dropped(l) - dropped < 20);
    assert_true(seen > 0);
    access_log_free(l);
    close(ends[0]), close(ends[1]);
}
static void a_reader_that_is_gone_costs_lines(void **state) {
    (void)state;
    open_pipe(0);
    close(ends[0]);
    write_lines(7);
    access_log_flush(l);
    assert_int_equal(access_log_dropped(l), 7);
    assert_int_equal(access_log_pending(l), 0);
    access_log_free(l);
    close(ends[1]);
}
static void two_workers_lines_do_not_mix(void **state) {
    (void)state;
    open_pipe(16384);
    struct access_log *a = l, *b = access_log_new_fd(ends[1]);
    size_t seen = 0;
    for (unsigned turn = 0; turn < 400; turn++) {
        r.path = turn % 2 ? STR("/odd") : STR("/a/rather/much/longer/path/than/that");
        l = turn % 3 ? a : b;
        write_lines(turn % 50);
        access_log_flush(a);
        if (turn % 5 == 0) seen += read_lines(ends[0]); /* asserts that each line is whole */
        access_log_flush(b);
    }
    for (unsigned i = 0; i < 100; i++) seen += read_lines(ends[0]), access_log_flush(a), access_log_flush(b);
    assert_int_equal(access_log_pending(a) + access_log_pending(b), 0);
    size_t written = 0;
    for (unsigned turn = 0; turn < 400; turn++) written += turn % 50;
    assert_int_equal(seen + access_log_dropped(a) + access_log_dropped(b), written);
    access_log_free(a), access_log_free(b);
    close(ends[0]), close(ends[1]);
}
static void a_socket_is_written_without_waiting(void **state) {
    (void)state;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
    fcntl(ends[0], F_SETFL, O_NONBLOCK);
    l = access_log_new_fd(ends[1]);
    write_lines(20000);
    access_log_flush(l);
    assert_true(access_log_dropped(l) > 0);
    size_t seen = 0;
    while (access_log_pending(l) > 0) seen += read_lines(ends[0]), access_log_flush(l);
    seen += read_lines(ends[0]);
    assert_int_equal(seen + access_log_dropped(l), 20000);
    access_log_free(l);
    close(ends[0]), close(ends[1]);
}

/* ---- files ------------------------------------------------------------------------------------------------------------------------------------ */
static char folder[] = "/tmp/curfew-log-XXXXXX", file[64], rotated[64];
static int make_folder(void **state) {
    (void)state;
    assert_non_null(mkdtemp(folder));
    snprintf(file, sizeof file, "%s/access.log", folder);
    snprintf(rotated, sizeof rotated, "%s/access.log.1", folder);
    return 0;
}
static int drop_folder(void **state) {
    (void)state;
    unlink(file), unlink(rotated);
    return rmdir(folder);
}
static size_t lines_of(const char *path) {
    int fd = open(path, O_RDONLY);
    assert_true(fd >= 0);
    size_t n = read_lines(fd);
    close(fd);
    return n;
}
static struct access_log *to_file(void) {
    const char *say = NULL;
    struct access_log *log = access_log_new(ACCESS_FILE, str_of(file), &say);
    assert_non_null(log);
    assert_null(say);
    return log;
}
static void two_workers_append_to_one_file(void **state) {
    (void)state;
    struct access_log *a = to_file(), *b = to_file();
    struct stat st;
    for (unsigned turn = 0; turn < 100; turn++) {
        l = turn % 2 ? a : b;
        write_lines(20);
        if (turn % 7 == 0) access_log_flush(l);
    }
    access_log_free(a), access_log_free(b);
    assert_int_equal(lines_of(file), 2000);
    assert_int_equal(stat(file, &st), 0);
    assert_int_equal(st.st_mode & 0007, 0); /* it is nobody else's business */
}
static void after_a_rotation_lines_go_to_the_new_file(void **state) {
    (void)state;
    unlink(file);
    l = to_file();
    write_lines(2);
    assert_int_equal(rename(file, rotated), 0);
    write_lines(1);
    assert_null(access_log_reopen(l)); /* what was buffered belongs to the old file */
    write_lines(4);
    access_log_free(l);
    assert_int_equal(lines_of(rotated), 3);
    assert_int_equal(lines_of(file), 4);
}
static void a_rotation_that_fails_keeps_the_old_file(void **state) {
    (void)state;
    unlink(file);
    l = to_file();
    assert_int_equal(rename(file, rotated), 0);
    assert_int_equal(mkdir(file, 0700), 0); /* in the way */
    assert_string_equal(access_log_reopen(l), "Is a directory");
    write_lines(5);
    access_log_free(l);
    assert_int_equal(rmdir(file), 0);
    assert_int_equal(lines_of(rotated), 5);
    close(open(file, O_CREAT | O_WRONLY, 0600));
}
static void a_file_that_cannot_be_opened_is_said(void **state) {
    (void)state;
    const char *say = NULL;
    assert_null(access_log_new(ACCESS_FILE, STR("/nonexistent/folder/x.log"), &say));
    assert_string_equal(say, "No such file or directory");
}
/* A disk that fills in the middle of a line: the line is lost, the next one is not glued to its half. */
static void a_torn_line_does_not_spoil_the_next(void **state) {
    (void)state;
    unlink(file);
    struct rlimit was, small;
    signal(SIGXFSZ, SIG_IGN);
    getrlimit(RLIMIT_FSIZE, &was);
    small = was;
    l = to_file();
    write_lines(1);
    size_t one = access_log_pending(l);
    write_lines(2);
    small.rlim_cur = 2 * one + one / 2;
    setrlimit(RLIMIT_FSIZE, &small);
    access_log_flush(l);
    setrlimit(RLIMIT_FSIZE, &was);
    assert_int_equal(access_log_dropped(l), 1);
    write_lines(1);
    access_log_free(l);
    char text[4096];
    FILE *f = fopen(file, "r");
    size_t n = fread(text, 1, sizeof text - 1, f);
    text[n] = '\0';
    fclose(f);
    assert_int_equal(n, 2 * one + one / 2 + 1 + one);
    assert_int_equal(text[2 * one + one / 2], '\n');
    assert_true(is_json_line(text + 2 * one + one / 2 + 1));
}
static void a_disabled_log_does_nothing(void **state) {
    (void)state;
    const char *say = NULL;
    l = access_log_new(ACCESS_DISABLED, (struct str){ 0 }, &say);
    assert_false(access_log_is_on(l));
    write_lines(100000);
    access_log_flush(l);
    assert_null(access_log_reopen(l));
    assert_int_equal(access_log_pending(l) + access_log_dropped(l), 0);
    access_log_free(l);
    access_log_free(NULL);
}

#define T(f) cmocka_unit_test_setup(f, begin)
int main(void) {
    const struct CMUnitTest tests[] = {
        T(a_full_record_says_everything), T(what_is_absent_is_left_out), T(a_client_that_left_without_an_answer_is_a_499),
        T(a_client_that_was_reset_without_a_word_has_no_status),
        T(time_is_right_at_its_corners), T(spans_are_milliseconds_towards_zero), T(text_is_escaped), T(bytes_that_are_not_utf8_are_replaced),
        T(any_bytes_make_one_line_of_json), T(long_values_are_clipped_between_characters), T(the_longest_line_fits),
        T(lines_wait_in_the_buffer_until_the_flush), T(a_full_buffer_flushes_itself), T(a_reader_that_stopped_costs_lines_and_no_time),
        T(a_reader_that_comes_back_is_noticed_between_flushes), T(a_reader_that_is_gone_costs_lines), T(two_workers_lines_do_not_mix),
        T(a_socket_is_written_without_waiting), T(two_workers_append_to_one_file), T(after_a_rotation_lines_go_to_the_new_file),
        T(a_rotation_that_fails_keeps_the_old_file), T(a_file_that_cannot_be_opened_is_said), T(a_torn_line_does_not_spoil_the_next),
        T(a_disabled_log_does_nothing),
    };
    return cmocka_run_group_tests_name("access_log", tests, make_folder, drop_folder);
}
