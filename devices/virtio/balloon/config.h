/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a user says about the balloon. As one option,
 *
 *	--balloon size=512M,deflate-on-oom=on,free-page-reporting=on,stats-interval=5
 *
 * as a JSON object with the same keys, or "off"; docs/devices.md lists them.
 */
#ifndef HOLDFAST_DEVICES_VIRTIO_BALLOON_CONFIG_H
#define HOLDFAST_DEVICES_VIRTIO_BALLOON_CONFIG_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/json.h"

#define BALLOON_SIZE_MAX	   ((uint64_t)UINT32_MAX << 12) /* virtio 1.2, 5.5.4 */
#define BALLOON_STATS_INTERVAL_MAX 86400U

struct virtio_balloon_config {
	bool on;
	uint64_t size; /* bytes that the guest is asked to do without; a multiple of 4096 */
	bool deflate_on_oom;
	bool free_page_reporting;
	uint32_t stats_interval; /* seconds between two statistics; 0: none */
};

/*
 * json: an object, or a string as after --balloon. Everything that is wrong becomes a problem that
 * begins with path ("balloon"); *ret is then of no use.
 */
void virtio_balloon_config_read(json_t *json, const char *path, struct virtio_balloon_config *ret,
				struct problems *problems);
/* virtio_balloon_config_read() of it gives an equal one. New reference; NULL: out of memory. */
json_t *virtio_balloon_config_to_json(const struct virtio_balloon_config *config);
/* 0, or -EINVAL: a guest with so much memory (bytes) cannot have a balloon of that size. */
int virtio_balloon_check_size(uint64_t size, uint64_t memory, struct error *err);

#endif
