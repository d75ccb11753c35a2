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
	/* The key is `field` of the object `bucket` inside "rate_limiter_config"; else NULL. */
	const char *bucket, *field;
};

/* The keys of rate_limiter_config_read(), for the table of a device that has limits. */
#define OPTION_KEYS_RATE_LIMITS                                                      \
	{"bw_size", OPTION_NUMBER, "bandwidth", "size"},                             \
		{"bw_one_time_burst", OPTION_NUMBER, "bandwidth", "one_time_burst"}, \
		{"bw_refill_time", OPTION_NUMBER, "bandwidth", "refill_time"},       \
		{"ops_size", OPTION_NUMBER, "ops", "size"},                          \
		{"ops_one_time_burst", OPTION_NUMBER, "ops", "one_time_burst"},      \
		{"ops_refill_time", OPTION_NUMBER, "ops", "refill_time"}

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
/*
 * The same for an option of a device that there may be or not: json is such an object already, the
 * text, or "off". New reference; NULL: it is off, or a problem was added.
 */
json_t *option_to_object(const struct option_keys *keys, json_t *json, const char *path,
			 struct problems *problems);

#endif
