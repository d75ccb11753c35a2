/* SPDX-License-Identifier: Apache-2.0 */
/* The calls of linux/liveupdate.h as Linux 7.2 and 7.3 have them; device handling is in device.c.
 */
#include "luo/client.h"

#include <assert.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/liveupdate.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>

#include "base/util.h"
#include "luo/device.h"
#include "luo/reasons.h"

static_assert(LUO_SESSION_NAME_SIZE == LIVEUPDATE_SESSION_NAME_LENGTH,
	      "the kernel's session names changed their size");

#define OTHER_KERNEL                                                      \
	"this kernel's live update interface is not the one of Linux 7.x" \
	" that this program was built for; use a holdfast built for it"
#define NO_DESCRIPTORS                                                             \
	"too many open descriptors; raise the limit (ulimit -n, LimitNOFILE= in a" \
	" unit)"
#define NO_MEMORY "the kernel is out of memory; free some on this host and try again"

static const struct luo_reason create_reasons[] = {
	{EEXIST, 0,
	 "a session of that name is open already; abort the update that holds it, or end the "
	 "process"
	 " that does (its /proc/PID/fd shows anon_inode:[luo_session])"},
	{EINVAL, 0, "the kernel refuses the name; it must be 1 to 63 bytes"},
	{ENOSPC, 0, "the kernel's session table is full; close sessions that are not needed"},
	{ENOMEM, 0, NO_MEMORY},
	{EMFILE, 0, NO_DESCRIPTORS},
	{ENFILE, 0, NO_DESCRIPTORS},
	{ENOTTY, EOPNOTSUPP, OTHER_KERNEL},
	{E2BIG, EOPNOTSUPP, OTHER_KERNEL},
	{EOPNOTSUPP, 0, OTHER_KERNEL},
	{0, 0, "see the kernel log"},
};

static const struct luo_reason retrieve_reasons[] = {
	{ENOENT, 0,
	 "the previous kernel handed over no session of that name, or it was finished already; "
	 "check"
	 " the name, and that this boot is a kexec of the kernel that held it"},
	{EINVAL, EALREADY,
	 "it was taken already in this boot; only the process that has it can go on with it"},
	{ENOMEM, 0, NO_MEMORY},
	{EMFILE, 0, NO_DESCRIPTORS},
	{ENFILE, 0, NO_DESCRIPTORS},
	{ENOTTY, EOPNOTSUPP, OTHER_KERNEL},
	{E2BIG, EOPNOTSUPP, OTHER_KERNEL},
	{EOPNOTSUPP, 0, OTHER_KERNEL},
	{0, 0, "see the kernel log"},
};

static const struct luo_reason preserve_reasons[] = {
	{ENOENT, 0,
	 "no handler of this kernel can preserve such a file; guest memory must be a memfd without"
	 " huge pages, and passed-through devices need a kernel with handlers for them"},
	{EBUSY, 0,
	 "it is preserved by a session already; finish or close that one first (after an update:"
	 " finish before the next prepare)"},
	{EEXIST, 0, "the token is in use in this session; each file needs a token of its own"},
	{EBADF, 0, "the descriptor is not open"},
	{EOPNOTSUPP, 0,
	 "it has seals or properties that the kernel cannot hand over; create it with"
	 " MFD_EXEC|MFD_ALLOW_SEALING and seal only shrink and grow"},
	{EFBIG, 0, "it is too large to be preserved in one piece; split it"},
	{ENOMEM, 0,
	 "the kernel is out of memory: preserving fills every hole of the file; free some on this"
	 " host, or split a file of 1 TiB or more"},
	{ENOSPC, 0, "the session is full; preserve fewer files"},
	{EPERM, 0, "the kernel does not allow it for this file"},
	{EINVAL, 0,
	 "the session was handed over by the previous kernel and takes no more files, or the"
	 " file's handler refuses it; create a new session"},
	{ENOTTY, 0, "the descriptor given as the session is not a live update session"},
	{E2BIG, EOPNOTSUPP, OTHER_KERNEL},
	{0, 0, "see the kernel log"},
};

