/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The balloon under a driver that writes what it likes into rings, descriptors, lists of pages,
 * statistics, registers and the configuration space. An input's first byte chooses features; then
 * it is a sequence of operations:
 *   0  bytes into guest memory: place, offset, count, bytes
 *   1  kick: queue
 *   2  page numbers to inflate or deflate
 *   3  a report of free memory: address, length
 *   4  statistics
 *   5  memory is kept, or no more
 *   6  freeze and thaw
 *   7  freeze, save, load into a new process, save (must be equal), go on
 *   8  reset of one queue, which is then enabled again
 *   9  reset of the device, which the driver then starts again
 *  10  write to the configuration space
 *  11  write to the common configuration
 *  12  the timer asks for statistics; the host refuses from now on, or no more
 *  13  a state with one property changed, in a device that is thrown away
 * Nothing is given back while memory is kept, nothing that is not RAM, and nothing that was not
 * given away or reported.
 */
#include "tests/fuzz/fuzz_state.h"
#include "tests/fuzz/fuzz_virtio.h"
#include "tests/unit/balloon_test.h"

#define QUEUES 5

static struct balloon_test t;
static uint64_t features;
static unsigned int resets, queues;

static void begin(uint8_t choice)
{
	static struct loop *loop;

	fuzz_quiet();
	if (!loop)
		must(loop_new(&loop, NULL) == 0);
	memset(&t, 0, sizeof(t));
	t.loop = loop;
	fake_machine_init(&t.machine);
	t.config = (struct virtio_balloon_config){.on = true,
						  .free_page_reporting = choice & 1,
						  .stats_interval = choice & 2 ? 3600 : 0,
						  .deflate_on_oom = choice & 4};
	features = SPEC_F_RING_RESET | SPEC_F_INDIRECT | (choice & 1 ? SPEC_F_REPORTING : 0) |
		   (choice & 2 ? SPEC_F_STATS_VQ : 0) | (choice & 8 ? SPEC_F_EVENT_IDX : 0) |
		   (choice & 16 ? SPEC_F_RING_PACKED : 0) |
		   (choice & 32 ? SPEC_F_MUST_TELL_HOST : 0) |
		   (choice & 64 ? SPEC_F_PAGE_POISON : 0);
	queues = choice & 1 ? QUEUES : choice & 2 ? 3 : 2;
	resets = 0;
	balloon_test_device(&t);
	t.data = driver_alloc(&t.machine, 0x8000);
	balloon_test_drive(&t, features, queues);
}

static void end(void)
{
	virtio_pci_free(t.v);
	fake_machine_check_empty(&t.machine);
}

static bool has_room(unsigned int queue)
{
	return queue < queues && t.d.queues[queue].free_count > 0;
}

static void send_pages(struct fuzz_input *in)
{
	uint8_t what = fuzz_u8(in);
	uint32_t pages[32];
	unsigned int count = what / 2 % ARRAY_SIZE(pages);

	for (unsigned int i = 0; i < count; i++) {
		uint8_t page = fuzz_u8(in);

		/* Not where the rings are: what the host gives zeroes there is the guest's loss. */
		pages[i] = page == 255 ? (uint32_t)fuzz_u64(in)
				       : BALLOON_TEST_FIRST + page % BALLOON_TEST_FREE;
	}
	if (has_room(what & 1))
		balloon_test_send(&t, what & 1, pages, count, fuzz_u8(in) * 4ULL);
}

static void send_report(struct fuzz_input *in)
{
	uint8_t where = fuzz_u8(in);
	struct driver_seg seg = {(BALLOON_TEST_FIRST + where % BALLOON_TEST_FREE) * 4096ULL +
					 fuzz_u8(in) * 16ULL,
				 fuzz_u8(in) * 256U, true};
	unsigned int queue = 2 + where % 3;

	if (!has_room(queue))
		return;
	driver_add(&t.d.queues[queue], &seg, 1, false);
	driver_kick(&t.d, queue);
}

static void send_stats(struct fuzz_input *in)
{
	struct driver_seg seg = {t.data + 0x2000, 0, false};
	size_t size;
	const uint8_t *bytes = fuzz_bytes(in, 255, &size);

	memcpy(fake_ram(&t.machine, seg.gpa), bytes, size);
	seg.len = (uint32_t)size;
	if (!has_room(SPEC_Q_STATS))
		return;
	driver_add(&t.d.queues[SPEC_Q_STATS], &seg, 1, false);
	driver_kick(&t.d, SPEC_Q_STATS);
}

static void keep(bool on)
{
	virtio_balloon_keep(t.balloon, on);
}

