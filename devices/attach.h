/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a device is given by the machine when it is made, and what it gives back. A device knows
 * nothing else of the machine: no KVM, no bus, no other device. Functions are called from vCPU
 * threads (register access) and from the loop's thread (backends); each device has one mutex that
 * it takes in both. No device calls out while it holds that mutex, interrupt lines excepted.
 */
#ifndef HOLDFAST_DEVICES_ATTACH_H
#define HOLDFAST_DEVICES_ATTACH_H

#include <stdbool.h>
#include <stdint.h>

/* The one way from a guest physical address to bytes. */
struct guest_memory {
	/*
	 * A pointer to len bytes at gpa if all of them lie in one piece of guest RAM, else NULL.
	 * The guest may change the bytes at any time: copy once, then check the copy. len 0 gives
	 * NULL.
	 */
	void *(*ptr)(void *opaque, uint64_t gpa, uint64_t len);
	void *opaque;
};

/* The way back: pages that a guest does not use, for the host to use. */
struct guest_discard {
	/*
	 * Gives len bytes at gpa back to the host, both multiples of GUEST_DISCARD_PAGE; they read
	 * as zeroes then, and take memory of the host again when something is written to them. 0.
	 * -EINVAL: not whole pages. -EFAULT: not all of it lies in one piece of guest RAM. Nothing
	 * was done then. Else what the kernel says, -EPERM for memory that is preserved for an
	 * update; some of it may have been given back. Any thread.
	 */
	int (*discard)(void *opaque, uint64_t gpa, uint64_t len);
	void *opaque;
};

#define GUEST_DISCARD_PAGE 4096U

/* A wire to the interrupt controller; level-triggered users hold it, edge-triggered ones pulse it
 * (true, false). */
struct irq_line {
	void (*set)(void *opaque, bool level);
	void *opaque;
};

static inline void irq_line_set(const struct irq_line *line, bool level)
{
	if (line->set)
		line->set(line->opaque, level);
}

/*
 * A clock in nanoseconds. Where it is called the guest's clock, it never goes back and goes on
 * through an update as the guest's own clocks do (kvmclock on x86). Any thread.
 */
struct device_clock {
	uint64_t (*now_ns)(void *opaque);
	void *opaque;
};

/* The registers a device offers on a bus. size is 1, 2, 4 or 8, offset + size lies inside the
 * region. */
struct io_ops {
	const char *name;
	uint64_t (*read)(void *opaque, uint64_t offset, unsigned int size);
	void (*write)(void *opaque, uint64_t offset, uint64_t value, unsigned int size);
};

/* What a guest asks of the machine through a device. Called from vCPU threads; returns at once. */
enum machine_request {
	MACHINE_REQUEST_POWEROFF,
	MACHINE_REQUEST_RESET,
};

struct machine_control {
	void (*request)(void *opaque, enum machine_request request);
	void *opaque;
};

#endif
