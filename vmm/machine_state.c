/* SPDX-License-Identifier: Apache-2.0 */
#include "base/util.h"
#include "vmm/machine_priv.h"

/* Headers, root node, node names, strings block. */
#define BLOB_OVERHEAD 8192

int machine_load(struct machine *m, const struct state_blob *blob, enum state_mode mode,
		 struct error *err)
{
	static const char *const others[] = {MACHINE_STATE_OTHERS, NULL};
	int r;

	if (machine_is_running(m))
		return error_set(err, -EBUSY, "cannot load a state into a guest that runs");
	machine_list_objects(m);
	r = state_load_objects(m->objects, m->object_count, blob, others, mode, err);
	/* Its memory is a preserved file until the update is finished. */
	if (r == 0 && mode == STATE_APPLY)
		machine_keep_memory(m, true);
	return r;
}

/* See arch_objects(): devices, then timers and controllers, then vCPUs, then their clock. */
int machine_save(struct machine *m, struct state_writer *w, struct error *err)
{
	struct state_object reversed[MACHINE_OBJECTS_MAX];

	if (machine_is_running(m) || !machine_is_drained(m))
		return error_set(err, -EBUSY,
				 "cannot save a guest that runs: pause it and drain its devices");
	if (vm_config_passed_here(&m->config))
		return error_set(
			err, -EBUSY,
			"device %s of the host has no state that could be saved: the guest "
			"must give it up first",
			vm_config_passed_here(&m->config));
	machine_list_objects(m);
	for (size_t i = 0; i < m->object_count; i++)
		reversed[i] = m->objects[m->object_count - 1 - i];
	return state_save_objects(reversed, m->object_count, w, err);
}

size_t machine_state_size_max(const struct machine *m)
{
	return arch_state_size_max(m->arch) + arch_platform_state_size_max() +
	       machine_pci_state_size_max() + MEMORY_HOTPLUG_STATE_MAX +
	       machine_devices_state_size_max(m->devices) + BLOB_OVERHEAD;
}
