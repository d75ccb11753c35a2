/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The block device under a driver that writes what it likes into rings, descriptors, headers and
 * ranges. An input's first byte chooses features and queues; then it is a sequence of operations:
 *   0  bytes into guest memory: place, offset, count, bytes
 *   1  kick: queue
 *   2  the host finishes operations: how many
 *   3  a request with any type, sector, offset and size
 *   4  discard or write zeroes with any ranges
 *   5  freeze and thaw
 *   6  freeze, save, load into a new process, save (must be equal), go on
 *   7  reset of one queue, which is then enabled again
 *   8  reset of the device, which the driver then starts again
 *   9  write to the configuration space
 * At every moment the device has in flight what its rings say, and never more than it may.
 */
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>

#include "tests/fuzz/fuzz_virtio.h"
#include "tests/unit/blk_test.h"

#define QUEUES 2
#define RING   32

static struct blk_test t;
static uint64_t features;
static unsigned int resets;

static void make_image(void)
{
	int fd = memfd_create("image", MFD_CLOEXEC);

	must(fd >= 0 && ftruncate(fd, BLK_TEST_SIZE) == 0);
	virtio_blk_config_init(&t.config);
	snprintf(t.config.path, sizeof(t.config.path), "/proc/self/fd/%d", fd);
	must(loop_new(&t.loop, NULL) == 0);
}

static void begin(uint8_t choice)
{
	static bool made;

	if (!made) {
		fuzz_quiet();
		make_image();
		made = true;
	}
	memset(&t.d, 0, sizeof(t.d));
	memset(&t.machine, 0, sizeof(t.machine));
	fake_machine_init(&t.machine);
	t.data = driver_alloc(&t.machine, BLK_TEST_DATA);
	t.headers = driver_alloc(&t.machine, BLK_TEST_REQUESTS * 16);
	t.statuses = driver_alloc(&t.machine, BLK_TEST_REQUESTS);
	t.next = resets = 0;
	t.ring_size = RING;
	t.config.num_queues = QUEUES;
	t.config.readonly = (choice & 7) == 7;
	t.config.direct = choice & 32;
	features = SPEC_F_MQ | SPEC_F_RING_RESET | SPEC_F_FLUSH | SPEC_F_DISCARD |
		   SPEC_F_WRITE_ZEROES | SPEC_F_INDIRECT | (choice & 8 ? SPEC_F_EVENT_IDX : 0) |
		   (choice & 16 ? SPEC_F_RING_PACKED : 0) | (choice & 64 ? SPEC_F_CONFIG_WCE : 0);
	blk_test_device(&t, blk_test_slow_new);
	/* Requests smaller than a block, which must be alone. */
	if (t.config.direct && choice & 128)
		t.blk->image.offset_align = 4096;
	blk_test_drive(&t, features);
	t.indirect = false;
}

static void end(void)
{
	virtio_pci_free(t.v);
	fake_machine_check_empty(&t.machine);
}

static void check(void)
{
	unsigned int in_flight = 0;

	for (unsigned int q = 0; q < QUEUES; q++)
		in_flight += virtqueue_in_flight(virtio_queue(t.v, q));
	must(t.blk->in_flight_count == in_flight);
	must(in_flight <= BLK_IN_FLIGHT_MAX);
	must(blk_test_slow->count == t.blk->running);
	must(t.blk->running <= in_flight);
	/* An exclusive one is alone. */
	must(!t.blk->exclusive || t.blk->running == 1);
}

static void write_memory(struct fuzz_input *in)
{
	static const unsigned int sizes[] = {16 * RING, 6 + 2 * RING, 6 + 8 * RING};
	uint8_t where = fuzz_u8(in);
	const struct driver_queue *q = &t.d.queues[where / 8 % QUEUES];
	const uint64_t places[] = {q->desc, q->driver, q->device, t.headers, t.data};
	unsigned int place = where % ARRAY_SIZE(places);
	size_t room = place < 3 ? sizes[place] : 1024, offset = fuzz_u8(in) * 4U % room, size;
	const uint8_t *bytes = fuzz_bytes(in, room - offset, &size);

	memcpy(fake_ram(&t.machine, places[place] + offset), bytes, size);
}

static void finish_some(struct fuzz_input *in)
{
	unsigned int n = fuzz_u8(in);

	if (blk_test_slow->started)
		blk_test_finish(n);
}

