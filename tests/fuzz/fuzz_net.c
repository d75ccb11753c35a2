/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The network device under a driver that writes what it likes into rings, descriptors, headers and
 * commands, and a host that sends frames of any kind. An input's first two bytes choose features;
 * then it is a sequence of operations:
 *   0  bytes into guest memory: place, offset, count, bytes
 *   1  kick: queue
 *   2  receive buffers: how many, size, in how many pieces
 *   3  a frame of the guest: header, size, pieces
 *   4  a command: bytes
 *   5  a frame of the host: header, size
 *   6  the host takes frames, or its end goes away
 *   7  freeze and thaw
 *   8  freeze, save, load into a new process, save (must be equal), go on
 *   9  reset of one queue, which is then enabled again
 *  10  reset of the device, which the driver then starts again
 *  11  write to the configuration space, and to the common configuration
 *  12  time goes by for the limits; another announcement; bus mastering off and on
 *  13  a state with one property changed, in a device that is thrown away
 * At every moment the rings have in flight what the device holds, nothing is held at a freeze, and
 * no frame that was sent once comes twice.
 */
#include "tests/fuzz/fuzz_state.h"
#include "tests/fuzz/fuzz_virtio.h"
#include "tests/unit/net_test.h"

#define PAIRS  2
#define QUEUES (2 * PAIRS + 1)

static struct net_test t;
static uint64_t features;
static unsigned int resets;
static uint64_t taken; /* frames that came to the host, of this device */

static void begin(uint8_t choice, uint8_t more)
{
	static struct loop *loop;

	fuzz_quiet();
	if (!loop)
		must(loop_new(&loop, NULL) == 0);
	for (unsigned int i = 0; i < NET_PAIRS_MAX; i++)
		t.host[i] = FD_NONE;
	memset(&t.machine, 0, sizeof(t.machine));
	memset(&t.d, 0, sizeof(t.d));
	t.loop = loop;
	fake_machine_init(&t.machine);
	virtio_net_config_init(&t.config);
	snprintf(t.config.id, sizeof(t.config.id), "net0");
	snprintf(t.config.tap, sizeof(t.config.tap), "tap0");
	t.config.queues = PAIRS;
	if (more & 1)
		t.config.rx_limits.bandwidth = (struct token_bucket_config){
			.size = 4000, .refill_ms = TOKEN_BUCKET_REFILL_MAX};
	if (more & 2)
		t.config.tx_limits.ops = (struct token_bucket_config){
			.size = 5, .refill_ms = TOKEN_BUCKET_REFILL_MAX};
	features = SPEC_F_RING_RESET | SPEC_F_CTRL_VQ | SPEC_F_STATUS |
		   (choice & 1 ? SPEC_F_MRG_RXBUF : 0) | (choice & 2 ? NET_TEST_OFFLOADS : 0) |
		   (choice & 4 ? SPEC_F_MQ : 0) | (choice & 8 ? SPEC_F_EVENT_IDX : 0) |
		   (choice & 16 ? SPEC_F_RING_PACKED : 0) | (choice & 32 ? SPEC_F_INDIRECT : 0) |
		   (choice & 64 ? SPEC_F_CTRL_RX | SPEC_F_CTRL_MAC_ADDR : 0) |
		   (choice & 128 ? SPEC_F_GUEST_ANNOUNCE : 0);
	resets = 0;
	taken = 0;
	net_test_device(&t);
	t.data = driver_alloc(&t.machine, NET_TEST_DATA);
	net_test_drive(&t, features);
}

static void end(void)
{
	virtio_pci_free(t.v);
	for (unsigned int i = 0; i < NET_PAIRS_MAX; i++)
		close_fdp(&t.host[i]);
	fake_machine_check_empty(&t.machine);
}

static bool has_room(unsigned int queue, unsigned int count)
{
	return t.d.queues[queue].free_count >= count;
}

