/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "base/util.h"
#include "devices/pci/pci_impl.h"

/*
 * Configuration space travels as its bytes, in the specification's layout. What the guest cannot
 * write must be the same in the function that loads it: that is how a device which is not the one
 * that was saved is found out.
 */
struct pci_image {
	uint8_t config[PCI_CONFIG_USED];
	bool intx;
	uint64_t *addresses, *data, *flags; /* one per vector; owned, one allocation */
};

#define VECTOR_MASKED  1U
#define VECTOR_PENDING 2U

static int image_new(const struct pci_device *dev, struct pci_image *image)
{
	size_t n = MAX_OF(dev->msix.count, 1U);

	*image = (struct pci_image){.addresses = calloc(3 * n, sizeof(uint64_t))};
	if (!image->addresses)
		return -ENOMEM;
	image->data = image->addresses + n;
	image->flags = image->data + n;
	return 0;
}

static void image_done(struct pci_image *image)
{
	free(image->addresses);
}

/* A bit can be pending only where MSI-X is on and the vector masked (6.8.3.5). One that the kernel
 * refused is not: it fires after the resume as every other. */
static bool may_be_pending(const struct pci_device *dev, const uint8_t *config, bool masked)
{
	unsigned int at = dev->msix.cap + PCI_MSIX_FLAGS;
	unsigned int flags = config[at] | config[at + 1] << 8;

	return (flags & PCI_MSIX_FLAGS_ENABLE) && (masked || (flags & PCI_MSIX_FLAGS_MASKALL));
}

static void image_take(const struct pci_device *dev, struct pci_image *image)
{
	pthread_mutex_lock(&dev->self->lock);
	memcpy(image->config, dev->config, sizeof(image->config));
	image->intx = dev->intx_wanted;
	for (unsigned int i = 0; i < dev->msix.count; i++) {
		const struct msix_vector *v = &dev->msix.vectors[i];
		bool pending =
			may_be_pending(dev, dev->config, v->masked) &&
			(v->pending ||
			 (v->held && dev->attach.msi->pending(dev->attach.msi_opaque, v->msi)));

		image->addresses[i] = v->address;
		image->data[i] = v->data;
		image->flags[i] = (v->masked ? VECTOR_MASKED : 0) | (pending ? VECTOR_PENDING : 0);
	}
	pthread_mutex_unlock(&dev->self->lock);
}

void pci_device_save(const struct pci_device *dev, struct state_writer *w)
{
	struct pci_image image;

	state_begin(w, "pci");
	if (image_new(dev, &image) == 0) {
		image_take(dev, &image);
		state_put_bytes(w, "config", image.config, sizeof(image.config));
		state_put_u32(w, "intx", image.intx);
		state_put_u32(w, "vectors", dev->msix.count);
		if (dev->msix.count) {
			state_put_u64s(w, "vector-address", image.addresses, dev->msix.count);
			state_put_u64s(w, "vector-data", image.data, dev->msix.count);
			state_put_u64s(w, "vector-flags", image.flags, dev->msix.count);
		}
		image_done(&image);
	}
	state_end(w);
}

static void check_config(const struct pci_device *dev, struct state_reader *r,
			 const struct pci_image *image)
{
	for (unsigned int i = 0; i < PCI_CONFIG_USED; i++) {
		unsigned int fixed = (uint8_t)~dev->writable[i];

		/* Follows "intx". */
		if (i == PCI_STATUS)
			fixed &= ~PCI_STATUS_INTERRUPT;
		if (dev->hook.size && i >= dev->hook.offset &&
		    i < dev->hook.offset + dev->hook.size)
			continue;
		state_require(r, ((dev->config[i] ^ image->config[i]) & fixed) == 0,
			      "config: byte 0x%x is 0x%x, this %s has 0x%x: another device", i,
			      image->config[i], dev->name, dev->config[i]);
	}
	state_require(r, image->intx == !!(image->config[PCI_STATUS] & PCI_STATUS_INTERRUPT),
		      "intx: not as the status register says");
}

static void image_read(const struct pci_device *dev, struct state_reader *r,
		       struct pci_image *image)
{
	uint32_t vectors;

	state_get_bytes(r, "config", image->config, sizeof(image->config));
	image->intx = state_get_bool(r, "intx");
	vectors = state_get_u32(r, "vectors");
	check_config(dev, r, image);
	state_require(r, vectors == dev->msix.count, "vectors: %u, this %s has %u", vectors,
		      dev->name, dev->msix.count);
	if (!dev->msix.count)
		return;
	state_get_u64s(r, "vector-address", image->addresses, dev->msix.count);
	state_get_u64s(r, "vector-data", image->data, dev->msix.count);
	state_get_u64s(r, "vector-flags", image->flags, dev->msix.count);
	for (unsigned int i = 0; i < dev->msix.count; i++)
		state_require(r,
			      image->addresses[i] % 4 == 0 && image->data[i] <= UINT32_MAX &&
				      image->flags[i] <= (VECTOR_MASKED | VECTOR_PENDING) &&
				      (!(image->flags[i] & VECTOR_PENDING) ||
				       may_be_pending(dev, image->config,
						      image->flags[i] & VECTOR_MASKED)),
			      "vector %u: impossible values", i);
}

static int image_apply(struct pci_device *dev, const struct pci_image *image, struct error *err)
{
	int r;

	pthread_mutex_lock(&dev->config_lock);
	pthread_mutex_lock(&dev->lock);
	memcpy(dev->config, image->config, sizeof(dev->config));
	dev->intx_wanted = image->intx;
	for (unsigned int i = 0; i < dev->msix.count; i++) {
		struct msix_vector *v = &dev->msix.vectors[i];

		v->address = image->addresses[i];
		v->data = (uint32_t)image->data[i];
		v->masked = image->flags[i] & VECTOR_MASKED;
		v->pending = image->flags[i] & VECTOR_PENDING;
	}
	r = pci_msix_update(dev, err);
	pci_intx_update(dev);
	pthread_mutex_unlock(&dev->lock);
	if (r == 0)
		pci_bars_update(dev);
	pthread_mutex_unlock(&dev->config_lock);
	return r;
}

int pci_device_load(struct pci_device *dev, struct state_reader *parent, enum state_mode mode,
		    struct error *err)
{
	struct state_reader r;
	struct pci_image image;
	int ret;

	if (state_reader_child(parent, "pci", &r) < 0)
		return error_set(err, -EINVAL, "state %s: pci: missing", parent->path);
	if (image_new(dev, &image) < 0)
		return error_set(err, -ENOMEM, "%s: out of memory", dev->name);
	image_read(dev, &r, &image);
	ret = state_reader_done(&r, err);
	if (ret == 0 && mode == STATE_APPLY)
		ret = image_apply(dev, &image, err);
	image_done(&image);
	return ret;
}
