// SPDX-License-Identifier: Apache-2.0
/*
 * The network as the guest uses it: one TCP connection to a peer outside of the host, over which
 * both sides send the numbers 0, 1, 2 and so on, 8 bytes each, and check every byte that they get.
 * The peer is lib/net_peer.py.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "guest.h"

#define DEVICE	   "eth0"
#define FOLDER	   "/sys/class/net/" DEVICE "/"
#define PIECE	   1024 /* bytes, whole numbers */
#define PAUSE_US   10000
#define CONNECT_S  60
#define ACK_WAIT_S 120

static struct {
	int fd;
	uint16_t port;		 /* ours: the connection is the same as long as it is */
	uint64_t sent, received; /* bytes */
	uint64_t wrong;		 /* bytes that were not what should have come */
	bool hold;		 /* nothing more is sent for now */
	bool held;		 /* the sender has seen it */
} net = {.fd = -1};

#define get(field)	  __atomic_load_n(&net.field, __ATOMIC_ACQUIRE)
#define set(field, value) __atomic_store_n(&net.field, (value), __ATOMIC_RELEASE)

static bool change(int fd, unsigned long request, struct ifreq *ifr)
{
	strcpy(ifr->ifr_name, DEVICE);
	return ioctl(fd, request, ifr) == 0;
}

static void put_address(struct ifreq *ifr, const char *text)
{
	struct sockaddr_in address = {.sin_family = AF_INET};

	inet_pton(AF_INET, text, &address.sin_addr);
	memcpy(&ifr->ifr_addr, &address, sizeof(address));
}

bool net_configure(const char *address)
{
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct ifreq ifr = {0};
	bool good;

	put_address(&ifr, address);
	good = change(fd, SIOCSIFADDR, &ifr);
	put_address(&ifr, "255.255.255.0");
	good = good && change(fd, SIOCSIFNETMASK, &ifr) && change(fd, SIOCGIFFLAGS, &ifr);
	ifr.ifr_flags |= IFF_UP;
	good = good && change(fd, SIOCSIFFLAGS, &ifr);
	close(fd);
	return good;
}

static void *send_on(void *arg)
{
	uint64_t next = 0, piece[PIECE / sizeof(uint64_t)];

	(void)arg;
	for (;;) {
		size_t done = 0;

		set(held, get(hold));
		if (get(hold)) {
			usleep(PAUSE_US);
			continue;
		}
		for (unsigned int i = 0; i < PIECE / sizeof(uint64_t); i++)
			piece[i] = next++;
		while (done < PIECE) {
			ssize_t n = send(net.fd, (char *)piece + done, PIECE - done, MSG_NOSIGNAL);

			if (n < 0) {
				say("fault kind=net-send errno=%d sent=%lu", errno, net.sent);
				return NULL;
			}
			done += (size_t)n;
			__atomic_add_fetch(&net.sent, (uint64_t)n, __ATOMIC_RELEASE);
		}
		usleep(PAUSE_US);
	}
}

static void *receive_on(void *arg)
{
	unsigned char piece[4 * PIECE];

	(void)arg;
	for (;;) {
		ssize_t n = recv(net.fd, piece, sizeof(piece), 0);
		uint64_t at = net.received, wrong = 0;

		if (n <= 0) {
			say("fault kind=net-receive errno=%d received=%lu", n < 0 ? errno : 0, at);
			return NULL;
		}
		for (ssize_t i = 0; i < n; i++, at++)
			wrong += piece[i] != (unsigned char)(at / 8 >> at % 8 * 8);
		if (wrong)
			__atomic_add_fetch(&net.wrong, wrong, __ATOMIC_RELEASE);
		set(received, at);
	}
}

static bool connect_to(const char *peer, unsigned int port)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
	struct sockaddr_in own;
	socklen_t size = sizeof(own);

	inet_pton(AF_INET, peer, &address.sin_addr);
	for (unsigned int i = 0; i < CONNECT_S; i++) {
		net.fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
		if (connect(net.fd, (struct sockaddr *)&address, sizeof(address)) == 0) {
			getsockname(net.fd, (struct sockaddr *)&own, &size);
			net.port = ntohs(own.sin_port);
			return true;
		}
		close(net.fd);
		net.fd = -1;
		sleep(1);
	}
	return false;
}

void net_start(const struct params *params)
{
	char own[24] = "", peer[24] = "";
	unsigned int port = 0;
	pthread_t thread;

	if (!params->net[0])
		return;
	if (sscanf(params->net, "%23[0-9.],%23[0-9.],%u", own, peer, &port) != 3 ||
	    !net_configure(own)) {
		say("fault kind=net-configure errno=%d", errno);
		return;
	}
	if (!connect_to(peer, port)) {
		say("fault kind=net-connect errno=%d", errno);
		return;
	}
	pthread_create(&thread, NULL, send_on, NULL);
	pthread_create(&thread, NULL, receive_on, NULL);
}

static long number_of(const char *file)
{
	char path[64];
	long value = -1;
	FILE *f;

	snprintf(path, sizeof(path), FOLDER "%s", file);
	f = fopen(path, "r");
	if (f) {
		if (fscanf(f, "%ld", &value) != 1)
			value = -1;
		fclose(f);
	}
	return value;
}

/* Nothing more is sent until all of it was acknowledged. */
static void settle(void)
{
	int waiting = 0;

	set(hold, true);
	for (unsigned int i = 0; i < ACK_WAIT_S * 100; i++) {
		if (get(held) && ioctl(net.fd, SIOCOUTQ, &waiting) == 0 && waiting == 0)
			return;
		usleep(10000);
	}
}

void net_say(bool check)
{
	int waiting = -1;

	if (check && net.fd >= 0)
		settle();
	ioctl(net.fd, SIOCOUTQ, &waiting);
	say("net port=%u sent=%lu received=%lu wrong=%lu unacknowledged=%d carrier=%ld "
	    "carrier_changes=%ld",
	    net.port, get(sent), get(received), get(wrong), waiting, number_of("carrier"),
	    number_of("carrier_changes"));
	set(hold, false);
}
