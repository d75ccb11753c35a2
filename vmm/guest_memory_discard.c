/* SPDX-License-Identifier: Apache-2.0 */
/* Guest RAM that goes back to the host. */
#include <fcntl.h>

#include "base/util.h"
#include "vmm/guest_memory.h"

/*
 * A hole in the file takes the pages out of every mapping of it, KVM's included, and frees them;
 * madvise() would only take them out of ours, or ask for the same by way of a mapping.
 */
static int punch(int fd, uint64_t offset, uint64_t len)
{
	int r;

	do {
		r = fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)offset,
			      (off_t)len);
	} while (r < 0 && errno == EINTR);
	return r < 0 ? -errno : 0;
}

int guest_ram_discard(const struct guest_ram *ram, uint64_t gpa, uint64_t len)
{
	uint64_t end = gpa + len;

	if (gpa % GUEST_DISCARD_PAGE || len % GUEST_DISCARD_PAGE || len == 0)
		return -EINVAL;
	if (!guest_ram_ptr(ram, gpa, len))
		return -EFAULT;
	/* One piece may lie in several memfds. */
	for (unsigned int i = 0; i < guest_ram_region_count(ram); i++) {
		const struct guest_memory_region *region = guest_ram_region(ram, i);
		uint64_t from = MAX_OF(gpa, region->gpa);
		uint64_t to = MIN_OF(end, region->gpa + region->size);
		int r;

		if (from >= to)
			continue;
		r = punch(region->fd, from - region->gpa, to - from);
		if (r < 0)
			return r;
	}
	return 0;
}

static int discard(void *opaque, uint64_t gpa, uint64_t len)
{
	return guest_ram_discard(opaque, gpa, len);
}

struct guest_discard guest_ram_discarder(struct guest_ram *ram)
{
	return (struct guest_discard){.discard = discard, .opaque = ram};
}
