/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Extended configuration space (PCI Express Base 5.0, 7.6): capabilities that mean the same to a
 * guest as to the host keep their offsets, and the chain is made anew from them. Others are not
 * there: those that hand out functions, address translation or BAR sizes, and those of links and
 * ports, which the guest sees none of.
 */
#include <string.h>

#include "base/util.h"
#include "devices/vfio/vfio_pci_impl.h"

#define CAPS_MAX   240 /* as many as fit, with two dwords each */
#define CAP_HEADER 4U
#define NEXT_SHIFT 20 /* 7.6.3 */
#define NEXT_MASK  0xfff00000U

static const uint16_t shown[] = {PCI_EXT_CAP_ID_ERR, PCI_EXT_CAP_ID_DSN, PCI_EXT_CAP_ID_PWR,
				 PCI_EXT_CAP_ID_VNDR, PCI_EXT_CAP_ID_DVSEC};

static uint32_t header_at(const struct vfio_pci *v, unsigned int at)
{
	return (uint32_t)vfio_read(v->device, VFIO_CONFIG_SPACE, at, 4);
}

static bool is_shown(uint32_t header)
{
	for (size_t i = 0; i < ARRAY_SIZE(shown); i++) {
		if (PCI_EXT_CAP_ID(header) == shown[i])
			return true;
	}
	return false;
}

/* Offsets in the order of the chain; one that leads astray, or around, ends there. */
static unsigned int walk(const struct vfio_pci *v, uint16_t offsets[CAPS_MAX])
{
	unsigned int count = 0, at = PCI_CFG_SPACE_SIZE;

	while (at >= PCI_CFG_SPACE_SIZE && at % 4 == 0 && count < CAPS_MAX) {
		uint32_t header = header_at(v, at);

		if (header == 0 || header == UINT32_MAX)
			break;
		for (unsigned int i = 0; i < count; i++) {
			if (offsets[i] == at)
				return count;
		}
		offsets[count++] = (uint16_t)at;
		at = PCI_EXT_CAP_NEXT(header);
	}
	return count;
}

/* A capability reaches to the next one, in the order of offsets: none says how long it is. */
static unsigned int end_of(const uint16_t *offsets, unsigned int count, unsigned int at)
{
	unsigned int end = PCI_CONFIG_SIZE;

	for (unsigned int i = 0; i < count; i++) {
		if (offsets[i] > at && offsets[i] < end)
			end = offsets[i];
	}
	return end;
}

static uint32_t *dword(struct vfio_pci *v, unsigned int at)
{
	return &v->extended[(at - PCI_CFG_SPACE_SIZE) / 4];
}

void vfio_pci_extended_init(struct vfio_pci *v)
{
	uint16_t offsets[CAPS_MAX];
	unsigned int count, last = 0;

	count = v->exp_cap ? walk(v, offsets) : 0;
	for (unsigned int i = 0; i < count; i++) {
		unsigned int at = offsets[i], end = end_of(offsets, count, at);
		uint32_t header = header_at(v, at);

		if (!is_shown(header))
			continue;
		*dword(v, at) = header & ~NEXT_MASK;
		for (unsigned int o = at + CAP_HEADER; o < end; o += 4)
			*dword(v, o) = VFIO_PCI_EXTENDED_OWN;
		/* The first stands where the space begins; if that is not shown, nothing is there
		 * but the way to the next: id 0, as a reader skips it. */
		if (last || at != PCI_CFG_SPACE_SIZE)
			*dword(v, last ? last : PCI_CFG_SPACE_SIZE) |= at << NEXT_SHIFT;
		last = at;
	}
}

static bool is_own(struct vfio_pci *v, unsigned int offset)
{
	return *dword(v, offset & ~3U) == VFIO_PCI_EXTENDED_OWN;
}

uint32_t vfio_pci_extended_read(struct vfio_pci *v, unsigned int offset, unsigned int size)
{
	uint32_t value;

	if (is_own(v, offset))
		return (uint32_t)vfio_read(v->device, VFIO_CONFIG_SPACE, offset, size);
	value = *dword(v, offset & ~3U) >> 8 * (offset & 3);
	return size < 4 ? value & ((1U << 8 * size) - 1) : value;
}

void vfio_pci_extended_write(struct vfio_pci *v, unsigned int offset, uint32_t value,
			     unsigned int size)
{
	if (is_own(v, offset))
		vfio_write(v->device, VFIO_CONFIG_SPACE, offset, value, size);
}
