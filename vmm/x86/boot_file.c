/* SPDX-License-Identifier: Apache-2.0 */
#include <fcntl.h>
#include <inttypes.h>
#include <sys/stat.h>

#include "vmm/x86/boot_image.h"

/* One read is at most this long, so that a signal is never far away. */
#define READ_PIECE (8 * MIB)

int boot_file_open(const char *role, const char *path, struct boot_file *ret, struct error *err)
{
	_cleanup_fd_ int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	struct stat st;

	if (fd < 0)
		return error_sys(err, -errno, "%s %s: cannot open", role, path);
	if (fstat(fd, &st) < 0)
		return error_sys(err, -errno, "%s %s: cannot look at it", role, path);
	if (!S_ISREG(st.st_mode))
		return error_set(err, -ENOEXEC, "%s %s: not a regular file", role, path);
	if (st.st_size == 0)
		return error_set(err, -ENOEXEC, "%s %s: the file is empty", role, path);
	*ret = (struct boot_file){
		.role = role, .path = path, .fd = steal_fd(&fd), .size = (uint64_t)st.st_size};
	return 0;
}

void boot_file_close(struct boot_file *file)
{
	close_fdp(&file->fd);
}

int boot_file_read(const struct boot_file *file, uint64_t offset, void *buf, uint64_t len,
		   struct error *err)
{
	uint64_t done = 0;

	if (offset > file->size || len > file->size - offset)
		return error_set(err, -ENOEXEC,
				 "%s %s: cut short: %" PRIu64 " bytes at %" PRIu64
				 " are missing from its %" PRIu64 "; copy the file again",
				 file->role, file->path, len, offset, file->size);
	while (done < len) {
		ssize_t n = pread(file->fd, (uint8_t *)buf + done, MIN_OF(len - done, READ_PIECE),
				  (off_t)(offset + done));

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return error_sys(err, -errno, "%s %s: cannot read", file->role, file->path);
		if (n == 0)
			return error_set(err, -ENOEXEC, "%s %s: became shorter while it was read",
					 file->role, file->path);
		done += (uint64_t)n;
	}
	return 0;
}

int boot_file_load(const struct boot_file *file, uint64_t offset, const struct guest_ram *ram,
		   uint64_t gpa, uint64_t len, struct error *err)
{
	void *to = guest_ram_ptr(ram, gpa, len);

	if (!to)
		return error_set(err, -EFAULT,
				 "%s %s: %" PRIu64 " bytes at guest address 0x%" PRIx64
				 " would not be in guest memory",
				 file->role, file->path, len, gpa);
	return boot_file_read(file, offset, to, len, err);
}
