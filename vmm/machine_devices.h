/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The PCI devices that a configuration asks for, each in its slot and with its name. What they can
 * be is in kinds/. Loop's thread.
 */
#ifndef HOLDFAST_VMM_MACHINE_DEVICES_H
#define HOLDFAST_VMM_MACHINE_DEVICES_H

#include "base/json.h"
#include "base/loop.h"
#include "base/state.h"
#include "vmm/config.h"
#include "vmm/device_news.h"
#include "vmm/guest_memory.h"
#include "vmm/machine_pci.h"

#define MACHINE_DEVICES_MAX (PCI_SLOTS_MAX - 1)

struct machine_devices;
struct passthrough;

/* config: borrowed for the call. The rest: borrowed for the life of the devices. */
struct machine_devices_params {
	const struct vm_config *config;
	struct loop *loop;
	struct guest_ram *ram;
	struct machine_pci *pci;
	struct machine_control *control;
	struct passthrough *passthrough; /* made by machine_devices_new() */
	/* Devices that came back from an update; borrowed for machine_devices_new(). NULL: none. */
	const struct kept_devices *kept;
	/* A guest gave the device of that name back and it is gone. May be NULL. */
	void (*gone)(void *opaque, const char *name);
	/* Something has happened to a device of the host. May be NULL. */
	void (*told)(void *opaque, const struct device_news *news);
	void *opaque;
};

int machine_devices_new(const struct machine_devices_params *params, struct machine_devices **ret,
			struct error *err);
void machine_devices_free(struct machine_devices *devices); /* NULL is fine */

/*
 * Plugs in what config has beyond what there is, into a machine that runs; borrowed for the call.
 * On failure nothing was added.
 */
int machine_devices_plug(struct machine_devices *devices, const struct vm_config *config,
			 struct error *err);
/* Asks the guest for the device of that name ("rng", "hvc", "balloon", "vsock", or the id of a
 * disk, a network card or a device of the host). -ENOENT: the VM has none. */
int machine_devices_request_unplug(struct machine_devices *devices, const char *name,
				   struct error *err);

/*
 * Copies of the descriptors of devices of the host that stay through an update: those that
 * config marks as kept. -EOPNOTSUPP: one cannot stay. Nothing is left in *ret on failure.
 */
int machine_devices_keep(struct machine_devices *devices, const struct vm_config *config,
			 struct kept_devices *ret, struct error *err);
/* Has the state of that device of the host saved, with what is in the device, or no longer. False:
 * it cannot be, or there is none. */
bool machine_devices_migrate(struct machine_devices *devices, const char *name, bool on);
/* Devices of the host that are kept go on for somebody else when they are freed, or end again. */
void machine_devices_hand_over(struct machine_devices *devices, bool over);

/* Why a device would not be found again in the next kernel: all reasons are added. Touches nothing.
 */
void machine_devices_check_update(struct machine_devices *devices, struct problems *problems);

/* As virtio_blk_resize(). -ENOENT: no disk has that id. */
int machine_devices_resize_disk(struct machine_devices *devices, const char *id, uint64_t size,
				struct error *err);
/* As virtio_balloon_resize(). -ENOENT: there is no balloon. */
int machine_devices_resize_balloon(struct machine_devices *devices, uint64_t size,
				   struct error *err);
/* RAM that is added, for the devices that must be told before the guest: as passthrough_add_ram()
 * and passthrough_remove_ram(). */
int machine_devices_add_memory(struct machine_devices *devices,
			       const struct guest_memory_region *region, struct error *err);
void machine_devices_remove_memory(struct machine_devices *devices,
				   const struct guest_memory_region *region);
/* The guest has so many bytes of RAM now. */
void machine_devices_memory_is(struct machine_devices *devices, uint64_t memory);
/* As virtio_balloon_statistics(); NULL: there is no balloon. */
json_t *machine_devices_balloon_statistics(struct machine_devices *devices);
/* From when this returns, no device gives guest memory back to the host, or they do again. */
void machine_devices_keep_memory(struct machine_devices *devices, bool keep);
/* What each disk has done, by its id, and the balloon; see virtio_blk_get_counters() and
 * virtio_balloon_get_counters(). New reference. */
json_t *machine_devices_counters(const struct machine_devices *devices);

/* Returns how many. */
size_t machine_devices_objects(struct machine_devices *devices,
			       struct state_object objects[MACHINE_DEVICES_MAX]);
/* Upper bound of what saving them writes, in bytes. */
size_t machine_devices_state_size_max(struct machine_devices *devices);

/*
 * vCPUs are stopped: every device finishes what it has taken, until deadline_ns (CLOCK_MONOTONIC),
 * and tells the guest. On failure all of them go on.
 */
int machine_devices_drain(struct machine_devices *devices, uint64_t deadline_ns, struct error *err);
/* After a drain: they go on. Nothing for devices that were loaded. */
void machine_devices_thaw(struct machine_devices *devices);
/* After a load, before the vCPUs run: they go on from there. */
void machine_devices_resumed(struct machine_devices *devices);

/* Where the user finds the virtio console; NULL: the VM has none. Borrowed. */
const char *machine_devices_hvc(struct machine_devices *devices);

#endif
