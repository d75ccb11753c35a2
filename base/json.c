/* SPDX-License-Identifier: Apache-2.0 */
#include "base/json.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/util.h"

#define JSON_FILE_MAX MIB

void problem_add(struct problems *p, const char *fmt, ...)
{
	size_t used = strlen(p->text);
	va_list ap;

	if (p->count++ > 0) {
		snprintf(p->text + used, sizeof(p->text) - used, "; ");
		used = strlen(p->text);
	}
	va_start(ap, fmt);
	vsnprintf(p->text + used, sizeof(p->text) - used, fmt, ap);
	va_end(ap);
}

int problems_result(const struct problems *p, struct error *err)
{
	if (p->count == 0)
		return 0;
	return error_set(err, -EINVAL, "%s", p->text);
}

static void value_problem(struct json_reader *r, const char *key, const char *why)
{
	problem_add(r->problems, "%s%s%s: %s", r->path, r->path[0] ? "." : "", key, why);
}

void json_reader_init(struct json_reader *r, json_t *value, const char *path,
		      struct problems *problems)
{
	*r = (struct json_reader){.object = value, .path = path, .problems = problems};
	if (value && !json_is_object(value)) {
		problem_add(problems, "%s: must be an object", path[0] ? path : "document");
		r->object = NULL;
	}
}

bool json_has(const struct json_reader *r, const char *key)
{
	return json_object_get(r->object, key) != NULL;
}

static json_t *take(struct json_reader *r, const char *key)
{
	if (r->known_count < JSON_KEYS_MAX)
		r->known[r->known_count++] = key;
	return json_object_get(r->object, key);
}

json_t *json_get_value(struct json_reader *r, const char *key)
{
	return take(r, key);
}

const char *json_get_string(struct json_reader *r, const char *key, const char *fallback,
			    size_t max)
{
	json_t *value = take(r, key);

	if (!value)
		return fallback;
	if (!json_is_string(value)) {
		value_problem(r, key, "must be a string");
		return fallback;
	}
	if (json_string_length(value) >= max) {
		value_problem(r, key, "too long");
		return fallback;
	}
	return json_string_value(value);
}

void json_get_text(struct json_reader *r, const char *key, bool printable, char *field, size_t size)
{
	const char *text = json_get_string(r, key, "", size);

	field[0] = '\0';
	if (strlen(text) != json_string_length(json_object_get(r->object, key))) {
		value_problem(r, key, "must not contain a NUL byte");
		return;
	}
	for (const char *c = text; printable && *c; c++) {
		if (*c < ' ' || *c > '~') {
			value_problem(r, key, "must be printable ASCII");
			return;
		}
	}
	snprintf(field, size, "%s", text);
}

static uint64_t in_range(struct json_reader *r, const char *key, json_int_t value,
			 uint64_t fallback, uint64_t min, uint64_t max)
{
	char why[96];

	if (value >= 0 && (uint64_t)value >= min && (uint64_t)value <= max)
		return (uint64_t)value;
	snprintf(why, sizeof(why), "must be from %llu to %llu", (unsigned long long)min,
		 (unsigned long long)max);
	value_problem(r, key, why);
	return fallback;
}

uint64_t json_get_u64(struct json_reader *r, const char *key, uint64_t fallback, uint64_t min,
		      uint64_t max)
{
	json_t *value = take(r, key);

	if (!value)
		return fallback;
	if (!json_is_integer(value)) {
		value_problem(r, key, "must be a whole number");
		return fallback;
	}
	return in_range(r, key, json_integer_value(value), fallback, min, max);
}

bool json_get_bool(struct json_reader *r, const char *key, bool fallback)
{
	json_t *value = take(r, key);

	if (!value)
		return fallback;
	if (!json_is_boolean(value)) {
		value_problem(r, key, "must be true or false");
		return fallback;
	}
	return json_boolean_value(value);
}

uint64_t json_get_size(struct json_reader *r, const char *key, uint64_t fallback, uint64_t min,
		       uint64_t max)
{
	json_t *value = json_object_get(r->object, key);
	uint64_t size;

	if (!json_is_string(value))
		return json_get_u64(r, key, fallback, min, max);
	take(r, key);
	if (size_parse(json_string_value(value), &size) < 0 || size > INT64_MAX) {
		value_problem(r, key, "must be a number of bytes, or one with K, M, G or T");
		return fallback;
	}
	return in_range(r, key, (json_int_t)size, fallback, min, max);
}

json_t *json_get_object(struct json_reader *r, const char *key)
{
	json_t *value = take(r, key);

	if (value && !json_is_object(value)) {
		value_problem(r, key, "must be an object");
		return NULL;
	}
	return value;
}

json_t *json_get_array(struct json_reader *r, const char *key)
{
	json_t *value = take(r, key);

	if (value && !json_is_array(value)) {
		value_problem(r, key, "must be an array");
		return NULL;
	}
	return value;
}

static bool is_known(const struct json_reader *r, const char *key)
{
	for (unsigned int i = 0; i < r->known_count; i++) {
		if (strcmp(r->known[i], key) == 0)
			return true;
	}
	return false;
}

void json_reader_end(struct json_reader *r)
{
	const char *key;
	json_t *value;

	json_object_foreach(r->object, key, value)
	{
		if (!is_known(r, key))
			value_problem(r, key, "unknown key");
	}
}

int size_parse(const char *text, uint64_t *ret)
{
	static const char suffixes[] = "KMGT";
	unsigned long long value;
	unsigned int shift = 0;
	char *end;

	if (text[0] < '0' || text[0] > '9')
		return -EINVAL;
	errno = 0;
	value = strtoull(text, &end, 10);
	if (errno)
		return -ERANGE;
	if (*end) {
		const char *suffix = strchr(suffixes, *end);

		if (!suffix || end[1])
			return -EINVAL;
		shift = 10U * (unsigned int)(suffix - suffixes + 1);
	}
	if (value > UINT64_MAX >> shift)
		return -ERANGE;
	*ret = (uint64_t)value << shift;
	return 0;
}

int json_load_path(const char *path, json_t **ret, struct error *err)
{
	_cleanup_fd_ int fd = open(path, O_RDONLY | O_CLOEXEC);
	json_error_t where;
	struct stat st;

	if (fd < 0)
		return error_sys(err, -errno, "%s", path);
	if (fstat(fd, &st) < 0)
		return error_sys(err, -errno, "%s", path);
	if (S_ISREG(st.st_mode) && (uint64_t)st.st_size > JSON_FILE_MAX)
		return error_set(err, -EFBIG, "%s: larger than 1 MiB, not a configuration", path);
	*ret = json_loadfd(fd, JSON_REJECT_DUPLICATES, &where);
	if (!*ret)
		return error_set(err, -EINVAL, "%s: line %d, column %d: %s", path, where.line,
				 where.column, where.text);
	return 0;
}
