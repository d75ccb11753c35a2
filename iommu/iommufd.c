/* SPDX-License-Identifier: Apache-2.0 */
#include "iommu/iommufd.h"

#include <fcntl.h>
#include <linux/iommufd.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/resource.h>

#include "base/util.h"

/* A host with more pieces than that gets a second look with room for all. */
#define RANGES_FIRST 32U

struct iommufd {
	int fd; /* owned */
	uint32_t ioas;
	bool no_files; /* the kernel cannot map files */
};

static int call(const struct iommufd *io, unsigned long request, void *arg)
{
	int r;

	do
		r = ioctl(io->fd, request, arg);
	while (r < 0 && errno == EINTR);
	return r < 0 ? -errno : 0;
}

static int open_failed(const char *path, int code, struct error *err)
{
	if (code == -ENOENT || code == -ENODEV || code == -ENXIO)
		return error_set(err, code,
				 "%s is not there: passthrough needs a kernel with CONFIG_IOMMUFD "
				 "(and, if that is a module, modprobe iommufd)",
				 path);
	if (code == -EACCES || code == -EPERM)
		return error_set(err, code,
				 "%s cannot be opened by this user: run as root, or change its "
				 "owner or group",
				 path);
	return error_sys(err, code, "cannot open %s", path);
}

static int make_ioas(struct iommufd *io, const char *name, struct error *err)
{
	struct iommu_ioas_alloc alloc = {.size = sizeof(alloc)};
	int r = call(io, IOMMU_IOAS_ALLOC, &alloc);

	if (r < 0)
		return error_sys(err, r, "%s: cannot make an address space (IOMMU_IOAS_ALLOC)",
				 name);
	io->ioas = alloc.out_ioas_id;
	return 0;
}

int iommufd_open(const char *path, struct iommufd **ret, struct error *err)
{
	struct iommufd *io = calloc(1, sizeof(*io));
	int r;

	if (!io)
		return error_set(err, -ENOMEM, "iommufd: out of memory");
	io->fd = open(path, O_RDWR | O_CLOEXEC);
	if (io->fd < 0) {
		r = open_failed(path, -errno, err);
		free(io);
		return r;
	}
	r = make_ioas(io, path, err);
	if (r < 0) {
		iommufd_free(io);
		return r;
	}
	*ret = io;
	return 0;
}

/* Too little room for the answer is an answer, too. */
static bool has_ioas(struct iommufd *io, uint32_t ioas)
{
	struct iommu_ioas_iova_ranges ask = {.size = sizeof(ask), .ioas_id = ioas};
	int r = ioas ? call(io, IOMMU_IOAS_IOVA_RANGES, &ask) : -ENOENT;

	return r == 0 || r == -EMSGSIZE;
}

int iommufd_adopt(int fd, uint32_t ioas, struct iommufd **ret, bool *ret_mapped, struct error *err)
{
	struct iommufd *io = calloc(1, sizeof(*io));
	int r = 0;

	if (!io)
		return error_set(err, -ENOMEM, "iommufd: out of memory");
	io->fd = fcntl(fd, F_DUPFD_CLOEXEC, 3);
	if (io->fd < 0)
		r = error_sys(err, -errno, "the iommufd that came back cannot be used");
	*ret_mapped = r == 0 && has_ioas(io, ioas);
	if (*ret_mapped)
		io->ioas = ioas;
	else if (r == 0)
		r = make_ioas(io, "the iommufd that came back", err);
	if (r < 0) {
		iommufd_free(io);
		return r;
	}
	*ret = io;
	return 0;
}

void iommufd_free(struct iommufd *io)
{
	if (!io)
		return;
	close_fdp(&io->fd);
	free(io);
}

int iommufd_fd(const struct iommufd *io)
{
	return io->fd;
}

uint32_t iommufd_ioas(const struct iommufd *io)
{
	return io->ioas;
}

static int map_file(struct iommufd *io, const struct iommufd_memory *m, uint64_t iova)
{
	struct iommu_ioas_map_file map = {
		.size = sizeof(map),
		.flags = IOMMU_IOAS_MAP_FIXED_IOVA | IOMMU_IOAS_MAP_WRITEABLE |
			 IOMMU_IOAS_MAP_READABLE,
		.ioas_id = io->ioas,
		.fd = m->fd,
		.start = m->offset,
		.length = m->length,
		.iova = iova,
	};

	return call(io, IOMMU_IOAS_MAP_FILE, &map);
}

int iommufd_map_device(struct iommufd *io, int fd, uint64_t length, uint64_t iova)
{
	const struct iommufd_memory memory = {.fd = fd, .length = length};

	return map_file(io, &memory, iova);
}