static void update(void)
{
	bool kept = t.balloon->kept;
	struct saved first;

	must(virtio_pci_drain(t.v, 0, NULL) == 0);
	first = device_save(virtio_pci_state_ops(t.v), t.v);
	virtio_pci_free(t.v);
	balloon_test_device(&t);
	keep(kept);
	t.d.pci = virtio_pci_function(t.v);
	must_take_over(virtio_pci_state_ops(t.v), t.v, &first);
	virtio_pci_resumed(t.v);
}

/* In place of the device, whose state comes back from what was saved. */
static void load_changed(struct fuzz_input *in)
{
	struct saved saved;

	must(virtio_pci_drain(t.v, 0, NULL) == 0);
	saved = device_save(virtio_pci_state_ops(t.v), t.v);
	virtio_pci_free(t.v);
	balloon_test_device(&t);
	fuzz_load_changed(&t.d, t.v, &saved, in);
}

static void reset_queue(struct fuzz_input *in)
{
	unsigned int queue = fuzz_u8(in) % queues;

	if (resets++ >= FUZZ_RESETS_MAX || fuzz_asks_for_reset(&t.d))
		return;
	fuzz_reset_queue(&t.d, t.loop, queue);
	must(!t.balloon->work[queue].taken);
	driver_queue_init(&t.d.queues[queue], &t.machine, BALLOON_TEST_RING,
			  features & SPEC_F_RING_PACKED, features & SPEC_F_EVENT_IDX);
	if (driver_common(&t.d, SPEC_C_STATUS, 1) & SPEC_S_DRIVER_OK)
		driver_enable_queue(&t.d, queue, BALLOON_TEST_RING);
}

static void reset_device(void)
{
	if (resets++ >= FUZZ_RESETS_MAX)
		return;
	fuzz_reset_device(&t.d, t.loop);
	must(t.balloon->ranges.count == 0 && !t.balloon->stats_held);
	balloon_test_drive(&t, features, queues);
}

static void write_config(struct fuzz_input *in)
{
	unsigned int size = 1U << fuzz_u8(in) % 4, offset = fuzz_u8(in) % (16 - size + 1);

	fake_mmio_write(&t.machine, t.d.config + offset, fuzz_u64(in), size);
	fake_mmio_read(&t.machine, t.d.config + offset, size);
}

static void time_or_host(struct fuzz_input *in)
{
	static const int codes[] = {0, -EPERM, -ENOMEM};
	uint8_t what = fuzz_u8(in);

	if (what & 1)
		balloon_ask_stats(t.balloon);
	else
		t.refuses = codes[what / 2 % ARRAY_SIZE(codes)];
}

static void operate(struct fuzz_input *in)
{
	switch (fuzz_u8(in) % 14) {
	case 0:
		fuzz_write_rings(in, &t.d, queues, BALLOON_TEST_RING, t.data);
		break;
	case 1:
		driver_kick(&t.d, fuzz_u8(in) % queues);
		break;
	case 2:
		send_pages(in);
		break;
	case 3:
		send_report(in);
		break;
	case 4:
		send_stats(in);
		break;
	case 5:
		keep(fuzz_u8(in) & 1);
		break;
	case 6:
		must(virtio_pci_drain(t.v, 0, NULL) == 0);
		virtio_pci_thaw(t.v);
		break;
	case 7:
		update();
		break;
	case 8:
		reset_queue(in);
		break;
	case 9:
		reset_device();
		break;
	case 10:
		write_config(in);
		break;
	case 11:
		fuzz_write_common(in, &t.d, queues);
		break;
	case 12:
		time_or_host(in);
		break;
	default:
		load_changed(in);
		break;
	}
}

static void check(unsigned int calls, bool was_kept)
{
	unsigned int held = t.balloon->stats_held ? 1 : 0;
	json_t *said = virtio_balloon_statistics(t.balloon);

	must(said);
	json_decref(said);
	must(!was_kept || !t.balloon->kept || t.calls == calls);
	for (unsigned int i = 0; i < queues; i++) {
		unsigned int taken = t.balloon->work[i].taken ? 1 : 0;
		bool stats = i == SPEC_Q_STATS && (features & SPEC_F_STATS_VQ);

		must(virtqueue_in_flight(virtio_queue(t.v, i)) == (stats ? held : taken));
	}
	for (unsigned int i = 0; i < t.balloon->ranges.count; i++) {
		const struct balloon_range *range = &t.balloon->ranges.all[i];

		must(t.machine.attach.memory.ptr(t.machine.attach.memory.opaque,
						 range->first * 4096, range->count * 4096));
	}
	must((features & SPEC_F_MUST_TELL_HOST) || t.balloon->ranges.count == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_input in = {data, size};

	begin(fuzz_u8(&in));
	for (unsigned int i = 0; in.size && i < FUZZ_OPS_MAX; i++) {
		unsigned int calls = t.calls;
		bool kept = t.balloon->kept;

		operate(&in);
		loop_settle(t.loop);
		check(calls, kept);
	}
	end();
	return 0;
}
