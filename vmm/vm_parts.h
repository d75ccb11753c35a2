/* SPDX-License-Identifier: Apache-2.0 */
/* What vm.c and the steps of an update both work on: the machine comes and goes, the VM stays. */
#ifndef HOLDFAST_VMM_VM_PARTS_H
#define HOLDFAST_VMM_VM_PARTS_H

#include <stdbool.h>

#include "vmm/config.h"
#include "vmm/machine.h"

struct vm_parts {
	struct loop *loop;	 /* borrowed */
	struct vm_config config; /* as the machine was built from */
	struct machine *machine; /* owned; NULL between two machines */
	bool held;		 /* paused by its user */
	json_t *overrides;	 /* borrowed: what a resumed VM's configuration is changed by */
	machine_event_fn *on_event;
	void *on_event_opaque;
	/* Before a machine is made of config, and again before its guest runs (last): the limits of
	 * this process. NULL: none. */
	int (*confine)(void *opaque, const struct vm_config *config, bool last, struct error *err);
	void *confine_opaque;
};

static inline int vm_parts_confine(const struct vm_parts *parts, bool last, struct error *err)
{
	if (!parts->confine)
		return 0;
	return parts->confine(parts->confine_opaque, &parts->config, last, err);
}

/* Devices come and go in the machine; the configuration that outlives it must know. */
static inline void vm_parts_learn(struct vm_parts *parts)
{
	vm_config_copy_devices(&parts->config, machine_config(parts->machine));
}

#endif
