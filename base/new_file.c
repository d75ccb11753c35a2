/* SPDX-License-Identifier: Apache-2.0 */
#include "base/new_file.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#include "base/path.h"
#include "base/util.h"

#define NEW ".new"

static int create_named(struct new_file *file, struct error *err)
{
	char path[PATH_MAX + sizeof(NEW)];

	snprintf(path, sizeof(path), "%s" NEW, file->path);
	/* One that is there was left by somebody who did not come to its end. */
	unlink(path);
	file->fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (file->fd < 0)
		return error_sys(err, -errno, "%s: cannot create it", path);
	file->named = true;
	return 0;
}

int new_file_create(const char *path, struct new_file *ret, struct error *err)
{
	struct new_file file = NEW_FILE_INIT;
	char folder[PATH_MAX];
	struct stat st;
	int r = 0;

	if (snprintf(file.path, sizeof(file.path), "%s", path) >= (int)sizeof(file.path))
		return error_set(err, -ENAMETOOLONG, "%s: the path is too long", path);
	if (lstat(path, &st) == 0)
		return error_set(err, -EEXIST, "%s: there is such a file already", path);
	path_folder(path, folder);
	file.fd = open(folder, O_RDWR | O_TMPFILE | O_CLOEXEC, 0600);
	/* EISDIR: the kernel does not know the flag. */
	if (file.fd < 0 && (errno == EOPNOTSUPP || errno == EISDIR))
		r = create_named(&file, err);
	else if (file.fd < 0)
		r = error_sys(err, -errno, "%s: cannot create a file in %s", path, folder);
	if (r == 0)
		*ret = file;
	return r;
}

static int give_name(const struct new_file *file)
{
	char from[PATH_MAX + sizeof(NEW)];
	struct stat st;

	if (!file->named) {
		snprintf(from, sizeof(from), "/proc/self/fd/%d", file->fd);
		return linkat(AT_FDCWD, from, AT_FDCWD, file->path, AT_SYMLINK_FOLLOW);
	}
	snprintf(from, sizeof(from), "%s" NEW, file->path);
	if (lstat(file->path, &st) == 0) {
		errno = EEXIST;
		return -1;
	}
	return rename(from, file->path);
}

static int sync_folder(const char *path)
{
	char folder[PATH_MAX];
	_cleanup_fd_ int fd = FD_NONE;

	path_folder(path, folder);
	fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return fd < 0 || fsync(fd) < 0 ? -errno : 0;
}

int new_file_commit(struct new_file *file, struct error *err)
{
	int r;

	if (fsync(file->fd) < 0)
		return error_sys(err, -errno, "%s: cannot write it out", file->path);
	if (give_name(file) < 0)
		return error_sys(err, -errno, "%s: cannot put the file in its place", file->path);
	file->named = false;
	r = sync_folder(file->path);
	if (r < 0) {
		unlink(file->path);
		return error_sys(err, r, "%s: cannot write its folder out", file->path);
	}
	close_fdp(&file->fd);
	return 0;
}

void new_file_drop(struct new_file *file)
{
	char path[PATH_MAX + sizeof(NEW)];

	if (file->fd < 0)
		return;
	snprintf(path, sizeof(path), "%s" NEW, file->path);
	if (file->named)
		unlink(path);
	file->named = false;
	close_fdp(&file->fd);
}

int new_file_check_room(int fd, uint64_t bytes, struct error *err)
{
	struct statvfs fs;
	uint64_t left;

	if (fstatvfs(fd, &fs) < 0)
		return error_sys(err, -errno, "cannot ask for the room on the disk");
	left = (uint64_t)fs.f_bavail * fs.f_frsize;
	if (left >= bytes)
		return 0;
	return error_set(err, -ENOSPC,
			 "the disk has %llu MiB left, and %llu MiB are needed: make room, or name"
			 " another disk",
			 (unsigned long long)(left / MIB),
			 (unsigned long long)((bytes + MIB - 1) / MIB));
}