static int map_address(struct iommufd *io, const struct iommufd_memory *m, uint64_t iova)
{
	struct iommu_ioas_map map = {
		.size = sizeof(map),
		.flags = IOMMU_IOAS_MAP_FIXED_IOVA | IOMMU_IOAS_MAP_WRITEABLE |
			 IOMMU_IOAS_MAP_READABLE,
		.ioas_id = io->ioas,
		.user_va = (uintptr_t)m->address,
		.length = m->length,
		.iova = iova,
	};

	return call(io, IOMMU_IOAS_MAP, &map);
}

void iommufd_say_no_memory(struct error *err)
{
	struct rlimit limit = {0};

	if (getrlimit(RLIMIT_MEMLOCK, &limit) == 0 && limit.rlim_cur < RLIM_INFINITY)
		error_append(err,
			     "; guest memory is pinned while a device is passed through, and this "
			     "process may lock %llu KiB: raise the limit (ulimit -l, "
			     "LimitMEMLOCK=), or free memory",
			     (unsigned long long)limit.rlim_cur / KIB);
	else
		error_append(err, "; all guest memory must be there while a device is passed "
				  "through: free some on this host");
}

static int map_failed(const struct iommufd_memory *m, uint64_t iova, int code, struct error *err)
{
	error_sys(err, code, "cannot map %llu MiB for DMA at 0x%llx",
		  (unsigned long long)(m->length / MIB), (unsigned long long)iova);
	if (code == -ENOMEM)
		iommufd_say_no_memory(err);
	return code;
}

int iommufd_map(struct iommufd *io, const struct iommufd_memory *m, uint64_t iova,
		bool *ret_by_file, struct error *err)
{
	int r = iommufd_check_range(io, iova, m->length, err);

	if (r < 0)
		return r;
	r = io->no_files ? -ENOTTY : map_file(io, m, iova);
	if (r == -ENOTTY || r == -EOPNOTSUPP) {
		io->no_files = true;
		r = map_address(io, m, iova);
	}
	*ret_by_file = !io->no_files;
	return r < 0 ? map_failed(m, iova, r, err) : 0;
}

int iommufd_unmap(struct iommufd *io, uint64_t iova, uint64_t length, struct error *err)
{
	struct iommu_ioas_unmap unmap = {
		.size = sizeof(unmap), .ioas_id = io->ioas, .iova = iova, .length = length};
	int r = call(io, IOMMU_IOAS_UNMAP, &unmap);

	if (r < 0)
		return error_sys(err, r, "cannot unmap 0x%llx bytes at 0x%llx (IOMMU_IOAS_UNMAP)",
				 (unsigned long long)length, (unsigned long long)iova);
	return 0;
}

/* All ranges; the caller frees them. -EMSGSIZE tells how many there are. */
static int read_ranges(struct iommufd *io, struct iommu_iova_range **ret, uint32_t *ret_count,
		       struct error *err)
{
	struct iommu_ioas_iova_ranges ask = {.size = sizeof(ask), .ioas_id = io->ioas};
	uint32_t room = RANGES_FIRST;
	int r;

	for (int turn = 0; turn < 2; turn++) {
		struct iommu_iova_range *ranges = calloc(room, sizeof(*ranges));

		if (!ranges)
			return error_set(err, -ENOMEM, "iommufd: out of memory");
		ask.num_iovas = room;
		ask.allowed_iovas = (uintptr_t)ranges;
		r = call(io, IOMMU_IOAS_IOVA_RANGES, &ask);
		if (r == 0) {
			*ret = ranges;
			*ret_count = MIN_OF(ask.num_iovas, room);
			return 0;
		}
		free(ranges);
		if (r != -EMSGSIZE)
			break;
		room = ask.num_iovas;
	}
	return error_sys(err, r,
			 "cannot read which addresses devices may use "
			 "(IOMMU_IOAS_IOVA_RANGES)");
}

int iommufd_check_range(struct iommufd *io, uint64_t iova, uint64_t length, struct error *err)
{
	_cleanup_free_ struct iommu_iova_range *ranges = NULL;
	uint64_t last = iova + length - 1;
	uint64_t below = 0, above = 0;
	uint32_t count = 0;
	int r;

	if (length == 0 || last < iova)
		return error_set(err, -EINVAL, "0x%llx bytes at 0x%llx are no range of addresses",
				 (unsigned long long)length, (unsigned long long)iova);
	r = read_ranges(io, &ranges, &count, err);
	if (r < 0)
		return r;
	for (uint32_t i = 0; i < count; i++) {
		if (iova >= ranges[i].start && last <= ranges[i].last)
			return 0;
		if (ranges[i].start <= iova)
			below = ranges[i].last;
		else if (!above)
			above = ranges[i].start;
	}
	return error_set(err, -ERANGE,
			 "guest memory at 0x%llx to 0x%llx cannot be reached by DMA: the host's "
			 "IOMMU or a device reserves addresses there (usable: up to 0x%llx, again "
			 "from 0x%llx); give the VM less memory, or another device",
			 (unsigned long long)iova, (unsigned long long)last,
			 (unsigned long long)below, (unsigned long long)above);
}
