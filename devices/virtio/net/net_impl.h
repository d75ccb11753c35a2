/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the files of the network device share. For devices/virtio/net/net*.c only, and its tests.
 * Everything here belongs to the thread of the device's loop, but for what is marked.
 */
#ifndef HOLDFAST_DEVICES_VIRTIO_NET_NET_IMPL_H
#define HOLDFAST_DEVICES_VIRTIO_NET_NET_IMPL_H

#include <stdatomic.h>

#include "base/log.h"
#include "base/util.h"
#include "devices/vhost/vhost.h"
#include "devices/virtio/net/net.h"
#include "devices/virtio/net/net_spec.h"
#include "devices/virtio/net/tap.h"

#define NET_RINGS      2 /* queues of a pair: to the guest, from it */
#define NET_QUEUES_MAX (2 * NET_PAIRS_MAX + 1)
/* Receive buffers that are kept ready of one queue: 64 KiB in buffers of a page's third. */
#define NET_HELD_MAX 64
/* Pieces of memory that one frame is read into; a frame in more is copied. */
#define NET_IOV_MAX 256

/* One direction of all pairs. */
struct net_limit {
	struct rate_limiter limiter;
	struct loop_timer *timer;    /* while running */
	_Atomic uint64_t *throttled; /* its counter */
};

/* A receive queue and its queue of the tap. Buffers are taken before there is a frame for them,
 * because only reading tells how large one is, and given back at a freeze. */
struct net_rx {
	struct virtqueue_chain *chains[NET_HELD_MAX]; /* owned; made when they are needed first */
	unsigned int first, count;		      /* those that are held, the oldest first */
	size_t bytes;				      /* of them */
	unsigned int segments;
	/* A frame that was read and waits for more buffers: its first `placed` bytes are in those
	 * that are held, from behind the header on, and the others in the spill. 0: none. */
	size_t waiting, placed;
	uint8_t header[NET_H_SIZE]; /* its header */
	uint8_t *spill;		    /* owned; NET_FRAME_MAX bytes; NULL for pairs that are not */
	bool starved;		    /* the queue's turn comes when the driver rings */
	bool throttled;		    /* ... or when the limit's timer fires */
};

struct net_tx {
	bool blocked;	/* the tap takes no more now */
	bool throttled; /* the limit's timer is to fire */
};

struct net_pair {
	struct virtio_net *net;
	unsigned int index;
	struct net_rx rx;
	struct net_tx tx;
	struct loop_source *source; /* of the tap's descriptor, while something is waited for */
	uint32_t events;	    /* of it */
	struct vhost *vhost;	    /* owned; NULL: we serve the pair */
	bool in_kernel;		    /* it walks the pair's queues now */
};

struct virtio_net {
	struct virtio_pci *v;
	struct virtio_net_config config;
	struct net_tap tap;
	bool vhost; /* constant: the kernel serves all pairs, which have one each */
	_Atomic uint64_t
		checked_features; /* those that the driver asked for last; vCPUs write it */
	/* The loop writes the three, any thread reads them. */
	_Atomic uint64_t mac; /* its first byte the lowest */
	_Atomic uint32_t status;
	_Atomic bool lost; /* the tap went away while it was in use */

	uint64_t features; /* negotiated; while active */
	uint64_t offloads; /* of NET_GUEST_OFFLOADS, what the driver takes now */
	unsigned int pairs_used;
	bool running;		   /* active and not drained */
	unsigned int segments_max; /* of a chain */
	struct net_pair pairs[NET_PAIRS_MAX];
	struct virtqueue_chain *chain; /* owned; of the queue that is being sent or obeyed */
	struct iovec *iov;	       /* owned; segments_max + 2 */

	struct net_limit rx_limit, tx_limit;
	struct loop_timer *announce_timer; /* while running */
	unsigned int announce_round;
	struct log_ratelimit log;

	bool frames_left; /* in the tap, at the last freeze */

	/* With vhost, while running: tells when interfaces of the host come or go. */
	int links; /* owned */
	struct loop_source *links_source;

	struct {
		_Atomic uint64_t rx_frames, rx_bytes, tx_frames, tx_bytes, rx_dropped, tx_dropped,
			rx_throttled, tx_throttled, announced;
	} counters;
};

