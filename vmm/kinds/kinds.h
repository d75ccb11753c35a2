/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The kinds of PCI devices that a configuration can ask for: what machine_devices.c has to know of
 * each. One more is a file here and a row in kinds.c. Loop's thread.
 *
 * Slots are part of the machine's layout: a guest names its devices by them, and a state its nodes.
 * A kind of which there is one at most has a fixed one at the upper end; where there can be many,
 * each has its own in the configuration.
 */
#ifndef HOLDFAST_VMM_KINDS_KINDS_H
#define HOLDFAST_VMM_KINDS_KINDS_H

#include "base/json.h"
#include "devices/vhost/vhost.h"
#include "devices/virtio/virtio.h"
#include "vmm/machine_devices.h"
#include "vmm/passthrough.h"

/* A device that is a PCI function by itself, and no virtio device: one of the host. A guest gives
 * it up before an update, or keeps it. */
struct machine_function_kind {
	/* params is borrowed for the device's life, but for its config. */
	int (*make)(const struct machine_devices_params *params, unsigned int index,
		    const struct pci_attach *attach, void **ret, struct error *err);
	struct pci_device *(*pci)(void *dev); /* borrowed */
	void (*free)(void *dev);	      /* off the bus already */
	/* What stays of it through an update, if it is kept. */
	int (*fd)(void *dev); /* borrowed */
	enum passthrough_space (*space)(void *dev);
	const struct state_ops *state;
	void *(*state_of)(void *dev); /* the object of state */
	size_t (*state_size_max)(void *dev);
	/* Where it cannot be handed over: its state can be saved, and is from now on, or no more.
	 */
	bool (*migrates)(void *dev);
	void (*set_migrates)(void *dev, bool migrates);
	int (*freeze)(void *dev, struct error *err); /* vCPUs are stopped: no interrupt any more */
	void (*thaw)(void *dev);		     /* it goes on, if it does not */
	/* It goes on for another kernel or process when it is freed. */
	void (*keep)(void *dev, bool keep);
};

struct machine_kind {
	const char *name;  /* key of the configuration; of the only one also the name */
	unsigned int slot; /* 0: each has its own */
	bool thread;	   /* each lives on a loop of its own, not on the main one */
	const struct virtio_device_ops *ops;
	const struct machine_function_kind *function; /* in the place of ops and make, or NULL */
	/* How many a configuration asks for. */
	unsigned int (*count)(const struct vm_config *config);
	/* Where slot is 0: name (borrowed) and slot of one of them. */
	const char *(*id)(const struct vm_config *config, unsigned int index);
	unsigned int (*slot_of)(const struct vm_config *config, unsigned int index);
	/* One that is in the configuration, and not in the machine now. NULL: none is. */
	bool (*is_away)(const struct vm_config *config, unsigned int index);
	/* What ops and the functions below are called with; owned by the transport from then on. */
	int (*make)(const struct machine_devices_params *params, unsigned int index, void **ret,
		    struct error *err);
	/* Why it would not be found again in the next kernel. NULL: it always would. */
	int (*check_update)(void *dev, struct error *err);
	/* What it has done, as vm.counters shows it. New reference. NULL: nothing. */
	json_t *(*counters)(const void *dev);
};

extern const struct machine_kind machine_kind_disk;
extern const struct machine_kind machine_kind_vsock;
extern const struct machine_kind machine_kind_net;
extern const struct machine_kind machine_kind_balloon;
extern const struct machine_kind machine_kind_rng;
extern const struct machine_kind machine_kind_hvc;
extern const struct machine_kind machine_kind_device;

/* All of them, ended by NULL, in the order in which devices are made. */
extern const struct machine_kind *const machine_kinds[];

/* Guest RAM as a device on vhost tells it to the kernel. */
void machine_kind_vhost_ram(struct guest_ram *ram, struct vhost_ram *ret);

#endif
