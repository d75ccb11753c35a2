/* SPDX-License-Identifier: Apache-2.0 */
/* Numbers of virtio 1.2, 5.5; statistics from 10 on are in linux/virtio_balloon.h. */
#ifndef HOLDFAST_DEVICES_VIRTIO_BALLOON_BALLOON_SPEC_H
#define HOLDFAST_DEVICES_VIRTIO_BALLOON_BALLOON_SPEC_H

#define BALLOON_DEVICE_ID   5
#define BALLOON_CLASS_OTHER 0x00ff00

/* A page number is an address divided by this, whatever pages the guest has: 5.5.6. */
#define BALLOON_PAGE	   4096U
#define BALLOON_PAGE_SHIFT 12

/* Feature bits: 5.5.3. FREE_PAGE_HINT (3) is for migrations that copy memory: an update copies
 * none. */
#define BALLOON_F_MUST_TELL_HOST (1ULL << 0)
#define BALLOON_F_STATS_VQ	 (1ULL << 1)
#define BALLOON_F_DEFLATE_ON_OOM (1ULL << 2)
#define BALLOON_F_PAGE_POISON	 (1ULL << 4)
#define BALLOON_F_PAGE_REPORTING (1ULL << 5)

/* Queues: 5.5.2. */
#define BALLOON_Q_INFLATE   0
#define BALLOON_Q_DEFLATE   1
#define BALLOON_Q_STATS	    2
#define BALLOON_Q_FREE_PAGE 3
#define BALLOON_Q_REPORTING 4

/* Configuration: 5.5.4. */
#define BALLOON_C_NUM_PAGES	    0
#define BALLOON_C_ACTUAL	    4
#define BALLOON_C_FREE_PAGE_HINT_ID 8
#define BALLOON_C_POISON_VAL	    12
#define BALLOON_CONFIG_SIZE	    16

/* A statistic: le16 tag, le64 value, packed: 5.5.6.3. */
#define BALLOON_STAT_SIZE  10
#define BALLOON_STAT_VALUE 2
#define BALLOON_STATS	   16

#endif
