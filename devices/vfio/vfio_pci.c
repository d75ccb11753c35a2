/* SPDX-License-Identifier: Apache-2.0 */
#include "devices/vfio/vfio_pci.h"

#include <stdio.h>

#include "base/util.h"
#include "devices/vfio/vfio_pci_impl.h"

static void msix_table_written(void *opaque)
{
	vfio_pci_irq_update(opaque);
}

/* PCI configuration space that concerns interrupts is read anew; the rest is in place. */
static void config_written(void *opaque, unsigned int offset, unsigned int size _unused_)
{
	struct vfio_pci *v = opaque;

	if (offset < PCI_CAPABILITY_LIST || !v->function)
		return;
	vfio_pci_power_update(v);
	vfio_pci_irq_update(v);
}

static int make_function(struct vfio_pci *v, struct error *err)
{
	struct pci_params params = {.msix_table_written = msix_table_written,
				    .config_written = config_written,
				    .command_changed = vfio_pci_command_changed,
				    .opaque = v};
	int r = vfio_pci_bars_params(v, &params, err);

	if (r == 0)
		r = vfio_pci_config_params(v, &params, err);
	if (r == 0)
		r = pci_device_new(&params, &v->attach, &v->function, err);
	return r < 0 ? r : vfio_pci_config_init(v, err);
}

int vfio_pci_new(const struct vfio_pci_params *params, struct vfio_pci **ret, struct error *err)
{
	const struct vfio_pci_config *config = params->config;
	bool kept = params->kept_fd >= 0;
	const struct vfio_source source = {.root = params->root,
					   .address = config->host[0] ? config->host : NULL,
					   .fd = kept ? params->kept_fd : config->fd,
					   .kept = kept};
	struct vfio_pci *v = calloc(1, sizeof(*v));
	int r;

	if (!v)
		return error_set(err, -ENOMEM, "device %s: out of memory", config->id);
	v->attach = *params->attach;
	v->event = params->event;
	v->opaque = params->opaque;
	v->io = params->shares ? params->io : NULL;
	v->kept = kept;
	v->frozen = kept || params->waits;
	v->intx_trigger = v->intx_resample = FD_NONE;
	for (unsigned int i = 0; i < IRQ_EVENTS_MAX; i++)
		v->reports[i].fd = FD_NONE;
	pthread_mutex_init(&v->irq_lock, NULL);
	r = vfio_device_open(&source, params->io, &v->device, err);
	if (r == 0) {
		snprintf(v->name, sizeof(v->name), "%s", vfio_device_name(v->device));
		r = make_function(v, err);
	}
	if (r == 0)
		r = vfio_pci_irq_init(v, params->loop, err);
	if (r < 0) {
		vfio_pci_free(v);
		return r;
	}
	*ret = v;
	return 0;
}

/* Whoever passed a descriptor may keep it: the device must be still before its memory goes. */
static void quiesce(struct vfio_pci *v)
{
	vfio_write(v->device, VFIO_CONFIG_SPACE, PCI_COMMAND, PCI_COMMAND_INTX_DISABLE, 2);
	if (vfio_device_can_reset(v->device))
		vfio_device_reset(v->device, NULL);
}

void vfio_pci_free(struct vfio_pci *v)
{
	if (!v)
		return;
	/* The other devices of the VM go on, too, and may be in its memory. */
	if (v->device && vfio_device_is_kept(v->device))
		v->io = NULL;
	/* BARs first: no vCPU is in a register of the device then. */
	if (v->function)
		pci_device_unplug(v->function);
	if (v->device) {
		if (!vfio_device_is_kept(v->device))
			quiesce(v);
		vfio_pci_irq_done(v);
	}
	pci_device_free(v->function);
	vfio_device_free(v->device);
	pthread_mutex_destroy(&v->irq_lock);
	free(v);
}

struct pci_device *vfio_pci_function(struct vfio_pci *v)
{
	return v->function;
}

/* vfio_pci_command_changed() keeps decoding on; a device without BARs of a kind has no such bit. */
bool vfio_pci_is_lost(struct vfio_pci *v)
{
	const unsigned int decoding = PCI_COMMAND_IO | PCI_COMMAND_MEMORY;
	uint64_t size = 0;

	for (unsigned int i = 0; i < PCI_BAR_COUNT; i++)
		size |= vfio_device_bar(v->device, i)->size;
	return vfio_read(v->device, VFIO_CONFIG_SPACE, PCI_VENDOR_ID, 2) == UINT16_MAX ||
	       (size && !(vfio_read(v->device, VFIO_CONFIG_SPACE, PCI_COMMAND, 2) & decoding));
}

const char *vfio_pci_name(const struct vfio_pci *v)
{
	return v->name;
}
