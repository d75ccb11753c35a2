/* SPDX-License-Identifier: Apache-2.0 */
#include "base/log.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/util.h"

static struct {
	char name[64];
	enum log_level level;
	int fd;
	bool journal;
} the_log = {.name = "holdfast", .level = LOG_LEVEL_INFO, .fd = STDERR_FILENO};

static const char *const level_names[LOG_LEVEL_MAX] = {"error", "warning", "info", "debug"};

/* sd-daemon(3): the kernel's level numbers in angle brackets. */
static const char *const journal_prefixes[LOG_LEVEL_MAX] = {"<3>", "<4>", "<6>", "<7>"};

void log_setup(const char *name, enum log_level level, int fd)
{
	snprintf(the_log.name, sizeof(the_log.name), "%s", name);
	the_log.level = level;
	the_log.fd = fd;
	the_log.journal = fd == STDERR_FILENO && getenv("JOURNAL_STREAM");
}

int log_level_parse(const char *text, enum log_level *ret)
{
	for (unsigned int i = 0; i < LOG_LEVEL_MAX; i++) {
		if (strcmp(text, level_names[i]) == 0) {
			*ret = (enum log_level)i;
			return 0;
		}
	}
	return -EINVAL;
}

static void format_time(char *buf, size_t size)
{
	struct timespec now;
	struct tm tm;
	size_t n;

	clock_gettime(CLOCK_REALTIME, &now);
	gmtime_r(&now.tv_sec, &tm);
	n = strftime(buf, size, "%Y-%m-%dT%H:%M:%S", &tm);
	snprintf(buf + n, size - n, ".%03ldZ", now.tv_nsec / 1000000);
}

static _printf_(2, 0) void log_line(enum log_level level, const char *fmt, va_list ap)
{
	char line[ERROR_MESSAGE_MAX + 160];
	char when[40];
	size_t used, room;
	int n;

	if (the_log.journal) {
		n = snprintf(line, sizeof(line), "%s%s: ", journal_prefixes[level], the_log.name);
	} else {
		format_time(when, sizeof(when));
		n = snprintf(line, sizeof(line), "%s %s %s: ", when, level_names[level],
			     the_log.name);
	}
	used = (size_t)n;
	room = sizeof(line) - used - 1;
	n = vsnprintf(line + used, room, fmt, ap);
	used += MIN_OF((size_t)MAX_OF(n, 0), room - 1);
	/* A message that carries a newline must not be able to forge a second line. */
	for (char *p = line; p < line + used; p++) {
		if (*p == '\n' || *p == '\r')
			*p = ' ';
	}
	line[used++] = '\n';
	/* Nowhere to report that the log itself cannot be written. */
	if (write(the_log.fd, line, used) < 0)
		return;
}

void log_at(enum log_level level, const char *fmt, ...)
{
	va_list ap;

	if (level > the_log.level)
		return;
	va_start(ap, fmt);
	log_line(level, fmt, ap);
	va_end(ap);
}

void log_last_words(const char *text)
{
	char line[ERROR_MESSAGE_MAX];
	int n = snprintf(line, sizeof(line), "%s%s: %s\n", the_log.journal ? "<3>" : "error ",
			 the_log.name, text);

	if (write(the_log.fd, line, MIN_OF((size_t)MAX_OF(n, 0), sizeof(line) - 1)) < 0)
		return;
}

void log_ratelimited(struct log_ratelimit *rl, enum log_level level, const char *fmt, ...)
{
	struct timespec ts;
	uint64_t now;
	va_list ap;

	if (level > the_log.level)
		return;
	clock_gettime(CLOCK_MONOTONIC, &ts);
	now = (uint64_t)ts.tv_sec * NSEC_PER_SEC + (uint64_t)ts.tv_nsec;
	if (!rl->window_start_ns || now - rl->window_start_ns > LOG_RATELIMIT_INTERVAL_NS) {
		if (rl->suppressed)
			log_at(level, "%u similar messages left out", rl->suppressed);
		*rl = (struct log_ratelimit){.window_start_ns = now};
	}
	if (rl->sent >= LOG_RATELIMIT_BURST) {
		rl->suppressed++;
		return;
	}
	rl->sent++;
	va_start(ap, fmt);
	log_line(level, fmt, ap);
	va_end(ap);
}
