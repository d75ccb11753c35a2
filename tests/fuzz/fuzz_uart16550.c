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

/* A device whose console is a socket. */
struct uart_bench {
	struct fuzz_bench b; /* first: own_op() gets a pointer to it */
	int peer;	     /* the console's other end */
};

static void own_op(struct fuzz_bench *b, struct fuzz_input *in, uint8_t op)
{
	const int peer = ((struct uart_bench *)b)->peer;
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
		must(loop_run_once(b->loop, 0) == 0);
		break;
	case OP_READ_OUTPUT:
		while (recv(peer, sink, sizeof(sink), MSG_DONTWAIT) > 0)
			;
		break;
	default:
		uart16550_stop(b->d.obj, 0);
		uart16550_start(b->d.obj);
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
	struct uart_bench u = {.b.d = {.io = &uart16550_io_ops,
				       .io_size = UART16550_IO_SIZE,
				       .state = &uart16550_state_ops}};
	struct chardev *backend;
	int pair[2];

	signal(SIGPIPE, SIG_IGN);
	fuzz_begin(&u.b);
	must(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0);
	must(chardev_new_fds(u.b.loop, pair[0], pair[0], &backend, NULL) == 0);
	u.peer = pair[1];
	u.b.d.obj = new_uart(u.b.loop, backend, &u.b.line);
	u.b.d.other = new_uart(u.b.loop, NULL, &u.b.other_line);
	uart16550_start(u.b.d.obj);
	fuzz_walk(&u.b, data, size, OP_COUNT, own_op);
	uart16550_free(u.b.d.obj);
	uart16550_free(u.b.d.other);
	chardev_free(backend);
	close(u.peer);
	loop_free(u.b.loop);
	return 0;
}
