/* SPDX-License-Identifier: Apache-2.0 */
/* What the fuzzers of virtio devices share: a driver that resets. */
#ifndef HOLDFAST_TESTS_FUZZ_FUZZ_VIRTIO_H
#define HOLDFAST_TESTS_FUZZ_FUZZ_VIRTIO_H

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

#endif
