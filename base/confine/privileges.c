/* SPDX-License-Identifier: Apache-2.0 */
#include "base/confine/privileges.h"

#include <dirent.h>
#include <grp.h>
#include <linux/capability.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>

#include "base/text.h"
#include "base/util.h"

/* A user or group, or a descriptor; the highest number means none (setresuid(2)). */
static bool parse_number(const char *text, unsigned int *ret)
{
	uint64_t value;

	if (decimal_parse(text, UINT32_MAX - 1, &value) < 0)
		return false;
	*ret = (unsigned int)value;
	return true;
}

static int find_user(const char *name, struct identity *ret, struct error *err)
{
	const struct passwd *entry;
	unsigned int number;

	if (parse_number(name, &number)) {
		entry = getpwuid(number);
		*ret = (struct identity){number, entry ? entry->pw_gid : number};
		return 0;
	}
	entry = getpwnam(name);
	if (!entry)
		return error_set(err, -EINVAL,
				 "user %s: there is none of that name; make it (useradd --system), "
				 "or give a number",
				 name);
	*ret = (struct identity){entry->pw_uid, entry->pw_gid};
	return 0;
}

int identity_parse(const char *text, struct identity *ret, struct error *err)
{
	char user[PRIVILEGES_USER_MAX];
	const struct group *entry;
	char *group;
	int r;

	snprintf(user, sizeof(user), "%s", text);
	group = strchr(user, ':');
	if (group)
		*group++ = '\0';
	r = find_user(user, ret, err);
	if (r < 0)
		return r;
	if (group && !parse_number(group, &ret->gid)) {
		entry = getgrnam(group);
		if (!entry)
			return error_set(err, -EINVAL, "user %s: there is no group %s", user,
					 group);
		ret->gid = entry->gr_gid;
	}
	if (ret->uid == 0 || ret->gid == 0)
		return error_set(err, -EINVAL, "user %s: it must not be root, nor in root's group",
				 text);
	return 0;
}

int privileges_become(const struct identity *who, const gid_t *groups, size_t group_count,
		      struct error *err)
{
	if (getuid() == who->uid && geteuid() == who->uid)
		return 0;
	if (setgroups(group_count, groups) < 0 || setresgid(who->gid, who->gid, who->gid) < 0 ||
	    setresuid(who->uid, who->uid, who->uid) < 0)
		return error_sys(err, -errno, "user %u: cannot become it; start this as root",
				 who->uid);
	return 0;
}

static int keep_only(uint64_t keep)
{
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3];

	if (syscall(SYS_capget, &header, data) < 0)
		return -errno;
	for (unsigned int i = 0; i < _LINUX_CAPABILITY_U32S_3; i++) {
		data[i].permitted &= (uint32_t)(keep >> (32 * i));
		data[i].effective = data[i].permitted;
		data[i].inheritable = 0;
	}
	return syscall(SYS_capset, &header, data) < 0 ? -errno : 0;
}

int privileges_drop(uint64_t keep, struct error *err)
{
	int r = 0;

	/* First what a program that is run could get: that takes CAP_SETPCAP, or has no use. */
	for (unsigned int cap = 0; prctl(PR_CAPBSET_READ, cap, 0, 0, 0) >= 0; cap++) {
		if (!(keep & (1ULL << cap)) && prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) < 0 &&
		    errno != EPERM)
			r = -errno;
	}
	if (r == 0 && prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) < 0)
		r = -errno;
	if (r == 0)
		r = keep_only(keep);
	if (r < 0)
		return error_sys(err, r, "cannot give up capabilities");
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return error_sys(err, -errno, "cannot set no_new_privs");
	return 0;
}

int privileges_hide(struct error *err)
{
	const struct rlimit none = {0};

	if (setrlimit(RLIMIT_CORE, &none) < 0 || prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
		return error_sys(err, -errno, "cannot switch core dumps off");
	return 0;
}

void privileges_close_fds(privileges_keep_fn *keep, void *opaque)
{
	DIR *dir = opendir("/proc/self/fd");
	const struct dirent *entry;
	unsigned int fd;

	if (!dir)
		return;
	while ((entry = readdir(dir))) {
		if (parse_number(entry->d_name, &fd) && fd > STDERR_FILENO &&
		    (int)fd != dirfd(dir) && !keep(opaque, (int)fd))
			close((int)fd);
	}
	closedir(dir);
}
