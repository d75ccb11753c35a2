/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/machine_devices.h"

#include <stdio.h>
#include <string.h>

#include "base/loop_thread.h"
#include "base/util.h"
#include "devices/virtio/balloon/balloon.h"
#include "devices/virtio/blk/blk.h"
#include "devices/virtio/console.h"
#include "devices/virtio/rng.h"
#include "vmm/console.h"

/* A device and where it lives. */
struct device {
	struct virtio_pci *v;	    /* owned */
	struct loop_thread *thread; /* owned; NULL: the main loop */
	unsigned int slot;
	char name[VM_DEVICE_NAME_MAX];
	struct virtio_blk *disk;	/* borrowed; NULL: it is none */
	struct virtio_balloon *balloon; /* the same */
	bool fresh;			/* of the call that is under way: taken back if it fails */
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
	struct loop_thread *thread;	/* taken; NULL: the device lives on the main loop */
	struct virtio_blk *disk;	/* dev, if it is one */
	struct virtio_balloon *balloon; /* the same */
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

static unsigned int balloon_count(const struct vm_config *config)
{
	return config->balloon.on;
}

static int balloon_make(struct machine_devices *d, unsigned int index _unused_, struct made *ret,
			struct error *err)
{
	const struct guest_memory ram = guest_ram_view(d->params.ram);
	const struct guest_discard discard = guest_ram_discarder(d->params.ram);
	struct virtio_balloon *balloon;
	struct loop_thread *thread;
	int r = loop_thread_new("balloon", &thread, err);

	if (r < 0)
		return r;
	r = virtio_balloon_new(&d->params.config->balloon, guest_ram_size(d->params.ram), &ram,
			       &discard, &balloon, err);
	if (r < 0) {
		loop_thread_free(thread);
		return r;
	}
	*ret = (struct made){
		.ops = &virtio_balloon_ops, .dev = balloon, .thread = thread, .balloon = balloon};
	return 0;
}

static unsigned int disk_count(const struct vm_config *config)
{
	return config->disk_count;
}

static int disk_make(struct machine_devices *d, unsigned int index, struct made *ret,
		     struct error *err)
{
	const struct virtio_blk_config *config = &d->params.config->disks[index];
	struct loop_thread *thread;
	struct virtio_blk *blk;
	char name[16];
	int r;

