/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a service and its service manager say to each other by environment variables and one
 * datagram socket: sd_notify(3), sd_watchdog_enabled(3), sd_listen_fds(3). The protocol is stable
 * and small, so libsystemd is not needed.
 *
 * One thread, the one that starts the program.
 */
#ifndef HOLDFAST_BASE_NOTIFY_H
#define HOLDFAST_BASE_NOTIFY_H

#include <stdint.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "base/loop.h"
#include "base/util.h"

#define NOTIFY_FDS_MAX	   4096 /* taken; what is beyond is closed */
#define NOTIFY_FD_NAME_MAX 255	/* FDNAME= of sd_pid_notify_with_fds(3) */

struct notify_fd {
	int fd;
	char name[NOTIFY_FD_NAME_MAX + 1]; /* "unknown" when the manager gave none */
};

struct notify {
	struct sockaddr_un address;
	socklen_t address_size; /* 0: nobody listens */
	uint64_t watchdog_ns;	/* the manager expects a sign of life this often; 0: it does not */
	unsigned int fd_count;
	struct notify_fd *fds; /* owned, and their descriptors; close-on-exec */
};

/*
 * Reads what the manager set for this process and takes it out of the environment: what this
 * process starts must not speak in its name. What is damaged counts as not set.
 */
void notify_init(struct notify *n);
/* Closes descriptors that nobody took. */
void notify_done(struct notify *n);

/*
 * One message, such as "READY=1" or "READY=1\nSTATUS=...". Nothing when nobody listens. Never
 * blocks; a manager that does not read hears the next one.
 */
void notify_say(const struct notify *n, const char *text);

/*
 * Signs of life, twice as often as the manager expects them, from that loop: one that hangs gives
 * none. *ret is owned by the caller and must not outlive n; NULL: none are asked for.
 */
int notify_watchdog_new(const struct notify *n, struct loop *loop, struct loop_timer **ret,
			struct error *err);

/* The manager keeps a copy of fd and gives it to the next process of this service. No colon in
 * name. */
void notify_store(const struct notify *n, int fd, const char *name);
void notify_unstore(const struct notify *n, const char *name);

/* The descriptor of that name, which is the caller's then; FD_NONE: there is none. */
int notify_take(struct notify *n, const char *name);

#endif
