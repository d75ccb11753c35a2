/* SPDX-License-Identifier: Apache-2.0 */
/* BARs and configuration space: by calls, and as memory where the device allows it. */
#include <assert.h>
#include <endian.h>
#include <fcntl.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

#include "base/util.h"
#include "iommu/vfio_impl.h"

#define PAGE 4096ULL

static_assert(VFIO_CONFIG_SPACE == VFIO_PCI_CONFIG_REGION_INDEX && VFIO_BARS == 6 &&
		      VFIO_ROM == VFIO_PCI_ROM_REGION_INDEX && VFIO_PCI_BAR5_REGION_INDEX == 5,
	      "linux/vfio.h numbers regions otherwise");

/* The information with its capabilities behind it, or NULL. The caller frees it. */
static struct vfio_region_info *region_info(const struct vfio_device *dev, uint32_t index)
{
	struct vfio_region_info head = {.argsz = sizeof(head), .index = index};
	struct vfio_region_info *info;
	size_t size;

	if (vfio_call(dev, VFIO_DEVICE_GET_REGION_INFO, &head) < 0)
		return NULL;
	size = MAX_OF(head.argsz, sizeof(head));
	info = calloc(1, size);
	if (!info)
		return NULL;
	info->argsz = (uint32_t)size;
	info->index = index;
	if (vfio_call(dev, VFIO_DEVICE_GET_REGION_INFO, info) < 0 || info->argsz > size) {
		free(info);
		return NULL;
	}
	return info;
}

/* A capability of a region by its id, with room for at least `need` bytes, or NULL. */
static const void *region_cap(const struct vfio_region_info *info, uint16_t id, size_t need)
{
	uint32_t offset = info->flags & VFIO_REGION_INFO_FLAG_CAPS ? info->cap_offset : 0;

	while (offset >= sizeof(*info) &&
	       offset + sizeof(struct vfio_info_cap_header) <= info->argsz) {
		const struct vfio_info_cap_header *cap =
			(const void *)((const uint8_t *)info + offset);

		if (cap->id == id)
			return info->argsz - offset >= need ? cap : NULL;
		/* Only forward: else a loop. */
		if (cap->next <= offset)
			return NULL;
		offset = cap->next;
	}
	return NULL;
}

static void add_window(struct vfio_bar *bar, uint64_t offset, uint64_t end)
{
	offset = ALIGN_UP(offset, PAGE);
	end = ALIGN_DOWN(MIN_OF(end, bar->size), PAGE);
	if (offset >= end || bar->window_count == VFIO_WINDOWS_MAX)
		return;
	bar->windows[bar->window_count++] =
		(struct vfio_window){.offset = offset, .size = end - offset};
}

/* What of a BAR may be mapped: all of it, or the pieces that the driver names. */
static void read_windows(struct vfio_device *dev, const struct vfio_region_info *info)
{
	struct vfio_bar *bar = &dev->bars[info->index];
	const struct vfio_region_info_cap_sparse_mmap *sparse =
		region_cap(info, VFIO_REGION_INFO_CAP_SPARSE_MMAP, sizeof(*sparse));
	size_t room;

	if (!(info->flags & VFIO_REGION_INFO_FLAG_MMAP))
		return;
	if (!sparse) {
		add_window(bar, 0, bar->size);
		return;
	}
	room = info->argsz - (size_t)((const uint8_t *)sparse - (const uint8_t *)info) -
	       sizeof(*sparse);
	for (uint32_t i = 0; i < MIN_OF(sparse->nr_areas, room / sizeof(sparse->areas[0])); i++)
		add_window(bar, sparse->areas[i].offset,
			   sparse->areas[i].offset + sparse->areas[i].size);
}

int vfio_regions_read(struct vfio_device *dev, struct error *err)
{
	for (uint32_t i = 0; i <= VFIO_PCI_CONFIG_REGION_INDEX; i++) {
		_cleanup_free_ struct vfio_region_info *info = region_info(dev, i);

		if (!info)
			continue;
		dev->regions[i] = (struct vfio_region){.size = info->size, .offset = info->offset};
		if (i < VFIO_BARS) {
			dev->bars[i].size = info->size;
			read_windows(dev, info);
		}
	}
	if (dev->regions[VFIO_PCI_CONFIG_REGION_INDEX].size < 256)
		return error_set(err, -ENODEV, "device %s: vfio shows no configuration space",
				 dev->name);
	return 0;
}

