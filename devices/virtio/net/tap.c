/* SPDX-License-Identifier: Apache-2.0 */
#include "devices/virtio/net/tap.h"

#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>

#include "base/log.h"
#include "base/util.h"
#include "devices/virtio/net/link.h"

#define TAP_FLAGS (IFF_TAP | IFF_NO_PI | IFF_VNET_HDR)

void net_tap_init(struct net_tap *tap)
{
	*tap = (struct net_tap){.count = 0};
	for (unsigned int i = 0; i < NET_PAIRS_MAX; i++)
		tap->fds[i] = FD_NONE;
}

void net_tap_close(struct net_tap *tap)
{
	for (unsigned int i = 0; i < NET_PAIRS_MAX; i++)
		close_fdp(&tap->fds[i]);
	tap->count = 0;
}

/* ---- What is on the host. ---- */

static int check_bridge(const char *tap, const char *bridge, struct error *err)
{
	struct net_link link;
	int r = net_link_query(bridge, &link, err);

	if (r == -ENODEV)
		return error_set(err, r,
				 "tap %s: there is no bridge %s to put it into: make it first (ip "
				 "link add %s type bridge), then try again",
				 tap, bridge, bridge);
	if (r == 0 && strcmp(link.kind, "bridge") != 0)
		return error_set(err, -EINVAL,
				 "tap %s: %s, which it is to be put into, is no bridge", tap,
				 bridge);
	return r;
}

/* *ret_exists false: it is to be made. */
static int look(const struct virtio_net_config *c, struct net_link *link, bool *ret_exists,
		struct error *err)
{
	int r = c->bridge[0] ? check_bridge(c->tap, c->bridge, err) : 0;

	*ret_exists = false;
	if (r < 0)
		return r;
	r = net_link_query(c->tap, link, err);
	if (r == -ENODEV && c->bridge[0])
		return 0;
	if (r == -ENODEV)
		return error_set(err, r,
				 "tap %s: there is no such network interface: make it (ip tuntap "
				 "add dev %s mode tap%s; ip link set %s up), or name a bridge for "
				 "the VMM to make it in, then try again",
				 c->tap, c->tap, c->queues > 1 ? " multi_queue" : "", c->tap);
	if (r < 0)
		return r;
	if (!link->tap)
		return error_set(err, -EINVAL, "tap %s: that network interface is no tap%s%s",
				 c->tap, link->kind[0] ? " but of the kind " : "", link->kind);
	if (c->queues > 1 && !link->multi_queue)
		return error_set(err, -EINVAL,
				 "tap %s: was made for one queue: use queues=1, or make it with "
				 "\"multi_queue\"",
				 c->tap);
	*ret_exists = true;
	return 0;
}

/* ---- Opening. ---- */

static int attach_error(const char *name, bool exists, int code, struct error *err)
{
	if (code == -EBUSY)
		return error_set(
			err, code,
			"tap %s: is in use by another process: end that one, or use another "
			"tap",
			name);
	if (code == -EPERM && exists)
		return error_set(
			err, code,
			"tap %s: belongs to another user: make it for the VMM's (ip tuntap "
			"add ... user NAME), or give the VMM CAP_NET_ADMIN",
			name);
	if (code == -EPERM)
		return error_set(
			err, code,
			"tap %s: is not there and cannot be made without CAP_NET_ADMIN: make "
			"it first (ip tuntap add dev %s mode tap user NAME)",
			name, name);
	return error_sys(err, code, "tap %s: cannot be opened", name);
}

