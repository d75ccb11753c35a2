/* SPDX-License-Identifier: Apache-2.0 */
#include "base/confine/landlock.h"

#include <fcntl.h>
#include <limits.h>
#include <linux/landlock.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "base/log.h"
#include "base/util.h"

/* Rights by the version of the ABI that brought them (linux/landlock.h). */
#define FS_V1 ((LANDLOCK_ACCESS_FS_MAKE_SYM << 1) - 1)
#define FS_FILES                                                      \
	(LANDLOCK_ACCESS_FS_EXECUTE | LANDLOCK_ACCESS_FS_WRITE_FILE | \
	 LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_TRUNCATE | \
	 LANDLOCK_ACCESS_FS_IOCTL_DEV | LANDLOCK_ACCESS_FS_RESOLVE_UNIX)

struct landlock {
	int fd; /* owned */
	struct landlock_ruleset_attr handled;
	bool has_9p; /* some mount is one: only then is it worth to look at each path */
	bool warned; /* of a path on it */
};

int landlock_abi(struct error *err)
{
	long abi = syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);

	if (abi > 0)
		return (int)abi;
	if (errno == EOPNOTSUPP)
		return error_set(err, -EOPNOTSUPP,
				 "Landlock is not in use on this host: its kernel has it, but not "
				 "in lsm= of the command line");
	return error_set(err, -EOPNOTSUPP,
			 "this kernel has no Landlock (CONFIG_SECURITY_LANDLOCK)");
}

static struct landlock_ruleset_attr handled_by(int abi)
{
	struct landlock_ruleset_attr attr = {.handled_access_fs = FS_V1};

	if (abi >= 2)
		attr.handled_access_fs |= LANDLOCK_ACCESS_FS_REFER;
	if (abi >= 3)
		attr.handled_access_fs |= LANDLOCK_ACCESS_FS_TRUNCATE;
	if (abi >= 4)
		attr.handled_access_net |=
			LANDLOCK_ACCESS_NET_BIND_TCP | LANDLOCK_ACCESS_NET_CONNECT_TCP;
	if (abi >= 5)
		attr.handled_access_fs |= LANDLOCK_ACCESS_FS_IOCTL_DEV;
	if (abi >= 6)
		attr.scoped |= LANDLOCK_SCOPE_ABSTRACT_UNIX_SOCKET | LANDLOCK_SCOPE_SIGNAL;
	if (abi >= 9)
		attr.handled_access_fs |= LANDLOCK_ACCESS_FS_RESOLVE_UNIX;
	if (abi >= 10)
		attr.handled_access_net |=
			LANDLOCK_ACCESS_NET_BIND_UDP | LANDLOCK_ACCESS_NET_CONNECT_SEND_UDP;
	return attr;
}

/*
 * A rule is bound to an inode, and 9p without a cache makes a new one each time a file is looked
 * for. statfs(2) does not tell: it gives the type that the server's file system has
 * (proc_pid_mountinfo(5) does). id: of a mount; 0: whether any mount is one.
 */
static bool is_9p(uint64_t id)
{
	unsigned long long mount;
	bool result = false;
	char line[PATH_MAX * 2];
	FILE *file = fopen("/proc/self/mountinfo", "re");

	while (file && !result && fgets(line, sizeof(line), file))
		result = strstr(line, " - 9p ") && sscanf(line, "%llu", &mount) == 1 &&
			 (id == 0 || id == mount);
	if (file)
		fclose(file);
	return result;
}

int landlock_new(struct landlock **ret, struct error *err)
{
	int abi = landlock_abi(err);
	struct landlock *l;

	if (abi < 0)
		return abi;
	l = calloc(1, sizeof(*l));
	if (!l)
		return error_set(err, -ENOMEM, "Landlock: out of memory");
	l->handled = handled_by(abi);
	l->has_9p = is_9p(0);
	l->fd = (int)syscall(SYS_landlock_create_ruleset, &l->handled, sizeof(l->handled), 0);
	if (l->fd < 0) {
		int r = error_sys(err, -errno, "Landlock: cannot make rules");

		free(l);
		return r;
	}
	*ret = l;
	return 0;
}

void landlock_free(struct landlock *l)
{
	if (!l)
		return;
	close_fdp(&l->fd);
	free(l);
}

