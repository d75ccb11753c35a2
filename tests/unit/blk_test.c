/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/blk_test.h"

#include <fcntl.h>
#include <stdio.h>

#include "base/clock.h"

#define BASE 0xc0000000ULL

struct slow_backend *blk_test_slow;

/* ---- The slow backend. ---- */

static int slow_start(struct blk_backend *b, struct loop *loop _unused_, struct error *err _unused_)
{
	((struct slow_backend *)b)->started = true;
	return 0;
}

static void slow_stop(struct blk_backend *b)
{
	((struct slow_backend *)b)->started = false;
}

static void slow_submit(struct blk_backend *b, struct blk_io *io)
{
	struct slow_backend *s = (struct slow_backend *)b;

	io->next = NULL;
	*s->last = io;
	s->last = &io->next;
	s->count++;
	s->submitted++;
}

static void slow_commit(struct blk_backend *b _unused_)
{
}

static void finish(struct slow_backend *s, unsigned int n)
{
	while (n-- > 0 && s->held) {
		struct blk_io *io = s->held;

		s->held = io->next;
		if (!s->held)
			s->last = &s->held;
		s->count--;
		io->result = s->lost ? -EIO : blk_image_do(s->b.image, io);
		s->b.client.done(s->b.client.opaque, io);
	}
	s->b.client.batch_done(s->b.client.opaque);
}

/* Whoever would wait for ever gets what he waits for. */
static void slow_wait(struct blk_backend *b, uint64_t deadline_ns)
{
	if (deadline_ns == UINT64_MAX)
		finish((struct slow_backend *)b, UINT32_MAX);
	else
		((struct slow_backend *)b)->b.client.batch_done(b->client.opaque);
}

static void slow_free(struct blk_backend *b)
{
	if (blk_test_slow == (struct slow_backend *)b)
		blk_test_slow = NULL;
	free(b);
}

static const struct blk_backend_ops slow_ops = {.name = "slow",
						.start = slow_start,
						.stop = slow_stop,
						.submit = slow_submit,
						.commit = slow_commit,
						.wait = slow_wait,
						.free = slow_free};

int blk_test_slow_new(const struct blk_image *image, const struct blk_backend_client *client,
		      struct blk_backend **ret, struct error *err _unused_)
{
	struct slow_backend *s = calloc(1, sizeof(*s));

	assert_non_null(s);
	s->b = (struct blk_backend){&slow_ops, image, *client};
	s->last = &s->held;
	blk_test_slow = s;
	*ret = &s->b;
	return 0;
}

void blk_test_finish(unsigned int n)
{
	/* Ends are told only while the device listens. */
	assert_true(blk_test_slow->started);
	finish(blk_test_slow, n);
}

/* ---- Image and device. ---- */

uint8_t blk_test_fill(uint64_t sector)
{
	return (uint8_t)(sector * 7 + 1);
}

void blk_test_image(struct blk_test *t)
{
	uint8_t sector[SPEC_SECTOR];
	FILE *f;

	memset(t, 0, sizeof(*t));
	virtio_blk_config_init(&t->config);
	t->ring_size = 64;
	snprintf(t->folder, sizeof(t->folder), "/tmp/holdfast-blk-XXXXXX");
	assert_non_null(mkdtemp(t->folder));
	snprintf(t->config.path, sizeof(t->config.path), "%s/image", t->folder);
	f = fopen(t->config.path, "we");
	assert_non_null(f);
	for (unsigned int i = 0; i < BLK_TEST_SECTORS; i++) {
		memset(sector, blk_test_fill(i), sizeof(sector));
		assert_int_equal(fwrite(sector, sizeof(sector), 1, f), 1);
	}
	fclose(f);
	fake_machine_init(&t->machine);
	assert_int_equal(loop_new(&t->loop, NULL), 0);
	t->data = driver_alloc(&t->machine, BLK_TEST_DATA);
	t->headers = driver_alloc(&t->machine, BLK_TEST_REQUESTS * 16);
	t->statuses = driver_alloc(&t->machine, BLK_TEST_REQUESTS);
}

void blk_test_device(struct blk_test *t, blk_backend_new_fn *make)
{
	struct error err = ERROR_INIT;

	if (make ? blk_new_with_backend(&t->config, make, &t->blk, &err)
		 : virtio_blk_new(&t->config, &t->blk, &err))
		fail_msg("%s", error_message(&err));
	assert_int_equal(
		virtio_pci_new(&virtio_blk_ops, t->blk, t->loop, &t->machine.attach, &t->v, NULL),
		0);
}

