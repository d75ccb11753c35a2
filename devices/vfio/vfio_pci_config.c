/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Configuration space: which bytes are the device's and which are emulated. Capabilities keep their
 * offsets, since drivers know some registers by them; the chain is made anew from those that a
 * guest may see.
 */
#include <string.h>

#include "base/le.h"
#include "base/util.h"
#include "devices/vfio/vfio_pci_impl.h"

#define CAPS_MAX      48 /* as many as fit */
#define HEADER_BYTES  0x40U
#define CAP_NEXT_MASK 0xfcU
/* The hole of an MSI-X table takes the PBA in when it is as near as that. */
#define HOLE_MAX	  0x10000U
#define TYPE_ENDPOINT_MAX 1 /* PCIe 5.0, 7.5.3.2: endpoint, legacy endpoint */
#define TYPE_RC_ENDPOINT  9 /* root complex integrated endpoint */

static uint32_t device_read(const struct vfio_pci *v, unsigned int offset, unsigned int size)
{
	return (uint32_t)vfio_read(v->device, VFIO_CONFIG_SPACE, offset, size);
}

/* Offsets of the device's capabilities; returns how many. A chain that leads astray ends there. */
static unsigned int walk_caps(const struct vfio_pci *v, uint8_t offsets[CAPS_MAX])
{
	unsigned int count = 0;
	uint8_t at;

	if (!(device_read(v, PCI_STATUS, 2) & PCI_STATUS_CAP_LIST))
		return 0;
	at = device_read(v, PCI_CAPABILITY_LIST, 1) & CAP_NEXT_MASK;
	while (at >= HEADER_BYTES && count < CAPS_MAX) {
		offsets[count++] = at;
		at = device_read(v, at + PCI_CAP_LIST_NEXT, 1) & CAP_NEXT_MASK;
	}
	return count;
}

static unsigned int find_cap(const struct vfio_pci *v, uint8_t id)
{
	uint8_t offsets[CAPS_MAX];
	unsigned int count = walk_caps(v, offsets);

	for (unsigned int i = 0; i < count; i++) {
		if (device_read(v, offsets[i] + PCI_CAP_LIST_ID, 1) == id)
			return offsets[i];
	}
	return 0;
}

static void emulate(struct vfio_pci *v, unsigned int offset, unsigned int size)
{
	for (unsigned int i = 0; i < size && offset + i < CONFIG_BYTES; i++)
		v->emulated[offset + i] = true;
}

/* ---- What the function is made with. ---- */

static unsigned int free_bar(const struct pci_params *params)
{
	unsigned int i = 0;

	while (i < PCI_BAR_COUNT && (params->bars[i].kind != PCI_BAR_NONE ||
				     (i > 0 && params->bars[i - 1].kind >= PCI_BAR_MEM64)))
		i++;
	return i;
}

static void map_around(struct vfio_pci *v, unsigned int bar, uint32_t table, uint32_t pba)
{
	uint64_t table_end = table + v->msix_vectors * PCI_MSIX_ENTRY_SIZE;
	uint64_t pba_end = pba + ALIGN_UP(v->msix_vectors, 64U) / 8;
	uint64_t start = MIN_OF(table, pba), end = MAX_OF(table_end, pba_end);

	/* A PBA far away is read from the device: it has no bits that matter to a guest. */
	if (end - start > HOLE_MAX) {
		start = table;
		end = table_end;
	}
	vfio_map_bars(v->device, bar, start, end - start);
}