static int attach(const char *name, bool exists, bool multi_queue, int *ret_fd, struct error *err)
{
	_cleanup_fd_ int fd = open(NET_TAP_DEVICE, O_RDWR | O_CLOEXEC | O_NONBLOCK);
	struct ifreq ifr = {0};

	if (fd < 0 && errno == ENOENT)
		return error_set(err, -ENOENT,
				 "tap %s: there is no %s: load the kernel's module \"tun\"", name,
				 NET_TAP_DEVICE);
	if (fd < 0)
		return error_sys(err, -errno, "tap %s: %s", name, NET_TAP_DEVICE);
	snprintf(ifr.ifr_name, sizeof(ifr.ifr_name), "%s", name);
	ifr.ifr_flags = (short)(TAP_FLAGS | (multi_queue ? IFF_MULTI_QUEUE : 0));
	if (ioctl(fd, TUNSETIFF, &ifr) < 0)
		return attach_error(name, exists, -errno, err);
	*ret_fd = steal_fd(&fd);
	return 0;
}

static int open_by_name(const struct virtio_net_config *c, struct net_tap *tap, struct error *err)
{
	struct net_link link = {0};
	bool exists;
	int r = look(c, &link, &exists, err);

	snprintf(tap->name, sizeof(tap->name), "%s", c->tap);
	tap->multi_queue = c->queues > 1 || link.multi_queue;
	for (; r == 0 && tap->count < c->queues; tap->count++)
		r = attach(c->tap, exists, tap->multi_queue, &tap->fds[tap->count], err);
	return r;
}

static int get_interface(int fd, struct ifreq *ifr, struct error *err)
{
	memset(ifr, 0, sizeof(*ifr));
	if (ioctl(fd, TUNGETIFF, ifr) < 0)
		return error_set(err, -EINVAL, "descriptor %d: is no tap", fd);
	if ((ifr->ifr_flags & (TAP_FLAGS | IFF_TUN)) != TAP_FLAGS)
		return error_set(err, -EINVAL,
				 "descriptor %d: must be a tap with IFF_NO_PI and IFF_VNET_HDR",
				 fd);
	return 0;
}

int net_tap_name(int fd, char name[NET_NAME_MAX + 1], struct error *err)
{
	struct ifreq ifr;
	int r = get_interface(fd, &ifr, err);

	if (r == 0)
		snprintf(name, NET_NAME_MAX + 1, "%.*s", NET_NAME_MAX, ifr.ifr_name);
	return r;
}

static int open_passed(const struct virtio_net_config *c, struct net_tap *tap, struct error *err)
{
	struct ifreq ifr;

	for (; tap->count < c->fd_count; tap->count++) {
		int from = c->fds[tap->count];
		int r = get_interface(from, &ifr, err);

		if (r < 0)
			return r;
		if (tap->count && strncmp(tap->name, ifr.ifr_name, sizeof(tap->name)) != 0)
			return error_set(err, -EINVAL, "descriptor %d: is of the tap %s, not of %s",
					 from, ifr.ifr_name, tap->name);
		snprintf(tap->name, sizeof(tap->name), "%.*s", NET_NAME_MAX, ifr.ifr_name);
		tap->multi_queue = ifr.ifr_flags & IFF_MULTI_QUEUE;
		tap->fds[tap->count] = fcntl(from, F_DUPFD_CLOEXEC, 0);
		if (tap->fds[tap->count] < 0 ||
		    fcntl(tap->fds[tap->count], F_SETFL, O_NONBLOCK) < 0)
			return error_sys(err, -errno, "descriptor %d", from);
	}
	return 0;
}

/* ---- As the guest needs it. ---- */

static int set_header(const struct net_tap *tap, struct error *err)
{
	for (unsigned int i = 0; i < tap->count; i++) {
		int size = NET_TAP_HEADER_SIZE, one = 1;

		if (ioctl(tap->fds[i], TUNSETVNETHDRSZ, &size) < 0 ||
		    ioctl(tap->fds[i], TUNSETVNETLE, &one) < 0)
			return error_sys(err, -errno,
					 "tap %s: does not know the headers of virtio 1",
					 tap->name);
	}
	return 0;
}

