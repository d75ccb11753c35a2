/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Devices of the host that stay with their guest through an update: which descriptors are handed
 * over, in which order, and what must be so when they come back. All that depends on how a kernel
 * hands iommufd and vfio files over is here and in iommufd_adopt(); no call beyond those of
 * luo/client.h is needed for it.
 *
 * Order of preserving: the memfds of guest RAM, an iommufd that has them mapped, then the
 * character devices that are attached to it. After a kexec the iommufd that comes back has no
 * address space: one is made, the memfds that came back are mapped at the same addresses, and each
 * device is bound and attached again; its DMA goes on meanwhile. The session is finished after
 * that.
 *
 * Loop's thread; kept_devices_preserve() and kept_devices_retrieve() may be called from another
 * one.
 */
#ifndef HOLDFAST_VMM_PASSTHROUGH_PRESERVE_H
#define HOLDFAST_VMM_PASSTHROUGH_PRESERVE_H

#include "vmm/config.h"
#include "vmm/passthrough.h"
#include "vmm/update/source.h"

/* What devices are attached to. */
struct kept_space {
	int iommufd;   /* owned; FD_NONE: no device of it is kept */
	uint32_t ioas; /* its address space, where it is the same context */
};

struct kept_devices {
	struct kept_space spaces[PASSTHROUGH_SPACES];
	unsigned int count;
	struct {
		unsigned int slot; /* of the guest: what the token is made of */
		int fd;		   /* owned */
		char name[VM_DEVICE_NAME_MAX];
	} devices[VM_PASSED_MAX];
};

void kept_devices_init(struct kept_devices *kept);
void kept_devices_done(struct kept_devices *kept); /* empty afterwards */

/* An iommufd that they are attached to, and its address space: a copy is made. Nothing if it is
 * there.
 */
int kept_devices_set_space(struct kept_devices *kept, enum passthrough_space space, int fd,
			   uint32_t ioas, struct error *err);
/* One more, with a copy of its descriptor. */
int kept_devices_add(struct kept_devices *kept, unsigned int slot, const char *name, int fd,
		     struct error *err);
/* The descriptor of a device in that slot; borrowed. FD_NONE: there is none, or kept is NULL. */
int kept_devices_find(const struct kept_devices *kept, unsigned int slot);

/*
 * Whether this kernel has a handler for iommufd files at all, told before anything is done: it is
 * asked with one of our own, in a session of its own, which is given up. -EOPNOTSUPP names the
 * first device of config that has the policy preserve. What cannot be asked is no obstacle.
 */
int kept_devices_probe(const struct vm_config *config, struct error *err);

/* iommufd first, after guest RAM. -EOPNOTSUPP: this kernel has no handler; the device is named. */
int kept_devices_preserve(const struct kept_devices *kept, struct source *source,
			  struct error *err);
/* Every device that was kept is still the guest's. -ESTALE names one that it has given back. */
int kept_devices_check(const struct kept_devices *kept, const struct vm_config *config,
		       struct error *err);
/* The devices of config that were handed over came back. On failure nothing is left. */
int kept_devices_retrieve(struct kept_devices *kept, const struct vm_config *config,
			  struct source *source, struct error *err);

#endif
