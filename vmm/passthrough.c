/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/passthrough.h"

#include "base/log.h"
#include "base/util.h"
#include "vmm/guest_memory_hold.h"
#include "vmm/passthrough_preserve.h"

struct space {
	struct iommufd *io; /* owned; NULL while there is no device */
	unsigned int devices;
	bool by_file;
	/* Owned; from when RAM is mapped until the first device is attached, which pins it. */
	struct ram_hold *hold;
};

struct passthrough {
	struct guest_ram *ram;
	struct space spaces[PASSTHROUGH_SPACES];
	const struct kept_devices *kept; /* borrowed; NULL: nothing came back */
};

struct passthrough *passthrough_new(struct guest_ram *ram)
{
	struct passthrough *p = calloc(1, sizeof(*p));

	if (p)
		p->ram = ram;
	return p;
}

static void close_space(struct space *s)
{
	iommufd_free(STEAL_PTR(s->io));
	ram_hold_free(STEAL_PTR(s->hold));
}

void passthrough_free(struct passthrough *p)
{
	if (!p)
		return;
	for (unsigned int i = 0; i < PASSTHROUGH_SPACES; i++)
		close_space(&p->spaces[i]);
	free(p);
}

static int map_region(struct space *s, const struct guest_memory_region *region, struct error *err)
{
	const struct iommufd_memory memory = {
		.fd = region->fd, .length = region->size, .address = region->hva};

	return iommufd_map(s->io, &memory, region->gpa, &s->by_file, err);
}

static int map_ram(struct passthrough *p, struct space *s, struct error *err)
{
	unsigned int count = guest_ram_region_count(p->ram);
	int r = ram_hold_new(guest_ram_region(p->ram, 0), count, &s->hold, err);

	s->by_file = true;
	for (unsigned int i = 0; r == 0 && i < count; i++)
		r = map_region(s, guest_ram_region(p->ram, i), err);
	if (r < 0)
		return r;
	if (!s->by_file)
		log_warning(
			"guest memory is mapped for DMA by address: this kernel cannot map files "
			"(Linux 6.14 can); such a mapping can never be preserved");
	return 0;
}

/* From those before that space. */
static void unmap_region(struct passthrough *p, unsigned int before,
			 const struct guest_memory_region *region)
{
	for (unsigned int i = 0; i < before; i++) {
		if (p->spaces[i].io)
			iommufd_unmap(p->spaces[i].io, region->gpa, region->size, NULL);
	}
}

int passthrough_add_ram(struct passthrough *p, const struct guest_memory_region *region,
			struct error *err)
{
	struct ram_hold *hold = NULL;
	bool wanted = false;
	int r = 0;

	for (unsigned int i = 0; i < PASSTHROUGH_SPACES; i++)
		wanted |= p->spaces[i].io != NULL;
	/* What is mapped is pinned, all of it now: a kernel that has not so much ends processes to
	 * get it. */
	if (wanted)
		r = ram_check_host(region, 1,
				   "all guest memory must be there while a device is passed "
				   "through",
				   err);
	if (wanted && r == 0)
		r = ram_hold_new(region, 1, &hold, err);
	for (unsigned int i = 0; r == 0 && i < PASSTHROUGH_SPACES; i++) {
		if (!p->spaces[i].io)
			continue;
		r = map_region(&p->spaces[i], region, err);
		if (r < 0)
			unmap_region(p, i, region);
	}
	ram_hold_free(hold);
	return r < 0 ? error_prefix(err, "memory for devices of the host: "), r : 0;
}

void passthrough_remove_ram(struct passthrough *p, const struct guest_memory_region *region)
{
	unmap_region(p, PASSTHROUGH_SPACES, region);
}

static int open_space(struct passthrough *p, enum passthrough_space space, struct error *err)
{
	const struct kept_space *kept = p->kept ? &p->kept->spaces[space] : NULL;
	struct space *s = &p->spaces[space];
	bool mapped = false;
	int r;

	if (kept && kept->iommufd >= 0)
		r = iommufd_adopt(kept->iommufd, kept->ioas, &s->io, &mapped, err);
	else
		r = iommufd_open(IOMMUFD_DEVICE, &s->io, err);
	s->by_file = mapped;
	return r < 0 || mapped ? r : map_ram(p, s, err);
}

int passthrough_get(struct passthrough *p, enum passthrough_space space, struct iommufd **ret,
		    struct error *err)
{
	struct space *s = &p->spaces[space];
	int r = s->devices == 0 ? open_space(p, space, err) : 0;

	if (r < 0) {
		close_space(s);
		return r;
	}
	s->devices++;
	*ret = s->io;
	return 0;
}

void passthrough_attached(struct passthrough *p, enum passthrough_space space)
{
	ram_hold_free(STEAL_PTR(p->spaces[space].hold));
}

void passthrough_put(struct passthrough *p, enum passthrough_space space)
{
	struct space *s = &p->spaces[space];

	if (--s->devices == 0)
		close_space(s);
}

void passthrough_adopt(struct passthrough *p, const struct kept_devices *kept)
{
	p->kept = kept;
}

struct iommufd *passthrough_iommufd(const struct passthrough *p, enum passthrough_space space)
{
	return p->spaces[space].io;
}

bool passthrough_is_by_file(const struct passthrough *p, enum passthrough_space space)
{
	return p->spaces[space].by_file;
}
