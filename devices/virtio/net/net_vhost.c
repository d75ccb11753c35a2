/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Frames through the host's kernel (vhost-net): it walks both queues of a pair and has the tap's
 * descriptor of that pair; everything else stays in user space. One descriptor of vhost for each
 * pair, its rings under the numbers of the pair's queues. The frame's header comes from the tap
 * (TUNSETVNETHDRSZ), so VHOST_NET_F_VIRTIO_NET_HDR is not asked for.
 */
#include <linux/vhost.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "devices/virtio/net/link.h"
#include "devices/virtio/net/net_impl.h"

/* Features that are the kernel's business: what a guest sees must not hang on which kernel it is,
 * and all that know VERSION_1 know them. */
#define KERNEL_FEATURES                                                                       \
	(VIRTIO_FEATURE_VERSION_1 | VIRTIO_FEATURE_INDIRECT_DESC | VIRTIO_FEATURE_EVENT_IDX | \
	 NET_F_MRG_RXBUF)

static const char *const ring_names[NET_RINGS] = {"receive", "transmit"};

/* ---- The host's device. ---- */

static void on_error(void *opaque, unsigned int ring)
{
	struct net_pair *pair = opaque;
	struct error err = ERROR_INIT;

	net_vhost_stop(pair->net, pair->index, NULL);
	error_set(&err, -EPROTO,
		  "the host's kernel cannot go on with the %s queue of pair %u: the driver broke "
		  "the rules, or the host is out of memory",
		  ring_names[ring], pair->index);
	virtio_needs_reset(pair->net->v, &err);
}

static int open_one(const char *host_device, struct net_pair *pair, struct vhost **ret,
		    struct error *err)
{
	const struct vhost_params params = {.name = "vhost",
					    .path = host_device,
					    .module = "vhost_net",
					    .instead = "give the card vhost=off",
					    .on_error = on_error,
					    .opaque = pair};
	int r = vhost_open(&params, ret, err);

	if (r == 0 && (KERNEL_FEATURES & ~vhost_features(*ret))) {
		r = error_set(err, -EOPNOTSUPP,
			      "vhost: %s lacks the features 0x%llx: give the card vhost=off",
			      host_device,
			      (unsigned long long)(KERNEL_FEATURES & ~vhost_features(*ret)));
		vhost_free(*ret);
		*ret = NULL;
	}
	return r;
}

int virtio_net_check_vhost(const char *host_device, struct error *err)
{
	struct vhost *vhost;
	int r = open_one(host_device, NULL, &vhost, err);

	if (r == 0)
		vhost_free(vhost);
	return r;
}

void virtio_net_decide_vhost(struct virtio_net_config *config, const char *host_device)
{
	struct error err = ERROR_INIT;

	if (config->vhost != NET_VHOST_AUTO)
		return;
	config->vhost = NET_VHOST_OFF;
	if (virtio_net_config_has_limits(config))
		log_info("net %s: no vhost-net, as only the VMM keeps its rate limits", config->id);
	else if (virtio_net_check_vhost(host_device, &err) < 0)
		log_info("net %s: no vhost-net, all frames go through the VMM: %s", config->id,
			 error_message(&err));
	else
		config->vhost = NET_VHOST_ON;
}

void virtio_net_use_vhost(struct virtio_net *net, const char *host_device,
			  const struct vhost_ram *ram)
{
	struct error err = ERROR_INIT;
	int r = 0;

	for (unsigned int i = 0; i < net->config.queues && r == 0; i++) {
		r = open_one(host_device, &net->pairs[i], &net->pairs[i].vhost, &err);
		if (r == 0)
			r = vhost_set_ram(net->pairs[i].vhost, ram, &err);
	}
	net->vhost = r == 0;
	if (r == 0)
		return;
	net_vhost_free(net);
	log_info("net %s: goes on without vhost-net, all frames go through the VMM: %s",
		 net->config.id, error_message(&err));
}

void net_vhost_free(struct virtio_net *net)
{
	loop_remove_fd(STEAL_PTR(net->links_source));
	close_fdp(&net->links);
	for (unsigned int i = 0; i < NET_PAIRS_MAX; i++)
		vhost_free(STEAL_PTR(net->pairs[i].vhost));
}

int net_vhost_set_features(struct virtio_net *net, struct error *err)
{
	int r = 0;

	for (unsigned int i = 0; net->vhost && i < net->config.queues && r == 0; i++)
		r = vhost_set_features(net->pairs[i].vhost, net->features & KERNEL_FEATURES, err);
	return r;
}

/* ---- The rings of a pair. ---- */

