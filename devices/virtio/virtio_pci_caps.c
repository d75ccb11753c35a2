/* SPDX-License-Identifier: Apache-2.0 */
/* Where the driver finds the structures: virtio 1.2, 4.1.4; and the window to them through
 * configuration space, 4.1.4.9. */
#include <endian.h>
#include <string.h>

#include "devices/virtio/virtio_pci_impl.h"

#define CAP_ID_VENDOR 0x09
#define CAP_HEAD      2 /* id and next: not in the body that is handed to pci_add_capability() */

#define TYPE_COMMON  1
#define TYPE_NOTIFY  2
#define TYPE_ISR     3
#define TYPE_DEVICE  4
#define TYPE_PCI_CFG 5

#define COMMON_SIZE 60U /* up to queue_reset */
#define ISR_SIZE    1U

/* struct virtio_pci_cap from cfg_len on. */
struct cap_body {
	uint8_t cap_len, cfg_type, bar, id, padding[2];
	uint32_t offset, length;
	uint32_t extra; /* notify_off_multiplier, or pci_cfg_data */
} __attribute__((packed));

#define CAP_BAR	   4U /* offsets in the capability */
#define CAP_OFFSET 8U
#define CAP_LENGTH 12U
#define CAP_DATA   16U

static int add(struct virtio_pci *v, uint8_t type, uint32_t offset, uint32_t length, uint32_t extra,
	       struct error *err)
{
	bool has_extra = type == TYPE_NOTIFY || type == TYPE_PCI_CFG;
	size_t size = sizeof(struct cap_body) - (has_extra ? 0 : sizeof(uint32_t));
	struct cap_body body = {.cap_len = (uint8_t)(size + CAP_HEAD),
				.cfg_type = type,
				.bar = VP_BAR,
				.offset = htole32(offset),
				.length = htole32(length),
				.extra = htole32(extra)};
	/* The window's place is the driver's to choose; its data goes through the hook. */
	const struct cap_body mask = {.bar = 0xff, .offset = UINT32_MAX, .length = UINT32_MAX};

	return pci_add_capability(v->pci, CAP_ID_VENDOR, &body, size,
				  type == TYPE_PCI_CFG ? &mask : NULL, err);
}

/* Where the window looks; false: at nothing. */
static bool window(struct virtio_pci *v, uint64_t *ret_offset, unsigned int *ret_length)
{
	uint32_t bar = pci_config_peek(v->pci, v->cfg_cap + CAP_BAR, 1);
	uint32_t offset = pci_config_peek(v->pci, v->cfg_cap + CAP_OFFSET, 4);
	uint32_t length = pci_config_peek(v->pci, v->cfg_cap + CAP_LENGTH, 4);

	*ret_offset = offset;
	*ret_length = length;
	return bar == VP_BAR && (length == 1 || length == 2 || length == 4) &&
	       offset % length == 0 && offset < VP_BAR_SIZE;
}

/* Reading its first byte is the access; the others show what that brought. */
static uint32_t cfg_read(void *opaque, unsigned int offset, unsigned int size)
{
	struct virtio_pci *v = opaque;
	unsigned int data = v->cfg_cap + CAP_DATA, length;
	uint64_t at;

	if (offset == data && window(v, &at, &length))
		pci_config_poke(v->pci, data, (uint32_t)vp_bar_ops.read(v, at, length), 4);
	return pci_config_peek(v->pci, offset, size);
}

static void cfg_write(void *opaque, unsigned int offset, uint32_t value, unsigned int size)
{
	struct virtio_pci *v = opaque;
	unsigned int data = v->cfg_cap + CAP_DATA, length;
	uint64_t at;

	pci_config_poke(v->pci, offset, value, size);
	if (offset == data && window(v, &at, &length)) {
		uint64_t mask = (1ULL << 8 * length) - 1;

		vp_bar_ops.write(v, at, pci_config_peek(v->pci, data, 4) & mask, length);
	}
}

int vp_add_capabilities(struct virtio_pci *v, struct error *err)
{
	struct pci_config_hook hook = {
		.size = sizeof(uint32_t), .read = cfg_read, .write = cfg_write, .opaque = v};
	int r = add(v, TYPE_COMMON, VP_COMMON_OFFSET, COMMON_SIZE, 0, err);

	if (r > 0)
		r = add(v, TYPE_NOTIFY, VP_NOTIFY_OFFSET,
			MAX_OF(v->queue_count, 1U) * VP_NOTIFY_STRIDE, VP_NOTIFY_STRIDE, err);
	if (r > 0)
		r = add(v, TYPE_ISR, VP_ISR_OFFSET, ISR_SIZE, 0, err);
	if (r > 0 && v->config_size)
		r = add(v, TYPE_DEVICE, VP_DEVICE_OFFSET, (uint32_t)v->config_size, 0, err);
	if (r > 0)
		r = add(v, TYPE_PCI_CFG, 0, 0, 0, err);
	if (r < 0)
		return r;
	v->cfg_cap = (unsigned int)r;
	hook.offset = v->cfg_cap + CAP_DATA;
	pci_set_config_hook(v->pci, &hook);
	return 0;
}
