/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A device that stays with its guest through an update. Either it keeps its own state and goes on,
 * and what is saved is what this process plays of it; or its driver gives the state out as bytes,
 * and those are saved, too. docs/state-format.md describes the node.
 */
#include <string.h>

#include "base/util.h"
#include "devices/vfio/vfio_pci_impl.h"

/* Names, headers, the bytes of configuration space; then what each vector takes. */
#define STATE_BYTES	   4096
#define STATE_VECTOR_BYTES 24
/* What a device says of its state while it runs is a guess. */
#define MIGRATION_SPARE MIB
#define MIGRATION_MAX	(128 * MIB)

int vfio_pci_fd(const struct vfio_pci *v)
{
	return vfio_device_fd(v->device);
}

bool vfio_pci_migrates(const struct vfio_pci *v)
{
	return vfio_migration_is_offered(v->device);
}

int vfio_pci_freeze(struct vfio_pci *v, struct error *err)
{
	int r;

	if (v->frozen)
		return 0;
	/* A kernel hands over what is awake; the guest finds it as it left it. */
	vfio_pci_power_wake(v);
	if (v->migrates) {
		r = vfio_migration_stop(v->device, err);
		if (r < 0)
			return r;
	}
	vfio_pci_irq_freeze(v);
	return 0;
}

void vfio_pci_thaw(struct vfio_pci *v)
{
	struct error err = ERROR_INIT;
	int r = 0;

	if (!v->frozen)
		return;
	vfio_pci_command_changed(v, (uint16_t)pci_config_peek(v->function, PCI_COMMAND, 2));
	vfio_pci_power_update(v);
	r = vfio_pci_irq_thaw(v, &err);
	if (r == 0 && v->migrates)
		r = vfio_migration_run(v->device, &err);
	if (r < 0)
		log_error("%s: does not go on as it should: %s", v->name, error_message(&err));
}

void vfio_pci_keep(struct vfio_pci *v, bool keep)
{
	vfio_device_keep(v->device, keep);
}

void vfio_pci_set_migrates(struct vfio_pci *v, bool migrates)
{
	v->migrates = migrates;
	v->migration_max =
		migrates ? MIN_OF(vfio_migration_size(v->device) * 5 / 4 + MIGRATION_SPARE,
				  MIGRATION_MAX)
			 : 0;
}

size_t vfio_pci_state_size_max(const struct vfio_pci *v)
{
	return STATE_BYTES + (size_t)v->msix_vectors * STATE_VECTOR_BYTES + v->migration_max;
}

static int save_migration(const struct vfio_pci *v, struct state_writer *w, struct error *err)
{
	_cleanup_free_ void *bytes = malloc(v->migration_max);
	size_t size;
	int r;

	if (!bytes)
		return error_set(err, -ENOMEM, "%s: out of memory for its state", v->name);
	r = vfio_migration_save(v->device, bytes, v->migration_max, &size, err);
	if (r == 0)
		state_put_bytes(w, "migration", bytes, size);
	return r;
}

static int save(const void *obj, struct state_writer *w, struct error *err)
{
	const struct vfio_pci *v = obj;
	int r = 0;

	state_put_string(w, "host", v->name);
	state_put_u32(w, "iommu-device", vfio_device_iommu_id(v->device));
	if (v->migrates)
		r = save_migration(v, w, err);
	if (r == 0)
		pci_device_save(v->function, w);
	return r;
}

/* Its driver's own bytes, or a device that never stopped. */
static const void *read_migration(struct vfio_pci *v, struct state_reader *r, size_t *ret_size)
{
	if (!state_has(r, "migration")) {
		state_require(r, v->kept, "this device did not come back from an update");
		return NULL;
	}
	state_require(r, vfio_migration_is_offered(v->device),
		      "migration: the driver of %s in this kernel does not take a device's state",
		      v->name);
	return state_get_blob(r, "migration", MIGRATION_MAX, ret_size);
}

static int apply(struct vfio_pci *v, struct state_reader *r, const void *bytes, size_t size,
		 struct error *err)
{
	int ret = bytes ? vfio_migration_load(v->device, bytes, size, err) : 0;

	v->migrates = bytes;
	return ret == 0 ? pci_device_load(v->function, r, STATE_APPLY, err) : ret;
}

static int load(void *obj, uint32_t version, struct state_reader *r, enum state_mode mode,
		struct error *err)
{
	struct vfio_pci *v = obj;
	const char *host = state_get_string(r, "host", sizeof(v->name));
	size_t size = 0;
	const void *bytes = read_migration(v, r, &size);
	uint32_t iommu_id = version >= 2 ? state_get_u32(r, "iommu-device") : 0;
	int ret;

	/* "fd N" is the number that it had in another process. */
	state_require(r, strncmp(host, "fd ", 3) == 0 || strcmp(host, v->name) == 0,
		      "host: the guest has %s, this device is %s", host, v->name);
	if (r->code)
		return state_reader_done(r, err);
	ret = pci_device_load(v->function, r, STATE_CHECK, err);
	if (ret == 0)
		ret = state_reader_done(r, err);
	if (ret < 0 || mode != STATE_APPLY)
		return ret;
	vfio_device_learn_iommu_id(v->device, iommu_id);
	return apply(v, r, bytes, size, err);
}

const struct state_ops vfio_pci_state_ops = {
	.name = "vfio-pci", .version = 2, .min_version = 1, .save = save, .load = load};
