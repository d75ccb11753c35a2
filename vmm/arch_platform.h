/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The devices that every machine of an architecture has at fixed places: on x86 serial port, RTC,
 * ACPI fixed hardware and reset registers. Implemented by vmm/x86/. Loop's thread.
 */
#ifndef HOLDFAST_VMM_ARCH_PLATFORM_H
#define HOLDFAST_VMM_ARCH_PLATFORM_H

#include "base/loop.h"
#include "base/state.h"
#include "devices/attach.h"
#include "devices/pci/pci_place.h"
#include "vmm/arch.h"
#include "vmm/bus.h"
#include "vmm/config.h"

struct arch_platform;

struct arch_platform_params {
	const struct vm_config *config; /* borrowed for the call */
	struct loop *loop;		/* borrowed for the platform's life, as all below */
	struct arch_vm *vm;
	struct bus *ports, *mmio;
	struct machine_control control;
};

/* Makes the devices and puts them on the buses. */
int arch_platform_new(const struct arch_platform_params *params, struct arch_platform **ret,
		      struct error *err);
void arch_platform_free(struct arch_platform *platform); /* NULL is fine */

#define ARCH_PLATFORM_OBJECTS_MAX 8
size_t arch_platform_objects(struct arch_platform *platform,
			     struct state_object objects[ARCH_PLATFORM_OBJECTS_MAX]);
/* Upper bound of what saving them writes, in bytes. */
size_t arch_platform_state_size_max(void);

/* Before the vCPUs run: input from the host flows. */
void arch_platform_start(struct arch_platform *platform);
/* vCPUs are stopped: no more input; output is handed over, for at most timeout_ms: what the backend
 * does not take by then goes into the state. */
void arch_platform_stop(struct arch_platform *platform, unsigned int timeout_ms);

/* Where an architecture has what belongs to PCI. */
struct arch_pci {
	uint64_t ecam, ecam_size;
	struct pci_windows windows; /* of the host bridge */
	bool has_ports;		    /* configuration mechanism #1, too */
	/* Where the hot plug controller's ports are, as the tables say; raise its event with
	 * arch_platform_pci_event(). */
	uint16_t hotplug_port;
	/* The machine's own register amid those ports; see struct pci_host_params. */
	const struct io_ops *port_ops;
	void *port_opaque;
};
void arch_platform_pci(struct arch_platform *platform, const struct guest_ram *ram,
		       struct arch_pci *ret);
/* Makes the guest's OS look at the hot plug controller. Any thread. */
void arch_platform_pci_event(struct arch_platform *platform);

/* The same for memory: where the controller's ports are, and its event. */
uint16_t arch_platform_memory_port(void);
void arch_platform_memory_event(struct arch_platform *platform);

void arch_platform_power_button(struct arch_platform *platform);

/* Where the user finds the console: "stdio", "/dev/pts/7", a path. Borrowed. */
const char *arch_platform_console(const struct arch_platform *platform);

#endif
