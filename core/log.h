// SPDX-License-Identifier: Apache-2.0
// The program's own log, to stderr: five levels, a line carries its subject. (The access log is proxy/access_log.h.)
#ifndef CURFEW_CORE_LOG_H
#define CURFEW_CORE_LOG_H
#include <stdatomic.h>
#include <stdbool.h>

enum log_level { LOG_ERROR, LOG_WARN, LOG_INFO, LOG_DEBUG, LOG_TRACE };
extern _Atomic(enum log_level) log_level; /* set once at start and on reload; read by all threads */

/* One line: time, level, subject, message. Thread-safe (one write). Never called on a hot path at a level that is on by default. */
void log_line(enum log_level level, const char *subject, const char *fmt, ...) __attribute__((cold, format(printf, 3, 4)));
#define log_at(level, subject, ...) \
    ((level) <= atomic_load_explicit(&log_level, memory_order_relaxed) ? log_line((level), (subject), __VA_ARGS__) : (void)0)
#define log_error(subject, ...) log_at(LOG_ERROR, subject, __VA_ARGS__)
#define log_warn(subject, ...) log_at(LOG_WARN, subject, __VA_ARGS__)
#define log_info(subject, ...) log_at(LOG_INFO, subject, __VA_ARGS__)
#define log_debug(subject, ...) log_at(LOG_DEBUG, subject, __VA_ARGS__)
#define log_trace(subject, ...) log_at(LOG_TRACE, subject, __VA_ARGS__)
#endif
