/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/passthrough.h"

#include "base/log.h"
#include "base/util.h"
#include "vmm/passthrough_preserve.h"

struct passthrough {
	struct guest_ram *ram;
	struct iommufd *io; /* owned; NULL while there is no device */
	unsigned int devices;
	bool by_file;
	const struct kept_devices *kept; /* borrowed; NULL: nothing came back */
};

struct passthrough *passthrough_new(struct guest_ram *ram)
{
	struct passthrough *p = calloc(1, sizeof(*p));

	if (p)
		p->ram = ram;
	return p;
}

void passthrough_free(struct passthrough *p)
{
	if (!p)
		return;
	iommufd_free(p->io);
	free(p);
}

static int map_ram(struct passthrough *p, struct error *err)
{
	p->by_file = true;
	for (unsigned int i = 0; i < guest_ram_region_count(p->ram); i++) {
		const struct guest_memory_region *region = guest_ram_region(p->ram, i);
		const struct iommufd_memory memory = {
			.fd = region->fd, .length = region->size, .address = region->hva};
		int r = iommufd_map(p->io, &memory, region->gpa, &p->by_file, err);

		if (r < 0)
			return r;
	}
	if (!p->by_file)
		log_warning(
			"guest memory is mapped for DMA by address: this kernel cannot map files "
			"(Linux 6.14 can); such a mapping can never be preserved");
	return 0;
}

static int open_iommufd(struct passthrough *p, struct error *err)
{
	bool mapped = false;
	int r;

	if (p->kept && p->kept->iommufd >= 0)
		r = iommufd_adopt(p->kept->iommufd, p->kept->ioas, &p->io, &mapped, err);
	else
		r = iommufd_open(IOMMUFD_DEVICE, &p->io, err);
	p->by_file = mapped;
	return r < 0 || mapped ? r : map_ram(p, err);
}

int passthrough_get(struct passthrough *p, struct iommufd **ret, struct error *err)
{
	int r = 0;

	if (p->devices == 0)
		r = open_iommufd(p, err);
	if (r < 0) {
		iommufd_free(p->io);
		p->io = NULL;
		return r;
	}
	p->devices++;
	*ret = p->io;
	return 0;
}

void passthrough_put(struct passthrough *p)
{
	if (--p->devices > 0)
		return;
	iommufd_free(p->io);
	p->io = NULL;
}

void passthrough_adopt(struct passthrough *p, const struct kept_devices *kept)
{
	p->kept = kept;
}

struct iommufd *passthrough_iommufd(const struct passthrough *p)
{
	return p->io;
}

bool passthrough_is_by_file(const struct passthrough *p)
{
	return p->by_file;
}
