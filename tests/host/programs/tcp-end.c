// SPDX-License-Identifier: Apache-2.0
/*
 * tcp-end PORT: the other end of a test guest's TCP measurement (guest/bench_tcp.c). Serves one
 * connection after the other: a request of two words of 64 bits, whether the guest sends, and how
 * many bytes; then those bytes into that direction. What was received is confirmed by one byte.
 */
#include <netinet/in.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#define PIECE (256U << 10)

static int listen_on(uint16_t port)
{
	struct sockaddr_in address = {.sin_family = AF_INET,
				      .sin_port = htons(port),
				      .sin_addr.s_addr = htonl(INADDR_ANY)};
	int fd = socket(AF_INET, SOCK_STREAM, 0), on = 1;

	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) < 0 ||
	    bind(fd, (const struct sockaddr *)&address, sizeof(address)) < 0 || listen(fd, 4) < 0)
		return -1;
	return fd;
}

static void serve(int fd)
{
	static unsigned char data[PIECE];
	uint64_t request[2], done = 0;

	if (recv(fd, request, sizeof(request), MSG_WAITALL) != sizeof(request))
		return;
	while (done < request[1]) {
		uint64_t left = request[1] - done;
		size_t piece = left < PIECE ? (size_t)left : PIECE;
		ssize_t n =
			request[0] ? recv(fd, data, piece, 0) : send(fd, data, piece, MSG_NOSIGNAL);

		if (n <= 0)
			return;
		done += (uint64_t)n;
	}
	if (request[0] && send(fd, data, 1, MSG_NOSIGNAL) != 1)
		perror("tcp-end");
	/* Until the guest has closed its end: what was sent last is not lost in a reset. */
	shutdown(fd, SHUT_WR);
	while (recv(fd, data, PIECE, 0) > 0)
		;
}

int main(int argc, char **argv)
{
	int listening = argc == 2 ? listen_on((uint16_t)strtoul(argv[1], NULL, 10)) : -1;

	if (listening < 0) {
		perror(argc == 2 ? "tcp-end" : "Usage: tcp-end PORT");
		return 1;
	}
	for (;;) {
		int fd = accept(listening, NULL, NULL);

		if (fd < 0)
			continue;
		serve(fd);
		close(fd);
	}
}
