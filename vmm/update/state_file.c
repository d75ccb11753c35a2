/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/update/state_file.h"

#include <fcntl.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "base/util.h"

#ifndef MFD_EXEC
#define MFD_EXEC 0x0010U /* linux/memfd.h since 6.3 */
#endif

/* A flattened device tree begins with its magic number: enough to tell "nothing" from "something".
 */
#define HEADER_SIZE 64

static int create_memfd(struct error *err)
{
	int fd = memfd_create("holdfast-state", MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_EXEC);

	/* Before Linux 6.3 the flag is unknown and every memfd is executable. */
	if (fd < 0 && errno == EINVAL)
		fd = memfd_create("holdfast-state", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (fd < 0 && (errno == EPERM || errno == EACCES))
		return error_set(
			err, -EPERM,
			"state file: the host forbids executable memfds, without which no "
			"memfd comes back writable: set the sysctl vm.memfd_noexec to 0 or 1");
	if (fd < 0)
		return error_sys(err, -errno, "state file: cannot create a memfd");
	return fd;
}

int state_file_create(size_t size, struct state_file *ret, struct error *err)
{
	_cleanup_fd_ int fd = create_memfd(err);
	size_t whole = ALIGN_UP(size, (size_t)sysconf(_SC_PAGESIZE));
	void *map;

	if (fd < 0)
		return fd;
	if (ftruncate(fd, (off_t)whole) < 0)
		return error_sys(err, -errno, "state file: cannot make it %zu bytes", whole);
	if (fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW) < 0)
		return error_sys(err, -errno, "state file: cannot seal it");
	/* Populated now: no page is to be missing when the guest stands still. */
	map = mmap(NULL, whole, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd, 0);
	if (map == MAP_FAILED)
		return error_sys(err, -errno, "state file: cannot map its %zu bytes", whole);
	/* Hosts may make huge pages of all shared memory; see guest_memory_hold.h. */
	madvise(map, whole, MADV_NOHUGEPAGE);
	*ret = (struct state_file){.fd = steal_fd(&fd), .map = map, .size = whole};
	return 0;
}

void state_file_close(struct state_file *file)
{
	if (!file->map)
		return;
	munmap(file->map, file->size);
	close(file->fd);
	*file = (struct state_file){.fd = FD_NONE};
}

int state_file_write(struct state_file *file, const void *blob, size_t size, struct error *err)
{
	if (size > file->size)
		return error_set(err, -ENOSPC, "state file: %zu bytes do not fit in its %zu", size,
				 file->size);
	memcpy(file->map, blob, size);
	return 0;
}

void state_file_wipe(struct state_file *file)
{
	if (file->map)
		memset(file->map, 0, HEADER_SIZE);
}

/* The lock is of an open file description (flock(2)), and a descriptor that was passed shares one:
 * this is a new one. */
int state_file_lock(int fd, int *ret_fd, struct error *err)
{
	_cleanup_fd_ int mine = FD_NONE;
	char path[64];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	mine = open(path, O_RDWR | O_CLOEXEC);
	if (mine < 0)
		return error_sys(err, -errno, "state file: cannot open it anew (%s)", path);
	if (flock(mine, LOCK_EX | LOCK_NB) < 0) {
		if (errno == EWOULDBLOCK)
			return error_set(err, -EBUSY,
					 "state file: another vmm is taking this guest up");
		return error_sys(err, -errno, "state file: cannot lock it");
	}
	*ret_fd = steal_fd(&mine);
	return 0;
}

/* The first bytes of a state, the magic number of a flattened device tree among them, as one word.
 */
static int exchange_word(int fd, uint64_t from, uint64_t to, struct error *err)
{
	_Atomic uint64_t *word;
	bool done;
	void *map;

	map = mmap(NULL, (size_t)sysconf(_SC_PAGESIZE), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (map == MAP_FAILED)
		return error_sys(err, -errno, "state file: cannot map it");
	word = map;
	done = atomic_compare_exchange_strong(word, &from, to);
	munmap(map, (size_t)sysconf(_SC_PAGESIZE));
	return done ? 0
		    : error_set(err, -EBUSY,
				"state file: another vmm has taken this guest up, or it was frozen "
				"anew: this one must not run it");
}

static uint64_t first_word(const void *bytes)
{
	uint64_t word;

	memcpy(&word, bytes, sizeof(word));
	return word;
}

int state_file_claim(int fd, const void *bytes, struct error *err)
{
	return exchange_word(fd, first_word(bytes), 0, err);
}

void state_file_unclaim(int fd, const void *bytes)
{
	exchange_word(fd, 0, first_word(bytes), NULL);
}

static int read_all(int fd, char *buf, size_t size, struct error *err)
{
	size_t done = 0;

	while (done < size) {
		ssize_t n = pread(fd, buf + done, size - done, (off_t)done);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return error_sys(err, -errno, "state file: cannot read it");
		if (n == 0)
			return error_set(err, -EIO, "state file: ends at %zu of %zu bytes", done,
					 size);
		done += (size_t)n;
	}
	return 0;
}

int state_file_read(int fd, void **ret, size_t *ret_size, struct error *err)
{
	static const char nothing[HEADER_SIZE];
	_cleanup_free_ char *buf = NULL;
	struct stat st;
	int r;

	if (fstat(fd, &st) < 0)
		return error_sys(err, -errno, "state file: cannot ask for its size");
	if (st.st_size < HEADER_SIZE || (uint64_t)st.st_size > STATE_FILE_MAX)
		return error_set(err, -EINVAL, "state file: %lld bytes cannot be a state",
				 (long long)st.st_size);
	buf = malloc((size_t)st.st_size);
	if (!buf)
		return error_set(err, -ENOMEM, "state file: no memory for its %lld bytes",
				 (long long)st.st_size);
	r = read_all(fd, buf, (size_t)st.st_size, err);
	if (r < 0)
		return r;
	if (memcmp(buf, nothing, sizeof(uint64_t)) == 0 && memcmp(buf, nothing, HEADER_SIZE) != 0)
		return error_set(err, -EBUSY,
				 "state file: another vmm has taken this guest up: this one must "
				 "not run it");
	if (memcmp(buf, nothing, HEADER_SIZE) == 0)
		return error_set(err, -ENODATA,
				 "state file: nothing was written to it: the VM was prepared but "
				 "not frozen when the host went down, and cannot be resumed");
	*ret = STEAL_PTR(buf);
	*ret_size = (size_t)st.st_size;
	return 0;
}
