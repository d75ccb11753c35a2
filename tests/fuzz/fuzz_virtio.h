/* SPDX-License-Identifier: Apache-2.0 */
/* What the fuzzers of virtio devices share: a driver that resets. */
#ifndef HOLDFAST_TESTS_FUZZ_FUZZ_VIRTIO_H
#define HOLDFAST_TESTS_FUZZ_FUZZ_VIRTIO_H

#include "devices/virtio/virtio.h"
#include "tests/fuzz/fuzz_device.h"
#include "tests/unit/virtio_driver.h"

/* Resets of queues and devices of one input: each takes new guest memory for rings. */
#define FUZZ_RESETS_MAX 6

static inline bool fuzz_asks_for_reset(struct virtio_driver *d)
{
	return driver_common(d, SPEC_C_STATUS, 1) & SPEC_S_NEEDS_RESET;
}

/* The device lets the queue go (virtio 1.2, 2.6.1). */
static inline void fuzz_reset_queue(struct virtio_driver *d, struct loop *loop, unsigned int queue)
{
	driver_set_common(d, SPEC_C_QUEUE_SELECT, queue, 2);
	driver_set_common(d, SPEC_C_QUEUE_RESET, 1, 2);
	loop_settle(loop);
	must(driver_common(d, SPEC_C_QUEUE_RESET, 2) == 0);
}

static inline void fuzz_reset_device(struct virtio_driver *d, struct loop *loop)
{
	driver_set_common(d, SPEC_C_STATUS, 0, 1);
	loop_settle(loop);
	must(driver_common(d, SPEC_C_STATUS, 1) == 0);
}

/* Bytes of the input into a ring of one of the queues, or into a page of data: place, offset,
 * count.
 */
static inline void fuzz_write_rings(struct fuzz_input *in, struct virtio_driver *d,
				    unsigned int queues, unsigned int ring, uint64_t data)
{
	const unsigned int sizes[] = {16 * ring, 6 + 2 * ring, 6 + 8 * ring, 0x1000};
	uint8_t where = fuzz_u8(in);
	const struct driver_queue *q = &d->queues[where / 8 % queues];
	const uint64_t places[] = {q->desc, q->driver, q->device, data};
	unsigned int place = where % ARRAY_SIZE(places);
	size_t offset = fuzz_u8(in) * 4U % sizes[place], size;
	const uint8_t *bytes = fuzz_bytes(in, sizes[place] - offset, &size);

	memcpy(fake_ram(d->m, places[place] + offset), bytes, size);
}

/* Not the queues' places nor the status, which the driver's model has to know. */
static inline void fuzz_write_common(struct fuzz_input *in, struct virtio_driver *d,
				     unsigned int queues)
{
	static const unsigned int offsets[] = {SPEC_C_DEVICE_FEATURE_SELECT,
					       SPEC_C_DRIVER_FEATURE_SELECT, SPEC_C_DRIVER_FEATURE,
					       SPEC_C_CONFIG_VECTOR, SPEC_C_QUEUE_VECTOR};
	unsigned int which = fuzz_u8(in) % ARRAY_SIZE(offsets);

	driver_set_common(d, SPEC_C_QUEUE_SELECT, fuzz_u8(in) % queues, 2);
	driver_set_common(d, offsets[which], fuzz_u8(in), which < 3 ? 4 : 2);
}

/* Into a device that was made anew: what was saved, that with changes of the input, and what was
 * saved again, with which it goes on. saved: taken. */
static inline void fuzz_load_changed(struct virtio_driver *d, struct virtio_pci *v,
				     struct saved *saved, struct fuzz_input *in)
{
	const struct state_ops *ops = virtio_pci_state_ops(v);

	must_load(ops, v, saved);
	fuzz_load_nested(ops, v, in);
	must_load(ops, v, saved);
	saved_free(saved);
	d->pci = virtio_pci_function(v);
	virtio_pci_resumed(v);
}

#endif
