/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/cli.h"

#include <string.h>

#include "base/util.h"
#include "vmm/cli_options.h"
#include "vmm/config_priv.h"

/* The arguments, read but not yet understood. */
struct arguments {
	const char *const *argv;
	int argc;
	int next;
	json_t *vm;	 /* owned: configuration keys */
	json_t *process; /* owned: the rest */
	struct problems problems;
};

static json_t *number_value(const char *text)
{
	char *end;
	long long value;

	if (text[0] < '0' || text[0] > '9')
		return NULL;
	errno = 0;
	value = strtoll(text, &end, 10);
	if (errno || *end)
		return NULL;
	return json_integer(value);
}

static json_t *flag_value(const char *text)
{
	if (!text || strcmp(text, "true") == 0)
		return json_true();
	return strcmp(text, "false") == 0 ? json_false() : NULL;
}

/* New reference; NULL after a problem was added. */
static json_t *option_value(const struct cli_option *o, const char *text, struct problems *p)
{
	json_t *value;

	switch (o->kind) {
	case OPTION_NUMBER:
		value = number_value(text);
		if (!value)
			problem_add(p, "--%s: must be a whole number, not \"%s\"", o->name, text);
		return value;
	case OPTION_FLAG:
		value = flag_value(text);
		if (!value)
			problem_add(p, "--%s: must be true or false, not \"%s\"", o->name, text);
		return value;
	case OPTION_SIZE:
	case OPTION_LIST:
	case OPTION_TEXT:
	default:
		value = json_string(text);
		if (!value)
			problem_add(p, "--%s: must be UTF-8", o->name);
		return value;
	}
}

/* One more value of an option that can be given several times. */
static void append(struct arguments *a, json_t *group, const struct cli_option *o, const char *text)
{
	json_t *list = json_object_get(group, o->name);
	json_t *value = option_value(o, text, &a->problems);

	if (!list) {
		list = json_array();
		json_object_set_new(group, o->name, list);
	}
	json_array_append_new(list, value ? value : json_null());
}

static void store(struct arguments *a, const struct cli_option *o, const char *text)
{
	json_t *group = o->group == OPTION_GROUP_VM ? a->vm : a->process;
	json_t *value;

	if (o->kind == OPTION_LIST) {
		append(a, group, o, text);
		return;
	}
	if (json_object_get(group, o->name)) {
		problem_add(&a->problems, "--%s: given twice", o->name);
		return;
	}
	value = option_value(o, text, &a->problems);
	/* A wrong value is remembered as null, so that the option counts as given. */
	json_object_set_new(group, o->name, value ? value : json_null());
}

static bool next_is_value(const struct arguments *a)
{
	return a->next < a->argc && strncmp(a->argv[a->next], "--", 2) != 0;
}

static void read_option(struct arguments *a, const char *arg)
{
	const char *name = arg + 2;
	const char *equals = strchr(name, '=');
	size_t len = equals ? (size_t)(equals - name) : strlen(name);
	const struct cli_option *o = cli_option_find(name, len);
	const char *value = equals ? equals + 1 : NULL;

	if (!o) {
		problem_add(&a->problems, "--%.*s: unknown option", (int)len, name);
		/* What follows was meant for it. */
		if (!equals && next_is_value(a))
			a->next++;
		return;
	}
	if (o->kind != OPTION_FLAG && !value) {
		if (!next_is_value(a)) {
			problem_add(&a->problems, "--%s: needs a value, %s", o->name, o->argument);
			json_object_set_new(o->group == OPTION_GROUP_VM ? a->vm : a->process,
					    o->name, json_null());
			return;
		}
		value = a->argv[a->next++];
	}
	store(a, o, value);
	while (o->kind == OPTION_LIST && next_is_value(a))
		store(a, o, a->argv[a->next++]);
}

static void read_arguments(struct arguments *a)
{
	while (a->next < a->argc) {
		const char *arg = a->argv[a->next++];

		if (strncmp(arg, "--", 2) == 0 && arg[2])
			read_option(a, arg);
		else
			problem_add(&a->problems, "\"%s\": unexpected argument", arg);
	}
}

static void drop_nulls(json_t *object)
{
	const char *key;
	json_t *value;
	void *tmp;

	json_object_foreach_safe(object, tmp, key, value)
	{
		if (json_is_null(value))
			json_object_del(object, key);
	}
}

static void read_process_options(struct arguments *a, struct cli *cli)
{
	struct json_reader r;
	const char *text;

	json_reader_init(&r, a->process, "", &a->problems);
	text = json_get_string(&r, "log-level", "info", 32);
	if (log_level_parse(text, &cli->log_level) < 0)
		problem_add(&a->problems, "log-level: must be error, warning, info or debug");
	snprintf(cli->log_file, sizeof(cli->log_file), "%s",
		 json_get_string(&r, "log-file", "", PATH_MAX));
	cli->shutdown_timeout = (uint32_t)json_get_u64(
		&r, "shutdown-timeout", SHUTDOWN_TIMEOUT_DEFAULT, 0, SHUTDOWN_TIMEOUT_MAX);
	cli->resume = json_get_bool(&r, "resume", false);
	snprintf(cli->restore, sizeof(cli->restore), "%s",
		 json_get_string(&r, "restore", "", PATH_MAX));
	if (cli->restore[0] && cli->resume)
		problem_add(&a->problems, "--resume and --restore: a VM comes from one of them");
}

