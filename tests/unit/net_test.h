/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the tests of the network device share: the card in a fake machine, its driver (virtio 1.2,
 * 5.1, restated here), and the host's end: sockets that keep the bounds of frames as a tap does, so
 * that a test decides when it is full, empty or gone. What only a real tap knows is in
 * test_net_real.c.
 */
#ifndef HOLDFAST_TESTS_UNIT_NET_TEST_H
#define HOLDFAST_TESTS_UNIT_NET_TEST_H

#include <endian.h>
#include <stdio.h>
#include <sys/socket.h>

#include "devices/virtio/net/net_impl.h"
#include "tests/unit/virtio_driver.h"

#define SPEC_NET_ID		   1
#define SPEC_F_CSUM		   (1ULL << 0)
#define SPEC_F_GUEST_CSUM	   (1ULL << 1)
#define SPEC_F_CTRL_GUEST_OFFLOADS (1ULL << 2)
#define SPEC_F_MTU		   (1ULL << 3)
#define SPEC_F_MAC		   (1ULL << 5)
#define SPEC_F_GUEST_TSO4	   (1ULL << 7)
#define SPEC_F_GUEST_TSO6	   (1ULL << 8)
#define SPEC_F_GUEST_ECN	   (1ULL << 9)
#define SPEC_F_GUEST_UFO	   (1ULL << 10)
#define SPEC_F_HOST_TSO4	   (1ULL << 11)
#define SPEC_F_HOST_TSO6	   (1ULL << 12)
#define SPEC_F_HOST_ECN		   (1ULL << 13)
#define SPEC_F_HOST_UFO		   (1ULL << 14)
#define SPEC_F_MRG_RXBUF	   (1ULL << 15)
#define SPEC_F_STATUS		   (1ULL << 16)
#define SPEC_F_CTRL_VQ		   (1ULL << 17)
#define SPEC_F_CTRL_RX		   (1ULL << 18)
#define SPEC_F_CTRL_VLAN	   (1ULL << 19)
#define SPEC_F_GUEST_ANNOUNCE	   (1ULL << 21)
#define SPEC_F_MQ		   (1ULL << 22)
#define SPEC_F_CTRL_MAC_ADDR	   (1ULL << 23)

#define SPEC_CFG_MAC	   0
#define SPEC_CFG_STATUS	   6
#define SPEC_CFG_MAX_PAIRS 8
#define SPEC_CFG_MTU	   10
#define SPEC_LINK_UP	   1
#define SPEC_ANNOUNCE	   2

#define SPEC_HEADER	   12
#define SPEC_H_FLAGS	   0
#define SPEC_H_GSO_TYPE	   1
#define SPEC_H_GSO_SIZE	   4
#define SPEC_H_CSUM_START  6
#define SPEC_H_CSUM_OFFSET 8
#define SPEC_H_NUM_BUFFERS 10
#define SPEC_NEEDS_CSUM	   1
#define SPEC_DATA_VALID	   2
#define SPEC_GSO_TCPV4	   1
#define SPEC_GSO_UDP	   3
#define SPEC_GSO_TCPV6	   4
#define SPEC_GSO_ECN	   0x80

#define SPEC_OK	 0
#define SPEC_ERR 1

#define NET_TEST_BASE	0xc0000000ULL
#define NET_TEST_RING	32
#define NET_TEST_DATA	0x40000U /* bytes of guest memory for frames */
#define NET_TEST_FRAMES 0x20000U /* the second half is for those that are sent */
#define NET_TEST_MAX	0x14000U /* the largest frame with its header */
/* A driver of our days. */
#define NET_TEST_USUAL                                                                     \
	(SPEC_F_MRG_RXBUF | SPEC_F_MAC | SPEC_F_STATUS | SPEC_F_CTRL_VQ | SPEC_F_CTRL_RX | \
	 SPEC_F_CTRL_MAC_ADDR | SPEC_F_GUEST_ANNOUNCE)
#define NET_TEST_OFFLOADS                                                           \
	(SPEC_F_CSUM | SPEC_F_GUEST_CSUM | SPEC_F_GUEST_TSO4 | SPEC_F_GUEST_TSO6 |  \
	 SPEC_F_GUEST_ECN | SPEC_F_HOST_TSO4 | SPEC_F_HOST_TSO6 | SPEC_F_HOST_ECN | \
	 SPEC_F_CTRL_GUEST_OFFLOADS)

