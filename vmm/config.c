/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "base/json.h"
#include "base/path.h"
#include "base/util.h"
#include "devices/virtio/vsock/vsock.h"
#include "vmm/config.h"
#include "vmm/config_priv.h"

void vm_config_init(struct vm_config *config)
{
	*config = (struct vm_config){
		.cpus = 1,
		.memory = VM_MEMORY_DEFAULT,
		.console = {.mode = CONSOLE_STDIO},
		.rng = {.on = true, .source = VM_RNG_SOURCE_DEFAULT},
	};
}

static void check_input_file(struct problems *p, const char *key, const char *path)
{
	struct stat st;

	if (!path[0])
		return;
	if (stat(path, &st) == 0 && !S_ISREG(st.st_mode))
		problem_add(p, "%s: %s is not a regular file", key, path);
	else if (access(path, R_OK) < 0)
		problem_add(p, "%s: %s: %s", key, path, strerror(errno));
}

/* A file that will be made: its folder must be there and open to us. */
static void check_folder_of(struct problems *p, const char *key, const char *path)
{
	char folder[PATH_MAX];

	if (!path[0])
		return;
	path_folder(path, folder);
	if (access(folder, W_OK | X_OK) < 0)
		problem_add(p, "%s: folder %s: %s", key, folder, strerror(errno));
}

static void check_socket_path(struct problems *p, const char *key, const char *path)
{
	struct sockaddr_un addr;

	/* unix(7): the address holds the path and its terminator. */
	if (strlen(path) >= sizeof(addr.sun_path))
		problem_add(p, "%s: %s is longer than the %zu bytes a UNIX socket's path may have",
			    key, path, sizeof(addr.sun_path) - 1);
}

static void check_rng(struct problems *p, const struct rng_config *rng)
{
	struct stat st;

	if (!rng->on)
		return;
	if (stat(rng->source, &st) < 0 || access(rng->source, R_OK) < 0)
		problem_add(p, "rng: %s: %s", rng->source, strerror(errno));
	else if (S_ISDIR(st.st_mode))
		problem_add(p, "rng: %s is a folder", rng->source);
}

static void check_balloon(struct problems *p, const struct vm_config *config)
{
	struct error err = ERROR_INIT;

	if (config->balloon.on &&
	    virtio_balloon_check_size(config->balloon.size, vm_config_memory(config), &err) < 0)
		problem_add(p, "%s", error_message(&err));
}

static void check_vsock(struct problems *p, const struct virtio_vsock_config *vsock)
{
	struct error err = ERROR_INIT;

	if (vsock->on && virtio_vsock_check_host(VIRTIO_VSOCK_HOST_DEVICE, &err) < 0)
		problem_add(p, "%s", error_message(&err));
}

static void check_console(struct problems *p, const char *key, const struct console_config *console)
{
	if (console->mode == CONSOLE_FILE || console->mode == CONSOLE_SOCKET)
		check_folder_of(p, key, console->path);
	if (console->mode == CONSOLE_SOCKET)
		check_socket_path(p, key, console->path);
}

static void check_distinct(struct problems *p, const char *key_a, const char *a, const char *key_b,
			   const char *b)
{
	if (a[0] && strcmp(a, b) == 0)
		problem_add(p, "%s and %s: both are %s", key_a, key_b, a);
}

void config_check_devices(const struct vm_config *config, struct problems *p)
{
	const struct {
		const char *key, *path;
	} paths[] = {
		{"api-socket", config->api_socket},
		{"agent", config->agent},
		{"console", config->console.path},
		{"hvc", config->hvc.path},
	};

	check_console(p, "hvc", &config->hvc);
	if (config->console.mode == CONSOLE_STDIO && config->hvc.mode == CONSOLE_STDIO)
		problem_add(p, "console and hvc: both are stdio, which can serve one of them: "
			       "--console has it unless it says otherwise");
	check_rng(p, &config->rng);
	check_balloon(p, config);
	check_vsock(p, &config->vsock);
	config_check_disks(config, p);
	config_check_nets(config, p);
	config_check_passed(config, p);
	for (unsigned int i = 0; i < ARRAY_SIZE(paths); i++) {
		for (unsigned int j = i + 1; j < ARRAY_SIZE(paths); j++)
			check_distinct(p, paths[i].key, paths[i].path, paths[j].key, paths[j].path);
	}
}

void config_check(const struct vm_config *config, const json_t *given, struct problems *p)
{
	/* A required value that was given but was wrong is named already. */
	if (!config->id[0] && !json_object_get(given, "id"))
		problem_add(p, "id: must be given");
	if (!config->kernel[0] && !json_object_get(given, "kernel"))
		problem_add(p, "kernel: must be given");
	check_input_file(p, "kernel", config->kernel);
	check_input_file(p, "initramfs", config->initramfs);
	check_console(p, "console", &config->console);
	check_folder_of(p, "api-socket", config->api_socket);
	check_socket_path(p, "api-socket", config->api_socket);
	check_socket_path(p, "agent", config->agent);
	config_check_devices(config, p);
	config_check_vhost(config, 0, p);
}

int vm_config_validate(const struct vm_config *config, struct error *err)
{
	struct problems problems = {0};

	config_check(config, NULL, &problems);
	return problems_result(&problems, err);
}
