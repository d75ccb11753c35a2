/* SPDX-License-Identifier: Apache-2.0 */
/* Devices of the host that are passed through. */
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/util.h"
#include "devices/vfio/vfio_pci.h"
#include "vmm/kinds/kinds.h"
#include "vmm/passthrough.h"
#include "vmm/passthrough_preserve.h"

/* How long a guest has for a device that the host wants back. */
#define RELEASE_NS (10 * NSEC_PER_SEC)

struct passed {
	const struct machine_devices_params *params; /* borrowed */
	struct vfio_pci *v;
	struct loop_timer *release;
	unsigned int slot;
	enum passthrough_space space;
	char id[VFIO_PCI_ID_MAX + 1];
	bool asked; /* for the host */
	bool counted;
};

static unsigned int count(const struct vm_config *config)
{
	return config->device_count;
}

static const char *id(const struct vm_config *config, unsigned int index)
{
	return config->devices[index].id;
}

static unsigned int slot_of(const struct vm_config *config, unsigned int index)
{
	return config->devices[index].slot;
}

static bool is_away(const struct vm_config *config, unsigned int index)
{
	return config->devices[index].away;
}

static void on_release(void *opaque)
{
	struct passed *d = opaque;

	log_warning(
		"device %s (%s): the guest has not given it up, and the host waits for it: it is "
		"taken away",
		d->id, vfio_pci_name(d->v));
	machine_pci_take_out(d->params->pci, d->slot);
}

static void on_event(void *opaque, enum vfio_pci_event event)
{
	struct passed *d = opaque;

	if (d->params->withdrawn)
		d->params->withdrawn(d->params->opaque, d->id);
	if (event == VFIO_PCI_EVENT_ERROR) {
		log_error(
			"device %s (%s): has reported an error that it cannot correct (PCIe AER): "
			"the guest is asked to give it up",
			d->id, vfio_pci_name(d->v));
		machine_pci_request_unplug(d->params->pci, d->slot);
		return;
	}
	/* The kernel asks again and again until it has it. */
	if (d->asked)
		return;
	d->asked = true;
	log_warning("device %s (%s): the host wants it back: the guest is asked to give it up",
		    d->id, vfio_pci_name(d->v));
	machine_pci_request_unplug(d->params->pci, d->slot);
	loop_timer_arm(d->release, RELEASE_NS, 0);
}

static void free_device(void *dev)
{
	struct passed *d = dev;

	loop_timer_free(d->release);
	vfio_pci_free(d->v);
	if (d->counted)
		passthrough_put(d->params->passthrough, d->space);
	free(d);
}

static int open_device(struct passed *d, const struct vfio_pci_config *config,
		       const struct pci_attach *attach, struct error *err)
{
	struct vfio_pci_params params = {.config = config,
					 .root = "",
					 .loop = d->params->loop,
					 .attach = attach,
					 .event = on_event,
					 .opaque = d,
					 /* What is handed over can have guest RAM mapped, and
					  * nothing else. */
					 .shares = d->space != PASSTHROUGH_PRESERVED,
					 .waits = d->params->kept != NULL,
					 .kept_fd =
						 kept_devices_find(d->params->kept, config->slot)};
	int r = loop_timer_new(d->params->loop, on_release, d, &d->release, err);

	if (r == 0)
		r = passthrough_get(d->params->passthrough, d->space, &params.io, err);
	if (r < 0)
		return r;
	d->counted = true;
	r = vfio_pci_new(&params, &d->v, err);
	passthrough_attached(d->params->passthrough, d->space);
	return r;
}

static int make(const struct machine_devices_params *params, unsigned int index,
		const struct pci_attach *attach, void **ret, struct error *err)
{
	const struct vfio_pci_config *config = &params->config->devices[index];
	struct passed *d = calloc(1, sizeof(*d));
	int r;

	if (!d)
		return error_set(err, -ENOMEM, "device %s: out of memory", config->id);
	d->params = params;
	d->slot = config->slot;
	d->space = passthrough_space_of(config);
	memcpy(d->id, config->id, sizeof(d->id));
	r = open_device(d, config, attach, err);
	if (r < 0) {
		free_device(d);
		return r;
	}
	*ret = d;
	return 0;
}

static struct pci_device *function_of(void *dev)
{
	const struct passed *d = dev;

	return vfio_pci_function(d->v);
}

static enum passthrough_space space_of(void *dev)
{
	const struct passed *d = dev;

	return d->space;
}

static int fd_of(void *dev)
{
	const struct passed *d = dev;

	return vfio_pci_fd(d->v);
}

static void *state_of(void *dev)
{
	const struct passed *d = dev;

	return d->v;
}

static size_t state_size_max(void *dev)
{
	const struct passed *d = dev;

	return vfio_pci_state_size_max(d->v);
}

static bool migrates(void *dev)
{
	const struct passed *d = dev;

	return vfio_pci_migrates(d->v);
}

static void set_migrates(void *dev, bool on)
{
	const struct passed *d = dev;

	vfio_pci_set_migrates(d->v, on);
}

static int freeze(void *dev, struct error *err)
{
	const struct passed *d = dev;

	return vfio_pci_freeze(d->v, err);
}

static void thaw(void *dev)
{
	const struct passed *d = dev;

	vfio_pci_thaw(d->v);
}

static void keep(void *dev, bool kept)
{
	const struct passed *d = dev;

	vfio_pci_keep(d->v, kept);
}

static json_t *counters(const void *dev)
{
	const struct passed *d = dev;
	struct vfio_pci_counters c;

	vfio_pci_get_counters(d->v, &c);
	return json_pack("{ss ss sI sI sI sb sb sb}", "host", vfio_pci_name(d->v), "interrupts",
			 c.interrupts, "vectors", (json_int_t)c.vectors, "errors",
			 (json_int_t)c.errors, "requests", (json_int_t)c.requests, "reset",
			 c.can_reset, "migration", c.migrates, "dirty-tracking", c.tracks_dirty);
}

static const struct machine_function_kind function = {
	.make = make,
	.pci = function_of,
	.free = free_device,
	.fd = fd_of,
	.space = space_of,
	.state = &vfio_pci_state_ops,
	.state_of = state_of,
	.state_size_max = state_size_max,
	.migrates = migrates,
	.set_migrates = set_migrates,
	.freeze = freeze,
	.thaw = thaw,
	.keep = keep,
};

const struct machine_kind machine_kind_device = {
	.name = "device",
	.function = &function,
	.count = count,
	.id = id,
	.slot_of = slot_of,
	.is_away = is_away,
	.counters = counters,
};
