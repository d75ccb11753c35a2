/* SPDX-License-Identifier: Apache-2.0 */
#include "devices/pci/pci_hotplug.h"

#include <pthread.h>

#include "base/util.h"
#include "devices/pci/pci.h"

#define SLOTS_MASK 0xfffffffeU /* slot 0 is the host bridge */

struct pci_hotplug {
	struct pci_hotplug *self; /* for locking where it is const */
	struct pci_hotplug_params params;
	pthread_mutex_t lock;
	uint32_t plugged, unplug;
};

static uint64_t hotplug_read(void *opaque, uint64_t offset, unsigned int size)
{
	struct pci_hotplug *h = opaque;
	uint32_t value = 0;

	/* The DSDT's field has DWordAcc. */
	if (size != 4)
		return 0;
	pthread_mutex_lock(&h->lock);
	if (offset == PCI_HOTPLUG_PLUGGED)
		value = h->plugged;
	else if (offset == PCI_HOTPLUG_UNPLUG)
		value = h->unplug;
	pthread_mutex_unlock(&h->lock);
	return value;
}

static void hotplug_write(void *opaque, uint64_t offset, uint64_t value, unsigned int size)
{
	struct pci_hotplug *h = opaque;
	uint32_t bits = (uint32_t)value & SLOTS_MASK;

	if (size != 4)
		return;
	pthread_mutex_lock(&h->lock);
	if (offset == PCI_HOTPLUG_PLUGGED)
		h->plugged &= ~bits;
	else if (offset == PCI_HOTPLUG_UNPLUG)
		h->unplug &= ~bits;
	pthread_mutex_unlock(&h->lock);
	if (offset != PCI_HOTPLUG_EJECT)
		return;
	for (unsigned int slot = 1; slot < PCI_SLOTS_MAX; slot++) {
		if (bits & 1U << slot)
			h->params.eject(h->params.opaque, slot);
	}
}

const struct io_ops pci_hotplug_io_ops = {
	.name = "pci-hotplug", .read = hotplug_read, .write = hotplug_write};

static void tell(struct pci_hotplug *h, uint32_t plugged, uint32_t unplug)
{
	pthread_mutex_lock(&h->lock);
	h->plugged |= plugged;
	h->unplug |= unplug;
	pthread_mutex_unlock(&h->lock);
	h->params.raise(h->params.opaque);
}

void pci_hotplug_plugged(struct pci_hotplug *h, unsigned int slot)
{
	tell(h, 1U << slot, 0);
}

void pci_hotplug_unplug(struct pci_hotplug *h, unsigned int slot)
{
	tell(h, 0, 1U << slot);
}

void pci_hotplug_forget(struct pci_hotplug *h, unsigned int slot)
{
	pthread_mutex_lock(&h->lock);
	h->plugged &= ~(1U << slot);
	h->unplug &= ~(1U << slot);
	pthread_mutex_unlock(&h->lock);
}

static int hotplug_save(const void *obj, struct state_writer *w, struct error *err _unused_)
{
	const struct pci_hotplug *h = obj;

	pthread_mutex_lock(&h->self->lock);
	state_put_u32(w, "plugged", h->plugged);
	state_put_u32(w, "unplug", h->unplug);
	pthread_mutex_unlock(&h->self->lock);
	return 0;
}

static int hotplug_load(void *obj, uint32_t version _unused_, struct state_reader *r,
			enum state_mode mode, struct error *err)
{
	struct pci_hotplug *h = obj;
	uint32_t plugged = state_get_u32(r, "plugged"), unplug = state_get_u32(r, "unplug");
	int ret;

	state_require(r, ((plugged | unplug) & ~SLOTS_MASK) == 0, "slot 0 is the host bridge's");
	ret = state_reader_done(r, err);
	if (ret < 0 || mode == STATE_CHECK)
		return ret;
	pthread_mutex_lock(&h->lock);
	h->plugged = plugged;
	h->unplug = unplug;
	pthread_mutex_unlock(&h->lock);
	return 0;
}

const struct state_ops pci_hotplug_state_ops = {.name = "pci-hotplug",
						.version = 1,
						.min_version = 1,
						.save = hotplug_save,
						.load = hotplug_load};

int pci_hotplug_new(const struct pci_hotplug_params *params, struct pci_hotplug **ret,
		    struct error *err)
{
	struct pci_hotplug *h = calloc(1, sizeof(*h));

	if (!h)
		return error_set(err, -ENOMEM, "PCI hot plug: out of memory");
	h->self = h;
	h->params = *params;
	pthread_mutex_init(&h->lock, NULL);
	*ret = h;
	return 0;
}

void pci_hotplug_free(struct pci_hotplug *h)
{
	if (!h)
		return;
	pthread_mutex_destroy(&h->lock);
	free(h);
}