static void add(unsigned int queue, uint64_t offset, uint32_t size, unsigned int pieces, bool write)
{
	struct driver_seg segs[4];
	unsigned int count = 0;
	uint32_t left = size;

	for (; count < pieces && left > 0; count++) {
		uint32_t len = count + 1 < pieces ? left / 3 + 1 : left;

		segs[count] = (struct driver_seg){t.data + offset, len, write};
		offset += len;
		left -= len;
	}
	if (count == 0 || !has_room(queue, count))
		return;
	driver_add(&t.d.queues[queue], segs, count, false);
	driver_kick(&t.d, queue);
}

static void post_buffers(struct fuzz_input *in)
{
	uint8_t what = fuzz_u8(in), how = fuzz_u8(in);
	uint32_t size = how < 250 ? how * 16U : 40000;

	for (unsigned int i = 0; i <= what / 2 % 16U; i++)
		add(2 * (what & 1), i * 0x400U, size, 1 + how % 4, true);
}

static void send_frame(struct fuzz_input *in)
{
	uint8_t what = fuzz_u8(in), how = fuzz_u8(in);
	uint32_t size = how < 250 ? how * 8U : 65535U + how - 240;
	uint8_t *header = net_test_ram(&t, NET_TEST_FRAMES);

	header[SPEC_H_FLAGS] = fuzz_u8(in);
	header[SPEC_H_GSO_TYPE] = fuzz_u8(in);
	add(2 * (what & 1) + 1, NET_TEST_FRAMES, size, 1 + what / 2 % 4, false);
}

static void send_command(struct fuzz_input *in)
{
	unsigned int queue = net_test_ctrl(&t);
	uint64_t at = NET_TEST_FRAMES + 0x1f000;
	struct driver_seg segs[2] = {{t.data + at, 0, false}, {t.data + at + 0x800, 1, true}};
	size_t size;
	const uint8_t *bytes = fuzz_bytes(in, 64, &size);

	memcpy(net_test_ram(&t, at), bytes, size);
	segs[0].len = (uint32_t)size;
	if (!has_room(queue, 2))
		return;
	driver_add(&t.d.queues[queue], segs, 2, false);
	driver_kick(&t.d, queue);
}

static void host_sends(struct fuzz_input *in)
{
	static uint8_t frame[NET_TEST_MAX];
	uint8_t what = fuzz_u8(in), how = fuzz_u8(in);
	size_t size = how < 250 ? how * 8U : 65535U;

	frame[SPEC_H_FLAGS] = fuzz_u8(in);
	frame[SPEC_H_GSO_TYPE] = fuzz_u8(in);
	/* As many as fit; a tap throws away what does not. */
	if (t.host[what % PAIRS] >= 0 && size > 0)
		(void)!send(t.host[what % PAIRS], frame, size, MSG_NOSIGNAL);
}

static void host_takes(struct fuzz_input *in)
{
	uint8_t what = fuzz_u8(in);

	if (what == 255)
		close_fdp(&t.host[0]);
	for (unsigned int i = 0; i < PAIRS; i++) {
		while (t.host[i] >= 0 && net_test_take(&t, i) >= 0)
			taken++;
	}
	must(taken <= net_test_counters(&t).tx_frames + net_test_counters(&t).announced);
}

static void freeze(void)
{
	must(virtio_pci_drain(t.v, 0, NULL) == 0);
	for (unsigned int i = 0; i < QUEUES; i++)
		must(virtqueue_in_flight(virtio_queue(t.v, i)) == 0);
}

static void new_process(void)
{
	virtio_pci_free(t.v);
	net_test_device(&t);
	taken = 0;
}

static void update(void)
{
	struct saved first;

	freeze();
	first = device_save(virtio_pci_state_ops(t.v), t.v);
	new_process();
	t.d.pci = virtio_pci_function(t.v);
	must_take_over(virtio_pci_state_ops(t.v), t.v, &first);
	virtio_pci_resumed(t.v);
}

/* In place of the device, whose state comes back from what was saved. */
static void load_changed(struct fuzz_input *in)
{
	struct saved saved;

	freeze();
	saved = device_save(virtio_pci_state_ops(t.v), t.v);
	new_process();
	fuzz_load_changed(&t.d, t.v, &saved, in);
}

