/* SPDX-License-Identifier: Apache-2.0 */
#include "devices/virtio/balloon/config.h"

#include <errno.h>

#include "base/util.h"
#include "devices/option_text.h"
#include "devices/virtio/balloon/balloon_spec.h"

static const struct option_key keys[] = {
	{"size", OPTION_NUMBER, NULL, NULL, NULL},
	{"deflate-on-oom", OPTION_SWITCH, NULL, NULL, NULL},
	{"free-page-reporting", OPTION_SWITCH, NULL, NULL, NULL},
	{"stats-interval", OPTION_NUMBER, NULL, NULL, NULL},
};
static const struct option_keys options = {keys, ARRAY_SIZE(keys)};

static void read_object(json_t *json, const char *path, struct virtio_balloon_config *c,
			struct problems *problems)
{
	struct json_reader r;

	json_reader_init(&r, json, path, problems);
	c->on = true;
	c->size = json_get_size(&r, "size", 0, 0, BALLOON_SIZE_MAX);
	c->deflate_on_oom = json_get_bool(&r, "deflate-on-oom", false);
	c->free_page_reporting = json_get_bool(&r, "free-page-reporting", false);
	c->stats_interval =
		(uint32_t)json_get_u64(&r, "stats-interval", 0, 0, BALLOON_STATS_INTERVAL_MAX);
	json_reader_end(&r);
	if (c->size % BALLOON_PAGE)
		problem_add(problems, "%s.size: must be a multiple of 4K", path);
}

void virtio_balloon_config_read(json_t *json, const char *path, struct virtio_balloon_config *ret,
				struct problems *problems)
{
	json_t *object = option_or_off_to_object(&options, json, path, problems);

	*ret = (struct virtio_balloon_config){0};
	if (object)
		read_object(object, path, ret, problems);
	json_decref(object);
}

json_t *virtio_balloon_config_to_json(const struct virtio_balloon_config *c)
{
	if (!c->on)
		return json_string("off");
	return json_pack("{sI sb sb si}", "size", (json_int_t)c->size, "deflate-on-oom",
			 (int)c->deflate_on_oom, "free-page-reporting", (int)c->free_page_reporting,
			 "stats-interval", (int)c->stats_interval);
}

int virtio_balloon_check_size(uint64_t size, uint64_t memory, struct error *err)
{
	if (size % BALLOON_PAGE)
		return error_set(err, -EINVAL, "balloon: %llu bytes are not a multiple of 4K",
				 (unsigned long long)size);
	if (size > memory || size > BALLOON_SIZE_MAX)
		return error_set(
			err, -EINVAL, "balloon: a guest of %llu MiB cannot do without %llu MiB",
			(unsigned long long)(memory / MIB), (unsigned long long)(size / MIB));
	return 0;
}