	snprintf(name, sizeof(name), "disk:%.10s", config->id);
	r = loop_thread_new(name, &thread, err);
	if (r < 0)
		return r;
	r = virtio_blk_new(config, &blk, err);
	if (r < 0) {
		loop_thread_free(thread);
		return r;
	}
	*ret = (struct made){.ops = &virtio_blk_ops, .dev = blk, .thread = thread, .disk = blk};
	return 0;
}

/*
 * Slots are part of the machine's layout: a guest names its devices by them, and a state its nodes.
 * Those of which there is one at most have fixed ones at the upper end; disks have theirs in the
 * configuration.
 */
static const struct {
	const char *name;  /* key of the configuration */
	unsigned int slot; /* 0: each has its own */
	unsigned int (*count)(const struct vm_config *config);
	int (*make)(struct machine_devices *d, unsigned int index, struct made *ret,
		    struct error *err);
} kinds[] = {
	{"disk", 0, disk_count, disk_make},
	{"balloon", 29, balloon_count, balloon_make},
	{"rng", 30, rng_count, rng_make},
	{"hvc", 31, hvc_count, hvc_make},
};

static void free_device(struct machine_devices *d, const struct device *device)
{
	machine_pci_remove(d->params.pci, device->slot);
	virtio_pci_free(device->v);
	loop_thread_free(device->thread);
}

/* In the order of slots, whichever way they came. */
static void insert(struct machine_devices *d, const struct device *device)
{
	unsigned int i = d->count++;

	for (; i > 0 && d->all[i - 1].slot > device->slot; i--)
		d->all[i] = d->all[i - 1];
	d->all[i] = *device;
}

/* Takes what was made, even on failure. plug: into a machine that runs. */
static int add(struct machine_devices *d, const char *name, unsigned int slot, bool plug,
	       const struct made *made, struct error *err)
{
	struct loop *loop = made->thread ? loop_thread_loop(made->thread) : d->params.loop;
	const struct pci_attach attach = machine_pci_attach(d->params.pci, slot);
	struct device device = {.thread = made->thread,
				.slot = slot,
				.disk = made->disk,
				.balloon = made->balloon,
				.fresh = true};
	int r = virtio_pci_new(made->ops, made->dev, loop, &attach, &device.v, err);

	if (r == 0) {
		r = (plug ? machine_pci_plug : machine_pci_add)(d->params.pci, slot,
								virtio_pci_function(device.v), err);
		if (r < 0)
			virtio_pci_free(device.v);
	}
	if (r < 0) {
		loop_thread_free(made->thread);
		return r;
	}
	snprintf(device.name, sizeof(device.name), "%s", name);
	insert(d, &device);
	return 0;
}

static struct device *find(struct machine_devices *d, const char *name)
{
	for (unsigned int i = 0; i < d->count; i++) {
		if (strcmp(d->all[i].name, name) == 0)
			return &d->all[i];
	}
	return NULL;
}

static int make_one(struct machine_devices *d, unsigned int kind, unsigned int index, bool plug,
		    struct error *err)
{
	const struct virtio_blk_config *disk = &d->params.config->disks[index];
	const char *name = kinds[kind].slot ? kinds[kind].name : disk->id;
	unsigned int slot = kinds[kind].slot ? kinds[kind].slot : disk->slot;
	struct made made;
	int r;

	if (find(d, name))
		return 0;
	r = kinds[kind].make(d, index, &made, err);
	return r < 0 ? r : add(d, name, slot, plug, &made, err);
}

static void take_out(struct machine_devices *d, unsigned int index)
{
	const struct device device = d->all[index];

	d->count--;
	memmove(&d->all[index], &d->all[index + 1], (d->count - index) * sizeof(d->all[0]));
	if (strcmp(device.name, "hvc") == 0)
		d->hvc = NULL;
	free_device(d, &device);
}

/* What the configuration has and the machine has not. */
static int make_missing(struct machine_devices *d, bool plug, struct error *err)
{
	int r = 0;

	for (unsigned int k = 0; k < ARRAY_SIZE(kinds) && r == 0; k++) {
		unsigned int count = kinds[k].count(d->params.config);

		for (unsigned int i = 0; i < count && r == 0; i++)
			r = make_one(d, k, i, plug, err);
	}
	return r;
}

/* ---- Hot plug. ---- */

static void on_ejected(void *opaque, unsigned int slot)
{
	struct machine_devices *d = opaque;
	char name[VM_DEVICE_NAME_MAX];

	for (unsigned int i = 0; i < d->count; i++) {
		if (d->all[i].slot != slot)
			continue;
		memcpy(name, d->all[i].name, sizeof(name));
		take_out(d, i);
		if (d->params.gone)
			d->params.gone(d->params.opaque, name);
		return;
	}
}

/* Of the devices that this call has made. */
static void keep_or_take_back(struct machine_devices *d, bool keep)
{
	for (unsigned int i = d->count; i-- > 0;) {
		if (d->all[i].fresh && !keep)
			take_out(d, i);
		else
			d->all[i].fresh = false;
	}
}

int machine_devices_plug(struct machine_devices *d, const struct vm_config *config,
			 struct error *err)
{
	int r;