/* fd: VHOST_FILE_UNBIND: the kernel is to let go of the ring. */
static int set_backend(const struct net_pair *pair, unsigned int ring, int fd, struct error *err)
{
	const struct vhost_vring_file file = {.index = ring, .fd = fd};

	return vhost_ioctl(pair->vhost, VHOST_NET_SET_BACKEND, &file, "VHOST_NET_SET_BACKEND", err);
}

int net_vhost_stop(struct virtio_net *net, unsigned int index, struct error *err)
{
	struct net_pair *pair = &net->pairs[index];
	struct error why = ERROR_INIT;
	int ret = 0;

	if (!pair->in_kernel)
		return 0;
	pair->in_kernel = false;
	for (unsigned int i = 0; i < NET_RINGS; i++) {
		int r = set_backend(pair, i, VHOST_FILE_UNBIND, ret < 0 ? NULL : &why);

		ret = ret < 0 ? ret : r;
		r = vhost_ring_stop(pair->vhost, i, ret < 0 ? NULL : &why);
		ret = ret < 0 ? ret : r;
	}
	/* Nobody could do anything about it: the kernel refuses only what is not its owner's. */
	if (ret < 0 && err)
		*err = why;
	else if (ret < 0)
		log_error("net %s: %s", net->config.id, error_message(&why));
	return ret;
}

static int start(struct net_pair *pair, struct error *err)
{
	struct virtio_net *net = pair->net;
	int r = 0;

	/* What has been started is stopped if not all of it can be. */
	pair->in_kernel = true;
	for (unsigned int i = 0; i < NET_RINGS && r == 0; i++)
		r = vhost_ring_start(pair->vhost, i, net->v, NET_RINGS * pair->index + i, err);
	for (unsigned int i = 0; i < NET_RINGS && r == 0; i++)
		r = set_backend(pair, i, net->tap.fds[pair->index], err);
	if (r < 0) {
		net_vhost_stop(net, pair->index, NULL);
		return r;
	}
	for (unsigned int i = 0; i < NET_RINGS; i++)
		vhost_ring_kick(pair->vhost, i);
	return 0;
}

/* The kernel takes both queues or none. */
static bool can_run(const struct virtio_net *net, unsigned int index)
{
	return net->running && !atomic_load(&net->lost) && index < net->pairs_used &&
	       virtio_dma_allowed(net->v) && virtio_queue_live(net->v, NET_RINGS * index) &&
	       virtio_queue_live(net->v, NET_RINGS * index + 1);
}

void net_vhost_start(struct virtio_net *net, unsigned int index)
{
	struct error err = ERROR_INIT;

	if (!net->pairs[index].in_kernel && can_run(net, index) &&
	    start(&net->pairs[index], &err) < 0)
		virtio_needs_reset(net->v, &err);
}

void net_interrupt_changed(void *dev, unsigned int queue)
{
	struct virtio_net *net = dev;
	struct error err = ERROR_INIT;

	if (!net->vhost || queue >= NET_RINGS * net->config.queues)
		return;
	if (vhost_ring_move_interrupt(net->pairs[queue / NET_RINGS].vhost, queue % NET_RINGS,
				      &err) < 0)
		virtio_needs_reset(net->v, &err);
}

/* ---- A tap that goes away: to watch its descriptor would wake us for each frame. ---- */

void net_vhost_look(struct virtio_net *net)
{
	for (unsigned int i = 0; i < net->pairs_used; i++) {
		struct pollfd pollfd = {net->tap.fds[i], 0, 0};

		if (poll(&pollfd, 1, 0) > 0 && (pollfd.revents & (POLLERR | POLLHUP)))
			net_tap_lost(net, ENODEV);
	}
}

static void on_links(void *opaque, uint32_t events _unused_)
{
	struct virtio_net *net = opaque;
	uint8_t message[64];

	/* What has changed does not matter, nor whether some of it was lost. */
	while (recv(net->links, message, sizeof(message), MSG_DONTWAIT) >= 0 || errno == ENOBUFS) {
	}
	net_vhost_look(net);
}

void net_vhost_watch(struct virtio_net *net, bool on)
{
	struct error err = ERROR_INIT;
	int r = 0;

	if (!net->vhost || !!net->links_source == on)
		return;
	if (!on) {
		loop_remove_fd(STEAL_PTR(net->links_source));
		close_fdp(&net->links);
		return;
	}
	net->links = net_link_listen(&err);
	r = net->links;
	if (r >= 0)
		r = loop_add_fd(virtio_loop(net->v), net->links, EPOLLIN, on_links, net,
				&net->links_source, &err);
	/* The card works without. */
	if (r < 0)
		log_warning("net %s: it will not be noticed if the tap goes away: %s",
			    net->config.id, error_message(&err));
	net_vhost_look(net);
}
