/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A host with a network of its own for tests: a network namespace, in which taps and bridges can be
 * made without touching this machine's. Needs root, or user namespaces, and /dev/net/tun.
 */
#ifndef HOLDFAST_TESTS_UNIT_NET_HOST_H
#define HOLDFAST_TESTS_UNIT_NET_HOST_H

#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <sched.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "tests/unit/device_test.h"

#define NET_HOST_ADD_BRIDGE 0x89a0 /* SIOCBRADDBR and SIOCBRDELBR of linux/sockios.h */
#define NET_HOST_DEL_BRIDGE 0x89a1

/* Once, before any thread is started. False: this machine does not let us; why is printed. */
static inline bool net_host_enter(void)
{
	if (access("/dev/net/tun", R_OK | W_OK) < 0) {
		print_message("no taps: /dev/net/tun: %s\n", strerror(errno));
		return false;
	}
	if (unshare(CLONE_NEWNET) == 0 || unshare(CLONE_NEWUSER | CLONE_NEWNET) == 0)
		return true;
	print_message("no taps: neither root nor user namespaces: %s\n", strerror(errno));
	return false;
}

/* The taps of a test that needs a real one; else the test is skipped, which is told. */
#define net_host_or_skip(there) \
	do {                    \
		if (!(there)) { \
			skip(); \
			return; \
		}               \
	} while (0)

static inline void net_host_interface(const char *name, unsigned long request, struct ifreq *ifr)
{
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	snprintf(ifr->ifr_name, sizeof(ifr->ifr_name), "%s", name);
	if (ioctl(fd, request, ifr) < 0)
		fail_msg("%s: request 0x%lx: %s", name, request, strerror(errno));
	close(fd);
}

static inline void net_host_switch(const char *name, bool on)
{
	struct ifreq ifr = {0};

	net_host_interface(name, SIOCGIFFLAGS, &ifr);
	ifr.ifr_flags = (short)(on ? ifr.ifr_flags | IFF_UP : ifr.ifr_flags & ~IFF_UP);
	net_host_interface(name, SIOCSIFFLAGS, &ifr);
}

/* A descriptor of a tap, which is made if it is not there; flags beyond those of every tap. */
static inline int net_host_open_tap(const char *name, int flags)
{
	struct ifreq ifr = {0};
	int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC);

	assert_true(fd >= 0);
	snprintf(ifr.ifr_name, sizeof(ifr.ifr_name), "%s", name);
	ifr.ifr_flags = (short)(IFF_TAP | IFF_NO_PI | flags);
	if (ioctl(fd, TUNSETIFF, &ifr) < 0)
		fail_msg("tap %s: %s", name, strerror(errno));
	return fd;
}

/* As "ip tuntap" does it. */
static inline void net_host_persist_tap(const char *name, int flags, int persist)
{
	int fd = net_host_open_tap(name, flags);

	assert_int_equal(ioctl(fd, TUNSETPERSIST, persist), 0);
	close(fd);
}

static inline void net_host_bridge(const char *name, bool make)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (!make)
		net_host_switch(name, false);
	assert_int_equal(ioctl(fd, make ? NET_HOST_ADD_BRIDGE : NET_HOST_DEL_BRIDGE, name), 0);
	close(fd);
	if (make)
		net_host_switch(name, true);
}

/* Every frame that an interface sends and gets; reads wait for nothing. */
static inline int net_host_listen(const char *name)
{
	struct sockaddr_ll address = {.sll_family = AF_PACKET,
				      .sll_protocol = htons(ETH_P_ALL),
				      .sll_ifindex = (int)if_nametoindex(name)};
	int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, htons(ETH_P_ALL));

	assert_true(fd >= 0 && address.sll_ifindex > 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	return fd;
}

#endif
