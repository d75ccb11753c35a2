/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The PCI devices that a configuration asks for, each in its slot. Their kinds are a table in
 * machine_devices.c: one more is a function that makes it, and a row. Loop's thread.
 */
#ifndef HOLDFAST_VMM_MACHINE_DEVICES_H
#define HOLDFAST_VMM_MACHINE_DEVICES_H

#include "base/loop.h"
#include "base/state.h"
#include "vmm/config.h"
#include "vmm/machine_pci.h"

#define MACHINE_DEVICES_MAX (PCI_SLOTS_MAX - 1)

struct machine_devices;

/* config: borrowed for the call. The rest: borrowed for the life of the devices. */
struct machine_devices_params {
	const struct vm_config *config;
	struct loop *loop;
	struct machine_pci *pci;
	struct machine_control *control;
};

int machine_devices_new(const struct machine_devices_params *params, struct machine_devices **ret,
			struct error *err);
void machine_devices_free(struct machine_devices *devices); /* NULL is fine */

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
const char *machine_devices_hvc(const struct machine_devices *devices);

#endif