static void refuse_beside_resume(struct arguments *a)
{
	for (unsigned int i = 0; i < cli_option_count; i++) {
		const struct cli_option *o = &cli_options[i];

		if (o->with_resume)
			continue;
		if (json_object_get(a->vm, o->name) || json_object_get(a->process, o->name))
			problem_add(&a->problems,
				    "--%s and --resume: a resumed VM has the configuration that "
				    "was preserved with it",
				    o->name);
	}
	if (!json_object_get(a->vm, "id") && !json_object_get(a->process, "restore"))
		problem_add(&a->problems, "--id: must be given with --resume");
}

static void drop_nullp(json_t **p)
{
	json_decref(*p);
}

/* The configuration file, or an empty object. False: it could not be read, and that was told. */
static bool read_file(struct arguments *a, json_t **ret)
{
	const char *path = json_string_value(json_object_get(a->process, "config"));
	struct error err = ERROR_INIT;

	*ret = json_object();
	if (!path)
		return !json_object_get(a->process, "config");
	json_decref(*ret);
	if (json_load_path(path, ret, &err) < 0) {
		problem_add(&a->problems, "config: %s", error_message(&err));
	} else if (!json_is_object(*ret)) {
		problem_add(&a->problems, "config: %s: must be a JSON object", path);
		json_decref(*ret);
	} else {
		return true;
	}
	*ret = json_object();
	return false;
}

static void read_cold(struct arguments *a, struct cli *cli)
{
	_cleanup_(drop_nullp) json_t *all = NULL;
	_cleanup_(drop_nullp) json_t *given = NULL;
	bool have_file = read_file(a, &all);
	const char *key;
	json_t *value;

	/* The command line goes over the file. A wrong option was named already: it counts as
	 * given, and its key is not read. */
	json_object_update(all, a->vm);
	given = json_copy(all);
	json_object_foreach(a->vm, key, value)
	{
		if (json_is_null(value))
			json_object_del(all, key);
	}
	config_read(all, &cli->config, &a->problems);
	/* Without the file nobody knows what is missing. */
	if (!have_file)
		return;
	config_make_absolute(&cli->config, &a->problems);
	config_check(&cli->config, given, &a->problems);
}

/* Nothing is said of a VM but where its API is. */
static bool is_empty(const struct arguments *a)
{
	return json_object_get(a->vm, "api-socket") && json_object_size(a->vm) == 1 &&
	       !json_object_get(a->process, "config") && a->problems.count == 0;
}

static void read_resume(struct arguments *a, struct cli *cli)
{
	if (!cli->empty)
		refuse_beside_resume(a);
	drop_nulls(a->vm);
	config_read(a->vm, &cli->config, &a->problems);
	config_make_absolute(&cli->config, &a->problems);
	/* What the state's own configuration is to be changed by, with the paths made absolute. */
	cli->overrides = json_object();
	for (const char *const *key =
		     (const char *const[]){"console", "hvc", "api-socket", "agent", "user",
					   "seccomp", "landlock", "landlock-rules", NULL};
	     *key; key++) {
		_cleanup_(drop_nullp) json_t *whole = vm_config_to_json(&cli->config);

		/* What is left out of it is as if it was given: it says the default. */
		if (json_object_get(a->vm, *key))
			json_object_set(
				cli->overrides, *key,
				json_object_get(json_object_get(whole, *key) ? whole : a->vm,
						*key));
	}
}

int cli_parse(int argc, const char *const *argv, struct cli *ret, struct error *err)
{
	struct arguments a = {.argv = argv, .argc = argc, .next = 1};
	struct cli cli = {.action = CLI_RUN};
	int r;

	a.vm = json_object();
	a.process = json_object();
	vm_config_init(&cli.config);
	read_arguments(&a);
	if (json_is_true(json_object_get(a.process, "help"))) {
		cli.action = CLI_HELP;
		a.problems = (struct problems){0};
	} else if (json_is_true(json_object_get(a.process, "version"))) {
		cli.action = CLI_VERSION;
		a.problems = (struct problems){0};
	} else {
		bool resume = json_is_true(json_object_get(a.process, "resume")) ||
			      json_object_get(a.process, "restore");

		cli.empty = !resume && is_empty(&a);
		if (resume || cli.empty)
			read_resume(&a, &cli);
		else
			read_cold(&a, &cli);
		drop_nulls(a.process);
		read_process_options(&a, &cli);
	}
	if (!cli.overrides)
		cli.overrides = json_object();
	r = problems_result(&a.problems, err);
	if (r < 0)
		cli_done(&cli);
	else
		*ret = cli;
	json_decref(a.vm);
	json_decref(a.process);
	return r;
}

void cli_done(struct cli *cli)
{
	json_decref(cli->overrides);
	cli->overrides = NULL;
}