#define net_count(net, counter, n) \
	atomic_fetch_add_explicit(&(net)->counters.counter, (n), memory_order_relaxed)

/* net.c. tap: taken, even on failure; tests have one of their own. */
int net_new_with_tap(const struct virtio_net_config *config, const char *vm, struct net_tap *tap,
		     struct virtio_net **ret, struct error *err);
void net_set_mac(struct virtio_net *net, const uint8_t mac[NET_MAC_SIZE]);
/* Any thread. */
unsigned int net_queue_count(void *dev);
/* The control queue, for a driver with these features (5.1.2). */
unsigned int net_ctrl_queue(const struct virtio_net *net, uint64_t features);

/* Whether a header may have that gso_type, given what was negotiated for its direction. */
bool net_gso_allowed(uint8_t type, bool tso4, bool tso6, bool ecn);

/* net_config_space.c */
uint64_t net_features(void *dev);
int net_check_features(void *dev, uint64_t features, struct error *err);
size_t net_config_size(void *dev);
void net_config_read(void *dev, size_t offset, void *data, size_t size);

/* net_rx.c */
/* Frames from the tap into the driver's buffers: as many as one turn of the loop may take. */
void net_receive(struct virtio_net *net, unsigned int pair);
/* Until there are none, or no buffers, or max were taken; at a freeze. */
void net_receive_rest(struct virtio_net *net, unsigned int pair, unsigned int max);
/* Buffers that are held go back into the queue; a frame that waits for more is dropped. */
void net_put_back(struct virtio_net *net, unsigned int pair);
/* The same for a queue that is gone. */
void net_forget(struct virtio_net *net, unsigned int pair);

/* net_tx.c */
void net_transmit(struct virtio_net *net, unsigned int pair);

/* net_ctrl.c */
void net_obey(struct virtio_net *net, unsigned int queue);

/* net_watch.c: what is waited for. */
/* Waits for what the pair needs of the tap, and for nothing else. */
void net_watch(struct virtio_net *net, unsigned int pair);
/* False: the limit holds frames back until its timer fires. */
bool net_may_go(struct net_limit *limit);
void net_pay(struct net_limit *limit, size_t bytes);
void net_rx_limit_expired(void *opaque);
void net_tx_limit_expired(void *opaque);
/* The tap is gone: the link is down from now on. */
void net_tap_lost(struct virtio_net *net, int code);

/* net_vhost.c. Without vhost they do nothing. */
void net_vhost_free(struct virtio_net *net);
/* Tells the kernel what was negotiated; no pair is in the kernel. */
int net_vhost_set_features(struct virtio_net *net, struct error *err);
/* Gives the kernel the pair's queues, if it can have them now and has not; failing asks the driver
 * for a reset. Only with vhost. */
void net_vhost_start(struct virtio_net *net, unsigned int pair);
/* After it the kernel touches neither the pair's queues nor its tap. err NULL: a failure, after
 * which that holds as well, is logged. */
int net_vhost_stop(struct virtio_net *net, unsigned int pair, struct error *err);
void net_interrupt_changed(void *dev, unsigned int queue);
/* Whether a tap that goes away is to be noticed. */
void net_vhost_watch(struct virtio_net *net, bool on);
/* Notices one that is gone. */
void net_vhost_look(struct virtio_net *net);

/* net_life.c */
int net_activate(void *dev, uint64_t features, struct error *err);
void net_queue_ready(void *dev, unsigned int queue);
void net_reset(void *dev, int queue);
void net_dma_changed(void *dev, bool on);
int net_drain(void *dev, uint64_t deadline_ns, struct error *err);
void net_thaw(void *dev);
int net_resumed(void *dev, uint64_t features, struct error *err);
/* Tells the tap what the driver takes now. */
int net_apply_offloads(struct virtio_net *net, uint64_t offloads, struct error *err);
/* Tells the tap which queues are used now. */
int net_use_pairs(struct virtio_net *net, unsigned int pairs, struct error *err);

/* net_announce.c */
/* Begins to tell the network where the guest is, and asks the guest to, a few times. */
void net_announce(struct virtio_net *net);
void net_announce_again(void *opaque); /* the timer's: one time */

/* net_state.c */
int net_save(const void *dev, struct state_writer *w, struct error *err);
int net_load(void *dev, uint32_t version, struct state_reader *r, enum state_mode mode,
	     struct error *err);

#endif
