/* SPDX-License-Identifier: Apache-2.0 */
/* Who holds sessions open: the kernel names their descriptors (kernel/liveupdate/luo_session.c). */
#include <ctype.h>
#include <dirent.h>
#include <limits.h>
#include <string.h>

#include "base/util.h"
#include "luo/inspect/inspect.h"

#define LINK_PREFIX "anon_inode:[luo_session] "

static void read_command(const char *root, int pid, char *buf, size_t size)
{
	char path[PATH_MAX];
	FILE *f;

	snprintf(path, sizeof(path), "%s/proc/%d/comm", root, pid);
	f = fopen(path, "re");
	buf[0] = '\0';
	if (!f)
		return;
	if (fgets(buf, (int)size, f))
		buf[strcspn(buf, "\n")] = '\0';
	fclose(f);
}

static bool is_known(const struct inspect *inspect, const char *session, int pid)
{
	for (size_t i = 0; i < inspect->holder_count; i++)
		if (inspect->holders[i].pid == pid &&
		    strcmp(inspect->holders[i].session, session) == 0)
			return true;
	return false;
}

static int look_at(const char *root, int pid, const char *link, struct inspect *inspect)
{
	const char *session = link + strlen(LINK_PREFIX);
	struct inspect_holder *holder;

	if (strncmp(link, LINK_PREFIX, strlen(LINK_PREFIX)) != 0 || is_known(inspect, session, pid))
		return 0;
	if (ABI_GROW(inspect->holders, inspect->holder_count) < 0)
		return -ENOMEM;
	holder = &inspect->holders[inspect->holder_count++];
	snprintf(holder->session, sizeof(holder->session), "%.63s", session);
	holder->pid = pid;
	read_command(root, pid, holder->command, sizeof(holder->command));
	return 0;
}

static int look_through(const char *root, int pid, struct inspect *inspect)
{
	char path[PATH_MAX], link[256];
	struct dirent *entry;
	DIR *dir;
	int r = 0;

	snprintf(path, sizeof(path), "%s/proc/%d/fd", root, pid);
	dir = opendir(path);
	if (!dir)
		return 0; /* gone, or not ours to look into */
	while (r == 0 && (entry = readdir(dir))) {
		ssize_t n = readlinkat(dirfd(dir), entry->d_name, link, sizeof(link) - 1);

		if (n < 0)
			continue;
		link[n] = '\0';
		r = look_at(root, pid, link, inspect);
	}
	closedir(dir);
	return r;
}

int inspect_find_holders(const char *root, struct inspect *inspect)
{
	char path[PATH_MAX];
	struct dirent *entry;
	DIR *dir;
	int r = 0;

	snprintf(path, sizeof(path), "%s/proc", root);
	dir = opendir(path);
	if (!dir)
		return -errno;
	while (r == 0 && (entry = readdir(dir)))
		if (isdigit((unsigned char)entry->d_name[0]))
			r = look_through(root, atoi(entry->d_name), inspect);
	closedir(dir);
	return r;
}
