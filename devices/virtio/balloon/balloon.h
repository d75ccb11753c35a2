/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Traditional memory balloon (virtio 1.2, 5.5): the guest gives pages away until as many are gone
 * as its host asks for, tells how it fares (statistics), and reports pages that it does not use at
 * the moment (free page reporting). All of them go back to the host.
 *
 * While an update has the guest's memory preserved, nothing may be given back: it is "kept". What
 * the guest does meanwhile is answered as ever, for it must not wait. What it gives away then is
 * given back when the memory is kept no more, and so is all that it had given away before, since
 * preserving takes memory for it again. That needs MUST_TELL_HOST: without it a driver may use a
 * page before it says so, and its pages are given back at once or not at all. What is reported
 * while memory is kept is lost to the host until the guest uses and frees it again.
 */
#ifndef HOLDFAST_DEVICES_VIRTIO_BALLOON_BALLOON_H
#define HOLDFAST_DEVICES_VIRTIO_BALLOON_BALLOON_H

#include "devices/virtio/balloon/config.h"
#include "devices/virtio/virtio.h"

struct virtio_balloon;

/* config: copied. memory: the guest's RAM in bytes. ram, discard: copied; what they refer to is
 * borrowed. */
int virtio_balloon_new(const struct virtio_balloon_config *config, uint64_t memory,
		       const struct guest_memory *ram, const struct guest_discard *discard,
		       struct virtio_balloon **ret, struct error *err);

/* The object is a struct virtio_balloon; owned by the transport once it is given to
 * virtio_pci_new(). Until virtio_pci_free() the pointer may be used for the functions below. Give
 * it a loop of its own (base/loop_thread.h): giving back takes time. */
extern const struct virtio_device_ops virtio_balloon_ops;

/* Any thread. Asks the guest to do without so many bytes from now on; it takes its time, or never
 * does. -EINVAL: no whole pages, or more than it has. */
int virtio_balloon_resize(struct virtio_balloon *balloon, uint64_t size, struct error *err);

/* Any thread. The guest's RAM has become so many bytes: the limit of what it is asked for. */
void virtio_balloon_set_memory(struct virtio_balloon *balloon, uint64_t memory);

/*
 * Any thread; waits for the device's loop. From the moment when virtio_balloon_keep(balloon, true)
 * has returned nothing is given back, until it is called with false.
 */
void virtio_balloon_keep(struct virtio_balloon *balloon, bool keep);

/* Since the process began. */
struct virtio_balloon_counters {
	uint64_t inflated_bytes, deflated_bytes, reported_bytes; /* as the guest told */
	uint64_t given_back_bytes; /* to the host, once more after an update */
	uint64_t refused;	   /* page numbers that are not guest RAM */
	uint64_t failed;	   /* times that the host did not take something back */
};

/* Any thread. */
void virtio_balloon_get_counters(const struct virtio_balloon *balloon,
				 struct virtio_balloon_counters *ret);

/*
 * Any thread; waits for the device's loop. {"size": what the guest is asked for, "actual": what it
 * says that it has given away, "statistics": {name: number}, "updated": seconds since 1970}, in
 * bytes; the last two only once the guest has told any. New reference.
 */
json_t *virtio_balloon_statistics(struct virtio_balloon *balloon);

#endif
