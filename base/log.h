/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The log: one line per event on stderr, or in a file, in the form
 *   2026-01-02T03:04:05.678Z info web1: message
 * Under systemd (JOURNAL_STREAM set) the time is left out and the level is the sd-daemon(3) prefix.
 * This is the one global of the program. Any thread may log; a line is written by one write(2).
 */
#ifndef HOLDFAST_BASE_LOG_H
#define HOLDFAST_BASE_LOG_H

#include <stdint.h>

#include "base/error.h"

enum log_level {
	LOG_LEVEL_ERROR,
	LOG_LEVEL_WARNING,
	LOG_LEVEL_INFO,
	LOG_LEVEL_DEBUG,
	LOG_LEVEL_MAX,
};

/* name: program or VM, copied, cut at 63 bytes. fd: borrowed, must stay open. Call before threads
 * start. */
void log_setup(const char *name, enum log_level level, int fd);

/* Parses "error", "warning", "info" or "debug"; -EINVAL else. */
int log_level_parse(const char *text, enum log_level *ret);

void log_at(enum log_level level, const char *fmt, ...) _printf_(2, 3);

/* One line from a signal handler that does not return: neither time nor locks. */
void log_last_words(const char *text);

#define log_error(...)	 log_at(LOG_LEVEL_ERROR, __VA_ARGS__)
#define log_warning(...) log_at(LOG_LEVEL_WARNING, __VA_ARGS__)
#define log_info(...)	 log_at(LOG_LEVEL_INFO, __VA_ARGS__)
#define log_debug(...)	 log_at(LOG_LEVEL_DEBUG, __VA_ARGS__)

/*
 * Rate limit for lines that a guest can cause: at most `burst` per `interval_ns`; what was left out
 * is told with the next line that gets through. One per call site or object, zero-initialised.
 */
struct log_ratelimit {
	uint64_t window_start_ns;
	unsigned int sent;
	unsigned int suppressed;
};

#define LOG_RATELIMIT_BURST	  5U
#define LOG_RATELIMIT_INTERVAL_NS (10ULL * 1000000000ULL)

void log_ratelimited(struct log_ratelimit *rl, enum log_level level, const char *fmt, ...)
	_printf_(3, 4);

#endif
