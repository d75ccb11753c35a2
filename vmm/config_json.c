/* SPDX-License-Identifier: Apache-2.0 */
/* The configuration as JSON. Structured values are strings, as on the command line. */
#include <stdio.h>
#include <string.h>

#include "base/util.h"
#include "luo/agent.h"
#include "vmm/config_priv.h"

#define RNG_SOURCE "src="

/* Copies a string value if the key is there and fits; true if it was. */
static bool read_text(struct json_reader *r, const char *key, char *field, size_t size)
{
	const char *text = json_get_string(r, key, NULL, size);

	if (!text)
		return false;
	/* A NUL inside would make the value mean one thing to us and another to the file system. */
	if (strlen(text) != json_string_length(json_object_get(r->object, key))) {
		problem_add(r->problems, "%s: must not contain a NUL byte", key);
		return false;
	}
	memcpy(field, text, strlen(text) + 1);
	return true;
}

static void read_id(struct json_reader *r, struct vm_config *config)
{
	char id[256];

	if (!read_text(r, "id", id, sizeof(id)))
		return;
	if (!agent_id_is_valid(id)) {
		problem_add(r->problems,
			    "id: must be 1 to %d letters, digits, '-', '_' or '.', beginning with "
			    "a letter or a digit",
			    LUO_VM_ID_MAX);
		return;
	}
	memcpy(config->id, id, strlen(id) + 1);
}

static const struct {
	const char *text;
	enum console_mode mode;
	bool has_path;
} console_modes[] = {
	{"off", CONSOLE_OFF, false},	   {"stdio", CONSOLE_STDIO, false},
	{"pty", CONSOLE_PTY, false},	   {"file=", CONSOLE_FILE, true},
	{"socket=", CONSOLE_SOCKET, true},
};

static int console_parse(const char *text, struct console_config *ret)
{
	for (unsigned int i = 0; i < ARRAY_SIZE(console_modes); i++) {
		size_t len = strlen(console_modes[i].text);
		struct console_config console = {.mode = console_modes[i].mode};

		if (strncmp(text, console_modes[i].text, len) != 0)
			continue;
		/* Exactly one of "a value without path" and "a path that is not empty". */
		if ((text[len] != '\0') != console_modes[i].has_path)
			return -EINVAL;
		snprintf(console.path, sizeof(console.path), "%s", text + len);
		*ret = console;
		return 0;
	}
	return -EINVAL;
}

static void read_console(struct json_reader *r, const char *key, struct console_config *console)
{
	char text[PATH_MAX];

	if (!read_text(r, key, text, sizeof(text)))
		return;
	if (console_parse(text, console) < 0)
		problem_add(r->problems,
			    "%s: must be off, stdio, pty, file=PATH or socket=PATH, not \"%s\"",
			    key, text);
}

static void read_rng(struct json_reader *r, struct rng_config *rng)
{
	const size_t prefix = strlen(RNG_SOURCE);
	char text[PATH_MAX];

	if (!read_text(r, "rng", text, sizeof(text)))
		return;
	if (strcmp(text, "off") == 0) {
		*rng = (struct rng_config){0};
	} else if (strncmp(text, RNG_SOURCE, prefix) == 0 && text[prefix]) {
		rng->on = true;
		memset(rng->source, 0, sizeof(rng->source));
		memcpy(rng->source, text + prefix, strlen(text + prefix) + 1);
	} else {
		problem_add(r->problems, "rng: must be off or src=FILE, not \"%s\"", text);
	}
}

static void read_balloon(struct json_reader *r, struct virtio_balloon_config *balloon)
{
	struct virtio_balloon_config read;
	unsigned int before = r->problems->count;
	json_t *value = json_get_value(r, "balloon");

	if (!value)
		return;
	virtio_balloon_config_read(value, "balloon", &read, r->problems);
	if (r->problems->count == before)
		*balloon = read;
}

static void read_vsock(struct json_reader *r, struct virtio_vsock_config *vsock)
{
	struct virtio_vsock_config read;
	unsigned int before = r->problems->count;
	json_t *value = json_get_value(r, "vsock");

	if (!value)
		return;
	virtio_vsock_config_read(value, "vsock", &read, r->problems);
	if (r->problems->count == before)
		*vsock = read;
}

/* In the place of those that are there. */
static void read_list(struct json_reader *r, const char *key, unsigned int *count,
		      struct vm_config *config)
{
	json_t *array = json_get_array(r, key);

