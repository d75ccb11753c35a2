/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/text.h"
#include "base/util.h"
#include "luo/luoctl/luoctl.h"

int ctl_fail(const char *command, const struct error *err)
{
	fprintf(stderr, "luoctl %s: %s\n", command, error_message(err));
	return err->code == -ECONNREFUSED ? CTL_UNREACHABLE : CTL_FAILED;
}

int ctl_usage(const char *command, const char *fmt, ...)
{
	va_list ap;

	fprintf(stderr, "luoctl %s: ", command);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fprintf(stderr, "\nTry: luoctl --help\n");
	return CTL_USAGE;
}

void ctl_print_json(const json_t *doc)
{
	json_dumpf(doc, stdout, JSON_INDENT(2) | JSON_REAL_PRECISION(10));
	putchar('\n');
}

int ctl_set_file(const struct ctl *ctl, json_t *body, const char *key, const char *path,
		 struct error *err)
{
	_cleanup_free_ char *absolute = NULL;

	if (!path)
		return 0;
	/* Over the network the file is on the host: luod looks for it. */
	if (ctl->url) {
		json_object_set_new(body, key, json_string(path));
		return 0;
	}
	absolute = realpath(path, NULL);
	if (!absolute)
		return error_sys(err, -errno, "--%s %s", key, path);
	json_object_set_new(body, key, json_string(absolute));
	return 0;
}

int ctl_set_number(json_t *body, const char *key, const char *text, struct error *err)
{
	uint64_t value;

	if (!text)
		return 0;
	if (decimal_parse(text, INT32_MAX, &value) < 0 || value == 0)
		return error_set(err, -EINVAL, "%s: %s is not a number from 1", key, text);
	json_object_set_new(body, key, json_integer((json_int_t)value));
	return 0;
}

const char *doc_string(const json_t *doc, const char *key)
{
	const char *text = json_string_value(json_object_get(doc, key));

	return text ? text : "";
}

long long doc_integer(const json_t *doc, const char *key)
{
	return json_integer_value(json_object_get(doc, key));
}

static const struct ctl_option *find(const struct ctl_option *options, unsigned int count,
				     const char *name, size_t len)
{
	for (unsigned int i = 0; i < count; i++) {
		if (strncmp(options[i].name, name, len) == 0 && !options[i].name[len])
			return &options[i];
	}
	return NULL;
}

/* One "--name", with its value when it has one. Returns how many arguments it took. */
static int take_option(char **argv, int left, const struct ctl_option *options, unsigned int count,
		       const char *command)
{
	const char *name = argv[0] + 2, *equals = strchr(name, '=');
	size_t len = equals ? (size_t)(equals - name) : strlen(name);
	const struct ctl_option *option = find(options, count, name, len);

	if (!option) {
		ctl_usage(command, "%s: no such option", argv[0]);
		return -EINVAL;
	}
	if (!option->text) {
		if (equals) {
			ctl_usage(command, "--%s takes no value", option->name);
			return -EINVAL;
		}
		*option->flag = true;
		return 1;
	}
	if (equals) {
		*option->text = equals + 1;
		return 1;
	}
	if (left < 2) {
		ctl_usage(command, "--%s: its value is missing", option->name);
		return -EINVAL;
	}
	*option->text = argv[1];
	return 2;
}

int ctl_options(int argc, char **argv, const struct ctl_option *options, unsigned int count,
		int *ret_count)
{
	bool only_arguments = false;

	*ret_count = 0;
	for (int i = 1; i < argc;) {
		int taken;

		if (only_arguments || strncmp(argv[i], "--", 2) != 0) {
			argv[1 + (*ret_count)++] = argv[i++];
			continue;
		}
		if (!argv[i][2]) {
			only_arguments = true;
			i++;
			continue;
		}
		taken = take_option(argv + i, argc - i, options, count, argv[0]);
		if (taken < 0)
			return taken;
		i += taken;
	}
	return 0;
}

int ctl_options_only(int argc, char **argv, const struct ctl_option *options, unsigned int count)
{
	int arguments;

	if (ctl_options(argc, argv, options, count, &arguments) < 0)
		return CTL_USAGE;
	if (arguments > 0)
		return ctl_usage(argv[0], "%s: it takes options only", argv[1]);
	return CTL_OK;
}
