/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A device that stays with its guest through an update. The device keeps its own state and goes on;
 * what is saved is what this process plays of it. docs/state-format.md describes the node.
 */
#include <string.h>

#include "base/util.h"
#include "devices/vfio/vfio_pci_impl.h"

/* Names, headers, the bytes of configuration space; then what each vector takes. */
#define STATE_BYTES	   4096
#define STATE_VECTOR_BYTES 24

int vfio_pci_fd(const struct vfio_pci *v)
{
	return vfio_device_fd(v->device);
}

void vfio_pci_freeze(struct vfio_pci *v)
{
	vfio_pci_irq_freeze(v);
}

void vfio_pci_thaw(struct vfio_pci *v)
{
	struct error err = ERROR_INIT;

	if (!v->frozen)
		return;
	vfio_pci_command_changed(v, (uint16_t)pci_config_peek(v->function, PCI_COMMAND, 2));
	if (vfio_pci_irq_thaw(v, &err) < 0)
		log_error("%s: interrupts do not work after the update: %s", v->name,
			  error_message(&err));
}

void vfio_pci_keep(struct vfio_pci *v, bool keep)
{
	vfio_device_keep(v->device, keep);
}

size_t vfio_pci_state_size_max(const struct vfio_pci *v)
{
	return STATE_BYTES + (size_t)v->msix_vectors * STATE_VECTOR_BYTES;
}

static int save(const void *obj, struct state_writer *w, struct error *err _unused_)
{
	const struct vfio_pci *v = obj;

	state_put_string(w, "host", v->name);
	pci_device_save(v->function, w);
	return 0;
}

static int load(void *obj, uint32_t version _unused_, struct state_reader *r, enum state_mode mode,
		struct error *err)
{
	struct vfio_pci *v = obj;
	const char *host = state_get_string(r, "host", sizeof(v->name));
	int ret;

	state_require(r, v->frozen, "this device did not come back from an update");
	/* "fd N" is the number that it had in another process. */
	state_require(r, strncmp(host, "fd ", 3) == 0 || strcmp(host, v->name) == 0,
		      "host: the guest has %s, this device is %s", host, v->name);
	if (r->code)
		return state_reader_done(r, err);
	ret = pci_device_load(v->function, r, STATE_CHECK, err);
	if (ret == 0)
		ret = state_reader_done(r, err);
	if (ret == 0 && mode == STATE_APPLY)
		ret = pci_device_load(v->function, r, STATE_APPLY, err);
	return ret;
}

const struct state_ops vfio_pci_state_ops = {
	.name = "vfio-pci", .version = 1, .min_version = 1, .save = save, .load = load};
