/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a user says about a disk. As one option, with the names that Cloud Hypervisor's users know:
 *
 *	--disk path=/srv/web.img,direct=on,num_queues=2,serial=web
 *
 * or as a JSON object with the same keys; docs/devices.md lists them. What is only known on the
 * host (is the file there, who else has it) is told by virtio_blk_new().
 */
#ifndef HOLDFAST_DEVICES_VIRTIO_BLK_CONFIG_H
#define HOLDFAST_DEVICES_VIRTIO_BLK_CONFIG_H

#include <jansson.h>
#include <limits.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "base/json.h"
#include "devices/rate_limiter.h"
#include "devices/virtio/slots.h"

#define BLK_QUEUES_MAX		 32
#define BLK_QUEUE_SIZE_MIN	 16
#define BLK_QUEUE_SIZE_MAX	 1024
#define BLK_QUEUE_SIZE_DEFAULT	 128
#define BLK_SERIAL_MAX		 20 /* bytes: virtio 1.2, 5.2.6 */
#define VIRTIO_BLK_CONFIG_ID_MAX 63

struct virtio_blk_config {
	char path[PATH_MAX];
	char id[VIRTIO_BLK_CONFIG_ID_MAX + 1]; /* "" for none */
	char serial[BLK_SERIAL_MAX + 1];       /* "" for none */
	bool readonly;
	bool direct;	       /* past the host's page cache: O_DIRECT */
	bool sparse;	       /* discards reach the image */
	bool lock;	       /* so that nobody else writes it */
	bool disable_io_uring; /* worker threads instead */
	uint16_t num_queues;
	uint16_t queue_size; /* entries, a power of two */
	uint8_t slot;	     /* PCI slot, 1 to VIRTIO_SLOT_MAX; 0: the VMM chooses */
	struct rate_limiter_config limits;
};

/* No path; one queue of 128, writable, buffered, sparse, locked, no limits. */
void virtio_blk_config_init(struct virtio_blk_config *config);

/*
 * json: an object, or a string as after --disk. Everything that is wrong becomes a problem that
 * begins with path ("disks[0]"); *ret is then of no use.
 */
void virtio_blk_config_read(json_t *json, const char *path, struct virtio_blk_config *ret,
			    struct problems *problems);
/* The option's text, as virtio_blk_config_read() understands it. */
int virtio_blk_config_parse(const char *text, struct virtio_blk_config *ret, struct error *err);
/* virtio_blk_config_read() of it gives an equal one. New reference; NULL: out of memory. */
json_t *virtio_blk_config_to_json(const struct virtio_blk_config *config);

#endif
