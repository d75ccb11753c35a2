// SPDX-License-Identifier: Apache-2.0
/* The guest's side of a TCP measurement; the host's is programs/tcp-end.c. */
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "guest.h"

#define PIECE (256U << 10)

static int connect_to(const char *own, const char *peer, uint16_t port)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd >= 0 && net_configure(own) && inet_pton(AF_INET, peer, &address.sin_addr) == 1 &&
	    connect(fd, (const struct sockaddr *)&address, sizeof(address)) == 0)
		return fd;
	if (fd >= 0)
		close(fd);
	return -1;
}

/* The request: how many bytes go into which direction. Bytes that were moved. */
static uint64_t move(int fd, bool sends, uint64_t bytes)
{
	unsigned char *data = calloc(1, PIECE), end;
	uint64_t request[2] = {sends, bytes}, done = 0;

	if (!data || write(fd, request, sizeof(request)) != sizeof(request))
		bytes = 0;
	while (done < bytes) {
		size_t piece = bytes - done < PIECE ? (size_t)(bytes - done) : PIECE;
		ssize_t n = sends ? write(fd, data, piece) : read(fd, data, piece);

		if (n <= 0)
			break;
		done += (uint64_t)n;
	}
	/* Sent is what the other end has taken. */
	if (sends && read(fd, &end, 1) != 1)
		done = 0;
	free(data);
	return done;
}

/* "send 10.77.0.2 10.77.0.1 5001 67108864": own address, the other's and its port, bytes. */
void bench_tcp(const char *words)
{
	char what[8], own[16], peer[16];
	struct clocks before, after;
	uint64_t bytes, moved;
	uint16_t port;
	int fd;

	if (sscanf(words, "%7s %15s %15s %hu %lu", what, own, peer, &port, &bytes) != 5) {
		say("fault kind=bench text=%.60s", words);
		return;
	}
	fd = connect_to(own, peer, port);
	if (fd < 0) {
		say("fault kind=bench connect=%s errno=%d", peer, errno);
		return;
	}
	clocks_read(&before);
	moved = move(fd, !strcmp(what, "send"), bytes);
	clocks_read(&after);
	close(fd);
	say("bench what=%s count=%u bytes=%lu ns=%lu wrong=%lu", what, 1, bytes,
	    after.mono_ns - before.mono_ns, bytes - moved);
}
