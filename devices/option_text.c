/* SPDX-License-Identifier: Apache-2.0 */
#include "devices/option_text.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "base/util.h"

static const struct option_key *find(const struct option_keys *keys, const char *key)
{
	for (unsigned int i = 0; i < keys->count; i++) {
		if (strcmp(keys->keys[i].key, key) == 0)
			return &keys->keys[i];
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

/* "3:4:5" into an array. NULL: it is none. */
static json_t *numbers(const char *text)
{
	json_t *array = json_array();
	const char *at = text;

	do {
		uint64_t number;
		char one[24];
		size_t len = strcspn(at, ":");

		snprintf(one, sizeof(one), "%.*s", (int)MIN_OF(len, sizeof(one) - 1), at);
		if (len >= sizeof(one) || size_parse(one, &number) < 0 || number > INT64_MAX) {
			json_decref(array);
			return NULL;
		}
		json_array_append_new(array, json_integer((json_int_t)number));
		at += len;
	} while (*at++ == ':');
	return array;
}

/* New reference; NULL after a problem was added. */
static json_t *value_of(const struct option_key *o, const char *text, const char *where,
			struct problems *p)
{
	uint64_t number;
	json_t *json = NULL;

	switch (o->kind) {
	case OPTION_SWITCH:
		if (strcmp(text, "on") == 0 || strcmp(text, "true") == 0)
			return json_true();
		if (strcmp(text, "off") == 0 || strcmp(text, "false") == 0)
			return json_false();
		key_problem(p, where, o, "must be on or off, not \"%.64s\"", text);
		break;
	case OPTION_NUMBER:
		if (size_parse(text, &number) == 0 && number <= INT64_MAX)
			return json_integer((json_int_t)number);
		key_problem(p, where, o, "must be a number, not \"%.64s\"", text);
		break;
	case OPTION_NUMBERS:
		json = numbers(text);
		if (!json)
			key_problem(p, where, o,
				    "must be numbers with \":\" between them, not \"%.64s\"", text);
		break;
	case OPTION_TEXT:
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

static void store(json_t *object, const struct option_key *o, const char *text, const char *where,
		  struct problems *p)
{
	json_t *target = object;
	const char *key = o->bucket ? o->field : o->key;
	json_t *value;

	if (o->bucket)
		target = sub_object(sub_object(object, o->limits), o->bucket);
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

static void read_item(const struct option_keys *keys, json_t *object, char *item, const char *where,
		      struct problems *p)
{
	char *equals = strchr(item, '=');
	const struct option_key *o;

	if (!equals) {
		problem_add(p, "%s: \"%.64s\": must be key=value", where, item);
		return;
	}
	*equals = '\0';
	o = find(keys, item);
	if (o)
		store(object, o, equals + 1, where, p);
	else
		problem_add(p, "%s.%.64s: unknown key", where, item);
}

json_t *option_text_to_json(const struct option_keys *keys, const char *text, const char *path,
			    struct problems *problems)
{
	unsigned int before = problems->count;
	json_t *object = json_object();
	char item[PATH_MAX + 64];
	bool bad = false;

	while (!bad && next_item(&text, item, sizeof(item), &bad)) {
		if (!bad)
			read_item(keys, object, item, path, problems);
	}
	if (bad)
		problem_add(problems, "%s: too long, or a quote is not closed", path);
	if (problems->count == before)
		return object;
	json_decref(object);
	return NULL;
}

json_t *option_to_object(const struct option_keys *keys, json_t *json, const char *path,
			 struct problems *problems)
{
	if (!json_is_string(json))
		return json_incref(json);
	return option_text_to_json(keys, json_string_value(json), path, problems);
}

json_t *option_or_off_to_object(const struct option_keys *keys, json_t *json, const char *path,
				struct problems *problems)
{
	if (json_is_string(json) && strcmp(json_string_value(json), "off") == 0)
		return NULL;
	return option_to_object(keys, json, path, problems);
}