static int msix_params(struct vfio_pci *v, struct pci_params *params, struct error *err)
{
	unsigned int cap = find_cap(v, PCI_CAP_ID_MSIX);
	uint32_t table, pba;

	if (!cap || vfio_irq_count(v->device, VFIO_IRQ_MSIX) == 0) {
		vfio_map_bars(v->device, 0, 0, 0);
		return 0;
	}
	v->msix_cap = cap;
	v->msix_vectors = (device_read(v, cap + PCI_MSIX_FLAGS, 2) & PCI_MSIX_FLAGS_QSIZE) + 1;
	v->msix_vectors = MIN_OF(v->msix_vectors, vfio_irq_count(v->device, VFIO_IRQ_MSIX));
	table = device_read(v, cap + PCI_MSIX_TABLE, 4);
	pba = device_read(v, cap + PCI_MSIX_PBA, 4);
	params->msix_vectors = v->msix_vectors;
	params->msix_cap = cap;
	params->msix_bar = table & PCI_MSIX_TABLE_BIR;
	params->msix_table_offset = table & PCI_MSIX_TABLE_OFFSET;
	params->msix_pba_offset = pba & PCI_MSIX_PBA_OFFSET;
	/* In two BARs, or in one that is not there: both get one of their own. */
	if ((pba & PCI_MSIX_PBA_BIR) != params->msix_bar || params->msix_bar >= PCI_BAR_COUNT ||
	    params->bars[params->msix_bar].kind == PCI_BAR_NONE) {
		params->msix_bar = free_bar(params);
		vfio_map_bars(v->device, 0, 0, 0);
		if (params->msix_bar == PCI_BAR_COUNT)
			return error_set(err, -EOPNOTSUPP,
					 "device %s: its MSI-X table and PBA lie in two BARs, and "
					 "no other is free",
					 v->name);
		return 0;
	}
	map_around(v, params->msix_bar, params->msix_table_offset, params->msix_pba_offset);
	return 0;
}

int vfio_pci_config_params(struct vfio_pci *v, struct pci_params *params, struct error *err)
{
	uint32_t class = device_read(v, PCI_CLASS_REVISION, 4);

	if ((device_read(v, PCI_HEADER_TYPE, 1) & PCI_HEADER_TYPE_MASK) != PCI_HEADER_TYPE_NORMAL)
		return error_set(err, -EOPNOTSUPP,
				 "device %s: is a bridge, which cannot be passed through", v->name);
	params->name = v->name;
	params->vendor_id = (uint16_t)device_read(v, PCI_VENDOR_ID, 2);
	params->device_id = (uint16_t)device_read(v, PCI_DEVICE_ID, 2);
	params->subsystem_vendor_id = (uint16_t)device_read(v, PCI_SUBSYSTEM_VENDOR_ID, 2);
	params->subsystem_id = (uint16_t)device_read(v, PCI_SUBSYSTEM_ID, 2);
	params->class_code = class >> 8;
	params->revision = (uint8_t)class;
	/* A slot has INTA alone, whatever pin the function has at home. */
	params->interrupt_pin =
		v->attach.intx_fds && vfio_irq_count(v->device, VFIO_IRQ_INTX) ? 1 : 0;
	return msix_params(v, params, err);
}

/* ---- Capabilities. ---- */

static int add_emulated(struct vfio_pci *v, unsigned int at, uint8_t id, const uint8_t *body,
			size_t len, const uint8_t *mask, struct error *err)
{
	int r = pci_add_capability_at(v->function, at, id, body, len, mask, err);

	emulate(v, at, (unsigned int)len + PCI_CAP_FLAGS);
	return r < 0 ? r : 0;
}

/* PCI Power Management 1.2, 3.2: no PME. The host's kernel keeps configuration space through D3hot.
 */
static int add_pm(struct vfio_pci *v, unsigned int at, struct error *err)
{
	uint8_t body[PCI_PM_SIZEOF - PCI_CAP_FLAGS] = {0}, mask[sizeof(body)] = {0};
	uint16_t pmc = (uint16_t)device_read(v, at + PCI_PM_PMC, 2);

	v->pm_cap = at;
	pmc &= PCI_PM_CAP_VER_MASK | PCI_PM_CAP_D1 | PCI_PM_CAP_D2;
	le_put16(body, PCI_PM_PMC - PCI_CAP_FLAGS, pmc);
	le_put16(body, PCI_PM_CTRL - PCI_CAP_FLAGS,
		 (uint16_t)device_read(v, at + PCI_PM_CTRL, 2) & PCI_PM_CTRL_NO_SOFT_RESET);
	le_put16(mask, PCI_PM_CTRL - PCI_CAP_FLAGS, PCI_PM_CTRL_STATE_MASK);
	return add_emulated(v, at, PCI_CAP_ID_PM, body, sizeof(body), mask, err);
}

