/* SPDX-License-Identifier: Apache-2.0 */
#include "devices/virtio/vsock/config.h"

#include "base/util.h"
#include "devices/option_text.h"

static const struct option_key keys[] = {{.key = "cid", .kind = OPTION_NUMBER}};
static const struct option_keys options = {keys, ARRAY_SIZE(keys)};

static void read_object(json_t *json, const char *path, struct virtio_vsock_config *c,
			struct problems *problems)
{
	struct json_reader r;

	json_reader_init(&r, json, path, problems);
	if (json_is_object(json) && !json_has(&r, "cid"))
		problem_add(problems, "%s.cid: must be given", path);
	c->on = true;
	c->cid = (uint32_t)json_get_u64(&r, "cid", 0, VSOCK_CID_MIN, VSOCK_CID_MAX);
	json_reader_end(&r);
}

void virtio_vsock_config_read(json_t *json, const char *path, struct virtio_vsock_config *ret,
			      struct problems *problems)
{
	json_t *object = option_or_off_to_object(&options, json, path, problems);

	*ret = (struct virtio_vsock_config){0};
	if (object)
		read_object(object, path, ret, problems);
	json_decref(object);
}

json_t *virtio_vsock_config_to_json(const struct virtio_vsock_config *c)
{
	return c->on ? json_pack("{sI}", "cid", (json_int_t)c->cid) : json_string("off");
}
