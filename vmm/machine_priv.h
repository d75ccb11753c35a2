/* SPDX-License-Identifier: Apache-2.0 */
#ifndef HOLDFAST_VMM_MACHINE_PRIV_H
#define HOLDFAST_VMM_MACHINE_PRIV_H

#include <pthread.h>

#include "devices/memory_hotplug.h"
#include "vmm/arch.h"
#include "vmm/arch_platform.h"
#include "vmm/bus.h"
#include "vmm/machine.h"
#include "vmm/machine_devices.h"
#include "vmm/machine_pci.h"
#include "vmm/vcpu.h"
#include "vmm/vcpu_kvm.h"

#define MACHINE_OBJECTS_MAX                                                       \
	(ARCH_OBJECTS_MAX + ARCH_PLATFORM_OBJECTS_MAX + MACHINE_PCI_OBJECTS_MAX + \
	 1 /* memory hot plug */ + MACHINE_DEVICES_MAX)

/* Events on their way from any thread to the loop's. */
struct machine_events {
	struct loop_source *source;
	int fd; /* owned eventfd */
	pthread_mutex_t lock;
	unsigned int pending; /* bit per enum machine_event; under the lock */
	struct error crash;   /* of the first crash; under the lock */
	machine_event_fn *fn;
	void *opaque;
};

/* More than that at once is in the log alone. */
#define MACHINE_NEWS_MAX 16U

struct machine {
	struct vm_config config;
	struct loop *loop;     /* borrowed */
	struct guest_ram *ram; /* owned */
	int kvm_fd, vm_fd;     /* owned */
	struct arch_vm *arch;
	struct vcpu_kvm kvm_vcpus;
	struct vcpu_set *vcpus;
	struct bus *ports, *mmio;
	struct arch_platform *platform;
	struct memory_hotplug *memory_hotplug; /* NULL: none can be added */
	struct machine_pci *pci;
	struct machine_devices *devices;
	struct machine_control control; /* what devices ask the machine by */
	bool devices_run; /* not drained, not just loaded, not before the first start */
	struct machine_events events;
	/* Not taken yet, the oldest first. */
	struct device_news news[MACHINE_NEWS_MAX];
	unsigned int news_count;
	/* In the order of loading. */
	struct state_object objects[MACHINE_OBJECTS_MAX];
	size_t object_count;
	bool giving_up;		  /* devices of the host are wanted back for an update */
	bool memory_kept;	  /* no device gives any back to the host */
	bool resumed;		  /* loaded and not started since */
	bool started;		  /* at least once */
	struct loop_timer *nudge; /* until every vCPU has run */
	uint64_t nudge_delay_ns;
};

/* machine_events.c. Any thread may tell; the callback comes on the loop's. */
int machine_events_init(struct machine_events *events, struct loop *loop, machine_event_fn *fn,
			void *opaque, struct error *err);
void machine_events_done(struct machine_events *events);
void machine_events_tell(struct machine_events *events, enum machine_event event,
			 const struct error *err);

/* machine_passthrough.c. As struct machine_devices_params has it; opaque: struct machine. */
void machine_device_gone(void *opaque, const char *name);
void machine_device_told(void *opaque, const struct device_news *news);

/* machine_memory.c. Guest RAM for the vCPUs; the controller of what is added, and its ports. */
int machine_memory_slots(struct machine *m, struct error *err);
int machine_memory_hotplug_new(struct machine *m, struct error *err);

/* machine.c. The stateful objects as they are now. */
void machine_list_objects(struct machine *m);

/* machine_run.c */
void machine_nudge(void *opaque); /* struct machine: the timer's callback */

#endif