static const struct luo_reason retrieve_fd_reasons[] = {
	{ENOENT, 0,
	 "the previous kernel preserved nothing under that token, or the session is finished; it"
	 " was made by another version of holdfast, or is not complete"},
	{EINVAL, 0, "the session was created by this kernel and has nothing to give back yet"},
	{EMFILE, 0, NO_DESCRIPTORS},
	{ENFILE, 0, NO_DESCRIPTORS},
	{ENOMEM, 0,
	 "the kernel ran out of memory and will repeat this answer until the next boot; the file"
	 " cannot be had back"},
	{ENODEV, 0, "its device or the driver that preserved it is not there; load the driver"},
	{EOPNOTSUPP, 0, "this kernel can keep such a file but not give it back"},
	{ENOTTY, 0, "the descriptor given as the session is not a live update session"},
	{E2BIG, EOPNOTSUPP, OTHER_KERNEL},
	{0, 0, "the kernel will repeat this answer until the next boot; see its log"},
};

static const struct luo_reason finish_reasons[] = {
	{EBUSY, 0,
	 "a preserved file is not ready to be let go: retrieve every device and attach it first"},
	{EINVAL, 0, "the session was created by this kernel; close it to give it up"},
	{EBADF, 0, "the descriptor is not open"},
	{ENOTTY, 0, "the descriptor given as the session is not a live update session"},
	{E2BIG, EOPNOTSUPP, OTHER_KERNEL},
	{0, 0, "what was preserved is kept; see the kernel log"},
};

static const struct luo_reason name_reasons[] = {
	{ENOTTY, 0, "it is not a live update session"},
	{EINVAL, 0, "it is not a live update session, or this kernel cannot tell its name"},
	{EBADF, 0, "it is not open"},
	{E2BIG, EOPNOTSUPP, OTHER_KERNEL},
	{0, 0, "see the kernel log"},
};

static int session_ioctl(int fd, unsigned long request, void *arg)
{
	int r;

	do
		r = ioctl(fd, request, arg);
	while (r < 0 && errno == EINTR);
	return r < 0 ? errno : 0;
}

/* For messages only: "session vm:web1", or the descriptor when even the name cannot be had. */
static const char *describe(int session_fd, char *buf, size_t size)
{
	struct liveupdate_session_get_name arg = {.size = sizeof(arg)};

	if (session_ioctl(session_fd, LIVEUPDATE_SESSION_GET_NAME, &arg) == 0)
		snprintf(buf, size, "session %.*s", (int)sizeof(arg.name), (char *)arg.name);
	else
		snprintf(buf, size, "session (descriptor %d)", session_fd);
	return buf;
}

#define DESCRIPTION_SIZE (LUO_SESSION_NAME_SIZE + 32)

static int check_name(const char *name, struct error *err)
{
	size_t len = strlen(name);

	if (len == 0)
		return error_set(err, -EINVAL, "session: the name is empty; give it one");
	if (len >= LUO_SESSION_NAME_SIZE)
		return error_set(err, -ENAMETOOLONG,
				 "session %s: the name has %zu bytes and the kernel takes %d; use a"
				 " shorter one",
				 name, len, LUO_SESSION_NAME_SIZE - 1);
	return 0;
}

/*
 * Create and retrieve differ in number and reasons only. One structure serves both: the kernel's
 * two have the same layout.
 */
static_assert(sizeof(struct liveupdate_ioctl_create_session) ==
			      sizeof(struct liveupdate_ioctl_retrieve_session) &&
		      offsetof(struct liveupdate_ioctl_create_session, name) ==
			      offsetof(struct liveupdate_ioctl_retrieve_session, name),
	      "create and retrieve no longer share a layout");

