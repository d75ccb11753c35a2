/* SPDX-License-Identifier: Apache-2.0 */
#include "devices/virtio/net/link.h"

#include <linux/if_link.h>
#include <linux/if_tun.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "base/util.h"

/* A bridge's request; linux/sockios.h does not go with net/if.h everywhere. */
#ifndef SIOCBRADDIF
#define SIOCBRADDIF 0x89a2
#endif

#define ANSWER_MAX 16384

struct request {
	struct nlmsghdr header;
	struct ifinfomsg info;
	struct rtattr name;
	char text[NET_LINK_NAME];
};

/* Copies a string attribute, terminated whatever the kernel sent. */
static void copy_text(struct rtattr *attr, char *ret, size_t size)
{
	snprintf(ret, size, "%.*s", (int)RTA_PAYLOAD(attr), (char *)RTA_DATA(attr));
}

static uint32_t number(struct rtattr *attr)
{
	uint32_t value = 0;

	memcpy(&value, RTA_DATA(attr), MIN_OF(RTA_PAYLOAD(attr), sizeof(value)));
	return value;
}

static void read_tun(struct rtattr *data, struct net_link *ret)
{
	int left = (int)RTA_PAYLOAD(data);

	for (struct rtattr *a = RTA_DATA(data); RTA_OK(a, left); a = RTA_NEXT(a, left)) {
		if (a->rta_type == IFLA_TUN_TYPE)
			ret->tap = number(a) == IFF_TAP;
		else if (a->rta_type == IFLA_TUN_PERSIST)
			ret->persistent = number(a);
		else if (a->rta_type == IFLA_TUN_MULTI_QUEUE)
			ret->multi_queue = number(a);
	}
}

static void read_kind(struct rtattr *info, struct net_link *ret)
{
	int left = (int)RTA_PAYLOAD(info);

	for (struct rtattr *a = RTA_DATA(info); RTA_OK(a, left); a = RTA_NEXT(a, left)) {
		/* The kind comes first. */
		if (a->rta_type == IFLA_INFO_KIND)
			copy_text(a, ret->kind, sizeof(ret->kind));
		else if (a->rta_type == IFLA_INFO_DATA && strcmp(ret->kind, "tun") == 0)
			read_tun(a, ret);
	}
}

static void read_link(struct nlmsghdr *header, struct net_link *ret)
{
	struct ifinfomsg *info = NLMSG_DATA(header);
	int left = (int)IFLA_PAYLOAD(header);

	*ret = (struct net_link){.index = (unsigned int)info->ifi_index,
				 .up = info->ifi_flags & IFF_UP};
	for (struct rtattr *a = IFLA_RTA(info); RTA_OK(a, left); a = RTA_NEXT(a, left)) {
		if (a->rta_type == IFLA_MTU)
			ret->mtu = number(a);
		else if (a->rta_type == IFLA_MASTER)
			/* One that went away meanwhile leaves "". */
			if_indextoname(number(a), ret->master);
		else if (a->rta_type == IFLA_LINKINFO)
			read_kind(a, ret);
	}
}

static int read_answer(const char *name, void *answer, ssize_t size, struct net_link *ret,
		       struct error *err)
{
	struct nlmsghdr *header = answer;
	int code = -EPROTO;

	if (size > 0 && NLMSG_OK(header, (size_t)size)) {
		if (header->nlmsg_type == RTM_NEWLINK &&
		    header->nlmsg_len >= NLMSG_LENGTH(sizeof(struct ifinfomsg))) {
			read_link(header, ret);
			return 0;
		}
		if (header->nlmsg_type == NLMSG_ERROR)
			code = ((struct nlmsgerr *)NLMSG_DATA(header))->error;
	}
	return error_sys(err, code, "network interface %s", name);
}

int net_link_query(const char *name, struct net_link *ret, struct error *err)
{
	_cleanup_fd_ int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
	struct request request = {
		.header = {.nlmsg_type = RTM_GETLINK, .nlmsg_flags = NLM_F_REQUEST, .nlmsg_seq = 1},
		.info = {.ifi_family = AF_UNSPEC}};
	size_t len = strlen(name) + 1;
	_Alignas(struct nlmsghdr) uint8_t answer[ANSWER_MAX];
	ssize_t size;

	if (fd < 0)
		return error_sys(err, -errno, "network interface %s: no netlink socket", name);
	if (len > sizeof(request.text))
		return error_sys(err, -ENODEV, "network interface %s", name);
	memcpy(request.text, name, len);
	request.name = (struct rtattr){.rta_len = (unsigned short)RTA_LENGTH(len),
				       .rta_type = IFLA_IFNAME};
	request.header.nlmsg_len = (uint32_t)(offsetof(struct request, text) + NLMSG_ALIGN(len));
	do {
		size = send(fd, &request, request.header.nlmsg_len, 0);
	} while (size < 0 && errno == EINTR);
	while (size >= 0 && (size = recv(fd, answer, sizeof(answer), 0)) < 0 && errno == EINTR)
		size = 0;
	if (size < 0)
		return error_sys(err, -errno, "network interface %s", name);
	return read_answer(name, answer, size, ret, err);
}

int net_link_listen(struct error *err)
{
	const struct sockaddr_nl address = {.nl_family = AF_NETLINK, .nl_groups = RTMGRP_LINK};
	_cleanup_fd_ int fd =
		socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_ROUTE);

	if (fd < 0 || bind(fd, (const struct sockaddr *)&address, sizeof(address)) < 0)
		return error_sys(err, -errno, "network interfaces: no netlink socket");
	return steal_fd(&fd);
}

/* An ioctl of netdevice(7). */
static int change(const char *name, unsigned long request, struct ifreq *ifr)
{
	_cleanup_fd_ int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return -errno;
	snprintf(ifr->ifr_name, sizeof(ifr->ifr_name), "%s", name);
	return ioctl(fd, request, ifr) < 0 ? -errno : 0;
}

int net_link_join(const char *name, const char *bridge, struct error *err)
{
	struct ifreq ifr = {0};
	struct net_link link;
	int r = net_link_query(name, &link, err);

	if (r < 0 || strcmp(link.master, bridge) == 0)
		return r;
	if (link.master[0])
		return error_set(err, -EBUSY, "tap %s: is in %s and not in %s", name, link.master,
				 bridge);
	ifr.ifr_ifindex = (int)link.index;
	r = change(bridge, SIOCBRADDIF, &ifr);
	return r < 0 ? error_sys(err, r, "tap %s: cannot be put into the bridge %s", name, bridge)
		     : 0;
}

int net_link_set_mtu(const char *name, uint32_t mtu, struct error *err)
{
	struct ifreq ifr = {.ifr_mtu = (int)mtu};
	int r = change(name, SIOCSIFMTU, &ifr);

	return r < 0 ? error_sys(err, r, "tap %s: cannot be given an MTU of %u", name, mtu) : 0;
}

int net_link_set_up(const char *name, struct error *err)
{
	struct ifreq ifr = {0};
	int r = change(name, SIOCGIFFLAGS, &ifr);

	if (r == 0 && !(ifr.ifr_flags & IFF_UP)) {
		ifr.ifr_flags |= IFF_UP;
		r = change(name, SIOCSIFFLAGS, &ifr);
	}
	return r < 0 ? error_sys(err, r, "tap %s: cannot be switched on", name) : 0;
}
