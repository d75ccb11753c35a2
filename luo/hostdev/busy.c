/* SPDX-License-Identifier: Apache-2.0 */
/* Whether the host works with a device: interfaces that are up, block devices that are mounted. */
#include <dirent.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/util.h"
#include "luo/hostdev/hostdev.h"
#include "luo/inspect/sysfs.h"

/* sysfs is not deeper below a device than that: controller, namespace, partition, and what is
 * between. */
#define DEPTH_MAX 8
#define LIST_MAX  (1U << 20)

static bool network_is_up(const char *root, const char *address, char *text, size_t size)
{
	char name[NAME_MAX + 1], file[NAME_MAX + 16];

	if (!pci_sysfs_entry(root, address, "/net", "", name))
		return false;
	snprintf(file, sizeof(file), "/net/%.200s/flags", name);
	if (!(hostdev_number(root, address, file) & IFF_UP))
		return false;
	snprintf(text, size, "its network interface %.40s is up (ip link set %.40s down)", name,
		 name);
	return true;
}

/* "8:1" as a word of a line: in /proc/self/mountinfo it stands alone. */
static bool is_mounted(const char *mounts, const char *number)
{
	char word[32];

	snprintf(word, sizeof(word), " %.24s ", number);
	return mounts && strstr(mounts, word);
}

/* /proc/swaps names files of /dev. */
static bool is_swap(const char *swaps, const char *name)
{
	char word[NAME_MAX + 16];

	snprintf(word, sizeof(word), "/dev/%.200s ", name);
	return swaps && strstr(swaps, word);
}

struct search {
	const char *mounts, *swaps;
	char *text;
	size_t size;
};

static bool has_entries(const char *folder)
{
	DIR *dir = opendir(folder);
	const struct dirent *entry;
	bool found = false;

	while (dir && !found && (entry = readdir(dir)))
		found = entry->d_name[0] != '.';
	if (dir)
		closedir(dir);
	return found;
}

/* A folder with a file "dev" is a device; only block devices have "holders". */
static bool block_in_use(struct search *s, const char *folder, const char *name)
{
	_cleanup_free_ char *number = sysfs_load(folder, "/dev", 32, NULL);
	char holders[PATH_MAX + 16];
	const char *how;

	snprintf(holders, sizeof(holders), "%s/holders", folder);
	if (!number || access(holders, F_OK) < 0)
		return false;
	number[strcspn(number, "\n")] = '\0';
	if (is_mounted(s->mounts, number))
		how = "mounted";
	else if (is_swap(s->swaps, name))
		how = "swap space";
	else if (has_entries(holders))
		how = "part of another block device";
	else
		return false;
	snprintf(s->text, s->size, "its block device %.60s is %s", name, how);
	return true;
}

static bool search(struct search *s, const char *folder, unsigned int depth)
{
	const struct dirent *entry;
	bool found = false;
	DIR *dir;

	if (depth == DEPTH_MAX || !(dir = opendir(folder)))
		return false;
	while (!found && (entry = readdir(dir))) {
		char path[PATH_MAX];
		struct stat st;

		if (entry->d_name[0] == '.' ||
		    (size_t)snprintf(path, sizeof(path), "%s/%s", folder, entry->d_name) >=
			    sizeof(path) ||
		    lstat(path, &st) < 0 || !S_ISDIR(st.st_mode))
			continue;
		found = block_in_use(s, path, entry->d_name) || search(s, path, depth + 1);
	}
	closedir(dir);
	return found;
}

bool hostdev_in_use(const char *root, const char *address, char *text, size_t size)
{
	_cleanup_free_ char *mounts = sysfs_load(root, "/proc/self/mountinfo", LIST_MAX, NULL);
	_cleanup_free_ char *swaps = sysfs_load(root, "/proc/swaps", LIST_MAX, NULL);
	struct search s = {.mounts = mounts, .swaps = swaps, .text = text, .size = size};
	char path[PATH_MAX];

	if (network_is_up(root, address, text, size))
		return true;
	pci_sysfs_path(path, root, address, "");
	return search(&s, path, 0);
}