static void reset_queue(struct fuzz_input *in)
{
	unsigned int queue = fuzz_u8(in) % QUEUES;

	if (resets++ >= FUZZ_RESETS_MAX || fuzz_asks_for_reset(&t.d))
		return;
	fuzz_reset_queue(&t.d, t.loop, queue);
	if (driver_common(&t.d, SPEC_C_STATUS, 1) & SPEC_S_DRIVER_OK)
		driver_enable_queue(&t.d, queue, NET_TEST_RING);
}

static void reset_device(void)
{
	if (resets++ >= FUZZ_RESETS_MAX)
		return;
	fuzz_reset_device(&t.d, t.loop);
	must(t.net->pairs_used == 1 && t.net->offloads == 0);
	if (t.host[0] >= 0)
		net_test_drive(&t, features);
}

static void write_config(struct fuzz_input *in)
{
	unsigned int size = 1U << fuzz_u8(in) % 3, offset = fuzz_u8(in) % (12 - size + 1);

	fake_mmio_write(&t.machine, t.d.config + offset, fuzz_u64(in), size);
	fake_mmio_read(&t.machine, t.d.config + offset, size);
	fuzz_write_common(in, &t.d, QUEUES);
}

static void refill(struct token_bucket *bucket, uint8_t tokens)
{
	bucket->level = MIN_OF((int64_t)tokens, (int64_t)bucket->config.size);
}

static void time_goes_by(struct fuzz_input *in)
{
	uint8_t what = fuzz_u8(in);

	if ((what & 3) == 0) {
		refill(&t.net->rx_limit.limiter.bandwidth, what);
		refill(&t.net->tx_limit.limiter.ops, what);
		if (t.net->running) {
			net_rx_limit_expired(t.net);
			net_tx_limit_expired(t.net);
		}
	} else if ((what & 3) == 1) {
		if (t.net->running)
			net_announce_again(t.net);
	} else {
		pci_config_write(t.d.pci, 4, what & 1 ? 7 : 3, 2);
	}
}

static void operate(struct fuzz_input *in)
{
	switch (fuzz_u8(in) % 14) {
	case 0:
		fuzz_write_rings(in, &t.d, QUEUES, NET_TEST_RING, t.data + NET_TEST_FRAMES);
		break;
	case 1:
		driver_kick(&t.d, fuzz_u8(in) % QUEUES);
		break;
	case 2:
		post_buffers(in);
		break;
	case 3:
		send_frame(in);
		break;
	case 4:
		send_command(in);
		break;
	case 5:
		host_sends(in);
		break;
	case 6:
		host_takes(in);
		break;
	case 7:
		freeze();
		virtio_pci_thaw(t.v);
		break;
	case 8:
		update();
		break;
	case 9:
		reset_queue(in);
		break;
	case 10:
		reset_device();
		break;
	case 11:
		write_config(in);
		break;
	case 12:
		time_goes_by(in);
		break;
	default:
		load_changed(in);
		break;
	}
}

static void check(void)
{
	for (unsigned int i = 0; i < PAIRS; i++) {
		const struct net_rx *rx = &t.net->pairs[i].rx;
		size_t bytes = 0;

		must(virtqueue_in_flight(virtio_queue(t.v, 2 * i)) == rx->count);
		must(virtqueue_in_flight(virtio_queue(t.v, 2 * i + 1)) == 0);
		must(rx->count <= NET_HELD_MAX);
		for (unsigned int k = 0; k < rx->count; k++)
			bytes += rx->chains[(rx->first + k) % NET_HELD_MAX]->in_bytes;
		must(bytes == rx->bytes);
		must(rx->waiting <= NET_FRAME_MAX && rx->placed <= NET_FRAME_MAX);
	}
	must(virtqueue_in_flight(virtio_queue(t.v, 2 * PAIRS)) == 0);
	must(t.net->pairs_used >= 1 && t.net->pairs_used <= PAIRS);
	must(!(t.net->offloads & ~t.net->features));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_input in = {data, size};
	uint8_t choice = fuzz_u8(&in);

	begin(choice, fuzz_u8(&in));
	for (unsigned int i = 0; in.size && i < FUZZ_OPS_MAX; i++) {
		operate(&in);
		loop_settle(t.loop);
		check();
	}
	end();
	return 0;
}