/* PCI 3.0, 6.8.1. */
static int add_msi(struct vfio_pci *v, unsigned int at, struct error *err)
{
	uint8_t body[PCI_MSI_PENDING_64 + 4 - PCI_CAP_FLAGS] = {0}, mask[sizeof(body)] = {0};
	uint16_t flags = (uint16_t)device_read(v, at + PCI_MSI_FLAGS, 2);
	bool wide = flags & PCI_MSI_FLAGS_64BIT, masks = flags & PCI_MSI_FLAGS_MASKBIT;
	unsigned int data = wide ? PCI_MSI_DATA_64 : PCI_MSI_DATA_32;
	size_t len = data + (masks ? 12U : 2U) - PCI_CAP_FLAGS;

	if (vfio_irq_count(v->device, VFIO_IRQ_MSI) == 0)
		return 0;
	v->msi_cap = at;
	le_put16(body, PCI_MSI_FLAGS - PCI_CAP_FLAGS,
		 flags & (PCI_MSI_FLAGS_QMASK | PCI_MSI_FLAGS_64BIT | PCI_MSI_FLAGS_MASKBIT));
	le_put16(mask, PCI_MSI_FLAGS - PCI_CAP_FLAGS, PCI_MSI_FLAGS_ENABLE | PCI_MSI_FLAGS_QSIZE);
	le_put32(mask, PCI_MSI_ADDRESS_LO - PCI_CAP_FLAGS, ~3U);
	if (wide)
		le_put32(mask, PCI_MSI_ADDRESS_HI - PCI_CAP_FLAGS, UINT32_MAX);
	le_put16(mask, data - PCI_CAP_FLAGS, UINT16_MAX);
	if (masks)
		le_put32(mask, data + 4 - PCI_CAP_FLAGS, UINT32_MAX);
	return add_emulated(v, at, PCI_CAP_ID_MSI, body, len, mask, err);
}

/* A device on bus 0 without a port above it is one of the root complex's own. */
static int add_express(struct vfio_pci *v, unsigned int at, struct error *err)
{
	uint16_t flags = (uint16_t)device_read(v, at + PCI_EXP_FLAGS, 2);
	uint8_t body[2];

	if ((flags & PCI_EXP_FLAGS_TYPE) >> 4 <= TYPE_ENDPOINT_MAX)
		flags = (uint16_t)((flags & ~PCI_EXP_FLAGS_TYPE) | TYPE_RC_ENDPOINT << 4);
	le_put16(body, 0, flags);
	v->exp_cap = at;
	return add_emulated(v, at, PCI_CAP_ID_EXP, body, sizeof(body), NULL, err);
}

static int add_cap(struct vfio_pci *v, unsigned int at, struct error *err)
{
	uint8_t id = (uint8_t)device_read(v, at + PCI_CAP_LIST_ID, 1);

	switch (id) {
	case PCI_CAP_ID_PM:
		return add_pm(v, at, err);
	case PCI_CAP_ID_MSI:
		return at == find_cap(v, id) ? add_msi(v, at, err) : 0;
	case PCI_CAP_ID_MSIX:
		/* Made with the function. */
		if (at == v->msix_cap)
			emulate(v, at, PCI_CAP_MSIX_SIZEOF);
		return 0;
	case PCI_CAP_ID_EXP:
		return add_express(v, at, err);
	case PCI_CAP_ID_AF:
		v->af_cap = at;
		return add_emulated(v, at, id, NULL, 0, NULL, err);
	case PCI_CAP_ID_VPD:
	case PCI_CAP_ID_VNDR:
		return add_emulated(v, at, id, NULL, 0, NULL, err);
	default:
		return 0;
	}
}

/* ---- Accesses. ---- */

/* What no capability of ours answers is the device's. */
static bool covers(void *opaque, unsigned int offset, unsigned int size)
{
	const struct vfio_pci *v = opaque;

	if (offset >= CONFIG_BYTES)
		return true;
	for (unsigned int i = 0; i < size; i++) {
		if (!v->emulated[offset + i])
			return true;
	}
	return false;
}