static int open_session(unsigned long request, const char *verb, const struct luo_reason *reasons,
			const char *name, unsigned int timeout_ms, int *ret_fd, struct error *err)
{
	struct liveupdate_ioctl_create_session arg = {.size = sizeof(arg), .fd = -1};
	_cleanup_fd_ int device = FD_NONE;
	int r, code;

	r = check_name(name, err);
	if (r < 0)
		return r;
	r = luo_device_open(timeout_ms, &device, err);
	if (r < 0) {
		error_prefix(err, "session %s: ", name);
		return r;
	}
	memcpy(arg.name, name, strlen(name));
	code = session_ioctl(device, request, &arg);
	if (code)
		return luo_reason_set(reasons, code, err, "session %s: cannot %s it", name, verb);
	/* Said to be close-on-exec by the kernel; a guest's memory must not leak if it is not. */
	fcntl(arg.fd, F_SETFD, FD_CLOEXEC);
	*ret_fd = arg.fd;
	return 0;
}

int luo_session_create(const char *name, unsigned int timeout_ms, int *ret_fd, struct error *err)
{
	return open_session(LIVEUPDATE_IOCTL_CREATE_SESSION, "create", create_reasons, name,
			    timeout_ms, ret_fd, err);
}

int luo_session_retrieve(const char *name, unsigned int timeout_ms, int *ret_fd, struct error *err)
{
	return open_session(LIVEUPDATE_IOCTL_RETRIEVE_SESSION, "retrieve", retrieve_reasons, name,
			    timeout_ms, ret_fd, err);
}

int luo_session_preserve_fd(int session_fd, int fd, uint64_t token, const char *what,
			    struct error *err)
{
	struct liveupdate_session_preserve_fd arg = {.size = sizeof(arg), .fd = fd, .token = token};
	char name[DESCRIPTION_SIZE];
	int code = session_ioctl(session_fd, LIVEUPDATE_SESSION_PRESERVE_FD, &arg);

	if (!code)
		return 0;
	return luo_reason_set(preserve_reasons, code, err,
			      "%s: cannot preserve %s (token 0x%" PRIx64 ")",
			      describe(session_fd, name, sizeof(name)), what, token);
}

int luo_session_retrieve_fd(int session_fd, uint64_t token, const char *what, int *ret_fd,
			    struct error *err)
{
	struct liveupdate_session_retrieve_fd arg = {.size = sizeof(arg), .fd = -1, .token = token};
	char name[DESCRIPTION_SIZE];
	int code = session_ioctl(session_fd, LIVEUPDATE_SESSION_RETRIEVE_FD, &arg);

	if (code)
		return luo_reason_set(retrieve_fd_reasons, code, err,
				      "%s: cannot retrieve %s (token 0x%" PRIx64 ")",
				      describe(session_fd, name, sizeof(name)), what, token);
	fcntl(arg.fd, F_SETFD, FD_CLOEXEC);
	*ret_fd = arg.fd;
	return 0;
}

int luo_session_finish(int session_fd, struct error *err)
{
	struct liveupdate_session_finish arg = {.size = sizeof(arg)};
	char name[DESCRIPTION_SIZE];
	int code = session_ioctl(session_fd, LIVEUPDATE_SESSION_FINISH, &arg);

	if (!code)
		return 0;
	return luo_reason_set(finish_reasons, code, err, "%s: cannot finish it",
			      describe(session_fd, name, sizeof(name)));
}

int luo_session_name(int session_fd, char name[LUO_SESSION_NAME_SIZE], struct error *err)
{
	struct liveupdate_session_get_name arg = {.size = sizeof(arg)};
	int code = session_ioctl(session_fd, LIVEUPDATE_SESSION_GET_NAME, &arg);

	if (code)
		return luo_reason_set(name_reasons, code, err,
				      "session (descriptor %d): cannot read its name", session_fd);
	memcpy(name, arg.name, LUO_SESSION_NAME_SIZE);
	name[LUO_SESSION_NAME_SIZE - 1] = '\0';
	return 0;
}
