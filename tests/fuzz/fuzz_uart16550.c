/* SPDX-License-Identifier: Apache-2.0 */
/* Any sequence of register accesses, input, slow readers and saved states. */
#include <signal.h>
#include <sys/socket.h>

#include "devices/uart16550.h"
/* FUZZ_OPS_MAX accesses print 3200 bytes at most. */
#define SAVED_MAX 8192U
#include "tests/fuzz/fuzz_device.h"

enum {
	OP_TYPE = FUZZ_OPS_SHARED, /* length, bytes */
	OP_TURN,
	OP_READ_OUTPUT,
	OP_STOP_AND_START,
	OP_COUNT,
};

static void own_op(struct uart16550 *u, struct loop *loop, int peer, struct fuzz_input *in,
		   uint8_t op)
{
	const uint8_t *bytes;
	char sink[4096];
	size_t size;

	switch (op) {
	case OP_TYPE:
		bytes = fuzz_bytes(in, 64, &size);
		/* A full socket only means that this input is not there. */
		if (send(peer, bytes, size, MSG_DONTWAIT) < 0)
			break;
		break;
	case OP_TURN:
		must(loop_run_once(loop, 0) == 0);
		break;
	case OP_READ_OUTPUT:
		while (recv(peer, sink, sizeof(sink), MSG_DONTWAIT) > 0)
			;
		break;
	default:
		uart16550_stop(u, 0);
		uart16550_start(u);
		break;
	}
}

static struct uart16550 *new_uart(struct loop *loop, struct chardev *backend, bool *line)
{
	struct uart16550_params params = {
		.irq = {.set = fuzz_line_set, .opaque = line}, .backend = backend, .loop = loop};
	struct uart16550 *u;

	must(uart16550_new(&params, &u, NULL) == 0);
	return u;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_input in = {.data = data, .size = size};
	bool line = false, other_line = false;
	struct fuzz_device d = {.io = &uart16550_io_ops,
				.io_size = UART16550_IO_SIZE,
				.state = &uart16550_state_ops};
	struct chardev *backend;
	struct loop *loop;
	int pair[2];

	fuzz_quiet();
	signal(SIGPIPE, SIG_IGN);
	must(loop_new(&loop, NULL) == 0);
	must(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0);
	must(chardev_new_fds(loop, pair[0], pair[0], &backend, NULL) == 0);
	d.obj = new_uart(loop, backend, &line);
	d.other = new_uart(loop, NULL, &other_line);
	uart16550_start(d.obj);
	for (unsigned int i = 0; i < FUZZ_OPS_MAX && in.size > 0; i++) {
		uint8_t op = fuzz_u8(&in) % OP_COUNT;

		if (!fuzz_shared(&d, &in, op))
			own_op(d.obj, loop, pair[1], &in, op);
	}
	fuzz_round_trip(&d);
	must(line == other_line);
	uart16550_free(d.obj);
	uart16550_free(d.other);
	chardev_free(backend);
	close(pair[1]);
	loop_free(loop);
	return 0;
}
