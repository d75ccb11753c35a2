/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Statistics: virtio 1.2, 5.5.6.3. The driver's buffer is held until new ones are wanted; giving it
 * back is how they are asked for.
 */
#include <endian.h>
#include <string.h>

#include "base/clock.h"
#include "devices/virtio/balloon/balloon_impl.h"

/* Entries looked at: a driver has no reason to send many more than there are tags. */
#define ENTRIES_MAX 64

static const char *const names[BALLOON_STATS] = {
	"swap-in",	    "swap-out",	    "major-faults",
	"minor-faults",	    "free-memory",  "total-memory",
	"available-memory", "disk-caches",  "hugetlb-allocations",
	"hugetlb-failures", "oom-kills",    "alloc-stalls",
	"async-scans",	    "direct-scans", "async-reclaims",
	"direct-reclaims",
};

static void read_stats(struct virtio_balloon *b, const struct virtqueue_chain *chain)
{
	uint8_t entries[ENTRIES_MAX][BALLOON_STAT_SIZE];
	size_t count = virtqueue_chain_read(chain, 0, entries, sizeof(entries)) / BALLOON_STAT_SIZE;
	uint32_t present = 0;

	for (size_t i = 0; i < count; i++) {
		uint16_t tag;
		uint64_t value;

		memcpy(&tag, entries[i], sizeof(tag));
		memcpy(&value, entries[i] + BALLOON_STAT_VALUE, sizeof(value));
		tag = le16toh(tag);
		if (tag >= BALLOON_STATS)
			continue;
		if (!present)
			memset(b->stats, 0, sizeof(b->stats));
		present |= 1U << tag;
		b->stats[tag] = le64toh(value);
	}
	/* The empty buffer that 5.5.5 wants first tells nothing. */
	if (!present)
		return;
	b->stats_present = present;
	b->stats_realtime_ns = clock_realtime_ns();
}

int balloon_take_stats(struct virtio_balloon *b, unsigned int *buffers_left, struct error *err)
{
	struct virtqueue *vq = virtio_queue(b->v, BALLOON_Q_STATS);
	struct virtqueue_chain *spare = b->work[BALLOON_Q_STATS].chain;

	for (; *buffers_left > 0; (*buffers_left)--) {
		int r = virtqueue_pop(vq, spare, err);

		if (r <= 0)
			return r;
		read_stats(b, spare);
		/* 5.5.6.3.1: there is one at most. If not, the newest counts. */
		if (b->stats_held)
			virtqueue_push(vq, b->stats_buffer, 0);
		b->work[BALLOON_Q_STATS].chain = b->stats_buffer;
		b->stats_buffer = spare;
		spare = b->work[BALLOON_Q_STATS].chain;
		b->stats_held = true;
	}
	return 1;
}

void balloon_ask_stats(void *opaque)
{
	struct virtio_balloon *b = opaque;

	if (!b->stats_held || !virtio_queue_live(b->v, BALLOON_Q_STATS))
		return;
	b->stats_held = false;
	virtqueue_push(virtio_queue(b->v, BALLOON_Q_STATS), b->stats_buffer, 0);
	virtio_notify_queue(b->v, BALLOON_Q_STATS);
}

struct statistics_call {
	struct virtio_balloon *b;
	json_t *result;
};

static void statistics(void *opaque)
{
	struct statistics_call *call = opaque;
	const struct virtio_balloon *b = call->b;
	json_t *told, *all = json_pack("{sI sI}", "size",
				       (json_int_t)atomic_load(&b->target) * BALLOON_PAGE, "actual",
				       (json_int_t)atomic_load(&b->actual) * BALLOON_PAGE);

	call->result = all;
	if (!all || !b->stats_present)
		return;
	told = json_object();
	for (unsigned int i = 0; i < BALLOON_STATS; i++) {
		/* jansson's integers are signed. */
		if (b->stats_present & (1U << i))
			json_object_set_new(
				told, names[i],
				json_integer((json_int_t)MIN_OF(b->stats[i], (uint64_t)INT64_MAX)));
	}
	json_object_set_new(all, "statistics", told);
	json_object_set_new(all, "updated",
			    json_integer((json_int_t)(b->stats_realtime_ns / NSEC_PER_SEC)));
}

json_t *virtio_balloon_statistics(struct virtio_balloon *b)
{
	struct statistics_call call = {b, NULL};

	loop_call(virtio_loop(b->v), statistics, &call);
	return call.result;
}