/* One access of the device, as wide as the guest's: it may mean more than its bytes. */
static uint32_t config_read(void *opaque, unsigned int offset, unsigned int size)
{
	struct vfio_pci *v = opaque;
	uint32_t value;

	if (offset >= CONFIG_BYTES)
		return vfio_pci_extended_read(v, offset, size);
	value = device_read(v, offset, size);
	for (unsigned int i = 0; i < size; i++) {
		if (!v->emulated[offset + i])
			continue;
		value &= ~(0xffU << 8 * i);
		value |= pci_config_peek(v->function, offset + i, 1) << 8 * i;
	}
	return value;
}

/* Whether a guest that writes this has the function reset: PCIe 5.0, 7.5.3.4; Advanced Capabilities
 * for Conventional PCI, 3.1. */
static bool resets(const struct vfio_pci *v, unsigned int offset, uint32_t value)
{
	const struct {
		unsigned int at; /* of the register; 0: there is none */
		uint32_t bit;
	} registers[] = {
		{v->exp_cap ? v->exp_cap + PCI_EXP_DEVCTL : 0, PCI_EXP_DEVCTL_BCR_FLR},
		{v->af_cap ? v->af_cap + PCI_AF_CTRL : 0, PCI_AF_CTRL_FLR},
	};
	uint64_t written = (uint64_t)value << 8 * (offset % 8);

	for (size_t i = 0; i < ARRAY_SIZE(registers); i++) {
		unsigned int at = registers[i].at;

		if (at && offset / 8 == at / 8 &&
		    written & (uint64_t)registers[i].bit << 8 * (at % 8))
			return true;
	}
	return false;
}

/* Emulated bytes beside them cannot be written: their neighbours are the heads of capabilities. */
static void config_write(void *opaque, unsigned int offset, uint32_t value, unsigned int size)
{
	struct vfio_pci *v = opaque;

	if (offset >= CONFIG_BYTES)
		vfio_pci_extended_write(v, offset, value, size);
	else
		vfio_write(v->device, VFIO_CONFIG_SPACE, offset, value, size);
	if (resets(v, offset, value))
		vfio_pci_bars_share(v);
}

/*
 * Decoding stays on: memory that is mapped into the guest must answer whatever the guest says, and
 * where the guest has it off nothing is mapped.
 */
void vfio_pci_command_changed(void *opaque, uint16_t command)
{
	const struct vfio_pci *v = opaque;

	vfio_write(v->device, VFIO_CONFIG_SPACE, PCI_COMMAND,
		   command | PCI_COMMAND_IO | PCI_COMMAND_MEMORY, 2);
}

int vfio_pci_config_init(struct vfio_pci *v, struct error *err)
{
	const struct pci_config_hook hook = {.offset = HEADER_BYTES,
					     .size = PCI_CONFIG_SIZE - HEADER_BYTES,
					     .covers = covers,
					     .read = config_read,
					     .write = config_write,
					     .opaque = v};
	uint8_t offsets[CAPS_MAX];
	unsigned int count = walk_caps(v, offsets);
	uint16_t status;
	int r = 0;

	for (unsigned int i = 0; i < count && r == 0; i++) {
		/* Twice the same: the chain is a ring. */
		if (v->emulated[offsets[i]])
			break;
		emulate(v, offsets[i], PCI_CAP_FLAGS);
		r = add_cap(v, offsets[i], err);
	}
	if (r < 0)
		return r;
	status = (uint16_t)device_read(v, PCI_STATUS, 2);
	status &= PCI_STATUS_66MHZ | PCI_STATUS_FAST_BACK | PCI_STATUS_DEVSEL_MASK;
	pci_config_poke(v->function, PCI_STATUS,
			pci_config_peek(v->function, PCI_STATUS, 2) | status, 2);
	vfio_pci_extended_init(v);
	pci_set_config_hook(v->function, &hook);
	/* One that is at work keeps its bus mastering. */
	if (!v->frozen)
		vfio_pci_command_changed(v, 0);
	return 0;
}
