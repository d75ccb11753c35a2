/* SPDX-License-Identifier: Apache-2.0 */
/*
 * /dev/liveupdate and its sessions (linux/liveupdate.h; Linux
 * Documentation/userspace-api/liveupdate.rst).
 *
 * The device has one opener at a time and PID 1 wants it too: every call that needs it opens it,
 * does one thing and closes it, waiting for another opener up to a deadline. Session descriptors
 * live on without it. All descriptors returned are owned by the caller and close-on-exec.
 *
 * Closing the last descriptor of a session that was created gives up everything preserved in it;
 * closing one that was retrieved finishes it. After reboot(KEXEC) has begun, calls on sessions
 * block for ever: do not make any.
 *
 * Every function returns 0 or a negative errno with a message that names session and object and
 * says what to do. Any thread; calls that preserve or retrieve a memfd take time in proportion to
 * its folios.
 */
#ifndef HOLDFAST_LUO_CLIENT_H
#define HOLDFAST_LUO_CLIENT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"

#define LUO_DEVICE "/dev/liveupdate"
/* LIVEUPDATE_SESSION_NAME_LENGTH of linux/liveupdate.h, terminator included. */
#define LUO_SESSION_NAME_SIZE 64
/* How long a call waits for another opener of the device, unless the caller says otherwise. */
#define LUO_OPEN_TIMEOUT_MS 5000U

/*
 * Whether this host can preserve anything: opens the device and closes it.
 * -ENOENT: no device (the message says which: kernel without CONFIG_LIVEUPDATE, or liveupdate=on /
 * kho=on missing on /proc/cmdline). -EIO: the kernel could not take over the old kernel's sessions.
 * -EBUSY: deadline passed.
 */
int luo_probe(unsigned int timeout_ms, struct error *err);

/* New outgoing session. -ENAMETOOLONG: never cut. -EEXIST: an outgoing session of that name exists.
 */
int luo_session_create(const char *name, unsigned int timeout_ms, int *ret_fd, struct error *err);

/*
 * Session handed over by the previous kernel. -ENOENT: none of that name, or finished already.
 * -EALREADY: was retrieved before in this boot (the kernel says EINVAL).
 */
int luo_session_retrieve(const char *name, unsigned int timeout_ms, int *ret_fd, struct error *err);

/*
 * Preserves fd (borrowed) under token; the session takes its own reference. `what` names it in
 * messages. -ENOENT: no handler in this kernel takes such a file. -EBUSY: another session has it
 * already. -EEXIST: token in use. -EOPNOTSUPP: seals that cannot be preserved.
 */
int luo_session_preserve_fd(int session_fd, int fd, uint64_t token, const char *what,
			    struct error *err);

/* The file preserved under token. -ENOENT: no such token. A failure is final for this boot. */
int luo_session_retrieve_fd(int session_fd, uint64_t token, const char *what, int *ret_fd,
			    struct error *err);

/*
 * Ends a retrieved session: what was never retrieved is freed. -EBUSY: a file cannot be finished
 * yet.
 */
int luo_session_finish(int session_fd, struct error *err);

/* The name of the session behind the descriptor (for descriptors passed by others). -ENOTTY or
 * -EINVAL: not a session. */
int luo_session_name(int session_fd, char name[LUO_SESSION_NAME_SIZE], struct error *err);

#endif