void blk_test_drive(struct blk_test *t, uint64_t features)
{
	driver_open(&t->d, &t->machine, virtio_pci_function(t->v), BASE);
	assert_int_equal(pci_config_read(t->d.pci, 2, 2), 0x1040 + SPEC_BLK_ID);
	driver_start(&t->d, features & driver_offered(&t->d), t->config.num_queues, t->ring_size);
	t->indirect = features & SPEC_F_INDIRECT;
	loop_settle(t->loop);
}

void blk_test_start(struct blk_test *t, blk_backend_new_fn *make, uint64_t features)
{
	blk_test_image(t);
	blk_test_device(t, make);
	blk_test_drive(t, features);
}

void blk_test_end(struct blk_test *t)
{
	virtio_pci_free(t->v);
	fake_machine_check_empty(&t->machine);
	loop_free(t->loop);
	unlink(t->config.path);
	assert_int_equal(rmdir(t->folder), 0);
}

/* ---- Requests. ---- */

static void put_header(struct blk_test *t, unsigned int slot, uint32_t type, uint64_t sector)
{
	uint8_t *header = fake_ram(&t->machine, t->headers + slot * 16ULL);
	uint32_t le_type = htole32(type);
	uint64_t le_sector = htole64(sector);

	memset(header, 0, 16);
	memcpy(header, &le_type, 4);
	memcpy(header + 8, &le_sector, 8);
	*fake_ram(&t->machine, t->statuses + slot) = BLK_TEST_NOTHING;
}

unsigned int blk_test_send(struct blk_test *t, unsigned int queue, uint32_t type, uint64_t sector,
			   uint64_t offset, uint32_t size)
{
	unsigned int slot = t->next++ % BLK_TEST_REQUESTS, n = 0;
	struct driver_seg segs[3];
	bool in = type == SPEC_T_IN || type == SPEC_T_GET_ID;

	put_header(t, slot, type, sector);
	segs[n++] = (struct driver_seg){t->headers + slot * 16ULL, 16, false};
	if (size)
		segs[n++] = (struct driver_seg){t->data + offset, size, in};
	segs[n++] = (struct driver_seg){t->statuses + slot, 1, true};
	driver_add(&t->d.queues[queue], segs, n, t->indirect);
	driver_kick(&t->d, queue);
	return slot;
}

uint8_t blk_test_status(struct blk_test *t, unsigned int slot)
{
	return *fake_ram(&t->machine, t->statuses + slot);
}

uint8_t *blk_test_data(struct blk_test *t, uint64_t offset)
{
	return fake_ram(&t->machine, t->data + offset);
}

uint32_t blk_test_used(struct blk_test *t, unsigned int queue)
{
	uint16_t id;
	uint32_t len = 0;

	loop_until(t->loop, driver_get_used(&t->d.queues[queue], &id, &len));
	return len;
}

void blk_test_none_used(struct blk_test *t, unsigned int queue)
{
	uint16_t id;
	uint32_t len;

	loop_settle(t->loop);
	assert_false(driver_get_used(&t->d.queues[queue], &id, &len));
}

uint8_t blk_test_do(struct blk_test *t, uint32_t type, uint64_t sector, uint64_t offset,
		    uint32_t size, uint32_t *ret_len)
{
	unsigned int slot = blk_test_send(t, 0, type, sector, offset, size);
	uint32_t len = blk_test_used(t, 0);

	if (ret_len)
		*ret_len = len;
	return blk_test_status(t, slot);
}

uint8_t blk_test_ranges(struct blk_test *t, uint32_t type, const struct blk_test_range *ranges,
			unsigned int count)
{
	for (unsigned int i = 0; i < count; i++) {
		uint64_t sector = htole64(ranges[i].sector);
		uint32_t rest[2] = {htole32(ranges[i].count), htole32(ranges[i].flags)};

		memcpy(blk_test_data(t, i * 16ULL), &sector, 8);
		memcpy(blk_test_data(t, i * 16ULL + 8), rest, 8);
	}
	return blk_test_do(t, type, 0, 0, count * 16, NULL);
}

void blk_test_read_image(struct blk_test *t, uint64_t offset, void *buf, size_t size)
{
	int fd = open(t->config.path, O_RDONLY | O_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(pread(fd, buf, size, (off_t)offset), size);
	close(fd);
}

uint32_t blk_test_config(struct blk_test *t, unsigned int offset, unsigned int size)
{
	return (uint32_t)fake_mmio_read(&t->machine, t->d.config + offset, size);
}