	if (!array)
		return;
	*count = 0;
	config_adder(key)(array, config, r->problems);
}

void config_read(json_t *json, struct vm_config *config, struct problems *problems)
{
	struct json_reader r;

	json_reader_init(&r, json, "", problems);
	read_id(&r, config);
	read_text(&r, "kernel", config->kernel, sizeof(config->kernel));
	read_text(&r, "initramfs", config->initramfs, sizeof(config->initramfs));
	read_text(&r, "cmdline", config->cmdline, sizeof(config->cmdline));
	config->cpus = (uint32_t)json_get_u64(&r, "cpus", config->cpus, 1, VM_CPUS_MAX);
	config_read_memory(&r, config);
	read_console(&r, "console", &config->console);
	read_console(&r, "hvc", &config->hvc);
	read_rng(&r, &config->rng);
	read_balloon(&r, &config->balloon);
	read_vsock(&r, &config->vsock);
	read_list(&r, "disk", &config->disk_count, config);
	read_list(&r, "net", &config->net_count, config);
	read_list(&r, "device", &config->device_count, config);
	config_name_devices(config, problems);
	read_text(&r, "api-socket", config->api_socket, sizeof(config->api_socket));
	read_text(&r, "agent", config->agent, sizeof(config->agent));
	config->preserve_on_update =
		json_get_bool(&r, "preserve-on-update", config->preserve_on_update);
	config_read_confine(&r, &config->confine);
	json_reader_end(&r);
}

int vm_config_from_json(json_t *json, struct vm_config *config, struct error *err)
{
	struct problems problems = {0};
	struct vm_config parsed = *config;
	int r;

	config_read(json, &parsed, &problems);
	r = problems_result(&problems, err);
	if (r == 0)
		*config = parsed;
	return r;
}

static json_t *console_to_json(const struct console_config *console)
{
	for (unsigned int i = 0; i < ARRAY_SIZE(console_modes); i++) {
		if (console->mode == console_modes[i].mode)
			return json_sprintf("%s%s", console_modes[i].text, console->path);
	}
	return NULL;
}

static json_t *rng_to_json(const struct rng_config *rng)
{
	return rng->on ? json_sprintf(RNG_SOURCE "%s", rng->source) : json_string("off");
}

json_t *vm_config_to_json(const struct vm_config *config)
{
	json_t *json = json_pack(
		"{ss ss ss ss si so so so so so so so so so ss ss sb}", "id", config->id, "kernel",
		config->kernel, "initramfs", config->initramfs, "cmdline", config->cmdline, "cpus",
		(int)config->cpus, "memory", config_memory_to_json(config), "console",
		console_to_json(&config->console), "hvc", console_to_json(&config->hvc), "rng",
		rng_to_json(&config->rng), "balloon",
		virtio_balloon_config_to_json(&config->balloon), "vsock",
		virtio_vsock_config_to_json(&config->vsock), "disk", config_disks_to_json(config),
		"net", config_nets_to_json(config), "device", config_passed_to_json(config),
		"api-socket", config->api_socket, "agent", config->agent, "preserve-on-update",
		(int)config->preserve_on_update);

	if (json)
		config_confine_to_json(&config->confine, json);
	return json;
}

static void make_absolute(const char *key, char path[PATH_MAX], struct problems *problems)
{
	char folder[PATH_MAX], full[2 * PATH_MAX];

	if (!path[0] || path[0] == '/')
		return;
	if (!getcwd(folder, sizeof(folder))) {
		problem_add(problems, "%s: the current folder has no path: %s", key,
			    strerror(errno));
		return;
	}
	snprintf(full, sizeof(full), "%s/%s", folder, path);
	if (strlen(full) >= PATH_MAX)
		problem_add(problems, "%s: %s is too long", key, full);
	else
		memcpy(path, full, strlen(full) + 1);
}

void config_make_absolute(struct vm_config *config, struct problems *problems)
{
	make_absolute("kernel", config->kernel, problems);
	make_absolute("initramfs", config->initramfs, problems);
	make_absolute("console", config->console.path, problems);
	make_absolute("hvc", config->hvc.path, problems);
	make_absolute("rng", config->rng.source, problems);
	for (unsigned int i = 0; i < config->disk_count; i++)
		make_absolute(config->disks[i].id, config->disks[i].path, problems);
	make_absolute("api-socket", config->api_socket, problems);
	make_absolute("agent", config->agent, problems);
}
