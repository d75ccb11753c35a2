/* SPDX-License-Identifier: Apache-2.0 */
/* Guest RAM in the configuration: how much, how much can be added, what was, and when it is made.
 */
#include <string.h>

#include "base/util.h"
#include "devices/option_text.h"
#include "vmm/config_priv.h"

#define MEMORY_ALIGN (2 * MIB)

static const struct option_key keys[] = {
	{"size", OPTION_NUMBER, NULL, NULL, NULL},
	{"hotplug_size", OPTION_NUMBER, NULL, NULL, NULL},
	{"prefault", OPTION_SWITCH, NULL, NULL, NULL},
};
static const struct option_keys options = {keys, ARRAY_SIZE(keys)};

uint64_t vm_config_memory(const struct vm_config *config)
{
	return config->memory + ram_growth_sum(&config->growth);
}

void vm_config_fold_memory(struct vm_config *config)
{
	uint64_t added = ram_growth_sum(&config->growth);

	config->memory += added;
	config->growth = (struct ram_growth){.max = config->growth.max - added};
}

/* As it comes out of a state; a user has no need of it. */
static void read_added(struct json_reader *r, struct ram_growth *growth)
{
	json_t *array = json_get_array(r, "added"), *value;
	size_t i;

	if (json_array_size(array) > RAM_ADDED_MAX) {
		problem_add(r->problems, "memory.added: %d at most", RAM_ADDED_MAX);
		return;
	}
	json_array_foreach(array, i, value)
	{
		if (json_integer_value(value) <= 0)
			problem_add(r->problems, "memory.added: must be numbers of bytes");
		else
			growth->sizes[growth->count++] = (uint64_t)json_integer_value(value);
	}
}

static void read_object(json_t *json, uint64_t *memory, struct ram_growth *growth, bool *prefault,
			struct problems *problems)
{
	struct json_reader r;

	json_reader_init(&r, json, "memory", problems);
	*memory = json_get_size(&r, "size", *memory, VM_MEMORY_MIN, VM_MEMORY_MAX);
	growth->max = json_get_size(&r, "hotplug_size", 0, 0, VM_MEMORY_MAX);
	*prefault = json_get_bool(&r, "prefault", false);
	read_added(&r, growth);
	json_reader_end(&r);
}

/* A number, or text without keys. */
static bool is_plain(const json_t *value)
{
	return !json_is_object(value) &&
	       !(json_is_string(value) && strchr(json_string_value(value), '='));
}

void config_read_memory(struct json_reader *r, struct vm_config *config)
{
	unsigned int before = r->problems->count;
	struct guest_memory_layout layout;
	struct error err = ERROR_INIT;
	struct ram_growth growth = {0};
	uint64_t memory = config->memory;
	bool prefault = false;
	json_t *object;

	if (!json_has(r, "memory"))
		return;
	if (is_plain(json_object_get(r->object, "memory"))) {
		memory = json_get_size(r, "memory", memory, VM_MEMORY_MIN, VM_MEMORY_MAX);
	} else {
		object = option_to_object(&options, json_get_value(r, "memory"), "memory",
					  r->problems);
		if (object)
			read_object(object, &memory, &growth, &prefault, r->problems);
		json_decref(object);
	}
	if (r->problems->count > before)
		return;
	if (memory % MEMORY_ALIGN)
		problem_add(r->problems, "memory: must be a multiple of 2M");
	else if (growth.max % RAM_ADD_ALIGN)
		problem_add(r->problems, "memory.hotplug_size: must be a multiple of 128M");
	else if (guest_memory_layout(memory, &growth, &layout, &err) < 0)
		problem_add(r->problems, "memory: %s", error_message(&err));
	if (r->problems->count > before)
		return;
	config->memory = memory;
	config->growth = growth;
	config->prefault = prefault;
}

json_t *config_memory_to_json(const struct vm_config *config)
{
	const struct ram_growth *growth = &config->growth;
	json_t *added, *json;

	if (!growth->max && !config->prefault)
		return json_integer((json_int_t)config->memory);
	added = json_array();
	for (unsigned int i = 0; i < growth->count; i++)
		json_array_append_new(added, json_integer((json_int_t)growth->sizes[i]));
	json = json_pack("{sI sI}", "size", (json_int_t)config->memory, "hotplug_size",
			 (json_int_t)growth->max);
	if (json && config->prefault)
		json_object_set_new(json, "prefault", json_true());
	if (json && growth->count)
		json_object_set(json, "added", added);
	json_decref(added);
	return json;
}
