/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/machine_devices.h"

#include <stdio.h>
#include <string.h>

#include "base/loop_thread.h"
#include "base/util.h"
#include "devices/virtio/balloon/balloon.h"
#include "devices/virtio/blk/blk.h"
#include "devices/virtio/console.h"
#include "vmm/kinds/kinds.h"
#include "vmm/passthrough.h"
#include "vmm/passthrough_preserve.h"

/* A device and where it lives. */
struct device {
	const struct machine_kind *kind;
	void *dev;		    /* what its kind makes; owned by the transport, if any */
	struct virtio_pci *v;	    /* owned; NULL: dev is a function by itself, and owned */
	struct loop_thread *thread; /* owned; NULL: the main loop */
	unsigned int slot;
	char name[VM_DEVICE_NAME_MAX];
	bool by_state; /* of the host: not handed over, its state is saved */
	bool fresh;    /* of the call that is under way: taken back if it fails */
};

struct machine_devices {
	struct machine_devices_params params;
	struct device all[MACHINE_DEVICES_MAX];
	unsigned int count;
};

static void free_device(struct machine_devices *d, const struct device *device)
{
	machine_pci_remove(d->params.pci, device->slot);
	if (device->kind->function)
		device->kind->function->free(device->dev);
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

/* The device and what carries it. On failure nothing is left. */
static int make_device(struct machine_devices *d, struct device *device, unsigned int index,
		       struct pci_device **ret, struct error *err)
{
	struct loop *loop = device->thread ? loop_thread_loop(device->thread) : d->params.loop;
	const struct pci_attach attach = machine_pci_attach(d->params.pci, device->slot);
	const struct machine_kind *kind = device->kind;
	int r;

	if (kind->function) {
		r = kind->function->make(&d->params, index, &attach, &device->dev, err);
		if (r == 0)
			*ret = kind->function->pci(device->dev);
		return r;
	}
	r = kind->make(&d->params, index, &device->dev, err);
	if (r == 0)
		r = virtio_pci_new(kind->ops, device->dev, loop, &attach, &device->v, err);
	if (r == 0)
		*ret = virtio_pci_function(device->v);
	return r;
}

/* Puts it into its slot. plug: of a machine that runs. On failure nothing is left of the device. */
static int add(struct machine_devices *d, struct device *device, unsigned int index, bool plug,
	       struct error *err)
{
	struct pci_device *function = NULL;
	int r = make_device(d, device, index, &function, err);

	if (r < 0)
		return r;
	r = (plug ? machine_pci_plug : machine_pci_add)(d->params.pci, device->slot, function, err);
	if (r < 0) {
		if (device->kind->function)
			device->kind->function->free(device->dev);
		virtio_pci_free(device->v);
		return r;
	}
	insert(d, device);
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

/* The device of that name and kind, or NULL. */
static void *find_dev(struct machine_devices *d, const char *name, const struct machine_kind *kind)
{
	const struct device *device = find(d, name);

	return device && device->kind == kind ? device->dev : NULL;
}

static int start_thread(struct machine_devices *d, struct device *device, struct error *err)
{
	char name[16]; /* TASK_COMM_LEN */

	if (device->kind->id)
		snprintf(name, sizeof(name), "%s:%.10s", device->kind->name, device->name);
	else
		snprintf(name, sizeof(name), "%s", device->kind->name);
	return loop_thread_new_beside(d->params.loop, device->kind->name, name, &device->thread,
				      err);
}

static int make_one(struct machine_devices *d, const struct machine_kind *kind, unsigned int index,
		    bool plug, struct error *err)
{
	const struct vm_config *config = d->params.config;
	const char *name = kind->id ? kind->id(config, index) : kind->name;
	struct device device = {
		.kind = kind,
		.slot = kind->slot_of ? kind->slot_of(config, index) : kind->slot,
		.fresh = true,
	};
	int r = 0;

	if (find(d, name) || (kind->is_away && kind->is_away(config, index)))
		return 0;
	snprintf(device.name, sizeof(device.name), "%s", name);
	if (kind->thread)
		r = start_thread(d, &device, err);
	if (r == 0)
		r = add(d, &device, index, plug, err);
	if (r < 0)
		loop_thread_free(device.thread);
	return r;
}

static void take_out(struct machine_devices *d, unsigned int index)
{
	const struct device device = d->all[index];

	d->count--;
	memmove(&d->all[index], &d->all[index + 1], (d->count - index) * sizeof(d->all[0]));
	free_device(d, &device);
}

/* What the configuration has and the machine has not. */
static int make_missing(struct machine_devices *d, bool plug, struct error *err)
{
	int r = 0;

	for (const struct machine_kind *const *kind = machine_kinds; *kind && r == 0; kind++) {
		unsigned int count = (*kind)->count(d->params.config);

		for (unsigned int i = 0; i < count && r == 0; i++)
			r = make_one(d, *kind, i, plug, err);
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

/* ---- Devices of the host that stay through an update. ---- */

static int keep_one(struct machine_devices *d, const struct device *device,
		    struct kept_devices *kept, struct error *err)
{
	const struct machine_function_kind *function = device->kind->function;
	enum passthrough_space space = function->space(device->dev);
	const struct iommufd *io = passthrough_iommufd(d->params.passthrough, space);
	int r;

	if (!passthrough_is_by_file(d->params.passthrough, space))
		return error_set(
			err, -EOPNOTSUPP,
			"device-preserve: device %s: guest memory is mapped by address, which "
			"cannot be handed over: this kernel cannot map files (Linux 6.14 can)",
			device->name);
	r = kept_devices_set_space(kept, space, iommufd_fd(io), iommufd_ioas(io), err);
	if (r < 0)
		return r;
	return kept_devices_add(kept, device->slot, device->name, function->fd(device->dev), err);
}

bool machine_devices_migrate(struct machine_devices *d, const char *name, bool on)
{
	struct device *device = find(d, name);
	const struct machine_function_kind *function = device ? device->kind->function : NULL;

	if (!function)
		return false;
	device->by_state = on && function->migrates(device->dev);
	function->set_migrates(device->dev, device->by_state);
	return device->by_state;
}

int machine_devices_keep(struct machine_devices *d, const struct vm_config *config,
			 struct kept_devices *ret, struct error *err)
{
	int r = 0;

	kept_devices_init(ret);
	for (unsigned int i = 0; i < d->count && r == 0; i++) {
		if (d->all[i].kind->function && vm_config_is_kept(config, d->all[i].name) &&
		    !d->all[i].by_state)
			r = keep_one(d, &d->all[i], ret, err);
	}
	if (r < 0)
		kept_devices_done(ret);
	return r;
}

void machine_devices_hand_over(struct machine_devices *d, bool over)
{
	for (unsigned int i = 0; i < d->count; i++) {
		if (d->all[i].kind->function)
			d->all[i].kind->function->keep(d->all[i].dev, over);
	}
}

/* ---- What the user does with them. ---- */

void machine_devices_check_update(struct machine_devices *d, struct problems *problems)
{
	for (unsigned int i = 0; i < d->count; i++) {
		const struct device *device = &d->all[i];
		struct error err = ERROR_INIT;

		if (device->kind->check_update && device->kind->check_update(device->dev, &err) < 0)
			problem_add(problems, "%s", error_message(&err));
	}
}

json_t *machine_devices_counters(const struct machine_devices *d)
{
	json_t *all = json_object();

	for (unsigned int i = 0; i < d->count; i++) {
		const struct device *device = &d->all[i];

		if (device->kind->counters)
			json_object_set_new(all, device->name, device->kind->counters(device->dev));
	}
	return all;
}

int machine_devices_resize_disk(struct machine_devices *d, const char *id, uint64_t size,
				struct error *err)
{
	struct virtio_blk *disk = find_dev(d, id, &machine_kind_disk);

	if (!disk)
		return error_set(err, -ENOENT, "the VM has no disk \"%s\"", id);
	return virtio_blk_resize(disk, size, err);
}

static struct virtio_balloon *find_balloon(struct machine_devices *d)
{
	return find_dev(d, machine_kind_balloon.name, &machine_kind_balloon);
}

int machine_devices_resize_balloon(struct machine_devices *d, uint64_t size, struct error *err)
{
	struct virtio_balloon *balloon = find_balloon(d);

	if (!balloon)
		return error_set(err, -ENOENT,
				 "the VM has no balloon: start it with --balloon, or plug one in");
	return virtio_balloon_resize(balloon, size, err);
}

int machine_devices_add_memory(struct machine_devices *d, const struct guest_memory_region *region,
			       struct error *err)
{
	return passthrough_add_ram(d->params.passthrough, region, err);
}

void machine_devices_remove_memory(struct machine_devices *d,
				   const struct guest_memory_region *region)
{
	passthrough_remove_ram(d->params.passthrough, region);
}

void machine_devices_memory_is(struct machine_devices *d, uint64_t memory)
{
	struct virtio_balloon *balloon = find_balloon(d);

	if (balloon)
		virtio_balloon_set_memory(balloon, memory);
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
	d->params.passthrough = passthrough_new(params->ram);
	r = d->params.passthrough ? 0 : error_set(err, -ENOMEM, "devices: out of memory");
	if (r == 0) {
		passthrough_adopt(d->params.passthrough, d->params.kept);
		r = make_missing(d, false, err);
		passthrough_adopt(d->params.passthrough, NULL);
	}
	d->params.config = NULL;
	d->params.kept = NULL;
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
	passthrough_free(d->params.passthrough);
	free(d);
}

size_t machine_devices_objects(struct machine_devices *d,
			       struct state_object objects[MACHINE_DEVICES_MAX])
{
	size_t count = 0;

	for (unsigned int i = 0; i < d->count; i++) {
		struct device *device = &d->all[i];
		struct state_object *object = &objects[count];

		if (device->v)
			*object = (struct state_object){.ops = virtio_pci_state_ops(device->v),
							.obj = device->v};
		else
			*object = (struct state_object){
				.ops = device->kind->function->state,
				.obj = device->kind->function->state_of(device->dev)};
		snprintf(object->instance, sizeof(object->instance), "%x", device->slot);
		count++;
	}
	return count;
}

size_t machine_devices_state_size_max(struct machine_devices *d)
{
	size_t size = 0;

	for (unsigned int i = 0; i < d->count; i++)
		size += d->all[i].v ? virtio_pci_state_size_max(d->all[i].v)
				    : d->all[i].kind->function->state_size_max(d->all[i].dev);
	return size;
}

int machine_devices_drain(struct machine_devices *d, uint64_t deadline_ns, struct error *err)
{
	for (unsigned int i = 0; i < d->count; i++) {
		int r = 0;

		if (d->all[i].v)
			r = virtio_pci_drain(d->all[i].v, deadline_ns, err);
		else
			r = d->all[i].kind->function->freeze(d->all[i].dev, err);
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
	for (unsigned int i = 0; i < d->count; i++) {
		if (d->all[i].v)
			virtio_pci_thaw(d->all[i].v);
		else
			d->all[i].kind->function->thaw(d->all[i].dev);
	}
}

void machine_devices_resumed(struct machine_devices *d)
{
	for (unsigned int i = 0; i < d->count; i++) {
		if (d->all[i].v)
			virtio_pci_resumed(d->all[i].v);
		else
			d->all[i].kind->function->thaw(d->all[i].dev);
	}
}

const char *machine_devices_hvc(struct machine_devices *d)
{
	const struct virtio_console *console =
		find_dev(d, machine_kind_hvc.name, &machine_kind_hvc);

	return console ? virtio_console_path(console) : NULL;
}