struct net_test {
	struct fake_machine machine;
	struct loop *loop;
	struct virtio_net_config config;
	struct virtio_net *net;
	struct virtio_pci *v;
	struct virtio_driver d;
	const char *vhost_device; /* where config asks for vhost */
	uint64_t data;		  /* guest address */
	int host[NET_PAIRS_MAX];  /* the host's end of each pair; FD_NONE with a real tap */
	uint64_t features;
	uint8_t frame[NET_TEST_MAX]; /* that came to the host, with its header */
};

static inline void net_test_device(struct net_test *t)
{
	const struct vhost_ram ram = {.count = 1,
				      .regions = {{FAKE_RAM_BASE, FAKE_RAM_SIZE, t->machine.ram}}};
	struct error err = ERROR_INIT;
	struct net_tap tap;

	net_tap_init(&tap);
	tap.plain = true;
	tap.mtu = 1500;
	snprintf(tap.name, sizeof(tap.name), "%s", t->config.tap);
	for (; tap.count < t->config.queues; tap.count++) {
		int ends[2];

		must(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends) ==
		     0);
		tap.fds[tap.count] = ends[0];
		close_fdp(&t->host[tap.count]);
		t->host[tap.count] = ends[1];
	}
	if (net_new_with_tap(&t->config, "vm", &tap, &t->net, &err) < 0)
		fprintf(stderr, "%s\n", error_message(&err));
	must(!err.code);
	if (t->config.vhost == NET_VHOST_ON)
		virtio_net_use_vhost(t->net, t->vhost_device, &ram);
	if (virtio_pci_new(&virtio_net_ops, t->net, t->loop, &t->machine.attach, &t->v, &err) < 0)
		fprintf(stderr, "%s\n", error_message(&err));
	must(!err.code);
}

static inline void net_test_drive(struct net_test *t, uint64_t features)
{
	t->features = features;
	driver_open(&t->d, &t->machine, virtio_pci_function(t->v), NET_TEST_BASE);
	driver_start(&t->d, features, 2 * t->config.queues + 1U, NET_TEST_RING);
	loop_settle(t->loop);
}

static inline void net_test_init(struct net_test *t)
{
	memset(t, 0, sizeof(*t));
	virtio_net_config_init(&t->config);
	snprintf(t->config.id, sizeof(t->config.id), "net0");
	snprintf(t->config.tap, sizeof(t->config.tap), "tap0");
	t->vhost_device = "/dev/null";
	for (unsigned int i = 0; i < NET_PAIRS_MAX; i++)
		t->host[i] = FD_NONE;
	fake_machine_init(&t->machine);
	must(loop_new(&t->loop, NULL) == 0);
	t->data = driver_alloc(&t->machine, NET_TEST_DATA);
}

static inline void net_test_start(struct net_test *t, uint64_t features)
{
	net_test_init(t);
	net_test_device(t);
	net_test_drive(t, features);
}

static inline void net_test_end(struct net_test *t)
{
	virtio_pci_free(t->v);
	for (unsigned int i = 0; i < NET_PAIRS_MAX; i++)
		close_fdp(&t->host[i]);
	fake_machine_check_empty(&t->machine);
	loop_free(t->loop);
}

/* The first process is gone with its tap, a second one has the state. */
static inline void net_test_move(struct net_test *t)
{
	struct saved s = device_save(virtio_pci_state_ops(t->v), t->v);
	struct error err = ERROR_INIT;
	const struct state_ops *ops;

	virtio_pci_free(t->v);
	net_test_device(t);
	ops = virtio_pci_state_ops(t->v);
	if (device_load(ops, t->v, &s, STATE_APPLY, &err) < 0)
		fail_msg("%s", error_message(&err));
	t->d.pci = virtio_pci_function(t->v);
	assert_round_trip(ops, t->v, t->v);
	saved_free(&s);
}

static inline uint8_t *net_test_ram(struct net_test *t, uint64_t offset)
{
	return fake_ram(&t->machine, t->data + offset);
}

/* The queue of commands (5.1.2). */
static inline unsigned int net_test_ctrl(const struct net_test *t)
{
	return t->features & SPEC_F_MQ ? 2U * t->config.queues : 2;
}

/* ---- To the guest. ---- */

/* A receive buffer of size bytes at offset; its id. */
static inline uint16_t net_test_post(struct net_test *t, unsigned int pair, uint64_t offset,
				     uint32_t size)
{
	struct driver_seg seg = {t->data + offset, size, true};
	uint16_t id = driver_add(&t->d.queues[2 * pair], &seg, 1, false);

	driver_kick(&t->d, 2 * pair);
	return id;
}

static inline uint8_t net_test_byte(uint32_t seed, uint32_t at)
{
	return (uint8_t)(seed * 31 + at * 7 + (at >> 8));
}

