/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/machine_devices.h"

#include <stdio.h>
#include <string.h>

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
	unsigned int kind; /* index in the table */
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

static void rng_forget(struct vm_config *config)
{
	config->rng = (struct rng_config){0};
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

static void hvc_forget(struct vm_config *config)
{
	config->hvc = (struct console_config){.mode = CONSOLE_OFF};
}

/*
 * Slots are part of the machine's layout: a guest names its devices by them, and a state its nodes.
 * Those of which there is one at most have fixed ones at the upper end; a kind of which there are
 * several begins at its first and goes up.
 */
static const struct {
	const char *name; /* key of the configuration */
	unsigned int first_slot;
	unsigned int (*count)(const struct vm_config *config);
	int (*make)(struct machine_devices *d, unsigned int index, struct made *ret,
		    struct error *err);
	/* Its device was given back: the configuration is to have it no more. */
	void (*forget)(struct vm_config *config);
} kinds[] = {
	{"rng", 30, rng_count, rng_make, rng_forget},
	{"hvc", 31, hvc_count, hvc_make, hvc_forget},
};

static void free_device(struct machine_devices *d, const struct device *device)
{
	machine_pci_remove(d->params.pci, device->slot);
	virtio_pci_free(device->v);
	loop_thread_free(device->thread);
}

/* Takes what was made, even on failure. plug: into a machine that runs. */
static int add(struct machine_devices *d, unsigned int kind, unsigned int slot, bool plug,
	       const struct made *made, struct error *err)
{
	struct loop *loop = made->thread ? loop_thread_loop(made->thread) : d->params.loop;
	const struct pci_attach attach = machine_pci_attach(d->params.pci, slot);
	struct virtio_pci *v;
	int r = virtio_pci_new(made->ops, made->dev, loop, &attach, &v, err);

	if (r == 0) {
		r = (plug ? machine_pci_plug : machine_pci_add)(d->params.pci, slot,
								virtio_pci_function(v), err);
		if (r < 0)
			virtio_pci_free(v);
	}
	if (r < 0) {
		loop_thread_free(made->thread);
		return r;
	}
	d->all[d->count++] =
		(struct device){.v = v, .thread = made->thread, .slot = slot, .kind = kind};
	return 0;
}

static unsigned int have_of(const struct machine_devices *d, unsigned int kind)
{
	unsigned int count = 0;

	for (unsigned int i = 0; i < d->count; i++)
		count += d->all[i].kind == kind;
	return count;
}

/* What the configuration has and the machine has not. */
static int make_missing(struct machine_devices *d, bool plug, struct error *err)
{
	for (unsigned int k = 0; k < ARRAY_SIZE(kinds); k++) {
		unsigned int count = kinds[k].count(d->params.config);

		for (unsigned int i = have_of(d, k); i < count; i++) {
			struct made made;
			int r = kinds[k].make(d, i, &made, err);

			if (r == 0)
				r = add(d, k, kinds[k].first_slot + i, plug, &made, err);
			if (r < 0)
				return r;
		}
	}
	return 0;
}

/* ---- Hot plug. ---- */

static void take_out(struct machine_devices *d, unsigned int index)
{
	const struct device device = d->all[index];

	/* The order of the others is that of their state. */
	d->count--;
	memmove(&d->all[index], &d->all[index + 1], (d->count - index) * sizeof(d->all[0]));
	if (kinds[device.kind].make == hvc_make)
		d->hvc = NULL;
	free_device(d, &device);
}

static void on_ejected(void *opaque, unsigned int slot)
{
	struct machine_devices *d = opaque;

	for (unsigned int i = 0; i < d->count; i++) {
		unsigned int kind = d->all[i].kind;

		if (d->all[i].slot != slot)
			continue;
		take_out(d, i);
		if (d->params.gone)
			d->params.gone(d->params.opaque, kinds[kind].name);
		return;
	}
}

int machine_devices_plug(struct machine_devices *d, const struct vm_config *config,
			 struct error *err)
{
	unsigned int before = d->count;
	int r;

	d->params.config = config;
	r = make_missing(d, true, err);
	d->params.config = NULL;
	while (r < 0 && d->count > before)
		take_out(d, d->count - 1);
	return r;
}

int machine_devices_request_unplug(struct machine_devices *d, const char *kind, struct error *err)
{
	for (unsigned int i = d->count; i-- > 0;) {
		if (strcmp(kinds[d->all[i].kind].name, kind) != 0)
			continue;
		machine_pci_request_unplug(d->params.pci, d->all[i].slot);
		return 0;
	}
	return error_set(err, -ENOENT, "the VM has no device \"%s\" that can be unplugged", kind);
}

void machine_devices_forget(struct vm_config *config, const char *kind)
{
	for (unsigned int k = 0; k < ARRAY_SIZE(kinds); k++) {
		if (strcmp(kinds[k].name, kind) == 0)
			kinds[k].forget(config);
	}
}

/* ---- Life. ---- */

int machine_devices_new(const struct machine_devices_params *params, struct machine_devices **ret,
			struct error *err)
{
	struct machine_devices *d = calloc(1, sizeof(*d));
	int r;

	if (!d)
		return error_set(err, -ENOMEM, "devices: out of memory");
	d->params = *params;
	machine_pci_on_ejected(d->params.pci, on_ejected, d);
	r = make_missing(d, false, err);
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
	machine_pci_on_ejected(d->params.pci, NULL, NULL);
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
