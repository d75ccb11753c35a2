/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The socket device under a driver that writes what it likes into rings, descriptors and registers,
 * on a kernel that is played (vhost_fake.h). An input's first byte chooses features; then it is a
 * sequence of operations:
 *   0  bytes into guest memory: place, offset, count, bytes
 *   1  kick: queue
 *   2  a buffer: queue, length, which kind
 *   3  the kernel has a turn with a ring, or says that it failed
 *   4  freeze and thaw
 *   5  freeze, save, load into a new process, save (must be equal), go on
 *   6  reset of the device, which the driver then starts again
 *   7  write to the common configuration
 *   8  bus mastering off or on, MSI-X off or on
 *   9  read or write of the configuration space
 *  10  the kernel refuses a request from now on, or none
 *  11  a state with one property changed, in a device that is thrown away
 * The kernel has the rings exactly while it may: never of a device that asks for a reset, is
 * drained or has no bus mastering.
 */
#include <linux/vhost.h>

#include "tests/fuzz/fuzz_state.h"
#include "tests/fuzz/fuzz_virtio.h"
#include "tests/unit/vsock_test.h"

#define SPEC_CMD_MEMORY	 2
#define SPEC_CMD_MASTER	 4
#define SPEC_MSIX_ENABLE 0x8000

static struct vsock_test t;
static uint64_t features;
static unsigned int resets;

static void begin(uint8_t choice)
{
	static struct loop *loop;

	fuzz_quiet();
	if (!loop)
		must(loop_new(&loop, NULL) == 0);
	vhost_fake_init();
	memset(&t, 0, sizeof(t));
	t.loop = loop;
	fake_machine_init(&t.machine);
	features = (choice & 1 ? SPEC_F_EVENT_IDX : 0) | (choice & 2 ? SPEC_F_INDIRECT : 0) |
		   (choice & 4 ? SPEC_F_SEQPACKET : 0);
	resets = 0;
	vsock_test_device(&t);
	t.data = driver_alloc(&t.machine, 4096);
	driver_open(&t.d, &t.machine, virtio_pci_function(t.v), VSOCK_TEST_BASE);
	driver_start(&t.d, features, VSOCK_TEST_QUEUES, VSOCK_TEST_RING);
}

static void end(void)
{
	virtio_pci_free(t.v);
	must(!vhost_fake.running);
	fake_machine_check_empty(&t.machine);
}

static void write_memory(struct fuzz_input *in)
{
	static const unsigned int sizes[] = {16 * VSOCK_TEST_RING, 6 + 2 * VSOCK_TEST_RING,
					     6 + 8 * VSOCK_TEST_RING, 0x1000};
	uint8_t where = fuzz_u8(in);
	const struct driver_queue *q = &t.d.queues[where / 8 % VSOCK_TEST_QUEUES];
	const uint64_t places[] = {q->desc, q->driver, q->device, t.data};
	unsigned int place = where % ARRAY_SIZE(places);
	size_t offset = fuzz_u8(in) * 4U % sizes[place], size;
	const uint8_t *bytes = fuzz_bytes(in, sizes[place] - offset, &size);

	memcpy(fake_ram(&t.machine, places[place] + offset), bytes, size);
}

static void add_buffer(struct fuzz_input *in)
{
	uint8_t what = fuzz_u8(in);
	unsigned int queue = what % VSOCK_TEST_QUEUES;
	struct driver_seg seg = {t.data + fuzz_u8(in), fuzz_u8(in), what & 64};

	if (t.d.queues[queue].free_count == 0)
		return;
	driver_add(&t.d.queues[queue], &seg, 1, false);
	if (what & 128)
		driver_kick(&t.d, queue);
}

static void kernel_turn(struct fuzz_input *in)
{
	uint8_t what = fuzz_u8(in);

	if (what & 2)
		vhost_fake_fail(what & 1);
	else
		vhost_fake_serve(what & 1, what);
}

static void freeze_and_thaw(void)
{
	if (virtio_pci_drain(t.v, 0, NULL) < 0) {
		must(vhost_fake.refuse);
		return;
	}
	must(!vhost_fake.running);
	virtio_pci_thaw(t.v);
}

static void new_process(void)
{
	vhost_fake.refuse = 0;
	virtio_pci_free(t.v);
	vsock_test_device(&t);
	t.d.pci = virtio_pci_function(t.v);
}

static void update(void)
{
	struct saved first;

	if (virtio_pci_drain(t.v, 0, NULL) < 0) {
		must(vhost_fake.refuse);
		return;
	}
	first = device_save(virtio_pci_state_ops(t.v), t.v);
	new_process();
	must_take_over(virtio_pci_state_ops(t.v), t.v, &first);
	must(!vhost_fake.running);
	virtio_pci_resumed(t.v);
}

