/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a user says about the socket device. As one option,
 *
 *	--vsock cid=3
 *
 * as a JSON object with the same key, or "off"; docs/devices.md tells what it means.
 */
#ifndef HOLDFAST_DEVICES_VIRTIO_VSOCK_CONFIG_H
#define HOLDFAST_DEVICES_VIRTIO_VSOCK_CONFIG_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/json.h"

/* virtio 1.2, 5.10.4: those beside them are reserved, 2 is the host. */
#define VSOCK_CID_MIN 3U
#define VSOCK_CID_MAX 0xfffffffeU

struct virtio_vsock_config {
	bool on;
	uint32_t cid; /* the guest's context identifier, unique on the host */
};

/*
 * json: an object, or a string as after --vsock. Everything that is wrong becomes a problem that
 * begins with path ("vsock"); *ret is then of no use.
 */
void virtio_vsock_config_read(json_t *json, const char *path, struct virtio_vsock_config *ret,
			      struct problems *problems);
/* virtio_vsock_config_read() of it gives an equal one. New reference; NULL: out of memory. */
json_t *virtio_vsock_config_to_json(const struct virtio_vsock_config *config);

#endif
