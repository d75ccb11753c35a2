// SPDX-License-Identifier: Apache-2.0
/*
 * The socket device as the guest uses it: it sends back what the host sends it, and asks the host
 * to do the same. A connection that it made stays open until the other end or an update ends it.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <linux/vm_sockets.h>

#include "guest.h"
#include "vsock_echo.h"

#define PORT_GUEST 5000U
#define PORT_HOST  5001U
#define BYTES	   65536U

static struct vsock_echo server;
/* Connections to the host that were left open, and how they ended. */
static uint64_t made, closed, reset, failed;

static void *serve(void *arg)
{
	(void)arg;
	vsock_serve(&server);
	return NULL;
}

void vsock_start(void)
{
	pthread_t thread;

	/* Without the device there is nothing to listen on in many kernels. */
	if (vsock_listen(&server, PORT_GUEST) == 0)
		pthread_create(&thread, NULL, serve, NULL);
}

static uint64_t get(const uint64_t *count)
{
	return __atomic_load_n(count, __ATOMIC_RELAXED);
}

static unsigned int local_cid(void)
{
	unsigned int cid = 0;
	int fd = open("/dev/vsock", O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return 0;
	if (ioctl(fd, IOCTL_VM_SOCKETS_GET_LOCAL_CID, &cid) < 0)
		cid = 0;
	close(fd);
	return cid;
}

void vsock_say(void)
{
	uint64_t server_ended = get(&server.closed) + get(&server.reset) + get(&server.failed);
	uint64_t ended = get(&closed) + get(&reset) + get(&failed);

	say("vsock cid=%u accepted=%lu bytes=%lu served_open=%lu served_closed=%lu "
	    "served_reset=%lu served_failed=%lu made=%lu open=%lu closed=%lu reset=%lu failed=%lu",
	    local_cid(), get(&server.accepted), get(&server.bytes),
	    get(&server.accepted) - server_ended, get(&server.closed), get(&server.reset),
	    get(&server.failed), get(&made), get(&made) - ended, get(&closed), get(&reset),
	    get(&failed));
}

static void *wait_end(void *arg)
{
	int fd = (int)(intptr_t)arg, code = vsock_wait_end(fd);
	uint64_t *count = code == 0 ? &closed : code == ECONNRESET ? &reset : &failed;

	close(fd);
	__atomic_add_fetch(count, 1, __ATOMIC_RELAXED);
	return NULL;
}

void vsock_check(void)
{
	uint64_t done = 0;
	pthread_t thread;
	int fd, code = vsock_connect(VMADDR_CID_HOST, PORT_HOST, &fd);

	if (code == 0)
		code = vsock_exchange(fd, BYTES, &done);
	say("vsock-check ok=%s bytes=%lu error=%s", code ? "no" : "yes", done,
	    code ? strerrorname_np(code) : "none");
	if (code == 0 && pthread_create(&thread, NULL, wait_end, (void *)(intptr_t)fd) == 0) {
		pthread_detach(thread);
		__atomic_add_fetch(&made, 1, __ATOMIC_RELAXED);
	} else if (fd >= 0) {
		close(fd);
	}
}
