/* SPDX-License-Identifier: Apache-2.0 */
/* What a configuration says about the limits of its own VMM. */
#include <stdio.h>
#include <string.h>

#include "base/confine/privileges.h"
#include "base/util.h"
#include "devices/option_text.h"
#include "vmm/config_priv.h"

static const char *const mode_names[] = {
	[FILTER_ON] = "on", [FILTER_LOG] = "log", [FILTER_OFF] = "off"};

static const struct option_key rule_keys[] = {
	{"path", OPTION_TEXT, NULL, NULL, NULL},
	{"access", OPTION_TEXT, NULL, NULL, NULL},
};

static void read_mode(struct json_reader *r, enum filter_mode *mode)
{
	const char *text = json_get_string(r, "seccomp", NULL, 8);

	for (unsigned int i = 0; text && i < ARRAY_SIZE(mode_names); i++) {
		if (strcmp(text, mode_names[i]) == 0) {
			*mode = (enum filter_mode)i;
			return;
		}
	}
	if (text)
		problem_add(r->problems, "seccomp: must be on, log or off, not \"%s\"", text);
}

static void read_landlock(struct json_reader *r, bool *off)
{
	const char *text = json_get_string(r, "landlock", NULL, 8);

	if (!text)
		return;
	if (strcmp(text, "on") != 0 && strcmp(text, "off") != 0)
		problem_add(r->problems, "landlock: must be on or off, not \"%s\"", text);
	*off = strcmp(text, "off") == 0;
}

static void read_rule(json_t *value, const char *where, struct landlock_rule *ret,
		      struct problems *problems)
{
	const struct option_keys keys = {rule_keys, ARRAY_SIZE(rule_keys)};
	json_t *object = option_to_object(&keys, value, where, problems);
	struct json_reader r;
	const char *access;

	if (!object)
		return;
	json_reader_init(&r, object, where, problems);
	json_get_text(&r, "path", false, ret->path, sizeof(ret->path));
	access = json_get_string(&r, "access", "r", 8);
	if (ret->path[0] != '/')
		problem_add(problems, "%s.path: must be an absolute path", where);
	if (strcmp(access, "r") != 0 && strcmp(access, "rw") != 0)
		problem_add(problems, "%s.access: must be r or rw, not \"%s\"", where, access);
	ret->write = strcmp(access, "rw") == 0;
	json_reader_end(&r);
	json_decref(object);
}

static void read_rules(struct json_reader *r, struct confine_config *confine)
{
	json_t *array = json_get_array(r, "landlock-rules"), *value;
	size_t i;

	if (!array)
		return;
	confine->rule_count = 0;
	json_array_foreach(array, i, value)
	{
		char where[32];

		if (i == VM_LANDLOCK_RULES_MAX) {
			problem_add(r->problems, "landlock-rules: there can be %d",
				    VM_LANDLOCK_RULES_MAX);
			return;
		}
		snprintf(where, sizeof(where), "landlock-rules[%zu]", i);
		read_rule(value, where, &confine->rules[i], r->problems);
		confine->rule_count++;
	}
}

void config_read_confine(struct json_reader *r, struct confine_config *confine)
{
	struct identity who;
	struct error err = ERROR_INIT;
	const char *user;

	read_mode(r, &confine->seccomp);
	read_landlock(r, &confine->landlock_off);
	read_rules(r, confine);
	user = json_get_string(r, "user", NULL, sizeof(confine->user));
	if (!user)
		return;
	if (user[0] && identity_parse(user, &who, &err) < 0)
		problem_add(r->problems, "%s", error_message(&err));
	snprintf(confine->user, sizeof(confine->user), "%s", user);
}

static void set(json_t *json, const char *key, json_t *value)
{
	json_object_set_new(json, key, value);
}

/* Defaults are left out: a vmm that knows none of this reads the rest. */
void config_confine_to_json(const struct confine_config *confine, json_t *json)
{
	json_t *rules = json_array();

	if (confine->seccomp != FILTER_ON)
		set(json, "seccomp", json_string(mode_names[confine->seccomp]));
	if (confine->landlock_off)
		set(json, "landlock", json_string("off"));
	if (confine->user[0])
		set(json, "user", json_string(confine->user));
	for (unsigned int i = 0; i < confine->rule_count; i++)
		json_array_append_new(rules,
				      json_pack("{ss ss}", "path", confine->rules[i].path, "access",
						confine->rules[i].write ? "rw" : "r"));
	if (confine->rule_count)
		json_object_set(json, "landlock-rules", rules);
	json_decref(rules);
}