static bool has_room(unsigned int queue)
{
	return t.d.queues[queue].free_count >= 3;
}

static void send_request(struct fuzz_input *in)
{
	static const uint32_t types[] = {SPEC_T_IN,	SPEC_T_OUT,	SPEC_T_FLUSH,
					 SPEC_T_GET_ID, SPEC_T_DISCARD, SPEC_T_WRITE_ZEROES};
	uint8_t type = fuzz_u8(in), queue = fuzz_u8(in) % QUEUES;
	uint64_t sector = fuzz_u8(in), offset = fuzz_u8(in) * 16ULL;
	uint32_t size = fuzz_u8(in) * 16U;

	if (sector == 255)
		sector = fuzz_u64(in);
	if (has_room(queue))
		blk_test_send(&t, queue,
			      type < ARRAY_SIZE(types) ? types[type] : (uint32_t)type << 3, sector,
			      offset, size);
}

static void send_ranges(struct fuzz_input *in)
{
	uint8_t what = fuzz_u8(in);
	unsigned int count = what / 2 % 20;

	for (unsigned int i = 0; i < count; i++) {
		uint64_t sector = htole64(fuzz_u8(in));
		uint32_t rest[2] = {htole32(fuzz_u8(in)), htole32(fuzz_u8(in) & 3U)};

		memcpy(blk_test_data(&t, 16ULL * i), &sector, 8);
		memcpy(blk_test_data(&t, 16ULL * i + 8), rest, 8);
	}
	if (has_room(0))
		blk_test_send(&t, 0, what & 1 ? SPEC_T_DISCARD : SPEC_T_WRITE_ZEROES, 0, 0,
			      16 * count);
}

static void freeze_and_thaw(void)
{
	must(virtio_pci_drain(t.v, 0, NULL) == 0);
	virtio_pci_thaw(t.v);
}

static void update(void)
{
	uint32_t align = t.blk->image.offset_align;
	struct saved first;

	must(virtio_pci_drain(t.v, 0, NULL) == 0);
	first = device_save(virtio_pci_state_ops(t.v), t.v);
	blk_test_slow->lost = true;
	virtio_pci_free(t.v);
	blk_test_device(&t, blk_test_slow_new);
	t.blk->image.offset_align = align;
	t.d.pci = virtio_pci_function(t.v);
	must_take_over(virtio_pci_state_ops(t.v), t.v, &first);
	virtio_pci_resumed(t.v);
}

static void reset_queue(struct fuzz_input *in)
{
	unsigned int queue = fuzz_u8(in) % QUEUES;

	if (resets++ >= FUZZ_RESETS_MAX || fuzz_asks_for_reset(&t.d))
		return;
	fuzz_reset_queue(&t.d, t.loop, queue);
	must(virtqueue_in_flight(virtio_queue(t.v, queue)) == 0);
	driver_enable_queue(&t.d, queue, RING);
}

static void reset_device(void)
{
	if (resets++ >= FUZZ_RESETS_MAX)
		return;
	fuzz_reset_device(&t.d, t.loop);
	must(t.blk->in_flight_count == 0);
	blk_test_drive(&t, features);
	t.indirect = false;
}

static void write_config(struct fuzz_input *in)
{
	unsigned int offset = fuzz_u8(in) % 60, size = 1U << fuzz_u8(in) % 3;

	if (offset + size <= 60)
		fake_mmio_write(&t.machine, t.d.config + offset, fuzz_u64(in), size);
}

static void operate(struct fuzz_input *in)
{
	switch (fuzz_u8(in) % 10) {
	case 0:
		write_memory(in);
		break;
	case 1:
		driver_kick(&t.d, fuzz_u8(in) % QUEUES);
		break;
	case 2:
		finish_some(in);
		break;
	case 3:
		send_request(in);
		break;
	case 4:
		send_ranges(in);
		break;
	case 5:
		freeze_and_thaw();
		break;
	case 6:
		update();
		break;
	case 7:
		reset_queue(in);
		break;
	case 8:
		reset_device();
		break;
	default:
		write_config(in);
		break;
	}
	loop_settle(t.loop);
	check();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_input in = {data, size};

	begin(fuzz_u8(&in));
	for (unsigned int i = 0; in.size && i < FUZZ_OPS_MAX; i++)
		operate(&in);
	end();
	return 0;
}
