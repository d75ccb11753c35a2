// SPDX-License-Identifier: Apache-2.0
#include "vsock_echo.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <linux/vm_sockets.h>

#define PIECE 4096U

static int send_all(int fd, const unsigned char *data, size_t size)
{
	while (size > 0) {
		ssize_t n = send(fd, data, size, MSG_NOSIGNAL);

		if (n < 0 && errno != EINTR)
			return errno;
		if (n > 0) {
			data += n;
			size -= (size_t)n;
		}
	}
	return 0;
}

struct connection {
	struct vsock_echo *echo;
	int fd;
};

static int serve_one(const struct connection *c)
{
	unsigned char data[PIECE];

	for (;;) {
		ssize_t n = recv(c->fd, data, sizeof(data), 0);
		int code;

		if (n == 0)
			return 0;
		if (n < 0 && errno == EINTR)
			continue;
		code = n < 0 ? errno : send_all(c->fd, data, (size_t)n);
		if (code)
			return code;
		__atomic_add_fetch(&c->echo->bytes, (uint64_t)n, __ATOMIC_RELAXED);
	}
}

static void *serve_thread(void *arg)
{
	struct connection *c = arg;
	int code = serve_one(c);
	uint64_t *count = code == 0	       ? &c->echo->closed
			  : code == ECONNRESET ? &c->echo->reset
					       : &c->echo->failed;

	close(c->fd);
	__atomic_add_fetch(count, 1, __ATOMIC_RELAXED);
	free(c);
	return NULL;
}

int vsock_listen(struct vsock_echo *echo, unsigned int port)
{
	const struct sockaddr_vm address = {
		.svm_family = AF_VSOCK, .svm_cid = VMADDR_CID_ANY, .svm_port = port};

	*echo = (struct vsock_echo){.fd = socket(AF_VSOCK, SOCK_STREAM | SOCK_CLOEXEC, 0)};
	if (echo->fd < 0 ||
	    bind(echo->fd, (const struct sockaddr *)&address, sizeof(address)) < 0 ||
	    listen(echo->fd, 16) < 0)
		return errno;
	return 0;
}

void vsock_serve(struct vsock_echo *echo)
{
	for (;;) {
		struct connection *c = malloc(sizeof(*c));
		pthread_t thread;

		if (!c)
			return;
		c->echo = echo;
		c->fd = accept4(echo->fd, NULL, NULL, SOCK_CLOEXEC);
		if (c->fd < 0) {
			free(c);
			if (errno == EINTR || errno == ECONNABORTED || errno == ECONNRESET)
				continue;
			return;
		}
		__atomic_add_fetch(&echo->accepted, 1, __ATOMIC_RELAXED);
		if (pthread_create(&thread, NULL, serve_thread, c))
			return;
		pthread_detach(thread);
	}
}

int vsock_connect(unsigned int cid, unsigned int port, int *fd)
{
	const struct sockaddr_vm address = {
		.svm_family = AF_VSOCK, .svm_cid = cid, .svm_port = port};
	int code;

	*fd = socket(AF_VSOCK, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (*fd >= 0 && connect(*fd, (const struct sockaddr *)&address, sizeof(address)) == 0)
		return 0;
	code = errno;
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
	return code;
}

static int recv_all(int fd, unsigned char *data, size_t size)
{
	while (size > 0) {
		ssize_t n = recv(fd, data, size, 0);

		if (n == 0)
			return EPIPE;
		if (n < 0 && errno != EINTR)
			return errno;
		if (n > 0) {
			data += n;
			size -= (size_t)n;
		}
	}
	return 0;
}

int vsock_exchange(int fd, uint64_t bytes, uint64_t *done)
{
	static unsigned char out[PIECE], in[PIECE];

	for (*done = 0; *done < bytes;) {
		size_t size = bytes - *done < PIECE ? (size_t)(bytes - *done) : PIECE;
		int code;

		for (size_t i = 0; i < size; i++)
			out[i] = (unsigned char)((*done + i) * 131 + (*done >> 12));
		memset(in, 0, sizeof(in));
		code = send_all(fd, out, size);
		if (code == 0)
			code = recv_all(fd, in, size);
		if (code == 0 && memcmp(in, out, size) != 0)
			code = EBADMSG;
		if (code)
			return code;
		*done += size;
	}
	return 0;
}

int vsock_wait_end(int fd)
{
	unsigned char byte;
	ssize_t n;

	do {
		n = recv(fd, &byte, 1, 0);
	} while (n > 0 || (n < 0 && errno == EINTR));
	return n < 0 ? errno : 0;
}
