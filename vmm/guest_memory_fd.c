/* SPDX-License-Identifier: Apache-2.0 */
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "base/util.h"
#include "vmm/guest_memory_fd.h"

/* Younger than the C library of Debian 12 (include/uapi/linux/memfd.h, fcntl.h). */
#ifndef MFD_EXEC
#define MFD_EXEC 0x0010U
#endif
#ifndef F_SEAL_FUTURE_WRITE
#define F_SEAL_FUTURE_WRITE 0x0010
#endif
#ifndef F_SEAL_EXEC
#define F_SEAL_EXEC 0x0020
#endif

#define SEALS_SIZE  (F_SEAL_SHRINK | F_SEAL_GROW)
#define SEALS_WRITE (F_SEAL_WRITE | F_SEAL_FUTURE_WRITE)

/* vm.memfd_noexec of this PID namespace; -1 where the kernel has no such setting. */
static int read_memfd_noexec(void)
{
	_cleanup_fd_ int fd = open("/proc/sys/vm/memfd_noexec", O_RDONLY | O_CLOEXEC);
	char digit;

	if (fd < 0 || read(fd, &digit, 1) != 1 || digit < '0' || digit > '9')
		return -1;
	return digit - '0';
}

static int refused(unsigned int index, int code, struct error *err)
{
	int noexec = read_memfd_noexec();

	if (code != -EACCES && code != -EPERM)
		return error_sys(err, code, "guest RAM region %u: cannot create a memfd", index);
	if (noexec >= 2)
		return error_set(err, -EPERM,
				 "guest RAM region %u: vm.memfd_noexec=%d forbids executable "
				 "memfds, and only those stay writable through a live update; set "
				 "it to 0 or 1 (sysctl -w vm.memfd_noexec=1)",
				 index, noexec);
	return error_set(err, -EPERM,
			 "guest RAM region %u: a security policy of this host forbids an "
			 "executable memfd, which guest RAM must be to stay writable through a "
			 "live update; allow memfd_create(MFD_EXEC) for this program",
			 index);
}

int ram_fd_create(memfd_create_fn *create, unsigned int index, uint64_t size, int *ret,
		  struct error *err)
{
	_cleanup_fd_ int fd = FD_NONE;
	char name[32];
	int seals;

	snprintf(name, sizeof(name), "holdfast-ram-%u", index);
	fd = create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_EXEC);
	if (fd < 0 && errno == EINVAL) /* before Linux 6.3: no such flag, every memfd executable */
		fd = create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (fd < 0)
		return refused(index, -errno, err);
	if (ftruncate(fd, (off_t)size) < 0)
		return error_sys(err, -errno,
				 "guest RAM region %u: cannot make a memfd of %llu MiB", index,
				 size / MIB);
	if (fcntl(fd, F_ADD_SEALS, SEALS_SIZE) < 0)
		return error_sys(err, -errno, "guest RAM region %u: cannot seal the memfd's size",
				 index);

	/* F_SEAL_EXEC would come back from LUO as a write seal: find out now, not after the kexec.
	 */
	seals = fcntl(fd, F_GET_SEALS);
	if (seals < 0)
		return error_sys(err, -errno, "guest RAM region %u: cannot read the memfd's seals",
				 index);
	if (seals != SEALS_SIZE)
		return error_set(
			err, -EPERM,
			"guest RAM region %u: this host gives memfds with seals 0x%x (asked "
			"for 0x%x), and such memory is not writable after a live update; set "
			"vm.memfd_noexec=0",
			index, (unsigned int)seals, (unsigned int)SEALS_SIZE);
	*ret = steal_fd(&fd);
	return 0;
}

int ram_fd_check(int fd, unsigned int index, uint64_t size, struct error *err)
{
	struct stat st;
	int seals;

	if (fstat(fd, &st) < 0)
		return error_sys(err, -errno, "guest RAM region %u: cannot look at its memfd",
				 index);
	seals = fcntl(fd, F_GET_SEALS);
	if (!S_ISREG(st.st_mode) || seals < 0)
		return error_set(
			err, -EBADF,
			"guest RAM region %u: the descriptor that came back is no memfd; the "
			"session holds something else under the token of this region",
			index);
	if ((uint64_t)st.st_size != size)
		return error_set(err, -EINVAL,
				 "guest RAM region %u: the memfd that came back has %" PRIu64
				 " bytes, the guest's configuration asks for %" PRIu64
				 "; resume with the configuration that the guest was saved with",
				 index, (uint64_t)st.st_size, size);
	if (seals & SEALS_WRITE)
		return error_set(err, -EPERM,
				 "guest RAM region %u: the memfd came back sealed against writing "
				 "(seals 0x%x), as happens to memory made without MFD_EXEC: this "
				 "guest cannot go on and must be started anew",
				 index, (unsigned int)seals);
	if ((seals & SEALS_SIZE) != SEALS_SIZE && fcntl(fd, F_ADD_SEALS, SEALS_SIZE) < 0)
		return error_sys(
			err, -errno,
			"guest RAM region %u: the memfd came back without its size seals and "
			"does not take them again",
			index);
	return 0;
}
