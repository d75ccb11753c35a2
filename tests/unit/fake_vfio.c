/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/fake_vfio.h"

#include <fcntl.h>
#include <linux/iommufd.h>
#include <linux/vfio.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "base/util.h"

struct fake_vfio fake_vfio;

static void path_of(char path[256], const char *name)
{
	snprintf(path, 256, "%s%s", fake_vfio.root, name);
}

void fake_vfio_folder(const char *name)
{
	char path[256];

	path_of(path, name);
	for (char *slash = strchr(path + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
		*slash = '\0';
		mkdir(path, 0700);
		*slash = '/';
	}
	mkdir(path, 0700);
}

void fake_vfio_link(const char *name, const char *target)
{
	char path[256];

	path_of(path, name);
	if (symlink(target, path) < 0)
		abort();
}

void fake_vfio_remove(const char *name)
{
	char path[256];

	path_of(path, name);
	if (remove(path) < 0)
		abort();
}

static void make_tree(void)
{
	char path[256];

	snprintf(fake_vfio.root, sizeof(fake_vfio.root), "/tmp/fake-vfio-XXXXXX");
	if (!mkdtemp(fake_vfio.root))
		abort();
	fake_vfio_folder("/sys/kernel/iommu_groups/7/devices/" FAKE_VFIO_ADDRESS);
	fake_vfio_folder("/sys/bus/pci/devices/" FAKE_VFIO_ADDRESS "/vfio-dev/vfio0");
	fake_vfio_link("/sys/bus/pci/devices/" FAKE_VFIO_ADDRESS "/iommu_group",
		       "../../../../kernel/iommu_groups/7");
	fake_vfio_link("/sys/bus/pci/devices/" FAKE_VFIO_ADDRESS "/driver",
		       "../../drivers/vfio-pci");
	fake_vfio_folder("/dev/vfio/devices");
	path_of(path, "/dev/vfio/devices/vfio0");
	fake_vfio.fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (fake_vfio.fd < 0 || ftruncate(fake_vfio.fd, (off_t)FAKE_VFIO_OFFSET(9)) < 0)
		abort();
}

void fake_vfio_begin(void)
{
	make_tree();
	fake_vfio_again();
}

void fake_vfio_again(void)
{
	static const uint8_t nothing[4096];
	struct fake_vfio fresh = {.fd = fake_vfio.fd, .unmask_fd = -1};

	fresh.migration.state = VFIO_DEVICE_STATE_RUNNING;
	fresh.migration.fd = FD_NONE;

	memcpy(fresh.root, fake_vfio.root, sizeof(fresh.root));
	fake_vfio = fresh;
	memset(fake_vfio.vectors, 0xff, sizeof(fake_vfio.vectors));
	if (pwrite(fake_vfio.fd, nothing, sizeof(nothing),
		   (off_t)FAKE_VFIO_OFFSET(VFIO_PCI_CONFIG_REGION_INDEX)) != sizeof(nothing))
		abort();
	fake_vfio.regions[0].size = 1 << 20;
	fake_vfio.regions[0].mappable = true;
	fake_vfio.regions[VFIO_PCI_CONFIG_REGION_INDEX].size = 4096;
	fake_vfio.irqs[VFIO_PCI_INTX_IRQ_INDEX] = 1;
	fake_vfio.irqs[VFIO_PCI_MSI_IRQ_INDEX] = 1;
	fake_vfio.irqs[VFIO_PCI_REQ_IRQ_INDEX] = 1;
	/* Vendor and device, class "unclassified", INTA, and MSI with 64-bit addresses at 0x40. */
	fake_vfio_config_put(0x00, 0x11e81234, 4);
	fake_vfio_config_put(0x06, 0x0010, 2);
	fake_vfio_config_put(0x08, 0x00ff0010, 4);
	fake_vfio_config_put(0x34, 0x40, 1);
	fake_vfio_config_put(0x3d, 1, 1);
	fake_vfio_config_put(0x40, 0x00800005, 4);
}

void fake_vfio_end(void)
{
	char command[128];

	close_fdp(&fake_vfio.migration.fd);

	close_fdp(&fake_vfio.fd);
	snprintf(command, sizeof(command), "rm -rf %s", fake_vfio.root);
	if (strncmp(fake_vfio.root, "/tmp/fake-vfio-", 15) != 0 || system(command) != 0)
		abort();
}

void fake_vfio_config_put(unsigned int offset, uint32_t value, unsigned int size)
{
	off_t at = (off_t)(FAKE_VFIO_OFFSET(VFIO_PCI_CONFIG_REGION_INDEX) + offset);

	if (pwrite(fake_vfio.fd, &value, size, at) != (ssize_t)size)
		abort();
}

uint32_t fake_vfio_config_get(unsigned int offset, unsigned int size)
{
	off_t at = (off_t)(FAKE_VFIO_OFFSET(VFIO_PCI_CONFIG_REGION_INDEX) + offset);
	uint32_t value = 0;

	if (pread(fake_vfio.fd, &value, size, at) != (ssize_t)size)
		abort();
	return value;
}

static int get_region(struct vfio_region_info *info)
{
	struct vfio_region_info_cap_sparse_mmap *sparse = (void *)(info + 1);
	unsigned int areas;
	size_t need;

	if (info->index >= ARRAY_SIZE(fake_vfio.regions))
		return -EINVAL;
	areas = fake_vfio.regions[info->index].areas;
	need = sizeof(*info) + (areas ? sizeof(*sparse) + areas * sizeof(sparse->areas[0]) : 0);
	info->size = fake_vfio.regions[info->index].size;
	info->offset = FAKE_VFIO_OFFSET(info->index);
	info->flags = VFIO_REGION_INFO_FLAG_READ | VFIO_REGION_INFO_FLAG_WRITE;
	if (fake_vfio.regions[info->index].mappable)
		info->flags |= VFIO_REGION_INFO_FLAG_MMAP;
	if (areas)
		info->flags |= VFIO_REGION_INFO_FLAG_CAPS;
	if (areas && info->argsz >= need) {
		info->cap_offset = sizeof(*info);
		sparse->header.id = VFIO_REGION_INFO_CAP_SPARSE_MMAP;
		sparse->header.version = 1;
		sparse->header.next = 0;
		sparse->nr_areas = areas;
		for (unsigned int i = 0; i < areas; i++) {
			sparse->areas[i].offset = fake_vfio.regions[info->index].area[i].offset;
			sparse->areas[i].size = fake_vfio.regions[info->index].area[i].size;
		}
	}
	info->argsz = (uint32_t)need;
	return 0;
}

static int get_irq(struct vfio_irq_info *info)
{
	if (info->index >= ARRAY_SIZE(fake_vfio.irqs))
		return -EINVAL;
	info->count = fake_vfio.irqs[info->index];
	info->flags = VFIO_IRQ_INFO_EVENTFD;
	if (fake_vfio.no_resize || info->index != VFIO_PCI_MSIX_IRQ_INDEX)
		info->flags |= VFIO_IRQ_INFO_NORESIZE;
	return 0;
}

static bool is_on(uint32_t index)
{
	for (unsigned int i = 0; i < FAKE_VFIO_VECTORS; i++) {
		if (fake_vfio.vectors[index][i] >= 0)
			return true;
	}
	return false;
}

static int set_irqs(const struct vfio_irq_set *set)
{
	const int32_t *fds = (const void *)set->data;

	if (set->index >= ARRAY_SIZE(fake_vfio.irqs))
		return -EINVAL;
	if (set->flags & VFIO_IRQ_SET_ACTION_UNMASK) {
		fake_vfio.unmask_fd = fds[0];
		return 0;
	}
	if (set->flags & VFIO_IRQ_SET_DATA_NONE) {
		memset(fake_vfio.vectors[set->index], 0xff, sizeof(fake_vfio.vectors[0]));
		return 0;
	}
	if (set->start + set->count > fake_vfio.irqs[set->index])
		return -EINVAL;
	/* INTx, MSI and MSI-X: one at a time. */
	for (uint32_t other = 0; other <= VFIO_PCI_MSIX_IRQ_INDEX; other++) {
		if (set->index <= VFIO_PCI_MSIX_IRQ_INDEX && other != set->index && is_on(other))
			return -EINVAL;
	}
	if (!is_on(set->index))
		fake_vfio.enables[set->index]++;
	memcpy(&fake_vfio.vectors[set->index][set->start], fds, set->count * sizeof(*fds));
	return 0;
}

static int get_ranges(struct iommu_ioas_iova_ranges *ask)
{
	struct iommu_iova_range *out = (void *)(uintptr_t)ask->allowed_iovas;
	uint32_t room = ask->num_iovas, count = MAX_OF(fake_vfio.range_count, 1U);

	for (uint32_t i = 0; i < MIN_OF(room, count); i++)
		out[i] = fake_vfio.range_count
				 ? (struct iommu_iova_range){fake_vfio.ranges[i].start,
							     fake_vfio.ranges[i].last}
				 : (struct iommu_iova_range){0, (1ULL << 39) - 1};
	ask->num_iovas = count;
	return room < count ? -EMSGSIZE : 0;
}

static int map(uint64_t iova, uint64_t length, unsigned int *counter)
{
	(*counter)++;
	fake_vfio.last_iova = iova;
	fake_vfio.last_length = length;
	return 0;
}

static int transfer(bool out)
{
	int fd = memfd_create("migration", MFD_CLOEXEC);

	if (fd < 0)
		abort();
	if (out && pwrite(fd, fake_vfio.migration.data, fake_vfio.migration.size, 0) !=
			   (ssize_t)fake_vfio.migration.size)
		abort();
	close_fdp(&fake_vfio.migration.fd);
	fake_vfio.migration.fd = fd;
	return fcntl(fd, F_DUPFD_CLOEXEC, 3);
}

static int set_migration(struct vfio_device_feature_mig_state *s)
{
	size_t n = strlen(fake_vfio.migration.states);

	if (!fake_vfio.migration.offered)
		return -ENOTTY;
	if (s->device_state == fake_vfio.migration.refuses)
		return -EINVAL;
	if (fake_vfio.migration.state == VFIO_DEVICE_STATE_RESUMING &&
	    pread(fake_vfio.migration.fd, fake_vfio.migration.taken,
		  sizeof(fake_vfio.migration.taken), 0) < 0)
		abort();
	s->data_fd = -1;
	if (s->device_state == VFIO_DEVICE_STATE_STOP_COPY ||
	    s->device_state == VFIO_DEVICE_STATE_RESUMING)
		s->data_fd = transfer(s->device_state == VFIO_DEVICE_STATE_STOP_COPY);
	fake_vfio.migration.state = s->device_state;
	if (n + 1 < sizeof(fake_vfio.migration.states))
		fake_vfio.migration.states[n] = (char)('0' + s->device_state);
	return 0;
}

static int feature(struct vfio_device_feature *f)
{
	void *data = f->data;

	switch (f->flags) {
	case VFIO_DEVICE_FEATURE_GET | VFIO_DEVICE_FEATURE_MIGRATION:
		if (!fake_vfio.migration.offered)
			return -ENOTTY;
		((struct vfio_device_feature_migration *)data)->flags = VFIO_MIGRATION_STOP_COPY;
		return 0;
	case VFIO_DEVICE_FEATURE_GET | VFIO_DEVICE_FEATURE_MIG_DATA_SIZE:
		if (!fake_vfio.migration.said)
			return -ENOTTY;
		((struct vfio_device_feature_mig_data_size *)data)->stop_copy_length =
			fake_vfio.migration.said;
		return 0;
	case VFIO_DEVICE_FEATURE_GET | VFIO_DEVICE_FEATURE_DMA_BUF:
		if (!fake_vfio.gives_dmabufs)
			return -ENOTTY;
		fake_vfio.dmabufs++;
		return fcntl(fake_vfio.fd, F_DUPFD_CLOEXEC, 3);
	case VFIO_DEVICE_FEATURE_SET | VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE:
		return set_migration(data);
	default:
		return -ENOTTY;
	}
}

static int answer(unsigned long request, void *arg)
{
	if (request == IOMMU_IOAS_ALLOC) {
		((struct iommu_ioas_alloc *)arg)->out_ioas_id = 5;
	} else if (request == IOMMU_IOAS_IOVA_RANGES) {
		return get_ranges(arg);
	} else if (request == IOMMU_IOAS_MAP_FILE) {
		struct iommu_ioas_map_file *m = arg;

		return map(m->iova, m->length, &fake_vfio.maps_by_file);
	} else if (request == IOMMU_IOAS_MAP) {
		struct iommu_ioas_map *m = arg;

		return map(m->iova, m->length, &fake_vfio.maps_by_address);
	} else if (request == IOMMU_IOAS_UNMAP) {
		fake_vfio.unmaps++;
	} else if (request == VFIO_DEVICE_BIND_IOMMUFD) {
		fake_vfio.bound = true;
		((struct vfio_device_bind_iommufd *)arg)->out_devid = FAKE_VFIO_DEVICE_ID;
	} else if (request == VFIO_DEVICE_ATTACH_IOMMUFD_PT) {
		fake_vfio.attached = ((struct vfio_device_attach_iommufd_pt *)arg)->pt_id == 5;
	} else if (request == VFIO_DEVICE_DETACH_IOMMUFD_PT) {
		fake_vfio.attached = false;
	} else if (request == VFIO_DEVICE_GET_INFO) {
		struct vfio_device_info *info = arg;

		info->flags =
			VFIO_DEVICE_FLAGS_PCI | (fake_vfio.can_reset ? VFIO_DEVICE_FLAGS_RESET : 0);
		info->num_regions = 9;
		info->num_irqs = 5;
	} else if (request == VFIO_DEVICE_GET_REGION_INFO) {
		return get_region(arg);
	} else if (request == VFIO_DEVICE_GET_IRQ_INFO) {
		return get_irq(arg);
	} else if (request == VFIO_DEVICE_SET_IRQS) {
		return set_irqs(arg);
	} else if (request == VFIO_DEVICE_RESET) {
		fake_vfio.resets++;
	} else if (request == VFIO_DEVICE_FEATURE) {
		return feature(arg);
	} else if (request == IOMMU_GET_HW_INFO) {
		struct iommu_hw_info *info = arg;

		if (info->dev_id != FAKE_VFIO_DEVICE_ID)
			return -ENOENT;
		info->out_capabilities = fake_vfio.tracks_dirty ? IOMMU_HW_CAP_DIRTY_TRACKING : 0;
	} else {
		return -ENOTTY;
	}
	return 0;
}

/* Switching interrupts off cannot fail. */
static bool can_fail(unsigned long request, const struct vfio_irq_set *set)
{
	if (fake_vfio.fails.after > 0) {
		fake_vfio.fails.after--;
		return false;
	}
	return request != VFIO_DEVICE_SET_IRQS || !(set->flags & VFIO_IRQ_SET_DATA_NONE);
}

int __wrap_ioctl(int fd, unsigned long request, ...);
int __wrap_ioctl(int fd _unused_, unsigned long request, ...)
{
	va_list ap;
	void *arg;
	int r;

	va_start(ap, request);
	arg = va_arg(ap, void *);
	va_end(ap);
	r = fake_vfio.fails.request == request && can_fail(request, arg) ? -fake_vfio.fails.code
									 : answer(request, arg);
	if (r < 0)
		errno = -r;
	return r < 0 ? -1 : r;
}