static void load_changed(struct fuzz_input *in)
{
	struct saved saved;

	if (virtio_pci_drain(t.v, 0, NULL) < 0)
		return;
	saved = device_save(virtio_pci_state_ops(t.v), t.v);
	new_process();
	fuzz_load_changed(&t.d, t.v, &saved, in);
}

static void reset_device(void)
{
	if (resets++ >= FUZZ_RESETS_MAX)
		return;
	fuzz_reset_device(&t.d, t.loop);
	must(!vhost_fake.running);
	pci_config_write(t.d.pci, 4, SPEC_CMD_MEMORY | SPEC_CMD_MASTER, 2);
	driver_start(&t.d, features, VSOCK_TEST_QUEUES, VSOCK_TEST_RING);
}

/* Not the queues' places nor the status, which the driver's model has to know. */
static void write_common(struct fuzz_input *in)
{
	static const unsigned int offsets[] = {
		SPEC_C_DEVICE_FEATURE_SELECT, SPEC_C_DRIVER_FEATURE_SELECT, SPEC_C_DRIVER_FEATURE,
		SPEC_C_CONFIG_VECTOR,	      SPEC_C_QUEUE_VECTOR,	    SPEC_C_QUEUE_RESET};
	unsigned int which = fuzz_u8(in) % ARRAY_SIZE(offsets);

	driver_set_common(&t.d, SPEC_C_QUEUE_SELECT, fuzz_u8(in) % VSOCK_TEST_QUEUES, 2);
	driver_set_common(&t.d, offsets[which], fuzz_u8(in), which < 3 ? 4 : 2);
}

static void write_pci(struct fuzz_input *in)
{
	uint8_t what = fuzz_u8(in);

	if (what & 1)
		pci_config_write(t.d.pci, 4, SPEC_CMD_MEMORY | (what & 2 ? SPEC_CMD_MASTER : 0), 2);
	else
		pci_config_write(t.d.pci, t.d.msix_cap + 2, what & 2 ? SPEC_MSIX_ENABLE : 0, 2);
}

static void access_config(struct fuzz_input *in)
{
	unsigned int size = 1U << fuzz_u8(in) % 4, offset = fuzz_u8(in) % (8 - size + 1);

	fake_mmio_write(&t.machine, t.d.config + offset, fuzz_u64(in), size);
	must(fake_mmio_read(&t.machine, t.d.config, 8) == VSOCK_TEST_CID);
}

static void refuse(struct fuzz_input *in)
{
	static const unsigned long requests[] = {0,
						 0,
						 VHOST_SET_FEATURES,
						 VHOST_SET_VRING_NUM,
						 VHOST_SET_VRING_BASE,
						 VHOST_GET_VRING_BASE,
						 VHOST_SET_VRING_ADDR,
						 VHOST_SET_VRING_KICK,
						 VHOST_SET_VRING_CALL,
						 VHOST_SET_VRING_ERR,
						 VHOST_VSOCK_SET_RUNNING};
	uint8_t what = fuzz_u8(in);

	vhost_fake.refuse = requests[what % ARRAY_SIZE(requests)];
	vhost_fake.refuse_errno = ENOMEM;
	vhost_fake.refuse_after = what / 64;
}

static void operate(struct fuzz_input *in)
{
	switch (fuzz_u8(in) % 12) {
	case 0:
		write_memory(in);
		break;
	case 1:
		driver_kick(&t.d, fuzz_u8(in) % VSOCK_TEST_QUEUES);
		break;
	case 2:
		add_buffer(in);
		break;
	case 3:
		kernel_turn(in);
		break;
	case 4:
		freeze_and_thaw();
		break;
	case 5:
		update();
		break;
	case 6:
		reset_device();
		break;
	case 7:
		write_common(in);
		break;
	case 8:
		write_pci(in);
		break;
	case 9:
		access_config(in);
		break;
	case 10:
		refuse(in);
		break;
	default:
		load_changed(in);
		break;
	}
}

static void check(void)
{
	bool may = virtio_dma_allowed(t.v) &&
		   (driver_common(&t.d, SPEC_C_STATUS, 1) & SPEC_S_DRIVER_OK);

	if (vhost_fake.refuse)
		return;
	must(vhost_fake.running == may);
	must(vhost_fake.cid == VSOCK_TEST_CID);
	for (unsigned int i = 0; i < VSOCK_TEST_QUEUES; i++)
		must(virtqueue_in_flight(virtio_queue(t.v, i)) == 0);
	if (!may)
		return;
	/* An interrupt of the kernel's goes somewhere. */
	for (unsigned int i = 0; i < VHOST_FAKE_RINGS; i++)
		must(vhost_fake.rings[i].call == virtio_queue_interrupt_fd(t.v, i, NULL));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_input in = {data, size};

	begin(fuzz_u8(&in));
	for (unsigned int i = 0; in.size && i < FUZZ_OPS_MAX; i++) {
		operate(&in);
		loop_settle(t.loop);
		check();
	}
	end();
	return 0;
}
