/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/machine_devices.h"

#include <stdio.h>

#include "base/loop_thread.h"
#include "base/util.h"
#include "devices/virtio/console.h"
#include "devices/virtio/rng.h"
#include "vmm/console.h"

/* A device and where it lives. */
struct device {
	struct virtio_pci *v;	    /* owned */
	struct loop_thread *thread; /* owned; NULL: the main loop */
	unsigned int slot;
};

struct machine_devices {
	struct machine_devices_params params;
	struct device all[MACHINE_DEVICES_MAX];
	unsigned int count;
	const struct chardev *hvc; /* borrowed from the virtio console */
};

/* What making one comes to. ops and dev are given to the transport. */
struct made {
	const struct virtio_device_ops *ops;
	void *dev;
	struct loop_thread *thread; /* taken; NULL: the device lives on the main loop */
};

static unsigned int rng_count(const struct vm_config *config)
{
	return config->rng.on;
}

static int rng_make(struct machine_devices *d, unsigned int index _unused_, struct made *ret,
		    struct error *err)
{
	struct virtio_rng *rng;
	int r = virtio_rng_new(d->params.config->rng.source, &rng, err);

	if (r < 0)
		return r;
	*ret = (struct made){.ops = &virtio_rng_ops, .dev = rng};
	return 0;
}

static unsigned int hvc_count(const struct vm_config *config)
{
	return config->hvc.mode != CONSOLE_OFF;
}

static int hvc_make(struct machine_devices *d, unsigned int index _unused_, struct made *ret,
		    struct error *err)
{
	struct virtio_console *console;
	struct chardev *backend;
	int r = console_open("hvc", &d->params.config->hvc, d->params.loop, d->params.control,
			     &backend, err);

	if (r == 0)
		r = virtio_console_new(backend, &console, err);
	if (r < 0)
		return r;
	d->hvc = backend;
	*ret = (struct made){.ops = &virtio_console_ops, .dev = console};
	return 0;
}

/*
 * Slots are part of the machine's layout: a guest names its devices by them, and a state its nodes.
 * Those of which there is one at most have fixed ones at the upper end; a kind of which there are
 * several begins at its first and goes up.
 */
static const struct {
	unsigned int first_slot;
	unsigned int (*count)(const struct vm_config *config);
	int (*make)(struct machine_devices *d, unsigned int index, struct made *ret,
		    struct error *err);
} kinds[] = {
	{30, rng_count, rng_make},
	{31, hvc_count, hvc_make},
};

static void free_device(struct machine_devices *d, const struct device *device)
{
	machine_pci_remove(d->params.pci, device->slot);
	virtio_pci_free(device->v);
	loop_thread_free(device->thread);
}

/* Takes what was made, even on failure. */
static int add(struct machine_devices *d, unsigned int slot, const struct made *made,
	       struct error *err)
{
	struct loop *loop = made->thread ? loop_thread_loop(made->thread) : d->params.loop;
	const struct pci_attach attach = machine_pci_attach(d->params.pci, slot);
	struct virtio_pci *v;
	int r = virtio_pci_new(made->ops, made->dev, loop, &attach, &v, err);

	if (r == 0) {
		r = machine_pci_add(d->params.pci, slot, virtio_pci_function(v), err);
		if (r < 0)
			virtio_pci_free(v);
	}
	if (r < 0) {
		loop_thread_free(made->thread);
		return r;
	}
	d->all[d->count++] = (struct device){.v = v, .thread = made->thread, .slot = slot};
	return 0;
}

static int make_all(struct machine_devices *d, struct error *err)
{
	for (unsigned int k = 0; k < ARRAY_SIZE(kinds); k++) {
		unsigned int count = kinds[k].count(d->params.config);

		for (unsigned int i = 0; i < count; i++) {
			struct made made;
			int r = kinds[k].make(d, i, &made, err);

			if (r == 0)
				r = add(d, kinds[k].first_slot + i, &made, err);
			if (r < 0)
				return r;
		}
	}
	return 0;
}

int machine_devices_new(const struct machine_devices_params *params, struct machine_devices **ret,
			struct error *err)
{
	struct machine_devices *d = calloc(1, sizeof(*d));
	int r;

	if (!d)
		return error_set(err, -ENOMEM, "devices: out of memory");
	d->params = *params;
	r = make_all(d, err);
	d->params.config = NULL;
	if (r < 0) {
		machine_devices_free(d);
		return r;
	}
	*ret = d;
	return 0;
}

void machine_devices_free(struct machine_devices *d)
{
	if (!d)
		return;
	while (d->count > 0)
		free_device(d, &d->all[--d->count]);
	free(d);
}

size_t machine_devices_objects(struct machine_devices *d,
			       struct state_object objects[MACHINE_DEVICES_MAX])
{
	for (unsigned int i = 0; i < d->count; i++) {
		struct device *device = &d->all[i];

		objects[i] = (struct state_object){.ops = virtio_pci_state_ops(device->v),
						   .obj = device->v};
		snprintf(objects[i].instance, sizeof(objects[i].instance), "%x", device->slot);
	}
	return d->count;
}

size_t machine_devices_state_size_max(struct machine_devices *d)
{
	size_t size = 0;

	for (unsigned int i = 0; i < d->count; i++)
		size += virtio_pci_state_size_max(d->all[i].v);
	return size;
}

int machine_devices_drain(struct machine_devices *d, uint64_t deadline_ns, struct error *err)
{
	for (unsigned int i = 0; i < d->count; i++) {
		int r = virtio_pci_drain(d->all[i].v, deadline_ns, err);

		/* The one that refused goes on by itself. */
		if (r < 0) {
			machine_devices_thaw(d);
			return r;
		}
	}
	return 0;
}

void machine_devices_thaw(struct machine_devices *d)
{
	for (unsigned int i = 0; i < d->count; i++)
		virtio_pci_thaw(d->all[i].v);
}

void machine_devices_resumed(struct machine_devices *d)
{
	for (unsigned int i = 0; i < d->count; i++)
		virtio_pci_resumed(d->all[i].v);
}

const char *machine_devices_hvc(const struct machine_devices *d)
{
	return d->hvc ? chardev_path(d->hvc) : NULL;
}