/* Takes the pages of a hole out of a BAR's windows. */
static void cut_hole(struct vfio_bar *bar, uint64_t offset, uint64_t size)
{
	struct vfio_bar before = *bar;
	uint64_t start = ALIGN_DOWN(offset, PAGE), end = ALIGN_UP(offset + size, PAGE);

	bar->window_count = 0;
	for (unsigned int i = 0; i < before.window_count; i++) {
		const struct vfio_window *w = &before.windows[i];

		add_window(bar, w->offset, MIN_OF(w->offset + w->size, MAX_OF(start, w->offset)));
		add_window(bar, MAX_OF(w->offset, end), w->offset + w->size);
	}
}

void vfio_map_bars(struct vfio_device *dev, unsigned int hole_bar, uint64_t hole_offset,
		   uint64_t hole_size)
{
	if (hole_size && hole_bar < VFIO_BARS)
		cut_hole(&dev->bars[hole_bar], hole_offset, hole_size);
	for (unsigned int b = 0; b < VFIO_BARS; b++) {
		struct vfio_bar *bar = &dev->bars[b];
		unsigned int kept = 0;

		for (unsigned int i = 0; i < bar->window_count; i++) {
			struct vfio_window w = bar->windows[i];

			w.address = mmap(NULL, w.size, PROT_READ | PROT_WRITE, MAP_SHARED, dev->fd,
					 (off_t)(dev->regions[b].offset + w.offset));
			if (w.address != MAP_FAILED)
				bar->windows[kept++] = w;
		}
		bar->window_count = kept;
	}
}

void vfio_regions_unmap(struct vfio_device *dev)
{
	for (unsigned int b = 0; b < VFIO_BARS; b++) {
		for (unsigned int i = 0; i < dev->bars[b].window_count; i++) {
			const struct vfio_window *w = &dev->bars[b].windows[i];

			if (w->address)
				munmap(w->address, w->size);
		}
		dev->bars[b].window_count = 0;
	}
}

int vfio_window_dmabuf(const struct vfio_device *dev, unsigned int bar,
		       const struct vfio_window *window)
{
	size_t size = sizeof(struct vfio_device_feature) +
		      sizeof(struct vfio_device_feature_dma_buf) +
		      sizeof(struct vfio_region_dma_range);
	_cleanup_free_ struct vfio_device_feature *feature = calloc(1, size);
	struct vfio_device_feature_dma_buf *ask;
	int fd;

	if (!feature)
		return -ENOMEM;
	ask = (void *)feature->data;
	feature->argsz = (uint32_t)size;
	feature->flags = VFIO_DEVICE_FEATURE_GET | VFIO_DEVICE_FEATURE_DMA_BUF;
	ask->region_index = bar;
	ask->open_flags = O_RDWR | O_CLOEXEC;
	ask->nr_ranges = 1;
	ask->dma_ranges[0].offset = window->offset;
	ask->dma_ranges[0].length = window->size;
	/* The answer is a descriptor, and vfio_call() gives 0 for it. */
	fd = ioctl(dev->fd, VFIO_DEVICE_FEATURE, feature);
	return fd < 0 ? -errno : fd;
}

uint64_t vfio_rom_size(const struct vfio_device *dev)
{
	return dev->regions[VFIO_ROM].size;
}

const struct vfio_bar *vfio_device_bar(const struct vfio_device *dev, unsigned int bar)
{
	return &dev->bars[bar];
}

static uint64_t all_ones(unsigned int size)
{
	return size < 8 ? (1ULL << 8 * size) - 1 : UINT64_MAX;
}

static bool inside(const struct vfio_region *region, uint64_t offset, unsigned int size)
{
	return offset < region->size && size <= region->size - offset;
}

uint64_t vfio_read(struct vfio_device *dev, unsigned int bar, uint64_t offset, unsigned int size)
{
	const struct vfio_region *region = &dev->regions[bar];
	uint64_t value = 0;

	if (!inside(region, offset, size) ||
	    pread(dev->fd, &value, size, (off_t)(region->offset + offset)) != (ssize_t)size)
		return all_ones(size);
	return le64toh(value);
}

void vfio_write(struct vfio_device *dev, unsigned int bar, uint64_t offset, uint64_t value,
		unsigned int size)
{
	const struct vfio_region *region = &dev->regions[bar];
	uint64_t bytes = htole64(value);

	/* A write that a device does not take is lost, as on a bus. */
	if (!inside(region, offset, size) ||
	    pwrite(dev->fd, &bytes, size, (off_t)(region->offset + offset)) < 0)
		return;
}
