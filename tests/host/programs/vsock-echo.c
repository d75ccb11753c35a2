// SPDX-License-Identifier: Apache-2.0
/*
 * vsock-echo serve PORT             sends back what comes in, for ever
 * vsock-echo ask CID PORT BYTES     connects, sends so many bytes, compares what comes back
 * vsock-echo hold CID PORT BYTES    the same, and then waits until the connection ends
 *
 * The host's end of a guest's socket device, for the emulated host. What happens is printed by
 * lines: "listening", "exchanged BYTES", "ended ERRNO" (0: in good order). Status 1: it failed,
 * with the reason.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/host/guest/vsock_echo.h"

static int fail(const char *what, int code)
{
	printf("%s: %s\n", what, strerror(code));
	return 1;
}

static int serve(unsigned int port)
{
	struct vsock_echo echo;
	int code = vsock_listen(&echo, port);

	if (code)
		return fail("listen", code);
	puts("listening");
	vsock_serve(&echo);
	return 1;
}

static int ask(unsigned int cid, unsigned int port, uint64_t bytes, int hold)
{
	uint64_t done = 0;
	int fd, code = vsock_connect(cid, port, &fd);

	if (code)
		return fail("connect", code);
	code = vsock_exchange(fd, bytes, &done);
	if (code)
		return fail("exchange", code);
	printf("exchanged %lu\n", done);
	if (hold)
		printf("ended %d\n", vsock_wait_end(fd));
	return 0;
}

static unsigned int number(const char *text)
{
	return (unsigned int)strtoul(text, NULL, 10);
}

int main(int argc, char **argv)
{
	setvbuf(stdout, NULL, _IOLBF, 0);
	if (argc == 3 && !strcmp(argv[1], "serve"))
		return serve(number(argv[2]));
	if (argc == 5 && (!strcmp(argv[1], "ask") || !strcmp(argv[1], "hold")))
		return ask(number(argv[2]), number(argv[3]), strtoull(argv[4], NULL, 10),
			   argv[1][0] == 'h');
	fputs("usage: vsock-echo serve PORT | ask CID PORT BYTES | hold CID PORT BYTES\n", stderr);
	return 2;
}