	d->params.config = config;
	r = make_missing(d, true, err);
	d->params.config = NULL;
	keep_or_take_back(d, r == 0);
	return r;
}

int machine_devices_request_unplug(struct machine_devices *d, const char *name, struct error *err)
{
	const struct device *device = find(d, name);

	if (!device)
		return error_set(err, -ENOENT, "the VM has no device \"%s\" that can be unplugged",
				 name);
	machine_pci_request_unplug(d->params.pci, device->slot);
	return 0;
}

/* ---- Disks. ---- */

void machine_devices_check_update(struct machine_devices *d, struct problems *problems)
{
	for (unsigned int i = 0; i < d->count; i++) {
		struct error err = ERROR_INIT;

		if (d->all[i].disk && virtio_blk_check_update(d->all[i].disk, true, &err) < 0)
			problem_add(problems, "%s", error_message(&err));
	}
}

int machine_devices_resize_disk(struct machine_devices *d, const char *id, uint64_t size,
				struct error *err)
{
	const struct device *device = find(d, id);

	if (!device || !device->disk)
		return error_set(err, -ENOENT, "the VM has no disk \"%s\"", id);
	return virtio_blk_resize(device->disk, size, err);
}

static json_t *disk_counters(const struct virtio_blk *disk)
{
	struct virtio_blk_counters c;

	virtio_blk_get_counters(disk, &c);
	return json_pack(
		"{ss sI sI sI sI sI sI sI sI sI sI}", "backend", virtio_blk_backend_name(disk),
		"size", (json_int_t)virtio_blk_size(disk), "read-ops", (json_int_t)c.read_ops,
		"read-bytes", (json_int_t)c.read_bytes, "write-ops", (json_int_t)c.write_ops,
		"write-bytes", (json_int_t)c.write_bytes, "flush-ops", (json_int_t)c.flush_ops,
		"other-ops", (json_int_t)c.other_ops, "errors", (json_int_t)c.errors, "throttled",
		(json_int_t)c.throttled, "resubmitted", (json_int_t)c.resubmitted);
}

static json_t *balloon_counters(const struct virtio_balloon *balloon)
{
	struct virtio_balloon_counters c;

	virtio_balloon_get_counters(balloon, &c);
	return json_pack("{sI sI sI sI sI sI}", "inflated-bytes", (json_int_t)c.inflated_bytes,
			 "deflated-bytes", (json_int_t)c.deflated_bytes, "reported-bytes",
			 (json_int_t)c.reported_bytes, "given-back-bytes",
			 (json_int_t)c.given_back_bytes, "refused", (json_int_t)c.refused, "failed",
			 (json_int_t)c.failed);
}

json_t *machine_devices_counters(const struct machine_devices *d)
{
	json_t *all = json_object();

	for (unsigned int i = 0; i < d->count; i++) {
		if (d->all[i].disk)
			json_object_set_new(all, d->all[i].name, disk_counters(d->all[i].disk));
		if (d->all[i].balloon)
			json_object_set_new(all, d->all[i].name,
					    balloon_counters(d->all[i].balloon));
	}
	return all;
}

/* ---- The balloon. ---- */

static struct virtio_balloon *find_balloon(struct machine_devices *d)
{
	const struct device *device = find(d, "balloon");

	return device ? device->balloon : NULL;
}

int machine_devices_resize_balloon(struct machine_devices *d, uint64_t size, struct error *err)
{
	struct virtio_balloon *balloon = find_balloon(d);

	if (!balloon)
		return error_set(err, -ENOENT,
				 "the VM has no balloon: start it with --balloon, or plug one in");
	return virtio_balloon_resize(balloon, size, err);
}

json_t *machine_devices_balloon_statistics(struct machine_devices *d)
{
	struct virtio_balloon *balloon = find_balloon(d);

	return balloon ? virtio_balloon_statistics(balloon) : NULL;
}

void machine_devices_keep_memory(struct machine_devices *d, bool keep)
{
	struct virtio_balloon *balloon = find_balloon(d);

	if (balloon)
		virtio_balloon_keep(balloon, keep);
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
	keep_or_take_back(d, true);
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