/* Only what is not so yet: a VMM without rights can use what was made ready for it. */
static int configure(const struct virtio_net_config *c, struct net_tap *tap, struct error *err)
{
	struct error ignored = ERROR_INIT;
	struct net_link link;
	int r = net_link_query(tap->name, &link, err);

	if (r == 0 && c->mtu && c->mtu != link.mtu)
		r = net_link_set_mtu(tap->name, c->mtu, err);
	if (r == 0 && c->bridge[0])
		r = net_link_join(tap->name, c->bridge, err);
	if (r < 0)
		return r;
	tap->mtu = c->mtu ? c->mtu : link.mtu;
	if (link.up)
		return 0;
	/* Nothing is lost yet: somebody may switch it on later. */
	if (net_link_set_up(tap->name, &ignored) < 0)
		log_warning("tap %s: is switched off, nothing goes through it: ip link set %s up",
			    tap->name, tap->name);
	return 0;
}

int net_tap_open(const struct virtio_net_config *config, struct net_tap *ret, struct error *err)
{
	struct net_tap tap;
	int r;

	net_tap_init(&tap);
	r = config->fd_count ? open_passed(config, &tap, err) : open_by_name(config, &tap, err);
	if (r == 0)
		r = set_header(&tap, err);
	if (r == 0)
		r = net_tap_set_offload(&tap, 0, err);
	if (r == 0)
		r = configure(config, &tap, err);
	if (r < 0) {
		net_tap_close(&tap);
		return r;
	}
	*ret = tap;
	return 0;
}

int net_tap_set_offload(const struct net_tap *tap, unsigned int flags, struct error *err)
{
	/* They are the interface's: one descriptor sets them for all. */
	if (tap->plain || ioctl(tap->fds[0], TUNSETOFFLOAD, (unsigned long)flags) == 0)
		return 0;
	return error_sys(err, -errno, "tap %s: offloads 0x%x", tap->name, flags);
}

int net_tap_use_queue(const struct net_tap *tap, unsigned int queue, bool use, struct error *err)
{
	struct ifreq ifr = {.ifr_flags = use ? IFF_ATTACH_QUEUE : IFF_DETACH_QUEUE};

	if (tap->plain || !tap->multi_queue || ioctl(tap->fds[queue], TUNSETQUEUE, &ifr) == 0)
		return 0;
	/* It is so already. */
	if (errno == EINVAL)
		return 0;
	return error_sys(err, -errno, "tap %s: queue %u", tap->name, queue);
}

int net_tap_bridge(const struct net_tap *tap, char bridge[NET_NAME_MAX + 1], struct error *err)
{
	struct net_link link = {0};
	int r = tap->plain ? 0 : net_link_query(tap->name, &link, err);

	if (r == 0)
		snprintf(bridge, NET_NAME_MAX + 1, "%s", link.master);
	return r;
}

int net_tap_check_reopen(const struct net_tap *tap, const struct virtio_net_config *config,
			 struct error *err)
{
	struct net_link link;
	int r = tap->plain ? 0 : net_link_query(tap->name, &link, err);

	if (r == -ENODEV)
		return error_set(err, r,
				 "tap %s: is gone: make it again, unplug the card and plug it in "
				 "again",
				 tap->name);
	if (r < 0 || tap->plain)
		return r;
	if (config->bridge[0] && strcmp(link.master, config->bridge) != 0)
		return error_set(
			err, -EBUSY,
			"tap %s: is not in the bridge %s any more: put it back (ip link set %s "
			"master %s)",
			tap->name, config->bridge, tap->name, config->bridge);
	/* A persistent one was made by whoever sets the host up, in the next kernel, too. */
	if (!config->bridge[0] && !link.persistent)
		return error_set(
			err, -ENODEV,
			"tap %s: is gone when this process ends, and nobody makes it again: "
			"make it persistent (ip tuntap add), or name a bridge for the VMM to "
			"make it in",
			tap->name);
	return 0;
}
