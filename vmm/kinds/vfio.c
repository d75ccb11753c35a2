/* SPDX-License-Identifier: Apache-2.0 */
/* Devices of the host that are passed through. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/util.h"
#include "devices/vfio/vfio_pci.h"
#include "vmm/kinds/kinds.h"
#include "vmm/passthrough.h"
#include "vmm/passthrough_preserve.h"

/* How long a guest has for a device that the host wants back, or that has failed. */
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

static _printf_(3, 4) void tell(const struct passed *d, enum device_news_kind kind, const char *fmt,
				...)
{
	struct device_news news = {.kind = kind};
	va_list args;

	if (!d->params->told)
		return;
	memcpy(news.id, d->id, sizeof(news.id));
	snprintf(news.host, sizeof(news.host), "%s", vfio_pci_name(d->v));
	va_start(args, fmt);
	vsnprintf(news.text, sizeof(news.text), fmt, args);
	va_end(args);
	d->params->told(d->params->opaque, &news);
}

static void take_out(struct passed *d, const char *why)
{
	tell(d, DEVICE_NEWS_TAKEN_AWAY, "the guest has not given it up, and %s: it is taken away",
	     why);
	machine_pci_take_out(d->params->pci, d->slot);
}

/*
 * A device that the host has reset does nothing more for the guest, and accesses to where it was
 * may be errors of their own; one that answers may have done no harm.
 */
static void on_release(void *opaque)
{
	struct passed *d = opaque;

	if (d->asked)
		take_out(d, "the host waits for it");
	else if (vfio_pci_is_lost(d->v))
		take_out(d, "the host has reset it after the error");
	else
		tell(d, DEVICE_NEWS_STAYS,
		     "the guest has not given it up: it stays, and may have done wrong; on the "
		     "host, luoctl device unbind --force takes it away");
}

static void on_event(void *opaque, enum vfio_pci_event event)
{
	struct passed *d = opaque;

	/* The kernel asks again and again until it has it. */
	if (event == VFIO_PCI_EVENT_REQUEST && d->asked)
		return;
	if (event == VFIO_PCI_EVENT_ERROR) {
		tell(d, DEVICE_NEWS_ERROR,
		     "has reported an error that it cannot correct (PCIe AER): the guest is asked "
		     "to give it up; vm.add-device then opens it anew, after a reset");
	} else {
		d->asked = true;
		tell(d, DEVICE_NEWS_WANTED,
		     "the host wants it back: the guest is asked to give it up");
	}
	machine_pci_request_unplug(d->params->pci, d->slot);
	/* Not later for an error than the host was told. */
	if (event == VFIO_PCI_EVENT_REQUEST || !d->asked)
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
