/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>

#include "base/util.h"
#include "devices/rate_limiter.h"

static void bucket_read(struct json_reader *parent, const char *key,
			struct token_bucket_config *ret)
{
	json_t *json = json_get_object(parent, key);
	struct json_reader r;
	char path[128];

	*ret = (struct token_bucket_config){0};
	if (!json)
		return;
	snprintf(path, sizeof(path), "%s.%s", parent->path, key);
	json_reader_init(&r, json, path, parent->problems);
	ret->size = json_get_size(&r, "size", 0, 0, TOKEN_BUCKET_MAX);
	ret->one_time_burst = json_get_size(&r, "one_time_burst", 0, 0, TOKEN_BUCKET_MAX);
	ret->refill_ms = json_get_u64(&r, "refill_time", 0, 0, TOKEN_BUCKET_REFILL_MAX);
	json_reader_end(&r);
	if (ret->size && !ret->refill_ms)
		problem_add(parent->problems,
			    "%s: a size needs a refill_time, the milliseconds in which an empty "
			    "bucket fills",
			    path);
	if (!ret->size && (ret->refill_ms || ret->one_time_burst))
		problem_add(parent->problems,
			    "%s: size is missing: how much there is in a "
			    "refill_time",
			    path);
}

void rate_limiter_config_read(json_t *json, const char *path, struct rate_limiter_config *ret,
			      struct problems *problems)
{
	struct json_reader r;

	*ret = (struct rate_limiter_config){0};
	if (!json)
		return;
	json_reader_init(&r, json, path, problems);
	bucket_read(&r, "bandwidth", &ret->bandwidth);
	bucket_read(&r, "ops", &ret->ops);
	json_reader_end(&r);
}

static json_t *bucket_to_json(const struct token_bucket_config *b)
{
	return json_pack("{sI sI sI}", "size", (json_int_t)b->size, "one_time_burst",
			 (json_int_t)b->one_time_burst, "refill_time", (json_int_t)b->refill_ms);
}

json_t *rate_limiter_config_to_json(const struct rate_limiter_config *config)
{
	json_t *json;

	if (!config->bandwidth.size && !config->ops.size)
		return NULL;
	json = json_object();
	if (config->bandwidth.size)
		json_object_set_new(json, "bandwidth", bucket_to_json(&config->bandwidth));
	if (config->ops.size)
		json_object_set_new(json, "ops", bucket_to_json(&config->ops));
	return json;
}