/* A frame of size bytes from the host, as its tap would give it: header and all. */
static inline void net_test_arrive(struct net_test *t, unsigned int pair, uint32_t seed,
				   uint32_t size, uint8_t flags, uint8_t gso_type)
{
	uint8_t bytes[NET_TEST_MAX] = {[SPEC_H_FLAGS] = flags, [SPEC_H_GSO_TYPE] = gso_type};

	must(SPEC_HEADER + size <= sizeof(bytes));
	for (uint32_t i = 0; i < size; i++)
		bytes[SPEC_HEADER + i] = net_test_byte(seed, i);
	must(send(t->host[pair], bytes, SPEC_HEADER + size, 0) == (ssize_t)(SPEC_HEADER + size));
	loop_settle(t->loop);
}

/* ---- From the guest. ---- */

/* Sends a frame that lies at offset behind its header, in pieces of these sizes (0: the rest). */
static inline void net_test_send(struct net_test *t, unsigned int pair, uint64_t offset,
				 uint32_t size, const uint32_t *pieces, bool indirect)
{
	struct driver_seg segs[8];
	unsigned int count = 0;
	uint32_t left = size + SPEC_HEADER;

	while (left > 0) {
		uint32_t len = *pieces ? MIN_OF(*pieces, left) : left;

		must(count < ARRAY_SIZE(segs));
		segs[count++] = (struct driver_seg){t->data + offset, len, false};
		offset += len;
		left -= len;
		pieces += *pieces ? 1 : 0;
	}
	driver_add(&t->d.queues[2 * pair + 1], segs, count, indirect);
	driver_kick(&t->d, 2 * pair + 1);
}

/* One in one piece, filled for this seed, with this header. */
static inline void net_test_send_filled(struct net_test *t, unsigned int pair, uint32_t seed,
					uint32_t size, uint8_t flags, uint8_t gso_type)
{
	static const uint32_t whole[] = {0};
	uint64_t offset = NET_TEST_FRAMES;
	uint8_t *at = net_test_ram(t, offset);

	memset(at, 0, SPEC_HEADER);
	at[SPEC_H_FLAGS] = flags;
	at[SPEC_H_GSO_TYPE] = gso_type;
	for (uint32_t i = 0; i < size; i++)
		at[SPEC_HEADER + i] = net_test_byte(seed, i);
	net_test_send(t, pair, offset, size, whole, false);
	loop_settle(t->loop);
}

/* The next frame that came to the host, into t->frame; its size without the header; -1: none. */
static inline int net_test_take(struct net_test *t, unsigned int pair)
{
	ssize_t n = recv(t->host[pair], t->frame, sizeof(t->frame), MSG_TRUNC);

	must(n <= (ssize_t)sizeof(t->frame));
	return n < 0 ? -1 : (int)n - SPEC_HEADER;
}

static inline bool net_test_used(struct net_test *t, unsigned int queue, uint16_t *ret_id,
				 uint32_t *ret_len)
{
	loop_settle(t->loop);
	return driver_get_used(&t->d.queues[queue], ret_id, ret_len);
}

/* ---- Commands. ---- */

/* What the device answered. */
static inline uint8_t net_test_command(struct net_test *t, uint8_t class, uint8_t number,
				       const void *data, uint32_t size)
{
	uint64_t at = NET_TEST_FRAMES + 0x1f000;
	struct driver_seg segs[3] = {{t->data + at, 2, false},
				     {t->data + at + 2, size, false},
				     {t->data + at + 0x800, 1, true}};
	unsigned int queue = net_test_ctrl(t);
	uint8_t *bytes = net_test_ram(t, at);
	uint16_t id;
	uint32_t len;

	bytes[0] = class;
	bytes[1] = number;
	if (size > 0)
		memcpy(bytes + 2, data, size);
	bytes[0x800] = 0xee;
	if (size == 0)
		segs[1] = segs[2];
	driver_add(&t->d.queues[queue], segs, size ? 3 : 2, false);
	driver_kick(&t->d, queue);
	must(net_test_used(t, queue, &id, &len));
	must(len == 1);
	return bytes[0x800];
}

static inline unsigned int net_test_status(struct net_test *t)
{
	return (unsigned int)fake_mmio_read(&t->machine, t->d.config + SPEC_CFG_STATUS, 2);
}

static inline struct virtio_net_counters net_test_counters(const struct net_test *t)
{
	struct virtio_net_counters c;

	virtio_net_get_counters(t->net, &c);
	return c;
}

static inline bool net_test_stopped(struct net_test *t)
{
	return driver_common(&t->d, SPEC_C_STATUS, 1) & SPEC_S_NEEDS_RESET;
}

#endif
