// SPDX-License-Identifier: Apache-2.0
// One line, one write: lines of several threads do not mix. It reads the wall clock, the one thing of core/ that does, since a line without
// a time helps nobody. A peer's bytes in a message cannot make a second line.
#include "core/log.h"
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

enum { LINE = 2048 };

_Atomic(enum log_level) log_level = LOG_INFO;

static const char *const level_names[] = {
    [LOG_ERROR] = "error", [LOG_WARN] = "warn", [LOG_INFO] = "info", [LOG_DEBUG] = "debug", [LOG_TRACE] = "trace",
};

/* What snprintf wrote of what it wanted to. */
static size_t written(int wanted, size_t room) {
    if (wanted < 0) return 0;
    return (size_t)wanted < room ? (size_t)wanted : room - 1;
}

static size_t put_prefix(char *line, size_t room, enum log_level level, const char *subject) {
    struct timespec now;
    struct tm tm;
    char date[32];
    clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &tm);
    strftime(date, sizeof date, "%Y-%m-%dT%H:%M:%S", &tm);
    const char *open = subject && *subject ? " [" : "", *close = *open ? "]" : "";
    int n = snprintf(line, room, "%s.%03dZ %s%s%.256s%s ", date, (int)(now.tv_nsec / 1000000), level_names[level], open,
                     *open ? subject : "", close);
    return written(n, room);
}

static void blank_controls(char *p, size_t n) {
    for (size_t i = 0; i < n; i++)
        if ((unsigned char)p[i] < 0x20 || p[i] == 0x7f) p[i] = ' ';
}

void log_line(enum log_level level, const char *subject, const char *fmt, ...) {
    char line[LINE];
    int before = errno;
    size_t n = put_prefix(line, sizeof line - 1, level, subject);
    va_list args;
    va_start(args, fmt);
    errno = before; /* for %m */
    n += written(vsnprintf(line + n, sizeof line - 1 - n, fmt, args), sizeof line - 1 - n);
    va_end(args);
    blank_controls(line, n);
    line[n++] = '\n';
    ssize_t done = write(STDERR_FILENO, line, n);
    (void)done; /* nobody is left to tell */
    errno = before;
}
