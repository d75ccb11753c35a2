/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>

#include "base/util.h"
#include "devices/virtio/blk/config.h"

enum value_kind { VALUE_TEXT, VALUE_SWITCH, VALUE_NUMBER };

/* bucket: the key is `field` of that object inside "rate_limiter_config". */
static const struct option {
	const char *key;
	enum value_kind kind;
	const char *bucket, *field;
} options[] = {
	{"path", VALUE_TEXT, NULL, NULL},
	{"id", VALUE_TEXT, NULL, NULL},
	{"serial", VALUE_TEXT, NULL, NULL},
	{"readonly", VALUE_SWITCH, NULL, NULL},
	{"direct", VALUE_SWITCH, NULL, NULL},
	{"sparse", VALUE_SWITCH, NULL, NULL},
	{"lock", VALUE_SWITCH, NULL, NULL},
	{"disable_io_uring", VALUE_SWITCH, NULL, NULL},
	{"num_queues", VALUE_NUMBER, NULL, NULL},
	{"queue_size", VALUE_NUMBER, NULL, NULL},
	{"slot", VALUE_NUMBER, NULL, NULL},
	{"bw_size", VALUE_NUMBER, "bandwidth", "size"},
	{"bw_one_time_burst", VALUE_NUMBER, "bandwidth", "one_time_burst"},
	{"bw_refill_time", VALUE_NUMBER, "bandwidth", "refill_time"},
	{"ops_size", VALUE_NUMBER, "ops", "size"},
	{"ops_one_time_burst", VALUE_NUMBER, "ops", "one_time_burst"},
	{"ops_refill_time", VALUE_NUMBER, "ops", "refill_time"},
};

static const struct option *find(const char *key)
{
	for (unsigned int i = 0; i < ARRAY_SIZE(options); i++) {
		if (strcmp(options[i].key, key) == 0)
			return &options[i];
	}
	return NULL;
}

/* A problem with one key; where: "disks[0]". */
#define key_problem(problems, where, o, ...)                                \
	do {                                                                \
		char _text[256];                                            \
		snprintf(_text, sizeof(_text), __VA_ARGS__);                \
		problem_add(problems, "%s.%s: %s", where, (o)->key, _text); \
	} while (0)

/* New reference; NULL after a problem was added. */
static json_t *value_of(const struct option *o, const char *text, const char *where,
			struct problems *p)
{
	uint64_t number;
	json_t *json = NULL;

	switch (o->kind) {
	case VALUE_SWITCH:
		if (strcmp(text, "on") == 0 || strcmp(text, "true") == 0)
			return json_true();
		if (strcmp(text, "off") == 0 || strcmp(text, "false") == 0)
			return json_false();
		key_problem(p, where, o, "must be on or off, not \"%.64s\"", text);
		break;
	case VALUE_NUMBER:
		if (size_parse(text, &number) == 0 && number <= INT64_MAX)
			return json_integer((json_int_t)number);
		key_problem(p, where, o, "must be a number, not \"%.64s\"", text);
		break;
	case VALUE_TEXT:
	default:
		json = json_string(text);
		if (!json)
			key_problem(p, where, o, "must be UTF-8");
		break;
	}
	return json;
}

static json_t *sub_object(json_t *parent, const char *key)
{
	json_t *child = json_object_get(parent, key);

	if (!child) {
		child = json_object();
		json_object_set_new(parent, key, child);
	}
	return child;
}

static void store(json_t *object, const struct option *o, const char *text, const char *where,
		  struct problems *p)
{
	json_t *target = object;
	const char *key = o->bucket ? o->field : o->key;
	json_t *value;

	if (o->bucket)
		target = sub_object(sub_object(object, "rate_limiter_config"), o->bucket);
	if (json_object_get(target, key)) {
		key_problem(p, where, o, "given twice");
		return;
	}
	value = value_of(o, text, where, p);
	if (value)
		json_object_set_new(target, key, value);
}

/* The next item of *text into buf, without the quotes that kept its commas together. False: at the
 * end. */
static bool next_item(const char **text, char *buf, size_t size, bool *ret_bad)
{
	bool quoted = false;
	size_t n = 0;
	const char *c = *text;

	if (!*c)
		return false;
	for (; *c && (quoted || *c != ','); c++) {
		if (*c == '"')
			quoted = !quoted;
		else if (n + 1 < size)
			buf[n++] = *c;
		else
			*ret_bad = true;
	}
	buf[n] = '\0';
	*ret_bad |= quoted;
	*text = *c ? c + 1 : c;
	return true;
}

static void read_item(json_t *object, char *item, const char *where, struct problems *p)
{
	char *equals = strchr(item, '=');
	const struct option *o;

	if (!equals) {
		problem_add(p, "%s: \"%.64s\": must be key=value", where, item);
		return;
	}
	*equals = '\0';
	o = find(item);
	if (o)
		store(object, o, equals + 1, where, p);
	else
		problem_add(p, "%s.%.64s: unknown key", where, item);
}

json_t *blk_config_text_to_json(const char *text, const char *path, struct problems *problems)
{
	unsigned int before = problems->count;
	json_t *object = json_object();
	char item[PATH_MAX + 64];
	bool bad = false;

	while (!bad && next_item(&text, item, sizeof(item), &bad)) {
		if (!bad)
			read_item(object, item, path, problems);
	}
	if (bad)
		problem_add(problems, "%s: too long, or a quote is not closed", path);
	if (problems->count == before)
		return object;
	json_decref(object);
	return NULL;
}
