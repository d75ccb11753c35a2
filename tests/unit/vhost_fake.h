/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A kernel's vhost-vsock and vhost-net, as much of them as a device meets: ioctl() of the program
 * under test reaches it (link with vhost_fake_dep), unless the test has an ioctl() of its own. It
 * keeps the order that the kernel asks for, and serves the rings at the addresses it was given,
 * which have to lie in the memory it was given. Of several devices the one that was used last is
 * shown; vhost_fake_show() shows another. No test framework in here: what must hold ends the
 * program.
 */
#ifndef HOLDFAST_TESTS_UNIT_VHOST_FAKE_H
#define HOLDFAST_TESTS_UNIT_VHOST_FAKE_H

#include <stdbool.h>
#include <stdint.h>

#define VHOST_FAKE_RINGS   2
#define VHOST_FAKE_DEVICES 4
/* vhost-net's: NOTIFY_ON_EMPTY 24, LOG_ALL 26, VHOST_NET_F_VIRTIO_NET_HDR 27, INDIRECT 28,
 * EVENT_IDX 29, VERSION_1 32, ACCESS_PLATFORM 33, RING_RESET 40; MRG_RXBUF 15. */
#define VHOST_FAKE_NET_FEATURES                                                        \
	(1ULL << 24 | 1ULL << 26 | 1ULL << 27 | 1ULL << 28 | 1ULL << 29 | 1ULL << 32 | \
	 1ULL << 33 | 1ULL << 40 | 1ULL << 15)

struct vhost_fake_ring {
	uint32_t num, base; /* base: next available entry, while it runs, too */
	uint64_t desc, avail, used;
	int backend;	     /* vhost-net: the tap; -1: none, it does not run; borrowed */
	int kick, call, err; /* -1: none; borrowed, as they are the caller's */
};

struct vhost_fake {
	unsigned int number;		     /* how many were there before, since the init */
	unsigned int count;		     /* of them, in all */
	int fd;				     /* of the device that was made its owner's last */
	uint64_t features, backend_features; /* offered */
	uint64_t acked, backend_acked;
	unsigned int regions;
	struct {
		uint64_t gpa, size, hva;
	} region[4];
	struct vhost_fake_ring rings[VHOST_FAKE_RINGS];
	uint64_t cid;
	bool running;
	unsigned int starts, stops;
	unsigned long refuse;	   /* the request that fails ... */
	int refuse_errno;	   /* ... with this */
	unsigned int refuse_after; /* ... after so many that do not */
};

extern struct vhost_fake vhost_fake;

/* A kernel where nobody has opened anything. */
void vhost_fake_init(void);
/* For a test with an ioctl() of its own: requests of vhost, and ioctl() for them. */
bool vhost_fake_knows(unsigned long request);
int vhost_fake_ioctl(int fd, unsigned long request, void *arg);
/* The device of that number, which is there. */
void vhost_fake_show(unsigned int number);
/* The kernel's worker has its turn: takes what is available in a ring, as the driver filled it (the
 * transmit ring) or filling it with that byte; returns how many buffers. Nothing while it does not
 * run. With a tap, frames come from it and go to it. What a driver did wrong is signalled as an
 * error. */
unsigned int vhost_fake_serve(unsigned int ring, uint8_t fill);
/* What was in the last transmitted buffer, cut to the size. */
extern uint8_t vhost_fake_sent[64];
/* Whether the ring was kicked since this was asked last. */
bool vhost_fake_kicked(unsigned int ring);
/* The ring's error eventfd is signalled. */
void vhost_fake_fail(unsigned int ring);

#endif
