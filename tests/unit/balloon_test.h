/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the tests of the balloon share: the device in a fake machine whose host takes pages back and
 * remembers which, and its driver (virtio 1.2, 5.5, restated here).
 */
#ifndef HOLDFAST_TESTS_UNIT_BALLOON_TEST_H
#define HOLDFAST_TESTS_UNIT_BALLOON_TEST_H

#include <endian.h>

#include "devices/virtio/balloon/balloon_impl.h"
#include "tests/unit/virtio_driver.h"

#define SPEC_BALLOON_ID	      5
#define SPEC_F_MUST_TELL_HOST (1ULL << 0)
#define SPEC_F_STATS_VQ	      (1ULL << 1)
#define SPEC_F_DEFLATE_ON_OOM (1ULL << 2)
#define SPEC_F_FREE_PAGE_HINT (1ULL << 3)
#define SPEC_F_PAGE_POISON    (1ULL << 4)
#define SPEC_F_REPORTING      (1ULL << 5)
#define SPEC_Q_INFLATE	      0
#define SPEC_Q_DEFLATE	      1
#define SPEC_Q_STATS	      2
#define SPEC_Q_REPORTING      4
#define SPEC_CFG_NUM_PAGES    0
#define SPEC_CFG_ACTUAL	      4
#define SPEC_CFG_POISON	      12
#define SPEC_PAGE	      4096U

#define BALLOON_TEST_BASE  0xc0000000ULL
#define BALLOON_TEST_RING  64
#define BALLOON_TEST_PAGES ((unsigned int)(FAKE_RAM_SIZE / SPEC_PAGE))
/* Page numbers that no ring and no buffer is in. */
#define BALLOON_TEST_FIRST ((unsigned int)(FAKE_RAM_BASE / SPEC_PAGE) + BALLOON_TEST_PAGES / 2)
#define BALLOON_TEST_FREE  (BALLOON_TEST_PAGES / 2)

struct balloon_test {
	struct fake_machine machine;
	struct loop *loop;
	struct virtio_balloon_config config;
	struct virtio_balloon *balloon;
	struct virtio_pci *v;
	struct virtio_driver d;
	uint64_t data; /* guest address of what buffers are made of */
	bool gone[BALLOON_TEST_PAGES];
	unsigned int calls; /* of the host */
	int refuses;	    /* what the host says instead; 0: it does as it is told */
};

static inline int balloon_test_discard(void *opaque, uint64_t gpa, uint64_t len)
{
	struct balloon_test *t = opaque;

	must(gpa % SPEC_PAGE == 0 && len % SPEC_PAGE == 0 && len > 0);
	must(t->machine.attach.memory.ptr(t->machine.attach.memory.opaque, gpa, len));
	t->calls++;
	if (t->refuses)
		return t->refuses;
	memset(fake_ram(&t->machine, gpa), 0, len);
	for (uint64_t i = 0; i < len / SPEC_PAGE; i++)
		t->gone[(gpa - FAKE_RAM_BASE) / SPEC_PAGE + i] = true;
	return 0;
}

static inline void balloon_test_device(struct balloon_test *t)
{
	const struct guest_discard discard = {balloon_test_discard, t};

	must(virtio_balloon_new(&t->config, FAKE_RAM_SIZE, &t->machine.attach.memory, &discard,
				&t->balloon, NULL) == 0);
	must(virtio_pci_new(&virtio_balloon_ops, t->balloon, t->loop, &t->machine.attach, &t->v,
			    NULL) == 0);
}

/* The driver begins; queues: as many as it enables, from the first on. */
static inline void balloon_test_drive(struct balloon_test *t, uint64_t features,
				      unsigned int queues)
{
	driver_open(&t->d, &t->machine, virtio_pci_function(t->v), BALLOON_TEST_BASE);
	driver_start(&t->d, features, queues, BALLOON_TEST_RING);
	loop_settle(t->loop);
}

/* config is set by the caller. */
static inline void balloon_test_start(struct balloon_test *t, uint64_t features,
				      unsigned int queues)
{
	struct virtio_balloon_config config = t->config;

	memset(t, 0, sizeof(*t));
	t->config = config;
	fake_machine_init(&t->machine);
	must(loop_new(&t->loop, NULL) == 0);
	balloon_test_device(t);
	t->data = driver_alloc(&t->machine, 0x8000);
	balloon_test_drive(t, features, queues);
}

static inline void balloon_test_end(struct balloon_test *t)
{
	virtio_pci_free(t->v);
	fake_machine_check_empty(&t->machine);
	loop_free(t->loop);
}

/* Makes a buffer of page numbers available, at t->data + offset. */
static inline void balloon_test_send(struct balloon_test *t, unsigned int queue,
				     const uint32_t *pages, unsigned int count, uint64_t offset)
{
	struct driver_seg seg = {t->data + offset, count * 4, false};

	for (unsigned int i = 0; i < count; i++) {
		uint32_t le = htole32(pages[i]);

		memcpy(fake_ram(&t->machine, seg.gpa + 4ULL * i), &le, 4);
	}
	driver_add(&t->d.queues[queue], &seg, 1, false);
	driver_kick(&t->d, queue);
}

static inline bool balloon_test_used(struct balloon_test *t, unsigned int queue, uint32_t *ret_len)
{
	uint16_t id;

	loop_settle(t->loop);
	return driver_get_used(&t->d.queues[queue], &id, ret_len);
}

static inline unsigned int balloon_test_gone(const struct balloon_test *t)
{
	unsigned int count = 0;

	for (unsigned int i = 0; i < BALLOON_TEST_PAGES; i++)
		count += t->gone[i];
	return count;
}

#endif