static uint64_t rights_of(unsigned int may)
{
	uint64_t rights = 0;

	if (may & LANDLOCK_MAY_READ)
		rights |= LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR;
	if (may & LANDLOCK_MAY_WRITE)
		rights |= LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_TRUNCATE;
	if (may & LANDLOCK_MAY_IOCTL)
		rights |= LANDLOCK_ACCESS_FS_IOCTL_DEV;
	if (may & LANDLOCK_MAY_BIND)
		rights |= LANDLOCK_ACCESS_FS_MAKE_SOCK | LANDLOCK_ACCESS_FS_REMOVE_FILE;
	if (may & LANDLOCK_MAY_CONNECT)
		rights |= LANDLOCK_ACCESS_FS_RESOLVE_UNIX;
	if (may & LANDLOCK_MAY_MAKE)
		rights |= LANDLOCK_ACCESS_FS_MAKE_REG | LANDLOCK_ACCESS_FS_REMOVE_FILE;
	return rights;
}

int landlock_allow_fd(struct landlock *l, int fd, unsigned int may, struct error *err)
{
	struct landlock_path_beneath_attr rule = {.parent_fd = fd};
	struct stat st;

	if (fstat(fd, &st) < 0)
		return error_sys(err, -errno, "Landlock: descriptor %d", fd);
	/* What is of folders only is refused for a file. */
	rule.allowed_access = rights_of(may) & l->handled.handled_access_fs &
			      (S_ISDIR(st.st_mode) ? UINT64_MAX : FS_FILES);
	if (!rule.allowed_access)
		return 0;
	if (syscall(SYS_landlock_add_rule, l->fd, LANDLOCK_RULE_PATH_BENEATH, &rule, 0) == 0)
		return 0;
	/* A pipe, a socket, a memfd: of file systems that nobody can look into. */
	if (errno == EBADFD)
		return 0;
	return error_sys(err, -errno, "Landlock: cannot add a rule");
}

static bool forgets_inodes(const struct landlock *l, int fd)
{
	struct statx st;

	return l->has_9p && statx(fd, "", AT_EMPTY_PATH, STATX_MNT_ID, &st) == 0 &&
	       is_9p(st.stx_mnt_id);
}

/* The folder where the file system is mounted that fd is in: its inode stays. */
static int open_mount_of(int fd, struct error *err)
{
	char link[32], path[PATH_MAX];
	struct stat st, above;
	ssize_t n;
	int r;

	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	n = readlink(link, path, sizeof(path) - 1);
	if (n <= 0 || fstat(fd, &st) < 0)
		return error_sys(err, n < 0 ? -errno : -ENOENT, "Landlock: %s", link);
	path[n] = '\0';
	for (char *slash = strrchr(path, '/'); slash && slash != path; slash = strrchr(path, '/')) {
		*slash = '\0';
		if (stat(path, &above) < 0 || above.st_dev != st.st_dev) {
			*slash = '/';
			break;
		}
	}
	r = open(path, O_PATH | O_CLOEXEC);
	return r >= 0 ? r : error_sys(err, -errno, "Landlock: %s", path);
}

static int allow_mount(struct landlock *l, int fd, const char *path, unsigned int may,
		       struct error *err)
{
	_cleanup_fd_ int mount = open_mount_of(fd, err);

	if (mount < 0)
		return mount;
	if (!l->warned)
		log_warning("Landlock: %s is on a 9p file system, where no file can be told from "
			    "the others: all of it is allowed",
			    path);
	l->warned = true;
	return landlock_allow_fd(l, mount, may, err);
}

int landlock_allow(struct landlock *l, const char *path, unsigned int may, struct error *err)
{
	_cleanup_fd_ int fd = open(path, O_PATH | O_CLOEXEC);
	int r;

	if (fd < 0)
		return errno == ENOENT || errno == ENOTDIR || errno == EACCES
			       ? 0
			       : error_sys(err, -errno, "Landlock: %s", path);
	r = forgets_inodes(l, fd) ? allow_mount(l, fd, path, may, err)
				  : landlock_allow_fd(l, fd, may, err);
	if (r < 0)
		error_prefix(err, "%s: ", path);
	return r;
}

int landlock_enforce(struct landlock *l, struct error *err)
{
	if (syscall(SYS_landlock_restrict_self, l->fd, 0) < 0)
		return error_sys(err, -errno, "Landlock: cannot be put in force");
	return 0;
}
