/* SPDX-License-Identifier: Apache-2.0 */
/* AF_VSOCK sockets that send back what comes in, and whoever looks whether they do: in a test
 * guest, and in the emulated host. */
#ifndef HOLDFAST_TESTS_VSOCK_ECHO_H
#define HOLDFAST_TESTS_VSOCK_ECHO_H

#include <stdint.h>

/* Counted by any thread; each connection ends in one of the last three. */
struct vsock_echo {
	int fd; /* listens */
	uint64_t accepted, bytes;
	uint64_t closed; /* in good order */
	uint64_t reset;	 /* ECONNRESET */
	uint64_t failed; /* any other error */
};

/* Listens on that port for whoever comes. 0 or an errno. */
int vsock_listen(struct vsock_echo *echo, unsigned int port);
/* Serves connections for ever, each on a thread of its own. */
void vsock_serve(struct vsock_echo *echo);

/* 0 or an errno; *fd is connected then. */
int vsock_connect(unsigned int cid, unsigned int port, int *fd);
/* Sends so many bytes, piece by piece, and compares what comes back. 0, EBADMSG: it is not the
 * same, or an errno. *done: bytes that came back as they should. */
int vsock_exchange(int fd, uint64_t bytes, uint64_t *done);
/* Until the connection ends; 0 in good order, or an errno. */
int vsock_wait_end(int fd);

#endif
