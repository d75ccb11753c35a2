/* SPDX-License-Identifier: Apache-2.0 */
#include "devices/virtio/blk/config.h"

#include <stdio.h>
#include <string.h>

#include "base/util.h"
#include "devices/option_text.h"

static const struct option_key keys[] = {
	{"path", OPTION_TEXT, NULL, NULL, NULL},
	{"id", OPTION_TEXT, NULL, NULL, NULL},
	{"serial", OPTION_TEXT, NULL, NULL, NULL},
	{"readonly", OPTION_SWITCH, NULL, NULL, NULL},
	{"direct", OPTION_SWITCH, NULL, NULL, NULL},
	{"sparse", OPTION_SWITCH, NULL, NULL, NULL},
	{"lock", OPTION_SWITCH, NULL, NULL, NULL},
	{"disable_io_uring", OPTION_SWITCH, NULL, NULL, NULL},
	{"num_queues", OPTION_NUMBER, NULL, NULL, NULL},
	{"queue_size", OPTION_NUMBER, NULL, NULL, NULL},
	{"slot", OPTION_NUMBER, NULL, NULL, NULL},
	OPTION_KEYS_RATE_LIMITS("", "rate_limiter_config"),
};
static const struct option_keys options = {keys, ARRAY_SIZE(keys)};

void virtio_blk_config_init(struct virtio_blk_config *config)
{
	*config = (struct virtio_blk_config){.sparse = true,
					     .lock = true,
					     .num_queues = 1,
					     .queue_size = BLK_QUEUE_SIZE_DEFAULT};
}

static void read_limits(struct json_reader *r, struct virtio_blk_config *config)
{
	char path[64];

	snprintf(path, sizeof(path), "%s.rate_limiter_config", r->path);
	rate_limiter_config_read(json_get_object(r, "rate_limiter_config"), path, &config->limits,
				 r->problems);
}

static void read_object(json_t *json, const char *path, struct virtio_blk_config *c,
			struct problems *problems)
{
	struct json_reader r;

	json_reader_init(&r, json, path, problems);
	json_get_text(&r, "path", false, c->path, sizeof(c->path));
	json_get_text(&r, "id", true, c->id, sizeof(c->id));
	json_get_text(&r, "serial", true, c->serial, sizeof(c->serial));
	c->readonly = json_get_bool(&r, "readonly", c->readonly);
	c->direct = json_get_bool(&r, "direct", c->direct);
	c->sparse = json_get_bool(&r, "sparse", c->sparse);
	c->lock = json_get_bool(&r, "lock", c->lock);
	c->disable_io_uring = json_get_bool(&r, "disable_io_uring", c->disable_io_uring);
	c->num_queues = (uint16_t)json_get_u64(&r, "num_queues", c->num_queues, 1, BLK_QUEUES_MAX);
	c->queue_size = (uint16_t)json_get_u64(&r, "queue_size", c->queue_size, BLK_QUEUE_SIZE_MIN,
					       BLK_QUEUE_SIZE_MAX);
	c->slot = (uint8_t)json_get_u64(&r, "slot", c->slot, 1, VIRTIO_SLOT_MAX);
	read_limits(&r, c);
	json_reader_end(&r);
	if (json_is_object(json) && !json_object_get(json, "path"))
		problem_add(problems, "%s.path: missing: the image file or block device", path);
	else if (json_is_string(json_object_get(json, "path")) && !c->path[0])
		problem_add(problems, "%s.path: must not be empty", path);
	if (c->queue_size & (c->queue_size - 1))
		problem_add(problems, "%s.queue_size: must be a power of two", path);
}

void virtio_blk_config_read(json_t *json, const char *path, struct virtio_blk_config *ret,
			    struct problems *problems)
{
	json_t *object = option_to_object(&options, json, path, problems);

	virtio_blk_config_init(ret);
	if (object)
		read_object(object, path, ret, problems);
	json_decref(object);
}

int virtio_blk_config_parse(const char *text, struct virtio_blk_config *ret, struct error *err)
{
	struct problems problems = {0};
	json_t *object = option_text_to_json(&options, text, "disk", &problems);

	virtio_blk_config_init(ret);
	if (object)
		read_object(object, "disk", ret, &problems);
	json_decref(object);
	return problems_result(&problems, err);
}

json_t *virtio_blk_config_to_json(const struct virtio_blk_config *c)
{
	json_t *json = json_pack("{ss ss ss sb sb sb sb sb si si}", "path", c->path, "id", c->id,
				 "serial", c->serial, "readonly", (int)c->readonly, "direct",
				 (int)c->direct, "sparse", (int)c->sparse, "lock", (int)c->lock,
				 "disable_io_uring", (int)c->disable_io_uring, "num_queues",
				 (int)c->num_queues, "queue_size", (int)c->queue_size);
	json_t *limits = rate_limiter_config_to_json(&c->limits);

	if (json && limits)
		json_object_set(json, "rate_limiter_config", limits);
	json_decref(limits);
	if (json && c->slot)
		json_object_set_new(json, "slot", json_integer(c->slot));
	return json;
}
