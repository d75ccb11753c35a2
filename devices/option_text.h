/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A device's option as text, "key=value,key=value", into the JSON object that means the same. A
 * value with a comma is put in double quotes.
 */
#ifndef HOLDFAST_DEVICES_OPTION_TEXT_H
#define HOLDFAST_DEVICES_OPTION_TEXT_H

#include <jansson.h>

#include "base/json.h"

enum option_kind {
	OPTION_TEXT,
	OPTION_SWITCH,	/* on or off */
	OPTION_NUMBER,	/* with a suffix as size_parse() takes it */
	OPTION_NUMBERS, /* "3:4": an array */
};

struct option_key {
	const char *key;
	enum option_kind kind;
	/* The key is `field` of the object `bucket` inside `limits`; else NULL. */
	const char *limits, *bucket, *field;
};

/*
 * The keys of rate_limiter_config_read() in the object `limits`, for the table of a device that has
 * limits. prefix: of each key, for a device that has several.
 */
#define OPTION_KEYS_RATE_LIMITS(prefix, limits)                                                \
	{prefix "bw_size", OPTION_NUMBER, limits, "bandwidth", "size"},                        \
		{prefix "bw_one_time_burst", OPTION_NUMBER, limits, "bandwidth",               \
		 "one_time_burst"},                                                            \
		{prefix "bw_refill_time", OPTION_NUMBER, limits, "bandwidth", "refill_time"},  \
		{prefix "ops_size", OPTION_NUMBER, limits, "ops", "size"},                     \
		{prefix "ops_one_time_burst", OPTION_NUMBER, limits, "ops", "one_time_burst"}, \
		{prefix "ops_refill_time", OPTION_NUMBER, limits, "ops", "refill_time"}

struct option_keys {
	const struct option_key *keys;
	unsigned int count;
};

/*
 * New reference; NULL after a problem was added. path: of the object, in front of each problem
 * ("disk[0]"). Types are checked, values are not: they are read from the object.
 */
json_t *option_text_to_json(const struct option_keys *keys, const char *text, const char *path,
			    struct problems *problems);
/* The same of a string; any other value is given back as it is, which may be no object. New
 * reference; NULL after a problem was added. */
json_t *option_to_object(const struct option_keys *keys, json_t *json, const char *path,
			 struct problems *problems);
/* The same of a device that there may be or not: NULL without a problem of "off". */
json_t *option_or_off_to_object(const struct option_keys *keys, json_t *json, const char *path,
				struct problems *problems);

#endif
