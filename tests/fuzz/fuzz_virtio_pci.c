/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A virtio console behind the PCI transport, and a guest that writes whatever it likes into its
 * registers, its configuration space and the memory where its rings are.
 */
#include <sys/socket.h>

#include "devices/virtio/console.h"
#include "tests/fuzz/fuzz_machine.h"

enum {
	OP_CONFIG_READ,
	OP_CONFIG_WRITE,
	OP_BAR_READ,
	OP_BAR_WRITE,
	OP_RAM,	   /* offset, 8 bytes */
	OP_TURN,   /* of the loop */
	OP_INPUT,  /* bytes for the guest */
	OP_FREEZE, /* drain, into another one and back, thaw */
	OP_LOAD,
	OP_COUNT,
};

/* Where BARs are put before the input begins. */
#define BAR0 0xc0000000U
#define BAR1 0xc0010000U

struct side {
	struct fuzz_machine m;
	struct virtio_pci *v;
	int peer; /* the user's end of the console */
};

static void make(struct side *s, struct loop *loop)
{
	struct virtio_console *console;
	struct chardev *backend;
	struct pci_device *pci;
	int fds[2];

	fuzz_machine_init(&s->m);
	must(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds) == 0);
	s->peer = fds[0];
	must(chardev_new_fds(loop, fds[1], fds[1], &backend, NULL) == 0);
	must(virtio_console_new(backend, &console, NULL) == 0);
	must(virtio_pci_new(&virtio_console_ops, console, loop, &s->m.attach, &s->v, NULL) == 0);
	pci = virtio_pci_function(s->v);
	pci_config_write(pci, 0x10, BAR0, 4);
	pci_config_write(pci, 0x14, BAR1, 4);
	pci_config_write(pci, 0x04, 6, 2);
}

static void unmake(struct side *s)
{
	virtio_pci_free(s->v);
	close(s->peer);
	fuzz_machine_done(&s->m);
}

static void turn(struct side *s, struct loop *loop)
{
	uint8_t bytes[256];

	must(loop_run_once(loop, 0) == 0);
	while (read(s->peer, bytes, sizeof(bytes)) > 0)
		;
}

/* Frozen, taken up by another process (a second device on a copy of the memory), thawed. */
static void freeze(struct side *s, struct loop *loop)
{
	const struct state_ops *ops = virtio_pci_state_ops(s->v);
	struct fuzz_device d = {.state = ops, .obj = s->v};
	struct side other;

	must(virtio_pci_drain(s->v, 0, NULL) == 0);
	make(&other, loop);
	memcpy(other.m.ram, s->m.ram, FUZZ_RAM_SIZE);
	d.other = other.v;
	fuzz_round_trip(&d);
	must(other.m.line == s->m.line);
	virtio_pci_resumed(other.v);
	turn(&other, loop);
	unmake(&other);
	virtio_pci_thaw(s->v);
}

/* A state that was changed, in a device that is thrown away. */
static void load(struct side *s, struct loop *loop, struct fuzz_input *in)
{
	struct side other;
	struct saved saved;

	must(virtio_pci_drain(s->v, 0, NULL) == 0);
	saved = device_save(virtio_pci_state_ops(s->v), s->v);
	make(&other, loop);
	memcpy(other.m.ram, s->m.ram, FUZZ_RAM_SIZE);
	must_load(virtio_pci_state_ops(other.v), other.v, &saved);
	fuzz_load_nested(virtio_pci_state_ops(other.v), other.v, in);
	virtio_pci_resumed(other.v);
	turn(&other, loop);
	saved_free(&saved);
	unmake(&other);
	virtio_pci_thaw(s->v);
}

static void one_op(struct side *s, struct loop *loop, struct fuzz_input *in)
{
	struct pci_device *pci = virtio_pci_function(s->v);
	uint8_t op = fuzz_u8(in) % OP_COUNT;
	const uint8_t *bytes;
	uint64_t value;
	size_t size;

	switch (op) {
	case OP_CONFIG_READ:
	case OP_CONFIG_WRITE:
		fuzz_config_access(pci, in, op == OP_CONFIG_WRITE);
		break;
	case OP_BAR_READ:
	case OP_BAR_WRITE:
		fuzz_bar_access(&s->m, in, op == OP_BAR_WRITE);
		break;
	case OP_RAM:
		size = fuzz_u16(in) & ~7U;
		value = fuzz_u64(in);
		memcpy(&s->m.ram[size], &value, sizeof(value));
		break;
	case OP_INPUT:
		bytes = fuzz_bytes(in, 255, &size);
		must(write(s->peer, bytes, size) >= 0 || errno == EAGAIN);
		break;
	case OP_FREEZE:
		freeze(s, loop);
		break;
	case OP_LOAD:
		load(s, loop, in);
		break;
	default:
		turn(s, loop);
		break;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_input in = {.data = data, .size = size};
	struct loop *loop;
	struct side s;

	fuzz_quiet();
	must(loop_new(&loop, NULL) == 0);
	make(&s, loop);
	for (unsigned int i = 0; i < FUZZ_OPS_MAX && in.size > 0; i++)
		one_op(&s, loop, &in);
	freeze(&s, loop);
	unmake(&s);
	loop_free(loop);
	return 0;
}
